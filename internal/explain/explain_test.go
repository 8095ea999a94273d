// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package explain

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/turnout-ai/turnout/api/v1alpha1"
	"github.com/turnout-ai/turnout/internal/routing"
)

func endpoint(conditions ...metav1.Condition) v1alpha1.ModelEndpoint {
	return v1alpha1.ModelEndpoint{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "alpha", Generation: 2},
		Spec: v1alpha1.ModelEndpointSpec{
			Provider: "sim", Format: v1alpha1.FormatOpenAI, URL: "https://sim.example/v1", Model: "m", Capabilities: []string{"chat-completion"},
			Auth: &v1alpha1.EndpointAuth{Type: v1alpha1.AuthBearer, SecretRef: v1alpha1.SecretKeyReference{Name: "key", Key: "api-key"}},
		},
		Status: v1alpha1.ModelEndpointStatus{Conditions: conditions},
	}
}

func resolvedRefs(status metav1.ConditionStatus, reason string, generation int64) metav1.Condition {
	return metav1.Condition{Type: v1alpha1.ConditionResolvedRefs, Status: status, Reason: reason, ObservedGeneration: generation}
}

func TestTheOperatorIsBelievedAboutSecrets(t *testing.T) {
	alpha := []routing.Key{{Namespace: "ns", Name: "alpha"}}
	suspended := endpoint()
	suspended.Spec.Suspend = new(true)
	keyless := endpoint()
	keyless.Spec.Auth = nil
	tests := []struct {
		name          string
		endpoint      v1alpha1.ModelEndpoint
		wantStandby   string
		wantUnchecked []routing.Key
	}{
		{name: "it found the Secret", endpoint: endpoint(resolvedRefs(metav1.ConditionTrue, "ResolvedRefs", 2))},
		{name: "it found none", endpoint: endpoint(resolvedRefs(metav1.ConditionFalse, "SecretNotFound", 2)), wantStandby: "SecretNotFound"},
		{name: "it is still reading", endpoint: endpoint(resolvedRefs(metav1.ConditionFalse, "SecretPending", 2)), wantStandby: "SecretPending"},
		{name: "it has not looked yet", endpoint: endpoint(), wantUnchecked: alpha},
		{name: "it has looked at an older spec only", endpoint: endpoint(resolvedRefs(metav1.ConditionFalse, "SecretNotFound", 1)), wantUnchecked: alpha},
		{name: "another reason to stand by stays", endpoint: suspended, wantStandby: "Manual", wantUnchecked: alpha},
		{name: "an endpoint without references needs no word", endpoint: keyless},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			table, unchecked := Table([]v1alpha1.ModelEndpoint{test.endpoint}, nil)
			if got := table.Endpoints[0].Standby.Reason; got != test.wantStandby {
				t.Errorf("standby for %q, want %q", got, test.wantStandby)
			}
			if diff := cmp.Diff(test.wantUnchecked, unchecked); diff != "" {
				t.Errorf("unchecked (-want +got):\n%s", diff)
			}
		})
	}
}
