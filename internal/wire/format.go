// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package wire

import "bytes"

// Format is the way in which a provider answers: how it writes its answers, the frames of its streams, and its
// errors. Everything that differs from one to the next is behind its methods. The zero value reads as OpenAI.
type Format uint8

// The formats.
const (
	// OpenAI is OpenAI's chat completions, completions and embeddings, and what many servers speak like.
	OpenAI Format = iota + 1
	// Responses is OpenAI's responses: the errors of OpenAI, and streams of their own.
	Responses
	// Anthropic is Anthropic's messages.
	Anthropic
	// Gemini is Google's generateContent and streamGenerateContent (with alt=sse).
	Gemini
)

// table is the format's error table.
func (f Format) table() *errorTable {
	switch f {
	case Anthropic:
		return &anthropicErrors
	case Gemini:
		return &geminiErrors
	default:
		return &openAIErrors
	}
}

// Classify says what a whole (not streamed) answer means, and what it cost when it is a Success.
//
// A 2xx is a success only with one whole JSON object that has no error, and that is an answer: with content, or
// with the reason why there is none. A page of HTML, an empty or a cut body, and an object that holds neither
// are failures, as 1xx and 3xx are. An error in a 2xx goes by its code.
func (f Format) Classify(status int, body []byte) Verdict {
	return f.classify(f.table(), status, body)
}

func (f Format) classify(t *errorTable, status int, body []byte) Verdict {
	switch {
	case status >= 500:
		return Verdict{Outcome: Failure} // whatever it says
	case status >= 400:
		e := f.fault(body)
		return t.judge(status, &e)
	case status < 200 || status > 299:
		return Verdict{Outcome: Failure}
	}
	l := lookAt(body)
	valid := f.read(&l)
	if !valid || l.kind&Failed != 0 {
		return f.classifyError(t, body)
	}
	if l.known && l.kind&(Content|Terminal) == 0 {
		return Verdict{Outcome: Failure}
	}
	return Verdict{Outcome: Success, Filtered: l.kind&Filtered != 0, Usage: f.usage(&l)}
}

// ClassifyErrorFrame says what a frame whose kind has Failed means for the attempt.
func (f Format) ClassifyErrorFrame(data []byte) Verdict {
	return f.classifyError(f.table(), data)
}

// classifyError judges an error that came with no status of its own.
func (f Format) classifyError(t *errorTable, data []byte) Verdict {
	e := f.fault(data)
	if e.form == noFault {
		return Verdict{Outcome: Failure}
	}
	status := e.status
	if status == 0 {
		status = t.impliedStatus(&e)
	}
	v := t.judge(status, &e)
	v.Status = status
	return v
}

// ClassifyFrame says what the data of one frame of a stream is. Lifecycle is a closed list for each format.
// Every other frame is content, also those that are not JSON: a frame that nobody knows may have had effects.
//
// size is how much text the frame brings, in quarters of a token: what the answer is estimated by when its
// provider does not say what it used.
func (f Format) ClassifyFrame(data []byte) (kind FrameKind, size int) {
	data = bytes.Trim(data, " \t\r\n")
	switch {
	case len(data) == 0:
		return Lifecycle, 0
	case string(data) == "[DONE]" && f != Anthropic && f != Gemini:
		return Terminal | Last, 0
	case data[0] != '{':
		return f.classifyOther(data)
	}
	l := lookAt(data)
	if !f.read(&l) || !l.known {
		return Content, l.size
	}
	return l.kind, l.size
}

// classifyOther is ClassifyFrame for data that is no object: an error in a list of one, as Google's servers
// write some, or content.
func (f Format) classifyOther(data []byte) (FrameKind, int) {
	if data[0] == '[' {
		if e := f.fault(data); e.form != noFault {
			return Failed, 0
		}
	}
	return Content, len(data)
}

// FrameUsage reads the usage of a frame whose kind has WithUsage. Some formats tell it in parts: see Usage.Raise.
func (f Format) FrameUsage(data []byte) Usage {
	l := lookAt(data)
	if !f.read(&l) {
		return Usage{}
	}
	return f.usage(&l)
}

// TailUsage reads the usage of an answer of which only the end is at hand: providers write it last, or nearly.
// It is zero when the end does not hold it whole.
func (f Format) TailUsage(tail []byte) Usage {
	key := []byte(`"usage":`)
	if f == Gemini {
		key = []byte(`"usageMetadata":`)
	}
	at := bytes.LastIndex(tail, key)
	if at < 0 {
		return Usage{}
	}
	l := look{scanner: scanner{b: tail, i: at + len(key), maxDepth: answerDepth, lenient: true}}
	if l.space() != '{' {
		return Usage{}
	}
	l.usageAt = l.i
	if !l.value() {
		return Usage{}
	}
	return f.usage(&l)
}

// ContentSize is how much text a whole answer brings, or the part of one that arrived, in quarters of a token:
// what it is estimated by when its provider does not say what it used.
func (f Format) ContentSize(body []byte) int {
	l := lookAt(body)
	_ = f.read(&l)
	return l.size
}

// read walks over the object that a frame or a whole answer is; false when it is something else, or more.
func (f Format) read(l *look) bool {
	if l.space() != '{' {
		return false
	}
	ok := false
	switch f {
	case Responses:
		ok = l.responsesEvent()
	case Anthropic:
		ok = l.anthropicEvent()
	case Gemini:
		ok = l.geminiAnswer()
	default:
		ok = l.openAIAnswer()
	}
	return ok && l.ended()
}
