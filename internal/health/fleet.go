// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package health

import (
	"math"
	"slices"
	"sync/atomic"
	"time"

	"github.com/turnout-ai/turnout/internal/calendar"
	"github.com/turnout-ai/turnout/internal/modelstate"
	"github.com/turnout-ai/turnout/internal/routing"
)

// shareWhole is one request, in the hundredths that the share of a trial is counted in.
const shareWhole = 100

// reservation is how long the one attempt that a trial may have is kept for a plan that took it: a plan that
// tries another endpoint first may never come to it.
const reservation = int64(time.Second)

// fleet is what the operator has written about an endpoint.
type fleet struct {
	state modelstate.State
	// foreign says that it was written about another url, model or credential than this proxy's: then it says
	// nothing here, and nothing from here says anything there.
	foreign bool
	// quiet is true when no reason of health holds and there is no trial.
	quiet bool
	// spent is until when the fleet has nothing left of a limit, by Limit; 0 when it has. anySpent says that there
	// is one.
	spent    [Requests + 1]int64
	anySpent bool
	cached   atomic.Pointer[cachedStanding]
}

// cachedStanding is a Standing that time does not change from since until until.
type cachedStanding struct {
	modelstate.Standing
	since, until int64
}

// clockStep is how far times may go back without that the clock was put back: requests carry the time at which
// they began.
const clockStep = int64(time.Minute)

// ahead reports whether an end is still to come, of something that lasts so long at most. One that is further away
// was set by a clock that has been put back, and would keep an endpoint away for as long.
func ahead(end, now int64, longest time.Duration) bool {
	return end > now && end-now <= int64(longest)+clockStep
}

func newFleet(state modelstate.State, t *terms) *fleet {
	f := &fleet{state: state, quiet: state.Trial == nil}
	f.foreign = state.Configuration != "" && t.configuration != "" && state.Configuration != t.configuration
	for i := range state.Verdicts {
		v := &state.Verdicts[i]
		f.quiet = f.quiet && !v.Reason.Health()
		for _, of := range lent {
			if v.Reason == of.limit.Reason() {
				f.spent[of.limit], f.anySpent = nanos(v.Until), true
			}
		}
	}
	f.quiet = f.quiet || f.foreign
	return f
}

// spentUntil is the end of the period of a limit of which the fleet has nothing left; 0 when it has, or when that
// period is over.
func (f *fleet) spentUntil(limit Limit, now int64) int64 {
	if until := f.spent[limit]; ahead(until, now, modelstate.MaxQuotaReset) {
		return until
	}
	return 0
}

// law is how the endpoint stands for limits that hold a period: what the fleet says counts once this proxy's own
// purse is empty.
func (e *Endpoint) law(f *fleet, now int64) (s routing.Standing) {
	l := e.limited.Load()
	if l == nil {
		return s
	}
	for _, of := range lent {
		if until := f.spentUntil(of.limit, now); until != 0 && of.limit.Of(&l.Limits) > 0 && e.book.free(of.quota, now) <= 0 {
			s = s.And(routing.Standing{Kind: routing.Barred, Reason: of.limit.Reason(), Until: until})
		}
	}
	return s
}

// standing is how the endpoint stands for the fleet.
func (f *fleet) standing(units []modelstate.Unit, now int64) modelstate.Standing {
	if f.quiet {
		return modelstate.Standing{Percent: 100}
	}
	if c := f.cached.Load(); c != nil && now < c.until && c.since-now <= clockStep {
		return c.Standing
	}
	s := f.state.Standing(units, moment(now))
	if s.Kind == modelstate.OnTrial {
		return s // its share changes all the time
	}
	c := &cachedStanding{Standing: s, since: now, until: math.MaxInt64}
	for i := range f.state.Verdicts {
		if until := nanos(f.state.Verdicts[i].Until); until > now {
			c.until = min(c.until, until)
		}
	}
	f.cached.Store(c)
	return s
}

// holds reports whether a verdict for such a reason holds at now.
func (f *fleet) holds(now int64, such func(modelstate.Reason) bool) bool {
	for i := range f.state.Verdicts {
		v := &f.state.Verdicts[i]
		if such(v.Reason) && (v.Until.IsZero() || nanos(v.Until) > now) {
			return !f.foreign
		}
	}
	return false
}

// holdsUntil reports whether a verdict for that reason holds to that time at least. Ends are whole seconds.
func (f *fleet) holdsUntil(until int64, reason modelstate.Reason) bool {
	return f.holds(until-int64(time.Second), func(r modelstate.Reason) bool { return r == reason })
}

// told takes what the operator has written. The word of a newer epoch replaces what is known here.
func (e *Endpoint) told(state modelstate.State) {
	e.mu.Lock()
	current := e.era.Load()
	if state.Epoch < current.epoch {
		e.mu.Unlock()
		return
	}
	f := newFleet(state, e.terms.Load())
	e.fleet.Store(f)
	if state.Epoch > current.epoch {
		current = e.turn(current, &state)
	}
	e.mu.Unlock()
	e.contradict(f, current)
}

// turn begins another epoch.
func (e *Endpoint) turn(last *era, state *modelstate.State) *era {
	next := &era{epoch: state.Epoch}
	if state.Withdrawn { // the fleet leaves it to the proxies that fail
		next.restUntil.Store(last.restUntil.Load())
		next.earned, next.unproven = last.earned, last.unproven
	}
	e.era.Store(next)
	if last.epoch+1 == next.epoch {
		// After the store: a success that does not see the new era is seen here.
		storeMax(&next.previousSuccess, last.lastSuccess.Load())
	}
	return next
}

// contradict speaks up when this proxy knows of a newer success than a verdict of the fleet was made from.
func (e *Endpoint) contradict(f *fleet, current *era) {
	if f.contradicted(current) {
		e.registry.notify()
	}
}

// contradicted reports whether a success of the epoch that an ErrorThreshold was decided in is newer than its
// evidence, in the microseconds that a State carries.
func (f *fleet) contradicted(current *era) bool {
	basis := &f.state.Evidence
	if f.quiet || basis.Time.IsZero() || basis.Epoch != current.epoch-1 || f.state.Epoch != current.epoch {
		return false
	}
	threshold := func(v modelstate.Verdict) bool { return v.Reason == modelstate.ErrorThreshold }
	return slices.ContainsFunc(f.state.Verdicts, threshold) &&
		current.previousSuccess.Load()/int64(time.Microsecond) > basis.Time.UnixMicro()
}

// maintenance is the windows of an endpoint, with the answer until it next changes.
type maintenance struct {
	windows []calendar.Window
	cached  atomic.Pointer[openness]
}

type openness struct {
	open bool
	// since is when the calendar was asked; next is 0 when it never changes.
	since, until, next int64
}

// standing is how the endpoint stands for maintenance.
func (m *maintenance) standing(now int64) routing.Standing {
	o := m.cached.Load()
	if o == nil || o.next != 0 && now >= o.next || o.since-now > clockStep {
		open, until, next := calendar.Open(m.windows, moment(now))
		o = &openness{open: open, since: now, until: nanos(until), next: nanos(next)}
		m.cached.Store(o)
	}
	if !o.open {
		return routing.Standing{}
	}
	return routing.Standing{Kind: routing.Barred, Reason: modelstate.MaintenanceWindow, Until: o.until}
}

// Standing is how the endpoint stands: the worst of what the calendar, the fleet and this proxy say.
func (e *Endpoint) Standing(now int64) routing.Standing {
	current, t, f := e.era.Load(), e.terms.Load(), e.fleet.Load()
	if t.maintenance == nil && e.askedUntil.Load() <= now && current.restUntil.Load() == 0 &&
		current.said.Load() == nil && f.quiet && !f.anySpent {
		return routing.Standing{}
	}
	s := e.health(current, now)
	if f.anySpent {
		s = e.law(f, now).And(s)
	}
	if t.maintenance != nil {
		s = t.maintenance.standing(now).And(s)
	}
	return s
}

// health is how the endpoint stands for reasons of health.
func (e *Endpoint) health(current *era, now int64) routing.Standing {
	t := e.terms.Load()
	f := e.fleet.Load().standing(t.units, now)
	s := routing.Standing{Kind: f.Kind, Reason: f.Reason, Until: nanos(f.Until)}
	if rest := current.restUntil.Load(); ahead(rest, now, t.cooldown) {
		s = s.And(routing.Standing{Kind: routing.Resting, Reason: modelstate.ErrorThreshold, Until: rest})
	} else if rest != 0 {
		s = s.And(routing.Standing{Kind: routing.OnTrial, Reason: modelstate.ErrorThreshold})
	}
	if asked := e.askedUntil.Load(); ahead(asked, now, t.maxRetryAfter) {
		s = s.And(routing.Standing{Kind: routing.Barred, Reason: modelstate.RateLimited, Until: asked})
	}
	if said := current.said.Load(); said != nil {
		for i := range said {
			if ahead(said[i].bars, now, modelstate.MaxQuotaReset) {
				s = s.And(routing.Standing{Kind: routing.Barred, Reason: said[i].Reason, Until: said[i].bars})
			}
		}
	}
	return s
}

// percent is the share of its traffic that an endpoint on trial gets.
func (e *Endpoint) percent(current *era, now int64) int64 {
	t := e.terms.Load()
	share := int64(e.fleet.Load().standing(t.units, now).Percent)
	rest := current.restUntil.Load()
	if rest == 0 || ahead(rest, now, t.cooldown) {
		return share
	}
	local := int64(shareWhole)
	if since := max(0, now-rest); since < int64(t.ramp) {
		first := int64(t.initialPercent)
		local = first + (shareWhole-first)*(since/int64(time.Millisecond))/max(1, t.ramp.Milliseconds())
	}
	return min(share, local)
}

// takeTrial counts one more request that could go to an endpoint on trial, and reports whether it does. Of
// any n in a row at p percent, n*p/100 do. Until the first success there is one attempt at a time.
func (e *Endpoint) takeTrial(now int64) bool {
	current := e.era.Load()
	percent := e.percent(current, now)
	after := current.share.Add(percent)
	if before := after - percent; wholes(before) == wholes(after) {
		return false
	}
	if current.restUntil.Load() == 0 && current.successes.Load() > 0 {
		return true
	}
	if current.probing.Load() > 0 {
		return false
	}
	taken := current.reserved.Load()
	return (taken == 0 || now-taken >= reservation) && current.reserved.CompareAndSwap(taken, now)
}

// wholes is how many requests so many hundredths begin.
func wholes(hundredths int64) int64 { return (hundredths + shareWhole - 1) / shareWhole }
