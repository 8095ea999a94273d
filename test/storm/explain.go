// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package storm

import (
	"slices"
	"strings"
	"time"

	"github.com/turnout-ai/turnout/internal/modelsim/ledger"
)

const (
	// lag is how much later a caller may see what has happened to a connection of the proxy.
	lag = time.Second
	// slack is how far two notes of one moment may lie apart: they are made by two processes, one after the other, and
	// the access log counts in milliseconds.
	slack = 100 * time.Millisecond
)

// why explains an attempt whose use its provider has not confirmed; empty when nothing does.
func (a *audit) why(l *line, i int) string {
	t := &l.Tries[i]
	reason := ""
	switch t.Outcome {
	case outcomePanic:
	case outcomeSuccess:
		reason = a.whyUntold(l, i)
	case outcomeClientGone:
		if r := a.owners[l]; r != nil && r.ask.leaves {
			reason = "the caller left"
		}
	default:
		reason = a.whyFailed(l, i)
	}
	if reason == "" {
		return ""
	}
	return t.Outcome + ": " + reason
}

// deed is what a provider did with an attempt; nil when it has heard of none. That it did it twice is found by strays.
func (a *audit) deed(l *line, i int) *deed {
	for _, d := range a.deeds[attemptID(l, i)] {
		return d
	}
	return nil
}

// whyUntold explains a success whose use the provider has not told.
func (a *audit) whyUntold(l *line, i int) string {
	d, r := a.deed(l, i), a.owners[l]
	switch {
	case d == nil || r == nil || !r.ask.stream:
		return ""
	case d.last.Event == ledger.Finished && !r.ask.usage:
		return "nobody asked for the usage"
	// The usage comes after the last finish reason, with which the answer is complete.
	case r.ask.leaves:
		return "the caller left after the last finish reason"
	case breaks(d.last.Fault), a.suffered(l.Tries[i].Endpoint, d.accepted.Add(-slack), l.end().Add(slack), true) != nil:
		return "cut after the last finish reason"
	}
	return ""
}

// whyFailed explains a failure: the provider was told to, the connection suffered, or the machine was too slow.
func (a *audit) whyFailed(l *line, i int) string {
	t, d, from := &l.Tries[i], a.deed(l, i), l.Time
	if d != nil {
		from = d.accepted
		if d.last.Fault != "" {
			return "scripted at the provider"
		}
	}
	switch {
	case t.Outcome == outcomeStale:
		return "closed while it was idle"
	case a.suffered(t.Endpoint, from.Add(-slack), l.end().Add(slack), true) != nil:
		return "the connection suffered"
	case stood(a.stalls, l.Time, l.end()) >= starved:
		return "the machine stood still"
	}
	return ""
}

// cutBy says what has cut a stream at the moment at which its caller saw it end; empty when nothing did.
func (a *audit) cutBy(r *result, l *line) string {
	if len(l.Tries) == 0 {
		return ""
	}
	last := len(l.Tries) - 1
	if d := a.deed(l, last); d != nil && breaks(d.last.Fault) {
		return d.last.Fault
	}
	if t := a.suffered(l.Tries[last].Endpoint, r.answer.ended.Add(-lag), r.answer.ended.Add(slack), true); t != nil {
		return t.disorder.name
	}
	if stood(a.stalls, l.Time, l.end()) >= stormIdle/2 {
		return "the machine stood still"
	}
	return ""
}

// breaks says whether a fault breaks off or stops a stream that has content.
func breaks(fault string) bool {
	name, _, _ := strings.Cut(fault, ";")
	return slices.Contains([]string{"cut", "error-frame", "stall"}, name)
}

// honest reports whether a request that failed had spent all its attempts or time, and each for a reason.
func (a *audit) honest(l *line) bool {
	if l.Attempts < a.budget && l.DurationMS < float64(a.deadline.Milliseconds()) {
		return false
	}
	for i := range l.Tries {
		if a.why(l, i) == "" {
			return false
		}
	}
	return true
}
