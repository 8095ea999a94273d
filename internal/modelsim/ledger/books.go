// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
)

// Entry is the history of one request.
type Entry struct {
	// Records are its lines in the order of the file; there is at least one.
	Records []Record
}

// Last is the latest line: the event the request got to, with the tokens used by then.
func (e Entry) Last() Record { return e.Records[len(e.Records)-1] }

// Open says that the request has no final line: it is still running, or its process was killed.
func (e Entry) Open() bool { return !e.Last().Event.Final() }

// Books is a ledger that was read back.
type Books struct {
	// Entries are the requests in the order in which they were accepted.
	Entries []Entry
	// Torn counts lines that were cut short: a kill can fall into a write(2) that crosses a page of the file.
	// What such a line was to announce never happened, so nothing is lost with it.
	Torn int
}

// Totals are sums over entries.
type Totals struct {
	Requests int
	Tokens   Tokens
}

// recordStart begins every line. Inside one it cannot occur: quotes in strings are escaped.
var recordStart = []byte(`{"time":`)

// Read reads the ledger at path. A line that neither is a record nor the torn rest of one is an error that names it.
func Read(path string) (*Books, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the ledger: %w", err)
	}
	return Parse(data)
}

// Parse is Read for bytes that are in memory already.
func Parse(data []byte) (*Books, error) {
	books := &Books{}
	position := map[string]int{}
	for number := 1; len(data) > 0; number++ {
		line, rest, _ := bytes.Cut(data, []byte{'\n'})
		data = rest
		// The next writer continues right behind what a killed one left, on the same line.
		start := max(bytes.LastIndex(line, recordStart), 0)
		if start > 0 {
			books.Torn++
		}
		var record Record
		if err := json.Unmarshal(line[start:], &record); err != nil {
			if len(line) == 0 || !bytes.HasPrefix(line, recordStart[:min(len(line), len(recordStart))]) {
				return nil, fmt.Errorf("ledger line %d is not a record: %w", number, err)
			}
			books.Torn++
			continue
		}
		at, seen := position[record.Request]
		if !seen {
			at = len(books.Entries)
			position[record.Request] = at
			books.Entries = append(books.Entries, Entry{})
		}
		books.Entries[at].Records = append(books.Entries[at].Records, record)
	}
	return books, nil
}

// Attempt returns the entries of one attempt id: none when it never arrived, several when one id was used twice.
func (b *Books) Attempt(id string) []Entry {
	var found []Entry
	for _, entry := range b.Entries {
		if entry.Records[0].Attempt == id {
			found = append(found, entry)
		}
	}
	return found
}

// Attempts returns every attempt id once, sorted; requests that carried none are left out.
func (b *Books) Attempts() []string {
	ids := b.requests()
	delete(ids, "")
	return slices.Sorted(maps.Keys(ids))
}

// Repeated returns the attempt ids that more than one request carried, sorted. An id names one attempt, so
// whoever keeps books against this ledger wants this to be empty.
func (b *Books) Repeated() []string {
	ids := b.requests()
	delete(ids, "")
	maps.DeleteFunc(ids, func(_ string, requests int) bool { return requests < 2 })
	return slices.Sorted(maps.Keys(ids))
}

// requests counts the requests of each attempt id.
func (b *Books) requests() map[string]int {
	ids := map[string]int{}
	for _, entry := range b.Entries {
		ids[entry.Records[0].Attempt]++
	}
	return ids
}

// Sum adds up the entries whose last event is among events; all entries without any.
func (b *Books) Sum(events ...Event) Totals {
	var sum Totals
	for _, entry := range b.Entries {
		last := entry.Last()
		if len(events) > 0 && !slices.Contains(events, last.Event) {
			continue
		}
		sum.Requests++
		sum.Tokens.Prompt += last.Tokens.Prompt
		sum.Tokens.Cached += last.Tokens.Cached
		sum.Tokens.Completion += last.Tokens.Completion
		sum.Tokens.Reasoning += last.Tokens.Reasoning
	}
	return sum
}
