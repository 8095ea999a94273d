// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package modelsim

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Connections a rule may be limited to.
const (
	ConnectionFresh  = "fresh"  // the first request of a connection
	ConnectionReused = "reused" // every later one
)

// Rule makes something happen to requests that match. The first rule that matches and is not used up decides.
type Rule struct {
	// ID is given by the simulator.
	ID string `json:"id,omitempty"`

	// Model, Path (such as /v1/embeddings), APIKey and Connection limit the rule; empty matches all. A rule
	// without a path matches the POST endpoints only, so that a probe of GET /v1/models does not use it up.
	Model      string `json:"model,omitempty"`
	Path       string `json:"path,omitempty"`
	APIKey     string `json:"apiKey,omitempty"`
	Connection string `json:"connection,omitempty"`

	// Fault happens to each matching request; Sequence instead to one after the other, "ok" being none, and
	// from the start again with Repeat.
	Fault    string   `json:"fault,omitempty"`
	Sequence []string `json:"sequence,omitempty"`
	Repeat   bool     `json:"repeat,omitempty"`
	// Timing changes the speed: "latency=1s;time-to-first-token=2s;tokens-per-second=5;tokens=20", any of them.
	Timing string `json:"timing,omitempty"`

	// Probability from 0 to 1 is the share of matching requests it happens to; 0 stands for all.
	Probability float64 `json:"probability,omitempty"`
	// Skip lets the first matching requests pass; Count ends the rule after so many; 0 never ends it.
	Skip  int `json:"skip,omitempty"`
	Count int `json:"count,omitempty"`

	// Used is how many requests it has happened to.
	Used int `json:"used"`
}

// script is a Rule that was understood.
type script struct {
	Rule
	faults  []*Fault
	timing  timingChange
	skipped int
}

// compile reads the texts of a rule.
func (r Rule) compile() (*script, error) {
	out := &script{Rule: r}
	texts := r.Sequence
	if r.Fault != "" {
		texts = []string{r.Fault}
	}
	for _, text := range texts {
		fault, err := ParseFault(text)
		if err != nil {
			return nil, err
		}
		out.faults = append(out.faults, fault)
	}
	var err error
	if out.timing, err = parseTiming(r.Timing); err != nil {
		return nil, err
	}
	if err := r.validate(); err != nil {
		return nil, err
	}
	return out, nil
}

// validate refuses what contradicts itself.
func (r Rule) validate() error {
	switch {
	case r.Fault != "" && len(r.Sequence) > 0:
		return errors.New("rule: write either fault or sequence")
	case r.Fault == "" && len(r.Sequence) == 0 && r.Timing == "":
		return errors.New("rule: write a fault, a sequence or a timing")
	case r.Probability < 0 || r.Probability > 1:
		return fmt.Errorf("rule: probability %v: write a number from 0 to 1", r.Probability)
	case r.Skip < 0 || r.Count < 0:
		return errors.New("rule: skip and count must not be negative")
	case !slices.Contains([]string{"", ConnectionFresh, ConnectionReused}, r.Connection):
		return fmt.Errorf("rule: connection %q: write fresh or reused", r.Connection)
	}
	return nil
}

// trait is what rules look at in a request.
type trait struct {
	model, path, key, connection string
	post                         bool
}

// matches says whether a rule is about such a request.
func (s *script) matches(t trait) bool {
	path := t.post
	if s.Path != "" {
		path = s.Path == t.path
	}
	return path && (s.Model == "" || s.Model == t.model) && (s.APIKey == "" || s.APIKey == t.key) &&
		(s.Connection == "" || s.Connection == t.connection)
}

// spent says whether the rule has done what it was to do.
func (s *script) spent() bool {
	return s.Count > 0 && s.Used >= s.Count || len(s.Sequence) > 0 && !s.Repeat && s.Used >= len(s.Sequence)
}

// ruleBook is the list of rules in force.
type ruleBook struct {
	mu      sync.Mutex // guards all below
	scripts []*script
	next    int
	random  *rand.Rand
}

// add appends a rule and returns its id.
func (b *ruleBook) add(compiled *script) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.addLocked([]*script{compiled})
}

// replace puts these rules in place of all others.
func (b *ruleBook) replace(compiled []*script) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.scripts = nil
	b.addLocked(compiled)
}

func (b *ruleBook) addLocked(compiled []*script) (id string) {
	for _, s := range compiled {
		b.next++
		id = "rule-" + strconv.Itoa(b.next)
		s.ID, s.Used = id, 0
		b.scripts = append(b.scripts, s)
	}
	return id
}

// remove deletes the rule with that id, or all without one; it says whether there was any.
func (b *ruleBook) remove(id string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	before := len(b.scripts)
	b.scripts = slices.DeleteFunc(b.scripts, func(s *script) bool { return id == "" || s.ID == id })
	return len(b.scripts) < before
}

// list returns the rules with their counters.
func (b *ruleBook) list() []Rule {
	b.mu.Lock()
	defer b.mu.Unlock()
	rules := make([]Rule, len(b.scripts))
	for i, s := range b.scripts {
		rules[i] = s.Rule
	}
	return rules
}

// pick returns what happens to a request: the fault (nil: none) and the change of timing.
func (b *ruleBook) pick(t trait) (*Fault, timingChange) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range b.scripts {
		if s.spent() || !s.matches(t) {
			continue
		}
		if s.skipped < s.Skip {
			s.skipped++
			continue
		}
		// The draws come from the configured seed: with requests in the same order a run can be repeated.
		if s.Probability > 0 && b.random.Float64() >= s.Probability {
			continue
		}
		var fault *Fault // a rule of timing only has none
		if len(s.faults) > 0 {
			fault = s.faults[s.Used%len(s.faults)]
		}
		s.Used++
		return fault, s.timing
	}
	return nil, timingChange{}
}

// timingChange is a Timing of which any field may be left as it is (nil).
type timingChange struct {
	latency, timeToFirstToken *time.Duration
	tokensPerSecond           *float64
	tokens                    *int
}

// parseTiming reads "latency=…;time-to-first-token=…;tokens-per-second=…;tokens=…".
func parseTiming(text string) (timingChange, error) {
	var out timingChange
	for part := range strings.SplitSeq(text, ";") {
		key, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		var err error
		switch key {
		case "":
		case "latency":
			out.latency = new(time.Duration)
			err = readDuration(out.latency, value)
		case "time-to-first-token":
			out.timeToFirstToken = new(time.Duration)
			err = readDuration(out.timeToFirstToken, value)
		case "tokens-per-second":
			var rate float64
			rate, err = strconv.ParseFloat(value, 64)
			out.tokensPerSecond = &rate
		case "tokens":
			var tokens int
			tokens, err = strconv.Atoi(value)
			out.tokens = &tokens
		default:
			err = errors.New("unknown; write latency, time-to-first-token, tokens-per-second or tokens")
		}
		if err != nil {
			return out, fmt.Errorf("timing %s=%s: %w", key, value, err)
		}
	}
	return out, out.apply(DefaultConfig().Timing).validate()
}

// apply returns the timing with the changes.
func (c timingChange) apply(t Timing) Timing {
	if c.latency != nil {
		t.Latency = *c.latency
	}
	if c.timeToFirstToken != nil {
		t.TimeToFirstToken = *c.timeToFirstToken
	}
	if c.tokensPerSecond != nil {
		t.TokensPerSecond = *c.tokensPerSecond
	}
	if c.tokens != nil {
		t.Tokens = *c.tokens
	}
	return t
}
