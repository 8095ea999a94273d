// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package upstream

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httputil"
	"strings"
	"testing"
	"time"
)

// bytesConn plays a byte string as a connection, split into reads at random. It
// is for millions of parsings a minute; what sockets do is tested on sockets.
type bytesConn struct {
	rest  []byte
	split *rand.Rand
}

func (c *bytesConn) Read(p []byte) (int, error) {
	if len(c.rest) == 0 {
		return 0, io.EOF
	}
	n := 1 + c.split.IntN(min(len(p), len(c.rest)))
	copy(p, c.rest[:n])
	c.rest = c.rest[n:]
	return n, nil
}
func (c *bytesConn) Write(p []byte) (int, error)      { return len(p), nil }
func (c *bytesConn) Close() error                     { return nil }
func (c *bytesConn) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (c *bytesConn) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (c *bytesConn) SetDeadline(time.Time) error      { return nil }
func (c *bytesConn) SetReadDeadline(time.Time) error  { return nil }
func (c *bytesConn) SetWriteDeadline(time.Time) error { return nil }

// answer is what net/http makes of an answer.
type answer struct {
	status  int
	length  int64
	header  http.Header
	body    []byte
	closing bool
}

// theirs reads the answer as net/http does, past interim ones.
func theirs(raw []byte, method string) (answer, error) {
	r := bufio.NewReader(bytes.NewReader(raw))
	for {
		resp, err := http.ReadResponse(r, &http.Request{Method: method})
		if err != nil {
			return answer{}, err
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode < 200 {
			continue
		}
		return answer{resp.StatusCode, resp.ContentLength, resp.Header, body, resp.Close}, err
	}
}

// FuzzResponse holds this package against net/http: whatever we accept, net/http
// accepts, with the same status, headers and body. The reverse does not hold; we
// are stricter in refusing lines that end in a bare LF, folded headers, more
// than one space after the version, a status below 100, both framings at once,
// lengths with a leading zero, chunk sizes of 16 digits, white space before a
// chunk extension, chunks in HTTP/1.0, 101, and more than 8 interim answers or
// 256 headers. In one thing net/http is: it reads the header Trailer and refuses
// some names in it; we drop trailers, so what it announces means nothing.
func FuzzResponse(f *testing.F) {
	for _, s := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n5;x=y\r\nhello\r\n0\r\nA: b\r\n\r\n",
		"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 404 \r\nA:  b \r\na: c\r\n\r\nto the end",
		"HTTP/1.1 204\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\nContent-Length: 7\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: +1\r\n\r\n",
		"HTTP/1.1 200 OK\nContent-Length: 5\n\nhello",
	} {
		f.Add([]byte(s), uint64(1), false)
		f.Add([]byte(s), uint64(2), true)
	}
	f.Fuzz(func(t *testing.T, raw []byte, seed uint64, headOnly bool) {
		method := "POST"
		if headOnly {
			method = "HEAD"
		}
		differ(t, raw, method, rand.New(rand.NewPCG(seed, 0)))
	})
}

// differ compares what we and net/http make of an answer; false if we refuse it.
func differ(t *testing.T, raw []byte, method string, split *rand.Rand) bool {
	t.Helper()
	tr := New(Options{DialContext: func(context.Context, string, string) (net.Conn, error) {
		return &bytesConn{rest: raw, split: split}, nil
	}})
	defer tr.Close()
	var e Exchange
	defer e.Close()
	if tr.Do(&e, plain("fuzz:1"), &Request{Head: []byte(method + " / HTTP/1.1\r\n\r\n")}) != nil {
		return false
	}
	body, err := readRandomly(&e, split)
	if err != nil || e.Header("trailer") != nil {
		return false
	}
	want, err := theirs(raw, method)
	if err != nil {
		t.Fatalf("we accept what net/http refuses: %v\n%q", err, raw)
	}
	compareAnswers(t, &e, body, want)
	return true
}

// TestComposedAnswersAgreeWithNetHTTP plays answers made of good and bad parts:
// a fuzzer rarely finds its way to the end of a good one.
func TestComposedAnswersAgreeWithNetHTTP(t *testing.T) {
	lines := []string{
		"HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\n", "HTTP/1.0 200 OK\r\n", "HTTP/1.1 204 \r\n", "HTTP/1.1 304\r\n",
		"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 503 Down\r\n", "HTTP/1.1  200 OK\r\n", "HTTP/1.1 200\tOK\r\n", "HTTP/1.1 200 OK\n",
	}
	fields := []string{
		"Content-Length: 5\r\n", "Content-Length: 5\r\n", "content-length:5 \r\n", "Content-Length: 05\r\n", "Content-Length: 5,5\r\n", "Content-Length: 0\r\n",
		"Transfer-Encoding: chunked\r\n", "Transfer-Encoding: chunked\r\n", "Transfer-Encoding: chunked\r\n", "transfer-encoding: CHUNKED\r\n", "Transfer-Encoding: identity\r\n",
		"Connection: close\r\n", "Connection: keep-alive , CLOSE\r\n", "A:b\r\n", "A: \t b\t \r\n", "A : b\r\n", " A: b\r\n", "A: \xff\x7f\r\n", "A: \xc3\xa4\r\n",
	}
	bodies := []string{
		"hello", "hello", "hellohello", "", "5\r\nhello\r\n", "5\r\nhello\r\n", "5;x=\"y\"\r\nhello\r\n", "005 \t\r\nhello\r\n", "5 ;x\r\nhello\r\n", "0\r\n\r\n", "0\r\n\r\n",
		"0\r\n\r\n", "0;z\r\nA: b\r\nC:\r\n\r\n", "0\r\n A: b\r\n\r\n", "5\r\nhello", "5\nhello\r\n", "\r\n",
	}
	const answers = 50_000
	split := rand.New(rand.NewPCG(7, 7))
	pick := func(from []string) string { return from[split.IntN(len(from))] }
	accepted := 0
	for range answers {
		var raw strings.Builder
		raw.WriteString(pick(lines))
		for range split.IntN(4) {
			raw.WriteString(pick(fields))
		}
		raw.WriteString("\r\n")
		for range split.IntN(4) {
			raw.WriteString(pick(bodies))
		}
		if differ(t, []byte(raw.String()), "POST", split) {
			accepted++
		}
		if t.Failed() {
			t.Fatalf("for %q", raw.String())
		}
	}
	if accepted < answers/10 {
		t.Errorf("only %d of %d accepted: this compares too little", accepted, answers)
	}
}

// readRandomly reads to the end in pieces of all sizes.
func readRandomly(r io.Reader, split *rand.Rand) ([]byte, error) {
	var body []byte
	for {
		p := make([]byte, 1+split.IntN(40))
		n, err := r.Read(p)
		body = append(body, p[:n]...)
		if errors.Is(err, io.EOF) {
			return body, nil
		}
		if err != nil {
			return body, err
		}
	}
}

func compareAnswers(t *testing.T, e *Exchange, body []byte, want answer) {
	t.Helper()
	if e.Status() != want.status || e.ContentLength() != want.length {
		t.Errorf("status %d, length %d; net/http says %d, %d", e.Status(), e.ContentLength(), want.status, want.length)
	}
	if !bytes.Equal(body, want.body) {
		t.Errorf("body %q; net/http says %q", body, want.body)
	}
	if e.keep && want.closing {
		t.Errorf("we would use the connection again, net/http would not")
	}
	got := http.Header{}
	e.EachHeader(func(name, value []byte) { got.Add(string(name), string(value)) })
	// net/http takes these out once it has acted on them, and adds one.
	for _, name := range []string{"Transfer-Encoding", "Content-Length", "Connection", "Cache-Control"} {
		got.Del(name)
		want.header.Del(name)
	}
	for name, values := range got {
		if strings.Join(values, "\n") != strings.Join(want.header.Values(name), "\n") {
			t.Errorf("%s is %q; net/http says %q", name, values, want.header.Values(name))
		}
	}
	if len(got) != len(want.header) {
		t.Errorf("headers %v; net/http says %v", got, want.header)
	}
}

// FuzzChunks holds the chunk reader against net/http's, and against itself: how
// a body is split into reads changes nothing.
func FuzzChunks(f *testing.F) {
	for _, s := range []string{
		"5\r\nhello\r\n0\r\n\r\n",
		"5;ext=\"a b\"\r\nhello\r\n1 \r\n!\r\n0\r\nA: b\r\nC:\r\n\r\nmore",
		"ffffffffffffffff\r\n", "5\nhello\r\n", "5\r\nhelloX", "5\r\nhello\rX0\r\n\r\n", "0\r\n:\r\n\r\n", "00000000000005\r\nhello\r\n000\r\n\r\n",
	} {
		f.Add([]byte(s), uint64(1))
	}
	f.Fuzz(func(t *testing.T, raw []byte, seed uint64) {
		whole, wholeUsed, wholeErr := dechunk(raw, func(n int) int { return n })
		split := rand.New(rand.NewPCG(seed, 0))
		got, used, err := dechunk(raw, func(n int) int { return 1 + split.IntN(n) })
		if !bytes.Equal(whole, got) || wholeUsed != used || !errors.Is(err, wholeErr) {
			t.Fatalf("whole: %q, %d used, %v; split: %q, %d used, %v", whole, wholeUsed, wholeErr, got, used, err)
		}
		if err != nil {
			return
		}
		want, err := io.ReadAll(httputil.NewChunkedReader(bytes.NewReader(raw)))
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("got %q; net/http says %q, %v", got, want, err)
		}
	})
}

// dechunk decodes raw in reads of the sizes that next gives.
func dechunk(raw []byte, next func(limit int) int) (data []byte, used int, err error) {
	var c chunkReader
	for used < len(raw) && c.state != chunkedDone {
		size := next(len(raw) - used)
		p := bytes.Clone(raw[used : used+size])
		n, m, err := c.decode(p)
		data, used = append(data, p[:n]...), used+m
		if err != nil {
			return data, used, err
		}
	}
	if c.state != chunkedDone {
		return data, used, io.ErrUnexpectedEOF
	}
	return data, used, nil
}
