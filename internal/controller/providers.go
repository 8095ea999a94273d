// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/turnout-ai/turnout/api/v1alpha1"
	"github.com/turnout-ai/turnout/internal/modelstate"
)

// standing is how the endpoints of one provider stand, in one namespace.
type standing struct {
	active, total int
	// outage says that the provider is out as a whole.
	outage bool
	// first is the first of the endpoints by name. What is told of the provider is told there.
	first *v1alpha1.ModelEndpoint
}

// standings are those of all providers of a look, by name.
func standings(all []*judged) map[string]standing {
	out := map[string]standing{}
	for _, j := range all { // by name, as in the table
		s := out[j.entry.Provider]
		if s.first == nil {
			s.first = j.object
		}
		s.total++
		if j.takesTraffic() {
			s.active++
		}
		s.outage = s.outage || slices.ContainsFunc(j.state.Verdicts, func(v modelstate.Verdict) bool { return v.Reason == modelstate.ProviderOutage })
		out[j.entry.Provider] = s
	}
	return out
}

// writtenStandings are the same as the statuses say: what was told before this operator began to look.
func writtenStandings(all []*judged) map[string]standing {
	out := map[string]standing{}
	for _, j := range all {
		state := j.object.Status.ModelState
		if state == nil {
			continue
		}
		s := out[j.entry.Provider]
		s.total++
		if state.Status == v1alpha1.StatusActive {
			s.active++
		}
		s.outage = s.outage || slices.ContainsFunc(state.Reasons, func(r v1alpha1.StandbyReason) bool { return r.Reason == v1alpha1.DeactivationProviderOutage })
		out[j.entry.Provider] = s
	}
	return out
}

// providerNews is what is worth an Event between two standings of one provider.
func providerNews(name string, before, after standing) []news {
	var out []news
	switch {
	case after.outage && !before.outage:
		out = append(out, news{corev1.EventTypeWarning, eventProviderDown, actionDeactivate, fmt.Sprintf("provider %s is out: all of its endpoints fail", name)})
	case before.outage && !after.outage:
		out = append(out, news{corev1.EventTypeNormal, eventProviderUp, actionActivate, fmt.Sprintf("provider %s is no longer out", name)})
	}
	// Of a provider with one endpoint the endpoint's own Events say it all.
	if before.total == after.total && after.total > 1 && before.active != after.active {
		out = append(out, news{
			corev1.EventTypeNormal, eventProviderHealth, actionCount,
			fmt.Sprintf("%d of %d endpoints of provider %s take traffic; before: %d", after.active, after.total, name, before.active),
		})
	}
	return out
}
