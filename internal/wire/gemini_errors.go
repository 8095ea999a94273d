// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package wire

import "slices"

// geminiErrors is the error table of Gemini.
var geminiErrors = errorTable{rows: slices.Concat(googleRows, statusRows), words: googleWords}

// googleWords: the statuses of google.rpc, for the errors that do not name their code too.
var googleWords = []statusWord{
	{googleInvalid, 400},
	{googleExhausted, 429},
}

// googleRows: Gemini API documentation, "Troubleshooting guide", "Rate limits" and "Billing"; Google Cloud API
// design guide, "Errors"; and captured answers. Google's door for OpenAI's clients has the same errors.
var googleRows = []errorRow{
	// Money. One sentence is said of every limit, so only which one was met tells a day's quota from a
	// minute's rate.
	{status: 429, starts: "your prepayment credits are depleted", outcome: QuotaExhausted},
	{status: 429, starts: "your project has exceeded its monthly spending cap", outcome: QuotaExhausted},
	{status: 429, daily: true, outcome: QuotaExhausted},

	// Credentials. A wrong key is a 400, and one that is locked a 403.
	{word: "API_KEY_INVALID", outcome: AuthFailure},
	{status: 400, starts: "api key not valid", outcome: AuthFailure},
	{status: 400, starts: "api key expired", outcome: AuthFailure},
	{status: 403, starts: "your api key was reported as leaked", outcome: AuthFailure},
	{word: "CONSUMER_SUSPENDED", outcome: AuthFailure},

	// Permissions.
	{status: 400, starts: "user location is not supported", outcome: Denied},
	{status: 400, starts: "gemini api free tier is not available", outcome: Denied},
	{status: 403, starts: "you do not have permission to access the file", outcome: ClientError},

	// Size of the input.
	{status: 400, contains: "exceeds the maximum number of tokens allowed", outcome: ContextLength},
	{status: 400, starts: "request payload size exceeds the limit", outcome: Unsupported},

	// The model.
	{status: 404, starts: "models/", shaped: true, outcome: ModelNotFound},
	{status: 404, starts: "this model models/", shaped: true, outcome: ModelNotFound},
	{status: 404, starts: "publisher model ", shaped: true, outcome: ModelNotFound},

	// Parameters that this model, but perhaps not the next, refuses.
	{status: 400, contains: "cannot find field", outcome: Unsupported},
	{status: 400, contains: "is not enabled for", outcome: Unsupported},
	{status: 400, word: googleInvalid, contains: "not supported", outcome: Unsupported},
}

// googleDoorRows are for Google's door for OpenAI's clients alone: what OpenAI says of a spent quota, Google says
// of every limit.
var googleDoorRows = []errorRow{
	{status: 429, word: googleExhausted, outcome: RateLimited},
}
