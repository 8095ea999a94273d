// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package quota

import (
	"cmp"
	"time"
)

// maxAccounts is how many accounts of one limit are kept. Those of periods that are over stay as long as there is
// room, without leases: whoever comes back to such a period, by a wrong clock or by changing the spec to and fro,
// finds what was used.
const maxAccounts = 4

// Ledger is everything that was lent of one endpoint.
type Ledger struct {
	// Accounts are by limit, then by start.
	Accounts []Account
}

// Account is the book of one limit in one period.
type Account struct {
	Key
	// End is when the period ends.
	End time.Time
	// Closed is what leases that no longer exist were charged, and what was used before the account was opened.
	Closed int64
	// Wanted says that somebody waits for more than is left, and that others may have it.
	Wanted bool
	// Leases are by instance.
	Leases []Lease
}

// Lease is what one proxy was lent.
type Lease struct {
	// Instance is the UID of the ProxyInstance.
	Instance string
	// Granted and Returned are as in Ask, Answered and Rest as in Grant.
	Granted, Returned int64
	Answered          int64
	Rest              bool
}

// Grant is the copy of the lease for its proxy. One that has given everything back is not asked for more.
func (a *Account) Grant(l *Lease) Grant {
	return Grant{
		Key: a.Key, Granted: l.Granted, Returned: l.Returned, Answered: l.Answered, Rest: l.Rest,
		Wanted: a.Wanted && l.Granted > l.Returned,
	}
}

// Phase is where a period stands to the present.
type Phase uint8

// The phases. Of a period that has just ended the account is kept open for proxies whose clocks are behind, but none
// is opened.
const (
	Current Phase = iota
	Next
	Past
)

// Term is a limit in one period, as the spec has it now.
type Term struct {
	Key
	End   time.Time
	Phase Phase
	// Amount is the limit.
	Amount int64
	// Whole says that no attempt may have less than it sets aside, because the spec reserves for the worst: what is
	// left at the end and is not enough for one is not used.
	Whole bool
	// Used is what is in the base of the books: what proxies had used that are gone, without those that are Final now.
	Used int64
	// Debit is what the operator needs for an attempt of its own.
	Debit int64
}

// Terms are the periods of one limit that leases may be taken of at now: the current one from start to end, the
// next one until nextEnd when it is about to begin, and the one since previous when it has just ended.
func Terms(limit Limit, amount int64, previous, start, end, nextEnd, now time.Time) []Term {
	terms := make([]Term, 0, 2)
	if now.Before(start.Add(skew)) {
		terms = append(terms, Term{Key: Key{limit, previous}, End: start, Phase: Past, Amount: amount})
	}
	terms = append(terms, Term{Key: Key{limit, start}, End: end, Phase: Current, Amount: amount})
	if !now.Before(end.Add(-Early - skew)) {
		terms = append(terms, Term{Key: Key{limit, end}, End: nextEnd, Phase: Next, Amount: amount})
	}
	return terms
}

// Party is what the operator knows of one proxy process with regard to one account.
type Party struct {
	Instance string
	State    PartyState
	// Ask is its word; nil when it says nothing.
	Ask *Ask
	// Used is what it has reported to have used in the period, under this instance and admitted by its leases or
	// before there was a limit.
	Used int64
}

// PartyState is whether a proxy lives.
type PartyState uint8

const (
	// Living proxies may be lent more.
	Living PartyState = iota
	// Ended proxies are lent nothing. What they have is out until their last word is known.
	Ended
	// Final proxies have said their last word, or never will: their lease is closed. Whoever passes one on must
	// note in the same write that it is done, and never pass it on again.
	Final
)

// Verdict is what one account comes to.
type Verdict struct {
	Key
	End time.Time
	// Amount is the limit. Used is what was used or no longer can be, Out what is lent and not used, Left what may
	// still be lent. Used can be above Amount; Left is never below 0.
	Amount, Used, Out, Left int64
}

// Exhausted says that nothing is left, neither to lend nor to use.
func (v *Verdict) Exhausted() bool { return v.Left == 0 && v.Out == 0 }

// Decision is what Decide comes to.
type Decision struct {
	Ledger Ledger
	// Urgent says that somebody waits, or will before long, for the difference to the ledger before.
	Urgent bool
	// Debited says that the operator has what it asked for, once the ledger is stored.
	Debited bool
	// Verdicts are those of the current terms that have an account, by limit.
	Verdicts []Verdict
}

func (k Key) compare(other Key) int {
	return cmp.Or(cmp.Compare(k.Limit, other.Limit), k.Start.Compare(other.Start))
}

// over reports whether the period has ended by anybody's clock.
func (a *Account) over(now time.Time) bool { return now.After(a.End.Add(skew)) }
