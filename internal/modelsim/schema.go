// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package modelsim

import (
	"bytes"
	"encoding/json"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
)

// jsonSchema is the part of JSON Schema that OpenAI's structured outputs allow.
type jsonSchema struct {
	Type             json.RawMessage        `json:"type"`
	Properties       orderedSchemas         `json:"properties"`
	Items            *jsonSchema            `json:"items"`
	Enum             []json.RawMessage      `json:"enum"`
	Const            json.RawMessage        `json:"const"`
	AnyOf            []*jsonSchema          `json:"anyOf"`
	OneOf            []*jsonSchema          `json:"oneOf"`
	Ref              string                 `json:"$ref"`
	Defs             map[string]*jsonSchema `json:"$defs"`
	Definitions      map[string]*jsonSchema `json:"definitions"`
	Minimum          *float64               `json:"minimum"`
	Maximum          *float64               `json:"maximum"`
	ExclusiveMinimum *float64               `json:"exclusiveMinimum"`
	MinItems         int                    `json:"minItems"`
	MinLength        *int                   `json:"minLength"`
	MaxLength        *int                   `json:"maxLength"`
	Format           string                 `json:"format"`
}

// orderedSchemas are properties in the order of the document: models write them in that order.
type orderedSchemas []property

// property is one member of an object.
type property struct {
	name   string
	schema *jsonSchema
}

// UnmarshalJSON keeps the order of the members.
func (o *orderedSchemas) UnmarshalJSON(data []byte) error {
	decoder := json.NewDecoder(bytes.NewReader(data))
	if _, err := decoder.Token(); err != nil {
		return err
	}
	for decoder.More() {
		name, err := decoder.Token()
		if err != nil {
			return err
		}
		member := property{schema: &jsonSchema{}}
		member.name, _ = name.(string)
		if err := decoder.Decode(member.schema); err != nil {
			return err
		}
		*o = append(*o, member)
	}
	return nil
}

// maxDepth bounds recursive schemas: deeper down only what has to be there is written.
const maxDepth = 12

// instance writes JSON that fits a schema; without one (or with one that cannot be read) some small object.
func instance(random *rand.Rand, raw json.RawMessage) string {
	var root jsonSchema
	if len(raw) == 0 || json.Unmarshal(raw, &root) != nil {
		return `{"answer":"` + vocabulary[random.IntN(len(vocabulary))] + `","sure":true}`
	}
	writer := instanceWriter{random: random, root: &root}
	writer.value(&root, 0)
	return writer.out.String()
}

// instanceWriter writes one instance; root is where references begin.
type instanceWriter struct {
	random *rand.Rand
	root   *jsonSchema
	out    strings.Builder
}

// value writes one value. Required and optional members are written alike: structured outputs require all.
func (w *instanceWriter) value(schema *jsonSchema, depth int) {
	schema = w.resolve(schema, depth)
	switch {
	case schema == nil:
		w.out.WriteString("null")
	case len(schema.Const) > 0:
		w.compact(schema.Const)
	case len(schema.Enum) > 0:
		w.compact(schema.Enum[w.random.IntN(len(schema.Enum))])
	default:
		w.typed(schema, depth)
	}
}

// resolve follows references and alternatives. Near the bottom the last alternative is taken: in recursive
// schemas that is where authors put null.
func (w *instanceWriter) resolve(schema *jsonSchema, depth int) *jsonSchema {
	for range maxDepth {
		alternatives := slices.Concat(schema.AnyOf, schema.OneOf)
		// Bounded, because a reference may lead back to itself.
		switch {
		case schema.Ref == "#":
			schema = w.root
		case schema.Ref != "":
			name := schema.Ref[strings.LastIndexByte(schema.Ref, '/')+1:]
			target := w.root.Defs[name]
			if target == nil {
				target = w.root.Definitions[name]
			}
			if target == nil {
				return nil
			}
			schema = target
		case len(alternatives) > 0 && depth >= maxDepth:
			schema = alternatives[len(alternatives)-1]
		case len(alternatives) > 0:
			schema = alternatives[w.random.IntN(len(alternatives))]
		default:
			return schema
		}
	}
	return nil
}

// compact writes a value of the schema as it stands there, without its blanks.
func (w *instanceWriter) compact(raw json.RawMessage) {
	var out bytes.Buffer
	if json.Compact(&out, raw) == nil {
		w.out.Write(out.Bytes())
	}
}

// kind is the type to write; of several the first, near the bottom the last.
func (s *jsonSchema) kind(depth int) string {
	var several []string
	var one string
	if json.Unmarshal(s.Type, &one) == nil {
		return one
	}
	if json.Unmarshal(s.Type, &several) == nil && len(several) > 0 {
		if depth >= maxDepth {
			return several[len(several)-1]
		}
		return several[0]
	}
	if len(s.Properties) > 0 {
		return "object"
	}
	return "string"
}

// typed writes a value of the type of the schema; unknown types are written as text.
func (w *instanceWriter) typed(schema *jsonSchema, depth int) {
	switch schema.kind(depth) {
	case "object":
		w.object(schema, depth)
	case "array":
		w.array(schema, depth)
	case "integer", "number":
		w.number(schema)
	case "boolean":
		w.out.WriteString([]string{"false", "true"}[w.random.IntN(2)])
	case "null":
		w.out.WriteString("null")
	default:
		w.out.Write(appendString(nil, w.text(schema)))
	}
}

// object writes every member that the schema names, and no other.
func (w *instanceWriter) object(schema *jsonSchema, depth int) {
	w.out.WriteByte('{')
	for i, member := range schema.Properties {
		if i > 0 {
			w.out.WriteByte(',')
		}
		w.out.Write(appendString(nil, member.name))
		w.out.WriteByte(':')
		w.value(member.schema, depth+1)
	}
	w.out.WriteByte('}')
}

// array writes as many items as there must be, and one where there may be some: an empty list shows little.
func (w *instanceWriter) array(schema *jsonSchema, depth int) {
	length := schema.MinItems
	if depth < maxDepth/2 {
		length = max(length, 1)
	}
	w.out.WriteByte('[')
	for i := range length {
		if i > 0 {
			w.out.WriteByte(',')
		}
		if schema.Items == nil {
			w.out.WriteString("null")
			continue
		}
		w.value(schema.Items, depth+1)
	}
	w.out.WriteByte(']')
}

// number writes a whole number within the bounds, which fits both number and integer.
func (w *instanceWriter) number(schema *jsonSchema) {
	least, most := 0.0, math.Inf(1)
	if schema.Maximum != nil {
		most = math.Floor(*schema.Maximum)
		least = min(least, most)
	}
	if schema.Minimum != nil {
		least = math.Ceil(*schema.Minimum)
	}
	if schema.ExclusiveMinimum != nil {
		least = math.Floor(*schema.ExclusiveMinimum) + 1
	}
	span := min(most-least, 99)
	number, err := json.Marshal(least + float64(w.random.IntN(int(max(span, 0))+1)))
	if err == nil {
		w.out.Write(number)
	}
}

// formats are examples of the string formats that structured outputs know.
var formats = map[string]string{
	"date-time": "2026-01-02T03:04:05Z", "date": "2026-01-02", "time": "03:04:05Z", "duration": "P1D",
	"email": "someone@example.com", "hostname": "example.com", "ipv4": "192.0.2.1", "ipv6": "2001:db8::1",
	"uuid": "0190d5c8-3c5e-7a4b-8f0e-1a2b3c4d5e6f",
}

// text writes words until they are long enough; the vocabulary is ASCII, so cutting never splits a character.
func (w *instanceWriter) text(schema *jsonSchema) string {
	if example, ok := formats[schema.Format]; ok {
		return example
	}
	text := vocabulary[w.random.IntN(len(vocabulary))]
	for schema.MinLength != nil && len(text) < *schema.MinLength {
		text += " " + vocabulary[w.random.IntN(len(vocabulary))]
	}
	if schema.MaxLength != nil && len(text) > *schema.MaxLength {
		text = text[:max(*schema.MaxLength, 0)]
	}
	return text
}
