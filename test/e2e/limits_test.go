// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/turnout-ai/turnout/api/v1alpha1"
	"github.com/turnout-ai/turnout/internal/modelsim/ledger"
)

// limitedProxies is how many proxies share the limits of these tests, limitedCallers how many callers wear them out.
const limitedProxies, limitedCallers = 5, 16

// Limits hold over a fleet, whoever of it is killed. The provider's own ledger is the witness.
func TestLimitsHold(t *testing.T) {
	l := newLimitedFleet(t)
	for round := range rounds(t) {
		for _, c := range []struct {
			name, endpoint string
			test           func(l *limitedFleet, endpoint string)
		}{
			{"not one too many whoever is killed", "hunted", (*limitedFleet).notOneTooMany},
			{"not one too few when nobody is", "exact", (*limitedFleet).notOneTooFew},
			{"two operators lend no more than one", "rivals", (*limitedFleet).rivals},
			{"a budget is passed by attempts under way alone", "budget", (*limitedFleet).budget},
			{"a small limit serves all it has at once", "small", (*limitedFleet).oneAfterTheOther},
		} {
			t.Run(fmt.Sprintf("%s, round %d", c.name, round+1), func(t *testing.T) {
				c.test(l.in(t), fmt.Sprintf("%s-%d", c.endpoint, round+1))
			})
		}
	}
	t.Run("nobody lends while the operator is away", func(t *testing.T) { l.in(t).withoutOperator() })
	t.Run("a proxy that ends gives back what it had", func(t *testing.T) { l.in(t).drained() })
}

// limitedFleet is a fleet for tests of limits.
type limitedFleet struct {
	*fleet
	crew   *crew
	chance *rand.Rand
	// operators are one that leads, and another that may lead beside it.
	operators []*operator
	// zone is that of the limits.
	zone string
}

// operator is one that leads without an election: a new one leads at once, and two of them do not know of each
// other.
type operator struct {
	fleet *fleet
	name  string
	runs  bool
	life  int
	kill  func()
}

func (o *operator) start() {
	o.life++
	p := o.fleet.start(fmt.Sprintf("%s-life-%d", o.name, o.life), o.fleet.binaries.Operator, nil, nil,
		"--kubeconfig", o.fleet.cluster.Kubeconfig, "--leader-elect=false",
		"--metrics-bind-address", "0", "--health-probe-bind-address", "0")
	o.runs, o.kill = true, func() { o.runs = false; p.Kill() }
}

func newLimitedFleet(t *testing.T) *limitedFleet {
	t.Helper()
	f := newFleet(t, 0)
	f.operator.Kill()
	seed := chanceSeed(t)
	l := &limitedFleet{fleet: f, chance: rand.New(rand.NewPCG(seed, 1)), zone: "UTC"}
	if time.Now().UTC().Hour() >= 18 { // so that no day ends while the tests run
		l.zone = "Asia/Tokyo"
	}
	l.operators = []*operator{{fleet: f, name: "operator-a"}, {fleet: f, name: "operator-b"}}
	l.operators[0].start()
	l.crew = newCrew(f, limitedProxies)
	// One that is not registered can be lent nothing.
	f.await("waiting for the proxies to register themselves", func(ctx context.Context) error { return f.instances(ctx, limitedProxies) })
	return l
}

// in is the fleet for a part of the test.
func (l *limitedFleet) in(t *testing.T) *limitedFleet {
	part, f := *l, *l.fleet
	f.t = t
	part.fleet = &f
	return &part
}

// limited makes an endpoint with limits, a provider of its own that answers at once, and a policy that serves
// nothing else under that name; and waits until all know of it.
func (l *limitedFleet) limited(name, limits, rest string) {
	l.t.Helper()
	l.addProvider(name, "--time-to-first-token", "5ms", "--tokens-per-second", "0")
	spec := strings.TrimSuffix(l.endpoints(name), "---\n")
	l.apply(spec + fmt.Sprintf(`  limits: {%s, timeZone: %s}
%s
---
apiVersion: turnout.dev/v1alpha1
kind: RoutingPolicy
metadata: {name: %[4]s}
spec:
  models: [%[4]s]
  capability: chat-completion
  tiers:
  - endpoints: [{name: %[4]s}]
`, limits, l.zone, rest, name))
	l.awaitStatus(name, v1alpha1.StatusActive)
	for _, p := range l.proxies {
		l.await("waiting for "+p.Name()+" to know "+name, func(ctx context.Context) error {
			page, err := get(ctx, "http://"+p.admin+"/debug/explain?model="+name)
			if err == nil && !strings.Contains(page, `"endpoint": "`) {
				err = fmt.Errorf("it has no candidate: %s", page)
			}
			return err
		})
	}
}

// attempts are what the provider of an endpoint was asked to answer.
func (l *limitedFleet) attempts(name string) []ledger.Entry {
	l.t.Helper()
	books, err := ledger.Read(l.providers[name].ledger)
	if os.IsNotExist(err) {
		return nil
	}
	l.must(err)
	return slices.DeleteFunc(books.Entries, func(e ledger.Entry) bool { return !strings.HasSuffix(e.Records[0].Path, "/chat/completions") })
}

// awaitUsedUp waits until the operator says that a limit is used up, and returns how it stands.
func (l *limitedFleet) awaitUsedUp(name string, reason v1alpha1.DeactivationReason) v1alpha1.LimitStatus {
	l.t.Helper()
	e := l.awaitStatus(name, v1alpha1.StatusStandby)
	if state := e.Status.ModelState; state.DeactivationReason != reason || state.Message == "" {
		l.t.Errorf("%s rests for %s (%s), want %s", name, state.DeactivationReason, state.Message, reason)
	}
	return e.Status.Limits[0]
}

// notOneTooMany kills proxies and operators at random while callers wear a limit of a thousand out.
func (l *limitedFleet) notOneTooMany(name string) {
	const limit = 1000
	l.limited(name, "quota: {period: Daily, requests: 1000}", "")
	load := l.hammer(name, limitedCallers, short)
	kills := map[string]int{}
	for !l.usedUp(name) {
		before := load.total()
		l.await("waiting for callers to be answered, if only with a refusal", func(context.Context) error {
			if n := load.total() - before; n < 40 {
				return fmt.Errorf("%d answers", n)
			}
			return nil
		})
		switch victim := l.chance.IntN(limitedProxies + 3); {
		case victim < limitedProxies:
			kills["proxies"]++
			l.crew.replace(victim, l.chance.IntN(2) == 0)
		default:
			kills["operators"] += l.shuffleOperators()
		}
	}
	l.oneOperator()
	stands := l.awaitUsedUp(name, v1alpha1.DeactivationRequestLimit)
	load.stop()
	n := len(l.attempts(name))
	l.t.Logf("%d attempts of %d at the provider; %d proxies and %d operators killed; callers: %s", n, limit, kills["proxies"], kills["operators"], load)
	if n > limit {
		l.t.Errorf("the provider had %d attempts, %d too many", n, n-limit)
	}
	if n < limit/10 || kills["proxies"]+kills["operators"] < 3 {
		l.t.Errorf("%d attempts and %v killed are no test", n, kills)
	}
	if stands.Used != "1000" || stands.Left != "0" || stands.Leased != "0" {
		l.t.Errorf("status has %+v, want all of it used", stands)
	}
}

// usedUp reports whether the operator says that an endpoint rests.
func (l *limitedFleet) usedUp(name string) bool {
	l.t.Helper()
	e := &v1alpha1.ModelEndpoint{}
	l.must(l.client.Get(l.t.Context(), client.ObjectKey{Namespace: "default", Name: name}, e))
	return e.Status.ModelState != nil && e.Status.ModelState.Status == v1alpha1.StatusStandby
}

// shuffleOperators kills and starts operators: afterwards one of them leads, or two at once. It returns how many it
// has killed.
func (l *limitedFleet) shuffleOperators() (killed int) {
	for _, o := range l.operators {
		if o.runs && l.chance.IntN(2) == 0 {
			o.kill()
			killed++
		}
	}
	for _, o := range l.operators {
		if !o.runs && l.chance.IntN(2) == 0 {
			o.start()
		}
	}
	if !l.operators[0].runs && !l.operators[1].runs {
		l.operators[l.chance.IntN(2)].start()
	}
	return killed
}

// oneOperator has exactly one of them lead.
func (l *limitedFleet) oneOperator() {
	if l.operators[1].runs {
		l.operators[1].kill()
	}
	if !l.operators[0].runs {
		l.operators[0].start()
	}
}

// rivals has two operators lead at once.
func (l *limitedFleet) rivals(name string) {
	l.operators[1].start()
	defer l.oneOperator()
	l.notOneTooFew(name)
}

// notOneTooFew lets callers wear a limit of a thousand out: it is to be used to the last request.
func (l *limitedFleet) notOneTooFew(name string) {
	l.limited(name, "quota: {period: Daily, requests: 1000}", "")
	begun := time.Now()
	load := l.hammer(name, limitedCallers, short)
	stands := l.awaitUsedUp(name, v1alpha1.DeactivationRequestLimit)
	took := time.Since(begun)
	load.stop()
	n, served := len(l.attempts(name)), load.served.Load()
	l.t.Logf("%d attempts at the provider, %d requests served in %s; callers: %s", n, served, took.Round(time.Millisecond), load)
	if n != 1000 || served != 1000 {
		l.t.Errorf("%d attempts, %d requests served; want 1000", n, served)
	}
	if stands.Used != "1000" || stands.Left != "0" || stands.Leased != "0" || stands.Amount != "1000" {
		l.t.Errorf("status has %+v, want all of it used", stands)
	}
	l.await("waiting for people to be told", func(ctx context.Context) error {
		if out := l.kubectl(ctx, "get", "mep", name); !strings.Contains(out, "1000/1000") || !strings.Contains(out, string(v1alpha1.DeactivationRequestLimit)) {
			return fmt.Errorf("kubectl get mep says\n%s", out)
		}
		return nil
	})
}

// The prices of the budget's endpoint, in nano-dollars per token.
const inputPrice, outputPrice = 10_000, 20_000

func costOf(e ledger.Entry) int64 {
	t := e.Last().Tokens
	return int64(t.Prompt)*inputPrice + int64(t.Completion)*outputPrice
}

// budget lets callers wear a dollar out with streams and whole answers of any length. What goes beyond it can only
// be what attempts used that were under way when their proxy admitted its last one.
func (l *limitedFleet) budget(name string) {
	const dollar = 1_000_000_000
	l.limited(name, `quota: {period: Daily}, budget: {period: Daily, amount: "1.00"}`, `  pricing: {inputTokens: "10", outputTokens: "20"}
  constraints: {maxOutputTokens: 2000}`)
	l.lengths(name)
	load := l.hammer(name, limitedCallers, anyLength)
	stands := l.awaitUsedUp(name, v1alpha1.DeactivationBudgetExceeded)
	load.stop()
	entries := l.attempts(name)
	var spent, largest int64
	for _, e := range entries {
		spent += costOf(e)
		largest = max(largest, costOf(e))
	}
	over, bound, outer := spent-dollar, underWay(entries), limitedCallers*largest
	l.t.Logf("$%s spent in %d attempts, the largest of $%s: $%s beyond the budget; at most $%s was under way with the last ones, $%s at any time; callers: %s",
		dollars(spent), len(entries), dollars(largest), dollars(over), dollars(bound), dollars(outer), load)
	if over > bound || over > outer {
		l.t.Errorf("the budget is passed by $%s, more than what was under way can explain: $%s", dollars(over), dollars(min(bound, outer)))
	}
	if spent < dollar*99/100 {
		l.t.Errorf("only $%s of the budget was used", dollars(spent))
	}
	if stands.Left != "0" || stands.Leased != "0" {
		l.t.Errorf("status has %+v, want all of it used", stands)
	}
	l.await("waiting for the books to have what the provider has", func(ctx context.Context) error {
		e := &v1alpha1.ModelEndpoint{}
		if err := l.client.Get(ctx, client.ObjectKey{Namespace: "default", Name: name}, e); err != nil {
			return err
		}
		if have := rational(e.Status.ModelState.CostAccumulated); have.Cmp(rational(v1alpha1.Money(dollars(spent)))) != 0 {
			return fmt.Errorf("costAccumulated is %s, the provider's ledger has %s", e.Status.ModelState.CostAccumulated, dollars(spent))
		}
		return nil
	})
}

func dollars(nanos int64) string {
	sign := ""
	if nanos < 0 {
		sign, nanos = "-", -nanos
	}
	return fmt.Sprintf("%s%d.%09d", sign, nanos/1_000_000_000, nanos%1_000_000_000)
}

// underWay sums up, for each proxy, what those attempts cost that were under way when it sent its last one: a proxy
// admits nothing once more was used than it was lent.
func underWay(entries []ledger.Entry) (sum int64) {
	last := map[string]time.Time{}
	for _, e := range entries {
		proxy, _, _ := strings.Cut(e.Records[0].Attempt, "-")
		if at := e.Records[0].Time; at.After(last[proxy]) {
			last[proxy] = at
		}
	}
	const onItsWay = 300 * time.Millisecond // between a proxy and its provider
	for _, e := range entries {
		proxy, _, _ := strings.Cut(e.Records[0].Attempt, "-")
		if e.Last().Time.After(last[proxy].Add(-onItsWay)) {
			sum += costOf(e)
		}
	}
	return sum
}

// lengths has a provider answer at any length.
func (l *limitedFleet) lengths(name string) {
	l.t.Helper()
	rules := `[{"timing":"tokens=1200;time-to-first-token=100ms","probability":0.05},{"timing":"tokens=400;time-to-first-token=50ms","probability":0.3},
		{"timing":"tokens=30","probability":0.5},{"timing":"tokens=150;time-to-first-token=20ms"}]`
	request, err := http.NewRequestWithContext(l.t.Context(), http.MethodPut, "http://"+l.providers[name].address+"/_sim/rules", strings.NewReader(rules))
	l.must(err)
	response, err := http.DefaultClient.Do(request)
	l.must(err)
	l.must(response.Body.Close())
	if response.StatusCode >= 300 {
		l.t.Fatalf("the provider does not take the rules: %s", response.Status)
	}
}

// oneAfterTheOther asks one proxy after the other: a limit of ten serves ten, wherever they come. What is lent to
// others has to come back within the wait of one request; a machine that is busy with something else may make that
// several, and a caller that is told to come again does so.
func (l *limitedFleet) oneAfterTheOther(name string) {
	const limit, tries = 10, 20
	l.limited(name, "quota: {period: Daily, requests: 10}", "")
	var slowest time.Duration
	again := 0
	for i := range limit {
		a := answer{kind: refused}
		for try := 1; a.kind == refused && try <= tries; try++ {
			begun := time.Now()
			a = send(l.t.Context(), l.proxies[i%len(l.proxies)].address, short(name, l.chance))
			slowest = max(slowest, time.Since(begun))
			again += min(try-1, 1)
		}
		if a.kind != served {
			l.t.Errorf("request %d of %d: %s", i+1, limit, a)
		}
	}
	a := send(l.t.Context(), l.proxies[0].address, short(name, l.chance))
	seconds, _ := strconv.Atoi(a.header.Get("Retry-After"))
	l.t.Logf("%d served, the slowest after %s, %d refusals on the way; the next got %d, Retry-After %q",
		limit, slowest.Round(time.Millisecond), again, a.status, a.header.Get("Retry-After"))
	if a.status != http.StatusTooManyRequests || seconds < 1 {
		l.t.Errorf("one more: %s with Retry-After %q, want 429 and a time", a, a.header.Get("Retry-After"))
	}
	if n := len(l.attempts(name)); n != limit {
		l.t.Errorf("the provider had %d attempts, want %d", n, limit)
	}
}

// granted is what all proxies together were lent of the requests of an endpoint, without what they gave back.
func (l *limitedFleet) granted(ctx context.Context, name string) (sum int64) {
	l.t.Helper()
	var list v1alpha1.ProxyInstanceList
	l.must(l.client.List(ctx, &list, client.InNamespace("default")))
	returned := map[string]int64{}
	for _, i := range list.Items {
		for _, a := range i.Status.Asks {
			if a.Name == name && len(a.Limits) > 0 {
				returned[string(i.UID)] = a.Limits[0].Returned
			}
		}
	}
	var endpoint v1alpha1.ModelEndpoint
	l.must(l.client.Get(ctx, client.ObjectKey{Namespace: "default", Name: name}, &endpoint))
	for _, account := range endpoint.Status.Ledger {
		for _, lease := range account.Leases {
			sum += lease.Granted - max(lease.Returned, returned[lease.UID])
		}
	}
	return sum
}

// withoutOperator kills the operator: proxies use what they were lent and no more, unless they may.
func (l *limitedFleet) withoutOperator() {
	const shut, open = "closed", "open"
	l.limited(shut, "quota: {period: Daily, requests: 1000}", "")
	l.limited(open, "quota: {period: Daily, requests: 1000}, onControlPlaneLoss: FailOpen", "")
	loads := map[string]*hammering{}
	for _, name := range []string{shut, open} {
		loads[name] = l.hammer(name, limitedProxies, short)
		l.await("waiting for "+name+" to be served", func(context.Context) error {
			if n := loads[name].served.Load(); n < 50 {
				return fmt.Errorf("%d served", n)
			}
			return nil
		})
	}
	l.operators[0].kill()
	l.await("waiting for FailOpen to go on when all that was lent is used", func(ctx context.Context) error {
		lent, used := map[string]int64{}, map[string]int64{}
		for name := range loads {
			lent[name], used[name] = l.granted(ctx, name), int64(len(l.attempts(name)))
		}
		if used[shut] > lent[shut] {
			l.t.Fatalf("%d attempts at %s, and %d were lent", used[shut], shut, lent[shut])
		}
		if used[open] < lent[open]+100 {
			return fmt.Errorf("%d attempts at %s, and %d were lent", used[open], open, lent[open])
		}
		return nil
	})
	l.await("waiting for all that was lent to be used, or given back", func(ctx context.Context) error {
		if lent, used := l.granted(ctx, shut), int64(len(l.attempts(shut))); used != lent {
			return fmt.Errorf("%d attempts at %s, and %d were lent", used, shut, lent)
		}
		return nil
	})
	l.t.Logf("without an operator: %d attempts of %d lent at %s; %d of %d at %s",
		len(l.attempts(shut)), l.granted(l.t.Context(), shut), shut, len(l.attempts(open)), l.granted(l.t.Context(), open), open)
	l.operators[0].start()
	l.awaitUsedUp(shut, v1alpha1.DeactivationRequestLimit)
	for _, load := range loads {
		load.stop()
	}
	if n := len(l.attempts(shut)); n != 1000 {
		l.t.Errorf("%d attempts at %s once the operator was back, want 1000", n, shut)
	}
}

// drained ends a proxy in order: what it was lent and has not used is there for others.
func (l *limitedFleet) drained() {
	const name, limit, used = "drained", 100, 10
	l.limited(name, "quota: {period: Daily, requests: 100}", "")
	leaving := l.crew.current[0]
	for i := range used {
		if a := send(l.t.Context(), leaving.address, short(name, l.chance)); a.kind != served {
			l.t.Errorf("request %d: %s", i+1, a)
		}
	}
	lent := l.granted(l.t.Context(), name)
	if lent <= used {
		l.t.Fatalf("it was lent %d and has used %d: there is nothing to give back", lent, used)
	}
	l.must(leaving.Stop(l.t.Context()))
	load := l.hammerAt(name, l.crew.current[1:], limitedCallers, short)
	stands := l.awaitUsedUp(name, v1alpha1.DeactivationRequestLimit)
	load.stop()
	n := len(l.attempts(name))
	l.t.Logf("the one that ended was lent %d and has used %d; %d attempts of %d in all; callers: %s", lent, used, n, limit, load)
	if n != limit {
		l.t.Errorf("the provider had %d attempts, want %d: what was given back was not used", n, limit)
	}
	if stands.Used != "100" || stands.Leased != "0" {
		l.t.Errorf("status has %+v, want all of it used", stands)
	}
}

// body is what a caller asks for; the chance makes it different each time.
type body func(model string, chance *rand.Rand) string

func short(model string, _ *rand.Rand) string {
	return `{"model":"` + model + `","messages":[{"role":"user","content":"Go."}]}`
}

func anyLength(model string, chance *rand.Rand) string {
	text := fmt.Sprintf(`{"model":%q,`, model)
	if chance.IntN(2) == 0 {
		text += `"stream":true,"stream_options":{"include_usage":true},`
	}
	if chance.IntN(2) == 0 {
		text += fmt.Sprintf(`"max_tokens":%d,`, 1+chance.IntN(600))
	}
	return text + fmt.Sprintf(`"messages":[{"role":"user","content":%q}]}`, strings.Repeat("some words more ", chance.IntN(40))+strconv.Itoa(chance.IntN(1<<30)))
}
