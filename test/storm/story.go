// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package storm

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// summary says what a storm was like.
func (st *storm) summary() string {
	var b strings.Builder
	a := st.audit
	fmt.Fprintf(&b, "storm %d: %d requests, %d attempts, %d confirmed by their provider with %d and %d tokens\n",
		st.seed, len(a.results), sum(a.outcomes), a.confirmed, a.tokens.Input, a.tokens.Output)
	for k, name := range kindNames {
		fmt.Fprintf(&b, "  %6d %s\n", a.kinds[k], name)
	}
	fmt.Fprintf(&b, "  %6d of the failed ones had spent all their attempts or time\n", len(a.spent))
	fmt.Fprintf(&b, "streams were cut: %s\n", counts(st.cuts()))
	fmt.Fprintf(&b, "attempts: %s\n", counts(a.outcomes))
	for _, why := range slices.Sorted(maps.Keys(a.explained)) {
		fmt.Fprintf(&b, "  %6d without a confirmed usage, %s\n", len(a.explained[why]), why)
	}
	fmt.Fprintf(&b, "stood still for %s\n", stood(a.stalls, time.Time{}, time.Now()).Round(10*time.Millisecond))
	fmt.Fprintf(&b, "troubles: %s\n", counts(st.troubles()))
	fmt.Fprintf(&b, "before: %s\nafter:  %s\nat most: %s\n", st.before, st.after, peak(st.samples))
	return b.String()
}

// cuts counts streams that were cut by what their callers were told.
func (st *storm) cuts() map[string]int {
	n := map[string]int{}
	for _, r := range st.audit.results {
		if r.verdict.kind == cut {
			n[cmp.Or(r.verdict.detail, "the provider's own error")]++
		}
	}
	return n
}

// troubles counts spells by what they were.
func (st *storm) troubles() map[string]int {
	n := map[string]int{}
	for _, s := range st.stations {
		for _, t := range s.troubles {
			n[t.disorder.name]++
		}
	}
	return n
}

func peak(samples []figures) (top figures) {
	for _, s := range samples {
		top.Descriptors, top.Goroutines = max(top.Descriptors, s.Descriptors), max(top.Goroutines, s.Goroutines)
		top.Heap, top.RSS = max(top.Heap, s.Heap), max(top.RSS, s.RSS)
	}
	return top
}

func sum(n map[string]int) (total int) {
	for _, v := range n {
		total += v
	}
	return total
}

func counts(n map[string]int) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(n)) {
		parts = append(parts, fmt.Sprintf("%s %d", name, n[name]))
	}
	return strings.Join(parts, ", ")
}

// story tells everything that is known about a finding.
func (st *storm) story(f finding) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n", f.text)
	from, to := time.Time{}, time.Time{}
	if r := f.result; r != nil {
		from, to = r.answer.begun, r.answer.ended
		fmt.Fprintf(&b, "  %s: %s to %s, %s%s, status %d, %v\n", r.ask.name, st.clock(from), st.clock(to), r.ask.path, streamWord(r.ask), r.answer.status, r.answer.err)
		if len(r.ask.body) > 0 {
			fmt.Fprintf(&b, "  asked: %s\n", shortened(string(r.ask.body)))
			fmt.Fprintf(&b, "  got: %s\n", shortened(string(r.answer.body)))
		}
	}
	if f.line == nil {
		return b.String()
	}
	if from.IsZero() {
		from, to = f.line.Time, f.line.end()
	}
	fmt.Fprintf(&b, "  log: %s\n", f.line.text)
	for i := range f.line.Tries {
		t := &f.line.Tries[i]
		fmt.Fprintf(&b, "  attempt %d at %s: %s", i+1, t.Endpoint, t.Outcome)
		for _, d := range st.audit.deeds[attemptID(f.line, i)] {
			fmt.Fprintf(&b, "; %s accepted it at %s, and %s at %s, status %d, fault %q", d.endpoint, st.clock(d.accepted), d.last.Event, st.clock(d.last.Time), d.last.Status, d.last.Fault)
		}
		b.WriteByte('\n')
	}
	for _, s := range st.stations {
		for _, t := range s.troubles {
			if t.from.Before(to.Add(lag)) && t.to.After(from.Add(-lag)) {
				fmt.Fprintf(&b, "  %s suffered from %s to %s: %s %v %v\n", s.place.name, st.clock(t.from), st.clock(t.to), t.disorder.name, t.disorder.toxics, t.disorder.rules)
			}
		}
	}
	return b.String()
}

func streamWord(q *ask) string {
	if q.stream {
		return " as a stream"
	}
	return ""
}

// clock is a time since the beginning of the storm.
func (st *storm) clock(at time.Time) string { return fmt.Sprintf("%.3fs", at.Sub(st.begun).Seconds()) }
