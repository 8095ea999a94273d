// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package proxy_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/turnout-ai/turnout/internal/routing"
)

// answering is a rig whose endpoints a, b, … are these handlers.
func answering(t *testing.T, change func(*routing.Input), handlers ...http.HandlerFunc) *rig {
	t.Helper()
	return newRig(t, "", func(in *routing.Input) {
		for i, h := range handlers {
			s := httptest.NewServer(h)
			t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
			name := string(rune('a' + i))
			in.Endpoints = append(in.Endpoints, endpoint(name, s.URL+"/v1"))
			in.Policies[0].Tiers[0].Endpoints = append(in.Policies[0].Tiers[0].Endpoints, name)
		}
		if change != nil {
			change(in)
		}
	})
}

// says answers every request with that.
func says(status int, contentType, body string, headers ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", contentType)
		for i := 0; i < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// openedFirst waits until the caller must have heard a comment.
func openedFirst(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(300 * time.Millisecond) // three times what impatient lets callers wait
		h(w, r)
	}
}

// counted counts the requests of h.
func counted(n *atomic.Int64, h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { n.Add(1); h(w, r) }
}

const (
	typeJSON   = "application/json"
	tooLong    = `{"error":{"message":"too long","type":"invalid_request_error","code":"context_length_exceeded"}}`
	ownMistake = `{"error":{"message":"your own mistake","type":"invalid_request_error"}}`
	slowDown   = `{"error":{"message":"slow down","type":"rate_limit_error"}}`
)

// Whatever comes in place of a stream that the caller was told of must be an error to the caller's library.
func TestAnOpenedStreamEndsWithAnErrorThatLibrariesUnderstand(t *testing.T) {
	for name, handlers := range map[string][]http.HandlerFunc{
		"an error in a 200 that nobody could better": {openedFirst(says(200, typeJSON, tooLong)), says(503, typeJSON, `{}`)},
		"a 400 without a body":                       {openedFirst(says(400, typeJSON, ""))},
		"a 400 that is a page":                       {openedFirst(says(400, "text/html", "<html><body>Bad Request</body></html>"))},
		"a 422 of another shape":                     {openedFirst(says(422, typeJSON, `{"detail":[{"type":"missing","loc":["body","x"],"msg":"Field required"}]}`))},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := answering(t, impatient, handlers...).chat(true)
			if !strings.HasPrefix(got.body, waitingComment) || !strings.Contains(got.body, "data: {\"error\"") || !strings.HasSuffix(got.body, "\n\n") {
				t.Errorf("status %d, body %q; want a comment and an error event", got.status, got.body)
			}
		})
	}
}

func TestASlowUploadIsNoSilence(t *testing.T) {
	r := answering(t, impatient, says(400, typeJSON, `{"error":{"message":"bad","type":"invalid_request_error","param":"x"}}`))
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimSuffix(strings.TrimPrefix(r.url, "http://"), "/v1"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	body := strings.Replace(streamBody, "Say", strings.Repeat("Say ", 10_000), 1)
	if _, err := fmt.Fprintf(conn, "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(body), body[:20_000]); err != nil {
		t.Fatal(err)
	}
	time.Sleep(300 * time.Millisecond)
	if _, err := io.WriteString(conn, body[20_000:]); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != 400 {
		t.Errorf("status %d, want the provider's 400", response.StatusCode)
	}
}

func TestAWindowThatIsTooSmallIsNotTriedAgain(t *testing.T) {
	var n atomic.Int64
	r := answering(t, func(in *routing.Input) {
		in.Endpoints[0].ContextWindow, in.Endpoints[1].ContextWindow = 8000, 16_000
	}, counted(&n, says(503, typeJSON, `{}`)), says(400, typeJSON, tooLong))
	if got := r.chat(false); n.Load() != 1 || got.status != 400 {
		t.Errorf("status %d; the smaller one was tried %d times, want 400 and once", got.status, n.Load())
	}
}

func TestWhatWeAddIsNobodysFault(t *testing.T) {
	refusing := func(then http.HandlerFunc) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			if strings.Contains(string(body), "stream_options") {
				says(400, typeJSON, `{"error":{"message":"bad","type":"invalid_request_error","param":"stream_options"}}`)(w, r)
				return
			}
			then(w, r)
		}
	}
	t.Run("the answer to the request without it decides", func(t *testing.T) {
		r := answering(t, nil, refusing(says(429, typeJSON, slowDown, "Retry-After", "7")))
		if got := r.chat(true); got.status != 429 || got.header.Get("Retry-After") == "" {
			t.Errorf("status %d, header %v: %s", got.status, got.header, got.body)
		}
	})
	t.Run("a mistake of the caller's is told even if the endpoint cannot be asked once more", func(t *testing.T) {
		r := answering(t, func(in *routing.Input) {
			in.Endpoints[0].Limits = routing.Limits{RequestsPerMinute: 1}
		}, says(400, typeJSON, ownMistake))
		if got := r.chat(true); got.status != 400 {
			t.Errorf("status %d: %s", got.status, got.body)
		}
	})
	t.Run("a mistake of the caller's costs one repetition", func(t *testing.T) {
		var n atomic.Int64
		r := answering(t, nil, counted(&n, says(400, typeJSON, ownMistake)))
		if got := r.chat(true); got.status != 400 || n.Load() != 2 {
			t.Errorf("status %d after %d requests: %s", got.status, n.Load(), got.body)
		}
	})
}

func TestARateLimitedRequestWithEffectsIsToldToWait(t *testing.T) {
	r := answering(t, nil, says(429, typeJSON, slowDown, "Retry-After", "7"), says(500, typeJSON, `{}`))
	got := r.post("/chat/completions", strings.Replace(chatBody, "{", `{"store":true,`, 1))
	if got.status != 429 || got.header.Get("Retry-After") == "" {
		t.Errorf("status %d, header %v: %s", got.status, got.header, got.body)
	}
}

func TestAnErrorInA200HasTheStatusThatItStandsFor(t *testing.T) {
	delivery(t, "a client's mistake", func(t *testing.T, stream bool) {
		r := answering(t, func(in *routing.Input) { in.Endpoints[0].FeaturesKnown = true },
			says(200, typeJSON, `{"error":{"message":"bad","code":422}}`))
		if got := r.chat(stream); got.status != 422 || got.header.Get("X-Should-Retry") != "false" {
			t.Errorf("status %d, header %v: %s", got.status, got.header, got.body)
		}
	})
}

func TestTheRetryBudgetHoldsForThoseThatWait(t *testing.T) {
	var n atomic.Int64
	r := answering(t, func(in *routing.Input) {
		p := &in.Policies[0]
		p.Attempts, p.RetryPercent = 2, 10
		p.Backoff = routing.Backoff{Type: routing.Fixed, Base: 400 * time.Millisecond, Max: time.Second}
	}, counted(&n, says(503, typeJSON, `{}`)))
	var callers sync.WaitGroup
	for range 60 {
		callers.Go(func() { r.chat(false) })
	}
	callers.Wait()
	if got := n.Load(); got > 60+10 {
		t.Errorf("%d attempts for 60 requests with a budget of ten", got)
	}
}

func TestAnAnswerThatAFilterHasEndedIsCharged(t *testing.T) {
	r := answering(t, func(in *routing.Input) { in.Policies[0].NextOnContentFilter = true },
		says(200, typeJSON, `{"choices":[{"index":0,"message":{"role":"assistant","content":"half an answer of some length"},"finish_reason":"content_filter"}]}`),
		says(200, typeJSON, `{"choices":[{"index":0,"message":{"role":"assistant","content":"x"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}`))
	if got := r.chat(false); got.content() != "x" {
		t.Fatalf("%s, want the second answer", got.body)
	}
	if u := r.usage("a"); u.Estimated.Requests != 1 || u.Tokens.Output == 0 {
		t.Errorf("%+v, want an estimate of the filtered answer", u)
	}
}
