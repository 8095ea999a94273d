// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package modelstate_test

import (
	"testing"
	"time"

	. "github.com/turnout-ai/turnout/internal/modelstate"
)

// FuzzJudge takes any state and any evidence, such as no operator has written and no proxy has sent.
func FuzzJudge(f *testing.F) {
	f.Add(uint64(1), int64(3), 2, uint8(10), int64(60), int64(3), int64(60e9), int64(500_000), int64(1), "503")
	f.Add(uint64(7), int64(-1), -5, uint8(200), int64(-1), int64(-9), int64(-1), int64(-1), int64(1)<<62, "\xff")
	f.Fuzz(func(t *testing.T, seed uint64, epoch int64, trips int, reason uint8, until, failures, cooldown, rate, at int64, message string) {
		h := newHistory(seed)
		s := State{Epoch: epoch % (1 << 40), Configuration: "c1", Trips: trips, EarlierFailures: failures}
		for range 5 {
			h.step(&s)
		}
		end := noon.Add(time.Duration(until))
		h.in.Evidence.Signals = append(h.in.Evidence.Signals, Signal{
			Proxy: "x", Epoch: s.Epoch + int64(trips%3), Failures: failures, Requests: failures, Connect: at, Outage: failures,
			Since: time.Unix(at%1e12, 0), LastFailure: end, LastSuccess: time.Unix(until%1e12, 0), Message: message, RateLimitedUntil: end,
			Statements: []Statement{{Reason: Reason(reason), Until: end, Message: message}, {Reason: QuotaExhausted, Until: end}},
		})
		u := &h.in.Units[0]
		u.Cooldown, u.MaxCooldown, u.ErrorRate, u.Ramp = time.Duration(cooldown), time.Duration(at), rate, time.Duration(until)
		u.InitialPercent, u.Successes, u.MaxRetryAfter = trips, trips, time.Duration(cooldown)
		s.Verdicts = append(s.Verdicts, Verdict{Reason: Reason(reason), Until: end, Trial: seed%2 == 0, Policies: []string{message}, Message: message})
		if seed%3 == 0 {
			s.Trial = &Trial{Since: end, InitialPercent: trips, Ramp: time.Duration(cooldown), Successes: trips, Policies: []string{"chat"}}
		}
		j := Judge(s, &h.in, h.now)
		if j.State.Epoch < s.Epoch || j.State.Epoch < 1 {
			t.Errorf("epoch %d after %d", j.State.Epoch, s.Epoch)
		}
		if again := Judge(j.State, &h.in, h.now); again.State.Epoch != j.State.Epoch {
			t.Errorf("judged again: %q, then %q", kinds(j.Changes), kinds(again.Changes))
		}
		for _, v := range j.State.Verdicts {
			if len(v.Message) > 1024 {
				t.Errorf("%v says %d bytes", v.Reason, len(v.Message))
			}
		}
		if standing := j.State.Standing(h.in.Units, end); standing.Percent > 100 {
			t.Errorf("it gets %d %% of its traffic", standing.Percent)
		}
		m := Member{Name: message, Provider: "p", Credential: "c", State: &j.State, Input: &h.in, Usable: true}
		SiblingsOf([]Member{m, m}, h.now)
	})
}
