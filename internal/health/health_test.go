// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package health

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/turnout-ai/turnout/internal/calendar"
	"github.com/turnout-ai/turnout/internal/modelstate"
	"github.com/turnout-ai/turnout/internal/routing"
)

const second = int64(time.Second)

// start is a moment that is no round number of anything.
var start = time.Date(2026, 5, 17, 10, 3, 7, 123456000, time.UTC)

// rig is a registry with endpoints a, b, … of providers of the same names, all in one policy, and a clock.
type rig struct {
	*testing.T
	r       *Registry
	view    *View
	input   routing.Input
	now     int64
	request uint64
	log     strings.Builder
}

func newRig(t *testing.T, names string, change func(*routing.Input)) *rig {
	x := &rig{T: t, now: start.UnixNano()}
	x.r = NewRegistry(slog.New(slog.NewTextHandler(&x.log, nil)))
	unit := modelstate.DefaultUnit
	unit.Policy = "p"
	x.input.Policies = []routing.PolicySpec{{
		Key: routing.Key{Namespace: "n", Name: "p"}, UID: "p", Models: []string{"chat"}, Attempts: 1, Unit: unit,
		Tiers: []routing.TierSpec{{Endpoints: strings.Fields(names), Strategy: routing.RoundRobin}},
	}}
	for name := range strings.FieldsSeq(names) {
		x.input.Endpoints = append(x.input.Endpoints, routing.EndpointSpec{
			Key: routing.Key{Namespace: "n", Name: name}, UID: "uid-" + name, Provider: name, Format: routing.FormatOpenAI,
			URL: "https://" + name + ".example.com/v1", Model: "m", Configuration: "1",
			Capabilities: []string{"chat-completion"}, Delivery: routing.Synchronous,
			Credential:  routing.Credential{Header: "Authorization", Value: "Bearer 1"},
			QuotaPeriod: calendar.Period{Unit: calendar.Daily}, BudgetPeriod: calendar.Period{Unit: calendar.Daily},
		})
	}
	if change != nil {
		change(&x.input)
	}
	x.bind()
	return x
}

func (x *rig) bind() { x.view = x.r.Bind(routing.Build(x.input)) }

// pass lets time pass.
func (x *rig) pass(d time.Duration) { x.now += int64(d) }

// begin begins an attempt of another request at the endpoint with that index.
func (x *rig) begin(index int) *Attempt {
	x.request++
	a, _ := x.view.Endpoint(index).Begin(x.now, x.request, Need{})
	return &a
}

func (x *rig) fail(a *Attempt)    { a.Failure(x.now, ServerError, "503 from a.example.com") }
func (x *rig) succeed(a *Attempt) { a.Success(x.now, x.now, 0, time.Second) }

// fails makes so many attempts that fail, a millisecond apart.
func (x *rig) fails(n int) {
	for range n {
		x.pass(time.Millisecond)
		x.fail(x.begin(0))
	}
}

func (x *rig) succeeds(n int) {
	for range n {
		x.pass(time.Millisecond)
		x.succeed(x.begin(0))
	}
}

// tell writes a state of endpoint a.
func (x *rig) tell(s modelstate.State) {
	if s.Configuration == "" {
		s.Configuration = "1"
	}
	x.r.SetFleet(map[string]modelstate.State{"uid-a": s})
}

// tripped is a state of the fleet that rests a.
func (x *rig) tripped(epoch int64, rest time.Duration, evidence int64) modelstate.State {
	return modelstate.State{
		Epoch:    epoch,
		Verdicts: []modelstate.Verdict{{Reason: modelstate.ErrorThreshold, Since: moment(x.now), Until: moment(x.now).Add(rest), Trial: true}},
		Evidence: modelstate.Basis{Epoch: epoch - 1, Time: moment(evidence).Truncate(time.Microsecond)},
	}
}

func (x *rig) onTrial(epoch int64) modelstate.State {
	return modelstate.State{Epoch: epoch, Trial: &modelstate.Trial{Since: moment(x.now), InitialPercent: 10, Ramp: 30 * time.Second, Successes: 3}}
}

// urgent reports whether there was an urgent signal since it was last asked.
func (x *rig) urgent() bool {
	select {
	case <-x.r.Urgent():
		return true
	default:
		return false
	}
}

// signal is what is said about a; false when nothing is.
func (x *rig) signal() (modelstate.Signal, bool) {
	signals, _ := x.r.Signals(moment(x.now))
	for _, s := range signals {
		if s.Endpoint == "uid-a" {
			return s, true
		}
	}
	return modelstate.Signal{}, false
}

// stands is how a stands, as "Resting ErrorThreshold 60s".
func (x *rig) stands() string {
	s := x.view.Standing(0, x.now)
	text := [...]string{"InService", "OnTrial", "Resting", "Barred"}[s.Kind]
	if s.Reason != 0 {
		text += " " + s.Reason.String()
	}
	if s.Until != 0 {
		text += " " + time.Duration(s.Until-x.now).Round(time.Second).String()
	}
	return text
}

func TestTheLocalVerdict(t *testing.T) {
	for name, c := range map[string]struct {
		unit    func(*modelstate.Unit)
		happens func(x *rig)
		want    string
	}{
		"nothing has happened":       {happens: func(*rig) {}, want: "InService"},
		"two failures rest nothing":  {happens: func(x *rig) { x.fails(2) }, want: "InService"},
		"three in a row do":          {happens: func(x *rig) { x.fails(3) }, want: "Resting ErrorThreshold 1m0s"},
		"a success in between":       {happens: func(x *rig) { x.fails(2); x.succeeds(1); x.fails(2) }, want: "InService"},
		"a success ends the rest":    {happens: func(x *rig) { x.fails(3); x.succeeds(1) }, want: "InService"},
		"a later failure extends it": {happens: func(x *rig) { x.fails(3); x.pass(30 * time.Second); x.fails(1) }, want: "Resting ErrorThreshold 1m0s"},
		"one request alone rests nothing": {happens: func(x *rig) {
			for range 5 {
				x.request = 0
				x.fails(1)
			}
		}, want: "InService"},
		"after the rest comes a trial":       {happens: func(x *rig) { x.fails(3); x.pass(time.Minute) }, want: "OnTrial ErrorThreshold"},
		"one failure on it rests again":      {happens: func(x *rig) { x.fails(3); x.pass(time.Minute); x.fails(1) }, want: "Resting ErrorThreshold 1m0s"},
		"one success ends it":                {happens: func(x *rig) { x.fails(3); x.pass(time.Minute); x.succeeds(1) }, want: "InService"},
		"a success from before the failures": {happens: func(x *rig) { shown := x.now; a := x.begin(0); x.fails(3); a.Success(x.now, shown, 0, 0) }, want: "Resting ErrorThreshold 1m0s"},
		"a success that showed itself among them leaves those after it": {happens: func(x *rig) {
			a := x.begin(0)
			x.fails(1)
			x.pass(time.Millisecond)
			shown := x.now
			x.fails(2)
			a.Success(x.now, shown, 0, 0)
			if got := x.view.Endpoint(0).Read(x.now).Failures; got != 2 {
				x.Errorf("a streak of %d, want 2", got)
			}
			x.fails(1)
		}, want: "Resting ErrorThreshold 1m0s"},
		"the caller left": {happens: func(x *rig) {
			for range 5 {
				x.begin(0).Neutral(x.now, false)
			}
		}, want: "InService"},
		"half of twenty attempts fail": {
			unit: func(u *modelstate.Unit) { u.ErrorRate, u.ConsecutiveFailures = 500_000, 100 },
			happens: func(x *rig) {
				for range 10 {
					x.succeeds(1)
					x.fails(1)
				}
			}, want: "Resting ErrorThreshold 1m0s",
		},
		"half of nineteen are too few": {
			unit: func(u *modelstate.Unit) { u.ErrorRate, u.ConsecutiveFailures = 500_000, 100 },
			happens: func(x *rig) {
				for range 9 {
					x.succeeds(1)
					x.fails(1)
				}
				x.fails(1)
			}, want: "InService",
		},
		"all attempts of one request": {
			unit: func(u *modelstate.Unit) { u.ErrorRate, u.ConsecutiveFailures = 500_000, 100 },
			happens: func(x *rig) {
				for range 30 {
					x.request = 0
					x.fails(1)
				}
			}, want: "InService",
		},
		"what is older than the window does not count": {
			unit: func(u *modelstate.Unit) { u.ErrorRate, u.ConsecutiveFailures = 500_000, 100 },
			happens: func(x *rig) {
				for range 9 {
					x.succeeds(1)
					x.fails(1)
				}
				x.pass(2 * time.Minute)
				x.succeeds(1)
				x.fails(1)
			}, want: "InService",
		},
		"a success of an attempt from before a rest by error rate does not end it": {
			unit: func(u *modelstate.Unit) { u.ErrorRate, u.ConsecutiveFailures = 500_000, 100 },
			happens: func(x *rig) {
				a := x.begin(0)
				x.pass(time.Second)
				x.succeeds(10)
				x.fails(10)
				x.succeed(a)
			}, want: "Resting ErrorThreshold 1m0s",
		},
		"a provider's wish bars": {happens: func(x *rig) { x.begin(0).RateLimited(x.now, 20*time.Second) }, want: "Barred RateLimited 20s"},
		"a shorter wish does not shorten it": {happens: func(x *rig) {
			x.begin(0).RateLimited(x.now, 20*time.Second)
			x.begin(0).RateLimited(x.now, time.Second)
		}, want: "Barred RateLimited 20s"},
		"an absurd wish is capped":           {happens: func(x *rig) { x.begin(0).RateLimited(x.now, 9999*time.Hour) }, want: "Barred RateLimited 1h0m0s"},
		"a success does not end a wish":      {happens: func(x *rig) { x.begin(0).RateLimited(x.now, 20*time.Second); x.succeeds(1) }, want: "Barred RateLimited 20s"},
		"a wish and a longer rest":           {happens: func(x *rig) { x.begin(0).RateLimited(x.now, 20*time.Second); x.fails(3) }, want: "Barred RateLimited 1m0s"},
		"a refused key bars":                 {happens: func(x *rig) { x.begin(0).Said(x.now, modelstate.ProviderAuthFailure, 0, "401") }, want: "Barred ProviderAuthFailure 1m0s"},
		"for the cooldown":                   {happens: func(x *rig) { x.begin(0).Said(x.now, modelstate.ProviderAuthFailure, 0, "401"); x.pass(time.Minute) }, want: "InService"},
		"a missing model bars":               {happens: func(x *rig) { x.begin(0).Said(x.now, modelstate.ModelNotFound, 0, "404") }, want: "Barred ModelNotFound 1m0s"},
		"a spent quota bars until it resets": {happens: func(x *rig) { x.begin(0).Said(x.now, modelstate.QuotaExhausted, x.now+500*second, "429") }, want: "Barred QuotaExhausted 8m20s"},
		"at most a month and a day":          {happens: func(x *rig) { x.begin(0).Said(x.now, modelstate.QuotaExhausted, 1<<62, "429") }, want: "Barred QuotaExhausted 768h0m0s"},
		"for the cooldown without a reset":   {happens: func(x *rig) { x.begin(0).Said(x.now, modelstate.QuotaExhausted, 0, "429") }, want: "Barred QuotaExhausted 1m0s"},
		"of two statements the first is said": {happens: func(x *rig) {
			x.begin(0).Said(x.now, modelstate.ModelNotFound, 0, "")
			x.begin(0).Said(x.now, modelstate.QuotaExhausted, 0, "")
		}, want: "Barred QuotaExhausted 1m0s"},
		"a success of a later attempt proves a statement wrong": {happens: func(x *rig) {
			x.begin(0).Said(x.now, modelstate.QuotaExhausted, 0, "")
			x.succeeds(1)
		}, want: "InService"},
		"that of an earlier one does not": {happens: func(x *rig) {
			a := x.begin(0)
			x.pass(time.Second)
			x.begin(0).Said(x.now, modelstate.QuotaExhausted, 0, "")
			x.succeed(a)
		}, want: "Barred QuotaExhausted 1m0s"},
	} {
		t.Run(name, func(t *testing.T) {
			x := newRig(t, "a", func(in *routing.Input) {
				if c.unit != nil {
					c.unit(&in.Policies[0].Unit)
				}
			})
			c.happens(x)
			if got := x.stands(); got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
}

func TestEachPolicyIsAUnit(t *testing.T) {
	x := newRig(t, "a", func(in *routing.Input) {
		strict := in.Policies[0]
		strict.Key.Name, strict.UID, strict.Models = "strict", "strict", nil
		strict.Unit.Policy, strict.Unit.ConsecutiveFailures, strict.Unit.Cooldown = "strict", 2, 10*time.Second
		in.Policies = append(in.Policies, strict)
	})
	x.fails(2)
	if got := x.stands(); got != "Resting ErrorThreshold 10s" {
		t.Errorf("%s: the strict policy alone has tripped", got)
	}
	x.fails(1)
	if got := x.stands(); got != "Resting ErrorThreshold 1m0s" {
		t.Errorf("%s: of both the longer cooldown counts", got)
	}
}

func TestASpentQuotaIsExpectedBackAtTheEndOfADeclaredPeriod(t *testing.T) {
	x := newRig(t, "a", func(in *routing.Input) { in.Endpoints[0].QuotaDeclared = true })
	x.begin(0).Said(x.now, modelstate.QuotaExhausted, 0, "429")
	if got := x.stands(); got != "Barred QuotaExhausted 13h56m53s" {
		t.Errorf("%s, want until midnight", got)
	}
}

func TestTheFleetsVerdict(t *testing.T) {
	for name, c := range map[string]struct {
		happens func(x *rig)
		want    string
	}{
		"a verdict is obeyed":             {func(x *rig) { x.tell(x.tripped(2, 30*time.Second, 0)) }, "Resting ErrorThreshold 30s"},
		"one that has run out is a trial": {func(x *rig) { x.tell(x.tripped(2, 30*time.Second, 0)); x.stands(); x.pass(31 * time.Second) }, "OnTrial"},
		"a newer epoch replaces a longer local rest": {
			func(x *rig) { x.tell(modelstate.State{Epoch: 1}); x.fails(3); x.tell(x.tripped(2, 30*time.Second, 0)) },
			"Resting ErrorThreshold 30s",
		},
		"and a streak": {func(x *rig) {
			x.tell(modelstate.State{Epoch: 1})
			x.fails(2)
			x.tell(modelstate.State{Epoch: 2})
			x.fails(2)
		}, "InService"},
		"and a statement": {func(x *rig) {
			x.begin(0).Said(x.now, modelstate.ModelNotFound, 0, "")
			x.tell(modelstate.State{Epoch: 1})
		}, "InService"},
		"not what the provider asked for":         {func(x *rig) { x.begin(0).RateLimited(x.now, 5*time.Second); x.tell(modelstate.State{Epoch: 1}) }, "Barred RateLimited 5s"},
		"the same epoch again replaces nothing":   {func(x *rig) { x.tell(modelstate.State{Epoch: 1}); x.fails(3); x.tell(modelstate.State{Epoch: 1}) }, "Resting ErrorThreshold 1m0s"},
		"an older epoch is passed over":           {func(x *rig) { x.tell(modelstate.State{Epoch: 3}); x.tell(x.tripped(2, time.Hour, 0)) }, "InService"},
		"a withdrawn verdict leaves a local rest": {func(x *rig) { x.fails(3); x.tell(modelstate.State{Epoch: 1, Withdrawn: true}) }, "Resting ErrorThreshold 1m0s"},
		"and makes none":                          {func(x *rig) { x.tell(modelstate.State{Epoch: 1, Withdrawn: true}) }, "InService"},
		"what is about another key says nothing":  {func(x *rig) { s := x.tripped(2, time.Hour, 0); s.Configuration = "2"; x.tell(s) }, "InService"},
		"a failure of an earlier epoch is no news": {func(x *rig) {
			a, b, c := x.begin(0), x.begin(0), x.begin(0)
			x.tell(modelstate.State{Epoch: 1})
			x.fail(a)
			x.fail(b)
			x.fail(c)
		}, "InService"},
		"a failure on trial rests at once": {func(x *rig) { x.tell(x.onTrial(3)); x.fails(1) }, "Resting ErrorThreshold 1m0s"},
		"the worse of both counts": {
			func(x *rig) {
				x.tell(x.tripped(2, 30*time.Second, 0))
				x.begin(0).Said(x.now, modelstate.ModelNotFound, 0, "")
			},
			"Barred ModelNotFound 1m0s",
		},
		"law is not health": {
			func(x *rig) {
				x.tell(modelstate.State{Epoch: 1, Verdicts: []modelstate.Verdict{{Reason: modelstate.BudgetExceeded, Until: moment(x.now).Add(time.Hour)}}})
			},
			"InService",
		},
	} {
		t.Run(name, func(t *testing.T) {
			x := newRig(t, "a", nil)
			c.happens(x)
			if got := x.stands(); got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
}

func TestWhatIsUrgent(t *testing.T) {
	for name, c := range map[string]struct {
		before, happens func(x *rig)
		want            bool
	}{
		"the first failure after a silence":           {nil, func(x *rig) { x.fails(1) }, true},
		"the first failure on a busy endpoint is not": {func(x *rig) { x.succeeds(1) }, func(x *rig) { x.fails(1) }, false},
		"the second in a row":                         {func(x *rig) { x.succeeds(1); x.fails(1) }, func(x *rig) { x.fails(1) }, true},
		"a failure that the fleet knows of is not":    {func(x *rig) { x.tell(x.tripped(2, time.Minute, 0)) }, func(x *rig) { x.fails(3) }, false},
		"nor those while it rests here":               {func(x *rig) { x.fails(3) }, func(x *rig) { x.fails(1) }, false},
		"a failure on trial":                          {func(x *rig) { x.tell(x.onTrial(3)); x.succeeds(1) }, func(x *rig) { x.fails(1) }, true},
		"also when the fleet still shows the reason":  {func(x *rig) { x.tell(x.tripped(2, time.Second, 0)); x.pass(time.Second) }, func(x *rig) { x.fails(1) }, true},
		"the first success on trial":                  {func(x *rig) { x.tell(x.onTrial(3)) }, func(x *rig) { x.succeeds(1) }, true},
		"the second is not":                           {func(x *rig) { x.tell(x.onTrial(3)); x.succeeds(1) }, func(x *rig) { x.succeeds(1) }, false},
		"the third, which may pass it":                {func(x *rig) { x.tell(x.onTrial(3)); x.succeeds(2) }, func(x *rig) { x.succeeds(1) }, true},
		"a success in service is not":                 {nil, func(x *rig) { x.succeeds(3) }, false},
		"a statement":                                 {nil, func(x *rig) { x.begin(0).Said(x.now, modelstate.ModelNotFound, 0, "") }, true},
		"a statement that the fleet shows is not": {func(x *rig) {
			x.tell(modelstate.State{Epoch: 1, Verdicts: []modelstate.Verdict{{Reason: modelstate.ModelNotFound}}})
		}, func(x *rig) { x.begin(0).Said(x.now, modelstate.ModelNotFound, 0, "") }, false},
		"a short wish is not": {nil, func(x *rig) { x.begin(0).RateLimited(x.now, time.Minute) }, false},
		"a long wish":         {nil, func(x *rig) { x.begin(0).RateLimited(x.now, 61*time.Second) }, true},
		"a long wish that the fleet shows is not": {func(x *rig) {
			x.tell(modelstate.State{Epoch: 1, Verdicts: []modelstate.Verdict{{Reason: modelstate.RateLimited, Until: moment(x.now).Add(61 * time.Second)}}})
		}, func(x *rig) { x.begin(0).RateLimited(x.now, 61*time.Second) }, false},
		"a longer one": {func(x *rig) {
			x.tell(modelstate.State{Epoch: 1, Verdicts: []modelstate.Verdict{{Reason: modelstate.RateLimited, Until: moment(x.now).Add(61 * time.Second)}}})
		}, func(x *rig) { x.begin(0).RateLimited(x.now, 90*time.Second) }, true},
		"a success after a verdict that an epoch for another reason has come after": {
			func(x *rig) { x.tell(x.tripped(2, time.Minute, x.now-second)); x.succeeds(1) },
			func(x *rig) { s := x.tripped(3, time.Minute, x.now-second); s.Evidence.Epoch = 1; x.tell(s) }, false,
		},
		"a verdict when a newer success is known":        {func(x *rig) { x.tell(modelstate.State{Epoch: 1}); x.succeeds(1) }, func(x *rig) { x.tell(x.tripped(2, time.Minute, x.now-second)) }, true},
		"not when it is older":                           {func(x *rig) { x.tell(modelstate.State{Epoch: 1}); x.succeeds(1) }, func(x *rig) { x.tell(x.tripped(2, time.Minute, x.now+second)) }, false},
		"not when the verdict is about an earlier epoch": {func(x *rig) { x.tell(modelstate.State{Epoch: 1}); x.succeeds(1); x.tell(modelstate.State{Epoch: 2}) }, func(x *rig) { x.tell(x.tripped(3, time.Minute, x.now-second)) }, false},
		"nor in the microsecond of the failure":          {func(x *rig) { x.tell(modelstate.State{Epoch: 1}); x.pass(time.Microsecond - 1); x.succeed(x.begin(0)) }, func(x *rig) { x.tell(x.tripped(2, time.Minute, x.now)) }, false},
		"a newer success that ends after the verdict":    {func(x *rig) { x.tell(modelstate.State{Epoch: 1}) }, func(x *rig) { a := x.begin(0); x.tell(x.tripped(2, time.Minute, x.now-second)); x.succeed(a) }, true},
		"not one of two epochs before": {func(x *rig) { x.tell(modelstate.State{Epoch: 1}) }, func(x *rig) {
			a := x.begin(0)
			x.tell(modelstate.State{Epoch: 2})
			x.tell(x.tripped(3, time.Minute, x.now-second))
			x.succeed(a)
		}, false},
		"a failure of an earlier epoch is not":            {nil, func(x *rig) { a := x.begin(0); x.tell(modelstate.State{Epoch: 1}); x.fail(a) }, false},
		"a caller that leaves is not":                     {nil, func(x *rig) { x.begin(0).Neutral(x.now, true) }, false},
		"a third failure when the threshold is a hundred": {func(x *rig) { x.input.Policies[0].Unit.ConsecutiveFailures = 100; x.bind(); x.fails(2) }, func(x *rig) { x.fails(1) }, true},
	} {
		t.Run(name, func(t *testing.T) {
			x := newRig(t, "a", nil)
			if c.before != nil {
				c.before(x)
				x.urgent()
			}
			c.happens(x)
			if got := x.urgent(); got != c.want {
				t.Errorf("urgent %v, want %v", got, c.want)
			}
		})
	}
}

func TestWhatASignalSays(t *testing.T) {
	base := modelstate.Signal{Endpoint: "uid-a", Namespace: "n", Name: "a"}
	for name, c := range map[string]struct {
		happens func(x *rig)
		want    func(s *modelstate.Signal, at func(time.Duration) time.Time) // nil: nothing is said
	}{
		"nothing about what works": {func(x *rig) { x.succeeds(3) }, nil},
		"a streak": {func(x *rig) {
			x.succeeds(1)
			x.begin(0).Failure(x.now, Unconnected, "connection refused by a")
			x.fails(1)
			x.begin(0).Failure(x.now, BadAnswer, "page")
		}, func(s *modelstate.Signal, at func(time.Duration) time.Time) {
			s.Failures, s.Requests, s.Connect, s.Outage, s.Message = 3, 3, 1, 2, "page"
			s.Since, s.LastFailure = at(time.Millisecond), at(2*time.Millisecond)
			s.LastSuccess, s.Successes = at(time.Millisecond), 1
		}},
		"a wish": {
			func(x *rig) { x.begin(0).RateLimited(x.now, time.Second) },
			func(s *modelstate.Signal, at func(time.Duration) time.Time) { s.RateLimitedUntil = at(time.Second) },
		},
		"a wish that is over is nothing": {func(x *rig) { x.begin(0).RateLimited(x.now, time.Second); x.pass(time.Second) }, nil},
		"statements, by precedence": {func(x *rig) {
			x.begin(0).Said(x.now, modelstate.ModelNotFound, 0, "404 from a")
			x.begin(0).Said(x.now, modelstate.QuotaExhausted, x.now+second, "429 from a")
		}, func(s *modelstate.Signal, at func(time.Duration) time.Time) {
			s.Statements = []modelstate.Statement{
				{Reason: modelstate.QuotaExhausted, At: at(0), Until: at(time.Second), Message: "429 from a"},
				{Reason: modelstate.ModelNotFound, At: at(0), Message: "404 from a"},
			}
		}},
		"successes on trial": {func(x *rig) { x.tell(x.onTrial(3)); x.succeeds(2) }, func(s *modelstate.Signal, at func(time.Duration) time.Time) {
			s.Epoch, s.Successes, s.LastSuccess = 3, 2, at(2*time.Millisecond)
		}},
		"a newer success than a verdict was made from": {func(x *rig) {
			x.tell(modelstate.State{Epoch: 1})
			x.succeeds(1)
			x.tell(x.tripped(2, time.Minute, x.now-second))
		}, func(s *modelstate.Signal, at func(time.Duration) time.Time) {
			s.Epoch, s.PreviousSuccess = 2, at(time.Millisecond)
		}},
		"nothing of an earlier epoch":       {func(x *rig) { x.fails(3); x.tell(modelstate.State{Epoch: 1}) }, nil},
		"nothing about another key":         {func(x *rig) { x.tell(modelstate.State{Epoch: 1, Configuration: "2"}); x.fails(3) }, nil},
		"nothing that was in flight before": {func(x *rig) { a := x.begin(0); x.tell(modelstate.State{Epoch: 1}); x.fail(a) }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			x := newRig(t, "a", nil)
			from := x.now
			c.happens(x)
			got, said := x.signal()
			if said != (c.want != nil) {
				t.Fatalf("said %v: %+v", said, got)
			}
			if !said {
				return
			}
			want := base
			c.want(&want, func(d time.Duration) time.Time { return moment(from).Add(d) })
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestSignalsComeWorstFirst(t *testing.T) {
	x := newRig(t, "a b c d e", nil)
	x.fails(1)
	x.fail(x.begin(1))
	x.fail(x.begin(1))
	x.begin(2).RateLimited(x.now, time.Minute)
	x.begin(3).Said(x.now, modelstate.ModelNotFound, 0, "")
	x.succeed(x.begin(4))
	signals, _ := x.r.Signals(moment(x.now))
	var order []string
	for _, s := range signals {
		order = append(order, s.Name)
	}
	if diff := cmp.Diff([]string{"d", "b", "a", "c"}, order); diff != "" {
		t.Error(diff)
	}
}

func TestTheShareOfATrial(t *testing.T) {
	x := newRig(t, "a", nil)
	x.tell(x.onTrial(3))
	takes := func(n int) (taken int) {
		for range n {
			if x.view.TakeTrial(0, x.now) {
				taken++
				x.succeed(x.begin(0))
			}
		}
		return taken
	}
	if got := takes(200); got != 20 {
		t.Errorf("%d of 200 requests at 10 %%, want 20", got)
	}
	x.pass(15 * time.Second)
	if got := takes(200); got != 110 {
		t.Errorf("%d of 200 requests at 55 %%, want 110", got)
	}
	x.pass(15 * time.Second)
	if got := takes(200); got != 200 {
		t.Errorf("%d of 200 requests after the ramp, want all", got)
	}
}

func TestUntilTheFirstSuccessOfATrialThereIsOneAttemptAtATime(t *testing.T) {
	for name, trial := range map[string]func(x *rig){
		"of the fleet":                    func(x *rig) { x.tell(x.onTrial(3)); x.pass(time.Minute) },
		"by the clock":                    func(x *rig) { x.tell(x.tripped(2, time.Minute, 0)); x.pass(time.Hour) },
		"after a local rest":              func(x *rig) { x.fails(3); x.pass(time.Hour) },
		"although another one is let out": func(x *rig) { x.tell(x.onTrial(3)); x.pass(time.Minute); x.begin(0).Neutral(x.now, false) },
	} {
		t.Run(name, func(t *testing.T) {
			x := newRig(t, "a", nil)
			trial(x)
			take := func() bool { return x.view.TakeTrial(0, x.now) }
			if !take() || take() {
				t.Fatal("not one request is taken")
			}
			x.pass(2 * time.Second)
			if !take() {
				t.Fatal("a plan that never came to the endpoint keeps its place")
			}
			a := x.begin(0)
			x.pass(time.Hour)
			if take() {
				t.Fatal("a second attempt is made beside the first")
			}
			x.succeed(a)
			for range 2 {
				if !take() {
					t.Error("after a success more are not taken")
				}
			}
		})
	}
}

func TestALongStreamDoesNotHoldUpATrial(t *testing.T) {
	x := newRig(t, "a", nil)
	x.fails(3)
	x.pass(time.Hour)
	take := func() bool { return x.view.TakeTrial(0, x.now) }
	if !take() {
		t.Fatal("no request is taken")
	}
	stream := x.begin(0)
	stream.Shown()
	if !take() || take() {
		t.Fatal("a stream that shows content lets one more go")
	}
	next := x.begin(0)
	if take() {
		t.Fatal("that one has shown nothing yet")
	}
	next.Neutral(x.now, false)
	x.fail(stream)
	if got := x.stands(); got != "Resting ErrorThreshold 1m0s" {
		t.Errorf("%s: a stream on trial that breaks off sends the endpoint back", got)
	}
	x.pass(time.Minute)
	if !take() || take() {
		t.Error("what had ended before counts against the next trial")
	}
}

func TestIsolationIsToldAtOnce(t *testing.T) {
	x := newRig(t, "a b c", nil)
	x.begin(0).Failure(x.now, Unconnected, "")
	x.succeed(x.begin(2)) // c works, and b did a moment ago: its first failure alone is not worth a word
	x.pass(1)
	x.begin(0).Failure(x.now, Unconnected, "")
	x.succeed(x.begin(1))
	x.pass(1)
	x.begin(0).Failure(x.now, Unconnected, "")
	x.urgent()
	x.begin(1).Failure(x.now, Unconnected, "")
	if !x.r.Isolated(moment(x.now)) || !x.urgent() {
		t.Error("the verdict that was sent before stands")
	}
	x.succeed(x.begin(2))
	if !x.urgent() {
		t.Error("nobody is told that it is over")
	}
}

func TestANetworkOfItsOwnIsBlamed(t *testing.T) {
	refuse := func(x *rig, i int) { x.begin(i).Failure(x.now, Unconnected, "connection refused") }
	for name, c := range map[string]struct {
		happens func(x *rig)
		want    bool
	}{
		"two providers cannot be connected to":          {func(x *rig) { refuse(x, 0); x.pass(time.Second); refuse(x, 1) }, true},
		"one provider alone":                            {func(x *rig) { refuse(x, 0); refuse(x, 0); refuse(x, 2) }, false},
		"somebody answered since":                       {func(x *rig) { refuse(x, 0); x.pass(1); x.succeed(x.begin(3)); x.pass(1); refuse(x, 1) }, false},
		"somebody answered before":                      {func(x *rig) { x.succeed(x.begin(3)); x.pass(1); refuse(x, 0); refuse(x, 1) }, true},
		"an error is an answer too":                     {func(x *rig) { refuse(x, 0); refuse(x, 1); x.pass(1); x.fail(x.begin(3)) }, false},
		"a refusal long ago does not count":             {func(x *rig) { refuse(x, 0); x.pass(11 * time.Second); refuse(x, 1) }, false},
		"silence is no news":                            {func(x *rig) { refuse(x, 0); refuse(x, 1); x.pass(time.Hour) }, true},
		"those that fail leave the table":               {func(x *rig) { refuse(x, 0); refuse(x, 1); x.input.Endpoints = x.input.Endpoints[1:]; x.bind() }, false},
		"a connection without an answer is no refusal":  {func(x *rig) { refuse(x, 0); x.pass(1); x.begin(0).Failure(x.now, Unanswered, ""); refuse(x, 1) }, false},
		"a caller that leaves a silent provider is not": {func(x *rig) { refuse(x, 0); refuse(x, 1); x.pass(1); x.begin(3).Neutral(x.now, false) }, true},
	} {
		t.Run(name, func(t *testing.T) {
			x := newRig(t, "a b c d", func(in *routing.Input) { in.Endpoints[2].Provider = "a" })
			c.happens(x)
			signals, isolated := x.r.Signals(moment(x.now))
			if isolated != c.want || isolated != x.r.Isolated(moment(x.now)) {
				t.Errorf("isolated %v, want %v", isolated, c.want)
			}
			if isolated && len(signals) != 0 {
				t.Errorf("it sends verdicts: %+v", signals)
			}
		})
	}
}

func TestIsolationIsLoggedAtEachChangeOnce(t *testing.T) {
	x := newRig(t, "a b", nil)
	for range 3 {
		x.begin(0).Failure(x.now, Unconnected, "")
		x.begin(1).Failure(x.now, Unconnected, "")
		x.pass(time.Second)
		x.r.Signals(moment(x.now))
	}
	if got := x.stands(); !strings.HasPrefix(got, "Resting") {
		t.Errorf("%s: the local rest stays", got)
	}
	x.succeeds(3)
	if n := strings.Count(x.log.String(), "\n"); n != 2 {
		t.Errorf("%d lines, want 2:\n%s", n, x.log.String())
	}
}

func TestHealthOutlivesATableAndNotAnIdentityAndUsageOutlivesBoth(t *testing.T) {
	for name, c := range map[string]struct {
		change   func(*routing.EndpointSpec)
		failures int64
		requests int64
	}{
		"nothing changed":               {func(*routing.EndpointSpec) {}, 2, 3},
		"labels changed":                {func(e *routing.EndpointSpec) { e.Labels = map[string]string{"a": "b"} }, 2, 3},
		"capabilities changed":          {func(e *routing.EndpointSpec) { e.Capabilities = []string{"ocr"} }, 2, 3},
		"it was renamed":                {func(e *routing.EndpointSpec) { e.Key.Name = "b" }, 2, 3},
		"the url changed":               {func(e *routing.EndpointSpec) { e.URL = "https://b.example.com/v1" }, 0, 3},
		"the model changed":             {func(e *routing.EndpointSpec) { e.Model = "n" }, 0, 3},
		"the credential changed":        {func(e *routing.EndpointSpec) { e.Credential.Value = "Bearer 2" }, 0, 3},
		"it was deleted and re-created": {func(e *routing.EndpointSpec) { e.UID = "2" }, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			x := newRig(t, "a", nil)
			x.tell(modelstate.State{Epoch: 4})
			x.fails(2)
			flying := x.begin(0)
			x.view.NextTurn(0)
			c.change(&x.input.Endpoints[0])
			x.bind()
			flying.Settle(modelstate.Tokens{Input: 7, Output: 5}, 3, false)
			x.succeed(flying)
			reading := x.view.Endpoint(0).Read(x.now)
			want := c.failures
			if want != 0 { // the success of what was in flight
				want = 0
			}
			if reading.Failures != want {
				t.Errorf("%d failures are remembered, want %d", reading.Failures, want)
			}
			numbers := x.r.Numbers(moment(x.now))
			if c.requests == 0 {
				if len(numbers) != 0 {
					t.Errorf("the books of a deleted endpoint are kept: %+v", numbers)
				}
				return
			}
			if reading.Epoch != 4 {
				t.Errorf("epoch %d, want 4: the fleet's word is about the object", reading.Epoch)
			}
			u := numbers[0].Quota[0]
			if u.Requests != c.requests || u.Tokens.Input != 7 || u.Tokens.Output != 5 || u.Cost != 3 {
				t.Errorf("usage %+v, want %d requests and what was in flight", u, c.requests)
			}
			if turn := x.view.NextTurn(0); turn != 1 {
				t.Errorf("the next turn is %d, want 1: a new table takes no turn from anybody", turn)
			}
		})
	}
}

func TestAnOldIdentitySaysNothingAboutTheNewOne(t *testing.T) {
	x := newRig(t, "a", nil)
	flying := []*Attempt{x.begin(0), x.begin(0), x.begin(0), x.begin(0)}
	x.input.Endpoints[0].Credential.Value = "Bearer 2"
	x.bind()
	for _, a := range flying[:3] {
		x.fail(a)
	}
	flying[3].Said(x.now, modelstate.ProviderAuthFailure, 0, "401")
	if s, said := x.signal(); said || x.stands() != "InService" {
		t.Errorf("%s, %+v", x.stands(), s)
	}
}

func TestAStateMayComeBeforeItsTable(t *testing.T) {
	x := newRig(t, "b", nil)
	x.tell(x.tripped(2, time.Minute, 0))
	x.r.SetFleet(map[string]modelstate.State{"uid-gone": {Epoch: 1}})
	x.bind()
	y := newRig(t, "a", nil)
	x.input = y.input
	x.bind()
	if got := x.stands(); got != "Resting ErrorThreshold 1m0s" {
		t.Errorf("%s: what was told before is forgotten", got)
	}
	if len(x.r.pending) != 0 {
		t.Errorf("%d states are kept for endpoints that never came", len(x.r.pending))
	}
}

func TestWhatLeftTheTableIsForgotten(t *testing.T) {
	x := newRig(t, "a", nil)
	x.fails(1)
	x.input = routing.Input{}
	x.bind()
	if n := len(x.r.endpoints) + len(x.r.turns) + len(x.r.books) + len(x.r.used); n != 0 {
		t.Errorf("%d things are kept for an empty table", n)
	}
}

func TestAnAttemptSettlesIntoThePeriodItBeganIn(t *testing.T) {
	x := newRig(t, "a", func(in *routing.Input) { in.Endpoints[0].BudgetPeriod = calendar.Period{Unit: calendar.Monthly} })
	midnight := time.Date(2026, 5, 18, 0, 0, 0, 0, time.UTC)
	x.now = midnight.Add(-time.Second).UnixNano()
	before := x.begin(0)
	x.pass(2 * time.Second)
	after := x.begin(0)
	after.Settle(modelstate.Tokens{Input: 1}, 10, false)
	before.Settle(modelstate.Tokens{Input: 2}, 20, true)
	x.succeed(after)
	x.succeed(before)
	n := x.r.Numbers(moment(x.now))[0]
	want := []modelstate.PeriodUsage{
		{Start: midnight.Add(-24 * time.Hour), Usage: modelstate.Usage{
			Requests: 1, Tokens: modelstate.Tokens{Input: 2}, Cost: 20,
			Estimated: modelstate.Estimate{Requests: 1, Tokens: modelstate.Tokens{Input: 2}, Cost: 20},
		}},
		{Start: midnight, Usage: modelstate.Usage{Requests: 1, Tokens: modelstate.Tokens{Input: 1}, Cost: 10}},
	}
	if diff := cmp.Diff(want, n.Quota); diff != "" {
		t.Error(diff)
	}
	var total int64
	for _, p := range n.Budget {
		total += p.Cost
	}
	if total != 30 {
		t.Errorf("the budget's periods have %d, want 30: %+v", total, n.Budget)
	}
}

func TestThreePeriodsAreKept(t *testing.T) {
	x := newRig(t, "a", nil)
	for range 5 {
		x.succeeds(1)
		x.pass(24 * time.Hour)
	}
	n := x.r.Numbers(moment(x.now))[0]
	if len(n.Quota) != 3 || n.Quota[2].Start.Day() != 21 || n.Quota[0].Requests != 1 {
		t.Errorf("%+v", n.Quota)
	}
}

func TestAChangedPeriodOpensAnother(t *testing.T) {
	x := newRig(t, "a", nil)
	x.succeeds(2)
	x.input.Endpoints[0].QuotaPeriod = calendar.Period{Unit: calendar.Daily, Zone: time.FixedZone("east", 3600)}
	x.bind()
	x.succeeds(1)
	n := x.r.Numbers(moment(x.now))[0]
	var total int64
	for _, p := range n.Quota {
		total += p.Requests
	}
	if total != 3 || len(n.Quota) != 2 || n.Quota[0].Start.Hour() != 23 || n.Budget[0].Requests != 3 {
		t.Errorf("quota %+v, budget %+v; want 3 requests in both", n.Quota, n.Budget)
	}
}

func TestWhatWasNotSentIsGivenBack(t *testing.T) {
	x := newRig(t, "a", nil)
	a := x.begin(0)
	a.Refund()
	a.Failure(x.now, Unconnected, "connection refused by a")
	x.succeeds(1)
	n := x.r.Numbers(moment(x.now))[0]
	if n.Quota[0].Requests != 1 || n.Budget[0].Requests != 1 {
		t.Errorf("%+v, want the one that was sent", n.Quota)
	}
	if n.LastFailureMessage != "connection refused by a" || n.Window[0].Attempts != 2 || n.Window[0].Failures != 1 {
		t.Errorf("%+v: the failure counts all the same", n)
	}
}

func TestNumbersAreOfWhatWasUsedInTheOrderOfFirstUse(t *testing.T) {
	x := newRig(t, "a b c d", nil)
	for _, i := range []int{2, 0, 2, 3} {
		x.succeed(x.begin(i))
	}
	var names []string
	for _, n := range x.r.Numbers(moment(x.now)) {
		names = append(names, n.Name)
	}
	if diff := cmp.Diff([]string{"c", "a", "d"}, names); diff != "" {
		t.Error(diff)
	}
}

func TestWhatIsMeasured(t *testing.T) {
	x := newRig(t, "a", nil)
	for i := range 12 {
		x.pass(time.Second)
		x.begin(0).Success(x.now, x.now-second/2, time.Duration(i)*time.Millisecond, time.Duration(i)*time.Second)
	}
	n := x.r.Numbers(moment(x.now))[0]
	if len(n.Recent) != modelstate.MaxSamples || n.Recent[0].Total != 11*time.Second || n.Recent[9].FirstToken != 2*time.Millisecond || !n.Recent[0].At.Equal(moment(x.now)) {
		t.Errorf("%+v, want the newest ten, newest first", n.Recent)
	}
	if n.Total.Count() != 12 || n.FirstToken.Count() != 11 {
		t.Errorf("%d totals and %d first tokens, want 12 and 11: the first came in one piece", n.Total.Count(), n.FirstToken.Count())
	}
	if !n.LastRequest.Equal(moment(x.now - second/2)) {
		t.Errorf("last request %s, want when it showed itself", n.LastRequest)
	}
	x.pass(2 * time.Minute)
	if n := x.r.Numbers(moment(x.now))[0]; n.Total.Count() != 12 {
		t.Error("two minutes later the latencies are gone")
	}
	x.pass(4 * time.Minute)
	x.succeeds(1)
	if n := x.r.Numbers(moment(x.now))[0]; n.Total.Count() != 1 || len(n.Window) != 1 {
		t.Errorf("%d latencies and %d buckets are kept after five minutes, want 1", n.Total.Count(), len(n.Window))
	}
}

func TestTheWindowIsByEpoch(t *testing.T) {
	x := newRig(t, "a", nil)
	x.now = start.Truncate(modelstate.BucketLength).UnixNano()
	old, older := x.begin(0), x.begin(0)
	x.succeeds(1)
	x.tell(modelstate.State{Epoch: 1})
	x.fails(1)
	x.fail(old)
	x.pass(modelstate.BucketLength)
	x.succeed(older)
	x.succeeds(1)
	at := func(n int) time.Time {
		return start.Truncate(modelstate.BucketLength).Add(time.Duration(n) * modelstate.BucketLength)
	}
	want := []modelstate.Bucket{
		{Start: at(0), Epoch: 0, Attempts: 2, Failures: 1},
		{Start: at(0), Epoch: 1, Attempts: 1, Failures: 1},
		{Start: at(1), Epoch: 0, Attempts: 1},
		{Start: at(1), Epoch: 1, Attempts: 1},
	}
	if diff := cmp.Diff(want, x.r.Numbers(moment(x.now))[0].Window); diff != "" {
		t.Error(diff)
	}
	for i := range 300 {
		x.tell(modelstate.State{Epoch: int64(i + 2)})
		x.succeeds(1)
	}
	if n := len(x.view.Endpoint(0).window.kept); n > keptBuckets {
		t.Errorf("%d buckets are kept, want at most %d", n, keptBuckets)
	}
}

func TestALongStreakIsForgivenAsFarAsItIsKnown(t *testing.T) {
	var s streak
	for i := range 100 {
		s.add(failure{at: int64(i + 1), request: uint64(i), class: Unconnected}, fmt.Sprint(i))
	}
	if s.failures != 100 || s.requests != 100 || s.connect != 100 || len(s.kept) != keptFailures {
		t.Fatalf("%+v", s)
	}
	for _, c := range []struct{ shown, failures, since int64 }{{0, 100, 1}, {50, 16, 85}, {90, 10, 91}, {99, 1, 100}, {100, 0, 0}} {
		s.forgive(c.shown)
		if s.failures != c.failures || s.since != c.since {
			t.Errorf("a success at %d leaves %d failures since %d, want %d since %d", c.shown, s.failures, s.since, c.failures, c.since)
		}
	}
}
