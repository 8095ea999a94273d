// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"testing"

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
