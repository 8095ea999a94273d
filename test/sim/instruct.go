// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"errors"
	"slices"
	"time"

	"github.com/turnout-ai/turnout/internal/quota"
)

// This file is the shell of controller.Leases and of ProxyInstanceReconciler.Instruct: what is stored in ledgers is
// copied to proxies.

const (
	grantHoldoff  = 3 * time.Millisecond
	instructTries = 4
)

// leasebook knows what the stored ledgers have lent to whom.
type leasebook struct {
	o *operator
	// endpoints are by their UIDs, which are also in uids, sorted; looked says that everything is known.
	endpoints map[string]*lent
	uids      []string
	looked    bool
}

// lent is what is lent of one endpoint.
type lent struct {
	name    string
	version int64
	ledger  quota.Ledger
	prompt  bool
}

// set takes in all endpoints, as they are stored.
func (l *leasebook) set(found []*modelEndpoint) {
	before, uids := l.endpoints, l.uids
	l.endpoints, l.uids = make(map[string]*lent, len(found)), nil
	for _, e := range found {
		next := before[e.uid]
		if next == nil || next.version != e.version {
			next = newLent(e)
		}
		l.keep(e.uid, next)
		l.tell(before[e.uid], next)
	}
	for _, uid := range uids {
		if l.endpoints[uid] == nil {
			l.tell(before[uid], &lent{})
		}
	}
	l.looked = true
}

// put takes in one endpoint that has just been stored.
func (l *leasebook) put(e *modelEndpoint) {
	before, next := l.endpoints[e.uid], newLent(e)
	l.keep(e.uid, next)
	l.tell(before, next)
}

func newLent(e *modelEndpoint) *lent {
	return &lent{name: e.name, version: e.version, ledger: e.status.ledger, prompt: e.spec.limits.FailOpen}
}

func (l *leasebook) keep(uid string, next *lent) {
	if at, known := slices.BinarySearch(l.uids, uid); !known {
		l.uids = slices.Insert(l.uids, at, uid)
	}
	l.endpoints[uid] = next
}

// tell asks for a turn for each ProxyInstance that has something else to be told than before.
func (l *leasebook) tell(before, next *lent) {
	if before == nil {
		before = &lent{}
	}
	if before == next {
		return
	}
	for _, i := range l.o.books.processes.names {
		p := l.o.books.processes.objects[i].(*proxyInstance)
		if !slices.Equal(grantsOf(&before.ledger, p.uid), grantsOf(&next.ledger, p.uid)) {
			l.o.grantsDue(p.name, grantHoldoff)
		}
	}
}

// stored is the ledger of an endpoint.
func (l *leasebook) stored(e *modelEndpoint) quota.Ledger {
	if o := l.endpoints[e.uid]; o != nil && o.version == e.version {
		return o.ledger
	}
	return e.status.ledger
}

// of is what an instance is to be told, in the order of the endpoints' UIDs.
func (l *leasebook) of(instance string) []quota.EndpointGrant {
	var out []quota.EndpointGrant
	for _, uid := range l.uids {
		o := l.endpoints[uid]
		if grants := grantsOf(&o.ledger, instance); len(grants) > 0 {
			out = append(out, quota.EndpointGrant{Endpoint: quota.Endpoint{UID: uid, Namespace: namespace, Name: o.name}, Grants: grants})
		}
	}
	return out
}

// grantsOf are the copies of the leases that an instance has.
func grantsOf(ledger *quota.Ledger, instance string) []quota.Grant {
	var grants []quota.Grant
	for i := range ledger.Accounts {
		a := &ledger.Accounts[i]
		at, found := slices.BinarySearchFunc(a.Leases, instance, func(l quota.Lease, uid string) int { return compare(l.Instance, uid) })
		if found {
			grants = append(grants, a.Grant(&a.Leases[at]))
		}
	}
	return grants
}

// holders are the instances that have a lease.
func holders(ledger *quota.Ledger) []string {
	var all []string
	for i := range ledger.Accounts {
		for k := range ledger.Accounts[i].Leases {
			all = append(all, ledger.Accounts[i].Leases[k].Instance)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// haste is how soon something has to be told.
type haste int

const (
	never haste = iota
	sometime
	soon
	atOnce
)

// grantsDue asks for an instruction of an instance.
func (o *operator) grantsDue(name string, after time.Duration) {
	if o.grants.set(name, o.now().Add(after)) {
		o.granting.nudge()
	}
}

// instructAll tells proxies what they were granted, if anybody waits for that.
func (o *operator) instructAll(t *thread) {
	o.work(t, &o.grants, func(t *thread, name string) (time.Duration, error) {
		i, _ := o.books.processes.objects[name].(*proxyInstance)
		if i == nil || ended(i) {
			return 0, nil
		}
		return o.instruct(t, i, soon)
	})
}

// instruct tells a proxy how many there are, how often to report and what it may use. What is less urgent than least
// is left to another time.
func (o *operator) instruct(t *thread, i *proxyInstance, least haste) (again time.Duration, err error) {
	for range instructTries {
		spec, how := o.instructed(i)
		if how < least || o.w.bad(neverCopied, how == soon || how == atOnce && o.seat.lives > 1) {
			return 0, nil
		}
		read := i
		_, err = call(t, copyGrants, func(s *store) (object, error) {
			return s.update(instances, read, func(o object) { o.(*proxyInstance).spec = spec })
		})
		switch {
		case err == nil, errors.Is(err, errNotFound):
			return 0, nil
		case !errors.Is(err, errConflict):
			return 0, err
		}
		stored, err := call(t, readInstance, func(s *store) (*proxyInstance, error) { return storedInstance(s, read.name) })
		if err != nil {
			return 0, ignoreNotFound(err)
		}
		if stored.uid != i.uid || ended(stored) {
			return 0, nil
		}
		i = stored
	}
	return 50 * time.Millisecond, nil
}

func storedInstance(s *store, name string) (*proxyInstance, error) {
	return read[*proxyInstance](s, instances, name)
}

// instructed is the spec as it should be, and how urgent the difference is.
func (o *operator) instructed(i *proxyInstance) (spec instanceSpec, how haste) {
	spec = i.spec
	proxies := 0
	for _, n := range o.books.processes.names {
		if !ended(o.books.processes.objects[n].(*proxyInstance)) {
			proxies++
		}
	}
	if proxies = max(proxies, 1); spec.proxies != proxies || spec.interval != reportInterval {
		spec.proxies, spec.interval = proxies, reportInterval
		how = sometime
	}
	grants, urgency := o.granted(i)
	if urgency == never {
		return spec, how
	}
	spec.grants = grants
	return spec, max(how, urgency)
}

// granted are what a proxy is to be told: what it was told already, and what the ledgers have lent since. A number is
// never lowered; an entry is dropped when the ledger has no such lease any more.
func (o *operator) granted(i *proxyInstance) (out []quota.EndpointGrant, how haste) {
	all := o.leases.of(i.uid)
	for k := range i.spec.grants {
		told := &i.spec.grants[k]
		at := slices.IndexFunc(all, func(g quota.EndpointGrant) bool { return g.UID == told.UID })
		switch {
		case at < 0 && !o.leases.looked:
			out = append(out, *told)
		case at < 0:
			how = max(how, sometime)
		default:
			merged, urgency := o.merge(i, told, &all[at])
			out, how = append(out, merged), max(how, urgency)
			all = slices.Delete(all, at, at+1)
		}
	}
	for k := range all {
		merged, urgency := o.merge(i, &quota.EndpointGrant{Endpoint: all[k].Endpoint}, &all[k])
		out, how = append(out, merged), max(how, urgency)
	}
	slices.SortFunc(out, func(a, b quota.EndpointGrant) int { return compare(a.UID, b.UID) })
	return out, how
}

// merge is what a proxy was told of an endpoint, and what there is to tell it since.
func (o *operator) merge(i *proxyInstance, told, next *quota.EndpointGrant) (out quota.EndpointGrant, how haste) {
	out.Endpoint = told.Endpoint
	kept := 0
	for _, g := range next.Grants {
		before := quota.Grant{Key: g.Key}
		if at := slices.IndexFunc(told.Grants, func(t quota.Grant) bool { return t.Key == g.Key }); at >= 0 {
			before = told.Grants[at]
			kept++
		}
		after := before.Merge(g)
		if o.w.bad(minimum, before.Granted > 0) {
			after.Granted, after.Returned = min(before.Granted, g.Granted), min(before.Returned, g.Returned)
		}
		out.Grants = append(out.Grants, after)
		how = max(how, hasteOf(before, after, o.leases.endpoints[told.UID].prompt, i))
	}
	if kept < len(told.Grants) {
		how = max(how, sometime)
	}
	return out, how
}

// hasteOf is how urgent the difference between two copies of a lease is.
func hasteOf(before, after quota.Grant, prompt bool, i *proxyInstance) haste {
	wanted := after.Wanted && !before.Wanted && after.Granted > after.Returned
	answered := after.Granted > before.Granted || after.Answered > before.Answered
	switch {
	case before == after:
		return never
	case wanted || answered && (prompt || waits(i, before)):
		return atOnce
	case answered:
		return soon
	default:
		return sometime
	}
}

// waits reports whether an attempt of the proxy waits for more than it was told of.
func waits(i *proxyInstance, told quota.Grant) bool {
	for k := range i.status.asks {
		for _, a := range i.status.asks[k].Asks {
			if a.Key == told.Key && a.Number > 0 && a.Need > told.Granted {
				return true
			}
		}
	}
	return false
}
