// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/turnout-ai/turnout/internal/health"
	"github.com/turnout-ai/turnout/internal/pricing"
	"github.com/turnout-ai/turnout/internal/routing"
	"github.com/turnout-ai/turnout/internal/wire"
)

const (
	// limitWait is how long a request waits in all for an endpoint that is at a limit, when no other is left.
	limitWait = 250 * time.Millisecond
	// limitReturn is when to ask again for an endpoint of which more may be lent at any moment.
	limitReturn = time.Second
	// maxChoices is how many answers to one request are set aside for: providers make no more.
	maxChoices = 128
	// maxTokens is how many tokens are set aside at most: what no limit reaches.
	maxTokens = 1_000_000_000_000_000
)

// shortage is an endpoint that was passed over because it is at a limit.
type shortage struct {
	backend *backend
	no      health.Refusal
	// admitted is true once the request was admitted after all.
	admitted bool
}

// passing reports whether the endpoint may admit the request before then. One whose limit is used up is back with
// the next period.
func (s *shortage) passing(then time.Time) bool {
	return !s.admitted && !s.no.Lost && s.no.Until < then.UnixNano()
}

// need is what an attempt at b is expected to use, or may use at worst, as the endpoint wishes.
func (r *request) need(b *backend, again bool) health.Need {
	limits := b.live.Limits()
	if limits == nil {
		return health.Need{}
	}
	input, output := r.facts.InputTokens, r.reserve(b, limits)
	n := health.Need{Tokens: min(input+output, maxTokens), Again: again}
	if b.endpoint.Priced {
		n.Cost = min(b.endpoint.Price.Cost(input, 0, output), pricing.Max)
	}
	return n
}

// reserve is how many tokens of output are set aside. An embedding has none.
func (r *request) reserve(b *backend, limits *routing.Limits) int64 {
	if r.op == routing.Embeddings {
		return 0
	}
	output, allowed := b.live.ExpectedOutput(), r.facts.MaxTokens
	switch {
	case !limits.ReserveWorst && allowed > 0:
		output = min(output, allowed)
	case limits.ReserveWorst && allowed > 0:
		output = allowed
	case limits.ReserveWorst && b.endpoint.MaxOutputTokens > 0:
		output = b.endpoint.MaxOutputTokens
	}
	return output * min(r.answers(), maxChoices)
}

// answers is how many answers the request asks for.
func (r *request) answers() int64 { return max(r.facts.N, 1) }

// passOver notes that b is at a limit.
func (r *request) passOver(b *backend, no health.Refusal) {
	b.metrics.refused(no.Limit)
	for i := range r.short {
		if r.short[i].backend == b {
			r.short[i].no, r.short[i].admitted = no, false
			return
		}
	}
	r.short = append(r.short, shortage{backend: b, no: no})
}

// await waits for the first of those passed over that may admit the request soon. The attempt is open when it
// returns its backend; nil when none did.
func (r *request) await() *backend {
	if len(r.short) == 0 {
		return nil
	}
	begun := time.Now()
	if !r.spend(begun) {
		return nil
	}
	spent := r.spends()
	b := r.awaitFrom(begun)
	if b == nil && spent {
		r.budget.giveBack(begun)
	}
	return b
}

func (r *request) awaitFrom(begun time.Time) *backend {
	if r.waitUntil.IsZero() {
		r.waitUntil = begun.Add(limitWait)
	}
	until, waited := earlier(r.waitUntil, r.deadline), false
	for i := range r.short {
		s := &r.short[i]
		if !s.passing(until) || !begun.Before(until) || !r.inScope(s.backend) || !r.fits(s.backend) {
			continue
		}
		waited = true
		if r.waitFor(s, until) {
			s.admitted = true
			r.waited(begun, waitGranted)
			return s.backend
		}
		if r.watch.gone() {
			r.waited(begun, waitLeft)
			return nil
		}
	}
	if waited {
		r.waited(begun, waitRefused)
	}
	return nil
}

// The outcomes of a wait.
const (
	waitGranted = "granted"
	waitRefused = "refused"
	waitLeft    = "client_disconnect"
)

func (r *request) waited(begun time.Time, outcome string) {
	wait := time.Since(begun)
	r.log.limitWait += wait
	r.proxy.metrics.waits.WithLabelValues(outcome).Inc()
	r.proxy.metrics.waitTime.Observe(wait.Seconds())
}

// waitFor tries again whenever more may be admitted, and reports whether that came to an attempt.
func (r *request) waitFor(s *shortage, until time.Time) bool {
	b := s.backend
	place := b.live.Queue()
	defer func() { place.Leave(s.no.Limit == 0) }()
	timer := time.NewTimer(limitWait)
	defer timer.Stop()
	for {
		more := place.More() // before the try: what comes after it is not missed
		if r.watch.gone() || r.bars(s) {
			return false
		}
		if s.no = r.admit(b, true); s.no.Limit == 0 {
			return true
		}
		if !s.passing(until) || !time.Now().Before(until) {
			return false
		}
		wake := until
		if s.no.Until != 0 {
			wake = time.Unix(0, s.no.Until)
		}
		timer.Reset(time.Until(wake))
		select {
		case <-more:
		case <-place.Freed():
		case <-timer.C:
		case <-r.left:
		}
	}
}

// bars reports whether the endpoint is not to be tried any more, for whatever has become known of it meanwhile.
func (r *request) bars(s *shortage) bool {
	standing := s.backend.live.Standing(time.Now().UnixNano())
	if limit := limitOf(standing); limit != 0 && standing.Kind == routing.Barred {
		s.no = health.Refusal{Limit: limit, Until: standing.Until, Exhausted: true}
	}
	return !r.allows(standing)
}

// passedOver is what there is to say about limits when an endpoint was passed over for good.
func (r *request) passedOver() (m limitsMet, met bool) {
	if !slices.ContainsFunc(r.short, func(s shortage) bool { return !s.admitted }) {
		return m, false
	}
	return r.limitsMet(), true
}

// cancel is called, perhaps repeatedly, once the caller has left.
func (r *request) cancel() {
	r.exchange.Cancel()
	select {
	case r.left <- struct{}{}:
	default: // it is known already
	}
}

// limitsMet is what there is to say about the limits that kept a request from endpoints.
type limitsMet struct {
	// sentences are about one endpoint each.
	sentences []string
	// code is that of the one due back first, and earliest when that is. again says that it is soon, and likely.
	code     string
	earliest int64
	again    retry
}

// limitCodes are the codes of an error because of a limit.
var limitCodes = map[health.Limit]string{
	health.Budget: "budget_exceeded", health.Tokens: "token_limit", health.Requests: "request_limit",
	health.ConcurrentRequests: codeRateLimit, health.RequestsPerMinute: codeRateLimit, health.TokensPerMinute: codeRateLimit,
}

const codeRateLimit = "rate_limit"

// limitWords are limits as callers know them.
var limitWords = map[health.Limit]string{
	health.Budget: "budget", health.Tokens: "token limit", health.Requests: "request limit",
	health.RequestsPerMinute: "limit of requests per minute", health.TokensPerMinute: "limit of tokens per minute",
}

// add takes in one endpoint that is back at until.
func (m *limitsMet) add(limit health.Limit, until int64, likely bool, sentence string) {
	m.sentences = append(m.sentences, sentence)
	if until != 0 && (m.earliest == 0 || until < m.earliest) {
		m.earliest, m.code = until, limitCodes[limit]
		m.again = worthWaiting(until) && retry(likely)
	}
	if m.code == "" {
		m.code = limitCodes[limit]
	}
}

// limitsMet are the limits of those that were passed over, and of those that the plan left out.
func (r *request) limitsMet() limitsMet {
	var m limitsMet
	soon := time.Now().Add(limitReturn).UnixNano()
	for i := range r.short {
		s := &r.short[i]
		if s.admitted {
			continue
		}
		until := s.no.Until
		if until == 0 {
			until = soon
		}
		m.add(s.no.Limit, until, !s.no.Lost, s.sentence())
	}
	for i := range r.plan.Excluded {
		x := &r.plan.Excluded[i]
		limit := limitOf(x.Standing)
		if x.Reason != routing.ExcludedBarred || limit == 0 {
			continue
		}
		s := shortage{no: health.Refusal{Limit: limit, Until: x.Standing.Until, Exhausted: true}}
		m.add(limit, x.Standing.Until, true, s.about(x.Endpoint.Key.Name))
	}
	return m
}

// limitOf is the limit that an endpoint stands by for; 0 when it is for something else.
func limitOf(s routing.Standing) health.Limit {
	for _, l := range health.Limits {
		if s.Reason != 0 && l.Reason() == s.Reason {
			return l
		}
	}
	return 0
}

// sentence says which limit of which endpoint it is, and when it is back.
func (s *shortage) sentence() string { return s.about(s.backend.endpoint.Key.Name) }

func (s *shortage) about(endpoint string) string {
	what := limitWords[s.no.Limit]
	switch {
	case s.no.Limit == health.ConcurrentRequests:
		return fmt.Sprintf("endpoint %q has as many requests under way as it may have at once", endpoint)
	case s.no.Exhausted && s.no.Until != 0:
		return fmt.Sprintf("the %s of endpoint %q is used up until %s", what, endpoint, instant(s.no.Until))
	case s.no.Exhausted:
		return fmt.Sprintf("the %s of endpoint %q is used up", what, endpoint)
	case s.no.Until != 0:
		return fmt.Sprintf("the %s of endpoint %q is reached until %s", what, endpoint, instant(s.no.Until))
	case s.no.Lost:
		return fmt.Sprintf("this proxy has used its part of the %s of endpoint %q, and the operator that could lend more does not answer", what, endpoint)
	default:
		return fmt.Sprintf("this proxy has too little left of the %s of endpoint %q, and did not get more in time", what, endpoint)
	}
}

// instant is a time for people, in whole seconds rounded up.
func instant(at int64) string {
	return time.Unix(0, at+int64(time.Second)-1).UTC().Format(time.RFC3339)
}

// maxSentences is how many endpoints an error speaks of.
const maxSentences = 8

func (m *limitsMet) String() string {
	said := m.sentences[:min(len(m.sentences), maxSentences)]
	text := strings.Join(said, "; ")
	if more := len(m.sentences) - len(said); more > 0 {
		text += fmt.Sprintf("; and so for %d more", more)
	}
	return text
}

// refuseLimit answers a request of which endpoints were passed over, if that is the most useful answer: nothing else
// has happened, or it will soon be served, which is better news than how others failed.
func (r *request) refuseLimit() bool {
	limits, met := r.passedOver()
	switch {
	case met && r.failures.kinds == 0:
		r.refuseLimits(&limits, fmt.Sprintf(
			"every endpoint behind %q that could serve this request is at a limit: %s.", r.facts.Model, &limits))
		return true
	case met && bool(limits.again):
		r.refuseLimits(&limits, fmt.Sprintf("no endpoint behind %q answered in %d attempts (%s), and others are at a limit: %s.",
			r.facts.Model, r.attempts, &r.failures, &limits))
		return true
	}
	return false
}

// refuseLimits answers a request that limits keep from being served.
func (r *request) refuseLimits(m *limitsMet, message string) {
	r.refuse(http.StatusTooManyRequests, m.again, wire.ErrorBody{Message: message, Type: rateLimitError, Code: m.code})
	r.setRetryAfter(m.earliest)
}
