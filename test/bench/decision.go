// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"testing"

	"github.com/turnout-ai/turnout/internal/routing"
	"github.com/turnout-ai/turnout/test/evidence"
)

const aboutDecision = "What it takes to resolve a model name and order its candidates, in one thread, by Go's benchmark harness. " +
	"The candidates are the endpoints of one policy; in the last rows the configuration has 1,000 endpoints and 500 policies beside it."

// decision measures the routing decision alone.
func decision(ctx context.Context, rounds int) (*evidence.Record, error) {
	record := evidence.Begin(ctx, "decision", aboutDecision, "make bench", 0)
	table := evidence.Table{Name: "plan", Columns: []string{"candidates", "strategy", "ns", "allocations"}}
	table.Columns = []string{"decision", "ns [min–max]", "allocations"}
	for _, c := range []struct {
		label      string
		candidates int
		strategy   routing.Strategy
		crowd      int // further endpoints in the configuration
	}{
		{"10 candidates, Priority", 10, routing.Priority, 0},
		{"10 candidates, RoundRobin", 10, routing.RoundRobin, 0},
		{"1,000 candidates, Priority", 1000, routing.Priority, 0},
		{"1,000 candidates, RoundRobin", 1000, routing.RoundRobin, 0},
		{"10 candidates among 1,000 endpoints and 500 policies", 10, routing.Priority, 1000},
	} {
		fmt.Println("routing decision:", c.label)
		t := routing.Build(configuration(c.candidates, c.strategy, c.crowd))
		for range rounds {
			result := testing.Benchmark(func(b *testing.B) { benchmarkDecision(b, t) })
			record.Add(c.label+": time", "ns", float64(result.T.Nanoseconds())/float64(result.N))
			record.Add(c.label+": allocations", "", float64(result.AllocsPerOp()))
		}
		table.Rows = append(table.Rows, evidence.Row{Label: c.label, Cells: []evidence.Cell{
			{Series: c.label + ": time", Stat: "range"}, {Series: c.label + ": allocations", Stat: "max"},
		}})
	}
	record.Tables = []evidence.Table{table}
	return record, ctx.Err()
}

// awake is live state in which nothing rests.
type awake struct{ turn uint64 }

func (*awake) Standing(int, int64) routing.Standing { return routing.Standing{} }

// TakeTrial implements routing.Live.
func (*awake) TakeTrial(int, int64) bool { return true }
func (a *awake) NextTurn(int) uint64     { a.turn++; return a.turn }

func benchmarkDecision(b *testing.B, t *routing.Table) {
	var (
		plan routing.Plan
		live = &awake{}
		name = []byte("chat")
		ask  = routing.Facts{Operation: routing.ChatCompletions, Delivery: routing.Streaming, Features: routing.ToolCalling, InputTokens: 1000}
	)
	b.ReportAllocs()
	for b.Loop() {
		route, err := t.ResolveBytes("default", name)
		if err != nil {
			b.Fatal(err)
		}
		route.Plan(ask, live, 1, &plan)
	}
}

// configuration has a policy "chat" with so many candidates, and a crowd of others around it.
func configuration(candidates int, strategy routing.Strategy, crowd int) routing.Input {
	var in routing.Input
	endpoint := func(name string, n int) {
		in.Endpoints = append(in.Endpoints, routing.EndpointSpec{
			Key: routing.Key{Namespace: "default", Name: fmt.Sprintf("%s-%d", name, n)}, UID: fmt.Sprintf("%s-%d", name, n),
			Labels: map[string]string{"pool": name}, Provider: "p", Format: routing.FormatOpenAI, URL: "https://api.example.com/v1", Model: "m",
			Capabilities: []string{"chat-completion"}, Delivery: routing.Synchronous | routing.Streaming,
			FeaturesKnown: true, Features: routing.ToolCalling | routing.Vision, ContextWindow: 128_000,
		})
	}
	policy := func(name, pool string) {
		in.Policies = append(in.Policies, routing.PolicySpec{
			Key: routing.Key{Namespace: "default", Name: name}, UID: name, Models: []string{name},
			Tiers: []routing.TierSpec{{Strategy: strategy, Match: &routing.Match{
				Labels: []routing.Requirement{{Label: "pool", Op: routing.In, Values: []string{pool}}},
			}}},
			Timeouts: routing.DefaultTimeouts, Attempts: 3,
		})
	}
	for n := range candidates {
		endpoint("chat", n)
	}
	policy("chat", "chat")
	for n := range crowd {
		endpoint("crowd", n)
	}
	for n := range crowd / 2 {
		policy(fmt.Sprint("crowd-", n), "crowd")
	}
	return in
}
