// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"crypto/tls"
	"net"
	"strconv"
	"time"

	"github.com/turnout-ai/turnout/internal/health"
	"github.com/turnout-ai/turnout/internal/proxy/upstream"
	"github.com/turnout-ai/turnout/internal/routing"
	"github.com/turnout-ai/turnout/internal/wire"
)

// snapshot is a routing table with everything a request needs beside it, worked out once. It never changes;
// the live state it points to does.
type snapshot struct {
	table       *routing.Table
	view        *health.View
	backends    []backend                       // by routing.Endpoint.Index
	policies    map[*routing.Policy]policyState // of every policy of the table
	models      []byte                          // the answer to GET /v1/models in the default namespace
	generation  uint64
	publishedAt time.Time
}

// backend is an endpoint made ready to be called.
type backend struct {
	endpoint *routing.Endpoint
	live     *health.Endpoint
	target   upstream.Target
	// heads are the parts of request heads that never change, by operation.
	heads [operationCount][]byte
	// model is the upstream's model name as a JSON string.
	model []byte
	// format is how its provider writes answers and errors.
	format  wire.Format
	usage   *usageOption
	metrics endpointMetrics
}

// policyState is what there is of a policy beside the table.
type policyState struct {
	metrics *policyMetric
	budget  *retryBudget // nil when the policy has none
}

// formats are the formats of package wire by those of the table.
var formats = map[routing.Format]wire.Format{routing.FormatOpenAI: wire.OpenAI}

const operationCount = int(routing.Embeddings) + 1

// operationPaths are appended to an endpoint's base path.
var operationPaths = [operationCount]string{
	routing.ChatCompletions: "/chat/completions",
	routing.Completions:     "/completions",
	routing.Embeddings:      "/embeddings",
}

// newSnapshot prepares t; last is the snapshot before it, or nil.
func (p *Proxy) newSnapshot(t *routing.Table, last *snapshot) *snapshot {
	s := &snapshot{
		table:       t,
		view:        p.health.Bind(t),
		backends:    make([]backend, len(t.Endpoints)),
		policies:    make(map[*routing.Policy]policyState, len(t.Policies)),
		generation:  1,
		publishedAt: time.Now(),
	}
	kept := newKept(last)
	if last != nil {
		s.generation = last.generation + 1
	}
	for i, e := range t.Endpoints {
		s.backends[i] = p.newBackend(e, s.view.Endpoint(i), kept)
	}
	for _, policy := range t.Policies {
		s.policies[policy] = policyState{metrics: p.metrics.policy(policy), budget: kept.budget(policy)}
	}
	s.models = modelList(t, p.opts.DefaultNamespace)
	return s
}

// kept is what the next snapshot takes over from the last.
type kept struct {
	configs map[string]*tls.Config // by target ID: they carry sessions
	usages  map[string]*usageOption
	budgets map[string]*retryBudget // by the UID of the policy
}

func newKept(last *snapshot) *kept {
	k := &kept{configs: map[string]*tls.Config{}, usages: map[string]*usageOption{}, budgets: map[string]*retryBudget{}}
	if last == nil {
		return k
	}
	for i := range last.backends {
		b := &last.backends[i]
		k.configs[b.target.ID] = b.target.TLS
		k.usages[usageID(b.endpoint)] = b.usage
	}
	for policy, state := range last.policies {
		k.budgets[policy.UID] = state.budget
	}
	return k
}

// usageID names what usageOption is about: an endpoint, as long as it is for the same model at the same place.
func usageID(e *routing.Endpoint) string { return e.UID + "|" + e.URL + "|" + e.Model }

func (k *kept) usage(e *routing.Endpoint) *usageOption {
	if u := k.usages[usageID(e)]; u != nil {
		return u
	}
	return &usageOption{}
}

func (k *kept) budget(p *routing.Policy) *retryBudget {
	if p.RetryPercent == 0 {
		return nil
	}
	if b := k.budgets[p.UID]; b != nil {
		return b
	}
	return &retryBudget{}
}

func (p *Proxy) newBackend(e *routing.Endpoint, live *health.Endpoint, last *kept) backend {
	b := backend{
		endpoint: e,
		live:     live,
		target:   upstream.Target{ID: targetID(e), Address: e.Address},
		model:    wire.EncodeString(e.Model),
		format:   formats[e.Format],
		usage:    last.usage(e),
		metrics:  p.metrics.endpoint(e),
	}
	if e.Scheme == "https" {
		if last.configs[b.target.ID] == nil {
			last.configs[b.target.ID] = tlsConfig(e)
		}
		b.target.TLS = last.configs[b.target.ID]
	}
	for op, path := range operationPaths {
		if path != "" {
			b.heads[op] = requestHead(e, path)
		}
	}
	return b
}

// targetID names what connections can be shared by: the place and how it is verified. Credentials travel in
// requests, so they are no part of it.
func targetID(e *routing.Endpoint) string {
	id := e.Scheme + "://" + e.Address
	if e.Scheme == "https" {
		id += "|" + serverName(e) + "|" + e.TLS.RootsID + "|" + strconv.FormatBool(e.TLS.InsecureSkipVerify)
	}
	return id
}

func tlsConfig(e *routing.Endpoint) *tls.Config {
	return &tls.Config{
		ServerName:         serverName(e),
		RootCAs:            e.TLS.Roots,
		InsecureSkipVerify: e.TLS.InsecureSkipVerify, //nolint:gosec // the user's explicit choice, documented at the field
		NextProtos:         []string{"http/1.1"},
		ClientSessionCache: tls.NewLRUClientSessionCache(0),
		MinVersion:         tls.VersionTLS12,
	}
}

// serverName is the name to verify: what the spec says, else the URL's host without its port.
func serverName(e *routing.Endpoint) string {
	if e.TLS.ServerName != "" {
		return e.TLS.ServerName
	}
	host, _, _ := net.SplitHostPort(e.Address) // Build made the address of both parts
	return host
}

// requestHead writes the part of a head that is the same for every request of an operation. The answer must
// come unencoded: it is read for usage and errors, and passed on byte for byte.
func requestHead(e *routing.Endpoint, path string) []byte {
	head := "POST " + e.BasePath + path + " HTTP/1.1\r\n" +
		"Host: " + e.Host + "\r\n" +
		"Content-Type: application/json\r\n" +
		"Accept-Encoding: identity\r\n"
	if e.Credential.Header != "" {
		head += e.Credential.Header + ": " + e.Credential.Value.Reveal() + "\r\n"
	}
	return []byte(head)
}

func (s *snapshot) targetIDs() []string {
	ids := make([]string, len(s.backends))
	for i := range s.backends {
		ids[i] = s.backends[i].target.ID
	}
	return ids
}
