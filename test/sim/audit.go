// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/turnout-ai/turnout/internal/modelstate"
	"github.com/turnout-ai/turnout/internal/quota"
)

// law is a promise that is held against what happens.
type law string

// The laws. Those until held are checked after every step, the others at rest.
const (
	lawLimit    law = "no more is used of a limit than it allows"
	lawInside   law = "a proxy uses no more than it was lent"
	lawLent     law = "no more is lent of a limit than it allows"
	lawOnce     law = "nothing is in the books twice"
	lawKept     law = "nothing leaves before it is in the books"
	lawEpoch    law = "an epoch trips once, by evidence of its own"
	lawIdle     law = "no write changes nothing"
	lawBudget   law = "writes stay within their budget"
	lawOwner    law = "an instance belongs to one process"
	lawComplete law = "everything that was reported is in the books"
	lawReturn   law = "every Standby ends when its reasons end"
	lawUsed     law = "what is left of a limit gets used"
	lawRest     law = "without demand nothing is written"
	lawGone     law = "nothing is kept of what is gone"
	lawShown    law = "what is shown is what is in the books"
	lawProgress law = "the world comes to rest"
)

// breach is a law that was broken.
type breach struct {
	law    law
	detail string
	at     int64
	steps  int
}

func (b *breach) Error() string { return fmt.Sprintf("%s: %s", b.law, b.detail) }

// account is what really happens to one limit of one endpoint in one period.
type account struct {
	key      purseKey
	endpoint *incarnation
	// bound is what may be used: the limit, and what was lent when it was lowered. used is what attempts used that
	// were admitted under it, or have set aside; lent what is lent and was not given back.
	bound, used, lent int64
	// unaware is what was used by proxies that knew of no limit, deficit what attempts used beyond what they had set
	// aside and there was.
	unaware, deficit int64
	// limit is what the spec says now, carried what proxies that registered anew report under another instance than
	// the one that was charged for it.
	limit, carried int64
	holdings       map[string]*holding
	// open says that it may be passed when nobody answers.
	open bool
	// progress is when something was used last.
	progress int64
}

// holding is what one instance has of an account.
type holding struct {
	account *account
	// granted and returned are the most that any stored ledger said; given is what the proxy itself has given back.
	granted, returned, given int64
	// used and deficit are as in account.
	used, deficit int64
	// heard says that its proxy had said its last word before the lease was closed.
	heard bool
}

// gave notes what a proxy has given back.
func (h *holding) gave(returned int64) {
	if more := returned - h.given; more > 0 {
		h.given = returned
		h.account.lent -= more
	}
}

// incarnation is one ModelEndpoint from its creation to its deletion.
type incarnation struct {
	uid, name string
	gone      bool
	// turned says that its periods were changed: what was counted by other ones may be forgotten then.
	turned bool
	// open says that its limits may have been passed when nobody answered.
	open     bool
	accounts []*account
	// totals are what attempts have used, by the start of the quota period.
	totals []total
	// failures are those that began in an epoch.
	failures map[int64]int
}

// total is what was used in one period: attempts that were handed to the provider, and of those that were given back
// because nothing was sent.
type total struct {
	start            time.Time
	requests, unsent int64
}

// in is the total of a period.
func (in *incarnation) in(start time.Time) *total {
	for i := len(in.totals) - 1; i >= 0; i-- {
		if in.totals[i].start.Equal(start) {
			return &in.totals[i]
		}
	}
	in.totals = append(in.totals, total{start: start})
	return &in.totals[len(in.totals)-1]
}

// life is one process of a proxy, as the audit knows it.
type life struct {
	proxy *proxy
	// instances are the UIDs under which it has registered.
	instances []string
	killed    bool
	// complete says that it has said its last word in order.
	complete bool
	// sent is how many of its attempts were handed to a provider.
	sent map[sentKey]int64
	// lost is what a page may hold of which nobody knows.
	lost int64
}

// sentKey names an endpoint and one of its quota periods.
type sentKey struct {
	endpoint string
	start    int64
}

// audit holds laws against everything that happens. It knows everything.
type audit struct {
	w         *world
	accounts  map[purseKey]*account
	endpoints map[string]*incarnation
	processes []*life
	owners    map[string]*life
	// stored is what each instance has reported of each endpoint, as it was stored last.
	reported map[reportKey]*modelstate.Numbers
	// minute counts the writes of the current minute.
	minute        int64
	writes, bytes [2]int
	lastWrite     int64
	lastDeed      string
}

type reportKey struct{ instance, endpoint string }

func newAudit(w *world) *audit {
	return &audit{
		w: w, accounts: map[purseKey]*account{}, endpoints: map[string]*incarnation{}, owners: map[string]*life{},
		reported: map[reportKey]*modelstate.Numbers{},
	}
}

// broken notes the first breach; the world ends with it.
func (a *audit) broken(l law, format string, args ...any) {
	if a.w.breach == nil {
		a.w.breach = &breach{law: l, detail: fmt.Sprintf(format, args...), at: a.w.now, steps: a.w.counts.steps}
	}
}

// account finds or opens an account.
func (a *audit) account(key purseKey) *account {
	if acc := a.accounts[key]; acc != nil {
		return acc
	}
	e := a.endpoints[key.endpoint]
	acc := &account{key: key, endpoint: e, bound: math.MaxInt64, open: e.open, holdings: map[string]*holding{}}
	if o, _ := a.w.store.get(endpoints, e.name); o != nil && o.head().uid == key.endpoint {
		if limit := o.(*modelEndpoint).spec.limit(key.Limit); limit > 0 {
			acc.bound, acc.limit = limit, limit
		}
	}
	a.accounts[key] = acc
	e.accounts = append(e.accounts, acc)
	return acc
}

func (acc *account) holding(instance string) *holding {
	h := acc.holdings[instance]
	if h == nil {
		h = &holding{account: acc}
		acc.holdings[instance] = h
	}
	return h
}

// name is what people call the account.
func (acc *account) name() string {
	return acc.key.Limit.String() + " of " + acc.endpoint.name + " since " + acc.key.Start.Format("15:04")
}

// registered notes that a process goes by an instance.
func (a *audit) registered(p *proxy, uid string) {
	l := p.life
	if other := a.owners[uid]; other != nil && other != l {
		a.broken(lawOwner, "two processes go by %s", uid)
	}
	a.owners[uid] = l
	l.instances = append(l.instances, uid)
}

// admitted notes an attempt that is handed to a provider.
func (a *audit) admitted(x *attempt) {
	w := a.w
	w.counts.admitted++
	w.step()
	start := x.e.start(quota.Requests, x.began)
	a.endpoints[x.e.uid].in(start).requests++
	x.p.life.sent[sentKey{x.e.uid, start.Unix()}]++
	for i, limit := range limits {
		acc := x.e.account(a, i, x.began)
		x.accounts[i] = acc
		if x.e.spec.limit(limit) == 0 {
			acc.unaware += x.need[i]
			continue
		}
		if i > 0 && x.before[i] > 0 { // the rest of a limit may be less
			x.need[i] = min(x.need[i], x.before[i])
		}
		h := acc.holding(x.instance)
		x.holdings[i] = h
		acc.used += x.need[i]
		h.used += x.need[i]
		acc.progress = w.now
		if !acc.open {
			a.within(acc, h, x)
		}
	}
	if w.telling {
		w.tell(x.p.actor, "sends a request to "+x.e.name)
	}
}

// within holds an account against its limit, and one proxy's part of it against what it was lent.
func (a *audit) within(acc *account, h *holding, x *attempt) {
	if acc.bound != math.MaxInt64 && acc.used > acc.bound+acc.deficit {
		a.broken(lawLimit, "%s brings what is used of the %s to %s, and there are %d",
			x.p.name, acc.name(), a.w.amountOf(acc.used, acc.key.Limit), acc.bound)
	}
	if acc.bound != math.MaxInt64 && h.used > h.granted-h.given+h.deficit {
		a.broken(lawInside, "%s has used %d of the %s, and was lent %d and gave back %d",
			x.p.name, h.used, acc.name(), h.granted, h.given)
	}
}

// ended notes what became of an attempt. free is what the proxy's purses had before and after it was settled.
func (a *audit) ended(x *attempt, used, before, after amounts) {
	in := a.endpoints[x.e.uid]
	if x.fails == unconnected {
		start := x.e.spec.quota.Start(x.began)
		t := in.in(start)
		t.requests--
		t.unsent++
		x.p.life.sent[sentKey{x.e.uid, start.Unix()}]--
	}
	for i := range limits {
		acc, h := x.accounts[i], x.holdings[i]
		left := x.need[i] - used[i]
		if h == nil {
			acc.unaware -= left
			continue
		}
		acc.used -= left
		h.used -= left
		if left < 0 {
			over := -left
			if x.readable(i) {
				over = max(min(before[i], 0)-min(after[i], 0), 0)
			}
			acc.deficit += over
			h.deficit += over
		}
		if i > 0 && x.instance != x.p.instance {
			acc.carried += used[i]
		}
	}
	if x.fails != works {
		in.failures[x.epoch]++
	}
}

// readable reports whether what the proxy's purses had before and after is of the account that the attempt is in: not
// once it registered anew, nor in another period, by the calendar as it is now.
func (x *attempt) readable(limit int) bool {
	e := x.p.table[x.e.name]
	return x.instance == x.p.instance && e != nil && e.uid == x.e.uid && e.account(x.p.w.audit, limit, x.p.now()) == x.accounts[limit]
}

// died notes that a process is no more.
func (a *audit) died(p *proxy, complete bool) {
	p.life.killed, p.life.complete = !complete, complete
}

// reborn notes what a proxy that registers anew has counted and not reported: it will report it under its next
// instance, and its last one is charged for it.
func (a *audit) reborn(p *proxy) {
	l := p.life
	for _, n := range p.registry.Numbers(p.now()) {
		in := a.endpoints[n.Endpoint]
		for _, acc := range in.accounts {
			acc.carried += usedIn(n.Quota, n.Budget, acc.key.Key)
			for _, uid := range l.instances {
				if stored := a.reported[reportKey{uid, n.Endpoint}]; stored != nil {
					acc.carried -= usedIn(stored.Quota, stored.Budget, acc.key.Key)
				}
			}
		}
	}
}

// lostAnswer notes that a page is gone of which nobody knows whether a last write came through.
func (a *audit) lostAnswer(p *proxy, stored, attempt []modelstate.Numbers) {
	l := p.life
	for i := range attempt {
		lost := requestsOf(&attempt[i])
		for k := range stored {
			if stored[k].Endpoint == attempt[i].Endpoint {
				lost -= requestsOf(&stored[k])
			}
		}
		l.lost += max(lost, 0)
	}
}

// requestsOf are all requests that were counted.
func requestsOf(n *modelstate.Numbers) (sum int64) {
	for _, q := range n.Quota {
		sum += q.Requests
	}
	return sum
}

// stored holds laws against a version of an object that has just been stored.
func (a *audit) stored(s *store, k kind, old, next object) {
	if a.w.script.seen != nil {
		a.w.script.seen(s, k, old, next)
	}
	if s.by != nil {
		a.tally(s, next)
	}
	switch k {
	case endpoints:
		a.endpointStored(old, next)
	case reports:
		a.reportStored(old, next)
	default:
	}
}

const (
	// maxWrites is how often proxies may write in a minute, and operators, and maxBytes how much: the budget of
	// reports, and what answering them and telling numbers may cost.
	maxWrites = 20 * 60
	maxBytes  = 30_000_000
)

// tally counts writes.
func (a *audit) tally(s *store, next object) {
	if s.deed == renewLease || s.deed == userEdit {
		return
	}
	a.lastWrite, a.lastDeed = a.w.now, s.by.name+": "+s.deed.deed()
	if minute := a.w.now / minute; minute != a.minute {
		a.minute, a.writes, a.bytes = minute, [2]int{}, [2]int{}
	}
	who := 0
	if s.by.id >= firstSeat {
		who = 1
	}
	a.writes[who]++
	a.w.counts.writes++
	if next != nil {
		a.bytes[who] += next.size()
	}
	if who == 1 && a.w.rivals {
		return // two that lead at once, by different clocks, may say different things of the same moment
	}
	if a.writes[who] > maxWrites || a.bytes[who] > maxBytes {
		a.broken(lawBudget, "%d writes of %d bytes within a minute by %s and its like", a.writes[who], a.bytes[who], s.by.name)
	}
}

// idleWrite holds it against whoever wrote that nothing changed, unless the answer to an earlier write was lost.
func (a *audit) idleWrite(s *store, k kind, _ object) {
	if s.by == nil || s.repeats || k == leases || s.deed == userEdit {
		return
	}
	a.tally(s, nil)
	if s.doubts[doubt{s.by, s.deed}] {
		return
	}
	if s.deed == markEnded {
		return // by two at once
	}
	a.broken(lawIdle, "%s makes %s, and nothing changes", s.by.name, s.deed.deed())
}

func (a *audit) endpointStored(old, next object) {
	if next == nil {
		a.endpoints[old.head().uid].gone = true
		return
	}
	e := next.(*modelEndpoint)
	in := a.endpoints[e.uid]
	if in == nil {
		in = &incarnation{uid: e.uid, name: e.name, open: e.spec.limits.FailOpen, failures: map[int64]int{}}
		a.endpoints[e.uid] = in
	}
	before, _ := old.(*modelEndpoint)
	if before == nil {
		return
	}
	if !before.spec.same(&e.spec) {
		in.turned = in.turned || before.spec.quota != e.spec.quota
		a.respecified(in, e)
		return
	}
	a.leasesClosed(before, e)
	a.ledgerStored(e)
	a.transition(in, &before.status.state, &e.status.state)
	if len(before.status.fold.Instances) != len(e.status.fold.Instances) {
		a.w.counts.folds++
	}
	a.booked(in, e)
}

// respecified sets new bounds: the limit, or what was lent when it was lowered.
func (a *audit) respecified(in *incarnation, e *modelEndpoint) {
	in.open = in.open || e.spec.limits.FailOpen
	for _, acc := range in.accounts {
		acc.bound, acc.limit = math.MaxInt64, e.spec.limit(acc.key.Limit)
		acc.open = acc.open || in.open
		if acc.limit > 0 {
			acc.bound = max(acc.limit, acc.lent)
		}
	}
}

// leasesClosed takes note of leases that are there no more.
func (a *audit) leasesClosed(before, e *modelEndpoint) {
	for i := range before.status.ledger.Accounts {
		old := &before.status.ledger.Accounts[i]
		at := slices.IndexFunc(e.status.ledger.Accounts, func(n quota.Account) bool { return n.Key == old.Key })
		for k := range old.Leases {
			uid := old.Leases[k].Instance
			gone := at >= 0 && !slices.ContainsFunc(e.status.ledger.Accounts[at].Leases, func(l quota.Lease) bool { return l.Instance == uid })
			if l := a.owners[uid]; gone && l != nil {
				a.account(purseKey{e.uid, old.Key}).holding(uid).heard = l.complete
			}
		}
	}
}

// ledgerStored takes note of what is lent.
func (a *audit) ledgerStored(e *modelEndpoint) {
	var told []string
	granted := false
	for i := range e.status.ledger.Accounts {
		stored := &e.status.ledger.Accounts[i]
		acc := a.account(purseKey{e.uid, stored.Key})
		for k := range stored.Leases {
			l := &stored.Leases[k]
			h := acc.holding(l.Instance)
			h.returned = max(h.returned, l.Returned)
			more := l.Granted - h.granted
			if more <= 0 {
				continue
			}
			granted = true
			acc.lent += more
			h.granted = l.Granted
			if a.w.telling {
				told = append(told, fmt.Sprintf("%s %s (%d are lent of %d)", a.w.nameOf(l.Instance), a.w.amountOf(more, stored.Limit), acc.lent, acc.limit))
			}
		}
		if acc.bound != math.MaxInt64 && !acc.open && acc.lent > acc.bound+acc.unaware+acc.deficit {
			a.broken(lawLent, "%d of the %s are lent, and there are %d", acc.lent, acc.name(), acc.bound)
		}
	}
	if granted {
		a.w.counts.grants++
	}
	if len(told) > 0 {
		a.w.tell(a.w.store.by.actor, "lends of "+e.name+" to "+strings.Join(told, ", "))
	}
}

// transition holds a change of state against what happened.
func (a *audit) transition(in *incarnation, before, after *modelstate.State) {
	if after.Epoch == before.Epoch {
		if after.Trips > before.Trips {
			a.broken(lawEpoch, "epoch %d of %s trips a second time", after.Epoch, in.name)
		}
		return
	}
	a.w.counts.transitions++
	if a.w.telling {
		a.w.tell(a.w.store.by.actor, fmt.Sprintf("writes %s of %s", standing(after), in.name))
	}
	if after.Epoch < before.Epoch {
		a.broken(lawEpoch, "epoch %d of %s comes after %d", after.Epoch, in.name, before.Epoch)
	}
	if int64(after.Trips-before.Trips) > after.Epoch-before.Epoch {
		a.broken(lawEpoch, "%s trips %d times within %d epochs", in.name, after.Trips-before.Trips, after.Epoch-before.Epoch)
	}
	if after.Trips > before.Trips && tripsByFailures(after) {
		a.tripped(in, before, after)
	}
}

// tripped holds a trip against the failures of its epoch.
func (a *audit) tripped(in *incarnation, before, after *modelstate.State) {
	failed := 0
	for epoch := before.Epoch; epoch < after.Epoch; epoch++ {
		failed += in.failures[epoch]
	}
	if before.Epoch <= 1 {
		failed += in.failures[0]
	}
	need := int(unit.ConsecutiveFailures)
	if before.Trial != nil || after.Epoch-before.Epoch > 1 {
		need = 1
	}
	if failed < need {
		a.broken(lawEpoch, "%s trips in epoch %d, in which %d attempts have failed", in.name, before.Epoch, failed)
	}
}

func tripsByFailures(s *modelstate.State) bool {
	return slices.ContainsFunc(s.Verdicts, func(v modelstate.Verdict) bool { return v.Reason == modelstate.ErrorThreshold })
}

func standing(s *modelstate.State) string {
	switch {
	case !s.Active():
		return "Standby (" + s.Reason().String() + ")"
	case s.Trial != nil:
		return "a trial"
	default:
		return "Active"
	}
}

// booked holds the books of an endpoint against what its provider has counted.
func (a *audit) booked(in *incarnation, e *modelEndpoint) {
	for _, p := range a.books(e) {
		if sent := in.in(p.Start); p.Requests > sent.requests+sent.unsent {
			a.broken(lawOnce, "%d requests to %s since %s are in the books, and there were %d", p.Requests, e.name,
				p.Start.Format("15:04"), sent.requests)
		}
	}
	for _, p := range []modelstate.PeriodUsage{e.status.tally.quota, e.status.tally.previousQuota} {
		if sent := in.in(p.Start); p.Requests > sent.requests+sent.unsent {
			a.broken(lawOnce, "%s shows %d requests since %s, and there were %d", e.name, p.Requests, p.Start.Format("15:04"), sent.requests)
		}
	}
}

// books are the totals of an endpoint, by quota period: the base, and the pages of all that are not in the record.
func (a *audit) books(e *modelEndpoint) []modelstate.PeriodUsage {
	sum := modelstate.SumPeriods(e.status.fold.Quota)
	t := &a.w.store.tables[reports]
	for _, name := range t.names {
		r := t.objects[name].(*proxyReport)
		if e.status.fold.Has(r.instanceUID) {
			continue
		}
		for i := range r.numbers {
			if r.numbers[i].Endpoint == e.uid {
				sum = modelstate.SumPeriods(sum, r.numbers[i].Quota)
			}
		}
	}
	return sum
}

func (a *audit) reportStored(old, next object) {
	if next == nil {
		a.reportGone(old.(*proxyReport))
		return
	}
	r := next.(*proxyReport)
	before, _ := old.(*proxyReport)
	if before != nil && sameSheet(before.numbers, r.numbers) {
		if r.sealed && !before.sealed {
			a.w.counts.seals++
		}
		return
	}
	for i := range r.numbers {
		a.reported[reportKey{r.instanceUID, r.numbers[i].Endpoint}] = &r.numbers[i]
		if o := a.w.endpointOf(r.numbers[i].Endpoint); o != nil {
			a.booked(a.endpoints[o.uid], o)
		}
	}
}

// reportGone holds it against whoever takes a page away that its numbers are in the books.
func (a *audit) reportGone(r *proxyReport) {
	for i := range r.numbers {
		n := &r.numbers[i]
		if e := a.w.endpointOf(n.Endpoint); e != nil && !e.status.fold.Has(r.instanceUID) && used(n) {
			a.broken(lawKept, "%s goes, and what it says of %s is not in the books", r.name, e.name)
		}
	}
}

func used(n *modelstate.Numbers) bool {
	return slices.ContainsFunc(n.Quota, func(p modelstate.PeriodUsage) bool { return p.Requests > 0 })
}
