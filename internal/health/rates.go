// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package health

import (
	"math"
	"math/bits"
	"sync/atomic"
	"time"

	"github.com/turnout-ai/turnout/internal/quota"
	"github.com/turnout-ai/turnout/internal/routing"
)

const (
	// demandMemory is how far back a demand per minute reaches: what is older counts for less than a third.
	demandMemory = 10 * time.Second
	// demandLasts is for how long a demand is said that is not there any more.
	demandLasts = time.Minute
)

// rates are the limits of an endpoint that hold no period, as far as this proxy may use them.
type rates struct {
	requests, tokens quota.Rate
	// concurrent counts attempts under way, share is how many there may be.
	concurrent, share atomic.Int64
	// attempted is everything that was wished for since the start, also what was refused. peak is the most at once
	// since the last look, crowded says that there would have been more.
	attempted, attemptedTokens, peak atomic.Int64
	crowded                          atomic.Bool
	// said says that the operator knows of a demand.
	said atomic.Bool

	// These are guarded by the wallet's lock. told is the share as the operator has told it, nil before; set are
	// the shares in force.
	told                  *quota.Amounts
	inForce               quota.Amounts
	perMinute, perMinuteT pulse
	steps                 [3]step
	used                  time.Time
}

// set sets the shares: what was told, at most the limit; what a proxy may use before it was told.
func (r *rates) set(limits *routing.Limits, proxies int) {
	told := quota.Amounts{RequestsPerMinute: quota.Unlimited, TokensPerMinute: quota.Unlimited, ConcurrentRequests: quota.Unlimited}
	if r.told != nil {
		told = *r.told
	}
	now := quota.Amounts{
		RequestsPerMinute:  shareOf(limits.RequestsPerMinute, told.RequestsPerMinute, proxies),
		TokensPerMinute:    shareOf(limits.TokensPerMinute, told.TokensPerMinute, proxies),
		ConcurrentRequests: shareOf(limits.ConcurrentRequests, told.ConcurrentRequests, proxies),
	}
	if now == r.inForce {
		return
	}
	r.inForce = now
	r.requests.Set(now.RequestsPerMinute)
	r.tokens.Set(now.TokensPerMinute)
	r.share.Store(now.ConcurrentRequests)
}

// shareOf is what may be used of one limit; Unlimited when there is none.
func shareOf(limit, told int64, proxies int) int64 {
	switch {
	case limit == 0:
		return quota.Unlimited
	case told >= 0:
		return min(told, limit)
	default:
		return quota.DefaultShare(limit, proxies)
	}
}

// demand is how much this proxy would use of the limits that hold no period; nil when it has not used any for a
// while, and when there are none. It is rounded, so that it is said seldom.
func (r *rates) demand(limits *routing.Limits, now time.Time) *quota.Amounts {
	if limits.RequestsPerMinute == 0 && limits.TokensPerMinute == 0 && limits.ConcurrentRequests == 0 {
		r.said.Store(false)
		return nil
	}
	requests, moved := r.perMinute.beat(r.attempted.Load(), now)
	tokens, _ := r.perMinuteT.beat(r.attemptedTokens.Load(), now)
	underWay := r.concurrent.Load()
	atOnce := max(r.peak.Swap(underWay), underWay, 1)
	if r.crowded.Swap(false) {
		atOnce *= 2 // how many more there would have been is not known
	}
	if moved || underWay > 0 {
		r.used = now
	}
	if r.used.IsZero() || now.Sub(r.used) >= demandLasts {
		r.steps = [3]step{}
		r.said.Store(false)
		return nil
	}
	r.said.Store(true)
	d := &quota.Amounts{RequestsPerMinute: quota.Unlimited, TokensPerMinute: quota.Unlimited, ConcurrentRequests: quota.Unlimited}
	for i, of := range [...]struct {
		limit, measured int64
		say             *int64
	}{
		{limits.RequestsPerMinute, requests, &d.RequestsPerMinute},
		{limits.TokensPerMinute, tokens, &d.TokensPerMinute},
		{limits.ConcurrentRequests, atOnce, &d.ConcurrentRequests},
	} {
		if of.limit > 0 {
			*of.say = r.steps[i].say(of.measured, now)
		}
	}
	return d
}

// pulse is how fast a count grows, smoothed.
type pulse struct {
	perSecond float64
	count     int64
	at        time.Time
}

// beat takes note of the count at now. It returns how much a minute that is, and whether there was any.
func (p *pulse) beat(count int64, now time.Time) (perMinute int64, moved bool) {
	more := count - p.count
	elapsed := now.Sub(p.at)
	if p.at.IsZero() {
		elapsed = time.Second
	}
	if elapsed > 0 {
		seconds := elapsed.Seconds()
		weight := 1 - math.Exp(-seconds/demandMemory.Seconds())
		p.perSecond += weight * (float64(more)/seconds - p.perSecond)
		p.at, p.count = now, count
	}
	return int64(math.Ceil(p.perSecond * time.Minute.Seconds())), more > 0
}

// step is a number that is said of one that changes all the time.
type step struct {
	said int64
	// high is when what was measured last came near it.
	high time.Time
}

// say is what to say of what was measured: it rises at once, and falls when it was twice too large for a while.
func (s *step) say(measured int64, now time.Time) int64 {
	rounded := roundUp(max(measured, 1))
	switch {
	case rounded > s.said:
		s.said, s.high = rounded, now
	case measured > s.said/2:
		s.high = now
	case now.Sub(s.high) >= demandLasts:
		s.said, s.high = rounded, now
	}
	return s.said
}

// maxSaid is more than any limit.
const maxSaid = 1 << 52

// roundUp rounds a positive number up to one of two for each power of two: 1, 2, 3, 4, 6, 8, 12, 16, …
func roundUp(n int64) int64 {
	n = min(n, maxSaid)
	power := int64(1) << (bits.Len64(uint64(n)) - 1)
	switch {
	case n == power:
		return power
	case power > 1 && n <= power+power/2:
		return power + power/2
	default:
		return 2 * power
	}
}
