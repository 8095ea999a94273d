// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"slices"
	"time"

	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/turnout-ai/turnout/api/v1alpha1"
	"github.com/turnout-ai/turnout/internal/calendar"
	"github.com/turnout-ai/turnout/internal/modelstate"
	"github.com/turnout-ai/turnout/internal/routing"
	"github.com/turnout-ai/turnout/internal/translate"
)

const (
	// confirmAgain is when an endpoint is looked at again that proxies cannot connect to and the operator can.
	confirmAgain = 10 * time.Second
	// trialSteps is how often the share of an endpoint on trial is told anew.
	trialSteps = 10 * time.Second
	// soonest is the least time until a look that was asked for by time alone.
	soonest = 10 * time.Millisecond
)

// look is everything that one look at a namespace finds.
type look struct {
	namespace string
	at        time.Time
	found     objects
	table     *routing.Table
	endpoints []*judged
	// before are the standings of the providers at the look before.
	before map[string]standing
}

// memory is what one look at a namespace leaves for the next. A status cannot hold it all: numbers are written
// late, and what was told in an Event is nowhere written.
type memory struct {
	// states are by the UID of the endpoint.
	states    map[string]modelstate.State
	providers map[string]standing
}

// look gathers what there is to know of a namespace and judges its endpoints by it.
func (r *NamespaceReconciler) look(ctx context.Context, namespace string, found objects) *look {
	begun := r.Clock.Now()
	table := routing.Build(translate.Input(found.endpoints, found.policies, r.Vault))
	r.Metrics.buildSeconds.Observe(r.Clock.Since(begun).Seconds())

	r.mu.Lock()
	last := r.memories[namespace]
	r.mu.Unlock()
	seen := &look{namespace: namespace, found: found, table: table, before: last.providers}
	said, interval := r.Books.of(namespace), r.Fleet.Interval()
	// Read after everything that is believed: nothing that happens later counts.
	now := r.Clock.Now()
	seen.at = now
	byName := make(map[string]*v1alpha1.ModelEndpoint, len(found.endpoints))
	for _, endpoint := range found.endpoints {
		byName[endpoint.Name] = endpoint
	}
	var unheard []string
	members := make([]modelstate.Member, len(table.Endpoints))
	inputs := make([]modelstate.Input, len(table.Endpoints))
	for i, entry := range table.Endpoints {
		j := &judged{object: byName[entry.Key.Name], entry: entry, interval: interval}
		j.state = last.state(j)
		facts := r.Prober.found(entry.UID)
		inputs[i] = j.input(&said, facts, now)
		members[i] = j.member(&inputs[i])
		j.evidence = inputs[i].Evidence
		j.uses = facts.used
		unheard = append(unheard, said.unheard(j.object.Status.Fold)...)
		seen.endpoints = append(seen.endpoints, j)
	}
	gone, err := r.Absence.Gone(ctx, unheard)
	if err != nil {
		// No transition waits for that: the record keeps them, and they are asked about again.
		ctrl.LoggerFrom(ctx).Error(err, "the books keep processes that may be gone")
		gone = func(string) bool { return false }
	}
	siblings := modelstate.SiblingsOf(members, now)
	for i, j := range seen.endpoints {
		inputs[i].Siblings = siblings[i]
		j.judge(&inputs[i], now)
		j.tally = said.count(j.entry, &j.object.Status, j.uses, gone, now)
		j.next = earliest(j.next, j.tally.next)
	}
	if seen.before == nil {
		seen.before = writtenStandings(seen.endpoints)
	}
	r.remember(namespace, seen)
	return seen
}

// remember keeps what the next look needs. Of a namespace without endpoints nothing is kept.
func (r *NamespaceReconciler) remember(namespace string, seen *look) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(seen.endpoints) == 0 {
		delete(r.memories, namespace)
		return
	}
	// What is told of providers is remembered once it was told.
	next := memory{states: make(map[string]modelstate.State, len(seen.endpoints)), providers: seen.before}
	for _, j := range seen.endpoints {
		next.states[j.entry.UID] = j.state
	}
	if r.memories == nil {
		r.memories = map[string]memory{}
	}
	r.memories[namespace] = next
}

// state is the newest that is known of an endpoint: what the last look came to, unless somebody has written of a
// later epoch.
func (m memory) state(j *judged) modelstate.State {
	written := translate.State(&j.object.Status)
	if remembered, ok := m.states[j.entry.UID]; ok && remembered.Epoch >= written.Epoch {
		return remembered
	}
	return written
}

// input is everything an endpoint is judged by, but for what others say about it.
func (j *judged) input(said *testimony, facts findings, now time.Time) modelstate.Input {
	in := modelstate.Input{
		Configuration: j.entry.Configuration,
		Suspended:     j.entry.Suspended,
		Units:         j.entry.Units,
		Evidence:      said.evidence(j.entry, j.state.Epoch, j.interval, now),
		Probe:         facts.result,
	}
	in.Evidence.Confirmed = facts.confirmed
	if in.Configuration == "" || j.entry.Unresolved.Reason != "" {
		// A Secret that cannot be used is no other credential: what is known of the endpoint holds until it
		// turns out that there is one.
		in.Configuration = j.state.Configuration
	}
	if facts.ofPath && refusesCredential(&j.state) {
		in.Probe.Succeeded = time.Time{} // A path is asked for without the credential.
	}
	var next time.Time
	in.InMaintenance, in.MaintenanceUntil, next = calendar.Open(j.entry.Maintenance, now)
	j.next = earliest(j.next, next)
	if j.entry.QuotaDeclared {
		in.QuotaReset = j.entry.QuotaPeriod.Next(now)
	}
	return in
}

func refusesCredential(state *modelstate.State) bool {
	return slices.ContainsFunc(state.Verdicts, func(v modelstate.Verdict) bool { return v.Reason == modelstate.ProviderAuthFailure })
}

// member is the endpoint as others of its provider and its credential see it.
func (j *judged) member(in *modelstate.Input) modelstate.Member {
	return modelstate.Member{
		Name:       j.entry.Key.Name,
		Provider:   j.entry.Provider,
		Credential: translate.CredentialName(j.object),
		State:      &j.state,
		Input:      in,
		Usable:     j.entry.Standby.Reason == "" && !in.InMaintenance,
	}
}

// judge decides how the endpoint stands.
func (j *judged) judge(in *modelstate.Input, now time.Time) {
	judgement := modelstate.Judge(j.state, in, now)
	j.state, j.confirm = judgement.State, judgement.Confirm
	j.next = earliest(j.next, judgement.Next)
	if j.confirm {
		j.next = earliest(j.next, now.Add(confirmAgain))
	}
	if t := j.state.Trial; t != nil && now.Before(t.Since.Add(t.Ramp)) {
		j.next = earliest(j.next, now.Add(trialSteps))
	}
}

// unheard are the processes of a record that nobody speaks of any more and that are not known to be gone.
func (t *testimony) unheard(fold *v1alpha1.Fold) []string {
	if fold == nil {
		return nil
	}
	var uids []string
	for i := range fold.Instances {
		if f := &fold.Instances[i]; f.GoneSince == nil && !t.known[f.UID] {
			uids = append(uids, f.UID)
		}
	}
	return uids
}

// again is how long it is until time alone changes something in the namespace; 0 when it never does. wait is how
// long numbers must wait for their turn.
func (l *look) again(wait time.Duration, now time.Time) time.Duration {
	var next time.Time
	if wait > 0 {
		next = now.Add(wait)
	}
	for _, j := range l.endpoints {
		next = earliest(next, j.next)
	}
	if next.IsZero() {
		return 0
	}
	return max(next.Sub(now), soonest)
}
