// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package quota

import (
	"math"
	"testing"
	"time"
)

func TestDemand(t *testing.T) {
	near := func(got, want int64) bool { return math.Abs(float64(got-want)) <= 0.02*float64(want) }
	observed := func(spent, refused int64, every time.Duration, times int) demand {
		var d demand
		now := noon
		for i := range times {
			now = now.Add(every)
			d.observe(spent*int64(i+1), refused, now)
		}
		return d
	}
	t.Run("what goes on becomes what is expected", func(t *testing.T) {
		for _, every := range []time.Duration{20 * time.Millisecond, time.Second, 7 * time.Second} {
			d := observed(10, 0, every, int(2*time.Minute/every))
			want := int64(10 * time.Minute / every)
			must(t, near(d.in(time.Minute), want), "ten each time")
		}
	})
	t.Run("what was refused counts as if it had been used", func(t *testing.T) {
		d := observed(0, 5, time.Second, 100)
		must(t, near(d.in(time.Minute), 300), "five a second")
	})
	t.Run("what is put back was not used", func(t *testing.T) {
		var d demand
		now := noon
		for i := range 400 {
			now = now.Add(time.Second)
			d.observe(int64(i)*10+1000*int64(i%2), 0, now)
		}
		must(t, d.in(time.Minute) < 6000 && d.in(time.Minute) >= 0, "a thousand come and go")
	})
	t.Run("it fades", func(t *testing.T) {
		d := observed(100, 0, time.Second, 100)
		now := d.at
		for range 120 {
			now = now.Add(time.Second)
			d.observe(d.spent, 0, now)
		}
		must(t, d.in(time.Minute) == 0, "nothing is expected after two minutes of nothing")
	})
	t.Run("it is never less than nothing, nor too much to count with", func(t *testing.T) {
		var d demand
		d.observe(-1000, 0, noon)
		must(t, d.in(time.Hour) == 0, "less than nothing")
		d.observe(math.MaxInt64, math.MaxInt64, noon.Add(time.Nanosecond))
		must(t, d.in(time.Hour) >= math.MaxInt64/4 && d.in(time.Hour) < math.MaxInt64/3, "too much")
	})
	t.Run("a clock that is put back does not stop it", func(t *testing.T) {
		d := observed(10, 0, time.Second, 100)
		d.observe(2000, 0, noon)
		before := d.in(time.Minute)
		for i := range int64(60) {
			d.observe(2000, 0, noon.Add(time.Duration(i)*time.Second))
		}
		must(t, before > 0 && d.in(time.Minute) < before/10, "it goes on from there")
	})
}
