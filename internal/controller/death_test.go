// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	testingclock "k8s.io/utils/clock/testing"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/turnout-ai/turnout/api/v1alpha1"
)

var _ = Describe("A proxy in a Pod", func() {
	var r *ProxyInstanceReconciler
	var clock *testingclock.FakeClock
	var pod *corev1.Pod
	var instance *v1alpha1.ProxyInstance

	BeforeEach(func(ctx context.Context) {
		namespace := newNamespace(ctx)
		clock = testingclock.NewFakeClock(epoch)
		books := NewBooks()
		r = &ProxyInstanceReconciler{Reader: admin, Live: admin, Client: admin, Clock: clock, Books: books, Fleet: NewFleet(books), Leases: NewLeases()}
		pod = &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "proxy-0"},
			Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "proxy", Image: "turnout"}, {Name: "sidecar", Image: "other"}}},
		}
		// Without Kubernetes' controllers nobody makes the account that admission asks for.
		create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "default"}}, pod)
		instance = &v1alpha1.ProxyInstance{ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, Name: "proxy-0-abcde",
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "v1", Kind: "Pod", Name: pod.Name, UID: pod.UID}},
		}}
		create(ctx, instance)
	})

	look := func(ctx context.Context) bool {
		GinkgoHelper()
		_, err := r.Reconcile(ctx, ctrl.Request{NamespacedName: client.ObjectKeyFromObject(instance)})
		Expect(err).NotTo(HaveOccurred())
		err = admin.Get(ctx, client.ObjectKeyFromObject(instance), &v1alpha1.ProxyInstance{})
		Expect(client.IgnoreNotFound(err)).To(Succeed())
		return err == nil
	}
	running := func(ctx context.Context, restarts int32, startedAt time.Time, sidecar int32) {
		GinkgoHelper()
		pod.Status.Phase = corev1.PodRunning
		container := func(name string, restarts int32) corev1.ContainerStatus {
			return corev1.ContainerStatus{
				Name: name, RestartCount: restarts, Image: "turnout", ImageID: "turnout",
				State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(startedAt)}},
			}
		}
		pod.Status.ContainerStatuses = []corev1.ContainerStatus{container("proxy", restarts), container("sidecar", sidecar)}
		Expect(admin.Status().Update(ctx, pod)).To(Succeed())
	}

	It("lives for as long as the Pod, whatever its Lease does", func(ctx context.Context) {
		for range 5 {
			Expect(look(ctx)).To(BeTrue())
			clock.Step(deadAfter)
		}
		Expect(admin.Delete(ctx, pod, client.GracePeriodSeconds(0))).To(Succeed())
		Expect(look(ctx)).To(BeFalse())
	})

	It("is dead when another Pod has its Pod's name", func(ctx context.Context) {
		Expect(admin.Delete(ctx, pod, client.GracePeriodSeconds(0))).To(Succeed())
		pod.ResourceVersion, pod.UID = "", ""
		create(ctx, pod)
		Expect(look(ctx)).To(BeFalse())
	})

	It("is dead when its container restarts, and no other", func(ctx context.Context) {
		born := instance.CreationTimestamp.Time
		running(ctx, 3, born.Add(-time.Second), 0)
		Expect(look(ctx)).To(BeTrue(), "restarts before it was born are none of its own")
		clock.Step(lookEvery)
		running(ctx, 3, born.Add(-time.Second), 0)
		Expect(look(ctx)).To(BeTrue())
		running(ctx, 3, born.Add(30*time.Second), 7)
		Expect(look(ctx)).To(BeTrue(), "clocks differ, and a sidecar is not the proxy")
		running(ctx, 4, born.Add(30*time.Second), 7)
		Expect(look(ctx)).To(BeFalse())
	})

	It("is not taken for the one before when the Pod's status is late", func(ctx context.Context) {
		started := instance.CreationTimestamp.Add(-time.Second)
		running(ctx, 3, started.Add(-time.Hour), 0)
		Expect(look(ctx)).To(BeTrue())
		for range 3 {
			clock.Step(lookEvery)
			running(ctx, 4, started, 0)
			Expect(look(ctx)).To(BeTrue(), "it is the one that the restart has brought")
		}
	})

	It("is not dead for restarts of old when its Pod could not be read at first", func(ctx context.Context) {
		running(ctx, 3, instance.CreationTimestamp.Add(-time.Second), 0)
		r.Live = blind{Client: admin}
		Expect(look(ctx)).To(BeTrue())
		r.Live = admin
		clock.Step(lookEvery)
		Expect(look(ctx)).To(BeTrue())
	})

	It("is dead when its container has started long after it", func(ctx context.Context) {
		running(ctx, 1, instance.CreationTimestamp.Add(2*time.Minute), 0)
		Expect(look(ctx)).To(BeFalse())
	})

	It("is judged by its Lease when the Pod may not be read", func(ctx context.Context) {
		r.Live = blind{Client: admin}
		lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: instance.Namespace, Name: instance.Name}}
		create(ctx, lease)
		Expect(look(ctx)).To(BeTrue())
		for range 3 {
			clock.Step(lookEvery)
			Expect(look(ctx)).To(BeTrue())
		}
		clock.Step(lookEvery)
		Expect(look(ctx)).To(BeFalse())
	})

	It("is told how many proxies there are and how often to report, on change only", func(ctx context.Context) {
		look(ctx)
		Expect(admin.Get(ctx, client.ObjectKeyFromObject(instance), instance)).To(Succeed())
		Expect(instance.Spec.ReportInterval).To(BeNil(), "nobody knows yet how many there are")
		observe(ctx, r.Books)
		look(ctx)
		Expect(admin.Get(ctx, client.ObjectKeyFromObject(instance), instance)).To(Succeed())
		Expect(*instance.Spec.Proxies).To(BeNumerically(">=", 1))
		Expect(*instance.Spec.ReportInterval).To(Equal(v1alpha1.Duration("5s")))
		before := instance.ResourceVersion
		look(ctx)
		Expect(admin.Get(ctx, client.ObjectKeyFromObject(instance), instance)).To(Succeed())
		Expect(instance.ResourceVersion).To(Equal(before))
	})
})

// blind may not read Pods.
type blind struct {
	client.Client
}

func (b blind) Get(ctx context.Context, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
	if _, ok := object.(*corev1.Pod); ok {
		return apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, key.Name, nil)
	}
	return b.Client.Get(ctx, key, object, options...)
}
