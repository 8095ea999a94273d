// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package quota

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"
)

// bytes makes values of whatever a fuzzer thinks up; zeros when it has run out.
type bytes []byte

func (b *bytes) next(n int) int {
	if len(*b) == 0 {
		return 0
	}
	v := int((*b)[0])
	*b = (*b)[1:]
	return v % n
}

// amount is small most of the time, and sometimes as large or as wrong as can be.
func (b *bytes) amount() int64 {
	switch b.next(8) {
	case 0:
		var eight [8]byte
		n := copy(eight[:], *b)
		*b = (*b)[n:]
		return int64(binary.LittleEndian.Uint64(eight[:]))
	case 1:
		return math.MaxInt64 - int64(b.next(3))
	default:
		return int64(b.next(64))
	}
}

// stored is an amount as a ledger has it.
func (b *bytes) stored() int64 { return max(b.amount(), 0) }

func (b *bytes) ledger() Ledger {
	var l Ledger
	for limit := Requests; limit <= Budget; limit++ {
		for hour := range b.next(7) {
			start := midnight.Add(time.Duration(hour) * time.Hour)
			a := Account{Key: Key{limit, start}, End: start.Add(time.Duration(b.next(30)) * time.Hour), Closed: b.stored(), Wanted: b.next(2) == 0}
			for i := range b.next(6) {
				if l := (Lease{Instance: fmt.Sprint(i), Granted: b.stored(), Answered: b.stored(), Rest: b.next(2) == 0}); b.next(3) > 0 {
					l.Returned = min(b.stored(), l.Granted)
					a.Leases = append(a.Leases, l)
				}
			}
			l.Accounts = append(l.Accounts, a)
		}
	}
	return l
}

func (b *bytes) terms() []Term {
	var terms []Term
	for limit := Requests; limit <= Budget; limit++ {
		for n := range b.next(3) {
			start := midnight.Add(time.Duration(b.next(4)+4*n) * time.Hour)
			terms = append(terms, Term{
				Key: Key{limit, start}, End: start.Add(time.Duration(1+b.next(24)) * time.Hour), Phase: Phase(b.next(3)),
				Amount: b.stored(), Used: b.stored(), Debit: b.stored(), Whole: b.next(2) == 0,
			})
		}
	}
	return terms
}

func (b *bytes) parties() []Party {
	var parties []Party
	for i := range b.next(8) {
		p := Party{Instance: fmt.Sprint(i), State: PartyState(b.next(3)), Used: b.amount()}
		if b.next(4) > 0 {
			p.Ask = &Ask{
				Key:     Key{Limit(b.next(5)), midnight.Add(time.Duration(b.next(6)) * time.Hour)},
				Granted: b.amount(), Returned: b.amount(), Spent: b.amount(), Number: b.amount(), Want: b.amount(), Need: b.amount(),
			}
		}
		parties = append(parties, p)
	}
	return parties
}

// FuzzDecide: whatever is stored and said, nothing that was granted is taken away, nothing is lent that is not there,
// and deciding again changes nothing.
func FuzzDecide(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte("a turnout guides a train from one track onto another"))
	f.Add(slices.Repeat([]byte{3, 1, 2, 250, 7, 64}, 60))
	f.Add(slices.Repeat([]byte{255, 0, 8, 16, 1}, 80))
	f.Fuzz(func(t *testing.T, data []byte) {
		b := bytes(data)
		stored, terms, parties := b.ledger(), b.terms(), b.parties()
		now := midnight.Add(time.Duration(b.next(40)) * time.Hour)
		ask := func(Key) []Party { return parties }
		d := stored.Decide(terms, ask, now)
		checkStep(t, stored, d.Ledger, terms, parties)

		parties = slices.DeleteFunc(parties, func(p Party) bool { return p.State == Final })
		for i := range terms {
			terms[i].Debit = 0
		}
		if again := d.Ledger.Decide(terms, ask, now); !sameLedger(again.Ledger, d.Ledger) || again.Urgent || again.Debited {
			t.Fatalf("deciding again changes something:\n%+v\n%+v", d.Ledger, again.Ledger)
		}
	})
}

// checkStep looks at what one decision did to the accounts that it kept.
func checkStep(t *testing.T, before, after Ledger, terms []Term, parties []Party) {
	t.Helper()
	perLimit := map[Limit]int{}
	for i := range after.Accounts {
		a := &after.Accounts[i]
		perLimit[a.Limit]++
		if i > 0 && after.Accounts[i-1].compare(a.Key) >= 0 {
			t.Fatalf("accounts are out of order: %+v", after)
		}
		was := Account{}
		if at := slices.IndexFunc(before.Accounts, func(b Account) bool { return b.compare(a.Key) == 0 }); at >= 0 {
			was = before.Accounts[at]
		}
		checkAccount(t, was, *a, parties)
		at := slices.IndexFunc(terms, func(t Term) bool { return t.compare(a.Key) == 0 })
		if at >= 0 {
			checkLent(t, was, *a, terms[at], parties)
		}
	}
	for limit, n := range perLimit {
		if n > max(maxAccounts, len(terms)) {
			t.Fatalf("%d accounts of %v: %+v", n, limit, after)
		}
	}
}

// checkAccount: amounts only grow, and a lease goes only when it is charged.
func checkAccount(t *testing.T, before, after Account, parties []Party) {
	t.Helper()
	if after.Closed < before.Closed {
		t.Fatalf("closed shrinks: %+v\n%+v", before, after)
	}
	if !slices.IsSortedFunc(after.Leases, func(a, b Lease) int { return compareText(a.Instance, b.Instance) }) {
		t.Fatalf("leases are out of order: %+v", after)
	}
	charged := int64(0)
	for _, l := range before.Leases {
		at := slices.IndexFunc(after.Leases, func(m Lease) bool { return m.Instance == l.Instance })
		if at < 0 {
			charged = plus(charged, l.Granted-l.Returned)
			if said := slices.IndexFunc(parties, func(p Party) bool { return p.Instance == l.Instance && p.word(before.Key) != nil }); said >= 0 {
				charged = 0 // it may have given something back with its last word
				break
			}
			continue
		}
		if m := after.Leases[at]; m.Granted < l.Granted || m.Returned < l.Returned || m.Answered < l.Answered || m.Returned > m.Granted {
			t.Fatalf("a lease shrinks: %+v\n%+v", l, m)
		}
	}
	if after.Closed < plus(before.Closed, charged) {
		t.Fatalf("%d should be charged: %+v\n%+v", charged, before, after)
	}
}

// checkLent: what is closed and out is within the limit, unless it was not before, by what anybody said.
func checkLent(t *testing.T, before, after Account, term Term, parties []Party) {
	t.Helper()
	sum, given := after.Closed, false
	for _, l := range after.Leases {
		sum = plus(sum, l.Granted-l.Returned)
		was := Lease{}
		if at := slices.IndexFunc(before.Leases, func(b Lease) bool { return b.Instance == l.Instance }); at >= 0 {
			was = before.Leases[at]
		}
		seen := was.Granted
		for i := range parties {
			if ask := parties[i].word(after.Key); ask != nil && parties[i].Instance == l.Instance {
				seen = max(seen, ask.Granted, plus(max(was.Returned, ask.Returned, 0), max(ask.Spent, 0)))
			}
		}
		given = given || l.Granted > seen
	}
	if given && sum > term.Amount {
		t.Fatalf("%d are closed and out of %d, and something was lent:\n%+v\n%+v", sum, term.Amount, before, after)
	}
}

func compareText(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}
