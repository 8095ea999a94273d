// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

// Package wire knows the bytes that clients and providers exchange: what a request body asks for (Peek),
// how a request is changed without touching the rest (Facts.Pieces), how a stream is cut into frames (Frames),
// and what answers and frames mean in each provider's Format. It is pure: stdlib only, no clock, no I/O.
package wire

// Modality is a set of kinds of content.
type Modality uint8

// The members of a Modality set.
const (
	Image Modality = 1 << iota
	AudioContent
	File
)

// ResponseFormat is response_format.type of a request.
type ResponseFormat uint8

// The response formats. The zero value: not given, or text.
const (
	FormatText ResponseFormat = iota
	FormatJSONObject
	FormatJSONSchema
	// FormatUnknown is a type this version does not know.
	FormatUnknown
)

// InputShape is the shape of the input field of a request.
type InputShape uint8

// The shapes. The zero value: there is no input field.
const (
	NoInput InputShape = iota
	InputString
	InputStrings
	InputTokens
	InputTokenArrays
	InputOther
)

// Facts is what one forward pass over a request body learned. Slices point into the body (or into scratch
// space of the Facts where a string had escapes) and are valid as long as it is.
type Facts struct {
	// Model is the unescaped value of "model".
	Model []byte
	// modelStart and modelEnd bound its JSON string in the body, quotes included.
	modelStart, modelEnd int

	// Stream is "stream"; IncludeUsage is stream_options.include_usage.
	Stream, IncludeUsage bool
	// MaxTokens is the largest of max_tokens, max_completion_tokens and max_output_tokens; 0 when absent.
	// MaxTokensField says which it is.
	MaxTokens      int64
	MaxTokensField string
	// N is "n"; 1 when absent.
	N int64
	// Tools is true when tools or functions is a non-empty array; ToolChoice when tool_choice or
	// function_call is present and not "none".
	Tools, ToolChoice bool
	// HostedTools is true when an element of tools has a type other than function or custom, or when
	// web_search_options are given: the provider runs it, so it may have effects.
	HostedTools    bool
	ResponseFormat ResponseFormat
	// Logprobs is true for logprobs: true, a positive number, or top_logprobs above zero.
	Logprobs bool
	// Reasoning is true when reasoning is an object or reasoning_effort is given, with an effort other
	// than "none".
	Reasoning bool
	// AudioOut is true when modalities lists audio.
	AudioOut bool
	// Content is the set of modalities among the content parts, beside text.
	Content Modality
	// ServiceTier is "service_tier"; nil when absent.
	ServiceTier []byte
	// Store and Background are "store" and "background".
	Store, Background bool
	// PreviousResponseID is "previous_response_id"; nil when absent or null.
	PreviousResponseID []byte
	// Conversation is true when "conversation" names one: the answer becomes a part of it.
	Conversation bool
	// Pinned is true when the request refers to state that lives at a provider, so that no other can serve it: an
	// earlier response or conversation, a file, the audio of an earlier answer, a container and the like.
	Pinned bool
	// User, PromptCacheKey and MetadataUserID are user, prompt_cache_key and metadata.user_id; nil when absent.
	User, PromptCacheKey, MetadataUserID []byte
	// Input is the shape of "input".
	Input InputShape
	// InputTokens estimates the size of the input in tokens: about four bytes of text each, data URLs and
	// base64 media not counted.
	InputTokens int64

	// bodyStart is where the body's object begins. options and usage are where the values of stream_options
	// and of its include_usage stand; they are zero when absent. optionsNull and optionsEmpty are true for null and {}.
	bodyStart                 int
	options, usage            span
	optionsNull, optionsEmpty bool

	scratch []byte
	peek    peeker
}

// span is a part of a body.
type span struct{ start, end int }

// Before is the part of the body that precedes the model's JSON string. Before, another string and After,
// written one after the other, are the body with its model replaced: nothing is copied.
func (f *Facts) Before(body []byte) []byte { return body[:f.modelStart] }

// After is the part of the body that follows the model's JSON string.
func (f *Facts) After(body []byte) []byte { return body[f.modelEnd:] }

// MaxPieces is how many pieces a rewritten body has at most.
const MaxPieces = 5

// Pieces puts the body that is sent into dst, in pieces to be written one after the other: the body with its
// model replaced by model, a JSON string, and with stream_options.include_usage set to true where usage asks
// for that and the client has not. Everything else is as it came, byte for byte, and nothing is copied.
func (f *Facts) Pieces(dst *[MaxPieces][]byte, body, model []byte, usage bool) [][]byte {
	if !usage || f.IncludeUsage {
		dst[0], dst[1], dst[2] = f.Before(body), model, f.After(body)
		return dst[:3]
	}
	at, text := f.usageSplice()
	if at.start < f.modelStart {
		dst[0], dst[1], dst[2] = body[:at.start], text, body[at.end:f.modelStart]
		dst[3], dst[4] = model, f.After(body)
	} else {
		dst[0], dst[1], dst[2] = f.Before(body), model, body[f.modelEnd:at.start]
		dst[3], dst[4] = text, body[at.end:]
	}
	return dst[:]
}

// What is written into a body, by what it has of stream_options.
var (
	newStreamOptions   = []byte(`"stream_options":{"include_usage":true},`)
	wholeStreamOptions = []byte(`{"include_usage":true}`)
	firstIncludeUsage  = []byte(`"include_usage":true,`)
	onlyIncludeUsage   = []byte(`"include_usage":true`)
	includeUsageOn     = []byte(`true`)
)

// usageSplice is the part of the body that gives way to a text, so that usage is asked for.
func (f *Facts) usageSplice() (span, []byte) {
	switch {
	case f.usage.end > 0: // false or null
		return f.usage, includeUsageOn
	case f.options.end == 0: // a body has a member at least, the model
		return span{f.bodyStart + 1, f.bodyStart + 1}, newStreamOptions
	case f.optionsNull:
		return f.options, wholeStreamOptions
	case f.optionsEmpty:
		return span{f.options.start + 1, f.options.start + 1}, onlyIncludeUsage
	default:
		return span{f.options.start + 1, f.options.start + 1}, firstIncludeUsage
	}
}

// HasEffects reports whether the provider may do more with the request than answer it: keep it, work on it
// in the background, or run tools. Such a request must not be repeated once some of it was sent.
func (f *Facts) HasEffects() bool {
	return f.Store || f.Background || f.HostedTools || f.Conversation || f.PreviousResponseID != nil
}

// Reset forgets the last body, and keeps the scratch space.
func (f *Facts) Reset() { *f = Facts{scratch: f.scratch[:0]} }
