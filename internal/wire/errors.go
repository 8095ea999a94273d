// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package wire

import "bytes"

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
	ContextLength: "context_length", ContentFilter: "content_filter", Unsupported: "unsupported",
	ClientError: "client_error",
}

// String is the outcome's word for logs and metrics.
func (o Outcome) String() string {
	if int(o) >= len(outcomeNames) || o == 0 {
		return "unknown"
	}
	return outcomeNames[o]
}

// Classify says what a whole (not streamed) answer of an OpenAI endpoint means, and what it cost when it is
// a Success.
//
// A 2xx is a success only with one whole JSON object that has no error: a page of HTML, an empty or a cut
// body are failures. An error in such an object goes by its code. 1xx and 3xx are failures.
func Classify(status int, body []byte) (Outcome, Usage) {
	if status < 200 || status > 299 && status < 400 {
		return Failure, Usage{}
	}
	l, valid := lookAt(body)
	switch {
	case status >= 400:
		return outcomeOf(status, &l.err), Usage{}
	case !valid:
		return Failure, Usage{}
	case l.err.present:
		return outcomeOf(l.err.status, &l.err), Usage{}
	}
	return Success, l.usage
}

// ClassifyErrorFrame says what a frame whose kind has Failed means for the attempt.
func ClassifyErrorFrame(data []byte) Outcome {
	l, valid := lookAt(data)
	if !valid || !l.err.present {
		return Failure
	}
	return outcomeOf(l.err.status, &l.err)
}

// outcomeOf finds the first row that holds. Without one it is the client's error with a 4xx status, and a
// failure with any other.
func outcomeOf(status int, e *apiError) Outcome {
	if status >= 500 {
		return Failure
	}
	var lower [512]byte
	message := bytes.ToLower(e.message[:min(len(e.message), len(lower))])
	for i := range openAIErrors {
		if openAIErrors[i].holds(status, e, message) {
			return openAIErrors[i].outcome
		}
	}
	if status >= 400 {
		return ClientError
	}
	return Failure
}

// errorRow is one row of the table. Every condition that is given must hold.
type errorRow struct {
	// status is the answer's, or the code of an error in a 200; 0 is any, also none.
	status int
	// word is the error's type or code.
	word string
	// param is the request field that the error names.
	param string
	// starts is how the message begins, in lower case. Rows that hold something against the endpoint use
	// no looser match: messages quote the request, and no caller may rest an endpoint.
	starts string
	// contains is a part of the message, in lower case.
	contains string
	// shaped wants an error in the provider's own shape: what comes from a proxy or a firewall on the way
	// has none.
	shaped bool

	outcome Outcome
}

func (r *errorRow) holds(status int, e *apiError, message []byte) bool {
	switch {
	case r.status != 0 && r.status != status,
		r.word != "" && r.word != string(e.code) && r.word != string(e.kind),
		r.param != "" && r.param != string(e.param),
		r.starts != "" && !bytes.HasPrefix(message, []byte(r.starts)),
		r.contains != "" && !bytes.Contains(message, []byte(r.contains)),
		r.shaped && !e.present:
		return false
	}
	return true
}

// openAIErrors is the failure table for the format OpenAI: OpenAI and Azure, and servers that speak like
// them (vLLM, OpenRouter, Ollama, Mistral) where they differ. The first row that holds decides. 5xx never
// come here: they are failures whatever they say.
var openAIErrors = []errorRow{
	// Sizes come before anything else: some providers call a request that is too large for a limit per
	// minute a rate limit, which it is not. It will never fit, and others will.
	{status: 413, outcome: Unsupported},
	{status: 429, starts: "request too large", outcome: Unsupported},

	// Money.
	{status: 402, outcome: QuotaExhausted},
	{word: "insufficient_quota", outcome: QuotaExhausted},
	{word: "billing_hard_limit_reached", outcome: QuotaExhausted},
	{word: "billing_not_active", outcome: QuotaExhausted},
	{starts: "your credit balance is too low", outcome: QuotaExhausted},
	{status: 429, starts: "you exceeded your current quota", outcome: QuotaExhausted},
	{status: 403, starts: "key limit exceeded", outcome: QuotaExhausted},
	{status: 429, outcome: RateLimited},

	// Credentials.
	{word: "invalid_api_key", outcome: AuthFailure},
	{status: 400, starts: "incorrect api key provided", outcome: AuthFailure},
	{status: 400, starts: "api key not valid", outcome: AuthFailure},
	{status: 401, shaped: true, outcome: AuthFailure},
	{status: 401, outcome: Failure},

	// Content that the provider does not want.
	{word: "content_filter", outcome: ContentFilter},
	{word: "content_policy_violation", outcome: ContentFilter},
	{word: "moderation_blocked", outcome: ContentFilter},
	{status: 400, contains: "content management policy", outcome: ContentFilter},
	{status: 403, contains: "flagged", outcome: ContentFilter},
	{status: 403, contains: "moderation", outcome: ContentFilter},

	// Size of the input.
	{word: "context_length_exceeded", outcome: ContextLength},
	{word: "exceed_context_size_error", outcome: ContextLength},
	{status: 400, contains: "maximum context length", outcome: ContextLength},
	{status: 400, contains: "maximum model length", outcome: ContextLength},
	{status: 400, contains: "context window", outcome: ContextLength},
	{status: 400, contains: "prompt is too long", outcome: ContextLength},

	// The model. Other things can be not found too: files and responses are the client's.
	{word: "model_not_found", outcome: ModelNotFound},
	{word: "DeploymentNotFound", outcome: ModelNotFound},
	{status: 400, starts: "invalid model id", outcome: ModelNotFound},
	{status: 404, param: keyModel, outcome: ModelNotFound},
	{status: 404, starts: "the model ", shaped: true, outcome: ModelNotFound},
	{status: 404, starts: "model ", shaped: true, outcome: ModelNotFound},
	{status: 404, starts: "this is not a chat model", shaped: true, outcome: ModelNotFound},
	{status: 404, starts: "no endpoints found for", shaped: true, outcome: ModelNotFound},
	{status: 404, starts: "invalid url", outcome: Failure},
	{status: 404, word: "unknown_url", outcome: Failure},
	{status: 404, shaped: true, outcome: ClientError},
	{status: 404, outcome: Failure},
	{status: 410, shaped: true, outcome: ModelNotFound},
	{status: 410, outcome: Failure},

	// Permissions.
	{word: "unsupported_country_region_territory", outcome: Denied},
	{word: "permission_error", outcome: Denied},
	{status: 403, shaped: true, outcome: Denied},
	{status: 403, outcome: Failure},

	// Parameters that this model, but perhaps not the next, refuses.
	{word: "unsupported_parameter", outcome: Unsupported},
	{word: "unsupported_value", outcome: Unsupported},
	{word: "unknown_parameter", outcome: Unsupported},
	{word: "extra_forbidden", outcome: Unsupported},
	{status: 422, contains: "extra_forbidden", outcome: Unsupported},
	{status: 422, contains: "extra inputs are not permitted", outcome: Unsupported},
	{status: 400, contains: "extra inputs are not permitted", outcome: Unsupported},
	{status: 400, contains: "unrecognized request argument", outcome: Unsupported},
	{status: 400, contains: "is not supported", outcome: Unsupported},
	{status: 400, contains: "not supported with this model", outcome: Unsupported},
	{status: 400, contains: "does not support", outcome: Unsupported},
	{status: 400, contains: "only supported by certain models", outcome: Unsupported},
	{status: 400, contains: "tool choice requires", outcome: Unsupported},
	{status: 400, contains: "is not a multimodal model", outcome: Unsupported},
	{status: 400, starts: "max_tokens is too large", outcome: Unsupported},

	// Statuses that mean "again".
	{status: 408, outcome: Failure},
	{status: 425, outcome: Failure},

	// Words of errors in a 200 that has no status of its own to go by.
	{word: "rate_limit_exceeded", outcome: RateLimited},
	{word: "rate_limit_error", outcome: RateLimited},
	{word: "authentication_error", outcome: AuthFailure},
	{word: "invalid_request_error", outcome: ClientError},
}
