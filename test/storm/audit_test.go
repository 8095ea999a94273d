// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package storm

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/turnout-ai/turnout/internal/modelsim/ledger"
	"github.com/turnout-ai/turnout/internal/modelstate"
)

// noon is when the storms of these tests were.
var noon = time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)

// scene is a small storm that is as it should be: a request that failed over, a stream that was cut, a caller that
// left, and a request at a connection that was stale.
func scene() *evidence {
	e := &evidence{deeds: map[string]map[string]*deed{}, attempts: map[[2]string]float64{}, budget: stormAttempts, deadline: stormDeadline}
	e.suffered = func(endpoint string, from, to time.Time, _ bool) *trouble {
		t := &trouble{from: noon, to: noon.Add(2 * time.Second), disorder: disorder{name: "battered", shock: battered}}
		if endpoint == "charlie" && t.from.Before(to) && t.to.After(from) {
			return t
		}
		return nil
	}
	add := func(id string, k kind, header bool, tries ...try) *line {
		l := &line{Time: noon, ID: id, DurationMS: 1000, Status: http.StatusOK, Attempts: len(tries), Tries: tries, Client: "127.1.0.1:" + id}
		a := &answer{begun: noon, ended: noon.Add(time.Second), address: l.Client, header: http.Header{}}
		if header {
			a.header.Set(requestID, id)
		}
		e.lines = append(e.lines, l)
		e.results = append(e.results, &result{&ask{name: id, leaves: k == left}, a, verdict{kind: k}})
		return l
	}
	deeds := func(l *line, i int, event ledger.Event, fault string) {
		t := l.Tries[i]
		d := &deed{endpoint: t.Endpoint, accepted: noon, last: ledger.Record{Event: event, Time: noon.Add(500 * time.Millisecond), Fault: fault}}
		if !t.Estimated {
			d.last.Tokens = ledger.Tokens{Prompt: int(t.Input), Completion: int(t.Output)}
		}
		e.deeds[attemptID(l, i)] = map[string]*deed{"req_" + attemptID(l, i): d}
	}
	over := add("a", whole, true, try{"alpha", "failure", 0, 0, false}, try{"bravo", outcomeSuccess, 10, 20, false})
	deeds(over, 0, ledger.Finished, "503")
	deeds(over, 1, ledger.Finished, "")
	broken := add("b", cut, true, try{"charlie", "cut", 10, 3, true})
	deeds(broken, 0, ledger.Cancelled, "")
	gone := add("c", left, false, try{"bravo", outcomeClientGone, 10, 0, true})
	deeds(gone, 0, ledger.Cancelled, "")
	stale := add("d", whole, true, try{"bravo", outcomeStale, 0, 0, false}, try{"bravo", outcomeSuccess, 11, 21, false})
	deeds(stale, 1, ledger.Finished, "")
	e.add()
	return e
}

// add makes the proxy's own sums from the lines.
func (e *evidence) add() {
	e.books, e.attempts = nil, map[[2]string]float64{}
	sums := map[string]*modelstate.Usage{}
	for _, l := range e.lines {
		for _, t := range l.Tries {
			e.attempts[[2]string{t.Endpoint, t.Outcome}]++
			if sums[t.Endpoint] == nil {
				sums[t.Endpoint] = &modelstate.Usage{}
			}
			u := sums[t.Endpoint]
			u.Requests++
			u.Tokens.Input += t.Input
			u.Tokens.Output += t.Output
			if t.Estimated {
				u.Estimated.Requests++
				u.Estimated.Tokens.Input += t.Input
				u.Estimated.Tokens.Output += t.Output
			}
		}
	}
	for name, u := range sums {
		e.books = append(e.books, modelstate.Numbers{Name: name, Quota: []modelstate.PeriodUsage{{Usage: *u}}})
	}
}

// TestTheAuditFindsWhatIsWrong changes one thing at a time in books that agree.
func TestTheAuditFindsWhatIsWrong(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(e *evidence)
		want   string // empty: nothing is found
	}{
		"books that agree": {func(*evidence) {}, ""},
		"an attempt that succeeded is not in the ledger":   {func(e *evidence) { delete(e.deeds, "a.2") }, "alpha" + "|knows nothing of it"},
		"an attempt is in the ledger and in no access log": {func(e *evidence) { e.lines = e.lines[:3]; e.results = e.results[:3]; e.add() }, "in no access log"},
		"an attempt was sent twice":                        {func(e *evidence) { e.deeds["a.2"]["again"] = e.deeds["a.2"]["req_a.2"] }, "sent 2 times"},
		"an attempt went elsewhere than was logged":        {func(e *evidence) { e.deeds["a.2"]["req_a.2"].endpoint = "delta" }, "delta has got it"},
		"the ledger has one token more":                    {func(e *evidence) { e.deeds["a.2"]["req_a.2"].last.Tokens.Completion++ }, "used 10 and 20 tokens"},
		"the provider did not finish what was confirmed":   {func(e *evidence) { e.deeds["a.2"]["req_a.2"].last.Event = ledger.Cancelled }, "used 10 and 20 tokens"},
		"an attempt failed for no reason":                  {func(e *evidence) { e.deeds["a.1"]["req_a.1"].last.Fault = "" }, `came to "failure", and nothing explains it`},
		"a stream was cut by nothing": {func(e *evidence) {
			e.lines[1].Tries[0].Endpoint = "bravo"
			e.deeds["b.1"]["req_b.1"].endpoint = "bravo"
			e.add()
		}, "nothing has cut it"},
		"a stream was cut long after the trouble":          {func(e *evidence) { e.results[1].answer.ended = noon.Add(10 * time.Second) }, "nothing has cut it"},
		"a fault before the content does not cut a stream": {func(e *evidence) { e.suffered = never; e.deeds["b.1"]["req_b.1"].last.Fault = "503" }, "nothing has cut it"},
		"a fault that cuts streams explains one":           {func(e *evidence) { e.suffered = never; e.deeds["b.1"]["req_b.1"].last.Fault = "cut;after=3" }, ""},
		"a machine that stood still explains it too": {func(e *evidence) {
			e.suffered = never
			e.lines[1].DurationMS = 4000
			e.stalls = []stall{{noon, noon.Add(stormIdle)}}
		}, ""},
		"a caller got an error, and a try was left":       {func(e *evidence) { e.results[0].verdict = verdict{failed, "502"} }, "could have answered"},
		"a caller got an error when all tries were spent": {func(e *evidence) { e.results[1].verdict = verdict{failed, "502"}; e.budget = 1 }, ""},
		"and one of them failed for no reason":            {func(e *evidence) { e.results[1].verdict = verdict{failed, "502"}; e.budget = 1; e.suffered = never }, "could have answered"},
		"a caller got another answer":                     {func(e *evidence) { e.results[0].verdict = verdict{wrong, "another answer"} }, "another answer"},
		"a caller stayed, and the log says that it left": {func(e *evidence) {
			e.results[2].ask.leaves = false
			e.results[2].answer.header.Set(requestID, "c")
		}, `came to "client_disconnect"`},
		"a request is in no access log":                  {func(e *evidence) { e.lines = e.lines[1:]; delete(e.deeds, "a.1"); delete(e.deeds, "a.2"); e.add() }, "a is in no access log"},
		"a line of the access log is nobody's":           {func(e *evidence) { e.results = e.results[1:] }, "nobody has made the request a"},
		"two requests have one id":                       {func(e *evidence) { e.results[3].answer.header.Set(requestID, "a") }, "two requests have the id a"},
		"two lines have one id":                          {func(e *evidence) { e.lines = append(e.lines, e.lines[0]); e.add() }, "two lines of the access log"},
		"an attempt is missing in the log":               {func(e *evidence) { e.lines[0].Attempts = 3 }, "has made 3 attempts, and 2 are logged"},
		"a use that was told to the caller is estimated": {func(e *evidence) { e.lines[0].Tries[1].Estimated = true; e.add() }, `came to "success"`},
		"one that nobody asked for may be":               {func(e *evidence) { e.lines[0].Tries[1].Estimated = true; e.results[0].ask.stream = true; e.add() }, ""},
		"a panic is never explained":                     {func(e *evidence) { e.lines[1].Tries[0].Outcome = outcomePanic; e.add() }, `came to "panic"`},
		"the books hold a token more":                    {func(e *evidence) { e.books[0].Quota[0].Tokens.Output++ }, "the books hold"},
		"the books hold an attempt more":                 {func(e *evidence) { e.books[0].Quota[0].Requests++ }, "the books hold"},
		"the books take an estimate for a confirmed use": {func(e *evidence) { e.books[0].Quota[0].Estimated.Requests++ }, "the books hold"},
		"the metrics count an attempt more":              {func(e *evidence) { e.attempts[[2]string{"alpha", "failure"}]++ }, "by the metrics"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := scene()
			c.change(e)
			var texts []string
			for _, f := range examine(e).findings {
				texts = append(texts, f.text)
			}
			want := c.want[strings.Index(c.want, "|")+1:]
			if all := strings.Join(texts, "\n"); c.want == "" && all != "" || !strings.Contains(all, want) {
				t.Errorf("found:\n%s\nwant %q", all, want)
			}
		})
	}
}

func never(string, time.Time, time.Time, bool) *trouble { return nil }

// TestGrowthIsFound lets each figure grow a little more than it may.
func TestGrowthIsFound(t *testing.T) {
	t.Parallel()
	before := figures{Descriptors: 10, Goroutines: 20, Heap: mebibyte, RSS: 10 * mebibyte}
	for name, c := range map[string]struct {
		change func(f *figures)
		want   int
	}{
		"nothing has changed":          {func(*figures) {}, 0},
		"less of everything is fine":   {func(f *figures) { *f = figures{} }, 0},
		"one descriptor more is found": {func(f *figures) { f.Descriptors++ }, 1},
		"one goroutine more is found":  {func(f *figures) { f.Goroutines++ }, 1},
		"a heap may grow a little":     {func(f *figures) { f.Heap += heapRoom }, 0},
		"and no more":                  {func(f *figures) { f.Heap += heapRoom + 1 }, 1},
		"so may the resident memory":   {func(f *figures) { f.RSS += rssRoom }, 0},
		"and not more either":          {func(f *figures) { f.RSS += rssRoom + 1 }, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			after := before
			c.change(&after)
			if got := after.grown(before); len(got) != c.want {
				t.Errorf("found %q, want %d", got, c.want)
			}
		})
	}
}

// TestALineIsRead: one attempt stands in the line itself, several in a list.
func TestALineIsRead(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`{"endpoint":"a","attempts":1,"gen_ai.usage.input_tokens":3,"gen_ai.usage.output_tokens":4,"turnout.usage_estimated":true}`:                   "[{a success 3 4 true}]",
		`{"endpoint":"a","attempts":1,"last_outcome":"cut"}`:                                                                                          "[{a cut 0 0 false}]",
		`{"endpoint":"b","attempts":2,"turnout.attempts":[{"endpoint":"a","outcome":"reset"},{"endpoint":"b","outcome":"success","input_tokens":3}]}`: "[{a reset 0 0 false} {b success 3 0 false}]",
		`{"attempts":0}`: "[]",
	} {
		l, err := readLine([]byte(text))
		if err != nil || fmt.Sprint(l.Tries) != want {
			t.Errorf("%s: %v, %v; want %s", text, l, err, want)
		}
	}
}
