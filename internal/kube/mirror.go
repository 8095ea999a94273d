// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// firstRetry is the pause before a failed list or watch is tried again; it doubles up to Options.MaxRetry.
const firstRetry = 100 * time.Millisecond

// Options say what a Mirror keeps and whom it tells. The callbacks run on the mirror's own goroutine, one at
// a time, and must return quickly.
type Options[T client.Object] struct {
	// Strip removes from an object, in place, what nobody will read. nil keeps all.
	Strip func(T)
	// Differs reports whether two versions of one object differ in anything that matters to the reader. It
	// sees both after Strip. An object that comes or goes, or comes back with another UID, always matters.
	Differs func(old, updated T) bool
	// Changed is called after the copy has changed in something that matters, and once after the first list.
	Changed func()
	// StatusDiffers is Differs for what others say of an object, for readers that treat it apart. nil: never.
	StatusDiffers func(old, updated T) bool
	// StatusChanged is called with each object whose status differs, and with each that is new, once the copy
	// has it. The callee must not change it.
	StatusChanged func(T)
	// Asked is called with the outcome of every list and every start of a watch; nil means an answer came.
	Asked func(err error)
	// MaxRetry bounds the pause between two tries, before a jitter of one half. The informers of client-go
	// wait up to a minute, which is how long a change could then go unseen after an API server returned.
	MaxRetry time.Duration
	// WatchTimeout, if not zero, is how long one watch lasts before it is started (and authorized) again.
	// Zero leaves it at five to ten minutes.
	WatchTimeout time.Duration
}

// Mirror is a live copy of the objects of one kind. It keeps what it last knew when the API server goes away,
// for as long as that takes.
type Mirror[T client.Object] struct {
	options   Options[T]
	reflector *cache.Reflector

	mu sync.RWMutex
	// objects and synced are guarded by mu. The objects themselves are never changed once they are in.
	objects map[types.NamespacedName]T
	synced  bool
}

// NewMirror prepares a copy of what source lists, objects of the type of example. Run fills it.
func NewMirror[T client.Object](source *cache.ListWatch, example T, options Options[T]) *Mirror[T] {
	m := &Mirror[T]{options: options, objects: map[types.NamespacedName]T{}}
	silent := logr.Discard()
	m.reflector = cache.NewReflectorWithOptions(m.observed(source), example, store[T]{m}, cache.ReflectorOptions{
		Logger: &silent,
		Name:   fmt.Sprintf("mirror of %T", example),
		Backoff: &wait.Backoff{
			Duration: firstRetry, Factor: 2, Steps: 32, Cap: options.MaxRetry, Jitter: 0.5,
		},
	})
	return m
}

// observed tells Asked what became of each request. The reflector's own error handler would not do: it hears
// nothing of a refused connection.
func (m *Mirror[T]) observed(source *cache.ListWatch) *cache.ListWatch {
	return &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
			list, err := source.ListWithContext(ctx, options)
			m.asked(ctx, err)
			return list, err
		},
		WatchFuncWithContext: func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
			if m.options.WatchTimeout > 0 {
				seconds := int64(m.options.WatchTimeout / time.Second)
				options.TimeoutSeconds = &seconds
			}
			w, err := source.WatchWithContext(ctx, options)
			m.asked(ctx, err)
			return w, err
		},
	}
}

func (m *Mirror[T]) asked(ctx context.Context, err error) {
	if m.options.Asked != nil && ctx.Err() == nil {
		m.options.Asked(err)
	}
}

// Run keeps the copy up to date until ctx ends.
func (m *Mirror[T]) Run(ctx context.Context) {
	// The reflector logs each failed try. Whoever owns the mirror hears of them through Asked and says once
	// what it means.
	m.reflector.RunWithContext(klog.NewContext(ctx, logr.Discard()))
}

// Synced reports whether the first list is in.
func (m *Mirror[T]) Synced() bool {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.synced
}

// Get returns an object. The caller must not change it.
func (m *Mirror[T]) Get(namespace, name string) (T, bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	object, ok := m.objects[types.NamespacedName{Namespace: namespace, Name: name}]
	return object, ok
}

// List returns all objects, in no order. The caller must not change them.
func (m *Mirror[T]) List() []T {
	m.mu.RLock()
	defer m.mu.RUnlock()
	objects := make([]T, 0, len(m.objects))
	for _, object := range m.objects {
		objects = append(objects, object)
	}
	return objects
}

// Forget drops the copy, as if it had never been synced. The next list fills it again.
func (m *Mirror[T]) Forget() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.objects, m.synced = map[types.NamespacedName]T{}, false
}

// news is what a write to a Mirror has to tell its reader.
type news[T client.Object] struct {
	changed bool
	// statuses are the objects whose status is new.
	statuses []T
}

// set stores one object.
func (m *Mirror[T]) set(object T) (n news[T]) {
	m.mu.Lock()
	defer m.mu.Unlock()
	key := client.ObjectKeyFromObject(object)
	m.compare(&n, key, object)
	m.objects[key] = object
	return n
}

// compare adds what is new in an object to n. The caller holds mu.
func (m *Mirror[T]) compare(n *news[T], key types.NamespacedName, updated T) {
	old, known := m.objects[key]
	another := !known || old.GetUID() != updated.GetUID()
	n.changed = n.changed || another || m.options.Differs(old, updated)
	if m.options.StatusDiffers != nil && (another || m.options.StatusDiffers(old, updated)) {
		n.statuses = append(n.statuses, updated)
	}
}

func (m *Mirror[T]) remove(object T) news[T] {
	m.mu.Lock()
	defer m.mu.Unlock()
	key := client.ObjectKeyFromObject(object)
	_, known := m.objects[key]
	delete(m.objects, key)
	return news[T]{changed: known}
}

// replace takes over a whole list. A list that tells nothing new, as after a reconnection, changes nothing.
func (m *Mirror[T]) replace(objects []T) (n news[T]) {
	fresh := make(map[types.NamespacedName]T, len(objects))
	for _, object := range objects {
		fresh[client.ObjectKeyFromObject(object)] = object
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	n.changed = !m.synced || len(fresh) != len(m.objects)
	for key, object := range fresh {
		m.compare(&n, key, object)
	}
	m.objects, m.synced = fresh, true
	return n
}

// store is the side of a Mirror that the reflector writes to.
type store[T client.Object] struct {
	mirror *Mirror[T]
}

var _ cache.ReflectorStore = store[client.Object]{}

func (s store[T]) kept(object any) (T, error) {
	typed, ok := object.(T)
	if !ok {
		return typed, fmt.Errorf("got a %T where a %T was asked for", object, typed)
	}
	if s.mirror.options.Strip != nil {
		s.mirror.options.Strip(typed)
	}
	return typed, nil
}

func (s store[T]) tell(n news[T]) {
	for _, object := range n.statuses {
		s.mirror.options.StatusChanged(object)
	}
	if n.changed {
		s.mirror.options.Changed()
	}
}

// Add implements cache.ReflectorStore.
func (s store[T]) Add(object any) error { return s.Update(object) }

// Update implements cache.ReflectorStore.
func (s store[T]) Update(object any) error {
	typed, err := s.kept(object)
	if err == nil {
		s.tell(s.mirror.set(typed))
	}
	return err
}

// Delete implements cache.ReflectorStore.
func (s store[T]) Delete(object any) error {
	typed, err := s.kept(object)
	if err == nil {
		s.tell(s.mirror.remove(typed))
	}
	return err
}

// Replace implements cache.ReflectorStore.
func (s store[T]) Replace(list []any, _ string) error {
	objects := make([]T, 0, len(list))
	for _, object := range list {
		typed, err := s.kept(object)
		if err != nil {
			return err
		}
		objects = append(objects, typed)
	}
	s.tell(s.mirror.replace(objects))
	return nil
}

// Resync implements cache.ReflectorStore; there is nobody to repeat old news to.
func (s store[T]) Resync() error { return nil }
