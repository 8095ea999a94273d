// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package health

import (
	"sync"
	"sync/atomic"

	"github.com/turnout-ai/turnout/internal/calendar"
	"github.com/turnout-ai/turnout/internal/modelstate"
	"github.com/turnout-ai/turnout/internal/routing"
)

// keptPeriods is how many periods of each kind are kept: the current one, and those before it that attempts
// may still settle into.
const keptPeriods = 3

// book is what was used of one endpoint since this process started.
type book struct {
	registry *Registry
	uid      string
	key      atomic.Pointer[routing.Key]
	// endpoint is what the endpoint is now.
	endpoint      atomic.Pointer[Endpoint]
	used          atomic.Bool
	quotaDeclared atomic.Bool
	quota, budget ledger
	// lastRequest is when the newest success showed itself, lastFailure when the newest failure ended.
	lastRequest, lastFailure atomic.Int64
	lastMessage              atomic.Pointer[string]
}

// bind tells what the table says about the endpoint's periods.
func (b *book) bind(e *routing.Endpoint) {
	key := e.Key
	b.key.Store(&key)
	b.quotaDeclared.Store(e.QuotaDeclared)
	b.quota.bind(e.QuotaPeriod)
	b.budget.bind(e.BudgetPeriod)
}

// failed remembers a failure for people.
func (b *book) failed(now int64, message string) {
	storeMax(&b.lastFailure, now)
	b.lastMessage.Store(&message)
}

// ledger sums up usage by periods of one kind.
type ledger struct {
	// current is nil until the first attempt, and after a change of the period.
	current atomic.Pointer[term]

	mu     sync.Mutex
	period calendar.Period
	kept   []*bucket // oldest first
}

// term says until when a bucket takes new attempts.
type term struct {
	bucket *bucket
	end    int64
}

// holds also looks at the start: a clock that was ahead for a moment must not book all that follows into a period
// that has not begun.
func (t *term) holds(now int64) bool { return t != nil && now < t.end && now >= t.bucket.start }

// bucket is the usage of one period. Attempts keep theirs until they have settled.
type bucket struct {
	start                                          int64
	requests, input, cached, output, reason, cost  atomic.Int64
	guesses, guessedInput, guessedOutput, guessedC atomic.Int64
}

func (l *ledger) bind(p calendar.Period) {
	if p.Unit == 0 {
		p = calendar.Period{Unit: calendar.Monthly}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.period.Equal(p) {
		l.period = p
		l.current.Store(nil)
	}
}

// begin returns the bucket of an attempt that begins at now.
func (l *ledger) begin(now int64) *bucket {
	t := l.current.Load()
	if !t.holds(now) {
		t = l.turn(now)
	}
	t.bucket.requests.Add(1)
	return t.bucket
}

// turn opens the period that holds now. One that was open before goes on where it ended.
func (l *ledger) turn(now int64) *term {
	l.mu.Lock()
	defer l.mu.Unlock()
	if t := l.current.Load(); t.holds(now) {
		return t
	}
	at := moment(now)
	start := l.period.Start(at).UnixNano()
	t := &term{end: l.period.Next(at).UnixNano()}
	for _, b := range l.kept {
		if b.start == start {
			t.bucket = b
		}
	}
	if t.bucket == nil {
		t.bucket = &bucket{start: start}
		l.kept = append(l.kept, t.bucket)
		if len(l.kept) > keptPeriods {
			l.kept = append(l.kept[:0:0], l.kept[1:]...)
		}
	}
	l.current.Store(t)
	return t
}

// usage reads all periods that are kept, oldest first.
func (l *ledger) usage() []modelstate.PeriodUsage {
	l.mu.Lock()
	defer l.mu.Unlock()
	periods := make([]modelstate.PeriodUsage, 0, len(l.kept))
	for _, b := range l.kept {
		at := len(periods)
		for at > 0 && periods[at-1].Start.UnixNano() > b.start { // after a change of the period
			at--
		}
		periods = append(periods, modelstate.PeriodUsage{})
		copy(periods[at+1:], periods[at:])
		periods[at] = modelstate.PeriodUsage{Start: moment(b.start), Usage: b.read()}
	}
	return periods
}

// settle books what an attempt used.
func (b *bucket) settle(u modelstate.Tokens, cost int64, estimated bool) {
	add(&b.input, u.Input)
	add(&b.cached, u.CachedInput)
	add(&b.output, u.Output)
	add(&b.reason, u.Reasoning)
	add(&b.cost, cost)
	if estimated {
		b.guesses.Add(1)
		add(&b.guessedInput, u.Input)
		add(&b.guessedOutput, u.Output)
		add(&b.guessedC, cost)
	}
}

// add spares the atomic what changes nothing.
func add(v *atomic.Int64, n int64) {
	if n != 0 {
		v.Add(n)
	}
}

// read reads estimates first, so that they are never more than the whole.
func (b *bucket) read() modelstate.Usage {
	estimated := modelstate.Estimate{
		Requests: b.guesses.Load(),
		Tokens:   modelstate.Tokens{Input: b.guessedInput.Load(), Output: b.guessedOutput.Load()},
		Cost:     b.guessedC.Load(),
	}
	return modelstate.Usage{
		Requests: b.requests.Load(),
		Tokens: modelstate.Tokens{
			Input: b.input.Load(), CachedInput: b.cached.Load(), Output: b.output.Load(), Reasoning: b.reason.Load(),
		},
		Cost:      b.cost.Load(),
		Estimated: estimated,
	}
}
