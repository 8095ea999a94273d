// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"crypto/tls"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// watchAfter is how long a request must have lasted before its caller's connection is watched: most are
// over by then and never pay for it.
const watchAfter = 50 * time.Millisecond

// cancelEvery repeats the cancellation of a request whose caller left, because the request may have been
// between two attempts when it came.
const cancelEvery = 10 * time.Millisecond

// clientWatch notices that the caller went away while nothing is being read from it or written to it: the
// HTTP server reads only between requests. It peeks at the connection, so that a byte of the next request
// stays where it is. A clientWatch is reused; start and stop are called by the goroutine that serves the
// connection, in turns.
type clientWatch struct {
	// cancel is called, repeatedly and from another goroutine, once the caller has left.
	cancel func()
	conn   net.Conn
	timer  *time.Timer
	// ended receives one value when a run of the watch is over.
	ended chan struct{}
	// stopping receives one value when stop is called while the watch runs.
	stopping chan struct{}
	left     atomic.Bool
	started  bool

	mu      sync.Mutex // guards stopped, and the connection's read deadline while it runs
	stopped bool
}

// init prepares a zero clientWatch.
func (w *clientWatch) init(cancel func()) {
	w.cancel = cancel
	w.ended = make(chan struct{}, 1)
	w.stopping = make(chan struct{}, 1)
	w.timer = time.AfterFunc(time.Hour, w.run)
	w.timer.Stop()
}

// start begins to watch conn in watchAfter.
func (w *clientWatch) start(conn net.Conn) {
	w.conn = conn
	w.left.Store(false)
	w.started, w.stopped = true, false
	w.timer.Reset(watchAfter)
}

// gone reports whether the caller has left.
func (w *clientWatch) gone() bool { return w.left.Load() }

// stop ends the watch and leaves the connection ready to be read. After it cancel is not called any more.
func (w *clientWatch) stop() {
	if !w.started {
		return
	}
	w.started = false
	if w.timer.Stop() {
		return
	}
	// A deadline in the past wakes the peek. Without it the read of the next request would wait behind it.
	w.mu.Lock()
	w.stopped = true
	_ = w.conn.SetReadDeadline(time.Unix(1, 0))
	w.mu.Unlock()
	w.stopping <- struct{}{}
	<-w.ended
	select { // not taken when the peek ended by itself
	case <-w.stopping:
	default:
	}
	_ = w.conn.SetReadDeadline(time.Time{})
	w.conn = nil
}

// run waits for the caller to leave, on the timer's own goroutine.
func (w *clientWatch) run() {
	defer func() { w.ended <- struct{}{} }()
	w.lift()
	if !hasLeft(w.conn) {
		return
	}
	w.left.Store(true)
	for {
		w.cancel()
		select {
		case <-w.stopping:
			return
		case <-time.After(cancelEvery):
		}
	}
}

// lift takes away the deadline under which the HTTP server has read the request: it would end the watch.
func (w *clientWatch) lift() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.stopped {
		_ = w.conn.SetReadDeadline(time.Time{})
	}
}

// hasLeft blocks until the peer of conn closes or resets it (true), until it sends something, or until the
// read deadline passes (both false). On a TLS connection it sees the end of the TCP connection below, and
// takes a close_notify for data: the end that follows it is then seen by the first write.
func hasLeft(conn net.Conn) bool {
	if t, ok := conn.(*tls.Conn); ok {
		conn = t.NetConn()
	}
	sc, ok := conn.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return false
	}
	left := false
	var buf [1]byte
	err = raw.Read(func(fd uintptr) bool {
		for {
			n, _, err := syscall.Recvfrom(int(fd), buf[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
			switch err {
			case syscall.EINTR:
				continue
			case syscall.EAGAIN:
				return false // wait until something happens
			}
			left = err != nil || n == 0
			return true
		}
	})
	return err == nil && left
}
