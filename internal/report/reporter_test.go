// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/onsi/gomega"
	"github.com/prometheus/client_golang/prometheus/testutil"
	coordinationv1 "k8s.io/api/coordination/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/turnout-ai/turnout/api/v1alpha1"
	"github.com/turnout-ai/turnout/internal/kubetest"
)

var plane *kubetest.ControlPlane

func TestMain(m *testing.M) { os.Exit(kubetest.Main(m, &plane)) }

const soon = 60 * time.Second

// bench is a reporter under test.
type bench struct {
	*Reporter
	*gomega.WithT
	book      *fakeBook
	namespace string
	clock     *clocktesting.FakeClock
	log       *journal
	// writes counts the requests that would write, by what they write, and those that read a single object.
	writes *tally
	// stop ends Run and waits for it; it may be called more than once.
	stop func()
}

// journal is a log that can be read while it is written.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) count(what string) int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Count(j.text.String(), what)
}

// tally counts.
type tally struct {
	mu     sync.Mutex
	counts map[string]int
	// inject, if set, stands between the reporter and the API server at every write of a status.
	inject func(ctx context.Context, object client.Object, pass func() error) error
}

func (y *tally) set(inject func(ctx context.Context, object client.Object, pass func() error) error) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.inject = inject
}

func (y *tally) get() func(ctx context.Context, object client.Object, pass func() error) error {
	y.mu.Lock()
	defer y.mu.Unlock()
	return y.inject
}

func (y *tally) add(what string) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.counts[what]++
}

// reset returns the counts and starts anew.
func (y *tally) reset() map[string]int {
	y.mu.Lock()
	defer y.mu.Unlock()
	counts := y.counts
	y.counts = map[string]int{}
	return counts
}

// counted passes everything to the real API server. An update that changes nothing leaves no trace there, and
// costs a request all the same.
func (y *tally) counted() client.WithWatch {
	return interceptor.NewClient(plane.Client, interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
			y.add(fmt.Sprintf("get %T", object))
			return c.Get(ctx, key, object, options...)
		},
		Update: func(ctx context.Context, c client.WithWatch, object client.Object, options ...client.UpdateOption) error {
			y.add(fmt.Sprintf("update %T", object))
			return c.Update(ctx, object, options...)
		},
		SubResourceUpdate: func(ctx context.Context, c client.Client, name string, object client.Object, options ...client.SubResourceUpdateOption) error {
			y.add(fmt.Sprintf("update %s of %T", name, object))
			if inject := y.get(); inject != nil {
				return inject(ctx, object, func() error { return c.SubResource(name).Update(ctx, object, options...) })
			}
			return c.SubResource(name).Update(ctx, object, options...)
		},
		SubResourcePatch: func(ctx context.Context, c client.Client, name string, object client.Object, patch client.Patch, options ...client.SubResourcePatchOption) error {
			y.add(fmt.Sprintf("patch %s of %T", name, object))
			pass := func() error { return c.SubResource(name).Patch(ctx, object, patch, options...) }
			inject := y.get()
			if inject == nil {
				return pass()
			}
			data, err := patch.Data(object)
			if err != nil {
				return err
			}
			said := object.DeepCopyObject().(client.Object)
			if instance, ok := said.(*v1alpha1.ProxyInstance); ok {
				instance.Status.Ended = bytes.Contains(data, []byte(`"/status/ended"`))
			}
			return inject(ctx, said, pass)
		},
		Create: func(ctx context.Context, c client.WithWatch, object client.Object, options ...client.CreateOption) error {
			y.add(fmt.Sprintf("create %T", object))
			return c.Create(ctx, object, options...)
		},
	})
}

func start(t *testing.T, namespace string, adjust func(*Options)) *bench {
	t.Helper()
	b := &bench{WithT: gomega.NewWithT(t), namespace: namespace, log: &journal{}, writes: &tally{counts: map[string]int{}}}
	b.book = &fakeBook{urgent: make(chan struct{}, 1)}
	b.clock = clocktesting.NewFakeClock(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
	options := Options{
		Client: b.writes.counted(), Namespace: namespace, Name: "proxy-0", Version: "v1.2.3", Address: "10.0.0.7:8080",
		Logger: slog.New(slog.NewTextHandler(b.log, nil)), Clock: b.clock, Book: b.book,
	}
	if adjust != nil {
		adjust(&options)
	}
	b.Reporter = New(options)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- b.Run(ctx) }()
	b.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run returned %v after its context ended, want nil", err)
		}
	})
	t.Cleanup(b.stop)
	return b
}

// settled waits until Run has done all there is to do and sleeps.
func (b *bench) settled() {
	b.Eventually(func() bool { return b.Name() != "" && b.clock.HasWaiters() }, soon).Should(gomega.BeTrue())
}

// pass lets time pass, and waits until Run sleeps again.
func (b *bench) pass(d time.Duration) {
	b.settled()
	b.clock.Step(d)
	b.settled()
}

// interval is the one that is in force, by the metric of it.
func (b *bench) interval() time.Duration {
	return time.Duration(testutil.ToFloat64(b.metrics.interval) * float64(time.Second))
}

func (b *bench) instance(t *testing.T) *v1alpha1.ProxyInstance {
	t.Helper()
	var instance v1alpha1.ProxyInstance
	if err := plane.Client.Get(t.Context(), client.ObjectKey{Namespace: b.namespace, Name: b.Name()}, &instance); err != nil {
		t.Fatal(err)
	}
	return &instance
}

// current is the condition of that name; nil without one.
func (b *bench) current(t *testing.T) *metav1.Condition {
	t.Helper()
	return meta.FindStatusCondition(b.instance(t).Status.Conditions, v1alpha1.ConditionCurrent)
}

func (b *bench) lease(t *testing.T) *coordinationv1.Lease {
	t.Helper()
	var lease coordinationv1.Lease
	if err := plane.Client.Get(t.Context(), client.ObjectKey{Namespace: b.namespace, Name: b.Name()}, &lease); err != nil {
		t.Fatal(err)
	}
	return &lease
}

// left are the names of all instances and leases in the namespace.
func (b *bench) left(t *testing.T) (names []string) {
	t.Helper()
	var instances v1alpha1.ProxyInstanceList
	var leases coordinationv1.LeaseList
	for _, list := range []client.ObjectList{&instances, &leases} {
		if err := plane.Client.List(t.Context(), list, client.InNamespace(b.namespace)); err != nil {
			t.Fatal(err)
		}
	}
	for _, i := range instances.Items {
		names = append(names, "instance "+i.Name)
	}
	for _, l := range leases.Items {
		names = append(names, "lease "+l.Name)
	}
	return names
}

func TestAProcessRegistersItselfWithALease(t *testing.T) {
	b := start(t, plane.Namespace(t), func(o *Options) { o.PodName, o.PodUID = "proxy-0", "8b1e4f6e-0000-4000-8000-000000000001" })
	b.settled()
	instance, lease := b.instance(t), b.lease(t)
	if !strings.HasPrefix(instance.Name, "proxy-0-") {
		t.Errorf("name %q, want it to begin with the Pod's", instance.Name)
	}
	wantOwner := []metav1.OwnerReference{{APIVersion: "v1", Kind: "Pod", Name: "proxy-0", UID: "8b1e4f6e-0000-4000-8000-000000000001"}}
	if diff := cmp.Diff(wantOwner, instance.OwnerReferences); diff != "" {
		t.Errorf("owner of the instance (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{v1alpha1.FoldFinalizer}, instance.Finalizers); diff != "" {
		t.Errorf("finalizers (-want +got):\n%s", diff)
	}
	connected := metav1.Condition{
		Type: v1alpha1.ConditionConnected, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonConnected,
		Message: "endpoints can be connected to", ObservedGeneration: 1, LastTransitionTime: metav1.NewTime(b.clock.Now()),
	}
	want := v1alpha1.ProxyInstanceStatus{Version: "v1.2.3", Address: "10.0.0.7:8080", Conditions: []metav1.Condition{connected}}
	if diff := cmp.Diff(want, instance.Status); diff != "" {
		t.Errorf("status before the first table (-want +got):\n%s", diff)
	}
	wantOwner = []metav1.OwnerReference{{APIVersion: "turnout.dev/v1alpha1", Kind: "ProxyInstance", Name: instance.Name, UID: instance.UID}}
	if diff := cmp.Diff(wantOwner, lease.OwnerReferences); diff != "" {
		t.Errorf("owner of the Lease (-want +got):\n%s", diff)
	}
	duration, now := int32(120), metav1.NewMicroTime(b.clock.Now())
	wantLease := coordinationv1.LeaseSpec{HolderIdentity: &instance.Name, LeaseDurationSeconds: &duration, AcquireTime: &now, RenewTime: &now}
	if diff := cmp.Diff(wantLease, lease.Spec, cmpopts.EquateApproxTime(0)); diff != "" {
		t.Errorf("Lease (-want +got):\n%s", diff)
	}
}

func TestAProcessWithoutAPodHasNoOwner(t *testing.T) {
	b := start(t, plane.Namespace(t), nil)
	b.settled()
	if got := b.instance(t).OwnerReferences; len(got) != 0 {
		t.Errorf("owners %v, want none", got)
	}
}

func TestOnlyTheLeaseIsWrittenWhileNothingChanges(t *testing.T) {
	b := start(t, plane.Namespace(t), nil)
	b.settled()
	b.Report(Current{Status: true, Reason: v1alpha1.ReasonCurrent, Message: "the newest objects are in force"})
	b.Eventually(func() bool { return b.current(t) != nil }, soon).Should(gomega.BeTrue())
	instance, lease := b.instance(t), b.lease(t)

	b.settled()
	b.writes.reset()
	b.pass(DefaultRenewEvery - time.Second)
	if got := b.lease(t).ResourceVersion; got != lease.ResourceVersion {
		t.Error("the Lease was written before it was time")
	}
	for range 3 {
		b.pass(DefaultRenewEvery)
		b.Report(Current{Status: true, Reason: v1alpha1.ReasonCurrent, Message: "the newest objects are in force"})
	}
	b.settled()
	b.Eventually(func() time.Time { return b.lease(t).Spec.RenewTime.Time }, soon).Should(gomega.BeTemporally("==", b.clock.Now()))
	if diff := cmp.Diff(map[string]int{"get *v1alpha1.ProxyInstance": 3, "update *v1.Lease": 3}, b.writes.reset()); diff != "" {
		t.Errorf("writes in three intervals (-want +got):\n%s", diff)
	}
	if got := b.instance(t).ResourceVersion; got != instance.ResourceVersion {
		t.Errorf("the instance was written (resourceVersion %s, then %s) though nothing had changed", instance.ResourceVersion, got)
	}
}

func TestTheConditionFollowsTheReports(t *testing.T) {
	b := start(t, plane.Namespace(t), nil)
	steps := []struct {
		name       string
		report     Current
		after      time.Duration
		wantStatus metav1.ConditionStatus
		// wantMoved says that the time of the last transition is now.
		wantMoved bool
	}{
		{name: "the first report", report: Current{Status: true, Reason: "Current", Message: "fine"}, wantStatus: metav1.ConditionTrue, wantMoved: true},
		{name: "a loss", report: Current{Reason: "SyncLost", Message: "away"}, after: 5 * time.Second, wantStatus: metav1.ConditionFalse, wantMoved: true},
		{name: "another reason for the same", report: Current{Reason: "BuildFailed", Message: "broken"}, after: 5 * time.Second, wantStatus: metav1.ConditionFalse},
		{name: "the return", report: Current{Status: true, Reason: "Current", Message: "fine"}, after: 5 * time.Second, wantStatus: metav1.ConditionTrue, wantMoved: true},
	}
	for _, step := range steps {
		b.settled()
		b.clock.Step(step.after)
		b.Report(step.report)
		want := metav1.Condition{Type: v1alpha1.ConditionCurrent, Status: step.wantStatus, Reason: step.report.Reason, Message: step.report.Message, ObservedGeneration: 1}
		var got metav1.Condition
		b.Eventually(func() string {
			c := b.current(t)
			if c == nil {
				return "no condition"
			}
			got = *c
			return cmp.Diff(want, got, cmpopts.IgnoreFields(metav1.Condition{}, "LastTransitionTime"))
		}, soon).Should(gomega.BeEmpty(), step.name)
		if moved := got.LastTransitionTime.Time.Equal(b.clock.Now()); moved != step.wantMoved {
			t.Errorf("%s: transition time is now = %v, want %v", step.name, moved, step.wantMoved)
		}
	}
}

func TestACleanEndIsSaid(t *testing.T) {
	b := start(t, plane.Namespace(t), nil)
	b.settled()
	if got := b.left(t); len(got) != 2 {
		t.Fatalf("before the end there are %v, want an instance and its Lease", got)
	}
	b.stop()
	if diff := cmp.Diff([]string{"instance " + b.Name()}, b.left(t)); diff != "" {
		t.Errorf("after the end there are (-want +got):\n%s", diff)
	}
	if got := b.instance(t).Status; !got.Ended || !got.Final || got.Pages != 0 {
		t.Errorf("status %+v, want ended, final and no pages", got)
	}
}

func TestADeletedLeaseIsMadeAnew(t *testing.T) {
	b := start(t, plane.Namespace(t), nil)
	b.settled()
	old, name := b.lease(t), b.Name()
	if err := plane.Client.Delete(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	b.pass(DefaultRenewEvery)
	b.Eventually(func() []string { return b.left(t) }, soon).Should(gomega.Equal([]string{"instance " + name, "lease " + name}))
}

func TestSomebodyElsesWritesAreNotInTheWay(t *testing.T) {
	b := start(t, plane.Namespace(t), func(o *Options) { o.Clock = nil; o.RenewEvery = 50 * time.Millisecond })
	b.Eventually(b.Name, soon).ShouldNot(gomega.BeEmpty())
	b.Eventually(func() string { return b.instance(t).Status.Version }, soon).Should(gomega.Equal("v1.2.3"))
	for _, object := range []client.Object{b.instance(t), b.lease(t)} {
		base := object.DeepCopyObject().(client.Object)
		object.SetLabels(map[string]string{"seen": "yes"})
		if err := plane.Client.Patch(t.Context(), object, client.MergeFrom(base)); err != nil {
			t.Fatal(err)
		}
	}
	b.Report(Current{Status: true, Reason: "Current", Message: "fine"})
	renewed := b.lease(t).Spec.RenewTime.Time
	b.Eventually(func() bool { return b.current(t) != nil }, soon).Should(gomega.BeTrue())
	b.Eventually(func() time.Time { return b.lease(t).Spec.RenewTime.Time }, soon).Should(gomega.BeTemporally(">", renewed))
	if b.instance(t).Labels["seen"] != "yes" || b.lease(t).Labels["seen"] != "yes" {
		t.Error("a label that somebody set was overwritten")
	}
}

func TestTwoProcessesOfOnePodShareNothing(t *testing.T) {
	namespace := plane.Namespace(t)
	one, two := start(t, namespace, nil), start(t, namespace, nil)
	one.settled()
	two.settled()
	if one.Name() == two.Name() {
		t.Fatalf("both are %s", one.Name())
	}
	one.stop()
	want := []string{"instance " + one.Name(), "instance " + two.Name(), "lease " + two.Name()}
	if diff := cmp.Diff(want, two.left(t), cmpopts.SortSlices(strings.Compare)); diff != "" {
		t.Errorf("after the end of one (-want +got):\n%s", diff)
	}
	if two.instance(t).Status.Ended {
		t.Error("the end of one was said of the other")
	}
}

func TestRegistrationIsTriedUntilTheAPIServerIsThere(t *testing.T) {
	namespace := plane.Namespace(t)
	plane.StopAPIServer(t)
	b := start(t, namespace, func(o *Options) { o.Clock = nil })
	b.Report(Current{Status: true, Reason: "Current", Message: "fine"})
	b.Eventually(func() int { return b.log.count("cannot be kept") }, soon).Should(gomega.Equal(1))
	plane.StartAPIServer(t)
	b.Eventually(b.Name, soon).ShouldNot(gomega.BeEmpty())
	b.Eventually(func() bool { return b.current(t) != nil }, soon).Should(gomega.BeTrue())
	if got := b.log.count("cannot be kept"); got != 1 {
		t.Errorf("the trouble was logged %d times, want once", got)
	}
}

func TestRetriesDoubleUpToABound(t *testing.T) {
	for failures, want := range map[int]time.Duration{1: time.Second, 2: 2 * time.Second, 5: 16 * time.Second, 6: maxRetry, 1000: maxRetry} {
		if got := retryAfter(failures); got < want || got >= want+want/2 {
			t.Errorf("retryAfter(%d) = %v, want %v and up to a half more", failures, got, want)
		}
	}
}
