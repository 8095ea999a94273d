// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package calendar

import (
	"errors"
	"fmt"
	"iter"
	"math/bits"
	"slices"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

// MaxWindow is the longest that a window may stay open: 31 days.
const MaxWindow = 744 * time.Hour

// Window is a span of time that comes again and again. ParseWindow makes it. Two that were made of the same are
// equal.
type Window struct {
	schedule cron.SpecSchedule
	seconds  int64
}

// parser reads the five fields of cron, and descriptors.
var parser = cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.Descriptor)

// ParseWindow reads a cron schedule, in a zone of the IANA database (empty: UTC).
func ParseWindow(schedule string, length time.Duration, zone string) (Window, error) {
	location, err := Zone(zone)
	switch {
	case err != nil:
		return Window{}, err
	case length <= 0 || length > MaxWindow:
		return Window{}, fmt.Errorf("%s is not how long a window can be open; write a duration of at most 744h", length)
	case strings.Contains(schedule, "TZ="): // the parser understands it, and in some cases panics
		return Window{}, errors.New("a schedule does not set a time zone; write it into timeZone")
	case strings.HasPrefix(schedule, "@every"): // every so long since when?
		return Window{}, errors.New("@every follows no calendar; write five fields as in cron, such as 0 2 * * 6")
	}
	parsed, err := parser.Parse(schedule)
	if err != nil {
		return Window{}, fmt.Errorf("%.64q is not a schedule (%w); write minute, hour, day of the month, month and day of the week as in cron, such as 0 2 * * 6", schedule, err)
	}
	// The parser has other kinds of schedules, for descriptors that are refused above.
	fields, ok := parsed.(*cron.SpecSchedule)
	if !ok {
		return Window{}, fmt.Errorf("%.64q is not a schedule; write five fields as in cron, such as 0 2 * * 6", schedule)
	}
	// A window is open for whole seconds: that is how its end is written.
	w := Window{schedule: *fields, seconds: int64((length + time.Second - 1) / time.Second)}
	w.schedule.Location = location
	if _, comes := w.following(0); !comes {
		return Window{}, fmt.Errorf("the schedule %.64q never comes; write a day that its month has", schedule)
	}
	return w, nil
}

// Equal reports whether both are open at the same times, for the same reason.
func (w Window) Equal(other Window) bool { return w == other }

const (
	// horizon is how far Open looks for an end, and rounds how often it looks for a window that goes on where
	// the others end: beyond either, windows that take turns without a pause have no end in sight.
	horizon = 2 * int64(MaxWindow/time.Second)
	rounds  = 128
	// longestPause is how many days may lie between two openings: from one 29 February to the next, across the
	// end of a century.
	longestPause = 8*366 + 1
)

// Open says whether any of the windows is open at now, until when (across windows that touch or overlap),
// and when that next changes; zero when it never does. While no end is in sight until is zero, and next is when
// it is worth another look. All times are in UTC.
//
// Its work is bounded whatever the windows are, to a few milliseconds at worst; it is for timers that know next
// and not for every request.
func Open(windows []Window, now time.Time) (open bool, until, next time.Time) {
	instant := now.Unix()
	end := instant
	for round := 0; ; round++ {
		reached := end
		for i := range windows {
			reached = windows[i].extend(reached)
		}
		if reached == end {
			break
		}
		end = reached
		if end-instant > horizon || round == rounds {
			return true, time.Time{}, time.Unix(end, 0).UTC()
		}
	}
	if end > instant {
		until = time.Unix(end, 0).UTC()
		return true, until, until
	}
	for i := range windows {
		at, comes := windows[i].following(instant)
		if opening := time.Unix(at, 0).UTC(); comes && (next.IsZero() || opening.Before(next)) {
			next = opening
		}
	}
	return false, time.Time{}, next
}

// extend is until when the window is open if something has it open at an instant already, or if it is open then
// itself: at least as long as its last opening before, and the others of that day that go on from there. The
// instant itself when it is neither.
func (w *Window) extend(instant int64) int64 {
	today := dateOf(instant + offset(w.schedule.Location, instant))
	oldest := today - w.seconds/secondsOfDay - 2 // the day before the earliest that can still be open
	end := instant
	for date := today; date >= oldest; date-- {
		if !w.opensOn(date) {
			continue
		}
		found := false
		for at := range w.openings(date) {
			if at > end {
				break
			}
			found, end = true, max(end, at+w.seconds)
		}
		if found {
			// Earlier ones are shorter, or as long: all windows of a schedule are of one length.
			return end
		}
	}
	return end
}

// following is when the window next opens after an instant; false when it never does.
func (w *Window) following(instant int64) (int64, bool) {
	date := dateOf(instant + offset(w.schedule.Location, instant))
	for last := date + longestPause; date <= last; date++ {
		if !w.opensOn(date) {
			continue
		}
		for at := range w.openings(date) {
			if at > instant {
				return at, true
			}
		}
	}
	return 0, false
}

// opensOn reports whether the schedule has a date.
func (w *Window) opensOn(date int64) bool {
	s := &w.schedule
	d := day(date)
	if s.Month&(1<<uint(d.Month())) == 0 {
		return false
	}
	byDay, byWeekday := s.Dom&(1<<uint(d.Day())) != 0, s.Dow&(1<<uint(d.Weekday())) != 0
	if s.Dom&everyValue != 0 || s.Dow&everyValue != 0 {
		return byDay && byWeekday
	}
	return byDay || byWeekday // cron's rule: of two that are named, either
}

// everyValue is how the parser marks a field that is a star.
const everyValue = 1 << 63

// openings are the instants at which the window opens on a date that the schedule has, in order.
//
// A schedule for every hour follows the hours that pass, so that it opens in both of an hour that comes twice;
// one for certain hours follows the clock, and opens once (see the package's comment).
func (w *Window) openings(date int64) iter.Seq[int64] {
	zone, midnight := w.schedule.Location, date*secondsOfDay
	ahead := offset(zone, midnight-secondsOfDay)
	if ahead == offset(zone, midnight+2*secondsOfDay) { // nearly every day: clocks run on
		return func(yield func(int64) bool) {
			w.readings(func(time int64) bool { return yield(midnight + time - ahead) })
		}
	}
	var out []int64
	w.readings(func(time int64) bool {
		first, second, skipped := instants(zone, midnight+time)
		if w.schedule.Hour&everyValue == 0 {
			out = append(out, first)
		} else if !skipped {
			out = append(out, first, second)
		}
		return true
	})
	slices.Sort(out)
	return slices.Values(out)
}

// readings are the times of day at which the schedule has the window open, in seconds and in order.
func (w *Window) readings(yield func(int64) bool) {
	for hours := w.schedule.Hour &^ everyValue; hours != 0; hours &= hours - 1 {
		hour := int64(bits.TrailingZeros64(hours))
		for minutes := w.schedule.Minute &^ everyValue; minutes != 0; minutes &= minutes - 1 {
			if !yield(hour*secondsOfHour + int64(bits.TrailingZeros64(minutes))*60) {
				return
			}
		}
	}
}
