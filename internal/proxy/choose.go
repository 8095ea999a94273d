// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/turnout-ai/turnout/internal/routing"
)

// tried is an endpoint that the request has tried, and whether and when it may be tried again.
type tried struct {
	backend *backend
	times   int
	// repeatable says that the last attempt failed in a way that may pass.
	repeatable bool
	// due is when the endpoint may be tried again; asked says that its provider has named that time.
	due   time.Time
	asked bool
	// plain says that it has refused, or may have, what was added to the request.
	plain bool
}

// choose makes an attempt at the next candidate: at first each in the order of the plan, then those that are at a
// limit and may soon not be, and then those that have failed.
func (r *request) choose() verdict {
	r.fresh = false
	for r.at < len(r.plan.Order) && r.mayTry() {
		c := &r.plan.Order[r.at]
		r.at++
		if v := r.try(c); v != next {
			return v
		}
	}
	if !r.mayTry() {
		return exhausted
	}
	if b := r.await(); b != nil {
		return r.call(b)
	}
	return r.tryAgain()
}

// mayRepeat reports whether there may be another attempt at all.
func (r *request) mayRepeat() bool {
	return r.attempts-r.unasked < r.route.Policy.Attempts && time.Now().Before(r.deadline) && !r.mustNotRepeat()
}

// mayTry reports whether there may be another attempt that the policy's retry budget bounds.
func (r *request) mayTry() bool { return r.mayRepeat() && !r.overBudget }

// affords reports whether it is worth waiting for an attempt: the retry budget may be spent.
func (r *request) affords() bool {
	r.overBudget = r.spends() && !r.budget.allows(time.Now(), r.route.Policy.RetryPercent)
	return !r.overBudget
}

// mustNotRepeat reports whether some of the request was sent and it may have had an effect that a second
// attempt would have again.
func (r *request) mustNotRepeat() bool { return r.sent && r.facts.HasEffects() }

// try attempts one candidate. One that is at a limit is passed over, which is no attempt.
func (r *request) try(c *routing.Candidate) verdict {
	b := &r.snap.backends[c.Endpoint.Index]
	if r.attempts > 0 && !r.stillServes(b) {
		return next
	}
	if r.watch.gone() {
		return abandoned
	}
	if !r.open(b) {
		return next
	}
	return r.call(b)
}

// stillServes reports whether what the attempts so far have shown leaves b a candidate.
func (r *request) stillServes(b *backend) bool {
	return r.inScope(b) && r.fits(b) && r.stands(b)
}

// fits reports whether b's context window is larger than one that the input did not fit into, as far as is known.
func (r *request) fits(b *backend) bool {
	w := b.endpoint.ContextWindow
	return w == 0 || w > r.tooSmall
}

// inScope reports whether the policy lets the request go on to b after its first endpoint.
func (r *request) inScope(b *backend) bool {
	if len(r.tried) == 0 {
		return true
	}
	first := r.tried[0].backend
	switch r.route.Policy.Scope {
	case routing.RetrySameEndpoint:
		return b == first
	case routing.RetrySameProvider:
		return b.endpoint.Provider == first.endpoint.Provider
	default:
		return true
	}
}

// stands reports whether b may be tried: while others were, it may have been barred.
func (r *request) stands(b *backend) bool { return r.allows(b.live.Standing(time.Now().UnixNano())) }

// allows reports whether an endpoint that stands so may be tried.
func (r *request) allows(s routing.Standing) bool {
	if s.Kind == routing.Barred {
		r.failures.barred(s)
		return false
	}
	return s.Kind != routing.Resting || !r.route.Policy.RejectResting
}

// remember notes that b was tried, with what outcome, and until when its provider has asked to be left alone (0: it
// has not).
func (r *request) remember(b *backend, o outcome, now time.Time, until int64) {
	t := r.triedAt(b)
	if o != outcomeStale { // that is followed by another at once, and the two are one try
		t.times++
	}
	t.repeatable = mayPass(o)
	t.due, t.asked = now.Add(r.backoff(t.times)), false
	if until == 0 {
		return
	}
	ask := now.Add(time.Duration(until - now.UnixNano())) // so that setting the clock moves nothing
	if ask.Sub(now) > r.route.Policy.Backoff.Max {
		t.repeatable = false
	}
	if t.due.Before(ask) || r.route.Policy.Backoff.Type == routing.RetryAfter {
		t.due, t.asked = ask, true
	}
}

// recall is what is remembered of b; nil when it was not tried.
func (r *request) recall(b *backend) *tried {
	for i := range r.tried {
		if r.tried[i].backend == b {
			return &r.tried[i]
		}
	}
	return nil
}

// triedAt is recall for one that was tried just now.
func (r *request) triedAt(b *backend) *tried {
	if t := r.recall(b); t != nil {
		return t
	}
	r.tried = append(r.tried, tried{backend: b})
	return &r.tried[len(r.tried)-1]
}

// mayPass reports whether another attempt at the same endpoint may end in another way.
func mayPass(o outcome) bool {
	switch o {
	case outcomeConnect, outcomeReset, outcomeTimeout, outcomeCut, outcomeUnreadable, outcomeFailure, outcomeRateLimited:
		return true
	default:
		return false
	}
}

// backoff is how long an endpoint is left alone after it was tried so many times.
func (r *request) backoff(times int) time.Duration {
	b := &r.route.Policy.Backoff
	if b.Type == routing.Fixed {
		return min(b.Base, b.Max)
	}
	ceiling := b.Max
	if shift := max(times-1, 0); shift < 32 && b.Base < ceiling>>shift {
		ceiling = b.Base << shift
	}
	return rand.N(ceiling + 1) //nolint:gosec // it spreads load, and is no secret
}

// wish is how long the provider of the current answer asks to be left alone, for the policies that obey that also
// when it is no limit; 0 when it does not say.
func (r *request) wish(now time.Time) int64 {
	if r.route.Policy.Backoff.Type != routing.RetryAfter || r.exchange.Status() < http.StatusBadRequest {
		return 0
	}
	wait, said := r.retryAfter(now, false)
	if !said {
		return 0
	}
	return now.Add(wait).UnixNano()
}

// tryAgain waits for the endpoint that is tried once more.
func (r *request) tryAgain() verdict {
	t := r.nextAgain()
	if t == nil || !r.affords() {
		return exhausted
	}
	t.repeatable = false // until this attempt has failed as well
	r.current, r.due, r.stage = t.backend, t.due, backingOff
	return r.backOff()
}

// nextAgain is, of those that failed in a way that may pass, the one that was tried least, and of several the one due
// first by its provider's own word, or tried first; nil when there is none.
func (r *request) nextAgain() (best *tried) {
	for i := range r.tried {
		t := &r.tried[i]
		if t.repeatable && r.fits(t.backend) && t.due.Before(r.deadline) && (best == nil || t.before(best)) {
			best = t
		}
	}
	return best
}

func (t *tried) before(other *tried) bool {
	if t.times != other.times {
		return t.times < other.times
	}
	return (t.asked || other.asked) && t.due.Before(other.due)
}

// backOff waits until the current endpoint may be tried again, and does so.
func (r *request) backOff() verdict {
	r.sleep(r.untilPause(r.due))
	switch b := r.current; {
	case r.watch.gone():
		return abandoned
	case time.Now().Before(r.due):
		return waiting
	case r.late():
		return exhausted
	case !r.stands(b) || !r.open(b):
		return next
	default:
		return r.call(b)
	}
}

// sleep waits until then, or until the caller has left.
func (r *request) sleep(until time.Time) {
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	for time.Now().Before(until) && !r.watch.gone() {
		select {
		case <-timer.C:
		case <-r.left:
		}
	}
}
