// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package modelstate

import (
	"slices"
	"time"
)

// Judgement is what Judge decides.
type Judgement struct {
	// State is the next one; equal to the one before when nothing changed.
	State State
	// Changes are what happened between the two, for Events and logs, in order.
	Changes []Change
	// Confirm says that proxies cannot connect, and that the operator should try for itself: another verdict
	// depends on it.
	Confirm bool
	// Next is when time alone changes the judgement; zero when it does not.
	Next time.Time
}

// ChangeKind is what happened to an endpoint.
type ChangeKind uint8

// The kinds of changes.
const (
	// Deactivated: a reason began to hold.
	Deactivated ChangeKind = iota + 1
	// Activated: no reason holds any more, and no trial is needed.
	Activated
	// TrialBegun: no reason holds any more, and traffic comes back by shares.
	TrialBegun
	// TrialPassed: the endpoint has all its traffic again.
	TrialPassed
	// Withdrawn: a verdict was taken back because of a newer success.
	Withdrawn
	// Reconfigured: url, model or credential changed, and the past no longer counts.
	Reconfigured
)

// Change is one thing that happened.
type Change struct {
	Kind ChangeKind
	// Reason is the reason that began or ended; zero where none did.
	Reason  Reason
	Message string
}

// Judge decides how an endpoint stands at now. It is a pure function: the same arguments give the same
// judgement, and judging again with the State it returned and the same evidence changes nothing. Nothing that
// happened after now is believed, so now is read after the evidence was gathered.
func Judge(s State, in *Input, now time.Time) Judgement {
	j := newJudging(s, in, now)
	j.configure()
	// What one transition leaves can call for the next only when there is evidence of the epoch it began. There
	// is no more of that than there are reasons.
	for range 2 * len(reasonNames) {
		epoch := j.s.Epoch
		j.pass()
		if j.s.Epoch == epoch {
			break
		}
	}
	j.count()
	if s.Active() != j.s.Active() || s.Reason() != j.s.Reason() {
		j.s.LastTransition = micros(now)
	}
	return Judgement{State: j.s, Changes: j.changes, Confirm: j.confirm, Next: j.next()}
}

// judging is one judgement in the making. Slices and the Trial of s belong to whoever called: they are
// replaced, never written to.
type judging struct {
	s     State
	in    *Input
	units []Unit
	now   time.Time
	// windowEpoch is the epoch in which the attempts of the window began.
	windowEpoch int64
	changes     []Change
	confirm     bool
}

func newJudging(s State, in *Input, now time.Time) judging {
	j := judging{s: s, in: in, units: inForce(in.Units), now: now.UTC(), windowEpoch: in.Evidence.WindowEpoch}
	if j.windowEpoch == 0 {
		j.windowEpoch = max(s.Epoch, 1)
	}
	return j
}

// inForce are the units to judge by.
func inForce(units []Unit) []Unit {
	if len(units) == 0 {
		return defaultUnits
	}
	return units
}

var defaultUnits = []Unit{DefaultUnit}

// pass takes each step once. Ends come before beginnings: an end begins an epoch, and what was known before
// belongs to an older one then.
func (j *judging) pass() {
	j.confirm = false
	j.probe()
	j.end()
	j.withdraw()
	j.begin()
	j.law()
	j.graduate()
}

// configure begins an epoch without a past when the endpoint is no longer what it was.
func (j *judging) configure() {
	before := j.s.Configuration
	j.s.Configuration = j.in.Configuration
	if before == "" || j.s.Epoch < 1 {
		j.s.Epoch = max(j.s.Epoch, 1)
		return
	}
	if before == j.in.Configuration {
		return
	}
	j.s = State{
		Epoch:          j.s.Epoch + 1,
		Configuration:  j.in.Configuration,
		Verdicts:       without(j.s.Verdicts, Reason.Health),
		LastTransition: j.s.LastTransition,
	}
	j.change(Reconfigured, 0, "url, model or credential changed; what was known of the endpoint no longer counts")
}

// probe counts the probes that failed in a row.
func (j *judging) probe() {
	news := &j.in.Probe
	if news.FailureThreshold <= 0 {
		j.s.Probe = Probe{}
		return
	}
	failed, succeeded := micros(news.Failed), micros(news.Succeeded)
	if succeeded.After(j.s.Probe.LastFailure) {
		j.s.Probe = Probe{}
	}
	if failed.After(j.s.Probe.LastFailure) && failed.After(succeeded) {
		j.s.Probe.Failures = min(j.s.Probe.Failures+1, maxProbeFailures)
		j.s.Probe.LastFailure = failed
		j.s.Probe.Message = cut(news.Message, maxNewsMessage)
	}
}

// maxProbeFailures keeps the count within what the API can carry.
const maxProbeFailures = 1<<31 - 1

// count says how many failures there were in a row. A success of this epoch is newer than all of earlier ones.
func (j *judging) count() {
	streak := fleetStreak(j.s.Epoch, j.in.Evidence.Signals)
	if !streak.success.IsZero() {
		j.s.EarlierFailures = 0
	}
	j.s.FailureCount = plus(j.s.EarlierFailures, streak.failures)
}

// advance begins the next epoch. The failures of the one that ends still count as failures in a row.
func (j *judging) advance() {
	j.count()
	j.s.EarlierFailures = j.s.FailureCount
	j.s.Epoch++
	j.s.Withdrawn = false
}

// next is when time alone will change something.
func (j *judging) next() time.Time {
	var next time.Time
	at := func(t time.Time) {
		if t.After(j.now) && (next.IsZero() || t.Before(next)) {
			next = t
		}
	}
	for i := range j.s.Verdicts {
		at(j.s.Verdicts[i].Until)
	}
	if t := j.s.Trial; t != nil && successes(j.s.Epoch, j.in.Evidence.Signals) >= int64(t.Successes) {
		at(t.Since.Add(t.Ramp))
	}
	return next
}

func (j *judging) change(kind ChangeKind, reason Reason, message string) {
	j.changes = append(j.changes, Change{Kind: kind, Reason: reason, Message: cut(message, maxMessage)})
}

// find returns the verdict for a reason; nil when it does not hold.
func (s *State) find(reason Reason) *Verdict {
	for i := range s.Verdicts {
		if s.Verdicts[i].Reason == reason {
			return &s.Verdicts[i]
		}
	}
	return nil
}

// without returns the verdicts whose reasons are not meant: the same slice when none is.
func without(verdicts []Verdict, meant func(Reason) bool) []Verdict {
	if !slices.ContainsFunc(verdicts, func(v Verdict) bool { return meant(v.Reason) }) {
		return verdicts
	}
	var kept []Verdict
	for _, v := range verdicts {
		if !meant(v.Reason) {
			kept = append(kept, v)
		}
	}
	return kept
}
