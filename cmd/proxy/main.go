// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

// Command proxy is Turnout's data plane: it serves OpenAI requests by the ModelEndpoints and RoutingPolicies
// of a Kubernetes cluster.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"
	_ "time/tzdata" // time zones of endpoints are known where the image has no files

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	logf "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/turnout-ai/turnout/internal/kube"
	"github.com/turnout-ai/turnout/internal/proxy"
	"github.com/turnout-ai/turnout/internal/report"
	"github.com/turnout-ai/turnout/internal/source"
	"github.com/turnout-ai/turnout/internal/version"
)

func main() {
	opts, err := parseFlags(os.Args[1:])
	if errors.Is(err, pflag.ErrHelp) {
		return
	}
	if err == nil {
		err = run(opts)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "proxy:", err)
		os.Exit(1)
	}
}

// run serves until a signal, then drains; a second signal ends it at once.
func run(opts options) error {
	if opts.version {
		fmt.Println("turnout proxy", version.Version)
		return nil
	}
	log := opts.logger()
	logf.SetLogger(logr.FromSlogHandler(log.Handler()))
	klog.SetSlogLogger(log)
	if opts.allowAnonymous {
		log.Warn("anyone who can reach this proxy may use every model in the default namespace (--allow-anonymous)",
			"listen", opts.listen, "default_namespace", opts.defaultNamespace)
	}
	stop, cancelStop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancelStop()

	accessLog, closeLog, err := opts.openAccessLog()
	if err != nil {
		return err
	}
	defer closeLog()
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	p := proxy.New(proxy.Options{
		DefaultNamespace: opts.defaultNamespace,
		MaxBody:          opts.maxBody,
		BodyBudget:       opts.bodyBudget,
		MaxConnections:   opts.maxConnections,
		SendAttemptID:    opts.sendAttemptID,
		AccessLog:        accessLog,
		Log:              log,
		Metrics:          registry,
	})
	listener, err := (&net.ListenConfig{}).Listen(stop, "tcp", opts.listen)
	if err != nil {
		return fmt.Errorf("--listen: %w", err)
	}
	control, err := newControl(opts, p, registry, log, reachable(listener.Addr().String(), os.Getenv("POD_IP")))
	if err != nil {
		return err
	}
	admin, err := listenAdmin(stop, opts.adminListen, p.AdminHandler(registry))
	if err != nil {
		return err
	}
	defer func() { _ = admin.Close() }()
	return serve(stop, cancelStop, opts, p, listener, control, accessLog, log)
}

// serve runs everything until stop, then lets requests end before what they need does.
func serve(stop context.Context, forget func(), opts options, p *proxy.Proxy, l net.Listener, c *control, a *proxy.AccessLog, log *slog.Logger) error {
	background, end := context.WithCancel(context.WithoutCancel(stop)) // what serves outlives the signal: it drains
	var running sync.WaitGroup
	defer running.Wait()
	defer end()
	running.Go(func() { c.run(background) })
	if a != nil {
		running.Go(func() { _ = a.Run(background) }) // a log that cannot be written counts its lost lines
	}
	failed := make(chan error, 1)
	go func() { failed <- p.Serve(l) }()
	log.Info("serving", "listen", l.Addr().String(), "admin", opts.adminListen, "version", version.Version)
	select {
	case err := <-failed:
		return fmt.Errorf("serving on %s: %w", l.Addr(), err)
	case <-stop.Done():
	}
	forget() // the next signal ends the process
	log.Info("draining: taking requests until load balancers know, then finishing those under way",
		"notice", opts.drainNotice.String(), "timeout", opts.drainTimeout.String())
	ctx, cancel := context.WithTimeout(background, opts.drainNotice+opts.drainTimeout)
	defer cancel()
	if err := p.Drain(ctx, opts.drainNotice); err != nil {
		return err
	}
	log.Info("drained")
	return nil
}

// reachable is the address to show to people: a Pod that listens on all its addresses is reached at its own.
func reachable(listening, podIP string) string {
	host, port, err := net.SplitHostPort(listening)
	if ip := net.ParseIP(host); err != nil || podIP == "" || ip == nil || !ip.IsUnspecified() {
		return listening
	}
	return net.JoinHostPort(podIP, port)
}

// control is the proxy's side of the Kubernetes API: tables and verdicts come in, and what was seen and counted
// goes out.
type control struct {
	source   *source.Source
	reporter *report.Reporter
}

func newControl(opts options, p *proxy.Proxy, registry *prometheus.Registry, log *slog.Logger, address string) (*control, error) {
	config, err := opts.restConfig()
	if err != nil {
		return nil, err
	}
	c := &control{}
	if c.reporter, err = newReporter(config, opts, p, registry, log, address); err != nil {
		return nil, err
	}
	tables, states := registerSource(registry, func() bool { return c.source.State().Current })
	c.source, err = source.New(source.Options{
		Config: config, Namespaces: opts.namespaces, Publisher: p, Logger: log,
		OnPublish: func(d time.Duration) { tables.Observe(d.Seconds()) },
		OnStates:  func(d time.Duration) { states.Observe(d.Seconds()) },
		OnState: func(s source.State) {
			if s.Synced {
				c.reporter.Report(report.Current{Status: s.Current, Reason: s.Reason, Message: s.Message})
			}
		},
	})
	return c, err
}

func newReporter(config *rest.Config, opts options, p *proxy.Proxy, registry *prometheus.Registry, log *slog.Logger, address string) (*report.Reporter, error) {
	config = rest.CopyConfig(config)
	config.QPS, config.Burst = report.Queries, report.QueriesBurst
	writer, err := kube.NewClient(config, nil)
	if err != nil {
		return nil, err
	}
	name := os.Getenv("POD_NAME")
	if name == "" {
		name, _ = os.Hostname() // without one the name is generated whole
	}
	return report.New(report.Options{
		Client: writer, Namespace: opts.instanceNamespace(), Name: name,
		PodName: os.Getenv("POD_NAME"), PodUID: types.UID(os.Getenv("POD_UID")),
		Version: version.Version, Address: address, Book: p.Book(), Logger: log, Metrics: registry,
	}), nil
}

// run goes on until ctx ends, which is after the drain: the reporter's last word has what the last request used.
func (c *control) run(ctx context.Context) {
	var running sync.WaitGroup
	running.Go(func() { _ = c.source.Run(ctx) })   // ends with ctx and has no other error
	running.Go(func() { _ = c.reporter.Run(ctx) }) // the same
	running.Wait()
}

// registerSource registers what is known of the way that tables and states take, and returns where their
// latencies go.
func registerSource(registry *prometheus.Registry, current func() bool) (tables, states prometheus.Observer) {
	buckets := []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5}
	table := prometheus.NewHistogram(prometheus.HistogramOpts{
		Name:    "turnout_table_publish_seconds",
		Help:    "Time from the arrival of a change from the API server to the table that has it being in service.",
		Buckets: buckets,
	})
	state := prometheus.NewHistogram(prometheus.HistogramOpts{
		Name:    "turnout_state_publish_seconds",
		Help:    "Time from the arrival of what the operator decided about an endpoint to it being in force.",
		Buckets: buckets,
	})
	registry.MustRegister(table, state, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "turnout_table_current",
		Help: "1 while the table in service is made of the newest objects, 0 while the last good one is kept.",
	}, func() float64 {
		if current() {
			return 1
		}
		return 0
	}))
	return table, state
}

// listenAdmin serves the administration port.
func listenAdmin(ctx context.Context, address string, handler http.Handler) (*http.Server, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("--admin-listen: %w", err)
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = server.Serve(listener) }() // ends with Close
	return server, nil
}
