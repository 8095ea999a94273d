// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package sim

// what is a kind of thing that can go another way than usual.
type what uint16

// The kinds of deviations. Those of calls and watches are numbered from their first on, by the kind of the call.
const (
	happens what = iota
	exists
	skews
	arrives
	watches
	lags
	collects
	settles
	calls
)

// whats is how many kinds there are.
const whats = calls + what(callKinds)

// choice names one occasion on which something could go another way than usual: the nth of its kind that concerned
// somebody. It stays the same when others go as usual instead, or hardly changes: so a run can be made shorter
// choice by choice.
type choice struct {
	who  uint8
	what what
	nth  uint32
}

// chance is the one source of everything that is not as usual. What it decides follows from the seed and the
// occasion alone.
type chance struct {
	seed   uint64
	counts [maxActors][whats]uint32
	// only are the choices that are made; nil: all. quiet makes none any more but that requests arrive.
	only  map[choice]bool
	quiet bool
	// taken are the choices that were made, in their order.
	taken []choice
}

// draw is 0 when the next occasion goes as usual, which it does but for odds of 1,024 cases.
func (c *chance) draw(who uint8, of what, odds uint32) uint64 {
	nth := c.counts[who][of]
	c.counts[who][of]++
	if c.quiet || odds == 0 {
		return 0
	}
	return c.decide(choice{who, of, nth}, odds)
}

// decide is draw for an occasion that has a number of its own.
func (c *chance) decide(on choice, odds uint32) uint64 {
	drawn := hash(c.seed, on)
	if uint32(drawn&1023) >= odds || c.only != nil && !c.only[on] {
		return 0
	}
	c.taken = append(c.taken, on)
	return drawn>>10 | 1<<54
}

// hash mixes a seed and an occasion into a number of which each bit is as good as any other.
func hash(seed uint64, on choice) uint64 {
	return mix(seed + mix(uint64(on.who)<<48|uint64(on.what)<<32|uint64(on.nth)))
}

func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// below cuts a part off what was drawn: a number below n. What is left is for the next part.
func below(drawn *uint64, n uint64) uint64 {
	part := *drawn % n
	*drawn = mix(*drawn / n)
	return part
}
