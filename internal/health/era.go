// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package health

import (
	"sync/atomic"

	"github.com/turnout-ai/turnout/internal/modelstate"
)

// era is what is known from attempts that began in one epoch. An attempt keeps the era it began in; what it
// comes to once that is over no longer counts as evidence, but for the newest success of the era before.
type era struct {
	epoch int64
	// Written by every success.
	successes, lastSuccess atomic.Int64
	// previousSuccess is the newest success of the era before.
	previousSuccess atomic.Int64

	// share counts hundredths of the requests that could go to an endpoint on trial, reserved is when a plan
	// took the one attempt there may be before the first success, probing how many such attempts are under way
	// and have shown nothing yet.
	share, reserved, probing atomic.Int64

	// The local verdict: written under the endpoint's lock, read without. failures is the length of the
	// streak. restUntil ends the rest that failures earned; once it has passed the endpoint is on trial here,
	// until it is 0 again. said is nil when the provider has said nothing that bars the endpoint.
	failures, restUntil atomic.Int64
	said                atomic.Pointer[statements]

	// Under the endpoint's lock. earned is when the rest began, unproven that only an attempt which began
	// later can end it; counted is since when attempts count for error rates.
	streak           streak
	earned, counted  int64
	unproven         bool
	firstFailed      uint64
	severalHaveFaced bool
}

// Class says how far a failed attempt had come.
type Class uint8

// The classes of failures.
const (
	// Unconnected: there was no connection (refused, not resolved, not verified, too slow).
	Unconnected Class = iota + 1
	// ServerError is a 5xx.
	ServerError
	// Unanswered: no answer came over a connection.
	Unanswered
	// BadAnswer is any other failure: an answer that is none, or that broke off.
	BadAnswer
)

// outage reports whether failures of the class speak of an outage of the provider.
func (c Class) outage() bool { return c == Unconnected || c == ServerError }

// keptFailures is how many failures of a streak are kept one by one.
const keptFailures = 16

// streak is the failures since the last success.
type streak struct {
	failures, requests, connect, outage int64
	since, last                         int64
	message                             string
	// kept are the newest failures, oldest first.
	kept []failure
}

type failure struct {
	at      int64
	request uint64
	class   Class
}

// add counts a failure.
func (s *streak) add(f failure, message string) {
	if s.failures == 0 {
		s.since = f.at
	}
	s.message = message
	s.count(f)
	if len(s.kept) == keptFailures {
		s.kept = s.kept[:copy(s.kept, s.kept[1:])]
	}
	s.kept = append(s.kept, f)
}

func (s *streak) count(f failure) {
	s.failures++
	s.last = max(s.last, f.at)
	if f.class == Unconnected {
		s.connect++
	}
	if f.class.outage() {
		s.outage++
	}
	for _, k := range s.kept {
		if k.request == f.request {
			return
		}
	}
	s.requests++
}

// forgive takes out the failures that a success came after. Of a streak longer than what is kept, those that
// are not kept are the oldest.
func (s *streak) forgive(shown int64) {
	if s.failures == 0 || shown < s.since {
		return
	}
	kept, message := s.kept, s.message
	first := 0
	for first < len(kept) && kept[first].at <= shown {
		first++
	}
	*s = streak{kept: kept[:0]}
	for _, f := range kept[first:] {
		s.add(f, message)
	}
}

// statements are a provider's own words, by kind. They never change; new words make new ones.
type statements [statementKinds]struct {
	modelstate.Statement
	// bars is until when the endpoint is not tried because of it.
	bars int64
}

// statementKinds is how many reasons a provider can state.
const statementKinds = 3

// kindOf is the place of a reason among statements.
func kindOf(reason modelstate.Reason) int {
	switch reason {
	case modelstate.QuotaExhausted:
		return 0
	case modelstate.ProviderAuthFailure:
		return 1
	default:
		return 2
	}
}

// with returns the statements with one more. Of two of a kind the newer holds.
func (s *statements) with(statement modelstate.Statement, bars int64) *statements {
	next := statements{}
	if s != nil {
		next = *s
	}
	said := &next[kindOf(statement.Reason)]
	said.Statement, said.bars = statement, bars
	return &next
}

// without returns the statements that were made since a time; nil when none were.
func (s *statements) without(before int64) *statements {
	next, left := *s, false
	for i := range next {
		if said := &next[i]; nanos(said.At) < before {
			said.Statement, said.bars = modelstate.Statement{}, 0
		} else {
			left = true
		}
	}
	if !left {
		return nil
	}
	return &next
}

// list returns the statements that were made, by the precedence of their reasons.
func (s *statements) list() []modelstate.Statement {
	if s == nil {
		return nil
	}
	var list []modelstate.Statement
	for i := range s {
		if s[i].Reason != 0 {
			list = append(list, s[i].Statement)
		}
	}
	return list
}
