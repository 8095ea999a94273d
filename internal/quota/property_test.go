// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package quota

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// storm has everything happen to a fleet in any order: what is written is lost, comes late and comes again; the
// operator reads what was said before; proxies are started, cut off and buried while they go on; the limit moves.
type storm struct {
	*fleet
	*rand.Rand
	// bound is what the limit allows: what it is, or what was granted when it was lowered.
	bound int64
	// asks are all that each proxy has ever said.
	asked map[*proxy][]*Ask
}

func newStorm(t *testing.T, seed uint64) *storm {
	s := &storm{Rand: rand.New(rand.NewPCG(seed, 14)), asked: map[*proxy][]*Ask{}}
	s.bound = []int64{1, 7, 10, 100, 1000, 1_000_000}[s.IntN(6)]
	s.fleet = newFleet(t, requests(s.bound), 1+s.IntN(12))
	return s
}

func (s *storm) any() *proxy { return s.proxies[s.IntN(len(s.proxies))] }

// step is one thing that happens.
func (s *storm) step() {
	p := s.any()
	switch s.IntN(16) {
	case 0, 1, 2, 3:
		for range 1 + s.IntN(4) {
			p.use(1)
		}
	case 4:
		if p.used > 0 && s.IntN(4) == 0 { // nothing was sent
			p.used--
			p.Put(1)
			p.reported = min(p.reported, p.used)
		}
	case 5, 6, 7:
		s.ask(p)
		s.asked[p] = append(s.asked[p], p.said)
	case 8, 9:
		s.look()
	case 10:
		s.copy(p)
	case 11, 12:
		if len(p.seen) > 0 {
			p.Grant(p.seen[s.IntN(len(p.seen))])
		}
	case 13:
		s.now = s.now.Add(time.Duration(s.IntN(3000)) * time.Millisecond)
	case 14:
		p.reported = s.Int64N(p.used + 1)
	case 15:
		s.rarely(p)
	}
}

func (s *storm) rarely(p *proxy) {
	switch s.IntN(12) {
	case 0:
		s.start()
	case 1: // it goes on all the same
		p.state = Ended
	case 2:
		if p.state == Ended {
			p.state = Final
		}
	case 3:
		p.Retire()
	case 4:
		s.now = s.now.Add(time.Duration(s.IntN(60)) * time.Second)
	case 5:
		s.term.Amount = 1 + s.Int64N(2*s.term.Amount)
		s.bound = max(s.term.Amount, s.committed())
	}
}

// look is one of the operator: at the newest that was said or at something older, with a write that may be lost.
func (s *storm) look() {
	newest := map[*proxy]*Ask{}
	for _, p := range s.proxies {
		newest[p] = p.said
		if before := s.asked[p]; p.state != Final && len(before) > 0 && s.IntN(3) == 0 {
			p.said = before[s.IntN(len(before))]
		}
	}
	terms := []Term{s.term}
	if s.IntN(20) == 0 {
		terms = nil // the limit was taken out of the spec for a moment
	}
	d := s.stored.Decide(terms, s.parties, s.now)
	if s.IntN(4) > 0 {
		s.stored = d.Ledger
		for _, p := range s.proxies {
			p.closed = p.closed || p.state == Final
		}
		again := s.stored.Decide(terms, s.parties, s.now)
		if !sameLedger(s.stored, again.Ledger) || again.Urgent {
			s.t.Fatalf("deciding again changes something:\n%+v\n%+v", s.stored, again)
		}
	}
	for p, said := range newest {
		p.said = said
	}
}

// holds fails unless the limit does.
func (s *storm) holds() {
	s.t.Helper()
	if used, committed := s.used(), s.committed(); used > committed || committed > s.bound {
		s.t.Fatalf("%d used, %d committed, %d allowed\n%+v", used, committed, s.bound, s.stored)
	}
}

func TestNoOrderOfEventsPassesALimit(t *testing.T) {
	for seed := range uint64(200) {
		s := newStorm(t, seed)
		for range 1000 {
			s.step()
			s.holds()
		}
	}
}

// usedUp says that everything is granted, and that nobody who lives has anything left.
func (s *storm) usedUp() bool {
	return s.committed() >= s.term.Amount && !slices.ContainsFunc(s.proxies, func(p *proxy) bool { return p.state == Living && p.Free() > 0 })
}

// What is left when the storm is over is used up by those that live, to the last.
func TestWhateverHappenedBeforeALimitIsUsedUpInTheEnd(t *testing.T) {
	for seed := range uint64(60) {
		s := newStorm(t, seed)
		s.bound = min(s.bound, 1000)
		s.term.Amount = s.bound
		for range 500 {
			s.step()
		}
		s.start()
		for _, p := range s.proxies {
			if p.state == Ended {
				p.state = Final
			}
		}
		for left := 3000; left > 0 && !s.usedUp(); left-- {
			s.round()
			s.report()
			for _, p := range s.proxies {
				if p.state == Living && !p.retired {
					p.use(1)
				}
			}
			s.now = s.now.Add(500 * time.Millisecond)
			s.holds()
		}
		if !s.usedUp() {
			t.Fatalf("seed %d: of %d only %d are committed, or somebody has something left\n%+v", seed, s.term.Amount, s.committed(), s.stored)
		}
		s.rest()
	}
}

// crumbs is a fleet whose attempts need more than chance leaves in any one place.
func crumbs(t *testing.T, r *rand.Rand, whole bool) *fleet {
	term := daily(Tokens, 500+r.Int64N(5000))
	term.Whole = whole
	return newFleet(t, term, 1+r.IntN(8))
}

// spend has every proxy try an attempt that sets reserved aside and uses a part of it.
func (f *fleet) spend(r *rand.Rand, share float64) {
	for _, p := range f.proxies {
		reserved := 100 + r.Int64N(400)
		taken, ok, _ := p.Take(reserved)
		if !ok {
			continue
		}
		actual := min(int64(share*float64(reserved)), taken)
		p.used += actual
		p.Put(taken - actual)
	}
}

func TestALimitIsUsedUpToItsLastCrumb(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 15))
		f := crumbs(t, r, false)
		rounds := 0
		for ; f.used() < f.term.Amount && rounds < 5000; rounds++ {
			f.spend(r, 1)
			f.round()
			f.report()
			f.now = f.now.Add(200 * time.Millisecond)
		}
		if f.used() != f.term.Amount {
			t.Fatalf("seed %d: of %d only %d are used\n%+v", seed, f.term.Amount, f.used(), f.stored)
		}
		f.rest()
		if !f.verdict.Exhausted() {
			t.Errorf("seed %d: it is used up, and the verdict is %+v", seed, f.verdict)
		}
	}
}

// rest lets time go by without an attempt, and fails unless everything comes to rest.
func (f *fleet) rest() {
	f.t.Helper()
	var last time.Time
	begin := f.now
	for range 200 {
		f.now = f.now.Add(time.Second)
		f.report()
		if f.round() {
			last = f.now
		}
	}
	if last.Sub(begin) > time.Minute+pace.Idle {
		f.t.Fatalf("something was still written after %v without an attempt: %+v", last.Sub(begin), f.stored)
	}
}
