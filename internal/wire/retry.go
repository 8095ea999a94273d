// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// RetryHeaders are the headers by which a provider says when to come back; empty when absent.
type RetryHeaders struct {
	// RetryAfter is Retry-After (RFC 9110 10.2.3: seconds or a date), RetryAfterMS is retry-after-ms.
	RetryAfter, RetryAfterMS string
	// ResetRequests and ResetTokens are x-ratelimit-reset-requests and -tokens: Go durations such as 6m0s.
	ResetRequests, ResetTokens string
	// RemainingRequests and RemainingTokens are x-ratelimit-remaining-requests and -tokens: they say which
	// of the two limits was met.
	RemainingRequests, RemainingTokens string
}

// After is how long the provider asks to wait, never negative and not capped; false when no header says so
// in a way that can be understood.
func (h RetryHeaders) After(now time.Time) (time.Duration, bool) {
	if d, ok := number(h.RetryAfterMS, time.Millisecond); ok {
		return d, true
	}
	if d, ok := number(h.RetryAfter, time.Second); ok {
		return d, true
	}
	if at, ok := httpDate(h.RetryAfter); ok {
		return max(at.Sub(now), 0), true
	}
	return h.reset()
}

// reset is the time until the limit that was met is whole again. If neither says that it was met, the
// shorter time is taken: the provider will say so if that was too soon.
func (h RetryHeaders) reset() (time.Duration, bool) {
	requests, okRequests := resetTime(h.ResetRequests)
	tokens, okTokens := resetTime(h.ResetTokens)
	metRequests := okRequests && h.RemainingRequests == "0"
	metTokens := okTokens && h.RemainingTokens == "0"
	switch {
	case metRequests && metTokens:
		return max(requests, tokens), true
	case metRequests:
		return requests, true
	case metTokens:
		return tokens, true
	case okRequests && okTokens:
		return min(requests, tokens), true
	case okRequests:
		return requests, true
	default:
		return tokens, okTokens
	}
}

// resetTime reads a reset header. OpenAI writes Go durations, others plain seconds.
func resetTime(s string) (time.Duration, bool) {
	if d, err := time.ParseDuration(s); err == nil {
		return d, d >= 0
	}
	return number(s, time.Second)
}

// number reads a decimal number of units. Numbers too large for a Duration become the largest.
func number(s string, unit time.Duration) (time.Duration, bool) {
	s = strings.Trim(s, " \t")
	if s == "" || strings.Trim(s, "0123456789.") != "" {
		return 0, false
	}
	f, err := strconv.ParseFloat(s, 64)
	if f *= float64(unit); f >= math.MaxInt64 {
		return math.MaxInt64, true
	}
	return time.Duration(f), err == nil
}

// httpDate reads the three forms of RFC 9110 5.6.7.
func httpDate(s string) (time.Time, bool) {
	for _, layout := range []string{"Mon, 02 Jan 2006 15:04:05 GMT", time.RFC850, time.ANSIC} {
		if at, err := time.Parse(layout, s); err == nil {
			return at, true
		}
	}
	return time.Time{}, false
}
