// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/turnout-ai/turnout/internal/modelstate"
)

// This file is the shell of package report, function by function: see there for why each does what it does.

const (
	renewEvery       = 30 * time.Second
	reportInterval   = 5 * time.Second
	firstRetry       = time.Second
	maxRetry         = 30 * time.Second
	statusTries      = 3
	farewellTimeout  = 8 * time.Second
	numbersTimeout   = 6 * time.Second
	farewellRetry    = 100 * time.Millisecond
	firstPause       = 20 * time.Millisecond
	fleetSpacing     = 100 * time.Millisecond
	fleetBurst       = 100
	leastBurst       = 5
	idle             = time.Hour
	endpointsPerPage = 2
)

var errDead = errors.New("this proxy is believed dead")

// registration is what this process has at the API server, as of its own last word with it.
type registration struct {
	instance *proxyInstance
	watch    *watcher
	lease    *lease
	renewed  time.Time
	said     *instanceStatus
	greeted  bool
	checked  time.Time
	pageOf   map[string]int
	pages    []*page
	counted  time.Time
}

// page is one ProxyReport of this process.
type page struct {
	object          *proxyReport
	stored, attempt []modelstate.Numbers
	gone            bool
}

func (p *page) keep(object *proxyReport, stored []modelstate.Numbers) {
	p.object, p.stored, p.attempt = object, stored, nil
}

func (p *page) dead() error {
	if p.gone || p.object != nil && (p.object.sealed || p.object.deleting) {
		return errDead
	}
	return nil
}

// record is what is on record of an endpoint under an earlier instance.
type record struct {
	numbers modelstate.Numbers
}

// duty is one of the things a reporter does again and again.
type duty struct {
	due       func(now time.Time) (at time.Time, ok bool)
	do        func() error
	urgent    bool
	failures  int
	notBefore time.Time
}

func (d *duty) next(now time.Time) (at time.Time, ok bool) {
	at, ok = d.due(now)
	return later(at, d.notBefore), ok
}

// reporter keeps one ProxyInstance with its pages and its Lease.
type reporter struct {
	p          *proxy
	t          *thread
	duties     []*duty
	enlisting  *duty
	mine       registration
	interval   time.Duration
	proxies    int
	wanted     time.Time
	last       time.Time // pacing
	pause      time.Duration
	spent      time.Time
	vain       time.Time
	leaving    bool
	looked     bool
	marked     bool
	deaths     int
	former     []*page
	carried    map[string][]record
	ending     bool
	registered int
}

func newReporter(p *proxy) *reporter {
	r := &reporter{p: p, carried: map[string][]record{}, interval: reportInterval, proxies: 1}
	r.enlisting = &duty{due: r.enlistDue, do: r.enlist}
	r.duties = []*duty{
		r.enlisting,
		{due: r.renewDue, do: r.renew, urgent: true},
		{due: r.lookDue, do: r.look, urgent: true},
		{due: r.speakDue, do: r.speak, urgent: true},
		{due: r.markDue, do: r.markElders},
		{due: r.countDue, do: r.count},
	}
	return r
}

func (r *reporter) run(t *thread) {
	r.t = t
	for !r.ending {
		r.round()
		r.rest()
	}
	r.farewell()
}

func (r *reporter) round() {
	for _, d := range r.duties {
		if r.isDue(d) && !r.ending {
			r.perform(d)
		}
	}
}

func (r *reporter) isDue(d *duty) bool {
	now := r.p.now()
	at, ok := d.next(now)
	return ok && !at.After(now)
}

func (r *reporter) perform(d *duty) {
	err := d.do()
	switch {
	case err == nil:
		d.failures, d.notBefore = 0, time.Time{}
	case errors.Is(err, errDead):
		d.failures, d.notBefore = 0, time.Time{}
		r.bury()
	default:
		d.failures++
		d.notBefore = r.p.now().Add(retryAfter(d.failures))
	}
}

func retryAfter(failures int) time.Duration {
	if failures < 6 {
		return firstRetry << (failures - 1)
	}
	return maxRetry
}

// rest waits until something is due, or something has been reminded of.
func (r *reporter) rest() {
	now := r.p.now()
	at := now.Add(idle)
	for _, d := range r.duties {
		if due, ok := d.next(now); ok {
			at = earlier(at, due)
		}
	}
	if at.After(now) && !r.ending {
		r.t.sleep(at)
	}
}

// want notes that there is something urgent to say.
func (r *reporter) want() {
	if r.wanted.IsZero() {
		r.wanted = r.p.now()
		r.t.nudge()
	}
}

// returned ends all pauses after failures: the API server answers again.
func (r *reporter) returned() {
	for _, d := range r.duties {
		d.notBefore = time.Time{}
	}
	r.t.nudge()
}

func (r *reporter) enlistDue(now time.Time) (at time.Time, ok bool) {
	return now, r.mine.instance == nil
}

func (r *reporter) enlist() error {
	if r.p.w.bad(adoption, r.mine.instance == nil) && r.adopt() {
		return nil
	}
	r.registered++
	place, owner := r.p.place, r.p.podUID
	created, err := call(r.t, createInstance, func(s *store) (*proxyInstance, error) {
		name := place.name + "-" + s.w.generateName(place) // another one each time, also when the request comes twice
		return as[*proxyInstance](s.create(instances, &proxyInstance{meta: meta{name: name, finalizer: true, owner: owner}}))
	})
	if err != nil {
		r.marked = false
		return fmt.Errorf("creating a ProxyInstance: %w", err)
	}
	r.begin(created)
	return nil
}

// begin is what this process does under an instance of its own.
func (r *reporter) begin(instance *proxyInstance) {
	w := r.p.w
	w.audit.registered(r.p, instance.uid)
	w.tell(r.p.actor, "registers as "+instance.name)
	jitter := time.Duration(hash(w.chance.seed, choice{r.p.id, arrives, uint32(r.registered)}) % uint64(r.interval))
	r.mine = registration{instance: instance, pageOf: map[string]int{}, counted: r.p.now().Add(-jitter)}
	r.p.instance = instance.uid
	r.mine.watch = r.p.watch(instances, instance.name, r.noticed)
	r.looked = true
}

// noticed reminds of a change of the watched instance, and takes in at once what was granted.
func (r *reporter) noticed(old, next object) {
	if r.mine.watch == nil {
		return // the first list
	}
	before, _ := old.(*proxyInstance)
	after, _ := next.(*proxyInstance)
	if before == nil || after == nil || before.generation != after.generation || alive(before, before) != alive(after, after) {
		r.looked = false
		r.catchUp()
		r.t.nudge()
	}
}

// catchUp takes over what the watch has seen. It returns false when that is not the instance as it should be.
func (r *reporter) catchUp() bool {
	if r.mine.instance == nil {
		return false
	}
	found, _ := r.mine.watch.objects[r.mine.instance.name].(*proxyInstance)
	if found == nil || !alive(found, r.mine.instance) {
		return false
	}
	if found.generation > r.mine.instance.generation {
		r.heed(found)
	}
	return true
}

func (r *reporter) markDue(now time.Time) (at time.Time, ok bool) {
	return now, r.mine.instance != nil && !r.marked
}

func (r *reporter) markElders() error {
	if r.p.podUID != "" {
		list, err := call(r.t, listInstances, func(s *store) ([]*proxyInstance, error) { return listed[*proxyInstance](s, instances), nil })
		if err != nil {
			return fmt.Errorf("looking for earlier ProxyInstances: %w", err)
		}
		for _, elder := range list {
			if elder.uid == r.mine.instance.uid || elder.status.ended || elder.owner != r.p.podUID {
				continue
			}
			if err := r.markEnded(elder); err != nil {
				return fmt.Errorf("saying that ProxyInstance %s has ended: %w", elder.name, err)
			}
		}
	}
	r.marked = true
	return nil
}

func (r *reporter) markEnded(instance *proxyInstance) error {
	_, err := call(r.t, markEnded, func(s *store) (object, error) {
		return s.update(instances, instance, func(o object) {
			i := o.(*proxyInstance)
			i.status.ended, i.status.signals = true, nil
		})
	})
	if err == nil {
		r.p.w.tell(r.p.actor, "says that "+instance.name+" has ended")
	}
	return ignoreNotFound(err)
}

func (r *reporter) refresh() error {
	mine := r.mine.instance
	instance, err := call(r.t, readInstance, func(s *store) (*proxyInstance, error) { return read[*proxyInstance](s, instances, mine.name) })
	if err != nil && !errors.Is(err, errNotFound) {
		return fmt.Errorf("reading ProxyInstance %s: %w", mine.name, err)
	}
	if err != nil || !alive(instance, mine) {
		return errDead
	}
	r.heed(instance)
	return nil
}

// advance takes over an answer to a write, unless the watch has been faster.
func (r *reporter) advance(instance *proxyInstance) {
	if instance.generation >= r.mine.instance.generation {
		r.heed(instance)
	}
}

// heed takes over a version of the instance, and what the operator says in it that is new.
func (r *reporter) heed(instance *proxyInstance) {
	news := instance.generation != r.mine.instance.generation
	r.mine.instance = instance
	if !news {
		return
	}
	if instance.spec.interval > 0 {
		r.interval = instance.spec.interval
	}
	r.proxies = max(instance.spec.proxies, 1)
	r.p.granted(instance.spec.grants, r.proxies)
	r.pause = min(r.pause, firstPause)
}

func alive(found, registered *proxyInstance) bool {
	return found.uid == registered.uid && !found.deleting && !found.status.ended
}

func (r *reporter) bury() {
	if r.mine.instance == nil {
		return
	}
	r.p.w.tell(r.p.actor, "finds that "+r.mine.instance.name+" is believed dead")
	r.p.w.counts.rebirths++
	r.p.w.audit.reborn(r.p)
	r.mine.watch.stop()
	r.p.disowned()
	r.abandon()
	r.dropLease()
	r.former = append(r.former, r.mine.pages...)
	r.mine = registration{}
	if r.deaths++; r.deaths > 1 {
		r.enlisting.notBefore = r.p.now().Add(retryAfter(r.deaths - 1))
	}
}

func (r *reporter) abandon() {
	mine := r.mine.instance
	instance, err := call(r.t, readInstance, func(s *store) (*proxyInstance, error) { return read[*proxyInstance](s, instances, mine.name) })
	if err == nil && instance.uid == mine.uid && !instance.status.ended {
		_ = r.markEnded(instance) // without it the operator finds out by the Lease
	}
}

// speakDue is when the status has to be looked at.
func (r *reporter) speakDue(now time.Time) (at time.Time, ok bool) {
	if r.mine.instance == nil {
		return time.Time{}, false
	}
	if !r.mine.greeted {
		return now, true
	}
	at = r.mine.checked.Add(r.interval)
	if !r.wanted.IsZero() {
		at = earlier(at, r.wanted)
	}
	return later(at, r.mayWrite()), true
}

// burst is how many writes this proxy may have saved up.
func (r *reporter) burst() int { return max(leastBurst, fleetBurst/r.proxies) }

func (r *reporter) spacing() time.Duration { return time.Duration(r.proxies) * fleetSpacing }

func (r *reporter) mayWrite() time.Time {
	saved := r.spacing() * time.Duration(r.burst()-1)
	spent := earlier(r.spent, r.last.Add(saved+r.spacing()))
	next := later(r.last.Add(r.pause), spent.Add(-saved))
	return later(next, r.vain.Add(firstPause))
}

func (r *reporter) wrote(now time.Time) {
	if r.pause > 0 && now.Sub(r.last) < 2*r.pause {
		r.pause = min(2*r.pause, r.interval)
	} else {
		r.pause = firstPause
	}
	r.last = now
	r.spent = later(r.spent, now).Add(r.spacing())
}

func (r *reporter) speak() error {
	r.catchUp()
	now := r.p.now()
	wanted := r.wanted
	r.wanted, r.mine.checked = time.Time{}, now
	status := r.status(now)
	if r.mine.said != nil && r.mine.said.same(&status) {
		if !wanted.IsZero() {
			r.vain = now
		}
		return nil
	}
	if err := r.write(status); err != nil {
		r.wanted = wanted
		if wanted.IsZero() {
			r.wanted = now
		}
		return err
	}
	if r.mine.greeted {
		r.wrote(now)
	}
	r.mine.greeted = true
	return nil
}

func (r *reporter) status(now time.Time) instanceStatus {
	signals, isolated := r.p.registry.Signals(now)
	slices.SortFunc(signals, func(a, b modelstate.Signal) int { return compare(a.Endpoint, b.Endpoint) })
	if r.leaving {
		signals = nil
	}
	return instanceStatus{
		version: "v1", pages: len(r.mine.pages), signals: signals, isolated: isolated, asks: r.p.asks(now, r.interval),
	}
}

func (r *reporter) write(status instanceStatus) error {
	r.mine.said = nil
	for try := 1; ; try++ {
		instance := r.mine.instance
		stored, err := call(r.t, writeSignals, func(s *store) (*proxyInstance, error) {
			return as[*proxyInstance](s.update(instances, instance, func(o object) { o.(*proxyInstance).status = status }))
		})
		if err == nil {
			r.p.w.storyOfAsks(r.p, status.asks)
			r.mine.said = &status
			r.advance(stored)
			if stored.deleting {
				return errDead // a page that is created from now on may come after the seal
			}
			return nil
		}
		if refused(err) {
			if err := r.refresh(); err != nil {
				return err
			}
			if try < statusTries {
				ended, final := status.ended, status.final
				status = r.status(r.p.now())
				status.ended, status.final = ended, final
				continue
			}
		}
		return fmt.Errorf("writing the status of ProxyInstance %s: %w", instance.name, err)
	}
}

func (r *reporter) lookDue(now time.Time) (at time.Time, ok bool) {
	return now, r.mine.instance != nil && !r.looked
}

func (r *reporter) look() error {
	if !r.catchUp() {
		if err := r.refresh(); err != nil {
			return err
		}
	}
	r.looked = true
	return nil
}

func (r *reporter) renewDue(now time.Time) (at time.Time, ok bool) {
	if r.mine.lease == nil {
		return now, r.mine.instance != nil
	}
	return r.mine.renewed.Add(renewEvery), true
}

func (r *reporter) renew() error {
	if r.mine.lease == nil {
		return r.createLease()
	}
	if err := r.refresh(); err != nil {
		return err
	}
	r.deaths = 0
	now, held := r.p.now(), r.mine.lease
	renewed, err := call(r.t, renewLease, func(s *store) (*lease, error) {
		return as[*lease](s.update(leases, held, func(o object) { o.(*lease).renewed = now }))
	})
	switch {
	case refused(err):
		return r.reread()
	case err != nil:
		return fmt.Errorf("renewing a Lease: %w", err)
	}
	r.mine.lease, r.mine.renewed = renewed, now
	return nil
}

func (r *reporter) createLease() error {
	now, instance := r.p.now(), r.mine.instance
	created, err := call(r.t, createLease, func(s *store) (*lease, error) {
		return as[*lease](s.create(leases, &lease{meta: meta{name: instance.name, owner: instance.uid}, renewed: now}))
	})
	switch {
	case errors.Is(err, errExists):
		return r.reread()
	case err != nil:
		return fmt.Errorf("creating a Lease: %w", err)
	}
	r.mine.lease, r.mine.renewed = created, now
	return nil
}

func (r *reporter) reread() error {
	name := r.mine.instance.name
	found, err := call(r.t, readLease, func(s *store) (*lease, error) { return read[*lease](s, leases, name) })
	switch {
	case errors.Is(err, errNotFound):
		return r.createLease()
	case err != nil:
		return fmt.Errorf("reading a Lease: %w", err)
	}
	r.mine.lease, r.mine.renewed = found, time.Time{}
	return nil
}

func (r *reporter) dropLease() {
	if held := r.mine.lease; held != nil {
		_, _ = call(r.t, deleteLease, func(s *store) (object, error) { return nil, s.remove(leases, held.name, held.uid) })
	}
}

func (r *reporter) countDue(time.Time) (at time.Time, ok bool) {
	return r.mine.counted.Add(r.interval), r.mine.greeted
}

func (r *reporter) count() error {
	if err := r.settle(); err != nil {
		return err
	}
	now := r.p.now()
	sheets := r.place(r.remaining(r.p.registry.Numbers(now)))
	if err := r.raise(len(sheets)); err != nil {
		return err
	}
	for i, sheet := range sheets {
		if p := r.mine.pages[i]; p.attempt != nil || !sameSheet(p.stored, sheet) {
			if err := r.writePage(p, i, sheet); err != nil {
				return err
			}
			r.interject()
			if r.mine.instance == nil {
				return errDead
			}
		}
	}
	r.mine.counted = now
	return nil
}

// place puts numbers on their pages, and new endpoints on the first free place.
func (r *reporter) place(numbers []modelstate.Numbers) [][]modelstate.Numbers {
	var sheets [][]modelstate.Numbers
	for i := range numbers {
		uid := numbers[i].Endpoint
		at, known := r.mine.pageOf[uid]
		if !known {
			at = len(r.mine.pageOf) / endpointsPerPage
			r.mine.pageOf[uid] = at
		}
		for len(sheets) <= at {
			sheets = append(sheets, nil)
		}
		sheets[at] = append(sheets[at], numbers[i])
	}
	return sheets
}

func (r *reporter) interject() {
	for _, d := range r.duties {
		if d.urgent && r.isDue(d) {
			r.perform(d)
		}
	}
}

func (r *reporter) raise(pages int) error {
	for len(r.mine.pages) < pages {
		r.mine.pages = append(r.mine.pages, &page{})
	}
	if pages == 0 || r.mine.said != nil && r.mine.said.pages >= pages {
		return nil
	}
	return r.write(r.status(r.p.now()))
}

func (r *reporter) writePage(p *page, index int, sheet []modelstate.Numbers) error {
	if p.object == nil {
		if err := r.createPage(p, index); err != nil {
			return err
		}
	}
	if p.attempt != nil {
		if err := r.rereadPage(p); err != nil {
			return err
		}
	}
	for try := 1; ; try++ {
		err := r.updatePage(p, sheet)
		if !errors.Is(err, errConflict) || try == statusTries {
			return err
		}
		if err := r.rereadPage(p); err != nil {
			return err
		}
	}
}

func (r *reporter) createPage(p *page, index int) error {
	instance := r.mine.instance
	fresh := &proxyReport{
		meta:     meta{name: instance.name + "-" + strconv.Itoa(index), finalizer: true, owner: instance.uid},
		instance: instance.name, instanceUID: instance.uid, index: index,
	}
	made, err := call(r.t, createPage, func(s *store) (*proxyReport, error) {
		return as[*proxyReport](s.create(reports, fresh))
	})
	if errors.Is(err, errExists) {
		made, err = call(r.t, readPage, func(s *store) (*proxyReport, error) { return read[*proxyReport](s, reports, fresh.name) })
		if err == nil && made.instanceUID != instance.uid {
			return errDead
		}
	}
	if err != nil {
		return fmt.Errorf("creating ProxyReport %s: %w", fresh.name, err)
	}
	p.keep(made, made.numbers)
	return p.dead()
}

func (r *reporter) updatePage(p *page, sheet []modelstate.Numbers) error {
	last, before := p.object, p.attempt
	p.attempt = sheet
	stored, err := call(r.t, writePage, func(s *store) (*proxyReport, error) {
		return as[*proxyReport](s.update(reports, last, func(o object) { o.(*proxyReport).numbers = sheet }))
	})
	if refused(err) {
		p.attempt = before
	}
	switch {
	case err == nil:
		p.keep(stored, sheet)
		return nil
	case errors.Is(err, errNotFound):
		p.gone = true
		return p.dead()
	}
	return fmt.Errorf("writing ProxyReport %s: %w", last.name, err)
}

func (r *reporter) rereadPage(p *page) error {
	name := p.object.name
	found, err := call(r.t, readPage, func(s *store) (*proxyReport, error) { return read[*proxyReport](s, reports, name) })
	switch {
	case errors.Is(err, errNotFound), err == nil && found.uid != p.object.uid:
		p.gone = true
	case err != nil:
		return fmt.Errorf("reading ProxyReport %s: %w", name, err)
	case found.version != p.object.version:
		p.keep(found, found.numbers)
	}
	return p.dead()
}

func (r *reporter) settle() error {
	for len(r.former) > 0 {
		content, err := r.settlePage(r.former[0])
		if err != nil {
			return err
		}
		r.carry(content)
		r.former = r.former[1:]
	}
	return nil
}

func (r *reporter) settlePage(p *page) ([]modelstate.Numbers, error) {
	for try := 1; ; try++ {
		switch {
		case p.attempt == nil:
			return p.stored, nil
		case p.gone:
			r.p.w.audit.lostAnswer(r.p, p.stored, p.attempt)
			return p.attempt, nil
		}
		if err := r.rereadPage(p); err != nil && !errors.Is(err, errDead) {
			return nil, err
		}
		if p.attempt == nil || p.gone {
			continue
		}
		err := r.updatePage(p, p.attempt)
		if err != nil && !errors.Is(err, errDead) && (!errors.Is(err, errConflict) || try == statusTries) {
			return nil, fmt.Errorf("finding out what an earlier report holds: %w", err)
		}
	}
}

func (r *reporter) carry(content []modelstate.Numbers) {
	if r.p.w.bad(carriedTwice, true) {
		return
	}
	for i := range content {
		r.carried[content[i].Endpoint] = append(r.carried[content[i].Endpoint], record{content[i]})
	}
}

func (r *reporter) remaining(numbers []modelstate.Numbers) []modelstate.Numbers {
	if len(r.carried) == 0 {
		return numbers
	}
	out := slices.Clone(numbers)
	for i := range out {
		records := slices.DeleteFunc(r.carried[out[i].Endpoint], func(r record) bool { return apart(&r.numbers, &numbers[i]) })
		r.carried[out[i].Endpoint] = records
		for _, sealed := range records {
			out[i] = modelstate.Subtract(out[i], sealed.numbers)
		}
	}
	return out
}

// apart reports whether two numbers have no period in common.
func apart(a, b *modelstate.Numbers) bool {
	share := func(x, y []modelstate.PeriodUsage) bool {
		return slices.ContainsFunc(x, func(p modelstate.PeriodUsage) bool {
			return slices.ContainsFunc(y, func(q modelstate.PeriodUsage) bool { return p.Start.Equal(q.Start) })
		})
	}
	return !share(a.Quota, b.Quota) && !share(a.Budget, b.Budget)
}

// farewell says the last word: all numbers, then that nothing follows.
func (r *reporter) farewell() {
	r.p.w.tell(r.p.actor, "has drained, and says its last word")
	if r.mine.watch != nil {
		r.mine.watch.stop()
	}
	r.leaving = true
	end := r.p.now().Add(farewellTimeout)
	complete := r.insist(r.p.now().Add(numbersTimeout), r.lastNumbers)
	said := r.insist(end, func() error { return r.end(complete == nil) })
	r.p.w.leave(r.p, complete == nil && said == nil)
}

// insist tries something until it works or the time is over.
func (r *reporter) insist(until time.Time, do func() error) error {
	for {
		err := do()
		if err == nil {
			return nil
		}
		if errors.Is(err, errDead) {
			r.bury()
		}
		if !r.p.now().Before(until) {
			return err
		}
		r.t.sleep(r.p.now().Add(farewellRetry))
	}
}

func (r *reporter) lastNumbers() error {
	if r.mine.instance == nil {
		if err := r.enlist(); err != nil {
			return err
		}
		r.mine.watch.stop()
	}
	return r.count()
}

func (r *reporter) end(final bool) error {
	if r.mine.instance == nil {
		return nil
	}
	status := r.status(r.p.now())
	status.ended, status.final = true, final
	err := r.write(status)
	if errors.Is(err, errDead) {
		err = nil
	}
	if err == nil {
		r.dropLease()
	}
	return err
}

// adopt is what nobody must do: it goes on under the instance that an earlier process of this Pod has left.
func (r *reporter) adopt() bool {
	list, err := call(r.t, listInstances, func(s *store) ([]*proxyInstance, error) { return listed[*proxyInstance](s, instances), nil })
	if err != nil || r.p.podUID == "" {
		return false
	}
	for _, elder := range list {
		if elder.owner == r.p.podUID && !elder.status.ended && !elder.deleting {
			r.begin(elder)
			r.looked = false
			return true
		}
	}
	return false
}

// listed are all objects of a kind, as they are stored.
func listed[T object](s *store, k kind) []T {
	out := make([]T, 0, len(s.tables[k].names))
	for _, name := range s.tables[k].names {
		out = append(out, s.tables[k].objects[name].(T))
	}
	return out
}

// read is the stored object of that name.
func read[T object](s *store, k kind, name string) (T, error) {
	return as[T](s.get(k, name))
}

// as is an object as one of its kind.
func as[T object](o object, err error) (T, error) {
	if err != nil {
		var none T
		return none, err
	}
	return o.(T), nil
}

func ignoreNotFound(err error) error {
	if errors.Is(err, errNotFound) {
		return nil
	}
	return err
}
