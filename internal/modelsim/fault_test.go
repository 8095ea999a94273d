// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package modelsim_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/turnout-ai/turnout/internal/modelsim"
	"github.com/turnout-ai/turnout/internal/modelsim/ledger"
)

// TestFaultsThatAnswer covers every fault that replaces the answer.
func TestFaultsThatAnswer(t *testing.T) {
	server, path := startWithLedger(t, nil)
	tests := []struct {
		fault       string
		wantStatus  int
		wantCode    string
		wantBody    string
		wantHeaders map[string]string // "-" is absent
	}{
		{fault: "unauthorized", wantStatus: 401, wantCode: "invalid_api_key"},
		{fault: "payment-required", wantStatus: 402, wantCode: "invalid_request_error", wantBody: "Insufficient Balance"},
		{fault: "quota", wantStatus: 429, wantCode: "insufficient_quota", wantHeaders: map[string]string{"Retry-After": "-"}},
		{fault: "credit-balance", wantStatus: 400, wantBody: "credit balance is too low"},
		{fault: "flagged", wantStatus: 403, wantCode: "moderation_flagged", wantBody: "flagged"},
		{fault: "region", wantStatus: 403, wantCode: "unsupported_country_region_territory"},
		{fault: "model-forbidden", wantStatus: 403, wantCode: "model_not_found", wantBody: "does not have access to model `sim-large`"},
		{fault: "model-not-found", wantStatus: 404, wantCode: "model_not_found", wantBody: "sim-large"},
		{fault: "context-length", wantStatus: 400, wantCode: "context_length_exceeded"},
		{fault: "content-filter", wantStatus: 400, wantCode: "content_filter"},
		{fault: "unsupported-param", wantStatus: 400, wantCode: "unsupported_parameter", wantBody: "'stream_options'"},
		{fault: "unsupported-param;param=top_p", wantStatus: 400, wantCode: "unsupported_parameter", wantBody: "'top_p'"},
		{fault: "model-gone", wantStatus: 410, wantCode: "model_deprecated", wantBody: "sim-large"},
		{fault: "overloaded", wantStatus: 529, wantBody: "overloaded_error"},
		{fault: "429;shape=azure", wantStatus: 429, wantBody: "exceeded call rate limit"},
		{fault: "408", wantStatus: 408, wantBody: "invalid_request_error"},
		{fault: "409", wantStatus: 409, wantBody: "invalid_request_error"},
		{fault: "413", wantStatus: 413, wantCode: "request_too_large"},
		{fault: "429", wantStatus: 429, wantCode: "rate_limit_exceeded"},
		{fault: "451", wantStatus: 451},
		{fault: "500", wantStatus: 500, wantBody: "server_error"},
		{fault: "502;body=html", wantStatus: 502, wantBody: "<h1>Bad Gateway</h1>", wantHeaders: map[string]string{"Content-Type": "text/html; charset=utf-8"}},
		{fault: "503;body=text", wantStatus: 503, wantBody: "Service Unavailable\n"},
		{fault: "503;delay=1ms", wantStatus: 503, wantBody: "overloaded"},
		{fault: "500;body=empty", wantStatus: 500},
		{fault: "529", wantStatus: 529, wantBody: "overloaded_error"},
		{fault: "204", wantStatus: 204},
		{fault: "304", wantStatus: 304},
		{fault: "redirect", wantStatus: 307, wantHeaders: map[string]string{"Location": "/elsewhere"}},
		{fault: "redirect;to=http://127.0.0.1:1/", wantStatus: 307, wantHeaders: map[string]string{"Location": "http://127.0.0.1:1/"}},
		{fault: "302;body=empty", wantStatus: 302},
		{fault: "html", wantStatus: 200, wantBody: "<!DOCTYPE html>", wantHeaders: map[string]string{"Content-Type": "text/html; charset=utf-8"}},
		{fault: "empty", wantStatus: 200, wantHeaders: map[string]string{"Content-Length": "0", "Content-Type": "-"}},
		{fault: "error-in-200", wantStatus: 200, wantBody: "server_error"},
		{
			fault: "rate-limit", wantStatus: 429, wantCode: "rate_limit_exceeded", wantBody: "Please try again in 20s",
			wantHeaders: map[string]string{"Retry-After": "20", "Retry-After-Ms": "20000", "X-Ratelimit-Reset-Requests": "20s", "X-Ratelimit-Remaining-Requests": "0"},
		},
		{
			fault: "rate-limit;wait=1500ms;form=seconds", wantStatus: 429, wantCode: "rate_limit_exceeded",
			wantHeaders: map[string]string{"Retry-After": "2", "Retry-After-Ms": "-", "X-Ratelimit-Reset-Requests": "-"},
		},
		{
			fault: "rate-limit;wait=1500ms;form=ms", wantStatus: 429, wantCode: "rate_limit_exceeded",
			wantHeaders: map[string]string{"Retry-After": "-", "Retry-After-Ms": "1500"},
		},
		{
			fault: "rate-limit;wait=90s;form=reset", wantStatus: 429, wantCode: "rate_limit_exceeded",
			wantHeaders: map[string]string{"Retry-After": "-", "Retry-After-Ms": "-", "X-Ratelimit-Reset-Requests": "1m30s"},
		},
		{
			fault: "rate-limit;form=none", wantStatus: 429, wantCode: "rate_limit_exceeded",
			wantHeaders: map[string]string{"Retry-After": "-", "Retry-After-Ms": "-", "X-Ratelimit-Reset-Requests": "-"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.fault, func(t *testing.T) {
			got := post(t, server, chatPath, streamBody, modelsim.HeaderFault, tt.fault, modelsim.HeaderAttempt, tt.fault)
			if got.err != nil || got.status != tt.wantStatus || !strings.Contains(got.body, tt.wantBody) {
				t.Fatalf("%d %q %v, want %d %q", got.status, got.body, got.err, tt.wantStatus, tt.wantBody)
			}
			if tt.wantCode != "" {
				if code := text(got.failure(t).Code); code != tt.wantCode {
					t.Errorf("code %q, want %q", code, tt.wantCode)
				}
			}
			for name, want := range tt.wantHeaders {
				value, ok := strings.Join(got.header.Values(name), "|"), got.header.Values(name) != nil
				if want == "-" && ok || want != "-" && value != want {
					t.Errorf("%s: %q, want %q", name, value, want)
				}
			}
			wantBooks(t, path, tt.fault, tt.wantStatus, 0, ledger.Accepted, ledger.Head, ledger.Finished)
		})
	}
}

// wantBooks checks the lines of one attempt.
func wantBooks(t *testing.T, path, attempt string, wantStatus, wantTokens int, want ...ledger.Event) {
	t.Helper()
	entries := readLedger(t, path).Attempt(attempt)
	if len(entries) != 1 {
		t.Fatalf("%d entries of attempt %q, want 1", len(entries), attempt)
	}
	var events []ledger.Event
	for _, record := range entries[0].Records {
		events = append(events, record.Event)
	}
	if diff := cmp.Diff(want, events); diff != "" {
		t.Errorf("events of %q (-want +got):\n%s", attempt, diff)
	}
	if last := entries[0].Last(); last.Status != wantStatus || last.Tokens.Completion != wantTokens || last.Model != "sim-large" {
		t.Errorf("the last line of %q is %+v, want status %d and %d tokens", attempt, last, wantStatus, wantTokens)
	}
}

func TestADateTellsWhenToComeBack(t *testing.T) {
	asked := time.Now()
	got := post(t, start(t, nil), chatPath, chatBody, modelsim.HeaderFault, "rate-limit;wait=1h;form=date")
	when, err := http.ParseTime(got.header.Get("Retry-After"))
	if err != nil || when.Before(asked.Add(time.Hour).Truncate(time.Second)) || when.After(time.Now().Add(time.Hour+time.Second)) {
		t.Errorf("Retry-After %q (%v) is not an hour after %s", got.header.Get("Retry-After"), err, asked)
	}
}

// TestFaultsThatSpoil covers every fault that breaks a real answer, as JSON and as a stream of six tokens.
func TestFaultsThatSpoil(t *testing.T) {
	server, path := startWithLedger(t, nil)
	accepted, head, progress := ledger.Accepted, ledger.Head, ledger.Progress
	tests := []struct {
		name, fault  string
		stream       bool
		wantErr      error
		wantStatus   int
		wantContents int // frames with content
		wantTail     string
		wantJSON     bool
		wantTokens   int
		wantEvents   []ledger.Event
	}{
		{name: "a reset before the answer", fault: "reset", wantErr: syscall.ECONNRESET, wantEvents: []ledger.Event{accepted, ledger.Aborted}},
		{name: "a connection closed before the answer", fault: "close", wantErr: io.EOF, wantEvents: []ledger.Event{accepted, ledger.Aborted}},
		{name: "JSON cut by FIN", fault: "cut", wantErr: io.ErrUnexpectedEOF, wantStatus: 200, wantTokens: 6, wantEvents: []ledger.Event{accepted, head, ledger.Aborted}},
		{name: "JSON cut by RST", fault: "cut;how=rst", wantErr: syscall.ECONNRESET, wantStatus: 200, wantTokens: 6, wantEvents: []ledger.Event{accepted, head, ledger.Aborted}},
		{name: "JSON that is complete as HTTP only", fault: "cut;how=clean", wantStatus: 200, wantTokens: 6, wantEvents: []ledger.Event{accepted, head, ledger.Aborted}},
		{name: "JSON that becomes an error object", fault: "error-frame", wantStatus: 200, wantJSON: true, wantTail: `"server_error"`, wantTokens: 6, wantEvents: []ledger.Event{accepted, head, ledger.Aborted}},
		{name: "garbage before JSON", fault: "garbage", wantStatus: 200, wantTokens: 6, wantEvents: []ledger.Event{accepted, head, ledger.Aborted}},
		{name: "no JSON at all", fault: "empty-stream", wantStatus: 200, wantTokens: 6, wantEvents: []ledger.Event{accepted, head, ledger.Aborted}},
		{name: "JSON after a pause", fault: "hang;wait=1ms", wantStatus: 200, wantJSON: true, wantTokens: 6, wantEvents: []ledger.Event{accepted, head, ledger.Finished}},
		{name: "JSON with a pause behind the head", fault: "hang-body;wait=1ms", wantStatus: 200, wantJSON: true, wantTokens: 6, wantEvents: []ledger.Event{accepted, head, ledger.Finished}},
		{name: "JSON with a pause in the middle", fault: "stall;wait=1ms", wantStatus: 200, wantJSON: true, wantTokens: 6, wantEvents: []ledger.Event{accepted, head, ledger.Finished}},
		{name: "JSON on a connection that is reset later", fault: "reset-after", wantStatus: 200, wantJSON: true, wantTokens: 6, wantEvents: []ledger.Event{accepted, head, ledger.Finished}},

		{name: "a stream cut by FIN before content", fault: "cut", stream: true, wantErr: io.ErrUnexpectedEOF, wantStatus: 200, wantEvents: []ledger.Event{accepted, head, ledger.Aborted}},
		{name: "a stream cut by FIN after two contents", fault: "cut;after=2", stream: true, wantErr: io.ErrUnexpectedEOF, wantStatus: 200, wantContents: 2, wantTokens: 2, wantEvents: []ledger.Event{accepted, head, progress, progress, ledger.Aborted}},
		{name: "a stream cut by RST after two contents", fault: "cut;after=2;how=rst", stream: true, wantErr: syscall.ECONNRESET, wantStatus: 200, wantContents: 2, wantTokens: 2, wantEvents: []ledger.Event{accepted, head, progress, progress, ledger.Aborted}},
		{name: "a stream that ends politely without a terminal marker", fault: "cut;after=2;how=clean", stream: true, wantStatus: 200, wantContents: 2, wantTokens: 2, wantEvents: []ledger.Event{accepted, head, progress, progress, ledger.Aborted}},
		{name: "a stream cut behind its last content", fault: "cut;after=99;how=clean", stream: true, wantStatus: 200, wantContents: 6, wantTokens: 6, wantEvents: []ledger.Event{accepted, head, progress, progress, progress, progress, progress, progress, ledger.Aborted}},
		{name: "an error frame before content", fault: "error-frame", stream: true, wantStatus: 200, wantTail: `"type":"server_error","param":null,"code":null}}`, wantEvents: []ledger.Event{accepted, head, ledger.Aborted}},
		{name: "an error frame after content", fault: "error-frame;after=1", stream: true, wantStatus: 200, wantContents: 1, wantTokens: 1, wantTail: `"type":"server_error","param":null,"code":null}}`, wantEvents: []ledger.Event{accepted, head, progress, ledger.Aborted}},
		{name: "an overload after content", fault: "error-frame;after=2;code=overloaded", stream: true, wantStatus: 200, wantContents: 2, wantTokens: 2, wantTail: `"type":"overloaded_error"`, wantEvents: []ledger.Event{accepted, head, progress, progress, ledger.Aborted}},
		{name: "a cut in the reasoning", fault: "cut;after=2;says=reasoning", stream: true, wantErr: io.ErrUnexpectedEOF, wantStatus: 200, wantTokens: 2, wantEvents: []ledger.Event{accepted, head, progress, progress, ledger.Aborted}},
		{name: "an empty stream", fault: "empty-stream", stream: true, wantStatus: 200, wantEvents: []ledger.Event{accepted, head, ledger.Aborted}},
		{name: "a stream of a role only", fault: "empty-stream;role=true", stream: true, wantStatus: 200, wantTail: `"role":"assistant"`, wantEvents: []ledger.Event{accepted, head, ledger.Aborted}},
		{name: "a garbage frame among the others", fault: "garbage;after=3", stream: true, wantStatus: 200, wantContents: 6, wantTokens: 6, wantTail: "[DONE]", wantEvents: []ledger.Event{accepted, head, progress, progress, progress, progress, progress, progress, ledger.Finished}},
		{name: "comment frames between contents", fault: "pings;pause=1ms", stream: true, wantStatus: 200, wantContents: 6, wantTokens: 6, wantTail: "[DONE]", wantEvents: []ledger.Event{accepted, head, progress, progress, progress, progress, progress, progress, ledger.Finished}},
		{name: "a pause behind the role", fault: "stall;wait=1ms", stream: true, wantStatus: 200, wantContents: 6, wantTokens: 6, wantTail: "[DONE]", wantEvents: []ledger.Event{accepted, head, progress, progress, progress, progress, progress, progress, ledger.Finished}},
		{name: "a stream on a connection that is reset later", fault: "reset-after", stream: true, wantStatus: 200, wantContents: 6, wantTokens: 6, wantTail: "[DONE]", wantEvents: []ledger.Event{accepted, head, progress, progress, progress, progress, progress, progress, ledger.Finished}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			body := chatBody
			if tt.stream {
				body = streamBody
			}
			got := post(t, server, chatPath, body, modelsim.HeaderFault, tt.fault, modelsim.HeaderAttempt, tt.name)
			if !errors.Is(got.err, tt.wantErr) || got.status != tt.wantStatus {
				t.Fatalf("%d %q %v, want %d %v", got.status, got.body, got.err, tt.wantStatus, tt.wantErr)
			}
			if _, count := contents(t, got.body); count != tt.wantContents && tt.stream {
				t.Errorf("%d frames with content, want %d: %s", count, tt.wantContents, got.body)
			}
			if !tt.stream && json.Valid([]byte(got.body)) != tt.wantJSON {
				t.Errorf("the body is JSON: %v, want %v: %s", !tt.wantJSON, tt.wantJSON, got.body)
			}
			if all := frames(got.body); tt.wantTail != "" && !strings.Contains(all[len(all)-1], tt.wantTail) || tt.wantTail == "" && strings.Contains(got.body, "[DONE]") {
				t.Errorf("the last frame of %q lacks %q", all, tt.wantTail)
			}
			wantBooks(t, path, tt.name, tt.wantStatus, tt.wantTokens, tt.wantEvents...)
		})
	}
}

func TestWhatGarbageAndPingsLookLike(t *testing.T) {
	server := start(t, nil)
	got := frames(post(t, server, chatPath, streamBody, modelsim.HeaderFault, "garbage;after=3").body)
	if broken := got[4]; json.Valid([]byte(broken)) {
		t.Errorf("frame 4 is %q, want garbage", broken)
	}
	got = frames(post(t, server, chatPath, streamBody, modelsim.HeaderFault, "pings").body)
	if got[1] != ": ping" || got[3] != ": ping" {
		t.Errorf("frames %q, want pings between contents", got)
	}
}

// openStream begins a request and returns once the head is there.
func openStream(t *testing.T, server *modelsim.Server, client *http.Client, body string, headers ...string) (*http.Response, context.CancelFunc) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, server.URL()+chatPath, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = response.Body.Close() })
	return response, cancel
}

// eventually waits for something that another goroutine brings about, and gives up with the test's deadline.
func eventually(t *testing.T, what string, check func() bool) {
	t.Helper()
	deadline := time.NewTimer(10 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !check() {
		select {
		case <-deadline.C:
			t.Fatalf("never: %s", what)
		case <-tick.C:
		}
	}
}

func TestAClientThatLeavesIsCancelled(t *testing.T) {
	tests := []struct {
		name, body, fault, timing string
		readFrames                int
		wantStatus, wantTokens    int
		wantEvents                []ledger.Event
	}{
		{"in a stalled stream", streamBody, "stall;after=2", "", 3, 200, 2, []ledger.Event{ledger.Accepted, ledger.Head, ledger.Progress, ledger.Progress, ledger.Cancelled}},
		{"in a long silence before the first token", streamBody, "", "time-to-first-token=1h", 1, 200, 0, []ledger.Event{ledger.Accepted, ledger.Head, ledger.Cancelled}},
		{"behind the role", streamBody, "stall;after=0", "", 1, 200, 0, []ledger.Event{ledger.Accepted, ledger.Head, ledger.Cancelled}},
		{"behind the head of a stream", streamBody, "hang-body", "", 0, 200, 0, []ledger.Event{ledger.Accepted, ledger.Head, ledger.Cancelled}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			server, path := startWithLedger(t, nil)
			response, cancel := openStream(t, server, newClient(t), tt.body, modelsim.HeaderFault, tt.fault, modelsim.HeaderTiming, tt.timing, modelsim.HeaderAttempt, "a")
			buffer, seen := make([]byte, 1), ""
			for strings.Count(seen, "\n\n") < tt.readFrames {
				if _, err := io.ReadFull(response.Body, buffer); err != nil {
					t.Fatal(err)
				}
				seen += string(buffer)
			}
			if state := server.Sim.State(); state.InFlight != 1 || state.Cancelled != 0 {
				t.Errorf("state while the client waits: %+v", state)
			}
			cancel()
			eventually(t, "the cancelled request is counted", func() bool { return server.Sim.State().Cancelled == 1 })
			wantBooks(t, path, "a", tt.wantStatus, tt.wantTokens, tt.wantEvents...)
		})
	}
}

func TestAClientThatLeavesBeforeTheHeadIsCancelled(t *testing.T) {
	for name, headers := range map[string][2]string{
		"it hangs":            {modelsim.HeaderFault, "hang"},
		"it is slow to begin": {modelsim.HeaderTiming, "latency=1h"},
		"it writes slowly":    {modelsim.HeaderTiming, "tokens-per-second=0.001"},
	} {
		t.Run(name, func(t *testing.T) {
			server, path := startWithLedger(t, nil)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			request, err := http.NewRequestWithContext(ctx, http.MethodPost, server.URL()+chatPath, strings.NewReader(chatBody))
			if err != nil {
				t.Fatal(err)
			}
			request.Header.Set(headers[0], headers[1])
			request.Header.Set(modelsim.HeaderAttempt, "a")
			client, done := newClient(t), make(chan error, 1)
			go func() {
				response, err := client.Do(request)
				if err == nil {
					err = response.Body.Close()
				}
				done <- err
			}()
			eventually(t, "the request is accepted", func() bool { return len(readLedger(t, path).Entries) == 1 })
			cancel()
			if err := <-done; !errors.Is(err, context.Canceled) {
				t.Fatalf("error %v, want no answer", err)
			}
			eventually(t, "the cancelled request is counted", func() bool { return server.Sim.State().Cancelled == 1 })
			wantBooks(t, path, "a", 0, 0, ledger.Accepted, ledger.Cancelled)
		})
	}
}

func TestAResetAfterTheAnswerHitsTheIdleConnection(t *testing.T) {
	server := start(t, nil)
	for _, body := range []string{chatBody, streamBody} {
		conn, err := dial(t, server)
		if err != nil {
			t.Fatal(err)
		}
		if got := raw(t, conn, body, modelsim.HeaderFault+": reset-after\r\n"); got.status != 200 || got.err != nil {
			t.Fatalf("%d %v", got.status, got.err)
		}
		if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("the connection on which the answer came: %v, want a reset", err)
		}
	}
}

func TestAResetTakesNothingBackThatWasSent(t *testing.T) {
	server := start(t, nil)
	body := strings.Replace(streamBody, `"max_tokens":6`, `"max_tokens":400`, 1)
	for range 10 {
		got := post(t, server, chatPath, body, modelsim.HeaderTiming, "tokens=400", modelsim.HeaderFault, "cut;after=300;how=rst")
		if _, count := contents(t, got.body); count != 300 || !errors.Is(got.err, syscall.ECONNRESET) {
			t.Errorf("%d contents, then %v, want 300 and a reset", count, got.err)
		}
	}
}

func TestFaultTexts(t *testing.T) {
	tests := []struct{ name, text, wantErr string }{
		{"nothing is no fault", "", ""},
		{"ok is no fault", "ok", ""},
		{"blanks are allowed", " cut ; after=3 ; how=rst ", ""},
		{"an unknown name lists the known ones", "explode", "write a status from 200 to 599, ok, or one of close, content-filter"},
		{"a status out of range is unknown", "600", "unknown"},
		{"a parameter of another fault is refused", "cut;form=ms", `it has no parameter "form"; it has delay, after, how, says`},
		{"a duration needs a unit", "hang;wait=5", "write a duration such as 250ms"},
		{"a negative duration is refused", "hang;wait=-5s", "write a duration"},
		{"a negative count is refused", "cut;after=-1", "write a whole number from 0"},
		{"a count has an end", "reasoning;count=1000001", "write a whole number from 0 to 1000000"},
		{"an unknown way to cut is refused", "cut;how=axe", "write one of fin, rst, clean"},
		{"an unknown form is refused", "rate-limit;form=ms,smoke", "write one of seconds, date, ms, reset, none"},
		{"an error in a stream has a name or a status", "error-frame;code=200", "write a status from 400 to 599, or one of content-filter, context-length"},
		{"an error has the shape of a provider", "rate-limit;shape=round", "write one of openai, azure, openrouter"},
		{"a filtered answer has fewer shapes", "filtered;shape=gemini", "write one of openai, azure"},
		{"a model says what models say", "cut;says=nothing", "write one of reasoning, tool-call, refusal"},
		{"a boolean is a boolean", "empty-stream;role=maybe", "write true or false"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := modelsim.ParseFault(tt.text)
			if tt.wantErr == "" && err != nil || tt.wantErr != "" && (err == nil || !strings.Contains(err.Error(), tt.wantErr)) {
				t.Errorf("error %v, want %q", err, tt.wantErr)
			}
		})
	}
}

func FuzzParseFault(f *testing.F) {
	for _, seed := range []string{"", "ok", "503;body=html", "cut;after=2;how=rst", "rate-limit;wait=2s;form=ms,date", "error-frame;code=quota;shape=gemini;says=refusal", ";;=;"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		fault, err := modelsim.ParseFault(text)
		if err != nil && fault != nil {
			t.Error("a fault and an error")
		}
		if fault != nil && fault.String() != text {
			t.Errorf("%q became %q", text, fault.String())
		}
	})
}

func TestTimingTexts(t *testing.T) {
	for text, wantErr := range map[string]string{
		"latency=1s;tokens=5":   "",
		"tokens-per-second=NaN": "tokens per second",
		"tokens=0":              "1 to 1000000 tokens",
		"speed=9":               "write latency",
		"latency=fast":          "write a duration",
	} {
		got := post(t, start(t, nil), chatPath, chatBody, modelsim.HeaderTiming, text+";latency=0s")
		if wantErr == "" && got.status != 200 || wantErr != "" && (got.status != 400 || !strings.Contains(got.body, wantErr)) {
			t.Errorf("%s: %d %s, want %q", text, got.status, got.body, wantErr)
		}
	}
}

func TestEveryFaultIsTested(t *testing.T) {
	// The lists above are written by hand; this keeps a new fault from having no test.
	tested := "unauthorized payment-required quota credit-balance flagged region model-forbidden model-not-found context-length content-filter " +
		"unsupported-param redirect html empty error-in-200 rate-limit reset close cut error-frame garbage empty-stream hang hang-body stall " +
		"reset-after pings empty-answer filtered model-gone overloaded reasoning refusal silent slow stream-options tool-call unavailable 200"
	for line := range strings.SplitSeq(strings.TrimSpace(modelsim.Faults()), "\n") {
		if name := strings.Fields(line)[0]; !slices.Contains(strings.Fields(tested), name) {
			t.Errorf("fault %s has no test", name)
		}
	}
}
