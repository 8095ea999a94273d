// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package health

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/turnout-ai/turnout/internal/modelstate"
	"github.com/turnout-ai/turnout/internal/quota"
	"github.com/turnout-ai/turnout/internal/routing"
)

const (
	// remarkEvery keeps a provider that fails at every request from filling the log.
	remarkEvery = 10 * time.Second
	// quiet is how long an endpoint must have had no success for its first failure to be worth a signal: one
	// that fails now and then must not cost a write each time.
	quiet = 2 * time.Second
)

// Endpoint is the live state of one endpoint. All methods are safe for concurrent use. Times are Unix
// nanoseconds.
type Endpoint struct {
	registry *Registry
	book     *book
	terms    atomic.Pointer[terms]
	fleet    atomic.Pointer[fleet]
	era      atomic.Pointer[era]
	limited  atomic.Pointer[limited] // nil without limits

	inFlight atomic.Int64
	// askedUntil is how long the provider asked to be left alone. No success and no epoch ends that.
	askedUntil atomic.Int64
	// When the newest attempt got an answer of any kind, got no connection, and got a connection but no answer.
	answered, unconnected, unanswered atomic.Int64
	remarked                          atomic.Int64
	window                            window
	latency                           atomic.Pointer[latency]

	mu      sync.Mutex     // for failures, for what a success ends, and for what follows
	outputs *quota.Outputs // nil while there never were limits
}

// terms is what the table says of an endpoint, worked out for the request path.
type terms struct {
	provider, configuration string
	units                   []modelstate.Unit
	maintenance             *maintenance // nil without windows
	// cooldown, maxRetryAfter, ramp and successes are the largest of the units, restToStandby and
	// initialPercent the smallest: the strictest policy decides about a rest that has one length for all.
	cooldown, maxRetryAfter, restToStandby time.Duration
	initialPercent                         int
	ramp                                   time.Duration
	successes                              int
	failures                               int64
}

func newEndpoint(r *Registry, b *book) *Endpoint {
	e := &Endpoint{registry: r, book: b}
	e.terms.Store(&terms{units: []modelstate.Unit{modelstate.DefaultUnit}})
	e.fleet.Store(&fleet{quiet: true})
	e.era.Store(&era{epoch: 0})
	return e
}

// bind tells what a new table says. w is nil when there never were limits.
func (e *Endpoint) bind(spec *routing.Endpoint, w *wallet) {
	t := &terms{provider: spec.Provider, configuration: spec.Configuration, units: spec.Units}
	if len(t.units) == 0 {
		t.units = []modelstate.Unit{modelstate.DefaultUnit}
	}
	if len(spec.Maintenance) > 0 {
		t.maintenance = &maintenance{windows: spec.Maintenance}
	}
	t.initialPercent, t.restToStandby = 100, t.units[0].RestToStandby
	for i := range t.units {
		u := &t.units[i]
		t.cooldown = max(t.cooldown, u.Cooldown)
		t.maxRetryAfter = max(t.maxRetryAfter, u.MaxRetryAfter)
		t.restToStandby = min(t.restToStandby, u.RestToStandby)
		t.initialPercent = min(t.initialPercent, u.InitialPercent)
		t.ramp = max(t.ramp, u.Ramp)
		t.successes = max(t.successes, u.Successes)
		t.failures = max(t.failures, u.ConsecutiveFailures)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.terms.Store(t)
	e.fleet.Store(newFleet(e.fleet.Load().state, t))
	if !anyLimit(&spec.Limits) {
		e.limited.Store(nil)
		return
	}
	if e.outputs == nil {
		e.outputs = &quota.Outputs{}
	}
	e.limited.Store(&limited{Limits: spec.Limits, wallet: w, outputs: e.outputs})
}

// Remarkable reports whether a failure now is worth a line in the log: one in remarkEvery is.
func (e *Endpoint) Remarkable(now int64) bool {
	last := e.remarked.Load()
	return now-last >= int64(remarkEvery) && e.remarked.CompareAndSwap(last, now)
}

// Attempt is one attempt at an endpoint, from Begin to one of Refund, Success, Failure, RateLimited, Said and
// Neutral. It belongs to the epoch and to the periods in which it began, whenever it ends. Settle may come
// before its end: an attempt that ends without it has used no tokens.
type Attempt struct {
	endpoint      *Endpoint
	era           *era
	quota, budget *bucket
	held          holding
	// life is how many ProxyInstances there were before the one that it began under.
	life    int64
	begun   int64
	request uint64
	// trial is true when the endpoint was on trial for its health, probing while the attempt counts as one that
	// the trial waits for.
	trial, probing bool
}

// Begin sets aside what an attempt of a request needs of the endpoint's limits, counts it, and one more that is in
// flight. When there is not enough there is no attempt, and the refusal says why.
func (e *Endpoint) Begin(now int64, request uint64, need Need) (Attempt, Refusal) {
	l := e.limited.Load() // before the periods: what has limits in it has purses, too
	a := Attempt{endpoint: e, begun: now, request: request, quota: e.book.quota.at(now), budget: e.book.budget.at(now)}
	if l != nil {
		var no Refusal
		if a.held, no = l.admit(e, now, &need, a.quota, a.budget); no.Limit != 0 {
			return Attempt{}, no
		}
	}
	a.begin()
	return a, Refusal{}
}

// begin counts an attempt that is admitted.
func (a *Attempt) begin() {
	e, now := a.endpoint, a.begun
	if !e.book.used.Load() {
		e.registry.use(e.book)
	}
	e.inFlight.Add(1)
	a.era, a.life = e.era.Load(), e.registry.lives.Load()
	a.quota.requests.Add(1)
	a.budget.requests.Add(1)
	a.held.adopt(a.quota)
	a.held.adopt(a.budget)
	if a.era.restUntil.Load() != 0 || !e.fleet.Load().quiet {
		a.trial = e.health(a.era, now).Kind == routing.OnTrial
		if a.probing = a.trial; a.probing {
			a.era.probing.Add(1)
			a.era.reserved.Store(0)
		}
	}
}

// end takes the attempt out of what is in flight.
func (a *Attempt) end() *Endpoint {
	a.endpoint.inFlight.Add(-1)
	a.held.close()
	a.Shown()
	return a.endpoint
}

// Shown tells that the answer has begun to show itself, which may be long before its end: a trial goes on to the
// next attempt then, so that one long stream, or one slow reader, does not hold up the return of an endpoint.
// The attempt still has to end.
func (a *Attempt) Shown() {
	if a.probing {
		a.probing = false
		a.era.probing.Add(-1)
	}
}

// Refund gives back the request that Begin counted: certainly nothing of it was sent. The attempt still has
// to end.
func (a *Attempt) Refund() {
	present := a.life == a.endpoint.registry.lives.Load()
	a.quota.refund(present)
	a.budget.refund(present)
	a.held.refund()
}

// Settle books what the attempt used, and its cost in nano-dollars. estimated says that the provider has not.
func (a *Attempt) Settle(u modelstate.Tokens, cost int64, estimated bool) {
	a.quota.settle(u, cost, estimated)
	a.budget.settle(u, cost, estimated)
	a.held.settle(a.quota, a.budget, u.Total(), cost)
}

// Answered tells how long an answer was, in tokens, as the provider said: the next ones are expected to be so.
func (a *Attempt) Answered(tokens int64) {
	if l := a.held.limited; l != nil {
		l.outputs.Add(tokens)
	}
}

// Success ends the attempt with an answer. shown is when the answer showed itself: its first content, or now
// for one in one piece; firstToken is how long that took, 0 for one in one piece, and total the whole.
func (a *Attempt) Success(now, shown int64, firstToken, total time.Duration) {
	e := a.end()
	e.heard(now)
	n := a.era.successes.Add(1)
	storeMax(&a.era.lastSuccess, shown)
	storeMax(&e.book.lastRequest, shown)
	e.window.add(now, a.era.epoch, false)
	l := e.latency.Load()
	if l == nil {
		e.latency.CompareAndSwap(nil, new(latency))
		l = e.latency.Load()
	}
	l.add(now, firstToken, total)

	current := e.era.Load()
	if current != a.era {
		e.knewBetter(a.era, current, shown)
		return
	}
	if current.failures.Load() != 0 || current.restUntil.Load() != 0 || current.said.Load() != nil {
		e.recover(a, shown)
	}
	if f := e.fleet.Load(); !f.quiet {
		t := e.terms.Load()
		if (n == 1 || n == int64(t.successes)) && f.standing(t.units, now).Kind == modelstate.OnTrial {
			e.registry.notify() // it may pass the trial
		}
	}
}

// knewBetter keeps a success of the era before the current one: it may prove a verdict wrong.
func (e *Endpoint) knewBetter(of, current *era, shown int64) {
	if of.epoch+1 != current.epoch {
		return
	}
	storeMax(&current.previousSuccess, shown)
	e.contradict(e.fleet.Load(), current)
}

// recover ends what a success proves wrong: the streak, a rest that failures earned, a provider's words.
func (e *Endpoint) recover(a *Attempt, shown int64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	current := e.era.Load()
	if current != a.era {
		return
	}
	if s := current.said.Load(); s != nil {
		current.said.Store(s.without(a.begun))
	}
	if current.unproven && a.begun < current.earned {
		return
	}
	current.streak.forgive(shown)
	current.failures.Store(current.streak.failures)
	if current.streak.failures == 0 {
		current.restUntil.Store(0)
		current.unproven = false
	}
}

// Failure ends the attempt with a failure of the endpoint. message says which, for people.
func (a *Attempt) Failure(now int64, class Class, message string) {
	e := a.end()
	switch class {
	case Unconnected:
		e.unconnected.Store(now)
	case Unanswered:
		e.unanswered.Store(now)
	default:
		e.heard(now)
	}
	e.window.add(now, a.era.epoch, true)
	e.book.failed(now, message)
	if e.fail(a, failure{at: now, request: a.request, class: class}, message) {
		e.registry.notify()
	}
	if class == Unconnected {
		e.registry.suspect(now)
	}
}

// fail counts a failure of the current epoch, rests the endpoint when that is due, and reports whether the
// fleet should hear of it at once.
func (e *Endpoint) fail(a *Attempt, f failure, message string) (urgent bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	current := e.era.Load()
	if current != a.era {
		return false
	}
	current.streak.add(f, message)
	current.failures.Store(current.streak.failures)
	current.face(f.request)
	t := e.terms.Load()
	cooldown, byRate := e.tripped(current, t, f.at)
	if a.trial {
		cooldown = max(cooldown, t.cooldown)
	}
	rest := current.restUntil.Load()
	rested := ahead(rest, f.at, t.cooldown)
	if cooldown > 0 {
		if !rested {
			current.earned, current.counted, current.unproven, rest = f.at, f.at, false, 0
		}
		current.unproven = current.unproven || byRate || a.trial
		current.restUntil.Store(max(rest, f.at+int64(cooldown)))
	}
	return e.worthHearing(current, t, a.trial, cooldown > 0 && !rested, f.at)
}

// worthHearing reports whether the fleet should hear of the newest failure at once: on trial, when it rests
// the endpoint, and while a streak grows to where it may, because streaks add up over proxies. A first failure
// between successes is not worth it, nor is one of an endpoint that rests already.
func (e *Endpoint) worthHearing(current *era, t *terms, trial, tripped bool, now int64) bool {
	switch {
	case trial:
		return true
	case e.fleet.Load().holds(now, modelstate.Reason.Advice):
		return false // the fleet knows
	case tripped || current.restUntil.Load() > now:
		return tripped
	case current.streak.failures == 1:
		return now-e.book.lastRequest.Load() > int64(quiet)
	}
	return current.streak.failures <= t.failures
}

// face notes that a request has met a failure: one request alone rests nothing.
func (e *era) face(request uint64) {
	if e.firstFailed == 0 {
		e.firstFailed = request
	}
	e.severalHaveFaced = e.severalHaveFaced || e.firstFailed != request
}

// tripped returns the longest cooldown of the policies whose thresholds are passed; 0 when none is.
func (e *Endpoint) tripped(current *era, t *terms, now int64) (cooldown time.Duration, byRate bool) {
	for i := range t.units {
		u := &t.units[i]
		if s := &current.streak; s.failures >= u.ConsecutiveFailures && s.requests >= 2 {
			cooldown = max(cooldown, u.Cooldown)
			continue
		}
		if u.ErrorRate == 0 || !current.severalHaveFaced {
			continue
		}
		r := e.window.rate(current.epoch, max(now-int64(u.Window), current.counted))
		if r.Attempts >= u.MinimumRequests && r.Failures*1_000_000 >= u.ErrorRate*r.Attempts {
			cooldown, byRate = max(cooldown, u.Cooldown), true
		}
	}
	return cooldown, byRate
}

// RateLimited ends the attempt with a provider that asks to be left alone for a while. It is no failure, and
// a shorter wish never ends a longer rest. The result is until when the endpoint is left alone.
func (a *Attempt) RateLimited(now int64, wish time.Duration) (until int64) {
	e := a.end()
	e.heard(now)
	t := e.terms.Load()
	until = now + int64(min(wish, t.maxRetryAfter))
	if e.ask(now, until, t.maxRetryAfter) {
		if until-now > int64(t.restToStandby) && !e.fleet.Load().holdsUntil(until, modelstate.RateLimited) {
			e.registry.notify()
		}
	}
	return e.askedUntil.Load()
}

// ask leaves the endpoint alone until then, unless it is for longer already.
func (e *Endpoint) ask(now, until int64, longest time.Duration) (more bool) {
	for {
		asked := e.askedUntil.Load()
		if asked >= until && (asked <= now || ahead(asked, now, longest)) {
			return false
		}
		if e.askedUntil.CompareAndSwap(asked, until) {
			return true
		}
	}
}

// Said ends the attempt with a provider's own word about the endpoint: QuotaExhausted, ProviderAuthFailure or
// ModelNotFound. until is the end that it gave, 0 when it gave none. The result is until when the endpoint is
// not tried because of it.
func (a *Attempt) Said(now int64, reason modelstate.Reason, until int64, message string) (bars int64) {
	e := a.end()
	e.heard(now)
	e.book.failed(now, message)
	e.mu.Lock()
	defer e.mu.Unlock()
	bars = now + int64(e.terms.Load().cooldown)
	if reason == modelstate.QuotaExhausted {
		until = min(until, now+int64(modelstate.MaxQuotaReset))
		switch reset := e.book.resets(now); {
		case until > now:
			bars = until
		case reset > now:
			bars = reset
		}
	}
	current := e.era.Load()
	if current != a.era {
		return bars
	}
	said := modelstate.Statement{Reason: reason, At: moment(now), Message: message}
	if until > now {
		said.Until = moment(until)
	}
	current.said.Store(current.said.Load().with(said, bars))
	if !e.fleet.Load().holds(now, func(r modelstate.Reason) bool { return r == reason }) {
		e.registry.notify()
	}
	return bars
}

// Neutral ends the attempt with something that says nothing about the endpoint: the caller left, the request
// was at fault. answered is true when an answer of any kind came.
func (a *Attempt) Neutral(now int64, answered bool) {
	e := a.end()
	if answered {
		e.heard(now)
	}
}

// heard notes that an answer came.
func (e *Endpoint) heard(now int64) {
	e.answered.Store(now)
	if e.registry.isolated.Load() {
		e.registry.setIsolated(false)
	}
}
