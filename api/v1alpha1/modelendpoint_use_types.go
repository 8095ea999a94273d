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

// QuotaLimit counts requests and tokens, and limits them.
type QuotaLimit struct {
	// period is the calendar period over which requests and tokens are counted. A provider whose quota is
	// spent is tried again when it ends, unless it says itself when.
	// +required
	Period CalendarPeriod `json:"period,omitempty"`

	// requests is how many attempts at the provider a period may have, over all proxies: each retry is one. It
	// holds exactly. Once they are used up the endpoint is on Standby (RequestLimit) until the period ends.
	// Absent: no limit.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000000000000
	Requests *int64 `json:"requests,omitempty"`

	// tokens is how many tokens a period may have, input and output, over all proxies. What attempts under way
	// use beyond what was set aside for them (see reserve) can go above it. Once they are used up the endpoint
	// is on Standby (TokenLimit) until the period ends. Absent: no limit.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000000000000000
	Tokens *int64 `json:"tokens,omitempty"`
}

// BudgetLimit counts money, and limits it.
type BudgetLimit struct {
	// period is the calendar period over which cost is counted.
	// +required
	Period CalendarPeriod `json:"period,omitempty"`

	// amount is how many US dollars a period may cost by spec.pricing, over all proxies. What attempts under
	// way cost beyond what was set aside for them (see reserve) can go above it. Once it is used up the endpoint
	// is on Standby (BudgetExceeded) until the period ends. Absent: no limit.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self.matches('[1-9]') || !self.matches('^(0|[1-9][0-9]{0,8})([.][0-9]{1,9})?$')",message="limits.budget.amount of 0 admits nothing that costs; write a larger one, or set spec.suspend to take the endpoint out of use"
	Amount Money `json:"amount,omitempty"`
}

// RateLimit limits how fast the endpoint is used. Each proxy gets a share by its demand. A request that finds the
// shares used up goes to the next endpoint; it rests nothing.
//
// +kubebuilder:validation:MinProperties=1
type RateLimit struct {
	// requestsPerMinute is how many attempts a minute may have, over all proxies. A tenth may come at once.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000000000
	RequestsPerMinute *int64 `json:"requestsPerMinute,omitempty"`

	// tokensPerMinute is how many tokens a minute may have, input and output, over all proxies.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000000000000
	TokensPerMinute *int64 `json:"tokensPerMinute,omitempty"`

	// concurrentRequests is how many attempts may be under way at once, over all proxies.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000000
	ConcurrentRequests *int64 `json:"concurrentRequests,omitempty"`
}

// Reserve is what is set aside for an attempt until it is known what it used.
//
// +kubebuilder:validation:Enum=Expected;Worst
type Reserve string

const (
	// ReserveExpected sets aside the estimated input and an answer as long as recent ones: what 95 of 100 do not
	// exceed, at most what the request allows; 1,024 tokens while none is known.
	ReserveExpected Reserve = "Expected"
	// ReserveWorst sets aside the estimated input and the longest answer there can be: what the request allows,
	// else spec.constraints.maxOutputTokens.
	ReserveWorst Reserve = "Worst"
)

// ControlPlaneLoss is what happens to limits when nobody lends any more.
//
// +kubebuilder:validation:Enum=FailClosed;FailOpen
type ControlPlaneLoss string

const (
	// FailClosed lets a proxy use what it has been lent, and no more.
	FailClosed ControlPlaneLoss = "FailClosed"
	// FailOpen lets a proxy go on without a limit once it has asked for ten seconds without an answer. What it
	// uses is counted, and held against the limit when the operator is back.
	FailOpen ControlPlaneLoss = "FailOpen"
)

// Limits say over which periods use is counted, and how much of it there may be. A request belongs to the period
// in which it began. Another period or time zone counts from zero; a lower limit holds at once for what is not lent
// to proxies yet, and what is lent is asked back.
//
// +kubebuilder:validation:MinProperties=1
// +kubebuilder:validation:XValidation:rule="!has(self.timeZone) || has(self.quota) || has(self.budget)",message="limits.timeZone says where the periods of limits.quota and limits.budget begin; add one of them"
// +kubebuilder:validation:XValidation:rule="!has(self.onControlPlaneLoss) || self.onControlPlaneLoss == 'FailClosed' || has(self.quota) && (has(self.quota.requests) || has(self.quota.tokens)) || has(self.budget) && has(self.budget.amount)",message="limits.onControlPlaneLoss says what becomes of limits.quota.requests, limits.quota.tokens and limits.budget.amount; add one of them, or remove it",fieldPath=".onControlPlaneLoss"
// +kubebuilder:validation:XValidation:rule="!has(self.reserve) || self.reserve == 'Expected' || has(self.quota) && has(self.quota.tokens) || has(self.budget) && has(self.budget.amount) || has(self.rate) && has(self.rate.tokensPerMinute)",message="limits.reserve says what is set aside of limits.quota.tokens, limits.budget.amount and limits.rate.tokensPerMinute; add one of them, or remove it",fieldPath=".reserve"
type Limits struct {
	// quota counts and limits requests and tokens. Absent: they are counted by day.
	// +optional
	Quota *QuotaLimit `json:"quota,omitempty"`

	// budget counts and limits cost. Absent: it is counted by month.
	// +optional
	Budget *BudgetLimit `json:"budget,omitempty"`

	// rate limits how fast the endpoint is used. Absent: not at all.
	// +optional
	Rate *RateLimit `json:"rate,omitempty"`

	// reserve is what is set aside of limits of tokens and money for an attempt until it is known what it used:
	// Expected, or Worst, which never goes above a limit by more than what input was estimated too small.
	// +optional
	// +default="Expected"
	Reserve Reserve `json:"reserve,omitempty"`

	// onControlPlaneLoss is what a proxy does when it has used what it was lent and nobody answers: FailClosed
	// sends no more attempts to the endpoint, FailOpen goes on without limits.
	// +optional
	// +default="FailClosed"
	OnControlPlaneLoss ControlPlaneLoss `json:"onControlPlaneLoss,omitempty"`

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
