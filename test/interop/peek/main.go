// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

// Command peek writes request bodies and what Peek says of them, one JSON object a line, for parsers in
// other languages to be compared with.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"

	"github.com/turnout-ai/turnout/internal/wire"
	"github.com/turnout-ai/turnout/test/interop/peekcorpus"
)

// line is one body. Body is base64: it need not be text.
type line struct {
	Body    []byte `json:"body"`
	Refused string `json:"refused,omitempty"`
	View    *view  `json:"view,omitempty"`
}

// view is what every reader of an accepted body must see.
type view struct {
	Model              string  `json:"model"`
	Stream             bool    `json:"stream"`
	IncludeUsage       bool    `json:"include_usage"`
	MaxTokens          int64   `json:"max_tokens"`
	N                  int64   `json:"n"`
	Tools              bool    `json:"tools"`
	HostedTools        bool    `json:"hosted_tools"`
	ToolChoice         bool    `json:"tool_choice"`
	ResponseFormat     int     `json:"response_format"`
	Logprobs           bool    `json:"logprobs"`
	Reasoning          bool    `json:"reasoning"`
	AudioOut           bool    `json:"audio_out"`
	Content            int     `json:"content"`
	ServiceTier        *string `json:"service_tier"`
	Store              bool    `json:"store"`
	Background         bool    `json:"background"`
	PreviousResponseID *string `json:"previous_response_id"`
	Conversation       bool    `json:"conversation"`
	Pinned             bool    `json:"pinned"`
	User               *string `json:"user"`
	PromptCacheKey     *string `json:"prompt_cache_key"`
	MetadataUserID     *string `json:"metadata_user_id"`
	Input              int     `json:"input"`
}

func main() {
	seed := flag.Uint64("seed", 1, "what the bodies are made from")
	n := flag.Int("n", 20000, "how many bodies to make, beside the fixed ones")
	flag.Parse()
	if err := write(*seed, *n); err != nil {
		fmt.Fprintln(os.Stderr, "peek:", err)
		os.Exit(1)
	}
}

func write(seed uint64, n int) error {
	out := bufio.NewWriter(os.Stdout)
	enc := json.NewEncoder(out)
	var f wire.Facts
	for body := range peekcorpus.Bodies(seed, n) {
		l := line{Body: body}
		if err := wire.Peek(body, &f); err == nil {
			l.View = viewOf(&f)
		} else if refusal, ok := errors.AsType[*wire.PeekError](err); ok {
			l.Refused = refusal.Message
		} else {
			return err
		}
		if err := enc.Encode(l); err != nil {
			return err
		}
	}
	return out.Flush()
}

func viewOf(f *wire.Facts) *view {
	return &view{
		Model: string(f.Model), Stream: f.Stream, IncludeUsage: f.IncludeUsage, MaxTokens: f.MaxTokens, N: f.N,
		Tools: f.Tools, HostedTools: f.HostedTools, ToolChoice: f.ToolChoice, ResponseFormat: int(f.ResponseFormat),
		Logprobs: f.Logprobs, Reasoning: f.Reasoning, AudioOut: f.AudioOut, Content: int(f.Content),
		ServiceTier: text(f.ServiceTier), Store: f.Store, Background: f.Background,
		PreviousResponseID: text(f.PreviousResponseID), Conversation: f.Conversation, Pinned: f.Pinned, User: text(f.User), PromptCacheKey: text(f.PromptCacheKey),
		MetadataUserID: text(f.MetadataUserID), Input: int(f.Input),
	}
}

func text(b []byte) *string {
	if b == nil {
		return nil
	}
	return new(string(b))
}
