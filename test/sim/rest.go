// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"slices"
	"time"

	"github.com/turnout-ai/turnout/internal/modelstate"
	"github.com/turnout-ai/turnout/internal/quota"
	"github.com/turnout-ai/turnout/internal/routing"
)

// lastly holds the laws that are about a world at rest.
func (w *world) lastly() {
	for _, check := range []func(){w.standbys, w.leftovers, w.complete} {
		if w.breach == nil {
			check()
		}
	}
}

// standbys: every Standby has ended, for the fleet and for each proxy.
func (w *world) standbys() {
	t := &w.store.tables[endpoints]
	for _, name := range t.names {
		e := t.objects[name].(*modelEndpoint)
		if !e.status.state.Active() && !w.spent(e) {
			w.audit.broken(lawReturn, "%s is on Standby (%s) since %s", name, e.status.state.Reason(), e.status.state.Verdicts[0].Since.Format("15:04:05"))
		}
		for _, pl := range w.places {
			w.standsWith(pl.current, name)
		}
	}
}

// spent reports whether an endpoint rests because its limits are used up, and they are.
func (w *world) spent(e *modelEndpoint) bool {
	for _, v := range e.status.state.Verdicts {
		limit := quota.Limit(slices.Index(limitReasons[:], v.Reason))
		if limit < quota.Requests {
			return false
		}
		if acc := w.audit.account(purseKey{e.uid, keyAt(e, limit, moment(w.now))}); w.left(acc)-acc.carried > 0 {
			return false
		}
	}
	return true
}

func (w *world) standsWith(p *proxy, name string) {
	if p == nil || !p.alive {
		return
	}
	entry := p.table[name]
	if entry == nil {
		w.audit.broken(lawReturn, "%s does not know %s", p.name, name)
		return
	}
	standing := p.standing(entry, p.now())
	if (standing.Kind == routing.Resting || standing.Kind == routing.Barred) && standing.Reason.Health() {
		w.audit.broken(lawReturn, "%s rests %s (%s)", p.name, name, standing.Reason)
	}
}

// leftovers: of instances whose process is gone nothing is left.
func (w *world) leftovers() {
	t := &w.store.tables[instances]
	known := map[string]bool{}
	for _, name := range t.names {
		i := t.objects[name].(*proxyInstance)
		known[i.uid] = true
		l := w.audit.owners[i.uid]
		if l == nil && i.owner != "" && w.store.exists(i.owner) {
			continue // of a registration whose answer was lost; it goes with its Pod
		}
		if l == nil || !l.proxy.alive || l.proxy.instance != i.uid {
			w.audit.broken(lawGone, "%s is still there", name)
		}
	}
	for _, name := range w.store.tables[reports].names {
		if r := w.store.tables[reports].objects[name].(*proxyReport); !known[r.instanceUID] {
			w.audit.broken(lawGone, "%s is still there", name)
		}
	}
	for _, name := range w.store.tables[endpoints].names {
		w.leftIn(w.store.tables[endpoints].objects[name].(*modelEndpoint), known)
	}
}

func (w *world) leftIn(e *modelEndpoint, known map[string]bool) {
	for _, f := range e.status.fold.Instances {
		if !known[f.UID] {
			w.audit.broken(lawGone, "%s is still in the record of %s", w.nameOf(f.UID), e.name)
		}
	}
	for i := range e.status.ledger.Accounts {
		a := &e.status.ledger.Accounts[i]
		for _, l := range a.Leases {
			if !known[l.Instance] {
				w.audit.broken(lawGone, "%s still has a lease of %s", w.nameOf(l.Instance), e.name)
			}
		}
	}
}

// complete: the books hold everything that was reported, and whoever has not been killed has reported everything.
func (w *world) complete() {
	for _, name := range w.store.tables[endpoints].names {
		e := w.store.tables[endpoints].objects[name].(*modelEndpoint)
		in := w.audit.endpoints[e.uid]
		now := moment(w.now)
		start := e.spec.quota.Start(now)
		earlier := e.spec.quota.Start(start.Add(-1))
		books := w.audit.books(e)
		for _, shown := range []modelstate.PeriodUsage{e.status.tally.quota, e.status.tally.previousQuota} {
			if inBooks := modelstate.PickPeriod(books, shown.Start); inBooks.Requests != shown.Requests {
				w.audit.broken(lawShown, "%s shows %d requests since %s, and %d are in the books", name, shown.Requests, shown.Start.Format("15:04"), inBooks.Requests)
			}
		}
		for _, since := range []time.Time{start, earlier} {
			have, sent := modelstate.PickPeriod(books, since).Requests, in.in(since)
			want, tolerated := w.audit.expected(e, since)
			if have < want-tolerated && !in.turned || have > sent.requests+sent.unsent {
				w.audit.broken(lawComplete, "%d requests to %s since %s are in the books, %d were reported, and there were %d",
					have, name, since.Format("15:04"), want, sent.requests)
			}
		}
	}
}

// expected is what must be in the books: all that living processes and those that ended in order have sent, and of the
// others what was stored.
func (a *audit) expected(e *modelEndpoint, start time.Time) (want, tolerated int64) {
	for _, l := range a.processes {
		tolerated += l.lost
		if !l.killed {
			want += l.sent[sentKey{e.uid, start.Unix()}]
			continue
		}
		for _, uid := range l.instances {
			if n := a.reported[reportKey{uid, e.uid}]; n != nil {
				want += modelstate.PickPeriod(n.Quota, start).Requests
			}
		}
	}
	return want, tolerated
}
