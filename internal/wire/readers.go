// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package wire

// bodyFields are the fields of a request to chat/completions, completions, embeddings or responses.
var bodyFields = newFieldSet(fieldSet{},
	field{name: keyModel, path: keyModel, read: readModel, notNull: true},
	top("messages", readMessages),
	top("input", readInput),
	top("prompt", readPrompt),
	top("stream", flag(func(f *Facts) *bool { return &f.Stream })),
	field{name: keyStreamOptions, path: keyStreamOptions, read: readStreamOptions, notNull: true},
	top("max_tokens", readMaxTokens),
	top("max_completion_tokens", readMaxTokens),
	top("max_output_tokens", readMaxTokens),
	top("n", readN),
	top("tools", readTools),
	top("functions", readFunctions),
	top("tool_choice", readToolChoice),
	top("function_call", readToolChoice),
	top("response_format", readResponseFormat),
	top("logprobs", readLogprobs),
	top("top_logprobs", readTopLogprobs),
	top("modalities", readModalities),
	top(keyAudio, within(audioFields)),
	top("web_search_options", readWebSearch),
	top(keyReasoning, readReasoning),
	top("reasoning_effort", readReasoningEffort),
	top("service_tier", name(func(f *Facts) *[]byte { return &f.ServiceTier })),
	top("store", flag(func(f *Facts) *bool { return &f.Store })),
	top("background", flag(func(f *Facts) *bool { return &f.Background })),
	top("previous_response_id", readPreviousResponse),
	top("conversation", readConversation),
	top("user", name(func(f *Facts) *[]byte { return &f.User })),
	top("prompt_cache_key", name(func(f *Facts) *[]byte { return &f.PromptCacheKey })),
	top("metadata", nested(metadataFields)),
)

// top is a field of the body itself, whose path is its name.
func top(name string, read func(*Facts) bool) field {
	return field{name: name, path: name, read: read}
}

// streamOptionsFields is stream_options, whose include_usage decides whether the client is to see the usage
// frame at the end. Their places are noted, also where they are null: usage may be asked for on the way.
var streamOptionsFields = newFieldSet(fieldSet{},
	field{name: "include_usage", path: "stream_options.include_usage", read: readIncludeUsage, notNull: true},
)

// metadataFields is metadata, where clients of Anthropic and of the gateways that follow it name the user.
var metadataFields = newFieldSet(fieldSet{},
	field{
		name: "user_id", path: "metadata.user_id",
		read: name(func(f *Facts) *[]byte { return &f.MetadataUserID }),
	},
)

// responseFormatFields is response_format. A null type is nothing that any provider takes, so it is refused
// here, where the sentence can say so.
var responseFormatFields = newFieldSet(fieldSet{},
	field{name: keyType, path: "response_format.type", read: readResponseFormatType, notNull: true},
)

// reasoningFields is reasoning of the responses API.
var reasoningFields = newFieldSet(fieldSet{},
	field{name: "effort", path: "reasoning.effort", read: func(f *Facts) bool {
		effort, ok := f.str()
		f.Reasoning = string(effort) != none
		return ok
	}},
)

// toolFields is one element of tools. The rest of it, names and schema, is shown to the model.
var toolFields = newFieldSet(fieldSet{text: true, keys: true},
	field{name: keyType, path: "tools[].type", read: readToolType},
	field{name: "vector_store_ids", path: "tools[].vector_store_ids", read: elements(reference)},
	field{name: "container", path: "tools[].container", read: readContainer},
	field{name: keyEnvironment, path: "tools[].environment", read: within(toolEnvironmentFields)},
	field{name: "input_image_mask", path: "tools[].input_image_mask", read: within(maskFields)},
)

// messageFields is one element of messages, or of an input that is a list of items.
var messageFields = newFieldSet(fieldSet{text: true},
	field{name: keyContent, path: "messages[].content", read: readContent},
	field{name: keyType, path: "messages[].type", read: readItemType},
	field{name: keyID, path: "messages[].id", read: readItemID},
	field{name: keyAudio, path: "messages[].audio", read: within(itemAudioFields)},
	field{name: "output", path: "input[].output", read: readOutput},
	field{name: "result", path: "input[].result", read: readItemResult},
	field{name: "encrypted_content", path: "input[].encrypted_content", read: readEncrypted},
	field{name: keyContainerID, path: "input[].container_id", read: reference},
	field{name: keyEnvironment, path: "input[].environment", read: within(itemEnvironmentFields)},
)

// partFields is one element of a message's content.
var partFields = newFieldSet(fieldSet{text: true},
	field{name: keyType, path: "messages[].content[].type", read: readPartType},
	field{name: keyFileID, path: "messages[].content[].file_id", read: reference},
	field{name: "file", path: "messages[].content[].file", read: within(fileFields)},
	field{name: "image_file", path: "messages[].content[].image_file", read: within(fileFields)},
)

// flag reads a boolean.
func flag(of func(*Facts) *bool) func(*Facts) bool {
	return func(f *Facts) (ok bool) {
		*of(f), ok = f.boolean()
		return ok
	}
}

// name reads a string.
func name(of func(*Facts) *[]byte) func(*Facts) bool {
	return func(f *Facts) (ok bool) {
		*of(f), ok = f.str()
		return ok
	}
}

// nested reads an object.
func nested(set *fieldSet) func(*Facts) bool {
	return func(f *Facts) bool {
		if f.peek.peekByte() != '{' {
			return f.must("an object")
		}
		return f.object(set)
	}
}

// each reads an array, element by element, and says how many there were. path is what messages call an
// element.
func (f *Facts) each(path string, read func(*Facts) bool) (n int, ok bool) {
	p := &f.peek
	if p.peekByte() != '[' {
		return 0, f.must("an array")
	}
	if !p.open() {
		return 0, false
	}
	outer := p.at
	p.at = path
	for first := true; p.element(&first); n++ {
		if !read(f) {
			return n, false
		}
	}
	p.at = outer
	return n, p.fault == ""
}

// readModel reads the model, and remembers where its string stands, so that it can be replaced in place. The
// length is bounded because the name goes into logs and errors.
func readModel(f *Facts) bool {
	start := f.peek.i
	model, ok := f.str()
	switch {
	case !ok:
		return false
	case len(model) == 0:
		return f.refuse(keyModel, `"model" is empty: name the model or the capability to use.`)
	case len(model) > maxModel:
		return f.refuse(keyModel, `"model" is longer than 512 bytes: name the model or the capability to use.`)
	}
	f.Model, f.modelStart, f.modelEnd = model, start, f.peek.i
	return true
}

// readStreamOptions reads stream_options, and remembers where it stands.
func readStreamOptions(f *Facts) bool {
	p := &f.peek
	start, ok := p.i, false
	if f.optionsNull = p.peekByte() == 'n'; f.optionsNull {
		ok = p.word("null")
	} else {
		ok = nested(streamOptionsFields)(f)
	}
	f.options = span{start, p.i}
	f.optionsEmpty = ok && isEmpty(p.b[start:p.i])
	return ok
}

// readIncludeUsage reads stream_options.include_usage, and remembers where it stands.
func readIncludeUsage(f *Facts) (ok bool) {
	p := &f.peek
	start := p.i
	if p.peekByte() == 'n' {
		ok = p.word("null")
	} else {
		f.IncludeUsage, ok = f.boolean()
	}
	f.usage = span{start, p.i}
	return ok
}

// readMaxTokens reads any of the max-token fields. Providers differ in which of them they obey, so the
// largest is what the answer may come to.
func readMaxTokens(f *Facts) bool {
	n, ok := f.integer(0)
	if n > f.MaxTokens {
		f.MaxTokens, f.MaxTokensField = n, f.peek.at
	}
	return ok
}

// readN reads how many answers are asked for. Zero answers are refused: OpenAI's schema begins at one.
func readN(f *Facts) (ok bool) {
	f.N, ok = f.integer(1)
	return ok
}

// readTools reads tools; an empty list asks for nothing that a model could lack.
func readTools(f *Facts) bool {
	n, ok := f.each("tools[]", nested(toolFields))
	f.Tools = f.Tools || n > 0
	return ok
}

// readToolType tells the tools that the client runs from those that the provider runs. What is not known
// counts as the provider's: then a request that may have had effects is not sent twice.
func readToolType(f *Facts) bool {
	kind, ok := f.str()
	if k := string(kind); k != "function" && k != "custom" {
		f.HostedTools = true
	}
	return ok
}

// readWebSearch reads how to search the web, which is the way of chat completions to ask for that tool.
func readWebSearch(f *Facts) bool {
	f.HostedTools = true
	return f.peek.value()
}

// readFunctions reads the deprecated way to give tools.
func readFunctions(f *Facts) bool {
	n, ok := f.each("functions[]", func(f *Facts) bool { return f.text(true) })
	f.Tools = f.Tools || n > 0
	return ok
}

// readToolChoice reads tool_choice or the deprecated function_call: a word, or an object that names a tool.
func readToolChoice(f *Facts) bool {
	switch f.peek.peekByte() {
	case '{':
		f.ToolChoice = true
		return f.peek.value()
	case '"':
		choice, ok := f.str()
		f.ToolChoice = f.ToolChoice || string(choice) != none
		return ok
	}
	return f.must("a string or an object")
}

// readResponseFormat reads what the answer must look like.
func readResponseFormat(f *Facts) bool {
	// An object without a type is for the provider to judge.
	f.ResponseFormat = FormatUnknown
	return nested(responseFormatFields)(f)
}

func readResponseFormatType(f *Facts) bool {
	kind, ok := f.str()
	switch string(kind) {
	case keyText:
		f.ResponseFormat = FormatText
	case "json_object":
		f.ResponseFormat = FormatJSONObject
	case "json_schema":
		f.ResponseFormat = FormatJSONSchema
	}
	return ok
}

// readLogprobs reads a boolean (chat) or a number (completions).
func readLogprobs(f *Facts) bool {
	if isDigit(f.peek.peekByte()) {
		return readTopLogprobs(f)
	}
	if c := f.peek.peekByte(); c != 't' && c != 'f' {
		return f.must("true, false or a whole number")
	}
	on, ok := f.boolean()
	f.Logprobs = f.Logprobs || on
	return ok
}

// readTopLogprobs reads a number of alternatives; zero asks for none.
func readTopLogprobs(f *Facts) bool {
	n, ok := f.integer(0)
	f.Logprobs = f.Logprobs || n > 0
	return ok
}

// readModalities reads what the answer may consist of. Only audio is more than every model can do.
func readModalities(f *Facts) bool {
	_, ok := f.each("modalities[]", func(f *Facts) bool {
		kind, ok := f.str()
		f.AudioOut = f.AudioOut || string(kind) == keyAudio
		return ok
	})
	return ok
}

// readReasoning reads reasoning. Together with reasoning_effort, in either order, one that asks is enough.
func readReasoning(f *Facts) bool {
	before := f.Reasoning
	f.Reasoning = true
	ok := nested(reasoningFields)(f)
	f.Reasoning = f.Reasoning || before
	return ok
}

func readReasoningEffort(f *Facts) bool {
	effort, ok := f.str()
	f.Reasoning = f.Reasoning || string(effort) != none
	return ok
}

// readMessages reads the conversation.
func readMessages(f *Facts) bool {
	_, ok := f.each("messages[]", readItem)
	return ok
}

// readItem reads a message, or an item of the responses API, which has content in the same place.
func readItem(f *Facts) bool {
	p := &f.peek
	p.item = item{}
	if p.peekByte() != '{' {
		return f.text(false)
	}
	seen, ok := f.members(messageFields)
	f.Pinned = f.Pinned || ok && p.item.refers(seen&otherMember == 0)
	return ok
}

// readContent reads what a message says: a string, or parts, which may be media.
func readContent(f *Facts) bool {
	if f.peek.peekByte() != '[' {
		f.peek.item.whole = true
		return f.text(false)
	}
	n, ok := f.each("messages[].content[]", within(partFields))
	f.peek.item.whole = f.peek.item.whole || n > 0
	return ok
}

// readOutput reads what a tool gave back: a string, or parts, or one that stands alone.
func readOutput(f *Facts) bool {
	if f.peek.peekByte() != '[' {
		return within(partFields)(f)
	}
	_, ok := f.each("input[].output[]", within(partFields))
	return ok
}

// readPartType notes the media that a model must understand. Parts of other types are text, or for the
// provider to judge.
func readPartType(f *Facts) bool {
	kind, ok := f.str()
	switch string(kind) {
	case "image_url", "input_image":
		f.Content |= Image
	case "input_audio":
		f.Content |= AudioContent
	case "file", "input_file":
		f.Content |= File
	}
	return ok
}

// readPrompt counts the prompt of a completion, whose shape matters to nobody. That of a response is an object which
// names one that is kept at the provider.
func readPrompt(f *Facts) bool {
	named := f.peek.peekByte() == '{'
	_, ok := f.sequence()
	f.Pinned = f.Pinned || named && f.peek.item.id
	return ok
}

// readInput counts the input of embeddings or responses, and notes its shape.
func readInput(f *Facts) (ok bool) {
	f.Input, ok = f.sequence()
	return ok
}

// sequence counts an input or a prompt, and says what shape it has.
func (f *Facts) sequence() (InputShape, bool) {
	p := &f.peek
	switch p.peekByte() {
	case '"':
		return InputString, f.textString()
	case '[':
	default:
		return InputOther, readItem(f)
	}
	if !p.open() {
		return InputOther, false
	}
	shape := NoInput
	for first := true; p.element(&first); {
		one, ok := f.sequenceElement()
		if !ok {
			return InputOther, false
		}
		if shape == NoInput {
			shape = one
		} else if shape != one {
			shape = InputOther
		}
	}
	if shape == NoInput {
		shape = InputOther
	}
	return shape, p.fault == ""
}

// sequenceElement counts one element, and says what shape an array of its kind has.
func (f *Facts) sequenceElement() (InputShape, bool) {
	p := &f.peek
	switch c := p.peekByte(); {
	case c == '"':
		return InputStrings, f.textString()
	case isDigit(c):
		p.tokens++
		return InputTokens, p.number()
	case c == '[':
		return f.tokenArray()
	default:
		return InputOther, readItem(f)
	}
}

// tokenArray counts an array within the input.
func (f *Facts) tokenArray() (InputShape, bool) {
	shape := InputTokenArrays
	_, ok := f.each(f.peek.at, func(f *Facts) bool {
		if isDigit(f.peek.peekByte()) {
			f.peek.tokens++
			return f.peek.number()
		}
		shape = InputOther
		return f.text(false)
	})
	return shape, ok
}
