// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package modelsim

import "encoding/json"

// What a fault may have the model say.
const (
	sayReasoning = "reasoning"
	sayToolCall  = "tool-call"
	sayRefusal   = "refusal"
	sayFiltered  = "filtered"
	sayNothing   = "nothing"
)

// The fields in which providers show the reasoning of a model.
const (
	fieldReasoningContent = "reasoning_content" // DeepSeek, and who speaks like it
	fieldReasoning        = "reasoning"         // OpenRouter, and newer vLLM
)

// Reasoning that the fault does not count.
const (
	someThoughts = 4
	manyThoughts = 64 // of a model that thinks until it may say nothing any more
)

// What Azure's content filter says: of a prompt it lets pass, and of an answer that it ends.
const (
	promptFilterResults = `[{"prompt_index":0,"content_filter_results":{"hate":{"filtered":false,"severity":"safe"},"jailbreak":{"detected":false,"filtered":false},"self_harm":{"filtered":false,"severity":"safe"},"sexual":{"filtered":false,"severity":"safe"},"violence":{"filtered":false,"severity":"safe"}}}]`
	filterResults       = `{"hate":{"filtered":false,"severity":"safe"},"self_harm":{"filtered":false,"severity":"safe"},"sexual":{"filtered":false,"severity":"safe"},"violence":{"filtered":true,"severity":"medium"}}`
)

// weather is the function that a model calls that was given none. Its arguments are short, so that few tokens
// are enough for them.
var weather = function{Name: "get_weather", Parameters: json.RawMessage(`{"type":"object","properties":{"city":{"type":"string","enum":["Oslo","Rome"]}}}`)}

// saying is what the fault has the model say; empty leaves it to the model.
func (f *Fault) saying() string {
	switch {
	case f == nil:
		return ""
	case f.kind.says != "":
		return f.kind.says
	default:
		return f.says
	}
}

// sayable says whether the answers of an endpoint can say that.
func sayable(path, says string) bool {
	switch path {
	case pathChat:
		return true
	case pathCompletions:
		return says == sayFiltered || says == sayNothing
	default:
		return false
	}
}

// direct has the model say what the fault wants. It comes before the model thinks, so that max_tokens bounds all
// of it.
func (f *Fault) direct(g *generation) {
	switch f.saying() {
	case sayReasoning:
		g.aloud, g.reasoning = f.field, f.count
	case sayToolCall:
		if g.tool == nil {
			g.tool = &weather
			if len(g.offered) > 0 {
				g.tool = &g.offered[0]
			}
		}
		g.toolNamed = false
	case sayRefusal:
		g.tool, g.refuses = nil, true
	case sayNothing:
		if f.finish == finishLength {
			g.reasoning = g.maxTokens
			if g.reasoning == 0 {
				g.reasoning = manyThoughts
			}
		}
	}
}

// shorten ends what the model says before its end.
func (f *Fault) shorten(answer *generated) {
	least, finish := 0, ""
	switch f.saying() {
	case sayFiltered:
		least, finish = f.after, finishFiltered
		answer.screened = f.shape == shapeAzure
	case sayNothing:
		finish = f.finish
	default:
		return
	}
	for i := range answer.choices {
		choice := &answer.choices[i]
		choice.tokens, choice.finish = choice.tokens[:min(least, len(choice.tokens))], finish
		choice.call = nil // half a call would be another fault
	}
	answer.rounds = min(answer.rounds, least)
}
