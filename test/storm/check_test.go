// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package storm

import (
	"errors"
	"net/http"
	"strings"
	"testing"
)

// TestAnAnswerIsJudged does to answers what a proxy must not, one thing at a time.
func TestAnAnswerIsJudged(t *testing.T) {
	t.Parallel()
	callers, err := newCallers("127.0.0.1:1", 1)
	if err != nil {
		t.Fatal(err)
	}
	stream := streamAsk("a caller", 8, "")
	stream.usage = true
	stream.reference = []byte(strings.Replace(string(stream.reference), `"stream":true`, `"stream":true,"stream_options":{"include_usage":true}`, 1))
	plain := &ask{name: "a caller", path: chatPath, reference: []byte(strings.Replace(string(stream.reference), `"stream":true,"stream_options":{"include_usage":true},`, "", 1))}
	other := streamAsk("another caller", 8, "")
	interrupted := `data: {"error":{"message":"it broke off","type":"server_error","param":null,"code":"stream_interrupted"}}` + "\n\n"
	frame := func(text string, i int) string { return strings.SplitAfter(text, "\n\n")[i] }
	upTo := func(text string, n int) string { return strings.Join(strings.SplitAfter(text, "\n\n")[:n], "") }
	for name, c := range map[string]struct {
		ask  *ask
		with func(expected string) string
		err  error
		left bool
		want kind
	}{
		"a stream as it should be is whole":                    {stream, same, nil, false, whole},
		"another id, another time and a comment are no matter": {stream, func(s string) string { return ": ping\n\n" + strings.ReplaceAll(s, `"id":"chatcmpl-`, `"id":"x`) }, nil, false, whole},
		"a frame that comes twice is wrong":                    {stream, func(s string) string { return upTo(s, 4) + frame(s, 3) + s[len(upTo(s, 4)):] }, nil, false, wrong},
		"a frame that is missing is wrong":                     {stream, func(s string) string { return upTo(s, 3) + s[len(upTo(s, 4)):] }, nil, false, wrong},
		"two frames in each other's place are wrong":           {stream, func(s string) string { return upTo(s, 2) + frame(s, 3) + frame(s, 2) + s[len(upTo(s, 4)):] }, nil, false, wrong},
		"another caller's frame is wrong": {stream, func(s string) string {
			return upTo(s, 3) + frame(string(callers.expected(t.Context(), other)), 3) + s[len(upTo(s, 4)):]
		}, nil, false, wrong},
		"another caller's stream is wrong": {stream, func(string) string { return string(callers.expected(t.Context(), other)) }, nil, false, wrong},
		"the same from another attempt is wrong": {stream, func(s string) string {
			return upTo(s, 4) + strings.ReplaceAll(s[len(upTo(s, 4)):], `"id":"chatcmpl-`, `"id":"x`)
		}, nil, false, wrong},
		"a stream that just ends is wrong":                 {stream, func(s string) string { return upTo(s, 5) }, nil, false, wrong},
		"a stream that ends within a frame is wrong":       {stream, func(s string) string { return s[:len(s)-20] }, nil, false, wrong},
		"a stream whose connection breaks is wrong":        {stream, func(s string) string { return upTo(s, 5) }, errors.New("reset"), false, wrong},
		"a usage that was not asked for is wrong":          {streamAsk("a caller", 8, ""), func(string) string { return string(callers.expected(t.Context(), stream)) }, nil, false, wrong},
		"a stream that ends with our error event was cut":  {stream, func(s string) string { return upTo(s, 5) + interrupted }, nil, false, cut},
		"so was one that lacks only its usage and its end": {stream, func(s string) string { return upTo(s, strings.Count(s, "\n\n")-2) }, nil, false, cut},
		"one that lacks a finish reason too is wrong":      {stream, func(s string) string { return upTo(s, strings.Count(s, "\n\n")-3) }, nil, false, wrong},
		"an error event before any content is a failure":   {stream, func(s string) string { return upTo(s, 1) + interrupted }, nil, false, failed},
		"content behind the error event is wrong":          {stream, func(s string) string { return upTo(s, 5) + interrupted + frame(s, 5) }, nil, false, wrong},
		"an error event behind the end is wrong":           {stream, func(s string) string { return s + interrupted }, nil, false, wrong},
		"an error event of any other kind is wrong": {stream, func(s string) string {
			return upTo(s, 5) + strings.NewReplacer("stream_interrupted", "x", "server_error", "y").Replace(interrupted)
		}, nil, false, wrong},
		"a caller that left has the beginning":            {stream, func(s string) string { return s[:len(upTo(s, 4))+10] }, errors.New("canceled"), true, left},
		"a caller that left had something else":           {stream, func(s string) string { return frame(s, 0) + frame(s, 2) + frame(s, 3)[:9] }, errors.New("canceled"), true, wrong},
		"an answer in one piece as it should be is whole": {plain, same, nil, false, whole},
		"half an answer is wrong":                         {plain, func(s string) string { return s[:len(s)/2] }, nil, false, wrong},
		"another word in it is wrong":                     {plain, func(s string) string { return strings.Replace(s, `"content": "`, `"content": "Oh `, 1) }, nil, false, wrong},
		"something behind it is wrong":                    {plain, func(s string) string { return s + s }, nil, false, wrong},
		"other tokens are wrong":                          {plain, func(s string) string { return strings.Replace(s, `"prompt_tokens": `, `"prompt_tokens": 1`, 1) }, nil, false, wrong},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			expected := callers.expected(t.Context(), c.ask)
			text := c.with(string(expected))
			got := judge(c.ask, &answer{status: http.StatusOK, body: []byte(text), err: c.err, left: c.left}, expected)
			if got.kind != c.want {
				t.Errorf("%s (%s), want %s, of\n%s", kindNames[got.kind], got.detail, kindNames[c.want], text)
			}
		})
	}
}

func same(text string) string { return text }
