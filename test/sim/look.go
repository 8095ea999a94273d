// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"errors"
	"slices"
	"time"

	"github.com/turnout-ai/turnout/internal/calendar"
	"github.com/turnout-ai/turnout/internal/modelstate"
	"github.com/turnout-ai/turnout/internal/quota"
)

// This file is the shell of controller.NamespaceReconciler: one look at all endpoints, and the writes that follow.

const (
	holdoff       = 20 * time.Millisecond
	urgentHoldoff = 2 * time.Millisecond
	lazyHoldoff   = time.Second
	strayHoldoff  = 30 * time.Second
	afterConflict = 200 * time.Millisecond
	askForAbsence = 10 * time.Second
	trialSteps    = 10 * time.Second
	soonest       = 10 * time.Millisecond
	numbersEvery  = 10 * time.Second
	clockSkew     = time.Minute
)

// judged is everything that a look knows of one endpoint.
type judged struct {
	object *modelEndpoint
	state  modelstate.State
	// base is the fold before this look takes anything in, stored the ledger as it is stored.
	base    modelstate.Fold
	stored  quota.Ledger
	lending lending
	status  endpointStatus
	// next is when time alone changes something.
	next time.Time
}

// reconcileNamespace looks at all endpoints and writes what has changed.
func (o *operator) reconcileNamespace(t *thread) {
	for {
		if now := o.now(); o.lookDue.After(now) || !o.leads {
			at := o.lookDue
			if !o.leads {
				at = now.Add(idle)
			}
			t.sleep(at)
			continue
		}
		o.lookDue = o.now().Add(idle)
		seen := o.look(t)
		wait, conflict := o.write(t, seen)
		now := o.now()
		if conflict {
			wait = afterConflict
		}
		next := now.Add(idle)
		if wait > 0 {
			next = now.Add(wait)
		}
		for _, j := range seen {
			if !j.next.IsZero() {
				next = earlier(next, j.next)
			}
		}
		o.askAt(later(next, now.Add(soonest)))
	}
}

// ask asks for a look soon.
func (o *operator) ask(after time.Duration) { o.askAt(o.now().Add(after)) }

func (o *operator) askAt(at time.Time) {
	if at.Before(o.lookDue) {
		o.lookDue = at
		o.looking.nudge()
	}
}

// look gathers what there is to know and judges the endpoints by it.
func (o *operator) look(t *thread) []*judged {
	found := o.found()
	o.leases.set(found)
	said := o.books.testimony()
	var seen []*judged
	var unheard []string
	for _, e := range found {
		j := &judged{object: e, stored: o.leases.stored(e)}
		unheard = append(unheard, said.unheard(e, &j.stored)...)
		seen = append(seen, j)
	}
	gone := o.gone(t, unheard)
	now := o.now()
	members := make([]modelstate.Member, len(seen))
	inputs := make([]modelstate.Input, len(seen))
	for i, j := range seen {
		j.state = o.remembered(j.object)
		inputs[i] = j.input(said, now)
		if o.w.bad(oldEvidence, true) {
			inputs[i].Evidence.Signals = renewed(inputs[i].Evidence.Signals, j.state.Epoch)
		}
		members[i] = modelstate.Member{
			Name: j.object.name, Provider: j.object.spec.provider, State: &j.state, Input: &inputs[i],
			Usable: !j.object.spec.suspended && !inputs[i].InMaintenance,
		}
	}
	siblings := modelstate.SiblingsOf(members, now)
	for i, j := range seen {
		inputs[i].Siblings = siblings[i]
		j.count(o, said, gone, now)
		j.lend(o, said, now)
		j.status.ledger = j.lending.decision.Ledger
		j.status.limits, inputs[i].Limits = j.uses()
		j.judge(o, &inputs[i], now)
	}
	return seen
}

// found are the endpoints as they are known, the newest that was written before what the cache has.
func (o *operator) found() []*modelEndpoint {
	var found []*modelEndpoint
	for _, name := range o.endpoints.names {
		if e := o.own.of(o.endpoints.objects[name].(*modelEndpoint)); !e.deleting {
			found = append(found, e)
		}
	}
	return found
}

// judge decides how the endpoint stands.
func (j *judged) judge(o *operator, in *modelstate.Input, now time.Time) {
	judgement := modelstate.Judge(j.state, in, now)
	if o.w.bad(doubledTwice, judgement.State.Trips > j.state.Trips) {
		judgement.State.Trips++
	}
	j.state = judgement.State
	j.status.state = j.state
	j.next = earliest(j.next, judgement.Next)
	if trial := j.state.Trial; trial != nil && now.Before(trial.Since.Add(trial.Ramp)) {
		j.next = earliest(j.next, now.Add(trialSteps))
	}
	o.memory[j.object.uid] = memory{state: j.state, written: j.object.status.state}
}

// renewed is what somebody takes signals for that forgets about epochs.
func renewed(signals []modelstate.Signal, epoch int64) []modelstate.Signal {
	out := slices.Clone(signals)
	for i := range out {
		out[i].Epoch = epoch
	}
	return out
}

// memory is what the last look at an endpoint came to, and what was written then.
type memory struct{ state, written modelstate.State }

// remembered is the newest that is known of an endpoint: what the last look came to, unless somebody else has written
// since. Two that lead at once would otherwise undo each other's word for ever.
func (o *operator) remembered(e *modelEndpoint) modelstate.State {
	written := &e.status.state
	m, known := o.memory[e.uid]
	if known && (m.state.Epoch > written.Epoch || sameTransitions(written, &m.written) || sameTransitions(written, &m.state)) {
		return m.state
	}
	return *written
}

// input is everything an endpoint is judged by, but for what others say about it.
func (j *judged) input(said *testimony, now time.Time) modelstate.Input {
	in := modelstate.Input{
		Configuration: j.object.spec.model, Suspended: j.object.spec.suspended, Units: []modelstate.Unit{unit},
		Evidence: said.evidence(j.object.uid, j.state.Epoch, now),
	}
	var next time.Time
	in.InMaintenance, in.MaintenanceUntil, next = calendar.Open(j.object.spec.maintenance, now)
	j.next = earliest(j.next, next)
	if j.object.spec.limits.Requests > 0 {
		in.QuotaReset = j.object.spec.quota.Next(now)
	}
	return in
}

// count adds up what proxies have counted.
func (j *judged) count(o *operator, said *testimony, gone func(string) bool, now time.Time) {
	spec, before := &j.object.spec, &j.object.status
	quotaStart, budgetStart := spec.quota.Start(now), spec.budget.Start(now)
	earlierQuota, earlierBudget := spec.quota.Start(quotaStart.Add(-1)), spec.budget.Start(budgetStart.Add(-1))
	j.base = before.fold
	if o.w.bad(forgottenFold, true) {
		j.base.Quota = nil
	}
	fold, open := said.takeIn(o, j.base, j, gone)
	fold.Quota, fold.Budget = sensible(fold.Quota, spec.quota, now), sensible(fold.Budget, spec.budget, now)
	fold = said.forget(o, fold, gone, earlierQuota, earlierBudget, now)
	quotas, budgets := fold.Quota, fold.Budget
	for _, c := range open {
		quotas = modelstate.SumPeriods(quotas, c.numbers.Quota)
		budgets = modelstate.SumPeriods(budgets, c.numbers.Budget)
	}
	j.status = endpointStatus{fold: fold, tally: tally{
		quota: modelstate.PickPeriod(quotas, quotaStart), previousQuota: modelstate.PickPeriod(quotas, earlierQuota),
		budget: modelstate.PickPeriod(budgets, budgetStart), previousBudget: modelstate.PickPeriod(budgets, earlierBudget),
		lastRequest: before.tally.lastRequest, lastFailure: before.tally.lastFailure,
		rate: said.rate(j.object.uid, unit.Window, modelstate.AnyEpoch, now),
	}}
	j.status.tally.measure(said.numbers[j.object.uid], now)
	j.next = earliest(j.next, said.foldChanges(&fold, now))
	j.next = earliest(j.next, expires(said.numbers[j.object.uid], unit.Window, now))
	if len(quotas) > 0 || len(budgets) > 0 {
		j.next = earliest(j.next, earliest(spec.quota.Next(now), spec.budget.Next(now)))
	}
}

// measure takes note of the newest success and failure.
func (t *tally) measure(all []counted, now time.Time) {
	for _, c := range all {
		if at := c.numbers.LastRequest.Truncate(time.Second); at.After(t.lastRequest) && !at.After(now.Add(clockSkew)) {
			t.lastRequest = at
		}
		if at := c.numbers.LastFailure.Truncate(time.Second); at.After(t.lastFailure) && !at.After(now.Add(clockSkew)) {
			t.lastFailure = at
		}
	}
}

// sensible are the periods that may push others out of the base.
func sensible(used []modelstate.PeriodUsage, p calendar.Period, now time.Time) []modelstate.PeriodUsage {
	next := p.Next(now)
	used = slices.DeleteFunc(slices.Clone(used), func(u modelstate.PeriodUsage) bool { return u.Start.After(next) })
	if len(used) > modelstate.MaxPeriods {
		used = slices.DeleteFunc(used, func(u modelstate.PeriodUsage) bool { return !p.Start(u.Start).Equal(u.Start) })
	}
	return used
}

// expires is when the next bucket leaves the window.
func expires(all []counted, window time.Duration, now time.Time) time.Time {
	var next time.Time
	for _, c := range all {
		for i := range c.numbers.Window {
			if at := c.numbers.Window[i].Start.Add(modelstate.BucketLength + window); at.After(now) {
				next = earliest(next, at)
			}
		}
	}
	return next
}

// write writes every status that differs: transitions and answers first, numbers when it is their turn.
func (o *operator) write(t *thread, seen []*judged) (wait time.Duration, conflict bool) {
	var paced []*judged
	for _, j := range seen {
		switch before := &j.object.status; {
		case before.same(&j.status) && !o.w.bad(idleWrites, true):
		case j.lending.waited, j.lending.decision.Urgent, !before.onlyNumbers(&j.status):
			conflict = o.writeOne(t, j) || conflict
		default:
			paced = append(paced, j)
		}
	}
	for _, j := range paced {
		if due := o.written[j.object.uid].Add(numbersEvery); due.After(o.now()) {
			if left := due.Sub(o.now()); wait == 0 || left < wait {
				wait = left
			}
			continue
		}
		conflict = o.writeOne(t, j) || conflict
	}
	return wait, conflict
}

// writeOne writes one status if nobody has written the object since it was read. Nobody is told of a lease before
// the API server has it.
func (o *operator) writeOne(t *thread, j *judged) (conflict bool) {
	status, read := j.status, j.object
	if o.w.bad(copiedFirst, j.lending.decision.Urgent) {
		o.pretend(read, &status)
	}
	stored, err := call(t, writeStatus, func(s *store) (*modelEndpoint, error) {
		return as[*modelEndpoint](s.update(endpoints, read, func(o object) { o.(*modelEndpoint).status = status }))
	})
	switch {
	case err == nil:
		o.leases.put(stored)
		o.own.wrote(read.version, stored)
		o.written[read.uid] = o.now()
		return false
	case !errors.Is(err, errConflict):
		return false
	case o.w.bad(fromMemory, true):
		o.pretend(read, &status)
	}
	return true
}

// pretend is what nobody must do: it takes for stored what is not.
func (o *operator) pretend(read *modelEndpoint, status *endpointStatus) {
	next := *read
	next.status = *status
	o.leases.put(&next)
}

// keyAt is the account of a limit at a time.
func keyAt(e *modelEndpoint, limit quota.Limit, now time.Time) quota.Key {
	return quota.Key{Limit: limit, Start: e.spec.period(limit).Start(now)}
}
