// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package quota

import (
	"container/heap"
	"math/rand/v2"
	"testing"
	"time"
)

// simulation is a fleet in which everything takes its time: a write takes a hop to whoever watches, requests wait for
// a quarter of a second, proxies and operator look every few seconds and whenever there is reason to.
type simulation struct {
	*fleet
	rand    *rand.Rand
	events  events
	hop     time.Duration
	asking  map[*proxy]bool
	waiting map[*proxy][]*waiter
	looking bool
	// filled is when the limit was used up.
	filled time.Duration
	served int
}

type waiter struct{ gone bool }

// events are by time, and those of the same time by age.
type events []event

type event struct {
	at  time.Time
	age int
	do  func()
}

func (e events) Len() int      { return len(e) }
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)   { *e = append(*e, x.(event)) }
func (e events) Less(i, j int) bool {
	return e[i].at.Before(e[j].at) || e[i].at.Equal(e[j].at) && e[i].age < e[j].age
}

func (e *events) Pop() any {
	last := (*e)[len(*e)-1]
	*e = (*e)[:len(*e)-1]
	return last
}

func (s *simulation) after(d time.Duration, do func()) {
	s.served++
	heap.Push(&s.events, event{s.now.Add(d), s.served, do})
}

// often does something again and again, the first time by chance.
func (s *simulation) often(pause func() time.Duration, do func()) {
	var again func()
	again = func() {
		do()
		s.after(pause(), again)
	}
	s.after(time.Duration(s.rand.Float64()*float64(pause())), again)
}

func every(d time.Duration) func() time.Duration { return func() time.Duration { return d } }

// soon has a proxy say what it has to say.
func (s *simulation) soon(p *proxy) {
	if s.asking[p] {
		return
	}
	s.asking[p] = true
	s.after(5*time.Millisecond, func() {
		s.asking[p] = false
		s.says(p)
	})
}

func (s *simulation) says(p *proxy) {
	if s.ask(p) && (p.said.Presses() || p.said.Number == 0) {
		s.after(s.hop, s.look)
	}
}

// look has the operator decide, and copy what it has stored.
func (s *simulation) look() {
	if s.looking {
		return
	}
	s.looking = true
	s.after(5*time.Millisecond, func() {
		s.looking = false
		s.decide()
		s.after(s.hop, func() {
			for _, p := range s.proxies {
				if s.copy(p) {
					told := p.told
					s.after(s.hop, func() { s.told(p, told) })
				}
			}
		})
	})
}

func (s *simulation) told(p *proxy, g Grant) {
	if p.Grant(g) {
		s.soon(p)
	}
	waiting := s.waiting[p]
	s.waiting[p] = nil
	for _, w := range waiting {
		s.try(p, w)
	}
}

func (s *simulation) try(p *proxy, w *waiter) {
	if w.gone {
		return
	}
	taken, ok, ask := p.Take(1)
	if ask {
		s.soon(p)
	}
	if w.gone = ok; !ok {
		s.waiting[p] = append(s.waiting[p], w)
	}
	p.used += taken
}

func (s *simulation) request(p *proxy) {
	w := &waiter{}
	if s.try(p, w); !w.gone {
		s.after(250*time.Millisecond, func() { w.gone = true })
	}
}

// run has each proxy get a request once in a while, for so long.
func (s *simulation) run(once, length time.Duration) {
	for _, p := range s.proxies {
		s.often(func() time.Duration { return time.Duration(s.rand.ExpFloat64() * float64(once)) }, func() { s.request(p) })
		s.often(every(5*time.Second), func() {
			p.reported = p.used
			s.says(p)
		})
	}
	s.often(every(10*time.Second), s.look)
	for end := s.now.Add(length); s.events[0].at.Before(end); {
		e := heap.Pop(&s.events).(event)
		s.now = e.at
		e.do()
		if s.filled == 0 && s.used() == s.term.Amount {
			s.filled = s.now.Sub(noon)
		}
		if s.committed() > s.term.Amount || s.used() > s.committed() {
			s.t.Fatalf("%d used and %d committed of %d", s.used(), s.committed(), s.term.Amount)
		}
	}
}

// What a fleet writes is bounded by what happens to the limit, not by how many try.
func TestWritesOfAFleet(t *testing.T) {
	const quick, slow = 15 * time.Millisecond, 400 * time.Millisecond
	for name, tc := range map[string]struct {
		limit   int64
		proxies int
		// once is how often each gets a request, hop how long a write takes, length how long it goes on.
		once, hop, length time.Duration
		// filled is when the limit must be used up, 0 if it need not; asks is how often each proxy may ask,
		// ledgers and copies are as many as may be written, the latter for each proxy.
		filled                time.Duration
		asks, ledgers, copies int
	}{
		"a limit that is hammered by a few":                {1000, 5, 5 * time.Millisecond, quick, time.Minute, 2 * time.Second, 14, 35, 14},
		"a small limit that is hammered by many":           {10, 100, 100 * time.Millisecond, quick, time.Minute, time.Second, 2, 50, 2},
		"plenty, used steadily":                            {1_000_000, 5, 10 * time.Millisecond, quick, 10 * time.Minute, 0, 20, 100, 20},
		"plenty, used now and then":                        {1_000_000, 5, 15 * time.Second, quick, 10 * time.Minute, 0, 14, 70, 14},
		"plenty, used hardly ever":                         {1_000_000, 5, 100 * time.Second, quick, 30 * time.Minute, 0, 30, 120, 30},
		"all used up, and many still try now and then":     {10, 100, 20 * time.Second, quick, 10 * time.Minute, time.Minute, 4, 300, 4},
		"all used up, and many try all the time":           {10, 100, 5 * time.Second, quick, 10 * time.Minute, time.Minute, 2, 120, 2},
		"grants that always come too late for who asked":   {100, 100, 2 * time.Second, slow, 5 * time.Minute, 30 * time.Second, 6, 200, 12},
		"too late, and hardly anybody comes a second time": {100, 50, 20 * time.Second, slow, 15 * time.Minute, 10 * time.Minute, 25, 600, 50},
	} {
		t.Run(name, func(t *testing.T) {
			s := &simulation{
				fleet: newFleet(t, requests(tc.limit), tc.proxies), rand: rand.New(rand.NewPCG(1, 19)), hop: tc.hop,
				asking: map[*proxy]bool{}, waiting: map[*proxy][]*waiter{},
			}
			s.run(tc.once, tc.length)
			n := float64(tc.proxies)
			asks, copies := float64(s.asks)/n, float64(s.copies)/n
			t.Logf("used up after %v; %.1f asks and %.1f copies each, %d ledgers", s.filled, asks, copies, s.ledgers)
			if tc.filled > 0 && (s.filled == 0 || s.filled > tc.filled) {
				t.Errorf("%d of %d are used, all of it after %v; want it after %v", s.used(), tc.limit, s.filled, tc.filled)
			}
			if asks > float64(tc.asks) || copies > float64(tc.copies) || s.ledgers > tc.ledgers {
				t.Errorf("%.1f asks and %.1f copies each, %d ledgers are written; want %d, %d, %d at most",
					asks, copies, s.ledgers, tc.asks, tc.copies, tc.ledgers)
			}
		})
	}
}
