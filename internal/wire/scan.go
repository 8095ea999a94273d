// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

const (
	// requestDepth is how deeply a request may be nested. No real request comes near; a parser further on
	// that recurses must not be the one to find out.
	requestDepth = 64
	// answerDepth is the same for what providers send: more, since a failure here costs an endpoint.
	answerDepth = 512
	// maxNumber is the longest number, in bytes. Python refuses integers of more than 4,300 digits.
	maxNumber = 1024
)

// What can be wrong with a JSON text, as the middle of a sentence.
const (
	faultEnd        = "it ends too early"
	faultDepth      = "it is nested more than 64 levels deep"
	faultValue      = "a value is expected"
	faultKey        = "a key in double quotes is expected"
	faultColon      = "a colon is expected after a key"
	faultComma      = "a comma or the end of the object is expected"
	faultElement    = "a comma or the end of the array is expected"
	faultNumber     = "a number is malformed"
	faultNumberLong = "a number has more than 1024 characters"
	faultControl    = "a control character in a string must be escaped"
	faultEscape     = "an escape sequence in a string is unknown"
	faultSurrogate  = "a string has an unpaired surrogate escape"
	faultUTF8       = "a string is not valid UTF-8"
	faultTrailing   = "something follows the end of the JSON value"
)

// scanner walks over a JSON text once, without building anything. It holds the grammar of RFC 8259 to the
// letter, because parsers disagree about everything outside it. After a false result fault says why.
type scanner struct {
	b []byte
	i int
	// depth is how many objects and arrays are open, maxDepth how many may be.
	depth, maxDepth int
	// lenient lets strings hold unpaired surrogate escapes and bad UTF-8. Models produce both; an answer
	// that has them is still an answer.
	lenient bool
	// raw is what the last string held between its quotes, escaped whether it holds a backslash, weight its
	// size in quarters of a token.
	raw     []byte
	escaped bool
	weight  int
	// key is raw of the last key of an object, keyEscaped whether that holds a backslash.
	key        []byte
	keyEscaped bool
	// fault is what is wrong at i; empty when nothing is.
	fault string
}

// fail notes the first fault, and returns false for its caller to return.
func (s *scanner) fail(fault string) bool {
	if s.fault == "" {
		s.fault = fault
	}
	return false
}

// space moves to the next byte that is not white space and returns it; 0 at the end. (A NUL byte is not
// valid anywhere outside strings either, so the two need no telling apart.)
func (s *scanner) space() byte {
	for s.i < len(s.b) {
		c := s.b[s.i]
		if c > ' ' || c != ' ' && c != '\n' && c != '\r' && c != '\t' {
			return c
		}
		s.i++
	}
	return 0
}

// whole skips the one value that the text must be, and reports whether nothing else follows.
func (s *scanner) whole() bool {
	s.space()
	return s.value() && s.ended()
}

// ended reports whether nothing but white space is left.
func (s *scanner) ended() bool {
	s.space()
	return s.i == len(s.b) || s.fail(faultTrailing)
}

// open enters the object or array whose first byte is at i.
func (s *scanner) open() bool {
	if s.depth++; s.depth > s.maxDepth {
		return s.fail(faultDepth)
	}
	s.i++
	return true
}

// member moves to the value of an object's next member, with its key in s.key. False at the end of the
// object and at a fault. first must be true at the first call and is cleared.
func (s *scanner) member(first *bool) bool {
	c := s.space()
	if c == '}' {
		return s.closing()
	}
	if !*first {
		if c != ',' {
			return s.expected(c, faultComma)
		}
		s.i++
		c = s.space()
	}
	*first = false
	if c != '"' {
		return s.expected(c, faultKey)
	}
	if !s.str() {
		return false
	}
	s.key, s.keyEscaped = s.raw, s.escaped
	if c = s.space(); c != ':' {
		return s.expected(c, faultColon)
	}
	s.i++
	s.space()
	return true
}

// element moves to an array's next value. False at the end of the array and at a fault. first must be true
// at the first call and is cleared.
func (s *scanner) element(first *bool) bool {
	c := s.space()
	if c == ']' {
		return s.closing()
	}
	if *first {
		*first = false
		return true
	}
	if c != ',' {
		return s.expected(c, faultElement)
	}
	s.i++
	s.space()
	return true
}

// closing leaves an object or array. A comma before the bracket never leads here: after one, member and
// element want a key or a value.
func (s *scanner) closing() bool {
	s.i++
	s.depth--
	return false
}

// expected fails because c is not what belongs at i. A text that ends there was most likely cut off, which is
// the more useful thing to say.
func (s *scanner) expected(c byte, fault string) bool {
	if c == 0 && s.i >= len(s.b) {
		fault = faultEnd
	}
	return s.fail(fault)
}

// peekByte is the byte at i; 0 at the end.
func (s *scanner) peekByte() byte {
	if s.i < len(s.b) {
		return s.b[s.i]
	}
	return 0
}

// value skips the value at i.
func (s *scanner) value() bool {
	switch c := s.peekByte(); c {
	case '"':
		return s.str()
	case '{':
		return s.object()
	case '[':
		return s.array()
	case 't':
		return s.word("true")
	case 'f':
		return s.word("false")
	case 'n':
		return s.word("null")
	default:
		if c == '-' || isDigit(c) {
			return s.number()
		}
		return s.expected(c, faultValue)
	}
}

// object skips the object at i. It recurses through value, as deeply as maxDepth allows.
func (s *scanner) object() bool {
	if !s.open() {
		return false
	}
	for first := true; s.member(&first); {
		if !s.value() {
			return false
		}
	}
	return s.fault == ""
}

// array skips the array at i.
func (s *scanner) array() bool {
	if !s.open() {
		return false
	}
	for first := true; s.element(&first); {
		if !s.value() {
			return false
		}
	}
	return s.fault == ""
}

// word skips one of the three words of JSON. What follows it is for the caller to refuse.
func (s *scanner) word(w string) bool {
	if rest := s.b[s.i:]; len(rest) < len(w) || string(rest[:len(w)]) != w {
		return s.expected(s.peekByte(), faultValue)
	}
	s.i += len(w)
	return true
}

// number skips the number at i. RFC 8259: no leading zeros, no plus, digits on both sides of the point.
func (s *scanner) number() bool {
	b, start := s.b, s.i
	if b[start] == '-' {
		start++
	}
	end := digits(b, start)
	if end == start || b[start] == '0' && end > start+1 {
		return s.fail(faultNumber)
	}
	if end < len(b) && (b[end] == '.' || b[end]|0x20 == 'e') {
		if end = fraction(b, end); end < 0 {
			return s.fail(faultNumber)
		}
	}
	if end-s.i > maxNumber {
		return s.fail(faultNumberLong)
	}
	s.i = end
	return true
}

// fraction is the end of the fraction and the exponent that begin at i; -1 when one has no digits.
func fraction(b []byte, i int) int {
	if b[i] == '.' {
		point := i
		if i = digits(b, i+1); i == point+1 {
			return -1
		}
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		if i++; i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		exponent := i
		if i = digits(b, i); i == exponent {
			return -1
		}
	}
	return i
}

// digits is the end of the digits that begin at i.
func digits(b []byte, i int) int {
	for i < len(b) && isDigit(b[i]) {
		i++
	}
	return i
}

func isDigit(c byte) bool { return c-'0' <= 9 }

// Four bytes of text are about a token. Runes of two bytes (accents, Greek, Cyrillic) are about half a
// token each, as their bytes say; those of three (most of Asia) are about a whole one, as those of four are.
const (
	weightRune2 = 2
	weightRune3 = 4
)

// str skips the string at i, and leaves what it held in raw, escaped and weight.
func (s *scanner) str() bool {
	b, start := s.b, s.i+1
	// adjust is what the weight differs from the number of bytes.
	i, adjust := start, 0
	s.escaped = false
	for {
		i = plain(b, i)
		if i >= len(b) {
			s.i = i
			return s.fail(faultEnd)
		}
		switch c := b[i]; {
		case c == '"':
			s.raw, s.weight, s.i = b[start:i], i-start+adjust, i+1
			return true
		case c == '\\':
			// The weight is that of the rune, not of its spelling: some clients escape all that is not ASCII.
			s.escaped = true
			r, n := s.escape(i)
			if n == 0 {
				return false
			}
			i, adjust = i+n, adjust+runeWeight(r)-n
		case c < ' ':
			s.i = i
			return s.fail(faultControl)
		default:
			n, more := s.multibyte(b[i:])
			if n == 0 {
				s.i = i
				return s.fail(faultUTF8)
			}
			i, adjust = i+n, adjust+more
		}
	}
}

// multibyte is the length of the runes beyond ASCII that b begins with, and what their weight differs from
// it; 0 when the first is not valid.
func (s *scanner) multibyte(b []byte) (n, adjust int) {
	for n < len(b) && b[n] >= utf8.RuneSelf {
		r, size := utf8.DecodeRune(b[n:])
		if r == utf8.RuneError && size == 1 && !s.lenient {
			break // where the next call finds it first
		}
		n, adjust = n+size, adjust+runeWeight(r)-size
	}
	return n, adjust
}

// plain is the first place at or after i with a byte that ends, escapes or breaks a string, or that is not
// ASCII; len(b) when there is none.
func plain(b []byte, i int) int {
	for steps := 0; len(b)-i >= 8; i += 8 {
		if m := special(binary.LittleEndian.Uint64(b[i:])); m != 0 {
			return i + bits.TrailingZeros64(m)>>3
		}
		// Most strings are short. The long ones are worth larger steps.
		if steps++; steps == 4 {
			i = plainBlocks(b, i+8) - 8
		}
	}
	for i < len(b) && !isSpecial(b[i]) {
		i++
	}
	return i
}

func isSpecial(c byte) bool { return c == '"' || c == '\\' || c < ' ' || c >= utf8.RuneSelf }

// plainBlocks skips blocks of 32 bytes in which there is no such byte: this is what makes a body with
// megabytes of base64 cheap.
func plainBlocks(b []byte, i int) int {
	for ; len(b)-i >= 32; i += 32 {
		p := b[i : i+32 : i+32]
		if special(binary.LittleEndian.Uint64(p))|special(binary.LittleEndian.Uint64(p[8:]))|
			special(binary.LittleEndian.Uint64(p[16:]))|special(binary.LittleEndian.Uint64(p[24:])) != 0 {
			break
		}
	}
	return i
}

// special has a bit set in the lowest byte of w that is a quote, a backslash, a control character or not
// ASCII; it is zero when there is none. Bits above that byte mean nothing: the subtractions borrow only out
// of a byte that is itself a hit. A byte beyond ASCII keeps its high bit in quote or in backslash: the
// subtraction takes it from 0x80 alone, which no byte is in both.
func special(w uint64) uint64 {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	quote := (w ^ '"'*ones) - ones
	backslash := (w ^ '\\'*ones) - ones
	control := w - ' '*ones
	return (quote | backslash | control) & highs
}

// escape reads the escape sequence at i and returns its rune and its length; 0 at a fault.
func (s *scanner) escape(i int) (rune, int) {
	s.i = i
	if i+1 >= len(s.b) {
		s.i = len(s.b)
		s.fail(faultEnd)
		return 0, 0
	}
	c := s.b[i+1]
	if c == 'u' {
		return s.unicodeEscape(i)
	}
	r, known := simpleEscape(c)
	if !known {
		s.fail(faultEscape)
		return 0, 0
	}
	return r, 2
}

// simpleEscape is the rune that a backslash before c stands for, if any.
func simpleEscape(c byte) (rune, bool) {
	switch c {
	case '"', '\\', '/':
		return rune(c), true
	case 'b':
		return '\b', true
	case 'f':
		return '\f', true
	case 'n':
		return '\n', true
	case 'r':
		return '\r', true
	case 't':
		return '\t', true
	}
	return 0, false
}

// unicodeEscape reads \uXXXX, or the two of a surrogate pair. A half of a pair alone is U+FFFD in Go and a
// lone surrogate in Python and JavaScript: two readers would see two names, so it is a fault.
func (s *scanner) unicodeEscape(i int) (rune, int) {
	r, ok := hex4(s.b, i+2)
	if !ok {
		s.fail(faultEscape)
		return 0, 0
	}
	if r < 0xD800 || r > 0xDFFF {
		return r, 6
	}
	if r < 0xDC00 && i+7 < len(s.b) && s.b[i+6] == '\\' && s.b[i+7] == 'u' {
		if low, ok := hex4(s.b, i+8); ok && low >= 0xDC00 && low <= 0xDFFF {
			return 0x10000 + (r-0xD800)<<10 + (low - 0xDC00), 12
		}
	}
	if s.lenient {
		return utf8.RuneError, 6
	}
	s.fail(faultSurrogate)
	return 0, 0
}

// hex4 is the number that the four hexadecimal digits at i are.
func hex4(b []byte, i int) (rune, bool) {
	if len(b)-i < 4 {
		return 0, false
	}
	var r rune
	for _, c := range b[i : i+4] {
		switch lower := c | 0x20; {
		case isDigit(c):
			r = r<<4 | rune(c-'0')
		case lower >= 'a' && lower <= 'f':
			r = r<<4 | rune(lower-'a'+10)
		default:
			return 0, false
		}
	}
	return r, true
}

// runeWeight is a rune's size in quarters of a token.
func runeWeight(r rune) int {
	switch {
	case r < utf8.RuneSelf:
		return 1
	case r < 0x800:
		return weightRune2
	default:
		return weightRune3
	}
}

// unescape appends the runes of a string that the scanner has accepted.
func unescape(dst, raw []byte) []byte {
	dst, _ = unescapeUpTo(dst, raw, len(dst)+len(raw)) // an escape is longer than what it stands for
	return dst
}

// unescapeUpTo is unescape until dst has limit bytes. whole is false when there was more.
func unescapeUpTo(dst, raw []byte, limit int) (text []byte, whole bool) {
	s := scanner{b: raw, lenient: true}
	for i := 0; i < len(raw); {
		if len(dst) > limit {
			return dst[:limit], false
		}
		if raw[i] != '\\' {
			n := bytes.IndexByte(raw[i:], '\\')
			if n < 0 {
				n = len(raw) - i
			}
			dst = append(dst, raw[i:i+min(n, limit-len(dst)+1)]...)
			i += n
			continue
		}
		r, n := s.escape(i)
		if n == 0 {
			return dst, true
		}
		dst = utf8.AppendRune(dst, r)
		i += n
	}
	return dst[:min(len(dst), limit)], len(dst) <= limit
}

// isEmpty reports whether an array or an object that the scanner has accepted has nothing in it.
func isEmpty(value []byte) bool {
	return (value[0] == '[' || value[0] == '{') && len(bytes.TrimSpace(value[1:len(value)-1])) == 0
}

// Valid reports whether b is one whole JSON value: a truncated answer, or a page of HTML, is not.
func Valid(b []byte) bool {
	s := scanner{b: b, maxDepth: answerDepth, lenient: true}
	return s.whole()
}
