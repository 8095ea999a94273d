// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package upstream

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/net/dns/dnsmessage"
)

// facts compares what an Error says beside its cause and address.
var facts = cmpopts.IgnoreFields(Error{}, "Err", "Address")

// bound returns a TCP socket and its address. Nobody listens there yet, and as
// long as the socket lives nobody else can.
func bound(t *testing.T) (fd int, address string) {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Close(fd) })
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	port := name.(*syscall.SockaddrInet4).Port
	return fd, netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(port)).String()
}

// blackHole is an address where connecting neither succeeds nor fails: a
// listener that never accepts, its backlog full.
func blackHole(t *testing.T) string {
	t.Helper()
	fd, address := bound(t)
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	for {
		d := net.Dialer{Timeout: 300 * time.Millisecond}
		c, err := d.DialContext(t.Context(), "tcp", address)
		if err != nil {
			return address
		}
		t.Cleanup(func() { _ = c.Close() })
	}
}

// stuck is an exchange that waits for ever in one phase.
type stuck struct {
	name    string
	target  *Target
	request *Request
	want    Error // but for Timeout and Canceled
}

func stuckExchanges(t *testing.T) []stuck {
	_, clientTLS := serverTLS(t)
	silent := listen(t, func(_ int, _ *net.TCPConn, r *bufio.Reader) { untilClosed(r) })
	secret := *plain(silent.address)
	secret.ID, secret.TLS = "tls", clientTLS
	deaf := make(chan struct{})
	full := listen(t, func(int, *net.TCPConn, *bufio.Reader) { <-deaf })
	t.Cleanup(func() { close(deaf) }) // runs before the peer waits for its scripts
	begun := func(answer string) *Target {
		return plain(listen(t, func(_ int, c *net.TCPConn, r *bufio.Reader) {
			readRequest(r)
			_, _ = io.WriteString(c, answer)
			untilClosed(r)
		}).address)
	}
	small, large := post("{}"), post(strings.Repeat("x", 32<<20))
	return []stuck{
		{"connecting", plain(blackHole(t)), small, Error{Phase: PhaseDial}},
		{"the handshake", &secret, small, Error{Phase: PhaseHandshake}},
		{"sending", plain(full.address), large, Error{Phase: PhaseWrite, Sent: true}},
		{"waiting for the head", plain(silent.address), small, Error{Phase: PhaseHead, Sent: true}},
		{
			"reading half a head", begun("HTTP/1.1 200 OK\r\nContent-"), small,
			Error{Phase: PhaseHead, Sent: true, AnswerBegan: true},
		},
		{
			"reading half a body", begun("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"), small,
			Error{Phase: PhaseBody, Sent: true, AnswerBegan: true},
		},
		{
			"reading half a chunk", begun("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhalf"), small,
			Error{Phase: PhaseBody, Sent: true, AnswerBegan: true},
		},
	}
}

// run makes the exchange, with its body.
func run(tr *Transport, e *Exchange, target *Target, r *Request, idle time.Duration) error {
	if err := tr.Do(e, target, r); err != nil {
		return err
	}
	if idle > 0 {
		e.SetReadDeadline(time.Now().Add(idle))
	}
	_, err := io.Copy(io.Discard, e)
	return err
}

func TestEveryPhaseEndsAtItsDeadline(t *testing.T) {
	tr := newTransport(t, Options{})
	for _, tc := range stuckExchanges(t) {
		t.Run(tc.name, func(t *testing.T) {
			r := *tc.request
			const short = 300 * time.Millisecond
			switch tc.want.Phase {
			case PhaseDial:
				r.ConnectTimeout = short
			case PhaseHandshake:
				r.TLSTimeout = short
			case PhaseWrite, PhaseHead:
				r.HeadDeadline = time.Now().Add(short)
			case PhaseResolve, PhaseBody:
			}
			var e Exchange
			err := run(tr, &e, tc.target, &r, short)
			got := asError(t, err)
			want := tc.want
			want.Timeout = true
			if diff := cmp.Diff(&want, got, facts); diff != "" {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
			if !errors.Is(err, os.ErrDeadlineExceeded) && !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("the cause is %v", got.Err)
			}
			e.Close()
			if e := tr.Stats(); e.Open != 0 {
				t.Errorf("%d connections left open", e.Open)
			}
		})
	}
}

func TestEveryPhaseCanBeCanceled(t *testing.T) {
	tr := newTransport(t, Options{})
	for _, tc := range stuckExchanges(t) {
		t.Run(tc.name, func(t *testing.T) {
			r := *tc.request
			r.HeadDeadline = time.Time{}
			var e Exchange
			done := make(chan error, 1)
			go func() { done <- run(tr, &e, tc.target, &r, 0) }()
			time.AfterFunc(50*time.Millisecond, e.Cancel)
			select {
			case err := <-done:
				got := asError(t, err)
				if !got.Canceled || got.Timeout || got.Stale() {
					t.Errorf("got %+v, want a cancellation", got)
				}
				// On a slow machine it may not have come as far.
				if got.Phase > tc.want.Phase {
					t.Errorf("canceled in %v, which cannot be reached", got.Phase)
				}
			case <-time.After(patience):
				t.Fatal("still blocked after Cancel")
			}
			e.Close()
			if e := tr.Stats(); e.Open != 0 {
				t.Errorf("%d connections left open", e.Open)
			}
		})
	}
}

func TestACancelHoldsUntilClose(t *testing.T) {
	tr := newTransport(t, Options{})
	p := listen(t, answering("HTTP/1.1 204 No Content\r\n\r\n"))
	var e Exchange
	e.Cancel()
	if got := asError(t, tr.Do(&e, plain(p.address), post(""))); !got.Canceled || got.Sent {
		t.Errorf("got %+v, want canceled before anything was sent", got)
	}
	e.Close()
	if err := tr.Do(&e, plain(p.address), post("")); err != nil {
		t.Errorf("after Close: %v", err)
	}
	e.Close()
	e.Cancel()
	if got := tr.Stats(); got.Idle != 1 {
		t.Errorf("%+v: a late Cancel took a connection of the pool", got)
	}
}

func TestFailuresSayWhatHappened(t *testing.T) {
	_, trusting := serverTLS(t)
	server, _ := serverTLS(t)
	overTLS := func(address string, c *tls.Config) *Target {
		return &Target{ID: "tls", Address: address, TLS: c}
	}
	_, refused := bound(t)
	after := func(answer string, how func(*net.TCPConn)) string {
		return listen(t, func(_ int, c *net.TCPConn, r *bufio.Reader) {
			readRequest(r)
			_, _ = io.WriteString(c, answer)
			how(c)
		}).address
	}
	end := func(*net.TCPConn) {}
	speaksTLS := listen(t, func(_ int, c *net.TCPConn, _ *bufio.Reader) {
		s := tls.Server(c, server)
		_ = s.HandshakeContext(context.Background())
		untilClosed(bufio.NewReader(s))
	}).address
	other := trusting.Clone()
	other.ServerName = "elsewhere.example.org"
	for _, tc := range []struct {
		name   string
		target *Target
		body   int
		want   Error
		cause  error
	}{
		{"connection refused", plain(refused), 2, Error{Phase: PhaseDial}, syscall.ECONNREFUSED},
		{"TLS to a plaintext server", overTLS(after("HTTP/1.1 400 Bad Request\r\n\r\n", end), trusting), 2, Error{Phase: PhaseHandshake}, nil},
		{"a certificate of nobody we trust", overTLS(speaksTLS, &tls.Config{ServerName: "example.com"}), 2, Error{Phase: PhaseHandshake}, nil},
		{"a certificate for another name", overTLS(speaksTLS, other), 2, Error{Phase: PhaseHandshake}, nil},
		{"closed before an answer", plain(after("", end)), 2, Error{Phase: PhaseHead, Sent: true}, io.EOF},
		{"reset before an answer", plain(after("", reset)), 2, Error{Phase: PhaseHead, Sent: true}, syscall.ECONNRESET},
		{"closed in the head", plain(after("HTTP/1.1 200 OK\r\nConte", end)), 2, Error{Phase: PhaseHead, Sent: true, AnswerBegan: true}, io.ErrUnexpectedEOF},
		{"plaintext to a TLS server", plain(speaksTLS), 2, Error{Phase: PhaseHead, Sent: true}, nil},
		{
			"cut by length", plain(after("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", end)), 2,
			Error{Phase: PhaseBody, Sent: true, AnswerBegan: true},
			io.ErrUnexpectedEOF,
		},
		{
			"cut in a chunk", plain(after("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhalf", end)), 2,
			Error{Phase: PhaseBody, Sent: true, AnswerBegan: true},
			io.ErrUnexpectedEOF,
		},
		{
			"cut between chunks", plain(after("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n", end)), 2,
			Error{Phase: PhaseBody, Sent: true, AnswerBegan: true},
			io.ErrUnexpectedEOF,
		},
		{
			"cut before the empty line at last", plain(after("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", end)), 2,
			Error{Phase: PhaseBody, Sent: true, AnswerBegan: true},
			io.ErrUnexpectedEOF,
		},
		{
			"a body without framing ends in a reset", plain(after("HTTP/1.1 200 OK\r\n\r\n", reset)), 2,
			Error{Phase: PhaseBody, Sent: true, AnswerBegan: true},
			syscall.ECONNRESET,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tr := newTransport(t, Options{})
			var e Exchange
			defer e.Close()
			err := run(tr, &e, tc.target, post(strings.Repeat("x", tc.body)), patience)
			if diff := cmp.Diff(&tc.want, asError(t, err), facts); diff != "" {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
			if tc.cause != nil && !errors.Is(err, tc.cause) {
				t.Errorf("the cause is %v, want %v", err, tc.cause)
			}
			for _, s := range []string{tc.target.Address, tc.want.Phase.String()} {
				if !strings.Contains(err.Error(), s) {
					t.Errorf("%q does not name %q", err, s)
				}
			}
			if e.Sent() != tc.want.Sent {
				t.Errorf("Sent is %v", e.Sent())
			}
			if _, again := e.Read(make([]byte, 1)); !errors.Is(again, err) {
				t.Errorf("Read after the failure gives %v", again)
			}
		})
	}
}

func TestAResetWhileSending(t *testing.T) {
	tr := newTransport(t, Options{})
	p := listen(t, func(_ int, c *net.TCPConn, r *bufio.Reader) {
		_, _ = r.ReadByte()
		reset(c)
	})
	_, _, err := exchange(t, tr, plain(p.address), post(strings.Repeat("x", 32<<20)))
	want := &Error{Phase: PhaseWrite, Sent: true}
	if diff := cmp.Diff(want, asError(t, err), facts); diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

// nameServer answers every question of type A with the address, or with "no
// such name" if it is not valid.
func nameServer(t *testing.T, answer netip.Addr) *net.Resolver {
	t.Helper()
	pc, err := (&net.ListenConfig{}).ListenPacket(t.Context(), "udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pc.Close() })
	go func() {
		buffer := make([]byte, 1500)
		for {
			n, from, err := pc.ReadFrom(buffer)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if m.Unpack(buffer[:n]) != nil {
				continue
			}
			m.Response, m.Additionals = true, nil
			q := m.Questions[0]
			switch {
			case !answer.IsValid():
				m.RCode = dnsmessage.RCodeNameError
			case q.Type == dnsmessage.TypeA:
				h := dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class, TTL: 1}
				m.Answers = []dnsmessage.Resource{{Header: h, Body: &dnsmessage.AResource{A: answer.As4()}}}
			}
			if packed, err := m.Pack(); err == nil {
				_, _ = pc.WriteTo(packed, from)
			}
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", pc.LocalAddr().String())
	}}
}

func TestMetadataAddressesAreRefused(t *testing.T) {
	for _, tc := range []struct {
		name     string
		address  string
		resolver *net.Resolver
	}{
		{"the metadata service", "169.254.169.254:80", nil},
		{"the whole link-local range", "169.254.1.2:443", nil},
		{"an IPv4 address in IPv6 clothes", "[::ffff:169.254.169.254]:80", nil},
		{"IPv6 link-local", "[fe80::1]:80", nil},
		{"Amazon's metadata service over IPv6", "[fd00:ec2::254]:80", nil},
		{"Alibaba's metadata service", "100.100.100.200:80", nil},
		{"a name that leads there", "innocent.example.com:80", nameServer(t, netip.MustParseAddr("169.254.169.254"))},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tr := newTransport(t, Options{Resolver: tc.resolver})
			_, _, err := exchange(t, tr, plain(tc.address), post(""))
			if got := asError(t, err); got.Phase != PhaseDial || got.Sent || !strings.Contains(err.Error(), "correct the DNS record of its host") {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestANameThatDoesNotResolve(t *testing.T) {
	tr := newTransport(t, Options{Resolver: nameServer(t, netip.Addr{})})
	_, _, err := exchange(t, tr, plain("nowhere.example.com:80"), post(""))
	if got := asError(t, err); got.Phase != PhaseResolve || got.Sent || got.Timeout {
		t.Errorf("got %+v", got)
	}
}

func TestANameThatResolves(t *testing.T) {
	p := listen(t, answering("HTTP/1.1 204 No Content\r\n\r\n"))
	_, port, _ := net.SplitHostPort(p.address)
	tr := newTransport(t, Options{Resolver: nameServer(t, netip.MustParseAddr("127.0.0.1"))})
	if status, _ := mustExchange(t, tr, plain("model.example.com:"+port), post("")); status != 204 {
		t.Errorf("status %d", status)
	}
}
