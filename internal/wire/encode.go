// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"strconv"
	"unicode/utf8"
)

// ErrorBody is an error in OpenAI's shape. Empty Param and Code are written as null.
type ErrorBody struct {
	// Message is a sentence for people.
	Message string
	// Type and Code are words for programs (invalid_request_error, model_not_found).
	Type, Code string
	// Param is the path of the request field that the error is about.
	Param string
}

// encodeOpenAIError appends {"error":{"message","type","param","code"}} to dst, as OpenAI's Error schema has it.
func encodeOpenAIError(dst []byte, e ErrorBody) []byte {
	dst = append(dst, `{"error":{"message":`...)
	dst = AppendString(dst, e.Message)
	dst = append(dst, `,"type":`...)
	dst = AppendString(dst, e.Type)
	dst = append(dst, `,"param":`...)
	dst = appendStringOrNull(dst, e.Param)
	dst = append(dst, `,"code":`...)
	dst = appendStringOrNull(dst, e.Code)
	return append(dst, `}}`...)
}

// EncodeError appends the error as the format's providers answer with it.
func (f Format) EncodeError(dst []byte, e ErrorBody) []byte {
	switch f {
	case Anthropic:
		dst = append(dst, `{"type":"error","error":{"type":`...)
		dst = AppendString(dst, wordsFor(e.Type).anthropic)
		dst = append(dst, `,"message":`...)
		dst = AppendString(dst, e.Message)
		return append(dst, `}}`...)
	case Gemini:
		words := wordsFor(e.Type)
		dst = append(dst, `{"error":{"code":`...)
		dst = strconv.AppendInt(dst, int64(words.status), 10)
		dst = append(dst, `,"message":`...)
		dst = AppendString(dst, e.Message)
		dst = append(dst, `,"status":`...)
		dst = AppendString(dst, words.google)
		return append(dst, `}}`...)
	default:
		return encodeOpenAIError(dst, e)
	}
}

// EncodeErrorEvent appends the event that ends a stream with an error, as the format's clients understand it.
// Nothing follows it: a marker that the answer is complete would be a lie.
func (f Format) EncodeErrorEvent(dst []byte, e ErrorBody) []byte {
	switch f {
	case Responses:
		// The schema wants a number; the events before have had smaller ones, or none that anybody checks.
		dst = append(dst, "event: error\ndata: {\"type\":\"error\",\"code\":"...)
		dst = appendStringOrNull(dst, e.Code)
		dst = append(dst, `,"message":`...)
		dst = AppendString(dst, e.Message)
		dst = append(dst, `,"param":`...)
		dst = appendStringOrNull(dst, e.Param)
		return append(dst, ",\"sequence_number\":0}\n\n"...)
	case Anthropic:
		dst = append(dst, "event: error\n"...)
	case OpenAI, Gemini:
	}
	dst = append(dst, "data: "...)
	dst = f.EncodeError(dst, e)
	return append(dst, "\n\n"...)
}

// errorWords are an error's type as each format says it.
type errorWords struct {
	openAI, anthropic, google string
	status                    int
}

// errorTypes are the types of ErrorBody. The first stands for those that are not listed.
var errorTypes = []errorWords{
	{"server_error", "api_error", "INTERNAL", 500},
	{typeInvalid, typeInvalid, googleInvalid, 400},
	{typeAuthentication, typeAuthentication, "UNAUTHENTICATED", 401},
	{typePermission, typePermission, "PERMISSION_DENIED", 403},
	{typeNotFound, typeNotFound, "NOT_FOUND", 404},
	{typeRateLimit, typeRateLimit, googleExhausted, 429},
}

func wordsFor(openAI string) *errorWords {
	for i := range errorTypes {
		if errorTypes[i].openAI == openAI {
			return &errorTypes[i]
		}
	}
	return &errorTypes[0]
}

// EncodeString returns s as a JSON string, quotes included: what to put between Facts.Before and Facts.After.
func EncodeString(s string) []byte {
	return AppendString(make([]byte, 0, len(s)+2), s)
}

func appendStringOrNull(dst []byte, s string) []byte {
	if s == "" {
		return append(dst, "null"...)
	}
	return AppendString(dst, s)
}

// AppendString appends s as a JSON string, quotes included. What is not valid UTF-8 becomes U+FFFD. Control
// characters and the line separators of Unicode are escaped, so that a string can never end the line of the
// stream or log that it is written to.
func AppendString[T string | []byte](dst []byte, s T) []byte {
	dst = append(dst, '"')
	done := 0
	for i := 0; i < len(s); {
		if c := s[i]; c < utf8.RuneSelf && c >= ' ' && c != '"' && c != '\\' && c != 0x7f {
			i++
			continue
		}
		// A conversion of so few bytes does not allocate.
		r, n := utf8.DecodeRuneInString(string(s[i:min(i+utf8.UTFMax, len(s))]))
		if mustEscape(r, n) {
			dst = append(dst, s[done:i]...)
			dst = appendEscape(dst, r)
			done = i + n
		}
		i += n
	}
	dst = append(dst, s[done:]...)
	return append(dst, '"')
}

// mustEscape reports whether a rune that took n bytes cannot stand in a string as it is.
func mustEscape(r rune, n int) bool {
	switch {
	case r < utf8.RuneSelf:
		return true
	case r == utf8.RuneError:
		return n == 1
	default:
		return r == '\u2028' || r == '\u2029'
	}
}

func appendEscape(dst []byte, r rune) []byte {
	const hex = "0123456789abcdef"
	switch r {
	case '"', '\\':
		return append(dst, '\\', byte(r))
	case '\n':
		return append(dst, `\n`...)
	case '\t':
		return append(dst, `\t`...)
	}
	return append(dst, '\\', 'u', hex[r>>12&0xf], hex[r>>8&0xf], hex[r>>4&0xf], hex[r&0xf])
}
