// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"unicode"
	"unicode/utf8"
)

// maxFields is how many fields a set can have: a bit each, and one for everything else.
const maxFields = 31

// maxKey is the longest key that is acted on.
const maxKey = len("max_completion_tokens")

// field is a member of an object that Peek acts on.
type field struct {
	// name is its key; path says where it is, for messages ("stream_options.include_usage").
	name, path string
	// read reads the value at the scanner's place into the Facts. False after a fault or a refusal.
	read func(*Facts) bool
	// notNull is true when null is refused; otherwise a null counts as absent, and read never sees it.
	notNull bool

	bit uint32
}

// fieldSet is the members of one kind of object that Peek acts on. The keys that providers may mix up with
// them are refused; the other members are skipped.
type fieldSet struct {
	// byLength finds fields by the length of their names: at most five share one.
	byLength [maxKey + 1][]*field
	// text is true when the other members hold text that counts as input, keys when their keys do too.
	text, keys bool
}

// newFieldSet adds fields to set: at most maxFields, one bit each for Facts.members to see it twice.
func newFieldSet(set fieldSet, fields ...field) *fieldSet {
	for i := range fields {
		fd := &fields[i]
		fd.bit = 1 << i
		set.byLength[len(fd.name)] = append(set.byLength[len(fd.name)], fd)
	}
	return &set
}

// find returns the field with exactly that name; nil when there is none.
func (set *fieldSet) find(name []byte) *field {
	if len(name) > maxKey {
		return nil
	}
	for _, fd := range set.byLength[len(name)] {
		if fd.name == string(name) {
			return fd
		}
	}
	return nil
}

// findFolded returns the field that some provider could take key for, and whether every provider does. Go
// servers (encoding/json) match keys whatever their case, and know that ſ is an s and that the Kelvin sign
// is a k; all others compare exactly. Escapes mean nothing to any of them.
func (set *fieldSet) findFolded(key []byte, escaped bool) (fd *field, exact bool) {
	// A rune of a name takes up to six bytes when it is escaped.
	if ordinary(key) || len(key) > 6*maxKey {
		return nil, false
	}
	var unescaped, folded [6 * maxKey]byte
	name := key
	if escaped {
		name = unescape(unescaped[:0], key)
		if fd := set.find(name); fd != nil {
			return fd, true
		}
	}
	return set.find(fold(folded[:0], name)), false
}

// ordinary reports whether a key has nothing that folding or unescaping would change.
func ordinary(key []byte) bool {
	for _, c := range key {
		if c >= utf8.RuneSelf || c == '\\' || c-'A' <= 'Z'-'A' {
			return false
		}
	}
	return true
}

// fold appends name as encoding/json folds keys, in lower case: each rune becomes the smallest lower-case
// one that unicode.SimpleFold can reach, which is another ASCII letter for two runes beyond ASCII only.
func fold(dst, name []byte) []byte {
	for _, r := range string(name) {
		switch {
		case r == 'ſ':
			r = 's'
		case r == '\u212a': // the Kelvin sign
			r = 'k'
		case r < utf8.RuneSelf:
			r = unicode.ToLower(r)
		}
		dst = utf8.AppendRune(dst, r)
	}
	return dst
}
