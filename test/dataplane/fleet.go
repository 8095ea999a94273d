// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package dataplane

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/turnout-ai/turnout/api/v1alpha1"
)

// judge compares what the operator has written with what the proxy holds of each endpoint. An endpoint that is only left
// alone for a moment, or not at all, is Active.
func judge(t *testing.T, fleet Fleet, trials []*Trial) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); ; <-tick.C {
		statuses, err := fleet.Statuses(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var missing []string
		for _, trial := range trials {
			if !trial.ran {
				continue
			}
			for _, p := range trial.places {
				if problem := p.judged(statuses[p.name]); problem != "" {
					missing = append(missing, fmt.Sprintf("%s, %s, endpoint %s: %s", trial.of.Name, trial.name, p.name, problem))
				}
			}
		}
		if len(missing) == 0 {
			return
		}
		if time.Now().After(end) {
			t.Error(strings.Join(missing, "\n"))
			return
		}
	}
}

// restToStandby is how long an endpoint may rest at its provider's wish before it is on Standby.
const restToStandby = time.Minute

// judged is what is wrong with what the operator says of an endpoint; empty when it is as it must be.
func (p *place) judged(e *v1alpha1.ModelEndpoint) string {
	switch {
	case e == nil:
		return "it is gone"
	case p.Stands == varies:
		return ""
	}
	state := e.Status.ModelState
	if state == nil {
		return "it has no state"
	}
	want := v1alpha1.StatusActive
	kind, reason, _ := strings.Cut(p.Stands, " ")
	if p.Outage {
		reason = string(v1alpha1.DeactivationProviderOutage)
	}
	if kind != "" && (reason != string(v1alpha1.DeactivationRateLimited) || p.Rests > restToStandby) {
		want = v1alpha1.StatusStandby
	}
	switch {
	case state.Status != want:
		return fmt.Sprintf("it is %s %s (%s), want %s", state.Status, state.DeactivationReason, state.Message, want)
	case want == v1alpha1.StatusStandby && string(state.DeactivationReason) != reason:
		return fmt.Sprintf("it stands by for %s, want %s", state.DeactivationReason, reason)
	}
	return ""
}
