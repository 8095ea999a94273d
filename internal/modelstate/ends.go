// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package modelstate

import "slices"

// end takes away the verdicts of health whose time has come, or that something ended. With the last of them
// the endpoint is back, and an epoch begins.
func (j *judging) end() {
	if !slices.ContainsFunc(j.s.Verdicts, func(v Verdict) bool { return j.ending(&v) != held }) {
		return
	}
	var ended, left []Verdict
	inTime := true
	for _, v := range j.s.Verdicts {
		how := j.ending(&v)
		if how == held {
			left = append(left, v)
			continue
		}
		v.Trial = v.Trial && how != disproved
		inTime = inTime && how == expired
		ended = append(ended, v)
	}
	if slices.ContainsFunc(ended, func(v Verdict) bool { return v.Reason == ErrorThreshold }) {
		j.s.Evidence = Basis{}
	}
	j.s.Verdicts = left
	trial, policies := owed(ended)
	if slices.ContainsFunc(left, func(v Verdict) bool { return v.Reason.Health() }) {
		if trial {
			j.owe(policies)
		} else if stillOwed, _ := owed(left); !stillOwed {
			j.s.Trips = 0
		}
		return
	}
	j.comeBack(ended, inTime)
}

// comeBack brings the endpoint back after its last reason of health: on trial when any of them asked for it.
func (j *judging) comeBack(ended []Verdict, inTime bool) {
	j.advance()
	if trial, policies := owed(ended); trial {
		since := second(j.now)
		if inTime {
			since = latestEnd(ended)
		}
		j.s.Trial = newTrial(since, policies, j.units)
	} else {
		j.s.Trips = 0 // nothing is left to be passed
	}
	if j.s.Active() && !j.lawful() {
		j.announce(ended[0].Reason)
	}
}

// lawful reports whether a reason of the law is about to hold.
func (j *judging) lawful() bool {
	if j.in.Suspended || j.in.InMaintenance {
		return true
	}
	for reason := BudgetExceeded; reason <= RequestLimit; reason++ {
		if _, holds := j.limit(reason); holds {
			return true
		}
	}
	return false
}

// announce tells that the endpoint takes traffic again.
func (j *judging) announce(ended Reason) {
	if t := j.s.Trial; t != nil {
		j.change(TrialBegun, ended, ended.String()+" is over; "+describe(t))
		return
	}
	j.change(Activated, ended, ended.String()+" is over")
}

// ending is how a verdict ends.
type ending uint8

const (
	held ending = iota
	// expired: its time has come.
	expired
	// early: something ended it before.
	early
	// disproved: early, and it does not even need a trial.
	disproved
)

// ending says how a verdict ends now, if it does. Those of the law are not ended here.
func (j *judging) ending(v *Verdict) ending {
	if !v.Reason.Health() {
		return held
	}
	if !v.Until.IsZero() && !v.Until.After(j.now) {
		return expired
	}
	how, lasting := j.news(v)
	if how == held && v.Until.IsZero() && !lasting {
		return early // what has lost its end must not last for ever
	}
	return how
}

// news says whether something ended a verdict before its time, and whether it lasts until something does.
func (j *judging) news(v *Verdict) (how ending, lasting bool) {
	probe, siblings := &j.in.Probe, &j.in.Siblings
	ended := false
	how = early
	switch v.Reason {
	case ProviderAuthFailure:
		lasting = true
		ended = overtakes(probe.Succeeded, v.Since, j.now) || overtakes(siblings.CredentialAccepted, v.Since, j.now)
	case ProbeFailed:
		lasting = true
		ended = j.s.Probe.Failures == 0
	case ModelNotFound:
		how = disproved
		ended = probe.ModelSeen && overtakes(probe.Succeeded, v.Since, j.now)
	case ProviderOutage:
		ended = overtakes(siblings.ProviderSucceeded, v.Since, j.now)
	default:
	}
	if !ended {
		how = held
	}
	return how, lasting
}

// withdraw takes an ErrorThreshold back that a proxy knows better than: it is as if it had not been.
func (j *judging) withdraw() {
	v := j.s.find(ErrorThreshold)
	if v == nil || j.s.Evidence == (Basis{}) || !j.refuted(j.s.Evidence) {
		return
	}
	policies := v.Policies
	j.s.Verdicts = without(j.s.Verdicts, func(r Reason) bool { return r == ErrorThreshold })
	if !j.s.resting() {
		j.s.Trips = max(j.s.Trips-1, 0)
	}
	j.advance()
	j.s.EarlierFailures, j.s.Evidence, j.s.Withdrawn = 0, Basis{}, true
	j.change(Withdrawn, ErrorThreshold, "a proxy has seen a newer success; the failures are left to the proxies that see them")
	if j.s.Trips == 0 || j.s.resting() {
		return
	}
	// The verdict broke off a trial. That one is still to be passed.
	if slices.ContainsFunc(j.s.Verdicts, func(v Verdict) bool { return v.Reason.Health() }) {
		j.owe(policies)
		return
	}
	j.s.Trial = newTrial(second(j.now), policies, j.units)
}

// owe makes the first of the reasons of health that are left end in a trial.
func (j *judging) owe(policies []string) {
	j.s.Verdicts = slices.Clone(j.s.Verdicts)
	for i := range j.s.Verdicts {
		if v := &j.s.Verdicts[i]; v.Reason.Health() {
			v.Trial, v.Policies = true, union(v.Policies, policies)
			return
		}
	}
}

// owed reports whether any of the verdicts asks for a trial, and names the policies of those that do.
func owed(ended []Verdict) (trial bool, policies []string) {
	for i := range ended {
		if ended[i].Trial {
			trial, policies = true, union(policies, ended[i].Policies)
		}
	}
	return trial, policies
}
