// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/turnout-ai/turnout/test/interop/peekcorpus"
)

// rewritten is the body that Pieces sends.
func rewritten(t *testing.T, body, model string, usage bool) string {
	t.Helper()
	var f Facts
	if err := Peek([]byte(body), &f); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	var dst [MaxPieces][]byte
	return string(bytes.Join(f.Pieces(&dst, []byte(body), EncodeString(model), usage), nil))
}

func TestPieces(t *testing.T) {
	for _, tc := range []struct {
		name, body, want string
	}{
		{"stream_options are added in front", `{"model":"m","stream":true}`, `{"stream_options":{"include_usage":true},"model":"M","stream":true}`},
		{"white space stays where it was", " {\n \"model\" : \"m\" , \"stream\" : true }\n", " {\"stream_options\":{\"include_usage\":true},\n \"model\" : \"M\" , \"stream\" : true }\n"},
		{"stream_options that are null are replaced", `{"stream_options":null,"model":"m"}`, `{"stream_options":{"include_usage":true},"model":"M"}`},
		{"empty ones are filled", `{"stream_options":{ },"model":"m"}`, `{"stream_options":{"include_usage":true },"model":"M"}`},
		{"others are added to", `{"stream_options":{"include_obfuscation":false},"model":"m"}`, `{"stream_options":{"include_usage":true,"include_obfuscation":false},"model":"M"}`},
		{"also behind the model", `{"model":"m","stream_options":{"x":{}}}`, `{"model":"M","stream_options":{"include_usage":true,"x":{}}}`},
		{"a usage that is not wanted is wanted now", `{"model":"m","stream_options":{"include_usage":false,"x":1}}`, `{"model":"M","stream_options":{"include_usage":true,"x":1}}`},
		{"a usage that is null too", `{"stream_options":{"x":1,"include_usage": null },"model":"m"}`, `{"stream_options":{"x":1,"include_usage": true },"model":"M"}`},
		{"a usage that is wanted stays as it is", `{"stream_options":{"include_usage":true},"model":"m"}`, `{"stream_options":{"include_usage":true},"model":"M"}`},
		{"escaped keys are the same keys", `{"stream\u005foptions":{"include\u005fusage":false},"model":"m"}`, `{"stream\u005foptions":{"include\u005fusage":true},"model":"M"}`},
		{"a member of the same name elsewhere is another", `{"model":"m","metadata":{"stream_options":{"include_usage":false}}}`, `{"stream_options":{"include_usage":true},"model":"M","metadata":{"stream_options":{"include_usage":false}}}`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := rewritten(t, tc.body, "M", true); got != tc.want {
				t.Errorf("got  %s\nwant %s", got, tc.want)
			}
		})
	}
}

func TestPiecesWithoutUsageReplaceTheModelAlone(t *testing.T) {
	const body = `{"stream_options":{"include_usage":false},"model":"m","stream":true}`
	if got, want := rewritten(t, body, "M", false), `{"stream_options":{"include_usage":false},"model":"M","stream":true}`; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestPiecesAllocateNothing(t *testing.T) {
	body, model := []byte(`{"model":"m","stream":true}`), EncodeString("M")
	var f Facts
	var dst [MaxPieces][]byte
	if n := testing.AllocsPerRun(100, func() {
		if err := Peek(body, &f); err != nil {
			t.Fatal(err)
		}
		if pieces := f.Pieces(&dst, body, model, true); len(pieces) != MaxPieces {
			t.Fatal(pieces)
		}
	}); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

// FuzzPieces: whatever is sent instead of a body that was accepted is JSON again, asks for usage, and differs in
// nothing else but its model.
func FuzzPieces(f *testing.F) {
	for _, body := range peekcorpus.Seeds() {
		f.Add([]byte(body))
	}
	for _, body := range []string{
		`{"model":"m","stream":true}`, `{"stream_options":null,"model":"m"}`, `{"stream_options":{"include_usage":null},"model":"m"}`,
		` { "stream_options" : { } , "model":"m"}`, `{"model":"m","stream_options":{"a":1,"include_usage":false}}`,
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var facts Facts
		if Peek(body, &facts) != nil {
			return
		}
		before := bytes.Clone(body)
		var dst [MaxPieces][]byte
		sent := bytes.Join(facts.Pieces(&dst, body, EncodeString("gpt"), true), nil)
		if !bytes.Equal(body, before) {
			t.Fatalf("the body %q was changed", before)
		}
		var again Facts
		if err := Peek(sent, &again); err != nil || !again.IncludeUsage || string(again.Model) != "gpt" {
			t.Fatalf("%q became %q: %v, %+v", body, sent, err, again)
		}
		if diff := cmp.Diff(membersOf(t, body), membersOf(t, sent)); diff != "" {
			t.Fatalf("%q became %q (-before +after):\n%s", body, sent, diff)
		}
	})
}

// membersOf are the members of a body but those that are changed on the way.
func membersOf(t *testing.T, body []byte) map[string]json.RawMessage {
	t.Helper()
	var members, options map[string]json.RawMessage
	if err := json.Unmarshal(body, &members); err != nil {
		t.Fatalf("%q: %v", body, err)
	}
	if text, ok := members["stream_options"]; ok {
		if err := json.Unmarshal(text, &options); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
	}
	delete(members, "model")
	delete(members, "stream_options")
	delete(options, "include_usage")
	for name, value := range options {
		members["stream_options."+name] = value
	}
	return members
}
