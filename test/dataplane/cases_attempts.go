// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package dataplane

import (
	"fmt"
	"strings"
	"time"

	"github.com/turnout-ai/turnout/api/v1alpha1"
)

// attemptRows: how many attempts there are, at whom, when, and what the caller is told when none has answered.
var attemptRows = []Row{
	{"attempts and their deadline", budgetCases},
	{"the scope of attempts", scopeCases},
	{"backoff", backoffCases},
	{"the retry budget", retryBudgetCases},
	{"requests that own state elsewhere", pinnedCases},
	{"requests with effects", effectCases},
	{"last resort, and reject", exhaustedCases},
	{"the most useful error", usefulCases},
}

// budgetCases: how many attempts there are, and until when.
var budgetCases = []Case{
	{
		Name: "one request makes at most its attempts", Policy: attempts(2),
		Providers: []Provider{fails("500", "failure"), fails("503", "failure"), idle(), idle()},
		Want:      Answer{Status: 502, Code: "upstream_unavailable", Retry: "false", Tried: "failure, failure", Says: []string{"2 attempts"}},
	},
	{
		Name:      "without a word there are three attempts",
		Providers: []Provider{fails("500", "failure"), fails("503", "failure"), fails("reset", "reset"), idle()},
		Want:      Answer{Status: 502, Code: "upstream_unavailable", Retry: "false", Tried: "failure, failure, reset"},
		Over:      Fresh,
	},
	{
		Name: "when all were tried those that failed are tried again, in the same order", Policy: all(attempts(5), quickBackoff, restsAfter(9)),
		Providers: []Provider{
			{Rules: rule("500"), Outcomes: "3*failure", Failures: 3},
			{Rules: rule("error-in-200"), Outcomes: "2*failure", Failures: 2},
		},
		Want: Answer{Status: 502, Code: "upstream_unavailable", Retry: "false", Tried: "failure, failure, failure, failure, failure"},
	},
	{
		Name: "an endpoint that failed answers when it is tried again", Policy: quickBackoff,
		Providers: []Provider{
			scripted(inTurn(says(500, "{}"), answersEither), "failure success"),
			{Rules: rule("502"), Outcomes: "failure", Failures: 1},
		},
	},
	{
		Name: "a single endpoint is tried again", Policy: quickBackoff,
		Providers: []Provider{scripted(inTurn(says(500, "{}"), says(529, "{}"), answersEither), "2*failure success")},
	},
	{
		Name: "an endpoint that has said why is not tried again", Policy: all(attempts(6), quickBackoff),
		Providers: []Provider{
			barred("unauthorized", "auth_failure", "ProviderAuthFailure"), barred("quota", "quota_exhausted", "QuotaExhausted"),
			barred("model-not-found", "model_not_found", "ModelNotFound"), fails("region", "denied"),
		},
		Want: Answer{Status: 502, Code: "upstream_unavailable", Retry: "any", Tried: "auth_failure, quota_exhausted, model_not_found, denied"},
	},
	{
		Name: "the deadline ends the request, and blames nobody", Policy: all(deadline("400ms"), timeouts(func(t *v1alpha1.Timeouts) {
			t.FirstToken, t.Connect = new(v1alpha1.Duration("390ms")), new(v1alpha1.Duration("390ms"))
		})),
		// A long input has ten seconds more to its first content, so that it is the deadline that ends it.
		Ask:       Request{Content: `"` + strings.Repeat("many words ", 5000) + `"`},
		Providers: []Provider{harmless("hang", "deadline"), idle()},
		Want:      Answer{Status: 504, Code: "upstream_timeout", Retry: "false", Tried: "deadline"},
	},
}

// scopeCases: where attempts may go.
var scopeCases = []Case{
	{
		Name: "attempts stay at the first endpoint if the policy says so", Policy: all(scope(v1alpha1.RetrySameEndpoint), quickBackoff),
		Providers: []Provider{scripted(inTurn(says(500, "{}"), says(503, "{}"), answersEither), "2*failure success"), idle()},
	},
	{
		Name: "a request that must stay at the first endpoint fails with it", Policy: all(scope(v1alpha1.RetrySameEndpoint), quickBackoff),
		Providers: []Provider{{Rules: rule("500"), Outcomes: "3*failure", Failures: 3}, idle()},
		Want:      Answer{Status: 502, Code: "upstream_unavailable", Retry: "false", Tried: "failure, failure, failure"},
	},
	{
		Name: "attempts stay at the first provider if the policy says so", Policy: scope(v1alpha1.RetrySameProvider),
		Providers: []Provider{
			{Rules: rule("500"), Outcomes: "failure", Failures: 1, Endpoint: of("same")},
			{Endpoint: of("other")},
			{Outcomes: "success", Endpoint: of("same")},
		},
	},
}

// backoffCases: when an endpoint is tried again.
var backoffCases = []Case{
	{
		Name: "an endpoint is left alone for the fixed backoff before it is tried again", Policy: backoff(v1alpha1.BackoffFixed, "400ms", "5s"),
		Providers: []Provider{scripted(inTurn(says(500, "{}"), answersEither), "failure success")},
		Do:        apart(400 * time.Millisecond),
	},
	{
		Name: "an endpoint that asks for a pause gets it, if the policy obeys", Policy: backoff(v1alpha1.BackoffRetryAfter, "1ms", "5s"),
		Providers: []Provider{scripted(inTurn(saysWith(503, "Retry-After-Ms: 500\r\n", "{}"), answersEither), "failure success")},
		Do:        apart(500 * time.Millisecond),
	},
	{
		Name: "a jittered backoff is up to its base", Policy: backoff(v1alpha1.BackoffExponentialJitter, "1ms", "5s"),
		Providers: []Provider{scripted(inTurn(says(500, "{}"), answersEither), "failure success")},
	},
	{
		// A random time within more than a year is hardly ever within the deadline.
		Name: "an endpoint that is due after the deadline is not waited for", Policy: backoff(v1alpha1.BackoffExponentialJitter, "9999h", "9999h"),
		Providers: []Provider{{Rules: rule("500"), Outcomes: "failure", Failures: 1}},
		Want:      Answer{Status: 502, Code: "upstream_unavailable", Retry: "false", Tried: "failure"},
	},
	{
		Name: "after a 429 an endpoint is not tried before the time it has named", Policy: quickBackoff,
		Providers: []Provider{scripted(inTurn(saysWith(429, "Retry-After-Ms: 500\r\n", apiError("requests", "rate_limit_exceeded", "Slow down.")), answersEither),
			"rate_limited success")},
		Do: apart(500 * time.Millisecond),
	},
	{
		Name: "an endpoint that asks for longer than the longest backoff is not tried again", Policy: backoff(v1alpha1.BackoffRetryAfter, "1ms", "1s"),
		Providers: []Provider{barred("rate-limit;wait=5s", "rate_limited", "RateLimited")},
		Want:      Answer{Status: 429, Code: "rate_limit_exceeded", Retry: "true", RetryAfter: 6, Tried: "rate_limited"},
	},
}

// retryBudgetCases: how many attempts beyond the first there may be in all.
var retryBudgetCases = []Case{
	{
		Name: "the retry budget keeps an outage from multiplying the load", Over: JSON | Fresh,
		Policy: all(restsAfter(1000), func(spec *v1alpha1.RoutingPolicySpec) { spec.Retry.BudgetPercent = new(int32(1)) }),
		Providers: []Provider{
			{Rules: rule("500"), Outcomes: "14*failure", Failures: 14}, {Outcomes: "10*success"},
		},
		Do: func(t *Trial) {
			for n := range 14 {
				want := Answer{}
				if n >= 10 {
					want = Answer{Status: 502, Code: "upstream_unavailable", Retry: "false", Tried: "failure"}
				}
				t.check(t.ask(), &want)
			}
		},
	},
	{
		Name: "a fresh connection and what goes without our field cost no retry budget", Over: Stream | Fresh,
		Policy: all(restsAfter(1000), func(spec *v1alpha1.RoutingPolicySpec) { spec.Retry.BudgetPercent = new(int32(1)) }),
		Providers: []Provider{
			scripted(func(c *Call) bool {
				if strings.Contains(c.Body, "stream_options") {
					return c.say(400, "", `{"error":{"message":"stream_options is not supported","type":"invalid_request_error","param":"stream_options","code":"unsupported_parameter"}}`)
				}
				return c.say(500, "", "{}") // so that it is never learned
			}, "11*unsupported 11*failure").failing(11), {Outcomes: "10*success"},
		},
		Do: func(t *Trial) {
			for range 10 {
				t.check(t.ask(), &Answer{})
			}
			t.check(t.ask(), &Answer{Status: 502, Code: "upstream_unavailable", Retry: "false", Tried: "unsupported, failure"})
		},
	},
}

// pinnedCases: requests that only one endpoint can answer.
var pinnedCases = []Case{
	pinned("an earlier response", Request{Fields: `"previous_response_id":"resp_1"`}, 1),
	pinned("a conversation", Request{Fields: `"conversation":"conv_1"`}, 1),
	pinned("a file", Request{Content: `[{"type":"file","file":{"file_id":"file-1"}},{"type":"text","text":"What is it?"}]`}, 3),
	pinned("an earlier answer in sound", Request{Messages: `[{"role":"assistant","audio":{"id":"audio_1"}},{"role":"user","content":"Again."}]`}, 3),
	{
		Name:      "a request that belongs to its first endpoint goes there although it rests",
		Ask:       Request{Fields: `"previous_response_id":"resp_1"`},
		Policy:    all(attempts(1), restsAfter(2)),
		Providers: []Provider{scripted(inTurn(says(500, "{}"), says(500, "{}"), answersEither), "2*failure success").standing(varies), idle()},
		Over:      Fresh,
		Do: func(t *Trial) {
			for range 2 {
				t.check(t.ask(), &Answer{Status: 502, Code: "any", Retry: "any"})
			}
			got := t.ask()
			if got.Status != 200 || got.content() == "" {
				t.Errorf("status %d: %s", got.Status, got.Body)
			}
		},
	},
	{
		Name: "a request that belongs to its first endpoint is told when that is on standby",
		Over: Fresh,
		Ask:  Request{Fields: `"previous_response_id":"resp_1"`},
		Providers: []Provider{
			{Stands: suspended, Endpoint: func(spec *v1alpha1.ModelEndpointSpec) { spec.Suspend = new(true) }}, idle(),
		},
		Want: Answer{Status: 503, Code: "any", Retry: "any", Says: []string{"tandby"}},
	},
}

// effectCases: requests that are not made twice.
var effectCases = []Case{
	effects("is stored", Request{Fields: `"store":true`}),
	effects("runs in the background", Request{Fields: `"background":true`}),
	effects("uses tools of the provider", Request{Fields: `"tools":[{"type":"web_search"}]`}),
}

// exhaustedCases: nobody is left.
var exhaustedCases = []Case{
	{
		Name:      "when all rest the one due back first is tried",
		Policy:    all(attempts(1), restsAfter(2)),
		Providers: []Provider{scripted(inTurn(says(500, "{}"), says(500, "{}"), answersEither), "2*failure success").standing(varies)},
		Over:      Fresh,
		Do: func(t *Trial) {
			for range 2 {
				t.check(t.ask(), &Answer{Status: 502, Code: "upstream_unavailable", Retry: "false", Tried: "failure"})
			}
			if got := t.ask(); got.Status != 200 || got.content() == "" {
				t.Errorf("status %d: %s", got.Status, got.Body)
			}
		},
	},
	{
		Name: "when all rest the caller is refused if the policy says so",
		Policy: all(attempts(1), restsAfter(2), reject, func(spec *v1alpha1.RoutingPolicySpec) {
			spec.Recovery.Cooldown = new(v1alpha1.Duration("50s"))
		}),
		Providers: []Provider{{Rules: rule("500"), Outcomes: "2*failure", Failures: 2, Stands: "Resting ErrorThreshold"}},
		Over:      Fresh,
		Do: func(t *Trial) {
			for range 2 {
				t.check(t.ask(), &Answer{Status: 502, Code: "upstream_unavailable", Retry: "false", Tried: "failure"})
			}
			t.check(t.ask(), &Answer{Status: 503, Code: "all_on_standby", Retry: "true", RetryAfter: 51})
		},
	},
	{
		Name:   "an endpoint that rests meanwhile is not tried again if the policy says so",
		Policy: all(attempts(9), restsAfter(2), reject, backoff(v1alpha1.BackoffFixed, "2s", "5s")), Over: JSON | Fresh,
		Providers: []Provider{
			scripted(says(500, "{}"), "2*failure").failing(2).standing("Resting ErrorThreshold"),
		},
		Do: func(t *Trial) {
			first := make(chan *Reply, 1)
			go func() { first <- t.ask() }()
			t.await("waiting for the first failure", func() bool { return t.places[0].requests() == 1 })
			second := t.ask() // while the first request waits to try again: with it the endpoint rests
			for _, got := range []*Reply{<-first, second} {
				t.check(got, &Answer{Status: 502, Code: "upstream_unavailable", Retry: "false", Tried: "failure"})
			}
		},
	},
}

// usefulCases: what the caller is told.
var usefulCases = []Case{
	{
		Name: "what a provider says about the request is more use than failures", Policy: attempts(2),
		Providers: []Provider{harmless("context-length", "context_length"), fails("500", "failure")},
		Want:      Answer{Status: 400, Code: "context_length_exceeded", Retry: "false", Tried: "context_length, failure"},
	},
	{
		Name: "what a provider says about the request is more use than failures before it", Policy: attempts(2),
		Providers: []Provider{fails("500", "failure"), harmless("413", "unsupported")},
		Want:      Answer{Status: 413, Code: "request_too_large", Retry: "false", Tried: "failure, unsupported"},
	},
	{
		Name: "a failure and a pause are an error that counts both", Policy: attempts(2),
		Providers: []Provider{fails("500", "failure"), barred("rate-limit;wait=40s", "rate_limited", "RateLimited")},
		Want:      Answer{Status: 502, Code: "upstream_unavailable", Retry: "any", Tried: "failure, rate_limited", Says: []string{"1 × failure, 1 × rate_limited"}},
	},
	{
		Name: "when none answers in time it is a timeout", Policy: all(impatient, attempts(2)),
		Providers: []Provider{fails("hang", "timeout"), fails("hang-body", "timeout")},
		Want:      Answer{Status: 504, Code: "upstream_timeout", Retry: "false", Tried: "timeout, timeout", Says: []string{"2 × timeout"}},
	},
	{
		Name: "an error tells what was tried, and nothing about where", Policy: attempts(2), Over: Fresh,
		Providers: []Provider{{Place: refused, Outcomes: "connect_error", Failures: 1}, fails("reset", "reset")},
		Want:      Answer{Status: 502, Code: "upstream_unavailable", Retry: "false", Tried: "connect_error, reset", Hides: []string{"127.0.0.1", "-w-a", "-w-b", "-s-a", "-s-b"}},
	},
}

// apart makes the case's request and wants its two attempts to be so far apart at least.
func apart(least time.Duration) func(*Trial) {
	return func(t *Trial) {
		if got := t.ask(); got.Status != 200 || got.content() == "" {
			t.Errorf("status %d: %s", got.Status, got.Body)
		}
		heard := t.script().heard()
		if len(heard) != 2 {
			t.Fatalf("the provider got %d requests, want 2", len(heard))
		}
		if pause := heard[1].At.Sub(heard[0].At); pause < least {
			t.Errorf("it was left alone for %s, want %s at least", pause, least)
		}
	}
}

// pinned is a case of a request that only its first endpoint can answer. It is tried so often there: what may have had
// an effect, once.
func pinned(what string, ask Request, times int) Case {
	return Case{
		Name: "a request that goes on from " + what + " belongs to its first endpoint, and is asked of no other",
		Ask:  ask, Policy: all(quickBackoff, restsAfter(9)),
		Providers: []Provider{scripted(says(500, "{}"), fmt.Sprintf("%d*failure", times)).failing(times), idle()},
		Want:      Answer{Status: 502, Code: "any", Retry: "false", Tried: strings.Repeat(", failure", times)[2:]},
	}
}

// effects is a case of a request that must not be made twice.
func effects(how string, ask Request) Case {
	return Case{
		Name: "a request that " + how + " is not repeated once it was sent",
		Over: Fresh, Ask: ask,
		Providers: []Provider{{Place: refused, Outcomes: "connect_error", Failures: 1}, fails("reset", "reset"), idle()},
		Want:      Answer{Status: 502, Code: "not_repeated", Retry: "false", Tried: "connect_error, reset"},
	}
}
