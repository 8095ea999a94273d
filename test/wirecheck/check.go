// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// checker calls a server and counts what it answers.
type checker struct {
	target, key               string
	chatModel, embeddingModel string
	verbose                   bool
	schemas                   map[string]*jsonschema.Schema

	answers, frames, errors, broken int
	mistakes                        []string
}

// check is one request and what its answer has to be.
type check struct {
	name, method, path, body string
	fault                    string
	key                      string // instead of the checker's
	// schema of a whole answer and of a frame; status other than 200 wants an error.
	schema, frame string
	status        int
	// broken says that the fault breaks the answer: whatever is left of it is held against the schemas, and that
	// something is wrong with it is required.
	broken bool
}

const (
	chatPath       = "/v1/chat/completions"
	completionPath = "/v1/completions"
	embeddingPath  = "/v1/embeddings"
)

// checkAll runs all checks; faults only against a simulator.
func (c *checker) checkAll(ctx context.Context, faults bool) {
	checks := c.answersAndErrors()
	if faults {
		checks = append(checks, c.faults()...)
	}
	client := &http.Client{
		Timeout: 30 * time.Second,
		// A connection each: some faults spoil the connection for the next request, which is not its mistake.
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	for _, check := range checks {
		before := len(c.mistakes)
		c.run(ctx, client, check)
		if c.verbose {
			fmt.Printf("%-5v %s %s %s\n", len(c.mistakes) == before, check.path, check.name, check.fault)
		}
	}
}

// chat writes a chat request with more fields.
func (c *checker) chat(fields string) string {
	return fmt.Sprintf(`{"model":%q,"messages":[{"role":"system","content":"Answer in JSON."},{"role":"user","content":"How far is the moon?"}],"max_completion_tokens":40,%s}`, c.chatModel, fields)
}

// variants are the fields that change the shape of an answer.
var variants = map[string]string{
	"plain":           `"temperature":1`,
	"short":           `"seed":1,"stop":["zzz"]`,
	"several choices": `"n":3`,
	"logprobs":        `"logprobs":true,"top_logprobs":3`,
	"reasoning":       `"reasoning_effort":"low"`,
	"only reasoning":  `"reasoning_effort":"high"`,
	"JSON mode":       `"response_format":{"type":"json_object"}`,
	"JSON schema":     `"response_format":{"type":"json_schema","json_schema":{"name":"x","schema":{"type":"object","properties":{"a":{"type":"string"}},"required":["a"]}}}`,
	"required tool":   `"tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object","properties":{"a":{"type":"integer"}}}}}],"tool_choice":"required"`,
	"named tool":      `"tools":[{"type":"function","function":{"name":"f"}}],"tool_choice":{"type":"function","function":{"name":"f"}}`,
	"metadata":        `"metadata":{"a":"b"},"user":"someone"`,
}

func (c *checker) answersAndErrors() []check {
	var out []check
	for name, fields := range variants {
		out = append(out,
			check{name: name, path: chatPath, body: c.chat(fields), schema: chatSchema, status: 200},
			check{name: name + ", streamed", path: chatPath, body: c.chat(fields + `,"stream":true,"stream_options":{"include_usage":true}`), frame: chatFrameSchema, status: 200},
			check{name: name + ", streamed without usage", path: chatPath, body: c.chat(fields + `,"stream":true`), frame: chatFrameSchema, status: 200})
	}
	for name, fields := range map[string]string{"plain": `"max_tokens":9`, "logprobs": `"logprobs":2`, "several choices": `"n":2`} {
		body := fmt.Sprintf(`{"model":%q,"prompt":"Once upon",%s`, c.chatModel, fields)
		out = append(out,
			check{name: name, path: completionPath, body: body + "}", schema: completionSchema, status: 200},
			check{name: name + ", streamed", path: completionPath, body: body + `,"stream":true,"stream_options":{"include_usage":true}}`, frame: completionFrameSchema, status: 200})
	}
	for name, input := range map[string]string{"text": `"a"`, "texts": `["a","b"]`, "tokens": `[1,2]`, "lists of tokens": `[[1,2],[3]]`} {
		body := fmt.Sprintf(`{"model":%q,"input":%s,"dimensions":32`, c.embeddingModel, input)
		out = append(out,
			check{name: name, path: embeddingPath, body: body + "}", schema: embeddingSchema, status: 200},
			check{name: name + ", encoded", path: embeddingPath, body: body + `,"encoding_format":"base64"}`, schema: encodedEmbeddingSchema, status: 200})
	}
	return append(out,
		check{name: "list", method: http.MethodGet, path: "/v1/models", schema: modelsSchema, status: 200},
		check{name: "one", method: http.MethodGet, path: "/v1/models/" + c.chatModel, schema: modelSchema, status: 200},
		check{name: "unknown model", path: chatPath, body: strings.Replace(c.chat(`"n":1`), c.chatModel, "no-such-model", 1), status: 404},
		check{name: "unknown model", method: http.MethodGet, path: "/v1/models/no-such-model", status: 404},
		check{name: "unknown URL", path: "/v1/no/such/thing", body: "{}", status: 404},
		check{name: "wrong method", method: http.MethodGet, path: chatPath, status: 405},
		check{name: "wrong key", path: chatPath, body: c.chat(`"n":1`), key: "sk-wrong", status: 401},
		check{name: "no key", path: chatPath, body: c.chat(`"n":1`), key: "-", status: 401},
		check{name: "no JSON", path: chatPath, body: `{"model"`, status: 400},
		check{name: "no model", path: chatPath, body: `{}`, status: 400},
		check{name: "no messages", path: chatPath, body: fmt.Sprintf(`{"model":%q}`, c.chatModel), status: 400},
		check{name: "unknown parameter", path: chatPath, body: c.chat(`"no_such":1`), status: 400},
		check{name: "number out of range", path: chatPath, body: c.chat(`"temperature":9`), status: 400},
		check{name: "wrong type", path: chatPath, body: c.chat(`"stream":"yes"`), status: 400},
		check{name: "no input", path: embeddingPath, body: fmt.Sprintf(`{"model":%q}`, c.embeddingModel), status: 400})
}

// faults are the scripted ones. Those with a status answer with an error in OpenAI's shape.
func (c *checker) faults() []check {
	var out []check
	whole, stream := c.chat(`"n":1`), c.chat(`"n":1,"stream":true,"stream_options":{"include_usage":true}`)
	for fault, status := range map[string]int{
		"unauthorized": 401, "payment-required": 402, "quota": 429, "credit-balance": 400, "flagged": 403, "region": 403, "model-forbidden": 403,
		"model-not-found": 404, "context-length": 400, "content-filter": 400, "unsupported-param": 400, "rate-limit": 429, "rate-limit;form=none": 429,
		"400": 400, "404": 404, "408": 408, "409": 409, "413": 413, "422": 422, "429": 429, "451": 451, "500": 500, "501": 501, "502": 502, "503": 503, "529": 529,
	} {
		out = append(out, check{name: "error", path: chatPath, body: stream, fault: fault, status: status},
			check{name: "error", path: embeddingPath, body: fmt.Sprintf(`{"model":%q,"input":"x"}`, c.embeddingModel), fault: fault, status: status})
	}
	for _, fault := range []string{"pings;pause=1ms", "stall;wait=1ms", "hang;wait=1ms", "hang-body;wait=1ms", "reset-after"} {
		out = append(out, check{name: "delayed", path: chatPath, body: stream, fault: fault, frame: chatFrameSchema, status: 200},
			check{name: "delayed", path: chatPath, body: whole, fault: fault, schema: chatSchema, status: 200})
	}
	for _, fault := range []string{
		"reset", "close", "cut", "cut;after=3", "cut;after=3;how=rst", "cut;after=3;how=clean", "error-frame", "error-frame;after=3",
		"garbage;after=3", "empty-stream", "empty-stream;role=true", "html", "empty", "error-in-200", "204", "redirect", "502;body=html",
	} {
		out = append(out, check{name: "broken stream", path: chatPath, body: stream, fault: fault, frame: chatFrameSchema, status: 200, broken: true},
			check{name: "broken JSON", path: chatPath, body: whole, fault: fault, schema: chatSchema, status: 200, broken: true})
	}
	return out
}

// run makes one check.
func (c *checker) run(ctx context.Context, client *http.Client, check check) {
	status, contentType, body, err := c.call(ctx, client, check)
	if check.broken {
		c.runBroken(check, status, body, err)
		return
	}
	fail := func(format string, args ...any) {
		c.mistakes = append(c.mistakes, fmt.Sprintf("%s %s %s: ", check.path, check.name, check.fault)+fmt.Sprintf(format, args...))
	}
	switch {
	case err != nil:
		fail("%v", err)
	case status != check.status:
		fail("status %d, want %d: %s", status, check.status, body)
	case status != 200:
		if err := c.validate(errorSchema, body); err != nil {
			fail("%v in %s", err, body)
			return
		}
		c.errors++
	case check.frame != "":
		if !strings.HasPrefix(contentType, "text/event-stream") {
			fail("a stream of type %s", contentType)
			return
		}
		frames, failure := c.stream(check.frame, body)
		if failure != nil {
			fail("%v", failure)
			return
		}
		c.answers++
		c.frames += frames
	default:
		if err := c.validate(check.schema, body); err != nil {
			fail("%v in %s", err, body)
			return
		}
		c.answers++
	}
}

// stream holds each frame against its schema and wants the end of a stream at its end, and nowhere else.
func (c *checker) stream(schema string, body []byte) (frames int, err error) {
	done := false
	for frame := range bytes.SplitSeq(bytes.TrimSuffix(body, []byte("\n\n")), []byte("\n\n")) {
		data, ok := bytes.CutPrefix(frame, []byte("data: "))
		switch {
		case bytes.HasPrefix(frame, []byte(":")):
			continue
		case !ok || done || bytes.ContainsAny(data, "\r\n"):
			return frames, fmt.Errorf("%q is no frame, or behind the end", frame)
		case string(data) == "[DONE]":
			done = true
		default:
			if err := c.validate(schema, data); err != nil {
				return frames, fmt.Errorf("%w in %s", err, data)
			}
			frames++
		}
	}
	if !done {
		return frames, fmt.Errorf("no [DONE] after %d frames", frames)
	}
	return frames, nil
}

// runBroken wants that an answer that was to be broken is not a good one, and that the good part of a stream,
// and the error in it, are still as described.
func (c *checker) runBroken(check check, status int, body []byte, err error) {
	good := false
	if err == nil && status == 200 {
		if check.frame != "" {
			_, failure := c.stream(check.frame, body)
			good = failure == nil
		} else {
			good = c.validate(check.schema, body) == nil
		}
	}
	if good {
		c.mistakes = append(c.mistakes, fmt.Sprintf("%s %s %s: the answer is not broken", check.path, check.name, check.fault))
		return
	}
	c.broken++
	for frame := range bytes.SplitSeq(body, []byte("\n\n")) {
		data, ok := bytes.CutPrefix(frame, []byte("data: {"))
		if !ok || !bytes.HasSuffix(data, []byte("}")) {
			continue
		}
		data = append([]byte("{"), data...)
		schema := check.frame
		if bytes.HasPrefix(data, []byte(`{"error"`)) {
			schema = errorSchema
		}
		if err := c.validate(schema, data); err != nil {
			c.mistakes = append(c.mistakes, fmt.Sprintf("%s %s: %v in %s", check.path, check.fault, err, data))
			return
		}
		c.frames++
	}
}

// call sends the request of a check.
func (c *checker) call(ctx context.Context, client *http.Client, check check) (status int, contentType string, body []byte, err error) {
	method := check.method
	if method == "" {
		method = http.MethodPost
	}
	request, err := http.NewRequestWithContext(ctx, method, c.target+check.path, strings.NewReader(check.body))
	if err != nil {
		return 0, "", nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	switch check.key {
	case "":
		request.Header.Set("Authorization", "Bearer "+c.key)
	case "-":
	default:
		request.Header.Set("Authorization", "Bearer "+check.key)
	}
	if check.fault != "" {
		request.Header.Set("X-Modelsim-Fault", check.fault)
	}
	response, err := client.Do(request)
	if err != nil {
		return 0, "", nil, err
	}
	defer func() { _ = response.Body.Close() }()
	body, err = io.ReadAll(response.Body)
	return response.StatusCode, response.Header.Get("Content-Type"), body, err
}
