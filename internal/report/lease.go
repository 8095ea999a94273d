// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"context"
	"fmt"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/turnout-ai/turnout/internal/translate"
)

func (r *Reporter) renewDue(now time.Time) (at time.Time, ok bool) {
	if r.mine.lease == nil {
		return now, r.mine.instance != nil
	}
	return r.mine.renewed.Add(r.options.RenewEvery), true
}

// renew keeps the Lease young. Before that it looks whether the instance is still this process's: a watch that
// has fallen silent does not say so.
func (r *Reporter) renew(ctx context.Context) error {
	if r.mine.lease == nil {
		return r.createLease(ctx)
	}
	if err := r.refresh(ctx); err != nil {
		return err
	}
	r.deaths = 0
	now := r.options.Clock.Now()
	lease := r.mine.lease.DeepCopy()
	lease.Spec.RenewTime = &metav1.MicroTime{Time: now}
	err := r.options.Client.Update(ctx, lease)
	switch {
	case apierrors.IsNotFound(err), apierrors.IsConflict(err):
		return r.reread(ctx)
	case err != nil:
		return fmt.Errorf("renewing Lease %s: %w", lease.Name, err)
	}
	r.renewed(lease, now)
	return nil
}

func (r *Reporter) renewed(lease *coordinationv1.Lease, now time.Time) {
	r.mine.lease, r.mine.renewed = lease, now
	r.metrics.wrote(kindLease, sizeOf(lease))
}

// createLease creates the Lease of the instance's name, owned by the instance.
func (r *Reporter) createLease(ctx context.Context) error {
	now, duration := r.options.Clock.Now(), int32(LeaseDuration/time.Second)
	instance := r.mine.instance
	lease := &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{
			Namespace:       instance.Namespace,
			Name:            instance.Name,
			OwnerReferences: translate.OwnedBy(instance),
		},
		Spec: coordinationv1.LeaseSpec{
			HolderIdentity:       &instance.Name,
			LeaseDurationSeconds: &duration,
			AcquireTime:          &metav1.MicroTime{Time: now},
			RenewTime:            &metav1.MicroTime{Time: now},
		},
	}
	err := r.options.Client.Create(ctx, lease)
	switch {
	case apierrors.IsAlreadyExists(err):
		// An earlier try got through without its answer: instance names are never used twice.
		return r.reread(ctx)
	case err != nil:
		return fmt.Errorf("creating Lease %s: %w", lease.Name, err)
	}
	r.renewed(lease, now)
	return nil
}

// reread takes over the Lease as it is now, to be renewed at once: somebody has touched it, perhaps to label
// it. When it is gone it makes another.
func (r *Reporter) reread(ctx context.Context) error {
	lease := &coordinationv1.Lease{}
	err := r.options.Client.Get(ctx, client.ObjectKeyFromObject(r.mine.instance), lease)
	switch {
	case apierrors.IsNotFound(err):
		return r.createLease(ctx)
	case err != nil:
		return fmt.Errorf("reading Lease %s: %w", r.mine.instance.Name, err)
	}
	r.mine.lease, r.mine.renewed = lease, time.Time{}
	return nil
}

// dropLease deletes the Lease without waiting for the garbage collector, if that works.
func (r *Reporter) dropLease(ctx context.Context) {
	if r.mine.lease == nil {
		return
	}
	uid := r.mine.lease.UID
	if err := r.options.Client.Delete(ctx, r.mine.lease, client.Preconditions{UID: &uid}); client.IgnoreNotFound(err) != nil {
		r.options.Logger.DebugContext(ctx, "the Lease of a ProxyInstance is left to the garbage collector", "error", err)
	}
}
