// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/turnout-ai/turnout/api/v1alpha1"
	"github.com/turnout-ai/turnout/internal/kube"
	"github.com/turnout-ai/turnout/internal/quota"
	"github.com/turnout-ai/turnout/internal/translate"
)

const (
	// maxGrants and maxGrantBytes bound what one proxy is told, the latter with room for what stands beside it in
	// an object of the size that etcd takes.
	maxGrants, maxGrantBytes = 8192, 1 << 20
	// grantWrites and grantBytes bound, per second, what copies that nobody waits for cost the API server: a copy
	// writes all that the proxy has.
	grantWrites, grantBytes = 10, 250_000
	// instructTries is how often a copy is tried at once when another operator writes at the same time.
	instructTries = 2
)

// haste is how soon something has to be told.
type haste int

const (
	// never: there is nothing to tell.
	never haste = iota
	// sometime: what was taken note of, and what is over. It rides along, or goes with the next look.
	sometime
	// soon: what was granted to somebody who has something left, when it is its turn.
	soon
	// atOnce: somebody waits.
	atOnce
)

// Instruct tells a proxy at once what it was granted, if anybody waits for that.
func (r *ProxyInstanceReconciler) Instruct(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	var instance v1alpha1.ProxyInstance
	if err := r.Reader.Get(ctx, request.NamespacedName, &instance); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if ended(&instance) {
		return ctrl.Result{}, nil
	}
	wait, err := r.instruct(ctx, &instance, soon)
	return ctrl.Result{RequeueAfter: wait}, err
}

// instruct tells a proxy how many there are, how often to report and what it may use. It writes on change only;
// another number of proxies reaches each when it is looked at next, and not all at once. What is less urgent than
// least is left to another time. It returns when to try again; zero when there is no need to.
//
// The cache may be behind, and another operator may write. The generation finds that out, and what is stored then is
// read and written once more.
func (r *ProxyInstanceReconciler) instruct(ctx context.Context, instance *v1alpha1.ProxyInstance, least haste) (wait time.Duration, err error) {
	if !r.Books.HasRead() {
		return awaitBooks, nil
	}
	instance = r.told.newer(instance)
	for range instructTries {
		spec, how, cadence := r.instructed(ctx, instance)
		if how < least || how == never {
			return 0, nil
		}
		if how < atOnce && !cadence && !r.allowance.take(sizeOfGrants(spec.Grants), r.Clock.Now()) {
			return time.Second, nil
		}
		err := r.tell(ctx, instance, spec)
		if err == nil {
			return 0, nil
		}
		if !kube.TestFailed(err) {
			return 0, wrapped(instance, client.IgnoreNotFound(err))
		}
		if instance, err = r.again(ctx, instance); instance == nil {
			return 0, err
		}
	}
	return awaitBooks, nil
}

// tell writes what differs of the operator's half of an instance. The patch is bound to the generation, which counts
// what is written to that half: bound to the version, it would fail for each report of the proxy, and proxies report
// most when they wait for an answer.
func (r *ProxyInstanceReconciler) tell(ctx context.Context, instance *v1alpha1.ProxyInstance, spec *v1alpha1.ProxyInstanceSpec) error {
	var patch kube.JSONPatch
	patch.Test("/metadata/uid", instance.UID)
	patch.Test("/metadata/generation", instance.Generation)
	before := &instance.Spec
	if equality.Semantic.DeepEqual(*before, v1alpha1.ProxyInstanceSpec{}) {
		patch.Set("/spec", spec)
	} else {
		patch.Set("/spec/proxies", spec.Proxies)
		patch.Set("/spec/reportInterval", spec.ReportInterval)
		switch {
		case len(spec.Grants) > 0:
			patch.Set("/spec/grants", spec.Grants)
		case len(before.Grants) > 0:
			patch.Clear("/spec/grants")
		}
	}
	stored := &v1alpha1.ProxyInstance{ObjectMeta: metav1.ObjectMeta{Namespace: instance.Namespace, Name: instance.Name}}
	if err := r.Client.Patch(ctx, stored, patch, fieldOwner); err != nil {
		return err
	}
	r.told.wrote(stored)
	return nil
}

// lastTold remembers the instances that this operator has written and its cache does not show yet: a copy right after
// another would otherwise be made of what was before it, and find that it may not be written. The zero value
// remembers nothing.
type lastTold struct {
	mu sync.Mutex
	// own is guarded by mu.
	own map[types.NamespacedName]*v1alpha1.ProxyInstance
}

// wrote remembers an instance as the API server has returned it. It is not changed any more.
func (t *lastTold) wrote(instance *v1alpha1.ProxyInstance) {
	instance.SetManagedFields(nil)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.own == nil {
		t.own = map[types.NamespacedName]*v1alpha1.ProxyInstance{}
	}
	t.own[client.ObjectKeyFromObject(instance)] = instance
}

// newer is the newest that is known of an instance: what the cache holds, unless more was written since.
func (t *lastTold) newer(cached *v1alpha1.ProxyInstance) *v1alpha1.ProxyInstance {
	t.mu.Lock()
	defer t.mu.Unlock()
	key := client.ObjectKeyFromObject(cached)
	own := t.own[key]
	if own != nil && own.UID == cached.UID && own.Generation > cached.Generation {
		return own
	}
	delete(t.own, key)
	return cached
}

// forget forgets an instance that is gone.
func (t *lastTold) forget(key types.NamespacedName) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.own, key)
}

// again is what is stored of an instance that somebody has written; nil when there is nobody to be told any more.
func (r *ProxyInstanceReconciler) again(ctx context.Context, instance *v1alpha1.ProxyInstance) (*v1alpha1.ProxyInstance, error) {
	stored := &v1alpha1.ProxyInstance{}
	if err := r.Live.Get(ctx, client.ObjectKeyFromObject(instance), stored); err != nil {
		return nil, wrapped(instance, client.IgnoreNotFound(err))
	}
	if stored.UID != instance.UID || ended(stored) {
		return nil, nil
	}
	return stored, nil
}

func wrapped(instance *v1alpha1.ProxyInstance, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("telling ProxyInstance %s what it may use: %w", instance.Name, err)
}

// instructed is the operator's half as it should be, and how urgent the difference is. cadence says that it tells how
// often to report, too.
func (r *ProxyInstanceReconciler) instructed(ctx context.Context, instance *v1alpha1.ProxyInstance) (spec *v1alpha1.ProxyInstanceSpec, how haste, cadence bool) {
	proxies, interval := r.Fleet.Settings()
	proxies = max(proxies, 1)
	text := translate.APIDuration(interval)
	spec = &v1alpha1.ProxyInstanceSpec{Proxies: &proxies, ReportInterval: &text}
	before := &instance.Spec
	if before.Proxies == nil || *before.Proxies != proxies || before.ReportInterval == nil || *before.ReportInterval != text {
		how, cadence = sometime, true
	}
	grants, dropped := r.grants(instance)
	how = max(how, dropped)
	kept, left := bounded(grants)
	for i := range kept {
		how = max(how, kept[i].haste)
		spec.Grants = append(spec.Grants, kept[i].api)
	}
	if left > 0 && how > never {
		ctrl.LoggerFrom(ctx).Info("a proxy waits for leases on more endpoints than its ProxyInstance can hold; those of least use are left out until it asks for more",
			"proxy", instance.Name, "leftOut", left)
	}
	return spec, how, cadence
}

// grant is one entry of a spec in the making.
type grant struct {
	api v1alpha1.EndpointGrant
	// haste is how urgent it is to write it.
	haste haste
	// use ranks it among others: the least are the most useful.
	use int
}

// grants are what a proxy is to be told: see owes. A number is never lowered: whoever writes may be behind. What the
// ledgers no longer have is dropped, which nobody can know of a namespace before it was looked at; dropped is how
// urgent that is.
func (r *ProxyInstanceReconciler) grants(instance *v1alpha1.ProxyInstance) (out []grant, dropped haste) {
	all, looked := r.Leases.of(string(instance.UID))
	asks := asksOf(instance)
	add := func(told quota.EndpointGrant, next owed, known bool) {
		merged, how := merge(told, next, asks[told.UID])
		if len(merged.Grants) == 0 && merged.Share == nil {
			dropped = max(dropped, how)
			return
		}
		out = append(out, grant{translate.APIGrant(merged), how, useOf(merged, asks[told.UID], known)})
	}
	for i := range instance.Spec.Grants {
		api := &instance.Spec.Grants[i]
		next, known := all[api.UID]
		delete(all, api.UID)
		switch {
		case !r.mine(api.Namespace):
			out = append(out, grant{api: *api})
		case !known && !looked(api.Namespace):
			r.Books.Changed(api.Namespace, false) // It may be that nothing is left there that would ask for a look.
			out = append(out, grant{api: *api})
		default:
			told := translate.Grants(instance.Spec.Grants[i : i+1])[0]
			if next.Share == nil && !looked(api.Namespace) {
				next.Share = told.Share
			}
			add(told, next, true)
		}
	}
	for _, next := range all {
		add(quota.EndpointGrant{Endpoint: next.Endpoint}, next, false)
	}
	slices.SortFunc(out, byUID)
	return out, dropped
}

func byUID(a, b grant) int { return cmp.Compare(a.api.UID, b.api.UID) }

// useOf ranks an entry: first what the proxy asks for just now, then what it was told and may still use.
func useOf(g quota.EndpointGrant, ask *quota.EndpointAsk, told bool) int {
	out := g.Share != nil || slices.ContainsFunc(g.Grants, func(g quota.Grant) bool { return g.Granted > g.Returned })
	switch {
	case ask != nil:
		return 0
	case out && told:
		return 1
	case out:
		return 2
	default:
		return 3
	}
}

// asksOf are the wishes of a proxy, by the UID of the endpoint.
func asksOf(instance *v1alpha1.ProxyInstance) map[string]*quota.EndpointAsk {
	asks := make(map[string]*quota.EndpointAsk, len(instance.Status.Asks))
	for i := range instance.Status.Asks {
		ask := translate.Ask(&instance.Status.Asks[i])
		asks[ask.UID] = &ask
	}
	return asks
}

// merge is what a proxy was told of an endpoint and has not acknowledged, and what there is to tell it since. That
// something is dropped is no reason to write.
func merge(told quota.EndpointGrant, next owed, ask *quota.EndpointAsk) (quota.EndpointGrant, haste) {
	how := never
	out := quota.EndpointGrant{Endpoint: told.Endpoint, Share: next.Share}
	for _, g := range next.Grants {
		before := quota.Grant{Key: g.Key}
		if at := slices.IndexFunc(told.Grants, func(t quota.Grant) bool { return t.Key == g.Key }); at >= 0 {
			before = told.Grants[at]
		}
		wish := wishOf(ask, g.Key)
		// That nothing is wanted any more is told once: a proxy that has nothing to say would not hear of it.
		if after := before.Merge(g); g.Wanted || before.Wanted || owes(g, wish) {
			out.Grants = append(out.Grants, after)
			how = max(how, hasteOf(before, after, next.prompt, wish))
		}
	}
	if (told.Share == nil) != (out.Share == nil) || told.Share != nil && *told.Share != *out.Share {
		how = max(how, soon)
	}
	return out, how
}

// wishOf is what a proxy says of an account; nil when that is nothing.
func wishOf(ask *quota.EndpointAsk, key quota.Key) *quota.Ask {
	if ask == nil {
		return nil
	}
	at := slices.IndexFunc(ask.Asks, func(a quota.Ask) bool { return a.Key == key })
	if at < 0 {
		return nil
	}
	return &ask.Asks[at]
}

// owes reports whether there is something in a lease that its proxy has not acknowledged. With thousands of endpoints
// a spec could not hold a copy of every lease, and needs none: a proxy keeps the most that it has seen in its purses
// for as long as its instance lives, and what it has to say stays in its status until it has seen the answer. So the
// copy may go when the word has gone. Nothing is lost by that: whoever has not seen the answer goes on asking, or
// asks again once there is room in its status, and is told again out of the stored ledger.
//
// A word is answered when the ledger has its number or, without one, all that it says: what was given back, and what
// was seen of a ledger that was set back since.
func owes(lease quota.Grant, wish *quota.Ask) bool {
	switch {
	case wish == nil:
		return false
	case lease.Granted > wish.Granted:
		return true
	case wish.Number > 0:
		return lease.Answered >= wish.Number
	default:
		return lease.Granted == wish.Granted && lease.Returned >= wish.Returned
	}
}

// hasteOf is how urgent the difference between two copies of a lease is.
func hasteOf(before, after quota.Grant, prompt bool, wish *quota.Ask) haste {
	answered := answers(before, after, wish)
	switch {
	case before == after:
		return never
	case after.Wanted && !before.Wanted && after.Granted > after.Returned, answered && (prompt || wish.Presses()):
		return atOnce
	case answered:
		return soon
	default:
		return sometime
	}
}

// answers reports whether a copy answers a wish that the one before did not. What the proxy says that it has is no
// news.
func answers(before, after quota.Grant, wish *quota.Ask) bool {
	if wish == nil {
		return false
	}
	return after.Granted > max(before.Granted, wish.Granted) || wish.Number > before.Answered && wish.Number <= after.Answered
}

// bounded are as many grants as a spec holds, the most useful ones. A proxy asks again for what it misses.
func bounded(grants []grant) (kept []grant, left int) {
	size := 0
	for i := range grants {
		size += sizeOfGrant(&grants[i].api)
	}
	if len(grants) <= maxGrants && size <= maxGrantBytes {
		return grants, 0
	}
	slices.SortStableFunc(grants, func(a, b grant) int { return cmp.Compare(a.use, b.use) })
	size = 0
	for i := range grants {
		size += sizeOfGrant(&grants[i].api)
		if i == maxGrants || size > maxGrantBytes {
			kept, left = grants[:i], len(grants)-i
			break
		}
	}
	slices.SortFunc(kept, byUID)
	return kept, left
}

// sizeOfGrant is about how long an entry is as JSON, rather more than less.
func sizeOfGrant(g *v1alpha1.EndpointGrant) int {
	const entry, limit, rate = 60, 180, 150
	size := entry + len(g.UID) + len(g.Namespace) + len(g.Name) + limit*len(g.Limits)
	if g.Rate != nil {
		size += rate
	}
	return size
}

func sizeOfGrants(grants []v1alpha1.EndpointGrant) int {
	size := 0
	for i := range grants {
		size += sizeOfGrant(&grants[i])
	}
	return size
}

// allowance is what copies that nobody waits for may cost. The zero value is full.
type allowance struct {
	mu sync.Mutex
	// spent is what was written and is not earned again, in writes and bytes; at is when it was counted. All are
	// guarded by mu.
	writes, bytes float64
	at            time.Time
}

// take reports whether so many bytes may be written now. One write may be larger than what is earned in a second:
// others then wait for longer.
func (a *allowance) take(size int, now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if elapsed := now.Sub(a.at).Seconds(); !a.at.IsZero() && elapsed > 0 {
		a.writes = max(a.writes-elapsed*grantWrites, 0)
		a.bytes = max(a.bytes-elapsed*grantBytes, 0)
	}
	a.at = now
	if a.writes+1 > grantWrites || a.bytes >= grantBytes {
		return false
	}
	a.writes++
	a.bytes += float64(size)
	return true
}
