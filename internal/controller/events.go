// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/turnout-ai/turnout/api/v1alpha1"
)

// maxNote is the API's bound on the note of an Event, in bytes.
const maxNote = 1024

// Reasons of Events beside those of the Ready condition.
const (
	eventSuspended         = "EndpointSuspended"
	eventResumed           = "EndpointResumed"
	eventMembershipChanged = "MembershipChanged"
)

// Actions of Events: what the operator did when it noticed.
const (
	actionJudge   = "JudgeSpec"
	actionSuspend = "Suspend"
	actionResume  = "Resume"
	actionCount   = "CountEndpoints"
)

// news is one Event to be.
type news struct {
	kind, reason, action, note string
}

// endpointNews is what is worth an Event between two statuses of an endpoint.
func endpointNews(before, after v1alpha1.ModelEndpointStatus) []news {
	out := readyNews(before.Conditions, after.Conditions)
	was, is := suspended(before.ModelState), suspended(after.ModelState)
	switch {
	case is && !was:
		out = append(out, news{corev1.EventTypeNormal, eventSuspended, actionSuspend, "the endpoint takes no traffic: spec.suspend is true"})
	case was && !is:
		out = append(out, news{corev1.EventTypeNormal, eventResumed, actionResume, "spec.suspend is no longer true"})
	}
	return out
}

func suspended(state *v1alpha1.ModelState) bool {
	return state != nil && state.DeactivationReason == v1alpha1.DeactivationManual
}

// policyNews is what is worth an Event between two statuses of a policy.
func policyNews(before, after v1alpha1.RoutingPolicyStatus) []news {
	out := readyNews(before.Conditions, after.Conditions)
	was, is := before.Endpoints, after.Endpoints
	if was != nil && is != nil && *was != *is {
		note := fmt.Sprintf("%s; before: %d of %d", countMessage(is.Active, is.Total), was.Active, was.Total)
		out = append(out, news{corev1.EventTypeNormal, eventMembershipChanged, actionCount, note})
	}
	return out
}

// readyNews tells of a Ready condition with another status or reason. Of NameConflict it also tells another
// message, which is another list of names.
func readyNews(before, after []metav1.Condition) []news {
	is := meta.FindStatusCondition(after, v1alpha1.ConditionReady)
	was := meta.FindStatusCondition(before, v1alpha1.ConditionReady)
	if is == nil {
		return nil
	}
	if was != nil && was.Status == is.Status && was.Reason == is.Reason &&
		(is.Reason != v1alpha1.ReasonNameConflict || was.Message == is.Message) {
		return nil
	}
	kind := corev1.EventTypeWarning
	if is.Status == metav1.ConditionTrue || is.Reason == v1alpha1.ReasonSecretPending {
		kind = corev1.EventTypeNormal
	}
	return []news{{kind, is.Reason, actionJudge, is.Message}}
}
