// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package upstream

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// Exchange is one attempt: from the connection to the last byte of the answer.
// The zero value is ready for Do, and after Close ready for the next one; it may
// be pooled but not copied. Only Cancel may be called from other goroutines.
type Exchange struct {
	mu sync.Mutex // guards stop and canceled
	// stop interrupts what the exchange waits for: it cancels a dial or closes
	// the connection. Whoever takes it out owns the connection's end, so that it
	// is either closed or given back, never both.
	stop     func()
	canceled bool

	conn    *conn // nil when there is none
	address string
	phase   Phase
	reused  bool
	began   bool // a byte of the answer arrived
	headOf  bool // the request was a HEAD

	sendState atomic.Int32
	sendErr   error
	sent      bool
	writer    sync.WaitGroup
	pieces    [1 + MaxPieces][]byte
	vector    net.Buffers

	head     head
	buffer   []byte // head of the answer, then what arrived with it
	from, to int    // bytes of buffer not yet consumed
	framing  framing
	left     int64 // of a body with a length
	chunks   chunkReader
	keep     bool // the connection may serve again, as far as known
	err      error
	headBy   time.Time // the request's HeadDeadline
	maxHead  int
	deadline time.Time // for reads of the body
	armed    bool      // deadline is set on the socket
}

// framing is what ends a body.
type framing uint8

const (
	noAnswer framing = iota
	complete         // nothing is left
	byLength
	byChunks
	byClose
)

// maxInterim bounds 1xx answers before the final one.
const maxInterim = 8

// ErrNotYet says that the head of the answer has not come by the pause that was asked for. The exchange goes on:
// see Await.
var ErrNotYet = errors.New("the head of the answer has not come yet")

var errNoAnswer = errors.New("there is no answer to read: Do has not succeeded, or the exchange is closed")

// Do sends the request and returns when the head of the final answer was parsed;
// the body is read with Read. Every error but ErrNotYet is an *Error, after
// which no connection is held. An answer that comes before the request was sent
// completely is an answer.
func (t *Transport) Do(e *Exchange, target *Target, r *Request) error {
	e.end(false)
	e.address = target.Address
	e.phase = PhaseDial
	e.headOf = bytes.HasPrefix(r.Head, []byte("HEAD "))
	if err := e.connect(t.pool(target), r); err != nil {
		return err
	}
	e.headBy, e.maxHead = r.HeadDeadline, t.maxHead
	e.conn.setDeadline(r.HeadDeadline)
	e.phase = PhaseWrite
	e.send(r)
	e.phase = PhaseHead
	if r.Pause.IsZero() {
		return e.receive(false)
	}
	return e.Await(r.Pause)
}

// Await waits for the head of the final answer after Do, or Await, has returned
// ErrNotYet. It does so again if the head has not come by pause; the zero time
// is none. The request's HeadDeadline holds all along.
func (e *Exchange) Await(pause time.Time) error {
	if e.phase != PhaseHead || e.conn == nil {
		return errNoAnswer
	}
	if !pause.IsZero() && (e.headBy.IsZero() || pause.Before(e.headBy)) {
		// Only the reading pauses: a long request may still be on its way out.
		_ = e.conn.SetReadDeadline(pause) // fails only on a closed socket
		e.conn.timed = true
		return e.receive(true)
	}
	_ = e.conn.SetReadDeadline(e.headBy)
	return e.receive(false)
}

// Status is the status code of the answer.
func (e *Exchange) Status() int { return e.head.status }

// Header returns the value of the first header with that name, compared without
// regard to case, or nil. It is valid until Close.
func (e *Exchange) Header(name string) []byte { return e.head.lookup(name) }

// EachHeader calls f for every header in the order of arrival. The slices are
// valid until Close.
func (e *Exchange) EachHeader(f func(name, value []byte)) { e.head.each(f) }

// ContentLength is the declared length of the body in bytes, -1 if unknown. The
// answer to a HEAD declares a length and has no body.
func (e *Exchange) ContentLength() int64 {
	if !e.headOf && e.head.status != 0 && e.head.bodiless() {
		return 0
	}
	return e.head.length
}

// Reused reports that the connection came from the pool.
func (e *Exchange) Reused() bool { return e.reused }

// Sent reports that a byte of the request may have left this process.
func (e *Exchange) Sent() bool {
	switch e.sendState.Load() {
	case sendIdle:
		return false
	case sendBusy:
		return true
	}
	return e.sent
}

// SetReadDeadline bounds each following Read that has to wait for the network.
// The zero time, as after Do, means no bound. A Read that timed out may be
// repeated: no byte is lost.
func (e *Exchange) SetReadDeadline(t time.Time) {
	// The socket is told when it has to wait: most small answers never do.
	if e.armed && t.Equal(e.deadline) {
		return
	}
	e.deadline, e.armed = t, false
}

// Cancel ends the exchange from any goroutine and in any phase: the blocked call
// returns at once with Error.Canceled. It holds until Close, so that a Cancel
// between two attempts stops the second. A Cancel after Close and before the
// next Do stops that one: whoever may cancel must have stopped before the
// Exchange is given to another request.
func (e *Exchange) Cancel() {
	e.mu.Lock()
	stop := e.stop
	e.stop = nil
	e.canceled = true
	e.mu.Unlock()
	if stop != nil {
		stop()
	}
}

// Close ends the exchange: the connection goes back to the pool if the answer
// was read to its end and nothing speaks against another, else it is closed. It
// may be called again, and forgets a Cancel. No slice of the request is used and
// no slice of the answer valid any more.
func (e *Exchange) Close() { e.end(true) }

// end puts the connection where it belongs and the Exchange into its first
// state.
func (e *Exchange) end(forget bool) {
	e.mu.Lock()
	owned := e.stop != nil
	e.stop = nil
	if forget {
		e.canceled = false
	}
	e.mu.Unlock()
	if c := e.conn; c != nil {
		e.conn = nil
		switch {
		case !owned: // Cancel closed it
		case e.keep && e.framing == complete && c.raw != nil && e.sentAll(c):
			c.pool.put(c)
		default:
			c.close()
		}
		e.writer.Wait()
	}
	e.reset()
}

// sentAll reports that the whole request was sent, once nothing writes any more.
func (e *Exchange) sentAll(c *conn) bool {
	if e.sendState.Load() == sendBusy {
		// Either the writer has sent the last byte and only not said so yet, or
		// the peer answered without reading on; a deadline tells them apart.
		c.timed = true
		_ = c.SetWriteDeadline(time.Unix(1, 0)) // fails only on a closed socket
		e.writer.Wait()
	}
	return e.sendState.Load() == sendDone
}

func (e *Exchange) reset() {
	e.sendState.Store(sendIdle)
	e.sendErr, e.sent = nil, false
	e.pieces, e.vector = [1 + MaxPieces][]byte{}, nil
	e.head = head{fields: e.head.fields[:0], length: -1}
	if cap(e.buffer) > retainedBuffer {
		e.buffer = nil
	}
	e.from, e.to = 0, 0
	e.framing, e.left, e.chunks = noAnswer, 0, chunkReader{}
	e.reused, e.began, e.keep = false, false, false
	e.err, e.deadline, e.armed = nil, time.Time{}, false
	e.headBy = time.Time{}
}

// lend publishes how to interrupt the exchange from now on; false if it was
// canceled.
func (e *Exchange) lend(stop func()) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.canceled {
		return false
	}
	e.stop = stop
	return true
}

// reclaim takes back what was lent; false if Cancel has used it.
func (e *Exchange) reclaim() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	owned := e.stop != nil
	e.stop = nil
	return owned
}

func (e *Exchange) wasCanceled() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.canceled
}

// fail closes the connection and says in which phase the exchange ended, and
// why.
func (e *Exchange) fail(cause error) error {
	// Before the connection is closed, for that makes a sender fail as well.
	sending := e.sendState.Load()
	if c := e.conn; c != nil {
		e.conn = nil
		if e.reclaim() {
			c.close()
		}
		e.writer.Wait()
	}
	if e.phase == PhaseHead {
		e.head = head{fields: e.head.fields[:0], length: -1}
		cause = e.blame(sending, cause)
	}
	e.framing = noAnswer
	e.err = e.failure(cause)
	return e.err
}

// blame decides between the two directions: a request that did not get out is
// the earlier failure.
func (e *Exchange) blame(sending int32, cause error) error {
	switch {
	case sending == sendDone:
		return cause
	case e.began && !isTimeout(cause) && sending == sendBusy:
		return cause // a malformed or cut early answer
	}
	e.phase = PhaseWrite
	if sending == sendFailed {
		return e.sendErr
	}
	return cause
}

func (e *Exchange) failure(cause error) error {
	canceled := e.wasCanceled()
	return &Error{
		Phase:       e.phase,
		Address:     e.address,
		Reused:      e.reused,
		Sent:        e.Sent(),
		AnswerBegan: e.began,
		Timeout:     !canceled && isTimeout(cause),
		Canceled:    canceled,
		Err:         cause,
	}
}

// receive reads heads until the final one and prepares the body. pausing says
// that the deadline of the socket is a pause.
func (e *Exchange) receive(pausing bool) error {
	if e.buffer == nil {
		e.buffer = make([]byte, retainedBuffer)
	}
	for range maxInterim + 1 {
		end, err := e.readHead(e.maxHead)
		if pausing && errors.Is(err, os.ErrDeadlineExceeded) && !e.wasCanceled() {
			return ErrNotYet
		}
		if err == nil {
			err = e.head.parse(e.buffer[:end])
		}
		if err == nil && e.head.status == 101 {
			err = errSwitch
		}
		if err != nil {
			return e.fail(err)
		}
		if e.head.status >= 200 {
			e.from = end
			e.frame()
			return nil
		}
		e.to = copy(e.buffer, e.buffer[end:e.to])
		e.head = head{fields: e.head.fields[:0], length: -1} // it is no answer
	}
	return e.fail(errTooManyInterim)
}

var emptyLine = []byte("\r\n\r\n")

// readHead reads until the buffer holds a whole head and returns where it ends.
func (e *Exchange) readHead(limit int) (int, error) {
	searched := 0
	for {
		if i := bytes.Index(e.buffer[searched:e.to], emptyLine); i >= 0 {
			return searched + i + len(emptyLine), nil
		}
		// Whoever does not speak HTTP may never send an empty line.
		if err := notHTTP(e.buffer[:e.to]); err != nil {
			return 0, err
		}
		searched = max(0, e.to-len(emptyLine)+1)
		if e.to == len(e.buffer) {
			if e.to >= limit {
				return 0, errHeadTooLong
			}
			e.buffer = append(make([]byte, 0, min(2*e.to, limit)), e.buffer...)
			e.buffer = e.buffer[:cap(e.buffer)]
		}
		n, err := e.readSocket(e.buffer[e.to:])
		e.to += n
		if err != nil {
			if e.began && errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return 0, err
		}
	}
}

// notHTTP judges the beginning of a head.
func notHTTP(b []byte) error {
	if !beginsHTTP(b) {
		return errNotHTTP
	}
	if i := bytes.IndexByte(b, '\n'); i > 0 && b[i-1] != '\r' {
		return errBareLF
	}
	return nil
}

// frame decides what ends the body, RFC 9112 §6.3.
func (e *Exchange) frame() {
	h := &e.head
	e.phase = PhaseBody
	e.keep = !h.closing
	e.armed = !e.conn.timed // the head's deadline is not the body's
	switch {
	case e.headOf:
		e.framing = complete
	case h.bodiless():
		// A body where none may be is found by the next use of the connection.
		e.keep = e.keep && !h.chunked && (h.status == 304 || h.length <= 0)
		e.framing = complete
	case h.chunked:
		e.framing = byChunks
	case h.length < 0:
		e.framing, e.keep = byClose, false
	case h.length == 0:
		e.framing = complete
	default:
		e.framing, e.left = byLength, h.length
	}
	e.settle()
}

// settle looks for bytes after a complete answer: whoever sends them has another
// idea of where it ended.
func (e *Exchange) settle() {
	if e.framing == complete && e.from < e.to {
		e.keep = false
	}
}
