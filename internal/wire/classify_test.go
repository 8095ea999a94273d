// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
)

func TestClassifyFrame(t *testing.T) {
	for _, tc := range []struct {
		name, data string
		want       FrameKind
	}{
		{"no data carries nothing", "", Lifecycle},
		{"nor does white space", " \r\n", Lifecycle},
		{"nor a ping", `{"type": "ping"}`, Lifecycle},
		{"a role alone carries nothing", `{"choices":[{"index":0,"delta":{"role":"assistant"},"finish_reason":null}]}`, Lifecycle},
		{"OpenAI's first frame carries nothing", `{"id":"x","object":"chat.completion.chunk","created":1,"model":"gpt-4o","service_tier":"default","system_fingerprint":"fp","choices":[{"index":0,"delta":{"role":"assistant","content":"","refusal":null},"logprobs":null,"finish_reason":null}],"usage":null,"obfuscation":"a8Zq"}`, Lifecycle},
		{"nor with log probabilities asked for", `{"choices":[{"index":0,"delta":{"role":"assistant","content":""},"logprobs":{"content":[],"refusal":null},"finish_reason":null}]}`, Lifecycle},
		{"vLLM's first frame carries nothing", `{"choices":[{"index":0,"delta":{"role":"assistant","content":"","reasoning_content":null},"logprobs":null,"finish_reason":null,"stop_reason":null,"token_ids":null}],"prompt_token_ids":null}`, Lifecycle},
		{"OpenRouter's first frame carries nothing", `{"provider":"X","choices":[{"index":0,"delta":{"role":"assistant","content":"","reasoning":null,"reasoning_details":[]},"finish_reason":null,"native_finish_reason":null,"logprobs":null}]}`, Lifecycle},
		{"Azure's prompt filter results carry nothing", `{"choices":[],"created":0,"id":"","model":"","object":"","prompt_filter_results":[{"prompt_index":0,"content_filter_results":{"hate":{"filtered":false,"severity":"safe"}}}]}`, Lifecycle},
		{"Azure's first frame carries nothing", `{"choices":[{"content_filter_results":{},"delta":{"content":"","refusal":null,"role":"assistant"},"finish_reason":null,"index":0,"logprobs":null}]}`, Lifecycle},
		{"an empty delta carries nothing", `{"choices":[{"index":0,"delta":{}}]}`, Lifecycle},
		{"null choices carry nothing", `{"choices":null}`, Lifecycle},
		{"an empty list of tool calls carries nothing", `{"choices":[{"delta":{"content":null,"tool_calls":[]}}]}`, Lifecycle},
		{"an unknown member that is null carries nothing", `{"choices":[{"delta":{"x":null},"y":null}]}`, Lifecycle},
		{"an error that is null carries nothing", `{"choices":[],"error":null}`, Lifecycle},
		{"an empty text of a completion carries nothing", `{"object":"text_completion","choices":[{"text":"","index":0,"logprobs":null,"finish_reason":null}]}`, Lifecycle},
		{"an empty finish reason is none", `{"choices":[{"delta":{"role":"assistant"},"finish_reason":""}]}`, Lifecycle},

		{"the usage at the end carries usage alone", `{"id":"x","object":"chat.completion.chunk","created":1,"model":"m","service_tier":"default","system_fingerprint":"fp","choices":[ ],"usage":{"prompt_tokens":1},"obfuscation":"x"}`, WithUsage | UsageAlone},
		{"usage with something else is not alone", `{"choices":[],"usage":{"prompt_tokens":1},"citations":["x"]}`, WithUsage},
		{"usage with something that is null is alone", `{"choices":[],"usage":{"prompt_tokens":1},"citations":null}`, WithUsage | UsageAlone},
		{"usage with a choice is not alone", `{"choices":[{"delta":{"role":"assistant"}}],"usage":{"prompt_tokens":1}}`, WithUsage},
		{"usage with an error is not alone", `{"choices":[],"usage":{"prompt_tokens":1},"error":{}}`, WithUsage | Failed},
		{"usage that is null is none", `{"choices":[],"usage":null}`, Lifecycle},
		{"usage can come with content", `{"choices":[{"delta":{"content":"a"}}],"usage":{"prompt_tokens":1}}`, Content | WithUsage},

		{"text is content", `{"choices":[{"index":0,"delta":{"content":"Hello"},"finish_reason":null}]}`, Content},
		{"a space is content", `{"choices":[{"delta":{"content":" "}}]}`, Content},
		{"text of a completion is content", `{"choices":[{"text":"a","index":0}]}`, Content},
		{"the second choice counts", `{"choices":[{"delta":{"role":"assistant"}},{"delta":{"content":"a"}}]}`, Content},
		{"reasoning is content", `{"choices":[{"delta":{"content":null,"reasoning_content":"hm"}}]}`, Content},
		{"reasoning of OpenRouter is content", `{"choices":[{"delta":{"reasoning":"hm"}}]}`, Content},
		{"a refusal is content", `{"choices":[{"delta":{"refusal":"I"}}]}`, Content},
		{"a tool call is content, even before its arguments", `{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"","function":{"arguments":""}}]}}]}`, Content},
		{"a function call is content", `{"choices":[{"delta":{"function_call":{"name":"f","arguments":""}}}]}`, Content},
		{"audio is content", `{"choices":[{"delta":{"audio":{"id":"a"}}}]}`, Content},
		{"an unknown member of a delta is content, also an empty one", `{"choices":[{"delta":{"web_search":{}}}]}`, Content},
		{"an unknown member of a choice is content", `{"choices":[{"delta":{},"message":{"content":"x"}}]}`, Content},
		{"a delta that is no object is content", `{"choices":[{"delta":"x"}]}`, Content},
		{"a choice that is no object is content", `{"choices":["x"]}`, Content},
		{"choices that are no array are content", `{"choices":"x"}`, Content},
		{"a filter result is content", `{"choices":[{"delta":{},"content_filter_results":{"hate":{"filtered":true}}}]}`, Content},
		{"an unknown object is content", `{"type":"response.created"}`, Content},
		{"an empty object is content", `{}`, Content},
		{"what is not an object is content", `"x"`, Content},
		{"what is not JSON is content", `hello`, Content},
		{"broken JSON is content", `{"choices":[]`, Content},
		{"JSON with something behind it is content", `{"choices":[]}x`, Content},

		{"[DONE] is the end", "[DONE]", Terminal | Last},
		{"[DONE] with spaces is the end", " [DONE] ", Terminal | Last},
		{"a finish reason is the end", `{"choices":[{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}]}`, Terminal},
		{"a finish reason can come with the last content", `{"choices":[{"delta":{"content":"!"},"finish_reason":"length"}]}`, Content | Terminal},
		{"a filter is an end", `{"choices":[{"index":0,"delta":{},"finish_reason":"content_filter"}]}`, Terminal | Filtered},
		{"OpenRouter's native finish reason is no content", `{"choices":[{"delta":{"role":"assistant","content":""},"finish_reason":"stop","native_finish_reason":"end_turn"}]}`, Terminal},
		{"vLLM's stop reason is no content", `{"choices":[{"delta":{"content":""},"finish_reason":"stop","stop_reason":128009}]}`, Terminal},

		{"an error is a failure", `{"error":{"message":"overloaded","type":"server_error","code":null}}`, Failed},
		{"an error in a list is a failure", `[{"error":{"code":503,"message":"overloaded","status":"UNAVAILABLE"}}]`, Failed},
		{"a list of something else is content", `[{"text":"x"}]`, Content},
		{"a message without content carries nothing", `{"choices":[{"message":{"role":"assistant","content":""}}]}`, Lifecycle},
		{"a message with content is content", `{"choices":[{"message":{"role":"assistant","content":"a"}}]}`, Content},
		{"an error that is a sentence is a failure", `{"error":"overloaded"}`, Failed},
		{"OpenRouter's error is a failure", `{"id":"x","provider":"X","error":{"code":502,"message":"disconnected"},"choices":[{"index":0,"delta":{"content":""},"finish_reason":"error"}]}`, Failed},
		{"a finish reason of error is a failure", `{"choices":[{"delta":{},"finish_reason":"error"}]}`, Failed},
		{"an error of a choice is a failure", `{"choices":[{"delta":{},"error":{"code":502},"finish_reason":null}]}`, Failed},
		{"vLLM's older error is a failure", `{"object":"error","message":"x","type":"InternalServerError","code":500}`, Failed},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got, _ := ClassifyFrame([]byte(tc.data)); got != tc.want {
				t.Errorf("kind %04b, want %04b", got, tc.want)
			}
		})
	}
}

// object is a JSON object with all its members in order, also those with the same key.
type object []member

type member struct {
	key   string
	value any
}

// tree reads one JSON value with encoding/json.
func tree(d *json.Decoder) (any, error) {
	token, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch token {
	case json.Delim('{'):
		o := object{}
		for d.More() {
			key, err := d.Token()
			if err != nil {
				return nil, err
			}
			value, err := tree(d)
			if err != nil {
				return nil, err
			}
			o = append(o, member{key.(string), value})
		}
		_, err = d.Token()
		return o, err
	case json.Delim('['):
		a := []any{}
		for d.More() {
			value, err := tree(d)
			if err != nil {
				return nil, err
			}
			a = append(a, value)
		}
		_, err = d.Token()
		return a, err
	}
	return token, nil
}

// referenceKind is ClassifyFrame, written on a tree.
func referenceKind(data []byte) FrameKind {
	data = bytes.Trim(data, " \t\r\n")
	if len(data) == 0 {
		return Lifecycle
	}
	if string(data) == "[DONE]" {
		return Terminal | Last
	}
	frame, ok := readValue(data).(object)
	if !ok {
		return Content
	}
	kind, known, empty, more := Lifecycle, false, false, false
	for _, m := range frame {
		one, says := referenceFrameMember(m)
		kind, known = kind|one, known || says
		if list, isList := m.value.([]any); m.key == "choices" && (isList || m.value == nil) {
			// Of choices that are given twice the last list counts; null is none.
			empty = isList && len(list) == 0 || !isList && empty
		}
		more = more || !slices.Contains(besideUsage, m.key) && m.value != nil
	}
	switch {
	case !known:
		return Content
	case kind == WithUsage && empty && !more:
		return WithUsage | UsageAlone
	}
	return kind
}

// besideUsage are the members that a frame with nothing but usage may have.
var besideUsage = []string{"id", "object", "created", "model", "service_tier", "system_fingerprint", "provider", "obfuscation", "choices", "usage", "error", "type"}

// readValue reads data if it is one JSON value and nothing else.
func readValue(data []byte) any {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	value, err := tree(d)
	if err != nil || !json.Valid(data) {
		return nil
	}
	if _, err = d.Token(); !errors.Is(err, io.EOF) {
		return nil
	}
	return value
}

// referenceFrameMember is what a member makes of a frame, and whether it says what the frame is.
func referenceFrameMember(m member) (kind FrameKind, known bool) {
	switch m.key {
	case "choices":
		return referenceChoices(m.value), true
	case "error":
		if isError(m.value) {
			return Failed, true
		}
	case "object":
		if m.value == "error" {
			return Failed, true
		}
	case "type":
		return Lifecycle, m.value == "ping"
	case "usage":
		if _, ok := m.value.(object); ok {
			return WithUsage, false
		}
	}
	return Lifecycle, false
}

func isError(v any) bool { return v != nil && v != "" && v != false }

func referenceChoices(v any) (kind FrameKind) {
	choices, ok := v.([]any)
	if !ok {
		return contentIf(v != nil)
	}
	for _, c := range choices {
		choice, ok := c.(object)
		if !ok {
			kind |= Content
		}
		for _, m := range choice {
			kind |= referenceChoiceMember(m)
		}
	}
	return kind
}

func referenceChoiceMember(m member) FrameKind {
	switch m.key {
	case "index", "stop_reason", "native_finish_reason":
		return Lifecycle
	case "error":
		if isError(m.value) {
			return Failed
		}
		return Lifecycle
	case "finish_reason":
		switch reason, ok := m.value.(string); {
		case !ok:
			return contentIf(m.value != nil)
		case reason == "error":
			return Failed
		case reason == "content_filter":
			return Terminal | Filtered
		case reason != "":
			return Terminal
		}
		return Lifecycle
	case "text", "logprobs", "content_filter_results":
		return contentIf(!isHollow(m.value))
	case "delta", "message":
		return referenceDelta(m.value)
	}
	return contentIf(m.value != nil)
}

func referenceDelta(v any) (kind FrameKind) {
	delta, ok := v.(object)
	if !ok {
		return contentIf(v != nil)
	}
	for _, d := range delta {
		switch d.key {
		case "role":
		case "content", "refusal", "reasoning", "reasoning_content", "reasoning_details", "tool_calls", "function_call", "audio", "annotations":
			kind |= contentIf(!isHollow(d.value))
		default:
			kind |= contentIf(d.value != nil)
		}
	}
	return kind
}

func contentIf(content bool) FrameKind {
	if content {
		return Content
	}
	return Lifecycle
}

func isHollow(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case string:
		return v == ""
	case object:
		for _, m := range v {
			if !isHollow(m.value) {
				return false
			}
		}
		return true
	case []any:
		for _, e := range v {
			if !isHollow(e) {
				return false
			}
		}
		return true
	}
	return false
}

func FuzzClassifyFrame(f *testing.F) {
	for _, data := range []string{
		"", "[DONE]", `{"type":"ping"}`, `{"t\u0079pe":"p\u0069ng"}`, `{"object":"\u0065rror"}`, `{"error":false}`, `{"error":{}}`, `{"error":"","choices":[]}`,
		`{"choices":[{"index":0,"delta":{"role":"assistant","content":"","tool_calls":[{}]},"logprobs":{"content":[]},"finish_reason":null}],"usage":null}`,
		`{"choices":[{"delta":{"content":"a"},"finish_reason":"stop"}],"choices":[],"usage":{"prompt_tokens":1}}`,
		`{"choices":[{"text":"","finish_reason":"err\u006fr","content_filter_results":{}}]} `, `{"choices":[{"delta":{"x":[[]]},"error":null}]}`,
	} {
		f.Add([]byte(data))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > answerDepth {
			return // where depth and the length of numbers have limits of their own
		}
		if text := bytes.TrimLeft(data, " \t\r\n"); len(text) > 0 && text[0] == '[' {
			return // an error in a list is not looked for by the reference
		}
		got, _ := ClassifyFrame(data)
		if want := referenceKind(data); got != want {
			t.Fatalf("ClassifyFrame(%q) = %04b, on a tree %04b", data, got, want)
		}
		if outcome, _ := Classify(200, data); outcome == Success && !json.Valid(data) {
			t.Fatalf("%q is a success, but not JSON", data)
		}
		_ = ClassifyErrorFrame(data)
		_ = FrameUsage(data)
	})
}

func BenchmarkClassifyFrame(b *testing.B) {
	data := []byte(chatFrame[len("data: "):])
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if kind, _ := ClassifyFrame(data); kind != Content {
			b.Fatal("not content")
		}
	}
}

func TestContentIsMeasuredInQuartersOfAToken(t *testing.T) {
	for name, tc := range map[string]struct {
		frame string
		want  int
	}{
		"content counts":                      {`{"choices":[{"delta":{"content":"four"}}]}`, 4},
		"the role does not":                   {`{"choices":[{"delta":{"role":"assistant","content":""}}]}`, 0},
		"reasoning counts":                    {`{"choices":[{"delta":{"reasoning_content":"hm"}}]}`, 2},
		"arguments of a tool call count":      {`{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"a\":1}"}}]}}]}`, 7},
		"text of completions counts":          {`{"choices":[{"text":"abc","index":0}]}`, 3},
		"log probabilities say it once more":  {`{"choices":[{"text":"abc","logprobs":{"tokens":["abc"]}}]}`, 3},
		"what is not JSON counts by its size": {`hello`, 5},
		"the end brings nothing":              {`[DONE]`, 0},
		"usage brings nothing":                {`{"choices":[],"usage":{"prompt_tokens":9}}`, 0},
	} {
		if _, got := ClassifyFrame([]byte(tc.frame)); got != tc.want {
			t.Errorf("%s: %d, want %d", name, got, tc.want)
		}
	}
	const whole = `{"id":"x","choices":[{"index":0,"message":{"role":"assistant","content":"12345678","tool_calls":null},"logprobs":{"content":["1"]}},{"text":"abcd"}],"model":"m"}`
	before := func(part string) string {
		head, _, _ := strings.Cut(whole, part)
		return head
	}
	for name, tc := range map[string]struct {
		body string
		want int
	}{
		"all choices of an answer":            {whole, 12},
		"an answer that broke off in a text":  {before("5678"), 5}, // with its opening quote
		"an answer that broke off in between": {before(`{"text"`), 8},
		"embeddings have no text":             {`{"data":[{"embedding":[1,2]}],"object":"list"}`, 0},
		"what is no object":                   {`[1]`, 0},
		"nothing":                             {``, 0},
	} {
		if got := ContentSize([]byte(tc.body)); got != tc.want {
			t.Errorf("%s: %d, want %d", name, got, tc.want)
		}
	}
}
