// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"runtime"
	"strings"
	"testing"
)

// hostile are answers of a megabyte, made to cost much.
func hostile() map[string]string {
	const size = 1 << 20
	repeat := func(before, unit, after string) string {
		return before + strings.Repeat(unit, size/len(unit)) + after
	}
	return map[string]string{
		"a long message":              repeat(`{"error":{"message":"`, "x", `"}}`),
		"a message of escapes":        repeat(`{"error":{"message":"`, `\u00e4`, `"}}`),
		"a message of quotes":         repeat(`{"error":{"message":"`, `\"`, `"}}`),
		"a code of escapes":           repeat(`{"error":{"code":"`, `\u0078`, `"}}`),
		"many messages":               repeat(`{"error":{`, `"m\u0065ssage":"\u0078`+strings.Repeat("y", 600)+`",`, `"code":1}}`),
		"many errors":                 repeat(`{`, `"error":{"message":"\u0078y","param":"\u0078y"},`, `"x":1}`),
		"many violations":             repeat(`{"detail":[`, `{"type":"\u0078y","loc":["body","\u0078y"]},`, `{}]}`),
		"a long location":             repeat(`{"detail":[{"loc":[`, `"\u0078y",`, `"z"]}]}`),
		"many details":                repeat(`{"error":{"details":[`, `{"reason":"\u0078y","retryDelay":"1s"},`, `{}]}}`),
		"deep lists":                  repeat(``, `[`, ``),
		"deep objects":                repeat(``, `{"error":`, ``),
		"deep lists, with their ends": strings.Repeat(`[`, size/2) + strings.Repeat(`]`, size/2),
		"many choices":                repeat(`{"choices":[`, `{"finish_reason":"error","error":{"message":"\u0078"}},`, `{}]}`),
		"many usages":                 repeat(`{`, `"usage":{"prompt_tokens":1},`, `"x":1}`),
		"numbers":                     repeat(`{"usage":{"prompt_tokens":1`, `0`, `}}`),
		"blanks":                      repeat(`{"error":`, " \t\r\n", `{"message":"x"}}`),
		"nothing that is JSON":        repeat(``, "<html>", ``),
	}
}

// What a provider sends is judged in little room, however long it is: answers are read by the thousand.
func TestJudgingTakesLittleRoom(t *testing.T) {
	const calls, most = 8, 16 << 10
	for name, text := range hostile() {
		body := []byte(text)
		for _, format := range formats {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			for _, status := range []int{200, 400, 429} {
				_ = format.Classify(status, body)
			}
			_, _ = format.ClassifyFrame(body)
			_ = format.ClassifyErrorFrame(body)
			_ = format.FrameUsage(body)
			_ = format.TailUsage(body)
			_ = format.ContentSize(body)
			runtime.ReadMemStats(&after)
			if took := after.TotalAlloc - before.TotalAlloc; took > calls*most {
				t.Errorf("%s, format %d: %d bytes for %d", name, format, took, len(body))
			}
		}
	}
}
