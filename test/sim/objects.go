// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"slices"
	"time"

	"github.com/turnout-ai/turnout/internal/calendar"
	"github.com/turnout-ai/turnout/internal/modelstate"
	"github.com/turnout-ai/turnout/internal/quota"
	"github.com/turnout-ai/turnout/internal/routing"
)

// kind is a kind of objects.
type kind uint8

// The kinds.
const (
	endpoints kind = iota
	instances
	reports
	leases
	pods
	kinds
)

// meta is what all objects have.
type meta struct {
	name, uid string
	version   int64
	// generation counts the changes of the spec.
	generation int64
	created    time.Time
	// deleting objects are kept by their finalizer.
	deleting, finalizer bool
	// owner is the UID of the object that this one goes with.
	owner string
}

func (m *meta) head() *meta { return m }

// object is a version of an object. It never changes: a write makes another one.
type object interface {
	head() *meta
	clone() object
	same(other object) bool
	// size is about how many bytes it has.
	size() int
}

// newest remembers what an operator has written and its cache does not show yet, by name.
type newest map[string]ownWrite

// ownWrite is an object as the API server has returned it, and the versions that it came after.
type ownWrite struct {
	object *modelEndpoint
	before []int64
}

// wrote remembers an object that was made from that version.
func (n newest) wrote(from int64, e *modelEndpoint) {
	before := []int64{from}
	if last, known := n[e.name]; known && last.object.version == from && last.object.uid == e.uid {
		before = append(slices.Clip(last.before), from)
	}
	n[e.name] = ownWrite{e, before}
}

// of is the newest that is known of an object.
func (n newest) of(cached *modelEndpoint) *modelEndpoint {
	own, known := n[cached.name]
	switch {
	case !known:
		return cached
	case own.object.uid == cached.uid && slices.Contains(own.before, cached.version):
		return own.object
	default:
		delete(n, cached.name)
		return cached
	}
}

// modelEndpoint is a ModelEndpoint.
type modelEndpoint struct {
	meta
	spec   endpointSpec
	status endpointStatus
}

// endpointSpec is the user's half.
type endpointSpec struct {
	provider string
	// model is what identifies the endpoint's configuration.
	model         string
	limits        routing.Limits
	quota, budget calendar.Period
	suspended     bool
	maintenance   []calendar.Window
}

// limit is the amount of a limit; 0 without one.
func (s *endpointSpec) limit(limit quota.Limit) int64 {
	switch limit {
	case quota.Requests:
		return s.limits.Requests
	case quota.Tokens:
		return s.limits.Tokens
	default:
		return s.limits.Budget
	}
}

// period is the period of a limit.
func (s *endpointSpec) period(limit quota.Limit) calendar.Period {
	if limit == quota.Budget {
		return s.budget
	}
	return s.quota
}

// endpointStatus is the operator's half.
type endpointStatus struct {
	state  modelstate.State
	fold   modelstate.Fold
	ledger quota.Ledger
	tally  tally
	// limits are how the limits stand.
	limits []limitUse
}

// tally is what is shown of what was counted.
type tally struct {
	quota, previousQuota, budget, previousBudget modelstate.PeriodUsage
	lastRequest, lastFailure                     time.Time
	rate                                         modelstate.Rate
}

func (e *modelEndpoint) clone() object { next := *e; return &next }

func (e *modelEndpoint) same(other object) bool {
	o, ok := other.(*modelEndpoint)
	return ok && e.deleting == o.deleting && e.spec.same(&o.spec) && e.status.same(&o.status)
}

func (s *endpointSpec) same(o *endpointSpec) bool {
	return s.provider == o.provider && s.model == o.model && s.limits == o.limits && s.suspended == o.suspended &&
		s.quota == o.quota && s.budget == o.budget && len(s.maintenance) == len(o.maintenance)
}

func (s *endpointStatus) same(o *endpointStatus) bool {
	return sameState(&s.state, &o.state) && s.tally == o.tally &&
		slices.Equal(s.fold.Quota, o.fold.Quota) && slices.Equal(s.fold.Budget, o.fold.Budget) &&
		slices.Equal(s.fold.Instances, o.fold.Instances) && sameLedger(&s.ledger, &o.ledger) &&
		slices.Equal(s.limits, o.limits)
}

// onlyNumbers reports whether two statuses tell the same but for what was counted and measured.
func (s *endpointStatus) onlyNumbers(o *endpointStatus) bool {
	return sameTransitions(&s.state, &o.state)
}

func sameState(a, b *modelstate.State) bool {
	return sameTransitions(a, b) && a.EarlierFailures == b.EarlierFailures && a.FailureCount == b.FailureCount && a.Probe == b.Probe
}

func sameTransitions(a, b *modelstate.State) bool {
	if (a.Trial == nil) != (b.Trial == nil) || a.Trial != nil && !sameTrial(a.Trial, b.Trial) {
		return false
	}
	return a.Epoch == b.Epoch && a.Configuration == b.Configuration && a.Trips == b.Trips && a.Evidence == b.Evidence &&
		a.Withdrawn == b.Withdrawn && a.LastTransition.Equal(b.LastTransition) && slices.EqualFunc(a.Verdicts, b.Verdicts, sameVerdict)
}

func sameVerdict(a, b modelstate.Verdict) bool {
	return a.Reason == b.Reason && a.Since.Equal(b.Since) && a.Until.Equal(b.Until) && a.Message == b.Message &&
		a.Trial == b.Trial && slices.Equal(a.Policies, b.Policies)
}

func sameTrial(a, b *modelstate.Trial) bool {
	return a.Since.Equal(b.Since) && a.InitialPercent == b.InitialPercent && a.Ramp == b.Ramp && a.Successes == b.Successes &&
		slices.Equal(a.Policies, b.Policies)
}

func sameLedger(a, b *quota.Ledger) bool {
	return slices.EqualFunc(a.Accounts, b.Accounts, func(x, y quota.Account) bool {
		return x.Key == y.Key && x.End.Equal(y.End) && x.Closed == y.Closed && x.Wanted == y.Wanted && slices.Equal(x.Leases, y.Leases)
	})
}

func (e *modelEndpoint) size() int {
	size := 2500 + 60*len(e.status.fold.Instances) + 300*(len(e.status.fold.Quota)+len(e.status.fold.Budget)) + 150*len(e.status.limits)
	for i := range e.status.ledger.Accounts {
		size += 140 + 110*len(e.status.ledger.Accounts[i].Leases)
	}
	return size
}

// proxyInstance is a ProxyInstance.
type proxyInstance struct {
	meta
	spec   instanceSpec
	status instanceStatus
}

// instanceSpec is the operator's half.
type instanceSpec struct {
	interval time.Duration
	proxies  int
	grants   []quota.EndpointGrant
}

// instanceStatus is the proxy's half.
type instanceStatus struct {
	version      string
	pages        int
	signals      []modelstate.Signal
	isolated     bool
	asks         []quota.EndpointAsk
	ended, final bool
}

func (i *proxyInstance) clone() object { next := *i; return &next }

func (i *proxyInstance) same(other object) bool {
	o, ok := other.(*proxyInstance)
	return ok && i.deleting == o.deleting && i.finalizer == o.finalizer && i.spec.same(&o.spec) && i.status.same(&o.status)
}

func (s *instanceSpec) same(o *instanceSpec) bool {
	return s.interval == o.interval && s.proxies == o.proxies && slices.EqualFunc(s.grants, o.grants, sameGrants)
}

func sameGrants(a, b quota.EndpointGrant) bool {
	return a.Endpoint == b.Endpoint && slices.Equal(a.Grants, b.Grants)
}

func sameAsks(a, b quota.EndpointAsk) bool {
	return a.Endpoint == b.Endpoint && slices.Equal(a.Asks, b.Asks)
}

func sameSignals(a, b modelstate.Signal) bool {
	counts := func(s *modelstate.Signal) [6]int64 {
		return [6]int64{s.Epoch, s.Failures, s.Requests, s.Connect, s.Outage, s.Successes}
	}
	times := func(s *modelstate.Signal) [5]time.Time {
		return [5]time.Time{s.Since, s.LastFailure, s.LastSuccess, s.PreviousSuccess, s.RateLimitedUntil}
	}
	return a.Endpoint == b.Endpoint && counts(&a) == counts(&b) && times(&a) == times(&b) && a.Message == b.Message &&
		slices.Equal(a.Statements, b.Statements)
}

func (s *instanceStatus) same(o *instanceStatus) bool {
	return s.version == o.version && s.pages == o.pages && s.isolated == o.isolated && s.ended == o.ended && s.final == o.final &&
		slices.EqualFunc(s.signals, o.signals, sameSignals) && slices.EqualFunc(s.asks, o.asks, sameAsks)
}

func (i *proxyInstance) size() int {
	size := 900 + 250*len(i.status.signals)
	for k := range i.spec.grants {
		size += 120 + 130*len(i.spec.grants[k].Grants)
	}
	for k := range i.status.asks {
		size += 120 + 130*len(i.status.asks[k].Asks)
	}
	return size
}

// proxyReport is a ProxyReport: a page of what one process has counted.
type proxyReport struct {
	meta
	instance, instanceUID string
	index                 int
	sealed                bool
	numbers               []modelstate.Numbers
}

func (r *proxyReport) clone() object { next := *r; return &next }

func (r *proxyReport) same(other object) bool {
	o, ok := other.(*proxyReport)
	return ok && r.deleting == o.deleting && r.finalizer == o.finalizer && r.sealed == o.sealed && sameSheet(r.numbers, o.numbers)
}

func (r *proxyReport) size() int { return 400 + 600*len(r.numbers) }

// sameSheet reports whether a page says what was written before. That old buckets have left the window is no change.
func sameSheet(before, now []modelstate.Numbers) bool {
	return slices.EqualFunc(before, now, func(b, n modelstate.Numbers) bool {
		return b.Endpoint == n.Endpoint && slices.Equal(b.Quota, n.Quota) && slices.Equal(b.Budget, n.Budget) &&
			b.LastRequest.Equal(n.LastRequest) && b.LastFailure.Equal(n.LastFailure) &&
			slices.Equal(since(b.Window, n.Window), n.Window)
	})
}

// since is what is left of an older window in a newer one.
func since(before, now []modelstate.Bucket) []modelstate.Bucket {
	if len(now) == 0 {
		return nil
	}
	first := slices.IndexFunc(before, func(b modelstate.Bucket) bool { return !b.Start.Before(now[0].Start) })
	if first < 0 {
		return nil
	}
	return before[first:]
}

// lease is a Lease.
type lease struct {
	meta
	renewed time.Time
}

func (l *lease) clone() object { next := *l; return &next }

func (l *lease) same(other object) bool {
	o, ok := other.(*lease)
	return ok && l.renewed.Equal(o.renewed) && l.deleting == o.deleting
}

func (l *lease) size() int { return 500 }

// pod is a Pod with one container.
type pod struct {
	meta
	restarts int
	// started is when its container did.
	started time.Time
}

func (p *pod) clone() object { next := *p; return &next }

func (p *pod) same(other object) bool {
	o, ok := other.(*pod)
	return ok && p.restarts == o.restarts && p.started.Equal(o.started) && p.deleting == o.deleting
}

func (p *pod) size() int { return 3000 }
