// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package dataplane

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// callers make requests on connections of their own, and repeat nothing by themselves.
var callers = &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DisableCompression: true}}

// body writes the request for a model.
func (r *Request) body(model string, stream bool) string {
	var b strings.Builder
	fmt.Fprintf(&b, `{"model":%q,"max_tokens":8,`, model)
	if stream {
		b.WriteString(`"stream":true,`)
	}
	if r.Fields != "" {
		b.WriteString(r.Fields + ",")
	}
	messages := r.Messages
	if messages == "" {
		content := r.Content
		if content == "" {
			content = `"Say something."`
		}
		messages = `[{"role":"user","content":` + content + `}]`
	}
	return b.String() + `"messages":` + messages + `}`
}

// Reply is an answer of the proxy.
type Reply struct {
	Status int
	Header http.Header
	Body   string
	// Err is what ended the body before its end.
	Err error
}

// frames are the events of a stream, without the blank lines between them.
func (r *Reply) frames() []string {
	return strings.Split(strings.TrimSuffix(r.Body, "\n\n"), "\n\n")
}

// code is the code of an error in OpenAI's shape: the answer's, or that of a stream's last event.
func (r *Reply) code() string {
	text := r.Body
	if r.streamed() {
		frames := r.frames()
		text = strings.TrimPrefix(frames[len(frames)-1], "data: ")
	}
	var e struct {
		Error struct {
			Code any `json:"code"`
		} `json:"error"`
	}
	if json.Unmarshal([]byte(text), &e) != nil {
		return ""
	}
	code, _ := e.Error.Code.(string)
	return code
}

func (r *Reply) streamed() bool {
	return strings.HasPrefix(r.Header.Get("Content-Type"), "text/event-stream")
}

// content is what the answer says.
func (r *Reply) content() string {
	texts := []string{r.Body}
	if r.streamed() {
		texts = r.frames()
	}
	var all strings.Builder
	for _, text := range texts {
		var answer struct {
			Choices []struct {
				Message, Delta struct{ Content string }
			}
		}
		if json.Unmarshal([]byte(strings.TrimPrefix(text, "data: ")), &answer) == nil {
			for _, c := range answer.Choices {
				all.WriteString(c.Message.Content + c.Delta.Content)
			}
		}
	}
	return all.String()
}

// Reading is an answer on its way.
type Reading struct {
	response *http.Response
	reader   *bufio.Reader
	read     strings.Builder
	cancel   context.CancelFunc
}

// until reads until the answer so far holds a text.
func (r *Reading) until(text string) error {
	for !strings.Contains(r.read.String(), text) {
		line, err := r.reader.ReadString('\n')
		r.read.WriteString(line)
		if err != nil {
			return fmt.Errorf("%q did not come, but %q: %w", text, r.read.String(), err)
		}
	}
	return nil
}

// rest reads the answer to its end.
func (r *Reading) rest() *Reply {
	text, err := io.ReadAll(r.reader)
	r.read.Write(text)
	r.cancel()
	_ = r.response.Body.Close() // it has been read
	return &Reply{Status: r.response.StatusCode, Header: r.response.Header, Body: r.read.String(), Err: err}
}

// leave closes the connection.
func (r *Reading) leave() {
	r.cancel()
	_ = r.response.Body.Close() // the same
}

// open makes a request and returns once the head of its answer is there.
func open(ctx context.Context, url, body string) (*Reading, error) {
	ctx, cancel := context.WithTimeout(ctx, 3*patience)
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/v1/chat/completions", strings.NewReader(body))
	if err != nil {
		cancel()
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := callers.Do(request) //nolint:bodyclose // the Reading closes it
	if err != nil {
		cancel()
		return nil, err
	}
	return &Reading{response: response, reader: bufio.NewReader(response.Body), cancel: cancel}, nil
}

// unchecked is what an Answer says of what does not matter.
const unchecked = "any"

// problems are what is wrong with an answer; none when it is as it must be. attempts is how many there were.
func (a *Answer) problems(r *Reply, ask *Request, stream bool, attempts int) []string {
	var found []string
	say := func(wrong bool, format string, args ...any) {
		if wrong {
			found = append(found, fmt.Sprintf(format, args...))
		}
	}
	status, code := max(a.Status, http.StatusOK), r.code()
	say(r.Status != status, "status %d, want %d", r.Status, status)
	say(r.Err != nil, "the answer broke off: %v", r.Err)
	say(code != a.Code && a.Code != unchecked, "code %q, want %q", code, a.Code)
	say(a.Body != "" && r.Body != a.Body, "it is not %q", a.Body)
	for _, text := range a.Says {
		say(!strings.Contains(r.Body, text), "it does not say %q", text)
	}
	for _, text := range a.Hides {
		say(strings.Contains(r.Body, text) || strings.Contains(fmt.Sprint(r.Header), text), "it gives away %q", text)
	}
	switch {
	case a.Event:
		found = append(found, a.event(r)...)
	case a.Status != 0 || a.Body != "": // an error, or compared already
	case stream:
		found = append(found, wholeStream(r, ask)...)
	default:
		say(len(a.Says) == 0 && r.content() == "", "no content")
	}
	return append(found, a.headers(r, attempts)...)
}

// headers are what is wrong with the headers.
func (a *Answer) headers(r *Reply, attempts int) []string {
	var found []string
	want := func(name, value string) {
		if have := r.Header.Get(name); have != value {
			found = append(found, fmt.Sprintf("%s is %q, want %q", name, have, value))
		}
	}
	if a.Retry != unchecked {
		want("X-Should-Retry", a.Retry)
	}
	if text := r.Header.Get("Retry-After"); !a.waits(text) {
		found = append(found, fmt.Sprintf("Retry-After is %q, want up to %d seconds", text, a.RetryAfter))
	}
	if r.Header.Get("X-Turnout-Request-Id") == "" {
		found = append(found, "there is no x-turnout-request-id")
	}
	if a.Waits { // the head went out before anybody could know the rest
		return found
	}
	if a.Tried != "" {
		want("X-Turnout-Outcomes", a.Tried)
		attempts = strings.Count(a.Tried, ",") + 1
	}
	if attempts > 0 {
		want("X-Turnout-Attempts", fmt.Sprint(attempts))
	}
	return found
}

// waits reports whether the header Retry-After says what it must.
func (a *Answer) waits(header string) bool {
	if header == "" || a.RetryAfter == 0 {
		return header == "" && a.RetryAfter == 0
	}
	seconds, err := strconv.Atoi(header)
	return err == nil && seconds >= 1 && seconds <= a.RetryAfter
}

// event are what is wrong with a stream that must end with an error event of ours.
func (a *Answer) event(r *Reply) []string {
	var found []string
	frames := r.frames()
	if last := frames[len(frames)-1]; !strings.HasPrefix(last, `data: {"error":{`) {
		found = append(found, fmt.Sprintf("it ends with %q, want an error event", last))
	}
	if strings.Contains(r.Body, done) || strings.Count(r.Body, `"error":{`) != 1 {
		found = append(found, "want one error event, and the end")
	}
	return append(found, wholeFrames(r)...)
}

// wholeStream are what is wrong with a stream of the simulator that must have arrived whole.
func wholeStream(r *Reply, ask *Request) []string {
	found := wholeFrames(r)
	if !strings.HasSuffix(r.Body, done) || r.content() == "" {
		found = append(found, "the stream is not whole")
	}
	if n := strings.Count(r.Body, `"role":"assistant"`); n != 1 {
		found = append(found, fmt.Sprintf("it begins %d times", n))
	}
	told := strings.Contains(r.Body, `"choices":[],"usage":{`)
	if asked := strings.Contains(ask.Fields, `"include_usage":true`); told != asked {
		found = append(found, fmt.Sprintf("its usage is told: %t, asked for: %t", told, asked))
	}
	return found
}

// wholeFrames are the frames that are none.
func wholeFrames(r *Reply) []string {
	frames := r.frames()
	at := slices.IndexFunc(frames, func(frame string) bool {
		data, ok := strings.CutPrefix(frame, "data: ")
		whole := ok && (data == "[DONE]" || json.Valid([]byte(data)))
		return !whole && !strings.HasPrefix(frame, ":")
	})
	if at < 0 {
		return nil
	}
	return []string{fmt.Sprintf("frame %q is not whole", frames[at])}
}
