// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"testing"
	"time"

	"github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/turnout-ai/turnout/api/v1alpha1"
)

const statusUpdate = "patch status of *v1alpha1.ProxyInstance"

// shows waits until the first signal in the status has so many failures; 0 for no signals.
func (b *bench) shows(t *testing.T, failures int64) {
	t.Helper()
	b.Eventually(func() int64 {
		signals := b.instance(t).Status.Signals
		if len(signals) == 0 {
			return 0
		}
		return signals[0].Failures
	}, soon).Should(gomega.Equal(failures))
}

func TestASignalGoesOutAtOnce(t *testing.T) {
	b := start(t, plane.Namespace(t), nil)
	b.settled()
	b.writes.reset()
	b.book.fail(1, 3) // The clock stands still: whatever waited for it would wait for ever.
	b.shows(t, 3)

	// More of them wait for the pause, and then there is one write for all.
	for failures := range int64(20) {
		b.book.fail(1, 4+failures)
	}
	b.Eventually(func() int { return len(b.book.urgent) }, soon).Should(gomega.BeZero())
	b.settled()
	b.shows(t, 3)
	b.pass(firstPause)
	b.shows(t, 23)
	b.settled()
	if got := b.writes.reset()[statusUpdate]; got != 2 {
		t.Errorf("%d writes for 21 notices, want one at the leading edge and one behind it", got)
	}
}

func TestNothingIsWrittenAtRest(t *testing.T) {
	b := start(t, plane.Namespace(t), nil)
	b.settled()
	b.book.fail(3, 3)
	b.shows(t, 3)
	b.book.use(3, 7)
	b.pass(DefaultInterval)
	b.Eventually(func() int { return len(b.reports(t)) }, soon).Should(gomega.Equal(1))
	b.settled()
	b.writes.reset()
	instance, report := b.instance(t), b.reports(t)[0]
	for range 4 { // not so long that the Lease is due
		remind(b.book.urgent) // The same once more is no news.
		b.pass(DefaultInterval)
	}
	b.settled()
	if got := b.writes.reset(); len(got) != 0 {
		t.Errorf("writes at rest: %v", got)
	}
	if got := b.instance(t).ResourceVersion; got != instance.ResourceVersion {
		t.Error("the instance was written though nothing had changed")
	}
	if got := b.reports(t)[0].ResourceVersion; got != report.ResourceVersion {
		t.Error("the report was written though nothing had changed")
	}
}

func TestSignalsFitTheirBounds(t *testing.T) {
	b := start(t, plane.Namespace(t), nil)
	b.settled()
	b.book.fail(2000, 3)
	b.shows(t, 3)
	signals := b.instance(t).Status.Signals
	if size := sizeOf(signals); len(signals) > MaxSignals || size > MaxWordBytes {
		t.Errorf("%d signals in %d bytes", len(signals), size)
	}
	if len(signals) < MaxSignals/2 || signals[0].UID != uid(0) || signals[len(signals)-1].UID != uid(len(signals)-1) {
		t.Errorf("%d signals from %s on, want the first ones", len(signals), signals[0].UID)
	}
}

func TestAProxyThatBlamesItselfSaysSo(t *testing.T) {
	b := start(t, plane.Namespace(t), nil)
	b.settled()
	connected := func() metav1.ConditionStatus {
		return meta.FindStatusCondition(b.instance(t).Status.Conditions, v1alpha1.ConditionConnected).Status
	}
	b.book.set(func() { b.book.isolated = true })
	remind(b.book.urgent)
	b.Eventually(connected, soon).Should(gomega.Equal(metav1.ConditionFalse))
	b.book.set(func() { b.book.isolated = false })
	b.pass(DefaultInterval) // That it is over is not urgent.
	b.Eventually(connected, soon).Should(gomega.Equal(metav1.ConditionTrue))
}

func TestTheOperatorsWordIsObeyedAtOnce(t *testing.T) {
	b := start(t, plane.Namespace(t), nil)
	b.settled()
	instance := b.instance(t)
	instance.Spec = v1alpha1.ProxyInstanceSpec{ReportInterval: new(v1alpha1.Duration("1m")), Proxies: new(int32(100))}
	if err := plane.Client.Update(t.Context(), instance); err != nil {
		t.Fatal(err)
	}
	b.Eventually(b.interval, soon).Should(gomega.Equal(time.Minute))
	b.settled()
	b.book.use(1, 1)
	b.pass(20 * time.Second)
	b.pass(20 * time.Second)
	b.pass(20 * time.Second)
	b.Eventually(func() int { return len(b.reports(t)) }, soon).Should(gomega.Equal(1))
	b.settled()
	b.book.use(1, 1)
	b.pass(59 * time.Second)
	if got := b.requests(t); got[uid(0)] != 1 {
		t.Errorf("the numbers were written within the interval: %v", got)
	}
	b.pass(time.Second)
	b.Eventually(func() int64 { return b.requests(t)[uid(0)] }, soon).Should(gomega.BeEquivalentTo(2))
}

func TestElderInstancesOfThePodAreMarkedAsEnded(t *testing.T) {
	namespace := plane.Namespace(t)
	const pod, other = "8b1e4f6e-0000-4000-8000-000000000001", "8b1e4f6e-0000-4000-8000-000000000002"
	instances := map[string]*v1alpha1.ProxyInstance{}
	for name, owner := range map[string]string{"elder": pod, "elder-ended": pod, "of-another-pod": other, "of-no-pod": ""} {
		instance := &v1alpha1.ProxyInstance{}
		instance.Namespace, instance.Name = namespace, name
		if owner != "" {
			instance.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "Pod", Name: "proxy-0", UID: types.UID(owner)}}
		}
		if err := plane.Client.Create(t.Context(), instance); err != nil {
			t.Fatal(err)
		}
		instances[name] = instance
	}
	elder := instances["elder"]
	elder.Status.Signals = []v1alpha1.EndpointSignal{{UID: uid(0), Namespace: "team", Name: "endpoint-0", Failures: 3}}
	elder.Status.Asks = []v1alpha1.EndpointAsk{{UID: uid(0), Namespace: "team", Name: "endpoint-0", Limits: []v1alpha1.LimitAsk{
		{Limit: v1alpha1.LimitRequests, Start: metav1.NewTime(period), Granted: 10, Returned: 4},
	}}}
	if err := plane.Client.Status().Update(t.Context(), elder); err != nil {
		t.Fatal(err)
	}
	ended := instances["elder-ended"]
	ended.Status.Ended, ended.Status.Final = true, true
	if err := plane.Client.Status().Update(t.Context(), ended); err != nil {
		t.Fatal(err)
	}
	b := start(t, namespace, func(o *Options) { o.PodName, o.PodUID = "proxy-0", pod })
	get := func(name string) *v1alpha1.ProxyInstance {
		var got v1alpha1.ProxyInstance
		if err := plane.Client.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: name}, &got); err != nil {
			t.Fatal(err)
		}
		return &got
	}
	b.Eventually(func() bool { return get("elder").Status.Ended }, soon).Should(gomega.BeTrue())
	b.settled()
	if get("elder").Status.Final {
		t.Error("the numbers of a process that was killed are said to be final")
	}
	if got := get("elder").Status; len(got.Signals) != 0 || len(got.Asks) != 1 || got.Asks[0].Limits[0].Returned != 4 {
		t.Errorf("%d signals and asks %+v; want no signals, and what it gave back itself", len(got.Signals), got.Asks)
	}
	if got := get("elder-ended").ResourceVersion; got != ended.ResourceVersion {
		t.Error("an instance that had ended was written again")
	}
	for _, name := range []string{"of-another-pod", "of-no-pod", b.Name()} {
		if get(name).Status.Ended {
			t.Errorf("%s is marked as ended", name)
		}
	}
}
