// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package routing

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/turnout-ai/turnout/internal/capability"
)

// index finds policies by what requests ask for. Its key is the namespace: there is no way in it from one
// namespace to another.
type index map[string]*space

// space is what can be asked for in one namespace.
type space struct {
	// policies are by name.
	policies []*Policy
	// models holds who owns each model name.
	models map[string]*Policy
	// nodes holds the policies on each node, by name.
	nodes map[Node][]*Policy
	// custom holds the users' own nodes that objects of the namespace speak of, so that asking for one
	// allocates nothing.
	custom map[string]Node
	// names are all model names, and the capabilities that one policy is on, sorted.
	names []string
}

func newIndex(t *Table) index {
	ix := index{}
	for _, p := range t.Policies {
		s := ix[p.Key.Namespace]
		if s == nil {
			s = &space{models: map[string]*Policy{}, nodes: map[Node][]*Policy{}, custom: map[string]Node{}}
			ix[p.Key.Namespace] = s
		}
		s.policies = append(s.policies, p)
		if p.Node != "" {
			s.nodes[p.Node] = append(s.nodes[p.Node], p)
			s.intern(p.Node)
		}
	}
	for _, e := range t.Endpoints {
		if s := ix[e.Key.Namespace]; s != nil {
			for _, n := range e.Nodes {
				s.intern(n)
			}
		}
	}
	for _, s := range ix {
		s.assignNames()
	}
	return ix
}

func (s *space) intern(n Node) {
	if n.Custom() {
		s.custom[string(n)] = n
	}
}

// assignNames gives each model name to the oldest policy that lists it, of equally old ones to the first by
// name, and tells the others who has it.
func (s *space) assignNames() {
	oldest := slices.Clone(s.policies)
	slices.SortStableFunc(oldest, func(a, b *Policy) int { return a.Created.Compare(b.Created) })
	for _, p := range oldest {
		var conflicts []string
		for _, name := range p.Models {
			owner := s.models[name]
			switch {
			case owner == p: // listed twice
			case owner != nil:
				conflicts = append(conflicts, fmt.Sprintf("%q belongs to policy %s", name, owner.Key))
			case name == "" || strings.IndexByte(name, '/') >= 0:
				// No request can ask for it: with a slash it would be namespace/name.
			default:
				s.models[name] = p
				p.Names = append(p.Names, name)
			}
		}
		if len(conflicts) > 0 && p.Refused == (Refusal{}) {
			p.Refused = Refusal{Reason: ReasonNameConflict, Message: "spec.models: " + sentence(conflicts, ", ", strings.Clone) +
				", which had it first; use another name here or take it off that policy"}
		}
	}
	s.collectNames()
}

func (s *space) collectNames() {
	for name := range s.models {
		s.names = append(s.names, name)
	}
	for node, policies := range s.nodes {
		if len(policies) == 1 {
			s.names = append(s.names, node.Short())
		}
	}
	slices.Sort(s.names)
	s.names = slices.Compact(s.names) // a model name may shadow a capability
}

// Endpoint returns the endpoint of that key; nil when there is none.
func (t *Table) Endpoint(key Key) *Endpoint {
	return find(t.Endpoints, key, func(e *Endpoint) Key { return e.Key })
}

// Policy returns the policy of that key; nil when there is none.
func (t *Table) Policy(key Key) *Policy {
	return find(t.Policies, key, func(p *Policy) Key { return p.Key })
}

func find[T any](sorted []*T, key Key, keyOf func(*T) Key) *T {
	i, found := slices.BinarySearchFunc(sorted, key, func(o *T, k Key) int { return compareKeys(keyOf(o), k) })
	if !found {
		return nil
	}
	return sorted[i]
}

// PoliciesIn returns the policies of a namespace, by name. The slice is the table's own: read it only.
func (t *Table) PoliciesIn(namespace string) []*Policy {
	if s := t.names[namespace]; s != nil {
		return s.policies
	}
	return nil
}

// Names returns what callers of a namespace can ask for by a bare name, sorted: the model names, and the
// short names of the capabilities that exactly one policy is on. Capabilities below those work too and are
// not listed. The slice is the table's own: read it only.
func (t *Table) Names(namespace string) []string {
	if s := t.names[namespace]; s != nil {
		return s.names
	}
	return nil
}

// Resolve is ResolveBytes for a string.
func (t *Table) Resolve(namespace, name string) (*Route, error) {
	route, err := t.ResolveBytes(namespace, []byte(name))
	if err != nil {
		return nil, err
	}
	return &route, nil
}

// ResolveBytes returns where a request goes whose caller belongs to namespace and asks for name. The forms of
// a name are
//
//	chat                             in the caller's namespace
//	acme.com/compliance              a user's own capability, in the caller's namespace
//	team-b/chat                      in namespace team-b
//	team-b/acme.com/compliance       a user's own capability, in namespace team-b
//
// What stands before the first slash is a domain when it has a dot, otherwise a namespace; namespaces have no
// dots. Within the namespace the name is a policy's model name, or else a capability (full, short or a user's
// own), which goes to the policy on that node or on the nearest node above that has one.
//
// The error is a *NotFoundError or an *AmbiguousError. A name that resolves allocates nothing, except a
// user's own capability that no object of the namespace mentions.
func (t *Table) ResolveBytes(namespace string, name []byte) (Route, error) {
	s, rest, explicit := t.names[namespace], name, false
	if slash := bytes.IndexByte(name, '/'); slash >= 0 && bytes.IndexByte(name[:slash], '.') < 0 {
		s, rest, explicit = t.names[string(name[:slash])], name[slash+1:], true
	}
	if s != nil {
		if p := s.models[string(rest)]; p != nil {
			return Route{Policy: p}, nil
		}
	}
	node := s.node(rest)
	if policies := s.nearest(node); len(policies) == 1 {
		return Route{Policy: policies[0], Node: node}, nil
	} else if len(policies) > 1 {
		return Route{}, &AmbiguousError{Node: node, Policies: keys(policies)}
	}
	e := &NotFoundError{Namespace: namespace, Name: clip(rest), Node: node}
	prefix := ""
	if explicit {
		e.Namespace = clip(name[:len(name)-len(rest)-1])
		prefix = e.Namespace + "/"
	}
	e.Names, e.More = s.suggest(e.Name, prefix)
	return Route{}, e
}

// node returns the capability that name stands for; empty when it is none. s may be nil.
func (s *space) node(name []byte) Node {
	if node, ok := capability.Lookup(name); ok {
		return node
	}
	if bytes.IndexByte(name, '/') < 0 || len(name) > maxName {
		return ""
	}
	if s != nil {
		if node, ok := s.custom[string(name)]; ok {
			return node
		}
	}
	node, err := capability.Resolve(string(name))
	if err != nil {
		return ""
	}
	return node
}

// nearest returns the policies on node, or on the nearest node above it that has any. s may be nil.
func (s *space) nearest(node Node) []*Policy {
	if s == nil {
		return nil
	}
	for above := node != ""; above; node, above = node.Parent() {
		if policies := s.nodes[node]; len(policies) > 0 {
			return policies
		}
	}
	return nil
}

func keys(policies []*Policy) []Key {
	keys := make([]Key, len(policies))
	for i, p := range policies {
		keys[i] = p.Key
	}
	return keys
}

// Bounds of what a name that does not resolve may cost: any caller can send one.
const (
	// maxName is the length of the longest capability the API takes.
	maxName = 253
	// maxShown is how much of a name an error repeats, in bytes.
	maxShown = 128
	// maxSuggested is how many names an error proposes.
	maxSuggested = 10
	// maxRanked is how many model names are looked at to find them: those around the place where the name
	// would stand among the sorted ones.
	maxRanked = 128
)

func clip(name []byte) string {
	if len(name) <= maxShown {
		return string(name)
	}
	return string(name[:maxShown]) + "…"
}

// suggest returns names that work in the namespace, those most like name first, each with the prefix, and how
// many more there are. s may be nil.
func (s *space) suggest(name, prefix string) (names []string, more int) {
	if s == nil {
		return nil, 0
	}
	at, _ := slices.BinarySearch(s.names, name)
	from := max(0, min(at-maxRanked/2, len(s.names)-maxRanked))
	near := slices.Clone(s.names[from:min(from+maxRanked, len(s.names))])
	// Capabilities below a policy's are not among its names, but are what a misspelt one was likely meant to be.
	for _, n := range capability.All() {
		if len(s.nodes[n]) == 0 && len(s.nearest(n)) == 1 {
			near = append(near, n.Short())
		}
	}
	distance := make(map[string]int, len(near))
	for _, n := range near {
		distance[n] = capability.Distance(name, n)
	}
	slices.SortFunc(near, func(a, b string) int {
		return cmp.Or(cmp.Compare(distance[a], distance[b]), cmp.Compare(a, b))
	})
	near = slices.Compact(near)
	total := len(near) + len(s.names) - min(len(s.names), maxRanked)
	near = near[:min(len(near), maxSuggested)]
	for i := range near {
		near[i] = prefix + near[i]
	}
	return near, total - len(near)
}

// NotFoundError says that no policy of a namespace serves a name.
type NotFoundError struct {
	// Namespace is where the name was looked for: the caller's, or the one the name began with.
	Namespace string
	// Name is the name within the namespace, cut to a length that can be shown.
	Name string
	// Node is the capability that Name stands for; empty when it stands for none.
	Node Node
	// Names are names that would resolve, those most like Name first. At most 10.
	Names []string
	// More is how many others there are.
	More int
}

// Error returns a sentence that lists the names that work.
func (e *NotFoundError) Error() string {
	text := fmt.Sprintf("no RoutingPolicy in namespace %q serves %q", e.Namespace, e.Name)
	if e.Node != "" {
		text = fmt.Sprintf("no RoutingPolicy in namespace %q serves the capability %s or one above it", e.Namespace, e.Node)
	}
	if len(e.Names) == 0 {
		return text + "; nothing can be asked for there"
	}
	text += "; names that work: " + strings.Join(e.Names, ", ")
	if e.More > 0 {
		text += fmt.Sprintf(" and %d more", e.More)
	}
	return text
}

// AmbiguousError says that several policies of one namespace are on the same capability, so that asking for
// it chooses none.
type AmbiguousError struct {
	// Node is the capability that was asked for. The policies are on it or on a node above it.
	Node Node
	// Policies are by name, at least two.
	Policies []Key
}

// Error returns a sentence that lists the policies and says what to do.
func (e *AmbiguousError) Error() string {
	return fmt.Sprintf("the capability %s is served by %d RoutingPolicies: %s; ask for a model name of one of them, "+
		"or leave the capability to one", e.Node, len(e.Policies), sentence(e.Policies, ", ", Key.String))
}
