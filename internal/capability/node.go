// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

// Package capability holds the tree of things a model can do (category.subcategory.leaf) and the rules for
// naming its nodes. It is pure: stdlib only, no clock, no I/O, and nothing changes after the program has started.
//
// A node has a full name (generation.text-generation.chat-completion) and, where its last segment stands only
// once in the tree, a short one (chat-completion). Users add nodes of their own under a domain
// (acme.com/compliance.pii-detection). The domain is what keeps a misspelt built-in name an error: without one,
// a name is either in the tree or refused.
package capability

import "strings"

// Node is a resolved node of the capability tree by its full name: "generation.text-generation.chat-completion", or
// under a user's own domain "acme.com/compliance.pii-detection". The zero value is no node.
//
// Only Resolve, Lookup, All, Children and the methods of other nodes make one; they never make an invalid one.
type Node string

// Contains reports whether other is n or stands below it. The zero Node contains nothing and is in nothing.
func (n Node) Contains(other Node) bool {
	if n == "" || !strings.HasPrefix(string(other), string(n)) {
		return false
	}
	// A prefix is only an ancestor when a segment ends there: "a.text" does not contain "a.text-generation".
	return len(other) == len(n) || other[len(n)] == '.'
}

// Parent returns the node right above n. It returns false for a category, for the first segment below a
// domain, and for the zero Node: nothing stands above them.
func (n Node) Parent() (Node, bool) {
	// A domain has dots too, but no dot of it ends a segment.
	path := strings.IndexByte(string(n), '/') + 1
	dot := strings.LastIndexByte(string(n[path:]), '.')
	if dot < 0 {
		return "", false
	}
	return n[:path+dot], true
}

// Leaf reports whether nothing stands below n in the tree. A node under a user's domain always counts as a
// leaf: what is below it is declared nowhere.
func (n Node) Leaf() bool {
	return n != "" && len(builtin.children[n]) == 0
}

// Custom reports whether n is a user's own node, under a domain.
func (n Node) Custom() bool {
	return strings.IndexByte(string(n), '/') >= 0
}

// Short returns the shortest name that Resolve accepts for n: the last segment where it is unique in the
// tree, otherwise the full name. A user's own node has its full name only.
func (n Node) Short() string {
	if n.Custom() {
		return string(n)
	}
	if last := lastSegment(n); builtin.names[last] == n {
		return last
	}
	return string(n)
}

func lastSegment(n Node) string {
	return string(n[strings.LastIndexByte(string(n), '.')+1:])
}
