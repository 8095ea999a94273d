// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/turnout-ai/turnout/internal/routing"
)

func TestTheEndpointGaugeForgetsWhatIsGone(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	m, err := NewMetrics(registry)
	if err != nil {
		t.Fatal(err)
	}
	active := &routing.Endpoint{}
	resting := func(reason string) *routing.Endpoint {
		return &routing.Endpoint{Standby: routing.Refusal{Reason: reason}}
	}
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

	m.setEndpoints("a", []*routing.Endpoint{active, active, resting("Manual")})
	m.setEndpoints("b", []*routing.Endpoint{resting("SecretNotFound")})
	expect("two namespaces",
		`turnout_endpoints{namespace="a",reason="",status="Active"} 2`,
		`turnout_endpoints{namespace="a",reason="Manual",status="Standby"} 1`,
		`turnout_endpoints{namespace="b",reason="SecretNotFound",status="Standby"} 1`)

	m.setEndpoints("a", []*routing.Endpoint{active})
	expect("an endpoint was deleted and another one left its class",
		`turnout_endpoints{namespace="a",reason="",status="Active"} 1`,
		`turnout_endpoints{namespace="b",reason="SecretNotFound",status="Standby"} 1`)

	m.setEndpoints("b", nil)
	expect("a namespace is empty", `turnout_endpoints{namespace="a",reason="",status="Active"} 1`)

	m.setEndpoints("a", nil)
	expect("all are gone")

	if _, err := NewMetrics(registry); err == nil {
		t.Error("the metrics can be registered twice")
	}
}
