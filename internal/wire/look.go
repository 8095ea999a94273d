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
	// Terminal says that the answer is complete, and why. It commits the stream too: an answer without
	// content is an answer.
	Terminal
	// Failed carries an error; before content, ClassifyErrorFrame says what it means for the attempt.
	Failed
	// WithUsage has a usage object; FrameUsage reads it.
	WithUsage
	// UsageAlone has a usage object and nothing else for a reader: the frame that stream_options.include_usage
	// adds. A client that has not asked for it must not get it.
	UsageAlone
	// Filtered is a Terminal by which the provider says that its filter has ended the answer.
	Filtered
	// Last is a Terminal that nothing follows: what is left is the end of the stream.
	Last
)

// maxWord is the longest word that is compared with anything: the type of an event, a reason.
const maxWord = 64

// look is one look at a frame, or at a whole answer: formats have the same grammar for both.
type look struct {
	scanner
	kind FrameKind
	// known is true when a member says what the frame is.
	known bool
	// size adds up the strings of what was added to the answer, in quarters of a token.
	size int
	// usageAt is where the last usage object begins; 0 when there was none.
	usageAt int

	names [maxKey]byte
	words [maxWord]byte
}

// lookAt begins a look at the object that b is.
func lookAt(b []byte) look {
	return look{scanner: scanner{b: b, maxDepth: answerDepth, lenient: true}}
}

// name is the last key, unescaped; a key too long to be of interest comes as it is.
func (l *look) name() []byte {
	if !l.keyEscaped {
		return l.key
	}
	if name, whole := unescapeUpTo(l.names[:0], l.key, len(l.names)); whole {
		return name
	}
	return l.key
}

// word reads the value at hand. It returns what a string says, unescaped; nil for every other value and for
// strings too long to be of interest. The result is valid until the next word.
func (l *look) word() (word []byte, ok bool) {
	if l.peekByte() != '"' {
		return nil, l.value()
	}
	if !l.str() {
		return nil, false
	}
	if l.escaped {
		word, whole := unescapeUpTo(l.words[:0], l.raw, len(l.words))
		if !whole {
			return nil, true
		}
		return word, true
	}
	if len(l.raw) > len(l.words) {
		return nil, true
	}
	return l.raw, true
}

// objectAt goes back to an object that was passed over, to look into it; false when there was none.
func (l *look) objectAt(at int) bool {
	if at == 0 || l.b[at] != '{' {
		return false
	}
	l.i, l.depth = at, 1
	return l.open()
}

// place is where the value at hand begins; it passes over it.
func (l *look) place(at *int) bool {
	*at = l.i
	return l.value()
}

// usageHere notes the usage object at hand, if it is one, and passes over it.
func (l *look) usageHere() bool {
	if l.peekByte() == '{' {
		l.usageAt = l.i
		l.kind |= WithUsage
	}
	return l.value()
}

// content skips a value that is content.
func (l *look) content() bool {
	l.kind |= Content
	return l.value()
}

// saysNothing reports whether the value at hand is null, false or an empty string: what servers with a
// fixed set of members write when there is no error.
func (l *look) saysNothing() bool {
	c := l.peekByte()
	return c == 'n' || c == 'f' || bytes.HasPrefix(l.b[l.i:], []byte(`""`))
}

// errorMember skips an error, of the frame or of a choice.
func (l *look) errorMember() bool {
	if !l.saysNothing() {
		l.kind |= Failed
	}
	return l.value()
}

// contentUnlessNull skips a value that is not known: servers write null for what they do not use.
func (l *look) contentUnlessNull() bool {
	if l.peekByte() == 'n' {
		return l.value()
	}
	l.kind |= Content
	_, ok := l.hollow()
	return ok
}

// contentUnlessHollow skips a value of a kind that is known to be empty at the beginning of a stream: null,
// an empty string, and arrays and objects of nothing else.
func (l *look) contentUnlessHollow() bool {
	hollow, ok := l.hollow()
	if !hollow {
		l.kind |= Content
	}
	return ok
}

// hollow skips a value and says whether there is nothing in it. Numbers and booleans are something.
func (l *look) hollow() (hollow, ok bool) {
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

// unsizedUnlessNull is contentUnlessNull for what is no text of the answer.
func (l *look) unsizedUnlessNull() bool {
	size := l.size
	ok := l.contentUnlessNull()
	l.size = size
	return ok
}

// unsizedUnlessHollow is contentUnlessHollow for what is no text of the answer.
func (l *look) unsizedUnlessHollow() bool {
	size := l.size
	ok := l.contentUnlessHollow()
	l.size = size
	return ok
}

// listed is what the objects of a list are.
type listed uint8

const (
	choices    listed = iota // OpenAI's
	candidates               // Gemini's
	parts                    // of what one of Gemini's says
)

// objects walks over a list of objects: the content of any is content, and so is what is no object.
func (l *look) objects(of listed) bool {
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
			if !l.memberOf(of) {
				return false
			}
		}
		if l.fault != "" {
			return false
		}
	}
	return l.fault == ""
}

// memberOf adds what one member of such an object says. It is no function that objects are given, for then every look
// would be allocated.
func (l *look) memberOf(of listed) bool {
	switch of {
	case candidates:
		return l.candidateMember()
	case parts:
		return l.partMember()
	default:
		return l.choiceMember()
	}
}
