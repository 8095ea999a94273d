// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net/http"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/turnout-ai/turnout/internal/health"
	"github.com/turnout-ai/turnout/internal/proxy/upstream"
	"github.com/turnout-ai/turnout/internal/routing"
	"github.com/turnout-ai/turnout/internal/wire"
)

// request is one request of a caller, from its first byte to the last byte of its answer. Requests are
// reused; what a request learned is set by begin or later, and what is only a buffer outlives it.
type request struct {
	proxy *Proxy
	ctx   *fasthttp.RequestCtx
	snap  *snapshot
	op    routing.Operation
	start time.Time
	// deadline ends the request with all its attempts.
	deadline time.Time
	serial   uint64
	id       []byte

	body     []byte
	reserved int64 // of the body budget
	facts    wire.Facts
	model    []byte // facts.Model, when it outlives the body
	route    routing.Route
	plan     routing.Plan
	passed   []byte // the caller's headers that go upstream, as written there

	attempts int
	// stage is what the next step is, current the endpoint it is about, and at the place in the plan of the candidate
	// after those that were tried. due is when the current endpoint may be tried again.
	stage   stage
	current *backend
	at      int
	due     time.Time
	// tried are the endpoints that were tried, in that order.
	tried []tried
	// fresh asks for a new connection, plain for a request without anything added to it; addsUsage says that the
	// current attempt asks for usage on its own account. unasked are the attempts that were made because of what
	// was added: they are not the caller's.
	fresh, plain, addsUsage bool
	unasked                 int
	// tooSmall is the largest context window that the input did not fit into.
	tooSmall int64
	// budget bounds the attempts beyond the first; nil when the policy has none. overBudget says that it did.
	budget     *retryBudget
	overBudget bool
	// pause is when the caller of a stream must hear something; zero when it need not. opened says that it has: the
	// head of the answer is gone, its content may still come from anywhere.
	pause  time.Time
	opened bool
	// attempting is the endpoint of the attempt that is not concluded; nil between attempts. begun is when the
	// latest attempt began, sent whether any attempt has sent anything.
	attempting *backend
	books      health.Attempt
	begun      time.Time
	sent       bool
	// short are the endpoints that were passed over because of a limit, waitUntil is until when the request may wait
	// for one of them: zero while it has not begun to. left receives when the caller has left.
	short     []shortage
	waitUntil time.Time
	left      chan struct{}
	// Of the latest attempt: why it broke; the estimated input; what the provider said of its use, and in the answer's
	// body of when to come back; whether it has refused what was added; how many answers were asked for; how much text came, in quarters of a token; when the answer showed itself and when it was complete; and how long a
	// stream took to its first content.
	cause           error
	inputTokens     int64
	usage           wire.Usage
	hint            wire.Hint
	refusedOurs     bool
	choices         int64
	size            int
	shown, complete time.Time
	firstToken      time.Duration
	// contentBy is by when the current attempt must have shown content.
	contentBy time.Time
	exchange  upstream.Exchange
	head      []byte       // the head of the current attempt
	failures  failures     // what the attempts so far came to
	number    []byte       // a number as text, for a header
	fallback  asIsAnswer   // an answer to give when nobody has a better one
	stopgap   bool         // the fallback counts only if the endpoint cannot be asked once more
	stream    streamAnswer // the answer when it is a stream
	large     largeAnswer  // the answer when it is long and not a stream
	watch     clientWatch
	// handedOver is true once the answer's body is read by the HTTP server after the handler: the request
	// then ends with the body's Close.
	handedOver bool
	log        entry
}

func newRequest(p *Proxy) *request {
	r := &request{proxy: p, left: make(chan struct{}, 1)}
	r.watch.init(r.cancel)
	r.stream.request, r.large.request = r, r
	return r
}

// newIDPrefix tells request ids of this process from those of all others.
func newIDPrefix() string {
	var b [6]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:]) + "-"
}

// begin makes r the request of ctx.
func (r *request) begin(ctx *fasthttp.RequestCtx) {
	p := r.proxy
	r.ctx, r.snap, r.start = ctx, p.current.Load(), time.Now()
	r.serial = p.serial.Add(1)
	r.id = strconv.AppendUint(append(r.id[:0], p.idPrefix...), r.serial, 36)
	r.body, r.passed = r.body[:0], r.passed[:0]
	r.reserved, r.attempts, r.handedOver = 0, 0, false
	r.attempting, r.sent = nil, false
	r.stage, r.current, r.at, r.unasked, r.tooSmall = choosing, nil, 0, 0, 0
	r.fresh, r.plain, r.addsUsage = false, false, false
	r.budget, r.overBudget = nil, false
	r.pause, r.opened = time.Time{}, false
	r.waitUntil = time.Time{}
	select { // what the caller before has left behind
	case <-r.left:
	default:
	}
	r.facts.Reset() // what is refused before it is read must not be logged as what came before it
	r.plan.Reset()
	r.route = routing.Route{}
	r.failures, r.fallback, r.stopgap = failures{}, asIsAnswer{body: r.fallback.body[:0]}, false
	r.log = entry{start: r.start, id: r.id, tries: r.log.tries[:0]}
	p.inFlight.Add(1)
}

// end settles the request and gives it back. The caller's connection is ready for its next request.
func (r *request) end() {
	r.watch.stop()
	r.exchange.Close()
	r.releaseBody()
	r.stream.trim()
	r.settle()
	p := r.proxy
	p.inFlight.Add(-1)
	r.ctx, r.snap, r.current, r.books = nil, nil, nil, health.Attempt{}
	clear(r.short) // these point into the table
	clear(r.tried)
	r.short, r.tried = r.short[:0], r.tried[:0]
	p.requests.Put(r)
}

// releaseBody lets go of the request body: once an answer is committed no attempt needs it.
func (r *request) releaseBody() {
	r.proxy.bodies.budget.give(r.reserved)
	r.reserved = 0
	if cap(r.body) > keepBody {
		// Nothing may point into a large body any more; of its facts only these two are still asked for.
		r.model = append(r.model[:0], r.facts.Model...)
		stream := r.facts.Stream
		r.facts.Reset()
		r.facts.Model, r.facts.Stream = r.model, stream
		r.body = nil
	}
}

// settle counts and logs the request.
func (r *request) settle() {
	e := &r.log
	e.duration = time.Since(r.start)
	e.attempts = r.attempts
	e.status = r.ctx.Response.StatusCode()
	if !r.handedOver {
		e.bytesOut = int64(len(r.ctx.Response.Body()))
	}
	r.proxy.metrics.settle(r)
	if r.proxy.opts.AccessLog == nil {
		return
	}
	e.operation = operationNames[r.op]
	e.model, e.stream = r.facts.Model, r.facts.Stream
	if r.route.Policy != nil {
		e.namespace, e.policy = r.route.Policy.Key.Namespace, r.route.Policy.Key.Name
	}
	e.client = r.ctx.RemoteAddr().String()
	r.proxy.opts.AccessLog.add(r.serial, e)
}

// operationNames are OpenTelemetry's values of gen_ai.operation.name.
var operationNames = [operationCount]string{
	routing.ChatCompletions: "chat",
	routing.Completions:     "text_completion",
	routing.Embeddings:      "embeddings",
}

// handle is the HTTP server's entry for every request.
func (p *Proxy) handle(ctx *fasthttp.RequestCtx) {
	method, path := ctx.Method(), ctx.Path()
	for _, door := range doors {
		if string(path) == door.path {
			if string(method) != http.MethodPost {
				refuseMethod(ctx, http.MethodPost)
				return
			}
			p.serve(ctx, door.op)
			return
		}
	}
	p.handleOther(ctx)
}

var doors = [...]struct {
	path string
	op   routing.Operation
}{
	{"/v1/chat/completions", routing.ChatCompletions},
	{"/v1/embeddings", routing.Embeddings},
	{"/v1/completions", routing.Completions},
}

// serve answers a request for an operation. A panic costs this request only.
func (p *Proxy) serve(ctx *fasthttp.RequestCtx, op routing.Operation) {
	r := p.requests.Get().(*request)
	r.begin(ctx)
	r.op = op
	defer func() {
		if cause := recover(); cause != nil {
			r.panicked(cause)
			ctx.Response.Reset()
			refuse(ctx, http.StatusInternalServerError, wire.ErrorBody{
				Message: "Turnout failed on this request; the proxy's log has the details under request " + string(r.id) + ".",
				Type:    serverError, Code: "internal_error",
			})
			r.handedOver = false
		}
		if !r.handedOver {
			r.end()
		}
	}()
	r.answer()
}

// panicked records a panic. The exchange is closed without reuse: nobody knows where it stood.
func (r *request) panicked(cause any) {
	r.exchange.Cancel()
	if r.attempting != nil {
		r.conclude(r.attempting, outcomePanic)
	}
	r.log.problem = string(outcomePanic)
	r.proxy.metrics.panics.Inc()
	r.proxy.log.Error("request failed by a panic", "request_id", string(r.id),
		"panic", fmt.Sprint(cause), "stack", string(debug.Stack()))
}

// answer understands the request, plans it and carries the plan out.
func (r *request) answer() {
	if r.snap == nil {
		r.refuse(http.StatusServiceUnavailable, retryable, wire.ErrorBody{
			Message: "this proxy has no routing table yet: it has not read the Kubernetes API since it started.",
			Type:    serverError, Code: "not_ready",
		})
		return
	}
	if !r.takeHeaders() || !r.takeBody() {
		discard(r.ctx)
		return
	}
	if !r.resolve() {
		return
	}
	r.deadline = r.start.Add(r.route.Policy.Deadline)
	r.watch.start(r.ctx.Conn())
	r.carryOut()
}

// takeBody reads and understands the body, or refuses the request.
func (r *request) takeBody() bool {
	var err error
	r.body, r.reserved, err = r.proxy.bodies.read(r.ctx, r.body)
	r.log.bytesIn = len(r.body)
	if err != nil {
		r.refuseBody(err)
		return false
	}
	if err := wire.Peek(r.body, &r.facts); err != nil {
		r.refusePeek(err)
		return false
	}
	if r.facts.Stream && !r.ctx.Request.Header.IsHTTP11() {
		r.refuse(http.StatusHTTPVersionNotSupported, final, wire.ErrorBody{
			Message: "a stream needs HTTP/1.1, and this request came by HTTP/1.0; if a proxy stands in between, let it speak 1.1 (nginx: proxy_http_version 1.1).",
			Type:    invalidRequest, Code: "http_version",
		})
		return false
	}
	return true
}

// resolve finds the policy that serves the name, and plans.
func (r *request) resolve() bool {
	route, err := r.snap.table.ResolveBytes(r.proxy.opts.DefaultNamespace, r.facts.Model)
	if err != nil {
		r.refuseName(err)
		return false
	}
	r.route = route
	if state := r.snap.policies[route.Policy]; state.budget != nil {
		r.budget = state.budget
		r.budget.request(r.start)
	}
	route.Plan(r.needs(), r.snap.view, r.start.UnixNano(), &r.plan)
	if len(r.plan.Order) == 0 {
		r.refusePlan()
		return false
	}
	return true
}

// needs is what the body asks of an endpoint.
func (r *request) needs() routing.Facts {
	f := &r.facts
	n := routing.Facts{
		Operation:       r.op,
		Delivery:        routing.Synchronous,
		InputTokens:     f.InputTokens,
		MaxOutputTokens: f.MaxTokens,
		Pinned:          f.Pinned,
	}
	if f.Stream {
		n.Delivery = routing.Streaming
	}
	for _, use := range [...]struct {
		used    bool
		feature routing.Features
	}{
		{f.Tools, routing.ToolCalling},
		{f.ResponseFormat == wire.FormatJSONSchema, routing.StructuredOutput},
		{f.ResponseFormat == wire.FormatJSONObject, routing.JSONMode},
		{f.Content&wire.Image != 0, routing.Vision},
		{f.Content&wire.AudioContent != 0 || f.AudioOut, routing.Audio},
		{f.Reasoning, routing.Reasoning},
		{f.Logprobs, routing.Logprobs},
	} {
		if use.used {
			n.Features |= use.feature
		}
	}
	return n
}
