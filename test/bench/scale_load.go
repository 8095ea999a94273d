// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/turnout-ai/turnout/internal/health"
	"github.com/turnout-ai/turnout/internal/modelstate"
	"github.com/turnout-ai/turnout/internal/quota"
	"github.com/turnout-ai/turnout/internal/routing"
)

const (
	// inputTokens is how long a simulated request is; answers have up to maxOutput tokens, and take up to longest.
	inputTokens = 200
	maxOutput   = 600
	longest     = 2 * time.Second
	// favourites is how many endpoints a proxy uses all the time; every othersEvery-th attempt goes to the others.
	favourites  = 20
	othersEvery = 5
)

// desk is where the attempts of one proxy are counted that were refused and wait.
type desk struct {
	mu sync.Mutex
	// Everything below is guarded by mu. waiting says since when, by the endpoint's UID.
	waiting   map[string]time.Time
	latencies []float64
	made      int
	refused   int
}

// book is the proxy's live health as its reporter sees it. It takes note of grants that attempts wait for.
type book struct {
	*health.Registry
	walker *walker
}

// Granted implements report.Book.
func (b book) Granted(grants []quota.EndpointGrant, proxies int, now time.Time) {
	b.Registry.Granted(grants, proxies, now)
	b.walker.tryAgain(grants)
}

// endpoint is the one at that place in the table.
func (w *walker) endpoint(n int) *routing.Endpoint {
	return w.crowd.table.Load().Endpoints[n]
}

// try makes an attempt, or lets it wait for a grant. It reports whether it waits.
func (w *walker) try(e *routing.Endpoint, now time.Time) (waits bool) {
	if w.attempt(e, now) {
		return false
	}
	w.desk.mu.Lock()
	defer w.desk.mu.Unlock()
	w.desk.refused++
	if _, already := w.desk.waiting[e.UID]; !already {
		w.desk.waiting[e.UID] = now
	}
	return true
}

// attempt takes from the purses of an endpoint and settles a little later. It is false when there is not enough.
func (w *walker) attempt(e *routing.Endpoint, now time.Time) bool {
	live := w.view.Load().Endpoint(e.Index)
	expected := live.ExpectedOutput()
	a, refusal := live.Begin(now.UnixNano(), w.serial.Add(1), health.Need{
		Tokens: inputTokens + expected, Cost: e.Price.Cost(inputTokens, 0, expected),
	})
	if refusal.Limit != 0 {
		return false
	}
	w.desk.mu.Lock()
	w.desk.made++
	w.desk.mu.Unlock()
	length := rand.N(longest)
	time.AfterFunc(length, func() {
		used := modelstate.Tokens{Input: inputTokens, Output: rand.Int64N(maxOutput)}
		a.Settle(used, e.Price.Cost(used.Input, 0, used.Output), false)
		a.Answered(used.Output)
		end := time.Now().UnixNano()
		a.Success(end, end, 0, length)
	})
	return true
}

// tryAgain lets attempts go on that waited for these grants.
func (w *walker) tryAgain(grants []quota.EndpointGrant) {
	w.desk.mu.Lock()
	waiting := map[string]time.Time{}
	for i := range grants {
		if since, waits := w.desk.waiting[grants[i].UID]; waits {
			waiting[grants[i].UID] = since
		}
	}
	w.desk.mu.Unlock()
	if len(waiting) == 0 {
		return
	}
	for _, e := range w.crowd.table.Load().Endpoints {
		since, waits := waiting[e.UID]
		if now := time.Now(); waits && w.attempt(e, now) {
			w.desk.mu.Lock()
			delete(w.desk.waiting, e.UID)
			w.desk.latencies = append(w.desk.latencies, now.Sub(since).Seconds()*1000)
			w.desk.mu.Unlock()
		}
	}
}

// settled says what waits.
func (w *walker) settled() error {
	w.desk.mu.Lock()
	defer w.desk.mu.Unlock()
	if n := len(w.desk.waiting); n > 0 {
		return fmt.Errorf("%d endpoints are waited for", n)
	}
	return nil
}

// takeLatencies are those of grants since they were last taken.
func (w *walker) takeLatencies() []float64 {
	w.desk.mu.Lock()
	defer w.desk.mu.Unlock()
	taken := w.desk.latencies
	w.desk.latencies = nil
	return taken
}

// work has every proxy try so many endpoints a second, until stop is called.
func (c *crowd) work(ctx context.Context, rate float64) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var working sync.WaitGroup
	for i, w := range c.members {
		working.Go(func() {
			gap := time.Duration(float64(time.Second) / rate)
			order := rand.New(rand.NewPCG(1, uint64(i))).Perm(len(c.table.Load().Endpoints)) //nolint:gosec // an order, no secret
			for n := 0; pause(ctx, gap/2+rand.N(gap)) == nil; n++ {
				next := order[rand.IntN(min(favourites, len(order)))] //nolint:gosec // the same
				if n%othersEvery == 0 {
					next = order[n/othersEvery%len(order)]
				}
				w.try(w.endpoint(next), time.Now())
			}
		})
	}
	return func() {
		cancel()
		working.Wait()
	}
}

// collect adds what the proxies have met since it was last collected; add may be nil.
func (c *crowd) collect(add func(name, unit string, samples ...float64)) {
	var latencies []float64
	var made, refused, waiting int
	var oldest time.Duration
	for _, w := range c.members {
		latencies = append(latencies, w.takeLatencies()...)
		w.desk.mu.Lock()
		made, refused, waiting = made+w.desk.made, refused+w.desk.refused, waiting+len(w.desk.waiting)
		w.desk.made, w.desk.refused = 0, 0
		for _, since := range w.desk.waiting {
			oldest = max(oldest, time.Since(since))
		}
		w.desk.mu.Unlock()
	}
	if add == nil {
		return
	}
	add("grant", "ms", latencies...)
	add("attempts made", "1/min", float64(made))
	add("attempts refused", "1/min", float64(refused))
	add("grants waited for", "", float64(waiting))
	add("longest wait", "s", oldest.Seconds())
}
