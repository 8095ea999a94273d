// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/turnout-ai/turnout/api/v1alpha1"
)

// writeTimeout bounds one write.
const writeTimeout = 10 * time.Second

// fieldOwner is the operator's name in managedFields.
const fieldOwner = client.FieldOwner("turnout-operator")

// StatusWriter is the only place that writes statuses. It writes on change only, and tells what changed in an
// Event once the API server has taken it.
type StatusWriter struct {
	// Client writes; nothing is read through it.
	Client   client.StatusClient
	Recorder events.EventRecorder
	Metrics  *Metrics
}

// batch is the writes of one reconciliation. After a failure that is not about a single object (no API
// server, no time left) it writes nothing more.
type batch struct {
	writer *StatusWriter

	mu sync.Mutex
	// Everything below is guarded by mu.
	conflict bool
	broken   bool
	errs     []error
}

func (w *StatusWriter) begin() *batch { return &batch{writer: w} }

// end reports whether an object had changed since it was read, and everything else that failed.
func (b *batch) end() (conflict bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.conflict, errors.Join(b.errs...)
}

// endpoint writes the status of an endpoint. It returns the endpoint as the API server has it then, and about how
// many bytes that is; nil when it was not taken.
func (b *batch) endpoint(ctx context.Context, endpoint *v1alpha1.ModelEndpoint, status v1alpha1.ModelEndpointStatus) (stored *v1alpha1.ModelEndpoint, size int) {
	updated := endpoint.DeepCopy()
	status.DeepCopyInto(&updated.Status) // The answer is read into it, and parts of status are the cache's.
	if !b.patch(ctx, "ModelEndpoint", endpoint, updated) {
		return nil, 0
	}
	b.tell(updated, endpointNews(endpoint.Status, status))
	text, err := json.Marshal(updated)
	if err != nil {
		return updated, 1 // It has just been written; how long it is matters to the pace alone.
	}
	return updated, len(text)
}

// policy writes the status of a policy. why says how an endpoint of that name stands.
func (b *batch) policy(ctx context.Context, policy *v1alpha1.RoutingPolicy, status v1alpha1.RoutingPolicyStatus, why func(string) string) {
	if equality.Semantic.DeepEqual(policy.Status, status) {
		return
	}
	updated := policy.DeepCopy()
	updated.Status = status
	if b.patch(ctx, "RoutingPolicy", policy, updated) {
		b.tell(updated, policyNews(policy.Status, status, why))
	}
}

// patch writes the difference between stored and updated and reports whether it was taken. The lock on the
// resourceVersion is what keeps a status from speaking of another spec than the one it was made of, and an
// operator that has lost its lease without noticing from undoing the work of the next; and it is what makes
// taking numbers into the books happen once. A patch rather than an update keeps fields of a newer API that this
// program does not know.
func (b *batch) patch(ctx context.Context, kind string, stored, updated client.Object) bool {
	if b.isBroken() {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	lock := client.MergeFromWithOptions(stored, client.MergeFromWithOptimisticLock{})
	err := b.writer.Client.Status().Patch(ctx, updated, lock, fieldOwner)
	if err == nil {
		b.writer.Metrics.statusWrites.WithLabelValues(kind).Inc()
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case apierrors.IsNotFound(err): // Deleted meanwhile.
	case apierrors.IsConflict(err):
		b.conflict = true
	default:
		b.broken = apierrors.ReasonForError(err) == "" // No answer of an API server.
		b.errs = append(b.errs, fmt.Errorf("status of %s %s: %w", kind, stored.GetName(), err))
	}
	return false
}

func (b *batch) isBroken() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.broken
}

func (b *batch) tell(object client.Object, news []news) {
	for _, n := range news {
		b.writer.Recorder.Eventf(object, nil, n.kind, n.reason, n.action, "%s", clip(n.note, maxNote))
	}
}
