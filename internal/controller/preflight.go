// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"errors"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"

	"github.com/turnout-ai/turnout/api/v1alpha1"
)

// MissingKindsError says that an API server does not have the kinds of this program.
type MissingKindsError struct {
	// Server is the address of the API server.
	Server string
	// Kinds are those it lacks.
	Kinds []string
}

// Error returns a sentence with the command that mends it.
func (e *MissingKindsError) Error() string {
	return fmt.Sprintf("the API server at %s has no %s in %s; install the definitions with: kubectl apply -k config/crd",
		e.Server, strings.Join(e.Kinds, ", "), v1alpha1.GroupVersion)
}

// CheckKinds returns a *MissingKindsError when the API server lacks a kind that the operator works on. Any
// other error says that it could not be asked.
func CheckKinds(cfg *rest.Config) error {
	api, err := discovery.NewDiscoveryClientForConfig(cfg)
	if err != nil {
		return fmt.Errorf("preparing to ask the API server for its kinds: %w", err)
	}
	served, err := api.ServerResourcesForGroupVersion(v1alpha1.GroupVersion.String())
	if apierrors.IsNotFound(err) {
		served = &metav1.APIResourceList{}
	} else if err != nil {
		return fmt.Errorf("asking the API server at %s for its kinds: %w", cfg.Host, err)
	}
	has := map[string]bool{}
	for i := range served.APIResources {
		has[served.APIResources[i].Kind] = true
	}
	var missing []string
	for _, kind := range []string{"ModelEndpoint", "RoutingPolicy", "ProxyInstance", "ProxyReport"} {
		if !has[kind] {
			missing = append(missing, kind)
		}
	}
	if len(missing) > 0 {
		return &MissingKindsError{Server: cfg.Host, Kinds: missing}
	}
	return nil
}

// Answered reports whether an error of CheckKinds is the API server's own word, which waiting does not change.
func Answered(err error) bool {
	var missing *MissingKindsError
	return errors.As(err, &missing) || apierrors.IsUnauthorized(err) || apierrors.IsForbidden(err)
}
