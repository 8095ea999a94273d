// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package source

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"

	"github.com/turnout-ai/turnout/api/v1alpha1"
	"github.com/turnout-ai/turnout/internal/modelstate"
	"github.com/turnout-ai/turnout/internal/routing"
	"github.com/turnout-ai/turnout/internal/translate"
)

// arrival is a status on its way to the publisher.
type arrival struct {
	status *v1alpha1.ModelEndpointStatus
	at     time.Time
}

// stripEndpoint keeps of an endpoint what is translated. Of its status that is the part by which proxies
// decide: what was used and measured is written every few seconds and would cost each of them memory and work
// for nothing, and so would the counts by which the operator alone decides.
func stripEndpoint(e *v1alpha1.ModelEndpoint) {
	e.ManagedFields = nil
	state := e.Status.ModelState
	e.Status = v1alpha1.ModelEndpointStatus{}
	if state == nil {
		return
	}
	e.Status.ModelState = &v1alpha1.ModelState{
		Reasons:            state.Reasons,
		Trial:              state.Trial,
		Trips:              state.Trips,
		Epoch:              state.Epoch,
		Configuration:      state.Configuration,
		Evidence:           state.Evidence,
		Withdrawn:          state.Withdrawn,
		LastTransitionTime: state.LastTransitionTime,
	}
}

// statesDiffer compares two versions that stripEndpoint has seen.
func statesDiffer(old, updated *v1alpha1.ModelEndpoint) bool {
	return !equality.Semantic.DeepEqual(old.Status.ModelState, updated.Status.ModelState)
}

// statusChanged is called by the mirrors for every status that is new.
func (s *Source) statusChanged(e *v1alpha1.ModelEndpoint) {
	if e.Status.ModelState == nil {
		return // The operator has not judged it yet, and there is nothing to say.
	}
	s.mu.Lock()
	was, waiting := s.statuses[string(e.UID)]
	now := arrival{status: &e.Status, at: time.Now()}
	if waiting {
		now.at = was.at
	}
	s.statuses[string(e.UID)] = now
	s.mu.Unlock()
	s.wake()
}

// passStates passes on the states that have arrived, of the endpoints in the table in force. Those of others
// wait for the table that has them: who publishes states need not keep what belongs to nothing yet.
func (s *Source) passStates() {
	arrived := s.takeStatuses()
	states := make(map[string]modelstate.State, len(arrived))
	var first time.Time
	for uid, a := range arrived {
		state, err := readState(a.status)
		if err != nil {
			s.options.Logger.Warn("what the operator wrote about an endpoint cannot be read; what was known stays in force", "uid", uid, "error", err)
			continue
		}
		states[uid] = state
		if first.IsZero() || a.at.Before(first) {
			first = a.at
		}
	}
	if len(states) == 0 {
		return
	}
	s.options.Publisher.PublishStates(states)
	if s.options.OnStates != nil {
		s.options.OnStates(time.Since(first))
	}
}

// takeStatuses takes those that can be passed on.
func (s *Source) takeStatuses() map[string]arrival {
	s.mu.Lock()
	defer s.mu.Unlock()
	var taken map[string]arrival
	for uid, a := range s.statuses {
		if _, in := s.served[uid]; !in {
			continue
		}
		if taken == nil {
			taken = make(map[string]arrival, len(s.statuses))
		}
		taken[uid] = a
		delete(s.statuses, uid)
	}
	return taken
}

// forgetStatuses drops the statuses of endpoints that are not in the table though they arrived before it was
// begun: the endpoints are gone again.
func (s *Source) forgetStatuses(begun time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for uid, a := range s.statuses {
		if _, in := s.served[uid]; !in && a.at.Before(begun) {
			delete(s.statuses, uid)
		}
	}
}

// readState translates a status. A panic on the way is an error like any other, as in build.
func readState(status *v1alpha1.ModelEndpointStatus) (state modelstate.State, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("reading a status failed: %w", panicError(cause))
		}
	}()
	return translate.State(status), nil
}

// served are the UIDs of the endpoints of a table.
func served(input routing.Input) map[string]struct{} {
	uids := make(map[string]struct{}, len(input.Endpoints))
	for i := range input.Endpoints {
		uids[input.Endpoints[i].UID] = struct{}{}
	}
	return uids
}
