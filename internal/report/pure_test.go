// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/equality"

	"github.com/turnout-ai/turnout/api/v1alpha1"
	"github.com/turnout-ai/turnout/internal/modelstate"
	"github.com/turnout-ai/turnout/internal/quota"
)

func TestTheOperatorsWordIsRead(t *testing.T) {
	for name, c := range map[string]struct {
		spec v1alpha1.ProxyInstanceSpec
		want cadence
	}{
		"nothing said":              {want: defaultCadence},
		"an interval":               {spec: v1alpha1.ProxyInstanceSpec{ReportInterval: new(v1alpha1.Duration("1m30s"))}, want: cadence{90 * time.Second, 1}},
		"a fleet":                   {spec: v1alpha1.ProxyInstanceSpec{Proxies: new(int32(40))}, want: cadence{DefaultInterval, 40}},
		"an interval that is none":  {spec: v1alpha1.ProxyInstanceSpec{ReportInterval: new(v1alpha1.Duration("soon"))}, want: defaultCadence},
		"an interval of no time":    {spec: v1alpha1.ProxyInstanceSpec{ReportInterval: new(v1alpha1.Duration("1ms"))}, want: cadence{shortestInterval, 1}},
		"a fleet of fewer than one": {spec: v1alpha1.ProxyInstanceSpec{Proxies: new(int32(-1))}, want: defaultCadence},
	} {
		if got := readCadence(&c.spec); got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}

// written runs a pacing against notices at the given times, and returns when it wrote.
func written(c cadence, notices ...time.Duration) (at []time.Duration) {
	var p pacing
	var wanted, now time.Duration
	pending := false
	start := period
	for len(notices) > 0 || pending {
		due := time.Duration(1 << 62)
		if pending {
			due = later(start.Add(wanted), p.next(c)).Sub(start)
		}
		if len(notices) > 0 && notices[0] < due {
			now, notices = notices[0], notices[1:]
			if !pending {
				pending, wanted = true, now
			}
			continue
		}
		now, pending = due, false
		p.wrote(start.Add(now), c)
		at = append(at, now)
	}
	return at
}

func TestSignalsArePaced(t *testing.T) {
	const ms = time.Millisecond
	small, large := cadence{DefaultInterval, 1}, cadence{50 * time.Second, 100}
	for name, c := range map[string]struct {
		cadence cadence
		notices []time.Duration
		want    []time.Duration
	}{
		"a single notice is written at once":               {small, []time.Duration{7 * ms}, []time.Duration{7 * ms}},
		"a second one waits for the pause":                 {small, []time.Duration{0, 10 * ms}, []time.Duration{0, 20 * ms}},
		"all within the pause are written together":        {small, []time.Duration{0, 5 * ms, 10 * ms, 18 * ms}, []time.Duration{0, 20 * ms}},
		"the pause doubles while notices keep coming":      {small, []time.Duration{0, 10 * ms, 30 * ms, 70 * ms}, []time.Duration{0, 20 * ms, 60 * ms, 140 * ms}},
		"after a quiet time the next one goes out at once": {small, []time.Duration{0, 10 * ms, 2000 * ms, 2010 * ms}, []time.Duration{0, 20 * ms, 2000 * ms, 2020 * ms}},
		"a large fleet has saved up five, then its share": {
			large,
			[]time.Duration{0, time.Second, 2 * time.Second, 3 * time.Second, 4 * time.Second, 5 * time.Second, 6 * time.Second},
			[]time.Duration{0, time.Second, 2 * time.Second, 3 * time.Second, 4 * time.Second, 10 * time.Second},
		},
	} {
		if diff := cmp.Diff(c.want, written(c.cadence, c.notices...)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestPacingKeepsTheShareAndForgetsNoNotice(t *testing.T) {
	for seed := range uint64(50) {
		random := rand.New(rand.NewPCG(seed, 1))
		c := cadence{DefaultInterval, 1 + random.IntN(100)}
		var notices []time.Duration
		var at time.Duration
		for range 500 {
			at += time.Duration(random.Int64N(int64(time.Second)))
			notices = append(notices, at)
		}
		writes := written(c, notices...)
		if last := writes[len(writes)-1]; last < at {
			t.Fatalf("seed %d: the notice at %v is not in the last write at %v", seed, at, last)
		}
		for i := range writes {
			if i > 0 && writes[i]-writes[i-1] < firstPause {
				t.Fatalf("seed %d: writes at %v and %v", seed, writes[i-1], writes[i])
			}
			if i >= c.burst() && writes[i]-writes[0] < time.Duration(i+1-c.burst())*c.spacing() {
				t.Fatalf("seed %d: %d writes within %v, more than the share of one of %d", seed, i+1, writes[i]-writes[0], c.proxies)
			}
		}
	}
}

func TestAnAnswerEndsTheDoubling(t *testing.T) {
	const ms, answer = time.Millisecond, 15 * time.Millisecond
	for proxies, wishes := range map[int]int{1: 100, 5: 20, 100: leastBurst} {
		c := cadence{DefaultInterval, proxies}
		var p pacing
		now := period
		for wish := range wishes { // each made as soon as the one before was answered
			at := later(now, p.next(c))
			if wait := at.Sub(now); wait > firstPause {
				t.Fatalf("one of %d proxies waits %v with wish %d", proxies, wait, wish)
			}
			p.wrote(at, c)
			now = at.Add(answer)
			p.answered()
		}
		if wait := p.next(c).Sub(now); wait < c.spacing()-2*time.Duration(wishes)*firstPause {
			t.Errorf("one of %d proxies may write again after %v, above its share", proxies, wait)
		}
	}
	var p pacing
	c := cadence{DefaultInterval, 1}
	for _, at := range []time.Duration{0, 20 * ms, 60 * ms, 140 * ms} {
		p.wrote(period.Add(at), c)
	}
	if got := p.next(c).Sub(period); got != 300*ms {
		t.Errorf("without an answer the next write is at %v, want the pause doubled to 160ms", got)
	}
}

func TestALookInVainIsNotRepeatedAtOnce(t *testing.T) {
	var p pacing
	c := cadence{DefaultInterval, 1}
	p.looked(period)
	if got := p.next(c).Sub(period); got != firstPause {
		t.Errorf("the next look is after %v, want %v", got, firstPause)
	}
}

// asking is what a proxy says of one endpoint: it has ten, and needs so many more.
func asking(i int, need int64) quota.EndpointAsk {
	a := quota.Ask{Key: quota.Key{Limit: quota.Requests, Start: period}, Granted: 10, Returned: 3, Spent: 5, Number: 2, Want: 40}
	if need > 0 {
		a.Need = a.Granted + need
	}
	return quota.EndpointAsk{Endpoint: endpoint(i), Asks: []quota.Ask{a}, Unheard: need > 0}
}

func TestWhatAStatusHasRoomFor(t *testing.T) {
	signal := func(i int, message string) modelstate.Signal {
		return modelstate.Signal{Endpoint: uid(i), Namespace: "team", Name: fmt.Sprintf("endpoint-%d", i), Failures: 3, Message: message}
	}
	var signals, long []modelstate.Signal
	var asks, needy []quota.EndpointAsk
	for i := range 100 {
		signals, long = append(signals, signal(i, "")), append(long, signal(i, strings.Repeat("m", 500)))
		asks, needy = append(asks, asking(i, 0)), append(needy, asking(i, 1))
	}
	wide := asking(0, 1)
	for i := range 20 {
		a := wide.Asks[0]
		a.Start = a.Start.AddDate(0, 0, i+1)
		wide.Asks = append(wide.Asks, a)
	}
	for name, c := range map[string]struct {
		signals []modelstate.Signal
		asks    []quota.EndpointAsk
		// want are the numbers of the endpoints that are spoken of.
		wantSignals, wantAsks []string
		more                  bool
	}{
		"nothing":                  {},
		"a little of all":          {signals[:2], asks[:2], uids(0, 1), uids(0, 1), false},
		"who waits comes first":    {nil, []quota.EndpointAsk{asks[0], needy[1], asks[2], needy[3]}, nil, uids(1, 3, 0, 2), false},
		"an endpoint named twice":  {append(signals[:1:1], signals[0]), append(asks[:1:1], asks[0]), uids(0), uids(0), false},
		"many limits of one":       {nil, []quota.EndpointAsk{wide}, nil, uids(0), true},
		"many that wait":           {nil, needy, nil, uids(span(MaxAsks)...), true},
		"many signals":             {signals, nil, uids(span(MaxSignals)...), nil, true},
		"signals before the rest":  {long[:60], append(asks[:5:5], needy[7]), uids(span(25)...), uids(7, 0, 1), true},
		"who waits before signals": {long[:60], needy[:40], uids(span(12)...), uids(span(40)...), true},
	} {
		got := choose(c.signals, c.asks)
		var gotSignals, gotAsks []string
		for _, s := range got.signals {
			gotSignals = append(gotSignals, s.UID)
		}
		for _, a := range got.asks {
			gotAsks = append(gotAsks, a.UID)
			if len(a.Limits) > 12 {
				t.Errorf("%s: %d limits of one endpoint", name, len(a.Limits))
			}
		}
		if diff := cmp.Diff(c.wantSignals, gotSignals); diff != "" {
			t.Errorf("%s: signals (-want +got):\n%s", name, diff)
		}
		if diff := cmp.Diff(c.wantAsks, gotAsks); diff != "" {
			t.Errorf("%s: asks (-want +got):\n%s", name, diff)
		}
		if got.more != c.more {
			t.Errorf("%s: more = %v, want %v", name, got.more, c.more)
		}
		if size := sizeOf(got.signals) + sizeOf(got.asks); size > MaxWordBytes+len("nullnull") {
			t.Errorf("%s: %d bytes", name, size)
		}
	}
}

func span(n int) (numbers []int) {
	for i := range n {
		numbers = append(numbers, i)
	}
	return numbers
}

func uids(numbers ...int) (uids []string) {
	for _, i := range numbers {
		uids = append(uids, uid(i))
	}
	return uids
}

func TestTheOrderOfAsksSaysNothing(t *testing.T) {
	one, other := asking(0, 1), asking(1, 1)
	second := one.Asks[0]
	second.Limit = quota.Budget
	one.Asks = append(one.Asks, second)
	status := func(asks ...quota.EndpointAsk) *v1alpha1.ProxyInstanceStatus {
		return &v1alpha1.ProxyInstanceStatus{Asks: choose(nil, asks).asks}
	}
	turned := one
	turned.Asks = []quota.Ask{one.Asks[1], one.Asks[0]}
	if !sameStatus(status(one, other), status(other, turned)) {
		t.Error("another order of the same asks is taken for news")
	}
	turned.Asks[0].Spent++
	if !sameStatus(status(one, other), status(other, turned)) {
		t.Error("what was spent since a wish was made is taken for news")
	}
	turned.Asks[0].Number++
	if sameStatus(status(one, other), status(other, turned)) {
		t.Error("a changed ask is taken for none")
	}
}

func TestAShrunkenFleetIsNotHeldToTheLargeOnesShare(t *testing.T) {
	var p pacing
	for range 5 {
		p.wrote(period, cadence{DefaultInterval, 100})
	}
	if wait := p.next(cadence{DefaultInterval, 1}).Sub(period); wait > DefaultInterval {
		t.Errorf("the next write is %v away, want no more than a pause", wait)
	}
}

// full is what is said of an endpoint when all that can be said is, in the longest words.
func full(endpoint int) v1alpha1.EndpointNumbers {
	n := modelstate.Numbers{Endpoint: uid(endpoint), Namespace: strings.Repeat("n", 63), Name: strings.Repeat("e", 253)}
	u := modelstate.Usage{
		Requests: 1 << 40, Cost: 1 << 60,
		Tokens:    modelstate.Tokens{Input: 1 << 50, CachedInput: 1 << 50, Output: 1 << 50, Reasoning: 1 << 50},
		Estimated: modelstate.Estimate{Requests: 1 << 40, Cost: 1 << 60, Tokens: modelstate.Tokens{Input: 1 << 50, CachedInput: 1 << 50, Output: 1 << 50, Reasoning: 1 << 50}},
	}
	for i := range 4 {
		p := modelstate.PeriodUsage{Start: period.Add(time.Duration(i) * 24 * time.Hour), Usage: u}
		n.Quota, n.Budget = append(n.Quota, p), append(n.Budget, p)
	}
	for i := range 64 {
		n.Window = append(n.Window, modelstate.Bucket{Start: period.Add(time.Duration(i) * modelstate.BucketLength), Epoch: 1 << 40, Attempts: 1 << 40, Failures: 1 << 40})
	}
	for i := range n.Total {
		n.FirstToken[i], n.Total[i] = 1<<31, 1<<31
	}
	for range modelstate.MaxSamples {
		n.Recent = append(n.Recent, modelstate.Sample{At: period.Add(time.Microsecond), FirstToken: time.Hour, Total: time.Hour})
	}
	n.LastRequest, n.LastFailure, n.LastFailureMessage = period, period, strings.Repeat("\x01", 512)
	return write([]modelstate.Numbers{n})[0]
}

func TestTheUsageOfAFullPageAlwaysFits(t *testing.T) {
	var sheet, whole []v1alpha1.EndpointNumbers
	for i := range PageEndpoints {
		sheet, whole = append(sheet, full(i)), append(whole, full(i))
	}
	if size := fit(sheet, MaxPageBytes); size > MaxPageBytes || sizeOf(sheet) > MaxPageBytes {
		t.Errorf("a full page has %d bytes, by itself %d", sizeOf(sheet), size)
	}
	for i := range sheet {
		if !equality.Semantic.DeepEqual(sheet[i].Quota, whole[i].Quota) || !equality.Semantic.DeepEqual(sheet[i].Budget, whole[i].Budget) {
			t.Fatalf("usage of endpoint %d was left out", i)
		}
	}
	one := []v1alpha1.EndpointNumbers{full(0)}
	if fit(one, MaxPageBytes); len(one[0].Window) == 0 || len(one[0].Total) == 0 {
		t.Error("something was left out of a page with room for it")
	}
}

func TestAnEndpointStaysOnItsPage(t *testing.T) {
	l := layout{pageOf: map[string]int{}}
	numbers := make([]modelstate.Numbers, MaxPages*PageEndpoints+3)
	for i := range numbers {
		numbers[i].Endpoint = uid(i)
	}
	known := map[string]int{}
	for _, used := range []int{1, 100, PageEndpoints, PageEndpoints + 1, 5000, len(numbers)} {
		sheets, left := l.place(numbers[:used])
		if want := max(used-MaxPages*PageEndpoints, 0); left != want {
			t.Errorf("%d of %d have no place, want %d", left, used, want)
		}
		for page, sheet := range sheets {
			if len(sheet) == 0 || len(sheet) > PageEndpoints {
				t.Errorf("page %d has %d endpoints", page, len(sheet))
			}
			for _, n := range sheet {
				if before, seen := known[n.Endpoint]; seen && before != page {
					t.Fatalf("%s went from page %d to %d", n.Endpoint, before, page)
				}
				known[n.Endpoint] = page
			}
		}
	}
}

func TestWhatIsAChangeOfAPage(t *testing.T) {
	bucket := func(start int64, attempts int64) v1alpha1.WindowBucket {
		return v1alpha1.WindowBucket{Start: start, Attempts: attempts}
	}
	base := v1alpha1.EndpointNumbers{UID: "u", Window: []v1alpha1.WindowBucket{bucket(10, 1), bucket(20, 1)}}
	for name, c := range map[string]struct {
		change func(*v1alpha1.EndpointNumbers)
		same   bool
	}{
		"nothing":                        {func(*v1alpha1.EndpointNumbers) {}, true},
		"an old bucket has left":         {func(n *v1alpha1.EndpointNumbers) { n.Window = n.Window[1:] }, true},
		"all have left":                  {func(n *v1alpha1.EndpointNumbers) { n.Window = nil }, true},
		"a bucket has grown":             {func(n *v1alpha1.EndpointNumbers) { n.Window[1] = bucket(20, 2) }, false},
		"a new bucket":                   {func(n *v1alpha1.EndpointNumbers) { n.Window = append(n.Window, bucket(30, 1)) }, false},
		"a new one when all others left": {func(n *v1alpha1.EndpointNumbers) { n.Window = []v1alpha1.WindowBucket{bucket(900, 1)} }, false},
		"usage":                          {func(n *v1alpha1.EndpointNumbers) { n.Quota = []v1alpha1.PeriodUsage{{Requests: 1}} }, false},
	} {
		now := base.DeepCopy()
		c.change(now)
		if got := sameSheet([]v1alpha1.EndpointNumbers{base}, []v1alpha1.EndpointNumbers{*now}); got != c.same {
			t.Errorf("%s: the same = %v, want %v", name, got, c.same)
		}
	}
	if sameSheet(nil, []v1alpha1.EndpointNumbers{base}) {
		t.Error("another endpoint is no change")
	}
}
