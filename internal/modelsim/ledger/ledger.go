// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

// Package ledger is the provider's own book: one JSON line per thing that is about to happen to an attempt,
// appended with a single write(2) before it happens. A process that is killed between the line and the effect
// leaves a line too many, never one too few, so books kept elsewhere can be held against it after any crash.
// A kill that falls into the write itself may leave a piece of a line, whose effect did not happen; Read knows.
package ledger

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"
)

// Event is what a line announces.
type Event string

// The events. Finished, Cancelled and Aborted are final: no line follows them for the same request.
const (
	// Accepted: the whole request has been read; work on it begins.
	Accepted Event = "accepted"
	// Head: status line and headers are about to be sent.
	Head Event = "head"
	// Progress: a stream frame is about to be sent; tokens.completion includes it.
	Progress Event = "progress"
	// Finished: the last bytes of the answer are about to be sent; an error answer finishes with its status.
	Finished Event = "finished"
	// Cancelled: the client went away; tokens were produced (and would be billed) up to then.
	Cancelled Event = "cancelled"
	// Aborted: a scripted fault is about to break the answer off.
	Aborted Event = "aborted"
)

// Final says whether no further line follows for the same request.
func (e Event) Final() bool { return e == Finished || e == Cancelled || e == Aborted }

// Tokens is what an attempt has used so far. Completion includes Reasoning, Prompt includes Cached.
type Tokens struct {
	Prompt     int `json:"prompt"`
	Cached     int `json:"cached"`
	Completion int `json:"completion"`
	Reasoning  int `json:"reasoning"`
}

// Record is one line.
type Record struct {
	// Time is when the line was written, shortly before the effect.
	Time time.Time `json:"time"`
	// Attempt is the header x-turnout-attempt; empty when the caller sent none.
	Attempt string `json:"attempt"`
	// Request is the provider's own id of the request, x-request-id of the answer.
	Request string `json:"request"`
	Event   Event  `json:"event"`
	// Path is the path of the request without the base.
	Path string `json:"path"`
	// Model is the model asked for; empty when the body could not be read.
	Model string `json:"model"`
	// Status is the HTTP status of the answer; 0 as long as there is none.
	Status int    `json:"status"`
	Tokens Tokens `json:"tokens"`
	// Fault is the scripted fault at work, as it was written; empty without one.
	Fault string `json:"fault,omitempty"`
}

// Writer appends to a ledger file. It is safe for concurrent use, and several processes may append to one file.
type Writer struct{ file *os.File }

// Open opens the ledger at path for appending and creates it when it is missing.
func Open(path string) (*Writer, error) {
	// O_APPEND makes the kernel place each write at the end, so lines of several writers never interleave.
	// Files that were created by an earlier process keep their lines: a restart continues the book.
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open the ledger: %w", err)
	}
	return &Writer{file: file}, nil
}

// Append writes one line. When it fails the announced effect must not happen.
func (w *Writer) Append(record *Record) error {
	line, err := json.Marshal(record)
	if err != nil {
		return fmt.Errorf("encode a ledger line: %w", err)
	}
	if _, err := w.file.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("append to the ledger: %w", err)
	}
	return nil
}

// Close closes the file. Closing it again is fine.
func (w *Writer) Close() error {
	if err := w.file.Close(); err != nil && !errors.Is(err, fs.ErrClosed) {
		return fmt.Errorf("close the ledger: %w", err)
	}
	return nil
}
