// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package proxy_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/turnout-ai/turnout/internal/modelsim"
	"github.com/turnout-ai/turnout/internal/modelsim/ledger"
	"github.com/turnout-ai/turnout/internal/modelstate"
	"github.com/turnout-ai/turnout/internal/proxy"
	"github.com/turnout-ai/turnout/internal/routing"
)

// rig is a proxy on a real socket in front of simulated providers a, b, …, one endpoint each, and the policy
// "chat" that tries them in that order.
type rig struct {
	t        *testing.T
	proxy    *proxy.Proxy
	url      string
	sims     map[string]*modelsim.Server
	ledgers  map[string]string
	registry *prometheus.Registry
	log      *lockedBuffer
	input    routing.Input
}

// lockedBuffer takes the access log.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// calmTimeouts leave a loaded machine time; shortTimeouts make tests of what does not come short.
var (
	calmTimeouts = routing.Timeouts{
		Connect: 5 * time.Second, TLSHandshake: 5 * time.Second, FirstToken: 10 * time.Second,
		Idle: 10 * time.Second, ClientWrite: 10 * time.Second,
	}
	shortTimeouts = routing.Timeouts{
		Connect: 5 * time.Second, TLSHandshake: 5 * time.Second, FirstToken: time.Second,
		Idle: time.Second, ClientWrite: 10 * time.Second,
	}
)

// short is a change for newRig.
func short(in *routing.Input) { in.Policies[0].Timeouts = shortTimeouts }

// newRig starts providers of these names. change, if not nil, adjusts what the table is built from.
func newRig(t *testing.T, names string, change func(*routing.Input)) *rig {
	return newRigWith(t, names, proxy.Options{}, change)
}

func newRigWith(t *testing.T, names string, opts proxy.Options, change func(*routing.Input)) *rig {
	t.Helper()
	r := &rig{
		t: t, sims: map[string]*modelsim.Server{}, ledgers: map[string]string{},
		registry: prometheus.NewRegistry(), log: &lockedBuffer{},
	}
	for name := range strings.FieldsSeq(names) {
		r.addProvider(name)
	}
	r.input.Policies = []routing.PolicySpec{{
		Key: routing.Key{Namespace: "default", Name: "chat"}, UID: "policy-chat", Models: []string{"chat"},
		Tiers:    []routing.TierSpec{{Endpoints: strings.Fields(names)}},
		Timeouts: calmTimeouts, Attempts: 3, Deadline: 20 * time.Second,
		Unit: modelstate.DefaultUnit,
	}}
	if change != nil {
		change(&r.input)
	}
	opts.DefaultNamespace, opts.SendAttemptID = "default", true
	opts.Metrics, opts.AccessLog = r.registry, proxy.NewAccessLog(r.log)
	r.proxy = proxy.New(opts)
	r.proxy.Publish(routing.Build(r.input))
	r.url = "http://" + r.serve() + "/v1"
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- opts.AccessLog.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return r
}

// addProvider starts a provider and adds its endpoint to the input.
func (r *rig) addProvider(name string) {
	r.t.Helper()
	path := filepath.Join(r.t.TempDir(), name+".ledger")
	book, err := ledger.Open(path)
	if err != nil {
		r.t.Fatal(err)
	}
	config := modelsim.DefaultConfig()
	config.APIKeys, config.Ledger = []string{"sk-" + name}, book
	sim, err := modelsim.Start(context.Background(), config, "127.0.0.1:0", nil)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { sim.Close(); _ = book.Close() })
	r.sims[name], r.ledgers[name] = sim, path
	r.input.Endpoints = append(r.input.Endpoints, endpoint(name, sim.URL()+"/v1"))
}

func endpoint(name, url string) routing.EndpointSpec {
	return routing.EndpointSpec{
		Key: routing.Key{Namespace: "default", Name: name}, UID: "uid-" + name,
		Provider: name, Format: routing.FormatOpenAI, URL: url, Model: "sim-large",
		Capabilities: []string{"chat-completion", "text-completion"}, Delivery: routing.Synchronous | routing.Streaming,
		Credential: routing.Credential{Header: "Authorization", Value: routing.Secret("Bearer sk-" + name)},
	}
}

func (r *rig) serve() string {
	r.t.Helper()
	l, err := (&net.ListenConfig{}).Listen(r.t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		r.t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- r.proxy.Serve(l) }()
	r.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		http.DefaultClient.CloseIdleConnections()
		if err := r.proxy.Drain(ctx, 0); err != nil {
			r.t.Error(err)
		}
		if err := <-done; err != nil {
			r.t.Error(err)
		}
	})
	return l.Addr().String()
}

// fault makes the provider misbehave at each of the next count requests (0: at all).
func (r *rig) fault(name, fault string, count int) {
	r.t.Helper()
	if _, err := r.sims[name].Sim.AddRule(modelsim.Rule{Fault: fault, Count: count}); err != nil {
		r.t.Fatal(err)
	}
}

// requests is how many requests a provider has got.
func (r *rig) requests(name string) int64 { return r.sims[name].Sim.State().Requests }

// reply is an answer of the proxy.
type reply struct {
	status int
	header http.Header
	body   string
	err    error // that ended the body
}

// code is the code of an error in OpenAI's shape.
func (r reply) code() string {
	var e struct {
		Error struct{ Code, Message string }
	}
	_ = json.Unmarshal([]byte(r.body), &e)
	return e.Error.Code
}

// content is what a chat answer says, whether it was streamed or not.
func (r reply) content() string {
	type choice struct {
		Message, Delta struct{ Content string }
	}
	var all strings.Builder
	texts := []string{r.body}
	if strings.HasPrefix(r.body, "data: ") {
		texts = strings.Split(r.body, "\n\n")
	}
	for _, text := range texts {
		var answer struct{ Choices []choice }
		if json.Unmarshal([]byte(strings.TrimPrefix(text, "data: ")), &answer) == nil {
			for _, c := range answer.Choices {
				all.WriteString(c.Message.Content + c.Delta.Content)
			}
		}
	}
	return all.String()
}

const (
	chatBody   = `{"model":"chat","max_tokens":32,"messages":[{"role":"user","content":"Say something."}]}`
	streamBody = `{"model":"chat","stream":true,"messages":[{"role":"user","content":"Say something."}]}`
)

// post sends a body to a path of the API.
func (r *rig) post(path, body string, headers ...string) reply {
	r.t.Helper()
	request, err := http.NewRequestWithContext(r.t.Context(), http.MethodPost, r.url+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	return r.do(request)
}

func (r *rig) do(request *http.Request) reply {
	r.t.Helper()
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		r.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return reply{status: response.StatusCode, header: response.Header, body: string(text), err: err}
}

// chat asks for a chat completion.
func (r *rig) chat(stream bool) reply {
	r.t.Helper()
	if stream {
		return r.post("/chat/completions", streamBody)
	}
	return r.post("/chat/completions", chatBody)
}

// metric is the sum of a counter's or gauge's series that have these labels.
func (r *rig) metric(name string, labels ...string) float64 {
	r.t.Helper()
	families, err := r.registry.Gather()
	if err != nil {
		r.t.Fatal(err)
	}
	sum := 0.0
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
		for _, m := range family.GetMetric() {
			have := map[string]string{}
			for _, pair := range m.GetLabel() {
				have[pair.GetName()] = pair.GetValue()
			}
			matches := true
			for i := 0; i < len(labels); i += 2 {
				matches = matches && have[labels[i]] == labels[i+1]
			}
			if matches {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return sum
}

// eventually waits for something that happens soon, and fails with what if it does not.
func eventually(t *testing.T, what string, check func() bool) {
	t.Helper()
	deadline := time.After(15 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !check() {
		select {
		case <-deadline:
			t.Fatal(what)
		case <-tick.C:
		}
	}
}
