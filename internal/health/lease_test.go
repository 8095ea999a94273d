// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package health

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/turnout-ai/turnout/internal/calendar"
	"github.com/turnout-ai/turnout/internal/modelstate"
	"github.com/turnout-ai/turnout/internal/quota"
	"github.com/turnout-ai/turnout/internal/routing"
)

// interval is how often the proxies of these tests report.
const interval = 5 * time.Second

// limits is a change for newRig.
func limits(l routing.Limits) func(*routing.Input) {
	return func(in *routing.Input) {
		for i := range in.Endpoints {
			in.Endpoints[i].Limits = l
		}
	}
}

// today is the period that the rig's clock is in.
func (x *rig) today() time.Time { return moment(x.now).Truncate(24 * time.Hour) }

// asks are those about endpoint a.
func (x *rig) asks() []quota.Ask {
	for _, e := range x.r.Asks(moment(x.now), interval) {
		if e.UID == "uid-a" {
			return e.Asks
		}
	}
	return nil
}

// ask is what is said about a limit of a in a period.
func (x *rig) ask(limit quota.Limit, start time.Time) (quota.Ask, bool) {
	for _, a := range x.asks() {
		if a.Limit == limit && a.Start.Equal(start) {
			return a, true
		}
	}
	return quota.Ask{}, false
}

// lend grants leases of today, for a.
func (x *rig) lend(grants ...quota.Grant) {
	for i := range grants {
		if grants[i].Start.IsZero() {
			grants[i].Start = x.today()
		}
	}
	x.r.Granted([]quota.EndpointGrant{{Endpoint: quota.Endpoint{UID: "uid-a"}, Grants: grants}}, 1, moment(x.now))
}

func grant(limit quota.Limit, granted int64) quota.Grant {
	return quota.Grant{Key: quota.Key{Limit: limit}, Granted: granted}
}

// tries begins an attempt of a that needs so many tokens and nano-dollars.
func (x *rig) tries(tokens, cost int64) (*Attempt, Refusal) {
	x.request++
	a, no := x.view.Endpoint(0).Begin(x.now, x.request, Need{Tokens: tokens, Cost: cost})
	return &a, no
}

// admitted is tries for one that must be admitted.
func (x *rig) admitted(tokens, cost int64) *Attempt {
	x.Helper()
	a, no := x.tries(tokens, cost)
	if no.Limit != 0 {
		x.Fatalf("refused: %+v", no)
	}
	return a
}

// refused is tries for one that must not be admitted.
func (x *rig) refused(tokens, cost int64) Refusal {
	x.Helper()
	_, no := x.tries(tokens, cost)
	if no.Limit == 0 {
		x.Fatal("admitted")
	}
	return no
}

// free is what the purse of a limit has today.
func (x *rig) free(limit Limit) int64 {
	for _, r := range x.view.Endpoint(0).ReadLimits(x.now) {
		if r.Limit == limit {
			return r.Free
		}
	}
	x.Errorf("no reading of %s", limit)
	return 0
}

func TestAnAttemptIsAdmittedOnlyOutOfAGrant(t *testing.T) {
	x := newRig(t, "a", limits(routing.Limits{Requests: 10, Tokens: 1000, Budget: 5000}))
	if no := x.refused(100, 500); no != (Refusal{Limit: Budget}) {
		t.Errorf("%+v, want the first by precedence", no)
	}
	if !x.urgent() {
		t.Error("nobody is told that something is needed")
	}
	var said []string
	for _, a := range x.asks() {
		said = append(said, fmt.Sprint(a.Limit, " ", a.Need))
	}
	if diff := cmp.Diff([]string{"Requests 1", "Tokens 100", "Budget 500"}, said); diff != "" {
		t.Errorf("all that is short is asked for at once: %s", diff)
	}
	x.lend(grant(quota.Requests, 2), grant(quota.Tokens, 250), grant(quota.Budget, 900))
	x.admitted(100, 500)
	if no := x.refused(100, 500); no.Limit != Budget {
		t.Errorf("%+v", no)
	}
	if x.free(Requests) != 1 || x.free(Tokens) != 150 || x.free(Budget) != 400 {
		t.Errorf("%d requests, %d tokens, %d nano-dollars are free: a refusal takes nothing", x.free(Requests), x.free(Tokens), x.free(Budget))
	}
	x.admitted(100, 400)
	if no := x.refused(0, 0); no.Limit != Requests {
		t.Errorf("%+v", no)
	}
	if n := x.r.Numbers(moment(x.now))[0].Quota[0].Requests; n != 2 {
		t.Errorf("%d attempts are in the books, want those that were admitted", n)
	}
}

func TestHowAnAttemptEndsSettlesItsPursesOnce(t *testing.T) {
	lent := routing.Limits{Requests: 10, Tokens: 1000, Budget: 10_000}
	for name, c := range map[string]struct {
		ends func(x *rig, a *Attempt)
		want [3]int64 // free requests, tokens and nano-dollars of 5, 500 and 5000
	}{
		"nothing was sent": {func(x *rig, a *Attempt) { a.Refund(); a.Failure(x.now, Unconnected, "refused") }, [3]int64{5, 500, 5000}},
		"an answer as it was expected": {func(x *rig, a *Attempt) {
			a.Settle(modelstate.Tokens{Input: 60, Output: 40}, 1000, false)
			x.succeed(a)
		}, [3]int64{4, 400, 4000}},
		"a short answer":             {func(x *rig, a *Attempt) { a.Settle(modelstate.Tokens{Input: 10}, 100, false); x.succeed(a) }, [3]int64{4, 490, 4900}},
		"an answer beyond all":       {func(x *rig, a *Attempt) { a.Settle(modelstate.Tokens{Output: 700}, 7000, false); x.succeed(a) }, [3]int64{4, -200, -2000}},
		"an error that uses nothing": {func(x *rig, a *Attempt) { x.fail(a) }, [3]int64{4, 500, 5000}},
		"the provider asks to wait":  {func(x *rig, a *Attempt) { a.RateLimited(x.now, 0) }, [3]int64{4, 500, 5000}},
		"the provider refuses":       {func(x *rig, a *Attempt) { a.Said(x.now, modelstate.ModelNotFound, 0, "404") }, [3]int64{4, 500, 5000}},
		"the caller left":            {func(x *rig, a *Attempt) { a.Settle(modelstate.Tokens{Input: 60}, 600, true); a.Neutral(x.now, false) }, [3]int64{4, 440, 4400}},
		"a stream that ends after midnight": {func(x *rig, a *Attempt) {
			a.Shown()
			x.pass(24 * time.Hour)
			a.Settle(modelstate.Tokens{Output: 30}, 300, false)
			x.succeed(a)
			x.pass(-24 * time.Hour)
		}, [3]int64{4, 470, 4700}},
		"a table without the endpoint": {func(x *rig, a *Attempt) {
			all := x.input.Endpoints
			x.input.Endpoints = nil
			x.bind()
			a.Settle(modelstate.Tokens{Output: 30}, 300, false)
			x.succeed(a)
			x.input.Endpoints = all
			x.bind()
			x.begin(0).Refund() // so that the period is open again
		}, [3]int64{4, 470, 4700}},
	} {
		t.Run(name, func(t *testing.T) {
			x := newRig(t, "a", limits(lent))
			x.refused(1, 1)
			x.lend(grant(quota.Requests, 5), grant(quota.Tokens, 500), grant(quota.Budget, 5000))
			c.ends(x, x.admitted(100, 1000))
			if got := [3]int64{x.free(Requests), x.free(Tokens), x.free(Budget)}; got != c.want {
				t.Errorf("free %v, want %v", got, c.want)
			}
		})
	}
}

func TestWhatWasUsedBeyondTheGrantIsPaidFirst(t *testing.T) {
	x := newRig(t, "a", limits(routing.Limits{Tokens: 1000}))
	x.refused(100, 0)
	x.lend(grant(quota.Tokens, 100))
	a := x.admitted(100, 0)
	a.Settle(modelstate.Tokens{Output: 350}, 0, false)
	x.succeed(a)
	x.refused(1, 0)
	x.lend(grant(quota.Tokens, 350))
	x.refused(1, 0)
	x.lend(grant(quota.Tokens, 351))
	x.admitted(1, 0)
}

func TestWhatWasUsedBeforeThereWasALimitCounts(t *testing.T) {
	x := newRig(t, "a", nil)
	for range 3 {
		a := x.begin(0)
		a.Settle(modelstate.Tokens{Output: 10}, 0, false)
		x.succeed(a)
	}
	late := x.begin(0)
	limits(routing.Limits{Requests: 100, Tokens: 100})(&x.input)
	x.bind()
	if x.free(Requests) != -4 || x.free(Tokens) != -30 {
		t.Errorf("%d requests and %d tokens are free", x.free(Requests), x.free(Tokens))
	}
	late.Settle(modelstate.Tokens{Output: 5}, 0, false)
	x.succeed(late)
	if x.free(Tokens) != -35 {
		t.Errorf("%d tokens are free: what began before settles now", x.free(Tokens))
	}
	x.refused(5, 0)
	x.lend(grant(quota.Requests, 5), grant(quota.Tokens, 40))
	x.admitted(5, 0)
	x.refused(0, 0)

	// While the limit is away the period goes on counting.
	limits(routing.Limits{})(&x.input)
	x.bind()
	x.succeed(x.begin(0))
	if a := x.asks(); len(a) != 0 {
		t.Errorf("%+v is said, want no wish for what is not limited", a)
	}
	limits(routing.Limits{Requests: 100})(&x.input)
	x.bind()
	if x.free(Requests) != -1 {
		t.Errorf("%d requests are free, want what was used without a limit to be owed", x.free(Requests))
	}
}

func TestAPurseIsNotForgottenWithTheTable(t *testing.T) {
	x := newRig(t, "a b", limits(routing.Limits{Requests: 100}))
	x.refused(0, 0)
	x.lend(grant(quota.Requests, 3))
	x.succeed(x.admitted(0, 0))
	x.succeed(x.admitted(0, 0))
	all := x.input.Endpoints
	x.input.Endpoints = all[1:]
	x.bind()
	for range 3 {
		x.pass(time.Second)
		x.asks()
	}
	x.input.Endpoints = all
	x.bind()
	x.lend(grant(quota.Requests, 3))
	x.succeed(x.admitted(0, 0))
	x.refused(0, 0)
}

func TestANewInstanceHasNothing(t *testing.T) {
	x := newRig(t, "a", limits(routing.Limits{Requests: 100, Tokens: 1000}))
	x.refused(10, 0)
	x.lend(grant(quota.Requests, 50), grant(quota.Tokens, 500))
	old := x.admitted(10, 0)
	x.r.Disowned()
	x.refused(10, 0)
	a, ok := x.ask(quota.Requests, x.today())
	if !ok || a.Granted != 0 || a.Spent != 0 || a.Returned != 0 || a.Number != 1 || a.Need != 1 {
		t.Errorf("%+v, want the wish of somebody who has nothing and has spent nothing", a)
	}
	x.lend(grant(quota.Requests, 1), grant(quota.Tokens, 10))
	old.Settle(modelstate.Tokens{Output: 400}, 0, false)
	x.succeed(old)
	x.admitted(10, 0)
	x.refused(1, 0)
}

func TestIdleGrantsGoBackAndAtOnceAtTheEnd(t *testing.T) {
	x := newRig(t, "a", limits(routing.Limits{Requests: 100}))
	x.refused(0, 0)
	x.asks()
	x.lend(quota.Grant{Key: quota.Key{Limit: quota.Requests}, Granted: 20, Answered: 1})
	x.succeed(x.admitted(0, 0))
	under := x.admitted(0, 0)
	if a, said := x.ask(quota.Requests, x.today()); said {
		t.Errorf("%+v is said, want nothing: it is all used", a)
	}
	x.r.Retire()
	if !x.urgent() {
		t.Error("nobody is told that something is given back")
	}
	if a, _ := x.ask(quota.Requests, x.today()); a.Returned != 18 || a.Number != 0 {
		t.Errorf("%+v, want all but what is used and under way", a)
	}
	under.Refund()
	x.fail(under)
	if a, _ := x.ask(quota.Requests, x.today()); a.Returned != 19 {
		t.Errorf("%+v, want what came back too", a)
	}
	x.lend(quota.Grant{Key: quota.Key{Limit: quota.Requests}, Granted: 20, Returned: 19, Answered: 1})
	if a, said := x.ask(quota.Requests, x.today()); said {
		t.Errorf("%+v is said again", a)
	}
	x.refused(0, 0)
	if a, _ := x.ask(quota.Requests, x.today()); a.Need != 21 || a.Want != 21 {
		t.Errorf("%+v, want the one request that is needed all the same", a)
	}
}

func TestTheNextPeriodIsAskedForEarlyIfThereIsDemand(t *testing.T) {
	for name, demand := range map[string]bool{"a busy endpoint": true, "an idle one": false} {
		t.Run(name, func(t *testing.T) {
			x := newRig(t, "a", limits(routing.Limits{Requests: 100_000}))
			tomorrow := x.today().Add(24 * time.Hour)
			x.now = nanos(tomorrow.Add(-6 * time.Minute))
			x.refused(0, 0)
			x.lend(grant(quota.Requests, 50_000))
			earliest := time.Duration(0)
			for earliest == 0 && moment(x.now).Before(tomorrow) {
				if demand {
					x.succeeds(1)
				}
				if a, said := x.ask(quota.Requests, tomorrow); said {
					earliest = tomorrow.Sub(moment(x.now))
					if a.Number != 1 || a.Want <= 0 || a.Spent != 0 {
						t.Errorf("%+v", a)
					}
				}
				x.pass(time.Second)
			}
			if asked := earliest != 0; asked != demand || earliest > quota.Early || asked && earliest < time.Minute-2*time.Second {
				t.Fatalf("asked for %s before it begins", earliest)
			}
			if !demand {
				return
			}
			x.lend(
				quota.Grant{Key: quota.Key{Limit: quota.Requests, Start: tomorrow}, Granted: 7, Answered: 1},
				grant(quota.Requests, 50_000),
			)
			x.now = nanos(tomorrow)
			if a, said := x.ask(quota.Requests, tomorrow); said {
				t.Errorf("%+v: what was lent for today is given back before anybody could use it", a)
			}
			for _, n := range x.r.Numbers(moment(x.now)) {
				if len(n.Quota) != 1 {
					t.Errorf("a period without use is reported: %+v", n.Quota)
				}
			}
			for range 7 {
				x.succeed(x.admitted(0, 0))
			}
			x.refused(0, 0)
		})
	}
}

func TestPursesOfPeriodsThatAreOverAreForgotten(t *testing.T) {
	x := newRig(t, "a", limits(routing.Limits{Requests: 100}))
	x.refused(0, 0)
	x.lend(grant(quota.Requests, 10))
	x.succeed(x.admitted(0, 0))
	x.pass(time.Second)
	x.asks()
	yesterday := x.today()
	lease := quota.Grant{Key: quota.Key{Limit: quota.Requests, Start: yesterday}, Granted: 10}
	x.now = nanos(yesterday.Add(24*time.Hour + 30*time.Second))
	x.lend(lease)
	if a, said := x.ask(quota.Requests, yesterday); !said || a.Returned != 9 || a.Number != 0 {
		t.Errorf("%+v, want what was not used back", a)
	}
	x.pass(2 * time.Minute)
	if _, said := x.ask(quota.Requests, yesterday); !said {
		t.Error("it is not said any more, and nobody has heard it")
	}
	lease.Returned = 9
	x.lend(lease)
	if a := x.asks(); len(a) != 0 {
		t.Errorf("%+v", a)
	}
	if n := len(x.r.wallets["uid-a"].entries); n != 0 {
		t.Errorf("%d purses are kept", n)
	}
	x.input.Endpoints = nil
	x.bind()
	x.asks()
	if n := len(x.r.wallets); n != 0 {
		t.Errorf("%d wallets of deleted endpoints are kept", n)
	}
}

// A day that becomes the first of a month goes on with what it has: its purse ends with the month then.
func TestAPeriodThatBecomesLongerKeepsItsPurse(t *testing.T) {
	x := newRig(t, "a", limits(routing.Limits{Requests: 100}))
	x.now = nanos(time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC))
	march := x.today()
	x.refused(0, 0)
	x.lend(quota.Grant{Key: quota.Key{Limit: quota.Requests, Start: march}, Granted: 1, Answered: 1})
	x.succeed(x.admitted(0, 0))
	x.input.Endpoints[0].QuotaPeriod = calendar.Period{Unit: calendar.Monthly}
	x.bind()
	x.refused(0, 0)
	x.pass(48 * time.Hour)
	x.asks()
	x.refused(0, 0)
	if a, said := x.ask(quota.Requests, march); !said || a.Need == 0 || a.Spent != 1 {
		t.Errorf("%+v, said %v: want more asked for of what began with the day", a, said)
	}
}

// An endpoint that is deleted takes its ledger along: nobody will ever confirm what is given back.
func TestADeletedEndpointIsNotSpokenOfForEver(t *testing.T) {
	x := newRig(t, "a", limits(routing.Limits{Requests: 100}))
	x.refused(0, 0)
	x.lend(grant(quota.Requests, 10))
	x.input.Endpoints = nil
	x.bind()
	x.asks()
	x.pass(30 * time.Second)
	if a, said := x.ask(quota.Requests, x.today()); !said || a.Returned != 10 || a.Number != 0 {
		t.Errorf("%+v, want all of it back", a)
	}
	x.pass(time.Minute)
	if all := x.r.Asks(moment(x.now), interval); len(all) != 0 {
		t.Errorf("%+v", all)
	}
}

func TestUsedUpLimitsBarOnlyWithAnEmptyPurse(t *testing.T) {
	x := newRig(t, "a", limits(routing.Limits{Requests: 100, Budget: 1000}))
	midnight := x.today().Add(24 * time.Hour)
	x.refused(0, 0)
	x.lend(grant(quota.Requests, 1), grant(quota.Budget, 1000))
	x.tell(modelstate.State{Verdicts: []modelstate.Verdict{{Reason: modelstate.RequestLimit, Until: midnight}}})
	if got := x.stands(); got != "InService" {
		t.Errorf("%s with a request in the purse", got)
	}
	x.succeed(x.admitted(0, 10))
	left := midnight.Sub(moment(x.now)).Round(time.Second)
	if got, want := x.stands(), "Barred RequestLimit "+left.String(); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if no := x.refused(0, 10); no != (Refusal{Limit: Requests, Until: nanos(midnight), Exhausted: true}) {
		t.Errorf("%+v", no)
	}
	x.now = nanos(midnight)
	if got := x.stands(); got != "InService" {
		t.Errorf("%s in the next period", got)
	}
	x.now--
	limits(routing.Limits{Budget: 1000})(&x.input)
	x.bind()
	if got := x.stands(); got != "InService" {
		t.Errorf("%s: the spec has no such limit any more", got)
	}
}

func TestOfSeveralLimitsTheOneThatIsUsedUpIsShown(t *testing.T) {
	x := newRig(t, "a", limits(routing.Limits{Requests: 100, Budget: 1000}))
	midnight := x.today().Add(24 * time.Hour)
	x.tell(modelstate.State{Verdicts: []modelstate.Verdict{{Reason: modelstate.RequestLimit, Until: midnight}}})
	if no := x.refused(0, 10); no.Limit != Requests || !no.Exhausted {
		t.Errorf("%+v, want the one that ends last", no)
	}
}

func TestWithoutAnOperatorFailOpenGoesOn(t *testing.T) {
	for name, open := range map[string]bool{"FailOpen": true, "FailClosed": false} {
		t.Run(name, func(t *testing.T) {
			x := newRig(t, "a", limits(routing.Limits{Requests: 100, FailOpen: open}))
			var no Refusal
			for range 100 { // ten seconds less a hundred milliseconds; nobody makes a report
				no = x.refused(0, 0)
				x.pass(99 * time.Millisecond)
			}
			if no.Lost {
				t.Error("given up too early")
			}
			x.pass(2 * time.Second)
			a, no := x.tries(0, 0)
			if admitted := no.Limit == 0; admitted != open || !open && !no.Lost {
				t.Fatalf("%+v", no)
			}
			if !open {
				return
			}
			x.succeed(a)
			x.asks()
			x.lend(quota.Grant{Key: quota.Key{Limit: quota.Requests}, Granted: 1, Answered: 1})
			if no := x.refused(0, 0); no.Lost {
				t.Errorf("%+v: somebody has answered, and what was used is owed", no)
			}
		})
	}
}

func TestWithoutAnOperatorAllLimitsFailOpenTogether(t *testing.T) {
	x := newRig(t, "a", limits(routing.Limits{Requests: 100, Tokens: 1000, Budget: 1000, FailOpen: true}))
	for range 130 { // nobody makes a report
		if a, no := x.tries(1, 1); no.Limit == 0 {
			x.succeed(a)
			return
		}
		x.pass(100 * time.Millisecond)
	}
	t.Error("nothing is admitted after thirteen seconds without an answer")
}

// Who has an answer already waits for others to give something back; a place in a report is worth more to who has none.
func TestAWishWithoutAnAnswerIsSaidFirst(t *testing.T) {
	x := newRig(t, "a b", limits(routing.Limits{Requests: 100}))
	x.refused(0, 0)
	x.asks()
	x.lend(quota.Grant{Key: quota.Key{Limit: quota.Requests}, Answered: 1})
	_, _ = x.view.Endpoint(1).Begin(x.now, 9, Need{})
	var said []string
	for _, ask := range x.r.Asks(moment(x.now), interval) {
		said = append(said, fmt.Sprint(ask.Name, ask.Unheard))
	}
	if diff := cmp.Diff([]string{"btrue", "afalse"}, said); diff != "" {
		t.Error(diff)
	}
}

func TestLimitsPerMinuteAreSharesOfThisProxy(t *testing.T) {
	minute := routing.Limits{RequestsPerMinute: 60, TokensPerMinute: 6000, ConcurrentRequests: 4}
	for name, c := range map[string]struct {
		limits  routing.Limits
		share   *quota.Amounts
		proxies int
		tokens  int64
		want    int // attempts that are admitted at once
		refuses Limit
	}{
		"alone, a tenth of the requests comes at once": {routing.Limits{RequestsPerMinute: 66}, nil, 1, 0, 6, RequestsPerMinute},
		"one of ten before it was told":                {routing.Limits{RequestsPerMinute: 1320}, nil, 10, 0, 6, RequestsPerMinute},
		"with a share":                                 {routing.Limits{RequestsPerMinute: 66}, &quota.Amounts{RequestsPerMinute: 33, TokensPerMinute: -1, ConcurrentRequests: -1}, 10, 0, 3, RequestsPerMinute},
		"a share of a limit that was lowered since":    {routing.Limits{RequestsPerMinute: 66}, &quota.Amounts{RequestsPerMinute: 600, TokensPerMinute: -1, ConcurrentRequests: -1}, 1, 0, 6, RequestsPerMinute},
		"tokens":                         {routing.Limits{TokensPerMinute: 6666}, nil, 1, 100, 6, TokensPerMinute},
		"attempts at once":               {minute, nil, 1, 100, 4, ConcurrentRequests},
		"a share of the attempts":        {minute, &quota.Amounts{RequestsPerMinute: 60, TokensPerMinute: 6000, ConcurrentRequests: 2}, 1, 100, 2, ConcurrentRequests},
		"none of them before it is told": {minute, nil, 10, 100, 0, ConcurrentRequests},
	} {
		t.Run(name, func(t *testing.T) {
			x := newRig(t, "a", limits(c.limits))
			x.r.Granted([]quota.EndpointGrant{{Endpoint: quota.Endpoint{UID: "uid-a"}, Share: c.share}}, c.proxies, moment(x.now))
			n := 0
			for n <= c.want {
				_, no := x.tries(c.tokens, 0)
				if no.Limit != 0 {
					if no.Limit != c.refuses || no.Exhausted || (no.Until != 0) != (c.refuses != ConcurrentRequests) {
						t.Errorf("%+v, want %s", no, c.refuses)
					}
					break
				}
				n++
			}
			if n != c.want {
				t.Errorf("%d at once, want %d", n, c.want)
			}
			if !x.urgent() {
				t.Error("nobody is told of a demand without a share")
			}
		})
	}
}

func TestWhatIsNotUsedOfAMinuteComesBack(t *testing.T) {
	x := newRig(t, "a", limits(routing.Limits{RequestsPerMinute: 10, TokensPerMinute: 1000, ConcurrentRequests: 1}))
	refund := x.admitted(100, 0)
	if no := x.refused(0, 0); no.Limit != ConcurrentRequests {
		t.Errorf("%+v", no)
	}
	refund.Refund()
	x.fail(refund)
	x.pass(time.Millisecond)
	short := x.admitted(100, 0)
	short.Settle(modelstate.Tokens{Output: 10}, 0, false)
	x.succeed(short)
	if no := x.refused(0, 0); no.Limit != RequestsPerMinute || no.Until <= x.now {
		t.Errorf("%+v, want when the next may come", no)
	}
	x.pass(time.Minute/9 + time.Millisecond)
	long := x.admitted(80, 0)
	long.Settle(modelstate.Tokens{Output: 1000}, 0, false)
	x.succeed(long)
	x.pass(time.Minute/9 + time.Millisecond)
	if no := x.refused(10, 0); no.Limit != TokensPerMinute {
		t.Errorf("%+v, want the tokens that were used to be owed", no)
	}
}

func TestDemandIsSaidSeldomAndNotForEver(t *testing.T) {
	x := newRig(t, "a", limits(routing.Limits{RequestsPerMinute: 6000, ConcurrentRequests: 8}))
	var said []string
	say := func() {
		text := "nothing"
		for _, e := range x.r.Asks(moment(x.now), interval) {
			if e.Demand != nil {
				text = fmt.Sprint(*e.Demand)
			}
		}
		said = append(said, text)
	}
	say()
	for i := range 1200 { // ten a second, give or take a third, for two minutes
		a, no := x.tries(0, 0)
		if no.Limit == 0 {
			x.succeed(a)
		}
		x.pass(time.Duration(67+i*7%67) * time.Millisecond)
		if i%50 == 49 {
			say()
		}
	}
	x.pass(30 * time.Second)
	say()
	x.pass(31 * time.Second)
	say()
	said = slices.Compact(said)
	if len(said) > 8 || said[0] != "nothing" || said[len(said)-1] != "nothing" || !slices.Contains(said, "{768 -1 1}") {
		t.Errorf("%q, want few words that end with 600 rounded up and then nothing", said)
	}
}

func TestWhoWaitsIsWokenByWhatCouldHelp(t *testing.T) {
	for name, c := range map[string]struct {
		limits  routing.Limits
		happens func(x *rig, under *Attempt)
	}{
		"a grant": {routing.Limits{Requests: 10}, func(x *rig, _ *Attempt) { x.lend(grant(quota.Requests, 2)) }},
		"a share": {routing.Limits{ConcurrentRequests: 1}, func(x *rig, _ *Attempt) {
			x.r.Granted([]quota.EndpointGrant{{Endpoint: quota.Endpoint{UID: "uid-a"}}}, 1, moment(x.now))
		}},
		"an attempt that ends": {routing.Limits{ConcurrentRequests: 1}, func(x *rig, under *Attempt) { x.succeed(under) }},
		"another limit": {routing.Limits{Requests: 10}, func(x *rig, _ *Attempt) {
			limits(routing.Limits{Requests: 20})(&x.input)
			x.bind()
		}},
		"no limit": {routing.Limits{Requests: 10}, func(x *rig, _ *Attempt) { limits(routing.Limits{})(&x.input); x.bind() }},
	} {
		t.Run(name, func(t *testing.T) {
			x := newRig(t, "a", limits(c.limits))
			under, no := x.tries(0, 0)
			x.lend(grant(quota.Requests, 1))
			if no.Limit != 0 {
				under, _ = x.tries(0, 0)
			}
			place := x.view.Endpoint(0).Queue()
			more := place.More()
			woken := func() bool {
				select {
				case <-more:
				case <-place.Freed():
				default:
					return false
				}
				return true
			}
			if woken() {
				t.Fatal("woken for nothing")
			}
			c.happens(x, under)
			if !woken() {
				t.Error("not woken")
			}
		})
	}
	none := newRig(t, "a", nil).view.Endpoint(0).Queue()
	if none.More() != nil || none.Freed() != nil {
		t.Error("without limits there is nothing to wait for")
	}
	none.Leave(true)
}

// What one attempt leaves is for one of those that wait; only one that is served lets the next one try.
func TestOneEndWakesOne(t *testing.T) {
	x := newRig(t, "a", limits(routing.Limits{ConcurrentRequests: 2}))
	e := x.view.Endpoint(0)
	x.succeed(x.admitted(0, 0))
	first, second, third := e.Queue(), e.Queue(), e.Queue()
	woken := func() int { return len(second.Freed()) }
	if woken() != 0 {
		t.Fatal("an attempt that ended before wakes somebody")
	}
	x.succeed(x.admitted(0, 0))
	if woken() != 1 {
		t.Fatalf("%d are woken, want one", woken())
	}
	<-first.Freed()
	if first.Leave(true); woken() != 1 {
		t.Fatalf("%d are woken after one was served, want the next", woken())
	}
	<-second.Freed()
	if second.Leave(false); woken() != 0 {
		t.Fatalf("%d are woken after one was refused, want none", woken())
	}
	for range 100 {
		x.succeed(x.admitted(0, 0))
	}
	if woken() > keptFreed {
		t.Errorf("%d ends are remembered", woken())
	}
	third.Leave(true)
}

func TestAsksAreSortedAndBounded(t *testing.T) {
	x := newRig(t, "a b c", limits(routing.Limits{Requests: 100}))
	x.input.Endpoints[2].Limits = routing.Limits{RequestsPerMinute: 100}
	x.bind()
	for _, i := range []int{0, 1, 2} {
		_, _ = x.view.Endpoint(i).Begin(x.now, 1, Need{})
	}
	x.r.Asks(moment(x.now), interval)
	x.lend(quota.Grant{Key: quota.Key{Limit: quota.Requests}, Granted: 10, Answered: 1, Wanted: true})
	if !x.urgent() {
		t.Error("what others need is not given back at once")
	}
	x.pass(2 * time.Second)
	_, _ = x.view.Endpoint(1).Begin(x.now, 1, Need{})
	var order []string
	for _, e := range x.r.Asks(moment(x.now), interval) {
		order = append(order, e.Name)
	}
	if diff := cmp.Diff([]string{"b", "a", "c"}, order); diff != "" {
		t.Errorf("want who needs something, who gives back, and who only uses: %s", diff)
	}

	// A period that is changed to and fro leaves many purses; the API takes twelve.
	for hour := range 20 {
		x.now = nanos(start.Add(time.Duration(hour) * time.Hour))
		for _, unit := range []calendar.Unit{calendar.Hourly, calendar.Daily} {
			x.input.Endpoints[0].QuotaPeriod = calendar.Period{Unit: unit}
			x.bind()
			x.tries(0, 0)
			x.lend(quota.Grant{Key: quota.Key{Limit: quota.Requests, Start: x.input.Endpoints[0].QuotaPeriod.Start(moment(x.now))}, Granted: 5})
		}
	}
	if n := len(x.asks()); n > maxAsks {
		t.Errorf("%d are said at once", n)
	}
}
