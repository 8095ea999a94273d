// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"fmt"
	"strconv"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	testingclock "k8s.io/utils/clock/testing"

	"github.com/turnout-ai/turnout/api/v1alpha1"
	"github.com/turnout-ai/turnout/internal/secrets"
)

// noVault holds no Secrets.
type noVault struct{}

func (noVault) Secret(string, string) (map[string][]byte, secrets.State) {
	return nil, secrets.NotFound
}
func (noVault) Version(string, string) string { return "" }
func (noVault) Watch([]string)                {}
func (noVault) Settled(string) bool           { return true }

// crowd is a namespace of endpoints with limits, each of which every proxy uses.
type crowd struct {
	*NamespaceReconciler
	clock   *testingclock.FakeClock
	found   objects
	proxies []*v1alpha1.ProxyInstance
	number  int64
}

func newCrowd(tb testing.TB, endpoints, proxies int) *crowd {
	metrics, err := NewMetrics(prometheus.NewRegistry())
	if err != nil {
		tb.Fatal(err)
	}
	clock, books := testingclock.NewFakeClock(epoch), NewBooks()
	books.ReplaceReports(nil)
	c := &crowd{clock: clock, NamespaceReconciler: &NamespaceReconciler{
		Vault: noVault{}, Clock: clock, Metrics: metrics, Books: books, Fleet: NewFleet(books),
		Prober: NewProber(clock, func(string, bool) {}), Absence: &Absence{Clock: clock}, Pacer: NewPacer(), Leases: NewLeases(),
	}}
	for p := range proxies {
		c.proxies = append(c.proxies, &v1alpha1.ProxyInstance{ObjectMeta: metav1.ObjectMeta{
			Namespace: "turnout", Name: fmt.Sprintf("proxy-%d", p), UID: types.UID(fmt.Sprintf("proxy-%05d", p)),
		}})
		books.SetInstance(c.proxies[p])
	}
	for n := range endpoints {
		e := endpoint("team", fmt.Sprintf("endpoint-%d", n), withLimits(1_000_000, 0, "1000"))
		e.UID, e.Generation, e.ResourceVersion = types.UID(fmt.Sprintf("endpoint-%05d", n)), 1, strconv.Itoa(n)
		for _, limit := range []v1alpha1.LimitType{v1alpha1.LimitRequests, v1alpha1.LimitBudget} {
			account := v1alpha1.LedgerAccount{Limit: limit, Start: metav1.NewTime(today), End: metav1.NewTime(midnight)}
			for _, p := range c.proxies {
				account.Leases = append(account.Leases, v1alpha1.LedgerLease{UID: string(p.UID), Granted: 1000, Answered: 3})
			}
			e.Status.Ledger = append(e.Status.Ledger, account)
		}
		c.found.endpoints = append(c.found.endpoints, e)
	}
	for _, p := range c.proxies {
		c.report(p)
	}
	return c
}

// report is what one proxy has counted of all endpoints.
func (c *crowd) report(p *v1alpha1.ProxyInstance) {
	const entries = 128
	for from := 0; from < len(c.found.endpoints); from += entries {
		report := &v1alpha1.ProxyReport{
			ObjectMeta: metav1.ObjectMeta{Namespace: p.Namespace, Name: fmt.Sprintf("%s-%d", p.Name, from/entries)},
			Spec:       v1alpha1.ProxyReportSpec{Instance: p.Name, InstanceUID: string(p.UID), Page: int32(from / entries)},
		}
		for _, e := range c.found.endpoints[from:min(from+entries, len(c.found.endpoints))] {
			numbers := usedUp(e, 5, 1000, 1000)
			numbers.Total = []v1alpha1.LatencyClass{{Class: 40, Count: 3}, {Class: 44, Count: 2}}
			report.Status.Endpoints = append(report.Status.Endpoints, numbers)
		}
		c.Books.SetReport(report)
	}
}

// ask has one proxy wish for something of one endpoint.
func (c *crowd) ask() {
	c.number++
	p, e := c.proxies[0].DeepCopy(), c.found.endpoints[0]
	p.Status.Asks = []v1alpha1.EndpointAsk{{UID: string(e.UID), Namespace: e.Namespace, Name: e.Name, Limits: []v1alpha1.LimitAsk{
		{Limit: v1alpha1.LimitRequests, Start: metav1.NewTime(today), Number: 3 + c.number, Granted: 1000, Want: 1000 + c.number, Need: 1000 + c.number},
	}}}
	c.Books.SetInstance(p)
}

// lookAndStore looks, and has all statuses stored as the look wants them.
func (c *crowd) lookAndStore(tb testing.TB) {
	c.Leases.Set("team", c.found.endpoints)
	seen := c.look(tb.Context(), "team", c.found)
	for i, e := range c.found.endpoints {
		stored := e.DeepCopy()
		for _, j := range seen.endpoints {
			if j.object == e && j.wanted != nil {
				stored.Status, stored.ResourceVersion = *j.wanted, e.ResourceVersion+"-stored"
			}
		}
		c.found.endpoints[i] = stored
	}
}

// once is a look with all that follows from it, but for writes.
func (c *crowd) once(tb testing.TB) {
	c.Leases.Set("team", c.found.endpoints)
	seen := c.look(tb.Context(), "team", c.found)
	c.Metrics.setNamespace("team", seen)
	c.Prober.Set("team", seen.endpoints)
	seen.again(0, c.clock.Now())
}

func BenchmarkLook(b *testing.B) {
	for _, size := range []struct{ endpoints, proxies int }{{100, 10}, {2000, 1}, {2000, 10}, {2000, 100}} {
		c := newCrowd(b, size.endpoints, size.proxies)
		c.lookAndStore(b)
		for _, name := range []string{"nothing changed", "one ask", "for the first time"} {
			b.Run(fmt.Sprintf("%d endpoints, %d proxies, %s", size.endpoints, size.proxies, name), func(b *testing.B) {
				c.once(b)
				c.once(b)
				b.ReportAllocs()
				for b.Loop() {
					switch name {
					case "one ask":
						c.ask()
					case "for the first time":
						c.memories = nil
					}
					c.once(b)
				}
			})
		}
	}
}
