// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package storm

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/Shopify/toxiproxy/v2/stream"
)

// wire is what connections to a provider go through.
type wire struct {
	name, target, address string
	gate                  atomic.Bool // shut: what passes is swallowed
	serial                atomic.Int64

	mu       sync.Mutex // guards what follows
	listener net.Listener
	climate  *climate
	pipes    map[*pipe]struct{}
	accepts  sync.WaitGroup
}

// pipe is a connection of the proxy and the one to the provider behind it.
type pipe struct {
	near, far *net.TCPConn
	// spoiled: it has toxics, or may have lost bytes.
	spoiled bool
}

// newWire listens at address and connects to target.
func newWire(ctx context.Context, name, address, target string) (*wire, error) {
	w := &wire{name: name + "-" + strconv.FormatInt(wires.Add(1), 10), address: address, target: target, pipes: map[*pipe]struct{}{}}
	gates.Store(w.name, &w.gate)
	if err := w.expose(nil); err != nil {
		return nil, err
	}
	return w, w.listen(ctx)
}

// wires numbers them: the toxics of all find their gates in one place.
var wires atomic.Int64

// expose gives toxics to the connections to come.
func (w *wire) expose(all []toxic) error {
	c, err := newClimate(w.name, all)
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.climate = c
	return nil
}

// listen takes connections, beyond the end of ctx.
func (w *wire) listen(ctx context.Context) error {
	ctx = context.WithoutCancel(ctx)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.listener != nil {
		return nil
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", w.address)
	if err != nil {
		return err
	}
	w.listener = l
	w.accepts.Go(func() { w.accept(ctx, l) })
	return nil
}

// refuse lets new connections be refused.
func (w *wire) refuse() {
	w.mu.Lock()
	l := w.listener
	w.listener = nil
	w.mu.Unlock()
	if l != nil {
		_ = l.Close() // it is closed whatever it says
		w.accepts.Wait()
	}
}

func (w *wire) accept(ctx context.Context, l net.Listener) {
	for {
		conn, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			time.Sleep(time.Millisecond) // a connection that was gone before it was taken
			continue
		}
		w.join(ctx, conn.(*net.TCPConn))
	}
}

// join links a connection of the proxy to one to the provider.
func (w *wire) join(ctx context.Context, near *net.TCPConn) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", w.target)
	if err != nil {
		_ = near.Close()
		return
	}
	p := &pipe{near: near, far: conn.(*net.TCPConn)}
	w.mu.Lock()
	climate := w.climate
	p.spoiled = climate.toxic || w.gate.Load()
	w.prune()
	w.pipes[p] = struct{}{}
	w.mu.Unlock()
	name := fmt.Sprintf("%s#%d", w.name, w.serial.Add(1))
	climate.proxy.Toxics.StartLink(toxicServer, name+"up", p.near, p.far, stream.Upstream)
	climate.proxy.Toxics.StartLink(toxicServer, name+"down", p.far, p.near, stream.Downstream)
}

// prune forgets pipes that are closed, once there are many. The wire is locked.
func (w *wire) prune() {
	if len(w.pipes) < 500 || len(w.pipes)%100 != 0 {
		return
	}
	for p := range w.pipes {
		if raw, err := p.near.SyscallConn(); err != nil || raw.Control(func(uintptr) {}) != nil {
			delete(w.pipes, p)
		}
	}
}

// shut swallows what passes from now on.
func (w *wire) shut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.gate.Store(true)
	for p := range w.pipes {
		p.spoiled = true
	}
}

// heal ends what shut and expose have begun: connections to come are without toxics, nothing is swallowed, and what
// was spoiled is cut, with a reset or in order. It is one step: a connection that has lost bytes must not see the
// next ones.
func (w *wire) heal(reset bool) error {
	c, err := newClimate(w.name, nil)
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.climate = c
	w.end(reset, func(p *pipe) bool { return p.spoiled })
	w.gate.Store(false)
	return nil
}

// cut ends all connections, with a reset or in order.
func (w *wire) cut(reset bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.end(reset, func(*pipe) bool { return true })
}

// end ends such connections. The wire is locked.
func (w *wire) end(reset bool, such func(*pipe) bool) {
	for p := range w.pipes {
		if !such(p) {
			continue
		}
		if reset {
			_ = p.near.SetLinger(0) // fails on a closed one
		}
		_ = p.near.Close()
		_ = p.far.Close()
		delete(w.pipes, p)
	}
}

// close ends everything.
func (w *wire) close() {
	w.refuse()
	w.cut(false)
	gates.Delete(w.name)
}
