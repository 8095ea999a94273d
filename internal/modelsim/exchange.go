// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package modelsim

import (
	"crypto/tls"
	"errors"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/turnout-ai/turnout/internal/modelsim/ledger"
)

// contentJSON and contentSSE are the media types of answers.
const (
	contentJSON = "application/json"
	contentSSE  = "text/event-stream; charset=utf-8"
)

// errGone says that the client went away; errAborted that the answer was broken off on purpose.
var (
	errGone    = errors.New("the client went away")
	errAborted = errors.New("broken off by a fault")
)

// exchange is one request and its answer.
type exchange struct {
	sim    *Sim
	w      http.ResponseWriter
	r      *http.Request
	start  time.Time
	random *rand.Rand

	// params, timing and fault are set by serve before anything is answered.
	params *params
	// connection is ConnectionFresh or ConnectionReused.
	connection string
	timing     Timing
	fault      *Fault

	// record is the latest state of the books; final is true after a final line. said is the answer of the
	// model, as far as there is one.
	record ledger.Record
	final  bool
	said   *reply
}

// book writes a line before the effect it announces. After an error the effect must not happen. There is one
// final line: who leaves after the last bytes were announced had them sent.
func (x *exchange) book(event ledger.Event) error {
	if x.final {
		return nil
	}
	x.final = event.Final()
	x.record.Event = event
	x.record.Time = time.Now().UTC()
	if x.sim.config.Ledger == nil {
		return nil
	}
	return x.sim.config.Ledger.Append(&x.record)
}

// waitUntil waits; it ends early when the client goes away.
func (x *exchange) waitUntil(until time.Time) error {
	left := time.Until(until)
	if left <= 0 {
		// Nothing to wait for, but whoever is gone should not be served.
		if x.r.Context().Err() != nil {
			return errGone
		}
		return nil
	}
	timer := time.NewTimer(left)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-x.r.Context().Done():
		return errGone
	}
}

// pause waits for so long, or until the client leaves when it is 0.
func (x *exchange) pause(wait time.Duration) error {
	if wait > 0 {
		return x.waitUntil(time.Now().Add(wait))
	}
	<-x.r.Context().Done()
	return errGone
}

// thinking is when so many tokens (one after the other, behind the reasoning) have been produced.
func (x *exchange) thinking(tokens int) time.Time {
	begin := x.start.Add(max(x.timing.Latency, x.timing.TimeToFirstToken))
	if x.timing.TokensPerSecond > 0 {
		begin = begin.Add(time.Duration(float64(tokens) / x.timing.TokensPerSecond * float64(time.Second)))
	}
	return begin
}

// thought is how many tokens that nobody has seen yet have been produced by now: providers bill them to a client
// that did not wait for the end. They are those of a JSON answer, and the hidden reasoning of a stream, which
// keeps count of the others in the record.
func (x *exchange) thought() int {
	if x.said == nil || x.timing.TokensPerSecond == 0 {
		return 0
	}
	whole := x.said.tokens.Completion
	if x.said.steps != nil {
		whole = x.said.hidden
	}
	done := float64(time.Since(x.thinking(0))) / float64(time.Second) * x.timing.TokensPerSecond
	return min(max(int(done), 0), whole)
}

// refuse answers with an error.
func (x *exchange) refuse(err *apiError) error {
	return x.whole(err.status, contentJSON, err.body())
}

// whole sends an answer that is complete.
func (x *exchange) whole(status int, contentType string, body []byte) error {
	return x.sendWhole(ledger.Finished, status, contentType, body)
}

// sendWhole sends a whole HTTP message and books it with that event.
func (x *exchange) sendWhole(event ledger.Event, status int, contentType string, body []byte) error {
	body, err := x.begin(status, contentType, body)
	if err != nil {
		return err
	}
	if err := x.book(event); err != nil {
		return err
	}
	x.w.WriteHeader(status)
	if _, err := x.w.Write(body); err != nil && !errors.Is(err, http.ErrBodyNotAllowed) {
		return errGone
	}
	return nil
}

// begin announces the head and sets the headers of a JSON answer; it returns the body as it will be sent.
func (x *exchange) begin(status int, contentType string, body []byte) ([]byte, error) {
	header := x.w.Header()
	if contentType != "" {
		header.Set("Content-Type", contentType)
	} else {
		header["Content-Type"] = nil // net/http must not guess one
	}
	body = x.sim.compress(header, x.r, body)
	if status != http.StatusNoContent && status != http.StatusNotModified {
		header.Set("Content-Length", strconv.Itoa(len(body)))
	}
	header.Set("Openai-Processing-Ms", strconv.FormatInt(time.Since(x.start).Milliseconds(), 10))
	x.record.Status = status
	return body, x.book(ledger.Head)
}

// deliver sends what the model says, at its speed, spoiled by the fault if there is one.
func (x *exchange) deliver(out *reply) error {
	x.said = out
	x.record.Tokens.Prompt, x.record.Tokens.Cached = out.tokens.Prompt, out.tokens.Cached
	if out.steps != nil {
		return x.stream(out)
	}
	due := x.start.Add(x.timing.Latency)
	if tokens := out.reasoning + out.rounds; tokens > 0 {
		due = x.thinking(tokens)
	}
	if err := x.waitUntil(due); err != nil {
		return err
	}
	x.record.Tokens = out.tokens
	if x.fault != nil {
		return x.spoilJSON(out.body)
	}
	return x.whole(http.StatusOK, contentJSON, out.body)
}

// spoilJSON sends a JSON answer that goes wrong on the way. What the client cannot read is booked as broken off.
func (x *exchange) spoilJSON(body []byte) error {
	switch x.fault.kind.spoil {
	case spoilErrorFrame:
		return x.sendWhole(ledger.Aborted, http.StatusOK, contentJSON, x.fault.error(x, x.fault.code).body)
	case spoilGarbage:
		return x.sendWhole(ledger.Aborted, http.StatusOK, contentJSON, append([]byte("<<garbage>> "), body...))
	case spoilEmpty:
		return x.sendWhole(ledger.Aborted, http.StatusOK, contentJSON, nil)
	case spoilCut, spoilHangBody, spoilStall:
		return x.halfJSON(body)
	case spoilResetAfter:
		if err := x.whole(http.StatusOK, contentJSON, body); err != nil {
			return err
		}
		return x.resetLater(false)
	case spoilSilent:
		return x.lateJSON(body)
	case spoilNothing, spoilHang, spoilPings, spoilSlow:
	}
	return x.whole(http.StatusOK, contentJSON, body)
}

// halfJSON sends half of a body, and then the end of the connection, or silence and the other half.
func (x *exchange) halfJSON(body []byte) error {
	cut := x.fault.spoils(spoilCut)
	if cut && x.fault.how == howClean {
		return x.sendWhole(ledger.Aborted, http.StatusOK, contentJSON, body[:len(body)/2])
	}
	body, err := x.begin(http.StatusOK, contentJSON, body)
	if err != nil {
		return err
	}
	// The head promises the whole length, so a client can tell that something is missing.
	half := len(body) / 2
	if x.fault.spoils(spoilHangBody) {
		half = 0
	}
	x.w.WriteHeader(http.StatusOK)
	if err := x.send(body[:half]); err != nil {
		return err
	}
	if cut {
		return x.abort(x.fault.how)
	}
	if err := x.pause(x.fault.wait); err != nil {
		return err
	}
	if err := x.book(ledger.Finished); err != nil {
		return err
	}
	return x.send(body[half:])
}

// lateJSON sends blank lines until it is time for the body, as DeepSeek does to keep a connection open.
func (x *exchange) lateJSON(body []byte) error {
	s := &streaming{exchange: x}
	if err := s.head(contentJSON); err != nil {
		return err
	}
	if err := s.keepAlive("\n"); err != nil {
		return err
	}
	if err := x.book(ledger.Finished); err != nil {
		return err
	}
	if err := s.frame(string(body)); err != nil {
		return err
	}
	return s.end()
}

// send writes and flushes.
func (x *exchange) send(data []byte) error {
	if _, err := x.w.Write(data); err != nil {
		return errGone
	}
	if err := http.NewResponseController(x.w).Flush(); err != nil {
		return errGone
	}
	return nil
}

// abort books that the answer is broken off, and breaks it off.
func (x *exchange) abort(how string) error {
	if err := x.book(ledger.Aborted); err != nil {
		return err
	}
	x.sever(how)
	return errAborted
}

// sever ends the connection: with RST, or with FIN in the middle of whatever was being sent.
func (x *exchange) sever(how string) {
	// Whatever was to be seen has been flushed; what net/http still holds goes down with the connection.
	conn, _, err := http.NewResponseController(x.w).Hijack()
	if err != nil {
		if errors.Is(err, http.ErrHijacked) {
			return // severed already
		}
		// The documented way to break an answer off where the connection cannot be had.
		panic(http.ErrAbortHandler)
	}
	if how == howRST {
		drain(conn)
		reset(conn)
		return
	}
	_ = conn.Close() // it is to end; how it ends is not ours
}

// resetDelay is how long a client that does not read keeps a reset from happening.
const resetDelay = time.Second

// drain waits until the other side has what was sent: a reset throws away what is still queued, and how much
// that is would be chance.
func drain(conn net.Conn) {
	socket, ok := below(conn).(*net.TCPConn)
	if !ok {
		return
	}
	tick := time.NewTicker(100 * time.Microsecond)
	defer tick.Stop()
	for end := time.Now().Add(resetDelay); queued(socket) > 0 && time.Now().Before(end); {
		<-tick.C
	}
}

// below is the socket under a connection.
func below(conn net.Conn) net.Conn {
	if secured, ok := conn.(*tls.Conn); ok {
		return secured.NetConn()
	}
	return conn
}

// reset closes a connection with RST, below TLS: a reset has no manners, so there is no close_notify.
func reset(conn net.Conn) {
	raw := below(conn)
	if socket, ok := raw.(*net.TCPConn); ok {
		_ = socket.SetLinger(0) // fails on closed sockets only
	}
	_ = raw.Close()
}

// resetLater lets go of a connection on which a whole answer was sent, and resets it while it is idle.
func (x *exchange) resetLater(chunked bool) error {
	if err := http.NewResponseController(x.w).Flush(); err != nil {
		return errGone
	}
	conn, _, err := http.NewResponseController(x.w).Hijack()
	if err != nil {
		return errGone
	}
	// net/http ends a chunked body when the handler returns, but not on a connection that was taken from it.
	if chunked {
		if _, err := conn.Write([]byte("0\r\n\r\n")); err != nil {
			return errGone
		}
	}
	time.AfterFunc(x.fault.wait, func() {
		drain(conn)
		reset(conn)
	})
	return nil
}
