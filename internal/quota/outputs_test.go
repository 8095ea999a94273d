// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package quota

import (
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
)

func TestOutputs(t *testing.T) {
	var o Outputs
	for range outputsKnown - 1 {
		o.Add(10)
	}
	must(t, o.P95() == FirstOutput, "too few say nothing")
	o.Add(10)
	must(t, o.P95() == 11, "then they do, at most a quarter too much")
	for range 16 * outputsKept {
		o.Add(5000)
	}
	must(t, o.P95() >= 5000 && o.P95() < 6250, "old answers are forgotten")
	for range 16 * outputsKept {
		o.Add(3)
	}
	must(t, o.P95() == 3, "in both directions")
	for _, odd := range []int64{0, -5, 1} {
		var o Outputs
		for range outputsKnown {
			o.Add(odd)
		}
		must(t, o.P95() == 1, "an empty answer is one of a token")
	}
}

func TestAClassHoldsItsOwn(t *testing.T) {
	for i := range outputClasses - 1 {
		end := upperEnd(i)
		if i > 0 && classOf(end) != i || i > 1 && classOf(end+1) != i+1 {
			t.Fatalf("class %d ends with %d, which is in %d; the next is in %d", i, end, classOf(end), classOf(end+1))
		}
	}
	if got := classOf(math.MaxInt64); got != outputClasses-1 {
		t.Errorf("the longest is in class %d", got)
	}
}

func TestP95IsAtMostAQuarterTooLarge(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 18))
		var o Outputs
		lengths := make([]int64, outputsKnown*(1+r.IntN(outputsKept/outputsKnown-1)))
		spread := 1 + r.IntN(40)
		for i := range lengths {
			lengths[i] = 1 + r.Int64N(1<<r.IntN(spread))
			o.Add(lengths[i])
		}
		slices.Sort(lengths)
		exact := lengths[(len(lengths)*95+99)/100-1]
		if got := o.P95(); got < min(exact, upperEnd(outputClasses-1)) || float64(got) > 1.25*float64(exact) {
			t.Fatalf("seed %d: got %d, exactly it is %d of %d", seed, got, exact, len(lengths))
		}
	}
}

func TestOutputsFromEverywhere(t *testing.T) {
	var o Outputs
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 5000 {
				o.Add(100)
				o.P95()
			}
		})
	}
	all.Wait()
	if got := o.P95(); got != upperEnd(classOf(100)) {
		t.Errorf("got %d", got)
	}
}
