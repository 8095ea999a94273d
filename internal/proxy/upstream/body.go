// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package upstream

import (
	"errors"
	"io"
)

// Read reads the body; io.EOF marks its end. An answer that ends before its
// framing says so is an *Error of PhaseBody with io.ErrUnexpectedEOF. Every
// error but a timeout is final. The bytes are read straight into p, also those
// of chunks: a stream wants a p of some KiB.
func (e *Exchange) Read(p []byte) (int, error) {
	switch {
	case e.framing == complete:
		return 0, io.EOF
	case e.err != nil:
		return 0, e.err
	case len(p) == 0:
		return 0, nil
	}
	switch e.framing {
	case byLength:
		return e.readLength(p)
	case byChunks:
		return e.readChunks(p)
	case byClose:
		return e.readClose(p)
	default:
		return 0, errNoAnswer
	}
}

func (e *Exchange) readLength(p []byte) (int, error) {
	n, err := e.fill(p[:min(int64(len(p)), e.left)])
	if err != nil {
		return 0, e.broken(err)
	}
	if e.left -= int64(n); e.left == 0 {
		e.framing = complete
		e.settle()
	}
	return n, nil
}

func (e *Exchange) readChunks(p []byte) (int, error) {
	for {
		raw, err := e.fill(p)
		if err != nil {
			return 0, e.broken(err)
		}
		n, used, err := e.chunks.decode(p[:raw])
		switch {
		case err != nil:
			// What came before it is good; the error waits for the next call.
			err = e.fail(err)
		case e.chunks.state == chunkedDone:
			e.framing = complete
			e.keep = e.keep && used == raw
			e.settle()
			err = io.EOF
		}
		if n > 0 {
			return n, nil
		}
		if err != nil {
			return 0, err
		}
	}
}

func (e *Exchange) readClose(p []byte) (int, error) {
	n, err := e.fill(p)
	if errors.Is(err, io.EOF) {
		e.framing = complete
		return 0, io.EOF
	}
	if err != nil {
		return 0, e.broken(err)
	}
	return n, nil
}

// broken turns an error of the socket into one of the body. After a timeout the
// exchange goes on.
func (e *Exchange) broken(err error) error {
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	if isTimeout(err) && !e.wasCanceled() {
		return e.failure(err)
	}
	return e.fail(err)
}

// fill reads raw bytes of the answer: first what came with the head.
func (e *Exchange) fill(p []byte) (int, error) {
	if e.from < e.to {
		n := copy(p, e.buffer[e.from:e.to])
		e.from += n
		return n, nil
	}
	if !e.armed {
		_ = e.conn.SetReadDeadline(e.deadline) // fails only on a closed socket
		e.conn.timed = e.conn.timed || !e.deadline.IsZero()
		e.armed = true
	}
	return e.readSocket(p)
}

// readSocket reads at least one byte or returns an error.
func (e *Exchange) readSocket(p []byte) (int, error) {
	n, err := e.conn.stream().Read(p)
	if n > 0 {
		e.began = true
		if err != nil {
			// The farewell of TLS came with the bytes.
			e.keep = false
		}
		return n, nil
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	return 0, err
}
