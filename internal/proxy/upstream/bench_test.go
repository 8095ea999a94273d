// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package upstream

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
)

// benchBody and benchAnswer are of the size of a short chat.
var (
	benchBody   = strings.Repeat("x", 953)
	benchAnswer = bytes.Repeat([]byte("y"), 787)
)

// instant is a server that costs as little as possible.
func instant(b *testing.B) string {
	b.Helper()
	l, err := (&net.ListenConfig{}).Listen(b.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	s := &fasthttp.Server{Handler: func(ctx *fasthttp.RequestCtx) {
		ctx.SetContentType("application/json")
		ctx.SetBody(benchAnswer)
	}}
	go func() { _ = s.Serve(l) }()
	b.Cleanup(func() { _ = l.Close() })
	return l.Addr().String()
}

// cpu reports what the process burned for each operation, server included. Wall
// time on a busy machine tells more about its other tenants.
func cpu(b *testing.B) {
	b.Helper()
	used := func() time.Duration {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	before := used()
	b.Cleanup(func() { b.ReportMetric(float64(used()-before)/float64(b.N), "cpu-ns/op") })
}

// BenchmarkSmall is one small exchange on a warm connection, with a deadline
// for each: ours beside the clients that we could have used.
func BenchmarkSmall(b *testing.B) {
	b.Run("client=upstream", smallUpstream)
	b.Run("client=fasthttp", smallFasthttp)
	b.Run("client=net-http", smallNetHTTP)
}

func smallUpstream(b *testing.B) {
	tr := newTransport(b, Options{})
	target := plain(instant(b))
	r := post(benchBody)
	var e Exchange
	buffer := make([]byte, 4<<10)
	b.ReportAllocs()
	cpu(b)
	for b.Loop() {
		r.HeadDeadline = time.Now().Add(patience)
		if err := tr.Do(&e, target, r); err != nil {
			b.Fatal(err)
		}
		n, err := e.Read(buffer)
		if n != len(benchAnswer) || err != nil {
			b.Fatal(n, err)
		}
		e.Close()
	}
}

func smallFasthttp(b *testing.B) {
	client := &fasthttp.HostClient{Addr: instant(b), ReadTimeout: patience, WriteTimeout: patience}
	var req fasthttp.Request
	var resp fasthttp.Response
	req.SetRequestURI("http://provider/v1/x")
	req.Header.SetMethod("POST")
	b.ReportAllocs()
	cpu(b)
	for b.Loop() {
		req.SetBodyString(benchBody)
		if err := client.Do(&req, &resp); err != nil || len(resp.Body()) != len(benchAnswer) {
			b.Fatal(err)
		}
	}
}

func smallNetHTTP(b *testing.B) {
	tr := &http.Transport{}
	b.Cleanup(tr.CloseIdleConnections)
	url := "http://" + instant(b) + "/v1/x"
	b.ReportAllocs()
	cpu(b)
	for b.Loop() {
		req, err := http.NewRequestWithContext(b.Context(), http.MethodPost, url, strings.NewReader(benchBody))
		if err != nil {
			b.Fatal(err)
		}
		resp, err := tr.RoundTrip(req)
		if err != nil {
			b.Fatal(err)
		}
		n, err := io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		if int(n) != len(benchAnswer) || err != nil {
			b.Fatal(n, err)
		}
	}
}

// BenchmarkParallel is BenchmarkSmall from many goroutines at once.
func BenchmarkParallel(b *testing.B) {
	b.Run("client=upstream", func(b *testing.B) {
		tr := newTransport(b, Options{})
		target := plain(instant(b))
		b.SetParallelism(32)
		b.ReportAllocs()
		cpu(b)
		b.RunParallel(func(pb *testing.PB) {
			r := post(benchBody)
			var e Exchange
			buffer := make([]byte, 4<<10)
			for pb.Next() {
				r.HeadDeadline = time.Now().Add(patience)
				if err := tr.Do(&e, target, r); err != nil {
					b.Error(err)
					return
				}
				_, _ = e.Read(buffer)
				e.Close()
			}
		})
	})
	b.Run("client=fasthttp", func(b *testing.B) {
		client := &fasthttp.HostClient{Addr: instant(b), ReadTimeout: patience, WriteTimeout: patience}
		b.SetParallelism(32)
		b.ReportAllocs()
		cpu(b)
		b.RunParallel(func(pb *testing.PB) {
			var req fasthttp.Request
			var resp fasthttp.Response
			req.SetRequestURI("http://provider/v1/x")
			req.Header.SetMethod("POST")
			for pb.Next() {
				req.SetBodyString(benchBody)
				if err := client.Do(&req, &resp); err != nil {
					b.Error(err)
					return
				}
			}
		})
	})
}

// BenchmarkStream is one frame of an endless stream of events, 200 bytes each.
func BenchmarkStream(b *testing.B) {
	frame := "data: " + strings.Repeat("x", 192) + "\n\n"
	chunk := fmt.Appendf(nil, "%x\r\n%s\r\n", len(frame), frame)
	p := listen(b, func(_ int, c *net.TCPConn, r *bufio.Reader) {
		readRequest(r)
		_, err := io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
		for err == nil {
			_, err = c.Write(chunk)
		}
	})
	tr := newTransport(b, Options{})
	var e Exchange
	if err := tr.Do(&e, plain(p.address), post("{}")); err != nil {
		b.Fatal(err)
	}
	buffer := make([]byte, 4<<10)
	b.SetBytes(int64(len(frame)))
	b.ReportAllocs()
	rest := 0
	for b.Loop() {
		for rest < len(frame) {
			n, err := e.Read(buffer)
			if err != nil {
				b.Fatal(err)
			}
			rest += n
		}
		rest -= len(frame)
	}
	e.Close()
}

// BenchmarkParse is the head of a large provider's answer.
func BenchmarkParse(b *testing.B) {
	raw := []byte("HTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\nContent-Type: application/json\r\nContent-Length: 787\r\n" +
		"Connection: keep-alive\r\nX-Request-Id: req_0123456789abcdef0123456789abcdef\r\nOpenai-Processing-Ms: 412\r\n" +
		"X-Ratelimit-Limit-Requests: 10000\r\nX-Ratelimit-Remaining-Requests: 9999\r\nX-Ratelimit-Reset-Requests: 6ms\r\n" +
		"Strict-Transport-Security: max-age=31536000; includeSubDomains; preload\r\nServer: cloudflare\r\nCf-Ray: 0123456789abcdef-AMS\r\n\r\n")
	var h head
	b.ReportAllocs()
	b.SetBytes(int64(len(raw)))
	for b.Loop() {
		if err := h.parse(raw); err != nil {
			b.Fatal(err)
		}
	}
}
