// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"cmp"
	"maps"
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/turnout-ai/turnout/api/v1alpha1"
	"github.com/turnout-ai/turnout/internal/quota"
	"github.com/turnout-ai/turnout/internal/translate"
)

// Leases know what the stored ledgers have lent to whom, and which shares of rates proxies are to have: all that is
// copied to proxies. What was decided and not stored is not among it. Looks feed it, from the cache and from what
// they have written, so that a new leader copies what the one before could not.
type Leases struct {
	// Changed is told of a ProxyInstance, by its UID, that has something else to be told.
	Changed func(instance string)

	mu sync.Mutex
	// namespaces are those that were read, by the UID of the endpoint; looked says of which everything is known,
	// shares too. Both are guarded by mu.
	namespaces map[string]map[string]*lent
	looked     map[string]bool
}

// lent is what is lent of one endpoint. The values inside never change.
type lent struct {
	key     types.NamespacedName
	version string
	ledger  quota.Ledger
	// shares are those of the limits without a period, by the UID of the ProxyInstance.
	shares map[string]quota.Amounts
	// prompt says that no answer may wait: a proxy that waits too long takes the operator for lost, and goes on
	// without limits.
	prompt bool
}

// NewLeases makes one that knows of nothing.
func NewLeases() *Leases {
	return &Leases{Changed: func(string) {}, namespaces: map[string]map[string]*lent{}, looked: map[string]bool{}}
}

// Set takes in all endpoints of a namespace, as they are stored.
func (l *Leases) Set(namespace string, endpoints []*v1alpha1.ModelEndpoint) {
	changed := map[string]bool{}
	l.mu.Lock()
	last := l.namespaces[namespace]
	next := make(map[string]*lent, len(endpoints))
	for _, endpoint := range endpoints {
		uid := string(endpoint.UID)
		next[uid] = last[uid].renew(endpoint)
		next[uid].tell(last[uid], changed)
	}
	for uid, gone := range last {
		if next[uid] == nil {
			(&lent{}).tell(gone, changed)
		}
	}
	l.namespaces[namespace] = next
	l.mu.Unlock()
	l.tell(changed)
}

// Looked says that everything there is to know of a namespace was told.
func (l *Leases) Looked(namespace string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.looked[namespace] = true
}

// Put takes in one endpoint that has just been stored.
func (l *Leases) Put(endpoint *v1alpha1.ModelEndpoint) {
	l.change(endpoint.Namespace, string(endpoint.UID), func(last *lent) *lent { return last.renew(endpoint) })
}

// Share sets the shares of an endpoint's rates.
func (l *Leases) Share(namespace, endpoint string, shares map[string]quota.Amounts) {
	l.change(namespace, endpoint, func(last *lent) *lent {
		if last == nil || maps.Equal(last.shares, shares) {
			return last
		}
		next := *last
		next.shares = shares
		return &next
	})
}

func (l *Leases) change(namespace, endpoint string, change func(*lent) *lent) {
	changed := map[string]bool{}
	l.mu.Lock()
	last := l.namespaces[namespace][endpoint]
	if next := change(last); next != last && l.namespaces[namespace] != nil {
		l.namespaces[namespace][endpoint] = next
		next.tell(last, changed)
	}
	l.mu.Unlock()
	l.tell(changed)
}

func (l *Leases) tell(changed map[string]bool) {
	for _, instance := range slices.Sorted(maps.Keys(changed)) {
		l.Changed(instance)
	}
}

// renew is the same for a version of the endpoint.
func (o *lent) renew(endpoint *v1alpha1.ModelEndpoint) *lent {
	if o != nil && o.version == endpoint.ResourceVersion {
		return o
	}
	next := &lent{
		key: client.ObjectKeyFromObject(endpoint), version: endpoint.ResourceVersion,
		ledger: translate.Ledger(endpoint.Status.Ledger),
		prompt: endpoint.Spec.Limits != nil && endpoint.Spec.Limits.OnControlPlaneLoss == v1alpha1.FailOpen,
	}
	if o != nil {
		next.shares = o.shares
	}
	return next
}

// tell notes which ProxyInstances have something else to be told than before.
func (o *lent) tell(before *lent, changed map[string]bool) {
	if before == nil {
		before = &lent{}
	}
	if o == before {
		return
	}
	was, is := before.copies(), o.copies()
	for _, lists := range [][2]map[string][]quota.Grant{{was, is}, {is, was}} {
		for instance, list := range lists[0] {
			if !slices.Equal(list, lists[1][instance]) {
				changed[instance] = true
			}
		}
	}
	for _, shares := range [][2]map[string]quota.Amounts{{before.shares, o.shares}, {o.shares, before.shares}} {
		for instance, share := range shares[0] {
			if other, still := shares[1][instance]; !still || other != share {
				changed[instance] = true
			}
		}
	}
}

// copies are all leases, by instance.
func (o *lent) copies() map[string][]quota.Grant {
	all := map[string][]quota.Grant{}
	for i := range o.ledger.Accounts {
		a := &o.ledger.Accounts[i]
		for j := range a.Leases {
			all[a.Leases[j].Instance] = append(all[a.Leases[j].Instance], a.Grant(&a.Leases[j]))
		}
	}
	return all
}

// stored is the ledger of an endpoint that was set or put.
func (l *Leases) stored(endpoint *v1alpha1.ModelEndpoint) quota.Ledger {
	l.mu.Lock()
	defer l.mu.Unlock()
	if o := l.namespaces[endpoint.Namespace][string(endpoint.UID)]; o != nil && o.version == endpoint.ResourceVersion {
		return o.ledger
	}
	return translate.Ledger(endpoint.Status.Ledger)
}

// owed is what one ProxyInstance is to be told of one endpoint.
type owed struct {
	quota.EndpointGrant
	prompt bool
}

// of is what a ProxyInstance is to be told, by the UID of the endpoint. looked reports whether everything of a
// namespace is among it.
func (l *Leases) of(instance string) (all map[string]owed, looked func(namespace string) bool) {
	all = map[string]owed{}
	l.mu.Lock()
	defer l.mu.Unlock()
	known := maps.Clone(l.looked)
	for _, endpoints := range l.namespaces {
		for uid, o := range endpoints {
			grants := grantsOf(o.ledger, instance)
			share, shared := o.shares[instance]
			if len(grants) == 0 && !shared {
				continue
			}
			next := owed{prompt: o.prompt}
			next.Endpoint = quota.Endpoint{UID: uid, Namespace: o.key.Namespace, Name: o.key.Name}
			next.Grants = grants
			if shared {
				next.Share = &share
			}
			all[uid] = next
		}
	}
	return all, func(namespace string) bool { return known[namespace] }
}

// grantsOf are the copies of the leases that an instance has.
func grantsOf(ledger quota.Ledger, instance string) []quota.Grant {
	var grants []quota.Grant
	for i := range ledger.Accounts {
		a := &ledger.Accounts[i]
		at, found := slices.BinarySearchFunc(a.Leases, instance, func(l quota.Lease, uid string) int { return cmp.Compare(l.Instance, uid) })
		if found {
			grants = append(grants, a.Grant(&a.Leases[at]))
		}
	}
	return grants
}

// holders are the instances that have a lease, sorted.
func holders(ledger quota.Ledger) []string {
	var all []string
	for i := range ledger.Accounts {
		for j := range ledger.Accounts[i].Leases {
			all = append(all, ledger.Accounts[i].Leases[j].Instance)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}
