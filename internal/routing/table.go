// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package routing

import "time"

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
	// Refused is set when the spec is well-formed but cannot be acted on (UnknownCapability, InvalidURL).
	Refused Refusal

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
}

// Live is the part of a plan's input that changes from request to request: health, and the turn of each
// round-robin tier. Implementations must be safe for concurrent use.
type Live interface {
	// Resting reports whether the endpoint with that Index rests at now, and until when. Both times are
	// Unix nanoseconds.
	Resting(endpoint int, now int64) (until int64, resting bool)
	// NextTurn counts one more request of the tier with that Turn and returns the count before it.
	NextTurn(turn int) uint64
}

// Candidate is one endpoint to try.
type Candidate struct {
	Endpoint *Endpoint
	// Tier is the place of the candidate's tier in the policy.
	Tier int
	// RestingUntil is non-zero when the endpoint rests and is tried only because nothing better is left.
	// Unix nanoseconds.
	RestingUntil int64
}

// Exclusion is an endpoint that a plan does not try, and why.
type Exclusion struct {
	Endpoint *Endpoint
	Tier     int
	Reason   ExclusionReason
	// Missing are the features the request uses and the endpoint lacks, with reason Feature.
	Missing Features
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
)

// Plan is the answer for one request: whom to try in which order, and who is left out. A Plan is reused:
// Route.Plan overwrites it, and allocates only to grow its slices.
type Plan struct {
	Order    []Candidate
	Excluded []Exclusion

	// resting collects the candidates that rest, of all tiers, until the others are in order.
	resting []Candidate
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
	Idle:         60 * time.Second,
	ClientWrite:  30 * time.Second,
}
