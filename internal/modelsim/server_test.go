// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package modelsim_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/turnout-ai/turnout/internal/modelsim"
	"github.com/turnout-ai/turnout/internal/modelsim/ledger"
)

// dial opens a connection.
func dial(t *testing.T, server *modelsim.Server) (net.Conn, error) {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", server.Addr())
	if err == nil {
		t.Cleanup(func() { _ = conn.Close() })
	}
	return conn, err
}

func TestARefusingListenerComesBackOnTheSamePort(t *testing.T) {
	server := start(t, nil)
	control := httptest.NewServer(server.Sim.Control())
	defer control.Close()
	kept := newClient(t)
	if got := call(t, kept, http.MethodPost, server.URL()+chatPath, chatBody); got.status != 200 {
		t.Fatalf("%d %v", got.status, got.err)
	}
	order := func(body string) {
		t.Helper()
		if got := call(t, newClient(t), http.MethodPost, control.URL+"/_sim/listener", body); got.status != 200 {
			t.Fatalf("%d %s", got.status, got.body)
		}
	}
	order(`{"state":"closed"}`)
	if _, err := dial(t, server); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("connecting: %v, want connection refused", err)
	}
	if got := call(t, kept, http.MethodPost, server.URL()+chatPath, chatBody); got.status != 200 {
		t.Errorf("a connection that was open: %d %v", got.status, got.err)
	}
	order(`{"state":"open"}`)
	if got := post(t, server, chatPath, chatBody); got.status != 200 {
		t.Errorf("after opening: %d %v", got.status, got.err)
	}
	order(`{"state":"closed","for":"1ms","connections":"reset"}`)
	eventually(t, "the listener opens by itself", func() bool { return server.Sim.State().Listening })
	if got := call(t, kept, http.MethodPost, server.URL()+chatPath, chatBody); got.err != nil && !errors.Is(got.err, syscall.ECONNRESET) && !errors.Is(got.err, io.EOF) {
		t.Errorf("the connection that was open: %v, want a reset", got.err)
	}
	if got := post(t, server, chatPath, chatBody); got.status != 200 {
		t.Errorf("after opening by itself: %d %v", got.status, got.err)
	}
}

// raw sends one chat request on a connection and reads the answer; headers are lines of their own.
func raw(t *testing.T, conn net.Conn, body, headers string) answer {
	t.Helper()
	request := "POST " + chatPath + " HTTP/1.1\r\nHost: x\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n" + headers + "\r\n" + body
	if _, err := conn.Write([]byte(request)); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	data, err := io.ReadAll(response.Body)
	return answer{status: response.StatusCode, body: string(data), err: err}
}

func TestIdleConnectionsAreClosed(t *testing.T) {
	tests := []struct {
		name    string
		reset   bool
		byHand  bool
		wantErr error
	}{
		{name: "by FIN after the idle timeout", wantErr: io.EOF},
		{name: "by RST after the idle timeout", reset: true, wantErr: syscall.ECONNRESET},
		{name: "by RST on order", byHand: true, wantErr: syscall.ECONNRESET},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			server := start(t, func(c *modelsim.Config) {
				c.IdleTimeout, c.IdleReset = time.Millisecond, tt.reset
				if tt.byHand {
					c.IdleTimeout = 0
				}
			})
			conn, err := dial(t, server)
			if err != nil {
				t.Fatal(err)
			}
			if got := raw(t, conn, chatBody, ""); got.status != 200 {
				t.Fatalf("%d %v", got.status, got.err)
			}
			if tt.byHand {
				eventually(t, "the connection is idle and reset", func() bool { return server.ResetIdle() == 1 })
			}
			if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, tt.wantErr) {
				t.Errorf("reading the idle connection: %v, want %v", err, tt.wantErr)
			}
		})
	}
}

func TestOrdersToConnectionsOverHTTP(t *testing.T) {
	server := start(t, nil)
	control := httptest.NewServer(server.Sim.Control())
	defer control.Close()
	for _, which := range []string{"idle", "all"} {
		conn, err := dial(t, server)
		if err != nil {
			t.Fatal(err)
		}
		raw(t, conn, chatBody, "")
		done := false
		eventually(t, "the connection is reset", func() bool {
			if !done {
				got := call(t, newClient(t), http.MethodPost, control.URL+"/_sim/connections", `{"reset":"`+which+`"}`)
				done = which == "all" || strings.Contains(got.body, `"reset": 1`)
			}
			return done
		})
		if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("%s: %v, want a reset", which, err)
		}
	}
}

func TestTheEndOfTheContextLetsAnswersFinish(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	server, err := modelsim.Start(ctx, modelsim.DefaultConfig(), "127.0.0.1:0", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	response, _ := openStream(t, server, newClient(t), streamBody, modelsim.HeaderFault, "stall;after=1;wait=50ms")
	cancel()
	eventually(t, "nobody can connect", func() bool {
		_, err := dial(t, server)
		return errors.Is(err, syscall.ECONNREFUSED)
	})
	body, err := io.ReadAll(response.Body)
	if err != nil || !strings.HasSuffix(string(body), "data: [DONE]\n\n") {
		t.Errorf("the stream in flight: %v after %q", err, body)
	}
	server.Wait()
	if err := server.Reopen(); err != nil || server.Sim.State().Listening {
		t.Errorf("a stopped server opened again: %v", err)
	}
}

func TestClosingBreaksAnswersOffAndSaysSo(t *testing.T) {
	server, path := startWithLedger(t, nil)
	response, _ := openStream(t, server, newClient(t), streamBody, modelsim.HeaderFault, "stall;after=2", modelsim.HeaderAttempt, "a")
	reader := bufio.NewReader(response.Body)
	for range 6 { // role and two contents, each with its empty line
		if _, err := reader.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
	server.Close()
	if _, err := io.ReadAll(reader); err == nil {
		t.Error("the stream ended as if it were complete")
	}
	wantBooks(t, path, "a", 200, 2, ledger.Accepted, ledger.Head, ledger.Progress, ledger.Progress, ledger.Aborted)
}

func TestTLS(t *testing.T) {
	// httptest has a certificate at hand.
	other := httptest.NewTLSServer(http.NotFoundHandler())
	defer other.Close()
	config := modelsim.DefaultConfig()
	server, err := modelsim.Start(t.Context(), config, "127.0.0.1:0", &tls.Config{Certificates: other.TLS.Certificates, MinVersion: tls.VersionTLS12})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	got := call(t, other.Client(), http.MethodPost, server.URL()+chatPath, chatBody)
	if got.status != 200 || !strings.HasPrefix(server.URL(), "https://") {
		t.Errorf("%d %v from %s", got.status, got.err, server.URL())
	}
	if got := call(t, other.Client(), http.MethodPost, server.URL()+chatPath, chatBody, modelsim.HeaderFault, "reset"); !errors.Is(got.err, syscall.ECONNRESET) && !errors.Is(got.err, io.EOF) {
		t.Errorf("a reset below TLS: %v", got.err)
	}
}

func TestAnAddressInUseIsAnError(t *testing.T) {
	server := start(t, nil)
	if _, err := modelsim.Start(t.Context(), modelsim.DefaultConfig(), server.Addr(), nil); err == nil || !strings.Contains(err.Error(), server.Addr()) {
		t.Errorf("error %v does not name the address", err)
	}
}

// fullAfter is a ledger that has room for so many lines.
type fullAfter struct{ room atomic.Int64 }

func (l *fullAfter) Append(*ledger.Record) error {
	if l.room.Add(-1) < 0 {
		return syscall.ENOSPC
	}
	return nil
}

// TestNothingHappensThatTheLedgerCannotHold proves the order of line and effect: when a line cannot be written,
// the client must not see what it announces.
func TestNothingHappensThatTheLedgerCannotHold(t *testing.T) {
	tests := []struct {
		name, body, fault string
		room              int64
		wantStatus        int
		wantContents      int
	}{
		{name: "JSON that is not accepted", body: chatBody},
		{name: "JSON without its head", body: chatBody, room: 1},
		{name: "JSON without its end", body: chatBody, room: 2},
		{name: "an error without its end", body: "{", room: 2},
		{name: "a stream that is not accepted", body: streamBody},
		{name: "a stream without its head", body: streamBody, room: 1},
		{name: "a stream without its first content", body: streamBody, room: 2, wantStatus: 200},
		{name: "a stream without its third content", body: streamBody, room: 4, wantStatus: 200, wantContents: 2},
		{name: "a stream without its end", body: streamBody, room: 8, wantStatus: 200, wantContents: 6},
		{name: "half an answer whose other half is not booked", body: chatBody, fault: "hang-body;wait=1ms", room: 2, wantStatus: 200},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			full := &fullAfter{}
			full.room.Store(tt.room)
			server := start(t, func(c *modelsim.Config) { c.Ledger = full })
			got := post(t, server, chatPath, tt.body, modelsim.HeaderFault, tt.fault)
			if got.err == nil || got.status != tt.wantStatus || strings.Contains(got.body, `"finish_reason":"`) {
				t.Errorf("the client saw %d %q %v, want status %d and an error", got.status, got.body, got.err, tt.wantStatus)
			}
			if _, count := contents(t, got.body); count != tt.wantContents {
				t.Errorf("the client saw %d contents, want %d", count, tt.wantContents)
			}
		})
	}
}

// TestTheLedgerIsAheadOfTheClient reads the ledger after each frame the client has seen.
func TestTheLedgerIsAheadOfTheClient(t *testing.T) {
	server, path := startWithLedger(t, nil)
	body := strings.Replace(streamBody, `"max_tokens":6`, `"max_tokens":30,"n":2`, 1)
	response, _ := openStream(t, server, newClient(t), body, modelsim.HeaderAttempt, "a")
	if last := readLedger(t, path).Entries[0].Last(); last.Status != 200 || last.Event == ledger.Accepted {
		t.Errorf("the client has the head, the ledger %+v", last)
	}
	reader := bufio.NewReader(response.Body)
	seen := 0
	for {
		line, err := reader.ReadString('\n')
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		last := readLedger(t, path).Entries[0].Last()
		if strings.Contains(line, `"delta":{"content":`) {
			seen++
		}
		if last.Tokens.Completion < seen || strings.Contains(line, `"finish_reason":"`) && last.Event != ledger.Finished {
			t.Fatalf("the client has seen %d tokens and %q, the ledger says %+v", seen, line, last)
		}
	}
	if seen != 60 {
		t.Errorf("%d tokens, want 60", seen)
	}
}
