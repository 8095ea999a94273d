// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package routing_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/turnout-ai/turnout/internal/modelstate"
	"github.com/turnout-ai/turnout/internal/routing"
)

const (
	chat     = "chat-completion"
	bothWays = routing.Synchronous | routing.Streaming
)

// endpoint returns a chat endpoint in namespace default, changed by the options.
func endpoint(name string, options ...func(*routing.EndpointSpec)) routing.EndpointSpec {
	e := routing.EndpointSpec{
		Key:          routing.Key{Namespace: "default", Name: name},
		UID:          "uid-" + name,
		Generation:   1,
		Provider:     "openai",
		Format:       routing.FormatOpenAI,
		URL:          "https://api.example.com/v1",
		Model:        "m",
		Capabilities: []string{chat},
		Delivery:     bothWays,
	}
	for _, o := range options {
		o(&e)
	}
	return e
}

func offering(capabilities ...string) func(*routing.EndpointSpec) {
	return func(e *routing.EndpointSpec) { e.Capabilities = capabilities }
}

func inNamespace(namespace string) func(*routing.EndpointSpec) {
	return func(e *routing.EndpointSpec) { e.Key.Namespace = namespace }
}

func at(url string) func(*routing.EndpointSpec) {
	return func(e *routing.EndpointSpec) { e.URL = url }
}

func declaring(features routing.Features) func(*routing.EndpointSpec) {
	return func(e *routing.EndpointSpec) { e.Features, e.FeaturesKnown = features, true }
}

func suspended(e *routing.EndpointSpec) { e.Suspended = true }

// rejecting answers 503 where other policies try what rests.
func rejecting(p *routing.PolicySpec) { p.RejectResting = true }

// policy returns a policy in namespace default that is that many seconds old by the clock of the tests.
func policy(name string, created int64, options ...func(*routing.PolicySpec)) routing.PolicySpec {
	p := routing.PolicySpec{
		Key:      routing.Key{Namespace: "default", Name: name},
		UID:      "uid-" + name,
		Created:  time.Unix(created, 0),
		Timeouts: routing.DefaultTimeouts,
		Attempts: 3,
		Deadline: 10 * time.Minute,
	}
	for _, o := range options {
		o(&p)
	}
	return p
}

func models(names ...string) func(*routing.PolicySpec) {
	return func(p *routing.PolicySpec) { p.Models = names }
}

func serving(capability string) func(*routing.PolicySpec) {
	return func(p *routing.PolicySpec) { p.Capability = capability }
}

func tiers(specs ...routing.TierSpec) func(*routing.PolicySpec) {
	return func(p *routing.PolicySpec) { p.Tiers = specs }
}

func policyIn(namespace string) func(*routing.PolicySpec) {
	return func(p *routing.PolicySpec) { p.Key.Namespace = namespace }
}

func listing(names ...string) routing.TierSpec { return routing.TierSpec{Endpoints: names} }

func matching(m routing.Match) routing.TierSpec { return routing.TierSpec{Match: &m} }

// tierNames returns the endpoint names of a policy, a list for each tier.
func tierNames(p *routing.Policy) [][]string {
	all := make([][]string, len(p.Tiers))
	for i, tier := range p.Tiers {
		for _, e := range tier.Endpoints {
			all[i] = append(all[i], e.Key.Name)
		}
	}
	return all
}

// order returns the names of the plan's candidates; those that rest in parentheses, those on trial with a
// question mark.
func order(p *routing.Plan) []string {
	var names []string
	for _, c := range p.Order {
		name := c.Endpoint.Key.Name
		switch c.Standing.Kind {
		case routing.Resting:
			name = "(" + name + ")"
		case routing.OnTrial:
			name += "?"
		default:
		}
		names = append(names, name)
	}
	return names
}

// live is a Live whose endpoints rest until the given times or stand as they are told to, and that counts.
type live struct {
	until    map[int]int64
	standing map[int]routing.Standing
	// share are the endpoints on trial that take every request; the others take none.
	share map[int]bool
	// asked counts the requests that could have gone to each.
	asked map[int]int
	turns map[int]uint64
}

func (l *live) Standing(endpoint int, now int64) routing.Standing {
	if standing, told := l.standing[endpoint]; told {
		return standing
	}
	if until := l.until[endpoint]; until > now {
		return routing.Standing{Kind: routing.Resting, Reason: modelstate.ErrorThreshold, Until: until}
	}
	return routing.Standing{}
}

func (l *live) TakeTrial(endpoint int, _ int64) bool {
	if l.asked == nil {
		l.asked = map[int]int{}
	}
	l.asked[endpoint]++
	return l.share[endpoint]
}

func (l *live) NextTurn(turn int) uint64 {
	if l.turns == nil {
		l.turns = map[int]uint64{}
	}
	l.turns[turn]++
	return l.turns[turn] - 1
}

// dump writes everything a table says, for comparing two.
func dump(t *routing.Table) string {
	var b strings.Builder
	namespaces := map[string]bool{}
	for _, e := range t.Endpoints {
		fmt.Fprintf(&b, "%+v %d %v %s %s %s %s %v %v %v\n", e.EndpointSpec, e.Index, e.Nodes, e.Scheme, e.Address, e.Host,
			e.BasePath, e.Standby, e.Refused, e.Units)
	}
	for _, p := range t.Policies {
		namespaces[p.Key.Namespace] = true
		fmt.Fprintf(&b, "%s %s %v %s %v %v %d/%d", p.Key, p.UID, p.Names, p.Node, p.Refused, p.Unresolved, p.Active, p.Total)
		for i, tier := range p.Tiers {
			fmt.Fprintf(&b, " %v %d %v", tier.Strategy, tier.Turn, tierNames(p)[i])
		}
		b.WriteByte('\n')
	}
	for _, namespace := range slices.Sorted(maps.Keys(namespaces)) {
		fmt.Fprintf(&b, "%s: %v\n", namespace, t.Names(namespace))
	}
	fmt.Fprintf(&b, "%d turns\n", t.Turns)
	return b.String()
}

// Vocabularies of the random inputs: small, so that things meet; with wrong ones, so that nothing is taken for granted.
var (
	someNamespaces   = []string{"default", "team-a", "team-b"}
	someCapabilities = []string{
		chat, "text-completion", "code-generation", "text-generation", "generation", "ocr", "understanding",
		"text-embeddings", "embeddings", "representation", "reranking", "acme.com/a", "acme.com/a.b", "acme.com/a.b.c",
		"acme.com/x", "typo", "", "Acme.com/a",
	}
	someModels    = []string{"chat", "fast", "gpt-4.1", chat, "generation", "acme", "a/b", ""}
	someURLs      = []string{"https://a.example.com/v1", "http://10.0.0.1:8080", "http://[::1]:1/", "http://169.254.169.254", "nonsense", ""}
	someProviders = []string{"openai", "vllm", "acme"}
	someLabels    = []string{"tier", "region", "team"}
	someValues    = []string{"a", "b", ""}
)

func pick[T any](r *rand.Rand, from []T) T { return from[r.IntN(len(from))] }

// some returns up to limit picks.
func some[T any](r *rand.Rand, from []T, limit int) []T {
	var picked []T
	for range r.IntN(limit + 1) {
		picked = append(picked, pick(r, from))
	}
	return picked
}

// randomInput returns an input of up to size endpoints and policies.
func randomInput(r *rand.Rand, size int) routing.Input {
	var in routing.Input
	for i := range r.IntN(size + 1) {
		in.Endpoints = append(in.Endpoints, randomEndpoint(r, i))
	}
	for i := range r.IntN(size + 1) {
		in.Policies = append(in.Policies, randomPolicy(r, i))
	}
	return in
}

func randomEndpoint(r *rand.Rand, i int) routing.EndpointSpec {
	e := routing.EndpointSpec{
		// Now and then two share a key; their generations differ.
		Key:             routing.Key{Namespace: pick(r, someNamespaces), Name: fmt.Sprintf("e%d", r.IntN(i+2))},
		UID:             fmt.Sprintf("e-uid-%d", i),
		Generation:      int64(i),
		Labels:          map[string]string{pick(r, someLabels): pick(r, someValues)},
		Provider:        pick(r, someProviders),
		Format:          routing.FormatOpenAI,
		URL:             pick(r, someURLs),
		Capabilities:    some(r, someCapabilities, 3),
		Delivery:        routing.Delivery(r.IntN(4)),
		Features:        routing.Features(r.IntN(128)),
		FeaturesKnown:   r.IntN(2) == 0,
		ContextWindow:   int64(r.IntN(3) * 1000),
		MaxOutputTokens: int64(r.IntN(3) * 100),
		Suspended:       r.IntN(8) == 0,
	}
	if r.IntN(8) == 0 {
		e.Unresolved = routing.Refusal{Reason: "SecretNotFound", Message: "there is no Secret"}
	}
	if r.IntN(8) == 0 {
		e.Misfit = routing.Refusal{Reason: "InvalidTimeZone", Message: "there is no such zone"}
	}
	if r.IntN(2) == 0 { // half of them plainly right, so that plans have something to order
		e.URL, e.Capabilities, e.Suspended = someURLs[0], someCapabilities[:1+r.IntN(3)], false
		e.Delivery, e.Unresolved, e.Misfit = bothWays, routing.Refusal{}, routing.Refusal{}
	}
	return e
}

func randomPolicy(r *rand.Rand, i int) routing.PolicySpec {
	p := routing.PolicySpec{
		Key:        routing.Key{Namespace: pick(r, someNamespaces), Name: fmt.Sprintf("p%d", r.IntN(i+2))},
		UID:        fmt.Sprintf("p-uid-%d", i),
		Generation: int64(i),
		Created:    time.Unix(int64(r.IntN(4)), 0),
		Models:     some(r, someModels, 3),
		Capability: pick(r, someCapabilities),
		Attempts:   3,

		RejectResting: r.IntN(3) == 0,
		Unit:          modelstate.Unit{Policy: fmt.Sprintf("unit-%d", i)},
	}
	for range r.IntN(4) {
		p.Tiers = append(p.Tiers, randomTier(r))
	}
	return p
}

func randomTier(r *rand.Rand) routing.TierSpec {
	t := routing.TierSpec{Strategy: routing.Strategy(r.IntN(2))}
	if r.IntN(2) == 0 {
		for range r.IntN(6) {
			t.Endpoints = append(t.Endpoints, fmt.Sprintf("e%d", r.IntN(20)))
		}
	}
	if r.IntN(3) == 0 {
		t.Match = &routing.Match{
			Providers:         some(r, someProviders, 2),
			ExcludedProviders: some(r, someProviders, 1),
			Features:          routing.Features(r.IntN(4)),
		}
		for range r.IntN(2) {
			t.Match.Labels = append(t.Match.Labels, routing.Requirement{
				Label: pick(r, someLabels), Op: routing.SelectorOp(r.IntN(5)), Values: some(r, someValues, 2),
			})
		}
	}
	return t
}

func randomFacts(r *rand.Rand) routing.Facts {
	var f routing.Facts
	if r.IntN(2) == 0 {
		f.Operation, f.Delivery = routing.Operation(r.IntN(4)), routing.Delivery(r.IntN(4))
	}
	f.Pinned = r.IntN(4) == 0
	if r.IntN(4) == 0 {
		f.Features = 1 << r.IntN(7)
		f.InputTokens = int64(r.IntN(4000))
		f.MaxOutputTokens = int64(r.IntN(300))
	}
	return f
}

func randomLive(r *rand.Rand, t *routing.Table) *live {
	l := &live{until: map[int]int64{}, standing: map[int]routing.Standing{}, share: map[int]bool{}}
	for i := range t.Endpoints {
		switch r.IntN(6) {
		case 0, 1:
			l.until[i] = int64(r.IntN(4))
		case 2:
			l.standing[i] = routing.Standing{
				Kind: routing.StandingKind(r.IntN(4)), Reason: modelstate.Reason(1 + r.IntN(12)), Until: int64(r.IntN(4)),
			}
			l.share[i] = r.IntN(2) == 0
		}
	}
	return l
}
