// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package modelstate_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	. "github.com/turnout-ai/turnout/internal/modelstate"
)

func day(n int) time.Time { return time.Date(2026, 3, n, 0, 0, 0, 0, time.UTC) }

func randomUsage(r *rand.Rand) Usage {
	u := Usage{
		Requests: 1,
		Tokens:   Tokens{Input: r.Int64N(1000), CachedInput: r.Int64N(10), Output: r.Int64N(100), Reasoning: r.Int64N(9)},
		Cost:     r.Int64N(1e9),
	}
	if r.IntN(3) == 0 {
		u.Estimated = Estimate{Requests: 1, Tokens: Tokens{Output: u.Tokens.Output}, Cost: u.Cost / 2}
	}
	return u
}

// count lets a proxy make so many random attempts, from a time on.
func count(r *rand.Rand, n *Numbers, attempts int, from time.Time) {
	for i := range attempts {
		began := Booking{Quota: day(12 + r.IntN(3)), Budget: day(1), Epoch: int64(1 + r.IntN(3))}
		ended := from.Add(time.Duration(i*7+r.IntN(5)) * time.Second)
		if r.IntN(3) == 0 {
			n.RecordFailure(began, ended, fmt.Sprintf("50%d", r.IntN(5)), randomUsage(r))
			continue
		}
		sample := Sample{At: ended, Total: time.Duration(1+r.IntN(5000)) * time.Millisecond}
		if r.IntN(2) == 0 {
			sample.FirstToken = sample.Total / 3
		}
		n.RecordSuccess(began, sample, randomUsage(r))
	}
}

// forFolds runs a property with generators of that many seeds.
func forFolds(t *testing.T, property func(t *testing.T, r *rand.Rand)) {
	t.Helper()
	for seed := range uint64(100) {
		property(t, rand.New(rand.NewPCG(seed, 0x666f6c64)))
		if t.Failed() {
			t.Fatalf("with seed %d", seed)
		}
	}
}

func TestWhatIsSealedAndWhatIsBeyondAreAll(t *testing.T) {
	forFolds(t, func(t *testing.T, r *rand.Rand) {
		var n Numbers
		count(r, &n, r.IntN(20), noon)
		sealed := n
		count(r, &n, r.IntN(20), noon.Add(200*time.Second))
		beyond := Subtract(n, sealed)
		got := Merge(sealed, beyond)
		// The sealed window holds what has left that of the living.
		got.Window = slices.DeleteFunc(got.Window, func(b Bucket) bool {
			return len(n.Window) > 0 && b.Start.Before(n.Window[0].Start)
		})
		if diff := unlike(n, got); diff != "" {
			t.Errorf("(-all +sum):\n%s", diff)
		}
		if diff := unlike(Numbers{LastRequest: n.LastRequest, LastFailure: n.LastFailure, LastFailureMessage: n.LastFailureMessage}, Subtract(n, n)); diff != "" {
			t.Errorf("something is left of nothing (-want +got):\n%s", diff)
		}
		if less := Subtract(sealed, n); len(less.Quota) != 0 || len(less.Budget) != 0 || less.Total.Count() != 0 {
			t.Errorf("below zero: %+v", less)
		}
	})
}

func TestSumsDoNotDependOnTheOrder(t *testing.T) {
	forFolds(t, func(t *testing.T, r *rand.Rand) {
		reports := make([]Numbers, 4)
		for i := range reports {
			count(r, &reports[i], r.IntN(15), noon)
		}
		want := Merge(reports...)
		r.Shuffle(len(reports), func(i, k int) { reports[i], reports[k] = reports[k], reports[i] })
		if diff := unlike(want, Merge(reports...)); diff != "" {
			t.Errorf("(-want +shuffled):\n%s", diff)
		}
		if diff := unlike(want, Merge(Merge(reports[:2]...), Merge(reports[2:]...))); diff != "" {
			t.Errorf("(-want +in two steps):\n%s", diff)
		}
		rate := fleetRate(reports, AnyEpoch, time.Time{})
		var byEpoch Rate
		for epoch := range int64(5) {
			one := fleetRate(reports, epoch, time.Time{})
			byEpoch.Attempts += one.Attempts
			byEpoch.Failures += one.Failures
		}
		if rate != byEpoch || rate != fleetRate([]Numbers{want}, AnyEpoch, time.Time{}) {
			t.Errorf("%v attempts of any epoch, %v of each", rate, byEpoch)
		}
	})
}

// Instances come, report, end, are folded, and are gone, in any order and with every step repeated: the totals
// are always what was counted.
func TestTheFoldCountsEverythingOnce(t *testing.T) {
	forFolds(t, func(t *testing.T, r *rand.Rand) {
		var fold Fold
		existing := map[string]*Numbers{}
		ended := map[string]bool{}
		var all []*Numbers
		now := noon
		for step := range 60 {
			now = now.Add(time.Duration(r.IntN(300)) * time.Second)
			uid := fmt.Sprintf("uid-%d", r.IntN(step+1))
			switch n, exists := existing[uid], existing[uid] != nil; r.IntN(6) {
			case 0:
				n = &Numbers{}
				all = append(all, n)
				existing[fmt.Sprintf("uid-%d", 100+step)] = n
			case 1, 2:
				for uid, n := range existing {
					if !ended[uid] {
						count(r, n, 1+r.IntN(3), now)
					}
				}
			case 3:
				for uid := range existing {
					ended[uid] = true
					break
				}
			case 4:
				for uid := range ended {
					if existing[uid] != nil {
						fold = fold.Take(Report{Instance: uid, Numbers: *existing[uid]})
						fold = fold.Take(Report{Instance: uid, Numbers: *existing[uid]})
					}
				}
			default:
				for uid := range ended {
					if fold.Has(uid) && r.IntN(2) == 0 {
						delete(existing, uid)
						fold = fold.Gone(uid, now)
					}
				}
				_ = n
				_ = exists
			}
			fold = fold.Trim(day(12), day(1), now)

			var reports []Report
			for uid, n := range existing {
				reports = append(reports, Report{Instance: uid, Numbers: *n})
			}
			quota, budget := fold.Totals(reports)
			var want Numbers
			for _, n := range all {
				want = Merge(want, *n)
			}
			if diff := unlike(want.Quota, quota); diff != "" {
				t.Errorf("quota (-counted +books):\n%s", diff)
			}
			if diff := unlike(want.Budget, budget); diff != "" {
				t.Errorf("budget (-counted +books):\n%s", diff)
			}
		}
	})
}

// Trace 8: a cache that still shows an instance must not bring it in again.
func TestAnInstanceStaysInTheRecordForAWhileAfterItIsGone(t *testing.T) {
	report := Report{Instance: "u", Numbers: Numbers{Quota: []PeriodUsage{{Start: day(14), Usage: Usage{Requests: 3}}}}}
	folded := Fold{}.Take(report)
	gone := folded.Gone("u", noon)
	if again := gone.Gone("u", noon.Add(time.Hour)); !again.Instances[0].GoneSince.Equal(noon) {
		t.Errorf("gone since %v", again.Instances[0].GoneSince)
	}
	if diff := cmp.Diff(gone, gone.Take(report)); diff != "" {
		t.Errorf("taken in again (-once +twice):\n%s", diff)
	}
	for _, test := range []struct {
		after time.Duration
		fold  Fold
		want  bool
	}{
		{time.Hour, folded, true},
		{10 * time.Minute, gone, true},
		{10*time.Minute + time.Second, gone, false},
	} {
		trimmed := test.fold.Trim(day(13), day(1), noon.Add(test.after))
		if got := trimmed.Has("u"); got != test.want {
			t.Errorf("%v later it is in the record: %v, want %v", test.after, got, test.want)
		}
		if got := PickPeriod(trimmed.Quota, day(14)).Requests; got != 3 {
			t.Errorf("%v later there are %d requests in the base", test.after, got)
		}
	}
	if !gone.Has("u") || !folded.Instances[0].GoneSince.IsZero() {
		t.Error("a Fold was written to")
	}
}

func TestPeriods(t *testing.T) {
	periods := SumPeriods(
		[]PeriodUsage{{day(14), Usage{Requests: 1, Cost: 5}}, {day(12), Usage{Requests: 2}}},
		[]PeriodUsage{{day(14).In(time.FixedZone("", 3600)), Usage{Requests: 10, Cost: 6}}, {day(10), Usage{Requests: 4}}},
	)
	want := []PeriodUsage{{day(10), Usage{Requests: 4}}, {day(12), Usage{Requests: 2}}, {day(14), Usage{Requests: 11, Cost: 11}}}
	if diff := cmp.Diff(want, periods); diff != "" {
		t.Errorf("sum (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want[1:], KeepPeriods(periods, day(12))); diff != "" {
		t.Errorf("kept (-want +got):\n%s", diff)
	}
	if got := KeepPeriods(periods, day(15)); got != nil {
		t.Errorf("kept %v", got)
	}
	var many []PeriodUsage
	for i := range 9 {
		many = append(many, PeriodUsage{Start: day(1 + i)})
	}
	if got := KeepPeriods(many, day(2)); len(got) != MaxPeriods || !got[0].Start.Equal(day(6)) {
		t.Errorf("kept %v", got)
	}
	if got := PickPeriod(periods, day(13)); got != (PeriodUsage{Start: day(13)}) {
		t.Errorf("of a period without use %+v", got)
	}
	p := PeriodUsage{Usage: Usage{Requests: 5, Tokens: Tokens{Input: 60, CachedInput: 50, Output: 40, Reasoning: 30}, Cost: 7}}
	for _, test := range []struct {
		name      string
		got, want bool
	}{
		{"no limit", p.IsOverQuota(0, 0), false},
		{"all requests used", p.IsOverQuota(5, 0), true},
		{"a request left", p.IsOverQuota(6, 0), false},
		{"all tokens used", p.IsOverQuota(6, 100), true},
		{"a token left", p.IsOverQuota(6, 101), false},
		{"all money used", p.IsOverBudget(7), true},
		{"money left", p.IsOverBudget(8), false},
		{"no money at all", PeriodUsage{}.IsOverBudget(0), true},
		{"no limit on money", p.IsOverBudget(-1), false},
	} {
		if test.got != test.want {
			t.Errorf("%s: over %v, want %v", test.name, test.got, test.want)
		}
	}
}

func TestNumbersAreBounded(t *testing.T) {
	var n Numbers
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 500 {
		began := Booking{Quota: day(1 + i/20), Budget: day(1 + i/20), Epoch: int64(r.IntN(9))}
		n.RecordSuccess(began, Sample{At: noon.Add(time.Duration(r.IntN(4000)) * time.Second), Total: time.Second}, Usage{Requests: 1})
	}
	if len(n.Quota) != MaxPeriods || len(n.Budget) != MaxPeriods || len(n.Recent) != MaxSamples || len(n.Window) > MaxBuckets {
		t.Errorf("%d and %d periods, %d samples, %d buckets", len(n.Quota), len(n.Budget), len(n.Recent), len(n.Window))
	}
	if !slices.IsSortedFunc(n.Recent, func(a, b Sample) int { return b.At.Compare(a.At) }) || !n.Recent[0].At.Equal(n.LastRequest) {
		t.Errorf("the samples are %v, the newest success at %v", n.Recent, n.LastRequest)
	}
	oldest := n.Window[len(n.Window)-1].Start.Add(-MaxWindow)
	if n.Window[0].Start.Before(oldest) {
		t.Errorf("the window begins at %v, ends at %v", n.Window[0].Start, n.Window[len(n.Window)-1].Start)
	}
}

func TestAWindowRateIsOfOneEpochAndOneWindow(t *testing.T) {
	reports := []Numbers{
		{Window: []Bucket{{noon, 1, 10, 1}, {noon.Add(BucketLength), 1, 20, 2}, {noon.Add(BucketLength), 2, 40, 4}}},
		{Window: []Bucket{{noon.Add(2 * BucketLength), 1, 80, 8}}},
	}
	for name, test := range map[string]struct {
		epoch int64
		from  time.Time
		want  Rate
	}{
		"all of an epoch":                {1, noon, Rate{110, 11}},
		"all of another":                 {2, noon, Rate{40, 4}},
		"of any":                         {AnyEpoch, noon, Rate{150, 15}},
		"a bucket that is cut counts":    {1, noon.Add(9 * time.Second), Rate{110, 11}},
		"one that is over does not":      {1, noon.Add(10 * time.Second), Rate{100, 10}},
		"nothing after the newest":       {1, noon.Add(time.Hour), Rate{}},
		"nothing of an epoch without it": {7, noon, Rate{}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := fleetRate(reports, test.epoch, test.from); got != test.want {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
		})
	}
}

// fleetRate is WindowRate over all reports.
func fleetRate(reports []Numbers, epoch int64, from time.Time) Rate {
	var sum Rate
	for i := range reports {
		rate := WindowRate(reports[i].Window, epoch, from)
		sum.Attempts += rate.Attempts
		sum.Failures += rate.Failures
	}
	return sum
}
