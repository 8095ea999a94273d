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
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const small = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

// idle returns the one idle connection, left in its pool.
func idle(t *testing.T, tr *Transport, target *Target) *conn {
	t.Helper()
	p := tr.pool(target)
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.idle) != 1 {
		t.Fatalf("%d idle connections, want 1", len(p.idle))
	}
	return p.idle[0]
}

func TestAPooledConnectionThatHasSomethingToReadIsDiscarded(t *testing.T) {
	for _, tc := range []struct {
		name string
		then func(c *net.TCPConn, r *bufio.Reader)
	}{
		{"closed by the peer", func(*net.TCPConn, *bufio.Reader) {}},
		{"reset by the peer", func(c *net.TCPConn, _ *bufio.Reader) { reset(c) }},
		{"an answer that nobody asked for", func(c *net.TCPConn, r *bufio.Reader) {
			_, _ = io.WriteString(c, strings.Replace(small, "ok", "NO", 1))
			untilClosed(r)
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tr := newTransport(t, Options{})
			proceed := make(chan struct{})
			p := listen(t, func(n int, c *net.TCPConn, r *bufio.Reader) {
				if n > 0 {
					answering(small)(n, c, r)
					return
				}
				readRequest(r)
				_, _ = io.WriteString(c, small)
				await(proceed)
				tc.then(c, r)
			})
			target := plain(p.address)
			mustExchange(t, tr, target, post("{}"))
			c := idle(t, tr, target)
			if !c.quiet() {
				t.Fatal("not quiet although the peer is")
			}
			close(proceed)
			eventually(t, "the peer's move is seen", func() bool { return !c.quiet() })
			if _, body := mustExchange(t, tr, target, post("{}")); body != "ok" {
				t.Errorf("got %q", body)
			}
			if diff := cmp.Diff(Stats{Open: 1, Idle: 1, Dialed: 2}, tr.Stats()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// The race that remains: the peer closes when the request is already on its way.
func TestAStaleConnectionIsToldFromAFailure(t *testing.T) {
	for name, how := range map[string]func(*net.TCPConn){
		"closed": func(*net.TCPConn) {},
		"reset":  reset,
	} {
		t.Run(name, func(t *testing.T) {
			tr := newTransport(t, Options{})
			p := listen(t, func(_ int, c *net.TCPConn, r *bufio.Reader) {
				readRequest(r)
				_, _ = io.WriteString(c, small)
				_, _ = r.ReadByte()
				how(c)
			})
			target := plain(p.address)
			mustExchange(t, tr, target, post("{}"))
			_, _, err := exchange(t, tr, target, post("{}"))
			if got := asError(t, err); !got.Stale() || !got.Reused || got.AnswerBegan || !got.Sent {
				t.Errorf("got %+v, want a stale connection", got)
			}
			fresh := post("{}")
			fresh.Fresh = true
			if _, body := mustExchange(t, tr, target, fresh); body != "ok" {
				t.Errorf("got %q", body)
			}
		})
	}
}

func TestAnAnswerThatBeganIsNotStale(t *testing.T) {
	tr := newTransport(t, Options{})
	p := listen(t, func(_ int, c *net.TCPConn, r *bufio.Reader) {
		readRequest(r)
		_, _ = io.WriteString(c, small)
		readRequest(r)
		_, _ = io.WriteString(c, "H")
	})
	target := plain(p.address)
	mustExchange(t, tr, target, post("{}"))
	_, _, err := exchange(t, tr, target, post("{}"))
	if got := asError(t, err); got.Stale() || !got.Reused || !got.AnswerBegan {
		t.Errorf("got %+v", got)
	}
}

func TestALateCancelNeverTouchesAnotherExchange(t *testing.T) {
	s := httptest.NewServer(digests)
	t.Cleanup(s.Close)
	target := plain(s.Listener.Addr().String())
	tr := newTransport(t, Options{})
	var over atomic.Bool
	var innocent, hostile sync.WaitGroup
	for range 4 {
		innocent.Go(func() {
			var e Exchange
			for !over.Load() {
				err := run(tr, &e, target, post("{}"), patience)
				// A pooled connection may not be stale either: the server closes none.
				if err != nil {
					t.Errorf("an exchange that nobody canceled: %v", err)
					return
				}
				e.Close()
			}
		})
	}
	for range 2 {
		hostile.Go(func() {
			for range 1000 {
				var cancels sync.WaitGroup
				var e Exchange
				ready := make(chan struct{})
				cancels.Go(func() {
					<-ready
					e.Cancel()
				})
				err := tr.Do(&e, target, post("{}"))
				if err == nil {
					_, err = io.Copy(io.Discard, &e)
				}
				close(ready)
				if err != nil {
					t.Errorf("before its cancel: %v", err)
				}
				e.Close()
				cancels.Wait()
			}
		})
	}
	hostile.Wait()
	over.Store(true)
	innocent.Wait()
}

func TestIdleConnectionsEnd(t *testing.T) {
	for _, tc := range []struct {
		name string
		end  func(*Transport, *Target)
		want int64
	}{
		{"after one tick they are young", func(tr *Transport, _ *Target) { tr.reap() }, 1},
		{"after two ticks they are old", func(tr *Transport, _ *Target) { tr.reap(); tr.reap() }, 0},
		{"their target is retained", func(tr *Transport, target *Target) { tr.Retain([]string{"x", target.ID}) }, 1},
		{"their target left the table", func(tr *Transport, _ *Target) { tr.Retain([]string{"x"}) }, 0},
		{"the transport is closed", func(tr *Transport, _ *Target) { tr.Close() }, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tr := newTransport(t, Options{MaxIdleTime: time.Hour})
			target := plain(listen(t, answering(small)).address)
			mustExchange(t, tr, target, post("{}"))
			tc.end(tr, target)
			if got := tr.Stats(); got.Open != tc.want || got.Idle != tc.want {
				t.Errorf("%+v, want %d open and idle", got, tc.want)
			}
			if status, _ := mustExchange(t, tr, target, post("{}")); status != 200 {
				t.Errorf("status %d afterwards", status)
			}
		})
	}
}

func TestTheReaperRunsByItself(t *testing.T) {
	tr := newTransport(t, Options{MaxIdleTime: 20 * time.Millisecond})
	mustExchange(t, tr, plain(listen(t, answering(small)).address), post("{}"))
	eventually(t, "the idle connection is closed", func() bool { return tr.Stats().Open == 0 })
}

func TestABusyConnectionOfADroppedTargetIsClosedWhenItComesBack(t *testing.T) {
	tr := newTransport(t, Options{})
	target := plain(listen(t, answering(small)).address)
	var e Exchange
	if err := tr.Do(&e, target, post("{}")); err != nil {
		t.Fatal(err)
	}
	tr.Retain(nil)
	if body, err := io.ReadAll(&e); string(body) != "ok" || err != nil {
		t.Errorf("disturbed: %q, %v", body, err)
	}
	e.Close()
	if got := tr.Stats(); got.Open != 0 {
		t.Errorf("%+v", got)
	}
}

func TestThePoolIsBounded(t *testing.T) {
	tr := newTransport(t, Options{MaxIdlePerTarget: 2})
	target := plain(listen(t, answering(small)).address)
	busy := make([]Exchange, 5)
	for i := range busy {
		if err := tr.Do(&busy[i], target, post("{}")); err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, &busy[i])
	}
	for i := range busy {
		busy[i].Close()
	}
	if diff := cmp.Diff(Stats{Open: 2, Idle: 2, Dialed: 5}, tr.Stats()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestAnUnfinishedBodyIsNotPooled(t *testing.T) {
	tr := newTransport(t, Options{})
	p := listen(t, answering("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n3\r\nd"))
	var e Exchange
	if err := tr.Do(&e, plain(p.address), post("{}")); err != nil {
		t.Fatal(err)
	}
	_, _ = e.Read(make([]byte, 2))
	e.Close()
	if got := tr.Stats(); got.Open != 0 {
		t.Errorf("%+v", got)
	}
}

func TestTLSConnectionsAreReusedAndSessionsResumed(t *testing.T) {
	_, target := secure(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %s %v", r.Proto, r.TLS.NegotiatedProtocol, r.TLS.DidResume)
	}))
	tr := newTransport(t, Options{})
	want := []string{"HTTP/1.1 http/1.1 false", "HTTP/1.1 http/1.1 false", "HTTP/1.1 http/1.1 true"}
	var got []string
	for i := range want {
		r := post("{}")
		r.Fresh = i == 2
		_, body := mustExchange(t, tr, target, r)
		got = append(got, body)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(Stats{Open: 2, Idle: 2, Dialed: 2, Reused: 1}, tr.Stats()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if target.TLS.NextProtos != nil && target.TLS.NextProtos[0] == "http/1.1" && len(target.TLS.NextProtos) == 1 {
		t.Errorf("the caller's configuration was changed")
	}
}

func TestBytesThatTLSHoldsBackAreFound(t *testing.T) {
	for name, extra := range map[string]func(*tls.Conn){
		"in the record of the answer": func(c *tls.Conn) { _, _ = io.WriteString(c, small+strings.Replace(small, "ok", "NO", 1)) },
		"the farewell":                func(c *tls.Conn) { _, _ = io.WriteString(c, small); _ = c.CloseWrite() },
	} {
		t.Run(name, func(t *testing.T) {
			server, client := serverTLS(t)
			p := listen(t, func(_ int, c *net.TCPConn, _ *bufio.Reader) {
				s := tls.Server(c, server)
				r := bufio.NewReader(s)
				if readRequest(r) {
					extra(s)
					untilClosed(r)
				}
			})
			tr := newTransport(t, Options{})
			target := &Target{ID: "tls", Address: p.address, TLS: client}
			// Just large enough, so that the rest stays behind.
			e := Exchange{buffer: make([]byte, len(small))}
			defer e.Close()
			if err := tr.Do(&e, target, post("{}")); err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, &e)
			c := e.conn
			eventually(t, "the extra bytes are found", func() bool { return !c.quiet() })
		})
	}
}

func TestTheTableMayChangeUnderTraffic(t *testing.T) {
	tr := newTransport(t, Options{MaxIdlePerTarget: 2})
	s := httptest.NewServer(digests)
	t.Cleanup(s.Close)
	address := s.Listener.Addr().String()
	var over atomic.Bool
	var changes, traffic sync.WaitGroup
	for _, change := range []func(){
		func() { tr.Retain([]string{"0", "2"}) },
		func() { tr.Retain([]string{"1", "2"}) },
		tr.reap,
		func() { _ = tr.Stats() },
	} {
		changes.Go(func() {
			for !over.Load() {
				change()
				runtime.Gosched()
			}
		})
	}
	for n := range 4 {
		traffic.Go(func() {
			var e Exchange
			for i := range 300 {
				id := string(rune('0' + (n+i)%3))
				if err := run(tr, &e, &Target{ID: id, Address: address}, post("{}"), patience); err != nil {
					t.Error(err)
					return
				}
				e.Close()
			}
		})
	}
	traffic.Wait()
	over.Store(true)
	changes.Wait()
	tr.Retain(nil)
	if got := tr.Stats(); got.Open != 0 {
		t.Errorf("%+v, want nothing open", got)
	}
}

func TestCloseEndsTheUpload(t *testing.T) {
	tr := newTransport(t, Options{})
	done := make(chan struct{})
	p := listen(t, func(_ int, c *net.TCPConn, _ *bufio.Reader) {
		_, _ = io.WriteString(c, "HTTP/1.1 503 Busy\r\nContent-Length: 3\r\n\r\n")
		await(done)
	})
	defer close(done)
	var e Exchange
	if err := tr.Do(&e, plain(p.address), post(strings.Repeat("x", 32<<20))); err != nil {
		t.Fatal(err)
	}
	e.Close()
	// The caller may use the body's memory again from here on.
	if own := stacks(); own != "" {
		t.Errorf("still running after Close:\n%s", own)
	}
}

func TestNothingIsLeftBehind(t *testing.T) {
	runtime.GC()
	before := descriptors(t)
	t.Run("many exchanges of all fates", func(t *testing.T) {
		tr := newTransport(t, Options{})
		cases := stuckExchanges(t)
		good := plain(listen(t, answering(small)).address)
		var all sync.WaitGroup
		for range 5 {
			for _, tc := range cases {
				all.Go(func() {
					var e Exchange
					timer := time.AfterFunc(30*time.Millisecond, e.Cancel)
					r := *tc.request
					_ = run(tr, &e, tc.target, &r, 0)
					timer.Stop()
					e.Close()
				})
			}
			all.Go(func() {
				var e Exchange
				for range 20 {
					_ = run(tr, &e, good, post("{}"), patience)
					e.Close()
				}
			})
		}
		all.Wait()
	})
	eventually(t, "all goroutines of exchanges end", func() bool { return stacks() == "" })
	eventually(t, "all descriptors are closed", func() bool { return descriptors(t) <= before })
}
