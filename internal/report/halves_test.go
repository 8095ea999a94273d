// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"context"
	"sync"
	"testing"

	"github.com/onsi/gomega"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/turnout-ai/turnout/api/v1alpha1"
)

// meanwhile does something once, before the next status is written.
func (b *bench) meanwhile(do func(instance *v1alpha1.ProxyInstance)) {
	var once sync.Once
	b.writes.set(func(ctx context.Context, object client.Object, pass func() error) error {
		if instance, ok := object.(*v1alpha1.ProxyInstance); ok {
			once.Do(func() {
				found := &v1alpha1.ProxyInstance{}
				if err := plane.Client.Get(ctx, client.ObjectKeyFromObject(instance), found); err == nil {
					do(found)
				}
			})
		}
		return pass()
	})
}

func TestTheOperatorsWritesAreNotInTheWayOfAStatus(t *testing.T) {
	b := start(t, plane.Namespace(t), nil)
	b.settled()
	b.meanwhile(func(instance *v1alpha1.ProxyInstance) {
		instance.Spec.Proxies = new(int32(7))
		if err := plane.Client.Update(t.Context(), instance); err != nil {
			t.Error(err)
		}
	})
	b.writes.reset()
	b.book.fail(1, 3)
	b.shows(t, 3)
	b.settled()
	if got := b.writes.reset(); len(got) != 1 || got[statusUpdate] != 1 {
		t.Errorf("requests for one status: %v", got)
	}
	b.Eventually(func() int32 { return *b.instance(t).Spec.Proxies }, soon).Should(gomega.BeEquivalentTo(7))
}

func TestWhatIsNotSaidAnyMoreLeavesTheStatus(t *testing.T) {
	b := start(t, plane.Namespace(t), nil)
	b.settled()
	b.book.fail(1, 3)
	b.shows(t, 3)
	b.book.set(func() { b.book.signals = nil })
	b.pass(DefaultInterval)
	b.shows(t, 0)
	if got := b.instance(t).Status; got.Version != "v1.2.3" || len(got.Conditions) != 1 {
		t.Errorf("status %+v, want the rest as it was", got)
	}
}

// TestAnEndThatOthersSayIsFoundInTheAnswer has a successor, the operator and somebody with force be faster than a
// report. The clock stands still: the answer alone tells.
func TestAnEndThatOthersSayIsFoundInTheAnswer(t *testing.T) {
	for name, end := range map[string]func(*testing.T, *v1alpha1.ProxyInstance){
		"a successor says that it has ended": func(t *testing.T, instance *v1alpha1.ProxyInstance) {
			instance.Status.Ended = true
			if err := plane.Client.Status().Update(t.Context(), instance); err != nil {
				t.Error(err)
			}
		},
		"the operator deletes it": func(t *testing.T, instance *v1alpha1.ProxyInstance) {
			if err := plane.Client.Delete(t.Context(), instance); err != nil {
				t.Error(err)
			}
		},
		"another takes its name": func(t *testing.T, instance *v1alpha1.ProxyInstance) {
			release(t, instance)
			again := &v1alpha1.ProxyInstance{}
			again.Namespace, again.Name = instance.Namespace, instance.Name
			if err := plane.Client.Create(t.Context(), again); err != nil {
				t.Error(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := start(t, plane.Namespace(t), nil)
			b.settled()
			old := b.instance(t)
			b.meanwhile(func(instance *v1alpha1.ProxyInstance) { end(t, instance) })
			b.book.fail(1, 3)
			b.Eventually(b.Name, soon).ShouldNot(gomega.BeElementOf("", old.Name))
			b.shows(t, 3)
			stored := &v1alpha1.ProxyInstance{}
			if err := plane.Client.Get(t.Context(), client.ObjectKeyFromObject(old), stored); err != nil {
				t.Fatal(err)
			}
			if stored.UID == old.UID && !stored.Status.Ended {
				t.Error("a report has taken the end back")
			}
			if stored.UID != old.UID && !fresh(stored) {
				t.Errorf("another instance was written to: %+v", stored.Status)
			}
			b.settled()
		})
	}
}
