// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package modelsim

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// statusFault answers with any status.
var statusFault = &faultKind{
	summary: "that status; `body`: openai (an error in OpenAI's shape), html, text, empty",
	params:  []string{"body"},
	answer: func(x *exchange, f *Fault) error {
		return answerStatus(f.status, f.body)(x, f)
	},
}

// answerSevered ends the connection instead of answering.
func answerSevered(how string) func(*exchange, *Fault) error {
	return func(x *exchange, _ *Fault) error { return x.abort(how) }
}

// answerError answers with an error in OpenAI's shape.
func answerError(build func(x *exchange, f *Fault) *apiError) func(*exchange, *Fault) error {
	return func(x *exchange, f *Fault) error { return x.refuse(build(x, f)) }
}

// answerStatus answers with a status and a body of some kind. A 204 or 304 never has one.
func answerStatus(status int, body string) func(*exchange, *Fault) error {
	return func(x *exchange, _ *Fault) error {
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
			return x.refuse(errStatus(status))
		}
	}
}

// errStatus is the error that OpenAI (529: Anthropic) sends with a status.
func errStatus(status int) *apiError {
	err := &apiError{status: status, kind: typeInvalidRequest, message: http.StatusText(status) + "."}
	switch {
	case status == 529:
		err.kind, err.message = typeOverloaded, "Overloaded"
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
func answerErrorIn200(x *exchange, _ *Fault) error {
	failure := errStatus(http.StatusInternalServerError)
	return x.whole(http.StatusOK, contentJSON, failure.body())
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

// answerRateLimit answers 429 and says in the asked forms when to come back.
func answerRateLimit(x *exchange, f *Fault) error {
	wait := f.wait
	if wait == 0 {
		wait = 20 * time.Second
	}
	header := x.w.Header()
	header.Set("X-Ratelimit-Remaining-Requests", "0")
	// The headers of every answer say when the limits are full again. Here only the asked forms may say it.
	header.Del("X-Ratelimit-Reset-Requests")
	header.Del("X-Ratelimit-Reset-Tokens")
	sayWait(header, wait, f.forms)
	err := errRateLimit(x.record.Model, "requests", "RPM", 3, wait)
	if slices.Contains(f.forms, "none") {
		err.message = "Rate limit reached."
	}
	return x.refuse(err)
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

// errBadKey is how a key ends that was valid yesterday.
func errBadKey(*exchange, *Fault) *apiError { return errKey("sk-modelsim-no-longer-valid") }

// errBalance is DeepSeek's 402; OpenAI has none.
func errBalance(*exchange, *Fault) *apiError {
	return &apiError{http.StatusPaymentRequired, "unknown_error", "invalid_request_error", "", "Insufficient Balance"}
}

// errQuota is a 429 that no waiting mends.
func errQuota(*exchange, *Fault) *apiError {
	return &apiError{
		http.StatusTooManyRequests, typeQuota, typeQuota, "",
		"You exceeded your current quota, please check your plan and billing details. For more information on this error, read the docs: https://platform.openai.com/docs/guides/error-codes/api-errors.",
	}
}

// errCredit hides an empty account behind a plain 400, told by its message alone, as Anthropic does.
func errCredit(*exchange, *Fault) *apiError {
	return badRequest("", "", "Your credit balance is too low to access the API. Please go to Plans & Billing to upgrade or purchase credits.")
}

// errFlagged is OpenRouter's 403: about this request, not about the key.
func errFlagged(x *exchange, _ *Fault) *apiError {
	return &apiError{http.StatusForbidden, typeInvalidRequest, "moderation_flagged", "", fmt.Sprintf("%s requires moderation. Your input was flagged.", x.record.Model)}
}

// errRegion is a 403 about where the caller is.
func errRegion(*exchange, *Fault) *apiError {
	return &apiError{http.StatusForbidden, typeForbidden, "unsupported_country_region_territory", "", "Country, region, or territory not supported"}
}

// errModelForbidden has the code of a missing model under the status of a forbidden one, as at OpenAI.
func errModelForbidden(x *exchange, _ *Fault) *apiError {
	return &apiError{http.StatusForbidden, typeInvalidRequest, codeModelNotFound, "", fmt.Sprintf("Project `proj_modelsim` does not have access to model `%s`", x.record.Model)}
}

// errContentFilter is a 400 of the content filter in front of a model.
func errContentFilter(*exchange, *Fault) *apiError {
	return badRequest("prompt", "content_filter", "The response was filtered due to the prompt triggering the content management policy. Please modify your prompt and retry.")
}

// errUnsupported refuses one parameter; by default the one that a proxy may have added by itself.
func errUnsupported(_ *exchange, f *Fault) *apiError {
	name := f.param
	if name == "" {
		name = fieldStreamOptions
	}
	return badRequest(name, "unsupported_parameter", "Unsupported parameter: '%s' is not supported with this model.", name)
}
