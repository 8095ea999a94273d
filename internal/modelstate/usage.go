// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package modelstate

import (
	"math"
	"slices"
	"time"
)

// MaxPeriods is how many periods of one kind are kept.
const MaxPeriods = 4

// Add counts more tokens.
func (t *Tokens) Add(other Tokens) {
	t.Input = sum(t.Input, other.Input)
	t.CachedInput = sum(t.CachedInput, other.CachedInput)
	t.Output = sum(t.Output, other.Output)
	t.Reasoning = sum(t.Reasoning, other.Reasoning)
}

// Total is what limits on tokens count: cached and reasoning tokens are among the others.
func (t Tokens) Total() int64 { return sum(t.Input, t.Output) }

// Add counts more attempts.
func (u *Usage) Add(other Usage) {
	u.Requests = sum(u.Requests, other.Requests)
	u.Tokens.Add(other.Tokens)
	u.Cost = sum(u.Cost, other.Cost)
	u.Estimated.Requests = sum(u.Estimated.Requests, other.Estimated.Requests)
	u.Estimated.Tokens.Add(other.Estimated.Tokens)
	u.Estimated.Cost = sum(u.Estimated.Cost, other.Estimated.Cost)
}

// sum adds without running over: an amount that nobody can have used must not turn into one below zero.
func sum(a, b int64) int64 {
	switch {
	case b > 0 && a > math.MaxInt64-b:
		return math.MaxInt64
	case b < 0 && a < math.MinInt64-b:
		return math.MinInt64
	}
	return a + b
}

// minus is what is left of t without other; never less than nothing.
func (t Tokens) minus(other Tokens) Tokens {
	return Tokens{
		Input:       max(t.Input-other.Input, 0),
		CachedInput: max(t.CachedInput-other.CachedInput, 0),
		Output:      max(t.Output-other.Output, 0),
		Reasoning:   max(t.Reasoning-other.Reasoning, 0),
	}
}

// minus is what is left of u without other; never less than nothing.
func (u Usage) minus(other Usage) Usage {
	return Usage{
		Requests: max(u.Requests-other.Requests, 0),
		Tokens:   u.Tokens.minus(other.Tokens),
		Cost:     max(u.Cost-other.Cost, 0),
		Estimated: Estimate{
			Requests: max(u.Estimated.Requests-other.Estimated.Requests, 0),
			Tokens:   u.Estimated.Tokens.minus(other.Estimated.Tokens),
			Cost:     max(u.Estimated.Cost-other.Estimated.Cost, 0),
		},
	}
}

// IsOverQuota reports whether a period has used up its requests or its tokens; 0 means no limit.
func (p PeriodUsage) IsOverQuota(requests, tokens int64) bool {
	return requests > 0 && p.Requests >= requests || tokens > 0 && p.Tokens.Total() >= tokens
}

// IsOverBudget reports whether a period has used up its amount of nano-dollars; below 0 means no limit.
func (p PeriodUsage) IsOverBudget(amount int64) bool { return amount >= 0 && p.Cost >= amount }

// SumPeriods adds up usage by period, oldest first. The order of the lists, and within them, means nothing.
func SumPeriods(lists ...[]PeriodUsage) []PeriodUsage {
	var sum []PeriodUsage
	for _, list := range lists {
		for i := range list {
			sum = book(sum, list[i].Start, list[i].Usage)
		}
	}
	return sum
}

// book counts usage in the period that began at start.
func book(periods []PeriodUsage, start time.Time, usage Usage) []PeriodUsage {
	at, found := slices.BinarySearchFunc(periods, start, func(p PeriodUsage, start time.Time) int {
		return p.Start.Compare(start)
	})
	if !found {
		periods = slices.Insert(periods, at, PeriodUsage{Start: start.UTC()})
	}
	periods[at].Add(usage)
	return periods
}

// PickPeriod returns the usage of the period that began at start; none when nothing was used in it.
func PickPeriod(periods []PeriodUsage, start time.Time) PeriodUsage {
	for i := range periods {
		if periods[i].Start.Equal(start) {
			return periods[i]
		}
	}
	return PeriodUsage{Start: start.UTC()}
}

// KeepPeriods drops the periods before the one that began at oldest, and of the others all but the newest
// MaxPeriods. periods are oldest first.
func KeepPeriods(periods []PeriodUsage, oldest time.Time) []PeriodUsage {
	from := max(len(periods)-MaxPeriods, 0)
	for from < len(periods) && periods[from].Start.Before(oldest) {
		from++
	}
	if from == len(periods) {
		return nil
	}
	return slices.Clone(periods[from:])
}

// periodsBeyond is what periods hold beyond those that are taken.
func periodsBeyond(periods, taken []PeriodUsage) []PeriodUsage {
	var beyond []PeriodUsage
	for i := range periods {
		left := periods[i].minus(PickPeriod(taken, periods[i].Start).Usage)
		if left != (Usage{}) {
			beyond = append(beyond, PeriodUsage{Start: periods[i].Start, Usage: left})
		}
	}
	return beyond
}
