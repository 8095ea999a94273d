// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"errors"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/turnout-ai/turnout/internal/wire"
)

func TestBudgetNeverGivesMoreThanItHas(t *testing.T) {
	var b budget
	b.give(100)
	if !b.take(60) || b.take(41) || !b.take(40) || b.take(1) {
		t.Errorf("the budget of 100 gave 60, 41, 40 and 1 in some other way; %d left", b.left.Load())
	}
	b.give(100)
	if b.left.Load() != 100 {
		t.Errorf("%d left after everything was given back, want 100", b.left.Load())
	}
}

func TestAccessLogLineIsJSONWhateverTheCallerSent(t *testing.T) {
	e := entry{
		id: []byte("abc-1"), operation: "chat", model: []byte("\x00\"}\n<script>\xff"), policy: `a"b`,
		problem: "upstream_refused", client: "127.0.0.1:1", usage: wire.Usage{Input: 3, Output: 4},
	}
	line := string(e.append(nil))
	if !wire.Valid([]byte(strings.TrimSuffix(line, "\n"))) || strings.Count(line, "\n") != 1 {
		t.Errorf("not one line of JSON: %q", line)
	}
}

func TestAccessLogIsBounded(t *testing.T) {
	var out strings.Builder
	l := NewAccessLog(&out)
	e := entry{model: []byte(strings.Repeat("m", 64<<10))}
	for range 40 {
		l.add(7, &e) // one shard, never flushed
	}
	if l.dropped.Load() == 0 {
		t.Fatal("a log that nobody writes takes lines without end")
	}
	kept := 40 - l.dropped.Load()
	if _, err := l.flush(nil); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(out.String(), "\n"); uint64(n) != kept {
		t.Errorf("%d lines written, want the %d that were kept", n, kept)
	}
}

func TestHeaderNamesAreComparedWithoutCase(t *testing.T) {
	for name, want := range map[string]bool{
		"Content-Encoding": true, "CONTENT-ENCODING": true, "content-encoding": true,
		"content-encodin": false, "content-encodingx": false, "content_encoding": false,
	} {
		if got := isHeader([]byte(name), "content-encoding"); got != want {
			t.Errorf("isHeader(%q) = %v, want %v", name, got, want)
		}
	}
}

// failing is a listener that fails so many times and then gives a connection.
type failing struct {
	net.Listener
	times int
	err   error
}

func (l *failing) Accept() (net.Conn, error) {
	if l.times--; l.times >= 0 {
		return nil, &net.OpError{Op: "accept", Err: os.NewSyscallError("accept4", l.err)}
	}
	return nil, nil
}

// Running out of descriptors must not end the process with every stream it serves.
func TestAcceptWaitsForDescriptors(t *testing.T) {
	for _, shortage := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS} {
		if _, err := (patient{&failing{times: 3, err: shortage}}).Accept(); err != nil {
			t.Errorf("%v ended the listener: %v", shortage, err)
		}
	}
	if _, err := (patient{&failing{times: 3, err: syscall.EBADF}}).Accept(); !errors.Is(err, syscall.EBADF) {
		t.Errorf("a listener that is gone gives %v, want its error", err)
	}
}

func TestConnectionsAreRefusedBeforeDescriptorsRunOut(t *testing.T) {
	for descriptors, want := range map[uint64]int{0: maxConnections, 1 << 40: maxConnections, 20_000: 9872, 1024: 384, 10: 128} {
		if got := connectionsFor(descriptors); got != want {
			t.Errorf("connectionsFor(%d) = %d, want %d", descriptors, got, want)
		}
	}
}
