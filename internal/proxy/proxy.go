// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

// Package proxy is the data plane: it takes OpenAI requests, asks the routing table whom to try, and tries
// until one answers, before the caller has seen a byte.
//
// A request reads one snapshot through one atomic pointer and keeps it to its end. It waits for nobody but
// the caller and the providers, takes no lock that all requests share, and knows no Kubernetes.
package proxy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp"

	"github.com/turnout-ai/turnout/internal/health"
	"github.com/turnout-ai/turnout/internal/modelstate"
	"github.com/turnout-ai/turnout/internal/proxy/upstream"
	"github.com/turnout-ai/turnout/internal/routing"
)

const (
	// DefaultMaxBody is the largest request body taken.
	DefaultMaxBody = 32 << 20
	// DefaultBodyBudget bounds the bytes of all request bodies held at once.
	DefaultBodyBudget = 256 << 20
	// maxHead is the largest request head taken: tokens in headers run to several kilobytes.
	maxHead = 16 << 10
	// headTimeout bounds the arrival of a request head, and keepAlive the pause before the next one.
	headTimeout = 30 * time.Second
	keepAlive   = 120 * time.Second
	// maxConnections is where further connections are refused when descriptors would last for more.
	maxConnections = 256 << 10
	// spareDescriptors are kept for everything but callers and their providers.
	spareDescriptors = 256
	// acceptPause is how long no connection is taken after one could not be for want of descriptors.
	acceptPause = 20 * time.Millisecond
)

// Options configure a Proxy. The zero value of a field gives its default.
type Options struct {
	// DefaultNamespace is where a bare model name of an anonymous caller is looked up.
	DefaultNamespace string
	// MaxBody is the largest request body in bytes (DefaultMaxBody), BodyBudget the most for all requests
	// together (DefaultBodyBudget).
	MaxBody, BodyBudget int64
	// MaxConnections is the most connections of callers served at once.
	MaxConnections int
	// SendAttemptID adds the header x-turnout-attempt to requests to providers: the request's id and the
	// attempt's number, to find an attempt again in a provider's log.
	SendAttemptID bool
	// AccessLog takes one line per request; nil takes none.
	AccessLog *AccessLog
	// Log takes what is worth a person's attention; nil discards it.
	Log *slog.Logger
	// Metrics is where the proxy registers its metrics; nil registers none.
	Metrics prometheus.Registerer
}

// Proxy serves callers. Create it with New, give it tables with Publish, and connections with Serve.
type Proxy struct {
	opts      Options
	log       *slog.Logger
	server    *fasthttp.Server
	transport *upstream.Transport
	health    *health.Registry
	bodies    bodyReader
	metrics   *metrics
	requests  sync.Pool // of *request
	serial    atomic.Uint64
	inFlight  atomic.Int64
	draining  atomic.Bool
	idPrefix  string
	current   atomic.Pointer[snapshot]
	publish   sync.Mutex // one Publish at a time; never taken by a request
}

// New returns a Proxy that answers 503 until its first table is published.
func New(opts Options) *Proxy {
	if opts.MaxBody == 0 {
		opts.MaxBody = DefaultMaxBody
	}
	if opts.BodyBudget == 0 {
		opts.BodyBudget = DefaultBodyBudget
	}
	if opts.MaxConnections == 0 {
		opts.MaxConnections = connectionsFor(descriptors())
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	p := &Proxy{
		opts:      opts,
		log:       opts.Log,
		transport: upstream.New(upstream.Options{}),
		health:    health.NewRegistry(opts.Log),
		idPrefix:  newIDPrefix(),
	}
	p.bodies.limit = opts.MaxBody
	p.bodies.budget.give(opts.BodyBudget)
	p.requests.New = func() any { return newRequest(p) }
	p.metrics = newMetrics(p, opts.Metrics)
	p.server = &fasthttp.Server{
		Handler:           p.handle,
		ErrorHandler:      p.handleBadRequest,
		Logger:            serverLog{p.log},
		ReadBufferSize:    maxHead,
		ReadTimeout:       headTimeout,
		WriteTimeout:      routing.DefaultTimeouts.ClientWrite, // streams move it as they go
		IdleTimeout:       keepAlive,
		Concurrency:       opts.MaxConnections,
		StreamRequestBody: true,
		// The default limit would cut bodies off before our own limit can answer in the caller's format.
		MaxRequestBodySize:           int(opts.MaxBody),
		DisablePreParseMultipartForm: true,
		NoDefaultServerHeader:        true,
		CloseOnShutdown:              true,
		TCPKeepalive:                 true,
		SecureErrorLogMessage:        true,
	}
	return p
}

// connectionsFor is how many callers can be served with so many descriptors (0: unknown): each needs one, and
// one to its provider. More are refused while there still is a descriptor to refuse them with.
func connectionsFor(descriptors uint64) int {
	if descriptors == 0 || descriptors > 2*maxConnections {
		return maxConnections
	}
	return int(max(descriptors, 2*spareDescriptors)-spareDescriptors) / 2
}

// descriptors is how many files this process may have open; 0 when that cannot be known.
func descriptors() uint64 {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil {
		return 0
	}
	return uint64(limit.Cur) //nolint:unconvert // signed on some systems
}

// Serve takes connections from l until Drain or a failure of l.
func (p *Proxy) Serve(l net.Listener) error { return p.server.Serve(patient{l}) }

// patient is a listener that waits when descriptors run out. The HTTP server would take that for the end of
// the listener, and the process would end with every stream it serves.
type patient struct{ net.Listener }

// Accept implements net.Listener.
func (l patient) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if !errors.Is(err, syscall.EMFILE) && !errors.Is(err, syscall.ENFILE) && !errors.Is(err, syscall.ENOBUFS) {
			return conn, err
		}
		time.Sleep(acceptPause)
	}
}

// Drain makes Ready false, goes on taking requests for notice (until load balancers have heard of it), then
// takes no further connections and returns when the last request has ended, or with an error when ctx does
// first: requests that are then still running are cut off with the process. What it was lent and does not use goes
// back at once: others may need it.
func (p *Proxy) Drain(ctx context.Context, notice time.Duration) error {
	p.draining.Store(true)
	p.health.Retire()
	select {
	case <-time.After(notice):
	case <-ctx.Done():
	}
	if err := p.server.ShutdownWithContext(ctx); err != nil {
		return errors.Join(errors.New("requests were still running when the drain ended"), err)
	}
	p.transport.Close()
	return nil
}

// Ready says whether the proxy should be sent requests, and if not why.
func (p *Proxy) Ready() (ready bool, why string) {
	switch {
	case p.draining.Load():
		return false, "draining: the process was asked to stop"
	case p.current.Load() == nil:
		return false, "no routing table yet: nothing was read from the Kubernetes API since the start"
	}
	return true, ""
}

// Publish makes t the table of all requests that begin from now on. Health of endpoints that are still the
// same is kept.
func (p *Proxy) Publish(t *routing.Table) {
	p.publish.Lock()
	defer p.publish.Unlock()
	last := p.current.Load()
	next := p.newSnapshot(t, last)
	p.current.Store(next)
	if last != nil {
		p.metrics.forget(last.table, t)
	}
	p.transport.Retain(next.targetIDs())
}

// PublishStates tells what the operator has written about endpoints, by UID; see health.Registry.SetFleet.
func (p *Proxy) PublishStates(states map[string]modelstate.State) { p.health.SetFleet(states) }

// Book is what this proxy knows of its endpoints: what a report is made from.
func (p *Proxy) Book() *health.Registry { return p.health }

// serverLog passes the HTTP server's own messages on. They are about single connections.
type serverLog struct{ log *slog.Logger }

// Printf implements fasthttp.Logger.
func (l serverLog) Printf(format string, args ...any) {
	l.log.Debug("http server", "message", fmt.Sprintf(format, args...))
}
