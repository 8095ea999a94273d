// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package ledger_test

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/turnout-ai/turnout/internal/modelsim/ledger"
)

func TestWhatIsAppendedIsReadBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.jsonl")
	want := []ledger.Record{
		{Time: time.Unix(1, 0).UTC(), Attempt: "a", Request: "r1", Event: ledger.Accepted, Path: "/v1/chat/completions", Model: "m"},
		{Time: time.Unix(2, 0).UTC(), Attempt: "a", Request: "r1", Event: ledger.Finished, Status: 200, Tokens: ledger.Tokens{Prompt: 3, Completion: 4}, Fault: "slow"},
	}
	for i := range want {
		// One Writer per line: a second process continues the book of the first.
		writer, err := ledger.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := writer.Append(&want[i]); err != nil {
			t.Fatal(err)
		}
		if err := writer.Close(); err != nil {
			t.Fatal(err)
		}
	}
	books, err := ledger.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]ledger.Entry{{Records: want}}, books.Entries); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
}

func TestManyWritersNeverTearALine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.jsonl")
	const writers, lines = 8, 200
	var wait sync.WaitGroup
	for w := range writers {
		writer, err := ledger.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = writer.Close() })
		wait.Go(func() {
			for i := range lines {
				record := ledger.Record{Attempt: fmt.Sprint(w), Request: fmt.Sprint(w, i), Event: ledger.Finished, Tokens: ledger.Tokens{Completion: 1}}
				if err := writer.Append(&record); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wait.Wait()
	books, err := ledger.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	want := ledger.Totals{Requests: writers * lines, Tokens: ledger.Tokens{Completion: writers * lines}}
	if diff := cmp.Diff(want, books.Sum(ledger.Finished)); diff != "" {
		t.Errorf("sum (-want +got):\n%s", diff)
	}
	if got := len(books.Repeated()); got != writers {
		t.Errorf("%d attempt ids are repeated, want %d", got, writers)
	}
}

func TestBooks(t *testing.T) {
	line := func(attempt, request string, event ledger.Event, tokens int) string {
		return fmt.Sprintf(`{"time":"2026-01-02T03:04:05Z","attempt":%q,"request":%q,"event":%q,"tokens":{"completion":%d}}`+"\n", attempt, request, event, tokens)
	}
	tests := []struct {
		name         string
		data         string
		wantAttempts []string
		wantRepeated []string
		wantOpen     []bool
		wantTorn     int
		wantErr      string
		wantFinished ledger.Totals
	}{
		{name: "an empty ledger holds nothing"},
		{
			name: "lines of two requests that interleave are told apart",
			data: line("a", "r1", ledger.Accepted, 0) + line("b", "r2", ledger.Accepted, 0) +
				line("a", "r1", ledger.Finished, 7) + line("b", "r2", ledger.Progress, 3),
			wantAttempts: []string{"a", "b"},
			wantOpen:     []bool{false, true},
			wantFinished: ledger.Totals{Requests: 1, Tokens: ledger.Tokens{Completion: 7}},
		},
		{
			name:         "one attempt id on two requests is reported",
			data:         line("a", "r1", ledger.Aborted, 1) + line("a", "r2", ledger.Cancelled, 1),
			wantAttempts: []string{"a"},
			wantRepeated: []string{"a"},
			wantOpen:     []bool{false, false},
		},
		{
			name:         "a torn last line is said, not fatal",
			data:         line("a", "r1", ledger.Head, 0) + `{"time":"2026`,
			wantAttempts: []string{"a"},
			wantOpen:     []bool{true},
			wantTorn:     1,
		},
		{
			name:         "a torn line that another process continued costs nothing but itself",
			data:         line("a", "r1", ledger.Head, 0) + `{"ti` + line("b", "r2", ledger.Head, 0) + `{"time":"2026-01-02T03:04:05Z","attempt":"x` + line("b", "r2", ledger.Finished, 4),
			wantAttempts: []string{"a", "b"},
			wantOpen:     []bool{true, false},
			wantTorn:     2,
			wantFinished: ledger.Totals{Requests: 1, Tokens: ledger.Tokens{Completion: 4}},
		},
		{
			name:         "a line that only lost its end of line is whole",
			data:         line("a", "r1", ledger.Head, 0) + strings.TrimSpace(line("a", "r1", ledger.Finished, 4)),
			wantAttempts: []string{"a"},
			wantOpen:     []bool{false},
			wantFinished: ledger.Totals{Requests: 1, Tokens: ledger.Tokens{Completion: 4}},
		},
		{
			name:    "a broken line in the middle is an error that names it",
			data:    line("a", "r1", ledger.Head, 0) + "nonsense\n" + line("a", "r1", ledger.Finished, 0),
			wantErr: "ledger line 2 is not a record",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			books, err := ledger.Parse([]byte(tt.data))
			if tt.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), tt.wantErr) {
					t.Fatalf("error %v, want %q", err, tt.wantErr)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var open []bool
			for _, entry := range books.Entries {
				open = append(open, entry.Open())
			}
			if diff := cmp.Diff(tt.wantAttempts, books.Attempts()); diff != "" {
				t.Errorf("attempts (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.wantRepeated, books.Repeated()); diff != "" {
				t.Errorf("repeated (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.wantOpen, open); diff != "" {
				t.Errorf("open (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.wantFinished, books.Sum(ledger.Finished)); diff != "" {
				t.Errorf("finished (-want +got):\n%s", diff)
			}
			if books.Torn != tt.wantTorn {
				t.Errorf("torn = %d, want %d", books.Torn, tt.wantTorn)
			}
		})
	}
}

func TestAFullDiskIsAnError(t *testing.T) {
	writer, err := ledger.Open("/dev/full")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = writer.Close() }()
	if err := writer.Append(&ledger.Record{Event: ledger.Accepted}); err == nil {
		t.Error("appending to a full disk succeeded")
	}
}

func TestAClosedLedgerTakesNothing(t *testing.T) {
	writer, err := ledger.Open(filepath.Join(t.TempDir(), "ledger.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(writer.Close(), writer.Close()); err != nil {
		t.Error(err)
	}
	if err := writer.Append(&ledger.Record{}); err == nil {
		t.Error("a closed ledger took a line")
	}
}

func TestAMissingLedgerIsAnError(t *testing.T) {
	if _, err := ledger.Read(filepath.Join(t.TempDir(), "missing")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("reading a missing ledger: %v", err)
	}
}
