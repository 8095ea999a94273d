// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/turnout-ai/turnout/internal/calendar"
	"github.com/turnout-ai/turnout/internal/routing"
)

// stage is a world in which nothing is left to chance.
type stage struct {
	*world
	plan *plan
	// admitted are attempts, by place; latest is when there was the last one.
	before map[*actor]int
}

// scenario is a story that once broke a draft of the protocol.
type scenario struct {
	name string
	// proxies and operators take part, with these clocks, in seconds ahead.
	proxies, operators []int64
	models             []endpointSpec
	// play says what happens, within the first half hour.
	play func(s *stage)
	// want says what else than the laws must hold, once everything is at rest; nil when that is all.
	want func(s *stage) error
	// breaks are sabotages that the scenario must not survive.
	breaks []sabotage
}

const ms = int64(time.Millisecond)

// hourly is an endpoint with so many requests an hour; from 11:00, twenty minutes after worlds begin.
func hourly(requests int64) endpointSpec {
	hour := calendar.Period{Unit: calendar.Hourly, Zone: time.UTC}
	return endpointSpec{provider: "north", model: "m", quota: hour, budget: hour, limits: routing.Limits{Requests: requests}}
}

// stageFor sets the stage.
func (c *scenario) stageFor(s sabotage) *stage {
	p := &plan{seed: 1, models: c.models, storm: 30 * minute}
	for _, skew := range c.proxies {
		p.proxies = append(p.proxies, placePlan{inPod: true, skew: skew * second})
	}
	for _, skew := range c.operators {
		p.seats = append(p.seats, skew*second)
	}
	st := &stage{world: newWorld(p, s, nil), plan: p}
	st.telling = true
	st.script.call = func(*actor, callKind, *fault) {}
	st.script.watch = func(*actor, kind) int64 { return 3 * ms }
	st.begin(p)
	return st
}

// run plays the scenario to its end.
func (c *scenario) run(s sabotage) error {
	st := c.stageFor(s)
	defer st.end()
	c.play(st)
	st.close(st.plan)
	if st.breach != nil {
		return st.breach
	}
	if c.want != nil {
		return c.want(st)
	}
	return nil
}

// calls has a proxy called so many times from a time on.
func (s *stage) calls(place int, name string, from int64, n int, gap int64) {
	for i := range n {
		s.at(from+int64(i)*gap, func() {
			if p := s.places[place].current; p.alive && !p.ending {
				r := s.request([]string{name}, uint64(i)*7919+17)
				r.takes = 50 * ms
				p.serve(r)
			}
		})
	}
}

// used is what was used of an endpoint's requests in a period that began so many minutes after eleven.
func (s *stage) usedSince(name string, minutes int) int64 {
	var sum int64
	for _, in := range s.audit.endpoints {
		if in.name == name {
			sum += in.in(moment(20*minute + int64(minutes)*minute)).requests
		}
	}
	return sum
}

func want(what string, got, want int64) error {
	if got != want {
		return fmt.Errorf("%s: %d, want %d", what, got, want)
	}
	return nil
}

var scenarios = []scenario{
	{
		name:    "1a: two proxies ask at once, of an operator that does not see what it wrote",
		proxies: []int64{0, 0}, operators: []int64{0}, models: []endpointSpec{hourly(10)},
		play: func(s *stage) {
			s.script.watch = func(a *actor, of kind) int64 {
				if a.id >= firstSeat && of == endpoints && s.now > minute {
					return 20 * second
				}
				return 3 * ms
			}
			s.calls(0, "alpha", 2*minute, 20, 40*ms)
			s.calls(1, "alpha", 2*minute+3*ms, 20, 40*ms)
		},
		want:   func(s *stage) error { return want("used from ten on", s.usedSince("alpha", -60), 10) },
		breaks: []sabotage{neverAnswered},
	},
	{
		name:    "1b: a leader that stood still wakes up after another has lent the rest",
		proxies: []int64{0, 0}, operators: []int64{0, 0}, models: []endpointSpec{hourly(10)},
		play: func(s *stage) {
			s.script.call = func(a *actor, kind callKind, f *fault) {
				if a == s.seats[0].actor && kind == writeStatus && s.now > 2*minute && s.now < 2*minute+second {
					f.request = 30 * second
				}
			}
			s.calls(0, "alpha", 2*minute, 12, 100*ms)
			s.at(2*minute+10*ms, func() { s.setLeads(s.seats[1], true) })
			s.calls(1, "alpha", 2*minute+2*second, 12, 100*ms)
			s.at(3*minute, func() { s.setLeads(s.seats[0], false) })
		},
		want:   func(s *stage) error { return want("used from ten on", s.usedSince("alpha", -60), 10) },
		breaks: []sabotage{noLock},
	},
	{
		name:    "2: a container starts again in its Pod, with a grant of which nothing was reported",
		proxies: []int64{0}, operators: []int64{0}, models: []endpointSpec{hourly(100)},
		play: func(s *stage) {
			s.calls(0, "alpha", 2*minute, 30, 20*ms)
			s.at(2*minute+2*second, func() { s.crash(s.places[0].current.process) })
			s.calls(0, "alpha", 3*minute, 200, 20*ms)
		},
		breaks: []sabotage{adoption, deadReturn},
	},
	{
		name:    "7: all proxies end at once, and each endpoint is written to a few times for it",
		proxies: []int64{0, 0, 0, 0}, operators: []int64{0}, models: []endpointSpec{hourly(0), hourly(100)},
		play: func(s *stage) {
			for i := range s.places {
				s.calls(i, "alpha", 2*minute+int64(i)*ms, 5, 20*ms)
				s.calls(i, "beta", 2*minute+int64(i)*ms, 5, 20*ms)
				s.at(4*minute, func() { s.places[i].current.stop() })
			}
			s.before = map[*actor]int{}
			s.script.seen = func(st *store, k kind, _, _ object) {
				if k == endpoints && st.by != nil && s.now > 4*minute && s.now < 5*minute {
					s.before[st.by.actor]++
				}
			}
		},
		want: func(s *stage) error {
			if n := s.before[s.seats[0].actor]; n > 8 {
				return fmt.Errorf("%d writes for two endpoints", n)
			}
			return nil
		},
		breaks: []sabotage{forgottenFold, releasedEarly},
	},
	{
		name:    "8: the next leader begins with a list that holds who is gone",
		proxies: []int64{0, 0}, operators: []int64{0}, models: []endpointSpec{hourly(100)},
		play: func(s *stage) {
			s.weather.lags = 1024
			s.calls(0, "alpha", 2*minute, 10, 20*ms)
			s.at(3*minute, func() { s.places[0].current.stop() })
			// The lagging API server learns of it a minute or two later.
			for at := 3*minute + 20*second; at < 6*minute; at += 15 * second {
				s.at(at, func() { s.crash(s.seats[0].current.process) })
			}
		},
		breaks: []sabotage{prunedEarly},
	},
	{
		name:    "9a: a proxy that is believed dead goes on with what it was lent",
		proxies: []int64{0, 0}, operators: []int64{0}, models: []endpointSpec{hourly(40)},
		play: func(s *stage) {
			s.calls(0, "alpha", 2*minute, 1, ms)
			s.at(2*minute+100*ms, func() { s.losePod(s.places[0], 16*minute) })
			s.calls(0, "alpha", 4*minute, 60, 50*ms)
			s.calls(1, "alpha", 3*minute, 60, 50*ms)
		},
		breaks: []sabotage{believedDeadReturn, deadReturn},
	},
	{
		name:    "9b: what idle proxies hold goes at once to the one that needs it",
		proxies: []int64{0, 0, 0}, operators: []int64{0}, models: []endpointSpec{hourly(16)},
		play: func(s *stage) {
			s.calls(0, "alpha", 2*minute, 1, ms)
			s.calls(1, "alpha", 2*minute+50*ms, 1, ms)
			s.calls(2, "alpha", 2*minute+2*second, 40, 100*ms)
			s.at(2*minute+8*second, func() { s.before = map[*actor]int{nil: int(s.usedSince("alpha", -60))} })
		},
		want:   func(s *stage) error { return want("used within eight seconds", int64(s.before[nil]), 16) },
		breaks: []sabotage{neverWanted, neverReturned},
	},
	{
		name:    "9c: a leader hears of a lease before it hears of the proxy that has it",
		proxies: []int64{0, 0}, operators: []int64{0, 0}, models: []endpointSpec{hourly(100)},
		play: func(s *stage) {
			s.script.watch = func(a *actor, of kind) int64 {
				if a == s.seats[1].actor && of == instances && s.now > minute {
					return 4 * minute
				}
				return 3 * ms
			}
			s.at(minute, func() { s.setLeads(s.seats[1], true) })
			for i := range s.places {
				from := 2*minute + int64(i)*4*second
				s.at(from, func() { s.crash(s.places[i].current.process) })
				s.calls(i, "alpha", from+2*second, 10, 20*ms)
			}
			s.at(2*minute+6*second+500*ms, func() {
				s.seats[0].paused = s.now + 3*second
				s.edit(&happening{what: editSpec, spec: hourly(50)})
			})
			s.at(10*minute, func() { s.setLeads(s.seats[1], false) })
		},
		want:   func(s *stage) error { return want("used from ten on", s.usedSince("alpha", -60), 20) },
		breaks: []sabotage{hastyAbsence},
	},
	{
		name:    "10a: midnight comes to a slow clock three seconds late",
		proxies: []int64{-3, 2}, operators: []int64{1}, models: []endpointSpec{hourly(30)},
		play: func(s *stage) {
			s.calls(0, "alpha", 19*minute+50*second, 300, 70*ms)
			s.calls(1, "alpha", 19*minute+50*second, 300, 70*ms)
		},
		want: func(s *stage) error {
			if err := want("used from ten on", s.usedSince("alpha", -60), 30); err != nil {
				return err
			}
			return want("used from eleven on", s.usedSince("alpha", 0), 30)
		},
		breaks: []sabotage{anyPeriod},
	},
	{
		name:    "10b: a stream ends in the period after the one that it was admitted in",
		proxies: []int64{0}, operators: []int64{0}, models: []endpointSpec{hourly(30)},
		play: func(s *stage) {
			s.at(19*minute, func() {
				r := s.request([]string{"alpha"}, 99)
				r.takes = 3 * minute
				s.places[0].current.serve(r)
			})
		},
		want:   func(s *stage) error { return want("used from ten on", s.usedSince("alpha", -60), 1) },
		breaks: []sabotage{bookedAtEnd},
	},
	{
		name:    "10c: a limit is lowered below what was lent",
		proxies: []int64{0, 0}, operators: []int64{0}, models: []endpointSpec{hourly(100)},
		play: func(s *stage) {
			s.calls(0, "alpha", 2*minute, 40, 20*ms)
			s.at(2*minute+second, func() { s.edit(&happening{what: editSpec, spec: hourly(50)}) })
			s.calls(0, "alpha", 3*minute, 100, 20*ms)
			s.calls(1, "alpha", 3*minute, 100, 20*ms)
		},
		want: func(s *stage) error {
			if n := s.usedSince("alpha", -60); n < 50 || n > 100 {
				return fmt.Errorf("%d were used, of 50 or what was lent of 100", n)
			}
			return nil
		},
		breaks: []sabotage{tookBack},
	},
	{
		name:    "10d: an endpoint is deleted and made again under its name",
		proxies: []int64{0}, operators: []int64{0}, models: []endpointSpec{hourly(20)},
		play: func(s *stage) {
			s.calls(0, "alpha", 2*minute, 15, 20*ms)
			s.at(3*minute, func() { s.edit(&happening{what: recreate, long: ms, spec: hourly(20)}) })
			s.calls(0, "alpha", 4*minute, 40, 20*ms)
		},
		want:   func(s *stage) error { return want("used of both from ten on", s.usedSince("alpha", -60), 35) },
		breaks: []sabotage{byName},
	},
	{
		name:    "10e: the first of the next period is lent before it begins",
		proxies: []int64{0, 0}, operators: []int64{0}, models: []endpointSpec{hourly(60)},
		play: func(s *stage) {
			s.calls(0, "alpha", 14*minute, 600, second)
			s.at(20*minute-second, func() {
				s.before = map[*actor]int{}
				for key, acc := range s.audit.accounts {
					if key.Start.Equal(moment(20 * minute)) {
						s.before[nil] = int(acc.lent)
					}
				}
			})
		},
		want: func(s *stage) error {
			if s.before[nil] == 0 {
				return fmt.Errorf("nothing was lent of the period from eleven on a second before it")
			}
			return nil
		},
		breaks: []sabotage{neverAnswered},
	},
}

// Each story that once broke a draft of the protocol ends well, and does not when what answers it is left out.
func TestStoriesThatOnceEndedBadly(t *testing.T) {
	t.Parallel()
	for i := range scenarios {
		c := &scenarios[i]
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if err := c.run(none); err != nil {
				st := c.stageFor(none)
				defer st.end()
				c.play(st)
				st.close(st.plan)
				t.Errorf("%v\n%s", err, strings.Join(st.tale(), "\n"))
			}
			for _, s := range c.breaks {
				if err := c.run(s); err == nil {
					t.Errorf("it ends well also with sabotage %d", s)
				} else {
					t.Logf("with sabotage %d: %v", s, err)
				}
			}
		})
	}
}
