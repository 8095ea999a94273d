// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package wire

import "unicode/utf8"

// ErrorBody is an error in OpenAI's shape. Empty Param and Code are written as null.
type ErrorBody struct {
	// Message is a sentence for people.
	Message string
	// Type and Code are words for programs (invalid_request_error, model_not_found).
	Type, Code string
	// Param is the path of the request field that the error is about.
	Param string
}

// EncodeError appends {"error":{"message","type","param","code"}} to dst, as OpenAI's Error schema has it.
func EncodeError(dst []byte, e ErrorBody) []byte {
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

// EncodeErrorEvent appends the event that ends a stream with an error. OpenAI's clients raise it when they
// meet an event whose data has an error member.
func EncodeErrorEvent(dst []byte, e ErrorBody) []byte {
	dst = append(dst, "data: "...)
	dst = EncodeError(dst, e)
	return append(dst, "\n\n"...)
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
