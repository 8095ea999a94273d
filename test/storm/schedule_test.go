// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package storm

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/turnout-ai/turnout/internal/modelsim"
)

// TestAtEveryMomentAnEndpointIsWell: also, that one has been well for long enough to be known to be, the guard
// changes, and there is trouble everywhere.
func TestAtEveryMomentAnEndpointIsWell(t *testing.T) {
	t.Parallel()
	const length = 3 * time.Minute
	for seed := range uint64(200) {
		s := newSchedule(seed, 5, length)
		for at := time.Duration(0); at < length; at += 50 * time.Millisecond {
			well := 0
			for e := range s.spells {
				if s.well(e, at) {
					well++
				}
			}
			if well == 0 {
				t.Fatalf("seed %d: nobody is well at %s", seed, at)
			}
		}
		for i := 1; i < len(s.watches); i++ {
			if s.watches[i].endpoint == s.watches[i-1].endpoint {
				t.Errorf("seed %d: watch %d is of the endpoint of the one before", seed, i)
			}
		}
		for e, spells := range s.spells {
			if len(spells) < 10 {
				t.Errorf("seed %d: endpoint %d has %d spells", seed, e, len(spells))
			}
			for i := 1; i < len(spells); i++ {
				if spells[i].from < spells[i-1].to {
					t.Errorf("seed %d: endpoint %d has two spells at once", seed, e)
				}
			}
		}
	}
}

// TestAScheduleWithoutWatchesIsSeen: what makes the one above fail.
func TestAScheduleWithoutWatchesIsSeen(t *testing.T) {
	t.Parallel()
	s := &schedule{length: time.Minute, spells: make([][]spell, 2)}
	for e := range s.spells {
		s.trouble(rand.New(rand.NewPCG(1, 1)), e)
	}
	for at := time.Duration(0); at < s.length; at += 50 * time.Millisecond {
		if !s.well(0, at) && !s.well(1, at) {
			return
		}
	}
	t.Error("nobody guards, and at every moment somebody is well")
}

// TestAStormCanBeRepeated: the same seed plans the same storm.
func TestAStormCanBeRepeated(t *testing.T) {
	t.Parallel()
	for seed := range uint64(10) {
		first, second := newSchedule(seed, 5, time.Minute), newSchedule(seed, 5, time.Minute)
		if diff := cmp.Diff(first, second, cmp.AllowUnexported(schedule{}, watch{}, span{}, spell{}, disorder{}, toxic{})); diff != "" {
			t.Errorf("seed %d, planned twice (-first +second):\n%s", seed, diff)
		}
	}
}

// TestEveryDisorderCanHappen: simulator and toxiproxy take all of them.
func TestEveryDisorderCanHappen(t *testing.T) {
	t.Parallel()
	sim, err := modelsim.New(modelsim.DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	chance := rand.New(rand.NewPCG(1, 1))
	for range 2000 {
		d := newDisorder(chance)
		if _, err := newClimate("test", d.toxics); err != nil {
			t.Errorf("%s: %v", d.name, err)
		}
		for _, rule := range d.rules {
			if _, err := sim.AddRule(rule); err != nil {
				t.Errorf("%s: %v", d.name, err)
			}
		}
		sim.ClearRules()
	}
	for _, name := range modelDisorderNames {
		if len(modelDisorders[name]) == 0 {
			t.Errorf("%s: there is no such trouble", name)
		}
	}
	if len(modelDisorderNames) != len(modelDisorders) {
		t.Error("some troubles are never drawn")
	}
}
