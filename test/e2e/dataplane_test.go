// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"errors"
	"sync"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/turnout-ai/turnout/api/v1alpha1"
	"github.com/turnout-ai/turnout/test/dataplane"
)

// What the suite of the data plane says of a proxy holds for the real one, and the operator makes of it what
// docs/design.md, section 3, says.
func TestTheDataPlane(t *testing.T) { dataplane.Run(t, &dataPlane{newFleet(t, 6)}) }

// dataPlane is a fleet of a few proxies: each tells the operator of some 60 endpoints at most at a time, and nearly every
// case leaves something to be told.
type dataPlane struct{ *fleet }

// writers is how many objects are written at a time.
const writers = 16

// Proxies implements dataplane.Target.
func (d *dataPlane) Proxies() []dataplane.Proxy {
	var at []dataplane.Proxy
	for _, p := range d.proxies {
		at = append(at, dataplane.Proxy{URL: "http://" + p.address, AdminURL: "http://" + p.admin})
	}
	return at
}

// Apply implements dataplane.Target.
func (d *dataPlane) Apply(ctx context.Context, endpoints []*v1alpha1.ModelEndpoint, policies []*v1alpha1.RoutingPolicy) error {
	objects := make(chan client.Object)
	var writing sync.WaitGroup
	var mu sync.Mutex // guards problems
	var problems []error
	for range writers {
		writing.Go(func() {
			for object := range objects {
				if err := d.client.Create(ctx, object); err != nil {
					mu.Lock()
					problems = append(problems, err)
					mu.Unlock()
				}
			}
		})
	}
	for _, e := range endpoints {
		objects <- e
	}
	for _, p := range policies {
		objects <- p
	}
	close(objects)
	writing.Wait()
	return errors.Join(problems...)
}

// Statuses implements dataplane.Fleet.
func (d *dataPlane) Statuses(ctx context.Context) (map[string]*v1alpha1.ModelEndpoint, error) {
	var list v1alpha1.ModelEndpointList
	if err := d.client.List(ctx, &list, client.InNamespace("default")); err != nil {
		return nil, err
	}
	statuses := make(map[string]*v1alpha1.ModelEndpoint, len(list.Items))
	for i := range list.Items {
		statuses[list.Items[i].Name] = &list.Items[i]
	}
	return statuses, nil
}
