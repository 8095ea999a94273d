// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package calendar

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// peculiar are zones with something to get wrong.
var peculiar = []string{
	"", "UTC", "Europe/Berlin", "America/New_York", "Asia/Tokyo",
	"Australia/Lord_Howe", // half an hour of summer time
	"Asia/Kolkata",        // half an hour beside the others
	"Asia/Kathmandu",      // a quarter of an hour
	"America/Sao_Paulo",   // midnight was left out every year
	"America/St_Johns",    // clocks were put back over midnight, at one minute past
	"Atlantic/Azores",     // midnight comes twice on one date
	"Pacific/Apia",        // 30 December 2011 was left out
	"Antarctica/Troll",    // two hours of summer time
	"Africa/Casablanca",   // winter time in Ramadan
	"America/Toronto",     // 23:30 to 0:30 in 1919
	"America/Nuuk", "Africa/Cairo", "America/Havana", "Asia/Amman",
}

func zoneOf(t testing.TB, name string) *time.Location {
	t.Helper()
	zone, err := Zone(name)
	if err != nil {
		t.Fatal(err)
	}
	return zone
}

// at reads an instant with its offset, so that what is meant is in no doubt.
func at(t testing.TB, text string) time.Time {
	t.Helper()
	instant, err := time.Parse("2006-01-02T15:04:05Z07:00", text)
	if err != nil {
		t.Fatal(err)
	}
	return instant.UTC()
}

func TestPeriod(t *testing.T) {
	for name, tc := range map[string]struct {
		unit            Unit
		zone            string
		now, start, end string
	}{
		"an hour": {Hourly, "Europe/Berlin", "2026-07-01T10:59:59+02:00", "2026-07-01T10:00:00+02:00", "2026-07-01T11:00:00+02:00"},
		"an hour of India begins at half past the hour of London": {
			Hourly, "Asia/Kolkata", "2026-07-01T10:15:00+05:30", "2026-07-01T10:00:00+05:30", "2026-07-01T11:00:00+05:30",
		},
		"the first of the two hours when clocks are put back": {
			Hourly, "Europe/Berlin", "2026-10-25T02:30:00+02:00", "2026-10-25T02:00:00+02:00", "2026-10-25T02:00:00+01:00",
		},
		"the second of them": {
			Hourly, "Europe/Berlin", "2026-10-25T02:30:00+01:00", "2026-10-25T02:00:00+01:00", "2026-10-25T03:00:00+01:00",
		},
		"the hour after the one that is left out": {
			Hourly, "Europe/Berlin", "2026-03-29T01:30:00+01:00", "2026-03-29T01:00:00+01:00", "2026-03-29T03:00:00+02:00",
		},
		"half an hour comes again where clocks are put back by one": {
			Hourly, "Australia/Lord_Howe", "2026-04-05T01:45:00+10:30", "2026-04-05T01:30:00+10:30", "2026-04-05T02:00:00+10:30",
		},
		"half an hour is left out where clocks are put forward by one": {
			Hourly, "Australia/Lord_Howe", "2026-10-04T02:45:00+11:00", "2026-10-04T02:30:00+11:00", "2026-10-04T03:00:00+11:00",
		},
		"a day": {Daily, "America/New_York", "2026-07-01T23:59:59-04:00", "2026-07-01T00:00:00-04:00", "2026-07-02T00:00:00-04:00"},
		"a day of 23 hours": {
			Daily, "Europe/Berlin", "2026-03-29T12:00:00+02:00", "2026-03-29T00:00:00+01:00", "2026-03-30T00:00:00+02:00",
		},
		"a day of 25 hours": {
			Daily, "Europe/Berlin", "2026-10-25T12:00:00+01:00", "2026-10-25T00:00:00+02:00", "2026-10-26T00:00:00+01:00",
		},
		"a day whose midnight is left out begins at one": {
			Daily, "America/Sao_Paulo", "2018-11-04T01:00:00-02:00", "2018-11-04T01:00:00-02:00", "2018-11-05T00:00:00-02:00",
		},
		"a day whose midnight comes twice begins the first time": {
			Daily, "Atlantic/Azores", "2026-10-25T00:30:00-01:00", "2026-10-25T00:00:00+00:00", "2026-10-26T00:00:00-01:00",
		},
		"a day that has begun goes on when clocks show yesterday again": {
			Daily, "America/St_Johns", "2010-11-06T23:30:00-03:30", "2010-11-07T00:00:00-02:30", "2010-11-08T00:00:00-03:30",
		},
		"a date that never was": {
			Daily, "Pacific/Apia", "2011-12-29T23:59:59-10:00", "2011-12-29T00:00:00-10:00", "2011-12-31T00:00:00+14:00",
		},
		"a week begins on Monday, also for a Sunday": {
			Weekly, "Europe/Berlin", "2026-03-29T12:00:00+02:00", "2026-03-23T00:00:00+01:00", "2026-03-30T00:00:00+02:00",
		},
		"a Monday is in its own week": {
			Weekly, "", "2026-03-30T00:00:00Z", "2026-03-30T00:00:00Z", "2026-04-06T00:00:00Z",
		},
		"a month": {Monthly, "Europe/Berlin", "2026-10-31T23:00:00+01:00", "2026-10-01T00:00:00+02:00", "2026-11-01T00:00:00+01:00"},
		"a year ends with a month": {
			Monthly, "Asia/Tokyo", "2026-12-31T23:00:00+09:00", "2026-12-01T00:00:00+09:00", "2027-01-01T00:00:00+09:00",
		},
		"a February": {Monthly, "", "2028-02-29T12:00:00Z", "2028-02-01T00:00:00Z", "2028-03-01T00:00:00Z"},
	} {
		t.Run(name, func(t *testing.T) {
			p := Period{Unit: tc.unit, Zone: zoneOf(t, tc.zone)}
			now := at(t, tc.now)
			if got, want := p.Start(now), at(t, tc.start); !got.Equal(want) {
				t.Errorf("it starts at %s, want %s", got.In(p.Zone), want.In(p.Zone))
			}
			if got, want := p.Next(now), at(t, tc.end); !got.Equal(want) {
				t.Errorf("the next starts at %s, want %s", got.In(p.Zone), want.In(p.Zone))
			}
		})
	}
}

// someInstant is one of the last and the next hundred years, often near a change of the zone's clocks.
func someInstant(r *rand.Rand, zone *time.Location) time.Time {
	instant := time.Unix(r.Int64N(200*365*secondsOfDay)-100*365*secondsOfDay, r.Int64N(1e9))
	if r.IntN(3) == 0 {
		return instant
	}
	from, _ := instant.In(zone).ZoneBounds()
	if from.IsZero() {
		return instant
	}
	return from.Add(time.Duration(r.Int64N(int64(4*24*time.Hour))) - 2*24*time.Hour).Add(time.Duration(r.IntN(2)) * -time.Nanosecond)
}

func TestPeriodsDivideTime(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for _, name := range peculiar {
		for unit := Hourly; unit <= Monthly; unit++ {
			p := Period{Unit: unit, Zone: zoneOf(t, name)}
			for range 1000 {
				now := someInstant(r, p.Zone)
				start, next := p.Start(now), p.Next(now)
				if start.After(now) || !next.After(now) {
					t.Fatalf("%s in %q: %s is not between %s and %s", unit, name, now.In(p.Zone), start.In(p.Zone), next.In(p.Zone))
				}
				for what, got := range map[string]time.Time{
					"the start of a start":           p.Start(start),
					"the start of the last instant":  p.Start(next.Add(-time.Nanosecond)),
					"the start of something between": p.Start(start.Add(time.Duration(r.Int64N(int64(next.Sub(start)))))),
				} {
					if !got.Equal(start) {
						t.Fatalf("%s in %q at %s: %s is %s, want %s", unit, name, now.In(p.Zone), what, got.In(p.Zone), start.In(p.Zone))
					}
				}
				if !p.Next(start).Equal(next) || !p.Start(next).Equal(next) {
					t.Fatalf("%s in %q at %s: the next, %s, does not begin where this ends", unit, name, now.In(p.Zone), next.In(p.Zone))
				}
			}
		}
	}
}

// A period that begins is told from the one before by the clock on the wall, and everything in it looks alike.
func TestPeriodsAreThoseOfTheWall(t *testing.T) {
	label := map[Unit]func(time.Time) string{
		Hourly:  func(t time.Time) string { return t.Format("2006-01-02 15 -07:00") },
		Daily:   func(t time.Time) string { return t.Format("2006-01-02") },
		Weekly:  func(t time.Time) string { return t.AddDate(0, 0, -int(t.Weekday()+6)%7).Format("2006-01-02") },
		Monthly: func(t time.Time) string { return t.Format("2006-01") },
	}
	r := rand.New(rand.NewPCG(7, 8))
	for _, name := range peculiar {
		if name == "America/St_Johns" || name == "America/Toronto" {
			continue // where clocks were put back over midnight, a date came twice
		}
		for unit := Daily; unit <= Monthly; unit++ {
			p := Period{Unit: unit, Zone: zoneOf(t, name)}
			for range 500 {
				now := time.Unix(r.Int64N(60*365*secondsOfDay)+25*365*secondsOfDay, 0)
				start, next := p.Start(now).In(p.Zone), p.Next(now).In(p.Zone)
				mine := label[unit](now.In(p.Zone))
				if label[unit](start) != mine || label[unit](next.Add(-time.Second)) != mine {
					t.Fatalf("%s in %q at %s: from %s to %s is more than one", unit, name, now.In(p.Zone), start, next)
				}
				if label[unit](start.Add(-time.Second)) == mine || label[unit](next) == mine {
					t.Fatalf("%s in %q at %s: from %s to %s is less than one", unit, name, now.In(p.Zone), start, next)
				}
			}
		}
	}
}

func TestParsePeriod(t *testing.T) {
	for name, tc := range map[string]struct {
		unit, zone string
		want       Period
		wantErr    string
	}{
		"a unit and a zone":     {unit: "Weekly", zone: "Europe/Berlin", want: Period{Unit: Weekly, Zone: zoneOf(t, "Europe/Berlin")}},
		"no zone is UTC":        {unit: "Hourly", want: Period{Unit: Hourly, Zone: time.UTC}},
		"no unit is no period":  {wantErr: `"" is not a calendar period; write Hourly, Daily, Weekly or Monthly`},
		"a unit of another API": {unit: "Yearly", wantErr: `"Yearly" is not a calendar period; write Hourly, Daily, Weekly or Monthly`},
		"a zone that is none": {
			unit: "Daily", zone: "Mars/Olympus",
			wantErr: `"Mars/Olympus" is not a name of the IANA time zone database; write one such as Europe/Berlin, or leave it out for UTC`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ParsePeriod(tc.unit, tc.zone)
			if tc.wantErr != "" {
				if err == nil || err.Error() != tc.wantErr {
					t.Errorf("got %v, want %s", err, tc.wantErr)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestUnitsAreReadAsTheyAreWritten(t *testing.T) {
	for unit := Hourly; unit <= Monthly; unit++ {
		if got, known := ParseUnit(unit.String()); !known || got != unit {
			t.Errorf("%s is read as %s", unit, got)
		}
	}
	if _, known := ParseUnit(Unit(0).String()); known || Unit(99).String() != "" {
		t.Error("what is no unit has a word")
	}
}

func TestAZoneIsTheSameWheneverItIsAskedFor(t *testing.T) {
	if first, second := zoneOf(t, "Europe/Berlin"), zoneOf(t, "Europe/Berlin"); first != second {
		t.Error("two pointers for one name")
	}
	for _, name := range []string{"Local", "Europe//Berlin", "Europe/./Berlin", "../etc/passwd", "/etc/localtime", "berlin", strings.Repeat("x", 1000)} {
		if _, err := Zone(name); err == nil || len(err.Error()) > 200 {
			t.Errorf("%.20q: got %v, want a short refusal", name, err)
		}
	}
}

func BenchmarkPeriod(b *testing.B) {
	now := time.Unix(1_800_000_000, 0)
	for _, unit := range []Unit{Hourly, Daily, Monthly} {
		p := Period{Unit: unit, Zone: zoneOf(b, "Europe/Berlin")}
		b.Run(unit.String(), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				p.Start(now)
			}
		})
	}
}
