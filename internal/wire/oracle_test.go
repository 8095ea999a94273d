// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/turnout-ai/turnout/test/interop/peekcorpus"
)

// goView is a body as a provider written in Go sees it: keys match in any case, the last one wins.
type goView struct {
	Model               string                    `json:"model"`
	Stream              bool                      `json:"stream"`
	MaxTokens           int64                     `json:"max_tokens"`
	MaxCompletionTokens int64                     `json:"max_completion_tokens"`
	MaxOutputTokens     int64                     `json:"max_output_tokens"`
	N                   *int64                    `json:"n"`
	Tools               []struct{ Type *string }  `json:"tools"`
	Functions           []json.RawMessage         `json:"functions"`
	ToolChoice          choice                    `json:"tool_choice"`
	FunctionCall        choice                    `json:"function_call"`
	Logprobs            any                       `json:"logprobs"`
	TopLogprobs         int64                     `json:"top_logprobs"`
	Modalities          []string                  `json:"modalities"`
	Reasoning           *struct{ Effort *string } `json:"reasoning"`
	ReasoningEffort     *string                   `json:"reasoning_effort"`
	ServiceTier         *string                   `json:"service_tier"`
	Store               bool                      `json:"store"`
	Background          bool                      `json:"background"`
	PreviousResponseID  *string                   `json:"previous_response_id"`
	Conversation        any                       `json:"conversation"`
	WebSearchOptions    any                       `json:"web_search_options"`
	User                *string                   `json:"user"`
	PromptCacheKey      *string                   `json:"prompt_cache_key"`
	ResponseFormat      *struct{ Type string }    `json:"response_format"`
	StreamOptions       struct {
		IncludeUsage bool `json:"include_usage"`
	} `json:"stream_options"`
	Metadata struct {
		UserID *string `json:"user_id"`
	} `json:"metadata"`
}

// choice is whether a tool choice is anything but "none".
type choice bool

func (c *choice) UnmarshalJSON(b []byte) error {
	var s string
	*c = choice(json.Unmarshal(b, &s) != nil || s != "none" && s != "" || string(b) == `""`)
	return nil
}

// facts is what Peek must have learned from the same body, without contents, input and estimate.
func (v *goView) facts() Facts {
	f := Facts{
		Model: []byte(v.Model), Stream: v.Stream, IncludeUsage: v.StreamOptions.IncludeUsage, N: 1,
		MaxTokens:  max(v.MaxTokens, v.MaxCompletionTokens, v.MaxOutputTokens),
		ToolChoice: bool(v.ToolChoice || v.FunctionCall),
		Tools:      len(v.Tools)+len(v.Functions) > 0,
		Logprobs:   v.TopLogprobs > 0, Store: v.Store, Background: v.Background,
		ServiceTier: optional(v.ServiceTier), PreviousResponseID: optional(v.PreviousResponseID), User: optional(v.User),
		PromptCacheKey: optional(v.PromptCacheKey), MetadataUserID: optional(v.Metadata.UserID),
	}
	if v.N != nil {
		f.N = *v.N
	}
	f.HostedTools = v.WebSearchOptions != nil
	f.Conversation = isGiven(v.Conversation) || isGiven(get(v.Conversation, "id"))
	for _, tool := range v.Tools {
		f.HostedTools = f.HostedTools || tool.Type != nil && *tool.Type != "function" && *tool.Type != "custom"
	}
	switch l := v.Logprobs.(type) {
	case bool:
		f.Logprobs = f.Logprobs || l
	case float64:
		f.Logprobs = f.Logprobs || l > 0
	}
	f.AudioOut = slices.Contains(v.Modalities, "audio")
	f.Reasoning = v.reasons()
	f.ResponseFormat = v.format()
	return f
}

func (v *goView) reasons() bool {
	return v.ReasoningEffort != nil && *v.ReasoningEffort != "none" ||
		v.Reasoning != nil && (v.Reasoning.Effort == nil || *v.Reasoning.Effort != "none")
}

func (v *goView) format() ResponseFormat {
	if v.ResponseFormat == nil {
		return FormatText
	}
	known := map[string]ResponseFormat{"text": FormatText, "json_object": FormatJSONObject, "json_schema": FormatJSONSchema}
	if format, ok := known[v.ResponseFormat.Type]; ok {
		return format
	}
	return FormatUnknown
}

// isGiven reports whether v is a string that is not empty.
func isGiven(v any) bool {
	s, ok := v.(string)
	return ok && s != ""
}

// get is the value at the end of a path of keys; nil when there is none.
func get(v any, path ...string) any {
	for _, key := range path {
		members, _ := v.(map[string]any)
		v = members[key]
	}
	return v
}

// list is the elements of v; none when it is no array.
func list(v any) []any {
	elements, _ := v.([]any)
	return elements
}

// pinned is Facts.Pinned as the documentation of the API words it, place by place.
func pinned(body map[string]any) bool {
	given := func(v any, path ...string) bool { return isGiven(get(v, path...)) }
	part := func(v any) bool {
		return given(v, "file_id") || given(v, "file", "file_id") || given(v, "image_file", "file_id")
	}
	environment := func(v any) bool {
		return given(v, "container_id") || slices.ContainsFunc(list(get(v, "file_ids")), isGiven) ||
			slices.ContainsFunc(list(get(v, "skills")), func(v any) bool { return given(v, "skill_id") })
	}
	tool := func(v any) bool {
		return slices.ContainsFunc(list(get(v, "vector_store_ids")), isGiven) || given(v, "container") ||
			environment(get(v, "container")) || environment(get(v, "environment")) || given(v, "input_image_mask", "file_id")
	}
	item := func(v any) bool {
		return given(v, "audio", "id") || given(v, "container_id") || environment(get(v, "environment")) || part(get(v, "output")) ||
			slices.ContainsFunc(list(get(v, "content")), part) || slices.ContainsFunc(list(get(v, "output")), part) || isReference(v)
	}
	items := func(v any) bool {
		_, alone := v.(map[string]any)
		return alone && item(v) || slices.ContainsFunc(list(v), item)
	}
	return given(body, "previous_response_id") || given(body, "conversation") || given(body, "conversation", "id") ||
		given(body, "prompt", "id") || given(body, "audio", "voice", "id") || slices.ContainsFunc(list(body["tools"]), tool) ||
		slices.ContainsFunc(list(body["messages"]), item) || items(body["input"]) || items(body["prompt"])
}

var itemKeys = []string{"type", "id", "content", "audio", "output", "result", "encrypted_content", "container_id", "environment"}

// isReference reports whether an item stands for what is kept at the provider.
func isReference(v any) bool {
	item, _ := v.(map[string]any)
	content := item["content"]
	empty, isList := content.([]any)
	whole := content != nil && (!isList || len(empty) > 0) || isGiven(item["result"]) || isGiven(item["encrypted_content"])
	if !isGiven(item["id"]) {
		return false
	}
	switch item["type"] {
	case "item_reference":
		return true
	case "reasoning", "image_generation_call":
		return !whole
	case nil:
		for key := range item {
			whole = whole || !slices.Contains(itemKeys, key)
		}
		return !whole
	}
	return false
}

func optional(s *string) []byte {
	if s == nil {
		return nil
	}
	return []byte(*s)
}

// checkPeek checks what must hold for any body, and says whether it was accepted.
func checkPeek(t *testing.T, body []byte) bool {
	t.Helper()
	before := bytes.Clone(body)
	var f Facts
	err := Peek(body, &f)
	if !bytes.Equal(before, body) {
		t.Fatalf("Peek changed the body %q", before)
	}
	if err != nil {
		refusal, ok := errors.AsType[*PeekError](err)
		if !ok || refusal.Message == "" || !utf8.ValidString(refusal.Message) {
			t.Fatalf("Peek(%q) = %#v, want a sentence", body, err)
		}
		return false
	}
	if !json.Valid(body) || !utf8.Valid(body) {
		t.Fatalf("Peek accepts %q, which is not valid JSON in UTF-8", body)
	}
	f.Content, f.Input, f.InputTokens, f.MaxTokensField = 0, NoInput, 0, ""
	folded := viewOf(t, body)
	if diff := cmp.Diff(folded, f, exportedFacts); diff != "" {
		t.Fatalf("encoding/json sees something else in %q (-json +peek):\n%s", body, diff)
	}
	// A map matches keys exactly. If that gives the same, no key was matched by case.
	var exact map[string]json.RawMessage
	if err := json.Unmarshal(body, &exact); err != nil {
		t.Fatal(err)
	}
	maps.DeleteFunc(exact, func(key string, _ json.RawMessage) bool { return bodyFields.find([]byte(key)) == nil })
	again, err := json.Marshal(exact)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(folded, viewOf(t, again), exportedFacts); diff != "" {
		t.Fatalf("a parser that compares keys exactly sees something else in %q:\n%s", body, diff)
	}
	return true
}

func viewOf(t *testing.T, body []byte) Facts {
	t.Helper()
	var v goView
	if err := json.Unmarshal(body, &v); err != nil {
		t.Fatalf("Peek accepts %q, encoding/json does not: %v", body, err)
	}
	f := v.facts()
	var tree map[string]any
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber() // 1E400 is a number, but no float64
	if err := decoder.Decode(&tree); err != nil {
		t.Fatal(err)
	}
	f.Pinned = pinned(tree)
	return f
}

func TestPeekAgreesWithEncodingJSON(t *testing.T) {
	bodies, accepted := 0, 0
	for body := range peekcorpus.Bodies(2, 20000) {
		bodies++
		if checkPeek(t, body) {
			accepted++
		}
	}
	t.Logf("%d bodies, %d accepted and read alike", bodies, accepted)
	if accepted*5 < bodies {
		t.Errorf("only %d of %d bodies were accepted: the comparison proves little", accepted, bodies)
	}
}

func FuzzPeek(f *testing.F) {
	for body := range peekcorpus.Bodies(3, 200) {
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body []byte) { checkPeek(t, body) })
}

func FuzzModelReplacement(f *testing.F) {
	for _, body := range peekcorpus.Seeds() {
		f.Add([]byte(body), "gpt-4o")
		f.Add([]byte(body), "a\"b\\c\n\x00\u2028é😀\xff")
	}
	f.Fuzz(func(t *testing.T, body []byte, model string) {
		var facts Facts
		if Peek(body, &facts) != nil {
			return
		}
		replaced := bytes.Join([][]byte{facts.Before(body), EncodeString(model), facts.After(body)}, nil)
		var want, got map[string]json.RawMessage
		if err := json.Unmarshal(replaced, &got); err != nil {
			t.Fatalf("the replaced body %q is broken: %v", replaced, err)
		}
		if err := json.Unmarshal(body, &want); err != nil {
			t.Fatal(err)
		}
		var sent string
		if err := json.Unmarshal(got["model"], &sent); err != nil {
			t.Fatal(err)
		}
		// Ranging over a string, each byte that is not UTF-8 becomes one U+FFFD.
		if sent != string([]rune(model)) {
			t.Errorf("the model sent is %q, want %q", sent, model)
		}
		delete(want, "model")
		delete(got, "model")
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("the replaced body differs in more than its model:\n%s", diff)
		}
		if len(facts.Before(body))+len(facts.After(body)) > len(body)-len(`"m"`) {
			t.Errorf("the pieces of %q overlap the model", body)
		}
	})
}

// FuzzValid: the scanner's grammar is that of encoding/json.
func FuzzValid(f *testing.F) {
	for _, body := range peekcorpus.Seeds() {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > answerDepth {
			return // where depth and the length of numbers have limits of their own
		}
		if got, want := Valid(b), json.Valid(b); got != want {
			t.Fatalf("Valid(%q) = %v, want %v", b, got, want)
		}
	})
}
