// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package modelsim

import (
	"bytes"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"math"
	"slices"
	"strings"
)

// Words of the wire that are read in one place and written in another.
const (
	fieldModel         = "model"
	fieldStreamOptions = "stream_options"
	fieldUser          = "user"
	roleAssistant      = "assistant"
	kindFunction       = "function"
)

// params are the top-level fields of a request body, read one by one. The first mistake is kept; after it every
// read gives its zero value, so that a request is parsed without a check behind each field.
type params struct {
	raw map[string]json.RawMessage
	err *apiError
}

// readParams takes a body apart. A body that is no JSON object is an error for check to report.
func readParams(body []byte) *params {
	p := &params{}
	if err := json.Unmarshal(body, &p.raw); err != nil || p.raw == nil {
		p.raw, p.err = nil, errNotJSON()
	}
	return p
}

// hint is a field that is wanted before the request is checked, for rules and the ledger; empty when it is no string.
func (p *params) hint(name string) (value string) {
	if raw := p.raw[name]; raw == nil || json.Unmarshal(raw, &value) != nil {
		return ""
	}
	return value
}

// check refuses unknown fields, as OpenAI does: a typo must not pass for an option.
func (p *params) check(known []string) {
	for name := range p.raw {
		if !slices.Contains(known, name) {
			p.fail(badRequest(name, "unknown_parameter", "Unrecognized request argument supplied: %s", name))
		}
	}
}

// fail keeps the first mistake.
func (p *params) fail(err *apiError) {
	if p.err == nil {
		p.err = err
	}
}

// has says whether a field is there and not null.
func (p *params) has(name string) bool {
	raw, ok := p.raw[name]
	return ok && !bytes.Equal(raw, []byte("null"))
}

// read decodes a field into out, which keeps its value when the field is absent or null.
func (p *params) read(name, expected string, out any) {
	if p.err != nil || !p.has(name) {
		return
	}
	if err := json.Unmarshal(p.raw[name], out); err != nil {
		p.fail(errType(name, expected, p.raw[name]))
	}
}

// text reads a string.
func (p *params) text(name string) (value string) {
	p.read(name, "a string", &value)
	return value
}

// boolean reads a boolean.
func (p *params) boolean(name string, otherwise bool) bool {
	p.read(name, "a boolean", &otherwise)
	return otherwise
}

// integer reads a whole number within bounds.
func (p *params) integer(name string, otherwise, least, most int) int {
	value := otherwise
	p.read(name, "an integer", &value)
	p.bounds(name, "integer", float64(value), float64(least), float64(most))
	return value
}

// number checks a decimal within bounds; no answer depends on its value.
func (p *params) number(name string, least, most float64) {
	value := least
	p.read(name, "a decimal", &value)
	p.bounds(name, "decimal", value, least, most)
}

// bounds refuses a number that is there and out of bounds, in the words that clients match on.
func (p *params) bounds(name, kind string, value, least, most float64) {
	if !p.has(name) {
		return
	}
	if value < least {
		p.fail(badRequest(name, kind+"_below_min_value", "Invalid '%s': %s below minimum value. Expected a value >= %v, but got %v instead.", name, kind, least, value))
	}
	if value > most {
		p.fail(badRequest(name, kind+"_above_max_value", "Invalid '%s': %s above maximum value. Expected a value <= %v, but got %v instead.", name, kind, most, value))
	}
}

// choice reads a string that must be one of several.
func (p *params) choice(name string, allowed ...string) string {
	value := p.text(name)
	if value != "" && !slices.Contains(allowed, value) {
		p.fail(badRequest(name, codeInvalidValue, "Invalid value: '%s'. Supported values are: '%s'.", value, strings.Join(allowed, "', '")))
	}
	return value
}

// require refuses a body without the field.
func (p *params) require(name string) {
	if !p.has(name) {
		p.fail(badRequest(name, "missing_required_parameter", "Missing required parameter: '%s'.", name))
	}
}

// stringOrList reads a field that may be one string or several.
func (p *params) stringOrList(name string) (values []string) {
	if p.err != nil || !p.has(name) {
		return nil
	}
	var one string
	if json.Unmarshal(p.raw[name], &one) == nil {
		return []string{one}
	}
	p.read(name, "a string or an array of strings", &values)
	return values
}

// errType is the error about a field of the wrong type.
func errType(name, expected string, raw json.RawMessage) *apiError {
	return badRequest(name, codeInvalidType, "Invalid type for '%s': expected %s, but got %s instead.", name, expected, jsonKind(raw))
}

// jsonKind names the kind of a JSON value in the words of OpenAI's errors.
func jsonKind(raw json.RawMessage) string {
	switch bytes.TrimLeft(raw, " \t\r\n")[0] {
	case '{':
		return "an object"
	case '[':
		return "an array"
	case '"':
		return "a string"
	case 't', 'f':
		return "a boolean"
	case 'n':
		return "null"
	default:
		return "a number"
	}
}

// generation is what a chat or text completion has to produce.
type generation struct {
	model string
	chat  bool
	// digest names model, prompt and seed: equal digests give equal content.
	digest       uint64
	promptTokens int
	n, maxTokens int // maxTokens 0: as long as the model likes
	stop         []string
	logprobs     bool
	topLogprobs  int
	reasoning    int // tokens the model would like to think
	// aloud is the field in which the reasoning can be read; empty hides it, as OpenAI does.
	aloud string
	// refuses has the model refuse.
	refuses bool
	// A model that may call a function ("auto") answers with text here, so that tests decide which they get.
	// tool is the function the model must call; nil answers with text. toolNamed: the request named it.
	tool      *function
	toolNamed bool
	// offered are the functions it may call.
	offered []function
	// object asks for JSON; schema, when there is one, for JSON that fits it.
	object bool
	schema json.RawMessage

	stream, includeUsage, obfuscate bool
	serviceTier                     string
}

// function is a tool of a request.
type function struct {
	Name       string          `json:"name"`
	Parameters json.RawMessage `json:"parameters"`
}

// chatParams and completionParams are the fields that the endpoints know.
var chatParams = []string{
	"audio", "frequency_penalty", "function_call", "functions", "logit_bias", "logprobs", "max_completion_tokens", "max_tokens",
	"messages", "metadata", "modalities", fieldModel, "moderation", "n", "parallel_tool_calls", "prediction", "presence_penalty",
	"prompt_cache_key", "prompt_cache_options", "prompt_cache_retention", "reasoning_effort", "response_format", "safety_identifier",
	"seed", "service_tier", "stop", "store", "stream", fieldStreamOptions, "temperature", "tool_choice", "tools", "top_logprobs",
	"top_p", fieldUser, "verbosity", "web_search_options",
}

var completionParams = []string{
	"best_of", "echo", "frequency_penalty", "logit_bias", "logprobs", "max_tokens", fieldModel, "n", "presence_penalty", "prompt", "seed",
	"stop", "stream", fieldStreamOptions, "suffix", "temperature", "top_p", fieldUser,
}

// common reads what chat and text completions share.
func (p *params) common(g *generation) {
	p.number("temperature", 0, 2)
	p.number("top_p", 0, 1)
	p.number("presence_penalty", -2, 2)
	p.number("frequency_penalty", -2, 2)
	p.text(fieldUser)
	g.n = p.integer("n", 1, 1, 128)
	g.stop = p.stringOrList("stop")
	if len(g.stop) > 4 {
		p.fail(badRequest("stop", "array_above_max_length", "Invalid 'stop': array too long. Expected an array with maximum length 4, but got an array with length %d instead.", len(g.stop)))
	}
	g.stream = p.boolean("stream", false)
	options := struct {
		IncludeUsage       bool  `json:"include_usage"`
		IncludeObfuscation *bool `json:"include_obfuscation"`
	}{}
	p.read(fieldStreamOptions, "an object", &options)
	if p.has(fieldStreamOptions) && !g.stream {
		p.fail(badRequest(fieldStreamOptions, codeInvalidValue, "The 'stream_options' parameter is only allowed when 'stream' is enabled."))
	}
	g.includeUsage = options.IncludeUsage
	g.obfuscate = g.chat && (options.IncludeObfuscation == nil || *options.IncludeObfuscation)
}

// seed reads the seed of the request and returns its digest of model, prompt and seeds.
func (p *params) seed(model string, configured uint64, prompt json.RawMessage) uint64 {
	var seed int64
	p.read("seed", "an integer", &seed)
	sum := fnv.New64a()
	_, _ = fmt.Fprintf(sum, "%s\x00%d\x00%d\x00", model, configured, seed) // a hash never fails
	_, _ = sum.Write(prompt)
	return sum.Sum64()
}

// parseChat reads a chat completion request for a model that exists.
func parseChat(p *params, model string, configured uint64) (*generation, *apiError) {
	g := &generation{model: model, chat: true}
	p.require("messages")
	g.promptTokens = p.messages()
	p.common(g)
	if p.has("max_tokens") && p.has("max_completion_tokens") {
		p.fail(badRequest("max_tokens", "invalid_parameter_combination", "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported."))
	}
	g.maxTokens = max(p.integer("max_tokens", 0, 1, math.MaxInt32), p.integer("max_completion_tokens", 0, 1, math.MaxInt32))
	g.logprobs = p.boolean("logprobs", false)
	g.topLogprobs = p.integer("top_logprobs", 0, 0, 20)
	// An effort that is not given reasons not at all: the tests of plain chats count every token.
	g.reasoning = reasoningTokens[p.choice("reasoning_effort", "none", "minimal", "low", "medium", "high", "xhigh")]
	g.serviceTier = "default"
	p.choice("service_tier", "auto", "default", "flex", "scale", "priority")
	p.metadata()
	p.tools(g)
	p.responseFormat(g)
	g.digest = p.seed(model, configured, p.raw["messages"])
	return g, p.err
}

// reasoningTokens is how long the model likes to think. Real ones vary; tests want to know.
var reasoningTokens = map[string]int{"minimal": 8, "low": 16, "medium": 32, "high": 64, "xhigh": 128}

// metadata checks the bounds of the documented map.
func (p *params) metadata() {
	var pairs map[string]string
	p.read("metadata", "an object with string values", &pairs)
	if len(pairs) > 16 {
		p.fail(badRequest("metadata", "object_above_max_properties", "Invalid 'metadata': too many properties. Expected an object with at most 16 properties, but got an object with %d properties instead.", len(pairs)))
	}
}

// tools reads tools and tool_choice. The model calls a function only when it has to: with "required" the
// first, with a name that one.
func (p *params) tools(g *generation) {
	var tools []struct {
		Type     string   `json:"type"`
		Function function `json:"function"`
	}
	p.read("tools", "an array of objects", &tools)
	for i := range tools {
		g.offered = append(g.offered, tools[i].Function)
	}
	g.promptTokens += len(p.raw["tools"]) / bytesPerToken
	if !p.has("tool_choice") || p.err != nil {
		return
	}
	if len(tools) == 0 {
		p.fail(badRequest("tool_choice", codeInvalidValue, "Invalid value for 'tool_choice': 'tool_choice' is only allowed when 'tools' are specified."))
		return
	}
	var mode string
	if json.Unmarshal(p.raw["tool_choice"], &mode) == nil {
		p.choice("tool_choice", "none", "auto", "required")
		if mode == "required" {
			g.tool = &g.offered[0]
		}
		return
	}
	var named struct{ Function function }
	p.read("tool_choice", "a string or an object", &named)
	for i := range g.offered {
		if g.offered[i].Name == named.Function.Name {
			g.tool, g.toolNamed = &g.offered[i], true
			return
		}
	}
	p.fail(badRequest("tool_choice", codeInvalidValue, "Tool choice '%s' not found in 'tools' parameter.", named.Function.Name))
}

// responseFormat reads response_format.
func (p *params) responseFormat(g *generation) {
	var format struct {
		Type       string `json:"type"`
		JSONSchema struct {
			Name   string          `json:"name"`
			Schema json.RawMessage `json:"schema"`
		} `json:"json_schema"`
	}
	p.read("response_format", "an object", &format)
	switch format.Type {
	case "json_object":
		g.object = true
		// OpenAI insists, because models that are not told to write JSON have been seen to write blanks for ever.
		if !bytes.Contains(bytes.ToLower(p.raw["messages"]), []byte("json")) {
			p.fail(badRequest("messages", "", "'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'."))
		}
	case "json_schema":
		g.object, g.schema = true, format.JSONSchema.Schema
		if format.JSONSchema.Name == "" {
			p.fail(badRequest("response_format.json_schema.name", "missing_required_parameter", "Missing required parameter: 'response_format.json_schema.name'."))
		}
	case "text":
	default:
		if p.has("response_format") {
			p.fail(badRequest("response_format.type", codeInvalidValue, "Invalid value: '%s'. Supported values are: 'json_object', 'json_schema', and 'text'.", format.Type))
		}
	}
}

// bytesPerToken is the usual rule of thumb for English text.
const bytesPerToken = 4

// textTokens estimates the tokens of a text.
func textTokens(text string) int { return (len(text) + bytesPerToken - 1) / bytesPerToken }

// messages checks the conversation and returns its size in tokens.
func (p *params) messages() int {
	var list []struct {
		Role    string          `json:"role"`
		Content json.RawMessage `json:"content"`
	}
	p.read("messages", "an array of objects", &list)
	if p.err == nil && len(list) == 0 {
		p.fail(badRequest("messages", "empty_array", "Invalid 'messages': empty array. Expected an array with minimum length 1, but got an empty array instead."))
	}
	// The estimate follows the known overhead of the chat format: a few tokens around each message.
	tokens := 3 // the answer is primed with <|start|>assistant<|message|>
	for i, message := range list {
		roles := []string{"system", roleAssistant, fieldUser, kindFunction, "tool", "developer"}
		if !slices.Contains(roles, message.Role) {
			p.fail(badRequest(fmt.Sprintf("messages[%d].role", i), codeInvalidValue, "Invalid value: '%s'. Supported values are: '%s'.", message.Role, strings.Join(roles, "', '")))
		}
		size, err := contentTokens(i, message.Role, message.Content)
		if err != nil {
			p.fail(err)
		}
		tokens += size + 4
	}
	return tokens
}

// imageTokens is what one image of low detail costs.
const imageTokens = 85

// contentTokens checks the content of one message and estimates its tokens.
func contentTokens(i int, role string, raw json.RawMessage) (int, *apiError) {
	field := fmt.Sprintf("messages[%d].content", i)
	if len(raw) == 0 || raw[0] == 'n' {
		if role == roleAssistant || role == kindFunction {
			return 0, nil // a message that called tools has no content
		}
		return 0, badRequest(field, codeInvalidType, "Invalid value for 'content': expected a string, got null.")
	}
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return textTokens(text), nil
	}
	var parts []struct {
		Type string `json:"type"`
		Text string `json:"text"`
	}
	if json.Unmarshal(raw, &parts) != nil {
		return 0, errType(field, "one of a string or array of objects", raw)
	}
	tokens := 0
	for j, part := range parts {
		switch part.Type {
		case "text", "refusal":
			tokens += textTokens(part.Text)
		case "image_url", "input_audio", "file":
			tokens += imageTokens
		default:
			return 0, badRequest(fmt.Sprintf("%s[%d].type", field, j), codeInvalidValue,
				"Invalid value: '%s'. Supported values are: 'text', 'image_url', 'input_audio', 'refusal', and 'file'.", part.Type)
		}
	}
	return tokens, nil
}

// parseCompletion reads a text completion request for a model that exists.
func parseCompletion(p *params, model string, configured uint64) (*generation, *apiError) {
	g := &generation{model: model}
	p.require("prompt")
	prompt := p.stringOrList("prompt")
	if p.err == nil && len(prompt) != 1 {
		// Several prompts would multiply choices and usage; no client of today sends them.
		p.fail(badRequest("prompt", codeInvalidValue, "Invalid 'prompt': this model accepts one prompt per request, but got %d.", len(prompt)))
	}
	if len(prompt) == 1 {
		g.promptTokens = textTokens(prompt[0])
	}
	p.common(g)
	g.maxTokens = p.integer("max_tokens", 16, 1, math.MaxInt32) // 16 is the documented default of this endpoint
	g.logprobs = p.integer("logprobs", -1, 0, 5) >= 0
	g.digest = p.seed(model, configured, p.raw["prompt"])
	return g, p.err
}
