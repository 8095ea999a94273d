// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"errors"
	"slices"
	"strconv"
	"time"
)

// operator is one process of the operator. It keeps books from its start, and writes while it leads.
type operator struct {
	*process
	seat  *seat
	books *books
	leads bool

	endpoints, instances, reports *watcher
	// lookDue is when the endpoints are to be looked at.
	lookDue time.Time
	looking *thread
	// memory is what the last look at each endpoint came to, written when its status was written last; by UID.
	memory  map[string]memory
	written map[string]time.Time
	// present are the UIDs of instances that there were when it was last asked, about those that were asked about
	// until then, since those that were asked about after it.
	present, about, since map[string]bool
	asked                 time.Time
	// due is when to look at which instance, burying who does.
	due     dues
	burying *thread
	seen    map[string]sighting
	// leases know what is lent to whom; granting tells those whose turn it is, in the order of the names in grants.
	leases   *leasebook
	granting *thread
	grants   dues
	// own is what was written last and the caches may not show yet.
	own newest
}

// seat is a place for an operator.
type seat struct {
	*actor
	current *operator
	// leads says that whoever runs here believes to lead.
	leads bool
	lives int
}

// begin starts a process.
func (st *seat) begin() {
	o := &operator{
		process: &process{actor: st.actor, alive: true}, seat: st, leads: st.leads,
		memory: map[string]memory{}, written: map[string]time.Time{}, seen: map[string]sighting{},
		own: newest{},
	}
	st.current = o
	st.lives++
	o.lookDue = o.now()
	o.books = newBooks(o)
	o.leases = &leasebook{o: o, endpoints: map[string]*lent{}}
	o.endpoints = o.watch(endpoints, "", o.endpointChanged)
	o.reports = o.watch(reports, "", o.books.setReport)
	o.instances = o.watch(instances, "", o.instanceChanged)
	o.looking = o.start(o.reconcileNamespace)
	o.burying = o.start(o.reconcileInstances)
	o.granting = o.start(o.instructAll)
}

func (o *operator) endpointChanged(_, _ object) { o.ask(holdoff) }

func (o *operator) instanceChanged(old, next object) {
	o.books.setInstance(old, next)
	before, _ := old.(*proxyInstance)
	if after, ok := next.(*proxyInstance); ok && (before == nil || before.generation != after.generation || before.uid != after.uid) {
		o.grantsDue(after.name, 0)
	}
}

// lead begins or ceases to lead.
func (o *operator) lead(leads bool) {
	o.leads = leads
	for _, t := range []*thread{o.looking, o.burying, o.granting} {
		t.nudge()
	}
	if leads {
		o.askAt(o.now())
	}
}

// gone asks the API server which instances are gone for certain, every ten seconds at most. Of those that it was not
// asked about in time it says no.
func (o *operator) gone(t *thread, uids []string) func(uid string) bool {
	if len(uids) == 0 {
		return func(string) bool { return false }
	}
	if o.since == nil {
		o.since = map[string]bool{}
	}
	for _, uid := range uids {
		o.since[uid] = true
	}
	if now := o.now(); o.present == nil || now.Sub(o.asked) >= askForAbsence {
		asked := o.since
		list, err := call(t, listLive, func(s *store) ([]*proxyInstance, error) { return listed[*proxyInstance](s, instances), nil })
		if err != nil {
			return func(string) bool { return false }
		}
		o.present, o.asked, o.about, o.since = map[string]bool{}, now, asked, nil
		for _, i := range list {
			o.present[i.uid] = true
		}
	}
	present, about := o.present, o.about
	return func(uid string) bool { return (about[uid] || o.w.bad(hastyAbsence, true)) && !present[uid] }
}

// dues are names and when it is their turn.
type dues struct {
	at    map[string]time.Time
	names []string
}

// set asks for a turn, unless there is an earlier one.
func (d *dues) set(name string, at time.Time) (sooner bool) {
	due, known := d.at[name]
	if known && !at.Before(due) {
		return false
	}
	if !known {
		d.names = append(d.names, name)
	}
	if d.at == nil {
		d.at = map[string]time.Time{}
	}
	d.at[name] = at
	return true
}

// next is whose turn it is next; empty for nobody's.
func (d *dues) next() (name string, at time.Time) {
	for _, n := range d.names {
		if due := d.at[n]; name == "" || due.Before(at) {
			name, at = n, due
		}
	}
	return name, at
}

func (d *dues) done(name string) {
	delete(d.at, name)
	d.names = slices.DeleteFunc(d.names, func(n string) bool { return n == name })
}

// work does whatever is due, one after the other, while the operator leads. What fails is tried again.
func (o *operator) work(t *thread, d *dues, do func(t *thread, name string) (again time.Duration, err error)) {
	for {
		name, at := d.next()
		if name == "" || at.After(o.now()) || !o.leads {
			until := o.now().Add(idle)
			if o.leads && name != "" {
				until = at
			}
			t.sleep(until)
			continue
		}
		d.done(name)
		again, err := do(t, name)
		if err != nil {
			again = time.Second
		}
		if again > 0 {
			d.set(name, o.now().Add(again))
		}
	}
}

// reconcileInstances looks after proxy processes.
func (o *operator) reconcileInstances(t *thread) { o.work(t, &o.due, o.reconcileInstance) }

// instanceDue asks for a look at an instance.
func (o *operator) instanceDue(name string, after time.Duration) {
	if o.due.set(name, o.now().Add(after)) {
		o.burying.nudge()
	}
}

const (
	deadAfter = 120 * time.Second
	lookEvery = 30 * time.Second
	foldAgain = 5 * time.Second
	settling  = 15 * time.Second
)

// reconcileInstance looks at one ProxyInstance.
func (o *operator) reconcileInstance(t *thread, name string) (again time.Duration, err error) {
	i, _ := o.books.processes.objects[name].(*proxyInstance)
	if i == nil {
		delete(o.seen, name)
		return o.buryStrays(t, name)
	}
	if ended(i) {
		delete(o.seen, name)
		return o.bury(t, deceased{name: name, uid: i.uid, pages: i.status.pages, instance: i})
	}
	why, again, err := o.death(t, i)
	if err != nil {
		return 0, err
	}
	if why == "" {
		_, err := o.instruct(t, i, sometime)
		return again, err
	}
	o.w.tell(o.actor, "deletes "+name+", "+why)
	o.w.counts.deaths++
	_, err = call(t, deleteInstance, func(s *store) (object, error) { return nil, s.remove(instances, name, i.uid) })
	if err != nil && !errors.Is(err, errNotFound) && !errors.Is(err, errConflict) {
		return 0, err
	}
	return lookEvery, nil // unless the news come first
}

// sighting is what was seen of a process when it was last seen to move.
type sighting struct {
	uid      string
	pulse    time.Time
	at       time.Time
	looked   time.Time
	first    time.Time
	restarts int
	settled  bool
}

func (o *operator) sighting(i *proxyInstance) sighting {
	if last := o.seen[i.name]; last.uid == i.uid {
		return last
	}
	return sighting{uid: i.uid}
}

// death says why a process counts as gone; empty while it lives, and then when to look again.
func (o *operator) death(t *thread, i *proxyInstance) (why string, again time.Duration, err error) {
	if i.owner != "" {
		return o.deathOfPod(t, i)
	}
	pulse, err := call(t, readPulse, func(s *store) (time.Time, error) {
		if l, _ := s.tables[leases].objects[i.name].(*lease); l != nil {
			return l.renewed, nil
		}
		return time.Time{}, nil
	})
	if err != nil {
		return "", 0, err
	}
	still := o.standsStill(i, pulse)
	if still < deadAfter {
		return "", min(lookEvery, deadAfter-still), nil
	}
	return "whose Lease has not moved for " + still.String(), 0, nil
}

func (o *operator) standsStill(i *proxyInstance, pulse time.Time) time.Duration {
	now := o.now()
	last := o.sighting(i)
	if last.at.IsZero() || !last.pulse.Equal(pulse) {
		last.pulse, last.at = pulse, now
	} else if earliest := now.Add(lookEvery - deadAfter); now.Sub(last.looked) > 2*lookEvery && last.at.Before(earliest) {
		last.at = earliest
	}
	last.looked = now
	o.seen[i.name] = last
	return now.Sub(last.at)
}

func (o *operator) deathOfPod(t *thread, i *proxyInstance) (why string, again time.Duration, err error) {
	p, err := call(t, readPod, func(s *store) (*pod, error) {
		for _, name := range s.tables[pods].names {
			if p := s.tables[pods].objects[name].(*pod); p.uid == i.owner {
				return p, nil
			}
		}
		return nil, errNotFound
	})
	switch {
	case errors.Is(err, errNotFound):
		return "whose Pod is gone", lookEvery, nil
	case err != nil:
		return "", 0, err
	case o.restarted(i, p):
		return "whose container has restarted", lookEvery, nil
	}
	return "", lookEvery, nil
}

func (o *operator) restarted(i *proxyInstance, p *pod) bool {
	if p.started.After(i.created.Add(clockSkew)) {
		return true
	}
	now := o.now()
	last := o.sighting(i)
	if last.settled {
		return p.restarts > last.restarts
	}
	if last.first.IsZero() {
		last.first = now
	}
	if now.Sub(last.first) >= settling {
		last.restarts, last.settled = p.restarts, true
	}
	o.seen[i.name] = last
	return false
}

// deceased is a process of which nothing follows.
type deceased struct {
	name, uid string
	pages     int
	instance  *proxyInstance // nil when only reports are left
}

// named is an endpoint that a report, or a lease, names.
type named struct{ name, uid string }

// bury takes the numbers of a process into the books, and then its objects away.
func (o *operator) bury(t *thread, d deceased) (again time.Duration, err error) {
	if o.books.final[d.uid] {
		left, err := o.unfolded(t, d)
		if err != nil {
			return 0, err
		}
		if left {
			return foldAgain, nil
		}
	}
	sealed, err := o.seal(t, d)
	if err != nil {
		return 0, err
	}
	o.books.seal(d.uid, sealed)
	left, err := o.unfolded(t, d)
	if err != nil {
		return 0, err
	}
	if left {
		o.ask(lazyHoldoff)
		return foldAgain, nil
	}
	return 0, o.release(t, d, sealed)
}

// buryStrays does the same for reports whose ProxyInstance is gone.
func (o *operator) buryStrays(t *thread, name string) (again time.Duration, err error) {
	var uids []string
	for _, list := range []*cache{&o.books.pages, &o.books.late} {
		for _, n := range list.names {
			if p := list.objects[n].(*proxyReport); p.instance == name && !slices.Contains(uids, p.instanceUID) {
				uids = append(uids, p.instanceUID)
			}
		}
	}
	if len(uids) == 0 {
		return 0, nil
	}
	i, err := call(t, readInstance, func(s *store) (*proxyInstance, error) { return read[*proxyInstance](s, instances, name) })
	if err != nil && !errors.Is(err, errNotFound) {
		return 0, err
	}
	for _, uid := range uids {
		if err == nil && i.uid == uid {
			continue // the cache is late
		}
		one, err := o.bury(t, deceased{name: name, uid: uid})
		if err != nil {
			return 0, err
		}
		again = max(again, one)
	}
	return again, nil
}

// seal seals all reports of a process and returns them with their last content.
func (o *operator) seal(t *thread, d deceased) ([]*proxyReport, error) {
	known := o.books.of(d.uid)
	last := d.pages - 1
	for _, p := range known {
		last = max(last, p.index)
	}
	var sealed []*proxyReport
	for page := 0; page <= last+1; page++ {
		name := d.name + "-" + strconv.Itoa(page)
		report, err := call(t, sealPage, func(s *store) (*proxyReport, error) {
			return s.sealPage(d, name, page)
		})
		switch {
		case err == nil:
			sealed = append(sealed, report)
			last = max(last, page)
		case !errors.Is(err, errNotFound):
			return nil, err
		}
	}
	return sealed, nil
}

// sealPage seals one report. One that its process has spoken of and not created yet is made in its place: numbers that
// came after this would be lost.
func (s *store) sealPage(d deceased, name string, page int) (*proxyReport, error) {
	stored, err := read[*proxyReport](s, reports, name)
	switch {
	case err != nil && d.instance != nil && page < d.pages && !s.w.bad(unsealed, true):
		return as[*proxyReport](s.create(reports, &proxyReport{
			meta:     meta{name: name, finalizer: true, owner: d.uid},
			instance: d.name, instanceUID: d.uid, index: page, sealed: true,
		}))
	case err != nil:
		return nil, err
	case stored.instanceUID != d.uid:
		return nil, errNotFound
	}
	return as[*proxyReport](s.seal(stored))
}

// seal marks a report as sealed; sealing it again changes nothing.
func (s *store) seal(stored *proxyReport) (object, error) {
	if stored.sealed || s.w.bad(unsealed, true) {
		return stored, nil
	}
	return s.change(reports, stored, func(o object) { o.(*proxyReport).sealed = true })
}

// unfolded reports whether an endpoint has yet to take in what the process has counted of it or was lent.
func (o *operator) unfolded(t *thread, d deceased) (bool, error) {
	if o.w.bad(releasedEarly, true) {
		return false, nil
	}
	for _, n := range o.named(d) {
		e, err := o.endpoint(t, n)
		if err != nil {
			return false, err
		}
		if e != nil && !e.status.fold.Has(d.uid) {
			return true, nil
		}
	}
	return false, nil
}

// named are the endpoints that have to do with a process: those that it has counted something of, was told of leases
// on, or has leases on that it was never told of.
func (o *operator) named(d deceased) []named {
	var out []named
	add := func(n named) {
		if !slices.Contains(out, n) {
			out = append(out, n)
		}
	}
	for _, p := range o.books.of(d.uid) {
		for i := range p.numbers {
			add(named{p.numbers[i].Name, p.numbers[i].Endpoint})
		}
	}
	if d.instance != nil {
		for _, g := range d.instance.spec.grants {
			add(named{g.Name, g.UID})
		}
	}
	for _, g := range o.leases.of(d.uid) {
		add(named{g.Name, g.UID})
	}
	return out
}

// endpoint is the endpoint that is named; nil when it is gone, which only the API server can say.
func (o *operator) endpoint(t *thread, n named) (*modelEndpoint, error) {
	if e, _ := o.endpoints.objects[n.name].(*modelEndpoint); e != nil && e.uid == n.uid && !e.deleting {
		return e, nil
	}
	e, err := call(t, readEndpoint, func(s *store) (*modelEndpoint, error) { return read[*modelEndpoint](s, endpoints, n.name) })
	if err != nil {
		return nil, ignoreNotFound(err)
	}
	if e.uid != n.uid || e.deleting {
		return nil, nil
	}
	return e, nil
}

// release takes away the objects of a process whose numbers are in the books.
func (o *operator) release(t *thread, d deceased, sealed []*proxyReport) error {
	for _, report := range sealed {
		_, err := call(t, releasePage, func(s *store) (object, error) { return nil, s.release(reports, report) })
		if ignoreNotFound(err) != nil {
			return err
		}
		o.books.forget(report) // the answer to the seal may have come after the news that it is gone
	}
	if d.instance == nil {
		return nil
	}
	_, err := call(t, releaseInstance, func(s *store) (object, error) { return nil, s.release(instances, d.instance) })
	if err == nil {
		o.w.tell(o.actor, "takes "+d.name+" away")
	}
	return ignoreNotFound(err)
}

// release takes the finalizer off an object that is the version that was read, and deletes it.
func (s *store) release(k kind, read object) error {
	if read.head().finalizer {
		if _, err := s.update(k, read, func(o object) { o.head().finalizer = false }); err != nil {
			return err
		}
	}
	return ignoreNotFound(s.remove(k, read.head().name, read.head().uid))
}
