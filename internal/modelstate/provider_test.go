// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package modelstate_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	. "github.com/turnout-ai/turnout/internal/modelstate"
)

// fleet are the endpoints of one provider that share a credential.
type fleet struct {
	t       *testing.T
	members []Member
	// changes are those of the last judgement, by member.
	changes []string
}

func newFleet(t *testing.T, n int) *fleet {
	f := &fleet{t: t, changes: make([]string, n)}
	for i := range n {
		f.members = append(f.members, Member{
			Name: string(rune('a' + i)), Provider: "openai", Credential: "key", Usable: true,
			State: &State{}, Input: &Input{Configuration: "c1", Units: []Unit{DefaultUnit}},
		})
	}
	f.judge(0)
	return f
}

// judge gathers what members say of each other, then judges each.
func (f *fleet) judge(seconds float64) {
	siblings := SiblingsOf(f.members, at(seconds))
	for i, m := range f.members {
		m.Input.Siblings = siblings[i]
		j := Judge(*m.State, m.Input, at(seconds))
		*m.State, f.changes[i] = j.State, kinds(j.Changes)
	}
}

func (f *fleet) signals(member int, signals ...Signal) {
	f.members[member].Input.Evidence.Signals = signals
}

// want checks how the members stand, in their order.
func (f *fleet) want(status ...string) {
	f.t.Helper()
	var got []string
	for _, m := range f.members {
		got = append(got, describe(m.State))
	}
	if diff := cmp.Diff(status, got); diff != "" {
		f.t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestAProviderIsOutWhenAllItsEndpointsFail(t *testing.T) {
	other := failing("p", 1, 3, 2)
	other.Outage = 2
	succeeded := failing("p", 1, 1, 2)
	succeeded.LastSuccess = at(2.5)
	for name, test := range map[string]struct {
		change func(f *fleet)
		want   []string
	}{
		"one at its threshold, the other with a failure": {
			func(*fleet) {}, []string{"ProviderOutage until 63", "ProviderOutage until 63"},
		},
		"none at its threshold": {
			func(f *fleet) { f.signals(0, failing("p", 1, 2, 2)) }, []string{"active", "active"},
		},
		"the other does not fail": {
			func(f *fleet) { f.signals(1) }, []string{"ErrorThreshold until 63", "active"},
		},
		"the other fails in another way": {
			func(f *fleet) { f.signals(1, other) }, []string{"ErrorThreshold until 63", "ErrorThreshold until 63"},
		},
		"the other has a newer success": {
			func(f *fleet) { f.signals(1, succeeded) }, []string{"ErrorThreshold until 63", "active"},
		},
		"the other failed in an older epoch": {
			func(f *fleet) { f.signals(1, failing("p", 0, 9, 2)) }, []string{"ErrorThreshold until 63", "active"},
		},
		"a probe has succeeded since": {
			func(f *fleet) { f.members[1].Input.Probe.Succeeded = at(2.5) }, []string{"ErrorThreshold until 63", "active"},
		},
		"the other takes no traffic, so one is left": {
			func(f *fleet) { f.members[1].Usable = false }, []string{"ErrorThreshold until 63", "active"},
		},
		"the other belongs to somebody else": {
			func(f *fleet) { f.members[1].Provider = "" }, []string{"ErrorThreshold until 63", "active"},
		},
		"the other is another endpoint now": {
			func(f *fleet) { f.members[1].Input.Configuration = "c2" }, []string{"ErrorThreshold until 63", "active"},
		},
		"one proxy cannot connect, and others are busy": {
			func(f *fleet) {
				f.signals(0, unconnected("p", 1, 3, 2))
				f.members[0].Input.Evidence.Busy = []string{"p", "q"}
			}, []string{"active", "active"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFleet(t, 2)
			f.signals(0, failing("p", 1, 3, 2))
			f.signals(1, failing("p", 1, 1, 2))
			test.change(f)
			f.judge(3)
			f.want(test.want...)
		})
	}
}

func TestAnEndpointThatStandsAsideDoesNotHideAnOutage(t *testing.T) {
	f := newFleet(t, 3)
	f.signals(2, stating("p", 1, Statement{Reason: QuotaExhausted, At: at(1), Until: at(900)}))
	f.judge(1)
	f.signals(0, failing("p", 1, 3, 2))
	f.signals(1, failing("p", 1, 3, 2))
	f.judge(3)
	f.want("ProviderOutage until 63", "ProviderOutage until 63", "QuotaExhausted until 900")
}

func TestAnOutageJoinsThoseThatTrippedBefore(t *testing.T) {
	f := newFleet(t, 2)
	f.signals(0, failing("p", 1, 3, 2))
	f.judge(3)
	f.want("ErrorThreshold until 63", "active")
	f.signals(1, failing("p", 1, 1, 8))
	f.judge(9)
	f.want("ProviderOutage until 69, ErrorThreshold until 63", "ProviderOutage until 69")
	for _, m := range f.members {
		if m.State.Trips != 1 {
			t.Errorf("%s has tripped %d times in one incident", m.Name, m.State.Trips)
		}
	}
	f.judge(69)
	f.want("trial", "trial")
	for second := 70.0; second < 200; second++ {
		f.judge(second)
	}
	f.want("trial", "trial")

	// Both fail their trial at once: both rests double, once.
	for i := range f.members {
		f.signals(i, failing("p", f.members[i].State.Epoch, 1, 200))
	}
	f.judge(201)
	f.want("ProviderOutage until 321", "ProviderOutage until 321")
}

func TestAnEndpointWithAFaultOfItsOwnDoesNotHoldTheOthers(t *testing.T) {
	f := newFleet(t, 2)
	now := 1.0
	for range 5 {
		f.signals(0, failing("p", f.members[0].State.Epoch, 3, now))
		f.judge(now)
		now = f.members[0].State.CooldownUntil().Sub(noon).Seconds()
		f.judge(now)
		now++
	}
	f.signals(0, failing("p", f.members[0].State.Epoch, 3, now))
	f.judge(now)
	f.signals(1, failing("p", 1, 1, now))
	f.judge(now + 1)
	if rest := f.members[1].State.CooldownRemaining(at(now + 1)); rest != time.Minute {
		t.Errorf("the other rests %v", rest)
	}
	if rest := f.members[0].State.CooldownRemaining(at(now)); rest != 32*time.Minute {
		t.Errorf("it rests %v itself", rest)
	}
}

func TestAnOutageOfThoseThatRestAlreadyDoublesNothing(t *testing.T) {
	f := newFleet(t, 3)
	f.signals(0, failing("p", 1, 3, 2))
	f.judge(3)
	f.signals(1, failing("p", 1, 3, 5))
	f.judge(6)
	f.want("ErrorThreshold until 63", "ErrorThreshold until 66", "active")
	f.members[2].Usable = false
	f.judge(20)
	f.want("ProviderOutage until 80, ErrorThreshold until 63", "ProviderOutage until 80, ErrorThreshold until 66", "active")
	if a, b := f.members[0].State.Trips, f.members[1].State.Trips; a != 1 || b != 1 {
		t.Errorf("%d and %d trips", a, b)
	}
}

// Whoever joins an outage returns with the others.
func TestALateMemberOfAnOutageReturnsWithTheOthers(t *testing.T) {
	f := newFleet(t, 3)
	f.members[2].Usable = false
	long := DefaultUnit
	long.Cooldown = 10 * time.Minute
	f.members[0].Input.Units = []Unit{long}
	f.signals(0, failing("p", 1, 3, 2))
	f.signals(1, failing("p", 1, 3, 2))
	f.judge(3)
	f.want("ProviderOutage until 603", "ProviderOutage until 603", "active")
	f.members[2].Usable = true
	f.signals(2, failing("p", 1, 1, 8))
	f.judge(9)
	f.want("ProviderOutage until 603", "ProviderOutage until 603", "ProviderOutage until 603")
}

func TestAnOutageEndsWithAProbeOfAnyEndpoint(t *testing.T) {
	f := newFleet(t, 3)
	for i := range f.members {
		f.signals(i, failing("p", 1, 3, 2))
	}
	f.judge(3)
	f.want("ProviderOutage until 63", "ProviderOutage until 63", "ProviderOutage until 63")
	f.members[1].Input.Probe = ProbeResult{FailureThreshold: 3, Succeeded: at(20)}
	for second := 20.0; second < 100; second++ {
		f.judge(second)
		f.want("trial", "trial", "trial")
	}
}

func TestACredentialIsRefusedForAll(t *testing.T) {
	refused := func(seconds float64) Signal {
		return stating("p", 1, Statement{Reason: ProviderAuthFailure, At: at(seconds), Message: "401 from api.example.com"})
	}
	t.Run("not after one endpoint", func(t *testing.T) {
		f := newFleet(t, 3)
		f.signals(0, refused(1))
		f.judge(1)
		f.judge(2)
		f.want("ProviderAuthFailure", "active", "active")
	})
	t.Run("after a second", func(t *testing.T) {
		f := newFleet(t, 4)
		f.members[3].Credential = "another"
		f.signals(0, refused(1))
		f.judge(1)
		f.signals(1, refused(5))
		f.judge(5)
		f.want("ProviderAuthFailure", "ProviderAuthFailure", "ProviderAuthFailure", "active")
		want := "the credential is refused elsewhere: at b: 401 from api.example.com; comes back when the Secret changes or a probe succeeds"
		if got := f.members[2].State.Verdicts[0].Message; got != want {
			t.Errorf("says %q, want %q", got, want)
		}
	})
	t.Run("after one and a probe that failed later", func(t *testing.T) {
		f := newFleet(t, 2)
		f.members[1].Input.Probe = ProbeResult{FailureThreshold: 5, Failed: at(0.5)}
		f.signals(0, refused(1))
		f.judge(1)
		f.want("ProviderAuthFailure", "active")
		f.members[1].Input.Probe.Failed = at(3)
		f.judge(3)
		f.want("ProviderAuthFailure", "ProviderAuthFailure")
	})
	t.Run("until a probe with it succeeds, for good", func(t *testing.T) {
		f := newFleet(t, 3)
		f.signals(0, refused(1))
		f.signals(1, refused(1))
		f.judge(1)
		f.members[2].Input.Probe.Succeeded = at(9)
		for second := 9.0; second < 30; second++ {
			f.judge(second)
			f.want("active", "active", "active")
		}
	})
	t.Run("until the Secret changes, for good", func(t *testing.T) {
		f := newFleet(t, 3)
		f.signals(0, refused(1))
		f.signals(1, refused(1))
		f.judge(1)
		f.want("ProviderAuthFailure", "ProviderAuthFailure", "ProviderAuthFailure")
		for i := range f.members {
			f.members[i].Input.Configuration = "c2"
		}
		for second := 2.0; second < 9; second++ {
			f.judge(second)
			f.want("active", "active", "active")
		}
	})
}

// One thing after another at several endpoints of one provider: no random news keeps them from coming back.
func TestSiblingsDoNotHoldEachOther(t *testing.T) {
	for seed := range uint64(100) {
		var members []Member
		var histories []*history
		for i := range 3 {
			h := newHistory(seed*10 + uint64(i) + 5e6)
			histories = append(histories, h)
			members = append(members, Member{
				Name: fmt.Sprint(i), Provider: "p", Credential: "c", Usable: true, State: &State{}, Input: &h.in,
			})
		}
		judge := func(now time.Time) {
			siblings := SiblingsOf(members, now)
			for i, m := range members {
				m.Input.Siblings = siblings[i]
				first := Judge(*m.State, m.Input, now)
				*m.State = first.State
				if diff := unlike(first.State, Judge(first.State, m.Input, now).State); diff != "" {
					t.Fatalf("with seed %d, judged again (-first +again):\n%s", seed, diff)
				}
			}
		}
		now := noon
		for range 40 {
			for i, h := range histories {
				h.now = now
				h.step(members[i].State)
				now = h.now
			}
			judge(now)
		}
		for _, m := range members {
			*m.Input = Input{Configuration: m.Input.Configuration, Units: m.Input.Units}
		}
		now = now.Add(2 * time.Second)
		members[0].Input.Probe.Succeeded = now
		for range 40 {
			for _, m := range members {
				m.Input.Evidence.Signals = []Signal{{Proxy: "a", Epoch: m.State.Epoch, Successes: 1000, LastSuccess: now}}
			}
			judge(now)
			now = now.Add(2 * time.Hour)
		}
		for _, m := range members {
			if !m.State.Active() || m.State.Trial != nil {
				t.Fatalf("with seed %d %s stays %s", seed, m.Name, describe(m.State))
			}
		}
	}
}
