// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package modelstate

import "slices"

// law sets the reasons that follow from the spec and the clock alone. They begin no epoch: what is known of
// the endpoint's health stays as it is behind them.
func (j *judging) law() {
	var wanted [2]Verdict
	n := 0
	if j.in.Suspended {
		wanted[n] = Verdict{
			Reason: Manual, Since: second(j.now),
			Message: "spec.suspend is true; comes back when it is false",
		}
		n++
	}
	if j.in.InMaintenance {
		wanted[n] = Verdict{Reason: MaintenanceWindow, Since: second(j.now), Message: "inside a maintenance window"}
		if until := secondUp(j.in.MaintenanceUntil); until.After(j.now) {
			wanted[n].Until = until
			wanted[n].Message += " until " + clock(wanted[n].Until, j.now)
		}
		n++
	}
	j.lay(wanted[:n])
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
		if w.Until.Equal(v.Until) {
			w.Message = v.Message
		} else {
			same = false
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
