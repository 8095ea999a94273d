// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package source

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/turnout-ai/turnout/api/v1alpha1"
	"github.com/turnout-ai/turnout/internal/modelstate"
	"github.com/turnout-ai/turnout/internal/routing"
)

// judge writes a status as the operator does: a verdict when there is a reason, none when it is empty.
func judge(t testing.TB, e *v1alpha1.ModelEndpoint, epoch int64, reason v1alpha1.DeactivationReason) {
	t.Helper()
	writeState(t, e, func(s *v1alpha1.ModelState) {
		s.Status, s.DeactivationReason, s.Reasons, s.Epoch, s.Configuration = v1alpha1.StatusActive, reason, nil, epoch, "c"
		if reason != "" {
			s.Status = v1alpha1.StatusStandby
			s.Reasons = []v1alpha1.StandbyReason{{Reason: reason, Message: "it fails", Since: new(metav1.NewTime(at(0)))}}
		}
	})
}

// measure writes what the operator writes every few seconds.
func measure(t testing.TB, e *v1alpha1.ModelEndpoint, requests int64) {
	t.Helper()
	writeState(t, e, func(s *v1alpha1.ModelState) {
		s.QuotaUsed, s.TokensUsed, s.FailureCount, s.ErrorRate = &requests, &requests, &requests, "0.25"
		s.Usage = &v1alpha1.UsageStatus{Quota: &v1alpha1.PeriodUsage{Start: metav1.NewTime(at(0)), Requests: requests}}
		s.LastRequest = &metav1.Time{Time: at(time.Duration(requests) * time.Second)}
		s.LatencyHistory = []v1alpha1.LatencySample{{Time: metav1.NewMicroTime(at(0)), Total: requests}}
	})
}

func writeState(t testing.TB, e *v1alpha1.ModelEndpoint, change func(*v1alpha1.ModelState)) {
	t.Helper()
	if e.Status.ModelState == nil {
		e.Status.ModelState = &v1alpha1.ModelState{}
	}
	change(e.Status.ModelState)
	if err := plane.Client.Status().Update(t.Context(), e); err != nil {
		t.Fatal(err)
	}
}

// nextStates waits for the next states, and returns each as its epoch and the reason that is shown.
func (b *bench) nextStates(t testing.TB) map[string]shown {
	t.Helper()
	select {
	case states := <-b.fleet:
		out := map[string]shown{}
		for uid, s := range states {
			out[uid] = shown{s.Epoch, s.Reason()}
		}
		return out
	case <-time.After(soon):
		t.Fatalf("no states were published; state %+v", b.State())
		return nil
	}
}

type shown struct {
	Epoch  int64
	Reason modelstate.Reason
}

func TestStatesFollowTheirTable(t *testing.T) {
	namespace := plane.Namespace(t)
	alpha, beta := create(t, endpoint(namespace, "alpha", "a")), create(t, endpoint(namespace, "beta", "b"))
	create(t, endpoint(namespace, "gamma", "c")) // It has not been judged.
	judge(t, alpha, 4, v1alpha1.DeactivationErrorThreshold)
	judge(t, beta, 1, "")
	b := startSource(t, plane.Config, namespace)

	want := map[string]shown{string(alpha.UID): {4, modelstate.ErrorThreshold}, string(beta.UID): {1, 0}}
	if diff := cmp.Diff(want, b.nextStates(t)); diff != "" {
		t.Errorf("the first states (-want +got):\n%s", diff)
	}
	b.until(t, "alpha=a", "beta=b", "gamma=c")
	generation := b.State().Generation

	judge(t, beta, 2, v1alpha1.DeactivationProviderOutage)
	if diff := cmp.Diff(map[string]shown{string(beta.UID): {2, modelstate.ProviderOutage}}, b.nextStates(t)); diff != "" {
		t.Errorf("after a verdict (-want +got):\n%s", diff)
	}
	if got := b.State().Generation; got != generation {
		t.Errorf("a verdict made table %d of %d, want none", got, generation)
	}

	delta := create(t, endpoint(namespace, "delta", "d"))
	judge(t, delta, 1, "") // PublishStates itself checks that the table comes before.
	if diff := cmp.Diff(map[string]shown{string(delta.UID): {1, 0}}, b.nextStates(t)); diff != "" {
		t.Errorf("a new endpoint (-want +got):\n%s", diff)
	}
}

func TestNumbersAreNoNews(t *testing.T) {
	namespace := plane.Namespace(t)
	alpha := create(t, endpoint(namespace, "alpha", "a"))
	judge(t, alpha, 1, "")
	b := startSource(t, plane.Config, namespace)
	b.until(t, "alpha=a")
	b.nextStates(t)
	before := b.assembled.Load()
	for i := range int64(10) {
		measure(t, alpha, i+1)
	}
	// The same watch brings this change after those: when it is published, they have been seen.
	judge(t, alpha, 2, v1alpha1.DeactivationErrorThreshold)
	if diff := cmp.Diff(map[string]shown{string(alpha.UID): {2, modelstate.ErrorThreshold}}, b.nextStates(t)); diff != "" {
		t.Errorf("the next states must be those of the verdict (-want +got):\n%s", diff)
	}
	if got := b.assembled.Load() - before; got != 0 {
		t.Errorf("eleven status updates made %d tables, want none", got)
	}
}

func TestStatesDoNotWaitForSecretsOrTables(t *testing.T) {
	namespace, silent := plane.Namespace(t), plane.Namespace(t)
	alpha := create(t, endpoint(namespace, "alpha", "a"))
	b := startSource(t, plane.Config, namespace, silent)
	b.until(t, "alpha=a")
	b.sabotage.Store(true) // From now on no table can be built.
	setModel(t, alpha, "a2")
	b.awaitState(t, v1alpha1.ReasonBuildFailed)
	judge(t, alpha, 1, v1alpha1.DeactivationErrorThreshold)
	if diff := cmp.Diff(map[string]shown{string(alpha.UID): {1, modelstate.ErrorThreshold}}, b.nextStates(t)); diff != "" {
		t.Errorf("a verdict while tables cannot be built (-want +got):\n%s", diff)
	}
}

func TestStatesSurviveAnOutage(t *testing.T) {
	namespace := plane.Namespace(t)
	alpha, beta := create(t, endpoint(namespace, "alpha", "a")), create(t, endpoint(namespace, "beta", "b"))
	judge(t, alpha, 1, v1alpha1.DeactivationErrorThreshold)
	judge(t, beta, 1, "")
	b := startSource(t, plane.Config, namespace)
	b.until(t, "alpha=a", "beta=b")
	b.nextStates(t)
	plane.StopAPIServer(t)
	b.awaitState(t, v1alpha1.ReasonSyncLost)
	plane.StartAPIServer(t)
	b.awaitState(t, v1alpha1.ReasonCurrent)
	judge(t, beta, 2, v1alpha1.DeactivationErrorThreshold)
	// What did not change during the outage was kept, and is not said again.
	if diff := cmp.Diff(map[string]shown{string(beta.UID): {2, modelstate.ErrorThreshold}}, b.nextStates(t)); diff != "" {
		t.Errorf("the first states after an outage (-want +got):\n%s", diff)
	}
}

func TestStatusesOfEndpointsThatAreGoneAreDropped(t *testing.T) {
	s := &Source{statuses: map[string]arrival{}, woken: make(chan struct{}, 1)}
	before := time.Now()
	gone := endpoint("ns", "gone", "m")
	gone.UID, gone.Status.ModelState = "u1", &v1alpha1.ModelState{Epoch: 1}
	s.statusChanged(gone)
	s.forgetStatuses(before)
	if len(s.statuses) != 1 {
		t.Error("a status that arrived after the table was begun was dropped")
	}
	s.served = served(routing.Input{})
	s.forgetStatuses(time.Now().Add(time.Second))
	if len(s.statuses) != 0 {
		t.Error("the status of an endpoint that is gone is kept for ever")
	}
}

// BenchmarkVerdictToPublish measures from the API server's acceptance of a verdict to its arrival at the
// publisher.
func BenchmarkVerdictToPublish(b *testing.B) {
	namespace := plane.Namespace(b)
	alpha := create(b, endpoint(namespace, "alpha", "m"))
	judge(b, alpha, 1, "")
	bench := startSource(b, plane.Config, namespace)
	bench.nextStates(b)
	epoch := int64(1)
	for b.Loop() {
		epoch++
		judge(b, alpha, epoch, "")
		bench.nextStates(b)
	}
}
