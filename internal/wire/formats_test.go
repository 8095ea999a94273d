// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// Frames are those of the documentation: OpenAI API reference, "Streaming events"; Claude API documentation,
// "Streaming messages"; Gemini API reference, "GenerateContentResponse".
func TestFramesOfOtherFormats(t *testing.T) {
	for _, tc := range []struct {
		name   string
		format Format
		data   string
		want   FrameKind
	}{
		{"a response that was created carries nothing", Responses, `{"type":"response.created","sequence_number":0,"response":{"id":"resp_1","object":"response","status":"in_progress","error":null,"output":[],"usage":null}}`, Lifecycle},
		{"nor one that waits", Responses, `{"type":"response.queued","response":{"status":"queued"}}`, Lifecycle},
		{"nor one that is worked on", Responses, `{"sequence_number":1,"response":{"status":"in_progress"},"type":"response.in_progress"}`, Lifecycle},
		{"a message that begins carries nothing", Responses, `{"type":"response.output_item.added","output_index":0,"item":{"id":"msg_1","type":"message","status":"in_progress","content":[],"role":"assistant"}}`, Lifecycle},
		{"nor does a thought", Responses, `{"type":"response.output_item.added","output_index":0,"item":{"id":"rs_1","type":"reasoning","encrypted_content":"abc","summary":[]}}`, Lifecycle},
		{"nor a part of text", Responses, `{"type":"response.content_part.added","item_id":"msg_1","output_index":0,"content_index":0,"part":{"type":"output_text","annotations":[],"logprobs":[],"text":""}}`, Lifecycle},
		{"nor a part of a summary", Responses, `{"type":"response.reasoning_summary_part.added","item_id":"rs_1","part":{"type":"summary_text","text":""}}`, Lifecycle},
		{"a part with text is content", Responses, `{"type":"response.content_part.added","part":{"type":"output_text","text":"a"}}`, Content},
		{"a part that refuses is content", Responses, `{"type":"response.content_part.added","part":{"type":"refusal","refusal":""}}`, Content},
		{"a part of no known kind is content", Responses, `{"type":"response.content_part.added","part":{}}`, Content},
		{"an addition without a part is content", Responses, `{"type":"response.content_part.added"}`, Content},
		{"a call is content", Responses, `{"type":"response.output_item.added","item":{"id":"fc_1","type":"function_call","name":"f","arguments":"","call_id":"c"}}`, Content},
		{"a hosted tool is content", Responses, `{"type":"response.web_search_call.in_progress","output_index":0,"item_id":"ws_1"}`, Content},
		{"text is content", Responses, `{"type":"response.output_text.delta","item_id":"msg_1","delta":"Hi"}`, Content},
		{"an empty delta is content", Responses, `{"type":"response.output_text.delta","delta":""}`, Content},
		{"an unknown event is content", Responses, `{"type":"response.something"}`, Content},
		{"an event without a type is content", Responses, `{"response":{}}`, Content},
		{"an event whose type is no word is content", Responses, `{"type":1}`, Content},
		{"a chat's frame is content", Responses, `{"choices":[]}`, Content},
		{"a completed response is the end", Responses, `{"type":"response.completed","response":{"status":"completed","output":[{"type":"message"}],"usage":{"input_tokens":1}}}`, Terminal | Last | WithUsage},
		{"an incomplete response is the end", Responses, `{"type":"response.incomplete","response":{"status":"incomplete","incomplete_details":{"reason":"max_output_tokens"},"usage":null}}`, Terminal | Last},
		{"a filtered response is the end", Responses, `{"type":"response.incomplete","response":{"incomplete_details":{"reason":"content_filter"},"status":"incomplete"}}`, Terminal | Last | Filtered},
		{"a failed response is a failure", Responses, `{"type":"response.failed","response":{"status":"failed","error":{"code":"server_error","message":"x"}}}`, Failed},
		{"an error is a failure", Responses, `{"type":"error","code":"ERR_SOMETHING","message":"Something went wrong","param":null,"sequence_number":1}`, Failed},
		{"an error of a gateway is a failure", Responses, `{"error":{"message":"x"}}`, Failed},
		{"[DONE] is the end of responses too", Responses, `[DONE]`, Terminal | Last},

		{"a ping carries nothing", Anthropic, `{"type": "ping"}`, Lifecycle},
		{"a message that begins carries its usage", Anthropic, `{"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","content":[],"model":"claude-opus-4","stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":25,"output_tokens":1}}}`, WithUsage},
		{"a message that begins with content is content", Anthropic, `{"type":"message_start","message":{"content":[{"type":"text","text":"a"}]}}`, Content},
		{"a message that begins without itself carries nothing", Anthropic, `{"type":"message_start"}`, Lifecycle},
		{"a block of text that begins carries nothing", Anthropic, `{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}`, Lifecycle},
		{"nor does one of thought", Anthropic, `{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}`, Lifecycle},
		{"a block with text is content", Anthropic, `{"type":"content_block_start","index":0,"content_block":{"type":"text","text":"a"}}`, Content},
		{"a tool is content", Anthropic, `{"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"toolu_1","name":"f","input":{}}}`, Content},
		{"a tool of the provider is content", Anthropic, `{"type":"content_block_start","index":1,"content_block":{"type":"server_tool_use","id":"s","name":"web_search","input":{}}}`, Content},
		{"thought that is kept secret is content", Anthropic, `{"type":"content_block_start","index":0,"content_block":{"type":"redacted_thinking","data":"x"}}`, Content},
		{"text is content", Anthropic, `{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hello"}}`, Content},
		{"a signature is content", Anthropic, `{"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"Eq"}}`, Content},
		{"the end of a block is content", Anthropic, `{"type":"content_block_stop","index":0}`, Content},
		{"an unknown event is content", Anthropic, `{"type":"something"}`, Content},
		{"a reason to stop is the end", Anthropic, `{"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":15}}`, Terminal | WithUsage},
		{"a sequence that stops is the end", Anthropic, `{"type":"message_delta","delta":{"stop_sequence":"x","stop_reason":"stop_sequence"}}`, Terminal},
		{"a full window is the end", Anthropic, `{"type":"message_delta","delta":{"stop_reason":"model_context_window_exceeded"}}`, Terminal},
		{"a refusal is the end", Anthropic, `{"type":"message_delta","delta":{"stop_reason":"refusal"}}`, Terminal | Filtered},
		{"usage so far carries usage alone", Anthropic, `{"type":"message_delta","delta":{"stop_reason":null},"usage":{"output_tokens":5}}`, WithUsage},
		{"an unknown change of the message is content", Anthropic, `{"type":"message_delta","delta":{"container":{"id":"c"}}}`, Content},
		{"the end of the message is the last", Anthropic, `{"type":"message_stop"}`, Terminal | Last},
		{"an error is a failure", Anthropic, `{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}`, Failed},
		{"[DONE] is nothing that Anthropic says", Anthropic, `[DONE]`, Content},

		{"text is content", Gemini, `{"candidates":[{"content":{"parts":[{"text":"Hello"}],"role":"model"},"index":0}],"usageMetadata":{"promptTokenCount":4},"modelVersion":"gemini-2.5-flash","responseId":"x"}`, Content | WithUsage},
		{"a thought is content", Gemini, `{"candidates":[{"content":{"parts":[{"text":"hm","thought":true}]}}]}`, Content},
		{"a call is content", Gemini, `{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","args":{}}}]}}]}`, Content},
		{"a picture is content", Gemini, `{"candidates":[{"content":{"parts":[{"inlineData":{"mimeType":"image/png","data":"iVBO"}}]}}]}`, Content},
		{"a signature is content", Gemini, `{"candidates":[{"content":{"parts":[{"text":"","thoughtSignature":"abc"}]}}]}`, Content},
		{"what was searched for is content", Gemini, `{"candidates":[{"groundingMetadata":{"webSearchQueries":["x"]}}]}`, Content},
		{"a part that is no object is content", Gemini, `{"candidates":[{"content":{"parts":["x"]}}]}`, Content},
		{"a candidate that is no object is content", Gemini, `{"candidates":["x"]}`, Content},
		{"candidates that are no list are content", Gemini, `{"candidates":"x"}`, Content},
		{"an unknown member is content", Gemini, `{"something":{"x":1}}`, Content},
		{"an empty text carries nothing", Gemini, `{"candidates":[{"content":{"parts":[{"text":""}],"role":"model"},"index":0}]}`, Lifecycle},
		{"nor does content without parts", Gemini, `{"candidates":[{"content":{"role":"model"}}]}`, Lifecycle},
		{"nor an empty object", Gemini, `{}`, Lifecycle},
		{"nor what is said about the answer", Gemini, `{"modelVersion":"m","responseId":"r","createTime":"t","modelStatus":{"x":1},"candidates":null,"promptFeedback":null}`, Lifecycle},
		{"nor ratings of the prompt", Gemini, `{"promptFeedback":{"safetyRatings":[{"category":"HARM_CATEGORY_HARASSMENT","probability":"NEGLIGIBLE"}]}}`, Lifecycle},
		{"usage alone carries usage", Gemini, `{"usageMetadata":{"promptTokenCount":4}}`, WithUsage},
		{"a reason to finish is the end", Gemini, `{"candidates":[{"content":{"parts":[{"text":""}]},"finishReason":"STOP","index":0,"safetyRatings":[{"probability":"LOW"}]}]}`, Terminal},
		{"a reason that is not given is none", Gemini, `{"candidates":[{"finishReason":"FINISH_REASON_UNSPECIFIED"}]}`, Lifecycle},
		{"a reason that nobody knows is the end", Gemini, `{"candidates":[{"finishReason":"` + strings.Repeat("LONG_", 20) + `"}]}`, Terminal},
		{"a broken call is the end", Gemini, `{"candidates":[{"content":{},"finishReason":"MALFORMED_FUNCTION_CALL","finishMessage":"x"}]}`, Terminal},
		{"a filter is the end", Gemini, `{"candidates":[{"finishReason":"SAFETY"}]}`, Terminal | Filtered},
		{"a prompt that was blocked is the end", Gemini, `{"promptFeedback":{"blockReason":"OTHER"},"usageMetadata":{"promptTokenCount":4}}`, Terminal | Filtered | WithUsage},
		{"an error is a failure", Gemini, `{"error":{"code":503,"message":"The model is overloaded.","status":"UNAVAILABLE"}}`, Failed},
		{"an error in a list is a failure", Gemini, `[{"error":{"code":503,"message":"x","status":"UNAVAILABLE"}}]`, Failed},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got, _ := tc.format.ClassifyFrame([]byte(tc.data)); got != tc.want {
				t.Errorf("kind %07b, want %07b", got, tc.want)
			}
		})
	}
}

func TestAnswers(t *testing.T) {
	for _, tc := range []struct {
		name   string
		format Format
		status int
		body   string
		want   Verdict
	}{
		{"an answer", OpenAI, 200, `{"object":"chat.completion","choices":[{"message":{"content":"hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1}}`, Verdict{Outcome: Success, Usage: Usage{Input: 1}}},
		{"an answer that was accepted for later", OpenAI, 202, `{"id":"x"}`, Verdict{Outcome: Success}},
		{"an answer with an error that is null", OpenAI, 200, `{"id":"x","error":null,"choices":[{"error":null,"finish_reason":"stop"}]}`, Verdict{Outcome: Success}},
		{"an answer that talks of errors", OpenAI, 200, `{"choices":[{"message":{"content":"{\"error\":1}"},"finish_reason":"stop"}]}`, Verdict{Outcome: Success}},
		{"an answer with half an emoji", OpenAI, 200, `{"choices":[{"message":{"content":"\ud83d"}}]}`, Verdict{Outcome: Success}},
		{"an empty answer that says why", OpenAI, 200, `{"choices":[{"message":{"role":"assistant","content":""},"finish_reason":"length"}]}`, Verdict{Outcome: Success}},
		{"a refusal, which is an answer", OpenAI, 200, `{"choices":[{"message":{"content":null,"refusal":"No."},"finish_reason":"stop"}]}`, Verdict{Outcome: Success}},
		{"a filtered answer, which is an answer", OpenAI, 200, `{"choices":[{"message":{"content":""},"finish_reason":"content_filter"}]}`, Verdict{Outcome: Success, Filtered: true}},
		{"a completion", OpenAI, 200, `{"object":"text_completion","choices":[{"text":"a","index":0}]}`, Verdict{Outcome: Success}},
		{"embeddings", OpenAI, 200, `{"object":"list","data":[{"embedding":[0.1]}],"usage":{"prompt_tokens":8,"total_tokens":8}}`, Verdict{Outcome: Success, Usage: Usage{Input: 8}}},
		{"an answer with neither content nor a reason", OpenAI, 200, `{"choices":[{"message":{"role":"assistant","content":""}}],"usage":{"prompt_tokens":1}}`, Verdict{Outcome: Failure}},
		{"an answer without a choice", OpenAI, 200, `{"choices":[],"usage":{"prompt_tokens":1}}`, Verdict{Outcome: Failure}},
		{"an empty 200", OpenAI, 200, ``, Verdict{Outcome: Failure}},
		{"a page of HTML", OpenAI, 200, `<!DOCTYPE html><html></html>`, Verdict{Outcome: Failure}},
		{"a cut answer", OpenAI, 200, `{"choices":[{"message":{"content":"hi`, Verdict{Outcome: Failure}},
		{"two answers in one", OpenAI, 200, `{"id":"x"}{"id":"y"}`, Verdict{Outcome: Failure}},
		{"a 200 that is no object", OpenAI, 200, `"ok"`, Verdict{Outcome: Failure}},
		{"a list that is no error", OpenAI, 200, `[{"id":"x"}]`, Verdict{Outcome: Failure}},
		{"a 204", OpenAI, 204, ``, Verdict{Outcome: Failure}},
		{"a redirect", OpenAI, 302, `{"error":{"code":"invalid_request_error"}}`, Verdict{Outcome: Failure}},
		{"a 304", OpenAI, 304, ``, Verdict{Outcome: Failure}},
		{"a 101 that came last", OpenAI, 101, ``, Verdict{Outcome: Failure}},
		{"a 200 that finished with an error", OpenAI, 200, `{"choices":[{"message":{"content":""},"finish_reason":"error"}]}`, Verdict{Outcome: Failure}},
		{"an unknown error in a 200", OpenAI, 200, `{"error":{"message":"something"}}`, Verdict{Outcome: Failure}},
		{"an error in a 200 goes by its status: 502", OpenAI, 200, `{"error":{"code":502,"message":"bad gateway"}}`, Verdict{Outcome: Failure, Status: 502}},
		{"an error in a 200 goes by its status: 429", OpenAI, 200, `{"error":{"code":429,"message":"slow down"}}`, Verdict{Outcome: RateLimited, Status: 429}},
		{"an error in a 200, beside one in a choice", OpenAI, 200, `{"choices":[{"error":{"code":502,"message":"x"},"finish_reason":"error"}],"error":{"code":429,"message":"slow down"}}`, Verdict{Outcome: RateLimited, Status: 429}},
		{"an error in a 200 goes by its word", OpenAI, 200, `{"error":{"type":"rate_limit_exceeded"}}`, Verdict{Outcome: RateLimited, Status: 429}},
		{"an overload in a 200", OpenAI, 200, `{"error":{"type":"overloaded_error","message":"Overloaded"}}`, Verdict{Outcome: Failure}},
		{"an error in a list in a 200", OpenAI, 200, `[{"error":{"code":429,"message":"slow down","status":"RESOURCE_EXHAUSTED"}}]`, Verdict{Outcome: RateLimited, Status: 429}},

		{"a response", Responses, 200, `{"id":"r","object":"response","status":"completed","error":null,"incomplete_details":null,"output":[{"type":"message","content":[{"type":"output_text","text":"hi"}]}],"usage":{"input_tokens":1,"output_tokens":2}}`, Verdict{Outcome: Success, Usage: Usage{Input: 1, Output: 2}}},
		{"a response without output", Responses, 200, `{"object":"response","status":"incomplete","incomplete_details":{"reason":"max_output_tokens"},"output":[]}`, Verdict{Outcome: Success}},
		{"a response that has a type too", Responses, 200, `{"object":"response","type":"response.failed","status":"completed","output":[]}`, Verdict{Outcome: Success}},
		{"a filtered response", Responses, 200, `{"object":"response","status":"incomplete","incomplete_details":{"reason":"content_filter"},"output":[]}`, Verdict{Outcome: Success, Filtered: true}},
		{"a response that is worked on", Responses, 200, `{"object":"response","status":"queued","output":[]}`, Verdict{Outcome: Success}},
		{"a response that has failed", Responses, 200, `{"object":"response","status":"failed","error":{"code":"rate_limit_exceeded","message":"x"},"output":[]}`, Verdict{Outcome: RateLimited, Status: 429}},
		{"a response that has failed without a word", Responses, 200, `{"object":"response","status":"failed","error":null,"output":[]}`, Verdict{Outcome: Failure}},
		{"a response with neither output nor a status", Responses, 200, `{"object":"response","output":[]}`, Verdict{Outcome: Failure}},

		{"a message", Anthropic, 200, `{"id":"msg_1","type":"message","role":"assistant","content":[{"type":"text","text":"Hi!"}],"stop_reason":"end_turn","usage":{"input_tokens":10,"cache_creation_input_tokens":100,"cache_read_input_tokens":1000,"output_tokens":3}}`, Verdict{Outcome: Success, Usage: Usage{Input: 1110, Output: 3, CachedInput: 1000}}},
		{"an empty message that says why", Anthropic, 200, `{"type":"message","content":[],"stop_reason":"end_turn"}`, Verdict{Outcome: Success}},
		{"a message that refuses", Anthropic, 200, `{"type":"message","content":[],"stop_reason":"refusal"}`, Verdict{Outcome: Success, Filtered: true}},
		{"a message with neither content nor a reason", Anthropic, 200, `{"type":"message","content":[],"stop_reason":null}`, Verdict{Outcome: Failure}},
		{"an error in a 200", Anthropic, 200, `{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}`, Verdict{Outcome: Failure}},
		{"a rate limit in a 200", Anthropic, 200, `{"type":"error","error":{"type":"rate_limit_error","message":"x"}}`, Verdict{Outcome: RateLimited, Status: 429}},
		{"a page of HTML", Anthropic, 200, `<html>`, Verdict{Outcome: Failure}},

		{"a candidate", Gemini, 200, `{"candidates":[{"content":{"parts":[{"text":"Hi"}],"role":"model"},"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":10,"cachedContentTokenCount":4,"toolUsePromptTokenCount":5,"candidatesTokenCount":3,"thoughtsTokenCount":7,"totalTokenCount":25}}`, Verdict{Outcome: Success, Usage: Usage{Input: 15, Output: 10, CachedInput: 4, Reasoning: 7}}},
		{"an empty candidate that says why", Gemini, 200, `{"candidates":[{"content":{"role":"model"},"finishReason":"MAX_TOKENS"}]}`, Verdict{Outcome: Success}},
		{"a filtered candidate", Gemini, 200, `{"candidates":[{"finishReason":"PROHIBITED_CONTENT"}]}`, Verdict{Outcome: Success, Filtered: true}},
		{"a prompt that was blocked", Gemini, 200, `{"promptFeedback":{"blockReason":"PROHIBITED_CONTENT"},"usageMetadata":{"promptTokenCount":4}}`, Verdict{Outcome: Success, Filtered: true, Usage: Usage{Input: 4}}},
		{"neither a candidate nor a reason", Gemini, 200, `{"usageMetadata":{"promptTokenCount":4},"modelVersion":"m"}`, Verdict{Outcome: Failure}},
		{"nothing at all", Gemini, 200, `{}`, Verdict{Outcome: Failure}},
		{"embeddings", Gemini, 200, `{"embedding":{"values":[0.1]}}`, Verdict{Outcome: Success}},
		{"an error in a 200", Gemini, 200, `[{"error":{"code":503,"message":"x","status":"UNAVAILABLE"}}]`, Verdict{Outcome: Failure, Status: 503}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, tc.format.Classify(tc.status, []byte(tc.body))); diff != "" {
				t.Errorf("verdict (-want +got):\n%s", diff)
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

func TestUsageOfAStreamIsRaisedFrameByFrame(t *testing.T) {
	for _, tc := range []struct {
		name   string
		format Format
		frames []string
		want   Usage
	}{
		{"Anthropic tells input and output apart", Anthropic, []string{
			`{"type":"message_start","message":{"usage":{"input_tokens":25,"cache_read_input_tokens":100,"output_tokens":1}}}`,
			`{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":15}}`,
		}, Usage{Input: 125, Output: 15, CachedInput: 100}},
		{"Anthropic counts what its tools have read", Anthropic, []string{
			`{"type":"message_start","message":{"usage":{"input_tokens":2679,"output_tokens":3}}}`,
			`{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"input_tokens":10682,"cache_creation_input_tokens":0,"output_tokens":510}}`,
		}, Usage{Input: 10682, Output: 510}},
		{"Gemini says it again in every frame", Gemini, []string{
			`{"candidates":[],"usageMetadata":{"promptTokenCount":4,"candidatesTokenCount":1}}`,
			`{"candidates":[],"usageMetadata":{"promptTokenCount":4,"candidatesTokenCount":9,"thoughtsTokenCount":2}}`,
		}, Usage{Input: 4, Output: 11, Reasoning: 2}},
		{"responses say it at the end", Responses, []string{
			`{"type":"response.created","response":{"usage":null}}`,
			`{"type":"response.completed","response":{"usage":{"input_tokens":37,"input_tokens_details":{"cached_tokens":5},"output_tokens":11}}}`,
		}, Usage{Input: 37, Output: 11, CachedInput: 5}},
		{"OpenAI says it at the end", OpenAI, []string{
			`{"choices":[{"delta":{"content":"a"}}],"usage":null}`,
			`{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":1}}`,
		}, Usage{Input: 3, Output: 1}},
		{"a frame that says less takes nothing back", OpenAI, []string{
			`{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":9,"prompt_tokens_details":{"cached_tokens":2},"completion_tokens_details":{"reasoning_tokens":4}}}`,
			`{"choices":[],"usage":{"total_tokens":12}}`,
		}, Usage{Input: 3, Output: 9, CachedInput: 2, Reasoning: 4}},
		{"what is no frame says nothing", OpenAI, []string{`x`, `{`}, Usage{}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var u Usage
			for _, frame := range tc.frames {
				u.Raise(tc.format.FrameUsage([]byte(frame)))
			}
			if u != tc.want {
				t.Errorf("%+v, want %+v", u, tc.want)
			}
		})
	}
}

func TestTailUsageOfOtherFormats(t *testing.T) {
	for _, tc := range []struct {
		format Format
		tail   string
		want   Usage
	}{
		{Gemini, `"}]}}],"usageMetadata":{"promptTokenCount":4,"candidatesTokenCount":2},"modelVersion":"m"}`, Usage{Input: 4, Output: 2}},
		{Anthropic, `"stop_reason":"end_turn","usage":{"input_tokens":4,"output_tokens":2}}`, Usage{Input: 4, Output: 2}},
		{Gemini, `"usageMetadata":null}`, Usage{}},
		{Gemini, `"usageMetadata":{"promptTokenCount":`, Usage{}},
	} {
		if got := tc.format.TailUsage([]byte(tc.tail)); got != tc.want {
			t.Errorf("TailUsage(%q) = %+v, want %+v", tc.tail, got, tc.want)
		}
	}
}

func TestContentOfOtherFormatsIsMeasured(t *testing.T) {
	for _, tc := range []struct {
		name   string
		format Format
		frame  string
		want   int
	}{
		{"text of responses counts", Responses, `{"type":"response.output_text.delta","item_id":"msg_1","delta":"four"}`, 4},
		{"what is said once more does not", Responses, `{"type":"response.output_text.done","item_id":"msg_1","text":"four"}`, 0},
		{"nor does the whole at the end", Responses, `{"type":"response.completed","response":{"output":[{"content":[{"text":"four"}]}]}}`, 0},
		{"text of Anthropic counts", Anthropic, `{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"four"}}`, 4},
		{"arguments of Anthropic count", Anthropic, `{"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"{\"a\":1}"}}`, 7},
		{"a signature does not", Anthropic, `{"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"four"}}`, 0},
		{"why a message ends does not", Anthropic, `{"type":"message_delta","delta":{"stop_reason":"stop_sequence","stop_sequence":"four"}}`, 0},
		{"text of Gemini counts", Gemini, `{"candidates":[{"content":{"role":"model","parts":[{"text":"four"}]},"finishReason":"STOP"}]}`, 4},
		{"media of Gemini do not", Gemini, `{"candidates":[{"content":{"parts":[{"inlineData":{"data":"iVBO"}}]}}]}`, 0},
	} {
		if _, got := tc.format.ClassifyFrame([]byte(tc.frame)); got != tc.want {
			t.Errorf("%s: %d, want %d", tc.name, got, tc.want)
		}
	}
	const message = `{"type":"message","content":[{"type":"text","text":"12345678"},{"type":"tool_use","id":"t","name":"f","input":{"a":"bcde"}}],"stop_reason":"end_turn"}`
	before := func(part string) string {
		head, _, _ := strings.Cut(message, part)
		return head
	}
	for body, want := range map[string]int{
		message:             12,
		before("5678"):      5, // with its opening quote
		before(`"tool_use`): 8,
		`{"type":"message"`: 0,
		`{"content":`:       0,
	} {
		if got := Anthropic.ContentSize([]byte(body)); got != want {
			t.Errorf("ContentSize(%s) = %d, want %d", body, got, want)
		}
	}
}

func TestHints(t *testing.T) {
	now := time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)
	anthropic := func(message string) string {
		return fmt.Sprintf(`{"type":"error","error":{"type":"invalid_request_error","message":%q}}`, message)
	}
	google := func(details string) string {
		return `{"error":{"code":429,"message":"Exhausted.","status":"RESOURCE_EXHAUSTED","details":[` + details + `]}}`
	}
	for _, tc := range []struct {
		name   string
		format Format
		status int
		body   string
		want   time.Duration
		wantOK bool
	}{
		{"OpenAI says seconds", OpenAI, 429, `{"error":{"message":"Rate limit reached for gpt-4o on tokens per min (TPM): Limit 30000. Please try again in 1.234s. Visit …"}}`, 1234 * time.Millisecond, true},
		{"OpenAI says milliseconds", OpenAI, 429, `{"error":{"message":"Please try again in 350ms."}}`, 350 * time.Millisecond, true},
		{"OpenAI says it as Go does", OpenAI, 429, `{"error":{"message":"Please try again in 1h6m0s."}}`, time.Hour + 6*time.Minute, true},
		{"Azure says it in words", OpenAI, 429, `{"error":{"code":"429","message":"… Please retry after 86400 seconds."}}`, 24 * time.Hour, true},
		{"Azure says it otherwise", OpenAI, 429, `{"error":{"code":"429","message":"Rate limit is exceeded. Try again in 1 minute"}}`, time.Minute, true},
		{"Azure speaks of days", OpenAI, 403, `{"statusCode":403,"message":"Out of call volume quota. Quota will be replenished in 2 days."}`, 48 * time.Hour, true},
		{"Azure speaks of a time of day, which is not read", OpenAI, 403, `{"statusCode":403,"message":"Out of call volume quota. Quota will be replenished in 07:01:20."}`, 0, false},
		{"OpenRouter names the moment", OpenAI, 429, `{"error":{"message":"Rate limit exceeded: free-models-per-day.","code":429,"metadata":{"headers":{"X-RateLimit-Reset":"1772377200000"}}}}`, 3 * time.Hour, true},
		{"OpenRouter names a moment that has passed", OpenAI, 429, `{"error":{"message":"x","code":429,"metadata":{"headers":{"X-RateLimit-Reset":"1"}}}}`, 0, true},
		{"OpenRouter names nonsense", OpenAI, 429, `{"error":{"message":"x","code":429,"metadata":{"headers":{"X-RateLimit-Reset":"soon"}}}}`, 0, false},
		{"Anthropic names a day", Anthropic, 400, anthropic("You have reached your specified API usage limits. You will regain access on 2026-04-01 at 00:00 UTC."), 30*24*time.Hour + 12*time.Hour, true},
		{"Anthropic names no day that there is", Anthropic, 400, anthropic("You have reached your specified API usage limits. You will regain access on 2026-14-01 at 00:00 UTC."), 0, false},
		{"Gemini has a member for it", Gemini, 429, google(`{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"36s"}`), 36 * time.Second, true},
		{"Gemini has a fraction in it", Gemini, 429, google(`{"retryDelay":"58.384s"}`), 58384 * time.Millisecond, true},
		{"Gemini has nonsense in it", Gemini, 429, google(`{"retryDelay":"soon"}`), 0, false},
		{"Gemini says it in a message", Gemini, 429, `{"error":{"code":429,"message":"Quota exceeded. Please retry in 36.5s.","status":"RESOURCE_EXHAUSTED"}}`, 36500 * time.Millisecond, true},
		{"a quota of the day is not back in seconds", Gemini, 429, google(`{"violations":[{"quotaId":"RequestsPerDay"}]},{"retryDelay":"36s"}`), 0, false},
		{"a quota of the day may be back in hours", Gemini, 429, google(`{"violations":[{"quotaId":"RequestsPerDay"}]},{"retryDelay":"21599.96s"}`), 21599960 * time.Millisecond, true},
		{"more than a year is a year", Gemini, 429, google(`{"retryDelay":"999999999s"}`), longestWait, true},
		{"a number of nothing is not a time", OpenAI, 429, `{"error":{"message":"Please try again in 5 parsecs."}}`, 0, false},
		{"no time at all is none", OpenAI, 429, `{"error":{"message":"Please try again in 0s."}}`, 0, false},
		{"no number is none", OpenAI, 429, `{"error":{"message":"Please try again in "}}`, 0, false},
		{"a time far too long is none", OpenAI, 429, `{"error":{"message":"Please try again in 99999999999s"}}`, 0, false},
		{"an error that is not about limits says nothing", OpenAI, 400, `{"error":{"message":"Invalid: 'please try again in 5s'"}}`, 0, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			v := tc.format.Classify(tc.status, []byte(tc.body))
			got, ok := v.Hint.Wait(now)
			if got.Round(time.Microsecond) != tc.want || ok != tc.wantOK {
				t.Errorf("%v: %v, %v; want %v, %v", v.Outcome, got, ok, tc.want, tc.wantOK)
			}
		})
	}
	if wait, ok := (Hint{At: now.Add(math.MaxInt64)}).Wait(now); wait <= 0 || !ok {
		t.Errorf("the farthest moment is %v away, %v", wait, ok)
	}
}

// oneOfEach are bodies that visit most of a format's code.
func oneOfEach() map[Format][]string {
	frames := map[Format][]string{
		OpenAI:    {chatFrame[len("data: "):], `{"choices":[],"usage":{"prompt_tokens":1,"prompt_tokens_details":{"cached_tokens":1}}}`},
		Responses: {`{"type":"response.output_item.added","item":{"type":"message","content":[]}}`, `{"type":"response.output_text.delta","delta":"a"}`, `{"type":"response.completed","response":{"incomplete_details":{"reason":"x"},"usage":{"input_tokens":1}}}`, `{"object":"response","type":"response.failed","status":"completed","output":[]}`},
		Anthropic: {`{"type":"message_start","message":{"content":[],"usage":{"input_tokens":1}}}`, `{"type":"content_block_start","content_block":{"type":"text","text":""}}`, `{"type":"content_block_delta","delta":{"type":"text_delta","text":"a\u00e9"}}`, `{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":1}}`},
		Gemini:    {`{"candidates":[{"content":{"parts":[{"text":"a"}]},"finishReason":"STOP"}],"promptFeedback":{},"usageMetadata":{"promptTokenCount":1}}`},
	}
	return frames
}

func TestClassifyingAllocatesNothing(t *testing.T) {
	for format, frames := range oneOfEach() {
		for _, frame := range frames {
			data := []byte(frame)
			if n := testing.AllocsPerRun(100, func() {
				_, _ = format.ClassifyFrame(data)
				_ = format.FrameUsage(data)
				_ = format.Classify(200, data)
				_ = format.ContentSize(data)
				_ = format.TailUsage(data)
			}); n != 0 {
				t.Errorf("%v allocations for %s, want none", n, frame)
			}
		}
	}
}

func TestClassifyingAnErrorAllocatesLittle(t *testing.T) {
	for format, cases := range allCases {
		for _, c := range cases {
			data := []byte(c.body)
			// The look itself, and for some the name of a field and the steps to it.
			if n := testing.AllocsPerRun(10, func() {
				if c.status == 0 {
					_ = format.ClassifyErrorFrame(data)
				} else {
					_ = format.Classify(c.status, data)
				}
			}); n > 4 {
				t.Errorf("%v allocations for %s, want a few at most", n, c.name)
			}
		}
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

func BenchmarkClassifyError(b *testing.B) {
	body := []byte(`{"error":{"message":"The server could not be found anywhere.","type":"invalid_request_error","param":null,"code":null}}`)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if v := OpenAI.Classify(400, body); v.Outcome != ClientError {
			b.Fatal(v)
		}
	}
}

func BenchmarkFramesOfFormats(b *testing.B) {
	for format, frames := range oneOfEach() {
		b.Run(fmt.Sprintf("format %d", format), func(b *testing.B) {
			data := []byte(frames[len(frames)/2])
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				_, _ = format.ClassifyFrame(data)
			}
		})
	}
}
