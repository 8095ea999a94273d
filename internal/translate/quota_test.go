// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package translate

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/turnout-ai/turnout/api/v1alpha1"
	"github.com/turnout-ai/turnout/internal/kubetest"
	"github.com/turnout-ai/turnout/internal/quota"
)

// amount is none, small or as large as there is.
func (g gen) amount() int64 { return []int64{0, g.Int64N(100), g.Int64(), math.MaxInt64}[g.IntN(4)] }

func (g gen) key() quota.Key {
	return quota.Key{Limit: quota.Limit(1 + g.IntN(3)), Start: g.some().Truncate(time.Hour)}
}

func (g gen) ledger() quota.Ledger {
	return quota.Ledger{Accounts: many(g, 12, func() quota.Account {
		key := g.key()
		lease := func() quota.Lease {
			return quota.Lease{Instance: fmt.Sprint("uid-", g.IntN(1e6)), Granted: g.amount(), Returned: g.amount(), Answered: g.amount(), Rest: g.IntN(2) == 0}
		}
		return quota.Account{Key: key, End: key.Start.AddDate(0, 0, 1), Closed: g.amount(), Wanted: g.IntN(2) == 0, Leases: many(g, 5, lease)}
	})}
}

// rates are of limits per minute, some of which do not exist; nil is no word about any.
func (g gen) rates() *quota.Amounts {
	one := func() int64 { return []int64{quota.Unlimited, 0, g.Int64N(1e9)}[g.IntN(3)] }
	return []*quota.Amounts{nil, {RequestsPerMinute: one(), TokensPerMinute: one(), ConcurrentRequests: one()}}[g.IntN(2)]
}

func (g gen) grant() quota.EndpointGrant {
	return quota.EndpointGrant{Endpoint: quota.Endpoint{UID: "uid-1", Namespace: "shop", Name: "gpt"}, Share: g.rates(), Grants: many(g, 12, func() quota.Grant {
		return quota.Grant{
			Key: g.key(), Granted: g.amount(), Returned: g.amount(), Answered: g.amount(), Rest: g.IntN(2) == 0, Wanted: g.IntN(2) == 0,
		}
	})}
}

func (g gen) ask() quota.EndpointAsk {
	return quota.EndpointAsk{Endpoint: quota.Endpoint{UID: "uid-1", Namespace: "shop", Name: "gpt"}, Demand: g.rates(), Asks: many(g, 12, func() quota.Ask {
		return quota.Ask{
			Key: g.key(), Granted: g.amount(), Returned: g.amount(), Spent: g.amount(), Number: g.amount(), Want: g.amount(), Need: g.amount(),
		}
	})}
}

func TestALedgerSurvivesItsStatus(t *testing.T) {
	g := gen{rand.New(rand.NewPCG(21, 22))}
	for range 1000 {
		want := g.ledger()
		if diff := cmp.Diff(want, Ledger(through(t, APILedger(want)))); diff != "" {
			t.Fatalf("(-written +read):\n%s", diff)
		}
	}
}

func TestAGrantSurvivesItsCopy(t *testing.T) {
	g := gen{rand.New(rand.NewPCG(23, 24))}
	for range 1000 {
		want := []quota.EndpointGrant{g.grant(), g.grant()}
		got := Grants([]v1alpha1.EndpointGrant{through(t, APIGrant(want[0])), through(t, APIGrant(want[1]))})
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("(-written +read):\n%s", diff)
		}
	}
}

func TestAnAskSurvivesItsStatus(t *testing.T) {
	g := gen{rand.New(rand.NewPCG(25, 26))}
	for range 1000 {
		want := g.ask()
		if diff := cmp.Diff(want, Ask(new(through(t, APIAsk(want))))); diff != "" {
			t.Fatalf("(-written +read):\n%s", diff)
		}
	}
}

// A decision on what was stored is the one on what was decided, and what it decides is stored as it is: if it were
// not, something would be written again and again, or lent twice.
func TestALedgerIsDecidedOnAsItIsStored(t *testing.T) {
	midnight := time.Date(2026, 3, 14, 0, 0, 0, 0, time.UTC)
	key := quota.Key{Limit: quota.Tokens, Start: midnight}
	term := quota.Term{Key: key, End: midnight.AddDate(0, 0, 1), Amount: 1000}
	parties := []quota.Party{
		{Instance: "a", Ask: &quota.Ask{Key: key, Number: 1, Want: 800, Need: 100}},
		{Instance: "b", Ask: &quota.Ask{Key: key, Number: 3, Want: 5000, Need: 950}},
	}
	decide := func(l quota.Ledger) quota.Ledger {
		d := l.Decide([]quota.Term{term}, func(quota.Key) []quota.Party { return parties }, midnight.Add(time.Hour))
		return d.Ledger
	}
	first := APILedger(decide(quota.Ledger{}))
	second := APILedger(decide(Ledger(through(t, first))))
	if diff := cmp.Diff(first, second); diff != "" || len(first) != 1 {
		t.Errorf("(-first +second):\n%s", diff)
	}
}

func TestAccountsOfLimitsFromTomorrowAreLeftOut(t *testing.T) {
	start := metav1.NewTime(time.Unix(1_800_000_000, 0))
	if got := Ledger([]v1alpha1.LedgerAccount{{Limit: "Watts", Start: start}}); len(got.Accounts) != 0 {
		t.Errorf("%+v", got)
	}
	if got := Grants([]v1alpha1.EndpointGrant{{UID: "u", Limits: []v1alpha1.LimitGrant{{Limit: "Watts", Start: start}}}}); len(got) != 1 || len(got[0].Grants) != 0 {
		t.Errorf("%+v", got)
	}
	if got := Ask(&v1alpha1.EndpointAsk{UID: "u", Limits: []v1alpha1.LimitAsk{{Limit: "Watts", Start: start}}}); len(got.Asks) != 0 {
		t.Errorf("%+v", got)
	}
}

// Whatever the core comes to, the schema admits it.
func TestWhatIsLentFitsTheSchema(t *testing.T) {
	g := gen{rand.New(rand.NewPCG(27, 28))}
	endpoints, instances := kubetest.NewSchema(t, "modelendpoints"), kubetest.NewSchema(t, "proxyinstances")
	for range 200 {
		endpoint := endpointWith(nil)
		endpoint.Status.Ledger = APILedger(g.ledger())
		admits(t, endpoints, endpoint)

		grant, ask := g.grant(), g.ask()
		_, n, at, _ := g.wild()
		grant.Grants = append(slices.Repeat(grant.Grants, 3), quota.Grant{Key: quota.Key{Limit: quota.Budget, Start: at}, Granted: n, Returned: n, Answered: n})
		ask.Asks = append(slices.Repeat(ask.Asks, 3), quota.Ask{
			Key: quota.Key{Limit: quota.Budget, Start: at}, Granted: n, Returned: n, Spent: n, Number: n, Want: n, Need: n,
		})
		admits(t, instances, &v1alpha1.ProxyInstance{
			Spec:   v1alpha1.ProxyInstanceSpec{Grants: []v1alpha1.EndpointGrant{APIGrant(grant)}},
			Status: v1alpha1.ProxyInstanceStatus{Version: "1", Asks: []v1alpha1.EndpointAsk{APIAsk(ask)}},
		})
		if t.Failed() {
			t.FailNow()
		}
	}
}

func TestOfTooMuchTheFirstIsSaid(t *testing.T) {
	var asks []quota.Ask
	for hour := range 30 {
		asks = append(asks, quota.Ask{Key: quota.Key{Limit: quota.Requests, Start: time.Unix(int64(hour)*3600, 0).UTC()}, Number: 1})
	}
	got := Ask(new(APIAsk(quota.EndpointAsk{Asks: asks}))).Asks
	if diff := cmp.Diff(asks[:maxLimits], got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
