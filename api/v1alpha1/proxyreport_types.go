// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ProxyReportSpec is what is fixed about a report, and the operator's half.
type ProxyReportSpec struct {
	// instance is the name of the ProxyInstance whose numbers these are.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Instance string `json:"instance,omitempty"`

	// instanceUID is its UID.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	InstanceUID string `json:"instanceUID,omitempty"`

	// page counts the reports of one ProxyInstance, from 0.
	// +required
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=63
	Page int32 `json:"page"`

	// sealed is set by the operator before it takes the numbers of a process that is gone into the books. A
	// proxy that finds its report sealed is believed dead: it registers anew, and counts on from what the
	// sealed report holds.
	// +optional
	Sealed bool `json:"sealed,omitempty"` //nolint:kubeapilinter // a pointer would add a third value without meaning
}

// WindowBucket counts the attempts that ended within ten seconds, of those that began in one epoch.
type WindowBucket struct {
	// start is when the ten seconds began, in seconds since 1970.
	// +required
	// +kubebuilder:validation:Minimum=0
	Start int64 `json:"start"`

	// epoch in which the attempts began.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Epoch int64 `json:"epoch,omitempty"`

	// attempts that ended.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Attempts int64 `json:"attempts,omitempty"`

	// failures among them.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Failures int64 `json:"failures,omitempty"`
}

// LatencyClass counts latencies of one class.
type LatencyClass struct {
	// class counts classes, eight to each doubling of the latency from an eighth of a millisecond on.
	// +required
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=191
	Class int32 `json:"class"`

	// count of latencies.
	// +required
	// +kubebuilder:validation:Minimum=1
	Count int64 `json:"count,omitempty"`
}

// EndpointNumbers is what one proxy has counted of one ModelEndpoint since it started. Usage only grows.
type EndpointNumbers struct {
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

	// quota is the usage by quota periods, oldest first.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=4
	Quota []PeriodUsage `json:"quota,omitempty"`

	// budget is the same usage by budget periods, oldest first.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=4
	Budget []PeriodUsage `json:"budget,omitempty"`

	// window counts the attempts of the last five minutes, oldest first.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	Window []WindowBucket `json:"window,omitempty"`

	// firstToken are the times to the first content of about the last five minutes.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=192
	FirstToken []LatencyClass `json:"firstToken,omitempty"`

	// total are the times to the end.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=192
	Total []LatencyClass `json:"total,omitempty"`

	// recent are the newest successes, newest first.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=10
	Recent []LatencySample `json:"recent,omitempty"`

	// lastRequest is when the newest success ended.
	// +optional
	LastRequest *metav1.MicroTime `json:"lastRequest,omitempty"`

	// lastFailure is when the newest failure ended.
	// +optional
	LastFailure *metav1.MicroTime `json:"lastFailure,omitempty"`

	// lastFailureMessage says how.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	LastFailureMessage string `json:"lastFailureMessage,omitempty"`
}

// ProxyReportStatus is the proxy's half: what it has counted.
//
// +kubebuilder:validation:MinProperties=1
type ProxyReportStatus struct {
	// time is when the numbers were taken.
	// +optional
	Time *metav1.MicroTime `json:"time,omitempty"`

	// endpoints are those that were used. One stays on its page for as long as the process lives.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=2048
	Endpoints []EndpointNumbers `json:"endpoints,omitempty"`
}

// ProxyReport is a page of the numbers of one proxy process. It is internal: nobody writes it by hand.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=pxr,categories=turnout
// +kubebuilder:printcolumn:name="Instance",type=string,JSONPath=`.spec.instance`
// +kubebuilder:printcolumn:name="Page",type=integer,JSONPath=`.spec.page`
// +kubebuilder:printcolumn:name="Sealed",type=boolean,JSONPath=`.spec.sealed`
// +kubebuilder:printcolumn:name="Written",type=date,JSONPath=`.status.time`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type ProxyReport struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is standard object metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty,omitzero"`

	// spec says whose numbers these are.
	// +required
	Spec ProxyReportSpec `json:"spec,omitzero"`

	// status holds the numbers.
	// +optional
	Status ProxyReportStatus `json:"status,omitzero"`
}

// ProxyReportList is a list of ProxyReport.
//
// +kubebuilder:object:root=true
type ProxyReportList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []ProxyReport `json:"items"`
}
