// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package modelstate

import (
	"slices"
	"time"
)

// Standing is how an endpoint stands for health at one moment, as a function of its state and the time alone:
// a cooldown that has run out means on trial, whether or not anyone wrote so.
type Standing struct {
	Kind   StandingKind
	Reason Reason
	// Until is when it is due back; zero when no time brings it back.
	Until time.Time
	// Percent is the share of its traffic that it gets, 100 but on trial.
	Percent int
}

// StandingKind is what a proxy does with an endpoint.
type StandingKind uint8

// The kinds, from what is tried first to what is not tried at all; package routing says how.
const (
	InService StandingKind = iota
	OnTrial
	Resting
	Barred
)

// Standing says how the endpoint stands for reasons of health. units are those of its policies now.
func (s *State) Standing(units []Unit, now time.Time) Standing {
	standing := Standing{Percent: 100}
	var until time.Time
	forever, trial := false, false
	for i := range s.Verdicts {
		v := &s.Verdicts[i]
		if !v.Reason.Health() {
			continue
		}
		trial = trial || v.Trial
		forever = forever || v.Until.IsZero()
		until = later(until, v.Until)
		if v.Until.IsZero() || v.Until.After(now) {
			standing.rest(v.Reason)
		}
	}
	switch {
	case standing.Kind != InService:
		if !forever {
			standing.Until = until
		}
	case trial:
		back := Trial{Since: until}
		s.owedTerms(&back, inForce(units))
		standing.Kind, standing.Percent = OnTrial, back.Percent(now)
	case s.Trial != nil:
		standing.Kind, standing.Percent = OnTrial, s.Trial.Percent(now)
	}
	return standing
}

// rest adds a reason that is in force. What bars goes before what only rests; verdicts come by precedence.
func (s *Standing) rest(reason Reason) {
	kind := Barred
	if reason.Advice() {
		kind = Resting
	}
	if kind > s.Kind {
		s.Kind, s.Reason = kind, reason
	}
}

// owedTerms sets the terms of the trial that the verdicts ask for once all of them are over.
func (s *State) owedTerms(t *Trial, units []Unit) {
	named := func(policy string) bool {
		for i := range s.Verdicts {
			if v := &s.Verdicts[i]; v.Trial && v.Reason.Health() && slices.Contains(v.Policies, policy) {
				return true
			}
		}
		return false
	}
	known := slices.ContainsFunc(units, func(u Unit) bool { return named(u.Policy) })
	t.terms(units, func(policy string) bool { return !known || named(policy) })
}

// Healthy reports whether the endpoint is Active and under the failure count of every unit.
func (s *State) Healthy(units []Unit) bool {
	if !s.Active() {
		return false
	}
	for _, u := range inForce(units) {
		if s.FailureCount >= u.ConsecutiveFailures {
			return false
		}
	}
	return true
}
