// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package translate

import (
	"github.com/turnout-ai/turnout/api/v1alpha1"
	"github.com/turnout-ai/turnout/internal/modelstate"
)

// maxStatements is how many statements a signal may carry.
const maxStatements = 3

// Signal is what the proxy whose ProxyInstance has that UID says about an endpoint.
func Signal(proxyUID string, from *v1alpha1.EndpointSignal) modelstate.Signal {
	return modelstate.Signal{
		Endpoint:         from.UID,
		Namespace:        from.Namespace,
		Name:             from.Name,
		Proxy:            proxyUID,
		Epoch:            from.Epoch,
		Failures:         from.Failures,
		Requests:         from.Requests,
		Connect:          from.Connect,
		Outage:           from.Outage,
		Since:            fromMicro(from.Since),
		LastFailure:      fromMicro(from.LastFailure),
		LastSuccess:      fromMicro(from.LastSuccess),
		Successes:        from.Successes,
		PreviousSuccess:  fromMicro(from.PreviousSuccess),
		Message:          from.Message,
		RateLimitedUntil: fromMicro(from.RateLimitedUntil),
		Statements:       statements(from.Statements),
	}
}

// APISignal writes a signal. The proxy is not in it: it is the ProxyInstance that the signal stands in.
func APISignal(from modelstate.Signal) v1alpha1.EndpointSignal {
	return v1alpha1.EndpointSignal{
		UID:              from.Endpoint,
		Namespace:        from.Namespace,
		Name:             from.Name,
		Epoch:            count(from.Epoch),
		Failures:         count(from.Failures),
		Requests:         count(from.Requests),
		Connect:          count(from.Connect),
		Outage:           count(from.Outage),
		Since:            microOrNil(from.Since),
		LastFailure:      microOrNil(from.LastFailure),
		LastSuccess:      microOrNil(from.LastSuccess),
		Successes:        count(from.Successes),
		PreviousSuccess:  microOrNil(from.PreviousSuccess),
		Message:          clip(from.Message, maxDetail),
		RateLimitedUntil: microEnd(from.RateLimitedUntil),
		Statements:       mapped(first(from.Statements, maxStatements), apiStatement),
	}
}

// statements are those whose reason is understood.
func statements(list []v1alpha1.ProviderStatement) []modelstate.Statement {
	var out []modelstate.Statement
	for i := range list {
		from := &list[i]
		if reason, known := modelstate.ParseReason(string(from.Reason)); known {
			out = append(out, modelstate.Statement{
				Reason: reason, At: fromMicro(&from.Time), Until: fromMicro(from.Until), Message: from.Message,
			})
		}
	}
	return out
}

func apiStatement(from *modelstate.Statement) v1alpha1.ProviderStatement {
	return v1alpha1.ProviderStatement{
		Reason:  v1alpha1.DeactivationReason(from.Reason.String()),
		Time:    micro(from.At),
		Until:   microEnd(from.Until),
		Message: clip(from.Message, maxDetail),
	}
}
