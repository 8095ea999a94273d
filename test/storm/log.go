// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package storm

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"time"
)

// line is what the audit reads of a line of the access log.
type line struct {
	Time       time.Time `json:"time"`
	ID         string    `json:"request_id"`
	Endpoint   string    `json:"endpoint"`
	Attempts   int       `json:"attempts"`
	Status     int       `json:"status"`
	DurationMS float64   `json:"duration_ms"`
	Error      string    `json:"error"`
	Last       string    `json:"last_outcome"`
	Input      int64     `json:"gen_ai.usage.input_tokens"`
	Output     int64     `json:"gen_ai.usage.output_tokens"`
	Estimated  bool      `json:"turnout.usage_estimated"`
	Client     string    `json:"client"`
	Tries      []try     `json:"turnout.attempts"`

	text string
}

// try is one attempt of a request.
type try struct {
	Endpoint  string `json:"endpoint"`
	Outcome   string `json:"outcome"`
	Input     int64  `json:"input_tokens"`
	Output    int64  `json:"output_tokens"`
	Estimated bool   `json:"estimated"`
}

// The outcomes that the audit knows by name.
const (
	outcomeSuccess    = "success"
	outcomeStale      = "stale_connection"
	outcomeClientGone = "client_disconnect"
	outcomeTimeout    = "timeout"
	outcomePanic      = "panic"
)

func (l *line) end() time.Time {
	return l.Time.Add(time.Duration(l.DurationMS * float64(time.Millisecond)))
}

// readLog reads an access log whose proxy has ended.
func readLog(file string) ([]*line, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var lines []*line
	for raw := range bytes.Lines(text) {
		l, err := readLine(raw)
		if err != nil {
			return nil, err
		}
		lines = append(lines, l)
	}
	return lines, nil
}

func readLine(raw []byte) (*line, error) {
	l := &line{text: string(bytes.TrimSpace(raw))}
	if err := json.Unmarshal(raw, l); err != nil {
		return nil, fmt.Errorf("access log: %q: %w", raw, err)
	}
	if len(l.Tries) == 0 && l.Attempts == 1 { // one alone is what the line is about
		l.Tries = []try{{l.Endpoint, outcomeSuccess, l.Input, l.Output, l.Estimated}}
		if l.Last != "" {
			l.Tries[0].Outcome = l.Last
		}
	}
	return l, nil
}
