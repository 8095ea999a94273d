// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package proxy_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/turnout-ai/turnout/internal/modelsim"
	"github.com/turnout-ai/turnout/internal/routing"
)

// delivery runs a case for an answer in one piece and for one in a stream.
func delivery(t *testing.T, name string, run func(t *testing.T, stream bool)) {
	t.Run(name+", JSON", func(t *testing.T) { t.Parallel(); run(t, false) })
	t.Run(name+", stream", func(t *testing.T) { t.Parallel(); run(t, true) })
}

func TestAFailureOfTheProviderMovesTheRequestOn(t *testing.T) {
	for fault, want := range map[string]string{
		"reset": "reset", "close": "reset", "hang": "timeout", "hang-body": "",
		"500": "failure", "501": "failure", "502": "failure", "503": "failure", "520": "failure", "529": "failure",
		"408": "failure", "425": "failure", "500;body=html": "failure", "404;body=html": "failure", "403;body=html": "failure",
		"redirect": "failure", "204": "failure", "html": "failure", "empty": "failure", "error-in-200": "",
		"rate-limit": "rate_limited", "quota": "quota_exhausted", "payment-required": "quota_exhausted",
		"credit-balance": "quota_exhausted", "unauthorized": "auth_failure", "region": "denied", "model-forbidden": "model_not_found",
		"model-not-found": "model_not_found", "unsupported-param;param=top_k": "unsupported", "413": "unsupported",
		"context-length": "context_length", "cut;after=0": "",
	} {
		delivery(t, fault, func(t *testing.T, stream bool) {
			var change func(*routing.Input)
			if strings.HasPrefix(fault, "hang") {
				change = short
			}
			r := newRig(t, "a b", change)
			r.fault("a", fault, 0)
			got := r.chat(stream)
			if got.status != http.StatusOK || got.err != nil || got.content() == "" {
				t.Fatalf("status %d, error %v, body %q; want b's answer", got.status, got.err, got.body)
			}
			if a, b := r.requests("a"), r.requests("b"); a != 1 || b != 1 {
				t.Errorf("a got %d requests and b %d, want one each", a, b)
			}
			if want != "" {
				if n := r.metric("turnout_attempts_total", "endpoint", "a", "outcome", want); n != 1 {
					t.Errorf("a's attempt does not count as %s:\n%s", want, r.log)
				}
			}
			if n := r.metric("turnout_attempts_total", "endpoint", "b", "outcome", "success"); n != 1 && !stream {
				t.Errorf("b's attempt does not count as a success")
			}
		})
	}
}

func TestAStreamThatNeverBeganMovesTheRequestOn(t *testing.T) {
	for name, fault := range map[string]string{
		"it ends without content and without a terminal marker": "empty-stream",
		"it ends after the role":                                "empty-stream;role=true",
		"its first frame is an error":                           "error-frame;after=0",
		"it breaks off after the role":                          "cut;after=0;how=rst",
		"it says the role and then nothing":                     "stall;after=0",
		"it sends comments and no content":                      "stall;after=0;wait=1h",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, "a b", short)
			r.fault("a", fault, 0)
			got := r.chat(true)
			if got.status != http.StatusOK || got.err != nil || !strings.HasSuffix(got.body, "data: [DONE]\n\n") {
				t.Fatalf("status %d, error %v, body %q; want b's whole stream", got.status, got.err, got.body)
			}
			if n := strings.Count(got.body, `"role":"assistant"`); n != 1 {
				t.Errorf("the stream begins %d times: what a said before it failed was passed on\n%s", n, got.body)
			}
		})
	}
}

func TestARequestsOwnMistakeIsAnsweredAsItIs(t *testing.T) {
	for fault, wantStatus := range map[string]int{
		"400": 400, "409": 409, "422": 422, "451": 451, "content-filter": 400, "flagged": 403,
	} {
		delivery(t, fault, func(t *testing.T, stream bool) {
			r := newRig(t, "a b", nil)
			r.fault("a", fault, 0)
			for range 4 { // more than would rest an endpoint
				got := r.chat(stream)
				if got.status != wantStatus || got.header.Get("X-Should-Retry") != "false" {
					t.Fatalf("status %d, x-should-retry %q, want %d and false", got.status, got.header.Get("X-Should-Retry"), wantStatus)
				}
			}
			if n := r.requests("b"); n != 0 {
				t.Errorf("b got %d requests, want none", n)
			}
			if n := r.metric("turnout_endpoints_resting"); n != 0 {
				t.Errorf("a caller's mistakes rest %v endpoints", n)
			}
		})
	}
}

func TestWhatNobodyCanTakeIsAnsweredInTheProvidersWords(t *testing.T) {
	r := newRig(t, "a b", nil)
	r.fault("a", "context-length", 0)
	r.fault("b", "context-length", 0)
	got := r.chat(false)
	if got.status != 400 || got.code() != "context_length_exceeded" {
		t.Errorf("status %d, body %s; want the provider's own 400", got.status, got.body)
	}
}

func TestACutAfterContentEndsWithAnErrorEventAndNothingIsSentTwice(t *testing.T) {
	for _, how := range []string{"fin", "rst", "clean"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, "a b", nil)
			r.fault("a", "cut;after=3;how="+how, 0)
			got := r.chat(true)
			if got.status != 200 || got.err != nil {
				t.Fatalf("status %d, error %v", got.status, got.err)
			}
			frames := strings.Split(strings.TrimSuffix(got.body, "\n\n"), "\n\n")
			last := frames[len(frames)-1]
			if !strings.HasPrefix(last, `data: {"error":{`) || !strings.Contains(last, "stream_interrupted") {
				t.Errorf("the stream ends with %q, want an error event", last)
			}
			for _, frame := range frames {
				if !strings.HasPrefix(frame, "data: {") || !strings.HasSuffix(frame, "}") {
					t.Errorf("frame %q is not whole", frame)
				}
			}
			if r.requests("b") != 0 {
				t.Error("b was asked although the caller had content already")
			}
			if n := r.metric("turnout_attempts_total", "endpoint", "a", "outcome", "cut"); n != 1 {
				t.Error("the attempt does not count as cut")
			}
		})
	}
}

func TestAStreamArrivesByteForByte(t *testing.T) {
	r := newRig(t, "a", nil)
	request := `{"model":"sim-large","stream":true,"stream_options":{"include_usage":true},"seed":7,"messages":[{"role":"user","content":"x"}]}`
	through := r.post("/chat/completions", strings.Replace(request, "sim-large", "chat", 1))
	if through.header.Get("Content-Type") == "" || !strings.HasPrefix(through.header.Get("Content-Type"), "text/event-stream") {
		t.Errorf("content type %q", through.header.Get("Content-Type"))
	}
	if !strings.HasSuffix(through.body, "data: [DONE]\n\n") || through.err != nil {
		t.Fatalf("the stream does not end with its end: %q %v", through.body, through.err)
	}
	eventually(t, "the access log lacks the tokens of the stream's usage frame", func() bool {
		return strings.Contains(r.log.String(), `"gen_ai.usage.output_tokens":32`)
	})
}

// A connection from the pool that the provider has just closed says nothing about the provider.
func TestAResetOfAReusedConnectionIsTriedOnceMoreAtTheSameEndpoint(t *testing.T) {
	for _, how := range []string{"reset", "close"} {
		delivery(t, how, func(t *testing.T, stream bool) {
			r := newRig(t, "a b", nil)
			if got := r.chat(false); got.status != 200 {
				t.Fatalf("warming up: %d", got.status)
			}
			if _, err := r.sims["a"].Sim.AddRule(modelsim.Rule{Fault: how, Connection: modelsim.ConnectionReused}); err != nil {
				t.Fatal(err)
			}
			for range 4 {
				if got := r.chat(stream); got.status != 200 || got.err != nil {
					t.Fatalf("status %d, %v, %s", got.status, got.err, got.body)
				}
			}
			if n := r.requests("b"); n != 0 {
				t.Errorf("b got %d requests, want none: a is healthy", n)
			}
			if n := r.metric("turnout_attempts_total", "endpoint", "a", "outcome", "stale_connection"); n != 4 {
				t.Errorf("%v attempts count as stale, want 4", n)
			}
			if n := r.metric("turnout_endpoints_resting"); n != 0 {
				t.Error("a rests because it closes idle connections")
			}
		})
	}
}

// A connection that was closed while it was idle is noticed before anything is sent on it.
func TestAClosedIdleConnectionCostsNoAttempt(t *testing.T) {
	r := newRig(t, "a", nil)
	for range 3 {
		if got := r.chat(false); got.status != 200 {
			t.Fatalf("status %d: %s", got.status, got.body)
		}
		r.sims["a"].ResetConnections()
	}
	if n := r.metric("turnout_attempts_total"); n != 3 {
		t.Errorf("%v attempts for 3 requests", n)
	}
}

func TestThreeFailuresRestAnEndpoint(t *testing.T) {
	r := newRig(t, "a b", nil)
	r.fault("a", "503", 0)
	for range 6 {
		if got := r.chat(false); got.status != 200 {
			t.Fatalf("status %d", got.status)
		}
	}
	if n := r.requests("a"); n != 3 {
		t.Errorf("a got %d requests, want 3: then it rests", n)
	}
}

func TestTheLastEndpointIsTriedAlthoughItRests(t *testing.T) {
	r := newRig(t, "a", func(in *routing.Input) { in.Policies[0].Attempts = 1 })
	r.fault("a", "503", 4)
	for i := range 4 {
		if got := r.chat(false); got.status != http.StatusBadGateway || got.code() != "upstream_unavailable" {
			t.Fatalf("request %d: status %d, %s", i, got.status, got.body)
		}
	}
	for range 2 {
		if got := r.chat(false); got.status != 200 {
			t.Fatalf("status %d although a is well again: %s", got.status, got.body)
		}
	}
	if n := r.metric("turnout_endpoints_resting"); n != 0 {
		t.Error("a still rests after a success")
	}
}

func TestAProviderThatAsksToBeLeftAloneIs(t *testing.T) {
	for _, form := range []string{"seconds", "date", "ms", "reset"} {
		t.Run(form, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, "a b", nil)
			r.fault("a", "rate-limit;wait=40s;form="+form, 1)
			for range 3 {
				if got := r.chat(false); got.status != 200 {
					t.Fatalf("status %d", got.status)
				}
			}
			if n := r.requests("a"); n != 1 {
				t.Errorf("a got %d requests, want 1: it asked for 40 s", n)
			}
			r.fault("b", "rate-limit;wait=30s;form="+form, 1)
			for i := range 2 { // b's own 429, then nobody is left to ask
				got := r.chat(false)
				if got.status != 429 || got.code() != "rate_limit_exceeded" || got.header.Get("X-Should-Retry") != "true" {
					t.Fatalf("request %d: status %d, %s", i, got.status, got.body)
				}
				var wait int
				if _, err := fmt.Sscan(got.header.Get("Retry-After"), &wait); err != nil || wait < 1 || wait > 31 {
					t.Errorf("Retry-After %q, want b's 30 s: it is due first", got.header.Get("Retry-After"))
				}
			}
			if n := r.requests("b"); n != 4 {
				t.Errorf("b got %d requests, want 4", n)
			}
		})
	}
}

func TestOneRequestMakesAtMostItsAttempts(t *testing.T) {
	r := newRig(t, "a b c d e", func(in *routing.Input) { in.Policies[0].Attempts = 2 })
	for name := range r.sims {
		r.fault(name, "500", 0)
	}
	got := r.chat(false)
	if got.status != 502 || !strings.Contains(got.body, "2 attempts") || got.header.Get("X-Should-Retry") != "false" {
		t.Errorf("status %d: %s", got.status, got.body)
	}
	if n := r.metric("turnout_attempts_total"); n != 2 {
		t.Errorf("%v attempts, want 2", n)
	}
}

func TestARefusedConnectionMovesTheRequestOn(t *testing.T) {
	delivery(t, "refused", func(t *testing.T, stream bool) {
		r := newRig(t, "a b", nil)
		r.sims["a"].Refuse(0)
		if got := r.chat(stream); got.status != 200 {
			t.Fatalf("status %d: %s", got.status, got.body)
		}
		if n := r.metric("turnout_attempts_total", "endpoint", "a", "outcome", "connect_error"); n != 1 {
			t.Error("the attempt does not count as connect_error")
		}
	})
}

func TestTheDeadlineEndsTheRequest(t *testing.T) {
	r := newRig(t, "a b c", func(in *routing.Input) {
		in.Policies[0].Deadline = 300 * time.Millisecond
		in.Policies[0].Timeouts.FirstToken = time.Hour
	})
	for name := range r.sims {
		r.fault(name, "hang", 0)
	}
	if got := r.chat(true); got.status != http.StatusGatewayTimeout || got.code() != "upstream_timeout" {
		t.Errorf("status %d: %s", got.status, got.body)
	}
	if n := r.metric("turnout_attempts_total"); n != 1 {
		t.Errorf("%v attempts, want 1: there was no time for a second", n)
	}
}

// A caller that leaves before the first token must not be charged for the rest.
func TestACallerThatLeavesCancelsTheAttempt(t *testing.T) {
	delivery(t, "left", func(t *testing.T, stream bool) {
		r := newRig(t, "a b", func(in *routing.Input) {
			in.Policies[0].Timeouts.FirstToken, in.Policies[0].Deadline = time.Hour, time.Hour
		})
		r.fault("a", "hang", 0)
		leaves(t, r, stream)
		eventually(t, "the provider was not told that the caller left", func() bool { return r.sims["a"].Sim.State().Cancelled == 1 })
		eventually(t, "the request does not count as left by its caller", func() bool {
			return r.metric("turnout_requests_total", "status", "499") == 1
		})
		if r.requests("b") != 0 {
			t.Error("the request went on to b for nobody")
		}
		if r.metric("turnout_endpoints_resting") != 0 || r.metric("turnout_attempts_total", "outcome", "client_disconnect") != 1 {
			t.Error("the endpoint is blamed for the caller")
		}
	})
}

func TestACallerThatLeavesInTheMiddleOfAStreamCancelsTheAttempt(t *testing.T) {
	r := newRig(t, "a", func(in *routing.Input) { in.Policies[0].Timeouts.Idle = time.Hour })
	r.fault("a", "stall;after=2;wait=1h", 0)
	leaves(t, r, true)
	eventually(t, "the provider was not told that the caller left", func() bool { return r.sims["a"].Sim.State().Cancelled == 1 })
	eventually(t, "the attempt does not count as left by its caller", func() bool {
		return r.metric("turnout_attempts_total", "outcome", "client_disconnect") == 1
	})
}

// What the request's own deadline ends says nothing about the provider: no caller can rest an endpoint.
func TestTheRequestsOwnDeadlineBlamesNobody(t *testing.T) {
	delivery(t, "slow", func(t *testing.T, stream bool) {
		r := newRig(t, "a", func(in *routing.Input) { in.Policies[0].Deadline = 300 * time.Millisecond })
		r.fault("a", "stall;after=2;wait=1h", 0)
		for range 4 {
			if got := r.chat(stream); stream && !strings.Contains(got.body, "stream_interrupted") || !stream && got.status != 504 {
				t.Fatalf("status %d, body %q", got.status, got.body)
			}
		}
		if n := r.metric("turnout_attempts_total", "outcome", "deadline"); n != 4 {
			t.Errorf("%v attempts count as ended by the deadline, want 4", n)
		}
		if n := r.metric("turnout_endpoints_resting"); n != 0 {
			t.Error("four slow answers rest the endpoint")
		}
	})
}

func TestAnErrorOfTheProviderInTheMiddleOfAStreamIsPassedOnOnceAndCounts(t *testing.T) {
	r := newRig(t, "a b", nil)
	r.fault("a", "error-frame;after=3", 0)
	for range 3 {
		if got := r.chat(true); got.err != nil || strings.Count(got.body, `"error"`) != 1 {
			t.Fatalf("error %v, body %q; want the provider's error event and no other", got.err, got.body)
		}
	}
	if n := r.metric("turnout_attempts_total", "endpoint", "a", "outcome", "success"); n != 0 {
		t.Error("an answer that ended with an error counts as a success")
	}
	if n := r.metric("turnout_endpoints_resting"); n != 1 {
		t.Error("three such answers do not rest the endpoint")
	}
}

// What the provider may have acted on is not sent to another one.
func TestARequestWithEffectsIsNotRepeated(t *testing.T) {
	for name, extra := range map[string]string{
		"it is stored":                    `"store":true`,
		"it runs in the background":       `"background":true`,
		"it uses tools the provider runs": `"tools":[{"type":"web_search"}]`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, "a b c", nil)
			r.sims["a"].Refuse(0) // nothing was sent: the next may be asked
			r.fault("b", "reset", 0)
			got := r.post("/chat/completions", strings.Replace(chatBody, `"messages"`, extra+`,"messages"`, 1))
			if got.status != 502 || got.code() != "not_repeated" || r.requests("b") != 1 || r.requests("c") != 0 {
				t.Errorf("status %d, %s; b got %d requests and c %d, want 1 and none", got.status, got.body, r.requests("b"), r.requests("c"))
			}
		})
	}
}

func TestTheAccessLogCountsTheBytesOfEveryAnswer(t *testing.T) {
	delivery(t, "bytes", func(t *testing.T, stream bool) {
		r := newRig(t, "a", nil)
		got := r.chat(stream)
		eventually(t, "the access log has no line with the answer's size", func() bool {
			return strings.Contains(r.log.String(), fmt.Sprintf(`"response_bytes":%d,`, len(got.body)))
		})
	})
}

// A large page that is no answer must not be passed on as one.
func TestALargePageIsAFailure(t *testing.T) {
	page := "<html>" + strings.Repeat("x", 2<<20)
	url, _ := rawProvider(t, fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n%s", len(page), page))
	r := newRig(t, "a b", func(in *routing.Input) { in.Endpoints[0].URL = url })
	if got := r.chat(false); got.status != 200 || got.content() == "" || r.requests("b") != 1 {
		t.Errorf("status %d, %d bytes; want b's answer", got.status, len(got.body))
	}
}

func TestShortSilencesAreAllowedUpToTheTimeout(t *testing.T) {
	r := newRig(t, "a", func(in *routing.Input) { in.Policies[0].Timeouts.Idle = 2 * time.Second })
	if _, err := r.sims["a"].Sim.AddRule(modelsim.Rule{Timing: "tokens-per-second=2;tokens=5"}); err != nil {
		t.Fatal(err)
	}
	if got := r.chat(true); got.err != nil || !strings.HasSuffix(got.body, "data: [DONE]\n\n") {
		t.Errorf("error %v, body %q", got.err, got.body)
	}
}
