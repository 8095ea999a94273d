// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package modelstate_test

import (
	"fmt"
	"testing"

	. "github.com/turnout-ai/turnout/internal/modelstate"
)

// fleetOf are the signals of so many proxies that see an endpoint succeed.
func fleetOf(proxies int, epoch int64) []Signal {
	var signals []Signal
	for i := range proxies {
		signals = append(signals, succeeding(fmt.Sprintf("proxy-%d", i), epoch, 100, float64(i)/100))
	}
	return signals
}

func BenchmarkJudge(b *testing.B) {
	healthy := &Input{Configuration: "c1", Units: []Unit{DefaultUnit}, Evidence: Evidence{Signals: fleetOf(100, 1)}}
	failed := &Input{Configuration: "c1", Units: []Unit{DefaultUnit}}
	for i := range 100 {
		failed.Evidence.Signals = append(failed.Evidence.Signals, failing(fmt.Sprintf("proxy-%d", i), 1, 3, 2))
	}
	active := Judge(State{}, healthy, noon).State
	resting := Judge(active, failed, at(3)).State
	for _, bench := range []struct {
		name  string
		state State
		in    *Input
	}{{"active", active, healthy}, {"resting", resting, failed}, {"trips", active, failed}} {
		b.Run(bench.name+"/100-proxies", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Judge(bench.state, bench.in, at(4))
			}
		})
	}
}

func BenchmarkStanding(b *testing.B) {
	units := []Unit{DefaultUnit}
	failed := &Input{Configuration: "c1", Units: units, Evidence: Evidence{Signals: []Signal{failing("a", 1, 3, 2)}}}
	resting := Judge(State{Epoch: 1, Configuration: "c1"}, failed, at(3)).State
	for _, bench := range []struct {
		name    string
		seconds float64
	}{{"resting", 10}, {"returning", 70}} {
		b.Run(bench.name, func(b *testing.B) {
			b.ReportAllocs()
			now := at(bench.seconds)
			for b.Loop() {
				resting.Standing(units, now)
			}
		})
	}
}

// Judging what has not changed happens at every report and every timer, for every endpoint.
func TestJudgingWithoutNewsAllocatesNothing(t *testing.T) {
	units := []Unit{DefaultUnit}
	in := &Input{Configuration: "c1", Units: units, Evidence: Evidence{Signals: fleetOf(10, 1), Busy: []string{"proxy-1"}}}
	failed := &Input{Configuration: "c1", Units: units, Evidence: Evidence{Signals: []Signal{failing("a", 1, 3, 2)}}}
	active := Judge(State{}, in, noon).State
	resting := Judge(active, failed, at(3)).State
	for name, judge := range map[string]func(){
		"active":   func() { Judge(active, in, at(4)) },
		"resting":  func() { Judge(resting, failed, at(4)) },
		"standing": func() { resting.Standing(units, at(70)) },
	} {
		if n := testing.AllocsPerRun(100, judge); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
