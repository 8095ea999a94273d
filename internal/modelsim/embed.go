// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package modelsim

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"strconv"

	"github.com/turnout-ai/turnout/internal/modelsim/ledger"
)

// dimensions is the full length of a vector; requests may ask for fewer.
const dimensions = 1536

// maxInputs is how many texts one request may carry.
const maxInputs = 2048

var embeddingParams = []string{"dimensions", "encoding_format", "input", fieldModel, fieldUser}

// embedding is an embeddings request.
type embedding struct {
	model      string
	inputs     []json.RawMessage // each names one text: the text itself or its tokens
	tokens     int
	dimensions int
	base64     bool
}

// parseEmbedding reads an embeddings request for a model that exists.
func parseEmbedding(p *params, model string) (*embedding, *apiError) {
	e := &embedding{model: model}
	p.require("input")
	p.text(fieldUser)
	e.dimensions = p.integer("dimensions", dimensions, 1, dimensions)
	e.base64 = p.choice("encoding_format", "float", "base64") == "base64"
	if p.err != nil {
		return nil, p.err
	}
	if !e.read(p.raw["input"]) {
		return nil, badRequest("input", "", "'$.input' is invalid. Please check the API reference: https://platform.openai.com/docs/api-reference.")
	}
	return e, nil
}

// read takes the four shapes of input apart: a text, its tokens, and lists of either.
func (e *embedding) read(raw json.RawMessage) bool {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return e.add(raw)
	}
	var tokens []int
	if json.Unmarshal(raw, &tokens) == nil {
		return e.add(raw)
	}
	var list []json.RawMessage
	if json.Unmarshal(raw, &list) != nil || len(list) == 0 || len(list) > maxInputs {
		return false
	}
	for _, one := range list {
		if !e.add(one) {
			return false
		}
	}
	return true
}

// add counts one text or one list of tokens.
func (e *embedding) add(raw json.RawMessage) bool {
	var text string
	var tokens []int
	switch {
	case json.Unmarshal(raw, &text) == nil:
		e.tokens += textTokens(text)
	case json.Unmarshal(raw, &tokens) == nil:
		e.tokens += len(tokens)
	}
	if text == "" && len(tokens) == 0 {
		return false
	}
	e.inputs = append(e.inputs, raw)
	return true
}

// vector is a unit vector. Fewer dimensions are the first of the full vector, scaled to length one again.
func (e *embedding) vector(seed uint64, input json.RawMessage) []float32 {
	sum := fnv.New64a()
	_, _ = fmt.Fprintf(sum, "%s\x00%d\x00%s", e.model, seed, input) // a hash never fails
	random := rand.New(rand.NewPCG(sum.Sum64(), seed))
	out := make([]float32, e.dimensions)
	length := 0.0
	for i := range out {
		value := random.Float64()*2 - 1
		out[i] = float32(value)
		length += value * value
	}
	scale := float32(1 / math.Sqrt(max(length, math.SmallestNonzeroFloat32)))
	for i := range out {
		out[i] *= scale
	}
	return out
}

// embed answers an embeddings request.
func embed(e *embedding, seed uint64) *reply {
	out := []byte(`{"object":"list","data":[`)
	for i, input := range e.inputs {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, `{"object":"embedding","index":`...)
		out = strconv.AppendInt(out, int64(i), 10)
		out = append(out, `,"embedding":`...)
		out = e.appendVector(out, e.vector(seed, input))
		out = append(out, '}')
	}
	out = append(out, `],"model":`...)
	out = appendString(out, e.model)
	out = fmt.Appendf(out, `,"usage":{"prompt_tokens":%d,"total_tokens":%d}}`+"\n", e.tokens, e.tokens)
	return &reply{body: out, tokens: ledger.Tokens{Prompt: e.tokens}}
}

func (e *embedding) appendVector(out []byte, vector []float32) []byte {
	if e.base64 {
		raw := make([]byte, 0, 4*len(vector))
		for _, value := range vector {
			raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(value))
		}
		out = append(out, '"')
		out = base64.StdEncoding.AppendEncode(out, raw)
		return append(out, '"')
	}
	out = append(out, '[')
	for i, value := range vector {
		if i > 0 {
			out = append(out, ',')
		}
		out = strconv.AppendFloat(out, float64(value), 'g', -1, 32)
	}
	return append(out, ']')
}
