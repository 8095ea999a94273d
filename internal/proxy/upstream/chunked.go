// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package upstream

import "errors"

// What is refused in a chunked body.
var (
	errChunkSize  = errors.New("a chunk size is malformed")
	errChunkEnd   = errors.New("a chunk does not end where its size says")
	errChunkWaste = errors.New("the chunks carry too much besides data")
	errTrailer    = errors.New("the trailer is malformed or too long")
)

const (
	// maxSizeDigits keeps a chunk size inside 60 bits.
	maxSizeDigits = 15
	// maxChunkExtension bounds what follows one chunk size, which nobody reads.
	maxChunkExtension = 256
	// maxChunkWaste bounds framing beyond 16 bytes per chunk and twice the data,
	// over the whole body: tiny chunks are how tokens are streamed, long
	// extensions on them are an attack.
	maxChunkWaste = 8 << 10
	// maxTrailer bounds all trailer fields together. They are dropped.
	maxTrailer = 2 << 10
)

// chunkState is what the next byte has to be.
type chunkState uint8

const (
	chunkSize      chunkState = iota // a hexadecimal digit, or what may follow the last
	chunkPadding                     // white space after a size
	chunkExtension                   // anything to the end of the line
	chunkSizeLF
	chunkData
	chunkDataCR
	chunkDataLF
	trailerStart // a trailer field, or CR LF at last
	trailerName
	trailerValue
	trailerLF
	chunkedEndLF
	chunkedDone
)

// chunkReader takes chunked framing off, in place: it owns no buffer, so that an
// open stream costs none. The zero value is ready for a new body.
type chunkReader struct {
	left   uint64 // size being read, then bytes of data still to come
	waste  int
	line   int // bytes of the current size line or of the trailer so far
	digits uint8
	state  chunkState
}

// decode takes the framing off p: the data is moved to p[:n]. It uses all of p
// unless the body ends before; used < len(p) then counts to the end of the body.
// Any split of a body over calls gives the same data.
func (c *chunkReader) decode(p []byte) (n, used int, err error) {
	for used < len(p) && c.state != chunkedDone {
		if c.state == chunkData {
			m := int(min(c.left, uint64(len(p)-used)))
			if n != used {
				copy(p[n:], p[used:used+m])
			}
			n += m
			used += m
			c.left -= uint64(m)
			if c.left == 0 {
				c.state = chunkDataCR
			}
			continue
		}
		if err := c.step(p[used]); err != nil {
			return n, used, err
		}
		used++
	}
	return n, used, nil
}

// step takes one byte of framing.
func (c *chunkReader) step(b byte) error {
	switch c.state {
	case chunkSize, chunkPadding, chunkExtension:
		return c.sizeLine(b)
	case chunkSizeLF:
		return c.begin(b)
	case chunkDataCR:
		return c.expect(b, '\r', chunkDataLF, errChunkEnd)
	case chunkDataLF:
		return c.expect(b, '\n', chunkSize, errChunkEnd)
	case trailerLF:
		return c.expect(b, '\n', trailerStart, errTrailer)
	case chunkedEndLF:
		return c.expect(b, '\n', chunkedDone, errTrailer)
	default:
		return c.trailer(b)
	}
}

func (c *chunkReader) expect(b, want byte, next chunkState, otherwise error) error {
	if b != want {
		return otherwise
	}
	c.state = next
	return nil
}

// sizeLine reads "1a2b;name=value" up to its CR.
func (c *chunkReader) sizeLine(b byte) error {
	if b == '\r' && c.digits > 0 {
		c.state = chunkSizeLF
		return nil
	}
	if c.line++; c.line > maxSizeDigits+maxChunkExtension {
		return errChunkWaste
	}
	switch c.state {
	case chunkSize:
		return c.sizeDigit(b)
	case chunkPadding:
		if b != ' ' && b != '\t' {
			return errChunkSize
		}
	default:
		if byteClass[b]&valueByte == 0 {
			return errChunkSize
		}
	}
	return nil
}

func (c *chunkReader) sizeDigit(b byte) error {
	digit, ok := hexDigit(b)
	switch {
	case ok && c.digits < maxSizeDigits:
		c.left = c.left<<4 | uint64(digit)
		c.digits++
		return nil
	case c.digits > 0 && b == ';':
		c.state = chunkExtension
		return nil
	case c.digits > 0 && (b == ' ' || b == '\t'):
		c.state = chunkPadding
		return nil
	}
	return errChunkSize
}

// begin ends a size line and opens the chunk, or after the last one the trailer.
func (c *chunkReader) begin(b byte) error {
	if b != '\n' {
		return errChunkSize
	}
	// Two bytes more for the CR LF after the data. A chunk can be so large that
	// twice its size is no int; its waste is zero then.
	c.waste += c.line + 2 - 16
	if c.left > maxChunkWaste {
		c.waste = 0
	} else {
		c.waste = max(0, c.waste-2*int(c.left))
	}
	if c.waste > maxChunkWaste {
		return errChunkWaste
	}
	c.line, c.digits = 0, 0
	c.state = chunkData
	if c.left == 0 {
		c.state = trailerStart
	}
	return nil
}

// trailer skips fields up to the empty line. They are checked like headers, so
// that nothing that is no trailer passes for the end of a body.
func (c *chunkReader) trailer(b byte) error {
	if c.line++; c.line > maxTrailer {
		return errTrailer
	}
	switch {
	case c.state == trailerStart && b == '\r':
		c.state = chunkedEndLF
	case c.state == trailerName && b == ':':
		c.state = trailerValue
	case c.state == trailerValue && b == '\r':
		c.state = trailerLF
	case c.state == trailerValue && byteClass[b]&valueByte != 0:
	case c.state != trailerValue && byteClass[b]&tokenByte != 0:
		c.state = trailerName
	default:
		return errTrailer
	}
	return nil
}

func hexDigit(b byte) (byte, bool) {
	switch {
	case b >= '0' && b <= '9':
		return b - '0', true
	case b >= 'a' && b <= 'f':
		return b - 'a' + 10, true
	case b >= 'A' && b <= 'F':
		return b - 'A' + 10, true
	}
	return 0, false
}
