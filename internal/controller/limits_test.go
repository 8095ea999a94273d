// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/prometheus/client_golang/prometheus/testutil"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/turnout-ai/turnout/api/v1alpha1"
	"github.com/turnout-ai/turnout/internal/quota"
	"github.com/turnout-ai/turnout/internal/translate"
)

const dollar = 1_000_000_000

// midnight ends the day of epoch.
var midnight = today.Add(24 * time.Hour)

// Each limit is reached, and ends.
var _ = Describe("Limits", func() {
	for _, tc := range []struct {
		limit                              quota.Limit
		change, raise                      func(*v1alpha1.ModelEndpoint)
		each                               int64
		reason, words, raised, used, usedR string
		more                               int64
	}{
		{
			quota.Requests, withLimits(10, 0, ""), withLimits(12, 0, ""), 1, "RequestLimit",
			"10 of 10 requests used; comes back at 00:00 UTC", "12 of 12 requests used; comes back at 00:00 UTC", "10/10", "12/12", 2,
		},
		{
			quota.Tokens, withLimits(0, 1000, ""), withLimits(0, 1200, ""), 100, "TokenLimit",
			"1000 of 1000 tokens used; comes back at 00:00 UTC", "1200 of 1200 tokens used; comes back at 00:00 UTC", "1000/1000", "1200/1200", 2,
		},
		{
			quota.Budget, withLimits(0, 0, "1"), withLimits(0, 0, "1.25"), dollar / 8, "BudgetExceeded",
			"$1.00 of $1.00 used; comes back at 00:00 UTC", "$1.25 of $1.25 used; comes back at 00:00 UTC", "1.00/1.00", "1.25/1.25", 2,
		},
	} {
		It(tc.reason+" begins when nothing is left and nothing is out; it ends with the period, a higher limit, or without one", func(ctx context.Context) {
			t := newTreasury(ctx, newBench(cfg), tc.change)
			s := newSpender(ctx, t.proxies, "proxy-0", t.e)
			summary := func() string {
				u := t.summary(ctx)
				return map[quota.Limit]string{quota.Requests: u.Requests, quota.Tokens: u.Tokens, quota.Budget: u.Cost}[tc.limit]
			}
			first := t.spend(ctx, s, tc.limit, tc.each, tc.each)
			Expect(first).To(Equal(tc.each))
			Expect(t.standing(ctx)).To(Equal("Active "))
			Expect(t.summary(ctx).Leased).NotTo(BeEmpty())
			spent := first + t.spend(ctx, s, tc.limit, 1000*tc.each, tc.each)
			all := map[quota.Limit]int64{quota.Requests: 10, quota.Tokens: 1000, quota.Budget: dollar}[tc.limit]
			Expect(spent).To(Equal(all), "all of it and no more")
			count := func(amount int64) {
				s.count(ctx, 0, map[quota.Limit]v1alpha1.EndpointNumbers{
					quota.Requests: usedUp(t.e, amount, 0, 0), quota.Tokens: usedUp(t.e, 0, amount, 0), quota.Budget: usedUp(t.e, 0, 0, amount),
				}[tc.limit])
			}
			if tc.limit != quota.Requests { // what is set aside of others may yet turn out to be less
				t.round(ctx, s)
				Expect(t.standing(ctx)).To(Equal("Active "))
				count(all)
			}
			t.round(ctx, s)
			Expect(t.standing(ctx)).To(Equal("Standby " + tc.reason))
			state := t.e.Status.ModelState
			Expect(state.Message).To(Equal(tc.words))
			Expect(state.CooldownUntil.Time).To(BeTemporally("==", midnight))
			Expect(state.Epoch).To(Equal(int64(1)), "the law begins no epoch")
			Expect(kstatus(t.e)).To(Equal("Current"), "a limit never stops a rollout")
			Expect(condition(ctx, t.e, healthyCondition)).To(Equal("False " + tc.reason))
			Expect(summary()).To(Equal(tc.used))
			Expect(t.e.Status.Limits).To(HaveLen(1))
			Expect(t.e.Status.Limits[0].Left).To(Equal("0"))
			Expect(t.e.Status.Limits[0].Leased).To(Equal("0"))
			Expect(t.e.Status.Limits[0].Used).To(Equal(t.e.Status.Limits[0].Amount))
			Expect(t.e.Status.Limits[0].ResetTime.Time).To(BeTemporally("==", midnight))
			Expect(t.told()).To(Equal([]string{"Normal EndpointDeactivated " + tc.reason + ": " + tc.words}))

			By("staying so while the wishes are gone and the numbers are late")
			s.status(ctx, func(status *v1alpha1.ProxyInstanceStatus) { status.Asks = nil })
			t.clock.Step(10 * time.Second)
			t.reconcile(ctx, t.namespace)
			Expect(t.standing(ctx)).To(Equal("Standby " + tc.reason))
			count(all)
			t.clock.Step(10 * time.Second)
			t.reconcile(ctx, t.namespace)
			Expect(t.told()).To(BeEmpty())

			By("raising the limit")
			change(ctx, t.e, tc.raise)
			t.reconcile(ctx, t.namespace)
			Expect(t.standing(ctx)).To(Equal("Active "))
			Expect(t.toldReasons()).To(Equal([]string{"Normal EndpointActivated"}))
			Expect(t.spend(ctx, s, tc.limit, 1000*tc.each, tc.each)).To(Equal(tc.more * tc.each))
			count(all + tc.more*tc.each)
			t.round(ctx, s)
			Expect(t.standing(ctx)).To(Equal("Standby " + tc.reason))
			Expect(t.e.Status.ModelState.Message).To(Equal(tc.raised))
			Expect(summary()).To(Equal(tc.usedR))

			By("removing it, and taking it back")
			change(ctx, t.e, func(e *v1alpha1.ModelEndpoint) { e.Spec.Limits = nil })
			t.reconcile(ctx, t.namespace)
			Expect(t.standing(ctx)).To(Equal("Active "))
			Expect(t.e.Status.Limits).To(BeEmpty())
			change(ctx, t.e, tc.raise)
			t.reconcile(ctx, t.namespace)
			Expect(t.standing(ctx)).To(Equal("Standby "+tc.reason), "what was used is remembered")
			t.told()

			By("waiting for the end of the period")
			Expect(t.reconcile(ctx, t.namespace)).To(BeNumerically("<=", midnight.Sub(t.clock.Now())), "it wakes up for it")
			t.clock.SetTime(midnight.Add(-time.Second))
			t.reconcile(ctx, t.namespace)
			Expect(t.standing(ctx)).To(Equal("Standby " + tc.reason))
			t.clock.SetTime(midnight)
			t.reconcile(ctx, t.namespace)
			Expect(t.standing(ctx)).To(Equal("Active "))
			Expect(t.toldReasons()).To(Equal([]string{"Normal EndpointActivated"}))
		})
	}

	It("that were passed before they were declared hold at once", func(ctx context.Context) {
		t := newTreasury(ctx, newBench(cfg))
		s := newSpender(ctx, t.proxies, "proxy-0", t.e)
		s.count(ctx, 0, usedUp(t.e, 12, 0, 0))
		change(ctx, t.e, withLimits(10, 0, ""))
		t.reconcile(ctx, t.namespace)
		Expect(t.standing(ctx)).To(Equal("Standby RequestLimit"))
		Expect(t.e.Status.ModelState.Message).To(Equal("12 of 10 requests used; comes back at 00:00 UTC"))
		Expect(t.summary(ctx).Requests).To(Equal("12/10"))
		Expect(t.ledger(ctx)).To(BeEmpty(), "nobody has asked for anything")
	})

	It("show what is used, lent and left", func(ctx context.Context) {
		t := newTreasury(ctx, newBench(cfg), withLimits(1000, 100_000, "1.00"))
		Expect(t.summary(ctx)).To(Equal(v1alpha1.UseSummary{Requests: "0/1000", Tokens: "0/100000", Cost: "0.00/1.00"}))
		Expect(t.e.Status.Limits).To(BeEmpty(), "of a period without use there is nothing to tell")
		s := newSpender(ctx, t.proxies, "proxy-0", t.e)
		s.status(ctx, func(status *v1alpha1.ProxyInstanceStatus) {
			status.Asks = []v1alpha1.EndpointAsk{translate.APIAsk(quota.EndpointAsk{
				Endpoint: quota.Endpoint{UID: string(t.e.UID), Namespace: t.namespace, Name: t.e.Name},
				Asks: []quota.Ask{
					{Key: ofDay(quota.Requests), Number: 1, Want: 150, Need: 1, Spent: 20},
					{Key: ofDay(quota.Tokens), Number: 1, Want: 2000, Need: 100},
					{Key: ofDay(quota.Budget), Number: 1, Want: dollar / 4, Need: 1},
				},
			})}
		})
		t.reconcile(ctx, t.namespace)
		Expect(t.summary(ctx)).To(Equal(v1alpha1.UseSummary{
			Requests: "20/1000", Tokens: "0/100000", Cost: "0.00/1.00", Leased: "130 requests, 2000 tokens, $0.25",
		}))
		Expect(t.e.Status.Limits).To(HaveLen(3))
		Expect(t.e.Status.Limits[0].Left).To(Equal("850"))
		Expect(t.e.Status.Limits[2].Leased).To(Equal("0.25"))
		for _, gauge := range []string{"limit", "limit_used", "limit_leased", "limit_left"} {
			Expect(testutil.CollectAndCount(t.Metrics.endpoints, "turnout_endpoint_"+gauge)).To(Equal(3), gauge)
		}
	})

	It("shows the first of several, and comes back with the last", func(ctx context.Context) {
		t := newTreasury(ctx, newBench(cfg), withLimits(10, 1000, ""), func(e *v1alpha1.ModelEndpoint) {
			e.Spec.Limits.Budget = &v1alpha1.BudgetLimit{Period: v1alpha1.PeriodMonthly, Amount: "1"}
		})
		s := newSpender(ctx, t.proxies, "proxy-0", t.e)
		numbers := usedUp(t.e, 10, 1000, dollar)
		numbers.Budget = used(t.e, 1000, today, thisMonth).Budget
		s.count(ctx, 0, numbers)
		t.clock.Step(10 * time.Second)
		t.reconcile(ctx, t.namespace)
		Expect(t.standing(ctx)).To(Equal("Standby BudgetExceeded"))
		Expect(t.e.Status.ModelState.Message).To(Equal(
			"$1.00 of $1.00 used; comes back at 2023-12-01 00:00 UTC; also TokenLimit until 2023-11-15T00:00:00Z; also RequestLimit until 2023-11-15T00:00:00Z"))
		Expect(t.e.Status.ModelState.CooldownUntil.Time).To(BeTemporally("==", time.Date(2023, time.December, 1, 0, 0, 0, 0, time.UTC)))
	})
})

var _ = Describe("The ledger", func() {
	It("grants nothing twice on a cache that has not seen the first grant", func(ctx context.Context) {
		t := newTreasury(ctx, newBench(cfg), withLimits(10, 0, ""))
		stale := t.read(ctx).DeepCopy()
		a, b := newSpender(ctx, t.proxies, "proxy-a", t.e), newSpender(ctx, t.proxies, "proxy-b", t.e)
		Expect(t.spend(ctx, a, quota.Requests, 5, 1)).To(Equal(int64(5)))
		Expect(t.ledger(ctx)).To(Equal([]string{"Requests 11-14 00:00 closed 0: 5-0 #1"}))

		By("knowing what it wrote itself")
		t.Reader = laggingReader{Client: admin, endpoint: stale}
		b.purse(ofDay(quota.Requests)).Take(8)
		b.say(ctx, t.clock.Now())
		observe(ctx, t.Books)
		result, err := t.Reconcile(ctx, request(t.namespace))
		Expect(err).NotTo(HaveOccurred())
		Expect(result.RequeueAfter).NotTo(Equal(afterConflict), "no conflict with itself")
		Expect(t.ledger(ctx)).To(Equal([]string{"Requests 11-14 00:00 closed 0 wanted: 0-0 #1, 5-0 #1"}), "eight are not left")

		By("another operator, that does not")
		t.succeed()
		t.Reader = laggingReader{Client: admin, endpoint: stale}
		observe(ctx, t.Books)
		before := t.read(ctx).ResourceVersion
		result, err = t.Reconcile(ctx, request(t.namespace))
		Expect(err).NotTo(HaveOccurred())
		Expect(result.RequeueAfter).To(Equal(afterConflict))
		Expect(t.read(ctx).ResourceVersion).To(Equal(before))
		t.copy(ctx, b)
		Expect(b.granted(ctx)).To(BeEmpty(), "what was not stored is not told")
	})

	It("is written by one of two leaders", func(ctx context.Context) {
		t := newTreasury(ctx, newBench(cfg), withLimits(10, 0, ""))
		other := newBench(cfg)
		a, b := newSpender(ctx, t.proxies, "proxy-a", t.e), newSpender(ctx, t.proxies, "proxy-b", t.e)
		for _, s := range []*spender{a, b} {
			s.purse(ofDay(quota.Requests)).Take(6)
		}
		a.say(ctx, t.clock.Now())
		observe(ctx, t.Books)
		// The first has decided when it is paused. The second takes over, and lends to somebody else.
		t.Statuses.Client = pausing{StatusClient: admin, pause: func() {
			b.say(ctx, t.clock.Now())
			a.status(ctx, func(status *v1alpha1.ProxyInstanceStatus) { status.Asks = nil })
			other.reconcile(ctx, t.namespace)
		}}
		result, err := t.Reconcile(ctx, request(t.namespace))
		Expect(err).NotTo(HaveOccurred())
		Expect(result.RequeueAfter).To(Equal(afterConflict))
		Expect(t.ledger(ctx)).To(Equal([]string{"Requests 11-14 00:00 closed 0: 6-0 #1"}))
		t.copy(ctx, a)
		Expect(a.granted(ctx)).To(BeEmpty())
	})

	It("is copied by the next leader when the one before could not", func(ctx context.Context) {
		t := newTreasury(ctx, newBench(cfg), withLimits(10, 0, ""))
		s := newSpender(ctx, t.proxies, "proxy-0", t.e)
		s.purse(ofDay(quota.Requests)).Take(1)
		s.say(ctx, t.clock.Now())
		t.reconcile(ctx, t.namespace)
		stored := t.read(ctx).ResourceVersion
		Expect(s.granted(ctx)).To(BeEmpty())

		t.succeed()
		t.reconcile(ctx, t.namespace)
		t.copy(ctx, s)
		Expect(s.granted(ctx)).To(Equal([]quota.Grant{{Key: ofDay(quota.Requests), Granted: 5, Answered: 1}}))
		Expect(t.read(ctx).ResourceVersion).To(Equal(stored), "it is lent once")
	})

	It("is copied late without lowering anything", func(ctx context.Context) {
		t := newTreasury(ctx, newBench(cfg), withLimits(100, 0, ""))
		s := newSpender(ctx, t.proxies, "proxy-0", t.e)
		first := s.DeepCopy()
		t.spend(ctx, s, quota.Requests, 1, 1)
		granted := s.granted(ctx)
		late := newKeeper(t.bench)
		late.Leases = NewLeases()
		late.Leases.Set(t.namespace, []*v1alpha1.ModelEndpoint{t.read(ctx).DeepCopy()})
		late.Leases.Looked(t.namespace)
		t.spend(ctx, s, quota.Requests, 40, 1)
		before := s.granted(ctx)
		Expect(before[0].Granted).To(BeNumerically(">", granted[0].Granted))
		for _, reader := range []client.Reader{admin, laggingInstances{Client: admin, instance: first}} {
			late.Reader = reader
			_, err := late.Reconcile(ctx, ctrl.Request{NamespacedName: client.ObjectKeyFromObject(s)})
			Expect(err).NotTo(HaveOccurred())
			Expect(s.granted(ctx)).To(Equal(before))
		}
	})

	It("lends the last that is not enough, but not where the worst is set aside", func(ctx context.Context) {
		for reserve, want := range map[v1alpha1.Reserve]int64{v1alpha1.ReserveExpected: 60, v1alpha1.ReserveWorst: 0} {
			t := newTreasury(ctx, newBench(cfg), withLimits(0, 100, ""), func(e *v1alpha1.ModelEndpoint) {
				e.Spec.Limits.Reserve = reserve
				e.Spec.Constraints = &v1alpha1.EndpointConstraints{MaxOutputTokens: new(int64(50))}
			})
			s := newSpender(ctx, t.proxies, "proxy-0", t.e)
			Expect(t.spend(ctx, s, quota.Tokens, 60, 60)).To(Equal(int64(60)), string(reserve))
			Expect(t.spend(ctx, s, quota.Tokens, 60, 60)).To(Equal(want), string(reserve))
		}
	})

	It("answers every wish, if only with nothing", func(ctx context.Context) {
		t := newTreasury(ctx, newBench(cfg), withLimits(10, 0, ""), func(e *v1alpha1.ModelEndpoint) { e.Spec.Limits.OnControlPlaneLoss = v1alpha1.FailOpen })
		a, b := newSpender(ctx, t.proxies, "proxy-a", t.e), newSpender(ctx, t.proxies, "proxy-b", t.e)
		Expect(t.spend(ctx, a, quota.Requests, 100, 1)).To(Equal(int64(10)))
		Expect(t.spend(ctx, b, quota.Requests, 1, 1)).To(BeZero())
		Expect(b.granted(ctx)).To(ConsistOf(HaveField("Answered", Equal(int64(1)))))
		b.purse(ofDay(quota.Requests)).Ask(t.clock.Now().Add(time.Minute), quota.PaceOf(minReportInterval))
		Expect(b.purse(ofDay(quota.Requests)).Silent()).To(BeFalse(), "the operator lives")
	})

	It("charges a dead proxy for all that it was lent", func(ctx context.Context) {
		t := newTreasury(ctx, newBench(cfg), withLimits(10, 0, ""))
		s := newSpender(ctx, t.proxies, "proxy-0", t.e)
		t.spend(ctx, s, quota.Requests, 1, 1)
		report := s.count(ctx, 0, usedUp(t.e, 1, 0, 0))
		s.status(ctx, func(status *v1alpha1.ProxyInstanceStatus) { status.Asks = nil })
		t.clock.Step(10 * time.Second)
		t.reconcile(ctx, t.namespace)
		Expect(t.summary(ctx)).To(Equal(v1alpha1.UseSummary{Requests: "1/10", Tokens: "0", Cost: "0.00", Leased: "4 requests"}))
		for range 1 + deadAfter/lookEvery {
			t.keep(ctx, s)
			t.clock.Step(lookEvery)
		}
		Expect(admin.Get(ctx, client.ObjectKeyFromObject(s), s.ProxyInstance)).To(Succeed())
		Expect(s.DeletionTimestamp).NotTo(BeNil())
		t.reconcile(ctx, t.namespace)
		Expect(t.ledger(ctx)).To(Equal([]string{"Requests 11-14 00:00 closed 0: 5-0 #1"}), "its last word is not known yet")
		t.keep(ctx, s)
		t.clock.Step(10 * time.Second)
		t.reconcile(ctx, t.namespace)
		Expect(t.ledger(ctx)).To(Equal([]string{"Requests 11-14 00:00 closed 5"}))
		Expect(t.e.Status.Fold.Instances).To(HaveLen(1), "in the same write")
		Expect(*t.e.Status.ModelState.QuotaUsed).To(Equal(int64(1)))
		Expect(t.summary(ctx)).To(Equal(v1alpha1.UseSummary{Requests: "5/10", Tokens: "0", Cost: "0.00"}))
		t.keep(ctx, s)
		Expect(client.IgnoreNotFound(admin.Get(ctx, client.ObjectKeyFromObject(report), report))).To(Succeed())
		t.reconcile(ctx, t.namespace)
		Expect(t.ledger(ctx)).To(Equal([]string{"Requests 11-14 00:00 closed 5"}), "it is closed once")
	})

	It("takes back what a proxy returns that ends in order", func(ctx context.Context) {
		t := newTreasury(ctx, newBench(cfg), withLimits(10, 0, ""))
		s := newSpender(ctx, t.proxies, "proxy-0", t.e)
		t.spend(ctx, s, quota.Requests, 2, 1)
		s.purse(ofDay(quota.Requests)).Retire()
		s.say(ctx, t.clock.Now())
		s.count(ctx, 0, usedUp(t.e, 2, 0, 0))
		s.end(ctx)
		Expect(s.Status.Asks).To(HaveLen(1), "its last words")
		t.keep(ctx, s)
		t.clock.Step(10 * time.Second)
		t.reconcile(ctx, t.namespace)
		Expect(t.ledger(ctx)).To(Equal([]string{"Requests 11-14 00:00 closed 2"}))
		t.keep(ctx, s)
		Expect(client.IgnoreNotFound(admin.Get(ctx, client.ObjectKeyFromObject(s), s.ProxyInstance))).To(Succeed())
	})

	It("closes the lease of a proxy that has counted nothing, before its objects go", func(ctx context.Context) {
		t := newTreasury(ctx, newBench(cfg), withLimits(10, 0, ""))
		s := newSpender(ctx, t.proxies, "proxy-0", t.e)
		t.spend(ctx, s, quota.Requests, 1, 1)
		s.end(ctx)
		Expect(t.keep(ctx, s)).To(Equal(foldAgain))
		Expect(t.askedFor()).To(HaveKey(t.namespace))
		Expect(t.keep(ctx, s)).To(Equal(foldAgain))
		t.clock.Step(10 * time.Second)
		t.reconcile(ctx, t.namespace)
		Expect(t.ledger(ctx)).To(Equal([]string{"Requests 11-14 00:00 closed 5"}))
		Expect(t.e.Status.Fold.Instances).To(HaveLen(1))
		Expect(t.keep(ctx, s)).To(BeZero())
		Expect(client.IgnoreNotFound(admin.Get(ctx, client.ObjectKeyFromObject(s), s.ProxyInstance))).To(Succeed())
	})

	It("takes note of a proxy that was told of an endpoint and has neither counted nor lent anything of it", func(ctx context.Context) {
		t := newTreasury(ctx, newBench(cfg), func(e *v1alpha1.ModelEndpoint) {
			e.Spec.Limits = &v1alpha1.Limits{Rate: &v1alpha1.RateLimit{RequestsPerMinute: new(int64(100))}}
		})
		s := newSpender(ctx, t.proxies, "proxy-0", t.e)
		s.ask(ctx, asks(t.e, quota.Ask{}, &quota.Amounts{RequestsPerMinute: 5}))
		t.reconcile(ctx, t.namespace)
		t.copy(ctx, s)
		s.granted(ctx)
		Expect(s.Spec.Grants).To(HaveLen(1))
		s.end(ctx)
		t.askedFor()
		Expect(t.keep(ctx, s)).To(Equal(foldAgain))
		Expect(t.askedFor()).To(HaveKey(t.namespace))
		t.clock.Step(10 * time.Second)
		t.reconcile(ctx, t.namespace)
		Expect(t.read(ctx).Status.Fold).NotTo(BeNil())
		Expect(t.e.Status.Fold.Instances).To(HaveLen(1))
		Expect(t.keep(ctx, s)).To(BeZero())
	})

	It("closes the lease of a proxy that was never told of it", func(ctx context.Context) {
		t := newTreasury(ctx, newBench(cfg), withLimits(10, 0, ""))
		s := newSpender(ctx, t.proxies, "proxy-0", t.e)
		s.purse(ofDay(quota.Requests)).Take(1)
		s.say(ctx, t.clock.Now())
		t.reconcile(ctx, t.namespace)
		s.end(ctx)
		t.askedFor()
		Expect(t.keep(ctx, s)).To(Equal(foldAgain))
		Expect(t.askedFor()).To(HaveKey(t.namespace))
		t.clock.Step(10 * time.Second)
		t.reconcile(ctx, t.namespace)
		Expect(t.ledger(ctx)).To(Equal([]string{"Requests 11-14 00:00 closed 5"}))
		Expect(t.keep(ctx, s)).To(BeZero())
	})

	It("closes the lease of a proxy whose objects somebody has removed by force", func(ctx context.Context) {
		t := newTreasury(ctx, newBench(cfg), withLimits(10, 0, ""))
		s := newSpender(ctx, t.proxies, "proxy-0", t.e)
		t.spend(ctx, s, quota.Requests, 1, 1)
		discard(ctx, s.ProxyInstance)
		t.clock.Step(10 * time.Second)
		t.reconcile(ctx, t.namespace)
		Expect(t.ledger(ctx)).To(Equal([]string{"Requests 11-14 00:00 closed 5"}))
		Expect(t.e.Status.Fold.Instances).To(ConsistOf(HaveField("GoneSince", Not(BeNil()))))

		By("not when a cache has not seen it yet")
		fresh := newSpender(ctx, t.proxies, "proxy-1", t.e)
		t.spend(ctx, fresh, quota.Requests, 1, 1)
		t.Books.RemoveInstance(client.ObjectKeyFromObject(fresh))
		for range 3 {
			t.clock.Step(10 * time.Second)
			t.reconcileUnobserved(ctx, t.namespace)
		}
		Expect(t.ledger(ctx)).To(Equal([]string{"Requests 11-14 00:00 closed 5: 2-0 #1"}))
	})

	It("does not believe that somebody is gone whom it asked about before he came", func(ctx context.Context) {
		t := newTreasury(ctx, newBench(cfg), withLimits(10, 0, ""))
		_, err := t.Absence.Gone(ctx, []string{"somebody else"})
		Expect(err).NotTo(HaveOccurred())
		s := newSpender(ctx, t.proxies, "proxy-0", t.e)
		gone, err := t.Absence.Gone(ctx, []string{string(s.UID)})
		Expect(err).NotTo(HaveOccurred())
		Expect(gone(string(s.UID))).To(BeFalse())
		t.clock.Step(askForAbsence)
		gone, err = t.Absence.Gone(ctx, []string{string(s.UID), "somebody else"})
		Expect(err).NotTo(HaveOccurred())
		Expect(gone(string(s.UID))).To(BeFalse())
		Expect(gone("somebody else")).To(BeTrue())
	})

	It("goes with its endpoint: another one of the name has none", func(ctx context.Context) {
		t := newTreasury(ctx, newBench(cfg), withLimits(10, 0, ""))
		s := newSpender(ctx, t.proxies, "proxy-0", t.e)
		t.spend(ctx, s, quota.Requests, 5, 1)
		Expect(admin.Delete(ctx, t.e)).To(Succeed())
		t.e = endpoint(t.namespace, "gpt", withLimits(10, 0, ""))
		create(ctx, t.e)
		t.reconcile(ctx, t.namespace)
		Expect(t.ledger(ctx)).To(BeEmpty(), "the wish spoke of another one")
		old := s
		s = &spender{old.proxy, t.e, map[quota.Key]*quota.Purse{}}
		Expect(t.spend(ctx, s, quota.Requests, 100, 1)).To(Equal(int64(10)))
		Expect(old.Spec.Grants).To(HaveEach(HaveField("UID", string(t.e.UID))), "nor is it told of the old one any more")

		By("letting a process go that had leases on the old one")
		Expect(admin.Delete(ctx, t.e)).To(Succeed())
		t.reconcile(ctx, t.namespace)
		s.end(ctx)
		Expect(t.keep(ctx, s)).To(BeZero())
	})

	It("lends nothing when the limit was lowered, and asks what is out back", func(ctx context.Context) {
		t := newTreasury(ctx, newBench(cfg), withLimits(1000, 0, ""))
		a, b := newSpender(ctx, t.proxies, "proxy-a", t.e), newSpender(ctx, t.proxies, "proxy-b", t.e)
		t.clock.Step(minNumbersInterval) // Nobody waits for it.
		a.purse(ofDay(quota.Requests)).Expect(400, t.clock.Now())
		t.round(ctx, a)
		Expect(a.granted(ctx)[0].Granted).To(Equal(int64(400)))
		change(ctx, t.e, withLimits(100, 0, ""))
		t.reconcile(ctx, t.namespace)
		Expect(t.ledger(ctx)).To(Equal([]string{"Requests 11-14 00:00 closed 0 wanted: 400-0 #1"}))
		Expect(t.standing(ctx)).To(Equal("Active "), "what is out may still be used")
		t.copy(ctx, a)
		Expect(a.granted(ctx)[0].Wanted).To(BeTrue())
		Expect(t.spend(ctx, b, quota.Requests, 1, 1)).To(BeZero())

		By("somebody giving back what he does not need")
		a.hear(ctx)
		t.clock.Step(11 * time.Second)
		b.purse(ofDay(quota.Requests)).Take(1) // refused; it waits
		b.say(ctx, t.clock.Now())
		observe(ctx, t.Books)
		t.askedFor()
		a.say(ctx, t.clock.Now())
		observe(ctx, t.Books)
		Expect(t.askedFor()).To(HaveKeyWithValue(t.namespace, true), "somebody waits for it")
		t.round(ctx, b)
		Expect(b.purse(ofDay(quota.Requests)).Free()).To(BeNumerically(">", 0))
		Expect(t.ledger(ctx)[0]).To(ContainSubstring("400-400 #1"))
	})

	It("begins anew when the period is changed", func(ctx context.Context) {
		t := newTreasury(ctx, newBench(cfg), withLimits(10, 0, ""))
		s := newSpender(ctx, t.proxies, "proxy-0", t.e)
		Expect(t.spend(ctx, s, quota.Requests, 100, 1)).To(Equal(int64(10)))
		t.round(ctx, s)
		Expect(t.standing(ctx)).To(Equal("Standby RequestLimit"))
		change(ctx, t.e, func(e *v1alpha1.ModelEndpoint) { e.Spec.Limits.Quota.Period = v1alpha1.PeriodHourly })
		t.reconcile(ctx, t.namespace)
		Expect(t.standing(ctx)).To(Equal("Active "))
		hour := quota.Key{Limit: quota.Requests, Start: epoch.UTC().Truncate(time.Hour)}
		s.purse(hour).Take(1)
		t.round(ctx, s)
		Expect(s.purse(hour).Free()).To(BeNumerically(">", 0))

		By("and finds the day again when it is changed back")
		change(ctx, t.e, func(e *v1alpha1.ModelEndpoint) { e.Spec.Limits.Quota.Period = v1alpha1.PeriodDaily })
		t.reconcile(ctx, t.namespace)
		Expect(t.standing(ctx)).To(Equal("Standby RequestLimit"))
	})

	It("lends of the next period in the last minutes of this one, and not before", func(ctx context.Context) {
		t := newTreasury(ctx, newBench(cfg), withLimits(10, 0, ""))
		s := newSpender(ctx, t.proxies, "proxy-0", t.e)
		tomorrow := quota.Key{Limit: quota.Requests, Start: midnight}
		s.purse(tomorrow).Expect(3, t.clock.Now())
		t.round(ctx, s)
		Expect(t.ledger(ctx)).To(BeEmpty())
		t.clock.SetTime(midnight.Add(-4 * time.Minute))
		t.round(ctx, s)
		Expect(t.ledger(ctx)).To(Equal([]string{"Requests 11-15 00:00 closed 0: 3-0 #1"}))
		Expect(s.purse(tomorrow).Free()).To(Equal(int64(3)))
		Expect(t.summary(ctx)).To(Equal(v1alpha1.UseSummary{Requests: "0/10", Tokens: "0", Cost: "0.00"}), "today")
		Expect(t.reconcile(ctx, t.namespace)).To(Equal(4*time.Minute), "it wakes up for it")
		t.clock.SetTime(midnight)
		t.reconcile(ctx, t.namespace)
		Expect(t.summary(ctx)).To(Equal(v1alpha1.UseSummary{Requests: "0/10", Tokens: "0", Cost: "0.00", Leased: "3 requests"}))
	})

	It("serves clocks that are behind for a minute after the end of a period, and is closed then", func(ctx context.Context) {
		t := newTreasury(ctx, newBench(cfg), withLimits(10, 0, ""))
		s := newSpender(ctx, t.proxies, "proxy-0", t.e)
		Expect(t.spend(ctx, s, quota.Requests, 2, 1)).To(Equal(int64(2)))
		t.clock.SetTime(midnight.Add(30 * time.Second))
		Expect(t.spend(ctx, s, quota.Requests, 4, 1)).To(Equal(int64(4)), "its clock says that it is still that day")
		Expect(t.ledger(ctx)).To(ConsistOf(HavePrefix("Requests 11-14 00:00 closed 0: ")))
		t.clock.SetTime(midnight.Add(45 * time.Second))
		t.reconcile(ctx, t.namespace)
		Expect(t.reconcile(ctx, t.namespace)).To(Equal(15*time.Second), "it wakes up for it")
		t.clock.SetTime(midnight.Add(clockSkew + time.Second))
		Expect(t.spend(ctx, s, quota.Requests, 100, 1)).To(BeNumerically("<", 10), "what it has")
		Expect(t.ledger(ctx)).To(ConsistOf(MatchRegexp(`^Requests 11-14 00:00 closed \d+$`)))
		s.purse(quota.Key{Limit: quota.Requests, Start: midnight}).Take(1)
		t.round(ctx, s)
		Expect(s.granted(ctx)).To(ConsistOf(HaveField("Start", BeTemporally("==", midnight))), "nor is it told of that day any more")
	})

	It("costs a few writes when a hundred proxies are rolled", func(ctx context.Context) {
		t := newTreasury(ctx, newBench(cfg), withLimits(10_000, 0, ""))
		writes := func() float64 {
			return testutil.ToFloat64(t.Metrics.statusWrites.WithLabelValues("ModelEndpoint"))
		}
		before := writes()
		var fleet []*spender
		for i := range 100 {
			s := newSpender(ctx, t.proxies, fmt.Sprintf("proxy-%d", i), t.e)
			s.purse(ofDay(quota.Requests)).Take(1)
			s.say(ctx, t.clock.Now())
			fleet = append(fleet, s)
		}
		t.reconcile(ctx, t.namespace)
		Expect(writes() - before).To(Equal(1.0))
		for _, s := range fleet {
			t.copy(ctx, s)
			s.hear(ctx)
			Expect(s.purse(ofDay(quota.Requests)).Free()).To(Equal(int64(8)))
		}
		before = writes()
		for i, s := range fleet {
			if i%2 == 0 {
				s.purse(ofDay(quota.Requests)).Retire()
				s.say(ctx, t.clock.Now())
			}
			s.end(ctx)
			if i%20 == 0 {
				t.reconcile(ctx, t.namespace)
			}
		}
		observe(ctx, t.Books)
		for _, s := range fleet {
			_, err := t.keeper.Reconcile(ctx, ctrl.Request{NamespacedName: client.ObjectKeyFromObject(s)})
			Expect(err).NotTo(HaveOccurred())
		}
		t.reconcile(ctx, t.namespace)
		t.clock.Step(10 * time.Second)
		t.reconcile(ctx, t.namespace)
		Expect(writes() - before).To(Equal(1.0))
		Expect(t.ledger(ctx)).To(Equal([]string{"Requests 11-14 00:00 closed 400"}), "half of them gave all back")
		Expect(t.e.Status.Fold.Instances).To(HaveLen(100))
	})

	It("is not written at rest", func(ctx context.Context) {
		t := newTreasury(ctx, newBench(cfg), withLimits(10, 1000, "1"))
		s := newSpender(ctx, t.proxies, "proxy-0", t.e)
		Expect(t.spend(ctx, s, quota.Requests, 3, 1)).To(Equal(int64(3)))
		Expect(t.spend(ctx, s, quota.Tokens, 300, 100)).To(Equal(int64(300)))
		s.count(ctx, 0, usedUp(t.e, 3, 300, 0))
		for range 3 { // what it does not use it gives back
			t.clock.Step(20 * time.Second)
			t.round(ctx, s)
			t.keep(ctx, s)
			s.hear(ctx)
		}
		Expect(s.Status.Asks).To(BeEmpty())
		before, instance := t.read(ctx).ResourceVersion, s.ResourceVersion
		for range 5 {
			t.clock.Step(10 * time.Minute)
			t.reconcile(ctx, t.namespace)
			t.copy(ctx, s)
			observe(ctx, t.Books)
			_, err := t.keeper.instruct(ctx, s.ProxyInstance, sometime)
			Expect(err).NotTo(HaveOccurred())
		}
		Expect(t.read(ctx).ResourceVersion).To(Equal(before))
		Expect(admin.Get(ctx, client.ObjectKeyFromObject(s), s.ProxyInstance)).To(Succeed())
		Expect(s.ResourceVersion).To(Equal(instance))

		By("nor when days pass in which nobody uses it, but for the end of the last one")
		t.clock.SetTime(midnight)
		t.reconcile(ctx, t.namespace)
		t.clock.SetTime(midnight.AddDate(0, 0, 1))
		t.reconcile(ctx, t.namespace)
		before = t.read(ctx).ResourceVersion
		for range 5 {
			t.clock.Step(24 * time.Hour)
			t.reconcile(ctx, t.namespace)
		}
		Expect(t.read(ctx).ResourceVersion).To(Equal(before))
	})
})

var _ = Describe("A probe of an endpoint with limits", func() {
	It("is debited first, and not made when nothing is left for it", func(ctx context.Context) {
		var asked atomic.Int32
		var stored atomic.Value
		var t *treasury
		provider := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			asked.Add(1)
			stored.Store(t.ledger(ctx))
			fmt.Fprint(w, `{"usage": {"prompt_tokens": 8, "completion_tokens": 1}}`)
		}))
		DeferCleanup(provider.Close)
		t = newTreasury(ctx, newBench(cfg), withLimits(2, 1000, "1"), func(e *v1alpha1.ModelEndpoint) {
			e.Spec.URL = provider.URL + "/v1"
			e.Spec.Probe = &v1alpha1.Probe{Type: v1alpha1.ProbeCompletion, Interval: new(v1alpha1.Duration("10s"))}
		})
		probe := func() {
			GinkgoHelper()
			t.clock.Step(10 * time.Second)
			t.Prober.step(ctx)
			t.reconcile(ctx, t.namespace)
			t.Prober.step(ctx)
			t.Prober.running.Wait()
		}
		t.askedFor()
		t.clock.Step(10 * time.Second)
		t.Prober.step(ctx)
		t.Prober.running.Wait()
		Expect(asked.Load()).To(BeZero(), "it waits for its debit")
		Expect(t.askedFor()).To(HaveKeyWithValue(t.namespace, true))
		t.reconcile(ctx, t.namespace)
		t.Prober.step(ctx)
		t.Prober.running.Wait()
		Expect(asked.Load()).To(Equal(int32(1)))
		Expect(stored.Load()).To(ConsistOf("Requests 11-14 00:00 closed 1", MatchRegexp(`^Tokens 11-14 00:00 closed \d\d$`), MatchRegexp(`^Budget 11-14 00:00 closed \d+$`)))
		t.Prober.step(ctx)
		t.Prober.running.Wait()
		Expect(asked.Load()).To(Equal(int32(1)), "one debit is one probe")

		probe()
		Expect(asked.Load()).To(Equal(int32(2)))
		for range 3 {
			probe()
		}
		Expect(asked.Load()).To(Equal(int32(2)), "no debit, no probe")
		Expect(t.ledger(ctx)).To(ContainElement("Requests 11-14 00:00 closed 2"))
		Expect(t.standing(ctx)).To(Equal("Standby RequestLimit"))
		Expect(t.e.Status.ModelState.Message).To(Equal("2 of 2 requests used; comes back at 00:00 UTC"))
		Expect(*t.e.Status.ModelState.QuotaUsed).To(Equal(int64(2)))
		Expect(t.e.Status.ModelState.Probe).To(BeNil(), "a probe that was not made has not failed")

		By("being made again in the next period")
		t.clock.SetTime(midnight)
		probe()
		Expect(asked.Load()).To(Equal(int32(3)))
	})
})

// pausing calls pause before it lets the first patch through.
type pausing struct {
	client.StatusClient
	pause func()
}

func (p pausing) Status() client.SubResourceWriter {
	return pausingWriter{SubResourceWriter: p.StatusClient.Status(), pause: p.pause}
}

type pausingWriter struct {
	client.SubResourceWriter
	pause func()
}

func (w pausingWriter) Patch(ctx context.Context, object client.Object, patch client.Patch, options ...client.SubResourcePatchOption) error {
	w.pause()
	return w.SubResourceWriter.Patch(ctx, object, patch, options...)
}
