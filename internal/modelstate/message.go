// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package modelstate

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

const (
	// maxMessage and maxNewsMessage are what the API takes of a verdict's message and of a failure's, in bytes.
	maxMessage, maxNewsMessage = 1024, 512
	// maxPolicies is how many policies are named.
	maxPolicies = 64
)

// cut shortens a text to so many bytes of whole runes.
func cut(text string, size int) string {
	text = strings.ToValidUTF8(text, "\uFFFD")
	if len(text) <= size {
		return text
	}
	const more = "…"
	end := size - len(more)
	for !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + more
}

// clock writes a time of day, with the day when it is another one.
func clock(t, now time.Time) string {
	t = t.UTC()
	if now = now.UTC(); t.YearDay() == now.YearDay() && t.Year() == now.Year() {
		return t.Format("15:04:05Z")
	}
	return t.Format(time.RFC3339)
}

// timeOfDay writes the end of a period: by its day when that is more than one ahead.
func timeOfDay(t, now time.Time) string {
	t = t.UTC()
	if t.Sub(now) > 24*time.Hour {
		return t.Format("2006-01-02 15:04 UTC")
	}
	return t.Format("15:04 UTC")
}

// short writes a duration without the parts that are zero: 1m, not 1m0s.
func short(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// consecutive says how many failures there were.
func consecutive(failures int64, trial bool) string {
	switch {
	case trial && failures == 1:
		return "1 failure on trial"
	case trial:
		return fmt.Sprintf("%d failures on trial", failures)
	default:
		return fmt.Sprintf("%d consecutive failures", failures)
	}
}

func probesFailed(failures int) string {
	if failures == 1 {
		return "1 probe failed"
	}
	return fmt.Sprintf("%d probes failed in a row", failures)
}

// lastFailure quotes the newest failure.
func lastFailure(message string) string {
	if message == "" {
		return ""
	}
	return ", last: " + cut(message, maxNewsMessage)
}

// saying quotes what somebody said.
func saying(message string) string {
	if message == "" {
		return ""
	}
	return ": " + cut(message, maxNewsMessage)
}

// byPolicies names the policies whose thresholds were passed; the first few, as all are listed beside.
func byPolicies(policies []string) string {
	const most = 3
	switch n := len(policies); {
	case n == 0:
		return ""
	case n == 1:
		return " (policy " + cut(policies[0], 128) + ")"
	case n > most:
		return " (policies " + cut(strings.Join(policies[:most], ", "), 256) + fmt.Sprintf(" and %d more)", n-most)
	default:
		return " (policies " + cut(strings.Join(policies, ", "), 256) + ")"
	}
}

// describe says what a trial asks for.
func describe(t *Trial) string {
	noun := "successes"
	if t.Successes == 1 {
		noun = "success"
	}
	return fmt.Sprintf("on trial with %d %% of its traffic, growing to all of it over %s; passed then, after %d %s",
		t.InitialPercent, short(t.Ramp), t.Successes, noun)
}

// union merges sorted names.
func union(a, b []string) []string {
	if len(b) == 0 {
		return a
	}
	all := slices.Concat(a, b)
	slices.Sort(all)
	return bounded(slices.Compact(all))
}

// bounded keeps the first names.
func bounded(names []string) []string { return names[:min(len(names), maxPolicies)] }
