// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"bytes"
	"strconv"
	"time"
)

// maxMessage is how much of an error's message is looked at.
const maxMessage = 512

// fault is the error that an answer carries. Its words are unescaped.
type fault struct {
	// form is the shape that the error has by itself, shaped whether that is one of its format's: what comes
	// from a proxy or a firewall on the way is not.
	form   faultForm
	shaped bool
	// status is the HTTP status that the error names itself; 0 when it names none.
	status int
	// kind, code, state and reason are words for programs: OpenAI's and Anthropic's type; OpenAI's code;
	// Google's status; and what says it more exactly than those (Google's ErrorInfo.reason, Anthropic's
	// details.error_code, Azure's innererror.code, the type of a validation error).
	kind, code, state, reason []byte
	// param is the path of the request field it is about. message is for people; it may also be a text that
	// is no error in any shape ({"detail":…}), for rows that recognise one by it.
	param, message []byte
	// daily is true when a quota per day was met.
	daily bool
	// hint is when to come back, where that has a member of its own.
	hint Hint
}

// faultForm is a shape of errors.
type faultForm uint8

const (
	// noFault is no error, or a text that is one by its status alone.
	noFault faultForm = iota
	// flatFault is an error that is the answer itself: vLLM's older shape, and those of gateways.
	flatFault
	// textFault is a sentence in an error member, objectFault an object there.
	textFault
	objectFault
)

// faultLook is one look for the error in an answer. Members come in any order, so what can be said in several
// places is kept apart until all is known.
type faultLook struct {
	look
	// inner is the error, nested one that stands deeper (in a choice, in a response), and outer the answer's
	// own members. at is the one that is being read.
	inner, nested, outer fault
	at                   *fault
	// detail, statusCode and innerReason are said beside message, code and reason, and count when those do not
	// say it. A violation counts before them.
	detail, innerReason []byte
	statusCode          int
	violation           violation
	// relayed is the error of a provider behind OpenRouter, which it passes on as a text.
	relayed []byte

	// room is for words that had escapes, and used how much of it is. Those that do not fit get room of their own,
	// spilt bytes by now.
	room  [2 * maxMessage]byte
	used  int
	spilt int
}

// maxSpilt is how much room escaped words get beside the first: an answer made of nothing else is no reason to
// hold it twice. The smallest counts as much as what is allocated for it.
const (
	maxSpilt   = 8 * maxMessage
	leastSpilt = 16
)

// violation is what a validation error says is wrong with a request.
type violation struct{ reason, param []byte }

// fault reads the error that an answer carries; its form is noFault when there is none in any shape.
func (f Format) fault(body []byte) fault {
	l := faultLook{look: lookAt(body)}
	l.at = &l.outer
	if !l.answerOrList() || !l.ended() {
		return fault{}
	}
	e := l.best()
	if len(l.violation.reason) > 0 {
		e.reason = l.violation.reason
	}
	if len(l.violation.param) > 0 {
		e.param = l.violation.param
	}
	switch f {
	case Anthropic:
		e.shaped = e.form == objectFault && len(e.kind) > 0
	case Gemini:
		e.shaped = e.form == objectFault && e.status != 0 && len(e.state) > 0
	default:
		e.shaped = e.form != noFault
	}
	return e
}

// best is the error that the answer is about, with what is said beside it.
func (l *faultLook) best() fault {
	e := l.outer
	switch {
	case l.inner.form != noFault:
		e = l.inner
	case l.nested.form != noFault:
		e = l.nested
	default:
		if e.message == nil {
			e.message = l.detail
		}
		if e.status == 0 {
			e.status = l.statusCode
		}
	}
	if e.reason == nil {
		e.reason = l.innerReason
	}
	if len(l.relayed) > 0 && bytes.HasPrefix(e.message, []byte("Provider returned error")) {
		e.message = l.relayed
	}
	return e
}

// answerOrList reads an answer, or the first of a list: Google's servers put errors into one.
func (l *faultLook) answerOrList() bool {
	switch l.space() {
	case '{':
		return l.members((*faultLook).answerMember)
	case '[':
		return l.elements((*faultLook).answerMember)
	}
	return false
}

// members walks over the object at hand, and reads each member with read. Everything else is passed over.
func (l *faultLook) members(read func(*faultLook) bool) bool {
	if l.peekByte() != '{' {
		return l.value()
	}
	if !l.open() {
		return false
	}
	for first := true; l.member(&first); {
		if !read(l) {
			return false
		}
	}
	return l.fault == ""
}

// elements walks over the list at hand, and the objects in it.
func (l *faultLook) elements(read func(*faultLook) bool) bool {
	if l.peekByte() != '[' {
		return l.value()
	}
	if !l.open() {
		return false
	}
	for first := true; l.element(&first); {
		if !l.members(read) {
			return false
		}
	}
	return l.fault == ""
}

// text reads the value at hand, unescaped and at most limit bytes of it. Numbers and booleans come as they are
// written; null, objects and lists say nothing.
func (l *faultLook) text(limit int) ([]byte, bool) {
	c, start := l.peekByte(), l.i
	if !l.value() {
		return nil, false
	}
	switch {
	case c == 'n' || c == '{' || c == '[':
		return nil, true
	case c != '"':
		return l.b[start:min(l.i, start+limit)], true
	case !l.escaped:
		return l.raw[:min(len(l.raw), limit)], true
	}
	if l.spilt > maxSpilt {
		return nil, true
	}
	// What does not fit beside what is there already gets room of its own, by append.
	text, _ := unescapeUpTo(l.room[l.used:l.used], l.raw, limit)
	if len(text) > len(l.room)-l.used {
		l.spilt += max(len(text), leastSpilt)
		l.used = len(l.room)
		return text, true
	}
	l.used += len(text)
	return text, true
}

// set reads the value at hand into to, if it says anything.
func (l *faultLook) set(to *[]byte, limit int) bool {
	text, ok := l.text(limit)
	if len(text) > 0 {
		*to = text
	}
	return ok
}

// flat notes an error that is the answer itself.
func (l *faultLook) flat(is bool) {
	if is {
		l.outer.form = flatFault
	}
}

// answerMember reads the members of an answer that are an error, or hold one.
func (l *faultLook) answerMember() bool {
	switch string(l.name()) {
	case keyError:
		return l.errorMember(&l.inner)
	case keyChoices:
		return l.elements((*faultLook).choiceMember)
	case keyResponse: // of an event of responses
		return l.members((*faultLook).responseMember)
	case keyObject:
		word, ok := l.word()
		l.flat(string(word) == keyError)
		return ok
	case keyStatus:
		word, ok := l.word()
		l.flat(string(word) == "failed")
		return ok
	case "statusCode", "raw_status_code": // of Azure's API Management, and of Mistral
		text, ok := l.text(maxWord)
		l.statusCode = statusOf(text)
		l.flat(l.statusCode != 0)
		return ok
	case keyType: // of an event
		ok := l.set(&l.outer.kind, maxWord)
		l.flat(string(l.outer.kind) == keyError)
		return ok
	}
	return l.errorDetail()
}

// choiceMember looks for a choice that is an error instead of an answer. OpenRouter puts an error of the
// provider behind it there.
func (l *faultLook) choiceMember() bool {
	switch string(l.name()) {
	case keyError:
		return l.errorMember(&l.nested)
	case "finish_reason":
		word, ok := l.word()
		l.flat(string(word) == keyError)
		return ok
	}
	return l.value()
}

// responseMember looks for the error of a response that has failed.
func (l *faultLook) responseMember() bool {
	if string(l.name()) == keyError {
		return l.errorMember(&l.nested)
	}
	return l.value()
}

// errorMember reads the error, which is an object, or a sentence alone.
func (l *faultLook) errorMember(e *fault) bool {
	switch l.peekByte() {
	case '{':
		e.form = objectFault
		outer := l.at
		l.at = e
		ok := l.members((*faultLook).errorDetail)
		l.at = outer
		return ok
	case '"':
		ok := l.set(&e.message, maxMessage)
		if len(e.message) > 0 {
			e.form = max(e.form, textFault)
		}
		return ok
	case 'n', 'f':
		return l.value()
	}
	e.form = max(e.form, textFault)
	return l.value()
}

// errorDetail reads one member of an error.
func (l *faultLook) errorDetail() bool {
	e := l.at
	switch string(l.name()) {
	case keyMessage:
		return l.errorMessage(&e.message)
	case "detail":
		return l.errorMessage(&l.detail)
	case keyType:
		return l.set(&e.kind, maxWord)
	case "param":
		return l.set(&e.param, maxWord)
	case "code":
		ok := l.set(&e.code, maxWord)
		e.status = statusOf(e.code)
		return ok
	case keyStatus:
		return l.set(&e.state, maxWord)
	case "details":
		if l.peekByte() == '[' {
			return l.elements((*faultLook).googleDetail)
		}
		return l.members((*faultLook).anthropicDetail)
	case "innererror":
		return l.members((*faultLook).azureDetail)
	case "metadata":
		return l.members((*faultLook).openRouterMember)
	}
	return l.value()
}

// statusOf is the HTTP status that a code is; 0 when it is none of an error.
func statusOf(code []byte) int {
	if len(code) != 3 {
		return 0
	}
	if n, err := strconv.Atoi(string(code)); err == nil && n >= 400 && n < 600 {
		return n
	}
	return 0
}

// errorMessage reads a message. Servers that validate requests with pydantic send a list of what is wrong
// instead, and Mistral an object that holds the list.
func (l *faultLook) errorMessage(to *[]byte) bool {
	switch l.peekByte() {
	case '[':
		return l.elements((*faultLook).violationMember)
	case '{':
		return l.members((*faultLook).violationsMember)
	default:
		return l.set(to, maxMessage)
	}
}

func (l *faultLook) violationsMember() bool {
	if string(l.name()) == "detail" {
		return l.elements((*faultLook).violationMember)
	}
	return l.value()
}

// violationMember reads what is wrong with a field: {"type":…,"loc":["body","stream_options"],"msg":…}. The
// first one counts.
func (l *faultLook) violationMember() bool {
	switch string(l.name()) {
	case keyType:
		if len(l.violation.reason) == 0 {
			return l.set(&l.violation.reason, maxWord)
		}
	case "loc":
		if len(l.violation.param) == 0 && l.peekByte() == '[' {
			return l.location()
		}
	}
	return l.value()
}

// location reads where in the request something is wrong, as a path. It begins with where the request was
// looked for, and may name the server's own class for it.
func (l *faultLook) location() bool {
	if !l.open() {
		return false
	}
	var path []byte
	for first := true; l.element(&first); {
		step, ok := l.text(maxWord)
		switch {
		case !ok:
			return false
		case len(step) == 0, len(path)+len(step) >= maxWord,
			len(path) == 0 && (string(step) == "body" || step[0]-'A' <= 'Z'-'A'):
			continue
		case len(path) > 0:
			path = append(path, '.')
		}
		path = append(path, step...)
	}
	l.violation.param = path
	return l.fault == ""
}

// anthropicDetail reads the word that says more than an error's type.
func (l *faultLook) anthropicDetail() bool {
	if string(l.name()) == "error_code" {
		return l.set(&l.at.reason, maxWord)
	}
	return l.value()
}

// azureDetail reads the word that says more than an error's code.
func (l *faultLook) azureDetail() bool {
	if string(l.name()) == "code" {
		return l.set(&l.innerReason, maxWord)
	}
	return l.value()
}

// googleDetail reads the details that Google's errors have (google.rpc): ErrorInfo.reason, RetryInfo.retryDelay
// and QuotaFailure.violations.
func (l *faultLook) googleDetail() bool {
	switch string(l.name()) {
	case "reason":
		return l.set(&l.at.reason, maxWord)
	case "retryDelay":
		word, ok := l.word()
		if wait, said := duration(word); said {
			l.at.hint.After = wait
		}
		return ok
	case "violations":
		return l.elements((*faultLook).quotaMember)
	}
	return l.value()
}

// quotaMember reads which quota was met: GenerateRequestsPerDayPerProjectPerModel, for one.
func (l *faultLook) quotaMember() bool {
	if string(l.name()) != "quotaId" {
		return l.value()
	}
	word, ok := l.text(2 * maxWord)
	l.at.daily = l.at.daily || bytes.Contains(word, []byte("PerDay"))
	return ok
}

// openRouterMember reads what OpenRouter adds to an error: the error of the provider behind it, and the
// headers of its own limits.
func (l *faultLook) openRouterMember() bool {
	switch string(l.name()) {
	case "raw":
		return l.set(&l.relayed, maxMessage)
	case "headers":
		return l.members((*faultLook).openRouterHeader)
	}
	return l.value()
}

// openRouterHeader reads the moment, in milliseconds, at which a limit of OpenRouter is whole again.
func (l *faultLook) openRouterHeader() bool {
	if string(l.name()) != "X-RateLimit-Reset" {
		return l.value()
	}
	word, ok := l.text(maxWord)
	var ms int64
	for _, c := range word {
		if ms = ms*10 + int64(c-'0'); !isDigit(c) || ms > maxInteger {
			return ok
		}
	}
	if ms > 0 {
		l.at.hint.At = time.UnixMilli(ms)
	}
	return ok
}
