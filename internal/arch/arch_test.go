// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package arch

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// root is the folder of the module.
const root = "../.."

// load asks the go tool for what imports what, from all packages of the module down.
func load(t *testing.T) graph {
	t.Helper()
	noteSources(t)
	cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", "-json=ImportPath,Imports,ImportMap,Standard", "./...")
	cmd.Dir = root
	var problems bytes.Buffer
	cmd.Stderr = &problems
	list, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, &problems)
	}
	g := graph{imports: map[string][]string{}, standard: map[string]bool{"C": true}} // cgo's package is nowhere
	for decoder := json.NewDecoder(bytes.NewReader(list)); ; {
		var p struct {
			ImportPath string
			Imports    []string
			ImportMap  map[string]string
			Standard   bool
		}
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return g
		} else if err != nil {
			t.Fatal(err)
		}
		// Where a vendored package stands in for another, ImportMap has its real path.
		for i, path := range p.Imports {
			if at, ok := p.ImportMap[path]; ok {
				p.Imports[i] = at
			}
		}
		g.imports[p.ImportPath] = p.Imports
		g.standard[p.ImportPath] = p.Standard
	}
}

// noteSources looks at every Go file of the module, so that the go tool knows that this test depends on them.
// What go list reads it cannot see, and would go on reporting an old result.
func noteSources(t *testing.T) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name := entry.Name(); entry.IsDir() && (name == "bin" || name == "node_modules" || len(name) > 2 && name[0] == '.') {
			return fs.SkipDir
		}
		if filepath.Ext(path) == ".go" {
			_, err = os.Stat(path)
		}
		return err
	})
	// A file that went away meanwhile is somebody's temporary one.
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
}

func TestEveryRoomIsEnteredByItsDoor(t *testing.T) {
	g := load(t)
	for _, r := range rules {
		for _, line := range r.breaches(g) {
			t.Error(line)
		}
		if !slices.ContainsFunc(g.own(), r.bound) {
			t.Errorf("%s: the rule binds no package; was %v renamed?", r.name, r.binds)
		}
	}
}

// fake returns a graph from lines such as "internal/proxy: fmt, internal/wire, k8s.io/client-go". Paths that
// begin with a folder of this module are its own; those without a dot before the first slash are standard.
func fake(lines ...string) graph {
	g := graph{imports: map[string][]string{}, standard: map[string]bool{}}
	full := func(path string) string {
		switch first, _, _ := strings.Cut(path, "/"); {
		case slices.Contains([]string{"api", "cmd", "hack", "internal", "test"}, first):
			return module + "/" + path
		case !strings.Contains(first, "."):
			g.standard[path] = true
		}
		return path
	}
	for _, line := range lines {
		from, to, _ := strings.Cut(line, ": ")
		from = full(from)
		g.imports[from] = nil
		for path := range strings.SplitSeq(to, ", ") {
			if path != "" {
				g.imports[from] = append(g.imports[from], full(path))
			}
		}
	}
	return g
}

func TestEachRuleRefuses(t *testing.T) {
	proven := map[string]bool{}
	for name, tc := range map[string]struct {
		graph    []string
		wantRule string
		wantWay  string
	}{
		"capability imports a library": {
			graph:    []string{"internal/capability: strings, github.com/google/uuid"},
			wantRule: "pure rooms depend on the standard library only",
			wantWay:  "internal/capability → github.com/google/uuid",
		},
		"wire reads routing's values": {
			graph:    []string{"internal/wire: internal/routing", "internal/routing: time"},
			wantRule: "pure rooms depend on the standard library only",
			wantWay:  "internal/wire → github.com/turnout-ai/turnout/internal/routing",
		},
		"routing reaches Kubernetes through another room": {
			graph:    []string{"internal/routing: internal/capability, internal/secrets", "internal/secrets: k8s.io/api/core/v1"},
			wantRule: "routing depends on the standard library and the pure rooms below it only",
			wantWay:  "internal/routing → github.com/turnout-ai/turnout/internal/secrets",
		},
		"modelstate asks for the price": {
			graph:    []string{"internal/modelstate: time, internal/pricing", "internal/pricing: math/bits"},
			wantRule: "pricing, state and quota know nothing of each other",
			wantWay:  "internal/modelstate → github.com/turnout-ai/turnout/internal/pricing",
		},
		"quota asks for the price": {
			graph:    []string{"internal/quota: math, internal/pricing", "internal/pricing: math/bits"},
			wantRule: "pricing, state and quota know nothing of each other",
			wantWay:  "internal/quota → github.com/turnout-ai/turnout/internal/pricing",
		},
		"quota asks when the period ends": {
			graph:    []string{"internal/quota: internal/calendar", "internal/calendar: time, github.com/robfig/cron/v3"},
			wantRule: "pure rooms depend on the standard library only",
			wantWay:  "internal/quota → github.com/turnout-ai/turnout/internal/calendar",
		},
		"quota takes its share of the processors": {
			graph:    []string{"internal/quota: sync/atomic, os"},
			wantRule: "pure rooms do no input or output",
			wantWay:  "internal/quota → os",
		},
		"the proxy's counters read leases from the API": {
			graph:    []string{"internal/health: internal/quota, api/v1alpha1"},
			wantRule: "only some rooms speak of API objects and plain values",
			wantWay:  "internal/health → github.com/turnout-ai/turnout/api/v1alpha1 → github.com/turnout-ai/turnout/internal/quota",
		},
		"pricing counts in decimals of a library": {
			graph:    []string{"internal/pricing: github.com/shopspring/decimal"},
			wantRule: "pure rooms depend on the standard library only",
			wantWay:  "internal/pricing → github.com/shopspring/decimal",
		},
		"calendar asks routing": {
			graph:    []string{"internal/calendar: time, github.com/robfig/cron/v3, internal/routing"},
			wantRule: "calendar depends on the standard library and the reader of cron schedules only",
			wantWay:  "internal/calendar → github.com/turnout-ai/turnout/internal/routing",
		},
		"translate reads a schedule by itself": {
			graph:    []string{"internal/translate: internal/calendar, github.com/robfig/cron/v3"},
			wantRule: "only calendar knows how cron writes schedules",
			wantWay:  "internal/translate → github.com/robfig/cron/v3",
		},
		"modelstate writes a log": {
			graph:    []string{"internal/modelstate: time, log/slog"},
			wantRule: "pure rooms do no input or output",
			wantWay:  "internal/modelstate → log/slog",
		},
		"routing opens a socket": {
			graph:    []string{"internal/routing: net/url, net"},
			wantRule: "pure rooms do no input or output",
			wantWay:  "internal/routing → net",
		},
		"wire speaks HTTP": {
			graph:    []string{"internal/wire: net/http"},
			wantRule: "pure rooms do no input or output",
			wantWay:  "internal/wire → net/http",
		},
		"capability reads the environment": {
			graph:    []string{"internal/capability: os"},
			wantRule: "pure rooms do no input or output",
			wantWay:  "internal/capability → os",
		},
		"health writes metrics": {
			graph:    []string{"internal/health: internal/routing, github.com/prometheus/client_golang/prometheus"},
			wantRule: "health depends on the standard library and the pure rooms only",
			wantWay:  "internal/health → github.com/prometheus/client_golang/prometheus",
		},
		"the proxy imports our kinds": {
			graph:    []string{"internal/proxy: api/v1alpha1"},
			wantRule: "the proxy knows no Kubernetes",
			wantWay:  "internal/proxy → github.com/turnout-ai/turnout/api/v1alpha1",
		},
		"a room of the proxy reaches Kubernetes by two others": {
			graph: []string{
				"internal/proxy/upstream: internal/a", "internal/a: fmt, internal/b", "internal/b: sigs.k8s.io/yaml",
			},
			wantRule: "the proxy knows no Kubernetes",
			wantWay:  "internal/proxy/upstream → github.com/turnout-ai/turnout/internal/a → github.com/turnout-ai/turnout/internal/b → sigs.k8s.io/yaml",
		},
		"a library of the proxy brings Kubernetes along": {
			graph:    []string{"internal/proxy: example.com/metrics", "example.com/metrics: k8s.io/klog/v2"},
			wantRule: "the proxy knows no Kubernetes",
			wantWay:  "example.com/metrics → k8s.io/klog/v2",
		},
		"the controller asks the proxy": {
			graph:    []string{"internal/controller: internal/proxy/upstream"},
			wantRule: "the controller does not depend on the proxy",
			wantWay:  "internal/controller → github.com/turnout-ai/turnout/internal/proxy/upstream",
		},
		"the proxy asks the controller": {
			graph:    []string{"internal/proxy: internal/report", "internal/report: internal/controller"},
			wantRule: "the proxy does not depend on the controller",
			wantWay:  "internal/report → github.com/turnout-ai/turnout/internal/controller",
		},
		"api imports client-go": {
			graph:    []string{"api/v1alpha1: k8s.io/apimachinery/pkg/runtime, k8s.io/client-go/rest"},
			wantRule: "api imports apimachinery only",
			wantWay:  "api/v1alpha1 → k8s.io/client-go/rest",
		},
		"api imports a room": {
			graph:    []string{"api/v1alpha1: internal/capability"},
			wantRule: "api imports apimachinery only",
			wantWay:  "api/v1alpha1 → github.com/turnout-ai/turnout/internal/capability",
		},
		"access translates by itself": {
			graph:    []string{"internal/access: internal/routing, fmt, api/v1alpha1"},
			wantRule: "only some rooms speak of API objects and plain values",
			wantWay:  "internal/access → github.com/turnout-ai/turnout/api/v1alpha1 → github.com/turnout-ai/turnout/internal/routing",
		},
		"a command judges endpoints": {
			graph:    []string{"cmd/operator: api/v1alpha1, internal/modelstate"},
			wantRule: "only some rooms speak of API objects and plain values",
			wantWay:  "cmd/operator → github.com/turnout-ai/turnout/api/v1alpha1 → github.com/turnout-ai/turnout/internal/modelstate",
		},
		"the proxy's command starts a control plane": {
			graph:    []string{"cmd/proxy: internal/kubetest"},
			wantRule: "what ships has no test harness in it",
			wantWay:  "cmd/proxy → github.com/turnout-ai/turnout/internal/kubetest",
		},
		"a room uses the harness": {
			graph:    []string{"internal/report: test/harness"},
			wantRule: "what ships has no test harness in it",
			wantWay:  "internal/report → github.com/turnout-ai/turnout/test/harness",
		},
		"the simulated provider borrows our parser": {
			graph:    []string{"internal/modelsim: internal/wire"},
			wantRule: "the simulated provider is not built from what it tests",
			wantWay:  "internal/modelsim → github.com/turnout-ai/turnout/internal/wire",
		},
		"the proxy borrows the simulated provider's answers": {
			graph:    []string{"cmd/proxy: internal/proxy", "internal/proxy: internal/modelsim/ledger"},
			wantRule: "operator and proxy do not depend on the simulated provider",
			wantWay:  "internal/proxy → github.com/turnout-ai/turnout/internal/modelsim/ledger",
		},
		"a package for everything": {
			graph:    []string{"internal/controller/utils: fmt"},
			wantRule: "packages are named for what they are about",
			wantWay:  "internal/controller/utils",
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := fake(tc.graph...)
			for _, r := range rules {
				lines := r.breaches(g)
				if r.name != tc.wantRule {
					continue
				}
				proven[r.name] = true
				if len(lines) == 0 {
					t.Fatalf("%s: not refused", r.name)
				}
				if !strings.Contains(lines[0], tc.wantWay+"\n") || !strings.Contains(lines[0], r.reason) {
					t.Errorf("the line must show the way %s and the reason:\n%s", tc.wantWay, lines[0])
				}
			}
		})
	}
	for _, r := range rules {
		if !proven[r.name] {
			t.Errorf("%s: no case shows that the rule can refuse", r.name)
		}
	}
}

func TestTheRulesLetTheDesignPass(t *testing.T) {
	g := fake(
		"api/v1alpha1: k8s.io/apimachinery/pkg/runtime",
		"k8s.io/apimachinery/pkg/runtime: sigs.k8s.io/json",
		"internal/capability: strings",
		"internal/wire: unicode/utf8",
		"internal/modelstate: time",
		"internal/pricing: math/bits",
		"internal/quota: math/bits, sync/atomic, time",
		"internal/calendar: time, github.com/robfig/cron/v3",
		"github.com/robfig/cron/v3: log, os", // for its runner, which nobody starts
		"internal/routing: internal/capability, internal/calendar, internal/modelstate, internal/pricing, crypto/x509, net/netip, net/url",
		"crypto/x509: net, os",
		"internal/health: internal/routing, internal/modelstate, internal/quota, sync/atomic",
		"internal/proxy/upstream: net, crypto/tls",
		"internal/proxy: internal/proxy/upstream, internal/health, internal/routing, internal/wire, github.com/valyala/fasthttp",
		"internal/translate: api/v1alpha1, internal/routing",
		"internal/source: internal/translate, internal/routing, api/v1alpha1",
		"internal/controller: internal/translate, internal/routing, api/v1alpha1, sigs.k8s.io/controller-runtime",
		"internal/report: internal/translate, internal/modelstate, internal/quota, api/v1alpha1",
		"internal/controllers: internal/proxy", // another room that only begins like a bound one
		"internal/kubetest: api/v1alpha1, test/harness",
		"cmd/proxy: internal/proxy, internal/source, internal/report, api/v1alpha1",
		"cmd/operator: internal/controller",
		"internal/pkgs: fmt",
	)
	for _, r := range rules {
		for _, line := range r.breaches(g) {
			t.Error(line)
		}
	}
}
