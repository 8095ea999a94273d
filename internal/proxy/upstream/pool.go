// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package upstream

import (
	"crypto/tls"
	"net"
	"slices"
	"sync"
)

// pool holds the idle connections of one target.
type pool struct {
	transport *Transport
	address   string
	tls       *tls.Config // nil: plaintext

	mu sync.Mutex // held for the moves of a stack, never for I/O
	// idle is a stack: the connection used last is the least likely to have
	// been closed by the peer, and what is not needed sinks and is reaped.
	idle   []*conn
	closed bool
}

func newPool(t *Transport, target *Target) *pool {
	p := &pool{transport: t, address: target.Address}
	if target.TLS != nil {
		p.tls = clientTLS(target.TLS, target.Address)
	}
	return p
}

// clientTLS completes a configuration for this client.
func clientTLS(config *tls.Config, address string) *tls.Config {
	c := config.Clone()
	c.NextProtos = []string{"http/1.1"}
	// Small first records favour pages that render early; a request is useless
	// until its last byte.
	c.DynamicRecordSizingDisabled = true
	if c.ClientSessionCache == nil {
		c.ClientSessionCache = tls.NewLRUClientSessionCache(0)
	}
	if c.ServerName == "" {
		if host, _, err := net.SplitHostPort(address); err == nil {
			c.ServerName = host
		}
	}
	return c
}

// take returns the connection used last, or nil. The caller owns it then.
func (p *pool) take() *conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := len(p.idle) - 1
	if n < 0 {
		return nil
	}
	c := p.idle[n]
	p.idle[n] = nil
	p.idle = p.idle[:n]
	return c
}

// put gives a connection back; the pool owns it from here on.
func (p *pool) put(c *conn) {
	c.tick = p.transport.tick.Load()
	p.mu.Lock()
	if p.closed || len(p.idle) >= p.transport.maxIdle {
		p.mu.Unlock()
		c.close()
		return
	}
	p.idle = append(p.idle, c)
	p.mu.Unlock()
}

// reap closes the connections that have been idle since before the last tick.
func (p *pool) reap(now uint32) {
	p.mu.Lock()
	n := 0
	for n < len(p.idle) && now-p.idle[n].tick >= 2 {
		n++
	}
	old := slices.Clone(p.idle[:n])
	p.idle = slices.Delete(p.idle, 0, n)
	p.mu.Unlock()
	closeAll(old)
}

// close closes what is idle and makes put close the rest.
func (p *pool) close() {
	p.mu.Lock()
	old := p.idle
	p.idle, p.closed = nil, true
	p.mu.Unlock()
	closeAll(old)
}

func (p *pool) size() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.idle)
}

func closeAll(conns []*conn) {
	for _, c := range conns {
		c.close()
	}
}
