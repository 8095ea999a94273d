// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"sync"
	"time"
)

const (
	// budgetSeconds is how long a retry budget looks back.
	budgetSeconds = 10
	// budgetLeast is how many attempts beyond the first are always allowed within that time: with few requests
	// a share of them is nothing.
	budgetLeast = 10
)

// retryBudget bounds the attempts of a policy's requests beyond their first by a share of the requests of the last
// ten seconds. Without it an outage of everything would multiply the load by the attempts of each request.
type retryBudget struct {
	mu      sync.Mutex // guards seconds
	seconds [budgetSeconds]budgetSecond
}

// budgetSecond counts within one second.
type budgetSecond struct {
	at                int64 // in Unix seconds
	requests, retries int64
}

// request counts a request.
func (b *retryBudget) request(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.second(now).requests++
}

// take counts an attempt beyond the first of its request, unless the budget is spent at percent for each hundred
// requests.
func (b *retryBudget) take(now time.Time, percent int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.left(now, percent) {
		return false
	}
	b.second(now).retries++
	return true
}

// giveBack takes back what was counted for an attempt that was not made.
func (b *retryBudget) giveBack(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.second(now).retries--
}

// allows reports whether take would.
func (b *retryBudget) allows(now time.Time, percent int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.left(now, percent)
}

func (b *retryBudget) left(now time.Time, percent int) bool {
	var requests, retries int64
	for i := range b.seconds {
		if s := &b.seconds[i]; now.Unix()-s.at < budgetSeconds {
			requests += s.requests
			retries += s.retries
		}
	}
	return retries < max(budgetLeast, requests*int64(percent)/100)
}

// second is where what happens now is counted.
func (b *retryBudget) second(now time.Time) *budgetSecond {
	at := now.Unix()
	s := &b.seconds[at%budgetSeconds]
	if s.at != at {
		*s = budgetSecond{at: at}
	}
	return s
}
