// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"context"
	"errors"
	"fmt"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/turnout-ai/turnout/api/v1alpha1"
)

// registration is what this process has at the API server, as of its own last word with it.
type registration struct {
	// instance is nil while there is none. Its UID is the identity of this process: another object under its
	// name would be another process's.
	instance *v1alpha1.ProxyInstance
	// lease is nil while there is none. renewed is the time by this process's clock.
	lease   *coordinationv1.Lease
	renewed time.Time
}

// errDeleted says that somebody has taken the instance away.
var errDeleted = errors.New("the ProxyInstance is gone")

// round does what is due: registering, renewing, reporting. It is called again for whatever it returns an
// error about, and each part starts from what the last round achieved.
func (r *Reporter) round(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, roundTimeout)
	defer cancel()
	err := r.parts(ctx)
	if errors.Is(err, errDeleted) {
		r.options.Logger.WarnContext(ctx, "this proxy's ProxyInstance was deleted; registering a new one", "name", r.mine.instance.Name)
		r.dropLease(ctx)
		r.mine = registration{}
		r.setName("")
		err = r.parts(ctx)
	}
	return err
}

func (r *Reporter) parts(ctx context.Context) error {
	for _, part := range []func(context.Context) error{r.register, r.renew, r.report} {
		if err := part(ctx); err != nil {
			return err
		}
	}
	return nil
}

// register creates an instance when there is none.
func (r *Reporter) register(ctx context.Context) error {
	if r.mine.instance != nil {
		return nil
	}
	instance := &v1alpha1.ProxyInstance{ObjectMeta: metav1.ObjectMeta{
		Namespace:    r.options.Namespace,
		GenerateName: r.options.Name + "-",
	}}
	if r.options.PodName != "" && r.options.PodUID != "" {
		instance.OwnerReferences = []metav1.OwnerReference{
			{APIVersion: "v1", Kind: "Pod", Name: r.options.PodName, UID: r.options.PodUID},
		}
	}
	if err := r.options.Client.Create(ctx, instance); err != nil {
		return fmt.Errorf("creating a ProxyInstance in %s: %w", r.options.Namespace, err)
	}
	r.mine = registration{instance: instance}
	r.setName(instance.Name)
	return nil
}

func (r *Reporter) setName(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.name = name
}

// untilRenewal is how long the Lease is good for.
func (r *Reporter) untilRenewal() time.Duration {
	return max(0, r.options.RenewEvery-r.options.Clock.Since(r.mine.renewed))
}

// renew keeps the Lease young. Before that it looks whether the instance is still this process's, since
// whoever deletes it does not always take the Lease along.
func (r *Reporter) renew(ctx context.Context) error {
	if r.mine.lease == nil {
		return r.createLease(ctx)
	}
	if r.untilRenewal() > 0 {
		return nil
	}
	if err := r.refresh(ctx); err != nil {
		return err
	}
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
	r.mine.lease, r.mine.renewed = lease, now
	return nil
}

// createLease creates the Lease of the instance's name, owned by the instance.
func (r *Reporter) createLease(ctx context.Context) error {
	now, duration := r.options.Clock.Now(), int32(LeaseDuration/time.Second)
	instance := r.mine.instance
	lease := &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: instance.Namespace,
			Name:      instance.Name,
			OwnerReferences: []metav1.OwnerReference{{
				APIVersion: v1alpha1.GroupVersion.String(), Kind: "ProxyInstance", Name: instance.Name, UID: instance.UID,
			}},
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
	r.mine.lease, r.mine.renewed = lease, now
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

// refresh reads the instance anew. It returns errDeleted when there is none, or when another one has its name.
func (r *Reporter) refresh(ctx context.Context) error {
	instance := &v1alpha1.ProxyInstance{}
	err := r.options.Client.Get(ctx, client.ObjectKeyFromObject(r.mine.instance), instance)
	switch {
	case apierrors.IsNotFound(err), err == nil && instance.UID != r.mine.instance.UID:
		return errDeleted
	case err != nil:
		return fmt.Errorf("reading ProxyInstance %s: %w", r.mine.instance.Name, err)
	}
	r.mine.instance = instance
	return nil
}

// report writes the status if it differs from what was written last.
func (r *Reporter) report(ctx context.Context) error {
	r.mu.Lock()
	current := r.current
	r.mu.Unlock()
	instance := r.mine.instance.DeepCopy()
	changed := instance.Status.Version != r.options.Version || instance.Status.Address != r.options.Address
	instance.Status.Version, instance.Status.Address = r.options.Version, r.options.Address
	if current != nil {
		changed = meta.SetStatusCondition(&instance.Status.Conditions, r.condition(*current)) || changed
	}
	if !changed {
		return nil
	}
	err := r.options.Client.Status().Update(ctx, instance)
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		if err := r.refresh(ctx); err != nil {
			return err
		}
		return fmt.Errorf("writing the status of ProxyInstance %s: %w", instance.Name, err)
	}
	if err != nil {
		return fmt.Errorf("writing the status of ProxyInstance %s: %w", instance.Name, err)
	}
	r.mine.instance = instance
	return nil
}

func (r *Reporter) condition(current Current) metav1.Condition {
	status := metav1.ConditionFalse
	if current.Status {
		status = metav1.ConditionTrue
	}
	return metav1.Condition{
		Type: v1alpha1.ConditionCurrent, Status: status, Reason: current.Reason, Message: current.Message,
		ObservedGeneration: r.mine.instance.Generation,
		LastTransitionTime: metav1.NewTime(r.options.Clock.Now()),
	}
}

// farewell takes the instance and its Lease away. What cannot be deleted now is deleted by the operator, once
// the Lease is old.
func (r *Reporter) farewell(ctx context.Context) {
	if r.mine.instance == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), farewellTimeout)
	defer cancel()
	uid := r.mine.instance.UID
	err := r.options.Client.Delete(ctx, r.mine.instance, client.Preconditions{UID: &uid})
	if client.IgnoreNotFound(err) != nil {
		r.options.Logger.WarnContext(ctx, "this proxy's ProxyInstance could not be deleted; the operator will do it", "error", err)
		return
	}
	r.dropLease(ctx)
}

// dropLease deletes the Lease without waiting for the garbage collector, if that works.
func (r *Reporter) dropLease(ctx context.Context) {
	if r.mine.lease == nil {
		return
	}
	uid := r.mine.lease.UID
	if err := r.options.Client.Delete(ctx, r.mine.lease, client.Preconditions{UID: &uid}); client.IgnoreNotFound(err) != nil {
		r.options.Logger.DebugContext(ctx, "the Lease of a deleted ProxyInstance is left to the garbage collector", "error", err)
	}
}
