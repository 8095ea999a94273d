// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/turnout-ai/turnout/test/soak"
)

// Worlds come and go: there is little to keep, and no reason to look for it often.
func TestMain(m *testing.M) {
	debug.SetGCPercent(400)
	os.Exit(m.Run())
}

// TestLimitsHold runs world after world in which everything goes wrong: so many steps in a test run, as long as
// TURNOUT_SOAK says in a soak, over worlds that nobody has seen before. TURNOUT_SEED runs that one world. What breaks
// a law is told as a short story.
func TestLimitsHold(t *testing.T) {
	var sum Counts
	begun := time.Now()
	found := false
	search(t, func(w *world) {
		sum.add(&w.counts)
		if w.breach != nil && !found {
			found = true
			t.Errorf("TURNOUT_SEED=%d: %v\n%s", w.chance.seed, w.breach, strings.Join(shrink(w.chance.seed, none, w).story(), "\n"))
		}
	}, func() bool { return found || enough(t, &sum, begun) })
	t.Logf("%s; %d steps per second", &sum, int(float64(sum.steps)/time.Since(begun).Seconds()))
}

// enough reports whether a run has lasted long enough.
func enough(t *testing.T, sum *Counts, begun time.Time) bool {
	if !soak.On() {
		return sum.steps >= steps
	}
	return time.Since(begun) >= soak.Length(t, 0)
}

// search runs worlds, several at a time, until enough says so, and tells of each in the order of their seeds.
func search(t *testing.T, tell func(*world), enough func() bool) {
	t.Helper()
	if seed, given := soak.Seed(t); given {
		tell(run(seed, none, nil, 0, false))
		return
	}
	seed := uint64(1)
	if soak.On() {
		seed = uint64(begunAt.Unix()) << 20
	}
	workers := max(runtime.GOMAXPROCS(0)/2, 1)
	for !enough() {
		worlds := make([]*world, 4*workers)
		next := make(chan int)
		var running sync.WaitGroup
		for range workers {
			running.Go(func() {
				for i := range next {
					worlds[i] = run(seed+uint64(i), none, nil, 0, false)
				}
			})
		}
		for i := range worlds {
			next <- i
		}
		close(next)
		running.Wait()
		for _, w := range worlds {
			tell(w)
		}
		seed += uint64(len(worlds))
	}
}

var begunAt = time.Now()

// The same seed is the same world, to the last step: else no failure could be looked at again.
func TestAWorldCanBeRepeated(t *testing.T) {
	t.Parallel()
	for seed := range uint64(6) {
		first, second := run(seed, none, nil, 0, true), run(seed, none, nil, 0, true)
		if diff := cmp.Diff(first.tale(), second.tale()); diff != "" {
			t.Errorf("seed %d, told twice (-first +second):\n%s", seed, diff)
		}
		if first.counts != second.counts || !slices.Equal(first.chance.taken, second.chance.taken) {
			t.Errorf("seed %d: %+v and %+v", seed, first.counts, second.counts)
		}
	}
}

// A world is as rich as it should be: a simulation in which nothing happens breaks nothing.
func TestWorldsAreEventful(t *testing.T) {
	t.Parallel()
	var sum Counts
	for seed := range uint64(12) {
		w := run(seed, none, nil, 0, false)
		sum.add(&w.counts)
	}
	for name, n := range map[string]int{
		"attempts": sum.admitted, "refusals": sum.refused, "crashes": sum.crashes, "ledgers that lend": sum.grants, "folds": sum.folds,
		"seals": sum.seals, "deaths": sum.deaths, "new registrations": sum.rebirths, "transitions": sum.transitions,
	} {
		if n == 0 {
			t.Errorf("no %s in twelve worlds", name)
		}
	}
}

// sabotageCase is something done wrong, and the law that it has to break.
type sabotageCase struct {
	name     string
	sabotage sabotage
	law      law
	// seed is of a world that shows it; when it does not any more, others are tried.
	seed uint64
}

var sabotageCases = []sabotageCase{
	{"a ledger is written without its lock", noLock, lawLent, 2},
	{"grants are copied before the ledger is stored", copiedFirst, lawInside, 2},
	{"grants are copied from memory after a conflict", fromMemory, lawInside, 10},
	{"a process goes on under the instance of the one before", adoption, lawOwner, 0},
	{"what a dead proxy was lent counts as given back", deadReturn, lawLent, 0},
	{"what a proxy was lent that is believed dead counts as given back", believedDeadReturn, lawLent, 0},
	{"a proxy uses what it has given back", tookBack, lawInside, 2},
	{"copies keep the smaller of two numbers", minimum, lawUsed, 0},
	{"a grant of yesterday is used today", anyPeriod, lawInside, 0},
	{"books are kept by name", byName, lawOnce, 1},
	{"what was spent is forgotten with the endpoint", forgotSpent, lawInside, 10},
	{"grants are kept under the next instance", keptGrants, lawLent, 12},
	{"evidence of an earlier epoch counts", oldEvidence, lawEpoch, 1},
	{"each trip counts twice", doubledTwice, lawEpoch, 1},
	{"a UID leaves the record at once", prunedEarly, lawGone, 15},
	{"pages are taken in without a seal", unsealed, lawComplete, 37},
	{"pages are taken in twice", foldedTwice, lawOnce, 1},
	{"pages are taken in from a cache", staleFold, lawComplete, 20},
	{"a lease is closed twice", closedTwice, lawUsed, 0},
	{"a lease is never closed", neverClosed, lawGone, 3},
	{"objects go before every endpoint has the UID", releasedEarly, lawKept, 1},
	{"what was sent is refunded", refundedSent, lawInside, 2},
	{"an attempt counts in the period in which it ends", bookedAtEnd, lawOnce, 1},
	{"wishes are not answered", neverAnswered, lawUsed, 0},
	{"a local rest never ends", endlessRest, lawReturn, 8},
	{"an account of a past period is opened anew", openedPast, lawLent, 4},
	{"what was reported is reported again after a new registration", carriedTwice, lawOnce, 1},
	{"what was used beyond what was set aside is forgotten", unsettled, lawInside, 1},
	{"a status is written that says nothing new", idleWrites, lawIdle, 0},
	{"what a predecessor could not copy is not copied", neverCopied, lawUsed, 0},
	{"an idle proxy gives nothing back", neverReturned, lawUsed, 3},
	{"the base of the books is not kept", forgottenFold, lawComplete, 1},
}

// enoughSteps is within how many steps each sabotage must show.
const enoughSteps = 600_000

// TestEverySabotageIsCaught does one thing wrong at a time. A law that nothing breaks would hold nothing.
func TestEverySabotageIsCaught(t *testing.T) {
	t.Parallel()
	tried := map[sabotage]bool{}
	for _, c := range sabotageCases {
		tried[c.sabotage] = true
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w, steps := c.caught()
			if w == nil {
				t.Fatalf("%d steps broke no law %q", steps, c.law)
			}
			t.Logf("after %d steps, of world %d: %s", steps, w.chance.seed, w.breach.detail)
		})
	}
	for i := range scenarios {
		for _, s := range scenarios[i].breaks {
			tried[s] = true
		}
	}
	for s := none + 1; s < sabotages; s++ {
		if !tried[s] {
			t.Errorf("sabotage %d is not tried", s)
		}
	}
}

// caught is a world in which the sabotage breaks its law, and how many steps that took; nil when none did.
func (c *sabotageCase) caught() (w *world, steps int) {
	for i := range uint64(1000) {
		seed := c.seed
		if i > 0 {
			seed = i - 1
		}
		w := run(seed, c.sabotage, nil, 0, false)
		steps += w.counts.steps
		if w.breach != nil && w.breach.law == c.law {
			return w, steps
		}
		if steps > enoughSteps {
			break
		}
	}
	return nil, steps
}

// The story of a sabotage is short enough to be read, says what was broken, and how to see it again.
func TestAStoryIsShort(t *testing.T) {
	t.Parallel()
	const lines = 25
	for _, c := range []sabotageCase{
		{"grants are copied before the ledger is stored", copiedFirst, lawInside, 6},
		{"what a dead proxy was lent counts as given back", deadReturn, lawLent, 6},
		{"a proxy uses what it has given back", tookBack, lawInside, 15},
		{"what was spent is forgotten with the endpoint", forgotSpent, lawInside, 21},
	} {
		found, _ := c.caught()
		if found == nil {
			t.Fatalf("%s: nothing to tell", c.name)
		}
		story := shrink(found.chance.seed, c.sabotage, found).story()
		text := strings.Join(story, "\n")
		if len(story) > lines {
			t.Errorf("%s: %d lines\n%s", c.name, len(story), text)
		}
		if !strings.Contains(text, "BROKEN: "+string(c.law)) || !strings.Contains(text, fmt.Sprintf("TURNOUT_SEED=%d ", found.chance.seed)) {
			t.Errorf("%s: the story says neither what was broken nor how to see it again:\n%s", c.name, text)
		}
		t.Logf("%s:\n%s", c.name, text)
	}
}

// BenchmarkSteps says how long a step takes.
func BenchmarkSteps(b *testing.B) {
	n, seed := 0, uint64(1)
	for n < b.N {
		w := run(seed, none, nil, 0, false)
		n += w.counts.steps
		seed++
	}
}
