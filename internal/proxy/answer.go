// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/turnout-ai/turnout/internal/routing"
	"github.com/turnout-ai/turnout/internal/wire"
)

const (
	// wholeLimit is how much of an answer is read before it is committed; up to here a cut answer is an
	// attempt that failed and not an answer that broke.
	wholeLimit = 1 << 20
	// fallbackLimit is the most of an error answer that is kept to be given to the caller later.
	fallbackLimit = 2 * holdLimit
	// errorLeast is the least time that a provider has for the body of an error in place of a stream.
	errorLeast = time.Second
	// readStep is the least room offered to a read of unknown size.
	readStep = 4 << 10
	// deadlineStep is how often a moving deadline is moved at most: setting one costs more than a frame.
	deadlineStep = time.Second
)

// asIsAnswer is an answer of a provider that goes to the caller as it is if nobody has a better one: what is
// wrong lies in the request, but another model may still take it.
type asIsAnswer struct {
	status      int // 0: there is none
	contentType string
	body        []byte
}

// action is what is done with an answer.
type action uint8

const (
	moveOn  action = iota // the next candidate is tried
	keep                  // the same, but the answer is given if nobody has a better one
	give                  // it is the caller's, as it is
	without               // the same endpoint is asked once more, without what was added
)

// actOn decides by what an answer, or an error in a stream that has no content yet, means, and by the policy.
func (r *request) actOn(b *backend, v *wire.Verdict) action {
	if r.refusesOurs(b, v) {
		r.refusedOurs = true
		return without
	}
	switch v.Outcome {
	case wire.Success:
		if v.Filtered && r.route.Policy.NextOnContentFilter {
			v.Outcome = wire.ContentFilter
			return keep
		}
		return give
	case wire.ClientError:
		return give
	case wire.ContentFilter:
		if r.route.Policy.NextOnContentFilter {
			return keep
		}
		return give
	case wire.ContextLength:
		r.tooSmall = max(r.tooSmall, b.endpoint.ContextWindow)
		return keep
	case wire.Unsupported:
		return keep
	default:
		return moveOn
	}
}

// receive takes the answer whose head has arrived.
func (r *request) receive(b *backend) verdict {
	source, err := decoded(&r.exchange, r.exchange.Header("content-encoding"))
	if err != nil {
		return r.unreadable(b)
	}
	contentType := r.exchange.Header("content-type")
	if r.exchange.Status() == http.StatusOK && isEventStream(contentType) {
		if !r.facts.Stream {
			return r.unreadable(b)
		}
		return r.receiveStream(b, source)
	}
	return r.receiveWhole(b, source)
}

func isEventStream(contentType []byte) bool {
	const eventStream = "text/event-stream"
	return len(contentType) >= len(eventStream) && isHeader(contentType[:len(eventStream)], eventStream)
}

// receiveWhole reads an answer into the response's own buffer and judges it. One that is longer than
// wholeLimit is committed there and streamed on.
func (r *request) receiveWhole(b *backend, source io.Reader) verdict {
	body := r.takeBuffer()
	if n := r.exchange.ContentLength(); n > 0 && n <= wholeLimit {
		body = slices.Grow(body, int(n)+1) // one more, so that the read that finds the end has room
	}
	body, err := r.readWhole(source, body)
	if err != nil {
		r.size = b.format.ContentSize(body)
		r.giveBuffer(body[:0])
		return r.broke(b, err)
	}
	if len(body) >= wholeLimit {
		if !r.facts.Stream && r.exchange.Status() == http.StatusOK && bytes.HasPrefix(bytes.TrimLeft(body, " \t\r\n"), []byte("{")) {
			return r.commitLarge(b, source, body)
		}
		r.giveBuffer(body[:0]) // a page, or an error of a mebibyte: nothing that can be passed on
		return r.unreadable(b)
	}
	r.giveBuffer(body)
	return r.judge(b, body)
}

// takeBuffer is where a whole answer goes: into the response itself, unless that is under way.
func (r *request) takeBuffer() []byte {
	if r.opened {
		return r.stream.held[:0]
	}
	return r.ctx.Response.SwapBody(nil)[:0]
}

func (r *request) giveBuffer(body []byte) {
	if r.opened {
		r.stream.held = body
		return
	}
	r.ctx.Response.SwapBody(body)
}

// unreadable ends an attempt whose answer is not what was asked for.
func (r *request) unreadable(b *backend) verdict {
	r.conclude(b, outcomeUnreadable)
	r.exchange.Close()
	return next
}

// readWhole appends source to body until its end or wholeLimit.
func (r *request) readWhole(source io.Reader, body []byte) ([]byte, error) {
	var moved time.Time
	if r.facts.Stream {
		r.boundError()
	}
	for len(body) < wholeLimit {
		if len(body) == cap(body) {
			body = slices.Grow(body, readStep)
		}
		if !r.facts.Stream {
			moved = r.moveReadDeadline(moved)
		}
		n, err := source.Read(body[len(body):min(cap(body), wholeLimit)])
		body = body[:len(body)+n]
		if errors.Is(err, io.EOF) {
			return body, nil
		}
		if err != nil {
			return body, err
		}
	}
	return body, nil
}

// moveReadDeadline lets the provider be silent for the idle timeout from now on; moved is its last result.
func (r *request) moveReadDeadline(moved time.Time) time.Time {
	now, idle := time.Now(), r.route.Policy.Timeouts.Idle
	if now.Sub(moved) < stepFor(idle) {
		return moved
	}
	r.exchange.SetReadDeadline(earlier(now.Add(idle), r.deadline))
	return now
}

// boundError is moveReadDeadline for what a provider answers in place of a stream: an error, whose caller waits for
// content.
func (r *request) boundError() {
	until := r.untilPause(r.contentBy)
	if least := time.Now().Add(errorLeast); until.Before(least) {
		until = least
	}
	r.exchange.SetReadDeadline(earlier(until, r.deadline))
}

// stepFor is how stale a deadline of that length may get before it is moved.
func stepFor(timeout time.Duration) time.Duration { return min(deadlineStep, timeout/8) }

// judge decides over a whole answer, which is in the response's body already.
func (r *request) judge(b *backend, body []byte) verdict {
	status := r.exchange.Status()
	v := b.format.Classify(status, body)
	if v.Outcome == wire.Success && r.facts.Stream {
		r.size = b.format.ContentSize(body)
		r.usage = v.Usage // it was made, though nobody who waits for a stream can read it
		return r.unreadable(b)
	}
	r.usage, r.hint = v.Usage, v.Hint
	if v.Outcome == wire.Success && r.usage == (wire.Usage{}) {
		r.size = b.format.ContentSize(body)
	}
	act := r.actOn(b, &v)
	r.conclude(b, outcome(v.Outcome.String()))
	if status < http.StatusBadRequest && v.Status >= http.StatusBadRequest {
		status = v.Status // an error that came as if it were none
	}
	if act == give {
		r.commitWhole(status)
		return answered
	}
	defer r.giveBuffer(body[:0])
	return r.leave(act, &v, status, body)
}

// leave ends an attempt whose answer, which is none for the caller, came to act, and says what follows.
func (r *request) leave(act action, v *wire.Verdict, status int, body []byte) verdict {
	defer r.exchange.Close()
	switch act {
	case without:
		r.keepStopgap(status, body, v)
		return plainly
	case keep:
		r.keepFallback(status, body)
	case give, moveOn:
	}
	return next
}

// commitWhole gives the caller the answer that is in the response's body.
func (r *request) commitWhole(status int) {
	if status >= http.StatusBadRequest {
		r.log.problem = problemRefused
	}
	if r.opened {
		r.stream.endWith(status, r.stream.held)
		return
	}
	r.ctx.Response.SetStatusCode(status)
	r.setContentType("application/json")
	r.copyAnswerHeaders()
	if wait := r.route.Policy.Timeouts.ClientWrite; wait != routing.DefaultTimeouts.ClientWrite {
		_ = r.ctx.SetWriteDeadline(time.Now().Add(wait)) // the server's own WriteTimeout is the default
	}
	if status >= http.StatusBadRequest {
		r.ctx.Response.Header.Set(shouldRetry, "false")
		r.sayOutcomes()
	}
}

// setContentType passes the provider's content type on, or says what the body is when it has none.
func (r *request) setContentType(absent string) {
	if contentType := r.exchange.Header("content-type"); len(contentType) > 0 {
		r.ctx.Response.Header.SetContentTypeBytes(contentType)
		return
	}
	r.ctx.Response.Header.SetContentType(absent)
}

// keepFallback remembers the first answer that blames the request. A stream comes as far as it was read.
func (r *request) keepFallback(status int, body []byte) {
	if r.fallback.status != 0 || len(body) > fallbackLimit {
		return
	}
	r.fallback.status = status
	r.fallback.contentType = string(r.exchange.Header("content-type"))
	r.fallback.body = append(r.fallback.body[:0], body...)
}

// keepStopgap remembers an answer that may be about what was added to the request, or about the request: it counts if
// the endpoint cannot be asked once more. What names our own field is nothing for a caller.
func (r *request) keepStopgap(status int, body []byte, v *wire.Verdict) {
	if r.fallback.status != 0 || v.Refuses(usageField) {
		return
	}
	r.keepFallback(status, body)
	r.stopgap = true
}

// dropStopgap forgets it again: the endpoint is asked once more.
func (r *request) dropStopgap() {
	if r.stopgap {
		r.fallback.status, r.stopgap = 0, false
	}
}

// largeAnswer is an answer longer than wholeLimit: the part that was read, then the rest from the provider.
type largeAnswer struct {
	request *request
	backend *backend
	source  io.Reader
	begun   bytes.Reader
	tail    []byte // the latest usageTail bytes, where a usage stands
	moved   time.Time
	failed  error
}

// usageTail is how much of the end of a long answer is looked through for its usage.
const usageTail = 4 << 10

// commitLarge begins to give the caller a long answer, of which begun was read.
func (r *request) commitLarge(b *backend, source io.Reader, begun []byte) verdict {
	l := &r.large
	l.backend, l.source, l.moved, l.failed = b, source, time.Time{}, nil
	r.shown = time.Now()
	r.books.Shown()
	l.begun.Reset(begun)
	l.tail = append(l.tail[:0], begun[len(begun)-usageTail:]...)
	size := -1
	if n := r.exchange.ContentLength(); n > 0 && source == io.Reader(&r.exchange) {
		size = int(n)
	}
	r.commitWhole(r.exchange.Status())
	r.releaseBody()
	r.handedOver = true
	r.ctx.Response.SetBodyStream(l, size)
	return answered
}

// Read implements io.Reader for the HTTP server.
func (l *largeAnswer) Read(p []byte) (n int, err error) {
	defer l.request.guard(&err)
	if l.begun.Len() > 0 {
		n, err = l.begun.Read(p)
		l.request.log.bytesOut += int64(n)
		return n, err
	}
	l.moved = l.request.moveReadDeadline(l.moved)
	n, err = l.source.Read(p)
	_ = l.request.ctx.SetWriteDeadline(time.Now().Add(l.request.route.Policy.Timeouts.ClientWrite))
	l.request.log.bytesOut += int64(n)
	l.tail = append(l.tail, p[:n]...)
	if drop := len(l.tail) - usageTail; drop > 0 {
		l.tail = l.tail[:copy(l.tail, l.tail[drop:])]
	}
	l.failed = err
	return n, err
}

// Close implements io.Closer: the HTTP server is done with the answer, or the caller is.
func (l *largeAnswer) Close() (err error) {
	r := l.request
	if l.source == nil {
		return nil // closed before
	}
	defer r.guard(&err)
	l.source = nil
	l.begun.Reset(nil)
	if r.op != routing.Embeddings { // those have no output
		r.size = int(r.log.bytesOut)
	}
	switch {
	case errors.Is(l.failed, io.EOF):
		r.usage = l.backend.format.TailUsage(l.tail)
		r.conclude(l.backend, outcomeSuccess)
	case l.failed != nil && !r.watch.gone():
		o := r.cutOutcome()
		r.log.problem = string(o)
		r.conclude(l.backend, o)
	default:
		r.log.problem = string(outcomeClientGone)
		r.conclude(l.backend, outcomeClientGone)
	}
	r.end()
	return nil
}

// cutOutcome is what an answer came to that ended before its end.
func (r *request) cutOutcome() outcome {
	if r.late() {
		return outcomeDeadline
	}
	return outcomeCut
}

// guard turns a panic in an answer that is already on its way into an error, so that it costs this answer
// only: the HTTP server recovers nothing.
func (r *request) guard(err *error) {
	if cause := recover(); cause != nil {
		r.panicked(cause)
		*err = errors.New("answer failed by a panic")
	}
}
