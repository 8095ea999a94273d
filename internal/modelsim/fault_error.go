// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package modelsim

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
)

// errorKind is an error that a provider answers with. It is a fault by its name, and can be said within a 200 too.
type errorKind struct {
	summary string
	params  []string
	// build makes the error as OpenAI would say it; see shape for others.
	build func(x *exchange, f *Fault) *apiError
	// waits is true for those that say when to come back.
	waits bool
}

// Names of errors that more than one place needs.
const (
	errorUnauthorized = "unauthorized"
	errorPayment      = "payment-required"
	errorQuota        = "quota"
	errorCredit       = "credit-balance"
	errorFlagged      = "flagged"
	errorForbidden    = "model-forbidden"
	errorNoModel      = "model-not-found"
	errorContext      = "context-length"
	errorFilter       = "content-filter"
	errorUnsupported  = "unsupported-param"
	errorRateLimit    = "rate-limit"
	errorUnavailable  = "unavailable"
	errorOverloaded   = "overloaded"
)

// errorKinds are the errors by name.
var errorKinds = map[string]*errorKind{
	errorRateLimit:    {summary: "429 that asks to wait `wait` (20s) in the `form`s seconds, date, ms, reset (comma separated; none)", params: []string{keyWait, keyForm}, build: errLimit, waits: true},
	errorUnavailable:  {summary: "503 that asks to wait, in the same ways", params: []string{keyWait, keyForm}, build: errOf(http.StatusServiceUnavailable), waits: true},
	errorOverloaded:   {summary: "529 overloaded_error", build: errOf(statusOverloaded)},
	errorUnauthorized: {summary: "401 invalid_api_key", build: errBadKey},
	errorPayment:      {summary: "402 insufficient balance", build: errBalance},
	errorQuota:        {summary: "429 insufficient_quota", build: errQuota},
	errorCredit:       {summary: "400 whose message says that the credit balance is too low", build: errCredit},
	errorFlagged:      {summary: "403: the input was flagged", build: errFlagged},
	"region":          {summary: "403 unsupported_country_region_territory", build: errRegion},
	errorForbidden:    {summary: "403: the project has no access to the model", build: errModelForbidden},
	errorNoModel:      {summary: "404 model_not_found", build: func(x *exchange, _ *Fault) *apiError { return errUnknownModel(x.record.Model) }},
	"model-gone":      {summary: "410: the model was retired", build: errModelGone},
	errorContext:      {summary: "400 context_length_exceeded", build: errWindow},
	errorFilter:       {summary: "400 content_filter", build: errContentFilter},
	errorUnsupported:  {summary: "400 unsupported_parameter about `param` (stream_options)", params: []string{"param"}, build: errUnsupported},
}

// withErrors adds the errors to the other faults. Each has the shapes of all providers.
func withErrors(kinds map[string]*faultKind) map[string]*faultKind {
	for name, kind := range errorKinds {
		kinds[name] = &faultKind{summary: kind.summary, params: append(slices.Clone(kind.params), keyShape), answer: answerError(name)}
	}
	return kinds
}

// answerError answers with an error, in the shape of the provider that the fault names.
func answerError(name string) func(*exchange, *Fault) error {
	return func(x *exchange, f *Fault) error {
		if errorKinds[name].waits {
			askToWait(x.w.Header(), f)
		}
		if name == errorRateLimit {
			x.w.Header().Set("X-Ratelimit-Remaining-Requests", "0")
		}
		said := f.error(x, name)
		return x.whole(said.status, contentJSON, said.body)
	}
}

// statusNames are the errors that a status alone stands for.
var statusNames = map[int]string{
	http.StatusUnauthorized: errorUnauthorized, http.StatusPaymentRequired: errorPayment,
	http.StatusTooManyRequests: errorRateLimit, http.StatusServiceUnavailable: errorUnavailable,
	statusOverloaded: errorOverloaded,
}

// error is the error of that name, or of the status that the name is, in the fault's shape.
func (f *Fault) error(x *exchange, code string) saidError {
	if kind, ok := errorKinds[code]; ok {
		return shapes[f.shape].say(x, f, code, kind.build(x, f))
	}
	status, _ := strconv.Atoi(code) // the fault was refused if it is neither
	return shapes[f.shape].say(x, f, statusNames[status], errStatus(status))
}

// errOf is the error that OpenAI sends with a status.
func errOf(status int) func(*exchange, *Fault) *apiError {
	return func(*exchange, *Fault) *apiError { return errStatus(status) }
}

// errLimit is a rate limit that was met. Its message says when to come back too, unless nothing is to say it.
func errLimit(x *exchange, f *Fault) *apiError {
	err := errRateLimit(x.record.Model, "requests", "RPM", 3, f.asks())
	if slices.Contains(f.forms, formNone) {
		err.message = "Rate limit reached."
	}
	return err
}

// errWindow is an input one token too long.
func errWindow(x *exchange, _ *Fault) *apiError {
	w := x.sim.config.ContextWindow
	return errContextLength(w, w+1)
}

// errModelGone is a model that was there until it was switched off.
func errModelGone(x *exchange, _ *Fault) *apiError {
	return &apiError{http.StatusGone, typeInvalidRequest, "model_deprecated", "", fmt.Sprintf("The model `%s` has been deprecated, learn more here: https://platform.openai.com/docs/deprecations", x.record.Model)}
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
