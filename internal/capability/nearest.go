// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package capability

import (
	"cmp"
	"slices"
	"strings"
)

// maxNearest is how many names an error proposes.
const maxNearest = 3

// maxCompared is how much of a name Distance looks at, in bytes: it bounds what a wrong name in a request can
// cost, and longer names that agree so far are alike enough.
const maxCompared = 64

// nearest returns the short names of the built-in nodes that look like name, the most alike first. A node is
// compared by its short name, also with the last segment of name, so that a wrong path to a right leaf finds
// the leaf.
func nearest(name string) []string {
	type proposal struct {
		name     string
		distance int
	}
	if len(name) > maxCompared {
		return nil // longer than any built-in name
	}
	name = strings.ToLower(name)
	last := lastSegment(Node(name))
	var proposals []proposal
	for _, n := range builtin.all {
		short := n.Short()
		// A third of the letters wrong is a typo; more is another word.
		limit := max(1, min(len(last), len(short))/3)
		distance := min(within(limit, name, short), within(limit, last, short), within(limit, name, string(n)))
		if startsWord(short, last) {
			distance = min(distance, 1)
		}
		if distance <= limit {
			proposals = append(proposals, proposal{short, distance})
		}
	}
	slices.SortStableFunc(proposals, func(a, b proposal) int { return cmp.Compare(a.distance, b.distance) })
	names := make([]string, 0, maxNearest)
	for _, p := range proposals[:min(len(proposals), maxNearest)] {
		names = append(names, p.name)
	}
	return names
}

// within is Distance, or something above limit when the lengths alone say that the distance is.
func within(limit int, a, b string) int {
	if len(a)-len(b) > limit || len(b)-len(a) > limit {
		return limit + 1
	}
	return Distance(a, b)
}

// startsWord reports whether part is the beginning of name up to a hyphen: "chat" of "chat-completion".
func startsWord(name, part string) bool {
	return part != "" && strings.HasPrefix(name, part) && len(name) > len(part) && name[len(part)] == '-'
}

// Distance is how many single-byte insertions, deletions, substitutions and swaps of neighbours turn a into b
// (the optimal string alignment distance), looking at no more than the first 64 bytes of each. It ranks
// proposals for misspelt names; it is not meant for the path of requests that go well.
func Distance(a, b string) int {
	a, b = a[:min(len(a), maxCompared)], b[:min(len(b), maxCompared)]
	// Three rows of the usual matrix are enough: the current one and the two above it.
	var rows [3][maxCompared + 1]int
	previous, current, before := &rows[0], &rows[1], &rows[2]
	for j := range len(b) + 1 {
		previous[j] = j
	}
	for i := 1; i <= len(a); i++ {
		current[0] = i
		for j := 1; j <= len(b); j++ {
			substitution := previous[j-1]
			if a[i-1] != b[j-1] {
				substitution++
			}
			d := min(previous[j]+1, current[j-1]+1, substitution)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d = min(d, before[j-2]+1)
			}
			current[j] = d
		}
		before, previous, current = previous, current, before
	}
	return previous[len(b)]
}
