// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package health

import (
	"testing"
	"time"

	"github.com/turnout-ai/turnout/internal/calendar"
	"github.com/turnout-ai/turnout/internal/modelstate"
	"github.com/turnout-ai/turnout/internal/routing"
)

// A clock that was a year ahead, as of a machine that has just woken up, must not leave anything behind that lasts
// that year.
func TestAClockThatIsPutBackLeavesNothingBehind(t *testing.T) {
	const year = 365 * 24 * time.Hour
	window, err := calendar.ParseWindow("0 12 * * *", time.Hour, "")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change  func(*routing.Input)
		happens func(x *rig)
		want    string
	}{
		"a local rest": {happens: func(x *rig) { x.fails(3) }, want: "OnTrial ErrorThreshold"},
		"a pause that was asked for": {happens: func(x *rig) {
			x.begin(0).RateLimited(x.now, time.Hour)
		}, want: "InService"},
		"a provider's word": {happens: func(x *rig) {
			x.begin(0).Said(x.now, modelstate.ModelNotFound, 0, "404")
		}, want: "InService"},
		"the end of a verdict of the fleet": {happens: func(x *rig) {
			x.tell(modelstate.State{Epoch: 2, Verdicts: []modelstate.Verdict{{Reason: modelstate.RateLimited, Until: start.Add(time.Minute)}}})
			x.stands()
		}, want: "Barred RateLimited 1m0s"},
		"a maintenance": {
			change: func(in *routing.Input) { in.Endpoints[0].Maintenance = []calendar.Window{window} },
			happens: func(x *rig) {
				x.pass(2 * time.Hour)
				if got := x.view.Standing(0, x.now); got.Reason != modelstate.MaintenanceWindow {
					x.Errorf("%s in a window", got)
				}
				x.pass(-2 * time.Hour)
			},
			want: "InService",
		},
	} {
		t.Run(name, func(t *testing.T) {
			x := newRig(t, "a", c.change)
			x.pass(year)
			c.happens(x)
			x.now = start.UnixNano()
			if got := x.stands(); got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
}

func TestAfterAClockIsPutBackPausesAndRestsCountAgain(t *testing.T) {
	x := newRig(t, "a", nil)
	x.pass(24 * time.Hour)
	x.fails(3)
	x.begin(0).RateLimited(x.now, time.Hour)
	x.now = start.UnixNano()
	if until := x.begin(0).RateLimited(x.now, time.Minute); until != x.now+60*second {
		t.Errorf("a pause of a minute ends in %s", time.Duration(until-x.now))
	}
	x.pass(2 * time.Minute)
	if got := x.stands(); got != "OnTrial ErrorThreshold" {
		t.Error(got)
	}
	x.fails(1)
	if got := x.stands(); got != "Resting ErrorThreshold 1m0s" {
		t.Error(got)
	}
}

func TestUseIsBookedByTheClockAsItIs(t *testing.T) {
	x := newRig(t, "a", nil)
	x.succeeds(1)
	x.pass(24 * time.Hour)
	x.succeeds(1)
	x.pass(-24 * time.Hour)
	x.succeeds(2)
	n := x.r.Numbers(moment(x.now))[0]
	if len(n.Quota) != 2 || n.Quota[0].Requests != 3 || n.Quota[1].Requests != 1 {
		t.Errorf("%+v, want three today and one tomorrow", n.Quota)
	}
}
