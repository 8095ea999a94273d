// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package storm

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/turnout-ai/turnout/internal/modelsim/ledger"
	"github.com/turnout-ai/turnout/internal/modelstate"
)

// evidence is everything that is known of a storm.
type evidence struct {
	results []*result
	lines   []*line
	deeds   map[string]map[string]*deed
	// suffered is what was wrong at an endpoint in a span of time; on its wire, or at all.
	suffered func(endpoint string, from, to time.Time, wired bool) *trouble
	// books and attempts are what the proxy itself has added up: by endpoint, and by endpoint and outcome.
	books    []modelstate.Numbers
	attempts map[[2]string]float64
	// budget and deadline are of the policies.
	budget   int
	deadline time.Duration
	// stalls are the times in which a process of the test stood still.
	stalls []stall
}

// audit holds the books of a storm against each other.
type audit struct {
	*evidence
	byID map[string]*line
	// byClient are the lines by the caller's address, for requests that never learned their id.
	byClient map[string]*line
	// owners are the requests of lines.
	owners map[*line]*result

	findings []finding
	// kinds count requests, outcomes attempts, explained attempts without a confirmed usage by the reason, and
	// spent the requests that failed for want of time or attempts.
	kinds     [kinds]int
	outcomes  map[string]int
	explained map[string][]string
	spent     []string
	confirmed int
	tokens    modelstate.Tokens
}

// finding is something that must not be.
type finding struct {
	line   *line // nil when it is about none
	result *result
	text   string
}

// examine audits a storm.
func examine(e *evidence) *audit {
	a := &audit{
		evidence: e, byID: map[string]*line{}, byClient: map[string]*line{}, owners: map[*line]*result{},
		outcomes: map[string]int{}, explained: map[string][]string{},
	}
	for _, l := range e.lines {
		if a.byID[l.ID] != nil {
			a.find(l, nil, "two lines of the access log have the id %s", l.ID)
		}
		a.byID[l.ID], a.byClient[l.Client] = l, l
	}
	for _, r := range e.results {
		a.request(r)
	}
	for _, l := range e.lines {
		a.line(l)
	}
	a.strays()
	a.sums()
	return a
}

func (a *audit) find(l *line, r *result, format string, args ...any) {
	a.findings = append(a.findings, finding{l, r, fmt.Sprintf(format, args...)})
}

// request judges what a caller got.
func (a *audit) request(r *result) {
	a.kinds[r.verdict.kind]++
	l := a.lineOf(r)
	if l == nil {
		if r.verdict.kind != left { // who left at once may never have been heard
			a.find(nil, r, "%s is in no access log: %s", r.ask.name, r.verdict.detail)
		}
		return
	}
	if a.owners[l] != nil {
		a.find(l, r, "two requests have the id %s", l.ID)
	}
	a.owners[l] = r
	switch r.verdict.kind {
	case whole, left, kinds:
	case cut:
		if why := a.cutBy(r, l); why == "" {
			a.find(l, r, "the stream was cut after its content, and nothing has cut it")
		}
	case failed:
		if !a.honest(l) {
			a.find(l, r, "an endpoint that was well could have answered: %s", r.verdict.detail)
			return
		}
		a.spent = append(a.spent, l.ID)
	case wrong:
		a.find(l, r, "%s", r.verdict.detail)
	}
}

// lineOf is the line of a request in the access log.
func (a *audit) lineOf(r *result) *line {
	if id := r.answer.header.Get(requestID); id != "" {
		return a.byID[id]
	}
	if r.ask.leaves {
		return a.byClient[r.answer.address]
	}
	return nil
}

func attemptID(l *line, i int) string { return fmt.Sprintf("%s.%d", l.ID, i+1) }

// line holds the attempts of a request against what providers did.
func (a *audit) line(l *line) {
	if a.owners[l] == nil {
		a.find(l, nil, "nobody has made the request %s", l.ID)
	}
	if len(l.Tries) != l.Attempts {
		a.find(l, nil, "%s has made %d attempts, and %d are logged", l.ID, l.Attempts, len(l.Tries))
	}
	for i := range l.Tries {
		a.attempt(l, i)
	}
}

// attempt holds one attempt against what its provider did.
func (a *audit) attempt(l *line, i int) {
	t, id := &l.Tries[i], attemptID(l, i)
	a.outcomes[t.Outcome]++
	for _, d := range a.deeds[id] {
		if d.endpoint != t.Endpoint {
			a.find(l, nil, "attempt %s went to %s, and %s has got it", id, t.Endpoint, d.endpoint)
		}
	}
	if t.Outcome == outcomeSuccess && len(a.deeds[id]) == 0 {
		a.find(l, nil, "attempt %s succeeded, and %s knows nothing of it", id, t.Endpoint)
		return
	}
	if !t.Estimated && t.Input+t.Output > 0 {
		a.confirm(l, t, id)
		return
	}
	why := a.why(l, i)
	if why == "" {
		a.find(l, nil, "attempt %s at %s came to %q, and nothing explains it", id, t.Endpoint, t.Outcome)
		return
	}
	a.explained[why] = append(a.explained[why], id)
}

// confirm compares what the provider has told of an attempt with what it wrote down.
func (a *audit) confirm(l *line, t *try, id string) {
	a.confirmed++
	for _, d := range a.deeds[id] {
		used := d.last.Tokens
		if d.last.Event == ledger.Finished && int64(used.Prompt) == t.Input && int64(used.Completion) == t.Output {
			a.tokens.Input += t.Input
			a.tokens.Output += t.Output
			return
		}
		a.find(l, nil, "attempt %s used %d and %d tokens by the access log, and %+v by the ledger of %s", id, t.Input, t.Output, d.last, t.Endpoint)
		return
	}
	a.find(l, nil, "attempt %s used %d and %d tokens, and is not in the ledger of %s", id, t.Input, t.Output, t.Endpoint)
}

// strays are what providers did that the proxy knows nothing of, or has made them do twice.
func (a *audit) strays() {
	for _, id := range slices.Sorted(maps.Keys(a.deeds)) {
		request, number, _ := strings.Cut(id, ".")
		l := a.byID[request]
		for _, d := range a.deeds[id] {
			if l == nil || !slices.ContainsFunc(indices(l), func(i string) bool { return i == number }) {
				a.find(l, nil, "%s has got attempt %q, which is in no access log: %+v", d.endpoint, id, d.last)
			}
		}
		if n := len(a.deeds[id]); n > 1 {
			a.find(l, nil, "attempt %s was sent %d times", id, n)
		}
	}
}

func indices(l *line) (out []string) {
	for i := range l.Tries {
		out = append(out, fmt.Sprint(i+1))
	}
	return out
}
