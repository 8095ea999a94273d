// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package dataplane

import (
	"context"
	"flag"
	"os"
	"testing"
	"time"

	"github.com/turnout-ai/turnout/api/v1alpha1"
)

// Target is what the suite runs against.
type Target interface {
	// Apply puts objects in force, all at once. The suite waits until the proxies serve them.
	Apply(ctx context.Context, endpoints []*v1alpha1.ModelEndpoint, policies []*v1alpha1.RoutingPolicy) error
	// Proxies are where it can be asked. Each trial keeps to one of them.
	Proxies() []Proxy
}

// Proxy is where a proxy serves callers, and where it serves its administrators; without a path.
type Proxy struct{ URL, AdminURL string }

// Fleet is a Target with an operator, which tells in the endpoints' status what it has made of what proxies report.
type Fleet interface {
	Target
	// Statuses are the endpoints as they are now, by name.
	Statuses(ctx context.Context) (map[string]*v1alpha1.ModelEndpoint, error)
}

// Row is a row of the failure table, or another sentence of docs/design.md, section 4.
type Row struct {
	Name  string
	Cases []Case
}

// section is a part of the suite.
type section struct {
	name string
	rows []Row
}

// sections are all rows there are.
func sections() []section {
	return []section{{"whose fault it is", failureRows}, {"attempts", attemptRows}, {"streams", streamRows}}
}

// Rows are all rows, in the order of the design.
func Rows() []Row {
	var rows []Row
	for _, s := range sections() {
		rows = append(rows, s.rows...)
	}
	return rows
}

// chosen is the case that TURNOUT_CASE names; empty is all of them.
var chosen = os.Getenv("TURNOUT_CASE")

// atOnce is how many variants of cases run at a time: most of them wait for somebody.
const atOnce = "32"

// SideBySide lets so many run at a time. A TestMain calls it before its tests run.
func SideBySide() error {
	flag.Parse()
	return flag.Set("test.parallel", atOnce)
}

// Run runs all cases against a target, as subtests that run in parallel.
func Run(t *testing.T, target Target) {
	var trials []*Trial
	bySection := map[string][]*Trial{}
	t.Cleanup(func() {
		for _, trial := range trials {
			trial.close()
		}
	})
	for _, s := range sections() {
		for _, row := range s.rows {
			for i := range row.Cases {
				these, err := arrangeAll(&row.Cases[i], len(trials))
				trials = append(trials, these...)
				bySection[s.name] = append(bySection[s.name], these...)
				if err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	if len(trials) == 0 {
		t.Fatalf("there is no case %q, which TURNOUT_CASE names", chosen)
	}
	apply(t, target, trials)
	for _, s := range sections() {
		t.Run(s.name, func(t *testing.T) { runSection(t, bySection[s.name]) })
	}
	if fleet, ok := target.(Fleet); ok {
		t.Run("what the operator makes of it", func(t *testing.T) { judge(t, fleet, trials) })
	}
}

// arrangeAll starts the providers of all variants of a case.
func arrangeAll(c *Case, n int) ([]*Trial, error) {
	var trials []*Trial
	if chosen != "" && c.Name != chosen {
		return nil, nil
	}
	for _, v := range variants {
		if !c.Over.has(v.over) {
			continue
		}
		trial, err := arrange(c, n+len(trials), v.over, v.name)
		if err != nil {
			return trials, err
		}
		trials = append(trials, trial)
	}
	return trials, nil
}

// apply puts everything in force that the trials need.
func apply(t *testing.T, target Target, trials []*Trial) {
	t.Helper()
	begun := time.Now()
	var endpoints []*v1alpha1.ModelEndpoint
	var policies []*v1alpha1.RoutingPolicy
	for _, trial := range trials {
		more, policy := trial.objects()
		endpoints, policies = append(endpoints, more...), append(policies, policy)
	}
	if err := target.Apply(t.Context(), endpoints, policies); err != nil {
		t.Fatal(err)
	}
	proxies := target.Proxies()
	for at, proxy := range proxies {
		pages := &pages{url: proxy.AdminURL}
		awaitServed(t, target, pages, endpoints, policies)
		for i := at; i < len(trials); i += len(proxies) {
			trials[i].url, trials[i].pages = proxy.URL, pages
		}
	}
	t.Logf("%d trials; their %d endpoints and policies were served after %s", len(trials), len(endpoints)+len(policies), time.Since(begun).Round(time.Millisecond))
}

// awaitServed waits until the proxy has all objects in its table, and of the endpoints the first word of the operator, if
// there is one: it begins a new epoch.
func awaitServed(t *testing.T, target Target, pages *pages, endpoints []*v1alpha1.ModelEndpoint, policies []*v1alpha1.RoutingPolicy) {
	t.Helper()
	_, told := target.(Fleet)
	for end := time.Now().Add(time.Minute); ; {
		v, err := pages.now(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		missing := 0
		for _, e := range endpoints {
			if at, ok := v.endpoints[namespace+"/"+e.Name]; !ok || told && at.Fleet.Epoch == 0 {
				missing++
			}
		}
		for _, p := range policies {
			if !v.policies[namespace+"/"+p.Name] {
				missing++
			}
		}
		if missing == 0 {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("the proxy does not have %d of %d objects", missing, len(endpoints)+len(policies))
		}
		<-time.After(100 * time.Millisecond)
	}
}

// runSection runs the trials of a section; those of one case stand together.
func runSection(t *testing.T, trials []*Trial) {
	for len(trials) > 0 {
		n := 1
		for n < len(trials) && trials[n].of == trials[0].of {
			n++
		}
		these := trials[:n]
		trials = trials[n:]
		t.Run(these[0].of.Name, func(t *testing.T) {
			t.Parallel()
			for _, trial := range these {
				t.Run(trial.name, func(t *testing.T) {
					t.Parallel()
					trial.T = t
					trial.ran = true
					trial.run()
				})
			}
		})
	}
}
