// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/turnout-ai/turnout/api/v1alpha1"
	"github.com/turnout-ai/turnout/internal/routing"
)

// Metrics are the operator's own; those of controller-runtime and client-go stand beside them.
type Metrics struct {
	endpoints    *endpointGauge
	buildSeconds prometheus.Histogram
	statusWrites *prometheus.CounterVec
}

// NewMetrics makes the metrics and registers them. It fails when they are registered already.
func NewMetrics(registry prometheus.Registerer) (*Metrics, error) {
	m := &Metrics{
		endpoints: &endpointGauge{
			desc: prometheus.NewDesc("turnout_endpoints",
				"ModelEndpoints by namespace, status (Active, Standby) and the reason of a Standby.",
				[]string{"namespace", "status", "reason"}, nil),
			counts: map[string]map[endpointClass]int{},
		},
		buildSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "turnout_build_seconds",
			Help:    "Time to build the routing table of one namespace, from which its statuses are written.",
			Buckets: prometheus.ExponentialBuckets(0.00005, 4, 9),
		}),
		statusWrites: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "turnout_status_writes_total",
			Help: "Statuses written, by the kind of the object. It stands still while nothing changes.",
		}, []string{"kind"}),
	}
	for _, collector := range []prometheus.Collector{m.endpoints, m.buildSeconds, m.statusWrites} {
		if err := registry.Register(collector); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// endpointClass is a pair of label values. There are as many reasons as the API defines, so that the number
// of series is bounded by that of namespaces.
type endpointClass struct {
	status, reason string
}

// endpointGauge counts the endpoints of every namespace. A namespace is replaced as a whole, so that no
// series outlives its last endpoint.
type endpointGauge struct {
	desc *prometheus.Desc

	mu sync.Mutex
	// counts is guarded by mu; the inner maps never change.
	counts map[string]map[endpointClass]int
}

var _ prometheus.Collector = (*endpointGauge)(nil)

func (m *Metrics) setEndpoints(namespace string, entries []*routing.Endpoint) {
	counts := make(map[endpointClass]int)
	for _, entry := range entries {
		class := endpointClass{status: string(v1alpha1.StatusActive)}
		if entry.Standby.Reason != "" {
			class = endpointClass{status: string(v1alpha1.StatusStandby), reason: entry.Standby.Reason}
		}
		counts[class]++
	}
	g := m.endpoints
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(counts) == 0 {
		delete(g.counts, namespace)
		return
	}
	g.counts[namespace] = counts
}

// Describe implements prometheus.Collector.
func (g *endpointGauge) Describe(out chan<- *prometheus.Desc) { out <- g.desc }

// Collect implements prometheus.Collector.
func (g *endpointGauge) Collect(out chan<- prometheus.Metric) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for namespace, counts := range g.counts {
		for class, n := range counts {
			out <- prometheus.MustNewConstMetric(g.desc, prometheus.GaugeValue, float64(n), namespace, class.status, class.reason)
		}
	}
}
