// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package source

import (
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"slices"

	"github.com/turnout-ai/turnout/api/v1alpha1"
	"github.com/turnout-ai/turnout/internal/routing"
)

// build makes a table of objects. A panic on the way is an error like any other: one object that nobody
// thought of must not take down a proxy that serves all the others.
func (s *Source) build(endpoints []*v1alpha1.ModelEndpoint, policies []*v1alpha1.RoutingPolicy) (input routing.Input, table *routing.Table, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("building the table failed: %w", panicError(cause))
		}
	}()
	input = s.assemble(endpoints, policies, s.secrets)
	return input, routing.Build(input), nil
}

// panicError describes a panic. Only the words of the Go runtime are repeated: any others may hold a piece of
// what was being read, and this error is shown to people.
func panicError(cause any) error {
	if runtimeErr, ok := cause.(runtime.Error); ok {
		return runtimeErr
	}
	return errors.New("panic")
}

// sameInput reports whether two inputs give the same table. A Secret that nobody refers to, for one, changes
// without a difference here.
func sameInput(a, b routing.Input) bool {
	return slices.EqualFunc(a.Endpoints, b.Endpoints, sameEndpoint) &&
		slices.EqualFunc(a.Policies, b.Policies, func(a, b routing.PolicySpec) bool { return reflect.DeepEqual(a, b) })
}

// sameEndpoint leaves out the certificate pool: RootsID stands for its content.
func sameEndpoint(a, b routing.EndpointSpec) bool {
	a.TLS.Roots, b.TLS.Roots = nil, nil
	return reflect.DeepEqual(a, b)
}
