// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

// Package report keeps the ProxyInstance of this process: one object per process start that says who serves,
// where, whether the newest objects are in force, what is known of the health of endpoints, and what it wishes for
// and gives back of their limits; the pages of numbers beside it; and a Lease that says that the process lives. What
// the operator grants comes back in the same object.
//
// Nothing here is needed to serve: a proxy that cannot register goes on trying and serves meanwhile. What it
// has to say is cumulative, so that whatever could not be said is in the next thing that is.
package report

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/turnout-ai/turnout/internal/modelstate"
	"github.com/turnout-ai/turnout/internal/quota"
)

const (
	// DefaultRenewEvery is how often the Lease is renewed.
	DefaultRenewEvery = 30 * time.Second
	// LeaseDuration is how old a Lease may be before its process counts as dead.
	LeaseDuration = 120 * time.Second
	// Queries is how many requests per second the Client needs to be allowed: a reporter bounds its writes by
	// itself, and must not wait behind a limit that nobody chose.
	Queries = 50
	// QueriesBurst is how many at once.
	QueriesBurst = 100

	firstRetry = time.Second
	maxRetry   = 30 * time.Second
	// requestsTimeout bounds one duty's requests, or one page's.
	requestsTimeout = 10 * time.Second
	// idle is how long the reporter sleeps when it expects nothing: any length would do.
	idle = time.Hour
)

// Options configure a Reporter.
type Options struct {
	// Client reads and writes ProxyInstances, ProxyReports and Leases.
	Client client.WithWatch
	// Namespace is where the objects live; Name is what their name begins with: the Pod's or host's name.
	Namespace, Name string
	// PodName and PodUID make the Pod the owner, so that the object goes with it. Both empty: no owner.
	PodName string
	PodUID  types.UID
	// Version of the program, and Address (host:port) where it takes requests, as the status shows them.
	Version, Address string
	// Book is what this process has seen and counted; nil when there is nothing to say about endpoints.
	Book   Book
	Logger *slog.Logger
	// Metrics takes the reporter's own figures; nil when nobody wants them.
	Metrics prometheus.Registerer
	// RenewEvery is DefaultRenewEvery when zero. Clock is the real one when nil.
	RenewEvery time.Duration
	Clock      clock.Clock
}

// Book is where signals and numbers come from. Its methods are called from one goroutine.
type Book interface {
	// Signals returns what there is to say about the health of endpoints, the worst first. isolated says that
	// the process blames its own network.
	Signals(now time.Time) (signals []modelstate.Signal, isolated bool)
	// Numbers returns what was counted since the process started, in an order in which new endpoints come last.
	Numbers(now time.Time) []modelstate.Numbers
	// Urgent receives when there is a signal, a wish or something given back that should not wait.
	Urgent() <-chan struct{}
	// Asks returns what there is to say about leases, the most urgent first, and gives back what is not needed. How
	// often this process reports says for how long it plans.
	Asks(now time.Time, interval time.Duration) []quota.EndpointAsk
	// Granted takes in what the operator has granted to this process' instance, and how many proxies there are.
	Granted(grants []quota.EndpointGrant, proxies int, now time.Time)
	// Disowned drops every grant: the instance they were made to counts as gone, and all of them as used.
	Disowned()
}

// blank is a Book without an entry.
type blank struct{}

func (blank) Signals(time.Time) (signals []modelstate.Signal, isolated bool) { return nil, false }
func (blank) Numbers(time.Time) []modelstate.Numbers                         { return nil }
func (blank) Urgent() <-chan struct{}                                        { return nil }
func (blank) Asks(time.Time, time.Duration) []quota.EndpointAsk              { return nil }
func (blank) Granted([]quota.EndpointGrant, int, time.Time)                  {}
func (blank) Disowned()                                                      {}

// Current is what the instance's Current condition says.
type Current struct {
	Status          bool
	Reason, Message string
}

// Reporter keeps one ProxyInstance with its pages and its Lease. Run starts it.
type Reporter struct {
	options Options
	metrics *metrics
	// told, seen and returned each hold at most one reminder: that current has changed, that the watched
	// instance has, and that the API server answers again.
	told, seen, returned chan struct{}
	watches              sync.WaitGroup

	// All of these belong to Run's goroutine. duties are in the order of their urgency; enlisting is the first.
	duties    []*duty
	enlisting *duty
	mine      registration
	// cadence is what the operator asks for. wanted is when something urgent may be said, zero when there is
	// nothing; pacing holds it back.
	cadence cadence
	wanted  time.Time
	pacing  pacing
	// looked is false when the watched instance has to be looked at, marked when the elders have to be.
	looked, marked bool
	// deaths counts the instances that were lost since one was last in order.
	deaths int
	// former are pages of instances that were lost, whose content is not carried over yet. carried is what is
	// on record under earlier instances of this process, by the endpoint's UID.
	former  []*page
	carried map[string][]record
	// left is how many endpoints had no place on any page. more says that something had no place in the status.
	left int
	more bool
	// leaving says that this is the end: what endpoints are like is for others to say from now on.
	leaving bool

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
	if options.Book == nil {
		options.Book = blank{}
	}
	r := &Reporter{
		options: options,
		metrics: newMetrics(options.Metrics),
		told:    make(chan struct{}, 1), seen: make(chan struct{}, 1), returned: make(chan struct{}, 1),
		carried: map[string][]record{},
	}
	r.setCadence(defaultCadence)
	r.enlisting = &duty{due: r.enlistDue, do: limited(r.enlist)}
	r.duties = []*duty{
		r.enlisting,
		{due: r.lookDue, do: limited(r.look), urgent: true},
		{due: r.renewDue, do: limited(r.renew), urgent: true},
		{due: r.speakDue, do: limited(r.speak), urgent: true},
		{due: r.markDue, do: limited(r.markElders)},
		{due: r.countDue, do: r.count},
	}
	return r
}

// Report sets what the Current condition is to say. It returns at once, and is safe to call from anywhere.
func (r *Reporter) Report(current Current) {
	r.mu.Lock()
	changed := r.current == nil || *r.current != current
	r.current = &current
	r.mu.Unlock()
	if changed {
		remind(r.told)
	}
}

// remind leaves a reminder, unless one is there already.
func remind(reminders chan<- struct{}) {
	select {
	case reminders <- struct{}{}:
	default:
	}
}

// Name is the name of this process's ProxyInstance; empty until it is registered.
func (r *Reporter) Name() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.name
}

func (r *Reporter) setName(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.name = name
}

// Run registers the process, and says what it has to say until ctx ends: then its last word. It returns nil:
// whatever fails is tried again.
func (r *Reporter) Run(ctx context.Context) error {
	troubled := false
	for ctx.Err() == nil {
		err := r.round(ctx)
		if err != nil && !troubled && ctx.Err() == nil {
			r.options.Logger.WarnContext(ctx, "this proxy's ProxyInstance cannot be kept; serving goes on, and so do the tries", "error", err)
		}
		troubled = r.failing()
		r.wait(ctx)
	}
	r.farewell(ctx)
	r.watches.Wait()
	return nil
}

// round does what is due. It returns what went wrong.
func (r *Reporter) round(ctx context.Context) error {
	r.poll()
	var errs []error
	for _, d := range r.duties {
		if r.isDue(d) && ctx.Err() == nil {
			errs = append(errs, r.perform(ctx, d))
		}
	}
	return errors.Join(errs...)
}

// perform does one duty now. A duty that finds this process believed dead makes it start anew.
func (r *Reporter) perform(ctx context.Context, d *duty) error {
	err := d.do(ctx)
	switch {
	case err == nil:
		d.succeeded()
	case errors.Is(err, errDead):
		d.succeeded()
		r.bury(ctx, err)
		return nil
	default:
		r.metrics.errors.Inc()
		d.failed(r.options.Clock.Now())
	}
	return err
}

// poll takes note of what has been reminded of, without waiting for it.
func (r *Reporter) poll() {
	for {
		select {
		case <-r.told:
			r.want()
		case <-r.options.Book.Urgent():
			r.want()
		case <-r.seen:
			r.looked = false
		case <-r.returned:
			r.retryNow()
		default:
			return
		}
	}
}

// wait returns when something is due, or something has been reminded of, or ctx ends.
func (r *Reporter) wait(ctx context.Context) {
	pause := r.pause()
	if pause <= 0 {
		return
	}
	timer := r.options.Clock.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C():
	case <-r.told:
		r.want()
	case <-r.options.Book.Urgent():
		r.want()
	case <-r.seen:
		r.looked = false
	case <-r.returned:
		r.retryNow()
	}
}

// want notes that there is something urgent to say. In a large fleet everybody tends to have it at once, so
// each waits for a moment of its own.
func (r *Reporter) want() {
	if !r.wanted.IsZero() {
		return
	}
	r.wanted = r.options.Clock.Now()
	if r.cadence.proxies > jitterAbove {
		r.wanted = r.wanted.Add(rand.N(maxJitter))
	}
}

// retryNow ends all pauses after failures: they came from an API server that answers again.
func (r *Reporter) retryNow() {
	for _, d := range r.duties {
		d.notBefore = time.Time{}
	}
}
