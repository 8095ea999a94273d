// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"

	"github.com/turnout-ai/turnout/api/v1alpha1"
)

// version is one version of an endpoint.
func version(name, uid string, generation int64) *v1alpha1.ModelEndpoint {
	return &v1alpha1.ModelEndpoint{ObjectMeta: metav1.ObjectMeta{
		Namespace: "ns", Name: name, UID: types.UID(uid), Generation: generation,
		ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "kubectl"}},
	}}
}

func TestMirrorTellsOnlyWhatMatters(t *testing.T) {
	tests := []struct {
		name     string
		write    func(t *testing.T, s cache.ReflectorStore)
		wantTold bool
	}{
		{name: "a new object", write: update(version("new", "u2", 1)), wantTold: true},
		{name: "a new version that does not differ", write: update(version("known", "u1", 1))},
		{name: "a new version that differs", write: update(version("known", "u1", 2)), wantTold: true},
		{name: "another object of the same name that looks the same", write: update(version("known", "u9", 1)), wantTold: true},
		{name: "a deletion", write: remove(version("known", "u1", 1)), wantTold: true},
		{name: "the deletion of something unknown", write: remove(version("unknown", "u3", 1))},
		{name: "a list that says nothing new", write: replace(version("known", "u1", 1))},
		{name: "a list with one more", write: replace(version("known", "u1", 1), version("new", "u2", 1)), wantTold: true},
		{name: "a list with one less", write: replace(), wantTold: true},
		{name: "a list with another in its place", write: replace(version("new", "u2", 1)), wantTold: true},
		{name: "a list with a version that differs", write: replace(version("known", "u1", 2)), wantTold: true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			told := 0
			m := NewMirror(&cache.ListWatch{}, &v1alpha1.ModelEndpoint{}, Options[*v1alpha1.ModelEndpoint]{
				Strip:   func(e *v1alpha1.ModelEndpoint) { e.ManagedFields = nil },
				Differs: func(old, updated *v1alpha1.ModelEndpoint) bool { return old.Generation != updated.Generation },
				Changed: func() { told++ },
			})
			s := store[*v1alpha1.ModelEndpoint]{m}
			replace(version("known", "u1", 1))(t, s)
			if told != 1 || !m.Synced() {
				t.Fatalf("told %d times, synced %v after the first list; want once, true", told, m.Synced())
			}
			told = 0
			test.write(t, s)
			if got := told > 0; got != test.wantTold {
				t.Errorf("told = %v, want %v", got, test.wantTold)
			}
			for _, e := range m.List() {
				if e.ManagedFields != nil {
					t.Errorf("%s still has what Strip removes", e.Name)
				}
			}
		})
	}
}

func TestStatusesAreToldApart(t *testing.T) {
	observed := func(name, uid string, epoch int64) *v1alpha1.ModelEndpoint {
		e := version(name, uid, 1)
		e.Status.ModelState = &v1alpha1.ModelState{Epoch: epoch}
		return e
	}
	tests := []struct {
		name  string
		write func(t *testing.T, s cache.ReflectorStore)
		want  []string
	}{
		{name: "a status that differs", write: update(observed("known", "u1", 2)), want: []string{"known 2"}},
		{name: "a status that does not", write: update(observed("known", "u1", 1))},
		{name: "a new object", write: update(observed("new", "u2", 1)), want: []string{"new 1"}},
		{name: "another object of the same name", write: update(observed("known", "u9", 1)), want: []string{"known 1"}},
		{name: "a deletion", write: remove(observed("known", "u1", 1))},
		{name: "a list with one that differs", write: replace(observed("known", "u1", 3)), want: []string{"known 3"}},
		{name: "a list that says nothing new", write: replace(observed("known", "u1", 1))},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var told []string
			m := NewMirror(&cache.ListWatch{}, &v1alpha1.ModelEndpoint{}, Options[*v1alpha1.ModelEndpoint]{
				Differs: func(_, _ *v1alpha1.ModelEndpoint) bool { return false },
				Changed: func() {},
				StatusDiffers: func(old, updated *v1alpha1.ModelEndpoint) bool {
					return old.Status.ModelState.Epoch != updated.Status.ModelState.Epoch
				},
				StatusChanged: func(e *v1alpha1.ModelEndpoint) {
					told = append(told, fmt.Sprintf("%s %d", e.Name, e.Status.ModelState.Epoch))
				},
			})
			s := store[*v1alpha1.ModelEndpoint]{m}
			replace(observed("known", "u1", 1))(t, s)
			if diff := cmp.Diff([]string{"known 1"}, told); diff != "" {
				t.Fatalf("statuses told of the first list (-want +got):\n%s", diff)
			}
			told = nil
			test.write(t, s)
			if diff := cmp.Diff(test.want, told); diff != "" {
				t.Errorf("statuses told (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAnEmptyFirstListIsTold(t *testing.T) {
	told := 0
	m := NewMirror(&cache.ListWatch{}, &v1alpha1.ModelEndpoint{}, Options[*v1alpha1.ModelEndpoint]{Changed: func() { told++ }})
	replace()(t, store[*v1alpha1.ModelEndpoint]{m})
	if told != 1 {
		t.Errorf("told %d times, want once: whoever waits for the first list waits for this", told)
	}
}

func TestForgetDropsAllUntilTheNextList(t *testing.T) {
	m := NewMirror(&cache.ListWatch{}, &v1alpha1.ModelEndpoint{}, Options[*v1alpha1.ModelEndpoint]{Changed: func() {}})
	s := store[*v1alpha1.ModelEndpoint]{m}
	replace(version("known", "u1", 1))(t, s)
	m.Forget()
	if _, ok := m.Get("ns", "known"); ok || m.Synced() {
		t.Errorf("known = %v, synced = %v after Forget, want false, false", ok, m.Synced())
	}
	replace(version("known", "u1", 1))(t, s)
	if _, ok := m.Get("ns", "known"); !ok || !m.Synced() {
		t.Errorf("known = %v, synced = %v after the next list, want true, true", ok, m.Synced())
	}
}

func update(e *v1alpha1.ModelEndpoint) func(*testing.T, cache.ReflectorStore) {
	return func(t *testing.T, s cache.ReflectorStore) { check(t, s.Update(e)) }
}

func remove(e *v1alpha1.ModelEndpoint) func(*testing.T, cache.ReflectorStore) {
	return func(t *testing.T, s cache.ReflectorStore) { check(t, s.Delete(e)) }
}

func replace(endpoints ...*v1alpha1.ModelEndpoint) func(*testing.T, cache.ReflectorStore) {
	return func(t *testing.T, s cache.ReflectorStore) {
		list := make([]any, len(endpoints))
		for i, e := range endpoints {
			list[i] = e
		}
		check(t, s.Replace(list, "1"))
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
