// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

// Package explain says what a proxy would do with a request, and why, from the API objects alone. It asks the
// same functions that operator and proxies act by.
package explain

import (
	"slices"
	"time"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/turnout-ai/turnout/api/v1alpha1"
	"github.com/turnout-ai/turnout/internal/routing"
	"github.com/turnout-ai/turnout/internal/secrets"
	"github.com/turnout-ai/turnout/internal/translate"
)

// Question is a request that might be made.
type Question struct {
	// Namespace is the caller's. Name is what the caller puts into the model field.
	Namespace, Name string
	Facts           routing.Facts
}

// Answer is what would become of it.
type Answer struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	// Policy is namespace/name of the policy that the name resolves to; empty when it resolves to none, and
	// then Problem says why.
	Policy  string `json:"policy,omitempty"`
	Problem string `json:"problem,omitempty"`
	// Capability is the node that was asked for; empty when the name is one of the policy's models.
	Capability string `json:"capability,omitempty"`
	// MaxAttempts and Deadline bound the request as a whole.
	MaxAttempts int    `json:"maxAttempts,omitempty"`
	Deadline    string `json:"deadline,omitempty"`
	// Order are the endpoints to try, first things first. Excluded are the policy's other endpoints.
	Order    []Candidate `json:"order"`
	Excluded []Exclusion `json:"excluded"`
	// Notes are sentences that a reader of the above should know.
	Notes []string `json:"notes,omitempty"`
}

// Candidate is an endpoint that would be tried.
type Candidate struct {
	Endpoint string `json:"endpoint"`
	// Tier counts from 1.
	Tier     int    `json:"tier"`
	Strategy string `json:"strategy"`
	Provider string `json:"provider"`
	Model    string `json:"model"`
	URL      string `json:"url"`
	// Status is Active or Standby: on Standby, it would be tried because nothing better is left. Reason says why
	// it stands there, Until when it is due back and CooldownRemaining how long that still is; all are empty
	// without a Standby, and the last two without a time.
	Status            string `json:"status"`
	Reason            string `json:"reason,omitempty"`
	Until             string `json:"until,omitempty"`
	CooldownRemaining string `json:"cooldownRemaining,omitempty"`
	// TrialPercent is the share of its traffic that it gets; only on trial, after a Standby for Reason.
	TrialPercent int `json:"trialPercent,omitempty"`
	// Limits are those of the endpoint. A proxy that has none of one at hand passes the endpoint over.
	Limits []Limit `json:"limits,omitempty"`
}

// Exclusion is an endpoint of the policy that would not be tried.
type Exclusion struct {
	Endpoint string `json:"endpoint"`
	Tier     int    `json:"tier"`
	// Reason is a CamelCase word; Message says what it means here.
	Reason  string `json:"reason"`
	Message string `json:"message"`
	// CooldownRemaining is how long it is on Standby still; empty when it is not, and when no time ends it.
	CooldownRemaining string  `json:"cooldownRemaining,omitempty"`
	Limits            []Limit `json:"limits,omitempty"`
}

// Explain answers a question from a table and how its endpoints stand.
func Explain(table *routing.Table, state *State, question Question) Answer {
	answer := Answer{Namespace: question.Namespace, Name: question.Name, Order: []Candidate{}, Excluded: []Exclusion{}}
	route, err := table.Resolve(question.Namespace, question.Name)
	if err != nil {
		answer.Problem = err.Error()
		return answer
	}
	policy := route.Policy
	answer.Policy, answer.Capability = policy.Key.String(), string(route.Node)
	answer.MaxAttempts, answer.Deadline = policy.Attempts, policy.Deadline.Round(time.Millisecond).String()

	var plan routing.Plan
	route.Plan(question.Facts, state, state.now, &plan)
	for i := range plan.Order {
		answer.Order = append(answer.Order, candidate(policy, state, &plan.Order[i]))
	}
	for _, x := range plan.Excluded {
		message := x.MessageAt(state.now)
		if words := state.endpoints[x.Endpoint.Index].message; words != "" && (x.Reason == routing.ExcludedBarred || x.Reason == routing.ExcludedResting) {
			message += ": " + words
		}
		answer.Excluded = append(answer.Excluded, Exclusion{
			Endpoint: x.Endpoint.Key.Name, Tier: x.Tier + 1, Reason: x.Reason.String(), Message: message,
			CooldownRemaining: x.Standing.CooldownRemaining(state.now), Limits: state.endpoints[x.Endpoint.Index].limits,
		})
	}
	answer.Notes = notes(policy, state, &plan, question.Facts.Pinned)
	return answer
}

func candidate(policy *routing.Policy, state *State, c *routing.Candidate) Candidate {
	out := Candidate{
		Endpoint: c.Endpoint.Key.Name, Tier: c.Tier + 1, Strategy: policy.Tiers[c.Tier].Strategy.String(),
		Provider: c.Endpoint.Provider, Model: c.Endpoint.Model, URL: c.Endpoint.URL,
		Status: string(v1alpha1.StatusActive), Reason: c.Standing.Reason.String(),
		Limits: state.endpoints[c.Endpoint.Index].limits,
	}
	switch c.Standing.Kind {
	case routing.Resting:
		out.Status = string(v1alpha1.StatusStandby)
		if c.Standing.Until != 0 {
			out.Until = time.Unix(0, c.Standing.Until).UTC().Format(time.RFC3339)
			out.CooldownRemaining = c.Standing.CooldownRemaining(state.now)
		}
	case routing.OnTrial:
		out.TrialPercent = state.endpoints[c.Endpoint.Index].percent
	default:
	}
	return out
}

func notes(policy *routing.Policy, state *State, plan *routing.Plan, pinned bool) []string {
	var notes []string
	for _, c := range plan.Order {
		if note := state.endpoints[c.Endpoint.Index].note(c.Endpoint.Key.Name, state.now, pinned, policy.RejectResting); note != "" {
			notes = append(notes, note)
		}
	}
	for _, problem := range []routing.Refusal{policy.Refused, policy.Unresolved} {
		if problem.Reason != "" {
			notes = append(notes, "The policy has a problem, "+problem.Reason+": "+problem.Message)
		}
	}
	if policy.Total == 0 {
		notes = append(notes, "The policy selects no endpoint.")
	}
	if len(plan.Order) > policy.Attempts {
		notes = append(notes, "There are more endpoints than attempts: the last of them are tried only when earlier ones rest.")
	}
	if note := scopeNotes[policy.Scope]; note != "" && len(plan.Order) > 1 {
		notes = append(notes, note)
	}
	if takesTurns(policy, plan) {
		notes = append(notes, "A RoundRobin tier begins each request at its next endpoint; shown is the first turn.")
	}
	return notes
}

// scopeNotes are what a retry scope makes of an order.
var scopeNotes = map[routing.RetryScope]string{
	routing.RetrySameProvider: "retry.scope is SameProvider: after the first attempt only endpoints of the same provider are tried.",
	routing.RetrySameEndpoint: "retry.scope is SameEndpoint: after the first attempt no other endpoint is tried.",
}

// takesTurns reports whether the order differs from one request to the next: two candidates of a RoundRobin tier.
func takesTurns(policy *routing.Policy, plan *routing.Plan) bool {
	for i := 1; i < len(plan.Order) && plan.Order[i].Standing.Kind != routing.Resting; i++ {
		tier := plan.Order[i].Tier
		if plan.Order[i-1].Tier == tier && policy.Tiers[tier].Strategy == routing.RoundRobin {
			return true
		}
	}
	return false
}

// Table builds the table that the proxies have, as far as that can be known without reading Secrets: whether
// an endpoint's Secrets can be used is taken from the operator's word in its status (condition ResolvedRefs).
// An endpoint without one for its newest generation counts as usable, and its name is among the unchecked.
func Table(endpoints []v1alpha1.ModelEndpoint, policies []v1alpha1.RoutingPolicy) (table *routing.Table, unchecked []routing.Key) {
	input := translate.Input(pointers(endpoints), pointers(policies), unread{})
	for i := range input.Endpoints {
		spec := &input.Endpoints[i]
		if spec.Unresolved.Reason != v1alpha1.ReasonSecretPending {
			continue
		}
		at := slices.IndexFunc(endpoints, func(e v1alpha1.ModelEndpoint) bool {
			return e.Namespace == spec.Key.Namespace && e.Name == spec.Key.Name
		})
		var known bool
		if spec.Unresolved, known = operatorsWord(&endpoints[at]); !known {
			unchecked = append(unchecked, spec.Key)
		}
	}
	return routing.Build(input), unchecked
}

// operatorsWord is the refusal that the operator found in the references of the newest generation.
func operatorsWord(endpoint *v1alpha1.ModelEndpoint) (refusal routing.Refusal, known bool) {
	condition := apimeta.FindStatusCondition(endpoint.Status.Conditions, v1alpha1.ConditionResolvedRefs)
	if condition == nil || condition.ObservedGeneration != endpoint.Generation {
		return routing.Refusal{}, false
	}
	if condition.Status == metav1.ConditionTrue {
		return routing.Refusal{}, true
	}
	return routing.Refusal{Reason: condition.Reason, Message: condition.Message}, true
}

// unread is a Reader of Secrets that has read none.
type unread struct{}

func (unread) Secret(string, string) (map[string][]byte, secrets.State) { return nil, secrets.Pending }
func (unread) Version(string, string) string                            { return "" }

func pointers[T any](values []T) []*T {
	out := make([]*T, len(values))
	for i := range values {
		out[i] = &values[i]
	}
	return out
}
