// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/turnout-ai/turnout/api/v1alpha1"
	"github.com/turnout-ai/turnout/internal/kube"
)

// watchRetry bounds the pause before a watch is started again.
const watchRetry = time.Second

// watch follows this process's own instance, and no other: a hundred proxies that watched each other would
// cost ten thousand events for each round of reports.
type watch struct {
	mirror *kube.Mirror[*v1alpha1.ProxyInstance]
	stop   context.CancelFunc
}

// follow begins to watch an instance.
func (r *Reporter) follow(ctx context.Context, instance *v1alpha1.ProxyInstance) *watch {
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	newList := func() client.ObjectList { return &v1alpha1.ProxyInstanceList{} }
	source := kube.Only(kube.ListWatch(r.options.Client, instance.Namespace, newList), instance.Name)
	failed := false // Asked is called on one goroutine.
	w := &watch{stop: stop}
	w.mirror = kube.NewMirror(source, &v1alpha1.ProxyInstance{}, kube.Options[*v1alpha1.ProxyInstance]{
		Strip:   strip,
		Differs: differs,
		Changed: func() { remind(r.seen) },
		Asked: func(err error) {
			if err == nil && failed {
				remind(r.returned)
			}
			failed = err != nil
		},
		MaxRetry: watchRetry,
	})
	r.watches.Go(func() { w.mirror.Run(ctx) })
	return w
}

// strip leaves out what this process itself has written.
func strip(instance *v1alpha1.ProxyInstance) {
	instance.ManagedFields = nil
	instance.Status = v1alpha1.ProxyInstanceStatus{Ended: instance.Status.Ended}
}

func differs(old, updated *v1alpha1.ProxyInstance) bool {
	return !equality.Semantic.DeepEqual(old.Spec, updated.Spec) || alive(old, old) != alive(updated, updated)
}

func (r *Reporter) lookDue(now time.Time) (at time.Time, ok bool) {
	return now, r.mine.instance != nil && !r.looked
}

// look takes note of what others have done to the instance. That it is not there at all is believed of the API
// server only: a cache may be older than the instance.
func (r *Reporter) look(ctx context.Context) error {
	found, ok := r.mine.watch.mirror.Get(r.mine.instance.Namespace, r.mine.instance.Name)
	if ok && alive(found, r.mine.instance) {
		r.setCadence(readCadence(&found.Spec))
	} else if err := r.refresh(ctx); err != nil {
		return err
	}
	r.looked = true
	return nil
}

func (r *Reporter) setCadence(c cadence) {
	r.cadence = c
	r.metrics.interval.Set(c.interval.Seconds())
}
