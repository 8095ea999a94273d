// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/turnout-ai/turnout/api/v1alpha1"
	"github.com/turnout-ai/turnout/internal/routing"
)

// policyStatus is the status a policy should have, by its entry in the table made of it and by which of its
// endpoints take traffic. The policy is not changed.
func policyStatus(policy *v1alpha1.RoutingPolicy, entry *routing.Policy, takesTraffic func(*routing.Endpoint) bool, now time.Time) v1alpha1.RoutingPolicyStatus {
	active := countActive(entry.Tiers, takesTraffic)
	v := verdict{
		generation:   entry.Generation,
		refused:      entry.Refused,
		unresolved:   entry.Unresolved,
		readyMessage: countMessage(active, entry.Total),
	}
	status := policy.Status
	status.Conditions = v.conditions(policy.Status.Conditions, now)
	status.ObservedGeneration = entry.Generation
	status.Models = strings.Join(entry.Names, ",")
	status.Strategy = strategies(entry.Tiers)
	status.Current = current(entry.Tiers, takesTraffic)
	status.Endpoints = &v1alpha1.PolicyEndpoints{
		Total:   int32(entry.Total),
		Active:  int32(active),
		Standby: int32(entry.Total - active),
	}
	return status
}

func countActive(tiers []routing.Tier, takesTraffic func(*routing.Endpoint) bool) int {
	active := 0
	for i := range tiers {
		for _, endpoint := range tiers[i].Endpoints {
			if takesTraffic(endpoint) {
				active++
			}
		}
	}
	return active
}

// current is the endpoint that a request is sent to first. In a tier that takes turns there is none.
func current(tiers []routing.Tier, takesTraffic func(*routing.Endpoint) bool) string {
	for i := range tiers {
		at := slices.IndexFunc(tiers[i].Endpoints, takesTraffic)
		switch {
		case at < 0:
		case tiers[i].Strategy == routing.RoundRobin:
			return ""
		default:
			return tiers[i].Endpoints[at].Key.Name
		}
	}
	return ""
}

// countMessage says how many of a policy's endpoints take traffic. None is no fault of the policy: endpoints
// may come later, and a rollout must not wait for them.
func countMessage[N int | int32](active, total N) string {
	if total == 0 {
		return "the policy selects no endpoint yet"
	}
	return fmt.Sprintf("%d of %d endpoints take traffic", active, total)
}

// strategies names the tiers' strategies in order.
func strategies(tiers []routing.Tier) string {
	names := make([]string, len(tiers))
	for i := range tiers {
		names[i] = tiers[i].Strategy.String()
	}
	return strings.Join(names, ",")
}
