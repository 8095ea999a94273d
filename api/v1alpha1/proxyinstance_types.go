// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// FoldFinalizer keeps a ProxyInstance and its ProxyReports until what they count is in the books.
const FoldFinalizer = "turnout.dev/fold"

// ProxyInstanceSpec is the operator's half: what it tells that proxy.
//
// +kubebuilder:validation:MinProperties=1
type ProxyInstanceSpec struct {
	// reportInterval is how often the proxy writes its numbers, if they have changed. It grows with the fleet,
	// so that all reports together stay below ten writes and half a megabyte per second. Absent: 5s.
	// +optional
	ReportInterval *Duration `json:"reportInterval,omitempty"`

	// proxies is how many proxies there are. With more than ten, signals wait for up to 20ms more, so that not
	// all say the same at once.
	// +optional
	// +kubebuilder:validation:Minimum=1
	Proxies *int32 `json:"proxies,omitempty"`

	// grants are what it may use of endpoints with limits: what it has not acknowledged yet, what others need it to
	// give back, and its shares of rates. An entry goes when status.asks no longer has what it answers. That takes
	// nothing away: a proxy keeps the largest grant it has seen.
	// +optional
	// +listType=map
	// +listMapKey=uid
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8192
	Grants []EndpointGrant `json:"grants,omitempty"`
}

// ProviderStatement is a provider's own word about an endpoint.
type ProviderStatement struct {
	// reason is what it said: QuotaExhausted, ProviderAuthFailure or ModelNotFound.
	// +required
	Reason DeactivationReason `json:"reason,omitempty"`

	// time is when it said so.
	// +required
	Time metav1.MicroTime `json:"time,omitzero"`

	// until is the end that it gave.
	// +optional
	Until *metav1.MicroTime `json:"until,omitempty"`

	// message is how.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	Message string `json:"message,omitempty"`
}

// EndpointSignal is what a proxy has to say about the health of one ModelEndpoint: about attempts that began in
// one epoch.
type EndpointSignal struct {
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

	// epoch in which the attempts began; 0 before the operator has begun the first.
	// +required
	// +kubebuilder:validation:Minimum=0
	Epoch int64 `json:"epoch"`

	// failures since the last success.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Failures int64 `json:"failures,omitempty"`

	// requests is from how many distinct requests they are.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Requests int64 `json:"requests,omitempty"`

	// connect counts those of failures without a connection.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Connect int64 `json:"connect,omitempty"`

	// outage counts those of failures without a connection or with an answer of 5xx.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Outage int64 `json:"outage,omitempty"`

	// since is when the first of failures ended.
	// +optional
	Since *metav1.MicroTime `json:"since,omitempty"`

	// lastFailure is when the newest of failures ended.
	// +optional
	LastFailure *metav1.MicroTime `json:"lastFailure,omitempty"`

	// lastSuccess is when the newest success of the epoch showed itself.
	// +optional
	LastSuccess *metav1.MicroTime `json:"lastSuccess,omitempty"`

	// successes of the epoch.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Successes int64 `json:"successes,omitempty"`

	// previousSuccess is the newest success of an attempt that began in the epoch before.
	// +optional
	PreviousSuccess *metav1.MicroTime `json:"previousSuccess,omitempty"`

	// message describes the newest failure.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	Message string `json:"message,omitempty"`

	// rateLimitedUntil is how long the provider asked to be left alone.
	// +optional
	RateLimitedUntil *metav1.MicroTime `json:"rateLimitedUntil,omitempty"`

	// statements are the provider's own words.
	// +optional
	// +listType=map
	// +listMapKey=reason
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=3
	Statements []ProviderStatement `json:"statements,omitempty"`
}

// ProxyInstanceStatus is the report of one proxy process, written by that process.
//
// +kubebuilder:validation:MinProperties=1
type ProxyInstanceStatus struct {
	// conditions hold Current: whether the proxy serves the newest objects, or keeps the last good table; and
	// Connected: whether it trusts its own network.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MinItems=0
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// version of the proxy program.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	Version string `json:"version,omitempty"`

	// address is where the proxy takes requests, as host:port.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=300
	Address string `json:"address,omitempty"`

	// ended says that the process is gone: nothing follows. A process that ends in order says so itself, with
	// final; for one that did not, the next process of its Pod does.
	// +optional
	Ended bool `json:"ended,omitempty"` //nolint:kubeapilinter // a pointer would add a third value without meaning

	// final says that the reports hold everything the process has counted.
	// +optional
	Final bool `json:"final,omitempty"` //nolint:kubeapilinter // a pointer would add a third value without meaning

	// pages is how many ProxyReports there are of this process: named as it is, with -0, -1 and so on behind.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=64
	Pages int32 `json:"pages,omitempty"`

	// signals are what the proxy has to say about the health of endpoints, the worst first, in at most 16 KiB.
	// +optional
	// +listType=map
	// +listMapKey=uid
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	Signals []EndpointSignal `json:"signals,omitempty"`

	// asks are what the proxy wishes for and gives back of endpoints with limits, the most urgent first, in at
	// most 16 KiB.
	// +optional
	// +listType=map
	// +listMapKey=uid
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	Asks []EndpointAsk `json:"asks,omitempty"`
}

// ProxyInstance is one proxy process. A proxy creates one at every start, under a name of its own that no
// later process takes over, and renews the Lease of the same name for as long as it lives. It is internal:
// nobody writes it by hand.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=pxi,categories=turnout
// +kubebuilder:printcolumn:name="Current",type=string,JSONPath=`.status.conditions[?(@.type=="Current")].status`
// +kubebuilder:printcolumn:name="Connected",type=string,JSONPath=`.status.conditions[?(@.type=="Connected")].status`
// +kubebuilder:printcolumn:name="Ended",type=boolean,priority=1,JSONPath=`.status.ended`
// +kubebuilder:printcolumn:name="Address",type=string,JSONPath=`.status.address`
// +kubebuilder:printcolumn:name="Version",type=string,JSONPath=`.status.version`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Current")].message`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type ProxyInstance struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is standard object metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty,omitzero"`

	// spec is what the operator tells the proxy.
	// +optional
	Spec ProxyInstanceSpec `json:"spec,omitzero"`

	// status is the proxy's own report.
	// +optional
	Status ProxyInstanceStatus `json:"status,omitzero"`
}

// ProxyInstanceList is a list of ProxyInstance.
//
// +kubebuilder:object:root=true
type ProxyInstanceList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []ProxyInstance `json:"items"`
}
