// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/turnout-ai/turnout/api/v1alpha1"
)

// In the bubble of synctest the queue's clock stands still until everything waits for it.
func TestABurstIsOneLook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[ctrl.Request]())
		defer q.ShutDown()
		in := func(namespace string) *v1alpha1.ModelEndpoint {
			return &v1alpha1.ModelEndpoint{ObjectMeta: metav1.ObjectMeta{Namespace: namespace}}
		}
		changes := &namespaceChanges{mine: map[string]bool{"c": true}}
		changes.ofSecrets("c") // Nobody looks yet, so that nothing can be missed.
		if err := changes.Start(t.Context(), q); err != nil {
			t.Fatal(err)
		}
		for range 100 {
			enqueueNamespace.Create(t.Context(), event.CreateEvent{Object: in("a")}, q)
			enqueueNamespace.Update(t.Context(), event.UpdateEvent{ObjectOld: in("a"), ObjectNew: in("a")}, q)
			enqueueNamespace.Delete(t.Context(), event.DeleteEvent{Object: in("b")}, q)
			changes.ofSecrets("c")
			changes.ofSecrets("of somebody else")
		}
		synctest.Wait()
		if n := q.Len(); n != 0 {
			t.Errorf("%d looks without a holdoff", n)
		}
		<-time.After(time.Hour)
		synctest.Wait()
		got := map[string]int{}
		for q.Len() > 0 {
			r, _ := q.Get()
			got[r.Name]++
			q.Done(r)
		}
		if diff := cmp.Diff(map[string]int{"a": 1, "b": 1, "c": 1}, got); diff != "" {
			t.Errorf("looks (-want +got):\n%s", diff)
		}
	})
}

func TestStraysOfTheTimeBeforeAnOperatorLeadsAreLookedAt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[ctrl.Request]())
		defer q.ShutDown()
		metrics, err := NewMetrics(prometheus.NewRegistry())
		if err != nil {
			t.Fatal(err)
		}
		p := newParts(Options{Metrics: metrics})
		report := func(instance string) *v1alpha1.ProxyReport {
			return &v1alpha1.ProxyReport{
				ObjectMeta: metav1.ObjectMeta{Namespace: "proxies", Name: instance + "-0"},
				Spec:       v1alpha1.ProxyReportSpec{Instance: instance, InstanceUID: "uid of " + instance},
			}
		}
		p.books.SetInstance(&v1alpha1.ProxyInstance{ObjectMeta: metav1.ObjectMeta{Namespace: "proxies", Name: "known", UID: "uid of known"}})
		p.books.SetReport(report("known"))
		p.books.SetReport(report("stray"))
		if err := p.strays.Start(t.Context(), q); err != nil {
			t.Fatal(err)
		}
		<-time.After(time.Hour)
		synctest.Wait()
		var got []string
		for q.Len() > 0 {
			r, _ := q.Get()
			got = append(got, r.String())
			q.Done(r)
		}
		if diff := cmp.Diff([]string{"proxies/stray"}, got); diff != "" {
			t.Errorf("looks (-want +got):\n%s", diff)
		}
	})
}
