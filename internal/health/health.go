// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

// Package health is what one proxy has seen of its endpoints: a few atomics for each, written by every
// attempt and read by every plan. They stand beside the routing table, keyed by what an endpoint *is*, so
// that publishing a new table forgets nothing, and changing an endpoint's credential, URL or model starts
// it afresh.
//
// A verdict here is this proxy's own and provisional. It only changes the order in which endpoints are
// tried: an endpoint that rests is tried last, never refused, so that cooling the only endpoint of a pool
// cannot take the pool down.
package health

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"github.com/turnout-ai/turnout/internal/routing"
)

const (
	// ConsecutiveFailures is how many failures in a row, each of another request, rest an endpoint.
	ConsecutiveFailures = 3
	// Cooldown is how long such an endpoint rests.
	Cooldown = 60 * time.Second
	// MaxRetryAfter caps the rest a provider may ask for, so that one absurd header cannot remove an
	// endpoint for a year.
	MaxRetryAfter = time.Hour

	// remarkEvery keeps a provider that fails at every request from filling the log.
	remarkEvery = 10 * time.Second
)

// Endpoint is the live state of one endpoint. All methods are safe for concurrent use. Times are Unix
// nanoseconds.
type Endpoint struct {
	inFlight atomic.Int64
	// streak counts failures since the last success.
	streak atomic.Int32
	// cooldownUntil ends the rest that failures earned, askedUntil the one the provider asked for. They are
	// kept apart because a success ends the first and not the second.
	cooldownUntil, askedUntil atomic.Int64
	lastSuccess, lastFailure  atomic.Int64
	remarked                  atomic.Int64
}

// Begin counts an attempt in flight; every Begin needs one End.
func (e *Endpoint) Begin() { e.inFlight.Add(1) }

// End takes back a Begin.
func (e *Endpoint) End() { e.inFlight.Add(-1) }

// Success ends a streak of failures and the rest it earned.
func (e *Endpoint) Success(now int64) {
	e.lastSuccess.Store(now)
	// Loads first: on a healthy endpoint no cache line but lastSuccess is written.
	if e.streak.Load() != 0 {
		e.streak.Store(0)
	}
	if e.cooldownUntil.Load() != 0 {
		e.cooldownUntil.Store(0)
	}
}

// Failure counts a failure, and rests the endpoint when it is the last of ConsecutiveFailures or comes
// after them.
func (e *Endpoint) Failure(now int64) {
	e.lastFailure.Store(now)
	if e.streak.Add(1) >= ConsecutiveFailures {
		storeMax(&e.cooldownUntil, now+int64(Cooldown))
	}
}

// RateLimited rests the endpoint for as long as the provider asked, at most MaxRetryAfter. It is no
// failure. A shorter wish never ends a longer rest.
func (e *Endpoint) RateLimited(now int64, wish time.Duration) {
	storeMax(&e.askedUntil, now+int64(min(wish, MaxRetryAfter)))
}

// Remarkable reports whether a failure now is worth a line in the log: one in remarkEvery is.
func (e *Endpoint) Remarkable(now int64) bool {
	last := e.remarked.Load()
	return now-last >= int64(remarkEvery) && e.remarked.CompareAndSwap(last, now)
}

// AskedUntil is until when the provider asked to be left alone; in the past or 0 when it does not.
func (e *Endpoint) AskedUntil() int64 { return e.askedUntil.Load() }

// State is a reading of an Endpoint for people. Times are zero when they never happened or are over.
type State struct {
	InFlight            int64
	ConsecutiveFailures int32
	CooldownUntil       time.Time
	RateLimitedUntil    time.Time
	LastSuccess         time.Time
	LastFailure         time.Time
}

// Read takes a reading at now. Fields are read one by one, so they may be of slightly different moments.
func (e *Endpoint) Read(now int64) State {
	return State{
		InFlight:            e.inFlight.Load(),
		ConsecutiveFailures: e.streak.Load(),
		CooldownUntil:       future(e.cooldownUntil.Load(), now),
		RateLimitedUntil:    future(e.askedUntil.Load(), now),
		LastSuccess:         past(e.lastSuccess.Load()),
		LastFailure:         past(e.lastFailure.Load()),
	}
}

func future(at, now int64) time.Time {
	if at <= now {
		return time.Time{}
	}
	return time.Unix(0, at)
}

func past(at int64) time.Time {
	if at == 0 {
		return time.Time{}
	}
	return time.Unix(0, at)
}

// storeMax raises v to at least to.
func storeMax(v *atomic.Int64, to int64) {
	for {
		old := v.Load()
		if old >= to || v.CompareAndSwap(old, to) {
			return
		}
	}
}

// identity is what must stay the same for health to be kept: evidence about another model, another place or
// another credential says nothing about this one. The credential is kept as a hash of a random seed.
type identity struct {
	uid, url, model string
	credential      uint64
}

// turnKey names a round-robin tier across tables.
type turnKey struct {
	policyUID string
	tier      int
}

// Registry holds the live state of everything in the current table. Bind is called by one publisher at a
// time; Views it returned earlier stay valid for the requests that still use them.
type Registry struct {
	seed maphash.Seed

	mu        sync.Mutex // guards the maps; never taken by a request
	endpoints map[identity]*Endpoint
	turns     map[turnKey]*atomic.Uint64
}

// NewRegistry returns an empty Registry.
func NewRegistry() *Registry {
	return &Registry{seed: maphash.MakeSeed()}
}

// Bind returns the live state of a table's endpoints and tiers: what is known stays known, what left the
// table is forgotten.
func (r *Registry) Bind(t *routing.Table) *View {
	r.mu.Lock()
	defer r.mu.Unlock()

	view := &View{
		endpoints: make([]*Endpoint, len(t.Endpoints)),
		turns:     make([]*atomic.Uint64, t.Turns),
	}
	endpoints := make(map[identity]*Endpoint, len(t.Endpoints))
	for i, e := range t.Endpoints {
		id := identity{
			uid: e.UID, url: e.URL, model: e.Model,
			credential: maphash.String(r.seed, e.Credential.Value.Reveal()),
		}
		view.endpoints[i] = keep(r.endpoints, endpoints, id)
	}
	turns := make(map[turnKey]*atomic.Uint64, t.Turns)
	for _, p := range t.Policies {
		for tier := range p.Tiers {
			view.turns[p.Tiers[tier].Turn] = keep(r.turns, turns, turnKey{p.UID, tier})
		}
	}
	r.endpoints, r.turns = endpoints, turns
	return view
}

// keep carries the value of key from one map into the next, or begins a new one.
func keep[K comparable, V any](from, into map[K]*V, key K) *V {
	v := from[key]
	if v == nil {
		v = new(V)
	}
	into[key] = v
	return v
}

// View is the live state beside one table. It implements routing.Live.
type View struct {
	endpoints []*Endpoint
	turns     []*atomic.Uint64
}

var _ routing.Live = (*View)(nil)

// Endpoint returns the live state of the endpoint with that Index.
func (v *View) Endpoint(index int) *Endpoint { return v.endpoints[index] }

// Resting implements routing.Live: the later end of the two kinds of rest counts.
func (v *View) Resting(endpoint int, now int64) (until int64, resting bool) {
	e := v.endpoints[endpoint]
	until = max(e.cooldownUntil.Load(), e.askedUntil.Load())
	return until, until > now
}

// NextTurn implements routing.Live.
func (v *View) NextTurn(turn int) uint64 { return v.turns[turn].Add(1) - 1 }
