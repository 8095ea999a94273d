// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package storm

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/turnout-ai/turnout/test/harness"
	"github.com/turnout-ai/turnout/test/soak"
)

func TestMain(m *testing.M) {
	file := os.Getenv(roleVariable)
	if file == "" {
		os.Exit(m.Run())
	}
	if err := play(file); err != nil {
		fmt.Fprintln(os.Stderr, "storm:", err)
		os.Exit(1)
	}
}

// most is how many findings are told as stories.
const most = 12

// TestAStormPasses lets a storm pass over a proxy: 45 seconds of it in a test run, as long as TURNOUT_SOAK says in a
// soak. TURNOUT_SEED repeats one.
func TestAStormPasses(t *testing.T) {
	s := settings{
		seed: seed(t), callers: 200, pause: 2 * time.Second, calm: 5 * time.Second, length: soak.Length(t, 45*time.Second),
		attempts: stormAttempts, dir: t.TempDir(),
	}
	t.Logf("TURNOUT_SEED=%d", s.seed)
	st, err := run(t.Context(), s)
	if err != nil {
		t.Fatalf("TURNOUT_SEED=%d: %v", s.seed, err)
	}
	t.Log(st.summary())
	for i, f := range st.audit.findings {
		if i == most {
			t.Errorf("and %d more", len(st.audit.findings)-most)
			break
		}
		t.Error(st.story(f))
	}
	for _, more := range st.after.grown(st.before) {
		t.Error("the storm has left something behind: " + more)
	}
	st.mustBeOne(t)
	if os.Getenv(recordVariable) != "" && !t.Failed() {
		st.keep(t)
	}
}

// recordVariable says to write docs/evidence/storm.json.
const recordVariable = "TURNOUT_RECORD"

// keep writes what was measured.
func (st *storm) keep(t *testing.T) {
	t.Helper()
	root, err := harness.Root()
	if err != nil {
		t.Fatal(err)
	}
	command := fmt.Sprintf("%s=1 TURNOUT_SEED=%d TURNOUT_SOAK=%s go test ./test/storm -run TestAStormPasses -count=1 -timeout 0", recordVariable, st.seed, st.length)
	if err := st.record(t.Context(), command, press(t)).Write(root); err != nil {
		t.Fatal(err)
	}
}

// mustBeOne fails when a storm was none: what nothing happens in proves nothing.
func (st *storm) mustBeOne(t *testing.T) {
	t.Helper()
	a := st.audit
	if retried := sum(a.outcomes) - len(a.lines); retried < len(a.lines)/20 {
		t.Errorf("%d attempts for %d requests: hardly one has met trouble", sum(a.outcomes), len(a.lines))
	}
	for _, outcome := range []string{outcomeSuccess, "failure", "reset", outcomeTimeout, outcomeStale} {
		if a.outcomes[outcome] == 0 {
			t.Errorf("no attempt has come to %q", outcome)
		}
	}
	for _, k := range []kind{whole, left} {
		if a.kinds[k] == 0 {
			t.Errorf("there were no %s", kindNames[k])
		}
	}
}

// seed is of this storm: another one in every soak.
func seed(t *testing.T) uint64 {
	t.Helper()
	if seed, given := soak.Seed(t); given {
		return seed
	}
	if soak.On() {
		return uint64(time.Now().Unix())
	}
	return 1
}

// TestAStormFindsAProxyThatDoesNotFailOver holds the whole against a proxy that makes one attempt for each request.
func TestAStormFindsAProxyThatDoesNotFailOver(t *testing.T) {
	s := settings{
		seed: 1, callers: 40, pause: 400 * time.Millisecond, calm: time.Second, length: 6 * time.Second,
		attempts: 1, dir: t.TempDir(),
	}
	st, err := run(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range st.audit.findings {
		if strings.Contains(f.text, "could have answered") {
			return
		}
	}
	t.Errorf("nothing was found:\n%s", st.summary())
}
