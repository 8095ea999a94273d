// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package storm

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
)

// kind is what became of a request, as its caller saw it.
type kind uint8

// The kinds.
const (
	// whole: the whole answer, and the right one.
	whole kind = iota
	// cut: the right beginning of a stream with some content, then one error event and the end.
	cut
	// left: the caller went away, and what it had until then was right.
	left
	// failed: an error instead of an answer.
	failed
	// wrong: anything else.
	wrong
	kinds
)

var kindNames = [kinds]string{
	whole: "answered whole", cut: "streams cut after content", left: "callers that left", failed: "failed", wrong: "answered wrongly",
}

// verdict is a kind, and for some what about it.
type verdict struct {
	kind   kind
	detail string
}

func wrongly(format string, args ...any) verdict { return verdict{wrong, fmt.Sprintf(format, args...)} }

// The words of the wire.
const (
	doneFrame      = "[DONE]"
	fieldError     = "error"
	fieldUsage     = "usage"
	codeCut        = "stream_interrupted"
	typeOfProvider = "server_error"
)

// judge holds an answer against what a provider that is well says.
func judge(q *ask, a *answer, expected []byte) verdict {
	switch {
	case a.left && a.status == 0:
		return verdict{left, ""}
	case a.left && a.status != http.StatusOK:
		return verdict{failed, fmt.Sprintf("%d to a caller that left", a.status)}
	case a.status == 0:
		return wrongly("no answer: %v", a.err)
	case a.status != http.StatusOK:
		return judgeError(a)
	case q.stream:
		return judgeStream(q, a, expected)
	}
	return judgeWhole(a, expected)
}

// judgeError judges an answer that is not one.
func judgeError(a *answer) verdict {
	var said struct {
		Error struct{ Code, Message string }
	}
	if a.err != nil || json.Unmarshal(a.body, &said) != nil || said.Error.Message == "" {
		return wrongly("%d without an error in OpenAI's shape: %v", a.status, a.err)
	}
	return verdict{failed, fmt.Sprintf("%d %s: %s", a.status, said.Error.Code, said.Error.Message)}
}

func judgeWhole(a *answer, expected []byte) verdict {
	if a.left {
		return verdict{left, ""}
	}
	if a.err != nil {
		return wrongly("the body ended with %v", a.err)
	}
	have, err := normal(a.body)
	if err != nil {
		return wrongly("no JSON: %v", err)
	}
	want, err := normal(expected)
	if err != nil {
		return wrongly("the reference is no JSON: %v", err)
	}
	if !reflect.DeepEqual(have, want) {
		return wrongly("another answer than %s", expected)
	}
	return verdict{whole, ""}
}

// judgeStream judges a stream frame by frame.
func judgeStream(q *ask, a *answer, expected []byte) verdict {
	want, err := readFrames(expected)
	if err != nil {
		return wrongly("the reference: %v", err)
	}
	have, err := readFrames(a.body)
	switch {
	case a.left:
		if d := have.differs(want); d != "" {
			return wrongly("before the caller left: %s", d)
		}
		return verdict{left, ""}
	case err != nil:
		return wrongly("%v", err)
	case a.err != nil:
		return wrongly("the stream ended with %v", a.err)
	case have.rest != "":
		return wrongly("the stream ended within a frame: %q", have.rest)
	case len(have.ids) > 1:
		return wrongly("frames of several answers: %v", have.ids)
	}
	if d := have.differs(want); d != "" {
		return wrongly("%s", d)
	}
	if !q.usage && have.usage {
		return wrongly("a usage that was not asked for")
	}
	return have.ending(want)
}

// frames are what a stream has said.
type frames struct {
	// texts are the frames without what differs between two answers to one request.
	texts   []string
	ids     []string
	content bool // there was some
	usage   bool
	// err is the error event, and behind how many frames came after it.
	err    map[string]any
	behind int
	rest   string // a frame that was not ended
}

// differs says where frames are not those of another stream, as far as they go.
func (f *frames) differs(want *frames) string {
	for i, text := range f.texts {
		if i >= len(want.texts) {
			return fmt.Sprintf("frame %d, %s, is one too many", i, text)
		}
		if text != want.texts[i] {
			return fmt.Sprintf("frame %d is %s instead of %s", i, text, want.texts[i])
		}
	}
	return ""
}

// ending judges how a stream ended of which every frame is right.
func (f *frames) ending(want *frames) verdict {
	complete := len(f.texts) == len(want.texts)
	switch {
	case f.err == nil && complete:
		return verdict{whole, ""}
	case f.err == nil && finished(want.texts[len(f.texts):]):
		return verdict{cut, "after the last finish reason"}
	case f.err == nil:
		return wrongly("the stream ended after %d of %d frames without an error", len(f.texts), len(want.texts))
	case f.behind > 0:
		return wrongly("%d frames behind the error event", f.behind)
	case complete:
		return wrongly("an error event behind [DONE]")
	}
	code, _ := f.err["code"].(string)
	kind, _ := f.err["type"].(string)
	if !f.content {
		return verdict{failed, fmt.Sprintf("an error event before any content: %s %s", kind, code)}
	}
	if code != codeCut && kind != typeOfProvider {
		return wrongly("the stream ended with an error event of type %q and code %q", kind, code)
	}
	return verdict{cut, code}
}

// finished reports whether frames are no part of the answer but what comes behind it: its usage, and the end.
func finished(left []string) bool {
	return len(left) <= 2 && !slices.ContainsFunc(left, func(text string) bool {
		return text != doneFrame && !strings.Contains(text, `"choices":[]`)
	})
}

// readFrames reads a stream. What comes before the first frame that is none is returned with the error.
func readFrames(body []byte) (*frames, error) {
	f := &frames{}
	for len(body) > 0 {
		text, rest, ended := bytes.Cut(body, []byte("\n\n"))
		if !ended {
			f.rest = string(text)
			return f, nil
		}
		body = rest
		if bytes.HasPrefix(text, []byte(":")) {
			continue // a comment
		}
		data, ok := bytes.CutPrefix(text, []byte("data: "))
		if !ok {
			return f, fmt.Errorf("a frame without data: %q", text)
		}
		if err := f.add(data); err != nil {
			return f, err
		}
	}
	return f, nil
}

func (f *frames) add(data []byte) error {
	if f.err != nil {
		f.behind++
	}
	if string(data) == doneFrame {
		f.texts = append(f.texts, doneFrame)
		return nil
	}
	var id struct{ ID string }
	_ = json.Unmarshal(data, &id) // normal says so
	frame, err := normal(data)
	if err != nil {
		return fmt.Errorf("a frame that is no JSON: %q", data)
	}
	if said, ok := frame[fieldError].(map[string]any); ok {
		f.err = said
		return nil
	}
	if len(f.ids) == 0 || f.ids[len(f.ids)-1] != id.ID {
		f.ids = append(f.ids, id.ID)
	}
	f.usage = f.usage || frame[fieldUsage] != nil
	text, err := json.Marshal(frame)
	f.texts = append(f.texts, string(text))
	f.content = f.content || saysSomething(frame)
	return err
}

// saysSomething reports whether a frame has content.
func saysSomething(frame map[string]any) bool {
	choices, _ := frame["choices"].([]any)
	for _, c := range choices {
		choice, _ := c.(map[string]any)
		delta, _ := choice["delta"].(map[string]any)
		if text, _ := delta["content"].(string); text != "" {
			return true
		}
		if text, _ := choice["text"].(string); text != "" {
			return true
		}
	}
	return false
}

// normal reads an object without what differs between two answers to one request: when and under which name it was
// given, padding, and what the provider had in its cache. A usage of null says as much as none.
func normal(text []byte) (map[string]any, error) {
	var object map[string]any
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	if err := decoder.Decode(&object); err != nil {
		return nil, err
	}
	if decoder.More() {
		return nil, fmt.Errorf("more behind it: %q", shortened(string(text)))
	}
	for _, name := range []string{"id", "created", "obfuscation"} {
		delete(object, name)
	}
	switch usage, _ := object[fieldUsage].(map[string]any); {
	case usage != nil:
		delete(usage, "prompt_tokens_details")
	default:
		delete(object, fieldUsage)
	}
	return object, nil
}

// shortened is a text of a length that people read.
func shortened(text string) string {
	const most = 600
	if len(text) > most {
		text = text[:most/2] + " … " + text[len(text)-most/2:]
	}
	return strings.ToValidUTF8(text, "?")
}
