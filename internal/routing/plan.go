// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package routing

import (
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
func (e *Endpoint) exclude(f *Facts, asked Node) (ExclusionReason, Features) {
	if e.filter.standby {
		return ExcludedStandby, 0
	}
	return e.unfit(f, asked)
}

// excludedBySpec is the exclusion of an endpoint on Standby by its spec.
func (e *Endpoint) excludedBySpec(f *Facts, asked Node, tier int) Exclusion {
	x := Exclusion{Endpoint: e, Tier: tier, Reason: ExcludedStandby}
	if e.Refused == (Refusal{}) {
		x.Unfit, x.Missing = e.unfit(f, asked)
	}
	return x
}

// unfit returns why e could not serve a request however it stood; 0 when it could. asked is the capability that
// was asked for when it is narrower than the policy's, else empty.
func (e *Endpoint) unfit(f *Facts, asked Node) (ExclusionReason, Features) {
	c := &e.filter
	switch {
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
// Hard filters come first, and then what nothing overrides: the barred. What is left is ordered tier by tier
// with the tier's strategy. After all of that come endpoints on trial that have had their share, in that order
// too, and last those that rest, the one due back first: a verdict about health is advice, so a pool whose
// members all rest is still tried. A policy that rejects leaves both of these out. live may be nil: then all are in
// service and every turn is the first.
//
// A request that is pinned has one candidate at most: see Facts.Pinned.
//
// Plan allocates only to grow into's slices. It asks live how each endpoint stands once, for a share of the
// trial only of those that are on trial, and for a turn once for each round-robin tier that has a choice.
func (r Route) Plan(f Facts, live Live, now int64, into *Plan) {
	into.Order, into.Excluded = into.Order[:0], into.Excluded[:0]
	into.later, into.returns = into.later[:0], into.returns[:0]
	if r.Policy == nil {
		return
	}
	into.reject = r.Policy.RejectResting
	if live == nil {
		live = calm{}
	}
	asked := r.Node
	if asked == r.Policy.Node {
		asked = "" // everything in the pool stands at or below it
	}
	if f.Pinned {
		r.pin(&f, asked, live, now, into)
		return
	}
	for i := range r.Policy.Tiers {
		tier := &r.Policy.Tiers[i]
		first := len(into.Order) // a strategy orders its own tier only
		for _, e := range tier.Endpoints {
			switch reason, missing := e.exclude(&f, asked); reason {
			case 0:
				into.place(Candidate{Endpoint: e, Tier: i, Standing: live.Standing(e.Index, now)}, live, now)
			case ExcludedStandby:
				into.Excluded = append(into.Excluded, e.excludedBySpec(&f, asked, i))
			default:
				into.Excluded = append(into.Excluded, Exclusion{Endpoint: e, Tier: i, Reason: reason, Missing: missing})
			}
		}
		tier.arrange(into.Order[first:], live)
	}
	slices.SortFunc(into.returns, compareReturns)
	for _, back := range into.returns {
		into.Order = append(into.Order, into.later[back.at])
	}
}

// place puts a candidate where its standing says: among those in service, after them, or out.
func (p *Plan) place(c Candidate, live Live, now int64) {
	switch c.Standing.Kind {
	case InService:
		p.Order = append(p.Order, c)
	case OnTrial:
		if live.TakeTrial(c.Endpoint.Index, now) {
			p.Order = append(p.Order, c)
			return
		}
		c.Standing.Until = 0
		p.wait(c, math.MinInt64) // before all that rest, and of several the one listed first
	case Resting:
		due := c.Standing.Until
		if due == 0 {
			due = math.MaxInt64 // never is last
		}
		p.wait(c, due)
	case Barred:
		p.leaveOut(c, ExcludedBarred)
	}
}

// leaveOut excludes a candidate for how it stands.
func (p *Plan) leaveOut(c Candidate, reason ExclusionReason) {
	p.Excluded = append(p.Excluded, Exclusion{Endpoint: c.Endpoint, Tier: c.Tier, Reason: reason, Standing: c.Standing})
}

// pin plans a request that refers to state at a provider. Nobody knows where that state is but by a rule that is
// the same for every request: the first endpoint listed that could serve it, so neither strategies nor verdicts about
// health have a say. Elsewhere the request would fail for a reason that its caller could not understand.
func (r Route) pin(f *Facts, asked Node, live Live, now int64, into *Plan) {
	found := false
	for i := range r.Policy.Tiers {
		for _, e := range r.Policy.Tiers[i].Endpoints {
			x := Exclusion{Endpoint: e, Tier: i}
			x.Reason, x.Missing = e.unfit(f, asked)
			switch {
			case x.Reason != 0: // its own reason says more
			case found:
				x.Reason = ExcludedPinned
			case e.filter.standby:
				found, x.Reason = true, ExcludedStandby
			default:
				found = true
				c := Candidate{Endpoint: e, Tier: i, Standing: live.Standing(e.Index, now)}
				if c.Standing.Kind != Barred {
					into.Order = append(into.Order, c)
					continue
				}
				x.Reason, x.Standing = ExcludedBarred, c.Standing
			}
			into.Excluded = append(into.Excluded, x)
		}
	}
}

// back is when a candidate that is tried later comes back, and its place among those. Sorting these instead of the
// candidates takes half the time, and a pool of which everything rests is when it counts.
type back struct {
	due int64
	at  int
}

// wait puts a candidate among those that are tried later, or out.
func (p *Plan) wait(c Candidate, due int64) {
	if p.reject {
		p.leaveOut(c, ExcludedResting)
		return
	}
	p.returns = append(p.returns, back{due: due, at: len(p.later)})
	p.later = append(p.later, c)
}

// compareReturns puts what is due first first, and of two that are due together the one listed first.
func compareReturns(a, b back) int {
	switch {
	case a.due < b.due:
		return -1
	case a.due > b.due:
		return 1
	default:
		return a.at - b.at
	}
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
	clear(p.later[:cap(p.later)])
	p.Order, p.Excluded, p.later = p.Order[:0], p.Excluded[:0], p.later[:0]
}

// calm is the Live of a table without live state.
type calm struct{}

func (calm) Standing(int, int64) Standing { return Standing{} }
func (calm) TakeTrial(int, int64) bool    { return true }
func (calm) NextTurn(int) uint64          { return 0 }
