// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package dataplane

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// pages is what the proxy tells its administrators, read again when somebody wants to know what is so now. All who ask
// while it is being read share the next reading.
type pages struct {
	url string

	mu      sync.Mutex // guards next
	next    *reading
	reading sync.Mutex // held while the pages are read, and guards rested
	rested  time.Time
}

// share is which part of the time goes into reading the pages at most: they are long, and many want to know.
const share = 3

// reading is one reading of the pages.
type reading struct {
	once sync.Once
	seen view
	err  error
}

// view is what the pages said.
type view struct {
	// metrics are the values of the counters that cases ask for, by name and labels as they are written; attempts are
	// those of the attempts, by endpoint and outcome.
	metrics  map[string]float64
	attempts map[string]map[string]int
	// endpoints are how the endpoints stand, by namespace and name.
	endpoints map[string]standing
	policies  map[string]bool
}

// standing is how an endpoint stands.
type standing struct {
	Standing string    `json:"standing"`
	Reason   string    `json:"reason"`
	Until    time.Time `json:"until"`
	Standby  string    `json:"standby"`
	Fleet    struct {
		Epoch int `json:"epoch"`
	} `json:"fleet"`
	Local struct {
		Failures int    `json:"consecutiveFailures"`
		Message  string `json:"message"`
	} `json:"local"`
}

// now is how everything is at some moment after the call.
func (p *pages) now(ctx context.Context) (view, error) {
	p.mu.Lock()
	if p.next == nil {
		p.next = &reading{}
	}
	mine := p.next
	p.mu.Unlock()

	p.reading.Lock()
	defer p.reading.Unlock()
	mine.once.Do(func() {
		<-time.After(time.Until(p.rested))
		p.mu.Lock()
		p.next = nil // who comes from now on wants to know what comes after this reading
		p.mu.Unlock()
		begun := time.Now()
		mine.seen, mine.err = p.read(ctx)
		p.rested = time.Now().Add((share - 1) * time.Since(begun))
	})
	return mine.seen, mine.err
}

func (p *pages) read(ctx context.Context) (view, error) {
	var v view
	text, err := p.get(ctx, "/metrics?name[]=turnout_attempts_total&name[]=turnout_tokens_total&name[]=turnout_requests_total")
	if err != nil {
		return v, err
	}
	if err := v.parseMetrics(text); err != nil {
		return v, err
	}
	if text, err = p.get(ctx, "/debug/table"); err != nil {
		return v, err
	}
	var table struct {
		Endpoints []struct {
			Endpoint string `json:"endpoint"`
			standing
		} `json:"endpoints"`
		Policies []struct {
			Policy string `json:"policy"`
		} `json:"policies"`
	}
	if err := json.Unmarshal([]byte(text), &table); err != nil {
		return v, fmt.Errorf("/debug/table: %w", err)
	}
	v.endpoints, v.policies = map[string]standing{}, map[string]bool{}
	for i := range table.Endpoints {
		v.endpoints[table.Endpoints[i].Endpoint] = table.Endpoints[i].standing
	}
	for _, policy := range table.Policies {
		v.policies[policy.Policy] = true
	}
	return v, nil
}

func (p *pages) get(ctx context.Context, path string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url+path, http.NoBody)
	if err != nil {
		return "", err
	}
	response, err := callers.Do(request)
	if err != nil {
		return "", err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %s", path, response.Status, text)
	}
	return string(text), err
}

// parseMetrics reads Prometheus' text format, as far as counters need it.
func (v *view) parseMetrics(text string) error {
	v.metrics, v.attempts = map[string]float64{}, map[string]map[string]int{}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		at := strings.LastIndexByte(line, ' ')
		if at < 0 {
			return fmt.Errorf("/metrics: %q has no value", line)
		}
		value, err := strconv.ParseFloat(line[at+1:], 64)
		if err != nil {
			return fmt.Errorf("/metrics: %q: %w", line, err)
		}
		v.metrics[line[:at]] = value
		v.countAttempts(line[:at], int(value))
	}
	return nil
}

// attemptSeries is how the series of attempts are written.
const attemptSeries = `turnout_attempts_total{endpoint=%q,namespace="` + namespace + `",outcome=%q}`

// countAttempts takes in a series, if it is one of attempts.
func (v *view) countAttempts(series string, n int) {
	var endpoint, outcome string
	if _, err := fmt.Sscanf(series, attemptSeries, &endpoint, &outcome); err != nil || n == 0 {
		return
	}
	if v.attempts[endpoint] == nil {
		v.attempts[endpoint] = map[string]int{}
	}
	v.attempts[endpoint][outcome] = n
}

// outcomes are how often the attempts at an endpoint have come to what.
func (v *view) outcomes(endpoint string) map[string]int { return v.attempts[endpoint] }

// tokens is how many tokens of a type an endpoint has used.
func (v *view) tokens(endpoint, kind string) int {
	return int(v.metrics[fmt.Sprintf(`turnout_tokens_total{endpoint=%q,namespace=%q,type=%q}`, endpoint, namespace, kind)])
}

// requests is how many requests of a policy ended with a status.
func (v *view) requests(policy, status string) int {
	return int(v.metrics[fmt.Sprintf(`turnout_requests_total{namespace=%q,operation="chat",policy=%q,status=%q}`, namespace, policy, status)])
}
