// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package routing_test

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/turnout-ai/turnout/internal/routing"
)

// atomicLive has the cost of a real Live: atomic reads for each endpoint, an atomic increment for each turn and
// for each on trial.
type atomicLive struct {
	kind  []atomic.Uint32
	until []atomic.Int64
	asked []atomic.Uint64
	turns []atomic.Uint64
}

func newAtomicLive(t *routing.Table) *atomicLive {
	n := len(t.Endpoints)
	return &atomicLive{
		kind: make([]atomic.Uint32, n), until: make([]atomic.Int64, n), asked: make([]atomic.Uint64, n),
		turns: make([]atomic.Uint64, t.Turns),
	}
}

func (l *atomicLive) Standing(endpoint int, now int64) routing.Standing {
	until := l.until[endpoint].Load()
	if until != 0 && until <= now {
		return routing.Standing{}
	}
	return routing.Standing{Kind: routing.StandingKind(l.kind[endpoint].Load()), Until: until}
}

// TakeTrial takes one in ten.
func (l *atomicLive) TakeTrial(endpoint int, _ int64) bool { return l.asked[endpoint].Add(1)%10 == 1 }

func (l *atomicLive) NextTurn(turn int) uint64 { return l.turns[turn].Add(1) - 1 }

// pooled returns a policy over that many endpoints, a tenth of which lack a feature.
func pooled(endpoints int, strategy routing.Strategy) *routing.Table {
	var in routing.Input
	for i := range endpoints {
		features := routing.ToolCalling | routing.Vision
		if i%10 == 9 {
			features = 0
		}
		in.Endpoints = append(in.Endpoints, endpoint(fmt.Sprintf("e%04d", i), declaring(features)))
	}
	in.Policies = []routing.PolicySpec{policy("p", 1, models("m"), serving("generation"), tiers(routing.TierSpec{Strategy: strategy}))}
	return routing.Build(in)
}

// benchFacts is an ordinary request with tools.
var benchFacts = routing.Facts{
	Operation: routing.ChatCompletions, Delivery: routing.Streaming, Features: routing.ToolCalling, InputTokens: 1000, MaxOutputTokens: 500,
}

// planCases are the situations whose plans are measured.
func planCases(run func(name string, route routing.Route, live *atomicLive)) {
	for _, size := range []int{10, 1000} {
		for _, strategy := range []routing.Strategy{routing.Priority, routing.RoundRobin} {
			table := pooled(size, strategy)
			run(fmt.Sprintf("%v/%d", strategy, size), routing.Route{Policy: table.Policies[0]}, newAtomicLive(table))
		}
		table := pooled(size, routing.Priority)
		below := routing.Route{Policy: table.Policies[0], Node: "generation.text-generation.chat-completion"}
		run(fmt.Sprintf("BelowThePolicy/%d", size), below, newAtomicLive(table))
		resting := newAtomicLive(table)
		for i := range resting.until {
			resting.kind[i].Store(uint32(routing.Resting))
			resting.until[i].Store(int64(1000 + i*7919%size))
		}
		run(fmt.Sprintf("AllResting/%d", size), routing.Route{Policy: table.Policies[0]}, resting)
		mixed := newAtomicLive(table)
		for i := range mixed.kind {
			if kind := i % 16; kind <= int(routing.Barred) {
				mixed.kind[i].Store(uint32(kind))
				mixed.until[i].Store(int64(1000 + i*7919%size))
			}
		}
		run(fmt.Sprintf("SomeOnTrialRestingBarred/%d", size), routing.Route{Policy: table.Policies[0]}, mixed)
		noLastResort := *table.Policies[0]
		noLastResort.RejectResting = true
		run(fmt.Sprintf("SomeRejected/%d", size), routing.Route{Policy: &noLastResort}, mixed)
	}
}

func BenchmarkPlan(b *testing.B) {
	planCases(func(name string, route routing.Route, live *atomicLive) {
		b.Run(name, func(b *testing.B) {
			var plan routing.Plan
			b.ReportAllocs()
			for b.Loop() {
				route.Plan(benchFacts, live, 1, &plan)
			}
		})
	})
}

func TestPlanDoesNotAllocate(t *testing.T) {
	planCases(func(name string, route routing.Route, live *atomicLive) {
		var plan routing.Plan
		pinned := benchFacts
		pinned.Pinned = true
		if allocs := testing.AllocsPerRun(10, func() {
			route.Plan(pinned, live, 1, &plan)
			route.Plan(benchFacts, live, 1, &plan)
		}); allocs != 0 {
			t.Errorf("%s: %v allocations", name, allocs)
		}
		if len(plan.Order) == 0 || len(plan.Excluded) == 0 {
			t.Errorf("%s: the plan has %d candidates and %d excluded", name, len(plan.Order), len(plan.Excluded))
		}
	})
}

// large returns an input of the promised size. Spread over namespaces, policies see 20 endpoints each; in one
// namespace every policy sees all.
func large(namespaces int) routing.Input {
	var in routing.Input
	leaves := []string{chat, "text-completion", "code-generation", "text-embeddings", "ocr", "acme.com/a.b"}
	for i := range 1000 {
		e := endpoint(fmt.Sprintf("e%04d", i), offering(leaves[i%len(leaves)]), inNamespace(fmt.Sprintf("ns%02d", i%namespaces)))
		e.Labels = map[string]string{"region": fmt.Sprintf("r%d", i%7), "team": "x"}
		in.Endpoints = append(in.Endpoints, e)
	}
	for i := range 500 {
		p := policy(fmt.Sprintf("p%03d", i), int64(i), models(fmt.Sprintf("m%03d", i), "shared"), policyIn(fmt.Sprintf("ns%02d", i%namespaces)))
		p.Tiers = []routing.TierSpec{
			matching(routing.Match{Labels: []routing.Requirement{{Label: "region", Op: routing.In, Values: []string{"r1", "r2"}}}}),
			matching(routing.Match{ExcludedProviders: []string{"acme"}}),
		}
		in.Policies = append(in.Policies, p)
	}
	return in
}

func BenchmarkBuild(b *testing.B) {
	for _, namespaces := range []int{1, 50} {
		in := large(namespaces)
		b.Run(fmt.Sprintf("1000x500in%dnamespaces", namespaces), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if t := routing.Build(in); len(t.Policies) != 500 {
					b.Fatal("not built")
				}
			}
		})
	}
}

func BenchmarkResolve(b *testing.B) {
	table := routing.Build(large(50))
	for name, asked := range map[string]string{"ModelName": "m000", "Explicit": "ns49/m049", "Unknown": "m000x"} {
		b.Run(name, func(b *testing.B) {
			inBytes := []byte(asked)
			b.ReportAllocs()
			for b.Loop() {
				_, _ = table.ResolveBytes("ns00", inBytes)
			}
		})
	}
	small := resolveTable()
	b.Run("CapabilityAbove", func(b *testing.B) {
		inBytes := []byte("generation.text-generation.chat-completion")
		b.ReportAllocs()
		for b.Loop() {
			if _, err := small.ResolveBytes("default", inBytes); err != nil {
				b.Fatal(err)
			}
		}
	})
}
