// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package calendar

import (
	"fmt"
	"time"
)

// Unit is the length of a period.
type Unit uint8

// The units. A week begins on Monday.
const (
	Hourly Unit = iota + 1
	Daily
	Weekly
	Monthly
)

// unitNames are the words of the API.
var unitNames = [...]string{Hourly: "Hourly", Daily: "Daily", Weekly: "Weekly", Monthly: "Monthly"}

// String is the unit's word in the API; empty for none.
func (u Unit) String() string {
	if int(u) >= len(unitNames) {
		return ""
	}
	return unitNames[u]
}

// ParseUnit reads the word of the API; false when it is none.
func ParseUnit(word string) (Unit, bool) {
	for u := Hourly; int(u) < len(unitNames); u++ {
		if unitNames[u] == word {
			return u, true
		}
	}
	return 0, false
}

// Period divides time into calendar periods of one zone. The zero value is not valid; a nil Zone is UTC.
type Period struct {
	Unit Unit
	Zone *time.Location
}

// ParsePeriod reads a period from the word of its unit and the name of its zone (empty: UTC).
func ParsePeriod(unit, zone string) (Period, error) {
	u, known := ParseUnit(unit)
	if !known {
		return Period{}, fmt.Errorf("%.32q is not a calendar period; write Hourly, Daily, Weekly or Monthly", unit)
	}
	z, err := Zone(zone)
	if err != nil {
		return Period{}, err
	}
	return Period{Unit: u, Zone: z}, nil
}

// Equal reports whether both divide time in the same way.
func (p Period) Equal(other Period) bool {
	return p.Unit == other.Unit && p.zone().String() == other.zone().String()
}

// Start is the beginning of the period that holds t, in UTC. Of an hour that comes twice, because clocks are
// put back, each is a period.
func (p Period) Start(t time.Time) time.Time {
	start, _ := p.bounds(t)
	return time.Unix(start, 0).UTC()
}

// Next is the beginning of the period after the one that holds t, in UTC; always after t.
func (p Period) Next(t time.Time) time.Time {
	_, next := p.bounds(t)
	return time.Unix(next, 0).UTC()
}

func (p Period) zone() *time.Location {
	if p.Zone == nil {
		return time.UTC
	}
	return p.Zone
}

// bounds are the instants at which the period that holds t begins and ends.
func (p Period) bounds(t time.Time) (start, next int64) {
	if p.Unit == Hourly {
		return p.hour(t)
	}
	zone, instant := p.zone(), t.Unix()
	date := dateOf(instant + offset(zone, instant))
	// Where clocks are put back over midnight the new date has begun already when they show the old one again.
	if startOf(zone, date+1) <= instant {
		date++
	}
	first := p.first(date)
	start = startOf(zone, first)
	// A date that was left out of the calendar begins together with the one after it.
	for next = start; next <= instant; {
		first = p.following(first)
		next = startOf(zone, first)
	}
	return start, next
}

// hour is bounds for hours: while clocks run on, they begin when the minute is 0; and where clocks are put
// forward or back, the hour that they show then begins.
func (p Period) hour(t time.Time) (start, next int64) {
	zone, instant := p.zone(), t.Unix()
	ahead := offset(zone, instant)
	start = floor(instant+ahead, secondsOfHour) - ahead
	next = start + secondsOfHour
	from, to := time.Unix(instant, 0).In(zone).ZoneBounds()
	// Some changes of a zone are in name only, and its clocks run on.
	if !from.IsZero() && from.Unix() > start && offset(zone, from.Unix()-1) != ahead {
		start = from.Unix()
	}
	if !to.IsZero() && to.Unix() < next && offset(zone, to.Unix()) != ahead {
		next = to.Unix()
	}
	return start, next
}

// first is the date at which the period of a date begins.
func (p Period) first(date int64) int64 {
	switch p.Unit {
	case Weekly:
		return floor(date+3, 7) - 3 // 1 January 1970 was a Thursday, three days after a Monday
	case Monthly:
		return date + 1 - int64(day(date).Day())
	default:
		return date
	}
}

// following is the date at which the period after the one that begins at first begins.
func (p Period) following(first int64) int64 {
	switch p.Unit {
	case Weekly:
		return first + 7
	case Monthly:
		return p.first(first + 31)
	default:
		return first + 1
	}
}

// day is a date as the library counts it.
func day(date int64) time.Time { return time.Unix(date*secondsOfDay, 0).UTC() }
