// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package routing_test

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/turnout-ai/turnout/internal/modelstate"
	"github.com/turnout-ai/turnout/internal/routing"
)

func TestOperationsReachEndpointsByCapability(t *testing.T) {
	const chats, completes, embeds = routing.ChatCompletions, routing.Completions, routing.Embeddings
	for name, tc := range map[string]struct {
		capabilities []string
		want         []routing.Operation
	}{
		"chat":                               {[]string{chat}, []routing.Operation{chats}},
		"text completion only completes":     {[]string{"text-completion"}, []routing.Operation{completes}},
		"code is written either way":         {[]string{"code-generation"}, []routing.Operation{chats, completes}},
		"both kinds of text":                 {[]string{"text-completion", chat}, []routing.Operation{chats, completes}},
		"an inner node offers what is below": {[]string{"text-generation"}, []routing.Operation{chats, completes}},
		"the whole category":                 {[]string{"generation"}, []routing.Operation{chats, completes}},
		"images":                             {[]string{"text-to-image"}, []routing.Operation{chats}},
		"understanding":                      {[]string{"ocr"}, []routing.Operation{chats}},
		"transformation":                     {[]string{"translation"}, []routing.Operation{chats}},
		"retrieval":                          {[]string{"reranking"}, []routing.Operation{chats}},
		"interaction":                        {[]string{"tool-calling"}, []routing.Operation{chats}},
		"evaluation":                         {[]string{"content-moderation"}, []routing.Operation{chats}},
		"embeddings":                         {[]string{"embeddings"}, []routing.Operation{embeds}},
		"one kind of embeddings":             {[]string{"image-embeddings"}, []routing.Operation{embeds}},
		"all of representation":              {[]string{"representation"}, []routing.Operation{embeds}},
		"tokenization has no door":           {[]string{"tokenization"}, nil},
		"text completion and embeddings":     {[]string{"text-completion", "text-embeddings"}, []routing.Operation{completes, embeds}},
		"a user's own node takes anything":   {[]string{"acme.com/x"}, []routing.Operation{chats, completes, embeds}},
		"a user's own beside a built-in one": {[]string{"text-embeddings", "acme.com/x"}, []routing.Operation{chats, completes, embeds}},
	} {
		t.Run(name, func(t *testing.T) {
			table := routing.Build(routing.Input{
				Endpoints: []routing.EndpointSpec{endpoint("e", offering(tc.capabilities...))},
				Policies:  []routing.PolicySpec{policy("p", 1, models("m"), tiers(listing("e")))},
			})
			var got []routing.Operation
			for _, operation := range []routing.Operation{chats, completes, embeds} {
				var plan routing.Plan
				routing.Route{Policy: table.Policies[0]}.Plan(routing.Facts{Operation: operation}, nil, 0, &plan)
				if len(plan.Order) == 1 {
					got = append(got, operation)
				} else if x := plan.Excluded[0]; x.Reason != routing.ExcludedOperation {
					t.Errorf("%v is excluded for %v", operation, x.Reason)
				}
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("operations (-want +got):\n%s", diff)
			}
		})
	}
}

func TestHardFilters(t *testing.T) {
	windowed := func(window, output int64) func(*routing.EndpointSpec) {
		return func(e *routing.EndpointSpec) { e.ContextWindow, e.MaxOutputTokens = window, output }
	}
	delivering := func(d routing.Delivery) func(*routing.EndpointSpec) {
		return func(e *routing.EndpointSpec) { e.Delivery = d }
	}
	none := routing.ExclusionReason(0)
	for name, tc := range map[string]struct {
		endpoint    routing.EndpointSpec
		facts       routing.Facts
		asked       routing.Node
		want        routing.ExclusionReason
		wantMissing routing.Features
		wantMessage string
	}{
		"a request that asks for nothing passes": {endpoint: endpoint("e", declaring(0), delivering(0), windowed(1, 1)), want: none},
		"standby":                                {endpoint: endpoint("e", suspended), want: routing.ExcludedStandby, wantMessage: "e: is on standby, Manual: spec.suspend is true"},
		"standby comes before all else":          {endpoint: endpoint("e", suspended, declaring(0)), facts: routing.Facts{Operation: routing.Embeddings, Features: routing.Vision}, want: routing.ExcludedStandby},
		"another capability":                     {endpoint: endpoint("e", offering("text-to-image", "ocr")), asked: "generation.text-generation.chat-completion", want: routing.ExcludedCapability, wantMessage: "e: offers text-to-image, ocr, not the capability asked for"},
		"capability comes before operation":      {endpoint: endpoint("e", offering("text-embeddings")), asked: "generation", facts: routing.Facts{Operation: routing.Completions}, want: routing.ExcludedCapability},
		"the capability itself":                  {endpoint: endpoint("e"), asked: "generation.text-generation.chat-completion", want: none},
		"a capability above the endpoint's":      {endpoint: endpoint("e"), asked: "generation.text-generation", want: none},
		"an endpoint at an inner node":           {endpoint: endpoint("e", offering("text-generation")), asked: "generation.text-generation.chat-completion", want: none},
		"another operation":                      {endpoint: endpoint("e", offering("text-embeddings")), facts: routing.Facts{Operation: routing.ChatCompletions}, want: routing.ExcludedOperation, wantMessage: "e: offers text-embeddings, which this operation does not reach"},
		"operation comes before delivery":        {endpoint: endpoint("e", delivering(0)), facts: routing.Facts{Operation: routing.Embeddings, Delivery: routing.Streaming}, want: routing.ExcludedOperation},
		"delivery":                               {endpoint: endpoint("e", delivering(routing.Synchronous)), facts: routing.Facts{Delivery: routing.Streaming}, want: routing.ExcludedDelivery, wantMessage: "e: delivers Synchronous only"},
		"delivery comes before features":         {endpoint: endpoint("e", delivering(0), declaring(0)), facts: routing.Facts{Delivery: routing.Synchronous, Features: routing.Vision}, want: routing.ExcludedDelivery},
		"a feature":                              {endpoint: endpoint("e", declaring(routing.ToolCalling)), facts: routing.Facts{Features: routing.ToolCalling | routing.Vision | routing.Audio}, want: routing.ExcludedFeature, wantMissing: routing.Vision | routing.Audio, wantMessage: "e: does not offer Vision, Audio"},
		"features that are declared":             {endpoint: endpoint("e", declaring(routing.ToolCalling|routing.Vision)), facts: routing.Facts{Features: routing.Vision}, want: none},
		"features of which nothing is known":     {endpoint: endpoint("e"), facts: routing.Facts{Features: routing.Vision | routing.Logprobs}, want: none},
		"features come before the window":        {endpoint: endpoint("e", declaring(0), windowed(1, 0)), facts: routing.Facts{Features: routing.Vision, InputTokens: 1000}, want: routing.ExcludedFeature, wantMissing: routing.Vision},
		"an input within the tolerance":          {endpoint: endpoint("e", windowed(750, 0)), facts: routing.Facts{InputTokens: 1000}, want: none},
		"an input just above the tolerance":      {endpoint: endpoint("e", windowed(750, 0)), facts: routing.Facts{InputTokens: 1001}, want: routing.ExcludedContextWindow, wantMessage: "e: has a context window of 750 tokens"},
		"the smallest window":                    {endpoint: endpoint("e", windowed(1, 0)), facts: routing.Facts{InputTokens: 2}, want: routing.ExcludedContextWindow},
		"a window too large to multiply":         {endpoint: endpoint("e", windowed(math.MaxInt64/2, 0)), facts: routing.Facts{InputTokens: math.MaxInt64}, want: none},
		"an unknown window":                      {endpoint: endpoint("e"), facts: routing.Facts{InputTokens: math.MaxInt64}, want: none},
		"the window comes before the output":     {endpoint: endpoint("e", windowed(1, 1)), facts: routing.Facts{InputTokens: 2, MaxOutputTokens: 2}, want: routing.ExcludedContextWindow},
		"an answer just short enough":            {endpoint: endpoint("e", windowed(0, 100)), facts: routing.Facts{MaxOutputTokens: 100}, want: none},
		"an answer too long":                     {endpoint: endpoint("e", windowed(0, 100)), facts: routing.Facts{MaxOutputTokens: 101}, want: routing.ExcludedMaxOutputTokens, wantMessage: "e: gives at most 100 tokens of output"},
		"an answer of any length":                {endpoint: endpoint("e"), facts: routing.Facts{MaxOutputTokens: math.MaxInt64}, want: none},
	} {
		t.Run(name, func(t *testing.T) {
			table := routing.Build(routing.Input{
				Endpoints: []routing.EndpointSpec{tc.endpoint},
				Policies:  []routing.PolicySpec{policy("p", 1, models("m"), tiers(listing("e")))},
			})
			var plan routing.Plan
			routing.Route{Policy: table.Policies[0], Node: tc.asked}.Plan(tc.facts, nil, 0, &plan)
			if len(plan.Order)+len(plan.Excluded) != 1 {
				t.Fatalf("order %v, excluded %v", plan.Order, plan.Excluded)
			}
			if tc.want == none {
				if len(plan.Excluded) != 0 {
					t.Errorf("excluded: %s", plan.ExcludedMessage())
				}
				return
			}
			if len(plan.Excluded) != 1 {
				t.Fatal("the endpoint is tried")
			}
			x := plan.Excluded[0]
			if x.Reason != tc.want || x.Missing != tc.wantMissing || !strings.Contains(plan.ExcludedMessage(), tc.wantMessage) {
				t.Errorf("got %v, missing %q: %s; want %v, missing %q and a message with %q",
					x.Reason, x.Missing, plan.ExcludedMessage(), tc.want, tc.wantMissing, tc.wantMessage)
			}
		})
	}
}

func TestAnEndpointOnStandbyIsStillJudged(t *testing.T) {
	vision := routing.Facts{Operation: routing.ChatCompletions, Features: routing.Vision}
	for name, tc := range map[string]struct {
		endpoint routing.EndpointSpec
		facts    routing.Facts
		want     routing.Exclusion
	}{
		"it could serve the request": {endpoint("e", suspended, declaring(routing.Vision)), vision, routing.Exclusion{}},
		"it could not": {
			endpoint("e", suspended, declaring(0)), vision,
			routing.Exclusion{Unfit: routing.ExcludedFeature, Missing: routing.Vision},
		},
		"it takes other operations": {
			endpoint("e", suspended), routing.Facts{Operation: routing.Embeddings}, routing.Exclusion{Unfit: routing.ExcludedOperation},
		},
		"nobody knows what it takes": {endpoint("e", offering("typo")), vision, routing.Exclusion{}},
	} {
		t.Run(name, func(t *testing.T) {
			table := routing.Build(routing.Input{
				Endpoints: []routing.EndpointSpec{tc.endpoint},
				Policies:  []routing.PolicySpec{policy("p", 1, models("m"), tiers(listing("e")))},
			})
			var plan routing.Plan
			routing.Route{Policy: table.Policies[0]}.Plan(tc.facts, nil, 0, &plan)
			tc.want.Endpoint, tc.want.Reason = table.Endpoints[0], routing.ExcludedStandby
			if len(plan.Excluded) != 1 || plan.Excluded[0] != tc.want {
				t.Errorf("%+v, want %+v", plan.Excluded, tc.want)
			}
		})
	}
}

// tieredTable has a policy of two tiers of three endpoints; Index follows the names a1 to b3.
func tieredTable(first, second routing.Strategy) *routing.Table {
	return tieredTableOf(tieredPolicy(first, second))
}

func tieredPolicy(first, second routing.Strategy) routing.PolicySpec {
	return policy("p", 1, models("m"), tiers(
		routing.TierSpec{Endpoints: []string{"a3", "a1", "a2"}, Strategy: first},
		routing.TierSpec{Endpoints: []string{"b1", "b2", "b3"}, Strategy: second},
	))
}

// tieredTableOf is tieredTable with that policy. The endpoints of its first tier offer text alone.
func tieredTableOf(p routing.PolicySpec) *routing.Table {
	text := declaring(0)
	return routing.Build(routing.Input{
		Endpoints: []routing.EndpointSpec{
			endpoint("a1", text), endpoint("a2", text), endpoint("a3", text), endpoint("b1"), endpoint("b2"), endpoint("b3", suspended),
		},
		Policies: []routing.PolicySpec{p},
	})
}

func TestPlanOrder(t *testing.T) {
	const a1, a2, a3, b1, b2 = 0, 1, 2, 3, 4
	for name, tc := range map[string]struct {
		first, second routing.Strategy
		until         map[int]int64
		turns         map[int]uint64
		want          []string
		wantTurns     map[int]uint64
	}{
		"priority is the listed order, tier by tier": {
			want: []string{"a3", "a1", "a2", "b1", "b2"},
		},
		"who rests comes after all tiers, the one due back first": {
			until: map[int]int64{a3: 300, b1: 200, a2: 400},
			want:  []string{"a1", "b2", "(b1)", "(a3)", "(a2)"},
		},
		"due back together: by tier and list": {
			until: map[int]int64{a1: 200, a2: 200, a3: 200, b1: 200},
			want:  []string{"b2", "(a3)", "(a1)", "(a2)", "(b1)"},
		},
		"a rest that is over": {
			until: map[int]int64{a3: 100, a1: 99},
			want:  []string{"a3", "a1", "a2", "b1", "b2"},
		},
		"all rest": {
			until: map[int]int64{a1: 105, a2: 104, a3: 103, b1: 102, b2: 101},
			want:  []string{"(b2)", "(b1)", "(a3)", "(a2)", "(a1)"},
		},
		"round robin goes round its own tier": {
			first: routing.RoundRobin, turns: map[int]uint64{0: 4},
			want:      []string{"a1", "a2", "a3", "b1", "b2"},
			wantTurns: map[int]uint64{0: 5},
		},
		"round robin in both tiers": {
			first: routing.RoundRobin, second: routing.RoundRobin, turns: map[int]uint64{0: 2, 1: 7},
			want:      []string{"a2", "a3", "a1", "b2", "b1"},
			wantTurns: map[int]uint64{0: 3, 1: 8},
		},
		"round robin counts only those that do not rest": {
			first: routing.RoundRobin, turns: map[int]uint64{0: 1}, until: map[int]int64{a1: 200},
			want:      []string{"a2", "a3", "b1", "b2", "(a1)"},
			wantTurns: map[int]uint64{0: 2},
		},
		"one that is left needs no turn": {
			first: routing.RoundRobin, turns: map[int]uint64{0: 1}, until: map[int]int64{a1: 200, a2: 300},
			want:      []string{"a3", "b1", "b2", "(a1)", "(a2)"},
			wantTurns: map[int]uint64{0: 1},
		},
		"a counter about to overflow": {
			first: routing.RoundRobin, turns: map[int]uint64{0: math.MaxUint64},
			want:      []string{"a3", "a1", "a2", "b1", "b2"},
			wantTurns: map[int]uint64{0: 0},
		},
	} {
		t.Run(name, func(t *testing.T) {
			table := tieredTable(tc.first, tc.second)
			health := &live{until: tc.until, turns: tc.turns}
			var plan routing.Plan
			routing.Route{Policy: table.Policies[0]}.Plan(routing.Facts{}, health, 100, &plan)
			if diff := cmp.Diff(tc.want, order(&plan)); diff != "" {
				t.Errorf("order (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.wantTurns, health.turns); diff != "" {
				t.Errorf("turns (-want +got):\n%s", diff)
			}
			if len(plan.Excluded) != 1 || plan.Excluded[0].Endpoint.Key.Name != "b3" || plan.Excluded[0].Tier != 1 {
				t.Errorf("excluded %v, want b3 in tier 1", plan.Excluded)
			}
			for _, c := range plan.Order {
				if want := int(c.Endpoint.Key.Name[0] - 'a'); c.Tier != want {
					t.Errorf("%s is in tier %d, want %d", c.Endpoint.Key.Name, c.Tier, want)
				}
				if until := tc.until[c.Endpoint.Index]; c.Standing.Until != 0 && c.Standing.Until != until {
					t.Errorf("%s rests until %d, want %d", c.Endpoint.Key.Name, c.Standing.Until, until)
				}
			}
		})
	}
}

func TestStandingsDecideThePlace(t *testing.T) {
	const a1, a2, a3, b1, b2 = 0, 1, 2, 3, 4 // a policy of two tiers: a3, a1, a2 and b1, b2
	trial := routing.Standing{Kind: routing.OnTrial, Reason: modelstate.ErrorThreshold, Until: 999}
	barred := routing.Standing{Kind: routing.Barred, Reason: modelstate.QuotaExhausted, Until: 3_600_000_000_000}
	rests := func(until int64) routing.Standing {
		return routing.Standing{Kind: routing.Resting, Reason: modelstate.ProviderOutage, Until: until}
	}
	for name, tc := range map[string]struct {
		strategy     routing.Strategy
		standing     map[int]routing.Standing
		share        map[int]bool
		want         []string
		wantExcluded string
		wantAsked    map[int]int
	}{
		"one on trial stands in its place for its share of the requests": {
			standing: map[int]routing.Standing{a1: trial}, share: map[int]bool{a1: true},
			want: []string{"a3", "a1?", "a2", "b1", "b2"}, wantAsked: map[int]int{a1: 1},
		},
		"and after all in service of all tiers for the others": {
			standing: map[int]routing.Standing{a3: trial},
			want:     []string{"a1", "a2", "b1", "b2", "a3?"}, wantAsked: map[int]int{a3: 1},
		},
		"several on trial keep the listed order": {
			standing: map[int]routing.Standing{a3: trial, a1: {Kind: routing.OnTrial, Until: 1}, b1: {Kind: routing.OnTrial}},
			want:     []string{"a2", "b2", "a3?", "a1?", "b1?"}, wantAsked: map[int]int{a3: 1, a1: 1, b1: 1},
		},
		"on trial comes before resting": {
			standing: map[int]routing.Standing{a3: rests(1), b2: trial},
			want:     []string{"a1", "a2", "b1", "b2?", "(a3)"}, wantAsked: map[int]int{b2: 1},
		},
		"of those that rest the one due back first, and last what no time brings back": {
			standing: map[int]routing.Standing{a3: rests(0), a1: rests(30), a2: rests(20), b1: rests(0), b2: rests(20)},
			want:     []string{"(a2)", "(b2)", "(a1)", "(a3)", "(b1)"},
		},
		"one that is barred is not tried, also when nothing else is left": {
			standing:     map[int]routing.Standing{a1: barred, a2: barred, a3: barred, b1: barred, b2: {Kind: routing.Barred, Reason: modelstate.ProviderAuthFailure}},
			wantExcluded: "a3: is on standby, QuotaExhausted until 1970-01-01T01:00:00Z; a1: is on standby, QuotaExhausted until 1970-01-01T01:00:00Z; a2: is on standby, QuotaExhausted until 1970-01-01T01:00:00Z; b1: is on standby, QuotaExhausted until 1970-01-01T01:00:00Z; b2: is on standby, ProviderAuthFailure",
		},
		"turns are taken by those in service and those on trial with a share": {
			strategy: routing.RoundRobin,
			standing: map[int]routing.Standing{a1: trial, b1: trial}, share: map[int]bool{a1: true},
			want: []string{"a3", "a1?", "a2", "b2", "b1?"}, wantAsked: map[int]int{a1: 1, b1: 1},
		},
	} {
		t.Run(name, func(t *testing.T) {
			table := tieredTable(tc.strategy, tc.strategy)
			health := &live{standing: tc.standing, share: tc.share}
			var plan routing.Plan
			routing.Route{Policy: table.Policies[0]}.Plan(routing.Facts{}, health, 0, &plan)
			if diff := cmp.Diff(tc.want, order(&plan)); diff != "" {
				t.Errorf("order (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.wantAsked, health.asked); diff != "" {
				t.Errorf("asked for a share (-want +got):\n%s", diff)
			}
			plan.Excluded = slices.DeleteFunc(plan.Excluded, func(x routing.Exclusion) bool { return x.Reason != routing.ExcludedBarred })
			if diff := cmp.Diff(tc.wantExcluded, plan.ExcludedMessage()); diff != "" {
				t.Errorf("excluded (-want +got):\n%s", diff)
			}
			for _, x := range plan.Excluded {
				if x.Standing != tc.standing[x.Endpoint.Index] {
					t.Errorf("%s is excluded as %+v", x.Endpoint.Key, x.Standing)
				}
			}
		})
	}
}

func TestAPolicyWithoutALastResort(t *testing.T) {
	const a1, a2, a3, b1, b2 = 0, 1, 2, 3, 4 // a policy of two tiers: a3, a1, a2 and b1, b2
	rests := routing.Standing{Kind: routing.Resting, Reason: modelstate.ErrorThreshold, Until: 3_600_000_000_000}
	trial := routing.Standing{Kind: routing.OnTrial, Reason: modelstate.ProbeFailed, Until: 999}
	for name, tc := range map[string]struct {
		standing     map[int]routing.Standing
		share        map[int]bool
		want         []string
		wantExcluded string
	}{
		"what rests is left out": {
			standing:     map[int]routing.Standing{a3: rests},
			want:         []string{"a1", "a2", "b1", "b2"},
			wantExcluded: "a3: is not tried, ErrorThreshold until 1970-01-01T01:00:00Z, and the policy has no last resort",
		},
		"what is on trial takes its share": {
			standing: map[int]routing.Standing{a1: trial}, share: map[int]bool{a1: true},
			want: []string{"a3", "a1?", "a2", "b1", "b2"},
		},
		"and beyond it is left out": {
			standing:     map[int]routing.Standing{a1: trial},
			want:         []string{"a3", "a2", "b1", "b2"},
			wantExcluded: "a1: is not tried, on trial after ProbeFailed, and the policy has no last resort",
		},
		"all rest": {
			standing: map[int]routing.Standing{a1: rests, a2: rests, a3: rests, b1: rests, b2: rests},
			wantExcluded: strings.Join([]string{
				"a3: is not tried, ErrorThreshold until 1970-01-01T01:00:00Z, and the policy has no last resort",
				"a1: is not tried, ErrorThreshold until 1970-01-01T01:00:00Z, and the policy has no last resort",
				"a2: is not tried, ErrorThreshold until 1970-01-01T01:00:00Z, and the policy has no last resort",
				"b1: is not tried, ErrorThreshold until 1970-01-01T01:00:00Z, and the policy has no last resort",
				"b2: is not tried, ErrorThreshold until 1970-01-01T01:00:00Z, and the policy has no last resort",
			}, "; "),
		},
	} {
		t.Run(name, func(t *testing.T) {
			spec := tieredPolicy(routing.Priority, routing.Priority)
			rejecting(&spec)
			table := tieredTableOf(spec)
			health := &live{standing: tc.standing, share: tc.share}
			var plan routing.Plan
			routing.Route{Policy: table.Policies[0]}.Plan(routing.Facts{}, health, 0, &plan)
			if diff := cmp.Diff(tc.want, order(&plan)); diff != "" {
				t.Errorf("order (-want +got):\n%s", diff)
			}
			plan.Excluded = slices.DeleteFunc(plan.Excluded, func(x routing.Exclusion) bool { return x.Reason == routing.ExcludedStandby })
			if diff := cmp.Diff(tc.wantExcluded, plan.ExcludedMessage()); diff != "" {
				t.Errorf("excluded (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAPinnedRequestHasOneEndpoint(t *testing.T) {
	const a3, b1 = 2, 3 // a policy of two tiers: a3, a1, a2 and b1, b2; b3 is suspended
	elsewhere := func(names ...string) string {
		var sentences []string
		for _, name := range names {
			sentences = append(sentences, name+": is not tried, because the state that the request refers to is at another endpoint")
		}
		return strings.Join(sentences, "; ")
	}
	for name, tc := range map[string]struct {
		standing     routing.Standing // of a3
		features     bool             // only b1, b2 and b3 offer what the request uses
		want         []string
		wantExcluded string
	}{
		"the first listed, whose turn it need not be": {
			want: []string{"a3"}, wantExcluded: elsewhere("a1", "a2", "b1", "b2", "b3"),
		},
		"also when it is on trial": {
			standing: routing.Standing{Kind: routing.OnTrial},
			want:     []string{"a3?"}, wantExcluded: elsewhere("a1", "a2", "b1", "b2", "b3"),
		},
		"also when it rests, and the policy has no last resort": {
			standing: routing.Standing{Kind: routing.Resting, Reason: modelstate.ErrorThreshold, Until: 5},
			want:     []string{"(a3)"}, wantExcluded: elsewhere("a1", "a2", "b1", "b2", "b3"),
		},
		"nobody when it is barred": {
			standing:     routing.Standing{Kind: routing.Barred, Reason: modelstate.QuotaExhausted},
			wantExcluded: "a3: is on standby, QuotaExhausted; " + elsewhere("a1", "a2", "b1", "b2", "b3"),
		},
		"the first of those that offer what the request uses": {
			standing: routing.Standing{Kind: routing.Barred, Reason: modelstate.QuotaExhausted}, features: true,
			want:         []string{"b1"},
			wantExcluded: "a3: does not offer Vision; a1: does not offer Vision; a2: does not offer Vision; " + elsewhere("b2", "b3"),
		},
	} {
		t.Run(name, func(t *testing.T) {
			spec := tieredPolicy(routing.RoundRobin, routing.RoundRobin)
			rejecting(&spec)
			var facts routing.Facts
			if facts.Pinned = true; tc.features {
				facts.Features = routing.Vision
			}
			health := &live{standing: map[int]routing.Standing{a3: tc.standing}, turns: map[int]uint64{0: 1}}
			var plan routing.Plan
			routing.Route{Policy: tieredTableOf(spec).Policies[0]}.Plan(facts, health, 0, &plan)
			if diff := cmp.Diff(tc.want, order(&plan)); diff != "" {
				t.Errorf("order (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.wantExcluded, plan.ExcludedMessage()); diff != "" {
				t.Errorf("excluded (-want +got):\n%s", diff)
			}
		})
	}
	t.Run("nobody when it is suspended", func(t *testing.T) {
		table := routing.Build(routing.Input{
			Endpoints: []routing.EndpointSpec{endpoint("a", suspended), endpoint("b")},
			Policies:  []routing.PolicySpec{policy("p", 1, models("m"), tiers(listing("a", "b")))},
		})
		var plan routing.Plan
		routing.Route{Policy: table.Policies[0]}.Plan(routing.Facts{Pinned: true}, nil, 0, &plan)
		want := "a: is on standby, Manual: spec.suspend is true; set it to false to take the endpoint into use; " + elsewhere("b")
		if diff := cmp.Diff(want, plan.ExcludedMessage()); diff != "" || len(plan.Order) != 0 {
			t.Errorf("order %v, excluded (-want +got):\n%s", order(&plan), diff)
		}
	})
}

func TestTheOrderOfHardFiltersAndStandings(t *testing.T) {
	table := tieredTable(routing.Priority, routing.Priority)
	health := &live{standing: map[int]routing.Standing{0: {Kind: routing.Barred, Reason: modelstate.ModelNotFound}, 1: {Kind: routing.OnTrial}}}
	var plan routing.Plan
	routing.Route{Policy: table.Policies[0]}.Plan(routing.Facts{Operation: routing.Embeddings}, health, 0, &plan)
	for _, x := range plan.Excluded {
		if x.Reason == routing.ExcludedBarred {
			t.Errorf("%s: what a request asks for comes before how an endpoint stands", x.Message())
		}
	}
	if len(health.asked) != 0 {
		t.Error("a request that an endpoint on trial cannot serve counts against its share")
	}
}

func TestAStandingSpeaks(t *testing.T) {
	for want, standing := range map[string]routing.Standing{
		"in service":                    {},
		"on trial":                      {Kind: routing.OnTrial},
		"on trial after ErrorThreshold": {Kind: routing.OnTrial, Reason: modelstate.ErrorThreshold, Until: 5},
		"ProbeFailed":                   {Kind: routing.Resting, Reason: modelstate.ProbeFailed},
		"RateLimited until 2026-03-01T00:00:00Z": {
			Kind: routing.Barred, Reason: modelstate.RateLimited, Until: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC).UnixNano(),
		},
	} {
		if got := standing.String(); got != want {
			t.Errorf("%#v says %q, want %q", standing, got, want)
		}
	}
}

func TestAStandingSaysHowLongItStillLasts(t *testing.T) {
	now := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC).UnixNano()
	for name, tc := range map[string]struct {
		kind      routing.StandingKind
		until     int64
		remaining string
		says      string
	}{
		"it rests":                   {routing.Resting, now + 42*int64(time.Second), "42s", "ErrorThreshold until 2026-03-01T00:00:42Z, for another 42s"},
		"it is barred":               {routing.Barred, now + int64(time.Hour), "1h0m0s", "ErrorThreshold until 2026-03-01T01:00:00Z, for another 1h0m0s"},
		"a second begun is one":      {routing.Barred, now + 1, "1s", "ErrorThreshold until 2026-03-01T00:00:00Z, for another 1s"},
		"it is over":                 {routing.Barred, now, "", "ErrorThreshold until 2026-03-01T00:00:00Z"},
		"no time ends it":            {routing.Barred, 0, "", "ErrorThreshold"},
		"on trial there is none":     {routing.OnTrial, now + int64(time.Hour), "", "on trial after ErrorThreshold"},
		"in service there is no end": {routing.InService, now + int64(time.Hour), "", "in service"},
	} {
		t.Run(name, func(t *testing.T) {
			s := routing.Standing{Kind: tc.kind, Reason: modelstate.ErrorThreshold, Until: tc.until}
			if got := s.CooldownRemaining(now); got != tc.remaining || s.At(now) != tc.says {
				t.Errorf("%q, %q; want %q, %q", got, s.At(now), tc.remaining, tc.says)
			}
		})
	}
}

func TestAPlanIsUsedAgain(t *testing.T) {
	table := tieredTable(routing.Priority, routing.Priority)
	route := routing.Route{Policy: table.Policies[0]}
	var plan routing.Plan
	for range 2 {
		route.Plan(routing.Facts{}, &live{until: map[int]int64{0: 200}}, 100, &plan)
		if diff := cmp.Diff([]string{"a3", "a2", "b1", "b2", "(a1)"}, order(&plan)); diff != "" || len(plan.Excluded) != 1 {
			t.Errorf("order (-want +got):\n%s", diff)
		}
	}
	plan.Reset()
	if len(plan.Order) != 0 || len(plan.Excluded) != 0 || cap(plan.Order) == 0 {
		t.Errorf("after Reset: %d candidates, %d excluded, space for %d", len(plan.Order), len(plan.Excluded), cap(plan.Order))
	}
	for _, c := range plan.Order[:cap(plan.Order)] {
		if c.Endpoint != nil {
			t.Error("after Reset the plan still holds on to the table")
		}
	}
	routing.Route{}.Plan(routing.Facts{}, nil, 0, &plan)
	if len(plan.Order) != 0 || plan.ExcludedMessage() != "" {
		t.Error("a route to nowhere has a plan")
	}
}

func TestExcludedMessageCountsAfterTheEighth(t *testing.T) {
	var in routing.Input
	for i := range 10 {
		in.Endpoints = append(in.Endpoints, endpoint(fmt.Sprintf("e%d", i), declaring(0)))
	}
	in.Policies = []routing.PolicySpec{policy("p", 1, models("m"), serving(chat))}
	var plan routing.Plan
	routing.Route{Policy: routing.Build(in).Policies[0]}.Plan(routing.Facts{Features: routing.Vision}, nil, 0, &plan)
	want := "e0: does not offer Vision; e1: does not offer Vision; "
	if got := plan.ExcludedMessage(); !strings.HasPrefix(got, want) || !strings.HasSuffix(got, "e7: does not offer Vision and 2 more") {
		t.Errorf("got %q", got)
	}
}

func TestWords(t *testing.T) {
	for want, got := range map[string]fmt.Stringer{
		"OpenAI":                 routing.FormatOpenAI,
		"9":                      routing.Format(9),
		"0":                      routing.Operation(0),
		"Priority":               routing.Priority,
		"RoundRobin":             routing.RoundRobin,
		"chat completions":       routing.ChatCompletions,
		"completions":            routing.Completions,
		"embeddings":             routing.Embeddings,
		"Standby":                routing.ExcludedStandby,
		"Capability":             routing.ExcludedCapability,
		"Operation":              routing.ExcludedOperation,
		"Delivery":               routing.ExcludedDelivery,
		"Feature":                routing.ExcludedFeature,
		"ContextWindow":          routing.ExcludedContextWindow,
		"MaxOutputTokens":        routing.ExcludedMaxOutputTokens,
		"Resting":                routing.ExcludedResting,
		"Pinned":                 routing.ExcludedPinned,
		"99":                     routing.ExclusionReason(99),
		"Synchronous, Streaming": bothWays,
		"":                       routing.Features(0),
		"ToolCalling, StructuredOutput, JSONMode, Vision, Audio, Reasoning, Logprobs": routing.Features(127),
		"Vision, 0x100": routing.Vision | 0x100,
	} {
		if got.String() != want {
			t.Errorf("%#v is called %q, want %q", got, got, want)
		}
	}
}

func TestFeaturesAreReadByTheirWords(t *testing.T) {
	for f := routing.ToolCalling; f <= routing.Logprobs; f <<= 1 {
		if got, ok := routing.ParseFeature(f.String()); got != f || !ok {
			t.Errorf("%v is read as %v, %v", f, got, ok)
		}
	}
	for _, name := range []string{"", "vision", "ToolCalling, Vision", "0x80"} {
		if got, ok := routing.ParseFeature(name); ok {
			t.Errorf("%q is read as %v", name, got)
		}
	}
}

func TestSecretsHide(t *testing.T) {
	e := endpoint("e")
	e.Credential = routing.Credential{Header: "Authorization", Value: "Bearer hunter2"}
	table := routing.Build(routing.Input{Endpoints: []routing.EndpointSpec{e}})
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		if text := fmt.Sprintf(verb, table.Endpoints[0]); strings.Contains(text, "hunter2") {
			t.Errorf("%s prints the secret", verb)
		}
	}
	if text := fmt.Sprintf("%x", e.Credential.Value); strings.Contains(text, fmt.Sprintf("%x", "hunter2")) {
		t.Errorf("%%x prints the secret: %s", text)
	}
	if table.Endpoints[0].Credential.Value.Reveal() != "Bearer hunter2" {
		t.Error("Reveal does not give the value")
	}
}
