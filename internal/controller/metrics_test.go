// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/turnout-ai/turnout/internal/modelstate"
	"github.com/turnout-ai/turnout/internal/routing"
)

func TestTheEndpointGaugeForgetsWhatIsGone(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	m, err := NewMetrics(registry)
	if err != nil {
		t.Fatal(err)
	}
	made := 0
	entry := func(refusal routing.Refusal) *judged {
		made++
		key := routing.Key{Namespace: "a", Name: strconv.Itoa(made)}
		return judgedOf(nil, routing.Endpoint{EndpointSpec: routing.EndpointSpec{Key: key}, Standby: refusal}, modelstate.State{})
	}
	active := func() *judged { return entry(routing.Refusal{}) }
	resting := func(reason string) *judged { return entry(routing.Refusal{Reason: reason}) }
	set := func(namespace string, all ...*judged) { m.setNamespace(namespace, &look{endpoints: all}) }
	expect := func(step string, lines ...string) {
		t.Helper()
		want := ""
		if len(lines) > 0 {
			want = "# HELP turnout_endpoints ModelEndpoints by namespace, status (Active, Standby) and the reason of a Standby.\n" +
				"# TYPE turnout_endpoints gauge\n" + strings.Join(lines, "\n") + "\n"
		}
		if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "turnout_endpoints"); err != nil {
			t.Errorf("%s: %v", step, err)
		}
	}

	set("a", active(), active(), resting("Manual"))
	set("b", resting("SecretNotFound"))
	expect("two namespaces",
		`turnout_endpoints{namespace="a",reason="",status="Active"} 2`,
		`turnout_endpoints{namespace="a",reason="Manual",status="Standby"} 1`,
		`turnout_endpoints{namespace="b",reason="SecretNotFound",status="Standby"} 1`)

	set("a", active())
	expect("an endpoint was deleted and another one left its class",
		`turnout_endpoints{namespace="a",reason="",status="Active"} 1`,
		`turnout_endpoints{namespace="b",reason="SecretNotFound",status="Standby"} 1`)

	set("b")
	expect("a namespace is empty", `turnout_endpoints{namespace="a",reason="",status="Active"} 1`)

	set("a")
	expect("all are gone")

	if _, err := NewMetrics(registry); err == nil {
		t.Error("the metrics can be registered twice")
	}
}

func TestEveryFieldOfAStateIsASeries(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	m, err := NewMetrics(registry)
	if err != nil {
		t.Fatal(err)
	}
	sum := &tally{
		priced: true,
		quota: modelstate.PeriodUsage{Usage: modelstate.Usage{
			Requests: 12, Tokens: modelstate.Tokens{Input: 100, CachedInput: 40, Output: 30, Reasoning: 10},
			Estimated: modelstate.Estimate{Requests: 2},
		}},
		budget:      modelstate.PeriodUsage{Usage: modelstate.Usage{Cost: 1_250_000_000}},
		rate:        modelstate.Rate{Attempts: 8, Failures: 2},
		lastRequest: earlier, lastFailure: later,
	}
	sum.total.Add(100 * time.Millisecond)
	sum.firstToken.Add(10 * time.Millisecond)
	j := judgedOf(nil, routing.Endpoint{EndpointSpec: routing.EndpointSpec{
		Key: routing.Key{Namespace: "team", Name: "gpt"}, Provider: "acme",
	}}, modelstate.State{
		Epoch: 5, Trips: 2, FailureCount: 4, Probe: modelstate.Probe{Failures: 3},
		Verdicts: []modelstate.Verdict{{Reason: modelstate.ErrorThreshold, Until: later}, {Reason: modelstate.RateLimited, Until: later}},
	})
	j.tally = sum
	onTrial := judgedOf(nil, routing.Endpoint{EndpointSpec: routing.EndpointSpec{
		Key: routing.Key{Namespace: "team", Name: "mini"}, Provider: "acme",
	}}, modelstate.State{Trial: &modelstate.Trial{Since: earlier, InitialPercent: 20, Ramp: 2 * time.Hour}})
	m.setNamespace("team", &look{at: later, endpoints: []*judged{j, onTrial}})

	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, family := range families {
		for _, metric := range family.Metric {
			name, labels := strings.TrimPrefix(family.GetName(), "turnout_endpoint_"), ""
			mine := false
			for _, label := range metric.Label {
				switch label.GetName() {
				case "endpoint":
					mine = label.GetValue() == "gpt" || family.GetName() == "turnout_endpoint_on_trial_percent"
				case "reason", "type", "quantile":
					labels = " " + label.GetValue()
				}
			}
			if mine {
				got[name+labels] = metric.Gauge.GetValue()
			}
		}
	}
	want := map[string]float64{
		"active": 0, "standby ErrorThreshold": 1, "standby RateLimited": 1, "failure_count": 4, "error_rate": 0.25,
		"cooldown_until_seconds": float64(later.Unix()), "trips": 2, "epoch": 5, "requests": 12, "estimated_requests": 2,
		"tokens input": 100, "tokens cached_input": 40, "tokens output": 30, "tokens reasoning": 10, "cost_usd": 1.25,
		"last_request_timestamp_seconds": float64(earlier.Unix()), "last_failure_timestamp_seconds": float64(later.Unix()),
		"probe_failures": 3, "on_trial_percent": 60,
	}
	for _, quantile := range []string{"0.5", "0.95"} { // as exact as their classes are
		for name, h := range map[string]*modelstate.Histogram{"latency_seconds ": &sum.total, "first_token_seconds ": &sum.firstToken} {
			d, _ := h.Quantile(50)
			want[name+quantile] = d.Seconds()
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("series (-want +got):\n%s", diff)
	}

	m.setNamespace("team", &look{})
	if n, err := testutil.GatherAndCount(registry); err != nil || n != 1 { // the histogram of builds
		t.Errorf("%d series are left, %v", n, err)
	}
}
