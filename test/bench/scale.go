// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"k8s.io/client-go/kubernetes"

	"github.com/turnout-ai/turnout/test/evidence"
	"github.com/turnout-ai/turnout/test/harness"
)

const (
	aboutScale = "What a large fleet costs, and how long it waits for what it is lent. %d proxies are simulated in one process beside the operator, the API server " +
		"and etcd, on all processors of the machine, which is the smallest part of what such a fleet has. Each has the live health, the purses, the reporter and the " +
		"connection to the API server of a real one; HTTP is left out, and one watch on endpoints and policies feeds all of them. %d endpoints in one namespace, each with a " +
		"limit of requests per day and of dollars per month, behind %d policies. One by one: a proxy that was lent nothing yet of an endpoint tries it, while everybody else " +
		"is at rest. In use: each proxy makes %g attempts per second, four of five at 20 endpoints of its own, and every fifth at the next of all endpoints in an order of its own, " +
		"so that it has been lent nothing there yet. A grant takes from the attempt that is refused to the moment when the proxy could make it. Writes and the bytes of their bodies are the API server's " +
		"own counts, those of proxies what they have sent; memory is what is resident, the operator's at the end of the phase."
	// endpointsPerPolicy is how many endpoints share a model name.
	endpointsPerPolicy = 4
	// singles is how often one proxy asks while everybody else is at rest.
	singles = 200
	// singlePause is the time between two of them.
	singlePause = 150 * time.Millisecond
	// useMinutes is how long the fleet is in use, of which the first minute is not measured.
	useMinutes = 4
	// phaseTimeout bounds what is waited for.
	phaseTimeout = 2 * time.Minute
)

// The phases, as series name them.
const (
	atRest   = "at rest"
	oneByOne = "one by one"
	inUse    = "in use"
)

// stage is a cluster with an operator and a crowd.
type stage struct {
	settings settings
	record   *evidence.Record
	field    *field
	api      *kubernetes.Clientset
	operator *contender
	crowd    *crowd
}

// scale measures a large fleet.
func scale(ctx context.Context, dir string, s settings) (*evidence.Record, error) {
	about := fmt.Sprintf(aboutScale, s.proxies, s.endpoints, s.endpoints/endpointsPerPolicy, s.rate)
	st := &stage{settings: s, field: &field{}, record: evidence.Begin(ctx, "scale", about, "make bench", 0)}
	defer func() { st.field.close(context.WithoutCancel(ctx)) }()
	if err := st.build(ctx, dir); err != nil {
		return nil, err
	}
	stop := st.crowd.run(ctx)
	defer stop()
	for _, phase := range []func(context.Context, string) error{st.start, st.rest, st.askOneByOne, st.use} {
		if err := phase(ctx, dir); err != nil {
			return nil, err
		}
	}
	st.record.Tables = st.tables()
	return st.record, nil
}

// build starts a cluster with all endpoints and policies.
func (s *stage) build(ctx context.Context, dir string) error {
	var text strings.Builder
	for n := range s.settings.endpoints {
		fmt.Fprintf(&text, limitedYAML, n, n%20)
	}
	for n := range s.settings.endpoints / endpointsPerPolicy {
		var names []string
		for i := range endpointsPerPolicy {
			names = append(names, fmt.Sprintf("endpoint-%d", n*endpointsPerPolicy+i))
		}
		fmt.Fprintf(&text, policyYAML, fmt.Sprintf("model-%d", n), strings.Join(names, "}, {name: "))
	}
	if err := s.field.addObjects(ctx, dir, text.String()); err != nil {
		return err
	}
	var err error
	if s.api, err = kubernetes.NewForConfig(s.field.cluster.Config()); err != nil {
		return err
	}
	s.crowd, err = newCrowd(s.field.cluster.Config(), s.settings.proxies)
	return err
}

// limitedYAML is an endpoint with limits: number, number of its provider. Nobody ever connects to it.
const limitedYAML = `
apiVersion: turnout.dev/v1alpha1
kind: ModelEndpoint
metadata: {name: endpoint-%d}
spec:
  provider: provider-%d
  format: OpenAI
  url: http://127.0.0.1:1/v1
  model: sim-large
  capabilities: [chat-completion]
  pricing: {inputTokens: "2.5", outputTokens: "10"}
  limits:
    quota: {period: Daily, requests: 1000000}
    budget: {period: Monthly, amount: "10000"}
---
`

// start measures how long the operator takes to write the first status of every endpoint, while the proxies are
// there already.
func (s *stage) start(ctx context.Context, dir string) error {
	fmt.Println("registering", s.settings.proxies, "proxies")
	if err := s.crowd.await(ctx, phaseTimeout, s.crowd.registered); err != nil {
		return err
	}
	if err := s.crowd.await(ctx, phaseTimeout, func() error { return s.crowd.tabled(s.settings.endpoints) }); err != nil {
		return err
	}
	binaries, err := harness.FindBinaries(ctx, nil)
	if err != nil {
		return err
	}
	fmt.Println("starting the operator")
	begun := time.Now()
	s.operator, err = s.field.run(ctx, dir, operatorName, "", binaries.Operator, "--kubeconfig", s.field.cluster.Kubeconfig,
		"--leader-election-namespace", crowdNamespace, "--metrics-bind-address", "0", "--health-probe-bind-address", "0")
	if err != nil {
		return err
	}
	if err := s.crowd.await(ctx, phaseTimeout, func() error { return s.crowd.known(s.settings.endpoints) }); err != nil {
		return fmt.Errorf("%w; the operator's log ends:\n%s", err, s.operator.process.LogTail(10))
	}
	s.record.Add("first status of all endpoints", "s", time.Since(begun).Seconds())
	return pause(ctx, settle)
}

// rest measures what is written while nobody is asked for anything.
func (s *stage) rest(ctx context.Context, _ string) error {
	fmt.Println("counting what is written at rest")
	return s.measure(ctx, atRest, time.Minute)
}

// measure notes what happens in a length of time.
func (s *stage) measure(ctx context.Context, phase string, length time.Duration) error {
	before, err := s.gauge(ctx)
	if err != nil {
		return err
	}
	if err := pause(ctx, length); err != nil {
		return err
	}
	after, err := s.gauge(ctx)
	if err != nil {
		return err
	}
	s.note(phase, before, after)
	return nil
}

// askOneByOne measures how long one proxy waits for its first grant at one endpoint. No pair comes twice.
func (s *stage) askOneByOne(ctx context.Context, _ string) error {
	fmt.Println("asking for grants one by one")
	before, err := s.gauge(ctx)
	if err != nil {
		return err
	}
	for n := range singles {
		w := s.crowd.members[n%len(s.crowd.members)]
		waits := w.try(w.endpoint(n%s.settings.endpoints), time.Now())
		if err := s.crowd.await(ctx, 30*time.Second, w.settled); err != nil {
			return fmt.Errorf("grant %d: %w", n, err)
		}
		if waits {
			s.record.Add("grant, "+oneByOne, "ms", w.takeLatencies()...)
		}
		if err := pause(ctx, singlePause); err != nil {
			return err
		}
	}
	after, err := s.gauge(ctx)
	if err != nil {
		return err
	}
	s.note(oneByOne, before, after)
	return nil
}

// use measures the fleet at work.
func (s *stage) use(ctx context.Context, _ string) error {
	stop := s.crowd.work(ctx, s.settings.rate)
	defer stop()
	for minute := range useMinutes {
		fmt.Println("using the fleet: minute", minute+1)
		if minute == 0 {
			if err := pause(ctx, time.Minute); err != nil {
				return err
			}
			s.crowd.collect(nil)
			continue
		}
		if err := s.measure(ctx, inUse, time.Minute); err != nil {
			return err
		}
		s.crowd.collect(func(name, unit string, samples ...float64) { s.record.Add(name+", "+inUse, unit, samples...) })
	}
	interval, err := s.crowd.interval()
	if err != nil {
		return err
	}
	s.record.Add("report interval, "+inUse, "s", interval)
	return s.sizes(ctx)
}

// sizes notes how large the objects of the busiest kinds have become.
func (s *stage) sizes(ctx context.Context) error {
	for resource, n := range map[string]int{"modelendpoints": s.settings.endpoints, "proxyinstances": s.settings.proxies} {
		text, err := s.api.RESTClient().Get().AbsPath("/apis/turnout.dev/v1alpha1/namespaces/" + crowdNamespace + "/" + resource).DoRaw(ctx)
		if err != nil {
			return fmt.Errorf("reading all %s: %w", resource, err)
		}
		s.record.Add("size of one of "+resource, "KiB", float64(len(text))/1024/float64(n))
	}
	return nil
}
