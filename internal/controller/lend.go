// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"cmp"
	"slices"
	"time"

	"github.com/turnout-ai/turnout/internal/calendar"
	"github.com/turnout-ai/turnout/internal/modelstate"
	"github.com/turnout-ai/turnout/internal/quota"
	"github.com/turnout-ai/turnout/internal/routing"
)

// lending is what a look decides about the limits of one endpoint that hold for a period.
type lending struct {
	terms    []quota.Term
	decision quota.Decision
	// waited says that somebody waits for the decision: an attempt, or a proxy that must not take the operator for
	// lost.
	waited bool
	// at is when it was made.
	at time.Time
}

// lend decides on what is lent, by the ledger as it is stored.
func (j *judged) lend(said *testimony, now time.Time) {
	stored := j.stored
	j.lending.terms = terms(j.entry, &j.tally.base, j.debit, now)
	j.next = earliest(j.next, turns(j.entry, now))
	if len(j.lending.terms) == 0 && len(stored.Accounts) == 0 {
		return
	}
	people := said.people(j.entry.UID, j.leased, j.tally)
	decision := stored.Decide(j.lending.terms, func(key quota.Key) []quota.Party { return parties(people, key) }, now)
	j.lending.decision, j.lending.at = decision, now
	j.lending.waited = decision.Debited || decision.Urgent && (j.entry.Limits.FailOpen || needed(people, stored))
	j.next = earliest(j.next, j.lending.changes(now))
	if said.strangers(people) {
		j.next = earliest(j.next, now.Add(askForAbsence))
	}
}

// terms are the periods that something may be lent of now. Terms have the base of the books before this look takes
// anything in: what it takes in is told by parties.
func terms(entry *routing.Endpoint, base *modelstate.Fold, debit map[quota.Limit]int64, now time.Time) []quota.Term {
	var all []quota.Term
	for limit := quota.Requests; limit <= quota.Budget; limit++ {
		amount, period := limitOf(entry, limit)
		if amount <= 0 {
			continue
		}
		start, previous := periods(period, now)
		end := period.Next(now)
		list := quota.Terms(limit, amount, previous, start, end, period.Next(end), now)
		for i := range list {
			t := &list[i]
			t.Used, t.Whole = usedIn(base.Quota, base.Budget, t.Key), entry.Limits.ReserveWorst
			if t.Phase == quota.Current {
				t.Debit = debit[limit]
			}
		}
		all = append(all, list...)
	}
	return all
}

// turns is when other terms begin to hold; zero when there is no limit.
func turns(entry *routing.Endpoint, now time.Time) time.Time {
	var next time.Time
	for limit := quota.Requests; limit <= quota.Budget; limit++ {
		amount, period := limitOf(entry, limit)
		if amount <= 0 {
			continue
		}
		end := period.Next(now)
		for _, at := range []time.Time{period.Start(now).Add(clockSkew), end.Add(-quota.Early - clockSkew), end} {
			if at.After(now) {
				next = earliest(next, at)
			}
		}
	}
	return next
}

// limitOf is how much there is of a limit, 0 when it does not exist, and its period.
func limitOf(entry *routing.Endpoint, limit quota.Limit) (int64, calendar.Period) {
	switch limit {
	case quota.Requests:
		return entry.Limits.Requests, entry.QuotaPeriod
	case quota.Tokens:
		return entry.Limits.Tokens, entry.QuotaPeriod
	case quota.Budget:
		return entry.Limits.Budget, entry.BudgetPeriod
	default:
		return 0, entry.QuotaPeriod
	}
}

// usedIn is how much of a limit was used in a period.
func usedIn(quotas, budgets []modelstate.PeriodUsage, key quota.Key) int64 {
	switch key.Limit {
	case quota.Requests:
		return modelstate.PickPeriod(quotas, key.Start).Requests
	case quota.Tokens:
		return modelstate.PickPeriod(quotas, key.Start).Tokens.Total()
	case quota.Budget:
		return modelstate.PickPeriod(budgets, key.Start).Cost
	default:
		return 0
	}
}

// person is a process that knows of the endpoint.
type person struct {
	uid     string
	state   quota.PartyState
	ask     *quota.EndpointAsk
	numbers []*counted
}

// people are all processes that say something of the endpoint, have counted something of it or have a lease, but
// for those that were closed before. Those are Final that go into the record with this look.
func (t *testimony) people(endpoint string, leased []string, sum *tally) []person {
	about := t.about(endpoint)
	asks, numbers := about.asks, about.numbers
	out := make([]person, 0, max(len(leased), len(asks), len(numbers)))
	for len(leased)+len(asks)+len(numbers) > 0 { // all are in the order of UIDs
		p := person{uid: firstOf(leased, asks, numbers)}
		if len(leased) > 0 && leased[0] == p.uid {
			leased = leased[1:]
		}
		if len(asks) > 0 && asks[0].proxy == p.uid {
			p.ask, asks = &asks[0].EndpointAsk, asks[1:]
		}
		n := 0
		for n < len(numbers) && numbers[n].proxy == p.uid {
			n++
		}
		p.numbers, numbers = numbers[:n], numbers[n:]
		if t.place(&p, sum) {
			out = append(out, p)
		}
	}
	return out
}

// firstOf is the first UID of three lists, not all of which are empty.
func firstOf(leased []string, asks []asking, numbers []*counted) (uid string) {
	known := false
	consider := func(head string) {
		if !known || head < uid {
			uid, known = head, true
		}
	}
	if len(leased) > 0 {
		consider(leased[0])
	}
	if len(asks) > 0 {
		consider(asks[0].proxy)
	}
	if len(numbers) > 0 {
		consider(numbers[0].proxy)
	}
	return uid
}

// place says whether a process lives; false when it was closed before.
func (t *testimony) place(p *person, sum *tally) bool {
	switch {
	case sum.base.Has(p.uid):
		return false
	case sum.fold.Has(p.uid):
		p.state = quota.Final
	case t.ended[p.uid]:
		p.state = quota.Ended
	}
	return true
}

// parties are people with regard to one account.
func parties(people []person, key quota.Key) []quota.Party {
	out := make([]quota.Party, len(people))
	for i := range people {
		p := &people[i]
		out[i] = quota.Party{Instance: p.uid, State: p.state, Ask: p.word(key)}
		for _, c := range p.numbers {
			out[i].Used += max(usedIn(c.quota, c.budget, key), 0)
		}
	}
	return out
}

// word is what the process says of an account; nil when that is nothing.
func (p *person) word(key quota.Key) *quota.Ask {
	if p.ask == nil {
		return nil
	}
	at := slices.IndexFunc(p.ask.Asks, func(a quota.Ask) bool { return a.Key == key })
	if at < 0 {
		return nil
	}
	return &p.ask.Asks[at]
}

// needed reports whether an attempt waits for a lease.
func needed(people []person, stored quota.Ledger) bool {
	for i := range people {
		p := &people[i]
		if p.ask == nil || p.state != quota.Living {
			continue
		}
		grants := grantsOf(stored, p.uid)
		for _, ask := range p.ask.Asks {
			at := slices.IndexFunc(grants, func(g quota.Grant) bool { return g.Key == ask.Key })
			if ask.Presses() && (at < 0 || ask.Number > grants[at].Answered || ask.Need > grants[at].Granted) {
				return true
			}
		}
	}
	return false
}

// strangers reports whether somebody has a lease of whom there is no object: it has to be found out whether they
// are gone.
func (t *testimony) strangers(people []person) bool {
	return slices.ContainsFunc(people, func(p person) bool { return !t.known[p.uid] && p.state != quota.Final })
}

// changes is when time alone changes something: when a period begins or ends, and when its leases are closed, as late
// as clocks may be apart.
func (l *lending) changes(now time.Time) time.Time {
	var next time.Time
	for i := range l.decision.Ledger.Accounts {
		a := &l.decision.Ledger.Accounts[i]
		over := a.End.Add(clockSkew + time.Nanosecond)
		switch {
		case a.Start.After(now):
			next = earliest(next, a.Start)
		case a.End.After(now):
			next = earliest(next, a.End)
		case over.After(now):
			next = earliest(next, over)
		case len(a.Leases) > 0:
			next = earliest(next, now.Add(clockSkew))
		}
	}
	return next
}

// limitUse is how one limit stands in its current period.
type limitUse struct {
	limit                      quota.Limit
	amount, used, leased, left int64
	end                        time.Time
	// touched says that something of it is used or lent.
	touched bool
}

// limits are those of the endpoint. What was counted can be more than what was lent: what attempts have used beyond
// what was set aside for them.
func (j *judged) limits() []limitUse {
	var all []limitUse
	for i := range j.lending.terms {
		t := &j.lending.terms[i]
		if t.Phase != quota.Current {
			continue
		}
		counted := usedIn([]modelstate.PeriodUsage{j.tally.quota}, []modelstate.PeriodUsage{j.tally.budget}, t.Key)
		u := limitUse{limit: t.Limit, amount: t.Amount, used: counted, left: max(t.Amount-counted, 0), end: t.End, touched: counted > 0}
		at := slices.IndexFunc(j.lending.decision.Verdicts, func(v quota.Verdict) bool { return v.Key == t.Key })
		if at >= 0 {
			v := &j.lending.decision.Verdicts[at]
			u.used, u.leased, u.left, u.touched = max(v.Used, counted), v.Out, v.Left, true
		}
		all = append(all, u)
	}
	slices.SortFunc(all, func(a, b limitUse) int { return cmp.Compare(a.limit, b.limit) })
	return all
}

var limitReasons = map[quota.Limit]modelstate.Reason{
	quota.Requests: modelstate.RequestLimit, quota.Tokens: modelstate.TokenLimit, quota.Budget: modelstate.BudgetExceeded,
}

// exhaustion is what the state is judged by.
func exhaustion(limits []limitUse) []modelstate.LimitUse {
	var all []modelstate.LimitUse
	for i := range limits {
		u := &limits[i]
		all = append(all, modelstate.LimitUse{
			Reason: limitReasons[u.limit], Until: u.end, Left: u.left, Out: u.leased,
			Used: inWords(u.limit, u.used, false), Amount: inWords(u.limit, u.amount, true),
		})
	}
	return all
}
