// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package explain

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/turnout-ai/turnout/api/v1alpha1"
	"github.com/turnout-ai/turnout/internal/modelstate"
	"github.com/turnout-ai/turnout/internal/pricing"
	"github.com/turnout-ai/turnout/internal/routing"
)

// Limit is a limit of an endpoint, over all proxies. Amounts are whole numbers, or US dollars.
type Limit struct {
	// Limit is Requests, Tokens, Budget, RequestsPerMinute, TokensPerMinute or ConcurrentRequests.
	Limit  string `json:"limit"`
	Amount string `json:"amount"`
	// Used, Leased (to proxies, and not used), Left and ResetTime are what the operator has written; empty while it
	// has not, and of limits that hold no period.
	Used      string `json:"used,omitempty"`
	Leased    string `json:"leased,omitempty"`
	Left      string `json:"left,omitempty"`
	ResetTime string `json:"resetTime,omitempty"`
}

// limitsOf are the limits of an endpoint, with what the operator has written about them.
func limitsOf(e *routing.Endpoint, status *v1alpha1.ModelEndpointStatus) []Limit {
	var limits []Limit
	for _, of := range [...]struct {
		name, amount string
		limit        int64
	}{
		{string(v1alpha1.LimitRequests), strconv.FormatInt(e.Limits.Requests, 10), e.Limits.Requests},
		{string(v1alpha1.LimitTokens), strconv.FormatInt(e.Limits.Tokens, 10), e.Limits.Tokens},
		{string(v1alpha1.LimitBudget), pricing.Format(e.Limits.Budget), e.Limits.Budget},
		{"RequestsPerMinute", strconv.FormatInt(e.Limits.RequestsPerMinute, 10), e.Limits.RequestsPerMinute},
		{"TokensPerMinute", strconv.FormatInt(e.Limits.TokensPerMinute, 10), e.Limits.TokensPerMinute},
		{"ConcurrentRequests", strconv.FormatInt(e.Limits.ConcurrentRequests, 10), e.Limits.ConcurrentRequests},
	} {
		if of.limit == 0 {
			continue
		}
		limit := Limit{Limit: of.name, Amount: of.amount}
		for i := range status.Limits {
			if s := &status.Limits[i]; string(s.Limit) == of.name {
				limit.Used, limit.Leased, limit.Left = s.Used, s.Leased, s.Left
				limit.ResetTime = s.ResetTime.UTC().Format(time.RFC3339)
			}
		}
		limits = append(limits, limit)
	}
	return limits
}

// units are what limits count, in words.
var units = map[string]string{
	string(v1alpha1.LimitRequests): "requests", string(v1alpha1.LimitTokens): "tokens", string(v1alpha1.LimitBudget): "US dollars",
	"RequestsPerMinute": "requests a minute", "TokensPerMinute": "tokens a minute", "ConcurrentRequests": "requests at once",
}

// String says it in words.
func (l *Limit) String() string {
	if l.Used == "" {
		return fmt.Sprintf("at most %s %s", l.Amount, units[l.Limit])
	}
	return fmt.Sprintf("%s of %s %s used, %s lent to proxies, %s left, until %s",
		l.Used, l.Amount, units[l.Limit], l.Leased, l.Left, l.ResetTime)
}

// writeLimits writes the limits of all endpoints that have some.
func writeLimits(b *strings.Builder, a *Answer) {
	var rows [][]string
	add := func(endpoint string, limits []Limit) {
		for i := range limits {
			rows = append(rows, []string{endpoint, limits[i].String()})
			endpoint = ""
		}
	}
	for i := range a.Order {
		add(a.Order[i].Endpoint, a.Order[i].Limits)
	}
	for i := range a.Excluded {
		add(a.Excluded[i].Endpoint, a.Excluded[i].Limits)
	}
	if len(rows) > 0 {
		b.WriteString("\nLimits, over all proxies:\n")
		table(b, rows)
	}
}

// law is how an endpoint stands for those of its limits that the operator has found used up, and its sentence about
// them: then no proxy has anything left of them either.
func law(limits *routing.Limits, state *modelstate.State, now time.Time) (standing routing.Standing, message string) {
	amounts := map[modelstate.Reason]int64{
		modelstate.BudgetExceeded: limits.Budget, modelstate.TokenLimit: limits.Tokens, modelstate.RequestLimit: limits.Requests,
	}
	for i := range state.Verdicts {
		v := &state.Verdicts[i]
		if amounts[v.Reason] == 0 || !v.Until.After(now) {
			continue
		}
		if standing.Kind != routing.Barred {
			message = v.Message // by precedence: the first is shown
		}
		standing = standing.And(routing.Standing{Kind: routing.Barred, Reason: v.Reason, Until: nanos(v.Until)})
	}
	return standing, message
}
