// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package modelstate

import (
	"slices"
	"time"
)

// newTrial is the trial that the named units ask for: of each term the strictest.
func newTrial(since time.Time, policies []string, units []Unit) *Trial {
	t := &Trial{Since: since, Policies: policies}
	t.terms(units, func(policy string) bool { return concerns(policies, policy, units) })
	return t
}

// terms sets the strictest terms of the units that are meant.
func (t *Trial) terms(units []Unit, meant func(policy string) bool) {
	t.InitialPercent, t.Ramp, t.Successes = 100, 0, 1
	for i := range units {
		u := &units[i]
		if !meant(u.Policy) {
			continue
		}
		t.InitialPercent = min(t.InitialPercent, max(u.InitialPercent, 1))
		t.Ramp = max(t.Ramp, u.Ramp)
		t.Successes = max(t.Successes, u.Successes)
	}
}

// concerns reports whether a unit is meant by names of policies: it is named, or none that is named is in
// force any more.
func concerns(policies []string, policy string, units []Unit) bool {
	if slices.Contains(policies, policy) {
		return true
	}
	return !slices.ContainsFunc(units, func(u Unit) bool { return slices.Contains(policies, u.Policy) })
}

// Percent is the share of its traffic that the endpoint gets at now.
func (t *Trial) Percent(now time.Time) int {
	// Microseconds, so that no ramp that can be written runs over.
	elapsed, ramp := now.Sub(t.Since).Microseconds(), t.Ramp.Microseconds()
	if elapsed >= ramp {
		return 100
	}
	initial := min(max(t.InitialPercent, 1), 100)
	if elapsed <= 0 {
		return initial
	}
	return initial + int(int64(100-initial)*elapsed/ramp)
}

// graduate ends a trial that is passed: enough successes, and the ramp is over.
func (j *judging) graduate() {
	t := j.s.Trial
	if t == nil || j.now.Before(t.Since.Add(t.Ramp)) ||
		successes(j.s.Epoch, j.in.Evidence.Signals) < int64(t.Successes) {
		return
	}
	j.advance()
	j.s.Trial, j.s.Trips, j.s.EarlierFailures = nil, 0, 0
	j.change(TrialPassed, 0, "the endpoint has all its traffic again")
}

// latestEnd is when the last of the verdicts ended.
func latestEnd(ended []Verdict) time.Time {
	var until time.Time
	for i := range ended {
		until = later(until, ended[i].Until)
	}
	return until
}
