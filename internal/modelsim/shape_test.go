// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package modelsim_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/turnout-ai/turnout/internal/modelsim"
	"github.com/turnout-ai/turnout/internal/modelsim/ledger"
	"github.com/turnout-ai/turnout/internal/wire"
)

// shapes are the shapes of errors and the format in which a proxy reads them.
var shapes = map[string]wire.Format{
	"openai": wire.OpenAI, "azure": wire.OpenAI, "openrouter": wire.OpenAI, "vllm": wire.OpenAI, "vllm-old": wire.OpenAI,
	"mistral": wire.OpenAI, "anthropic": wire.Anthropic, "gemini": wire.Gemini,
}

type meaningOf struct {
	want wire.Outcome
	of   string // the shapes in which it means that; empty is all
}

// meaning is what each error has to mean to a proxy, whoever says it. Where some provider has no such error, what
// comes instead is OpenAI's sentence in that provider's shape, and nobody knows what that means there.
var meaning = map[string]meaningOf{
	"unauthorized":      {wire.AuthFailure, ""},
	"payment-required":  {wire.QuotaExhausted, ""},
	"quota":             {wire.QuotaExhausted, "openai azure openrouter anthropic gemini"},
	"credit-balance":    {wire.QuotaExhausted, "openai anthropic"},
	"flagged":           {wire.ContentFilter, "openai openrouter"},
	"region":            {wire.Denied, ""},
	"model-forbidden":   {wire.Denied, "azure anthropic"},
	"model-not-found":   {wire.ModelNotFound, ""},
	"model-gone":        {wire.ModelNotFound, ""},
	"context-length":    {wire.ContextLength, ""},
	"content-filter":    {wire.ContentFilter, "openai azure anthropic"},
	"unsupported-param": {wire.Unsupported, ""},
	"rate-limit":        {wire.RateLimited, ""},
	"unavailable":       {wire.Failure, ""},
	"overloaded":        {wire.Failure, ""},
}

// has says whether the error has that meaning in a shape.
func (m meaningOf) has(shape string) bool {
	return m.of == "" || strings.Contains(" "+m.of+" ", " "+shape+" ")
}

func TestErrorsMeanTheSameInEveryShape(t *testing.T) {
	server, path := startWithLedger(t, nil)
	for name, m := range meaning {
		for shape, format := range shapes {
			fault := name + ";shape=" + shape
			t.Run(fault, func(t *testing.T) {
				got := post(t, server, chatPath, streamBody, modelsim.HeaderFault, fault, modelsim.HeaderAttempt, fault)
				if got.err != nil || got.status < 400 || !json.Valid([]byte(got.body)) {
					t.Fatalf("%d %s %v, want an error", got.status, got.body, got.err)
				}
				if outcome := format.Classify(got.status, []byte(got.body)).Outcome; m.has(shape) && outcome != m.want {
					t.Errorf("%d %s means %s, want %s", got.status, got.body, outcome, m.want)
				}
				wantBooks(t, path, fault, got.status, 0, ledger.Accepted, ledger.Head, ledger.Finished)
			})
		}
	}
}

// inStreams are the errors that say what they mean in a stream too, where no status helps.
var inStreams = map[string]string{
	"rate-limit": "openai azure openrouter mistral anthropic gemini", "quota": "openai openrouter anthropic gemini",
	"payment-required": "openrouter anthropic", "unauthorized": "openai azure openrouter anthropic gemini",
	"overloaded": "openai azure openrouter vllm vllm-old mistral anthropic gemini", "unavailable": "openai azure openrouter vllm vllm-old mistral anthropic gemini",
	"context-length": "openai azure openrouter vllm vllm-old mistral anthropic gemini", "content-filter": "openai azure anthropic",
	"model-not-found": "openai azure openrouter vllm vllm-old mistral gemini",
}

func TestErrorFramesMeanWhatTheirStatusMeans(t *testing.T) {
	server, path := startWithLedger(t, nil)
	for name, in := range inStreams {
		for shape := range strings.SplitSeq(in, " ") {
			for after := range 2 {
				fault := fmt.Sprintf("error-frame;after=%d;code=%s;shape=%s", after, name, shape)
				t.Run(fault, func(t *testing.T) {
					want, format := meaning[name].want, shapes[shape]
					got := post(t, server, chatPath, streamBody, modelsim.HeaderFault, fault, modelsim.HeaderAttempt, fault)
					all := frames(got.body)
					last := strings.TrimPrefix(all[len(all)-1], "event: error\ndata: ")
					kind, _ := format.ClassifyFrame([]byte(last))
					if outcome := format.ClassifyErrorFrame([]byte(last)).Outcome; outcome != want || kind&wire.Failed == 0 {
						t.Errorf("%s is %v and means %s, want %s", last, kind, outcome, want)
					}
					events := []ledger.Event{ledger.Accepted, ledger.Head, ledger.Progress, ledger.Aborted}
					if after == 0 {
						events = []ledger.Event{ledger.Accepted, ledger.Head, ledger.Aborted}
					}
					wantBooks(t, path, fault, 200, after, events...)
				})
			}
		}
	}
}

func TestErrorsWithin200(t *testing.T) {
	server := start(t, nil)
	for fault, want := range map[string]wire.Outcome{
		"error-in-200;code=429": wire.RateLimited, "error-in-200;code=402": wire.QuotaExhausted, "error-in-200;code=500": wire.Failure,
		"error-in-200;code=quota": wire.QuotaExhausted, "error-in-200;code=content-filter;shape=azure": wire.ContentFilter,
		"error-in-200;code=429;shape=openrouter": wire.RateLimited, "error-in-200;code=402;shape=openrouter": wire.QuotaExhausted,
		"error-in-200;code=502;shape=openrouter": wire.Failure, "error-in-200;code=overloaded;shape=anthropic": wire.Failure,
		"error-in-200;code=403;shape=openrouter": wire.Denied, "error-in-200;code=429;shape=vllm-old": wire.RateLimited,
	} {
		got := post(t, server, chatPath, chatBody, modelsim.HeaderFault, fault)
		if outcome := wire.OpenAI.Classify(got.status, []byte(got.body)).Outcome; got.status != 200 || outcome != want {
			t.Errorf("%s: %d %s means %s, want %s", fault, got.status, got.body, outcome, want)
		}
	}
	got := post(t, server, chatPath, chatBody, modelsim.HeaderFault, "error-in-200;code=402;shape=openrouter")
	if !strings.Contains(got.body, `"finish_reason":"error","error":{"code":402`) {
		t.Errorf("%s lacks the choice that has become an error", got.body)
	}
}

func TestAnUnavailableServerAsksToWait(t *testing.T) {
	server := start(t, nil)
	for fault, want := range map[string][3]string{
		"unavailable":                          {"20", "20000", "20s"},
		"unavailable;wait=1500ms;form=seconds": {"2", "", ""},
		"unavailable;wait=1500ms;form=ms":      {"", "1500", ""},
		"unavailable;form=none;shape=gemini":   {"", "", ""},
	} {
		got := post(t, server, chatPath, chatBody, modelsim.HeaderFault, fault)
		if h := [3]string{got.header.Get("Retry-After"), got.header.Get("Retry-After-Ms"), got.header.Get("X-Ratelimit-Reset-Requests")}; got.status != 503 || h != want {
			t.Errorf("%s: %d %q, want %q", fault, got.status, h, want)
		}
	}
}

// A model's name is the caller's: it must not break out of an error that quotes it.
func TestErrorsQuoteAnyModel(t *testing.T) {
	server := start(t, nil)
	body := strings.Replace(chatBody, "sim-large", `a\"b{tokens}\\`, 1)
	for shape := range shapes {
		for _, name := range []string{"model-not-found", "flagged", "rate-limit", "context-length"} {
			got := post(t, server, chatPath, body, modelsim.HeaderFault, name+";shape="+shape)
			if !json.Valid([]byte(got.body)) {
				t.Errorf("%s in the shape of %s is no JSON: %s", name, shape, got.body)
			}
		}
	}
}
