// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package sim

import "fmt"

// run lets the world of a seed happen. Nil for only means that everything happens; until is when to stop before the
// end, 0 for never.
func run(seed uint64, s sabotage, only map[choice]bool, until int64, telling bool) *world {
	p := newPlan(seed, &occasions[s])
	w := newWorld(p, s, only)
	w.telling = telling
	w.begin(p)
	if until > 0 {
		w.run(min(until, p.storm))
	} else {
		w.close(p)
	}
	w.end()
	w.counts.Worlds = 1
	return w
}

// shrinking looks for a short way to break a law.
type shrinking struct {
	seed     uint64
	sabotage sabotage
	law      law
	until    int64
	// kept are the choices that are needed, as far as is known; runs counts what was tried.
	kept []choice
	runs int
}

const (
	// maxRuns bounds the search.
	maxRuns = 4000
	// slack is how much later a law may be broken than it was.
	slack = 5 * minute
)

// shrink finds a small part of what happened in a world that breaks the same law.
func shrink(seed uint64, s sabotage, found *world) *shrinking {
	x := &shrinking{seed: seed, sabotage: s, law: found.breach.law, kept: found.chance.taken}
	if !found.closing {
		x.until = found.breach.at + slack
	}
	for _, group := range [](func(choice) uint64){
		func(c choice) uint64 { return uint64(c.what) },
		func(c choice) uint64 { return uint64(c.who) },
		func(c choice) uint64 { return uint64(c.what)<<8 | uint64(c.who) },
	} {
		x.without(group)
	}
	for size := len(x.kept) / 2; size > 0; {
		before := len(x.kept)
		x.chunks(size)
		if len(x.kept) == before || size > len(x.kept) {
			size = min(size/2, len(x.kept))
		}
	}
	return x
}

// without tries to do without each group of choices.
func (x *shrinking) without(group func(choice) uint64) {
	var groups []uint64
	known := map[uint64]bool{}
	for _, c := range x.kept {
		if g := group(c); !known[g] {
			known[g] = true
			groups = append(groups, g)
		}
	}
	for _, g := range groups {
		var left []choice
		for _, c := range x.kept {
			if group(c) != g {
				left = append(left, c)
			}
		}
		x.try(left)
	}
}

// chunks tries to do without each stretch of so many choices, the last ones first.
func (x *shrinking) chunks(size int) {
	for end := len(x.kept); end > 0; {
		start := max(end-size, 0)
		left := append(append([]choice(nil), x.kept[:start]...), x.kept[end:]...)
		x.try(left)
		end = min(start, len(x.kept))
	}
}

// try keeps only these choices if they still break the law.
func (x *shrinking) try(choices []choice) {
	if x.runs >= maxRuns || len(choices) == len(x.kept) {
		return
	}
	x.runs++
	w := run(x.seed, x.sabotage, setOf(choices), x.until, false)
	if w.breach != nil && w.breach.law == x.law {
		x.kept = w.chance.taken
		if x.until > 0 {
			x.until = min(x.until, w.breach.at+slack)
		}
	}
}

func setOf(choices []choice) map[choice]bool {
	set := make(map[choice]bool, len(choices))
	for _, c := range choices {
		set[c] = true
	}
	return set
}

// story is the shortest that was found, in lines, with the command that tells it again.
func (x *shrinking) story() []string {
	w := run(x.seed, x.sabotage, setOf(x.kept), x.until, true)
	lines := w.tale()
	return append(lines, fmt.Sprintf("%d choices are left after %d runs; again: TURNOUT_SEED=%d go test ./test/sim -run TestLimitsHold -v", len(x.kept), x.runs, x.seed))
}
