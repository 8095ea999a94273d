// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"fmt"
	"sync"
	"time"

	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/turnout-ai/turnout/api/v1alpha1"
	"github.com/turnout-ai/turnout/internal/secrets"
	"github.com/turnout-ai/turnout/internal/translate"
)

const (
	// secretsGrace is how long the statuses of a namespace wait for the first answer about its Secrets.
	// Without it every start of an operator would write SecretPending over every Ready endpoint, and take it
	// back a moment later.
	secretsGrace = 5 * time.Second
	// awaitBooks is when a namespace is looked at again while the reports are being read for the first time.
	awaitBooks = 50 * time.Millisecond
	// afterConflict is when a namespace is looked at again that changed while its statuses were written. The
	// change itself usually comes first.
	afterConflict = 200 * time.Millisecond
)

// Vault holds the Secrets of the namespaces it is told to watch. *secrets.Watcher is one.
type Vault interface {
	secrets.Reader
	// Watch sets the namespaces whose Secrets are held.
	Watch(namespaces []string)
	// Settled reports whether the namespace has been read, or refused.
	Settled(namespace string) bool
}

// NamespaceReconciler writes the statuses of all ModelEndpoints and RoutingPolicies of a namespace. Names
// conflict, and policies select, within a namespace only, and a provider is out within one, so that one look at
// it finds everything those statuses say; see docs/decisions/0002-reconcile-by-namespace.md.
type NamespaceReconciler struct {
	// Reader reads from a cache; what it returns is not changed.
	Reader client.Reader
	Vault  Vault
	// Books hold what proxies say, Prober what the operator has found out for itself, Absence which proxies are
	// gone.
	Books   *Books
	Fleet   *Fleet
	Prober  *Prober
	Absence *Absence
	Clock   clock.PassiveClock
	Metrics *Metrics
	// Statuses is the way to the API server, Pacer spreads what can wait on it.
	Statuses *StatusWriter
	Pacer    *Pacer
	// Leases are told what is stored.
	Leases *Leases

	// own is what was written last.
	own newest[*v1alpha1.ModelEndpoint]

	mu sync.Mutex
	// needy are the namespaces with an endpoint that refers to a Secret; waiting says since when the statuses
	// of a namespace wait for Secrets; memories are what the last look at each namespace came to. All are
	// guarded by mu.
	needy    map[string]bool
	waiting  map[string]time.Time
	memories map[string]memory
}

// objects are everything of one namespace that its statuses depend on.
type objects struct {
	endpoints []*v1alpha1.ModelEndpoint
	policies  []*v1alpha1.RoutingPolicy
}

// Reconcile brings the statuses of the namespace that request.Name names up to date.
func (r *NamespaceReconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	namespace := request.Name
	if !r.Books.HasRead() {
		return ctrl.Result{RequeueAfter: awaitBooks}, nil
	}
	found, err := r.read(ctx, namespace)
	if err != nil {
		return ctrl.Result{}, err
	}
	r.Leases.Set(namespace, found.endpoints)
	if wait := r.awaitSecrets(namespace, found.endpoints); wait > 0 {
		return ctrl.Result{RequeueAfter: wait}, nil
	}
	seen := r.look(ctx, namespace, found)
	r.Metrics.setNamespace(namespace, seen)
	r.Prober.Set(namespace, seen.endpoints)
	for _, j := range seen.endpoints {
		if j.confirm {
			r.Prober.Confirm(j.entry.UID)
		}
	}
	outcome, err := r.write(ctx, seen)
	if err != nil {
		return ctrl.Result{}, fmt.Errorf("writing statuses of namespace %s: %w", namespace, err)
	}
	if outcome.conflict {
		return ctrl.Result{RequeueAfter: afterConflict}, nil
	}
	return ctrl.Result{RequeueAfter: seen.again(outcome.wait, r.Clock.Now())}, nil
}

// read lists from the cache without copying: a namespace may hold thousands of objects, and few of them get a
// new status.
func (r *NamespaceReconciler) read(ctx context.Context, namespace string) (objects, error) {
	var endpoints v1alpha1.ModelEndpointList
	var policies v1alpha1.RoutingPolicyList
	for _, list := range []client.ObjectList{&endpoints, &policies} {
		if err := r.Reader.List(ctx, list, client.InNamespace(namespace), client.UnsafeDisableDeepCopy); err != nil {
			return objects{}, fmt.Errorf("listing objects of namespace %s: %w", namespace, err)
		}
	}
	return objects{endpoints: r.own.all(namespace, pointers(endpoints.Items)), policies: pointers(policies.Items)}, nil
}

// pointers points to every item that is not being deleted: one that is has no place in the table, and nobody
// waits for its status.
func pointers[T any, P interface {
	*T
	client.Object
}](items []T,
) []P {
	out := make([]P, 0, len(items))
	for i := range items {
		if p := P(&items[i]); p.GetDeletionTimestamp().IsZero() {
			out = append(out, p)
		}
	}
	return out
}

// awaitSecrets has the vault hold the namespace's Secrets if an endpoint needs them, and returns how long to
// wait for its first answer.
func (r *NamespaceReconciler) awaitSecrets(namespace string, endpoints []*v1alpha1.ModelEndpoint) time.Duration {
	needs := false
	for _, endpoint := range endpoints {
		needs = needs || translate.NeedsSecrets(endpoint)
	}
	r.need(namespace, needs)
	now := r.Clock.Now()
	settled := !needs || r.Vault.Settled(namespace)

	r.mu.Lock()
	defer r.mu.Unlock()
	if settled {
		delete(r.waiting, namespace)
		return 0
	}
	since, known := r.waiting[namespace]
	if !known {
		if r.waiting == nil {
			r.waiting = map[string]time.Time{}
		}
		r.waiting[namespace], since = now, now
	}
	return max(secretsGrace-now.Sub(since), 0)
}

// need tells the vault when the set of namespaces with a reference to a Secret changes.
func (r *NamespaceReconciler) need(namespace string, needs bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.needy[namespace] == needs {
		return
	}
	if r.needy == nil {
		r.needy = map[string]bool{}
	}
	if needs {
		r.needy[namespace] = true
	} else {
		delete(r.needy, namespace)
	}
	namespaces := make([]string, 0, len(r.needy))
	for name := range r.needy {
		namespaces = append(namespaces, name)
	}
	// Under the lock: a set that is told late must not replace a newer one.
	r.Vault.Watch(namespaces)
}
