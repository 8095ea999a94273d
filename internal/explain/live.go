// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package explain

import (
	"fmt"
	"time"

	"github.com/turnout-ai/turnout/api/v1alpha1"
	"github.com/turnout-ai/turnout/internal/calendar"
	"github.com/turnout-ai/turnout/internal/modelstate"
	"github.com/turnout-ai/turnout/internal/routing"
	"github.com/turnout-ai/turnout/internal/translate"
)

// State is how the endpoints of a table stand at one moment, by what the operator has written into their
// statuses and by their maintenance windows. It is the routing.Live of a request that nobody makes: it counts
// nothing, and whoever is on trial takes it.
type State struct {
	// now is that moment, in Unix nanoseconds.
	now       int64
	endpoints []endpointState
}

// endpointState is how one endpoint stands.
type endpointState struct {
	standing routing.Standing
	// percent is the share of its traffic that it gets.
	percent int
	// message is the operator's sentence about the standing; may be empty.
	message string
	limits  []Limit
}

var _ routing.Live = (*State)(nil)

// StateOf reads how the table's endpoints stand at now.
func StateOf(table *routing.Table, endpoints []v1alpha1.ModelEndpoint, now time.Time) *State {
	s := &State{now: now.UnixNano(), endpoints: make([]endpointState, len(table.Endpoints))}
	for i := range endpoints {
		e := table.Endpoint(routing.Key{Namespace: endpoints[i].Namespace, Name: endpoints[i].Name})
		if e != nil { // not one that is being deleted
			s.endpoints[e.Index] = stateOf(e, &endpoints[i].Status, now)
		}
	}
	return s
}

func stateOf(e *routing.Endpoint, status *v1alpha1.ModelEndpointStatus, now time.Time) endpointState {
	state := translate.State(status)
	standing := state.Standing(e.Units, now)
	out := endpointState{
		standing: routing.Standing{Kind: standing.Kind, Reason: standing.Reason, Until: nanos(standing.Until)},
		percent:  standing.Percent,
		limits:   limitsOf(e, status),
	}
	for i := range state.Verdicts {
		if state.Verdicts[i].Reason == standing.Reason {
			out.message = state.Verdicts[i].Message
		}
	}
	if limit, message := law(&e.Limits, &state, now); limit.Kind == routing.Barred {
		out.standing, out.message = limit.And(out.standing), message
	}
	if open, until, _ := calendar.Open(e.Maintenance, now); open {
		window := routing.Standing{Kind: routing.Barred, Reason: modelstate.MaintenanceWindow, Until: nanos(until)}
		out.standing, out.message = window.And(out.standing), "a window of spec.maintenance is open"
	}
	return out
}

// nanos is a time in Unix nanoseconds, 0 for none.
func nanos(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

// Active reports whether an endpoint of the table takes traffic, all of its own or a share of it on trial.
func (s *State) Active(e *routing.Endpoint) bool {
	kind := s.endpoints[e.Index].standing.Kind
	return e.Standby == (routing.Refusal{}) && (kind == routing.InService || kind == routing.OnTrial)
}

// Standing implements routing.Live.
func (s *State) Standing(endpoint int, _ int64) routing.Standing {
	return s.endpoints[endpoint].standing
}

// TakeTrial implements routing.Live.
func (s *State) TakeTrial(int, int64) bool { return true }

// NextTurn implements routing.Live.
func (s *State) NextTurn(int) uint64 { return 0 }

// why is how an endpoint stands in words, with what the operator says of it.
func (s *endpointState) why(now int64) string {
	text := s.standing.At(now)
	if s.standing.Kind == routing.OnTrial {
		text += fmt.Sprintf(", with %d%% of its traffic", s.percent)
	}
	if s.message != "" {
		text += ": " + s.message
	}
	return text
}

// note is a sentence about a candidate that does not simply stand in service; empty for the others. It depends on
// whether the request is bound to the endpoint, and on whether the policy has a last resort.
func (s *endpointState) note(name string, now int64, pinned, rejects bool) string {
	switch {
	case s.standing.Kind == routing.Resting && pinned:
		return name + " is on standby, " + s.why(now) + ". It is tried all the same: no other has the state that the request refers to."
	case s.standing.Kind == routing.Resting:
		return name + " is on standby, " + s.why(now) + ". A verdict about health is advice: it is tried last."
	case s.standing.Kind == routing.OnTrial && pinned:
		return name + " is " + s.why(now) + ". It is tried all the same: no other has the state that the request refers to."
	case s.standing.Kind == routing.OnTrial && rejects:
		return name + " is " + s.why(now) + ". It is shown in its place, where that share of the requests finds it; for the others it is left out."
	case s.standing.Kind == routing.OnTrial:
		return name + " is " + s.why(now) + ". It is shown in its place, where that share of the requests finds it; for the others it comes after all in service."
	default:
		return ""
	}
}
