// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

// Pricing is what a model costs.
//
// +kubebuilder:validation:MinProperties=1
// +kubebuilder:validation:XValidation:rule="!has(self.cachedInputTokens) || has(self.inputTokens)",message="pricing.cachedInputTokens needs pricing.inputTokens; write what input costs when it is not cached (0 if it is free)"
type Pricing struct {
	// inputTokens is the price of a million input tokens, in US dollars. Free is written as 0.
	// +optional
	InputTokens Money `json:"inputTokens,omitempty"`

	// cachedInputTokens is the price of a million input tokens that the provider had in its cache. Absent:
	// that of inputTokens.
	// +optional
	CachedInputTokens Money `json:"cachedInputTokens,omitempty"`

	// outputTokens is the price of a million output tokens, reasoning included.
	// +optional
	OutputTokens Money `json:"outputTokens,omitempty"`

	// request is the price of one answered request, beside its tokens.
	// +optional
	Request Money `json:"request,omitempty"`
}

// CalendarPeriod is a period that begins and ends with the calendar.
//
// +kubebuilder:validation:Enum=Hourly;Daily;Weekly;Monthly
type CalendarPeriod string

const (
	// PeriodHourly begins with each hour of the clock.
	PeriodHourly CalendarPeriod = "Hourly"
	// PeriodDaily begins at midnight.
	PeriodDaily CalendarPeriod = "Daily"
	// PeriodWeekly begins on Monday at midnight.
	PeriodWeekly CalendarPeriod = "Weekly"
	// PeriodMonthly begins on the first of the month at midnight.
	PeriodMonthly CalendarPeriod = "Monthly"
)

// QuotaLimit counts requests and tokens.
type QuotaLimit struct {
	// period is the calendar period over which requests and tokens are counted. A provider whose quota is
	// spent is tried again when it ends, unless it says itself when.
	// +required
	Period CalendarPeriod `json:"period,omitempty"`
}

// BudgetLimit counts money.
type BudgetLimit struct {
	// period is the calendar period over which cost is counted.
	// +required
	Period CalendarPeriod `json:"period,omitempty"`
}

// Limits say over which periods use is counted. A request belongs to the period in which it began. Another
// period or time zone counts from zero.
//
// +kubebuilder:validation:MinProperties=1
// +kubebuilder:validation:XValidation:rule="!has(self.timeZone) || has(self.quota) || has(self.budget)",message="limits.timeZone says where the periods of limits.quota and limits.budget begin; add one of them"
type Limits struct {
	// quota counts requests and tokens. Absent: by day.
	// +optional
	Quota *QuotaLimit `json:"quota,omitempty"`

	// budget counts cost. Absent: by month.
	// +optional
	Budget *BudgetLimit `json:"budget,omitempty"`

	// timeZone is the zone, by its name in the IANA database (Europe/Berlin), in which periods begin. Absent: UTC.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z0-9]([-A-Za-z0-9+_/]*[A-Za-z0-9])?$') && self != 'Local'",message="timeZone is a name of the IANA database, such as Europe/Berlin or UTC"
	TimeZone string `json:"timeZone,omitempty"`
}

// MaintenanceWindow is a span of time that comes again and again.
type MaintenanceWindow struct {
	// schedule says when the window opens, as cron does: minute, hour, day of the month, month, day of the
	// week (0 2 * * 6 is two o'clock on Saturdays), or @hourly, @daily, @weekly, @monthly, @yearly. Seconds and
	// @every are not understood.
	// +required
	// +kubebuilder:validation:MinLength=6
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:XValidation:rule="!self.contains('TZ=')",message="maintenance[].schedule must not set a time zone; write it into maintenance[].timeZone"
	// +kubebuilder:validation:XValidation:rule="self.startsWith('@') ? self in ['@hourly','@daily','@midnight','@weekly','@monthly','@yearly','@annually'] : self.matches('^[^ ]+( +[^ ]+){4}$')",message="maintenance[].schedule has five fields as in cron (minute, hour, day of the month, month, day of the week), such as 0 2 * * 6, or is one of @hourly, @daily, @weekly, @monthly and @yearly"
	Schedule string `json:"schedule,omitempty"`

	// duration is how long it stays open, at most 744h.
	// +required
	// +kubebuilder:validation:XValidation:rule="!self.matches('^([0-9]{1,5}(h|m|s|ms)){1,4}$') || duration(self) <= duration('744h')",message="maintenance[].duration is at most 744h (31 days); set suspend for longer"
	Duration Duration `json:"duration,omitempty"`

	// timeZone is the zone of the schedule, by its name in the IANA database (Europe/Berlin). Absent: UTC.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z0-9]([-A-Za-z0-9+_/]*[A-Za-z0-9])?$') && self != 'Local'",message="timeZone is a name of the IANA database, such as Europe/Berlin or UTC"
	TimeZone string `json:"timeZone,omitempty"`
}

// ProbeType is what a probe asks for.
//
// +kubebuilder:validation:Enum=Models;Completion;Path
type ProbeType string

const (
	// ProbeModels lists the provider's models, which costs nothing.
	ProbeModels ProbeType = "Models"
	// ProbeCompletion has the model answer one token (or embed one word), which is a request like any other:
	// it is counted, and it may cost.
	ProbeCompletion ProbeType = "Completion"
	// ProbePath gets a path.
	ProbePath ProbeType = "Path"
)

// Probe has the operator ask the provider whether it is there. Only one process of the fleet probes.
//
// +kubebuilder:validation:MinProperties=0
// +kubebuilder:validation:XValidation:rule="(has(self.type) && self.type == 'Path') == has(self.path)",message="probe.path goes with probe.type Path, and only with it; add the other, or remove this one"
// +kubebuilder:validation:XValidation:rule="![self.timeout, self.interval].all(d, d.matches('^([0-9]{1,5}(h|m|s|ms)){1,4}$')) || duration(self.interval) < duration('1s') || duration(self.timeout) <= duration(self.interval)",message="probe.timeout (5s when left out) is longer than probe.interval (60s when left out); lower it, or probe less often",fieldPath=".timeout"
type Probe struct {
	// type is what is asked for: Models lists the provider's models, Completion has the model answer one token,
	// Path gets probe.path. An answer of 2xx is a success.
	// +optional
	// +default="Models"
	Type ProbeType `json:"type,omitempty"`

	// path is what type Path gets, from the root of the host in spec.url, such as /health.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule="self.matches('^/[!-~]*$') && !self.contains('#')",message="probe.path begins with a slash and is printable ASCII without spaces, such as /health"
	Path string `json:"path,omitempty"`

	// interval is the time between two probes, give or take a tenth; at least 1s.
	// +optional
	// +default="60s"
	// +kubebuilder:validation:XValidation:rule="!self.matches('^([0-9]{1,5}(h|m|s|ms)){1,4}$') || !self.matches('[1-9]') || duration(self) >= duration('1s')",message="probe.interval is at least 1s, so that probes do not become a load of their own; write a longer one"
	Interval *Duration `json:"interval,omitempty"`

	// timeout bounds one probe.
	// +optional
	// +default="5s"
	Timeout *Duration `json:"timeout,omitempty"`

	// failureThreshold is how many probes in a row must fail before the endpoint goes to Standby (ProbeFailed).
	// +optional
	// +default=3
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	FailureThreshold *int32 `json:"failureThreshold,omitempty"`
}
