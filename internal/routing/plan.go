// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package routing

import (
	"cmp"
	"math"
	"slices"
)

// The share of the input estimate that must already exceed a context window before an endpoint is passed
// over, as a fraction: the estimate is rough and the provider knows better.
const (
	windowToleranceNumerator   = 3
	windowToleranceDenominator = 4
)

// filter is what a plan reads of an endpoint for every request. "Unknown" is written as the widest value, so
// that the request path has no case for it.
type filter struct {
	// maxInput is the largest input estimate that is not clearly above the context window.
	maxInput   int64
	maxOutput  int64
	features   Features
	operations operations
	delivery   Delivery
	standby    bool
}

func newFilter(e *Endpoint) filter {
	f := filter{
		maxInput:   math.MaxInt64,
		maxOutput:  math.MaxInt64,
		features:   e.Features,
		operations: operationsOf(e.Nodes),
		delivery:   e.Delivery,
		standby:    e.Standby != Refusal{},
	}
	// 3/4 of the estimate is above the window exactly when the estimate is above 4/3 of it.
	if w := e.ContextWindow; w > 0 && w <= math.MaxInt64/windowToleranceDenominator {
		f.maxInput = w * windowToleranceDenominator / windowToleranceNumerator
	}
	if e.MaxOutputTokens > 0 {
		f.maxOutput = e.MaxOutputTokens
	}
	if !e.FeaturesKnown {
		f.features = math.MaxUint16
	}
	return f
}

// exclude returns why e is not tried for a request, looking in the order of the reasons; 0 when it may be.
// asked is the capability that was asked for when it is narrower than the policy's, else empty.
func (e *Endpoint) exclude(f *Facts, asked Node) (ExclusionReason, Features) {
	c := &e.filter
	switch {
	case c.standby:
		return ExcludedStandby, 0
	case asked != "" && !e.offers(asked):
		return ExcludedCapability, 0
	case f.Operation != 0 && c.operations&f.Operation.bit() == 0:
		return ExcludedOperation, 0
	case f.Delivery&^c.delivery != 0:
		return ExcludedDelivery, 0
	case f.Features&^c.features != 0:
		return ExcludedFeature, f.Features &^ c.features
	case f.InputTokens > c.maxInput:
		return ExcludedContextWindow, 0
	case f.MaxOutputTokens > c.maxOutput:
		return ExcludedMaxOutputTokens, 0
	default:
		return 0, 0
	}
}

// offers reports whether one of the endpoint's capabilities serves a request for asked: the same node, one
// below it, or one above it, which offers everything below.
func (e *Endpoint) offers(asked Node) bool {
	for _, n := range e.Nodes {
		if related(asked, n) {
			return true
		}
	}
	return false
}

// Plan decides for one request which of the policy's endpoints to try in which order, and writes it to into,
// together with those left out and why. Each endpoint of the policy is in one of the two lists, once.
//
// Hard filters come first; what they leave is ordered tier by tier with the tier's strategy. Endpoints that
// rest come after all others of all tiers, the one due back first: a verdict about health is advice, so a
// pool whose members all rest is still tried. live may be nil: then nothing rests and every turn is the first.
//
// Plan allocates only to grow into's slices, and asks live for a turn once for each round-robin tier that has
// a choice.
func (r Route) Plan(f Facts, live Live, now int64, into *Plan) {
	into.Order, into.Excluded, into.resting = into.Order[:0], into.Excluded[:0], into.resting[:0]
	if r.Policy == nil {
		return
	}
	if live == nil {
		live = calm{}
	}
	asked := r.Node
	if asked == r.Policy.Node {
		asked = "" // everything in the pool stands at or below it
	}
	for i := range r.Policy.Tiers {
		tier := &r.Policy.Tiers[i]
		first := len(into.Order) // a strategy orders its own tier only
		for _, e := range tier.Endpoints {
			if reason, missing := e.exclude(&f, asked); reason != 0 {
				into.Excluded = append(into.Excluded, Exclusion{Endpoint: e, Tier: i, Reason: reason, Missing: missing})
			} else if until, resting := live.Resting(e.Index, now); resting {
				into.resting = append(into.resting, Candidate{Endpoint: e, Tier: i, RestingUntil: until})
			} else {
				into.Order = append(into.Order, Candidate{Endpoint: e, Tier: i})
			}
		}
		tier.arrange(into.Order[first:], live)
	}
	// Stable: of two that are due back together, the one listed first.
	slices.SortStableFunc(into.resting, func(a, b Candidate) int { return cmp.Compare(a.RestingUntil, b.RestingUntil) })
	into.Order = append(into.Order, into.resting...)
}

// arrange puts the tier's candidates, given in listed order, into the order of its strategy.
//
// RoundRobin counts over the candidates of this request: as long as they are the same, any n plans in a row
// start once at each of n; when one comes or goes, the cycle goes on with the new number.
func (t *Tier) arrange(candidates []Candidate, live Live) {
	if t.Strategy != RoundRobin || len(candidates) < 2 {
		return
	}
	start := int(live.NextTurn(t.Turn) % uint64(len(candidates)))
	rotate(candidates, start)
}

// rotate moves the candidate at start to the front and those before it to the end, in place.
func rotate(candidates []Candidate, start int) {
	slices.Reverse(candidates[:start])
	slices.Reverse(candidates[start:])
	slices.Reverse(candidates)
}

// Reset empties the plan and lets go of the table it spoke of, keeping the space, for plans kept in a pool.
func (p *Plan) Reset() {
	clear(p.Order[:cap(p.Order)])
	clear(p.Excluded[:cap(p.Excluded)])
	clear(p.resting[:cap(p.resting)])
	p.Order, p.Excluded, p.resting = p.Order[:0], p.Excluded[:0], p.resting[:0]
}

// calm is the Live of a table without live state.
type calm struct{}

func (calm) Resting(int, int64) (int64, bool) { return 0, false }
func (calm) NextTurn(int) uint64              { return 0 }
