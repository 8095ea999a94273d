// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

// Package peekcorpus makes request bodies on which JSON parsers could disagree: real ones, and mutations of
// them. The same seed gives the same bodies, so that a body that was found once can be found again.
package peekcorpus

import (
	"bytes"
	"iter"
	"math/rand/v2"
	"strings"
)

// Seeds are the bodies that mutations begin with: what clients send, and each known trick once.
func Seeds() []string {
	return []string{
		`{"model":"chat","messages":[{"role":"user","content":"Hello"}]}`,
		`{"model":"chat","stream":true,"stream_options":{"include_usage":true},"messages":[{"role":"user","content":"Hi"}],"max_tokens":16,"n":2}`,
		`{"messages":[{"role":"system","content":"Be brief.\nAlways \"quote\"."},{"role":"user","content":[{"type":"text","text":"What is this?"},{"type":"image_url","image_url":{"url":"data:image/png;base64,iVBORw0KGgo="}},{"type":"input_audio","input_audio":{"data":"UklGRg==","format":"wav"}},{"type":"file","file":{"file_data":"data:application/pdf;base64,JVBERi0="}}]}],"model":"team/vision","modalities":["text","audio"],"max_completion_tokens":4096}`,
		`{"model":"chat","tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object","properties":{"type":{"type":"string"}}}}},{"type":"web_search"}],"tool_choice":{"type":"function","function":{"name":"f"}},"messages":[]}`,
		`{"model":"chat","functions":[{"name":"f"}],"function_call":"auto","response_format":{"type":"json_schema","json_schema":{"name":"x","schema":{}}},"logprobs":true,"top_logprobs":3}`,
		`{"model":"chat","reasoning_effort":"high","reasoning":{"effort":"none"},"service_tier":"flex","store":true,"background":false,"previous_response_id":"resp_1","user":"u","prompt_cache_key":"k","metadata":{"user_id":"m","other":"x"},"max_output_tokens":7}`,
		`{"model":"embed","input":"The quick brown fox"}`,
		`{"model":"embed","input":["a","b"],"encoding_format":"base64","dimensions":256}`,
		`{"model":"embed","input":[1,2,3]}`,
		`{"model":"embed","input":[[1,2],[3]]}`,
		`{"model":"text","prompt":["once upon","a time"],"logprobs":2,"max_tokens":5,"temperature":1.5e-1,"stop":null,"echo":false}`,
		`{"model":"m\u00e9l\ud83d\ude00","input":[{"role":"user","content":[{"type":"input_image","image_url":"https://example.com/x.png"},{"type":"input_file","file_id":"f"}]}]}`,
		`{"model":"chat","messages":[{"role":"user","content":[{"type":"file","file":{"file_id":"file-1","filename":"a.pdf"}},{"type":"image_file","image_file":{"file_id":"file-2"}}]},{"role":"assistant","audio":{"id":"audio_1"}}],"audio":{"voice":{"id":"voice_1"},"format":"wav"},"web_search_options":{}}`,
		`{"model":"m","conversation":{"id":"conv_1"},"prompt":{"id":"pmpt_1","variables":{"id":"x"}},"tools":[{"type":"file_search","vector_store_ids":["vs_1"]},{"type":"code_interpreter","container":{"type":"auto","file_ids":["file-1"]}},{"type":"shell","environment":{"type":"container_reference","container_id":"cntr_1","skills":[{"type":"skill_reference","skill_id":"skill_1"}]}},{"type":"image_generation","input_image_mask":{"file_id":"file-1"}}]}`,
		`{"model":"m","input":[{"type":"item_reference","id":"msg_1"},{"id":"msg_2"},{"type":"reasoning","id":"rs_1","summary":[],"content":null,"encrypted_content":"x"},{"type":"image_generation_call","id":"ig_1","result":"iVBORw0KGgo="},{"type":"function_call_output","call_id":"c","output":[{"type":"input_image","file_id":"file-1"}]},{"type":"computer_call_output","output":{"type":"computer_screenshot","file_id":"file-1"}},{"type":"code_interpreter_call","id":"ci_1","container_id":"cntr_1"},{"type":"shell_call","environment":{"container_id":"cntr_1"}}]}`,
		`{"model":null}`, `{"model":1}`, `{"model":""}`, `{}`, `[]`, `"model"`, ``, `{"model":"a"}x`, "\ufeff" + `{"model":"a"}`,
		`{"model":"a","model":"b"}`, `{"model":"a","mod\u0065l":"b"}`, `{"mod\u0065l":"b"}`, `{"model":"a","MODEL":"b"}`, `{"MODEL":"b"}`,
		`{"model":"a","ſtream":true}`, `{"model":"a","\u017ftream":true}`, `{"model":"a","to\u212aen":1,"max_toKens":5}`,
		`{"model":"a","stream":"yes"}`, `{"model":"a","max_tokens":"12"}`, `{"model":"a","n":1.5}`, `{"model":"a","n":1e0}`, `{"model":"a","n":-1}`,
		`{"model":"a","max_tokens":99999999999999999999}`, `{"model":"a","max_tokens":9007199254740993}`, `{"model":"a","max_tokens":01}`,
		`{"model":"a\ud800"}`, `{"model":"a","x":"\udc00\ud800"}`, "{\"model\":\"a\xff\"}", "{\"model\":\"a\nb\"}", `{"model":"\a"}`,
		`{"model":"a","temperature":NaN}`, `{"model":"a","temperature":Infinity}`, `{"model":"a","temperature":-0.0E+5}`,
		`{"model":"a","stream_options":{"include_usage":true,"include_usage":false}}`,
		`{"model":"a","stream_options":{"Include_Usage":true}}`, `{"model":"a","metadata":{"user_id":"1","user\u005fid":"2"}}`,
		`{"model":"a","response_format":{"type":"text","type":"json_object"}}`, `{"model":"a",}`, `{"model":"a" "n":1}`, `{'model':'a'}`,
		`{"model":"a","__proto__":{"stream":true},"constructor":1}`, "{\"model\"\x00:\"a\"}", `{"model":"a\u0000b"}`, `{"model":"a","x":[[[[[[[[]]]]]]]]}`,
		` { "model" : "a" , "stream" : false , "n" : null , "tools" : [ ] } ` + "\r\n\t",
	}
}

// tokens are spliced into bodies.
//
//nolint:goconst // JSON texts read best as they are
var tokens = []string{
	`"model":"b",`, `,"model":"b"`, `"Model":"b",`, `"mod\u0065l":"b",`, `"\u006dodel":"b",`, `"stream":true,`, `"Stream":true,`, `"ſtream":true,`,
	`"\u017Ftream":true,`, `"max_toKens":9,`, `"max_tokens":9,`, `"MAX_TOKENS":9,`, `"n":3,`, `"N":3,`, `"user":"x",`, `"uſer":"x",`, `"tools":[{}],`,
	`"store":true,`, `"background":true,`, `"messages":[],`, `"input":"x",`, `"include_usage":true,`, `"type":"image_url",`, `"user_id":"z",`,
	`"effort":"low",`, `"content":"y",`, `{}`, `[]`, `null`, `true`, `false`, `0`, `-0`, `1e5`, `1.0`, `9007199254740993`, `1E400`, `00`, `"`, `\`, `\"`, `\u`,
	`\ud83d`, `\udE00`, `\ud83d\ude00`, `\u0000`, `\/`, "\x00", "\x1f", "\x7f", "\xff", "\xc0\x80", "\xed\xa0\x80", "\xf0\x9f\x98\x80", "\u2028", "\ufeff",
	"\u00a0", "\u212a", "ſ", "{", "}", "[", "]", ",", ":", " ", "\n", "\r", "\t", "\f", "/**/", "//", "NaN", "Infinity", "-", "+1", ".5", "undefined",
}

// values are put where a key wants one.
//
//nolint:goconst // JSON texts read best as they are
var values = []string{
	`true`, `false`, `null`, `0`, `1`, `2`, `-1`, `1.0`, `1e2`, `4096`, `9007199254740991`, `9007199254740992`, `"none"`, `"auto"`, `"a"`, `"text"`, `""`,
	`"caf\u00e9"`, `"\ud83d\ude00"`, `"\ud83d"`, `[]`, `[1]`, `["audio"]`, `["a","b"]`, `[[1,2]]`, `[{"type":"function"}]`, `[{"type":"web_search"}]`,
	`[{"role":"user","content":[{"type":"image_url"}]}]`, `[{"content":"x","content":[]}]`, `{}`, `{"type":"json_object"}`, `{"type":"json_schema"}`,
	`{"include_usage":true}`, `{"user_id":"u"}`, `{"effort":"low"}`, `{"effort":"none"}`, `{"type":null}`, `{"effort":"low","Effort":"none"}`,
}

var keys = []string{
	"model", "stream", "stream_options", "max_tokens", "max_completion_tokens", "max_output_tokens", "n", "tools", "functions", "tool_choice",
	"function_call", "response_format", "logprobs", "top_logprobs", "modalities", "reasoning", "reasoning_effort", "service_tier", "store",
	"background", "previous_response_id", "conversation", "audio", "web_search_options", "user", "prompt_cache_key", "metadata", "input", "prompt", "messages", "temperature", "stop", "seed",
}

// fitting are the values that a key takes; the keys that are not here take any.
//
//nolint:goconst // JSON texts read best as they are
var fitting = func() map[string][]string {
	fit := map[string][]string{
		"stream_options": {`{}`, `null`, `{"include_usage":true}`, `{"include_usage":null,"x":1}`},
		"input": {
			`"x"`, `[1,2]`, `[{"id":"i"}]`, `[{"id":"i","type":null,"content":[]}]`, `[{"id":"i","x":1}]`, `[{"type":"item_reference","id":"i"}]`, `[{"type":"item_reference","id":""}]`,
			`[{"type":"reasoning","id":"i","content":[],"encrypted_content":""}]`, `[{"type":"reasoning","id":"i","encrypted_content":"\u0065"}]`,
			`[{"type":"image_generation_call","id":"i","result":null}]`, `[{"type":"image_generation_call","id":"i","result":"x"}]`, `[{"type":7,"id":"i"}]`,
			`[{"type":"message","id":"i","content":"x"}]`, `{"id":"i"}`, `[{"output":{"file_id":"f"}}]`, `[{"output":[{"file_id":"f"},"x"]}]`, `[{"container_id":"c"}]`,
			`[{"environment":{"container_id":"c"}}]`, `[{"environment":{"file_ids":["f"]}}]`, `[[{"id":"i"}]]`,
		},
		"prompt":       {`"x"`, `["x"]`, `{"id":"p"}`, `{"id":null,"content":"x"}`, `[{"id":"i","x":1}]`},
		"conversation": {`"c"`, `""`, `{"id":"c"}`, `{"id":7}`, `{}`},
		"audio":        {`{"voice":"alloy"}`, `{"voice":{"id":"v"}}`, `{"voice":{"id":["v"]}}`, `"x"`},
		"tools": {
			`[{"type":"file_search","vector_store_ids":["v"]}]`, `[{"vector_store_ids":[],"container":"","input_image_mask":{"file_id":"f"}}]`, `[{"container":"c"}]`,
			`[{"container":{"file_ids":["",7,"f"]}}]`, `[{"environment":{"skills":[{"skill_id":"s"},7]}}]`, `[{"environment":"x","vector_store_ids":{"x":"v"}}]`,
			`[]`, `[{"type":"function"}]`, `[{"type":"web_search"},{}]`, `[{"t\u0079pe":"custom","x":{"type":1}}]`,
		},
		"functions":       {`[]`, `[{"name":"f"}]`},
		"tool_choice":     {`"auto"`, `"none"`, `{"type":"function"}`},
		"function_call":   {`"auto"`, `"none"`, `{"name":"f"}`},
		"response_format": {`{}`, `{"type":"text"}`, `{"type":"json_\u006fbject"}`, `{"type":"json_schema","x":{"type":1}}`, `{"type":"grammar"}`},
		"logprobs":        {`true`, `false`, `0`, `5`},
		"modalities":      {`["text"]`, `["text","audio"]`, `["a\u0075dio"]`, `[]`},
		"reasoning":       {`{}`, `{"effort":"none"}`, `{"effort":"low","summary":"auto"}`, `{"effort":null}`},
		"metadata":        {`{}`, `{"user_id":"a\/b","x":"y"}`, `{"user_id":null}`},
		"messages": {
			`[{"role":"user","content":"x"}]`, `[{"content":[{"type":"image_url","image_url":{"url":"data:,x"}},{"type":"input_\u0061udio"}]}]`,
			`[{"content":[{"type":"file","file":{"file_id":"f"}}]},{"content":"x","id":"i"}]`, `[{"role":"assistant","audio":{"id":"a\u0062"}}]`,
			`[{"content":[{"type":"text","text":"x","annotations":[{"file_id":"f"}],"file_id":null,"file":{"file_id":""}}]}]`, `[{"id":"i","role":"user"}]`,
			`[{"content":null,"tool_calls":[{"type":"image_url"}]}]`, `[{"content":{"type":"file"}},{"content":["a",{"type":"file"}]}]`,
		},
	}
	for _, key := range []string{"stream", "store", "background"} {
		fit[key] = []string{`true`, `false`, `null`, ` true `}
	}
	for _, key := range []string{"max_tokens", "max_completion_tokens", "max_output_tokens", "n", "top_logprobs"} {
		fit[key] = []string{`1`, `2`, `128`, `9007199254740991`, `null`}
	}
	for _, key := range []string{"reasoning_effort", "service_tier", "previous_response_id", "user", "prompt_cache_key"} {
		fit[key] = []string{`""`, `"none"`, `"caf\u00e9 \ud83d\ude00\n"`, `"\u0000"`, "\"\u2028\u00e9\"", `null`}
	}
	return fit
}()

// Bodies gives the seeds, then n bodies made from them.
func Bodies(seed uint64, n int) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		seeds := Seeds()
		for _, s := range seeds {
			if !yield([]byte(s)) {
				return
			}
		}
		r := rand.New(rand.NewPCG(seed, 0))
		for range n {
			body := built(r)
			if r.IntN(2) == 0 {
				body = mutated(r, []byte(seeds[r.IntN(len(seeds))]), seeds)
			}
			if !yield(body) {
				return
			}
		}
	}
}

// built is an object of random members, most of them in order.
func built(r *rand.Rand) []byte {
	b := []byte(`{"model":"chat"`)
	for range r.IntN(6) {
		key := keys[1+r.IntN(len(keys)-1)]
		fit := fitting[key]
		b = append(b, ',', '"')
		b = append(b, disguised(r, key)...)
		b = append(b, '"', ':')
		if len(fit) == 0 || r.IntN(12) == 0 {
			fit = values
		}
		b = append(b, fit[r.IntN(len(fit))]...)
	}
	return append(b, '}')
}

// disguised is a key, seldom in another spelling.
func disguised(r *rand.Rand, key string) string {
	switch r.IntN(60) {
	case 0:
		return strings.ToUpper(key)
	case 1:
		return strings.NewReplacer("s", "ſ").Replace(key)
	case 2:
		return strings.NewReplacer("k", "\u212a").Replace(key)
	case 3:
		return strings.NewReplacer("e", `\u0065`).Replace(key)
	case 4:
		return strings.NewReplacer("e", `\u0045`).Replace(key)
	}
	return key
}

// mutated is a body with one to three changes.
func mutated(r *rand.Rand, b []byte, seeds []string) []byte {
	for range 1 + r.IntN(3) {
		at := r.IntN(len(b) + 1)
		switch r.IntN(7) {
		case 0: // a byte becomes another
			if at < len(b) {
				b[at] = byte(r.Uint32())
			}
		case 1: // cut short
			if r.IntN(4) == 0 {
				b = b[:at]
			}
		case 2: // a piece goes
			end := min(at+1+r.IntN(8), len(b))
			b = append(b[:at:at], b[end:]...)
		case 3: // a piece comes twice
			end := min(at+1+r.IntN(40), len(b))
			b = append(b[:end:end], b[at:]...)
		case 4: // a piece of another body
			other := seeds[r.IntN(len(seeds))]
			from := r.IntN(len(other) + 1)
			b = bytes.Join([][]byte{b[:at], []byte(other[from:min(from+r.IntN(30), len(other))]), b[at:]}, nil)
		default: // a token, half of the time behind the first brace
			if r.IntN(2) == 0 && len(b) > 0 {
				at = 1
			}
			b = bytes.Join([][]byte{b[:at], []byte(tokens[r.IntN(len(tokens))]), b[at:]}, nil)
		}
	}
	return b
}
