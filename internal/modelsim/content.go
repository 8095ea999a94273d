// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package modelsim

import (
	"math/rand/v2"
	"strings"
	"unicode/utf8"
)

// vocabulary is what the model can say. Every piece counts as one token.
var vocabulary = strings.Fields(`about above across after again air all along also always among an and answer any are around as ask
at away back because been before began being below between big both boy build but by call came can carry change children city close
come could country course cut day did different do does down draw each earth eat end enough even every example eye face family far
father feet few find first follow food for form found four friend from front gave get girl give go good great group grow had half
hand hard has have head hear help here high home hour house how idea if important in increase into is it its just keep kind know
land large last late learn leave left letter life light like line list listen little live long look low made make man many may mean
might mile miss moon more most mother mountain move much must name near need never new next night no north not now number of off
often oil old on once one only open or order other our out over own page paper part people perhaps picture place plain plant point
quick quite rain ran reach read real red rest right river road rock room round run same saw say school sea second see seem sentence
set several ship short should show side simple sit slow small snow so some song soon sound south stand star start stay step still
stop story study such sun sure table take talk tell ten than that the their them then there these they thing think this those though
three through time to together told too took top toward town track train travel tree true try turn two under until up upon us use
usual very voice walk want warm watch water way we week well went were west what when where which while white who why will wind with
wood word work world would write year yes yet you young your`)

// spaced and capital are the vocabulary as it stands within a sentence and at its beginning.
var spaced, capital = func() (spaced, capital []string) {
	for _, word := range vocabulary {
		spaced = append(spaced, " "+word)
		capital = append(capital, " "+strings.ToUpper(word[:1])+word[1:])
	}
	return spaced, capital
}()

// prose returns an endless-looking text of so many tokens; equal seeds give equal text.
func prose(random *rand.Rand, tokens int) []string {
	pieces := make([]string, 0, tokens)
	left := 0 // words until the sentence ends
	for i := range tokens {
		if left == 0 && i > 0 && pieces[i-1] != "." {
			pieces = append(pieces, ".")
			continue
		}
		words := spaced
		if left == 0 {
			left, words = 6+random.IntN(8), capital
		}
		left--
		word := words[random.IntN(len(words))]
		if i == 0 {
			word = word[1:] // a text does not begin with a space
		}
		pieces = append(pieces, word)
	}
	return pieces
}

// cutText splits a text into tokens of about four bytes that never cut a character.
func cutText(text string) []string {
	var pieces []string
	for len(text) > 0 {
		end := min(bytesPerToken, len(text))
		for end < len(text) && !utf8.RuneStart(text[end]) {
			end++
		}
		pieces = append(pieces, text[:end])
		text = text[end:]
	}
	return pieces
}

// outcome is what the model says in one choice.
type outcome struct {
	thoughts []string // tokens of reasoning that can be read
	tokens   []string // of the text, of the refusal, or of the arguments of the call
	call     *function
	callID   string
	refusal  bool
	finish   string
}

// generated is the whole answer of the model, before it is written down as JSON or as a stream.
type generated struct {
	choices   []outcome
	reasoning int // per choice
	rounds    int // tokens of the longest choice, without reasoning
	// screened adds what Azure's content filter has to say.
	screened bool
}

// generate lets the model think. It is a pure function of the request, the wished length and the configured seed.
func generate(g *generation, length int) *generated {
	answer := &generated{reasoning: g.reasoning, choices: make([]outcome, g.n)}
	budget := g.maxTokens
	// Choices share nothing: each reasons for itself and has the whole budget.
	if budget > 0 {
		// Reasoning is paid from the same purse: a model can spend all of it and say nothing.
		answer.reasoning = min(answer.reasoning, budget)
		budget -= answer.reasoning
	}
	for i := range answer.choices {
		// Seeded by the request, so that a retry elsewhere gives the same text, and by the index, so that choices differ.
		random := rand.New(rand.NewPCG(g.digest, uint64(i)))
		answer.choices[i] = g.say(random, length)
		if tokens := answer.choices[i].tokens; g.maxTokens > 0 && len(tokens) > budget {
			answer.choices[i].tokens, answer.choices[i].finish = tokens[:budget], finishLength
		}
		if g.aloud != "" {
			// Out of a purse of its own, so that the text behind it is the one without reasoning.
			answer.choices[i].thoughts = prose(rand.New(rand.NewPCG(g.digest, ^uint64(i))), answer.reasoning)
		}
		answer.rounds = max(answer.rounds, len(answer.choices[i].tokens))
	}
	return answer
}

// The reasons to finish.
const (
	finishStop      = "stop"
	finishLength    = "length"
	finishToolCalls = "tool_calls"
	finishFiltered  = "content_filter"
)

// apology is what a model says that refuses.
const apology = "I can't help with that."

// say produces one choice, not yet bounded by max_tokens.
func (g *generation) say(random *rand.Rand, length int) outcome {
	switch {
	case g.tool != nil:
		// A named function finishes with "stop", a required one with "tool_calls": that is how OpenAI answers.
		finish := finishToolCalls
		if g.toolNamed {
			finish = finishStop
		}
		return outcome{tokens: cutText(instance(random, g.tool.Parameters)), call: g.tool, callID: "call_" + letters(random, 24), finish: finish}
	case g.refuses:
		return outcome{tokens: cutText(apology), refusal: true, finish: finishStop}
	case g.object:
		return outcome{tokens: cutText(instance(random, g.schema)), finish: finishStop}
	default:
		return outcome{tokens: stopAt(prose(random, length), g.stop), finish: finishStop}
	}
}

// stopAt ends a text before the first stop sequence.
func stopAt(tokens, stop []string) []string {
	if len(stop) == 0 {
		return tokens
	}
	text := strings.Join(tokens, "")
	end := len(text)
	for _, sequence := range stop {
		if at := strings.Index(text, sequence); sequence != "" && at >= 0 {
			end = min(end, at)
		}
	}
	for i, token := range tokens {
		if len(token) >= end {
			if end > 0 {
				return append(tokens[:i:i], token[:end])
			}
			return tokens[:i]
		}
		end -= len(token)
	}
	return tokens
}

const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

// letters returns a name as OpenAI's ids have it.
func letters(random *rand.Rand, length int) string {
	name := make([]byte, length)
	for i := range name {
		name[i] = alphabet[random.IntN(len(alphabet))]
	}
	return string(name)
}
