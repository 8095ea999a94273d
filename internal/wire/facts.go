// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

// Package wire knows the bytes that clients and providers exchange: what a request body asks for (Peek),
// how a stream is cut into frames (Frames), what an answer means (Classify), and how the model name is
// replaced without touching the rest (Facts.Before, Facts.After). It is pure: stdlib only, no clock, no I/O.
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
	MaxTokens int64
	// N is "n"; 1 when absent.
	N int64
	// Tools is true when tools or functions is a non-empty array; ToolChoice when tool_choice or
	// function_call is present and not "none".
	Tools, ToolChoice bool
	// HostedTools is true when an element of tools has a type other than function or custom: the provider
	// runs it, so it may have effects.
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
	// User, PromptCacheKey and MetadataUserID are user, prompt_cache_key and metadata.user_id; nil when absent.
	User, PromptCacheKey, MetadataUserID []byte
	// Input is the shape of "input".
	Input InputShape
	// InputTokens estimates the size of the input in tokens: about four bytes of text each, data URLs and
	// base64 media not counted.
	InputTokens int64

	scratch []byte
	peek    peeker
}

// Before is the part of the body that precedes the model's JSON string. Before, another string and After,
// written one after the other, are the body with its model replaced: nothing is copied.
func (f *Facts) Before(body []byte) []byte { return body[:f.modelStart] }

// After is the part of the body that follows the model's JSON string.
func (f *Facts) After(body []byte) []byte { return body[f.modelEnd:] }

// HasEffects reports whether the provider may do more with the request than answer it: keep it, work on it
// in the background, or run tools. Such a request must not be repeated once some of it was sent.
func (f *Facts) HasEffects() bool {
	return f.Store || f.Background || f.HostedTools || f.PreviousResponseID != nil
}

// Reset forgets the last body, and keeps the scratch space.
func (f *Facts) Reset() { *f = Facts{scratch: f.scratch[:0]} }
