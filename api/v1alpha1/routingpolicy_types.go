// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// StrategyType is the rule that orders the endpoints of a tier.
//
// +kubebuilder:validation:Enum=Priority;RoundRobin
type StrategyType string

const (
	// StrategyPriority tries endpoints as they are listed; those matched by labels, by name.
	StrategyPriority StrategyType = "Priority"
	// StrategyRoundRobin starts each request at the next active endpoint and goes round from there. Each
	// proxy counts for itself.
	StrategyRoundRobin StrategyType = "RoundRobin"
)

// Strategy orders the endpoints of a tier.
type Strategy struct {
	// type is the rule. Priority tries endpoints in their listed order (those matched by labels, by name).
	// RoundRobin starts each request at the next active one.
	// +required
	Type StrategyType `json:"type,omitempty"`
}

// EndpointReference names a ModelEndpoint of the policy's own namespace.
type EndpointReference struct {
	// name of the ModelEndpoint.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')",message="endpoints[].name is the name of a ModelEndpoint: lower-case letters, digits, hyphens and dots, such as gpt-4o-mini"
	Name string `json:"name,omitempty"`
}

// EndpointMatch selects endpoints of the policy's namespace. All that is given must hold.
//
// +kubebuilder:validation:MinProperties=1
// +kubebuilder:validation:XValidation:rule="!has(self.providers) || !has(self.excludedProviders) || !self.providers.exists(p, p in self.excludedProviders)",message="a provider stands in both match.providers and match.excludedProviders; keep it in one of them"
type EndpointMatch struct {
	// The rules of selector go through indexes because the schema of a label selector bounds none of its
	// lists: only so does the API server know what a rule can cost.

	// selector picks endpoints by their labels. An empty selector picks all.
	// +optional
	// +kubebuilder:validation:XValidation:rule="!has(self.matchExpressions) || size(self.matchExpressions) <= 16",message="selector.matchExpressions has at most 16 entries; give the endpoints one label of their own and select by that"
	// +kubebuilder:validation:XValidation:rule="!has(self.matchExpressions) || [0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15].all(i, i >= size(self.matchExpressions) || self.matchExpressions[i].operator in ['In','NotIn','Exists','DoesNotExist'])",message="selector.matchExpressions[].operator does not exist; write In, NotIn, Exists or DoesNotExist"
	// +kubebuilder:validation:XValidation:rule="!has(self.matchExpressions) || [0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15].all(i, i >= size(self.matchExpressions) || !(self.matchExpressions[i].operator in ['In','NotIn']) || has(self.matchExpressions[i].values) && size(self.matchExpressions[i].values) > 0)",message="operator In or NotIn compares the label with values; list at least one in selector.matchExpressions[].values"
	// +kubebuilder:validation:XValidation:rule="!has(self.matchExpressions) || [0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15].all(i, i >= size(self.matchExpressions) || !(self.matchExpressions[i].operator in ['Exists','DoesNotExist']) || !has(self.matchExpressions[i].values) || size(self.matchExpressions[i].values) == 0)",message="operator Exists or DoesNotExist looks at the key alone; remove selector.matchExpressions[].values, or use In or NotIn"
	Selector *metav1.LabelSelector `json:"selector,omitempty"`

	// providers lists the only providers whose endpoints match.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=63
	// +kubebuilder:validation:items:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",message="a provider is written in lower-case letters, digits and hyphens and begins and ends with a letter or digit, such as openai or vllm-berlin"
	Providers []string `json:"providers,omitempty"`

	// excludedProviders lists providers whose endpoints never match.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=63
	// +kubebuilder:validation:items:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",message="a provider is written in lower-case letters, digits and hyphens and begins and ends with a letter or digit, such as openai or vllm-berlin"
	ExcludedProviders []string `json:"excludedProviders,omitempty"`

	// features lists what an endpoint must declare in its own spec.features to match.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	Features []Feature `json:"features,omitempty"`
}

// Tier is a group of endpoints. All of a tier's endpoints are tried before the next tier's.
//
// +kubebuilder:validation:XValidation:rule="!(has(self.match) && has(self.endpoints))",message="a tier has match or endpoints, not both; split it into two tiers"
type Tier struct {
	// match selects the tier's endpoints. Without match and endpoints the tier holds every endpoint of the
	// namespace at or below the policy's capability.
	// +optional
	Match *EndpointMatch `json:"match,omitempty"`

	// endpoints lists the tier's endpoints by name, in order of preference. One that does not offer the
	// policy's capability is left out, and ResolvedRefs says so.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=256
	Endpoints []EndpointReference `json:"endpoints,omitempty"`

	// strategy orders the tier's endpoints. Absent: type Priority.
	// +optional
	Strategy *Strategy `json:"strategy,omitempty"`
}

// Timeouts bound the phases of an attempt, and the request as a whole. Time spent waiting for the caller to
// read never counts against idle.
//
// +kubebuilder:validation:MinProperties=0
type Timeouts struct {
	// connect bounds name resolution and the TCP connection.
	// +optional
	// +default="2s"
	Connect *Duration `json:"connect,omitempty"`

	// tlsHandshake bounds the TLS handshake with an https provider.
	// +optional
	// +default="3s"
	TLSHandshake *Duration `json:"tlsHandshake,omitempty"`

	// firstToken bounds the wait from sending a request to the first content of its answer; another 10s are
	// added for every 10,000 estimated input tokens, and for an answer that is not streamed, which is written
	// whole before its first byte, 20ms for every token it may have (max_tokens, else 4,096, or 32,768 when reasoning is asked for). Past it the next
	// endpoint is tried.
	// +optional
	// +default="30s"
	FirstToken *Duration `json:"firstToken,omitempty"`

	// idle bounds the silence between two pieces of an answer that has begun.
	// +optional
	// +default="60s"
	Idle *Duration `json:"idle,omitempty"`

	// commitAfter is how long a caller of a stream waits for anything: then a status of 200 and a comment go out, and
	// another comment each time as long again, so that load balancers on the way stay awake. Until the first
	// content the next endpoint can still be tried; errors come as an event of the stream.
	// +optional
	// +default="10s"
	CommitAfter *Duration `json:"commitAfter,omitempty"`

	// clientWrite bounds how long the caller may refuse to take bytes of its answer before it counts as gone.
	// +optional
	// +default="30s"
	ClientWrite *Duration `json:"clientWrite,omitempty"`
}

// RetryScope is where an attempt may go after one that failed.
//
// +kubebuilder:validation:Enum=SameEndpoint;SameProvider;Any
type RetryScope string

const (
	// RetrySameEndpoint tries the endpoint that came first, and no other.
	RetrySameEndpoint RetryScope = "SameEndpoint"
	// RetrySameProvider tries endpoints of the provider that came first.
	RetrySameProvider RetryScope = "SameProvider"
	// RetryAny tries every endpoint of the policy.
	RetryAny RetryScope = "Any"
)

// BackoffType is how long a request waits before it tries an endpoint that it has tried already.
//
// +kubebuilder:validation:Enum=Fixed;ExponentialJitter;RetryAfter
type BackoffType string

const (
	// BackoffFixed always waits the same.
	BackoffFixed BackoffType = "Fixed"
	// BackoffExponentialJitter waits a random time up to one that doubles with each attempt.
	BackoffExponentialJitter BackoffType = "ExponentialJitter"
	// BackoffRetryAfter waits as long as the provider has asked, and like ExponentialJitter when it has not.
	BackoffRetryAfter BackoffType = "RetryAfter"
)

// Backoff is how long a request waits before it tries an endpoint that it has tried already. The next endpoint is
// always tried at once.
//
// +kubebuilder:validation:MinProperties=0
// +kubebuilder:validation:XValidation:rule="!has(self.base) || !has(self.max) || ![self.base, self.max].all(d, d.matches('^([0-9]{1,5}(h|m|s|ms)){1,4}$')) || !self.max.matches('[1-9]') || duration(self.max) >= duration(self.base)",message="backoff.max (5s when left out) is below backoff.base (250ms when left out); raise it, or lower the base",fieldPath=".max"
type Backoff struct {
	// type is the rule: Fixed waits base each time, ExponentialJitter a random time up to base, doubled with
	// each attempt, RetryAfter as long as the provider asks.
	// +optional
	// +default="ExponentialJitter"
	Type BackoffType `json:"type,omitempty"`

	// base is the first wait.
	// +optional
	// +default="250ms"
	Base *Duration `json:"base,omitempty"`

	// max is the longest. A provider that asks for longer is not tried again for this request.
	// +optional
	// +default="5s"
	Max *Duration `json:"max,omitempty"`
}

// ContentFilterAction is what is done with an answer that a provider refuses for its content.
//
// +kubebuilder:validation:Enum=Return;Next
type ContentFilterAction string

const (
	// ContentFilterReturn gives the refusal to the caller as it is.
	ContentFilterReturn ContentFilterAction = "Return"
	// ContentFilterNext tries the next endpoint.
	ContentFilterNext ContentFilterAction = "Next"
)

// Retry bounds the attempts made for one request.
//
// +kubebuilder:validation:MinProperties=0
// +kubebuilder:validation:XValidation:rule="!has(self.onContentFilter) || self.onContentFilter != 'Next' || (!has(self.scope) || self.scope != 'SameEndpoint') && (!has(self.attempts) || self.attempts > 1)",message="onContentFilter Next needs another endpoint and another attempt; set scope to SameProvider or Any and attempts to 2 or more, or onContentFilter to Return",fieldPath=".onContentFilter"
type Retry struct {
	// attempts is the most attempts made for one request, the first included. One more on a fresh
	// connection after a reset of a reused one counts as an attempt; one more without a field that the proxy
	// itself has added does not. When every endpoint has been tried and attempts are left, those that failed are
	// tried again, after the backoff.
	// +optional
	// +default=3
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=32
	Attempts *int32 `json:"attempts,omitempty"`

	// scope is where attempts after the first may go: SameEndpoint, SameProvider or Any.
	// +optional
	// +default="Any"
	Scope RetryScope `json:"scope,omitempty"`

	// backoff is how long to wait before an endpoint is tried that this request has tried already.
	// +optional
	// +default={}
	Backoff *Backoff `json:"backoff,omitempty"`

	// budgetPercent is how many attempts beyond the first there may be for each hundred requests, counted by
	// each proxy over ten seconds; ten are always allowed. It keeps an outage from multiplying the load.
	// Absent: attempts alone bounds them.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	BudgetPercent *int32 `json:"budgetPercent,omitempty"`

	// onContentFilter is what is done when a provider refuses to answer because of the content: Return gives
	// the caller its refusal, Next tries the next endpoint.
	// +optional
	// +default="Return"
	OnContentFilter ContentFilterAction `json:"onContentFilter,omitempty"`

	// deadline bounds the request with all its attempts, until its last byte.
	// +optional
	// +default="600s"
	Deadline *Duration `json:"deadline,omitempty"`
}

// WhenExhausted is what is done with a request when every endpoint rests.
//
// +kubebuilder:validation:Enum=LastResort;Reject
type WhenExhausted string

const (
	// WhenExhaustedLastResort tries an endpoint that rests because of failures, the one due back first.
	WhenExhaustedLastResort WhenExhausted = "LastResort"
	// WhenExhaustedReject answers 503.
	WhenExhaustedReject WhenExhausted = "Reject"
)

// ErrorRate rests an endpoint for the share of its attempts that fail.
type ErrorRate struct {
	// threshold is the share of attempts, from 0.01 to 1, at which the endpoint rests.
	// +required
	// +kubebuilder:validation:XValidation:rule="!self.matches('^0([.]0{1,4}|[.]00[0-9]{0,2})?$')",message="errorRate.threshold is at least 0.01; leave errorRate out when only failures in a row shall count"
	Threshold Ratio `json:"threshold,omitempty"`

	// window is how far back attempts count, at most 5m. Where proxies report too rarely for it (less than
	// twice in a window), each judges for itself; the endpoint's condition Healthy says so.
	// +optional
	// +default="60s"
	// +kubebuilder:validation:XValidation:rule="!self.matches('^([0-9]{1,5}(h|m|s|ms)){1,4}$') || !self.matches('[1-9]') || duration(self) >= duration('10s') && duration(self) <= duration('5m')",message="errorRate.window is between 10s and 5m: attempts are counted by tens of seconds, for five minutes"
	Window *Duration `json:"window,omitempty"`

	// minimumRequests is how many attempts there must be within the window before their share means anything.
	// +optional
	// +default=20
	// +kubebuilder:validation:Minimum=2
	// +kubebuilder:validation:Maximum=1000000
	MinimumRequests *int32 `json:"minimumRequests,omitempty"`
}

// Deactivation says when an endpoint of the policy goes to Standby by itself.
//
// +kubebuilder:validation:MinProperties=0
type Deactivation struct {
	// consecutiveFailures is how many failures in a row, counted over all proxies and from at least two
	// requests, put an endpoint on Standby (ErrorThreshold).
	// +optional
	// +default=3
	// +kubebuilder:validation:Minimum=2
	// +kubebuilder:validation:Maximum=1000
	ConsecutiveFailures *int32 `json:"consecutiveFailures,omitempty"`

	// errorRate does the same for a share of failures. Absent: only failures in a row count.
	// +optional
	ErrorRate *ErrorRate `json:"errorRate,omitempty"`

	// restToStandby is the longest rest a provider may ask for with a 429 without a Standby: shorter ones are
	// obeyed and change nothing else, longer ones are a Standby (RateLimited).
	// +optional
	// +default="60s"
	RestToStandby *Duration `json:"restToStandby,omitempty"`
}

// Ramp is how traffic comes back to an endpoint on trial.
//
// +kubebuilder:validation:MinProperties=0
type Ramp struct {
	// initialPercent is the share of its traffic that an endpoint gets when its trial begins. Until its first
	// success each proxy sends it one request at a time.
	// +optional
	// +default=10
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	InitialPercent *int32 `json:"initialPercent,omitempty"`

	// duration is how long the share takes to grow to all of it.
	// +optional
	// +default="30s"
	Duration *Duration `json:"duration,omitempty"`
}

// Recovery says how an endpoint of the policy comes back from a Standby.
//
// +kubebuilder:validation:MinProperties=0
// +kubebuilder:validation:XValidation:rule="!has(self.cooldown) || !has(self.maxCooldown) || ![self.cooldown, self.maxCooldown].all(d, d.matches('^([0-9]{1,5}(h|m|s|ms)){1,4}$')) || !self.maxCooldown.matches('[1-9]') || duration(self.maxCooldown) >= duration(self.cooldown)",message="recovery.maxCooldown (1h when left out) is below recovery.cooldown (60s when left out); raise it, or lower the cooldown",fieldPath=".maxCooldown"
type Recovery struct {
	// cooldown is how long an endpoint rests after too many failures. It doubles with each time that its
	// trial fails.
	// +optional
	// +default="60s"
	Cooldown *Duration `json:"cooldown,omitempty"`

	// maxCooldown is the longest it gets.
	// +optional
	// +default="1h"
	MaxCooldown *Duration `json:"maxCooldown,omitempty"`

	// maxRetryAfter is the longest rest that a provider can ask for with a 429. A reset of its quota may be up
	// to 32 days away.
	// +optional
	// +default="1h"
	MaxRetryAfter *Duration `json:"maxRetryAfter,omitempty"`

	// ramp is how traffic comes back while the endpoint is on trial. One failure ends the trial.
	// +optional
	// +default={}
	Ramp *Ramp `json:"ramp,omitempty"`

	// successes is how many attempts must succeed before the trial is passed, once the ramp has ended.
	// +optional
	// +default=3
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	Successes *int32 `json:"successes,omitempty"`
}

// RoutingPolicySpec says which names a policy answers to, which endpoints serve them, and in which order.
//
// +kubebuilder:validation:MinProperties=1
// +kubebuilder:validation:XValidation:rule="has(self.models) || has(self.capability)",message="set spec.models (names that callers ask for), spec.capability, or both; otherwise no request can reach this policy"
// +kubebuilder:validation:XValidation:rule="has(self.capability) || has(self.tiers)",message="set spec.capability or spec.tiers; otherwise no endpoint can serve this policy"
// +kubebuilder:validation:XValidation:rule="has(self.capability) || !has(self.tiers) || self.tiers.all(t, has(t.match) || has(t.endpoints))",message="without spec.capability every tier needs match or endpoints; add one of them, or set spec.capability",fieldPath=".tiers"
// +kubebuilder:validation:XValidation:rule="!has(self.tiers) || size(self.tiers) < 2 || self.tiers.filter(t, !has(t.match) && !has(t.endpoints)).size() == (has(self.tiers[size(self.tiers) - 1].match) || has(self.tiers[size(self.tiers) - 1].endpoints) ? 0 : 1)",message="a tier without match and endpoints holds every endpoint, so that tiers after it would add nothing; make it the last, and only one",fieldPath=".tiers"
// +kubebuilder:validation:XValidation:rule="self.retry.attempts == 1 || ![self.retry.deadline, self.timeouts.firstToken].all(d, d.matches('^([0-9]{1,5}(h|m|s|ms)){1,4}$')) || duration(self.retry.deadline) > duration(self.timeouts.firstToken)",message="retry.deadline must be longer than timeouts.firstToken (30s when left out), or an endpoint that hangs uses up the whole request and no other is tried; raise the deadline, lower firstToken, or set retry.attempts to 1",fieldPath=".retry.deadline"
// +kubebuilder:validation:XValidation:rule="self.retry.attempts == 1 || ![self.retry.deadline, self.timeouts.connect].all(d, d.matches('^([0-9]{1,5}(h|m|s|ms)){1,4}$')) || duration(self.retry.deadline) > duration(self.timeouts.connect)",message="retry.deadline must be longer than timeouts.connect (2s when left out), or an endpoint that cannot be reached uses up the whole request and no other is tried; raise the deadline, lower connect, or set retry.attempts to 1",fieldPath=".retry.deadline"
type RoutingPolicySpec struct {
	// models are the names that callers may put into the model field of a request to reach this policy. A
	// name belongs to the oldest policy of the namespace that lists it (then by policy name).
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=253
	// +kubebuilder:validation:items:XValidation:rule="self.matches('^[A-Za-z0-9]([-A-Za-z0-9._:]*[A-Za-z0-9])?$')",message="a name in models is written in letters, digits, hyphens, dots, underscores and colons and begins and ends with a letter or digit, such as chat or gpt-4o:mini; a slash parts namespace and name, so it cannot be in one"
	Models []string `json:"models,omitempty"`

	// capability is the node of the capability tree this policy serves: every request for that node, or for
	// one below it without a policy of its own. Only endpoints at or below the node take part.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?[.]){0,2}[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$') || self.matches('^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?([.][a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)+/[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?([.][a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?){0,7}$')",message="a capability is a name of the tree in lower case (chat-completion, or generation.text-generation.chat-completion), or one of your own below a domain (acme.com/compliance.pii-detection)"
	Capability string `json:"capability,omitempty"`

	// tiers are tried in order. Absent: one tier with every endpoint of the namespace at or below capability.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	Tiers []Tier `json:"tiers,omitempty"` //nolint:kubeapilinter // a tier without fields is meant: it holds every endpoint

	// timeouts bound the phases of a request.
	// +optional
	// +default={}
	Timeouts *Timeouts `json:"timeouts,omitempty"`

	// retry bounds the attempts made for one request.
	// +optional
	// +default={}
	Retry *Retry `json:"retry,omitempty"`

	// whenExhausted is what is done when all endpoints rest because of their health: LastResort tries those that
	// rest after failures (ErrorThreshold, ProbeFailed, ProviderOutage), the one due back first; Reject answers
	// 503, also to the requests that an endpoint on trial does not take yet. Limits, maintenance and spec.suspend are
	// never overridden.
	// +optional
	// +default="LastResort"
	WhenExhausted WhenExhausted `json:"whenExhausted,omitempty"`

	// deactivation says when the policy's endpoints go to Standby by themselves. An endpoint of several
	// policies goes when any of them says so; one of none by these defaults.
	// +optional
	// +default={}
	Deactivation *Deactivation `json:"deactivation,omitempty"`

	// recovery says how they come back. Of several policies that put an endpoint on Standby the longest
	// cooldown counts.
	// +optional
	// +default={}
	Recovery *Recovery `json:"recovery,omitempty"`
}

// PolicyEndpoints counts the endpoints of a policy.
type PolicyEndpoints struct {
	// total is how many endpoints the policy selects.
	// +required
	// +kubebuilder:validation:Minimum=0
	Total int32 `json:"total"`

	// active is how many of them take traffic.
	// +required
	// +kubebuilder:validation:Minimum=0
	Active int32 `json:"active"`

	// standby is how many of them take none: on Standby, not accepted, or with references that do not resolve.
	// +required
	// +kubebuilder:validation:Minimum=0
	Standby int32 `json:"standby"`
}

// RoutingPolicyStatus is what the operator knows about the policy.
//
// +kubebuilder:validation:MinProperties=1
type RoutingPolicyStatus struct {
	// conditions are Accepted, ResolvedRefs and Ready.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MinItems=0
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// observedGeneration is the generation of the spec that this status speaks of.
	// +optional
	// +kubebuilder:validation:Minimum=1
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// models are the names this policy answers to, joined by commas. A name lost to an older policy is not
	// among them.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=32768
	Models string `json:"models,omitempty"`

	// strategy names the strategies of the tiers, in order, joined by commas.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	Strategy string `json:"strategy,omitempty"`

	// current is the endpoint that a request is sent to first: the first that is Active, in the order of the
	// tiers. Absent when none is, and while the first tier with one takes turns.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Current string `json:"current,omitempty"`

	// endpoints counts the endpoints of all tiers, each once.
	// +optional
	Endpoints *PolicyEndpoints `json:"endpoints,omitempty"`
}

// RoutingPolicy says which endpoints serve which names, and in which order they are tried.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=rp,categories=turnout
// +kubebuilder:printcolumn:name="Models",type=string,JSONPath=`.status.models`
// +kubebuilder:printcolumn:name="Strategy",type=string,JSONPath=`.status.strategy`
// +kubebuilder:printcolumn:name="Current",type=string,JSONPath=`.status.current`
// +kubebuilder:printcolumn:name="Active",type=integer,JSONPath=`.status.endpoints.active`
// +kubebuilder:printcolumn:name="Standby",type=integer,JSONPath=`.status.endpoints.standby`
// +kubebuilder:printcolumn:name="Capability",type=string,priority=1,JSONPath=`.spec.capability`
// +kubebuilder:printcolumn:name="Ready",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type RoutingPolicy struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is standard object metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty,omitzero"`

	// spec is the policy, written by its users.
	// +required
	Spec RoutingPolicySpec `json:"spec,omitzero"`

	// status is what the operator knows about the policy.
	// +optional
	Status RoutingPolicyStatus `json:"status,omitzero"`
}

// RoutingPolicyList is a list of RoutingPolicy.
//
// +kubebuilder:object:root=true
type RoutingPolicyList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []RoutingPolicy `json:"items"`
}
