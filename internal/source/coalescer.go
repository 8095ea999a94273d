// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package source

import "time"

const (
	// holdoff is how long a change waits for company: kubectl apply of a directory, or a rollout that touches
	// an endpoint and its policy, becomes one table.
	holdoff = 5 * time.Millisecond
	// maxDelay bounds the wait while changes keep coming. With the time to build it stays well inside the
	// promise that a change is live within 100 ms.
	maxDelay = 40 * time.Millisecond
)

// coalescer decides when a burst of changes is worth a new table: holdoff after the latest change, and never
// later than maxDelay after the first. The zero value has seen no change. It has no clock of its own.
type coalescer struct {
	// first and latest are the times of the first and the latest change since clear; zero without one.
	first, latest time.Time
	// postponed, if not zero, is when to try again unless another change comes before.
	postponed time.Time
}

// change notes a change.
func (c *coalescer) change(now time.Time) {
	if c.first.IsZero() {
		c.first = now
	}
	c.latest, c.postponed = now, time.Time{}
}

// due is when the changes are to be acted on; ok is false when there are none.
func (c *coalescer) due() (at time.Time, ok bool) {
	if c.first.IsZero() {
		return time.Time{}, false
	}
	if !c.postponed.IsZero() {
		return c.postponed, true
	}
	quiet, latest := c.latest.Add(holdoff), c.first.Add(maxDelay)
	if quiet.After(latest) {
		return latest, true
	}
	return quiet, true
}

// postpone keeps the changes for another try, at the given time or at the next change.
func (c *coalescer) postpone(until time.Time) { c.postponed = until }

// clear forgets the changes: they have been acted on.
func (c *coalescer) clear() { *c = coalescer{} }
