// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/turnout-ai/turnout/api/v1alpha1"
	"github.com/turnout-ai/turnout/internal/calendar"
)

var _ = Describe("Numbers", func() {
	var b *bench
	var namespace string
	var e *v1alpha1.ModelEndpoint
	var p proxy

	BeforeEach(func(ctx context.Context) {
		namespace = newNamespace(ctx)
		b = newBench(cfg)
		e = endpoint(namespace, "gpt")
		p = newProxy(ctx, namespace, "proxy-0")
	})

	quotaUsed := func(ctx context.Context) int64 {
		GinkgoHelper()
		expectSound(ctx, e)
		return *e.Status.ModelState.QuotaUsed
	}

	It("wait for ten seconds, and no write is without the newest", func(ctx context.Context) {
		create(ctx, e)
		b.reconcile(ctx, namespace)
		p.count(ctx, 0, used(e, 1, today, thisMonth))
		Expect(b.reconcile(ctx, namespace)).To(BeNumerically("<=", 10*time.Second))
		Expect(quotaUsed(ctx)).To(BeZero(), "the status was written just now")
		b.clock.Step(10 * time.Second)
		b.reconcile(ctx, namespace)
		Expect(quotaUsed(ctx)).To(Equal(int64(1)))

		p.count(ctx, 0, used(e, 2, today, thisMonth))
		b.clock.Step(time.Second)
		Expect(b.reconcile(ctx, namespace)).To(Equal(9 * time.Second))
		Expect(quotaUsed(ctx)).To(Equal(int64(1)))
		change(ctx, e, suspend)
		b.reconcile(ctx, namespace)
		Expect(quotaUsed(ctx)).To(Equal(int64(2)), "a transition takes them along")
	})

	It("that do not change are not written, nor is anything else", func(ctx context.Context) {
		create(ctx, e, policy(namespace, "chat"))
		p.count(ctx, 0, used(e, 3, today, thisMonth))
		b.reconcile(ctx, namespace)
		Expect(quotaUsed(ctx)).To(Equal(int64(3)))
		before := resourceVersions(ctx, namespace)
		for range 5 {
			b.clock.Step(10 * time.Minute)
			b.reconcile(ctx, namespace)
		}
		Expect(resourceVersions(ctx, namespace)).To(Equal(before))
	})

	It("follow the calendar of Berlin through a month with a change of clocks and its maintenance", func(ctx context.Context) {
		berlin, err := time.LoadLocation("Europe/Berlin")
		Expect(err).NotTo(HaveOccurred())
		e.Spec.Limits = &v1alpha1.Limits{
			Quota: &v1alpha1.QuotaLimit{Period: v1alpha1.PeriodDaily}, Budget: &v1alpha1.BudgetLimit{Period: v1alpha1.PeriodMonthly},
			TimeZone: "Europe/Berlin",
		}
		e.Spec.Maintenance = []v1alpha1.MaintenanceWindow{{Schedule: "0 4 * * 0", Duration: "3h", TimeZone: "Europe/Berlin"}}
		create(ctx, e)
		day, month := calendar.Period{Unit: calendar.Daily, Zone: berlin}, calendar.Period{Unit: calendar.Monthly, Zone: berlin}
		begin := time.Date(2024, time.March, 1, 0, 0, 0, 0, berlin)
		end := time.Date(2024, time.April, 2, 0, 0, 0, 0, berlin)
		requests := func(since, until time.Time) int64 { return int64(until.Sub(since) / (2 * time.Hour)) } // one each two hours
		transitions := 0
		last := v1alpha1.StatusActive
		// Half a day at a time, but for Sundays and the days around the change of clocks.
		next := func(at time.Time) time.Time {
			if local := at.In(berlin); local.Weekday() == time.Sunday || local.Month() == time.March && local.Day() >= 30 {
				return at.Add(2 * time.Hour)
			}
			return at.Add(12 * time.Hour)
		}
		for at := begin; at.Before(end); at = next(at) {
			b.clock.SetTime(at)
			n := used(e, 0, day.Start(at), month.Start(at))
			n.Quota[0].Requests, n.Budget[0].Requests = requests(day.Start(at), at), requests(month.Start(at), at)
			b.Books.SetReport(reportOf(p, n))
			_, err := b.Reconcile(ctx, request(namespace))
			Expect(err).NotTo(HaveOccurred())
			expectSound(ctx, e)
			state := e.Status.ModelState
			local := at.In(berlin)
			Expect(*state.QuotaUsed).To(Equal(requests(day.Start(at), at)), local.String())
			if state.Usage != nil && state.Usage.Budget != nil {
				Expect(state.Usage.Budget.Requests).To(Equal(requests(month.Start(at), at)), local.String())
			}
			if day.Start(at).Equal(at) {
				Expect(*state.QuotaUsed).To(BeZero())
			}
			resting := local.Weekday() == time.Sunday && local.Hour() >= 4 && local.Hour() < 7
			want := v1alpha1.StatusActive
			if resting {
				want = v1alpha1.StatusStandby
			}
			Expect(state.Status).To(Equal(want), local.String())
			if state.Status != last {
				transitions, last = transitions+1, state.Status
			}
		}
		Expect(transitions).To(Equal(2*5), "five Sundays, the one with 23 hours among them")
	})
})

// reportOf is a report as a watch brings it, without the way through the API server.
func reportOf(p proxy, numbers ...v1alpha1.EndpointNumbers) *v1alpha1.ProxyReport {
	report := &v1alpha1.ProxyReport{}
	report.Namespace, report.Name = p.Namespace, p.Name+"-0"
	report.Spec = v1alpha1.ProxyReportSpec{Instance: p.Name, InstanceUID: string(p.UID)}
	report.Status.Endpoints = numbers
	return report
}
