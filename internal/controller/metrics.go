// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/turnout-ai/turnout/api/v1alpha1"
)

// Metrics are the operator's own; those of controller-runtime and client-go stand beside them.
type Metrics struct {
	endpoints    *endpointCollector
	paces        *paceCollector
	buildSeconds prometheus.Histogram
	statusWrites *prometheus.CounterVec
}

// NewMetrics makes the metrics and registers them. It fails when they are registered already.
func NewMetrics(registry prometheus.Registerer) (*Metrics, error) {
	m := &Metrics{
		endpoints: newEndpointCollector(),
		paces: &paceCollector{
			numbers: prometheus.NewDesc("turnout_numbers_interval_seconds",
				"How often the numbers of one endpoint are written to its status now. It grows with the endpoints whose numbers change.", nil, nil),
			reports: prometheus.NewDesc("turnout_report_interval_seconds",
				"How often proxies are told to report their numbers now. It grows with the fleet.", nil, nil),
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
	for _, collector := range []prometheus.Collector{m.endpoints, m.paces, m.buildSeconds, m.statusWrites} {
		if err := registry.Register(collector); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// paceCollector tells how often numbers are written and reported. It asks when somebody wants to know.
type paceCollector struct {
	numbers, reports *prometheus.Desc

	mu sync.Mutex
	// interval and reportInterval are guarded by mu; nil until the operator is assembled.
	interval, reportInterval func() time.Duration
}

// setPaces says where the intervals come from.
func (m *Metrics) setPaces(numbers, reports func() time.Duration) {
	m.paces.mu.Lock()
	defer m.paces.mu.Unlock()
	m.paces.interval, m.paces.reportInterval = numbers, reports
}

// Describe implements prometheus.Collector.
func (c *paceCollector) Describe(out chan<- *prometheus.Desc) {
	out <- c.numbers
	out <- c.reports
}

// Collect implements prometheus.Collector.
func (c *paceCollector) Collect(out chan<- prometheus.Metric) {
	c.mu.Lock()
	interval, reports := c.interval, c.reportInterval
	c.mu.Unlock()
	if interval == nil {
		return
	}
	out <- prometheus.MustNewConstMetric(c.numbers, prometheus.GaugeValue, interval().Seconds())
	out <- prometheus.MustNewConstMetric(c.reports, prometheus.GaugeValue, reports().Seconds())
}

// endpointClass is a pair of label values. There are as many reasons as the API defines, so that the number
// of series is bounded by that of namespaces.
type endpointClass struct {
	status, reason string
}

// classOf is how an endpoint is counted. One that is not Ready is counted with the reason of that.
func classOf(j *judged) endpointClass {
	switch {
	case j.entry.Standby.Reason != "":
		return endpointClass{status: string(v1alpha1.StatusStandby), reason: j.entry.Standby.Reason}
	case !j.state.Active():
		return endpointClass{status: string(v1alpha1.StatusStandby), reason: j.state.Reason().String()}
	default:
		return endpointClass{status: string(v1alpha1.StatusActive)}
	}
}
