// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"fmt"
	"math"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/prometheus/client_golang/prometheus/testutil"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/turnout-ai/turnout/api/v1alpha1"
)

var _ = Describe("The books", func() {
	var b *bench
	var keeper *ProxyInstanceReconciler
	var namespace, proxies string
	var e *v1alpha1.ModelEndpoint

	BeforeEach(func(ctx context.Context) {
		namespace, proxies = newNamespace(ctx), newNamespace(ctx)
		b = newBench(cfg)
		keeper = newKeeper(b)
		e = endpoint(namespace, "gpt", priced)
		create(ctx, e)
		b.reconcile(ctx, namespace)
		b.clock.Step(time.Minute)
	})

	// keep looks at a process once.
	keep := func(ctx context.Context, p proxy) time.Duration {
		GinkgoHelper()
		observe(ctx, b.Books)
		result, err := keeper.Reconcile(ctx, ctrl.Request{NamespacedName: client.ObjectKeyFromObject(p)})
		Expect(err).NotTo(HaveOccurred())
		return result.RequeueAfter
	}
	// later looks at the endpoints once the pace allows for numbers.
	later := func(ctx context.Context) {
		GinkgoHelper()
		b.clock.Step(10 * time.Second)
		b.reconcile(ctx, namespace)
	}
	requests := func(ctx context.Context) int64 {
		GinkgoHelper()
		expectSound(ctx, e)
		state := e.Status.ModelState
		Expect(*state.TokensUsed).To(Equal(11*(*state.QuotaUsed)), "all counters are added up alike")
		return *state.QuotaUsed
	}
	gone := func(ctx context.Context, object client.Object) bool {
		GinkgoHelper()
		err := admin.Get(ctx, client.ObjectKeyFromObject(object), object)
		Expect(client.IgnoreNotFound(err)).To(Succeed())
		return apierrors.IsNotFound(err)
	}
	record := func() []string {
		var uids []string
		if e.Status.Fold != nil {
			for _, f := range e.Status.Fold.Instances {
				uids = append(uids, f.UID)
			}
		}
		return uids
	}

	It("add up what all proxies have counted", func(ctx context.Context) {
		first, second := newProxy(ctx, proxies, "proxy-0"), newProxy(ctx, proxies, "proxy-1")
		at := b.clock.Now()
		first.count(ctx, 0, used(e, 5, today, thisMonth, func(n *v1alpha1.EndpointNumbers) {
			n.Window = []v1alpha1.WindowBucket{{Start: at.Unix() / 10 * 10, Attempts: 5, Failures: 1}}
			n.Total = []v1alpha1.LatencyClass{{Class: 80, Count: 4}}
			n.FirstToken = []v1alpha1.LatencyClass{{Class: 40, Count: 2}}
			n.Recent = []v1alpha1.LatencySample{{Time: *micros(at), Total: 420, FirstToken: new(int64(80))}}
			n.LastRequest, n.LastFailure, n.LastFailureMessage = micros(at), micros(at.Add(-time.Second)), "503 from api.example.com"
		}))
		second.count(ctx, 0, used(e, 7, today, thisMonth, func(n *v1alpha1.EndpointNumbers) {
			n.Window = []v1alpha1.WindowBucket{{Start: at.Unix() / 10 * 10, Attempts: 7, Failures: 0}}
			n.Recent = []v1alpha1.LatencySample{{Time: *micros(at.Add(-time.Second)), Total: 300}}
			n.Quota[0].Estimated = &v1alpha1.EstimatedUsage{Requests: 2}
		}))
		b.reconcile(ctx, namespace)
		Expect(requests(ctx)).To(Equal(int64(12)))
		state := e.Status.ModelState
		Expect(state.CostAccumulated).To(Equal(v1alpha1.Money("0.012")))
		Expect(state.Usage.Quota.Estimated.Requests).To(Equal(int64(2)))
		Expect(state.Usage.PreviousQuota).To(BeNil())
		Expect(state.ErrorRate).To(Equal(v1alpha1.Ratio("0.0833")))
		Expect(state.LatencyHistory).To(HaveLen(2))
		Expect(state.LatencyHistory[0].Total).To(Equal(int64(420)))
		Expect(state.Latency.P50).To(MatchRegexp(`^\d+ms$`))
		Expect(state.Latency.FirstTokenP50).To(MatchRegexp(`^\d+ms$`))
		Expect(state.LastRequest.Time).To(BeTemporally("==", at))
		Expect(state.LastFailure.Time).To(BeTemporally("==", at.Add(-time.Second)))
		Expect(state.LastFailureMessage).To(Equal("503 from api.example.com"))

		By("letting the window run out, without another word of anybody")
		b.clock.Step(71 * time.Second)
		b.reconcile(ctx, namespace)
		expectSound(ctx, e)
		Expect(e.Status.ModelState.ErrorRate).To(BeEmpty())

		By("beginning another day: what was yesterday's is the previous one")
		b.clock.SetTime(today.Add(24*time.Hour + time.Minute))
		b.reconcile(ctx, namespace)
		Expect(requests(ctx)).To(BeZero())
		Expect(e.Status.ModelState.Usage.PreviousQuota.Requests).To(Equal(int64(12)))
		Expect(e.Status.ModelState.Usage.Budget.Requests).To(Equal(int64(12)))
	})

	It("take in a process that ended, once, however often they are asked to", func(ctx context.Context) {
		p := newProxy(ctx, proxies, "proxy-0")
		report := p.count(ctx, 0, used(e, 5, today, thisMonth))
		b.reconcile(ctx, namespace)
		Expect(requests(ctx)).To(Equal(int64(5)))
		p.count(ctx, 0, used(e, 8, today, thisMonth))
		p.end(ctx)

		Expect(keep(ctx, p)).To(Equal(foldAgain))
		Expect(gone(ctx, report)).To(BeFalse())
		Expect(report.Spec.Sealed).To(BeTrue())
		for range 2 {
			b.reconcile(ctx, namespace)
			Expect(requests(ctx)).To(Equal(int64(5)), "the numbers wait for their turn")
			Expect(record()).To(BeEmpty())
			Expect(keep(ctx, p)).To(Equal(foldAgain), "and the report waits for them")
		}
		for range 3 {
			later(ctx)
			Expect(requests(ctx)).To(Equal(int64(8)))
			Expect(record()).To(Equal([]string{string(p.UID)}))
		}
		keep(ctx, p)
		Expect(gone(ctx, report)).To(BeTrue())
		Expect(gone(ctx, p.ProxyInstance)).To(BeTrue())
		later(ctx)
		Expect(requests(ctx)).To(Equal(int64(8)))
		Expect(keep(ctx, p)).To(BeZero())

		By("forgetting the process ten minutes after it was known to be gone")
		Expect(e.Status.Fold.Instances[0].GoneSince).NotTo(BeNil())
		b.clock.Step(9 * time.Minute)
		later(ctx)
		expectSound(ctx, e)
		Expect(record()).To(HaveLen(1))
		b.clock.Step(time.Minute)
		later(ctx)
		Expect(requests(ctx)).To(Equal(int64(8)))
		Expect(record()).To(BeEmpty())

		By("writing nothing any more")
		before := resourceVersions(ctx, namespace)
		for range 3 {
			b.clock.Step(20 * time.Minute)
			b.reconcile(ctx, namespace)
		}
		Expect(resourceVersions(ctx, namespace)).To(Equal(before))
	})

	It("survive an operator that dies between taking in and taking away", func(ctx context.Context) {
		p := newProxy(ctx, proxies, "proxy-0")
		report := p.count(ctx, 0, used(e, 5, today, thisMonth))
		p.end(ctx)
		keep(ctx, p)
		later(ctx)
		Expect(record()).To(BeEmpty(), "not read yet")
		Expect(requests(ctx)).To(Equal(int64(5)))
		Expect(record()).To(HaveLen(1))

		now := b.clock.Now()
		b = newBench(cfg)
		b.clock.SetTime(now.Add(time.Second))
		keeper = newKeeper(b)
		later(ctx)
		Expect(requests(ctx)).To(Equal(int64(5)), "the report is still there, and in the record")
		keep(ctx, p)
		Expect(gone(ctx, report)).To(BeTrue())
		Expect(gone(ctx, p.ProxyInstance)).To(BeTrue())
		later(ctx)
		Expect(requests(ctx)).To(Equal(int64(5)))
	})

	It("do not believe a cache that holds a process long gone (an API server that is behind)", func(ctx context.Context) {
		p := newProxy(ctx, proxies, "proxy-0")
		report := p.count(ctx, 0, used(e, 5, today, thisMonth))
		p.end(ctx)
		stale, stalePage := p.DeepCopy(), report.DeepCopy()
		keep(ctx, p)
		later(ctx)
		keep(ctx, p)
		for range 2 {
			b.clock.Step(11 * time.Minute)
			b.reconcile(ctx, namespace)
		}
		Expect(requests(ctx)).To(Equal(int64(5)))
		Expect(record()).To(BeEmpty())
		Expect(gone(ctx, report)).To(BeTrue())

		now := b.clock.Now()
		b = newBench(cfg)
		b.clock.SetTime(now.Add(time.Minute))
		keeper = newKeeper(b)
		keeper.Reader = laggingInstances{Client: admin, instance: stale}
		b.Books.SetInstance(stale)
		b.Books.SetReport(stalePage)
		result, err := keeper.Reconcile(ctx, ctrl.Request{NamespacedName: client.ObjectKeyFromObject(stale)})
		Expect(err).NotTo(HaveOccurred())
		Expect(result.RequeueAfter).To(BeZero())
		b.Books.SetReport(stalePage) // The watch repeats itself.
		b.reconcileUnobserved(ctx, namespace)
		Expect(requests(ctx)).To(Equal(int64(5)), "what the API server does not have is not counted")
		Expect(record()).To(BeEmpty())
	})

	It("keep a UID for as long as somebody still speaks of it", func(ctx context.Context) {
		p := newProxy(ctx, proxies, "proxy-0")
		report := p.count(ctx, 0, used(e, 5, today, thisMonth))
		p.end(ctx)
		stale, stalePage := p.DeepCopy(), report.DeepCopy()
		keep(ctx, p)
		later(ctx)
		keep(ctx, p)
		// The watch of this operator stands still from now on: it never hears that the report is gone.
		for range 5 {
			b.clock.Step(11 * time.Minute)
			b.reconcileUnobserved(ctx, namespace)
			Expect(requests(ctx)).To(Equal(int64(5)))
		}
		Expect(record()).To(HaveLen(1))

		By("hearing of it again after it was noted that it is gone")
		later(ctx)
		expectSound(ctx, e)
		Expect(e.Status.Fold.Instances[0].GoneSince).NotTo(BeNil())
		b.Books.SetInstance(stale)
		b.Books.SetReport(stalePage)
		for range 2 {
			b.clock.Step(11 * time.Minute)
			b.reconcileUnobserved(ctx, namespace)
			Expect(requests(ctx)).To(Equal(int64(5)))
		}
		Expect(record()).To(HaveLen(1))
	})

	It("do not add reports about an endpoint to another one of its name", func(ctx context.Context) {
		p := newProxy(ctx, proxies, "proxy-0")
		report := p.count(ctx, 0, used(e, 5, today, thisMonth))
		b.reconcile(ctx, namespace)
		Expect(requests(ctx)).To(Equal(int64(5)))
		Expect(admin.Delete(ctx, e)).To(Succeed())
		e = endpoint(namespace, "gpt", priced)
		create(ctx, e)
		b.reconcile(ctx, namespace)
		Expect(requests(ctx)).To(BeZero())

		By("letting the old report go: the endpoint it names is gone")
		p.end(ctx)
		keep(ctx, p)
		Expect(gone(ctx, report)).To(BeTrue())
	})

	It("take in a fleet that rolls with one write for each endpoint", func(ctx context.Context) {
		other := endpoint(namespace, "mini", priced)
		create(ctx, other)
		var fleet []proxy
		for i := range 20 {
			p := newProxy(ctx, proxies, fmt.Sprintf("proxy-%d", i))
			p.count(ctx, 0, used(e, 1, today, thisMonth))
			p.count(ctx, 1, used(other, 2, today, thisMonth))
			p.end(ctx)
			fleet = append(fleet, p)
		}
		b.reconcile(ctx, namespace)
		for _, p := range fleet {
			keep(ctx, p)
		}
		writes := func() float64 { return testutil.ToFloat64(b.Metrics.statusWrites.WithLabelValues("ModelEndpoint")) }
		before := writes()
		later(ctx)
		Expect(writes() - before).To(Equal(2.0))
		Expect(requests(ctx)).To(Equal(int64(20)))
		expectSound(ctx, other)
		Expect(*other.Status.ModelState.QuotaUsed).To(Equal(int64(40)))
		Expect(other.Status.Fold.Instances).To(HaveLen(20))
		for _, p := range fleet {
			keep(ctx, p)
			Expect(gone(ctx, p.ProxyInstance)).To(BeTrue())
		}
	})

	It("take in the reports of an instance that somebody has removed by force", func(ctx context.Context) {
		p := newProxy(ctx, proxies, "proxy-0")
		report := p.count(ctx, 0, used(e, 5, today, thisMonth))
		discard(ctx, p.ProxyInstance)
		Expect(keep(ctx, p)).To(Equal(foldAgain))
		later(ctx)
		keep(ctx, p)
		Expect(gone(ctx, report)).To(BeTrue())
		later(ctx)
		Expect(requests(ctx)).To(Equal(int64(5)))
	})

	It("take in a report that came to be while the others were sealed", func(ctx context.Context) {
		other := endpoint(namespace, "mini", priced)
		create(ctx, other)
		p := newProxy(ctx, proxies, "proxy-0")
		p.count(ctx, 0, used(e, 5, today, thisMonth))
		p.end(ctx)
		Expect(keep(ctx, p)).To(Equal(foldAgain))
		late := p.count(ctx, 1, used(other, 7, today, thisMonth))
		later(ctx)
		expectSound(ctx, other)
		Expect(*other.Status.ModelState.QuotaUsed).To(BeZero(), "it is not sealed yet")
		discard(ctx, p.ProxyInstance)
		Expect(keep(ctx, p)).To(Equal(foldAgain))
		later(ctx)
		expectSound(ctx, other)
		Expect(*other.Status.ModelState.QuotaUsed).To(Equal(int64(7)))
		Expect(other.Status.Fold.Instances).To(HaveLen(1))
		keep(ctx, p)
		Expect(gone(ctx, late)).To(BeTrue())
		Expect(requests(ctx)).To(Equal(int64(5)))
	})

	It("seal a report that its process has announced and not created yet", func(ctx context.Context) {
		p := newProxy(ctx, proxies, "proxy-0")
		p.status(ctx, func(s *v1alpha1.ProxyInstanceStatus) { s.Pages = 2 })
		for range 2 { // Beginning again changes nothing.
			reports, err := keeper.seal(ctx, deceasedOf(p.ProxyInstance))
			Expect(err).NotTo(HaveOccurred())
			Expect(reports).To(HaveLen(2))
			for page, report := range reports {
				Expect(report.Spec).To(Equal(v1alpha1.ProxyReportSpec{
					Instance: "proxy-0", InstanceUID: string(p.UID), Page: int32(page), Sealed: true,
				}))
			}
		}
		p.end(ctx)
		keep(ctx, p)
		Expect(gone(ctx, p.ProxyInstance)).To(BeTrue())
		Expect(gone(ctx, &v1alpha1.ProxyReport{ObjectMeta: metav1.ObjectMeta{Namespace: proxies, Name: "proxy-0-1"}})).To(BeTrue())
	})

	It("let a process go whose namespace goes before it has created its report", func(ctx context.Context) {
		p := newProxy(ctx, proxies, "proxy-0")
		p.status(ctx, func(s *v1alpha1.ProxyInstanceStatus) { s.Pages = 1 })
		Expect(admin.Delete(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: proxies}})).To(Succeed())
		p.end(ctx)
		keep(ctx, p)
		Expect(gone(ctx, p.ProxyInstance)).To(BeTrue())
	})

	It("do not let a clock that is far ahead push out what was used", func(ctx context.Context) {
		p := newProxy(ctx, proxies, "proxy-0")
		ahead := micros(b.clock.Now().Add(24 * time.Hour))
		p.count(ctx, 0, used(e, 5, today, thisMonth, func(n *v1alpha1.EndpointNumbers) {
			for day := range 3 {
				n.Quota = append(n.Quota, v1alpha1.PeriodUsage{Start: metav1.NewTime(today.AddDate(1, 0, day)), Requests: 1 << 62})
			}
			n.LastFailure, n.LastRequest = ahead, ahead
			n.Recent = []v1alpha1.LatencySample{{Time: *ahead, Total: 420}}
		}))
		q := newProxy(ctx, proxies, "proxy-1")
		q.count(ctx, 0, used(e, 1, today.AddDate(2, 0, 0), thisMonth), used(e, 1, today.AddDate(3, 0, 0), thisMonth))
		p.end(ctx)
		q.end(ctx)
		keep(ctx, p)
		keep(ctx, q)
		later(ctx)
		expectSound(ctx, e)
		Expect(record()).To(HaveLen(2))
		Expect(*e.Status.ModelState.QuotaUsed).To(Equal(int64(5)))
		Expect(e.Status.Fold.Quota).To(HaveLen(1))
		Expect(e.Status.ModelState.LastFailure).To(BeNil())
		Expect(e.Status.ModelState.LastRequest).To(BeNil())
		Expect(e.Status.ModelState.LatencyHistory).To(BeEmpty())
	})

	It("stay within what can be written, whatever a proxy says", func(ctx context.Context) {
		for i := range 3 {
			newProxy(ctx, proxies, fmt.Sprintf("proxy-%d", i)).count(ctx, 0, used(e, math.MaxInt64/20, today, thisMonth, func(n *v1alpha1.EndpointNumbers) {
				n.Quota[0].Requests, n.Quota[0].Cost = math.MaxInt64, "999999999"
				n.Budget[0].Cost = "999999999"
				n.Window = []v1alpha1.WindowBucket{{Start: math.MaxInt64, Epoch: math.MaxInt64, Attempts: math.MaxInt64, Failures: math.MaxInt64}}
				n.Total = []v1alpha1.LatencyClass{{Class: 191, Count: math.MaxInt64}}
				n.Recent = []v1alpha1.LatencySample{{Time: *micros(epoch), Total: math.MaxInt64}}
			}))
		}
		b.reconcile(ctx, namespace)
		expectSound(ctx, e)
		Expect(*e.Status.ModelState.QuotaUsed).To(Equal(int64(math.MaxInt64)))
		Expect(e.Status.ModelState.CostAccumulated).To(Equal(v1alpha1.Money("999999999.999999999")))
	})

	It("hold a process that the operator found dead until its numbers are in them", func(ctx context.Context) {
		p := newProxy(ctx, proxies, "proxy-0")
		p.count(ctx, 0, used(e, 5, today, thisMonth))
		for range 1 + deadAfter/lookEvery {
			keep(ctx, p)
			b.clock.Step(lookEvery)
		}
		Expect(gone(ctx, p.ProxyInstance)).To(BeFalse())
		Expect(p.DeletionTimestamp).NotTo(BeNil())
		keep(ctx, p)
		later(ctx)
		keep(ctx, p)
		Expect(gone(ctx, p.ProxyInstance)).To(BeTrue())
		Expect(requests(ctx)).To(Equal(int64(5)))
	})
})
