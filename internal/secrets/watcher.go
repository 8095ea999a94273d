// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package secrets

import (
	"context"
	"maps"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"

	"github.com/turnout-ai/turnout/internal/kube"
)

const (
	// maxRetry bounds the pause between two tries to read a namespace, so that a RoleBinding mends a refusal
	// within seconds.
	maxRetry = 5 * time.Second
	// patience is how long refusals are taken for a passing trouble while data is at hand. An API server that
	// has just started refuses everybody until it has read its own RBAC objects; dropping credentials then
	// would turn its restart into an outage of ours.
	patience = 30 * time.Second
)

// selector leaves out types that fill namespaces and never hold a provider's credential.
const selector = "type!=helm.sh/release.v1,type!=" + string(corev1.SecretTypeServiceAccountToken)

// Watcher keeps the Secrets of the namespaces it is told to watch, and of no others: one watch per namespace,
// so that RBAC can allow them one by one. Of a Secret it keeps the name, the version and the data. It implements Reader
// and controller-runtime's manager.Runnable.
type Watcher struct {
	client   kubernetes.Interface
	onChange func(namespace string)
	clock    clock.PassiveClock
	// watchTimeout is kube.Options.WatchTimeout: a withdrawn permission is noticed when a watch is renewed.
	watchTimeout time.Duration
	// asked holds at most one reminder that wanted has changed.
	asked chan struct{}

	mu sync.RWMutex
	// wanted and vaults are guarded by mu. Start brings vaults in line with wanted.
	wanted map[string]bool
	vaults map[string]*vault
}

var _ Reader = (*Watcher)(nil)

// NewWatcher prepares a watcher that calls onChange, from any goroutine, when what Secret answers for a
// namespace may have changed. onChange must return quickly.
func NewWatcher(client kubernetes.Interface, onChange func(namespace string)) *Watcher {
	return &Watcher{
		client:   client,
		onChange: onChange,
		clock:    clock.RealClock{},
		asked:    make(chan struct{}, 1),
		wanted:   map[string]bool{},
		vaults:   map[string]*vault{},
	}
}

// NeedLeaderElection says that every replica needs the Secrets, not only the leader.
func (w *Watcher) NeedLeaderElection() bool { return false }

// Watch sets the namespaces whose Secrets are held. Those of other namespaces are forgotten.
func (w *Watcher) Watch(namespaces []string) {
	wanted := make(map[string]bool, len(namespaces))
	for _, namespace := range namespaces {
		wanted[namespace] = true
	}
	w.mu.Lock()
	changed := !maps.Equal(w.wanted, wanted)
	w.wanted = wanted
	w.mu.Unlock()
	if changed {
		select {
		case w.asked <- struct{}{}:
		default: // Start will look anyway, and then sees the newest set.
		}
	}
}

// Start watches until ctx ends, then returns nil.
func (w *Watcher) Start(ctx context.Context) error {
	var running sync.WaitGroup
	defer running.Wait()
	for {
		w.follow(ctx, &running)
		select {
		case <-ctx.Done():
			return nil
		case <-w.asked:
		}
	}
}

// follow opens and closes vaults so that there is one for each wanted namespace.
func (w *Watcher) follow(ctx context.Context, running *sync.WaitGroup) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for namespace, v := range w.vaults {
		if !w.wanted[namespace] {
			v.close()
			delete(w.vaults, namespace)
		}
	}
	for namespace := range w.wanted {
		if w.vaults[namespace] != nil {
			continue
		}
		vaultCtx, cancel := context.WithCancel(ctx)
		v := w.newVault(namespace, cancel)
		w.vaults[namespace] = v
		running.Go(func() { v.mirror.Run(vaultCtx) })
	}
}

// Secret implements Reader. A namespace that is not watched is Pending.
func (w *Watcher) Secret(namespace, name string) (map[string][]byte, State) {
	secret, state := w.secret(namespace, name)
	if state != Found {
		return nil, state
	}
	return secret.Data, Found
}

// Version implements Reader.
func (w *Watcher) Version(namespace, name string) string {
	secret, state := w.secret(namespace, name)
	if state != Found {
		return ""
	}
	return string(secret.UID) + "/" + secret.ResourceVersion
}

func (w *Watcher) secret(namespace, name string) (*corev1.Secret, State) {
	w.mu.RLock()
	v := w.vaults[namespace]
	w.mu.RUnlock()
	if v == nil {
		return nil, Pending
	}
	if state := v.state(); state != Found {
		return nil, state
	}
	secret, ok := v.mirror.Get(namespace, name)
	if !ok {
		return nil, NotFound
	}
	return secret, Found
}

// Settled reports whether the answers for a namespace are more than Pending: it has been read, or refused.
func (w *Watcher) Settled(namespace string) bool {
	w.mu.RLock()
	v := w.vaults[namespace]
	w.mu.RUnlock()
	return v != nil && v.state() != Pending
}

// vault is one namespace.
type vault struct {
	mirror *kube.Mirror[*corev1.Secret]
	clock  clock.PassiveClock
	close  context.CancelFunc
	notify func()

	mu sync.Mutex
	// refusedSince is the time of the first of an unbroken row of refusals, zero when the last answer was
	// not one; denied says that they are believed. Both are guarded by mu.
	refusedSince time.Time
	denied       bool
}

func (w *Watcher) newVault(namespace string, cancel context.CancelFunc) *vault {
	api := w.client.CoreV1().Secrets(namespace)
	source := &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
			options.FieldSelector = selector
			return api.List(ctx, options)
		},
		WatchFuncWithContext: func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
			options.FieldSelector = selector
			return api.Watch(ctx, options)
		},
	}
	v := &vault{clock: w.clock, close: cancel, notify: func() { w.onChange(namespace) }}
	v.mirror = kube.NewMirror(source, &corev1.Secret{}, kube.Options[*corev1.Secret]{
		Strip: func(s *corev1.Secret) {
			*s = corev1.Secret{
				ObjectMeta: metav1.ObjectMeta{Namespace: s.Namespace, Name: s.Name, UID: s.UID, ResourceVersion: s.ResourceVersion},
				Data:       s.Data,
			}
		},
		Differs: func(old, updated *corev1.Secret) bool {
			// Operator and proxies tell credentials apart by their version: they must not come to differ over a
			// change of a label that one of them has heard of and the other has not.
			return old.ResourceVersion != updated.ResourceVersion
		},
		Changed:      v.notify,
		Asked:        v.answered,
		MaxRetry:     maxRetry,
		WatchTimeout: w.watchTimeout,
	})
	return v
}

// state is Found when the vault can be looked into.
func (v *vault) state() State {
	v.mu.Lock()
	defer v.mu.Unlock()
	switch {
	case v.denied:
		return AccessDenied
	case !v.mirror.Synced():
		return Pending
	}
	return Found
}

// answered judges the outcome of a request to the API server. A refusal is believed at once when nothing is
// known, and after some patience when data is at hand, which is then forgotten. Any other failure says nothing
// about access, but it breaks a row of refusals: they may have been those of an API server going down.
func (v *vault) answered(err error) {
	v.mu.Lock()
	before, now := v.denied, v.clock.Now()
	switch {
	case err == nil:
		v.refusedSince, v.denied = time.Time{}, false
	case !apierrors.IsForbidden(err):
		v.refusedSince = time.Time{}
	case v.refusedSince.IsZero():
		v.refusedSince, v.denied = now, !v.mirror.Synced()
	case now.Sub(v.refusedSince) >= patience:
		v.denied = true
	}
	changed := v.denied != before
	if changed && v.denied {
		v.mirror.Forget()
	}
	v.mu.Unlock()
	if changed {
		v.notify()
	}
}
