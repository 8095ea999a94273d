// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package quota

import (
	"math/bits"
	"sync/atomic"
	"time"
)

const (
	// saved is the part of a rate that may be used at once after a pause: a tenth. What is left goes by evenly, so
	// that in no minute there is more than the rate.
	saved = 10
	// dearest is the most that an attempt is held against a rate: what takes longer to pay for is a mistake.
	dearest = int64(24 * time.Hour)
)

// Rate admits so many units per minute. Its methods take no lock and may be called from anywhere; times are Unix
// nanoseconds. The zero value admits nothing until Set.
type Rate struct {
	// paid is when everything that was admitted has been paid for, by evenly units per minute.
	paid, evenly atomic.Int64
	// burst is how much may be owed, in nanoseconds.
	burst atomic.Int64
}

// Set sets how many units per minute are admitted.
func (r *Rate) Set(perMinute int64) {
	atOnce := max(perMinute/saved, 1)
	evenly := max(perMinute-atOnce, min(perMinute, 1))
	if evenly > 0 {
		// What comes one by one is rounded up each time; by less than a unit in all, so that a minute has none more.
		exact, rounded := costs(atOnce, evenly, 0), atOnce*costs(1, evenly, evenly-1)
		r.burst.Store(min(rounded, exact+costs(1, evenly, 0)))
	}
	r.evenly.Store(max(evenly, 0))
}

// Take admits n units at now, or says when they will be admitted if nothing else is; 0 when nothing ever is. More
// than may be used at once waits until so much has been saved, as if there were room for it.
func (r *Rate) Take(now, n int64) (at int64, ok bool) {
	evenly := r.evenly.Load()
	if evenly <= 0 {
		return 0, false
	}
	if n <= 0 {
		return now, true
	}
	price := costs(n, evenly, evenly-1)
	room := price - r.burst.Load()
	for {
		paid := r.paid.Load()
		if at = paid + room; at > now {
			return at, false
		}
		if r.paid.CompareAndSwap(paid, max(paid, now)+price) {
			return now, true
		}
	}
}

// Put gives back n units: those that were not used, or a negative amount when more were.
func (r *Rate) Put(n int64) {
	switch evenly := r.evenly.Load(); {
	case n == 0 || evenly <= 0:
	case n > 0:
		r.paid.Add(-costs(n, evenly, 0))
	default:
		r.paid.Add(costs(max(-n, 0), evenly, evenly-1))
	}
}

// costs is how long n units take at so many per minute, in nanoseconds. carry is what is added before division, to
// round up.
func costs(n, perMinute, carry int64) int64 {
	high, low := bits.Mul64(uint64(n), uint64(time.Minute))
	low, over := bits.Add64(low, uint64(carry), 0)
	if high += over; high >= uint64(perMinute) {
		return dearest
	}
	long, _ := bits.Div64(high, low, uint64(perMinute))
	return int64(min(long, uint64(dearest)))
}
