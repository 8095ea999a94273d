// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"bytes"
	"net/http"
	"strconv"
	"strings"

	"github.com/turnout-ai/turnout/internal/wire"
)

// upstreamHeaders are the caller's headers that a provider may see. Everything else stays here, above all
// Authorization, x-api-key and Cookie: the caller's credential is for Turnout.
var upstreamHeaders = [...]string{
	"accept", "user-agent", "traceparent", "tracestate", "idempotency-key", "openai-beta", "x-request-id",
}

// answerHeaders are a provider's headers that the caller may see. Set-Cookie, the provider's organisation and
// project, and what describes the connection are not among them.
var answerHeaders = [...]string{
	"x-request-id", "openai-processing-ms", "openai-version", "openai-model",
	"retry-after", "retry-after-ms", "x-ratelimit-limit-requests", "x-ratelimit-limit-tokens",
	"x-ratelimit-remaining-requests", "x-ratelimit-remaining-tokens",
	"x-ratelimit-reset-requests", "x-ratelimit-reset-tokens",
}

// reservedPrefix begins the names of headers that speak to Turnout. None exists yet that a caller may send,
// and one that is silently ignored would be a promise not kept.
var reservedPrefix = []byte("x-turnout-")

// takeHeaders collects the caller's headers that go upstream, or refuses the request.
func (r *request) takeHeaders() bool {
	for name, value := range r.ctx.Request.Header.All() {
		switch {
		case len(name) > len(reservedPrefix) && bytes.EqualFold(name[:len(reservedPrefix)], reservedPrefix):
			r.refuse(http.StatusBadRequest, final, wire.ErrorBody{
				Message: "header " + string(name) + " is not one this version of Turnout knows; remove it.",
				Type:    invalidRequest, Code: "unknown_header",
			})
			return false
		case isHeader(name, "content-encoding") && !isHeader(value, "identity"):
			r.refuse(http.StatusUnsupportedMediaType, final, wire.ErrorBody{
				Message: "the request body is encoded (content-encoding: " + string(value) + "); send it as plain JSON.",
				Type:    invalidRequest, Code: "unsupported_content_encoding",
			})
			return false
		case listed(upstreamHeaders[:], name):
			r.passed = append(r.passed, name...)
			r.passed = append(r.passed, ": "...)
			r.passed = append(r.passed, value...)
			r.passed = append(r.passed, "\r\n"...)
		}
	}
	return true
}

// copyAnswerHeaders gives the caller what it may see of the current answer's head.
func (r *request) copyAnswerHeaders() {
	header := &r.ctx.Response.Header
	r.exchange.EachHeader(func(name, value []byte) {
		if listed(answerHeaders[:], name) {
			header.SetBytesKV(name, value)
		}
	})
	r.sayAttempts()
}

// sayAttempts tells the caller how many attempts its request took, and under which name it is logged.
func (r *request) sayAttempts() {
	r.sayRequest()
	header := &r.ctx.Response.Header
	r.number = strconv.AppendInt(r.number[:0], int64(r.attempts), 10)
	header.SetBytesV("x-turnout-attempts", r.number)
}

// sayRequest tells the caller under which name its request is logged.
func (r *request) sayRequest() { r.ctx.Response.Header.SetBytesV("x-turnout-request-id", r.id) }

// sayOutcomes tells the caller of a request that failed what its attempts came to, in their order.
func (r *request) sayOutcomes() {
	if len(r.log.tries) == 0 {
		return
	}
	words := make([]string, len(r.log.tries))
	for i := range r.log.tries {
		words[i] = string(r.log.tries[i].outcome)
	}
	r.ctx.Response.Header.Set("x-turnout-outcomes", strings.Join(words, ", "))
}

// listed reports whether name is one of the lower-case names.
func listed(names []string, name []byte) bool {
	for _, n := range names {
		if isHeader(name, n) {
			return true
		}
	}
	return false
}

// isHeader compares without regard to case and without allocating; lower is in lower case.
func isHeader(name []byte, lower string) bool {
	if len(name) != len(lower) {
		return false
	}
	for i, c := range name {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}
