// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"slices"
	"time"

	"github.com/turnout-ai/turnout/internal/modelstate"
	"github.com/turnout-ai/turnout/internal/quota"
)

// This file is the shell of controller.Books: see there for why each function does what it does.

// books hold what all proxies say.
type books struct {
	o *operator
	// processes and pages are in the order of their names.
	processes, pages, late cache
	final                  map[string]bool
}

func newBooks(o *operator) *books {
	return &books{o: o, processes: newCache(), pages: newCache(), late: newCache(), final: map[string]bool{}}
}

// ended reports whether nothing follows from a process.
func ended(i *proxyInstance) bool { return i.status.ended || i.deleting }

// setInstance takes in a ProxyInstance that is new, has changed, or is gone.
func (b *books) setInstance(old, next object) {
	if next == nil {
		b.processes.remove(old.head().name)
		b.prune()
		b.o.ask(lazyHoldoff)
		return
	}
	last, _ := b.processes.objects[next.head().name].(*proxyInstance)
	i := next.(*proxyInstance)
	b.processes.set(i)
	switch {
	case last == nil || ended(last) != ended(i) || last.uid != i.uid:
		b.o.instanceDue(i.name, 0)
		b.o.ask(holdoff)
	case !slices.EqualFunc(last.status.signals, i.status.signals, sameSignals), !slices.EqualFunc(last.status.asks, i.status.asks, sameAsks),
		last.status.isolated != i.status.isolated:
		b.o.ask(urgentHoldoff)
	}
}

// setReport takes in a ProxyReport that is new, has changed, or is gone.
func (b *books) setReport(old, next object) {
	if next == nil {
		b.pages.remove(old.head().name)
		b.late.remove(old.head().name)
		b.prune()
		b.o.ask(lazyHoldoff)
		return
	}
	page := next.(*proxyReport)
	last := b.pages.objects[page.name]
	if b.final[page.instanceUID] {
		if last == nil {
			b.late.set(page)
			b.stray(page.instance)
		}
		return
	}
	b.pages.set(page)
	if known, _ := b.processes.objects[page.instance].(*proxyInstance); known == nil {
		b.stray(page.instance)
	}
	b.o.ask(lazyHoldoff)
}

// forget takes a report out that has been removed.
func (b *books) forget(report *proxyReport) {
	if known, _ := b.pages.objects[report.name].(*proxyReport); known != nil && known.uid == report.uid {
		b.pages.remove(report.name)
		b.prune()
	}
}

// stray asks for a look at reports whose ProxyInstance is not known.
func (b *books) stray(instance string) { b.o.instanceDue(instance, strayHoldoff) }

// prune forgets that processes were final of which nothing is left.
func (b *books) prune() {
	for uid := range b.final {
		if !b.mentions(uid) {
			delete(b.final, uid)
		}
	}
}

func (b *books) mentions(uid string) bool {
	for _, o := range b.processes.objects {
		if o.head().uid == uid {
			return true
		}
	}
	for _, list := range []*cache{&b.pages, &b.late} {
		for _, o := range list.objects {
			if o.(*proxyReport).instanceUID == uid {
				return true
			}
		}
	}
	return false
}

// seal takes in the last content of all pages of a process.
func (b *books) seal(uid string, fresh []*proxyReport) {
	cached := map[string]*proxyReport{}
	for _, page := range b.of(uid) {
		cached[page.name] = page
	}
	for _, list := range []*cache{&b.pages, &b.late} {
		for _, name := range slices.Clone(list.names) {
			if list.objects[name].(*proxyReport).instanceUID == uid {
				list.remove(name)
			}
		}
	}
	for _, page := range fresh {
		if stale := cached[page.name]; b.o.w.bad(staleFold, stale != nil) {
			page = stale
		}
		b.pages.set(page)
	}
	b.final[uid] = true
	b.o.ask(lazyHoldoff)
}

// of are the pages of a process.
func (b *books) of(uid string) []*proxyReport {
	var out []*proxyReport
	for _, list := range []*cache{&b.pages, &b.late} {
		for _, name := range list.names {
			if p := list.objects[name].(*proxyReport); p.instanceUID == uid {
				out = append(out, p)
			}
		}
	}
	return out
}

// testimony is everything that proxies say about the endpoints.
type testimony struct {
	// signals and numbers are by the UID of the endpoint, in the order of the processes' UIDs.
	signals map[string][]modelstate.Signal
	numbers map[string][]counted
	// processes are all of which there is an object, in the order of their UIDs.
	processes []*proxyInstance
	// granted are the processes that have ended and were told of leases, by the UID of the endpoint.
	granted map[string][]string
	// ended are gone, final those of them whose numbers are their last; known are all of which there is an object.
	ended, final, known map[string]bool
}

// counted is what one proxy has counted of one endpoint.
type counted struct {
	proxy   string
	numbers *modelstate.Numbers
}

// testimony is what proxies say now.
func (b *books) testimony() *testimony {
	t := &testimony{
		signals: map[string][]modelstate.Signal{}, numbers: map[string][]counted{},
		ended: map[string]bool{}, final: map[string]bool{}, known: map[string]bool{}, granted: map[string][]string{},
	}
	for _, name := range b.processes.names {
		p := b.processes.objects[name].(*proxyInstance)
		t.processes = append(t.processes, p)
		t.known[p.uid] = true
		t.final[p.uid] = b.final[p.uid]
		if ended(p) {
			t.ended[p.uid] = true
			for _, g := range p.spec.grants {
				t.granted[g.UID] = append(t.granted[g.UID], p.uid)
			}
			continue
		}
		if p.status.isolated {
			continue
		}
		for _, s := range p.status.signals {
			s.Proxy = p.uid
			t.signals[s.Endpoint] = append(t.signals[s.Endpoint], s)
		}
	}
	for _, name := range b.pages.names {
		p := b.pages.objects[name].(*proxyReport)
		t.known[p.instanceUID] = true
		t.final[p.instanceUID] = b.final[p.instanceUID]
		for i := range p.numbers {
			uid := b.o.keyOf(&p.numbers[i])
			t.numbers[uid] = append(t.numbers[uid], counted{p.instanceUID, &p.numbers[i]})
		}
	}
	t.sort()
	return t
}

// keyOf is what numbers are kept by: the UID of the endpoint.
func (o *operator) keyOf(n *modelstate.Numbers) string {
	if e, _ := o.endpoints.objects[n.Name].(*modelEndpoint); o.w.bad(byName, e != nil) {
		return e.uid
	}
	return n.Endpoint
}

// sort puts everything into an order, so that equal books give equal statuses.
func (t *testimony) sort() {
	slices.SortFunc(t.processes, func(a, b *proxyInstance) int { return compare(a.uid, b.uid) })
	for _, list := range t.signals {
		slices.SortFunc(list, func(a, b modelstate.Signal) int { return compare(a.Proxy, b.Proxy) })
	}
	for _, list := range t.numbers {
		slices.SortFunc(list, func(a, b counted) int { return compare(a.proxy, b.proxy) })
	}
}

const (
	busyWithin = time.Minute
	maxFolded  = 4096
)

// evidence is what the fleet knows of one endpoint, for its judgement in the given epoch.
func (t *testimony) evidence(uid string, epoch int64, now time.Time) modelstate.Evidence {
	e := modelstate.Evidence{Signals: t.signals[uid], Window: map[string]modelstate.Rate{}}
	for _, c := range t.numbers[uid] {
		if !t.ended[c.proxy] && modelstate.WindowRate(c.numbers.Window, modelstate.AnyEpoch, now.Add(-busyWithin)).Attempts > 0 {
			e.Busy = append(e.Busy, c.proxy)
		}
	}
	e.Window[unit.Policy] = t.rate(uid, unit.Window, epoch, now)
	return e
}

// rate counts the attempts of the whole fleet within the window, those of one epoch or of any.
func (t *testimony) rate(uid string, window time.Duration, epoch int64, now time.Time) modelstate.Rate {
	var sum modelstate.Rate
	for _, c := range t.numbers[uid] {
		r := modelstate.WindowRate(c.numbers.Window, epoch, now.Add(-window))
		sum.Attempts += r.Attempts
		sum.Failures += r.Failures
	}
	return sum
}

// takeIn adds to the base what processes have counted whose numbers are their last, and returns the numbers of the
// others that count. Processes that have leases, or were told of some, go into the record with the numbers of this
// endpoint that they have, if only none.
func (t *testimony) takeIn(o *operator, fold modelstate.Fold, j *judged, gone func(uid string) bool) (modelstate.Fold, []counted) {
	var open []counted
	for _, c := range t.numbers[j.object.uid] {
		switch {
		case fold.Has(c.proxy) && !o.w.bad(foldedTwice, t.final[c.proxy]):
		case (t.final[c.proxy] || o.w.bad(unsealed, t.ended[c.proxy])) && len(fold.Instances) < maxFolded:
			if o.w.bad(foldedTwice, true) {
				fold.Instances = slices.DeleteFunc(slices.Clone(fold.Instances), func(f modelstate.Folded) bool { return f.UID == c.proxy })
			}
			fold = fold.Take(modelstate.Report{Instance: c.proxy, Numbers: modelstate.Numbers{Quota: c.numbers.Quota, Budget: c.numbers.Budget}})
		default:
			open = append(open, c)
		}
	}
	return t.takeInLeases(fold, j, gone), open
}

// takeInLeases does the same for those that have, or were told of, leases.
func (t *testimony) takeInLeases(fold modelstate.Fold, j *judged, gone func(uid string) bool) modelstate.Fold {
	for _, list := range [][]string{holders(&j.stored), t.granted[j.object.uid]} {
		for _, uid := range list {
			if (t.final[uid] || !t.known[uid] && gone(uid)) && len(fold.Instances) < maxFolded {
				fold = fold.Take(modelstate.Report{Instance: uid})
			}
		}
	}
	return fold
}

// forget notes which processes of the record are gone, and forgets those that have been for long enough.
func (t *testimony) forget(o *operator, fold modelstate.Fold, gone func(uid string) bool, quota, budget, now time.Time) modelstate.Fold {
	behind := false
	for _, f := range fold.Instances {
		switch {
		case t.known[f.UID]:
			behind = behind || !f.GoneSince.IsZero()
		case f.GoneSince.IsZero() && gone(f.UID):
			fold = fold.Gone(f.UID, now)
		}
	}
	if o.w.bad(prunedEarly, true) {
		fold.Instances = slices.DeleteFunc(slices.Clone(fold.Instances), func(f modelstate.Folded) bool { return !f.GoneSince.IsZero() })
	}
	if behind {
		fold.Quota, fold.Budget = modelstate.KeepPeriods(fold.Quota, quota), modelstate.KeepPeriods(fold.Budget, budget)
		return fold
	}
	return fold.Trim(quota, budget, now)
}

// foldChanges is when time alone changes the record.
func (t *testimony) foldChanges(fold *modelstate.Fold, now time.Time) time.Time {
	var next time.Time
	for _, f := range fold.Instances {
		switch {
		case t.known[f.UID]:
		case f.GoneSince.IsZero():
			next = earliest(next, now.Add(askForAbsence))
		default:
			at := f.GoneSince.Add(modelstate.FoldMemory + time.Second)
			if !at.After(now) {
				at = now.Add(askForAbsence)
			}
			next = earliest(next, at)
		}
	}
	return next
}

// unheard are the processes of a record, and those that have leases, of which nobody speaks any more and that are not
// known to be gone.
func (t *testimony) unheard(e *modelEndpoint, stored *quota.Ledger) []string {
	var uids []string
	for _, uid := range holders(stored) {
		if !t.known[uid] {
			uids = append(uids, uid)
		}
	}
	for _, f := range e.status.fold.Instances {
		if f.GoneSince.IsZero() && !t.known[f.UID] {
			uids = append(uids, f.UID)
		}
	}
	return uids
}
