// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"testing"
	"time"

	"github.com/turnout-ai/turnout/internal/routing"
)

func TestTheRetryBudgetIsAShareOfTheRequestsOfTheLastTenSeconds(t *testing.T) {
	begin := time.Unix(1_700_000_000, 0)
	// spend takes as much as there is.
	spend := func(b *retryBudget, now time.Time, percent int) (n int) {
		for b.allows(now, percent) && b.take(now, percent) && n < 10_000 {
			n++
		}
		if b.take(now, percent) {
			t.Error("it can be taken although it is not allowed")
		}
		if b.take(now, percent+100_000) {
			b.giveBack(now)
		}
		return n
	}
	for name, c := range map[string]struct {
		requests int
		percent  int
		want     int
	}{
		"without requests there are ten":             {0, 20, 10},
		"few requests still leave ten":               {30, 20, 10},
		"a fifth of a thousand":                      {1000, 20, 200},
		"two for each request":                       {100, 200, 200},
		"a share that is no whole number is cut off": {199, 10, 19},
	} {
		t.Run(name, func(t *testing.T) {
			var b retryBudget
			for i := range c.requests { // over five seconds
				b.request(begin.Add(time.Duration(i%5) * time.Second))
			}
			now := begin.Add(5 * time.Second)
			if n := spend(&b, now, c.percent); n != c.want {
				t.Errorf("%d retries, want %d", n, c.want)
			}
			if n := spend(&b, now.Add(4*time.Second), c.percent); n != 0 {
				t.Errorf("%d more within ten seconds", n)
			}
			if n := spend(&b, now.Add(time.Minute), c.percent); n != budgetLeast {
				t.Errorf("%d retries after a minute of silence, want %d", n, budgetLeast)
			}
		})
	}
}

func TestTheBackoff(t *testing.T) {
	for name, c := range map[string]struct {
		backoff   routing.Backoff
		times     int
		low, high time.Duration
	}{
		"fixed is always the same":                {routing.Backoff{Type: routing.Fixed, Base: 3, Max: 100}, 7, 3, 3},
		"fixed is no longer than the longest":     {routing.Backoff{Type: routing.Fixed, Base: 300, Max: 100}, 1, 100, 100},
		"jitter begins below the base":            {routing.Backoff{Base: 1000, Max: 100_000}, 1, 0, 1000},
		"it doubles":                              {routing.Backoff{Base: 1000, Max: 100_000}, 4, 0, 8000},
		"up to the longest":                       {routing.Backoff{Base: 1000, Max: 5000}, 4, 0, 5000},
		"however often":                           {routing.Backoff{Base: time.Second, Max: 5 * time.Second}, 200, 0, 5 * time.Second},
		"what the provider asks begins as jitter": {routing.Backoff{Type: routing.RetryAfter, Base: 1000, Max: 5000}, 2, 0, 2000},
		"no wait at all where none is asked":      {routing.Backoff{}, 3, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			r := &request{route: routing.Route{Policy: &routing.Policy{PolicySpec: routing.PolicySpec{Backoff: c.backoff}}}}
			seen := map[time.Duration]bool{}
			for range 200 {
				d := r.backoff(c.times)
				if d < c.low || d > c.high {
					t.Fatalf("%s, want %s to %s", d, c.low, c.high)
				}
				seen[d] = true
			}
			if c.high > c.low && len(seen) < 50 {
				t.Errorf("%d different waits of 200: no jitter", len(seen))
			}
		})
	}
}

func TestWhoIsTriedAgain(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	soon, late := now.Add(time.Second).UnixNano(), now.Add(time.Hour).UnixNano()
	type attempt struct {
		backend int
		outcome outcome
		until   int64
	}
	for name, c := range map[string]struct {
		attempts []attempt
		want     int // -1: nobody
	}{
		"the first of those that failed":             {[]attempt{{0, outcomeFailure, 0}, {1, outcomeReset, 0}}, 0},
		"the one that was tried least":               {[]attempt{{0, outcomeFailure, 0}, {1, outcomeReset, 0}, {0, outcomeFailure, 0}}, 1},
		"not one that asks for longer than the most": {[]attempt{{0, outcomeRateLimited, late}, {1, outcomeTimeout, 0}}, 1},
		"one that asks for a while comes later":      {[]attempt{{0, outcomeRateLimited, soon}, {1, outcomeFailure, 0}}, 1},
		"but it comes":                               {[]attempt{{0, outcomeRateLimited, soon}}, 0},
		"nobody whose word was final": {[]attempt{
			{0, outcomeQuota, 0},
			{1, outcomeDenied, 0},
			{2, outcomeContentFilter, 0},
			{3, outcome("auth_failure"), 0},
			{4, outcome("model_not_found"), 0},
			{5, outcome("unsupported"), 0},
			{6, outcome("context_length"), 0},
		}, -1},
		"nor one whose second word was": {[]attempt{{0, outcomeFailure, 0}, {0, outcomeQuota, 0}}, -1},
	} {
		t.Run(name, func(t *testing.T) {
			r := &request{
				route:    routing.Route{Policy: &routing.Policy{PolicySpec: routing.PolicySpec{Backoff: routing.Backoff{Max: 5 * time.Second}}}},
				deadline: now.Add(time.Minute),
			}
			backends := make([]backend, 8)
			for i := range backends {
				backends[i].endpoint = &routing.Endpoint{}
			}
			for _, a := range c.attempts {
				r.remember(&backends[a.backend], a.outcome, now, a.until)
			}
			got := -1
			if best := r.nextAgain(); best != nil {
				for i := range backends {
					if best.backend == &backends[i] {
						got = i
					}
				}
			}
			if got != c.want {
				t.Errorf("endpoint %d is tried again, want %d", got, c.want)
			}
		})
	}
}

func TestABackoffNeverOverflows(t *testing.T) {
	for _, base := range []time.Duration{time.Second, 10 * time.Second, 1 << 62} {
		r := &request{route: routing.Route{Policy: &routing.Policy{PolicySpec: routing.PolicySpec{Backoff: routing.Backoff{Base: base, Max: time.Minute}}}}}
		for times := range 100 {
			if d := r.backoff(times); d < 0 || d > time.Minute {
				t.Fatalf("base %s, %d times: %s", base, times, d)
			}
		}
	}
}
