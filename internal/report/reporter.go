// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

// Package report keeps the ProxyInstance of this process: one object per process start that says who serves,
// where, and whether the newest objects are in force, and a Lease beside it that says that the process lives.
//
// Nothing here is needed to serve: a proxy that cannot register goes on trying and serves meanwhile.
package report

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	// DefaultRenewEvery is how often the Lease is renewed.
	DefaultRenewEvery = 30 * time.Second
	// LeaseDuration is how old a Lease may be before its process counts as dead.
	LeaseDuration = 120 * time.Second

	firstRetry = time.Second
	maxRetry   = 30 * time.Second
	// roundTimeout bounds one round of requests, farewellTimeout the last one, which a shutdown waits for.
	roundTimeout    = 10 * time.Second
	farewellTimeout = 5 * time.Second
)

// Options configure a Reporter.
type Options struct {
	// Client writes ProxyInstances and Leases.
	Client client.Client
	// Namespace is where the two objects live; Name is what their name begins with: the Pod's or host's name.
	Namespace, Name string
	// PodName and PodUID make the Pod the owner, so that the object goes with it. Both empty: no owner.
	PodName string
	PodUID  types.UID
	// Version of the program, and Address (host:port) where it takes requests, as the status shows them.
	Version, Address string
	Logger           *slog.Logger
	// RenewEvery is DefaultRenewEvery when zero. Clock is the real one when nil.
	RenewEvery time.Duration
	Clock      clock.Clock
}

// Current is what the instance's Current condition says.
type Current struct {
	Status          bool
	Reason, Message string
}

// Reporter keeps one ProxyInstance and its Lease. Run starts it.
type Reporter struct {
	options Options
	// told holds at most one reminder that current has changed.
	told chan struct{}
	// mine belongs to Run's goroutine.
	mine registration

	mu sync.Mutex
	// current is the newest report, nil before the first; name is that of the registered instance, empty
	// without one. Both are guarded by mu.
	current *Current
	name    string
}

// New prepares a reporter. It does not talk to the API server yet.
func New(options Options) *Reporter {
	if options.RenewEvery == 0 {
		options.RenewEvery = DefaultRenewEvery
	}
	if options.Clock == nil {
		options.Clock = clock.RealClock{}
	}
	return &Reporter{options: options, told: make(chan struct{}, 1)}
}

// Report sets what the Current condition is to say. It returns at once, and is safe to call from anywhere.
func (r *Reporter) Report(current Current) {
	r.mu.Lock()
	changed := r.current == nil || *r.current != current
	r.current = &current
	r.mu.Unlock()
	if changed {
		select {
		case r.told <- struct{}{}:
		default: // A reminder is already there.
		}
	}
}

// Name is the name of this process's ProxyInstance; empty until it is registered.
func (r *Reporter) Name() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.name
}

// Run registers the process, keeps its Lease and status until ctx ends, and then takes both objects away. It
// returns nil: whatever fails is tried again.
func (r *Reporter) Run(ctx context.Context) error {
	failures := 0
	for ctx.Err() == nil {
		err := r.round(ctx)
		if err == nil {
			failures = 0
			r.wait(ctx, r.untilRenewal(), r.told)
			continue
		}
		if failures == 0 && ctx.Err() == nil {
			r.options.Logger.WarnContext(ctx, "this proxy's ProxyInstance cannot be kept; serving goes on, and so do the tries", "error", err)
		}
		failures++
		// News of the table's state do not cut this pause short: most often they come from the same trouble.
		r.wait(ctx, retryAfter(failures), nil)
	}
	r.farewell(ctx)
	return nil
}

// wait returns after the pause, when news come in, or when ctx ends.
func (r *Reporter) wait(ctx context.Context, pause time.Duration, news <-chan struct{}) {
	timer := r.options.Clock.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-news:
	case <-timer.C():
	}
}

// retryAfter doubles from firstRetry to maxRetry, and adds up to a half, so that proxies that lost the same
// API server do not come back to it all at once.
func retryAfter(failures int) time.Duration {
	pause := maxRetry
	if shift := failures - 1; shift < 5 {
		pause = firstRetry << shift
	}
	return pause + rand.N(pause/2)
}
