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

// urgency orders the statuses to write: what the user said and the clock says first, then other transitions;
// numbers wait for their turn.
type urgency int

const (
	law urgency = iota
	transition
	numbers
	nothing
)

// due is a status to be written.
type due struct {
	j       *judged
	status  v1alpha1.ModelEndpointStatus
	urgency urgency
}

// outcome is what became of the writes of a look.
type outcome struct {
	// conflict says that an object had changed since it was read.
	conflict bool
	// wait is how long until numbers that were held back may be written; 0 when none were.
	wait time.Duration
}

// write writes every status that differs, and tells what changed.
func (r *NamespaceReconciler) write(ctx context.Context, seen *look) (outcome, error) {
	now := r.Clock.Now()
	batch := r.Statuses.begin()
	all := make([]due, 0, len(seen.endpoints))
	for _, j := range seen.endpoints {
		d := due{j: j, status: j.status(now)}
		d.urgency = urgencyOf(&j.object.Status, &d.status)
		all = append(all, d)
	}
	slices.SortStableFunc(all, func(a, b due) int { return int(a.urgency) - int(b.urgency) })
	urgent := slices.IndexFunc(all, func(d due) bool { return d.urgency >= numbers })
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

func urgencyOf(before, after *v1alpha1.ModelEndpointStatus) urgency {
	switch {
	case equality.Semantic.DeepEqual(before, after):
		return nothing
	case onlyNumbers(*before, *after):
		return numbers
	case ofLaw(before.ModelState) != ofLaw(after.ModelState):
		return law
	default:
		return transition
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
func (r *NamespaceReconciler) writeAtOnce(ctx context.Context, batch *batch, all []due) {
	work := make(chan *due)
	var running sync.WaitGroup
	for range min(writers, len(all)) {
		running.Go(func() {
			for d := range work {
				r.writeOne(ctx, batch, d, false)
			}
		})
	}
	for i := range all {
		work <- &all[i]
	}
	close(work)
	running.Wait()
}

func (r *NamespaceReconciler) writeOne(ctx context.Context, batch *batch, d *due, paced bool) {
	size := batch.endpoint(ctx, d.j.object, d.status)
	if size == 0 {
		return
	}
	r.Pacer.Wrote(d.j.object.UID, size, paced, r.Clock.Now())
	r.Prober.Booked(d.j.entry.UID, len(d.j.uses))
}

// writeNumbers writes those whose turn it is, and returns how long it is until the next one's; 0 when there is
// none.
func (r *NamespaceReconciler) writeNumbers(ctx context.Context, batch *batch, all []due) time.Duration {
	var shortest time.Duration
	for i := range all {
		d := &all[i]
		if d.urgency != numbers || batch.isBroken() {
			break
		}
		wait, ok := r.Pacer.Ask(d.j.object.UID, r.Clock.Now())
		if ok {
			r.writeOne(ctx, batch, d, true)
		} else if shortest == 0 || wait < shortest {
			shortest = wait
		}
	}
	return shortest
}

func (r *NamespaceReconciler) writePolicies(ctx context.Context, batch *batch, seen *look) {
	standing := make(map[*routing.Endpoint]*judged, len(seen.endpoints))
	byName := make(map[string]*judged, len(seen.endpoints))
	for _, j := range seen.endpoints {
		standing[j.entry], byName[j.entry.Key.Name] = j, j
	}
	takesTraffic := func(e *routing.Endpoint) bool { return standing[e].takesTraffic() }
	now := r.Clock.Now()
	why := func(name string) string {
		j := byName[name]
		if j == nil {
			return "is gone"
		}
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
