// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/turnout-ai/turnout/api/v1alpha1"
	"github.com/turnout-ai/turnout/internal/kube"
)

const (
	// firstReportRetry and lastReportRetry bound the pauses between two tries to watch ProxyReports.
	firstReportRetry = 100 * time.Millisecond
	lastReportRetry  = 5 * time.Second
)

// reportWatch feeds the books with all ProxyReports there are. It is no informer of the cache, which would keep
// every report a second time.
type reportWatch struct {
	books  *Books
	client client.WithWatch
}

// NeedLeaderElection says that every operator keeps books: the next leader must not begin with empty ones.
func (w *reportWatch) NeedLeaderElection() bool { return false }

// Start watches until ctx ends.
func (w *reportWatch) Start(ctx context.Context) error {
	source := kube.ListWatch(w.client, "", func() client.ObjectList { return &v1alpha1.ProxyReportList{} })
	silent := logr.Discard()
	reflector := cache.NewReflectorWithOptions(source, &v1alpha1.ProxyReport{}, reportStore{w.books}, cache.ReflectorOptions{
		Logger:  &silent,
		Name:    "books",
		Backoff: &wait.Backoff{Duration: firstReportRetry, Factor: 2, Steps: 32, Cap: lastReportRetry, Jitter: 0.5},
	})
	reflector.RunWithContext(klog.NewContext(ctx, silent))
	return nil
}

// reportStore is the side of the books that the reflector writes to.
type reportStore struct {
	books *Books
}

var _ cache.ReflectorStore = reportStore{}

// Add implements cache.ReflectorStore.
func (s reportStore) Add(object any) error { return s.Update(object) }

// Update implements cache.ReflectorStore.
func (s reportStore) Update(object any) error {
	report, ok := object.(*v1alpha1.ProxyReport)
	if !ok {
		return fmt.Errorf("got a %T where a ProxyReport was asked for", object)
	}
	s.books.SetReport(report)
	return nil
}

// Delete implements cache.ReflectorStore.
func (s reportStore) Delete(object any) error {
	report, ok := object.(*v1alpha1.ProxyReport)
	if !ok {
		return fmt.Errorf("got a %T where a ProxyReport was asked for", object)
	}
	s.books.RemoveReport(client.ObjectKeyFromObject(report))
	return nil
}

// Replace implements cache.ReflectorStore.
func (s reportStore) Replace(list []any, _ string) error {
	reports := make([]*v1alpha1.ProxyReport, 0, len(list))
	for _, object := range list {
		report, ok := object.(*v1alpha1.ProxyReport)
		if !ok {
			return fmt.Errorf("got a %T where a ProxyReport was asked for", object)
		}
		reports = append(reports, report)
	}
	s.books.ReplaceReports(reports)
	return nil
}

// Resync implements cache.ReflectorStore; there is nobody to repeat old news to.
func (s reportStore) Resync() error { return nil }

// instanceHandler feeds the books from the cache's ProxyInstances.
func instanceHandler(books *Books) cache.ResourceEventHandler {
	set := func(object any) {
		if instance, ok := object.(*v1alpha1.ProxyInstance); ok {
			books.SetInstance(instance)
		}
	}
	return cache.ResourceEventHandlerFuncs{
		AddFunc:    set,
		UpdateFunc: func(_, updated any) { set(updated) },
		DeleteFunc: func(object any) {
			name, err := cache.DeletionHandlingObjectToName(object)
			if err == nil {
				books.RemoveInstance(types.NamespacedName{Namespace: name.Namespace, Name: name.Name})
			}
		},
	}
}
