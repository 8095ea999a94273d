// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package storm

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/url"
	"sync"
	"time"

	"github.com/turnout-ai/turnout/internal/modelsim"
	"github.com/turnout-ai/turnout/test/harness"
)

// place is where an endpoint of the storm stands.
type place struct {
	name, provider string
	timing         modelsim.Timing
	// idle is after how long the provider closes idle connections, by a reset or in order.
	idle   time.Duration
	resets bool
	tls    bool
}

// answerTokens is how long answers are that nothing limits; the tests limit them to fewer.
const answerTokens = 24

// north is the provider of several places.
const north = "north"

// places are the endpoints of the storm, in the order of the policies.
var places = []place{
	{name: "alpha", provider: north, timing: timing(10*time.Millisecond, 120), idle: 700 * time.Millisecond},
	{name: "bravo", provider: north, timing: timing(20*time.Millisecond, 80), idle: 5 * time.Second},
	{name: "charlie", provider: "south", timing: timing(0, 0), idle: 400 * time.Millisecond, resets: true},
	{name: "delta", provider: "south", timing: timing(30*time.Millisecond, 60), idle: time.Second},
	{name: "echo", provider: "east", timing: timing(15*time.Millisecond, 150), idle: 2 * time.Second, resets: true, tls: true},
}

func timing(first time.Duration, perSecond float64) modelsim.Timing {
	return modelsim.Timing{TimeToFirstToken: first, TokensPerSecond: perSecond, Tokens: answerTokens}
}

// config is how the provider of a place is set up.
func (p place) config(seed uint64) modelsim.Config {
	config := modelsim.DefaultConfig()
	config.Models, config.APIKeys, config.Seed = []string{upstreamModel}, []string{"sk-" + p.name}, seed
	config.Timing, config.IdleTimeout, config.IdleReset = p.timing, p.idle, p.resets
	return config
}

// upstreamModel is what all endpoints call their model.
const upstreamModel = "sim-large"

// trouble is a spell as it really was: when it began, and when the last of it had been cleaned up.
type trouble struct {
	from, to time.Time
	disorder disorder
}

// station is a provider with the wire before it.
type station struct {
	place place
	sim   *modelsim.Server
	wire  *wire
	url   string

	mu       sync.Mutex
	troubles []trouble
}

// startStation starts a provider behind a wire. identity is for those that speak TLS.
func startStation(ctx context.Context, p place, config modelsim.Config, identity *tls.Config) (*station, error) {
	if !p.tls {
		identity = nil
	}
	sim, err := modelsim.Start(ctx, config, "127.0.0.1:0", identity)
	if err != nil {
		return nil, err
	}
	at, err := url.Parse(sim.URL())
	if err != nil {
		return nil, err
	}
	// Not a port of the kernel's choice: it must be had again after connections were refused for a while.
	port, err := harness.FreePort()
	if err != nil {
		return nil, err
	}
	w, err := newWire(ctx, p.name, harness.LoopbackAddress(port), at.Host)
	if err != nil {
		return nil, err
	}
	return &station{place: p, sim: sim, wire: w, url: at.Scheme + "://" + w.address + "/v1"}, nil
}

// suffer goes through spells, in order, from a beginning on.
func (s *station) suffer(ctx context.Context, begun time.Time, spells []spell) error {
	for i := range spells {
		if !until(ctx, begun.Add(spells[i].from)) {
			return nil
		}
		if err := s.through(ctx, begun.Add(spells[i].to), &spells[i].disorder); err != nil {
			return fmt.Errorf("%s, %s: %w", s.place.name, spells[i].disorder.name, err)
		}
	}
	return nil
}

// through is one spell. What it has spoiled is cut when it is over, so that a station that is well is well.
func (s *station) through(ctx context.Context, end time.Time, d *disorder) error {
	s.mu.Lock()
	s.troubles = append(s.troubles, trouble{from: time.Now(), disorder: *d})
	at := len(s.troubles) - 1
	s.mu.Unlock()
	if err := s.begin(d); err != nil {
		return err
	}
	for d.shock == battered && until(ctx, earlier(end, time.Now().Add(300*time.Millisecond))) && time.Now().Before(end) {
		s.wire.cut(true)
	}
	until(ctx, end)
	s.sim.Sim.ClearRules()
	if err := s.wire.heal(d.shock == severed); err != nil {
		return err
	}
	if err := s.wire.listen(ctx); err != nil {
		return err
	}
	s.mu.Lock()
	s.troubles[at].to = time.Now()
	s.mu.Unlock()
	return nil
}

func (s *station) begin(d *disorder) error {
	for _, rule := range d.rules {
		if _, err := s.sim.Sim.AddRule(rule); err != nil {
			return err
		}
	}
	if err := s.wire.expose(d.toxics); err != nil {
		return err
	}
	switch d.shock {
	case spared:
	case severed, battered:
		s.wire.cut(true)
	case swallowed:
		s.wire.shut()
	case refusing:
		s.wire.refuse()
		s.wire.cut(true)
	}
	return nil
}

// suffered is what was wrong in a span of time, on the wire or at all.
func (s *station) suffered(from, to time.Time, wired bool) *trouble {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.troubles {
		t := &s.troubles[i]
		if t.from.Before(to) && (t.to.IsZero() || t.to.After(from)) && (!wired || t.disorder.wired()) {
			return t
		}
	}
	return nil
}

func (s *station) close() {
	s.wire.close()
	s.sim.Close()
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// until waits for a moment; false means that ctx has ended before.
func until(ctx context.Context, at time.Time) bool {
	timer := time.NewTimer(time.Until(at))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
