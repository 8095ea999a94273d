// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package modelstate

import (
	"slices"
	"strings"
	"time"
)

// LimitUse is how a limit of the endpoint's own stands in its current period.
type LimitUse struct {
	// Reason is BudgetExceeded, TokenLimit or RequestLimit.
	Reason Reason
	// Until is when the period ends.
	Until time.Time
	// Left is what may still be lent to proxies, Out what they were lent and have not used.
	Left, Out int64
	// Used and Amount say how much is used and how much there is: 1000, and "1000 requests".
	Used, Amount string
}

// law sets the reasons that follow from the spec, the clock and the books. They begin no epoch: what is known of
// the endpoint's health stays as it is behind them.
func (j *judging) law() {
	var room [5]Verdict
	wanted := room[:0]
	if j.in.Suspended {
		wanted = append(wanted, Verdict{
			Reason: Manual, Since: second(j.now),
			Message: "spec.suspend is true; comes back when it is false",
		})
	}
	if j.in.InMaintenance {
		v := Verdict{Reason: MaintenanceWindow, Since: second(j.now), Message: "inside a maintenance window"}
		if until := secondUp(j.in.MaintenanceUntil); until.After(j.now) {
			v.Until = until
			v.Message += " until " + clock(v.Until, j.now)
		}
		wanted = append(wanted, v)
	}
	for reason := BudgetExceeded; reason <= RequestLimit; reason++ {
		if v, holds := j.limit(reason); holds {
			wanted = append(wanted, v)
		}
	}
	j.lay(wanted)
}

// limit is the verdict of a limit that is used up. It begins when nothing is left to lend and nothing is out. What
// is out again after that is with proxies that know it, so that it does not end before there is something to lend:
// numbers that come late would end it and begin it over and over.
func (j *judging) limit(reason Reason) (v Verdict, holds bool) {
	at := slices.IndexFunc(j.in.Limits, func(l LimitUse) bool { return l.Reason == reason })
	if at < 0 {
		return v, false
	}
	l := &j.in.Limits[at]
	until := secondUp(l.Until)
	held := j.s.find(reason)
	known := held != nil && held.Until.Equal(until)
	if !until.After(j.now) || l.Left > 0 || l.Out > 0 && !known {
		return v, false
	}
	of := " of " + l.Amount + " used"
	v = Verdict{
		Reason: reason, Since: second(j.now), Until: until,
		Message: cut(l.Used+of+"; comes back at "+timeOfDay(until, j.now), maxMessage),
	}
	// How much was used may go on to change. Only another limit is worth another sentence.
	if known && strings.Contains(held.Message, of) {
		v.Message = held.Message
	}
	return v, true
}

// lay puts the wanted reasons in the place of those of the law before.
func (j *judging) lay(wanted []Verdict) {
	before := &State{Verdicts: j.s.Verdicts}
	same := true
	for i := range wanted {
		w := &wanted[i]
		v := before.find(w.Reason)
		if v == nil {
			j.change(Deactivated, w.Reason, w.Message)
			same = false
			continue
		}
		w.Since = v.Since
		switch {
		case !w.Until.Equal(v.Until):
			same = false
		case limits(w.Reason):
			same = same && w.Message == v.Message
		default:
			w.Message = v.Message
		}
	}
	var over Reason
	for i := range before.Verdicts {
		reason := before.Verdicts[i].Reason
		if !reason.Health() && (&State{Verdicts: wanted}).find(reason) == nil {
			over = reason
			same = false
		}
	}
	if same {
		return
	}
	health := without(before.Verdicts, func(r Reason) bool { return !r.Health() })
	if j.s.Verdicts = slices.Concat(wanted, health); j.s.Active() {
		j.s.Verdicts = nil
		j.announce(over)
	}
}

// limits reports whether the reason is a limit of the endpoint's own.
func limits(r Reason) bool { return r >= BudgetExceeded && r <= RequestLimit }
