// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/turnout-ai/turnout/api/v1alpha1"
	"github.com/turnout-ai/turnout/internal/quota"
	"github.com/turnout-ai/turnout/internal/translate"
)

// spender is a proxy that uses an endpoint with limits, by the purses of a real one.
type spender struct {
	proxy
	e      *v1alpha1.ModelEndpoint
	purses map[quota.Key]*quota.Purse
}

func newSpender(ctx context.Context, namespace, name string, e *v1alpha1.ModelEndpoint) *spender {
	GinkgoHelper()
	return &spender{newProxy(ctx, namespace, name), e, map[quota.Key]*quota.Purse{}}
}

// ofDay is the account of a limit in the day of epoch.
func ofDay(limit quota.Limit) quota.Key { return quota.Key{Limit: limit, Start: today} }

func (s *spender) purse(key quota.Key) *quota.Purse {
	p := s.purses[key]
	if p == nil {
		p = quota.NewPurse(key, 0)
		s.purses[key] = p
	}
	return p
}

// say writes what the purses ask and give back.
func (s *spender) say(ctx context.Context, now time.Time) {
	GinkgoHelper()
	ask := quota.EndpointAsk{Endpoint: quota.Endpoint{UID: string(s.e.UID), Namespace: s.e.Namespace, Name: s.e.Name}}
	for _, key := range slices.SortedFunc(maps.Keys(s.purses), func(a, b quota.Key) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) }) {
		if a, ok := s.purses[key].Ask(now, quota.PaceOf(minReportInterval)); ok {
			ask.Asks = append(ask.Asks, a)
		}
	}
	s.status(ctx, func(status *v1alpha1.ProxyInstanceStatus) {
		status.Asks = nil
		if len(ask.Asks) > 0 {
			status.Asks = []v1alpha1.EndpointAsk{translate.APIAsk(ask)}
		}
	})
}

// hear puts what the spec grants into the purses.
func (s *spender) hear(ctx context.Context) {
	GinkgoHelper()
	for _, g := range s.granted(ctx) {
		s.purse(g.Key).Grant(g)
	}
}

// granted is what the spec says of the endpoint.
func (s *spender) granted(ctx context.Context) []quota.Grant {
	GinkgoHelper()
	Expect(admin.Get(ctx, client.ObjectKeyFromObject(s), s.ProxyInstance)).To(Succeed())
	for _, g := range translate.Grants(s.Spec.Grants) {
		if g.UID == string(s.e.UID) {
			return g.Grants
		}
	}
	return nil
}

// treasury is a bench with a keeper that copies leases, and one endpoint.
type treasury struct {
	*bench
	keeper    *ProxyInstanceReconciler
	namespace string
	proxies   string
	e         *v1alpha1.ModelEndpoint
}

func newKeeper(b *bench) *ProxyInstanceReconciler {
	return &ProxyInstanceReconciler{Reader: admin, Live: admin, Client: admin, Clock: b.clock, Books: b.Books, Fleet: b.Fleet, Leases: b.Leases}
}

func newTreasury(ctx context.Context, b *bench, change ...func(*v1alpha1.ModelEndpoint)) *treasury {
	GinkgoHelper()
	var left v1alpha1.ProxyInstanceList // How many proxies there are matters, and specs share an API server.
	Expect(admin.List(ctx, &left)).To(Succeed())
	for i := range left.Items {
		discard(ctx, &left.Items[i])
	}
	t := &treasury{bench: b, namespace: newNamespace(ctx), proxies: newNamespace(ctx)}
	t.keeper = newKeeper(t.bench)
	t.e = endpoint(t.namespace, "gpt", change...)
	create(ctx, t.e)
	t.reconcile(ctx, t.namespace)
	t.told()
	return t
}

// succeed puts another operator in the place of this one, which knows what is stored.
func (t *treasury) succeed() {
	GinkgoHelper()
	now := t.clock.Now()
	t.bench = newBench(cfg)
	t.clock.SetTime(now)
	t.keeper = newKeeper(t.bench)
}

// copy tells a proxy what it was lent, if anybody waits for that.
func (t *treasury) copy(ctx context.Context, s *spender) time.Duration {
	GinkgoHelper()
	result, err := t.keeper.Instruct(ctx, ctrl.Request{NamespacedName: client.ObjectKeyFromObject(s)})
	Expect(err).NotTo(HaveOccurred())
	return result.RequeueAfter
}

// keep looks at a process as every half a minute.
func (t *treasury) keep(ctx context.Context, s *spender) time.Duration {
	GinkgoHelper()
	observe(ctx, t.Books)
	result, err := t.keeper.Reconcile(ctx, ctrl.Request{NamespacedName: client.ObjectKeyFromObject(s)})
	Expect(err).NotTo(HaveOccurred())
	return result.RequeueAfter
}

// round is one way from a wish to its answer.
func (t *treasury) round(ctx context.Context, s *spender) {
	GinkgoHelper()
	s.say(ctx, t.clock.Now())
	t.reconcile(ctx, t.namespace)
	t.copy(ctx, s)
	s.hear(ctx)
}

// spend takes so much, one after the other, as long as it is there or lent, and returns how much that was.
func (t *treasury) spend(ctx context.Context, s *spender, limit quota.Limit, n, each int64) int64 {
	GinkgoHelper()
	purse := s.purse(ofDay(limit))
	var spent int64
	for spent+each <= n {
		if _, ok, _ := purse.Take(each); !ok {
			t.round(ctx, s)
			if _, ok, _ = purse.Take(each); !ok {
				break
			}
		}
		spent += each
	}
	return spent
}

// read reads the endpoint anew.
func (t *treasury) read(ctx context.Context) *v1alpha1.ModelEndpoint {
	GinkgoHelper()
	Expect(admin.Get(ctx, client.ObjectKeyFromObject(t.e), t.e)).To(Succeed())
	return t.e
}

// ledger is what is stored, one line for each account: "Requests 11-14 closed 2 wanted: 5-1 #3, 2-0 #1 rest".
func (t *treasury) ledger(ctx context.Context) []string {
	GinkgoHelper()
	var lines []string
	for _, a := range translate.Ledger(t.read(ctx).Status.Ledger).Accounts {
		line := fmt.Sprintf("%s %s closed %d", a.Limit, a.Start.Format("01-02 15:04"), a.Closed)
		if a.Wanted {
			line += " wanted"
		}
		var leases []string
		for _, l := range a.Leases {
			text := fmt.Sprintf("%d-%d #%d", l.Granted, l.Returned, l.Answered)
			if l.Rest {
				text += " rest"
			}
			leases = append(leases, text)
		}
		slices.Sort(leases)
		if len(leases) > 0 {
			line += ": " + strings.Join(leases, ", ")
		}
		lines = append(lines, line)
	}
	return lines
}

// standing is how the endpoint stands.
func (t *treasury) standing(ctx context.Context) string {
	GinkgoHelper()
	expectSound(ctx, t.e)
	return string(t.e.Status.ModelState.Status) + " " + string(t.e.Status.ModelState.DeactivationReason)
}

// summary is use beside its limits, in words.
func (t *treasury) summary(ctx context.Context) v1alpha1.UseSummary {
	GinkgoHelper()
	return *t.read(ctx).Status.Summary
}

// withLimits declares them by day.
func withLimits(requests, tokens int64, budget v1alpha1.Money) func(*v1alpha1.ModelEndpoint) {
	return func(e *v1alpha1.ModelEndpoint) {
		priced(e)
		e.Spec.Limits = &v1alpha1.Limits{}
		if requests > 0 || tokens > 0 {
			e.Spec.Limits.Quota = &v1alpha1.QuotaLimit{Period: v1alpha1.PeriodDaily}
		}
		if requests > 0 {
			e.Spec.Limits.Quota.Requests = &requests
		}
		if tokens > 0 {
			e.Spec.Limits.Quota.Tokens = &tokens
		}
		if budget != "" {
			e.Spec.Limits.Budget = &v1alpha1.BudgetLimit{Period: v1alpha1.PeriodDaily, Amount: budget}
		}
	}
}

// usedUp are numbers: so many requests, tokens and nano-dollars of the day of epoch.
func usedUp(e *v1alpha1.ModelEndpoint, requests, tokens, cost int64) v1alpha1.EndpointNumbers {
	period := []v1alpha1.PeriodUsage{{
		Start: metav1.NewTime(today), Requests: requests, Tokens: v1alpha1.TokenCounts{Input: tokens}, Cost: translate.APIMoney(cost),
	}}
	return v1alpha1.EndpointNumbers{UID: string(e.UID), Namespace: e.Namespace, Name: e.Name, Quota: period, Budget: period}
}
