// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package health

import "sync/atomic"

// line is where requests stand that wait for an endpoint at a limit. What is lent wakes all of them; what one
// attempt leaves wakes one, who wakes the next if it is served: else each end of an attempt would wake everybody,
// most of them for nothing, when there is most to do.
type line struct {
	waiting atomic.Int64
	lit     atomic.Pointer[chan struct{}]
	freed   chan struct{}
}

// keptFreed is how many ends of attempts are remembered for those in the line.
const keptFreed = 16

func newLine() line { return line{freed: make(chan struct{}, keptFreed)} }

// more returns what is closed when everybody is next woken.
func (l *line) more() <-chan struct{} {
	for {
		if c := l.lit.Load(); c != nil {
			return *c
		}
		c := make(chan struct{})
		if l.lit.CompareAndSwap(nil, &c) {
			return c
		}
	}
}

// all wakes everybody.
func (l *line) all() {
	if l.lit.Load() == nil {
		return
	}
	if c := l.lit.Swap(nil); c != nil {
		close(*c)
	}
}

// next wakes one.
func (l *line) next() {
	if l.waiting.Load() == 0 {
		return
	}
	select {
	case l.freed <- struct{}{}:
	default: // several are about to be woken
	}
}

// Place is a place in the line of an endpoint that is at a limit. The zero value is of one that has none.
type Place struct{ line *line }

// Queue takes a place, which must be left.
func (e *Endpoint) Queue() Place {
	l := e.limited.Load()
	if l == nil {
		return Place{}
	}
	l.wallet.line.waiting.Add(1)
	return Place{&l.wallet.line}
}

// More is closed when more may be admitted than could be when it was asked for; Freed receives when an attempt has
// left something for one of those that wait. A nil channel: nobody has to wait.
func (p Place) More() <-chan struct{} {
	if p.line == nil {
		return nil
	}
	return p.line.more()
}

// Freed receives when it is the turn of one of those that wait.
func (p Place) Freed() <-chan struct{} {
	if p.line == nil {
		return nil
	}
	return p.line.freed
}

// Leave gives the place up. Whoever was served lets the next one try.
func (p Place) Leave(served bool) {
	if p.line == nil {
		return
	}
	p.line.waiting.Add(-1)
	if served {
		p.line.next()
	}
}
