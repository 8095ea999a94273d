// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package upstream

import (
	"bytes"
	"encoding/binary"
	"errors"
)

// What is refused in a head. The sentences carry no byte of the answer, because
// header values may be secrets and sentences end up in logs.
var (
	errNotHTTP        = errors.New("the answer is not HTTP/1.1")
	errStatusLine     = errors.New("the status line is malformed")
	errBareLF         = errors.New("a line of the head does not end in CR LF")
	errFolded         = errors.New("a header is folded over several lines")
	errFieldName      = errors.New("a header name is malformed")
	errFieldValue     = errors.New("a header value holds a control character")
	errTooManyFields  = errors.New("the head has too many headers")
	errHeadTooLong    = errors.New("the head is too long")
	errContentLength  = errors.New("the Content-Length is not a number")
	errTwoLengths     = errors.New("the answer has contradicting Content-Lengths")
	errTwoFramings    = errors.New("the answer has both Transfer-Encoding and Content-Length")
	errCoding         = errors.New("the Transfer-Encoding is not exactly chunked")
	errSwitch         = errors.New("the answer switches protocols, which nobody asked for")
	errTooManyInterim = errors.New("too many interim answers (1xx)")
)

const (
	// maxFields bounds the index of one head: no provider sends near as many.
	maxFields = 256
	// maxLengthDigits keeps a Content-Length inside int64 without a check per digit.
	maxLengthDigits = 18
)

// Classes of bytes in a head, RFC 9110 §5.5 and §5.6.2.
const (
	tokenByte uint8 = 1 << iota // may stand in a name
	valueByte                   // may stand in a value: visible, space, tab, obs-text
)

var byteClass = func() (class [256]uint8) {
	for c := range 256 {
		if c == '\t' || (c >= ' ' && c != 0x7f) {
			class[c] |= valueByte
		}
	}
	const tokens = "!#$%&'*+-.^_`|~0123456789" +
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	for _, c := range []byte(tokens) {
		class[c] |= tokenByte
	}
	return class
}()

// span is a range of head.raw. Offsets, not slices: half the size, and nothing
// for the garbage collector to follow.
type span struct{ from, to uint32 }

type field struct{ name, value span }

// head is a parsed response head. It is reused from answer to answer.
type head struct {
	raw     []byte // status line to empty line, inclusive
	fields  []field
	status  int
	length  int64 // declared Content-Length, -1 if none
	http10  bool
	chunked bool
	closing bool // the peer closes after this answer
}

// parse reads one complete head, which ends with the first empty line of raw.
// It is stricter than net/http where leniency would let two readers disagree on
// where an answer ends: every line ends in CR LF, nothing is folded, the framing
// is declared once.
func (h *head) parse(raw []byte) error {
	*h = head{raw: raw, fields: h.fields[:0], length: -1}
	at, err := h.statusLine()
	if err != nil {
		return err
	}
	for {
		next, err := h.fieldLine(at)
		if err != nil {
			return err
		}
		if next < 0 {
			break
		}
		at = next
	}
	if h.chunked && h.length >= 0 {
		return errTwoFramings
	}
	// HTTP/1.0 knows no chunks, and its keep-alive is an extension that we do
	// not speak.
	if h.http10 {
		if h.chunked {
			return errCoding
		}
		h.closing = true
	}
	return nil
}

// statusLine parses "HTTP/1.1 200 OK" and returns where the next line begins.
func (h *head) statusLine() (int, error) {
	const lead = len("HTTP/1.1 200")
	end := bytes.IndexByte(h.raw, '\n')
	if end < 1 || h.raw[end-1] != '\r' {
		return 0, errBareLF
	}
	line := h.raw[:end-1]
	if !beginsHTTP(line) {
		return 0, errNotHTTP
	}
	if len(line) < lead || line[8] != ' ' || !cleanValue(line[lead:]) {
		return 0, errStatusLine
	}
	if len(line) > lead && line[lead] != ' ' {
		return 0, errStatusLine
	}
	switch line[7] {
	case '1':
	case '0':
		h.http10 = true
	default:
		return 0, errNotHTTP
	}
	var ok bool
	if h.status, ok = statusCode(line[9:lead]); !ok {
		return 0, errStatusLine
	}
	return end + 1, nil
}

// statusCode reads three digits, the first of which is not 0.
func statusCode(digits []byte) (code int, ok bool) {
	for _, c := range digits {
		if c < '0' || c > '9' {
			return 0, false
		}
		code = code*10 + int(c-'0')
	}
	return code, code >= 100
}

// beginsHTTP reports whether b can be the beginning of an HTTP/1.x answer; b may
// be shorter than that.
func beginsHTTP(b []byte) bool {
	const version = "HTTP/1."
	n := min(len(b), len(version))
	return string(b[:n]) == version[:n]
}

// fieldLine parses the line at offset at and returns where the next one begins,
// or -1 after the empty line that ends the head.
func (h *head) fieldLine(at int) (int, error) {
	rest := h.raw[at:]
	end := bytes.IndexByte(rest, '\n')
	if end < 1 || rest[end-1] != '\r' {
		return 0, errBareLF
	}
	if end == 1 {
		return -1, nil
	}
	line := rest[:end-1]
	if line[0] == ' ' || line[0] == '\t' {
		return 0, errFolded
	}
	colon := bytes.IndexByte(line, ':')
	if colon < 1 || !isToken(line[:colon]) {
		return 0, errFieldName
	}
	if !cleanValue(line[colon+1:]) {
		return 0, errFieldValue
	}
	from, to := trimOWS(line, colon+1)
	if len(h.fields) == maxFields {
		return 0, errTooManyFields
	}
	h.fields = append(h.fields, field{
		name:  span{uint32(at), uint32(at + colon)},
		value: span{uint32(at + from), uint32(at + to)},
	})
	return at + end + 1, h.meaning(line[:colon], line[from:to])
}

// meaning acts on the headers that decide where the answer ends and whether the
// connection outlives it.
func (h *head) meaning(name, value []byte) error {
	switch {
	case foldEqual(name, "content-length"):
		return h.contentLength(value)
	case foldEqual(name, "transfer-encoding"):
		// One coding, once: a list or a repetition is where readers disagree.
		if h.chunked || !foldEqual(value, "chunked") {
			return errCoding
		}
		h.chunked = true
	case foldEqual(name, "connection"):
		h.closing = h.closing || hasToken(value, "close")
	}
	return nil
}

// contentLength takes digits only. A repeated header must say the same.
func (h *head) contentLength(value []byte) error {
	if len(value) == 0 || len(value) > maxLengthDigits {
		return errContentLength
	}
	var n int64
	for _, c := range value {
		if c < '0' || c > '9' {
			return errContentLength
		}
		n = n*10 + int64(c-'0')
	}
	if len(value) > 1 && value[0] == '0' {
		return errContentLength
	}
	if h.length >= 0 && h.length != n {
		return errTwoLengths
	}
	h.length = n
	return nil
}

// bodiless reports that no body follows, whatever the headers declare,
// RFC 9112 §6.3.
func (h *head) bodiless() bool {
	return h.status < 200 || h.status == 204 || h.status == 304
}

// lookup returns the value of the first header of that name.
func (h *head) lookup(name string) []byte {
	for _, f := range h.fields {
		if foldEqual(h.raw[f.name.from:f.name.to], name) {
			return h.raw[f.value.from:f.value.to:f.value.to]
		}
	}
	return nil
}

// each calls f for every header in order.
func (h *head) each(f func(name, value []byte)) {
	for _, x := range h.fields {
		f(h.raw[x.name.from:x.name.to:x.name.to], h.raw[x.value.from:x.value.to:x.value.to])
	}
}

func isToken(b []byte) bool {
	for _, c := range b {
		if byteClass[c]&tokenByte == 0 {
			return false
		}
	}
	return true
}

// cleanValue reports that every byte may stand in a value. Values are most of a
// head, so it takes eight bytes at a time and looks closer only at those words
// that hold a control character; a tab is one, and allowed.
func cleanValue(b []byte) bool {
	const (
		each  = 0x0101010101010101
		high  = 0x80 * each
		space = 0x20 * each
		del   = 0x7f * each
	)
	for len(b) >= 8 {
		w := binary.LittleEndian.Uint64(b)
		x := w ^ del
		if (w-space)&^w&high|(x-each)&^x&high != 0 && !cleanBytes(b[:8]) {
			return false
		}
		b = b[8:]
	}
	return cleanBytes(b)
}

func cleanBytes(b []byte) bool {
	for _, c := range b {
		if byteClass[c]&valueByte == 0 {
			return false
		}
	}
	return true
}

// trimOWS returns the range of line from offset from without optional white
// space around it.
func trimOWS(line []byte, from int) (int, int) {
	to := len(line)
	for from < to && (line[from] == ' ' || line[from] == '\t') {
		from++
	}
	for from < to && (line[to-1] == ' ' || line[to-1] == '\t') {
		to--
	}
	return from, to
}

// foldEqual compares ASCII without regard to case.
func foldEqual(b []byte, s string) bool {
	if len(b) != len(s) {
		return false
	}
	for i, c := range b {
		if lower(c) != lower(s[i]) {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c | 0x20
	}
	return c
}

// hasToken looks for a token in a comma-separated list.
func hasToken(list []byte, token string) bool {
	for len(list) > 0 {
		item := list
		if i := bytes.IndexByte(list, ','); i >= 0 {
			item, list = list[:i], list[i+1:]
		} else {
			list = nil
		}
		from, to := trimOWS(item, 0)
		if foldEqual(item[from:to], token) {
			return true
		}
	}
	return false
}
