// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package quota

import (
	"math"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// clocked is a purse of requests with its own time, for one story.
type clocked struct {
	*Purse
	t   *testing.T
	now time.Time
}

func newClocked(t *testing.T) *clocked {
	return &clocked{Purse: NewPurse(Key{Requests, midnight}, 0), t: t, now: noon}
}

// after lets time go by.
func (c *clocked) after(d time.Duration) *clocked {
	c.now = c.now.Add(d)
	return c
}

// takes fails unless n can be taken; refuses unless it cannot. Both say whether more is to be asked for.
func (c *clocked) takes(n int64) (ask bool) {
	c.t.Helper()
	taken, ok, ask := c.Take(n)
	if !ok || taken != n {
		c.t.Fatalf("%d could not be taken: %d, %v, with %d free", n, taken, ok, c.Free())
	}
	return ask
}

func (c *clocked) refuses(n int64) (ask bool) {
	c.t.Helper()
	taken, ok, ask := c.Take(n)
	if ok || taken != 0 {
		c.t.Fatalf("%d was taken: %d", n, taken)
	}
	return ask
}

// granted brings a copy.
func (c *clocked) granted(granted, returned, answered int64) *clocked {
	c.Grant(Grant{Key: c.key, Granted: granted, Returned: returned, Answered: answered})
	return c
}

// anything stands for whatever a purse wants beyond what it needs.
const anything = -1

// says fails unless that is what the purse says now.
func (c *clocked) says(want Ask) {
	c.t.Helper()
	want.Key = c.key
	a, ok := c.Ask(c.now, pace)
	if want.Want == anything {
		want.Want = a.Want
	}
	if diff := cmp.Diff(want, a); diff != "" || !ok {
		c.t.Fatalf("it has something to say: %v (-want +got):\n%s", ok, diff)
	}
}

// silent fails if the purse says anything.
func (c *clocked) silent() {
	c.t.Helper()
	if a, ok := c.Ask(c.now, pace); ok {
		c.t.Fatalf("it says %+v", a)
	}
}

func must(t *testing.T, ok bool, sentence string) {
	t.Helper()
	if !ok {
		t.Error("not so: " + sentence)
	}
}

func TestTakeAndPut(t *testing.T) {
	c := newClocked(t)
	c.refuses(1)
	c.granted(10, 0, 0)
	c.takes(4)
	c.takes(6)
	c.refuses(1)
	c.Put(3)
	c.takes(3)
	c.Put(0)
	must(t, c.Free() == 0, "putting back nothing changes nothing")
	c.Put(-5)
	must(t, c.Free() == -5, "more used than set aside is owed")
	c.refuses(1)
	c.takes(0)
	c.Force(5)
	want := Reading{Key: c.key, Granted: 10, Spent: 20, Free: -10}
	if diff := cmp.Diff(want, c.Read()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	c.granted(25, 0, 0)
	c.takes(5)
	c.refuses(1)
}

func TestWhatWasUsedBeforeThereWasALimitCounts(t *testing.T) {
	c := &clocked{Purse: NewPurse(Key{Requests, midnight}, 30), t: t, now: noon}
	c.refuses(1)
	c.says(Ask{Spent: 30, Number: 1, Want: 38, Need: 31})
	must(t, c.Demand(time.Minute) < 10, "but not as if it were used again and again")
	c.granted(38, 0, 1)
	c.takes(8)
	c.refuses(1)
}

func TestOnlyTheFirstOfThoseThatAreRefusedAsks(t *testing.T) {
	c := newClocked(t)
	must(t, c.refuses(5), "the first asks")
	must(t, !c.refuses(5) && !c.refuses(9), "who needs as much or more does not ask again")
	must(t, c.refuses(2), "who needs less does")
	c.says(Ask{Number: 1, Want: 16, Need: 2})
	must(t, !c.refuses(2), "nobody asks again while that is asked for")
	c.granted(2, 0, 1)
	c.takes(2)
	must(t, c.refuses(5), "something came and was not enough for all: the next one asks")
}

func TestBelowAQuarterMoreIsAskedForOnce(t *testing.T) {
	c := newClocked(t).granted(100, 0, 0)
	for range 75 {
		must(t, !c.takes(1), "there is enough")
	}
	must(t, c.takes(1), "the one that goes below asks")
	must(t, !c.takes(1), "the next one does not")
	a, ok := c.Ask(c.now, pace)
	must(t, ok && a.Number == 1 && a.Need == 0 && a.Want > 100 && a.Spent == 77, "it is a wish, and nothing is needed")
	must(t, !c.takes(1), "nobody asks while it is asked for")
	again, _ := c.after(time.Second).Ask(c.now, pace)
	must(t, again.Number == 1 && again.Want == a.Want, "the wish stays as it is until it is answered")
	c.granted(100, 0, 1)
	c.silent()
	asked := 0
	for range 22 {
		if c.takes(1) {
			asked++
			a, ok := c.Ask(c.now, pace)
			must(t, ok && a.Number == int64(asked+1), "it is a new wish")
			c.granted(100, 0, a.Number)
		}
	}
	must(t, asked > 0 && asked <= 4, "when there is no more to be had it is asked for ever less often")
}

func TestWhoUsesMuchAsksEarlier(t *testing.T) {
	c := newClocked(t).granted(10_000, 0, 0)
	for range 500 {
		c.takes(10)
		c.Ask(c.now, pace)
		c.after(100 * time.Millisecond)
	}
	c.takes(c.Free())
	a, _ := c.Ask(c.now, pace)
	c.granted(10_150, 0, a.Number)
	asked := 0
	for !c.takes(1) {
		asked++
	}
	must(t, asked == 75, "a hundred are used in a second, but no more than half is spent before asking")
}

func TestThereIsNoNeedToAskWhenThereIsEnoughForAMinute(t *testing.T) {
	c := newClocked(t).granted(1000, 0, 0)
	low := 0
	for c.Free() > 7 {
		if c.takes(1) {
			low++
		}
		c.silent()
		c.after(9 * time.Second)
	}
	must(t, low == 3, "it is looked at each time a quarter is left of what there was the last time")
}

func TestASmallerNeedIsAWishOfItsOwn(t *testing.T) {
	c := newClocked(t)
	c.refuses(5)
	c.says(Ask{Number: 1, Want: 40, Need: 5})
	c.granted(0, 0, 1)
	c.refuses(2)
	c.says(Ask{Number: 2, Want: 16, Need: 2})
	c.granted(0, 0, 2)
	c.refuses(4)
	c.says(Ask{Number: 2, Want: 16, Need: 2})
}

func TestANeedStandsUntilItIsMetOrForgotten(t *testing.T) {
	c := newClocked(t)
	c.refuses(3)
	want := Ask{Number: 1, Want: 24, Need: 3}
	c.says(want)
	c.granted(0, 0, 1)
	c.after(time.Second).says(want)
	for range 8 {
		c.refuses(3)
		c.after(10 * time.Second).says(want) // and no new number: nothing is written
	}
	c.after(pace.Horizon).silent()
	must(t, c.refuses(3), "after that it is asked for anew")
	c.says(Ask{Number: 2, Want: 24, Need: 3})
	c.granted(24, 0, 2).silent()
	c.takes(3)
}

func TestAWishPressesWhenSomebodyWaitsOrWillBeforeLong(t *testing.T) {
	for name, tc := range map[string]struct {
		ask  Ask
		want bool
	}{
		"an attempt waits":                         {Ask{Number: 1, Want: 8, Need: 1}, true},
		"an attempt waits beside what is left":     {Ask{Number: 4, Granted: 100, Spent: 40, Want: 300, Need: 110}, true},
		"the need is met":                          {Ask{Number: 4, Granted: 110, Spent: 40, Want: 300, Need: 110}, false},
		"a quarter of a minute is left":            {Ask{Number: 2, Granted: 100, Returned: 20, Spent: 60, Want: 160}, false},
		"three seconds are left":                   {Ask{Number: 2, Granted: 100, Returned: 20, Spent: 77, Want: 157}, false},
		"a second is left":                         {Ask{Number: 2, Granted: 100, Returned: 20, Spent: 79, Want: 159}, true},
		"more was used than granted":               {Ask{Number: 2, Granted: 100, Spent: 120, Want: 121}, true},
		"a period that has not begun":              {Ask{Number: 1, Want: 50}, false},
		"nothing is left, and it only gives back":  {Ask{Granted: 100, Returned: 10}, false},
		"numbers that nobody can have do not turn": {Ask{Number: 1, Granted: math.MaxInt64, Spent: math.MaxInt64, Want: math.MaxInt64}, true},
	} {
		if got := tc.ask.Presses(); got != tc.want {
			t.Errorf("%s: %v, want %v", name, got, tc.want)
		}
	}
}

// What could not be said for long, for want of room or turns, is said as soon as it can be: a first wish, too.
func TestAWishWithoutAnAnswerIsNotForgotten(t *testing.T) {
	c := newClocked(t)
	c.refuses(3)
	want := Ask{Number: 1, Want: 24, Need: 3}
	c.says(want)
	c.after(time.Hour).says(want)
	must(t, c.Silent(), "the control plane counts as lost")
	c.Force(3)
	c.granted(0, 0, 1).silent()
	must(t, !c.Silent(), "until it answers, if only with nothing")
}

func TestSilence(t *testing.T) {
	c := newClocked(t)
	c.refuses(1)
	c.says(Ask{Number: 1, Want: 8, Need: 1})
	c.after(silence - 1).says(Ask{Number: 1, Want: 8, Need: 1})
	must(t, !c.Silent(), "there is time yet")
	c.after(1).says(Ask{Number: 1, Want: 8, Need: 1})
	must(t, c.Silent(), "now it is too long")
	c.granted(0, 0, 1)
	must(t, !c.Silent(), "an answer is an answer, if only with nothing")
	c.after(silence).says(Ask{Number: 1, Want: 8, Need: 1})
	must(t, !c.Silent(), "nobody owes one to a wish that was answered")
	for n := int64(2); n < 30; n++ { // wishes that cross with the answers to those before
		c.granted(n-1, 0, n-1)
		c.takes(1)
		c.refuses(1)
		c.after(time.Second)
		if a, ok := c.Ask(c.now, pace); !ok || a.Number != n {
			t.Fatalf("it says %+v", a)
		}
		must(t, !c.Silent(), "the clock starts again with every answer")
	}
}

func TestWhatIsNotUsedIsGivenBack(t *testing.T) {
	c := newClocked(t).granted(10, 0, 0)
	c.takes(4)
	c.silent()
	c.after(pace.Idle - 1).silent()
	c.after(1).says(Ask{Granted: 10, Returned: 6})
	c.refuses(1)
	c.after(time.Second).says(Ask{Granted: 10, Returned: 6, Spent: 4, Number: 1, Want: anything, Need: 11})
	c.granted(11, 6, 1).silent()
	c.takes(1)
}

func TestWhatIsGivenBackIsSaidUntilTheLedgerHasIt(t *testing.T) {
	c := newClocked(t).granted(10, 0, 0)
	c.takes(4)
	c.silent()
	c.after(pace.Idle).says(Ask{Granted: 10, Returned: 6})
	c.granted(10, 0, 0).after(time.Hour).says(Ask{Granted: 10, Returned: 6})
	c.granted(10, 6, 0).silent()
	must(t, c.Free() == 0, "it is subtracted once")
	c.granted(10, 0, 0)
	must(t, c.Free() == 0, "an older copy changes nothing")
}

func TestOneThatWasTooQuickToGiveBackBecomesPatient(t *testing.T) {
	c := newClocked(t)
	gaveBack := 0
	var a Ask
	for range 20 { // somebody comes every fifteen seconds
		if taken, ok, _ := c.Take(1); !ok || taken != 1 {
			a, _ = c.Ask(c.now, pace)
			c.granted(a.Want, a.Returned, a.Number)
			c.takes(1)
		}
		for range 15 {
			before := a.Returned
			a, _ = c.after(time.Second).Ask(c.now, pace)
			if a.Returned > before {
				gaveBack++
			}
			if a.Number > 0 { // what is low is filled
				c.granted(a.Want, a.Returned, a.Number)
			} else {
				c.granted(a.Granted, a.Returned, 0)
			}
		}
	}
	must(t, gaveBack == 1, "it gives back once, asks again, and then waits longer")
	a, _ = c.after(pace.Horizon).Ask(c.now, pace)
	must(t, c.Free() == 0 && a.Returned > 0, "it does not wait for ever")
}

func TestWhatIsWanted(t *testing.T) {
	wanted := func(c *clocked, granted, answered int64) bool {
		return c.Grant(Grant{Key: c.key, Granted: granted, Answered: answered, Wanted: true})
	}
	t.Run("is given back at once by whoever has no use for it", func(t *testing.T) {
		c := newClocked(t)
		must(t, wanted(c, 10, 0), "there is something to give")
		c.after(time.Second).says(Ask{Granted: 10, Returned: 10})
		must(t, !wanted(c, 10, 0), "there is nothing any more")
	})
	t.Run("is kept for a second's use", func(t *testing.T) {
		c := newClocked(t).granted(10000, 0, 0)
		for range 300 {
			c.takes(10)
			c.silent()
			c.after(100 * time.Millisecond)
		}
		wanted(c, 10000, 0)
		a, ok := c.Ask(c.now, pace)
		must(t, ok && c.Free() > 90 && c.Free() < 110 && a.Returned == 7000-c.Free(), "a hundred are used in a second")
	})
	t.Run("is kept for a moment by whoever has waited for it", func(t *testing.T) {
		c := newClocked(t)
		c.refuses(1)
		c.says(Ask{Number: 1, Want: 8, Need: 1})
		c.after(5 * time.Second)
		wanted(c, 8, 1)
		c.says(Ask{Granted: 8, Returned: 7})
		c.after(pinch - 1).says(Ask{Granted: 8, Returned: 7})
		must(t, c.Free() == 1, "one may have it yet")
		c.after(1).says(Ask{Granted: 8, Returned: 8})
	})
	t.Run("is asked for no further than for a second", func(t *testing.T) {
		c := newClocked(t)
		wanted(c, 4, 0)
		c.takes(4)
		c.refuses(1)
		if a, ok := c.Ask(c.now, pace); !ok || a.Want > 5 || a.Need != 5 {
			t.Errorf("it says %+v", a)
		}
	})
}

func TestWhatIsNotEnoughHereIsLeftToOthers(t *testing.T) {
	c := newClocked(t).granted(10, 0, 0)
	c.takes(7)
	c.refuses(5)
	if a, ok := c.Ask(c.now, pace); !ok || a.Returned != 0 || a.Need != 12 {
		t.Fatalf("it says %+v", a)
	}
	c.granted(10, 0, 1).says(Ask{Granted: 10, Returned: 3, Spent: 7, Number: 1, Want: anything, Need: 15})
}

func TestWhatSmallerAttemptsUseIsNotGivenBackForALargerOne(t *testing.T) {
	c := newClocked(t).granted(1000, 0, 0)
	c.refuses(5000)
	a, _ := c.Ask(c.now, pace)
	c.granted(1000, 0, a.Number)
	for range 900 {
		c.takes(1)
		c.refuses(5000)
		a, _ := c.after(20*time.Millisecond).Ask(c.now, pace)
		if a.Returned > 0 {
			t.Fatalf("it gave back %d", a.Returned)
		}
	}
}

func TestTheRest(t *testing.T) {
	rest := func(c *clocked, granted, answered int64) {
		c.Grant(Grant{Key: c.key, Granted: granted, Answered: answered, Rest: true})
	}
	t.Run("is for one attempt, whatever it sets aside", func(t *testing.T) {
		c := newClocked(t)
		c.refuses(100)
		c.says(Ask{Number: 1, Want: 800, Need: 100})
		rest(c, 30, 1)
		taken, ok, _ := c.Take(100)
		must(t, ok && taken == 30, "all of it")
		c.Put(10)
		c.refuses(100)
	})
	t.Run("cannot be used twice by a copy that comes again", func(t *testing.T) {
		c := newClocked(t)
		c.refuses(100)
		c.says(Ask{Number: 1, Want: 800, Need: 100})
		rest(c, 30, 1)
		c.Take(100)
		c.Put(10)
		rest(c, 30, 1)
		c.refuses(100)
		must(t, c.Free() == 10, "nothing came")
	})
	t.Run("ends the wish", func(t *testing.T) {
		c := newClocked(t)
		c.refuses(100)
		c.says(Ask{Number: 1, Want: 800, Need: 100})
		rest(c, 30, 1)
		c.Take(100)
		c.says(Ask{Granted: 30, Spent: 30, Number: 2, Want: anything}) // for more, but nobody waits
		c.refuses(90)
		c.says(Ask{Granted: 30, Spent: 30, Number: 3, Want: anything, Need: 120})
	})
	t.Run("leaves the next one to ask for itself", func(t *testing.T) {
		c := newClocked(t)
		c.refuses(100)
		c.says(Ask{Number: 1, Want: 800, Need: 100})
		rest(c, 30, 1)
		c.Take(100)
		c.refuses(100)
		c.says(Ask{Granted: 30, Spent: 30, Number: 2, Want: anything, Need: 130})
	})
	t.Run("is given back when nobody came for it", func(t *testing.T) {
		c := newClocked(t)
		c.refuses(100)
		c.says(Ask{Number: 1, Want: 800, Need: 100})
		rest(c, 30, 1)
		a, _ := c.Ask(c.now, pace)
		must(t, a.Returned == 0, "not at once")
		a, _ = c.after(time.Minute).Ask(c.now, pace)
		must(t, a.Returned == 30, "but in the end")
		c.Put(5)
		c.refuses(100)
	})
	t.Run("lets smaller attempts be", func(t *testing.T) {
		c := newClocked(t)
		rest(c, 30, 1)
		c.takes(10)
		c.takes(10)
		taken, ok, _ := c.Take(100)
		must(t, ok && taken == 10, "what they leave is the rest")
	})
}

func TestRetiredPursesGiveBackAtOnce(t *testing.T) {
	c := newClocked(t).granted(10, 0, 0)
	c.takes(4)
	c.silent()
	c.Retire()
	c.says(Ask{Granted: 10, Returned: 6})
	c.Put(3)
	c.says(Ask{Granted: 10, Returned: 9})
	c.refuses(2) // what is under way may have to be tried again
	c.says(Ask{Granted: 10, Returned: 9, Spent: 1, Number: 1, Want: 12, Need: 12})
	c.granted(12, 9, 1).takes(2)
	c.silent()
}

func TestAPeriodToCome(t *testing.T) {
	c := &clocked{Purse: NewPurse(Key{Requests, tomorrow}, 0), t: t, now: tomorrow.Add(-4 * time.Minute)}
	c.Expect(50, c.now)
	c.Expect(90, c.now)
	c.says(Ask{Number: 1, Want: 50})
	must(t, !c.Grant(Grant{Key: c.key, Granted: 50, Answered: 1}), "nothing is wanted of it")
	c.after(3 * time.Minute).silent()
	c.Grant(Grant{Key: c.key, Granted: 50, Answered: 1, Wanted: true})
	c.silent()
	c.after(time.Minute).silent()
	must(t, c.Free() == 50, "what was lent before it began is there when it begins")
	c.granted(50, 0, 1)
	c.after(pace.Idle).says(Ask{Granted: 50, Returned: 50})
}

func TestALedgerThatWasSetBackIsTold(t *testing.T) {
	c := newClocked(t).granted(100, 0, 0)
	c.takes(90)
	c.Ask(c.now, pace)
	c.granted(100, 0, 1).silent()
	c.granted(40, 0, 0).says(Ask{Granted: 100})
	must(t, c.Free() == 10, "what was granted stays granted")
	c.granted(100, 0, 1).silent()
	c.after(pace.Idle).says(Ask{Granted: 100, Returned: 10})
	c.granted(100, 10, 1).silent()
	c.granted(100, 0, 1).says(Ask{Granted: 100, Returned: 10})
}

func TestAPurseMadeAnewGoesOnWhereTheLedgerIs(t *testing.T) {
	c := &clocked{Purse: NewPurse(Key{Requests, midnight}, 20), t: t, now: noon}
	c.granted(50, 10, 7)
	must(t, c.Free() == 20, "what was given back and what was used is gone")
	c.takes(20)
	c.refuses(1)
	if a, ok := c.Ask(c.now, pace); !ok || a.Number != 8 || a.Need != 51 {
		t.Errorf("a number that was answered would never be answered again: %+v", a)
	}
}

func TestPaceGrowsWithTheFleet(t *testing.T) {
	if diff := cmp.Diff(Pace{Horizon: time.Minute, Idle: 10 * time.Second}, PaceOf(5*time.Second)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(Pace{Horizon: 80 * time.Second, Idle: 40 * time.Second}, PaceOf(20*time.Second)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestNeverIsMoreTakenThanGranted(t *testing.T) {
	const limit = 100_000
	p := NewPurse(Key{Tokens, midnight}, 0)
	var taken, granted, most atomic.Int64
	var done atomic.Bool
	var users, lender sync.WaitGroup
	for range 8 {
		users.Go(func() {
			for n := int64(1); !done.Load(); n = n%7 + 1 {
				got, ok, _ := p.Take(n)
				if !ok {
					continue
				}
				if sum := taken.Add(got); sum > granted.Load() {
					most.Store(sum)
				}
				if n == 3 { // it was not used, as far as that goes
					taken.Add(-got)
					p.Put(got)
				}
			}
		})
	}
	lender.Go(func() {
		defer done.Store(true)
		now := noon
		for g := int64(0); g < limit; {
			now = now.Add(time.Millisecond)
			a, _ := p.Ask(now, pace)
			g = min(limit, max(g, a.Want)+10)
			granted.Store(g) // it is in the ledger before the copy is
			p.Grant(Grant{Key: p.key, Granted: g, Returned: a.Returned, Answered: a.Number, Rest: g%3 == 0, Wanted: g%5 == 0})
		}
	})
	lender.Wait()
	users.Wait()
	if sum := most.Load(); sum > 0 {
		t.Errorf("%d were taken and not granted yet", sum)
	}
	r := p.Read()
	if r.Spent != taken.Load() || r.Granted != r.Spent+r.Free || r.Free < 0 {
		t.Errorf("%d were taken of %+v", taken.Load(), r)
	}
}
