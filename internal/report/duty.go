// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"context"
	"math/rand/v2"
	"time"
)

// duty is one of the things a reporter does again and again. Each has its own pause after failures: numbers
// that are refused must not hold up a signal.
type duty struct {
	// due is when there is something to do; false when there is nothing.
	due func(now time.Time) (at time.Time, ok bool)
	do  func(ctx context.Context) error
	// urgent duties are done between two pages of numbers, too.
	urgent bool
	// failures in a row, and until when to pause after them.
	failures  int
	notBefore time.Time
}

func (d *duty) succeeded() { d.failures, d.notBefore = 0, time.Time{} }

func (d *duty) failed(now time.Time) {
	d.failures++
	d.notBefore = now.Add(retryAfter(d.failures))
}

// next is when to do it.
func (d *duty) next(now time.Time) (at time.Time, ok bool) {
	at, ok = d.due(now)
	return later(at, d.notBefore), ok
}

// limited bounds the requests of a duty.
func limited(do func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, requestsTimeout)
		defer cancel()
		return do(ctx)
	}
}

func (r *Reporter) isDue(d *duty) bool {
	now := r.options.Clock.Now()
	at, ok := d.next(now)
	return ok && !at.After(now)
}

// failing reports whether the last try of any duty failed.
func (r *Reporter) failing() bool {
	for _, d := range r.duties {
		if d.failures > 0 {
			return true
		}
	}
	return false
}

// pause is how long nothing will be due.
func (r *Reporter) pause() time.Duration {
	now := r.options.Clock.Now()
	wait := idle
	for _, d := range r.duties {
		if at, ok := d.next(now); ok {
			wait = min(wait, at.Sub(now))
		}
	}
	return wait
}

// retryAfter doubles from firstRetry to maxRetry, and adds up to a half, so that proxies that lost the same
// API server do not come back to it all at once.
func retryAfter(failures int) time.Duration {
	pause := maxRetry
	if shift := failures - 1; shift < 5 {
		pause = firstRetry << shift
	}
	return pause + rand.N(pause/2)
}

// later is the later of two times.
func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

// earlier is the earlier of two times.
func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
