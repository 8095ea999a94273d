// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"net/http"
	"sync/atomic"

	"github.com/turnout-ai/turnout/internal/routing"
	"github.com/turnout-ai/turnout/internal/wire"
)

// usageField is what is added to a streamed request, so that its provider says what it used.
const usageField = "stream_options"

// usageOption is whether an endpoint takes usageField. It outlives tables, so that what was learned is not asked
// again.
type usageOption struct{ known atomic.Int32 }

// What is known of it. At first nothing is.
const (
	usageTaken int32 = iota + 1
	usageRefused
)

// mayAddUsage reports whether the current attempt asks b for the use of its stream although the caller has not: a
// bill is better than an estimate. An endpoint that says what it can do and does not list that is not asked, nor is one
// that has refused it. A request that must not be repeated takes no chances.
func (r *request) mayAddUsage(b *backend) bool {
	switch f := &r.facts; {
	case !f.Stream || f.IncludeUsage || r.plain || r.op == routing.Embeddings:
		return false
	case b.endpoint.FeaturesKnown && b.endpoint.Features&routing.StreamUsage == 0:
		return false
	case f.HasEffects() && b.usage.known.Load() != usageTaken:
		return false
	default:
		return b.usage.known.Load() != usageRefused
	}
}

// refusesOurs reports whether an answer refuses what was added to the request, or may: some providers do not name what
// they do not take, and one that never took it may mean that.
func (r *request) refusesOurs(b *backend, v *wire.Verdict) bool {
	if !r.addsUsage {
		return false
	}
	if v.Refuses(usageField) {
		return true
	}
	status := r.exchange.Status()
	return v.Param == "" && (v.Outcome == wire.ClientError || v.Outcome == wire.Unsupported) &&
		(status == http.StatusBadRequest || status == http.StatusUnprocessableEntity) &&
		b.usage.known.Load() != usageTaken
}

// learnUsage notes, when b streams an answer, whether it takes what was added: it does not if it serves the request
// only without.
func (r *request) learnUsage(b *backend) {
	switch {
	case r.plain:
		b.usage.known.Store(usageRefused)
	case r.addsUsage && b.usage.known.Load() != usageTaken:
		b.usage.known.Store(usageTaken)
	}
}
