// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/turnout-ai/turnout/api/v1alpha1"
	"github.com/turnout-ai/turnout/internal/translate"
)

// proxy is a proxy process that a spec plays.
type proxy struct {
	*v1alpha1.ProxyInstance
}

// newProxy registers a process.
func newProxy(ctx context.Context, namespace, name string) proxy {
	GinkgoHelper()
	instance := &v1alpha1.ProxyInstance{ObjectMeta: metav1.ObjectMeta{
		Namespace: namespace, Name: name, Finalizers: []string{v1alpha1.FoldFinalizer},
	}}
	create(ctx, instance)
	// Specs share an API server: what is left of one must not be seen by the next.
	DeferCleanup(func(ctx context.Context) {
		var reports v1alpha1.ProxyReportList
		Expect(admin.List(ctx, &reports, client.InNamespace(namespace))).To(Succeed())
		for i := range reports.Items {
			discard(ctx, &reports.Items[i])
		}
		discard(ctx, &v1alpha1.ProxyInstance{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}})
	})
	return proxy{instance}
}

// discard removes an object with its finalizers.
func discard(ctx context.Context, object client.Object) {
	GinkgoHelper()
	if admin.Get(ctx, client.ObjectKeyFromObject(object), object) != nil {
		return
	}
	object.SetFinalizers(nil)
	Expect(client.IgnoreNotFound(admin.Update(ctx, object))).To(Succeed())
	Expect(client.IgnoreNotFound(admin.Delete(ctx, object))).To(Succeed())
}

// status changes the process' report about itself.
func (p proxy) status(ctx context.Context, change func(*v1alpha1.ProxyInstanceStatus)) {
	GinkgoHelper()
	Expect(admin.Get(ctx, client.ObjectKeyFromObject(p), p.ProxyInstance)).To(Succeed())
	stored := p.DeepCopy()
	change(&p.Status)
	Expect(admin.Status().Patch(ctx, p.ProxyInstance, client.MergeFrom(stored))).To(Succeed())
}

// signal says what the process has to say about endpoints.
func (p proxy) signal(ctx context.Context, signals ...v1alpha1.EndpointSignal) {
	GinkgoHelper()
	p.status(ctx, func(s *v1alpha1.ProxyInstanceStatus) { s.Signals = signals })
}

// end is the process' last word.
func (p proxy) end(ctx context.Context) {
	GinkgoHelper()
	p.status(ctx, func(s *v1alpha1.ProxyInstanceStatus) { s.Ended, s.Final = true, true })
}

// count writes a page of numbers.
func (p proxy) count(ctx context.Context, page int, numbers ...v1alpha1.EndpointNumbers) *v1alpha1.ProxyReport {
	GinkgoHelper()
	report := &v1alpha1.ProxyReport{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: p.Namespace, Name: fmt.Sprintf("%s-%d", p.Name, page), Finalizers: []string{v1alpha1.FoldFinalizer},
		},
		Spec: v1alpha1.ProxyReportSpec{Instance: p.Name, InstanceUID: string(p.UID), Page: int32(page)},
	}
	err := admin.Get(ctx, client.ObjectKeyFromObject(report), report)
	if client.IgnoreNotFound(err) == nil && err != nil {
		create(ctx, report)
		p.status(ctx, func(s *v1alpha1.ProxyInstanceStatus) { s.Pages = max(s.Pages, int32(page)+1) })
	}
	stored := report.DeepCopy()
	report.Status.Endpoints = numbers
	Expect(admin.Status().Patch(ctx, report, client.MergeFrom(stored))).To(Succeed())
	return report
}

// about begins a signal about an endpoint, of its current epoch.
func about(ctx context.Context, e *v1alpha1.ModelEndpoint, change ...func(*v1alpha1.EndpointSignal)) v1alpha1.EndpointSignal {
	GinkgoHelper()
	Expect(admin.Get(ctx, client.ObjectKeyFromObject(e), e)).To(Succeed())
	s := v1alpha1.EndpointSignal{UID: string(e.UID), Namespace: e.Namespace, Name: e.Name}
	if e.Status.ModelState != nil {
		s.Epoch = e.Status.ModelState.Epoch
	}
	for _, c := range change {
		c(&s)
	}
	return s
}

// failures are so many in a row, each of a request of its own and with a 503, the last at that time.
func failures(n int64, last time.Time) func(*v1alpha1.EndpointSignal) {
	return func(s *v1alpha1.EndpointSignal) {
		s.Failures, s.Requests, s.Outage = n, n, n
		s.Since, s.LastFailure = micros(last.Add(-time.Second)), micros(last)
		s.Message = "503 from api.example.com"
	}
}

// ofRequests makes failures that are no sign of an outage.
func ofRequests(s *v1alpha1.EndpointSignal) { s.Outage, s.Message = 0, "204 from api.example.com" }

// unconnected makes them failures without a connection.
func unconnected(s *v1alpha1.EndpointSignal) {
	s.Connect, s.Outage, s.Message = s.Failures, s.Failures, "connection refused"
}

func successes(n int64, last time.Time) func(*v1alpha1.EndpointSignal) {
	return func(s *v1alpha1.EndpointSignal) { s.Successes, s.LastSuccess = n, micros(last) }
}

func saying(reason v1alpha1.DeactivationReason, at time.Time, message string) func(*v1alpha1.EndpointSignal) {
	return func(s *v1alpha1.EndpointSignal) {
		s.Statements = []v1alpha1.ProviderStatement{{Reason: reason, Time: *micros(at), Message: message}}
	}
}

func micros(t time.Time) *metav1.MicroTime { return new(metav1.NewMicroTime(t)) }

// used are numbers about an endpoint: so many attempts of a day and of its month.
func used(e *v1alpha1.ModelEndpoint, requests int64, day, month time.Time, change ...func(*v1alpha1.EndpointNumbers)) v1alpha1.EndpointNumbers {
	period := func(start time.Time) []v1alpha1.PeriodUsage {
		return []v1alpha1.PeriodUsage{{
			Start: metav1.NewTime(start), Requests: requests,
			Tokens: v1alpha1.TokenCounts{Input: 10 * requests, Output: requests},
			Cost:   translate.APIMoney(requests * 1_000_000),
		}}
	}
	n := v1alpha1.EndpointNumbers{
		UID: string(e.UID), Namespace: e.Namespace, Name: e.Name, Quota: period(day), Budget: period(month),
	}
	for _, c := range change {
		c(&n)
	}
	return n
}

// today are the periods of epoch in UTC.
var (
	today     = time.Date(2023, time.November, 14, 0, 0, 0, 0, time.UTC)
	thisMonth = time.Date(2023, time.November, 1, 0, 0, 0, 0, time.UTC)
)

func priced(e *v1alpha1.ModelEndpoint) {
	e.Spec.Pricing = &v1alpha1.Pricing{InputTokens: "2.50", OutputTokens: "10"}
}
