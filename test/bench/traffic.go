// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"k8s.io/client-go/kubernetes"

	"github.com/turnout-ai/turnout/test/evidence"
)

const (
	aboutTraffic = "What the runtime truth costs the API server. Ten proxies and the operator run beside the API server and etcd on all processors of the machine; " +
		"50 endpoints of 10 providers, each behind a model name of its own. Under load every proxy is asked for all 50 in turn, five requests per second each, of which every " +
		"fortieth is answered with 500 by its provider; at rest nobody asks. Writes and the bytes of their bodies are the API server's own counts " +
		"(apiserver_request_total, apiserver_request_body_size_bytes) over a minute, by resource."
	trafficProxies   = 10
	trafficEndpoints = 50
	// trafficMinutes is how often each minute is measured.
	trafficMinutes = 2
	// settle is how long the fleet is left alone before a measurement: longer than any interval of reports.
	settle = 30 * time.Second
)

// traffic measures the writes of a fleet under load and at rest.
func traffic(ctx context.Context, dir string) (*evidence.Record, error) {
	record := evidence.Begin(ctx, "traffic", aboutTraffic, "make bench", 0)
	f := &field{}
	defer func() { f.close(context.WithoutCancel(ctx)) }()
	sim, err := f.simulated(ctx, dir, "provider")
	if err != nil {
		return nil, err
	}
	if err := control(ctx, sim.address, "PUT", "/_sim/rules", `[{"fault":"500","probability":0.025}]`); err != nil {
		return nil, err
	}
	var text strings.Builder
	for n := range trafficEndpoints {
		name := fmt.Sprintf("model-%d", n)
		fmt.Fprintf(&text, endpointYAML, name, fmt.Sprintf("provider-%d", n%10), sim.address)
		fmt.Fprintf(&text, policyYAML, name, name)
	}
	if err := f.addObjects(ctx, dir, text.String()); err != nil {
		return nil, err
	}
	members, err := f.proxies(ctx, dir, trafficProxies)
	if err != nil {
		return nil, err
	}
	api, err := kubernetes.NewForConfig(f.cluster.Config())
	if err != nil {
		return nil, err
	}
	stop := askAll(ctx, members)
	if err := countWrites(ctx, api, record, "under load"); err != nil {
		return nil, err
	}
	stop()
	if err := countWrites(ctx, api, record, "at rest"); err != nil {
		return nil, err
	}
	record.Tables = []evidence.Table{trafficTable()}
	return record, nil
}

// askAll has every proxy asked for every model, until stop is called.
func askAll(ctx context.Context, members []*member) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var asking sync.WaitGroup
	for i, m := range members {
		asking.Go(func() {
			ticker := time.NewTicker(200 * time.Millisecond)
			defer ticker.Stop()
			for n := i; ; n++ {
				select {
				case <-ctx.Done():
					return
				case <-ticker.C:
				}
				_ = chat(ctx, m.address, fmt.Sprintf("model-%d", n%trafficEndpoints)) // some fail, as they are meant to
			}
		})
	}
	return func() {
		cancel()
		asking.Wait()
	}
}

// writers are the resources that a fleet writes.
var writers = []string{"proxyinstances", "proxyreports", "modelendpoints", "routingpolicies", "leases", "events"}

// total sums all of them up.
const total = "all together"

// countWrites adds the writes of some minutes to the record.
func countWrites(ctx context.Context, api *kubernetes.Clientset, record *evidence.Record, when string) error {
	fmt.Println("counting the writes of a fleet", when)
	if err := pause(ctx, settle); err != nil {
		return err
	}
	for range trafficMinutes {
		before, err := readCounts(ctx, api)
		if err != nil {
			return err
		}
		if err := pause(ctx, time.Minute); err != nil {
			return err
		}
		after, err := readCounts(ctx, api)
		if err != nil {
			return err
		}
		var writes, size float64
		for _, resource := range writers {
			w := after[resource].writes - before[resource].writes
			s := (after[resource].bytes - before[resource].bytes) / 1024
			record.Add(resource+", "+when, "writes/min", w)
			record.Add(resource+" bytes, "+when, "KiB/min", s)
			writes, size = writes+w, size+s
		}
		record.Add(total+", "+when, "writes/min", writes)
		record.Add(total+" bytes, "+when, "KiB/min", size)
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

func trafficTable() evidence.Table {
	t := evidence.Table{Name: "writes", Columns: []string{
		"resource", "writes/min under load", "KiB/min under load", "writes/min at rest", "KiB/min at rest",
	}}
	for _, resource := range slices.Concat(writers, []string{total}) {
		row := evidence.Row{Label: resource}
		for _, series := range []string{", under load", " bytes, under load", ", at rest", " bytes, at rest"} {
			row.Cells = append(row.Cells, evidence.Cell{Series: resource + series, Stat: "p50"})
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

// counts are what the API server has counted of one resource.
type counts struct{ writes, bytes float64 }

// readCounts reads the API server's own metrics.
func readCounts(ctx context.Context, api *kubernetes.Clientset) (map[string]counts, error) {
	text, err := api.RESTClient().Get().AbsPath("/metrics").DoRaw(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading the API server's metrics: %w", err)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("understanding the API server's metrics: %w", err)
	}
	out := map[string]counts{}
	for _, m := range families["apiserver_request_total"].GetMetric() {
		switch label(m, "verb") {
		case "POST", "PUT", "PATCH", "DELETE":
			c := out[label(m, "resource")]
			c.writes += m.GetCounter().GetValue()
			out[label(m, "resource")] = c
		}
	}
	for _, m := range families["apiserver_request_body_size_bytes"].GetMetric() {
		c := out[label(m, "resource")]
		c.bytes += m.GetHistogram().GetSampleSum()
		out[label(m, "resource")] = c
	}
	return out, nil
}

func label(m *dto.Metric, name string) string {
	for _, pair := range m.GetLabel() {
		if pair.GetName() == name {
			return pair.GetValue()
		}
	}
	return ""
}
