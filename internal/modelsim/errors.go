// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package modelsim

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// apiError is an error answer in OpenAI's shape.
type apiError struct {
	status  int
	kind    string // error.type
	code    string // error.code; null when empty
	param   string // error.param; null when empty
	message string
}

// The values of error.type.
const (
	typeInvalidRequest = "invalid_request_error"
	typeServer         = "server_error"
	typeQuota          = "insufficient_quota"
	typeForbidden      = "request_forbidden"
	typeOverloaded     = "overloaded_error"
)

// sayOverloaded is what a server says that has too much to do.
const sayOverloaded = "Overloaded"

// keyError is where an answer has its error.
const keyError = "error"

// Error codes that more than one place answers with.
const (
	codeInvalidKey    = "invalid_api_key"
	codeModelNotFound = "model_not_found"
	codeRateLimit     = "rate_limit_exceeded"
	codeContextLength = "context_length_exceeded"
	codeInvalidValue  = "invalid_value"
	codeInvalidType   = "invalid_type"
)

func (e *apiError) Error() string { return fmt.Sprintf("%d: %s", e.status, e.message) }

// body is the JSON of the answer, indented with four spaces as OpenAI sends errors (and only errors).
func (e *apiError) body() []byte {
	type fields struct {
		Message string  `json:"message"`
		Type    string  `json:"type"`
		Param   *string `json:"param"`
		Code    *string `json:"code"`
	}
	out, err := json.MarshalIndent(map[string]fields{keyError: {
		Message: e.message, Type: e.kind, Param: optional(e.param), Code: optional(e.code),
	}}, "", "    ")
	if err != nil {
		return []byte("{}") // strings always encode
	}
	return out
}

// numbered is the JSON of the answer with the status for its code.
func (e *apiError) numbered() []byte {
	type fields struct {
		Message string  `json:"message"`
		Type    string  `json:"type"`
		Param   *string `json:"param"`
		Code    int     `json:"code"`
	}
	return oneLine(map[string]fields{keyError: {e.message, e.kind, optional(e.param), e.status}})
}

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// badRequest is a 400 about one parameter.
func badRequest(param, code, format string, args ...any) *apiError {
	return &apiError{http.StatusBadRequest, typeInvalidRequest, code, param, fmt.Sprintf(format, args...)}
}

func errUnknownModel(model string) *apiError {
	return &apiError{
		http.StatusNotFound, typeInvalidRequest, codeModelNotFound, "",
		fmt.Sprintf("The model `%s` does not exist or you do not have access to it.", model),
	}
}

func errContextLength(window, tokens int) *apiError {
	return badRequest("messages", codeContextLength,
		"This model's maximum context length is %d tokens. However, your messages resulted in %d tokens. Please reduce the length of the messages.",
		window, tokens)
}

// errKey is the 401 for a wrong key, or for none. It shows as much of the key as OpenAI does for long keys,
// and nothing of short ones: whatever was sent by mistake must not be readable in somebody's log.
func errKey(key string) *apiError {
	message := "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer auth (i.e. Authorization: Bearer YOUR_KEY)."
	if key != "" {
		shown := strings.Repeat("*", 8)
		if len(key) >= 24 {
			shown = key[:3] + shown + key[len(key)-4:]
		}
		message = "Incorrect API key provided: " + shown + ". You can find your API key at https://platform.openai.com/account/api-keys."
	}
	return &apiError{http.StatusUnauthorized, typeInvalidRequest, codeInvalidKey, "", message}
}

func errURL(method, path string) *apiError {
	return &apiError{http.StatusNotFound, typeInvalidRequest, "unknown_url", "", fmt.Sprintf("Unknown request URL: %s %s. Please check the URL for typos, or see the docs at https://platform.openai.com/docs/api-reference/.", method, path)}
}

func errMethod(method, path string) *apiError {
	return &apiError{http.StatusMethodNotAllowed, typeInvalidRequest, "method_not_supported", "", fmt.Sprintf("Invalid method for URL (%s %s)", method, path)}
}

func errNotJSON() *apiError {
	return badRequest("", "", "We could not parse the JSON body of your request. (HINT: This likely means you aren't using your HTTP library correctly. "+
		"The OpenAI API expects a JSON payload, but what was sent was not valid JSON.)")
}

func errTooLarge() *apiError {
	return &apiError{http.StatusRequestEntityTooLarge, typeInvalidRequest, "request_too_large", "", "Maximum content size limit exceeded."}
}
