// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/go-logr/logr"
	"github.com/spf13/pflag"
	"go.uber.org/zap/zapcore"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"

	"github.com/turnout-ai/turnout/internal/version"
)

// namespaceFile tells a process in a pod its namespace.
const namespaceFile = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"

const (
	formatJSON    = "json"
	formatConsole = "console"
)

// options are the flags.
type options struct {
	leaderElect             bool
	leaderElectionNamespace string
	metricsAddress          string
	probeAddress            string
	kubeconfig              string
	kubeAPIQPS              float32
	kubeAPIBurst            int
	namespaces              []string
	logLevel                string
	logFormat               string
	showVersion             bool
}

func parse(arguments []string) (*options, error) {
	var o options
	flags := pflag.NewFlagSet("operator", pflag.ContinueOnError)
	flags.SortFlags = false
	flags.StringVar(&o.kubeconfig, "kubeconfig", "",
		"kubeconfig file that names the API server; without it the operator takes the ServiceAccount of its pod (KUBECONFIG in the environment is not read)")
	flags.Float32Var(&o.kubeAPIQPS, "kube-api-qps", 200,
		"requests per second to the API server, averaged; statuses of endpoints that fail at once are written at up to this rate")
	flags.IntVar(&o.kubeAPIBurst, "kube-api-burst", 400, "requests to the API server that may go out at once")
	flags.StringSliceVar(&o.namespaces, "namespaces", nil, "namespaces whose endpoints and policies to look after, separated by commas; proxies are seen in all (default all)")
	flags.BoolVar(&o.leaderElect, "leader-elect", true,
		"elect one operator that works while the others wait; turn it off only where there is never a second one")
	flags.StringVar(&o.leaderElectionNamespace, "leader-election-namespace", "",
		"namespace of the leader's Lease (default the pod's own)")
	flags.StringVar(&o.metricsAddress, "metrics-bind-address", "127.0.0.1:8082",
		"host:port that serves /metrics, without authentication; in a pod :8082 lets Prometheus in, 0 turns it off")
	flags.StringVar(&o.probeAddress, "health-probe-bind-address", "127.0.0.1:8081",
		"host:port that serves /healthz and /readyz; in a pod :8081 lets the kubelet in, 0 turns it off")
	flags.StringVar(&o.logLevel, "log-level", "info", "debug, info, warn or error")
	flags.StringVar(&o.logFormat, "log-format", formatJSON, "json or console")
	flags.BoolVar(&o.showVersion, "version", false, "print the version and exit")
	if err := flags.Parse(arguments); err != nil {
		return nil, err
	}
	if flags.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q; operator takes flags only, see --help", flags.Arg(0))
	}
	return &o, o.check()
}

func (o *options) check() error {
	if _, err := zapcore.ParseLevel(o.logLevel); err != nil {
		return fmt.Errorf("--log-level %q is not a level; use debug, info, warn or error", o.logLevel)
	}
	if o.logFormat != formatJSON && o.logFormat != formatConsole {
		return fmt.Errorf("--log-format %q is not a format; use json or console", o.logFormat)
	}
	if o.kubeAPIQPS <= 0 || o.kubeAPIBurst <= 0 {
		return errors.New("--kube-api-qps and --kube-api-burst must be above 0")
	}
	if slices.Contains(o.namespaces, "") {
		return errors.New("--namespaces has an empty name; leave the flag out to look after all namespaces")
	}
	return nil
}

func (o *options) logger() logr.Logger {
	level, err := zapcore.ParseLevel(o.logLevel)
	if err != nil {
		level = zapcore.InfoLevel // check has refused it before.
	}
	encoder := zap.JSONEncoder()
	if o.logFormat == formatConsole {
		encoder = zap.ConsoleEncoder()
	}
	return zap.New(zap.Level(level), encoder, zap.WriteTo(os.Stderr))
}

// restConfig names the API server. A KUBECONFIG in the environment is left alone: it is often somebody's
// production cluster, and this program writes.
func (o *options) restConfig() (*rest.Config, error) {
	cfg, err := o.connection()
	if err != nil {
		return nil, err
	}
	cfg.QPS, cfg.Burst = o.kubeAPIQPS, o.kubeAPIBurst
	cfg.UserAgent = "turnout-operator/" + version.String()
	return cfg, nil
}

func (o *options) connection() (*rest.Config, error) {
	if o.kubeconfig != "" {
		cfg, err := clientcmd.BuildConfigFromFlags("", o.kubeconfig)
		if err != nil {
			return nil, fmt.Errorf("reading --kubeconfig: %w", err)
		}
		return cfg, nil
	}
	cfg, err := rest.InClusterConfig()
	if errors.Is(err, rest.ErrNotInCluster) {
		return nil, errors.New("this is not a pod of a cluster; name the API server with --kubeconfig=FILE")
	}
	if err != nil {
		return nil, fmt.Errorf("reading the pod's ServiceAccount: %w", err)
	}
	return cfg, nil
}

// leaseNamespace is where the leader's Lease lives; empty when there is no election.
func (o *options) leaseNamespace() (string, error) {
	if !o.leaderElect || o.leaderElectionNamespace != "" {
		return o.leaderElectionNamespace, nil
	}
	text, err := os.ReadFile(namespaceFile)
	if errors.Is(err, os.ErrNotExist) {
		return "", errors.New("outside a cluster the leader's Lease needs a place: set --leader-election-namespace, or --leader-elect=false where there is never a second operator")
	}
	if err != nil {
		return "", fmt.Errorf("reading the pod's namespace: %w", err)
	}
	return strings.TrimSpace(string(text)), nil
}
