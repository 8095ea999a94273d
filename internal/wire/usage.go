// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package wire

// Usage is what an answer cost, in tokens; zero where the provider does not say. Input includes CachedInput,
// Output includes Reasoning.
type Usage struct {
	Input, Output, CachedInput, Reasoning int64
}

// Raise takes what a later frame of the same answer says. The counts of a stream are those of the answer so
// far, and not every frame repeats all of them, so the larger of two is what holds.
func (u *Usage) Raise(later Usage) {
	u.Input = max(u.Input, later.Input)
	u.Output = max(u.Output, later.Output)
	u.CachedInput = max(u.CachedInput, later.CachedInput)
	u.Reasoning = max(u.Reasoning, later.Reasoning)
}

// counts are the numbers of a usage object, by what their names mean in any of the formats.
type counts struct {
	input, output, cached, reasoning int64
	// cacheWritten and tools are parts of the input that Anthropic and Gemini count beside the rest of it.
	cacheWritten, tools int64
}

// usage reads the usage object that was found on the way; zero when there was none.
func (f Format) usage(l *look) Usage {
	if l.usageAt == 0 {
		return Usage{}
	}
	l.i, l.depth = l.usageAt, 0
	var c counts
	if !l.tokens(f, &c) {
		return Usage{}
	}
	u := Usage{Input: c.input, Output: c.output, CachedInput: c.cached, Reasoning: c.reasoning}
	switch f {
	case Anthropic: // input_tokens are those that the cache had no part in
		u.Input += c.cached + c.cacheWritten
	case Gemini: // thoughts are counted beside the candidates, and results of tools beside the prompt
		u.Input += c.tools
		u.Output += c.reasoning
	case OpenAI, Responses:
	}
	return u
}

// tokens reads a usage object.
func (l *look) tokens(f Format, c *counts) bool {
	if !l.open() {
		return false
	}
	for first := true; l.member(&first); {
		ok := false
		if n := c.named(f, l.name()); n != nil {
			ok = l.count(n)
		} else {
			ok = l.tokenDetails(f, c)
		}
		if !ok {
			return false
		}
	}
	return l.fault == ""
}

// named is the count that a member of the format's usage object stands for; nil when it is none of them.
func (c *counts) named(f Format, name []byte) *int64 {
	switch f {
	case Anthropic:
		return c.anthropic(name)
	case Gemini:
		return c.gemini(name)
	default:
		switch string(name) {
		case "prompt_tokens", "input_tokens": // of chat and completions, of responses
			return &c.input
		case "completion_tokens", "output_tokens":
			return &c.output
		}
	}
	return nil
}

func (c *counts) anthropic(name []byte) *int64 {
	switch string(name) {
	case "input_tokens":
		return &c.input
	case "output_tokens":
		return &c.output
	case "cache_read_input_tokens":
		return &c.cached
	case "cache_creation_input_tokens":
		return &c.cacheWritten
	}
	return nil
}

func (c *counts) gemini(name []byte) *int64 {
	switch string(name) {
	case "promptTokenCount":
		return &c.input
	case "candidatesTokenCount":
		return &c.output
	case "cachedContentTokenCount":
		return &c.cached
	case "thoughtsTokenCount":
		return &c.reasoning
	case "toolUsePromptTokenCount":
		return &c.tools
	}
	return nil
}

// tokenDetails reads the objects in which OpenAI says what the tokens were, and skips everything else.
func (l *look) tokenDetails(f Format, c *counts) bool {
	if f == Anthropic || f == Gemini {
		return l.value()
	}
	switch string(l.name()) {
	case "prompt_tokens_details", "input_tokens_details":
		return l.detail("cached_tokens", &c.cached)
	case "completion_tokens_details", "output_tokens_details":
		return l.detail("reasoning_tokens", &c.reasoning)
	}
	return l.value()
}

// detail reads one count of an object of them.
func (l *look) detail(name string, n *int64) bool {
	if l.peekByte() != '{' {
		return l.value()
	}
	if !l.open() {
		return false
	}
	for first := true; l.member(&first); {
		if string(l.name()) != name {
			if !l.value() {
				return false
			}
		} else if !l.count(n) {
			return false
		}
	}
	return l.fault == ""
}

// count reads a number of tokens. What is no plain, possible number leaves n as it is: usage is accounting,
// and an answer is not refused because of it.
func (l *look) count(n *int64) bool {
	start := l.i
	if !l.value() {
		return false
	}
	var sum int64
	for _, c := range l.b[start:l.i] {
		if sum = sum*10 + int64(c-'0'); !isDigit(c) || sum > maxInteger {
			return true
		}
	}
	*n = sum
	return true
}
