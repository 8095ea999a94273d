// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/turnout-ai/turnout/api/v1alpha1"
	"github.com/turnout-ai/turnout/internal/modelstate"
	"github.com/turnout-ai/turnout/internal/quota"
	"github.com/turnout-ai/turnout/internal/routing"
	"github.com/turnout-ai/turnout/internal/translate"
)

// judged is everything that a look knows of one endpoint when it writes the status.
type judged struct {
	object *v1alpha1.ModelEndpoint
	entry  *routing.Endpoint
	state  modelstate.State
	tally  *tally
	// evidence is what the state was judged by.
	evidence modelstate.Evidence
	// interval is how often proxies report.
	interval time.Duration
	// uses are the completing probes that are not in the books yet, debit is what one needs that is about to be made.
	uses  []probeUse
	debit debit
	// stored is the ledger as it is stored, leased who has a lease in it, lending what becomes of it.
	stored  quota.Ledger
	leased  []string
	lending lending
	// confirm asks the operator to dial, next is when time alone changes something.
	confirm bool
	next    time.Time

	// basis and in are what it was judged by at that time, settled says that judging again by them changes nothing.
	basis   basis
	in      modelstate.Input
	at      time.Time
	settled bool
	// decided says that the judgement was made. What it comes to is to be written with that urgency; there is no
	// status when there is nothing to write.
	decided bool
	wanted  *v1alpha1.ModelEndpointStatus
	urgency urgency
	// values are its series; nil before somebody asked for them.
	values []endpointValue
}

// decide makes the status that the judgement comes to.
func (j *judged) decide(now time.Time) {
	status := j.status(now)
	j.decided, j.urgency = true, urgencyOf(&j.object.Status, &status, &j.lending)
	if j.urgency != nothing {
		j.wanted = &status
	}
	if sameLedger(j.stored, j.lending.decision.Ledger) {
		j.lending.decision.Ledger = j.stored // one of them is enough
	}
}

// takesTraffic reports whether the endpoint is one of those that a policy can use now.
func (j *judged) takesTraffic() bool {
	return j.entry.Standby.Reason == "" && j.state.Active()
}

// status is the status the endpoint should have, by its entry in the table made of it, its judged state and its
// numbers. The endpoint is not changed.
func (j *judged) status(now time.Time) v1alpha1.ModelEndpointStatus {
	v := verdict{
		generation:   j.entry.Generation,
		refused:      j.entry.Refused,
		unresolved:   j.entry.Unresolved,
		readyMessage: "the endpoint can take traffic",
	}
	if j.entry.Suspended {
		v.readyMessage = "the endpoint is usable, and suspended by spec.suspend"
	}
	status := j.object.Status
	status.Conditions = v.conditions(status.Conditions, now)
	meta.SetStatusCondition(&status.Conditions, j.healthy(now))
	status.ObservedGeneration = j.entry.Generation
	status.Capability = capabilityName(j.entry)
	status.ModelState = j.modelState(now)
	j.tally.write(&status)
	j.writeLimits(&status)
	return status
}

func (j *judged) healthy(now time.Time) metav1.Condition {
	good, reason, message := health(j.entry, &j.state, j.evidence.Window, j.interval)
	c := metav1.Condition{
		Type: v1alpha1.ConditionHealthy, Status: metav1.ConditionTrue, Reason: reason,
		Message:            clip(message, maxConditionMessage),
		ObservedGeneration: j.entry.Generation, LastTransitionTime: metav1.NewTime(now),
	}
	if !good {
		c.Status = metav1.ConditionFalse
	}
	return c
}

// modelState says whether the endpoint takes traffic. One that is on Standby because it is not Ready has no
// deactivation reason: its conditions tell what is wrong, and nothing deactivated it. It keeps its books.
func (j *judged) modelState(now time.Time) *v1alpha1.ModelState {
	var out v1alpha1.ModelState
	if before := j.object.Status.ModelState; before != nil {
		out = *before // Fields of a newer API stay.
	}
	translate.WriteState(j.state, &out)
	if unusable(j.entry).Reason != "" && !j.entry.Suspended {
		out.Status, out.DeactivationReason = v1alpha1.StatusStandby, ""
	}
	out.Message = stateMessage(j.entry, &j.state, j.evidence.Signals, now)
	return &out
}

// onlyNumbers reports whether two statuses tell the same but for what was counted, measured and lent, and words about
// it. Such a difference can wait; every other one is a transition, which cannot.
func onlyNumbers(before, after v1alpha1.ModelEndpointStatus) bool {
	return equality.Semantic.DeepEqual(withoutNumbers(before), withoutNumbers(after))
}

func withoutNumbers(status v1alpha1.ModelEndpointStatus) v1alpha1.ModelEndpointStatus {
	status.Fold, status.Ledger, status.Limits, status.Summary = nil, nil, nil, nil
	conditions := make([]metav1.Condition, len(status.Conditions))
	for i, c := range status.Conditions {
		if c.Type == v1alpha1.ConditionHealthy {
			c.Message = ""
		}
		conditions[i] = c
	}
	status.Conditions = conditions
	if status.ModelState == nil {
		return status
	}
	state := *status.ModelState
	state.Message, state.FailureCount, state.EarlierFailures, state.Probe = "", nil, 0, nil
	state.QuotaUsed, state.TokensUsed, state.CostAccumulated, state.Usage, state.ErrorRate = nil, nil, "", nil, ""
	state.LatencyHistory, state.Latency, state.LastRequest, state.LastFailure, state.LastFailureMessage = nil, nil, nil, nil, ""
	status.ModelState = &state
	return status
}
