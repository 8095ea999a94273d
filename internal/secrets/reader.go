// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

// Package secrets holds the Secrets that endpoints refer to, namespace by namespace, as far as RBAC allows.
package secrets

// State is what is known of a Secret.
type State uint8

// The states.
const (
	// Found says that the Secret exists and its data is at hand.
	Found State = iota
	// NotFound says that the namespace can be read and holds no such Secret.
	NotFound
	// AccessDenied says that RBAC does not let Turnout read Secrets of the namespace.
	AccessDenied
	// Pending says that the namespace's Secrets have not been read yet.
	Pending
)

// Reader gives the data of a Secret, or why there is none. The caller must not change the data.
type Reader interface {
	Secret(namespace, name string) (map[string][]byte, State)
	// Version tells one state of a Secret from every other, by what the API server calls it and not by what is
	// in it; empty unless it is Found.
	Version(namespace, name string) string
}
