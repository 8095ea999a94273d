// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package translate

import (
	"github.com/turnout-ai/turnout/api/v1alpha1"
	"github.com/turnout-ai/turnout/internal/modelstate"
)

// minFailures is the fewest failures in a row that rest an endpoint: never one alone.
const minFailures = 2

// Unit is how a policy wants its endpoints judged. The defaults are those of modelstate.DefaultUnit, which are
// those of the schema.
func Unit(policy *v1alpha1.RoutingPolicy) modelstate.Unit {
	out := modelstate.DefaultUnit
	out.Policy = policy.Name

	d := valueOr(policy.Spec.Deactivation, v1alpha1.Deactivation{})
	out.ConsecutiveFailures = max(numberOr(d.ConsecutiveFailures, out.ConsecutiveFailures), minFailures)
	out.RestToStandby = durationOr(d.RestToStandby, out.RestToStandby)
	if rate := d.ErrorRate; rate != nil {
		out.ErrorRate, _ = Ratio(rate.Threshold)
		out.MinimumRequests = max(numberOr(rate.MinimumRequests, out.MinimumRequests), minFailures)
		out.Window = min(max(durationOr(rate.Window, out.Window), modelstate.BucketLength), modelstate.MaxWindow)
	}

	r := valueOr(policy.Spec.Recovery, v1alpha1.Recovery{})
	out.Cooldown = durationOr(r.Cooldown, out.Cooldown)
	out.MaxCooldown = max(durationOr(r.MaxCooldown, out.MaxCooldown), out.Cooldown)
	out.MaxRetryAfter = durationOr(r.MaxRetryAfter, out.MaxRetryAfter)
	out.Successes = max(int(numberOr(r.Successes, int64(out.Successes))), 1)

	ramp := valueOr(r.Ramp, v1alpha1.Ramp{})
	out.Ramp = durationOr(ramp.Duration, out.Ramp)
	out.InitialPercent = int(min(max(numberOr(ramp.InitialPercent, int64(out.InitialPercent)), 1), 100))
	return out
}

// numberOr is the number that p points to, or the fallback.
func numberOr(p *int32, fallback int64) int64 {
	if p == nil {
		return fallback
	}
	return int64(*p)
}
