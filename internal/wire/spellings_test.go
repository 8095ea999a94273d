// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

// speller writes a JSON value in another of its many spellings: with escapes and white space where there need
// be none, and the members of its objects in another order.
type speller struct {
	strings.Builder
	random *rand.Rand
}

func (s *speller) space() {
	for s.random.IntN(4) == 0 {
		s.WriteByte(" \t\r\n"[s.random.IntN(4)])
	}
}

func (s *speller) text(text string) {
	s.WriteByte('"')
	for _, r := range text {
		switch {
		case r > 0xffff && s.random.IntN(2) == 0:
			fmt.Fprintf(s, `\u%04x\u%04X`, 0xd800+(r-0x10000)>>10, 0xdc00+(r-0x10000)&0x3ff)
		case r <= 0xffff && (r < ' ' || r == '"' || r == '\\' || s.random.IntN(3) == 0):
			fmt.Fprintf(s, `\u%04x`, r)
		default:
			s.WriteRune(r)
		}
	}
	s.WriteByte('"')
}

func (s *speller) value(v any) {
	s.space()
	switch v := v.(type) {
	case object:
		s.WriteByte('{')
		for i, at := range s.random.Perm(len(v)) {
			if i > 0 {
				s.WriteByte(',')
			}
			s.space()
			s.text(v[at].key)
			s.space()
			s.WriteByte(':')
			s.value(v[at].value)
		}
		s.space()
		s.WriteByte('}')
	case []any:
		s.WriteByte('[')
		for i, element := range v {
			if i > 0 {
				s.WriteByte(',')
			}
			s.value(element)
		}
		s.space()
		s.WriteByte(']')
	case string:
		s.text(v)
	case nil:
		s.WriteString("null")
	default:
		fmt.Fprint(s, v)
	}
	s.space()
}

// respelled is body in another spelling; false when it has none that means the same to everybody.
func respelled(body []byte, seed uint64) ([]byte, bool) {
	if !utf8.Valid(body) || bytes.Contains(body, []byte(`\u`)) {
		return nil, false // half a surrogate pair is read in many ways
	}
	v := readValue(body)
	switch v.(type) {
	case object, []any:
	default:
		return nil, false
	}
	if hasTwins(v) {
		return nil, false
	}
	s := speller{random: rand.New(rand.NewPCG(seed, 0))}
	s.value(v)
	return []byte(s.String()), true
}

// hasTwins reports whether a member is given twice somewhere: then their order matters.
func hasTwins(v any) bool {
	switch v := v.(type) {
	case object:
		seen := map[string]bool{}
		return slices.ContainsFunc(v, func(m member) bool {
			twin := seen[m.key]
			seen[m.key] = true
			return twin || hasTwins(m.value)
		})
	case []any:
		return slices.ContainsFunc(v, hasTwins)
	}
	return false
}

// understanding is everything that is made of an answer, or of a frame.
type understanding struct {
	Kind          FrameKind
	Size          int
	Frame, Answer Verdict
	Usage         Usage
}

func understand(f Format, status int, body []byte) understanding {
	kind, size := f.ClassifyFrame(body)
	if !json.Valid(body) || bytes.TrimSpace(body)[0] != '{' {
		size = 0 // such data counts by its length
	}
	return understanding{kind, size, f.ClassifyErrorFrame(body), f.Classify(status, body), f.FrameUsage(body)}
}

var formats = []Format{OpenAI, Responses, Anthropic, Gemini}

func checkSpelling(t *testing.T, f Format, status int, body []byte, seed uint64) {
	t.Helper()
	got := understand(f, status, body)
	if got.Answer.Outcome == Success && !json.Valid(body) {
		t.Fatalf("%q is a success, but not JSON", body)
	}
	if got.Answer.Outcome < Success || got.Answer.Outcome > ClientError || got.Frame.Outcome < Success || got.Frame.Outcome > ClientError || len(got.Answer.Param) > maxWord {
		t.Fatalf("%q: %+v", body, got)
	}
	other, ok := respelled(body, seed)
	if !ok {
		return
	}
	if diff := cmp.Diff(got, understand(f, status, other)); diff != "" {
		t.Fatalf("format %d, status %d: %s\nas       %s\ndiffers:\n%s", f, status, body, other, diff)
	}
}

func TestSpellingsMeanTheSame(t *testing.T) {
	for format, cases := range allCases {
		for i, c := range cases {
			status := c.status
			if status == 0 {
				status = 200
			}
			for seed := range uint64(20) {
				checkSpelling(t, format, status, []byte(c.body), seed<<8|uint64(i))
			}
		}
	}
	for format, frames := range oneOfEach() {
		for _, frame := range frames {
			for seed := range uint64(100) {
				checkSpelling(t, format, 200, []byte(frame), seed)
			}
		}
	}
}

// FuzzErrors: no answer of any provider panics, and equal answers mean the same however they are spelled.
func FuzzErrors(f *testing.F) {
	for _, cases := range allCases {
		for _, c := range cases {
			f.Add(uint16(c.status), []byte(c.body), uint64(len(c.body)))
		}
	}
	f.Fuzz(func(t *testing.T, status uint16, body []byte, seed uint64) {
		if len(body) > 4096 {
			return // where depth and the length of numbers have limits of their own
		}
		for _, format := range formats {
			checkSpelling(t, format, 100+int(status%500), body, seed)
		}
	})
}

// FuzzAnswers is FuzzErrors for what is no error.
func FuzzAnswers(f *testing.F) {
	for _, frames := range oneOfEach() {
		for i, frame := range frames {
			f.Add([]byte(frame), uint64(i))
		}
	}
	f.Add([]byte(`{"content":`), uint64(0))
	f.Add([]byte(`{"type":"`+strings.Repeat("x", 2*maxWord)+`","candidates":[{"finishReason":"`+strings.Repeat("X", 2*maxWord)+`"}]}`), uint64(1))
	f.Add([]byte(`{"type":"`+strings.Repeat("x", 2*maxWord)+`","error":{"type":"x"}}`), uint64(2))
	f.Fuzz(func(t *testing.T, body []byte, seed uint64) {
		if len(body) > 4096 {
			return
		}
		for _, format := range formats {
			checkSpelling(t, format, 200, body, seed)
			if size := format.ContentSize(body); size < 0 || size > 4*len(body)+4 {
				t.Fatalf("the content of %q has size %d", body, size)
			}
			_ = format.TailUsage(body)
		}
	})
}
