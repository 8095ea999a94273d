// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package modelsim

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// drainTimeout is how long answers in flight may take after the context of Start ended.
const drainTimeout = 10 * time.Second

// Server is a simulator on a socket, which can refuse and reset connections.
type Server struct {
	// Sim is the simulator that is served.
	Sim *Sim

	http *http.Server
	// listen binds an address, for as long as the server is to run.
	listen func(addr string) (net.Listener, error)
	tls    *tls.Config
	addr   string // as it was bound, so that Reopen gets the same port
	// closing is true once connections are closed by us, whatever is still in flight.
	closing  atomic.Bool
	accepted atomic.Int64
	done     chan struct{}
	stop     context.CancelFunc

	mu       sync.Mutex // guards all below
	listener net.Listener
	reopen   *time.Timer
	stopped  bool
	// conns are the open connections; the timer of an idle one resets it when IdleReset is set.
	conns map[net.Conn]*connState
}

// connState is what the server knows of a connection.
type connState struct {
	idle  bool
	timer *time.Timer // nil unless it is idle and to be reset
}

// Start serves a simulator on addr ("127.0.0.1:0" takes a free port) until ctx ends; then it stops listening,
// lets answers in flight finish for ten seconds and breaks off the rest. secure, when not nil, serves TLS.
func Start(ctx context.Context, config Config, addr string, secure *tls.Config) (*Server, error) {
	sim, err := New(config)
	if err != nil {
		return nil, err
	}
	s := &Server{Sim: sim, tls: secure, addr: addr, done: make(chan struct{}), conns: map[net.Conn]*connState{}}
	s.http = &http.Server{
		Handler:           sim,
		ReadHeaderTimeout: 30 * time.Second,
		ConnState:         s.track,
		ConnContext: func(ctx context.Context, _ net.Conn) context.Context {
			return context.WithValue(ctx, connectionKey{}, &connection{})
		},
		ErrorLog: log.New(io.Discard, "", 0), // broken connections are its trade
	}
	// net/http closes idle connections with FIN. For RST the server keeps timers of its own: see track.
	s.http.IdleTimeout = config.IdleTimeout
	if config.IdleReset {
		s.http.IdleTimeout = 0
	}
	ctx, s.stop = context.WithCancel(ctx)
	s.listen = func(addr string) (net.Listener, error) { return (&net.ListenConfig{}).Listen(ctx, "tcp", addr) }
	if err := s.Reopen(); err != nil {
		s.stop()
		return nil, err
	}
	sim.server.Store(s)
	go s.shutdownAfter(ctx)
	return s, nil
}

// Addr is the address it listens on, or listened on before it began to refuse.
func (s *Server) Addr() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.addr
}

// URL is the base URL of the API without the /v1.
func (s *Server) URL() string {
	scheme := "http://"
	if s.tls != nil {
		scheme = "https://"
	}
	return scheme + s.Addr() + s.Sim.config.BasePath
}

// Wait returns when the server has stopped.
func (s *Server) Wait() { <-s.done }

// Close stops at once: whatever is in flight is broken off. It returns when everything has ended.
func (s *Server) Close() {
	s.closing.Store(true)
	s.stop()
	_ = s.http.Close() // closing listeners and connections: nothing can be done about errors
	<-s.done
}

// Refuse closes the listener, so that connecting is refused; open connections go on. After a while (0: never)
// it opens again by itself.
func (s *Server) Refuse(reopenAfter time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closeListener()
	if reopenAfter > 0 && !s.stopped {
		s.reopen = time.AfterFunc(reopenAfter, func() { _ = s.Reopen() }) // a port that was taken meanwhile stays refused
	}
}

// closeListener closes the listener and forgets when to reopen it; mu is held.
func (s *Server) closeListener() {
	if s.reopen != nil {
		s.reopen.Stop()
		s.reopen = nil
	}
	if s.listener != nil {
		_ = s.listener.Close() // a listener that does not close is closed already
		s.listener = nil
	}
}

// Reopen listens again on the same address; it does nothing while the server listens.
func (s *Server) Reopen() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	// The timer of Refuse and an order to open may both come; the second finds it done.
	if s.listener != nil || s.stopped {
		return nil
	}
	if s.reopen != nil {
		s.reopen.Stop()
		s.reopen = nil
	}
	listener, err := s.listen(s.addr)
	if err != nil {
		return fmt.Errorf("listen on %s: %w", s.addr, err)
	}
	s.addr = listener.Addr().String()
	s.listener = listener
	if s.tls != nil {
		listener = tls.NewListener(listener, s.tls)
	}
	go func() {
		// It returns when the listener is closed; the reason is known to whoever closed it.
		_ = s.http.Serve(listener)
	}()
	return nil
}

// ResetIdle resets the keep-alive connections that wait for a request, and says how many there were.
func (s *Server) ResetIdle() int { return s.resetWhere(func(c *connState) bool { return c.idle }) }

// ResetConnections resets all connections, and says how many there were.
func (s *Server) ResetConnections() int { return s.resetWhere(func(*connState) bool { return true }) }

func (s *Server) resetWhere(chosen func(*connState) bool) int {
	s.mu.Lock()
	var victims []net.Conn
	for conn, state := range s.conns {
		if chosen(state) {
			victims = append(victims, conn)
		}
	}
	s.mu.Unlock() // closing calls track
	for _, conn := range victims {
		reset(conn)
	}
	return len(victims)
}

// track follows the life of a connection.
func (s *Server) track(conn net.Conn, state http.ConnState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	known := s.conns[conn]
	if known == nil {
		if state != http.StateNew {
			return
		}
		known = &connState{}
		s.conns[conn] = known
		s.accepted.Add(1)
	}
	if known.timer != nil {
		known.timer.Stop()
		known.timer = nil
	}
	known.idle = state == http.StateIdle
	switch state {
	case http.StateIdle:
		if config := s.Sim.config; config.IdleReset && config.IdleTimeout > 0 {
			known.timer = time.AfterFunc(config.IdleTimeout, func() { s.resetIdle(conn) })
		}
	case http.StateClosed, http.StateHijacked:
		delete(s.conns, conn)
	case http.StateNew, http.StateActive:
	}
}

// resetIdle resets a connection that has been idle for long enough, unless a request has begun on it since its timer
// fired: a provider closes idle connections, and not those on which it answers.
func (s *Server) resetIdle(conn net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if known := s.conns[conn]; known != nil && known.idle {
		reset(conn)
	}
}

// describe adds what is known of the socket.
func (s *Server) describe(state *State) {
	s.mu.Lock()
	defer s.mu.Unlock()
	state.Listening = s.listener != nil
	state.Connections = int64(len(s.conns))
	state.Accepted = s.accepted.Load()
}

// shutdownAfter stops the server when ctx ends.
func (s *Server) shutdownAfter(ctx context.Context) {
	defer close(s.done)
	<-ctx.Done()
	s.mu.Lock()
	s.stopped = true
	s.closeListener()
	s.mu.Unlock()
	// Draining outlives the context that ended.
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer cancel()
	if err := s.http.Shutdown(drain); err != nil && !errors.Is(err, http.ErrServerClosed) {
		s.closing.Store(true)
		_ = s.http.Close() // nothing can be done about connections that do not close
	}
	// Closing does not wait for handlers, but the last lines of the ledger are theirs.
	s.Sim.counters.awaitNone()
}
