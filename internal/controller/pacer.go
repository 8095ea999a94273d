// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

const (
	// minNumbersInterval is how often the numbers of one endpoint are written at most.
	minNumbersInterval = 10 * time.Second
	// numbersPerSecond and numbersBytesPerSecond bound what all of them together cost the API server. They are
	// half of what reports and numbers may cost; the other half is for the reports.
	numbersPerSecond      = 10
	numbersBytesPerSecond = 500_000
	// firstStatusSize is how large a status is taken to be before one was written, in bytes.
	firstStatusSize = 4096
	// sizeMemory is how many writes the mean size remembers.
	sizeMemory = 32
	// forgetEndpoints is how long an endpoint counts as changing after its numbers last did, in intervals.
	forgetEndpoints = 2
	// burst is how many seconds of writes may go out at once after a pause.
	burst = 1
)

// Pacer spreads the writes of numbers. Transitions do not ask it: they cannot wait.
type Pacer struct {
	mu sync.Mutex
	// Everything below is guarded by mu.
	endpoints map[types.UID]pace
	// size is the mean size of a status that was written, in bytes.
	size float64
	// writes and bytes are what may be written now; filled is when they were last counted.
	writes, bytes float64
	filled        time.Time
	swept         time.Time
}

// pace is when the numbers of an endpoint last changed and were last written.
type pace struct {
	changed, written time.Time
}

// NewPacer makes a pacer that has seen nothing.
func NewPacer() *Pacer {
	return &Pacer{
		endpoints: map[types.UID]pace{}, size: firstStatusSize,
		writes: numbersPerSecond * burst, bytes: numbersBytesPerSecond * burst,
	}
}

// Ask reports whether the changed numbers of an endpoint may be written now, and otherwise how long to wait
// before asking again.
func (p *Pacer) Ask(uid types.UID, now time.Time) (wait time.Duration, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	e := p.endpoints[uid]
	e.changed = now
	p.endpoints[uid] = e
	p.sweep(now)
	return p.turn(uid, now)
}

// AskAhead is Ask for a lease that nobody waits for: it rides with the endpoint's next numbers, together with those
// of all other proxies. They ask early enough for that.
func (p *Pacer) AskAhead(uid types.UID, now time.Time) (wait time.Duration, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.turn(uid, now)
}

func (p *Pacer) turn(uid types.UID, now time.Time) (wait time.Duration, ok bool) {
	p.fill(now)
	e := p.endpoints[uid]
	if due := e.written.Add(p.interval()); !e.written.IsZero() && due.After(now) {
		return due.Sub(now), false
	}
	if !p.affords() {
		return time.Second, false
	}
	return 0, true
}

// affords reports whether one more may be written now.
func (p *Pacer) affords() bool {
	return p.writes >= 1 && p.bytes >= min(p.size, numbersBytesPerSecond*burst)
}

// Wrote notes a write of the endpoint's status; every one carries the newest numbers. Only those that asked
// are charged: paced is false for transitions.
func (p *Pacer) Wrote(uid types.UID, size int, paced bool, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	e := p.endpoints[uid]
	e.written = now
	p.endpoints[uid] = e
	p.size += (float64(size) - p.size) / sizeMemory
	if paced {
		p.fill(now)
		p.writes--
		p.bytes -= float64(size)
	}
}

// Interval is how often the numbers of one endpoint are written now.
func (p *Pacer) Interval(now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sweep(now)
	return p.interval()
}

// interval grows with the endpoints whose numbers change, so that all of them get their turn.
func (p *Pacer) interval() time.Duration {
	busy := float64(len(p.endpoints))
	seconds := max(busy/numbersPerSecond, busy*p.size/numbersBytesPerSecond)
	return max(minNumbersInterval, time.Duration(seconds*float64(time.Second)))
}

// fill adds what may be written since it was last counted.
func (p *Pacer) fill(now time.Time) {
	if elapsed := now.Sub(p.filled).Seconds(); !p.filled.IsZero() && elapsed > 0 {
		p.writes = min(p.writes+elapsed*numbersPerSecond, numbersPerSecond*burst)
		p.bytes = min(p.bytes+elapsed*numbersBytesPerSecond, numbersBytesPerSecond*burst)
	}
	p.filled = now
}

// sweep forgets endpoints whose numbers no longer change. Once a second is often enough: there may be
// thousands.
func (p *Pacer) sweep(now time.Time) {
	if now.Sub(p.swept) < time.Second {
		return
	}
	p.swept = now
	old := now.Add(-forgetEndpoints * p.interval())
	for uid, e := range p.endpoints {
		if e.changed.Before(old) && e.written.Before(old) {
			delete(p.endpoints, uid)
		}
	}
}
