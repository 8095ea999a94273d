// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package quota

// row is a lease and the party that has it. One of the two may be missing.
type row struct {
	Lease
	party *Party
	ask   *Ask
	// given is what it was lent in this decision.
	given int64
}

// word is what the party says about the account.
func (p *Party) word(key Key) *Ask {
	if p.Ask == nil || p.Ask.Limit != key.Limit || !p.Ask.Start.Equal(key.Start) {
		return nil
	}
	return p.Ask
}

// hear takes in what the proxy says. What it has seen was granted, even if the ledger has been set back since. It can
// give back no more than it has seen: else it would give back what it is lent in this very decision.
func (r *row) hear() {
	if r.ask != nil {
		r.Granted = max(r.Granted, r.ask.Granted)
		r.Returned = max(r.Returned, min(r.ask.Returned, r.ask.Granted))
	}
}

// base is how much Granted would be if nothing were free: what was returned, and what was lent or, if that is more,
// used by the proxy's own word. What it used beyond its lease is granted without being lent: it is out already.
func (r *row) base() int64 {
	if r.ask != nil {
		return max(r.Granted, plus(r.Returned, max(r.ask.Spent, 0)))
	}
	return r.Granted
}

// out is what a proxy may have used or may still use: what it was lent, or what it has used if that is more. It is
// more when answers were longer than expected, and when something was used before there was a limit or without one.
func (r *row) out() int64 { return max(r.Granted-r.Returned, r.taken()) }

// taken is what it has used or set aside, as far as is known.
func (r *row) taken() int64 {
	var taken int64
	if r.party != nil {
		taken = max(taken, r.party.Used)
	}
	if r.ask != nil {
		taken = max(taken, r.ask.Spent)
	}
	return taken
}

// idle is what nobody there has a use for: neither taken nor needed for the attempt at hand. Of a proxy that does not
// live nobody can use anything.
func (r *row) idle() int64 {
	if r.party == nil || r.party.State != Living {
		return 0
	}
	busy := r.taken()
	if r.ask != nil {
		busy = max(busy, minus(min(r.ask.Need, r.ask.Want), r.Returned))
	}
	return max(r.out()-busy, 0)
}

// used is the part of out that is known to be used, or that nobody can use any more. What is set aside of tokens and
// money is not used yet: an endpoint that is at its limit only until an answer turns out short is not at its limit.
func (r *row) used(limit Limit) int64 {
	switch {
	case r.party == nil || r.party.State != Living:
		return r.out()
	case limit == Requests:
		return r.taken()
	default:
		return max(r.party.Used, 0)
	}
}

// need is what is missing for the attempt at hand, wish what is missing in all.
func (r *row) need() int64 { return max(minus(min(r.ask.Need, r.ask.Want), r.base()), 0) }

func (r *row) wish() int64 { return max(minus(r.ask.Want, r.base()), 0) }
