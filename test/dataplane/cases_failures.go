// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package dataplane

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/turnout-ai/turnout/api/v1alpha1"
	"github.com/turnout-ai/turnout/internal/modelsim"
)

// failureRows are the rows of the failure table.
var failureRows = []Row{
	{"the client went away, or its upload broke", callerCases},
	{"a reset on a reused connection", staleCases},
	{"connect, TLS and DNS errors, timeouts before content", connectionCases},
	{"5xx, 408, 425, 529, 3xx, 204, HTML, errors in a 200, overloaded events", failureCases},
	{"429", pauseCases},
	{"402, a spent quota, a credit balance", quotaCases},
	{"401, a key that is not valid", credentialCases},
	{"403", forbiddenCases},
	{"404 and 410", modelCases},
	{"context length", contextCases},
	{"413, a parameter that is not supported", unsupportedCases},
	{"content filter", filterCases},
	{"409, 451, any other 4xx", asItIsCases},
	{"ended without a terminal marker and without content", emptyCases},
	{"ended with a terminal marker, even empty", terminalCases},
	{"cut after content", cutCases},
}

// callerCases: the client went away, or its upload broke: cancel upstream, charge what was produced, blame nobody.
var callerCases = []Case{
	{
		Name:      "a caller that leaves before the answer has its attempt cancelled, and nobody is blamed",
		Providers: []Provider{{Rules: rule("hang"), Outcomes: "client_disconnect"}, idle()},
		Do:        leavesSilently,
	},
	{
		Name: "a caller that leaves in the middle of a stream is charged for what was produced",
		Over: Stream,
		Providers: []Provider{scripted(func(c *Call) bool {
			c.begin()
			c.send(role + strings.Repeat(word, 40))
			return c.untilLeft()
		}, "client_disconnect"), idle()},
		Do: func(t *Trial) {
			reading := t.open(t.of.Ask)
			if err := reading.until("hello"); err != nil {
				t.Fatal(err)
			}
			reading.leave()
			t.await("waiting for the provider to notice", func() bool { return t.places[0].left() == 1 })
			t.awaitView("waiting for what was produced to be charged", func(v *view) bool {
				name := t.places[0].name
				return v.tokens(name, "estimated_output") >= 40 && v.tokens(name, "estimated_input") > 0
			})
		},
	},
	{
		Name:      "a provider learns within 200 ms that the caller has left",
		Providers: []Provider{scripted((*Call).untilLeft, varies)},
		Do:        leavesQuickly,
	},
	{
		Name:      "an upload that breaks off reaches nobody",
		Over:      JSON | Fresh,
		Providers: []Provider{idle()},
		Do: func(t *Trial) {
			conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(t.url, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			body := (&Request{Content: `"` + strings.Repeat("many words ", 4000) + `"`}).body(t.model, false)
			_, _ = fmt.Fprintf(conn, "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(body)+1, body)
			if half, ok := conn.(*net.TCPConn); ok {
				_ = half.CloseWrite() // an answer can still be read
			}
			_ = conn.SetReadDeadline(time.Now().Add(patience))
			answer := make([]byte, 4096)
			n, _ := conn.Read(answer)
			if !strings.HasPrefix(string(answer[:n]), "HTTP/1.1 400 ") {
				t.Errorf("half an upload is answered %q, want a 400", answer[:n])
			}
		},
	},
}

// leavesSilently leaves while the provider works on the answer.
func leavesSilently(t *Trial) {
	leaveOnceBusy(t)
	t.await("waiting for the provider to notice", func() bool { return t.places[0].left() == 1 })
	t.awaitView("waiting for the request to count as left, and to be charged", func(v *view) bool {
		return v.requests(t.model, "499") == 1 && v.tokens(t.places[0].name, "estimated_input") > 0
	})
}

// leaveOnceBusy makes a request and leaves when the provider has it. It returns when that was.
func leaveOnceBusy(t *Trial) time.Time {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(t.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	body := t.of.Ask.body(t.model, t.stream())
	if _, err := fmt.Fprintf(conn, "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(body), body); err != nil {
		t.Fatal(err)
	}
	t.await("waiting for the provider to get the request", func() bool { return t.places[0].busy() == 1 })
	left := time.Now()
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	return left
}

// leavesQuickly leaves until a provider was quick to notice: on a busy machine not every time is, but where noticing
// takes longer by design none is.
func leavesQuickly(t *Trial) {
	const promised = 200 * time.Millisecond
	fastest := time.Hour
	for n := 1; n <= 10 && fastest > promised; n++ {
		left := leaveOnceBusy(t)
		provider := t.script()
		t.await("waiting for the provider to notice", func() bool { return provider.left() == n })
		fastest = min(fastest, provider.lastGone().Sub(left))
	}
	if fastest > promised {
		t.Errorf("at best the provider learned it after %s, want %s", fastest, promised)
	}
}

// staleCases: a reset on a reused connection.
var staleCases = []Case{
	{
		Name: "a reset of a reused connection is tried once more on a fresh one, at the same endpoint",
		Over: Reused, Times: 4,
		Providers: []Provider{
			{Rules: []modelsim.Rule{{Fault: "reset", Connection: modelsim.ConnectionReused}}, Outcomes: "4*stale_connection 4*success"},
			idle(),
		},
	},
	{
		Name: "a reused connection that is closed instead of an answer is the same",
		Over: Reused,
		Providers: []Provider{
			{Rules: []modelsim.Rule{{Fault: "close", Connection: modelsim.ConnectionReused}}, Outcomes: "stale_connection success"},
			idle(),
		},
	},
	{
		Name:      "when the fresh connection is reset too it is a failure, and the next answers",
		Over:      Reused,
		Providers: []Provider{fails("reset", "stale_connection reset"), answers()},
	},
	{
		Name: "a reset of a reused connection is not repeated beyond the attempts there may be",
		Over: Reused, Policy: attempts(1),
		Providers: []Provider{harmless("reset", "stale_connection"), idle()},
		Want:      Answer{Status: 502, Code: "upstream_unavailable", Retry: "true", Tried: "stale_connection"},
	},
}

// connectionCases: what keeps an answer from beginning.
var connectionCases = []Case{
	{
		Name:      "a reset of a fresh connection is a failure, and the next answers",
		Over:      Fresh,
		Providers: []Provider{fails("reset", "reset"), answers()},
	},
	{
		Name:      "a fresh connection that is closed instead of an answer is a failure, and the next answers",
		Over:      Fresh,
		Providers: []Provider{fails("close", "reset"), answers()},
	},
	unreachable("a connection that is refused", refused, nil),
	unreachable("a host that no resolver knows", unresolved, nil),
	unreachable("a connection that does not come about in time", blackHole, timeouts(func(t *v1alpha1.Timeouts) {
		t.Connect = new(v1alpha1.Duration("200ms"))
	})),
	unreachable("a TLS handshake that does not begin in time", silentHandshake, timeouts(func(t *v1alpha1.Timeouts) {
		t.TLSHandshake = new(v1alpha1.Duration("200ms"))
	})),
	unreachable("a TLS handshake that fails", noTLS, nil),
	unreachable("a certificate that nobody has signed", untrusted, nil),
	{
		Name: "no head of an answer in time is a failure, and the next answers", Policy: impatient,
		Providers: []Provider{fails("hang", "timeout"), answers()},
	},
	{
		Name: "a head and no content in time is a failure, and the next answers", Policy: impatient,
		Providers: []Provider{fails("hang-body", "timeout"), answers()},
	},
	{
		Name: "a role and then nothing is a failure, and the next answers", Over: Stream, Policy: impatient,
		Providers: []Provider{fails("stall;after=0", "timeout"), answers()},
	},
	{
		Name: "comments without content are a failure in the end, and the next answers", Over: Stream, Policy: impatient,
		Providers: []Provider{{Script: onlyComments, Outcomes: "timeout", Failures: 1}, answers()},
	},
	{
		Name: "a long input has more time to its first content", Policy: impatient,
		Ask:       Request{Content: `"` + strings.Repeat("many words ", 5000) + `"`},
		Providers: []Provider{{Rules: []modelsim.Rule{{Timing: "time-to-first-token=1800ms"}}, Outcomes: "success"}, idle()},
	},
	{
		Name: "an answer that is not streamed has time for the tokens it may have", Over: JSON, Policy: impatient,
		Ask:       Request{Fields: `"max_completion_tokens":200`},
		Providers: []Provider{scripted(answersAfter(1800*time.Millisecond), "success"), idle()},
	},
}

// unreachable is a case in which there is no connection to the first endpoint.
func unreachable(what string, place Place, policy Policy) Case {
	return Case{
		Name: what + " is a failure, and the next answers",
		Over: Fresh, Policy: policy,
		Providers: []Provider{{Place: place, Outcomes: "connect_error", Failures: 1}, answers()},
	}
}

// onlyComments keeps a stream alive and says nothing.
func onlyComments(c *Call) bool {
	c.begin()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for c.send(": still here\n\n") {
		<-tick.C
	}
	return false
}

// answersAfter answers well after a while.
func answersAfter(d time.Duration) Script {
	return func(c *Call) bool {
		<-time.After(d)
		return answersEither(c)
	}
}

// failureCases: any 5xx, 408, 425, 529; 3xx, 204, HTML, what is no JSON; an error object in a 200; an overloaded event:
// next at once, and a failure.
var failureCases = append(
	failuresOf("failure", map[string]string{
		"a 500": "500", "a 501": "501", "a 502 of a gateway": "502;body=html", "a 503": "503", "a 504 without a body": "504;body=empty",
		"a 507": "507", "a 520 of a network in front": "520;body=html", "a 529": "529", "a 530": "530;body=text", "a 599": "599",
		"a 408": "408", "a 425": "425",
		"a redirect": "redirect", "a 301": "301", "a 304": "304", "a 204": "204",
		"a page of HTML with status 200": "html", "an empty body with status 200": "empty", "text that is no JSON with status 200": "200;body=text",
		"an error object with status 200":   "error-in-200",
		"a 401 that is not the provider's":  "401;body=html",
		"a 403 that is not the provider's":  "403;body=html",
		"a 404 that is not the provider's":  "404;body=html",
		"a 410 that is not the provider's":  "410;body=html",
		"a 405 of something in the way":     "405;body=html",
		"a 407 of something in the way":     "407;body=html",
		"a 421 of something in the way":     "421;body=html",
		"a 503 that says when to come back": "503",
	}),
	Case{
		Name: "JSON that is no answer, with status 200, is a failure, and the next answers",
		Over: JSON,
		Providers: []Provider{
			scripted(inTurn(says(200, `[]`), says(200, `{"choices":[]}`), says(200, `"hello"`)), "3*failure").
				failing(3).standing("Resting ErrorThreshold"),
			{Outcomes: "3*success"},
		},
		Times: 3,
	},
	Case{
		Name: "an answer that is cut in the middle is a failure, and the next answers", Over: JSON,
		Providers: []Provider{fails("cut", "cut"), answers()},
	},
	Case{
		Name: "an answer that is reset in the middle is a failure, and the next answers", Over: JSON,
		Providers: []Provider{fails("cut;how=rst", "cut"), answers()},
	},
	Case{
		Name: "half an answer in a whole message is a failure, and the next answers", Over: JSON,
		Providers: []Provider{fails("cut;how=clean", "failure"), answers()},
	},
	Case{
		Name: "a stream that nobody asked for is a failure, and the next answers", Over: JSON,
		Providers: []Provider{scripted(streams(role, word, finish, done), "unreadable_answer").failing(1), answers()},
	},
	Case{
		Name: "an answer that is no HTTP is a failure, and the next answers",
		Providers: []Provider{scripted(func(c *Call) bool {
			_, _ = fmt.Fprint(c, "SSH-2.0-OpenSSH_9.6\r\n")
			return false
		}, "unreadable_answer").failing(1), answers()},
	},
	Case{
		Name: "an error as the first event of a stream is a failure, and the next answers", Over: Stream,
		Providers: []Provider{fails("error-frame;after=0", "failure"), answers()},
	},
	Case{
		Name: "an overloaded event before content is a failure, and the next answers", Over: Stream,
		Providers: []Provider{
			scripted(streams(role, "event: error\ndata: "+`{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}`+"\n\n"), "failure").failing(1),
			answers(),
		},
	},
	Case{
		Name: "an event about a rate limit before content rests the endpoint, and the next answers", Over: Stream,
		Providers: []Provider{
			{
				Script:   streams(role, "data: "+apiError("requests", "rate_limit_exceeded", "Rate limit reached. Please try again in 40s.")+"\n\n"),
				Outcomes: "rate_limited", Stands: "Barred RateLimited", Rests: 30 * time.Second,
			},
			answers(),
		},
	},
	Case{
		Name: "an event about a spent quota before content bars the endpoint, and the next answers", Over: Stream,
		Providers: []Provider{
			scripted(streams(role, "data: "+apiError("insufficient_quota", "insufficient_quota", "You exceeded your current quota.")+"\n\n"), "quota_exhausted").
				standing("Barred QuotaExhausted"),
			answers(),
		},
	},
	Case{
		Name:      "a redirect is not followed",
		Providers: []Provider{{Script: redirectsToItself, Outcomes: "failure", Failures: 1}, answers()},
	},
	Case{
		Name: "three failures rest an endpoint, and then it is not asked",
		Providers: []Provider{
			{Rules: rule("503"), Outcomes: "3*failure", Failures: 3, Stands: "Resting ErrorThreshold"},
			{Outcomes: "5*success"},
		},
		Times: 5,
	},
	Case{
		Name: "failures of all endpoints of a provider are its outage",
		Over: JSON | Fresh,
		Providers: []Provider{
			{Rules: rule("503"), Outcomes: "3*failure", Failures: 3, Stands: "Resting ErrorThreshold", Endpoint: of("same"), Outage: true},
			{Rules: rule("500"), Outcomes: "3*failure", Failures: 3, Stands: "Resting ErrorThreshold", Endpoint: of("same"), Outage: true},
			{Outcomes: "3*success"},
		},
		Times: 3,
	},
)

// redirectsToItself sends whoever asks to another path of its own: one who follows asks twice.
func redirectsToItself(c *Call) bool {
	return c.say(http.StatusTemporaryRedirect, "Location: /v1/elsewhere\r\n", "{}")
}

// failuresOf are cases of one fault each, after which the next endpoint answers and the first has failed.
func failuresOf(outcome string, faults map[string]string) []Case {
	var cases []Case
	for _, what := range sorted(faults) {
		cases = append(cases, Case{
			Name:      what + " is a failure, and the next answers",
			Providers: []Provider{fails(faults[what], outcome), answers()},
		})
	}
	return cases
}

// pauseCases: a 429, in each form in which it says when to come back.
var pauseCases = append(
	pausesOf(map[string]func(wait time.Duration) (headers, words string){
		"seconds": func(wait time.Duration) (string, string) {
			return fmt.Sprintf("Retry-After: %d\r\n", int(wait.Seconds())), ""
		},
		"a date": func(wait time.Duration) (string, string) {
			return "Retry-After: " + time.Now().Add(wait).UTC().Format(http.TimeFormat) + "\r\n", ""
		},
		"milliseconds": func(wait time.Duration) (string, string) {
			return fmt.Sprintf("Retry-After-Ms: %d\r\n", wait.Milliseconds()), ""
		},
		"the reset of a limit": func(wait time.Duration) (string, string) {
			return "X-Ratelimit-Remaining-Requests: 0\r\nX-Ratelimit-Reset-Requests: " + wait.String() + "\r\n", ""
		},
		"its message": func(wait time.Duration) (string, string) { return "", fmt.Sprintf(" Please try again in %s.", wait) },
	}),
	Case{
		Name: "a 429 that does not say when leaves the endpoint alone for a moment, and the next answers",
		Providers: []Provider{
			scripted(says(429, apiError("requests", "rate_limit_exceeded", "Rate limit reached.")), "rate_limited"), answers(),
		},
	},
	Case{
		Name: "a shorter wish does not end a longer one", Over: JSON | Fresh,
		Providers: []Provider{{Script: longAndShortWish, Outcomes: "2*rate_limited", Stands: "Barred RateLimited", Rests: 30 * time.Second}, {Outcomes: "2*success"}},
		Do: func(t *Trial) {
			answers := make(chan *Reply, 2)
			for range 2 {
				go func() { answers <- t.ask() }()
			}
			t.await("waiting for both requests to be there", func() bool { return t.places[0].requests() == 2 })
			for gate := range 2 { // the first is told to wait for long, and only then the second for short
				t.script().open(gate)
				t.check(<-answers, &t.of.Want)
			}
		},
	},
	Case{
		Name: "no provider can ask to be left alone for longer than the policy allows",
		Over: JSON | Fresh,
		Providers: []Provider{
			{
				Script:   saysWith(429, "Retry-After: 31536000\r\n", apiError("requests", "rate_limit_exceeded", "Slow down.")),
				Outcomes: "rate_limited", Stands: "Barred RateLimited", Rests: 50 * time.Minute,
			},
			answers(),
		},
		Do: func(t *Trial) {
			t.check(t.ask(), &t.of.Want)
			t.awaitView("waiting for an hour at most", func(v *view) bool {
				until := v.endpoints[namespace+"/"+t.places[0].name].Until
				return !until.IsZero() && time.Until(until) <= time.Hour
			})
		},
	},
	Case{
		Name: "when all ask for a pause the caller gets a 429 that says how long",
		Providers: []Provider{
			{Rules: rule("rate-limit;wait=40s"), Outcomes: "rate_limited", Stands: "Barred RateLimited"},
			{Rules: rule("rate-limit;wait=30s"), Outcomes: "rate_limited", Stands: "Barred RateLimited"},
		},
		Want: Answer{Status: 429, Code: "rate_limit_exceeded", Retry: "true", RetryAfter: 31, Tried: "rate_limited, rate_limited"},
	},
)

// pausesOf are cases in which the first endpoint asks to be left alone, in one form alone, and is.
func pausesOf(forms map[string]func(wait time.Duration) (headers, words string)) []Case {
	var cases []Case
	for _, form := range sorted(forms) {
		limited := func(c *Call) bool {
			headers, words := forms[form](40 * time.Second)
			return c.say(429, headers, apiError("requests", "rate_limit_exceeded", "Rate limit reached."+words))
		}
		cases = append(cases, Case{
			Name:      "a 429 that says when by " + form + " leaves the endpoint alone until then, and the next answers",
			Times:     3,
			Providers: []Provider{{Script: limited, Outcomes: "rate_limited", Stands: "Barred RateLimited", Rests: 30 * time.Second}, {Outcomes: "3*success"}},
		})
	}
	return cases
}

// longAndShortWish tells the first request to wait for long and the second for short, each at its gate.
func longAndShortWish(c *Call) bool {
	c.wait(c.Number - 1)
	wish := "Retry-After: 40\r\n"
	if c.Number == 2 {
		wish = "Retry-After: 1\r\n"
	}
	return c.say(429, wish, apiError("requests", "rate_limit_exceeded", "Slow down."))
}
