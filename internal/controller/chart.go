// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"maps"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/turnout-ai/turnout/api/v1alpha1"
	"github.com/turnout-ai/turnout/internal/routing"
	"github.com/turnout-ai/turnout/internal/secrets"
	"github.com/turnout-ai/turnout/internal/translate"
)

// chart is the routing table of a namespace and what it was made of. It holds until a spec, a label or a Secret
// changes; statuses do not matter to it.
type chart struct {
	table *routing.Table
	// objects are the endpoints in the order of the table, in the newest version that was seen; places are their
	// places, by UID.
	objects  []*v1alpha1.ModelEndpoint
	places   map[string]int
	policies map[string]*v1alpha1.RoutingPolicy
	secrets  map[string]secretVersion
}

// secretVersion is one state of a Secret.
type secretVersion struct {
	version string
	state   secrets.State
}

// chart is the one before if that still holds, or a new one.
func (r *NamespaceReconciler) chart(last *chart, namespace string, found objects) *chart {
	if last != nil && last.take(namespace, found, r.Vault) {
		return last
	}
	begun := r.Clock.Now()
	next := &chart{policies: map[string]*v1alpha1.RoutingPolicy{}, secrets: secretsOf(namespace, found, r.Vault)}
	next.table = routing.Build(translate.Input(found.endpoints, found.policies, r.Vault))
	r.Metrics.buildSeconds.Observe(r.Clock.Since(begun).Seconds())
	next.places = make(map[string]int, len(next.table.Endpoints))
	for i, entry := range next.table.Endpoints {
		next.places[entry.UID] = i
	}
	next.objects = make([]*v1alpha1.ModelEndpoint, len(next.table.Endpoints))
	for _, endpoint := range found.endpoints {
		if at, known := next.places[string(endpoint.UID)]; known {
			next.objects[at] = endpoint
		}
	}
	for _, policy := range found.policies {
		next.policies[string(policy.UID)] = policy
	}
	return next
}

// take takes in newer versions of the objects; false when the table is another one by them.
func (c *chart) take(namespace string, found objects, vault secrets.Reader) bool {
	if len(found.endpoints) != len(c.objects) || len(found.policies) != len(c.policies) {
		return false
	}
	for name, before := range c.secrets {
		if versionOf(namespace, name, vault) != before {
			return false
		}
	}
	for _, policy := range found.policies {
		before := c.policies[string(policy.UID)]
		if before == nil || !sameSpec(before, policy) {
			return false
		}
		c.policies[string(policy.UID)] = policy
	}
	for _, endpoint := range found.endpoints {
		at, known := c.places[string(endpoint.UID)]
		if !known || !sameSpec(c.objects[at], endpoint) {
			return false
		}
		c.objects[at] = endpoint
	}
	return true
}

// sameSpec reports whether two versions of an object are the same but for their statuses.
func sameSpec(a, b metav1.Object) bool {
	return a.GetResourceVersion() == b.GetResourceVersion() && a.GetResourceVersion() != "" ||
		a.GetGeneration() == b.GetGeneration() && maps.Equal(a.GetLabels(), b.GetLabels())
}

// secretsOf are the Secrets that endpoints refer to, by name.
func secretsOf(namespace string, found objects, vault secrets.Reader) map[string]secretVersion {
	all := map[string]secretVersion{}
	for _, endpoint := range found.endpoints {
		for _, name := range translate.Secrets(endpoint) {
			all[name] = versionOf(namespace, name, vault)
		}
	}
	return all
}

func versionOf(namespace, name string, vault secrets.Reader) secretVersion {
	_, state := vault.Secret(namespace, name)
	return secretVersion{vault.Version(namespace, name), state}
}
