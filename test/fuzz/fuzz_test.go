// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/turnout-ai/turnout/test/evidence"
	"github.com/turnout-ai/turnout/test/harness"
)

func TestEveryTargetIsFound(t *testing.T) {
	root, err := harness.Root()
	if err != nil {
		t.Fatal(err)
	}
	targets, err := find(t.Context(), root)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	for _, target := range targets {
		found[target.String()] = true
	}
	// Of a package's own tests, and of tests from outside it.
	for _, want := range []string{"internal/proxy/upstream FuzzResponse", "internal/wire FuzzFrames", "internal/modelsim FuzzParseFault"} {
		if !found[want] {
			t.Errorf("%s was not found among %v", want, targets)
		}
	}
	if len(found) != len(targets) {
		t.Errorf("%d targets, %d names", len(targets), len(found))
	}
}

func TestWhatGoTestSaysIsUnderstood(t *testing.T) {
	of := target{"internal/x", "FuzzX"}
	for _, tc := range []struct {
		name, said string
		err        error
		want       result
		wantErr    string
	}{
		{
			name: "a run without a finding",
			said: "fuzz: elapsed: 0s, gathering baseline coverage: 0/19 completed\nfuzz: elapsed: 3s, execs: 10 (3/sec), new interesting: 51 (total: 70)\nfuzz: elapsed: 1m0s, execs: 995661 (0/sec), new interesting: 175 (total: 201)\nPASS\n",
			want: result{target: of, executions: 995661, took: time.Minute, kept: 201},
		},
		{
			name: "a run that found nothing of interest yet", said: "fuzz: elapsed: 3s, execs: 10 (3/sec)\nPASS\n",
			want: result{target: of, executions: 10, took: 3 * time.Second},
		},
		{
			name: "an input that was written", err: errors.New("exit status 1"),
			said:    "--- FAIL: FuzzX (0.48s)\n    --- FAIL: FuzzX (0.00s)\n        x_test.go:1: no\n\n    Failing input written to testdata/fuzz/FuzzX/ffc8c58e2d106700\nFAIL\n",
			wantErr: "internal/x FuzzX has found something; see it again with: go test -run='^FuzzX$/^ffc8c58e2d106700$' ./internal/x\n",
		},
		{
			name: "a seed that fails", err: errors.New("exit status 1"), said: "--- FAIL: FuzzX (0.00s)\n    --- FAIL: FuzzX/seed#9 (0.00s)\nFAIL\n",
			wantErr: "see it again with: go test -run='^FuzzX$/^seed#9$' ./internal/x\n",
		},
		{
			name: "code that does not compile", err: errors.New("exit status 1"), said: "x.go:1: syntax error\n",
			wantErr: "exit status 1; see it again with: go test -run='^$' -fuzz='^FuzzX$' ./internal/x\nx.go:1: syntax error\n",
		},
		{
			name: "the end of its time, which is no finding", err: errors.New("exit status 1"),
			said: "fuzz: elapsed: 30s, execs: 10 (3/sec), new interesting: 1 (total: 2)\n--- FAIL: FuzzX (30.01s)\n    context deadline exceeded\nFAIL\n",
			want: result{target: of, executions: 10, took: 30 * time.Second, kept: 2},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var shown bytes.Buffer
			got, err := of.follow(strings.NewReader(tc.said), &shown).judge(of, tc.err)
			if tc.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), tc.wantErr) {
					t.Errorf("error %v, want %q", err, tc.wantErr)
				}
				return
			}
			if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(result{}, target{})); diff != "" || err != nil {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
			if !strings.Contains(shown.String(), "execs") {
				t.Errorf("the progress is not shown: %q", shown.String())
			}
		})
	}
}

// checkout writes a small module with two fuzz targets, one of which finds something.
func checkout(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range map[string]string{
		"go.mod": "module example.com/x\n\ngo 1.26\n",
		"x/x_test.go": "package x_test\n\nimport \"testing\"\n\n" +
			"func FuzzGood(f *testing.F) { f.Add(1); f.Fuzz(func(*testing.T, int) {}) }\n" +
			"func FuzzBad(f *testing.F) { f.Add(1); f.Fuzz(func(t *testing.T, n int) { t.Fatal(n) }) }\n",
		"docs/evidence/other.json": "{}\n",
	} {
		path := filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestAFindingFailsAndHidesNoOther(t *testing.T) {
	s := settings{root: checkout(t), time: "50x", only: regexp.MustCompile(""), write: true}
	var out bytes.Buffer
	err := run(t.Context(), s, &out)
	if err == nil || !strings.Contains(err.Error(), "go test -run='^FuzzBad$/^seed#0$' ./x") {
		t.Errorf("error %v, want the command that shows the finding", err)
	}
	if !strings.Contains(out.String(), "x FuzzGood") || !strings.Contains(out.String(), "executions") {
		t.Errorf("the target behind the finding did not run:\n%s", &out)
	}
	if _, err := os.Stat(filepath.Join(s.root, "docs", "evidence", "fuzz.json")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("evidence of a run with a finding: %v", err)
	}
}

func TestCountsAreKept(t *testing.T) {
	s := settings{root: checkout(t), time: "50x", only: regexp.MustCompile("Good$"), write: true}
	var out bytes.Buffer
	if err := run(t.Context(), s, &out); err != nil {
		t.Fatal(err)
	}
	records, err := evidence.Read(s.root)
	if err != nil {
		t.Fatal(err)
	}
	table, err := records["fuzz"].Markdown("targets")
	if err != nil || !strings.Contains(table, "| x FuzzGood | 5") {
		t.Errorf("%v, table:\n%s", err, table)
	}
}

func TestNoTargetIsAnError(t *testing.T) {
	err := run(t.Context(), settings{root: checkout(t), time: "1x", only: regexp.MustCompile("Nothing")}, &bytes.Buffer{})
	if err == nil || !strings.Contains(err.Error(), `no target matches "Nothing"`) {
		t.Errorf("error %v", err)
	}
}
