// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package proxy_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/turnout-ai/turnout/internal/modelsim"
	"github.com/turnout-ai/turnout/internal/modelstate"
	"github.com/turnout-ai/turnout/internal/pricing"
	"github.com/turnout-ai/turnout/internal/routing"
)

// usage is what the books say of an endpoint's only period.
func (r *rig) usage(name string) modelstate.Usage {
	r.t.Helper()
	for _, n := range r.proxy.Book().Numbers(time.Now()) {
		if n.Name == name {
			if len(n.Quota) != 1 || cmp.Diff(n.Quota, n.Budget) != "" {
				r.t.Errorf("quota %+v, budget %+v", n.Quota, n.Budget)
			}
			return n.Quota[0].Usage
		}
	}
	return modelstate.Usage{}
}

// signal is what the proxy says about an endpoint.
func (r *rig) signal(name string) modelstate.Signal {
	signals, _ := r.proxy.Book().Signals(time.Now())
	for _, s := range signals {
		if s.Name == name {
			return s
		}
	}
	return modelstate.Signal{}
}

// tell writes the state of an endpoint.
func (r *rig) tell(name string, s modelstate.State) {
	r.proxy.PublishStates(map[string]modelstate.State{"uid-" + name: s})
}

// host is where an endpoint is, as messages name it.
func (r *rig) host(name string) string { return strings.TrimPrefix(r.sims[name].URL(), "http://") }

func standby(epoch int64, reason modelstate.Reason, until time.Time) modelstate.State {
	return modelstate.State{Epoch: epoch, Verdicts: []modelstate.Verdict{{Reason: reason, Since: time.Now(), Until: until}}}
}

func TestAProvidersOwnWordBarsAtOnceAndTheNextServes(t *testing.T) {
	for fault, want := range map[string]struct {
		reason modelstate.Reason
		status int
	}{
		"unauthorized":    {modelstate.ProviderAuthFailure, 401},
		"quota":           {modelstate.QuotaExhausted, 429},
		"model-not-found": {modelstate.ModelNotFound, 404},
	} {
		delivery(t, fault, func(t *testing.T, stream bool) {
			r := newRig(t, "a b", nil)
			r.fault("a", fault, 0)
			for range 3 {
				if got := r.chat(stream); got.status != 200 || got.err != nil {
					t.Fatalf("status %d: %s", got.status, got.body)
				}
			}
			if n := r.requests("a"); n != 1 {
				t.Errorf("a got %d requests, want 1: its provider has said why", n)
			}
			s := r.signal("a")
			if s.Failures != 0 || len(s.Statements) != 1 || s.Statements[0].Reason != want.reason ||
				s.Statements[0].Message != fmt.Sprintf("%d from %s", want.status, r.host("a")) {
				t.Errorf("%+v, want one statement and no failure", s)
			}
			if u := r.usage("a"); u.Requests != 1 || u.Tokens != (modelstate.Tokens{}) || u.Estimated.Requests != 0 {
				t.Errorf("%+v: a refusal uses nothing but a request", u)
			}
			if r.metric("turnout_endpoints_barred") != 1 || r.metric("turnout_endpoints_resting") != 0 {
				t.Error("a does not count as barred")
			}
		})
	}
}

func TestNobodyLeftIsAnsweredByTheReasons(t *testing.T) {
	soon := time.Now().Add(40 * time.Second)
	for name, c := range map[string]struct {
		a, b   modelstate.State
		status int
		code   string
		wait   bool
		says   []string
	}{
		"both are rate limited": {standby(2, modelstate.RateLimited, soon.Add(time.Hour)), standby(2, modelstate.RateLimited, soon), 429, "rate_limit_exceeded", true, []string{"RateLimited"}},
		"a quota is spent too":  {standby(2, modelstate.QuotaExhausted, soon.Add(time.Hour)), standby(2, modelstate.RateLimited, soon), 429, "rate_limit_exceeded", true, []string{"RateLimited", "QuotaExhausted"}},
		"a key is refused":      {standby(2, modelstate.ProviderAuthFailure, time.Time{}), standby(2, modelstate.RateLimited, soon), 503, "all_on_standby", true, []string{"RateLimited", "ProviderAuthFailure"}},
		"no time brings back":   {standby(2, modelstate.ProviderAuthFailure, time.Time{}), standby(2, modelstate.ProviderAuthFailure, time.Time{}), 503, "all_on_standby", false, []string{"ProviderAuthFailure"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, "a b", nil)
			r.tell("a", c.a)
			r.tell("b", c.b)
			got := r.chat(false)
			if got.status != c.status || got.code() != c.code {
				t.Errorf("status %d, %s; want %d %s", got.status, got.body, c.status, c.code)
			}
			var wait int
			_, err := fmt.Sscan(got.header.Get("Retry-After"), &wait)
			if waits := err == nil && wait > 0 && wait <= 40; waits != c.wait || got.header.Get("X-Should-Retry") != fmt.Sprint(c.wait) {
				t.Errorf("Retry-After %q, x-should-retry %q", got.header.Get("Retry-After"), got.header.Get("X-Should-Retry"))
			}
			for _, reason := range c.says {
				if !strings.Contains(got.body, reason) {
					t.Errorf("%s does not say %s", got.body, reason)
				}
			}
			if r.requests("a")+r.requests("b") != 0 {
				t.Error("one was tried all the same")
			}
		})
	}
}

func TestTheResetOfAQuotaIsObeyed(t *testing.T) {
	const body = `{"error":{"message":"You exceeded your current quota","type":"insufficient_quota","code":"insufficient_quota"}}`
	url, got := rawProvider(t, fmt.Sprintf("HTTP/1.1 429 Too Many Requests\r\nContent-Type: application/json\r\nRetry-After: 7200\r\n"+
		"X-Ratelimit-Reset-Requests: 1s\r\nContent-Length: %d\r\n\r\n%s", len(body), body))
	r := newRig(t, "a", func(in *routing.Input) { in.Endpoints[0].URL = url })
	for range 2 {
		answer := r.chat(false)
		if wait := answer.header.Get("Retry-After"); answer.status != 429 || wait != "7200" && wait != "7199" || answer.header.Get("X-Should-Retry") != "false" {
			t.Errorf("status %d, Retry-After %q, x-should-retry %q: %s", answer.status, wait, answer.header.Get("X-Should-Retry"), answer.body)
		}
	}
	if len(got) != 1 {
		t.Errorf("the provider got %d requests, want 1", len(got))
	}
	if until := time.Until(r.signal("a").Statements[0].Until); until < 7190*time.Second || until > 7200*time.Second {
		t.Errorf("the statement holds for %s", until)
	}
}

// What a provider says about its limits per minute says nothing about a quota.
func TestAQuotaDoesNotComeBackWithTheNextMinute(t *testing.T) {
	const body = `{"error":{"message":"You exceeded your current quota","type":"insufficient_quota","code":"insufficient_quota"}}`
	url, _ := rawProvider(t, fmt.Sprintf("HTTP/1.1 429 Too Many Requests\r\nContent-Type: application/json\r\n"+
		"X-Ratelimit-Reset-Requests: 1s\r\nContent-Length: %d\r\n\r\n%s", len(body), body))
	r := newRig(t, "a", func(in *routing.Input) { in.Endpoints[0].URL = url })
	answer := r.chat(false)
	if wait, err := strconv.Atoi(answer.header.Get("Retry-After")); answer.status != 429 || err != nil || wait < 30 || wait > 60 {
		t.Errorf("status %d, Retry-After %d, want the cooldown", answer.status, wait)
	}
	if until := r.signal("a").Statements[0].Until; !until.IsZero() {
		t.Errorf("it is said to last until %s", until)
	}
}

// Requests are reused; what the one before learned must not be booked again.
func TestNothingOfTheAttemptBeforeIsBooked(t *testing.T) {
	r := newRig(t, "a", func(in *routing.Input) { in.Endpoints[0].FeaturesKnown = true }) // and StreamUsage is none of them
	r.post("/chat/completions", strings.Replace(streamBody, `"stream":true`, includeUsage, 1))
	r.chat(true)
	r.chat(false)
	eventually(t, "three successes are not in the books", func() bool {
		n := r.proxy.Book().Numbers(time.Now())[0]
		return n.Total.Count() == 3
	})
	n := r.proxy.Book().Numbers(time.Now())[0]
	if n.Quota[0].Estimated.Requests != 1 {
		t.Errorf("%+v, want one estimate: the stream without usage", n.Quota[0])
	}
	if n.FirstToken.Count() != 2 || n.LastRequest.Before(n.Recent[0].At) {
		t.Errorf("%d first tokens of two streams; last request %s, want that of the answer in one piece", n.FirstToken.Count(), n.LastRequest)
	}
}

func TestOnlyAdviceIsOverriddenAsALastResort(t *testing.T) {
	for reason, want := range map[modelstate.Reason]int{
		modelstate.ErrorThreshold: 200, modelstate.ProviderOutage: 200, modelstate.ProbeFailed: 200,
		modelstate.QuotaExhausted: 429, modelstate.RateLimited: 429,
		modelstate.ProviderAuthFailure: 503, modelstate.ModelNotFound: 503,
	} {
		r := newRig(t, "a", nil)
		r.tell("a", standby(2, reason, time.Now().Add(time.Hour)))
		if got := r.chat(false); got.status != want {
			t.Errorf("%s: status %d, want %d", reason, got.status, want)
		}
	}
}

func TestATrialGetsItsShareAndTheOthersTheRest(t *testing.T) {
	r := newRig(t, "a b", nil)
	r.tell("a", modelstate.State{Epoch: 3, Trial: &modelstate.Trial{Since: time.Now(), InitialPercent: 20, Ramp: 24 * time.Hour, Successes: 3}})
	for range 50 {
		if got := r.chat(false); got.status != 200 {
			t.Fatalf("status %d: %s", got.status, got.body)
		}
	}
	if a, b := r.requests("a"), r.requests("b"); a != 10 || b != 40 {
		t.Errorf("a got %d and b %d, want 10 and 40", a, b)
	}
	r.fault("b", "503", 0)
	if got := r.chat(false); got.status != 200 {
		t.Errorf("status %d: on trial is better than nobody", got.status)
	}
	if s := r.signal("a"); s.Epoch != 3 || s.Successes != 11 {
		t.Errorf("%+v, want the successes of the trial", s)
	}
}

func TestAnEndpointThatIsBarredMeanwhileIsNotTried(t *testing.T) {
	r := newRig(t, "a b c", short)
	r.fault("a", "hang", 0)
	got := make(chan reply, 1)
	go func() { got <- r.chat(true) }()
	eventually(t, "the request never reached a", func() bool { return r.requests("a") == 1 })
	r.tell("b", standby(2, modelstate.RateLimited, time.Now().Add(time.Hour)))
	if answer := <-got; answer.status != 200 || r.requests("b") != 0 || r.requests("c") != 1 {
		t.Errorf("status %d; b got %d requests and c %d, want none and one", answer.status, r.requests("b"), r.requests("c"))
	}
}

// priced gives every endpoint a price: a dollar per million input tokens, two for output, and a microdollar
// per request.
func priced(in *routing.Input) {
	for i := range in.Endpoints {
		in.Endpoints[i].Priced = true
		in.Endpoints[i].Price = pricing.Price{Input: pricing.Dollar, CachedInput: pricing.Dollar, Output: 2 * pricing.Dollar, Request: 1000}
	}
}

func cost(u modelstate.Usage, answered int64) int64 {
	return u.Tokens.Input*1000 + u.Tokens.Output*2000 + answered*1000
}

const includeUsage = `"stream":true,"stream_options":{"include_usage":true}`

func TestUsageIsWhatTheProviderSaysOrMarkedAsAnEstimate(t *testing.T) {
	for name, c := range map[string]struct {
		body      string
		unable    bool // its streams do not say what they used
		estimated bool
	}{
		"JSON":                                       {chatBody, false, false},
		"a stream whose caller asks":                 {strings.Replace(streamBody, `"stream":true`, includeUsage, 1), false, false},
		"a stream whose caller does not ask":         {streamBody, false, false},
		"a stream of an endpoint that does not know": {streamBody, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, "a", func(in *routing.Input) {
				priced(in)
				in.Endpoints[0].FeaturesKnown = c.unable
			})
			got := r.post("/chat/completions", c.body)
			if got.status != 200 {
				t.Fatalf("status %d", got.status)
			}
			eventually(t, "the use is not in the books", func() bool { return r.usage("a").Tokens.Output > 0 })
			u := r.usage("a")
			if u.Requests != 1 || u.Cost != cost(u, 1) || u.Tokens.Input == 0 {
				t.Errorf("%+v", u)
			}
			if c.estimated {
				if u.Estimated != (modelstate.Estimate{Requests: 1, Tokens: u.Tokens, Cost: u.Cost}) || u.Tokens.Output != int64(len(got.content())+3)/4 {
					t.Errorf("%+v: want an estimate of %d bytes", u, len(got.content()))
				}
			} else if u.Estimated.Requests != 0 || u.Tokens.Output != 32 {
				t.Errorf("%+v: want the 32 tokens that the provider says", u)
			}
			if dollars := r.metric("turnout_cost_usd_total", "endpoint", "a"); int64(dollars*pricing.Dollar+.5) != u.Cost {
				t.Errorf("%v dollars for %d nano-dollars", dollars, u.Cost)
			}
			kind := map[bool]string{false: "output", true: "estimated_output"}[c.estimated]
			if n := r.metric("turnout_tokens_total", "type", kind); int64(n) != u.Tokens.Output {
				t.Errorf("%v tokens of type %s, want %d", n, kind, u.Tokens.Output)
			}
			eventually(t, "the access log does not say whether it is an estimate", func() bool {
				return strings.Contains(r.log.String(), fmt.Sprintf(`"gen_ai.usage.output_tokens":%d,"turnout.usage_estimated":%v,`, u.Tokens.Output, c.estimated))
			})
		})
	}
}

func TestAnAnswerWithoutUsageIsEstimated(t *testing.T) {
	url, _ := rawProvider(t, fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(rawAnswer), rawAnswer))
	r := newRig(t, "a", func(in *routing.Input) { in.Endpoints[0].URL = url })
	r.chat(false)
	if u := r.usage("a"); u.Estimated.Requests != 1 || u.Tokens.Output != 1 || u.Tokens.Input == 0 {
		t.Errorf("%+v, want the two letters of the answer as one token", u)
	}
}

// readsAndLeaves asks for a stream, and leaves with its first bytes.
func (r *rig) readsAndLeaves() {
	r.t.Helper()
	ctx, leave := context.WithCancel(r.t.Context())
	defer leave()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, r.url+"/chat/completions", strings.NewReader(streamBody))
	if err != nil {
		r.t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		r.t.Fatal(err)
	}
	defer response.Body.Close()
	if _, err := response.Body.Read(make([]byte, 1)); err != nil {
		r.t.Fatal(err)
	}
}

// A caller that leaves does not leave the bill: the provider has worked for it.
func TestACallerThatLeavesIsCharged(t *testing.T) {
	t.Run("before the first token", func(t *testing.T) {
		r := newRig(t, "a", func(in *routing.Input) {
			priced(in)
			in.Policies[0].Timeouts.FirstToken, in.Policies[0].Deadline = time.Hour, time.Hour
		})
		r.fault("a", "hang", 0)
		leaves(t, r, true)
		eventually(t, "the attempt is not in the books", func() bool { return r.usage("a").Estimated.Requests == 1 })
		if u := r.usage("a"); u.Requests != 1 || u.Tokens.Input == 0 || u.Tokens.Output != 0 || u.Cost != cost(u, 0) {
			t.Errorf("%+v, want the input and no request that was answered", u)
		}
	})
	t.Run("in the middle of a stream", func(t *testing.T) {
		r := newRig(t, "a", func(in *routing.Input) { priced(in); in.Policies[0].Timeouts.Idle = time.Hour })
		r.fault("a", "stall;after=4;wait=1h", 0)
		r.readsAndLeaves()
		eventually(t, "the attempt is not in the books", func() bool { return r.usage("a").Estimated.Requests == 1 })
		if u := r.usage("a"); u.Requests != 1 || u.Tokens.Input == 0 || u.Tokens.Output == 0 || u.Cost != cost(u, 1) {
			t.Errorf("%+v, want what was produced", u)
		}
		if s := r.signal("a"); s.Failures != 0 {
			t.Errorf("the provider is blamed: %+v", s)
		}
	})
}

func TestWhatAFailedAttemptUses(t *testing.T) {
	for fault, want := range map[string]struct {
		requests  int64
		estimated bool
		class     string // of the failure: connect, outage or other
		message   string
	}{
		"refused": {0, false, "connect", "connection refused by %s"},
		"503":     {1, false, "outage", "503 from %s"},
		"html":    {1, false, "other", "200 with an error, or with no answer, from %s"},
		"408":     {1, false, "other", "408 from %s"},
		"region":  {1, false, "other", "403 from %s"},
		"reset":   {1, true, "other", "connection broken by %s before it answered"},
		"hang":    {1, true, "other", "no content within 1"},
	} {
		t.Run(fault, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, "a b", short)
			if fault == "refused" {
				r.sims["a"].Refuse(0)
			} else {
				r.fault("a", fault, 0)
			}
			if got := r.chat(true); got.status != 200 {
				t.Fatalf("status %d", got.status)
			}
			u, s := r.usage("a"), r.signal("a")
			if u.Requests != want.requests || (u.Estimated.Requests == 1) != want.estimated || (u.Tokens.Input > 0) != want.estimated {
				t.Errorf("%+v", u)
			}
			class := "other"
			if s.Connect == 1 {
				class = "connect"
			} else if s.Outage == 1 {
				class = "outage"
			}
			message := want.message
			if strings.Contains(message, "%s") {
				message = fmt.Sprintf(message, r.host("a"))
			}
			if class != want.class || !strings.HasPrefix(s.Message, message) || s.Failures != 1 || s.Requests != 1 {
				t.Errorf("%+v, want %s and %q", s, want.class, message)
			}
		})
	}
}

func TestTheAccessLogListsEveryAttempt(t *testing.T) {
	r := newRig(t, "a b", nil)
	r.fault("a", "503", 1)
	r.chat(false)
	var line struct {
		RequestID string `json:"request_id"`
		Attempts  int    `json:"attempts"`
		Tries     []struct {
			Endpoint, Outcome string
			UpstreamStatus    int `json:"upstream_status"`
			InputTokens       int `json:"input_tokens"`
			OutputTokens      int `json:"output_tokens"`
			Estimated         bool
		} `json:"turnout.attempts"`
	}
	eventually(t, "no line", func() bool { return strings.Contains(r.log.String(), "\n") })
	if err := json.Unmarshal([]byte(r.log.String()), &line); err != nil {
		t.Fatalf("%v: %s", err, r.log.String())
	}
	if line.Attempts != 2 || len(line.Tries) != 2 {
		t.Fatalf("%s", r.log.String())
	}
	a, b := line.Tries[0], line.Tries[1]
	if a.Endpoint != "a" || a.Outcome != "failure" || a.UpstreamStatus != 503 || a.OutputTokens != 0 {
		t.Errorf("%+v", a)
	}
	if b.Endpoint != "b" || b.Outcome != "success" || b.UpstreamStatus != 200 || b.OutputTokens != 32 || b.Estimated {
		t.Errorf("%+v", b)
	}
	r.chat(false)
	eventually(t, "no second line", func() bool { return strings.Count(r.log.String(), "\n") == 2 })
	if n := strings.Count(r.log.String(), "turnout.attempts"); n != 1 {
		t.Errorf("attempts of the request before are listed again:\n%s", r.log.String())
	}
}

func TestAProxyWithoutANetworkBlamesItself(t *testing.T) {
	r := newRig(t, "a b", nil)
	r.sims["a"].Refuse(0)
	r.sims["b"].Refuse(0)
	r.chat(false)
	if _, isolated := r.proxy.Book().Signals(time.Now()); !isolated || r.metric("turnout_isolated") != 1 {
		t.Error("two providers refuse connections, and the proxy blames them")
	}
}

func TestTheTableShowsTheFleetsWordAndOurs(t *testing.T) {
	r := newRig(t, "a b", priced)
	r.tell("a", standby(7, modelstate.ModelNotFound, time.Now().Add(time.Hour)))
	r.chat(false)
	_, table := page(t, r.proxy.AdminHandler(r.registry), "/debug/table")
	for _, want := range []string{
		`"epoch": 7`, `"status": "Standby"`, `"standing": "Barred"`, `"reason": "ModelNotFound"`, `"cooldownRemaining": "`, `"standing": "InService"`, `"outputTokens": 32`, `"costUSD": "0.0000`,
	} {
		if !strings.Contains(table, want) {
			t.Errorf("%s is missing in %s", want, table)
		}
	}
	status, explained := page(t, r.proxy.AdminHandler(r.registry), "/debug/explain?model=chat")
	for _, want := range []string{`"standing": "InService"`, "ModelNotFound until ", ", for another ", `"cooldownRemaining": "`} {
		if status != http.StatusOK || !strings.Contains(explained, want) {
			t.Errorf("%s is missing in %d %s", want, status, explained)
		}
	}
	r.tell("a", standby(8, modelstate.ErrorThreshold, time.Now().Add(time.Minute)))
	if _, explained = page(t, r.proxy.AdminHandler(r.registry), "/debug/explain?model=chat"); !strings.Contains(explained, `"cooldownRemaining": "`) {
		t.Errorf("it is not said how long a still rests: %s", explained)
	}
}

// A stale connection was not heard by anybody, and the attempt after it is one of its own.
func TestAStaleConnectionUsesARequestAndNoTokens(t *testing.T) {
	r := newRig(t, "a", nil)
	r.chat(false)
	if _, err := r.sims["a"].Sim.AddRule(modelsim.Rule{Fault: "close", Connection: modelsim.ConnectionReused, Count: 1}); err != nil {
		t.Fatal(err)
	}
	before := r.usage("a")
	r.chat(false)
	after := r.usage("a")
	if after.Requests != before.Requests+2 || after.Tokens.Output != before.Tokens.Output+32 || after.Estimated.Requests != 0 {
		t.Errorf("%+v after %+v", after, before)
	}
}

// A trial waits for its first attempt to show something, and not for the end of a long stream.
func TestALongStreamDoesNotHoldUpATrial(t *testing.T) {
	r := newRig(t, "a b", nil)
	r.tell("a", modelstate.State{Epoch: 3, Trial: &modelstate.Trial{Since: time.Now().Add(-time.Hour), InitialPercent: 100, Successes: 3}})
	r.fault("a", "stall;after=2;wait=2s", 1)
	got := make(chan reply, 1)
	go func() { got <- r.chat(true) }()
	eventually(t, "the stream never reached a", func() bool { return r.requests("a") == 1 })
	eventually(t, "a is not tried again", func() bool { return r.chat(false).status == 200 && r.requests("a") == 2 })
	select {
	case <-got:
		t.Error("the stream had ended before")
	default:
	}
	<-got
}
