// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package translate

import (
	"encoding/json"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utiljson "k8s.io/apimachinery/pkg/util/json"

	"github.com/turnout-ai/turnout/api/v1alpha1"
	"github.com/turnout-ai/turnout/internal/kubetest"
)

// admits fails the test unless the API server would take the object.
func admits(t *testing.T, s *kubetest.Schema, object any) {
	t.Helper()
	written, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	var raw map[string]any
	if err := utiljson.Unmarshal(written, &raw); err != nil {
		t.Fatal(err)
	}
	for _, problem := range s.Admit(t.Context(), raw) {
		t.Errorf("%v\n%s", problem, written)
	}
}

// defaulted is object after the API server's defaulting.
func defaulted[T any](t *testing.T, object *T, s *kubetest.Schema) *T {
	t.Helper()
	raw, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	if err != nil {
		t.Fatal(err)
	}
	s.Default(raw)
	out := new(T)
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(raw, out); err != nil {
		t.Fatal(err)
	}
	return out
}

// maybe is a pointer to one of the values, or nil.
func maybe[T any](r *rand.Rand, values ...T) *T {
	if r.IntN(2) == 0 {
		return nil
	}
	return &values[r.IntN(len(values))]
}

func somePolicy(r *rand.Rand) *v1alpha1.RoutingPolicy {
	d := func() *v1alpha1.Duration { return maybe[v1alpha1.Duration](r, "1s", "250ms", "1m30s", "0s") }
	p := &v1alpha1.RoutingPolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "chat"},
		Spec:       v1alpha1.RoutingPolicySpec{Capability: "chat-completion"},
	}
	if r.IntN(3) > 0 {
		p.Spec.Timeouts = &v1alpha1.Timeouts{Connect: d(), TLSHandshake: d(), FirstToken: d(), CommitAfter: d(), Idle: d(), ClientWrite: d()}
	}
	if r.IntN(3) > 0 {
		p.Spec.Retry = &v1alpha1.Retry{
			Attempts: maybe[int32](r, 1, 5, 32), Deadline: d(), BudgetPercent: maybe[int32](r, 20),
			Backoff: maybe(r, v1alpha1.Backoff{Base: d(), Max: d()}, v1alpha1.Backoff{Type: v1alpha1.BackoffFixed}),
		}
	}
	if r.IntN(3) > 0 {
		p.Spec.Deactivation = &v1alpha1.Deactivation{ConsecutiveFailures: maybe[int32](r, 2, 7), RestToStandby: d()}
		if r.IntN(2) == 0 {
			p.Spec.Deactivation.ErrorRate = &v1alpha1.ErrorRate{Threshold: "0.5", Window: d(), MinimumRequests: maybe[int32](r, 2, 99)}
		}
	}
	if r.IntN(3) > 0 {
		p.Spec.Recovery = &v1alpha1.Recovery{Cooldown: d(), MaxCooldown: d(), MaxRetryAfter: d(), Successes: maybe[int32](r, 1, 4)}
		if r.IntN(2) == 0 {
			p.Spec.Recovery.Ramp = &v1alpha1.Ramp{InitialPercent: maybe[int32](r, 1, 100), Duration: d()}
		}
	}
	for range r.IntN(3) {
		p.Spec.Tiers = append(p.Spec.Tiers, v1alpha1.Tier{
			Endpoints: []v1alpha1.EndpointReference{{Name: "a"}},
			Strategy:  maybe(r, v1alpha1.Strategy{Type: v1alpha1.StrategyRoundRobin}),
		})
	}
	return p
}

// Defaults are written in the schema and are the behaviour: an object means the same before and after the API
// server has filled it in.
func TestThePolicySchemaDefaultsAreTheCodeDefaults(t *testing.T) {
	s := kubetest.NewSchema(t, "routingpolicies")
	r := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		policy := somePolicy(r)
		filled := defaulted(t, policy, s)
		if filled.Spec.Timeouts == nil || filled.Spec.Retry == nil || filled.Spec.Retry.Attempts == nil ||
			filled.Spec.Deactivation == nil || filled.Spec.Recovery == nil || filled.Spec.Recovery.Ramp == nil {
			t.Fatalf("the schema did not fill in its defaults: %+v", filled.Spec)
		}
		if diff := cmp.Diff(Policy(filled), Policy(policy)); diff != "" {
			t.Fatalf("%+v means something else once the schema has filled it in (-schema +code):\n%s", policy.Spec, diff)
		}
	}
}

func TestTheEndpointSchemaDefaultsAreTheCodeDefaults(t *testing.T) {
	s := kubetest.NewSchema(t, "modelendpoints")
	r := rand.New(rand.NewPCG(3, 4))
	for range 500 {
		endpoint := endpointWith(func(spec *v1alpha1.ModelEndpointSpec) {
			spec.Suspend = maybe(r, true, false)
			if r.IntN(2) == 0 {
				spec.Constraints = &v1alpha1.EndpointConstraints{ContextWindow: maybe[int64](r, 1, 8192)}
			}
			if r.IntN(2) == 0 {
				spec.TLS = &v1alpha1.EndpointTLS{InsecureSkipVerify: maybe(r, true, false)}
			}
			if r.IntN(2) == 0 {
				spec.Pricing = &v1alpha1.Pricing{InputTokens: "1"}
				spec.Limits = &v1alpha1.Limits{
					Quota:   maybe(r, v1alpha1.QuotaLimit{Period: v1alpha1.PeriodHourly}, v1alpha1.QuotaLimit{Period: v1alpha1.PeriodDaily, Requests: new(int64(5))}),
					Rate:    maybe(r, v1alpha1.RateLimit{TokensPerMinute: new(int64(5))}),
					Reserve: []v1alpha1.Reserve{"", v1alpha1.ReserveExpected, v1alpha1.ReserveWorst}[r.IntN(3)],

					OnControlPlaneLoss: []v1alpha1.ControlPlaneLoss{"", v1alpha1.FailClosed, v1alpha1.FailOpen}[r.IntN(3)],
				}
			}
			if r.IntN(2) == 0 {
				spec.Probe = &v1alpha1.Probe{
					Interval: maybe[v1alpha1.Duration](r, "1s", "10m"), Timeout: maybe[v1alpha1.Duration](r, "1s", "200ms"), FailureThreshold: maybe[int32](r, 1, 9),
				}
			}
		})
		filled := defaulted(t, endpoint, s)
		if filled.Spec.Suspend == nil {
			t.Fatal("the schema did not fill in its defaults")
		}
		if diff := cmp.Diff(Endpoint(filled, vault{}), Endpoint(endpoint, vault{})); diff != "" {
			t.Fatalf("%+v means something else once the schema has filled it in (-schema +code):\n%s", endpoint.Spec, diff)
		}
		filledProbe, _ := Probe(filled)
		if probe, _ := Probe(endpoint); probe != filledProbe {
			t.Fatalf("%+v is probed as %+v, and as %+v once the schema has filled it in", endpoint.Spec.Probe, probe, filledProbe)
		}
	}
}
