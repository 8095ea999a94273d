// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package proxy_test

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp"

	"github.com/turnout-ai/turnout/internal/modelstate"
	"github.com/turnout-ai/turnout/internal/pricing"
	"github.com/turnout-ai/turnout/internal/proxy"
	"github.com/turnout-ai/turnout/internal/quota"
	"github.com/turnout-ai/turnout/internal/routing"
)

// BenchmarkRequest is a request of a kilobyte through the whole proxy, on real sockets, with the caller and the
// provider in the same process; "bare" is the same without the proxy.
func BenchmarkRequest(b *testing.B) {
	const answer = `{"id":"x","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"%s"},` +
		`"finish_reason":"stop"}],"usage":{"prompt_tokens":250,"completion_tokens":125,"total_tokens":375}}`
	whole := fmt.Appendf(nil, answer, strings.Repeat("x", 500))
	provider := benchServe(b, &fasthttp.Server{Handler: func(ctx *fasthttp.RequestCtx) {
		ctx.SetContentType("application/json")
		ctx.SetBody(whole)
	}})
	body := fmt.Appendf(nil, `{"model":"chat","max_tokens":200,"messages":[{"role":"user","content":"%s"}]}`, strings.Repeat("y", 900))
	b.Run("bare", func(b *testing.B) { benchAsk(b, "http://"+provider+"/v1/chat/completions", body) })
	b.Run("proxy", func(b *testing.B) {
		p := benchProxy(b, endpoint("a", "http://"+provider+"/v1"))
		benchAsk(b, "http://"+benchServe(b, p)+"/v1/chat/completions", body)
	})
	b.Run("proxy with every limit", func(b *testing.B) {
		e := endpoint("a", "http://"+provider+"/v1")
		e.Priced, e.Price = true, pricing.Price{Input: pricing.Dollar, Output: 2 * pricing.Dollar}
		e.Limits = routing.Limits{
			Requests: 1 << 40, Tokens: 1 << 40, Budget: 1 << 50,
			RequestsPerMinute: 1_000_000_000, TokensPerMinute: 1_000_000_000, ConcurrentRequests: 1000,
		}
		p := benchProxy(b, e)
		url := "http://" + benchServe(b, p) + "/v1/chat/completions"
		lendAll(p, body, url)
		benchAsk(b, url, body)
	})
}

// lendAll has the purses opened by a request that finds them empty, and fills them for good.
func lendAll(p *proxy.Proxy, body []byte, url string) {
	request, response := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
	request.SetRequestURI(url)
	request.Header.SetMethod(fasthttp.MethodPost)
	request.SetBody(body)
	_ = fasthttp.Do(request, response) // a 429
	var grants []quota.Grant
	for limit := quota.Requests; limit <= quota.Budget; limit++ {
		grants = append(grants, quota.Grant{Key: quota.Key{Limit: limit, Start: thisMonth()}, Granted: 1 << 40})
	}
	p.Book().Granted([]quota.EndpointGrant{{Endpoint: quota.Endpoint{UID: "uid-a"}, Grants: grants}}, 1, time.Now())
}

// benchProxy is a proxy with an access log, metrics and one endpoint.
func benchProxy(b *testing.B, e routing.EndpointSpec) *proxy.Proxy {
	b.Helper()
	log := proxy.NewAccessLog(io.Discard)
	ctx := b.Context()
	go func() { _ = log.Run(ctx) }()
	p := proxy.New(proxy.Options{DefaultNamespace: "default", AccessLog: log, Metrics: prometheus.NewRegistry()})
	p.Publish(routing.Build(routing.Input{
		Endpoints: []routing.EndpointSpec{e},
		Policies: []routing.PolicySpec{{
			Key: routing.Key{Namespace: "default", Name: "chat"}, UID: "chat", Models: []string{"chat"},
			Tiers:    []routing.TierSpec{{Endpoints: []string{"a"}}},
			Timeouts: calmTimeouts, Attempts: 3, Deadline: time.Minute, Unit: modelstate.DefaultUnit,
		}},
	}))
	return p
}

func benchServe(b *testing.B, server interface{ Serve(net.Listener) error }) string {
	b.Helper()
	l, err := (&net.ListenConfig{}).Listen(b.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	go func() { _ = server.Serve(l) }()
	b.Cleanup(func() { _ = l.Close() })
	return l.Addr().String()
}

func benchAsk(b *testing.B, url string, body []byte) {
	b.Helper()
	request, response := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
	request.SetRequestURI(url)
	request.Header.SetMethod(fasthttp.MethodPost)
	request.Header.SetContentType("application/json")
	request.SetBody(body)
	client := &fasthttp.Client{}
	b.ReportAllocs()
	for b.Loop() {
		if err := client.Do(request, response); err != nil || response.StatusCode() != fasthttp.StatusOK {
			b.Fatalf("status %d, error %v", response.StatusCode(), err)
		}
	}
}
