// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package quota

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestRate(t *testing.T) {
	start, minute := noon.UnixNano(), 60_000.0
	type take struct {
		at     float64 // in milliseconds
		n      int64
		wantAt float64 // as at when it is admitted
	}
	for name, tc := range map[string]struct {
		perMinute int64
		takes     []take
	}{
		"a tenth may come at once, the rest evenly": {60, []take{
			{0, 1, 0},
			{0, 1, 0},
			{0, 1, 0},
			{0, 1, 0},
			{0, 1, 0},
			{0, 1, 0},
			{0, 1, minute / 54},
			{minute / 54, 1, minute / 54},
			{minute / 54, 1, 2 * minute / 54},
		}},
		"one a minute is one a minute":                {1, []take{{0, 1, 0}, {1, 1, minute}, {minute, 1, minute}, {minute + 1, 1, 2 * minute}}},
		"of two a minute none is less than one apart": {2, []take{{0, 1, 0}, {1, 1, minute}, {minute, 1, minute}}},
		"what is larger than the burst waits until so much is saved": {1000, []take{
			{0, 550, 0}, {1, 550, minute * (550 + 450) / 900}, {1, 100, minute * 550 / 900}, {minute * 1000 / 900, 550, minute * 1000 / 900},
		}},
		"what is larger than the rate is not refused for ever": {10, []take{{0, 100, 0}, {1, 1, minute * 100 / 9}, {1, 100, minute * 199 / 9}}},
		"nothing costs nothing":                                {1, []take{{0, 1, 0}, {0, 0, 0}, {0, -1, 0}}},
		"an amount that nobody can have waits a day":           {1, []take{{0, math.MaxInt64, 0}, {0, 1, 24 * 60 * minute}}},
	} {
		t.Run(name, func(t *testing.T) {
			var r Rate
			r.Set(tc.perMinute)
			for i, take := range tc.takes {
				at, ok := r.Take(start+int64(math.Ceil(take.at*1e6)), take.n)
				if off := float64(at-start)/1e6 - take.wantAt; ok != (take.at == take.wantAt) || math.Abs(off) > 0.001 {
					t.Fatalf("take %d: %v and %vms off", i, ok, off)
				}
			}
		})
	}
	t.Run("a rate that is too large to count single units by the nanosecond", func(t *testing.T) {
		var r Rate
		r.Set(1_000_000_000_000)
		r.Take(start, 100_000_000_000)
		if _, ok := r.Take(start, 1); ok {
			t.Error("a single unit costs nothing")
		}
		if at, ok := r.Take(start, 1500); ok || at < start+99 || at > start+101 {
			t.Errorf("%v, %v", at-start, ok)
		}
	})
	t.Run("nothing is admitted before it is set, and when it is 0", func(t *testing.T) {
		var r Rate
		for _, set := range []func(){func() {}, func() { r.Set(0) }, func() { r.Set(5); r.Set(0) }, func() { r.Set(-1) }} {
			set()
			r.Put(1)
			if at, ok := r.Take(start, 1); ok || at != 0 {
				t.Errorf("%v, %v", at, ok)
			}
		}
	})
	t.Run("what is put back may be used, what was used beyond is waited for", func(t *testing.T) {
		var r Rate
		r.Set(10)
		r.Take(start, 1)
		r.Put(1)
		if _, ok := r.Take(start+1, 1); !ok {
			t.Fatal("it was put back")
		}
		r.Put(-9)
		if at, ok := r.Take(start, 1); ok || math.Abs(float64(at-start)/1e6-minute*10/9) > 0.001 {
			t.Errorf("%v, %v", time.Duration(at-start), ok)
		}
	})
}

// In no minute, wherever it begins, is more admitted than the rate, whatever comes and is put back.
func TestNoMinuteIsAboveTheRate(t *testing.T) {
	type admitted struct{ at, n int64 }
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 16))
		perMinute := []int64{1, 2, 9, 10, 60, 1000, 99_999, 1_000_000_007}[r.IntN(8)]
		largest := max(1, perMinute/[]int64{1, 3, 20, 100}[r.IntN(4)])
		var rate Rate
		rate.Set(perMinute)
		now := noon.UnixNano()
		var log []admitted
		for range 2000 {
			n := 1 + r.Int64N(largest)
			at, ok := rate.Take(now, n)
			switch {
			case !ok && at <= now:
				t.Fatalf("it is to wait until %v before now", time.Duration(now-at))
			case !ok && r.IntN(3) == 0: // it comes back when it was told
				now = at
				continue
			case ok && r.IntN(5) == 0: // it turned out to be shorter
				unused := r.Int64N(n + 1)
				rate.Put(unused)
				n -= unused
			}
			if ok {
				log = append(log, admitted{now, n})
			}
			now += r.Int64N(1 + int64(float64(time.Minute)*float64(largest)/float64(perMinute)/2))
		}
		var sum int64
		for first, last := 0, 0; last < len(log); last++ {
			sum += log[last].n
			for ; log[last].at-log[first].at >= int64(time.Minute); first++ {
				sum -= log[first].n
			}
			if sum > perMinute {
				t.Fatalf("seed %d: %d in a minute at %d per minute, of %d at most", seed, sum, perMinute, largest)
			}
		}
	}
}

// And it is not much less, when attempts are small.
func TestARateIsUsedUp(t *testing.T) {
	for _, perMinute := range []int64{10, 60, 1000, 100_000} {
		var rate Rate
		rate.Set(perMinute)
		count := int64(0)
		for now := noon.UnixNano(); now < noon.Add(10*time.Minute).UnixNano(); {
			at, ok := rate.Take(now, 1)
			if ok {
				count++
			}
			now = at
		}
		if count < 9*perMinute {
			t.Errorf("%d in ten minutes at %d per minute", count, perMinute)
		}
	}
}

func TestShares(t *testing.T) {
	for name, tc := range map[string]struct {
		limit   int64
		proxies int
		demands []int64
		want    []int64
	}{
		"nobody asks":              {100, 5, nil, []int64{}},
		"one alone has everything": {100, 1, []int64{7}, []int64{100}},
		"by demand":                {100, 2, []int64{10, 30}, []int64{25, 75}},
		"those that say nothing keep their default":         {100, 4, []int64{10, 10}, []int64{38, 38}}, // 2 × 12 are left out
		"a small demand gets one at least":                  {100, 3, []int64{1_000_000, 1, 1}, []int64{98, 1, 1}},
		"none is as good as a small one":                    {10, 2, []int64{0, 9}, []int64{1, 9}},
		"with fewer than proxies those that want most have": {2, 4, []int64{1, 5, 3, 0}, []int64{0, 1, 1, 0}},
		"nothing to divide":                                 {0, 2, []int64{1, 5}, []int64{0, 0}},
		"demands at the end of numbers":                     {1e12, 2, []int64{math.MaxInt64, math.MaxInt64}, []int64{5e11, 5e11}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Shares(tc.limit, tc.proxies, tc.demands); !slices.Equal(got, tc.want) {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}

func TestSharesAreNeverAboveTheLimit(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 17))
	for range 20_000 {
		limit := r.Int64N(1 << r.IntN(41))
		demands := make([]int64, r.IntN(30))
		for i := range demands {
			demands[i] = r.Int64N(1 << r.IntN(62))
		}
		proxies := max(len(demands)+r.IntN(10)-2, 0)
		shares := Shares(limit, proxies, demands)
		var sum int64
		for i, s := range shares {
			sum += s
			if s < 0 || s == 0 && limit >= 2*int64(max(proxies, len(demands))) {
				t.Fatalf("proxy %d of %d gets %d of %d: %v", i, proxies, s, limit, demands)
			}
		}
		others := int64(max(proxies-len(demands), 0)) * DefaultShare(limit, proxies)
		if sum+others > limit || len(demands) > 0 && sum+others != limit {
			t.Fatalf("%d and %d of %d are divided: %v to %v", sum, others, limit, demands, shares)
		}
	}
}
