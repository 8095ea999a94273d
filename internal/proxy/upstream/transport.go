// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

// Package upstream is a small HTTP/1.1 client for the way to a model provider.
//
// It exists because of what a router must know and do that general clients hide:
// whether a connection came from the pool, whether a byte of the request left,
// whether a byte of an answer arrived, in which phase an exchange failed; and a
// cancel that works at once in every phase. It never retries and never follows a
// redirect: both are decisions, and decisions are made elsewhere.
//
// In steady state an exchange allocates nothing, and an open stream keeps one
// buffer of four KiB: bodies are read into the caller's memory and unchunked
// there.
package upstream

import (
	"cmp"
	"context"
	"crypto/tls"
	"maps"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Target is where requests go. Targets with equal IDs share connections.
type Target struct {
	// ID is the identity of the pool: scheme, address and TLS settings. Two
	// targets that differ in any of these must differ in their ID.
	ID string
	// Address is host:port.
	Address string
	// TLS is the configuration for connections to the target; nil means
	// plaintext. It is cloned: a missing server name is taken from Address, a
	// missing session cache is added, and HTTP/1.1 is the only protocol offered.
	TLS *tls.Config
}

// Options configure a Transport. The zero value means the defaults.
type Options struct {
	// MaxIdlePerTarget bounds the connections kept for reuse; default 512.
	MaxIdlePerTarget int
	// MaxIdleTime is how long a connection may lie unused; default 60s. It is
	// closed after at least half of this time and at most all of it.
	MaxIdleTime time.Duration
	// MaxHeadBytes bounds the head of an answer; default 64 KiB, at least 4 KiB.
	MaxHeadBytes int
	// Resolver looks up host names; nil means the system's. Unused with DialContext.
	Resolver *net.Resolver
	// DialContext connects; nil means a net.Dialer that refuses link-local and
	// metadata addresses after resolution. Its connections are pooled if they
	// are a syscall.Conn; others serve one exchange, because nothing can tell
	// whether they are still alive.
	DialContext func(ctx context.Context, network, address string) (net.Conn, error)
}

const (
	defaultMaxIdlePerTarget = 512
	defaultMaxIdleTime      = 60 * time.Second
	defaultMaxHeadBytes     = 64 << 10
	// retainedBuffer is what an Exchange keeps from use to use. The head of an
	// ordinary answer fits, often with all of a small body.
	retainedBuffer = 4 << 10
)

// Stats are counts for metrics. Open and Idle are of the moment, Dialed and
// Reused are totals.
type Stats struct {
	Open, Idle     int64
	Dialed, Reused uint64
}

// Transport keeps the connections of all targets. It is safe for concurrent use;
// requests to different targets share no lock.
type Transport struct {
	maxIdle, maxHead int
	dialContext      func(ctx context.Context, network, address string) (net.Conn, error)

	// pools by target ID; the map is copied on write, read without a lock.
	pools atomic.Pointer[map[string]*pool]
	// tick counts half-lives of idle connections: a clock that costs one load
	// per returned connection.
	tick           atomic.Uint32
	open           atomic.Int64
	dialed, reused atomic.Uint64

	mu     sync.Mutex // guards writing pools, and closed
	closed bool
	reaper *time.Timer
}

// New returns a Transport. Close ends its only timer.
func New(o Options) *Transport {
	t := &Transport{
		maxIdle:     cmp.Or(o.MaxIdlePerTarget, defaultMaxIdlePerTarget),
		maxHead:     max(cmp.Or(o.MaxHeadBytes, defaultMaxHeadBytes), retainedBuffer),
		dialContext: o.DialContext,
	}
	if t.dialContext == nil {
		d := net.Dialer{Control: refuseMetadata, Resolver: o.Resolver}
		t.dialContext = d.DialContext
	}
	t.pools.Store(&map[string]*pool{})
	half := cmp.Or(o.MaxIdleTime, defaultMaxIdleTime) / 2
	t.mu.Lock()
	defer t.mu.Unlock()
	t.reaper = time.AfterFunc(half, func() {
		t.reap()
		t.mu.Lock()
		defer t.mu.Unlock()
		if !t.closed {
			t.reaper.Reset(half)
		}
	})
	return t
}

// Close closes idle connections, and busy ones as soon as they are given back.
// Exchanges in flight are not disturbed.
func (t *Transport) Close() {
	t.mu.Lock()
	t.closed = true
	t.reaper.Stop()
	pools := *t.pools.Load()
	t.mu.Unlock()
	for _, p := range pools {
		p.close()
	}
}

// Retain keeps the pools of the given target IDs and drops all others, with
// their idle connections; their busy ones are closed when they are given back.
func (t *Transport) Retain(ids []string) {
	wanted := make(map[string]bool, len(ids))
	for _, id := range ids {
		wanted[id] = true
	}
	kept, dropped := map[string]*pool{}, []*pool(nil)
	t.mu.Lock()
	for id, p := range *t.pools.Load() {
		if wanted[id] {
			kept[id] = p
		} else {
			dropped = append(dropped, p)
		}
	}
	t.pools.Store(&kept)
	t.mu.Unlock()
	for _, p := range dropped {
		p.close()
	}
}

// Stats counts connections now.
func (t *Transport) Stats() Stats {
	s := Stats{Open: t.open.Load(), Dialed: t.dialed.Load(), Reused: t.reused.Load()}
	for _, p := range *t.pools.Load() {
		s.Idle += int64(p.size())
	}
	return s
}

// reap closes what has been idle for at least one whole tick.
func (t *Transport) reap() {
	now := t.tick.Add(1)
	for _, p := range *t.pools.Load() {
		p.reap(now)
	}
}

// pool returns the target's pool and makes it on first use.
func (t *Transport) pool(target *Target) *pool {
	if p := (*t.pools.Load())[target.ID]; p != nil {
		return p
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	old := *t.pools.Load()
	if p := old[target.ID]; p != nil {
		return p
	}
	p := newPool(t, target)
	p.closed = t.closed
	next := maps.Clone(old)
	next[target.ID] = p
	t.pools.Store(&next)
	return p
}
