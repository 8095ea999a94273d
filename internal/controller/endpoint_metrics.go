// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/turnout-ai/turnout/internal/modelstate"
	"github.com/turnout-ai/turnout/internal/pricing"
	"github.com/turnout-ai/turnout/internal/quota"
)

// endpointCollector tells everything that a status tells, of every endpoint, as the last look found it. A
// namespace is replaced as a whole, so that no series outlives its endpoint.
type endpointCollector struct {
	counts *prometheus.Desc
	gauges map[string]*prometheus.Desc

	mu sync.Mutex
	// namespaces is guarded by mu; the inner values never change.
	namespaces map[string]endpointSnapshot
}

// endpointSnapshot is one namespace.
type endpointSnapshot struct {
	counts map[endpointClass]int
	// values are those of one endpoint each.
	values [][]endpointValue
}

// endpointValue is one value of one series.
type endpointValue struct {
	gauge  string
	value  float64
	labels []string
}

var _ prometheus.Collector = (*endpointCollector)(nil)

// gaugeLimit is a series, and the label of those about limits.
const gaugeLimit = "limit"

// The series of one endpoint, beside namespace, endpoint and provider.
var endpointGauges = []struct {
	name, help, label string
}{
	{"active", "1 while the endpoint takes traffic, 0 while it is on Standby.", ""},
	{"standby", "1 for each reason for which the endpoint is on Standby.", "reason"},
	{"failure_count", "Failures since the last success, over the fleet.", ""},
	{"error_rate", "Share of attempts that failed within the window; absent without attempts.", ""},
	{"cooldown_until_seconds", "Earliest return as Unix time; absent while the endpoint is Active or no time brings it back.", ""},
	{"on_trial_percent", "Share of its traffic that the endpoint gets on trial; absent when it is not.", ""},
	{"trips", "How often the endpoint went to Standby since it last passed a trial.", ""},
	{"epoch", "How many transitions of health there were.", ""},
	{"requests", "Attempts of the current quota period.", ""},
	{"tokens", "Tokens of the current quota period.", "type"},
	{"cost_usd", "Cost of the current budget period; absent without a price.", ""},
	{gaugeLimit, "A limit of a period: requests, tokens, or US dollars.", gaugeLimit},
	{"limit_used", "How much of a limit is used in the current period, or was lent to proxies that are gone without giving it back.", gaugeLimit},
	{"limit_leased", "How much of a limit is lent to proxies and not used, as far as they have said.", gaugeLimit},
	{"limit_left", "How much of a limit can still be lent in the current period.", gaugeLimit},
	{"estimated_requests", "Attempts of the current quota period whose use no provider has confirmed.", ""},
	{"latency_seconds", "Latency of successful attempts of about the last five minutes.", "quantile"},
	{"first_token_seconds", "Time to the first content of streams of about the last five minutes.", "quantile"},
	{"last_request_timestamp_seconds", "When the last successful request ended, as Unix time.", ""},
	{"last_failure_timestamp_seconds", "When the last failed request ended, as Unix time.", ""},
	{"probe_failures", "Probes that failed in a row.", ""},
}

func newEndpointCollector() *endpointCollector {
	c := &endpointCollector{
		counts: prometheus.NewDesc("turnout_endpoints",
			"ModelEndpoints by namespace, status (Active, Standby) and the reason of a Standby.",
			[]string{"namespace", "status", "reason"}, nil),
		gauges:     map[string]*prometheus.Desc{},
		namespaces: map[string]endpointSnapshot{},
	}
	for _, g := range endpointGauges {
		labels := []string{"namespace", "endpoint", "provider"}
		if g.label != "" {
			labels = append(labels, g.label)
		}
		c.gauges[g.name] = prometheus.NewDesc("turnout_endpoint_"+g.name, g.help, labels, nil)
	}
	return c
}

// setNamespace replaces what is told of a namespace.
func (m *Metrics) setNamespace(namespace string, seen *look) {
	snapshot := endpointSnapshot{counts: map[endpointClass]int{}}
	for _, j := range seen.endpoints {
		snapshot.counts[classOf(j)]++
		if j.values == nil {
			j.values = valuesOf(j, seen.at)
		}
		snapshot.values = append(snapshot.values, j.values)
	}
	c := m.endpoints
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(snapshot.counts) == 0 {
		delete(c.namespaces, namespace)
		return
	}
	c.namespaces[namespace] = snapshot
}

// valuesOf are the values of one endpoint.
func valuesOf(j *judged, now time.Time) []endpointValue {
	var out []endpointValue
	set := func(gauge string, value float64, labels ...string) {
		labels = append([]string{j.entry.Key.Namespace, j.entry.Key.Name, j.entry.Provider}, labels...)
		out = append(out, endpointValue{gauge, value, labels})
	}
	active := 0.0
	if j.takesTraffic() {
		active = 1
	}
	set("active", active)
	for i := range j.state.Verdicts {
		set("standby", 1, j.state.Verdicts[i].Reason.String())
	}
	if r := unusable(j.entry).Reason; r != "" {
		set("standby", 1, r)
	}
	set("failure_count", float64(j.state.FailureCount))
	if until := j.state.CooldownUntil(); !until.IsZero() {
		set("cooldown_until_seconds", float64(until.Unix()))
	}
	if j.state.Trial != nil && j.state.Active() {
		set("on_trial_percent", float64(j.state.Standing(j.entry.Units, now).Percent))
	}
	set("trips", float64(j.state.Trips))
	set("epoch", float64(j.state.Epoch))
	set("probe_failures", float64(j.state.Probe.Failures))
	j.tally.values(set)
	for _, u := range j.limits() {
		unit := 1.0
		if u.limit == quota.Budget {
			unit = float64(pricing.Dollar)
		}
		name := u.limit.String()
		set(gaugeLimit, float64(u.amount)/unit, name)
		set("limit_used", float64(u.used)/unit, name)
		set("limit_leased", float64(u.leased)/unit, name)
		set("limit_left", float64(u.left)/unit, name)
	}
	return out
}

// values are those of what was counted and measured.
func (sum *tally) values(set func(gauge string, value float64, labels ...string)) {
	if r := sum.rate; r.Attempts > 0 {
		set("error_rate", float64(r.Failures)/float64(r.Attempts))
	}
	set("requests", float64(sum.quota.Requests))
	set("estimated_requests", float64(sum.quota.Estimated.Requests))
	set("tokens", float64(sum.quota.Tokens.Input), "input")
	set("tokens", float64(sum.quota.Tokens.CachedInput), "cached_input")
	set("tokens", float64(sum.quota.Tokens.Output), "output")
	set("tokens", float64(sum.quota.Tokens.Reasoning), "reasoning")
	if sum.priced {
		set("cost_usd", float64(sum.budget.Cost)/float64(pricing.Dollar))
	}
	quantiles := func(gauge string, h *modelstate.Histogram) {
		for _, q := range []struct {
			percent int64
			label   string
		}{{50, "0.5"}, {95, "0.95"}} {
			if d, known := h.Quantile(q.percent); known {
				set(gauge, d.Seconds(), q.label)
			}
		}
	}
	quantiles("latency_seconds", &sum.total)
	quantiles("first_token_seconds", &sum.firstToken)
	if !sum.lastRequest.IsZero() {
		set("last_request_timestamp_seconds", float64(sum.lastRequest.Unix()))
	}
	if !sum.lastFailure.IsZero() {
		set("last_failure_timestamp_seconds", float64(sum.lastFailure.Unix()))
	}
}

// Describe implements prometheus.Collector.
func (c *endpointCollector) Describe(out chan<- *prometheus.Desc) {
	out <- c.counts
	for _, desc := range c.gauges {
		out <- desc
	}
}

// Collect implements prometheus.Collector.
func (c *endpointCollector) Collect(out chan<- prometheus.Metric) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for namespace, snapshot := range c.namespaces {
		for class, n := range snapshot.counts {
			out <- prometheus.MustNewConstMetric(c.counts, prometheus.GaugeValue, float64(n), namespace, class.status, class.reason)
		}
		for _, v := range slices.Concat(snapshot.values...) {
			out <- prometheus.MustNewConstMetric(c.gauges[v.gauge], prometheus.GaugeValue, v.value, v.labels...)
		}
	}
}
