// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package quota

import (
	"slices"
	"time"
)

// Decide answers the wishes of proxies, takes back what they return and closes the leases of those that are gone.
// It is a pure function; deciding again with the ledger it returned, and nobody Final and no Debit, changes nothing.
//
// The ledger must be what is stored, and what Decide makes of it may only be stored in its place: what is told to
// anyone before that could be granted twice. parties returns those that know of an account, by instance and each
// once; terms has each key once.
func (l Ledger) Decide(terms []Term, parties func(Key) []Party, now time.Time) Decision {
	all, opened := l.open(terms, parties)
	for i := range all {
		all[i].read(now)
	}
	all = retain(all)
	d := Decision{Debited: debit(all)}
	d.Urgent = opened || d.Debited
	if len(all) > 0 {
		d.Ledger.Accounts = make([]Account, 0, len(all))
	}
	for i := range all {
		j := &all[i]
		j.lend()
		d.Urgent = d.Urgent || j.urgent
		d.Ledger.Accounts = append(d.Ledger.Accounts, j.write())
		if j.term != nil && j.term.Phase == Current {
			d.Verdicts = append(d.Verdicts, j.verdict())
		}
	}
	return d
}

// open brings accounts and terms together. A term of which somebody wishes something gets an account; one of which
// nobody wants anything is not written down.
func (l Ledger) open(terms []Term, parties func(Key) []Party) (all []settling, opened bool) {
	all = make([]settling, 0, len(l.Accounts)+len(terms))
	for i := range l.Accounts {
		all = append(all, settling{account: l.Accounts[i], parties: parties(l.Accounts[i].Key)})
	}
	for i := range terms {
		t := &terms[i]
		at, found := slices.BinarySearchFunc(all, t.Key, func(j settling, key Key) int { return j.account.compare(key) })
		if !found {
			known := parties(t.Key)
			if t.Phase == Past || t.Debit == 0 && !asked(known, t) {
				continue
			}
			all = slices.Insert(all, at, settling{account: Account{Key: t.Key, Closed: t.Used}, parties: known})
			opened = true
		}
		all[at].term, all[at].account.End = t, t.End
	}
	return all, opened
}

// asked reports whether somebody wishes for something of a term without an account.
func asked(parties []Party, t *Term) bool {
	return slices.ContainsFunc(parties, func(p Party) bool {
		ask := p.word(t.Key)
		return p.State == Living && ask != nil && ask.Number > 0
	})
}

// retain drops accounts when there are too many of a limit, the oldest first: those of periods that are over, then
// those that nothing is lent of any more, by which time idle leases were given back.
func retain(all []settling) []settling {
	many := func(limit Limit) bool {
		count := 0
		for i := range all {
			if all[i].account.Limit == limit {
				count++
			}
		}
		return count > maxAccounts
	}
	for _, dispensable := range []func(*settling) bool{
		func(j *settling) bool { return j.over && j.term == nil },
		func(j *settling) bool { return j.term == nil },
	} {
		for i := 0; i < len(all); {
			if dispensable(&all[i]) && many(all[i].account.Limit) {
				all = slices.Delete(all, i, i+1)
			} else {
				i++
			}
		}
	}
	return all
}

// debit charges what the operator needs for itself, of every account or of none.
func debit(all []settling) bool {
	needed := false
	for i := range all {
		if t := all[i].term; t != nil && t.Debit > 0 {
			needed = true
			if all[i].over || all[i].pool < t.Debit {
				return false
			}
		}
	}
	for i := range all {
		if t := all[i].term; t != nil && t.Debit > 0 {
			all[i].account.Closed = plus(all[i].account.Closed, t.Debit)
			all[i].pool -= t.Debit
		}
	}
	return needed
}

// settling is one account while it is decided on.
type settling struct {
	account Account
	// term is nil when the spec has no such limit or period now.
	term    *Term
	parties []Party
	// rows are all that have a lease or may have used something, by instance.
	rows []row
	// pool is what may still be lent; below 0 when more is out than the limit allows. idle is what was lent before
	// and, as far as is known, nobody has a use for.
	pool, idle   int64
	over, urgent bool
}

// read brings leases and parties together, takes in what proxies say, and closes the leases of those that are gone
// and of a period that is over.
func (j *settling) read(now time.Time) {
	j.over = j.account.over(now)
	if j.over && len(j.account.Leases) == 0 {
		return // and nothing that anyone says changes it any more
	}
	j.rows = make([]row, 0, max(len(j.parties), len(j.account.Leases)))
	leases := j.account.Leases
	for i := range j.parties {
		p := &j.parties[i]
		for len(leases) > 0 && leases[0].Instance < p.Instance {
			j.keep(row{Lease: leases[0]})
			leases = leases[1:]
		}
		r := row{Lease: Lease{Instance: p.Instance}, party: p, ask: p.word(j.account.Key)}
		if len(leases) > 0 && leases[0].Instance == p.Instance {
			r.Lease, leases = leases[0], leases[1:]
		}
		r.hear()
		j.keep(r)
	}
	for _, l := range leases {
		j.keep(row{Lease: l})
	}
	if j.term != nil {
		j.pool = minus(j.term.Amount, j.account.Closed)
	}
	for i := range j.rows {
		j.pool = minus(j.pool, j.rows[i].out())
		j.idle = plus(j.idle, j.rows[i].idle())
	}
}

// keep takes a row in, or charges it if it can only be closed.
func (j *settling) keep(r row) {
	if j.over || r.party != nil && r.party.State == Final {
		j.account.Closed = plus(j.account.Closed, r.out())
		return
	}
	j.rows = append(j.rows, r)
}

// lend answers the wishes that are open. What attempts at hand need comes first. While
// somebody waits for what others may have, nobody gets more than that.
func (j *settling) lend() {
	if j.term == nil || j.over {
		j.account.Wanted = false
		return
	}
	open := j.wishes()
	share := max(j.pool/int64(2*max(len(open), 1)), 1)
	short := j.pool < 0 && j.idle > 0
	for _, at := range open {
		short = j.meet(&j.rows[at]) || short
	}
	if !short {
		j.top(open, share)
	}
	j.urgent = j.urgent || short && !j.account.Wanted
	// It is taken back once there is something left: at the limit it would come and go with everybody who tries.
	j.account.Wanted = short || j.account.Wanted && j.pool <= 0
}

// top lends what is wished for beyond what is needed, up to a share of what there was.
func (j *settling) top(open []int, share int64) {
	for _, at := range open {
		if r := &j.rows[at]; r.need() == 0 {
			j.give(r, min(r.wish(), share-r.given, j.pool))
		}
	}
}

// wishes are the places of those that wish for something and have no answer to that, or need more than they have.
// From now on it counts as answered, if only with nothing. Their order is the same in all accounts of an endpoint: the
// last requests and the last tokens must go to the same proxy, or neither of two can use what it got.
func (j *settling) wishes() []int {
	open := make([]int, 0, len(j.rows))
	for i := range j.rows {
		r := &j.rows[i]
		if r.ask == nil || r.ask.Number == 0 || r.party.State != Living {
			continue
		}
		if r.ask.Number > r.Answered {
			r.Answered, r.Rest, j.urgent = r.ask.Number, false, true
		} else if r.need() == 0 {
			continue
		}
		open = append(open, i)
	}
	return open
}

// meet lends what an attempt at hand needs. When less is left than that, and nobody else has any, the rest goes to
// one proxy, for one attempt. short says that others may have what is missing.
func (j *settling) meet(r *row) (short bool) {
	need, others := r.need(), j.idle-r.idle()
	switch {
	case need == 0 || r.Rest:
	case need <= j.pool:
		j.give(r, need)
	case others > 0:
		return need <= plus(j.pool, others)
	case j.pool > 0 && !j.term.Whole:
		j.give(r, j.pool)
		r.Rest = true
	}
	return false
}

// give lends so much out of the pool.
func (j *settling) give(r *row, amount int64) {
	if amount <= 0 {
		return
	}
	out := r.out()
	r.Granted, r.Rest = plus(r.base(), amount), false
	r.given += amount
	j.pool -= r.out() - out
	j.urgent = true
}

// write is the account as it is to be stored. A lease that says nothing is left out.
func (j *settling) write() Account {
	a := j.account
	a.Leases = nil
	if len(j.rows) > 0 {
		a.Leases = make([]Lease, 0, len(j.rows))
	}
	for i := range j.rows {
		if l := j.rows[i].Lease; l != (Lease{Instance: l.Instance}) {
			a.Leases = append(a.Leases, l)
		}
	}
	return a
}

// verdict sums the account up.
func (j *settling) verdict() Verdict {
	v := Verdict{Key: j.account.Key, End: j.account.End, Amount: j.term.Amount, Used: j.account.Closed}
	for i := range j.rows {
		r := &j.rows[i]
		used := r.used(j.account.Limit)
		v.Used = plus(v.Used, used)
		v.Out = plus(v.Out, r.out()-used)
	}
	v.Left = max(minus(minus(v.Amount, v.Used), v.Out), 0)
	return v
}
