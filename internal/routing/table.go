// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package routing

import (
	"time"

	"github.com/turnout-ai/turnout/internal/modelstate"
)

// Endpoint is one endpoint of a table. Its fields never change.
type Endpoint struct {
	EndpointSpec
	// Index is the endpoint's place in Table.Endpoints, for values kept beside the table.
	Index int
	// Nodes are the capabilities that could be resolved, each once, in the order of the spec.
	Nodes []Node
	// Scheme is "http" or "https", Address is host:port to dial, Host the value of the Host header,
	// BasePath the path that operation paths are appended to ("" or "/v1", never with a final slash).
	// All are empty when the URL was refused.
	Scheme, Address, Host, BasePath string
	// Standby is why the endpoint takes no traffic whatever the request; zero when it does. Reasons: Manual
	// (suspended), or that of Refused or Unresolved.
	Standby Refusal
	// Refused is set when the spec is well-formed but cannot be acted on (UnknownCapability, InvalidURL,
	// InvalidSchedule, InvalidTimeZone).
	Refused Refusal
	// Units are those of the policies that have the endpoint in a tier, by name; modelstate.DefaultUnit alone
	// when there is none.
	Units []modelstate.Unit

	filter filter
}

// Tier is one tier of a policy in a table.
type Tier struct {
	Strategy Strategy
	// Endpoints are in listed order (matched ones by name). Those on Standby are among them. An endpoint
	// that several tiers select stands in the earliest only.
	Endpoints []*Endpoint
	// Turn is the tier's place in the table's list of turns, for counters kept beside the table.
	Turn int
}

// Policy is one policy of a table.
type Policy struct {
	PolicySpec
	// Names are the names of Models this policy owns: those no older policy of the namespace took.
	Names []string
	// Node is the resolved Capability, empty when there is none or it is unknown.
	Node  Node
	Tiers []Tier
	// Refused is why the policy, or a part of it, is not acted on. With UnknownCapability the policy keeps
	// its names but has no endpoints: without its capability it might send traffic anywhere. With
	// NameConflict it serves everything but the names it lost.
	Refused Refusal
	// Unresolved is set when a listed endpoint does not exist or does not offer the capability
	// (EndpointNotFound, CapabilityMismatch). Such an endpoint is in no tier; the others serve.
	Unresolved Refusal
	// Total and Active count the policy's endpoints, each once, and those of them not on Standby.
	Total, Active int
}

// Table is the immutable result of Build.
type Table struct {
	// Endpoints and Policies are sorted by namespace and name, and hold every object of the Input, also
	// those that cannot be used: the operator writes statuses from them.
	Endpoints []*Endpoint
	Policies  []*Policy
	// Turns is how many tiers there are in all; Tier.Turn is below it.
	Turns int

	names index
}

// Facts is what a plan must know of a request. The zero value asks for nothing.
type Facts struct {
	Operation Operation
	Delivery  Delivery
	Features  Features
	// InputTokens is the estimated size of the input, in tokens.
	InputTokens int64
	// MaxOutputTokens is what the request allows the answer at most; 0 when it does not say.
	MaxOutputTokens int64
	// Pinned says that the request refers to state that lives at a provider, such as a file. It then goes to the first
	// endpoint that its policy lists and that passes the other filters, whatever the strategies and its health, and
	// to no other. While that one is on Standby by its spec, or barred, nobody is tried.
	Pinned bool
}

// Live is the part of a plan's input that changes from request to request: how endpoints stand, and the turn
// of each round-robin tier. Implementations must be safe for concurrent use.
type Live interface {
	// Standing says how the endpoint with that Index stands at now (Unix nanoseconds). It changes nothing.
	Standing(endpoint int, now int64) Standing
	// TakeTrial counts one more request that could go to an endpoint on trial, and reports whether it is among
	// the share that does.
	TakeTrial(endpoint int, now int64) bool
	// NextTurn counts one more request of the tier with that Turn and returns the count before it.
	NextTurn(turn int) uint64
}

// Standing is how an endpoint stands at one moment. The zero value is in service.
type Standing struct {
	Kind StandingKind
	// Reason is why it does not stand in service; on trial, why it did not before.
	Reason modelstate.Reason
	// Until is when it is due back, in Unix nanoseconds; 0 when no time brings it back.
	Until int64
}

// And joins two words about an endpoint: what is done is the worse of the two, it is due back when both have
// ended, and of two reasons for the same the one of higher precedence is shown.
func (s Standing) And(other Standing) Standing {
	if s.Kind < other.Kind || s.Kind == other.Kind && other.Reason != 0 && other.Reason < s.Reason {
		s, other = other, s
	}
	switch {
	case other.Kind < Resting || s.Kind < Resting: // other has no end
	case s.Until == 0 || other.Until == 0:
		s.Until = 0
	default:
		s.Until = max(s.Until, other.Until)
	}
	return s
}

// StandingKind is what a plan does with an endpoint. They are those of package modelstate, which decides them for
// reasons of health; here maintenance and what one proxy knows come in too.
type StandingKind = modelstate.StandingKind

// The kinds.
const (
	// InService is tried in its place.
	InService = modelstate.InService
	// OnTrial is tried in its place by a share of the requests, and by the others after all in service.
	OnTrial = modelstate.OnTrial
	// Resting is tried after all others: a verdict about health is advice.
	Resting = modelstate.Resting
	// Barred is not tried.
	Barred = modelstate.Barred
)

// Candidate is one endpoint to try.
type Candidate struct {
	Endpoint *Endpoint
	// Tier is the place of the candidate's tier in the policy.
	Tier int
	// Standing is how the endpoint stands. One that is Resting is tried only because nothing better is left.
	Standing Standing
}

// Exclusion is an endpoint that a plan does not try, and why.
type Exclusion struct {
	Endpoint *Endpoint
	Tier     int
	Reason   ExclusionReason
	// Unfit is why the endpoint could not serve the request even if it were in use, with ExcludedStandby; 0 when it
	// could, and when its spec is not understood.
	Unfit ExclusionReason
	// Missing are the features the request uses and the endpoint lacks, with ExcludedFeature as Reason or Unfit.
	Missing Features
	// Standing is how the endpoint stands, with ExcludedBarred and ExcludedResting.
	Standing Standing
}

// ExclusionReason is why an endpoint is not tried for a request.
type ExclusionReason uint8

// The reasons, in the order in which they are looked at.
const (
	// ExcludedStandby says that Endpoint.Standby is set.
	ExcludedStandby ExclusionReason = iota + 1
	// ExcludedCapability says that the request asks for a capability below the policy's, and that the
	// endpoint offers something else.
	ExcludedCapability
	// ExcludedOperation says that the endpoint's capabilities do not include the operation.
	ExcludedOperation
	// ExcludedDelivery says that the endpoint does not deliver as asked.
	ExcludedDelivery
	// ExcludedFeature says that the request uses a feature that the endpoint lacks.
	ExcludedFeature
	// ExcludedContextWindow says that three quarters of the estimated input exceed the context window.
	ExcludedContextWindow
	// ExcludedMaxOutputTokens says that the request asks for a longer answer than the model can give.
	ExcludedMaxOutputTokens
	// ExcludedBarred says that the endpoint is on Standby for a reason that nothing overrides.
	ExcludedBarred
	// ExcludedResting says that the endpoint rests, or is on trial and has had its share of the requests, and that the
	// policy rejects requests instead of trying it.
	ExcludedResting
	// ExcludedPinned says that the state which the request refers to is at another endpoint.
	ExcludedPinned
)

// Plan is the answer for one request: whom to try in which order, and who is left out. A Plan is reused:
// Route.Plan overwrites it, and allocates only to grow its slices.
type Plan struct {
	Order    []Candidate
	Excluded []Exclusion

	// later collects the candidates that are tried after those in service: on trial but not among its share, and
	// resting. returns is the order among them.
	later   []Candidate
	returns []back
	// reject leaves those out instead.
	reject bool
}

// Route is what a name of a request resolved to.
type Route struct {
	Policy *Policy
	// Node is the capability that was asked for; empty when the name was one of a policy's models.
	Node Node
}

// DefaultTimeouts are those of the API's schema, for callers that have no policy object.
var DefaultTimeouts = Timeouts{
	Connect:      2 * time.Second,
	TLSHandshake: 3 * time.Second,
	FirstToken:   30 * time.Second,
	CommitAfter:  10 * time.Second,
	Idle:         60 * time.Second,
	ClientWrite:  30 * time.Second,
}
