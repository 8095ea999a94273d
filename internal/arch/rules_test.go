// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

// Package arch holds the rules of who may enter which room (docs/design.md, section 7) as a test. The linter's
// depguard sees direct imports only; a wall with a door round the corner is none, so these rules follow
// imports all the way.
package arch

import (
	"fmt"
	"slices"
	"strings"
)

const module = "github.com/turnout-ai/turnout"

// graph is what imports what, without test files: a test may use anything.
type graph struct {
	imports  map[string][]string
	standard map[string]bool
}

// own returns the packages of this module, sorted.
func (g graph) own() []string {
	var packages []string
	for p := range g.imports {
		if under("")(p) {
			packages = append(packages, p)
		}
	}
	slices.Sort(packages)
	return packages
}

// chain returns the shortest way by imports from a package to one that matches; nil when there is none.
func (g graph) chain(from string, matches matcher) []string {
	before := map[string]string{from: ""}
	for queue := []string{from}; len(queue) > 0; queue = queue[1:] {
		for _, next := range g.imports[queue[0]] {
			if _, seen := before[next]; seen {
				continue
			}
			before[next] = queue[0]
			if !matches(g, next) {
				queue = append(queue, next)
				continue
			}
			way := []string{next}
			for p := before[next]; p != ""; p = before[p] {
				way = append(way, p)
			}
			slices.Reverse(way)
			return way
		}
	}
	return nil
}

// matcher tells which packages are meant.
type matcher func(g graph, path string) bool

// under matches folders of this module, and what is in them.
func under(folders ...string) func(path string) bool {
	return func(path string) bool {
		return slices.ContainsFunc(folders, func(folder string) bool {
			return within(path, strings.TrimSuffix(module+"/"+folder, "/"))
		})
	}
}

func within(path, folder string) bool {
	return path == folder || strings.HasPrefix(path, folder+"/")
}

// rooms is under as a matcher.
func rooms(folders ...string) matcher {
	in := under(folders...)
	return func(_ graph, path string) bool { return in(path) }
}

// kubernetes matches all of Kubernetes' modules, and the package of our kinds, which imports them.
func kubernetes(_ graph, path string) bool {
	return within(path, "k8s.io") || within(path, "sigs.k8s.io") || under("api")(path)
}

// beyond matches everything outside of the standard library and the given folders.
func beyond(folders ...string) matcher {
	allowed := under(folders...)
	return func(g graph, path string) bool { return !g.standard[path] && !allowed(path) }
}

// cron matches the reader of cron schedules.
func cron(_ graph, path string) bool { return within(path, "github.com/robfig/cron/v3") }

// besides is beyond, with one more thing allowed.
func besides(allowed matcher, folders ...string) matcher {
	outside := beyond(folders...)
	return func(g graph, path string) bool { return outside(g, path) && !allowed(g, path) }
}

// inputOutput matches the packages of the standard library that reach the world outside of the program.
func inputOutput(_ graph, path string) bool {
	if path == "net/netip" || path == "net/url" { // values and parsing
		return false
	}
	return slices.ContainsFunc([]string{"os", "net", "syscall", "log", "plugin", "database/sql", "testing"},
		func(room string) bool { return within(path, room) })
}

// rule is one of the rules: what the packages it binds must not do, and why.
type rule struct {
	name string
	// binds are the folders whose packages must keep the rule; "" is all.
	binds []string
	// except are folders within binds that need not.
	except []string
	// breach returns the way by which the package breaks the rule; nil when it keeps it.
	breach func(g graph, path string) []string
	reason string
}

// depends is a breach by depending on a package that matches, by whatever way.
func depends(on matcher) func(graph, string) []string {
	return func(g graph, path string) []string { return g.chain(path, on) }
}

// imports is a breach by importing a package that matches.
func imports(what matcher) func(graph, string) []string {
	return func(g graph, path string) []string {
		for _, p := range g.imports[path] {
			if what(g, p) {
				return []string{path, p}
			}
		}
		return nil
	}
}

// both is a breach by importing packages of both kinds.
func both(one, other matcher) func(graph, string) []string {
	return func(g graph, path string) []string {
		first, second := imports(one)(g, path), imports(other)(g, path)
		if first == nil || second == nil {
			return nil
		}
		return append(first, second[1])
	}
}

// named is a breach by a folder's name.
func named(names ...string) func(graph, string) []string {
	return func(_ graph, path string) []string {
		for folder := range strings.SplitSeq(strings.TrimPrefix(path, module+"/"), "/") {
			if slices.Contains(names, folder) {
				return []string{path}
			}
		}
		return nil
	}
}

// rules are those of docs/design.md, section 7. Each has a case in TestEachRuleRefuses.
var rules = []rule{
	{
		name:   "pure rooms depend on the standard library only",
		binds:  []string{"internal/capability", "internal/wire", "internal/modelstate", "internal/pricing", "internal/quota"},
		breach: depends(beyond("internal/capability", "internal/wire", "internal/modelstate", "internal/pricing", "internal/quota")),
		reason: "what decides is plain Go on plain values, so that it can be tested and fuzzed without anything around it",
	},
	{
		name:   "pricing, state and quota know nothing of each other",
		binds:  []string{"internal/pricing", "internal/modelstate", "internal/quota"},
		breach: depends(rooms("internal")),
		reason: "money is counted in plain numbers, so that none has to change with another",
	},
	{
		name:   "calendar depends on the standard library and the reader of cron schedules only",
		binds:  []string{"internal/calendar"},
		breach: depends(besides(cron, "internal/calendar")),
		reason: "when a period begins must follow from its arguments alone",
	},
	{
		name:   "routing depends on the standard library and the pure rooms below it only",
		binds:  []string{"internal/routing"},
		breach: depends(besides(cron, "internal/routing", "internal/capability", "internal/calendar", "internal/pricing", "internal/modelstate")),
		reason: "operator and proxies decide by the same function; what either brings along would make it differ",
	},
	{
		name:   "only calendar knows how cron writes schedules",
		binds:  []string{""},
		except: []string{"internal/calendar"},
		breach: imports(cron),
		reason: "cron's own reckoning skips windows when clocks are put forward and opens them twice when they are put back",
	},
	{
		name: "pure rooms do no input or output",
		binds: []string{
			"internal/capability", "internal/routing", "internal/wire", "internal/modelstate", "internal/pricing", "internal/calendar", "internal/quota",
		},
		breach: imports(inputOutput), // direct only: crypto/x509, for values, brings net and os along
		reason: "a decision must follow from its arguments alone, or it can be neither repeated nor explained",
	},
	{
		name:  "health depends on the standard library and the pure rooms only",
		binds: []string{"internal/health"},
		breach: depends(besides(cron,
			"internal/health", "internal/routing", "internal/capability", "internal/calendar", "internal/pricing", "internal/modelstate", "internal/quota")),
		reason: "it stands in the request path, beside the table",
	},
	{
		name:   "the proxy knows no Kubernetes",
		binds:  []string{"internal/proxy"},
		breach: depends(kubernetes),
		reason: "the request path reads routing.Table and never waits for the control plane",
	},
	{
		name:   "the controller does not depend on the proxy",
		binds:  []string{"internal/controller"},
		breach: depends(rooms("internal/proxy")),
		reason: "operator and proxies meet in the API server only",
	},
	{
		name:   "the proxy does not depend on the controller",
		binds:  []string{"internal/proxy"},
		breach: depends(rooms("internal/controller")),
		reason: "operator and proxies meet in the API server only",
	},
	{
		name:  "api imports apimachinery only",
		binds: []string{"api"},
		breach: imports(func(g graph, path string) bool {
			return beyond("api")(g, path) && !within(path, "k8s.io/apimachinery")
		}),
		reason: "whoever writes a client for our kinds gets all that they import",
	},
	{
		name:  "only some rooms speak of API objects and plain values",
		binds: []string{""},
		// explain and plugin are kubectl-turnout: they answer questions about API objects by routing them.
		except: []string{
			"internal/translate", "internal/controller", "internal/source", "internal/report",
			"internal/explain", "internal/plugin", "cmd/kubectl-turnout",
		},
		breach: both(rooms("api"), rooms("internal/routing", "internal/modelstate", "internal/quota")),
		reason: "translate is where the two vocabularies meet; a second translation would come to differ from the first",
	},
	{
		name:   "what ships has no test harness in it",
		binds:  []string{"cmd", "api", "internal"},
		except: []string{"internal/kubetest"},
		breach: depends(rooms("test", "hack", "internal/kubetest")),
		reason: "code for tests may take shortcuts with keys, clocks and privileges",
	},
	{
		name:   "the simulated provider is not built from what it tests",
		binds:  []string{"internal/modelsim", "cmd/modelsim"},
		breach: depends(rooms("internal/wire", "internal/routing", "internal/proxy")),
		reason: "a misreading of the wire that both sides share shows in no test",
	},
	{
		name:   "operator and proxy do not depend on the simulated provider",
		binds:  []string{"cmd/operator", "cmd/proxy"},
		breach: depends(rooms("internal/modelsim")),
		reason: "code for tests may take shortcuts with keys, clocks and privileges",
	},
	{
		name:   "packages are named for what they are about",
		binds:  []string{""},
		breach: named("util", "utils", "common", "helper", "helpers", "misc", "pkg"),
		reason: "a package for everything else belongs to nobody and depends on everything",
	},
}

// bound reports whether a package must keep the rule.
func (r rule) bound(path string) bool {
	return under(r.binds...)(path) && !under(r.except...)(path)
}

// breaches returns a line for each package of this module that breaks the rule.
func (r rule) breaches(g graph) []string {
	var lines []string
	for _, path := range g.own() {
		if !r.bound(path) {
			continue
		}
		if way := r.breach(g, path); way != nil {
			lines = append(lines, fmt.Sprintf("%s: %s\n\tbecause %s", r.name, strings.Join(way, " → "), r.reason))
		}
	}
	return lines
}
