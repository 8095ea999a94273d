// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"bytes"
	"strconv"
)

// Usage is what an answer cost, in tokens; zero where the provider does not say. Input includes CachedInput,
// Output includes Reasoning.
type Usage struct {
	Input, Output, CachedInput, Reasoning int64
}

// apiError is the error that an answer carries, in the shapes of OpenAI and of servers that speak like it.
type apiError struct {
	// present is true when the answer has an error in one of those shapes.
	present bool
	// kind is the error's type. message may also be a text that is no error in those shapes ({"detail":…}),
	// for rows that recognise one by it. All are unescaped only where that costs nothing.
	kind, code, param, message []byte
	// status is the code when that is a status, as OpenRouter and vLLM have it; 0 when it is not.
	status int
}

// answerLook is one look at a whole answer, or at the last frame of a stream.
type answerLook struct {
	scanner
	usage Usage
	err   apiError
	// outer is the answer's own members, which are the error in vLLM's older shape.
	outer apiError
}

// lookAt looks at a JSON object; false when body is something else, or more.
func lookAt(body []byte) (l answerLook, valid bool) {
	l.scanner = scanner{b: body, maxDepth: answerDepth, lenient: true}
	if l.space() != '{' || !l.answer() || !l.ended() {
		return answerLook{}, false
	}
	if !l.err.present {
		l.err = l.outer
	}
	return l, true
}

// FrameUsage reads the usage of a frame whose kind has WithUsage.
func FrameUsage(data []byte) Usage {
	l, valid := lookAt(data)
	if !valid {
		return Usage{}
	}
	return l.usage
}

// ContentSize is how much text a whole answer brings, or the part of one that arrived, in quarters of a token:
// what it is estimated by when its provider does not say what it used.
func ContentSize(body []byte) int {
	l := frameLook{scanner: scanner{b: body, maxDepth: answerDepth, lenient: true}}
	if l.space() != '{' || !l.open() {
		return 0
	}
	for first := true; l.member(&first); {
		if string(l.key) != keyChoices || l.peekByte() != '[' {
			if !l.value() {
				break
			}
			continue
		}
		if !l.messages() {
			break
		}
	}
	return l.size
}

// messages adds up the messages and texts of choices.
func (l *frameLook) messages() bool {
	if !l.open() {
		return false
	}
	for first := true; l.element(&first); {
		if l.peekByte() != '{' || !l.open() {
			return false
		}
		for first := true; l.member(&first); {
			ok := false
			switch string(l.key) {
			case keyMessage:
				ok = l.message()
			case keyText:
				_, ok = l.hollow()
			default:
				ok = l.value()
			}
			if !ok {
				return false
			}
		}
		if l.fault != "" {
			return false
		}
	}
	return l.fault == ""
}

// message adds up everything in a message but who speaks.
func (l *frameLook) message() bool {
	if l.peekByte() != '{' {
		return l.value()
	}
	if !l.open() {
		return false
	}
	for first := true; l.member(&first); {
		ok := false
		if string(l.key) == "role" {
			ok = l.value()
		} else {
			_, ok = l.hollow()
		}
		if !ok {
			return false
		}
	}
	return l.fault == ""
}

// TailUsage reads the usage of an answer of which only the end is at hand: providers write it last. It is zero
// when the end does not hold it whole.
func TailUsage(tail []byte) Usage {
	const key = `"usage":`
	at := bytes.LastIndex(tail, []byte(key))
	if at < 0 {
		return Usage{}
	}
	return FrameUsage(append([]byte{'{'}, tail[at:]...))
}

// answer walks over the members of an answer. Keys are compared as they are written: no provider is known
// to escape them.
func (l *answerLook) answer() bool {
	if !l.open() {
		return false
	}
	for first := true; l.member(&first); {
		if !l.answerMember() {
			return false
		}
	}
	return l.fault == ""
}

// answerMember reads the members that say what an answer is and what it cost, and skips the rest.
func (l *answerLook) answerMember() bool {
	c := l.peekByte()
	switch string(l.key) {
	case "usage":
		if c == '{' {
			return l.tokens()
		}
	case keyChoices:
		if c == '[' {
			return l.choices()
		}
	case keyError:
		return l.errorMember(c)
	case "object":
		ok := l.value()
		l.outer.present = l.outer.present || c == '"' && string(l.raw) == keyError
		return ok
	case keyMessage, "detail", keyType, "code", "param":
		return l.errorDetail(&l.outer)
	}
	return l.value()
}

// errorMember reads the error, which is an object, or a sentence alone.
func (l *answerLook) errorMember(c byte) bool {
	switch c {
	case '{':
		l.err.present = true
		if !l.open() {
			return false
		}
		for first := true; l.member(&first); {
			if !l.errorDetail(&l.err) {
				return false
			}
		}
		return l.fault == ""
	case '"':
		ok := l.str()
		l.err.message = l.raw
		l.err.present = l.err.present || len(l.raw) > 0
		return ok
	case 'n', 'f':
		return l.value()
	}
	l.err.present = true
	return l.value()
}

// errorDetail reads one member of an error. Values that are not strings are kept as JSON text.
func (l *answerLook) errorDetail(e *apiError) bool {
	name, c, start := string(l.key), l.peekByte(), l.i
	if !l.value() {
		return false
	}
	text := l.b[start:l.i]
	if c == '"' {
		text = l.raw
	}
	switch name {
	case keyMessage, "detail":
		e.message = text
	case keyType:
		e.kind = text
	case "param":
		e.param = text
	case "code":
		e.code = text
		if n, err := strconv.Atoi(string(text)); err == nil && n >= 400 && n < 600 {
			e.status = n
		}
	}
	return true
}

// choices looks for a choice that is an error instead of an answer.
func (l *answerLook) choices() bool {
	if !l.open() {
		return false
	}
	for first := true; l.element(&first); {
		if l.peekByte() != '{' {
			if !l.value() {
				return false
			}
			continue
		}
		if !l.choice() {
			return false
		}
	}
	return l.fault == ""
}

// choice walks over one choice. OpenRouter puts an error of the provider behind it there.
func (l *answerLook) choice() bool {
	if !l.open() {
		return false
	}
	for first := true; l.member(&first); {
		c, ok := l.peekByte(), false
		switch string(l.key) {
		case keyError:
			ok = l.errorMember(c)
		case "finish_reason":
			ok = l.value()
			l.err.present = l.err.present || c == '"' && string(l.raw) == keyError
		default:
			ok = l.value()
		}
		if !ok {
			return false
		}
	}
	return l.fault == ""
}

// tokens reads a usage object. The names are those of chat and completions, and those of responses.
func (l *answerLook) tokens() bool {
	if !l.open() {
		return false
	}
	for first := true; l.member(&first); {
		ok := false
		switch string(l.key) {
		case "prompt_tokens", "input_tokens":
			ok = l.count(&l.usage.Input)
		case "completion_tokens", "output_tokens":
			ok = l.count(&l.usage.Output)
		case "prompt_tokens_details", "input_tokens_details":
			ok = l.detail("cached_tokens", &l.usage.CachedInput)
		case "completion_tokens_details", "output_tokens_details":
			ok = l.detail("reasoning_tokens", &l.usage.Reasoning)
		default:
			ok = l.value()
		}
		if !ok {
			return false
		}
	}
	return l.fault == ""
}

// detail reads one count of an object of them.
func (l *answerLook) detail(name string, n *int64) bool {
	if l.peekByte() != '{' {
		return l.value()
	}
	if !l.open() {
		return false
	}
	for first := true; l.member(&first); {
		if string(l.key) != name {
			if !l.value() {
				return false
			}
		} else if !l.count(n) {
			return false
		}
	}
	return l.fault == ""
}

// count reads a number of tokens. What is no plain, possible number leaves n as it is: usage is accounting,
// and an answer is not refused because of it.
func (l *answerLook) count(n *int64) bool {
	start := l.i
	if !l.value() {
		return false
	}
	var sum int64
	for _, c := range l.b[start:l.i] {
		if sum = sum*10 + int64(c-'0'); !isDigit(c) || sum > maxInteger {
			return true
		}
	}
	*n = sum
	return true
}
