// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package health

import (
	"sync"
	"sync/atomic"

	"github.com/turnout-ai/turnout/internal/calendar"
	"github.com/turnout-ai/turnout/internal/modelstate"
	"github.com/turnout-ai/turnout/internal/quota"
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

func newBook(r *Registry, uid string) *book {
	b := &book{registry: r, uid: uid}
	b.quota.limits, b.budget.limits = []quota.Limit{quota.Requests, quota.Tokens}, []quota.Limit{quota.Budget}
	return b
}

// bind tells what the table says about the endpoint's periods. w is nil when there never were limits.
func (b *book) bind(e *routing.Endpoint, w *wallet) {
	key := e.Key
	b.key.Store(&key)
	b.quotaDeclared.Store(e.QuotaDeclared)
	b.quota.bind(e.QuotaPeriod, w)
	b.budget.bind(e.BudgetPeriod, w)
}

// failed remembers a failure for people.
func (b *book) failed(now int64, message string) {
	storeMax(&b.lastFailure, now)
	b.lastMessage.Store(&message)
}

// ledger sums up usage by periods of one kind.
type ledger struct {
	// limits are those that hold these periods.
	limits []quota.Limit
	// current is nil until the first attempt, and after a change of the period.
	current atomic.Pointer[term]

	mu     sync.Mutex
	period calendar.Period
	kept   []*bucket // oldest first
	wallet *wallet   // nil without limits
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
	start int64
	// requests counts attempts that began, refunded those of them of which nothing was sent.
	requests, refunded                             atomic.Int64
	input, cached, output, reason, cost            atomic.Int64
	guesses, guessedInput, guessedOutput, guessedC atomic.Int64
	// purses are those that the period's attempts are admitted out of: the period of use and of what was lent is
	// one and the same. nil when the period never had a limit.
	purses atomic.Pointer[purses]
	// before is what was used before the present ProxyInstance, under the ledger's lock: of requests, how many had
	// begun. forgone are those refunded that began under the present one.
	before  [lentCount]int64
	forgone atomic.Int64
}

// purses are by quota.Limit; nil where there never was a limit.
type purses [lentCount]*quota.Purse

// orMonthly is the period; a month when there is none.
func orMonthly(p calendar.Period) calendar.Period {
	if p.Unit == 0 {
		return calendar.Period{Unit: calendar.Monthly}
	}
	return p
}

func (l *ledger) bind(p calendar.Period, w *wallet) {
	p = orMonthly(p)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.wallet = w
	if !l.period.Equal(p) {
		l.period = p
		l.current.Store(nil)
	}
	if t := l.current.Load(); t != nil {
		l.attach(t)
	}
}

// attach gives a period its purses. What is used while that is done may be counted twice, and never not at all.
func (l *ledger) attach(t *term) {
	if l.wallet == nil {
		return
	}
	set, fresh := l.wallet.purses(t.bucket, l.limits, t.end)
	t.bucket.purses.Store(set)
	for limit, known := range fresh {
		if known >= 0 {
			set[limit].Force(max(t.bucket.spent(quota.Limit(limit))-known, 0))
		}
	}
}

// renew gives the current period new purses: those it had were another ProxyInstance's. Who still holds an earlier
// period goes on with what that one was lent, which counts as used whatever becomes of it.
func (l *ledger) renew() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, b := range l.kept {
		for _, limit := range l.limits {
			b.before[limit] = b.used(limit)
		}
		b.forgone.Store(0)
	}
	if t := l.current.Load(); t != nil {
		l.attach(t)
	}
}

// spent is what was used of a limit under the present ProxyInstance. The ledger is locked.
func (b *bucket) spent(limit quota.Limit) int64 {
	spent := b.used(limit) - b.before[limit]
	if limit == quota.Requests {
		spent -= b.forgone.Load()
	}
	return max(spent, 0)
}

// used is what was used of a limit since the start of this process; of requests, how many began.
func (b *bucket) used(limit quota.Limit) int64 {
	switch limit {
	case quota.Requests:
		return b.requests.Load()
	case quota.Tokens:
		return b.input.Load() + b.output.Load()
	default:
		return b.cost.Load()
	}
}

// refund takes back an attempt of which nothing was sent. present says that it began under the present
// ProxyInstance.
func (b *bucket) refund(present bool) {
	b.refunded.Add(1)
	if present {
		b.forgone.Add(1)
	}
}

// sent is how many attempts there were without those of which nothing was sent.
func (b *bucket) sent() int64 {
	refunded := b.refunded.Load() // first, so that it is never less than nothing
	return b.requests.Load() - refunded
}

// free is what may be used of a limit at now; 0 when there is no purse.
func (l *ledger) free(limit quota.Limit, now int64) int64 {
	t := l.current.Load()
	if !t.holds(now) {
		return 0
	}
	if set := t.bucket.purses.Load(); set != nil && set[limit] != nil {
		return set[limit].Free()
	}
	return 0
}

// free is what may be used of a limit at now; 0 when there is no purse.
func (b *book) free(limit quota.Limit, now int64) int64 {
	if limit == quota.Budget {
		return b.budget.free(limit, now)
	}
	return b.quota.free(limit, now)
}

// at returns the bucket of an attempt that begins at now.
func (l *ledger) at(now int64) *bucket {
	t := l.current.Load()
	if !t.holds(now) {
		t = l.turn(now)
	}
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
	l.attach(t)
	l.current.Store(t)
	return t
}

// usage reads all periods that are kept and were used, oldest first. One in which every attempt was refused was not.
func (l *ledger) usage() []modelstate.PeriodUsage {
	l.mu.Lock()
	defer l.mu.Unlock()
	periods := make([]modelstate.PeriodUsage, 0, len(l.kept))
	for _, b := range l.kept {
		if b.requests.Load() == 0 {
			continue
		}
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
		Requests: b.sent(),
		Tokens: modelstate.Tokens{
			Input: b.input.Load(), CachedInput: b.cached.Load(), Output: b.output.Load(), Reasoning: b.reason.Load(),
		},
		Cost:      b.cost.Load(),
		Estimated: estimated,
	}
}
