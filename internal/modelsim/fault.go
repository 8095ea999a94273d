// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package modelsim

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Fault is something that goes wrong on purpose. It is written "name;key=value;key=value".
type Fault struct {
	text string
	kind *faultKind
	// status is the HTTP status of faults that answer with one.
	status int

	// The parameters; each kind says which of them it reads.
	delay, wait, pause time.Duration
	after, count       int
	how                string
	forms              []string
	body, to, param    string
	role               bool
	// says is what the model says, field where its reasoning is written, finish why it ends.
	says, field, finish string
	// code is which error it is, shape whose.
	code, shape string
}

// Parameters that several faults have. Delay is one of all.
const (
	keyDelay = "delay"
	keyWait  = "wait"
	keyAfter = "after"
	keyPause = "pause"
	keyRole  = "role"
	keySays  = "says"
	keyForm  = "form"
	keyCode  = "code"
	keyShape = "shape"
)

// defaultPause is the time between one and the next of what a fault does again and again.
const defaultPause = time.Second

// How a connection is severed.
const (
	howFIN   = "fin"   // an orderly end of the connection in the middle of an answer
	howRST   = "rst"   // a reset
	howClean = "clean" // a complete HTTP message that lacks the end of the stream
)

// Bodies that an error status may come with.
const (
	bodyOpenAI = "openai"
	bodyHTML   = "html"
	bodyText   = "text"
	bodyEmpty  = "empty"
)

// The forms in which a 429 says when to come back.
const (
	formSeconds = "seconds"  // Retry-After: 20
	formDate    = "date"     // Retry-After: Wed, 21 Oct 2026 07:28:00 GMT
	formMillis  = "ms"       // retry-after-ms: 20000
	formReset   = faultReset // x-ratelimit-reset-requests: 20s
	formNone    = "none"
)

// faultKind is what a name stands for.
type faultKind struct {
	summary string
	params  []string
	// answer replaces the answer of the model; nil lets the model answer and spoils the answer on the way.
	answer func(x *exchange, f *Fault) error
	// spoil names what spoils it; the zero value where answer is set.
	spoil spoilage
	// says is what the model says; empty leaves it to the model, or to the parameter of that name.
	says string
	// shapes are the shapes that it has, where those are not all.
	shapes []string
}

// spoilage is how the delivery of a real answer goes wrong.
type spoilage uint8

const (
	spoilNothing spoilage = iota
	spoilHang
	spoilHangBody
	spoilStall
	spoilCut
	spoilErrorFrame
	spoilGarbage
	spoilPings
	spoilEmpty
	spoilResetAfter
	spoilSilent
	spoilSlow
)

// faultReset is also the word for it in orders to connections.
const faultReset = "reset"

// faultKinds are the faults by name, with the errors of errorKinds; every status from 200 to 599 is one too, see
// statusFault.
var faultKinds = withErrors(map[string]*faultKind{
	faultReset:       {summary: "RST before any byte of the answer", answer: answerSevered(howRST)},
	"close":          {summary: "FIN before any byte of the answer", answer: answerSevered(howFIN)},
	"reset-after":    {summary: "the whole answer, then RST on the idle connection, `wait` later", params: []string{keyWait}, spoil: spoilResetAfter},
	"hang":           {summary: "no head for `wait` (without it: until the client leaves), then the answer", params: []string{keyWait, keySays}, spoil: spoilHang},
	"hang-body":      {summary: "a head, then nothing for `wait`", params: []string{keyWait, keySays}, spoil: spoilHangBody},
	"stall":          {summary: "nothing for `wait` once `after` contents were sent; after=0: role first, then silence", params: []string{keyAfter, keyWait, keySays}, spoil: spoilStall},
	"silent":         {summary: "comments (JSON: blank lines) every `pause` (1s) for `wait` (without it: until the client leaves), then the answer; role=true sends the role first", params: []string{keyWait, keyPause, keyRole, keySays}, spoil: spoilSilent},
	"slow":           {summary: "`pause` (1s) between the contents of a stream", params: []string{keyPause, keySays}, spoil: spoilSlow},
	"cut":            {summary: "the answer ends after `after` contents (JSON: in the middle), `how`: fin, rst, clean", params: []string{keyAfter, "how", keySays}, spoil: spoilCut},
	"error-frame":    {summary: "an error frame after `after` contents of a 200 stream, then the end; `code` (500) is a status or an error's name", params: []string{keyAfter, keyCode, keyShape, keySays}, spoil: spoilErrorFrame},
	"garbage":        {summary: "a frame that is no JSON after `after` contents, then the rest", params: []string{keyAfter, keySays}, spoil: spoilGarbage},
	"pings":          {summary: "comment frames every `pause` (1s) before the first content, and between contents", params: []string{keyPause, keySays}, spoil: spoilPings},
	"empty-stream":   {summary: "a 200 stream without content and terminal marker; role=true sends the role first", params: []string{keyRole}, spoil: spoilEmpty},
	"reasoning":      {summary: "reasoning of `count` (4) tokens before the text, in the `field` reasoning_content or reasoning", params: []string{"count", "field"}, says: sayReasoning},
	"tool-call":      {summary: "a call of the first tool (without tools: of get_weather) instead of a text", says: sayToolCall},
	"refusal":        {summary: "a refusal instead of a text", says: sayRefusal},
	"filtered":       {summary: "the answer ends after `after` contents with finish_reason content_filter; shape=azure adds what Azure's filter says", params: []string{keyAfter, keyShape}, says: sayFiltered, shapes: []string{shapeOpenAI, shapeAzure}},
	"empty-answer":   {summary: "a whole answer without content; `finish`: stop, or length, with all tokens spent on hidden reasoning", params: []string{"finish"}, says: sayNothing},
	"redirect":       {summary: "307 to `to` (/elsewhere)", params: []string{"to"}, answer: answerRedirect},
	"html":           {summary: "200 with a page of HTML", answer: answerStatus(http.StatusOK, bodyHTML)},
	"empty":          {summary: "200 with an empty body", answer: answerStatus(http.StatusOK, bodyEmpty)},
	"error-in-200":   {summary: "200 whose JSON is an error object; `code` (500) is a status or an error's name", params: []string{keyCode, keyShape}, answer: answerErrorIn200},
	"stream-options": {summary: "400 (mistral, unnamed: 422) about stream_options, for requests that have it; shape=unnamed names no field", params: []string{keyShape}, answer: answerStreamOptions, shapes: streamOptionsShapes},
})

// paramReaders read the parameters by name.
var paramReaders = map[string]func(f *Fault, value string) error{
	keyDelay: func(f *Fault, v string) error { return readDuration(&f.delay, v) },
	keyWait:  func(f *Fault, v string) error { return readDuration(&f.wait, v) },
	keyPause: func(f *Fault, v string) error { return readDuration(&f.pause, v) },
	keyAfter: func(f *Fault, v string) error { return readCount(&f.after, v) },
	"count":  func(f *Fault, v string) error { return readCount(&f.count, v) },
	"how":    func(f *Fault, v string) error { return readOne(&f.how, v, howFIN, howRST, howClean) },
	"body":   func(f *Fault, v string) error { return readOne(&f.body, v, bodyOpenAI, bodyHTML, bodyText, bodyEmpty) },
	keyForm: func(f *Fault, v string) error {
		f.forms = nil
		for form := range strings.SplitSeq(v, ",") {
			if err := readOne(&form, form, formSeconds, formDate, formMillis, formReset, formNone); err != nil {
				return err
			}
			f.forms = append(f.forms, form)
		}
		return nil
	},
	"to":     func(f *Fault, v string) error { f.to = v; return nil },
	"param":  func(f *Fault, v string) error { f.param = v; return nil },
	keySays:  func(f *Fault, v string) error { return readOne(&f.says, v, sayReasoning, sayToolCall, sayRefusal) },
	"field":  func(f *Fault, v string) error { return readOne(&f.field, v, fieldReasoningContent, fieldReasoning) },
	"finish": func(f *Fault, v string) error { return readOne(&f.finish, v, finishStop, finishLength) },
	keyShape: func(f *Fault, v string) error {
		known := f.kind.shapes
		if known == nil {
			known = shapeNames
		}
		return readOne(&f.shape, v, known...)
	},
	keyCode: func(f *Fault, v string) error {
		f.code = v
		if status, err := strconv.Atoi(v); err == nil && status >= 400 && status <= 599 {
			return nil
		}
		if _, ok := errorKinds[v]; !ok {
			return fmt.Errorf("write a status from 400 to 599, or one of %s", strings.Join(slices.Sorted(maps.Keys(errorKinds)), ", "))
		}
		return nil
	},
	keyRole: func(f *Fault, v string) (err error) {
		if f.role, err = strconv.ParseBool(v); err != nil {
			return errors.New("write true or false")
		}
		return nil
	},
}

func readDuration(out *time.Duration, value string) error {
	duration, err := time.ParseDuration(value)
	if err != nil || duration < 0 {
		return errors.New("write a duration such as 250ms or 2s")
	}
	*out = duration
	return nil
}

// maxCount is the longest answer that Timing allows, too.
const maxCount = 1_000_000

func readCount(out *int, value string) (err error) {
	if *out, err = strconv.Atoi(value); err != nil || *out < 0 || *out > maxCount {
		return errors.New("write a whole number from 0 to 1000000")
	}
	return nil
}

func readOne(out *string, value string, allowed ...string) error {
	if !slices.Contains(allowed, value) {
		return fmt.Errorf("write one of %s", strings.Join(allowed, ", "))
	}
	*out = value
	return nil
}

// ParseFault reads "name;key=value;…". "ok" (and nothing) is no fault: nil. All faults take delay, a time to
// pass before anything happens. Faults lists the names.
func ParseFault(text string) (*Fault, error) {
	name, rest, _ := strings.Cut(text, ";")
	name = strings.TrimSpace(name)
	if name == "" || name == "ok" {
		return nil, nil //nolint:nilnil // no fault is what was asked for
	}
	fault := &Fault{
		text: text, kind: faultKinds[name], code: "500", how: howFIN, forms: []string{formSeconds, formMillis, formReset}, body: bodyOpenAI,
		count: someThoughts, field: fieldReasoningContent, finish: finishStop, shape: shapeOpenAI, pause: defaultPause,
	}
	if status, err := strconv.Atoi(name); err == nil && status >= 200 && status <= 599 {
		fault.kind, fault.status = statusFault, status
	}
	if fault.kind == nil {
		return nil, fmt.Errorf("fault %q: unknown; write a status from 200 to 599, ok, or one of %s", name, strings.Join(slices.Sorted(maps.Keys(faultKinds)), ", "))
	}
	for part := range strings.SplitSeq(rest, ";") {
		if strings.TrimSpace(part) == "" {
			continue
		}
		key, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		if key != keyDelay && !slices.Contains(fault.kind.params, key) {
			return nil, fmt.Errorf("fault %q: it has no parameter %q; it has %s", name, key, strings.Join(append([]string{keyDelay}, fault.kind.params...), ", "))
		}
		if err := paramReaders[key](fault, value); err != nil {
			return nil, fmt.Errorf("fault %q: %s=%s: %w", name, key, value, err)
		}
	}
	return fault, nil
}

// String is the fault as it was written.
func (f *Fault) String() string {
	if f == nil {
		return ""
	}
	return f.text
}

// spoils says whether the fault is this way of spoiling an answer.
func (f *Fault) spoils(how spoilage) bool { return f != nil && f.kind.spoil == how }

// every is the time between one and the next of what the fault does again and again. It is never so short that
// nothing else is done.
func (f *Fault) every() time.Duration { return max(f.pause, time.Millisecond) }

// Faults describes every fault in one line each, for people.
func Faults() string {
	var out strings.Builder
	for _, name := range slices.Sorted(maps.Keys(faultKinds)) {
		fmt.Fprintf(&out, "  %-18s %s\n", name, faultKinds[name].summary)
	}
	fmt.Fprintf(&out, "  %-18s %s\n", "200 … 599", statusFault.summary)
	return out.String()
}
