// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/turnout-ai/turnout/api/v1alpha1"
	"github.com/turnout-ai/turnout/internal/modelstate"
	"github.com/turnout-ai/turnout/internal/translate"
)

const (
	// MaxSignals bounds the signals in a status.
	MaxSignals = 64
	// MaxSignalBytes bounds them as JSON.
	MaxSignalBytes = 16 << 10
	// statusTries is how often a status is written at once when others write the object at the same time.
	statusTries = 3
)

// speakDue is when the status has to be looked at: at once after the registration, as soon as the pacing allows
// when there is something urgent, and else once in every interval.
func (r *Reporter) speakDue(now time.Time) (at time.Time, ok bool) {
	if r.mine.instance == nil {
		return time.Time{}, false
	}
	if !r.mine.greeted {
		return now, true
	}
	at = r.mine.checked.Add(r.cadence.interval)
	if !r.wanted.IsZero() {
		at = earlier(at, r.wanted)
	}
	return later(at, r.pacing.next(r.cadence)), true
}

// speak writes the status if it says something new. What became urgent before is in it, and what becomes urgent
// while it is written makes it due again: the newest is always out in the end.
func (r *Reporter) speak(ctx context.Context) error {
	now := r.options.Clock.Now()
	wanted := r.wanted
	r.wanted, r.mine.checked = time.Time{}, now
	status := r.status(now)
	if r.mine.said != nil && sameStatus(r.mine.said, &status) {
		return nil
	}
	if err := r.write(ctx, status); err != nil {
		r.wanted = wanted
		if wanted.IsZero() {
			r.wanted = now
		}
		return err
	}
	if r.mine.greeted {
		r.pacing.wrote(now, r.cadence)
	}
	r.mine.greeted = true
	return nil
}

// status is what there is to say now.
func (r *Reporter) status(now time.Time) v1alpha1.ProxyInstanceStatus {
	signals, isolated := r.options.Book.Signals(now)
	status := v1alpha1.ProxyInstanceStatus{
		Version: r.options.Version,
		Address: r.options.Address,
		Pages:   int32(len(r.mine.pages)),
		Signals: worst(signals),
	}
	if r.mine.said != nil {
		status.Conditions = slices.Clone(r.mine.said.Conditions)
	} else {
		status.Conditions = slices.Clone(r.mine.instance.Status.Conditions)
	}
	r.mu.Lock()
	current := r.current
	r.mu.Unlock()
	if current != nil {
		r.condition(&status, now, v1alpha1.ConditionCurrent, current.Status, current.Reason, current.Message)
	}
	if isolated {
		r.condition(&status, now, v1alpha1.ConditionConnected, false, v1alpha1.ReasonNoConnections,
			"endpoints of several providers cannot be connected to and none has answered since: the fault is taken for this proxy's own, and no verdict is sent")
	} else {
		r.condition(&status, now, v1alpha1.ConditionConnected, true, v1alpha1.ReasonConnected, "endpoints can be connected to")
	}
	return status
}

func (r *Reporter) condition(status *v1alpha1.ProxyInstanceStatus, now time.Time, name string, holds bool, reason, message string) {
	value := metav1.ConditionFalse
	if holds {
		value = metav1.ConditionTrue
	}
	meta.SetStatusCondition(&status.Conditions, metav1.Condition{
		Type: name, Status: value, Reason: reason, Message: message,
		ObservedGeneration: r.mine.instance.Generation,
		LastTransitionTime: metav1.NewTime(now.Truncate(time.Second)),
	})
}

// worst are as many signals, from the first on, as a status takes. The rest waits for those to end.
func worst(signals []modelstate.Signal) []v1alpha1.EndpointSignal {
	var out []v1alpha1.EndpointSignal
	known := map[string]bool{}
	size := len("[]")
	for _, s := range signals {
		signal := translate.APISignal(s)
		size += sizeOf(&signal) + len(",")
		if len(out) == MaxSignals || size > MaxSignalBytes {
			break
		}
		if !known[signal.UID] { // The API refuses a status that names one twice, and all that is in it.
			known[signal.UID] = true
			out = append(out, signal)
		}
	}
	return out
}

// sizeOf is the length of a value as JSON.
func sizeOf(value any) int {
	data, err := json.Marshal(value)
	if err != nil {
		return 0 // Values of the API can be marshaled.
	}
	return len(data)
}

// sameStatus reports whether two statuses say the same. The order of signals and the generation that a
// condition was written at say nothing.
func sameStatus(a, b *v1alpha1.ProxyInstanceStatus) bool {
	x, y := canonical(a), canonical(b)
	return equality.Semantic.DeepEqual(x, y)
}

func canonical(s *v1alpha1.ProxyInstanceStatus) *v1alpha1.ProxyInstanceStatus {
	c := *s
	c.Signals = slices.SortedFunc(slices.Values(s.Signals), func(a, b v1alpha1.EndpointSignal) int {
		return strings.Compare(a.UID, b.UID)
	})
	c.Conditions = slices.Clone(s.Conditions)
	for i := range c.Conditions {
		c.Conditions[i].ObservedGeneration = 0
	}
	return &c
}

// write replaces the status. Others write the rest of the object, so that a conflict says nothing but that it
// has to be read again.
func (r *Reporter) write(ctx context.Context, status v1alpha1.ProxyInstanceStatus) error {
	r.mine.said = nil // Until the answer is here nobody knows what the API server has.
	for try := 1; ; try++ {
		instance := r.mine.instance.DeepCopy()
		instance.Status = *status.DeepCopy()
		err := r.options.Client.Status().Update(ctx, instance)
		if err == nil {
			r.mine.instance, r.mine.said = instance, &status
			r.metrics.wrote(kindSignals, sizeOf(&status))
			return nil
		}
		if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
			if err := r.refresh(ctx); err != nil {
				return err
			}
			if try < statusTries {
				continue
			}
		}
		return fmt.Errorf("writing the status of ProxyInstance %s: %w", instance.Name, err)
	}
}
