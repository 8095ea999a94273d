// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"time"

	"github.com/turnout-ai/turnout/api/v1alpha1"
	"github.com/turnout-ai/turnout/internal/routing"
)

// endpointStatus is the status an endpoint should have, by its entry in the table made of it. The endpoint is
// not changed.
func endpointStatus(endpoint *v1alpha1.ModelEndpoint, entry *routing.Endpoint, now time.Time) v1alpha1.ModelEndpointStatus {
	v := verdict{
		generation:   entry.Generation,
		refused:      entry.Refused,
		unresolved:   entry.Unresolved,
		readyMessage: "the endpoint can take traffic",
	}
	if entry.Suspended {
		v.readyMessage = "the endpoint is usable, and suspended by spec.suspend"
	}
	status := endpoint.Status
	status.Conditions = v.conditions(endpoint.Status.Conditions, now)
	status.ObservedGeneration = entry.Generation
	status.ModelState = modelState(entry)
	return status
}

// modelState says whether the endpoint takes traffic. One that is on Standby because it is not Ready has no
// deactivation reason: its conditions tell what is wrong, and nothing deactivated it.
func modelState(entry *routing.Endpoint) *v1alpha1.ModelState {
	switch {
	case entry.Suspended:
		return &v1alpha1.ModelState{Status: v1alpha1.StatusStandby, DeactivationReason: v1alpha1.DeactivationManual}
	case entry.Standby.Reason != "":
		return &v1alpha1.ModelState{Status: v1alpha1.StatusStandby}
	default:
		return &v1alpha1.ModelState{Status: v1alpha1.StatusActive}
	}
}
