// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package modelsim

import (
	"net/http"
	"strconv"
	"sync"
	"time"
)

// bucketKey is what a limit applies to: one key's use of one model.
type bucketKey struct{ key, model string }

// bucket holds what may still be used; it fills up continuously, a whole minute's worth in a minute.
type bucket struct {
	requests, tokens float64
	updated          time.Time
}

// limiter enforces requests and tokens per minute; 0 enforces none.
type limiter struct {
	requests, tokens int

	mu      sync.Mutex // guards buckets
	buckets map[bucketKey]*bucket
}

// What is advertised when no limit is enforced.
const (
	advertisedRequests = 10_000
	advertisedTokens   = 30_000_000
)

// verdict is the answer of the limiter to one request.
type verdict struct {
	ok bool
	// kind, unit, limit and wait describe the limit that was reached.
	kind, unit string
	limit      int
	wait       time.Duration

	requests, tokens standing
}

// standing is where a caller stands with one limit.
type standing struct {
	limit, remaining int
	reset            time.Duration // until it is full again
}

// enforces says whether there is any limit.
func (l *limiter) enforces() bool { return l.requests > 0 || l.tokens > 0 }

// take takes one request of so many tokens out of the buckets, both or none.
func (l *limiter) take(now time.Time, key bucketKey, tokens int) verdict {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.buckets[key]
	if b == nil {
		b = &bucket{requests: float64(l.requests), tokens: float64(l.tokens), updated: now}
		l.buckets[key] = b
	}
	if minutes := now.Sub(b.updated).Minutes(); minutes > 0 {
		b.requests = min(float64(l.requests), b.requests+minutes*float64(l.requests))
		b.tokens = min(float64(l.tokens), b.tokens+minutes*float64(l.tokens))
		b.updated = now
	}
	out := verdict{ok: true}
	switch {
	case l.requests > 0 && b.requests < 1:
		out = verdict{kind: "requests", unit: "RPM", limit: l.requests, wait: refill(1-b.requests, l.requests)}
	case l.tokens > 0 && b.tokens < float64(tokens):
		out = verdict{kind: "tokens", unit: "TPM", limit: l.tokens, wait: refill(float64(tokens)-b.tokens, l.tokens)}
	default:
		b.requests--
		b.tokens -= float64(tokens)
	}
	out.requests, out.tokens = stand(l.requests, b.requests, advertisedRequests), stand(l.tokens, b.tokens, advertisedTokens)
	return out
}

// refill is how long a bucket needs to gain so much.
func refill(missing float64, perMinute int) time.Duration {
	return time.Duration(missing / float64(perMinute) * float64(time.Minute))
}

func stand(limit int, left float64, advertised int) standing {
	if limit == 0 {
		return standing{limit: advertised, remaining: advertised - 1, reset: time.Minute / time.Duration(advertised)}
	}
	return standing{limit: limit, remaining: max(int(left), 0), reset: refill(float64(limit)-left, limit)}
}

// show is the verdict for a request that takes nothing, such as one that is refused for another reason.
func (l *limiter) show() verdict {
	return verdict{
		ok:       true,
		requests: stand(l.requests, float64(l.requests), advertisedRequests),
		tokens:   stand(l.tokens, float64(l.tokens), advertisedTokens),
	}
}

// headers writes the standing as OpenAI does.
func (v verdict) headers(header http.Header) {
	reset := func(s standing) string { return max(s.reset.Round(time.Millisecond), 0).String() }
	header.Set("X-Ratelimit-Limit-Requests", strconv.Itoa(v.requests.limit))
	header.Set("X-Ratelimit-Remaining-Requests", strconv.Itoa(v.requests.remaining))
	header.Set("X-Ratelimit-Reset-Requests", reset(v.requests))
	header.Set("X-Ratelimit-Limit-Tokens", strconv.Itoa(v.tokens.limit))
	header.Set("X-Ratelimit-Remaining-Tokens", strconv.Itoa(v.tokens.remaining))
	header.Set("X-Ratelimit-Reset-Tokens", reset(v.tokens))
}

// promptCache remembers long prompts, which are billed as cached when they come again.
type promptCache struct {
	mu   sync.Mutex // guards seen
	seen map[uint64]struct{}
}

const (
	cacheLeast = 1024 // tokens; shorter prompts are never cached
	cacheUnit  = 128  // tokens; cached in whole units
	cacheSize  = 4096 // prompts remembered; then it starts over
)

// hit returns how many tokens of the prompt are cached, and remembers the prompt.
func (c *promptCache) hit(g *generation) int {
	if g.promptTokens < cacheLeast {
		return 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.seen[g.digest]; ok {
		return g.promptTokens / cacheUnit * cacheUnit
	}
	if len(c.seen) >= cacheSize {
		clear(c.seen)
	}
	c.seen[g.digest] = struct{}{}
	return 0
}
