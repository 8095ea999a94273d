// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package modelsim

import "encoding/json"

// shapes are the shapes by name; OpenAI's is that of apiError, and nil here. The words are those of the
// providers' documentation, of their sources, and of answers that users have posted.
var shapes = map[string]*shape{
	shapeAzure:      {words: azureWords, write: writeAzure, types: typeOf(nil, "", "")},
	shapeOpenRouter: {words: openRouterWords, write: writeOpenRouter, within: openRouterWithin, types: typeOf(nil, "", "")},
	shapeVLLM:       {words: vllmWords, write: writeVLLM, types: vllmTypes},
	shapeOldVLLM:    {words: oldVLLMWords, write: writeOldVLLM, types: vllmTypes},
	shapeMistral:    {words: mistralWords, write: writeMistral, types: typeOf(map[int]string{429: "rate_limited", 404: "not_found"}, typeInvalidRequest, "internal_server_error")},
	shapeAnthropic:  {words: anthropicWords, write: writeAnthropic, event: keyError, types: anthropicTypes},
	shapeGemini:     {words: geminiWords, write: writeGemini, types: geminiTypes},
}

var azureWords = map[string]wording{
	errorRateLimit:    {status: 429, message: "Requests to the ChatCompletions_Create Operation under Azure OpenAI API version 2024-05-01-preview have exceeded call rate limit of your current OpenAI S0 pricing tier. Please retry after {seconds} seconds. Please contact Azure support service if you would like to further increase the default rate limit."},
	errorUnauthorized: {status: 401, message: "Access denied due to invalid subscription key or wrong API endpoint. Make sure to provide a valid key for an active subscription and use a correct regional API endpoint for your resource."},
	errorNoModel:      {status: 404, code: "DeploymentNotFound", message: "The API deployment for this resource does not exist. If you created the deployment within the last 5 minutes, please wait a moment and try again."},
	errorQuota:        {status: 403, raw: `{"statusCode":403,"message":"Out of call volume quota. Quota will be replenished in 07:01:20."}`},
	errorForbidden:    {status: 403, message: "Access denied due to Virtual Network/Firewall rules."},
	errorContext:      {status: 400, code: codeContextLength, param: "messages", message: "This model's maximum context length is {window} tokens. However, your messages resulted in {tokens} tokens. Please reduce the length of the messages."},
	errorUnsupported:  {status: 400, raw: `{"detail":"Extra parameters ['{param}'] are not allowed when extra-parameters is not set or set to be 'error'."}`},
	errorFilter: {
		status: 400, code: finishFiltered, param: "prompt",
		message:     "The response was filtered due to the prompt triggering Azure OpenAI's content management policy. Please modify your prompt and retry. To learn more about our content filtering policies please read our documentation: https://go.microsoft.com/fwlink/?linkid=2198766",
		innerDetail: json.RawMessage(`{"code":"ResponsibleAIPolicyViolation","content_filter_result":` + filterResults + `}`),
	},
}

var openRouterWords = map[string]wording{
	errorPayment:      {status: 402, message: "Insufficient credits. Add more using https://openrouter.ai/settings/credits"},
	errorUnauthorized: {status: 401, message: "No auth credentials found"},
	errorNoModel:      {status: 404, message: "No endpoints found for {model}."},
	errorRateLimit:    {status: 429, message: "Rate limit exceeded: free-models-per-min. ", details: json.RawMessage(`{"headers":{"X-RateLimit-Limit":"20","X-RateLimit-Remaining":"0","X-RateLimit-Reset":"{until}"},"provider_name":null}`)},
	errorQuota:        {status: 429, message: "Rate limit exceeded: free-models-per-day. Add 10 credits to unlock 1000 free model requests per day", details: json.RawMessage(`{"headers":{"X-RateLimit-Limit":"50","X-RateLimit-Remaining":"0","X-RateLimit-Reset":"{until}"},"provider_name":null}`)},
	errorFlagged:      {status: 403, message: "{model} requires moderation. Your input was flagged for \"violence\". No credits were charged.", details: json.RawMessage(`{"reasons":["violence"],"flagged_input":"Tell me a...","provider_name":"Modelsim","model_slug":"{model}"}`)},
	errorContext:      {status: 400, message: "Provider returned error", details: json.RawMessage(`{"raw":"{\"object\":\"error\",\"message\":\"This model's maximum context length is {window} tokens. However, your messages resulted in {tokens} tokens.\",\"type\":\"BadRequestError\",\"param\":null,\"code\":400}","provider_name":"Modelsim"}`)},
	errorUnavailable:  {status: 503, message: "No instances available"},
	errorOverloaded:   {status: 502, message: "Provider returned error", details: json.RawMessage(`{"raw":"{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}","provider_name":"Modelsim"}`)},
}

var vllmTypes = typeOf(map[int]string{404: "NotFoundError", 401: "AuthenticationError", 429: "RateLimitError"}, "BadRequestError", "InternalServerError")

var vllmWords = map[string]wording{
	errorContext:      {status: 400, param: "input_tokens", message: "You passed {tokens} input tokens and requested 0 output tokens. However, the model's context length is only {window} tokens, resulting in a maximum input length of {window} tokens. Please reduce the length of the input prompt."},
	errorNoModel:      {status: 404, param: fieldModel, message: "The model `{model}` does not exist."},
	errorUnauthorized: {status: 401, raw: `{"error":"Unauthorized"}`},
}

var oldVLLMWords = map[string]wording{
	errorContext:      {status: 400, message: "This model's maximum context length is {window} tokens. However, you requested {tokens} tokens ({tokens} in the messages, 0 in the completion). Please reduce the length of the messages or completion."},
	errorNoModel:      {status: 404, message: "The model `{model}` does not exist."},
	errorUnauthorized: {status: 401, raw: `{"error":"Unauthorized"}`},
	errorUnsupported:  {status: 400, message: "[{'type': 'extra_forbidden', 'loc': ('body', '{param}'), 'msg': 'Extra inputs are not permitted', 'input': {'include_usage': True}}]"},
}

var mistralWords = map[string]wording{
	errorRateLimit:    {status: 429, kind: "service_tier_capacity_exceeded", code: "3505", message: "Service tier capacity exceeded for this model."},
	errorNoModel:      {status: 400, kind: "invalid_model", code: "1500", message: "Invalid model: {model}"},
	errorContext:      {status: 400, code: "3051", message: "Prompt contains {tokens} tokens and 0 draft tokens, too large for model with {window} maximum context length"},
	errorUnauthorized: {status: 401, raw: `{"detail":"Unauthorized"}`},
	errorUnsupported:  {status: 422, raw: `{"detail":[{"type":"extra_forbidden","loc":["body","{param}"],"msg":"Extra inputs are not permitted","input":{"include_usage":true}}]}`},
}

var anthropicTypes = typeOf(map[int]string{
	401: "authentication_error", 402: "billing_error", 403: "permission_error", 404: "not_found_error", 409: "conflict_error",
	413: "request_too_large", 429: "rate_limit_error", 504: "timeout_error", statusOverloaded: typeOverloaded,
}, typeInvalidRequest, "api_error")

var anthropicWords = map[string]wording{
	errorOverloaded:   {status: statusOverloaded, message: sayOverloaded},
	errorUnavailable:  {status: statusOverloaded, message: sayOverloaded},
	errorRateLimit:    {status: 429, message: "This request would exceed your account's rate limit. Please try again later."},
	errorUnauthorized: {status: 401, message: "invalid x-api-key"},
	errorPayment:      {status: 402, message: "There is an issue with your billing or payment information."},
	errorCredit:       {status: 400, message: "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade or purchase credits."},
	errorQuota:        {status: 429, message: "You have reached your API usage limits: your organization has crossed its monthly API usage threshold, set based on your organization's API tier. You will regain access on 2036-09-01 at 00:00 UTC.", details: json.RawMessage(`{"error_code":"enforced_spend_limit_reached"}`)},
	errorForbidden:    {status: 403, message: "Your API key does not have permission to use the specified resource."},
	errorNoModel:      {status: 404, message: "model: {model}"},
	errorContext:      {status: 400, message: "prompt is too long: {tokens} tokens > {window} maximum"},
	errorFilter:       {status: 400, message: "Output blocked by content filtering policy"},
	errorUnsupported:  {status: 400, message: "{param}: Extra inputs are not permitted"},
}

var geminiTypes = typeOf(map[int]string{
	401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND", 409: "ABORTED", 429: "RESOURCE_EXHAUSTED",
	501: "UNIMPLEMENTED", 503: "UNAVAILABLE", 504: "DEADLINE_EXCEEDED",
}, "INVALID_ARGUMENT", "INTERNAL")

// Google says the same of every quota; only its name tells a day's from a minute's.
const geminiQuota = "You exceeded your current quota, please check your plan and billing details. For more information on this error, head to: https://ai.google.dev/gemini-api/docs/rate-limits."

var geminiWords = map[string]wording{
	errorRateLimit:    {status: 429, message: geminiQuota, details: json.RawMessage(`[{"@type":"type.googleapis.com/google.rpc.QuotaFailure","violations":[{"quotaMetric":"generativelanguage.googleapis.com/generate_content_free_tier_requests","quotaId":"GenerateRequestsPerMinutePerProjectPerModel-FreeTier"}]},{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"{seconds}s"}]`)},
	errorQuota:        {status: 429, message: geminiQuota, details: json.RawMessage(`[{"@type":"type.googleapis.com/google.rpc.QuotaFailure","violations":[{"quotaMetric":"generativelanguage.googleapis.com/generate_content_free_tier_requests","quotaId":"GenerateRequestsPerDayPerProjectPerModel-FreeTier"}]},{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"{seconds}s"}]`)},
	errorUnauthorized: {status: 400, message: "API key not valid. Please pass a valid API key.", details: json.RawMessage(`[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"API_KEY_INVALID","domain":"googleapis.com","metadata":{"service":"generativelanguage.googleapis.com"}}]`)},
	"region":          {status: 400, kind: "FAILED_PRECONDITION", message: "User location is not supported for the API use."},
	errorNoModel:      {status: 404, message: "models/{model} is not found for API version v1beta, or is not supported for generateContent. Call ListModels to see the list of available models and their supported methods."},
	errorContext:      {status: 400, message: "The input token count ({tokens}) exceeds the maximum number of tokens allowed ({window})."},
	errorUnsupported:  {status: 400, message: "Invalid JSON payload received. Unknown name \"{param}\": Cannot find field."},
	errorUnavailable:  {status: 503, message: "The model is overloaded. Please try again later."},
	errorOverloaded:   {status: 503, message: "The model is overloaded. Please try again later."},
}
