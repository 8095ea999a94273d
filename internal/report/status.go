// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/turnout-ai/turnout/api/v1alpha1"
	"github.com/turnout-ai/turnout/internal/kube"
)

// statusTries is how often something is written at once when others write the object at the same time.
const statusTries = 3

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
	r.catchUp()
	now := r.options.Clock.Now()
	wanted := r.wanted
	r.wanted, r.mine.checked = time.Time{}, now
	status := r.status(now)
	if r.mine.said != nil && sameStatus(r.mine.said, &status) {
		if !wanted.IsZero() {
			r.pacing.looked(now)
		}
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
	asks := r.options.Book.Asks(now, r.cadence.interval)
	if r.leaving {
		signals, asks = nil, withoutDemand(asks)
	}
	said := choose(signals, asks)
	r.more = said.more
	status := v1alpha1.ProxyInstanceStatus{
		Version: r.options.Version,
		Address: r.options.Address,
		Pages:   int32(len(r.mine.pages)),
		Signals: said.signals,
		Asks:    said.asks,
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

// sameStatus reports whether two statuses say the same. The order of signals and asks, the generation that a
// condition was written at, and what was spent since a wish was made say nothing: most wishes wait for the endpoint's
// next numbers.
func sameStatus(a, b *v1alpha1.ProxyInstanceStatus) bool {
	x, y := canonical(a), canonical(b)
	return equality.Semantic.DeepEqual(x, y)
}

func canonical(s *v1alpha1.ProxyInstanceStatus) *v1alpha1.ProxyInstanceStatus {
	c := *s
	c.Signals = slices.SortedFunc(slices.Values(s.Signals), func(a, b v1alpha1.EndpointSignal) int {
		return strings.Compare(a.UID, b.UID)
	})
	c.Asks = slices.SortedFunc(slices.Values(s.Asks), func(a, b v1alpha1.EndpointAsk) int {
		return strings.Compare(a.UID, b.UID)
	})
	for i := range c.Asks {
		c.Asks[i].Limits = slices.SortedFunc(slices.Values(c.Asks[i].Limits), func(a, b v1alpha1.LimitAsk) int {
			return cmp.Or(cmp.Compare(a.Limit, b.Limit), a.Start.Compare(b.Start.Time))
		})
		for k := range c.Asks[i].Limits {
			c.Asks[i].Limits[k].Spent = 0
		}
	}
	c.Conditions = slices.Clone(s.Conditions)
	for i := range c.Conditions {
		c.Conditions[i].ObservedGeneration = 0
	}
	return &c
}

// write writes the status. It is bound to the instance and to no version of it: nobody else writes what is in it, and
// bound to a version it would fail whenever the operator has written its half. That somebody has said meanwhile that
// this process has ended stays, and is found in the answer.
func (r *Reporter) write(ctx context.Context, status v1alpha1.ProxyInstanceStatus) error {
	r.mine.said = nil // Until the answer is here nobody knows what the API server has.
	for try := 1; ; try++ {
		mine := r.mine.instance
		instance := &v1alpha1.ProxyInstance{ObjectMeta: metav1.ObjectMeta{Namespace: mine.Namespace, Name: mine.Name}}
		patch := statusPatch(mine, &status)
		err := r.during(func() error { return r.options.Client.Status().Patch(ctx, instance, patch) })
		switch {
		case err == nil:
			r.mine.said = &status
			r.metrics.wrote(kindSignals, sizeOf(patch))
			if !status.Ended && !alive(instance, mine) {
				return fmt.Errorf("%w: its ProxyInstance %s is about to go", errDead, mine.Name)
			}
			r.advance(instance)
			return nil
		case apierrors.IsNotFound(err), kube.TestFailed(err):
			if err := r.refresh(ctx); err != nil {
				return err
			}
			if try < statusTries {
				ended, final := status.Ended, status.Final
				status = r.status(r.options.Clock.Now()) // Grants may have come with it.
				status.Ended, status.Final = ended, final
				continue
			}
		}
		return fmt.Errorf("writing the status of ProxyInstance %s: %w", mine.Name, err)
	}
}

// statusPatch is what brings the status of an instance to what this process says. What it does not say is taken
// away, but for its end, which others may have said of it. The last word is bound to what the operator has said last:
// what it does not give back of that counts as used.
func statusPatch(instance *v1alpha1.ProxyInstance, status *v1alpha1.ProxyInstanceStatus) kube.JSONPatch {
	patch := ofInstance(instance)
	if status.Ended {
		patch.Test("/metadata/generation", instance.Generation)
	}
	if fresh(instance) {
		patch.Test("/status", nil)
		patch.Set("/status", status)
		return patch
	}
	field := func(name string, said bool, value any) {
		if said {
			patch.Set("/status/"+name, value)
		} else {
			patch.Clear("/status/" + name)
		}
	}
	field("conditions", len(status.Conditions) > 0, status.Conditions)
	field("version", status.Version != "", status.Version)
	field("address", status.Address != "", status.Address)
	field("pages", status.Pages > 0, status.Pages)
	field("signals", len(status.Signals) > 0, status.Signals)
	field("asks", len(status.Asks) > 0, status.Asks)
	if status.Ended {
		patch.Set("/status/ended", true)
		field("final", status.Final, true)
	}
	return patch
}

// ofInstance begins a patch of an instance, and of no other of its name.
func ofInstance(instance *v1alpha1.ProxyInstance) (patch kube.JSONPatch) {
	patch.Test("/metadata/uid", instance.UID)
	return patch
}

// fresh reports whether an instance has no status yet.
func fresh(instance *v1alpha1.ProxyInstance) bool {
	return equality.Semantic.DeepEqual(instance.Status, v1alpha1.ProxyInstanceStatus{})
}
