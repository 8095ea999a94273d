// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package modelstate_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	. "github.com/turnout-ai/turnout/internal/modelstate"
)

// noon is when every story begins.
var noon = time.Date(2026, 3, 14, 12, 0, 0, 0, time.UTC)

// at is a moment so many seconds after noon.
func at(seconds float64) time.Time { return noon.Add(time.Duration(seconds * float64(time.Second))) }

// story is an endpoint whose evidence a test changes and judges by and by.
type story struct {
	t     *testing.T
	state State
	in    Input
	last  Judgement
}

func newStory(t *testing.T) *story {
	s := &story{t: t, in: Input{Configuration: "c1", Units: []Unit{DefaultUnit}}}
	s.judge(0)
	return s
}

// judge judges at so many seconds after noon, and checks that judging again changes nothing.
func (s *story) judge(seconds float64) Judgement {
	s.t.Helper()
	now := at(seconds)
	s.last = Judge(s.state, &s.in, now)
	s.state = s.last.State
	again := Judge(s.state, &s.in, now)
	if diff := cmp.Diff(s.state, again.State); diff != "" || len(again.Changes) != 0 {
		s.t.Errorf("judged again at %v: %v, changed (-first +again):\n%s", now, again.Changes, diff)
	}
	return s.last
}

// signals replaces what proxies say.
func (s *story) signals(signals ...Signal) { s.in.Evidence.Signals = signals }

// want checks what happened in the last judgement, and how the endpoint stands.
func (s *story) want(changes string, status string, epoch int64) {
	s.t.Helper()
	if got := kinds(s.last.Changes); got != changes {
		s.t.Errorf("changes are %q, want %q", got, changes)
	}
	if got := status; got != describe(&s.state) {
		s.t.Errorf("status is %q, want %q", describe(&s.state), got)
	}
	if s.state.Epoch != epoch {
		s.t.Errorf("epoch is %d, want %d", s.state.Epoch, epoch)
	}
}

var kindNames = map[ChangeKind]string{
	Deactivated: "deactivated", Activated: "activated", TrialBegun: "trial begun",
	TrialPassed: "trial passed", Withdrawn: "withdrawn", Reconfigured: "reconfigured",
}

// kinds writes changes as "deactivated Manual, activated Manual".
func kinds(changes []Change) string {
	var words []string
	for _, c := range changes {
		words = append(words, strings.TrimSpace(kindNames[c.Kind]+" "+c.Reason.String()))
	}
	return strings.Join(words, ", ")
}

// describe writes a status as "Manual, ErrorThreshold until 60" (seconds after noon), "trial" or "active".
func describe(s *State) string {
	var words []string
	for _, v := range s.Verdicts {
		word := v.Reason.String()
		if !v.Until.IsZero() {
			word += fmt.Sprintf(" until %g", v.Until.Sub(noon).Seconds())
		}
		words = append(words, word)
	}
	if s.Trial != nil {
		words = append(words, "trial")
	}
	if len(words) == 0 {
		return "active"
	}
	return strings.Join(words, ", ")
}

// failing is a proxy with so many failures of different requests, a second apart, the last one at a time.
func failing(proxy string, epoch, failures int64, last float64) Signal {
	return Signal{
		Proxy: proxy, Epoch: epoch, Failures: failures, Requests: failures, Outage: failures,
		Since: at(last - float64(failures-1)), LastFailure: at(last), Message: "503 from api.example.com",
	}
}

// unconnected is one without a connection.
func unconnected(proxy string, epoch, failures int64, last float64) Signal {
	s := failing(proxy, epoch, failures, last)
	s.Connect, s.Message = failures, "connection refused"
	return s
}

// succeeding is a proxy with so many successes, the last one at a time.
func succeeding(proxy string, epoch, successes int64, last float64) Signal {
	return Signal{Proxy: proxy, Epoch: epoch, Successes: successes, LastSuccess: at(last)}
}

// stating is a proxy that heard the provider's own word.
func stating(proxy string, epoch int64, said Statement) Signal {
	return Signal{Proxy: proxy, Epoch: epoch, Statements: []Statement{said}}
}

func TestErrorThreshold(t *testing.T) {
	two := DefaultUnit
	two.Policy, two.ConsecutiveFailures, two.Cooldown = "two", 2, 90*time.Second
	five := DefaultUnit
	five.Policy, five.ConsecutiveFailures, five.Cooldown = "five", 5, 300*time.Second
	rate := DefaultUnit
	rate.Policy, rate.ErrorRate, rate.Cooldown = "rate", 500_000, 30*time.Second

	oneRequest := failing("a", 1, 3, 2)
	oneRequest.Requests = 1
	for name, test := range map[string]struct {
		units   []Unit
		signals []Signal
		window  map[string]Rate
		busy    []string
		confirm time.Time
		want    string
		asks    bool
	}{
		"three failures of one proxy":               {signals: []Signal{failing("a", 1, 3, 2)}, want: "ErrorThreshold until 65"},
		"two failures are too few":                  {signals: []Signal{failing("a", 1, 2, 2)}, want: "active"},
		"three failures of one request are too few": {signals: []Signal{oneRequest}, want: "active"},
		"streaks of several proxies add up": {
			signals: []Signal{failing("a", 1, 1, 1), failing("b", 1, 2, 3)}, want: "ErrorThreshold until 65",
		},
		"a streak that began before another's success does not count": {
			signals: []Signal{failing("a", 1, 3, 3), succeeding("b", 1, 1, 2)}, want: "active",
		},
		"a streak that began after another's success counts": {
			signals: []Signal{failing("a", 1, 3, 4), succeeding("b", 1, 1, 1)}, want: "ErrorThreshold until 65",
		},
		"evidence of an older epoch counts for nothing": {signals: []Signal{failing("a", 0, 9, 2)}, want: "active"},
		"each policy is a unit: the count of one, the cooldown of that one": {
			units: []Unit{five, two}, signals: []Signal{failing("a", 1, 2, 2)}, want: "ErrorThreshold until 95",
		},
		"of several that tripped the longest cooldown": {
			units: []Unit{five, two}, signals: []Signal{failing("a", 1, 5, 4)}, want: "ErrorThreshold until 305",
		},
		"the rate of a unit": {
			units: []Unit{rate, five}, window: map[string]Rate{"rate": {20, 10}}, want: "ErrorThreshold until 35",
		},
		"a rate below the threshold":   {units: []Unit{rate}, window: map[string]Rate{"rate": {20, 9}}, want: "active"},
		"a rate of too few attempts":   {units: []Unit{rate}, window: map[string]Rate{"rate": {19, 19}}, want: "active"},
		"another unit's window":        {units: []Unit{rate}, window: map[string]Rate{"": {20, 20}}, want: "active"},
		"a rate that no unit asks for": {units: []Unit{five}, window: map[string]Rate{"five": {20, 20}}, want: "active"},
		"no connection from one proxy of two is a question": {
			signals: []Signal{unconnected("a", 1, 3, 2)}, busy: []string{"a", "b"}, want: "active", asks: true,
		},
		"too few of those ask nothing": {
			signals: []Signal{unconnected("a", 1, 2, 2)}, busy: []string{"a", "b"}, want: "active",
		},
		"no connection from the only busy proxy": {
			signals: []Signal{unconnected("a", 1, 3, 2)}, busy: []string{"a"}, want: "ErrorThreshold until 65",
		},
		"no connection, and a second proxy agrees": {
			signals: []Signal{unconnected("a", 1, 3, 2), unconnected("b", 1, 1, 2)}, busy: []string{"a", "b"},
			want: "ErrorThreshold until 65",
		},
		"no connection, and the operator agrees": {
			signals: []Signal{unconnected("a", 1, 3, 2)}, busy: []string{"a", "b"}, confirm: at(1),
			want: "ErrorThreshold until 65",
		},
		"no connection, and the operator agreed before it began": {
			signals: []Signal{unconnected("a", 1, 3, 2)}, busy: []string{"a", "b"}, confirm: at(-1), want: "active", asks: true,
		},
		"one proxy that speaks twice is one proxy": {
			signals: []Signal{unconnected("a", 1, 3, 2), unconnected("a", 1, 3, 2)}, busy: []string{"a", "b"}, want: "active", asks: true,
		},
		"one answer among them speaks for the provider's fault": {
			signals: []Signal{func() Signal { s := unconnected("a", 1, 3, 2); s.Connect = 2; return s }()},
			busy:    []string{"a", "b"}, want: "ErrorThreshold until 65",
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStory(t)
			if test.units != nil {
				s.in.Units = test.units
			}
			s.in.Evidence = Evidence{Signals: test.signals, Window: test.window, Busy: test.busy, Confirmed: test.confirm}
			s.judge(5)
			if got := describe(&s.state); got != test.want {
				t.Errorf("status is %q, want %q", got, test.want)
			}
			if s.last.Confirm != test.asks {
				t.Errorf("asks the operator to look: %v, want %v", s.last.Confirm, test.asks)
			}
		})
	}
}

func TestATrialIsPassedByEnoughSuccessesAfterTheRamp(t *testing.T) {
	s := newStory(t)
	s.signals(failing("a", 1, 3, 2))
	s.judge(2.5)
	s.want("deactivated ErrorThreshold", "ErrorThreshold until 63", 2)
	if !s.last.Next.Equal(at(63)) {
		t.Errorf("next is %v, want the end of the cooldown", s.last.Next)
	}
	s.judge(62.9)
	s.want("", "ErrorThreshold until 63", 2)
	s.judge(63)
	s.want("trial begun ErrorThreshold", "trial", 3)

	s.signals(succeeding("a", 3, 2, 70), succeeding("b", 3, 1, 71))
	s.judge(72)
	s.want("", "trial", 3)
	if !s.last.Next.Equal(at(93)) {
		t.Errorf("next is %v, want the end of the ramp", s.last.Next)
	}
	s.judge(93)
	s.want("trial passed", "active", 4)
	if s.state.Trips != 0 || s.state.FailureCount != 0 {
		t.Errorf("%d trips and %d failures are left", s.state.Trips, s.state.FailureCount)
	}
}

func TestATrialWithoutEnoughSuccessesGoesOn(t *testing.T) {
	s := newStory(t)
	s.signals(failing("a", 1, 3, 2))
	s.judge(3)
	s.judge(63)
	s.signals(succeeding("a", 3, 2, 70))
	s.judge(500)
	s.want("", "trial", 3)
	if got := s.state.Standing(s.in.Units, at(500)); got != (Standing{Kind: OnTrial, Percent: 100}) {
		t.Errorf("stands %+v", got)
	}
}

// Trace 3a: a report that still shows the streak of before the trip must not trip the trial.
func TestAStreakThatIsStillReportedDoesNotTripTheTrial(t *testing.T) {
	s := newStory(t)
	s.signals(failing("a", 1, 3, 2))
	s.judge(3)
	for _, seconds := range []float64{63, 64, 90, 200, 4000} {
		s.judge(seconds)
		if s.state.Trial == nil || s.state.Trips != 1 {
			t.Fatalf("at %v: %q with %d trips", seconds, describe(&s.state), s.state.Trips)
		}
	}
}

// The same by a rate: what failed during the rest, as a last resort, is no evidence against the trial.
func TestAWindowOfTheRestDoesNotTripTheTrial(t *testing.T) {
	for name, epoch := range map[string]int64{"that says so": 2, "that does not say": 0} {
		t.Run(name, func(t *testing.T) {
			s := newStory(t)
			s.in.Units = []Unit{DefaultUnit}
			s.in.Units[0].ErrorRate = 500_000
			s.in.Evidence.Window = map[string]Rate{"": {Attempts: 20, Failures: 20}}
			s.judge(3)
			s.want("deactivated ErrorThreshold", "ErrorThreshold until 63", 2)
			s.in.Evidence.WindowEpoch = epoch
			j := Judge(s.state, &s.in, at(63))
			if got := kinds(j.Changes); got != "trial begun ErrorThreshold" {
				t.Errorf("changes are %q", got)
			}
		})
	}
}

// Trace 3b: attempts that began before the trip or during the rest fail during the trial.
func TestAttemptsOfBeforeTheTrialDoNotTripIt(t *testing.T) {
	s := newStory(t)
	s.signals(failing("a", 1, 3, 2))
	s.judge(3)
	s.judge(63)
	s.signals(failing("a", 1, 9, 70), failing("b", 2, 9, 71))
	s.judge(72)
	s.want("", "trial", 3)
	s.signals(failing("a", 3, 1, 73))
	s.judge(73)
	s.want("deactivated ErrorThreshold", "ErrorThreshold until 193", 4)
}

// Trace 3c: a hundred proxies fail one trial at once.
func TestAHundredProxiesThatFailOneTrialDoubleOnce(t *testing.T) {
	s := newStory(t)
	s.signals(failing("a", 1, 3, 2))
	s.judge(3)
	s.judge(63)
	var signals []Signal
	for i := range 100 {
		signals = append(signals, failing(fmt.Sprintf("proxy-%d", i), 3, 1, 64))
		s.signals(signals...)
		s.judge(64 + float64(i)/100)
	}
	if got := describe(&s.state); got != "ErrorThreshold until 184" || s.state.Trips != 2 || s.state.Epoch != 4 {
		t.Errorf("%q with %d trips in epoch %d", got, s.state.Trips, s.state.Epoch)
	}
}

// Trace 4a: nobody writes when the cooldown runs out.
func TestACooldownThatHasRunOutMeansOnTrialWhoeverIsAway(t *testing.T) {
	s := newStory(t)
	s.signals(failing("a", 1, 3, 2))
	s.judge(3)
	for _, test := range []struct {
		seconds float64
		want    Standing
	}{
		{3, Standing{Kind: Resting, Reason: ErrorThreshold, Until: at(63), Percent: 100}},
		{62.9, Standing{Kind: Resting, Reason: ErrorThreshold, Until: at(63), Percent: 100}},
		{63, Standing{Kind: OnTrial, Percent: 10}},
		{78, Standing{Kind: OnTrial, Percent: 55}},
		{93, Standing{Kind: OnTrial, Percent: 100}},
		{1e6, Standing{Kind: OnTrial, Percent: 100}},
	} {
		if diff := cmp.Diff(test.want, s.state.Standing(s.in.Units, at(test.seconds))); diff != "" {
			t.Errorf("at %v (-want +got):\n%s", test.seconds, diff)
		}
	}
	away := s.state
	s.judge(70)
	for _, seconds := range []float64{70, 77.3, 92, 200} {
		if diff := cmp.Diff(s.state.Standing(s.in.Units, at(seconds)), away.Standing(s.in.Units, at(seconds))); diff != "" {
			t.Errorf("at %v it matters whether the operator was there (-there +away):\n%s", seconds, diff)
		}
	}
}

func TestCooldownsDoubleUpToTheCap(t *testing.T) {
	s := newStory(t)
	s.in.Units[0].MaxCooldown = 5 * time.Minute
	now := 10.0
	s.signals(failing("a", 1, 3, now))
	for i, want := range []float64{60, 120, 240, 300, 300, 300} {
		s.judge(now)
		rest := s.state.CooldownRemaining(at(now)).Seconds()
		if rest != want || s.state.Trips != i+1 {
			t.Errorf("trip %d rests %v s, want %v", s.state.Trips, rest, want)
		}
		now += rest
		s.judge(now)
		now++
		s.signals(failing("a", s.state.Epoch, 1, now))
	}
}

func TestAVerdictIsWithdrawnByANewerSuccess(t *testing.T) {
	trip := func(t *testing.T) *story {
		s := newStory(t)
		s.signals(failing("a", 1, 3, 2))
		s.judge(3)
		return s
	}
	t.Run("of an attempt of its epoch", func(t *testing.T) {
		s := trip(t)
		s.signals(failing("a", 1, 3, 2), succeeding("b", 1, 7, 2.5))
		s.judge(4)
		s.want("withdrawn ErrorThreshold", "active", 3)
		if !s.state.Withdrawn || s.state.Trips != 0 || s.state.FailureCount != 0 || s.state.Evidence != (Basis{}) {
			t.Errorf("the state is %+v", s.state)
		}
	})
	t.Run("told as the previous success by a proxy that is in the next epoch", func(t *testing.T) {
		s := trip(t)
		s.signals(Signal{Proxy: "b", Epoch: 2, PreviousSuccess: at(2.5)})
		s.judge(4)
		s.want("withdrawn ErrorThreshold", "active", 3)
	})
	t.Run("but not by an older one, nor by one of another epoch", func(t *testing.T) {
		s := trip(t)
		s.signals(succeeding("b", 1, 7, 2), succeeding("c", 2, 1, 3), succeeding("d", 0, 1, 3),
			Signal{Proxy: "e", Epoch: 1, PreviousSuccess: at(3)})
		s.judge(4)
		s.want("", "ErrorThreshold until 63", 2)
	})
	t.Run("but not when a rate decided", func(t *testing.T) {
		s := newStory(t)
		s.in.Units[0].ErrorRate = 500_000
		s.in.Evidence.Window = map[string]Rate{"": {Attempts: 20, Failures: 12}}
		s.judge(3)
		s.signals(succeeding("b", 1, 7, 4))
		s.judge(5)
		s.want("", "ErrorThreshold until 63", 2)
	})
	t.Run("and one proxy's word alone trips nothing then", func(t *testing.T) {
		s := trip(t)
		s.in.Evidence.Busy = []string{"a", "b"}
		s.signals(succeeding("b", 1, 7, 2.5))
		s.judge(4)
		s.signals(failing("a", 3, 9, 20))
		s.judge(21)
		s.want("", "active", 3)
		if s.last.Confirm {
			t.Error("the operator is asked to look at answers it cannot see")
		}
		s.signals(failing("a", 3, 9, 20), failing("b", 3, 1, 21))
		s.judge(22)
		s.want("deactivated ErrorThreshold", "ErrorThreshold until 82", 4)
		if s.state.Withdrawn {
			t.Error("the next epoch still distrusts")
		}
	})
	t.Run("and a trial that it broke off goes on", func(t *testing.T) {
		s := trip(t)
		s.judge(63)
		s.signals(failing("a", 3, 1, 64))
		s.judge(65)
		s.want("deactivated ErrorThreshold", "ErrorThreshold until 185", 4)
		s.signals(succeeding("b", 3, 7, 64.5))
		s.judge(66)
		s.want("withdrawn ErrorThreshold", "trial", 5)
		if s.state.Trips != 1 {
			t.Errorf("%d trips, want that of before the trial", s.state.Trips)
		}
	})
}

func TestProvidersWords(t *testing.T) {
	t.Run("a short ask rests no endpoint for the fleet", func(t *testing.T) {
		s := newStory(t)
		s.signals(Signal{Proxy: "a", Epoch: 1, RateLimitedUntil: at(61)})
		s.judge(1)
		s.want("", "active", 1)
	})
	t.Run("a long one does, a longer one lengthens it, a shorter one does not shorten it, and it comes straight back", func(t *testing.T) {
		s := newStory(t)
		s.signals(Signal{Proxy: "a", Epoch: 1, RateLimitedUntil: at(100.2)})
		s.judge(1)
		s.want("deactivated RateLimited", "RateLimited until 101", 2)
		s.signals(Signal{Proxy: "a", Epoch: 2, RateLimitedUntil: at(200)})
		s.judge(2)
		s.want("", "RateLimited until 200", 2)
		s.signals(Signal{Proxy: "a", Epoch: 2, RateLimitedUntil: at(150)})
		s.judge(3)
		s.want("", "RateLimited until 200", 2)
		if s.state.FailureCount != 0 || s.state.Trips != 0 {
			t.Error("it counts as a failure")
		}
		s.judge(200)
		s.want("activated RateLimited", "active", 3)
	})
	t.Run("an absurd ask is capped, however often it is repeated", func(t *testing.T) {
		s := newStory(t)
		for _, seconds := range []float64{1, 1000, 2000, 3600} {
			s.signals(Signal{Proxy: "a", Epoch: s.state.Epoch, RateLimitedUntil: at(1e7)})
			s.judge(seconds)
			if got := describe(&s.state); got != "RateLimited until 3601" {
				t.Errorf("at %v %s", seconds, got)
			}
		}
	})
	for name, test := range map[string]struct {
		until, reset time.Time
		want         string
		back         string
	}{
		"a quota until the stated reset":            {until: at(1000.5), reset: at(500), want: "QuotaExhausted until 1001", back: "activated QuotaExhausted"},
		"a stated reset is capped":                  {until: at(1e9), want: "QuotaExhausted until 2.764801e+06", back: "activated QuotaExhausted"},
		"a quota until the calendar's reset":        {reset: at(500), want: "QuotaExhausted until 500", back: "activated QuotaExhausted"},
		"a quota without any, on trial":             {want: "QuotaExhausted until 61", back: "trial begun QuotaExhausted"},
		"a reset that has passed is none, on trial": {until: at(0.5), want: "QuotaExhausted until 61", back: "trial begun QuotaExhausted"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStory(t)
			s.in.QuotaReset = test.reset
			s.signals(stating("a", 1, Statement{Reason: QuotaExhausted, At: at(1), Until: test.until, Message: "insufficient_quota"}))
			s.judge(1)
			s.want("deactivated QuotaExhausted", test.want, 2)
			s.judge(s.state.CooldownUntil().Sub(noon).Seconds())
			if got := kinds(s.last.Changes); got != test.back {
				t.Errorf("comes back by %q, want %q", got, test.back)
			}
		})
	}
	t.Run("a refused credential until the Secret changes", func(t *testing.T) {
		s := newStory(t)
		s.signals(stating("a", 1, Statement{Reason: ProviderAuthFailure, At: at(1), Message: "401 from api.example.com"}))
		s.judge(1)
		s.want("deactivated ProviderAuthFailure", "ProviderAuthFailure", 2)
		s.judge(1e8)
		s.want("", "ProviderAuthFailure", 2)
		s.in.Configuration = "c2"
		s.judge(1e8 + 1)
		s.want("reconfigured", "active", 3)
	})
	for name, probe := range map[string]func(*Input){
		"a refused credential until a probe succeeds":               func(in *Input) { in.Probe.Succeeded = at(9) },
		"a refused credential until a probe succeeds with it there": func(in *Input) { in.Siblings.CredentialAccepted = at(9) },
	} {
		t.Run(name, func(t *testing.T) {
			s := newStory(t)
			s.in.Siblings.Unauthorized = true
			s.judge(1)
			s.in.Siblings.Unauthorized = false
			s.want("deactivated ProviderAuthFailure", "ProviderAuthFailure", 2)
			s.in.Probe.Succeeded, s.in.Siblings.CredentialAccepted = at(0.5), at(0.5)
			s.judge(8)
			s.want("", "ProviderAuthFailure", 2)
			probe(&s.in)
			s.judge(9)
			s.want("activated ProviderAuthFailure", "active", 3)
		})
	}
	missing := stating("a", 1, Statement{Reason: ModelNotFound, At: at(1), Message: "model_not_found"})
	t.Run("a model that is missing until the cooldown is over, on trial", func(t *testing.T) {
		s := newStory(t)
		s.signals(missing)
		s.judge(1)
		s.want("deactivated ModelNotFound", "ModelNotFound until 61", 2)
		s.judge(61)
		s.want("trial begun ModelNotFound", "trial", 3)
	})
	t.Run("a model that is missing until a probe sees it", func(t *testing.T) {
		s := newStory(t)
		s.signals(missing)
		s.judge(1)
		s.in.Probe.Succeeded = at(5)
		s.judge(5)
		s.want("", "ModelNotFound until 61", 2)
		s.in.Probe.ModelSeen = true
		s.judge(6)
		s.want("activated ModelNotFound", "active", 3)
		if s.state.Trips != 0 {
			t.Error("the trip is still counted")
		}
	})
}

// News from the future would end whatever begins now, again and again.
func TestNewsOfAfterNowWaits(t *testing.T) {
	s := newStory(t)
	s.in.Siblings = Siblings{Unauthorized: true, CredentialAccepted: at(10)}
	s.judge(1)
	s.want("deactivated ProviderAuthFailure", "ProviderAuthFailure", 2)
	s.in.Siblings.Unauthorized = false
	s.judge(10)
	s.want("activated ProviderAuthFailure", "active", 3)
}

// A status that lost an end must not rest for ever.
func TestAVerdictWithoutTheEndItNeedsIsOver(t *testing.T) {
	s := newStory(t)
	s.state.Verdicts = []Verdict{{Reason: ErrorThreshold, Since: noon, Message: "?", Trial: true}}
	s.judge(5)
	s.want("trial begun ErrorThreshold", "trial", 2)
	if !s.state.Trial.Since.Equal(at(5)) {
		t.Errorf("the trial began at %v", s.state.Trial.Since)
	}
}

func TestHealthy(t *testing.T) {
	strict := DefaultUnit
	strict.Policy, strict.ConsecutiveFailures = "strict", 2
	for name, test := range map[string]struct {
		state State
		units []Unit
		want  bool
	}{
		"Active and without failures":           {State{}, nil, true},
		"under the threshold":                   {State{FailureCount: 2}, nil, true},
		"at the threshold, and back on trial":   {State{FailureCount: 3, Trial: &Trial{}}, nil, false},
		"at the threshold of one of its units":  {State{FailureCount: 2}, []Unit{DefaultUnit, strict}, false},
		"on Standby by law":                     {State{Verdicts: []Verdict{{Reason: Manual}}}, nil, false},
		"on Standby although its time has come": {State{Verdicts: []Verdict{{Reason: RateLimited, Until: noon}}}, nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := test.state.Healthy(test.units); got != test.want {
				t.Errorf("healthy is %v, want %v", got, test.want)
			}
		})
	}
}

func TestCooldownRemaining(t *testing.T) {
	s := State{Verdicts: []Verdict{{Reason: ErrorThreshold, Until: at(60)}, {Reason: RateLimited, Until: at(90)}}}
	for _, test := range []struct {
		seconds float64
		want    time.Duration
	}{{0, 90 * time.Second}, {89.5, 500 * time.Millisecond}, {90, 0}, {1000, 0}} {
		if got := s.CooldownRemaining(at(test.seconds)); got != test.want {
			t.Errorf("at %v it is %v, want %v", test.seconds, got, test.want)
		}
	}
	s.Verdicts = append(s.Verdicts, Verdict{Reason: ProbeFailed})
	if got := s.CooldownRemaining(noon); got != 0 || !s.CooldownUntil().IsZero() {
		t.Errorf("it is %v where no time ends a reason", got)
	}
}

func TestEachReasonReadsBack(t *testing.T) {
	health, advice := 0, 0
	for r := Manual; r <= ProbeFailed; r++ {
		if got, ok := ParseReason(r.String()); got != r || !ok || r.String() == "" {
			t.Errorf("%d is written %q and read %d", r, r, got)
		}
		if r.Health() {
			health++
		}
		if r.Advice() {
			advice++
		}
	}
	if health != 7 || advice != 3 {
		t.Errorf("%d speak of health, %d are advice", health, advice)
	}
	for _, word := range []string{"", "manual", "Other"} {
		if got, ok := ParseReason(word); ok {
			t.Errorf("%q is read as %v", word, got)
		}
	}
	if got := Reason(200).String(); got != "" {
		t.Errorf("a reason that does not exist is written %q", got)
	}
}

func TestProviderOutage(t *testing.T) {
	out := func(t *testing.T) *story {
		s := newStory(t)
		s.in.Siblings = Siblings{Outage: true, OutageUntil: at(50.5), OutageMessage: "at team/a: 503"}
		s.judge(1)
		s.want("deactivated ProviderOutage", "ProviderOutage until 61", 2)
		s.in.Siblings.Outage = false
		return s
	}
	t.Run("until the cooldown is over", func(t *testing.T) {
		s := out(t)
		s.judge(61)
		s.want("trial begun ProviderOutage", "trial", 3)
	})
	t.Run("until a probe of any endpoint succeeds", func(t *testing.T) {
		s := out(t)
		s.in.Siblings.ProviderSucceeded = at(10)
		s.judge(10)
		s.want("trial begun ProviderOutage", "trial", 3)
		if !s.state.Trial.Since.Equal(at(10)) {
			t.Errorf("the trial began at %v", s.state.Trial.Since)
		}
	})
	t.Run("is one incident with the failures that showed it", func(t *testing.T) {
		s := newStory(t)
		s.signals(failing("a", 1, 3, 1))
		s.judge(1)
		s.in.Siblings = Siblings{Outage: true, OutageUntil: at(70)}
		s.judge(2)
		s.want("deactivated ProviderOutage", "ProviderOutage until 70, ErrorThreshold until 61", 3)
		if s.state.Trips != 1 {
			t.Errorf("%d trips", s.state.Trips)
		}
		s.judge(61)
		s.want("", "ProviderOutage until 70", 3)
		s.judge(70)
		s.want("trial begun ProviderOutage", "trial", 4)
	})
	t.Run("takes the failures of the same moment in", func(t *testing.T) {
		s := newStory(t)
		s.signals(failing("a", 1, 3, 1))
		s.in.Siblings = Siblings{Outage: true, OutageUntil: at(70)}
		s.judge(2)
		s.want("deactivated ProviderOutage", "ProviderOutage until 70", 2)
	})
}

func TestProbeFailed(t *testing.T) {
	s := newStory(t)
	s.in.Probe = ProbeResult{FailureThreshold: 3, Message: "connection refused"}
	for i := range 3 {
		if i > 0 {
			s.want("", "active", 1)
		}
		s.in.Probe.Failed = at(float64(10 * i))
		s.judge(float64(10*i) + 1)
	}
	// The first failure was at noon, when the first judgement was: it is news all the same.
	s.want("deactivated ProbeFailed", "ProbeFailed", 2)
	if got, want := s.state.Verdicts[0].Message, "3 probes failed in a row, last: connection refused; comes back when one succeeds"; got != want {
		t.Errorf("says %q, want %q", got, want)
	}
	s.judge(1e6)
	s.want("", "ProbeFailed", 2)
	s.in.Probe.Succeeded = at(1e6 + 1)
	s.judge(1e6 + 1)
	s.want("activated ProbeFailed", "active", 3)

	s.in.Probe.FailureThreshold = 1
	s.in.Probe.Failed = at(1e6 + 2)
	s.judge(1e6 + 2)
	s.want("deactivated ProbeFailed", "ProbeFailed", 4)
	s.in.Probe.FailureThreshold = 0
	s.judge(1e6 + 3)
	s.want("activated ProbeFailed", "active", 5)
}

func TestLawBeginsNoEpoch(t *testing.T) {
	s := newStory(t)
	s.in.Suspended = true
	s.judge(1)
	s.want("deactivated Manual", "Manual", 1)
	s.in.InMaintenance, s.in.MaintenanceUntil = true, at(100)
	s.judge(2)
	s.want("deactivated MaintenanceWindow", "Manual, MaintenanceWindow until 100", 1)
	s.in.Suspended = false
	s.judge(3)
	s.want("", "MaintenanceWindow until 100", 1)
	if !s.last.Next.Equal(at(100)) {
		t.Errorf("next is %v", s.last.Next)
	}
	s.in.InMaintenance = false
	s.judge(100)
	s.want("activated MaintenanceWindow", "active", 1)
}

func TestATrialBegunBehindTheLawIsTold(t *testing.T) {
	s := newStory(t)
	s.signals(failing("a", 1, 3, 2))
	s.judge(3)
	s.in.Suspended = true
	s.judge(4)
	s.want("deactivated Manual", "Manual, ErrorThreshold until 63", 2)
	s.judge(63)
	s.want("", "Manual, trial", 3)
	s.in.Suspended = false
	s.judge(64)
	s.want("trial begun Manual", "trial", 3)
}

// Trace 19: the one shown is the first, the return is the latest, and what bars is not hidden by what rests.
func TestPrecedence(t *testing.T) {
	s := newStory(t)
	s.in.Suspended, s.in.InMaintenance, s.in.MaintenanceUntil = true, true, at(500)
	s.in.Probe = ProbeResult{FailureThreshold: 1, Failed: at(1)}
	s.in.Siblings = Siblings{Unauthorized: true}
	failed := failing("a", 1, 3, 2)
	failed.RateLimitedUntil = at(400)
	failed.Statements = []Statement{{Reason: QuotaExhausted, At: at(1), Until: at(1000)}, {Reason: ModelNotFound, At: at(1)}}
	s.signals(failed)
	s.judge(3)
	s.want("deactivated QuotaExhausted, deactivated ProviderAuthFailure, deactivated ModelNotFound, "+
		"deactivated ErrorThreshold, deactivated RateLimited, deactivated ProbeFailed, deactivated Manual, deactivated MaintenanceWindow",
		"Manual, MaintenanceWindow until 500, QuotaExhausted until 1000, ProviderAuthFailure, ModelNotFound until 63, "+
			"ErrorThreshold until 63, RateLimited until 400, ProbeFailed", 2)
	if s.state.Reason() != Manual || !s.state.CooldownUntil().IsZero() || s.state.Trips != 1 {
		t.Errorf("shows %v until %v after %d trips", s.state.Reason(), s.state.CooldownUntil(), s.state.Trips)
	}
	if got := s.state.Standing(s.in.Units, at(4)); got.Kind != Barred || got.Reason != QuotaExhausted || !got.Until.IsZero() {
		t.Errorf("stands %+v", got)
	}
	s.in = Input{Configuration: "c1", Units: s.in.Units, Probe: ProbeResult{FailureThreshold: 1, Succeeded: at(10)}}
	s.judge(10)
	s.want("", "QuotaExhausted until 1000, ModelNotFound until 63, ErrorThreshold until 63, RateLimited until 400", 2)
	s.judge(400)
	s.want("", "QuotaExhausted until 1000", 2)
	s.judge(1000)
	s.want("trial begun QuotaExhausted", "trial", 3)
}

func TestATrialIsNotEvadedByAnotherReason(t *testing.T) {
	s := newStory(t)
	s.signals(failing("a", 1, 3, 2))
	s.judge(3)
	s.judge(63)
	s.signals(Signal{Proxy: "a", Epoch: 3, RateLimitedUntil: at(200)})
	s.judge(64)
	s.want("deactivated RateLimited", "RateLimited until 200", 4)
	s.judge(200)
	s.want("trial begun RateLimited", "trial", 5)
	if s.state.Trips != 1 {
		t.Errorf("%d trips", s.state.Trips)
	}
}

func TestAChangeOfConfigurationHasNoPast(t *testing.T) {
	s := newStory(t)
	s.signals(failing("a", 1, 3, 2))
	s.in.Probe = ProbeResult{FailureThreshold: 5, Failed: at(2)}
	s.in.Suspended = true
	s.judge(3)
	s.in.Probe = ProbeResult{FailureThreshold: 5}
	s.in.Configuration = "c2"
	s.judge(4)
	want := State{
		Epoch: 3, Configuration: "c2", LastTransition: at(3),
		Verdicts: []Verdict{{Reason: Manual, Since: at(3), Message: "spec.suspend is true; comes back when it is false"}},
	}
	if diff := cmp.Diff(want, s.state); diff != "" {
		t.Errorf("the state (-want +got):\n%s", diff)
	}
	if got := kinds(s.last.Changes); got != "reconfigured" {
		t.Errorf("changes are %q", got)
	}
}

func TestTheFirstJudgementIsNoChange(t *testing.T) {
	got := Judge(State{}, &Input{Configuration: "c1"}, noon)
	if diff := cmp.Diff(Judgement{State: State{Epoch: 1, Configuration: "c1"}}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestFailureCount(t *testing.T) {
	s := newStory(t)
	for _, step := range []struct {
		name    string
		seconds float64
		signals []Signal
		want    int64
	}{
		{"of one proxy it is exact", 1, []Signal{failing("a", 1, 2, 1)}, 2},
		{"of several it is their sum", 2, []Signal{failing("a", 1, 2, 1), failing("b", 1, 2, 2)}, 4},
		{"what tripped still counts during the rest", 3, []Signal{failing("a", 1, 2, 1), failing("b", 1, 2, 2)}, 4},
		{"a last resort that fails adds to it", 4, []Signal{failing("a", 2, 1, 4)}, 5},
		{"and so it is on trial", 62, []Signal{failing("a", 2, 1, 4)}, 5},
		{"a success clears it", 63, []Signal{succeeding("a", 3, 1, 63)}, 0},
	} {
		s.signals(step.signals...)
		s.judge(step.seconds)
		if s.state.FailureCount != step.want {
			t.Errorf("%s: %d, want %d (%s)", step.name, s.state.FailureCount, step.want, describe(&s.state))
		}
	}
}

func TestMessages(t *testing.T) {
	named := DefaultUnit
	named.Policy = "chat"
	other := named
	other.Policy = "code"
	rate := named
	rate.ErrorRate = 500_000
	var many []Unit
	for i := range 100 {
		many = append(many, Unit{Policy: strings.Repeat("x", 250) + fmt.Sprintf("%03d", i), ConsecutiveFailures: 2, Cooldown: 48 * time.Hour, MaxCooldown: 48 * time.Hour})
	}
	for name, test := range map[string]struct {
		units  []Unit
		window map[string]Rate
		want   string
	}{
		"of the defaults": {[]Unit{DefaultUnit}, nil, "3 consecutive failures, last: 503 from api.example.com; tried again at 12:01:05Z"},
		"of a policy":     {[]Unit{named}, nil, "3 consecutive failures, last: 503 from api.example.com; tried again at 12:01:05Z (policy chat)"},
		"of two policies": {[]Unit{named, other}, nil, "3 consecutive failures, last: 503 from api.example.com; tried again at 12:01:05Z (policies chat, code)"},
		"of a rate":       {[]Unit{rate}, map[string]Rate{"chat": {20, 12}}, "12 of 20 attempts failed within 1m, last: 503 from api.example.com; tried again at 12:01:05Z (policy chat)"},
		"of a long window": {
			[]Unit{{Policy: "x", ErrorRate: 1, Window: time.Hour, Cooldown: time.Second, MaxCooldown: time.Second, ConsecutiveFailures: 9}},
			map[string]Rate{"x": {2, 1}},
			"1 of 2 attempts failed within 1h, last: 503 from api.example.com; tried again at 12:00:06Z (policy x)",
		},
		"of a hundred unheard": {many, nil, "3 consecutive failures, last: 503 from api.example.com; tried again at 2026-03-16T12:00:05Z (policies " + strings.Repeat("x", 250) + "000…"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStory(t)
			s.in.Units, s.in.Evidence.Window = test.units, test.window
			s.signals(failing("a", 1, 3, 2))
			s.judge(5)
			got := s.state.Verdicts[0]
			if start, ok := strings.CutSuffix(test.want, "…"); ok {
				if !strings.HasPrefix(got.Message, start) || len(got.Policies) != 64 || len(got.Message) > 1024 {
					t.Errorf("%d policies, and says %q", len(got.Policies), got.Message)
				}
				return
			}
			if got.Message != test.want {
				t.Errorf("says\n%q, want\n%q", got.Message, test.want)
			}
		})
	}
}

// The API carries microseconds, and whole seconds for ends; zones and the monotonic clock it does not carry.
func TestTimesAreCutToWhatTheAPICarries(t *testing.T) {
	zone := time.FixedZone("there", 3600)
	odd := func(seconds float64) time.Time { return at(seconds).Add(1234567 * time.Nanosecond).In(zone) }
	in := Input{Configuration: "c1", Units: []Unit{DefaultUnit}, InMaintenance: true, MaintenanceUntil: odd(50)}
	in.Probe = ProbeResult{FailureThreshold: 9, Failed: odd(1)}
	in.Evidence.Signals = []Signal{{Proxy: "a", Epoch: 1, Failures: 3, Requests: 3, Since: odd(0), LastFailure: odd(2), RateLimitedUntil: odd(90)}}
	s := Judge(State{Epoch: 1, Configuration: "c1"}, &in, odd(3)).State
	fine := at(0).Add(1234 * time.Microsecond)
	want := State{
		Epoch: 2, Configuration: "c1", Trips: 1, EarlierFailures: 3, FailureCount: 3,
		Verdicts: []Verdict{
			{Reason: MaintenanceWindow, Since: at(3), Until: at(51)},
			{Reason: ErrorThreshold, Since: at(3), Until: at(64), Trial: true},
			{Reason: RateLimited, Since: at(3), Until: at(91)},
		},
		Evidence:       Basis{Epoch: 1, Time: fine.Add(2 * time.Second)},
		LastTransition: fine.Add(3 * time.Second),
		Probe:          Probe{Failures: 1, LastFailure: fine.Add(time.Second)},
	}
	if diff := unlike(want, silent(s)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	in.InMaintenance = false
	in.Evidence.Signals = nil
	s = Judge(s, &in, odd(95)).State
	if s.Trial == nil || s.Trial.Since != at(91) {
		t.Errorf("it is %s", describe(&s))
	}
}
