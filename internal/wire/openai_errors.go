// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package wire

import "slices"

// openAIErrors is the error table of OpenAI, and of servers that speak like it where they differ: those come
// first, since they are the more exact.
var openAIErrors = errorTable{
	rows: slices.Concat(
		quotingRows, openRouterRows, azureRows, vllmRows, mistralRows, ollamaRows, googleRows, googleDoorRows,
		relayedRows, openAIRows, statusRows,
	),
	// Of OpenAI, and of Anthropic's door for its clients.
	words: slices.Concat(anthropicWords, googleWords, []statusWord{
		{"rate_limit_exceeded", 429},
	}),
}

// openRouterRows: OpenRouter documentation, "Errors and Debugging" and "Limits".
var openRouterRows = []errorRow{
	{status: 403, starts: "key limit exceeded", outcome: QuotaExhausted},
	{status: 429, starts: "rate limit exceeded: free-models-per-day", outcome: QuotaExhausted},
	{status: 403, contains: "flagged", outcome: ContentFilter},
	{status: 403, contains: "moderation", outcome: ContentFilter},
	{status: 403, starts: "request blocked", outcome: ContentFilter}, // by a guardrail
	// What no provider of the model can do is about the request.
	{status: 404, starts: "no endpoints found that support", outcome: Unsupported},
	{status: 404, starts: "no endpoints found", shaped: true, outcome: ModelNotFound},
}

// azureRows: Azure OpenAI documentation, "Content filtering" and "Quotas and limits", and the errors of Azure's
// API Management and of Azure AI model inference.
var azureRows = []errorRow{
	{word: "ResponsibleAIPolicyViolation", outcome: ContentFilter},
	{status: 400, contains: "content management policy", outcome: ContentFilter},
	{word: "DeploymentNotFound", outcome: ModelNotFound},
	{word: "OperationNotSupported", outcome: Unsupported},
	{status: 400, starts: "extra parameters [", outcome: Unsupported},
	{status: 403, starts: "out of call volume quota", outcome: QuotaExhausted},
	{status: 404, starts: "resource not found", outcome: Failure}, // the path, not the model
}

// vllmRows: vLLM documentation, "OpenAI-Compatible Server", and what its sources raise.
var vllmRows = []errorRow{
	{status: 400, contains: "maximum model length", outcome: ContextLength},
	{status: 400, contains: "context length is only", outcome: ContextLength},
	{status: 404, param: keyModel, outcome: ModelNotFound},
	{status: 400, contains: "tool choice requires", outcome: Unsupported},
	{status: 400, contains: "is not a multimodal model", outcome: Unsupported},
	{status: 400, contains: "extra_forbidden", outcome: Unsupported},
}

// mistralRows: Mistral documentation, "Error handling", and captured answers.
var mistralRows = []errorRow{
	{word: "invalid_model", outcome: ModelNotFound},
	{word: "extra_forbidden", outcome: Unsupported},
	{status: 401, starts: "unauthorized", outcome: AuthFailure}, // from its gateway, in no shape
}

// ollamaRows: Ollama documentation, "OpenAI compatibility", and what its sources raise.
var ollamaRows = []errorRow{
	{status: 404, starts: "model ", shaped: true, outcome: ModelNotFound},
	{status: 400, contains: "does not support", outcome: Unsupported},
	{status: 400, starts: "json: unknown field", outcome: Unsupported},
}

// relayedRows: errors of other providers as their own doors for OpenAI's clients, or gateways, relay them.
var relayedRows = []errorRow{
	{starts: "your credit balance is too low", outcome: QuotaExhausted},                       // Anthropic
	{status: 400, contains: "prompt is too long", outcome: ContextLength},                     // Anthropic
	{status: 400, contains: "maximum prompt length", outcome: ContextLength},                  // xAI
	{word: "exceed_context_size_error", outcome: ContextLength},                               // llama.cpp
	{status: 400, contains: "longer than the model's context length", outcome: ContextLength}, // SGLang
	{status: 400, starts: "invalid model id", outcome: ModelNotFound},
}

// openAIRows: OpenAI API documentation, "Error codes", and the ResponseErrorCode of its API description.
var openAIRows = []errorRow{
	// A request too large for a limit per minute is called a rate limit, which it is not: it will never fit,
	// and others will.
	{status: 429, starts: "request too large", outcome: Unsupported},

	// Money.
	{word: "insufficient_quota", outcome: QuotaExhausted},
	{word: "billing_hard_limit_reached", outcome: QuotaExhausted},
	{word: "billing_not_active", outcome: QuotaExhausted},
	{status: 429, starts: "you exceeded your current quota", outcome: QuotaExhausted},

	// Credentials.
	{word: "invalid_api_key", outcome: AuthFailure},
	{status: 400, starts: "incorrect api key provided", outcome: AuthFailure},

	// Content that the provider does not want.
	{word: filtered, outcome: ContentFilter},
	{word: "content_policy_violation", outcome: ContentFilter},
	{word: "image_content_policy_violation", outcome: ContentFilter},
	{word: "moderation_blocked", outcome: ContentFilter},
	{word: "invalid_prompt", outcome: ContentFilter},
	{word: "bio_policy", outcome: ContentFilter},

	// Size of the input.
	{word: "context_length_exceeded", outcome: ContextLength},
	{status: 400, contains: "maximum context length", outcome: ContextLength},
	{status: 400, contains: "context window", outcome: ContextLength},

	// The model.
	{word: "model_not_found", outcome: ModelNotFound},
	{status: 404, starts: "the model ", shaped: true, outcome: ModelNotFound},
	{status: 404, starts: "this is not a chat model", shaped: true, outcome: ModelNotFound},
	{status: 404, starts: "invalid url", outcome: Failure},
	{status: 404, word: "unknown_url", outcome: Failure},

	// Permissions.
	{word: "unsupported_country_region_territory", outcome: Denied},
	{word: "data_residency_mismatch", outcome: Denied},

	// Parameters that this model, but perhaps not the next, refuses.
	{word: "unsupported_parameter", outcome: Unsupported},
	{word: "unsupported_value", outcome: Unsupported},
	{word: "unknown_parameter", outcome: Unsupported},
	{status: 400, contains: "unrecognized request argument", outcome: Unsupported},
	{status: 400, contains: "is not supported", outcome: Unsupported},
	{status: 400, contains: "not supported with this model", outcome: Unsupported},
	{status: 400, contains: "only supported by certain models", outcome: Unsupported},
	{status: 400, starts: "max_tokens is too large", outcome: Unsupported},

	// Images that cannot be read or fetched, said in the middle of a stream.
	{family: "image", outcome: ClientError},
}
