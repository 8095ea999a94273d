// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package upstream

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// patience bounds what must happen, on a machine that may be busy.
const patience = 20 * time.Second

// peer is a server that plays a script on every connection it accepts.
type peer struct {
	address string
	scripts sync.WaitGroup

	mu    sync.Mutex // guards conns and over
	conns []net.Conn
	over  bool
}

// own closes the connection when the test ends, for transports end after peers.
func (p *peer) own(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns = append(p.conns, c)
	return !p.over
}

func (p *peer) end() {
	p.mu.Lock()
	p.over = true
	for _, c := range p.conns {
		_ = c.Close()
	}
	p.mu.Unlock()
	p.scripts.Wait()
}

// listen starts a peer. The script owns its connection, which is closed after
// it; n counts connections from 0.
func listen(t testing.TB, script func(n int, c *net.TCPConn, r *bufio.Reader)) *peer {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &peer{address: l.Addr().String()}
	p.scripts.Go(func() {
		for n := 0; ; n++ {
			c, err := l.Accept()
			if err != nil {
				return
			}
			if !p.own(c) {
				_ = c.Close()
				return
			}
			p.scripts.Go(func() {
				defer c.Close()
				script(n, c.(*net.TCPConn), bufio.NewReader(c))
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		p.end()
	})
	return p
}

// readRequest takes one request off the connection; false at its end.
func readRequest(r *bufio.Reader) bool {
	req, err := http.ReadRequest(r)
	if err != nil {
		return false
	}
	_, err = io.Copy(io.Discard, req.Body)
	return err == nil
}

// untilClosed waits until the client is gone.
func untilClosed(r *bufio.Reader) { _, _ = io.Copy(io.Discard, r) }

// await lets a script wait for the test, which may have failed and be gone.
func await(sign <-chan struct{}) {
	select {
	case <-sign:
	case <-time.After(patience):
	}
}

// answering plays the same bytes for every request.
func answering(answer string) func(int, *net.TCPConn, *bufio.Reader) {
	return func(_ int, c *net.TCPConn, r *bufio.Reader) {
		for readRequest(r) {
			if _, err := io.WriteString(c, answer); err != nil {
				return
			}
		}
	}
}

// reset makes the coming close a RST.
func reset(c *net.TCPConn) { _ = c.SetLinger(0) }

func plain(address string) *Target { return &Target{ID: "http://" + address, Address: address} }

// newTransport returns a Transport that is closed when the test ends, and then
// must have no connection open.
func newTransport(t testing.TB, o Options) *Transport {
	t.Helper()
	tr := New(o)
	t.Cleanup(func() {
		tr.Close()
		if got := tr.Stats(); got.Open != 0 || got.Idle != 0 {
			t.Errorf("connections left behind: %+v", got)
		}
	})
	return tr
}

// post returns a request with the body in three pieces.
func post(body string) *Request {
	a, b := len(body)/3, 2*len(body)/3
	head := fmt.Sprintf("POST /v1/x HTTP/1.1\r\nHost: provider\r\nAuthorization: Bearer secret\r\nContent-Length: %d\r\n\r\n", len(body))
	return &Request{
		Head:         []byte(head),
		Body:         [MaxPieces][]byte{[]byte(body[:a]), []byte(body[a:b]), []byte(body[b:])},
		HeadDeadline: time.Now().Add(patience),
	}
}

// exchange makes one request and returns the status and the whole body.
func exchange(t testing.TB, tr *Transport, target *Target, r *Request) (int, string, error) {
	t.Helper()
	var e Exchange
	defer e.Close()
	if err := tr.Do(&e, target, r); err != nil {
		return 0, "", err
	}
	e.SetReadDeadline(time.Now().Add(patience))
	body, err := io.ReadAll(&e)
	return e.Status(), string(body), err
}

// mustExchange is exchange for requests that must succeed.
func mustExchange(t testing.TB, tr *Transport, target *Target, r *Request) (int, string) {
	t.Helper()
	status, body, err := exchange(t, tr, target, r)
	if err != nil {
		t.Fatalf("exchange: %v", err)
	}
	return status, body
}

// asError returns err as what every error of this package is.
func asError(t testing.TB, err error) *Error {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	e, ok := err.(*Error) //nolint:errorlint // the type itself is promised, not a chain that contains it
	if !ok {
		t.Fatalf("error is a %T, want *Error: %v", err, err)
	}
	return e
}

// eventually waits for something that must come about.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	end := time.Now().Add(patience)
	for !holds() {
		if time.Now().After(end) {
			t.Fatalf("never happened: %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

// secure starts a TLS server of net/http and returns a target that trusts it.
func secure(t testing.TB, h http.Handler) (*httptest.Server, *Target) {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.EnableHTTP2 = true
	s.TLS = &tls.Config{NextProtos: []string{"h2", "http/1.1"}}
	s.Config.ErrorLog = quietLog
	s.StartTLS()
	t.Cleanup(s.Close)
	address := s.Listener.Addr().String()
	config := s.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	config.ServerName = "example.com"
	return s, &Target{ID: "https://" + address, Address: address, TLS: config}
}

// serverTLS is the certificate of httptest, for scripted peers.
func serverTLS(t testing.TB) (server, client *tls.Config) {
	t.Helper()
	s, target := secure(t, http.NotFoundHandler())
	return &tls.Config{Certificates: s.TLS.Certificates}, target.TLS
}

func descriptors(t testing.TB) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// stacks are the goroutines that run code of this package.
func stacks() string {
	buffer := make([]byte, 1<<20)
	buffer = buffer[:runtime.Stack(buffer, true)]
	var own []string
	for g := range strings.SplitSeq(string(buffer), "\n\n") {
		if strings.Contains(g, "upstream.(*Exchange)") {
			own = append(own, g)
		}
	}
	return strings.Join(own, "\n\n")
}
