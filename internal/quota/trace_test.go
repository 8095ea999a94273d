// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package quota

import (
	"testing"
	"time"
)

// These are the stories by which drafts of the protocol were broken, as far as the pure part of it answers them.

// Two leaders decide on the same ledger: one writes, the other's write is refused for its version. Nothing that the
// loser decided was told to anybody, and what it decides next knows of the winner's.
func TestGrantsHaveOneCommitPoint(t *testing.T) {
	f := newFleet(t, requests(10), 2)
	a, b := f.proxies[0], f.proxies[1]
	a.use(9)
	f.ask(a)
	stale := f.stored.Decide([]Term{f.term}, f.parties, f.now)
	b.use(9)
	f.ask(b)
	f.decide()
	if sameLedger(stale.Ledger, f.stored) {
		t.Fatal("both leaders decide the same; the story is about two that do not")
	}
	f.decide()
	if committed := f.committed(); committed > 10 {
		t.Errorf("%d of 10 are out", committed)
	}
	must(t, a.Free() == 0 && b.Free() == 0, "nobody is told before it is stored")
}

// The leader dies between the ledger and the copy: the next one copies the same, and a copy that comes twice, late or
// in another order gives nothing more.
func TestACrashBetweenTheTwoWritesLosesNothing(t *testing.T) {
	f := newFleet(t, requests(100), 1)
	p := f.proxies[0]
	p.use(1)
	f.ask(p)
	f.decide()
	must(t, p.Free() == 0, "the copy was never written")
	f.decide() // the next leader
	f.copy(p)
	p.Grant(p.told)
	first := p.told
	must(t, p.Free() == 8, "the next leader copies it")
	p.use(8)
	p.use(1)
	f.round()
	free := p.Free()
	must(t, free > 0, "more is granted")
	p.Grant(first)
	p.Grant(p.told)
	p.Grant(first)
	must(t, p.Free() == free, "late and repeated copies give nothing")
}

// One busy proxy of a hundred must not be refused because ninety-nine idle ones hold grants, and a limit of ten is
// spread over a hundred.
func TestIdleGrantsDoNotStrand(t *testing.T) {
	for _, limit := range []int64{10, 99} {
		f := newFleet(t, requests(limit), 100)
		for _, p := range f.proxies {
			p.use(1)
			f.round()
			if f.committed() == limit {
				break
			}
		}
		f.report()
		held, used := f.committed(), f.used()
		busy := f.start()
		for range 10 * limit {
			busy.use(1)
			f.round()
			f.now = f.now.Add(200 * time.Millisecond)
		}
		must(t, held == limit && used < limit, "everything was lent, and not everything used")
		must(t, f.used() == limit, "what was idle is used in the end")
	}
}

// The proxy is dead as far as anybody can tell, and is not: it spends what it was lent, and the limit holds. What it
// says after it was charged changes nothing.
func TestAPartitionedProxySpendsItsGrant(t *testing.T) {
	f := newFleet(t, requests(100), 2)
	cut, other := f.proxies[0], f.proxies[1]
	cut.use(1)
	f.round()
	had := cut.Free()
	must(t, had > 0, "it has something")
	cut.state = Final
	f.decide()
	for range 1000 {
		cut.use(1)
		other.use(1)
		f.now = f.now.Add(time.Second)
		cut.Ask(f.now, pace)
		f.round()
	}
	must(t, f.used() == 100 && cut.used == had, "both have used all there was, and no more")
}

// A clock that is three seconds late goes on in the old period; the operator's opens the new one on time. Each attempt
// belongs to the period whose grant admitted it, when it is settled, too.
func TestPeriodsAreKeptApartByTheirStart(t *testing.T) {
	before := NewPurse(Key{Tokens, midnight}, 0)
	after := NewPurse(Key{Tokens, tomorrow}, 0)
	before.Grant(Grant{Granted: 100})
	before.Take(100)
	before.Take(1)
	now := tomorrow.Add(3 * time.Second)
	ask, _ := before.Ask(now, pace)
	stored := Ledger{Accounts: []Account{{Key: before.Key(), End: tomorrow, Leases: lent(Lease{Instance: "a", Granted: 100})}}}
	terms := Terms(Tokens, 1000, midnight, tomorrow, tomorrow.AddDate(0, 0, 1), tomorrow.AddDate(0, 0, 2), now)
	parties := func(Key) []Party { return []Party{{Instance: "a", Ask: &ask}} }
	d := stored.Decide(terms, parties, now)
	must(t, len(d.Ledger.Accounts) == 1 && d.Ledger.Accounts[0].Leases[0].Granted > 100, "late clocks are lent of the old period")
	d = d.Ledger.Decide(terms, parties, tomorrow.Add(2*time.Minute))
	must(t, d.Ledger.Accounts[0].Leases == nil && d.Ledger.Accounts[0].Closed > 100, "then it is closed")
	before.Put(60)
	must(t, before.Free() == 60 && after.Free() == 0, "what is settled later stays in its period")
}

// At midnight nobody has to ask: what is needed first was lent before, and is still there.
func TestMidnightFindsTheFirstGrantsLent(t *testing.T) {
	f := newFleet(t, Term{Key: Key{Requests, tomorrow}, End: tomorrow.AddDate(0, 0, 1), Phase: Next, Amount: 1000}, 10)
	f.now = tomorrow.Add(-4 * time.Minute)
	for _, p := range f.proxies {
		p.Expect(30, f.now)
	}
	for range 250 {
		f.round()
		f.now = f.now.Add(time.Second)
	}
	f.term.Phase = Current
	for _, p := range f.proxies {
		must(t, p.use(1), "the first of the day is admitted at once")
	}
	must(t, f.ledgers == 1 && f.asks == 10 && f.copies == 10, "and each has asked once")
}

// 1000 are lowered to 500 when 800 are granted: nothing more is granted, what is idle is asked back, and never is more
// used than what was granted then.
func TestALowerLimitHoldsAtOnce(t *testing.T) {
	f := newFleet(t, requests(1000), 4)
	for f.committed() < 800 {
		for _, p := range f.proxies {
			for p.use(1) {
			}
		}
		f.round()
		f.now = f.now.Add(time.Second)
	}
	granted, used := f.committed(), f.used()
	f.term.Amount = 500
	for range 200 {
		f.report()
		f.round()
		f.now = f.now.Add(time.Second)
		must(t, f.committed() <= granted, "nothing more is granted")
	}
	must(t, f.committed() == used, "what was not used has come back")
	f.term.Amount = 1000
	for range 500 {
		for _, p := range f.proxies {
			p.use(1)
		}
		f.round()
		f.now = f.now.Add(time.Second)
	}
	must(t, f.used() == 1000, "a limit that is raised again is used up")
}

// A dollar, and attempts that set sixteen cents aside and cost two, over five proxies: none of them may starve because
// the rest is in five parts, and what is set aside comes back.
func TestASmallBudgetIsNotStarvedByReservations(t *testing.T) {
	const dollar, reserved, cost = 1_000_000_000, 160_000_000, 20_000_000
	f := newFleet(t, daily(Budget, dollar), 5)
	under := map[*proxy][]int64{}
	admitted := 0
	for range 600 {
		for _, p := range f.proxies {
			if taken, ok, _ := p.Take(reserved); ok {
				admitted++
				under[p] = append(under[p], taken)
			}
			if len(under[p]) > 2 || f.now.Second()%7 == 0 && len(under[p]) > 0 {
				p.Put(under[p][0] - cost)
				p.used += cost
				under[p] = under[p][1:]
			}
		}
		f.report()
		f.round()
		f.now = f.now.Add(time.Second)
	}
	if admitted < dollar/cost-5 || admitted > dollar/cost+5*3 {
		t.Errorf("%d attempts were admitted, want about %d", admitted, dollar/cost)
	}
}

// Where an attempt may not have less than it sets aside, no order of events goes above the amount; what is not enough
// for one is left.
func TestReservingForTheWorstNeverGoesAbove(t *testing.T) {
	f := newFleet(t, daily(Budget, 1000), 5)
	f.term.Whole = true
	for range 300 {
		for _, p := range f.proxies {
			if taken, ok, _ := p.Take(160); ok {
				must(t, taken == 160, "less is never taken")
				p.used += taken
			}
		}
		f.report()
		f.round()
		f.now = f.now.Add(time.Second)
	}
	must(t, f.used() == 6*160, "as many as go in are admitted, in whichever parts it was lent")
}

// A hundred proxies and a million requests: halving alone would take two thousand grants, and hundreds of ledgers. All
// asks of a moment ride one ledger, and a grant lasts.
func TestAMillionOverAHundredTakesFewWrites(t *testing.T) {
	f := newFleet(t, requests(1_000_000), 100)
	for f.used() < 1_000_000 {
		for _, p := range f.proxies {
			for range 20 {
				p.use(1)
			}
		}
		f.now = f.now.Add(time.Second)
		f.round()
		if f.now.Second()%5 == 0 {
			f.report()
		}
	}
	minutes := f.now.Sub(noon).Minutes()
	t.Logf("%d asks, %d ledgers and %d copies in %.1f minutes", f.asks, f.ledgers, f.copies, minutes)
	must(t, f.ledgers <= 40 && f.asks <= 40*100 && f.copies <= 40*100, "few writes")
}

// A thousand requests over five proxies that are hammered from the first moment: the limit is used up within a dozen
// rounds, or clients would wait for grants more than they are served.
func TestAHammeredLimitIsLentInADozenRounds(t *testing.T) {
	f := newFleet(t, requests(1000), 5)
	rounds := 0
	for f.used() < 1000 {
		for _, p := range f.proxies {
			for p.use(1) {
			}
		}
		f.round()
		f.now = f.now.Add(60 * time.Millisecond)
		if rounds++; rounds > 13 {
			t.Fatalf("%d are used after %d rounds", f.used(), rounds-1)
		}
	}
}

// A proxy that ends gives back what is idle at once, lets the attempts under way go on, and says its last word when
// they have ended.
func TestAProxyThatEndsLosesNoStreamAndStrandsNothing(t *testing.T) {
	f := newFleet(t, daily(Tokens, 10_000), 2)
	leaving, other := f.proxies[0], f.proxies[1]
	leaving.Take(1000)
	f.round()
	stream, ok, _ := leaving.Take(1000)
	must(t, ok, "a stream is under way")
	idle := leaving.Free()
	must(t, idle > 0, "and something is idle")
	leaving.Retire()
	f.round()
	f.round()
	must(t, f.committed() == stream, "all but the stream's is back at once")
	leaving.Put(stream - 300)
	leaving.used = 300
	f.round()
	f.report()
	leaving.state = Ended
	f.decide()
	leaving.state = Final
	f.decide()
	must(t, f.committed() == 300 && leaving.closed, "what it used is charged, and nothing else")
	for range 200 {
		other.use(100)
		f.round()
		f.now = f.now.Add(time.Second)
	}
	must(t, f.used() == 10_000, "nothing is stranded")
}
