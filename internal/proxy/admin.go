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
	"github.com/turnout-ai/turnout/internal/modelstate"
	"github.com/turnout-ai/turnout/internal/pricing"
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
/debug/explain   what would be tried: ?model=chat&operation=chat&stream=true&features=Vision&input-tokens=1000&pinned=true
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
	Endpoint string `json:"endpoint"`
	Provider string `json:"provider"`
	Model    string `json:"model"`
	Address  string `json:"address"`
	Standby  string `json:"standby,omitempty"`
	// Standing is how it stands in all: InService, OnTrial, Resting or Barred; Reason and Until say more.
	Standing string    `json:"standing"`
	Reason   string    `json:"reason,omitempty"`
	Until    time.Time `json:"until,omitzero"`
	// CooldownRemaining is how long it is until then.
	CooldownRemaining string    `json:"cooldownRemaining,omitempty"`
	TrialPercent      int64     `json:"trialPercent,omitempty"`
	InFlight          int64     `json:"inFlight"`
	Fleet             fleetView `json:"fleet"`
	Local             localView `json:"local"`
	// Quota and Budget are the use in their current periods, as this process has counted it.
	Quota  *usageView `json:"quotaPeriod,omitempty"`
	Budget *usageView `json:"budgetPeriod,omitempty"`
	// Limits are those of the endpoint, and what this proxy may use of them.
	Limits []limitView `json:"limits,omitempty"`
}

// limitView is one limit. Amounts are whole numbers, or US dollars.
type limitView struct {
	Limit  string `json:"limit"`
	Amount string `json:"amount"`
	// Granted, Spent and Free are of this proxy, in the period that ends then.
	Granted string    `json:"granted,omitempty"`
	Spent   string    `json:"spent,omitempty"`
	Free    string    `json:"free,omitempty"`
	Ends    time.Time `json:"ends,omitzero"`
	// Share is this proxy's part of a limit that holds no period.
	Share string `json:"share,omitempty"`
	// Summary says the same in words.
	Summary string `json:"summary"`
}

// fleetView is what the operator has written.
type fleetView struct {
	Epoch   int64    `json:"epoch"`
	Status  string   `json:"status"`
	Reasons []string `json:"reasons,omitempty"`
	// Passed over: it is about another url, model or credential.
	PassedOver bool `json:"passedOver,omitempty"`
}

// localView is what this proxy has seen.
type localView struct {
	Epoch               int64     `json:"epoch"`
	ConsecutiveFailures int64     `json:"consecutiveFailures"`
	Successes           int64     `json:"successes"`
	Message             string    `json:"message,omitempty"`
	CooldownUntil       time.Time `json:"cooldownUntil,omitzero"`
	RateLimitedUntil    time.Time `json:"rateLimitedUntil,omitzero"`
	Statements          []string  `json:"statements,omitempty"`
	LastSuccess         time.Time `json:"lastSuccess,omitzero"`
	LastFailure         time.Time `json:"lastFailure,omitzero"`
}

type usageView struct {
	Start             time.Time `json:"start"`
	Requests          int64     `json:"requests"`
	InputTokens       int64     `json:"inputTokens"`
	OutputTokens      int64     `json:"outputTokens"`
	Cost              string    `json:"costUSD"`
	EstimatedRequests int64     `json:"estimatedRequests,omitempty"`
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
	h, standing := b.live.Read(now), b.live.Standing(now)
	v := endpointView{
		Endpoint: b.endpoint.Key.String(), Provider: b.endpoint.Provider, Model: b.endpoint.Model,
		Address: b.endpoint.Address, Standby: b.endpoint.Standby.Message,
		Standing: standingNames[standing.Kind], Reason: standing.Reason.String(), Until: moment(standing.Until),
		CooldownRemaining: standing.CooldownRemaining(now), InFlight: h.InFlight,
		Fleet: fleetView{Epoch: h.Fleet.Epoch, Status: "Active", PassedOver: h.Foreign},
		Local: localView{
			Epoch: h.Epoch, ConsecutiveFailures: h.Failures, Successes: h.Successes, Message: h.Message,
			CooldownUntil: h.RestingUntil, RateLimitedUntil: h.RateLimitedUntil,
			LastSuccess: h.LastSuccess, LastFailure: h.LastFailure,
		},
		Quota: viewUsage(h.Quota), Budget: viewUsage(h.Budget), Limits: viewLimits(h.Limits),
	}
	if standing.Kind == routing.OnTrial {
		v.TrialPercent = h.TrialPercent
	}
	if !h.Fleet.Active() {
		v.Fleet.Status = "Standby"
	}
	for i := range h.Fleet.Verdicts {
		v.Fleet.Reasons = append(v.Fleet.Reasons, h.Fleet.Verdicts[i].Reason.String())
	}
	for _, s := range h.Statements {
		v.Local.Statements = append(v.Local.Statements, s.Reason.String()+": "+s.Message)
	}
	return v
}

var standingNames = [...]string{
	routing.InService: "InService", routing.OnTrial: "OnTrial", routing.Resting: "Resting", routing.Barred: "Barred",
}

// moment turns Unix nanoseconds into a time; 0 is none.
func moment(at int64) time.Time {
	if at == 0 {
		return time.Time{}
	}
	return time.Unix(0, at)
}

// viewUsage shows the newest period; nil when there is none.
func viewUsage(periods []modelstate.PeriodUsage) *usageView {
	if len(periods) == 0 {
		return nil
	}
	u := &periods[len(periods)-1]
	return &usageView{
		Start: u.Start, Requests: u.Requests, InputTokens: u.Tokens.Input, OutputTokens: u.Tokens.Output,
		Cost: pricing.Format(u.Cost), EstimatedRequests: u.Estimated.Requests,
	}
}

func viewLimits(readings []health.LimitReading) []limitView {
	var views []limitView
	for i := range readings {
		views = append(views, viewLimit(&readings[i]))
	}
	return views
}

func viewLimit(r *health.LimitReading) limitView {
	say := func(n int64) string { return amountOf(r.Limit, n) }
	v := limitView{Limit: r.Limit.String(), Amount: say(r.Amount), Ends: r.Ends}
	switch {
	case r.Limit == health.ConcurrentRequests:
		v.Share, v.Spent = say(r.Share), say(r.Spent)
		v.Summary = fmt.Sprintf("at most %s at once over all proxies; this one may have %s under way, and has %s", v.Amount, v.Share, v.Spent)
	case r.Limit.Reason() == 0:
		v.Share = say(r.Share)
		v.Summary = fmt.Sprintf("at most %s over all proxies; this one may use %s", v.Amount, v.Share)
	default:
		v.Granted, v.Spent, v.Free = say(r.Granted), say(r.Spent), say(r.Free)
		v.Summary = fmt.Sprintf("at most %s over all proxies until %s; this one was lent %s, has used or set aside %s, and may use %s",
			v.Amount, r.Ends.Format(time.RFC3339), v.Granted, v.Spent, say(max(r.Free, 0)))
	}
	return v
}

// amountOf writes an amount of a limit: US dollars for the budget.
func amountOf(limit health.Limit, n int64) string {
	switch {
	case limit != health.Budget:
		return strconv.FormatInt(n, 10)
	case n < 0:
		return "-" + pricing.Format(-n)
	default:
		return pricing.Format(n)
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
	Endpoint          string    `json:"endpoint"`
	Tier              int       `json:"tier"`
	Standing          string    `json:"standing"`
	RestingUntil      time.Time `json:"restingUntil,omitzero"`
	CooldownRemaining string    `json:"cooldownRemaining,omitempty"`
	// Limits are what this proxy may use of the endpoint: one at a limit is passed over.
	Limits []limitView `json:"limits,omitempty"`
}

type excludedView struct {
	Endpoint          string      `json:"endpoint"`
	Reason            string      `json:"reason"`
	Message           string      `json:"message"`
	CooldownRemaining string      `json:"cooldownRemaining,omitempty"`
	Limits            []limitView `json:"limits,omitempty"`
}

// still is live state that is only looked at: explaining a plan must not take a turn from anybody.
type still struct{ *health.View }

func (still) NextTurn(int) uint64 { return 0 }

func (still) TakeTrial(int, int64) bool { return true }

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
	now := time.Now().UnixNano()
	route.Plan(facts, still{s.view}, now, &plan)
	writeJSON(w, explain(route, &plan, s.view, now))
}

func explain(route *routing.Route, plan *routing.Plan, view *health.View, now int64) explanation {
	e := explanation{
		Policy: route.Policy.Key.String(), Node: string(route.Node),
		Order: []candidateView{}, Excluded: []excludedView{},
	}
	for _, c := range plan.Order {
		e.Order = append(e.Order, candidateView{
			Endpoint: c.Endpoint.Key.Name, Tier: c.Tier + 1,
			Standing: standingNames[c.Standing.Kind], RestingUntil: moment(c.Standing.Until),
			CooldownRemaining: c.Standing.CooldownRemaining(now),
			Limits:            viewLimits(view.Endpoint(c.Endpoint.Index).ReadLimits(now)),
		})
	}
	for _, x := range plan.Excluded {
		e.Excluded = append(e.Excluded, excludedView{
			Endpoint: x.Endpoint.Key.Name, Reason: x.Reason.String(), Message: x.MessageAt(now),
			CooldownRemaining: x.Standing.CooldownRemaining(now),
			Limits:            viewLimits(view.Endpoint(x.Endpoint.Index).ReadLimits(now)),
		})
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
	pinned, err := strconv.ParseBool(orFalse(get("pinned")))
	if err != nil {
		return facts, fmt.Errorf("pinned=%q is not a boolean; use true or false", get("pinned"))
	}
	facts.Pinned = pinned
	for name := range strings.SplitSeq(get("features"), ",") {
		feature, ok := routing.ParseFeature(name)
		if !ok && name != "" {
			return facts, fmt.Errorf("features: %q is not a feature", name)
		}
		facts.Features |= feature
	}
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
