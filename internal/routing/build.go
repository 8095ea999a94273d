// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package routing

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/turnout-ai/turnout/internal/capability"
	"github.com/turnout-ai/turnout/internal/modelstate"
)

// Reasons of a Refusal that Build gives. They are those of the API's conditions.
const (
	// ReasonManual says that an endpoint is suspended.
	ReasonManual = "Manual"
	// ReasonUnknownCapability says that a capability is neither in the tree nor under a domain.
	ReasonUnknownCapability = "UnknownCapability"
	// ReasonInvalidURL says that an endpoint's URL cannot be used.
	ReasonInvalidURL = "InvalidURL"
	// ReasonNameConflict says that another policy owns a name of spec.models.
	ReasonNameConflict = "NameConflict"
	// ReasonEndpointNotFound says that a listed endpoint does not exist.
	ReasonEndpointNotFound = "EndpointNotFound"
	// ReasonCapabilityMismatch says that a listed endpoint does not offer the policy's capability.
	ReasonCapabilityMismatch = "CapabilityMismatch"
)

// Build turns what users declared into a table. It accepts any input: what cannot be acted on stays in the
// table with a Refusal that says why, and everything else works. The result does not depend on the order of
// the input, and shares the input's slices and maps, which must not change afterwards.
func Build(in Input) *Table {
	t := &Table{
		Endpoints: newEndpoints(in.Endpoints),
		Policies:  newPolicies(in.Policies),
	}
	// Turns are numbered while the policies are filled, in the order of the table, so that equal inputs give
	// equal numbers.
	b := builder{pools: newPools(t.Endpoints), taken: make([]int, len(t.Endpoints)), held: make([][]byte, len(t.Endpoints))}
	for i, p := range t.Policies {
		b.round = i + 1
		b.fill(p)
	}
	t.Turns = b.turns
	b.units(t)
	t.names = newIndex(t)
	return t
}

// latest returns the specs sorted by key, with the newest of those that share one.
func latest[T any](specs []T, key func(*T) Key, generation func(*T) (int64, string)) []*T {
	sorted := make([]*T, len(specs))
	for i := range specs {
		sorted[i] = &specs[i]
	}
	slices.SortFunc(sorted, func(a, b *T) int {
		if c := compareKeys(key(a), key(b)); c != 0 {
			return c
		}
		generationA, uidA := generation(a)
		generationB, uidB := generation(b)
		return cmp.Or(cmp.Compare(generationB, generationA), cmp.Compare(uidB, uidA))
	})
	return slices.CompactFunc(sorted, func(a, b *T) bool { return key(a) == key(b) })
}

func compareKeys(a, b Key) int {
	return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
}

func newEndpoints(specs []EndpointSpec) []*Endpoint {
	sorted := latest(specs,
		func(s *EndpointSpec) Key { return s.Key },
		func(s *EndpointSpec) (int64, string) { return s.Generation, s.UID })
	// One array: plans walk endpoints of a namespace one after the other.
	array := make([]Endpoint, len(sorted))
	endpoints := make([]*Endpoint, len(sorted))
	for i, spec := range sorted {
		e := &array[i]
		e.EndpointSpec, e.Index = *spec, i
		e.resolve()
		endpoints[i] = e
	}
	return endpoints
}

// resolve derives everything else from the endpoint's spec. Capabilities that are understood count even when
// others are not: the endpoint then stands in its policies' pools on Standby, where its owner looks for it,
// instead of vanishing from them.
func (e *Endpoint) resolve() {
	e.Refused = e.Misfit
	to, problem := parseURL(e.URL)
	if problem != "" {
		e.Refused = Refusal{Reason: ReasonInvalidURL, Message: problem}
	}
	e.Scheme, e.Address, e.Host, e.BasePath = to.scheme, to.address, to.host, to.basePath

	var unknown []error
	for _, name := range e.Capabilities {
		node, err := capability.Resolve(name)
		if err != nil {
			unknown = append(unknown, err)
		} else if !slices.Contains(e.Nodes, node) {
			e.Nodes = append(e.Nodes, node)
		}
	}
	if len(unknown) > 0 {
		e.Refused = Refusal{Reason: ReasonUnknownCapability, Message: "spec.capabilities: " + sentence(unknown, "; ", error.Error)}
	}

	// The user's own word comes first: an endpoint that is suspended on purpose is not shown as broken.
	switch {
	case e.Suspended:
		e.Standby = Refusal{Reason: ReasonManual, Message: "spec.suspend is true; set it to false to take the endpoint into use"}
	case e.Refused != Refusal{}:
		e.Standby = e.Refused
	default:
		e.Standby = e.Unresolved
	}
	e.filter = newFilter(e)
}

func newPolicies(specs []PolicySpec) []*Policy {
	sorted := latest(specs,
		func(s *PolicySpec) Key { return s.Key },
		func(s *PolicySpec) (int64, string) { return s.Generation, s.UID })
	policies := make([]*Policy, len(sorted))
	for i, spec := range sorted {
		p := &Policy{PolicySpec: *spec}
		if spec.Capability != "" {
			node, err := capability.Resolve(spec.Capability)
			p.Node = node
			if err != nil {
				p.Refused = Refusal{Reason: ReasonUnknownCapability, Message: fmt.Sprintf("spec.capability: %v", err)}
			}
		}
		policies[i] = p
	}
	return policies
}

// pool is the endpoints of one namespace, in all the ways in which a tier can ask for them. Every list is by
// name.
type pool struct {
	all    []*Endpoint
	byName map[string]*Endpoint
	// byNode holds the endpoints at or below a node, those with several capabilities there several times.
	byNode map[Node][]*Endpoint
}

func newPools(endpoints []*Endpoint) map[string]*pool {
	pools := map[string]*pool{}
	for _, e := range endpoints {
		p := pools[e.Key.Namespace]
		if p == nil {
			p = &pool{byName: map[string]*Endpoint{}, byNode: map[Node][]*Endpoint{}}
			pools[e.Key.Namespace] = p
		}
		p.add(e)
	}
	return pools
}

func (p *pool) add(e *Endpoint) {
	p.all = append(p.all, e)
	p.byName[e.Key.Name] = e
	for _, n := range e.Nodes {
		for above := true; above; n, above = n.Parent() {
			p.byNode[n] = append(p.byNode[n], e)
		}
	}
}

// builder fills the tiers of one policy after the other.
type builder struct {
	pools map[string]*pool
	// taken holds, for each endpoint, the round in which a tier last took it.
	taken []int
	// round numbers the policies from 1.
	round int
	turns int
	// scratch collects a tier before its length is known.
	scratch []*Endpoint
	// held are, for each endpoint, the policies that have it, as their places in the table: four bytes each, so
	// that a list can be the key of a map.
	held [][]byte
}

// onlyDefault is how an endpoint in no policy is judged.
var onlyDefault = []modelstate.Unit{modelstate.DefaultUnit}

// units gives each endpoint the units of its policies. Policies were filled by name, so they are in order.
// Endpoints of the same policies share one list: where every policy of a large namespace has every endpoint, the
// lists would be larger than all the rest.
func (b *builder) units(t *Table) {
	lists := map[string][]modelstate.Unit{"": onlyDefault}
	for _, e := range t.Endpoints {
		held := b.held[e.Index]
		units := lists[string(held)]
		if units == nil {
			for ; len(held) > 0; held = held[4:] {
				units = append(units, t.Policies[binary.LittleEndian.Uint32(held)].Unit)
			}
			lists[string(b.held[e.Index])] = units
		}
		e.Units = units
	}
}

// fill gives the policy its tiers and counts. A policy that is refused keeps its tiers without endpoints, so
// that its status can still name their strategies.
func (b *builder) fill(p *Policy) {
	specs := p.PolicySpec.Tiers
	if len(specs) == 0 {
		specs = []TierSpec{{}}
	}
	var lost missing
	p.Tiers = make([]Tier, len(specs))
	for i := range specs {
		p.Tiers[i] = Tier{Strategy: specs[i].Strategy, Turn: b.turns}
		b.turns++
		if p.Refused == (Refusal{}) {
			p.Tiers[i].Endpoints = b.take(b.candidates(p, i, &specs[i], &lost), specs[i].Match)
		}
		for _, e := range p.Tiers[i].Endpoints {
			p.Total++
			b.held[e.Index] = binary.LittleEndian.AppendUint32(b.held[e.Index], uint32(b.round-1))
			if e.Standby == (Refusal{}) {
				p.Active++
			}
		}
	}
	p.Unresolved = lost.refusal()
}

// candidates returns the endpoints that a tier can choose from, before its match. They are always of the
// policy's own namespace: no selector can reach another tenant's credentials.
func (b *builder) candidates(p *Policy, tier int, spec *TierSpec, lost *missing) []*Endpoint {
	from := b.pools[p.Key.Namespace]
	if from == nil {
		from = &pool{}
	}
	switch {
	case len(spec.Endpoints) > 0:
		return listed(p, tier, spec.Endpoints, from, lost)
	case p.Node != "":
		return from.byNode[p.Node]
	case spec.Match != nil:
		return from.all
	default:
		return nil // neither a capability nor a choice: nothing is meant
	}
}

// listed returns, in listed order, the endpoints of those names that exist and offer the policy's capability, and records the others.
func listed(p *Policy, tier int, names []string, from *pool, lost *missing) []*Endpoint {
	found := make([]*Endpoint, 0, len(names))
	for _, name := range names {
		e := from.byName[name]
		switch {
		case e == nil:
			lost.add(ReasonEndpointNotFound, fmt.Sprintf(
				"spec.tiers[%d].endpoints: there is no ModelEndpoint %q in namespace %q; create it or take it off the list",
				tier, name, p.Key.Namespace))
		case p.Node != "" && !slices.ContainsFunc(e.Nodes, p.Node.Contains):
			lost.add(ReasonCapabilityMismatch, fmt.Sprintf(
				"spec.tiers[%d].endpoints: ModelEndpoint %q does not offer %s; add it to the endpoint's spec.capabilities or take the endpoint off the list",
				tier, name, p.Node.Short()))
		default:
			found = append(found, e)
		}
	}
	return found
}

// take returns the candidates that match and that no earlier tier of the policy has taken. Taking each once
// is what lets a plan walk the tiers without remembering whom it has met.
func (b *builder) take(candidates []*Endpoint, match *Match) []*Endpoint {
	b.scratch = b.scratch[:0]
	for _, e := range candidates {
		if b.taken[e.Index] != b.round && match.holds(e) {
			b.taken[e.Index] = b.round
			b.scratch = append(b.scratch, e)
		}
	}
	return slices.Clone(b.scratch)
}

// missing collects what a policy lists and cannot have.
type missing struct {
	reason    string
	sentences []string
}

func (m *missing) add(reason, text string) {
	// An endpoint that does not exist is the worse of the two, and the likelier to be a slip.
	if m.reason != ReasonEndpointNotFound {
		m.reason = reason
	}
	m.sentences = append(m.sentences, text)
}

func (m *missing) refusal() Refusal {
	return Refusal{Reason: m.reason, Message: sentence(m.sentences, "; ", strings.Clone)}
}

// holds reports whether the endpoint matches. A nil Match asks for nothing.
func (m *Match) holds(e *Endpoint) bool {
	if m == nil {
		return true
	}
	if len(m.Providers) > 0 && !slices.Contains(m.Providers, e.Provider) {
		return false
	}
	if slices.Contains(m.ExcludedProviders, e.Provider) {
		return false
	}
	// Declared, not merely possible: an endpoint of which nothing is known does not match.
	if m.Features != 0 && (!e.FeaturesKnown || m.Features&^e.Features != 0) {
		return false
	}
	for i := range m.Labels {
		if !m.Labels[i].holds(e.Labels) {
			return false
		}
	}
	return true
}

// holds reports whether the labels meet the requirement, as Kubernetes label selectors judge: NotIn also
// holds when the label is absent.
func (r *Requirement) holds(labels map[string]string) bool {
	value, present := labels[r.Label]
	switch r.Op {
	case In:
		return present && slices.Contains(r.Values, value)
	case NotIn:
		return !present || !slices.Contains(r.Values, value)
	case Exists:
		return present
	case DoesNotExist:
		return !present
	default:
		return false // an operator of a newer version: to select too little is the safe way to be wrong
	}
}
