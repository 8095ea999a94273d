// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package modelstate_test

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	. "github.com/turnout-ai/turnout/internal/modelstate"
)

// history is a random life of one endpoint: proxies that make attempts and learn of epochs late, and now and
// then news of every other kind.
type history struct {
	*rand.Rand
	now     time.Time
	in      Input
	proxies []Signal
}

func newHistory(seed uint64) *history {
	h := &history{Rand: rand.New(rand.NewPCG(seed, 0x7374617465)), now: noon}
	h.in = Input{Configuration: "c1", Units: h.units()}
	for i := range 1 + h.IntN(4) {
		h.proxies = append(h.proxies, Signal{Proxy: fmt.Sprintf("proxy-%d", i)})
	}
	return h
}

// chance is true once in n.
func (h *history) chance(n int) bool { return h.IntN(n) == 0 }

// span is a random length of time up to so many seconds, in microseconds.
func (h *history) span(seconds int) time.Duration {
	if h.chance(3) {
		return time.Duration(h.IntN(seconds+1)) * time.Second
	}
	return time.Duration(h.IntN(seconds*1e6+1)) * time.Microsecond
}

func (h *history) units() []Unit {
	if h.chance(3) {
		return []Unit{DefaultUnit}
	}
	var units []Unit
	for _, name := range []string{"chat", "code", "embed"}[:1+h.IntN(3)] {
		u := Unit{
			Policy: name, ConsecutiveFailures: int64(2 + h.IntN(4)), MinimumRequests: int64(5 * h.IntN(4)), Window: time.Minute,
			RestToStandby: time.Duration(h.IntN(120)) * time.Second, Cooldown: time.Duration(1+h.IntN(90)) * time.Second,
			MaxRetryAfter:  time.Duration(1+h.IntN(3600)) * time.Second,
			InitialPercent: 1 + h.IntN(100), Ramp: time.Duration(h.IntN(40)) * time.Second, Successes: 1 + h.IntN(4),
		}
		u.MaxCooldown = u.Cooldown + time.Duration(h.IntN(600))*time.Second
		if h.chance(3) {
			u.ErrorRate = int64(1 + h.IntN(1_000_000))
		}
		units = append(units, u)
	}
	return units
}

// step lets some time pass and something happen.
func (h *history) step(s *State) {
	h.now = h.now.Add(h.span([]int{1, 5, 60, 400}[h.IntN(4)]))
	for range h.IntN(6) {
		h.attempt(&h.proxies[h.IntN(len(h.proxies))], s)
	}
	h.in.Evidence.Signals = slices.Clone(h.proxies)
	h.in.Evidence.Busy = nil
	for _, p := range h.proxies {
		if h.chance(2) {
			h.in.Evidence.Busy = append(h.in.Evidence.Busy, p.Proxy)
		}
	}
	h.in.Evidence.Window, h.in.Evidence.WindowEpoch = nil, max(s.Epoch, 1)
	for _, u := range h.in.Units {
		if h.chance(2) {
			if h.in.Evidence.Window == nil {
				h.in.Evidence.Window = map[string]Rate{}
			}
			n := int64(h.IntN(40))
			h.in.Evidence.Window[u.Policy] = Rate{Attempts: n, Failures: h.Int64N(n + 1)}
		}
	}
	h.news()
}

// attempt is what one proxy sees next.
func (h *history) attempt(p *Signal, s *State) {
	if h.chance(2) {
		p.Enter(s.Epoch)
	}
	ended := h.now.Add(-h.span(1))
	epoch := p.Epoch - int64(h.IntN(4)/3)
	switch h.IntN(12) {
	case 0, 1, 2:
		p.RecordSuccess(epoch, ended)
	case 3:
		p.RateLimitedUntil = ended.Add(h.span(5000))
	case 4:
		said := Statement{Reason: []Reason{QuotaExhausted, ProviderAuthFailure, ModelNotFound}[h.IntN(3)], At: ended}
		if said.Reason == QuotaExhausted && h.chance(2) {
			said.Until = h.now.Add(h.span(5000) - time.Minute)
		}
		if !slices.ContainsFunc(p.Statements, func(s Statement) bool { return s.Reason == said.Reason }) {
			p.Statements = append(slices.Clone(p.Statements), said)
		}
	default:
		p.RecordFailure(epoch, Failure{At: ended, Retried: h.chance(3), Connect: h.chance(2), Outage: h.chance(2), Message: "503"})
	}
}

// news are those that proxies do not bring.
func (h *history) news() {
	in := &h.in
	in.Suspended = in.Suspended != h.chance(20)
	in.InMaintenance = in.InMaintenance != h.chance(20)
	if h.chance(5) {
		in.MaintenanceUntil = h.now.Add(h.span(100) - 20*time.Second)
		in.QuotaReset = h.now.Add(h.span(1000) - 100*time.Second)
	}
	if h.chance(4) {
		in.Limits = h.limits()
	}
	if h.chance(40) {
		in.Configuration = fmt.Sprintf("c%d", h.IntN(3))
	}
	if h.chance(20) {
		in.Units = h.units()
	}
	if h.chance(15) {
		in.Probe.FailureThreshold = h.IntN(4)
	}
	switch h.IntN(6) {
	case 0:
		in.Probe.Succeeded, in.Probe.ModelSeen = h.now.Add(-h.span(1)), h.chance(2)
	case 1:
		in.Probe.Failed, in.Probe.Message = h.now.Add(-h.span(1)), "refused"
	}
	if h.chance(5) {
		in.Evidence.Confirmed = h.now.Add(-h.span(5))
	}
	in.Siblings.Outage = h.chance(12)
	in.Siblings.OutageUntil = h.now.Add(h.span(100) - 5*time.Second)
	in.Siblings.Unauthorized = h.chance(20)
	if h.chance(8) {
		in.Siblings.ProviderSucceeded = h.now.Add(-h.span(2))
	}
	if h.chance(8) {
		in.Siblings.CredentialAccepted = h.now.Add(-h.span(2))
	}
}

// limits are some that are used up, some that are nearly, and some that nobody has.
func (h *history) limits() []LimitUse {
	var limits []LimitUse
	for reason := BudgetExceeded; reason <= RequestLimit; reason++ {
		if h.chance(2) {
			limits = append(limits, LimitUse{
				Reason: reason, Until: noon.Add(time.Duration(h.IntN(4)) * time.Hour),
				Left: int64(max(h.IntN(4)-2, 0)), Out: int64(h.IntN(2)), Used: fmt.Sprint(h.IntN(3)), Amount: fmt.Sprint(h.IntN(2)),
			})
		}
	}
	return limits
}

// unlike explains how two values differ; empty when they do not. cmp is slow: it is asked only for what it
// then has to explain.
func unlike(want, got any) string {
	if reflect.DeepEqual(want, got) {
		return ""
	}
	return cmp.Diff(want, got)
}

// silent is a state without what is said to people.
func silent(s State) State {
	s = deep(s)
	for i := range s.Verdicts {
		s.Verdicts[i].Message = ""
	}
	return s
}

// deep is a copy that shares nothing with a state.
func deep(s State) State {
	s.Verdicts = slices.Clone(s.Verdicts)
	for i := range s.Verdicts {
		s.Verdicts[i].Policies = slices.Clone(s.Verdicts[i].Policies)
	}
	if s.Trial != nil {
		t := *s.Trial
		t.Policies = slices.Clone(t.Policies)
		s.Trial = &t
	}
	return s
}

// differs runs histories until the machine and a reference differ; -1 when they never do.
func differs(mutant string, seeds uint64, report func(seed uint64, diff string)) int {
	for seed := range seeds {
		h := newHistory(seed)
		var s State
		ref := reference{reasons: map[Reason]because{}, mutant: mutant}
		for range 60 {
			h.step(&s)
			s = Judge(s, &h.in, h.now).State
			ref.judge(&h.in, h.now)
			if diff := unlike(ref.state(), silent(s)); diff != "" {
				report(seed, fmt.Sprintf("at %v (-reference +machine):\n%s", h.now, diff))
				return int(seed)
			}
		}
	}
	return -1
}

func TestTheMachineDoesWhatTheReferenceDoes(t *testing.T) {
	differs("", 2000, func(seed uint64, diff string) { t.Errorf("with seed %d %s", seed, diff) })
}

// The comparison is worth something only if it sees a rule that is broken.
func TestTheReferenceCatchesMutants(t *testing.T) {
	for _, mutant := range []string{
		"a limit ends with what is out",
		"older evidence counts", "successes of others are ignored", "no trial", "never withdrawn", "trust after a withdrawal",
		"no cap", "each reason doubles", "one request is enough", "one proxy is believed", "no ramp",
		"an older window counts",
	} {
		t.Run(mutant, func(t *testing.T) {
			if differs(mutant, 2000, func(uint64, string) {}) < 0 {
				t.Error("2000 histories do not tell it from the machine")
			}
		})
	}
}

// forHistories runs a property on every judgement of that many random histories.
func forHistories(t *testing.T, seeds uint64, property func(t *testing.T, h *history, before State, j Judgement)) {
	t.Helper()
	for seed := range seeds {
		h := newHistory(seed + 1e6)
		var s State
		for range 60 {
			h.step(&s)
			before := deep(s)
			j := Judge(s, &h.in, h.now)
			if diff := unlike(before, s); diff != "" {
				t.Errorf("Judge wrote to its argument (-before +after):\n%s", diff)
			}
			property(t, h, before, j)
			if t.Failed() {
				t.Fatalf("with seed %d at %v", seed, h.now)
			}
			s = j.State
		}
	}
}

func TestJudgingAgainChangesNothing(t *testing.T) {
	forHistories(t, 300, func(t *testing.T, h *history, _ State, j Judgement) {
		again := Judge(j.State, &h.in, h.now)
		if diff := unlike(j.State, again.State); diff != "" || len(again.Changes) != 0 {
			t.Errorf("changes %q (-first +again):\n%s", kinds(again.Changes), diff)
		}
		if again.Next != j.Next || again.Confirm != j.Confirm {
			t.Errorf("next %v and %v, confirm %v and %v", j.Next, again.Next, j.Confirm, again.Confirm)
		}
	})
}

func TestNothingChangesByTimeAloneBeforeNext(t *testing.T) {
	forHistories(t, 300, func(t *testing.T, h *history, _ State, j Judgement) {
		until := h.now.Add(1e6 * time.Second)
		if !j.Next.IsZero() {
			until = j.Next.Add(-time.Microsecond)
		}
		for _, now := range []time.Time{until, h.now.Add(until.Sub(h.now) / 3)} {
			got := Judge(j.State, &h.in, now)
			if diff := unlike(j.State, got.State); diff != "" || len(got.Changes) != 0 {
				t.Errorf("at %v, before %v: %q (-now +then):\n%s", now, j.Next, kinds(got.Changes), diff)
			}
		}
	})
}

func TestInvariants(t *testing.T) {
	forHistories(t, 300, func(t *testing.T, h *history, before State, j Judgement) {
		s := &j.State
		if s.Epoch < before.Epoch || s.Epoch < 1 {
			t.Errorf("epoch %d after %d", s.Epoch, before.Epoch)
		}
		for i, v := range s.Verdicts {
			if i > 0 && s.Verdicts[i-1].Reason >= v.Reason {
				t.Errorf("%v stands before %v", s.Verdicts[i-1].Reason, v.Reason)
			}
			for _, old := range before.Verdicts {
				// A window may be moved; a rest that began may not be shortened.
				same := old.Reason == v.Reason && old.Since.Equal(v.Since) && v.Reason.Health()
				if same && s.Configuration == before.Configuration && v.Until.Before(old.Until) {
					t.Errorf("%v until %v is shortened to %v", v.Reason, old.Until, v.Until)
				}
			}
			if v.Message == "" || len(v.Message) > 1024 || v.Until.Nanosecond() != 0 || v.Since.Nanosecond() != 0 ||
				!slices.IsSorted(v.Policies) || !v.Until.IsZero() && !v.Until.After(h.now) {
				t.Errorf("the verdict is %+v", v)
			}
		}
		resting := slices.ContainsFunc(s.Verdicts, func(v Verdict) bool { return v.Reason.Health() })
		owed := slices.ContainsFunc(s.Verdicts, func(v Verdict) bool { return v.Reason.Health() && v.Trial })
		if s.Trial != nil && resting {
			t.Error("it rests and is on trial")
		}
		if s.Trips > 0 && s.Trial == nil && !owed {
			t.Errorf("%d trips and nothing to be passed: %s", s.Trips, describe(s))
		}
		moved := before.LastTransition
		if before.Active() != s.Active() || before.Reason() != s.Reason() {
			moved = h.now
		}
		if !s.LastTransition.Equal(moved) {
			t.Errorf("from %s to %s, last transition %v after %v", describe(&before), describe(s), s.LastTransition, before.LastTransition)
		}
		if s.Epoch != before.Epoch && len(j.Changes) == 0 && before.Epoch != 0 && s.Active() {
			t.Errorf("a new epoch and nothing told: %s", describe(s))
		}
	})
}

func TestOlderEvidenceMakesNoTransition(t *testing.T) {
	forHistories(t, 300, func(t *testing.T, h *history, before State, j Judgement) {
		in := h.in
		in.Evidence.Signals = slices.DeleteFunc(slices.Clone(in.Evidence.Signals), func(s Signal) bool {
			// A verdict may be withdrawn for a success of the epoch it was decided in.
			withdraws := s.Epoch == before.Evidence.Epoch || s.Epoch == before.Evidence.Epoch+1
			return s.Epoch < before.Epoch && !withdraws
		})
		if diff := unlike(Judge(before, &in, h.now), j); diff != "" {
			t.Errorf("it matters what older signals say (-without +with):\n%s", diff)
		}
	})
}

func TestTheOrderOfSignalsMeansNothing(t *testing.T) {
	forHistories(t, 200, func(t *testing.T, h *history, before State, j Judgement) {
		in := h.in
		in.Evidence.Signals, in.Evidence.Busy = slices.Clone(in.Evidence.Signals), slices.Clone(in.Evidence.Busy)
		slices.Reverse(in.Evidence.Signals)
		slices.Reverse(in.Evidence.Busy)
		if diff := unlike(Judge(before, &in, h.now), j); diff != "" {
			t.Errorf("(-reversed +as it was):\n%s", diff)
		}
	})
}

// With nobody there to write, proxies see the endpoint stand as if somebody had.
func TestStandingDoesNotNeedTheOperator(t *testing.T) {
	forHistories(t, 300, func(t *testing.T, h *history, _ State, j Judgement) {
		quiet := Input{Configuration: h.in.Configuration, Units: h.in.Units, Probe: ProbeResult{FailureThreshold: h.in.Probe.FailureThreshold}}
		if quiet.Probe.FailureThreshold == 0 {
			return
		}
		for range 4 {
			now := h.now.Add(h.span(300))
			there := Judge(j.State, &quiet, now).State
			want, got := there.Standing(quiet.Units, now), j.State.Standing(quiet.Units, now)
			if diff := unlike(want, got); diff != "" {
				t.Errorf("at %v, from %s (-there +away):\n%s", now, describe(&j.State), diff)
			}
		}
	})
}

// Every Standby ends when its reasons do, and every trial with enough successes.
func TestEveryStandbyEnds(t *testing.T) {
	forHistories(t, 300, func(t *testing.T, h *history, _ State, j Judgement) {
		s, now := j.State, h.now.Add(2*time.Second)
		quiet := Input{Configuration: h.in.Configuration, Units: h.in.Units}
		quiet.Probe = ProbeResult{FailureThreshold: h.in.Probe.FailureThreshold, Succeeded: now}
		for range 20 {
			quiet.Evidence.Signals = []Signal{{Proxy: "a", Epoch: s.Epoch, Successes: 1000, LastSuccess: now}}
			j := Judge(s, &quiet, now)
			s = j.State
			if now = now.Add(time.Second); !j.Next.IsZero() {
				now = j.Next
			}
		}
		if !s.Active() || s.Trial != nil || s.Trips != 0 {
			t.Errorf("it stays %s with %d trips", describe(&s), s.Trips)
		}
	})
}
