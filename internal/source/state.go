// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package source

import (
	"fmt"
	"time"

	"github.com/turnout-ai/turnout/api/v1alpha1"
)

// State is how well the table in force fits the objects in Kubernetes.
type State struct {
	// Synced is true from the first published table on. A proxy that is not synced has nothing to serve.
	Synced bool
	// Current is true while the table is made of the newest objects. While it is false the last good one stays.
	Current bool
	// Reason is a CamelCase word for the Current condition: Current, SyncLost, BuildFailed, or Starting
	// before the first table. Message is a sentence for people.
	Reason, Message string
	// Since is when Current or Reason last changed; zero while Starting.
	Since time.Time
	// Generation counts the tables published, PublishedAt is when the last one was.
	Generation  uint64
	PublishedAt time.Time
}

// ReasonStarting is the reason before the first table.
const ReasonStarting = "Starting"

var starting = State{Reason: ReasonStarting, Message: "reading ModelEndpoints, RoutingPolicies and their Secrets for the first time"}

// State returns the state of now. It is safe to call from any goroutine.
func (s *Source) State() State {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state
}

// asked notes the outcome of a request for news.
func (s *Source) asked(stream string, err error) {
	s.mu.Lock()
	s.contact.answered(stream, err, time.Now())
	s.mu.Unlock()
	s.wake()
}

// notePublished is called by the loop for every table.
func (s *Source) notePublished(at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state.Synced, s.state.PublishedAt = true, at
	s.state.Generation++
}

// judge brings the state up to date and tells who wants to know.
func (s *Source) judge(now time.Time) {
	s.mu.Lock()
	before, next := s.state, s.state
	next.Current, next.Reason, next.Message = s.verdict(s.contact.lost(now))
	if next.Reason != before.Reason {
		next.Since = now
	}
	s.state = next
	s.mu.Unlock()
	if next == s.told {
		return
	}
	s.told = next
	if next.Reason != before.Reason {
		s.log(next)
	}
	if s.options.OnState != nil {
		s.options.OnState(next)
	}
}

// verdict says whether the table in force is current, and why not.
func (s *Source) verdict(lost error) (current bool, reason, message string) {
	switch {
	case lost != nil:
		return false, v1alpha1.ReasonSyncLost, fmt.Sprintf("the API server cannot be read: %v", lost)
	case s.buildErr != nil:
		return false, v1alpha1.ReasonBuildFailed, s.buildErr.Error()
	case s.published == nil:
		return false, starting.Reason, starting.Message
	}
	return true, v1alpha1.ReasonCurrent, "the newest objects are in force"
}

func (s *Source) log(state State) {
	if state.Current {
		s.options.Logger.Info("routing table is current", "generation", state.Generation)
		return
	}
	s.options.Logger.Warn("routing table is not current; what was published last stays in force",
		"reason", state.Reason, "message", state.Message, "generation", state.Generation)
}
