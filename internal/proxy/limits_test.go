// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package proxy_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/turnout-ai/turnout/internal/calendar"
	"github.com/turnout-ai/turnout/internal/modelsim"
	"github.com/turnout-ai/turnout/internal/modelstate"
	"github.com/turnout-ai/turnout/internal/pricing"
	"github.com/turnout-ai/turnout/internal/quota"
	"github.com/turnout-ai/turnout/internal/routing"
)

// limited is a change for newRig: it gives endpoint a these limits.
func limited(l routing.Limits) func(*routing.Input) {
	return func(in *routing.Input) { in.Endpoints[0].Limits = l }
}

// thisMonth is the period of the rig's endpoints, which name none.
func thisMonth() time.Time { return calendar.Period{Unit: calendar.Monthly}.Start(time.Now()) }

// lend grants the proxy so much of a limit of endpoint a, in all.
func (r *rig) lend(limit quota.Limit, granted int64) {
	r.lendAll(map[quota.Limit]int64{limit: granted})
}

func (r *rig) lendAll(granted map[quota.Limit]int64) {
	var grants []quota.Grant
	for limit, n := range granted {
		grants = append(grants, quota.Grant{Key: quota.Key{Limit: limit, Start: thisMonth()}, Granted: n})
	}
	r.proxy.Book().Granted([]quota.EndpointGrant{{Endpoint: quota.Endpoint{UID: "uid-a"}, Grants: grants}}, 1, time.Now())
}

// ask is what the proxy says about a limit of a.
func (r *rig) ask(limit quota.Limit) quota.Ask {
	for _, e := range r.proxy.Book().Asks(time.Now(), 5*time.Second) {
		for _, a := range e.Asks {
			if e.UID == "uid-a" && a.Limit == limit {
				return a
			}
		}
	}
	return quota.Ask{}
}

// free is what the proxy has left of a limit of a, as its administration port shows it.
func (r *rig) free(limit string) string {
	r.t.Helper()
	var table struct {
		Endpoints []struct {
			Limits []struct{ Limit, Free string }
		}
	}
	_, text := page(r.t, r.proxy.AdminHandler(r.registry), "/debug/table")
	if err := json.Unmarshal([]byte(text), &table); err != nil {
		r.t.Fatal(err)
	}
	for _, l := range table.Endpoints[0].Limits {
		if l.Limit == limit {
			return l.Free
		}
	}
	return "none"
}

// opens has the purse of a opened, by a request that finds it empty.
func (r *rig) opens() {
	r.t.Helper()
	if got := r.chat(false); got.status == http.StatusOK && r.requests("a") > 0 {
		r.t.Fatal("served without a grant")
	}
}

func TestAnEndpointAtALimitIsPassedOver(t *testing.T) {
	delivery(t, "requests", func(t *testing.T, stream bool) {
		r := newRig(t, "a b", limited(routing.Limits{Requests: 100}))
		for i := range 3 {
			if got := r.chat(stream); got.status != 200 || got.err != nil {
				t.Fatalf("status %d: %s", got.status, got.body)
			}
			if i == 0 {
				r.lend(quota.Requests, 1)
			}
		}
		if a, b := r.requests("a"), r.requests("b"); a != 1 || b != 2 {
			t.Errorf("a got %d requests and b %d, want the one that was lent and the others", a, b)
		}
		if n := r.metric("turnout_limit_refusals_total", "endpoint", "a", "limit", "Requests"); n != 2 {
			t.Errorf("%v refusals are counted", n)
		}
		if n := r.metric("turnout_limit_waits_total"); n != 0 {
			t.Errorf("%v requests have waited although b was there", n)
		}
		eventually(t, "passing over counts as an attempt", func() bool { return strings.Count(r.log.String(), `"attempts":1`) == 3 })
		if s := r.signal("a"); s.Failures != 0 {
			t.Errorf("%+v: a limit is no failure", s)
		}
	})
}

func TestARequestWaitsForAGrant(t *testing.T) {
	delivery(t, "requests", func(t *testing.T, stream bool) {
		r := newRig(t, "a", limited(routing.Limits{Requests: 1000, Tokens: 1_000_000}))
		for try := range 20 { // a machine that does other things may be too slow for a quarter of a second
			got := make(chan reply, 1)
			go func() { got <- r.chat(stream) }()
			eventually(t, "nothing is asked for", func() bool { return r.ask(quota.Requests).Need > 0 && r.ask(quota.Tokens).Need > 0 })
			r.lendAll(map[quota.Limit]int64{quota.Requests: int64(try + 1), quota.Tokens: 100_000})
			answer := <-got
			if r.shortWaits() == 0 { // the wait has run its time
				r.proxy.Book().Disowned()
				continue
			}
			if answer.status != 200 || answer.err != nil || r.requests("a") == 0 {
				t.Fatalf("status %d, a got %d requests: %s", answer.status, r.requests("a"), answer.body)
			}
			if n := r.metric("turnout_limit_waits_total", "outcome", "granted"); n == 0 {
				t.Error("the wait is not counted")
			}
			eventually(t, "the access log does not say that it waited", func() bool { return strings.Contains(r.log.String(), `"turnout.limit_wait_ms":`) })
			return
		}
		t.Error("a request that waits is never woken")
	})
}

func TestALimitIsAnsweredInWords(t *testing.T) {
	const price = 1_000_000 * pricing.Dollar // for a million tokens: a dollar for each
	hour := time.Now().Add(time.Hour).Truncate(time.Second)
	for name, c := range map[string]struct {
		limits    routing.Limits
		prepare   func(r *rig)
		code      string
		says      string
		wait      [2]int // Retry-After
		again     string
		exhausted bool
	}{
		"requests, none lent": {routing.Limits{Requests: 10}, nil, "request_limit", `too little left of the request limit of endpoint "a"`, [2]int{1, 1}, "true", false},
		"tokens":              {routing.Limits{Tokens: 1000}, nil, "token_limit", `too little left of the token limit of endpoint "a"`, [2]int{1, 1}, "true", false},
		"budget":              {routing.Limits{Budget: 100 * pricing.Dollar}, nil, "budget_exceeded", `too little left of the budget of endpoint "a"`, [2]int{1, 1}, "true", false},
		"requests, used up by the fleet": {
			routing.Limits{Requests: 10},
			func(r *rig) { r.tell("a", standby(0, modelstate.RequestLimit, hour)) },
			"request_limit", `the request limit of endpoint "a" is used up until ` + hour.UTC().Format(time.RFC3339),
			[2]int{3500, 3600},
			"false", true,
		},
		"a budget that is used up": {
			routing.Limits{Budget: pricing.Dollar},
			func(r *rig) { r.tell("a", standby(0, modelstate.BudgetExceeded, hour)) },
			"budget_exceeded", `the budget of endpoint "a" is used up until ` + hour.UTC().Format(time.RFC3339),
			[2]int{3500, 3600},
			"false", true,
		},
		"used up with a little left here": {
			routing.Limits{Tokens: 1000}, func(r *rig) {
				r.opens()
				r.lend(quota.Tokens, 5)
				r.tell("a", standby(0, modelstate.TokenLimit, hour))
			}, "token_limit", `the token limit of endpoint "a" is used up until ` + hour.UTC().Format(time.RFC3339), [2]int{3500, 3600}, "false", true,
		},
		"requests per minute": {routing.Limits{RequestsPerMinute: 10}, func(r *rig) { r.chat(false) }, "rate_limit", `the limit of requests per minute of endpoint "a" is reached until `, [2]int{2, 7}, "true", false},
		"tokens per minute":   {routing.Limits{TokensPerMinute: 100}, func(r *rig) { r.chat(false); r.chat(false) }, "rate_limit", `the limit of tokens per minute of endpoint "a" is reached until `, [2]int{1, 60}, "true", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, "a", func(in *routing.Input) {
				limited(c.limits)(in)
				in.Endpoints[0].Priced, in.Endpoints[0].Price = true, pricing.Price{Input: price, Output: price}
			})
			if c.prepare != nil {
				c.prepare(r)
			}
			before, waits := r.requests("a"), r.metric("turnout_limit_waits_total")
			got := r.chat(false)
			var e struct {
				Error struct{ Type, Code, Message string }
			}
			if err := json.Unmarshal([]byte(got.body), &e); err != nil {
				t.Fatal(err)
			}
			if got.status != 429 || e.Error.Type != "rate_limit_error" || e.Error.Code != c.code || !strings.Contains(e.Error.Message, c.says) {
				t.Errorf("status %d, %s; want %s: %s", got.status, got.body, c.code, c.says)
			}
			wait, err := strconv.Atoi(got.header.Get("Retry-After"))
			if err != nil || wait < c.wait[0] || wait > c.wait[1] || got.header.Get("X-Should-Retry") != c.again {
				t.Errorf("Retry-After %q, x-should-retry %q", got.header.Get("Retry-After"), got.header.Get("X-Should-Retry"))
			}
			if r.requests("a") != before {
				t.Error("it was tried all the same")
			}
			if waited := r.metric("turnout_limit_waits_total") > waits; c.exhausted && waited {
				t.Error("it waited for what is used up")
			}
			eventually(t, "the access log does not say why", func() bool { return strings.Contains(r.log.String(), `"error":"`+c.code+`"`) })
		})
	}
}

func TestOnlyWhatWasNotSentIsGivenBack(t *testing.T) {
	for fault, want := range map[string]string{"refused": "1", "503": "0", "reset": "0", "unauthorized": "0"} {
		t.Run(fault, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, "a b", limited(routing.Limits{Requests: 100}))
			r.opens()
			r.lend(quota.Requests, 1)
			if fault == "refused" {
				r.sims["a"].Refuse(0)
			} else {
				r.fault("a", fault, 0)
			}
			if got := r.chat(false); got.status != 200 {
				t.Fatalf("status %d", got.status)
			}
			if got := r.free("Requests"); got != want {
				t.Errorf("%s are free, want %s", got, want)
			}
		})
	}
}

// A connection that turns out to be closed may have carried the request: the attempt on a fresh one is another unit.
func TestTheSecondAttemptOnAFreshConnectionNeedsItsOwnUnit(t *testing.T) {
	r := newRig(t, "a b", limited(routing.Limits{Requests: 100}))
	r.opens()
	r.lend(quota.Requests, 2)
	r.chat(false)
	if _, err := r.sims["a"].Sim.AddRule(modelsim.Rule{Fault: "close", Connection: modelsim.ConnectionReused, Count: 1}); err != nil {
		t.Fatal(err)
	}
	before := r.requests("b")
	if got := r.chat(false); got.status != 200 || r.requests("b") != before+1 {
		t.Errorf("status %d, b got %d requests", got.status, r.requests("b")-before)
	}
	if u := r.usage("a"); u.Requests != 2 || r.free("Requests") != "0" {
		t.Errorf("%d attempts at a, %s free, want the two that were lent", u.Requests, r.free("Requests"))
	}
}

// hungry answers with a use far beyond what was asked for.
func hungry(t *testing.T, output int) string {
	t.Helper()
	body := strings.TrimSuffix(rawAnswer, "}") + fmt.Sprintf(`,"usage":{"prompt_tokens":10,"completion_tokens":%d,"total_tokens":%d}}`, output, output+10)
	url, _ := rawProvider(t, fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", len(body), body))
	return url
}

func TestOvershootIsPaidBeforeTheNextAttempt(t *testing.T) {
	r := newRig(t, "a", func(in *routing.Input) {
		limited(routing.Limits{Tokens: 10_000})(in)
		in.Endpoints[0].URL = hungry(t, 490)
	})
	r.opens()
	r.lend(quota.Tokens, 100)
	for range 2 {
		r.chat(false)
	}
	if got := r.free("Tokens"); got != "-400" {
		t.Fatalf("%s tokens are free", got)
	}
	r.lend(quota.Tokens, 500)
	if got := r.chat(false); got.code() != "token_limit" {
		t.Errorf("%d %s: served before what was used is lent", got.status, got.body)
	}
	r.lend(quota.Tokens, 600)
	if got := r.chat(false); got.status != 200 {
		t.Errorf("%d %s", got.status, got.body)
	}
}

// With what an answer may be at worst no small budget would ever admit a request.
func TestWhatIsSetAside(t *testing.T) {
	const n = `{"model":"chat","n":3,"max_tokens":100,"messages":[{"role":"user","content":"Say something."}]}`
	const open = `{"model":"chat","messages":[{"role":"user","content":"Say something."}]}`
	const long = `{"model":"chat","max_tokens":5000,"messages":[{"role":"user","content":"Say something."}]}`
	const input = 5 // tokens, of "user" and "Say something."
	for name, c := range map[string]struct {
		body   string
		worst  bool
		output int64
	}{
		"nothing is known":               {open, false, 1024},
		"the request allows less":        {chatBody, false, 32},
		"the request allows more":        {long, false, 1024},
		"three answers":                  {n, false, 300},
		"at worst":                       {open, true, 128_000},
		"at worst, but for the request":  {long, true, 5000},
		"at worst, three answers of it":  {n, true, 300},
		"the worst request is as it is ": {chatBody, true, 32},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, "a", func(in *routing.Input) {
				e := &in.Endpoints[0]
				e.MaxOutputTokens = 128_000
				e.Limits = routing.Limits{Tokens: 1_000_000, Budget: 10 * pricing.Dollar, ReserveWorst: c.worst}
				e.Priced, e.Price = true, pricing.Price{Input: 10 * pricing.Dollar, Output: 10 * pricing.Dollar, Request: 7}
			})
			r.post("/chat/completions", c.body)
			want := []int64{input + c.output, (input+c.output)*10_000 + 7}
			if diff := cmp.Diff(want, []int64{r.ask(quota.Tokens).Need, r.ask(quota.Budget).Need}); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestADollarAdmitsAModelOfLongAnswers(t *testing.T) {
	for name, worst := range map[string]bool{"as expected": false, "at worst": true} {
		r := newRig(t, "a", func(in *routing.Input) {
			e := &in.Endpoints[0]
			e.MaxOutputTokens = 128_000
			e.Limits = routing.Limits{Budget: pricing.Dollar, ReserveWorst: worst}
			e.Priced, e.Price = true, pricing.Price{Input: 10 * pricing.Dollar, Output: 10 * pricing.Dollar}
		})
		r.opens()
		r.lend(quota.Budget, pricing.Dollar/50)
		got := r.post("/chat/completions", `{"model":"chat","messages":[{"role":"user","content":"Say something."}]}`)
		if worst && got.code() != "budget_exceeded" || !worst && got.status != 200 {
			t.Errorf("%s: status %d, %s", name, got.status, got.body)
		}
	}
}

func TestEmbeddingsHaveNoOutputToSetAside(t *testing.T) {
	r := newRig(t, "a", func(in *routing.Input) {
		in.Endpoints[0].Model, in.Endpoints[0].Capabilities = "sim-embed", []string{"text-embeddings"}
		in.Endpoints[0].Limits = routing.Limits{Tokens: 1000}
	})
	r.post("/embeddings", `{"model":"chat","input":"twelve bytes"}`)
	if a := r.ask(quota.Tokens); a.Need != 3 {
		t.Errorf("%+v, want the input alone", a)
	}
}

func TestAnswersAreExpectedToBeAsTheyWere(t *testing.T) {
	r := newRig(t, "a", func(in *routing.Input) {
		limited(routing.Limits{Tokens: 1_000_000})(in)
		in.Endpoints[0].URL = hungry(t, 60)
	})
	const three = `{"model":"chat","n":3,"messages":[{"role":"user","content":"Say something."}]}`
	r.opens()
	r.lend(quota.Tokens, 20_000)
	for range 8 {
		if got := r.post("/chat/completions", three); got.status != 200 {
			t.Fatalf("%d %s", got.status, got.body)
		}
	}
	r.proxy.Book().Disowned()
	r.post("/chat/completions", three)
	if a := r.ask(quota.Tokens); a.Need < 64 || a.Need > 100 {
		t.Errorf("%+v, want three answers of twenty tokens, at most a quarter too large", a)
	}
}

func TestOneAtOnceIsOneAtOnce(t *testing.T) {
	r := newRig(t, "a b", limited(routing.Limits{ConcurrentRequests: 1}))
	r.fault("a", "stall;after=2;wait=1h", 1)
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, r.url+"/chat/completions", strings.NewReader(streamBody))
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	for range 2 {
		if got := r.chat(false); got.status != 200 || r.requests("a") != 1 {
			t.Fatalf("status %d, a got %d requests", got.status, r.requests("a"))
		}
	}
	leave()
	eventually(t, "a is not tried again once the caller has left", func() bool { return r.chat(false).status == 200 && r.requests("a") == 2 })
}

// A place that becomes free goes to a request that waits for it.
func TestAnAttemptThatEndsWakesOneThatWaits(t *testing.T) {
	r := newRig(t, "a", limited(routing.Limits{ConcurrentRequests: 1}))
	for range 20 {
		r.fault("a", "hang;wait=50ms", 1)
		both := make(chan reply, 2)
		for range 2 {
			go func() { both <- r.chat(false) }()
		}
		first, second := <-both, <-both
		if first.status == 200 && second.status == 200 && r.metric("turnout_limit_waits_total", "outcome", "granted") > 0 {
			return
		}
	}
	t.Error("no request was served after a wait")
}

// shortWaits is how many waits have ended before their time.
func (r *rig) shortWaits() uint64 {
	families, err := r.registry.Gather()
	if err != nil {
		r.t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() == "turnout_limit_wait_seconds" {
			for _, bucket := range family.GetMetric()[0].GetHistogram().GetBucket() {
				if bucket.GetUpperBound() == .2 {
					return bucket.GetCumulativeCount()
				}
			}
		}
	}
	r.t.Fatal("waits are not measured")
	return 0
}

func TestOneWhoLeavesDoesNotWait(t *testing.T) {
	r := newRig(t, "a", limited(routing.Limits{Requests: 10}))
	eventually(t, "a caller that left while it waited is not noticed", func() bool {
		ctx, leave := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer leave()
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, r.url+"/chat/completions", strings.NewReader(chatBody))
		if err != nil {
			t.Fatal(err)
		}
		if response, err := http.DefaultClient.Do(request); err == nil {
			_ = response.Body.Close()
		}
		return r.metric("turnout_limit_waits_total", "outcome", "client_disconnect") > 0 && r.shortWaits() > 0
	})
	if n := r.metric("turnout_requests_in_flight"); n != 0 {
		eventually(t, "the request is still there", func() bool { return r.metric("turnout_requests_in_flight") == 0 })
	}
}

func TestTheMostUsefulAnswerOfSeveral(t *testing.T) {
	hour := time.Now().Add(time.Hour)
	for name, c := range map[string]struct {
		fault  string // of b
		spent  bool   // a's limit is used up for an hour
		status int
		code   string
		says   []string
		again  string
	}{
		"one failed, the other may soon serve":        {"503", false, 429, "request_limit", []string{"1 × failure", `request limit of endpoint "a"`}, "true"},
		"one failed, the other is used up":            {"503", true, 502, "upstream_unavailable", []string{"1 × failure"}, "false"},
		"one asks to wait, the other may soon serve":  {"rate-limit", false, 429, "rate_limit_exceeded", []string{"rate limited by its provider", `request limit of endpoint "a"`}, "true"},
		"one has spent its quota, the other its own":  {"quota", true, 429, "rate_limit_exceeded", []string{"rate limited by its provider"}, "true"},
		"one says that the request is wrong for both": {"context-length", false, 400, "context_length_exceeded", nil, "false"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, "a b", func(in *routing.Input) {
				limited(routing.Limits{Requests: 10})(in)
				in.Policies[0].Attempts = 1
			})
			r.fault("b", c.fault, 0)
			if c.spent {
				r.tell("a", standby(0, modelstate.RequestLimit, hour))
			}
			got := r.chat(false)
			if got.status != c.status || got.code() != c.code || got.header.Get("X-Should-Retry") != c.again {
				t.Errorf("status %d, x-should-retry %s: %s", got.status, got.header.Get("X-Should-Retry"), got.body)
			}
			for _, text := range c.says {
				if !strings.Contains(strings.ReplaceAll(got.body, `\"`, `"`), text) {
					t.Errorf("%s does not say %q", got.body, text)
				}
			}
		})
	}
}

func TestWithoutAnOperator(t *testing.T) {
	for name, open := range map[string]bool{"FailOpen": true, "FailClosed": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, "a", limited(routing.Limits{Requests: 10, FailOpen: open}))
			r.opens()
			var got reply
			var waits float64
			eventually(t, "nobody answers, and nothing is made of it", func() bool {
				r.proxy.Book().Asks(time.Now().Add(11*time.Second), time.Second) // as if it were then
				waits = r.metric("turnout_limit_waits_total")
				got = r.chat(false)
				return got.status == 200 || strings.Contains(got.body, "does not answer")
			})
			if open != (got.status == 200) || open != (r.usage("a").Requests == 1) {
				t.Errorf("status %d: %s", got.status, got.body)
			}
			if r.metric("turnout_limit_waits_total") != waits {
				t.Error("it waited for somebody who does not answer")
			}
			if !open && (got.code() != "request_limit" || got.header.Get("X-Should-Retry") != "false") {
				t.Errorf("x-should-retry %s: %s", got.header.Get("X-Should-Retry"), got.body)
			}
		})
	}
}

func TestADrainGivesBackWhatIsNotUsed(t *testing.T) {
	r := newRig(t, "a", limited(routing.Limits{Requests: 100}))
	r.opens()
	r.lend(quota.Requests, 20)
	r.chat(false)
	now := time.Now() // nothing is idle yet
	returned := func() (n int64) {
		for _, e := range r.proxy.Book().Asks(now, time.Second) {
			n += e.Asks[0].Returned
		}
		return n
	}
	if n := returned(); n != 0 {
		t.Fatalf("%d are given back before the drain", n)
	}
	drained := make(chan error, 1)
	stop, cancel := context.WithCancel(context.Background())
	go func() { drained <- r.proxy.Drain(stop, time.Hour) }() // goes on taking requests until it is told to stop
	eventually(t, "nothing is given back", func() bool { return returned() == 19 })
	r.lend(quota.Requests, 21)
	if got := r.chat(false); got.status != 200 {
		t.Errorf("status %d: a request during the drain is served out of what it needs", got.status)
	}
	cancel()
	if err := <-drained; err != nil && !strings.Contains(err.Error(), "still running") {
		t.Error(err)
	}
}

// The attempt belongs to the period whose grant admitted it.
func TestAStreamThatEndsAfterMidnightIsOfTheDayBefore(t *testing.T) {
	release := make(chan struct{}, 1)
	provider := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprint(w, `data: {"choices":[{"index":0,"delta":{"content":"x"}}]}`+"\n\n")
		_ = http.NewResponseController(w).Flush()
		<-release
		fmt.Fprint(w, `data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":5,"completion_tokens":45,"total_tokens":50}}`+"\n\ndata: [DONE]\n\n")
	}))
	defer provider.Close()
	for range 10 { // midnight is near; a slow machine may be too late
		now := time.Now()
		midnight := now.Add(1500 * time.Millisecond).Truncate(time.Second)
		zone := time.FixedZone("near", 86_400-int(midnight.Unix()%86_400))
		day := calendar.Period{Unit: calendar.Daily, Zone: zone}
		r := newRig(t, "a", func(in *routing.Input) {
			in.Endpoints[0].URL, in.Endpoints[0].QuotaPeriod = provider.URL+"/v1", day
			in.Endpoints[0].Limits = routing.Limits{Tokens: 100_000}
		})
		before := day.Start(now)
		got := make(chan reply, 1)
		go func() { got <- r.chat(true) }()
		<-r.proxy.Book().Urgent()
		r.proxy.Book().Granted([]quota.EndpointGrant{{Endpoint: quota.Endpoint{UID: "uid-a"}, Grants: []quota.Grant{
			{Key: quota.Key{Limit: quota.Tokens, Start: before}, Granted: 5000},
		}}}, 1, now)
		admitted := func() bool { n := r.proxy.Book().Numbers(time.Now()); return len(n) == 1 && len(n[0].Quota) == 1 }
		tick := time.NewTicker(time.Millisecond)
		for !admitted() && time.Now().Before(midnight) {
			<-tick.C
		}
		tick.Stop()
		if !admitted() || !r.proxy.Book().Numbers(now)[0].Quota[0].Start.Equal(before) {
			release <- struct{}{}
			<-got
			select {
			case <-release:
			default:
			}
			continue
		}
		<-time.After(time.Until(midnight.Add(10 * time.Millisecond)))
		release <- struct{}{}
		if answer := <-got; answer.status != 200 || answer.err != nil {
			t.Fatalf("status %d, error %v", answer.status, answer.err)
		}
		eventually(t, "it does not settle", func() bool { return r.proxy.Book().Numbers(time.Now())[0].Quota[0].Tokens.Total() == 50 })
		for _, e := range r.proxy.Book().Asks(time.Now().Add(30*time.Second), time.Second) {
			for _, a := range e.Asks {
				if a.Start.Equal(before) && a.Returned != 4950 {
					t.Errorf("%+v, want all but the 50 tokens that it used", a)
				}
			}
		}
		if n := r.proxy.Book().Numbers(time.Now())[0].Quota; len(n) != 1 {
			t.Errorf("%+v: something is booked on the new day", n)
		}
		return
	}
	t.Error("no stream was admitted before midnight")
}

func TestTheAdministrationPortShowsLimits(t *testing.T) {
	r := newRig(t, "a b", limited(routing.Limits{Requests: 100, Budget: pricing.Dollar, RequestsPerMinute: 66, ConcurrentRequests: 5}))
	r.opens()
	r.lendAll(map[quota.Limit]int64{quota.Requests: 20, quota.Budget: pricing.Dollar / 4})
	r.chat(false)
	ends := calendar.Period{Unit: calendar.Monthly}.Next(time.Now()).Format(time.RFC3339)
	for path, texts := range map[string][]string{
		"/debug/table": {
			`"amount": "100"`, `"granted": "20"`, `"spent": "1"`, `"free": "19"`, `"ends": "` + ends + `"`, `"free": "0.25"`, `"share": "66"`,
			`"summary": "at most 100 over all proxies until ` + ends + `; this one was lent 20, has used or set aside 1, and may use 19"`,
			`"summary": "at most 66 over all proxies; this one may use 66"`,
			`"summary": "at most 5 at once over all proxies; this one may have 5 under way, and has 0"`,
		},
		"/debug/explain?model=chat": {`"limits": [`, `this one was lent 20`},
	} {
		_, text := page(t, r.proxy.AdminHandler(r.registry), path)
		for _, want := range texts {
			if !strings.Contains(text, want) {
				t.Errorf("%s: %s is missing in %s", path, want, text)
			}
		}
	}
}
