// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package storm

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/turnout-ai/turnout/internal/modelstate"
	"github.com/turnout-ai/turnout/internal/proxy"
	"github.com/turnout-ai/turnout/internal/routing"
)

// roleVariable names a file with a role: the test's own program is then the proxy, and runs no tests.
const roleVariable = "TURNOUT_STORM_ROLE"

// role is how the proxy is set up.
type role struct {
	Listen, Admin, AccessLog string
	Endpoints                []roleEndpoint
	Attempts                 int
	Deadline                 time.Duration
	Timeouts                 routing.Timeouts
	Unit                     modelstate.Unit
	// Hoards says to be another proxy, one that reads answers as fast as they come: see hoarder.
	Hoards bool
}

type roleEndpoint struct{ Name, Provider, URL, Key, Certificate string }

// The policies of the storm: one goes through the endpoints in turn, one in their order.
const (
	policyInTurn  = "in-turn"
	policyInOrder = "in-order"
)

// namespace is where everything of the storm is.
const namespace = "default"

// nowhere is where endpoints are said to be while the proxy is looked at: it lets go of all connections to where they
// were. Nobody listens there.
const nowhere = "http://127.0.0.1:9/v1"

// table builds the routing table, with the endpoints where they are or nowhere.
func (r *role) table(working bool) (*routing.Table, error) {
	var in routing.Input
	var names []string
	for _, e := range r.Endpoints {
		spec := routing.EndpointSpec{
			Key: routing.Key{Namespace: namespace, Name: e.Name}, UID: "uid-" + e.Name, Provider: e.Provider,
			Format: routing.FormatOpenAI, URL: e.URL, Model: upstreamModel,
			Capabilities: []string{"chat-completion", "text-completion"}, Delivery: routing.Synchronous | routing.Streaming,
			Credential: routing.Credential{Header: "Authorization", Value: routing.Secret("Bearer " + e.Key)},
		}
		if e.Certificate != "" {
			spec.TLS.Roots, spec.TLS.RootsID = x509.NewCertPool(), "storm"
			if !spec.TLS.Roots.AppendCertsFromPEM([]byte(e.Certificate)) {
				return nil, fmt.Errorf("%s: its certificate cannot be read", e.Name)
			}
		}
		if !working {
			spec.URL, spec.TLS = nowhere, routing.TLS{}
		}
		in.Endpoints = append(in.Endpoints, spec)
		names = append(names, e.Name)
	}
	for name, strategy := range map[string]routing.Strategy{policyInTurn: routing.RoundRobin, policyInOrder: routing.Priority} {
		unit := r.Unit
		unit.Policy = name
		in.Policies = append(in.Policies, routing.PolicySpec{
			Key: routing.Key{Namespace: namespace, Name: name}, UID: "uid-" + name, Models: []string{name},
			Tiers:    []routing.TierSpec{{Endpoints: names, Strategy: strategy}},
			Timeouts: r.Timeouts, Attempts: r.Attempts, Deadline: r.Deadline, Unit: unit,
			Backoff: routing.Backoff{Type: routing.ExponentialJitter, Base: 50 * time.Millisecond, Max: 2 * time.Second},
		})
	}
	return routing.Build(in), nil
}

// play is the proxy, until it is asked to stop.
func play(file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var r role
	if err := json.Unmarshal(text, &r); err != nil {
		return err
	}
	stop, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer cancel()
	out, err := os.OpenFile(r.AccessLog, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector())
	log := proxy.NewAccessLog(out)
	p := proxy.New(proxy.Options{
		DefaultNamespace: namespace, SendAttemptID: true, AccessLog: log, Metrics: registry,
		Log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	s := &stage{role: &r, proxy: p}
	if err := s.set(true); err != nil {
		return err
	}
	if err := s.serve(stop, registry, log); err != nil {
		return err
	}
	return out.Close()
}

// stage is the proxy process.
type stage struct {
	role  *role
	proxy *proxy.Proxy
	pulse pulse
}

// set publishes a table.
func (s *stage) set(working bool) error {
	t, err := s.role.table(working)
	if err == nil {
		s.proxy.Publish(t)
	}
	return err
}

// serve serves callers and the test until stop, and has then written every line of the access log.
func (s *stage) serve(stop context.Context, registry *prometheus.Registry, log *proxy.AccessLog) error {
	listener, err := (&net.ListenConfig{}).Listen(stop, "tcp", s.role.Listen)
	if err != nil {
		return err
	}
	admin, err := (&net.ListenConfig{}).Listen(stop, "tcp", s.role.Admin)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("/", s.proxy.AdminHandler(registry))
	mux.HandleFunc("GET "+restPath, s.rest)
	mux.HandleFunc("GET "+workPath, s.work)
	mux.HandleFunc("GET "+figuresPath, func(w http.ResponseWriter, _ *http.Request) { tell(w, s.figures()) })
	mux.HandleFunc("GET "+collectedPath, s.collected)
	mux.HandleFunc("GET "+booksPath, func(w http.ResponseWriter, _ *http.Request) { tell(w, s.proxy.Book().Numbers(time.Now())) })
	mux.HandleFunc("GET "+stallsPath, func(w http.ResponseWriter, _ *http.Request) { tell(w, s.pulse.list()) })
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = server.Serve(admin) }() // ends with the process
	go s.pulse.run(stop)
	logging, end := context.WithCancel(context.WithoutCancel(stop))
	logged := make(chan error, 1)
	go func() { logged <- log.Run(logging) }()
	served := make(chan error, 1)
	go func() { served <- s.listen(listener) }()
	<-stop.Done()
	drain, cancel := context.WithTimeout(logging, 10*time.Second)
	defer cancel()
	err = errors.Join(s.proxy.Drain(drain, 0), <-served)
	end()
	return errors.Join(err, <-logged)
}

// listen takes callers until the drain.
func (s *stage) listen(l net.Listener) error {
	if !s.role.Hoards {
		return s.proxy.Serve(l)
	}
	return (&http.Server{Handler: hoarder(s.role.Endpoints[0]), ReadHeaderTimeout: 10 * time.Second}).Serve(l)
}

// What the test asks of the proxy process, beside its administration.
const (
	restPath      = "/storm/rest"
	workPath      = "/storm/work"
	figuresPath   = "/storm/figures"
	collectedPath = "/storm/collected"
	booksPath     = "/storm/books"
	stallsPath    = "/storm/stalls"
)

// rest lets go of the connections that are only kept for the next request.
func (s *stage) rest(w http.ResponseWriter, _ *http.Request) {
	if err := s.set(false); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

// collected are the figures without what is only garbage, or kept in pools.
func (s *stage) collected(w http.ResponseWriter, _ *http.Request) {
	for range 3 { // pools are emptied by the second
		runtime.GC()
	}
	debug.FreeOSMemory()
	tell(w, s.figures())
}

// work undoes rest.
func (s *stage) work(w http.ResponseWriter, _ *http.Request) {
	if err := s.set(true); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

func (s *stage) figures() figures {
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	f := figures{Heap: float64(memory.HeapAlloc), RSS: resident(os.Getpid()), Descriptors: descriptors(os.Getpid())}
	var text bytes.Buffer
	_ = pprof.Lookup("goroutine").WriteTo(&text, 1) // a buffer takes everything
	_, stacks, _ := strings.Cut(text.String(), "\n")
	for stack := range strings.SplitSeq(stacks, "\n\n") {
		// The HTTP server keeps workers for ten seconds after their last connection.
		if strings.Contains(stack, "(*workerPool).workerFunc") && !strings.Contains(stack, "(*Server).serveConn") {
			continue
		}
		number, _, _ := strings.Cut(stack, " @")
		n, _ := strconv.Atoi(number) // what has no number is no stack
		f.Goroutines += float64(n)
	}
	return f
}

func tell(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(value) // whoever asked may be gone
}
