// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package wire

// Words that mean the same in several places.
const (
	keyModel      = "model"
	keyType       = "type"
	keyChoices    = "choices"
	keyMessage    = "message"
	keyText       = "text"
	keyError      = "error"
	keyRole       = "role"
	keyContent    = "content"
	keyDelta      = "delta"
	keyUsage      = "usage"
	keyObject     = "object"
	keyStatus     = "status"
	keyResponse   = "response"
	keyStopReason = "stop_reason"

	keyStreamOptions = "stream_options"
	keyReasoning     = "reasoning"
	keyAudio         = "audio"
	keyID            = "id"
	keyFileID        = "file_id"
	keyContainerID   = "container_id"
	keyEnvironment   = "environment"

	// none is the choice of no tool, and the effort of no reasoning.
	none = "none"
	// filtered is an error's code, and the reason why an answer ended.
	filtered = "content_filter"
)

// The types of errors that OpenAI and Anthropic share, and the statuses of Google's that go with them.
const (
	typeInvalid        = "invalid_request_error"
	typeAuthentication = "authentication_error"
	typePermission     = "permission_error"
	typeNotFound       = "not_found_error"
	typeRateLimit      = "rate_limit_error"

	googleInvalid   = "INVALID_ARGUMENT"
	googleExhausted = "RESOURCE_EXHAUSTED"
)
