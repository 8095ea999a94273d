// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"slices"
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/turnout-ai/turnout/api/v1alpha1"
	"github.com/turnout-ai/turnout/internal/pricing"
	"github.com/turnout-ai/turnout/internal/quota"
	"github.com/turnout-ai/turnout/internal/translate"
)

// writeLimits puts what is lent into a status. A limit of which nothing is used or lent is left out, so that an
// endpoint that nobody calls is not written to when a period begins.
func (j *judged) writeLimits(into *v1alpha1.ModelEndpointStatus) {
	if !sameLedger(j.stored, j.lending.decision.Ledger) { // else nothing is to be compared again: it may be long
		into.Ledger = append(translate.APILedger(j.lending.decision.Ledger), foreign(into.Ledger)...)
	}
	into.Limits = nil
	limits := j.limits()
	for i := range limits {
		u := &limits[i]
		if !u.touched {
			continue
		}
		into.Limits = append(into.Limits, v1alpha1.LimitStatus{
			Limit:  v1alpha1.LimitType(u.limit.String()),
			Amount: number(u.limit, u.amount), Used: number(u.limit, u.used),
			Leased: number(u.limit, u.leased), Left: number(u.limit, u.left),
			ResetTime: metav1.NewTime(u.end),
		})
	}
	into.Summary = j.tally.summary(limits)
}

// foreign are accounts of limits that this version does not know: a newer operator has lent of them.
func foreign(accounts []v1alpha1.LedgerAccount) []v1alpha1.LedgerAccount {
	return slices.DeleteFunc(slices.Clone(accounts), func(a v1alpha1.LedgerAccount) bool {
		_, known := quota.ParseLimit(string(a.Limit))
		return known
	})
}

func sameLedger(a, b quota.Ledger) bool {
	return slices.EqualFunc(a.Accounts, b.Accounts, func(x, y quota.Account) bool {
		return x.Key == y.Key && x.End.Equal(y.End) && x.Closed == y.Closed && x.Wanted == y.Wanted && slices.Equal(x.Leases, y.Leases)
	})
}

// summary is use beside its limits, in words.
func (sum *tally) summary(limits []limitUse) *v1alpha1.UseSummary {
	words := map[quota.Limit]string{
		quota.Requests: inWords(quota.Requests, sum.quota.Requests, false),
		quota.Tokens:   inWords(quota.Tokens, sum.quota.Tokens.Total(), false),
	}
	if sum.priced {
		words[quota.Budget] = cents(sum.budget.Cost)
	}
	var leased []string
	for i := range limits {
		u := &limits[i]
		if u.limit == quota.Budget {
			words[u.limit] = cents(u.used) + "/" + cents(u.amount)
		} else {
			words[u.limit] = number(u.limit, u.used) + "/" + number(u.limit, u.amount)
		}
		if u.leased > 0 {
			leased = append(leased, inWords(u.limit, u.leased, true))
		}
	}
	return &v1alpha1.UseSummary{
		Requests: words[quota.Requests], Tokens: words[quota.Tokens], Cost: words[quota.Budget], Leased: strings.Join(leased, ", "),
	}
}

// number writes an amount as the API does: whole numbers, and US dollars.
func number(limit quota.Limit, amount int64) string {
	if limit == quota.Budget {
		return string(translate.APIMoney(amount))
	}
	return strconv.FormatInt(amount, 10)
}

// inWords writes an amount for people: 1000, or with its unit 1000 requests; $1.00.
func inWords(limit quota.Limit, amount int64, unit bool) string {
	switch {
	case limit == quota.Budget:
		return "$" + cents(amount)
	case !unit:
		return number(limit, amount)
	case amount == 1:
		return "1 " + strings.TrimSuffix(units[limit], "s")
	default:
		return number(limit, amount) + " " + units[limit]
	}
}

var units = map[quota.Limit]string{quota.Requests: "requests", quota.Tokens: "tokens"}

// cents writes money with cents at least, and with what is behind them where there is any.
func cents(nanos int64) string {
	text := pricing.Format(nanos)
	whole, behind, _ := strings.Cut(text, ".")
	for len(behind) < 2 {
		behind += "0"
	}
	return whole + "." + behind
}
