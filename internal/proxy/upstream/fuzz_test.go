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
	old     bool // HTTP/1.0
	left    int  // bytes behind the answer, trailers among them
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
		left, _ := io.Copy(io.Discard, r) // out of memory, which does not fail
		return answer{resp.StatusCode, resp.ContentLength, resp.Header, body, resp.Close, !resp.ProtoAtLeast(1, 1), int(left)}, err
	}
}

// FuzzResponse holds this package against net/http: whatever we accept, net/http
// accepts, with the same status, headers and body, however it is split into
// reads, and also in an Exchange that has read another answer before. The reverse
// does not hold, but what is whole to net/http is never cut to us: we
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
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: A\r\n\r\n5\r\nhello\r\n0\r\nA: b\r\n\r\n",
		"HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n", "HTTP/1.1 200 OK\r\nConte",
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
// It is read three times by one Exchange, the last time in one piece.
func differ(t *testing.T, raw []byte, method string, split *rand.Rand) bool {
	t.Helper()
	inOne := false
	tr := New(Options{DialContext: func(context.Context, string, string) (net.Conn, error) {
		if inOne {
			return &wholeConn{bytesConn{rest: raw}}, nil
		}
		return &bytesConn{rest: raw, split: split}, nil
	}})
	defer tr.Close()
	want, theirErr := theirs(raw, method)
	var e Exchange
	accepted := false
	for i := range 3 {
		inOne = i == 2
		body, err := exchangeOnce(tr, &e, method, split)
		if i > 0 && accepted != (err == nil) {
			t.Fatalf("read another way it is %v\n%q", err, raw)
		}
		accepted = err == nil
		if cap(e.buffer) > defaultMaxHeadBytes || len(e.head.fields) > maxFields {
			t.Fatalf("a buffer of %d bytes, %d headers", cap(e.buffer), len(e.head.fields))
		}
		switch {
		case accepted && theirErr != nil && e.Header("trailer") != nil:
		case accepted && theirErr != nil:
			t.Fatalf("we accept what net/http refuses: %v\n%q", theirErr, raw)
		case accepted:
			compareAnswers(t, &e, body, want)
			compareKeeping(t, &e, want, inOne && len(raw) <= retainedBuffer)
		case theirErr == nil && !isStricter(err, raw):
			t.Fatalf("net/http accepts what we take for cut: %v\n%q", err, raw)
		}
		e.Close()
	}
	return accepted
}

// wholeConn gives all that it has at once.
type wholeConn struct{ bytesConn }

func (c *wholeConn) Read(p []byte) (int, error) {
	if len(c.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

// exchangeOnce reads one answer to its end. The Exchange is left open.
func exchangeOnce(tr *Transport, e *Exchange, method string, split *rand.Rand) ([]byte, error) {
	if err := tr.Do(e, plain("fuzz:1"), &Request{Head: []byte(method + " / HTTP/1.1\r\n\r\n")}); err != nil {
		return nil, err
	}
	return readRandomly(e, split)
}

// isStricter reports whether an answer was refused for what it is, not because
// it ended. A head whose empty line is a bare LF has no end to us.
func isStricter(err error, raw []byte) bool {
	if e, ok := errors.AsType[*Error](err); ok && e.Phase == PhaseHead && bytes.Count(raw, []byte("\n")) > bytes.Count(raw, []byte("\r\n")) {
		return true
	}
	for _, reason := range []error{
		errNotHTTP, errStatusLine, errBareLF, errFolded, errFieldName, errFieldValue, errTooManyFields, errHeadTooLong, errContentLength, errTwoLengths,
		errTwoFramings, errCoding, errSwitch, errTooManyInterim, errChunkSize, errChunkEnd, errChunkWaste, errTrailer,
	} {
		if errors.Is(err, reason) {
			return true
		}
	}
	return false
}

// compareKeeping compares who would use the connection again. If all of the
// answer was at hand, what is behind it was too.
func compareKeeping(t *testing.T, e *Exchange, want answer, sawAll bool) {
	t.Helper()
	if e.keep && want.closing {
		t.Errorf("we would use the connection again, net/http would not")
	}
	chunked := e.head.chunked && !e.headOf && !e.head.bodiless() // its trailers are left
	if e.keep && sawAll && want.left > 0 && !chunked {
		t.Errorf("we would use the connection again with %d bytes behind the answer", want.left)
	}
	// A body where none may be, and HTTP/1.0, are reasons that net/http does not have.
	odd := want.old || e.head.bodiless() && (e.head.chunked || e.head.length > 0)
	if !e.keep && !want.closing && want.left == 0 && !odd {
		t.Errorf("we would not use the connection again, net/http would")
	}
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
	got := http.Header{}
	e.EachHeader(func(name, value []byte) { got.Add(string(name), string(value)) })
	// net/http takes these out once it has acted on them, and adds one.
	for _, name := range []string{"Transfer-Encoding", "Content-Length", "Connection", "Cache-Control", "Trailer"} {
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
		if used > mostFraming(len(got)) {
			t.Fatalf("%d bytes for %d of data", used, len(got))
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

// mostFraming is how many bytes so much data can have with its framing. Each chunk has
// data, and 16 bytes of framing, twice its size and the end of a line are no waste.
func mostFraming(data int) int {
	return 21*data + maxChunkWaste + maxSizeDigits + maxChunkExtension + maxTrailer + 8
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

// endlessConn plays a beginning, and then the same bytes for ever.
type endlessConn struct {
	bytesConn
	again []byte
	read  int
}

func (c *endlessConn) Read(p []byte) (int, error) {
	if c.read > 8<<20 {
		return 0, errEndless
	}
	n := 0
	for n < len(p) {
		if len(c.rest) == 0 {
			c.rest = c.again
		}
		m := copy(p[n:], c.rest)
		c.rest = c.rest[m:]
		n += m
	}
	c.read += n
	return n, nil
}

var errEndless = errors.New("more was read than any bound allows")

// FuzzEndless: an answer that never ends is refused, or gives data: no provider
// makes us read for ever, nor hold more than a head.
func FuzzEndless(f *testing.F) {
	const chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
	for _, s := range [][2]string{
		{"HTTP/1.1 200 OK\r\n", "A: b\r\n"},
		{"HTTP/1.1 200 OK\r\nA: ", "b"},
		{"HTTP/1.1 200 ", "x"},
		{"", "HTTP/1.1 100 Continue\r\n\r\n"},
		{"", "\r\n"},
		{"", "HTTP/1."},
		{"HTTP/1.1 200 OK\r\n\r\n", "x"},
		{"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n", "x"},
		{chunked, "1\r\nx\r\n"},
		{chunked, "1;" + strings.Repeat("e", 200) + "\r\nx\r\n"},
		{chunked + "1;", "e"},
		{chunked + "1", " "},
		{chunked, "0"},
		{chunked + "0\r\n", "A: b\r\n"},
		{chunked + "0\r\nA: ", "b"},
		{chunked + "fffffffffffffff\r\n", "x"},
	} {
		f.Add([]byte(s[0]), []byte(s[1]))
	}
	f.Fuzz(func(t *testing.T, begin, again []byte) {
		if len(again) == 0 {
			return
		}
		c := &endlessConn{bytesConn: bytesConn{rest: begin}, again: again}
		tr := New(Options{DialContext: func(context.Context, string, string) (net.Conn, error) { return c, nil }})
		defer tr.Close()
		var e Exchange
		defer e.Close()
		err := tr.Do(&e, plain("fuzz:1"), &Request{Head: []byte("POST / HTTP/1.1\r\n\r\n")})
		if c.read > (maxInterim+2)*defaultMaxHeadBytes || cap(e.buffer) > defaultMaxHeadBytes {
			t.Fatalf("%d bytes were read for a head, %d are held", c.read, cap(e.buffer))
		}
		p, data, before := make([]byte, 512), 0, c.read
		for err == nil && data < 64<<10 {
			var n int
			n, err = e.Read(p)
			data += n
			if used := c.read - before; used > mostFraming(data)+len(p) {
				t.Fatalf("%d bytes were read for %d of data", used, data)
			}
		}
	})
}
