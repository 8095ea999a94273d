// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package modelsim_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"

	"github.com/turnout-ai/turnout/internal/modelsim"
)

// official is OpenAI's own client, with its retries off.
func official(t *testing.T, server *modelsim.Server, options ...option.RequestOption) openai.Client {
	t.Helper()
	options = append([]option.RequestOption{
		option.WithBaseURL(server.URL() + "/v1"), option.WithAPIKey("sk-test"), option.WithHTTPClient(newClient(t)), option.WithMaxRetries(0),
	}, options...)
	return openai.NewClient(options...)
}

func question(model string) openai.ChatCompletionNewParams {
	return openai.ChatCompletionNewParams{
		Model:               model,
		Messages:            []openai.ChatCompletionMessageParamUnion{openai.SystemMessage("Be brief."), openai.UserMessage("How far is the moon?")},
		MaxCompletionTokens: openai.Int(12),
	}
}

func TestOfficialClient(t *testing.T) {
	server := start(t, func(c *modelsim.Config) { c.APIKeys = []string{"sk-test"} })
	client := official(t, server)

	whole, err := client.Chat.Completions.New(t.Context(), question("sim-large"))
	if err != nil {
		t.Fatal(err)
	}
	if whole.Usage.CompletionTokens != 12 || whole.Choices[0].FinishReason != "length" || !strings.HasPrefix(whole.ID, "chatcmpl-") {
		t.Errorf("chat: %s", whole.RawJSON())
	}

	params := question("sim-large")
	params.StreamOptions.IncludeUsage = openai.Bool(true)
	stream := client.Chat.Completions.NewStreaming(t.Context(), params)
	var sum openai.ChatCompletionAccumulator
	for stream.Next() {
		if !sum.AddChunk(stream.Current()) {
			t.Errorf("the accumulator refuses %s", stream.Current().RawJSON())
		}
	}
	if err := errors.Join(stream.Err(), stream.Close()); err != nil {
		t.Fatal(err)
	}
	if sum.Choices[0].Message.Content != whole.Choices[0].Message.Content || sum.Usage.CompletionTokens != 12 {
		t.Errorf("streamed %q (%+v), whole %q", sum.Choices[0].Message.Content, sum.Usage, whole.Choices[0].Message.Content)
	}

	vector, err := client.Embeddings.New(t.Context(), openai.EmbeddingNewParams{
		Model: "sim-embed", Dimensions: openai.Int(16), Input: openai.EmbeddingNewParamsInputUnion{OfArrayOfStrings: []string{"a", "b"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(vector.Data) != 2 || len(vector.Data[1].Embedding) != 16 {
		t.Errorf("embeddings: %s", vector.RawJSON())
	}

	old, err := client.Completions.New(t.Context(), openai.CompletionNewParams{Model: "sim-small", Prompt: openai.CompletionNewParamsPromptUnion{OfString: openai.String("Once")}})
	if err != nil || old.Choices[0].Text == "" {
		t.Errorf("completion: %v %+v", err, old)
	}

	var names []string
	models := client.Models.ListAutoPaging(t.Context())
	for models.Next() {
		names = append(names, models.Current().ID)
	}
	if models.Err() != nil || strings.Join(names, " ") != "sim-large sim-small sim-embed" {
		t.Errorf("models: %v %v", names, models.Err())
	}
	if one, err := client.Models.Get(t.Context(), "sim-small"); err != nil || one.ID != "sim-small" {
		t.Errorf("one model: %v %v", one, err)
	}
}

func TestOfficialClientCallsTools(t *testing.T) {
	client := official(t, start(t, nil))
	params := question("sim-large")
	params.MaxCompletionTokens = openai.Int(200)
	params.Tools = []openai.ChatCompletionToolUnionParam{openai.ChatCompletionFunctionTool(openai.FunctionDefinitionParam{
		Name: "distance",
		Parameters: openai.FunctionParameters{
			"type": "object", "required": []string{"unit"},
			"properties": map[string]any{"unit": map[string]any{"type": "string", "enum": []string{"km"}}},
		},
	})}
	params.ToolChoice = openai.ChatCompletionToolChoiceOptionUnionParam{OfAuto: openai.String("required")}
	stream := client.Chat.Completions.NewStreaming(t.Context(), params)
	var sum openai.ChatCompletionAccumulator
	finished := 0
	for stream.Next() {
		sum.AddChunk(stream.Current())
		if call, ok := sum.JustFinishedToolCall(); ok {
			finished++
			if call.Name != "distance" || call.Arguments != `{"unit":"km"}` {
				t.Errorf("call %+v", call)
			}
		}
	}
	if err := errors.Join(stream.Err(), stream.Close()); err != nil {
		t.Fatal(err)
	}
	if finished != 1 || sum.Choices[0].FinishReason != "tool_calls" {
		t.Errorf("%d calls finished, finish reason %q", finished, sum.Choices[0].FinishReason)
	}
}

func TestOfficialClientUnderstandsErrors(t *testing.T) {
	server := start(t, func(c *modelsim.Config) { c.APIKeys = []string{"sk-test"} })
	fault := func(text string) option.RequestOption { return option.WithHeader(modelsim.HeaderFault, text) }
	tests := []struct {
		name       string
		model      string
		options    []option.RequestOption
		wantStatus int
		wantCode   string
	}{
		{"a wrong key", "sim-large", []option.RequestOption{option.WithAPIKey("sk-wrong")}, 401, "invalid_api_key"},
		{"an unknown model", "gpt-9", nil, 404, "model_not_found"},
		{"a rate limit", "sim-large", []option.RequestOption{fault("rate-limit")}, 429, "rate_limit_exceeded"},
		{"a spent quota", "sim-large", []option.RequestOption{fault("quota")}, 429, "insufficient_quota"},
		{"a broken server", "sim-large", []option.RequestOption{fault("503")}, 503, ""},
		{"a context too long", "sim-large", []option.RequestOption{fault("context-length")}, 400, "context_length_exceeded"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			client := official(t, server, tt.options...)
			_, err := client.Chat.Completions.New(t.Context(), question(tt.model))
			var failure *openai.Error
			if !errors.As(err, &failure) || failure.StatusCode != tt.wantStatus || failure.Code != tt.wantCode || failure.Message == "" {
				t.Errorf("error %v, want %d %s", err, tt.wantStatus, tt.wantCode)
			}
		})
	}
}

func TestOfficialClientSeesAnErrorInAStream(t *testing.T) {
	client := official(t, start(t, nil), option.WithHeader(modelsim.HeaderFault, "error-frame;after=2"))
	stream := client.Chat.Completions.NewStreaming(t.Context(), question("sim-large"))
	chunks := 0
	for stream.Next() {
		chunks++
	}
	if err := errors.Join(stream.Err(), stream.Close()); err == nil || !strings.Contains(err.Error(), "had an error") || chunks != 3 {
		t.Errorf("%d chunks, then %v", chunks, err)
	}
}

func TestOfficialClientRetriesAfterARateLimit(t *testing.T) {
	server := start(t, nil)
	if _, err := server.Sim.AddRule(modelsim.Rule{Sequence: []string{"rate-limit;wait=1ms", "500"}}); err != nil {
		t.Fatal(err)
	}
	client := official(t, server, option.WithMaxRetries(2))
	if _, err := client.Chat.Completions.New(t.Context(), question("sim-large")); err != nil {
		t.Error(err)
	}
	if requests := server.Sim.State().Requests; requests != 3 {
		t.Errorf("%d requests, want 3", requests)
	}
}
