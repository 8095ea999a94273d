// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package dataplane

import (
	"time"

	"github.com/turnout-ai/turnout/api/v1alpha1"
	"github.com/turnout-ai/turnout/internal/modelsim"
)

// Case is one sentence about the data plane, and how to see that it is true. Each of its variants has endpoints and a
// policy of its own, so that all of them can run at once at one proxy.
type Case struct {
	// Name is the sentence.
	Name string
	// Over are the variants that make sense; of deliveries, or of connections, that are not mentioned: both.
	Over Over
	// Providers are the endpoints of the policy, in its order. They are called a, b, c and so on.
	Providers []Provider
	// Policy changes the policy's spec; nil leaves it as it is.
	Policy Policy
	// Ask is the request; the zero value asks for a few words. It is made so many Times, 0 being once.
	Ask   Request
	Times int
	// Want is the answer to each, Streamed the one to a stream where that differs.
	Want     Answer
	Streamed *Answer
	// Do takes the place of the requests where they are more than one after the other. What each provider must have
	// got is checked after it all the same.
	Do func(*Trial)
}

// Over is a set of variants.
type Over uint8

// The variants: the answer in one piece or as a stream, at a provider whose connection is fresh or was used before.
const (
	JSON Over = 1 << iota
	Stream
	Fresh
	Reused
)

// has reports whether a case has that variant. A dimension of which nothing is said is whole.
func (o Over) has(v Over) bool {
	deliveries, connections := o&(JSON|Stream), o&(Fresh|Reused)
	if deliveries == 0 {
		deliveries = JSON | Stream
	}
	if connections == 0 {
		connections = Fresh | Reused
	}
	return (deliveries|connections)&v == v
}

// variants are all there can be, with their names.
var variants = []struct {
	over Over
	name string
}{
	{JSON | Fresh, "whole, fresh connection"},
	{JSON | Reused, "whole, reused connection"},
	{Stream | Fresh, "streamed, fresh connection"},
	{Stream | Reused, "streamed, reused connection"},
}

// Provider is one endpoint of a case with who answers behind it, and what must become of it. Without anything it is a
// simulated provider that answers, and nobody may ask it.
type Provider struct {
	// Rules are what goes wrong at a simulated provider.
	Rules []modelsim.Rule
	// Script answers in its place.
	Script Script
	// Place is where no provider answers at all.
	Place Place
	// Endpoint changes the endpoint's spec.
	Endpoint func(*v1alpha1.ModelEndpointSpec)

	// Outcomes is what its attempts count as: words of the metric, "3*failure" being three of one. Those of a
	// connection that was used to get one ready are not among them.
	Outcomes string
	// Failures is how many count against it in a row at the end.
	Failures int
	// Stands is how it stands at the end, such as "Barred QuotaExhausted"; empty is InService, varies is anyhow.
	Stands string
	// Rests is for how long it must be left alone at least, from then on.
	Rests time.Duration
	// Outage says that the operator, where there is one, calls it an outage of the provider.
	Outage bool
}

// answers is a provider that is asked and answers.
func answers() Provider { return Provider{Outcomes: success} }

// success is the outcome of an attempt with an answer.
const success = "success"

// idle is a provider that nobody asks.
func idle() Provider { return Provider{} }

// fails is a provider at which a fault of the simulator strikes at every request. The attempt counts as outcome, and as
// a failure of the endpoint.
func fails(fault, outcome string) Provider {
	return Provider{Rules: rule(fault), Outcomes: outcome, Failures: 1}
}

// harmless is the same with an outcome that says nothing about the endpoint.
func harmless(fault, outcome string) Provider {
	return Provider{Rules: rule(fault), Outcomes: outcome}
}

// barred is the same with an outcome after which the endpoint is left alone.
func barred(fault, outcome, reason string) Provider {
	return Provider{Rules: rule(fault), Outcomes: outcome, Stands: "Barred " + reason}
}

func rule(fault string) []modelsim.Rule { return []modelsim.Rule{{Fault: fault}} }

// scripted is a provider with a script. outcome is what its attempts count as.
func scripted(script Script, outcome string) Provider {
	return Provider{Script: script, Outcomes: outcome}
}

// failing says that so many failures count against the provider at the end.
func (p Provider) failing(n int) Provider {
	p.Failures = n
	return p
}

// standing says how the provider stands at the end.
func (p Provider) standing(how string) Provider {
	p.Stands = how
	return p
}

// with changes the endpoint's spec.
func (p Provider) with(change func(*v1alpha1.ModelEndpointSpec)) Provider {
	p.Endpoint = change
	return p
}

// window gives the endpoint a context window.
func window(tokens int64) func(*v1alpha1.ModelEndpointSpec) {
	return func(spec *v1alpha1.ModelEndpointSpec) {
		spec.Constraints = &v1alpha1.EndpointConstraints{ContextWindow: &tokens}
	}
}

// features says what the endpoint can do, and so what it cannot.
func features(can ...v1alpha1.Feature) func(*v1alpha1.ModelEndpointSpec) {
	return func(spec *v1alpha1.ModelEndpointSpec) { spec.Features = append([]v1alpha1.Feature{}, can...) }
}

// of makes the endpoint one of a provider that several endpoints share.
func of(provider string) func(*v1alpha1.ModelEndpointSpec) {
	return func(spec *v1alpha1.ModelEndpointSpec) { spec.Provider += "-" + provider }
}

// Policy changes the spec of a policy.
type Policy func(*v1alpha1.RoutingPolicySpec)

// all makes several changes.
func all(changes ...Policy) Policy {
	return func(spec *v1alpha1.RoutingPolicySpec) {
		for _, change := range changes {
			change(spec)
		}
	}
}

// The changes that several cases make.
var (
	// impatient waits a second where the others wait longer than anything should take.
	impatient Policy = func(spec *v1alpha1.RoutingPolicySpec) {
		spec.Timeouts.FirstToken, spec.Timeouts.Idle = new(v1alpha1.Duration("1s")), new(v1alpha1.Duration("1s"))
	}
	reject       Policy = func(spec *v1alpha1.RoutingPolicySpec) { spec.WhenExhausted = v1alpha1.WhenExhaustedReject }
	nextOnFilter Policy = func(spec *v1alpha1.RoutingPolicySpec) { spec.Retry.OnContentFilter = v1alpha1.ContentFilterNext }
	// quickBackoff does not wait long before an endpoint is tried again.
	quickBackoff = backoff(v1alpha1.BackoffFixed, "1ms", "5s")
)

func attempts(n int32) Policy {
	return func(spec *v1alpha1.RoutingPolicySpec) { spec.Retry.Attempts = &n }
}

func deadline(d v1alpha1.Duration) Policy {
	return func(spec *v1alpha1.RoutingPolicySpec) { spec.Retry.Deadline = &d }
}

func scope(s v1alpha1.RetryScope) Policy {
	return func(spec *v1alpha1.RoutingPolicySpec) { spec.Retry.Scope = s }
}

func backoff(kind v1alpha1.BackoffType, base, longest v1alpha1.Duration) Policy {
	return func(spec *v1alpha1.RoutingPolicySpec) {
		spec.Retry.Backoff = &v1alpha1.Backoff{Type: kind, Base: &base, Max: &longest}
	}
}

// restsAfter is how many failures in a row rest an endpoint.
func restsAfter(n int32) Policy {
	return func(spec *v1alpha1.RoutingPolicySpec) {
		spec.Deactivation = &v1alpha1.Deactivation{ConsecutiveFailures: &n}
	}
}

func timeouts(change func(*v1alpha1.Timeouts)) Policy {
	return func(spec *v1alpha1.RoutingPolicySpec) { change(spec.Timeouts) }
}

// Request is what a caller asks for.
type Request struct {
	// Fields are members of the body, beside its model, its messages and whether it is streamed: `"store":true`.
	Fields string
	// Content is what the user says: a JSON value; empty is a short sentence.
	Content string
	// Messages, when given, are all messages.
	Messages string
}

// Answer is what a caller must get.
type Answer struct {
	// Status is 200 when 0. Code is the error's, "any" if that does not matter; empty for an answer of a model, and for an
	// error that has none.
	Status int
	Code   string
	// Event says that the error comes as the last event of a stream of status 200.
	Event bool
	// Retry is the header x-should-retry; empty says that there must be none, "any" that it does not matter.
	Retry string
	// RetryAfter is the largest number of seconds that the header of that name may have; 0 says that there must be none.
	RetryAfter int
	// Tried are the outcomes of the attempts in order, as x-turnout-outcomes of an error has them; empty does not look.
	// Its length, or else what the providers' outcomes add up to, is x-turnout-attempts.
	Tried string
	// Body is the whole body; empty does not look. Says and Hides are parts that it must have, and must not have.
	Body        string
	Says, Hides []string
	// Waits says that comments tell the caller to wait before anything else.
	Waits bool
}
