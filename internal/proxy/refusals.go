// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/turnout-ai/turnout/internal/routing"
	"github.com/turnout-ai/turnout/internal/wire"
)

// Codes of errors about requests that no endpoint is tried for.
const (
	codeNoEndpoints      = "no_endpoints"
	codeAllOnStandby     = "all_on_standby"
	codeStateUnavailable = "state_unavailable"
	codeUnsupported      = "unsupported_request"
	codeModelNotFound    = "model_not_found"
)

// fieldModel is the field in which a request names a model or a capability.
const fieldModel = "model"

// trialReturn is when to ask again for an endpoint on trial that has had its share of the requests.
const trialReturn = time.Second

// refusePlan answers a request that no endpoint of its policy can serve: because of what it asks for, or
// because none is in use.
func (r *request) refusePlan() {
	if len(r.plan.Excluded) == 0 {
		r.refuse(http.StatusServiceUnavailable, final, wire.ErrorBody{
			Message: fmt.Sprintf("policy %q has no endpoints.", r.route.Policy.Key.Name),
			Type:    serverError, Code: codeNoEndpoints,
		})
		return
	}
	if owner := r.owner(); owner != nil {
		r.refusePinned(owner)
		return
	}
	message := fmt.Sprintf("none of the %d endpoints behind %q can serve this request: %s.", len(r.plan.Excluded), r.facts.Model, r.reasons())
	if len(r.plan.Excluded) == 1 {
		message = fmt.Sprintf("the only endpoint behind %q cannot serve this request: %s.", r.facts.Model, r.reasons())
	}
	if !r.couldServe() {
		r.refuseAsUnfit(message)
		return
	}
	asked, earliest, n := r.barred()
	limits := r.limitsMet()
	if len(limits.sentences) > 0 {
		message += " In detail: " + limits.String() + "."
	}
	switch {
	case n > 0 && n == len(limits.sentences):
		r.refuseLimits(&limits, message)
	case n > 0 && asked:
		r.refuseAsked(earliest, message)
	default:
		r.refuse(http.StatusServiceUnavailable, worthWaiting(earliest), wire.ErrorBody{Message: message, Type: serverError, Code: codeAllOnStandby})
		r.setRetryAfter(earliest)
	}
}

// couldServe reports whether an endpoint that is left out could serve the request, and does not for how it stands: then
// the request is not at fault.
func (r *request) couldServe() bool {
	for i := range r.plan.Excluded {
		if unfit(&r.plan.Excluded[i]) == 0 {
			return true
		}
	}
	return false
}

// unfit is what about the request keeps an endpoint from serving it; 0 when it is only how the endpoint stands.
func unfit(x *routing.Exclusion) routing.ExclusionReason {
	switch x.Reason {
	case routing.ExcludedStandby:
		return x.Unfit
	case routing.ExcludedBarred, routing.ExcludedResting, routing.ExcludedPinned:
		return 0
	default:
		return x.Reason
	}
}

// barred looks at the endpoints that the plan leaves out for how they stand: how many they are, when the first of them is
// due back (0: none by time), and whether all of them would take the same request later.
func (r *request) barred() (asked bool, earliest int64, n int) {
	asked = true
	for i := range r.plan.Excluded {
		x := &r.plan.Excluded[i]
		if x.Reason != routing.ExcludedBarred && x.Reason != routing.ExcludedResting {
			continue
		}
		n++
		asked = asked && (asksForPause(x.Standing.Reason) || limitOf(x.Standing) != 0)
		earliest = sooner(earliest, returnOf(x.Standing))
	}
	return asked, earliest, n
}

// returnOf is when an endpoint that is left out for how it stands may be tried again; 0: nobody knows.
func returnOf(s routing.Standing) int64 {
	if s.Kind == routing.OnTrial {
		return time.Now().Add(trialReturn).UnixNano()
	}
	return s.Until
}

// owner is the endpoint that has the state which the request refers to, and does not take requests; nil when the
// request refers to none, or when no endpoint could serve it.
func (r *request) owner() *routing.Exclusion {
	if !r.facts.Pinned {
		return nil
	}
	for i := range r.plan.Excluded {
		// The first that could serve it, as the plan has found.
		if x := &r.plan.Excluded[i]; unfit(x) == 0 && x.Reason != routing.ExcludedPinned {
			return x
		}
	}
	return nil
}

// refusePinned answers a request whose state is at an endpoint that takes none.
func (r *request) refusePinned(owner *routing.Exclusion) {
	until := owner.Standing.Until
	r.refuse(http.StatusServiceUnavailable, worthWaiting(until), wire.ErrorBody{
		Message: fmt.Sprintf("the request refers to state that lives at a provider, such as a file or an earlier response. It can only "+
			"go to the first endpoint behind %q that could serve it, and that one takes no requests: %s.", r.facts.Model, r.reason(owner)),
		Type: serverError, Code: codeStateUnavailable,
	})
	r.setRetryAfter(until)
}

// refuseAsUnfit answers a request that asks for what no endpoint has.
func (r *request) refuseAsUnfit(message string) {
	notOffered, param := true, ""
	for i := range r.plan.Excluded {
		x := &r.plan.Excluded[i]
		reason := unfit(x)
		notOffered = notOffered && (reason == routing.ExcludedCapability || reason == routing.ExcludedOperation)
		if field := r.field(reason, x.Missing); i == 0 {
			param = field
		} else if param != field {
			param = ""
		}
	}
	e := wire.ErrorBody{Message: message, Type: invalidRequest, Param: param, Code: codeUnsupported}
	status := http.StatusBadRequest
	if notOffered { // as for a name that nobody serves
		status, e.Code = http.StatusNotFound, codeModelNotFound
	}
	r.refuse(status, final, e)
}

// field is the field of the request's body that an endpoint cannot do; empty when there are several.
func (r *request) field(reason routing.ExclusionReason, missing routing.Features) string {
	switch reason {
	case routing.ExcludedCapability, routing.ExcludedOperation:
		return fieldModel
	case routing.ExcludedDelivery:
		return "stream"
	case routing.ExcludedContextWindow:
		return inputFields[r.op]
	case routing.ExcludedMaxOutputTokens:
		return r.facts.MaxTokensField
	case routing.ExcludedFeature:
		return r.featureField(missing)
	default:
		return ""
	}
}

// inputFields are what the input is called in requests for an operation.
var inputFields = [operationCount]string{
	routing.ChatCompletions: "messages", routing.Completions: "prompt", routing.Embeddings: "input",
}

// featureField is the field that uses all of the features; empty when there is no such field.
func (r *request) featureField(missing routing.Features) string {
	switch missing {
	case routing.ToolCalling:
		return "tools"
	case routing.StructuredOutput, routing.JSONMode:
		return "response_format"
	case routing.Vision:
		return inputFields[r.op]
	case routing.Audio:
		if r.facts.AudioOut {
			return "modalities"
		}
		return inputFields[r.op]
	case routing.Reasoning:
		return "reasoning_effort"
	case routing.Logprobs:
		return "logprobs"
	default:
		return ""
	}
}

// maxReasons is how many endpoints an error gives reasons for.
const maxReasons = 8

// reasons says of each endpoint why it is left out, in a few words; after the eighth it only counts.
func (r *request) reasons() string {
	var b strings.Builder
	for i := range r.plan.Excluded {
		if i == maxReasons {
			fmt.Fprintf(&b, "; and %d more", len(r.plan.Excluded)-i)
			break
		}
		if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString(r.reason(&r.plan.Excluded[i]))
	}
	return b.String()
}

// reason says of one endpoint why it is left out. Its words are for callers: of what is wrong with a spec they learn no
// more than that something is.
func (r *request) reason(x *routing.Exclusion) string {
	name := x.Endpoint.Key.Name + ": "
	switch x.Reason {
	case routing.ExcludedStandby:
		return name + "on standby, " + x.Endpoint.Standby.Reason
	case routing.ExcludedBarred:
		return name + "on standby, " + x.Standing.String()
	case routing.ExcludedResting:
		return name + restingWords(x.Standing)
	case routing.ExcludedCapability:
		return name + "no " + r.route.Node.Short()
	case routing.ExcludedOperation:
		return name + "no " + r.op.String()
	case routing.ExcludedDelivery:
		return name + r.deliveryWords()
	case routing.ExcludedFeature:
		return name + "no " + x.Missing.String()
	case routing.ExcludedContextWindow:
		return name + fmt.Sprintf("context window of %d tokens is too small for about %d", x.Endpoint.ContextWindow, r.facts.InputTokens)
	case routing.ExcludedMaxOutputTokens:
		return name + fmt.Sprintf("at most %d tokens of output, and not %d", x.Endpoint.MaxOutputTokens, r.facts.MaxTokens)
	default:
		return x.Message()
	}
}

func restingWords(s routing.Standing) string {
	if s.Kind == routing.OnTrial {
		return s.String() + ", and has had its share of the requests"
	}
	return "resting, " + s.String()
}

// deliveryWords says what an endpoint that does not deliver as asked lacks.
func (r *request) deliveryWords() string {
	if r.facts.Stream {
		return "no streaming"
	}
	return "streaming only"
}
