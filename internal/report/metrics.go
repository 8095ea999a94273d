// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package report

import "github.com/prometheus/client_golang/prometheus"

// kind is what a write is about.
type kind string

const (
	kindSignals kind = "signals"
	kindNumbers kind = "numbers"
	kindLease   kind = "lease"
)

// metrics are the reporter's own figures.
type metrics struct {
	interval      prometheus.Gauge
	writes, bytes *prometheus.CounterVec
	errors        prometheus.Counter
}

func newMetrics(registry prometheus.Registerer) *metrics {
	m := &metrics{
		interval: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "turnout_report_interval_seconds",
			Help: "How often this proxy writes its numbers when they have changed: what a kill -9 may lose.",
		}),
		writes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "turnout_report_writes_total",
			Help: "Writes of this proxy to the API server.",
		}, []string{"kind"}),
		bytes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "turnout_report_bytes_total",
			Help: "Size of what was written, as JSON.",
		}, []string{"kind"}),
		errors: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "turnout_report_errors_total",
			Help: "Tries to report that failed. They are repeated, and nothing is lost.",
		}),
	}
	for _, k := range []kind{kindSignals, kindNumbers, kindLease} { // so that rates begin at nothing
		m.writes.WithLabelValues(string(k))
		m.bytes.WithLabelValues(string(k))
	}
	if registry != nil {
		registry.MustRegister(m.interval, m.writes, m.bytes, m.errors)
	}
	return m
}

// wrote counts a write of so many bytes.
func (m *metrics) wrote(k kind, bytes int) {
	m.writes.WithLabelValues(string(k)).Inc()
	m.bytes.WithLabelValues(string(k)).Add(float64(bytes))
}
