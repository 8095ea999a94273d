// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/turnout-ai/turnout/test/evidence"
	"github.com/turnout-ai/turnout/test/harness"
)

const (
	aboutPropagation = "How long a change of spec takes to be in effect. Two proxies and the operator run beside the API server and etcd on all processors of the " +
		"machine. Each trial adds a model name to a RoutingPolicy and asks both proxies for it until they know it; the time begins when the API server " +
		"has accepted the change, and ends when the later of the two proxies knows the name."
	// propagationTrials is how many changes are timed.
	propagationTrials = 200
	// askEvery is the pause between two questions of a trial, and so the resolution of its time.
	askEvery = 200 * time.Microsecond
)

// propagation measures how soon a change is live in all proxies.
func propagation(ctx context.Context, dir string) (*evidence.Record, error) {
	record := evidence.Begin(ctx, "propagation", aboutPropagation, "make bench", 0)
	f := &field{}
	defer func() { f.close(context.WithoutCancel(ctx)) }()
	proxies, err := f.fleet(ctx, dir)
	if err != nil {
		return nil, err
	}
	cluster, err := f.cluster.Client()
	if err != nil {
		return nil, err
	}
	for n := range propagationTrials {
		took, err := trial(ctx, cluster, proxies, fmt.Sprintf("probe-%d", n))
		if err != nil {
			return nil, fmt.Errorf("trial %d: %w", n, err)
		}
		record.Add("last proxy", "ms", slices.Max(took))
		for _, ms := range took {
			record.Add("each proxy", "ms", ms)
		}
	}
	cell := func(series, stat string) evidence.Cell { return evidence.Cell{Series: series, Stat: stat} }
	record.Tables = []evidence.Table{{
		Name: "latency", Columns: []string{"a change of spec is live", "trials", "p50 ms", "p95 ms", "p99 ms", "max ms"},
	}}
	for label, series := range map[string]string{"in all proxies": "last proxy", "in one proxy": "each proxy"} {
		record.Tables[0].Rows = append(record.Tables[0].Rows, evidence.Row{Label: label, Cells: []evidence.Cell{
			cell(series, "count"), cell(series, "p50"), cell(series, "p95"), cell(series, "p99"), cell(series, "max"),
		}})
	}
	slices.SortFunc(record.Tables[0].Rows, func(a, b evidence.Row) int { return len(b.Label) - len(a.Label) })
	return record, nil
}

// fleet starts a cluster, the operator and two proxies.
func (f *field) fleet(ctx context.Context, dir string) ([]*member, error) {
	provider, err := harness.FreePort()
	if err != nil {
		return nil, err
	}
	f.provider = &contender{name: providerName, address: harness.LoopbackAddress(provider)} // nobody is asked for an answer
	if _, err := f.addCluster(ctx, filepath.Join(dir, "fleet")); err != nil {
		return nil, err
	}
	return f.proxies(ctx, dir, 2)
}

// run starts one of our programs on all processors; one with an address is waited for.
func (f *field) run(ctx context.Context, dir, name, address, path string, args ...string) (*contender, error) {
	var ready func(context.Context) error
	if address != "" {
		ready = harness.HTTPReady("http://"+address+"/readyz", nil)
	}
	process, err := harness.StartProcess(ctx, harness.Command{
		Name: name, Path: path, Args: args, LogFile: filepath.Join(dir, name+".log"), Ready: ready,
	})
	if err != nil {
		return nil, err
	}
	c := &contender{name: name, address: address, process: process}
	f.contenders = append(f.contenders, c)
	return c, nil
}

// trial adds a name to the policy and returns, for each proxy, after how many milliseconds it knows it.
func trial(ctx context.Context, cluster client.Client, proxies []*member, name string) ([]float64, error) {
	policy := &unstructured.Unstructured{}
	policy.SetAPIVersion("turnout.dev/v1alpha1")
	policy.SetKind("RoutingPolicy")
	policy.SetNamespace("default")
	policy.SetName("bench")
	patch := fmt.Appendf(nil, `{"spec":{"models":["chat",%q]}}`, name)
	if err := cluster.Patch(ctx, policy, client.RawPatch("application/merge-patch+json", patch)); err != nil {
		return nil, err
	}
	accepted := time.Now()
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	took := make([]float64, len(proxies))
	errs := make([]error, len(proxies))
	var wg sync.WaitGroup
	for i, p := range proxies {
		wg.Go(func() {
			errs[i] = harness.Poll(ctx, askEvery, func(ctx context.Context) error { return knows(ctx, p.address, name) })
			took[i] = float64(time.Since(accepted).Microseconds()) / 1000
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return took, nil
}

func knows(ctx context.Context, address, name string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/v1/models/"+name, http.NoBody)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil { // read whole, the connection is used again
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s does not know %s", address, name)
	}
	return nil
}
