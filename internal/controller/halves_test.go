// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/turnout-ai/turnout/api/v1alpha1"
	"github.com/turnout-ai/turnout/internal/quota"
)

// meddling does something before the first patch of a spec, and counts what follows.
type meddling struct {
	client.Client
	meddle         func()
	patches, reads int
}

func (m *meddling) Patch(ctx context.Context, object client.Object, patch client.Patch, options ...client.PatchOption) error {
	m.patches++
	if m.patches == 1 {
		m.meddle()
	}
	return m.Client.Patch(ctx, object, patch, options...)
}

func (m *meddling) Get(ctx context.Context, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
	m.reads++
	return m.Client.Get(ctx, key, object, options...)
}

var _ = Describe("The operator's half of a ProxyInstance", func() {
	for _, tc := range []struct {
		name           string
		meddle         func(ctx context.Context, t *treasury, s *spender)
		patches, reads int
		granted        bool
	}{
		{
			name: "is written at the first try while the proxy writes its own",
			meddle: func(ctx context.Context, _ *treasury, s *spender) {
				s.status(ctx, func(status *v1alpha1.ProxyInstanceStatus) { status.Version = "1.2.3" })
			},
			patches: 1, granted: true,
		},
		{
			name: "is made anew of what another leader has written meanwhile, once",
			meddle: func(ctx context.Context, _ *treasury, s *spender) {
				change(ctx, s.ProxyInstance, func(i *v1alpha1.ProxyInstance) { i.Spec.Proxies = new(int32(77)) })
			},
			patches: 2, reads: 1, granted: true,
		},
		{
			name: "is not written to one that is going",
			meddle: func(ctx context.Context, _ *treasury, s *spender) {
				Expect(admin.Delete(ctx, s.ProxyInstance)).To(Succeed())
			},
			patches: 1, reads: 1,
		},
		{
			name: "is not written to another of its name",
			meddle: func(ctx context.Context, t *treasury, s *spender) {
				discard(ctx, s.ProxyInstance)
				again := &v1alpha1.ProxyInstance{ObjectMeta: metav1.ObjectMeta{Namespace: t.proxies, Name: s.Name}}
				create(ctx, again)
			},
			patches: 1, reads: 1,
		},
	} {
		It(tc.name, func(ctx context.Context) {
			t := newTreasury(ctx, newBench(cfg), withLimits(1000, 0, ""))
			s := newSpender(ctx, t.proxies, "proxy-0", t.e)
			s.ask(ctx, asks(t.e, quota.Ask{Number: 1, Want: 10, Need: 1}, nil))
			t.reconcile(ctx, t.namespace)
			m := &meddling{Client: admin, meddle: func() { tc.meddle(ctx, t, s) }}
			t.keeper.Client, t.keeper.Live = m, m
			Expect(t.copy(ctx, s)).To(BeZero())
			Expect([]int{m.patches, m.reads}).To(Equal([]int{tc.patches, tc.reads}))
			Expect(s.granted(ctx) != nil).To(Equal(tc.granted))
		})
	}

	It("that a schema refuses is an error, and not tried again at once", func(ctx context.Context) {
		t := newTreasury(ctx, newBench(cfg), withLimits(1000, 0, ""))
		s := newSpender(ctx, t.proxies, "proxy-0", t.e)
		m := &meddling{Client: admin, meddle: func() {}}
		t.keeper.Client = m
		zero, text := int32(0), v1alpha1.Duration("5s")
		err := t.keeper.tell(ctx, s.ProxyInstance, &v1alpha1.ProxyInstanceSpec{Proxies: &zero, ReportInterval: &text})
		Expect(err).To(MatchError(ContainSubstring("spec.proxies")))
		Expect(m.patches).To(Equal(1))
	})
})

// A spec holds what its proxy has not acknowledged.
var _ = Describe("A grant", func() {
	var t *treasury
	var s *spender
	lease := quota.Grant{}
	BeforeEach(func(ctx context.Context) {
		t = newTreasury(ctx, newBench(cfg), withLimits(1000, 0, ""))
		s = newSpender(ctx, t.proxies, "proxy-0", t.e)
		t.keep(ctx, s)
		s.purse(ofDay(quota.Requests)).Take(1)
		t.round(ctx, s)
		Expect(s.granted(ctx)).To(HaveLen(1))
		lease = s.granted(ctx)[0]
		Expect(s.purse(ofDay(quota.Requests)).Free()).To(BeNumerically(">", 0))
	})
	// rewrite has the spec written for another reason.
	rewrite := func(ctx context.Context) {
		GinkgoHelper()
		change(ctx, s.ProxyInstance, func(i *v1alpha1.ProxyInstance) { i.Spec.Proxies = new(int32(77)) })
		t.keep(ctx, s)
		Expect(admin.Get(ctx, client.ObjectKeyFromObject(s), s.ProxyInstance)).To(Succeed())
		Expect(*s.Spec.Proxies).NotTo(Equal(int32(77)))
	}

	It("goes once its proxy has seen it, with the next write and by none of its own", func(ctx context.Context) {
		s.say(ctx, t.clock.Now())
		Expect(s.Status.Asks).To(BeEmpty())
		before := s.Generation
		t.copy(ctx, s)
		t.keep(ctx, s)
		Expect(s.granted(ctx)).To(HaveLen(1))
		Expect(s.Generation).To(Equal(before))
		rewrite(ctx)
		Expect(s.Spec.Grants).To(BeEmpty())

		By("which takes nothing away")
		s.hear(ctx)
		Expect(t.spend(ctx, s, quota.Requests, 20, 1)).To(Equal(int64(20)))
		Expect(t.ledger(ctx)).To(HaveLen(1))
	})

	It("stays while its proxy asks: the answer may have been lost", func(ctx context.Context) {
		s.ask(ctx, asks(t.e, quota.Ask{Number: 1, Want: 10, Need: 1}, nil))
		rewrite(ctx)
		Expect(s.granted(ctx)).To(Equal([]quota.Grant{lease}))
	})

	It("comes back when its proxy asks again that had no room to", func(ctx context.Context) {
		s.ask(ctx) // Others have displaced it.
		rewrite(ctx)
		Expect(s.Spec.Grants).To(BeEmpty())
		ledger := t.ledger(ctx)
		s.ask(ctx, asks(t.e, quota.Ask{Number: 1, Want: 10, Need: 1}, nil))
		Expect(t.copy(ctx, s)).To(BeZero())
		Expect(s.granted(ctx)).To(Equal([]quota.Grant{lease}))
		Expect(t.ledger(ctx)).To(Equal(ledger), "it is lent once")
	})

	It("that was seen is no news to one that asks for more", func(ctx context.Context) {
		s.ask(ctx)
		rewrite(ctx)
		s.ask(ctx, asks(t.e, quota.Ask{Number: 2, Granted: lease.Granted, Spent: 1, Want: 20}, nil))
		before := s.Generation
		Expect(t.copy(ctx, s)).To(BeZero())
		t.keep(ctx, s)
		s.granted(ctx)
		Expect(s.Generation).To(Equal(before))
		rewrite(ctx)
		Expect(s.Spec.Grants).To(BeEmpty())
	})

	It("stays while others want it back, and until that is over", func(ctx context.Context) {
		s.say(ctx, t.clock.Now())
		other := newSpender(ctx, t.proxies, "proxy-1", t.e)
		other.ask(ctx, asks(t.e, quota.Ask{Number: 1, Want: 995, Need: 995}, nil))
		t.reconcile(ctx, t.namespace)
		t.copy(ctx, s)
		rewrite(ctx)
		Expect(s.granted(ctx)).To(ConsistOf(HaveField("Wanted", BeTrue())))
		other.ask(ctx)
		t.clock.Step(minNumbersInterval)
		t.reconcile(ctx, t.namespace)
		t.keep(ctx, s)
		Expect(s.granted(ctx)).To(ConsistOf(HaveField("Wanted", BeFalse())), "it is told that it is over")
		rewrite(ctx)
		Expect(s.Spec.Grants).To(BeEmpty())
	})

	It("goes although a share of a rate stays", func(ctx context.Context) {
		change(ctx, t.e, func(e *v1alpha1.ModelEndpoint) {
			e.Spec.Limits.Rate = &v1alpha1.RateLimit{RequestsPerMinute: new(int64(100))}
		})
		s.ask(ctx, asks(t.e, quota.Ask{}, &quota.Amounts{RequestsPerMinute: 5}))
		t.reconcile(ctx, t.namespace)
		t.copy(ctx, s)
		rewrite(ctx)
		Expect(s.Spec.Grants).To(HaveLen(1))
		Expect(s.Spec.Grants[0].Rate).NotTo(BeNil())
		Expect(s.Spec.Grants[0].Limits).To(BeEmpty())
	})

	It("is known to the next operator by the ledger and the status", func(ctx context.Context) {
		s.ask(ctx)
		rewrite(ctx)
		s.ask(ctx, asks(t.e, quota.Ask{Number: 1, Want: 10, Need: 1}, nil))
		t.succeed()
		t.reconcile(ctx, t.namespace)
		t.copy(ctx, s)
		Expect(s.granted(ctx)).To(Equal([]quota.Grant{lease}))
		s.ask(ctx)
		t.succeed()
		t.reconcile(ctx, t.namespace)
		rewrite(ctx)
		Expect(s.Spec.Grants).To(BeEmpty())
	})

	It("that the ledger was set back behind is told as soon as the ledger has it again", func(ctx context.Context) {
		s.ask(ctx)
		rewrite(ctx)
		s.ask(ctx, asks(t.e, quota.Ask{Granted: lease.Granted + 3, Returned: 2}, nil))
		t.copy(ctx, s)
		t.keep(ctx, s)
		Expect(s.granted(ctx)).To(BeEmpty(), "the ledger has not heard of it")
		t.clock.Step(minNumbersInterval)
		t.reconcile(ctx, t.namespace)
		t.keep(ctx, s)
		Expect(s.granted(ctx)).To(ConsistOf(And(HaveField("Granted", lease.Granted+3), HaveField("Returned", int64(2)))))
	})

	It("that was dropped is closed when its proxy ends, by an operator that has looked at nothing yet", func(ctx context.Context) {
		s.ask(ctx)
		rewrite(ctx)
		Expect(s.Spec.Grants).To(BeEmpty())
		s.end(ctx)
		t.succeed()
		observe(ctx, t.Books)
		result, err := t.keeper.Reconcile(ctx, ctrl.Request{NamespacedName: client.ObjectKeyFromObject(s)})
		Expect(err).NotTo(HaveOccurred())
		Expect(result.RequeueAfter).To(Equal(foldAgain), "there is a lease by the stored ledger")
		Expect(t.askedFor()).To(HaveKey(t.namespace))
		t.clock.Step(minNumbersInterval)
		t.reconcile(ctx, t.namespace)
		Expect(t.ledger(ctx)).To(HaveExactElements(HaveSuffix("closed 8")))
		Expect(t.keep(ctx, s)).To(BeZero())
		Expect(client.IgnoreNotFound(admin.Get(ctx, client.ObjectKeyFromObject(s), s.ProxyInstance))).To(Succeed())
	})

	It("of another operator's namespaces holds up the end of a proxy that gives it back", func(ctx context.Context) {
		s.ask(ctx, asks(t.e, quota.Ask{Granted: lease.Granted, Returned: 3}, nil))
		s.end(ctx)
		theirs := newKeeper(t.bench)
		theirs.Leases, theirs.Namespaces = NewLeases(), []string{"elsewhere"}
		theirs.Reader = unread{admin}
		bury := func() any {
			observe(ctx, t.Books)
			result, err := theirs.Reconcile(ctx, ctrl.Request{NamespacedName: client.ObjectKeyFromObject(s)})
			Expect(err).NotTo(HaveOccurred())
			return result.RequeueAfter
		}
		Expect(bury()).To(Equal(foldAgain))
		t.clock.Step(minNumbersInterval)
		t.reconcile(ctx, t.namespace)
		Expect(t.ledger(ctx)).To(HaveExactElements(HaveSuffix("closed 5")))
		Expect(bury()).To(BeZero())
	})
})

func TestWhoAsksAgainIsLookedAt(t *testing.T) {
	made := func(change func(*v1alpha1.ProxyInstance)) *v1alpha1.ProxyInstance {
		i := &v1alpha1.ProxyInstance{}
		i.Status.Asks = []v1alpha1.EndpointAsk{{UID: "a", Limits: []v1alpha1.LimitAsk{{Limit: v1alpha1.LimitRequests, Number: 1, Want: 8}}}}
		change(i)
		return i
	}
	for name, tc := range map[string]struct {
		change func(*v1alpha1.ProxyInstance)
		want   bool
	}{
		"the same once more":            {func(*v1alpha1.ProxyInstance) {}, false},
		"a report of something else":    {func(i *v1alpha1.ProxyInstance) { i.Status.Version = "2"; i.ResourceVersion = "2" }, false},
		"another wish":                  {func(i *v1alpha1.ProxyInstance) { i.Status.Asks[0].Limits[0].Number = 2 }, true},
		"a spec that somebody has made": {func(i *v1alpha1.ProxyInstance) { i.Generation = 2 }, true},
	} {
		e := event.UpdateEvent{ObjectOld: made(func(*v1alpha1.ProxyInstance) {}), ObjectNew: made(tc.change)}
		if got := asksOrIsTold.Update(e); got != tc.want {
			t.Errorf("%s: %v, want %v", name, got, tc.want)
		}
	}
}

// unread is a cache that holds no endpoints.
type unread struct{ client.Client }

func (b unread) List(ctx context.Context, list client.ObjectList, options ...client.ListOption) error {
	if _, endpoints := list.(*v1alpha1.ModelEndpointList); endpoints {
		return nil
	}
	return b.Client.List(ctx, list, options...)
}
