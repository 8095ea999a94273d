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
		Unit:       Unit(policy),
	}
	for i := range spec.Tiers {
		out.Tiers = append(out.Tiers, tier(&spec.Tiers[i]))
	}
	return out
}

func timeouts(t v1alpha1.Timeouts) routing.Timeouts {
	defaults := routing.DefaultTimeouts
	return routing.Timeouts{
		Connect:      durationOr(t.Connect, defaults.Connect),
		TLSHandshake: durationOr(t.TLSHandshake, defaults.TLSHandshake),
		FirstToken:   durationOr(t.FirstToken, defaults.FirstToken),
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
