// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package translate

import (
	"maps"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/turnout-ai/turnout/api/v1alpha1"
	"github.com/turnout-ai/turnout/internal/routing"
)

// The defaults of spec.retry, as the schema has them. Those of spec.timeouts are routing.DefaultTimeouts.
const (
	defaultAttempts = 3
	defaultDeadline = 600 * time.Second

	defaultBackoff    = 250 * time.Millisecond
	defaultMaxBackoff = 5 * time.Second
)

// Policy translates one RoutingPolicy.
func Policy(policy *v1alpha1.RoutingPolicy) routing.PolicySpec {
	spec := &policy.Spec
	retry := valueOr(spec.Retry, v1alpha1.Retry{})
	out := routing.PolicySpec{
		Key:        routing.Key{Namespace: policy.Namespace, Name: policy.Name},
		UID:        string(policy.UID),
		Generation: policy.Generation,
		Created:    policy.CreationTimestamp.Time,
		Models:     spec.Models,
		Capability: spec.Capability,
		Timeouts:   timeouts(valueOr(spec.Timeouts, v1alpha1.Timeouts{})),
		Attempts:   max(int(valueOr(retry.Attempts, defaultAttempts)), 1),
		Deadline:   durationOr(retry.Deadline, defaultDeadline),
		Scope:      scopes[retry.Scope],
		Backoff:    backoff(valueOr(retry.Backoff, v1alpha1.Backoff{})),

		RetryPercent:        max(int(valueOr(retry.BudgetPercent, 0)), 0),
		NextOnContentFilter: retry.OnContentFilter == v1alpha1.ContentFilterNext,
		RejectResting:       spec.WhenExhausted == v1alpha1.WhenExhaustedReject,
		Unit:                Unit(policy),
	}
	for i := range spec.Tiers {
		out.Tiers = append(out.Tiers, tier(&spec.Tiers[i]))
	}
	return out
}

// scopes and backoffs are by the API's words. Absent: the zero value, which is the schema's default.
var (
	scopes = map[v1alpha1.RetryScope]routing.RetryScope{
		v1alpha1.RetryAny: routing.RetryAny, v1alpha1.RetrySameProvider: routing.RetrySameProvider,
		v1alpha1.RetrySameEndpoint: routing.RetrySameEndpoint,
	}
	backoffs = map[v1alpha1.BackoffType]routing.BackoffType{
		v1alpha1.BackoffExponentialJitter: routing.ExponentialJitter, v1alpha1.BackoffFixed: routing.Fixed,
		v1alpha1.BackoffRetryAfter: routing.RetryAfter,
	}
)

func backoff(b v1alpha1.Backoff) routing.Backoff {
	out := routing.Backoff{
		Type: backoffs[b.Type],
		Base: durationOr(b.Base, defaultBackoff),
		Max:  durationOr(b.Max, defaultMaxBackoff),
	}
	out.Max = max(out.Max, out.Base)
	return out
}

func timeouts(t v1alpha1.Timeouts) routing.Timeouts {
	defaults := routing.DefaultTimeouts
	return routing.Timeouts{
		Connect:      durationOr(t.Connect, defaults.Connect),
		TLSHandshake: durationOr(t.TLSHandshake, defaults.TLSHandshake),
		FirstToken:   durationOr(t.FirstToken, defaults.FirstToken),
		CommitAfter:  durationOr(t.CommitAfter, defaults.CommitAfter),
		Idle:         durationOr(t.Idle, defaults.Idle),
		ClientWrite:  durationOr(t.ClientWrite, defaults.ClientWrite),
	}
}

func tier(t *v1alpha1.Tier) routing.TierSpec {
	out := routing.TierSpec{Strategy: routing.Priority}
	if t.Strategy != nil && t.Strategy.Type == v1alpha1.StrategyRoundRobin {
		out.Strategy = routing.RoundRobin
	}
	for i := range t.Endpoints {
		out.Endpoints = append(out.Endpoints, t.Endpoints[i].Name)
	}
	if m := t.Match; m != nil {
		out.Match = &routing.Match{
			Labels:            requirements(m.Selector),
			Providers:         m.Providers,
			ExcludedProviders: m.ExcludedProviders,
			Features:          features(m.Features),
		}
	}
	return out
}

var selectorOps = map[metav1.LabelSelectorOperator]routing.SelectorOp{
	metav1.LabelSelectorOpIn:           routing.In,
	metav1.LabelSelectorOpNotIn:        routing.NotIn,
	metav1.LabelSelectorOpExists:       routing.Exists,
	metav1.LabelSelectorOpDoesNotExist: routing.DoesNotExist,
}

// requirements are the clauses of a label selector, those of matchLabels first and by label. An empty
// selector has none and selects everything.
func requirements(selector *metav1.LabelSelector) []routing.Requirement {
	if selector == nil {
		return nil
	}
	var out []routing.Requirement
	for _, label := range slices.Sorted(maps.Keys(selector.MatchLabels)) {
		out = append(out, routing.Requirement{Label: label, Op: routing.In, Values: []string{selector.MatchLabels[label]}})
	}
	for _, e := range selector.MatchExpressions {
		op, known := selectorOps[e.Operator]
		if !known {
			// A clause that nobody understands must not widen the selection: In without values never holds.
			out = append(out, routing.Requirement{Label: e.Key, Op: routing.In})
			continue
		}
		out = append(out, routing.Requirement{Label: e.Key, Op: op, Values: e.Values})
	}
	return out
}
