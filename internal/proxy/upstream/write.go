// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package upstream

import (
	"net"
	"sync"
	"time"
)

// Request is what one exchange sends. The caller writes the head, with Host and
// Content-Length; nothing is added and nothing is copied, so its memory must not
// change until Close or a failed Do.
type Request struct {
	// Head is the complete request head, ending in an empty line. A head that
	// begins with "HEAD " expects no body in the answer.
	Head []byte
	// Body is sent after it, in order; pieces may be empty.
	Body [MaxPieces][]byte
	// Fresh asks for a new connection.
	Fresh bool
	// ConnectTimeout bounds name resolution and connecting together, TLSTimeout
	// the handshake. Zero means that only HeadDeadline bounds them.
	ConnectTimeout, TLSTimeout time.Duration
	// HeadDeadline is when the head of the answer must have arrived. It bounds
	// everything before, too. Zero means no bound.
	HeadDeadline time.Time
	// Pause is when Do returns ErrNotYet if the head has not come, so that the
	// caller can do something else meanwhile. Zero means never.
	Pause time.Time
}

// MaxPieces is how many pieces a body has at most.
const MaxPieces = 5

const (
	// inlineWrite is what is written before the first read. It fits the send
	// buffer of an idle connection, so that writing it does not wait for the
	// peer. More is written beside the reading, for a peer may answer "too
	// large" early and stop reading.
	inlineWrite = 32 << 10
	// tlsRecord is the largest TLS record: larger pieces are sent as they are,
	// smaller ones are gathered.
	tlsRecord = 16 << 10
)

// States of the sending side.
const (
	sendIdle int32 = iota
	sendBusy
	sendDone
	sendFailed
)

// tlsBuffers gather small pieces, so that head and body share a record.
var tlsBuffers = sync.Pool{New: func() any { return new([tlsRecord]byte) }}

// send writes the request, or starts to. Its outcome is in sendState.
func (e *Exchange) send(r *Request) {
	e.pieces[0] = r.Head
	copy(e.pieces[1:], r.Body[:])
	total := 0
	for _, p := range e.pieces {
		total += len(p)
	}
	e.sendState.Store(sendBusy)
	// Not e.conn inside: it changes hands while the writer is still running.
	c := e.conn
	if total <= inlineWrite {
		e.write(c)
		return
	}
	e.writer.Go(func() { e.write(c) })
}

// write sends the pieces. When it runs beside the reading, sendState publishes
// what it leaves behind.
func (e *Exchange) write(c *conn) {
	var err error
	if c.tls != nil {
		err = e.writeTLS(c)
	} else {
		err = e.writeVector(c)
	}
	e.pieces = [1 + MaxPieces][]byte{} // a long answer must not hold a request that was sent
	e.sendErr = err
	if err != nil {
		e.sendState.Store(sendFailed)
		return
	}
	e.sendState.Store(sendDone)
}

// writeVector hands all pieces to the kernel at once.
func (e *Exchange) writeVector(c *conn) error {
	e.vector = net.Buffers(e.pieces[:0])
	for _, p := range e.pieces {
		if len(p) > 0 {
			e.vector = append(e.vector, p)
		}
	}
	n, err := e.vector.WriteTo(c.Conn)
	e.sent = n > 0
	return err
}

// writeTLS gathers what is smaller than a record and passes the rest through.
func (e *Exchange) writeTLS(c *conn) error {
	buffer := tlsBuffers.Get().(*[tlsRecord]byte)
	defer tlsBuffers.Put(buffer)
	err := gather(c.tls, buffer[:0], e.pieces[:])
	e.sent = c.sent.Load() > 0
	return err
}

func gather(w net.Conn, buffer []byte, pieces [][]byte) error {
	for _, p := range pieces {
		for len(p) > 0 {
			if whole := len(p) - len(p)%cap(buffer); len(buffer) == 0 && whole > 0 {
				if _, err := w.Write(p[:whole]); err != nil {
					return err
				}
				p = p[whole:]
				continue
			}
			n := copy(buffer[len(buffer):cap(buffer)], p)
			buffer, p = buffer[:len(buffer)+n], p[n:]
			if len(buffer) < cap(buffer) {
				continue
			}
			if _, err := w.Write(buffer); err != nil {
				return err
			}
			buffer = buffer[:0]
		}
	}
	if len(buffer) == 0 {
		return nil
	}
	_, err := w.Write(buffer)
	return err
}
