// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package storm

import (
	"testing"
	"time"
)

// deaf and slow are how many callers read nothing of their stream, and nothing for a while.
const deaf, slow = 20, 4

// TestCallersThatDoNotReadHoldNothingUp: a stream that nobody reads is not read from its provider either. The proxy's
// memory stays as it is however much the providers have to say, those that were only slow get all of it at last, and
// those that never read are given up.
func TestCallersThatDoNotReadHoldNothingUp(t *testing.T) { press(t) }

// press returns the figures of the test above.
func press(t *testing.T) *pressure {
	t.Helper()
	p, err := newPressure(t.Context(), t.TempDir(), false, 8*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	if err := p.fill(t.Context(), deaf, slow); err != nil {
		t.Fatal(err)
	}
	if err := p.hold(t.Context(), 3*time.Second); err != nil {
		t.Fatal(err)
	}
	top := p.top()
	t.Logf("before: %s; at most: %s", p.before, top)
	if top.Heap > p.allowed {
		t.Errorf("%d streams that nobody reads take %.1f MiB of heap; at most %.1f are allowed", deaf+slow, top.Heap/mebibyte, p.allowed/mebibyte)
	}
	if top.RSS > p.before.RSS+rssRoom {
		t.Errorf("%d streams that nobody reads take %.1f MiB", deaf+slow, (top.RSS-p.before.RSS)/mebibyte)
	}
	// The kernel's buffers may take one or another whole.
	if finished := p.sim.Sim.State().Finished; finished > 1+slow+deaf/4 {
		t.Errorf("%d of %d providers could say everything: nothing was held back", finished, deaf+slow)
	}
	verdicts, err := p.finish(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range verdicts {
		if v.kind != whole {
			t.Errorf("%s: %s: %s", p.slow[i].ask.name, kindNames[v.kind], v.detail)
		}
	}
	after, err := p.subject.rested(t.Context(), &p.before)
	if err != nil {
		t.Fatalf("callers that never read are not given up: %v", err)
	}
	for _, more := range after.grown(p.before) {
		t.Error("callers that never read have left something behind: " + more)
	}
	if state := p.sim.Sim.State(); state.InFlight != 0 || state.Cancelled < deaf*3/4 {
		t.Errorf("%d of %d providers have noticed that nobody reads, and %d still wait", state.Cancelled, deaf, state.InFlight)
	}
	return p
}

// TestAProxyThatHoardsIsFound holds the check against a proxy that does what it forbids.
func TestAProxyThatHoardsIsFound(t *testing.T) {
	p, err := newPressure(t.Context(), t.TempDir(), true, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	if err := p.fill(t.Context(), 6, 0); err != nil {
		t.Fatal(err)
	}
	if err := p.hold(t.Context(), time.Minute); err != nil {
		t.Fatal(err)
	}
	if top := p.top(); top.Heap <= p.allowed {
		t.Errorf("%s, and %.1f MiB of heap are allowed", top, p.allowed/mebibyte)
	}
}
