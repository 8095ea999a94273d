// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package explain

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/turnout-ai/turnout/api/v1alpha1"
	"github.com/turnout-ai/turnout/internal/routing"
)

func endpoint(conditions ...metav1.Condition) v1alpha1.ModelEndpoint {
	return v1alpha1.ModelEndpoint{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "alpha", Generation: 2},
		Spec: v1alpha1.ModelEndpointSpec{
			Provider: "sim", Format: v1alpha1.FormatOpenAI, URL: "https://sim.example/v1", Model: "m", Capabilities: []string{"chat-completion"},
			Auth: &v1alpha1.EndpointAuth{Type: v1alpha1.AuthBearer, SecretRef: v1alpha1.SecretKeyReference{Name: "key", Key: "api-key"}},
		},
		Status: v1alpha1.ModelEndpointStatus{Conditions: conditions},
	}
}

func resolvedRefs(status metav1.ConditionStatus, reason string, generation int64) metav1.Condition {
	return metav1.Condition{Type: v1alpha1.ConditionResolvedRefs, Status: status, Reason: reason, ObservedGeneration: generation}
}

func TestTheOperatorIsBelievedAboutSecrets(t *testing.T) {
	alpha := []routing.Key{{Namespace: "ns", Name: "alpha"}}
	suspended := endpoint()
	suspended.Spec.Suspend = new(true)
	keyless := endpoint()
	keyless.Spec.Auth = nil
	tests := []struct {
		name          string
		endpoint      v1alpha1.ModelEndpoint
		wantStandby   string
		wantUnchecked []routing.Key
	}{
		{name: "it found the Secret", endpoint: endpoint(resolvedRefs(metav1.ConditionTrue, "ResolvedRefs", 2))},
		{name: "it found none", endpoint: endpoint(resolvedRefs(metav1.ConditionFalse, "SecretNotFound", 2)), wantStandby: "SecretNotFound"},
		{name: "it is still reading", endpoint: endpoint(resolvedRefs(metav1.ConditionFalse, "SecretPending", 2)), wantStandby: "SecretPending"},
		{name: "it has not looked yet", endpoint: endpoint(), wantUnchecked: alpha},
		{name: "it has looked at an older spec only", endpoint: endpoint(resolvedRefs(metav1.ConditionFalse, "SecretNotFound", 1)), wantUnchecked: alpha},
		{name: "another reason to stand by stays", endpoint: suspended, wantStandby: "Manual", wantUnchecked: alpha},
		{name: "an endpoint without references needs no word", endpoint: keyless},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			table, unchecked := Table([]v1alpha1.ModelEndpoint{test.endpoint}, nil)
			if got := table.Endpoints[0].Standby.Reason; got != test.wantStandby {
				t.Errorf("standby for %q, want %q", got, test.wantStandby)
			}
			if diff := cmp.Diff(test.wantUnchecked, unchecked); diff != "" {
				t.Errorf("unchecked (-want +got):\n%s", diff)
			}
		})
	}
}

// judged is an endpoint with what the operator has written of it.
func judged(name string, change func(*v1alpha1.ModelEndpoint)) v1alpha1.ModelEndpoint {
	e := endpoint()
	e.Name, e.Spec.Auth = name, nil
	if change != nil {
		change(&e)
	}
	return e
}

// resting gives an endpoint one reason.
func resting(reason v1alpha1.DeactivationReason, message string, until *metav1.Time) func(*v1alpha1.ModelEndpoint) {
	return func(e *v1alpha1.ModelEndpoint) {
		e.Status.ModelState = &v1alpha1.ModelState{
			Status: v1alpha1.StatusStandby, DeactivationReason: reason, Epoch: 2,
			Reasons: []v1alpha1.StandbyReason{{Reason: reason, Message: message, Until: until}},
		}
	}
}

func TestEndpointsStandAsTheirStatusesSay(t *testing.T) {
	now := time.Date(2026, 3, 7, 1, 30, 0, 0, time.UTC) // half past two in Berlin, a Saturday
	until := &metav1.Time{Time: now.Add(time.Minute)}
	endpoints := []v1alpha1.ModelEndpoint{
		judged("a-rests", resting(v1alpha1.DeactivationErrorThreshold, "3 failures in a row", until)),
		judged("b-barred", resting(v1alpha1.DeactivationQuotaExhausted, "the provider says that its quota is spent", until)),
		judged("c-in-maintenance", func(e *v1alpha1.ModelEndpoint) {
			e.Spec.Maintenance = []v1alpha1.MaintenanceWindow{{Schedule: "0 2 * * 6", Duration: "2h", TimeZone: "Europe/Berlin"}}
		}),
		judged("d-on-trial", func(e *v1alpha1.ModelEndpoint) {
			e.Status.ModelState = &v1alpha1.ModelState{
				Status: v1alpha1.StatusActive, Epoch: 3,
				Trial: &v1alpha1.TrialState{Since: metav1.NewTime(now.Add(-15 * time.Second)), InitialPercent: 10, Ramp: new(v1alpha1.Duration("30s")), Successes: 3},
			}
		}),
		judged("e-over", resting(v1alpha1.DeactivationRateLimited, "asked to wait", &metav1.Time{Time: now.Add(-time.Minute)})),
		judged("f-ordinary", nil),
		judged("g-going", func(e *v1alpha1.ModelEndpoint) { e.DeletionTimestamp = until }),
	}
	policy := v1alpha1.RoutingPolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "chat"},
		Spec:       v1alpha1.RoutingPolicySpec{Models: []string{"chat"}, Capability: "chat-completion"},
	}
	table, _ := Table(endpoints, []v1alpha1.RoutingPolicy{policy})
	answer := Explain(table, StateOf(table, endpoints, now), Question{Namespace: "ns", Name: "chat"})

	var text strings.Builder
	if err := WriteText(&text, routing.Facts{}, answer); err != nil {
		t.Fatal(err)
	}
	want := `chat resolves to RoutingPolicy ns/chat (one of its models).
Request: any operation.

Tried in this order, at most 3 attempts within 10m0s:
     ENDPOINT    TIER  STRATEGY  STATUS      PROVIDER  MODEL  URL
  1  d-on-trial  1     Priority  Trial(55%)  sim       m      https://sim.example/v1
  2  e-over      1     Priority  Active      sim       m      https://sim.example/v1
  3  f-ordinary  1     Priority  Active      sim       m      https://sim.example/v1
  4  a-rests     1     Priority  Standby     sim       m      https://sim.example/v1

Left out:
     ENDPOINT          TIER  REASON   WHY
  -  b-barred          1     Standby  is on standby, QuotaExhausted until 2026-03-07T01:31:00Z, for another 1m0s: the provider says that its quota is spent
  -  c-in-maintenance  1     Standby  is on standby, MaintenanceWindow until 2026-03-07T03:00:00Z, for another 1h30m0s: a window of spec.maintenance is open

Notes:
  d-on-trial is on trial, with 55% of its traffic. It is shown in its place, where that share of the requests finds it; for the others it comes after all in service.
  a-rests is on standby, ErrorThreshold until 2026-03-07T01:31:00Z, for another 1m0s: 3 failures in a row. A verdict about health is advice: it is tried last.
  There are more endpoints than attempts: the last of them are tried only when earlier ones rest.
`
	if diff := cmp.Diff(want, text.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if last := answer.Order[3]; last.Status != "Standby" || last.Reason != "ErrorThreshold" || last.Until != "2026-03-07T01:31:00Z" || last.CooldownRemaining != "1m0s" {
		t.Errorf("the one that rests is %+v", last)
	}
	if first := answer.Order[0]; first.Status != "Active" || first.TrialPercent != 55 || first.CooldownRemaining != "" {
		t.Errorf("the one on trial is %+v", first)
	}
	if barred := answer.Excluded[0]; barred.CooldownRemaining != "1m0s" {
		t.Errorf("the one that is barred is %+v", barred)
	}
}

func TestWhatPoliciesMakeOfTheOrderIsTold(t *testing.T) {
	now := time.Date(2026, 3, 7, 1, 30, 0, 0, time.UTC)
	until := &metav1.Time{Time: now.Add(time.Minute)}
	endpoints := []v1alpha1.ModelEndpoint{
		judged("a-rests", resting(v1alpha1.DeactivationErrorThreshold, "3 failures in a row", until)),
		judged("b-ordinary", nil),
		judged("c-ordinary", nil),
	}
	const why = "ErrorThreshold until 2026-03-07T01:31:00Z, for another 1m0s"
	elsewhere := "is not tried, because the state that the request refers to is at another endpoint"
	for name, c := range map[string]struct {
		spec         v1alpha1.RoutingPolicySpec
		facts        routing.Facts
		wantOrder    []string
		wantExcluded []Exclusion
		wantNotes    []string
	}{
		"a policy without a last resort": {
			spec:      v1alpha1.RoutingPolicySpec{WhenExhausted: v1alpha1.WhenExhaustedReject},
			wantOrder: []string{"b-ordinary", "c-ordinary"},
			wantExcluded: []Exclusion{{
				Endpoint: "a-rests", Tier: 1, Reason: "Resting", CooldownRemaining: "1m0s",
				Message: "a-rests: is not tried, " + why + ", and the policy has no last resort: 3 failures in a row",
			}},
		},
		"a request that refers to state": {
			facts:     routing.Facts{Pinned: true},
			wantOrder: []string{"a-rests"},
			wantExcluded: []Exclusion{
				{Endpoint: "b-ordinary", Tier: 1, Reason: "Pinned", Message: "b-ordinary: " + elsewhere},
				{Endpoint: "c-ordinary", Tier: 1, Reason: "Pinned", Message: "c-ordinary: " + elsewhere},
			},
			wantNotes: []string{"a-rests is on standby, " + why + ": 3 failures in a row. It is tried all the same: no other has the state that the request refers to."},
		},
		"retries at one endpoint": {
			spec:         v1alpha1.RoutingPolicySpec{Retry: &v1alpha1.Retry{Scope: v1alpha1.RetrySameEndpoint}},
			wantOrder:    []string{"b-ordinary", "c-ordinary", "a-rests"},
			wantExcluded: []Exclusion{},
			wantNotes: []string{
				"a-rests is on standby, " + why + ": 3 failures in a row. A verdict about health is advice: it is tried last.",
				"retry.scope is SameEndpoint: after the first attempt no other endpoint is tried.",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			c.spec.Models, c.spec.Capability = []string{"chat"}, "chat-completion"
			policy := v1alpha1.RoutingPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "chat"}, Spec: c.spec}
			table, _ := Table(endpoints, []v1alpha1.RoutingPolicy{policy})
			answer := Explain(table, StateOf(table, endpoints, now), Question{Namespace: "ns", Name: "chat", Facts: c.facts})
			var order []string
			for _, candidate := range answer.Order {
				order = append(order, candidate.Endpoint)
			}
			if diff := cmp.Diff(c.wantOrder, order); diff != "" {
				t.Errorf("order (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(c.wantExcluded, answer.Excluded); diff != "" {
				t.Errorf("excluded (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(c.wantNotes, answer.Notes); diff != "" {
				t.Errorf("notes (-want +got):\n%s", diff)
			}
		})
	}
}

func TestLimitsAreTold(t *testing.T) {
	now := time.Date(2026, 3, 7, 1, 30, 0, 0, time.UTC)
	midnight := metav1.NewTime(time.Date(2026, 3, 8, 0, 0, 0, 0, time.UTC))
	first := metav1.NewTime(time.Date(2026, 4, 1, 0, 0, 0, 0, time.UTC))
	limits := &v1alpha1.Limits{
		Quota:  &v1alpha1.QuotaLimit{Period: v1alpha1.PeriodDaily, Requests: new(int64(1000))},
		Budget: &v1alpha1.BudgetLimit{Period: v1alpha1.PeriodMonthly, Amount: "25.00"},
		Rate:   &v1alpha1.RateLimit{RequestsPerMinute: new(int64(60)), ConcurrentRequests: new(int64(4))},
	}
	endpoints := []v1alpha1.ModelEndpoint{
		judged("a", func(e *v1alpha1.ModelEndpoint) {
			e.Spec.Limits, e.Spec.Pricing = limits, &v1alpha1.Pricing{InputTokens: "1"}
			e.Status.Limits = []v1alpha1.LimitStatus{
				{Limit: v1alpha1.LimitRequests, Amount: "1000", Used: "420", Leased: "130", Left: "450", ResetTime: midnight},
				{Limit: v1alpha1.LimitBudget, Amount: "25", Used: "3.5", Leased: "0.25", Left: "21.25", ResetTime: first},
			}
		}),
		judged("b", func(e *v1alpha1.ModelEndpoint) {
			resting(v1alpha1.DeactivationRequestLimit, "1000 of 1000 requests are used", &midnight)(e)
			e.Spec.Limits = &v1alpha1.Limits{Quota: &v1alpha1.QuotaLimit{Period: v1alpha1.PeriodDaily, Requests: new(int64(1000))}}
		}),
		judged("c", resting(v1alpha1.DeactivationRequestLimit, "of a limit that the spec has no more", &midnight)),
		judged("d", func(e *v1alpha1.ModelEndpoint) {
			resting(v1alpha1.DeactivationRequestLimit, "of yesterday", &metav1.Time{Time: now})(e)
			e.Spec.Limits = &v1alpha1.Limits{Quota: &v1alpha1.QuotaLimit{Period: v1alpha1.PeriodDaily, Requests: new(int64(1000))}}
		}),
	}
	policy := v1alpha1.RoutingPolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "chat"},
		Spec:       v1alpha1.RoutingPolicySpec{Models: []string{"chat"}, Capability: "chat-completion"},
	}
	table, _ := Table(endpoints, []v1alpha1.RoutingPolicy{policy})
	answer := Explain(table, StateOf(table, endpoints, now), Question{Namespace: "ns", Name: "chat"})
	var text strings.Builder
	if err := WriteText(&text, routing.Facts{}, answer); err != nil {
		t.Fatal(err)
	}
	_, got, _ := strings.Cut(text.String(), "Left out:\n")
	want := `     ENDPOINT  TIER  REASON   WHY
  -  b         1     Standby  is on standby, RequestLimit until 2026-03-08T00:00:00Z, for another 22h30m0s: 1000 of 1000 requests are used

Limits, over all proxies:
  a  420 of 1000 requests used, 130 lent to proxies, 450 left, until 2026-03-08T00:00:00Z
     3.5 of 25 US dollars used, 0.25 lent to proxies, 21.25 left, until 2026-04-01T00:00:00Z
     at most 60 requests a minute
     at most 4 requests at once
  d  at most 1000 requests
  b  at most 1000 requests
`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if len(answer.Order) != 3 || answer.Order[0].Limits[0].Left != "450" || answer.Order[1].Limits != nil {
		t.Errorf("%+v", answer.Order)
	}
}

func TestMaintenanceDoesNotHideALaterReturn(t *testing.T) {
	now := time.Date(2026, 3, 7, 1, 30, 0, 0, time.UTC)
	e := judged("a", resting(v1alpha1.DeactivationQuotaExhausted, "the provider says that its quota is spent", &metav1.Time{Time: now.Add(5 * time.Hour)}))
	e.Spec.Maintenance = []v1alpha1.MaintenanceWindow{{Schedule: "0 1 * * *", Duration: "2h"}}
	table, _ := Table([]v1alpha1.ModelEndpoint{e}, nil)
	state := StateOf(table, []v1alpha1.ModelEndpoint{e}, now).endpoints[0]
	want := "MaintenanceWindow until 2026-03-07T06:30:00Z, for another 5h0m0s: a window of spec.maintenance is open"
	if got := state.why(now.UnixNano()); got != want {
		t.Errorf("%q, want %q as in a proxy: due back when both have ended", got, want)
	}
}
