// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"fmt"
	"strings"
	"time"

	"github.com/turnout-ai/turnout/api/v1alpha1"
	"github.com/turnout-ai/turnout/internal/modelstate"
	"github.com/turnout-ai/turnout/internal/routing"
)

// maxStateMessage is the API's bound on the message of a state, in bytes.
const maxStateMessage = 1024

// messageActive is that of an endpoint of which there is nothing to tell.
const messageActive = "active"

// stateMessage says in words how an endpoint is and what will change it.
func stateMessage(entry *routing.Endpoint, state *modelstate.State, signals []modelstate.Signal, now time.Time) string {
	refusal := unusable(entry)
	switch {
	case refusal.Reason != "" && !entry.Suspended:
		return clip("takes no traffic because it is not Ready: "+refusal.Message, maxStateMessage)
	case !state.Active():
		return clip(standbyMessage(state), maxStateMessage)
	case state.Trial != nil:
		return trialMessage(entry, state, signals, now)
	default:
		return messageActive
	}
}

// unusable is why the endpoint is not Ready; zero when it is.
func unusable(entry *routing.Endpoint) routing.Refusal {
	if entry.Refused.Reason != "" {
		return entry.Refused
	}
	return entry.Unresolved
}

// standbyMessage is what the shown reason says, and what holds beside it.
func standbyMessage(state *modelstate.State) string {
	text := state.Verdicts[0].Message
	if text == "" {
		text = "on Standby for " + state.Reason().String()
	}
	for i := range state.Verdicts[1:] {
		other := &state.Verdicts[1+i]
		text += "; also " + other.Reason.String()
		if !other.Until.IsZero() {
			text += " until " + other.Until.UTC().Format(time.RFC3339)
		}
	}
	return text
}

func trialMessage(entry *routing.Endpoint, state *modelstate.State, signals []modelstate.Signal, now time.Time) string {
	var successes int64
	for i := range signals {
		if signals[i].Epoch == state.Epoch {
			successes += signals[i].Successes
		}
	}
	standing := state.Standing(entry.Units, now)
	return fmt.Sprintf("on trial: gets %d%% of its traffic, %d of %d successes",
		standing.Percent, min(successes, int64(state.Trial.Successes)), state.Trial.Successes)
}

// capabilityName is the first capability by its short name, and how many there are beside it.
func capabilityName(entry *routing.Endpoint) string {
	if len(entry.Nodes) == 0 {
		return ""
	}
	name := entry.Nodes[0].Short()
	if more := len(entry.Nodes) - 1; more > 0 {
		return fmt.Sprintf("%s +%d", name, more)
	}
	return name
}

// health is what the condition Healthy says. It is no part of Ready: a provider that is down must not stop a
// rollout.
func health(entry *routing.Endpoint, state *modelstate.State, rates map[string]modelstate.Rate, interval time.Duration) (good bool, reason, message string) {
	note := localOnly(entry.Units, interval)
	if refusal := unusable(entry); refusal.Reason != "" && !entry.Suspended {
		return false, refusal.Reason, "the endpoint is not Ready: " + refusal.Message
	}
	switch {
	case !state.Active():
		return false, state.Reason().String(), standbyMessage(state) + note
	case state.Trial != nil:
		return true, v1alpha1.ReasonOnTrial, "active on trial" + note
	case rising(entry.Units, state, rates):
		return false, v1alpha1.ReasonErrorsRising, "active, with as many failures as a policy's threshold or more" + note
	default:
		return true, v1alpha1.ReasonHealthy, "active and below every threshold" + note
	}
}

// rising reports whether an active endpoint has reached a threshold without a verdict: because the failures are
// of one request, or one proxy's alone.
func rising(units []modelstate.Unit, state *modelstate.State, rates map[string]modelstate.Rate) bool {
	for i := range units {
		unit := &units[i]
		if state.FailureCount-state.EarlierFailures >= unit.ConsecutiveFailures {
			return true
		}
		r := rates[unit.Policy]
		if unit.ErrorRate > 0 && r.Attempts >= unit.MinimumRequests && r.Attempts > 0 &&
			r.Failures*million/r.Attempts >= unit.ErrorRate {
			return true
		}
	}
	return false
}

// localOnly says of which policies' error rates each proxy judges for itself.
func localOnly(units []modelstate.Unit, interval time.Duration) string {
	var names []string
	for i := range units {
		if tooRare(&units[i], interval) {
			names = append(names, units[i].Policy)
		}
	}
	if len(names) == 0 {
		return ""
	}
	return fmt.Sprintf("; proxies report every %s, so that each judges the error rate of %s for itself",
		interval, strings.Join(names, ", "))
}
