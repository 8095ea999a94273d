// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"testing"
	"time"

	"github.com/turnout-ai/turnout/api/v1alpha1"
	"github.com/turnout-ai/turnout/internal/modelstate"
	"github.com/turnout-ai/turnout/internal/translate"
)

// TestNewestState: two operators that lead at once for a moment must come to one word about an endpoint.
func TestNewestState(t *testing.T) {
	state := func(epoch int64, message string) modelstate.State {
		return modelstate.State{Epoch: epoch, LastTransition: earlier, Verdicts: []modelstate.Verdict{
			{Reason: modelstate.RequestLimit, Since: earlier.Add(300 * time.Millisecond), Message: message},
		}}
	}
	stored := func(version string, state modelstate.State) *v1alpha1.ModelEndpoint {
		e := &v1alpha1.ModelEndpoint{}
		e.ResourceVersion = version
		e.Status.ModelState = &v1alpha1.ModelState{Message: "as of version " + version}
		translate.WriteState(state, e.Status.ModelState)
		return e
	}
	seen := stored("1", state(3, "seen"))
	last := &judged{object: seen, state: state(3, "remembered")}
	for name, tc := range map[string]struct {
		last   *judged
		stored *v1alpha1.ModelEndpoint
		want   string
	}{
		"of an endpoint that is new, what is written counts":                {nil, seen, "seen"},
		"nothing was written: what the last look came to":                   {last, seen, "remembered"},
		"only numbers were written: what the last look came to":             {last, stored("2", state(3, "seen")), "remembered"},
		"it was written itself: what the last look came to":                 {last, stored("2", state(3, "remembered")), "remembered"},
		"somebody else has written at the same epoch: what is written":      {last, stored("2", state(3, "another's")), "another's"},
		"somebody else has written of a later epoch: what is written":       {last, stored("2", state(4, "another's")), "another's"},
		"somebody else has written of an earlier epoch: what is remembered": {last, stored("2", state(2, "another's")), "remembered"},
	} {
		t.Run(name, func(t *testing.T) {
			got := tc.last.newest(tc.stored)
			if message := got.Verdicts[0].Message; message != tc.want {
				t.Errorf("the newest state is %q, want %q", message, tc.want)
			}
		})
	}
}
