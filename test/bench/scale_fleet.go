// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/client-go/rest"

	"github.com/turnout-ai/turnout/internal/health"
	"github.com/turnout-ai/turnout/internal/kube"
	"github.com/turnout-ai/turnout/internal/modelstate"
	"github.com/turnout-ai/turnout/internal/report"
	"github.com/turnout-ai/turnout/internal/routing"
	"github.com/turnout-ai/turnout/internal/source"
	"github.com/turnout-ai/turnout/test/harness"
)

// crowdNamespace is where everything of the measurement lives.
const crowdNamespace = "default"

// crowd is a fleet of proxies in this process: each has live health, purses, a reporter and a connection to the API
// server of its own, as cmd/proxy has. What is left out is HTTP, and all but one of the watches on endpoints and
// policies.
type crowd struct {
	members []*walker
	source  *source.Source
	sent    *meter

	// table is the newest; nil before the first.
	table atomic.Pointer[routing.Table]

	mu sync.Mutex
	// judged are the endpoints of which the operator has written a state; guarded by mu.
	judged map[string]bool
}

// walker is one of the proxies.
type walker struct {
	registry *health.Registry
	reporter *report.Reporter
	metrics  *prometheus.Registry
	view     atomic.Pointer[health.View]
	serial   atomic.Uint64
	crowd    *crowd
	desk     desk
}

// newCrowd prepares so many proxies.
func newCrowd(config *rest.Config, proxies int) (*crowd, error) {
	c := &crowd{sent: &meter{totals: map[string]counts{}}, judged: map[string]bool{}}
	for i := range proxies {
		w := &walker{
			registry: health.NewRegistry(slog.New(slog.DiscardHandler)), metrics: prometheus.NewRegistry(),
			crowd: c, desk: desk{waiting: map[string]time.Time{}},
		}
		writer, err := kube.NewClient(c.connection(config), nil)
		if err != nil {
			return nil, err
		}
		w.reporter = report.New(report.Options{
			Client: writer, Namespace: crowdNamespace, Name: fmt.Sprint("walker-", i), Version: "bench", Address: harness.LoopbackAddress(1),
			Book: book{w.registry, w}, Logger: slog.New(slog.DiscardHandler), Metrics: w.metrics,
		})
		c.members = append(c.members, w)
	}
	var err error
	c.source, err = source.New(source.Options{Config: config, Publisher: c, Logger: slog.New(slog.DiscardHandler)})
	return c, err
}

// connection is a way to the API server that nobody shares, and on which writes are counted.
func (c *crowd) connection(config *rest.Config) *rest.Config {
	own := rest.CopyConfig(config)
	own.QPS, own.Burst = report.Queries, report.QueriesBurst
	own.Dial = (&net.Dialer{Timeout: 10 * time.Second}).DialContext // clients share connections of the same dialer
	own.Wrap(func(inner http.RoundTripper) http.RoundTripper { return &metered{inner, c.sent} })
	return own
}

// run has everybody report until stop is called. There is no last word: the cluster is thrown away.
func (c *crowd) run(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() { _ = c.source.Run(ctx) }) // it ends with ctx and has no other error
	for _, w := range c.members {
		running.Go(func() {
			w.reporter.Report(report.Current{Status: true, Reason: "Current", Message: "the newest objects are in force"})
			_ = w.reporter.Run(ctx) // the same
		})
	}
	return func() {
		cancel()
		running.Wait()
	}
}

// Publish implements source.Publisher.
func (c *crowd) Publish(table *routing.Table) {
	for _, w := range c.members {
		w.view.Store(w.registry.Bind(table))
	}
	c.table.Store(table)
}

// PublishStates implements source.Publisher.
func (c *crowd) PublishStates(states map[string]modelstate.State) {
	for _, w := range c.members {
		w.registry.SetFleet(states)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for uid := range states {
		c.judged[uid] = true
	}
}

// await waits until the condition holds.
func (c *crowd) await(ctx context.Context, timeout time.Duration, condition func() error) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return harness.Poll(ctx, 10*time.Millisecond, func(context.Context) error { return condition() })
}

// registered says who is not.
func (c *crowd) registered() error {
	for i, w := range c.members {
		if w.reporter.Name() == "" {
			return fmt.Errorf("proxy %d is not registered yet", i)
		}
	}
	return nil
}

// tabled says how many endpoints are missing in the table.
func (c *crowd) tabled(endpoints int) error {
	table := c.table.Load()
	if table == nil {
		return errors.New("there is no table yet")
	}
	if n := len(table.Endpoints); n < endpoints {
		return fmt.Errorf("%d of %d endpoints are in the table", n, endpoints)
	}
	return nil
}

// known says how many endpoints have no state yet.
func (c *crowd) known(endpoints int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := len(c.judged); n < endpoints {
		return fmt.Errorf("%d of %d endpoints have a state", n, endpoints)
	}
	return nil
}

// interval is the longest time between two reports of numbers that a proxy keeps to.
func (c *crowd) interval() (seconds float64, err error) {
	for _, w := range c.members {
		families, err := w.metrics.Gather()
		if err != nil {
			return 0, err
		}
		for _, family := range families {
			if family.GetName() == "turnout_report_interval_seconds" {
				seconds = max(seconds, family.GetMetric()[0].GetGauge().GetValue())
			}
		}
	}
	return seconds, nil
}

// meter counts what the proxies write, by resource.
type meter struct {
	mu     sync.Mutex
	totals map[string]counts
}

// read copies what was counted.
func (m *meter) read() map[string]counts {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.totals)
}

// metered counts requests that write.
type metered struct {
	inner http.RoundTripper
	meter *meter
}

// RoundTrip implements http.RoundTripper.
func (m *metered) RoundTrip(request *http.Request) (*http.Response, error) {
	if request.Method != http.MethodGet {
		resource := resourceOf(request.URL.Path)
		m.meter.mu.Lock()
		c := m.meter.totals[resource]
		c.writes++
		c.bytes += float64(max(request.ContentLength, 0))
		m.meter.totals[resource] = c
		m.meter.mu.Unlock()
	}
	return m.inner.RoundTrip(request)
}

// resourceOf is the plural in a path such as /apis/turnout.dev/v1alpha1/namespaces/default/proxyinstances/a/status.
func resourceOf(path string) string {
	_, rest, _ := strings.Cut(path, "/namespaces/")
	_, rest, _ = strings.Cut(rest, "/")
	resource, _, _ := strings.Cut(rest, "/")
	return resource
}
