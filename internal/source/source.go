// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

// Package source turns the objects in Kubernetes into routing tables: it mirrors ModelEndpoints,
// RoutingPolicies and the Secrets they need, gathers changes for a moment, builds a table and publishes it.
//
// What was published last stays in force whatever happens here: an API server that is away, for seconds or
// for days, or objects that cannot be turned into a table change the State, never the table.
package source

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/turnout-ai/turnout/api/v1alpha1"
	"github.com/turnout-ai/turnout/internal/kube"
	"github.com/turnout-ai/turnout/internal/modelstate"
	"github.com/turnout-ai/turnout/internal/routing"
	"github.com/turnout-ai/turnout/internal/secrets"
	"github.com/turnout-ai/turnout/internal/translate"
)

const (
	// maxRetry bounds the pause between two tries to reach the API server, before a jitter of one half: how
	// late a change is seen after the API server has come back. 100 proxies make at most 200 tries a second of
	// it, each refused by the kernel of a host that serves nothing else at the time.
	maxRetry = time.Second
	// secretsPatience is how long a table waits for the first list of Secrets of a namespace, so that a new
	// endpoint does not begin without its credential. A namespace that does not answer must not hold up the
	// others for longer.
	secretsPatience = 2 * time.Second
)

// Publisher takes a new table into service.
type Publisher interface {
	// Publish is called from one goroutine, and must return quickly.
	Publish(table *routing.Table)
	// PublishStates is called from the same goroutine with what the operator has written about endpoints, by
	// UID: of each endpoint once it is in a published table, and then whenever it has changed. It must return
	// quickly.
	PublishStates(states map[string]modelstate.State)
}

// Options configure a Source.
type Options struct {
	// Config says how to reach the API server.
	Config *rest.Config
	// Namespaces are those to serve; empty means all.
	Namespaces []string
	Publisher  Publisher
	// OnState is called with every change of State, from one goroutine. nil calls nobody.
	OnState func(State)
	// OnPublish is called after a table was published, with the time since the first change in it arrived
	// from the API server. nil calls nobody.
	OnPublish func(latency time.Duration)
	// OnStates is called after PublishStates, with the time since the first of the states arrived from the API
	// server. nil calls nobody.
	OnStates func(latency time.Duration)
	// Logger hears of state changes. It is never told a Secret's content.
	Logger *slog.Logger
}

// Source is the way from Kubernetes to the tables of one process. Run starts it.
type Source struct {
	options    Options
	connection *connection
	endpoints  []*kube.Mirror[*v1alpha1.ModelEndpoint]
	policies   []*kube.Mirror[*v1alpha1.RoutingPolicy]
	// streams names the mirrors above in contact.
	streams []string
	secrets *secrets.Watcher
	// assemble makes a table's input of the objects. It is a field so that its failure can be tested.
	assemble func([]*v1alpha1.ModelEndpoint, []*v1alpha1.RoutingPolicy, secrets.Reader) routing.Input
	// woken holds at most one reminder for the loop to look again.
	woken chan struct{}

	mu sync.Mutex
	// changes, statuses, contact and state are guarded by mu. statuses are those that were not passed on yet,
	// by the endpoint's UID.
	changes  coalescer
	statuses map[string]arrival
	contact  contact
	state    State

	// published is the input of the table in force, nil before the first, and served the UIDs of its endpoints.
	// buildErr is why the newest objects are not in it. waiting is since when a table waits for Secrets, zero
	// when none does. told is the state that OnState heard last. The five belong to the loop's goroutine.
	published *routing.Input
	served    map[string]struct{}
	buildErr  error
	waiting   time.Time
	told      State
}

// New prepares a source. It does not talk to the API server yet.
func New(options Options) (*Source, error) {
	conn, err := newConnection(options.Config)
	if err != nil {
		return nil, fmt.Errorf("preparing the connection to the API server: %w", err)
	}
	typed, err := kube.NewClient(conn.config, conn.http)
	if err != nil {
		return nil, fmt.Errorf("preparing a client for %s: %w", v1alpha1.GroupVersion, err)
	}
	clientset, err := kubernetes.NewForConfigAndClient(conn.config, conn.http)
	if err != nil {
		return nil, fmt.Errorf("preparing a client for Secrets: %w", err)
	}
	s := &Source{
		options:    options,
		connection: conn,
		assemble:   translate.Input,
		woken:      make(chan struct{}, 1),
		statuses:   map[string]arrival{},
		state:      starting,
	}
	s.secrets = secrets.NewWatcher(clientset, func(string) { s.changed() })
	namespaces := options.Namespaces
	if len(namespaces) == 0 {
		namespaces = []string{""}
	}
	for _, namespace := range slices.Compact(slices.Sorted(slices.Values(namespaces))) {
		s.endpoints = append(s.endpoints, newMirror(s, typed, namespace, &v1alpha1.ModelEndpoint{}, &v1alpha1.ModelEndpointList{},
			kube.Options[*v1alpha1.ModelEndpoint]{Strip: stripEndpoint, StatusDiffers: statesDiffer, StatusChanged: s.statusChanged}))
		s.policies = append(s.policies, newMirror(s, typed, namespace, &v1alpha1.RoutingPolicy{}, &v1alpha1.RoutingPolicyList{},
			kube.Options[*v1alpha1.RoutingPolicy]{Strip: func(p *v1alpha1.RoutingPolicy) {
				p.ManagedFields, p.Status = nil, v1alpha1.RoutingPolicyStatus{}
			}}))
	}
	return s, nil
}

// newMirror copies the objects of one kind in one namespace. What is the same for both kinds it adds to the
// options.
func newMirror[T client.Object](s *Source, c client.WithWatch, namespace string, example T, list client.ObjectList, options kube.Options[T]) *kube.Mirror[T] {
	stream := fmt.Sprintf("%T %s", example, namespace)
	s.streams = append(s.streams, stream)
	newList := func() client.ObjectList { return list.DeepCopyObject().(client.ObjectList) }
	options.Differs = func(old, updated T) bool { return differs(old, updated) }
	options.Changed = s.changed
	options.Asked = func(err error) { s.asked(stream, err) }
	options.MaxRetry = maxRetry
	return kube.NewMirror(kube.ListWatch(c, namespace, newList), example, options)
}

// differs reports whether a table could differ between two versions of an object: the API server counts a
// generation for every change of spec, and for the request to delete. Statuses, of which the operator writes
// many, do not count: they go their own way (see passStates).
func differs(old, updated client.Object) bool {
	return old.GetGeneration() != updated.GetGeneration() || !maps.Equal(old.GetLabels(), updated.GetLabels())
}

// Run keeps tables coming until ctx ends, then returns nil.
func (s *Source) Run(ctx context.Context) error {
	var running sync.WaitGroup
	defer running.Wait()
	running.Go(func() { _ = s.secrets.Start(ctx) }) // Start has no other error than the end of ctx, which is nil.
	for _, mirror := range s.endpoints {
		running.Go(func() { mirror.Run(ctx) })
	}
	for _, mirror := range s.policies {
		running.Go(func() { mirror.Run(ctx) })
	}
	running.Go(func() { s.listen(ctx) })
	s.loop(ctx)
	return nil
}

// loop is the only goroutine that builds, publishes and judges.
func (s *Source) loop(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.woken:
		case <-timer.C:
		}
		now := time.Now()
		s.passStates() // A verdict does not wait for a table to be built.
		if first, due := s.take(now); due {
			s.rebuild(first, now)
			s.passStates()
		}
		s.judge(now)
		timer.Reset(s.pause(time.Now()))
	}
}

// changed is called by the mirrors and the Secrets when something in them is new.
func (s *Source) changed() {
	s.mu.Lock()
	s.changes.change(time.Now())
	s.mu.Unlock()
	s.wake()
}

func (s *Source) wake() {
	select {
	case s.woken <- struct{}{}:
	default: // A reminder is already there.
	}
}

// take gives the changes that are due, by the time of the first of them.
func (s *Source) take(now time.Time) (first time.Time, due bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, waiting := s.changes.due()
	if !waiting || now.Before(at) {
		return time.Time{}, false
	}
	first = s.changes.first
	s.changes.clear()
	return first, true
}

// idle is how long the loop sleeps when it expects nothing: any length would do.
const idle = time.Hour

// pause is how long nothing will happen unless the loop is woken.
func (s *Source) pause(now time.Time) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	wait := idle
	if at, ok := s.changes.due(); ok {
		wait = min(wait, at.Sub(now))
	}
	if at, ok := s.contact.verdict(now); ok {
		wait = min(wait, at.Sub(now))
	}
	return max(wait, 0)
}

// rebuild makes a table of the newest objects and publishes it, unless it would say what the last one says.
func (s *Source) rebuild(first, now time.Time) {
	endpoints, policies, synced := s.objects()
	if !synced {
		return // The mirror that comes in last calls again.
	}
	needed := secretNamespaces(endpoints)
	s.secrets.Watch(needed)
	if until, wait := s.awaitSecrets(needed, now); wait {
		s.mu.Lock()
		if s.changes.first.IsZero() { // Otherwise a change came meanwhile, and is due by itself.
			s.changes.postpone(until)
		}
		s.changes.first = first
		s.mu.Unlock()
		return
	}
	input, table, err := s.build(endpoints, policies)
	s.buildErr = err
	if err != nil {
		return
	}
	defer s.forgetStatuses(now)
	if s.published != nil && sameInput(*s.published, input) {
		return
	}
	s.options.Publisher.Publish(table)
	s.published, s.served = &input, served(input)
	at := time.Now()
	s.notePublished(at)
	if s.options.OnPublish != nil {
		s.options.OnPublish(at.Sub(first))
	}
}

// objects returns all endpoints and policies, in a fixed order; synced is false while a first list is out.
func (s *Source) objects() (endpoints []*v1alpha1.ModelEndpoint, policies []*v1alpha1.RoutingPolicy, synced bool) {
	endpoints, endpointsSynced := collect(s.endpoints)
	policies, policiesSynced := collect(s.policies)
	return endpoints, policies, endpointsSynced && policiesSynced
}

func collect[T client.Object](mirrors []*kube.Mirror[T]) (objects []T, synced bool) {
	synced = true
	for _, mirror := range mirrors {
		synced = synced && mirror.Synced()
		objects = append(objects, mirror.List()...)
	}
	slices.SortFunc(objects, func(a, b T) int {
		return cmp.Or(cmp.Compare(a.GetNamespace(), b.GetNamespace()), cmp.Compare(a.GetName(), b.GetName()))
	})
	return objects, synced
}

// secretNamespaces are the namespaces with an endpoint that refers to a Secret.
func secretNamespaces(endpoints []*v1alpha1.ModelEndpoint) []string {
	var namespaces []string
	for _, endpoint := range endpoints {
		if translate.NeedsSecrets(endpoint) {
			namespaces = append(namespaces, endpoint.Namespace)
		}
	}
	return slices.Compact(namespaces)
}

// awaitSecrets reports whether a table should wait for Secrets that are on their way, and until when.
func (s *Source) awaitSecrets(needed []string, now time.Time) (until time.Time, wait bool) {
	if !slices.ContainsFunc(needed, func(namespace string) bool { return !s.secrets.Settled(namespace) }) {
		s.waiting = time.Time{}
		return time.Time{}, false
	}
	if s.waiting.IsZero() {
		s.waiting = now
	}
	until = s.waiting.Add(secretsPatience)
	return until, now.Before(until)
}
