// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

// Package health is what one proxy knows of its endpoints while it runs, written by every attempt and read by
// every plan. It stands beside the routing table, in two layers. What speaks of an endpoint's health is keyed
// by what the endpoint *is*: changing its credential, URL or model starts it afresh. What was used is keyed by
// its UID alone and only grows. Both outlive new tables, and both go with a deleted endpoint. What may be used of
// its limits is kept by UID too, as long as it was lent (see wallet).
//
// A verdict here is this proxy's own and provisional: it is reported, and a newer one of the whole fleet
// (SetFleet) replaces it. An endpoint stands as the worse of the two says.
//
// Requests take no lock here that endpoints share. On an endpoint that works they only add to atomics; a
// failure takes that endpoint's own lock. The package has no clock: times are arguments, in Unix nanoseconds
// where requests pass them.
package health

import (
	"hash/maphash"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/turnout-ai/turnout/internal/modelstate"
	"github.com/turnout-ai/turnout/internal/routing"
)

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
	seed   maphash.Seed
	spread atomic.Uint64
	log    *slog.Logger
	urgent chan struct{}

	isolated atomic.Bool
	// retired says that this process is about to end. interval is how often it reports, proxies how many there are,
	// lives how many ProxyInstances it has lost.
	retired                  atomic.Bool
	interval, proxies, lives atomic.Int64

	mu        sync.Mutex // guards what follows; requests take it at an endpoint's first use only
	endpoints map[identity]*Endpoint
	books     map[string]*book
	wallets   map[string]*wallet
	used      []*book // in the order of their first use
	pending   map[string]*pending
	turns     map[turnKey]*atomic.Uint64
}

// pending is a state of an endpoint that is in no table yet: tables and states come by different ways.
type pending struct {
	state modelstate.State
	// seen is true once a table has come without the endpoint; the next one drops the state.
	seen bool
}

// NewRegistry returns an empty Registry. log takes what is worth a person's attention.
func NewRegistry(log *slog.Logger) *Registry {
	r := &Registry{
		seed:    maphash.MakeSeed(),
		log:     log,
		urgent:  make(chan struct{}, 1),
		wallets: map[string]*wallet{},
		pending: map[string]*pending{},
	}
	r.Spread(rand.Uint64())
	return r
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
	books := make(map[string]*book, len(t.Endpoints))
	endpoints := make(map[identity]*Endpoint, len(t.Endpoints))
	for i, e := range t.Endpoints {
		view.endpoints[i] = r.bind(e, endpoints, books)
	}
	turns := make(map[turnKey]*atomic.Uint64, t.Turns)
	for _, p := range t.Policies {
		for tier := range p.Tiers {
			key := turnKey{p.UID, tier}
			turn := r.turns[key]
			if turn == nil {
				turn = new(atomic.Uint64)
			}
			turns[key], view.turns[p.Tiers[tier].Turn] = turn, turn
		}
	}
	r.endpoints, r.books, r.turns = endpoints, books, turns
	r.forget()
	return view
}

// bind finds or begins the live state of one endpoint, and tells it what the table says of it.
func (r *Registry) bind(e *routing.Endpoint, endpoints map[identity]*Endpoint, books map[string]*book) *Endpoint {
	b := r.books[e.UID]
	if b == nil {
		b = newBook(r, e.UID)
	}
	books[e.UID] = b
	w := r.wallets[e.UID]
	if w == nil && anyLimit(&e.Limits) {
		w = newWallet(r, e.UID)
		r.wallets[e.UID] = w
	}
	if w != nil {
		w.bind(e)
	}
	b.bind(e, w)
	id := identity{
		uid: e.UID, url: e.URL, model: e.Model,
		credential: maphash.String(r.seed, e.Credential.Value.Reveal()),
	}
	live := r.endpoints[id]
	if live == nil {
		live = newEndpoint(r, b)
		if last := b.endpoint.Load(); last != nil { // the same object, changed: the fleet's word is known
			live.told(last.fleet.Load().state)
		}
	}
	endpoints[id] = live
	live.bind(e, w)
	b.endpoint.Store(live)
	if p := r.pending[e.UID]; p != nil {
		live.told(p.state)
		delete(r.pending, e.UID)
	}
	return live
}

// forget drops what is in no table any more.
func (r *Registry) forget() {
	used := make([]*book, 0, len(r.used))
	for _, b := range r.used {
		if r.books[b.uid] == b {
			used = append(used, b)
		}
	}
	r.used = used
	for uid, w := range r.wallets {
		if r.books[uid] == nil {
			w.leave()
		}
	}
	for uid, p := range r.pending {
		if p.seen {
			delete(r.pending, uid)
		}
		p.seen = true
	}
}

// use enters a book in the list of those that were used.
func (r *Registry) use(b *book) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if b.used.Load() {
		return
	}
	b.used.Store(true)
	r.used = append(r.used, b)
}

// inUse returns the books that were used, in the order of their first use.
func (r *Registry) inUse() []*book {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]*book(nil), r.used...)
}

// notify says that there is a signal that should not wait.
func (r *Registry) notify() {
	select {
	case r.urgent <- struct{}{}:
	default: // it was said already
	}
}

// View is the live state beside one table. It implements routing.Live.
type View struct {
	endpoints []*Endpoint
	turns     []*atomic.Uint64
}

var _ routing.Live = (*View)(nil)

// Endpoint returns the live state of the endpoint with that Index.
func (v *View) Endpoint(index int) *Endpoint { return v.endpoints[index] }

// Standing implements routing.Live.
func (v *View) Standing(endpoint int, now int64) routing.Standing {
	return v.endpoints[endpoint].Standing(now)
}

// TakeTrial implements routing.Live.
func (v *View) TakeTrial(endpoint int, now int64) bool { return v.endpoints[endpoint].takeTrial(now) }

// NextTurn implements routing.Live.
func (v *View) NextTurn(turn int) uint64 { return v.turns[turn].Add(1) - 1 }

// storeMax raises v to at least to.
func storeMax(v *atomic.Int64, to int64) {
	for {
		old := v.Load()
		if old >= to || v.CompareAndSwap(old, to) {
			return
		}
	}
}

// moment turns Unix nanoseconds into a time; 0 is none.
func moment(at int64) time.Time {
	if at == 0 {
		return time.Time{}
	}
	return time.Unix(0, at).UTC()
}

// nanos is the reverse of moment.
func nanos(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}
