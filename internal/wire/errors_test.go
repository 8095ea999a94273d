// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// errorCase is an error as a provider sends it. With status 0 it comes in a frame of a stream.
type errorCase struct {
	name   string
	status int
	body   string
	want   Outcome
}

// openAICases are errors of OpenAI and of servers that speak like it. Bodies are those of the documentation
// that the rows of the tables name, of vLLM's and Ollama's sources, and of answers that users have posted.
var openAICases = slices.Concat(openRouterCases, azureCases, vllmCases, mistralCases, ollamaCases, googleCases, relayedCases, statusCases, []errorCase{
	{"a rate limit", 429, `{"error":{"message":"Rate limit reached for gpt-4o","type":"requests","param":null,"code":"rate_limit_exceeded"}}`, RateLimited},
	{"a request too large for a rate limit", 429, `{"error":{"message":"Request too large for gpt-4o on tokens per min (TPM): Limit 30000, Requested 90000.","type":"tokens","code":"rate_limit_exceeded"}}`, Unsupported},
	{"a spent quota", 429, `{"error":{"message":"You exceeded your current quota, please check your plan and billing details.","type":"insufficient_quota","param":null,"code":"insufficient_quota"}}`, QuotaExhausted},
	{"a spent quota in words of its own", 429, `{"error":{"message":"No credit.","code":"insufficient_quota"}}`, QuotaExhausted},
	{"a spent quota in a sentence alone", 429, `{"error":{"message":"You exceeded your current quota."}}`, QuotaExhausted},
	{"a spent quota in a stream", 0, `{"type":"error","code":"insufficient_quota","message":"You exceeded your current quota.","param":null,"sequence_number":1}`, QuotaExhausted},
	{"a hard limit", 400, `{"error":{"code":"billing_hard_limit_reached","message":"Billing hard limit has been reached","type":"invalid_request_error"}}`, QuotaExhausted},
	{"an inactive account", 429, `{"error":{"code":"billing_not_active","message":"Your account is not active"}}`, QuotaExhausted},

	{"a wrong key", 401, `{"error":{"message":"Incorrect API key provided: sk-x.","type":"invalid_request_error","param":null,"code":"invalid_api_key"}}`, AuthFailure},
	{"a wrong key with another status", 403, `{"error":{"message":"No.","code":"invalid_api_key"}}`, AuthFailure},
	{"a wrong key as a 400", 400, `{"error":{"message":"Incorrect API key provided: x. You can find your API key in your console.","code":400}}`, AuthFailure},

	{"a filtered prompt, as a 400", 400, `{"error":{"code":"content_filter","message":"No."}}`, ContentFilter},
	{"a policy violation", 400, `{"error":{"code":"content_policy_violation","message":"x"}}`, ContentFilter},
	{"a policy violation of an image in a stream", 0, `{"type":"response.failed","response":{"status":"failed","error":{"code":"image_content_policy_violation","message":"No."}}}`, ContentFilter},
	{"a prompt that moderation has blocked", 400, `{"error":{"message":"Your request was rejected by the safety system.","type":"user_error","param":null,"code":"moderation_blocked"}}`, ContentFilter},
	{"a prompt that may violate a policy", 400, `{"error":{"message":"Invalid prompt: your prompt was flagged as potentially violating our usage policy.","type":"invalid_request_error","param":null,"code":"invalid_prompt"}}`, ContentFilter},
	{"a prompt about biology", 0, `{"type":"response.failed","response":{"status":"failed","error":{"code":"bio_policy","message":"No."}}}`, ContentFilter},

	{"an input that does not fit", 400, `{"error":{"message":"This model's maximum context length is 8192 tokens.","type":"invalid_request_error","param":"messages","code":"context_length_exceeded"}}`, ContextLength},
	{"an input that does not fit, by its word", 400, `{"error":{"message":"Too long.","code":"context_length_exceeded"}}`, ContextLength},
	{"an input that does not fit, by its sentence", 400, `{"error":{"message":"This model's maximum context length is 8192 tokens."}}`, ContextLength},
	{"an input of responses that does not fit", 400, `{"error":{"message":"Your input exceeds the context window of this model. Please adjust your input and try again.","type":"invalid_request_error"}}`, ContextLength},

	{"a missing model", 404, `{"error":{"message":"The model 'x' does not exist or you do not have access to it.","type":"invalid_request_error","param":null,"code":"model_not_found"}}`, ModelNotFound},
	{"a model the project may not use", 403, `{"error":{"message":"Project x does not have access to model y","type":"invalid_request_error","param":null,"code":"model_not_found"}}`, ModelNotFound},
	{"a missing model in a sentence alone", 404, `{"error":{"message":"The model x does not exist."}}`, ModelNotFound},
	{"a model that cannot chat", 404, `{"error":{"message":"This is not a chat model and thus not supported in the v1/chat/completions endpoint.","type":"invalid_request_error","param":null,"code":null}}`, ModelNotFound},
	{"a wrong path", 404, `{"error":{"message":"Invalid URL (POST /v1/v1/chat/completions)","type":"invalid_request_error","param":null,"code":null}}`, Failure},
	{"a wrong path by its word", 404, `{"error":{"message":"Unknown request URL: POST /v2.","type":"invalid_request_error","param":null,"code":"unknown_url"}}`, Failure},
	{"a missing file, which is the client's", 404, `{"error":{"message":"No such File object: the model file","type":"invalid_request_error","param":"id","code":null}}`, ClientError},

	{"a forbidden region", 400, `{"error":{"code":"unsupported_country_region_territory","message":"Country, region, or territory not supported","param":null,"type":"request_forbidden"}}`, Denied},
	{"data that must not leave a region", 0, `{"type":"response.failed","response":{"status":"failed","error":{"code":"data_residency_mismatch","message":"No."}}}`, Denied},
	{"a missing permission", 403, `{"error":{"message":"You have insufficient permissions for this operation.","type":"invalid_request_error"}}`, Denied},

	{"a parameter that is not supported", 400, `{"error":{"message":"Unsupported parameter: 'max_tokens' is not supported with this model.","type":"invalid_request_error","param":"max_tokens","code":"unsupported_parameter"}}`, Unsupported},
	{"a parameter that is not supported, by its word", 400, `{"error":{"message":"No.","param":"max_tokens","code":"unsupported_parameter"}}`, Unsupported},
	{"a value that is not supported", 400, `{"error":{"message":"x","type":"invalid_request_error","param":"temperature","code":"unsupported_value"}}`, Unsupported},
	{"a parameter that is not known", 400, `{"error":{"message":"Unknown parameter: 'stream_options'.","type":"invalid_request_error","param":"stream_options","code":"unknown_parameter"}}`, Unsupported},
	{"a field that OpenAI does not know", 400, `{"error":{"message":"Unrecognized request argument supplied: foo","type":"invalid_request_error","param":null,"code":null}}`, Unsupported},
	{"a feature that is not supported", 400, `{"error":{"message":"Tools is not supported in this model.","type":"invalid_request_error","param":null,"code":null}}`, Unsupported},
	{"a format that is not supported with a model", 400, `{"error":{"message":"Invalid parameter: 'response_format' of type 'json_schema' not supported with this model.","type":"invalid_request_error"}}`, Unsupported},
	{"a format that few models support", 400, `{"error":{"message":"'json_object' response_format is only supported by certain models.","type":"invalid_request_error"}}`, Unsupported},
	{"more output than a model has", 400, `{"error":{"message":"max_tokens is too large: 100000. This model supports at most 4096 completion tokens.","type":"invalid_request_error","param":"max_tokens","code":null}}`, Unsupported},
	{"an image that cannot be fetched, in a stream", 0, `{"type":"response.failed","response":{"status":"failed","error":{"code":"failed_to_download_image","message":"No."}}}`, ClientError},

	{"a bad request", 400, `{"error":{"message":"Missing required parameter: 'messages'.","type":"invalid_request_error","param":"messages","code":"missing_required_parameter"}}`, ClientError},
	{"a request that talks of credit", 400, `{"error":{"type":"invalid_request_error","message":"Invalid value: 'your credit balance is too low'."}}`, ClientError},
	{"a bad request in a stream", 0, `{"error":{"message":"no","type":"invalid_request_error","code":null}}`, ClientError},
	{"a rate limit in a stream, by its word", 0, `{"error":{"type":"rate_limit_exceeded"}}`, RateLimited},
	{"a rate limit of responses", 0, `{"type":"response.failed","response":{"status":"failed","error":{"code":"rate_limit_exceeded","message":"Slow down."}}}`, RateLimited},
	{"a server's error in a stream", 0, `{"error":{"message":"overloaded","type":"server_error","code":null}}`, Failure},
	{"an overload in a stream", 0, `{"error":{"type":"overloaded_error"}}`, Failure},
	{"a finish reason of error", 0, `{"choices":[{"finish_reason":"error"}]}`, Failure},
	{"a response that has failed without a word", 0, `{"type":"response.failed","response":{"status":"failed","error":null}}`, Failure},
	{"a broken frame", 0, `{"error":`, Failure},

	// The words of Anthropic's errors, as its door for OpenAI's clients has them.
	{"a wrong key, in a stream", 0, `{"error":{"type":"authentication_error","message":"No."}}`, AuthFailure},
	{"an open bill, in a stream", 0, `{"error":{"type":"billing_error","message":"No."}}`, QuotaExhausted},
	{"a missing permission, in a stream", 0, `{"error":{"type":"permission_error","message":"No."}}`, Denied},
	{"something that is not there, in a stream", 0, `{"error":{"type":"not_found_error","message":"No."}}`, ClientError},
	{"a conflict, in a stream", 0, `{"error":{"type":"conflict_error","message":"No."}}`, ClientError},
	{"a request that is too large, in a stream", 0, `{"error":{"type":"request_too_large","message":"No."}}`, Unsupported},
	{"a rate limit, in a stream", 0, `{"error":{"type":"rate_limit_error","message":"No."}}`, RateLimited},
})

// openRouterCases: OpenRouter documentation, "Errors and Debugging" and "Limits".
var openRouterCases = []errorCase{
	{"a spent key of OpenRouter", 403, `{"error":{"code":403,"message":"Key limit exceeded (total limit)."}}`, QuotaExhausted},
	{"a spent day of OpenRouter's free models", 429, `{"error":{"message":"Rate limit exceeded: free-models-per-day. Add 10 credits to unlock 1000 free model requests per day","code":429,"metadata":{"headers":{"X-RateLimit-Limit":"50","X-RateLimit-Remaining":"0","X-RateLimit-Reset":"1745107200000"},"provider_name":null}},"user_id":"user_x"}`, QuotaExhausted},
	{"a busy minute of OpenRouter's free models", 429, `{"error":{"message":"Rate limit exceeded: free-models-per-min. ","code":429}}`, RateLimited},
	{"a flagged prompt", 403, `{"error":{"code":403,"message":"Your input was flagged for \"violence\"."}}`, ContentFilter},
	{"a prompt that moderation refuses", 403, `{"error":{"code":403,"message":"Your chosen model requires moderation."}}`, ContentFilter},
	{"a prompt that a guardrail refuses", 403, `{"error":{"code":403,"message":"Request blocked: prompt injection patterns detected"}}`, ContentFilter},
	{"tools that nobody offers", 404, `{"error":{"message":"No endpoints found that support tool use. To learn more about provider routing, visit: …","code":404}}`, Unsupported},
	{"a missing model of OpenRouter", 404, `{"error":{"message":"No endpoints found for x.","code":404}}`, ModelNotFound},
	{"credits that are spent", 402, `{"error":{"code":402,"message":"Insufficient credits"}}`, QuotaExhausted},
	{"credits that are spent, in a 200", 0, `{"error":{"code":402,"message":"credits"}}`, QuotaExhausted},
	{"an error in a choice", 0, `{"choices":[{"error":{"code":429,"message":"x"},"finish_reason":"error"}]}`, RateLimited},
	{"an error of the provider behind, which is a failure", 0, `{"id":"x","provider":"X","error":{"code":502,"message":"Upstream error"},"choices":[{"index":0,"delta":{"content":""},"finish_reason":"error"}]}`, Failure},
	{"an error of the provider behind, as a text", 400, `{"error":{"message":"Provider returned error","code":400,"metadata":{"raw":"{\"error\":{\"message\":\"This model's maximum context length is 262144 tokens. However, your messages resulted in 262897 tokens.\",\"type\":\"Bad Request\",\"code\":400}}","provider_name":"Nvidia"}}}`, ContextLength},
}

// azureCases: Azure OpenAI documentation, "Content filtering" and "Quotas and limits".
var azureCases = []errorCase{
	{"Azure's content filter", 400, `{"error":{"message":"The response was filtered due to the prompt triggering Azure OpenAI's content management policy.","type":null,"param":"prompt","code":null,"status":400}}`, ContentFilter},
	{"Azure's content filter by its inner word", 400, `{"error":{"message":"Filtered.","code":"BadRequest","innererror":{"code":"ResponsibleAIPolicyViolation","content_filter_result":{"hate":{"filtered":true,"severity":"high"}}}}}`, ContentFilter},
	{"a missing deployment of Azure", 404, `{"error":{"code":"DeploymentNotFound","message":"The API deployment for this resource does not exist."}}`, ModelNotFound},
	{"a model of Azure that cannot chat", 400, `{"error":{"code":"OperationNotSupported","message":"The chatCompletion operation does not work with the specified model, gpt-35-turbo-instruct."}}`, Unsupported},
	{"a parameter that Azure AI does not pass on", 400, `{"detail":"Extra parameters ['stream_options'] are not allowed when extra-parameters is not set or set to be 'error'."}`, Unsupported},
	{"a spent volume of Azure", 403, `{"statusCode":403,"message":"Out of call volume quota. Quota will be replenished in 07:01:20."}`, QuotaExhausted},
	{"a wrong path of Azure", 404, `{"error":{"code":"404","message":"Resource not found"}}`, Failure},
	{"a wrong key of Azure", 401, `{"statusCode":401,"message":"Unauthorized. Access token is missing, invalid, audience is incorrect, or have expired."}`, AuthFailure},
	{"a wrong subscription of Azure", 401, `{"error":{"code":"401","message":"Access denied due to invalid subscription key or wrong API endpoint."}}`, AuthFailure},
	{"a network that Azure lets nobody in from", 403, `{"error":{"code":"403","message": "Access denied due to Virtual Network/Firewall rules."}}`, Denied},
	{"a rate limit of Azure", 429, `{"error":{"code":"429","message":"Requests to the ChatCompletions_Create Operation under Azure OpenAI API version 2024-05-01-preview have exceeded token rate limit of your current OpenAI S0 pricing tier. Please retry after 86400 seconds."}}`, RateLimited},
}

// vllmCases: vLLM documentation, "OpenAI-Compatible Server", and answers of vLLM.
var vllmCases = []errorCase{
	{"an input that does not fit vLLM", 400, `{"object":"error","message":"This model's maximum context length is 4096 tokens. However, you requested 5000 tokens","type":"BadRequestError","param":null,"code":400}`, ContextLength},
	{"an input that does not fit vLLM, in a stream", 0, `{"object":"error","code":400,"message":"maximum context length","type":"BadRequestError"}`, ContextLength},
	{"a prompt that does not fit vLLM", 400, `{"object":"error","message":"The decoder prompt (length 5000) is longer than the maximum model length of 4096.","type":"BadRequestError","param":null,"code":400}`, ContextLength},
	{"an input that does not fit a newer vLLM", 400, `{"error":{"message":"You passed 99073 input tokens and requested 32000 output tokens. However, the model's context length is only 131072 tokens, resulting in a maximum input length of 99072 tokens.","type":"BadRequestError","param":"input_tokens","code":400}}`, ContextLength},
	{"a missing model of vLLM", 404, `{"object":"error","message":"The model 'x' does not exist.","type":"NotFoundError","param":null,"code":404}`, ModelNotFound},
	{"a missing model of a newer vLLM", 404, `{"error":{"message":"No.","type":"NotFoundError","param":"model","code":404}}`, ModelNotFound},
	{"tools on a vLLM that was started without", 400, `{"object":"error","message":"\"auto\" tool choice requires --enable-auto-tool-choice","type":"BadRequestError","param":null,"code":400}`, Unsupported},
	{"an image for a vLLM that sees none", 400, `{"object":"error","message":"m is not a multimodal model","type":"BadRequestError","param":null,"code":400}`, Unsupported},
	{"a field that an older vLLM does not know", 400, `{"object":"error","message":"[{'type': 'extra_forbidden', 'loc': ('body', 'max_completion_tokens'), 'msg': 'No', 'input': 800}]","type":"BadRequestError","param":null,"code":400}`, Unsupported},
	{"a wrong key of vLLM", 401, `{"error":"Unauthorized"}`, AuthFailure},
	{"a failure of vLLM in a stream", 0, `{"object":"error","message":"x","type":"InternalServerError","code":500}`, Failure},
	{"a server without that path", 404, `{"detail":"Not Found"}`, Failure},
}

// mistralCases: Mistral documentation, "Error handling", and answers of Mistral.
var mistralCases = []errorCase{
	{"a missing model of Mistral", 400, `{"object":"error","message":"Invalid model: x","type":"invalid_model","param":null,"code":"1500","raw_status_code":400}`, ModelNotFound},
	{"a field that Mistral does not know", 422, `{"detail":[{"type":"extra_forbidden","loc":["body","stream_options"],"msg":"Extra inputs are not permitted","input":{}}]}`, Unsupported},
	{"a field that Mistral does not know, in its own shape", 422, `{"object":"error","message":{"detail":[{"type":"extra_forbidden","loc":["body","EmbeddingRequest","user"],"msg":"Extra inputs are not permitted","input":""}]},"type":"invalid_request_error","param":null,"code":null,"raw_status_code":422}`, Unsupported},
	{"a wrong key of Mistral", 401, `{"detail":"Unauthorized"}`, AuthFailure},
	{"a busy tier of Mistral", 429, `{"object":"error","message":"Service tier capacity exceeded for this model.","type":"service_tier_capacity_exceeded","param":null,"code":"3505"}`, RateLimited},
	{"a busy tier of Mistral, in a stream", 0, `{"object":"error","message":"No.","type":"service_tier_capacity_exceeded","param":null,"code":"3505","raw_status_code":429}`, RateLimited},
	{"an input that does not fit Mistral", 400, `{"object":"error","message":"Prompt contains 40000 tokens and 0 draft tokens, too large for model with 32768 maximum context length","type":"invalid_request_error","param":null,"code":"3051"}`, ContextLength},
	{"an unprocessable entity", 422, `{"detail":"x"}`, ClientError},
}

// ollamaCases: Ollama documentation, "OpenAI compatibility".
var ollamaCases = []errorCase{
	{"a missing model of Ollama", 404, `{"error":{"message":"model 'x' not found","type":"api_error","param":null,"code":null}}`, ModelNotFound},
	{"tools for a model of Ollama that knows none", 400, `{"error":{"message":"registry.ollama.ai/library/x does not support tools","type":"api_error","param":null,"code":null}}`, Unsupported},
	{"a field that a server in Go does not know", 400, `{"error":{"message":"json: unknown field \"stream_options\"","type":"invalid_request_error","param":null,"code":null}}`, Unsupported},
}

// relayedCases are errors of other providers in OpenAI's shape.
var relayedCases = []errorCase{
	{"a credit balance that is too low", 400, `{"error":{"type":"invalid_request_error","message":"Your credit balance is too low to access the API."}}`, QuotaExhausted},
	{"a prompt that does not fit Anthropic", 400, `{"error":{"code":"invalid_request_error","message":"prompt is too long: 201130 tokens > 200000 maximum","type":"invalid_request_error","param":null}}`, ContextLength},
	{"a prompt that does not fit xAI", 400, `{"code":"Client specified an invalid argument","error":"This model's maximum prompt length is 131072 but the request contains 537812 tokens."}`, ContextLength},
	{"an input that does not fit llama.cpp", 400, `{"error":{"code":400,"message":"the request exceeds the available context size","type":"exceed_context_size_error"}}`, ContextLength},
	{"an input that does not fit SGLang", 400, `{"object":"error","message":"The input (5000 tokens) is longer than the model's context length (4096 tokens).","type":"BadRequestError","param":null,"code":400}`, ContextLength},
	{"a field that Anthropic does not know", 400, `{"error":{"message":"foo: Extra inputs are not permitted","type":"invalid_request_error"}}`, Unsupported},
	{"a field that Anthropic did not know in earlier days", 400, `{"error":{"message":"foo: extra fields not permitted","type":"invalid_request_error"}}`, Unsupported},
	{"a model that a gateway does not know", 400, `{"error":{"message":"Invalid model ID: x","type":"invalid_request_error"}}`, ModelNotFound},
}

// googleCases: Gemini API documentation, "Troubleshooting guide", "Rate limits" and "Billing", and answers of
// Gemini, to its own clients and to those of OpenAI.
var googleCases = []errorCase{
	{"a quota of the day", 429, `{"error":{"code":429,"message":"You exceeded your current quota, please check your plan and billing details.","status":"RESOURCE_EXHAUSTED","details":[{"@type":"type.googleapis.com/google.rpc.QuotaFailure","violations":[{"quotaMetric":"generativelanguage.googleapis.com/generate_content_free_tier_requests","quotaId":"GenerateRequestsPerMinutePerProjectPerModel-FreeTier"},{"quotaMetric":"generativelanguage.googleapis.com/generate_content_free_tier_requests","quotaId":"GenerateRequestsPerDayPerProjectPerModel-FreeTier"}]},{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"36s"}]}}`, QuotaExhausted},
	{"a rate of the minute, in the same words", 429, `{"error":{"code":429,"message":"You exceeded your current quota, please check your plan and billing details.","status":"RESOURCE_EXHAUSTED","details":[{"@type":"type.googleapis.com/google.rpc.QuotaFailure","violations":[{"quotaId":"GenerateContentInputTokensPerModelPerMinute-FreeTier"}]},{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"36s"}]}}`, RateLimited},
	{"a rate in a list", 429, `[{"error":{"code":429,"message":"Resource has been exhausted (e.g. check quota).","status":"RESOURCE_EXHAUSTED"}}]`, RateLimited},
	{"credits that were paid before and are spent", 429, `{"error":{"code":429,"message":"Your prepayment credits are depleted. Please go to AI Studio to manage your project and billing.","status":"RESOURCE_EXHAUSTED"}}`, QuotaExhausted},
	{"a month's spending cap", 429, `{"error":{"code":429,"message":"Your project has exceeded its monthly spending cap.","status":"RESOURCE_EXHAUSTED"}}`, QuotaExhausted},
	{"a rate in a stream, by its word", 0, `{"error":{"message":"Resource exhausted.","status":"RESOURCE_EXHAUSTED"}}`, RateLimited},
	{"a wrong key of Google", 400, `{"error":{"code":400,"message":"No.","status":"INVALID_ARGUMENT","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"API_KEY_INVALID","domain":"googleapis.com"}]}}`, AuthFailure},
	{"a wrong key of Google in a sentence alone", 400, `{"error":{"message":"API key not valid. Please pass a valid API key.","code":400}}`, AuthFailure},
	{"an old key of Google", 400, `{"error":{"code":400,"message":"API key expired. Please renew the API key.","status":"INVALID_ARGUMENT"}}`, AuthFailure},
	{"a key of Google that was found in public", 403, `{"error":{"code":403,"message":"Your API key was reported as leaked. Please use another API key.","status":"PERMISSION_DENIED"}}`, AuthFailure},
	{"a suspended key of Google", 403, `{"error":{"code":403,"message":"Permission denied: Consumer 'api_key:x' has been suspended.","status":"PERMISSION_DENIED","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"CONSUMER_SUSPENDED","domain":"googleapis.com"}]}}`, AuthFailure},
	{"a forbidden place", 400, `{"error":{"code":400,"message":"User location is not supported for the API use.","status":"FAILED_PRECONDITION"}}`, Denied},
	{"a place without a free tier", 400, `{"error":{"code":400,"message":"Gemini API free tier is not available in your country.","status":"FAILED_PRECONDITION"}}`, Denied},
	{"a service that is switched off", 403, `{"error":{"code":403,"message":"Generative Language API has not been used in project 1 before or it is disabled.","status":"PERMISSION_DENIED","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"SERVICE_DISABLED"}]}}`, Denied},
	{"a file of somebody else, which is the client's", 403, `{"error":{"code":403,"message":"You do not have permission to access the File abc or it may not exist.","status":"PERMISSION_DENIED"}}`, ClientError},
	{"an input that does not fit Gemini", 400, `[{"error":{"code":400,"message":"The input token count (1200293) exceeds the maximum number of tokens allowed (1048576).","errors":[{"message":"The input token count (1200293) exceeds the maximum number of tokens allowed (1048576).","domain":"global","reason":"badRequest"}],"status":"INVALID_ARGUMENT"}}]`, ContextLength},
	{"a body that is too large for Gemini", 400, `{"error":{"code":400,"message":"Request payload size exceeds the limit: 20971520 bytes.","status":"INVALID_ARGUMENT"}}`, Unsupported},
	{"a missing model of Gemini", 404, `{"error":{"code":404,"message":"models/x is not found for API version v1beta, or is not supported for generateContent.","status":"NOT_FOUND"}}`, ModelNotFound},
	{"a retired model of Gemini", 404, `{"error":{"code":404,"message":"This model models/gemini-2.0-flash is no longer available to new users.","status":"NOT_FOUND"}}`, ModelNotFound},
	{"a missing model of Vertex AI", 404, `{"error":{"code":404,"message":"Publisher Model projects/p/locations/l/publishers/google/models/x was not found or your project does not have access to it.","status":"NOT_FOUND"}}`, ModelNotFound},
	{"something else that is not there", 404, `{"error":{"code":404,"message":"Requested entity was not found.","status":"NOT_FOUND"}}`, ClientError},
	{"a field that Google does not know", 400, `[{"error":{"code":400,"message":"Invalid JSON payload received. Unknown name \"reasoning\": Cannot find field.","status":"INVALID_ARGUMENT","details":[{"@type":"type.googleapis.com/google.rpc.BadRequest","fieldViolations":[{"description":"Invalid JSON payload received. Unknown name \"reasoning\": Cannot find field."}]}]}}]`, Unsupported},
	{"an instruction that a model of Google does not take", 400, `{"error":{"code":400,"message":"Developer instruction is not enabled for models/gemma-3-27b-it","status":"INVALID_ARGUMENT"}}`, Unsupported},
	{"a level of thought that a model of Google does not have", 400, `{"error":{"code":400,"message":"Thinking levels are not supported for this model.","status":"INVALID_ARGUMENT"}}`, Unsupported},
	{"a bad request to Google", 400, `{"error":{"code":400,"message":"* GenerateContentRequest.contents: contents is not specified\n","status":"INVALID_ARGUMENT"}}`, ClientError},
	{"a bad request to Google in a stream", 0, `{"error":{"message":"No.","status":"INVALID_ARGUMENT"}}`, ClientError},
	{"an overload of Google in a stream", 0, `{"error":{"code":503,"message":"The model is overloaded. Please try again later.","status":"UNAVAILABLE"}}`, Failure},
}

// anthropicCases: Claude API documentation, "Errors" and "Rate limits", and answers of Anthropic.
var anthropicCases = slices.Concat(statusCases, []errorCase{
	{"a credit balance that is too low, which is a 400", 400, `{"type":"error","error":{"type":"invalid_request_error","message":"Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade or purchase credits."},"request_id":"req_011CbrFTcXhtiMzr3s6EocF7"}`, QuotaExhausted},
	{"a spending limit of one's own", 400, `{"type":"error","error":{"type":"invalid_request_error","message":"You have reached your specified API usage limits. You will regain access on 2026-04-01 at 00:00 UTC."},"request_id":"req_x"}`, QuotaExhausted},
	{"a spending limit of the tier", 429, `{"type":"error","error":{"type":"rate_limit_error","message":"You have reached your API usage limits: your organization has crossed its monthly API usage threshold, set based on your organization's API tier. You will regain access on 2026-09-01 at 00:00 UTC.","details":{"error_code":"enforced_spend_limit_reached"}},"request_id":"req_x"}`, QuotaExhausted},
	{"an open bill", 402, `{"type":"error","error":{"type":"billing_error","message":"No."}}`, QuotaExhausted},
	{"an open bill in a stream", 0, `{"type":"error","error":{"type":"billing_error","message":"No."}}`, QuotaExhausted},
	{"a rate limit", 429, `{"type":"error","error":{"type":"rate_limit_error","message":"This request would exceed your account's rate limit. Please try again later."},"request_id":"req_x"}`, RateLimited},
	{"a rate limit in a stream", 0, `{"type":"error","error":{"type":"rate_limit_error","message":"Slow down."}}`, RateLimited},
	{"a window that the account may not use", 429, `{"type":"error","error":{"type":"rate_limit_error","message":"Extra usage is required for long context requests."}}`, ContextLength},
	{"a wrong key", 401, `{"type":"error","error":{"type":"authentication_error","message":"invalid x-api-key"}}`, AuthFailure},
	{"a wrong key in a stream", 0, `{"type":"error","error":{"type":"authentication_error","message":"invalid x-api-key"}}`, AuthFailure},
	{"an organization that was shut out", 400, `{"type":"error","error":{"type":"invalid_request_error","message":"This organization has been disabled."}}`, AuthFailure},
	{"a 401 in somebody else's shape", 401, `{"error":{"message":"No."}}`, Failure},
	{"a missing permission", 403, `{"type":"error","error":{"type":"permission_error","message":"Your API key does not have permission to use the specified resource."}}`, Denied},
	{"a missing permission in a stream", 0, `{"type":"error","error":{"type":"permission_error","message":"No."}}`, Denied},
	{"an output that was filtered", 400, `{"type":"error","error":{"type":"invalid_request_error","message":"Output blocked by content filtering policy"},"request_id":"req_x"}`, ContentFilter},
	{"an output that was filtered, in a stream", 0, `{"type":"error","error":{"details":null,"type":"invalid_request_error","message":"Output blocked by content filtering policy"},"request_id":"req_x"}`, ContentFilter},
	{"an input that does not fit", 400, `{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 201130 tokens > 200000 maximum"},"request_id":"req_x"}`, ContextLength},
	{"an input that does not fit elsewhere", 400, `{"type":"error","error":{"type":"invalid_request_error","message":"Input is too long for requested model."}}`, ContextLength},
	{"an input that does not fit with its output", 400, "{\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\",\"message\":\"input length and `max_tokens` exceed context limit: 198214 + 8192 > 200000, decrease input length or `max_tokens` and try again\"}}", ContextLength},
	{"an input larger than the window", 400, `{"type":"error","error":{"type":"invalid_request_error","message":"The request is larger than the context window of the model."}}`, ContextLength},
	{"a missing model", 404, `{"type":"error","error":{"type":"not_found_error","message":"model: claude-x"},"request_id":"req_x"}`, ModelNotFound},
	{"a wrong path", 404, `{"type":"error","error":{"type":"not_found_error","message":"Not Found"}}`, Failure},
	{"a missing file, which is the client's", 404, `{"type":"error","error":{"type":"not_found_error","message":"File not found: file_x"}}`, ClientError},
	{"something missing in a stream", 0, `{"type":"error","error":{"type":"not_found_error","message":"File not found: file_x"}}`, ClientError},
	{"a field that is not known", 400, `{"type":"error","error":{"type":"invalid_request_error","message":"stream_options: Extra inputs are not permitted"}}`, Unsupported},
	{"a field that was not known in earlier days", 400, `{"error":{"type":"invalid_request_error","message":"maxOutputTokens: extra fields not permitted"}}`, Unsupported},
	{"more output than a model has", 400, `{"type":"error","error":{"type":"invalid_request_error","message":"max_tokens: 128001 > 64000, which is the maximum allowed number of output tokens for claude-opus-4-5-20251101"}}`, Unsupported},
	{"a prefill that a model does not take", 400, `{"type":"error","error":{"type":"invalid_request_error","message":"This model does not support assistant message prefill. The conversation must end with a user message."}}`, Unsupported},
	{"thought that a model does not have", 400, `{"type":"error","error":{"type":"invalid_request_error","message":"adaptive thinking is not supported on this model"}}`, Unsupported},
	{"settings that a model does not take together", 400, "{\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\",\"message\":\"`temperature` and `top_p` cannot both be specified for this model. Please use only one.\"}}", Unsupported},
	{"a body that is too large", 413, `{"type":"error","error":{"type":"request_too_large","message":"Request exceeds the maximum size"}}`, Unsupported},
	{"a body that is too large, in a stream", 0, `{"type":"error","error":{"type":"request_too_large","message":"No."}}`, Unsupported},
	{"a bad request", 400, `{"type":"error","error":{"type":"invalid_request_error","message":"messages: at least one message is required"}}`, ClientError},
	{"a conflict", 409, `{"type":"error","error":{"type":"conflict_error","message":"No."}}`, ClientError},
	{"a conflict in a stream", 0, `{"type":"error","error":{"type":"conflict_error","message":"No."}}`, ClientError},
	{"an overload in a stream", 0, `{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}`, Failure},
	{"an overload", 529, `{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}`, Failure},
	{"a timeout in a stream", 0, `{"type":"error","error":{"type":"timeout_error","message":"No."}}`, Failure},
	{"an error of its own in a stream", 0, `{"type":"error","error":{"type":"api_error","message":"Internal server error"}}`, Failure},
})

var geminiCases = slices.Concat(statusCases, googleCases, []errorCase{
	{"a 401 in somebody else's shape", 401, `{"error":{"message":"No.","type":"x"}}`, Failure},
	{"a token that has run out", 401, `{"error":{"code":401,"message":"Request had invalid authentication credentials.","status":"UNAUTHENTICATED"}}`, AuthFailure},
})

// statusCases are what every format makes of a status alone. The shape of bodyOf(status) is everybody's own.
var statusCases = []errorCase{
	{"a 500", 500, bodyOf(500), Failure},
	{"a 503 that says it is a rate limit", 503, `{"error":{"code":"rate_limit_exceeded","type":"rate_limit_error","status":"RESOURCE_EXHAUSTED"}}`, Failure},
	{"a 529", 529, ``, Failure},
	{"a 524 of a proxy on the way", 524, `<html>`, Failure},
	{"a 401", 401, bodyOf(401), AuthFailure},
	{"a 401 of somebody on the way", 401, `<html>401 Authorization Required</html>`, Failure},
	{"a 401 without a word", 401, ``, Failure},
	{"a 402 without a word", 402, ``, QuotaExhausted},
	{"a 403", 403, bodyOf(403), Denied},
	{"a firewall's 403", 403, `<html>Attention Required!</html>`, Failure},
	{"a 404", 404, bodyOf(404), ClientError},
	{"an ingress without a backend", 404, `default backend - 404`, Failure},
	{"a 410", 410, bodyOf(410), ModelNotFound},
	{"a 410 of somebody on the way", 410, ``, Failure},
	{"a 413", 413, `<html>413 Request Entity Too Large</html>`, Unsupported},
	{"a 413 that says it is a rate limit", 413, `{"error":{"message":"Request too large for model","type":"tokens","code":"rate_limit_exceeded"}}`, Unsupported},
	{"a 429 without a word", 429, ``, RateLimited},
	{"a 408", 408, ``, Failure},
	{"a 425", 425, ``, Failure},
	{"a 405", 405, `<html>405 Not Allowed</html>`, Failure},
	{"a 407", 407, ``, Failure},
	{"a 421", 421, ``, Failure},
	{"a 400", 400, bodyOf(400), ClientError},
	{"a 400 without a word", 400, ``, ClientError},
	{"a 409", 409, `{}`, ClientError},
	{"a 422", 422, bodyOf(422), ClientError},
	{"a 451", 451, ``, ClientError},
}

func bodyOf(status int) string {
	return fmt.Sprintf(`{"type":"error","error":{"type":"some_error","code":%d,"message":"No.","status":"SOME"}}`, status)
}

var allCases = map[Format][]errorCase{OpenAI: openAICases, Responses: openAICases, Anthropic: anthropicCases, Gemini: geminiCases}

// judged is what a format with that table makes of a case.
func (c *errorCase) judged(f Format, t *errorTable) Verdict {
	if c.status == 0 {
		return f.classifyError(t, []byte(c.body))
	}
	return f.classify(t, c.status, []byte(c.body))
}

func TestErrors(t *testing.T) {
	for format, cases := range allCases {
		for _, c := range cases {
			t.Run(fmt.Sprintf("%d/%s", format, c.name), func(t *testing.T) {
				v := c.judged(format, format.table())
				if v.Outcome != c.want {
					t.Errorf("outcome %v, want %v", v.Outcome, c.want)
				}
				if v.Usage != (Usage{}) || v.Filtered {
					t.Errorf("%+v of an answer that is none", v)
				}
			})
		}
	}
}

// Each row of each table is there for a case: without it, some case has another outcome.
func TestEveryRowDecidesSomeCase(t *testing.T) {
	for format, cases := range allCases {
		table := format.table()
		for i := range table.rows {
			if !anyChanges(format, cases, &errorTable{rows: without(table.rows, i), words: table.words}) {
				t.Errorf("format %d: no case needs the row %+v", format, table.rows[i])
			}
		}
		for i := range table.words {
			if !anyChanges(format, cases, &errorTable{rows: table.rows, words: without(table.words, i)}) {
				t.Errorf("format %d: no case needs the word %+v", format, table.words[i])
			}
		}
	}
}

func without[T any](all []T, i int) []T { return slices.Delete(slices.Clone(all), i, i+1) }

func anyChanges(f Format, cases []errorCase, other *errorTable) bool {
	return slices.ContainsFunc(cases, func(c errorCase) bool { return c.judged(f, other).Outcome != c.want })
}

// No caller can rest an endpoint: a message may quote anything that the request had in it, so a row that
// holds something against the endpoint must not be found by a part of a message.
func TestRowsAgainstTheEndpointAreNotFoundByAQuotation(t *testing.T) {
	for format := range allCases {
		for _, row := range format.table().rows {
			harmless := slices.Contains(harmless, row.outcome)
			if !harmless && row.contains != "" {
				t.Errorf("%v is found by a message that contains %q", row.outcome, row.contains)
			}
			if s := row.starts + row.contains; s != strings.ToLower(s) {
				t.Errorf("%q is compared with messages in lower case", s)
			}
			if row == (errorRow{outcome: row.outcome}) {
				t.Errorf("a row for %v has no condition", row.outcome)
			}
		}
	}
}

func TestErrorsNameTheFieldThatIsRefused(t *testing.T) {
	for _, tc := range []struct {
		name    string
		format  Format
		status  int
		body    string
		want    string
		refuses bool // stream_options
	}{
		{"in the error's own member", OpenAI, 400, `{"error":{"message":"Unknown parameter: 'stream_options'.","param":"stream_options","code":"unknown_parameter"}}`, "stream_options", true},
		{"with its path", OpenAI, 400, `{"error":{"message":"x","param":"stream_options.include_usage","code":"unknown_parameter"}}`, "stream_options.include_usage", true},
		{"an element of a list", OpenAI, 400, `{"error":{"message":"x","param":"messages[0].name","code":"unknown_parameter"}}`, "messages[0].name", false},
		{"in a sentence of OpenAI", OpenAI, 400, `{"error":{"message":"Unrecognized request argument supplied: stream_options","param":null}}`, "stream_options", true},
		{"in a sentence with quotes", OpenAI, 400, `{"error":{"message":"Unknown parameter: 'stream_options'.","param":null}}`, "stream_options", true},
		{"a parameter that is not supported", OpenAI, 400, `{"error":{"message":"Unsupported parameter: 'top_k' is not supported.","param":null}}`, "top_k", false},
		{"of Azure AI", OpenAI, 400, `{"detail":"Extra parameters ['stream_options'] are not allowed when extra-parameters is not set."}`, "stream_options", true},
		{"of Mistral", OpenAI, 422, `{"detail":[{"type":"extra_forbidden","loc":["body","stream_options"],"msg":"Extra inputs are not permitted","input":{}}]}`, "stream_options", true},
		{"of Mistral, nested", OpenAI, 422, `{"object":"error","message":{"detail":[{"type":"extra_forbidden","loc":["body","ChatRequest","stream_options","include_usage"]},{"loc":["body","x"]}]}}`, "stream_options.include_usage", true},
		{"of Mistral, within a message", OpenAI, 422, `{"detail":[{"type":"extra_forbidden","loc":["body","messages",0,"stream_options"]}]}`, "messages.0.stream_options", false},
		{"of an older vLLM", OpenAI, 400, `{"object":"error","message":"[{'type': 'extra_forbidden', 'loc': ('body', 'stream_options'), 'msg': 'Extra inputs are not permitted'}]"}`, "stream_options", true},
		{"of a server in Go", OpenAI, 400, `{"error":{"message":"json: unknown field \"stream_options\""}}`, "stream_options", true},
		{"of Google's door for OpenAI's clients", OpenAI, 400, `[{"error":{"code":400,"message":"Invalid JSON payload received. Unknown name \"stream_options\": Cannot find field.","status":"INVALID_ARGUMENT"}}]`, "stream_options", true},
		{"of Gemini", Gemini, 400, `{"error":{"code":400,"message":"Invalid JSON payload received. Unknown name \"systemInstruction\": Cannot find field.","status":"INVALID_ARGUMENT"}}`, "systemInstruction", false},
		{"of Anthropic", Anthropic, 400, `{"type":"error","error":{"type":"invalid_request_error","message":"stream_options: Extra inputs are not permitted"}}`, "stream_options", true},
		{"of Anthropic, with its path", Anthropic, 400, `{"type":"error","error":{"type":"invalid_request_error","message":"messages.0.content.0.x: Extra inputs are not permitted"}}`, "messages.0.content.0.x", false},
		{"of Anthropic in earlier days", Anthropic, 400, `{"error":{"type":"invalid_request_error","message":"maxOutputTokens: extra fields not permitted"}}`, "maxOutputTokens", false},
		{"with nothing but its name", OpenAI, 400, "{\"error\":{\"message\":\"`stream_options` is not supported\"}}", "stream_options", true},
		{"no field, but a quotation of one", OpenAI, 400, `{"error":{"message":"Invalid value: 'Unknown parameter: stream_options'."}}`, "", false},
		{"another field that begins alike", OpenAI, 400, `{"error":{"message":"Unknown parameter: 'stream_options_2'."}}`, "stream_options_2", false},
		{"no field of an error that is not about one", OpenAI, 429, `{"error":{"message":"x","param":"stream_options"}}`, "", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			v := tc.format.Classify(tc.status, []byte(tc.body))
			if v.Param != tc.want || v.Refuses("stream_options") != tc.refuses {
				t.Errorf("%v names %q, refuses stream_options: %v; want %q, %v", v.Outcome, v.Param, v.Refuses("stream_options"), tc.want, tc.refuses)
			}
		})
	}
}

func TestOutcomesHaveNames(t *testing.T) {
	seen := map[string]bool{}
	for o := Success; o <= ClientError; o++ {
		if name := o.String(); name == "" || name == "unknown" || seen[name] {
			t.Errorf("outcome %d is called %q", o, name)
		}
		seen[o.String()] = true
	}
	if Outcome(0).String() != "unknown" || (ClientError+1).String() != "unknown" {
		t.Error("an outcome that does not exist has a name")
	}
}
