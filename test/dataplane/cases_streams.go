// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package dataplane

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/turnout-ai/turnout/api/v1alpha1"
)

// streamRows: what the caller of a stream sees and when, and what is known of it afterwards.
var streamRows = []Row{
	{"commit at the first content", commitCases},
	{"comments while a caller waits", waitingCases},
	{"usage", usageCases},
	{"silence, slowness and the deadline", paceCases},
}

// commitCases: a stream is committed at its first content, and until then another endpoint can answer.
var commitCases = slices.Concat(
	beforeContent(map[string]string{
		"a role":                         role,
		"an empty text":                  delta(`{"content":""}`),
		"what a filter says of a prompt": `data: {"id":"","object":"","model":"","choices":[],"prompt_filter_results":[{"prompt_index":0,"content_filter_results":{}}]}` + "\n\n",
		"comments":                       ": OPENROUTER PROCESSING\n\n",
		"a ping":                         "event: ping\ndata: {\"type\":\"ping\"}\n\n",
		"48 KB of nothing":               strings.Repeat(role, 48<<10/len(role)),
	}),
	afterContent(map[string]string{
		"text":               word,
		"reasoning":          delta(`{"reasoning_content":"Hm."}`),
		"other reasoning":    delta(`{"reasoning":"Hm.","content":""}`),
		"a call of a tool":   delta(`{"tool_calls":[{"index":0,"id":"call_1","type":"function","function":{"name":"f","arguments":""}}]}`),
		"a refusal":          delta(`{"refusal":"No."}`),
		"sound":              delta(`{"audio":{"id":"audio_1","data":"AAAA"}}`),
		"the second choice":  strings.Replace(word, `"index":0`, `"index":1`, 1),
		"what nobody knows":  delta(`{"telepathy":"…"}`),
		"an event of a tool": "event: hosted_tool.started\ndata: {\"type\":\"hosted_tool.started\"}\n\n",
	}),
	[]Case{
		{
			Name: "a stream that has more than 64 KB before its content is held no longer", Over: Stream,
			Providers: []Provider{scripted(breaksAfter(strings.Repeat(role, 80<<10/len(role))), "cut").failing(1), idle()},
			Want:      Answer{Event: true, Code: "stream_interrupted"},
		},
		{
			Name: "a stream arrives byte for byte", Over: Stream,
			Providers: []Provider{scripted(streams(oddFrames), "success")},
			Want:      Answer{Body: oddFrames},
		},
		{
			Name: "an error as the first event that is the caller's is passed on as it is", Over: Stream,
			Ask:       Request{Fields: `"stream_options":{"include_usage":true}`},
			Providers: []Provider{scripted(streams(role, imageError), "client_error"), idle()},
			Want:      Answer{Body: role + imageError, Code: "image_parse_error"},
		},
		{
			Name: "an answer of more than a mebibyte arrives byte for byte", Over: JSON,
			Providers: []Provider{scripted(says(200, longAnswer), "success"), idle()},
			Want:      Answer{Body: longAnswer},
		},
		{
			Name: "an answer that breaks off after its first mebibyte breaks off for the caller too", Over: JSON,
			Providers: []Provider{scripted(func(c *Call) bool {
				_, _ = fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(longAnswer)+1, longAnswer)
				return false
			}, "cut").failing(1), idle()},
			Do: func(t *Trial) {
				if got := t.ask(); got.Err == nil {
					t.Errorf("%d bytes of an answer that is not whole end as if it were", len(got.Body))
				}
			},
		},
		{
			Name: "a page of two mebibytes is a failure, and the next answers",
			Providers: []Provider{scripted(func(c *Call) bool {
				page := "<html>" + strings.Repeat("x", 2<<20)
				_, err := fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n%s", len(page), page)
				return err == nil
			}, "unreadable_answer").failing(1), answers()},
		},
	},
)

// delta is a frame of a stream.
func delta(what string) string {
	return `data: {"id":"x","object":"chat.completion.chunk","choices":[{"index":0,"delta":` + what + `,"finish_reason":null}]}` + "\n\n"
}

// oddFrames are written as nobody has to expect them.
var oddFrames = "id: 7\nretry: 100\nevent: message\n" + role + ": between\n\n" + "data:" + strings.TrimPrefix(word, "data: ") +
	strings.Replace(finish, `}`+"\n\n", `,"extra":[1, 2 ,"é"]}`+"\n\n", 1) + done

// imageError is about what the caller has sent.
const imageError = `data: {"error":{"message":"The image could not be read.","type":"invalid_request_error","param":null,"code":"image_parse_error"}}` + "\n\n"

var longAnswer = strings.Replace(wholeAnswer, "hello", strings.Repeat("hello ", 250_000), 1)

// beforeContent are cases in which a stream breaks off after frames that are no content.
func beforeContent(frames map[string]string) []Case {
	var cases []Case
	for _, what := range sorted(frames) {
		cases = append(cases, Case{
			Name: "a stream that breaks off after " + what + " was never begun, and the next answers", Over: Stream,
			Providers: []Provider{scripted(breaksAfter(frames[what]), "cut").failing(1), answers()},
		})
	}
	return cases
}

// afterContent are cases in which a stream begins with a kind of content: it arrives as it is, and when it breaks off
// after it, that cannot be made good.
func afterContent(frames map[string]string) []Case {
	var cases []Case
	for _, what := range sorted(frames) {
		frame := frames[what]
		cases = append(cases, Case{
			Name: "a stream that begins with " + what + " arrives as it is", Over: Stream,
			Providers: []Provider{scripted(streams(role, frame, finish, done), "success"), idle()},
			Want:      Answer{Body: role + frame + finish + done},
		}, Case{
			Name: "a stream that breaks off after " + what + " ends with an error event", Over: Stream | Fresh,
			Providers: []Provider{scripted(breaksAfter(role, frame), "cut").failing(1), idle()},
			Do: func(t *Trial) {
				got := t.ask()
				if rest, ok := strings.CutPrefix(got.Body, role+frame); !ok || got.code() != "stream_interrupted" || !strings.HasPrefix(rest, `data: {"error":{`) {
					t.Errorf("status %d, %q", got.Status, got.Body)
				}
			},
		})
	}
	return cases
}

// waitingComment is what a caller hears while nothing has come.
const waitingComment = ": turnout waiting\n\n"

// soonComments tells callers to wait ten times a second.
var soonComments = timeouts(func(t *v1alpha1.Timeouts) { t.CommitAfter = new(v1alpha1.Duration("100ms")) })

// afterComments is a Do that lets the providers go on once the caller has heard that it must wait, so often.
func afterComments(times int) func(*Trial) {
	return func(t *Trial) {
		reading := t.open(t.of.Ask)
		if err := reading.until(strings.Repeat(waitingComment, times)); err != nil {
			t.Fatal(err)
		}
		t.script().open(0)
		t.check(reading.rest(), t.of.want(true))
	}
}

// waitingCases: what a caller is told while there is no content.
var waitingCases = []Case{
	{
		Name: "a caller that waits hears comments, and another endpoint can still answer", Over: Stream, Policy: soonComments,
		Providers: []Provider{scripted(gated(says(500, "{}")), "failure").failing(1), answers()},
		Want:      Answer{Waits: true}, Do: afterComments(3),
	},
	{
		Name: "a caller hears comments while a stream has a role and nothing else, and another endpoint can still answer", Over: Stream, Policy: soonComments,
		Providers: []Provider{scripted(func(c *Call) bool {
			c.begin()
			c.send(role)
			c.wait(0)
			return false
		}, "cut").failing(1), answers()},
		Want: Answer{Waits: true}, Do: afterComments(2),
	},
	{
		Name: "a caller that has heard comments gets the answer when it comes", Over: Stream, Policy: soonComments,
		Providers: []Provider{scripted(gated(answersEither), "success"), idle()},
		Want:      Answer{Waits: true},
		Do: func(t *Trial) {
			reading := t.open(t.of.Ask)
			if err := reading.until(waitingComment); err != nil {
				t.Fatal(err)
			}
			t.script().open(0)
			got := reading.rest()
			if said := strings.ReplaceAll(got.Body, waitingComment, ""); said != role+word+finish+done || got.Err != nil {
				t.Errorf("status %d, error %v, %q", got.Status, got.Err, got.Body)
			}
		},
	},
	{
		Name: "when all fail after comments the caller gets an error event, and the end", Over: Stream, Policy: all(soonComments, attempts(2)),
		Providers: []Provider{scripted(gated(says(500, "{}")), "failure").failing(1), fails("503", "failure")},
		Want:      Answer{Waits: true, Event: true, Code: "upstream_unavailable", Retry: "any", Says: []string{"2 × failure"}}, Do: afterComments(1),
	},
	{
		Name: "what a provider says about the request comes as an event after comments", Over: Stream, Policy: soonComments,
		Providers: []Provider{scripted(gated(says(400, apiError("invalid_request_error", "context_length_exceeded", "This model's maximum context length is 8 tokens."))), "context_length").
			with(window(8000)), idle().with(window(8000))},
		Want: Answer{Waits: true, Event: true, Code: "context_length_exceeded", Retry: "any"}, Do: afterComments(1),
	},
	{
		Name: "no comments tell a caller to wait when none need", Over: Stream,
		Providers: []Provider{answers()}, Want: Answer{Hides: []string{"turnout waiting"}},
	},
	{
		Name: "a caller that leaves after comments has its attempt cancelled", Over: Stream, Policy: soonComments,
		Providers: []Provider{scripted((*Call).untilLeft, "client_disconnect"), idle()},
		Do: func(t *Trial) {
			reading := t.open(t.of.Ask)
			if err := reading.until(waitingComment); err != nil {
				t.Fatal(err)
			}
			reading.leave()
			t.await("waiting for the provider to notice", func() bool { return t.places[0].left() == 1 })
		},
	},
}

// usageCases: what a stream used is asked for, and told to those who asked.
var usageCases = []Case{
	{
		Name: "usage is asked for, and not told to a caller that has not asked", Over: Stream,
		Providers: []Provider{answers()},
		Do:        booked("output", 8),
	},
	{
		Name: "usage is told to a caller that has asked", Over: Stream,
		Ask:       Request{Fields: `"stream_options":{"include_usage":true}`},
		Providers: []Provider{answers()},
		Do:        booked("output", 8),
	},
	{
		Name: "usage is asked for although the caller asks that it is not told, and is not told", Over: Stream,
		Ask:       Request{Fields: `"stream_options":{"include_usage":false}`},
		Providers: []Provider{answers()},
		Do:        booked("output", 8),
	},
	{
		Name: "usage is asked of an endpoint that says it tells", Over: Stream,
		Providers: []Provider{answers().with(features(v1alpha1.FeatureStreamUsage))},
		Do:        booked("output", 8),
	},
	{
		Name: "usage is not asked of an endpoint that does not say so, but estimated", Over: Stream,
		Providers: []Provider{scripted(func(c *Call) bool {
			if strings.Contains(c.Body, "stream_options") {
				return c.say(400, "", "{}")
			}
			return streams(role, strings.Repeat(word, 8), finish, done)(c)
		}, "success").with(features(v1alpha1.FeatureToolCalling))},
		Do: booked("estimated_output", 10),
	},
	{
		Name: "usage that comes with an answer is told as it came", Over: Stream,
		Providers: []Provider{scripted(streams(role, word, strings.Replace(finish, `"choices"`, `"usage":{"prompt_tokens":3,"completion_tokens":5},"choices"`, 1), done), "success")},
		Want:      Answer{Says: []string{`"completion_tokens":5`}, Body: ""},
		Do: func(t *Trial) {
			if got := t.ask(); !strings.Contains(got.Body, `"completion_tokens":5`) || !strings.HasSuffix(got.Body, done) {
				t.Errorf("status %d, %q", got.Status, got.Body)
			}
			t.awaitView("waiting for the books to have the tokens", func(v *view) bool { return v.tokens(t.places[0].name, "output") >= 5 })
		},
	},
}

// warmTokens is how many tokens of output the answer before a case has.
const warmTokens = 8

// booked makes the case's request, and wants so many tokens in the books, of that type alone.
func booked(kind string, tokens int) func(*Trial) {
	return func(t *Trial) {
		got := t.ask()
		t.check(got, &Answer{})
		warm := 0
		if t.places[0].warm && kind == "output" {
			warm = warmTokens
		}
		t.awaitView(fmt.Sprintf("waiting for %d tokens to be booked as %s", tokens, kind), func(v *view) bool {
			return v.tokens(t.places[0].name, kind) == tokens+warm
		})
	}
}

// paceCases: who may be silent, or slow, for how long.
var paceCases = []Case{
	{
		Name: "silence after content ends the stream with an error event", Over: Stream, Policy: impatient,
		Providers: []Provider{fails("stall;after=2;wait=1h", "cut"), idle()},
		Want:      Answer{Event: true, Code: "stream_interrupted"},
	},
	{
		Name: "silence in the middle of an answer is a failure, and the next answers", Over: JSON, Policy: impatient,
		Providers: []Provider{fails("stall;after=2;wait=1h", "timeout"), answers()},
	},
	{
		Name: "comments of the provider after content are no silence", Over: Stream, Policy: impatient,
		Providers: []Provider{scripted(func(c *Call) bool {
			c.begin()
			c.send(role + word)
			for range 16 {
				<-time.After(100 * time.Millisecond)
				c.send(": still here\n\n")
			}
			return c.send(finish+done) && c.end()
		}, "success"), idle()},
		Do: func(t *Trial) {
			if got := t.ask(); got.Err != nil || !strings.HasSuffix(got.Body, done) {
				t.Errorf("error %v, %q", got.Err, got.Body)
			}
		},
	},
	{
		Name: "the deadline ends a stream with an error event, and blames nobody",
		Policy: all(deadline("700ms"), timeouts(func(t *v1alpha1.Timeouts) {
			t.FirstToken, t.Connect = new(v1alpha1.Duration("690ms")), new(v1alpha1.Duration("690ms"))
		})),
		// A long input has more time to its first content, so that it is the deadline that ends an answer in one piece.
		Ask:       Request{Content: `"` + strings.Repeat("many words ", 5000) + `"`},
		Providers: []Provider{harmless("stall;after=2;wait=1h", "deadline"), idle()},
		Want:      Answer{Status: 504, Code: "upstream_timeout", Retry: "false", Tried: "deadline"},
		Streamed:  &Answer{Event: true, Code: "stream_interrupted"},
	},
	{
		Name: "a caller that does not read slows its provider, and loses nothing", Over: Stream | Fresh, Policy: impatient,
		Providers: []Provider{scripted(flood, "success"), idle()},
		Do:        readsLate,
	},
	{
		Name: "a caller that does not read at all is gone after a while", Over: Stream | Fresh,
		Policy:    timeouts(func(t *v1alpha1.Timeouts) { t.ClientWrite = new(v1alpha1.Duration("500ms")) }),
		Providers: []Provider{scripted(flood, "client_disconnect"), idle()},
		Do: func(t *Trial) {
			reading := t.open(t.of.Ask)
			defer reading.leave()
			t.await("waiting for the provider to notice", func() bool { return t.places[0].left() == 1 })
		},
	},
}

const (
	// floodFrames of floodFrame are what flood sends: far more than sockets hold on the way.
	floodFrames = 1024
	floodBytes  = floodFrames * 64 << 10
	// heldBySockets is more than the sockets on the way from a provider to a caller hold.
	heldBySockets = 32 << 20
)

var floodFrame = delta(`{"content":"` + strings.Repeat("x", 64<<10) + `"}`)

// flood sends as much as the other side takes.
func flood(c *Call) bool {
	c.begin()
	c.send(role)
	for range floodFrames {
		if !c.send(floodFrame) {
			return false
		}
	}
	return c.send(finish+done) && c.end()
}

// readsLate reads the head of an answer, and the rest once the provider has been unable to send any more for longer than
// it may be silent.
func readsLate(t *Trial) {
	reading := t.open(t.of.Ask)
	defer reading.leave()
	provider := t.script()
	last, since := int64(-1), time.Now()
	t.await("waiting for the provider to be held up", func() bool {
		if written := provider.written.Load(); written != last {
			last, since = written, time.Now()
		}
		return last > 0 && time.Since(since) > 1500*time.Millisecond
	})
	if last > heldBySockets {
		t.Errorf("the provider has sent %d bytes of %d to a caller that reads nothing", last, floodBytes)
	}
	n, err := io.Copy(io.Discard, reading.reader)
	if err != nil || n < floodBytes {
		t.Errorf("the caller got %d bytes, want %d at least; %v", n, floodBytes, err)
	}
}
