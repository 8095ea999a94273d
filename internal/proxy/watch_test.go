// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"io"
	"net"
	"testing"
	"time"
)

// connected returns both ends of a TCP connection on loopback.
func connected(t *testing.T) (server, caller *net.TCPConn) {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	s, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close(); _ = c.Close() })
	return s.(*net.TCPConn), c.(*net.TCPConn)
}

// watched returns a watch, and a channel that gets a value for each call of its cancel.
func watched() (*clientWatch, chan struct{}) {
	canceled := make(chan struct{}, 64)
	w := &clientWatch{}
	w.init(func() {
		select {
		case canceled <- struct{}{}:
		default:
		}
	})
	return w, canceled
}

func await(t *testing.T, c <-chan struct{}, what string) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(10 * time.Second):
		t.Fatal(what)
	}
}

func TestWatchSeesThatTheCallerLeft(t *testing.T) {
	for name, leave := range map[string]func(*net.TCPConn) error{
		"by closing":    func(c *net.TCPConn) error { return c.Close() },
		"by a reset":    func(c *net.TCPConn) error { _ = c.SetLinger(0); return c.Close() },
		"by half a FIN": func(c *net.TCPConn) error { return c.CloseWrite() },
	} {
		t.Run(name, func(t *testing.T) {
			server, caller := connected(t)
			w, canceled := watched()
			w.start(server)
			if err := leave(caller); err != nil {
				t.Fatal(err)
			}
			await(t, canceled, "cancel was not called")
			await(t, canceled, "cancel was called once only: a cancellation between two attempts would be lost")
			if !w.gone() {
				t.Error("gone() = false after the caller left")
			}
			w.stop()
			for len(canceled) > 0 {
				<-canceled
			}
			w.start(server) // a request of another caller may reuse the watch
			if w.gone() {
				t.Error("a new watch remembers the last caller")
			}
			w.stop()
		})
	}
}

func TestWatchLeavesTheNextRequestUnread(t *testing.T) {
	server, caller := connected(t)
	w, canceled := watched()
	for i := range 3 {
		w.start(server)
		if _, err := caller.Write([]byte("next")); err != nil {
			t.Fatal(err)
		}
		if i > 0 {
			await(t, w.ended, "the watch went on although a byte had come") // it peeks, sees data, and ends
			w.ended <- struct{}{}
		}
		w.stop()
		var got [4]byte
		if _, err := io.ReadFull(server, got[:]); err != nil || string(got[:]) != "next" {
			t.Fatalf("read %q, %v after the watch, want the caller's bytes", got, err)
		}
	}
	if w.gone() || len(canceled) != 0 {
		t.Error("a caller that sent something counts as gone")
	}
}

func TestWatchStopsWhileItWaits(t *testing.T) {
	server, caller := connected(t)
	w, canceled := watched()
	w.start(server)
	time.AfterFunc(3*watchAfter, func() { w.stop(); canceled <- struct{}{} })
	await(t, canceled, "stop did not return")
	if w.gone() {
		t.Error("a caller that is silent counts as gone")
	}
	if _, err := caller.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := server.Read(make([]byte, 1)); err != nil {
		t.Errorf("the connection cannot be read after the watch: %v", err)
	}
}

// The HTTP server reads a request under a deadline, and leaves it on the connection.
func TestWatchOutlivesTheDeadlineOfTheHead(t *testing.T) {
	server, caller := connected(t)
	if err := server.SetReadDeadline(time.Now().Add(2 * watchAfter)); err != nil {
		t.Fatal(err)
	}
	w, canceled := watched()
	w.start(server)
	defer w.stop()
	time.Sleep(4 * watchAfter)
	if err := caller.Close(); err != nil {
		t.Fatal(err)
	}
	await(t, canceled, "the watch ended with the deadline of the head")
}
