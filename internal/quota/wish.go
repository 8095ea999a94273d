// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package quota

import (
	"math"
	"time"
)

const (
	// pinch is for how long a proxy keeps something when others need it.
	pinch = time.Second
	// firstWish is how many times what the first attempt needs the first grant should be.
	firstWish = 8
	// lowWater is the part of what was there after the last answer below which more is asked for: a quarter.
	lowWater = 4
	// urgent is the part of a horizon that is left of a grant when a wish is urgent: two seconds in a small fleet.
	urgent = 30
	// silence is how long a wish may stay unanswered before the control plane counts as lost.
	silence = 10 * time.Second
)

// Pace is for how long proxies plan. It grows with the fleet, so that the writes of all of them fit.
type Pace struct {
	// Horizon is for how long a grant should last, Idle how long a proxy keeps what it does not use.
	Horizon, Idle time.Duration
}

// PaceOf is the pace of a fleet whose proxies report that often: a minute and ten seconds while it is small.
func PaceOf(reportInterval time.Duration) Pace {
	return Pace{Horizon: max(time.Minute, 4*reportInterval), Idle: max(10*time.Second, 2*reportInterval)}
}

// wish is what a purse asks for.
type wish struct {
	// number is that of the newest wish.
	number int64
	// want is what Granted should grow to; 0 when nothing is wished any more. need is what it must grow to for an
	// attempt at hand that needs size.
	want, need, size int64
	// since is when there was first no answer, since the last one.
	since time.Time
}

// shift has the wish stay what it was when so much is given back.
func (w *wish) shift(returned int64) {
	if w.want > 0 {
		w.want = plus(w.want, returned)
	}
	if w.need > 0 {
		w.need = plus(w.need, returned)
	}
}

// Presses reports whether the wish cannot wait for the endpoint's next numbers: an attempt waits for it, or what is
// left is used before they come. A first wish of which nobody waits is for a period to come.
func (a *Ask) Presses() bool {
	free := minus(minus(a.Granted, a.Returned), a.Spent)
	lasts := minus(minus(a.Want, a.Returned), a.Spent) // what is used in the horizon
	return a.Number > 0 && (a.Need > a.Granted || a.Granted > a.Returned && free <= lasts/urgent)
}

// Ask looks at what was used since the last look, gives back what is not needed, and returns what there is to say;
// ok is false when that is nothing. Saying it again does no harm, and it is said until the ledger has it.
func (p *Purse) Ask(now time.Time, pace Pace) (a Ask, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	least := p.least.Load() // before what was refused is read: whoever lowers it has counted itself
	took := p.look(now)
	size := p.waits(least, now, pace)
	p.giveBack(p.keep(took, now, pace))
	p.reconsider(size, now, pace)
	if p.wish.number <= p.grant.Answered {
		p.wish.since = time.Time{}
	} else if p.wish.since.IsZero() {
		p.wish.since = now
	}
	p.silent.Store(!p.wish.since.IsZero() && now.Sub(p.wish.since) >= silence)

	a = Ask{Key: p.key, Granted: p.grant.Granted, Returned: p.returned}
	if p.open() {
		a.Spent = p.spent()
		a.Number, a.Want, a.Need = p.wish.number, p.wish.want, p.wish.need
		ok = true
	}
	return a, ok || p.returned > p.grant.Returned || p.behind
}

// base is what Granted would be if nothing were free, spent is what was used and what is set aside.
func (p *Purse) base() int64  { return p.grant.Granted - p.free.Load() }
func (p *Purse) spent() int64 { return p.base() - p.returned }

// open reports whether there is a wish that has no answer, or whose need is not met.
func (p *Purse) open() bool {
	return p.wish.want > 0 && (p.wish.number > p.grant.Answered || p.wish.need > p.grant.Granted)
}

// refused reports whether the ledger has answered that there is not enough for what is needed here.
func (p *Purse) refused() bool {
	return p.open() && p.wish.number <= p.grant.Answered && !p.grant.Rest
}

// look measures the demand, and reports whether more was taken since the last look than put back.
func (p *Purse) look(now time.Time) (took bool) {
	denied, spent := p.denied.Swap(0), p.spent()
	took = spent > p.demand.spent
	if spent != p.demand.spent || denied > 0 {
		p.used = now
	}
	if denied > 0 {
		p.denials = now
	}
	if p.fresh {
		p.fresh, p.arrived = false, now
	}
	p.demand.observe(spent, denied, now)
	return took
}

// waits is the smallest amount that was refused and still waits; 0 when none does. It counts for much longer than an
// attempt waits: where somebody was refused others will be, and the wish that stands for them all is not written anew.
func (p *Purse) waits(least int64, now time.Time, pace Pace) int64 {
	if least == nobody {
		return 0
	}
	if least <= p.free.Load() || now.Sub(p.denials) >= pace.Horizon {
		p.least.CompareAndSwap(least, nobody)
		return 0
	}
	return least
}

// reconsider makes or changes the wish, or drops it.
func (p *Purse) reconsider(size int64, now time.Time, pace Pace) {
	if p.done(size) {
		p.wish.want = 0
	}
	amount := p.amount(size, pace)
	switch {
	case size > 0 && !p.covers(size):
		if p.idled { // it was given back too early
			p.idled, p.patience = false, min(2*p.patience, pace.Horizon)
		}
		p.wishFor(amount, size, now)
	case size > 0 || p.open() || p.retired || p.low.Load() > 0:
	case amount > p.free.Load():
		p.wishFor(amount, 0, now)
	default:
		p.arm()
	}
}

// done reports whether nobody waits any more for what was wished, or the rest was all there is. A wish without an
// answer stays: nobody may think that the control plane is lost because it was not asked.
func (p *Purse) done(size int64) bool {
	return p.wish.number <= p.grant.Answered && (size == 0 || p.grant.Rest && !p.rest.Load())
}

// covers reports whether the wish that is open helps whoever waits with this size.
func (p *Purse) covers(size int64) bool {
	return p.open() && size >= p.wish.size && p.wish.need > p.base()
}

// amount is how much should be free.
func (p *Purse) amount(size int64, pace Pace) int64 {
	switch {
	case p.retired:
		return size
	case p.grant.Wanted:
		return max(size, p.demand.in(pinch))
	case p.grant.Granted == 0:
		return min(size, math.MaxInt64/firstWish) * firstWish
	default:
		return max(size, p.demand.in(pace.Horizon))
	}
}

// wishFor wishes for so much to be free, and for size at least.
func (p *Purse) wishFor(amount, size int64, now time.Time) {
	base := p.base()
	p.wish.number = max(p.wish.number, p.grant.Answered) + 1
	p.wish.want, p.wish.need, p.wish.size = max(plus(base, amount), 1), 0, size
	if size > 0 {
		p.wish.need = plus(base, size)
	}
	if p.wish.since.IsZero() {
		p.wish.since = now
	}
}

// arm sets when more is asked for: when a quarter is left of what there is now, or enough for a second if that is
// more, but no more than half. When there is no more to be had that is asked less and less often.
func (p *Purse) arm() {
	free := max(p.free.Load(), 0)
	p.low.Store(max(1, free/lowWater, min(free/2, p.demand.in(pinch))))
}

// keep is how much of what is free is not given back. What is not enough for anybody here may be enough for somebody
// else.
func (p *Purse) keep(took bool, now time.Time, pace Pace) int64 {
	p.patience = max(p.patience, pace.Idle)
	held := p.held(now)
	switch {
	case p.retired:
		return 0
	case p.refused() && !took:
		return 0
	case now.Before(p.key.Start.Add(pinch)): // it cannot have been of use
	case now.Sub(p.used) >= p.patience && now.Sub(p.key.Start) >= p.patience:
		p.idled = p.idled || p.free.Load() > held
		return held
	case p.grant.Wanted: // who needs no more than one in that time can ask for it
		return max(held, p.demand.in(pinch)-1)
	}
	return math.MaxInt64
}

// held is what came for somebody who was refused and has not taken it yet: it is kept for a moment in any case, or it
// could go round among those who wait and be nowhere when they try again.
func (p *Purse) held(now time.Time) int64 {
	if p.wish.size == 0 || p.refused() || now.Sub(p.arrived) >= pinch {
		return 0
	}
	return max(p.wish.need-p.base(), 0)
}

// giveBack gives back all that is free but so much. What is wished for comes on top of it.
func (p *Purse) giveBack(but int64) {
	for {
		free := p.free.Load()
		if free <= but {
			return
		}
		if p.free.CompareAndSwap(free, but) {
			p.returned += free - but
			p.wish.shift(free - but)
			p.rest.Store(p.rest.Load() && but > 0)
			return
		}
	}
}
