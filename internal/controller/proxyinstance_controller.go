// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"fmt"
	"sync"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/turnout-ai/turnout/api/v1alpha1"
)

const (
	// deadAfter is how long a proxy's Lease may stand still before the proxy counts as gone: four renewals.
	deadAfter = 120 * time.Second
	// lookEvery is how often a Lease is looked at, and so how much later than deadAfter a dead proxy may be
	// noticed. Looking is a read of one object; watching would bring every Lease of every node in the cluster.
	lookEvery = 30 * time.Second
)

// ProxyInstanceReconciler deletes ProxyInstances whose Lease, of the same name, is no longer renewed, or was
// never there. The Lease is owned by the ProxyInstance and goes with it.
//
// It does not compare the time in a Lease with its own clock: a proxy whose clock is two minutes slow would be
// deleted over and over. What counts is how long the operator has seen the Lease stand still, as in leader
// election; a new leader starts counting anew.
type ProxyInstanceReconciler struct {
	// Reader reads ProxyInstances from a cache, Live reads Leases from the API server.
	Reader, Live client.Reader
	Client       client.Writer
	Clock        clock.PassiveClock

	mu sync.Mutex
	// seen is guarded by mu.
	seen map[types.NamespacedName]sighting
}

// sighting is a Lease as it was when it was last seen to move.
type sighting struct {
	uid   types.UID
	pulse string
	at    time.Time
}

// Reconcile looks at one ProxyInstance, and again in lookEvery.
func (r *ProxyInstanceReconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	var instance v1alpha1.ProxyInstance
	if err := r.Reader.Get(ctx, request.NamespacedName, &instance); err != nil {
		if apierrors.IsNotFound(err) {
			r.forget(request.NamespacedName)
			return ctrl.Result{}, nil
		}
		return ctrl.Result{}, fmt.Errorf("reading ProxyInstance %s: %w", request, err)
	}
	if !instance.DeletionTimestamp.IsZero() {
		return ctrl.Result{}, nil
	}
	pulse, err := r.pulse(ctx, request.NamespacedName)
	if err != nil {
		return ctrl.Result{}, err
	}
	still := r.standsStill(request.NamespacedName, instance.UID, pulse)
	if still < deadAfter {
		return ctrl.Result{RequeueAfter: min(lookEvery, deadAfter-still)}, nil
	}
	// The UID keeps a process that came back under the same name, which never happens by itself, alive.
	err = r.Client.Delete(ctx, &instance, client.Preconditions{UID: &instance.UID})
	if err = client.IgnoreNotFound(err); err != nil && !apierrors.IsConflict(err) {
		return ctrl.Result{}, fmt.Errorf("deleting ProxyInstance %s, whose Lease has not moved for %s: %w", request, still, err)
	}
	ctrl.LoggerFrom(ctx).Info("deleted a ProxyInstance whose Lease is no longer renewed", "standingStill", still.String())
	return ctrl.Result{}, nil
}

// pulse is what a renewal changes; empty when there is no Lease.
func (r *ProxyInstanceReconciler) pulse(ctx context.Context, key types.NamespacedName) (string, error) {
	var lease coordinationv1.Lease
	if err := r.Live.Get(ctx, key, &lease); err != nil {
		if apierrors.IsNotFound(err) {
			return "", nil
		}
		return "", fmt.Errorf("reading Lease %s: %w", key, err)
	}
	var renewed metav1.MicroTime
	if lease.Spec.RenewTime != nil {
		renewed = *lease.Spec.RenewTime
	}
	return fmt.Sprintf("%s %d", lease.UID, renewed.UnixMicro()), nil
}

// standsStill notes the pulse and returns for how long it has not changed.
func (r *ProxyInstanceReconciler) standsStill(key types.NamespacedName, uid types.UID, pulse string) time.Duration {
	now := r.Clock.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	last, known := r.seen[key]
	if known && last.uid == uid && last.pulse == pulse {
		return now.Sub(last.at)
	}
	if r.seen == nil {
		r.seen = map[types.NamespacedName]sighting{}
	}
	r.seen[key] = sighting{uid: uid, pulse: pulse, at: now}
	return 0
}

func (r *ProxyInstanceReconciler) forget(key types.NamespacedName) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.seen, key)
}
