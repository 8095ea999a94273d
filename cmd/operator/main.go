// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

// Command operator watches ModelEndpoints, RoutingPolicies and what proxies report, decides which endpoints take
// traffic, keeps their books, probes providers, and removes what proxies leave behind. Run it with --help for its
// flags.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
	_ "time/tzdata" // time zones of endpoints are known where the image has no files

	"github.com/go-logr/logr"
	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/turnout-ai/turnout/internal/controller"
	"github.com/turnout-ai/turnout/internal/version"
)

// askEvery is the pause between two tries to reach an API server that does not answer.
const askEvery = 2 * time.Second

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := start(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "operator: "+err.Error())
		os.Exit(1)
	}
}

// start reads the flags and runs the operator as they say. The loggers of the libraries, of which a process
// has one each, are set here and only once there is something to run.
func start(ctx context.Context, arguments []string) error {
	o, err := parse(arguments)
	switch {
	case errors.Is(err, pflag.ErrHelp):
		return nil // Parsing has printed it.
	case err != nil:
		return err
	case o.showVersion:
		fmt.Println(version.String())
		return nil
	}
	cfg, err := o.restConfig()
	if err != nil {
		return err
	}
	if o.leaderElectionNamespace, err = o.leaseNamespace(); err != nil {
		return err
	}
	log := o.logger()
	ctrl.SetLogger(log)
	klog.SetLogger(log)
	return run(ctx, log, cfg, o)
}

func run(ctx context.Context, log logr.Logger, cfg *rest.Config, o *options) error {
	log.Info("starting", "version", version.String(), "server", cfg.Host, "leaderElection", o.leaderElect)
	found, err := awaitKinds(ctx, log, cfg)
	if err != nil || !found {
		return err
	}
	return operate(ctx, cfg, o)
}

// awaitKinds waits for an API server that does not answer: the operator may be started before it, or while it
// is being replaced. An answer that the operator cannot work with ends the wait; found is false without an
// error when ctx ended first.
func awaitKinds(ctx context.Context, log logr.Logger, cfg *rest.Config) (found bool, err error) {
	said := ""
	err = wait.PollUntilContextCancel(ctx, askEvery, true, func(context.Context) (bool, error) {
		err := controller.CheckKinds(cfg)
		if err == nil || controller.Answered(err) {
			return err == nil, err
		}
		if text := err.Error(); text != said {
			said = text
			log.Info("waiting for the API server", "trouble", text)
		}
		return false, nil
	})
	if wait.Interrupted(err) {
		return false, nil
	}
	return err == nil, err
}

func operate(ctx context.Context, cfg *rest.Config, o *options) error {
	own, err := controller.NewMetrics(metrics.Registry)
	if err != nil {
		return fmt.Errorf("registering metrics: %w", err)
	}
	mgr, err := controller.NewManager(ctx, cfg, controller.Options{
		LeaderElection:          o.leaderElect,
		LeaderElectionNamespace: o.leaderElectionNamespace,
		MetricsAddress:          o.metricsAddress,
		ProbeAddress:            o.probeAddress,
		Namespaces:              o.namespaces,
		Metrics:                 own,
	})
	if err != nil {
		return err
	}
	if err := mgr.Start(ctx); err != nil {
		return fmt.Errorf("stopped working: %w", err)
	}
	return nil
}
