// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// newest remembers what this operator has written and its cache does not show yet. A look right after a write
// would otherwise decide by what was before it, and find that it may not write. The zero value remembers nothing.
type newest[T client.Object] struct {
	mu sync.Mutex
	// own is guarded by mu.
	own map[types.NamespacedName]ownWrite[T]
}

// ownWrite is an object as the API server has returned it, and the versions that it came after.
type ownWrite[T client.Object] struct {
	object T
	before []string
}

// wrote remembers an object that was made from that version. The object is not changed any more.
func (n *newest[T]) wrote(from string, object T) {
	object.SetManagedFields(nil)
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.own == nil {
		n.own = map[types.NamespacedName]ownWrite[T]{}
	}
	key := client.ObjectKeyFromObject(object)
	before := []string{from}
	if last, known := n.own[key]; known && last.object.GetResourceVersion() == from && last.object.GetUID() == object.GetUID() {
		before = append(slices.Clip(last.before), from)
	}
	n.own[key] = ownWrite[T]{object, before}
}

// of is the newest that is known of an object: what the cache holds, unless that is older than what was written.
func (n *newest[T]) of(cached T) T {
	n.mu.Lock()
	defer n.mu.Unlock()
	key := client.ObjectKeyFromObject(cached)
	own, known := n.own[key]
	switch {
	case !known:
		return cached
	case own.object.GetUID() == cached.GetUID() && slices.Contains(own.before, cached.GetResourceVersion()):
		return own.object
	default:
		delete(n.own, key)
		return cached
	}
}

// all is of for every object of a namespace. What is not among them is forgotten.
func (n *newest[T]) all(namespace string, cached []T) []T {
	n.mu.Lock()
	gone := map[types.NamespacedName]bool{} // few are, as a cache is seldom behind
	for key := range n.own {
		gone[key] = key.Namespace == namespace
	}
	n.mu.Unlock()
	for i, object := range cached {
		cached[i] = n.of(object)
		if len(gone) > 0 {
			delete(gone, client.ObjectKeyFromObject(object))
		}
	}
	for key, is := range gone {
		if is {
			n.forget(key)
		}
	}
	return cached
}

// forget forgets an object that is gone.
func (n *newest[T]) forget(key types.NamespacedName) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.own, key)
}
