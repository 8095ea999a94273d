// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"fmt"
	"strings"
	"testing"
)

func chatBody(size int) []byte {
	words := strings.Repeat("The quick brown fox jumps over the lazy dog, and then it does it again. ", size/70+1)
	head := `{"model":"chat","temperature":0.7,"stream":true,"max_tokens":256,"messages":[` +
		`{"role":"system","content":"You are a helpful assistant.\nAnswer briefly."},{"role":"user","content":"`
	tail := `"}]}`
	return []byte(head + words[:size-len(head)-len(tail)] + tail)
}

func dataURLBody(size int) []byte {
	return []byte(`{"model":"chat","messages":[{"role":"user","content":[{"type":"text","text":"What is this?"},` +
		`{"type":"image_url","image_url":{"url":"data:image/png;base64,` + strings.Repeat("iVBORw0KGgoAAAAN", size/16) + `"}}]}]}`)
}

func benchmarkPeek(b *testing.B, body []byte) {
	b.Helper()
	var f Facts
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if err := Peek(body, &f); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPeek(b *testing.B) {
	for _, size := range []int{1 << 10, 100 << 10} {
		b.Run(fmt.Sprintf("chat of %d KB", size>>10), func(b *testing.B) { benchmarkPeek(b, chatBody(size)) })
	}
	b.Run("data URL of 10 MB", func(b *testing.B) { benchmarkPeek(b, dataURLBody(10<<20)) })
	b.Run("100 KB of Chinese", func(b *testing.B) {
		benchmarkPeek(b, []byte(`{"model":"chat","input":"`+strings.Repeat("道可道非常道名可名非常名", 2900)+`"}`))
	})
	b.Run("array of 8192 tokens", func(b *testing.B) {
		benchmarkPeek(b, []byte(`{"model":"chat","input":[`+strings.Repeat("12345,", 8191)+`1]}`))
	})
}
