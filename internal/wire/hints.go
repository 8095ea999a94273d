// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"bytes"
	"math"
	"time"
)

// leastQuota is the shortest wait that is believed to be about a quota.
const leastQuota = time.Minute

// The words that a wait follows in a message, in lower case.
var (
	waitLeads = [][]byte{
		[]byte("try again in "),   // OpenAI, Groq: "Please try again in 6m0s."; Azure: "Try again in 60 seconds."
		[]byte("retry after "),    // Azure: "Please retry after 20 seconds."
		[]byte("retry in "),       // Gemini: "Please retry in 36.480851434s."
		[]byte("reset after "),    // Gemini: "Your quota will reset after 5h59m59s."
		[]byte("replenished in "), // Azure: "Quota will be replenished in 2 days."
	}
	// momentLead is followed by a moment: "You will regain access on 2026-09-01 at 00:00 UTC." (Anthropic)
	momentLead = []byte("regain access on ")
)

// comeBack is when to come back: by the member that says so, else by the message, which is in lower case.
func (e *fault) comeBack(message []byte) Hint {
	if e.hint != (Hint{}) {
		return e.hint
	}
	if _, rest, found := bytes.Cut(message, momentLead); found {
		const layout = "2006-01-02 at 15:04 utc"
		if at, err := time.Parse(layout, string(rest[:min(len(rest), len(layout))])); err == nil {
			return Hint{At: at}
		}
	}
	for _, lead := range waitLeads {
		if _, rest, found := bytes.Cut(message, lead); found {
			if wait, ok := duration(rest); ok {
				return Hint{After: wait}
			}
		}
	}
	return Hint{}
}

// units are the units of time, as people and Go write them, with how many microseconds they are.
var units = []struct {
	name  string
	micro float64
}{
	{"ms", 1e3},
	{"milliseconds", 1e3},
	{"s", 1e6},
	{"sec", 1e6},
	{"second", 1e6},
	{"seconds", 1e6},
	{"m", 60e6},
	{"min", 60e6},
	{"minute", 60e6},
	{"minutes", 60e6},
	{"h", 3600e6},
	{"hour", 3600e6},
	{"hours", 3600e6},
	{"day", 86400e6},
	{"days", 86400e6},
}

// longestWait bounds what a text can say: more is as good as for ever.
const longestWait = 366 * 24 * time.Hour

// duration reads the time that a text begins with: "1m26.4s", "350ms", "20 seconds.".
func duration(text []byte) (time.Duration, bool) {
	var micro float64
	said := false
	for {
		n := digits(text, 0)
		if n == 0 || n > 9 {
			break
		}
		amount, after := decimal(text, n)
		unit, length := unitOf(text[after:])
		if length == 0 {
			return 0, false // a number of nothing: a time of day, a count
		}
		micro += amount * unit
		text, said = text[after+length:], true
	}
	if wait := float64(longestWait / time.Microsecond); micro > wait {
		micro = wait
	}
	return time.Duration(math.Round(micro)) * time.Microsecond, said && micro >= 1
}

// decimal reads the number that text begins with, whose first n bytes are digits, and says where it ends.
func decimal(text []byte, n int) (amount float64, end int) {
	for _, c := range text[:n] {
		amount = amount*10 + float64(c-'0')
	}
	if n >= len(text) || text[n] != '.' {
		return amount, n
	}
	end = digits(text, n+1)
	for i, scale := n+1, 0.1; i < end; i, scale = i+1, scale/10 {
		amount += float64(text[i]-'0') * scale
	}
	return amount, end
}

// unitOf reads the unit that text begins with, after a space perhaps; its length is 0 when there is none.
func unitOf(text []byte) (micro float64, length int) {
	start := 0
	if len(text) > 0 && text[0] == ' ' {
		start = 1
	}
	end := start
	for end < len(text) && text[end]-'a' <= 'z'-'a' {
		end++
	}
	for i := range units {
		if units[i].name == string(text[start:end]) {
			return units[i].micro, end
		}
	}
	return 0, 0
}

// fieldPattern is a way in which messages name the request field that is refused: after something, before
// something, or both. The words are in lower case.
type fieldPattern struct {
	before, after string
}

// fieldPatterns are the ways that are known.
var fieldPatterns = []fieldPattern{
	{before: "unrecognized request argument supplied: "},      // OpenAI
	{before: "unknown parameter: "},                           // OpenAI: "Unknown parameter: 'stream_options'."
	{before: "unsupported parameter: "},                       // OpenAI
	{before: "extra parameters ["},                            // Azure AI: "Extra parameters ['stream_options'] are not allowed"
	{before: "invalid json payload received. unknown name "},  // Google: "Unknown name \"reasoning\": Cannot find field."
	{before: "[{'type': 'extra_forbidden', 'loc': ('body', "}, // vLLM's older validation errors
	{before: "json: unknown field "},                          // servers written in Go
	{after: ": extra inputs are not permitted"},               // Anthropic
	{after: ": extra fields not permitted"},                   // Anthropic, in earlier days
	{after: " is not supported"},                              // "stream_options is not supported"
}

// field is the request field that an error names: in its own member, else in the message, whose letters lower
// has in lower case. Only how a message begins is believed; what comes later may quote the request.
func (e *fault) field(lower []byte) []byte {
	if len(e.param) > 0 {
		return e.param
	}
	for i := range fieldPatterns {
		if start, end := fieldPatterns[i].find(lower); end > start {
			return bytes.TrimRight(e.message[start:end], ".")
		}
	}
	return nil
}

// find is where the field stands in a message that is written in that way; nowhere otherwise.
func (p *fieldPattern) find(message []byte) (start, end int) {
	if !bytes.HasPrefix(message, []byte(p.before)) {
		return 0, 0
	}
	start = len(p.before)
	for start < len(message) && isQuote(message[start]) {
		start++
	}
	for end = start; end < len(message) && isPath(message[end]); {
		end++
	}
	rest := message[end:]
	if p.after != "" {
		rest = bytes.TrimLeft(rest, "'\"`")
	}
	if end-start > maxWord || !bytes.HasPrefix(rest, []byte(p.after)) {
		return 0, 0
	}
	return start, end
}

func isQuote(c byte) bool { return c == '\'' || c == '"' || c == '`' }

// isPath reports whether a byte of a message in lower case may be part of a field's path.
func isPath(c byte) bool {
	return c-'a' <= 'z'-'a' || isDigit(c) || c == '_' || c == '.' || c == '-' || c == '[' || c == ']'
}
