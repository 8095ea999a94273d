// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/turnout-ai/turnout/api/v1alpha1"
)

func TestWhoseWordsAboutLeasesAreUrgent(t *testing.T) {
	start := metav1.NewTime(today)
	limit := func(l v1alpha1.LimitAsk) []v1alpha1.EndpointAsk {
		l.Limit, l.Start = v1alpha1.LimitRequests, start
		return []v1alpha1.EndpointAsk{{UID: "gpt", Namespace: "team", Name: "gpt", Limits: []v1alpha1.LimitAsk{l}}}
	}
	told := func(wanted bool) []v1alpha1.EndpointGrant {
		return []v1alpha1.EndpointGrant{{UID: "gpt", Namespace: "team", Name: "gpt", Limits: []v1alpha1.LimitGrant{
			{Limit: v1alpha1.LimitRequests, Start: start, Granted: 10, Wanted: wanted},
		}}}
	}
	wish := limit(v1alpha1.LimitAsk{Number: 1, Want: 10, Need: 1})
	back := limit(v1alpha1.LimitAsk{Granted: 10, Returned: 5})
	demand := []v1alpha1.EndpointAsk{{UID: "gpt", Namespace: "team", Name: "gpt", Demand: &v1alpha1.RateShare{RequestsPerMinute: new(int64(5))}}}
	for name, tc := range map[string]struct {
		before, after []v1alpha1.EndpointAsk
		told          []v1alpha1.EndpointGrant
		ended         bool
		want          map[string]bool
	}{
		"a wish is":                                     {nil, wish, nil, false, map[string]bool{"team": true}},
		"the same wish again is no news":                {wish, wish, nil, false, map[string]bool{}},
		"another wish is":                               {wish, limit(v1alpha1.LimitAsk{Number: 2, Want: 20, Need: 2}), nil, false, map[string]bool{"team": true}},
		"one that nobody waits for is not":              {nil, limit(v1alpha1.LimitAsk{Number: 2, Granted: 20, Spent: 15, Want: 40}), nil, false, map[string]bool{"team": false}},
		"a wish that is over is not":                    {wish, nil, nil, false, map[string]bool{"team": false}},
		"what is given back is not":                     {nil, back, told(false), false, map[string]bool{"team": false}},
		"what is given back because others need it is":  {nil, back, told(true), false, map[string]bool{"team": true}},
		"a demand is not":                               {nil, demand, nil, false, map[string]bool{"team": false}},
		"the end of one that was told of leases is not": {nil, nil, told(false), true, map[string]bool{"team": false}},
	} {
		t.Run(name, func(t *testing.T) {
			b := NewBooks()
			instance := func(asks []v1alpha1.EndpointAsk) *v1alpha1.ProxyInstance {
				i := &v1alpha1.ProxyInstance{ObjectMeta: metav1.ObjectMeta{Namespace: "turnout", Name: "proxy-0", UID: "uid"}}
				i.Spec.Grants, i.Status.Asks = tc.told, asks
				return i
			}
			b.SetInstance(instance(tc.before))
			got := map[string]bool{}
			b.Changed = func(namespace string, urgent bool) { got[namespace] = got[namespace] || urgent }
			after := instance(tc.after)
			after.Status.Ended = tc.ended
			b.SetInstance(after)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("news (-want +got):\n%s", diff)
			}
		})
	}
}

func TestBooksKnowInstancesByTheirUIDs(t *testing.T) {
	b := NewBooks()
	instance := func(name, uid string) *v1alpha1.ProxyInstance {
		return &v1alpha1.ProxyInstance{ObjectMeta: metav1.ObjectMeta{Namespace: "turnout", Name: name, UID: types.UID(uid)}}
	}
	is := func(uid, want string) {
		t.Helper()
		if key, _ := b.Instance(uid); key.Name != want {
			t.Errorf("%s is %q, want %q", uid, key.Name, want)
		}
	}
	b.SetInstance(instance("proxy-0", "a"))
	is("a", "proxy-0")
	b.SetInstance(instance("proxy-0", "b")) // another one of the name
	is("a", "")
	is("b", "proxy-0")
	b.RemoveInstance(types.NamespacedName{Namespace: "turnout", Name: "proxy-0"})
	is("b", "")
}
