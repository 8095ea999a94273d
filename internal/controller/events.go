// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/turnout-ai/turnout/api/v1alpha1"
	"github.com/turnout-ai/turnout/internal/modelstate"
)

// maxNote is the API's bound on the note of an Event, in bytes.
const maxNote = 1024

// Reasons of Events beside those of the Ready condition.
const (
	eventDeactivated       = "EndpointDeactivated"
	eventActivated         = "EndpointActivated"
	eventOnTrial           = "EndpointOnTrial"
	eventRecovered         = "EndpointRecovered"
	eventWithdrawn         = "VerdictWithdrawn"
	eventReconfigured      = "EndpointReconfigured"
	eventMembershipChanged = "MembershipChanged"
	eventCurrentRotated    = "CurrentRotated"
	eventProviderDown      = "ProviderDeactivated"
	eventProviderUp        = "ProviderRecovered"
	eventProviderHealth    = "ProviderHealthChanged"
)

// Actions of Events: what the operator did when it noticed.
const (
	actionJudge      = "JudgeSpec"
	actionDeactivate = "Deactivate"
	actionActivate   = "Activate"
	actionTry        = "BeginTrial"
	actionWithdraw   = "WithdrawVerdict"
	actionBeginAnew  = "BeginAnew"
	actionCount      = "CountEndpoints"
	actionRotate     = "MoveCurrent"
)

// news is one Event to be.
type news struct {
	kind, reason, action, note string
}

// endpointNews is what is worth an Event between two statuses of an endpoint. It looks at what is written, so
// that nothing is told that the API server has not taken, and nothing twice.
func endpointNews(before, after v1alpha1.ModelEndpointStatus) []news {
	out := readyNews(before.Conditions, after.Conditions)
	was, is := before.ModelState, after.ModelState
	if is == nil {
		return out
	}
	if was == nil {
		was = &v1alpha1.ModelState{Status: v1alpha1.StatusActive}
	}
	if was.Configuration != "" && was.Configuration != is.Configuration {
		out = append(out, news{
			corev1.EventTypeNormal, eventReconfigured, actionBeginAnew,
			"url, model or credential changed; what was known of the endpoint before no longer counts",
		})
	}
	return append(out, turn(was, is)...)
}

// turn is the news of a state. Every one begins with a sentence of its own, whatever came before.
func turn(was, is *v1alpha1.ModelState) []news {
	const normal = corev1.EventTypeNormal
	switch {
	case is.DeactivationReason != "":
		if was.DeactivationReason == is.DeactivationReason {
			return nil
		}
		note := string(is.DeactivationReason) + ": " + is.Message
		return []news{{severity(is.DeactivationReason), eventDeactivated, actionDeactivate, note}}
	case is.Status != v1alpha1.StatusActive:
		return nil // Not Ready, which its own Event tells.
	case is.Withdrawn && is.Epoch > was.Epoch && was.DeactivationReason != "":
		return []news{{
			normal, eventWithdrawn, actionWithdraw,
			string(was.DeactivationReason) + " is taken back: a proxy knows of a success newer than the failures it was decided on",
		}}
	case is.Trial != nil:
		if was.Trial != nil && was.Trial.Since.Equal(&is.Trial.Since) {
			return nil
		}
		return []news{{normal, eventOnTrial, actionTry, "back " + is.Message}}
	case was.Trial != nil:
		return []news{{normal, eventRecovered, actionActivate, "the trial is passed; the endpoint gets all of its traffic"}}
	case was.DeactivationReason != "":
		return []news{{normal, eventActivated, actionActivate, string(was.DeactivationReason) + " has ended; the endpoint takes traffic"}}
	default:
		return nil
	}
}

// lawful is the kind of Events about what the user or the clock wants.
const lawful = corev1.EventTypeNormal

// severity is a warning for what nobody has asked for.
func severity(reason v1alpha1.DeactivationReason) string {
	if r, known := modelstate.ParseReason(string(reason)); known && !r.Health() {
		return lawful
	}
	return corev1.EventTypeWarning
}

// policyNews is what is worth an Event between two statuses of a policy. why says how an endpoint of that name
// stands.
func policyNews(before, after v1alpha1.RoutingPolicyStatus, why func(endpoint string) string) []news {
	out := readyNews(before.Conditions, after.Conditions)
	was, is := before.Endpoints, after.Endpoints
	if was != nil && is != nil && *was != *is {
		note := fmt.Sprintf("%s; before: %d of %d", countMessage(is.Active, is.Total), was.Active, was.Total)
		out = append(out, news{corev1.EventTypeNormal, eventMembershipChanged, actionCount, note})
	}
	if before.Current != "" && after.Current != before.Current {
		to := after.Current
		if to == "" {
			to = "none"
		}
		note := fmt.Sprintf("from %s to %s: %s", before.Current, to, rotation(before.Current, to, why))
		out = append(out, news{corev1.EventTypeNormal, eventCurrentRotated, actionRotate, note})
	}
	return out
}

// rotation says why requests go to another endpoint first: because the one before takes none, or because one
// that stands before it does again.
func rotation(from, to string, why func(endpoint string) string) string {
	if reason := why(from); reason != messageActive {
		return from + " " + reason
	}
	return to + " comes first and takes traffic"
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
