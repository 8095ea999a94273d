// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"fmt"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/turnout-ai/turnout/api/v1alpha1"
)

// askForAbsence is how often at most the API server is asked which ProxyInstances there are.
const askForAbsence = 10 * time.Second

// absenceTimeout bounds the answer: looks at other namespaces wait for it, too.
const absenceTimeout = 5 * time.Second

// Absence knows which ProxyInstances are gone, by asking the API server itself: a cache may still hold one that
// is gone, and one that does not hold it may be behind.
type Absence struct {
	// Live reads from the API server.
	Live  client.Reader
	Clock clock.PassiveClock

	mu sync.Mutex
	// Everything below is guarded by mu. asked is when there was the last answer and present are the UIDs in it;
	// named are those that somebody had asked about until then, and since those that were asked about after it:
	// they may be younger than the answer.
	asked   time.Time
	present map[string]bool
	named   map[string]bool
	since   map[string]bool
}

// Gone returns a function that reports whether the ProxyInstance of that UID is gone for certain. Of those that
// it was not asked about in time it says no; they are asked about another time.
func (a *Absence) Gone(ctx context.Context, uids []string) (func(uid string) bool, error) {
	if len(uids) == 0 {
		return func(string) bool { return false }, nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.since == nil {
		a.since = map[string]bool{}
	}
	for _, uid := range uids {
		a.since[uid] = true
	}
	if now := a.Clock.Now(); a.present == nil || now.Sub(a.asked) >= askForAbsence {
		ctx, cancel := context.WithTimeout(ctx, absenceTimeout)
		defer cancel()
		var list metav1.PartialObjectMetadataList
		list.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("ProxyInstanceList"))
		if err := a.Live.List(ctx, &list); err != nil {
			return nil, fmt.Errorf("asking which ProxyInstances there are: %w", err)
		}
		a.present, a.asked = map[string]bool{}, now
		a.named, a.since = a.since, nil
		for i := range list.Items {
			a.present[string(list.Items[i].UID)] = true
		}
	}
	present, named := a.present, a.named
	return func(uid string) bool { return named[uid] && !present[uid] }, nil
}
