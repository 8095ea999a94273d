// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"reflect"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
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
	// endpoints are in the order of the table. Those of which there are no news are those of the look before.
	endpoints []*judged
	// before are the standings of the providers at the look before.
	before map[string]standing
}

// memory is what one look at a namespace leaves for the next. A status cannot hold it all: numbers are written
// late, and what was told in an Event is nowhere written.
type memory struct {
	chart *chart
	// endpoints are by their UIDs.
	endpoints map[string]*judged
	providers map[string]standing
}

// look gathers what there is to know of a namespace and judges those of its endpoints by it of which there are news.
func (r *NamespaceReconciler) look(ctx context.Context, namespace string, found objects) *look {
	r.mu.Lock()
	last := r.memories[namespace]
	r.mu.Unlock()
	chart := r.chart(last.chart, namespace, found)
	seen := &look{namespace: namespace, found: found, table: chart.table, before: last.providers}
	said := r.Books.of(namespace)
	proxies, interval := r.Fleet.Settings()
	facts := make([]findings, len(chart.table.Endpoints))
	for i, entry := range chart.table.Endpoints {
		facts[i] = r.Prober.found(entry.UID)
	}
	// Read after everything that is believed: nothing that happens later counts.
	seen.at = r.Clock.Now()

	seen.endpoints = make([]*judged, len(chart.table.Endpoints))
	news := false
	for i, entry := range chart.table.Endpoints {
		by := basis{
			version: chart.objects[i].ResourceVersion, entry: entry, roster: said.roster, about: said.about(entry.UID),
			facts: facts[i], proxies: proxies, interval: interval,
		}
		j := last.endpoints[entry.UID]
		if j.holds(&by, seen.at) {
			j.object, j.entry, j.basis.entry = chart.objects[i], entry, entry
		} else {
			j = r.begin(j, chart.objects[i], by, &said, seen.at)
			news = true
		}
		seen.endpoints[i] = j
	}
	if news {
		r.judge(ctx, seen, &said)
	}
	r.Leases.Looked(namespace)
	if seen.before == nil {
		seen.before = writtenStandings(seen.endpoints)
	}
	r.remember(chart, seen, last)
	return seen
}

// begin gathers what an endpoint is judged by. last is its last judgement; nil when there was none.
func (r *NamespaceReconciler) begin(last *judged, object *v1alpha1.ModelEndpoint, by basis, said *testimony, now time.Time) *judged {
	j := &judged{object: object, entry: by.entry, basis: by, at: now, interval: by.interval}
	j.state = last.newest(object)
	j.in = j.input(said, by.facts, now)
	j.evidence = j.in.Evidence
	j.uses, j.debit = by.facts.used, by.facts.debit
	j.stored = r.Leases.stored(object)
	j.leased = holders(j.stored)
	return j
}

// judge judges what has news, and those whose siblings are others by that.
func (r *NamespaceReconciler) judge(ctx context.Context, seen *look, said *testimony) {
	members := make([]modelstate.Member, len(seen.endpoints))
	for i, j := range seen.endpoints {
		members[i] = j.member(&j.in)
	}
	for i, siblings := range modelstate.SiblingsOf(members, seen.at) {
		j := seen.endpoints[i]
		if j.decided && j.in.Siblings != siblings {
			j = r.begin(j, j.object, j.basis, said, seen.at)
			seen.endpoints[i] = j
		}
		j.in.Siblings = siblings
	}
	var unheard []string
	var fresh []*judged
	for _, j := range seen.endpoints {
		if !j.decided {
			of := said.unheard(j.object.Status.Fold, j.leased)
			j.settled = len(of) == 0
			fresh, unheard = append(fresh, j), append(unheard, of...)
		}
	}
	gone, err := r.Absence.Gone(ctx, unheard)
	if err != nil {
		// No transition waits for that: the record keeps them, and they are asked about again.
		ctrl.LoggerFrom(ctx).Error(err, "the books keep processes that may be gone")
		gone = func(string) bool { return false }
	}
	for _, j := range fresh {
		j.tally = said.count(j.entry, &j.object.Status, j.uses, j.leased, gone, seen.at)
		j.next = earliest(j.next, j.tally.next)
		j.lend(said, seen.at)
		j.in.Limits = exhaustion(j.limits())
		j.judge(&j.in, seen.at)
		r.Leases.Share(seen.namespace, j.entry.UID, said.divide(j.entry, int(j.basis.proxies)))
		j.decide(seen.at)
	}
}

// remember keeps what the next look needs. Of a namespace without endpoints nothing is kept.
func (r *NamespaceReconciler) remember(chart *chart, seen *look, last memory) {
	// What is told of providers is remembered once it was told.
	next := memory{chart: chart, endpoints: last.endpoints, providers: seen.before}
	if last.chart != chart || next.endpoints == nil {
		next.endpoints = make(map[string]*judged, len(seen.endpoints))
	}
	for _, j := range seen.endpoints {
		next.endpoints[j.entry.UID] = j
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(seen.endpoints) == 0 {
		delete(r.memories, seen.namespace)
		return
	}
	if r.memories == nil {
		r.memories = map[string]memory{}
	}
	r.memories[seen.namespace] = next
}

// newest is the newest state that is known of an endpoint: what the last look came to, unless somebody has written
// since. Reasons of law begin no epoch, so at the same one it takes what was written when that is neither what the
// last look saw nor what it came to: two operators that lead at once would else undo each other's words for ever.
func (j *judged) newest(object *v1alpha1.ModelEndpoint) modelstate.State {
	written := translate.State(&object.Status)
	if j == nil || j.state.Epoch < written.Epoch {
		return written
	}
	if j.state.Epoch > written.Epoch || object.ResourceVersion == j.object.ResourceVersion {
		return j.state
	}
	var remembered v1alpha1.ModelState
	translate.WriteState(j.state, &remembered)
	now := transitions(object.Status.ModelState)
	if equality.Semantic.DeepEqual(now, transitions(j.object.Status.ModelState)) || equality.Semantic.DeepEqual(now, transitions(&remembered)) {
		return j.state
	}
	return written
}

// transitions is the part of a ModelState that changes by transitions alone.
func transitions(state *v1alpha1.ModelState) v1alpha1.ModelState {
	if state == nil {
		return v1alpha1.ModelState{}
	}
	return v1alpha1.ModelState{
		Epoch: state.Epoch, Configuration: state.Configuration, Reasons: state.Reasons, Trial: state.Trial,
		Trips: state.Trips, Evidence: state.Evidence, Withdrawn: state.Withdrawn, LastTransitionTime: state.LastTransitionTime,
	}
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
	// A trial gets a little more traffic all the time.
	j.settled = j.settled && judgement.State.Trial == nil && reflect.DeepEqual(j.state, judgement.State)
	j.state, j.confirm = judgement.State, judgement.Confirm
	j.next = earliest(j.next, judgement.Next)
	if j.confirm {
		j.next = earliest(j.next, now.Add(confirmAgain))
	}
	if t := j.state.Trial; t != nil && now.Before(t.Since.Add(t.Ramp)) {
		j.next = earliest(j.next, now.Add(trialSteps))
	}
}

// unheard are the processes of a record, and those that have leases, of which nobody speaks any more and that are
// not known to be gone.
func (t *testimony) unheard(fold *v1alpha1.Fold, leased []string) []string {
	var uids []string
	for _, uid := range leased {
		if !t.known[uid] {
			uids = append(uids, uid)
		}
	}
	if fold == nil {
		return uids
	}
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
