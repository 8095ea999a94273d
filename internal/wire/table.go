// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"bytes"
	"unicode/utf8"
)

// errorTable is what a format's errors mean. It is data: a format that comes later adds rows.
type errorTable struct {
	rows  []errorRow
	words []statusWord
}

// errorRow is one row of a format's error table. Every condition that is given must hold, and the first row
// that holds decides.
//
// No caller may rest an endpoint: messages quote the request, so rows that hold something against the endpoint
// are found by a word, by a status, or by how a message begins, and never by a part of it. Messages that begin
// with what a caller wrote are told first, by quotingRows.
type errorRow struct {
	// status is the answer's, or the one that an error within a 200 or a stream names; 0 is any.
	status int
	// word is the error's type, code, status or reason. family is a part of one of them.
	word, family string
	// param is the request field that the error names.
	param string
	// starts is how the message begins, contains a part of it; both in lower case.
	starts, contains string
	// daily wants the quota of a day to be met.
	daily bool
	// shaped wants an error in the provider's own shape, foreign one that is not.
	shaped, foreign bool

	outcome Outcome
}

// holds reports whether a row is about an error. message is the error's, in lower case.
func (r *errorRow) holds(status int, e *fault, message []byte) bool {
	switch {
	case r.status != 0 && r.status != status,
		r.word != "" && !e.says(r.word),
		r.family != "" && !e.mentions(r.family),
		r.param != "" && r.param != string(e.param),
		r.daily && !e.daily,
		r.shaped && !e.shaped, r.foreign && e.shaped:
		return false
	}
	return r.reads(message)
}

// reads reports whether a message is the row's.
func (r *errorRow) reads(message []byte) bool {
	switch {
	case r.starts != "" && !bytes.HasPrefix(message, []byte(r.starts)),
		r.starts != "" && isCut(message) && !r.outcome.harmless():
		return false
	}
	return r.contains == "" || contains(message, r.contains)
}

// harmless reports whether nothing is held against the endpoint.
func (o Outcome) harmless() bool { return o >= ContextLength }

// isCut reports whether a message may go on behind what is looked at. No provider's own sentence is so long: such
// a message quotes something, perhaps from its beginning, and its end would say so.
func isCut(message []byte) bool { return len(message) > maxMessage-utf8.UTFMax }

// contains is bytes.Contains, but copies nothing.
func contains(text []byte, part string) bool {
	for {
		i := bytes.IndexByte(text, part[0])
		if i < 0 || len(text)-i < len(part) {
			return false
		}
		if text = text[i:]; string(text[:len(part)]) == part {
			return true
		}
		text = text[1:]
	}
}

func (e *fault) says(word string) bool {
	return word == string(e.code) || word == string(e.kind) || word == string(e.state) || word == string(e.reason)
}

func (e *fault) mentions(part string) bool {
	return contains(e.code, part) || contains(e.kind, part)
}

// judge finds the first row that holds. Without one it is the client's error with a 4xx status, and a failure
// with any other. A 5xx is a failure whatever it says.
func (t *errorTable) judge(status int, e *fault) Verdict {
	if status >= 500 {
		return Verdict{Outcome: Failure}
	}
	var room [maxMessage]byte
	message := appendLower(room[:0], e.message)
	v := Verdict{Outcome: Failure}
	if row := t.find(status, e, message); row >= 0 {
		v.Outcome = t.rows[row].outcome
	} else if status >= 400 {
		v.Outcome = ClientError
	}
	switch v.Outcome {
	case Unsupported, ClientError:
		v.Param = string(e.field(message))
	case RateLimited:
		v.Hint = e.comeBack(message)
	case QuotaExhausted:
		// A quota does not come back within seconds: such a hint is about a limit that was met beside it.
		if h := e.comeBack(message); h.After == 0 || h.After >= leastQuota {
			v.Hint = h
		}
	default:
	}
	return v
}

// find is the first row that holds; -1 when none does.
func (t *errorTable) find(status int, e *fault, message []byte) int {
	for i := range t.rows {
		if t.rows[i].holds(status, e, message) {
			return i
		}
	}
	return -1
}

// appendLower appends text with its ASCII letters in lower case: it stays as long as it is.
func appendLower(dst, text []byte) []byte {
	for _, c := range text[:min(len(text), maxMessage)] {
		if c-'A' <= 'Z'-'A' {
			c |= 0x20
		}
		dst = append(dst, c)
	}
	return dst
}

// statusWord is the HTTP status that a type or code stands for, in errors that come within a 200 or a stream
// and name no status.
type statusWord struct {
	word   string
	status int
}

// impliedStatus is the status that the error's words stand for; 0 when they stand for none.
func (t *errorTable) impliedStatus(e *fault) int {
	for i := range t.words {
		if e.says(t.words[i].word) {
			return t.words[i].status
		}
	}
	return 0
}

// quotingRows are for messages that begin with a name that the request had in it: "{name}: Extra inputs are not
// permitted". A name may be any sentence, so they come before the rows that would believe it.
var quotingRows = []errorRow{
	{contains: "extra inputs are not permitted", outcome: Unsupported},
	{contains: "extra fields not permitted", outcome: Unsupported},
}

// statusRows are what an answer's status says when nothing in it does: the end of every table.
var statusRows = []errorRow{
	{status: 401, shaped: true, outcome: AuthFailure},
	{status: 401, outcome: Failure},
	{status: 402, outcome: QuotaExhausted},
	{status: 403, shaped: true, outcome: Denied},
	{status: 403, outcome: Failure},
	// Other things than the model can be not found: files and earlier answers are the client's. A path that
	// nobody serves is ours.
	{status: 404, foreign: true, outcome: Failure},
	{status: 410, shaped: true, outcome: ModelNotFound},
	{status: 410, outcome: Failure},
	{status: 413, outcome: Unsupported},
	{status: 429, outcome: RateLimited},
	// Statuses that mean "again".
	{status: 408, outcome: Failure},
	{status: 425, outcome: Failure},
	// What is wrong with a way, a method or a connection is nothing that a client has a part in.
	{status: 405, outcome: Failure},
	{status: 407, outcome: Failure},
	{status: 421, outcome: Failure},
}
