// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/valyala/fasthttp"
	"golang.org/x/sys/unix"
)

// The benchmark starts itself again in these roles, named by an environment variable.
const (
	roleVariable     = "TURNOUT_BENCH_ROLE"
	nextRoleVariable = "TURNOUT_BENCH_NEXT_ROLE"
	pinRole          = "pin"
	providerRole     = "provider"
	bareRole         = "bare"

	proxyCPU = 0
	loadCPU  = 1
)

func playRole(role string, args []string) error {
	switch role {
	case pinRole:
		return pin(args)
	case providerRole:
		return serveProvider(args[1])
	case bareRole:
		return serveBare(args[1], args[2])
	}
	return fmt.Errorf("there is no role %q", role)
}

// pin becomes the command in args[1:], on the processor args[0].
func pin(args []string) error {
	cpu, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	if err := pinSelf(cpu); err != nil {
		return err
	}
	env := []string{}
	next := os.Getenv(nextRoleVariable)
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, roleVariable+"=") && !strings.HasPrefix(v, nextRoleVariable+"=") {
			env = append(env, v)
		}
	}
	if next != "" {
		env = append(env, roleVariable+"="+next)
	}
	return syscall.Exec(args[1], args[1:], env)
}

// pinSelf keeps this thread, and the threads it will start, on one processor. A machine with one keeps all.
func pinSelf(cpu int) error {
	if runtime.NumCPU() < 2 {
		return nil
	}
	runtime.LockOSThread()
	var set unix.CPUSet
	set.Set(cpu)
	return unix.SchedSetaffinity(0, &set)
}

const (
	answerSize = 787
	// savedFrames is how many frames a stream as fast as it goes has, pacedFrames one with a gap.
	savedFrames = 400
	pacedFrames = 100
	pacedGap    = 10 * time.Millisecond
	frame       = `data: {"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1700000000,"model":"gpt-bench-1","choices":[{"index":0,"delta":{"content":" token"},"finish_reason":null}]}` + "\n\n"
	lastFrame   = `data: {"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1700000000,"model":"gpt-bench-1","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}` + "\n\ndata: [DONE]\n\n"
)

// answer is a chat completion of answerSize bytes.
var answer = func() []byte {
	head := `{"id":"chatcmpl-bench","object":"chat.completion","created":1700000000,"model":"gpt-bench-1","choices":[{"index":0,"message":{"role":"assistant","content":"`
	tail := `","refusal":null},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":200,"completion_tokens":90,"total_tokens":290}}`
	return []byte(head + strings.Repeat("x", answerSize-len(head)-len(tail)) + tail)
}()

// serveProvider answers at once: it is not what is measured.
func serveProvider(address string) error {
	server := &fasthttp.Server{NoDefaultServerHeader: true, Handler: func(ctx *fasthttp.RequestCtx) {
		if !bytes.Contains(ctx.PostBody(), []byte(`"stream":true`)) {
			ctx.SetContentType("application/json")
			ctx.SetBody(answer)
			return
		}
		frames, gap := savedFrames, time.Duration(0)
		if bytes.Contains(ctx.PostBody(), []byte(`"user":"paced"`)) {
			frames, gap = pacedFrames, pacedGap
		}
		ctx.SetContentType("text/event-stream")
		ctx.SetBodyStreamWriter(func(w *bufio.Writer) { stream(w, frames, gap) })
	}}
	return server.ListenAndServe(address)
}

func stream(w *bufio.Writer, frames int, gap time.Duration) {
	for range frames {
		if _, err := w.WriteString(frame); err != nil || w.Flush() != nil {
			return
		}
		time.Sleep(gap)
	}
	_, _ = w.WriteString(lastFrame) // a reader that left is no concern of the provider
	_ = w.Flush()
}

// serveBare is the least a Go proxy can do: the same server library, its client, and nothing in between.
func serveBare(address, provider string) error {
	client := &fasthttp.HostClient{
		Addr: provider, MaxConns: 10_000, StreamResponseBody: true,
		NoDefaultUserAgentHeader: true, DisablePathNormalizing: true,
	}
	server := &fasthttp.Server{NoDefaultServerHeader: true, StreamRequestBody: false, Handler: func(ctx *fasthttp.RequestCtx) {
		request, response := &ctx.Request, &ctx.Response
		request.SetHost(provider)
		if err := client.Do(request, response); err != nil && !errors.Is(err, fasthttp.ErrConnectionClosed) {
			ctx.Error(err.Error(), fasthttp.StatusBadGateway)
		}
	}}
	return server.ListenAndServe(address)
}
