// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package translate

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/turnout-ai/turnout/api/v1alpha1"
	"github.com/turnout-ai/turnout/internal/kubetest"
	"github.com/turnout-ai/turnout/internal/modelstate"
)

// through is value after a stay in the API server.
func through[T any](t *testing.T, value T) T {
	t.Helper()
	written, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	var read T
	if err := json.Unmarshal(written, &read); err != nil {
		t.Fatal(err)
	}
	return read
}

// gen makes random values that decisions can come to.
type gen struct{ *rand.Rand }

// seconds is a time in whole seconds, micros one in microseconds; now and then none.
func (g gen) seconds() time.Time { return g.time(time.Second) }
func (g gen) micros() time.Time  { return g.time(time.Microsecond) }

func (g gen) time(unit time.Duration) time.Time {
	if g.IntN(4) == 0 {
		return time.Time{}
	}
	return time.Unix(1_700_000_000+g.Int64N(1e9), g.Int64N(1e9)).UTC().Truncate(unit)
}

// some is a time in microseconds.
func (g gen) some() time.Time { return time.UnixMicro(1_700_000_000_000_000 + g.Int64N(1e15)).UTC() }

func (g gen) text() string {
	return []string{"", "503 from api.example.com", `a "quoted" <b> & ünïcode ✓`, "\t\n"}[g.IntN(4)]
}

func (g gen) policies() []string {
	return [][]string{nil, {"chat"}, {"a", "b", "c"}}[g.IntN(3)]
}

func (g gen) state() modelstate.State {
	s := modelstate.State{
		Epoch: g.Int64N(5), Configuration: []string{"", "273e1d06f872b19e"}[g.IntN(2)], Trips: g.IntN(9),
		EarlierFailures: g.Int64N(3), FailureCount: g.Int64N(9), Withdrawn: g.IntN(2) == 0, LastTransition: g.micros(),
	}
	for reason := modelstate.Manual; reason <= modelstate.ProbeFailed; reason++ {
		if g.IntN(5) == 0 {
			s.Verdicts = append(s.Verdicts, modelstate.Verdict{
				Reason: reason, Since: g.seconds(), Until: g.seconds(), Message: g.text(), Policies: g.policies(), Trial: g.IntN(2) == 0,
			})
		}
	}
	if g.IntN(2) == 0 {
		s.Trial = &modelstate.Trial{
			Since: g.some().Truncate(time.Second), InitialPercent: 1 + g.IntN(100), Ramp: time.Duration(g.IntN(100_000)) * time.Millisecond,
			Successes: 1 + g.IntN(1000), Policies: g.policies(),
		}
	}
	if g.IntN(2) == 0 {
		s.Evidence = modelstate.Basis{Epoch: g.Int64N(4), Time: g.some()}
	}
	if g.IntN(2) == 0 {
		s.Probe = modelstate.Probe{Failures: 1 + g.IntN(9), LastFailure: g.micros(), Message: g.text()}
	}
	return s
}

func (g gen) signal() modelstate.Signal {
	s := modelstate.Signal{
		Endpoint: "uid-1", Namespace: "shop", Name: "gpt", Proxy: "proxy-uid", Epoch: g.Int64N(4),
		Failures: g.Int64N(9), Requests: g.Int64N(9), Connect: g.Int64N(3), Outage: g.Int64N(3), Since: g.micros(), LastFailure: g.micros(),
		LastSuccess: g.micros(), Successes: g.Int64N(99), PreviousSuccess: g.micros(), Message: g.text(), RateLimitedUntil: g.micros(),
	}
	for _, reason := range []modelstate.Reason{modelstate.QuotaExhausted, modelstate.ProviderAuthFailure, modelstate.ModelNotFound} {
		if g.IntN(3) == 0 {
			s.Statements = append(s.Statements, modelstate.Statement{Reason: reason, At: g.some(), Until: g.micros(), Message: g.text()})
		}
	}
	return s
}

func (g gen) tokens() modelstate.Tokens {
	return modelstate.Tokens{Input: g.Int64N(3), CachedInput: g.Int64N(2), Output: g.Int64N(1e12), Reasoning: g.Int64N(2)}
}

func (g gen) period() modelstate.PeriodUsage {
	p := modelstate.PeriodUsage{Start: g.some().Truncate(time.Hour), Usage: modelstate.Usage{Requests: g.Int64N(3), Tokens: g.tokens(), Cost: g.Int64N(1e18)}}
	if g.IntN(2) == 0 {
		p.Estimated = modelstate.Estimate{Requests: g.Int64N(2), Tokens: g.tokens(), Cost: g.Int64N(3)}
	}
	return p
}

func many[T any](g gen, most int, one func() T) []T {
	var list []T
	for range g.IntN(most + 1) {
		list = append(list, one())
	}
	return list
}

func (g gen) numbers() modelstate.Numbers {
	n := modelstate.Numbers{
		Endpoint: "uid-1", Namespace: "shop", Name: "gpt",
		Quota: many(g, maxPeriods, g.period), Budget: many(g, maxPeriods, g.period),
		Window: many(g, maxBuckets, func() modelstate.Bucket {
			return modelstate.Bucket{Start: g.some().Truncate(modelstate.BucketLength), Epoch: g.Int64N(3), Attempts: g.Int64N(5), Failures: g.Int64N(5)}
		}),
		Recent: many(g, modelstate.MaxSamples, func() modelstate.Sample {
			return modelstate.Sample{At: g.some(), FirstToken: time.Duration(g.IntN(3)) * time.Millisecond, Total: time.Duration(g.IntN(1e6)) * time.Millisecond}
		}),
		LastRequest: g.micros(), LastFailure: g.micros(), LastFailureMessage: g.text(),
	}
	for range g.IntN(20) {
		n.Total[g.IntN(modelstate.HistogramSize)] = g.Uint32()
		n.FirstToken[g.IntN(modelstate.HistogramSize)] = g.Uint32N(3)
	}
	return n
}

func TestAStateSurvivesItsStatus(t *testing.T) {
	g := gen{rand.New(rand.NewPCG(11, 12))}
	for range 1000 {
		want := g.state()
		status := v1alpha1.ModelEndpointStatus{ModelState: &v1alpha1.ModelState{Message: "kept", Trips: 99, Reasons: []v1alpha1.StandbyReason{{Reason: "Gone"}}}}
		WriteState(want, status.ModelState)
		for where, got := range map[string]modelstate.State{"at once": State(&status), "by way of the API server": State(new(through(t, status)))} {
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("%s (-written +read):\n%s", where, diff)
			}
		}
		derived := status.ModelState
		if derived.Message != "kept" || (derived.Status == v1alpha1.StatusActive) != want.Active() || string(derived.DeactivationReason) != want.Reason().String() {
			t.Fatalf("%+v is shown as %s, %s, %s", want, derived.Status, derived.DeactivationReason, derived.Message)
		}
		if until := want.CooldownUntil(); !fromWhole(derived.CooldownUntil).Equal(until) {
			t.Fatalf("cooldownUntil is %v, want %v", derived.CooldownUntil, until)
		}
		again := *status.ModelState
		WriteState(State(&status), &again)
		if diff := cmp.Diff(*status.ModelState, again); diff != "" {
			t.Fatalf("what was read is written differently (-first +second):\n%s", diff)
		}
	}
}

func TestASignalSurvivesItsReport(t *testing.T) {
	g := gen{rand.New(rand.NewPCG(13, 14))}
	for range 1000 {
		want := g.signal()
		if diff := cmp.Diff(want, Signal("proxy-uid", new(through(t, APISignal(want))))); diff != "" {
			t.Fatalf("(-written +read):\n%s", diff)
		}
	}
}

func TestNumbersSurviveTheirReport(t *testing.T) {
	g := gen{rand.New(rand.NewPCG(15, 16))}
	for range 1000 {
		want := g.numbers()
		if diff := cmp.Diff(want, Numbers(new(through(t, APINumbers(want))))); diff != "" {
			t.Fatalf("(-written +read):\n%s", diff)
		}
	}
}

func TestTimesAreCutToWhatIsWritten(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 123_456_789, time.FixedZone("", 3600))
	state := modelstate.State{
		Verdicts:       []modelstate.Verdict{{Reason: modelstate.ErrorThreshold, Since: at, Until: at}},
		LastTransition: at,
	}
	status := v1alpha1.ModelEndpointStatus{ModelState: &v1alpha1.ModelState{}}
	WriteState(state, status.ModelState)
	got := State(&status)
	utc := time.Date(2026, 3, 1, 11, 0, 0, 0, time.UTC)
	want := modelstate.State{
		Verdicts:       []modelstate.Verdict{{Reason: modelstate.ErrorThreshold, Since: utc, Until: utc.Add(time.Second)}},
		LastTransition: utc.Add(123_456 * time.Microsecond),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("beginnings are cut, ends rounded up (-want +got):\n%s", diff)
	}
	signal := Signal("", new(APISignal(modelstate.Signal{RateLimitedUntil: at, Since: at})))
	if !signal.RateLimitedUntil.Equal(utc.Add(123_457*time.Microsecond)) || !signal.Since.Equal(utc.Add(123_456*time.Microsecond)) {
		t.Errorf("a signal has %s and %s", signal.RateLimitedUntil, signal.Since)
	}
	for total, want := range map[time.Duration]time.Duration{0: 0, 1: time.Millisecond, time.Millisecond: time.Millisecond, time.Millisecond + 1: 2 * time.Millisecond, -1: 0} {
		sample := Sample(new(APISample(modelstate.Sample{FirstToken: total, Total: total})))
		if sample.Total != want || sample.FirstToken != want {
			t.Errorf("a sample of %s is read as %s and %s, want %s", total, sample.FirstToken, sample.Total, want)
		}
	}
}

func TestWhatIsNotUnderstoodIsPassedOver(t *testing.T) {
	status := v1alpha1.ModelEndpointStatus{ModelState: &v1alpha1.ModelState{
		Reasons: []v1alpha1.StandbyReason{
			{Reason: "SolarStorm"},
			{Reason: v1alpha1.DeactivationRateLimited},
			{Reason: v1alpha1.DeactivationManual, Message: "first"},
			{Reason: v1alpha1.DeactivationManual, Message: "second"},
		},
		Trial: &v1alpha1.TrialState{Ramp: new(v1alpha1.Duration("soon"))},
	}}
	want := modelstate.State{
		Verdicts: []modelstate.Verdict{{Reason: modelstate.Manual, Message: "first"}, {Reason: modelstate.RateLimited}},
		Trial:    &modelstate.Trial{},
	}
	if diff := cmp.Diff(want, State(&status)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(modelstate.State{}, State(&v1alpha1.ModelEndpointStatus{})); diff != "" {
		t.Errorf("of nothing (-want +got):\n%s", diff)
	}
	signal := Signal("p", &v1alpha1.EndpointSignal{Statements: []v1alpha1.ProviderStatement{{Reason: "SolarStorm"}}})
	if len(signal.Statements) != 0 {
		t.Errorf("a statement that is not understood is %+v", signal.Statements)
	}
	numbers := Numbers(&v1alpha1.EndpointNumbers{
		Total:  []v1alpha1.LatencyClass{{Class: -1, Count: 1}, {Class: modelstate.HistogramSize, Count: 1}, {Class: 3, Count: 1 << 40}, {Class: 4, Count: -1}},
		Recent: []v1alpha1.LatencySample{{Total: math.MaxInt64}},
		Quota:  []v1alpha1.PeriodUsage{{Cost: "a lot"}},
	})
	if numbers.Total.Count() != math.MaxUint32 || numbers.Total[3] != math.MaxUint32 || numbers.Recent[0].Total <= 0 || numbers.Quota[0].Cost != 0 {
		t.Errorf("numbers nobody writes are read as %+v", numbers)
	}
}

func TestListsAreCutAtTheirOlderEnd(t *testing.T) {
	var numbers modelstate.Numbers
	for i := range 100 {
		at := time.Unix(int64(i)*10, 0).UTC()
		numbers.Quota = append(numbers.Quota, modelstate.PeriodUsage{Start: at})
		numbers.Window = append(numbers.Window, modelstate.Bucket{Start: at})
		numbers.Recent = append(numbers.Recent, modelstate.Sample{At: at})
	}
	got := Numbers(new(APINumbers(numbers)))
	if diff := cmp.Diff(numbers.Quota[96:], got.Quota); diff != "" {
		t.Errorf("periods stand oldest first (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(numbers.Window[36:], got.Window); diff != "" {
		t.Errorf("buckets stand oldest first (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(numbers.Recent[:10], got.Recent); diff != "" {
		t.Errorf("samples stand newest first (-want +got):\n%s", diff)
	}
}

func TestRatio(t *testing.T) {
	for text, want := range map[v1alpha1.Ratio]int64{"0": 0, "1": 1e6, "1.0": 1e6, "0.5": 500_000, "0.0001": 100, "0.25": 250_000} {
		if got, ok := Ratio(text); got != want || !ok {
			t.Errorf("%s is %d, %v, want %d", text, got, ok, want)
		}
	}
	for _, text := range []v1alpha1.Ratio{"", "50%", "1.1", "-0.5", ".5"} {
		if got, ok := Ratio(text); ok {
			t.Errorf("%s is %d", text, got)
		}
	}
	for parts, want := range map[int64]v1alpha1.Ratio{0: "0", -1: "0", 1: "0.0001", 149: "0.0001", 150: "0.0002", 333_333: "0.3333", 500_000: "0.5", 1e6: "1", 2e6: "1", 999_999: "1"} {
		if got := APIRatio(parts); got != want {
			t.Errorf("%d is written %s, want %s", parts, got, want)
		}
	}
}

func TestAPIDuration(t *testing.T) {
	for d, want := range map[time.Duration]v1alpha1.Duration{
		0: "0s", -5: "0s", 1: "1ms", 30 * time.Second: "30s", 90 * time.Second: "1m30s", time.Hour: "1h", 250 * time.Millisecond: "250ms",
		25*time.Hour + 3*time.Minute + 4*time.Second + 5*time.Millisecond: "25h3m4s5ms", math.MaxInt64: "99999h",
	} {
		got := APIDuration(d)
		if got != want {
			t.Errorf("%s is written %s, want %s", d, got, want)
		}
		if _, err := Duration(got); err != nil {
			t.Error(err)
		}
	}
}

// wild makes values that nothing should come to.
func (g gen) wild() (string, int64, time.Time, []string) {
	texts := []string{"", strings.Repeat("ü", 2000), "\xff\xfe\x00", strings.Repeat("x", 1024), strings.Repeat("\xff", 600)}
	numbers := []int64{0, -1, math.MinInt64, math.MaxInt64, math.MaxInt32 + 1, 1}
	return texts[g.IntN(len(texts))], numbers[g.IntN(len(numbers))], time.Unix(g.Int64N(4e9), g.Int64N(1e9)), slices.Repeat([]string{"policy"}, g.IntN(99))
}

func (g gen) wildState() modelstate.State {
	text, n, at, policies := g.wild()
	s := g.state()
	s.Epoch, s.EarlierFailures, s.FailureCount, s.Trips, s.LastTransition = n, n, n, int(n), at
	for i := range s.Verdicts {
		text, _, at, policies := g.wild()
		v := &s.Verdicts[i]
		v.Message, v.Since, v.Until, v.Policies = text, at, at, policies
		// Reasons of limits are not in the API yet, and nothing decides them.
		v.Reason = []modelstate.Reason{modelstate.Manual, modelstate.MaintenanceWindow, modelstate.QuotaExhausted, modelstate.ProviderAuthFailure}[i%4]
	}
	s.Verdicts = slices.CompactFunc(s.Verdicts[:min(len(s.Verdicts), 4)], func(a, b modelstate.Verdict) bool { return a.Reason == b.Reason })
	s.Trial = &modelstate.Trial{Since: at, InitialPercent: int(n), Ramp: time.Duration(n), Successes: int(n), Policies: policies}
	s.Evidence = modelstate.Basis{Epoch: n, Time: at}
	s.Probe = modelstate.Probe{Failures: int(n), LastFailure: at, Message: text}
	return s
}

func (g gen) wildSignal() modelstate.Signal {
	s := g.signal()
	text, n, at, _ := g.wild()
	s.Epoch, s.Failures, s.Requests, s.Connect, s.Outage, s.Successes = n, n, n, n, n, n
	s.Message, s.RateLimitedUntil = text, at
	for i := range s.Statements {
		s.Statements[i].Message, s.Statements[i].Until = text, at
	}
	return s
}

func (g gen) wildNumbers() modelstate.Numbers {
	n := g.numbers()
	text, number, at, _ := g.wild()
	n.LastFailureMessage, n.LastFailure = text, at
	n.Quota = append(n.Quota, g.period(), g.period(), modelstate.PeriodUsage{Start: at, Usage: modelstate.Usage{
		Requests: number, Cost: number, Tokens: modelstate.Tokens{Input: number, Output: -1},
		Estimated: modelstate.Estimate{Requests: number, Cost: number, Tokens: modelstate.Tokens{Input: number}},
	}})
	n.Window = append(n.Window, modelstate.Bucket{Start: time.Unix(number%1e10, 0), Epoch: number, Attempts: number, Failures: number})
	n.Window = slices.Repeat(n.Window, 3)
	n.Recent = slices.Repeat(append(n.Recent, modelstate.Sample{At: at, FirstToken: time.Duration(number), Total: time.Duration(number)}), 3)
	return n
}

// A status that its schema refuses is not written at all: whatever Turnout comes to think, it must fit.
func TestWhateverIsWrittenFitsTheSchema(t *testing.T) {
	g := gen{rand.New(rand.NewPCG(17, 18))}
	endpoints, instances, reports := kubetest.NewSchema(t, "modelendpoints"), kubetest.NewSchema(t, "proxyinstances"), kubetest.NewSchema(t, "proxyreports")
	for i := range 300 {
		state, signal, numbers := g.state(), g.signal(), g.numbers()
		state.Verdicts = slices.DeleteFunc(state.Verdicts, func(v modelstate.Verdict) bool {
			return v.Reason == modelstate.BudgetExceeded || v.Reason == modelstate.TokenLimit || v.Reason == modelstate.RequestLimit
		})
		if i%2 == 0 {
			state, signal, numbers = g.wildState(), g.wildSignal(), g.wildNumbers()
		}
		endpoint := endpointWith(nil)
		endpoint.Status = v1alpha1.ModelEndpointStatus{
			ModelState: &v1alpha1.ModelState{CostAccumulated: APIMoney(g.Int64()), ErrorRate: APIRatio(g.Int64())},
			Fold:       &v1alpha1.Fold{Quota: APIPeriodUsages(numbers.Quota), Budget: APIPeriodUsages(numbers.Budget)},
		}
		WriteState(state, endpoint.Status.ModelState)
		admits(t, endpoints, endpoint)
		admits(t, instances, &v1alpha1.ProxyInstance{Status: v1alpha1.ProxyInstanceStatus{
			Version: "1", Signals: []v1alpha1.EndpointSignal{APISignal(signal)},
		}})
		admits(t, reports, &v1alpha1.ProxyReport{
			Spec: v1alpha1.ProxyReportSpec{Instance: "p", InstanceUID: "u"},
			Status: v1alpha1.ProxyReportStatus{
				Time: new(metav1.NowMicro()), Endpoints: []v1alpha1.EndpointNumbers{APINumbers(numbers)},
			},
		})
		if t.Failed() {
			t.FailNow()
		}
		// And what was cut stays as it is.
		once := State(&endpoint.Status)
		WriteState(once, endpoint.Status.ModelState)
		if diff := cmp.Diff(once, State(&endpoint.Status), cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("written twice (-first +second):\n%s", diff)
		}
	}
}

func BenchmarkNumbers(b *testing.B) {
	g := gen{rand.New(rand.NewPCG(19, 20))}
	numbers := g.numbers()
	b.ReportAllocs()
	for b.Loop() {
		written := APINumbers(numbers)
		Numbers(&written)
	}
}
