// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/turnout-ai/turnout/api/v1alpha1"
	"github.com/turnout-ai/turnout/internal/modelstate"
	"github.com/turnout-ai/turnout/internal/translate"
)

// A process that is believed dead goes on under another instance. What its earlier pages hold counts under the
// earlier instance's UID: while they exist, and then as part of the base. So under the new instance it reports
// what it has counted beyond them, and the one question is what they hold for good.
//
// Nobody but this process writes a page's numbers, and it has stopped. So they are what the answer to its last
// write said, whether the page is sealed by now, will be in an hour, or is gone already; there is nothing to
// wait for. That leaves a write whose answer was lost. Each write is bound to the version of the page that it
// was made for, so such a write is settled by any newer version of the page: either it made that version, or it
// came too late. A page that is still at the version of the lost write is therefore written once more. Only when
// the page is gone before any of this is there no answer; then the lost write counts as stored. An attempt can
// so be missing from the books, of one interval at most, but never be in them twice.

// settle finds out what the pages of earlier instances hold for good, and carries it over. New pages wait for
// that; signals do not.
func (r *Reporter) settle(ctx context.Context) error {
	for len(r.former) > 0 {
		content, err := r.settlePage(ctx, r.former[0])
		if err != nil {
			return err
		}
		r.carry(content)
		r.former = r.former[1:]
	}
	return nil
}

func (r *Reporter) settlePage(ctx context.Context, p *page) ([]v1alpha1.EndpointNumbers, error) {
	ctx, cancel := context.WithTimeout(ctx, requestsTimeout)
	defer cancel()
	for try := 1; ; try++ {
		switch {
		case p.attempt == nil:
			return p.stored, nil
		case p.gone:
			return p.attempt, nil
		}
		if err := r.rereadPage(ctx, p); err != nil && !errors.Is(err, errDead) {
			return nil, err
		}
		if p.attempt == nil || p.gone {
			continue
		}
		err := r.updatePage(ctx, p, p.attempt, sizeOf(p.attempt))
		if err != nil && !errors.Is(err, errDead) && (!apierrors.IsConflict(err) || try == statusTries) {
			return nil, fmt.Errorf("finding out what an earlier report holds: %w", err)
		}
	}
}

// record is what is on record of an endpoint under an earlier instance, and since when it is known.
type record struct {
	numbers modelstate.Numbers
	at      time.Time
}

// carry notes what is on record under an earlier instance.
func (r *Reporter) carry(content []v1alpha1.EndpointNumbers) {
	now := r.options.Clock.Now()
	for i := range content {
		n := translate.Numbers(&content[i])
		r.carried[n.Endpoint] = append(r.carried[n.Endpoint], record{n, now})
	}
}

// remaining is what was counted beyond what is on record under earlier instances.
func (r *Reporter) remaining(numbers []modelstate.Numbers, now time.Time) []modelstate.Numbers {
	if len(r.carried) == 0 {
		return numbers
	}
	out := slices.Clone(numbers)
	for i := range out {
		records := current(r.carried[out[i].Endpoint], &numbers[i], now)
		if len(records) == 0 {
			delete(r.carried, out[i].Endpoint)
			continue
		}
		r.carried[out[i].Endpoint] = records
		for _, sealed := range records {
			out[i] = modelstate.Subtract(out[i], sealed.numbers)
		}
	}
	return out
}

// current are the records that still have something in common with what is counted. Periods that are not
// counted any more are forgotten with it. Latencies are counted for some minutes only, so that those on record
// stand for none of the present ones later.
func current(records []record, counted *modelstate.Numbers, now time.Time) []record {
	kept := slices.DeleteFunc(records, func(r record) bool { return apart(&r.numbers, counted) })
	for i := range kept {
		if now.Sub(kept[i].at) > modelstate.MaxWindow {
			kept[i].numbers.FirstToken, kept[i].numbers.Total = modelstate.Histogram{}, modelstate.Histogram{}
		}
	}
	return kept
}

// apart reports whether two numbers have no period in common.
func apart(a, b *modelstate.Numbers) bool {
	share := func(x, y []modelstate.PeriodUsage) bool {
		return slices.ContainsFunc(x, func(p modelstate.PeriodUsage) bool {
			return slices.ContainsFunc(y, func(q modelstate.PeriodUsage) bool { return p.Start.Equal(q.Start) })
		})
	}
	return !share(a.Quota, b.Quota) && !share(a.Budget, b.Budget)
}
