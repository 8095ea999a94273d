// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/turnout-ai/turnout/api/v1alpha1"
	"github.com/turnout-ai/turnout/test/soak"
)

// quickPolicy lets endpoints come back within seconds.
const quickPolicy = `
apiVersion: turnout.dev/v1alpha1
kind: RoutingPolicy
metadata: {name: chat}
spec:
  models: [chat]
  capability: chat-completion
  tiers:
  - endpoints: [{name: alpha}, {name: beta}, {name: gamma}]
  recovery: {cooldown: 2s, maxCooldown: 4s, successes: 2, ramp: {initialPercent: 20, duration: 2s}}
`

// priced gives an endpoint of the tests a price, so that cost is part of the books.
const priced = `{"spec":{"pricing":{"inputTokens":"2.5","cachedInputTokens":"0.3333","outputTokens":"10.01","request":"0.000001"}}}`

// rounds is how often things go wrong: twice in a test run, at least twenty times in a soak.
func rounds(t *testing.T) int {
	t.Helper()
	if !soak.On() {
		return 2
	}
	return max(20, int(soak.Length(t, 0)/time.Minute))
}

// What status says is what happened. Under load the provider in use is killed and revived, and operator and
// proxies are killed at random: states go and come back, and in the end the books hold what the providers' own
// ledgers hold, attempt by attempt; every attempt that they cannot hold is listed with the reason.
func TestStatusIsTheRuntimeTruth(t *testing.T) {
	f := newFleet(t, 0, "alpha", "beta", "gamma")
	names := []string{"alpha", "beta", "gamma"}
	f.apply(f.endpoints(names...) + quickPolicy)
	for _, name := range names {
		f.kubectl(t.Context(), "patch", "mep", name, "--type=merge", "-p", priced)
	}
	seed := chanceSeed(t)
	chance := rand.New(rand.NewPCG(seed, 0))
	books := f.watchReports()
	crew := newCrew(f, 3)
	f.served("chat")

	load := startTruthLoad(f, 12)
	alpha := &killed{server: f.providers["alpha"]}
	for round := range rounds(t) {
		f.awaitStatus("alpha", v1alpha1.StatusActive)
		load.passes(f, 30)
		alpha.kill()
		f.awaitStandby("alpha")
		switch victim := chance.IntN(4); victim {
		case 3:
			f.operator.Kill()
			load.passes(f, 10)
			f.must(f.operator.Start(t.Context()))
		default:
			crew.replace(victim, chance.IntN(2) == 0)
		}
		load.passes(f, 30)
		f.must(alpha.Start(t.Context()))
		f.awaitTraffic(alpha.server)
		t.Logf("round %d: alpha went and came back; %d requests so far", round+1, load.count.Load())
	}
	f.awaitStatus("alpha", v1alpha1.StatusActive)
	load.stop()
	crew.leave()

	f.await("waiting for the operator to take in what all proxies have counted", func(ctx context.Context) error { return f.instances(ctx, 0) })
	audit := &audit{fleet: f, books: books, crew: crew, provider: alpha}
	for _, name := range names {
		audit.endpoint(name)
	}
	audit.close()
}

// awaitStandby waits until an endpoint rests for its failures, and looks at what people are told.
func (f *fleet) awaitStandby(name string) {
	f.t.Helper()
	e := f.awaitStatus(name, v1alpha1.StatusStandby)
	state := e.Status.ModelState
	switch state.DeactivationReason {
	case v1alpha1.DeactivationErrorThreshold, v1alpha1.DeactivationProviderOutage:
	default:
		f.t.Errorf("%s rests for %s, want ErrorThreshold", name, state.DeactivationReason)
	}
	if state.Message == "" || state.CooldownUntil == nil || state.FailureCount == nil || *state.FailureCount < 1 {
		f.t.Errorf("%s rests without saying why and until when: %+v", name, state)
	}
}

// awaitStatus waits until the operator says that an endpoint has a status, and returns it as it was then.
func (f *fleet) awaitStatus(name string, want v1alpha1.EndpointStatus) *v1alpha1.ModelEndpoint {
	f.t.Helper()
	e := &v1alpha1.ModelEndpoint{}
	f.await(fmt.Sprintf("waiting for %s to be %s", name, want), func(ctx context.Context) error {
		if err := f.client.Get(ctx, client.ObjectKey{Namespace: "default", Name: name}, e); err != nil {
			return err
		}
		state := e.Status.ModelState
		switch {
		case state == nil:
			return errors.New("it has no state yet")
		case state.Status != want:
			return fmt.Errorf("it is %s %s: %s", state.Status, state.DeactivationReason, state.Message)
		}
		return nil
	})
	return e
}

// awaitTraffic waits until a provider that came back is asked again.
func (f *fleet) awaitTraffic(s *server) {
	f.t.Helper()
	before := finished(f.t.Context(), f, s)
	f.await("waiting for traffic to come back to "+s.Name(), func(ctx context.Context) error {
		if now := finished(ctx, f, s); now < before+10 {
			return fmt.Errorf("%d answers since it is back", now-before)
		}
		return nil
	})
}

// killed is a provider that notes when it was killed.
type killed struct {
	*server
	at []time.Time
}

func (k *killed) kill() {
	k.at = append(k.at, time.Now())
	k.Kill()
}

// around reports whether the provider was killed about then: in the moment before a kill an answer may be
// announced that never reached anybody.
func (k *killed) around(at time.Time) bool {
	for _, kill := range k.at {
		if d := kill.Sub(at); d > -200*time.Millisecond && d < 300*time.Millisecond {
			return true
		}
	}
	return false
}
