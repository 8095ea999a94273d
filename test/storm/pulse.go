// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package storm

import (
	"context"
	"sync"
	"time"
)

const (
	// beat is how often a process looks at the clock, late how much later than due it does so when it has stood still.
	beat = 20 * time.Millisecond
	late = 200 * time.Millisecond
	// starved is how long a process must have stood still during an attempt for that to be why it failed.
	starved = 400 * time.Millisecond
)

// stall is a time in which a process stood still, because the machine had more to do than it can.
type stall struct{ From, To time.Time }

// pulse notes when its process stood still: what then takes too long says nothing about the proxy.
type pulse struct {
	mu     sync.Mutex
	stalls []stall
}

// run beats until ctx ends.
func (p *pulse) run(ctx context.Context) {
	for {
		due := time.Now().Add(beat)
		if !until(ctx, due) {
			return
		}
		if now := time.Now(); now.Sub(due) >= late {
			p.mu.Lock()
			p.stalls = append(p.stalls, stall{due, now})
			p.mu.Unlock()
		}
	}
}

// list returns what was noted so far.
func (p *pulse) list() []stall {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]stall{}, p.stalls...)
}

// stood is how much of a span of time lies in stalls.
func stood(stalls []stall, from, to time.Time) (total time.Duration) {
	for _, s := range stalls {
		if begin, end := later(s.From, from), earlier(s.To, to); end.After(begin) {
			total += end.Sub(begin)
		}
	}
	return total
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
