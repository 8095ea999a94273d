// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/turnout-ai/turnout/internal/health"
	"github.com/turnout-ai/turnout/internal/pricing"
	"github.com/turnout-ai/turnout/internal/routing"
	"github.com/turnout-ai/turnout/internal/wire"
)

// metrics are what Prometheus reads. The common case of every request goes through counters that were looked
// up when the table was published; everything else is looked up as it happens.
type metrics struct {
	requests   *prometheus.CounterVec
	duration   *prometheus.HistogramVec
	attempts   *prometheus.CounterVec
	tokensUsed *prometheus.CounterVec
	cost       *prometheus.CounterVec
	ttft       *prometheus.HistogramVec
	refusals   *prometheus.CounterVec
	waits      *prometheus.CounterVec
	waitTime   prometheus.Histogram
	overBudget *prometheus.CounterVec
	opened     prometheus.Counter
	panics     prometheus.Counter
}

// The labels of the metrics.
const (
	labelNamespace = "namespace"
	labelPolicy    = "policy"
	labelEndpoint  = "endpoint"
	labelOperation = "operation"
)

// durationBuckets reach from a cached embedding to a long reasoning answer, in seconds.
var durationBuckets = []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 20, 40, 80, 160, 320, 640}

func newMetrics(p *Proxy, reg prometheus.Registerer) *metrics {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "turnout_requests_total",
			Help: "Requests that ended, by policy (empty when the name resolved to none) and the status given to the caller; 499 when the caller left.",
		}, []string{labelNamespace, labelPolicy, labelOperation, "status"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "turnout_request_duration_seconds",
			Help:    "Time from a request's head to the last byte of its answer.",
			Buckets: durationBuckets,
		}, []string{labelNamespace, labelPolicy, labelOperation}),
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "turnout_attempts_total",
			Help: "Attempts at an endpoint, by what they came to.",
		}, []string{labelNamespace, labelEndpoint, "outcome"}),
		tokensUsed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "turnout_tokens_total",
			Help: "Tokens that attempts used, by type. As the provider said it: input (which includes cached_input) and output (which includes reasoning). Where it did not say, beside them: estimated_input and estimated_output.",
		}, []string{labelNamespace, labelEndpoint, "type"}),
		cost: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "turnout_cost_usd_total",
			Help: "US dollars that attempts cost at the endpoint's price, estimates included; absent for endpoints without one.",
		}, []string{labelNamespace, labelEndpoint}),
		ttft: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "turnout_time_to_first_token_seconds",
			Help:    "Time from the beginning of an attempt to the first content of its streamed answer.",
			Buckets: durationBuckets,
		}, []string{labelNamespace, labelEndpoint}),
		refusals: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "turnout_limit_refusals_total",
			Help: "Times that an endpoint was passed over because it was at a limit, by limit: Requests, Tokens, Budget, RequestsPerMinute, TokensPerMinute or ConcurrentRequests. Each is no attempt.",
		}, []string{labelNamespace, labelEndpoint, "limit"}),
		waits: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "turnout_limit_waits_total",
			Help: "Requests that waited for an endpoint at a limit because no other was left, by outcome: granted, refused, or client_disconnect when the caller left.",
		}, []string{"outcome"}),
		waitTime: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "turnout_limit_wait_seconds",
			Help:    "How long requests waited for an endpoint at a limit, at most 250 milliseconds.",
			Buckets: []float64{.001, .005, .01, .02, .03, .04, .05, .075, .1, .15, .2, .25, .3},
		}),
		overBudget: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "turnout_retry_budget_spent_total",
			Help: "Requests that made no further attempt because the retry budget of their policy was spent.",
		}, []string{labelNamespace, labelPolicy}),
		opened: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "turnout_streams_kept_waiting_total",
			Help: "Streams whose callers got a comment before any content, because that took longer than timeouts.commitAfter.",
		}),
		panics: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "turnout_panics_total",
			Help: "Requests that failed by a panic in the proxy. Each is a defect.",
		}),
	}
	if reg != nil {
		reg.MustRegister(m.requests, m.duration, m.attempts, m.tokensUsed, m.cost, m.ttft, m.refusals, m.waits, m.waitTime, m.overBudget, m.opened, m.panics)
		registerGauges(p, reg)
	}
	return m
}

// registerGauges registers what is read when it is asked for.
func registerGauges(p *Proxy, reg prometheus.Registerer) {
	gauge := func(name, help string, read func() float64) {
		reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, read))
	}
	counter := func(name, help string, read func() float64) {
		reg.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, read))
	}
	gauge("turnout_requests_in_flight", "Requests being served.", func() float64 { return float64(p.inFlight.Load()) })
	gauge("turnout_connections_open", "Connections of callers.", func() float64 { return float64(p.server.GetOpenConnectionsCount()) })
	gauge("turnout_request_body_bytes", "Bytes of request bodies held, of the budget.", func() float64 {
		return float64(p.opts.BodyBudget - p.bodies.budget.left.Load())
	})
	gauge("turnout_table_generation", "How many tables this process has published.", func() float64 {
		if s := p.current.Load(); s != nil {
			return float64(s.generation)
		}
		return 0
	})
	gauge("turnout_endpoints_resting", "Endpoints this proxy tries only when nothing better is left.", func() float64 { return p.standing(routing.Resting) })
	gauge("turnout_endpoints_barred", "Endpoints this proxy does not try, for a reason that nothing overrides.", func() float64 { return p.standing(routing.Barred) })
	gauge("turnout_isolated", "1 while this proxy blames its own network: it can connect to no provider, and reports no failures.", func() float64 {
		if p.health.Isolated(time.Now()) {
			return 1
		}
		return 0
	})
	counter("turnout_access_log_dropped_total", "Access log lines lost because they could not be written fast enough.", func() float64 {
		if p.opts.AccessLog == nil {
			return 0
		}
		return float64(p.opts.AccessLog.dropped.Load())
	})
}

// standing is how many endpoints stand so.
func (p *Proxy) standing(kind routing.StandingKind) float64 {
	s := p.current.Load()
	if s == nil {
		return 0
	}
	n, now := 0, time.Now().UnixNano()
	for i := range s.backends {
		if s.view.Standing(i, now).Kind == kind {
			n++
		}
	}
	return float64(n)
}

// policyMetric holds the counters of a policy's ordinary requests, by operation.
type policyMetric struct {
	ok       [operationCount]prometheus.Counter
	duration [operationCount]prometheus.Observer
}

func (m *metrics) policy(p *routing.Policy) *policyMetric {
	pm := &policyMetric{}
	for op, name := range operationNames {
		if name == "" {
			continue // 0 is no operation
		}
		pm.ok[op] = m.requests.WithLabelValues(p.Key.Namespace, p.Key.Name, name, "200")
		pm.duration[op] = m.duration.WithLabelValues(p.Key.Namespace, p.Key.Name, name)
	}
	return pm
}

// forget drops the series of what was in the last table and is not in the next.
func (m *metrics) forget(last, next *routing.Table) {
	for _, p := range last.Policies {
		if next.Policy(p.Key) == nil {
			gone := prometheus.Labels{labelNamespace: p.Key.Namespace, labelPolicy: p.Key.Name}
			m.requests.DeletePartialMatch(gone)
			m.duration.DeletePartialMatch(gone)
			m.overBudget.DeletePartialMatch(gone)
		}
	}
	for _, e := range last.Endpoints {
		if next.Endpoint(e.Key) == nil {
			gone := prometheus.Labels{labelNamespace: e.Key.Namespace, labelEndpoint: e.Key.Name}
			m.attempts.DeletePartialMatch(gone)
			m.tokensUsed.DeletePartialMatch(gone)
			m.cost.DeletePartialMatch(gone)
			m.ttft.DeletePartialMatch(gone)
			m.refusals.DeletePartialMatch(gone)
		}
	}
}

// settle counts a request that has ended.
func (m *metrics) settle(r *request) {
	policy := r.route.Policy
	if policy == nil {
		m.requests.WithLabelValues("", "", operationNames[r.op], strconv.Itoa(r.log.status)).Inc()
		return
	}
	if r.overBudget {
		m.overBudget.WithLabelValues(policy.Key.Namespace, policy.Key.Name).Inc()
	}
	pm := r.snap.policies[policy].metrics
	pm.duration[r.op].Observe(r.log.duration.Seconds())
	if r.log.status == 200 && r.log.problem == "" {
		pm.ok[r.op].Inc()
		return
	}
	status := strconv.Itoa(r.log.status)
	if r.log.problem == string(outcomeClientGone) {
		status = strconv.Itoa(statusClientClosed)
	}
	m.requests.WithLabelValues(policy.Key.Namespace, policy.Key.Name, operationNames[r.op], status).Inc()
}

// endpointMetrics are the counters of one endpoint.
type endpointMetrics struct {
	all           *metrics
	key           routing.Key
	success       prometheus.Counter
	input, output prometheus.Counter
	cost          prometheus.Counter // nil without a price
	ttft          prometheus.Observer
	refusals      []prometheus.Counter // by health.Limit; nil without limits
}

func (m *metrics) endpoint(e *routing.Endpoint) endpointMetrics {
	ns, name := e.Key.Namespace, e.Key.Name
	em := endpointMetrics{
		all: m, key: e.Key,
		success: m.attempts.WithLabelValues(ns, name, string(outcomeSuccess)),
		input:   m.tokensUsed.WithLabelValues(ns, name, "input"),
		output:  m.tokensUsed.WithLabelValues(ns, name, "output"),
		ttft:    m.ttft.WithLabelValues(ns, name),
	}
	if e.Priced {
		em.cost = m.cost.WithLabelValues(ns, name)
	}
	for _, l := range health.Limits {
		if l.Of(&e.Limits) == 0 {
			continue
		}
		if em.refusals == nil {
			em.refusals = make([]prometheus.Counter, len(health.Limits)+1)
		}
		em.refusals[l] = m.refusals.WithLabelValues(ns, name, l.String())
	}
	return em
}

// refused counts that the endpoint was passed over because of a limit. The limit may be newer than the table of the
// request.
func (e *endpointMetrics) refused(l health.Limit) {
	if int(l) < len(e.refusals) && e.refusals[l] != nil {
		e.refusals[l].Inc()
		return
	}
	e.all.refusals.WithLabelValues(e.key.Namespace, e.key.Name, l.String()).Inc()
}

// attempt counts an attempt that came to o.
func (e *endpointMetrics) attempt(o outcome) {
	if o == outcomeSuccess {
		e.success.Inc()
		return
	}
	e.all.attempts.WithLabelValues(e.key.Namespace, e.key.Name, string(o)).Inc()
}

// used counts what an attempt used, and its cost in nano-dollars.
func (e *endpointMetrics) used(u wire.Usage, cost int64, estimated bool) {
	if e.cost != nil {
		e.cost.Add(float64(cost) / pricing.Dollar)
	}
	if estimated {
		e.tokens("estimated_input", u.Input)
		e.tokens("estimated_output", u.Output)
		return
	}
	e.input.Add(float64(u.Input))
	e.output.Add(float64(u.Output))
	e.tokens("cached_input", u.CachedInput)
	e.tokens("reasoning", u.Reasoning)
}

// tokens counts tokens of a type that most answers have none of.
func (e *endpointMetrics) tokens(kind string, n int64) {
	if n > 0 {
		e.all.tokensUsed.WithLabelValues(e.key.Namespace, e.key.Name, kind).Add(float64(n))
	}
}
