// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package storm

import (
	"sync"
	"time"

	"github.com/turnout-ai/turnout/internal/modelsim/ledger"
)

// deed is what a provider did with one request: its first and its last line in the provider's own ledger.
type deed struct {
	endpoint string
	accepted time.Time
	last     ledger.Record
}

// shelf keeps the ledgers of all providers in memory, by attempt. A file would have a line for every token, which a
// long storm has many of.
type shelf struct {
	mu sync.Mutex
	// deeds are by the id of the attempt, and then by the provider's id of the request: an id that comes twice was
	// sent twice.
	deeds map[string]map[string]*deed
}

func newShelf() *shelf { return &shelf{deeds: map[string]map[string]*deed{}} }

// of is the ledger of one endpoint's provider.
func (s *shelf) of(endpoint string) shelfLedger { return shelfLedger{s, endpoint} }

type shelfLedger struct {
	shelf    *shelf
	endpoint string
}

// Append implements modelsim.Ledger.
func (l shelfLedger) Append(record *ledger.Record) error {
	l.shelf.mu.Lock()
	defer l.shelf.mu.Unlock()
	deeds := l.shelf.deeds[record.Attempt]
	if deeds == nil {
		deeds = map[string]*deed{}
		l.shelf.deeds[record.Attempt] = deeds
	}
	d := deeds[record.Request]
	if d == nil {
		d = &deed{endpoint: l.endpoint, accepted: record.Time}
		deeds[record.Request] = d
	}
	d.last = *record
	return nil
}
