// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"time"

	"github.com/turnout-ai/turnout/internal/modelstate"
	"github.com/turnout-ai/turnout/internal/routing"
)

// busyWithin is how lately a proxy must have made attempts at an endpoint to have a say in whether it can be
// reached.
const busyWithin = time.Minute

// evidence is what the fleet knows of one endpoint, for its judgement in the given epoch. interval is how often
// proxies report now.
func (t *testimony) evidence(entry *routing.Endpoint, epoch int64, interval time.Duration, now time.Time) modelstate.Evidence {
	about := t.about(entry.UID)
	e := modelstate.Evidence{Signals: about.signals, Window: map[string]modelstate.Rate{}}
	for _, c := range about.numbers { // by proxy
		if !t.ended[c.proxy] && modelstate.WindowRate(c.window, modelstate.AnyEpoch, now.Add(-busyWithin)).Attempts > 0 &&
			(len(e.Busy) == 0 || e.Busy[len(e.Busy)-1] != c.proxy) {
			e.Busy = append(e.Busy, c.proxy)
		}
	}
	for i := range entry.Units {
		unit := &entry.Units[i]
		if tooRare(unit, interval) {
			continue
		}
		e.Window[unit.Policy] = about.rate(unit.Window, epoch, now)
	}
	return e
}

// tooRare reports whether proxies report too rarely for the fleet to judge the unit's error rate: each judges it
// for itself then.
func tooRare(unit *modelstate.Unit, interval time.Duration) bool {
	return unit.ErrorRate > 0 && unit.Window < 2*interval
}

// rate counts the attempts of the whole fleet within the window, those of one epoch or of any.
func (d *dossier) rate(window time.Duration, epoch int64, now time.Time) modelstate.Rate {
	var sum modelstate.Rate
	for _, c := range d.numbers {
		r := modelstate.WindowRate(c.window, epoch, now.Add(-window))
		sum.Attempts += r.Attempts
		sum.Failures += r.Failures
	}
	return sum
}

// widest is the longest of the windows over which the units judge an error rate, and that of the defaults when
// none does.
func widest(units []modelstate.Unit) time.Duration {
	window := time.Duration(0)
	for i := range units {
		if units[i].ErrorRate > 0 {
			window = max(window, units[i].Window)
		}
	}
	if window == 0 {
		window = modelstate.DefaultUnit.Window
	}
	return window
}
