// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package modelstate

import (
	"cmp"
	"slices"
	"time"
)

// Fold is what the books of an endpoint rest on: totals are the base and the reports of every instance that is
// not in the record.
type Fold struct {
	// Quota and Budget are the base, oldest period first.
	Quota, Budget []PeriodUsage
	// Instances is the record of those that are in the base, by UID.
	Instances []Folded
}

// Folded is an instance whose numbers are in the base.
type Folded struct {
	UID string
	// GoneSince is when it was first known to exist no longer; zero while it may.
	GoneSince time.Time
}

// FoldMemory is how long an instance stays in the record after it is gone. No cache can hold it then.
const FoldMemory = 10 * time.Minute

// Report is what one instance has counted of the endpoint.
type Report struct {
	// Instance is the UID of the ProxyInstance.
	Instance string
	Numbers  Numbers
}

// find is the instance's place in the record.
func (f *Fold) find(uid string) (int, bool) {
	return slices.BinarySearchFunc(f.Instances, uid, func(i Folded, uid string) int { return cmp.Compare(i.UID, uid) })
}

// Has reports whether an instance's numbers are in the base.
func (f *Fold) Has(uid string) bool {
	_, found := f.find(uid)
	return found
}

// Take adds the final numbers of an instance to the base. Taking one in again changes nothing.
func (f Fold) Take(r Report) Fold {
	at, found := f.find(r.Instance)
	if found {
		return f
	}
	f.Quota = SumPeriods(f.Quota, r.Numbers.Quota)
	f.Budget = SumPeriods(f.Budget, r.Numbers.Budget)
	f.Instances = slices.Insert(slices.Clone(f.Instances), at, Folded{UID: r.Instance})
	return f
}

// Gone notes that an instance no longer exists. It was gone before when that was noted before.
func (f Fold) Gone(uid string, now time.Time) Fold {
	at, found := f.find(uid)
	if !found || !f.Instances[at].GoneSince.IsZero() {
		return f
	}
	f.Instances = slices.Clone(f.Instances)
	f.Instances[at].GoneSince = second(now)
	return f
}

// Trim forgets the instances that have been gone for FoldMemory, and the periods before the oldest that are
// still shown.
func (f Fold) Trim(quota, budget, now time.Time) Fold {
	f.Quota = KeepPeriods(f.Quota, quota)
	f.Budget = KeepPeriods(f.Budget, budget)
	forgotten := func(i Folded) bool { return !i.GoneSince.IsZero() && now.Sub(i.GoneSince) > FoldMemory }
	if slices.ContainsFunc(f.Instances, forgotten) {
		f.Instances = slices.DeleteFunc(slices.Clone(f.Instances), forgotten)
	}
	return f
}

// Counted are the reports that are not in the base yet.
func (f *Fold) Counted(reports []Report) []Numbers {
	var counted []Numbers
	for i := range reports {
		if !f.Has(reports[i].Instance) {
			counted = append(counted, reports[i].Numbers)
		}
	}
	return counted
}

// Totals are the books: the base, and the reports that are not in it.
func (f *Fold) Totals(reports []Report) (quota, budget []PeriodUsage) {
	quota, budget = SumPeriods(f.Quota), SumPeriods(f.Budget)
	for _, n := range f.Counted(reports) {
		quota, budget = SumPeriods(quota, n.Quota), SumPeriods(budget, n.Budget)
	}
	return quota, budget
}
