// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"maps"
	"os"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// The names under which answers are described.
const (
	chatSchema             = "CreateChatCompletionResponse"
	chatFrameSchema        = "CreateChatCompletionStreamResponse"
	completionSchema       = "CreateCompletionResponse"
	completionFrameSchema  = "completion frame" // ours: see loosen
	embeddingSchema        = "CreateEmbeddingResponse"
	encodedEmbeddingSchema = "encoded embedding" // ours: see loosen
	modelSchema            = "Model"
	modelsSchema           = "ListModelsResponse"
	errorSchema            = "ErrorResponse"
)

// loadSchemas reads the description and compiles what answers are held against.
func loadSchemas(path string) (map[string]*jsonschema.Schema, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	document, err := jsonschema.UnmarshalJSON(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	root, ok := document.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("%s is not an OpenAPI description", path)
	}
	components, _ := root["components"].(map[string]any)
	schemas, ok := components["schemas"].(map[string]any)
	if !ok {
		return nil, fmt.Errorf("%s has no components.schemas", path)
	}
	tighten(root)
	loosen(schemas)
	compiler := jsonschema.NewCompiler()
	compiler.DefaultDraft(jsonschema.Draft2020) // what OpenAPI 3.1 is built on
	if err := compiler.AddResource("openai.json", map[string]any{"components": map[string]any{"schemas": schemas}}); err != nil {
		return nil, err
	}
	out := map[string]*jsonschema.Schema{}
	for name := range map[string]struct{}{
		chatSchema: {}, chatFrameSchema: {}, completionSchema: {}, completionFrameSchema: {}, embeddingSchema: {},
		encodedEmbeddingSchema: {}, modelSchema: {}, modelsSchema: {}, errorSchema: {},
	} {
		if out[name], err = compiler.Compile("openai.json#/components/schemas/" + name); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// tighten changes the schemas in place in two ways. "nullable", which the description still uses here and there,
// means nothing in OpenAPI 3.1: it becomes a type of null. And plain objects are closed, so that a field that
// OpenAI does not know is a mistake instead of being ignored.
func tighten(node any) any {
	switch node := node.(type) {
	case map[string]any:
		for key, value := range node {
			node[key] = tighten(value)
		}
		_, open := node["additionalProperties"]
		_, properties := node["properties"].(map[string]any)
		composed := node["allOf"] != nil || node["anyOf"] != nil || node["oneOf"] != nil
		if properties && node["type"] == "object" && !open && !composed {
			node["additionalProperties"] = false
		}
		if node["nullable"] == true {
			plain := maps.Clone(node)
			delete(plain, "nullable")
			return nullable(plain)
		}
	case []any:
		for i := range node {
			node[i] = tighten(node[i])
		}
	}
	return node
}

// loosen adds two schemas for answers that OpenAI gives and does not describe: frames of text completions, whose
// finish_reason and usage are null until the end, and embeddings that were asked for as base64.
func loosen(schemas map[string]any) {
	frame := clone(schemas[completionSchema]).(map[string]any)
	properties := frame["properties"].(map[string]any)
	properties["usage"] = nullable(properties["usage"])
	choice := properties["choices"].(map[string]any)["items"].(map[string]any)["properties"].(map[string]any)
	choice["finish_reason"] = nullable(choice["finish_reason"])
	schemas[completionFrameSchema] = frame

	encoded := clone(schemas[embeddingSchema]).(map[string]any)
	vector := clone(schemas["Embedding"]).(map[string]any)
	vector["properties"].(map[string]any)["embedding"] = map[string]any{"type": "string", "pattern": "^[A-Za-z0-9+/]+=*$"}
	encoded["properties"].(map[string]any)["data"].(map[string]any)["items"] = vector
	schemas[encodedEmbeddingSchema] = encoded
}

// nullable is a schema that takes null too.
func nullable(schema any) any {
	return map[string]any{"anyOf": []any{schema, map[string]any{"type": "null"}}}
}

// clone copies a JSON value.
func clone(node any) any {
	switch node := node.(type) {
	case map[string]any:
		out := make(map[string]any, len(node))
		for key, value := range node {
			out[key] = clone(value)
		}
		return out
	case []any:
		out := make([]any, len(node))
		for i, value := range node {
			out[i] = clone(value)
		}
		return out
	default:
		return node
	}
}

// validate holds a text against a schema.
func (c *checker) validate(schema string, text []byte) error {
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return fmt.Errorf("not JSON: %w", err)
	}
	return c.schemas[schema].Validate(value)
}
