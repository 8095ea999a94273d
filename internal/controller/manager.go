// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/turnout-ai/turnout/api/v1alpha1"
	"github.com/turnout-ai/turnout/internal/secrets"
)

const (
	// leaderElectionID names the Lease that the leading operator holds.
	leaderElectionID = "turnout-operator"
	// The lease outlives an API server that is replaced (about ten seconds); an operator that ends in order
	// gives it back at once. The others are those of Kubernetes' own controllers.
	leaseDuration = 20 * time.Second
	renewDeadline = 15 * time.Second
	retryPeriod   = 2 * time.Second

	// concurrency is how many namespaces, and how many ProxyInstances, are looked at at once.
	concurrency = 4
	// reconcileTimeout bounds one look at a namespace, with all its writes. What remains is written next time.
	reconcileTimeout = 2 * time.Minute
	// shutdownTimeout bounds the end of what is under way when the operator is asked to stop.
	shutdownTimeout = 10 * time.Second
	// firstTryAgain and lastTryAgain bound the pauses between two tries of what fails.
	firstTryAgain = 5 * time.Millisecond
	lastTryAgain  = 15 * time.Second
	// readyTimeout bounds the answer to a readiness probe.
	readyTimeout = time.Second
)

// eventSource is the operator's name in Events.
const eventSource = "turnout.dev/operator"

// Options configure an operator.
type Options struct {
	// LeaderElection has several operators elect one that works; the others wait.
	LeaderElection bool
	// LeaderElectionNamespace is where the leader's Lease lives.
	LeaderElectionNamespace string
	// MetricsAddress and ProbeAddress are host:port to serve on; "0" serves nothing.
	MetricsAddress, ProbeAddress string
	// Namespaces are those to look after; empty means all.
	Namespaces []string
	Metrics    *Metrics
}

// NewManager assembles an operator that talks to the API server of cfg. Its Start runs until ctx ends or the
// leader's Lease is lost; the program must end then, because the Lease is given back.
func NewManager(ctx context.Context, cfg *rest.Config, options Options) (ctrl.Manager, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{v1alpha1.AddToScheme, coordinationv1.AddToScheme, corev1.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, fmt.Errorf("registering kinds: %w", err)
		}
	}
	mgr, err := ctrl.NewManager(cfg, managerOptions(scheme, options))
	if err != nil {
		return nil, fmt.Errorf("preparing the operator: %w", err)
	}
	parts := newParts(options)
	if err := watchKinds(ctx, mgr); err != nil {
		return nil, err
	}
	if err := keepBooks(ctx, mgr, cfg, parts); err != nil {
		return nil, fmt.Errorf("preparing the books: %w", err)
	}
	if err := addNamespaceController(mgr, parts, options.Metrics); err != nil {
		return nil, fmt.Errorf("preparing the namespace controller: %w", err)
	}
	if err := addProxyInstanceController(mgr, parts); err != nil {
		return nil, fmt.Errorf("preparing the ProxyInstance controller: %w", err)
	}
	return mgr, errors.Join(
		mgr.AddHealthzCheck("ping", healthz.Ping),
		mgr.AddReadyzCheck("caches", cachesSynced(mgr.GetCache(), parts.books)),
	)
}

// parts are what the controllers share.
type parts struct {
	namespaces []string
	books      *Books
	fleet      *Fleet
	prober     *Prober
	pacer      *Pacer
	leases     *Leases
	looks      *namespaceChanges
	strays     *changes
	grants     *changes
}

// newParts makes them and connects them: whoever has news of an endpoint asks for a look at its namespace.
func newParts(options Options) *parts {
	p := &parts{namespaces: options.Namespaces, books: NewBooks(), pacer: NewPacer(), leases: NewLeases(), strays: &changes{}, grants: &changes{}}
	p.looks = &namespaceChanges{mine: map[string]bool{}}
	for _, namespace := range options.Namespaces {
		p.looks.mine[namespace] = true
	}
	p.fleet = NewFleet(p.books)
	p.prober = NewProber(clock.RealClock{}, p.looks.ofEndpoints)
	p.books.Changed = p.looks.ofEndpoints
	p.books.Stray = func(instance types.NamespacedName) {
		p.strays.ask(ctrl.Request{NamespacedName: instance}, strayHoldoff)
	}
	// Books are kept long before an operator leads, and a stray report may never change again.
	p.strays.missed = func() {
		for _, instance := range p.books.Unowned() {
			p.books.Stray(instance)
		}
	}
	p.leases.Changed = func(uid string) {
		if instance, known := p.books.Instance(uid); known {
			p.grants.ask(ctrl.Request{NamespacedName: instance}, grantHoldoff)
		}
	}
	now := clock.RealClock{}.Now
	options.Metrics.setPaces(func() time.Duration { return p.pacer.Interval(now()) }, p.fleet.Interval)
	return p
}

// keepBooks has the books fed from the start, not only once this operator leads.
func keepBooks(ctx context.Context, mgr ctrl.Manager, cfg *rest.Config, p *parts) error {
	instances, err := mgr.GetCache().GetInformer(ctx, &v1alpha1.ProxyInstance{}, cache.BlockUntilSynced(false))
	if err != nil {
		return err
	}
	handled, err := instances.AddEventHandler(instanceHandler(p.books))
	if err != nil {
		return err
	}
	p.books.instancesRead = handled.HasSynced
	watcher, err := client.NewWithWatch(cfg, client.Options{HTTPClient: mgr.GetHTTPClient(), Scheme: mgr.GetScheme(), Mapper: mgr.GetRESTMapper()})
	if err != nil {
		return err
	}
	return errors.Join(mgr.Add(&reportWatch{books: p.books, client: watcher}), mgr.Add(p.prober))
}

func managerOptions(scheme *runtime.Scheme, options Options) ctrl.Options {
	var namespaces map[string]cache.Config
	for _, namespace := range options.Namespaces {
		if namespaces == nil {
			namespaces = map[string]cache.Config{}
		}
		namespaces[namespace] = cache.Config{}
	}
	return ctrl.Options{
		Scheme: scheme,
		Cache: cache.Options{
			DefaultNamespaces: namespaces,
			DefaultTransform:  cache.TransformStripManagedFields(),
			// Proxies live in a namespace of their own and serve those of others.
			ByObject: map[client.Object]cache.ByObject{
				&v1alpha1.ProxyInstance{}: {Namespaces: map[string]cache.Config{cache.AllNamespaces: {}}},
			},
		},
		Metrics:                       metricsserver.Options{BindAddress: options.MetricsAddress},
		HealthProbeBindAddress:        options.ProbeAddress,
		LeaderElection:                options.LeaderElection,
		LeaderElectionID:              leaderElectionID,
		LeaderElectionNamespace:       options.LeaderElectionNamespace,
		LeaderElectionReleaseOnCancel: true,
		LeaseDuration:                 new(leaseDuration),
		RenewDeadline:                 new(renewDeadline),
		RetryPeriod:                   new(retryPeriod),
		GracefulShutdownTimeout:       new(shutdownTimeout),
		Controller: config.Controller{
			MaxConcurrentReconciles: concurrency,
			ReconciliationTimeout:   reconcileTimeout,
			// One process runs one operator; tests run several, one after the other.
			SkipNameValidation: new(true),
		},
	}
}

// watchKinds has the caches filled from the start, not only once this operator leads: a follower that takes
// over knows everything already.
func watchKinds(ctx context.Context, mgr ctrl.Manager) error {
	for _, object := range []client.Object{&v1alpha1.ModelEndpoint{}, &v1alpha1.RoutingPolicy{}, &v1alpha1.ProxyInstance{}} {
		if _, err := mgr.GetCache().GetInformer(ctx, object, cache.BlockUntilSynced(false)); err != nil {
			return fmt.Errorf("watching %T: %w", object, err)
		}
	}
	return nil
}

func cachesSynced(c cache.Cache, books *Books) healthz.Checker {
	return func(request *http.Request) error {
		ctx, cancel := context.WithTimeout(request.Context(), readyTimeout)
		defer cancel()
		if !c.WaitForCacheSync(ctx) {
			return errors.New("ModelEndpoints, RoutingPolicies or ProxyInstances have not been read yet")
		}
		if !books.HasRead() {
			return errors.New("ProxyReports have not been read yet")
		}
		return nil
	}
}

func addNamespaceController(mgr ctrl.Manager, p *parts, metrics *Metrics) error {
	clientset, err := kubernetes.NewForConfigAndClient(mgr.GetConfig(), mgr.GetHTTPClient())
	if err != nil {
		return fmt.Errorf("preparing a client for Secrets: %w", err)
	}
	watcher := secrets.NewWatcher(clientset, p.looks.ofSecrets)
	if err := mgr.Add(watcher); err != nil {
		return err
	}
	return ctrl.NewControllerManagedBy(mgr).
		Named("namespace").
		WithOptions(patience()).
		Watches(&v1alpha1.ModelEndpoint{}, enqueueNamespace).
		Watches(&v1alpha1.RoutingPolicy{}, enqueueNamespace).
		WatchesRawSource(p.looks).
		Complete(&NamespaceReconciler{
			Reader:  mgr.GetCache(),
			Vault:   watcher,
			Books:   p.books,
			Fleet:   p.fleet,
			Prober:  p.prober,
			Absence: &Absence{Live: mgr.GetAPIReader(), Clock: clock.RealClock{}},
			Clock:   clock.RealClock{},
			Metrics: metrics,
			Pacer:   p.pacer,
			Leases:  p.leases,
			Statuses: &StatusWriter{
				Client:   mgr.GetClient(),
				Recorder: mgr.GetEventRecorder(eventSource),
				Metrics:  metrics,
			},
		})
}

// patience bounds the pauses between two tries of what fails. The default goes up to a quarter of an hour, which
// would be how much longer than the API server itself the statuses are away.
func patience() controller.Options {
	return controller.Options{
		RateLimiter: workqueue.NewTypedItemExponentialFailureRateLimiter[ctrl.Request](firstTryAgain, lastTryAgain),
	}
}

func addProxyInstanceController(mgr ctrl.Manager, p *parts) error {
	// A proxy's reports say nothing about whether it lives; its end does.
	comesAndGoes := predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		before, _ := e.ObjectOld.(*v1alpha1.ProxyInstance)
		after, _ := e.ObjectNew.(*v1alpha1.ProxyInstance)
		return before != nil && after != nil && (ended(before) != ended(after) || before.UID != after.UID)
	}}
	r := &ProxyInstanceReconciler{
		Reader:     mgr.GetCache(),
		Live:       mgr.GetAPIReader(),
		Client:     mgr.GetClient(),
		Clock:      clock.RealClock{},
		Books:      p.books,
		Fleet:      p.fleet,
		Namespaces: p.namespaces,
		Leases:     p.leases,
	}
	err := ctrl.NewControllerManagedBy(mgr).
		WithOptions(patience()).
		For(&v1alpha1.ProxyInstance{}, builder.WithPredicates(comesAndGoes)).
		WatchesRawSource(p.strays).
		Complete(r)
	if err != nil {
		return err
	}
	// What was lent has a queue of its own: a look at whether a proxy lives asks the API server, and somebody waits.
	// A spec that somebody else has changed is put right, and a proxy that asks again for what the ledger has answered
	// is told again.
	return ctrl.NewControllerManagedBy(mgr).
		Named("grants").
		WithOptions(patience()).
		Watches(&v1alpha1.ProxyInstance{}, &handler.EnqueueRequestForObject{}, builder.WithPredicates(asksOrIsTold)).
		WatchesRawSource(p.grants).
		Complete(reconcile.Func(r.Instruct))
}

// asksOrIsTold is another spec of a ProxyInstance, or other asks.
var asksOrIsTold = predicate.Or(predicate.GenerationChangedPredicate{}, predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
	before, _ := e.ObjectOld.(*v1alpha1.ProxyInstance)
	after, _ := e.ObjectNew.(*v1alpha1.ProxyInstance)
	return before != nil && after != nil && !equality.Semantic.DeepEqual(before.Status.Asks, after.Status.Asks)
}})
