// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"slices"
	"strings"
	"testing"
)

func TestClassify(t *testing.T) {
	for _, tc := range []struct {
		name   string
		status int
		body   string
		want   Outcome
	}{
		{"an answer", 200, `{"object":"chat.completion","choices":[{"message":{"content":"hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1}}`, Success},
		{"an answer that was accepted for later", 202, `{"id":"x"}`, Success},
		{"an answer with an error that is null", 200, `{"id":"x","error":null,"choices":[{"error":null,"finish_reason":"stop"}]}`, Success},
		{"an answer that talks of errors", 200, `{"choices":[{"message":{"content":"{\"error\":1}"},"finish_reason":"stop"}]}`, Success},
		{"an answer with half an emoji", 200, `{"choices":[{"message":{"content":"\ud83d"}}]}`, Success},
		{"a refusal, which is an answer", 200, `{"choices":[{"message":{"content":null,"refusal":"No."},"finish_reason":"stop"}]}`, Success},
		{"a filtered answer, which is an answer", 200, `{"choices":[{"message":{"content":""},"finish_reason":"content_filter"}]}`, Success},

		{"an empty 200", 200, ``, Failure},
		{"a page of HTML", 200, `<!DOCTYPE html><html></html>`, Failure},
		{"a cut answer", 200, `{"choices":[{"message":{"content":"hi`, Failure},
		{"two answers in one", 200, `{"id":"x"}{"id":"y"}`, Failure},
		{"a 200 that is no object", 200, `"ok"`, Failure},
		{"a 204", 204, ``, Failure},
		{"a redirect", 302, `{"error":{"code":"invalid_request_error"}}`, Failure},
		{"a 304", 304, ``, Failure},
		{"a 101 that came last", 101, ``, Failure},
		{"a 200 that finished with an error", 200, `{"choices":[{"message":{"content":""},"finish_reason":"error"}]}`, Failure},
		{"an unknown error in a 200", 200, `{"error":{"message":"something"}}`, Failure},
		{"an error in a 200 goes by its status: 502", 200, `{"error":{"code":502,"message":"bad gateway"}}`, Failure},
		{"an error in a 200 goes by its status: 429", 200, `{"error":{"code":429,"message":"slow down"}}`, RateLimited},
		{"an error in a 200 goes by its status: 402", 200, `{"error":{"code":402,"message":"credits"}}`, QuotaExhausted},
		{"an error in a choice of a 200 goes by its status", 200, `{"choices":[{"error":{"code":429,"message":"x"},"finish_reason":"error"}]}`, RateLimited},
		{"an error in a 200 goes by its word", 200, `{"error":{"type":"rate_limit_exceeded"}}`, RateLimited},
		{"an error in a 200 goes by its type", 200, `{"error":{"message":"no","type":"invalid_request_error","code":null}}`, ClientError},
		{"an overload in a 200", 200, `{"error":{"type":"overloaded_error","message":"Overloaded"}}`, Failure},

		{"a 500", 500, `{"error":{"type":"server_error"}}`, Failure},
		{"a 503 that says it is a rate limit", 503, `{"error":{"code":"rate_limit_exceeded"}}`, Failure},
		{"a 529", 529, ``, Failure},
		{"a 524 of a proxy on the way", 524, `<html>`, Failure},
		{"a 408", 408, ``, Failure},
		{"a 425", 425, ``, Failure},

		{"a rate limit", 429, `{"error":{"message":"Rate limit reached for gpt-4o","type":"requests","param":null,"code":"rate_limit_exceeded"}}`, RateLimited},
		{"a 429 without a word", 429, ``, RateLimited},
		{"a request too large for a rate limit", 429, `{"error":{"message":"Request too large for gpt-4o on tokens per min (TPM): Limit 30000, Requested 90000.","type":"tokens","code":"rate_limit_exceeded"}}`, Unsupported},
		{"a spent quota", 429, `{"error":{"message":"You exceeded your current quota, please check your plan and billing details.","type":"insufficient_quota","param":null,"code":"insufficient_quota"}}`, QuotaExhausted},
		{"a spent quota in words alone", 429, `{"error":{"message":"You exceeded your current quota."}}`, QuotaExhausted},
		{"a hard limit", 400, `{"error":{"code":"billing_hard_limit_reached","message":"Billing hard limit has been reached","type":"invalid_request_error"}}`, QuotaExhausted},
		{"an inactive account", 429, `{"error":{"code":"billing_not_active","message":"Your account is not active"}}`, QuotaExhausted},
		{"a 402", 402, `{"error":{"code":402,"message":"Insufficient credits"}}`, QuotaExhausted},
		{"a 402 without a word", 402, ``, QuotaExhausted},
		{"a credit balance that is too low", 400, `{"error":{"type":"invalid_request_error","message":"Your credit balance is too low to access the API."}}`, QuotaExhausted},
		{"a spent key of OpenRouter", 403, `{"error":{"code":403,"message":"Key limit exceeded (total limit)."}}`, QuotaExhausted},
		{"a request that talks of credit", 400, `{"error":{"type":"invalid_request_error","message":"Invalid value: 'your credit balance is too low'."}}`, ClientError},

		{"a wrong key", 401, `{"error":{"message":"Incorrect API key provided: sk-x.","type":"invalid_request_error","param":null,"code":"invalid_api_key"}}`, AuthFailure},
		{"a wrong key of vLLM", 401, `{"error":"Unauthorized"}`, AuthFailure},
		{"a wrong key as a 400", 400, `{"error":{"message":"API key not valid. Please pass a valid API key.","code":400}}`, AuthFailure},
		{"a 401 of somebody on the way", 401, `<html>401 Authorization Required</html>`, Failure},
		{"a 401 without a word", 401, ``, Failure},

		{"a flagged prompt", 403, `{"error":{"code":403,"message":"Your chosen model requires moderation and your input was flagged for \"violence\"."}}`, ContentFilter},
		{"Azure's content filter", 400, `{"error":{"message":"The response was filtered due to the prompt triggering Azure OpenAI's content management policy.","type":null,"param":"prompt","code":"content_filter","status":400}}`, ContentFilter},
		{"a policy violation", 400, `{"error":{"code":"content_policy_violation","message":"x"}}`, ContentFilter},
		{"a forbidden region", 403, `{"error":{"code":"unsupported_country_region_territory","message":"Country, region, or territory not supported","param":null,"type":"request_forbidden"}}`, Denied},
		{"a missing permission", 403, `{"error":{"message":"You have insufficient permissions for this operation.","type":"invalid_request_error"}}`, Denied},
		{"a firewall's 403", 403, `<html>Attention Required!</html>`, Failure},
		{"a model the project may not use", 403, `{"error":{"message":"Project x does not have access to model y","type":"invalid_request_error","param":null,"code":"model_not_found"}}`, ModelNotFound},

		{"a missing model", 404, `{"error":{"message":"The model 'x' does not exist or you do not have access to it.","type":"invalid_request_error","param":null,"code":"model_not_found"}}`, ModelNotFound},
		{"a missing model of vLLM", 404, `{"object":"error","message":"The model 'x' does not exist.","type":"NotFoundError","param":null,"code":404}`, ModelNotFound},
		{"a missing model of a newer vLLM", 404, `{"error":{"message":"No.","type":"NotFoundError","param":"model","code":404}}`, ModelNotFound},
		{"a missing model of Ollama", 404, `{"error":{"message":"model 'x' not found","type":"api_error","param":null,"code":null}}`, ModelNotFound},
		{"a missing model of OpenRouter", 404, `{"error":{"message":"No endpoints found for x.","code":404}}`, ModelNotFound},
		{"a missing deployment of Azure", 404, `{"error":{"code":"DeploymentNotFound","message":"The API deployment for this resource does not exist."}}`, ModelNotFound},
		{"a model that is gone", 410, `{"error":{"message":"deprecated"}}`, ModelNotFound},
		{"an ingress without a backend", 404, `default backend - 404`, Failure},
		{"a server without that path", 404, `{"detail":"Not Found"}`, Failure},
		{"a wrong path", 404, `{"error":{"message":"Invalid URL (POST /v1/v1/chat/completions)","type":"invalid_request_error","param":null,"code":null}}`, Failure},
		{"a missing file, which is the client's", 404, `{"error":{"message":"No such File object: the model file","type":"invalid_request_error","param":"id","code":null}}`, ClientError},
		{"a 410 of somebody on the way", 410, ``, Failure},

		{"an input that does not fit", 400, `{"error":{"message":"This model's maximum context length is 8192 tokens.","type":"invalid_request_error","param":"messages","code":"context_length_exceeded"}}`, ContextLength},
		{"an input that does not fit vLLM", 400, `{"object":"error","message":"This model's maximum context length is 4096 tokens. However, you requested 5000 tokens","type":"BadRequestError","param":null,"code":400}`, ContextLength},
		{"an input that does not fit llama.cpp", 400, `{"error":{"code":400,"message":"the request exceeds the available context size","type":"exceed_context_size_error"}}`, ContextLength},
		{"a body that is too large", 413, `<html>413 Request Entity Too Large</html>`, Unsupported},
		{"a body that is too large, called a rate limit", 413, `{"error":{"message":"Request too large for model","type":"tokens","code":"rate_limit_exceeded"}}`, Unsupported},
		{"a parameter that is not supported", 400, `{"error":{"message":"Unsupported parameter: 'max_tokens' is not supported with this model.","type":"invalid_request_error","param":"max_tokens","code":"unsupported_parameter"}}`, Unsupported},
		{"a value that is not supported", 400, `{"error":{"message":"x","type":"invalid_request_error","param":"temperature","code":"unsupported_value"}}`, Unsupported},
		{"a field that Mistral does not know", 422, `{"detail":[{"type":"extra_forbidden","loc":["body","stream_options"],"msg":"Extra inputs are not permitted","input":{}}]}`, Unsupported},
		{"a field that OpenAI does not know", 400, `{"error":{"message":"Unrecognized request argument supplied: foo","type":"invalid_request_error","param":null,"code":null}}`, Unsupported},
		{"tools on a vLLM that was started without", 400, `{"object":"error","message":"\"auto\" tool choice requires --enable-auto-tool-choice","type":"BadRequestError","param":null,"code":400}`, Unsupported},

		{"a bad request", 400, `{"error":{"message":"Missing required parameter: 'messages'.","type":"invalid_request_error","param":"messages","code":"missing_required_parameter"}}`, ClientError},
		{"a 400 without a word", 400, ``, ClientError},
		{"a 409", 409, `{}`, ClientError},
		{"a 451", 451, ``, ClientError},
		{"an unprocessable entity", 422, `{"detail":"x"}`, ClientError},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, usage := Classify(tc.status, []byte(tc.body))
			if got != tc.want {
				t.Errorf("outcome %v, want %v", got, tc.want)
			}
			if got != Success && usage != (Usage{}) {
				t.Errorf("usage %+v of an answer that is none", usage)
			}
		})
	}
}

// No caller can rest an endpoint: a message may quote anything that the request had in it, so a row that
// holds something against the endpoint must not be found by a part of a message.
func TestRowsAgainstTheEndpointAreNotFoundByAQuotation(t *testing.T) {
	for _, row := range openAIErrors {
		harmless := slices.Contains([]Outcome{ContextLength, ContentFilter, Unsupported, ClientError}, row.outcome)
		if !harmless && row.contains != "" {
			t.Errorf("%v is found by a message that contains %q", row.outcome, row.contains)
		}
		if s := row.starts + row.contains; s != strings.ToLower(s) {
			t.Errorf("%q is compared with messages in lower case", s)
		}
	}
}

func TestClassifyErrorFrame(t *testing.T) {
	for _, tc := range []struct {
		name, data string
		want       Outcome
	}{
		{"a rate limit by its status", `{"error":{"code":429,"message":"x"}}`, RateLimited},
		{"a rate limit by its word", `{"error":{"type":"rate_limit_error"}}`, RateLimited},
		{"an overload", `{"error":{"type":"overloaded_error"}}`, Failure},
		{"a finish reason of error", `{"choices":[{"finish_reason":"error"}]}`, Failure},
		{"a filtered prompt", `{"error":{"code":"content_filter"}}`, ContentFilter},
		{"an input that does not fit", `{"object":"error","code":400,"message":"maximum context length","type":"BadRequestError"}`, ContextLength},
		{"a broken frame", `{"error":`, Failure},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := ClassifyErrorFrame([]byte(tc.data)); got != tc.want {
				t.Errorf("outcome %v, want %v", got, tc.want)
			}
		})
	}
}

func TestUsage(t *testing.T) {
	for _, tc := range []struct {
		name, body string
		want       Usage
	}{
		{"of chat", `{"usage":{"prompt_tokens":19,"completion_tokens":10,"total_tokens":29,"prompt_tokens_details":{"cached_tokens":4,"audio_tokens":1},"completion_tokens_details":{"reasoning_tokens":3}}}`, Usage{19, 10, 4, 3}},
		{"of responses", `{"usage":{"input_tokens":1,"output_tokens":2,"input_tokens_details":{"cached_tokens":3},"output_tokens_details":{"reasoning_tokens":4}}}`, Usage{1, 2, 3, 4}},
		{"of embeddings", `{"data":[],"usage":{"prompt_tokens":8,"total_tokens":8}}`, Usage{Input: 8}},
		{"that is null", `{"usage":null}`, Usage{}},
		{"with details that are null", `{"usage":{"prompt_tokens":8,"prompt_tokens_details":null}}`, Usage{Input: 8}},
		{"that is impossible", `{"usage":{"prompt_tokens":-1,"completion_tokens":1.5,"prompt_tokens_details":{"cached_tokens":99999999999999999999}}}`, Usage{}},
		{"that is elsewhere", `{"x":{"usage":{"prompt_tokens":8}}}`, Usage{}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			outcome, got := Classify(200, []byte(tc.body))
			if outcome != Success || got != tc.want {
				t.Errorf("%v, usage %+v, want %+v", outcome, got, tc.want)
			}
			if got := FrameUsage([]byte(tc.body)); got != tc.want {
				t.Errorf("usage of the frame %+v, want %+v", got, tc.want)
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

func BenchmarkClassify(b *testing.B) {
	body := []byte(`{"id":"chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT","object":"chat.completion","created":1741569952,"model":"gpt-4o","choices":[{"index":0,"message":{"role":"assistant","content":"` +
		strings.Repeat("Hello! How can I assist you today? ", 10) + `","refusal":null,"annotations":[]},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":19,"completion_tokens":10,"total_tokens":29,"prompt_tokens_details":{"cached_tokens":0,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":0}}}`)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if o, _ := Classify(200, body); o != Success {
			b.Fatal(o)
		}
	}
}
