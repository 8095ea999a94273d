// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/turnout-ai/turnout/internal/modelstate"
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
