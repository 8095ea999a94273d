// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"errors"
	"strconv"
	"time"

	"github.com/turnout-ai/turnout/internal/proxy/upstream"
	"github.com/turnout-ai/turnout/internal/wire"
)

// verdict is what a step means for the request.
type verdict uint8

const (
	// answered: the caller has its answer, or a stream or long answer was begun.
	answered verdict = iota
	// next: the caller has seen nothing; try the next candidate.
	next
	// again: a connection from the pool broke before any byte of an answer, which says nothing about the
	// provider but that it closes idle connections; try once more on a fresh one.
	again
	// plainly: the provider has refused what was added to the request on the way; try once more without.
	plainly
	// waiting: nothing is decided, and the caller must hear something meanwhile.
	waiting
	// abandoned: the caller left.
	abandoned
	// exhausted: there is nothing left to try.
	exhausted
)

// stage is what the next step of a request is.
type stage uint8

const (
	// choosing: no attempt is under way, and a candidate for the next is looked for.
	choosing stage = iota
	// repeating: the endpoint of the last attempt gets another one at once.
	repeating
	// backingOff: the current endpoint gets another attempt when it is due.
	backingOff
	// awaiting: the request was sent, and the head of the answer has not come.
	awaiting
	// holding: a stream has begun, and its content has not come.
	holding
)

const (
	// inputStep and inputExtra scale the wait for the first token: reading long inputs takes models longer,
	// and no caller may rest an endpoint by sending one.
	inputStep  = 10_000
	inputExtra = 10 * time.Second
	// wholeTokens and wholeExtra scale the same wait when the answer is not streamed: its first byte comes
	// when its last token was made.
	wholeTokens = 4096
	wholeExtra  = 20 * time.Millisecond
	// thoughtTokens takes the place of wholeTokens when the request asks for reasoning.
	thoughtTokens = 32_768
)

// carryOut makes attempts until the caller has its answer, or must hear that it takes longer.
func (r *request) carryOut() {
	if f := &r.facts; f.Stream {
		if after := r.route.Policy.Timeouts.CommitAfter; after > 0 {
			r.pause = time.Now().Add(after) // not from the start: what a caller sends is no silence
		}
	}
	switch r.pursue() {
	case waiting:
		r.stream.open()
	case abandoned:
		r.abandon()
	case exhausted:
		r.giveUp()
	default:
	}
}

// pursue makes attempts until one has answered, there is nothing left to try, the caller has left, or r.pause has
// come: then the verdict is waiting, and the next pursue goes on from there. It is one loop and not a routine of
// its own, so that a request costs one goroutine however long it takes.
func (r *request) pursue() verdict {
	for {
		v := r.step()
		switch v {
		case next:
			r.stage = choosing
			if r.mustSpeak() {
				return waiting
			}
		case again:
			r.stage, r.fresh = repeating, true
		case plainly:
			r.stage = repeating
			r.triedAt(r.current).plain = true
			r.unasked++
		default:
			return v
		}
	}
}

// mustSpeak reports whether the caller must hear something before there is another attempt: phases that cannot be
// interrupted may add up.
func (r *request) mustSpeak() bool { return !r.pause.IsZero() && !time.Now().Before(r.pause) }

// untilPause is then, or when the caller must hear something if that is earlier.
func (r *request) untilPause(then time.Time) time.Time {
	if r.pause.IsZero() {
		return then
	}
	return earlier(then, r.pause)
}

func (r *request) step() verdict {
	switch r.stage {
	case repeating:
		return r.repeat()
	case backingOff:
		return r.backOff()
	case awaiting:
		return r.headArrived(r.exchange.Await(r.pause))
	case holding:
		return r.holdOn()
	default:
		return r.choose()
	}
}

// repeat makes another attempt at the endpoint of the last, at once.
func (r *request) repeat() verdict {
	b := r.current
	if r.watch.gone() {
		return abandoned
	}
	if r.mayRepeat() && r.open(b) {
		r.dropStopgap()
		return r.call(b)
	}
	if r.fresh {
		r.failures.add(outcomeStale)
	}
	return next
}

// call sends the request of the attempt that is open at b, and takes what comes back.
func (r *request) call(b *backend) verdict {
	p := r.route.Policy
	r.current, r.stage = b, awaiting
	t := r.recall(b)
	r.plain = t != nil && t.plain
	r.addsUsage = r.mayAddUsage(b)
	out := upstream.Request{
		Fresh:          r.fresh,
		ConnectTimeout: p.Timeouts.Connect,
		TLSTimeout:     p.Timeouts.TLSHandshake,
		HeadDeadline:   r.contentBy,
		Pause:          r.pause,
	}
	r.facts.Pieces(&out.Body, r.body, b.model, r.addsUsage)
	out.Head = r.writeHead(b, &out.Body)
	return r.headArrived(r.proxy.transport.Do(&r.exchange, &b.target, &out))
}

// headArrived goes on with an attempt whose answer has begun, unless err says that it has not.
func (r *request) headArrived(err error) verdict {
	b := r.current
	r.sent = r.sent || err == nil || r.exchange.Sent()
	switch {
	case errors.Is(err, upstream.ErrNotYet):
		return waiting
	case err != nil:
		return r.broke(b, err)
	}
	r.log.upstreamResponse = r.exchange.Status()
	return r.receive(b)
}

// contentDeadline is by when the first content of an attempt that begins now must have come.
func (r *request) contentDeadline(now time.Time) time.Time {
	wait := r.route.Policy.Timeouts.FirstToken
	wait += time.Duration(r.facts.InputTokens/inputStep) * inputExtra
	if !r.facts.Stream {
		tokens := int64(wholeTokens)
		switch {
		case r.facts.MaxTokens > 0:
			tokens = r.facts.MaxTokens
		case r.facts.Reasoning:
			tokens = thoughtTokens
		}
		wait += time.Duration(min(tokens, 1<<20)) * wholeExtra
	}
	return earlier(now.Add(wait), r.deadline)
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// writeHead completes the head of a request to b with that body.
func (r *request) writeHead(b *backend, body *[wire.MaxPieces][]byte) []byte {
	h := r.head[:0]
	h = append(h, b.heads[r.op]...)
	h = append(h, r.passed...)
	if r.proxy.opts.SendAttemptID {
		h = append(h, "X-Turnout-Attempt: "...)
		h = append(h, r.id...)
		h = append(h, '.')
		h = strconv.AppendInt(h, int64(r.attempts), 10)
		h = append(h, "\r\n"...)
	}
	length := 0
	for _, piece := range body {
		length += len(piece)
	}
	h = append(h, "Content-Length: "...)
	h = strconv.AppendInt(h, int64(length), 10)
	h = append(h, "\r\n\r\n"...)
	r.head = h
	return h
}

// broke judges an attempt that ended without the head of an answer, or in the middle of one.
func (r *request) broke(b *backend, err error) verdict {
	defer r.exchange.Close()
	r.cause = err
	if r.watch.gone() {
		r.conclude(b, outcomeClientGone)
		return abandoned
	}
	var e *upstream.Error
	if !errors.As(err, &e) {
		r.conclude(b, outcomeUnreadable)
		return next
	}
	if e.Stale() {
		r.conclude(b, outcomeStale)
		return again
	}
	o := r.transportOutcome(e)
	if now := time.Now().UnixNano(); b.live.Remarkable(now) {
		r.proxy.log.Warn("an attempt failed", "request_id", string(r.id), "endpoint", b.endpoint.Key.String(), "outcome", string(o), "error", err.Error())
	}
	r.conclude(b, o)
	return next
}

// late reports whether the request's deadline has passed: what ends then says nothing about the provider.
func (r *request) late() bool { return !time.Now().Before(r.deadline) }

// abandon ends a request whose caller left: there is nobody to answer.
func (r *request) abandon() {
	r.log.problem = string(outcomeClientGone)
	r.ctx.Response.SetStatusCode(statusClientClosed)
	r.ctx.Response.SetConnectionClose()
}

// statusClientClosed is nginx's status for a caller that left; only logs and metrics ever see it.
const statusClientClosed = 499
