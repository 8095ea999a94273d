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
	"github.com/turnout-ai/turnout/internal/translate"
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
	if !r.catchUp() {
		if err := r.refresh(ctx); err != nil {
			return err
		}
	}
	r.looked = true
	return nil
}

// catchUp takes over what the watch has seen. It returns false when that is not the instance as it should be.
func (r *Reporter) catchUp() bool {
	if r.mine.instance == nil {
		return false
	}
	found, ok := r.mine.watch.mirror.Get(r.mine.instance.Namespace, r.mine.instance.Name)
	if !ok || !alive(found, r.mine.instance) {
		return false
	}
	if found.Generation > r.mine.instance.Generation {
		instance := *found // It is never changed, and has no status.
		instance.Status = r.mine.instance.Status
		r.heed(&instance)
	}
	return true
}

// during waits for a request, and takes in meanwhile what the operator grants: somebody may wait for that, and a
// large page takes its time.
func (r *Reporter) during(request func() error) error {
	done := make(chan error, 1)
	go func() { done <- request() }()
	for {
		select {
		case err := <-done:
			return err
		case <-r.seen:
			r.looked = false // It may be something else, to be looked at later.
			r.catchUp()
		}
	}
}

// advance takes over an answer to a write, unless the watch has been faster.
func (r *Reporter) advance(instance *v1alpha1.ProxyInstance) {
	if instance.Generation >= r.mine.instance.Generation {
		r.heed(instance)
		return
	}
	mine := *r.mine.instance
	mine.Status = instance.Status
	r.mine.instance = &mine
}

// heed takes over a version of the instance. What the operator says in it that is new holds from now on.
func (r *Reporter) heed(instance *v1alpha1.ProxyInstance) {
	news := instance.Generation != r.mine.instance.Generation
	r.mine.instance = instance
	if news {
		r.obey()
		r.pacing.answered()
		if r.more {
			r.want()
		}
	}
}

// obey takes in what the operator says. What it grants may be long: that is done once for each generation, and in
// addition whenever the instance is read anew, for a purse that was made since.
func (r *Reporter) obey() {
	spec := &r.mine.instance.Spec
	r.setCadence(readCadence(spec))
	r.options.Book.Granted(translate.Grants(spec.Grants), r.cadence.proxies, r.options.Clock.Now())
}

func (r *Reporter) setCadence(c cadence) {
	r.cadence = c
	r.metrics.interval.Set(c.interval.Seconds())
}
