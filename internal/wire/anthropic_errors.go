// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package wire

import "slices"

// anthropicErrors is the error table of Anthropic.
var anthropicErrors = errorTable{rows: slices.Concat(quotingRows, anthropicRows, statusRows), words: anthropicWords}

// anthropicWords: the types of Anthropic's errors have one status each. Those of 5xx need no row, since an error
// that is not known is a failure too.
var anthropicWords = []statusWord{
	{typeInvalid, 400},
	{typeAuthentication, 401},
	{"billing_error", 402},
	{typePermission, 403},
	{typeNotFound, 404},
	{"conflict_error", 409},
	{"request_too_large", 413},
	{typeRateLimit, 429},
}

// anthropicRows: Claude API documentation, "Errors", "Rate limits" and "Context windows", and captured answers.
var anthropicRows = []errorRow{
	// Money. Running out of credit is a 400, and a spending limit a 400 or a 429.
	{starts: "your credit balance is too low", outcome: QuotaExhausted},
	{starts: "you have reached your specified", outcome: QuotaExhausted}, // "… API usage limits", "… workspace API usage limits"
	{word: "enforced_spend_limit_reached", outcome: QuotaExhausted},

	// Credentials.
	{status: 400, starts: "this organization has been disabled", outcome: AuthFailure},

	// Content that the provider does not want.
	{status: 400, starts: "output blocked by content filtering policy", outcome: ContentFilter},

	// Size of the input.
	{status: 400, starts: "prompt is too long", outcome: ContextLength},
	{status: 400, starts: "input is too long", outcome: ContextLength}, // of the same models elsewhere
	{status: 400, contains: "exceed context limit", outcome: ContextLength},
	{status: 400, contains: "context window", outcome: ContextLength},
	{status: 429, contains: "long context", outcome: ContextLength}, // what the account may not ask for

	// The model. Files and batches are the client's.
	{status: 404, starts: "model: ", shaped: true, outcome: ModelNotFound},
	{status: 404, starts: "not found", outcome: Failure}, // the path

	// Parameters that this model, but perhaps not the next, refuses.
	{status: 400, contains: "maximum allowed number of output tokens", outcome: Unsupported},
	{status: 400, contains: "does not support", outcome: Unsupported},
	{status: 400, contains: "not supported", outcome: Unsupported},
	{status: 400, contains: "cannot both be specified for this model", outcome: Unsupported},
}
