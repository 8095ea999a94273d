// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package upstream

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// soon is a pause that passes at once.
func soon() time.Time { return time.Now().Add(20 * time.Millisecond) }

func TestWhoeverPausesLosesNothing(t *testing.T) {
	answer := make(chan struct{})
	p := listen(t, func(_ int, c *net.TCPConn, r *bufio.Reader) {
		if !readRequest(r) {
			return
		}
		// Half a head before the pause, and the rest after it.
		_, _ = io.WriteString(c, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Le")
		await(answer)
		_, _ = io.WriteString(c, "ngth: 5\r\n\r\nhello")
		untilClosed(r)
	})
	tr := newTransport(t, Options{})
	var e Exchange
	defer e.Close()
	r := post("question")
	r.Pause = soon()
	err := tr.Do(&e, plain(p.address), r)
	for range 3 {
		if !errors.Is(err, ErrNotYet) {
			t.Fatalf("error %v, want ErrNotYet", err)
		}
		if e.Status() != 0 || !e.Sent() {
			t.Fatalf("status %d, sent %t before the answer", e.Status(), e.Sent())
		}
		err = e.Await(soon())
	}
	close(answer)
	for errors.Is(err, ErrNotYet) {
		err = e.Await(soon())
	}
	if err != nil || e.Status() != 200 {
		t.Fatalf("status %d, error %v", e.Status(), err)
	}
	if body, err := io.ReadAll(&e); string(body) != "hello" || err != nil {
		t.Errorf("body %q, error %v", body, err)
	}
}

func TestAPauseOverTLS(t *testing.T) {
	answer := make(chan struct{})
	_, target := secure(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		await(answer)
		_, _ = io.WriteString(w, "hello")
	}))
	tr := newTransport(t, Options{})
	var e Exchange
	defer e.Close()
	r := post(strings.Repeat("q", 100))
	r.Pause = soon()
	err := tr.Do(&e, target, r)
	if !errors.Is(err, ErrNotYet) {
		t.Fatalf("error %v, want ErrNotYet", err)
	}
	close(answer)
	for errors.Is(err, ErrNotYet) {
		err = e.Await(soon())
	}
	if body, readErr := io.ReadAll(&e); string(body) != "hello" || err != nil || readErr != nil {
		t.Errorf("body %q, errors %v, %v", body, err, readErr)
	}
}

func TestAPauseMovesNoDeadline(t *testing.T) {
	p := listen(t, func(_ int, _ *net.TCPConn, r *bufio.Reader) { untilClosed(r) })
	tr := newTransport(t, Options{})
	var e Exchange
	defer e.Close()
	r := post("question")
	r.Pause, r.HeadDeadline = soon(), time.Now().Add(150*time.Millisecond)
	err := tr.Do(&e, plain(p.address), r)
	pauses := 0
	for errors.Is(err, ErrNotYet) {
		pauses++
		err = e.Await(soon())
	}
	if failed := asError(t, err); !failed.Timeout || failed.Phase != PhaseHead {
		t.Errorf("error %+v, want a timeout of the head", failed)
	}
	if pauses == 0 {
		t.Error("it never paused")
	}
}

func TestAPauseCanBeCanceled(t *testing.T) {
	p := listen(t, func(_ int, _ *net.TCPConn, r *bufio.Reader) { untilClosed(r) })
	tr := newTransport(t, Options{})
	var e Exchange
	r := post("question")
	r.Pause = soon()
	if err := tr.Do(&e, plain(p.address), r); !errors.Is(err, ErrNotYet) {
		t.Fatalf("error %v, want ErrNotYet", err)
	}
	e.Cancel()
	if failed := asError(t, e.Await(soon())); !failed.Canceled {
		t.Errorf("error %+v, want a cancellation", failed)
	}
	e.Close()
	if err := e.Await(soon()); !errors.Is(err, errNoAnswer) {
		t.Errorf("error %v after Close, want %v", err, errNoAnswer)
	}
}
