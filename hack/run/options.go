// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/pflag"

	"github.com/turnout-ai/turnout/test/harness"
)

// The clusters that CLUSTER and --cluster may name.
const (
	clusterLocal   = "local"
	clusterCurrent = "current"
)

type options struct {
	cluster              string
	yes                  bool
	dir                  string // absolute
	root                 string // the checkout, absolute
	proxyPort, adminPort int
	providerPorts        []int
}

const usage = `Runs Turnout on this machine until Ctrl-C.

Usage:
  make run                                        a Kubernetes control plane of its own, three simulated providers
  make run CLUSTER=current                        the cluster of the current kubeconfig context, after asking
  go run ./hack/run [flags]

Environment:
  CLUSTER             the same as --cluster
  KUBEBUILDER_ASSETS  folder with etcd, kube-apiserver and kubectl to use instead of building them
  TURNOUT_BINARIES    folder with operator, proxy, kubectl-turnout and modelsim to use instead of building them

Flags:
`

func parseOptions(args []string) (options, error) {
	o := options{cluster: os.Getenv("CLUSTER")}
	if o.cluster == "" {
		o.cluster = clusterLocal
	}
	f := pflag.NewFlagSet("run", pflag.ContinueOnError)
	f.Usage = func() { fmt.Print(usage + f.FlagUsages()) }
	f.StringVar(&o.cluster, "cluster", o.cluster, "local: start a control plane; current: use the current kubeconfig context")
	f.BoolVar(&o.yes, "yes", false, "with --cluster=current, do not ask")
	f.StringVar(&o.dir, "dir", filepath.Join("bin", "run"), "folder for logs, kubeconfig and state")
	f.IntVar(&o.proxyPort, "proxy-port", 8080, "port of the proxy on 127.0.0.1")
	f.IntVar(&o.adminPort, "admin-port", 9090, "port of the proxy's metrics and debug pages on 127.0.0.1")
	f.IntSliceVar(&o.providerPorts, "provider-ports", samplePorts, "ports of the simulated providers on 127.0.0.1")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	var err error
	if o.root, err = harness.Root(); err != nil {
		return o, err
	}
	// From inside a package's folder (go test) "bin/run" would be the wrong one.
	if !filepath.IsAbs(o.dir) {
		o.dir = filepath.Join(o.root, o.dir)
	}
	return o, o.validate(f.Args())
}

func (o options) validate(rest []string) error {
	switch {
	case len(rest) > 0:
		return fmt.Errorf("%q is not a flag; see go run ./hack/run --help", rest[0])
	case o.cluster != clusterLocal && o.cluster != clusterCurrent:
		return fmt.Errorf("CLUSTER=%s is not known; write CLUSTER=current for the cluster of the current kubeconfig context, or leave it out for a control plane on this machine", o.cluster)
	case o.yes && o.cluster != clusterCurrent:
		return errors.New("--yes only goes with --cluster=current (or CLUSTER=current); nothing is asked without it")
	case len(o.providerPorts) != len(samplePorts):
		return fmt.Errorf("--provider-ports needs %d ports, one for each simulated provider, such as 18081,18082,18083", len(samplePorts))
	}
	seen := map[int]bool{}
	for _, port := range o.ports() {
		if port.number < 1 || port.number > 65535 {
			return fmt.Errorf("%s=%d is not a port; write a number from 1 to 65535", port.flag, port.number)
		}
		if seen[port.number] {
			return fmt.Errorf("port %d is given twice; every program needs its own", port.number)
		}
		seen[port.number] = true
	}
	return nil
}

// portOption is a port that will be listened on, and the flag that changes it.
type portOption struct {
	number int
	flag   string
}

// ports are those that this run will listen on.
func (o options) ports() []portOption {
	ports := []portOption{{o.proxyPort, "--proxy-port"}, {o.adminPort, "--admin-port"}}
	if o.cluster == clusterLocal {
		for _, number := range o.providerPorts {
			ports = append(ports, portOption{number, "--provider-ports"})
		}
	}
	return ports
}

// checkPorts says which port is taken, by whom, and how to use another.
func (o options) checkPorts() error {
	var problems []error
	for _, port := range o.ports() {
		if err := harness.PortFree(port.number); err != nil {
			problems = append(problems, fmt.Errorf("port %d is in use%s; end that program, or choose another port with %s",
				port.number, portHolder(port.number), port.flag))
		}
	}
	return errors.Join(problems...)
}

func (o options) state() string      { return filepath.Join(o.dir, "state") }
func (o options) logs() string       { return filepath.Join(o.dir, "logs") }
func (o options) kubeconfig() string { return filepath.Join(o.dir, "kubeconfig") }

// shown is a path as a user in the checkout would type it.
func (o options) shown(path string) string {
	if relative, err := filepath.Rel(o.root, path); err == nil && filepath.IsLocal(relative) {
		return relative
	}
	return path
}
