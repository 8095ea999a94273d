// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package quota

import (
	"math"
	"time"
)

// memory is how far back a demand reaches: what is older counts for about a third.
const memory = 10 * time.Second

// demand is how fast something is used, smoothed. What was set aside and put back cancels out.
type demand struct {
	perSecond float64
	spent     int64
	at        time.Time
}

// observe takes note of all that was spent until now, and of what was refused since the last look.
func (d *demand) observe(spent, refused int64, now time.Time) {
	elapsed := time.Second
	if !d.at.IsZero() {
		elapsed = now.Sub(d.at)
	}
	if elapsed > 0 {
		seconds := elapsed.Seconds()
		weight := 1 - math.Exp(-seconds/memory.Seconds())
		d.perSecond += weight * ((float64(spent)-float64(d.spent)+float64(refused))/seconds - d.perSecond)
	}
	d.spent, d.at = spent, now
}

// in is what is used in a length of time.
func (d *demand) in(length time.Duration) int64 {
	return int64(min(max(math.Round(d.perSecond*length.Seconds()), 0), math.MaxInt64/4))
}
