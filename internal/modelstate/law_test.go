// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package modelstate_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	. "github.com/turnout-ai/turnout/internal/modelstate"
)

// usedUp is a limit of which nothing is left, until that many seconds.
func usedUp(reason Reason, until float64) LimitUse {
	return LimitUse{Reason: reason, Until: at(until), Used: "1000", Amount: "1000 requests"}
}

func TestALimitThatIsUsedUpIsLaw(t *testing.T) {
	s := newStory(t)
	limit := usedUp(RequestLimit, 3600)
	limit.Left, limit.Out = 0, 3
	s.in.Limits = []LimitUse{limit}
	s.judge(1)
	s.want("", "active", 1) // somebody may still use what is out

	limit.Out = 0
	s.in.Limits = []LimitUse{limit}
	s.judge(2)
	s.want("deactivated RequestLimit", "RequestLimit until 3600", 1)
	if got, want := s.state.Verdicts[0].Message, "1000 of 1000 requests used; comes back at 13:00 UTC"; got != want {
		t.Errorf("it says %q, want %q", got, want)
	}
	if !s.last.Next.Equal(at(3600)) {
		t.Errorf("next is %v", s.last.Next)
	}

	limit.Out = 5 // numbers that come late, or what a proxy gave back and another one was lent
	s.in.Limits = []LimitUse{limit}
	s.judge(3)
	s.want("", "RequestLimit until 3600", 1)
	limit.Left = 1
	s.in.Limits = []LimitUse{limit}
	s.judge(4)
	s.want("activated RequestLimit", "active", 1)

	s.in.Limits = []LimitUse{usedUp(RequestLimit, 3600)}
	s.judge(5)
	s.want("deactivated RequestLimit", "RequestLimit until 3600", 1)
	s.in.Limits = nil // it was removed
	s.judge(6)
	s.want("activated RequestLimit", "active", 1)

	s.in.Limits = []LimitUse{usedUp(RequestLimit, 3600)}
	s.judge(7)
	s.judge(3600) // the period is over, whatever is said of it
	s.want("activated RequestLimit", "active", 1)
}

func TestLimitsGoByTheirPrecedence(t *testing.T) {
	s := newStory(t)
	s.in.Limits = []LimitUse{usedUp(RequestLimit, 100), usedUp(TokenLimit, 100), usedUp(BudgetExceeded, 5000)}
	s.signals(failing("a", 1, 3, 2))
	s.judge(3)
	s.want("deactivated ErrorThreshold, deactivated BudgetExceeded, deactivated TokenLimit, deactivated RequestLimit",
		"BudgetExceeded until 5000, TokenLimit until 100, RequestLimit until 100, ErrorThreshold until 63", 2)
	s.in.Suspended = true
	s.judge(4)
	s.want("deactivated Manual", "Manual, BudgetExceeded until 5000, TokenLimit until 100, RequestLimit until 100, ErrorThreshold until 63", 2)
	s.in.Suspended = false
	s.judge(63)
	s.want("", "BudgetExceeded until 5000, TokenLimit until 100, RequestLimit until 100, trial", 3)
	s.judge(100)
	s.want("", "BudgetExceeded until 5000, trial", 3)
	s.judge(5000)
	s.want("trial begun BudgetExceeded", "trial", 3)
}

func TestNobodyIsToldOfAReturnIntoALimit(t *testing.T) {
	s := newStory(t)
	s.signals(failing("a", 1, 3, 2))
	s.judge(3)
	s.in.Limits = []LimitUse{usedUp(TokenLimit, 1000)}
	s.judge(63)
	s.want("deactivated TokenLimit", "TokenLimit until 1000, trial", 3)
}

func TestTheSentenceOfALimit(t *testing.T) {
	now := at(0)
	for name, tc := range map[string]struct {
		before, after LimitUse
		want          string
	}{
		"tells a day that is not the next": {
			after: LimitUse{Reason: BudgetExceeded, Until: now.AddDate(0, 0, 13), Used: "$1.02", Amount: "$1.00"},
			want:  "$1.02 of $1.00 used; comes back at 2026-03-27 12:00 UTC",
		},
		"stays when more turns out to be used": {
			before: LimitUse{Reason: TokenLimit, Until: now.Add(time.Hour), Used: "1000", Amount: "1000 tokens"},
			after:  LimitUse{Reason: TokenLimit, Until: now.Add(time.Hour), Used: "1100", Amount: "1000 tokens"},
			want:   "1000 of 1000 tokens used; comes back at 13:00 UTC",
		},
		"changes with the limit": {
			before: LimitUse{Reason: TokenLimit, Until: now.Add(time.Hour), Used: "1000", Amount: "1000 tokens"},
			after:  LimitUse{Reason: TokenLimit, Until: now.Add(time.Hour), Used: "1100", Amount: "1100 tokens"},
			want:   "1100 of 1100 tokens used; comes back at 13:00 UTC",
		},
		"changes with the period": {
			before: LimitUse{Reason: TokenLimit, Until: now.Add(time.Hour), Used: "1000", Amount: "1000 tokens"},
			after:  LimitUse{Reason: TokenLimit, Until: now.Add(2 * time.Hour), Used: "1000", Amount: "1000 tokens"},
			want:   "1000 of 1000 tokens used; comes back at 14:00 UTC",
		},
	} {
		t.Run(name, func(t *testing.T) {
			in := Input{Configuration: "c1", Limits: []LimitUse{tc.before}}
			state := Judge(State{}, &in, now).State
			in.Limits = []LimitUse{tc.after}
			state = Judge(state, &in, now).State
			if diff := cmp.Diff(tc.want, state.Verdicts[0].Message); diff != "" {
				t.Errorf("message (-want +got):\n%s", diff)
			}
		})
	}
}

// An endpoint that gets no traffic because of a limit cannot say that its provider is up.
func TestAnEndpointAtItsLimitIsNoWitnessOfAnOutage(t *testing.T) {
	now := at(10)
	fails := func() *Input {
		return &Input{Configuration: "c1", Units: []Unit{DefaultUnit}, Evidence: Evidence{Signals: []Signal{{
			Proxy: "a", Epoch: 1, Failures: 3, Requests: 3, Outage: 3, Since: at(8), LastFailure: at(9), Message: "503",
		}}}}
	}
	healthy := &Input{Configuration: "c1", Units: []Unit{DefaultUnit}}
	state := func() *State { return &State{Epoch: 1, Configuration: "c1"} }
	members := []Member{
		{Name: "a", Provider: "p", Usable: true, State: state(), Input: fails()},
		{Name: "b", Provider: "p", Usable: true, State: state(), Input: fails()},
		{Name: "c", Provider: "p", Usable: true, State: state(), Input: healthy},
	}
	if SiblingsOf(members, now)[0].Outage {
		t.Fatal("an outage, although one endpoint has nothing to complain of")
	}
	members[2].State.Verdicts = []Verdict{{Reason: RequestLimit, Until: at(100)}}
	if !SiblingsOf(members, now)[0].Outage {
		t.Error("no outage, although all that get traffic fail")
	}
	if SiblingsOf(members, now)[2].Outage {
		t.Error("an outage of the endpoint at its limit")
	}
}
