// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// quotation is an error in which a provider quotes what the request had in it: %s, a JSON string's inside.
type quotation struct {
	name   string
	format Format
	status int
	body   string
}

// quotations are the places where providers quote requests. A caller writes there what they like.
var quotations = []quotation{
	{"a field that OpenAI does not know", OpenAI, 400, `{"error":{"message":"Unrecognized request argument supplied: %s","type":"invalid_request_error","param":null,"code":null}}`},
	{"a parameter that OpenAI does not know", OpenAI, 400, `{"error":{"message":"Unknown parameter: '%s'.","type":"invalid_request_error","param":"%[1]s","code":"unknown_parameter"}}`},
	{"a value", OpenAI, 400, `{"error":{"message":"Invalid value: '%s'. Supported values are: 'user'.","type":"invalid_request_error","param":"messages[0].role","code":"invalid_value"}}`},
	{"a value that begins the sentence", OpenAI, 400, `{"error":{"message":"'%s' is not one of ['system', 'user'] - 'messages.0.role'","type":"invalid_request_error","param":null,"code":null}}`},
	{"a property", OpenAI, 400, `{"error":{"message":"Additional properties are not allowed ('%s' was unexpected)","type":"invalid_request_error","param":null,"code":null}}`},
	{"a schema's name", OpenAI, 400, `{"error":{"message":"Invalid schema for response_format '%s': In context=(), nothing.","type":"invalid_request_error","param":"response_format","code":null}}`},
	{"a file", OpenAI, 404, `{"error":{"message":"No such File object: %s","type":"invalid_request_error","param":"id","code":null}}`},
	{"an earlier response", OpenAI, 400, `{"error":{"message":"Previous response with id '%s' not found.","type":"invalid_request_error","param":"previous_response_id","code":"previous_response_not_found"}}`},
	{"an error in a stream", OpenAI, 0, `{"error":{"message":"Invalid value: '%s'.","type":"invalid_request_error","param":null,"code":null}}`},
	{"a field that Anthropic does not know, at its door for OpenAI's clients", OpenAI, 400, `{"error":{"message":"%s: Extra inputs are not permitted","type":"invalid_request_error","param":null,"code":null}}`},
	{"a field that Anthropic does not know, in a stream", OpenAI, 0, `{"error":{"message":"%s: Extra inputs are not permitted","type":"invalid_request_error"}}`},
	{"a field that Google does not know", OpenAI, 400, `[{"error":{"code":400,"message":"Invalid JSON payload received. Unknown name \"%s\": Cannot find field.","status":"INVALID_ARGUMENT"}}]`},
	{"a field that Mistral does not know", OpenAI, 422, `{"detail":[{"type":"extra_forbidden","loc":["body","%s"],"msg":"Extra inputs are not permitted","input":"%[1]s"}]}`},
	{"a value that Mistral does not take", OpenAI, 422, `{"object":"error","message":{"detail":[{"type":"value_error","loc":["body","messages",0],"msg":"Value error, %s","input":"%[1]s"}]},"type":"invalid_request_error","param":null,"code":null,"raw_status_code":422}`},
	{"a field that an older vLLM does not know", OpenAI, 400, `{"object":"error","message":"[{'type': 'extra_forbidden', 'loc': ('body', '%s'), 'msg': 'Extra inputs are not permitted', 'input': '%[1]s'}]","type":"BadRequestError","param":null,"code":400}`},
	{"a field that a server in Go does not know", OpenAI, 400, `{"error":{"message":"json: unknown field \"%s\"","type":"invalid_request_error","param":null,"code":null}}`},
	{"an input behind OpenRouter", OpenAI, 400, `{"error":{"message":"Provider returned error","code":400,"metadata":{"raw":"{\"error\":{\"message\":\"Bad: %s\"}}","provider_name":"X"}}}`},
	{"an input that OpenRouter has flagged", OpenAI, 403, `{"error":{"code":403,"message":"Your input was flagged for \"violence\": %s","metadata":{"reasons":["violence"],"flagged_input":"%[1]s"}}}`},
	{"a prompt that Azure filters", OpenAI, 400, `{"error":{"message":"The response was filtered due to the prompt triggering Azure OpenAI's content management policy: %s","type":null,"param":"prompt","code":"content_filter","status":400}}`},
	{"an input that does not fit", OpenAI, 400, `{"error":{"message":"This model's maximum context length is 8 tokens: %s","type":"invalid_request_error","param":"messages","code":"context_length_exceeded"}}`},
	{"a field that Anthropic does not know", Anthropic, 400, `{"type":"error","error":{"type":"invalid_request_error","message":"%s: Extra inputs are not permitted"},"request_id":"req_x"}`},
	{"a field that Anthropic did not know", Anthropic, 400, `{"error":{"type":"invalid_request_error","message":"%s: extra fields not permitted"}}`},
	{"a field within a message of Anthropic", Anthropic, 400, `{"type":"error","error":{"type":"invalid_request_error","message":"messages.0.content.0.%s: Extra inputs are not permitted"}}`},
	{"a role that Anthropic does not know", Anthropic, 400, `{"type":"error","error":{"type":"invalid_request_error","message":"messages: Unexpected role \"%s\". Allowed roles are \"user\" or \"assistant\"."}}`},
	{"a tool that Anthropic does not take", Anthropic, 400, `{"type":"error","error":{"type":"invalid_request_error","message":"tools.0.custom.name: String should match pattern, got '%s'"}}`},
	{"a file of Anthropic", Anthropic, 404, `{"type":"error","error":{"type":"not_found_error","message":"File not found: %s"}}`},
	{"an error of Anthropic in a stream", Anthropic, 0, `{"type":"error","error":{"type":"invalid_request_error","message":"%s: Extra inputs are not permitted"}}`},
	{"a field that Gemini does not know", Gemini, 400, `{"error":{"code":400,"message":"Invalid JSON payload received. Unknown name \"%s\": Cannot find field.","status":"INVALID_ARGUMENT","details":[{"@type":"type.googleapis.com/google.rpc.BadRequest","fieldViolations":[{"description":"Unknown name \"%[1]s\""}]}]}}`},
	{"a value that Gemini does not take", Gemini, 400, `{"error":{"code":400,"message":"Invalid value at 'contents[0].role' (TYPE_STRING), \"%s\"","status":"INVALID_ARGUMENT"}}`},
	{"an input of responses", Responses, 0, `{"type":"response.failed","response":{"status":"failed","error":{"code":"invalid_request_error","message":"Invalid value: '%s'."}}}`},
}

// harmless are the outcomes that hold nothing against the endpoint.
var harmless = []Outcome{ContextLength, ContentFilter, Unsupported, ClientError}

// outcome is what the error means with that text in it.
func (q *quotation) outcome(text string) Outcome {
	quoted := string(AppendString(nil, text))
	body := fmt.Appendf(nil, q.body, quoted[1:len(quoted)-1])
	if q.status == 0 {
		return q.format.ClassifyErrorFrame(body).Outcome
	}
	return q.format.Classify(q.status, body).Outcome
}

func checkQuotation(t *testing.T, q *quotation, text string) {
	t.Helper()
	if outcome := q.outcome(text); !slices.Contains(harmless, outcome) {
		t.Fatalf("%s: with %q it is %s, which is held against the endpoint", q.name, text, outcome)
	}
}

// sentences are what the rows of all tables look for.
func sentences() (all []string) {
	for _, format := range formats {
		for _, row := range format.table().rows {
			all = append(all, row.starts, row.contains, row.word, row.param, row.family)
		}
		for _, word := range format.table().words {
			all = append(all, word.word)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// No caller can rest an endpoint: whatever a request has in it, an answer that quotes it holds nothing against
// whoever gave it.
func TestQuotationsAreNotHeldAgainstTheEndpoint(t *testing.T) {
	long := strings.Repeat("x", 2*maxMessage)
	for i := range quotations {
		for _, sentence := range sentences() {
			for _, text := range []string{
				sentence, strings.ToUpper(sentence), sentence + long, long + sentence, sentence + strings.Repeat("ä", maxMessage),
				`","code":"` + sentence, "\n" + sentence + "\u2028", sentence + `: Extra inputs are not permitted`,
				sentence + long[:maxMessage-len(sentence)-1], sentence + long[:maxMessage-len(sentence)-20],
			} {
				checkQuotation(t, &quotations[i], text)
			}
		}
	}
}

// FuzzQuotations is the same for any text.
func FuzzQuotations(f *testing.F) {
	for i, sentence := range sentences() {
		f.Add(uint8(i), sentence)
	}
	f.Add(uint8(9), "Your credit balance is too low"+strings.Repeat("!", maxMessage))
	f.Fuzz(func(t *testing.T, at uint8, text string) {
		checkQuotation(t, &quotations[int(at)%len(quotations)], text)
	})
}
