// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

// Package controller is the operator: it writes the status of ModelEndpoints and RoutingPolicies, and removes
// the ProxyInstances of processes that are gone.
//
// What a status says is taken from the same routing.Build that proxies serve from, one namespace at a time.
package controller
