// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package capability

import (
	"fmt"
	"strings"
)

// Limits of a user's own node. The domain and the segments are bounded as DNS bounds them; the length is that
// of the API's schema; the depth keeps the cost of looking at every ancestor small.
const (
	maxName    = 253
	maxSegment = 63
	maxDepth   = 8
)

// maxQuoted is how much of a wrong name an error repeats, in bytes.
const maxQuoted = 64

// NameError says why a name is no capability.
type NameError struct {
	// Name is the name as it was given, cut to a length that can be shown.
	Name string
	// Problem is what is wrong with a name that has a slash; empty for one that is not in the built-in tree.
	Problem string
}

// Error returns a sentence that names the problem and the remedy.
func (e *NameError) Error() string {
	if e.Problem != "" {
		return fmt.Sprintf("%q %s", e.Name, e.Problem)
	}
	text := fmt.Sprintf("%q is not a capability; ", e.Name)
	switch names := e.Nearest(); len(names) {
	case 0:
		return text + "use a name of the built-in tree such as chat-completion, " +
			"or one of your own below a domain such as acme.com/compliance.pii-detection"
	case 1:
		return text + "did you mean " + names[0] + "?"
	default:
		last := len(names) - 1
		return text + "did you mean " + strings.Join(names[:last], ", ") + " or " + names[last] + "?"
	}
}

// Nearest returns built-in names that look like Name, at most three, the most alike first; none when Problem
// is set. It compares Name with the whole tree, so it costs far more than the lookup that failed.
func (e *NameError) Nearest() []string {
	if e.Problem != "" {
		return nil
	}
	return nearest(e.Name)
}

// Resolve returns the node that name stands for: a full name of the tree, the last segment of one where it is
// unique, or a node of a user's own as domain/dotted.path. Names are case-sensitive and lower case. The error
// is a *NameError.
func Resolve(name string) (Node, error) {
	if n, ok := builtin.names[name]; ok {
		return n, nil
	}
	domain, path, custom := strings.Cut(name, "/")
	if !custom {
		return "", &NameError{Name: clip(name)}
	}
	if problem := customProblem(name, domain, path); problem != "" {
		return "", &NameError{Name: clip(name), Problem: problem}
	}
	return Node(name), nil
}

// Lookup is Resolve for built-in names in bytes, without allocating. It knows no user's own nodes.
func Lookup(name []byte) (Node, bool) {
	n, ok := builtin.names[string(name)]
	return n, ok
}

// customProblem says what is wrong with a name that has a slash; empty when it is a node of a user's own.
func customProblem(name, domain, path string) string {
	switch {
	case len(name) > maxName:
		return fmt.Sprintf("is longer than %d characters", maxName)
	case !isDomain(domain):
		return "must have a domain before its slash: lower-case letters, digits and hyphens, " +
			"with at least one dot, such as acme.com/compliance.pii-detection"
	case path == "":
		return "must have a name after its slash, such as " + domain + "/compliance.pii-detection"
	case strings.Count(path, ".") >= maxDepth:
		return fmt.Sprintf("has more than %d segments after its slash", maxDepth)
	case !all(path, isSegment):
		return "must have segments of lower-case letters, digits and hyphens after its slash, joined by dots, " +
			"each at most 63 characters, none empty or with a hyphen at its ends"
	default:
		return ""
	}
}

// isDomain reports whether s is a DNS subdomain (RFC 1123, as Kubernetes reads it) of at least two labels.
func isDomain(s string) bool {
	return strings.IndexByte(s, '.') >= 0 && all(s, isSegment)
}

// all reports whether every dot-separated segment of s passes.
func all(s string, pass func(string) bool) bool {
	for segment := range strings.SplitSeq(s, ".") {
		if !pass(segment) {
			return false
		}
	}
	return true
}

// isSegment reports whether s is a DNS label: what a segment of a domain and of a path may be.
func isSegment(s string) bool {
	if s == "" || len(s) > maxSegment || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}

// clip cuts s to a length that an error can show.
func clip(s string) string {
	if len(s) <= maxQuoted {
		return s
	}
	return s[:maxQuoted] + "…"
}
