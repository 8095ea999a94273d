// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package modelsim

import (
	"bytes"
	"encoding/json"
	"unicode/utf8"

	"github.com/turnout-ai/turnout/internal/modelsim/ledger"
)

// appendString appends s as a JSON string. Nearly all of what the model says is plain ASCII; the rest goes
// through encoding/json, without its escapes for HTML, which OpenAI does not write either.
func appendString(out []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			return append(out, bytes.TrimSuffix(marshal(s, ""), []byte{'\n'})...)
		}
	}
	out = append(out, '"')
	out = append(out, s...)
	return append(out, '"')
}

// marshal encodes an answer. The values are our own types, which always encode.
func marshal(value any, indent string) []byte {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", indent)
	if err := encoder.Encode(value); err != nil {
		return []byte("null\n")
	}
	return out.Bytes()
}

// usage is the usage object of chat and text completions.
type usage struct {
	PromptTokens     int            `json:"prompt_tokens"`
	CompletionTokens int            `json:"completion_tokens"`
	TotalTokens      int            `json:"total_tokens"`
	PromptDetails    promptDetails  `json:"prompt_tokens_details"`
	CompletionDetail completeDetail `json:"completion_tokens_details"`
}

type promptDetails struct {
	CachedTokens int `json:"cached_tokens"`
	AudioTokens  int `json:"audio_tokens"`
}

type completeDetail struct {
	ReasoningTokens          int `json:"reasoning_tokens"`
	AudioTokens              int `json:"audio_tokens"`
	AcceptedPredictionTokens int `json:"accepted_prediction_tokens"`
	RejectedPredictionTokens int `json:"rejected_prediction_tokens"`
}

func usageOf(t ledger.Tokens) *usage {
	return &usage{
		PromptTokens: t.Prompt, CompletionTokens: t.Completion, TotalTokens: t.Prompt + t.Completion,
		PromptDetails:    promptDetails{CachedTokens: t.Cached},
		CompletionDetail: completeDetail{ReasoningTokens: t.Reasoning},
	}
}

// alternative is one of the tokens the model might have said.
type alternative struct {
	Token   string  `json:"token"`
	Logprob float64 `json:"logprob"`
	Bytes   []int   `json:"bytes"`
}

// tokenLogprob is one entry of logprobs.content.
type tokenLogprob struct {
	alternative
	TopLogprobs []alternative `json:"top_logprobs"`
}

// chatLogprobs is logprobs of a chat choice; one of the two is null.
type chatLogprobs struct {
	Content []tokenLogprob `json:"content"`
	Refusal []tokenLogprob `json:"refusal"`
}

// logprobsOf invents probabilities: the model is nearly sure of what it said, less of each alternative.
func logprobsOf(tokens []string, top int, refusal bool) *chatLogprobs {
	list := make([]tokenLogprob, len(tokens))
	for i, token := range tokens {
		entry := tokenLogprob{alternative: spell(token, 0), TopLogprobs: []alternative{}}
		for rank := range top {
			other := token
			if rank > 0 {
				other = " " + vocabulary[(len(token)*31+rank)%len(vocabulary)]
			}
			entry.TopLogprobs = append(entry.TopLogprobs, spell(other, rank))
		}
		list[i] = entry
	}
	if refusal {
		return &chatLogprobs{Refusal: list}
	}
	return &chatLogprobs{Content: list}
}

func spell(token string, rank int) alternative {
	spelled := alternative{Token: token, Logprob: -0.015625 - 2*float64(rank), Bytes: make([]int, len(token))}
	for i := range len(token) {
		spelled.Bytes[i] = int(token[i])
	}
	return spelled
}
