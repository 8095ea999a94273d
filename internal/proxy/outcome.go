// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"

	"github.com/turnout-ai/turnout/internal/health"
	"github.com/turnout-ai/turnout/internal/modelstate"
	"github.com/turnout-ai/turnout/internal/proxy/upstream"
	"github.com/turnout-ai/turnout/internal/routing"
	"github.com/turnout-ai/turnout/internal/wire"
)

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

// The outcomes that providers state, by their names in package wire.
var (
	outcomeSuccess     = outcome(wire.Success.String())
	outcomeFailure     = outcome(wire.Failure.String())
	outcomeDenied      = outcome(wire.Denied.String())
	outcomeRateLimited = outcome(wire.RateLimited.String())
	outcomeQuota       = outcome(wire.QuotaExhausted.String())
	// statedReasons are the outcomes that are a provider's own word about the endpoint.
	statedReasons = map[outcome]modelstate.Reason{
		outcomeQuota:                         modelstate.QuotaExhausted,
		outcome(wire.AuthFailure.String()):   modelstate.ProviderAuthFailure,
		outcome(wire.ModelNotFound.String()): modelstate.ModelNotFound,
	}
	outcomeContentFilter = outcome(wire.ContentFilter.String())
)

// transportOutcome is what an attempt came to that ended without a whole answer.
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
	case e.Phase == upstream.PhaseHead && e.AnswerBegan && !brokeOff(e.Err):
		return outcomeUnreadable
	}
	return outcomeReset
}

// brokeOff reports whether a connection ended, and not what came over it was at fault.
func brokeOff(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

// class is how far a failed attempt had come; 0 when the outcome says nothing about the endpoint: it depends
// on the request, the caller or ourselves, and no caller may rest an endpoint.
func (r *request) class(o outcome) health.Class {
	answered := r.exchange.Status() != 0
	switch {
	case o == outcomeConnect:
		return health.Unconnected
	case o == outcomeFailure && r.exchange.Status() >= http.StatusInternalServerError:
		return health.ServerError
	case (o == outcomeReset || o == outcomeTimeout) && !answered:
		return health.Unanswered
	case o == outcomeFailure, o == outcomeDenied, o == outcomeReset, o == outcomeTimeout, o == outcomeCut, o == outcomeUnreadable:
		return health.BadAnswer
	}
	return 0
}

// open begins an attempt at b if the endpoint's limits admit it, and else passes it over.
func (r *request) open(b *backend) bool {
	now := time.Now()
	if !r.spend(now) {
		return false
	}
	no := r.admit(b, false)
	if no.Limit == 0 {
		return true
	}
	if r.spends() {
		r.budget.giveBack(now)
	}
	r.passOver(b, no)
	return false
}

// spends reports whether the next attempt is one that the policy's retry budget bounds: what is repeated at once says
// nothing about an outage.
func (r *request) spends() bool { return r.attempts > 0 && r.budget != nil && r.stage != repeating }

// spend takes the next attempt from the retry budget; false when that is spent.
func (r *request) spend(now time.Time) bool {
	if !r.spends() || r.budget.take(now, r.route.Policy.RetryPercent) {
		return true
	}
	r.overBudget = true
	return false
}

// admit begins the books of an attempt at b, with what it needs set aside. again says that the request has waited
// for that.
func (r *request) admit(b *backend, again bool) health.Refusal {
	now := time.Now()
	books, no := b.live.Begin(now.UnixNano(), r.serial, r.need(b, again))
	if no.Limit != 0 {
		return no
	}
	r.books, r.attempting, r.begun = books, b, now
	r.attempts++
	r.cause, r.choices, r.hint, r.refusedOurs = nil, r.answers(), wire.Hint{}, false
	r.inputTokens, r.usage, r.size = r.facts.InputTokens, wire.Usage{}, 0
	r.shown, r.complete, r.firstToken = time.Time{}, time.Time{}, 0
	r.contentBy = r.contentDeadline(r.begun)
	r.log.endpoint, r.log.provider = b.endpoint.Key.Name, b.endpoint.Provider
	return health.Refusal{}
}

// conclude ends the current attempt: in the books, in the endpoint's health, and in what is remembered for
// the answer. An attempt is concluded once; what comes later is not heard.
func (r *request) conclude(b *backend, o outcome) {
	if r.attempting != b {
		return
	}
	r.attempting = nil
	now := time.Now()
	b.metrics.attempt(o)
	r.charge(b, o)
	r.log.attempt(o, r.exchange.Status())
	switch o {
	case outcomeSuccess:
		r.succeed(now)
	case outcomeClientGone, outcomeStale:
		r.books.Neutral(now.UnixNano(), r.exchange.Status() != 0)
		r.remember(b, o, now, 0)
	default:
		until := max(r.blame(b, o, now), r.wish(now))
		if r.refusedOurs { // nobody's failure but ours
			return
		}
		r.remember(b, o, now, until)
		r.failures.add(o)
	}
}

// succeed tells the endpoint's health of an answer.
func (r *request) succeed(now time.Time) {
	shown, complete := r.shown, r.complete
	if shown.IsZero() {
		shown = now
	}
	if complete.IsZero() {
		complete = now
	}
	r.books.Success(now.UnixNano(), shown.UnixNano(), r.firstToken, complete.Sub(r.begun))
}

// blame tells the endpoint's health of an attempt without an answer. until is when the provider may be asked again,
// if it has met a limit of its own.
func (r *request) blame(b *backend, o outcome, now time.Time) (until int64) {
	at := now.UnixNano()
	if o == outcomeRateLimited {
		wish, said := r.retryAfter(now, true)
		if !said {
			wish = defaultRest
		}
		until = r.books.RateLimited(at, wish)
		r.failures.asked(until)
		return until
	}
	if reason := statedReasons[o]; reason != 0 {
		var until int64
		if wish, said := r.retryAfter(now, false); said && reason == modelstate.QuotaExhausted {
			until = now.Add(min(wish, modelstate.MaxQuotaReset)).UnixNano()
		}
		bars := r.books.Said(at, reason, until, r.describe(b, o))
		if reason == modelstate.QuotaExhausted {
			r.failures.asked(bars)
		}
		return 0
	}
	if class := r.class(o); class != 0 {
		r.books.Failure(at, class, r.describe(b, o))
		return 0
	}
	r.books.Neutral(at, r.exchange.Status() != 0)
	return 0
}

// charge books what the attempt used: what the provider said, or else an estimate where something was or may
// have been produced. An answer that is an error uses nothing, and neither does a pooled connection that
// turned out to be closed.
func (r *request) charge(b *backend, o outcome) {
	r.log.usage, r.log.estimated = wire.Usage{}, false
	if !r.exchange.Sent() {
		r.books.Refund()
		return
	}
	usage, estimated := r.usage, false
	answered := o == outcomeSuccess || r.size > 0 || usage != wire.Usage{}
	if usage == (wire.Usage{}) {
		if !answered && !mayHaveWorked(o) {
			return
		}
		usage, estimated = wire.Usage{Input: r.inputTokens, Output: int64(r.size+3) / 4}, true
	}
	var cost int64
	if b.endpoint.Priced {
		price := b.endpoint.Price
		if !answered {
			price.Request = 0
		}
		cost = price.Cost(usage.Input, usage.CachedInput, usage.Output)
	}
	r.books.Settle(modelstate.Tokens{
		Input: usage.Input, CachedInput: usage.CachedInput, Output: usage.Output, Reasoning: usage.Reasoning,
	}, cost, estimated)
	if o == outcomeSuccess && !estimated && r.op != routing.Embeddings {
		r.books.Answered((usage.Output + r.choices - 1) / r.choices)
	}
	b.metrics.used(usage, cost, estimated)
	r.log.usage, r.log.estimated = usage, estimated
}

// mayHaveWorked reports whether the provider may have worked on the request although nothing of an answer was
// seen.
func mayHaveWorked(o outcome) bool {
	switch o {
	case outcomeClientGone, outcomeTimeout, outcomeDeadline, outcomeReset, outcomeCut, outcomePanic:
		return true
	default:
		return false
	}
}

// defaultRest is how long an endpoint rests after a 429 that does not say for how long.
const defaultRest = time.Second

// retryAfter is how long the provider of the current answer asks to be left alone, and whether it says so.
// rates says whether the limits per minute count too: they say nothing about a quota.
func (r *request) retryAfter(now time.Time, rates bool) (wish time.Duration, said bool) {
	header := func(name string) string { return string(r.exchange.Header(name)) }
	headers := wire.RetryHeaders{RetryAfter: header("retry-after"), RetryAfterMS: header("retry-after-ms")}
	if rates {
		headers.ResetRequests, headers.RemainingRequests = header("x-ratelimit-reset-requests"), header("x-ratelimit-remaining-requests")
		headers.ResetTokens, headers.RemainingTokens = header("x-ratelimit-reset-tokens"), header("x-ratelimit-remaining-tokens")
	}
	if wish, said = headers.After(now); said {
		return wish, said
	}
	return r.hint.Wait(now)
}

// maxMessage is the longest description of a failure: it is reported, and kept in the endpoint's status.
const maxMessage = 128

// describe says what went wrong, for people who may not see what a provider has sent: a status, a place, and
// our own words.
func (r *request) describe(b *backend, o outcome) string {
	place := b.endpoint.Host
	if place == "" {
		place = b.endpoint.Address
	}
	text := ""
	switch status := r.exchange.Status(); {
	case o == outcomeConnect:
		text = describeConnect(r.cause, b.endpoint.Address)
	case o == outcomeReset:
		text = "connection broken by " + b.endpoint.Address + " before it answered"
	case o == outcomeTimeout:
		text = fmt.Sprintf("no content within %s from %s", time.Since(r.begun).Round(100*time.Millisecond), place)
	case o == outcomeCut:
		text = "the answer of " + place + " broke off"
	case o == outcomeUnreadable:
		text = "an answer that cannot be read from " + place
	case status == http.StatusOK:
		text = "200 with an error, or with no answer, from " + place
	default:
		text = fmt.Sprintf("%d from %s", status, place)
	}
	return strings.ToValidUTF8(text[:min(len(text), maxMessage)], "")
}

// describeConnect says why there is no connection.
func describeConnect(err error, address string) string {
	var (
		lookup     *net.DNSError
		unverified *tls.CertificateVerificationError
		name       x509.HostnameError
		failed     *upstream.Error
	)
	switch {
	case errors.As(err, &lookup):
		return "host name not resolved: " + address
	case errors.As(err, &name):
		return "certificate for another host from " + address
	case errors.As(err, &unverified):
		return "certificate not trusted from " + address
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused by " + address
	case errors.As(err, &failed) && failed.Timeout:
		return "no connection in time to " + address
	case errors.As(err, &failed) && failed.Phase == upstream.PhaseHandshake:
		return "TLS handshake failed with " + address
	}
	return "no connection to " + address
}
