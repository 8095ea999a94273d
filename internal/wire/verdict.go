// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"strings"
	"time"
)

// Outcome is what an answer means for the request and for the endpoint that gave it.
type Outcome uint8

// The outcomes: the rows of the failure table.
const (
	// Success is an answer for the client.
	Success Outcome = iota + 1
	// Failure is the endpoint's: next, and it counts.
	Failure
	// RateLimited is a 429 without quota evidence: next; the endpoint rests, without a failure.
	RateLimited
	// QuotaExhausted says that the provider's quota or credit is spent: next.
	QuotaExhausted
	// AuthFailure says that the credential is refused: next.
	AuthFailure
	// Denied is a 403 about a model, a region or a permission: next; it concerns that endpoint only.
	Denied
	// ModelNotFound says that the provider does not have the model: next.
	ModelNotFound
	// The outcomes from here on hold nothing against the endpoint.

	// ContextLength says that the input does not fit: next with a larger window, else as is; nobody's failure.
	ContextLength
	// ContentFilter says that the provider does not want to answer this: as is; nobody's failure.
	ContentFilter
	// Unsupported is a 413, or a parameter that this model does not take: next; nobody's failure.
	Unsupported
	// ClientError is the request's own fault: as is, at once.
	ClientError
)

var outcomeNames = [...]string{
	Success: "success", Failure: "failure", RateLimited: "rate_limited", QuotaExhausted: "quota_exhausted",
	AuthFailure: "auth_failure", Denied: "denied", ModelNotFound: "model_not_found",
	ContextLength: "context_length", ContentFilter: filtered, Unsupported: "unsupported",
	ClientError: "client_error",
}

// String is the outcome's word for logs and metrics.
func (o Outcome) String() string {
	if int(o) >= len(outcomeNames) || o == 0 {
		return "unknown"
	}
	return outcomeNames[o]
}

// Verdict is what was made of an answer, or of an error within a stream.
type Verdict struct {
	Outcome Outcome
	// Filtered is true for a Success that the provider's filter has ended: an answer, unless the policy would
	// rather have one from somebody else.
	Filtered bool
	// Status is the HTTP status that an error within a 2xx or a stream stands for; 0 when it names none.
	Status int
	// Param is the request field that an Unsupported or a ClientError is about, as its provider names it
	// ("stream_options", "messages.0.name"); empty when it names none.
	Param string
	// Hint is when a RateLimited or QuotaExhausted says to come back. Headers are more exact, where there are
	// any: see RetryHeaders.
	Hint Hint
	// Usage is what a Success cost.
	Usage Usage
}

// Refuses reports whether the answer refuses a field of the request, or something within it. If the field was
// added on the way, the request is worth another try without it.
func (v *Verdict) Refuses(field string) bool {
	if v.Outcome != Unsupported && v.Outcome != ClientError {
		return false
	}
	rest, found := strings.CutPrefix(v.Param, field)
	return found && (rest == "" || rest[0] == '.' || rest[0] == '[')
}

// Hint is when a provider says, in an answer's body, to come back. The zero value says nothing.
type Hint struct {
	// After is counted from now, At is a moment; at most one of them is given.
	After time.Duration
	At    time.Time
}

// Wait is how long that is from now on, never negative and not capped; false when nothing is said.
func (h Hint) Wait(now time.Time) (time.Duration, bool) {
	if !h.At.IsZero() {
		return max(h.At.Sub(now), 0), true
	}
	return h.After, h.After > 0
}
