// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package translate

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/turnout-ai/turnout/api/v1alpha1"
	"github.com/turnout-ai/turnout/internal/routing"
	"github.com/turnout-ai/turnout/internal/secrets"
)

// vault is a secrets.Reader over fixed data: namespace/name to keys. states override what is known of a
// namespace.
type vault struct {
	data   map[string]map[string][]byte
	states map[string]secrets.State
}

func (v vault) Secret(namespace, name string) (map[string][]byte, secrets.State) {
	if state, has := v.states[namespace]; has {
		return nil, state
	}
	data, has := v.data[namespace+"/"+name]
	if !has {
		return nil, secrets.NotFound
	}
	return data, secrets.Found
}

// endpointWith is a small valid endpoint with one thing changed.
func endpointWith(change func(*v1alpha1.ModelEndpointSpec)) *v1alpha1.ModelEndpoint {
	e := &v1alpha1.ModelEndpoint{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "gpt", UID: types.UID("u-1"), Generation: 3, Labels: map[string]string{"tier": "gold"}},
		Spec: v1alpha1.ModelEndpointSpec{
			Provider: "openai", Format: v1alpha1.FormatOpenAI, URL: "https://api.example.com/v1", Model: "gpt-5",
			Capabilities: []string{"chat-completion"},
		},
	}
	if change != nil {
		change(&e.Spec)
	}
	return e
}

// specWith is what endpointWith(nil) translates to, with one thing changed.
func specWith(change func(*routing.EndpointSpec)) routing.EndpointSpec {
	s := routing.EndpointSpec{
		Key: routing.Key{Namespace: "shop", Name: "gpt"}, UID: "u-1", Generation: 3, Labels: map[string]string{"tier": "gold"},
		Provider: "openai", Format: routing.FormatOpenAI, URL: "https://api.example.com/v1", Model: "gpt-5",
		Capabilities: []string{"chat-completion"},
		Delivery:     routing.Synchronous | routing.Streaming,
	}
	if change != nil {
		change(&s)
	}
	return s
}

func TestEndpoint(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*v1alpha1.ModelEndpointSpec)
		want   func(*routing.EndpointSpec)
	}{
		"an endpoint with the required fields only gets the documented defaults": {},
		"listed deliveries are the only ones": {
			change: func(s *v1alpha1.ModelEndpointSpec) { s.Delivery = []v1alpha1.DeliveryMode{v1alpha1.DeliveryStreaming} },
			want:   func(s *routing.EndpointSpec) { s.Delivery = routing.Streaming },
		},
		"features that are listed are known": {
			change: func(s *v1alpha1.ModelEndpointSpec) {
				s.Features = []v1alpha1.Feature{v1alpha1.FeatureVision, v1alpha1.FeatureToolCalling}
			},
			want: func(s *routing.EndpointSpec) {
				s.Features, s.FeaturesKnown = routing.Vision|routing.ToolCalling, true
			},
		},
		"an empty list of features says that the model has none of them": {
			change: func(s *v1alpha1.ModelEndpointSpec) { s.Features = []v1alpha1.Feature{} },
			want:   func(s *routing.EndpointSpec) { s.FeaturesKnown = true },
		},
		"constraints are carried over": {
			change: func(s *v1alpha1.ModelEndpointSpec) {
				s.Constraints = &v1alpha1.EndpointConstraints{ContextWindow: new(int64(128_000)), MaxOutputTokens: new(int64(4096))}
			},
			want: func(s *routing.EndpointSpec) { s.ContextWindow, s.MaxOutputTokens = 128_000, 4096 },
		},
		"a constraint that is absent is unknown": {
			change: func(s *v1alpha1.ModelEndpointSpec) {
				s.Constraints = &v1alpha1.EndpointConstraints{ContextWindow: new(int64(8192))}
			},
			want: func(s *routing.EndpointSpec) { s.ContextWindow = 8192 },
		},
		"suspend is carried over": {
			change: func(s *v1alpha1.ModelEndpointSpec) { s.Suspend = new(true) },
			want:   func(s *routing.EndpointSpec) { s.Suspended = true },
		},
		"tls without a bundle verifies by the system's certificates": {
			change: func(s *v1alpha1.ModelEndpointSpec) {
				s.TLS = &v1alpha1.EndpointTLS{ServerName: "inner.example.com", InsecureSkipVerify: new(true)}
			},
			want: func(s *routing.EndpointSpec) {
				s.TLS = routing.TLS{ServerName: "inner.example.com", InsecureSkipVerify: true}
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := Endpoint(endpointWith(tc.change), vault{})
			if diff := cmp.Diff(specWith(tc.want), got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// Each enum of the API is fully translated: a value added to the schema and forgotten here fails.
func TestEnumsAreTranslatedOneToOne(t *testing.T) {
	for _, f := range []v1alpha1.Feature{
		v1alpha1.FeatureToolCalling, v1alpha1.FeatureStructuredOutput, v1alpha1.FeatureJSONMode, v1alpha1.FeatureVision,
		v1alpha1.FeatureAudio, v1alpha1.FeatureReasoning, v1alpha1.FeatureLogprobs,
	} {
		if features([]v1alpha1.Feature{f}) == 0 {
			t.Errorf("feature %s translates to nothing", f)
		}
	}
	var all routing.Features
	for _, bit := range featureBits {
		if all&bit != 0 {
			t.Errorf("two features translate to %b", bit)
		}
		all |= bit
	}
	if got := delivery([]v1alpha1.DeliveryMode{v1alpha1.DeliverySynchronous}); got != routing.Synchronous {
		t.Errorf("Synchronous translates to %b", got)
	}
}

func TestInputLeavesOutWhatIsBeingDeleted(t *testing.T) {
	going := metav1.NewTime(time.Unix(1, 0))
	kept, deleted := endpointWith(nil), endpointWith(nil)
	deleted.Name, deleted.DeletionTimestamp = "gone", &going
	keptPolicy := &v1alpha1.RoutingPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "chat"}}
	deletedPolicy := &v1alpha1.RoutingPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "gone", DeletionTimestamp: &going}}

	got := Input([]*v1alpha1.ModelEndpoint{deleted, kept}, []*v1alpha1.RoutingPolicy{keptPolicy, deletedPolicy}, vault{})

	want := routing.Input{Endpoints: []routing.EndpointSpec{specWith(nil)}, Policies: []routing.PolicySpec{Policy(keptPolicy)}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestNeedsSecrets(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*v1alpha1.ModelEndpointSpec)
		want   bool
	}{
		"an endpoint without references needs none": {want: false},
		"a credential is a Secret": {
			change: func(s *v1alpha1.ModelEndpointSpec) { s.Auth = &v1alpha1.EndpointAuth{} }, want: true,
		},
		"a bundle is a Secret": {
			change: func(s *v1alpha1.ModelEndpointSpec) {
				s.TLS = &v1alpha1.EndpointTLS{CASecretRef: &v1alpha1.SecretKeyReference{}}
			},
			want: true,
		},
		"tls without a bundle needs none": {
			change: func(s *v1alpha1.ModelEndpointSpec) { s.TLS = &v1alpha1.EndpointTLS{} }, want: false,
		},
	} {
		t.Run(name, func(t *testing.T) {
			if got := NeedsSecrets(endpointWith(tc.change)); got != tc.want {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}

func BenchmarkInput(b *testing.B) {
	reader := vault{data: map[string]map[string][]byte{"shop/keys": {"key": []byte("sk-123")}}}
	var endpoints []*v1alpha1.ModelEndpoint
	for range 1000 {
		endpoints = append(endpoints, endpointWith(func(s *v1alpha1.ModelEndpointSpec) {
			s.Auth = &v1alpha1.EndpointAuth{Type: v1alpha1.AuthBearer, SecretRef: v1alpha1.SecretKeyReference{Name: "keys", Key: "key"}}
		}))
	}
	b.ReportAllocs()
	for b.Loop() {
		Input(endpoints, nil, reader)
	}
}
