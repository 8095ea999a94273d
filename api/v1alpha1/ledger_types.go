// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// LimitType is what a limit counts.
//
// +kubebuilder:validation:Enum=Requests;Tokens;Budget
type LimitType string

const (
	// LimitRequests is spec.limits.quota.requests.
	LimitRequests LimitType = "Requests"
	// LimitTokens is spec.limits.quota.tokens.
	LimitTokens LimitType = "Tokens"
	// LimitBudget is spec.limits.budget.amount. Where whole numbers count money they count nano-dollars.
	LimitBudget LimitType = "Budget"
)

// LimitStatus is how one limit stands in the current period. Amounts are whole numbers of requests or tokens, or
// US dollars.
type LimitStatus struct {
	// limit is which one.
	// +required
	Limit LimitType `json:"limit,omitempty"`

	// amount is the limit.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=20
	Amount string `json:"amount,omitempty"`

	// used is what was used, and what was lent to proxies that are gone without giving it back.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=20
	Used string `json:"used,omitempty"`

	// leased is what is lent to proxies and not used, as far as they have said.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=20
	Leased string `json:"leased,omitempty"`

	// left is what can still be lent.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=20
	Left string `json:"left,omitempty"`

	// resetTime is when the period ends.
	// +required
	ResetTime metav1.Time `json:"resetTime,omitzero"`
}

// UseSummary is use beside its limits, in words.
//
// +kubebuilder:validation:MinProperties=1
type UseSummary struct {
	// requests of the current period, such as 420/1000, or 420 without a limit.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	Requests string `json:"requests,omitempty"`

	// tokens of the current period.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	Tokens string `json:"tokens,omitempty"`

	// cost of the current period in US dollars.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	Cost string `json:"cost,omitempty"`

	// leased is what is lent to proxies and not used, such as "130 requests, $0.25".
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	Leased string `json:"leased,omitempty"`
}

// LedgerAccount is what was lent of one limit in one period: closed and what is out in leases is never more than
// the limit was when it was lent.
type LedgerAccount struct {
	// limit is which one.
	// +required
	Limit LimitType `json:"limit,omitempty"`

	// start is when the period begins.
	// +required
	Start metav1.Time `json:"start,omitzero"`

	// end is when it ends.
	// +required
	End metav1.Time `json:"end,omitzero"`

	// closed is what leases that no longer exist were charged.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Closed int64 `json:"closed,omitempty"`

	// wanted says that somebody needs more than is left: proxies give back what they do not use.
	// +optional
	Wanted bool `json:"wanted,omitempty"` //nolint:kubeapilinter // a pointer would add a third value without meaning

	// leases are those of proxies that are not known to be gone.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=4096
	Leases []LedgerLease `json:"leases,omitempty"`
}

// LedgerLease is what one proxy was lent. The numbers only grow.
type LedgerLease struct {
	// uid of its ProxyInstance.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	UID string `json:"uid,omitempty"`

	// granted is what it was lent in all.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Granted int64 `json:"granted,omitempty"`

	// returned is what it has given back of that.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Returned int64 `json:"returned,omitempty"`

	// answered is the number of the newest of its wishes that was answered.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Answered int64 `json:"answered,omitempty"`

	// rest says that it was given all that was left, and that this was less than one attempt needs.
	// +optional
	Rest bool `json:"rest,omitempty"` //nolint:kubeapilinter // a pointer would add a third value without meaning
}

// EndpointGrant tells a proxy what it may use of the limits of one ModelEndpoint.
type EndpointGrant struct {
	// uid of the ModelEndpoint.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	UID string `json:"uid,omitempty"`

	// namespace of the ModelEndpoint.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Namespace string `json:"namespace,omitempty"`

	// name of the ModelEndpoint.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`

	// limits are copies of those of its leases in the ledger that there is something to tell of.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=12
	Limits []LimitGrant `json:"limits,omitempty"`

	// rate is its share of the limits per minute and of concurrent requests.
	// +optional
	Rate *RateShare `json:"rate,omitempty"`
}

// LimitGrant is the copy of a lease. One of a period that has not begun may be used from start on.
type LimitGrant struct {
	// limit is which one.
	// +required
	Limit LimitType `json:"limit,omitempty"`

	// start is when the period begins.
	// +required
	Start metav1.Time `json:"start,omitzero"`

	// granted is what was lent in all.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Granted int64 `json:"granted,omitempty"`

	// returned is what the ledger knows to be given back of that.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Returned int64 `json:"returned,omitempty"`

	// answered is the number of the newest wish that was answered.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Answered int64 `json:"answered,omitempty"`

	// rest says that this was all that was left: one attempt may have it although it sets aside more.
	// +optional
	Rest bool `json:"rest,omitempty"` //nolint:kubeapilinter // a pointer would add a third value without meaning

	// wanted says that others need what is not used: it is to be given back.
	// +optional
	Wanted bool `json:"wanted,omitempty"` //nolint:kubeapilinter // a pointer would add a third value without meaning
}

// RateShare is how much of the limits in spec.limits.rate one proxy may use.
//
// +kubebuilder:validation:MinProperties=0
type RateShare struct {
	// requestsPerMinute is its share of spec.limits.rate.requestsPerMinute.
	// +optional
	// +kubebuilder:validation:Minimum=0
	RequestsPerMinute *int64 `json:"requestsPerMinute,omitempty"`

	// tokensPerMinute is its share of spec.limits.rate.tokensPerMinute.
	// +optional
	// +kubebuilder:validation:Minimum=0
	TokensPerMinute *int64 `json:"tokensPerMinute,omitempty"`

	// concurrentRequests is its share of spec.limits.rate.concurrentRequests.
	// +optional
	// +kubebuilder:validation:Minimum=0
	ConcurrentRequests *int64 `json:"concurrentRequests,omitempty"`
}

// EndpointAsk is what a proxy wishes for, and gives back, of the limits of one ModelEndpoint.
type EndpointAsk struct {
	// uid of the ModelEndpoint.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	UID string `json:"uid,omitempty"`

	// namespace of the ModelEndpoint.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Namespace string `json:"namespace,omitempty"`

	// name of the ModelEndpoint.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`

	// limits are those it has something to say about.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=12
	Limits []LimitAsk `json:"limits,omitempty"`

	// demand is how much of the limits in spec.limits.rate it would use: attempts and tokens per minute, and
	// attempts under way at once.
	// +optional
	Demand *RateShare `json:"demand,omitempty"`
}

// LimitAsk is what a proxy says about one lease: amounts of the whole period.
type LimitAsk struct {
	// limit is which one.
	// +required
	Limit LimitType `json:"limit,omitempty"`

	// start is when the period begins.
	// +required
	Start metav1.Time `json:"start,omitzero"`

	// granted is the largest grant it has seen.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Granted int64 `json:"granted,omitempty"`

	// returned is what it has given back of that, for good.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Returned int64 `json:"returned,omitempty"`

	// spent is what it has used and set aside. Only said with a wish.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Spent int64 `json:"spent,omitempty"`

	// number counts its wishes. Absent: it has none, and only gives back.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Number int64 `json:"number,omitempty"`

	// want is what granted should grow to.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Want int64 `json:"want,omitempty"`

	// need is what granted must grow to for an attempt that waits. Absent: none does.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Need int64 `json:"need,omitempty"`
}
