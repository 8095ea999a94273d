// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"

	"github.com/turnout-ai/turnout/api/v1alpha1"
	"github.com/turnout-ai/turnout/internal/routing"
)

// writers is how many transitions of a namespace are written at once.
const writers = 4

// urgency orders the statuses to write: what the user said and the clock says first, then leases that somebody
// waits for and other transitions. Leases that nobody waits for yet, and numbers, wait for their turn.
type urgency int

const (
	law urgency = iota
	lease
	transition
	prefetch
	numbers
	nothing
)

// outcome is what became of the writes of a look.
type outcome struct {
	// conflict says that an object had changed since it was read.
	conflict bool
	// wait is how long until numbers that were held back may be written; 0 when none were.
	wait time.Duration
}

// write writes every status that differs, and tells what changed.
func (r *NamespaceReconciler) write(ctx context.Context, seen *look) (outcome, error) {
	batch := r.Statuses.begin()
	var all []*judged
	for _, j := range seen.endpoints {
		if j.urgency != nothing {
			all = append(all, j)
		}
	}
	slices.SortStableFunc(all, func(a, b *judged) int { return int(a.urgency) - int(b.urgency) })
	urgent := slices.IndexFunc(all, func(j *judged) bool { return j.urgency >= prefetch })
	if urgent < 0 {
		urgent = len(all)
	}
	r.writeAtOnce(ctx, batch, all[:urgent])
	r.writePolicies(ctx, batch, seen)
	if conflict, err := batch.end(); err == nil && !conflict {
		r.tellProviders(batch, seen)
	}
	var out outcome
	out.wait = r.writeNumbers(ctx, batch, all[urgent:])
	var err error
	out.conflict, err = batch.end()
	return out, err
}

func urgencyOf(before, after *v1alpha1.ModelEndpointStatus, lent *lending) urgency {
	switch {
	case equality.Semantic.DeepEqual(before, after):
		return nothing
	case ofLaw(before.ModelState) != ofLaw(after.ModelState):
		return law
	case lent.waited:
		return lease
	case !onlyNumbers(*before, *after):
		return transition
	case lent.decision.Urgent:
		return prefetch
	default:
		return numbers
	}
}

// ofLaw is the reason of a Standby that follows from the spec and the clock; empty when there is none.
func ofLaw(state *v1alpha1.ModelState) v1alpha1.DeactivationReason {
	if state != nil && state.DeactivationReason != "" && severity(state.DeactivationReason) == lawful {
		return state.DeactivationReason
	}
	return ""
}

// writeAtOnce writes transitions, a few at a time and in their order.
func (r *NamespaceReconciler) writeAtOnce(ctx context.Context, batch *batch, all []*judged) {
	work := make(chan *judged)
	var running sync.WaitGroup
	for range min(writers, len(all)) {
		running.Go(func() {
			for j := range work {
				r.writeOne(ctx, batch, j, false)
			}
		})
	}
	for _, j := range all {
		work <- j
	}
	close(work)
	running.Wait()
}

// writeOne writes one status. Nobody is told of a lease before the API server has it.
func (r *NamespaceReconciler) writeOne(ctx context.Context, batch *batch, j *judged, paced bool) {
	stored, size := batch.endpoint(ctx, j.object, *j.wanted)
	if stored == nil {
		return
	}
	r.Leases.Put(stored)
	r.own.wrote(j.object.ResourceVersion, stored)
	r.Pacer.Wrote(j.object.UID, size, paced, r.Clock.Now())
	r.Prober.Booked(j.entry.UID, len(j.uses))
	if j.lending.decision.Debited {
		r.Prober.Debited(j.entry.UID, j.lending.at)
	}
}

// writeNumbers writes those whose turn it is, and returns how long it is until the next one's; 0 when there is
// none.
func (r *NamespaceReconciler) writeNumbers(ctx context.Context, batch *batch, all []*judged) time.Duration {
	var shortest time.Duration
	for _, j := range all {
		if batch.isBroken() {
			break
		}
		ask := r.Pacer.Ask
		if j.urgency == prefetch {
			ask = r.Pacer.AskAhead
		}
		wait, ok := ask(j.object.UID, r.Clock.Now())
		if ok {
			r.writeOne(ctx, batch, j, true)
		} else if shortest == 0 || wait < shortest {
			shortest = wait
		}
	}
	return shortest
}

func (r *NamespaceReconciler) writePolicies(ctx context.Context, batch *batch, seen *look) {
	takesTraffic := func(e *routing.Endpoint) bool { return seen.endpoints[e.Index].takesTraffic() }
	now := r.Clock.Now()
	why := func(name string) string {
		at := slices.IndexFunc(seen.endpoints, func(j *judged) bool { return j.entry.Key.Name == name })
		if at < 0 {
			return "is gone"
		}
		j := seen.endpoints[at]
		if j.takesTraffic() {
			return messageActive
		}
		return "is on Standby: " + stateMessage(j.entry, &j.state, j.evidence.Signals, now)
	}
	entries := make(map[string]*routing.Policy, len(seen.table.Policies))
	for _, entry := range seen.table.Policies {
		entries[entry.Key.Name] = entry
	}
	for _, policy := range seen.found.policies {
		batch.policy(ctx, policy, policyStatus(policy, entries[policy.Name], takesTraffic, now), why)
	}
}

// tellProviders tells what has changed of whole providers, once the API server has taken what it follows from.
func (r *NamespaceReconciler) tellProviders(batch *batch, seen *look) {
	after := standings(seen.endpoints)
	for _, name := range slices.Sorted(maps.Keys(after)) {
		if before, known := seen.before[name]; known {
			batch.tell(after[name].first, providerNews(name, before, after[name]))
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if last, known := r.memories[seen.namespace]; known {
		last.providers = after
		r.memories[seen.namespace] = last
	}
}
