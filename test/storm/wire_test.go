// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package storm

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/turnout-ai/turnout/internal/modelsim"
)

// testStation is a provider behind a wire.
func testStation(t *testing.T) *station {
	t.Helper()
	config := places[0].config(1)
	config.APIKeys, config.Timing = nil, timing(0, 0)
	s, err := startStation(t.Context(), place{name: t.Name(), provider: north}, config, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.close)
	return s
}

// connection is one to a station.
type connection struct {
	net.Conn
	reader *bufio.Reader
}

func (s *station) dial(t *testing.T) *connection {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", s.wire.address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &connection{conn, bufio.NewReader(conn)}
}

// models asks which models there are, and returns the error that the answer ended with.
func (c *connection) models(wait time.Duration) error {
	_ = c.SetDeadline(time.Now().Add(wait))
	if _, err := io.WriteString(c, "GET /v1/models HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		return err
	}
	response, err := http.ReadResponse(c.reader, nil)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, response.Body)
	return errors.Join(err, response.Body.Close())
}

func timedOut(err error) bool {
	var failed net.Error
	return errors.As(err, &failed) && failed.Timeout()
}

// TestAWire does every shock to connections that are open, and heals them.
func TestAWire(t *testing.T) {
	t.Parallel()
	const soon, patient = 50 * time.Millisecond, 10 * time.Second
	for name, c := range map[string]struct {
		disorder disorder
		check    func(t *testing.T, s *station, open *connection)
	}{
		"what is swallowed is not answered, on connections old and new": {disorder{shock: swallowed}, func(t *testing.T, s *station, open *connection) {
			if err := open.models(soon); !timedOut(err) {
				t.Errorf("an open connection: %v", err)
			}
			if err := s.dial(t).models(soon); !timedOut(err) {
				t.Errorf("a new connection: %v", err)
			}
		}},
		"what is severed is reset": {disorder{shock: severed}, func(t *testing.T, s *station, open *connection) {
			if err := open.models(patient); !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
				t.Errorf("an open connection: %v", err)
			}
			if err := s.dial(t).models(patient); err != nil {
				t.Errorf("a new connection: %v", err)
			}
		}},
		"who refuses is not connected to": {disorder{shock: refusing}, func(t *testing.T, s *station, _ *connection) {
			if _, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", s.wire.address); !errors.Is(err, syscall.ECONNREFUSED) {
				t.Errorf("a new connection: %v", err)
			}
		}},
		"a toxic is for connections to come": {disorder{toxics: []toxic{{"limit_data", downstream, `{"bytes":300}`}}}, func(t *testing.T, s *station, open *connection) {
			if err := open.models(patient); err != nil {
				t.Errorf("an open connection: %v", err)
			}
			if err := s.dial(t).models(patient); !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("a new connection: %v", err)
			}
		}},
		"a provider can be in trouble too": {disorder{rules: []modelsim.Rule{{Fault: "reset", Path: "/v1/models"}}}, func(t *testing.T, _ *station, open *connection) {
			if err := open.models(patient); err == nil {
				t.Error("an open connection has got an answer")
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := testStation(t)
			open := s.dial(t)
			if err := open.models(patient); err != nil {
				t.Fatal(err)
			}
			ctx, end := context.WithCancel(t.Context())
			over := make(chan error, 1)
			go func() { over <- s.through(ctx, time.Now().Add(time.Hour), &c.disorder) }()
			for s.suffered(noon, time.Now(), false) == nil || !s.begun(&c.disorder) {
				time.Sleep(time.Millisecond)
			}
			c.check(t, s, open)
			end()
			if err := <-over; err != nil {
				t.Fatal(err)
			}
			if err := s.dial(t).models(patient); err != nil {
				t.Errorf("when it is over: %v", err)
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			if trouble := s.troubles[0]; trouble.to.Before(trouble.from) {
				t.Errorf("the trouble was from %s to %s", trouble.from, trouble.to)
			}
		})
	}
}

// begun reports whether a disorder has come over a station.
func (s *station) begun(d *disorder) bool {
	s.wire.mu.Lock()
	defer s.wire.mu.Unlock()
	switch d.shock {
	case swallowed:
		return s.wire.gate.Load()
	case refusing:
		return s.wire.listener == nil && len(s.wire.pipes) == 0
	case severed, battered:
		return len(s.wire.pipes) == 0
	default:
		return s.wire.climate.toxic == (len(d.toxics) > 0) && len(s.sim.Sim.Rules()) == len(d.rules)
	}
}

// TestWhatWasSpoiledIsCut: a connection that has lost bytes never sees the next ones.
func TestWhatWasSpoiledIsCut(t *testing.T) {
	t.Parallel()
	s := testStation(t)
	c := s.dial(t)
	if err := c.models(10 * time.Second); err != nil {
		t.Fatal(err)
	}
	s.wire.shut()
	if _, err := io.Copy(c, strings.NewReader("GET /v1/models HTTP/1.1\r\n")); err != nil {
		t.Fatal(err)
	}
	if err := s.wire.heal(false); err != nil {
		t.Fatal(err)
	}
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	if n, err := c.Read(make([]byte, 1)); n != 0 || timedOut(err) {
		t.Errorf("%d bytes and %v from a connection that has lost some", n, err)
	}
}
