// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package storm

import (
	"math/rand/v2"
	"time"
)

const (
	// overlap is how long the next guard has been well when the last one may fall ill: longer than a request may
	// spend at others before it comes to either.
	overlap = 6 * time.Second
	// settling is how long after its last trouble an endpoint counts as well: a provider may have asked to be left
	// alone for as long, and the proxy does so.
	settling = 2500 * time.Millisecond
	// A watch is at least watchShort and at most watchLong, overlaps included.
	watchShort, watchLong = 9 * time.Second, 14 * time.Second
	// A spell is at least spellShort and at most spellLong, with a pause of up to spellPause behind it.
	spellShort, spellLong = 700 * time.Millisecond, 3500 * time.Millisecond
	spellPause            = 600 * time.Millisecond
)

// span is a piece of a storm, by the time since its beginning.
type span struct{ from, to time.Duration }

func (s span) overlaps(o span) bool { return s.from < o.to && o.from < s.to }

// watch is a span for which one endpoint is kept well.
type watch struct {
	span
	endpoint int
}

// spell is a span of trouble at an endpoint.
type spell struct {
	span
	disorder disorder
}

// schedule is what a storm will be like. It follows from seed, number of endpoints and length.
type schedule struct {
	seed    uint64
	length  time.Duration
	watches []watch
	// spells are by endpoint, in order.
	spells [][]spell
}

// newSchedule plans a storm in which at every moment at least one endpoint is well.
func newSchedule(seed uint64, endpoints int, length time.Duration) *schedule {
	chance := rand.New(rand.NewPCG(seed, 1))
	s := &schedule{seed: seed, length: length, spells: make([][]spell, endpoints)}
	s.guard(chance, endpoints)
	for e := range endpoints {
		s.trouble(chance, e)
	}
	return s
}

// guard lays watches one after the other, each of another endpoint than the one before.
func (s *schedule) guard(chance *rand.Rand, endpoints int) {
	endpoint := chance.IntN(endpoints)
	for from := time.Duration(0); ; {
		w := watch{span{from, from + between(chance, watchShort, watchLong)}, endpoint}
		s.watches = append(s.watches, w)
		if w.to >= s.length {
			return
		}
		from = w.to - overlap
		endpoint = (endpoint + 1 + chance.IntN(endpoints-1)) % endpoints
	}
}

// trouble fills with spells what an endpoint's watches leave.
func (s *schedule) trouble(chance *rand.Rand, endpoint int) {
	var calm []span
	for _, w := range s.watches {
		if w.endpoint == endpoint {
			calm = append(calm, span{w.from - settling, w.to})
		}
	}
	for at := between(chance, 0, spellPause); at+spellShort <= s.length; at += between(chance, 0, spellPause) {
		next := span{at, min(at+between(chance, spellShort, spellLong), s.length)}
		for _, c := range calm {
			if !c.overlaps(next) {
				continue
			}
			if next.to = c.from; next.to-next.from < spellShort {
				next = span{c.to, c.to} // too short to be anything: on with it behind the watch
			}
			break
		}
		if next.to > next.from {
			s.spells[endpoint] = append(s.spells[endpoint], spell{next, newDisorder(chance)})
		}
		at = next.to
	}
}

// well reports whether an endpoint has had no trouble for long enough.
func (s *schedule) well(endpoint int, at time.Duration) bool {
	for _, spell := range s.spells[endpoint] {
		if spell.overlaps(span{at - settling, at + 1}) {
			return false
		}
	}
	return true
}

// between draws a duration.
func between(chance *rand.Rand, low, high time.Duration) time.Duration {
	return low + time.Duration(chance.Int64N(int64(high-low)+1))
}
