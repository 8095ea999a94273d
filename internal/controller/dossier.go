// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"cmp"
	"maps"
	"reflect"
	"slices"

	"github.com/turnout-ai/turnout/internal/modelstate"
	"github.com/turnout-ai/turnout/internal/quota"
)

// dossier is everything that proxies say about one endpoint, each list in the order of the proxies' UIDs, so that
// equal books give equal statuses. It never changes: news make another one of it, and a look knows by the pointer
// that there are none.
type dossier struct {
	// numbers are those of all processes.
	numbers []*counted
	// signals are those of processes that live and trust their network.
	signals []modelstate.Signal
	// asks are what all processes say about leases.
	asks []asking
	// told are the shares of rates that living processes have, granted the processes that have ended and were told
	// of leases.
	told    []told
	granted []string
}

// unheardOf is the dossier of an endpoint of which nobody says anything.
var unheardOf dossier

// asking is what one process says about the leases of one endpoint.
type asking struct {
	proxy string
	quota.EndpointAsk
}

// told is a share that one process was told.
type told struct {
	proxy string
	share quota.Amounts
}

// place is where the dossier of an endpoint is: who says something of it names both.
type place struct {
	namespace, uid string
}

// word is what one process says of an endpoint, and was told of it.
type word struct {
	signals []modelstate.Signal
	// asks are what it wishes for and gives back, its last words included; pressing says that somebody waits for it.
	asks     []quota.EndpointAsk
	pressing bool
	// share is what it was told of the limits without a period; granted is the endpoint's name when it was told of
	// leases and has ended.
	share   *quota.Amounts
	granted string
}

// share is what a process was told.
func (d *dossier) share(proxy string) (share quota.Amounts, known bool) {
	at, known := slices.BinarySearchFunc(d.told, proxy, func(t told, uid string) int { return cmp.Compare(t.proxy, uid) })
	if !known {
		return quota.Amounts{}, false
	}
	return d.told[at].share, true
}

// hear puts what a process says in the place of what it said before.
func (d dossier) hear(proxy string, w *word) dossier {
	var asks []asking
	for _, a := range w.asks {
		asks = append(asks, asking{proxy, a})
	}
	var shares []told
	if w.share != nil {
		shares = append(shares, told{proxy, *w.share})
	}
	var granted []string
	if w.granted != "" {
		granted = append(granted, proxy)
	}
	d.signals = instead(d.signals, proxy, func(s *modelstate.Signal) string { return s.Proxy }, w.signals)
	d.asks = instead(d.asks, proxy, func(a *asking) string { return a.proxy }, asks)
	d.told = instead(d.told, proxy, func(t *told) string { return t.proxy }, shares)
	d.granted = instead(d.granted, proxy, func(uid *string) string { return *uid }, granted)
	return d
}

// instead is a list in which one proxy says something else.
func instead[T any](list []T, proxy string, of func(*T) string, says []T) []T {
	from, _ := slices.BinarySearchFunc(list, proxy, func(item T, uid string) int { return cmp.Compare(of(&item), uid) })
	to := from
	for to < len(list) && of(&list[to]) == proxy {
		to++
	}
	if from == to && len(says) == 0 {
		return list
	}
	return slices.Concat(list[:from], says, list[to:])
}

// count takes numbers out and others in.
func (d dossier) count(s *swap) dossier {
	d.numbers = slices.DeleteFunc(slices.Clone(d.numbers), func(c *counted) bool { return slices.Contains(s.out, c) })
	for _, c := range s.in {
		at, _ := slices.BinarySearchFunc(d.numbers, c.proxy, func(c *counted, uid string) int { return cmp.Compare(c.proxy, uid) })
		d.numbers = slices.Insert(d.numbers, at, c)
	}
	return d
}

func (d *dossier) empty() bool {
	return len(d.numbers)+len(d.signals)+len(d.asks)+len(d.told)+len(d.granted) == 0
}

// swap is how the numbers of an endpoint differ between two versions of a page.
type swap struct {
	out, in []*counted
}

// swaps are those of all endpoints of two versions, either of which may be nil.
func swaps(last, next *page) map[place]*swap {
	all := map[place]*swap{}
	of := func(at place) *swap {
		if all[at] == nil {
			all[at] = &swap{}
		}
		return all[at]
	}
	left := map[*counted]bool{}
	for _, list := range last.lists() {
		for _, c := range list {
			left[c] = true
		}
	}
	for namespace, list := range next.lists() {
		for _, c := range list {
			if left[c] {
				delete(left, c)
			} else {
				s := of(place{namespace, c.endpoint})
				s.in = append(s.in, c)
			}
		}
	}
	for namespace, list := range last.lists() {
		for _, c := range list {
			if left[c] {
				s := of(place{namespace, c.endpoint})
				s.out = append(s.out, c)
			}
		}
	}
	return all
}

func (p *page) lists() map[string][]*counted {
	if p == nil {
		return nil
	}
	return p.numbers
}

// keep takes over from the version before what it says again, so that what has not changed is not news.
func (p *page) keep(last *page) {
	if last == nil || last.instanceUID != p.instanceUID {
		return
	}
	for namespace, list := range p.numbers {
		before := make(map[string]*counted, len(last.numbers[namespace]))
		for _, c := range last.numbers[namespace] {
			before[c.endpoint] = c
		}
		for i, c := range list {
			if b := before[c.endpoint]; b != nil && reflect.DeepEqual(b, c) {
				list[i] = b
				delete(before, c.endpoint)
			}
		}
	}
}

// file puts a version of a page in the place of the one before, and returns the namespaces that have news. b.mu is
// held.
func (b *Books) file(last, next *page) []string {
	var touched []string
	for at, s := range swaps(last, next) {
		b.dossier(at, func(d dossier) dossier { return d.count(s) })
		touched = append(touched, at.namespace)
	}
	slices.Sort(touched)
	return slices.Compact(touched)
}

// dossier puts another dossier in the place of one. b.mu is held.
func (b *Books) dossier(at place, change func(dossier) dossier) {
	var before dossier
	if d := b.dossiers[at.namespace][at.uid]; d != nil {
		before = *d
	}
	next := change(before)
	switch {
	case next.empty():
		delete(b.dossiers[at.namespace], at.uid)
		if len(b.dossiers[at.namespace]) == 0 {
			delete(b.dossiers, at.namespace)
		}
		return
	case b.dossiers[at.namespace] == nil:
		b.dossiers[at.namespace] = map[string]*dossier{}
	}
	b.dossiers[at.namespace][at.uid] = &next
}

// roster are the UIDs of processes: ended those that are gone, final those of them whose numbers are their last, known
// all of which there is an object. It never changes.
type roster struct {
	ended, final, known map[string]bool
}

func (r *roster) equal(other *roster) bool {
	return maps.Equal(r.ended, other.ended) && maps.Equal(r.final, other.final) && maps.Equal(r.known, other.known)
}

// present is the roster now; the same one as long as it says the same. b.mu is held.
func (b *Books) present() *roster {
	if b.roster != nil && !b.turnover {
		return b.roster
	}
	b.turnover = false
	next := &roster{ended: map[string]bool{}, final: map[string]bool{}, known: map[string]bool{}}
	for _, p := range b.processes {
		next.known[p.uid] = true
		if p.ended {
			next.ended[p.uid] = true
			next.final[p.uid] = b.final[p.uid]
		}
	}
	for _, p := range b.pages {
		next.known[p.instanceUID] = true
		next.final[p.instanceUID] = b.final[p.instanceUID]
	}
	if b.roster == nil || !b.roster.equal(next) {
		b.roster = next
	}
	return b.roster
}

// testimony is everything that proxies say about the endpoints of one namespace.
type testimony struct {
	*roster
	// dossiers are by the UID of the endpoint.
	dossiers map[string]*dossier
}

// of is what proxies say about the endpoints of a namespace.
func (b *Books) of(namespace string) testimony {
	b.mu.Lock()
	defer b.mu.Unlock()
	return testimony{b.present(), maps.Clone(b.dossiers[namespace])}
}

// about is what they say about one endpoint.
func (t *testimony) about(endpoint string) *dossier {
	if d := t.dossiers[endpoint]; d != nil {
		return d
	}
	return &unheardOf
}
