// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"sync"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/source"
)

type queue = workqueue.TypedRateLimitingInterface[ctrl.Request]

// enqueue asks for a look at a namespace. The holdoff gathers a burst into one look: the queue keeps a
// namespace once, with the earliest of the times asked for.
func enqueue(q queue, namespace string) {
	q.AddAfter(ctrl.Request{NamespacedName: types.NamespacedName{Name: namespace}}, holdoff)
}

// enqueueNamespace asks for a look at the namespace of whatever object changed. Changes of status are among
// them: they cost one look that finds nothing to do, and one that somebody else made is put right.
var enqueueNamespace handler.EventHandler = handler.Funcs{
	CreateFunc: func(_ context.Context, e event.CreateEvent, q queue) { enqueueObject(q, e.Object) },
	UpdateFunc: func(_ context.Context, e event.UpdateEvent, q queue) { enqueueObject(q, e.ObjectNew) },
	DeleteFunc: func(_ context.Context, e event.DeleteEvent, q queue) { enqueueObject(q, e.Object) },
}

func enqueueObject(q queue, object client.Object) { enqueue(q, object.GetNamespace()) }

// secretChanges brings changes of Secrets into the queue. Unlike a channel it neither blocks whoever has news
// nor drops any.
type secretChanges struct {
	mu sync.Mutex
	// queue is guarded by mu; nil until the controller starts, before which no namespace was looked at.
	queue queue
}

var _ source.Source = (*secretChanges)(nil)

// Start implements source.Source.
func (s *secretChanges) Start(_ context.Context, q queue) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queue = q
	return nil
}

func (s *secretChanges) notify(namespace string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.queue != nil {
		enqueue(s.queue, namespace)
	}
}
