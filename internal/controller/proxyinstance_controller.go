// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"fmt"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/turnout-ai/turnout/api/v1alpha1"
)

const (
	// deadAfter is how long a proxy's Lease may stand still before a proxy without a Pod counts as gone: four
	// renewals.
	deadAfter = 120 * time.Second
	// lookEvery is how often a proxy is looked at, and so how much later a dead one may be noticed. Looking is a
	// read of one object; watching would bring every Pod and every Lease of the cluster.
	lookEvery = 30 * time.Second
)

// ProxyInstanceReconciler looks after proxy processes: it tells those that live how often to report and what they
// may use, finds those that are dead, and takes the numbers of those that are gone into the books before their
// objects go.
//
// Dead is a process whose Pod is gone or whose container has restarted or, where there is no Pod, whose Lease, of
// the same name, stands still. The time in a Lease is not compared with the operator's own clock: a proxy whose
// clock is two minutes slow would be deleted over and over. What counts is how long the operator has seen the
// Lease stand still, as in leader election; a new leader starts counting anew.
type ProxyInstanceReconciler struct {
	// Reader reads ProxyInstances and ModelEndpoints from a cache, Live reads from the API server.
	Reader, Live client.Reader
	Client       client.Writer
	Clock        clock.PassiveClock
	Books        *Books
	Fleet        *Fleet
	// Namespaces are those whose endpoints this operator looks after; all when it is empty.
	Namespaces []string
	// Leases know what was lent to whom.
	Leases *Leases

	// told is what was written last, allowance what copies of leases may cost that nobody waits for.
	told      lastTold
	allowance allowance

	mu sync.Mutex
	// seen is guarded by mu.
	seen map[types.NamespacedName]sighting
}

// Reconcile looks at one ProxyInstance, and again in lookEvery while it lives.
func (r *ProxyInstanceReconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	var instance v1alpha1.ProxyInstance
	if err := r.Reader.Get(ctx, request.NamespacedName, &instance); err != nil {
		if apierrors.IsNotFound(err) {
			r.forget(request.NamespacedName)
			r.told.forget(request.NamespacedName)
			return r.buryStrays(ctx, request.NamespacedName)
		}
		return ctrl.Result{}, fmt.Errorf("reading ProxyInstance %s: %w", request, err)
	}
	if ended(&instance) {
		r.forget(request.NamespacedName)
		r.told.forget(request.NamespacedName)
		return r.bury(ctx, deceasedOf(&instance))
	}
	why, again, err := r.death(ctx, &instance)
	if err != nil {
		return ctrl.Result{}, err
	}
	if why == "" {
		if _, err := r.instruct(ctx, &instance, sometime); err != nil {
			return ctrl.Result{}, err
		}
		return ctrl.Result{RequeueAfter: again}, nil
	}
	// The finalizer keeps it until its numbers are in the books. The UID keeps a process that came back under the
	// same name, which never happens by itself, alive.
	err = r.Client.Delete(ctx, &instance, client.Preconditions{UID: &instance.UID})
	if err = client.IgnoreNotFound(err); err != nil && !apierrors.IsConflict(err) {
		return ctrl.Result{}, fmt.Errorf("deleting ProxyInstance %s, %s: %w", request, why, err)
	}
	ctrl.LoggerFrom(ctx).Info("deleted the ProxyInstance of a process that is gone", "why", why)
	return ctrl.Result{}, nil
}
