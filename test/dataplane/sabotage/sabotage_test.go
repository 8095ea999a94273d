// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package sabotage

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/turnout-ai/turnout/test/dataplane"
	"github.com/turnout-ai/turnout/test/harness"
)

// atOnce is how many programs run at a time: each of them mostly waits.
const atOnce = "8"

// patience is how long a case waits for what will not come because of a sabotage.
const patience = "3s"

func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", atOnce); err != nil {
		fmt.Fprintln(os.Stderr, "sabotage:", err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// Whatever is broken, the case about it must notice; and while nothing is, all of them must be content.
func TestEachSabotageIsNoticed(t *testing.T) {
	program := build(t)
	t.Run("nothing is broken, and all cases are content", func(t *testing.T) {
		if out, err := program.run(t.Context(), "TURNOUT_CASE=", Variable+"="); err != nil {
			t.Errorf("%v\n%s", err, last(out))
		}
	})
	for i := range sabotages {
		s := &sabotages[i]
		t.Run(s.Name, func(t *testing.T) {
			t.Parallel()
			alone := []string{"TURNOUT_CASE=" + s.Case, "TURNOUT_PATIENCE=" + patience}
			if out, err := program.run(t.Context(), append(alone, Variable+"=")...); err != nil {
				t.Fatalf("the case %q fails while nothing is broken: %v\n%s", s.Case, err, last(out))
			}
			out, err := program.run(t.Context(), append(alone, Variable+"="+s.Name)...)
			var failed *exec.ExitError
			switch {
			case err == nil:
				t.Errorf("the case %q does not notice", s.Case)
			case !errors.As(err, &failed) || strings.Contains(out, "panic:") ||
				!strings.Contains(out, "/"+strings.ReplaceAll(s.Case, " ", "_")+"/"):
				t.Errorf("the case %q has not failed, but: %v\n%s", s.Case, err, last(out))
			}
		})
	}
}

// Every row of the failure table, and every other sentence, has a sabotage that one of its cases notices.
func TestEveryRowHasASabotage(t *testing.T) {
	rows := map[string]string{}
	for _, row := range dataplane.Rows() {
		for i := range row.Cases {
			name := row.Cases[i].Name
			if rows[name] != "" {
				t.Errorf("there are two cases %q", name)
			}
			rows[name] = row.Name
		}
	}
	covered, names := map[string]bool{}, map[string]bool{}
	for i := range sabotages {
		s := &sabotages[i]
		if names[s.Name] {
			t.Errorf("there are two sabotages %q", s.Name)
		}
		names[s.Name] = true
		row := rows[s.Case]
		if row == "" {
			t.Errorf("the sabotage %q is about a case that there is not: %q", s.Name, s.Case)
		}
		covered[row] = true
	}
	for _, row := range dataplane.Rows() {
		if !covered[row.Name] {
			t.Errorf("no sabotage is noticed by the cases of %q", row.Name)
		}
	}
}

// A sabotage that is not about the sources as they are must not pass for one that was noticed.
func TestASabotageThatIsOutOfDateIsRefused(t *testing.T) {
	root := t.TempDir()
	if err := os.WriteFile(filepath.Join(root, "a.go"), []byte("package a\n\nvar x, y = 1, 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for old, want := range map[string]string{"z": "holds this text 0 times", "1": "holds this text 2 times", "x, y": ""} {
		_, err := Overlay(root, t.TempDir(), []Sabotage{{Name: "s", Edits: []Edit{{File: "a.go", Old: old, New: old}}}})
		if (err != nil) != (want != "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want one with %q", old, err, want)
		}
	}
	if _, err := Overlay(root, t.TempDir(), []Sabotage{{Name: "s", Edits: []Edit{{File: "b.go"}}}}); err == nil {
		t.Error("a file that does not exist is no problem")
	}
}

// program is the suite, with all sabotages in it.
type program struct{ path, dir string }

// build compiles the suite.
func build(t *testing.T) *program {
	t.Helper()
	root, err := harness.Root()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	overlay, err := Overlay(root, dir, sabotages)
	if err != nil {
		t.Fatal(err)
	}
	p := &program{path: filepath.Join(dir, "dataplane.test"), dir: filepath.Join(root, "test", "dataplane")}
	compile := exec.CommandContext(t.Context(), "go", "test", "-c", "-overlay", overlay, "-o", p.path, "./test/dataplane")
	compile.Dir = root
	if out, err := compile.CombinedOutput(); err != nil {
		t.Fatalf("compiling with all sabotages: %v\n%s", err, out)
	}
	return p
}

// run runs the suite with variables of the environment, and returns what it says.
func (p *program) run(ctx context.Context, env ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	run := exec.CommandContext(ctx, p.path, "-test.run", "^TestTheDataPlane$", "-test.timeout", "100s")
	run.Dir, run.Env = p.dir, append(os.Environ(), env...)
	var out bytes.Buffer
	run.Stdout, run.Stderr = &out, &out
	err := run.Run()
	return out.String(), err
}

// last is the end of what a program has said.
func last(out string) string { return out[max(0, len(out)-4000):] }
