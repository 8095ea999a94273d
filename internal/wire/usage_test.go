// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// at is the value of the member that path leads to; nil when there is none.
func at(v any, path ...string) any {
	for _, key := range path {
		o, _ := v.(object)
		i := slices.IndexFunc(o, func(m member) bool { return m.key == key })
		if i < 0 {
			return nil
		}
		v = o[i].value
	}
	return v
}

// countAt is the number of tokens there; 0 for what is no plain number that everybody reads alike.
func countAt(v any, path ...string) int64 {
	number, _ := at(v, path...).(json.Number)
	n, err := strconv.ParseUint(string(number), 10, 53)
	if err != nil {
		return 0
	}
	return int64(n)
}

// usageObject is where a format has the usage of a frame or an answer, on a tree; nil when it has none there.
func usageObject(f Format, v any) any {
	places := [][]string{{"usage"}}
	switch kind, _ := at(v, "type").(string); {
	case f == Gemini:
		places = [][]string{{"usageMetadata"}}
	case f == Anthropic && kind == "message_start":
		places = [][]string{{"message", "usage"}, {"usage"}}
	case f == Responses && at(v, "object") != "response" && (kind == "response.completed" || kind == "response.incomplete"):
		places = [][]string{{"response", "usage"}, {"usage"}}
	}
	for _, place := range places {
		if usage, ok := at(v, place...).(object); ok {
			return usage
		}
	}
	return nil
}

// referenceUsage is FrameUsage, written on a tree.
func referenceUsage(f Format, v any) Usage {
	u := usageObject(f, v)
	if u == nil {
		return Usage{}
	}
	switch f {
	case Anthropic:
		cached := countAt(u, "cache_read_input_tokens")
		return Usage{
			Input:  countAt(u, "input_tokens") + cached + countAt(u, "cache_creation_input_tokens"),
			Output: countAt(u, "output_tokens"), CachedInput: cached,
		}
	case Gemini:
		thoughts := countAt(u, "thoughtsTokenCount")
		return Usage{
			Input:  countAt(u, "promptTokenCount") + countAt(u, "toolUsePromptTokenCount"),
			Output: countAt(u, "candidatesTokenCount") + thoughts, CachedInput: countAt(u, "cachedContentTokenCount"), Reasoning: thoughts,
		}
	default:
		// Nobody says both; what is read last counts, which is no promise.
		return Usage{
			Input: max(countAt(u, "prompt_tokens"), countAt(u, "input_tokens")), Output: max(countAt(u, "completion_tokens"), countAt(u, "output_tokens")),
			CachedInput: max(countAt(u, "prompt_tokens_details", "cached_tokens"), countAt(u, "input_tokens_details", "cached_tokens")),
			Reasoning:   max(countAt(u, "completion_tokens_details", "reasoning_tokens"), countAt(u, "output_tokens_details", "reasoning_tokens")),
		}
	}
}

// saysTwice reports whether a usage of OpenAI is in the words of chat and in those of responses.
func saysTwice(f Format, v any) bool {
	u := usageObject(f, v)
	for _, words := range [][2]string{{"prompt_tokens", "input_tokens"}, {"completion_tokens", "output_tokens"}, {"prompt_tokens_details", "input_tokens_details"}, {"completion_tokens_details", "output_tokens_details"}} {
		if at(u, words[0]) != nil && at(u, words[1]) != nil {
			return true
		}
	}
	return false
}

// FuzzUsage holds FrameUsage against a tree, and TailUsage against FrameUsage: what an answer cost is the same,
// also when only its end is at hand.
func FuzzUsage(f *testing.F) {
	for _, frames := range oneOfEach() {
		for _, frame := range frames {
			f.Add([]byte(frame))
		}
	}
	for _, frame := range []string{
		`{"usage":{"prompt_tokens":11,"completion_tokens":7,"total_tokens":18,"prompt_tokens_details":{"cached_tokens":3},"completion_tokens_details":{"reasoning_tokens":2}}}`,
		`{"type":"response.completed","response":{"usage":{"input_tokens":1,"input_tokens_details":{"cached_tokens":1},"output_tokens":2,"output_tokens_details":{"reasoning_tokens":1}}}}`,
		`{"type":"message_start","message":{"usage":{"input_tokens":1,"cache_read_input_tokens":2,"cache_creation_input_tokens":3,"output_tokens":4}},"usage":{}}`,
		`{"usageMetadata":{"promptTokenCount":1,"candidatesTokenCount":2,"thoughtsTokenCount":3,"toolUsePromptTokenCount":4,"cachedContentTokenCount":5}}`,
		`{"usage":{"prompt_tokens":-1,"completion_tokens":1e3}}`, `{"usage":{"prompt_tokens":9007199254740992}}`, `{"us\u0061ge":{"prompt_tokens":1}}`, `{"usage":[{"prompt_tokens":1}]}`,
	} {
		f.Add([]byte(frame))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > answerDepth {
			return // where depth and the length of numbers have limits of their own
		}
		tree, ok := readValue(data).(object)
		if !ok || hasTwins(tree) {
			return
		}
		for _, format := range formats {
			got := format.FrameUsage(data)
			if diff := cmp.Diff(referenceUsage(format, tree), got); diff != "" && !saysTwice(format, tree) {
				t.Fatalf("format %d: usage of %q (-tree +got):\n%s", format, data, diff)
			}
			checkTail(t, format, data, got)
		}
	})
}

// checkTail cuts off more and more of an answer that has one usage, and reads what is left.
func checkTail(t *testing.T, f Format, data []byte, want Usage) {
	t.Helper()
	key := `"usage":`
	if f == Gemini {
		key = `"usageMetadata":`
	}
	var compact bytes.Buffer
	if json.Compact(&compact, data) != nil || strings.Contains(compact.String(), `\`) || strings.Count(compact.String(), key) != 1 || want == (Usage{}) {
		return
	}
	for from := range strings.Index(compact.String(), key) + 1 {
		if got := f.TailUsage(compact.Bytes()[from:]); got != want {
			t.Fatalf("format %d: usage of the end %q is %+v, of the whole %+v", f, compact.Bytes()[from:], got, want)
		}
	}
}
