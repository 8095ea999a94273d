// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package proxy_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/turnout-ai/turnout/internal/routing"
)

// TestAStreamOfSeveralAnswersIsWholeWhenAllOfThemAre: the first finish reason of several ends nothing but its own
// answer, and what breaks after it was cut.
func TestAStreamOfSeveralAnswersIsWholeWhenAllOfThemAre(t *testing.T) {
	t.Parallel()
	const (
		one    = `data: {"id":"x","choices":[{"index":0,"delta":{"content":"One"},"finish_reason":null}]}` + "\n\n"
		two    = `data: {"id":"x","choices":[{"index":1,"delta":{"content":"Two"},"finish_reason":null}]}` + "\n\n"
		ended  = `data: {"id":"x","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}` + "\n\n"
		other  = `data: {"id":"x","choices":[{"index":1,"delta":{},"finish_reason":"stop"}]}` + "\n\n"
		done   = "data: [DONE]\n\n"
		cutOff = "stream_interrupted"
	)
	for name, c := range map[string]struct {
		stream string
		cut    bool
	}{
		"one of two has ended":              {one + two + ended + two, true},
		"both have ended":                   {one + two + ended + two + other, false},
		"the provider says that it is done": {one + ended + done, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			provider := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "text/event-stream")
				_, _ = io.WriteString(w, c.stream)
				_ = http.NewResponseController(w).Flush()
				panic(http.ErrAbortHandler) // the connection breaks
			}))
			t.Cleanup(provider.Close)
			r := newRig(t, "a", func(in *routing.Input) { in.Endpoints[0].URL = provider.URL + "/v1" })
			got := r.post("/chat/completions", `{"model":"chat","n":2,"stream":true,"messages":[{"role":"user","content":"Say something."}]}`)
			if has := strings.Contains(got.body, cutOff); has != c.cut || !strings.HasPrefix(got.body, c.stream) {
				t.Errorf("an error event: %t, want %t, in\n%s", has, c.cut, got.body)
			}
		})
	}
}
