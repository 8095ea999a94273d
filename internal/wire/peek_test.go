// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var exportedFacts = cmp.Options{cmpopts.IgnoreUnexported(Facts{})}

func TestPeekLearns(t *testing.T) {
	// want is changed from the facts of {"model":"m"}. Token estimates have a test of their own.
	for _, tc := range []struct {
		name, body string
		want       func(*Facts)
	}{
		{"the model alone is enough", `{"model":"m"}`, func(*Facts) {}},
		{"white space is allowed wherever JSON allows it", " \t\r\n{ \"model\" : \"m\" , \"stream\" : true } \n", func(f *Facts) { f.Stream = true }},
		{"an escaped key is the key", `{"mod\u0065l":"m"}`, func(*Facts) {}},
		{"an escaped value is unescaped", `{"model":"a\u00e9\ud83d\ude00\"\\\/\b\f\n\r\t"}`, func(f *Facts) { f.Model = []byte("aé😀\"\\/\b\f\n\r\t") }},
		{"the model may be the last field", `{"n":3,"model":"m"}`, func(f *Facts) { f.N = 3 }},
		{"null counts as absent", `{"model":"m","stream":null,"stream_options":null,"max_tokens":null,"n":null,"tools":null,"tool_choice":null,"response_format":null,"logprobs":null,"top_logprobs":null,"modalities":null,"reasoning":null,"reasoning_effort":null,"service_tier":null,"store":null,"background":null,"previous_response_id":null,"user":null,"prompt_cache_key":null,"metadata":null,"input":null,"prompt":null,"messages":null,"functions":null,"function_call":null}`, func(*Facts) {}},
		{"usage is asked for in stream_options", `{"model":"m","stream_options":{"include_obfuscation":false,"include_usage":true}}`, func(f *Facts) { f.IncludeUsage = true }},
		{"the largest of the max-token fields counts", `{"model":"m","max_tokens":5,"max_completion_tokens":9,"max_output_tokens":7}`, func(f *Facts) { f.MaxTokens, f.MaxTokensField = 9, "max_completion_tokens" }},
		{"an integer may be as large as JavaScript can count", `{"model":"m","max_tokens":9007199254740991}`, func(f *Facts) { f.MaxTokens, f.MaxTokensField = 9007199254740991, "max_tokens" }},
		{"an empty list of tools is no tools", `{"model":"m","tools":[],"functions":[]}`, func(*Facts) {}},
		{"functions are tools", `{"model":"m","functions":[{"name":"f"}]}`, func(f *Facts) { f.Tools = true }},
		{"function and custom tools run at the client", `{"model":"m","tools":[{"type":"function"},{"type":"custom"}]}`, func(f *Facts) { f.Tools = true }},
		{"any other tool is hosted", `{"model":"m","tools":[{"type":"function"},{"type":"web_search"}]}`, func(f *Facts) { f.Tools, f.HostedTools = true, true }},
		{"the schema of a tool has types of its own", `{"model":"m","tools":[{"type":"function","function":{"parameters":{"type":"object","type":"x"}}}]}`, func(f *Facts) { f.Tools = true }},
		{"tool_choice none is no choice", `{"model":"m","tool_choice":"none","function_call":"none"}`, func(*Facts) {}},
		{"tool_choice can be a word", `{"model":"m","tool_choice":"required"}`, func(f *Facts) { f.ToolChoice = true }},
		{"tool_choice can be an object", `{"model":"m","function_call":{"name":"f"}}`, func(f *Facts) { f.ToolChoice = true }},
		{"response_format text is the default", `{"model":"m","response_format":{"type":"text"}}`, func(*Facts) {}},
		{"response_format can ask for JSON", `{"model":"m","response_format":{"type":"json_object"}}`, func(f *Facts) { f.ResponseFormat = FormatJSONObject }},
		{"response_format can give a schema", `{"model":"m","response_format":{"json_schema":{"type":1},"type":"json_schema"}}`, func(f *Facts) { f.ResponseFormat = FormatJSONSchema }},
		{"an unknown response format is known to be unknown", `{"model":"m","response_format":{"type":"grammar"}}`, func(f *Facts) { f.ResponseFormat = FormatUnknown }},
		{"logprobs is a boolean in chat", `{"model":"m","logprobs":true}`, func(f *Facts) { f.Logprobs = true }},
		{"logprobs is a number in completions", `{"model":"m","logprobs":2}`, func(f *Facts) { f.Logprobs = true }},
		{"logprobs 0 asks for none", `{"model":"m","logprobs":0,"top_logprobs":0}`, func(*Facts) {}},
		{"top_logprobs asks for logprobs", `{"model":"m","top_logprobs":1}`, func(f *Facts) { f.Logprobs = true }},
		{"modalities with audio ask for audio", `{"model":"m","modalities":["text","audio"]}`, func(f *Facts) { f.AudioOut = true }},
		{"modalities with text alone do not", `{"model":"m","modalities":["text"]}`, func(*Facts) {}},
		{"reasoning is asked for by an object", `{"model":"m","reasoning":{"summary":"auto"}}`, func(f *Facts) { f.Reasoning = true }},
		{"reasoning is asked for by an effort", `{"model":"m","reasoning_effort":"low"}`, func(f *Facts) { f.Reasoning = true }},
		{"an effort of none is no reasoning", `{"model":"m","reasoning_effort":"none","reasoning":{"effort":"none"}}`, func(*Facts) {}},
		{"one effort of none does not undo the other", `{"model":"m","reasoning_effort":"low","reasoning":{"effort":"none"}}`, func(f *Facts) { f.Reasoning = true }},
		{"flags and names are taken as they are", `{"model":"m","service_tier":"flex","store":true,"background":true,"previous_response_id":"r","user":"u","prompt_cache_key":"k","metadata":{"a":"b","user_id":"i"}}`, func(f *Facts) {
			f.ServiceTier, f.Store, f.Background, f.PreviousResponseID = []byte("flex"), true, true, []byte("r")
			f.User, f.PromptCacheKey, f.MetadataUserID, f.Pinned = []byte("u"), []byte("k"), []byte("i"), true
		}},
		{"several escaped values keep apart", `{"model":"\u006d","user":"\u0075","prompt_cache_key":"\u006b"}`, func(f *Facts) { f.User, f.PromptCacheKey = []byte("u"), []byte("k") }},
		{"an empty name is not an absent one", `{"model":"m","user":""}`, func(f *Facts) { f.User = []byte{} }},
		{"content parts are found in messages", `{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"x"},{"type":"image_url"},{"type":"input_audio"},{"type":"file"}]}]}`, func(f *Facts) { f.Content = Image | AudioContent | File }},
		{"content parts are found in what a tool gave back", `{"model":"m","input":[{"output":[{"type":"input_image"}]},{"output":{"type":"input_file"}}]}`, func(f *Facts) { f.Input, f.Content = InputOther, Image|File }},
		{"to search the web is a hosted tool", `{"model":"m","web_search_options":{}}`, func(f *Facts) { f.HostedTools = true }},
		{"a conversation is gone on with", `{"model":"m","conversation":"c"}`, func(f *Facts) { f.Conversation, f.Pinned = true, true }},
		{"also when it is given as an object", `{"model":"m","conversation":{"id":"c"}}`, func(f *Facts) { f.Conversation, f.Pinned = true, true }},
		{"content parts are found in items of input", `{"model":"m","input":[{"role":"user","content":[{"type":"input_image"},{"type":"input_file"}]}]}`, func(f *Facts) { f.Input, f.Content = InputOther, Image|File }},
		{"a word in a text is no content part", `{"model":"m","messages":[{"role":"user","content":"{\"type\":\"image_url\"}"},{"type":"image_url","tool_calls":[{"type":"file"}]}]}`, func(*Facts) {}},
		{"an input is a string", `{"model":"m","input":"x"}`, func(f *Facts) { f.Input = InputString }},
		{"or strings", `{"model":"m","input":["x","y"]}`, func(f *Facts) { f.Input = InputStrings }},
		{"or tokens", `{"model":"m","input":[1,22,0]}`, func(f *Facts) { f.Input = InputTokens }},
		{"or arrays of tokens", `{"model":"m","input":[[1],[2,3]]}`, func(f *Facts) { f.Input = InputTokenArrays }},
		{"or something else when it is mixed", `{"model":"m","input":["x",1]}`, func(f *Facts) { f.Input = InputOther }},
		{"or when it is empty", `{"model":"m","input":[]}`, func(f *Facts) { f.Input = InputOther }},
		{"or when it is an object", `{"model":"m","input":{"text":"x"}}`, func(f *Facts) { f.Input = InputOther }},
		{"keys nobody acts on may come twice and in any case", `{"model":"m","x":1,"x":2,"X":3,"Temperature":1}`, func(*Facts) {}},
		{"sixty-four levels are allowed", `{"model":"m","x":` + strings.Repeat("[", 63) + strings.Repeat("]", 63) + `}`, func(*Facts) {}},
		{"a number of 1024 characters is allowed", `{"model":"m","x":1` + strings.Repeat("0", 1023) + `}`, func(*Facts) {}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			want := Facts{Model: []byte("m"), N: 1}
			tc.want(&want)
			// What an earlier body left behind must not show.
			got := Facts{Stream: true, Tools: true, User: []byte("x"), Content: File, scratch: []byte("left")}
			if err := Peek([]byte(tc.body), &got); err != nil {
				t.Fatalf("Peek refuses: %v", err)
			}
			got.InputTokens = 0
			if diff := cmp.Diff(want, got, exportedFacts); diff != "" {
				t.Errorf("facts (-want +got):\n%s", diff)
			}
		})
	}
}

func TestPeekFindsStateThatLivesElsewhere(t *testing.T) {
	for name, tc := range map[string]struct {
		want bool
		body string
	}{
		"a request that carries everything":            {false, `"messages":[{"role":"user","content":"x"}]`},
		"a null is nothing":                            {false, `"previous_response_id":null,"conversation":null,"audio":null,"prompt":null`},
		"an empty identifier is nothing":               {false, `"previous_response_id":"","conversation":{"id":""}`},
		"an earlier response":                          {true, `"previous_response_id":"resp_1"`},
		"a stored prompt":                              {true, `"prompt":{"id":"pmpt_1","version":"2"}`},
		"a prompt is not stored because its items are": {false, `"prompt":[{"id":"x","text":"y"}]`},
		"a voice of one's own":                         {true, `"audio":{"voice":{"id":"voice_1"},"format":"wav"}`},
		"a voice that everybody has":                   {false, `"audio":{"voice":"alloy","format":"wav"}`},

		"the audio of an earlier answer":      {true, `"messages":[{"role":"assistant","audio":{"id":"audio_1"}}]`},
		"audio that is in the request":        {false, `"messages":[{"content":[{"type":"input_audio","input_audio":{"data":"UklG","format":"wav"}}]}]`},
		"a file of chat completions":          {true, `"messages":[{"content":[{"type":"file","file":{"file_id":"file-1"}}]}]`},
		"a file that is in the request":       {false, `"messages":[{"content":[{"type":"file","file":{"file_data":"data:application/pdf;base64,JVBERi0=","filename":"a.pdf"}}]}]`},
		"a file given by its id alone":        {true, `"messages":[{"content":[{"type":"file","file_id":"file-1"}]}]`},
		"an image that is a file":             {true, `"messages":[{"content":[{"type":"image_file","image_file":{"file_id":"file-1"}}]}]`},
		"a file of responses":                 {true, `"input":[{"role":"user","content":[{"type":"input_file","file_id":"file-1"}]}]`},
		"an image of responses":               {true, `"input":[{"role":"user","content":[{"type":"input_image","file_id":"file-1","image_url":null}]}]`},
		"an escaped identifier":               {true, `"input":[{"content":[{"fil\u0065_id":"\u0066"}]}]`},
		"a file that a citation names":        {false, `"input":[{"content":[{"type":"output_text","text":"x","annotations":[{"type":"file_citation","file_id":"file-1"}]}]}]`},
		"a file that a search has found":      {false, `"input":[{"type":"file_search_call","id":"fs_1","results":[{"file_id":"file-1"}]}]`},
		"a word in a text":                    {false, `"messages":[{"content":"{\"file_id\":\"file-1\"}"}]`},
		"a file in what a function gave back": {true, `"input":[{"type":"function_call_output","output":[{"type":"input_file","file_id":"file-1"}]}]`},
		"a picture of a screen":               {true, `"input":[{"type":"computer_call_output","output":{"type":"computer_screenshot","file_id":"file-1"}}]`},
		"a text that a function gave back":    {false, `"input":[{"type":"function_call_output","output":"file_id"}]`},
		"a message with an id":                {false, `"input":[{"type":"message","id":"msg_1","role":"assistant","content":"x"}]`},
		"a message with an id and calls":      {false, `"messages":[{"id":"msg_1","role":"assistant","content":null,"tool_calls":[]}]`},
		"an item by reference":                {true, `"input":[{"type":"item_reference","id":"msg_1"}]`},
		"an item by reference, without type":  {true, `"input":["x",{"id":"msg_1"}]`},
		"one that stands alone":               {true, `"input":{"id":"msg_1"}`},
		"something with an id to embed":       {false, `"input":[{"id":"1","text":"x"}]`},
		"reasoning that the provider keeps":   {true, `"input":[{"type":"reasoning","id":"rs_1","summary":[],"content":null,"encrypted_content":null}]`},
		"reasoning that the request carries":  {false, `"input":[{"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":"gAAA"}]`},
		"reasoning in plain text":             {false, `"input":[{"type":"reasoning","id":"rs_1","content":[{"type":"reasoning_text","text":"x"}]}]`},
		"an image that the provider keeps":    {true, `"input":[{"type":"image_generation_call","id":"ig_1"}]`},
		"an image that the request carries":   {false, `"input":[{"type":"image_generation_call","id":"ig_1","result":"iVBORw0KGgo="}]`},
		"the item before is forgotten":        {false, `"input":[{"type":"image_generation_call","id":"ig_1","result":"iVBORw0KGgo="},{"type":"reasoning"}]`},
		"a container that ran something":      {true, `"input":[{"type":"code_interpreter_call","id":"ci_1","container_id":"cntr_1"}]`},
		"a container that a shell is in":      {true, `"input":[{"type":"shell_call","environment":{"type":"container_reference","container_id":"cntr_1"}}]`},

		"a vector store":                   {true, `"tools":[{"type":"file_search","vector_store_ids":["vs_1"]}]`},
		"no vector store":                  {false, `"tools":[{"type":"file_search","vector_store_ids":[]}]`},
		"a container":                      {true, `"tools":[{"type":"code_interpreter","container":"cntr_1"}]`},
		"a new container":                  {false, `"tools":[{"type":"code_interpreter","container":{"type":"auto"}}]`},
		"a new container with files":       {true, `"tools":[{"type":"code_interpreter","container":{"type":"auto","file_ids":["file-1"]}}]`},
		"a shell in a container":           {true, `"tools":[{"type":"shell","environment":{"type":"container_reference","container_id":"cntr_1"}}]`},
		"a shell with a skill":             {true, `"tools":[{"type":"shell","environment":{"type":"container_auto","skills":[{"type":"skill_reference","skill_id":"skill_1"}]}}]`},
		"a mask that is a file":            {true, `"tools":[{"type":"image_generation","input_image_mask":{"file_id":"file-1"}}]`},
		"a function with such a parameter": {false, `"tools":[{"type":"function","name":"f","parameters":{"properties":{"container":"x"},"container":"y","file_ids":["z"]}}]`},
	} {
		t.Run(name, func(t *testing.T) {
			var f Facts
			if err := Peek([]byte(`{"model":"m",`+tc.body+`}`), &f); err != nil {
				t.Fatalf("Peek refuses: %v", err)
			}
			if f.Pinned != tc.want {
				t.Errorf("Pinned = %v, want %v", f.Pinned, tc.want)
			}
		})
	}
}

func TestPeekRefuses(t *testing.T) {
	deep := `{"model":"m","x":` + strings.Repeat("[", 64) + strings.Repeat("]", 64) + `}`
	for _, tc := range []struct {
		name, body, wantField, wantMessage string
	}{
		{"an empty body", "", "", "The body is empty: send a JSON object."},
		{"a body of white space", " \n", "", "The body is empty: send a JSON object."},
		{"a byte order mark", "\ufeff{}", "", "The body begins with a byte order mark: send UTF-8 without one."},
		{"an array", `[{"model":"m"}]`, "", "The body is not a JSON object: send one, with Content-Type application/json."},
		{"a form", `model=m`, "", "The body is not a JSON object: send one, with Content-Type application/json."},
		{"a missing model", `{"stream":true}`, "model", `"model" is missing: name the model or the capability to use.`},
		{"an empty model", `{"model":""}`, "model", `"model" is empty: name the model or the capability to use.`},
		{"a null model", `{"model":null}`, "model", `"model" must be a string.`},
		{"a model that is no string", `{"model":{"name":"m"}}`, "model", `"model" must be a string.`},
		{"an endless model", `{"model":"` + strings.Repeat("m", 513) + `"}`, "model", `"model" is longer than 512 bytes: name the model or the capability to use.`},

		{"a second model", `{"model":"a","model":"b"}`, "model", `"model" appears twice: send it once.`},
		{"a second model in disguise", `{"model":"a","mod\u0065l":"b"}`, "model", `"model" appears twice: send it once.`},
		{"a second model that is null", `{"model":"a","stream":null,"stream":true}`, "stream", `"stream" appears twice: send it once.`},
		{"a model in capitals", `{"MODEL":"a"}`, "model", `The key "MODEL" would be read as "model" by some providers and ignored by others: write "model".`},
		{"a second model in capitals", `{"model":"a","Model":"b"}`, "model", `The key "Model" would be read as "model"`},
		{"a model in escaped capitals", `{"model":"a","\u004dodel":"b"}`, "model", `The key "\\u004dodel" would be read as "model"`},
		{"a long s", `{"model":"a","ſtream":true}`, "stream", `The key "\u017ftream" would be read as "stream"`},
		{"an escaped long s", `{"model":"a","\u017Ftream":true}`, "stream", `would be read as "stream"`},
		{"a Kelvin sign", `{"model":"a","max_to` + "\u212a" + `ens":1}`, "max_tokens", `The key "max_to\u212aens" would be read as "max_tokens"`},
		{"a second include_usage", `{"model":"a","stream_options":{"include_usage":true,"include_usage":false}}`, "stream_options.include_usage", `"stream_options.include_usage" appears twice: send it once.`},
		{"include_usage in capitals", `{"model":"a","stream_options":{"INCLUDE_USAGE":true}}`, "stream_options.include_usage", `write "include_usage".`},
		{"a second response format type", `{"model":"a","response_format":{"type":"text","type":"json_object"}}`, "response_format.type", `appears twice`},
		{"a second user id", `{"model":"a","metadata":{"user_id":"a","user\u005fid":"b"}}`, "metadata.user_id", `appears twice`},
		{"a second effort", `{"model":"a","reasoning":{"effort":"low","effort":"none"}}`, "reasoning.effort", `appears twice`},
		{"a second tool type", `{"model":"a","tools":[{"type":"function","type":"web_search"}]}`, "tools[].type", `appears twice`},
		{"a second content", `{"model":"a","messages":[{"content":[{"type":"image_url"}],"content":""}]}`, "messages[].content", `appears twice`},
		{"a second part type", `{"model":"a","messages":[{"content":[{"type":"image_url","type":"text"}]}]}`, "messages[].content[].type", `appears twice`},

		{"a second file", `{"model":"a","messages":[{"content":[{"file_id":"a","file_id":"b"}]}]}`, "messages[].content[].file_id", `appears twice`},
		{"a file in capitals", `{"model":"a","messages":[{"content":[{"File_ID":"a"}]}]}`, "messages[].content[].file_id", `write "file_id".`},
		{"a second conversation", `{"model":"a","conversation":{"id":"a","\u0069d":"b"}}`, "conversation.id", `appears twice`},
		{"a second item type", `{"model":"a","input":[{"type":"message","type":"item_reference","id":"x"}]}`, "messages[].type", `appears twice`},
		{"a conversation as a flag", `{"model":"a","conversation":true}`, "conversation", `"conversation" must be a string or an object.`},

		{"stream as a word", `{"model":"m","stream":"yes"}`, "stream", `"stream" must be true or false.`},
		{"stream as a number", `{"model":"m","stream":1}`, "stream", `"stream" must be true or false.`},
		{"include_usage as a word", `{"model":"m","stream_options":{"include_usage":"yes"}}`, "stream_options.include_usage", `"stream_options.include_usage" must be true or false.`},
		{"stream_options as a list", `{"model":"m","stream_options":[]}`, "stream_options", `"stream_options" must be an object.`},
		{"max_tokens as a string", `{"model":"m","max_tokens":"12"}`, "max_tokens", `"max_tokens" must be a whole number.`},
		{"max_tokens below zero", `{"model":"m","max_tokens":-1}`, "max_tokens", `"max_tokens" must be at least 0.`},
		{"max_tokens as minus zero", `{"model":"m","max_tokens":-0}`, "max_tokens", `"max_tokens" must be at least 0.`},
		{"max_tokens beyond JavaScript", `{"model":"m","max_tokens":9007199254740992}`, "max_tokens", `"max_tokens" must be at most 9007199254740991.`},
		{"max_tokens beyond everything", `{"model":"m","max_tokens":99999999999999999999999}`, "max_tokens", `"max_tokens" must be at most 9007199254740991.`},
		{"n with a point", `{"model":"m","n":1.5}`, "n", `"n" must be a whole number, without a point or an exponent.`},
		{"n with an exponent", `{"model":"m","n":1e0}`, "n", `"n" must be a whole number, without a point or an exponent.`},
		{"n of zero", `{"model":"m","n":0}`, "n", `"n" must be at least 1.`},
		{"tools as an object", `{"model":"m","tools":{}}`, "tools", `"tools" must be an array.`},
		{"a tool that is a word", `{"model":"m","tools":["web_search"]}`, "tools[]", `"tools[]" must be an object.`},
		{"tool_choice as a flag", `{"model":"m","tool_choice":true}`, "tool_choice", `"tool_choice" must be a string or an object.`},
		{"response_format as a word", `{"model":"m","response_format":"json"}`, "response_format", `"response_format" must be an object.`},
		{"response_format without a type that is a word", `{"model":"m","response_format":{"type":null}}`, "response_format.type", `"response_format.type" must be a string.`},
		{"logprobs as a word", `{"model":"m","logprobs":"all"}`, "logprobs", `"logprobs" must be true, false or a whole number.`},
		{"top_logprobs as a flag", `{"model":"m","top_logprobs":true}`, "top_logprobs", `"top_logprobs" must be a whole number.`},
		{"modalities as a word", `{"model":"m","modalities":"audio"}`, "modalities", `"modalities" must be an array.`},
		{"a modality that is a number", `{"model":"m","modalities":[1]}`, "modalities[]", `"modalities[]" must be a string.`},
		{"reasoning as a word", `{"model":"m","reasoning":"high"}`, "reasoning", `"reasoning" must be an object.`},
		{"user as a number", `{"model":"m","user":1}`, "user", `"user" must be a string.`},
		{"metadata as a word", `{"model":"m","metadata":"x"}`, "metadata", `"metadata" must be an object.`},
		{"messages as a word", `{"model":"m","messages":"hi"}`, "messages", `"messages" must be an array.`},

		{"trailing bytes", `{"model":"m"}x`, "", "something follows the end of the JSON value (at byte 13)."},
		{"a second object", `{"model":"m"}{"model":"n"}`, "", "something follows the end"},
		{"trailing NULs", "{\"model\":\"m\"}\x00", "", "something follows the end"},
		{"sixty-five levels", deep, "", "it is nested more than 64 levels deep"},
		{"a cut body", `{"model":"m","messages":[{"role":"us`, "messages[]", `it ends too early (at byte 36, in "messages[]").`},
		{"a body cut behind a backslash", `{"model":"m\`, "model", "it ends too early"},
		{"a body cut behind a key", `{"model"`, "", "it ends too early"},
		{"a trailing comma", `{"model":"m",}`, "", "a key in double quotes is expected"},
		{"a leading comma", `{,"model":"m"}`, "", "a key in double quotes is expected"},
		{"a trailing comma in an array", `{"model":"m","input":[1,]}`, "input", "a value is expected"},
		{"a missing comma", `{"model":"m" "n":1}`, "", "a comma or the end of the object is expected"},
		{"a missing comma in an array", `{"model":"m","x":[1 2]}`, "", "a comma or the end of the array is expected"},
		{"a missing colon", `{"model" "m"}`, "", "a colon is expected after a key"},
		{"a missing value", `{"model":"m","x":}`, "", "a value is expected"},
		{"single quotes", `{'model':'m'}`, "", "a key in double quotes is expected"},
		{"a comment", `{"model":"m"/**/}`, "", "a comma or the end of the object is expected"},
		{"a form feed between members", "{\"model\":\"m\",\f\"n\":1}", "", "a key in double quotes is expected"},
		{"a leading zero", `{"model":"m","n":01}`, "n", "a number is malformed"},
		{"a bare minus", `{"model":"m","x":-}`, "", "a number is malformed"},
		{"a number ending in a point", `{"model":"m","x":1.}`, "", "a number is malformed"},
		{"a number ending in an exponent", `{"model":"m","x":1e+}`, "", "a number is malformed"},
		{"a number of more digits than Python reads", `{"model":"m","x":1` + strings.Repeat("0", 5000) + `}`, "", "a number has more than 1024 characters"},
		{"not a number", `{"model":"m","x":NaN}`, "", "a value is expected"},
		{"infinity", `{"model":"m","x":-Infinity}`, "", "a number is malformed"},
		{"a word that is almost true", `{"model":"m","stream":tru}`, "stream", "a value is expected"},
		{"a line end in a string", "{\"model\":\"m\",\"x\":\"a\nb\"}", "", "a control character in a string must be escaped (at byte 19)."},
		{"an unknown escape", `{"model":"m","x":"\a"}`, "", "an escape sequence in a string is unknown"},
		{"a short unicode escape", `{"model":"m","x":"\u12"}`, "", "an escape sequence in a string is unknown"},
		{"a high surrogate alone", `{"model":"m","messages":[{"content":"\ud83d"}]}`, "messages[].content", "a string has an unpaired surrogate escape"},
		{"a low surrogate alone", `{"model":"m","x":"\ude00"}`, "", "a string has an unpaired surrogate escape"},
		{"surrogates the wrong way round", `{"model":"m","x":"\ude00\ud83d"}`, "", "a string has an unpaired surrogate escape"},
		{"a high surrogate before a rune", `{"model":"m","x":"\ud83d\u0041"}`, "", "a string has an unpaired surrogate escape"},
		{"two high surrogates", `{"model":"m","x":"\ud83d\ud83d"}`, "", "a string has an unpaired surrogate escape"},
		{"a surrogate in a key", `{"model":"m","\ud83d":1}`, "", "a string has an unpaired surrogate escape"},
		{"bytes that are not UTF-8", "{\"model\":\"m\xff\"}", "model", `a string is not valid UTF-8 (at byte 11, in "model").`},
		{"an overlong encoding", "{\"model\":\"m\",\"x\":\"\xc0\xaf\"}", "", "a string is not valid UTF-8"},
		{"an encoded surrogate", "{\"model\":\"m\",\"x\":\"é\xed\xa0\x80\"}", "", "a string is not valid UTF-8"},
		{"UTF-16", "{\x00\"\x00m\x00", "", "a key in double quotes is expected"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var f Facts
			err := Peek([]byte(tc.body), &f)
			refusal, ok := errors.AsType[*PeekError](err)
			if !ok {
				t.Fatalf("Peek(%s) = %v, want a refusal", tc.body, err)
			}
			if refusal.Field != tc.wantField {
				t.Errorf("field %q, want %q (%s)", refusal.Field, tc.wantField, refusal.Message)
			}
			if !strings.Contains(refusal.Message, tc.wantMessage) {
				t.Errorf("message %q, want %q in it", refusal.Message, tc.wantMessage)
			}
		})
	}
}

func TestPeekEstimatesTokens(t *testing.T) {
	base64 := strings.Repeat("iVBORw0KGgo=", 1000)
	for _, tc := range []struct {
		name, body string
		want       int64
	}{
		{"nothing is nothing", `{"model":"m"}`, 0},
		{"four bytes of text are a token", `{"model":"m","input":"12345678"}`, 2},
		{"a part of a token is one", `{"model":"m","input":"123456789"}`, 3},
		{"an escape is the character it stands for", `{"model":"m","input":"\n\t\u0041\"\n\t\u0041\""}`, 2},
		{"a Cyrillic letter is half a token", `{"model":"m","input":"жжжж"}`, 2},
		{"a Chinese character is a token", `{"model":"m","input":"道可道非"}`, 4},
		{"an escaped one is too", `{"model":"m","input":"\u9053\u53ef\u9053\u975e"}`, 4},
		{"an emoji is a token", `{"model":"m","input":"😀\ud83d\ude00"}`, 2},
		{"strings add up", `{"model":"m","input":["1234","5678"]}`, 2},
		{"tokens count as they are", `{"model":"m","input":[100,200,300]}`, 3},
		{"arrays of tokens too", `{"model":"m","prompt":[[1,2],[3]]}`, 3},
		{"a prompt counts", `{"model":"m","prompt":"12345678"}`, 2},
		{"what is said counts, and by whom", `{"model":"m","messages":[{"role":"user","content":"12345678"}]}`, 3},
		{"text parts count", `{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"12345678"}]}]}`, 3},
		{"a data URL does not", `{"model":"m","messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,` + base64 + `"}}]}]}`, 1},
		{"nor does one in capitals", `{"model":"m","input":"DATA:image/png;base64,` + base64 + `"}`, 0},
		{"nor does base64 audio", `{"model":"m","messages":[{"role":"user","content":[{"type":"input_audio","input_audio":{"data":"` + base64 + `","format":"wave"}}]}]}`, 2},
		{"nor does a base64 file", `{"model":"m","messages":[{"role":"user","content":[{"type":"file","file":{"file_data":"` + base64 + `","filename":"text"}}]}]}`, 2},
		{"a text about data does", `{"model":"m","input":"data: one, two, three"}`, 6},
		{"the names and texts of tools count", `{"model":"m","tools":[{"type":"function","function":{"name":"abcd","parameters":{"type":"object"}}}]}`, 9},
		{"an image that was made does not", `{"model":"m","input":[{"type":"image_generation_call","id":"12345678","result":"` + base64 + `"}]}`, 0},
		{"nor do the names of files", `{"model":"m","input":[{"content":[{"type":"input_file","file_id":"12345678"}]}]}`, 0},
		{"other fields do not", `{"model":"m","user":"12345678","metadata":{"x":"12345678"},"stop":["12345678"]}`, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var f Facts
			if err := Peek([]byte(tc.body), &f); err != nil {
				t.Fatalf("Peek refuses: %v", err)
			}
			if f.InputTokens != tc.want {
				t.Errorf("%d tokens, want %d", f.InputTokens, tc.want)
			}
		})
	}
}

func TestPlainStopsAtEverySpecialByteWhereverItStands(t *testing.T) {
	for length := range 70 {
		for at := range length {
			for c := range 256 {
				b := bytes.Repeat([]byte("~"), length)
				b[at] = byte(c)
				want := length
				if isSpecial(byte(c)) {
					want = at
				}
				if got := plain(b, 0); got != want {
					t.Fatalf("byte %#02x at %d of %d: plain stops at %d", c, at, length, got)
				}
			}
		}
	}
}

func TestPeekAllocatesNothing(t *testing.T) {
	body := []byte(`{"model":"\u0063hat","stream":true,"n":1,"tools":[{"type":"function","function":{"name":"f"}}],"user":"\u0075",` +
		`"conversation":{"id":"\u0063"},"input":[{"type":"r\u0065asoning","id":"r","content":[{"file_id":"\u0066"}]}],` +
		`"messages":[{"role":"user","content":[{"type":"text","text":"Größe 道 \u9053\n"}]}],"Unknown":[1.5e3,null,{}]}`)
	var f Facts
	if n := testing.AllocsPerRun(100, func() {
		if err := Peek(body, &f); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}
