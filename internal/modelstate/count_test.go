// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package modelstate_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	. "github.com/turnout-ai/turnout/internal/modelstate"
)

func TestASignalIsOfOneEpoch(t *testing.T) {
	s := Signal{Proxy: "p"}
	s.Enter(3)
	s.RecordFailure(3, Failure{At: at(1), Connect: true, Message: "refused"})
	s.RecordFailure(3, Failure{At: at(2), Outage: true, Retried: true, Message: "503"})
	s.RecordFailure(3, Failure{At: at(3), Message: "403"})
	s.RecordFailure(2, Failure{At: at(4), Message: "of an older epoch"})
	want := Signal{
		Proxy: "p", Epoch: 3, Failures: 3, Requests: 2, Connect: 1, Outage: 2,
		Since: at(1), LastFailure: at(3), Message: "403",
	}
	if diff := cmp.Diff(want, s); diff != "" {
		t.Errorf("failures (-want +got):\n%s", diff)
	}
	s.RecordSuccess(3, at(5))
	s.RecordSuccess(3, at(4.5))
	s.RecordSuccess(2, at(6))
	s.RecordSuccess(1, at(9))
	want = Signal{Proxy: "p", Epoch: 3, Successes: 2, LastSuccess: at(5), PreviousSuccess: at(6)}
	if diff := cmp.Diff(want, s); diff != "" {
		t.Errorf("successes (-want +got):\n%s", diff)
	}
	s.Enter(2)
	if diff := cmp.Diff(want, s); diff != "" {
		t.Errorf("an older epoch was entered (-want +got):\n%s", diff)
	}
	s.Enter(4)
	if diff := cmp.Diff(Signal{Proxy: "p", Epoch: 4, PreviousSuccess: at(5)}, s); diff != "" {
		t.Errorf("the next epoch (-want +got):\n%s", diff)
	}
	s.Enter(6)
	if diff := cmp.Diff(Signal{Proxy: "p", Epoch: 6}, s); diff != "" {
		t.Errorf("one after the next (-want +got):\n%s", diff)
	}
}

// From a millisecond on: below, the classes are all equally wide.
func TestAQuantileIsAtMostANinthTooLarge(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 0x68697374))
		var whole, one, other Histogram
		var all []time.Duration
		for range 1 + r.IntN(200) {
			// From a millisecond to an hour, each doubling alike.
			d := time.Millisecond << r.IntN(21)
			d += time.Duration(r.Int64N(int64(d)))
			all = append(all, d)
			whole.Add(d)
			if r.IntN(2) == 0 {
				one.Add(d)
			} else {
				other.Add(d)
			}
		}
		if one.Merge(&other); one != whole {
			t.Fatalf("with seed %d the parts do not add up", seed)
		}
		slices.Sort(all)
		for _, percent := range []int64{1, 50, 95, 100} {
			exact := all[max((len(all)*int(percent)+99)/100, 1)-1]
			got, ok := whole.Quantile(percent)
			if !ok || got < exact || got-exact > got/9 {
				t.Fatalf("with seed %d p%d is %v, exactly %v", seed, percent, got, exact)
			}
		}
	}
	if _, ok := new(Histogram).Quantile(50); ok {
		t.Error("there is a median of nothing")
	}
}

func TestLatenciesOutOfRangeHaveAClass(t *testing.T) {
	for _, d := range []time.Duration{-time.Hour, 0, 1, 240 * time.Hour, 1<<63 - 1} {
		if c := Class(d); c < 0 || c >= HistogramSize {
			t.Errorf("%v is of class %d", d, c)
		}
	}
	for c := range HistogramSize - 1 {
		if Class(ClassLatency(c)) != c+1 || Class(ClassLatency(c)-1) != c {
			t.Errorf("class %d ends at %v, which is of class %d", c, ClassLatency(c), Class(ClassLatency(c)))
		}
	}
}

func TestTheNewestFailureIsKept(t *testing.T) {
	var n Numbers
	n.RecordFailure(Booking{}, at(5), "newer", Usage{})
	n.RecordFailure(Booking{}, at(4), "older", Usage{})
	if n.LastFailureMessage != "newer" || !n.LastFailure.Equal(at(5)) {
		t.Errorf("it is %q at %v", n.LastFailureMessage, n.LastFailure)
	}
}

func TestUsageDoesNotRunOver(t *testing.T) {
	most := Usage{Requests: math.MaxInt64, Tokens: Tokens{Input: math.MaxInt64, Output: 1}, Cost: math.MaxInt64}
	sum := most
	sum.Add(most)
	if sum.Requests != math.MaxInt64 || sum.Tokens.Total() != math.MaxInt64 || sum.Cost != math.MaxInt64 {
		t.Errorf("got %+v", sum)
	}
	sum.Add(Usage{Requests: -1})
	if sum.Requests != math.MaxInt64-1 {
		t.Errorf("%d requests after one was given back", sum.Requests)
	}
}
