// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package modelsim

import (
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// statusFault answers with any status.
var statusFault = &faultKind{
	summary: "that status; `body`: openai (an error in OpenAI's or another `shape`), html, text, empty",
	params:  []string{"body", keyShape},
	answer: func(x *exchange, f *Fault) error {
		return answerStatus(f.status, f.body)(x, f)
	},
}

// answerSevered ends the connection instead of answering.
func answerSevered(how string) func(*exchange, *Fault) error {
	return func(x *exchange, _ *Fault) error { return x.abort(how) }
}

// answerStatus answers with a status and a body of some kind. A 204 or 304 never has one.
func answerStatus(status int, body string) func(*exchange, *Fault) error {
	return func(x *exchange, f *Fault) error {
		if status == http.StatusNoContent || status == http.StatusNotModified {
			body = bodyEmpty
		}
		switch body {
		case bodyHTML:
			page := fmt.Sprintf("<!DOCTYPE html>\n<html><head><title>%d %s</title></head>\n<body><h1>%s</h1></body></html>\n", status, http.StatusText(status), http.StatusText(status))
			return x.whole(status, "text/html; charset=utf-8", []byte(page))
		case bodyText:
			return x.whole(status, "text/plain; charset=utf-8", []byte(http.StatusText(status)+"\n"))
		case bodyEmpty:
			return x.whole(status, "", nil)
		default:
			said := f.error(x, strconv.Itoa(status))
			return x.whole(said.status, contentJSON, said.body)
		}
	}
}

// statusOverloaded is Anthropic's status for a server that has too much to do; no standard names it.
const statusOverloaded = 529

// errStatus is the error that OpenAI (529: Anthropic) sends with a status.
func errStatus(status int) *apiError {
	err := &apiError{status: status, kind: typeInvalidRequest, message: http.StatusText(status) + "."}
	switch {
	case status == statusOverloaded:
		err.kind, err.message = typeOverloaded, sayOverloaded
	case status == http.StatusServiceUnavailable:
		err.kind, err.message = typeServer, "The engine is currently overloaded, please try again later."
	case status >= 500:
		err.kind, err.message = typeServer, "The server had an error while processing your request. Sorry about that!"
	case status == http.StatusTooManyRequests:
		err.kind, err.code, err.message = "requests", codeRateLimit, "Rate limit reached."
	case status == http.StatusRequestEntityTooLarge:
		return errTooLarge()
	}
	return err
}

// answerErrorIn200 is what aggregators do: the status is fine, the body is an error.
func answerErrorIn200(x *exchange, f *Fault) error {
	said := f.error(x, f.code)
	switch status, err := strconv.Atoi(f.code); {
	case said.within != nil:
		said.body = said.within
	case err == nil && f.shape == shapeOpenAI:
		// Only the code of the error can tell the status that it would have had.
		said.body = errStatus(status).numbered()
	}
	return x.whole(http.StatusOK, contentJSON, said.body)
}

// answerStreamOptions refuses a field that a proxy may have added by itself. Requests without it are answered.
func answerStreamOptions(x *exchange, f *Fault) error {
	if !x.params.has(fieldStreamOptions) {
		return x.answer()
	}
	if f.shape == shapeUnnamed {
		return x.whole(http.StatusUnprocessableEntity, contentJSON, []byte(`{"detail":"Unprocessable Entity"}`))
	}
	said := f.error(x, errorUnsupported)
	return x.whole(said.status, contentJSON, said.body)
}

// answerRedirect points elsewhere; a client that follows would carry its key there.
func answerRedirect(x *exchange, f *Fault) error {
	to := f.to
	if to == "" {
		to = "/elsewhere"
	}
	x.w.Header().Set("Location", to)
	return x.whole(http.StatusTemporaryRedirect, "", nil)
}

// asks is how long the fault asks to wait.
func (f *Fault) asks() time.Duration {
	if f.wait == 0 {
		return 20 * time.Second
	}
	return f.wait
}

// askToWait says in the wanted forms when to come back.
func askToWait(header http.Header, f *Fault) {
	// The headers of every answer say when the limits are full again. Here only the asked forms may say it.
	header.Del("X-Ratelimit-Reset-Requests")
	header.Del("X-Ratelimit-Reset-Tokens")
	sayWait(header, f.asks(), f.forms)
}

// sayWait writes the time to wait in the given forms.
func sayWait(header http.Header, wait time.Duration, forms []string) {
	for _, form := range forms {
		switch form {
		case formSeconds:
			header.Set("Retry-After", strconv.Itoa(int((wait+time.Second-1)/time.Second)))
		case formDate:
			// A date has whole seconds; rounding up keeps a client that obeys from coming back too early.
			header.Set("Retry-After", time.Now().Add(wait+time.Second-1).UTC().Format(http.TimeFormat))
		case formMillis:
			header.Set("Retry-After-Ms", strconv.FormatInt(wait.Milliseconds(), 10))
		case formReset:
			header.Set("X-Ratelimit-Reset-Requests", wait.Round(time.Millisecond).String())
		}
	}
}

// errRateLimit is the 429 of OpenAI, whose message names the limit.
func errRateLimit(model, kind, unit string, limit int, wait time.Duration) *apiError {
	return &apiError{
		http.StatusTooManyRequests, kind, codeRateLimit, "",
		fmt.Sprintf("Rate limit reached for %s in organization org-modelsim on %s per min (%s): Limit %d. Please try again in %s. Visit https://platform.openai.com/account/rate-limits to learn more.",
			model, kind, unit, limit, wait.Round(time.Millisecond)),
	}
}
