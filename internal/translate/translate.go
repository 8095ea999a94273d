// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

// Package translate turns API objects into the plain values that package routing works on. It is the only
// room where both vocabularies meet. Operator and proxies both come through here, so that an object means
// the same to whoever writes its status and to whoever serves it.
//
// Everything the schema would fill in or refuse is handled here again: an object may have been stored before
// a default existed, and list items have no defaults in the schema at all.
package translate

import (
	"github.com/turnout-ai/turnout/api/v1alpha1"
	"github.com/turnout-ai/turnout/internal/routing"
	"github.com/turnout-ai/turnout/internal/secrets"
)

// Input translates all objects that a table is built from, in the order given. Objects that are being deleted
// are left out: whoever deletes an endpoint wants it out of use at once, not once the last finalizer is gone.
//
// The result shares slices and maps with the objects; neither may be changed afterwards.
func Input(endpoints []*v1alpha1.ModelEndpoint, policies []*v1alpha1.RoutingPolicy, reader secrets.Reader) routing.Input {
	input := routing.Input{
		Endpoints: make([]routing.EndpointSpec, 0, len(endpoints)),
		Policies:  make([]routing.PolicySpec, 0, len(policies)),
	}
	resolver := newResolver(reader)
	for _, endpoint := range endpoints {
		if endpoint.DeletionTimestamp.IsZero() {
			input.Endpoints = append(input.Endpoints, resolver.endpoint(endpoint))
		}
	}
	for _, policy := range policies {
		if policy.DeletionTimestamp.IsZero() {
			input.Policies = append(input.Policies, Policy(policy))
		}
	}
	return input
}

// valueOr is what p points to, or fallback when there is nothing.
func valueOr[T any](p *T, fallback T) T {
	if p == nil {
		return fallback
	}
	return *p
}
