// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"slices"
	"strconv"
	"time"
)

// store is what is stored: the one truth of the API server. Everything in it happens at one moment.
type store struct {
	w      *world
	tables [kinds]table
	// version is of the newest write.
	version int64
	uids    int
	// by asks for deed; repeats says that it comes a second time.
	by      *process
	deed    callKind
	repeats bool
	// doubts are calls whose answers were lost, by who asked: who does not know what is stored may write it again.
	doubts map[doubt]bool
}

type doubt struct {
	by   *process
	kind callKind
}

// table are the objects of one kind, in the order of their names.
type table struct {
	cache
	watchers []*watcher
}

// cache is a number of objects by name.
type cache struct {
	objects map[string]object
	names   []string
}

func newCache() cache { return cache{objects: map[string]object{}} }

func (c *cache) set(o object) {
	name := o.head().name
	if _, known := c.objects[name]; !known {
		at, _ := slices.BinarySearch(c.names, name)
		c.names = slices.Insert(c.names, at, name)
	}
	c.objects[name] = o
}

func (c *cache) remove(name string) {
	if at, known := slices.BinarySearch(c.names, name); known {
		c.names = slices.Delete(c.names, at, at+1)
		delete(c.objects, name)
	}
}

func newStore(w *world) *store {
	s := &store{w: w, doubts: map[doubt]bool{}}
	for k := range s.tables {
		s.tables[k].cache = newCache()
	}
	return s
}

// doubt notes that somebody does not know what became of what it asked for.
func (s *store) doubt(by *process, kind callKind) { s.doubts[doubt{by, kind}] = true }

// get is the stored object of that name.
func (s *store) get(k kind, name string) (object, error) {
	if o := s.tables[k].objects[name]; o != nil {
		return o, nil
	}
	return nil, errNotFound
}

// create stores a new object.
func (s *store) create(k kind, o object) (object, error) {
	next := o.clone()
	m := next.head()
	if s.tables[k].objects[m.name] != nil {
		return nil, errExists
	}
	if m.uid == "" {
		s.uids++
		m.uid = m.name + "." + strconv.Itoa(s.uids)
	}
	m.created = moment(s.w.now).Truncate(time.Second)
	s.put(k, nil, next)
	if m.owner != "" && !s.exists(m.owner) {
		s.collect(k, m.name, m.uid)
	}
	return next, nil
}

// exists reports whether there is an object of that UID, of the kinds that own others.
func (s *store) exists(uid string) bool {
	for _, k := range []kind{instances, pods} {
		for _, o := range s.tables[k].objects {
			if o.head().uid == uid {
				return true
			}
		}
	}
	return false
}

// update replaces an object that is still the version that was read.
func (s *store) update(k kind, read object, change func(object)) (object, error) {
	stored := s.tables[k].objects[read.head().name]
	switch {
	case stored == nil:
		return nil, errNotFound
	case stored.head().uid != read.head().uid, stored.head().version != read.head().version && !s.w.bad(noLock, s.deed == writeStatus):
		return nil, errConflict
	}
	return s.change(k, stored, change)
}

// change replaces an object by what change makes of it. The last finalizer gone, a deleted object goes, too.
func (s *store) change(k kind, stored object, change func(object)) (object, error) {
	next := stored.clone()
	change(next)
	if m := next.head(); m.deleting && !m.finalizer {
		s.put(k, stored, nil)
		return next, nil
	}
	if respecified(stored, next) {
		next.head().generation++
	}
	if next.same(stored) {
		s.w.audit.idleWrite(s, k, next)
		return stored, nil
	}
	s.put(k, stored, next)
	return next, nil
}

// respecified reports whether two versions of an object have different specs.
func respecified(old, next object) bool {
	switch o := old.(type) {
	case *proxyInstance:
		return !o.spec.same(&next.(*proxyInstance).spec)
	case *modelEndpoint:
		return !o.spec.same(&next.(*modelEndpoint).spec)
	default:
		return false
	}
}

// remove deletes an object, or marks it as deleted while a finalizer keeps it. An empty uid means whichever it is.
func (s *store) remove(k kind, name, uid string) error {
	stored := s.tables[k].objects[name]
	switch {
	case stored == nil:
		return errNotFound
	case uid != "" && stored.head().uid != uid:
		return errConflict
	case !stored.head().finalizer:
		s.put(k, stored, nil)
	case !stored.head().deleting:
		next := stored.clone()
		next.head().deleting = true
		s.put(k, stored, next)
	}
	return nil
}

// put stores a version of an object, nil for none, and tells whoever watches.
func (s *store) put(k kind, old, next object) {
	s.version++
	t := &s.tables[k]
	if next != nil {
		next.head().version = s.version
		t.set(next)
	} else {
		t.remove(old.head().name)
	}
	s.w.audit.stored(s, k, old, next)
	for _, w := range t.watchers {
		w.told(old, next)
	}
	if next == nil && (k == instances || k == pods) {
		s.orphan(old.head().uid)
	}
}

// orphan has what an object owned collected.
func (s *store) orphan(uid string) {
	for _, k := range []kind{instances, reports, leases} {
		for _, name := range slices.Clone(s.tables[k].names) {
			if m := s.tables[k].objects[name].head(); m.owner == uid {
				s.collect(k, name, m.uid)
			}
		}
	}
}

// collect deletes an object whose owner is gone, in a while, as the garbage collector does.
func (s *store) collect(k kind, name, uid string) {
	after := int64(time.Second)
	if drawn := s.w.chance.draw(0, collects, s.w.weather.watches); drawn != 0 {
		after += int64(below(&drawn, uint64(2*time.Minute)))
	}
	s.w.after(after, func() {
		s.by = nil
		_ = s.remove(k, name, uid)
	})
}

// news is a version of an object that somebody has not heard of yet; without next it is gone.
type news struct {
	old, next object
	at        int64
}

// watcher is somebody who follows the objects of a kind, in the order in which they change, and some time later.
type watcher struct {
	of   *process
	w    *world
	kind kind
	// name is the only object that it follows; empty for all.
	name string
	cache
	queue []news
	// turn counts deliveries that were planned; pending says that the last of them is still to come.
	turn    int
	pending bool
	stopped bool
	// heard is called with each change after the cache has it; old is what the cache had before. Either may be nil.
	heard func(old, next object)
}

// watch begins to follow a kind. What is there already is heard at once; it may be as old as what a lagging API
// server has.
func (p *process) watch(k kind, name string, heard func(old, next object)) *watcher {
	w := p.w
	v := &watcher{of: p, w: w, kind: k, name: name, cache: newCache(), heard: heard}
	from := &w.store.tables[k].cache
	if drawn := w.chance.draw(p.id, lags, w.weather.lags); drawn != 0 && name == "" {
		from = &w.replicas[k].cache
		v.queue = slices.Clone(w.replicas[k].queue)
		if len(v.queue) > 0 {
			w.tell(p.actor, "begins with an old list")
		}
	}
	for _, n := range from.names {
		if name == "" || n == name {
			v.take(from.objects[n], n)
		}
	}
	w.store.tables[k].watchers = append(w.store.tables[k].watchers, v)
	p.watchers = append(p.watchers, v)
	v.expect()
	return v
}

// take brings one object of the cache up to date.
func (v *watcher) take(next object, name string) {
	old := v.objects[name]
	if next != nil {
		v.set(next)
	} else {
		v.remove(name)
	}
	if v.heard != nil && (old != nil || next != nil) {
		v.heard(old, next)
	}
}

func (v *watcher) stop() {
	if v.stopped {
		return
	}
	v.stopped = true
	all := &v.w.store.tables[v.kind].watchers
	*all = slices.DeleteFunc(*all, func(other *watcher) bool { return other == v })
}

// told puts news into the queue.
func (v *watcher) told(old, next object) {
	name := ""
	if next != nil {
		name = next.head().name
	} else {
		name = old.head().name
	}
	if v.name != "" && v.name != name {
		return
	}
	v.queue = append(v.queue, news{old, next, v.w.now})
	v.expect()
}

// expect plans the next delivery.
func (v *watcher) expect() {
	if v.pending || len(v.queue) == 0 {
		return
	}
	v.pending = true
	var after int64
	var skips bool
	if v.of == nil { // the lagging API server
		after = v.w.lag()
	} else {
		after, skips = v.w.delivery(v.of.actor, v.kind)
	}
	after = min(after, max(v.queue[0].at+int64(longestStale)-v.w.now, 0))
	v.plan(v.w.now+after, len(v.queue), skips)
}

// plan has the first n of the news delivered at a time, and not as it was planned before.
func (v *watcher) plan(at int64, n int, skips bool) {
	v.turn++
	turn := v.turn
	v.w.at(at, func() {
		if v.turn == turn {
			v.deliver(n, skips)
		}
	})
}

// hurry has everything delivered now.
func (v *watcher) hurry() {
	if v.pending {
		v.plan(v.w.now, len(v.queue), true)
	}
}

// deliver hands the first n of the news on, or all that there are by now but only the newest of each object.
func (v *watcher) deliver(n int, skips bool) {
	if v.stopped {
		return
	}
	if p := v.of; p != nil {
		later := p.paused
		if !p.connected() {
			later = max(later, p.reconnects()+int64(100*time.Millisecond))
			skips = true
		}
		if later > v.w.now {
			v.plan(later, len(v.queue), skips)
			return
		}
	}
	v.pending = false
	queue := v.queue[:n]
	if skips {
		queue = lastOfEach(v.queue)
		n = len(v.queue)
	}
	v.queue = append([]news(nil), v.queue[n:]...)
	for i := range queue {
		if v.stopped {
			return
		}
		v.w.step()
		if next := queue[i].next; next != nil {
			v.take(next, next.head().name)
		} else {
			v.take(nil, queue[i].old.head().name)
		}
	}
	v.expect()
}

// lastOfEach are the last of the news of each object.
func lastOfEach(queue []news) []news {
	var out []news
	seen := map[string]bool{}
	for _, n := range slices.Backward(queue) {
		name := ""
		if n.next != nil {
			name = n.next.head().name
		} else {
			name = n.old.head().name
		}
		if !seen[name] {
			seen[name] = true
			out = append(out, n)
		}
	}
	slices.Reverse(out)
	return out
}
