// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package wire

import "bytes"

// FrameKind is a set of things that a frame of a stream is. The zero value is Lifecycle.
type FrameKind uint8

// Lifecycle is a frame that carries nothing for the reader: it is held until there is content, and dropped
// with an attempt that fails before.
const Lifecycle FrameKind = 0

// The members of a FrameKind.
const (
	// Content commits the stream.
	Content FrameKind = 1 << iota
	// Terminal says that the answer is complete ([DONE] or a finish_reason). It commits the stream too: an
	// answer without content is an answer.
	Terminal
	// Failed carries an error; before content, ClassifyErrorFrame says what it means for the attempt.
	Failed
	// WithUsage has a usage object; FrameUsage reads it.
	WithUsage
)

// ClassifyFrame says what the data of one frame of an OpenAI stream (chat or completions) is. Lifecycle is a
// closed list: no data, a ping, empty choices whatever stands beside them (prompt_filter_results, usage),
// and choices whose delta has a role, or members that are empty. Every other frame is content, also those
// that are not JSON: a frame that nobody knows may have had effects.
//
// size is how much text the frame brings, in quarters of a token: what the answer is estimated by when its
// provider does not say what it used.
func ClassifyFrame(data []byte) (kind FrameKind, size int) {
	data = bytes.Trim(data, " \t\r\n")
	switch {
	case len(data) == 0:
		return Lifecycle, 0
	case string(data) == "[DONE]":
		return Terminal, 0
	case data[0] != '{':
		return Content, len(data)
	}
	l := frameLook{scanner: scanner{b: data, maxDepth: answerDepth, lenient: true}}
	if !l.frame() || !l.ended() || !l.known {
		return Content, l.size
	}
	return l.kind, l.size
}

// frameLook is one look at a frame.
type frameLook struct {
	scanner
	kind FrameKind
	// known is true when a member says what the frame is.
	known bool
	// size adds up the strings of what was added to the answer, in quarters of a token.
	size  int
	names [maxKey]byte
}

// name is the last key, unescaped; a key too long to be of interest comes as it is.
func (l *frameLook) name() []byte {
	if !l.keyEscaped || len(l.key) > len(l.names) {
		return l.key
	}
	return unescape(l.names[:0], l.key)
}

// is reads the value at hand, and reports whether it is the string s.
func (l *frameLook) is(s string) (equal, ok bool) {
	if l.peekByte() != '"' {
		return false, l.value()
	}
	if !l.str() {
		return false, false
	}
	if l.escaped && len(l.raw) <= len(l.names) {
		return s == string(unescape(l.names[:0], l.raw)), true
	}
	return s == string(l.raw), true
}

// content skips a value that is content.
func (l *frameLook) content() bool {
	l.kind |= Content
	return l.value()
}

// frame walks over the members of a frame. A frame can be several things, so all of it is read.
func (l *frameLook) frame() bool {
	if !l.open() {
		return false
	}
	for first := true; l.member(&first); {
		if !l.frameMember() {
			return false
		}
	}
	return l.fault == ""
}

// frameMember adds what one member says about its frame. Members it does not know (id, model, obfuscation)
// say nothing: it is the choices that carry an answer.
func (l *frameLook) frameMember() bool {
	switch string(l.name()) {
	case keyChoices:
		l.known = true
		if l.peekByte() != '[' {
			return l.contentUnlessNull()
		}
		return l.choices()
	case keyError:
		l.known = l.known || !l.saysNothing()
		return l.errorMember()
	case "usage":
		if l.peekByte() == '{' {
			l.kind |= WithUsage
		}
	case "object":
		// vLLM's errors have no error member: {"object":"error","message":…}.
		failed, ok := l.is(keyError)
		if failed {
			l.kind, l.known = l.kind|Failed, true
		}
		return ok
	case keyType:
		ping, ok := l.is("ping")
		l.known = l.known || ping
		return ok
	}
	return l.value()
}

// saysNothing reports whether the value at hand is null, false or an empty string: what servers with a
// fixed set of members write when there is no error.
func (l *frameLook) saysNothing() bool {
	c := l.peekByte()
	return c == 'n' || c == 'f' || bytes.HasPrefix(l.b[l.i:], []byte(`""`))
}

// errorMember skips an error, of the frame or of a choice.
func (l *frameLook) errorMember() bool {
	if !l.saysNothing() {
		l.kind |= Failed
	}
	return l.value()
}

// contentUnlessNull skips a value that is not known: servers write null for what they do not use.
func (l *frameLook) contentUnlessNull() bool {
	if l.peekByte() == 'n' {
		return l.value()
	}
	return l.content()
}

// choices walks over choices: with n above one, the content of any is content.
func (l *frameLook) choices() bool {
	if !l.open() {
		return false
	}
	for first := true; l.element(&first); {
		if l.peekByte() != '{' {
			if !l.content() {
				return false
			}
			continue
		}
		if !l.open() {
			return false
		}
		for first := true; l.member(&first); {
			if !l.choiceMember() {
				return false
			}
		}
		if l.fault != "" {
			return false
		}
	}
	return l.fault == ""
}

// choiceMember adds what one member of a choice says. The reasons that vLLM and OpenRouter give beside
// finish_reason repeat it in other words.
func (l *frameLook) choiceMember() bool {
	switch string(l.name()) {
	case "index", "stop_reason", "native_finish_reason":
		return l.value()
	case "finish_reason":
		return l.finishReason()
	case keyError:
		return l.errorMember()
	case "delta":
		if l.peekByte() == '{' {
			return l.delta()
		}
	case keyText:
		return l.contentUnlessHollow()
	case "logprobs", "content_filter_results": // they say things about the text, and are none
		size := l.size
		ok := l.contentUnlessHollow()
		l.size = size
		return ok
	}
	return l.contentUnlessNull()
}

// finishReason reads why a choice ended, if it has.
func (l *frameLook) finishReason() bool {
	if l.peekByte() != '"' {
		return l.contentUnlessNull()
	}
	failed, ok := l.is(keyError)
	switch {
	case failed:
		l.kind |= Failed
	case len(l.raw) > 0: // some servers write an empty one instead of null
		l.kind |= Terminal
	}
	return ok
}

// delta walks over what a frame adds to a message.
func (l *frameLook) delta() bool {
	if !l.open() {
		return false
	}
	for first := true; l.member(&first); {
		ok := false
		switch string(l.name()) {
		case "role":
			ok = l.value()
		case "content", "refusal", "reasoning", "reasoning_content", "reasoning_details",
			"tool_calls", "function_call", "audio", "annotations":
			ok = l.contentUnlessHollow()
		default:
			ok = l.contentUnlessNull()
		}
		if !ok {
			return false
		}
	}
	return l.fault == ""
}

// contentUnlessHollow skips a value of a kind that is known to be empty at the beginning of a stream: null,
// an empty string, and arrays and objects of nothing else.
func (l *frameLook) contentUnlessHollow() bool {
	hollow, ok := l.hollow()
	if !hollow {
		l.kind |= Content
	}
	return ok
}

// hollow skips a value and says whether there is nothing in it. Numbers and booleans are something.
func (l *frameLook) hollow() (hollow, ok bool) {
	hollow = true
	switch c := l.peekByte(); c {
	case 'n':
		return true, l.value()
	case '"':
		start := l.i
		if !l.str() {
			l.size += len(l.b) - start // of an answer that broke off here
			return false, false
		}
		l.size += l.weight
		return len(l.raw) == 0, true
	case '{', '[':
		if !l.open() {
			return false, false
		}
		for first := true; c == '{' && l.member(&first) || c == '[' && l.element(&first); {
			inner, ok := l.hollow()
			if !ok {
				return false, false
			}
			hollow = hollow && inner
		}
		return hollow, l.fault == ""
	}
	return false, l.value()
}
