// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package modelsim_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"strings"
	"testing"

	"github.com/andybalholm/brotli"
	"github.com/google/go-cmp/cmp"

	"github.com/turnout-ai/turnout/internal/modelsim"
)

// chat builds a chat request; fields is more JSON, such as `"n":2`.
func chat(fields string) string {
	return `{"model":"sim-large","messages":[{"role":"user","content":"Answer in JSON."}],` + fields + `}`
}

const weatherTool = `"tools":[{"type":"function","function":{"name":"other"}},{"type":"function","function":{"name":"weather","parameters":` +
	`{"type":"object","properties":{"city":{"type":"string","enum":["Bern"]},"days":{"type":"integer","minimum":3,"maximum":3}},"required":["city","days"]}}}]`

func TestRefusals(t *testing.T) {
	server := start(t, func(c *modelsim.Config) {
		c.APIKeys = []string{"sk-one", "sk-two"}
		c.ContextWindow = 1000
	})
	tests := []struct {
		name, method, path, body string
		key                      string
		wantStatus               int
		wantCode                 string
		wantParam                string
		wantMessage              string
	}{
		{name: "no key is a 401", body: chatBody, key: "-", wantStatus: 401, wantCode: "invalid_api_key", wantMessage: "You didn't provide an API key"},
		{name: "a wrong key is a 401 that does not show it", body: chatBody, key: "wrong", wantStatus: 401, wantCode: "invalid_api_key", wantMessage: "Incorrect API key provided: ********."},
		{name: "an unknown model is a 404", body: `{"model":"gpt-9","messages":[{"role":"user","content":"x"}]}`, wantStatus: 404, wantCode: "model_not_found", wantMessage: "`gpt-9`"},
		{name: "an unknown model by name is a 404", method: "GET", path: "/v1/models/gpt-9", wantStatus: 404, wantCode: "model_not_found"},
		{name: "an unknown URL is a 404", path: "/v1/chat/complete", body: chatBody, wantStatus: 404, wantCode: "unknown_url"},
		{name: "the wrong method is a 405", method: "GET", path: chatPath, wantStatus: 405, wantCode: "method_not_supported"},
		{name: "posting to models is a 405", path: modelsPath, body: "{}", wantStatus: 405, wantCode: "method_not_supported"},
		{name: "a body that is no JSON is a 400", body: `{"model":`, wantStatus: 400, wantMessage: "could not parse the JSON body"},
		{name: "trailing bytes are a 400", body: chatBody + "x", wantStatus: 400, wantMessage: "could not parse the JSON body"},
		{name: "a body that is no object is a 400", body: `[]`, wantStatus: 400, wantMessage: "could not parse the JSON body"},
		{name: "an empty body is a 400", body: ``, wantStatus: 400, wantMessage: "could not parse the JSON body"},
		{name: "no model is a 400", body: `{"messages":[]}`, wantStatus: 400, wantParam: "model", wantCode: "missing_required_parameter", wantMessage: "you must provide a model parameter"},
		{name: "no messages is a 400", body: `{"model":"sim-large"}`, wantStatus: 400, wantParam: "messages", wantCode: "missing_required_parameter"},
		{name: "empty messages is a 400", body: `{"model":"sim-large","messages":[]}`, wantStatus: 400, wantParam: "messages", wantCode: "empty_array"},
		{name: "an unknown role is a 400", body: `{"model":"sim-large","messages":[{"role":"pope","content":"x"}]}`, wantStatus: 400, wantParam: "messages[0].role", wantCode: "invalid_value"},
		{name: "a user who says null is a 400", body: `{"model":"sim-large","messages":[{"role":"user","content":null}]}`, wantStatus: 400, wantParam: "messages[0].content", wantCode: "invalid_type"},
		{name: "an unknown content part is a 400", body: `{"model":"sim-large","messages":[{"role":"user","content":[{"type":"smell"}]}]}`, wantStatus: 400, wantParam: "messages[0].content[0].type", wantCode: "invalid_value"},
		{name: "an unknown parameter is a 400", body: chat(`"temprature":1`), wantStatus: 400, wantParam: "temprature", wantCode: "unknown_parameter"},
		{name: "a parameter in other letters is unknown", body: chat(`"Stream":true`), wantStatus: 400, wantParam: "Stream", wantCode: "unknown_parameter"},
		{name: "a wrong type is a 400", body: chat(`"temperature":"hot"`), wantStatus: 400, wantParam: "temperature", wantCode: "invalid_type", wantMessage: "expected a decimal, but got a string"},
		{name: "a number too large is a 400", body: chat(`"temperature":3`), wantStatus: 400, wantParam: "temperature", wantCode: "decimal_above_max_value"},
		{name: "no tokens at all is a 400", body: chat(`"max_tokens":0`), wantStatus: 400, wantParam: "max_tokens", wantCode: "integer_below_min_value"},
		{name: "two token limits are a 400", body: chat(`"max_tokens":1,"max_completion_tokens":1`), wantStatus: 400, wantParam: "max_tokens", wantCode: "invalid_parameter_combination"},
		{name: "stream options without a stream are a 400", body: chat(`"stream_options":{}`), wantStatus: 400, wantParam: "stream_options", wantCode: "invalid_value"},
		{name: "a tool choice without tools is a 400", body: chat(`"tool_choice":"required"`), wantStatus: 400, wantParam: "tool_choice", wantCode: "invalid_value"},
		{name: "a tool choice that is no tool is a 400", body: chat(weatherTool + `,"tool_choice":{"type":"function","function":{"name":"x"}}`), wantStatus: 400, wantParam: "tool_choice", wantCode: "invalid_value"},
		{name: "five stop sequences are a 400", body: chat(`"stop":["1","2","3","4","5"]`), wantStatus: 400, wantParam: "stop", wantCode: "array_above_max_length"},
		{name: "JSON mode without the word is a 400", body: `{"model":"sim-large","messages":[{"role":"user","content":"x"}],"response_format":{"type":"json_object"}}`, wantStatus: 400, wantParam: "messages", wantMessage: "must contain the word 'json'"},
		{name: "an unknown response format is a 400", body: chat(`"response_format":{"type":"xml"}`), wantStatus: 400, wantParam: "response_format.type", wantCode: "invalid_value"},
		{name: "a prompt longer than the window is a 400", body: `{"model":"sim-large","messages":[{"role":"user","content":"` + strings.Repeat("long ", 1000) + `"}]}`, wantStatus: 400, wantParam: "messages", wantCode: "context_length_exceeded"},
		{name: "chatting with an embedding model is a 404", body: `{"model":"sim-embed","messages":[{"role":"user","content":"x"}]}`, wantStatus: 404, wantParam: "model"},
		{name: "embeddings of a chat model are a 403", path: embeddingPath, body: `{"model":"sim-large","input":"x"}`, wantStatus: 403},
		{name: "empty input is a 400", path: embeddingPath, body: `{"model":"sim-embed","input":""}`, wantStatus: 400, wantParam: "input"},
		{name: "an empty list of inputs is a 400", path: embeddingPath, body: `{"model":"sim-embed","input":[]}`, wantStatus: 400, wantParam: "input"},
		{name: "an unknown encoding is a 400", path: embeddingPath, body: `{"model":"sim-embed","input":"x","encoding_format":"hex"}`, wantStatus: 400, wantParam: "encoding_format", wantCode: "invalid_value"},
		{name: "a completion without prompt is a 400", path: completionPath, body: `{"model":"sim-large"}`, wantStatus: 400, wantParam: "prompt", wantCode: "missing_required_parameter"},
		{name: "a script that cannot be read is a 400", body: chat(`"metadata":{"modelsim_fault":"explode"}`), wantStatus: 400, wantCode: "invalid_script", wantMessage: `fault "explode": unknown`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			method, path, headers := tt.method, tt.path, []string{"Authorization", "Bearer sk-two"}
			if method == "" {
				method = http.MethodPost
			}
			if path == "" {
				path = chatPath
			}
			switch tt.key {
			case "":
			case "-":
				headers = nil
			default:
				headers[1] = "Bearer " + tt.key
			}
			got := call(t, newClient(t), method, server.URL()+path, tt.body, headers...)
			if got.err != nil || got.status != tt.wantStatus {
				t.Fatalf("%d %s %v, want %d", got.status, got.body, got.err, tt.wantStatus)
			}
			failure := got.failure(t)
			want := []string{tt.wantCode, tt.wantParam}
			if diff := cmp.Diff(want, []string{text(failure.Code), text(failure.Param)}); diff != "" {
				t.Errorf("code and param (-want +got):\n%s", diff)
			}
			if !strings.Contains(failure.Message, tt.wantMessage) {
				t.Errorf("message %q lacks %q", failure.Message, tt.wantMessage)
			}
			if failure.Type == "" || got.header.Get("Content-Type") != "application/json" || !strings.HasPrefix(got.header.Get("X-Request-Id"), "req_") {
				t.Errorf("type %q, header %v: not as OpenAI answers", failure.Type, got.header)
			}
		})
	}
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func TestAHugeBodyIsA413(t *testing.T) {
	got := post(t, start(t, nil), chatPath, strings.Repeat(" ", 65<<20))
	if got.err != nil || got.status != http.StatusRequestEntityTooLarge || text(got.failure(t).Code) != "request_too_large" {
		t.Errorf("%d %s %v", got.status, got.body, got.err)
	}
}

// completion is a chat completion as far as the tests look at it.
type completion struct {
	ID, Object string
	Choices    []struct {
		Index   int
		Message struct {
			Content   *string
			ToolCalls []struct {
				ID       string
				Function struct{ Name, Arguments string }
			} `json:"tool_calls"`
		}
		Logprobs *struct {
			Content []struct {
				Token string
				Top   []struct{ Token string } `json:"top_logprobs"`
			}
		}
		FinishReason string `json:"finish_reason"`
	}
	Usage struct {
		Prompt     int `json:"prompt_tokens"`
		Completion int `json:"completion_tokens"`
		Total      int `json:"total_tokens"`
		Details    struct {
			Cached int `json:"cached_tokens"`
		} `json:"prompt_tokens_details"`
		More struct {
			Reasoning int `json:"reasoning_tokens"`
		} `json:"completion_tokens_details"`
	}
}

func TestChat(t *testing.T) {
	server := start(t, nil)
	tests := []struct {
		name          string
		fields        string
		wantFinish    string
		wantTokens    int
		wantReasoning int
		wantChoices   int
		wantCall      string
		wantContent   func(content string) bool
	}{
		{name: "an answer has the configured length", fields: `"n":1`, wantFinish: "stop", wantTokens: 32, wantChoices: 1},
		{name: "fewer tokens finish by length", fields: `"max_tokens":5`, wantFinish: "length", wantTokens: 5, wantChoices: 1},
		{name: "as many tokens as it needs finish by stop", fields: `"max_completion_tokens":32`, wantFinish: "stop", wantTokens: 32, wantChoices: 1},
		{name: "several choices are billed together", fields: `"n":3,"max_tokens":4`, wantFinish: "length", wantTokens: 12, wantChoices: 3},
		{name: "reasoning is billed as completion", fields: `"reasoning_effort":"low"`, wantFinish: "stop", wantTokens: 48, wantReasoning: 16, wantChoices: 1},
		{
			name: "reasoning can use up all tokens and say nothing", fields: `"reasoning_effort":"high","max_completion_tokens":20`,
			wantFinish: "length", wantTokens: 20, wantReasoning: 20, wantChoices: 1, wantContent: func(s string) bool { return s == "" },
		},
		{name: "a required tool is called", fields: weatherTool + `,"tool_choice":"required"`, wantFinish: "tool_calls", wantTokens: 9, wantChoices: 1, wantCall: "other"},
		{name: "a named tool is called with arguments that fit", fields: weatherTool + `,"tool_choice":{"type":"function","function":{"name":"weather"}}`, wantFinish: "stop", wantTokens: 6, wantChoices: 1, wantCall: `weather{"city":"Bern","days":3}`},
		{name: "a tool that may be called is not", fields: weatherTool + `,"tool_choice":"auto"`, wantFinish: "stop", wantTokens: 32, wantChoices: 1},
		{
			name: "JSON mode gives JSON", fields: `"response_format":{"type":"json_object"}`, wantFinish: "stop", wantTokens: -1, wantChoices: 1,
			wantContent: func(s string) bool { return json.Valid([]byte(s)) && s[0] == '{' },
		},
		{
			name:   "a schema gives JSON that fits it",
			fields: `"response_format":{"type":"json_schema","json_schema":{"name":"x","schema":{"$defs":{"e":{"enum":["ééééé"]}},"properties":{"a":{"type":"array","items":{"$ref":"#/$defs/e"}},"b":{"const":1}}}}}`, wantFinish: "stop", wantTokens: -1, wantChoices: 1,
			wantContent: func(s string) bool { return s == `{"a":["ééééé"],"b":1}` },
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := post(t, server, chatPath, chat(tt.fields))
			var whole completion
			decode(t, got.body, &whole)
			if got.status != 200 || len(whole.Choices) != tt.wantChoices {
				t.Fatalf("%d %s", got.status, got.body)
			}
			choice := whole.Choices[0]
			if choice.FinishReason != tt.wantFinish {
				t.Errorf("finish reason %q, want %q", choice.FinishReason, tt.wantFinish)
			}
			if tt.wantTokens >= 0 && whole.Usage.Completion != tt.wantTokens || whole.Usage.Total != whole.Usage.Prompt+whole.Usage.Completion {
				t.Errorf("usage %+v, want %d completion tokens", whole.Usage, tt.wantTokens)
			}
			if whole.Usage.More.Reasoning != tt.wantReasoning {
				t.Errorf("%d reasoning tokens, want %d", whole.Usage.More.Reasoning, tt.wantReasoning)
			}
			if tt.wantCall != "" {
				call := choice.Message.ToolCalls[0]
				if !strings.HasPrefix(call.Function.Name+call.Function.Arguments, tt.wantCall) || choice.Message.Content != nil || !strings.HasPrefix(call.ID, "call_") {
					t.Errorf("message %+v, want the call %s", choice.Message, tt.wantCall)
				}
			}
			if tt.wantContent != nil && !tt.wantContent(*choice.Message.Content) {
				t.Errorf("content %q", *choice.Message.Content)
			}
			equalsStream(t, server, tt.fields, &whole)
		})
	}
}

// equalsStream asks for the same as a stream and holds both against each other.
func equalsStream(t *testing.T, server *modelsim.Server, fields string, whole *completion) {
	t.Helper()
	got := post(t, server, chatPath, chat(fields+`,"stream":true,"stream_options":{"include_usage":true}`))
	if got.err != nil || got.header.Get("Content-Type") != "text/event-stream; charset=utf-8" {
		t.Fatalf("%v %v", got.err, got.header)
	}
	all := frames(got.body)
	said := make([]string, len(whole.Choices))
	finished := make([]string, len(whole.Choices))
	var usage *chunk
	for i, frame := range all[:len(all)-1] {
		var c chunk
		decode(t, frame, &c)
		if len(c.Choices) == 0 {
			usage = &c
			continue
		}
		choice := c.Choices[0]
		if first := i < len(whole.Choices); first != (choice.Delta.Role == "assistant") || usage != nil {
			t.Errorf("frame %d: %s is out of order", i, frame)
		}
		if choice.Delta.Content != nil {
			said[choice.Index] += *choice.Delta.Content
		}
		for _, call := range choice.Delta.ToolCalls {
			said[choice.Index] += call.Function.Name + call.Function.Arguments
		}
		if choice.FinishReason != nil {
			finished[choice.Index] = *choice.FinishReason
		}
	}
	if all[len(all)-1] != "[DONE]" || usage == nil {
		t.Fatalf("the stream ends with %q", all[len(all)-2:])
	}
	for i, choice := range whole.Choices {
		want := text(choice.Message.Content)
		for _, call := range choice.Message.ToolCalls {
			want += call.Function.Name + call.Function.Arguments
		}
		if said[i] != want || finished[i] != choice.FinishReason {
			t.Errorf("choice %d streamed %q (%s), whole %q (%s)", i, said[i], finished[i], want, choice.FinishReason)
		}
	}
	if usage.Usage.CompletionTokens != whole.Usage.Completion {
		t.Errorf("the stream used %d tokens, the whole answer %d", usage.Usage.CompletionTokens, whole.Usage.Completion)
	}
}

func TestContentDependsOnSeedAndRequest(t *testing.T) {
	say := func(server *modelsim.Server, fields string) string {
		var whole completion
		decode(t, post(t, server, chatPath, chat(fields)).body, &whole)
		return *whole.Choices[0].Message.Content
	}
	one, two := start(t, nil), start(t, func(c *modelsim.Config) { c.Seed = 7 })
	base := say(one, `"n":1`)
	if again := say(start(t, nil), `"n":1`); again != base {
		t.Errorf("the same request gave %q, then %q", base, again)
	}
	for name, other := range map[string]string{"another configured seed": say(two, `"n":1`), "another seed in the request": say(one, `"seed":5`)} {
		if other == base {
			t.Errorf("%s gave the same answer", name)
		}
	}
}

func TestWithoutIncludeUsageThereIsNoUsage(t *testing.T) {
	got := post(t, start(t, nil), chatPath, chat(`"stream":true,"max_tokens":2`))
	if strings.Contains(got.body, "usage") {
		t.Errorf("the stream speaks of usage: %s", got.body)
	}
}

func TestStopEndsAnAnswer(t *testing.T) {
	server := start(t, nil)
	var whole, stopped completion
	decode(t, post(t, server, chatPath, chat(`"n":1`)).body, &whole)
	content := *whole.Choices[0].Message.Content
	sequence := content[20:26]
	stop, err := json.Marshal(sequence)
	if err != nil {
		t.Fatal(err)
	}
	decode(t, post(t, server, chatPath, chat(`"stop":`+string(stop))).body, &stopped)
	want, _, _ := strings.Cut(content, sequence)
	if got := *stopped.Choices[0].Message.Content; got != want {
		t.Errorf("%q stopped at %q is %q, want %q", content, sequence, got, want)
	}
}

func TestLogprobs(t *testing.T) {
	var whole completion
	decode(t, post(t, start(t, nil), chatPath, chat(`"logprobs":true,"top_logprobs":2,"max_tokens":3`)).body, &whole)
	entries := whole.Choices[0].Logprobs.Content
	joined := ""
	for _, entry := range entries {
		joined += entry.Token
		if len(entry.Top) != 2 {
			t.Errorf("%d alternatives, want 2", len(entry.Top))
		}
	}
	if joined != *whole.Choices[0].Message.Content {
		t.Errorf("tokens %q are not the content", joined)
	}
}

func TestALongPromptIsCachedTheSecondTime(t *testing.T) {
	server := start(t, nil)
	body := `{"model":"sim-large","messages":[{"role":"user","content":"` + strings.Repeat("words ", 1000) + `"}]}`
	var first, second completion
	decode(t, post(t, server, chatPath, body).body, &first)
	decode(t, post(t, server, chatPath, body).body, &second)
	got := []int{first.Usage.Details.Cached, second.Usage.Details.Cached}
	if diff := cmp.Diff([]int{0, second.Usage.Prompt / 128 * 128}, got); diff != "" {
		t.Errorf("cached tokens (-want +got):\n%s", diff)
	}
}

func TestCompletions(t *testing.T) {
	server := start(t, nil)
	body := func(more string) string {
		return `{"model":"sim-small","prompt":"Once","n":2,"logprobs":1` + more + `}`
	}
	var whole struct {
		Object  string
		Choices []struct {
			Text         string
			FinishReason string `json:"finish_reason"`
		}
	}
	decode(t, post(t, server, completionPath, body("")).body, &whole)
	if whole.Object != "text_completion" || len(whole.Choices) != 2 || whole.Choices[0].FinishReason != "length" {
		t.Errorf("%+v", whole)
	}
	stream := post(t, server, completionPath, body(`,"stream":true`))
	streamed, count := contents(t, stream.body)
	if streamed[0] != whole.Choices[0].Text || streamed[1] != whole.Choices[1].Text || count != 32 {
		t.Errorf("streamed %v in %d frames, whole %+v", streamed, count, whole.Choices)
	}
	if !strings.HasSuffix(stream.body, "data: [DONE]\n\n") {
		t.Error("no [DONE]")
	}
}

type vectors struct {
	Data []struct {
		Index     int
		Embedding json.RawMessage
	}
	Usage struct {
		Prompt int `json:"prompt_tokens"`
	}
}

func TestEmbeddings(t *testing.T) {
	server := start(t, nil)
	tests := []struct {
		name, fields   string
		wantVectors    int
		wantDimensions int
		wantTokens     int
	}{
		{"one text", `"input":"four more words here"`, 1, 1536, 5},
		{"several texts", `"input":["a","b","c"]`, 3, 1536, 3},
		{"tokens", `"input":[1,2,3]`, 1, 1536, 3},
		{"several lists of tokens", `"input":[[1,2],[3]]`, 2, 1536, 3},
		{"fewer dimensions", `"input":"a","dimensions":64`, 1, 64, 1},
		{"base64", `"input":["a","b"],"encoding_format":"base64","dimensions":8`, 2, 8, 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got vectors
			decode(t, post(t, server, embeddingPath, `{"model":"sim-embed",`+tt.fields+`}`).body, &got)
			if len(got.Data) != tt.wantVectors || got.Usage.Prompt != tt.wantTokens {
				t.Fatalf("%d vectors, %d tokens, want %d, %d", len(got.Data), got.Usage.Prompt, tt.wantVectors, tt.wantTokens)
			}
			for _, entry := range got.Data {
				vector := floats(t, entry.Embedding)
				length := 0.0
				for _, value := range vector {
					length += float64(value) * float64(value)
				}
				if len(vector) != tt.wantDimensions || math.Abs(length-1) > 1e-4 {
					t.Errorf("%d dimensions of length %v, want %d of length 1", len(vector), length, tt.wantDimensions)
				}
			}
		})
	}
}

// floats reads a vector in either encoding.
func floats(t *testing.T, raw json.RawMessage) (out []float32) {
	t.Helper()
	if raw[0] == '[' {
		decode(t, string(raw), &out)
		return out
	}
	var encoded string
	decode(t, string(raw), &encoded)
	data, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		t.Fatal(err)
	}
	for ; len(data) >= 4; data = data[4:] {
		out = append(out, math.Float32frombits(binary.LittleEndian.Uint32(data)))
	}
	return out
}

func TestBothEncodingsOfAnEmbeddingAreTheSameVector(t *testing.T) {
	server := start(t, nil)
	var plain, encoded vectors
	decode(t, post(t, server, embeddingPath, `{"model":"sim-embed","input":"a"}`).body, &plain)
	decode(t, post(t, server, embeddingPath, `{"model":"sim-embed","input":"a","encoding_format":"base64"}`).body, &encoded)
	if diff := cmp.Diff(floats(t, plain.Data[0].Embedding), floats(t, encoded.Data[0].Embedding)); diff != "" {
		t.Error(diff)
	}
}

func TestModelsAndBasePath(t *testing.T) {
	server := start(t, func(c *modelsim.Config) { c.BasePath = "/openai"; c.Models = []string{"org/one", "two"} })
	got := call(t, newClient(t), http.MethodGet, server.URL()+modelsPath, "")
	want := `{"object":"list","data":[{"id":"org/one","object":"model","created":1735689600,"owned_by":"modelsim"},{"id":"two","object":"model","created":1735689600,"owned_by":"modelsim"}]}`
	if diff := cmp.Diff(want, compact(t, got.body)); diff != "" {
		t.Errorf("models (-want +got):\n%s", diff)
	}
	if one := call(t, newClient(t), http.MethodGet, server.URL()+modelsPath+"/org/one", ""); one.status != 200 || !strings.Contains(one.body, `"org/one"`) {
		t.Errorf("one model: %d %s", one.status, one.body)
	}
	if outside := call(t, newClient(t), http.MethodGet, "http://"+server.Addr()+modelsPath, ""); outside.status != 404 {
		t.Errorf("without the base path: %d, want 404", outside.status)
	}
}

func TestHeadersOfAnAnswer(t *testing.T) {
	got := post(t, start(t, nil), chatPath, chatBody)
	for name, want := range map[string]string{
		"Openai-Organization": "org-modelsim", "Openai-Version": "2020-10-01", "Openai-Processing-Ms": "", "X-Request-Id": "req_", "Set-Cookie": "__cf_bm=",
		"X-Ratelimit-Limit-Requests": "10000", "X-Ratelimit-Remaining-Requests": "9999", "X-Ratelimit-Reset-Requests": "6ms",
		"X-Ratelimit-Limit-Tokens": "30000000", "X-Ratelimit-Remaining-Tokens": "", "X-Ratelimit-Reset-Tokens": "",
	} {
		if value := got.header.Get(name); value == "" || !strings.HasPrefix(value, want) {
			t.Errorf("%s: %q, want %q…", name, value, want)
		}
	}
}

func TestCompression(t *testing.T) {
	tests := []struct {
		name    string
		mode    modelsim.Compression
		accept  string
		wantEnc string
	}{
		{"off ignores what is accepted", modelsim.CompressOff, "gzip, br", ""},
		{"negotiation prefers brotli", modelsim.CompressNegotiate, "gzip, br;q=0.5", "br"},
		{"negotiation falls back to gzip", modelsim.CompressNegotiate, "gzip, br;q=0", "gzip"},
		{"negotiation respects identity", modelsim.CompressNegotiate, "identity", ""},
		{"always gzip", modelsim.CompressAlwaysGzip, "identity", "gzip"},
		{"always brotli", modelsim.CompressAlwaysBr, "identity", "br"},
	}
	for _, tt := range tests {
		for _, body := range []string{chatBody, streamBody, `{"model":"none"}`} {
			t.Run(fmt.Sprintf("%s, %d bytes", tt.name, len(body)), func(t *testing.T) {
				server := start(t, func(c *modelsim.Config) { c.Compress = tt.mode })
				got := post(t, server, chatPath, body, "Accept-Encoding", tt.accept)
				if enc := got.header.Get("Content-Encoding"); enc != tt.wantEnc {
					t.Fatalf("encoding %q, want %q", enc, tt.wantEnc)
				}
				var reader io.Reader = strings.NewReader(got.body)
				switch tt.wantEnc {
				case "gzip":
					unzip, err := gzip.NewReader(reader)
					if err != nil {
						t.Fatal(err)
					}
					reader = unzip
				case "br":
					reader = brotli.NewReader(reader)
				}
				plain, err := io.ReadAll(reader)
				if err != nil {
					t.Fatal(err)
				}
				if body == streamBody && !bytes.HasSuffix(plain, []byte("data: [DONE]\n\n")) || body != streamBody && !json.Valid(plain) {
					t.Errorf("decoded: %q", plain)
				}
			})
		}
	}
}

func TestACompressedStreamCanBeReadAsItComes(t *testing.T) {
	decoders := map[modelsim.Compression]func(io.Reader) (io.Reader, error){
		modelsim.CompressAlwaysGzip: func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) },
		modelsim.CompressAlwaysBr:   func(r io.Reader) (io.Reader, error) { return brotli.NewReader(r), nil },
	}
	for mode, decoder := range decoders {
		t.Run(string(mode), func(t *testing.T) {
			server := start(t, func(c *modelsim.Config) { c.Compress = mode })
			// The stream never goes on: what is to be read has to be there already. The stall ends a test that fails.
			response, _ := openStream(t, server, newClient(t), streamBody, modelsim.HeaderFault, "stall;after=2;wait=10s")
			plain, err := decoder(response.Body)
			if err != nil {
				t.Fatal(err)
			}
			reader := bufio.NewReader(plain)
			for _, want := range []string{`"role":"assistant"`, `"content":"`, `"content":"`} {
				line, err := reader.ReadString('\n')
				if _, blank := reader.ReadString('\n'); err != nil || blank != nil || !strings.Contains(line, want) {
					t.Fatalf("%q %v %v, want %s", line, err, blank, want)
				}
			}
			if state := server.Sim.State(); state.InFlight != 1 {
				t.Errorf("the frames came only when the stream had ended: %+v", state)
			}
		})
	}
}

func TestImpossibleConfigurations(t *testing.T) {
	tests := []struct {
		name    string
		change  func(*modelsim.Config)
		wantErr string
	}{
		{"no model", func(c *modelsim.Config) { c.Models = nil }, "name at least one model"},
		{"an empty key", func(c *modelsim.Config) { c.APIKeys = []string{""} }, "a key must not be empty"},
		{"a base path with a trailing slash", func(c *modelsim.Config) { c.BasePath = "/x/" }, "without a trailing slash"},
		{"a speed that is no number", func(c *modelsim.Config) { c.Timing.TokensPerSecond = math.NaN() }, "tokens per second"},
		{"an answer without tokens", func(c *modelsim.Config) { c.Timing.Tokens = 0 }, "1 to 1000000 tokens"},
		{"an unknown compression", func(c *modelsim.Config) { c.Compress = "zip" }, "always-gzip"},
		{"a negative limit", func(c *modelsim.Config) { c.RequestsPerMinute = -1 }, "must not be negative"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			config := modelsim.DefaultConfig()
			tt.change(&config)
			if _, err := modelsim.New(config); err == nil || !strings.Contains(err.Error(), tt.wantErr) {
				t.Errorf("error %v, want %q", err, tt.wantErr)
			}
		})
	}
}
