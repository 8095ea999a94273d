// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/valyala/fasthttp"

	"github.com/turnout-ai/turnout/internal/modelsim"
	"github.com/turnout-ai/turnout/internal/proxy/upstream"
	"github.com/turnout-ai/turnout/internal/routing"
)

// serving starts a proxy with one endpoint and returns a function that posts to it over one connection.
func serving(t *testing.T) (*Proxy, func(body string) (*http.Response, error)) {
	t.Helper()
	sim, err := modelsim.Start(context.Background(), modelsim.DefaultConfig(), "127.0.0.1:0", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sim.Close)
	p := New(Options{DefaultNamespace: "default", Metrics: prometheus.NewRegistry()})
	p.Publish(routing.Build(routing.Input{
		Endpoints: []routing.EndpointSpec{{
			Key: routing.Key{Namespace: "default", Name: "a"}, UID: "a", Format: routing.FormatOpenAI, URL: sim.URL() + "/v1",
			Model: "sim-large", Capabilities: []string{"chat-completion"}, Delivery: routing.Synchronous | routing.Streaming,
		}},
		Policies: []routing.PolicySpec{{
			Key: routing.Key{Namespace: "default", Name: "chat"}, UID: "p", Models: []string{"chat"}, Capability: "chat-completion",
			Timeouts: routing.DefaultTimeouts, Attempts: 3, Deadline: time.Minute,
		}},
	}))
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = p.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := p.Drain(ctx, 0); err != nil {
			t.Error(err)
		}
	})
	return p, func(body string) (*http.Response, error) {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+l.Addr().String()+"/v1/chat/completions", strings.NewReader(body))
		if err != nil {
			return nil, err
		}
		request.Close = true
		return http.DefaultClient.Do(request)
	}
}

const (
	askChat   = `{"model":"chat","messages":[]}`
	askStream = `{"model":"chat","stream":true,"messages":[{"role":"user","content":"x"}]}`
)

// A defect in one request must cost that request and no other: the HTTP server recovers nothing.
func TestAPanicCostsOneRequest(t *testing.T) {
	p, post := serving(t)
	whole := p.current.Load()
	broken := *whole
	broken.backends = nil
	p.current.Store(&broken)
	response, err := post(askChat)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, _ := io.ReadAll(response.Body)
	if response.StatusCode != 500 || !strings.Contains(string(text), "internal_error") {
		t.Errorf("status %d, %s", response.StatusCode, text)
	}
	p.current.Store(whole)
	again, err := post(`{"model":"chat","messages":[{"role":"user","content":"x"}]}`)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Body.Close()
	if again.StatusCode != 200 {
		t.Errorf("the next request: status %d", again.StatusCode)
	}
	if n := testutil.ToFloat64(p.metrics.panics); n != 1 {
		t.Errorf("%v panics are counted, want 1", n)
	}
	if n := p.inFlight.Load(); n != 0 {
		t.Errorf("%d requests still count as under way", n)
	}
}

// panicking is a provider's body that fails in the worst way after a frame.
type panicking struct{ sent bool }

func (s *panicking) Read(p []byte) (int, error) {
	if s.sent {
		panic("a defect")
	}
	s.sent = true
	return copy(p, `data: {"choices":[{"index":0,"delta":{"content":"x"}}]}`+"\n\n"), nil
}

func TestAPanicInAStreamEndsThatStream(t *testing.T) {
	p, post := serving(t)
	p.server.Handler = func(ctx *fasthttp.RequestCtx) {
		r := p.requests.Get().(*request)
		r.begin(ctx)
		r.op = routing.ChatCompletions
		if !r.takeHeaders() || !r.takeBody() || !r.resolve() {
			t.Error("the request was refused")
			return
		}
		r.deadline = r.start.Add(time.Minute)
		r.contentBy = r.deadline
		r.watch.start(ctx.Conn())
		b := &r.snap.backends[0]
		r.open(b)
		out := upstream.Request{ConnectTimeout: time.Second, HeadDeadline: r.deadline}
		r.facts.Pieces(&out.Body, r.body, b.model, false)
		out.Head = r.writeHead(b, &out.Body)
		if err := p.transport.Do(&r.exchange, &b.target, &out); err != nil {
			t.Error(err)
			return
		}
		if v := r.receiveStream(b, &panicking{}); v != answered {
			t.Errorf("verdict %d, want a stream", v)
		}
	}
	response, err := post(askStream)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	lines := bufio.NewScanner(response.Body)
	if !lines.Scan() || !strings.Contains(lines.Text(), `"x"`) {
		t.Fatalf("the frame before the panic did not arrive: %q %v", lines.Text(), lines.Err())
	}
	for lines.Scan() {
	}
	if lines.Err() == nil {
		t.Error("the stream ended as if it were complete")
	}
	if n := testutil.ToFloat64(p.metrics.attempts.WithLabelValues("default", "a", string(outcomePanic))); n != 1 {
		t.Errorf("%v attempts count as ended by a panic, want 1", n)
	}
	if h := p.current.Load().backends[0].live.Read(0); h.InFlight != 0 || h.Failures != 0 {
		t.Errorf("the provider is blamed or still counted: %+v", h)
	}
	if n := testutil.ToFloat64(p.metrics.panics); n != 1 {
		t.Errorf("%v panics are counted, want 1", n)
	}
	if n := p.inFlight.Load(); n != 0 {
		t.Errorf("%d requests still count as under way", n)
	}
}
