// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/pprof"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/turnout-ai/turnout/internal/health"
	"github.com/turnout-ai/turnout/internal/routing"
)

// AdminHandler serves what operators of the proxy need, on a port of its own that callers do not reach:
// health, metrics, profiles, the table with its live state, and what would be tried for a request.
func (p *Proxy) AdminHandler(metrics prometheus.Gatherer) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", adminIndex)
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { say(w, "ok\n") })
	mux.HandleFunc("GET /readyz", p.adminReady)
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /debug/table", p.adminTable)
	mux.HandleFunc("GET /debug/explain", p.adminExplain)
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	return mux
}

func adminIndex(w http.ResponseWriter, _ *http.Request) {
	say(w, `Turnout proxy, administration
/livez /readyz   health
/metrics         Prometheus metrics
/debug/table     the routing table with live state
/debug/explain   what would be tried: ?model=chat&operation=chat&stream=true&features=Vision&input-tokens=1000
/debug/pprof/    profiles
`)
}

func say(w io.Writer, text string) {
	_, _ = io.WriteString(w, text) // the reader left: nothing to do about it
}

func (p *Proxy) adminReady(w http.ResponseWriter, _ *http.Request) {
	if ready, why := p.Ready(); !ready {
		http.Error(w, why, http.StatusServiceUnavailable)
		return
	}
	say(w, "ok\n")
}

// tableView is the routing table as /debug/table shows it.
type tableView struct {
	Generation  uint64         `json:"generation"`
	PublishedAt time.Time      `json:"publishedAt"`
	Policies    []policyView   `json:"policies"`
	Endpoints   []endpointView `json:"endpoints"`
}

type policyView struct {
	Policy     string     `json:"policy"`
	Models     []string   `json:"models,omitempty"`
	Capability string     `json:"capability,omitempty"`
	Problem    string     `json:"problem,omitempty"`
	Tiers      []tierView `json:"tiers"`
}

type tierView struct {
	Strategy  string   `json:"strategy"`
	Endpoints []string `json:"endpoints"`
}

type endpointView struct {
	Endpoint            string    `json:"endpoint"`
	Provider            string    `json:"provider"`
	Model               string    `json:"model"`
	Address             string    `json:"address"`
	Standby             string    `json:"standby,omitempty"`
	InFlight            int64     `json:"inFlight"`
	ConsecutiveFailures int32     `json:"consecutiveFailures"`
	CooldownUntil       time.Time `json:"cooldownUntil,omitzero"`
	RateLimitedUntil    time.Time `json:"rateLimitedUntil,omitzero"`
	LastSuccess         time.Time `json:"lastSuccess,omitzero"`
	LastFailure         time.Time `json:"lastFailure,omitzero"`
}

func (p *Proxy) adminTable(w http.ResponseWriter, _ *http.Request) {
	s := p.current.Load()
	if s == nil {
		_, why := p.Ready()
		http.Error(w, why, http.StatusServiceUnavailable)
		return
	}
	view := tableView{Generation: s.generation, PublishedAt: s.publishedAt}
	for _, policy := range s.table.Policies {
		view.Policies = append(view.Policies, viewPolicy(policy))
	}
	now := time.Now().UnixNano()
	for i := range s.backends {
		view.Endpoints = append(view.Endpoints, viewEndpoint(&s.backends[i], now))
	}
	writeJSON(w, view)
}

func viewPolicy(policy *routing.Policy) policyView {
	v := policyView{
		Policy: policy.Key.String(), Models: policy.Names, Capability: string(policy.Node),
		Problem: policy.Refused.Message,
	}
	if v.Problem == "" {
		v.Problem = policy.Unresolved.Message
	}
	for _, tier := range policy.Tiers {
		t := tierView{Strategy: tier.Strategy.String(), Endpoints: []string{}}
		for _, e := range tier.Endpoints {
			t.Endpoints = append(t.Endpoints, e.Key.Name)
		}
		v.Tiers = append(v.Tiers, t)
	}
	return v
}

func viewEndpoint(b *backend, now int64) endpointView {
	h := b.live.Read(now)
	return endpointView{
		Endpoint: b.endpoint.Key.String(), Provider: b.endpoint.Provider, Model: b.endpoint.Model,
		Address: b.endpoint.Address, Standby: b.endpoint.Standby.Message,
		InFlight: h.InFlight, ConsecutiveFailures: h.ConsecutiveFailures,
		CooldownUntil: h.CooldownUntil, RateLimitedUntil: h.RateLimitedUntil,
		LastSuccess: h.LastSuccess, LastFailure: h.LastFailure,
	}
}

// explanation is what /debug/explain answers.
type explanation struct {
	Policy   string          `json:"policy"`
	Node     string          `json:"capability,omitempty"`
	Order    []candidateView `json:"order"`
	Excluded []excludedView  `json:"excluded"`
}

type candidateView struct {
	Endpoint     string    `json:"endpoint"`
	Tier         int       `json:"tier"`
	RestingUntil time.Time `json:"restingUntil,omitzero"`
}

type excludedView struct {
	Endpoint string `json:"endpoint"`
	Reason   string `json:"reason"`
	Message  string `json:"message"`
}

// still is live state that is only looked at: explaining a plan must not take a turn from anybody.
type still struct{ *health.View }

func (still) NextTurn(int) uint64 { return 0 }

func (p *Proxy) adminExplain(w http.ResponseWriter, r *http.Request) {
	s := p.current.Load()
	if s == nil {
		_, why := p.Ready()
		http.Error(w, why, http.StatusServiceUnavailable)
		return
	}
	query := r.URL.Query()
	facts, err := explainFacts(query.Get)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	namespace := query.Get("namespace")
	if namespace == "" {
		namespace = p.opts.DefaultNamespace
	}
	route, err := s.table.Resolve(namespace, query.Get("model"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	var plan routing.Plan
	route.Plan(facts, still{s.view}, time.Now().UnixNano(), &plan)
	writeJSON(w, explain(route, &plan))
}

func explain(route *routing.Route, plan *routing.Plan) explanation {
	e := explanation{
		Policy: route.Policy.Key.String(), Node: string(route.Node),
		Order: []candidateView{}, Excluded: []excludedView{},
	}
	for _, c := range plan.Order {
		v := candidateView{Endpoint: c.Endpoint.Key.Name, Tier: c.Tier + 1}
		if c.RestingUntil != 0 {
			v.RestingUntil = time.Unix(0, c.RestingUntil)
		}
		e.Order = append(e.Order, v)
	}
	for _, x := range plan.Excluded {
		e.Excluded = append(e.Excluded, excludedView{x.Endpoint.Key.Name, x.Reason.String(), x.Message()})
	}
	return e
}

// explainFacts reads what the request to explain would ask for.
func explainFacts(get func(string) string) (routing.Facts, error) {
	facts := routing.Facts{Delivery: routing.Synchronous}
	operation, known := routing.ParseOperation(get("operation"))
	if !known {
		return facts, fmt.Errorf("operation=%q is not known; use chat, completions or embeddings", get("operation"))
	}
	facts.Operation = operation
	if stream, err := strconv.ParseBool(orFalse(get("stream"))); err != nil {
		return facts, fmt.Errorf("stream=%q is not a boolean; use true or false", get("stream"))
	} else if stream {
		facts.Delivery = routing.Streaming
	}
	for name := range strings.SplitSeq(get("features"), ",") {
		feature, ok := routing.ParseFeature(name)
		if !ok && name != "" {
			return facts, fmt.Errorf("features: %q is not a feature", name)
		}
		facts.Features |= feature
	}
	var err error
	if facts.InputTokens, err = parseCount(get, "input-tokens"); err != nil {
		return facts, err
	}
	facts.MaxOutputTokens, err = parseCount(get, "max-tokens")
	return facts, err
}

func orFalse(s string) string {
	if s == "" {
		return "false"
	}
	return s
}

func parseCount(get func(string) string, name string) (int64, error) {
	s := get(name)
	if s == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("%s=%q is not a count of tokens", name, s)
	}
	return n, nil
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	_ = encoder.Encode(v) // the reader left: nothing to do about it
}
