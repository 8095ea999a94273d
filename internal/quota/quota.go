// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

// Package quota holds limits over a fleet: what the operator lends to each proxy, and what a proxy does with it.
// Pure functions of values and time, without I/O, so that operator, proxies and simulations do the same
// (docs/design.md, section 5).
//
// A limit of an endpoint has one account for each calendar period, in one object that is only written under its
// version. The account lends leases to proxies, and the sum of what is closed and what is out is never above the
// limit. A proxy copies its leases into purses and admits an attempt only out of a purse. What was lent comes back
// by the proxy's own word alone: whoever is gone without one is charged all that it had.
//
// Granted and returned only ever grow, and both sides keep the largest they have seen, so that a message that
// comes late or twice does no harm.
package quota

import (
	"math"
	"time"
)

// Limit is what a limit counts.
type Limit uint8

// The limits. The zero value is none.
const (
	// Requests counts attempts that are handed to a connection.
	Requests Limit = iota + 1
	// Tokens counts input and output tokens.
	Tokens
	// Budget counts nano-dollars.
	Budget
)

// limitNames are the words of the API.
var limitNames = [...]string{Requests: "Requests", Tokens: "Tokens", Budget: "Budget"}

// String is the limit's word in the API; empty for none.
func (l Limit) String() string {
	if int(l) >= len(limitNames) {
		return ""
	}
	return limitNames[l]
}

// ParseLimit reads the word of the API; false when it is none.
func ParseLimit(word string) (Limit, bool) {
	for l := Requests; int(l) < len(limitNames); l++ {
		if limitNames[l] == word {
			return l, true
		}
	}
	return 0, false
}

const (
	// Early is how long before a period begins its first leases are lent, so that not everybody asks at midnight.
	Early = 5 * time.Minute
	// skew is how far apart the clocks of operator and proxies may be before a period that is over for one of
	// them is refused to the other. Which period an attempt belongs to is exact all the same.
	skew = time.Minute
)

// Key names an account among those of one endpoint.
type Key struct {
	Limit Limit
	// Start is when the period begins, in whole seconds and UTC.
	Start time.Time
}

// Ask is what a proxy says about one account. Amounts are those of the whole period, under one ProxyInstance.
type Ask struct {
	Key
	// Granted is the largest grant it has seen; Returned what it has given back of it for good.
	Granted, Returned int64
	// Spent is what it has used and what it has set aside for attempts under way.
	Spent int64
	// Number counts its wishes: each is answered once. Want is what Granted should grow to; Need, at most Want,
	// what it must grow to for the attempt at hand. Zero: it wishes nothing, and only gives back.
	Number     int64
	Want, Need int64
}

// Grant is the copy of a lease that its proxy gets.
type Grant struct {
	Key
	// Granted and Returned are those of the ledger.
	Granted, Returned int64
	// Answered is the Number of the newest wish that was answered, if only with nothing.
	Answered int64
	// Rest says that the grant ended with the last there was, and with less than was needed: one attempt may have
	// all of it although it sets aside more.
	Rest bool
	// Wanted says that others need what is not used.
	Wanted bool
}

// Merge is what is known from two copies of the same lease, in whichever order they came. What only grows shows
// which is the newer one; its word on the rest is taken.
func (g Grant) Merge(other Grant) Grant {
	if other.Answered >= g.Answered && other.Granted >= g.Granted && other.Returned >= g.Returned {
		g.Rest, g.Wanted = other.Rest, other.Wanted
	}
	g.Granted = max(g.Granted, other.Granted)
	g.Returned = max(g.Returned, other.Returned)
	g.Answered = max(g.Answered, other.Answered)
	return g
}

// plus and minus stop at the ends of what can be counted: an amount that nobody can have must not turn into one of
// the other sign. What is added or taken away is never negative.
func plus(a, b int64) int64 {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}

func minus(a, b int64) int64 {
	if a < math.MinInt64+b {
		return math.MinInt64
	}
	return a - b
}
