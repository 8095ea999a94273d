// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package quota

import (
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// nobody is what is needed when nobody waits.
const nobody = math.MaxInt64

// Purse is what one proxy may still use of one account. Take and Put are for the request path: they take no lock.
// All methods may be called from anywhere.
type Purse struct {
	key Key
	// free is granted − returned − spent. It falls below 0 by what attempts used beyond what they had set aside, and
	// by what was used before there was a limit.
	free atomic.Int64
	// low is when more is asked for; 0 when whoever had to say so has said it.
	low atomic.Int64
	// denied sums up what was refused since the last look, least is the smallest amount of it that still waits.
	denied, least atomic.Int64
	// rest says that one attempt may have all there is.
	rest atomic.Bool
	// silent says that a wish has been without an answer for too long.
	silent atomic.Bool

	mu sync.Mutex
	// Everything below is guarded by mu.
	grant    Grant
	returned int64
	wish     wish
	demand   demand
	// used is when something was last taken or refused, denials when something was last refused.
	used, denials time.Time
	// fresh says that something was granted since the last look, arrived when a look first saw it.
	fresh   bool
	arrived time.Time
	// patience is how long what is not used is kept; idled says that it has run out since something was refused.
	patience time.Duration
	idled    bool
	retired  bool
	// behind says that the ledger has less than was seen: it was set back.
	behind bool
}

// NewPurse makes an empty purse. spent is what was used of the period before there was a limit.
func NewPurse(key Key, spent int64) *Purse {
	p := &Purse{key: key, demand: demand{spent: spent}}
	p.free.Store(-spent)
	p.least.Store(nobody)
	return p
}

// Key is the account that the purse is of.
func (p *Purse) Key() Key { return p.key }

// Take sets n aside and returns how much that was: n, or less when that is the rest of a limit. ok is false when the
// purse has not enough; nothing is taken then. ask says that more should be asked for now; nobody else is told.
func (p *Purse) Take(n int64) (taken int64, ok, ask bool) {
	if n <= 0 {
		return 0, true, false
	}
	for {
		free := p.free.Load()
		taken = min(n, free)
		if taken < n && (taken <= 0 || !p.rest.Load()) {
			return 0, false, p.deny(n)
		}
		if !p.free.CompareAndSwap(free, free-taken) {
			continue
		}
		if taken < n && !p.rest.CompareAndSwap(true, false) { // somebody else has had it
			p.free.Add(taken)
			continue
		}
		return taken, true, free-taken < p.low.Load() && p.low.Swap(0) > 0
	}
}

// Force sets n aside whether or not it is there.
func (p *Purse) Force(n int64) { p.free.Add(-n) }

// Put gives back n of what was set aside: all of it when nothing was used, what is left over when less was used, and
// a negative amount when more was.
func (p *Purse) Put(n int64) {
	if n != 0 {
		p.free.Add(n)
	}
}

// deny takes note of what was refused. What is asked for already need not be said again; a smaller amount must, for
// there may be enough for it.
func (p *Purse) deny(n int64) (ask bool) {
	denied := p.denied.Load()
	for !p.denied.CompareAndSwap(denied, plus(denied, n)) {
		denied = p.denied.Load()
	}
	for {
		least := p.least.Load()
		if n >= least {
			return false
		}
		if p.least.CompareAndSwap(least, n) {
			return true
		}
	}
}

// Free is what may still be used; below 0 when more was used than granted.
func (p *Purse) Free() int64 { return p.free.Load() }

// Silent reports whether nobody has answered for so long that the control plane counts as lost.
func (p *Purse) Silent() bool { return p.silent.Load() }

// Grant takes in a copy of the lease. wanted says that something should be given back at once.
func (p *Purse) Grant(g Grant) (wanted bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	before, returned := p.grant, p.returned
	p.behind = g.Granted < before.Granted || g.Returned < before.Returned
	p.grant = before.Merge(g)
	p.grant.Key = p.key
	// What the ledger knows to be returned has come from here, even if this purse was made anew since.
	p.returned = max(returned, p.grant.Returned)
	more, answered := p.grant.Granted-before.Granted, p.grant.Answered > before.Answered
	if more > 0 || answered {
		p.rest.Store(p.grant.Rest)
		p.wish.since = time.Time{}
		p.silent.Store(false)
	}
	if more > 0 { // before it is there: who is refused from now on has to say so again
		p.least.Store(nobody)
		p.fresh = true
	}
	p.free.Add(more - (p.returned - returned))
	if more > 0 || answered {
		p.arm()
	}
	return p.grant.Wanted && p.free.Load() > 0
}

// Retire has the purse give back whatever is not set aside, from now on and at once: the process is about to end.
func (p *Purse) Retire() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.retired = true
}

// Expect wishes for a first grant of a period that has not begun.
func (p *Purse) Expect(amount int64, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.wish.number == 0 && amount > 0 {
		p.wishFor(amount, 0, now)
	}
}

// Demand is what is used in d, as of the last look.
func (p *Purse) Demand(d time.Duration) int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.demand.in(d)
}

// Reading is the state of a purse, for people.
type Reading struct {
	Key
	// Granted is without what was given back. Spent includes what is set aside.
	Granted, Spent, Free int64
}

// Read takes a reading.
func (p *Purse) Read() Reading {
	p.mu.Lock()
	defer p.mu.Unlock()
	free := p.free.Load()
	granted := p.grant.Granted - p.returned
	return Reading{Key: p.key, Granted: granted, Spent: granted - free, Free: free}
}
