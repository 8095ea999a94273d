// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package dataplane

import (
	"net/http"
	"strings"

	"github.com/turnout-ai/turnout/internal/modelsim"
)

// quotaCases: a 402, or a quota that is spent.
var quotaCases = []Case{
	refusal("a 402", barred("payment-required", "quota_exhausted", "QuotaExhausted")),
	refusal("a 429 about a spent quota", barred("quota", "quota_exhausted", "QuotaExhausted")),
	refusal("a 400 about a credit balance that is too low", barred("credit-balance", "quota_exhausted", "QuotaExhausted")),
	refusal("a 429 about the requests of a day", scripted(
		says(429, apiError("requests", "", "Rate limit exceeded: free-models-per-day. Add credits to unlock more.")), "quota_exhausted").
		standing("Barred QuotaExhausted")),
	{
		Name: "when all have spent their quota the caller gets a 429",
		Providers: []Provider{
			scripted(saysWith(429, "Retry-After: 7200\r\n", apiError("insufficient_quota", "insufficient_quota", "You exceeded your current quota.")), "quota_exhausted").
				standing("Barred QuotaExhausted"),
		},
		Want: Answer{Status: 429, Code: "rate_limit_exceeded", Retry: "false", RetryAfter: 7200, Tried: "quota_exhausted"},
	},
}

// credentialCases: a key that is refused.
var credentialCases = []Case{
	refusal("a 401", barred("unauthorized", "auth_failure", "ProviderAuthFailure")),
	refusal("a 400 about a key that is not valid", barred("unauthorized;shape=gemini", "auth_failure", "ProviderAuthFailure")),
}

// modelCases: a model that is not there.
var modelCases = []Case{
	refusal("a 404 about the model", barred("model-not-found", "model_not_found", "ModelNotFound")),
	refusal("a 404 about a deployment", barred("model-not-found;shape=azure", "model_not_found", "ModelNotFound")),
	refusal("a 410 about the model", barred("model-gone", "model_not_found", "ModelNotFound")),
	{
		Name:      "a 404 about something of the caller's is the caller's, as it is",
		Providers: []Provider{scripted(says(404, apiError("invalid_request_error", "", "No such File object: file-x")), "client_error"), idle()},
		Want:      Answer{Status: 404, Retry: "false", Says: []string{"No such File object"}},
	},
}

// forbiddenCases: a 403.
var forbiddenCases = []Case{
	refusal("a 403 about a model that is not the project's", barred("model-forbidden", "model_not_found", "ModelNotFound")),
	{
		Name:      "a 403 about a region concerns that endpoint alone, and the next answers",
		Providers: []Provider{fails("region", "denied"), answers()},
	},
	{
		Name:      "a 403 about a permission concerns that endpoint alone, and the next answers",
		Providers: []Provider{scripted(says(403, apiError("permission_error", "", "You may not do this.")), "denied").failing(1), answers()},
	},
	{
		Name:      "a 403 about what the user has said is the caller's, as it is",
		Providers: []Provider{harmless("flagged", "content_filter"), idle()},
		Want:      Answer{Status: 403, Code: "moderation_flagged", Retry: "false", Says: []string{"Your input was flagged."}},
	},
}

// refusal is a case in which the first endpoint is barred by its provider's word, and not asked again.
func refusal(what string, first Provider) Case {
	return Case{
		Name:  what + " bars the endpoint, and the next answers",
		Times: 2, Providers: []Provider{first, {Outcomes: "2*success"}},
	}
}

// asItIsCases: what is the caller's.
var asItIsCases = asItIs(map[string]struct {
	fault  string
	status int
}{
	"a 400": {"400", 400}, "a 409": {"409", 409}, "a 422": {"422", 422}, "a 451": {"451", 451}, "a 418": {"418", 418},
})

// contextCases: an input that is too long.
var contextCases = []Case{
	{
		Name: "an input that is too long goes to an endpoint with a larger window, and passes by those without",
		Providers: []Provider{
			harmless("context-length", "context_length").with(window(8000)), idle().with(window(8000)), idle().with(window(4000)),
			answers().with(window(128_000)),
		},
	},
	{
		Name:      "an input that is too long goes to an endpoint whose window nobody knows",
		Providers: []Provider{harmless("context-length", "context_length").with(window(8000)), answers()},
	},
	{
		Name:      "an input that is too long for all is answered in the provider's words",
		Providers: []Provider{harmless("context-length", "context_length").with(window(8000)), idle().with(window(8000))},
		Want:      Answer{Status: 400, Code: "context_length_exceeded", Retry: "false", Tried: "context_length", Says: []string{"maximum context length"}},
	},
}

// unsupportedCases: what one model does not take and another may.
var unsupportedCases = []Case{
	{
		Name:      "a 413 goes to the next endpoint",
		Providers: []Provider{harmless("413", "unsupported"), answers()},
	},
	{
		Name:      "a parameter that one model does not take goes to the next endpoint",
		Ask:       Request{Fields: `"seed":1`},
		Providers: []Provider{harmless("unsupported-param;param=seed", "unsupported"), answers()},
	},
	{
		Name:      "a parameter that no model takes is answered in the provider's words",
		Ask:       Request{Fields: `"seed":1`},
		Providers: []Provider{harmless("unsupported-param;param=seed", "unsupported"), harmless("unsupported-param;param=seed", "unsupported")},
		Want:      Answer{Status: 400, Code: "unsupported_parameter", Retry: "false", Tried: "unsupported, unsupported"},
	},
	{
		Name: "a field of ours that is refused is left out at once, at the same endpoint, and from then on",
		Over: Stream, Policy: attempts(1),
		Providers: []Provider{{Rules: rule("stream-options"), Outcomes: "unsupported 3*success"}, idle()},
		Do: func(t *Trial) {
			first := t.ask()
			t.check(first, &Answer{})
			if n := first.Header.Get("X-Turnout-Attempts"); n != "2" {
				t.Errorf("x-turnout-attempts is %q, want 2", n)
			}
			for range 2 {
				again := t.ask()
				t.check(again, &Answer{})
				if n := again.Header.Get("X-Turnout-Attempts"); n != "1" {
					t.Errorf("x-turnout-attempts is %q, want 1: it is known", n)
				}
			}
		},
	},
	{
		Name: "a refusal that names no field is tried once more without ours", Over: Stream, Policy: attempts(1),
		Providers: []Provider{{Rules: rule("stream-options;shape=unnamed"), Outcomes: "client_error success"}, idle()},
	},
	{
		Name: "a refusal that has nothing to do with a field of ours is the caller's in the end", Over: Stream,
		Providers: []Provider{{Rules: rule("422"), Outcomes: "2*client_error"}, idle()},
		Want:      Answer{Status: 422, Retry: "false"},
	},
	{
		Name: "a field of the caller's that is refused goes to the next endpoint as it is", Over: Stream,
		Ask:       Request{Fields: `"stream_options":{"include_usage":true}`},
		Providers: []Provider{harmless("stream-options", "unsupported"), answers()},
	},
}

// filterCases: what a provider does not want to answer.
var filterCases = []Case{
	{
		Name:      "what a content filter refuses is the caller's, as it is",
		Providers: []Provider{harmless("content-filter", "content_filter"), idle()},
		Want:      Answer{Status: 400, Code: "content_filter", Retry: "false", Tried: "content_filter"},
	},
	{
		Name: "what a content filter refuses goes to the next endpoint if the policy says so", Policy: nextOnFilter,
		Providers: []Provider{harmless("content-filter", "content_filter"), answers()},
	},
	{
		Name: "what is flagged goes to the next endpoint if the policy says so", Policy: nextOnFilter,
		Providers: []Provider{harmless("flagged", "content_filter"), answers()},
	},
	{
		Name: "when all content filters refuse the caller gets the first refusal as it is", Policy: nextOnFilter,
		Providers: []Provider{harmless("flagged", "content_filter"), harmless("content-filter", "content_filter")},
		Want:      Answer{Status: 403, Code: "moderation_flagged", Retry: "false", Tried: "content_filter, content_filter"},
	},
	{
		Name: "a refusal of a content filter is more use than a failure elsewhere", Policy: all(nextOnFilter, attempts(2)),
		Providers: []Provider{harmless("content-filter", "content_filter"), fails("500", "failure")},
		Want:      Answer{Status: 400, Code: "content_filter", Retry: "false", Tried: "content_filter, failure"},
	},
	{
		Name: "an answer that a filter has ended is an answer", Over: Stream,
		Providers: []Provider{scripted(streams(role, filtered, done), "success"), idle()},
		Want:      Answer{Body: role + filtered + done},
	},
	{
		Name: "an answer that a filter has ended goes to the next endpoint if the policy says so", Policy: nextOnFilter,
		Providers: []Provider{scripted(filteredEither, "content_filter"), answers()},
	},
	{
		Name: "when filters end all answers the caller gets the first, if the policy asks for the next", Over: JSON, Policy: nextOnFilter,
		Providers: []Provider{scripted(filteredEither, "content_filter"), harmless("content-filter", "content_filter")},
		Want:      Answer{Body: filteredAnswer},
	},
	{
		Name: "a stream that a filter ends after content stays the answer, whatever the policy says", Over: Stream, Policy: nextOnFilter,
		Providers: []Provider{scripted(streams(role, word, filtered, done), "success"), idle()},
		Want:      Answer{Body: role + word + filtered + done},
	},
}

// filtered is the last frame of an answer that a filter has ended.
var filtered = strings.Replace(finish, `"stop"`, `"content_filter"`, 1)

const filteredAnswer = `{"id":"x","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":""},"finish_reason":"content_filter"}]}`

// filteredEither answers with nothing, as a filter wants it.
func filteredEither(c *Call) bool {
	if strings.Contains(c.Body, `"stream":true`) {
		return streams(role, filtered, done)(c)
	}
	return c.say(http.StatusOK, "", filteredAnswer)
}

// asItIs are cases of one fault each that the caller gets as it is, at once, as often as it asks.
func asItIs(faults map[string]struct {
	fault  string
	status int
},
) []Case {
	var cases []Case
	for _, what := range sorted(faults) {
		f := faults[what]
		cases = append(cases, Case{
			Name: what + " is the caller's, as it is, and nobody is blamed however often",
			Over: JSON, Times: 4,
			Providers: []Provider{harmless(f.fault, "4*client_error"), idle()},
			Want:      Answer{Status: f.status, Retry: "false", Tried: "client_error"},
		}, Case{
			Name: what + " to a stream is the caller's, as it is",
			Over: Stream, Ask: Request{Fields: `"stream_options":{"include_usage":true}`},
			Providers: []Provider{harmless(f.fault, "client_error"), idle()},
			Want:      Answer{Status: f.status, Retry: "false", Tried: "client_error"},
		})
	}
	return cases
}

// emptyCases: streams that end without anything.
var emptyCases = []Case{
	{
		Name: "a stream that ends without content and without a marker is a failure, and the next answers", Over: Stream,
		Providers: []Provider{fails("empty-stream", "failure"), answers()},
	},
	{
		Name: "a stream that ends after the role is a failure, and the next answers", Over: Stream,
		Providers: []Provider{fails("empty-stream;role=true", "failure"), answers()},
	},
	{
		Name: "a stream that breaks off after the role is a failure, and the next answers", Over: Stream,
		Providers: []Provider{fails("cut;after=0;how=rst", "cut"), answers()},
	},
}

// terminalCases: answers that say that they are over.
var terminalCases = []Case{
	{
		Name: "a stream that ends with a finish reason and nothing else is an answer", Over: Stream,
		Providers: []Provider{scripted(streams(role, finish, done), "success"), idle()},
		Want:      Answer{Body: role + finish + done},
	},
	{
		Name: "a stream that ends with its marker and nothing else is an answer", Over: Stream,
		Providers: []Provider{scripted(streams(done), "success"), idle()},
		Want:      Answer{Body: done},
	},
	{
		Name: "a stream that ends with a finish reason and without its marker is an answer", Over: Stream,
		Providers: []Provider{scripted(streams(role, word, finish), "success"), idle()},
		Want:      Answer{Body: role + word + finish},
	},
	{
		Name: "an answer without content that says why it ended is an answer", Over: JSON, Times: 4,
		Providers: []Provider{scripted(inTurn(says(200, emptyAnswer("stop")), says(200, emptyAnswer("length"))), "4*success"), idle()},
		Want:      Answer{Says: []string{`"content":null`}, Body: ""},
	},
	{
		Name: "a stream of which all tokens went into thoughts is an answer", Over: Stream,
		Providers: []Provider{{Rules: rule("empty-answer;finish=length"), Outcomes: "success"}, idle()},
		Do: func(t *Trial) {
			if got := t.ask(); got.Status != http.StatusOK || got.Err != nil || !strings.Contains(got.Body, `"length"`) || !strings.HasSuffix(got.Body, done) {
				t.Errorf("status %d, error %v, %s", got.Status, got.Err, got.Body)
			}
		},
	},
}

// cutCases: streams that break off when the caller has had content.
var cutCases = []Case{
	interrupted("a stream that is cut after content", "cut;after=3"),
	interrupted("a stream that is reset after content", "cut;after=3;how=rst"),
	interrupted("a stream that ends in a whole message without a marker after content", "cut;after=3;how=clean"),
	{
		Name: "an error of the provider after content is passed on once, and counts", Over: Stream,
		Providers: []Provider{fails("error-frame;after=3", "failure"), idle()},
		Want:      Answer{Event: true},
	},
	{
		Name: "three answers that break off after content rest the endpoint", Over: Stream | Fresh, Times: 3,
		Providers: []Provider{{Rules: rule("cut;after=3"), Outcomes: "3*cut", Failures: 3, Stands: "Resting ErrorThreshold"}, idle()},
		Want:      Answer{Event: true, Code: "stream_interrupted"},
	},
	{
		Name: "an answer in one piece to a request for a stream is a failure, and the next answers", Over: Stream,
		Providers: []Provider{scripted(says(200, wholeAnswer), "unreadable_answer").failing(1), answers()},
	},
	{
		Name:      "an answer that comes slowly is whole",
		Providers: []Provider{{Rules: []modelsim.Rule{{Timing: "time-to-first-token=100ms;tokens-per-second=40"}}, Outcomes: "success"}, idle()},
	},
}

// interrupted is a case in which a stream breaks off when the caller has had content.
func interrupted(what, fault string) Case {
	return Case{
		Name: what + " ends with an error event, and is a failure", Over: Stream,
		Providers: []Provider{fails(fault, "cut"), idle()},
		Want:      Answer{Event: true, Code: "stream_interrupted", Says: []string{`"role":"assistant"`}},
	}
}

func emptyAnswer(reason string) string {
	return `{"id":"x","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":null},"finish_reason":"` + reason + `"}]}`
}
