// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package translate

import (
	"time"

	"github.com/turnout-ai/turnout/api/v1alpha1"
)

// ProbeType is what a probe asks for.
type ProbeType uint8

// The types.
const (
	// ProbeModels lists the provider's models.
	ProbeModels ProbeType = iota
	// ProbeCompletion has the model answer one token, or embed one word.
	ProbeCompletion
	// ProbePath gets ProbeSpec.Path.
	ProbePath
)

// ProbeSpec is how an endpoint wants to be probed.
type ProbeSpec struct {
	Type ProbeType
	// Path is from the root of the host; empty but for ProbePath.
	Path             string
	Interval         time.Duration
	Timeout          time.Duration
	FailureThreshold int
}

// The defaults of spec.probe, as the schema has them, and the bounds it sets.
const (
	defaultProbeInterval  = 60 * time.Second
	defaultProbeTimeout   = 5 * time.Second
	defaultProbeThreshold = 3
	minProbeInterval      = time.Second
)

var probeTypes = map[v1alpha1.ProbeType]ProbeType{
	v1alpha1.ProbeModels:     ProbeModels,
	v1alpha1.ProbeCompletion: ProbeCompletion,
	v1alpha1.ProbePath:       ProbePath,
}

// Probe is how the endpoint wants to be probed; false when it does not.
func Probe(endpoint *v1alpha1.ModelEndpoint) (ProbeSpec, bool) {
	probe := endpoint.Spec.Probe
	if probe == nil {
		return ProbeSpec{}, false
	}
	out := ProbeSpec{
		Type:             probeTypes[probe.Type],
		Interval:         max(durationOr(probe.Interval, defaultProbeInterval), minProbeInterval),
		FailureThreshold: max(int(valueOr(probe.FailureThreshold, defaultProbeThreshold)), 1),
	}
	if out.Type == ProbePath {
		out.Path = probe.Path
	}
	out.Timeout = durationOr(probe.Timeout, defaultProbeTimeout)
	if out.Timeout <= 0 || out.Timeout > out.Interval {
		// The schema admits neither. One probe must have ended when the next begins.
		out.Timeout = min(defaultProbeTimeout, out.Interval)
	}
	return out, true
}

// CredentialName is which credential the endpoint authenticates with, as namespace/Secret/key, so that those
// that share one can be found; empty when it sends none.
func CredentialName(endpoint *v1alpha1.ModelEndpoint) string {
	auth := endpoint.Spec.Auth
	if auth == nil {
		return ""
	}
	return endpoint.Namespace + "/" + auth.SecretRef.Name + "/" + auth.SecretRef.Key
}
