// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/turnout-ai/turnout/api/v1alpha1"
	"github.com/turnout-ai/turnout/internal/quota"
	"github.com/turnout-ai/turnout/internal/translate"
)

// asks are wishes about the requests of a day.
func asks(e *v1alpha1.ModelEndpoint, ask quota.Ask, demand *quota.Amounts) v1alpha1.EndpointAsk {
	out := quota.EndpointAsk{Endpoint: quota.Endpoint{UID: string(e.UID), Namespace: e.Namespace, Name: e.Name}, Demand: demand}
	if ask != (quota.Ask{}) {
		ask.Key = ofDay(quota.Requests)
		out.Asks = []quota.Ask{ask}
	}
	return translate.APIAsk(out)
}

func (p proxy) ask(ctx context.Context, all ...v1alpha1.EndpointAsk) {
	GinkgoHelper()
	p.status(ctx, func(status *v1alpha1.ProxyInstanceStatus) { status.Asks = all })
}

var _ = Describe("What a proxy is granted", func() {
	It("rides one write, whatever how many endpoints lend it", func(ctx context.Context) {
		t := newTreasury(ctx, newBench(cfg), withLimits(1000, 0, ""))
		other := endpoint(t.namespace, "mini", withLimits(1000, 0, ""))
		elsewhere := newNamespace(ctx)
		third := endpoint(elsewhere, "gpt", withLimits(1000, 0, ""))
		create(ctx, other, third)
		s := newSpender(ctx, t.proxies, "proxy-0", t.e)
		t.keep(ctx, s)
		wish := quota.Ask{Number: 1, Want: 10, Need: 1}
		s.ask(ctx, asks(t.e, wish, nil), asks(other, wish, nil), asks(third, wish, nil))
		before := s.Generation
		observe(ctx, t.Books)
		t.reconcile(ctx, t.namespace)
		t.reconcile(ctx, elsewhere)
		t.copy(ctx, s)
		Expect(s.granted(ctx)).To(HaveLen(1))
		Expect(s.Spec.Grants).To(HaveLen(3))
		Expect(s.Generation).To(Equal(before + 1))
		Expect(s.Spec.Proxies).NotTo(BeNil(), "what it was told before stands beside it")
	})

	It("reaches it although the proxy writes its report at the same time", func(ctx context.Context) {
		t := newTreasury(ctx, newBench(cfg), withLimits(1000, 0, ""))
		s := newSpender(ctx, t.proxies, "proxy-0", t.e)
		s.ask(ctx, asks(t.e, quota.Ask{Number: 1, Want: 10, Need: 1}, nil))
		stale := s.DeepCopy()
		t.reconcile(ctx, t.namespace)
		s.status(ctx, func(status *v1alpha1.ProxyInstanceStatus) { status.Version = "1.2.3" })
		t.keeper.Reader = laggingInstances{Client: admin, instance: stale}
		t.copy(ctx, s)
		Expect(s.granted(ctx)).To(HaveLen(1))

		By("copying again by a cache that has not seen it, which changes nothing and conflicts with nothing")
		before := s.ResourceVersion
		t.copy(ctx, s)
		s.granted(ctx)
		Expect(s.ResourceVersion).To(Equal(before))
	})

	It("is not dropped before its namespace was looked at, and then when it is gone", func(ctx context.Context) {
		t := newTreasury(ctx, newBench(cfg), withLimits(1000, 0, ""))
		s := newSpender(ctx, t.proxies, "proxy-0", t.e)
		s.ask(ctx, asks(t.e, quota.Ask{Number: 1, Want: 10, Need: 1}, &quota.Amounts{RequestsPerMinute: 5}))
		t.reconcile(ctx, t.namespace)
		t.copy(ctx, s)
		s.ask(ctx)
		gone := newNamespace(ctx)
		change(ctx, s.ProxyInstance, func(i *v1alpha1.ProxyInstance) {
			i.Spec.Grants[0].Rate = &v1alpha1.RateShare{RequestsPerMinute: new(int64(7))}
			i.Spec.Grants = append(i.Spec.Grants, v1alpha1.EndpointGrant{UID: "zz-gone", Namespace: gone, Name: "gone", Limits: []v1alpha1.LimitGrant{
				{Limit: v1alpha1.LimitRequests, Start: metav1.NewTime(today), Granted: 5},
			}})
		})
		t.succeed()
		t.keep(ctx, s)
		s.granted(ctx)
		Expect(s.Spec.Grants).To(HaveLen(2), "nobody has looked yet")
		Expect(s.Spec.Grants[0].Rate).NotTo(BeNil())
		Expect(t.askedFor()).To(HaveKey(gone), "but somebody should")
		t.Leases.Set(t.namespace, []*v1alpha1.ModelEndpoint{t.read(ctx)})
		t.keep(ctx, s)
		s.granted(ctx)
		Expect(s.Spec.Grants[0].Rate).NotTo(BeNil(), "the ledger is read, but who has a demand is not known yet")

		t.reconcile(ctx, gone)
		t.reconcile(ctx, t.namespace)
		t.copy(ctx, s)
		s.granted(ctx)
		Expect(s.Spec.Grants).To(BeEmpty(), "a share that is over makes a write, and what is gone or was acknowledged rides along")
	})

	It("of namespaces that are another operator's is left alone", func(ctx context.Context) {
		t := newTreasury(ctx, newBench(cfg), withLimits(1000, 0, ""))
		s := newSpender(ctx, t.proxies, "proxy-0", t.e)
		change(ctx, s.ProxyInstance, func(i *v1alpha1.ProxyInstance) {
			i.Spec.Grants = []v1alpha1.EndpointGrant{{UID: "theirs", Namespace: "theirs", Name: "gone"}}
		})
		t.keeper.Namespaces = []string{t.namespace}
		t.Leases.Looked("theirs")
		s.ask(ctx, asks(t.e, quota.Ask{Number: 1, Want: 10, Need: 1}, nil))
		t.reconcile(ctx, t.namespace)
		t.copy(ctx, s)
		s.granted(ctx)
		Expect(s.Spec.Grants).To(HaveLen(2))
	})

	It("that nobody waits for takes its turn, and takes no time from what somebody waits for", func(ctx context.Context) {
		t := newTreasury(ctx, newBench(cfg), withLimits(1_000_000, 0, ""))
		s, other := newSpender(ctx, t.proxies, "proxy-0", t.e), newSpender(ctx, t.proxies, "proxy-1", t.e)
		for _, one := range []*spender{s, other} {
			t.keep(ctx, one)
		}
		for t.keeper.allowance.take(1, t.clock.Now()) {
		}
		for _, one := range []*spender{s, other} {
			one.ask(ctx, asks(t.e, quota.Ask{Number: 1, Want: 10}, nil))
		}
		t.clock.Step(minNumbersInterval)
		for t.keeper.allowance.take(1, t.clock.Now()) {
		}
		t.reconcile(ctx, t.namespace)
		Expect(t.ledger(ctx)).To(HaveLen(1))
		Expect(t.copy(ctx, s)).To(Equal(time.Second))
		Expect(s.granted(ctx)).To(BeEmpty())
		s.ask(ctx, asks(t.e, quota.Ask{Number: 2, Want: 100, Need: 50}, nil))
		t.reconcile(ctx, t.namespace)
		Expect(t.copy(ctx, s)).To(BeZero())
		Expect(s.granted(ctx)[0].Granted).To(Equal(int64(100)))
		t.clock.Step(time.Second)
		Expect(t.copy(ctx, other)).To(BeZero())
		Expect(other.granted(ctx)[0].Granted).To(Equal(int64(10)))

		By("the ledger itself")
		s.ask(ctx, asks(t.e, quota.Ask{Number: 3, Granted: 100, Spent: 80, Want: 200}, nil))
		observe(ctx, t.Books)
		t.askedFor()
		other.ask(ctx, asks(t.e, quota.Ask{Number: 2, Granted: 10, Spent: 5, Want: 20}, nil))
		observe(ctx, t.Books)
		Expect(t.askedFor()).To(HaveKeyWithValue(t.namespace, false))
		before := t.ledger(ctx)
		next := t.reconcile(ctx, t.namespace)
		Expect(next).To(BeNumerically(">", time.Second))
		Expect(t.ledger(ctx)).To(Equal(before))
		t.clock.Step(next)
		t.reconcile(ctx, t.namespace)
		Expect(t.ledger(ctx)).To(ConsistOf(And(ContainSubstring("200-0 #3"), ContainSubstring("20-0 #2"))), "both ride one write")

		By("but for one that lasts no two seconds")
		s.ask(ctx, asks(t.e, quota.Ask{Number: 4, Granted: 200, Spent: 195, Want: 400}, nil))
		observe(ctx, t.Books)
		Expect(t.askedFor()).To(HaveKeyWithValue(t.namespace, true))
		t.reconcile(ctx, t.namespace)
		Expect(t.copy(ctx, s)).To(BeZero())
		Expect(s.granted(ctx)[0].Granted).To(Equal(int64(400)))

		By("not where a proxy would take the operator for lost")
		change(ctx, t.e, func(e *v1alpha1.ModelEndpoint) { e.Spec.Limits.OnControlPlaneLoss = v1alpha1.FailOpen })
		t.reconcile(ctx, t.namespace)
		for t.keeper.allowance.take(1, t.clock.Now()) {
		}
		s.ask(ctx, asks(t.e, quota.Ask{Number: 5, Granted: 400, Spent: 300, Want: 800}, nil))
		t.reconcile(ctx, t.namespace)
		Expect(t.copy(ctx, s)).To(BeZero())
		Expect(s.granted(ctx)[0].Answered).To(Equal(int64(5)))
	})

	It("says at once that others need it, to those that have something left", func(ctx context.Context) {
		t := newTreasury(ctx, newBench(cfg), withLimits(10, 0, ""))
		a, b := newSpender(ctx, t.proxies, "proxy-0", t.e), newSpender(ctx, t.proxies, "proxy-1", t.e)
		a.ask(ctx, asks(t.e, quota.Ask{Number: 1, Want: 10, Need: 10}, nil))
		t.reconcile(ctx, t.namespace)
		t.copy(ctx, a)
		a.ask(ctx)
		changed := map[string]bool{}
		t.Leases.Changed = func(uid string) { changed[uid] = true }
		b.ask(ctx, asks(t.e, quota.Ask{Number: 1, Want: 1, Need: 1}, nil))
		t.reconcile(ctx, t.namespace)
		Expect(changed).To(HaveKey(string(a.UID)))
		t.copy(ctx, a)
		Expect(a.granted(ctx)[0].Wanted).To(BeTrue())

		By("and that they do not any more with the next look")
		b.ask(ctx)
		a.ask(ctx, asks(t.e, quota.Ask{Granted: 10, Returned: 5}, nil))
		t.clock.Step(10 * time.Second)
		t.reconcile(ctx, t.namespace)
		t.copy(ctx, a)
		Expect(a.granted(ctx)[0].Wanted).To(BeTrue())
		t.keep(ctx, a)
		Expect(a.granted(ctx)[0].Wanted).To(BeFalse())
		Expect(a.granted(ctx)[0].Returned).To(Equal(int64(5)))
	})

	It("of rates is a share by demand, which changes when that matters and ends with the demand", func(ctx context.Context) {
		t := newTreasury(ctx, newBench(cfg), func(e *v1alpha1.ModelEndpoint) {
			e.Spec.Limits = &v1alpha1.Limits{Rate: &v1alpha1.RateLimit{RequestsPerMinute: new(int64(1000)), ConcurrentRequests: new(int64(10))}}
		})
		a, b := newSpender(ctx, t.proxies, "proxy-0", t.e), newSpender(ctx, t.proxies, "proxy-1", t.e)
		demand := func(s *spender, perMinute int64) {
			s.ask(ctx, asks(t.e, quota.Ask{}, &quota.Amounts{RequestsPerMinute: perMinute, TokensPerMinute: quota.Unlimited, ConcurrentRequests: perMinute / 100}))
		}
		look := func() {
			t.clock.Step(time.Second)
			t.reconcile(ctx, t.namespace)
			for _, s := range []*spender{a, b} {
				t.copy(ctx, s)
			}
		}
		share := func(s *spender) *quota.Amounts {
			Expect(admin.Get(ctx, client.ObjectKeyFromObject(s), s.ProxyInstance)).To(Succeed())
			if len(s.Spec.Grants) == 0 {
				return nil
			}
			return translate.Grants(s.Spec.Grants)[0].Share
		}
		demand(a, 300)
		look()
		Expect(share(a)).To(Equal(&quota.Amounts{RequestsPerMinute: 750, TokensPerMinute: quota.Unlimited, ConcurrentRequests: 8}), "the other has its default")
		Expect(share(b)).To(BeNil())
		Expect(t.ledger(ctx)).To(BeEmpty(), "there is no ledger for rates")

		demand(b, 300)
		look()
		Expect(share(a)).To(Equal(&quota.Amounts{RequestsPerMinute: 500, TokensPerMinute: quota.Unlimited, ConcurrentRequests: 5}))
		Expect(share(b)).To(Equal(share(a)))

		demand(b, 340) // a little more
		look()
		Expect(share(b).RequestsPerMinute).To(Equal(int64(500)))
		demand(b, 900)
		look()
		Expect([]int64{share(a).RequestsPerMinute, share(b).RequestsPerMinute}).To(Equal([]int64{250, 750}))

		b.ask(ctx)
		look()
		Expect(share(b)).To(BeNil())
		Expect(share(a).RequestsPerMinute).To(Equal(int64(750)))
		before := a.ResourceVersion
		look()
		share(a)
		Expect(a.ResourceVersion).To(Equal(before))

		change(ctx, t.e, func(e *v1alpha1.ModelEndpoint) { e.Spec.Limits.Rate.RequestsPerMinute = new(int64(100)) })
		look()
		Expect(share(a).RequestsPerMinute).To(Equal(int64(75)))
		change(ctx, t.e, func(e *v1alpha1.ModelEndpoint) { e.Spec.Limits = nil })
		look()
		Expect(share(a)).To(BeNil())
	})

	It("asks nobody who has ended", func(ctx context.Context) {
		t := newTreasury(ctx, newBench(cfg), withLimits(10, 0, ""))
		s := newSpender(ctx, t.proxies, "proxy-0", t.e)
		s.ask(ctx, asks(t.e, quota.Ask{Number: 1, Want: 10, Need: 10}, nil))
		s.end(ctx)
		t.reconcile(ctx, t.namespace)
		Expect(t.ledger(ctx)).To(BeEmpty())
		result, err := t.keeper.Instruct(ctx, ctrl.Request{NamespacedName: client.ObjectKeyFromObject(s)})
		Expect(err).NotTo(HaveOccurred())
		Expect(result).To(BeZero())
	})
})

func TestAsManyGrantsAsASpecHolds(t *testing.T) {
	many := func(n, length, use int) []grant {
		var out []grant
		for i := range n {
			api := v1alpha1.EndpointGrant{UID: fmt.Sprintf("%d-%08d", use, i), Namespace: "team", Name: strings.Repeat("n", length)}
			api.Limits = []v1alpha1.LimitGrant{{Limit: v1alpha1.LimitRequests, Granted: 1 << 60, Returned: 1 << 60, Answered: 1 << 60, Rest: true, Wanted: true, Start: metav1.NewTime(today)}}
			out = append(out, grant{api: api, use: use})
		}
		return out
	}
	for name, tc := range map[string]struct {
		grants    []grant
		left, use int
	}{
		"a few are kept":                {many(10, 10, 3), 0, 3},
		"those beyond the list go":      {append(many(9000, 0, 3), many(10, 0, 0)...), 0, 0},
		"those beyond the size go":      {append(many(5000, 253, 1), many(10, 253, 0)...), 0, 0},
		"nothing is left out needless":  {many(3000, 30, 2), 0, 2},
		"the most useful ones are kept": {append(append(many(3000, 253, 2), many(1000, 253, 1)...), many(1000, 253, 0)...), 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			all := len(tc.grants)
			kept, left := bounded(tc.grants)
			if len(kept)+left != all {
				t.Errorf("%d kept and %d left out of %d", len(kept), left, all)
			}
			spec := v1alpha1.ProxyInstanceSpec{}
			worst, useful := 0, 0
			for i := range kept {
				worst = max(worst, kept[i].use)
				if kept[i].use == 0 {
					useful++
				}
				if i > 0 && kept[i-1].api.UID >= kept[i].api.UID {
					t.Fatal("they are not in their order")
				}
				spec.Grants = append(spec.Grants, kept[i].api)
			}
			for i := range tc.grants[len(kept):] {
				if g := tc.grants[len(kept)+i]; g.use < worst {
					t.Fatalf("one of use %d is left out for one of %d", g.use, worst)
				}
			}
			if size := len(jsonOf(t, spec)); len(kept) > maxGrants || size > maxGrantBytes {
				t.Errorf("%d grants of %d bytes", len(kept), size)
			}
			if estimate, size := sizeOfGrants(spec.Grants), len(jsonOf(t, spec.Grants)); estimate < size {
				t.Errorf("they are taken for %d bytes and are %d", estimate, size)
			}
		})
	}
}

func TestACopyNeverLowersANumber(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	some := func() []quota.Grant {
		var grants []quota.Grant
		for limit := quota.Requests; limit <= quota.Budget; limit++ {
			if random.IntN(2) == 0 {
				grants = append(grants, quota.Grant{
					Key: ofDay(limit), Granted: random.Int64N(5), Returned: random.Int64N(5), Answered: 1 + random.Int64N(5),
					Rest: random.IntN(2) == 0, Wanted: random.IntN(2) == 0,
				})
			}
		}
		return grants
	}
	for range 10_000 {
		told, next := quota.EndpointGrant{Grants: some()}, owed{}
		next.Grants = some()
		var ask *quota.EndpointAsk
		if random.IntN(2) == 0 {
			ask = &quota.EndpointAsk{}
			for limit := quota.Requests; limit <= quota.Budget; limit++ {
				ask.Asks = append(ask.Asks, quota.Ask{Key: ofDay(limit), Granted: random.Int64N(5), Returned: random.Int64N(5), Number: random.Int64N(5)})
			}
		}
		merged, how := merge(told, next, ask)
		for _, g := range merged.Grants {
			if how == never && !slices.Contains(told.Grants, g) {
				t.Fatalf("%+v is to be %+v, and nobody says so", told, merged)
			}
		}
		for _, before := range told.Grants {
			for _, after := range merged.Grants {
				if before.Key == after.Key && (after.Granted < before.Granted || after.Returned < before.Returned || after.Answered < before.Answered) {
					t.Fatalf("%+v becomes %+v", before, after)
				}
			}
		}
		again := owed{EndpointGrant: next.EndpointGrant}
		if _, how := merge(merged, again, ask); how != never {
			t.Fatalf("copying %+v again changes it", merged)
		}
	}
}

func TestSharesStayWhileTheyAreGoodEnough(t *testing.T) {
	for name, tc := range map[string]struct {
		limit, proxies int64
		demands, had   []int64
		known          bool
		want           []int64
	}{
		"nobody was told":                    {100, 2, []int64{1, 1}, []int64{0, 0}, false, []int64{50, 50}},
		"a little less than its share":       {100, 2, []int64{55, 45}, []int64{50, 50}, true, []int64{50, 50}},
		"much less than its share":           {100, 2, []int64{90, 10}, []int64{50, 50}, true, []int64{90, 10}},
		"all together more than there is":    {100, 2, []int64{50, 50}, []int64{60, 50}, true, []int64{50, 50}},
		"more than the limit, since lowered": {10, 1, []int64{5}, []int64{100}, true, []int64{10}},
		"a share that says unlimited":        {100, 1, []int64{5}, []int64{quota.Unlimited}, true, []int64{100}},
		"nobody":                             {100, 3, nil, nil, true, nil},
	} {
		t.Run(name, func(t *testing.T) {
			got := divided(tc.limit, int(tc.proxies), tc.demands, tc.had, tc.known)
			if diff := cmp.Diff(tc.want, got, cmp.Comparer(func(a, b []int64) bool { return fmt.Sprint(a) == fmt.Sprint(b) })); diff != "" {
				t.Errorf("shares (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAnAllowanceIsEarned(t *testing.T) {
	var a allowance
	now := epoch
	taken := func(size int) int {
		n := 0
		for a.take(size, now) {
			n++
		}
		return n
	}
	if n := taken(1); n != grantWrites {
		t.Errorf("%d writes at once", n)
	}
	now = now.Add(500 * time.Millisecond)
	if n := taken(1); n != grantWrites/2 {
		t.Errorf("%d writes in half a second", n)
	}
	now = now.Add(time.Hour)
	if n := taken(4 * grantBytes); n != 1 {
		t.Errorf("%d writes of four seconds' bytes", n)
	}
	now = now.Add(2 * time.Second)
	if n := taken(1); n != 0 {
		t.Errorf("%d writes while bytes are owed", n)
	}
	now = now.Add(2 * time.Second)
	if n := taken(1); n == 0 {
		t.Error("nothing more")
	}
}

func TestWhatACacheHasNotSeenYet(t *testing.T) {
	version := func(uid, version string) *v1alpha1.ModelEndpoint {
		e := &v1alpha1.ModelEndpoint{}
		e.Namespace, e.Name, e.ResourceVersion = "team", "gpt", version
		e.UID = types.UID(uid)
		return e
	}
	var n newest[*v1alpha1.ModelEndpoint]
	is := func(step string, cached *v1alpha1.ModelEndpoint, want string) {
		t.Helper()
		if got := n.of(cached).ResourceVersion; got != want {
			t.Errorf("%s: version %s, want %s", step, got, want)
		}
	}
	is("nothing was written", version("a", "1"), "1")
	n.wrote("1", version("a", "2"))
	n.wrote("2", version("a", "3"))
	is("the cache is two behind", version("a", "1"), "3")
	is("the cache is one behind", version("a", "2"), "3")
	is("another object of the name", version("b", "1"), "1")
	n.wrote("2", version("a", "3"))
	is("the cache is there", version("a", "3"), "3")
	is("and what was written is forgotten", version("a", "2"), "2")
	n.wrote("3", version("a", "4"))
	is("somebody else wrote since", version("a", "5"), "5")
	n.wrote("5", version("a", "6"))
	n.wrote("7", version("a", "8"))
	is("a write after somebody else's", version("a", "5"), "5")
	n.wrote("8", version("a", "9"))
	if n.all("team", nil); len(n.own) != 0 {
		t.Error("what is gone is remembered")
	}
}

// jsonOf is a value as the API server gets it.
func jsonOf(t *testing.T, value any) []byte {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestMoneyInColumns(t *testing.T) {
	for nanos, want := range map[int64]string{
		0: "0.00", dollar: "1.00", dollar / 4: "0.25", dollar / 10: "0.10", 1_234_500_000: "1.2345", 1: "0.000000001", 20 * dollar: "20.00",
	} {
		if got := cents(nanos); got != want {
			t.Errorf("%d is %q, want %q", nanos, got, want)
		}
	}
}
