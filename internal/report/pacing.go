// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"time"

	"github.com/turnout-ai/turnout/api/v1alpha1"
	"github.com/turnout-ai/turnout/internal/translate"
)

const (
	// DefaultInterval is how often numbers are written when the operator does not say; shortestInterval is the
	// least that is believed.
	DefaultInterval  = 5 * time.Second
	shortestInterval = time.Second

	// firstPause is the least time between two writes of signals: long enough to gather what a burst of failures
	// says, and short beside what a verdict may take. It doubles while they keep coming.
	firstPause = 20 * time.Millisecond
	// fleetSpacing is how far apart the writes of signals and asks of the whole fleet are on average, ten a second,
	// of which each proxy has its share. A small fleet may have saved up ten seconds of that, and each proxy
	// leastBurst writes at least.
	fleetSpacing = 100 * time.Millisecond
	fleetBurst   = 100
	leastBurst   = 5
	// Above so many proxies a signal waits for up to maxJitter, so that not all say the same at once.
	jitterAbove = 10
	maxJitter   = 20 * time.Millisecond
)

// cadence is how often the operator wants to hear from this proxy.
type cadence struct {
	interval time.Duration
	proxies  int
}

var defaultCadence = cadence{interval: DefaultInterval, proxies: 1}

// readCadence is what the operator's half of an instance asks for.
func readCadence(spec *v1alpha1.ProxyInstanceSpec) cadence {
	c := defaultCadence
	if spec.ReportInterval != nil {
		// What cannot be read the schema does not admit.
		if d, err := translate.Duration(*spec.ReportInterval); err == nil {
			c.interval = max(d, shortestInterval)
		}
	}
	if spec.Proxies != nil {
		c.proxies = max(int(*spec.Proxies), 1)
	}
	return c
}

// spacing is how far apart this proxy's writes of signals are on average.
func (c cadence) spacing() time.Duration { return time.Duration(c.proxies) * fleetSpacing }

// burst is how many writes this proxy may have saved up.
func (c cadence) burst() int { return max(leastBurst, fleetBurst/c.proxies) }

// pacing decides how soon signals and asks may be written again. The first of a quiet time goes out at once; then
// there is a pause, which doubles as long as there is always something more to say and nobody answers; and in the
// long run there are no more writes than this proxy's share. The zero value has written nothing. It has no clock of
// its own.
type pacing struct {
	last  time.Time
	pause time.Duration
	// vain is when there was last nothing to write, though somebody had thought so.
	vain time.Time
	// spent is until when the share is used up: every write moves it on by the spacing.
	spent time.Time
}

// next is when the next write may be.
func (p *pacing) next(c cadence) time.Time {
	spacing, burst := c.spacing(), c.burst()
	// The share that was used up with a larger fleet counts as one of this fleet.
	spent := earlier(p.spent, p.last.Add(time.Duration(burst)*spacing))
	next := later(p.last.Add(p.pause), spent.Add(-time.Duration(burst-1)*spacing))
	return later(next, p.vain.Add(firstPause))
}

// wrote notes a write.
func (p *pacing) wrote(now time.Time, c cadence) {
	if p.pause > 0 && now.Sub(p.last) < 2*p.pause {
		p.pause = min(2*p.pause, c.interval)
	} else {
		p.pause = firstPause
	}
	p.last = now
	p.spent = later(p.spent, now).Add(c.spacing())
}

// looked notes that there was nothing to write. Whoever finds a limit used up says so with each request: looking at
// everything as often would cost more than the requests.
func (p *pacing) looked(now time.Time) { p.vain = now }

// answered notes that the operator has answered. Who waits for an answer before it asks again needs no longer pause.
func (p *pacing) answered() { p.pause = min(p.pause, firstPause) }
