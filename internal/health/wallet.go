// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package health

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/turnout-ai/turnout/internal/calendar"
	"github.com/turnout-ai/turnout/internal/quota"
	"github.com/turnout-ai/turnout/internal/routing"
)

const (
	// clockSkew is for how long after the end of a period what a proxy says of it may still be heard.
	clockSkew = time.Minute
	// unheard is for how long a purse of a period that is over is kept when the operator does not say that it has
	// what was given back.
	unheard = time.Hour
	// farewell is for how long an endpoint that is in no table any more is still spoken of: until what it was lent
	// is given back. It is gone for everybody, or about to be.
	farewell = time.Minute
	// keptWallets bounds the wallets of endpoints that are in no table.
	keptWallets = 4096
	// lostEvery is how often a purse that is empty is looked at, to find out whether anybody answers.
	lostEvery = time.Second
)

// wallet is what this proxy may use of one endpoint, by its UID. It outlives tables and books: what was spent of a
// grant must not be forgotten while the grant is in force. The purses go with the ProxyInstance that they were lent
// to (see Disowned), and with their periods.
type wallet struct {
	registry *Registry
	uid      string
	rates    rates
	line     line
	// looked is when a purse that was empty was last looked at.
	looked atomic.Int64

	mu            sync.Mutex
	key           routing.Key
	limits        routing.Limits
	quota, budget span
	entries       map[account]*entry
	// present says that the endpoint is in the table, absent since when it is known not to be.
	present bool
	absent  time.Time
}

// account names a purse in a wallet: start is in Unix nanoseconds.
type account struct {
	limit quota.Limit
	start int64
}

// entry is a purse with what is known of its lease.
type entry struct {
	purse *quota.Purse
	end   int64
	// returned is what the operator has of what was given back, answered the newest wish that it has answered. told says
	// that its newest word has the lease.
	returned, answered int64
	told               bool
}

func newWallet(r *Registry, uid string) *wallet {
	return &wallet{registry: r, uid: uid, entries: map[account]*entry{}, line: newLine()}
}

// bind tells what the table says.
func (w *wallet) bind(spec *routing.Endpoint) {
	w.mu.Lock()
	w.key, w.limits = spec.Key, spec.Limits
	w.quota, w.budget = span{period: orMonthly(spec.QuotaPeriod)}, span{period: orMonthly(spec.BudgetPeriod)}
	w.present, w.absent = true, time.Time{}
	w.share()
	w.mu.Unlock()
	w.line.all()
}

// leave tells that the table is without the endpoint.
func (w *wallet) leave() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.present = false
}

// span is the current period of a calendar, in Unix nanoseconds.
type span struct {
	period      calendar.Period
	start, next int64
}

// at returns the span that holds now.
func (s *span) at(now time.Time) *span {
	if n := now.UnixNano(); n < s.start || n >= s.next {
		s.start, s.next = s.period.Start(now).UnixNano(), s.period.Next(now).UnixNano()
	}
	return s
}

// span is the current period of a limit.
func (w *wallet) span(limit quota.Limit, now time.Time) *span {
	if limit == quota.Budget {
		return w.budget.at(now)
	}
	return w.quota.at(now)
}

// purses are those of a bucket's period. fresh says of which limits the purse is new, and how much of the period's
// use it knows of; -1 for the others.
func (w *wallet) purses(b *bucket, limits []quota.Limit, end int64) (set *purses, fresh [lentCount]int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	set = &purses{}
	for i := range fresh {
		fresh[i] = -1
	}
	for _, limit := range limits {
		e := w.entries[account{limit, b.start}]
		if e == nil && limitOf(limit).Of(&w.limits) > 0 {
			fresh[limit] = b.spent(limit)
			e = w.open(account{limit, b.start}, end, fresh[limit])
		}
		if e != nil {
			e.end = max(e.end, end) // A day that is now the first of a month ends with the month.
			set[limit] = e.purse
		}
	}
	return set, fresh
}

// open adds a purse.
func (w *wallet) open(of account, end, spent int64) *entry {
	e := &entry{purse: quota.NewPurse(quota.Key{Limit: of.limit, Start: moment(of.start)}, spent), end: end}
	if w.registry.retired.Load() {
		e.purse.Retire()
	}
	w.entries[of] = e
	return e
}

// lost reports whether nobody has answered for a purse that is empty for so long that the operator counts as lost.
// It does not rely on reports being made: they may be what fails.
func (w *wallet) lost(p *quota.Purse, now int64) bool {
	last := w.looked.Load()
	if passed := now - last; passed < 0 || passed >= int64(lostEvery) {
		if w.looked.CompareAndSwap(last, now) {
			w.look(moment(now))
		}
	}
	return p.Silent()
}

// look has all purses look at what there is to ask for.
func (w *wallet) look(now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range w.entries {
		e.purse.Ask(now, w.registry.pace())
	}
}

// asks is what there is to say about the endpoint, and how urgent that is; nothing when there is nothing.
func (w *wallet) asks(now time.Time, pace quota.Pace) (ask quota.EndpointAsk, urgency int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.present && w.absent.IsZero() {
		w.absent = now
	}
	ask.Endpoint = quota.Endpoint{UID: w.uid, Namespace: w.key.Namespace, Name: w.key.Name}
	w.expect(now, pace)
	w.askAll(&ask, now, pace)
	if w.present {
		ask.Demand = w.rates.demand(&w.limits, now)
	}
	if !w.absent.IsZero() && now.Sub(w.absent) > farewell {
		return quota.EndpointAsk{}, nothing
	}
	urgency = sorted(ask.Asks, ask.Demand != nil)
	if ask.Unheard {
		urgency = unheardNeeds
	}
	return ask, urgency
}

// askAll gathers what there is to say of each purse, and forgets those that are over.
func (w *wallet) askAll(ask *quota.EndpointAsk, now time.Time, pace quota.Pace) {
	for of, e := range w.entries {
		a, ok := e.purse.Ask(now, pace)
		if ok && !w.enforced(of, now) {
			a.Spent, a.Number, a.Want, a.Need = 0, 0, 0, 0
			ok = a.Returned > e.returned
		}
		if e.over(&a, now) {
			delete(w.entries, of)
			continue
		}
		if ok {
			ask.Asks = append(ask.Asks, a)
			ask.Unheard = ask.Unheard || a.Need > 0 && a.Number > e.answered
		}
	}
}

// How urgent it is to say something.
const (
	nothing = iota
	demanded
	returns
	needs // that have their answer: what others give back may still meet them
	wishes
	unheardNeeds
)

// maxAsks is how many limits and periods are spoken of at once.
const maxAsks = 12

// urgency is how urgent it is to say a.
func urgency(a *quota.Ask) int {
	switch {
	case a.Need > 0:
		return needs
	case a.Number > 0:
		return wishes
	default:
		return returns
	}
}

// sorted puts the most urgent first, and returns how urgent that is.
func sorted(asks []quota.Ask, demand bool) int {
	slices.SortFunc(asks, func(a, b quota.Ask) int {
		if x, y := urgency(&a), urgency(&b); x != y {
			return y - x
		}
		if !a.Start.Equal(b.Start) {
			return b.Start.Compare(a.Start)
		}
		return int(a.Limit) - int(b.Limit)
	})
	switch {
	case len(asks) > 0:
		return urgency(&asks[0])
	case demand:
		return demanded
	default:
		return nothing
	}
}

// enforced reports whether the spec has such a limit now, and the account is of its current period or the next.
func (w *wallet) enforced(of account, now time.Time) bool {
	if !w.present || limitOf(of.limit).Of(&w.limits) == 0 {
		return false
	}
	current := w.span(of.limit, now)
	return of.start == current.start || of.start == current.next
}

// over reports whether the period is over for everybody, and the operator has what a says was given back. Attempts
// that are still under way keep their purse, but what they use of it changes nothing any more.
func (e *entry) over(a *quota.Ask, now time.Time) bool {
	over := now.UnixNano() - e.end
	return over > int64(clockSkew) && (!e.told || a.Returned <= e.returned || over > int64(unheard))
}

// expect wishes for a first grant of the next period, for those limits that are in use. Each process does so at a
// moment of its own.
func (w *wallet) expect(now time.Time, pace quota.Pace) {
	if !w.present || w.registry.retired.Load() {
		return
	}
	for _, of := range lent {
		if of.limit.Of(&w.limits) == 0 {
			continue
		}
		at := w.span(of.quota, now)
		begins := at.next - int64(quota.Early) + w.registry.own(w.uid, of.quota, at.next)
		current := w.entries[account{of.quota, at.start}]
		if now.UnixNano() < begins || current == nil {
			continue
		}
		if demand := current.purse.Demand(pace.Horizon); demand > 0 {
			next := account{of.quota, at.next}
			e := w.entries[next]
			if e == nil {
				e = w.open(next, at.period.Next(moment(at.next)).UnixNano(), 0)
			}
			e.purse.Expect(demand, now)
		}
	}
}

// granted takes in what was granted. wanted says that something is to be given back at once.
func (w *wallet) granted(grants []quota.Grant, told *quota.Amounts) (wanted bool) {
	w.mu.Lock()
	for _, e := range w.entries {
		e.told = false
	}
	for _, g := range grants {
		e := w.entries[account{g.Limit, g.Start.UnixNano()}]
		if e == nil {
			continue
		}
		e.told, e.returned, e.answered = true, max(e.returned, g.Returned), max(e.answered, g.Answered)
		wanted = e.purse.Grant(g) || wanted
	}
	w.rates.told = told
	w.share()
	w.mu.Unlock()
	w.line.all()
	return wanted
}

// share sets what may be used of the limits that hold no period. The wallet is locked.
func (w *wallet) share() { w.rates.set(&w.limits, int(w.registry.proxies.Load())) }

// disown drops all purses.
func (w *wallet) disown() {
	w.mu.Lock()
	defer w.mu.Unlock()
	clear(w.entries)
	w.rates.told = nil
	w.share()
}

// retire has everything given back.
func (w *wallet) retire() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range w.entries {
		e.purse.Retire()
	}
}
