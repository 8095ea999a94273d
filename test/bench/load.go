// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	chatPath    = "/v1/chat/completions"
	requestSize = 953
)

// chatBody is a chat request of requestSize bytes.
func chatBody(stream bool) io.Reader { return bytes.NewReader(chatBytes(stream, "bench")) }

func chatBytes(stream bool, user string) []byte {
	head := fmt.Sprintf(`{"model":"chat","stream":%t,"user":"%s","messages":[{"role":"system","content":"You are terse."},{"role":"user","content":"`, stream, user)
	tail := `"}],"max_tokens":256,"temperature":0.7}`
	return []byte(head + strings.Repeat("why? ", requestSize)[:requestSize-len(head)-len(tail)] + tail)
}

// caller is one connection that is kept alive.
type caller struct {
	conn    net.Conn
	reader  *bufio.Reader
	request []byte
}

func dial(ctx context.Context, address string, body []byte) (*caller, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	head := fmt.Sprintf("POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nAuthorization: Bearer sk-caller\r\nContent-Length: %d\r\n\r\n",
		chatPath, address, len(body))
	return &caller{conn: conn, reader: bufio.NewReaderSize(conn, 8<<10), request: append([]byte(head), body...)}, nil
}

// ask sends the request and reads the whole answer; frames counts its SSE frames.
func (c *caller) ask() (frames int, err error) {
	if _, err := c.conn.Write(c.request); err != nil {
		return 0, err
	}
	line, err := c.reader.ReadSlice('\n')
	if err != nil {
		return 0, err
	}
	if !bytes.Contains(line, []byte(" 200 ")) {
		return 0, fmt.Errorf("answer %q", line)
	}
	length := -1
	for {
		line, err := c.reader.ReadSlice('\n')
		if err != nil {
			return 0, err
		}
		line = bytes.TrimSpace(line)
		if len(line) == 0 {
			break
		}
		if name, value, _ := bytes.Cut(line, []byte(":")); bytes.EqualFold(name, []byte("content-length")) {
			length, err = strconv.Atoi(string(bytes.TrimSpace(value)))
			if err != nil {
				return 0, err
			}
		}
	}
	if length >= 0 {
		_, err := c.reader.Discard(length)
		return 0, err
	}
	return c.readChunks()
}

func (c *caller) readChunks() (frames int, err error) {
	for {
		line, err := c.reader.ReadSlice('\n')
		if err != nil {
			return frames, err
		}
		size, err := strconv.ParseInt(string(bytes.TrimSpace(line)), 16, 32)
		if err != nil {
			return frames, err
		}
		if size == 0 {
			_, err = c.reader.Discard(2)
			return frames, err
		}
		for left := int(size); left > 0; {
			text, err := c.reader.Peek(min(left, c.reader.Size()))
			if err != nil {
				return frames, err
			}
			frames += bytes.Count(text, []byte("data: "))
			_, _ = c.reader.Discard(len(text)) // it was just peeked
			left -= len(text)
		}
		if _, err := c.reader.Discard(2); err != nil {
			return frames, err
		}
	}
}

// result is what a load came to.
type result struct {
	requests, frames int64
	latencies        []float64 // in µs; only of a paced load
}

// load runs callers against address for a while; with a pace each caller sends that many requests per second,
// without one as many as it can.
func load(ctx context.Context, address string, callers int, body []byte, length time.Duration, pace float64) (result, error) {
	var (
		total  result
		mu     sync.Mutex
		ending atomic.Bool
		wg     sync.WaitGroup
		failed error
	)
	time.AfterFunc(length, func() { ending.Store(true) })
	for i := range callers {
		wg.Go(func() {
			r, err := one(ctx, address, body, &ending, pace, float64(i)/float64(callers))
			mu.Lock()
			defer mu.Unlock()
			total.requests += r.requests
			total.frames += r.frames
			total.latencies = append(total.latencies, r.latencies...)
			failed = errors.Join(failed, err)
		})
	}
	wg.Wait()
	return total, failed
}

func one(ctx context.Context, address string, body []byte, ending *atomic.Bool, pace, phase float64) (r result, err error) {
	c, err := dial(ctx, address, body)
	if err != nil {
		return r, err
	}
	defer c.conn.Close()
	var gap time.Duration
	next := time.Now()
	if pace > 0 {
		gap = time.Duration(float64(time.Second) / pace)
		next = next.Add(time.Duration(phase * float64(gap)))
	}
	for !ending.Load() && ctx.Err() == nil {
		if gap > 0 {
			time.Sleep(time.Until(next))
			next = next.Add(gap)
		}
		begun := time.Now()
		frames, err := c.ask()
		if err != nil {
			return r, err
		}
		if gap > 0 {
			r.latencies = append(r.latencies, float64(time.Since(begun).Nanoseconds())/1000)
		}
		r.requests++
		r.frames += int64(frames)
	}
	return r, ctx.Err()
}
