// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

// Package kube is how Turnout's processes read Kubernetes: a client that needs no discovery (NewClient), and
// live local copies of the objects of one kind (Mirror).
package kube

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/go-logr/logr"
	coordinationv1 "k8s.io/api/coordination/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/turnout-ai/turnout/api/v1alpha1"
)

// NewClient returns a client for ModelEndpoints, RoutingPolicies, ProxyInstances, ProxyReports and Leases. It
// asks for no discovery: the resources of these kinds are known, and a start must not hang on another request that can
// fail. A nil httpClient makes one from config.
func NewClient(config *rest.Config, httpClient *http.Client) (client.WithWatch, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{v1alpha1.AddToScheme, coordinationv1.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, fmt.Errorf("registering kinds: %w", err)
		}
	}
	mapper := meta.NewDefaultRESTMapper([]schema.GroupVersion{v1alpha1.GroupVersion, coordinationv1.SchemeGroupVersion})
	for _, kind := range []string{"ModelEndpoint", "RoutingPolicy", "ProxyInstance", "ProxyReport"} {
		mapper.Add(v1alpha1.GroupVersion.WithKind(kind), meta.RESTScopeNamespace)
	}
	mapper.Add(coordinationv1.SchemeGroupVersion.WithKind("Lease"), meta.RESTScopeNamespace)
	// What the client logs of its own, callers get as errors; and its default logger, when nobody set one,
	// prints a stack trace.
	quiet := logr.FromSlogHandler(slog.DiscardHandler)
	return client.NewWithWatch(config, client.Options{HTTPClient: httpClient, Scheme: scheme, Mapper: mapper, Log: quiet})
}

// ListWatch reads the kind of newList in a namespace, or in all of them when namespace is empty.
func ListWatch(c client.WithWatch, namespace string, newList func() client.ObjectList) *cache.ListWatch {
	// Limit and Continue are repeated because the client overwrites those of the raw options.
	with := func(options *metav1.ListOptions) *client.ListOptions {
		return &client.ListOptions{Namespace: namespace, Raw: options, Limit: options.Limit, Continue: options.Continue}
	}
	return &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
			list := newList()
			err := c.List(ctx, list, with(&options))
			return list, err
		},
		WatchFuncWithContext: func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
			return c.Watch(ctx, newList(), with(&options))
		},
	}
}

// Only narrows a source to the object of that name, so that nobody sends what nobody reads.
func Only(source *cache.ListWatch, name string) *cache.ListWatch {
	selector := fields.OneTermEqualSelector(metav1.ObjectNameField, name).String()
	return &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
			options.FieldSelector = selector
			return source.ListWithContext(ctx, options)
		},
		WatchFuncWithContext: func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
			options.FieldSelector = selector
			return source.WatchWithContext(ctx, options)
		},
	}
}
