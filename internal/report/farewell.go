// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"context"
	"errors"
	"time"
)

const (
	// farewellTimeout bounds the last word, which a shutdown waits for; numbersTimeout is the part of it that
	// the numbers may take, returnsTimeout that of what is given back and has no room in the last word.
	farewellTimeout = 8 * time.Second
	numbersTimeout  = 5 * time.Second
	returnsTimeout  = 2 * time.Second
	// farewellRetry is the pause between two tries of it.
	farewellRetry = 100 * time.Millisecond
)

// errMore says that there is more to give back than the last word has room for.
var errMore = errors.New("not all leases could be given back")

// farewell says the last word: all numbers, then that nothing follows, and what is given back. The Lease goes, the
// instance stays until the operator has taken its numbers into the books.
func (r *Reporter) farewell(ctx context.Context) {
	if r.mine.watch != nil {
		r.mine.watch.stop()
	}
	if r.mine.instance == nil && len(r.former) == 0 && len(r.options.Book.Numbers(r.options.Clock.Now())) == 0 {
		return // It was never seen, and has nothing to leave.
	}
	r.leaving = true
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), farewellTimeout)
	defer cancel()
	complete := r.insist(ctx, numbersTimeout, r.lastNumbers)
	_ = r.insist(ctx, returnsTimeout, r.giveBack) // What matters is whether the last word has room.
	err := r.insist(ctx, farewellTimeout, func(ctx context.Context) error { return r.end(ctx, complete == nil) })
	if err == nil && r.more {
		err = errMore
	}
	if err = errors.Join(complete, err); err != nil {
		r.options.Logger.WarnContext(ctx, "this proxy's last word could not be said; the operator will take what was said before", "error", err)
	}
}

// insist tries something until it works or the time is over.
func (r *Reporter) insist(ctx context.Context, timeout time.Duration, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	for {
		err := do(ctx)
		if err == nil {
			return nil
		}
		if errors.Is(err, errDead) {
			r.bury(ctx, err)
		}
		timer := r.options.Clock.NewTimer(farewellRetry)
		select {
		case <-ctx.Done():
			timer.Stop()
			return err
		case <-timer.C():
		}
	}
}

// lastNumbers writes all numbers, under a new instance when this process was believed dead meanwhile.
func (r *Reporter) lastNumbers(ctx context.Context) error {
	if r.mine.instance == nil {
		if err := r.enlist(ctx); err != nil {
			return err
		}
		r.mine.watch.stop()
	}
	return r.count(ctx)
}

// giveBack says as much as a status takes, until the operator has taken so much of it that the last word has room
// for the rest. What it has not taken by then counts as used.
func (r *Reporter) giveBack(ctx context.Context) error {
	if r.mine.instance == nil {
		return nil
	}
	if r.status(r.options.Clock.Now()); !r.more {
		return nil
	}
	if err := r.refresh(ctx); err != nil {
		return err
	}
	status := r.status(r.options.Clock.Now())
	if r.mine.said == nil || !sameStatus(r.mine.said, &status) {
		if err := r.write(ctx, status); err != nil {
			return err
		}
	}
	if r.more {
		return errMore
	}
	return nil
}

// end says that nothing follows. final says that the pages hold everything.
func (r *Reporter) end(ctx context.Context, final bool) error {
	if r.mine.instance == nil {
		return nil
	}
	status := r.status(r.options.Clock.Now())
	status.Ended, status.Final = true, final
	err := r.write(ctx, status)
	if errors.Is(err, errDead) {
		err = nil // It has ended already, perhaps by an earlier try without an answer.
	}
	if err == nil {
		r.dropLease(ctx)
	}
	return err
}
