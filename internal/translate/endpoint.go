// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package translate

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"

	"github.com/turnout-ai/turnout/api/v1alpha1"
	"github.com/turnout-ai/turnout/internal/routing"
	"github.com/turnout-ai/turnout/internal/secrets"
)

// Endpoint translates one ModelEndpoint. Secrets that cannot be used are told in Unresolved.
func Endpoint(endpoint *v1alpha1.ModelEndpoint, reader secrets.Reader) routing.EndpointSpec {
	return newResolver(reader).endpoint(endpoint)
}

// NeedsSecrets reports whether the endpoint refers to a Secret of its namespace.
func NeedsSecrets(endpoint *v1alpha1.ModelEndpoint) bool {
	spec := &endpoint.Spec
	return spec.Auth != nil || spec.TLS != nil && spec.TLS.CASecretRef != nil
}

// Secrets are the names of the Secrets that the endpoint refers to.
func Secrets(endpoint *v1alpha1.ModelEndpoint) []string {
	var names []string
	spec := &endpoint.Spec
	if spec.Auth != nil {
		names = append(names, spec.Auth.SecretRef.Name)
	}
	if spec.TLS != nil && spec.TLS.CASecretRef != nil {
		names = append(names, spec.TLS.CASecretRef.Name)
	}
	return names
}

func (r *resolver) endpoint(endpoint *v1alpha1.ModelEndpoint) routing.EndpointSpec {
	spec := &endpoint.Spec
	out := routing.EndpointSpec{
		Key:           routing.Key{Namespace: endpoint.Namespace, Name: endpoint.Name},
		UID:           string(endpoint.UID),
		Generation:    endpoint.Generation,
		Labels:        endpoint.Labels,
		Provider:      spec.Provider,
		Format:        formats[spec.Format],
		URL:           spec.URL,
		Model:         spec.Model,
		Capabilities:  spec.Capabilities,
		Delivery:      delivery(spec.Delivery),
		Features:      features(spec.Features),
		FeaturesKnown: spec.Features != nil,
		Suspended:     valueOr(spec.Suspend, false),
	}
	if c := spec.Constraints; c != nil {
		out.ContextWindow = valueOr(c.ContextWindow, 0)
		out.MaxOutputTokens = valueOr(c.MaxOutputTokens, 0)
	}
	var ofAuth, ofTLS routing.Refusal
	out.Credential, ofAuth = r.credential(endpoint.Namespace, spec.Auth)
	out.TLS, ofTLS = r.tls(endpoint.Namespace, spec.TLS)
	out.Unresolved = ofAuth
	if out.Unresolved.Reason == "" {
		out.Unresolved = ofTLS
	}
	out.Configuration = r.configuration(endpoint)
	out.Price, out.Priced = price(spec.Pricing)
	limits(spec.Limits, &out)
	maintenance(spec.Maintenance, &out)
	return out
}

// configuration identifies url, model and credential, the latter by the version of its Secret and never by what
// is in it. Empty while nobody can say which credential it is, because the Secret was not read or may not be:
// that says nothing of whether it is another.
func (r *resolver) configuration(endpoint *v1alpha1.ModelEndpoint) string {
	spec := &endpoint.Spec
	parts := []string{spec.URL, spec.Model}
	if auth := spec.Auth; auth != nil {
		ref := auth.SecretRef
		if _, state := r.reader.Secret(endpoint.Namespace, ref.Name); state != secrets.Found && state != secrets.NotFound {
			return ""
		}
		parts = append(parts, string(auth.Type), auth.Header, ref.Name, ref.Key, r.reader.Version(endpoint.Namespace, ref.Name))
	}
	var text []byte
	for _, part := range parts {
		// With its length before it, so that no two lists of parts look alike.
		text = strconv.AppendInt(text, int64(len(part)), 10)
		text = append(append(text, ':'), part...)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:configurationSize])
}

// configurationSize is how many bytes of the hash identify a configuration. They only need to tell one endpoint's
// configuration from the one before.
const configurationSize = 8

var formats = map[v1alpha1.Format]routing.Format{
	v1alpha1.FormatOpenAI: routing.FormatOpenAI,
}

var deliveries = map[v1alpha1.DeliveryMode]routing.Delivery{
	v1alpha1.DeliverySynchronous: routing.Synchronous,
	v1alpha1.DeliveryStreaming:   routing.Streaming,
}

var featureBits = map[v1alpha1.Feature]routing.Features{
	v1alpha1.FeatureToolCalling:      routing.ToolCalling,
	v1alpha1.FeatureStructuredOutput: routing.StructuredOutput,
	v1alpha1.FeatureJSONMode:         routing.JSONMode,
	v1alpha1.FeatureVision:           routing.Vision,
	v1alpha1.FeatureAudio:            routing.Audio,
	v1alpha1.FeatureReasoning:        routing.Reasoning,
	v1alpha1.FeatureLogprobs:         routing.Logprobs,
	v1alpha1.FeatureStreamUsage:      routing.StreamUsage,
}

// delivery is the set of the listed modes; none listed means all, as the field's documentation says.
func delivery(modes []v1alpha1.DeliveryMode) routing.Delivery {
	var set routing.Delivery
	for _, mode := range modes {
		set |= deliveries[mode]
	}
	if set == 0 {
		return routing.Synchronous | routing.Streaming
	}
	return set
}

func features(list []v1alpha1.Feature) routing.Features {
	var set routing.Features
	for _, feature := range list {
		set |= featureBits[feature]
	}
	return set
}
