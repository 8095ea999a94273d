// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package health

import (
	"cmp"
	"slices"
	"time"

	"github.com/turnout-ai/turnout/internal/modelstate"
)

// SetFleet tells what the operator has written about endpoints, by UID. Endpoints that are not named keep what
// was told before; one told with an older epoch than is known is passed over.
func (r *Registry) SetFleet(states map[string]modelstate.State) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for uid, state := range states {
		if b := r.books[uid]; b != nil {
			b.endpoint.Load().told(state)
			continue
		}
		if p := r.pending[uid]; p == nil || p.state.Epoch <= state.Epoch {
			r.pending[uid] = &pending{state: state}
		}
	}
}

// Urgent receives when there is a signal that should not wait for the next report.
func (r *Registry) Urgent() <-chan struct{} { return r.urgent }

// Signals returns what this proxy has to say about the health of endpoints, the worst first, without those it
// has nothing to say about. isolated says that it blames its own network: then it has no verdict to send.
func (r *Registry) Signals(now time.Time) (signals []modelstate.Signal, isolated bool) {
	isolated = r.Isolated(now)
	for _, b := range r.inUse() {
		if s, worth := b.endpoint.Load().signal(now.UnixNano(), isolated); worth {
			signals = append(signals, s)
		}
	}
	slices.SortStableFunc(signals, func(a, b modelstate.Signal) int {
		return cmp.Or(
			cmp.Compare(len(b.Statements), len(a.Statements)),
			cmp.Compare(b.Failures, a.Failures),
			b.RateLimitedUntil.Compare(a.RateLimitedUntil),
		)
	})
	return signals, isolated
}

// signal is what there is to say about an endpoint, and whether that is anything.
func (e *Endpoint) signal(now int64, isolated bool) (s modelstate.Signal, worth bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	current, f := e.era.Load(), e.fleet.Load()
	if f.foreign {
		return s, false
	}
	key := e.book.key.Load()
	s = modelstate.Signal{
		Endpoint: e.book.uid, Namespace: key.Namespace, Name: key.Name, Epoch: current.epoch,
		LastSuccess: moment(current.lastSuccess.Load()), Successes: current.successes.Load(),
		PreviousSuccess: moment(current.previousSuccess.Load()),
		Statements:      current.said.Load().list(),
	}
	if streak := &current.streak; streak.failures > 0 && !isolated {
		s.Failures, s.Requests, s.Connect, s.Outage = streak.failures, streak.requests, streak.connect, streak.outage
		s.Since, s.LastFailure, s.Message = moment(streak.since), moment(streak.last), streak.message
		worth = true
	}
	if asked := e.askedUntil.Load(); ahead(asked, now, e.terms.Load().maxRetryAfter) {
		s.RateLimitedUntil, worth = moment(asked), true
	}
	worth = worth || len(s.Statements) > 0 || !f.quiet && s.Successes > 0 || f.contradicted(current)
	return s, worth
}

// Numbers returns what was counted of every endpoint that was used since this process started, in the order
// in which they were first used.
func (r *Registry) Numbers(now time.Time) []modelstate.Numbers {
	used := r.inUse()
	numbers := make([]modelstate.Numbers, len(used))
	for i, b := range used {
		b.numbers(now.UnixNano(), &numbers[i])
	}
	return numbers
}

func (b *book) numbers(now int64, n *modelstate.Numbers) {
	key, e := b.key.Load(), b.endpoint.Load()
	n.Endpoint, n.Namespace, n.Name = b.uid, key.Namespace, key.Name
	n.Quota, n.Budget = b.quota.usage(), b.budget.usage()
	n.Window = e.window.buckets(now)
	if l := e.latency.Load(); l != nil {
		l.read(now, n)
	}
	n.LastRequest, n.LastFailure = moment(b.lastRequest.Load()), moment(b.lastFailure.Load())
	if m := b.lastMessage.Load(); m != nil {
		n.LastFailureMessage = *m
	}
}

// resets is when a spent quota comes back by the calendar; 0 when the user has not said.
func (b *book) resets(now int64) int64 {
	if !b.quotaDeclared.Load() {
		return 0
	}
	return b.quota.next(now)
}

// next is when the period after the one that holds now begins.
func (l *ledger) next(now int64) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.period.Next(moment(now)).UnixNano()
}

// Reading is the live state of one endpoint, for people. Times are zero when they never happened or are over.
type Reading struct {
	InFlight int64
	// Fleet is what the operator has written; Foreign says that it is about another configuration.
	Fleet   modelstate.State
	Foreign bool
	// Epoch is the one that attempts begin in.
	Epoch     int64
	Failures  int64
	Successes int64
	Message   string
	// RestingUntil is the end of the rest that this proxy's own failures earned, RateLimitedUntil of the one
	// that the provider asked for. Statements are the provider's own words.
	RestingUntil, RateLimitedUntil time.Time
	Statements                     []modelstate.Statement
	// TrialPercent is the share of its traffic that it gets now.
	TrialPercent             int64
	LastSuccess, LastFailure time.Time
	// Quota and Budget are the periods of which usage is kept, oldest first.
	Quota, Budget []modelstate.PeriodUsage
	// Limits are those that the endpoint has, by precedence.
	Limits []LimitReading
}

// Read takes a reading at now. Fields are read one by one, so they may be of slightly different moments.
func (e *Endpoint) Read(now int64) Reading {
	limits := e.ReadLimits(now)
	e.mu.Lock()
	defer e.mu.Unlock()
	current, f := e.era.Load(), e.fleet.Load()
	return Reading{
		InFlight: e.inFlight.Load(), Fleet: f.state, Foreign: f.foreign,
		Epoch: current.epoch, Failures: current.failures.Load(), Successes: current.successes.Load(),
		Message:          current.streak.message,
		RestingUntil:     future(current.restUntil.Load(), now),
		RateLimitedUntil: future(e.askedUntil.Load(), now),
		Statements:       current.said.Load().list(),
		TrialPercent:     e.percent(current, now),
		LastSuccess:      moment(e.book.lastRequest.Load()), LastFailure: moment(e.book.lastFailure.Load()),
		Quota: e.book.quota.usage(), Budget: e.book.budget.usage(),
		Limits: limits,
	}
}

func future(at, now int64) time.Time {
	if at <= now {
		return time.Time{}
	}
	return moment(at)
}
