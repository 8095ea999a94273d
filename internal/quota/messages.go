// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package quota

// Endpoint names a ModelEndpoint.
type Endpoint struct {
	UID, Namespace, Name string
}

// EndpointAsk is what one proxy says about one endpoint.
type EndpointAsk struct {
	Endpoint
	Asks []Ask
	// Demand is how much of the limits per minute, and of attempts at once, it would use; nil when it has none.
	Demand *Amounts
	// Unheard says that an attempt waits for a wish without an answer: the proxy says that before all else. It is for
	// the proxy itself, and is not said.
	Unheard bool
}

// EndpointGrant is what one proxy may use of one endpoint.
type EndpointGrant struct {
	Endpoint
	Grants []Grant
	// Share is its part of the limits per minute, and of attempts at once; nil before it is told.
	Share *Amounts
}

// Amounts are of the limits that hold no period. Unlimited stands for one that does not exist.
type Amounts struct {
	RequestsPerMinute, TokensPerMinute, ConcurrentRequests int64
}

// Unlimited is the amount of a limit that does not exist.
const Unlimited = -1
