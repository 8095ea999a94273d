// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/turnout-ai/turnout/internal/routing"
)

// basis is what a judgement of an endpoint rests on, beside the time, its own state before and what its siblings say.
// As long as all of it is as it was the judgement holds, and a look costs what has changed.
type basis struct {
	// version is that of the object: spec, books and ledger as they are stored.
	version string
	// entry is the spec with its policies and Secrets.
	entry *routing.Endpoint
	// about is what proxies say of it, roster who they are.
	about  *dossier
	roster *roster
	// facts are what the operator has found out for itself.
	facts findings
	// proxies is how many there are, interval how often they report.
	proxies  int32
	interval time.Duration
}

func (b *basis) equal(other *basis) bool {
	return b.version == other.version && b.about == other.about && b.roster == other.roster &&
		b.proxies == other.proxies && b.interval == other.interval && b.facts.equal(&other.facts) && sameEntry(b.entry, other.entry)
}

func (f *findings) equal(other *findings) bool {
	return f.result == other.result && f.ofPath == other.ofPath && f.confirmed.Equal(other.confirmed) &&
		slices.Equal(f.used, other.used) && maps.Equal(f.debit, other.debit)
}

// sameEntry reports whether two tables say the same of an endpoint, wherever it stands in them.
func sameEntry(a, b *routing.Endpoint) bool {
	if a == b {
		return true
	}
	moved := *a
	moved.Index = b.Index
	return reflect.DeepEqual(&moved, b)
}

// holds reports whether a judgement is what another look would come to: it has the same basis, nothing in it depends
// on what others may answer, what it came to was its own state already, the time when it changes is not there yet, and
// what could not wait was written.
func (j *judged) holds(by *basis, now time.Time) bool {
	return j != nil && j.settled && !now.Before(j.at) && (j.next.IsZero() || now.Before(j.next)) && j.urgency >= prefetch &&
		j.basis.equal(by)
}
