// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package modelstate

import (
	"fmt"
	"slices"
	"time"
)

// errorThreshold is the verdict on failures, by the count or by the rate of any unit; nil without one. One
// incident trips once: while it rests already nothing is added.
func (j *judging) errorThreshold() *Verdict {
	if j.s.find(ErrorThreshold) != nil || j.s.find(ProviderOutage) != nil {
		return nil
	}
	streak := fleetStreak(j.s.Epoch, j.in.Evidence.Signals)
	standing := standingStreak(j.s.Epoch, j.in.Evidence.Signals)
	t := tripped{basis: j.basis(&streak)}
	counted := streak.failures > 0 && j.believe(&streak) && !j.refuted(t.basis)
	rated := standing.believed(&j.in.Evidence, j.s.Withdrawn)
	for i := range j.units {
		u := &j.units[i]
		byRate := rated && j.overRate(u)
		if byRate || counted && j.overCount(u, &streak) {
			t.add(u, byRate, cooldown(u, j.exponent()))
		}
	}
	if t.first == nil {
		return nil
	}
	return j.threshold(&t, &streak)
}

// tripped are the units whose thresholds are passed.
type tripped struct {
	// first is the first of them, of those by their rate when there are any.
	first    *Unit
	byRate   bool
	policies []string
	cooldown time.Duration
	basis    Basis
}

// add counts a unit in.
func (t *tripped) add(u *Unit, byRate bool, cooldown time.Duration) {
	if t.first == nil || byRate && !t.byRate {
		t.first, t.byRate = u, byRate
	}
	t.cooldown = max(t.cooldown, cooldown)
	if u.Policy != "" {
		t.policies = append(t.policies, u.Policy)
	}
}

// threshold is the verdict of those units.
func (j *judging) threshold(t *tripped, streak *streak) *Verdict {
	slices.Sort(t.policies)
	t.policies = bounded(slices.Compact(t.policies))
	until := secondUp(j.now.Add(t.cooldown))
	what := consecutive(streak.failures, j.s.Trial != nil)
	if t.byRate {
		// Some attempts are expected to succeed then, so a success refutes nothing.
		t.basis = Basis{}
		rate := j.in.Evidence.Window[t.first.Policy]
		what = fmt.Sprintf("%d of %d attempts failed within %s", rate.Failures, rate.Attempts, short(t.first.Window))
	}
	j.s.Evidence = t.basis
	return &Verdict{
		Reason: ErrorThreshold, Until: until, Policies: t.policies, Trial: true,
		Message: what + lastFailure(streak.message) + "; tried again at " + clock(until, j.now) + byPolicies(t.policies),
	}
}

// overCount reports whether a unit's count is passed. On trial one failure is enough.
func (j *judging) overCount(u *Unit, streak *streak) bool {
	if trial := j.s.Trial; trial != nil {
		return concerns(trial.Policies, u.Policy, j.units)
	}
	return streak.failures >= u.ConsecutiveFailures && streak.requests >= 2
}

// overRate reports whether a unit's rate is passed, by attempts of this epoch.
func (j *judging) overRate(u *Unit) bool {
	rate, known := j.in.Evidence.Window[u.Policy]
	return known && j.windowEpoch == j.s.Epoch && u.ErrorRate > 0 && rate.Attempts > 0 && rate.Attempts >= u.MinimumRequests &&
		rate.Failures*1_000_000 >= u.ErrorRate*rate.Attempts
}

// believe reports whether the fleet's count is more than one proxy's word. Where it is not, but the operator's
// own eyes could settle it, they are asked for.
func (j *judging) believe(streak *streak) bool {
	if streak.believed(&j.in.Evidence, j.s.Withdrawn) {
		return true
	}
	over := slices.ContainsFunc(j.units, func(u Unit) bool { return j.overCount(&u, streak) })
	j.confirm = over && streak.unconnected()
	return false
}

// basis is what a verdict on a streak would rest on.
func (j *judging) basis(streak *streak) Basis {
	return Basis{Epoch: j.s.Epoch, Time: micros(later(streak.last, streak.since))}
}

// refuted reports whether a proxy knows of a success that is newer than a basis, of an attempt of its epoch.
func (j *judging) refuted(basis Basis) bool {
	for i := range j.in.Evidence.Signals {
		signal := &j.in.Evidence.Signals[i]
		if signal.Epoch == basis.Epoch && signal.LastSuccess.After(basis.Time) ||
			signal.Epoch == basis.Epoch+1 && signal.PreviousSuccess.After(basis.Time) {
			return true
		}
	}
	return false
}

// cooldown doubles with each trip.
func cooldown(u *Unit, trips int) time.Duration {
	if trips >= 62 || u.Cooldown > u.MaxCooldown>>max(trips, 0) {
		return u.MaxCooldown
	}
	return u.Cooldown << max(trips, 0)
}

// longestCooldown is that of the unit that wants the longest.
func longestCooldown(units []Unit, trips int) time.Duration {
	var longest time.Duration
	for i := range units {
		longest = max(longest, cooldown(&units[i], trips))
	}
	return longest
}

// exponent is how often the cooldown of a trip now doubles. A reason that joins another of the same stretch
// rests as long as that one.
func (j *judging) exponent() int {
	if j.s.resting() {
		return max(j.s.Trips-1, 0)
	}
	return max(j.s.Trips, 0)
}

// resting reports whether a trip holds that has been counted.
func (s *State) resting() bool {
	return slices.ContainsFunc(s.Verdicts, func(v Verdict) bool { return v.Trial && v.Reason.trips() })
}

// trips reports whether the reason ends by a cooldown.
func (r Reason) trips() bool {
	return r == ErrorThreshold || r == ProviderOutage || r == ModelNotFound || r == QuotaExhausted
}
