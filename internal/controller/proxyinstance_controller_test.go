// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	testingclock "k8s.io/utils/clock/testing"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/turnout-ai/turnout/api/v1alpha1"
)

var _ = Describe("The ProxyInstance reconciler", func() {
	var r *ProxyInstanceReconciler
	var clock *testingclock.FakeClock
	var instance *v1alpha1.ProxyInstance
	var lease *coordinationv1.Lease
	var books *Books

	BeforeEach(func(ctx context.Context) {
		books = NewBooks()
		namespace := newNamespace(ctx)
		clock = testingclock.NewFakeClock(epoch)
		r = &ProxyInstanceReconciler{Reader: admin, Live: admin, Client: admin, Clock: clock, Books: books, Fleet: NewFleet(books), Leases: NewLeases()}
		instance = &v1alpha1.ProxyInstance{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "proxy-0"}}
		lease = &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "proxy-0"}}
		create(ctx, instance)
	})

	exists := func(ctx context.Context) bool {
		GinkgoHelper()
		err := admin.Get(ctx, client.ObjectKeyFromObject(instance), &v1alpha1.ProxyInstance{})
		Expect(client.IgnoreNotFound(err)).To(Succeed())
		return !apierrors.IsNotFound(err)
	}
	look := func(ctx context.Context) time.Duration {
		GinkgoHelper()
		result, err := r.Reconcile(ctx, ctrl.Request{NamespacedName: client.ObjectKeyFromObject(instance)})
		Expect(err).NotTo(HaveOccurred())
		return result.RequeueAfter
	}
	// pass lets time go by as the queue would: a look whenever one was asked for.
	pass := func(ctx context.Context, d time.Duration) {
		GinkgoHelper()
		for d > 0 && exists(ctx) {
			next := look(ctx)
			if next == 0 || next > d {
				clock.Step(d)
				return
			}
			clock.Step(next)
			d -= next
		}
	}
	renew := func(ctx context.Context, at time.Time) {
		GinkgoHelper()
		change(ctx, lease, func(l *coordinationv1.Lease) { l.Spec.RenewTime = &metav1.MicroTime{Time: at} })
	}

	It("keeps an instance whose Lease is renewed, and looks again", func(ctx context.Context) {
		create(ctx, lease)
		for range 10 {
			renew(ctx, clock.Now())
			Expect(look(ctx)).To(Equal(30 * time.Second))
			pass(ctx, 60*time.Second)
		}
		Expect(exists(ctx)).To(BeTrue())
	})

	It("deletes an instance whose Lease stands still for 120 s, and not before", func(ctx context.Context) {
		create(ctx, lease)
		renew(ctx, clock.Now())
		look(ctx)
		pass(ctx, 119*time.Second)
		look(ctx)
		Expect(exists(ctx)).To(BeTrue())
		clock.Step(time.Second)
		look(ctx)
		Expect(exists(ctx)).To(BeFalse())
		Expect(look(ctx)).To(BeZero())
		Expect(r.seen).To(BeEmpty(), "what is gone is forgotten")
	})

	It("starts counting anew at the last renewal", func(ctx context.Context) {
		create(ctx, lease)
		renew(ctx, clock.Now())
		pass(ctx, 100*time.Second)
		renew(ctx, clock.Now())
		look(ctx)
		pass(ctx, 119*time.Second)
		look(ctx)
		Expect(exists(ctx)).To(BeTrue())
		clock.Step(time.Second)
		look(ctx)
		Expect(exists(ctx)).To(BeFalse())
	})

	It("deletes an instance that never had a Lease after 120 s", func(ctx context.Context) {
		look(ctx)
		pass(ctx, 119*time.Second)
		look(ctx)
		Expect(exists(ctx)).To(BeTrue())
		clock.Step(time.Second)
		look(ctx)
		Expect(exists(ctx)).To(BeFalse())
	})

	It("does not mind a proxy whose clock is an hour slow or fast", func(ctx context.Context) {
		create(ctx, lease)
		for _, skew := range []time.Duration{-time.Hour, time.Hour} {
			for range 6 {
				renew(ctx, clock.Now().Add(skew))
				pass(ctx, 30*time.Second)
			}
			Expect(exists(ctx)).To(BeTrue())
		}
	})

	It("gives a new leader's own look the full time", func(ctx context.Context) {
		create(ctx, lease)
		renew(ctx, clock.Now())
		pass(ctx, 110*time.Second)
		r = &ProxyInstanceReconciler{Reader: admin, Live: admin, Client: admin, Clock: clock, Books: books, Fleet: NewFleet(books), Leases: NewLeases()}
		look(ctx)
		pass(ctx, 119*time.Second)
		Expect(exists(ctx)).To(BeTrue())
	})

	It("gives it the time of a renewal when nobody could look for long", func(ctx context.Context) {
		create(ctx, lease)
		renew(ctx, clock.Now())
		look(ctx)
		clock.Step(10 * time.Minute)
		Expect(look(ctx)).To(Equal(30 * time.Second))
		Expect(exists(ctx)).To(BeTrue(), "without an API server it could not renew")
		clock.Step(30 * time.Second)
		look(ctx)
		Expect(exists(ctx)).To(BeFalse())
	})

	It("leaves an instance alone that has taken over the name", func(ctx context.Context) {
		look(ctx)
		pass(ctx, 119*time.Second)
		look(ctx)
		clock.Step(time.Second)
		Expect(admin.Delete(ctx, instance)).To(Succeed())
		stale := instance.DeepCopy()
		again := &v1alpha1.ProxyInstance{ObjectMeta: metav1.ObjectMeta{Namespace: instance.Namespace, Name: instance.Name}}
		create(ctx, again)
		r.Reader = laggingInstances{Client: admin, instance: stale}
		look(ctx)
		Expect(exists(ctx)).To(BeTrue(), "the cache was late, and the new process must not pay for it")

		r.Reader = admin
		Expect(look(ctx)).To(Equal(30*time.Second), "the new one is counted from now on")
	})

	It("does not touch one that is being deleted already", func(ctx context.Context) {
		change(ctx, instance, func(i *v1alpha1.ProxyInstance) { i.Finalizers = []string{"acme.com/hold"} })
		Expect(admin.Delete(ctx, instance)).To(Succeed())
		Expect(look(ctx)).To(BeZero())
		change(ctx, instance, func(i *v1alpha1.ProxyInstance) { i.Finalizers = nil })
	})
})

// laggingInstances is a cache that still holds an older object.
type laggingInstances struct {
	client.Client
	instance *v1alpha1.ProxyInstance
}

func (r laggingInstances) Get(_ context.Context, _ client.ObjectKey, object client.Object, _ ...client.GetOption) error {
	r.instance.DeepCopyInto(object.(*v1alpha1.ProxyInstance))
	return nil
}
