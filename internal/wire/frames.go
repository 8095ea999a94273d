// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"bytes"
	"errors"
)

// MaxFrame is the most bytes that one frame may have.
const MaxFrame = 1 << 20

// keptBuffer is the largest buffer that Frames keeps for the next frame: one large frame must not cost its
// size for the rest of a long stream.
const keptBuffer = 16 << 10

// ErrFrameTooLong says that a frame has more than MaxFrame bytes. The stream cannot be read further.
var ErrFrameTooLong = errors.New("wire: a frame of the stream is longer than 1 MiB")

// Frame is one event of a stream. Its slices are valid until the next call of Next, Feed, End or Reset.
type Frame struct {
	// Raw is every byte of the frame, its blank line included: the Raws of a stream add up to the stream.
	Raw []byte
	// Data is the event's data, lines joined by LF; nil when it has none.
	Data []byte
	// Event is the event's type; empty when none is given.
	Event []byte
	// Comment is true when no field of the frame is data: comments, a blank line, an id alone. A client
	// sees no event then, but the bytes keep a connection awake.
	Comment bool
}

// Frames cuts a stream of server-sent events into frames, as the WHATWG HTML standard (9.2.6) interprets
// them. The zero value is ready. Usage: Feed a chunk, call Next until it returns false, read the next chunk
// (into the same buffer, if you like); when the stream has ended, call End.
type Frames struct {
	// chunk is what is left of the last Feed, carry the beginning of a frame whose end was not in the
	// chunks before. given is true when carry was handed out as a frame.
	chunk, carry []byte
	given        bool
	// inLine is true when the current line has at least one byte.
	inLine bool
	// afterCR is true when the last byte was a CR: an LF now belongs to the same line end.
	afterCR bool
	// begun is true once the first frame was cut: a byte order mark can only be in that.
	begun bool
	// joined holds the data of a frame with several lines of it.
	joined []byte
	err    error
}

// Feed gives the next bytes of the stream, after Next has returned false. They must not change before it
// does so again.
func (s *Frames) Feed(chunk []byte) { s.chunk = chunk }

// Next cuts the next whole frame; false when more bytes are needed. A blank line ends a frame at once, also
// when its CR is the last byte there is: the reader must not wait for an LF that may never come. The only
// error is ErrFrameTooLong.
func (s *Frames) Next(f *Frame) (bool, error) {
	s.reuse()
	if s.err != nil {
		return false, s.err
	}
	n, found := s.end(s.chunk)
	if len(s.carry)+n > MaxFrame {
		s.err = ErrFrameTooLong
		return false, s.err
	}
	raw := s.chunk[:n:n]
	if len(s.carry) > 0 || !found {
		s.carry = append(s.carry, raw...)
		raw, s.given = s.carry, found
	}
	s.chunk = s.chunk[n:]
	if found {
		s.parse(f, raw)
	}
	return found, nil
}

// End returns what is left when the stream has ended, as a last frame; false when nothing is left. Clients
// differ about an event without its blank line; the proxy passes it on and counts it.
func (s *Frames) End(f *Frame) bool {
	s.reuse()
	if len(s.carry) == 0 || s.err != nil {
		return false
	}
	s.given = true
	s.parse(f, s.carry)
	return true
}

// Reset makes s ready for another stream; it keeps small buffers.
func (s *Frames) Reset() {
	s.given = true
	s.reuse()
	*s = Frames{carry: s.carry, joined: s.joined}
}

// reuse takes back the buffers of the last frame.
func (s *Frames) reuse() {
	s.joined = kept(s.joined)
	if s.given {
		s.given = false
		s.carry = kept(s.carry)
	}
}

func kept(b []byte) []byte {
	if cap(b) > keptBuffer {
		return nil
	}
	return b[:0]
}

// end is the place in b behind the blank line that ends the current frame; len(b) and false when it is not
// in b. It looks at each byte once, however the stream is cut into chunks.
func (s *Frames) end(b []byte) (int, bool) {
	l := lines{b: b, lf: -1}
	for l.i < len(b) {
		if s.afterCR {
			s.afterCR = false
			if b[l.i] == '\n' {
				l.i++
				continue
			}
		}
		line, terminated := l.next()
		blank := len(line) == 0 && !s.inLine
		s.inLine = !terminated
		if !terminated {
			break
		}
		s.afterCR = b[l.i-1] == '\r'
		if blank {
			return l.i, true
		}
	}
	return len(b), false
}

// parse fills f from a whole frame.
func (s *Frames) parse(f *Frame, raw []byte) {
	*f = Frame{Raw: raw, Comment: true}
	text := raw
	if !s.begun {
		text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))
	}
	s.begun = true
	// An empty line here can only be the LF that the line end of the frame before still wanted.
	for l := (lines{b: text, lf: -1}); l.i < len(text); {
		line, _ := l.next()
		// A line without a colon is a field with an empty value; one that begins with it, a comment.
		name, value, _ := bytes.Cut(line, []byte(":"))
		if len(value) > 0 && value[0] == ' ' {
			value = value[1:]
		}
		switch string(name) {
		case "data":
			s.addData(f, value)
		case "event":
			f.Event = value
		}
	}
}

// addData adds a line of data. The first is taken where it lies, those of a frame with several are joined.
func (s *Frames) addData(f *Frame, value []byte) {
	switch {
	case f.Comment:
		f.Data, f.Comment = value, false
		if value == nil {
			f.Data = []byte{}
		}
		s.joined = s.joined[:0]
		return
	case len(s.joined) == 0:
		s.joined = append(s.joined, f.Data...)
	}
	s.joined = append(s.joined, '\n')
	s.joined = append(s.joined, value...)
	f.Data = s.joined
}

// lines walks over lines that end with CR, LF or CRLF. It remembers where the next LF is, so that a text
// with CRs only is not searched to its end at every line.
type lines struct {
	b  []byte
	i  int
	lf int
}

// next moves behind the next line end and returns the line before it; false when the text ends without one.
func (l *lines) next() (line []byte, terminated bool) {
	start := l.i
	if l.lf < start {
		if l.lf = bytes.IndexByte(l.b[start:], '\n'); l.lf < 0 {
			l.lf = len(l.b)
		} else {
			l.lf += start
		}
	}
	end := l.lf
	if cr := bytes.IndexByte(l.b[start:end], '\r'); cr >= 0 {
		end = start + cr
	}
	if end == len(l.b) {
		l.i = end
		return l.b[start:], false
	}
	l.i = end + 1
	if l.b[end] == '\r' && l.i < len(l.b) && l.b[l.i] == '\n' {
		l.i++
	}
	return l.b[start:end], true
}
