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
	backends    []backend                         // by routing.Endpoint.Index
	policies    map[*routing.Policy]*policyMetric // of every policy of the table
	models      []byte                            // the answer to GET /v1/models in the default namespace
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
	model   []byte
	metrics endpointMetrics
}

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
		policies:    make(map[*routing.Policy]*policyMetric, len(t.Policies)),
		generation:  1,
		publishedAt: time.Now(),
	}
	configs := map[string]*tls.Config{}
	if last != nil {
		s.generation = last.generation + 1
		for i := range last.backends { // TLS configurations carry sessions worth keeping
			configs[last.backends[i].target.ID] = last.backends[i].target.TLS
		}
	}
	for i, e := range t.Endpoints {
		s.backends[i] = p.newBackend(e, s.view.Endpoint(i), configs)
	}
	for _, policy := range t.Policies {
		s.policies[policy] = p.metrics.policy(policy)
	}
	s.models = modelList(t, p.opts.DefaultNamespace)
	return s
}

func (p *Proxy) newBackend(e *routing.Endpoint, live *health.Endpoint, configs map[string]*tls.Config) backend {
	b := backend{
		endpoint: e,
		live:     live,
		target:   upstream.Target{ID: targetID(e), Address: e.Address},
		model:    wire.EncodeString(e.Model),
		metrics:  p.metrics.endpoint(e),
	}
	if e.Scheme == "https" {
		if configs[b.target.ID] == nil {
			configs[b.target.ID] = tlsConfig(e)
		}
		b.target.TLS = configs[b.target.ID]
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
