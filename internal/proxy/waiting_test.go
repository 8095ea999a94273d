// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package proxy_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/turnout-ai/turnout/internal/routing"
)

const waitingComment = ": turnout waiting\n\n"

// impatient lets callers of streams wait a tenth of a second in silence.
func impatient(in *routing.Input) {
	p := &in.Policies[0]
	p.Timeouts = shortTimeouts
	p.Timeouts.CommitAfter = 100 * time.Millisecond
	p.Backoff = routing.Backoff{Base: time.Millisecond, Max: time.Second}
}

func TestACallerOfAStreamThatTakesLongHearsComments(t *testing.T) {
	for name, c := range map[string]struct {
		a, b string // their faults
		// content says that b's answer arrives, code is that of an error event otherwise.
		content bool
		code    string
	}{
		"the head takes long, and the answer comes":          {a: "hang;wait=400ms", content: true},
		"the content takes long, and the answer comes":       {a: "hang-body;wait=400ms", content: true},
		"the first provider is silent, the next answers":     {a: "hang", content: true},
		"the first provider stalls, the next answers":        {a: "stall;after=0", content: true},
		"the first fails late, the next answers":             {a: "503;delay=300ms", content: true},
		"both fail late":                                     {a: "503;delay=300ms", b: "500", code: "upstream_unavailable"},
		"the first fails late, the second blames the caller": {a: "503;delay=300ms", b: "422", code: ""},
		"both are silent":                                    {a: "hang", b: "hang", code: "upstream_timeout"},
		"a late 429 of both":                                 {a: "rate-limit;delay=300ms", b: "rate-limit", code: "rate_limit_exceeded"},
		"a late refusal that another might not have made":    {a: "context-length;delay=300ms", b: "500", code: "context_length_exceeded"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, "a b", impatient)
			r.fault("a", c.a, 0)
			if c.b != "" {
				r.fault("b", c.b, 0)
			}
			got := r.chat(true)
			if got.status != http.StatusOK || got.err != nil || !strings.HasPrefix(got.header.Get("Content-Type"), "text/event-stream") {
				t.Fatalf("status %d, error %v, header %v", got.status, got.err, got.header)
			}
			rest := strings.ReplaceAll(got.body, waitingComment, "")
			if !strings.HasPrefix(got.body, waitingComment) {
				t.Errorf("no comment came first: %q", got.body)
			}
			if c.content {
				if !strings.HasSuffix(rest, "data: [DONE]\n\n") || strings.Count(rest, `"role":"assistant"`) != 1 {
					t.Errorf("not one whole stream: %q", rest)
				}
				return
			}
			event := rest[strings.LastIndex(rest, "data: {"):]
			if strings.Contains(rest, "[DONE]") || !strings.HasSuffix(event, "\n\n") || !strings.Contains(event, `"error":`) {
				t.Fatalf("the stream ends with %q, want an error event and nothing else", rest)
			}
			if !strings.Contains(event, c.code) {
				t.Errorf("error event %q, want code %s", event, c.code)
			}
		})
	}
}

func TestAfterAnOpenedStreamTheConnectionServesOn(t *testing.T) {
	r := newRig(t, "a b", impatient)
	r.fault("a", "hang", 1)
	for i, stream := range []bool{true, false, true} {
		got := r.chat(stream)
		if got.status != 200 || got.err != nil || got.content() == "" && !strings.HasSuffix(got.body, "data: [DONE]\n\n") {
			t.Fatalf("request %d: status %d, error %v, body %q", i, got.status, got.err, got.body)
		}
	}
	eventually(t, "the requests still count as under way", func() bool { return r.metric("turnout_requests_in_flight") == 0 })
}

func TestACallerThatLeavesAnOpenedStreamCancelsTheAttempt(t *testing.T) {
	for _, fault := range []string{"hang", "stall;after=0"} {
		t.Run(fault, func(t *testing.T) {
			r := newRig(t, "a b", func(in *routing.Input) {
				impatient(in)
				in.Policies[0].Timeouts.FirstToken = time.Minute
			})
			r.fault("a", fault, 0)
			r.readsAndLeaves()
			eventually(t, "a's attempt does not count as left", func() bool {
				return r.metric("turnout_attempts_total", "endpoint", "a", "outcome", "client_disconnect") == 1
			})
			if n := r.requests("b"); n != 0 {
				t.Errorf("b got %d requests for a caller that has left", n)
			}
		})
	}
}
