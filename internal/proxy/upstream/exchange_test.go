// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package upstream

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var quietLog = log.New(io.Discard, "", 0)

func TestAnswersAreReadAndConnectionsKept(t *testing.T) {
	for _, tc := range []struct {
		name       string
		answer     string
		head       bool // the request is a HEAD
		wantStatus int
		wantBody   string
		wantLength int64
		wantReuse  bool
	}{
		{
			name:   "a body with a length",
			answer: "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", wantStatus: 200, wantBody: "hello", wantLength: 5, wantReuse: true,
		},
		{
			name:   "an empty body",
			answer: "HTTP/1.1 500 \r\nContent-Length: 0\r\n\r\n", wantStatus: 500, wantReuse: true,
		},
		{
			name:   "a status line without a reason",
			answer: "HTTP/1.1 429\r\nContent-Length: 2\r\n\r\nno", wantStatus: 429, wantBody: "no", wantLength: 2, wantReuse: true,
		},
		{
			name:       "chunks, an extension, padding and a trailer",
			answer:     "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n3;a=b\r\nabc\r\nA  \r\n0123456789\r\n0\r\nX-Usage: 1\r\n\r\n",
			wantStatus: 200, wantBody: "abc0123456789", wantLength: -1, wantReuse: true,
		},
		{
			name:   "a repeated length that says the same",
			answer: "HTTP/1.1 200 OK\r\nContent-Length: 2\r\ncontent-length: 2\r\n\r\nok", wantStatus: 200, wantBody: "ok", wantLength: 2, wantReuse: true,
		},
		{
			name:       "interim answers come first",
			answer:     "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
			wantStatus: 200, wantBody: "ok", wantLength: 2, wantReuse: true,
		},
		{
			name:   "the peer says close",
			answer: "HTTP/1.1 200 OK\r\nConnection: foo, Close\r\nContent-Length: 2\r\n\r\nok", wantStatus: 200, wantBody: "ok", wantLength: 2,
		},
		{
			name:   "HTTP/1.0 closes, even if it offers not to",
			answer: "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok", wantStatus: 200, wantBody: "ok", wantLength: 2,
		},
		{
			name:   "a redirect is an answer",
			answer: "HTTP/1.1 302 Found\r\nLocation: http://elsewhere/\r\nContent-Length: 0\r\n\r\n", wantStatus: 302, wantReuse: true,
		},
		{
			name:   "204 has no body",
			answer: "HTTP/1.1 204 No Content\r\n\r\n", wantStatus: 204, wantReuse: true,
		},
		{
			name:   "204 that declares a body is not trusted again",
			answer: "HTTP/1.1 204 No Content\r\nContent-Length: 3\r\n\r\n", wantStatus: 204,
		},
		{
			name:   "304 has no body, whatever its length",
			answer: "HTTP/1.1 304 Not Modified\r\nContent-Length: 30\r\n\r\n", wantStatus: 304, wantReuse: true,
		},
		{
			name: "HEAD has no body, whatever its length", head: true,
			answer: "HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\n", wantStatus: 200, wantLength: 30, wantReuse: true,
		},
		{
			name:   "bytes after a body with a length",
			answer: "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n\r\n", wantStatus: 200, wantBody: "ok", wantLength: 2,
		},
		{
			name:   "bytes after chunks",
			answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\nX", wantStatus: 200, wantBody: "ok", wantLength: -1,
		},
		{
			name:   "bytes after no body",
			answer: "HTTP/1.1 204 No Content\r\n\r\nX", wantStatus: 204,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tr := newTransport(t, Options{})
			p := listen(t, answering(tc.answer))
			r := post("{}")
			if tc.head {
				r = &Request{Head: []byte("HEAD / HTTP/1.1\r\nHost: h\r\n\r\n")}
			}
			var e Exchange
			if err := tr.Do(&e, plain(p.address), r); err != nil {
				t.Fatal(err)
			}
			if e.Status() != tc.wantStatus || e.ContentLength() != tc.wantLength {
				t.Errorf("status %d, length %d; want %d, %d", e.Status(), e.ContentLength(), tc.wantStatus, tc.wantLength)
			}
			body, err := io.ReadAll(&e)
			if err != nil || string(body) != tc.wantBody {
				t.Errorf("body %q, %v; want %q", body, err, tc.wantBody)
			}
			e.Close()
			if got := tr.Stats().Idle == 1; got != tc.wantReuse {
				t.Errorf("connection kept: %v, want %v", got, tc.wantReuse)
			}
		})
	}
}

func TestABodyWithoutFramingEndsWithTheConnection(t *testing.T) {
	tr := newTransport(t, Options{})
	p := listen(t, func(_ int, c *net.TCPConn, r *bufio.Reader) {
		readRequest(r)
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\none")
		_, _ = io.WriteString(c, "two")
	})
	status, body := mustExchange(t, tr, plain(p.address), post(""))
	if status != 200 || body != "onetwo" {
		t.Errorf("got %d %q", status, body)
	}
	if got := tr.Stats().Open; got != 0 {
		t.Errorf("%d connections kept, want none", got)
	}
}

func TestHeadsThatAreRefused(t *testing.T) {
	for _, tc := range []struct {
		name   string
		answer string
		want   error
	}{
		{"something else than HTTP", "SSH-2.0-OpenSSH_9\r\n", errNotHTTP},
		{"HTTP/2", "HTTP/2 200 OK\r\n\r\n", errNotHTTP},
		{"HTTP/1.2", "HTTP/1.2 200 OK\r\n\r\n", errNotHTTP},
		{"a status of two digits", "HTTP/1.1 20 OK\r\n\r\n", errStatusLine},
		{"a status of four digits", "HTTP/1.1 2000 OK\r\n\r\n", errStatusLine},
		{"a status below 100", "HTTP/1.1 099 OK\r\n\r\n", errStatusLine},
		{"no status", "HTTP/1.1\r\n\r\n", errStatusLine},
		{"lines that end in LF", "HTTP/1.1 200 OK\nContent-Length: 0\n\n", errBareLF},
		{"one line that ends in LF", "HTTP/1.1 200 OK\r\nA: b\nContent-Length: 0\r\n\r\n", errBareLF},
		{"both framings", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", errTwoFramings},
		{"contradicting lengths", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", errTwoLengths},
		{"a list of lengths", "HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\n", errContentLength},
		{"a signed length", "HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\n", errContentLength},
		{"an octal length", "HTTP/1.1 200 OK\r\nContent-Length: 05\r\n\r\n", errContentLength},
		{"an empty length", "HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n", errContentLength},
		{"a length beyond all bounds", "HTTP/1.1 200 OK\r\nContent-Length: 9999999999999999999\r\n\r\n", errContentLength},
		{"another coding", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", errCoding},
		{"chunked twice", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", errCoding},
		{"chunks in HTTP/1.0", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", errCoding},
		{"a folded header", "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", errFolded},
		{"a space before the colon", "HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\n", errFieldName},
		{"a header without a name", "HTTP/1.1 200 OK\r\n: 5\r\n\r\n", errFieldName},
		{"a header without a colon", "HTTP/1.1 200 OK\r\nnonsense\r\n\r\n", errFieldName},
		{"a NUL in a value", "HTTP/1.1 200 OK\r\nA: b\x00c\r\n\r\n", errFieldValue},
		{"a DEL in a long value", "HTTP/1.1 200 OK\r\nA: 0123456789\x7f0123456789\r\n\r\n", errFieldValue},
		{"a bare CR in a value", "HTTP/1.1 200 OK\r\nA: b\rc\r\n\r\n", errFieldValue},
		{"a head without end", "HTTP/1.1 200 OK\r\nA: " + strings.Repeat("a", 8<<10), errHeadTooLong},
		{"headers without end", "HTTP/1.1 200 OK\r\n" + strings.Repeat("A:\r\n", maxFields+1) + "\r\n", errTooManyFields},
		{"a switch of protocols", "HTTP/1.1 101 Switching Protocols\r\n\r\n", errSwitch},
		{"interim answers without end", strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", maxInterim+1), errTooManyInterim},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tr := newTransport(t, Options{MaxHeadBytes: 8 << 10})
			p := listen(t, func(_ int, c *net.TCPConn, r *bufio.Reader) {
				readRequest(r)
				_, _ = io.WriteString(c, tc.answer)
				untilClosed(r)
			})
			_, _, err := exchange(t, tr, plain(p.address), post("{}"))
			got := asError(t, err)
			if !errors.Is(err, tc.want) || got.Phase != PhaseHead || !got.AnswerBegan || !got.Sent {
				t.Errorf("got %+v, want %v in the head", got, tc.want)
			}
			if strings.Contains(err.Error(), "secret") {
				t.Errorf("a header value in the message: %s", err)
			}
		})
	}
}

func TestChunksThatAreRefused(t *testing.T) {
	for _, tc := range []struct {
		name     string
		chunks   string
		wantBody string
		want     error
	}{
		{"no size", "\r\n", "", errChunkSize},
		{"a size that is no number", "xyz\r\n", "", errChunkSize},
		{"a size with a prefix", "0x5\r\nhello\r\n", "", errChunkSize},
		{"a negative size", "-5\r\nhello\r\n", "", errChunkSize},
		{"a size beyond all bounds", "fffffffffffffffff\r\n", "", errChunkSize},
		{"a size line that ends in LF", "5\nhello\r\n", "", errChunkSize},
		{"a size line with a bare CR", "5\rX", "", errChunkSize},
		{"a size with something after it", "5 5\r\nhello\r\n", "", errChunkSize},
		{"a control character in an extension", "5;\x01\r\nhello\r\n", "", errChunkSize},
		{"an extension without end", "5;" + strings.Repeat("x", 1000), "", errChunkWaste},
		{"data beyond the size, after good data", "5\r\nhelloX\r\n", "hello", errChunkEnd},
		{"data that ends in a bare CR", "5\r\nhello\rX5\r\nhello\r\n", "hello", errChunkEnd},
		{"extensions on tiny chunks", strings.Repeat("1;"+strings.Repeat("x", 200)+"\r\ny\r\n", 100), strings.Repeat("y", 44), errChunkWaste},
		{"a trailer that is no header", "0\r\nnonsense\r\n\r\n", "", errTrailer},
		{"a trailer without end", "0\r\nA: " + strings.Repeat("a", 3000), "", errTrailer},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tr := newTransport(t, Options{})
			p := listen(t, func(_ int, c *net.TCPConn, r *bufio.Reader) {
				readRequest(r)
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"+tc.chunks)
				untilClosed(r)
			})
			_, body, err := exchange(t, tr, plain(p.address), post("{}"))
			if got := asError(t, err); !errors.Is(err, tc.want) || got.Phase != PhaseBody || body != tc.wantBody {
				t.Errorf("got %q, %+v; want %q, %v", body, got, tc.wantBody, tc.want)
			}
		})
	}
}

func TestHeadersAreFoundWithoutRegardToCase(t *testing.T) {
	tr := newTransport(t, Options{})
	p := listen(t, answering("HTTP/1.1 200 OK\r\nContent-Type: \t text/event-stream \r\nX-A: 1\r\nx-a: 2\r\nEmpty:\r\nContent-Length: 0\r\n\r\n"))
	var e Exchange
	defer e.Close()
	if err := tr.Do(&e, plain(p.address), post("")); err != nil {
		t.Fatal(err)
	}
	if got := string(e.Header("cONTENT-tYPE")); got != "text/event-stream" {
		t.Errorf("content type %q", got)
	}
	if e.Header("absent") != nil || e.Header("empty") == nil || len(e.Header("empty")) != 0 {
		t.Errorf("absent %q, empty %q", e.Header("absent"), e.Header("empty"))
	}
	var got []string
	e.EachHeader(func(name, value []byte) { got = append(got, string(name)+"="+string(value)) })
	want := []string{"Content-Type=text/event-stream", "X-A=1", "x-a=2", "Empty=", "Content-Length=0"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("headers (-want +got):\n%s", diff)
	}
}

func TestAHeadOfManyReadsAndMoreThanOneBuffer(t *testing.T) {
	tr := newTransport(t, Options{})
	long := strings.Repeat("v", 30<<10)
	answer := "HTTP/1.1 200 OK\r\nX-Long: " + long + "\r\nContent-Length: 3\r\n\r\nend"
	p := listen(t, func(_ int, c *net.TCPConn, r *bufio.Reader) {
		readRequest(r)
		for part := answer; part != ""; {
			n := min(1001, len(part))
			if _, err := io.WriteString(c, part[:n]); err != nil {
				return
			}
			part = part[n:]
		}
		untilClosed(r)
	})
	var e Exchange
	if err := tr.Do(&e, plain(p.address), post("{}")); err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(&e)
	if string(e.Header("x-long")) != long || string(body) != "end" || err != nil {
		t.Errorf("%d bytes of header, body %q, %v", len(e.Header("x-long")), body, err)
	}
	e.Close()
	if cap(e.buffer) > retainedBuffer {
		t.Errorf("the exchange keeps a buffer of %d bytes", cap(e.buffer))
	}
}

// digests answers with the length and digest of each request's body.
var digests = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	h := sha256.New()
	n, err := io.Copy(h, r.Body)
	fmt.Fprintf(w, "%d %s %v", n, hex.EncodeToString(h.Sum(nil)), err)
})

func TestBodiesOfAllSizesArriveWhole(t *testing.T) {
	s := httptest.NewServer(digests)
	t.Cleanup(s.Close)
	_, overTLS := secure(t, digests)
	tr := newTransport(t, Options{})
	for _, target := range []*Target{plain(s.Listener.Addr().String()), overTLS} {
		for _, size := range []int{0, 1, 2, 1000, tlsRecord - 100, tlsRecord * 3, tlsRecord*3 + 7, inlineWrite, inlineWrite + 1, 5 << 20} {
			t.Run(fmt.Sprintf("%s with %d bytes", target.ID[:5], size), func(t *testing.T) {
				body := strings.Repeat("0123456789abcde", size/15+1)[:size]
				sum := sha256.Sum256([]byte(body))
				_, got := mustExchange(t, tr, target, post(body))
				if want := fmt.Sprintf("%d %s <nil>", size, hex.EncodeToString(sum[:])); got != want {
					t.Errorf("got %q, want %q", got, want)
				}
			})
		}
	}
	if got := tr.Stats(); got.Dialed != 2 || got.Idle != 2 {
		t.Errorf("%+v; want one connection for each target", got)
	}
}

func TestAnEarlyAnswerIsReadWhileTheUploadIsBlocked(t *testing.T) {
	tr := newTransport(t, Options{})
	done := make(chan struct{})
	p := listen(t, func(_ int, c *net.TCPConn, _ *bufio.Reader) {
		// The body is never read, and fills all buffers on the way.
		_, _ = io.WriteString(c, "HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig")
		await(done)
	})
	status, body := mustExchange(t, tr, plain(p.address), post(strings.Repeat("x", 32<<20)))
	close(done)
	if status != 413 || body != "big" {
		t.Errorf("got %d %q", status, body)
	}
	if got := tr.Stats().Open; got != 0 {
		t.Errorf("%d connections kept with half a request on them", got)
	}
}

func TestAnAnswerBeforeAResetIsReadAlthoughTheWriteFailed(t *testing.T) {
	tr := newTransport(t, Options{})
	p := listen(t, func(_ int, c *net.TCPConn, _ *bufio.Reader) {
		_, _ = io.WriteString(c, "HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno")
		// Closing with unread bytes sends a RST.
	})
	// The answer may be lost to the RST: that is the peer's fault, and said.
	status, body, err := exchange(t, tr, plain(p.address), post(strings.Repeat("x", 8<<20)))
	if err != nil {
		_ = asError(t, err)
	} else if status != 401 || body != "no" {
		t.Errorf("got %d %q", status, body)
	}
}

func TestConnectionsAreReusedLastInFirstOut(t *testing.T) {
	tr := newTransport(t, Options{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.RemoteAddr)
	}))
	t.Cleanup(s.Close)
	target := plain(s.Listener.Addr().String())
	var a, b Exchange
	for _, e := range []*Exchange{&a, &b} {
		if err := tr.Do(e, target, post("")); err != nil {
			t.Fatal(err)
		}
	}
	_, _ = io.ReadAll(&a)
	last, _ := io.ReadAll(&b)
	a.Close()
	b.Close()
	b.Close()
	for range 50 {
		if _, got := mustExchange(t, tr, target, post("x")); got != string(last) {
			t.Fatalf("served by %s, want %s, the one used last", got, last)
		}
	}
	if diff := cmp.Diff(Stats{Open: 2, Idle: 2, Dialed: 2, Reused: 50}, tr.Stats()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	fresh := post("x")
	fresh.Fresh = true
	if _, got := mustExchange(t, tr, target, fresh); got == string(last) {
		t.Errorf("a fresh connection was asked for")
	}
}

func TestATimeoutInTheBodyMayBeWaitedOutAgain(t *testing.T) {
	tr := newTransport(t, Options{})
	goOn := make(chan struct{})
	p := listen(t, func(_ int, c *net.TCPConn, r *bufio.Reader) {
		readRequest(r)
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n4\r\ntw")
		await(goOn)
		_, _ = io.WriteString(c, "o!\r\n0\r\n\r\n")
		untilClosed(r)
	})
	var e Exchange
	if err := tr.Do(&e, plain(p.address), post("{}")); err != nil {
		t.Fatal(err)
	}
	var got []byte
	buffer := make([]byte, 100)
	e.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
	for timeouts := 0; ; {
		n, err := e.Read(buffer)
		got = append(got, buffer[:n]...)
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			continue
		}
		if x := asError(t, err); !x.Timeout || x.Phase != PhaseBody {
			t.Fatal(err)
		}
		if timeouts++; timeouts == 3 {
			e.SetReadDeadline(time.Time{})
			close(goOn)
		} else {
			e.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
		}
	}
	e.Close()
	if string(got) != "onetwo!" || tr.Stats().Idle != 1 {
		t.Errorf("got %q, %+v", got, tr.Stats())
	}
}

func TestTheDeadlineOfTheHeadIsNotTheBodys(t *testing.T) {
	tr := newTransport(t, Options{})
	past := make(chan struct{})
	p := listen(t, func(_ int, c *net.TCPConn, r *bufio.Reader) {
		readRequest(r)
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
		await(past)
		_, _ = io.WriteString(c, "ok")
		untilClosed(r)
	})
	r := post("{}")
	r.HeadDeadline = time.Now().Add(2 * time.Second)
	var e Exchange
	defer e.Close()
	if err := tr.Do(&e, plain(p.address), r); err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(time.Until(r.HeadDeadline)+10*time.Millisecond, func() { close(past) })
	if body, err := io.ReadAll(&e); string(body) != "ok" || err != nil {
		t.Errorf("got %q, %v", body, err)
	}
}

func TestSteadyStateAllocatesNothing(t *testing.T) {
	head := []byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
	frame, last := []byte("5\r\nhello\r\n"), []byte("0\r\n\r\n")
	p := listen(t, func(_ int, c *net.TCPConn, _ *bufio.Reader) {
		request := make([]byte, 4<<10)
		for {
			// A request of this test arrives whole, for it is sent whole.
			if _, err := c.Read(request); err != nil {
				return
			}
			_, _ = c.Write(head)
			_, _ = c.Write(frame)
			_, _ = c.Write(last)
		}
	})
	tr := newTransport(t, Options{})
	target, r, buffer := plain(p.address), post(strings.Repeat("x", 1000)), make([]byte, 1<<10)
	var e Exchange
	allocations := testing.AllocsPerRun(200, func() {
		r.HeadDeadline = time.Now().Add(patience)
		err := tr.Do(&e, target, r)
		for err == nil {
			e.SetReadDeadline(time.Now().Add(patience))
			_, err = e.Read(buffer)
		}
		if !errors.Is(err, io.EOF) || e.Header("transfer-encoding") == nil {
			t.Error(err)
		}
		e.Close()
	})
	if allocations != 0 {
		t.Errorf("%v allocations for each exchange, want none", allocations)
	}
	if got := tr.Stats(); got.Dialed != 1 {
		t.Errorf("%+v, want one connection", got)
	}
}

func TestReadWithoutAnAnswer(t *testing.T) {
	var e Exchange
	if _, err := e.Read(make([]byte, 1)); !errors.Is(err, errNoAnswer) {
		t.Errorf("got %v", err)
	}
	e.Close()
	e.Close()
}
