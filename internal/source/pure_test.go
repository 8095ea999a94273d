// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package source

import (
	"errors"
	"testing"
	"time"
)

// at is a time within a test's own day.
func at(after time.Duration) time.Time {
	return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).Add(after)
}

func TestCoalescerDecidesWhenABurstIsPublished(t *testing.T) {
	tests := []struct {
		name    string
		changes []time.Duration
		want    time.Duration
	}{
		{name: "a single change waits for the holdoff", changes: []time.Duration{0}, want: holdoff},
		{name: "a second change within the holdoff starts it anew", changes: []time.Duration{0, holdoff - 1}, want: 2*holdoff - 1},
		{name: "a storm waits no longer than the maximum delay", changes: []time.Duration{0, maxDelay - 2, maxDelay - 1}, want: maxDelay},
		{name: "the delay is bounded also when the last change is late", changes: []time.Duration{0, maxDelay + time.Second}, want: maxDelay},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var c coalescer
			for _, after := range test.changes {
				c.change(at(after))
			}
			got, ok := c.due()
			if !ok || !got.Equal(at(test.want)) {
				t.Errorf("due() = %v after the first change, %v; want %v, true", got.Sub(at(0)), ok, test.want)
			}
		})
	}
}

func TestCoalescerIsDueForNothingWithoutChanges(t *testing.T) {
	var c coalescer
	if _, ok := c.due(); ok {
		t.Error("due() = true before any change")
	}
	c.change(at(0))
	c.clear()
	if _, ok := c.due(); ok {
		t.Error("due() = true after clear")
	}
}

func TestCoalescerPostponesUntilTheNextChange(t *testing.T) {
	var c coalescer
	c.change(at(0))
	c.postpone(at(time.Second))
	if got, _ := c.due(); !got.Equal(at(time.Second)) {
		t.Errorf("due() = %v after postpone, want 1s", got.Sub(at(0)))
	}
	c.change(at(10 * time.Millisecond))
	if got, _ := c.due(); !got.Equal(at(10*time.Millisecond + holdoff)) {
		t.Errorf("due() = %v after another change, want it to count from there", got.Sub(at(0)))
	}
}

func TestContactIsLostOnlyAfterTheGrace(t *testing.T) {
	first, second := errors.New("refused"), errors.New("reset")
	type answer struct {
		after  time.Duration
		stream string
		err    error
	}
	tests := []struct {
		name    string
		answers []answer
		now     time.Duration
		want    error
	}{
		{name: "no failure", answers: []answer{{0, "a", nil}}, now: grace},
		{name: "a failure within the grace is nothing", answers: []answer{{0, "a", first}}, now: grace - 1},
		{name: "a failure for the whole grace is a loss", answers: []answer{{0, "a", first}}, now: grace, want: first},
		{name: "the first error of a row is the one shown", answers: []answer{{0, "a", first}, {1, "a", second}}, now: grace, want: first},
		{name: "a good answer ends the row", answers: []answer{{0, "a", first}, {1, "a", nil}}, now: grace},
		{name: "a good answer for another kind does not", answers: []answer{{0, "a", first}, {1, "b", nil}}, now: grace, want: first},
		{name: "the oldest of two troubles is shown", answers: []answer{{0, "b", second}, {1, "a", first}}, now: 2 * grace, want: second},
		{name: "of two equally old troubles always the same is shown", answers: []answer{{0, "b", second}, {0, "a", first}}, now: grace, want: first},
		{name: "a failure after a recovery counts from itself", answers: []answer{{0, "a", first}, {1, "a", nil}, {grace, "a", second}}, now: grace + 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var c contact
			for _, a := range test.answers {
				c.answered(a.stream, a.err, at(a.after))
			}
			if got := c.lost(at(test.now)); !errors.Is(got, test.want) {
				t.Errorf("lost() = %v, want %v", got, test.want)
			}
		})
	}
}

func TestContactSaysWhenToLookAgain(t *testing.T) {
	var c contact
	if _, ok := c.verdict(at(0)); ok {
		t.Error("verdict() = true without a trouble")
	}
	c.answered("a", errors.New("refused"), at(0))
	if when, ok := c.verdict(at(1)); !ok || !when.Equal(at(grace)) {
		t.Errorf("verdict() = %v, %v; want the end of the grace, true", when.Sub(at(0)), ok)
	}
	if _, ok := c.verdict(at(grace)); ok {
		t.Error("verdict() = true when the loss is already certain: the loop would spin")
	}
}
