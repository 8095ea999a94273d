// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package modelstate

import (
	"slices"
	"time"
)

// Member is an endpoint as the others of its provider or its credential see it.
type Member struct {
	// Name is what people call it.
	Name string
	// Provider and Credential say which members belong together. An empty one belongs to nobody.
	Provider, Credential string
	// State is what is known before anything is judged anew.
	State *State
	// Input is what it is judged by; its Siblings are not read.
	Input *Input
	// Usable says that the endpoint could take traffic: accepted, with its Secrets, neither suspended nor
	// inside a maintenance window.
	Usable bool
}

// SiblingsOf says for each member what the others have to say about it, in the order of the members. Those of
// one namespace are gathered before any of them is judged, so that all are told the same.
func SiblingsOf(members []Member, now time.Time) []Siblings {
	siblings := make([]Siblings, len(members))
	gather(members, func(m *Member) string { return m.Provider }, func(group []Member, at []int) {
		succeeded := lastProbed(group)
		out, until, message := Outage(group, now)
		for i, m := range at {
			siblings[m].ProviderSucceeded = succeeded
			if out && group[i].eligible(now) {
				siblings[m].Outage, siblings[m].OutageUntil, siblings[m].OutageMessage = true, until, message
			}
		}
	})
	gather(members, func(m *Member) string { return m.Credential }, func(group []Member, at []int) {
		accepted := lastProbed(group)
		refused, message := CredentialRefused(group, now)
		for _, m := range at {
			siblings[m].CredentialAccepted = accepted
			siblings[m].Unauthorized, siblings[m].UnauthorizedMessage = refused, message
		}
	})
	return siblings
}

// gather calls do for each group of members, with their places among all.
func gather(members []Member, by func(*Member) string, do func(group []Member, at []int)) {
	places := map[string][]int{}
	for i := range members {
		if key := by(&members[i]); key != "" {
			places[key] = append(places[key], i)
		}
	}
	for _, at := range places {
		group := make([]Member, len(at))
		for i, m := range at {
			group[i] = members[m]
		}
		do(group, at)
	}
}

// lastProbed is when a probe of any of them last succeeded.
func lastProbed(members []Member) time.Time {
	var at time.Time
	for i := range members {
		at = later(at, members[i].Input.Probe.Succeeded)
	}
	return at
}

// Outage decides whether a provider is out, whose endpoints the members are: there are at least two that
// should take traffic, all of them fail without a connection or with a 5xx, and at least one has reached its
// threshold. until is the common end: that of an outage known already, else the cooldown of the member that
// tripped least, so that an endpoint with a fault of its own does not hold all the others for hours.
func Outage(members []Member, now time.Time) (out bool, until time.Time, message string) {
	succeeded := lastProbed(members)
	n, reached := 0, false
	var newest time.Time
	for i := range members {
		m := &members[i]
		if !m.eligible(now) {
			continue
		}
		f := m.failing(succeeded, now)
		if !f.fails {
			return false, time.Time{}, ""
		}
		if reached = reached || f.reached; n == 0 || f.at.After(newest) || f.at.Equal(newest) && f.message > message {
			newest, message = f.at, f.message
		}
		n++
	}
	if n < 2 || !reached {
		return false, time.Time{}, ""
	}
	return true, commonEnd(members, now), message
}

// commonEnd is when the members of an outage return together.
func commonEnd(members []Member, now time.Time) time.Time {
	var known time.Time
	var rest time.Duration
	trips := -1
	for i := range members {
		m := &members[i]
		if !m.eligible(now) {
			continue
		}
		if v := m.State.find(ProviderOutage); v != nil && v.Until.After(now) {
			known = later(known, v.Until)
		}
		counted := max(m.State.Trips, 0)
		if m.State.resting() {
			counted = max(counted-1, 0)
		}
		if trips < 0 || counted < trips {
			trips, rest = counted, 0
		}
		if counted == trips {
			rest = max(rest, longestCooldown(inForce(m.Input.Units), trips))
		}
	}
	if !known.IsZero() {
		return known
	}
	return secondUp(now.Add(rest))
}

// eligible reports whether an endpoint's silence would mean something: it could take traffic, and does not
// stand aside for a reason of its own.
func (m *Member) eligible(now time.Time) bool {
	return m.Usable && !m.usedUp(now) && (m.changed() || m.State.Standing(m.Input.Units, now).Kind != Barred)
}

// usedUp reports whether a limit of the endpoint's own keeps traffic away.
func (m *Member) usedUp(now time.Time) bool {
	return slices.ContainsFunc(m.State.Verdicts, func(v Verdict) bool { return limits(v.Reason) && v.Until.After(now) })
}

// changed reports whether the endpoint is about to begin an epoch without a past.
func (m *Member) changed() bool {
	return m.State.Configuration != "" && m.State.Configuration != m.Input.Configuration
}

// quote says what happened at the endpoint.
func (m *Member) quote(message string) string {
	return cut("at "+m.Name+saying(message), maxNewsMessage)
}

// failure is how an endpoint fails.
type failure struct {
	fails, reached bool
	at             time.Time
	message        string
}

// failing says how an endpoint fails as one of a provider that is out would. What is older than a probe that
// succeeded does not count, nor what an endpoint did before it was reconfigured.
func (m *Member) failing(succeeded, now time.Time) failure {
	if m.changed() {
		return failure{}
	}
	for i := range m.State.Verdicts {
		v := &m.State.Verdicts[i]
		inForce := v.Until.After(now) && !overtakes(succeeded, v.Since, now)
		if inForce && (v.Reason == ProviderOutage || v.Reason == ErrorThreshold && m.outageClass()) {
			return failure{fails: true, reached: true, at: v.Since, message: m.quote("")}
		}
	}
	j := m.judging(now)
	signals := m.Input.Evidence.Signals
	streak := fleetStreak(j.s.Epoch, signals)
	if streak.failures == 0 || !streak.last.After(later(succeeded, streak.success)) || !allOutage(j.s.Epoch, signals) {
		return failure{}
	}
	reached := j.believe(&streak) && slices.ContainsFunc(j.units, func(u Unit) bool { return j.overCount(&u, &streak) })
	return failure{fails: true, reached: reached, at: streak.last, message: m.quote(streak.message)}
}

// judging asks the endpoint's own judgement.
func (m *Member) judging(now time.Time) judging {
	j := newJudging(*m.State, m.Input, now)
	j.s.Epoch = max(j.s.Epoch, 1)
	return j
}

// outageClass reports whether the ErrorThreshold that holds was decided on failures as an outage makes them:
// on a streak, as a rate means that some attempts succeed, and on nothing that proxies still say was of
// another kind.
func (m *Member) outageClass() bool {
	basis := m.State.Evidence
	return basis != (Basis{}) && allOutage(basis.Epoch, m.Input.Evidence.Signals)
}

// allOutage reports whether all failures that are known of an epoch are without a connection or 5xx.
func allOutage(epoch int64, signals []Signal) bool {
	for i := range signals {
		if s := &signals[i]; s.Epoch == epoch && s.Outage < s.Failures {
			return false
		}
	}
	return true
}

// CredentialRefused decides whether a credential is refused everywhere, which the members share: after a
// second endpoint was told so, or after one was and a probe failed later.
func CredentialRefused(members []Member, now time.Time) (refused bool, message string) {
	accepted := lastProbed(members)
	n := 0
	var newest time.Time
	for i := range members {
		at, said, ok := members[i].unauthorized(accepted, now)
		if !ok {
			continue
		}
		if n++; n == 1 || at.After(newest) || at.Equal(newest) && said > message {
			newest, message = at, said
		}
	}
	probed := func(m Member) bool {
		return overtakes(m.Input.Probe.Failed, newest, now) || overtakes(m.State.Probe.LastFailure, newest, now)
	}
	if n >= 2 || n == 1 && slices.ContainsFunc(members, probed) {
		return true, message
	}
	return false, ""
}

// unauthorized says when an endpoint was told that its credential is refused, if it was and nothing newer
// speaks against it.
func (m *Member) unauthorized(accepted, now time.Time) (at time.Time, message string, ok bool) {
	if m.changed() {
		return time.Time{}, "", false
	}
	if v := m.State.find(ProviderAuthFailure); v != nil {
		return v.Since, m.quote(""), !overtakes(accepted, v.Since, now)
	}
	j := m.judging(now)
	said, ok := j.statement(ProviderAuthFailure)
	return second(said.At), m.quote(said.Message), ok && !overtakes(accepted, second(said.At), now)
}
