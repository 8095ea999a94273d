// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/turnout-ai/turnout/api/v1alpha1"
	"github.com/turnout-ai/turnout/internal/modelstate"
	"github.com/turnout-ai/turnout/internal/translate"
)

// maxFolded is the API's bound on the record. What does not fit is taken in when others have left.
const maxFolded = 4096

// readFold reads what the books of an endpoint rest on.
func readFold(from *v1alpha1.Fold) modelstate.Fold {
	if from == nil {
		return modelstate.Fold{}
	}
	out := modelstate.Fold{Quota: translate.PeriodUsages(from.Quota), Budget: translate.PeriodUsages(from.Budget)}
	for i := range from.Instances {
		f := modelstate.Folded{UID: from.Instances[i].UID}
		if since := from.Instances[i].GoneSince; since != nil {
			f.GoneSince = since.UTC()
		}
		out.Instances = append(out.Instances, f)
	}
	slices.SortFunc(out.Instances, func(a, b modelstate.Folded) int { return strings.Compare(a.UID, b.UID) })
	return out
}

// writeFold writes them; nil when there is nothing.
func writeFold(from *modelstate.Fold) *v1alpha1.Fold {
	if len(from.Quota) == 0 && len(from.Budget) == 0 && len(from.Instances) == 0 {
		return nil
	}
	out := &v1alpha1.Fold{Quota: translate.APIPeriodUsages(from.Quota), Budget: translate.APIPeriodUsages(from.Budget)}
	for _, f := range from.Instances {
		folded := v1alpha1.FoldedInstance{UID: f.UID}
		if !f.GoneSince.IsZero() {
			folded.GoneSince = new(metav1.NewTime(f.GoneSince))
		}
		out.Instances = append(out.Instances, folded)
	}
	return out
}

// takeIn adds to the base what processes have counted whose numbers are their last, and returns the numbers of
// the others that count. Processes that have leases, or were told of some, go into the record with the numbers of
// this endpoint that they have, if only none: it is what says that their leases are closed.
func (t *testimony) takeIn(fold modelstate.Fold, about *dossier, leased []string, gone func(uid string) bool) (modelstate.Fold, []*counted) {
	var open []*counted
	for _, c := range about.numbers {
		switch {
		case fold.Has(c.proxy):
		case t.final[c.proxy] && len(fold.Instances) < maxFolded:
			fold = fold.Take(modelstate.Report{Instance: c.proxy, Numbers: modelstate.Numbers{Quota: c.quota, Budget: c.budget}})
		default:
			open = append(open, c)
		}
	}
	for _, list := range [][]string{leased, about.granted} {
		for _, uid := range list {
			if (t.final[uid] || !t.known[uid] && gone(uid)) && len(fold.Instances) < maxFolded {
				fold = fold.Take(modelstate.Report{Instance: uid})
			}
		}
	}
	return fold, open
}

// forget notes which processes of the record are gone, and forgets those that have been for long enough, and
// periods that nobody asks for any more. A cache that still holds one that is gone is behind: then the UID in the
// record is what keeps its numbers out, and none is forgotten.
func (t *testimony) forget(fold modelstate.Fold, gone func(uid string) bool, quota, budget, now time.Time) modelstate.Fold {
	behind := false
	for _, f := range fold.Instances {
		switch {
		case t.known[f.UID]:
			behind = behind || !f.GoneSince.IsZero()
		case f.GoneSince.IsZero() && gone(f.UID):
			fold = fold.Gone(f.UID, now)
		}
	}
	if behind {
		fold.Quota, fold.Budget = modelstate.KeepPeriods(fold.Quota, quota), modelstate.KeepPeriods(fold.Budget, budget)
		return fold
	}
	return fold.Trim(quota, budget, now)
}

// foldChanges is when time alone changes the record; zero when it does not.
func (t *testimony) foldChanges(fold *modelstate.Fold, now time.Time) time.Time {
	var next time.Time
	for _, f := range fold.Instances {
		switch {
		case t.known[f.UID]:
		case f.GoneSince.IsZero():
			next = earliest(next, now.Add(askForAbsence))
		default:
			at := f.GoneSince.Add(modelstate.FoldMemory + time.Nanosecond)
			if !at.After(now) { // It stays while a cache is behind.
				at = now.Add(askForAbsence)
			}
			next = earliest(next, at)
		}
	}
	return next
}
