// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"slices"
	"time"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/turnout-ai/turnout/api/v1alpha1"
	"github.com/turnout-ai/turnout/internal/routing"
)

// maxConditionMessage is the API's bound on the message of a condition, in bytes (the API server counts
// characters, of which there are never more).
const maxConditionMessage = 32768

// verdict is what the three conditions of an object are made of.
type verdict struct {
	generation int64
	refused    routing.Refusal
	unresolved routing.Refusal
	// readyMessage goes with Ready=True.
	readyMessage string
}

// conditions returns existing with Accepted, ResolvedRefs and Ready brought up to date. Transition times
// change only with a status. Ready is derived, so that it cannot contradict the other two.
func (v verdict) conditions(existing []metav1.Condition, now time.Time) []metav1.Condition {
	out := slices.Clone(existing) // What comes from the cache is not ours to change.
	accepted := v.condition(v1alpha1.ConditionAccepted, v.refused, v1alpha1.ReasonAccepted, "the spec is understood", now)
	resolved := v.condition(v1alpha1.ConditionResolvedRefs, v.unresolved, v1alpha1.ReasonResolvedRefs, "everything the spec refers to can be used", now)
	first := v.refused
	if first.Reason == "" {
		first = v.unresolved
	}
	ready := v.condition(v1alpha1.ConditionReady, first, v1alpha1.ReasonReady, v.readyMessage, now)
	for _, condition := range []metav1.Condition{accepted, resolved, ready} {
		meta.SetStatusCondition(&out, condition)
	}
	return out
}

// condition is False with the refusal, or True with the reason and message given when there is none.
func (v verdict) condition(kind string, refusal routing.Refusal, reason, message string, now time.Time) metav1.Condition {
	c := metav1.Condition{
		Type: kind, Status: metav1.ConditionTrue, Reason: reason, Message: message,
		ObservedGeneration: v.generation, LastTransitionTime: metav1.NewTime(now),
	}
	if refusal.Reason != "" {
		c.Status, c.Reason, c.Message = metav1.ConditionFalse, refusal.Reason, refusal.Message
	}
	c.Message = clip(c.Message, maxConditionMessage)
	return c
}

// clip cuts text to at most limit bytes, between characters.
func clip(text string, limit int) string {
	const ellipsis = "…"
	if len(text) <= limit {
		return text
	}
	end := limit - len(ellipsis)
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + ellipsis
}
