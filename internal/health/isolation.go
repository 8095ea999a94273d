// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package health

import (
	"math"
	"time"
)

// isolationWindow is how long a failure to connect counts when this proxy asks whether it is to blame.
const isolationWindow = 10 * time.Second

// Isolated reports whether this proxy blames its own network: endpoints of two providers could not be
// connected to at their latest attempts, within isolationWindow, and nobody has answered anything since. Once
// it does, it goes on until somebody answers: silence is no news.
func (r *Registry) Isolated(now time.Time) bool {
	r.examine(now.UnixNano())
	return r.isolated.Load()
}

// suspect examines after a failure to connect. Once it is isolated, more of them are no news.
func (r *Registry) suspect(now int64) {
	if !r.isolated.Load() {
		r.examine(now)
	}
}

// examine decides anew whether this proxy is isolated.
func (r *Registry) examine(now int64) {
	since := now - int64(isolationWindow)
	if r.isolated.Load() {
		since = 0
	}
	var answered int64
	earliest, first, several := int64(math.MaxInt64), "", false
	for _, b := range r.inUse() {
		e := b.endpoint.Load()
		heard, failed := e.answered.Load(), e.unconnected.Load()
		answered = max(answered, heard)
		if failed <= max(heard, e.unanswered.Load()) || failed < since {
			continue
		}
		provider := e.terms.Load().provider
		several = several || earliest != math.MaxInt64 && provider != first
		first, earliest = provider, min(earliest, failed)
	}
	r.setIsolated(several && answered < earliest)
}

// setIsolated says at once when something has changed: verdicts that were sent before must not stand.
func (r *Registry) setIsolated(isolated bool) {
	if r.isolated.Swap(isolated) == isolated {
		return
	}
	r.notify()
	if isolated {
		r.log.Warn("endpoints of several providers cannot be connected to, and nobody answers: " +
			"this proxy blames its own network, and reports no failures until somebody answers")
		return
	}
	r.log.Info("a provider has answered, or fewer fail: this proxy no longer blames its own network")
}
