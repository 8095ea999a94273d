// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package translate

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/turnout-ai/turnout/api/v1alpha1"
	"github.com/turnout-ai/turnout/internal/modelstate"
	"github.com/turnout-ai/turnout/internal/routing"
)

func TestPolicy(t *testing.T) {
	created := metav1.NewTime(time.Unix(1_700_000_000, 0))
	for name, tc := range map[string]struct {
		spec v1alpha1.RoutingPolicySpec
		want func(*routing.PolicySpec)
	}{
		"a policy that was never defaulted gets the documented defaults": {
			spec: v1alpha1.RoutingPolicySpec{Capability: "chat-completion"},
			want: func(p *routing.PolicySpec) { p.Capability = "chat-completion" },
		},
		"names are carried over": {
			spec: v1alpha1.RoutingPolicySpec{Models: []string{"chat", "gpt"}},
			want: func(p *routing.PolicySpec) { p.Models = []string{"chat", "gpt"} },
		},
		"a single timeout leaves the others at their defaults": {
			spec: v1alpha1.RoutingPolicySpec{Timeouts: &v1alpha1.Timeouts{FirstToken: new(v1alpha1.Duration("1m30s"))}},
			want: func(p *routing.PolicySpec) { p.Timeouts.FirstToken = 90 * time.Second },
		},
		"every timeout and the retry": {
			spec: v1alpha1.RoutingPolicySpec{
				Timeouts: &v1alpha1.Timeouts{
					Connect: new(v1alpha1.Duration("1s")), TLSHandshake: new(v1alpha1.Duration("2s")),
					FirstToken: new(v1alpha1.Duration("3s")), Idle: new(v1alpha1.Duration("4s")),
					ClientWrite: new(v1alpha1.Duration("5ms")),
				},
				Retry: &v1alpha1.Retry{Attempts: new(int32(7)), Deadline: new(v1alpha1.Duration("1h"))},
			},
			want: func(p *routing.PolicySpec) {
				p.Timeouts = routing.Timeouts{
					Connect: time.Second, TLSHandshake: 2 * time.Second, FirstToken: 3 * time.Second, CommitAfter: 10 * time.Second, Idle: 4 * time.Second,
					ClientWrite: 5 * time.Millisecond,
				}
				p.Attempts, p.Deadline = 7, time.Hour
			},
		},
		"a duration that cannot be read is the default": {
			spec: v1alpha1.RoutingPolicySpec{Retry: &v1alpha1.Retry{Deadline: new(v1alpha1.Duration("1d"))}},
		},
		"there is always one attempt": {
			spec: v1alpha1.RoutingPolicySpec{Retry: &v1alpha1.Retry{Attempts: new(int32(0))}},
			want: func(p *routing.PolicySpec) { p.Attempts = 1 },
		},
		"when a stream is opened": {
			spec: v1alpha1.RoutingPolicySpec{Timeouts: &v1alpha1.Timeouts{CommitAfter: new(v1alpha1.Duration("15s"))}},
			want: func(p *routing.PolicySpec) { p.Timeouts.CommitAfter = 15 * time.Second },
		},
		"where and when attempts are repeated": {
			spec: v1alpha1.RoutingPolicySpec{
				Retry: &v1alpha1.Retry{
					Scope: v1alpha1.RetrySameProvider, BudgetPercent: new(int32(20)), OnContentFilter: v1alpha1.ContentFilterNext,
					Backoff: &v1alpha1.Backoff{Type: v1alpha1.BackoffRetryAfter, Base: new(v1alpha1.Duration("1s")), Max: new(v1alpha1.Duration("20s"))},
				},
				WhenExhausted: v1alpha1.WhenExhaustedReject,
			},
			want: func(p *routing.PolicySpec) {
				p.Scope, p.RetryPercent, p.NextOnContentFilter, p.RejectResting = routing.RetrySameProvider, 20, true, true
				p.Backoff = routing.Backoff{Type: routing.RetryAfter, Base: time.Second, Max: 20 * time.Second}
			},
		},
		"the other words for the same": {
			spec: v1alpha1.RoutingPolicySpec{
				Retry: &v1alpha1.Retry{
					Scope: v1alpha1.RetrySameEndpoint, OnContentFilter: v1alpha1.ContentFilterReturn, Backoff: &v1alpha1.Backoff{Type: v1alpha1.BackoffFixed},
				},
				WhenExhausted: v1alpha1.WhenExhaustedLastResort,
			},
			want: func(p *routing.PolicySpec) { p.Scope, p.Backoff.Type = routing.RetrySameEndpoint, routing.Fixed },
		},
		"the words of the defaults": {
			spec: v1alpha1.RoutingPolicySpec{
				Retry: &v1alpha1.Retry{Scope: v1alpha1.RetryAny, Backoff: &v1alpha1.Backoff{Type: v1alpha1.BackoffExponentialJitter}},
			},
		},
		"a longest backoff below the first is as long as that": {
			spec: v1alpha1.RoutingPolicySpec{
				Retry: &v1alpha1.Retry{BudgetPercent: new(int32(-1)), Backoff: &v1alpha1.Backoff{Base: new(v1alpha1.Duration("10s"))}},
			},
			want: func(p *routing.PolicySpec) { p.Backoff.Base, p.Backoff.Max = 10*time.Second, 10*time.Second },
		},
		"how endpoints are judged": {
			spec: v1alpha1.RoutingPolicySpec{
				Deactivation: &v1alpha1.Deactivation{
					ConsecutiveFailures: new(int32(5)),
					ErrorRate:           &v1alpha1.ErrorRate{Threshold: "0.25", Window: new(v1alpha1.Duration("2m")), MinimumRequests: new(int32(50))},
					RestToStandby:       new(v1alpha1.Duration("90s")),
				},
				Recovery: &v1alpha1.Recovery{
					Cooldown: new(v1alpha1.Duration("2m")), MaxCooldown: new(v1alpha1.Duration("30m")), MaxRetryAfter: new(v1alpha1.Duration("10m")),
					Ramp: &v1alpha1.Ramp{InitialPercent: new(int32(5)), Duration: new(v1alpha1.Duration("1m"))}, Successes: new(int32(9)),
				},
			},
			want: func(p *routing.PolicySpec) {
				p.Unit = modelstate.Unit{
					ConsecutiveFailures: 5, ErrorRate: 250_000, MinimumRequests: 50, Window: 2 * time.Minute, RestToStandby: 90 * time.Second,
					Cooldown: 2 * time.Minute, MaxCooldown: 30 * time.Minute, MaxRetryAfter: 10 * time.Minute,
					InitialPercent: 5, Ramp: time.Minute, Successes: 9, Policy: "chat",
				}
			},
		},
		"what no schema admits is judged by the nearest that one does": {
			spec: v1alpha1.RoutingPolicySpec{
				Deactivation: &v1alpha1.Deactivation{
					ConsecutiveFailures: new(int32(0)),
					ErrorRate:           &v1alpha1.ErrorRate{Threshold: "50%", Window: new(v1alpha1.Duration("1h")), MinimumRequests: new(int32(0))},
				},
				Recovery: &v1alpha1.Recovery{
					Cooldown: new(v1alpha1.Duration("2h")), Successes: new(int32(-1)), Ramp: &v1alpha1.Ramp{InitialPercent: new(int32(0))},
				},
			},
			want: func(p *routing.PolicySpec) {
				p.Unit.ConsecutiveFailures, p.Unit.MinimumRequests, p.Unit.Window = 2, 2, 5*time.Minute
				p.Unit.Cooldown, p.Unit.MaxCooldown, p.Unit.Successes, p.Unit.InitialPercent = 2*time.Hour, 2*time.Hour, 1, 1
			},
		},
		"a tier without a strategy goes by priority": {
			spec: v1alpha1.RoutingPolicySpec{Tiers: []v1alpha1.Tier{{Endpoints: []v1alpha1.EndpointReference{{Name: "b"}, {Name: "a"}}}}},
			want: func(p *routing.PolicySpec) { p.Tiers = []routing.TierSpec{{Endpoints: []string{"b", "a"}}} },
		},
		"retries with everything": {
			spec: v1alpha1.RoutingPolicySpec{
				WhenExhausted: v1alpha1.WhenExhaustedReject,
				Timeouts:      &v1alpha1.Timeouts{CommitAfter: new(v1alpha1.Duration("4s"))},
				Retry: &v1alpha1.Retry{
					Scope: v1alpha1.RetrySameProvider, BudgetPercent: new(int32(20)), OnContentFilter: v1alpha1.ContentFilterNext,
					Backoff: &v1alpha1.Backoff{
						Type: v1alpha1.BackoffRetryAfter, Base: new(v1alpha1.Duration("1s")), Max: new(v1alpha1.Duration("9s")),
					},
				},
			},
			want: func(p *routing.PolicySpec) {
				p.Scope, p.RetryPercent, p.NextOnContentFilter, p.RejectResting = routing.RetrySameProvider, 20, true, true
				p.Backoff = routing.Backoff{Type: routing.RetryAfter, Base: time.Second, Max: 9 * time.Second}
				p.Timeouts.CommitAfter = 4 * time.Second
			},
		},
		"strategies": {
			spec: v1alpha1.RoutingPolicySpec{Tiers: []v1alpha1.Tier{
				{Strategy: &v1alpha1.Strategy{Type: v1alpha1.StrategyRoundRobin}},
				{Strategy: &v1alpha1.Strategy{Type: v1alpha1.StrategyPriority}},
			}},
			want: func(p *routing.PolicySpec) {
				p.Tiers = []routing.TierSpec{{Strategy: routing.RoundRobin}, {Strategy: routing.Priority}}
			},
		},
		"a match with everything": {
			spec: v1alpha1.RoutingPolicySpec{Tiers: []v1alpha1.Tier{{Match: &v1alpha1.EndpointMatch{
				Selector:          &metav1.LabelSelector{MatchLabels: map[string]string{"zone": "eu"}},
				Providers:         []string{"openai"},
				ExcludedProviders: []string{"acme"},
				Features:          []v1alpha1.Feature{v1alpha1.FeatureJSONMode, v1alpha1.FeatureAudio},
			}}}},
			want: func(p *routing.PolicySpec) {
				p.Tiers = []routing.TierSpec{{Match: &routing.Match{
					Labels:            []routing.Requirement{{Label: "zone", Op: routing.In, Values: []string{"eu"}}},
					Providers:         []string{"openai"},
					ExcludedProviders: []string{"acme"},
					Features:          routing.JSONMode | routing.Audio,
				}}}
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			want := routing.PolicySpec{
				Key: routing.Key{Namespace: "shop", Name: "chat"}, UID: "u-2", Generation: 5, Created: created.Time,
				Timeouts: routing.DefaultTimeouts, Attempts: 3, Deadline: 10 * time.Minute, Unit: modelstate.DefaultUnit,
				Backoff: routing.Backoff{Base: 250 * time.Millisecond, Max: 5 * time.Second},
			}
			want.Unit.Policy = "chat"
			if tc.want != nil {
				tc.want(&want)
			}
			got := Policy(&v1alpha1.RoutingPolicy{
				ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "chat", UID: "u-2", Generation: 5, CreationTimestamp: created},
				Spec:       tc.spec,
			})
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestRequirements(t *testing.T) {
	for name, tc := range map[string]struct {
		selector *metav1.LabelSelector
		want     []routing.Requirement
	}{
		"no selector asks for nothing":       {},
		"an empty selector asks for nothing": {selector: &metav1.LabelSelector{}},
		"labels come in the order of their names, before expressions": {
			selector: &metav1.LabelSelector{
				MatchLabels: map[string]string{"b": "2", "a": "1"},
				MatchExpressions: []metav1.LabelSelectorRequirement{
					{Key: "z", Operator: metav1.LabelSelectorOpNotIn, Values: []string{"x", "y"}},
					{Key: "c", Operator: metav1.LabelSelectorOpExists},
					{Key: "d", Operator: metav1.LabelSelectorOpDoesNotExist},
					{Key: "e", Operator: metav1.LabelSelectorOpIn, Values: []string{"v"}},
				},
			},
			want: []routing.Requirement{
				{Label: "a", Op: routing.In, Values: []string{"1"}},
				{Label: "b", Op: routing.In, Values: []string{"2"}},
				{Label: "z", Op: routing.NotIn, Values: []string{"x", "y"}},
				{Label: "c", Op: routing.Exists},
				{Label: "d", Op: routing.DoesNotExist},
				{Label: "e", Op: routing.In, Values: []string{"v"}},
			},
		},
		"an operator nobody knows selects nothing": {
			selector: &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "a", Operator: "Like", Values: []string{"x"}}}},
			want:     []routing.Requirement{{Label: "a", Op: routing.In}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, requirements(tc.selector)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
