// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package translate

import (
	"cmp"
	"math"
	"slices"

	"github.com/turnout-ai/turnout/api/v1alpha1"
	"github.com/turnout-ai/turnout/internal/modelstate"
)

// The longest lists of a ModelState.
const (
	maxReasons  = 16
	maxPolicies = 64
)

// State is the part of an endpoint's status that decisions are made from. Reasons that this version does not
// know are passed over: a newer one wrote them, and will write them again.
func State(status *v1alpha1.ModelEndpointStatus) modelstate.State {
	from := status.ModelState
	if from == nil {
		return modelstate.State{}
	}
	return modelstate.State{
		Epoch:           from.Epoch,
		Configuration:   from.Configuration,
		Verdicts:        verdicts(from.Reasons),
		Trial:           trial(from.Trial),
		Trips:           int(from.Trips),
		EarlierFailures: from.EarlierFailures,
		FailureCount:    valueOr(from.FailureCount, 0),
		Evidence:        basis(from.Evidence),
		Withdrawn:       from.Withdrawn,
		LastTransition:  fromMicro(from.LastTransitionTime),
		Probe:           probeState(from.Probe),
	}
}

// WriteState writes what decisions are made from into a ModelState, and what follows from it alone: status,
// deactivationReason and cooldownUntil. It leaves every other field as it is, message among them.
func WriteState(state modelstate.State, into *v1alpha1.ModelState) {
	into.Status = v1alpha1.StatusActive
	if !state.Active() {
		into.Status = v1alpha1.StatusStandby
	}
	into.DeactivationReason = v1alpha1.DeactivationReason(state.Reason().String())
	into.CooldownUntil = end(state.CooldownUntil())

	into.Epoch = count(state.Epoch)
	into.Configuration = state.Configuration
	into.Reasons = mapped(first(state.Verdicts, maxReasons), apiVerdict)
	into.Trial = apiTrial(state.Trial)
	into.Trips = counter(state.Trips)
	into.EarlierFailures = count(state.EarlierFailures)
	into.FailureCount = new(count(state.FailureCount))
	into.Evidence = apiBasis(state.Evidence)
	into.Withdrawn = state.Withdrawn
	into.LastTransitionTime = microOrNil(state.LastTransition)
	into.Probe = apiProbeState(state.Probe)
}

// verdicts are the reasons that are understood, by precedence and each once, whatever order they stand in.
func verdicts(reasons []v1alpha1.StandbyReason) []modelstate.Verdict {
	var out []modelstate.Verdict
	for i := range reasons {
		from := &reasons[i]
		reason, known := modelstate.ParseReason(string(from.Reason))
		if !known {
			continue
		}
		out = append(out, modelstate.Verdict{
			Reason:   reason,
			Since:    fromWhole(from.Since),
			Until:    fromWhole(from.Until),
			Message:  from.Message,
			Policies: from.Policies,
			Trial:    from.Trial,
		})
	}
	slices.SortStableFunc(out, func(a, b modelstate.Verdict) int { return cmp.Compare(a.Reason, b.Reason) })
	return slices.CompactFunc(out, func(a, b modelstate.Verdict) bool { return a.Reason == b.Reason })
}

func apiVerdict(from *modelstate.Verdict) v1alpha1.StandbyReason {
	return v1alpha1.StandbyReason{
		Reason:   v1alpha1.DeactivationReason(from.Reason.String()),
		Message:  clip(from.Message, maxMessage),
		Since:    wholeOrNil(from.Since),
		Until:    end(from.Until),
		Policies: names(from.Policies),
		Trial:    from.Trial,
	}
}

// names are those of policies; nil when there are none, as an empty list is refused.
func names(policies []string) []string {
	if len(policies) == 0 {
		return nil
	}
	return first(policies, maxPolicies)
}

func trial(from *v1alpha1.TrialState) *modelstate.Trial {
	if from == nil {
		return nil
	}
	return &modelstate.Trial{
		Since:          fromWhole(&from.Since),
		InitialPercent: int(from.InitialPercent),
		Ramp:           durationOr(from.Ramp, 0),
		Successes:      int(from.Successes),
		Policies:       from.Policies,
	}
}

func apiTrial(from *modelstate.Trial) *v1alpha1.TrialState {
	if from == nil {
		return nil
	}
	out := &v1alpha1.TrialState{
		Since:          whole(from.Since),
		InitialPercent: within(from.InitialPercent, 1, 100),
		Successes:      within(from.Successes, 1, 1000),
		Policies:       names(from.Policies),
	}
	if from.Ramp > 0 {
		out.Ramp = new(APIDuration(from.Ramp))
	}
	return out
}

func basis(from *v1alpha1.VerdictBasis) modelstate.Basis {
	if from == nil {
		return modelstate.Basis{}
	}
	return modelstate.Basis{Epoch: from.Epoch, Time: fromMicro(&from.Time)}
}

func apiBasis(from modelstate.Basis) *v1alpha1.VerdictBasis {
	if from.Time.IsZero() {
		return nil
	}
	return &v1alpha1.VerdictBasis{Epoch: count(from.Epoch), Time: micro(from.Time)}
}

func probeState(from *v1alpha1.ProbeState) modelstate.Probe {
	if from == nil {
		return modelstate.Probe{}
	}
	return modelstate.Probe{Failures: int(from.Failures), LastFailure: fromMicro(from.LastFailure), Message: from.Message}
}

func apiProbeState(from modelstate.Probe) *v1alpha1.ProbeState {
	if from.Failures <= 0 {
		return nil
	}
	return &v1alpha1.ProbeState{
		Failures:    within(from.Failures, 1, math.MaxInt32),
		LastFailure: microOrNil(from.LastFailure),
		Message:     clip(from.Message, maxDetail),
	}
}
