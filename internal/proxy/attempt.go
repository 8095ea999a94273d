// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"errors"
	"strconv"
	"time"

	"github.com/turnout-ai/turnout/internal/proxy/upstream"
	"github.com/turnout-ai/turnout/internal/routing"
)

// verdict is what an attempt means for the request.
type verdict uint8

const (
	// answered: the caller has its answer, or a stream or long answer was begun.
	answered verdict = iota
	// next: the caller has seen nothing; try the next candidate.
	next
	// again: a connection from the pool broke before any byte of an answer, which says nothing about the
	// provider but that it closes idle connections; try once more on a fresh one.
	again
	// abandoned: the caller left.
	abandoned
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

// carryOut tries the candidates of the plan in order until one answers.
func (r *request) carryOut() {
	for i := 0; i < len(r.plan.Order) && r.mayTry(); i++ {
		if r.ended(r.try(&r.plan.Order[i])) {
			return
		}
	}
	for r.mayTry() {
		b := r.await()
		if b == nil {
			break
		}
		if r.ended(r.attempt(b)) {
			return
		}
	}
	r.giveUp()
}

// mayTry reports whether there may be another attempt.
func (r *request) mayTry() bool {
	return r.attempts < r.route.Policy.Attempts && time.Now().Before(r.deadline) && !r.mustNotRepeat()
}

// ended reports whether the request needs no further attempt.
func (r *request) ended(v verdict) bool {
	if v == abandoned {
		r.abandon()
	}
	return v == answered || v == abandoned
}

// mustNotRepeat reports whether some of the request was sent and it may have had an effect that a second
// attempt would have again.
func (r *request) mustNotRepeat() bool { return r.sent && r.facts.HasEffects() }

// try attempts one candidate. One that is at a limit is passed over, which is no attempt.
func (r *request) try(c *routing.Candidate) verdict {
	b := &r.snap.backends[c.Endpoint.Index]
	if r.attempts > 0 { // while others were tried, it may have been barred
		if s := b.live.Standing(time.Now().UnixNano()); s.Kind == routing.Barred {
			r.failures.barred(s)
			return next
		}
	}
	if r.watch.gone() {
		return abandoned
	}
	if !r.open(b) {
		return next
	}
	return r.attempt(b)
}

// attempt makes the attempt that is open at b, and another one on a fresh connection if a pooled one turned out to
// be closed. It is over when it returns, unless the verdict is answered with an answer that goes on.
func (r *request) attempt(b *backend) verdict {
	v := r.call(b, false)
	if v != again {
		return v
	}
	if r.attempts < r.route.Policy.Attempts && !r.mustNotRepeat() {
		if r.watch.gone() {
			return abandoned
		}
		if r.open(b) {
			return r.call(b, true)
		}
	}
	r.failures.add(outcomeStale)
	return next
}

// call sends the request of the attempt that is open, and takes what comes back.
func (r *request) call(b *backend, fresh bool) verdict {
	p := r.route.Policy
	err := r.proxy.transport.Do(&r.exchange, &b.target, &upstream.Request{
		Head:           r.writeHead(b),
		Body:           [3][]byte{r.facts.Before(r.body), b.model, r.facts.After(r.body)},
		Fresh:          fresh,
		ConnectTimeout: p.Timeouts.Connect,
		TLSTimeout:     p.Timeouts.TLSHandshake,
		HeadDeadline:   r.contentBy,
	})
	r.sent = r.sent || err == nil || r.exchange.Sent()
	if err != nil {
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

// writeHead completes the head of a request to b.
func (r *request) writeHead(b *backend) []byte {
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
	h = append(h, "Content-Length: "...)
	length := len(r.facts.Before(r.body)) + len(b.model) + len(r.facts.After(r.body))
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
