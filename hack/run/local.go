// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/turnout-ai/turnout/test/harness"
)

// samplePorts are the ports that config/samples expects the simulated providers on.
var samplePorts = []int{18081, 18082, 18083}

// providers are the names of the simulated providers; each has the key sk-sim-<name>, as in config/samples.
var providers = []string{"alpha", "beta", "gamma"}

// bringUpLocal starts a whole world on this machine.
func (s *stage) bringUpLocal(ctx context.Context) error {
	if os.Getenv("KUBECONFIG") != "" {
		fmt.Println("KUBECONFIG is set and ignored: this starts a control plane of its own. To use your cluster: make run CLUSTER=current")
	}
	if err := s.checkPorts(); err != nil {
		return err
	}
	if err := s.buildControlPlane(ctx); err != nil {
		return err
	}
	for _, do := range []func(context.Context) error{
		s.buildPrograms, s.raiseControlPlane, s.raiseProviders, s.raiseTurnout, s.awaitAnswer,
	} {
		if err := do(ctx); err != nil {
			return err
		}
	}
	return s.sayWhatIsNext()
}

// buildControlPlane builds etcd and kube-apiserver, unless the user has named some. The script shows its own
// progress and knows when there is nothing to do.
func (s *stage) buildControlPlane(ctx context.Context) error {
	// The Makefile always exports the variable; naming bin/k8s in it is no other choice than leaving it out.
	if dir := os.Getenv(harness.AssetsVariable); dir != "" && dir != filepath.Join(s.root, "bin", "k8s") {
		return nil
	}
	build := exec.CommandContext(ctx, filepath.Join(s.root, "hack", "control-plane.sh"))
	build.Stdout, build.Stderr = os.Stdout, os.Stderr
	// Asked, not killed: it has a compiler to end and a half file to remove.
	build.Cancel = func() error { return build.Process.Signal(os.Interrupt) }
	build.WaitDelay = 10 * time.Second
	if err := build.Run(); err != nil {
		return fmt.Errorf("building the control plane: %w", err)
	}
	return nil
}

func (s *stage) raiseControlPlane(ctx context.Context) error {
	return step("starting etcd and kube-apiserver, installing Turnout's kinds", func() (err error) {
		s.plane, err = harness.StartControlPlane(ctx, harness.ControlPlaneOptions{Dir: s.state(), LogDir: s.logs()})
		if err != nil {
			return err
		}
		if err := s.plane.WriteKubeconfig(s.kubeconfig(), "turnout-admin", "system:masters"); err != nil {
			return err
		}
		cluster, err := s.plane.Client()
		if err != nil {
			return err
		}
		return harness.InstallCRDs(ctx, cluster, filepath.Join(s.root, "config", "crd", "bases"))
	})
}

func (s *stage) raiseProviders(ctx context.Context) error {
	return step("starting three simulated providers", func() error {
		for i, name := range providers {
			address := harness.LoopbackAddress(s.providerPorts[i])
			err := s.start(ctx, s.command("provider-"+name, s.binaries.ModelSim, "http://"+address+"/_sim/state",
				"--listen", address,
				"--api-key", "sk-sim-"+name,
				"--models", "sim-large,sim-small,sim-embed",
				// About as fast as a hosted model: slow enough to watch a stream, and to take its provider away.
				"--time-to-first-token", "300ms", "--tokens-per-second", "40",
			))
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// raiseTurnout starts operator and proxy side by side, gives them the samples, and waits until the operator
// has judged those ready.
func (s *stage) raiseTurnout(ctx context.Context) error {
	return step("starting operator and proxy, applying config/samples", func() error {
		cluster, err := s.plane.Client()
		if err != nil {
			return err
		}
		objects, err := s.samples()
		if err != nil {
			return err
		}
		if err := harness.Apply(ctx, cluster, "default", objects...); err != nil {
			return err
		}
		var starting sync.WaitGroup
		var operatorErr, proxyErr error
		starting.Go(func() { operatorErr = s.startOperator(ctx) })
		starting.Go(func() { proxyErr = s.startProxy(ctx) })
		starting.Wait()
		if operatorErr != nil {
			return operatorErr
		}
		if proxyErr != nil {
			return proxyErr
		}
		return awaitReady(ctx, cluster, objects)
	})
}

func awaitReady(ctx context.Context, cluster client.Client, objects []*unstructured.Unstructured) error {
	for _, object := range objects {
		if object.GroupVersionKind().Group != "turnout.dev" {
			continue
		}
		if err := harness.AwaitCondition(ctx, cluster, object, "Ready"); err != nil {
			return err
		}
	}
	return nil
}

// samples are config/samples, in namespace default, with the providers' addresses of this run.
func (s *stage) samples() ([]*unstructured.Unstructured, error) {
	objects, err := harness.ReadObjects(filepath.Join(s.root, "config", "samples"))
	if err != nil {
		return nil, err
	}
	for _, object := range objects {
		if object.GetNamespace() == "" {
			object.SetNamespace("default")
		}
		address, found, err := unstructured.NestedString(object.Object, "spec", "url")
		if err != nil || !found {
			continue
		}
		for i, port := range samplePorts {
			address = strings.Replace(address, ":"+strconv.Itoa(port)+"/", ":"+strconv.Itoa(s.providerPorts[i])+"/", 1)
		}
		if err := unstructured.SetNestedField(object.Object, address, "spec", "url"); err != nil {
			return nil, err
		}
	}
	return objects, nil
}

// sampleModel is the name that the samples serve chats under.
const sampleModel = "chat"

// awaitAnswer waits until a real request through the proxy is answered: whatever is ready before that, a
// user's first request is what counts.
func (s *stage) awaitAnswer(ctx context.Context) error {
	return step("asking a model through the proxy", func() error {
		ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
		defer cancel()
		return harness.Poll(ctx, 100*time.Millisecond, s.ask)
	})
}

func (s *stage) ask(ctx context.Context) error {
	body, err := json.Marshal(map[string]any{
		"model": sampleModel, "max_tokens": 1,
		"messages": []map[string]string{{"role": "user", "content": "Are you there?"}},
	})
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.baseURL()+"/chat/completions", bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }() // read below
	answer, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("the proxy answered %s: %s", response.Status, answer)
	}
	return nil
}

func (s *stage) baseURL() string { return "http://" + harness.LoopbackAddress(s.proxyPort) + "/v1" }
