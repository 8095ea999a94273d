// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package proxy_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/turnout-ai/turnout/internal/modelstate"
	"github.com/turnout-ai/turnout/internal/routing"
)

// refusal is what a caller is told.
type refusal struct {
	Status  int
	Code    string
	Param   string
	Message string
}

func refusalOf(t *testing.T, r reply) refusal {
	t.Helper()
	var e struct {
		Error struct{ Code, Param, Message string }
	}
	if err := json.Unmarshal([]byte(r.body), &e); err != nil {
		t.Fatalf("status %d, %q: %v", r.status, r.body, err)
	}
	return refusal{r.status, e.Error.Code, e.Error.Param, e.Error.Message}
}

// lacking makes every endpoint declare all features but those.
func lacking(features routing.Features) func(*routing.Input) {
	return func(in *routing.Input) {
		for i := range in.Endpoints {
			in.Endpoints[i].Features, in.Endpoints[i].FeaturesKnown = 0xff&^features, true
		}
	}
}

// with is a chat request with more members.
func with(members string) string {
	return `{"model":"chat",` + members + `,"messages":[{"role":"user","content":"Hi."}]}`
}

// saying is a chat request with one content part.
func saying(part string) string {
	return `{"model":"chat","messages":[{"role":"user","content":[` + part + `]}]}`
}

func TestWhatNobodyCanDoIsAnsweredWithTheField(t *testing.T) {
	const image = `{"type":"image_url","image_url":{"url":"data:image/png;base64,iVBORw0KGgo="}}`
	const sound = `{"type":"input_audio","input_audio":{"data":"UklGRg==","format":"wav"}}`
	for name, c := range map[string]struct {
		change func(*routing.Input)
		body   string
		param  string
		words  string
	}{
		"tools":                        {lacking(routing.ToolCalling), with(`"tools":[{"type":"function","function":{"name":"f"}}]`), "tools", "no ToolCalling"},
		"a schema":                     {lacking(routing.StructuredOutput), with(`"response_format":{"type":"json_schema","json_schema":{"name":"x","schema":{}}}`), "response_format", "no StructuredOutput"},
		"JSON":                         {lacking(routing.JSONMode), with(`"response_format":{"type":"json_object"}`), "response_format", "no JSONMode"},
		"an image":                     {lacking(routing.Vision), saying(image), "messages", "no Vision"},
		"audio":                        {lacking(routing.Audio), saying(sound), "messages", "no Audio"},
		"audio as the answer":          {lacking(routing.Audio), with(`"modalities":["text","audio"]`), "modalities", "no Audio"},
		"log probabilities":            {lacking(routing.Logprobs), with(`"logprobs":true`), "logprobs", "no Logprobs"},
		"reasoning":                    {lacking(routing.Reasoning), with(`"reasoning_effort":"high"`), "reasoning_effort", "no Reasoning"},
		"several things":               {lacking(routing.Vision | routing.Logprobs), strings.Replace(saying(image), `{`, `{"logprobs":true,`, 1), "", "no Vision, Logprobs"},
		"a stream":                     {delivering(routing.Synchronous), with(`"stream":true`), "stream", "no streaming"},
		"anything but a stream":        {delivering(routing.Streaming), with(`"stream":false`), "stream", "streaming only"},
		"more input than fits":         {bounded(100, 0), saying(`{"type":"text","text":"` + strings.Repeat("word", 1000) + `"}`), "messages", "context window of 100 tokens is too small for about 1001"},
		"more output than there is":    {bounded(0, 100), with(`"max_completion_tokens":200`), "max_completion_tokens", "at most 100 tokens of output, and not 200"},
		"more output, by its old name": {bounded(0, 100), with(`"max_tokens":101`), "max_tokens", "at most 100 tokens of output, and not 101"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, "a b", c.change)
			got := r.post("/chat/completions", c.body)
			want := refusal{
				400, "unsupported_request", c.param,
				fmt.Sprintf(`none of the 2 endpoints behind "chat" can serve this request: a: %s; b: %s.`, c.words, c.words),
			}
			if diff := cmp.Diff(want, refusalOf(t, got)); diff != "" {
				t.Errorf("refusal (-want +got):\n%s", diff)
			}
			if got.header.Get("X-Should-Retry") != "false" || r.requests("a")+r.requests("b") != 0 {
				t.Errorf("x-should-retry %q, %d requests", got.header.Get("X-Should-Retry"), r.requests("a")+r.requests("b"))
			}
		})
	}
}

func delivering(d routing.Delivery) func(*routing.Input) {
	return func(in *routing.Input) {
		for i := range in.Endpoints {
			in.Endpoints[i].Delivery = d
		}
	}
}

func bounded(window, output int64) func(*routing.Input) {
	return func(in *routing.Input) {
		for i := range in.Endpoints {
			in.Endpoints[i].ContextWindow, in.Endpoints[i].MaxOutputTokens = window, output
		}
	}
}

func TestWhatNobodyOffersIsNotFound(t *testing.T) {
	offering := func(a, b string) func(*routing.Input) {
		return func(in *routing.Input) {
			in.Endpoints[0].Capabilities, in.Endpoints[1].Capabilities = []string{a}, []string{b}
		}
	}
	for name, c := range map[string]struct {
		change     func(*routing.Input)
		path, body string
		want       refusal
	}{
		"an operation": {
			nil, "/embeddings", `{"model":"chat","input":"x"}`,
			refusal{404, "model_not_found", "model", `none of the 2 endpoints behind "chat" can serve this request: a: no embeddings; b: no embeddings.`},
		},
		"a capability": {
			func(in *routing.Input) {
				offering("ocr", "text-embeddings")(in)
				in.Policies[0].Models, in.Policies[0].Capability = nil, "understanding"
				in.Policies[0].Tiers = nil
			},
			"/chat/completions", strings.Replace(chatBody, `"chat"`, `"summarization"`, 1),
			refusal{404, "model_not_found", "model", `the only endpoint behind "summarization" cannot serve this request: a: no summarization.`},
		},
		"an operation of one, and a feature of the other": {
			func(in *routing.Input) {
				offering("chat-completion", "text-completion")(in)
				lacking(routing.Logprobs)(in)
			},
			"/chat/completions", with(`"logprobs":true`),
			refusal{400, "unsupported_request", "", `none of the 2 endpoints behind "chat" can serve this request: a: no Logprobs; b: no chat completions.`},
		},
		"one that is suspended would not help": {
			func(in *routing.Input) { in.Endpoints[0].Suspended = true },
			"/embeddings", `{"model":"chat","input":"x"}`,
			refusal{404, "model_not_found", "model", `none of the 2 endpoints behind "chat" can serve this request: a: on standby, Manual; b: no embeddings.`},
		},
		"one that is suspended would": {
			func(in *routing.Input) {
				offering("text-embeddings", "chat-completion")(in)
				in.Endpoints[0].Suspended = true
			},
			"/embeddings", `{"model":"chat","input":"x"}`,
			refusal{503, "all_on_standby", "", `none of the 2 endpoints behind "chat" can serve this request: a: on standby, Manual; b: no embeddings.`},
		},
		"an endpoint whose Secret is missing says no more than that": {
			func(in *routing.Input) {
				for i := range in.Endpoints {
					in.Endpoints[i].Unresolved = routing.Refusal{Reason: "SecretNotFound", Message: "there is no Secret \"keys\""}
				}
			},
			"/chat/completions", chatBody,
			refusal{503, "all_on_standby", "", `none of the 2 endpoints behind "chat" can serve this request: a: on standby, SecretNotFound; b: on standby, SecretNotFound.`},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := newRig(t, "a b", c.change).post(c.path, c.body)
			if diff := cmp.Diff(c.want, refusalOf(t, got)); diff != "" {
				t.Errorf("refusal (-want +got):\n%s", diff)
			}
		})
	}
}

func TestARefusalCountsAfterTheEighthEndpoint(t *testing.T) {
	r := newRig(t, "a b c d e f g h i j", lacking(routing.Logprobs))
	got := refusalOf(t, r.post("/chat/completions", with(`"logprobs":true`)))
	if want := "g: no Logprobs; h: no Logprobs; and 2 more."; !strings.HasSuffix(got.Message, want) || strings.Contains(got.Message, "i: ") {
		t.Errorf("%q, want it to end in %q", got.Message, want)
	}
}

// rejecting has no last resort.
func rejecting(in *routing.Input) { in.Policies[0].RejectResting = true }

func TestAPolicyWithoutALastResortAnswers503(t *testing.T) {
	soon := time.Now().Add(40 * time.Second)
	at := soon.UTC().Format(time.RFC3339)
	tripped := standby(2, modelstate.ErrorThreshold, soon)
	for name, c := range map[string]struct {
		a, b    modelstate.State
		code    string
		message string
		wait    bool
	}{
		"all rest": {
			tripped, standby(2, modelstate.ProbeFailed, time.Time{}), "all_on_standby",
			"a: resting, ErrorThreshold until " + at + "; b: resting, ProbeFailed.", true,
		},
		"no time brings them back": {
			standby(2, modelstate.ProbeFailed, time.Time{}), standby(2, modelstate.ProbeFailed, time.Time{}), "all_on_standby",
			"a: resting, ProbeFailed; b: resting, ProbeFailed.", false,
		},
		"one rests, and the provider of the other has asked for a pause": {
			tripped, standby(2, modelstate.RateLimited, soon), "all_on_standby",
			"a: resting, ErrorThreshold until " + at + "; b: on standby, RateLimited until " + at + ".", true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, "a b", rejecting)
			r.tell("a", c.a)
			r.tell("b", c.b)
			got := r.chat(false)
			want := refusal{503, c.code, "", `none of the 2 endpoints behind "chat" can serve this request: ` + c.message}
			if diff := cmp.Diff(want, refusalOf(t, got)); diff != "" {
				t.Errorf("refusal (-want +got):\n%s", diff)
			}
			if waits := got.header.Get("Retry-After") != ""; waits != c.wait || got.header.Get("X-Should-Retry") != fmt.Sprint(c.wait) {
				t.Errorf("Retry-After %q, x-should-retry %q", got.header.Get("Retry-After"), got.header.Get("X-Should-Retry"))
			}
			if r.requests("a")+r.requests("b") != 0 {
				t.Error("one was tried all the same")
			}
		})
	}
}

// One on trial takes its share, and the others need not wait for long.
func TestATrialWithoutALastResort(t *testing.T) {
	r := newRig(t, "a", rejecting)
	r.tell("a", modelstate.State{Epoch: 3, Trial: &modelstate.Trial{Since: time.Now(), InitialPercent: 20, Ramp: 24 * time.Hour, Successes: 3}})
	served := 0
	for range 50 {
		got := r.chat(false)
		if got.status == 200 {
			served++
			continue
		}
		want := refusal{
			503, "all_on_standby", "",
			`the only endpoint behind "chat" cannot serve this request: a: on trial, and has had its share of the requests.`,
		}
		if diff := cmp.Diff(want, refusalOf(t, got)); diff != "" {
			t.Fatalf("refusal (-want +got):\n%s", diff)
		}
		if got.header.Get("Retry-After") != "1" || got.header.Get("X-Should-Retry") != "true" {
			t.Fatalf("Retry-After %q, x-should-retry %q", got.header.Get("Retry-After"), got.header.Get("X-Should-Retry"))
		}
	}
	if served != 10 || r.requests("a") != 10 {
		t.Errorf("a served %d of 50 requests, and got %d, want 10", served, r.requests("a"))
	}
}

const fileBody = `{"model":"chat","messages":[{"role":"user","content":[{"type":"file","file":{"file_id":"file-1"}}]}]}`

func TestARequestThatRefersToStateHasOneEndpoint(t *testing.T) {
	soon := time.Now().Add(40 * time.Second)
	at := soon.UTC().Format(time.RFC3339)
	refers := `the request refers to state that lives at a provider, such as a file or an earlier response. It can only ` +
		`go to the first endpoint behind "chat" that could serve it, and that one takes no requests: a: on standby, `
	for name, c := range map[string]struct {
		change func(*routing.Input)
		a      modelstate.State
		status int
		says   string
		wait   bool
	}{
		"that is in service":    {nil, modelstate.State{}, 200, "", false},
		"that rests":            {rejecting, standby(2, modelstate.ErrorThreshold, soon), 200, "", false},
		"that is barred":        {nil, standby(2, modelstate.ProviderAuthFailure, time.Time{}), 503, "ProviderAuthFailure.", false},
		"that asks for a pause": {nil, standby(2, modelstate.RateLimited, soon), 503, "RateLimited until " + at + ".", true},
		"that is suspended":     {func(in *routing.Input) { in.Endpoints[0].Suspended = true }, modelstate.State{}, 503, "Manual.", false},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, "a b", c.change)
			r.tell("a", c.a)
			got := r.post("/chat/completions", fileBody)
			if r.requests("b") != 0 {
				t.Error("it went to b, where there is no such file")
			}
			if c.status == 200 {
				if got.status != 200 || r.requests("a") != 1 {
					t.Errorf("status %d, %d requests: %s", got.status, r.requests("a"), got.body)
				}
				return
			}
			if diff := cmp.Diff(refusal{503, "state_unavailable", "", refers + c.says}, refusalOf(t, got)); diff != "" {
				t.Errorf("refusal (-want +got):\n%s", diff)
			}
			if waits := got.header.Get("Retry-After") != ""; waits != c.wait || got.header.Get("X-Should-Retry") != fmt.Sprint(c.wait) {
				t.Errorf("Retry-After %q, x-should-retry %q", got.header.Get("Retry-After"), got.header.Get("X-Should-Retry"))
			}
		})
	}
}

func TestStateThatNobodyCouldUse(t *testing.T) {
	r := newRig(t, "a b", delivering(routing.Synchronous))
	got := refusalOf(t, r.post("/chat/completions", strings.Replace(fileBody, `{`, `{"stream":true,`, 1)))
	want := refusal{400, "unsupported_request", "stream", `none of the 2 endpoints behind "chat" can serve this request: a: no streaming; b: no streaming.`}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("refusal (-want +got):\n%s", diff)
	}
}

// A limit is no reason to send state elsewhere either.
func TestAPinnedRequestStaysAtALimit(t *testing.T) {
	r := newRig(t, "a b", func(in *routing.Input) { in.Endpoints[0].Limits = routing.Limits{Requests: 1} })
	r.tell("a", standby(2, modelstate.RequestLimit, time.Now().Add(time.Hour)))
	if got := r.post("/chat/completions", fileBody); got.status != 503 || got.code() != "state_unavailable" || r.requests("b") != 0 {
		t.Errorf("status %d, %s; b got %d requests", got.status, got.body, r.requests("b"))
	}
}
