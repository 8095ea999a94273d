// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package health

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/turnout-ai/turnout/internal/calendar"
	"github.com/turnout-ai/turnout/internal/modelstate"
	"github.com/turnout-ai/turnout/internal/routing"
)

// Many attempts of every kind at once, while states come, tables change and reports are made: nothing is lost
// and nothing is counted twice.
func TestManyAttemptsAtOnceLoseNothing(t *testing.T) {
	const workers, rounds = 8, 2000
	x := newRig(t, "a", func(in *routing.Input) { in.Policies[0].Unit.ErrorRate = 100_000 })
	e := x.view.Endpoint(0)
	from := x.now
	stop := make(chan struct{})
	var around, attempts sync.WaitGroup
	around.Go(func() { hammerAround(x, from, stop) })
	var successes, failures, estimated, requests, tokens atomic.Int64
	for w := range workers {
		attempts.Go(func() {
			for i := range rounds {
				now := from + int64(i)*int64(10*time.Millisecond)
				a, _ := e.Begin(now, uint64(w*rounds+i), Need{})
				requests.Add(1)
				switch i % 8 {
				case 0:
					a.Refund()
					requests.Add(-1)
					a.Failure(now, Unconnected, "refused")
					failures.Add(1)
				case 1:
					a.Settle(modelstate.Tokens{Input: 3}, 5, true)
					tokens.Add(3)
					estimated.Add(1)
					a.Neutral(now, false)
				case 2:
					a.RateLimited(now, time.Duration(i)*time.Millisecond)
				case 3:
					a.Said(now, modelstate.QuotaExhausted, 0, "spent")
				default:
					a.Settle(modelstate.Tokens{Input: 10, Output: 1}, 7, false)
					tokens.Add(11)
					a.Success(now, now, time.Millisecond, time.Second)
					successes.Add(1)
				}
			}
		})
	}
	attempts.Wait()
	close(stop)
	around.Wait()

	n := x.r.Numbers(moment(from))[0]
	u := n.Quota[0]
	if u.Requests != requests.Load() || u.Estimated.Requests != estimated.Load() || u.Tokens.Input+u.Tokens.Output != tokens.Load() ||
		u.Cost != 7*successes.Load()+5*estimated.Load() || u != n.Budget[0] {
		t.Errorf("quota %+v, budget %+v; want %d requests, %d tokens, %d estimates", u, n.Budget[0], requests.Load(), tokens.Load(), estimated.Load())
	}
	var w modelstate.Rate
	for _, b := range n.Window {
		w.Attempts += b.Attempts
		w.Failures += b.Failures
	}
	if w.Attempts != successes.Load()+failures.Load() || w.Failures != failures.Load() {
		t.Errorf("the window has %+v, want %d of %d", w, failures.Load(), successes.Load()+failures.Load())
	}
	if n.Total.Count() != successes.Load() || n.FirstToken.Count() != successes.Load() {
		t.Errorf("%d latencies for %d successes", n.Total.Count(), successes.Load())
	}
	current := e.era.Load()
	if e.inFlight.Load() != 0 || current.probing.Load() != 0 {
		t.Errorf("%d are in flight, %d of them on trial, want none", e.inFlight.Load(), current.probing.Load())
	}
	if asked := time.Duration(e.askedUntil.Load() - from); asked < (rounds-8)*10*time.Millisecond {
		t.Errorf("asked until %s after the start, want that of the latest wish", asked)
	}
}

// hammerAround does what goes on beside the requests.
func hammerAround(x *rig, from int64, stop chan struct{}) {
	var lastRequests, lastTokens int64
	for round := int64(1); ; round++ {
		select {
		case <-stop:
			return
		default:
		}
		epoch := min(round/8, 15) // no more than a window keeps apart
		s := modelstate.State{Epoch: epoch, Configuration: "1", Withdrawn: epoch%5 == 0}
		switch epoch % 3 {
		case 1:
			s.Trial = &modelstate.Trial{Since: moment(from), InitialPercent: 50, Ramp: time.Second, Successes: 3}
		case 2:
			s.Verdicts = []modelstate.Verdict{{Reason: modelstate.ErrorThreshold, Until: moment(from).Add(time.Minute), Trial: true}}
			s.Evidence = modelstate.Basis{Epoch: epoch - 1, Time: moment(from)}
		}
		x.r.SetFleet(map[string]modelstate.State{"uid-a": s})
		x.r.Bind(routing.Build(x.input))
		x.r.Signals(moment(from))
		x.view.Standing(0, from+round)
		x.view.TakeTrial(0, from+round)
		x.view.Endpoint(0).Read(from)
		for _, n := range x.r.Numbers(moment(from)) {
			u := n.Quota[0]
			if u.Tokens.Input < lastTokens || u.Requests < lastRequests-100 || u.Estimated.Requests > u.Requests {
				x.Errorf("numbers go back, or are more than there is: %+v", u)
			}
			lastTokens, lastRequests = u.Tokens.Input, u.Requests
		}
	}
}

// What one success among failures forgives must not depend on who comes first.
func TestASuccessAndFailuresAtOnceAgreeOnTheStreak(t *testing.T) {
	x := newRig(t, "a", nil)
	e := x.view.Endpoint(0)
	for range 200 {
		var both sync.WaitGroup
		x.pass(time.Second)
		failed, worked := x.begin(0), x.begin(0)
		both.Go(func() { failed.Failure(x.now, BadAnswer, "") })
		both.Go(func() { worked.Success(x.now+1, x.now+1, 0, 0) })
		both.Wait()
		current := e.era.Load()
		if got := current.failures.Load(); got > 1 || got != current.streak.failures {
			t.Fatalf("a streak of %d, by its list %d", got, current.streak.failures)
		}
		x.pass(time.Second)
		x.succeed(x.begin(0))
		if got := current.failures.Load(); got != 0 {
			t.Fatalf("a streak of %d after a success", got)
		}
	}
}

func TestMaintenanceBarsByTheClock(t *testing.T) {
	window, err := calendar.ParseWindow("0 12 * * *", time.Hour, "")
	if err != nil {
		t.Fatal(err)
	}
	x := newRig(t, "a", func(in *routing.Input) { in.Endpoints[0].Maintenance = []calendar.Window{window} })
	noon := time.Date(2026, 5, 17, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		at   time.Time
		want string
	}{
		{noon.Add(-time.Second), "InService"},
		{noon, "Barred MaintenanceWindow 1h0m0s"},
		{noon.Add(59 * time.Minute), "Barred MaintenanceWindow 1m0s"},
		{noon.Add(time.Hour), "InService"},
		{noon.Add(24 * time.Hour), "Barred MaintenanceWindow 1h0m0s"},
	} {
		x.now = c.at.UnixNano()
		for range 2 { // the second answer is a remembered one
			if got := x.stands(); got != c.want {
				t.Errorf("at %s: %s, want %s", c.at.Format(time.TimeOnly), got, c.want)
			}
		}
	}
	x.tell(modelstate.State{Epoch: 1, Verdicts: []modelstate.Verdict{{Reason: modelstate.MaintenanceWindow, Until: noon.Add(48 * time.Hour)}}})
	x.now = noon.Add(-time.Minute).UnixNano()
	x.bind()
	if got := x.stands(); got != "InService" {
		t.Errorf("%s: maintenance goes by this proxy's own clock", got)
	}
}

// benchmarkRig has one endpoint in service.
func benchmarkRig() *View {
	r := NewRegistry(nil)
	return r.Bind(routing.Build(routing.Input{
		Endpoints: []routing.EndpointSpec{{
			Key: routing.Key{Namespace: "n", Name: "a"}, UID: "a", URL: "https://a.example.com", Model: "m",
			Capabilities: []string{"chat-completion"}, Delivery: routing.Synchronous,
			QuotaPeriod: calendar.Period{Unit: calendar.Monthly}, BudgetPeriod: calendar.Period{Unit: calendar.Monthly},
		}},
	}))
}

// BenchmarkAttempt is everything that an attempt that works costs here.
func BenchmarkAttempt(b *testing.B) {
	v := benchmarkRig()
	e, now := v.Endpoint(0), start.UnixNano()
	b.ReportAllocs()
	for b.Loop() {
		now += int64(time.Millisecond)
		if v.Standing(0, now).Kind != routing.InService {
			b.Fatal("it does not work")
		}
		a, _ := e.Begin(now, 1, Need{})
		a.Settle(modelstate.Tokens{Input: 100, Output: 100}, 1000, false)
		a.Success(now, now, time.Second, 2*time.Second)
	}
}

func BenchmarkAttemptParallel(b *testing.B) {
	v := benchmarkRig()
	e := v.Endpoint(0)
	var clock atomic.Int64
	clock.Store(start.UnixNano())
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			now := clock.Add(int64(time.Millisecond))
			a, _ := e.Begin(now, 1, Need{})
			a.Settle(modelstate.Tokens{Input: 100, Output: 100}, 1000, false)
			a.Success(now, now, time.Second, 2*time.Second)
		}
	})
}

func BenchmarkStandingOnTrial(b *testing.B) {
	v := benchmarkRig()
	v.Endpoint(0).registry.SetFleet(map[string]modelstate.State{
		"a": {Epoch: 1, Trial: &modelstate.Trial{Since: start, InitialPercent: 10, Ramp: time.Minute, Successes: 3}},
	})
	now := start.UnixNano()
	b.ReportAllocs()
	for b.Loop() {
		if v.Standing(0, now).Kind != routing.OnTrial {
			b.Fatal("not on trial")
		}
		v.TakeTrial(0, now)
	}
}
