// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/source"
)

const (
	// holdoff is how long a change of a spec, a status or a Secret waits for company before its namespace is
	// looked at.
	holdoff = 20 * time.Millisecond
	// urgentHoldoff is that of signals and of what the operator found out for itself: somebody waits for the
	// verdict.
	urgentHoldoff = 2 * time.Millisecond
	// grantHoldoff is how long what a proxy was lent waits for what others lend it.
	grantHoldoff = 3 * time.Millisecond
	// lazyHoldoff is that of numbers, which are written seldom anyway.
	lazyHoldoff = time.Second
	// strayHoldoff is how long a report may be known before its ProxyInstance is.
	strayHoldoff = 30 * time.Second
)

type queue = workqueue.TypedRateLimitingInterface[ctrl.Request]

// enqueue asks for a look at a namespace. The holdoff gathers a burst into one look: the queue keeps a
// namespace once, with the earliest of the times asked for.
func enqueue(q queue, namespace string) { q.AddAfter(lookAt(namespace), holdoff) }

func lookAt(namespace string) ctrl.Request {
	return ctrl.Request{NamespacedName: types.NamespacedName{Name: namespace}}
}

// enqueueNamespace asks for a look at the namespace of whatever object changed. Changes of status are among
// them: they cost one look that finds nothing to do, and one that somebody else made is put right.
var enqueueNamespace handler.EventHandler = handler.Funcs{
	CreateFunc: func(_ context.Context, e event.CreateEvent, q queue) { enqueueObject(q, e.Object) },
	UpdateFunc: func(_ context.Context, e event.UpdateEvent, q queue) { enqueueObject(q, e.ObjectNew) },
	DeleteFunc: func(_ context.Context, e event.DeleteEvent, q queue) { enqueueObject(q, e.Object) },
}

func enqueueObject(q queue, object client.Object) { enqueue(q, object.GetNamespace()) }

// changes bring news that are no events of watched objects into a queue. Unlike a channel they neither block
// whoever has news nor drop any.
type changes struct {
	mu sync.Mutex
	// queue is guarded by mu; nil until the controller starts. What is asked for before is forgotten.
	queue queue
	// missed asks for what was asked for before, where that matters; nil where it does not.
	missed func()
}

var _ source.Source = (*changes)(nil)

// Start implements source.Source.
func (c *changes) Start(_ context.Context, q queue) error {
	c.mu.Lock()
	c.queue = q
	c.mu.Unlock()
	if c.missed != nil {
		c.missed()
	}
	return nil
}

func (c *changes) ask(request ctrl.Request, after time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.queue != nil {
		c.queue.AddAfter(request, after)
	}
}

// namespaceChanges are those that ask for looks at namespaces, of those that this operator looks after.
type namespaceChanges struct {
	changes
	// mine are the namespaces to look after; all when it is empty.
	mine map[string]bool
}

// ofSecrets tells of a namespace in which Secrets have changed.
func (c *namespaceChanges) ofSecrets(namespace string) { c.notify(namespace, holdoff) }

// ofEndpoints tells of a namespace of whose endpoints somebody has news.
func (c *namespaceChanges) ofEndpoints(namespace string, urgent bool) {
	if urgent {
		c.notify(namespace, urgentHoldoff)
	} else {
		c.notify(namespace, lazyHoldoff)
	}
}

func (c *namespaceChanges) notify(namespace string, after time.Duration) {
	if len(c.mine) == 0 || c.mine[namespace] {
		c.ask(lookAt(namespace), after)
	}
}
