// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/turnout-ai/turnout/api/v1alpha1"
)

// registration is what this process has at the API server, as of its own last word with it.
type registration struct {
	// instance is nil while there is none. Its UID is the identity of this process: another object under its
	// name would be another process's.
	instance *v1alpha1.ProxyInstance
	watch    *watch
	// lease is nil while there is none. renewed is the time by this process's clock.
	lease   *coordinationv1.Lease
	renewed time.Time
	// said is the status as it was written last; nil before the first, and when it is not known what the API
	// server has. greeted says that there was a first. checked is when what there is to say was last looked at.
	said    *v1alpha1.ProxyInstanceStatus
	greeted bool
	checked time.Time
	// layout says which endpoint is on which of the pages; counted is when they were last looked at.
	layout  layout
	pages   []*page
	counted time.Time
}

// errDead says that this process is believed dead: its instance is gone or going, marked as ended, or its
// numbers are being taken into the books. It then needs another one, under which it is alive.
var errDead = errors.New("this proxy is believed dead")

func (r *Reporter) enlistDue(now time.Time) (at time.Time, ok bool) {
	return now, r.mine.instance == nil
}

// enlist creates an instance.
func (r *Reporter) enlist(ctx context.Context) error {
	instance := &v1alpha1.ProxyInstance{ObjectMeta: metav1.ObjectMeta{
		Namespace:    r.options.Namespace,
		GenerateName: r.options.Name + "-",
		Finalizers:   []string{v1alpha1.FoldFinalizer},
	}}
	if r.options.PodName != "" && r.options.PodUID != "" {
		instance.OwnerReferences = []metav1.OwnerReference{
			{APIVersion: "v1", Kind: "Pod", Name: r.options.PodName, UID: r.options.PodUID},
		}
	}
	if err := r.options.Client.Create(ctx, instance); err != nil {
		r.marked = false // The answer may be lost and the instance there: then it is one of the elders.
		return fmt.Errorf("creating a ProxyInstance in %s: %w", r.options.Namespace, err)
	}
	now := r.options.Clock.Now()
	r.mine = registration{
		instance: instance,
		watch:    r.follow(ctx, instance),
		layout:   layout{pageOf: map[string]int{}},
		counted:  now.Add(-rand.N(r.cadence.interval)), // so that proxies that start together do not write together
	}
	r.looked = true
	r.setName(instance.Name)
	return nil
}

func (r *Reporter) markDue(now time.Time) (at time.Time, ok bool) {
	return now, r.mine.instance != nil && !r.marked
}

// markElders says of the instances that earlier processes of this Pod have left that they have ended: nobody
// else can know that the Pod's container has started anew. It is done once, at the start, so that two processes
// in one Pod do not end each other for ever.
func (r *Reporter) markElders(ctx context.Context) error {
	if r.options.PodUID != "" {
		var list v1alpha1.ProxyInstanceList
		if err := r.options.Client.List(ctx, &list, client.InNamespace(r.options.Namespace)); err != nil {
			return fmt.Errorf("looking for earlier ProxyInstances of Pod %s: %w", r.options.PodName, err)
		}
		for i := range list.Items {
			elder := &list.Items[i]
			if elder.UID == r.mine.instance.UID || elder.Status.Ended || !r.ofThisPod(elder) {
				continue
			}
			if err := r.markEnded(ctx, elder); err != nil {
				return fmt.Errorf("saying that ProxyInstance %s has ended: %w", elder.Name, err)
			}
		}
	}
	r.marked = true
	return nil
}

func (r *Reporter) ofThisPod(instance *v1alpha1.ProxyInstance) bool {
	for _, owner := range instance.OwnerReferences {
		if owner.Kind == "Pod" && owner.UID == r.options.PodUID {
			return true
		}
	}
	return false
}

// markEnded says that nothing follows under an instance: not that its numbers are complete. What it gave back
// remains its word.
func (r *Reporter) markEnded(ctx context.Context, instance *v1alpha1.ProxyInstance) error {
	patch := ofInstance(instance)
	if fresh(instance) {
		patch.Test("/status", nil)
		patch.Set("/status", v1alpha1.ProxyInstanceStatus{Ended: true})
	} else {
		patch.Set("/status/ended", true)
		patch.Clear("/status/signals")
	}
	ended := &v1alpha1.ProxyInstance{ObjectMeta: metav1.ObjectMeta{Namespace: instance.Namespace, Name: instance.Name}}
	err := r.options.Client.Status().Patch(ctx, ended, patch)
	if err == nil {
		r.metrics.wrote(kindSignals, sizeOf(patch))
	}
	return client.IgnoreNotFound(err)
}

// refresh reads the instance anew, from the API server itself and no cache. It returns errDead when this
// process is not believed to live.
func (r *Reporter) refresh(ctx context.Context) error {
	instance := &v1alpha1.ProxyInstance{}
	err := r.options.Client.Get(ctx, client.ObjectKeyFromObject(r.mine.instance), instance)
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("reading ProxyInstance %s: %w", r.mine.instance.Name, err)
	}
	if err != nil || !alive(instance, r.mine.instance) {
		return fmt.Errorf("%w: its ProxyInstance %s is gone, or about to go", errDead, r.mine.instance.Name)
	}
	news := instance.Generation != r.mine.instance.Generation
	r.heed(instance)
	if !news {
		r.obey()
	}
	return nil
}

// alive reports whether the instance, as it was found, is still the one that was registered, and in force.
func alive(found, registered *v1alpha1.ProxyInstance) bool {
	return found.UID == registered.UID && found.DeletionTimestamp.IsZero() && !found.Status.Ended
}

// bury gives up an instance. What its pages hold stays on record under it, and is carried over (see settle). What
// it was lent counts as used: the next instance begins with nothing.
func (r *Reporter) bury(ctx context.Context, cause error) {
	ctx, cancel := context.WithTimeout(ctx, requestsTimeout)
	defer cancel()
	if r.mine.instance == nil {
		return
	}
	r.options.Logger.WarnContext(ctx, "registering a new ProxyInstance", "name", r.mine.instance.Name, "cause", cause)
	r.mine.watch.stop()
	r.options.Book.Disowned()
	r.abandon(ctx)
	r.dropLease(ctx)
	r.former = append(r.former, r.mine.pages...)
	r.mine = registration{}
	r.setName("")
	// Whoever takes away instances as fast as they come must not be answered as fast.
	if r.deaths++; r.deaths > 1 {
		r.enlisting.notBefore = r.options.Clock.Now().Add(retryAfter(r.deaths - 1))
	}
}

// abandon says of the instance that it has ended, if it is still there: its signals would stand beside those of
// the next one. Without it the operator finds out by the Lease.
func (r *Reporter) abandon(ctx context.Context) {
	instance := &v1alpha1.ProxyInstance{}
	err := r.options.Client.Get(ctx, client.ObjectKeyFromObject(r.mine.instance), instance)
	if err == nil && instance.UID == r.mine.instance.UID && !instance.Status.Ended {
		err = r.markEnded(ctx, instance)
	}
	if client.IgnoreNotFound(err) != nil {
		r.options.Logger.DebugContext(ctx, "a ProxyInstance that was given up is left to the operator", "name", r.mine.instance.Name, "error", err)
	}
}
