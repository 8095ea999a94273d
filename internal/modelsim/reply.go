// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package modelsim

import (
	"encoding/json"
	"hash/fnv"
	"iter"
	"strconv"
	"strings"

	"github.com/turnout-ai/turnout/internal/modelsim/ledger"
)

// reply is a whole answer, before timing, faults and the socket have touched it.
type reply struct {
	// body is a JSON answer; steps are a stream. One of them is nil.
	body  []byte
	steps iter.Seq[step]
	// tokens is what the whole answer uses, reasoning and rounds (tokens one after the other) how long it takes.
	tokens            ledger.Tokens
	reasoning, rounds int
	// hidden is as much of the reasoning as cannot be read.
	hidden int
}

// stepKind says what a step of a stream is for.
type stepKind uint8

// The kinds, in the order in which a stream has them.
const (
	stepRole stepKind = iota
	stepThought
	stepContent
	stepFinish // finish reasons; what has been used is final from here on
	stepUsage
	stepDone
)

// says says whether a step has tokens that can be read.
func (k stepKind) says() bool { return k == stepThought || k == stepContent }

// step is one write to a stream: frames ready to send. The bytes are valid until the next step.
type step struct {
	kind  stepKind
	bytes []byte
	// completion is how many tokens have been produced when these bytes are sent; reasoning is part of it.
	completion, reasoning int
}

// identity is what all frames of an answer share.
type identity struct {
	id      string
	created int64
	model   string
}

// fingerprint names the "backend" of a model: it changes with the model, never between calls.
func fingerprint(model string) string {
	sum := fnv.New64a()
	_, _ = sum.Write([]byte(model)) // a hash never fails
	return "fp_" + strconv.FormatUint(sum.Sum64()|1<<63, 16)[:10]
}

// render writes the model's answer down as JSON or as a stream. A prompt of which the first cached tokens
// were seen before is billed as such.
func render(g *generation, who identity, answer *generated, cached int) *reply {
	tokens := ledger.Tokens{Prompt: g.promptTokens, Cached: cached, Reasoning: answer.reasoning * g.n}
	tokens.Completion = tokens.Reasoning
	for _, choice := range answer.choices {
		tokens.Completion += len(choice.tokens)
	}
	out := &reply{tokens: tokens, reasoning: answer.reasoning, rounds: answer.rounds, hidden: answer.reasoning}
	if g.aloud != "" {
		out.hidden = 0
	}
	switch {
	case g.stream:
		out.steps = (&streamWriter{g: g, who: who, answer: answer, tokens: tokens}).steps
	case g.chat:
		out.body = chatBody(g, who, answer, tokens)
	default:
		out.body = completionBody(g, who, answer, tokens)
	}
	return out
}

// toolCall is a call of a function. Its arguments are JSON inside a string: the model writes them as text, and
// nothing promises that they parse.
type toolCall struct {
	ID       string `json:"id"`
	Type     string `json:"type"`
	Function struct {
		Name      string `json:"name"`
		Arguments string `json:"arguments"`
	} `json:"function"`
}

// chatMessage is what the assistant says. Content is null beside tool calls, never absent: clients read the field.
type chatMessage struct {
	Role    string  `json:"role"`
	Content *string `json:"content"`
	// One of these, at providers that show it.
	ReasoningContent string     `json:"reasoning_content,omitempty"`
	Reasoning        string     `json:"reasoning,omitempty"`
	ToolCalls        []toolCall `json:"tool_calls,omitempty"`
	Refusal          *string    `json:"refusal"`
	Annotations      []struct{} `json:"annotations"` // always empty: the model cites nothing
}

// chatChoice is one of the n answers; logprobs is null unless asked for.
type chatChoice struct {
	Index        int           `json:"index"`
	Message      chatMessage   `json:"message"`
	Logprobs     *chatLogprobs `json:"logprobs"`
	FinishReason string        `json:"finish_reason"`
	// Azure's.
	FilterResults json.RawMessage `json:"content_filter_results,omitempty"`
}

// chatCompletion is a whole chat answer.
type chatCompletion struct {
	ID                string       `json:"id"`
	Object            string       `json:"object"`
	Created           int64        `json:"created"`
	Model             string       `json:"model"`
	Choices           []chatChoice `json:"choices"`
	Usage             *usage       `json:"usage"`
	ServiceTier       string       `json:"service_tier"`
	SystemFingerprint string       `json:"system_fingerprint"`
	// Azure's.
	PromptFilterResults json.RawMessage `json:"prompt_filter_results,omitempty"`
}

// chatBody writes a chat answer, indented as OpenAI sends it: whoever scans it for usage must cope with blanks.
func chatBody(g *generation, who identity, answer *generated, tokens ledger.Tokens) []byte {
	out := chatCompletion{
		ID: who.id, Object: "chat.completion", Created: who.created, Model: who.model,
		Usage: usageOf(tokens), ServiceTier: g.serviceTier, SystemFingerprint: fingerprint(who.model),
		Choices: make([]chatChoice, len(answer.choices)),
	}
	if answer.screened {
		out.PromptFilterResults = json.RawMessage(promptFilterResults)
	}
	for i, said := range answer.choices {
		choice := chatChoice{Index: i, FinishReason: said.finish, Message: said.message(g.aloud)}
		if g.logprobs {
			choice.Logprobs = logprobsOf(said.tokens, g.topLogprobs, said.refusal)
		}
		if answer.screened {
			choice.FilterResults = json.RawMessage(filterResults)
		}
		out.Choices[i] = choice
	}
	return marshal(out, "  ")
}

// message is what was said as a whole message.
func (o *outcome) message(aloud string) chatMessage {
	message, text := chatMessage{Role: roleAssistant, Annotations: []struct{}{}}, strings.Join(o.tokens, "")
	switch {
	case o.call != nil:
		call := toolCall{ID: o.callID, Type: kindFunction}
		call.Function.Name, call.Function.Arguments = o.call.Name, text
		message.ToolCalls = []toolCall{call}
	case o.refusal:
		message.Refusal = &text
	default:
		message.Content = &text
	}
	switch aloud {
	case fieldReasoningContent:
		message.ReasoningContent = strings.Join(o.thoughts, "")
	case fieldReasoning:
		message.Reasoning = strings.Join(o.thoughts, "")
	}
	return message
}

// textLogprobs is the older shape of logprobs, parallel lists instead of a list of objects.
type textLogprobs struct {
	TextOffset    []int                `json:"text_offset"`
	TokenLogprobs []float64            `json:"token_logprobs"`
	Tokens        []string             `json:"tokens"`
	TopLogprobs   []map[string]float64 `json:"top_logprobs"`
}

// textChoice is one choice of a text completion, whole or in a frame.
type textChoice struct {
	Text         string        `json:"text"`
	Index        int           `json:"index"`
	Logprobs     *textLogprobs `json:"logprobs"`
	FinishReason *string       `json:"finish_reason"`
}

// textCompletion is a whole text completion; it has no service tier.
type textCompletion struct {
	ID                string       `json:"id"`
	Object            string       `json:"object"`
	Created           int64        `json:"created"`
	Model             string       `json:"model"`
	Choices           []textChoice `json:"choices"`
	Usage             *usage       `json:"usage,omitempty"`
	SystemFingerprint string       `json:"system_fingerprint"`
}

// completionBody writes a text completion.
func completionBody(g *generation, who identity, answer *generated, tokens ledger.Tokens) []byte {
	out := textCompletion{
		ID: who.id, Object: "text_completion", Created: who.created, Model: who.model,
		Usage: usageOf(tokens), SystemFingerprint: fingerprint(who.model), Choices: make([]textChoice, len(answer.choices)),
	}
	for i, said := range answer.choices {
		choice := textChoice{Text: strings.Join(said.tokens, ""), Index: i, FinishReason: &said.finish}
		if g.logprobs {
			choice.Logprobs = textLogprobsOf(said.tokens)
		}
		out.Choices[i] = choice
	}
	return marshal(out, "  ")
}

// textLogprobsOf is logprobsOf in the older shape.
func textLogprobsOf(tokens []string) *textLogprobs {
	out := &textLogprobs{Tokens: tokens}
	offset := 0
	for _, token := range tokens {
		out.TextOffset = append(out.TextOffset, offset)
		out.TokenLogprobs = append(out.TokenLogprobs, spell(token, 0).Logprob)
		out.TopLogprobs = append(out.TopLogprobs, map[string]float64{token: spell(token, 0).Logprob})
		offset += len(token)
	}
	return out
}

// streamWriter writes an answer frame by frame into one buffer.
type streamWriter struct {
	g      *generation
	who    identity
	answer *generated
	tokens ledger.Tokens

	head []byte // of every frame, up to the choices
	buf  []byte
	// completion and reasoning are how many tokens have been produced.
	completion, reasoning int
	yield                 func(step) bool
}

// steps yields the stream in the order in which OpenAI sends it.
func (s *streamWriter) steps(yield func(step) bool) {
	s.head, s.yield = s.frameHead(), yield
	if !s.begin() || !s.thoughts() || !s.contents() {
		return
	}
	// All finish together, in frames of their own: no frame has both content and a finish reason.
	for i, choice := range s.answer.choices {
		s.finishFrame(i, choice.finish)
	}
	if !s.send(stepFinish) {
		return
	}
	if s.g.includeUsage {
		s.usageFrame()
		if !s.send(stepUsage) {
			return
		}
	}
	s.buf = append(s.buf, "data: [DONE]\n\n"...)
	s.send(stepDone)
}

// send yields what was written so far as one step; it says whether there is to be another.
func (s *streamWriter) send(kind stepKind) bool {
	ok := s.yield(step{kind: kind, bytes: s.buf, completion: s.completion, reasoning: s.reasoning})
	s.buf = s.buf[:0]
	return ok
}

// begin sends what comes before anything is said. Each of it is a step of its own, so that a fault may strike
// behind the first.
func (s *streamWriter) begin() bool {
	if s.answer.screened {
		s.screenFrame()
		if !s.send(stepRole) {
			return false
		}
	}
	if !s.g.chat {
		return true
	}
	for i := range s.answer.choices {
		s.roleFrame(i)
	}
	return s.send(stepRole)
}

// thoughts sends the reasoning, when it can be read. Reasoning that cannot has been paid for when the first
// content comes.
func (s *streamWriter) thoughts() bool {
	if s.g.aloud == "" {
		s.completion, s.reasoning = s.tokens.Reasoning, s.tokens.Reasoning
		return true
	}
	for round := range s.answer.reasoning {
		for i, choice := range s.answer.choices {
			s.completion++
			s.reasoning++
			s.thoughtFrame(i, choice.thoughts[round])
		}
		if !s.send(stepThought) {
			return false
		}
	}
	return true
}

// contents sends what is said. The choices are produced side by side: a round is one token of each that is not
// at its end yet.
func (s *streamWriter) contents() bool {
	for round := range s.answer.rounds {
		for i, choice := range s.answer.choices {
			if round < len(choice.tokens) {
				s.completion++
				s.tokenFrame(i, choice.tokens[round])
			}
		}
		if !s.send(stepContent) {
			return false
		}
	}
	return true
}

// frameHead writes what every frame begins with. Frames are put together by hand because a stream at full speed
// is nothing but this.
func (s *streamWriter) frameHead() []byte {
	object := "text_completion"
	if s.g.chat {
		object = "chat.completion.chunk"
	}
	head := append([]byte(`data: {"id":"`), s.who.id...)
	head = append(head, `","object":"`...)
	head = append(head, object...)
	head = append(head, `","created":`...)
	head = strconv.AppendInt(head, s.who.created, 10)
	head = append(head, `,"model":`...)
	head = appendString(head, s.who.model)
	if s.g.serviceTier != "" {
		head = append(head, `,"service_tier":`...)
		head = appendString(head, s.g.serviceTier)
	}
	head = append(head, `,"system_fingerprint":"`...)
	head = append(head, fingerprint(s.who.model)...)
	return append(head, `","choices":[`...)
}

// open begins a frame with one choice, up to what the choice says.
func (s *streamWriter) open(index int) {
	s.buf = append(s.buf, s.head...)
	s.buf = append(s.buf, `{"index":`...)
	s.buf = strconv.AppendInt(s.buf, int64(index), 10)
	s.buf = append(s.buf, ',')
}

// end ends a frame. OpenAI pads frames so that their size does not tell the length of a token.
func (s *streamWriter) end(finish string, padding int) {
	s.buf = append(s.buf, `,"finish_reason":`...)
	if finish == "" {
		s.buf = append(s.buf, "null}]"...)
	} else {
		s.buf = appendString(s.buf, finish)
		s.buf = append(s.buf, "}]"...)
	}
	if s.g.includeUsage {
		s.buf = append(s.buf, `,"usage":null`...)
	}
	if s.g.obfuscate {
		s.buf = append(s.buf, `,"obfuscation":"`...)
		s.buf = append(s.buf, alphabet[:max(padding, 0)]...)
		s.buf = append(s.buf, '"')
	}
	s.buf = append(s.buf, "}\n\n"...)
}

// roleFrame is the first frame of a choice. It has no content, only who speaks (and which function is called):
// a proxy that takes it for success can no longer fail over.
func (s *streamWriter) roleFrame(index int) {
	s.open(index)
	if said := s.answer.choices[index]; said.call != nil {
		s.buf = append(s.buf, `"delta":{"role":"assistant","content":null,"tool_calls":[{"index":0,"id":"`...)
		s.buf = append(s.buf, said.callID...)
		s.buf = append(s.buf, `","type":"function","function":{"name":`...)
		s.buf = appendString(s.buf, said.call.Name)
		s.buf = append(s.buf, `,"arguments":""}}],"refusal":null},"logprobs":null`...)
	} else {
		s.buf = append(s.buf, `"delta":{"role":"assistant","content":"","refusal":null},"logprobs":null`...)
	}
	s.end("", 8)
}

// thoughtFrame is one token of the reasoning.
func (s *streamWriter) thoughtFrame(index int, token string) {
	s.open(index)
	s.delta(s.g.aloud, token)
	s.buf = append(s.buf, `,"logprobs":null`...)
	s.end("", 16-len(token))
}

// delta is a delta of one text.
func (s *streamWriter) delta(field, token string) {
	s.buf = append(s.buf, `"delta":{"`...)
	s.buf = append(s.buf, field...)
	s.buf = append(s.buf, `":`...)
	s.buf = appendString(s.buf, token)
	s.buf = append(s.buf, '}')
}

// tokenFrame is one token: of the text, of a refusal, or of the arguments of a call.
func (s *streamWriter) tokenFrame(index int, token string) {
	s.open(index)
	said := &s.answer.choices[index]
	switch {
	case !s.g.chat:
		s.buf = append(s.buf, `"text":`...)
		s.buf = appendString(s.buf, token)
	case said.call != nil:
		s.buf = append(s.buf, `"delta":{"tool_calls":[{"index":0,"function":{"arguments":`...)
		s.buf = appendString(s.buf, token)
		s.buf = append(s.buf, `}}]}`...)
	case said.refusal:
		s.delta("refusal", token)
	default:
		s.delta("content", token)
	}
	s.logprobs(token, said.refusal)
	s.end("", 16-len(token))
}

// logprobs writes the logprobs of one token; the field is there, as null, when nobody asked.
func (s *streamWriter) logprobs(token string, refusal bool) {
	s.buf = append(s.buf, `,"logprobs":`...)
	switch {
	case !s.g.logprobs:
		s.buf = append(s.buf, "null"...)
	case s.g.chat:
		s.buf = append(s.buf, marshal(logprobsOf([]string{token}, s.g.topLogprobs, refusal), "")...)
	default:
		s.buf = append(s.buf, marshal(textLogprobsOf([]string{token}), "")...)
	}
	// A line feed inside a data line would end it.
	if s.buf[len(s.buf)-1] == '\n' {
		s.buf = s.buf[:len(s.buf)-1]
	}
}

// finishFrame is the last frame of a choice.
func (s *streamWriter) finishFrame(index int, finish string) {
	s.open(index)
	if s.g.chat {
		s.buf = append(s.buf, `"delta":{}`...)
	} else {
		s.buf = append(s.buf, `"text":""`...)
	}
	if s.answer.screened {
		s.buf = append(s.buf, `,"content_filter_results":`+filterResults...)
	}
	s.buf = append(s.buf, `,"logprobs":null`...)
	s.end(finish, 4)
}

// screenFrame is the frame that Azure sends before all others, about the prompt. It has no choices.
func (s *streamWriter) screenFrame() {
	s.buf = append(s.buf, `data: {"choices":[],"created":0,"id":"","model":"","object":"","prompt_filter_results":`+promptFilterResults+"}\n\n"...)
}

// usageFrame is the frame behind all choices that stream_options.include_usage asks for; its choices are empty.
func (s *streamWriter) usageFrame() {
	s.buf = append(s.buf, s.head...)
	s.buf = append(s.buf, `],"usage":`...)
	s.buf = append(s.buf, marshal(usageOf(s.tokens), "")...)
	s.buf = append(s.buf[:len(s.buf)-1], "}\n\n"...)
}
