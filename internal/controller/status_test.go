// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/turnout-ai/turnout/api/v1alpha1"
	"github.com/turnout-ai/turnout/internal/routing"
)

var (
	earlier = time.Unix(1_700_000_000, 0)
	later   = earlier.Add(time.Hour)
	refused = routing.Refusal{Reason: "InvalidURL", Message: "spec.url has no host"}
	lacking = routing.Refusal{Reason: "SecretNotFound", Message: "spec.auth.secretRef: no such Secret"}
)

// row is a condition in one line: Type=Status Reason generation, and since when.
type row struct {
	Is    string
	Since time.Time
}

func rows(conditions []metav1.Condition) []row {
	var out []row
	for _, c := range conditions {
		out = append(out, row{Is: c.Type + "=" + string(c.Status) + " " + c.Reason + ": " + c.Message, Since: c.LastTransitionTime.Time})
	}
	return out
}

func TestEndpointStatus(t *testing.T) {
	const understood = "Accepted=True Accepted: the spec is understood"
	const resolved = "ResolvedRefs=True ResolvedRefs: everything the spec refers to can be used"
	active := v1alpha1.ModelState{Status: v1alpha1.StatusActive}
	for name, tc := range map[string]struct {
		entry     routing.Endpoint
		want      []row
		wantState v1alpha1.ModelState
	}{
		"an endpoint that is in order is Ready and Active": {
			want: []row{
				{understood, earlier},
				{resolved, earlier},
				{"Ready=True Ready: the endpoint can take traffic", earlier},
			},
			wantState: active,
		},
		"a suspended endpoint is Ready and on Standby, so that no rollout waits for it": {
			entry: routing.Endpoint{
				EndpointSpec: routing.EndpointSpec{Suspended: true},
				Standby:      routing.Refusal{Reason: "Manual"},
			},
			want: []row{
				{understood, earlier},
				{resolved, earlier},
				{"Ready=True Ready: the endpoint is usable, and suspended by spec.suspend", earlier},
			},
			wantState: v1alpha1.ModelState{Status: v1alpha1.StatusStandby, DeactivationReason: v1alpha1.DeactivationManual},
		},
		"a spec that cannot be acted on is not Ready for that reason": {
			entry: routing.Endpoint{Refused: refused, Standby: refused},
			want: []row{
				{"Accepted=False InvalidURL: spec.url has no host", later},
				{resolved, earlier},
				{"Ready=False InvalidURL: spec.url has no host", later},
			},
			wantState: v1alpha1.ModelState{Status: v1alpha1.StatusStandby},
		},
		"a Secret that is missing shows in ResolvedRefs and Ready": {
			entry: routing.Endpoint{EndpointSpec: routing.EndpointSpec{Unresolved: lacking}, Standby: lacking},
			want: []row{
				{understood, earlier},
				{"ResolvedRefs=False SecretNotFound: spec.auth.secretRef: no such Secret", later},
				{"Ready=False SecretNotFound: spec.auth.secretRef: no such Secret", later},
			},
			wantState: v1alpha1.ModelState{Status: v1alpha1.StatusStandby},
		},
		"with both, Ready names the first": {
			entry: routing.Endpoint{EndpointSpec: routing.EndpointSpec{Unresolved: lacking}, Refused: refused, Standby: refused},
			want: []row{
				{"Accepted=False InvalidURL: spec.url has no host", later},
				{"ResolvedRefs=False SecretNotFound: spec.auth.secretRef: no such Secret", later},
				{"Ready=False InvalidURL: spec.url has no host", later},
			},
			wantState: v1alpha1.ModelState{Status: v1alpha1.StatusStandby},
		},
	} {
		t.Run(name, func(t *testing.T) {
			// The status of an hour ago: in order, of an older generation, and with a condition of somebody else.
			before := &v1alpha1.ModelEndpoint{}
			before.Status = endpointStatus(before, &routing.Endpoint{EndpointSpec: routing.EndpointSpec{Generation: 1}}, earlier)
			foreign := metav1.Condition{Type: "acme.com/Audited", Status: metav1.ConditionTrue, LastTransitionTime: metav1.NewTime(earlier)}
			before.Status.Conditions = append(before.Status.Conditions, foreign)
			kept := before.DeepCopy()

			tc.entry.Generation = 2
			got := endpointStatus(before, &tc.entry, later)

			want := slices.Concat(tc.want, []row{{"acme.com/Audited=True : ", earlier}})
			if diff := cmp.Diff(want, rows(got.Conditions)); diff != "" {
				t.Errorf("conditions (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(&tc.wantState, got.ModelState); diff != "" {
				t.Errorf("state (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(kept, before); diff != "" {
				t.Errorf("the object it was made of has changed (-before +after):\n%s", diff)
			}
			for _, c := range got.Conditions[:3] {
				if c.ObservedGeneration != 2 || got.ObservedGeneration != 2 {
					t.Errorf("%s speaks of generation %d, the status of %d, want 2", c.Type, c.ObservedGeneration, got.ObservedGeneration)
				}
			}
			again := &v1alpha1.ModelEndpoint{Status: got}
			if diff := cmp.Diff(got, endpointStatus(again, &tc.entry, later.Add(time.Hour))); diff != "" {
				t.Errorf("the same again is not the same (-first +second):\n%s", diff)
			}
		})
	}
}

func TestPolicyStatus(t *testing.T) {
	entry := &routing.Policy{
		PolicySpec: routing.PolicySpec{Generation: 4},
		Names:      []string{"chat", "gpt"},
		Tiers:      []routing.Tier{{Strategy: routing.Priority}, {Strategy: routing.RoundRobin}},
		Total:      5,
		Active:     3,
	}
	got := policyStatus(&v1alpha1.RoutingPolicy{}, entry, earlier)
	ready := meta.FindStatusCondition(got.Conditions, v1alpha1.ConditionReady)
	if ready.Message != "3 of 5 endpoints take traffic" || ready.Status != metav1.ConditionTrue {
		t.Errorf("Ready is %+v", ready)
	}
	got.Conditions = nil
	want := v1alpha1.RoutingPolicyStatus{
		ObservedGeneration: 4, Models: "chat,gpt", Strategy: "Priority,RoundRobin",
		Endpoints: &v1alpha1.PolicyEndpoints{Total: 5, Active: 3, Standby: 2},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestNews(t *testing.T) {
	endpoint := func(entry routing.Endpoint) v1alpha1.ModelEndpointStatus {
		return endpointStatus(&v1alpha1.ModelEndpoint{}, &entry, earlier)
	}
	policy := func(entry routing.Policy) v1alpha1.RoutingPolicyStatus {
		return policyStatus(&v1alpha1.RoutingPolicy{}, &entry, earlier)
	}
	suspendedEntry := routing.Endpoint{EndpointSpec: routing.EndpointSpec{Suspended: true}}
	conflict := func(message string) routing.Policy {
		return routing.Policy{Refused: routing.Refusal{Reason: "NameConflict", Message: message}}
	}
	const warning, normal = corev1.EventTypeWarning, corev1.EventTypeNormal
	for name, tc := range map[string]struct {
		got  []news
		want []news
	}{
		"nothing changed": {
			got: endpointNews(endpoint(routing.Endpoint{}), endpoint(routing.Endpoint{})),
		},
		"a new endpoint that is in order": {
			got:  endpointNews(v1alpha1.ModelEndpointStatus{}, endpoint(routing.Endpoint{})),
			want: []news{{normal, "Ready", "JudgeSpec", "the endpoint can take traffic"}},
		},
		"a Secret went missing": {
			got:  endpointNews(endpoint(routing.Endpoint{}), endpoint(routing.Endpoint{EndpointSpec: routing.EndpointSpec{Unresolved: lacking}})),
			want: []news{{warning, "SecretNotFound", "JudgeSpec", lacking.Message}},
		},
		"waiting for Secrets is no reason for a warning": {
			got: endpointNews(v1alpha1.ModelEndpointStatus{}, endpoint(routing.Endpoint{EndpointSpec: routing.EndpointSpec{
				Unresolved: routing.Refusal{Reason: "SecretPending", Message: "wait"},
			}})),
			want: []news{{normal, "SecretPending", "JudgeSpec", "wait"}},
		},
		"suspended": {
			got:  endpointNews(endpoint(routing.Endpoint{}), endpoint(suspendedEntry)),
			want: []news{{normal, "EndpointSuspended", "Suspend", "the endpoint takes no traffic: spec.suspend is true"}},
		},
		"resumed": {
			got:  endpointNews(endpoint(suspendedEntry), endpoint(routing.Endpoint{})),
			want: []news{{normal, "EndpointResumed", "Resume", "spec.suspend is no longer true"}},
		},
		"a new policy is Ready, and its first count is no change": {
			got:  policyNews(v1alpha1.RoutingPolicyStatus{}, policy(routing.Policy{Total: 2, Active: 1})),
			want: []news{{normal, "Ready", "JudgeSpec", "1 of 2 endpoints take traffic"}},
		},
		"another count": {
			got:  policyNews(policy(routing.Policy{Total: 2, Active: 2}), policy(routing.Policy{Total: 2, Active: 1})),
			want: []news{{normal, "MembershipChanged", "CountEndpoints", "1 of 2 endpoints take traffic; before: 2 of 2"}},
		},
		"a name lost": {
			got:  policyNews(policy(routing.Policy{}), policy(conflict("chat is taken"))),
			want: []news{{warning, "NameConflict", "JudgeSpec", "chat is taken"}},
		},
		"another name lost": {
			got:  policyNews(policy(conflict("chat is taken")), policy(conflict("chat and gpt are taken"))),
			want: []news{{warning, "NameConflict", "JudgeSpec", "chat and gpt are taken"}},
		},
		"the same names lost": {
			got: policyNews(policy(conflict("chat is taken")), policy(conflict("chat is taken"))),
		},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, tc.got, cmp.AllowUnexported(news{})); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestClip(t *testing.T) {
	for name, tc := range map[string]struct {
		text string
		want string
	}{
		"what fits stays":                   {text: "0123456789", want: "0123456789"},
		"what does not fit ends in a mark":  {text: "0123456789a", want: "0123456…"},
		"a character is not cut in halves":  {text: "012345éabcdef", want: "012345…"},
		"nothing but wide characters works": {text: strings.Repeat("…", 9), want: "……" + "…"},
	} {
		t.Run(name, func(t *testing.T) {
			got := clip(tc.text, 10)
			if got != tc.want || len(got) > 10 || !utf8.ValidString(got) {
				t.Errorf("got %q (%d bytes), want %q", got, len(got), tc.want)
			}
		})
	}
}
