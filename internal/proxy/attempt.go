// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"errors"
	"strconv"
	"syscall"
	"time"

	"github.com/turnout-ai/turnout/internal/proxy/upstream"
	"github.com/turnout-ai/turnout/internal/routing"
	"github.com/turnout-ai/turnout/internal/wire"
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
	for i := range r.plan.Order {
		if r.attempts >= r.route.Policy.Attempts || !time.Now().Before(r.deadline) {
			break
		}
		switch r.try(&r.plan.Order[i]) {
		case answered:
			return
		case abandoned:
			r.abandon()
			return
		case next, again:
		}
		if r.mustNotRepeat() {
			break
		}
	}
	r.giveUp()
}

// mustNotRepeat reports whether some of the request was sent and it may have had an effect that a second
// attempt would have again.
func (r *request) mustNotRepeat() bool { return r.sent && r.facts.HasEffects() }

// try attempts one candidate, on a fresh connection once more if a pooled one turned out to be closed.
func (r *request) try(c *routing.Candidate) verdict {
	b := &r.snap.backends[c.Endpoint.Index]
	if c.RestingUntil != 0 {
		// What rests because it failed may be tried as a last resort. A provider that asked to be left
		// alone is left alone.
		if asked := b.live.AskedUntil(); asked > time.Now().UnixNano() {
			r.failures.asked(asked)
			return next
		}
	}
	v := r.attempt(b, false)
	if v != again {
		return v
	}
	if r.attempts < r.route.Policy.Attempts && !r.mustNotRepeat() {
		return r.attempt(b, true)
	}
	r.failures.add(outcomeStale)
	return next
}

// attempt makes one attempt at b. The attempt is over when it returns, unless the verdict is answered with
// an answer that goes on.
func (r *request) attempt(b *backend, fresh bool) verdict {
	if r.watch.gone() {
		return abandoned
	}
	r.attempts++
	r.log.endpoint, r.log.provider = b.endpoint.Key.Name, b.endpoint.Provider
	r.open(b)
	p := r.route.Policy
	r.begun = time.Now()
	r.contentBy = r.contentDeadline(r.begun)
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

func (r *request) transportOutcome(e *upstream.Error) outcome {
	switch {
	case e.Timeout && r.late():
		return outcomeDeadline
	case errors.Is(e.Err, syscall.EMFILE), errors.Is(e.Err, syscall.ENFILE):
		return outcomeDescriptors
	case e.Timeout && e.Phase >= upstream.PhaseHead:
		return outcomeTimeout
	case e.Phase <= upstream.PhaseHandshake:
		return outcomeConnect
	case e.Phase == upstream.PhaseBody:
		return outcomeCut
	}
	return outcomeReset
}

// outcome is what one attempt came to, as metrics and logs name it.
type outcome string

// The outcomes beside those of wire.Outcome.
const (
	outcomeConnect     outcome = "connect_error"     // no connection: refused, unresolved, unverified, too slow
	outcomeReset       outcome = "reset"             // the connection broke before an answer
	outcomeStale       outcome = "stale_connection"  // the same on a reused connection
	outcomeTimeout     outcome = "timeout"           // no content in time
	outcomeCut         outcome = "cut"               // the answer broke off
	outcomeUnreadable  outcome = "unreadable_answer" // it is not HTTP, or not what was asked for
	outcomeDeadline    outcome = "deadline"          // the request's own deadline ended it
	outcomePanic       outcome = "panic"             // a defect of ours
	outcomeDescriptors outcome = "no_descriptors"    // this process or machine has no file descriptor left
	outcomeClientGone  outcome = "client_disconnect" // the caller left
)

// late reports whether the request's deadline has passed: what ends then says nothing about the provider.
func (r *request) late() bool { return !time.Now().Before(r.deadline) }

// open begins the books of an attempt at b.
func (r *request) open(b *backend) {
	b.live.Begin()
	r.attempting = b
}

// conclude ends the current attempt: in the books, in the endpoint's health, and in what is remembered for
// the answer. An attempt is concluded once; what comes later is not heard.
func (r *request) conclude(b *backend, o outcome) {
	if r.attempting != b {
		return
	}
	r.attempting = nil
	now := time.Now()
	b.live.End()
	b.metrics.attempt(o)
	if o == outcomeSuccess {
		b.live.Success(now.UnixNano())
		return
	}
	r.log.lastOutcome = string(o)
	switch o {
	case outcomeRateLimited:
		wish := r.retryAfter(now)
		b.live.RateLimited(now.UnixNano(), wish)
		r.failures.asked(b.live.AskedUntil())
	case outcomeClientGone, outcomeStale:
		return
	default:
		if countsAsFailure(o) {
			b.live.Failure(now.UnixNano())
		}
	}
	r.failures.add(o)
}

// The outcomes that providers state, by their names in package wire.
var (
	outcomeSuccess     = outcome(wire.Success.String())
	outcomeRateLimited = outcome(wire.RateLimited.String())
	// blameless are the outcomes that depend on the request alone, so that they never trip an endpoint.
	blameless = map[outcome]bool{
		outcome(wire.ContextLength.String()): true,
		outcome(wire.ContentFilter.String()): true,
		outcome(wire.Unsupported.String()):   true,
		outcome(wire.ClientError.String()):   true,
		outcomeDeadline:                      true,
		outcomePanic:                         true,
		outcomeDescriptors:                   true,
	}
)

func countsAsFailure(o outcome) bool { return !blameless[o] }

// defaultRest is how long an endpoint rests after a 429 that does not say for how long.
const defaultRest = time.Second

// retryAfter is how long the provider of the current answer asks to be left alone.
func (r *request) retryAfter(now time.Time) time.Duration {
	header := func(name string) string { return string(r.exchange.Header(name)) }
	wish, said := wire.RetryHeaders{
		RetryAfter:        header("retry-after"),
		RetryAfterMS:      header("retry-after-ms"),
		ResetRequests:     header("x-ratelimit-reset-requests"),
		ResetTokens:       header("x-ratelimit-reset-tokens"),
		RemainingRequests: header("x-ratelimit-remaining-requests"),
		RemainingTokens:   header("x-ratelimit-remaining-tokens"),
	}.After(now)
	if !said {
		return defaultRest
	}
	return wish
}

// abandon ends a request whose caller left: there is nobody to answer.
func (r *request) abandon() {
	r.log.problem = string(outcomeClientGone)
	r.ctx.Response.SetStatusCode(statusClientClosed)
	r.ctx.Response.SetConnectionClose()
}

// statusClientClosed is nginx's status for a caller that left; only logs and metrics ever see it.
const statusClientClosed = 499
