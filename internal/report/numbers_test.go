// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/onsi/gomega"
	"github.com/prometheus/client_golang/prometheus/testutil"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/connrotation"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/turnout-ai/turnout/api/v1alpha1"
	"github.com/turnout-ai/turnout/internal/kube"
)

// reports are those of the namespace, by name.
func (b *bench) reports(t *testing.T) []v1alpha1.ProxyReport {
	t.Helper()
	var list v1alpha1.ProxyReportList
	if err := plane.Client.List(t.Context(), &list, client.InNamespace(b.namespace)); err != nil {
		t.Fatal(err)
	}
	return list.Items
}

// page is the first report of the present instance.
func (b *bench) page(t *testing.T) *v1alpha1.ProxyReport {
	t.Helper()
	var report v1alpha1.ProxyReport
	if err := plane.Client.Get(t.Context(), client.ObjectKey{Namespace: b.namespace, Name: b.Name() + "-0"}, &report); err != nil {
		t.Fatal(err)
	}
	return &report
}

// requests sums up what all reports of the namespace say, by endpoint.
func (b *bench) requests(t *testing.T) map[string]int64 {
	t.Helper()
	sum := map[string]int64{}
	for _, report := range b.reports(t) {
		for _, n := range report.Status.Endpoints {
			for _, p := range n.Quota {
				sum[n.UID] += p.Requests
			}
		}
	}
	return sum
}

// counted waits until the reports and what was folded add up to what was used.
func (b *bench) counted(t *testing.T, folded map[string]int64, want ...int64) {
	t.Helper()
	wanted := map[string]int64{}
	for i, n := range want {
		wanted[uid(i)] = n
	}
	b.Eventually(func() string {
		sum := maps.Clone(folded)
		if sum == nil {
			sum = map[string]int64{}
		}
		for uid, n := range b.requests(t) {
			sum[uid] += n
		}
		return cmp.Diff(wanted, sum)
	}, soon).Should(gomega.BeEmpty())
}

// seal marks a report as being taken into the books.
func seal(t *testing.T, report *v1alpha1.ProxyReport) {
	t.Helper()
	base := report.DeepCopy()
	report.Spec.Sealed = true
	if err := plane.Client.Patch(t.Context(), report, client.MergeFrom(base)); err != nil {
		t.Fatal(err)
	}
}

// release lets an object go.
func release(t *testing.T, object client.Object) {
	t.Helper()
	base := object.DeepCopyObject().(client.Object)
	object.SetFinalizers(nil)
	if err := plane.Client.Patch(t.Context(), object, client.MergeFrom(base)); err != nil {
		t.Fatal(err)
	}
	if err := client.IgnoreNotFound(plane.Client.Delete(t.Context(), object)); err != nil {
		t.Fatal(err)
	}
}

// fold does what the operator does with a process that it believes dead: seal, add up, delete.
func (b *bench) fold(t *testing.T, instance *v1alpha1.ProxyInstance, into map[string]int64) {
	t.Helper()
	for _, report := range b.reports(t) {
		if report.Spec.InstanceUID != string(instance.UID) {
			continue
		}
		seal(t, &report)
		for _, n := range report.Status.Endpoints {
			into[n.UID] += n.Quota[0].Requests
		}
		release(t, &report)
	}
	release(t, instance)
}

func TestNumbersAreWrittenOncePerInterval(t *testing.T) {
	b := start(t, plane.Namespace(t), nil)
	b.settled()
	b.book.use(2, 5)
	b.pass(DefaultInterval)
	b.counted(t, nil, 5, 5)
	instance, report := b.instance(t), b.reports(t)[0]
	if instance.Status.Pages != 1 || report.Name != instance.Name+"-0" || report.Spec.InstanceUID != string(instance.UID) || report.Spec.Sealed {
		t.Errorf("%d pages, report %s of %s; want one of this instance", instance.Status.Pages, report.Name, report.Spec.InstanceUID)
	}
	if len(report.OwnerReferences) != 1 || report.OwnerReferences[0].UID != instance.UID || len(report.Finalizers) != 1 || report.Finalizers[0] != v1alpha1.FoldFinalizer {
		t.Errorf("owners %v, finalizers %v", report.OwnerReferences, report.Finalizers)
	}
	b.settled()
	if writes, bytes := testutil.ToFloat64(b.metrics.writes.WithLabelValues("numbers")), testutil.ToFloat64(b.metrics.bytes.WithLabelValues("numbers")); writes != 2 || bytes < 500 {
		t.Errorf("the metrics know of %v writes of %v bytes, want two: the report and its numbers", writes, bytes)
	}
	b.book.use(1, 1)
	b.pass(DefaultInterval - time.Second)
	b.counted(t, nil, 5, 5)
	b.pass(time.Second)
	b.counted(t, nil, 6, 5)
}

func TestManyEndpointsTakeSeveralPagesAndKeepThem(t *testing.T) {
	b := start(t, plane.Namespace(t), nil)
	b.settled()
	const endpoints = 2000
	b.book.use(endpoints, 1)
	b.pass(DefaultInterval)
	b.Eventually(func() int { return len(b.requests(t)) }, soon).Should(gomega.Equal(endpoints))
	pageOf := func() map[string]int32 {
		pages := map[string]int32{}
		for _, report := range b.reports(t) {
			if size := sizeOf(report.Status.Endpoints); size > MaxPageBytes || len(report.Status.Endpoints) > 2048 {
				t.Errorf("page %d has %d endpoints in %d bytes", report.Spec.Page, len(report.Status.Endpoints), size)
			}
			for _, n := range report.Status.Endpoints {
				if other, twice := pages[n.UID]; twice {
					t.Errorf("%s is on the pages %d and %d", n.UID, other, report.Spec.Page)
				}
				pages[n.UID] = report.Spec.Page
			}
		}
		return pages
	}
	before := pageOf()
	if got, want := int(b.instance(t).Status.Pages), len(b.reports(t)); got != want {
		t.Errorf("the instance says that there are %d pages of %d", got, want)
	}
	b.settled()
	b.writes.reset()
	b.book.use(endpoints+1, 1) // one more, and one page more would be too many
	b.book.use(PageEndpoints, 1)
	b.pass(DefaultInterval)
	b.Eventually(func() int64 { return b.requests(t)[uid(endpoints)] }, soon).Should(gomega.BeEquivalentTo(1))
	b.settled()
	after := pageOf()
	delete(after, uid(endpoints))
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("pages of the endpoints (-before +after):\n%s", diff)
	}
	b.writes.reset()
	b.book.use(PageEndpoints, 1) // those of the first page
	b.pass(DefaultInterval)
	b.Eventually(func() int64 { return b.requests(t)[uid(0)] }, soon).Should(gomega.BeEquivalentTo(4))
	b.settled()
	if diff := cmp.Diff(map[string]int{"update status of *v1alpha1.ProxyReport": 1}, b.writes.reset()); diff != "" {
		t.Errorf("writes when one page has changed (-want +got):\n%s", diff)
	}
}

func TestAProxyThatWasBelievedDeadCountsOn(t *testing.T) {
	for name, kill := range map[string]func(t *testing.T, b *bench, folded map[string]int64){
		"its report is sealed": func(t *testing.T, b *bench, _ map[string]int64) { seal(t, b.page(t)) },
		"its numbers are in the books, and everything is gone": func(t *testing.T, b *bench, folded map[string]int64) {
			b.fold(t, b.instance(t), folded)
		},
		"its instance is about to go": func(t *testing.T, b *bench, _ map[string]int64) {
			if err := plane.Client.Delete(t.Context(), b.instance(t)); err != nil {
				t.Fatal(err)
			}
		},
		"its instance is marked as ended": func(t *testing.T, b *bench, _ map[string]int64) {
			instance := b.instance(t)
			instance.Status.Ended = true
			if err := plane.Client.Status().Update(t.Context(), instance); err != nil {
				t.Fatal(err)
			}
		},
		"its report is gone": func(t *testing.T, b *bench, folded map[string]int64) {
			report := b.page(t)
			for _, n := range report.Status.Endpoints {
				folded[n.UID] += n.Quota[0].Requests
			}
			release(t, report)
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := start(t, plane.Namespace(t), nil)
			folded := map[string]int64{}
			b.Report(Current{Status: true, Reason: "Current", Message: "fine"})
			b.settled()
			for round := range int64(2) { // the second time there is something to carry over already
				b.book.use(2, 5)
				b.pass(DefaultInterval)
				b.counted(t, folded, 11*round+5, 11*round+5)
				b.settled()
				old := b.Name()
				b.book.use(2, 6) // counted, and not written yet
				kill(t, b, folded)
				b.Eventually(func() string { b.clock.Step(DefaultInterval); return b.Name() }, soon, "50ms").ShouldNot(gomega.BeElementOf("", old))
				b.pass(DefaultInterval)
				b.counted(t, folded, 11*round+11, 11*round+11)
				b.Eventually(func() bool { return b.current(t) != nil }, soon).Should(gomega.BeTrue(), "the new instance says what the old one said")
			}
			b.stop()
			b.counted(t, folded, 22, 22)
			if !b.instance(t).Status.Final {
				t.Error("the last word is not final")
			}
		})
	}
}

// TestALostAnswerIsCountedOnce loses the answer to a write, and has the process believed dead before it can look
// what became of it.
func TestALostAnswerIsCountedOnce(t *testing.T) {
	for name, c := range map[string]struct {
		stored, gone bool
		want         int64 // that the books have in the end, of 12
	}{
		"the write came through":                         {stored: true, want: 12},
		"the write did not":                              {want: 12},
		"the write came through, and the report is gone": {stored: true, gone: true, want: 12},
		// Nobody can tell this one from the one before. Counting the five twice would be worse.
		"the write did not, and the report is gone": {gone: true, want: 7},
	} {
		t.Run(name, func(t *testing.T) {
			folded := map[string]int64{}
			b := start(t, plane.Namespace(t), nil)
			b.settled()
			b.book.use(1, 1)
			b.pass(DefaultInterval)
			b.counted(t, nil, 1)
			b.settled()
			old, kill := b.instance(t), func() { b.fold(t, b.instance(t), folded) }
			if !c.gone {
				kill = func() { _ = plane.Client.Delete(t.Context(), old) }
			}
			b.writes.set(losing(c.stored, kill))
			b.book.use(1, 5)
			b.pass(DefaultInterval)
			b.Eventually(func() string { b.clock.Step(time.Second); return b.Name() }, soon, "50ms").ShouldNot(gomega.BeElementOf("", old.Name))
			b.book.use(1, 6)
			b.pass(DefaultInterval)
			b.pass(2 * maxRetry)
			b.counted(t, folded, c.want)
		})
	}
}

// losing loses the answer to the next write of numbers, which may or may not come through, and then kills.
func losing(stored bool, kill func()) func(context.Context, client.Object, func() error) error {
	var once sync.Once
	return func(_ context.Context, object client.Object, pass func() error) (err error) {
		lost := false
		if _, numbers := object.(*v1alpha1.ProxyReport); numbers {
			once.Do(func() { lost = true })
		}
		if stored || !lost {
			err = pass()
		}
		if lost {
			kill()
			err = errors.Join(err, errors.New("the connection was lost"))
		}
		return err
	}
}

// TestWhateverHappensNothingIsCountedTwice has random trouble, short of taking away a report whose last write
// nobody knows of, and then an end in order.
func TestWhateverHappensNothingIsCountedTwice(t *testing.T) {
	for seed := range uint64(3) {
		random := rand.New(rand.NewPCG(seed, 7))
		b := start(t, plane.Namespace(t), nil)
		b.settled()
		var used [4]int64
		for range 30 {
			switch random.IntN(6) {
			case 0, 1:
				n, requests := 1+random.IntN(len(used)), random.Int64N(100)
				b.book.use(n, requests)
				for i := range n {
					used[i] += requests
				}
			case 2:
				b.writes.set(losing(random.IntN(2) == 0, func() {}))
			case 3:
				for _, report := range b.reports(t) {
					if random.IntN(2) == 0 {
						seal(t, &report)
					}
				}
			case 4:
				if name := b.Name(); name != "" && random.IntN(2) == 0 {
					instance := &v1alpha1.ProxyInstance{ObjectMeta: metav1.ObjectMeta{Namespace: b.namespace, Name: name}}
					if err := plane.Client.Delete(t.Context(), instance); err != nil {
						t.Fatal(err)
					}
				}
			}
			b.clock.Step(time.Duration(random.Int64N(int64(2 * DefaultInterval))))
			for uid, n := range b.requests(t) {
				if i, _ := strconv.Atoi(uid[len(uid)-1:]); n > used[i] {
					t.Fatalf("seed %d: %d requests of endpoint %d are on record, and there were %d", seed, n, i, used[i])
				}
			}
		}
		b.Eventually(func() string { b.clock.Step(time.Second); return b.Name() }, soon, "50ms").ShouldNot(gomega.BeEmpty())
		b.stop()
		for i, n := range used {
			if got := b.requests(t)[uid(i)]; got != n {
				t.Errorf("seed %d: %d requests of endpoint %d are on record, and there were %d", seed, got, i, n)
			}
		}
	}
}

func TestTheLastWordHasAllNumbers(t *testing.T) {
	b := start(t, plane.Namespace(t), nil)
	b.settled()
	b.book.fail(1, 3)
	b.shows(t, 3)
	b.book.use(3, 1)
	b.pass(DefaultInterval)
	b.counted(t, nil, 1, 1, 1)
	b.settled()
	b.book.use(4, 2)
	b.stop()
	b.counted(t, nil, 3, 3, 3, 2)
	got := b.instance(t)
	if !got.Status.Ended || !got.Status.Final || len(got.Status.Signals) != 0 || got.Status.Pages != 1 {
		t.Errorf("status %+v, want ended, final, one page and no signals", got.Status)
	}
	if !got.DeletionTimestamp.IsZero() || len(got.Finalizers) != 1 {
		t.Error("the instance is the operator's to delete, once it has the numbers")
	}
	if diff := cmp.Diff([]string{"instance " + got.Name}, b.left(t)); diff != "" {
		t.Errorf("objects after the end (-want +got):\n%s", diff)
	}
}

// severable is a client whose connections can be cut.
func severable(t *testing.T) (c client.WithWatch, cut func()) {
	t.Helper()
	dialer := connrotation.NewDialer((&net.Dialer{}).DialContext)
	config := rest.CopyConfig(plane.Config)
	config.Dial = dialer.DialContext
	c, err := kube.NewClient(config, nil)
	if err != nil {
		t.Fatal(err)
	}
	return c, dialer.CloseAll
}

func TestAnOutageLosesNothing(t *testing.T) {
	c, cut := severable(t)
	b := start(t, plane.Namespace(t), func(o *Options) { o.Client, o.Clock = c, nil })
	b.Eventually(b.Name, soon).ShouldNot(gomega.BeEmpty())
	name := b.Name()
	b.book.use(2, 1)
	b.counted(t, nil, 1, 1)
	stopped := make(chan struct{})
	var cutting sync.WaitGroup
	cutting.Go(func() { // An API server that ends waits for its watches.
		ticker := time.NewTicker(100 * time.Millisecond)
		defer ticker.Stop()
		for {
			select {
			case <-stopped:
				return
			case <-ticker.C:
				cut()
			}
		}
	})
	plane.StopAPIServer(t)
	close(stopped)
	cutting.Wait()
	b.book.use(2, 10)
	b.book.fail(1, 3)
	b.Eventually(func() int { return b.log.count("cannot be kept") }, soon).Should(gomega.Equal(1))
	b.book.use(3, 100)
	plane.StartAPIServer(t)
	b.shows(t, 3)
	b.counted(t, nil, 111, 111, 100)
	if b.Name() != name {
		t.Errorf("the outage made %s of %s, want the same instance", b.Name(), name)
	}
}

func TestRefusedNumbersDoNotHoldUpSignals(t *testing.T) {
	b := start(t, plane.Namespace(t), nil)
	b.settled()
	b.book.set(func() { b.book.numbers = nil })
	b.book.use(1, 1)
	b.book.set(func() { b.book.numbers[0].Namespace = strings.Repeat("x", 64) }) // which the schema refuses
	b.pass(DefaultInterval)
	b.Eventually(func() int { return b.log.count("cannot be kept") }, soon).Should(gomega.Equal(1))
	b.book.fail(1, 3)
	b.shows(t, 3)
}
