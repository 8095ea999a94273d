// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// StandbyReason is one reason for a Standby.
type StandbyReason struct {
	// reason is why the endpoint is on Standby.
	// +required
	Reason DeactivationReason `json:"reason,omitempty"`

	// message says what happened and what ends it.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message,omitempty"`

	// since is when the reason began to hold.
	// +optional
	Since *metav1.Time `json:"since,omitempty"`

	// until is when it ends by itself. Absent: not by time.
	// +optional
	Until *metav1.Time `json:"until,omitempty"`

	// policies are the RoutingPolicies whose thresholds were passed. Absent: the defaults, or a reason that no
	// policy decides.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=253
	Policies []string `json:"policies,omitempty"`

	// trial says that the endpoint comes back on trial.
	// +optional
	Trial bool `json:"trial,omitempty"` //nolint:kubeapilinter // a pointer would add a third value without meaning
}

// TrialState is a return under observation.
type TrialState struct {
	// since is when the endpoint came back.
	// +required
	Since metav1.Time `json:"since,omitzero"`

	// initialPercent is the share of its traffic that it got then.
	// +required
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	InitialPercent int32 `json:"initialPercent,omitempty"`

	// ramp is how long the share takes to grow to all of it. Absent: it has all of it at once.
	// +optional
	Ramp *Duration `json:"ramp,omitempty"`

	// successes is how many attempts must succeed before the trial is passed.
	// +required
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	Successes int32 `json:"successes,omitempty"`

	// policies are the RoutingPolicies whose thresholds were passed before.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=253
	Policies []string `json:"policies,omitempty"`
}

// VerdictBasis is the evidence of a verdict.
type VerdictBasis struct {
	// epoch is the one in which the attempts began; 0 before the first.
	// +required
	// +kubebuilder:validation:Minimum=0
	Epoch int64 `json:"epoch"`

	// time is when the newest failure among them ended.
	// +required
	Time metav1.MicroTime `json:"time,omitzero"`
}

// ProbeState is what probes came to, while they fail.
type ProbeState struct {
	// failures in a row.
	// +required
	// +kubebuilder:validation:Minimum=1
	Failures int32 `json:"failures,omitempty"`

	// lastFailure is when the last of them ended.
	// +optional
	LastFailure *metav1.MicroTime `json:"lastFailure,omitempty"`

	// message says how it failed.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	Message string `json:"message,omitempty"`
}

// TokenCounts counts tokens.
//
// +kubebuilder:validation:MinProperties=1
type TokenCounts struct {
	// input counts tokens read, cached ones included.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Input int64 `json:"input,omitempty"`

	// cachedInput counts those of input that came from the provider's cache.
	// +optional
	// +kubebuilder:validation:Minimum=0
	CachedInput int64 `json:"cachedInput,omitempty"`

	// output counts tokens written, reasoning included.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Output int64 `json:"output,omitempty"`

	// reasoning counts those of output that were not shown.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Reasoning int64 `json:"reasoning,omitempty"`
}

// EstimatedUsage is the part of a usage that no provider has confirmed: of attempts whose caller left, whose
// answer broke off, or whose provider does not say what they used.
//
// +kubebuilder:validation:MinProperties=0
type EstimatedUsage struct {
	// requests counts attempts.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Requests int64 `json:"requests,omitempty"`

	// tokens were estimated from the size of what was sent and received.
	// +optional
	Tokens TokenCounts `json:"tokens,omitzero"`

	// cost follows from the tokens.
	// +optional
	Cost Money `json:"cost,omitempty"`
}

// PeriodUsage is what was used in one calendar period.
type PeriodUsage struct {
	// start is when the period began.
	// +required
	Start metav1.Time `json:"start,omitzero"`

	// requests counts attempts handed to a connection, whatever came of them.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Requests int64 `json:"requests,omitempty"`

	// tokens were used by them.
	// +optional
	Tokens TokenCounts `json:"tokens,omitzero"`

	// cost of them, by spec.pricing as it was at the time.
	// +optional
	Cost Money `json:"cost,omitempty"`

	// estimated is the part of the above that no provider has confirmed.
	// +optional
	Estimated *EstimatedUsage `json:"estimated,omitempty"`
}

// UsageStatus is what was used, twice: by the period of requests and tokens, and by that of cost.
//
// +kubebuilder:validation:MinProperties=0
type UsageStatus struct {
	// quota is the current period of spec.limits.quota (a day, when there is none).
	// +optional
	Quota *PeriodUsage `json:"quota,omitempty"`

	// budget is the current period of spec.limits.budget (a month, when there is none).
	// +optional
	Budget *PeriodUsage `json:"budget,omitempty"`

	// previousQuota is the period before. It still grows while requests that began in it go on.
	// +optional
	PreviousQuota *PeriodUsage `json:"previousQuota,omitempty"`

	// previousBudget is the period before.
	// +optional
	PreviousBudget *PeriodUsage `json:"previousBudget,omitempty"`
}

// LatencySample is one successful attempt.
type LatencySample struct {
	// time is when it ended.
	// +required
	Time metav1.MicroTime `json:"time,omitzero"`

	// firstTokenMilliseconds is how long the first content took. Absent for an answer in one piece.
	// +optional
	// +kubebuilder:validation:Minimum=0
	FirstToken *int64 `json:"firstTokenMilliseconds,omitempty"`

	// totalMilliseconds is how long all of it took.
	// +required
	// +kubebuilder:validation:Minimum=0
	Total int64 `json:"totalMilliseconds"`
}

// LatencySummary is how long successful attempts of about the last five minutes took. Values are read off a
// histogram and are at most a ninth too large.
//
// +kubebuilder:validation:MinProperties=0
type LatencySummary struct {
	// p50 is the median of the whole answer, such as 420ms.
	// +optional
	// +kubebuilder:validation:MinLength=2
	// +kubebuilder:validation:MaxLength=28
	P50 string `json:"p50,omitempty"`

	// p95 is what 95 of 100 did not exceed.
	// +optional
	// +kubebuilder:validation:MinLength=2
	// +kubebuilder:validation:MaxLength=28
	P95 string `json:"p95,omitempty"`

	// firstTokenP50 is the median of the time to the first content of a stream.
	// +optional
	// +kubebuilder:validation:MinLength=2
	// +kubebuilder:validation:MaxLength=28
	FirstTokenP50 string `json:"firstTokenP50,omitempty"`

	// firstTokenP95 is what 95 of 100 did not exceed.
	// +optional
	// +kubebuilder:validation:MinLength=2
	// +kubebuilder:validation:MaxLength=28
	FirstTokenP95 string `json:"firstTokenP95,omitempty"`
}

// ModelState is the runtime truth about one endpoint.
//
// +kubebuilder:validation:MinProperties=1
type ModelState struct {
	// status is Active or Standby.
	// +optional
	Status EndpointStatus `json:"status,omitempty"`

	// deactivationReason is why the endpoint is on Standby: the first of reasons. Absent while it is Active, and
	// while it is on Standby because it is not Ready: the condition Ready says why then.
	// +optional
	DeactivationReason DeactivationReason `json:"deactivationReason,omitempty"`

	// message says in words how the endpoint is and what will change it.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message,omitempty"`

	// reasons are all that hold, the one shown first.
	// +optional
	// +listType=map
	// +listMapKey=reason
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	Reasons []StandbyReason `json:"reasons,omitempty"`

	// cooldownUntil is the earliest return: the latest end of all reasons. Absent while Active, and while a
	// reason holds that no time ends.
	// +optional
	CooldownUntil *metav1.Time `json:"cooldownUntil,omitempty"`

	// trial is set while the endpoint is Active with a share of its traffic that grows.
	// +optional
	Trial *TrialState `json:"trial,omitempty"`

	// failureCount counts failures since the last success, over all proxies: exact for one proxy, an upper
	// bound for several.
	// +optional
	// +kubebuilder:validation:Minimum=0
	FailureCount *int64 `json:"failureCount,omitempty"`

	// earlierFailures is the part of failureCount that is older than epoch.
	// +optional
	// +kubebuilder:validation:Minimum=0
	EarlierFailures int64 `json:"earlierFailures,omitempty"`

	// errorRate is the share of attempts that failed, over the window of the policies' errorRate (60s when
	// none has one). Absent when there was no attempt.
	// +optional
	ErrorRate Ratio `json:"errorRate,omitempty"`

	// trips counts how often the endpoint went to Standby since it last passed a trial; the cooldown doubles
	// with each.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Trips int32 `json:"trips,omitempty"`

	// epoch counts the transitions of health. What proxies report of an earlier one changes nothing any more.
	// +optional
	// +kubebuilder:validation:Minimum=1
	Epoch int64 `json:"epoch,omitempty"`

	// configuration stands for url, model and credential: a change of any begins a new epoch without a past.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	Configuration string `json:"configuration,omitempty"`

	// evidence is what the newest ErrorThreshold was decided on.
	// +optional
	Evidence *VerdictBasis `json:"evidence,omitempty"`

	// withdrawn says that the current epoch began with a verdict that was withdrawn, because a proxy knew of a
	// newer success: in it one proxy's word alone is not enough for another.
	// +optional
	Withdrawn bool `json:"withdrawn,omitempty"` //nolint:kubeapilinter // a pointer would add a third value without meaning

	// lastTransitionTime is when status or deactivationReason last changed.
	// +optional
	LastTransitionTime *metav1.MicroTime `json:"lastTransitionTime,omitempty"`

	// probe is what probes came to, while they fail.
	// +optional
	Probe *ProbeState `json:"probe,omitempty"`

	// quotaUsed counts the requests of the current quota period: attempts handed to a connection.
	// +optional
	// +kubebuilder:validation:Minimum=0
	QuotaUsed *int64 `json:"quotaUsed,omitempty"`

	// tokensUsed counts the tokens of the current quota period, input and output.
	// +optional
	// +kubebuilder:validation:Minimum=0
	TokensUsed *int64 `json:"tokensUsed,omitempty"`

	// costAccumulated is the cost of the current budget period in US dollars. Absent without spec.pricing.
	// +optional
	CostAccumulated Money `json:"costAccumulated,omitempty"`

	// usage says the same in full.
	// +optional
	Usage *UsageStatus `json:"usage,omitempty"`

	// latencyHistory holds the most recent successful attempts, newest first.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=10
	LatencyHistory []LatencySample `json:"latencyHistory,omitempty"`

	// latency sums them up.
	// +optional
	Latency *LatencySummary `json:"latency,omitempty"`

	// lastRequest is when the last successful request ended.
	// +optional
	LastRequest *metav1.Time `json:"lastRequest,omitempty"`

	// lastFailure is when the last failed one did.
	// +optional
	LastFailure *metav1.Time `json:"lastFailure,omitempty"`

	// lastFailureMessage says how.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	LastFailureMessage string `json:"lastFailureMessage,omitempty"`
}

// FoldedInstance is a proxy process that is gone and whose numbers are in the base.
type FoldedInstance struct {
	// uid of its ProxyInstance.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	UID string `json:"uid,omitempty"`

	// goneSince is when the API server first said that the ProxyInstance no longer exists. Ten minutes later no
	// cache can hold it any more, and the entry goes.
	// +optional
	GoneSince *metav1.Time `json:"goneSince,omitempty"`
}

// Fold is what the books rest on: totals are the base and the reports of every ProxyInstance that exists and
// is not among instances.
//
// +kubebuilder:validation:MinProperties=0
type Fold struct {
	// quota is the base by quota periods, the current and the one before.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=4
	Quota []PeriodUsage `json:"quota,omitempty"`

	// budget is the base by budget periods, the current and the one before.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=4
	Budget []PeriodUsage `json:"budget,omitempty"`

	// instances are the ProxyInstances whose numbers are in the base already.
	// +optional
	// +listType=map
	// +listMapKey=uid
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=4096
	Instances []FoldedInstance `json:"instances,omitempty"`
}
