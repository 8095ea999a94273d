// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package upstream

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"

	"github.com/turnout-ai/turnout/internal/routing"
)

// refuseMetadata is a net.Dialer Control. It sees the address after resolution, so that no name can lead to a
// cloud's credentials where an address in a URL could not.
func refuseMetadata(_, address string, _ syscall.RawConn) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("the address %q cannot be checked: %w", address, err)
	}
	if problem := routing.AddressProblem(ap.Addr()); problem != "" {
		return errors.New(problem + " in the endpoint's url, or correct the DNS record of its host")
	}
	return nil
}

// connect gives the exchange a connection: a live one of the pool, or a new one.
func (e *Exchange) connect(p *pool, r *Request) error {
	if !r.Fresh {
		for c := p.take(); c != nil; c = p.take() {
			if !c.quiet() {
				c.close()
				continue
			}
			p.transport.reused.Add(1)
			e.reused = true
			return e.adopt(c)
		}
	}
	e.phase = PhaseDial
	nc, err := e.dial(p, r)
	if err != nil {
		if _, ok := errors.AsType[*net.DNSError](err); ok {
			e.phase = PhaseResolve
		}
		return e.fail(err)
	}
	p.transport.dialed.Add(1)
	if err := e.adopt(newConn(p, nc)); err != nil || p.tls == nil {
		return err
	}
	return e.handshake(p, r)
}

// adopt makes the connection the exchange's own, unless it was canceled.
func (e *Exchange) adopt(c *conn) error {
	if !e.lend(c.stop) {
		c.close()
		return e.fail(net.ErrClosed)
	}
	e.conn = c
	return nil
}

func (e *Exchange) dial(p *pool, r *Request) (net.Conn, error) {
	ctx, cancel := contextUntil(phaseEnd(r.ConnectTimeout, r.HeadDeadline))
	defer cancel()
	if !e.lend(cancel) {
		return nil, context.Canceled
	}
	nc, err := p.transport.dialContext(ctx, "tcp", p.address)
	if !e.reclaim() && err == nil {
		// Canceled when the connection was just there.
		_ = nc.Close()
		return nil, context.Canceled
	}
	return nc, err
}

// handshake agrees on TLS. Cancel closes the socket under it.
func (e *Exchange) handshake(p *pool, r *Request) error {
	c := e.conn
	e.phase = PhaseHandshake
	c.setDeadline(phaseEnd(r.TLSTimeout, r.HeadDeadline))
	c.tls = tls.Client(c, p.tls)
	if err := c.tls.HandshakeContext(context.Background()); err != nil {
		return e.fail(err)
	}
	c.sent.Store(0)
	return nil
}

// phaseEnd is when a phase has to end: after its own timeout, and never after
// the deadline of the head. Zero values mean no bound.
func phaseEnd(timeout time.Duration, deadline time.Time) time.Time {
	if timeout <= 0 {
		return deadline
	}
	end := time.Now().Add(timeout)
	if !deadline.IsZero() && deadline.Before(end) {
		return deadline
	}
	return end
}

func contextUntil(end time.Time) (context.Context, context.CancelFunc) {
	if end.IsZero() {
		return context.WithCancel(context.Background())
	}
	return context.WithDeadline(context.Background(), end)
}
