// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package wire

import "testing"

func TestHasEffects(t *testing.T) {
	for body, want := range map[string]bool{
		`{"model":"m"}`: false,
		`{"model":"m","store":false,"background":false}`:            false,
		`{"model":"m","store":true}`:                                true,
		`{"model":"m","background":true}`:                           true,
		`{"model":"m","previous_response_id":"r"}`:                  true,
		`{"model":"m","previous_response_id":null}`:                 false,
		`{"model":"m","conversation":{"id":"c"}}`:                   true,
		`{"model":"m","web_search_options":{}}`:                     true,
		`{"model":"m","tools":[{"type":"function","function":{}}]}`: false,
		`{"model":"m","tools":[{"type":"web_search"}]}`:             true,
	} {
		var f Facts
		if err := Peek([]byte(body), &f); err != nil {
			t.Fatalf("%s: %v", body, err)
		}
		if got := f.HasEffects(); got != want {
			t.Errorf("%s: HasEffects() = %v, want %v", body, got, want)
		}
		if f.Reset(); f.HasEffects() || f.Model != nil {
			t.Errorf("%s: Reset leaves facts behind", body)
		}
	}
}

func TestTailUsage(t *testing.T) {
	for tail, want := range map[string]Usage{
		`0.1]}],"model":"m","usage":{"prompt_tokens":7,"total_tokens":7}}`:             {Input: 7},
		`0.1]}],"usage":{"prompt_tokens":7,"completion_tokens":2},"model":"m"}` + "\n": {Input: 7, Output: 2},
		`"usage":{"prompt_tokens":1}, "x":1} ... "usage":{"prompt_tokens":3}}`:         {Input: 3},
		`0.1,0.2]}]}`:                        {},
		`0.1]}],"usage":{"prompt_tokens":7,`: {},
		``:                                   {},
	} {
		if got := TailUsage([]byte(tail)); got != want {
			t.Errorf("TailUsage(%q) = %+v, want %+v", tail, got, want)
		}
	}
}
