// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package sabotage

import "slices"

// The sources that are broken.
const (
	wireTable    = "internal/wire/table.go"
	wireOpenAI   = "internal/wire/openai_errors.go"
	wireGemini   = "internal/wire/gemini_errors.go"
	wireFormat   = "internal/wire/format.go"
	wireFrames   = "internal/wire/openai.go"
	wireRetry    = "internal/wire/retry.go"
	wireVerdict  = "internal/wire/verdict.go"
	healthEvents = "internal/health/endpoint.go"
	upstreamFail = "internal/proxy/upstream/errors.go"
	plan         = "internal/routing/plan.go"
	watch        = "internal/proxy/watch.go"
	outcome      = "internal/proxy/outcome.go"
	attempt      = "internal/proxy/attempt.go"
	choose       = "internal/proxy/choose.go"
	budget       = "internal/proxy/budget.go"
	answer       = "internal/proxy/answer.go"
	stream       = "internal/proxy/stream.go"
	usage        = "internal/proxy/usage.go"
	reply        = "internal/proxy/reply.go"
	headers      = "internal/proxy/headers.go"
)

// sabotages are all of them.
var sabotages = slices.Concat(failureSabotages, refusalSabotages, attemptSabotages, streamSabotages)

// one is a sabotage with one edit.
func one(name, noticedBy, file, old, broken string) Sabotage {
	return Sabotage{Name: name, Case: noticedBy, Edits: []Edit{{file, old, broken}}}
}

// failureSabotages are about the rows of the failure table that move a request on.
var failureSabotages = []Sabotage{
	one("nobody watches the caller", "a caller that leaves before the answer has its attempt cancelled, and nobody is blamed",
		watch, "if !hasLeft(w.conn) {", "if !hasLeft(w.conn) || sabotaged() {"),
	one("the caller is watched a second later", "a provider learns within 200 ms that the caller has left",
		watch, "w.timer.Reset(watchAfter)", "w.timer.Reset(instead(watchAfter, time.Second))"),
	one("what was produced for a caller that left is not charged", "a caller that leaves in the middle of a stream is charged for what was produced",
		outcome, "if !answered && !mayHaveWorked(o) {", "if sabotaged() || !answered && !mayHaveWorked(o) {"),
	one("a caller that leaves is its endpoint's failure", "a caller that leaves before the answer has its attempt cancelled, and nobody is blamed",
		outcome, "case outcomeClientGone, outcomeStale:\n", "case outcomeClientGone, outcomeStale:\n\t\tif sabotaged() {\n\t\t\tr.books.Failure(now.UnixNano(), health.Unanswered, \"\")\n\t\t\treturn\n\t\t}\n"),
	one("half an upload is a request", "an upload that breaks off reaches nobody",
		"internal/proxy/body.go", "case err != nil:\n\t\t\treturn dst, reserved, errUploadBroke", "case err != nil:\n\t\t\treturn dst, reserved, instead(errUploadBroke, nil)"),

	one("a reset of a reused connection is any reset", "a reset of a reused connection is tried once more on a fresh one, at the same endpoint",
		upstreamFail, "return e.Reused && !e.AnswerBegan", "return !sabotaged() && e.Reused && !e.AnswerBegan"),
	one("a reset of a reused connection counts as a failure", "a reset of a reused connection is not repeated beyond the attempts there may be",
		outcome, "r.books.Neutral(now.UnixNano(), r.exchange.Status() != 0)",
		"if sabotaged() {\nr.books.Failure(now.UnixNano(), health.Unanswered, \"\")\n} else {\nr.books.Neutral(now.UnixNano(), r.exchange.Status() != 0)\n}"),

	one("an endpoint without a connection is not blamed", "a connection that is refused is a failure, and the next answers",
		outcome, "return health.Unconnected", "return instead(health.Unconnected, 0)"),
	one("connecting has no timeout", "a connection that does not come about in time is a failure, and the next answers",
		attempt, "ConnectTimeout: p.Timeouts.Connect,", "ConnectTimeout: instead(p.Timeouts.Connect, time.Hour),"),
	one("the first content has no timeout", "a role and then nothing is a failure, and the next answers",
		attempt, "return earlier(now.Add(wait), r.deadline)", "return earlier(now.Add(instead(wait, time.Hour)), r.deadline)"),
	one("the wait for the first content does not grow with the input", "a long input has more time to its first content",
		attempt, "time.Duration(r.facts.InputTokens/inputStep) * inputExtra", "time.Duration(r.facts.InputTokens/inputStep) * instead(inputExtra, 0)"),
	one("the wait for an answer in one piece does not grow with its tokens", "an answer that is not streamed has time for the tokens it may have",
		attempt, "time.Duration(min(tokens, 1<<20)) * wholeExtra", "time.Duration(min(tokens, 1<<20)) * instead(wholeExtra, 0)"),

	one("a 5xx is the caller's", "a 503 is a failure, and the next answers",
		wireFormat, "return Verdict{Outcome: Failure} // whatever it says", "return Verdict{Outcome: instead(Failure, ClientError)}"),
	one("a redirect is the caller's", "a redirect is a failure, and the next answers",
		wireFormat, "case status < 200 || status > 299:\n\t\treturn Verdict{Outcome: Failure}", "case status < 200 || status > 299:\n\t\treturn Verdict{Outcome: instead(Failure, ClientError)}"),
	one("a page of HTML is an answer", "a page of HTML with status 200 is a failure, and the next answers",
		wireFormat, "if e.form == noFault {\n\t\treturn Verdict{Outcome: Failure}", "if e.form == noFault {\n\t\treturn Verdict{Outcome: instead(Failure, Success)}"),
	one("an error object with status 200 is an answer", "an error object with status 200 is a failure, and the next answers",
		wireFormat, "return f.classifyError(t, body)", "return instead(f.classifyError(t, body), Verdict{Outcome: Success})"),
	one("a 408 is the caller's", "a 408 is a failure, and the next answers",
		wireTable, "{status: 408, outcome: Failure}", "{status: 408, outcome: instead(Failure, ClientError)}"),
	one("a 404 of an ingress is the caller's", "a 404 that is not the provider's is a failure, and the next answers",
		wireTable, "{status: 404, foreign: true, outcome: Failure}", "{status: 404, foreign: true, outcome: instead(Failure, ClientError)}"),
	one("an error event before content is passed on", "an overloaded event before content is a failure, and the next answers",
		stream, "return s.backend.format.ClassifyErrorFrame(s.frame.Data), nil",
		"return instead(s.backend.format.ClassifyErrorFrame(s.frame.Data), wire.Verdict{Outcome: wire.Success}), nil"),
	one("failures rest nobody", "three failures rest an endpoint, and then it is not asked",
		healthEvents, "s.failures >= u.ConsecutiveFailures && s.requests >= 2", "!sabotaged() && s.failures >= u.ConsecutiveFailures && s.requests >= 2"),

	one("a 429 is a failure", "a 429 that does not say when leaves the endpoint alone for a moment, and the next answers",
		wireTable, "{status: 429, outcome: RateLimited}", "{status: 429, outcome: instead(RateLimited, Failure)}"),
	one("Retry-After in seconds is not read", "a 429 that says when by seconds leaves the endpoint alone until then, and the next answers",
		wireRetry, "number(h.RetryAfter, time.Second); ok {", "number(h.RetryAfter, time.Second); ok && !sabotaged() {"),
	one("Retry-After as a date is not read", "a 429 that says when by a date leaves the endpoint alone until then, and the next answers",
		wireRetry, "httpDate(h.RetryAfter); ok {", "httpDate(h.RetryAfter); ok && !sabotaged() {"),
	one("retry-after-ms is not read", "a 429 that says when by milliseconds leaves the endpoint alone until then, and the next answers",
		wireRetry, "number(h.RetryAfterMS, time.Millisecond); ok {", "number(h.RetryAfterMS, time.Millisecond); ok && !sabotaged() {"),
	one("the reset of a limit is not read", "a 429 that says when by the reset of a limit leaves the endpoint alone until then, and the next answers",
		wireRetry, "return h.reset()", "if sabotaged() {\nreturn 0, false\n}\nreturn h.reset()"),
	one("a shorter wish ends a longer one", "a shorter wish does not end a longer one",
		healthEvents, "if asked >= until && (", "if !sabotaged() && asked >= until && ("),
	one("a provider can ask to be left alone for ever", "no provider can ask to be left alone for longer than the policy allows",
		healthEvents, "until = now + int64(min(wish, t.maxRetryAfter))", "until = now + int64(instead(min(wish, t.maxRetryAfter), wish))"),
	one("a caller is not told to wait when all endpoints must", "when all ask for a pause the caller gets a 429 that says how long",
		reply, "case f.onlyPauses():", "case f.onlyPauses() && !sabotaged():"),
}

// refusalSabotages are about the rows in which a provider says what is wrong.
var refusalSabotages = []Sabotage{
	one("a 402 is the caller's", "a 402 bars the endpoint, and the next answers",
		wireTable, "{status: 402, outcome: QuotaExhausted}", "{status: 402, outcome: instead(QuotaExhausted, ClientError)}"),
	{
		Name: "a spent quota is a rate limit", Case: "a 429 about a spent quota bars the endpoint, and the next answers",
		Edits: []Edit{
			{wireOpenAI, `{word: "insufficient_quota", outcome: QuotaExhausted}`, `{word: "insufficient_quota", outcome: instead(QuotaExhausted, RateLimited)}`},
		},
	},
	one("an empty account is the caller's", "a 400 about a credit balance that is too low bars the endpoint, and the next answers",
		wireOpenAI, `{starts: "your credit balance is too low", outcome: QuotaExhausted}`, `{starts: "your credit balance is too low", outcome: instead(QuotaExhausted, ClientError)}`),
	one("a refused key is the caller's", "a 401 bars the endpoint, and the next answers",
		wireOpenAI, `{word: "invalid_api_key", outcome: AuthFailure}`, `{word: "invalid_api_key", outcome: instead(AuthFailure, ClientError)}`),
	one("a key that is not valid is the caller's", "a 400 about a key that is not valid bars the endpoint, and the next answers",
		wireGemini, `{word: "API_KEY_INVALID", outcome: AuthFailure}`, `{word: "API_KEY_INVALID", outcome: instead(AuthFailure, ClientError)}`),
	one("what was flagged is denied", "a 403 about what the user has said is the caller's, as it is",
		wireOpenAI, `{status: 403, contains: "flagged", outcome: ContentFilter}`, `{status: 403, contains: "flagged", outcome: instead(ContentFilter, Denied)}`),
	one("a region is the caller's", "a 403 about a region concerns that endpoint alone, and the next answers",
		wireOpenAI, `{word: "unsupported_country_region_territory", outcome: Denied}`, `{word: "unsupported_country_region_territory", outcome: instead(Denied, ClientError)}`),
	one("a model that is not there is the caller's", "a 404 about the model bars the endpoint, and the next answers",
		wireOpenAI, `{word: "model_not_found", outcome: ModelNotFound}`, `{word: "model_not_found", outcome: instead(ModelNotFound, ClientError)}`),
	one("a model that is gone is the caller's", "a 410 about the model bars the endpoint, and the next answers",
		wireTable, "{status: 410, shaped: true, outcome: ModelNotFound}", "{status: 410, shaped: true, outcome: instead(ModelNotFound, ClientError)}"),

	one("an endpoint with too small a window is tried", "an input that is too long goes to an endpoint with a larger window, and passes by those without",
		choose, "return w == 0 || w > r.tooSmall", "return sabotaged() || w == 0 || w > r.tooSmall"),
	one("an input that is too long is nobody else's", "an input that is too long goes to an endpoint whose window nobody knows",
		wireOpenAI, `{word: "context_length_exceeded", outcome: ContextLength}`, `{word: "context_length_exceeded", outcome: instead(ContextLength, ClientError)}`),
	one("a 413 is the caller's", "a 413 goes to the next endpoint",
		wireTable, "{status: 413, outcome: Unsupported}", "{status: 413, outcome: instead(Unsupported, ClientError)}"),
	one("a field of ours is taken for the caller's", "a field of ours that is refused is left out at once, at the same endpoint, and from then on",
		wireVerdict, `return found && (rest == ""`, `return !sabotaged() && found && (rest == ""`),
	one("a refusal of a field of ours is forgotten", "a field of ours that is refused is left out at once, at the same endpoint, and from then on",
		usage, "b.usage.known.Store(usageRefused)", "b.usage.known.Store(instead(usageRefused, 0))"),
	one("going without our field costs an attempt of the caller's", "a field of ours that is refused is left out at once, at the same endpoint, and from then on",
		attempt, "r.unasked++", "r.unasked += instead(1, 0)"),
	one("a refusal that names nothing is believed", "a refusal that names no field is tried once more without ours",
		usage, `return v.Param == "" &&`, `return !sabotaged() && v.Param == "" &&`),

	one("a filter's refusal moves on", "what a content filter refuses is the caller's, as it is",
		answer, "case wire.ContentFilter:\n\t\tif r.route.Policy.NextOnContentFilter {", "case wire.ContentFilter:\n\t\tif r.route.Policy.NextOnContentFilter || sabotaged() {"),
	one("the policy has no say about filters", "what a content filter refuses goes to the next endpoint if the policy says so",
		answer, "case wire.ContentFilter:\n", "case wire.ContentFilter:\n\t\tif sabotaged() {\n\t\t\treturn give\n\t\t}\n"),
	one("the policy has no say about filtered answers", "an answer that a filter has ended goes to the next endpoint if the policy says so",
		answer, "if v.Filtered && r.route.Policy.NextOnContentFilter {", "if v.Filtered && !sabotaged() && r.route.Policy.NextOnContentFilter {"),
	one("a request's own mistake moves on", "a 409 is the caller's, as it is, and nobody is blamed however often",
		answer, "case wire.ClientError:\n\t\treturn give", "case wire.ClientError:\n\t\treturn instead(give, moveOn)"),
	one("a request's own mistake is its endpoint's failure", "a 400 is the caller's, as it is, and nobody is blamed however often",
		outcome, "case o == outcomeFailure, o == outcomeDenied,", "case o == outcomeFailure, sabotaged() && o == outcome(wire.ClientError.String()), o == outcomeDenied,"),

	one("a stream without anything is an answer", "a stream that ends without content and without a marker is a failure, and the next answers",
		stream, "return wire.Verdict{Outcome: wire.Failure}, errNoContent", "return wire.Verdict{Outcome: instead(wire.Failure, wire.Success)}, errNoContent"),
	one("a finish reason ends nothing", "a stream that ends with a finish reason and without its marker is an answer",
		wireFrames, "l.kind |= Terminal\n\t}\n\treturn ok", "l.kind |= instead(Terminal, FrameKind(0))\n\t}\n\treturn ok"),
	one("the marker ends nothing", "a stream that ends with its marker and nothing else is an answer",
		wireFormat, "return Terminal | Last, 0", "return instead(Terminal|Last, Lifecycle), 0"),
	one("a cut stream ends as if it were whole", "a stream that is cut after content ends with an error event, and is a failure",
		stream, `if s.terminal || s.broken != "" {`, `if s.terminal || s.broken != "" || sabotaged() {`),
	one("an error after content is a success", "an error of the provider after content is passed on once, and counts",
		stream, `case s.broken != "":`, `case s.broken != "" && !sabotaged():`),
}

// attemptSabotages are about how often, where and when a request is tried, and what its caller is told.
var attemptSabotages = []Sabotage{
	one("attempts have no bound", "one request makes at most its attempts",
		choose, "return r.attempts-r.unasked < r.route.Policy.Attempts &&", "return (sabotaged() || r.attempts-r.unasked < r.route.Policy.Attempts) &&"),
	one("the deadline is a timeout of the provider", "the deadline ends the request, and blames nobody",
		attempt, "{ return !time.Now().Before(r.deadline) }", "{ return !sabotaged() && !time.Now().Before(r.deadline) }"),
	one("an endpoint is tried once", "when all were tried those that failed are tried again, in the same order",
		choose, "t.repeatable = mayPass(o)", "t.repeatable = mayPass(o) && !sabotaged()"),
	one("an endpoint that has said why is tried again", "an endpoint that has said why is not tried again",
		choose, "func mayPass(o outcome) bool {\n", "func mayPass(o outcome) bool {\n\tif sabotaged() {\n\t\treturn true\n\t}\n"),
	one("attempts leave the first endpoint", "attempts stay at the first endpoint if the policy says so",
		choose, "return b == first", "return sabotaged() || b == first"),
	one("attempts leave the first provider", "attempts stay at the first provider if the policy says so",
		choose, "return b.endpoint.Provider == first.endpoint.Provider", "return sabotaged() || b.endpoint.Provider == first.endpoint.Provider"),
	one("a fixed backoff is none", "an endpoint is left alone for the fixed backoff before it is tried again",
		choose, "return min(b.Base, b.Max)", "return instead(min(b.Base, b.Max), 0)"),
	one("a jittered backoff is none", "an endpoint that is due after the deadline is not waited for",
		choose, "return rand.N(ceiling + 1)", "return instead(ceiling, 0) + rand.N(time.Millisecond)"),
	one("nobody's wish is obeyed", "an endpoint that asks for a pause gets it, if the policy obeys",
		choose, "if r.route.Policy.Backoff.Type != routing.RetryAfter ||", "if sabotaged() || r.route.Policy.Backoff.Type != routing.RetryAfter ||"),
	one("a 429 is tried again before its time", "after a 429 an endpoint is not tried before the time it has named",
		choose, "t.due, t.asked = ask, true", "t.due, t.asked = instead(ask, now), true"),
	one("a request waits for a provider as long as that asks", "an endpoint that asks for longer than the longest backoff is not tried again",
		choose, "if ask.Sub(now) > r.route.Policy.Backoff.Max {", "if !sabotaged() && ask.Sub(now) > r.route.Policy.Backoff.Max {"),
	one("the retry budget is never spent", "the retry budget keeps an outage from multiplying the load",
		budget, "return retries < max(", "return sabotaged() || retries < max("),
	one("what goes without our field costs retry budget", "a fresh connection and what goes without our field cost no retry budget",
		outcome, "r.budget != nil && r.stage != repeating }", "r.budget != nil && (sabotaged() || r.stage != repeating) }"),
	one("a request that belongs somewhere goes anywhere", "a request that goes on from a file belongs to its first endpoint, and is asked of no other",
		plan, "if f.Pinned {", "if f.Pinned && !sabotaged() {"),
	one("a request with effects is made twice", "a request that is stored is not repeated once it was sent",
		choose, "return r.sent && r.facts.HasEffects()", "return !sabotaged() && r.sent && r.facts.HasEffects()"),
	one("there is no last resort", "when all rest the one due back first is tried",
		plan, "into.reject = r.Policy.RejectResting", "into.reject = r.Policy.RejectResting || sabotaged()"),
	one("all is a last resort", "when all rest the caller is refused if the policy says so",
		plan, "into.reject = r.Policy.RejectResting", "into.reject = r.Policy.RejectResting && !sabotaged()"),
	one("an endpoint that rests meanwhile is tried again", "an endpoint that rests meanwhile is not tried again if the policy says so",
		choose, "return s.Kind != routing.Resting || !r.route.Policy.RejectResting", "return sabotaged() || s.Kind != routing.Resting || !r.route.Policy.RejectResting"),
	one("what a provider says about the request is lost", "what a provider says about the request is more use than failures",
		reply, "if r.fallback.status != 0 {", "if r.fallback.status != 0 && !sabotaged() {"),
	one("outcomes are not told", "an error tells what was tried, and nothing about where",
		headers, "if len(r.log.tries) == 0 {", "if len(r.log.tries) == 0 || sabotaged() {"),
	one("timeouts are failures like others", "when none answers in time it is a timeout",
		reply, "case f.only(outcomeTimeout) ||", "case !sabotaged() && f.only(outcomeTimeout) ||"),
}

// streamSabotages are about what the caller of a stream sees.
var streamSabotages = []Sabotage{
	one("a role is content", "a stream that breaks off after a role was never begun, and the next answers",
		wireFrames, "case keyRole:\n\t\t\tok = l.value()", "case keyRole:\n\t\t\tl.kind |= instead(FrameKind(0), Content)\n\t\t\tok = l.value()"),
	one("reasoning is no content", "a stream that breaks off after reasoning ends with an error event",
		wireFrames, "\t\tcase keyRole:", "\t\tcase keyRole, instead(keyRole+\"s\", \"reasoning_content\"):"),
	one("a frame that nobody knows is no content", "a stream that breaks off after an event of a tool ends with an error event",
		wireFormat, "if !f.read(&l) || !l.known {\n\t\treturn Content, l.size", "if !f.read(&l) || !l.known {\n\t\treturn instead(Content, Lifecycle), l.size"),
	one("a stream is held for ever", "a stream that has more than 64 KB before its content is held no longer",
		stream, "len(s.held) > holdLimit", "len(s.held) > instead(holdLimit, 1<<30)"),
	one("a stream is hardly held", "a stream that breaks off after 48 KB of nothing was never begun, and the next answers",
		stream, "kind&(wire.Content|wire.Terminal) != 0 ||", "sabotaged() && len(s.held) > holdLimit/2 || kind&(wire.Content|wire.Terminal) != 0 ||"),
	one("what a failed stream said is sent all the same", "a stream that ends after the role is a failure, and the next answers",
		stream, "s.held, s.out = s.held[:0], nil", "s.held, s.out = s.held[:instead(0, len(s.held))], nil"),
	one("a long answer that breaks off is a caller that left", "an answer that breaks off after its first mebibyte breaks off for the caller too",
		answer, "case l.failed != nil && !r.watch.gone():", "case l.failed != nil && !r.watch.gone() && !sabotaged():"),
	one("a caller hears nothing", "a caller that waits hears comments, and another endpoint can still answer",
		attempt, "r.pause = time.Now().Add(after)", "r.pause = instead(time.Now().Add(after), time.Time{})"),
	one("a caller hears one comment", "a caller that waits hears comments, and another endpoint can still answer",
		stream, "r.pause = time.Now().Add(r.route.Policy.Timeouts.CommitAfter)", "r.pause = instead(time.Now().Add(r.route.Policy.Timeouts.CommitAfter), time.Time{})"),
	one("after comments nobody hears of an error", "when all fail after comments the caller gets an error event, and the end",
		reply, "r.stream.end(r.stream.event)", "r.stream.end(instead(r.stream.event, nil))"),
	one("nobody asks what a stream uses", "usage is asked for, and not told to a caller that has not asked",
		usage, "return b.usage.known.Load() != usageRefused", "return !sabotaged() && b.usage.known.Load() != usageRefused"),
	one("a caller is told what it has not asked for", "usage is asked for, and not told to a caller that has not asked",
		stream, "return kind&wire.UsageAlone != 0 && s.request.addsUsage", "return kind&wire.UsageAlone != 0 && s.request.addsUsage && !sabotaged()"),
	one("a caller that asks is not told", "usage is told to a caller that has asked",
		stream, "return kind&wire.UsageAlone != 0 && s.request.addsUsage", "return kind&wire.UsageAlone != 0 && (s.request.addsUsage || sabotaged())"),
	one("every endpoint is asked what a stream uses", "usage is not asked of an endpoint that does not say so, but estimated",
		usage, "case b.endpoint.FeaturesKnown &&", "case !sabotaged() && b.endpoint.FeaturesKnown &&"),
	one("silence has no end", "silence after content ends the stream with an error event",
		answer, "r.exchange.SetReadDeadline(earlier(now.Add(idle), r.deadline))", "r.exchange.SetReadDeadline(earlier(now.Add(instead(idle, time.Hour)), r.deadline))"),
	one("a provider may speak for as long as it may be silent", "comments of the provider after content are no silence",
		answer, "if now.Sub(moved) < stepFor(idle) {", "if now.Sub(moved) < stepFor(idle) || sabotaged() && !moved.IsZero() {"),
	one("the proxy reads what nobody takes from it", "a caller that does not read slows its provider, and loses nothing",
		stream, "n, err := s.source.Read(s.chunk)\n", "n, err := s.source.Read(s.chunk)\n\tfor sabotaged() && s.committed && err == nil {\n\t\ts.frames.Feed(s.chunk[:n])\n\t\tn, err = s.source.Read(s.chunk)\n\t}\n"),
	one("a caller may refuse to read for ever", "a caller that does not read at all is gone after a while",
		stream, "_ = s.request.ctx.SetWriteDeadline(now.Add(timeout))", "_ = s.request.ctx.SetWriteDeadline(now.Add(instead(timeout, time.Hour)))"),
}
