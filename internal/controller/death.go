// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"fmt"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/turnout-ai/turnout/api/v1alpha1"
)

const (
	// proxyContainer is the name of the container that a proxy runs in. Others in its Pod come and go as they
	// like.
	proxyContainer = "proxy"
	// clockSkew is how far the clocks of a node and of the API server may be apart: a container that seems to
	// have started after the ProxyInstance of its process is taken for another one only beyond that.
	clockSkew = time.Minute
	// settling is how long the status of a Pod may be behind its containers: that of one that has just started
	// may still count the restarts of the one before.
	settling = 15 * time.Second
)

// sighting is what was seen of a process when it was last seen to move.
type sighting struct {
	uid types.UID
	// pulse is of its Lease, at when it last changed.
	pulse string
	at    time.Time
	// looked is when the Lease was last looked at.
	looked time.Time
	// first is when its Pod was first read. restarts are those of its container when that had settled; nil before.
	first    time.Time
	restarts *int32
}

// death says why a process counts as gone; empty while it lives, and then when to look again.
func (r *ProxyInstanceReconciler) death(ctx context.Context, instance *v1alpha1.ProxyInstance) (why string, again time.Duration, err error) {
	if pod := podOf(instance); pod != nil {
		why, known := r.deathOfPod(ctx, instance, pod)
		if known {
			return why, lookEvery, nil
		}
	}
	key := client.ObjectKeyFromObject(instance)
	pulse, err := r.pulse(ctx, key)
	if err != nil {
		return "", 0, err
	}
	still := r.standsStill(key, instance.UID, pulse)
	if still < deadAfter {
		return "", min(lookEvery, deadAfter-still), nil
	}
	return fmt.Sprintf("whose Lease has not moved for %s", still), 0, nil
}

// podOf is the Pod that the process runs in; nil when there is none.
func podOf(instance *v1alpha1.ProxyInstance) *metav1.OwnerReference {
	for i := range instance.OwnerReferences {
		if owner := &instance.OwnerReferences[i]; owner.Kind == "Pod" && owner.APIVersion == "v1" {
			return owner
		}
	}
	return nil
}

// deathOfPod says why the process counts as gone by its Pod. known is false when the Pod cannot be asked: what
// the operator may not see is neither alive nor dead.
func (r *ProxyInstanceReconciler) deathOfPod(ctx context.Context, instance *v1alpha1.ProxyInstance, owner *metav1.OwnerReference) (why string, known bool) {
	var pod corev1.Pod
	err := r.Live.Get(ctx, types.NamespacedName{Namespace: instance.Namespace, Name: owner.Name}, &pod)
	switch {
	case apierrors.IsNotFound(err):
		return "whose Pod is gone", true
	case err != nil:
		ctrl.LoggerFrom(ctx).V(1).Info("the Pod of a proxy cannot be read; its Lease is looked at instead", "pod", owner.Name, "trouble", err.Error())
		return "", false
	case pod.UID != owner.UID:
		return "whose Pod was replaced by another one", true
	case pod.Status.Phase == corev1.PodFailed || pod.Status.Phase == corev1.PodSucceeded:
		return "whose Pod has ended", true
	}
	for i := range pod.Status.ContainerStatuses {
		if c := &pod.Status.ContainerStatuses[i]; c.Name == proxyContainer && r.restarted(instance, c) {
			return "whose container has restarted", true
		}
	}
	return "", true
}

// restarted reports whether the container has started again since the process that the instance is of.
func (r *ProxyInstanceReconciler) restarted(instance *v1alpha1.ProxyInstance, container *corev1.ContainerStatus) bool {
	if running := container.State.Running; running != nil &&
		running.StartedAt.After(instance.CreationTimestamp.Add(clockSkew)) {
		return true
	}
	now := r.Clock.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	key := client.ObjectKeyFromObject(instance)
	last := r.sighting(key, instance.UID)
	if last.restarts != nil {
		return container.RestartCount > *last.restarts
	}
	if last.first.IsZero() {
		last.first = now
	}
	if now.Sub(last.first) >= settling {
		last.restarts = &container.RestartCount
	}
	r.note(key, last)
	return false
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

// standsStill notes the pulse and returns for how long it has not changed. When the operator could not look for a
// while, the proxy could perhaps not renew either: it gets the time of one renewal then.
func (r *ProxyInstanceReconciler) standsStill(key types.NamespacedName, uid types.UID, pulse string) time.Duration {
	now := r.Clock.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	last := r.sighting(key, uid)
	if last.at.IsZero() || last.pulse != pulse {
		last.pulse, last.at = pulse, now
	} else if earliest := now.Add(lookEvery - deadAfter); now.Sub(last.looked) > 2*lookEvery && last.at.Before(earliest) {
		last.at = earliest
	}
	last.looked = now
	r.note(key, last)
	return now.Sub(last.at)
}

// sighting is what was seen of a process before. r.mu is held.
func (r *ProxyInstanceReconciler) sighting(key types.NamespacedName, uid types.UID) sighting {
	if last, known := r.seen[key]; known && last.uid == uid {
		return last
	}
	return sighting{uid: uid}
}

// note remembers a sighting. r.mu is held.
func (r *ProxyInstanceReconciler) note(key types.NamespacedName, s sighting) {
	if r.seen == nil {
		r.seen = map[types.NamespacedName]sighting{}
	}
	r.seen[key] = s
}

func (r *ProxyInstanceReconciler) forget(key types.NamespacedName) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.seen, key)
}
