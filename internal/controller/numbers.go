// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"cmp"
	"math"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/turnout-ai/turnout/api/v1alpha1"
	"github.com/turnout-ai/turnout/internal/calendar"
	"github.com/turnout-ai/turnout/internal/modelstate"
	"github.com/turnout-ai/turnout/internal/routing"
	"github.com/turnout-ai/turnout/internal/translate"
)

// million is the unit of shares.
const million = 1_000_000

// maxFailureMessage is the API's bound on the message of a failure, in bytes.
const maxFailureMessage = 512

// tally is everything that was counted and measured of one endpoint, over the fleet.
type tally struct {
	// base is the fold before this look takes anything in.
	base, fold               modelstate.Fold
	quota, previousQuota     modelstate.PeriodUsage
	budget, previousBudget   modelstate.PeriodUsage
	priced                   bool
	firstToken, total        modelstate.Histogram
	recent                   []modelstate.Sample
	lastRequest, lastFailure time.Time
	lastFailureMessage       string
	rate                     modelstate.Rate
	// latest is the latest time that is believed: a proxy's clock may be a little fast, and one that is far off
	// must not be what an endpoint shows until then.
	latest time.Time
	// next is when time alone changes any of it; zero when it does not.
	next time.Time
}

// count adds up what proxies have counted of an endpoint, and the completing probes of the operator that are in
// no books yet. before is the endpoint's status: of processes that are gone it alone remembers the latest times and
// latencies. leased are the processes that have leases.
func (t *testimony) count(entry *routing.Endpoint, before *v1alpha1.ModelEndpointStatus, probes []probeUse, leased []string, gone func(uid string) bool, now time.Time) *tally {
	quota, earlierQuota := periods(entry.QuotaPeriod, now)
	budget, earlierBudget := periods(entry.BudgetPeriod, now)
	fold := readFold(before.Fold)
	for i := range probes {
		fold.Quota = modelstate.SumPeriods(fold.Quota, []modelstate.PeriodUsage{probes[i].quota})
		fold.Budget = modelstate.SumPeriods(fold.Budget, []modelstate.PeriodUsage{probes[i].budget})
	}
	base := fold
	about := t.about(entry.UID)
	fold, open := t.takeIn(fold, about, leased, gone)
	fold.Quota, fold.Budget = sensible(fold.Quota, entry.QuotaPeriod, now), sensible(fold.Budget, entry.BudgetPeriod, now)
	sum := &tally{
		base: base, fold: t.forget(fold, gone, earlierQuota, earlierBudget, now), priced: entry.Priced, latest: now.Add(clockSkew),
	}

	quotas, budgets := sum.fold.Quota, sum.fold.Budget
	for _, c := range open {
		quotas = modelstate.SumPeriods(quotas, c.quota)
		budgets = modelstate.SumPeriods(budgets, c.budget)
	}
	sum.quota, sum.previousQuota = modelstate.PickPeriod(quotas, quota), modelstate.PickPeriod(quotas, earlierQuota)
	sum.budget, sum.previousBudget = modelstate.PickPeriod(budgets, budget), modelstate.PickPeriod(budgets, earlierBudget)

	sum.remember(before.ModelState)
	for _, c := range about.numbers {
		sum.measure(c)
	}
	for i := range about.signals {
		sum.hear(&about.signals[i])
	}
	sum.settle()
	sum.rate = about.rate(widest(entry.Units), modelstate.AnyEpoch, now)

	sum.changes(about.expires(entry.Units, now))
	sum.changes(t.foldChanges(&sum.fold, now))
	if len(quotas)+len(budgets) > 0 {
		sum.changes(entry.QuotaPeriod.Next(now))
		sum.changes(entry.BudgetPeriod.Next(now))
	}
	return sum
}

// sensible are the periods that may push others out of the base: none that is yet to come, as a proxy with a
// wrong clock names it, but the next; and when they are many, none of another kind, as from before spec.limits was
// changed.
func sensible(used []modelstate.PeriodUsage, p calendar.Period, now time.Time) []modelstate.PeriodUsage {
	next := p.Next(now)
	used = slices.DeleteFunc(slices.Clone(used), func(u modelstate.PeriodUsage) bool { return u.Start.After(next) })
	if len(used) > modelstate.MaxPeriods {
		used = slices.DeleteFunc(used, func(u modelstate.PeriodUsage) bool { return !p.Start(u.Start).Equal(u.Start) })
	}
	return used
}

// periods are the starts of the period that holds now and of the one before.
func periods(p calendar.Period, now time.Time) (current, previous time.Time) {
	current = p.Start(now)
	return current, p.Start(current.Add(-time.Nanosecond))
}

// changes notes that time alone changes something then; zero is never.
func (sum *tally) changes(at time.Time) { sum.next = earliest(sum.next, at) }

// believes reports whether something can have happened when somebody says that it did. What cannot yet will be
// believed once it can.
func (sum *tally) believes(at time.Time) bool {
	if !at.After(sum.latest) {
		return true
	}
	sum.changes(at.Add(-clockSkew))
	return false
}

// remember begins with what the status says already.
func (sum *tally) remember(state *v1alpha1.ModelState) {
	if state == nil {
		return
	}
	sum.recent = translate.Samples(state.LatencyHistory)
	if state.LastRequest != nil && sum.believes(state.LastRequest.Time) {
		sum.lastRequest = state.LastRequest.Time
	}
	if state.LastFailure != nil && sum.believes(state.LastFailure.Time) {
		sum.lastFailure, sum.lastFailureMessage = state.LastFailure.Time, state.LastFailureMessage
	}
}

// measure adds what one proxy has measured.
func (sum *tally) measure(c *counted) {
	addClasses(&sum.firstToken, c.firstToken)
	addClasses(&sum.total, c.total)
	sum.recent = append(sum.recent, c.recent...)
	// A status tells these in whole seconds, and what it says already is not news.
	if at := c.lastRequest.Truncate(time.Second); at.After(sum.lastRequest) && sum.believes(at) {
		sum.lastRequest = at
	}
	sum.failed(c.lastFailure, c.lastFailureMessage)
}

// hear takes note of the failures that a proxy's signal speaks of: its numbers come seconds later, and a
// transition must not be told without the failure that it rests on.
func (sum *tally) hear(s *modelstate.Signal) {
	sum.failed(s.LastFailure, s.Message)
	for i := range s.Statements {
		sum.failed(s.Statements[i].At, s.Statements[i].Message)
	}
}

// failed keeps the newest failure.
func (sum *tally) failed(at time.Time, message string) {
	if at = at.Truncate(time.Second); at.After(sum.lastFailure) && sum.believes(at) {
		sum.lastFailure, sum.lastFailureMessage = at, message
	}
}

// addClasses adds up latencies. A class that this version does not know is passed over.
func addClasses(into *modelstate.Histogram, classes []v1alpha1.LatencyClass) {
	for _, c := range classes {
		if c.Class >= 0 && int(c.Class) < len(into) {
			into[c.Class] += uint32(min(max(c.Count, 0), int64(math.MaxUint32-into[c.Class])))
		}
	}
}

// settle keeps the newest samples, each once.
func (sum *tally) settle() {
	newestFirst := func(a, b modelstate.Sample) int {
		return cmp.Or(b.At.Compare(a.At), cmp.Compare(a.Total, b.Total), cmp.Compare(a.FirstToken, b.FirstToken))
	}
	sum.recent = slices.DeleteFunc(sum.recent, func(s modelstate.Sample) bool { return s.At.IsZero() || !sum.believes(s.At) })
	slices.SortFunc(sum.recent, newestFirst)
	sum.recent = slices.CompactFunc(sum.recent, func(a, b modelstate.Sample) bool { return newestFirst(a, b) == 0 })
	sum.recent = sum.recent[:min(len(sum.recent), modelstate.MaxSamples)]
}

// expires is when the next bucket leaves one of the windows that something is judged by; zero when there is none in
// any.
func (d *dossier) expires(units []modelstate.Unit, now time.Time) time.Time {
	windows := []time.Duration{busyWithin, widest(units)}
	for i := range units {
		windows = append(windows, units[i].Window)
	}
	slices.Sort(windows)
	windows = slices.Compact(windows)
	var next time.Time
	for _, c := range d.numbers {
		for i := range c.window {
			for _, window := range windows {
				if at := c.window[i].Start.Add(modelstate.BucketLength + window); at.After(now) {
					next = earliest(next, at)
				}
			}
		}
	}
	return next
}

// earliest is the earlier of two times, of which a zero one is none.
func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// write puts the numbers into a status.
func (sum *tally) write(into *v1alpha1.ModelEndpointStatus) {
	state := into.ModelState
	state.QuotaUsed = new(sum.quota.Requests)
	state.TokensUsed = new(sum.quota.Tokens.Total())
	state.CostAccumulated = ""
	if sum.priced {
		state.CostAccumulated = translate.APIMoney(sum.budget.Cost)
	}
	state.Usage = sum.usage()
	state.ErrorRate = errorRate(sum.rate)
	state.LatencyHistory = translate.APISamples(sum.recent)
	state.Latency = sum.latency()
	state.LastRequest = wholeSeconds(sum.lastRequest)
	state.LastFailure = wholeSeconds(sum.lastFailure)
	state.LastFailureMessage = ""
	if !sum.lastFailure.IsZero() {
		state.LastFailureMessage = clip(sum.lastFailureMessage, maxFailureMessage)
	}
	into.Fold = writeFold(&sum.fold)
}

// usage tells periods in which something was used. One without is left out, so that an endpoint that nobody
// calls is not written to at midnight.
func (sum *tally) usage() *v1alpha1.UsageStatus {
	used := func(p modelstate.PeriodUsage) *v1alpha1.PeriodUsage {
		if p.Usage == (modelstate.Usage{}) {
			return nil
		}
		return new(translate.APIPeriodUsage(p))
	}
	out := v1alpha1.UsageStatus{
		Quota: used(sum.quota), PreviousQuota: used(sum.previousQuota),
		Budget: used(sum.budget), PreviousBudget: used(sum.previousBudget),
	}
	if out == (v1alpha1.UsageStatus{}) {
		return nil
	}
	return &out
}

func errorRate(r modelstate.Rate) v1alpha1.Ratio {
	if r.Attempts == 0 {
		return ""
	}
	return translate.APIRatio(min(r.Failures, r.Attempts) * million / r.Attempts)
}

func (sum *tally) latency() *v1alpha1.LatencySummary {
	out := v1alpha1.LatencySummary{
		P50: quantile(&sum.total, 50), P95: quantile(&sum.total, 95),
		FirstTokenP50: quantile(&sum.firstToken, 50), FirstTokenP95: quantile(&sum.firstToken, 95),
	}
	if out == (v1alpha1.LatencySummary{}) {
		return nil
	}
	return &out
}

// quantile is a latency as people write it: 420ms, 1.3s, 2m5s.
func quantile(h *modelstate.Histogram, percent int64) string {
	d, known := h.Quantile(percent)
	switch {
	case !known:
		return ""
	case d < time.Second:
		return max(d.Round(time.Millisecond), time.Millisecond).String()
	case d < time.Minute:
		return d.Round(100 * time.Millisecond).String()
	default:
		return d.Round(time.Second).String()
	}
}

func wholeSeconds(t time.Time) *metav1.Time {
	if t.IsZero() {
		return nil
	}
	return new(metav1.NewTime(t.UTC().Truncate(time.Second)))
}
