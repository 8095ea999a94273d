// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

// Package v1alpha1 holds the kinds a user of Turnout applies (ModelEndpoint, RoutingPolicy) and those
// its processes keep between themselves (ProxyInstance, ProxyReport), in API group turnout.dev.
//
// +kubebuilder:object:generate=true
// +groupName=turnout.dev
package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion is the group and version of every kind in this package.
var GroupVersion = schema.GroupVersion{Group: "turnout.dev", Version: "v1alpha1"}

var schemeBuilder = runtime.NewSchemeBuilder(addKnownTypes)

// AddToScheme registers this package's kinds with a scheme.
var AddToScheme = schemeBuilder.AddToScheme

func addKnownTypes(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(GroupVersion,
		&ModelEndpoint{}, &ModelEndpointList{},
		&RoutingPolicy{}, &RoutingPolicyList{},
		&ProxyInstance{}, &ProxyInstanceList{},
		&ProxyReport{}, &ProxyReportList{},
	)
	metav1.AddToGroupVersion(scheme, GroupVersion)
	return nil
}
