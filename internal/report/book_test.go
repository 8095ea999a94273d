// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/turnout-ai/turnout/internal/modelstate"
	"github.com/turnout-ai/turnout/internal/quota"
)

// period is the start of the period of all tests.
var period = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)

// fakeBook is a Book that a test writes.
type fakeBook struct {
	mu       sync.Mutex
	signals  []modelstate.Signal
	isolated bool
	numbers  []modelstate.Numbers
	urgent   chan struct{}
	// purses are of the requests of the first so many endpoints, as a proxy has them. asks, if not nil, is what is
	// said instead.
	purses []*quota.Purse
	asks   []quota.EndpointAsk
	// looks counts how often asks were asked for. events are what came from the operator, in words.
	looks  int
	events []string
}

func (f *fakeBook) Signals(time.Time) (signals []modelstate.Signal, isolated bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.signals), f.isolated
}

func (f *fakeBook) Numbers(time.Time) []modelstate.Numbers {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.numbers)
}

func (f *fakeBook) Urgent() <-chan struct{} { return f.urgent }

func (f *fakeBook) Asks(now time.Time, interval time.Duration) []quota.EndpointAsk {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.looks++
	if f.asks != nil {
		return slices.Clone(f.asks)
	}
	var asks []quota.EndpointAsk
	for i, p := range f.purses {
		if a, ok := p.Ask(now, quota.PaceOf(interval)); ok {
			asks = append(asks, quota.EndpointAsk{Endpoint: endpoint(i), Asks: []quota.Ask{a}})
		}
	}
	return asks
}

func (f *fakeBook) Granted(grants []quota.EndpointGrant, proxies int, _ time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, g := range grants {
		f.events = append(f.events, fmt.Sprintf("%s may use %d, one of %d", g.Name, g.Grants[0].Granted, proxies))
		for i, p := range f.purses {
			if g.Endpoint == endpoint(i) {
				p.Grant(g.Grants[0])
			}
		}
	}
}

func (f *fakeBook) Disowned() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.events = append(f.events, "disowned")
	for i := range f.purses {
		f.purses[i] = quota.NewPurse(f.purses[i].Key(), 0)
	}
}

// limit has so many endpoints with a limit of requests.
func (f *fakeBook) limit(endpoints int) {
	f.set(func() {
		for range endpoints {
			f.purses = append(f.purses, quota.NewPurse(quota.Key{Limit: quota.Requests, Start: period}, 0))
		}
	})
}

// take tries to use one request of an endpoint.
func (f *fakeBook) take(i int) (taken bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, taken, ask := f.purses[i].Take(1)
	if ask {
		remind(f.urgent)
	}
	return taken
}

// exhaust uses all that is free of an endpoint, and tries to use one more. Nobody looks in between.
func (f *fakeBook) exhaust(i int) {
	f.set(func() {
		for taken := true; taken; {
			_, taken, _ = f.purses[i].Take(1)
		}
	})
	remind(f.urgent)
}

// retire has all purses give back what they have.
func (f *fakeBook) retire() {
	f.set(func() {
		for _, p := range f.purses {
			p.Retire()
		}
	})
}

// free is what may be used of an endpoint.
func (f *fakeBook) free(i int) int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.purses[i].Free()
}

// heard is what came from the operator since the last time.
func (f *fakeBook) heard() (events []string) {
	f.set(func() { events, f.events = f.events, nil })
	return events
}

func endpoint(i int) quota.Endpoint {
	return quota.Endpoint{UID: uid(i), Namespace: "team", Name: fmt.Sprintf("endpoint-%d", i)}
}

// fail has so many endpoints with a streak of failures, and says that it is urgent.
func (f *fakeBook) fail(endpoints int, failures int64) {
	f.set(func() {
		f.signals = nil
		for i := range endpoints {
			f.signals = append(f.signals, modelstate.Signal{
				Endpoint: uid(i), Namespace: "team", Name: fmt.Sprintf("endpoint-%d", i), Epoch: 1,
				Failures: failures, Requests: failures, Since: period, LastFailure: period.Add(time.Duration(failures) * time.Second),
				Message: "503 from api.example.com",
			})
		}
	})
	remind(f.urgent)
}

// use counts requests of the first so many endpoints.
func (f *fakeBook) use(endpoints int, requests int64) {
	f.set(func() {
		for i := range endpoints {
			if i == len(f.numbers) {
				f.numbers = append(f.numbers, modelstate.Numbers{
					Endpoint: uid(i), Namespace: "team", Name: fmt.Sprintf("endpoint-%d", i),
					Quota: []modelstate.PeriodUsage{{Start: period}}, Budget: []modelstate.PeriodUsage{{Start: period}},
				})
			}
			n := &f.numbers[i]
			n.Quota, n.Budget = slices.Clone(n.Quota), slices.Clone(n.Budget)
			for _, u := range []*modelstate.PeriodUsage{&n.Quota[0], &n.Budget[0]} {
				u.Requests += requests
				u.Tokens.Input += 100 * requests
				u.Cost += 12345 * requests
			}
		}
	})
}

func (f *fakeBook) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

func uid(i int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012d", i) }
