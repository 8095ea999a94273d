// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package upstream

import (
	"crypto/tls"
	"errors"
	"net"
	"sync/atomic"
	"syscall"
	"time"
)

// conn is one connection. At any moment it has one owner: an exchange, a pool,
// or whoever is about to close it. Only the owner touches it, but for stop.
type conn struct {
	net.Conn           // the socket
	tls      *tls.Conn // nil: plaintext
	pool     *pool
	// stop closes the socket; bound once, so that an exchange can lend it to
	// Cancel without allocating.
	stop func()
	raw  syscall.RawConn // nil: cannot be watched, so is not pooled
	look func(fd uintptr)
	seen struct {
		one [1]byte
		err error
	}
	tick    uint32 // of the pool's clock, when it was given back
	timed   bool   // a deadline may be set on the socket
	probing bool
	sent    atomic.Int64 // bytes written under TLS, by either direction
}

func newConn(p *pool, nc net.Conn) *conn {
	c := &conn{Conn: nc, pool: p}
	c.stop = c.close
	if sc, ok := nc.(syscall.Conn); ok {
		if raw, err := sc.SyscallConn(); err == nil {
			c.raw = raw
		}
	}
	c.look = func(fd uintptr) {
		var n int
		n, _, c.seen.err = syscall.Recvfrom(int(fd), c.seen.one[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		if n >= 0 && c.seen.err == nil {
			c.seen.err = errUnsolicited
		}
	}
	p.transport.open.Add(1)
	return c
}

// errUnsolicited marks a connection with something to read although nothing was
// asked: bytes, or the end.
var errUnsolicited = errors.New("the connection has something to read")

// close closes the socket, without the farewell of TLS: it would wait for a
// peer that may be gone, and answers carry their own length. The owner calls it,
// once.
func (c *conn) close() {
	// Counted first: closing wakes whoever looks at the counts next.
	c.pool.transport.open.Add(-1)
	// Nothing depends on the result: the descriptor is gone either way.
	_ = c.Close()
}

// stream is what request and answer travel over.
func (c *conn) stream() net.Conn {
	if c.tls != nil {
		return c.tls
	}
	return c.Conn
}

// quiet reports that an idle connection is open with nothing to read. Bytes that
// nobody asked for would become the answer to somebody else's request.
func (c *conn) quiet() bool {
	if c.raw == nil || c.raw.Control(c.look) != nil {
		return false
	}
	if !errors.Is(c.seen.err, syscall.EAGAIN) {
		return false
	}
	if c.tls == nil {
		return true
	}
	// TLS may hold bytes that left the socket with the last answer.
	c.probing = true
	_, err := c.tls.Read(c.seen.one[:])
	c.probing = false
	return errors.Is(err, errNothingYet)
}

// Read is the socket as TLS sees it: empty while probing.
func (c *conn) Read(p []byte) (int, error) {
	if c.probing {
		return 0, errNothingYet
	}
	return c.Conn.Read(p)
}

// Write is the socket as TLS sees it: it counts, because TLS cannot say how much
// of a failed write left.
func (c *conn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.sent.Add(int64(n))
	return n, err
}

// setDeadline bounds reading and writing; the zero time lifts the bound.
func (c *conn) setDeadline(t time.Time) {
	if t.IsZero() && !c.timed {
		return
	}
	c.timed = !t.IsZero()
	// It fails only on a closed socket, and the next read or write says so.
	_ = c.SetDeadline(t)
}

// nothingYet is a timeout, which crypto/tls does not hold against a connection.
type nothingYet struct{}

var errNothingYet net.Error = nothingYet{}

func (nothingYet) Error() string   { return "nothing to read yet" }
func (nothingYet) Timeout() bool   { return true }
func (nothingYet) Temporary() bool { return true }
