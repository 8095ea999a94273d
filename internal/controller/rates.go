// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"github.com/turnout-ai/turnout/internal/quota"
	"github.com/turnout-ai/turnout/internal/routing"
)

// enough is the part of what a proxy should have of a rate that is enough to leave all shares as they are, in
// percent.
const enough = 80

// measures are the limits that hold no period.
var measures = []func(*quota.Amounts) *int64{
	func(a *quota.Amounts) *int64 { return &a.RequestsPerMinute },
	func(a *quota.Amounts) *int64 { return &a.TokensPerMinute },
	func(a *quota.Amounts) *int64 { return &a.ConcurrentRequests },
}

// divide divides the limits of an endpoint that hold no period among the proxies that say they would use them, by
// their UIDs. Whoever has none uses quota.DefaultShare.
func (t *testimony) divide(entry *routing.Endpoint, proxies int) map[string]quota.Amounts {
	limits := quota.Amounts{
		RequestsPerMinute: entry.Limits.RequestsPerMinute, TokensPerMinute: entry.Limits.TokensPerMinute,
		ConcurrentRequests: entry.Limits.ConcurrentRequests,
	}
	if limits == (quota.Amounts{}) {
		return nil
	}
	var all []asking
	for _, a := range t.about(entry.UID).asks {
		if a.Demand != nil && !t.ended[a.proxy] {
			all = append(all, a)
		}
	}
	shares := make([]quota.Amounts, len(all))
	for _, of := range measures {
		t.divideOne(all, shares, *of(&limits), max(proxies, len(all)), of)
	}
	out := make(map[string]quota.Amounts, len(all))
	for i := range all {
		out[all[i].proxy] = shares[i]
	}
	return out
}

// divideOne divides one limit; 0 is none.
func (t *testimony) divideOne(all []asking, shares []quota.Amounts, limit int64, proxies int, of func(*quota.Amounts) *int64) {
	var places []int
	var demands, had []int64
	known := true
	for i := range all {
		share := of(&shares[i])
		*share = quota.Unlimited
		if limit <= 0 {
			continue
		}
		*share = quota.DefaultShare(limit, proxies)
		if demand := *of(all[i].Demand); demand >= 0 {
			told, was := t.about(all[i].UID).share(all[i].proxy)
			known = known && was
			places, demands, had = append(places, i), append(demands, demand), append(had, *of(&told))
		}
	}
	for i, share := range divided(limit, proxies, demands, had, known) {
		*of(&shares[places[i]]) = share
	}
}

// divided are the shares by demand, or those that proxies have while everybody has enough and all together have no
// more than there is: each change is a write for every proxy.
func divided(limit int64, proxies int, demands, had []int64, known bool) []int64 {
	ideal := quota.Shares(limit, proxies, demands)
	if !known {
		return ideal
	}
	left := limit
	for i, share := range had {
		left -= share
		if share < 0 || share*100 < ideal[i]*enough || left < 0 {
			return ideal
		}
	}
	return had
}
