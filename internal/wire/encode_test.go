// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestEncodeError(t *testing.T) {
	for _, tc := range []struct {
		name string
		err  ErrorBody
		want string
	}{
		{"all members are written", ErrorBody{Message: "No.", Type: "invalid_request_error", Param: "model", Code: "model_not_found"}, `{"error":{"message":"No.","type":"invalid_request_error","param":"model","code":"model_not_found"}}`},
		{"without a param and a code they are null", ErrorBody{Message: "No.", Type: "server_error"}, `{"error":{"message":"No.","type":"server_error","param":null,"code":null}}`},
		{"quotes are escaped", ErrorBody{Message: `"stream" must be a \`}, `{"error":{"message":"\"stream\" must be a \\","type":"","param":null,"code":null}}`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := string(EncodeError([]byte("x"), tc.err)); got != "x"+tc.want {
				t.Errorf("got  %s\nwant x%s", got, tc.want)
			}
			if got := string(EncodeErrorEvent(nil, tc.err)); got != "data: "+tc.want+"\n\n" {
				t.Errorf("event %q", got)
			}
		})
	}
}

func TestAnErrorEventIsOneFrameWhateverItSays(t *testing.T) {
	events, err := cut(string(EncodeErrorEvent(nil, ErrorBody{Message: "a\n\ndata: b\r\r\u2028c", Code: "x\ry"})))
	if err != nil || len(events) != 1 {
		t.Fatalf("%d events, %v; want one", len(events), err)
	}
	if kind, _ := ClassifyFrame([]byte(events[0].Data)); kind != Failed {
		t.Errorf("kind %04b, want an error", kind)
	}
}

func TestErrorsInEachFormat(t *testing.T) {
	e := ErrorBody{Message: "It broke off.", Type: "server_error", Code: "stream_interrupted"}
	for _, tc := range []struct {
		name      string
		format    Format
		wantBody  string
		wantEvent string
	}{
		{
			"OpenAI", OpenAI,
			`{"error":{"message":"It broke off.","type":"server_error","param":null,"code":"stream_interrupted"}}`,
			"data: {\"error\":{\"message\":\"It broke off.\",\"type\":\"server_error\",\"param\":null,\"code\":\"stream_interrupted\"}}\n\n",
		},
		{
			"responses have OpenAI's errors, and an event of their own", Responses,
			`{"error":{"message":"It broke off.","type":"server_error","param":null,"code":"stream_interrupted"}}`,
			"event: error\ndata: {\"type\":\"error\",\"code\":\"stream_interrupted\",\"message\":\"It broke off.\",\"param\":null,\"sequence_number\":0}\n\n",
		},
		{
			"Anthropic", Anthropic,
			`{"type":"error","error":{"type":"api_error","message":"It broke off."}}`,
			"event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"api_error\",\"message\":\"It broke off.\"}}\n\n",
		},
		{
			"Gemini", Gemini,
			`{"error":{"code":500,"message":"It broke off.","status":"INTERNAL"}}`,
			"data: {\"error\":{\"code\":500,\"message\":\"It broke off.\",\"status\":\"INTERNAL\"}}\n\n",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := string(tc.format.EncodeError(nil, e)); got != tc.wantBody {
				t.Errorf("got  %s\nwant %s", got, tc.wantBody)
			}
			event := tc.format.EncodeErrorEvent(nil, e)
			if string(event) != tc.wantEvent {
				t.Errorf("got  %s\nwant %s", event, tc.wantEvent)
			}
			events, err := cut(string(event))
			if err != nil || len(events) != 1 {
				t.Fatalf("%d events, %v; want one", len(events), err)
			}
			if kind, _ := tc.format.ClassifyFrame([]byte(events[0].Data)); kind != Failed {
				t.Errorf("kind %07b, want an error", kind)
			}
		})
	}
}

// What an error means survives from one format to the next.
func TestTypesOfErrorsAreThoseOfEachFormat(t *testing.T) {
	for _, words := range errorTypes {
		e := ErrorBody{Message: "No.", Type: words.openAI}
		status := words.status
		for _, format := range formats {
			v := format.ClassifyErrorFrame(format.EncodeError(nil, e))
			if want := OpenAI.Classify(status, EncodeError(nil, e)).Outcome; v.Outcome != want {
				t.Errorf("%s is %v in format %d, want %v", words.openAI, v.Outcome, format, want)
			}
		}
	}
	if wordsFor("something") != &errorTypes[0] {
		t.Error("an unknown type is not a server's error")
	}
}

func TestEncodingAllocatesNothing(t *testing.T) {
	dst := make([]byte, 0, 512)
	e := ErrorBody{Message: "the key \"ü\"\n", Type: "t", Param: strings.Repeat("p", 64), Code: "c"}
	if n := testing.AllocsPerRun(100, func() { dst = EncodeErrorEvent(dst[:0], e) }); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
	for _, format := range formats {
		if n := testing.AllocsPerRun(100, func() { dst = format.EncodeErrorEvent(dst[:0], e) }); n != 0 {
			t.Errorf("%v allocations in format %d, want none", n, format)
		}
	}
	text := []byte(e.Message + strings.Repeat("é", 64))
	if n := testing.AllocsPerRun(100, func() { dst = AppendString(dst[:0], text) }); n != 0 {
		t.Errorf("%v allocations for bytes, want none", n)
	}
}

func FuzzAppendString(f *testing.F) {
	f.Add("")
	f.Add("gpt-4o")
	f.Add("a\"\\\n\t\r\x00\x1f\x7f\u2028\u2029é道😀\xff\xed\xa0\x80\ufffd")
	f.Fuzz(func(t *testing.T, s string) {
		text := AppendString(nil, s)
		if bytesText := AppendString(nil, []byte(s)); string(bytesText) != string(text) {
			t.Fatalf("%q as bytes, %q as a string", bytesText, text)
		}
		var got string
		if err := json.Unmarshal(text, &got); err != nil || got != string([]rune(s)) {
			t.Fatalf("%s reads as %q, %v; want %q", text, got, err, s)
		}
		if !utf8.Valid(text) || strings.ContainsAny(string(text), "\r\n\u2028\u2029") {
			t.Fatalf("%q could end a line", text)
		}
	})
}
