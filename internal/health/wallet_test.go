// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package health

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/turnout-ai/turnout/internal/calendar"
	"github.com/turnout-ai/turnout/internal/modelstate"
	"github.com/turnout-ai/turnout/internal/quota"
	"github.com/turnout-ai/turnout/internal/routing"
)

// lease is what the operator of a model has with one instance of the proxy, and what that one has done with it.
type lease struct {
	// granted is the largest grant that was delivered, returned the most that was said to be given back.
	granted, returned int64
	// used is what was used, and set aside for attempts under way.
	used int64
}

// leaseKey is the account of an instance.
type leaseKey struct {
	instance int
	limit    quota.Limit
	start    int64
}

// model watches a proxy with one endpoint: it never admits an attempt beyond what was delivered to the present
// instance, whatever happens to tables, limits, periods and messages.
type model struct {
	*rig
	random   *rand.Rand
	ledger   quota.Ledger
	instance int
	leases   map[leaseKey]*lease
	// under are attempts under way; mail are grants on their way.
	under []*modelAttempt
	mail  [][]quota.Grant
	gone  routing.EndpointSpec // the endpoint while it is in no table
	steps []string
	// admittedOnes are attempts that were admitted out of a grant.
	admittedOnes int
}

type modelAttempt struct {
	*Attempt
	// set are the amounts that the model has set aside, by limit, and whose they are.
	leases [lentCount]*lease
	set    [lentCount]int64
}

func (m *model) note(format string, arguments ...any) {
	m.steps = append(m.steps, fmt.Sprintf("%s %s", moment(m.now).Format("15:04:05"), fmt.Sprintf(format, arguments...)))
}

func (m *model) spec() *routing.EndpointSpec { return &m.input.Endpoints[0] }

func (m *model) lease(limit quota.Limit, start int64) *lease {
	key := leaseKey{m.instance, limit, start}
	if m.leases[key] == nil {
		m.leases[key] = &lease{}
	}
	return m.leases[key]
}

// amounts are the limits of the spec.
func (m *model) amount(limit quota.Limit) int64 { return limitOf(limit).Of(&m.spec().Limits) }

// begin tries an attempt, and holds what came of it against the leases.
func (m *model) begin() {
	if len(m.input.Endpoints) == 0 {
		return
	}
	need := [lentCount]int64{quota.Requests: 1, quota.Tokens: 1 + m.random.Int64N(80)}
	a, no := m.tries(need[quota.Tokens], 0)
	m.note("begin for %d tokens: %+v", need[quota.Tokens], no)
	if no.Limit != 0 {
		return
	}
	under := &modelAttempt{Attempt: a}
	for _, limit := range []quota.Limit{quota.Requests, quota.Tokens} {
		l := m.lease(limit, a.quota.start)
		under.leases[limit] = l
		free := l.granted - l.returned - l.used
		if amount := m.amount(limit); amount > 0 {
			// The rest of a limit may be less than what is needed.
			if n := min(need[limit], amount); limit == quota.Requests && free < n || free <= 0 {
				m.fail("%s: admitted for %d with %d free of %+v", limit, n, free, *l)
			}
			under.set[limit] = min(need[limit], amount, free)
			m.admittedOnes++
		} else if limit == quota.Requests {
			under.set[limit] = 1
		}
		l.used += under.set[limit]
	}
	m.under = append(m.under, under)
}

func (m *model) fail(format string, arguments ...any) {
	m.Helper()
	m.Fatalf("%s\n%v", fmt.Sprintf(format, arguments...), m.steps[max(0, len(m.steps)-60):])
}

// end ends one of the attempts under way, somehow.
func (m *model) end() {
	if len(m.under) == 0 {
		return
	}
	at := m.random.IntN(len(m.under))
	a := m.under[at]
	m.under = slices.Delete(m.under, at, at+1)
	tokens := a.leases[quota.Tokens]
	now := a.quota.purses.Load()
	// The purse may have come while the attempt was under way: nobody knows then whether it counts it.
	known := a.held.purses[quota.Requests] != nil || now == nil || now[quota.Requests] == nil
	if a.life != m.r.lives.Load() {
		known = a.held.purses[quota.Requests] != nil
	}
	switch m.random.IntN(4) {
	case 0:
		m.note("end with nothing sent")
		a.Refund()
		m.rig.fail(a.Attempt)
		if known {
			a.leases[quota.Requests].used--
		}
		tokens.used -= a.set[quota.Tokens]
	case 1:
		m.note("end with an error")
		m.rig.fail(a.Attempt)
		tokens.used -= a.set[quota.Tokens]
	default:
		used := m.random.Int64N(100)
		m.note("end with %d tokens", used)
		a.Settle(modelstate.Tokens{Input: used / 2, Output: used - used/2}, 0, false)
		m.succeed(a.Attempt)
		tokens.used += used - a.set[quota.Tokens]
	}
}

// report brings what the proxy says to the ledger, and the answer into the mail.
func (m *model) report() {
	asks := m.asks()
	for _, a := range asks {
		l := m.lease(a.Limit, a.Start.UnixNano())
		l.returned = max(l.returned, a.Returned)
	}
	period := m.spec0().QuotaPeriod
	now := moment(m.now)
	start, end := period.Start(now), period.Next(now)
	var terms []quota.Term
	for _, limit := range []quota.Limit{quota.Requests, quota.Tokens} {
		if amount := m.amount0(limit); amount > 0 {
			terms = append(terms, quota.Terms(limit, amount, period.Start(start.Add(-time.Second)), start, end, period.Next(end), now)...)
		}
	}
	me := fmt.Sprint("instance ", m.instance)
	d := m.ledger.Decide(terms, func(key quota.Key) []quota.Party {
		p := quota.Party{Instance: me}
		for i := range asks {
			if asks[i].Limit == key.Limit && asks[i].Start.Equal(key.Start) {
				p.Ask = &asks[i]
			}
		}
		return []quota.Party{p}
	}, now)
	m.ledger = d.Ledger
	var grants []quota.Grant
	for i := range m.ledger.Accounts {
		account := &m.ledger.Accounts[i]
		for j := range account.Leases {
			if account.Leases[j].Instance == me {
				grants = append(grants, account.Grant(&account.Leases[j]))
			}
		}
	}
	m.note("report %+v, granted %+v", asks, grants)
	m.mail = append(m.mail, grants)
}

// spec0 and amount0 are what the operator knows while the proxy's table is without the endpoint.
func (m *model) spec0() *routing.EndpointSpec {
	if len(m.input.Endpoints) > 0 {
		return m.spec()
	}
	return &m.gone
}

func (m *model) amount0(limit quota.Limit) int64 { return limitOf(limit).Of(&m.spec0().Limits) }

// deliver takes one of the letters: they come late, twice, in any order, or never.
func (m *model) deliver() {
	if len(m.mail) == 0 {
		return
	}
	at := m.random.IntN(len(m.mail))
	grants := m.mail[at]
	if m.random.IntN(3) > 0 {
		m.mail = slices.Delete(m.mail, at, at+1)
	}
	for _, g := range grants {
		l := m.lease(g.Limit, g.Start.UnixNano())
		l.granted = max(l.granted, g.Granted)
	}
	m.note("deliver %+v", grants)
	m.lend(slices.Clone(grants)...)
}

// change changes the table.
func (m *model) change() {
	if len(m.input.Endpoints) == 0 {
		m.input.Endpoints = []routing.EndpointSpec{m.gone}
		m.note("the endpoint is back")
		m.bind()
		return
	}
	s := m.spec()
	switch m.random.IntN(6) {
	case 0:
		m.gone = *s
		m.input.Endpoints = nil
		m.forget()
	case 1:
		s.URL = fmt.Sprintf("https://%d.example.com/v1", m.random.IntN(3))
	case 2:
		s.QuotaPeriod.Unit = []calendar.Unit{calendar.Hourly, calendar.Daily}[m.random.IntN(2)]
	default:
		s.Limits.Requests, s.Limits.Tokens = m.random.Int64N(3)*20, m.random.Int64N(3)*500
	}
	m.note("the table has %+v", m.input.Endpoints)
	m.bind()
}

// forget drops what was used without a limit: it goes with the books when the endpoint leaves the table.
func (m *model) forget() {
	for key := range m.leases {
		if w := m.r.wallets["uid-a"]; w == nil || w.entries[account{key.limit, key.start}] == nil {
			m.leases[key] = &lease{}
		}
	}
}

func (m *model) step() {
	switch m.random.IntN(16) {
	case 0, 1, 2, 3, 4:
		m.begin()
	case 5, 6, 7:
		m.end()
	case 8, 9:
		m.report()
	case 10, 11:
		m.deliver()
	case 12:
		m.pass(time.Duration(m.random.IntN(20)) * time.Second)
	case 13:
		m.pass(time.Duration(m.random.IntN(20)) * time.Minute)
	case 14:
		if m.random.IntN(3) == 0 {
			m.change()
		}
	case 15:
		if m.random.IntN(20) == 0 {
			m.note("disowned")
			m.instance++
			m.mail = nil
			m.r.Disowned()
		}
	}
}

// Whatever happens: an attempt is admitted only out of what was delivered to this instance for this period, and is
// not used, set aside or given back.
func TestNothingIsAdmittedBeyondWhatWasGranted(t *testing.T) {
	admitted := 0
	for seed := range uint64(150) {
		m := &model{rig: newRig(t, "a", limits(routing.Limits{Requests: 20, Tokens: 500})), random: rand.New(rand.NewPCG(seed, 0)), leases: map[leaseKey]*lease{}}
		m.note("seed %d", seed)
		for range 600 {
			m.step()
		}
		for len(m.under) > 0 {
			m.end()
		}
		admitted += m.admittedOnes
		for key, l := range m.leases { // what the purses think is what the model thinks, but for the safe side
			w := m.r.wallets["uid-a"]
			if w == nil || key.instance != m.instance {
				continue
			}
			if e := w.entries[account{key.limit, key.start}]; e != nil {
				if r := e.purse.Read(); r.Free > l.granted-l.returned-l.used {
					m.fail("%+v has %d free, by the model %+v", key, r.Free, *l)
				}
			}
		}
	}
	if admitted < 150 {
		t.Errorf("%d attempts were admitted out of a grant: too few to learn from", admitted)
	}
}

// Many attempts at once, while grants come, tables and limits change, reports are made and the instance is lost:
// of no instance's grant is more used than there was, and in the end nothing is set aside any more.
func TestManyAttemptsAtOnceStayWithinTheirGrants(t *testing.T) {
	const workers, rounds, lifetimes = 8, 3000, 4
	x := newRig(t, "a", limits(routing.Limits{Requests: 1_000_000, Tokens: 100_000_000, RequestsPerMinute: 1_000_000_000, ConcurrentRequests: 1000}))
	e, from := x.view.Endpoint(0), x.now
	today := x.today()
	stop := make(chan struct{})
	var around, attempts sync.WaitGroup
	var granted atomic.Int64 // over all lifetimes
	around.Go(func() {
		for round := int64(1); ; round++ {
			select {
			case <-stop:
				return
			default:
			}
			in := x.input
			in.Endpoints = slices.Clone(in.Endpoints)
			in.Endpoints[0].Limits.Tokens += round
			x.r.Bind(routing.Build(in))
			x.r.Asks(moment(from), interval)
			if round%50 == 0 && round/50 < lifetimes {
				x.r.Disowned()
			}
			life := min(round/50, lifetimes-1)
			n := (round - 50*life) * 20
			granted.Store(max(granted.Load(), life*1000+n)) // 50 rounds of 20 in each but the last
			x.r.Granted([]quota.EndpointGrant{{Endpoint: quota.Endpoint{UID: "uid-a"}, Grants: []quota.Grant{
				{Key: quota.Key{Limit: quota.Requests, Start: today}, Granted: n},
				{Key: quota.Key{Limit: quota.Tokens, Start: today}, Granted: 100 * n},
			}}}, 1, moment(from))
			e.ReadLimits(from)
		}
	})
	var admitted, tokens atomic.Int64
	for w := range workers {
		attempts.Go(func() {
			for i := range rounds {
				a, no := e.Begin(from+int64(i), uint64(w*rounds+i), Need{Tokens: 100})
				if no.Limit != 0 {
					continue
				}
				switch i % 4 {
				case 0:
					a.Refund()
					a.Failure(from, Unconnected, "")
				case 1:
					admitted.Add(1)
					a.Failure(from, BadAnswer, "")
				default:
					admitted.Add(1)
					a.Settle(modelstate.Tokens{Input: 20, Output: 60}, 0, false)
					tokens.Add(80)
					a.Success(from, from, 0, 0)
				}
			}
		})
	}
	attempts.Wait()
	close(stop)
	around.Wait()
	if n := admitted.Load(); n == 0 || n > granted.Load() {
		t.Errorf("%d were admitted out of %d", n, granted.Load())
	}
	if n := x.r.Numbers(moment(from)); admitted.Load() != n[0].Quota[0].Requests || tokens.Load() != n[0].Quota[0].Tokens.Total() {
		t.Errorf("the books have %+v", n[0].Quota)
	}
	w := x.r.wallets["uid-a"]
	if n := w.rates.concurrent.Load(); n != 0 {
		t.Errorf("%d attempts are still under way", n)
	}
	requests := w.entries[account{quota.Requests, nanos(today)}].purse.Read()
	spent := w.entries[account{quota.Tokens, nanos(today)}].purse.Read().Spent
	if requests.Spent > admitted.Load() || spent != tokens.Load() && spent > 80*requests.Spent {
		t.Errorf("%d requests and %d tokens are spent, of %d and %d", requests.Spent, spent, admitted.Load(), tokens.Load())
	}
}

// BenchmarkLimitedAttempt is what an attempt costs at an endpoint with every limit there is.
func BenchmarkLimitedAttempt(b *testing.B) {
	e, now := benchmarkLimited(b)
	b.ReportAllocs()
	for b.Loop() {
		now += int64(time.Millisecond)
		a, no := e.Begin(now, 1, Need{Tokens: 200, Cost: 2000})
		if no.Limit != 0 {
			b.Fatalf("%+v", no)
		}
		a.Settle(modelstate.Tokens{Input: 100, Output: 100}, 1000, false)
		a.Answered(100)
		a.Success(now, now, time.Second, 2*time.Second)
	}
}

func BenchmarkLimitedAttemptParallel(b *testing.B) {
	e, now := benchmarkLimited(b)
	var clock atomic.Int64
	clock.Store(now)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			now := clock.Add(int64(time.Microsecond)) // who is held up must not fall behind by more than a rate saves
			a, no := e.Begin(now, 1, Need{Tokens: 200, Cost: 2000})
			if no.Limit != 0 {
				b.Fatalf("%+v", no)
			}
			a.Settle(modelstate.Tokens{Input: 100, Output: 100}, 1000, false)
			a.Success(now, now, time.Second, 2*time.Second)
		}
	})
}

// BenchmarkRefused is what it costs to pass over an endpoint whose purse is empty.
func BenchmarkRefused(b *testing.B) {
	e, now := benchmarkLimited(b)
	e.registry.Disowned()
	b.ReportAllocs()
	for b.Loop() {
		now += int64(time.Microsecond)
		if _, no := e.Begin(now, 1, Need{Tokens: 200, Cost: 2000}); no.Limit == 0 {
			b.Fatal("admitted")
		}
	}
}

// benchmarkLimited has an endpoint with every limit, and has been granted more than a benchmark uses.
func benchmarkLimited(b *testing.B) (*Endpoint, int64) {
	b.Helper()
	r := NewRegistry(nil)
	period := calendar.Period{Unit: calendar.Monthly}
	v := r.Bind(routing.Build(routing.Input{
		Endpoints: []routing.EndpointSpec{{
			Key: routing.Key{Namespace: "n", Name: "a"}, UID: "a", URL: "https://a.example.com", Model: "m",
			Capabilities: []string{"chat-completion"}, Delivery: routing.Synchronous, QuotaPeriod: period, BudgetPeriod: period,
			Limits: routing.Limits{
				Requests: 1 << 50, Tokens: 1 << 50, Budget: 1 << 50,
				RequestsPerMinute: 1_000_000_000, TokensPerMinute: 10_000_000_000, ConcurrentRequests: 1 << 20,
			},
		}},
	}))
	now := start.UnixNano()
	if _, no := v.Endpoint(0).Begin(now, 1, Need{Tokens: 1, Cost: 1}); no.Limit == 0 {
		b.Fatal("admitted without a grant")
	}
	var grants []quota.Grant
	for _, of := range lent {
		grants = append(grants, quota.Grant{Key: quota.Key{Limit: of.quota, Start: period.Start(start)}, Granted: 1 << 50})
	}
	r.Granted([]quota.EndpointGrant{{Endpoint: quota.Endpoint{UID: "a"}, Grants: grants}}, 1, start)
	return v.Endpoint(0), now
}
