// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/turnout-ai/turnout/test/evidence"
	"github.com/turnout-ai/turnout/test/harness"
)

const (
	aboutVerdict = "How long the verdict of one proxy takes to reach another. Two proxies and the operator run beside the API server and etcd on all " +
		"processors of the machine. Each trial has an endpoint of its own, first of two behind a model name, that answers every request with 503, or whose port " +
		"refuses connections. Three requests are sent to proxy A, which fails over each time, while proxy B, which nobody has sent anything, is asked how it would " +
		"route. The time begins before the first of the three requests is sent, and ends when B no longer puts the endpoint first: it covers three failures, A's " +
		"report, the operator's verdict and its way to B. A pause between trials lets the fleet be quiet."
	// verdictTrials is how many verdicts of each kind are timed.
	verdictTrials = 100
	// verdictPause is the time between two trials.
	verdictPause = 600 * time.Millisecond
)

// failing are the ways in which an endpoint of a trial fails.
var failing = []string{"503", "connection refused"}

// verdict measures how soon a failure at one proxy makes another route around it.
func verdict(ctx context.Context, dir string) (*evidence.Record, error) {
	record := evidence.Begin(ctx, "verdict", aboutVerdict, "make bench", 0)
	f := &field{}
	defer func() { f.close(context.WithoutCancel(ctx)) }()
	if err := f.stageVerdicts(ctx, dir); err != nil {
		return nil, err
	}
	proxies, err := f.proxies(ctx, dir, 2)
	if err != nil {
		return nil, err
	}
	table := evidence.Table{Name: "latency", Columns: []string{"an endpoint that fails at A is avoided by B", "trials", "p50 ms", "p95 ms", "p99 ms", "max ms"}}
	for kind, how := range failing {
		for n := range verdictTrials {
			ms, err := verdictTrial(ctx, proxies, fmt.Sprintf("trial-%d-%d", kind, n))
			if err != nil {
				return nil, fmt.Errorf("trial %d, %s: %w", n, how, err)
			}
			record.Add(how, "ms", ms)
		}
		row := evidence.Row{Label: how}
		for _, stat := range []string{"count", "p50", "p95", "p99", "max"} {
			row.Cells = append(row.Cells, evidence.Cell{Series: how, Stat: stat})
		}
		table.Rows = append(table.Rows, row)
	}
	record.Tables = []evidence.Table{table}
	return record, nil
}

// stageVerdicts starts a cluster with an endpoint and a policy for each trial.
func (f *field) stageVerdicts(ctx context.Context, dir string) error {
	faulty, err := f.simulated(ctx, dir, "faulty")
	if err != nil {
		return err
	}
	if err := control(ctx, faulty.address, http.MethodPut, "/_sim/rules", `[{"fault":"503"}]`); err != nil {
		return err
	}
	steady, err := f.simulated(ctx, dir, "steady")
	if err != nil {
		return err
	}
	dead, err := harness.FreePort()
	if err != nil {
		return err
	}
	var text strings.Builder
	fmt.Fprintf(&text, endpointYAML, "steady", "steady", steady.address)
	for kind, address := range []string{faulty.address, harness.LoopbackAddress(dead)} {
		for n := range verdictTrials {
			name := fmt.Sprintf("trial-%d-%d", kind, n)
			fmt.Fprintf(&text, endpointYAML, name, name, address)
			fmt.Fprintf(&text, policyYAML, name, name+"}, {name: steady")
		}
	}
	return f.addObjects(ctx, dir, text.String())
}

// endpointYAML and policyYAML are objects of the measurements: name, provider, address; name, endpoints.
const (
	endpointYAML = `
apiVersion: turnout.dev/v1alpha1
kind: ModelEndpoint
metadata: {name: %s}
spec: {provider: %s, format: OpenAI, url: "http://%s/v1", model: sim-large, capabilities: [chat-completion]}
---
`
	policyYAML = `
apiVersion: turnout.dev/v1alpha1
kind: RoutingPolicy
metadata: {name: %[1]s}
spec: {models: [%[1]s], tiers: [{endpoints: [{name: %[2]s}]}]}
---
`
)

// verdictTrial returns after how many milliseconds the second proxy routes around the model's first endpoint.
func verdictTrial(ctx context.Context, proxies []*member, model string) (float64, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if first, err := firstChoice(ctx, proxies[1].admin, model); err != nil || first != model {
		return 0, errors.Join(err, fmt.Errorf("before the trial the first choice is %q", first))
	}
	begun := time.Now()
	asked := make(chan error, 1)
	go func() {
		for range 3 {
			if err := chat(ctx, proxies[0].address, model); err != nil {
				asked <- err
				return
			}
		}
		asked <- nil
	}()
	err := harness.Poll(ctx, time.Millisecond, func(ctx context.Context) error {
		first, err := firstChoice(ctx, proxies[1].admin, model)
		if err == nil && first == model {
			err = errors.New("the second proxy still tries it first")
		}
		return err
	})
	took := float64(time.Since(begun).Microseconds()) / 1000
	return took, errors.Join(err, <-asked, pause(ctx, verdictPause))
}

// firstChoice is the endpoint that a proxy would try first.
func firstChoice(ctx context.Context, admin, model string) (string, error) {
	text, err := fetch(ctx, http.MethodGet, "http://"+admin+"/debug/explain?model="+model, "")
	if err != nil {
		return "", err
	}
	var answer struct {
		Order []struct {
			Endpoint string `json:"endpoint"`
		} `json:"order"`
	}
	if err := json.Unmarshal(text, &answer); err != nil || len(answer.Order) == 0 {
		return "", errors.Join(err, fmt.Errorf("no order in %s", text))
	}
	return answer.Order[0].Endpoint, nil
}

// chat makes one small request.
func chat(ctx context.Context, address, model string) error {
	_, err := fetch(ctx, http.MethodPost, "http://"+address+chatPath,
		fmt.Sprintf(`{"model":%q,"max_tokens":8,"messages":[{"role":"user","content":"Hello!"}]}`, model))
	return err
}

// control gives an order to a simulated provider.
func control(ctx context.Context, address, method, path, order string) error {
	_, err := fetch(ctx, method, "http://"+address+path, order)
	return err
}

// fetch makes a request whose answer must be in the 200s.
func fetch(ctx context.Context, method, url, body string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader([]byte(body)))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode/100 != 2 {
		err = fmt.Errorf("%s %s: %s: %s", method, url, response.Status, text)
	}
	return text, err
}
