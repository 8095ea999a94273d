// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"k8s.io/utils/clock"

	"github.com/turnout-ai/turnout/internal/modelstate"
	"github.com/turnout-ai/turnout/internal/quota"
	"github.com/turnout-ai/turnout/internal/routing"
	"github.com/turnout-ai/turnout/internal/translate"
)

const (
	// probesAtOnce bounds the probes and dials under way.
	probesAtOnce = 8
	// probeJitter is how much of an interval a probe comes earlier or later, so that endpoints that were created
	// together are not probed together for ever.
	probeJitter = 0.1
	// probeSpread is how long the first probes of endpoints that came together are spread over.
	probeSpread = time.Second
	// dialEvery is how often one endpoint is dialed at most.
	dialEvery = time.Second
	// idleProber is how long a prober without work waits to be woken.
	idleProber = time.Hour
)

// Prober asks providers for the operator whether they are there: by probes, as endpoints want them, and by a
// connection on which nothing is sent, when proxies cannot connect. Only the leader probes.
type Prober struct {
	clock clock.WithTicker
	// changed is told of a namespace with news; urgent when they may be a transition.
	changed func(namespace string, urgent bool)
	// random is between 0 and 1.
	random func() float64

	slots   chan struct{}
	wake    chan struct{}
	running sync.WaitGroup

	mu sync.Mutex
	// subjects, by UID of the endpoint, is guarded by mu.
	subjects map[string]*subject
}

// subject is an endpoint and what was found out about it.
type subject struct {
	endpoint *routing.Endpoint
	spec     translate.ProbeSpec
	// probed says that it has a probe, paused that it is not wanted now.
	probed, paused bool
	due            time.Time
	busy           bool
	result         modelstate.ProbeResult
	// dial says that somebody wants to know whether it can be connected to; dialed is when that was last tried,
	// and confirmed when it last failed.
	dial, dialing     bool
	dialed, confirmed time.Time
	// used is what completing probes have used since it was last written.
	used []probeUse
	// wants says that the next probe waits until it is taken out of the endpoint's limits, which every look tries;
	// paid is when it was, zero when it was not.
	wants bool
	paid  time.Time
}

// debit is what one completing probe takes out of the limits of its endpoint; empty when there is none that it
// would.
type debit map[quota.Limit]int64

// probeUse is one completing probe.
type probeUse struct {
	quota, budget modelstate.PeriodUsage
}

// NewProber makes a prober without endpoints.
func NewProber(c clock.WithTicker, changed func(namespace string, urgent bool)) *Prober {
	return &Prober{
		clock: c, changed: changed, random: rand.Float64,
		slots: make(chan struct{}, probesAtOnce), wake: make(chan struct{}, 1),
		subjects: map[string]*subject{},
	}
}

// NeedLeaderElection says that one operator probes, not each.
func (p *Prober) NeedLeaderElection() bool { return true }

// Start probes until ctx ends.
func (p *Prober) Start(ctx context.Context) error {
	defer p.running.Wait()
	for ctx.Err() == nil {
		wait := idleProber
		if next := p.step(ctx); !next.IsZero() {
			wait = max(next.Sub(p.clock.Now()), time.Millisecond)
		}
		timer := p.clock.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-p.wake:
		case <-timer.C():
		}
		timer.Stop()
	}
	return nil
}

// step begins everything that is due, and returns when there is more to do; zero when nothing is known of.
func (p *Prober) step(ctx context.Context) (next time.Time) {
	now := p.clock.Now()
	p.mu.Lock()
	var begin []func()
	poor := map[string]bool{}
	for _, s := range p.subjects {
		if s.dial && !s.dialing {
			if at := s.dialed.Add(dialEvery); at.After(now) {
				next = earliest(next, at)
			} else {
				s.dial, s.dialing, s.dialed = false, true, now
				begin = append(begin, p.dialing(ctx, s, s.endpoint))
			}
		}
		run, due := p.stepProbe(ctx, s, now, poor)
		if run != nil {
			begin = append(begin, run)
		}
		next = earliest(next, due)
	}
	p.mu.Unlock()
	for namespace := range poor {
		p.changed(namespace, true)
	}
	for _, run := range begin {
		select {
		case p.slots <- struct{}{}:
		case <-ctx.Done():
			return next
		}
		p.running.Go(func() {
			defer func() { <-p.slots }()
			run()
		})
	}
	return next
}

// stepProbe is the probe of a subject if it is due, and when the next one is; zero when something else has to happen
// before. One that is not paid for is noted in poor. p.mu is held.
func (p *Prober) stepProbe(ctx context.Context, s *subject, now time.Time, poor map[string]bool) (run func(), due time.Time) {
	if !s.probed || s.paused || s.busy {
		return nil, time.Time{}
	}
	if s.due.After(now) {
		return nil, s.due
	}
	if !s.affords(now) {
		if !s.wants {
			s.wants = true
			poor[s.endpoint.Key.Namespace] = true
		}
		return nil, time.Time{}
	}
	s.busy, s.wants, s.paid = true, false, time.Time{}
	s.due = now.Add(time.Duration(float64(s.spec.Interval) * (1 + probeJitter*(2*p.random()-1))))
	return p.probing(ctx, s, s.endpoint, s.spec), s.due
}

// affords reports whether the next probe may be sent: it is paid for in the periods that it would begin in, or needs
// not be.
func (s *subject) affords(now time.Time) bool {
	if len(s.debit()) == 0 {
		return true
	}
	e := s.endpoint
	return !s.paid.IsZero() && e.QuotaPeriod.Start(s.paid).Equal(e.QuotaPeriod.Start(now)) &&
		e.BudgetPeriod.Start(s.paid).Equal(e.BudgetPeriod.Start(now))
}

// debit is what the next probe takes out of limits.
func (s *subject) debit() debit {
	e := s.endpoint
	if s.spec.Type != translate.ProbeCompletion {
		return nil
	}
	usage := expectedUse(e)
	all := debit{quota.Requests: usage.Requests, quota.Tokens: usage.Tokens.Total(), quota.Budget: usage.Cost}
	out := debit{}
	for limit, amount := range all {
		if there, _ := limitOf(e, limit); there > 0 && amount > 0 {
			out[limit] = amount
		}
	}
	return out
}

// Debited says that what the next probe of an endpoint takes is stored in its ledger.
func (p *Prober) Debited(uid string, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s := p.subjects[uid]; s != nil && s.wants {
		s.wants, s.paid = false, now
		p.rouse()
	}
}

// rouse has the loop look again for what is due.
func (p *Prober) rouse() {
	select {
	case p.wake <- struct{}{}:
	default: // It will look anyway.
	}
}

func (p *Prober) probing(ctx context.Context, s *subject, endpoint *routing.Endpoint, spec translate.ProbeSpec) func() {
	return func() {
		if !p.current(s, endpoint) {
			return // It is gone, or another one, since it was its turn.
		}
		begun := p.clock.Now()
		found := probe(ctx, endpoint, spec, p.clock)
		if ctx.Err() != nil {
			return // Nobody's failure: the operator stops.
		}
		ended := p.clock.Now()
		p.mu.Lock()
		s.busy = false
		if found.attempted && found.counts {
			// It was spent by the endpoint, whatever is asked of it now.
			books := s
			if present := p.subjects[endpoint.UID]; present != nil {
				books = present
			}
			books.used = append(books.used, newProbeUse(endpoint, found.usage, begun))
		}
		urgent := found.problem != "" || s.result.Failed.After(s.result.Succeeded) || s.result.Succeeded.IsZero()
		if found.problem == "" {
			s.result.Succeeded, s.result.ModelSeen = ended, found.modelSeen
		} else {
			s.result.Failed, s.result.Message = ended, found.problem
		}
		p.mu.Unlock()
		p.rouse()
		p.changed(endpoint.Key.Namespace, urgent)
	}
}

// current reports whether a subject is still that of its endpoint.
func (p *Prober) current(s *subject, endpoint *routing.Endpoint) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.subjects[endpoint.UID] == s
}

func (p *Prober) dialing(ctx context.Context, s *subject, endpoint *routing.Endpoint) func() {
	return func() {
		if !p.current(s, endpoint) {
			return
		}
		err := connect(ctx, endpoint)
		if ctx.Err() != nil {
			return
		}
		p.mu.Lock()
		s.dialing = false
		changed := (err != nil) || !s.confirmed.IsZero()
		s.confirmed = time.Time{}
		if err != nil {
			s.confirmed = p.clock.Now()
		}
		p.mu.Unlock()
		p.rouse()
		if changed {
			p.changed(endpoint.Key.Namespace, true)
		}
	}
}

func newProbeUse(endpoint *routing.Endpoint, usage modelstate.Usage, begun time.Time) probeUse {
	return probeUse{
		quota:  modelstate.PeriodUsage{Start: endpoint.QuotaPeriod.Start(begun), Usage: usage},
		budget: modelstate.PeriodUsage{Start: endpoint.BudgetPeriod.Start(begun), Usage: usage},
	}
}

// Set tells which endpoints a namespace has now. What was found out about one is kept for as long as it is
// configured as it was.
func (p *Prober) Set(namespace string, all []*judged) {
	now := p.clock.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	here := make(map[string]bool, len(all))
	for _, j := range all {
		here[j.entry.UID] = true
		p.set(j, now)
	}
	for uid, s := range p.subjects {
		if s.endpoint.Key.Namespace == namespace && !here[uid] {
			delete(p.subjects, uid)
		}
	}
	p.rouse()
}

func (p *Prober) set(j *judged, now time.Time) {
	spec, probed := translate.Probe(j.object)
	s := p.subjects[j.entry.UID]
	if s == nil || !sameSubject(s, j.entry, spec, probed) {
		next := &subject{probed: probed, spec: spec, due: now.Add(time.Duration(p.random() * float64(min(probeSpread, spec.Interval))))}
		if s != nil {
			next.used = s.used // It was spent, whatever is asked now.
		}
		s = next
		p.subjects[j.entry.UID] = s
	}
	s.endpoint = j.entry
	if s.paused = unusable(j.entry).Reason != "" || j.entry.Suspended || inMaintenance(&j.state); s.paused {
		s.wants, s.paid = false, time.Time{}
	}
}

// sameSubject reports whether what was found out still speaks of the endpoint.
func sameSubject(s *subject, entry *routing.Endpoint, spec translate.ProbeSpec, probed bool) bool {
	e := s.endpoint
	return s.probed == probed && s.spec == spec && e.Configuration == entry.Configuration && e.Credential == entry.Credential &&
		e.TLS.ServerName == entry.TLS.ServerName && e.TLS.RootsID == entry.TLS.RootsID && e.TLS.InsecureSkipVerify == entry.TLS.InsecureSkipVerify
}

func inMaintenance(state *modelstate.State) bool {
	for i := range state.Verdicts {
		if state.Verdicts[i].Reason == modelstate.MaintenanceWindow {
			return true
		}
	}
	return false
}

// Confirm asks whether the endpoint can be connected to. It returns at once; the answer comes by another look.
func (p *Prober) Confirm(uid string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s := p.subjects[uid]; s != nil {
		s.dial = true
		p.rouse()
	}
}

// findings are what a look wants to know of one endpoint.
type findings struct {
	result    modelstate.ProbeResult
	ofPath    bool
	confirmed time.Time
	used      []probeUse
	// debit is what the next probe waits for.
	debit debit
}

// found is what was found out about an endpoint.
func (p *Prober) found(uid string) findings {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.subjects[uid]
	if s == nil {
		return findings{}
	}
	f := findings{result: s.result, confirmed: s.confirmed, used: slices.Clip(s.used), ofPath: s.spec.Type == translate.ProbePath}
	if s.wants {
		f.debit = s.debit()
	}
	if s.probed {
		f.result.FailureThreshold = s.spec.FailureThreshold
	} else {
		f.result = modelstate.ProbeResult{}
	}
	return f
}

// Booked says that the first n uses that found returned are in the endpoint's books.
func (p *Prober) Booked(uid string, n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s := p.subjects[uid]; s != nil {
		s.used = append([]probeUse(nil), s.used[min(n, len(s.used)):]...)
	}
}
