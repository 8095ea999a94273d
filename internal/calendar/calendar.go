// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

// Package calendar knows when periods begin and maintenance windows are open, in the zones that people live
// in. It has no clock of its own.
//
// Clocks are put forward and back, by an hour or by half of one, at two in the morning or at midnight, and
// whole days have been left out. Two rules cover all of it: what begins at a time of the clock that comes twice
// begins the first time, and what begins at one that is left out begins when the clock jumps over it.
package calendar

import (
	"fmt"
	"path"
	"sync"
	"time"
)

// zones are those that were asked for, so that the same name is always the same pointer: values with a zone in
// them can be compared, and a thousand endpoints share one. There are as many as the IANA database has names.
var zones sync.Map // of string to *time.Location

// Zone is the time zone of that name in the IANA database, such as Europe/Berlin; UTC for the empty name. The
// same name gives the same pointer.
func Zone(name string) (*time.Location, error) {
	if name == "" || name == "UTC" {
		return time.UTC, nil
	}
	if zone, known := zones.Load(name); known {
		return zone.(*time.Location), nil
	}
	zone, err := time.LoadLocation(name)
	// Local is a zone to the library, and to nobody else: it differs from machine to machine. A name is the path
	// of a file, too, and one file has many paths.
	if err != nil || name == "Local" || path.Clean(name) != name {
		return nil, fmt.Errorf("%.64q is not a name of the IANA time zone database; write one such as Europe/Berlin, or leave it out for UTC", name)
	}
	kept, _ := zones.LoadOrStore(name, zone)
	return kept.(*time.Location), nil
}

const (
	secondsOfDay  = 24 * 60 * 60
	secondsOfHour = 60 * 60
)

// A date is a day of the calendar, counted from 1 January 1970, and a reading is a date with a time of day:
// what a clock on the wall shows, in seconds, as if it stood in UTC. An instant is a Unix time in seconds.

// dateOf is the date that a reading belongs to.
func dateOf(reading int64) int64 { return floor(reading, secondsOfDay) / secondsOfDay }

// floor is n cut down to a multiple of unit.
func floor(n, unit int64) int64 {
	rest := n % unit
	if rest < 0 {
		rest += unit
	}
	return n - rest
}

// offset is by how much clocks in the zone are ahead of UTC at an instant.
func offset(zone *time.Location, instant int64) int64 {
	_, seconds := time.Unix(instant, 0).In(zone).Zone()
	return int64(seconds)
}

// instants are when clocks in the zone show the reading: once, or twice when they are put back over it (second
// is then the later one, else the same). skipped says that they are put forward over it; then both are the
// instant at which they are.
func instants(zone *time.Location, reading int64) (first, second int64, skipped bool) {
	// No clock is a day ahead of UTC or behind it, and none is put twice within two days.
	before, after := offset(zone, reading-secondsOfDay), offset(zone, reading+secondsOfDay)
	if before == after {
		return reading - before, reading - before, false
	}
	early, late := reading-max(before, after), reading-min(before, after)
	isEarly, isLate := offset(zone, early) == max(before, after), offset(zone, late) == min(before, after)
	switch {
	case isEarly && isLate:
		return early, late, false
	case isEarly:
		return early, early, false
	case isLate:
		return late, late, false
	}
	jump, _ := time.Unix(late, 0).In(zone).ZoneBounds() // late reads it as clocks before the jump would have
	return jump.Unix(), jump.Unix(), true
}

// startOf is the instant at which a date begins.
func startOf(zone *time.Location, date int64) int64 {
	first, _, _ := instants(zone, date*secondsOfDay)
	return first
}
