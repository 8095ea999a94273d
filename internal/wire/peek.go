// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"bytes"
	"strconv"
)

// maxModel is the longest model name, in bytes: a namespace and a name of Kubernetes fit twice.
const maxModel = 512

// maxInteger is the largest integer that Go, Python and JavaScript read alike.
const maxInteger = 1<<53 - 1

// PeekError is a request body that cannot be served. Message is a sentence for the client; Field is the
// path of the field it is about, empty when it is about the body as a whole.
type PeekError struct {
	Field, Message string
}

// Error returns the sentence.
func (e *PeekError) Error() string { return e.Message }

// peeker is what Peek keeps while it walks. It lies in the Facts, so that Peek allocates nothing.
type peeker struct {
	scanner
	// at is the path of the field whose value is being read; empty between the members of the body.
	at string
	// quarters and tokens add up to the input estimate: quarters of a token of text, and whole tokens.
	quarters, tokens int64
	// item is what was seen of the message or item at hand.
	item    item
	refusal *PeekError
}

// Peek reads the body of a request into f, in one forward pass and without building a tree. Nothing of f is
// meaningful after an error, and every error is a *PeekError.
//
// What was checked must be what the provider runs. So Peek takes valid JSON only, without a byte order mark,
// of at most 64 levels, and refuses every body in which parsers could find different values for a field
// that it acts on: keys given twice or in another case, unpaired surrogate escapes, numbers that are not
// plain integers.
func Peek(body []byte, f *Facts) error {
	*f = Facts{N: 1, scratch: f.scratch[:0]}
	f.peek.scanner = scanner{b: body, maxDepth: requestDepth}
	ok := f.body()
	p := f.peek
	f.peek = peeker{}
	switch {
	case ok:
		f.InputTokens = (p.quarters+3)/4 + p.tokens
		return nil
	case p.refusal != nil:
		return p.refusal
	default:
		return p.syntaxError()
	}
}

// body reads the whole body. False after a fault or a refusal.
func (f *Facts) body() bool {
	p := &f.peek
	if bytes.HasPrefix(p.b, []byte("\xef\xbb\xbf")) {
		return f.refuse("", "The body begins with a byte order mark: send UTF-8 without one.")
	}
	switch c := p.space(); {
	case c == '{':
	case p.i == len(p.b):
		return f.refuse("", "The body is empty: send a JSON object.")
	default:
		return f.refuse("", "The body is not a JSON object: send one, with Content-Type application/json.")
	}
	f.bodyStart = p.i
	if !f.object(bodyFields) || !p.ended() {
		return false
	}
	if f.modelEnd == 0 {
		return f.refuse(keyModel, `"model" is missing: name the model or the capability to use.`)
	}
	return true
}

// syntaxError turns the scanner's fault into a sentence.
func (p *peeker) syntaxError() *PeekError {
	message := "The body is not valid JSON for this API: " + p.fault + " (at byte " + strconv.Itoa(p.i)
	if p.at != "" {
		message += ", in " + strconv.Quote(p.at)
	}
	return &PeekError{Field: p.at, Message: message + ")."}
}

// refuse ends the walk with a sentence about a field.
func (f *Facts) refuse(path, message string) bool {
	f.peek.refusal = &PeekError{Field: path, Message: message}
	return false
}

// must refuses the field at hand, whose value is not what it must be.
func (f *Facts) must(be string) bool {
	return f.refuse(f.peek.at, strconv.Quote(f.peek.at)+" must be "+be+".")
}

// object walks over the object at hand: set's fields are read, each once, the rest is skipped or counted.
func (f *Facts) object(set *fieldSet) bool {
	_, ok := f.members(set)
	return ok
}

// otherMember is the bit of all members that are no fields.
const otherMember = 1 << maxFields

// members is object, and says which members there were: the bits of the fields, and otherMember.
func (f *Facts) members(set *fieldSet) (seen uint32, ok bool) {
	p := &f.peek
	if !p.open() {
		return 0, false
	}
	outer := p.at
	for first := true; p.member(&first); p.at = outer {
		fd, ok := f.field(set)
		switch {
		case !ok:
			return seen, false
		case fd == nil:
			seen |= otherMember
			if !f.other(set) {
				return seen, false
			}
		case seen&fd.bit != 0:
			return seen, f.refuse(fd.path, strconv.Quote(fd.path)+" appears twice: send it once.")
		default:
			seen |= fd.bit
			if !f.read(fd) {
				return seen, false
			}
		}
	}
	return seen, p.fault == ""
}

// field is the field that the member at hand is; nil when it is none. False when it is one for some
// providers only.
func (f *Facts) field(set *fieldSet) (*field, bool) {
	p := &f.peek
	if fd := set.find(p.key); fd != nil {
		return fd, true
	}
	fd, exact := set.findFolded(p.key, p.keyEscaped)
	if fd == nil || exact {
		return fd, true
	}
	return nil, f.refuse(fd.path, "The key "+printable(p.key)+" would be read as "+strconv.Quote(fd.path)+
		" by some providers and ignored by others: write "+strconv.Quote(fd.name)+".")
}

// read reads the value of a field.
func (f *Facts) read(fd *field) bool {
	p := &f.peek
	p.at = fd.path
	if !fd.notNull && p.peekByte() == 'n' {
		return p.word("null")
	}
	return fd.read(f)
}

// printable is a client's key for a message: short, and without anything that could break a log line.
func printable(key []byte) string {
	return strconv.QuoteToASCII(string(key[:min(len(key), 2*maxKey)]))
}

// other passes over a member that is not acted on.
func (f *Facts) other(set *fieldSet) bool {
	if !set.text {
		return f.peek.value()
	}
	return f.textMember(set.keys)
}

// textMember counts the text of the member at hand, unless its key says that it holds base64.
func (f *Facts) textMember(keys bool) bool {
	p := &f.peek
	if keys {
		p.quarters += int64(p.weight)
	}
	switch string(p.key) {
	case "data", "file_data", "b64_json": // of input_audio, file and generated images
		return p.value()
	}
	return f.text(keys)
}

// text counts every string in the value at hand as input, and with keys the keys of objects too.
func (f *Facts) text(keys bool) bool {
	p := &f.peek
	switch p.peekByte() {
	case '"':
		return f.textString()
	case '{':
		if !p.open() {
			return false
		}
		for first := true; p.member(&first); {
			if !f.textMember(keys) {
				return false
			}
		}
		return p.fault == ""
	case '[':
		if !p.open() {
			return false
		}
		for first := true; p.element(&first); {
			if !f.text(keys) {
				return false
			}
		}
		return p.fault == ""
	}
	return p.value()
}

// textString counts the string at hand, unless it is media.
func (f *Facts) textString() bool {
	p := &f.peek
	if !p.str() {
		return false
	}
	if !isDataURL(p.raw) {
		p.quarters += int64(p.weight)
	}
	return true
}

// isDataURL reports whether a string is media instead of text (RFC 2397): "data:", a media type without
// spaces, a comma.
func isDataURL(s []byte) bool {
	if len(s) < 5 || s[4] != ':' || !bytes.EqualFold(s[:4], []byte("data")) {
		return false
	}
	head := s[:min(len(s), 128)]
	comma := bytes.IndexByte(head, ',')
	return comma > 0 && bytes.IndexByte(head[:comma], ' ') < 0
}

// str reads the string at hand, unescaped.
func (f *Facts) str() ([]byte, bool) {
	p := &f.peek
	if p.peekByte() != '"' {
		return nil, f.must("a string")
	}
	if !p.str() {
		return nil, false
	}
	if !p.escaped {
		return p.raw, true
	}
	start := len(f.scratch)
	f.scratch = unescape(f.scratch, p.raw)
	return f.scratch[start:], true
}

// boolean reads the true or false at hand.
func (f *Facts) boolean() (value, ok bool) {
	p := &f.peek
	switch p.peekByte() {
	case 't':
		return true, p.word("true")
	case 'f':
		return false, p.word("false")
	}
	return false, f.must("true or false")
}

// integer reads the integer at hand, which is at least least. Numbers with a point or an exponent are
// refused even when their value is whole: JavaScript takes 1.0 and 1e3 for integers, Go and Python do not.
func (f *Facts) integer(least int64) (int64, bool) {
	p := &f.peek
	start := p.i
	if c := p.peekByte(); c != '-' && !isDigit(c) {
		return 0, f.must("a whole number")
	}
	if !p.number() {
		return 0, false
	}
	var n int64
	for _, c := range p.b[start:p.i] {
		switch {
		case c == '-':
			return 0, f.must("at least " + strconv.FormatInt(least, 10))
		case !isDigit(c):
			return 0, f.must("a whole number, without a point or an exponent")
		}
		if n = n*10 + int64(c-'0'); n > maxInteger {
			return 0, f.must("at most " + strconv.Itoa(maxInteger))
		}
	}
	if n < least {
		return 0, f.must("at least " + strconv.FormatInt(least, 10))
	}
	return n, true
}
