// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package modelsim

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"sync"
	"time"

	"github.com/turnout-ai/turnout/internal/modelsim/ledger"
)

// State is what the simulator has done since it started.
type State struct {
	// Requests arrived; InFlight of them have no end yet.
	Requests int64 `json:"requests"`
	InFlight int64 `json:"inFlight"`
	// Finished were answered (with whatever status), Cancelled left by the client, Aborted broken off by a fault.
	Finished  int64 `json:"finished"`
	Cancelled int64 `json:"cancelled"`
	Aborted   int64 `json:"aborted"`
	// Statuses and Faults count the answers by status and by fault as it was written.
	Statuses map[int]int64    `json:"statuses"`
	Faults   map[string]int64 `json:"faults"`
	Tokens   ledger.Tokens    `json:"tokens"`
	// Listening, Connections (open now) and Accepted (ever) are about the socket of Start.
	Listening   bool  `json:"listening"`
	Connections int64 `json:"connections"`
	Accepted    int64 `json:"accepted"`
}

// counters count requests.
type counters struct {
	mu    sync.Mutex // guards state
	none  *sync.Cond // on mu: nothing is in flight any more
	state State
}

// awaitNone returns when no request is in flight.
func (c *counters) awaitNone() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.state.InFlight > 0 {
		c.none.Wait()
	}
}

// begin counts a request that arrived.
func (c *counters) begin() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.state.Requests++
	c.state.InFlight++
}

// maxFaults bounds the faults told apart, as texts come from callers.
const maxFaults = 1000

// end counts the last state of a request.
func (c *counters) end(record *ledger.Record) {
	c.mu.Lock()
	defer c.mu.Unlock()
	state := &c.state
	if state.InFlight--; state.InFlight == 0 {
		c.none.Broadcast()
	}
	switch record.Event {
	case ledger.Finished:
		state.Finished++
	case ledger.Cancelled:
		state.Cancelled++
	case ledger.Aborted:
		state.Aborted++
	case ledger.Accepted, ledger.Head, ledger.Progress: // the ledger failed: no end is known
	}
	if record.Status != 0 {
		state.Statuses[record.Status]++
	}
	// Faults that have not struck (such as one for streams on a refused request) count too: they were asked for.
	if record.Fault != "" && len(state.Faults) < maxFaults {
		state.Faults[record.Fault]++
	}
	state.Tokens.Prompt += record.Tokens.Prompt
	state.Tokens.Cached += record.Tokens.Cached
	state.Tokens.Completion += record.Tokens.Completion
	state.Tokens.Reasoning += record.Tokens.Reasoning
}

// State returns the counters.
func (s *Sim) State() State {
	s.counters.mu.Lock()
	defer s.counters.mu.Unlock()
	state := s.counters.state
	state.Statuses, state.Faults = maps.Clone(state.Statuses), maps.Clone(state.Faults)
	if server := s.server.Load(); server != nil {
		server.describe(&state)
	}
	return state
}

// controlMux serves the control API.
func (s *Sim) controlMux() http.Handler {
	mux := http.NewServeMux()
	// Bodies and answers are JSON; mistakes are 400 with a sentence under "error".
	mux.HandleFunc("GET /_sim/state", func(w http.ResponseWriter, _ *http.Request) { answerControl(w, http.StatusOK, s.State()) })
	mux.HandleFunc("GET /_sim/rules", func(w http.ResponseWriter, _ *http.Request) { answerControl(w, http.StatusOK, s.Rules()) })
	mux.HandleFunc("POST /_sim/rules", s.postRule)
	mux.HandleFunc("PUT /_sim/rules", s.putRules)
	mux.HandleFunc("DELETE /_sim/rules", func(w http.ResponseWriter, _ *http.Request) {
		s.ClearRules()
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("DELETE /_sim/rules/{id}", func(w http.ResponseWriter, r *http.Request) {
		if !s.RemoveRule(r.PathValue("id")) {
			refuseControl(w, http.StatusNotFound, fmt.Errorf("no rule %q", r.PathValue("id")))
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("POST /_sim/listener", s.postListener)
	mux.HandleFunc("POST /_sim/connections", s.postConnections)
	return mux
}

// postRule adds one rule.
func (s *Sim) postRule(w http.ResponseWriter, r *http.Request) {
	var rule Rule
	if !readControl(w, r, &rule) {
		return
	}
	id, err := s.AddRule(rule)
	if err != nil {
		refuseControl(w, http.StatusBadRequest, err)
		return
	}
	answerControl(w, http.StatusCreated, map[string]string{"id": id})
}

// putRules replaces all rules, or none when one of them is wrong.
func (s *Sim) putRules(w http.ResponseWriter, r *http.Request) {
	var rules []Rule
	if !readControl(w, r, &rules) {
		return
	}
	compiled := make([]*script, len(rules))
	for i, rule := range rules {
		var err error
		if compiled[i], err = rule.compile(); err != nil {
			refuseControl(w, http.StatusBadRequest, fmt.Errorf("rule %d: %w", i, err))
			return
		}
	}
	s.rules.replace(compiled)
	answerControl(w, http.StatusOK, s.Rules())
}

// postListener closes the listener (new connections are refused) or opens it again. "for" opens it again by
// itself: needed where the control API shares the listener. "connections": "reset" resets all that are open.
func (s *Sim) postListener(w http.ResponseWriter, r *http.Request) {
	var order struct {
		State       string `json:"state"`
		For         string `json:"for"`
		Connections string `json:"connections"`
	}
	if !readControl(w, r, &order) {
		return
	}
	server := s.server.Load()
	var wait time.Duration
	var err error
	if order.For != "" {
		err = readDuration(&wait, order.For)
	}
	switch {
	case server == nil:
		err = fmt.Errorf("the simulator has no listener of its own")
	case err != nil:
		err = fmt.Errorf("for %q: %w", order.For, err)
	case order.Connections != "" && order.Connections != faultReset:
		err = fmt.Errorf("connections %q: write reset, or leave it out to keep them", order.Connections)
	case order.State == "open":
		err = server.Reopen()
	case order.State == "closed":
		server.Refuse(wait)
	default:
		err = fmt.Errorf("state %q: write open or closed", order.State)
	}
	if err != nil {
		refuseControl(w, http.StatusBadRequest, err)
		return
	}
	answerControl(w, http.StatusOK, s.State())
	if order.Connections == faultReset {
		_ = http.NewResponseController(w).Flush() // the answer first: this connection may be among them
		server.ResetConnections()
	}
}

// postConnections resets connections: {"reset":"idle"} or {"reset":"all"}.
func (s *Sim) postConnections(w http.ResponseWriter, r *http.Request) {
	var order struct {
		Reset string `json:"reset"`
	}
	if !readControl(w, r, &order) {
		return
	}
	server := s.server.Load()
	if server == nil || order.Reset != "idle" && order.Reset != "all" {
		refuseControl(w, http.StatusBadRequest, fmt.Errorf("reset %q: write idle or all; the simulator needs a listener of its own", order.Reset))
		return
	}
	if order.Reset == "idle" {
		answerControl(w, http.StatusOK, map[string]int{"reset": server.ResetIdle()})
		return
	}
	answerControl(w, http.StatusOK, s.State())
	_ = http.NewResponseController(w).Flush() // the answer first: this connection is among them
	server.ResetConnections()
}

// readControl decodes an order; it answers 400 and returns false when it cannot.
func readControl(w http.ResponseWriter, r *http.Request, out any) bool {
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(out); err != nil {
		refuseControl(w, http.StatusBadRequest, err)
		return false
	}
	return true
}

// refuseControl answers with a sentence.
func refuseControl(w http.ResponseWriter, status int, err error) {
	answerControl(w, status, map[string]string{"error": err.Error()})
}

// answerControl answers with JSON.
func answerControl(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", contentJSON)
	w.WriteHeader(status)
	_, _ = w.Write(marshal(value, "  ")) // whoever asked may be gone
}
