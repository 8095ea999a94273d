// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package quota

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// living, ended and final are proxies, with what they have reported to have used and what they say.
func living(name string, used int64, said ...Ask) Party { return party(name, Living, used, said) }
func ended(name string, used int64, said ...Ask) Party  { return party(name, Ended, used, said) }
func final(name string, used int64, said ...Ask) Party  { return party(name, Final, used, said) }

func party(name string, state PartyState, used int64, said []Ask) Party {
	p := Party{Instance: name, State: state, Used: used}
	if len(said) > 0 {
		p.Ask = &said[0]
		p.Ask.Key = Key{Requests, midnight}
	}
	return p
}

// lent are leases by their proxies' names.
func lent(leases ...Lease) []Lease { return leases }

func TestDecide(t *testing.T) {
	for name, tc := range map[string]struct {
		// limit is by day, closed, wanted and leases are what is stored of it.
		limit   Term
		closed  int64
		wanted  bool
		leases  []Lease
		parties []Party
		now     time.Time

		wantClosed int64
		wantWanted bool
		wantLeases []Lease
		urgent     bool
	}{
		"who asks gets what it wishes": {
			limit: requests(1000), parties: []Party{living("a", 0, Ask{Number: 1, Want: 8, Need: 1})},
			wantLeases: lent(Lease{Instance: "a", Granted: 8, Answered: 1}), urgent: true,
		},
		"one alone gets half of what is left at most": {
			limit: requests(1000), parties: []Party{living("a", 0, Ask{Number: 1, Want: 5000})},
			wantLeases: lent(Lease{Instance: "a", Granted: 500, Answered: 1}), urgent: true,
		},
		"two get a quarter each": {
			limit: requests(1000), parties: []Party{living("a", 0, Ask{Number: 1, Want: 5000}), living("b", 0, Ask{Number: 1, Want: 5000})},
			wantLeases: lent(Lease{Instance: "a", Granted: 250, Answered: 1}, Lease{Instance: "b", Granted: 250, Answered: 1}), urgent: true,
		},
		"what is needed is lent beyond a share": {
			limit: requests(1000), parties: []Party{living("a", 0, Ask{Number: 1, Want: 5000}), living("b", 0, Ask{Number: 1, Want: 5000, Need: 900})},
			wantLeases: lent(Lease{Instance: "a", Granted: 100, Answered: 1}, Lease{Instance: "b", Granted: 900, Answered: 1}), urgent: true,
		},
		"what is needed is met in one order for all accounts, that of the instances": {
			limit: requests(10), leases: lent(Lease{Instance: "a", Granted: 9, Answered: 1}),
			parties: []Party{
				living("a", 9, Ask{Granted: 9, Spent: 9, Number: 2, Want: 10, Need: 10}), living("b", 0, Ask{Number: 1, Want: 1, Need: 1}),
			},
			wantLeases: lent(Lease{Instance: "a", Granted: 10, Answered: 2}, Lease{Instance: "b", Answered: 1}), urgent: true,
		},
		"a wish is answered once, if only with nothing": {
			limit: requests(10), leases: lent(Lease{Instance: "a", Granted: 10, Answered: 1}),
			parties:    []Party{living("a", 0, Ask{Granted: 10, Spent: 8, Number: 2, Want: 30})},
			wantLeases: lent(Lease{Instance: "a", Granted: 10, Answered: 2}), urgent: true,
		},
		"a wish that was answered gets no more": {
			limit: requests(10), leases: lent(Lease{Instance: "a", Granted: 5, Answered: 2}),
			parties:    []Party{living("a", 0, Ask{Granted: 5, Spent: 5, Number: 2, Want: 30})},
			wantLeases: lent(Lease{Instance: "a", Granted: 5, Answered: 2}),
		},
		"a need that was not met is met as soon as there is something": {
			limit: requests(10), wanted: true,
			leases: lent(Lease{Instance: "a", Granted: 6}, Lease{Instance: "b", Granted: 4, Answered: 3}),
			parties: []Party{
				living("a", 2, Ask{Granted: 6, Returned: 4}), living("b", 4, Ask{Granted: 4, Spent: 4, Number: 3, Want: 6, Need: 5}),
			},
			wantLeases: lent(Lease{Instance: "a", Granted: 6, Returned: 4}, Lease{Instance: "b", Granted: 6, Answered: 3}), urgent: true,
		},
		"what is out and not used is wanted when somebody waits": {
			limit: requests(10), leases: lent(Lease{Instance: "a", Granted: 10}),
			parties:    []Party{living("a", 2), living("b", 0, Ask{Number: 1, Want: 1, Need: 1})},
			wantWanted: true, wantLeases: lent(Lease{Instance: "a", Granted: 10}, Lease{Instance: "b", Answered: 1}), urgent: true,
		},
		"nothing is wanted of those that have used everything": {
			limit: requests(10), leases: lent(Lease{Instance: "a", Granted: 10}),
			parties:    []Party{living("a", 10), living("b", 0, Ask{Number: 1, Want: 1, Need: 1})},
			wantLeases: lent(Lease{Instance: "a", Granted: 10}, Lease{Instance: "b", Answered: 1}), urgent: true,
		},
		"nothing is wanted for a need that all of it would not meet": {
			limit: requests(10), leases: lent(Lease{Instance: "a", Granted: 10}),
			parties:    []Party{living("a", 2), living("b", 0, Ask{Number: 1, Want: 20, Need: 20})},
			wantLeases: lent(Lease{Instance: "a", Granted: 10}, Lease{Instance: "b", Answered: 1}), urgent: true,
		},
		"what is wanted once stays so until something is left": {
			limit: requests(10), wanted: true, leases: lent(Lease{Instance: "a", Granted: 10}), parties: []Party{living("a", 10)},
			wantWanted: true, wantLeases: lent(Lease{Instance: "a", Granted: 10}),
		},
		"nothing is wanted any more when something is left": {
			limit: requests(10), wanted: true, leases: lent(Lease{Instance: "a", Granted: 10}),
			parties:    []Party{living("a", 4, Ask{Granted: 10, Returned: 6})},
			wantLeases: lent(Lease{Instance: "a", Granted: 10, Returned: 6}),
		},
		"while somebody waits for others nobody gets more than it needs": {
			limit: requests(100), leases: lent(Lease{Instance: "a", Granted: 90}, Lease{Instance: "b", Granted: 5}),
			parties: []Party{
				living("a", 0), living("b", 5, Ask{Granted: 5, Spent: 5, Number: 1, Want: 60}), living("c", 0, Ask{Number: 1, Want: 50, Need: 50}),
			},
			wantWanted: true, urgent: true,
			wantLeases: lent(Lease{Instance: "a", Granted: 90}, Lease{Instance: "b", Granted: 5, Answered: 1}, Lease{Instance: "c", Answered: 1}),
		},
		"the rest goes to one proxy when nobody else has any": {
			limit: requests(100), leases: lent(Lease{Instance: "a", Granted: 70}),
			parties: []Party{
				living("a", 70), living("b", 0, Ask{Number: 1, Want: 400, Need: 50}), living("c", 0, Ask{Number: 1, Want: 400, Need: 50}),
			},
			wantLeases: lent(Lease{Instance: "a", Granted: 70}, Lease{Instance: "b", Granted: 30, Answered: 1, Rest: true}, Lease{Instance: "c", Answered: 1}),
			urgent:     true,
		},
		"the rest is not given again for the same wish": {
			limit: requests(100), leases: lent(Lease{Instance: "a", Granted: 70, Answered: 1, Rest: true}),
			parties:    []Party{living("a", 20, Ask{Granted: 70, Returned: 10, Number: 1, Want: 400, Need: 400})},
			wantLeases: lent(Lease{Instance: "a", Granted: 70, Returned: 10, Answered: 1, Rest: true}),
		},
		"a new wish is not for the rest any more": {
			limit: requests(100), leases: lent(Lease{Instance: "a", Granted: 100, Answered: 1, Rest: true}),
			parties:    []Party{living("a", 100, Ask{Granted: 100, Spent: 100, Number: 2, Want: 400, Need: 400})},
			wantLeases: lent(Lease{Instance: "a", Granted: 100, Answered: 2}), urgent: true,
		},
		"there is no rest while others have some, even if that is not enough": {
			limit: requests(100), leases: lent(Lease{Instance: "a", Granted: 70}),
			parties:    []Party{living("a", 60), living("b", 0, Ask{Number: 1, Want: 400, Need: 50})},
			wantLeases: lent(Lease{Instance: "a", Granted: 70}, Lease{Instance: "b", Answered: 1}), urgent: true,
		},
		"the rest is kept when attempts may not have less than they set aside": {
			limit: Term{Key: Key{Requests, midnight}, End: tomorrow, Amount: 100, Whole: true}, leases: lent(Lease{Instance: "a", Granted: 70}),
			parties:    []Party{living("a", 70), living("b", 0, Ask{Number: 1, Want: 400, Need: 50})},
			wantLeases: lent(Lease{Instance: "a", Granted: 70}, Lease{Instance: "b", Answered: 1}), urgent: true,
		},
		"what others have set aside may come back, and is waited for": {
			limit: requests(100), leases: lent(Lease{Instance: "a", Granted: 70}),
			parties:    []Party{living("a", 60), living("b", 0, Ask{Number: 1, Want: 400, Need: 35})},
			wantWanted: true, wantLeases: lent(Lease{Instance: "a", Granted: 70}, Lease{Instance: "b", Answered: 1}), urgent: true,
		},
		"a lower limit lends nothing and asks back": {
			limit: requests(500), leases: lent(Lease{Instance: "a", Granted: 800}),
			parties:    []Party{living("a", 300), living("b", 0, Ask{Number: 1, Want: 8, Need: 1})},
			wantWanted: true, wantLeases: lent(Lease{Instance: "a", Granted: 800}, Lease{Instance: "b", Answered: 1}), urgent: true,
		},
		"a proxy that has ended is lent nothing and wanted nothing of": {
			limit: requests(10), leases: lent(Lease{Instance: "a", Granted: 10}),
			parties:    []Party{ended("a", 0, Ask{Granted: 10, Number: 5, Want: 20, Need: 20}), living("b", 0, Ask{Number: 1, Want: 1, Need: 1})},
			wantLeases: lent(Lease{Instance: "a", Granted: 10}, Lease{Instance: "b", Answered: 1}), urgent: true,
		},
		"whoever is gone without a word is charged all that it had": {
			limit: requests(10), closed: 1, leases: lent(Lease{Instance: "a", Granted: 8, Returned: 2}), parties: []Party{final("a", 3)},
			wantClosed: 7,
		},
		"the last word gives back what was not used": {
			limit: requests(10), leases: lent(Lease{Instance: "a", Granted: 8}), parties: []Party{final("a", 3, Ask{Granted: 8, Returned: 5})},
			wantClosed: 3,
		},
		"what was used beyond the lease is charged with it": {
			limit: requests(10), leases: lent(Lease{Instance: "a", Granted: 8}), parties: []Party{final("a", 11)},
			wantClosed: 11,
		},
		"whoever is gone and never had a lease is charged what it used": {
			limit: requests(10), closed: 2, leases: lent(Lease{Instance: "b", Granted: 1}), parties: []Party{final("a", 3)},
			wantClosed: 5, wantLeases: lent(Lease{Instance: "b", Granted: 1}),
		},
		"a lease of somebody unknown stays": {
			limit: requests(10), leases: lent(Lease{Instance: "a", Granted: 9}, Lease{Instance: "c", Granted: 1}),
			parties:    []Party{living("b", 0, Ask{Number: 1, Want: 2, Need: 1})},
			wantLeases: lent(Lease{Instance: "a", Granted: 9}, Lease{Instance: "b", Answered: 1}, Lease{Instance: "c", Granted: 1}), urgent: true,
		},
		"what a proxy used without a lease is not lent again": {
			limit: requests(10), leases: lent(Lease{Instance: "a", Granted: 1}),
			parties:    []Party{living("a", 7), living("b", 2, Ask{Spent: 2, Number: 1, Want: 50, Need: 3})},
			wantLeases: lent(Lease{Instance: "a", Granted: 1}, Lease{Instance: "b", Granted: 3, Answered: 1}), urgent: true,
		},
		"what was used beyond a lease is granted, but not lent": {
			limit: requests(100), leases: lent(Lease{Instance: "a", Granted: 20, Returned: 5}),
			parties:    []Party{living("a", 40, Ask{Granted: 20, Returned: 5, Spent: 40, Number: 1, Want: 50})},
			wantLeases: lent(Lease{Instance: "a", Granted: 50, Returned: 5, Answered: 1}), urgent: true,
		},
		"a ledger that was set back hears what was granted": {
			limit: requests(100), leases: lent(Lease{Instance: "a", Granted: 20}),
			parties:    []Party{living("a", 40, Ask{Granted: 90, Returned: 10}), living("b", 0, Ask{Number: 1, Want: 50, Need: 1})},
			wantLeases: lent(Lease{Instance: "a", Granted: 90, Returned: 10}, Lease{Instance: "b", Granted: 10, Answered: 1}), urgent: true,
		},
		"a word that comes late takes nothing back": {
			limit: requests(100), leases: lent(Lease{Instance: "a", Granted: 60, Returned: 20, Answered: 4}),
			parties:    []Party{living("a", 0, Ask{Granted: 30, Returned: 5, Number: 3, Want: 60, Need: 50})},
			wantLeases: lent(Lease{Instance: "a", Granted: 60, Returned: 20, Answered: 4}),
		},
		"nobody can give back more than it was lent": {
			limit: requests(100), leases: lent(Lease{Instance: "a", Granted: 60}), parties: []Party{living("a", 0, Ask{Granted: 60, Returned: 70})},
			wantLeases: lent(Lease{Instance: "a", Granted: 60, Returned: 60}),
		},
		"an ask of another period says nothing": {
			limit: requests(100), leases: lent(Lease{Instance: "a", Granted: 60}),
			parties:    []Party{{Instance: "a", Ask: &Ask{Key: Key{Requests, tomorrow}, Number: 1, Want: 5, Returned: 3}}},
			wantLeases: lent(Lease{Instance: "a", Granted: 60}),
		},
		"a minute after its end a period is closed and everything charged": {
			limit: requests(100), closed: 1, wanted: true, leases: lent(Lease{Instance: "a", Granted: 60, Returned: 5}, Lease{Instance: "b", Granted: 3}),
			parties: []Party{living("a", 0), living("b", 7, Ask{Number: 3, Want: 9, Need: 9})}, now: tomorrow.Add(skew + time.Second),
			wantClosed: 1 + 55 + 7,
		},
		"until then it is lent of for clocks that are behind": {
			limit: requests(100), leases: lent(Lease{Instance: "a", Granted: 60}),
			parties: []Party{living("a", 60, Ask{Granted: 60, Spent: 60, Number: 1, Want: 61, Need: 61})}, now: tomorrow.Add(skew),
			wantLeases: lent(Lease{Instance: "a", Granted: 61, Answered: 1}), urgent: true,
		},
		"amounts at the end of numbers do not wrap": {
			limit: requests(math.MaxInt64), leases: lent(Lease{Instance: "a", Granted: math.MaxInt64}),
			parties: []Party{
				living("a", math.MaxInt64), living("b", math.MaxInt64, Ask{Spent: math.MaxInt64, Number: 1, Want: math.MaxInt64, Need: math.MaxInt64}),
			},
			wantLeases: lent(Lease{Instance: "a", Granted: math.MaxInt64}, Lease{Instance: "b", Answered: 1}), urgent: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			stored := Ledger{Accounts: []Account{{Key: tc.limit.Key, End: tomorrow, Closed: tc.closed, Wanted: tc.wanted, Leases: tc.leases}}}
			now := tc.now
			if now.IsZero() {
				now = noon
			}
			d := stored.Decide([]Term{tc.limit}, func(Key) []Party { return tc.parties }, now)
			want := Ledger{Accounts: []Account{{
				Key: tc.limit.Key, End: tomorrow, Closed: tc.wantClosed, Wanted: tc.wantWanted, Leases: tc.wantLeases,
			}}}
			if diff := cmp.Diff(want, d.Ledger); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if d.Urgent != tc.urgent {
				t.Errorf("urgent is %v, want %v", d.Urgent, tc.urgent)
			}
		})
	}
}

func TestAccountsAreOpenedAndKept(t *testing.T) {
	wish := Ask{Number: 1, Want: 1, Need: 1}
	by := func(start time.Time) Key { return Key{Requests, start} }
	account := func(start, end time.Time, closed int64) Account {
		return Account{Key: by(start), End: end, Closed: closed}
	}
	hour := func(n int) time.Time { return midnight.Add(time.Duration(n) * time.Hour) }
	hours := func(from, to int) []Account {
		var accounts []Account
		for n := from; n < to; n++ {
			accounts = append(accounts, account(hour(n), hour(n+1), int64(n)))
		}
		return accounts
	}
	lends := func(start, end time.Time) Account {
		return Account{Key: by(start), End: end, Closed: 7, Leases: lent(Lease{Instance: "a", Granted: 1, Answered: 1})}
	}
	for name, tc := range map[string]struct {
		stored []Account
		terms  []Term
		asks   bool
		want   []Account
	}{
		"nothing is written of a limit that nobody uses": {terms: []Term{requests(10)}},
		"the first wish opens one, with what was used before": {
			terms: []Term{{Key: by(midnight), End: tomorrow, Amount: 10, Used: 7}}, asks: true, want: []Account{lends(midnight, tomorrow)},
		},
		"none is opened for a period that has ended": {
			terms: []Term{{Key: by(midnight), End: hour(12), Phase: Past, Amount: 10, Used: 7}}, asks: true,
		},
		"one is opened for the next period": {
			terms: []Term{{Key: by(hour(13)), End: hour(14), Phase: Next, Amount: 10, Used: 7}}, asks: true, want: []Account{lends(hour(13), hour(14))},
		},
		"another period is another account, and the one before stays": {
			stored: []Account{account(midnight, tomorrow, 3)}, terms: []Term{{Key: by(hour(12)), End: hour(13), Amount: 10, Used: 7}}, asks: true,
			want: []Account{account(midnight, tomorrow, 3), lends(hour(12), hour(13))},
		},
		"whoever comes back to a period finds what was used": {
			stored: []Account{account(midnight, tomorrow, 7), account(hour(11), hour(12), 4)},
			terms:  []Term{{Key: by(midnight), End: tomorrow, Amount: 10, Used: 1}}, asks: true,
			want: []Account{lends(midnight, tomorrow), account(hour(11), hour(12), 4)},
		},
		"of periods that are over the oldest goes when there are more than four": {
			stored: hours(7, 11), terms: []Term{{Key: by(hour(12)), End: hour(13), Amount: 10, Used: 7}}, asks: true,
			want: append(hours(8, 11), lends(hour(12), hour(13))),
		},
		"those that are over go before one that is not": {
			stored: append([]Account{account(midnight, tomorrow, 3)}, hours(8, 11)...),
			terms:  []Term{{Key: by(hour(12)), End: hour(13), Amount: 10, Used: 7}}, asks: true,
			want: append([]Account{account(midnight, tomorrow, 3)}, append(hours(9, 11), lends(hour(12), hour(13)))...),
		},
		"one of a limit that was changed too often goes although it is not over": {
			stored: []Account{
				account(midnight, tomorrow, 1), account(hour(1), tomorrow, 2), account(hour(2), tomorrow, 3), account(hour(3), tomorrow, 4),
			},
			terms: []Term{{Key: by(hour(12)), End: hour(13), Amount: 10, Used: 7}}, asks: true,
			want: []Account{
				account(hour(1), tomorrow, 2), account(hour(2), tomorrow, 3), account(hour(3), tomorrow, 4), lends(hour(12), hour(13)),
			},
		},
		"a period can get another end": {
			stored: []Account{account(midnight, hour(1), 2)}, terms: []Term{requests(10)}, want: []Account{account(midnight, tomorrow, 2)},
		},
	} {
		t.Run(name, func(t *testing.T) {
			parties := func(key Key) []Party {
				if !tc.asks || key.compare(tc.terms[0].Key) != 0 {
					return nil
				}
				p := living("a", 0, wish)
				p.Ask.Key = key
				return []Party{p}
			}
			d := Ledger{Accounts: tc.stored}.Decide(tc.terms, parties, noon)
			if diff := cmp.Diff(tc.want, d.Ledger.Accounts); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestTheOperatorPaysForItsOwnAttempts(t *testing.T) {
	tokens := func(amount, debit int64) Term {
		t := daily(Tokens, amount)
		t.Debit = debit
		return t
	}
	attempts := func(amount, debit int64) Term {
		t := requests(amount)
		t.Debit = debit
		return t
	}
	for name, tc := range map[string]struct {
		terms   []Term
		debited bool
		closed  []int64
	}{
		"of every limit that the attempt counts for": {terms: []Term{attempts(1, 1), tokens(100, 20)}, debited: true, closed: []int64{1, 20}},
		"of none when one has not enough":            {terms: []Term{attempts(1, 1), tokens(10, 20)}, closed: []int64{0, 0}},
		"and of none when it makes none":             {terms: []Term{attempts(1, 0), tokens(10, 0)}},
	} {
		t.Run(name, func(t *testing.T) {
			d := Ledger{}.Decide(tc.terms, func(Key) []Party { return nil }, noon)
			var closed []int64
			for _, a := range d.Ledger.Accounts {
				closed = append(closed, a.Closed)
			}
			if diff := cmp.Diff(tc.closed, closed); diff != "" || d.Debited != tc.debited {
				t.Errorf("debited is %v, and the accounts (-want +got):\n%s", d.Debited, diff)
			}
		})
	}
	t.Run("and takes nothing that is lent", func(t *testing.T) {
		stored := Ledger{Accounts: []Account{{Key: Key{Requests, midnight}, End: tomorrow, Leases: lent(Lease{Instance: "a", Granted: 9})}}}
		if d := stored.Decide([]Term{attempts(10, 2)}, func(Key) []Party { return nil }, noon); d.Debited {
			t.Errorf("debited: %+v", d.Ledger)
		}
	})
}

func TestTerms(t *testing.T) {
	yesterday := midnight.AddDate(0, 0, -1)
	after := tomorrow.AddDate(0, 0, 1)
	past := Term{Key: Key{Tokens, yesterday}, End: midnight, Phase: Past, Amount: 5}
	current := Term{Key: Key{Tokens, midnight}, End: tomorrow, Phase: Current, Amount: 5}
	next := Term{Key: Key{Tokens, tomorrow}, End: after, Phase: Next, Amount: 5}
	for name, tc := range map[string]struct {
		now  time.Time
		want []Term
	}{
		"in the middle there is one":                               {noon, []Term{current}},
		"at first the one before is kept for clocks that are late": {midnight.Add(skew - 1), []Term{past, current}},
		"then it is not": {midnight.Add(skew), []Term{current}},
		"the next begins early for clocks that are ahead": {tomorrow.Add(-Early - skew), []Term{current, next}},
		"and not before": {tomorrow.Add(-Early - skew - 1), []Term{current}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, Terms(Tokens, 5, yesterday, midnight, tomorrow, after, tc.now)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestVerdict(t *testing.T) {
	for name, tc := range map[string]struct {
		limit     Limit
		parties   []Party
		want      Verdict
		exhausted bool
	}{
		"what is lent and not used is out":                     {Requests, []Party{living("a", 2)}, Verdict{Used: 3, Out: 6, Left: 1}, false},
		"an attempt counts from when it is begun":              {Requests, []Party{living("a", 2, Ask{Granted: 8, Spent: 8, Number: 1, Want: 8})}, Verdict{Used: 9, Left: 1}, false},
		"tokens set aside are not used yet":                    {Tokens, []Party{living("a", 2, Ask{Granted: 8, Spent: 8, Number: 1, Want: 8})}, Verdict{Used: 3, Out: 6, Left: 1}, false},
		"tokens are used when they are reported":               {Tokens, []Party{living("a", 9, Ask{Granted: 8, Spent: 9, Number: 1, Want: 9})}, Verdict{Used: 10}, true},
		"what somebody has that is gone nobody can use":        {Requests, []Party{ended("a", 2)}, Verdict{Used: 9, Left: 1}, false},
		"more used than there was leaves nothing, and no less": {Tokens, []Party{living("a", 30)}, Verdict{Used: 31}, true},
	} {
		t.Run(name, func(t *testing.T) {
			key := Key{tc.limit, midnight}
			for i := range tc.parties {
				if tc.parties[i].Ask != nil {
					tc.parties[i].Ask.Key = key
				}
			}
			stored := Ledger{Accounts: []Account{{Key: key, End: tomorrow, Closed: 1, Leases: lent(Lease{Instance: "a", Granted: 8, Answered: 1})}}}
			d := stored.Decide([]Term{daily(tc.limit, 10)}, func(Key) []Party { return tc.parties }, noon)
			tc.want.Key, tc.want.End, tc.want.Amount = key, tomorrow, 10
			if diff := cmp.Diff([]Verdict{tc.want}, d.Verdicts); diff != "" {
				t.Fatalf("(-want +got):\n%s", diff)
			}
			if got := d.Verdicts[0].Exhausted(); got != tc.exhausted {
				t.Errorf("exhausted is %v", got)
			}
		})
	}
}

func TestMergeKnowsTheNewerCopy(t *testing.T) {
	older := Grant{Granted: 5, Answered: 1, Wanted: true}
	newer := Grant{Granted: 8, Returned: 1, Answered: 1, Rest: true}
	if got := older.Merge(newer); got != newer {
		t.Errorf("in order: %+v", got)
	}
	if got := newer.Merge(older); got != newer {
		t.Errorf("the other way round: %+v", got)
	}
	if got := newer.Merge(newer); got != newer {
		t.Errorf("twice: %+v", got)
	}
}

func TestNothingIsAskedBackOfALeaseThatIsEmpty(t *testing.T) {
	a := Account{Key: requests(1).Key, Wanted: true}
	if g := a.Grant(&Lease{Granted: 5, Returned: 5}); g.Wanted {
		t.Errorf("%+v", g)
	}
	if g := a.Grant(&Lease{Granted: 5, Returned: 4}); !g.Wanted {
		t.Errorf("%+v", g)
	}
}

func TestLimitNames(t *testing.T) {
	for l := Requests; l <= Budget; l++ {
		if got, ok := ParseLimit(l.String()); !ok || got != l {
			t.Errorf("%v reads %v, %v", l, got, ok)
		}
	}
	for _, word := range []string{"", "requests", "Rate"} {
		if l, ok := ParseLimit(word); ok {
			t.Errorf("%q reads %v", word, l)
		}
	}
	if got := Limit(9).String(); got != "" {
		t.Errorf("a limit that does not exist is called %q", got)
	}
}
