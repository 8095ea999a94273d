// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"encoding/json"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// JSONPatch is a patch of single fields that is bound to others by tests. Two writers of different halves of an
// object need it: bound to its version, each write of one would fail for any write of the other.
//
// A merge patch does not do: the API server passes over the UID in one of a status.
type JSONPatch []operation

type operation struct {
	Op    string          `json:"op"`
	Path  string          `json:"path"`
	Value json.RawMessage `json:"value,omitempty"`
}

var _ client.Patch = JSONPatch(nil)

// Test keeps the patch from being made unless the field has that value; nil stands for a field that is absent.
func (p *JSONPatch) Test(path string, value any) { p.add("test", path, value) }

// Set sets a field, whether or not it is there. What it is in must be.
func (p *JSONPatch) Set(path string, value any) { p.add("add", path, value) }

// Clear takes a field away, whether or not it is there.
func (p *JSONPatch) Clear(path string) {
	p.add("add", path, nil) // What is not there cannot be removed.
	*p = append(*p, operation{Op: "remove", Path: path})
}

func (p *JSONPatch) add(op, path string, value any) {
	text, err := json.Marshal(value)
	if err != nil {
		panic(fmt.Sprintf("a value of the API cannot be written as JSON: %v", err))
	}
	*p = append(*p, operation{op, path, text})
}

// Type implements client.Patch.
func (p JSONPatch) Type() types.PatchType { return types.JSONPatchType }

// Data implements client.Patch.
func (p JSONPatch) Data(client.Object) ([]byte, error) { return json.Marshal([]operation(p)) }

// TestFailed reports whether a test has kept a JSONPatch from being made. The API server answers that as it answers
// what a schema refuses, but then it says of which kind and field.
func TestFailed(err error) bool {
	var status apierrors.APIStatus
	if !apierrors.IsInvalid(err) || !errors.As(err, &status) {
		return false
	}
	details := status.Status().Details
	return details == nil || details.Kind == "" && len(details.Causes) == 0
}
