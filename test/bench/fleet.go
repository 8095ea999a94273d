// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"time"

	"github.com/turnout-ai/turnout/test/harness"
)

// member is a proxy of a fleet, with its administration port.
type member struct {
	*contender
	admin string
}

// simulated starts a simulated provider on all processors.
func (f *field) simulated(ctx context.Context, dir, name string, args ...string) (*contender, error) {
	binaries, err := harness.FindBinaries(ctx, nil)
	if err != nil {
		return nil, err
	}
	port, err := harness.FreePort()
	if err != nil {
		return nil, err
	}
	address := harness.LoopbackAddress(port)
	process, err := harness.StartProcess(ctx, harness.Command{
		Name: name, Path: binaries.ModelSim, Args: append([]string{"--listen", address}, args...),
		LogFile: filepath.Join(dir, name+".log"), Ready: harness.HTTPReady("http://"+address+"/_sim/state", nil),
	})
	if err != nil {
		return nil, err
	}
	c := &contender{name: name, address: address, process: process}
	f.contenders = append(f.contenders, c)
	return c, nil
}

// addObjects starts a cluster with these objects in it.
func (f *field) addObjects(ctx context.Context, dir, text string) error {
	fmt.Println("starting a Kubernetes API")
	var err error
	if f.cluster, err = harness.StartControlPlane(ctx, harness.ControlPlaneOptions{Dir: filepath.Join(dir, "cluster")}); err != nil {
		return err
	}
	cluster, err := f.cluster.Client()
	if err != nil {
		return err
	}
	root, err := harness.Root()
	if err != nil {
		return err
	}
	if err := harness.InstallCRDs(ctx, cluster, filepath.Join(root, "config", "crd", "bases")); err != nil {
		return err
	}
	objects, err := harness.ParseObjects([]byte(text))
	if err != nil {
		return err
	}
	return harness.Apply(ctx, cluster, "default", objects...)
}

// proxies starts the operator and so many proxies, all on all processors.
func (f *field) proxies(ctx context.Context, dir string, n int) ([]*member, error) {
	binaries, err := harness.FindBinaries(ctx, nil)
	if err != nil {
		return nil, err
	}
	if _, err := f.run(ctx, dir, "operator", "", binaries.Operator, "--kubeconfig", f.cluster.Kubeconfig,
		"--leader-election-namespace", "default", "--metrics-bind-address", "0", "--health-probe-bind-address", "0"); err != nil {
		return nil, err
	}
	members := make([]*member, n)
	for i := range members {
		ports := [2]int{}
		for j := range ports {
			if ports[j], err = harness.FreePort(); err != nil {
				return nil, err
			}
		}
		address, admin := harness.LoopbackAddress(ports[0]), harness.LoopbackAddress(ports[1])
		c, err := f.run(ctx, dir, fmt.Sprint("proxy-", i), address, binaries.Proxy, "--listen", address, "--admin-listen", admin,
			"--kubeconfig", f.cluster.Kubeconfig, "--allow-anonymous", "--access-log", "off")
		if err != nil {
			return nil, err
		}
		members[i] = &member{contender: c, admin: admin}
	}
	return members, f.awaitStates(ctx, members)
}

// awaitStates waits until every proxy has heard the operator's first word on every endpoint: what fails before
// that is evidence of no epoch.
func (f *field) awaitStates(ctx context.Context, members []*member) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for _, m := range members {
		err := harness.Poll(ctx, 100*time.Millisecond, func(ctx context.Context) error {
			text, err := fetch(ctx, http.MethodGet, "http://"+m.admin+"/debug/table", "")
			if err != nil {
				return err
			}
			var table struct {
				Endpoints []struct {
					Endpoint string `json:"endpoint"`
					Fleet    struct {
						Epoch int64 `json:"epoch"`
					} `json:"fleet"`
				} `json:"endpoints"`
			}
			if err := json.Unmarshal(text, &table); err != nil {
				return err
			}
			for _, e := range table.Endpoints {
				if e.Fleet.Epoch == 0 {
					return fmt.Errorf("%s knows no state of %s yet", m.name, e.Endpoint)
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
