// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package modelsim

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// The shapes of errors, by who sends them.
const (
	shapeOpenAI     = "openai"
	shapeAzure      = "azure"
	shapeOpenRouter = "openrouter"
	shapeVLLM       = "vllm"
	shapeOldVLLM    = "vllm-old"
	shapeMistral    = "mistral"
	shapeAnthropic  = "anthropic"
	shapeGemini     = "gemini"
	// shapeUnnamed is nobody's in particular: it does not say what is wrong.
	shapeUnnamed = "unnamed"
)

// shapeNames are the shapes that every error has. streamOptionsShapes are those of providers that have been seen
// to refuse stream_options.
var (
	shapeNames          = []string{shapeOpenAI, shapeAzure, shapeOpenRouter, shapeVLLM, shapeOldVLLM, shapeMistral, shapeAnthropic, shapeGemini}
	streamOptionsShapes = []string{shapeOpenAI, shapeAzure, shapeOldVLLM, shapeMistral, shapeAnthropic, shapeGemini, shapeUnnamed}
)

// shape is how a provider writes errors.
type shape struct {
	// words are what it says of the errors that it has words of its own for. All others are OpenAI's words.
	words map[string]wording
	// types are what it calls a status where an error has no name of its own.
	types func(status int) string
	// write writes an error; within, if set, writes one in a 200, streamed or whole.
	write  func(w *wording) any
	within func(x *exchange, w *wording, streamed bool) any
	// event is the name of the event that an error comes in within a stream.
	event string
}

// wording is what a provider says. Texts may hold {model}, {param}, {window}, {tokens}, {seconds} and {until} (a
// moment in milliseconds).
type wording struct {
	status               int
	kind, code           string
	param, message       string
	details, innerDetail json.RawMessage
	// raw is the whole body, for what comes from somewhere before the provider and has its shape.
	raw string
}

// saidError is an error as it will be sent.
type saidError struct {
	status int
	body   []byte
	// within is the whole answer with status 200 that holds the error, streamed the data of the frame; nil is body.
	within, streamed []byte
	event            string
}

// frame is the error as a frame of a stream.
func (s saidError) frame() string {
	data := s.streamed
	if data == nil {
		data = s.body
	}
	var line bytes.Buffer
	if err := json.Compact(&line, data); err != nil {
		return "data: {}\n\n" // the data always is JSON
	}
	frame := "data: " + line.String() + "\n\n"
	if s.event != "" {
		frame = "event: " + s.event + "\n" + frame
	}
	return frame
}

// say writes the error of that name. err is how OpenAI would say it.
func (s *shape) say(x *exchange, f *Fault, name string, err *apiError) saidError {
	if s == nil {
		return saidError{status: err.status, body: err.body()}
	}
	w, ok := s.words[name]
	if !ok {
		w = wording{status: err.status, param: err.param, message: err.message}
	}
	if w.raw != "" {
		return saidError{status: w.status, body: []byte(fill(x, f, w.raw, true)), event: s.event}
	}
	if w.kind == "" {
		w.kind = s.types(w.status)
	}
	w.param = fill(x, f, w.param, false)
	if ok {
		w.message = fill(x, f, w.message, false) // an OpenAI sentence has its values already
	}
	w.details = json.RawMessage(fill(x, f, string(w.details), true))
	said := saidError{status: w.status, body: oneLine(s.write(&w)), event: s.event}
	if s.within != nil {
		said.within, said.streamed = oneLine(s.within(x, &w, false)), oneLine(s.within(x, &w, true))
	}
	return said
}

// oneLine is the value as JSON without a line feed.
func oneLine(value any) []byte { return bytes.TrimSuffix(marshal(value, ""), []byte{'\n'}) }

// fill puts the values of a request into a text, which is JSON if quoted.
func fill(x *exchange, f *Fault, text string, quoted bool) string {
	if !strings.Contains(text, "{") {
		return text
	}
	param, model, window := f.param, x.record.Model, x.sim.config.ContextWindow
	if param == "" {
		param = fieldStreamOptions
	}
	if quoted {
		escape := func(s string) string { return string(bytes.Trim(appendString(nil, s), `"`)) }
		param, model = escape(param), escape(model)
	}
	wait := f.asks()
	return strings.NewReplacer(
		"{model}", model, "{param}", param,
		"{window}", strconv.Itoa(window), "{tokens}", strconv.Itoa(window+1),
		"{seconds}", strconv.Itoa(int((wait+time.Second-1)/time.Second)),
		"{until}", strconv.FormatInt(time.Now().Add(wait).UnixMilli(), 10),
	).Replace(text)
}

// typeOf returns a function that looks a status up, and takes the last word for the rest.
func typeOf(types map[int]string, below500, otherwise string) func(int) string {
	return func(status int) string {
		if word, ok := types[status]; ok {
			return word
		}
		if status < http.StatusInternalServerError {
			return below500
		}
		return otherwise
	}
}

// azureError is OpenAI's error, with a status for its code where it has no word, and the filter's say.
type azureError struct {
	Error struct {
		Message    string          `json:"message"`
		Type       *string         `json:"type,omitempty"`
		Param      *string         `json:"param"`
		Code       string          `json:"code"`
		Status     int             `json:"status,omitempty"`
		InnerError json.RawMessage `json:"innererror,omitempty"`
	} `json:"error"`
}

func writeAzure(w *wording) any {
	var out azureError
	out.Error.Message, out.Error.Param, out.Error.Code = w.message, optional(w.param), w.code
	if w.code == "" {
		out.Error.Code = strconv.Itoa(w.status)
	}
	if w.innerDetail != nil {
		out.Error.Status, out.Error.InnerError = w.status, w.innerDetail
	}
	return out
}

// openRouterError is the error object of OpenRouter. Its code is the status.
type openRouterError struct {
	Code     int             `json:"code"`
	Message  string          `json:"message"`
	Metadata json.RawMessage `json:"metadata,omitempty"`
}

func openRouterErrorOf(w *wording) *openRouterError {
	out := &openRouterError{Code: w.status, Message: w.message}
	if len(w.details) > 0 {
		out.Metadata = w.details
	}
	return out
}

func writeOpenRouter(w *wording) any {
	return struct {
		Error *openRouterError `json:"error"`
		User  string           `json:"user_id"`
	}{openRouterErrorOf(w), "user_modelsim"}
}

// openRouterChoice is a choice that has become an error.
type openRouterChoice struct {
	Index   int              `json:"index"`
	Delta   *chatDelta       `json:"delta,omitempty"`
	Message *chatDelta       `json:"message,omitempty"`
	Finish  string           `json:"finish_reason"`
	Error   *openRouterError `json:"error,omitempty"`
}

type chatDelta struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

// openRouterWithin is an answer that has become an error after its 200: at the top of a frame, in a choice of a
// whole answer.
func openRouterWithin(x *exchange, w *wording, streamed bool) any {
	out := struct {
		ID       string             `json:"id"`
		Object   string             `json:"object"`
		Created  int64              `json:"created"`
		Model    string             `json:"model"`
		Provider string             `json:"provider"`
		Error    *openRouterError   `json:"error,omitempty"`
		Choices  []openRouterChoice `json:"choices"`
	}{ID: "gen-" + x.record.Request, Object: "chat.completion", Created: x.start.Unix(), Model: x.record.Model, Provider: "Modelsim"}
	choice, failure := openRouterChoice{Finish: keyError}, openRouterErrorOf(w)
	if streamed {
		out.Object, out.Error, choice.Delta = "chat.completion.chunk", failure, &chatDelta{Role: roleAssistant}
	} else {
		choice.Message, choice.Error = &chatDelta{Role: roleAssistant}, failure
	}
	out.Choices = []openRouterChoice{choice}
	return out
}

// vllmError is the error of vLLM; older ones send it as it is, newer ones in an error member.
type vllmError struct {
	Object  string  `json:"object,omitempty"`
	Message string  `json:"message"`
	Type    string  `json:"type"`
	Param   *string `json:"param"`
	Code    int     `json:"code"`
}

func writeVLLM(w *wording) any {
	return map[string]vllmError{keyError: {Message: w.message, Type: w.kind, Param: optional(w.param), Code: w.status}}
}

func writeOldVLLM(w *wording) any {
	return vllmError{Object: keyError, Message: w.message, Type: w.kind, Code: w.status}
}

func writeMistral(w *wording) any {
	return struct {
		Object  string  `json:"object"`
		Message string  `json:"message"`
		Type    string  `json:"type"`
		Param   *string `json:"param"`
		Code    *string `json:"code"`
		Status  int     `json:"raw_status_code"`
	}{keyError, w.message, w.kind, optional(w.param), optional(w.code), w.status}
}

// anthropicError is what is in Anthropic's envelope.
type anthropicError struct {
	Details json.RawMessage `json:"details,omitempty"`
	Type    string          `json:"type"`
	Message string          `json:"message"`
}

func writeAnthropic(w *wording) any {
	out := struct {
		Type    string         `json:"type"`
		Error   anthropicError `json:"error"`
		Request string         `json:"request_id"`
	}{keyError, anthropicError{Type: w.kind, Message: w.message}, "req_011CModelsim"}
	if len(w.details) > 0 {
		out.Error.Details = w.details
	}
	return out
}

// googleError is what is in Google's envelope.
type googleError struct {
	Code    int             `json:"code"`
	Message string          `json:"message"`
	Status  string          `json:"status"`
	Details json.RawMessage `json:"details,omitempty"`
}

func writeGemini(w *wording) any {
	out := googleError{Code: w.status, Message: w.message, Status: w.kind}
	if len(w.details) > 0 {
		out.Details = w.details
	}
	return map[string]googleError{keyError: out}
}
