// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/turnout-ai/turnout/internal/modelstate"
	"github.com/turnout-ai/turnout/internal/routing"
	"github.com/turnout-ai/turnout/internal/wire"
)

// shouldRetry is a header that OpenAI's official clients obey: without it they repeat failed requests, and
// every repetition is charged.
const shouldRetry = "x-should-retry"

// retry says whether asking again helps.
type retry bool

const (
	final     retry = false
	retryable retry = true
)

// The values of an error's type.
const (
	invalidRequest = "invalid_request_error"
	serverError    = "server_error"
	rateLimitError = "rate_limit_error"
)

// callerFormat is what the callers of every door speak.
const callerFormat = wire.OpenAI

// problemRefused is what is logged of a request that a provider has refused, and the code of such an error where the
// provider's own words cannot be passed on.
const problemRefused = "upstream_refused"

// refuse answers ctx with an error in the caller's format.
func refuse(ctx *fasthttp.RequestCtx, status int, e wire.ErrorBody) {
	ctx.Response.ResetBody()
	ctx.SetStatusCode(status)
	ctx.SetContentType("application/json")
	ctx.Response.Header.Set(shouldRetry, "false")
	ctx.Response.SwapBody(callerFormat.EncodeError(ctx.Response.SwapBody(nil)[:0], e))
}

// refuse ends the request with an error of ours.
func (r *request) refuse(status int, again retry, e wire.ErrorBody) {
	if r.opened {
		r.log.problem = e.Code
		r.stream.event = callerFormat.EncodeErrorEvent(r.stream.event[:0], e)
		r.stream.end(r.stream.event)
		return
	}
	refuse(r.ctx, status, e)
	r.sayAttempts()
	r.sayOutcomes()
	if again {
		r.ctx.Response.Header.Set(shouldRetry, "true")
	}
	r.log.problem = e.Code
}

// refuseBody answers a body that could not be taken.
func (r *request) refuseBody(err error) {
	switch {
	case errors.Is(err, errBodyTooLarge):
		r.refuse(http.StatusRequestEntityTooLarge, final, wire.ErrorBody{
			Message: fmt.Sprintf("the request body is larger than the %d bytes this proxy takes (--max-body-bytes).", r.proxy.bodies.limit),
			Type:    invalidRequest, Code: "request_too_large",
		})
	case errors.Is(err, errBodyBudget):
		r.refuse(http.StatusServiceUnavailable, retryable, wire.ErrorBody{
			Message: "the requests being served hold all the memory this proxy sets aside for bodies (--body-budget-bytes); try again in a moment.",
			Type:    serverError, Code: "body_budget_exhausted",
		})
		r.ctx.Response.Header.Set("Retry-After", "1")
	default:
		r.ctx.SetConnectionClose() // nobody knows where the next request begins
		r.refuse(http.StatusBadRequest, final, wire.ErrorBody{
			Message: "the request body did not arrive whole, or too slowly.", Type: invalidRequest, Code: "incomplete_body",
		})
	}
}

// refusePeek answers a body that was not understood.
func (r *request) refusePeek(err error) {
	e := wire.ErrorBody{Message: err.Error(), Type: invalidRequest, Code: "invalid_body"}
	if p := (*wire.PeekError)(nil); errors.As(err, &p) {
		e.Param = p.Field
	}
	r.refuse(http.StatusBadRequest, final, e)
}

// refuseName answers a name that resolves to no policy, or to several.
func (r *request) refuseName(err error) {
	status, code := http.StatusNotFound, "model_not_found"
	if a := (*routing.AmbiguousError)(nil); errors.As(err, &a) {
		status, code = http.StatusBadRequest, "ambiguous_model"
	}
	r.refuse(status, final, wire.ErrorBody{Message: err.Error(), Type: invalidRequest, Param: fieldModel, Code: code})
}

// asksForPause reports whether a provider that says so would take the same request later.
func asksForPause(reason modelstate.Reason) bool {
	return reason == modelstate.RateLimited || reason == modelstate.QuotaExhausted
}

// sooner is the earlier of two times; 0 is none.
func sooner(a, b int64) int64 {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// refuseAsked answers a request whose endpoints are all left alone because their providers asked for it.
func (r *request) refuseAsked(until int64, message string) {
	r.refuse(http.StatusTooManyRequests, worthWaiting(until), wire.ErrorBody{
		Message: message, Type: rateLimitError, Code: "rate_limit_exceeded",
	})
	r.setRetryAfter(until)
}

// longestWait is how long a client library may be told to wait and ask again by itself.
const longestWait = time.Minute

func worthWaiting(until int64) retry {
	return retry(until != 0 && time.Until(time.Unix(0, until)) <= longestWait)
}

// failures is what the attempts of a request came to, for the answer when none succeeded.
type failures struct {
	counts   [8]failureCount
	kinds    int
	earliest int64 // when the first of the providers that asked to be left alone may be asked again; 0: none did
}

type failureCount struct {
	outcome outcome
	n       int
}

func (f *failures) add(o outcome) {
	for i := range f.counts[:f.kinds] {
		if f.counts[i].outcome == o {
			f.counts[i].n++
			return
		}
	}
	if f.kinds < len(f.counts) {
		f.counts[f.kinds] = failureCount{o, 1}
		f.kinds++
	}
}

func (f *failures) asked(until int64) { f.earliest = sooner(f.earliest, until) }

// barred notes an endpoint that was not tried because something was heard of it meanwhile.
func (f *failures) barred(s routing.Standing) {
	if asksForPause(s.Reason) && s.Until != 0 {
		f.asked(s.Until)
	}
}

// onlyPauses reports whether every attempt came to a provider that asks for a pause.
func (f *failures) onlyPauses() bool {
	for _, c := range f.counts[:f.kinds] {
		if c.outcome != outcomeRateLimited && c.outcome != outcomeQuota {
			return false
		}
	}
	return f.kinds > 0
}

// only reports whether every attempt came to o.
func (f *failures) only(o outcome) bool { return f.kinds == 1 && f.counts[0].outcome == o }

func (f *failures) String() string {
	var b strings.Builder
	for i, c := range f.counts[:f.kinds] {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%d × %s", c.n, c.outcome)
	}
	return b.String()
}

// giveUp answers a request that no candidate answered: with what a provider said about the request itself if
// one did, else with an error of our own.
func (r *request) giveUp() {
	if r.watch.gone() {
		r.abandon()
		return
	}
	if r.fallback.status != 0 {
		r.answerFallback()
		return
	}
	f := &r.failures
	switch {
	case f.onlyPauses():
		r.refusePauses()
	case r.mustNotRepeat():
		r.refuse(http.StatusBadGateway, final, wire.ErrorBody{
			Message: fmt.Sprintf("the provider failed (%s) after it was sent the request, which is not repeated elsewhere: "+
				"it stores its answer, goes on with an earlier one, runs in the background, or uses tools that the provider runs.", f),
			Type: serverError, Code: "not_repeated",
		})
	case r.refuseLimit():
	case f.only(outcomeStale): // no provider has failed: it closed an idle connection at the same moment
		r.refuse(http.StatusBadGateway, retryable, r.unavailable("upstream_unavailable"))
	case f.only(outcomeTimeout) || !time.Now().Before(r.deadline):
		r.refuse(http.StatusGatewayTimeout, final, r.unavailable("upstream_timeout"))
	default:
		r.refuse(http.StatusBadGateway, final, r.unavailable("upstream_unavailable"))
	}
}

// refusePauses answers a request of which all attempts met a provider that asks for a pause.
func (r *request) refusePauses() {
	if r.mustNotRepeat() && len(r.plan.Order) > 1 {
		r.refuseAsked(r.failures.earliest, "the provider is rate limited, or has spent its quota, and a request that may have effects "+
			"is not repeated elsewhere; try again later (see Retry-After).")
		return
	}
	_, earliest, _ := r.barred()
	message := fmt.Sprintf("every endpoint behind %q is rate limited by its provider, or has spent its quota there; try again later (see Retry-After).", r.facts.Model)
	if limits, met := r.passedOver(); met {
		message += " Others were not tried: " + limits.String() + "."
		earliest = sooner(earliest, limits.earliest)
	}
	r.refuseAsked(sooner(r.failures.earliest, earliest), message)
}

func (r *request) unavailable(code string) wire.ErrorBody {
	message := fmt.Sprintf("no endpoint behind %q answered in %d attempts (%s); the proxy's log has the details under request %s.",
		r.facts.Model, r.attempts, r.failures.String(), r.id)
	if r.overBudget {
		message += fmt.Sprintf(" There were no more, because the retry budget of policy %q (retry.budgetPercent) is spent.", r.route.Policy.Key.Name)
	}
	if limits, met := r.passedOver(); met {
		message += " Others were not tried: " + limits.String() + "."
	}
	return wire.ErrorBody{Message: message, Type: serverError, Code: code}
}

// setRetryAfter tells the caller when the first provider may be asked again, in whole seconds rounded up. 0: nobody
// knows.
func (r *request) setRetryAfter(until int64) {
	if until == 0 || r.opened {
		return
	}
	wait := time.Until(time.Unix(0, until)).Seconds()
	r.ctx.Response.Header.Set("Retry-After", strconv.Itoa(max(1, int(math.Ceil(wait)))))
}

func (r *request) answerFallback() {
	r.log.problem = problemRefused
	if r.opened {
		if isEventStream([]byte(r.fallback.contentType)) {
			r.stream.end(r.fallback.body)
		} else {
			r.stream.endWith(r.fallback.status, r.fallback.body)
		}
		return
	}
	response := &r.ctx.Response
	response.SwapBody(append(response.SwapBody(nil)[:0], r.fallback.body...))
	response.SetStatusCode(r.fallback.status)
	response.Header.SetContentType("application/json")
	if r.fallback.contentType != "" {
		response.Header.SetContentType(r.fallback.contentType)
	}
	r.sayAttempts()
	if r.fallback.status >= http.StatusBadRequest {
		response.Header.Set(shouldRetry, "false")
		r.sayOutcomes()
	}
}

// handleOther answers requests that are for no operation.
func (p *Proxy) handleOther(ctx *fasthttp.RequestCtx) {
	path := string(ctx.Path())
	if path == modelsPath || strings.HasPrefix(path, modelsPath+"/") {
		if m := string(ctx.Method()); m != http.MethodGet && m != http.MethodHead {
			refuseMethod(ctx, http.MethodGet)
			return
		}
		p.serveModels(ctx, strings.TrimPrefix(strings.TrimPrefix(path, modelsPath), "/"))
		return
	}
	if path == "/livez" || path == "/readyz" {
		p.serveHealth(ctx, path)
		return
	}
	refuse(ctx, http.StatusNotFound, wire.ErrorBody{
		Message: fmt.Sprintf("%s is not served here; POST /v1/chat/completions, /v1/completions or /v1/embeddings, or GET /v1/models.", path),
		Type:    invalidRequest, Code: "unknown_url",
	})
}

func refuseMethod(ctx *fasthttp.RequestCtx, allow string) {
	refuse(ctx, http.StatusMethodNotAllowed, wire.ErrorBody{
		Message: fmt.Sprintf("%s is not a method of %s; use %s.", ctx.Method(), ctx.Path(), allow),
		Type:    invalidRequest, Code: "method_not_allowed",
	})
	ctx.Response.Header.Set("Allow", allow)
}

// handleBadRequest answers what the HTTP server could not parse.
func (p *Proxy) handleBadRequest(ctx *fasthttp.RequestCtx, err error) {
	status, message := http.StatusBadRequest, "the request is not valid HTTP/1.1."
	var small *fasthttp.ErrSmallBuffer
	switch {
	case errors.As(err, &small):
		status, message = http.StatusRequestHeaderFieldsTooLarge, fmt.Sprintf("the request's headers are larger than the %d KiB this proxy takes.", maxHead>>10)
	case isTimeout(err):
		status, message = http.StatusRequestTimeout, "the request's head did not arrive in time."
	}
	refuse(ctx, status, wire.ErrorBody{Message: message, Type: invalidRequest, Code: "bad_request"})
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}
