// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package routing_test

import (
	stdcmp "cmp"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/turnout-ai/turnout/internal/capability"
	"github.com/turnout-ai/turnout/internal/routing"
)

// forSeeds runs a property on that many random tables, each with a generator of its own seed.
func forSeeds(t *testing.T, seeds uint64, property func(t *testing.T, r *rand.Rand, in routing.Input)) {
	t.Helper()
	for seed := range seeds {
		r := rand.New(rand.NewPCG(seed, 0x7475726e))
		property(t, r, randomInput(r, 24))
		if t.Failed() {
			t.Fatalf("with seed %d", seed)
		}
	}
}

func TestBuildDoesNotDependOnTheOrderOfTheInput(t *testing.T) {
	forSeeds(t, 300, func(t *testing.T, r *rand.Rand, in routing.Input) {
		want := dump(routing.Build(in))
		shuffled := routing.Input{Endpoints: slices.Clone(in.Endpoints), Policies: slices.Clone(in.Policies)}
		r.Shuffle(len(shuffled.Endpoints), func(i, j int) {
			shuffled.Endpoints[i], shuffled.Endpoints[j] = shuffled.Endpoints[j], shuffled.Endpoints[i]
		})
		r.Shuffle(len(shuffled.Policies), func(i, j int) {
			shuffled.Policies[i], shuffled.Policies[j] = shuffled.Policies[j], shuffled.Policies[i]
		})
		if diff := cmp.Diff(want, dump(routing.Build(shuffled))); diff != "" {
			t.Errorf("in another order (-want +got):\n%s", diff)
		}
	})
}

func TestAPlanHoldsEachEndpointOfThePolicyOnce(t *testing.T) {
	forSeeds(t, 300, func(t *testing.T, r *rand.Rand, in routing.Input) {
		table := routing.Build(in)
		health := randomLive(r, table)
		var plan routing.Plan
		for _, p := range table.Policies {
			routing.Route{Policy: p}.Plan(randomFacts(r), health, 2, &plan)
			var got, want []place
			for _, c := range plan.Order {
				got = append(got, place{c.Endpoint.Key, c.Tier})
			}
			for _, x := range plan.Excluded {
				got = append(got, place{x.Endpoint.Key, x.Tier})
			}
			for i, tier := range p.Tiers {
				for _, e := range tier.Endpoints {
					want = append(want, place{e.Key, i})
				}
			}
			slices.SortFunc(got, comparePlaces)
			slices.SortFunc(want, comparePlaces)
			if diff := cmp.Diff(want, got); diff != "" || len(want) != p.Total {
				t.Errorf("%s: of %d endpoints in their tiers (-in the policy +planned):\n%s", p.Key, p.Total, diff)
			}
			if twice := len(want) - len(slices.CompactFunc(want, func(a, b place) bool { return a.Key == b.Key })); twice != 0 {
				t.Errorf("%s: %d endpoints stand in two places", p.Key, twice)
			}
		}
	})
}

// place is an endpoint in a tier.
type place struct {
	Key  routing.Key
	Tier int
}

func comparePlaces(a, b place) int {
	return stdcmp.Or(strings.Compare(a.Key.String(), b.Key.String()), a.Tier-b.Tier)
}

// passes is the filters as the design says them, one after the other, from the spec alone.
func passes(e *routing.Endpoint, f routing.Facts) bool { return inUse(e) && serves(e, f) }

// inUse reports whether the spec lets an endpoint take traffic.
func inUse(e *routing.Endpoint) bool {
	return !e.Suspended && e.Refused == (routing.Refusal{}) && e.Unresolved == (routing.Refusal{}) && e.Misfit == (routing.Refusal{})
}

// serves reports whether an endpoint that is in use could serve the request.
func serves(e *routing.Endpoint, f routing.Facts) bool {
	return (f.Operation == 0 || takes(e, f.Operation)) &&
		f.Delivery&^e.Delivery == 0 &&
		(!e.FeaturesKnown || f.Features&^e.Features == 0) &&
		(e.ContextWindow == 0 || float64(f.InputTokens)*0.75 <= float64(e.ContextWindow)) &&
		(e.MaxOutputTokens == 0 || f.MaxOutputTokens <= e.MaxOutputTokens)
}

// takes is a naive reading of which operations an endpoint takes: by the leaves it offers.
func takes(e *routing.Endpoint, operation routing.Operation) bool {
	for _, node := range e.Nodes {
		if node.Custom() {
			return true
		}
		for _, leaf := range capability.All() {
			if leaf.Leaf() && node.Contains(leaf) && leafTakes(string(leaf), operation) {
				return true
			}
		}
	}
	return false
}

func leafTakes(leaf string, operation routing.Operation) bool {
	switch operation {
	case routing.Embeddings:
		return strings.HasPrefix(leaf, "representation.embeddings.")
	case routing.Completions:
		return strings.HasSuffix(leaf, ".text-completion") || strings.HasSuffix(leaf, ".code-generation")
	case routing.ChatCompletions:
		return !strings.HasPrefix(leaf, "representation.") && !strings.HasSuffix(leaf, ".text-completion")
	default:
		return false
	}
}

func TestCandidatesPassAllFiltersAndTheExcludedDoNot(t *testing.T) {
	candidates, excluded, rejected := 0, 0, 0
	forSeeds(t, 1500, func(t *testing.T, r *rand.Rand, in routing.Input) {
		table := routing.Build(in)
		health := randomLive(r, table)
		var plan routing.Plan
		for _, p := range table.Policies {
			facts := randomFacts(r)
			facts.Pinned = false
			routing.Route{Policy: p}.Plan(facts, health, 2, &plan)
			candidates += len(plan.Order)
			excluded += len(plan.Excluded)
			for _, c := range plan.Order {
				if !passes(c.Endpoint, facts) {
					t.Errorf("%s is tried for %+v", c.Endpoint.Key, facts)
				}
				if want := health.planned(c.Endpoint); c.Standing != want || want.Kind == routing.Barred {
					t.Errorf("%s stands as %+v, and is planned as %+v", c.Endpoint.Key, want, c.Standing)
				}
				if p.RejectResting && health.rank(c) > 0 {
					t.Errorf("%s is tried although it rests: %+v", c.Endpoint.Key, c.Standing)
				}
			}
			for _, x := range plan.Excluded {
				var want routing.ExclusionReason // 0: because of what was asked for, or of its spec
				stands := routing.Candidate{Endpoint: x.Endpoint, Standing: health.planned(x.Endpoint)}
				switch {
				case !passes(x.Endpoint, facts):
				case stands.Standing.Kind == routing.Barred:
					want = routing.ExcludedBarred
				case p.RejectResting && health.rank(stands) > 0:
					want = routing.ExcludedResting
					rejected++
				default:
					t.Errorf("%s is not tried for %+v: %s", x.Endpoint.Key, facts, x.Message())
				}
				if x.Reason < routing.ExcludedBarred == (want != 0) || want != 0 && (x.Reason != want || x.Standing != stands.Standing) {
					t.Errorf("%s is not tried for %+v: %s", x.Endpoint.Key, facts, x.Message())
				}
			}
			if !slices.IsSortedFunc(plan.Order, func(a, b routing.Candidate) int {
				return stdcmp.Or(health.rank(a)-health.rank(b), stdcmp.Compare(due(a), due(b)))
			}) {
				t.Errorf("%s: those on trial without a share and those that rest are not last, or not by their return: %v", p.Key, order(&plan))
			}
		}
	})
	if candidates < 1000 || excluded < 1000 || rejected < 100 {
		t.Errorf("only %d candidates, %d excluded and %d rejected were seen: the random inputs prove nothing", candidates, excluded, rejected)
	}
}

// planned is how a plan takes an endpoint: one on trial without a share has no time at which its trial ends.
func (l *live) planned(e *routing.Endpoint) routing.Standing {
	s := l.Standing(e.Index, 2)
	if s.Kind == routing.OnTrial && !l.share[e.Index] {
		s.Until = 0
	}
	return s
}

func TestAPinnedRequestGoesToTheFirstListedThatCouldServeIt(t *testing.T) {
	found, standby := map[routing.StandingKind]int{}, 0
	forSeeds(t, 1500, func(t *testing.T, r *rand.Rand, in routing.Input) {
		table := routing.Build(in)
		health := randomLive(r, table)
		var plan routing.Plan
		for _, p := range table.Policies {
			facts := randomFacts(r)
			facts.Pinned = true
			routing.Route{Policy: p}.Plan(facts, health, 2, &plan)
			var owner *routing.Endpoint // the first that could serve it, by listed order
			for _, tier := range p.Tiers {
				for _, e := range tier.Endpoints {
					if owner == nil && serves(e, facts) {
						owner = e
					}
				}
			}
			var want []*routing.Endpoint
			if owner != nil && inUse(owner) && health.Standing(owner.Index, 2).Kind != routing.Barred {
				want = append(want, owner)
			}
			if !slices.EqualFunc(plan.Order, want, func(c routing.Candidate, e *routing.Endpoint) bool {
				return c.Endpoint == e && c.Standing == health.Standing(e.Index, 2)
			}) {
				t.Errorf("%s: %v, want %v for %+v", p.Key, order(&plan), want, facts)
			}
			for _, x := range plan.Excluded {
				var want routing.ExclusionReason // 0: because of what was asked for
				switch {
				case !serves(x.Endpoint, facts):
				case x.Endpoint != owner:
					want = routing.ExcludedPinned
				case !inUse(owner):
					want = routing.ExcludedStandby
					standby++
				default:
					want = routing.ExcludedBarred
				}
				if mine := x.Reason > routing.ExcludedStandby && x.Reason < routing.ExcludedBarred; mine != (want == 0) || want != 0 && x.Reason != want {
					t.Errorf("%s is left out of %+v: %s; want %v", x.Endpoint.Key, facts, x.Message(), want)
				}
			}
			if owner != nil && inUse(owner) {
				found[health.Standing(owner.Index, 2).Kind]++
			}
			if health.asked != nil || health.turns != nil {
				t.Errorf("%s: a pinned request takes a share of a trial, or a turn", p.Key)
			}
		}
	})
	if min(found[routing.InService], found[routing.OnTrial], found[routing.Resting], found[routing.Barred], standby) < 50 {
		t.Errorf("first in line were only %v, and %d on Standby by their specs: the random inputs prove nothing", found, standby)
	}
}

// rank is where a candidate belongs: among those in service, after them, or last.
func (l *live) rank(c routing.Candidate) int {
	switch {
	case c.Standing.Kind == routing.Resting:
		return 2
	case c.Standing.Kind == routing.OnTrial && !l.share[c.Endpoint.Index]:
		return 1
	default:
		return 0
	}
}

// due is when a candidate that rests comes back; of the others all are alike.
func due(c routing.Candidate) int64 {
	switch {
	case c.Standing.Kind != routing.Resting:
		return 0
	case c.Standing.Until == 0:
		return math.MaxInt64
	default:
		return c.Standing.Until
	}
}

func TestABareNameNeverLeavesItsNamespace(t *testing.T) {
	resolved := 0
	forSeeds(t, 300, func(t *testing.T, r *rand.Rand, in routing.Input) {
		table := routing.Build(in)
		for _, namespace := range append(someNamespaces, "nowhere", "") {
			for _, name := range append(someCapabilities, someModels...) {
				if before, _, slash := strings.Cut(name, "/"); slash && !strings.Contains(before, ".") {
					continue // not a bare name
				}
				bare, bareErr := table.Resolve(namespace, name)
				if bare != nil {
					resolved++
					if bare.Policy.Key.Namespace != namespace {
						t.Errorf("%q in namespace %q went to %s", name, namespace, bare.Policy.Key)
					}
				}
				// With its namespace said, a name means the same wherever it is said.
				said, saidErr := table.Resolve(pick(r, someNamespaces), namespace+"/"+name)
				if (bareErr == nil) != (saidErr == nil) || bare != nil && *bare != *said {
					t.Errorf("%q in %q: %v, %v; as %s/%s: %v, %v", name, namespace, bare, bareErr, namespace, name, said, saidErr)
				}
			}
		}
	})
	if resolved < 1000 {
		t.Errorf("only %d names resolved: the random inputs prove nothing", resolved)
	}
}

// reference resolves a bare name as the design words it, looking at every policy.
func reference(table *routing.Table, namespace, name string) (policies []routing.Key) {
	for _, p := range table.Policies {
		if p.Key.Namespace == namespace && slices.Contains(p.Names, name) {
			return []routing.Key{p.Key}
		}
	}
	node, err := capability.Resolve(name)
	for ok := err == nil; ok; node, ok = node.Parent() {
		for _, p := range table.Policies {
			if p.Key.Namespace == namespace && p.Node == node {
				policies = append(policies, p.Key)
			}
		}
		if len(policies) > 0 {
			return policies
		}
	}
	return nil
}

// policiesOf returns what Resolve answered in the form of reference.
func policiesOf(route *routing.Route, err error) []routing.Key {
	if ambiguous, ok := errors.AsType[*routing.AmbiguousError](err); ok {
		return ambiguous.Policies
	}
	if _, ok := errors.AsType[*routing.NotFoundError](err); ok {
		return nil
	}
	return []routing.Key{route.Policy.Key}
}

func TestResolveAgreesWithANaiveReference(t *testing.T) {
	kinds := [3]int{}
	forSeeds(t, 300, func(t *testing.T, _ *rand.Rand, in routing.Input) {
		table := routing.Build(in)
		for _, namespace := range someNamespaces {
			for _, name := range append(someCapabilities, someModels...) {
				want := reference(table, namespace, name)
				kinds[min(len(want), 2)]++
				route, err := table.Resolve(namespace, name)
				if got := policiesOf(route, err); !slices.Equal(got, want) {
					t.Errorf("%q in %s: got %v, %v, want %d policies", name, namespace, got, err, len(want))
				}
			}
		}
	})
	if kinds[0] < 100 || kinds[1] < 100 || kinds[2] < 100 {
		t.Errorf("none, one and several policies were right %v times: the random inputs prove nothing", kinds)
	}
}

func TestRoundRobinIsFair(t *testing.T) {
	forSeeds(t, 100, func(t *testing.T, r *rand.Rand, _ routing.Input) {
		var in routing.Input
		size := 1 + r.IntN(12)
		for i := range size {
			in.Endpoints = append(in.Endpoints, endpoint(fmt.Sprintf("e%02d", i)))
		}
		in.Policies = []routing.PolicySpec{policy("p", 1, models("m"), serving(chat), tiers(routing.TierSpec{Strategy: routing.RoundRobin}))}
		table := routing.Build(in)
		route := routing.Route{Policy: table.Policies[0]}
		health := &live{}
		var plan routing.Plan
		// Membership changes between rounds: some endpoints rest. Whatever was counted before, within a round
		// all that do not rest are first equally often, and in the same cycle.
		for range 5 {
			health.until = map[int]int64{}
			active := 0
			for i := range size {
				if r.IntN(3) == 0 {
					health.until[i] = 100
				} else {
					active++
				}
			}
			if active == 0 {
				continue
			}
			const rounds = 7
			first := map[int]int{}
			for range rounds * active {
				route.Plan(routing.Facts{}, health, 1, &plan)
				first[plan.Order[0].Endpoint.Index]++
				for i := 1; i < active; i++ {
					if follows(plan.Order[i-1].Endpoint.Index, plan.Order[i].Endpoint.Index, size, health.until) {
						continue
					}
					t.Errorf("order %v does not go round", order(&plan))
				}
			}
			for index, count := range first {
				if count != rounds || health.until[index] != 0 {
					t.Errorf("with %d active, endpoint %d was first %d times in %d rounds", active, index, count, rounds)
				}
			}
		}
	})
}

// follows reports whether b is the next after a, in the cycle of those that do not rest.
func follows(a, b, size int, resting map[int]int64) bool {
	next := (a + 1) % size
	for resting[next] != 0 {
		next = (next + 1) % size
	}
	return next == b
}

func FuzzResolve(f *testing.F) {
	table := resolveTable()
	for _, name := range []string{"chat", "team-b/chat", "acme.com/x", "team-b/acme.com/x.y", "ocr", "/", "//", "a/b/c", ".", "./x", "\xff"} {
		f.Add("default", name)
	}
	f.Fuzz(func(t *testing.T, namespace, name string) {
		route, err := table.ResolveBytes(namespace, []byte(name))
		if (err == nil) != (route.Policy != nil) {
			t.Fatalf("%v, %v", route, err)
		}
		if err != nil {
			if len(err.Error()) > 2000+4*len(namespace) {
				t.Errorf("a message of %d bytes", len(err.Error()))
			}
			return
		}
		if route.Policy.Key.Namespace != namespace && !strings.HasPrefix(name, route.Policy.Key.Namespace+"/") {
			t.Errorf("%q in namespace %q went to %s", name, namespace, route.Policy.Key)
		}
	})
}

func FuzzBuild(f *testing.F) {
	f.Add(uint64(1), "https://api.example.com/v1", chat, "chat", "alpha")
	f.Add(uint64(2), "http://[fe80::1%25eth0]:65536/%zz", "acme.com/a..b", "a/b", "")
	f.Add(uint64(3), "https://user:pass@host?#", "generation.", "\xff", "e0")
	f.Fuzz(func(t *testing.T, seed uint64, url, name, model, listed string) {
		r := rand.New(rand.NewPCG(seed, 0))
		in := randomInput(r, 8)
		in.Endpoints = append(in.Endpoints, endpoint("fuzzed", at(url), offering(name, chat)))
		in.Policies = append(in.Policies, policy("fuzzed", 1, models(model), serving(name), tiers(listing(listed, "fuzzed"), routing.TierSpec{})))
		table := routing.Build(in)
		e := table.Endpoint(routing.Key{Namespace: "default", Name: "fuzzed"})
		if active := e.Standby == (routing.Refusal{}); active {
			checkTarget(t, e)
		}
		health := randomLive(r, table)
		var plan routing.Plan
		for _, p := range table.Policies {
			routing.Route{Policy: p}.Plan(randomFacts(r), health, 2, &plan)
			if len(plan.Order)+len(plan.Excluded) != p.Total || p.Active > p.Total {
				t.Errorf("%s: %d planned of %d, %d active", p.Key, len(plan.Order)+len(plan.Excluded), p.Total, p.Active)
			}
			_ = plan.ExcludedMessage()
		}
	})
}

// checkTarget checks that what goes on the wire cannot break a request line or a header.
func checkTarget(t *testing.T, e *routing.Endpoint) {
	t.Helper()
	for _, part := range []string{e.Scheme, e.Address, e.Host, e.BasePath} {
		for _, c := range []byte(part) {
			if c <= ' ' || c >= 0x7f {
				t.Errorf("%q became %q, which has byte %#x", e.URL, part, c)
			}
		}
	}
	if strings.HasSuffix(e.BasePath, "/") || e.BasePath != "" && e.BasePath[0] != '/' || strings.ContainsAny(e.BasePath, "?#") {
		t.Errorf("%q has base path %q", e.URL, e.BasePath)
	}
	if !strings.Contains(e.Address, ":") || e.Host == "" {
		t.Errorf("%q goes to %q, host %q", e.URL, e.Address, e.Host)
	}
}
