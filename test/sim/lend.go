// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"slices"
	"time"

	"github.com/turnout-ai/turnout/internal/modelstate"
	"github.com/turnout-ai/turnout/internal/quota"
)

// This file is the shell of controller's lend.go: what a look decides about the limits of one endpoint.

// limits are all that hold for a period.
var limits = [...]quota.Limit{quota.Requests, quota.Tokens, quota.Budget}

// lending is what a look decides about the limits of one endpoint that hold for a period.
type lending struct {
	terms    []quota.Term
	decision quota.Decision
	waited   bool
}

// lend decides on what is lent, by the ledger as it is stored.
func (j *judged) lend(o *operator, said *testimony, now time.Time) {
	stored := j.stored
	if o.w.bad(openedPast, true) {
		stored.Accounts = slices.DeleteFunc(slices.Clone(stored.Accounts), func(a quota.Account) bool { return !a.End.After(now) })
	}
	j.lending.terms = j.terms(o, now)
	if len(j.lending.terms) == 0 && len(stored.Accounts) == 0 {
		return
	}
	people := said.people(o, j)
	decision := stored.Decide(j.lending.terms, func(key quota.Key) []quota.Party { return parties(o, &stored, people, key) }, now)
	if o.w.bad(neverWanted, true) {
		for i := range decision.Ledger.Accounts {
			decision.Ledger.Accounts[i].Wanted = false
		}
	}
	j.lending.decision = decision
	j.lending.waited = decision.Urgent && (j.object.spec.limits.FailOpen || needed(people, &stored))
	j.next = earliest(j.next, j.lending.changes(now))
	if said.strangers(people) {
		j.next = earliest(j.next, now.Add(askForAbsence))
	}
}

// terms are the periods that something may be lent of now.
func (j *judged) terms(o *operator, now time.Time) []quota.Term {
	var all []quota.Term
	spec := &j.object.spec
	for _, limit := range limits {
		amount, period := spec.limit(limit), spec.period(limit)
		if amount <= 0 {
			continue
		}
		start, end := period.Start(now), period.Next(now)
		list := quota.Terms(limit, amount, period.Start(start.Add(-time.Nanosecond)), start, end, period.Next(end), now)
		for i := range list {
			t := &list[i]
			t.Used = usedIn(j.base.Quota, j.base.Budget, t.Key)
			if o.w.bad(openedPast, t.Phase == quota.Past) {
				t.Phase, t.Used = quota.Next, 0
			}
		}
		all = append(all, list...)
	}
	return all
}

// usedIn is how much of a limit was used in a period.
func usedIn(quotas, budgets []modelstate.PeriodUsage, key quota.Key) int64 {
	periods := quotas
	if key.Limit == quota.Budget {
		periods = budgets
	}
	used := modelstate.PickPeriod(periods, key.Start)
	switch key.Limit {
	case quota.Requests:
		return used.Requests
	case quota.Tokens:
		return used.Tokens.Total()
	default:
		return used.Cost
	}
}

// person is a process that knows of the endpoint.
type person struct {
	uid     string
	state   quota.PartyState
	ask     *quota.EndpointAsk
	numbers []counted
}

// people are all processes that say something of the endpoint, have counted something of it or have a lease, but for
// those that were closed before. Those are Final that go into the record with this look.
func (t *testimony) people(o *operator, j *judged) []person {
	var all []person
	of := func(uid string) *person {
		at, known := slices.BinarySearchFunc(all, uid, func(p person, uid string) int { return compare(p.uid, uid) })
		if !known {
			all = slices.Insert(all, at, person{uid: uid})
		}
		return &all[at]
	}
	for _, uid := range holders(&j.stored) {
		of(uid)
	}
	for _, p := range t.processes {
		for i := range p.status.asks {
			if p.status.asks[i].UID == j.object.uid {
				of(p.uid).ask = &p.status.asks[i]
			}
		}
	}
	for _, c := range t.numbers[j.object.uid] {
		p := of(c.proxy)
		p.numbers = append(p.numbers, c)
	}
	out := all[:0]
	for _, p := range all {
		switch {
		case j.base.Has(p.uid):
			continue
		case j.status.fold.Has(p.uid):
			p.state = quota.Final
			if o.w.bad(neverClosed, true) {
				p.state = quota.Ended
			}
		case t.ended[p.uid]:
			p.state = quota.Ended
		}
		out = append(out, p)
	}
	return out
}

// parties are people with regard to one account.
func parties(o *operator, stored *quota.Ledger, people []person, key quota.Key) []quota.Party {
	out := make([]quota.Party, len(people))
	for i := range people {
		p := &people[i]
		out[i] = quota.Party{Instance: p.uid, State: p.state, Ask: p.word(key)}
		for _, c := range p.numbers {
			out[i].Used += max(usedIn(c.numbers.Quota, c.numbers.Budget, key), 0)
		}
		o.misjudge(&out[i], key, granted(stored, key, p.uid))
	}
	return out
}

// granted is what the ledger says that the process was lent.
func granted(ledger *quota.Ledger, key quota.Key, uid string) int64 {
	for i := range ledger.Accounts {
		if a := &ledger.Accounts[i]; a.Key == key {
			for k := range a.Leases {
				if a.Leases[k].Instance == uid {
					return a.Leases[k].Granted
				}
			}
		}
	}
	return 0
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

// misjudge makes of a party, which was lent so much, what sabotages see in it.
func (o *operator) misjudge(p *quota.Party, key quota.Key, granted int64) {
	switch {
	case o.w.bad(deadReturn, p.State == quota.Final), o.w.bad(believedDeadReturn, p.State != quota.Living):
		p.Ask, p.Used = &quota.Ask{Key: key, Granted: granted, Returned: granted}, 0
	case o.w.bad(closedTwice, p.State == quota.Final):
		p.Used *= 2
		if p.Ask != nil {
			ask := *p.Ask
			ask.Granted, p.Ask = 2*ask.Granted, &ask
		}
	case o.w.bad(neverAnswered, p.Ask != nil):
		ask := *p.Ask
		ask.Number, p.Ask = 0, &ask
	}
}

// needed reports whether an attempt waits for a lease.
func needed(people []person, stored *quota.Ledger) bool {
	for i := range people {
		p := &people[i]
		if p.ask == nil || p.state != quota.Living {
			continue
		}
		grants := grantsOf(stored, p.uid)
		for k := range p.ask.Asks {
			ask := &p.ask.Asks[k]
			at := slices.IndexFunc(grants, func(g quota.Grant) bool { return g.Key == ask.Key })
			if ask.Number > 0 && (at < 0 && ask.Need > 0 || at >= 0 && ask.Need > grants[at].Granted) {
				return true
			}
		}
	}
	return false
}

// strangers reports whether somebody has a lease of whom there is no object.
func (t *testimony) strangers(people []person) bool {
	return slices.ContainsFunc(people, func(p person) bool { return !t.known[p.uid] && p.state != quota.Final })
}

// changes is when time alone changes something.
func (l *lending) changes(now time.Time) time.Time {
	var next time.Time
	for i := range l.decision.Ledger.Accounts {
		a := &l.decision.Ledger.Accounts[i]
		switch {
		case a.End.After(now):
			next = earliest(next, a.End)
		case len(a.Leases) > 0:
			at := a.End.Add(clockSkew + time.Second)
			if !at.After(now) {
				at = now.Add(clockSkew)
			}
			next = earliest(next, at)
		}
	}
	return next
}

var limitReasons = [...]modelstate.Reason{
	quota.Requests: modelstate.RequestLimit, quota.Tokens: modelstate.TokenLimit, quota.Budget: modelstate.BudgetExceeded,
}

// uses are how the limits stand, and what the state is judged by.
func (j *judged) uses() (shown []limitUse, judged []modelstate.LimitUse) {
	for i := range j.lending.terms {
		t := &j.lending.terms[i]
		if t.Phase != quota.Current {
			continue
		}
		counted := usedIn([]modelstate.PeriodUsage{j.status.tally.quota}, []modelstate.PeriodUsage{j.status.tally.budget}, t.Key)
		u := limitUse{limit: t.Limit, amount: t.Amount, used: counted, left: max(t.Amount-counted, 0), end: t.End}
		touched := counted > 0
		for k := range j.lending.decision.Verdicts {
			if v := &j.lending.decision.Verdicts[k]; v.Key == t.Key {
				u.used, u.leased, u.left, touched = max(v.Used, counted), v.Out, v.Left, true
			}
		}
		judged = append(judged, modelstate.LimitUse{Reason: limitReasons[u.limit], Until: u.end, Left: u.left, Out: u.leased, Amount: "all"})
		if touched {
			shown = append(shown, u)
		}
	}
	return shown, judged
}

// limitUse is how one limit stands in its current period.
type limitUse struct {
	limit                      quota.Limit
	amount, used, leased, left int64
	end                        time.Time
}
