// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package wire

// Most tests are about OpenAI's format: these leave it out.

// Classify is OpenAI.Classify, in two parts.
func Classify(status int, body []byte) (Outcome, Usage) {
	v := OpenAI.Classify(status, body)
	return v.Outcome, v.Usage
}

// ClassifyErrorFrame is the outcome of OpenAI.ClassifyErrorFrame.
func ClassifyErrorFrame(data []byte) Outcome { return OpenAI.ClassifyErrorFrame(data).Outcome }

// ClassifyFrame is OpenAI.ClassifyFrame.
func ClassifyFrame(data []byte) (FrameKind, int) { return OpenAI.ClassifyFrame(data) }

// FrameUsage is OpenAI.FrameUsage.
func FrameUsage(data []byte) Usage { return OpenAI.FrameUsage(data) }

// TailUsage is OpenAI.TailUsage.
func TailUsage(tail []byte) Usage { return OpenAI.TailUsage(tail) }

// ContentSize is OpenAI.ContentSize.
func ContentSize(body []byte) int { return OpenAI.ContentSize(body) }

// EncodeError is OpenAI.EncodeError.
func EncodeError(dst []byte, e ErrorBody) []byte { return OpenAI.EncodeError(dst, e) }

// EncodeErrorEvent is OpenAI.EncodeErrorEvent.
func EncodeErrorEvent(dst []byte, e ErrorBody) []byte { return OpenAI.EncodeErrorEvent(dst, e) }
