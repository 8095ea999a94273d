// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package storm

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/turnout-ai/turnout/internal/modelstate"
	"github.com/turnout-ai/turnout/test/harness"
)

// subject is the proxy under test, in its own process.
type subject struct {
	role    role
	process *harness.Process
	dir     string
}

// startSubject starts the test's own program as the proxy. Its files go to dir.
func startSubject(ctx context.Context, dir string, r role) (*subject, error) {
	for _, address := range []*string{&r.Listen, &r.Admin} {
		port, err := harness.FreePort()
		if err != nil {
			return nil, err
		}
		*address = harness.LoopbackAddress(port)
	}
	r.AccessLog = filepath.Join(dir, "access.log")
	text, err := json.Marshal(&r)
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "role.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	process, err := harness.StartProcess(ctx, harness.Command{
		Name: "proxy", Path: self, Env: []string{roleVariable + "=" + file}, LogFile: filepath.Join(dir, "proxy.log"),
		Ready: harness.HTTPReady("http://"+r.Admin+"/readyz", nil),
	})
	return &subject{r, process, dir}, err
}

// get asks the proxy process.
func (s *subject) get(ctx context.Context, path string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.role.Admin+path, http.NoBody)
	if err != nil {
		return nil, err
	}
	request.Close = true // it would count among the descriptors
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }() // it was read
	text, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s %s", path, response.Status, text)
	}
	return text, err
}

func (s *subject) figures(ctx context.Context, path string) (figures, error) {
	var f figures
	text, err := s.get(ctx, path)
	if err != nil {
		return f, err
	}
	return f, json.Unmarshal(text, &f)
}

// settled waits until no request and no caller is left.
func (s *subject) settled(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	return harness.Poll(ctx, 50*time.Millisecond, func(ctx context.Context) error {
		m, err := s.metrics(ctx)
		if err != nil {
			return err
		}
		for _, name := range []string{"turnout_requests_in_flight", "turnout_connections_open", "turnout_request_body_bytes"} {
			if v := m.sum(name); v > 0 {
				return fmt.Errorf("%s is %g, and all callers have left", name, v)
			}
		}
		return nil
	})
}

// rested is what the proxy holds when nobody asks for anything. Descriptors and goroutines are counted before memory
// is collected, which closes sockets that were forgotten; those that were closed take a moment to go, so there is
// some time to come to what was before.
func (s *subject) rested(ctx context.Context, before *figures) (figures, error) {
	if err := s.settled(ctx); err != nil {
		return figures{}, err
	}
	if _, err := s.get(ctx, restPath); err != nil {
		return figures{}, err
	}
	open, err := s.lingering(ctx, before)
	if err != nil {
		return figures{}, err
	}
	f, err := s.figures(ctx, collectedPath)
	if err != nil {
		return figures{}, err
	}
	f.Descriptors, f.Goroutines = open.Descriptors, open.Goroutines
	_, err = s.get(ctx, workPath)
	return f, err
}

// lingering waits until descriptors and goroutines are those of before, or as few as they get.
func (s *subject) lingering(ctx context.Context, before *figures) (least figures, err error) {
	patience := time.Second // without a goal
	if before != nil {
		patience = 10 * time.Second
	}
	for end := time.Now().Add(patience); ; {
		f, err := s.figures(ctx, figuresPath)
		if err != nil {
			return f, err
		}
		if least == (figures{}) || f.Descriptors+f.Goroutines < least.Descriptors+least.Goroutines {
			least = f
		}
		reached := before != nil && f.Descriptors <= before.Descriptors && f.Goroutines <= before.Goroutines
		if reached || time.Now().After(end) || !until(ctx, time.Now().Add(100*time.Millisecond)) {
			return least, nil
		}
	}
}

// books are what the proxy would report.
func (s *subject) books(ctx context.Context) ([]modelstate.Numbers, error) {
	text, err := s.get(ctx, booksPath)
	if err != nil {
		return nil, err
	}
	var n []modelstate.Numbers
	return n, json.Unmarshal(text, &n)
}

// stalls are when the proxy process stood still.
func (s *subject) stalls(ctx context.Context) ([]stall, error) {
	text, err := s.get(ctx, stallsPath)
	if err != nil {
		return nil, err
	}
	var all []stall
	return all, json.Unmarshal(text, &all)
}

// readings are metrics by name: labels, values.
type readings map[string][]reading

type reading struct {
	labels map[string]string
	value  float64
}

func (r readings) sum(name string) (sum float64) {
	for _, m := range r[name] {
		sum += m.value
	}
	return sum
}

func (s *subject) metrics(ctx context.Context) (readings, error) {
	text, err := s.get(ctx, "/metrics")
	if err != nil {
		return nil, err
	}
	return readMetrics(string(text))
}

func readMetrics(text string) (readings, error) {
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		return nil, err
	}
	out := readings{}
	for name, family := range families {
		for _, m := range family.GetMetric() {
			labels := map[string]string{}
			for _, pair := range m.GetLabel() {
				labels[pair.GetName()] = pair.GetValue()
			}
			out[name] = append(out[name], reading{labels, m.GetCounter().GetValue() + m.GetGauge().GetValue()})
		}
	}
	return out, nil
}
