// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/turnout-ai/turnout/api/v1alpha1"
	"github.com/turnout-ai/turnout/internal/quota"
)

// lent is how many requests a wish gets of these tests' operator.
const lent = 10

// asks waits until the status has a wish of each of the endpoints.
func (b *bench) asks(t *testing.T, endpoints ...int) {
	t.Helper()
	b.Eventually(func() string {
		var got []string
		for _, a := range b.instance(t).Status.Asks {
			got = append(got, a.UID)
		}
		slices.Sort(got)
		return cmp.Diff(uids(endpoints...), got)
	}, soon).Should(gomega.BeEmpty())
}

// answer does what the operator does with what the status asks for: it lends ten to each new wish, and takes note of
// what is given back.
func (b *bench) answer(t *testing.T) {
	t.Helper()
	b.answerTo(t, b.instance(t).Status.Asks)
}

func (b *bench) answerTo(t *testing.T, asks []v1alpha1.EndpointAsk) {
	t.Helper()
	for {
		instance := b.instance(t)
		instance.Status.Asks = asks
		lend(instance)
		err := plane.Client.Update(t.Context(), instance)
		if err == nil {
			return
		}
		if !apierrors.IsConflict(err) {
			t.Fatal(err)
		}
	}
}

func lend(instance *v1alpha1.ProxyInstance) {
	for _, a := range instance.Status.Asks {
		i := slices.IndexFunc(instance.Spec.Grants, func(g v1alpha1.EndpointGrant) bool { return g.UID == a.UID })
		if i < 0 {
			i = len(instance.Spec.Grants)
			instance.Spec.Grants = append(instance.Spec.Grants, v1alpha1.EndpointGrant{
				UID: a.UID, Namespace: a.Namespace, Name: a.Name,
				Limits: []v1alpha1.LimitGrant{{Limit: a.Limits[0].Limit, Start: a.Limits[0].Start}},
			})
		}
		grant, ask := &instance.Spec.Grants[i].Limits[0], &a.Limits[0]
		if ask.Number > grant.Answered {
			grant.Answered = ask.Number
			grant.Granted += lent
		}
		grant.Returned = max(grant.Returned, ask.Returned)
	}
}

// has waits until so many requests of an endpoint are free.
func (b *bench) has(i int, free int64) {
	b.Eventually(func() int64 { return b.book.free(i) }, soon).Should(gomega.Equal(free))
}

func TestAWishGoesOutAtOnceAndTheGrantComesBack(t *testing.T) {
	b := start(t, plane.Namespace(t), nil)
	b.settled()
	b.book.limit(2)
	b.writes.reset()
	if b.book.take(1) {
		t.Fatal("something is lent before anybody asked for it")
	}
	b.asks(t, 1) // The clock stands still: whatever waited for it would wait for ever.
	want := v1alpha1.LimitAsk{Limit: v1alpha1.LimitRequests, Start: metav1.NewTime(period), Number: 1, Want: 8, Need: 1}
	got := b.instance(t).Status.Asks[0].Limits[0]
	got.Start = metav1.NewTime(got.Start.UTC())
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("ask (-want +got):\n%s", diff)
	}
	b.answer(t)
	b.has(1, lent)
	if diff := cmp.Diff([]string{"endpoint-1 may use 10, one of 1"}, b.book.heard()); diff != "" {
		t.Errorf("handed over (-want +got):\n%s", diff)
	}
	for range lent {
		if !b.book.take(1) {
			t.Fatal("what was lent cannot be used")
		}
	}
}

// TestOneWriteForEachWish counts requests: that the operator has written the object in between costs nothing.
func TestOneWriteForEachWish(t *testing.T) {
	b := start(t, plane.Namespace(t), nil)
	b.settled()
	b.book.limit(1)
	b.writes.reset()
	const wishes = 8
	for wish := range int64(wishes) {
		b.book.exhaust(0)
		b.settled()
		b.clock.Step(firstPause)
		b.Eventually(func() bool {
			asks := b.instance(t).Status.Asks
			return len(asks) == 1 && asks[0].Limits[0].Granted == lent*wish && asks[0].Limits[0].Need == lent*wish+1
		}, soon).Should(gomega.BeTrue())
		b.settled()
		b.answer(t)
		b.has(0, lent)
	}
	if diff := cmp.Diff(map[string]int{statusUpdate: wishes}, b.writes.reset()); diff != "" {
		t.Errorf("requests for %d wishes (-want +got):\n%s", wishes, diff)
	}
}

func TestNothingIsWrittenOnceEverythingIsAcknowledged(t *testing.T) {
	b := start(t, plane.Namespace(t), nil)
	b.settled()
	b.book.limit(1)
	b.book.take(0)
	b.asks(t, 0)
	b.answer(t)
	b.has(0, lent)
	b.book.take(0)
	b.pass(DefaultInterval) // What was answered leaves the status.
	b.asks(t)
	b.pass(2 * DefaultInterval) // What is not used is given back.
	b.pass(DefaultInterval)
	b.asks(t, 0)
	b.book.heard()
	if got := b.instance(t).Status.Asks[0].Limits[0]; got.Returned != lent-1 || got.Number != 0 {
		t.Errorf("ask %+v, want nine given back and no wish", got)
	}
	b.answer(t)
	b.Eventually(func() int { return len(b.book.heard()) }, soon).Should(gomega.BeNumerically(">", 0))
	b.pass(DefaultInterval)
	b.asks(t)
	b.settled()
	b.writes.reset()
	instance := b.instance(t)
	for range 3 { // not so long that the Lease is due
		remind(b.book.urgent)
		b.pass(DefaultInterval / 2)
	}
	if got := b.writes.reset(); got[statusUpdate] != 0 || b.instance(t).ResourceVersion != instance.ResourceVersion {
		t.Errorf("requests at rest: %v", got)
	}
}

// TestNobodyLooksForEachRequest has requests find a limit used up, one after the other.
func TestNobodyLooksForEachRequest(t *testing.T) {
	b := start(t, plane.Namespace(t), nil)
	b.settled()
	b.book.limit(1)
	b.book.take(0)
	b.asks(t, 0)
	b.settled()
	b.pass(firstPause)
	looks := func() (n int) { b.book.set(func() { n = b.book.looks }); return n }
	before := looks()
	for range 50 {
		b.book.take(0)
		remind(b.book.urgent)
		b.Eventually(func() int { return len(b.book.urgent) }, soon).Should(gomega.BeZero())
	}
	b.settled()
	if got := looks() - before; got > 1 {
		t.Errorf("%d looks at everything while the clock stood still", got)
	}
}

func TestAGrantComesThroughABreakOfTheWatch(t *testing.T) {
	c, cut := severable(t)
	b := start(t, plane.Namespace(t), func(o *Options) { o.Client, o.Clock = c, nil })
	b.Eventually(b.Name, soon).ShouldNot(gomega.BeEmpty())
	b.book.limit(1)
	for round := range int64(5) {
		for b.book.take(0) {
		}
		b.Eventually(func() bool {
			asks := b.instance(t).Status.Asks
			return len(asks) == 1 && asks[0].Limits[0].Need == lent*round+1
		}, soon).Should(gomega.BeTrue())
		cut()
		b.answer(t)
		b.has(0, lent)
	}
}

// TestAGrantDoesNotWaitForAWrite holds up a page of numbers.
func TestAGrantDoesNotWaitForAWrite(t *testing.T) {
	b := start(t, plane.Namespace(t), nil)
	b.settled()
	b.book.limit(1)
	b.book.take(0)
	b.asks(t, 0)
	held, free := make(chan struct{}), make(chan struct{})
	hold := sync.OnceFunc(func() { close(held); <-free })
	b.writes.set(func(_ context.Context, object client.Object, pass func() error) error {
		if _, numbers := object.(*v1alpha1.ProxyReport); numbers {
			hold()
		}
		return pass()
	})
	b.book.use(1, 1)
	b.settled()
	asks := b.instance(t).Status.Asks
	b.clock.Step(DefaultInterval)
	<-held
	b.answerTo(t, asks)
	b.has(0, lent)
	close(free)
	b.counted(t, nil, 1)
}

func TestWhatHasNoRoomFollowsTheAnswer(t *testing.T) {
	b := start(t, plane.Namespace(t), nil)
	b.settled()
	const endpoints = 2*MaxAsks + 10
	b.book.limit(endpoints)
	for i := range endpoints {
		b.book.take(i)
	}
	known := map[string]bool{}
	news := func() (more bool) {
		for _, a := range b.instance(t).Status.Asks {
			more = more || !known[a.UID]
			known[a.UID] = true
		}
		return more
	}
	for len(known) < endpoints { // all of it long before the status would be looked at by itself
		b.Eventually(news, soon).Should(gomega.BeTrue())
		b.settled()
		b.answer(t)
		b.Eventually(func() bool { return len(b.book.heard()) > 0 }, soon).Should(gomega.BeTrue())
		b.pass(4 * firstPause)
	}
	for i := range endpoints {
		b.has(i, lent)
	}
}

// TestGrantsAreHandedOverAgainWithEachRenewal is about purses that are made anew, as when their endpoint was away for
// long.
func TestGrantsAreHandedOverAgainWithEachRenewal(t *testing.T) {
	b := start(t, plane.Namespace(t), nil)
	b.settled()
	b.book.limit(1)
	b.book.take(0)
	b.asks(t, 0)
	b.answer(t)
	b.has(0, lent)
	b.book.heard()
	b.pass(DefaultRenewEvery)
	if diff := cmp.Diff([]string{"endpoint-0 may use 10, one of 1"}, b.book.heard()); diff != "" {
		t.Errorf("handed over (-want +got):\n%s", diff)
	}
}

func TestALostInstanceTakesItsGrantsWithIt(t *testing.T) {
	b := start(t, plane.Namespace(t), nil)
	b.settled()
	b.book.limit(1)
	b.book.take(0)
	b.asks(t, 0)
	b.answer(t)
	b.has(0, lent)
	b.book.heard()
	for range 2 {
		b.settled()
		old := b.instance(t)
		if err := plane.Client.Delete(t.Context(), old); err != nil {
			t.Fatal(err)
		}
		b.Eventually(func() string { b.clock.Step(time.Second); return b.Name() }, soon, "20ms").ShouldNot(gomega.BeElementOf("", old.Name))
		b.settled()
		// What comes for the old one is for nobody.
		if err := plane.Client.Get(t.Context(), client.ObjectKeyFromObject(old), old); err != nil {
			t.Fatal(err)
		}
		old.Spec.Grants[0].Limits[0].Granted = 1000
		if err := plane.Client.Update(t.Context(), old); err != nil {
			t.Fatal(err)
		}
		if b.book.take(0) {
			t.Fatal("what was lent to the old instance is used under the new one")
		}
		b.Eventually(func() int { b.clock.Step(firstPause); return len(b.instance(t).Status.Asks) }, soon, "20ms").Should(gomega.Equal(1))
		b.answer(t)
		b.has(0, lent)
		if got := b.instance(t).Spec.Grants[0].Limits[0].Granted; got != lent {
			t.Errorf("the new instance was lent %d, want %d", got, lent)
		}
		if diff := cmp.Diff([]string{"disowned", "endpoint-0 may use 10, one of 1"}, b.book.heard()); diff != "" {
			t.Errorf("what the proxy heard (-want +got):\n%s", diff)
		}
		release(t, old)
	}
}

// TestAWishWhoseAnswerIsLostIsRepeated loses the answer to the write that makes it.
func TestAWishWhoseAnswerIsLostIsRepeated(t *testing.T) {
	for name, stored := range map[string]bool{"the write came through": true, "the write did not": false} {
		t.Run(name, func(t *testing.T) {
			b := start(t, plane.Namespace(t), nil)
			b.settled()
			b.book.limit(1)
			var once sync.Once
			b.writes.set(func(_ context.Context, _ client.Object, pass func() error) (err error) {
				lost := false
				once.Do(func() { lost = true })
				if !lost || stored {
					err = pass()
				}
				if lost {
					err = errors.Join(err, errors.New("the connection was lost"))
				}
				return err
			})
			b.book.take(0)
			b.Eventually(func() int { return b.log.count("cannot be kept") }, soon).Should(gomega.Equal(1))
			b.book.take(0) // It is still needed.
			b.settled()
			b.book.set(func() { b.clock.Step(2 * firstRetry) })
			b.asks(t, 0)
			b.answer(t)
			b.has(0, lent)
			b.pass(DefaultInterval)
			b.asks(t)
			b.settled()
			b.writes.reset()
			remind(b.book.urgent)
			b.pass(firstPause)
			if got := b.writes.reset(); len(got) != 0 {
				t.Errorf("requests after all was answered: %v", got)
			}
		})
	}
}

func TestTheLastWordGivesBackWhatIsNotUsed(t *testing.T) {
	b := start(t, plane.Namespace(t), nil)
	b.settled()
	b.book.limit(1)
	b.book.fail(1, 3)
	b.book.take(0)
	b.Eventually(func() int { b.clock.Step(firstPause); return len(b.instance(t).Status.Asks) }, soon, "20ms").Should(gomega.Equal(1))
	b.answer(t)
	b.has(0, lent)
	b.book.take(0)
	b.book.use(1, 1)
	b.settled()
	// The operator lends once more just before the last word.
	var once sync.Once
	b.writes.set(func(ctx context.Context, object client.Object, pass func() error) error {
		if instance, ok := object.(*v1alpha1.ProxyInstance); ok && instance.Status.Ended {
			once.Do(func() {
				var found v1alpha1.ProxyInstance
				if err := plane.Client.Get(ctx, client.ObjectKeyFromObject(instance), &found); err != nil {
					t.Error(err)
				}
				found.Spec.Grants[0].Limits[0].Granted += 5
				if err := plane.Client.Update(ctx, &found); err != nil {
					t.Error(err)
				}
			})
		}
		return pass()
	})
	b.book.retire()
	b.stop()
	got := b.instance(t).Status
	if !got.Ended || !got.Final || len(got.Signals) != 0 || got.Pages != 1 {
		t.Errorf("status %+v, want ended, final, one page and no signals", got)
	}
	if len(got.Asks) != 1 || got.Asks[0].Limits[0].Granted != lent+5 || got.Asks[0].Limits[0].Returned != lent+4 || got.Asks[0].Limits[0].Number != 0 {
		t.Errorf("asks %+v, want 14 of 15 given back", got.Asks)
	}
	if got := b.requests(t)[uid(0)]; got != 1 {
		t.Errorf("%d requests are on record, want the one that was used", got)
	}
}

func TestTheLastWordHasNoDemand(t *testing.T) {
	b := start(t, plane.Namespace(t), nil)
	b.settled()
	var asks []quota.EndpointAsk
	for i := range 2 * MaxAsks {
		asks = append(asks, quota.EndpointAsk{Endpoint: endpoint(i), Demand: &quota.Amounts{RequestsPerMinute: 60}})
	}
	asks[7].Asks = []quota.Ask{{Key: quota.Key{Limit: quota.Requests, Start: period}, Granted: 10, Returned: 4}}
	b.book.set(func() { b.book.asks = asks })
	remind(b.book.urgent)
	b.Eventually(func() int { return len(b.instance(t).Status.Asks) }, soon).Should(gomega.Equal(MaxAsks))
	b.settled()
	b.stop()
	if got := b.instance(t).Status.Asks; len(got) != 1 || got[0].UID != uid(7) || got[0].Demand != nil || got[0].Limits[0].Returned != 4 {
		t.Errorf("asks %+v, want what is given back and nothing else", got)
	}
	if got := b.log.count("last word"); got != 0 {
		t.Error("the last word counts as not said for want of room")
	}
}

// TestTheLastWordWaitsForRoom has more to give back than a status takes.
func TestTheLastWordWaitsForRoom(t *testing.T) {
	b := start(t, plane.Namespace(t), func(o *Options) { o.Clock = nil })
	b.Eventually(b.Name, soon).ShouldNot(gomega.BeEmpty())
	const endpoints = MaxAsks + 10 // more than the last word has room for
	b.book.limit(endpoints)
	instance := b.instance(t)
	for i := range endpoints {
		instance.Spec.Grants = append(instance.Spec.Grants, v1alpha1.EndpointGrant{
			UID: uid(i), Namespace: "team", Name: endpoint(i).Name,
			Limits: []v1alpha1.LimitGrant{{Limit: v1alpha1.LimitRequests, Start: metav1.NewTime(period), Granted: lent}},
		})
	}
	b.Eventually(func() error {
		grants := instance.Spec.Grants
		instance = b.instance(t)
		instance.Spec.Grants = grants
		return plane.Client.Update(t.Context(), instance)
	}, soon).Should(gomega.Succeed())
	for i := range endpoints {
		b.has(i, lent)
	}
	b.book.retire()
	ctx, cancel := context.WithCancel(t.Context())
	var operator sync.WaitGroup
	operator.Go(func() {
		for ctx.Err() == nil {
			found := &v1alpha1.ProxyInstance{}
			if err := plane.Client.Get(ctx, client.ObjectKeyFromObject(instance), found); err != nil {
				continue
			}
			if before := found.DeepCopy(); !found.Status.Ended {
				if lend(found); !cmp.Equal(before.Spec, found.Spec) {
					_ = plane.Client.Update(ctx, found)
				}
			}
		}
	})
	b.stop()
	cancel()
	operator.Wait()
	instance = b.instance(t)
	lend(instance) // the last word
	for _, g := range instance.Spec.Grants {
		if g.Limits[0].Returned != lent {
			t.Errorf("%s gave back %d of %d", g.Name, g.Limits[0].Returned, lent)
		}
	}
	if !instance.Status.Final || b.log.count("last word") > 0 {
		t.Errorf("status %+v, want the last word said", instance.Status)
	}
}
