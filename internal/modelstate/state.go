// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

// Package modelstate is what is known of an endpoint at run time, and the machine that decides from it
// whether the endpoint takes traffic: pure functions of (state, evidence, time), without a clock or I/O, so
// that operator, proxies and simulations decide alike (docs/design.md, sections 3 and 5).
//
// State is what must survive a restart to go on deciding. Evidence is what proxies say now. Judge makes the
// next State of both. Numbers are what was used and measured; they are shown, and decide nothing but the
// error rate.
//
// Times that are written to the API are cut to what it can carry: microseconds, and whole seconds (rounded
// up) for ends, so that writing a State and reading it back changes nothing.
package modelstate

import "time"

// State is the part of status.modelState that decisions are made from.
type State struct {
	// Epoch counts the health transitions. Evidence carries the epoch in which its attempt began; what is
	// older than the current one never makes a transition.
	Epoch int64
	// Configuration identifies url, model and credential. Another value begins a new epoch without a past.
	Configuration string
	// Verdicts are all reasons that hold, by precedence, each reason at most once. Without any the endpoint
	// is Active.
	Verdicts []Verdict
	// Trial is set while the endpoint is Active with a bounded share of the traffic.
	Trial *Trial
	// Trips counts the trips since the last trial that was passed: the cooldown doubles with each.
	Trips int
	// EarlierFailures are failures of earlier epochs since the last success; see FailureCount.
	EarlierFailures int64
	// FailureCount is how many failures there were in a row over the fleet: EarlierFailures and those of the
	// current epoch. Exact for one proxy, an upper bound for several.
	FailureCount int64
	// Evidence is what the newest ErrorThreshold was decided on, for proxies that know better.
	Evidence Basis
	// Withdrawn says that the current epoch began with a verdict that was withdrawn, because a proxy knew of
	// a newer success: in it one proxy's word alone trips nothing.
	Withdrawn bool
	// LastTransition is when Status or the shown reason last changed; zero when they never did.
	LastTransition time.Time
	// Probe is what the operator's probes came to.
	Probe Probe
}

// Verdict is one reason for a Standby.
type Verdict struct {
	Reason Reason
	// Since is when it was reached, Until when it ends by itself: whole seconds. A zero Until: not by time.
	Since, Until time.Time
	// Message is a sentence for people.
	Message string
	// Policies are those whose thresholds were passed, by name and sorted; empty for the defaults, and for
	// reasons that no policy decides.
	Policies []string
	// Trial says that the endpoint comes back on trial.
	Trial bool
}

// Trial is a return under observation.
type Trial struct {
	// Since is when the rest ended. The share of traffic grows from then on.
	Since time.Time
	// InitialPercent is the share at Since, 1 to 100; it grows evenly to 100 over Ramp (0: at once).
	InitialPercent int
	Ramp           time.Duration
	// Successes are how many the fleet must see before the trial is passed; it is not passed before the end
	// of the ramp either.
	Successes int
	// Policies are those whose thresholds were passed before, as in Verdict.
	Policies []string
}

// Basis is the evidence of a verdict: attempts of Epoch, the newest failure of them at Time.
type Basis struct {
	Epoch int64
	Time  time.Time
}

// Probe is what probes came to: failures in a row, and the last of them. The zero value: the last one
// succeeded, or there was none.
type Probe struct {
	Failures    int
	LastFailure time.Time
	Message     string
}

// Active reports whether the endpoint takes traffic.
func (s *State) Active() bool { return len(s.Verdicts) == 0 }

// Reason is the reason that is shown: the first by precedence of all that hold. Zero while Active.
func (s *State) Reason() Reason {
	if len(s.Verdicts) == 0 {
		return 0
	}
	return s.Verdicts[0].Reason
}

// CooldownUntil is the earliest return: the latest end of all reasons that hold. Zero when the endpoint is
// Active, or when a reason holds that no time ends.
func (s *State) CooldownUntil() time.Time {
	var until time.Time
	for i := range s.Verdicts {
		v := &s.Verdicts[i]
		if v.Until.IsZero() {
			return time.Time{}
		}
		if v.Until.After(until) {
			until = v.Until
		}
	}
	return until
}

// CooldownRemaining is how long it is until CooldownUntil; 0 when there is none or it has passed.
func (s *State) CooldownRemaining(now time.Time) time.Duration {
	until := s.CooldownUntil()
	if until.IsZero() || !until.After(now) {
		return 0
	}
	return until.Sub(now)
}
