// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package translate

import (
	"fmt"

	"github.com/turnout-ai/turnout/api/v1alpha1"
	"github.com/turnout-ai/turnout/internal/calendar"
	"github.com/turnout-ai/turnout/internal/pricing"
	"github.com/turnout-ai/turnout/internal/routing"
)

// price is what an endpoint costs; false when nobody said.
func price(spec *v1alpha1.Pricing) (pricing.Price, bool) {
	if spec == nil {
		return pricing.Price{}, false
	}
	out := pricing.Price{
		Input:       Money(spec.InputTokens),
		CachedInput: Money(spec.CachedInputTokens),
		Output:      Money(spec.OutputTokens),
		Request:     Money(spec.Request),
	}
	if spec.CachedInputTokens == "" {
		out.CachedInput = out.Input
	}
	return out, true
}

// limits sets the periods over which use is counted, and how much of it there may be.
func limits(spec *v1alpha1.Limits, out *routing.EndpointSpec) {
	out.QuotaPeriod, out.BudgetPeriod = calendar.Period{Unit: calendar.Daily}, calendar.Period{Unit: calendar.Monthly}
	var name string
	if spec != nil {
		name = spec.TimeZone
		if spec.Quota != nil {
			out.QuotaPeriod.Unit, out.QuotaDeclared = unitOr(spec.Quota.Period, out.QuotaPeriod.Unit), true
			out.Limits.Requests, out.Limits.Tokens = valueOr(spec.Quota.Requests, 0), valueOr(spec.Quota.Tokens, 0)
		}
		if spec.Budget != nil {
			out.BudgetPeriod.Unit = unitOr(spec.Budget.Period, out.BudgetPeriod.Unit)
			out.Limits.Budget = Money(spec.Budget.Amount)
		}
		if rate := spec.Rate; rate != nil {
			out.Limits.RequestsPerMinute, out.Limits.TokensPerMinute = valueOr(rate.RequestsPerMinute, 0), valueOr(rate.TokensPerMinute, 0)
			out.Limits.ConcurrentRequests = valueOr(rate.ConcurrentRequests, 0)
		}
		out.Limits.ReserveWorst = spec.Reserve == v1alpha1.ReserveWorst
		out.Limits.FailOpen = spec.OnControlPlaneLoss == v1alpha1.FailOpen
	}
	zone, err := calendar.Zone(name)
	if err != nil {
		misfit(out, v1alpha1.ReasonInvalidTimeZone, "spec.limits.timeZone: %v", err)
		zone, _ = calendar.Zone("")
	}
	out.QuotaPeriod.Zone, out.BudgetPeriod.Zone = zone, zone
}

// unitOr is the unit of a period. The schema admits no other words than those that are understood.
func unitOr(period v1alpha1.CalendarPeriod, fallback calendar.Unit) calendar.Unit {
	if unit, known := calendar.ParseUnit(string(period)); known {
		return unit
	}
	return fallback
}

// maintenance sets the windows, those that are understood. One that is not makes the endpoint a misfit: to send
// traffic into a maintenance would be worse than to send none.
func maintenance(specs []v1alpha1.MaintenanceWindow, out *routing.EndpointSpec) {
	for i := range specs {
		spec := &specs[i]
		length, err := Duration(spec.Duration)
		if err != nil {
			misfit(out, v1alpha1.ReasonInvalidSchedule, "spec.maintenance[%d].duration: %v", i, err)
			continue
		}
		window, err := calendar.ParseWindow(spec.Schedule, length, spec.TimeZone)
		if err == nil {
			out.Maintenance = append(out.Maintenance, window)
			continue
		}
		reason, field := v1alpha1.ReasonInvalidSchedule, "schedule"
		if _, unknown := calendar.Zone(spec.TimeZone); unknown != nil {
			reason, field = v1alpha1.ReasonInvalidTimeZone, "timeZone"
		} else if length <= 0 || length > calendar.MaxWindow {
			field = "duration"
		}
		misfit(out, reason, "spec.maintenance[%d].%s: %v", i, field, err)
	}
}

// misfit says what cannot be acted on; of several things the first.
func misfit(out *routing.EndpointSpec, reason, format string, arguments ...any) {
	if out.Misfit == (routing.Refusal{}) {
		out.Misfit = routing.Refusal{Reason: reason, Message: fmt.Sprintf(format, arguments...)}
	}
}
