// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package storm

import (
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync"
	"time"

	"github.com/turnout-ai/turnout/internal/modelstate"
	"github.com/turnout-ai/turnout/internal/routing"
)

// settings are what a storm is like.
type settings struct {
	seed    uint64
	callers int
	// pause is the longest pause of a caller between two requests.
	pause time.Duration
	// calm is how long callers work before and after the storm, length how long the storm lasts.
	calm, length time.Duration
	attempts     int
	// dir takes the files of the proxy.
	dir string
}

// The policies of a storm leave an endpoint that is well within reach: there are attempts for a round of all endpoints
// with a stale connection at each, and for more, and time for all of them.
const (
	stormAttempts   = 16
	stormDeadline   = 40 * time.Second
	stormConnect    = 3 * time.Second
	stormFirstToken = 2 * time.Second
	stormIdle       = 6 * time.Second
)

func (s *settings) role() role {
	unit := modelstate.DefaultUnit
	// Endpoints rest late and not for long: one that rests meets no trouble.
	unit.ConsecutiveFailures, unit.Cooldown, unit.Ramp = 50, 300*time.Millisecond, 300*time.Millisecond
	return role{
		Attempts: s.attempts, Deadline: stormDeadline, Unit: unit,
		Timeouts: routing.Timeouts{
			Connect: stormConnect, TLSHandshake: stormConnect, FirstToken: stormFirstToken,
			CommitAfter: 10 * time.Second, Idle: stormIdle, ClientWrite: 20 * time.Second,
		},
	}
}

// storm is one that runs or has run.
type storm struct {
	settings
	schedule *schedule
	subject  *subject
	stations []*station
	shelf    *shelf
	load     *load
	begun    time.Time
	pulse    pulse

	before, after figures
	// samples are of the storm itself, a second apart.
	samples []figures
	audit   *audit
}

// run lets a storm pass over a proxy, and audits what it leaves.
func run(ctx context.Context, s settings) (*storm, error) {
	st := &storm{settings: s, schedule: newSchedule(s.seed, len(places), s.length), shelf: newShelf()}
	defer func() {
		for _, station := range st.stations {
			station.close()
		}
	}()
	beating, end := context.WithCancel(ctx)
	defer end()
	go st.pulse.run(beating)
	if err := st.start(ctx); err != nil {
		return st, err
	}
	defer st.subject.process.Kill()
	if err := st.pass(ctx); err != nil {
		return st, err
	}
	return st, st.look(ctx)
}

// start starts providers and the proxy.
func (st *storm) start(ctx context.Context) error {
	identity, certificate := selfSigned()
	r := st.role()
	for _, p := range places {
		config := p.config(st.seed)
		config.Ledger = st.shelf.of(p.name)
		s, err := startStation(ctx, p, config, identity)
		if err != nil {
			return err
		}
		st.stations = append(st.stations, s)
		e := roleEndpoint{Name: p.name, Provider: p.provider, URL: s.url, Key: "sk-" + p.name}
		if p.tls {
			e.Certificate = certificate
		}
		r.Endpoints = append(r.Endpoints, e)
	}
	var err error
	if st.subject, err = startSubject(ctx, st.dir, r); err != nil {
		return err
	}
	callers, err := newCallers(st.subject.role.Listen, st.seed)
	if err != nil {
		return err
	}
	st.load = newLoad(callers, st.seed, st.callers, st.pause)
	return nil
}

// selfSigned borrows the certificate for 127.0.0.1 that net/http tests itself with.
func selfSigned() (*tls.Config, string) {
	server := httptest.NewTLSServer(http.NotFoundHandler())
	defer server.Close()
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	return &tls.Config{Certificates: server.TLS.Certificates, MinVersion: tls.VersionTLS12}, string(certificate)
}

// pass is calm, storm and calm again, and what the proxy holds between them.
func (st *storm) pass(ctx context.Context) (err error) {
	st.works(ctx, st.calm)
	if st.before, err = st.subject.rested(ctx, nil); err != nil {
		return err
	}
	st.begun = time.Now()
	var suffering sync.WaitGroup
	failed := make([]error, len(st.stations))
	for i, s := range st.stations {
		suffering.Go(func() { failed[i] = s.suffer(ctx, st.begun, st.schedule.spells[i]) })
	}
	sampling, end := context.WithCancel(ctx)
	suffering.Go(func() { st.sample(sampling) })
	st.works(ctx, st.length)
	end()
	suffering.Wait()
	if err := errors.Join(failed...); err != nil {
		return err
	}
	st.works(ctx, st.calm)
	st.after, err = st.subject.rested(ctx, &st.before)
	return err
}

// works lets the callers work for a while.
func (st *storm) works(ctx context.Context, length time.Duration) {
	working, end := context.WithTimeout(ctx, length)
	defer end()
	st.load.run(working)
}

func (st *storm) sample(ctx context.Context) {
	for until(ctx, time.Now().Add(time.Second)) {
		if f, err := st.subject.figures(ctx, figuresPath); err == nil { // a proxy that is gone is noticed by others
			st.samples = append(st.samples, f)
		}
	}
}

// look reads all books and holds them against each other.
func (st *storm) look(ctx context.Context) error {
	e := &evidence{
		results: st.load.results, suffered: st.suffered, attempts: map[[2]string]float64{},
		budget: stormAttempts, deadline: stormDeadline, stalls: st.pulse.list(),
	}
	theirs, err := st.subject.stalls(ctx)
	if err != nil {
		return err
	}
	e.stalls = append(e.stalls, theirs...)
	if e.books, err = st.subject.books(ctx); err != nil {
		return err
	}
	metrics, err := st.subject.metrics(ctx)
	if err != nil {
		return err
	}
	for _, m := range metrics["turnout_attempts_total"] {
		e.attempts[[2]string{m.labels["endpoint"], m.labels["outcome"]}] += m.value
	}
	if err := st.subject.process.Stop(ctx); err != nil {
		return err
	}
	if e.lines, err = readLog(st.subject.role.AccessLog); err != nil {
		return err
	}
	// The last deeds are written down when the providers have noticed that the proxy is gone.
	for _, s := range st.stations {
		s.close()
	}
	st.shelf.mu.Lock()
	defer st.shelf.mu.Unlock()
	e.deeds = st.shelf.deeds
	st.audit = examine(e)
	for _, name := range []string{"turnout_panics_total", "turnout_access_log_dropped_total"} {
		if n := metrics.sum(name); n != 0 {
			st.audit.find(nil, nil, "%s is %g", name, n)
		}
	}
	return nil
}

func (st *storm) suffered(endpoint string, from, to time.Time, wired bool) *trouble {
	for _, s := range st.stations {
		if s.place.name == endpoint {
			return s.suffered(from, to, wired)
		}
	}
	return nil
}
