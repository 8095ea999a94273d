// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"log/slog"
	"time"

	"github.com/turnout-ai/turnout/internal/health"
	"github.com/turnout-ai/turnout/internal/modelstate"
	"github.com/turnout-ai/turnout/internal/quota"
	"github.com/turnout-ai/turnout/internal/routing"
)

const (
	// namespace is that of all endpoints.
	namespace = "models"
	// maxWait is how long a request waits for a grant.
	maxWait = 250 * time.Millisecond
)

// proxy is one process that serves.
type proxy struct {
	*process
	place    *place
	life     *life
	podUID   string
	registry *health.Registry
	view     *health.View
	reporter *reporter
	models   *watcher
	// instance is the UID of the ProxyInstance that it goes by, told what it was granted under it.
	instance string
	told     []quota.EndpointGrant
	// table are the endpoints, by name; epochs what was told of them, by UID.
	table   map[string]*entry
	epochs  map[string]int64
	waiting []*waiter
	// inFlight are attempts under way; ending says that no more requests come.
	inFlight int
	ending   bool
}

// waiter is a request that waits for a grant.
type waiter struct {
	request *request
	name    string
	until   int64
	done    bool
}

// begin starts a process in a place.
func (pl *place) begin() {
	w := pl.w
	p := &proxy{
		process: &process{actor: pl.actor, alive: true}, place: pl,
		registry: health.NewRegistry(slog.New(slog.DiscardHandler)),
		table:    map[string]*entry{}, epochs: map[string]int64{},
	}
	p.registry.Spread(uint64(pl.id) * uint64(37*time.Second))
	if pl.inPod {
		p.podUID = pl.podUID
	}
	pl.current = p
	pl.lives++
	p.reporter = newReporter(p)
	p.life = &life{proxy: p, sent: map[sentKey]int64{}}
	w.audit.processes = append(w.audit.processes, p.life)
	p.models = p.watch(endpoints, "", p.changed)
	p.bind()
	p.start(p.reporter.run)
}

// changed takes in a version of an endpoint.
func (p *proxy) changed(old, next object) {
	before, _ := old.(*modelEndpoint)
	after, _ := next.(*modelEndpoint)
	if p.models == nil {
		return // the first list
	}
	if before == nil || after == nil || before.uid != after.uid || !before.spec.same(&after.spec) || before.deleting != after.deleting {
		p.bind()
	}
	if after != nil && (before == nil || before.uid != after.uid || !sameTransitions(&before.status.state, &after.status.state)) {
		p.learn(after)
	}
}

// learn takes in what the operator has written of an endpoint.
func (p *proxy) learn(e *modelEndpoint) {
	p.epochs[e.uid] = max(p.epochs[e.uid], e.status.state.Epoch)
	p.registry.SetFleet(map[string]modelstate.State{e.uid: e.status.state})
	p.heard()
}

// bind makes a table of what is known of the endpoints.
func (p *proxy) bind() {
	var in routing.Input
	policy := routing.PolicySpec{
		Key: routing.Key{Namespace: namespace, Name: unit.Policy}, UID: unit.Policy, Models: []string{"chat"}, Attempts: 1, Unit: unit,
	}
	for _, name := range p.models.names {
		e := p.models.objects[name].(*modelEndpoint)
		if e.deleting {
			continue
		}
		in.Endpoints = append(in.Endpoints, specOf(e))
		policy.Tiers = []routing.TierSpec{{Endpoints: append(tierOf(policy), name)}}
	}
	in.Policies = []routing.PolicySpec{policy}
	table := routing.Build(in)
	p.view = p.registry.Bind(table)
	before := p.table
	p.table = make(map[string]*entry, len(table.Endpoints))
	for i, routed := range table.Endpoints {
		object := p.models.objects[routed.Key.Name].(*modelEndpoint)
		p.table[routed.Key.Name] = &entry{
			uid: routed.UID, name: routed.Key.Name, index: i, spec: &object.spec, live: p.view.Endpoint(i),
		}
		if was := before[routed.Key.Name]; was == nil || was.uid != routed.UID {
			p.learn(object)
		}
	}
	if p.w.bad(forgotSpent, len(p.table) < len(before)) {
		p.registry.Disowned()
		p.registry.Granted(p.told, 1, p.now())
	}
}

func tierOf(p routing.PolicySpec) []string {
	if len(p.Tiers) == 0 {
		return nil
	}
	return p.Tiers[0].Endpoints
}

// specOf is an endpoint as routing knows it.
func specOf(e *modelEndpoint) routing.EndpointSpec {
	return routing.EndpointSpec{
		Key: routing.Key{Namespace: namespace, Name: e.name}, UID: e.uid, Generation: 1,
		Provider: e.spec.provider, Format: routing.FormatOpenAI, URL: "https://" + e.spec.provider + ".example.com/v1",
		Model: e.spec.model, Configuration: e.spec.model, Capabilities: []string{"chat-completion"}, Delivery: routing.Synchronous,
		Suspended: e.spec.suspended, QuotaPeriod: e.spec.quota, BudgetPeriod: e.spec.budget, QuotaDeclared: e.spec.limits.Requests > 0,
		Limits: e.spec.limits, Maintenance: e.spec.maintenance,
	}
}

// request is what somebody asks of a proxy.
type request struct {
	id uint64
	// names are the endpoints to try, in this order.
	names []string
	// input and output are in tokens; output is how long the answer will be.
	input, output int64
	// takes is how long it takes to the end of the answer.
	takes int64
}

// price is what a token costs, in nano-dollars.
const price = 1000

// serve tries the endpoints in their order. When all are passed over for want of a grant, the request waits for the
// first of them.
func (p *proxy) serve(r *request) {
	now := p.now()
	passedOver, rests := "", (*entry)(nil)
	for _, name := range r.names {
		e, takes, advised := p.candidate(name, now)
		if !takes {
			if rests == nil && advised {
				rests = e
			}
			continue
		}
		if p.attempt(r, e, now) {
			return
		}
		if passedOver == "" {
			passedOver = name
		}
	}
	if passedOver == "" && rests != nil { // the last resort
		if p.attempt(r, rests, now) {
			return
		}
		passedOver = rests.name
	}
	p.refuse(r, passedOver)
}

// candidate reports whether an endpoint takes a request now, and if not, whether it may still be tried when all rest.
func (p *proxy) candidate(name string, now time.Time) (e *entry, takes, advised bool) {
	e = p.table[name]
	if e == nil || e.spec.suspended {
		return e, false, false
	}
	switch standing := p.standing(e, now); standing.Kind {
	case routing.Barred:
		return e, false, false
	case routing.Resting:
		return e, false, standing.Reason.Advice()
	case routing.OnTrial:
		return e, p.view.TakeTrial(e.index, now.UnixNano()), standing.Reason.Advice()
	default:
		return e, true, false
	}
}

// standing is how an endpoint stands here.
func (p *proxy) standing(e *entry, now time.Time) routing.Standing {
	standing := p.view.Standing(e.index, now.UnixNano())
	if p.w.bad(endlessRest, true) {
		if e.rested || standing.Kind == routing.Resting {
			e.rested, standing.Kind, standing.Reason = true, routing.Resting, modelstate.ErrorThreshold
		}
	}
	return standing
}

// refuse lets a request wait for a grant, where one may come.
func (p *proxy) refuse(r *request, name string) {
	if name == "" {
		p.w.counts.refused++
		return
	}
	waiter := &waiter{request: r, name: name, until: p.w.now + int64(maxWait)}
	p.waiting = append(p.waiting, waiter)
	p.w.at(waiter.until, func() {
		if !waiter.done && p.alive {
			waiter.done = true
			p.w.counts.refused++
			p.w.tell(p.actor, "has nothing for a request to "+name)
		}
	})
}

// retry wakes those that wait for a grant.
func (p *proxy) retry() {
	if len(p.waiting) == 0 {
		return
	}
	waiting := p.waiting
	p.waiting = nil
	for _, waiter := range waiting {
		if waiter.done {
			continue
		}
		if e := p.table[waiter.name]; e != nil && p.attempt(waiter.request, e, p.now()) {
			waiter.done = true
			continue
		}
		p.waiting = append(p.waiting, waiter)
	}
}

// attempt hands a request to a provider, if its limits allow.
func (p *proxy) attempt(r *request, e *entry, now time.Time) bool {
	x := &attempt{p: p, r: r, e: e, epoch: p.epochs[e.uid], fails: p.w.providers[e.name].fails, began: now, instance: p.instance}
	x.need = amountsOf(r.input + e.live.ExpectedOutput())
	if e.spec.limits.Tokens > 0 || e.spec.limits.Budget > 0 {
		x.before = e.free(now)
	}
	live, refusal := e.live.Begin(now.UnixNano(), r.id, health.Need{Tokens: x.need[1], Cost: x.need[2], Again: false})
	if refusal.Limit != 0 {
		p.heard()
		return false
	}
	x.live = live
	p.inFlight++
	p.w.audit.admitted(x)
	p.heard()
	p.w.after(r.takes, x.end)
	return true
}

// heard passes on that health has something urgent to say.
func (p *proxy) heard() {
	select {
	case <-p.registry.Urgent():
		p.reporter.want()
	default:
	}
}

// attempt is one request under way to a provider.
type attempt struct {
	p     *proxy
	r     *request
	e     *entry
	live  health.Attempt
	epoch int64
	fails failure
	began time.Time
	// instance is the UID under which it was admitted. need is what was set aside for it, and before what there was
	// before that, where that matters.
	instance     string
	need, before amounts
	accounts     [len(limits)]*account
	holdings     [len(limits)]*holding
}

// end is when the answer is there, or it is clear that none will be.
func (x *attempt) end() {
	p := x.p
	if !p.alive {
		return
	}
	now := p.now()
	p.inFlight--
	if p.w.bad(bookedAtEnd, !x.e.start(quota.Requests, now).Equal(x.e.spec.quota.Start(x.began))) {
		x.live.Refund()
		x.live.Neutral(now.UnixNano(), true)
		if x.live, _ = x.e.live.Begin(now.UnixNano(), x.r.id, health.Need{Tokens: x.need[1], Cost: x.need[2]}); x.live == (health.Attempt{}) {
			return
		}
	}
	limited := x.e.spec.limits.Tokens > 0 || x.e.spec.limits.Budget > 0
	var before amounts
	if limited {
		before = x.e.free(now)
	}
	used := x.produced()
	if x.fails == unconnected || p.w.bad(refundedSent, x.fails == brokenOff) {
		x.live.Refund()
	} else {
		x.settle(used)
	}
	x.outcome(now)
	p.heard()
	var after amounts
	if limited {
		after = x.e.free(now)
	}
	p.w.audit.ended(x, used, before, after)
	p.retry()
	if p.ending && p.inFlight == 0 {
		p.leave()
	}
}

// settle books what was used.
func (x *attempt) settle(used amounts) {
	tokens := modelstate.Tokens{Input: x.r.input, Output: used[1] - x.r.input}
	cost := used[2]
	if x.p.w.bad(unsettled, used[1] > x.need[1]) {
		tokens.Output, cost = x.need[1]-x.r.input, x.need[2]
	}
	x.live.Settle(tokens, cost, x.fails != works)
	if x.fails == works {
		x.live.Answered(x.r.output)
	}
}

// outcome tells how it ended.
func (x *attempt) outcome(now time.Time) {
	switch at := now.UnixNano(); x.fails {
	case works:
		x.live.Success(at, at, 0, now.Sub(x.began))
	case unconnected:
		x.live.Failure(at, health.Unconnected, "no connection")
	case brokenOff:
		x.live.Failure(at, health.BadAnswer, "broken off")
	default:
		x.live.Failure(at, health.ServerError, "503")
	}
}

// produced is what an attempt has used in the end.
func (x *attempt) produced() amounts {
	switch x.fails {
	case works:
		return amountsOf(x.r.input + x.r.output)
	case unconnected:
		return amounts{}
	default:
		return amountsOf(x.r.input)
	}
}

// stop ends the process in order: nothing new, and the last word once all answers are there.
func (p *proxy) stop() {
	p.ending = true
	p.w.tell(p.actor, "begins to drain")
	p.registry.Retire()
	p.heard()
	if p.inFlight == 0 {
		p.leave()
	}
}

func (p *proxy) leave() {
	p.reporter.ending = true
	p.reporter.t.nudge()
}
