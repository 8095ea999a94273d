// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package calendar

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"
)

func windowOf(t testing.TB, schedule string, length time.Duration, zone string) Window {
	t.Helper()
	w, err := ParseWindow(schedule, length, zone)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestParseWindow(t *testing.T) {
	const hour = time.Hour
	for name, tc := range map[string]struct {
		schedule, zone string
		length         time.Duration
		wantErr        string
	}{
		"five fields":              {schedule: "0 2 * * 6", length: hour},
		"names of days and months": {schedule: "30 2 * MAR-OCT sat,sun", length: hour, zone: "Europe/Berlin"},
		"a descriptor":             {schedule: "@weekly", length: hour},
		"the longest":              {schedule: "@monthly", length: MaxWindow},
		"a leap day":               {schedule: "0 0 29 2 *", length: hour},
		"six fields": {
			schedule: "0 0 2 * * 6", length: hour,
			wantErr: `"0 0 2 * * 6" is not a schedule (expected exactly 5 fields, found 6: [0 0 2 * * 6]); write minute, hour, day of the month, month and day of the week as in cron, such as 0 2 * * 6`,
		},
		"an hour that does not exist": {
			schedule: "0 24 * * *", length: hour,
			wantErr: `"0 24 * * *" is not a schedule (end of range (24) above maximum (23): 24); write minute, hour, day of the month, month and day of the week as in cron, such as 0 2 * * 6`,
		},
		"every so long": {
			schedule: "@every 1h", length: hour, wantErr: `@every follows no calendar; write five fields as in cron, such as 0 2 * * 6`,
		},
		"a zone in the schedule": {
			schedule: "TZ=UTC", length: hour, wantErr: `a schedule does not set a time zone; write it into timeZone`,
		},
		"a day that its month never has": {
			schedule: "0 0 30 2 *", length: hour, wantErr: `the schedule "0 0 30 2 *" never comes; write a day that its month has`,
		},
		"a field that names nothing": {
			schedule: "0 , * * *", length: hour, wantErr: `the schedule "0 , * * *" never comes; write a day that its month has`,
		},
		"a zone that is none": {
			schedule: "@daily", length: hour, zone: "Mars/Olympus",
			wantErr: `"Mars/Olympus" is not a name of the IANA time zone database; write one such as Europe/Berlin, or leave it out for UTC`,
		},
		"no length": {
			schedule: "@daily", wantErr: `0s is not how long a window can be open; write a duration of at most 744h`,
		},
		"too long": {
			schedule: "@daily", length: 745 * hour, wantErr: `745h0m0s is not how long a window can be open; write a duration of at most 744h`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ParseWindow(tc.schedule, tc.length, tc.zone)
			if got := fmt.Sprint(err); err == nil && tc.wantErr != "" || err != nil && got != tc.wantErr {
				t.Errorf("got %v, want %s", err, tc.wantErr)
			}
		})
	}
}

func TestWindowsMadeOfTheSameAreEqual(t *testing.T) {
	parse := func() []Window {
		return []Window{windowOf(t, "0 2 * * 6", time.Hour, "Europe/Berlin"), windowOf(t, "@daily", time.Hour, "")}
	}
	one, other := parse(), parse()
	if !reflect.DeepEqual(one, other) || !one[0].Equal(other[0]) || one[0].Equal(other[1]) {
		t.Error("equal windows differ, or different ones do not")
	}
}

// A maintenance window of two hours, each Saturday and Sunday at two in the night of Berlin, followed through
// the month in which clocks are put forward on a Sunday at two.
func TestAMonthOfMaintenance(t *testing.T) {
	windows := []Window{
		windowOf(t, "0 2 * * 6", 2*time.Hour, "Europe/Berlin"),
		windowOf(t, "30 2 * * 0", 2*time.Hour, "Europe/Berlin"),
	}
	want := []string{
		"2026-03-01T02:30:00+01:00", "2026-03-01T04:30:00+01:00", // a Sunday
		"2026-03-07T02:00:00+01:00", "2026-03-07T04:00:00+01:00",
		"2026-03-08T02:30:00+01:00", "2026-03-08T04:30:00+01:00",
		"2026-03-14T02:00:00+01:00", "2026-03-14T04:00:00+01:00",
		"2026-03-15T02:30:00+01:00", "2026-03-15T04:30:00+01:00",
		"2026-03-21T02:00:00+01:00", "2026-03-21T04:00:00+01:00",
		"2026-03-22T02:30:00+01:00", "2026-03-22T04:30:00+01:00",
		"2026-03-28T02:00:00+01:00", "2026-03-28T04:00:00+01:00",
		"2026-03-29T03:00:00+02:00", "2026-03-29T05:00:00+02:00", // there is no half past two
	}
	now, last := at(t, "2026-03-01T00:00:00+01:00"), at(t, "2026-04-01T00:00:00+02:00")
	var changes []time.Time
	for now.Before(last) {
		open, until, next := Open(windows, now)
		if open && !until.Equal(next) || !open && !until.IsZero() || !next.After(now) {
			t.Fatalf("at %s: open %v until %s, next %s", now, open, until, next)
		}
		// Within a span nothing changes, whenever one asks.
		between := now.Add(next.Sub(now) / 3)
		if o, u, n := Open(windows, between); o != open || !u.Equal(until) || !n.Equal(next) {
			t.Fatalf("at %s: open %v until %s, next %s, want as at %s", between, o, u, n, now)
		}
		now = next
		changes = append(changes, next)
	}
	changes = changes[:len(changes)-1] // in April
	if len(changes) != len(want) {
		t.Fatalf("got %d changes, want %d: %v", len(changes), len(want), changes)
	}
	for i, text := range want {
		if !changes[i].Equal(at(t, text)) {
			t.Errorf("change %d is at %s, want %s", i, changes[i].In(zoneOf(t, "Europe/Berlin")), text)
		}
	}
}

func TestOpen(t *testing.T) {
	for name, tc := range map[string]struct {
		windows     []Window
		now         string
		until, next string
		open        bool
	}{
		"no window is never open": {now: "2026-03-01T00:00:00Z"},
		"it opens at its time": {
			windows: []Window{windowOf(t, "0 2 * * *", time.Hour, "")}, now: "2026-03-01T02:00:00Z",
			open: true, until: "2026-03-01T03:00:00Z", next: "2026-03-01T03:00:00Z",
		},
		"it is closed at its end": {
			windows: []Window{windowOf(t, "0 2 * * *", time.Hour, "")}, now: "2026-03-01T03:00:00Z", next: "2026-03-02T02:00:00Z",
		},
		"windows that touch are one": {
			windows: []Window{windowOf(t, "0 3 * * *", time.Hour, ""), windowOf(t, "0 2 * * *", time.Hour, "")}, now: "2026-03-01T02:30:00Z",
			open: true, until: "2026-03-01T04:00:00Z", next: "2026-03-01T04:00:00Z",
		},
		"windows that overlap are one, whatever their zones": {
			windows: []Window{windowOf(t, "0 2 * * *", 90*time.Minute, ""), windowOf(t, "0 4 * * *", 2*time.Hour, "Europe/Berlin")}, now: "2026-03-01T02:30:00Z",
			open: true, until: "2026-03-01T05:00:00Z", next: "2026-03-01T05:00:00Z",
		},
		"a window of a month that began weeks ago": {
			windows: []Window{windowOf(t, "0 0 1 * *", 28*24*time.Hour, "")}, now: "2026-03-28T23:59:59Z",
			open: true, until: "2026-03-29T00:00:00Z", next: "2026-03-29T00:00:00Z",
		},
		"the next opening may be years away": {
			windows: []Window{windowOf(t, "0 0 29 2 *", time.Hour, "")}, now: "2096-03-01T00:00:00Z", next: "2104-02-29T00:00:00Z",
		},
		"of two days that are named either opens it, as in cron": {
			windows: []Window{windowOf(t, "0 0 13 * 5", time.Hour, "")}, now: "2026-03-07T00:00:00Z", next: "2026-03-13T00:00:00Z",
		},
		"days without a pause until the weekend": {
			windows: []Window{windowOf(t, "0 0 * * 1-5", 24*time.Hour, "")}, now: "2026-03-02T12:00:00Z",
			open: true, until: "2026-03-07T00:00:00Z", next: "2026-03-07T00:00:00Z",
		},
		"no end in sight": {
			windows: []Window{windowOf(t, "0 0 * * *", 24*time.Hour, "")}, now: "2026-03-02T12:00:00Z",
			open: true, next: "2026-05-04T00:00:00Z",
		},
		"every minute for a month": {
			windows: []Window{windowOf(t, "* * * * *", MaxWindow, "")}, now: "2026-03-02T12:00:00Z",
			open: true, next: "2026-05-03T23:59:00Z",
		},
		"an hour of the night comes once though clocks are put back over it": {
			windows: []Window{windowOf(t, "0 2 * * *", time.Hour, "Europe/Berlin")}, now: "2026-10-25T02:00:00+01:00",
			next: "2026-10-26T02:00:00+01:00",
		},
		"every hour is each that passes": {
			windows: []Window{windowOf(t, "0 * * * *", 10*time.Minute, "Europe/Berlin")}, now: "2026-10-25T02:10:00+02:00",
			next: "2026-10-25T02:00:00+01:00",
		},
		"midnight is when the day begins": {
			windows: []Window{windowOf(t, "@midnight", time.Hour, "America/Sao_Paulo")}, now: "2018-11-03T23:00:00-03:00",
			next: "2018-11-04T01:00:00-02:00",
		},
	} {
		t.Run(name, func(t *testing.T) {
			open, until, next := Open(tc.windows, at(t, tc.now))
			if open != tc.open {
				t.Errorf("open is %v, want %v", open, tc.open)
			}
			for what, pair := range map[string]struct {
				got  time.Time
				want string
			}{"until": {until, tc.until}, "next": {next, tc.next}} {
				if pair.want == "" && !pair.got.IsZero() || pair.want != "" && !pair.got.Equal(at(t, pair.want)) {
					t.Errorf("%s is %s, want %s", what, pair.got, pair.want)
				}
			}
		})
	}
}

// covered are the minutes, from an instant on, in which any of the windows is open, found by watching a clock
// on the wall of each for all of the time: minute by minute, whatever it shows.
func covered(windows []Window, from time.Time, minutes int) []bool {
	out := make([]bool, minutes)
	for _, w := range windows {
		lead := int(w.seconds/60) + 24*60 // who opened it that long ago has closed it
		zone := w.schedule.Location
		inUTC := w.schedule
		inUTC.Location = time.UTC
		shows := func(reading int64) bool {
			moment := time.Unix(reading, 0).UTC()
			return inUTC.Next(moment.Add(-time.Second)).Equal(moment)
		}
		everyHour := w.schedule.Hour&everyValue != 0
		before := int64(0)
		highest := int64(0)
		for i := -lead; i < minutes; i++ {
			instant := from.Unix() + int64(i)*60
			reading := instant + offset(zone, instant)
			opens := shows(reading) && (everyHour || reading > highest)
			if before != 0 && !everyHour {
				for skipped := before + 60; skipped < reading; skipped += 60 {
					opens = opens || shows(skipped) && skipped > highest
				}
			}
			if opens {
				for j := max(i, 0); j < minutes && int64(j-i)*60 < w.seconds; j++ {
					out[j] = true
				}
			}
			before, highest = reading, max(highest, reading)
		}
	}
	return out
}

func someWindow(t *testing.T, r *rand.Rand, zone string) Window {
	t.Helper()
	pick := func(options ...string) string { return options[r.IntN(len(options))] }
	for {
		schedule := strings.Join([]string{
			pick("0", "30", "*/15", "0,30", "45", "1", "*"),
			pick("*", "0", "2", "1-3", "23", "*/6", "0-23"),
			pick("*", "*", "1", "*/3", "28-31"),
			pick("*", "*", "3,4,10,11"),
			pick("*", "*", "0", "6", "1-5"),
		}, " ")
		length := []time.Duration{time.Minute, 10 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour, 25 * time.Hour, 80 * time.Hour}[r.IntN(7)]
		w, err := ParseWindow(schedule, length, zone)
		if err == nil {
			return w
		}
	}
}

// Whatever the schedules and the zones, around changes of the clock above all, Open says what somebody who
// stood there with a watch would.
func TestOpenIsWhatTheClockOnTheWallSays(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 10))
	const minutes = 4 * 24 * 60
	for range 60 {
		zone := peculiar[r.IntN(len(peculiar))]
		var windows []Window
		for range 1 + r.IntN(2) {
			windows = append(windows, someWindow(t, r, zone))
		}
		// A day before a change of the zone's clocks, where there is one.
		from := time.Date(1990+r.IntN(60), 1, 1, 0, 0, 0, 0, time.UTC)
		_, change := from.In(zoneOf(t, zone)).ZoneBounds()
		if !change.IsZero() {
			from = change.Add(-36 * time.Hour).Truncate(time.Minute).UTC()
		}
		want := covered(windows, from, minutes)
		for range 200 {
			i := r.IntN(minutes / 2)
			now := from.Add(time.Duration(i)*time.Minute + time.Duration(r.Int64N(int64(time.Minute))))
			open, until, next := Open(windows, now)
			if open != want[i] || next.IsZero() || !next.After(now) {
				t.Fatalf("%+v at %s: open is %v, want %v (until %s, next %s)", windows, now.In(zoneOf(t, zone)), open, want[i], until, next)
			}
			change := i
			for change < minutes && want[change] == want[i] {
				change++
			}
			wantNext := from.Add(time.Duration(change) * time.Minute)
			if change == minutes && next.Before(wantNext) || change < minutes && !next.Equal(wantNext) {
				t.Fatalf("%+v at %s: open is %v, next is %s, want %s", windows, now.In(zoneOf(t, zone)), open, next.In(zoneOf(t, zone)), wantNext.In(zoneOf(t, zone)))
			}
			if open && !until.IsZero() && !until.Equal(next) || !open && !until.IsZero() {
				t.Fatalf("%+v at %s: open is %v until %s, next %s", windows, now, open, until, next)
			}
		}
	}
}

func FuzzParseWindow(f *testing.F) {
	for _, seed := range []string{"0 2 * * 6", "@daily", "*/5 * 1-7 JAN sun", "TZ=", "CRON_TZ=UTC 0 0 * * *", "@every 1s", "0 0 31 2 *", "9223372036854775807/2 * * * *", "1/9223372036854775807 * * * *"} {
		f.Add(seed, int64(3600), "Europe/Berlin", int64(1_800_000_000))
	}
	f.Fuzz(func(t *testing.T, schedule string, seconds int64, zone string, now int64) {
		w, err := ParseWindow(schedule, time.Duration(seconds)*time.Second, zone)
		if err != nil {
			return
		}
		moment := time.Unix(now%(1<<40), 0)
		open, until, next := Open([]Window{w}, moment)
		if !next.After(moment) || open && !until.IsZero() && !until.Equal(next) || !open && !until.IsZero() {
			t.Errorf("%q at %s: open is %v until %s, next %s", schedule, moment, open, until, next)
		}
	})
}

func BenchmarkOpen(b *testing.B) {
	sixteen := func(schedule string, length time.Duration) []Window {
		var windows []Window
		for i := range 16 {
			windows = append(windows, windowOf(b, schedule, length-time.Duration(i)*time.Second, "Europe/Berlin"))
		}
		return windows
	}
	now := time.Unix(1_800_000_000, 0)
	for name, windows := range map[string][]Window{
		"weekly":                              sixteen("0 2 * * 6", 2*time.Hour)[:1],
		"16 weekly":                           sixteen("0 2 * * 6", 2*time.Hour),
		"16 without a pause, every minute":    sixteen("* * * * *", time.Minute),
		"16 without a pause, 744h":            sixteen("* * * * *", MaxWindow),
		"16 on leap days":                     sixteen("0 0 29 2 *", time.Hour),
		"16 every other minute of most hours": sixteen("*/2 0-22 * * *", 30*time.Second),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Open(windows, now)
			}
		})
	}
}
