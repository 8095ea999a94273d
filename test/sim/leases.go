// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"slices"
	"time"

	"github.com/turnout-ai/turnout/internal/health"
	"github.com/turnout-ai/turnout/internal/quota"
)

// This file is what stands between a reporter and health.Registry, its book of leases: nothing, where nothing is
// sabotaged, but for the audit.

// asks returns what there is to say about leases.
func (p *proxy) asks(now time.Time, interval time.Duration) []quota.EndpointAsk {
	asks := p.registry.Asks(now, interval)
	slices.SortFunc(asks, func(a, b quota.EndpointAsk) int { return compare(a.UID, b.UID) })
	for i := range asks {
		for _, a := range asks[i].Asks {
			h := p.w.audit.account(purseKey{asks[i].UID, a.Key}).holding(p.instance)
			if more := a.Returned - h.given; more > 0 {
				if p.w.telling {
					p.w.tell(p.actor, "gives back "+p.w.amountOf(more, a.Limit)+" of "+asks[i].Name)
				}
				h.gave(a.Returned)
			}
		}
	}
	if p.w.bad(neverReturned, true) {
		for i := range asks {
			for k := range asks[i].Asks {
				asks[i].Asks[k].Returned = 0
			}
		}
	}
	return asks
}

// granted takes in what the operator has granted, and wakes those that wait.
func (p *proxy) granted(grants []quota.EndpointGrant, proxies int) {
	if p.w.bad(tookBack, true) || p.w.bad(anyPeriod, true) {
		grants = p.misread(grants)
	}
	p.told = grants
	p.registry.Granted(grants, proxies, p.now())
	p.heard()
	p.retry()
}

// misread is what sabotages read in grants.
func (p *proxy) misread(grants []quota.EndpointGrant) []quota.EndpointGrant {
	grants = slices.Clone(grants)
	for i := range grants {
		grants[i].Grants = slices.Clone(grants[i].Grants)
		for k := range grants[i].Grants {
			g := &grants[i].Grants[k]
			if p.w.bad(tookBack, true) {
				g.Granted += g.Returned // what was given back is used all the same
			}
			if e := p.table[grants[i].Name]; p.w.bad(anyPeriod, e != nil && e.uid == grants[i].UID) {
				g.Start = e.start(g.Limit, p.now())
			}
		}
	}
	return grants
}

// disowned drops every grant.
func (p *proxy) disowned() {
	if !p.w.bad(keptGrants, true) {
		p.registry.Disowned()
	}
}

// entry is an endpoint in the table of one proxy.
type entry struct {
	uid, name string
	index     int
	spec      *endpointSpec
	live      *health.Endpoint
	periods   [2]span
	// rested says that it has rested, for a sabotage.
	rested bool
	// accounts are the audit's, of the current periods.
	accounts [len(limits)]*account
}

// span is a period that was looked up.
type span struct{ start, next time.Time }

// start is when the period of a limit began that holds now.
func (e *entry) start(limit quota.Limit, now time.Time) time.Time {
	at := 0
	if limit == quota.Budget {
		at = 1
	}
	s := &e.periods[at]
	if s.start.IsZero() || now.Before(s.start) || !now.Before(s.next) {
		p := e.spec.period(limit)
		*s = span{p.Start(now), p.Next(now)}
	}
	return s.start
}

// account is the audit's account of a limit now.
func (e *entry) account(a *audit, at int, now time.Time) *account {
	limit := limits[at]
	start := e.start(limit, now)
	if acc := e.accounts[at]; acc != nil && acc.key.Start.Equal(start) {
		return acc
	}
	e.accounts[at] = a.account(purseKey{e.uid, quota.Key{Limit: limit, Start: start}})
	return e.accounts[at]
}

// purseKey names what one purse is of.
type purseKey struct {
	endpoint string
	quota.Key
}

// amount is what an attempt may use, or has used, of each limit.
type amounts [len(limits)]int64

func amountsOf(tokens int64) amounts { return amounts{1, tokens, tokens * price} }

// free is what a proxy may still use of each limit of an endpoint, by its own purses.
func (e *entry) free(now time.Time) (free amounts) {
	for _, r := range e.live.ReadLimits(now.UnixNano()) {
		switch r.Limit {
		case health.Requests:
			free[0] = r.Free
		case health.Tokens:
			free[1] = r.Free
		case health.Budget:
			free[2] = r.Free
		default:
		}
	}
	return free
}
