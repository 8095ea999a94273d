// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package translate

import (
	"github.com/turnout-ai/turnout/api/v1alpha1"
	"github.com/turnout-ai/turnout/internal/quota"
)

// maxLimits is how many limits and periods a proxy may be told of, and speaks of, for one endpoint at a time.
const maxLimits = 12

// Ledger reads what was lent of an endpoint. Accounts of limits that this version does not know are left out.
func Ledger(from []v1alpha1.LedgerAccount) quota.Ledger {
	var out quota.Ledger
	for i := range from {
		a := &from[i]
		limit, known := quota.ParseLimit(string(a.Limit))
		if !known {
			continue
		}
		account := quota.Account{
			Key: quota.Key{Limit: limit, Start: a.Start.UTC()}, End: a.End.UTC(), Closed: a.Closed, Wanted: a.Wanted,
		}
		for _, l := range a.Leases {
			account.Leases = append(account.Leases, quota.Lease{
				Instance: l.UID, Granted: l.Granted, Returned: l.Returned, Answered: l.Answered, Rest: l.Rest,
			})
		}
		out.Accounts = append(out.Accounts, account)
	}
	return out
}

// APILedger writes what was lent. It is never cut: what would be left out could be lent a second time.
func APILedger(from quota.Ledger) []v1alpha1.LedgerAccount {
	var out []v1alpha1.LedgerAccount
	for i := range from.Accounts {
		a := &from.Accounts[i]
		account := v1alpha1.LedgerAccount{
			Limit: v1alpha1.LimitType(a.Limit.String()), Start: whole(a.Start), End: whole(a.End),
			Closed: count(a.Closed), Wanted: a.Wanted,
		}
		for _, l := range a.Leases {
			account.Leases = append(account.Leases, v1alpha1.LedgerLease{
				UID: l.Instance, Granted: count(l.Granted), Returned: count(l.Returned), Answered: count(l.Answered), Rest: l.Rest,
			})
		}
		out = append(out, account)
	}
	return out
}

// Grants reads what a proxy may use.
func Grants(from []v1alpha1.EndpointGrant) []quota.EndpointGrant {
	out := make([]quota.EndpointGrant, 0, len(from))
	for i := range from {
		g := &from[i]
		grant := quota.EndpointGrant{Endpoint: quota.Endpoint{UID: g.UID, Namespace: g.Namespace, Name: g.Name}, Share: amounts(g.Rate)}
		for _, l := range g.Limits {
			if limit, known := quota.ParseLimit(string(l.Limit)); known {
				grant.Grants = append(grant.Grants, quota.Grant{
					Key: quota.Key{Limit: limit, Start: l.Start.UTC()}, Granted: l.Granted, Returned: l.Returned,
					Answered: l.Answered, Rest: l.Rest, Wanted: l.Wanted,
				})
			}
		}
		out = append(out, grant)
	}
	return out
}

// APIGrant writes what a proxy may use of one endpoint.
func APIGrant(from quota.EndpointGrant) v1alpha1.EndpointGrant {
	out := v1alpha1.EndpointGrant{UID: from.UID, Namespace: from.Namespace, Name: from.Name, Rate: rateShare(from.Share)}
	for _, g := range first(from.Grants, maxLimits) {
		out.Limits = append(out.Limits, v1alpha1.LimitGrant{
			Limit: v1alpha1.LimitType(g.Limit.String()), Start: whole(g.Start), Granted: count(g.Granted),
			Returned: count(g.Returned), Answered: count(g.Answered), Rest: g.Rest, Wanted: g.Wanted,
		})
	}
	return out
}

// Ask reads what a proxy says about one endpoint.
func Ask(from *v1alpha1.EndpointAsk) quota.EndpointAsk {
	out := quota.EndpointAsk{Endpoint: quota.Endpoint{UID: from.UID, Namespace: from.Namespace, Name: from.Name}, Demand: amounts(from.Demand)}
	for _, l := range from.Limits {
		if limit, known := quota.ParseLimit(string(l.Limit)); known {
			out.Asks = append(out.Asks, quota.Ask{
				Key: quota.Key{Limit: limit, Start: l.Start.UTC()}, Granted: l.Granted, Returned: l.Returned,
				Spent: l.Spent, Number: l.Number, Want: l.Want, Need: l.Need,
			})
		}
	}
	return out
}

// APIAsk writes what a proxy says about one endpoint, the first of it if that is too much: the rest is said later.
func APIAsk(from quota.EndpointAsk) v1alpha1.EndpointAsk {
	out := v1alpha1.EndpointAsk{UID: from.UID, Namespace: from.Namespace, Name: from.Name, Demand: rateShare(from.Demand)}
	for _, a := range first(from.Asks, maxLimits) {
		out.Limits = append(out.Limits, v1alpha1.LimitAsk{
			Limit: v1alpha1.LimitType(a.Limit.String()), Start: whole(a.Start), Granted: count(a.Granted),
			Returned: count(a.Returned), Spent: count(a.Spent), Number: count(a.Number), Want: count(a.Want), Need: count(a.Need),
		})
	}
	return out
}

// amounts reads a share or a demand.
func amounts(from *v1alpha1.RateShare) *quota.Amounts {
	if from == nil {
		return nil
	}
	return &quota.Amounts{
		RequestsPerMinute:  valueOr(from.RequestsPerMinute, quota.Unlimited),
		TokensPerMinute:    valueOr(from.TokensPerMinute, quota.Unlimited),
		ConcurrentRequests: valueOr(from.ConcurrentRequests, quota.Unlimited),
	}
}

func rateShare(from *quota.Amounts) *v1alpha1.RateShare {
	if from == nil {
		return nil
	}
	return &v1alpha1.RateShare{
		RequestsPerMinute:  limited(from.RequestsPerMinute),
		TokensPerMinute:    limited(from.TokensPerMinute),
		ConcurrentRequests: limited(from.ConcurrentRequests),
	}
}

func limited(amount int64) *int64 {
	if amount < 0 {
		return nil
	}
	return &amount
}
