// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package modelsim_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/turnout-ai/turnout/internal/modelsim"
	"github.com/turnout-ai/turnout/internal/modelsim/ledger"
)

const (
	chatPath       = "/v1/chat/completions"
	completionPath = "/v1/completions"
	embeddingPath  = "/v1/embeddings"
	modelsPath     = "/v1/models"
)

const (
	chatBody   = `{"model":"sim-large","messages":[{"role":"user","content":"Tell me a story."}],"max_tokens":6}`
	streamBody = `{"model":"sim-large","messages":[{"role":"user","content":"Tell me a story."}],"max_tokens":6,"stream":true,"stream_options":{"include_usage":true}}`
)

// start serves a simulator on a socket of its own; change may alter the default configuration.
func start(t *testing.T, change func(*modelsim.Config)) *modelsim.Server {
	t.Helper()
	config := modelsim.DefaultConfig()
	if change != nil {
		change(&config)
	}
	server, err := modelsim.Start(t.Context(), config, "127.0.0.1:0", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	return server
}

// startWithLedger is start with a ledger, whose path it returns.
func startWithLedger(t *testing.T, change func(*modelsim.Config)) (*modelsim.Server, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ledger.jsonl")
	writer, err := ledger.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = writer.Close() })
	return start(t, func(c *modelsim.Config) {
		c.Ledger = writer
		if change != nil {
			change(c)
		}
	}), path
}

// newClient is a client that hides nothing: no decompression, no redirects, connections of its own.
func newClient(t *testing.T) *http.Client {
	t.Helper()
	transport := &http.Transport{DisableCompression: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// answer is what a client got: an answer, or as much of it as came before an error.
type answer struct {
	status int
	header http.Header
	body   string
	err    error
}

// call sends one request; headers are pairs of name and value.
func call(t *testing.T, client *http.Client, method, url, body string, headers ...string) answer {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	response, err := client.Do(request)
	if err != nil {
		return answer{err: err}
	}
	defer func() { _ = response.Body.Close() }()
	data, err := io.ReadAll(response.Body)
	return answer{status: response.StatusCode, header: response.Header, body: string(data), err: err}
}

// post is call with a client of its own.
func post(t *testing.T, server *modelsim.Server, path, body string, headers ...string) answer {
	t.Helper()
	return call(t, newClient(t), http.MethodPost, server.URL()+path, body, headers...)
}

// failure is an error in OpenAI's shape.
type failure struct {
	Message string
	Type    string
	Param   *string
	Code    *string
}

func (a answer) failure(t *testing.T) failure {
	t.Helper()
	var out struct{ Error failure }
	decode(t, a.body, &out)
	return out.Error
}

func decode(t *testing.T, text string, out any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), out); err != nil {
		t.Fatalf("%v in %q", err, text)
	}
}

// chunk is a frame of a chat stream or of a completion stream.
type chunk struct {
	ID      string
	Object  string
	Choices []struct {
		Index int
		Text  string
		Delta struct {
			Role      string
			Content   *string
			ToolCalls []struct {
				ID       string
				Function struct{ Name, Arguments string }
			} `json:"tool_calls"`
		}
		FinishReason *string `json:"finish_reason"`
	}
	Usage *struct {
		PromptTokens     int `json:"prompt_tokens"`
		CompletionTokens int `json:"completion_tokens"`
	}
	Error *failure
}

// frames splits an event stream into the data of its frames; comments are kept with their colon.
func frames(body string) []string {
	var out []string
	for frame := range strings.SplitSeq(body, "\n\n") {
		if data, ok := strings.CutPrefix(frame, "data: "); ok {
			frame = data
		}
		if frame != "" {
			out = append(out, frame)
		}
	}
	return out
}

// contents joins the content of all frames that are JSON, per choice, and says how many had any.
func contents(t *testing.T, body string) (text map[int]string, count int) {
	t.Helper()
	text = map[int]string{}
	for _, frame := range frames(body) {
		var c chunk
		if json.Unmarshal([]byte(frame), &c) != nil {
			continue
		}
		for _, choice := range c.Choices {
			said := choice.Text
			if choice.Delta.Content != nil {
				said = *choice.Delta.Content
			}
			text[choice.Index] += said
			if said != "" {
				count++
			}
		}
	}
	return text, count
}

// readLedger reads the books.
func readLedger(t *testing.T, path string) *ledger.Books {
	t.Helper()
	books, err := ledger.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	return books
}

// compact removes the blanks of JSON.
func compact(t *testing.T, text string) string {
	t.Helper()
	var out bytes.Buffer
	if err := json.Compact(&out, []byte(text)); err != nil {
		t.Fatal(err)
	}
	return out.String()
}
