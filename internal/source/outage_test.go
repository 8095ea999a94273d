// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package source

import (
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/turnout-ai/turnout/api/v1alpha1"
	"github.com/turnout-ai/turnout/internal/routing"
)

// expectKept fails if a table was published that took something away: an API server that comes and goes must
// not be seen by a caller.
func (b *bench) expectKept(t *testing.T, generation uint64) {
	t.Helper()
	if got := b.State().Generation; got != generation {
		t.Errorf("generation %d while the API server is away, want %d: nothing new can be known", got, generation)
	}
}

func TestAnAPIServerThatIsAwayAndComesBack(t *testing.T) {
	namespace := plane.Namespace(t)
	setSecret(t, namespace, "key", "one")
	alpha := create(t, withAuth(endpoint(namespace, "alpha", "a"), "key"))
	b := startSource(t, proxyUser(t, namespace), namespace)
	b.until(t, "alpha=a")
	good := b.awaitState(t, v1alpha1.ReasonCurrent)

	plane.StopAPIServer(t)
	lost := b.awaitState(t, v1alpha1.ReasonSyncLost)
	if lost.Current || !lost.Synced {
		t.Errorf("state %+v, want synced and not current", lost)
	}
	b.expectKept(t, good.Generation)

	plane.StartAPIServer(t)
	back := time.Now()
	b.awaitState(t, v1alpha1.ReasonCurrent)
	t.Logf("current again %v after the API server was ready", time.Since(back).Round(time.Millisecond))
	setModel(t, alpha, "a2")
	t.Logf("the first change was accepted %v after the API server was ready", time.Since(back).Round(time.Millisecond))
	table := b.next(t)
	t.Logf("the first change was live %v after the API server was ready", time.Since(back).Round(time.Millisecond))
	if got := models(table); !slices.Equal(got, []string{"alpha=a2"}) {
		t.Errorf("the first table after the outage has %v, want the change and nothing else", got)
	}
	got := table.Endpoint(routing.Key{Namespace: namespace, Name: "alpha"})
	if got.Unresolved.Reason != "" || got.Credential.Value.Reveal() != "Bearer one" {
		t.Errorf("refusal %+v after the restart, want the credential kept", got.Unresolved)
	}
	setSecret(t, namespace, "key", "two")
	got = b.next(t).Endpoint(routing.Key{Namespace: namespace, Name: "alpha"})
	if got.Credential.Value.Reveal() != "Bearer two" {
		t.Error("a Secret changed after the outage is not seen")
	}
}

func TestAnAPIServerThatFallsSilent(t *testing.T) {
	namespace := plane.Namespace(t)
	alpha := create(t, endpoint(namespace, "alpha", "a"))
	b := startSource(t, plane.Config, namespace)
	b.until(t, "alpha=a")
	good := b.awaitState(t, v1alpha1.ReasonCurrent)

	thaw := plane.FreezeAPIServer(t)
	frozen := time.Now()
	b.awaitState(t, v1alpha1.ReasonSyncLost)
	t.Logf("noticed %v after the API server fell silent", time.Since(frozen).Round(time.Millisecond))
	b.expectKept(t, good.Generation)
	thaw()
	back := time.Now()
	b.awaitState(t, v1alpha1.ReasonCurrent)
	t.Logf("current again %v after it woke", time.Since(back).Round(time.Millisecond))
	setModel(t, alpha, "a2")
	b.until(t, "alpha=a2")
}

func TestASourceThatStartsBeforeTheAPIServer(t *testing.T) {
	namespace := plane.Namespace(t)
	create(t, endpoint(namespace, "alpha", "a"))
	plane.StopAPIServer(t)
	b := startSource(t, plane.Config, namespace)
	lost := b.awaitState(t, v1alpha1.ReasonSyncLost)
	if lost.Synced || lost.Current {
		t.Errorf("state %+v, want neither synced nor current", lost)
	}
	plane.StartAPIServer(t)
	b.until(t, "alpha=a")
	if state := b.awaitState(t, v1alpha1.ReasonCurrent); !state.Synced {
		t.Errorf("state %+v, want synced", state)
	}
}

// BenchmarkSpecChangeToPublish measures from the API server's acceptance of a change to the publication of its
// table.
func BenchmarkSpecChangeToPublish(b *testing.B) {
	namespace := plane.Namespace(b)
	alpha := create(b, endpoint(namespace, "alpha", "m"))
	bench := startSource(b, plane.Config, namespace)
	bench.until(b, "alpha=m")
	var latencies []time.Duration
	for b.Loop() {
		model := "m" + strconv.Itoa(len(latencies))
		setModel(b, alpha, model)
		accepted := time.Now()
		bench.until(b, "alpha="+model)
		latencies = append(latencies, time.Since(accepted))
	}
	slices.Sort(latencies)
	b.ReportMetric(float64(latencies[len(latencies)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(latencies[len(latencies)*99/100].Microseconds())/1000, "p99-ms")
}
