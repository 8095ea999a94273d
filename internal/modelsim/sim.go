// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

// Package modelsim is a simulated model provider that speaks OpenAI's wire: chat and text completions, embeddings
// and models, as JSON and as streams, with real-looking ids, usage, limits and headers. Content is a pure function
// of seed and request. On request everything goes wrong that goes wrong at real providers, on real sockets, and a
// ledger says what was really produced. It is the one simulated thing of the product, so that tests, benchmarks
// and tours can be run without an account.
package modelsim

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/turnout-ai/turnout/internal/modelsim/ledger"
)

// The headers a caller may send to the simulator.
const (
	// HeaderAttempt carries the id under which the ledger books the request.
	HeaderAttempt = "X-Turnout-Attempt"
	// HeaderFault scripts a fault for this one request; it precedes all rules.
	HeaderFault = "X-Modelsim-Fault"
	// HeaderTiming changes the speed of this one answer.
	HeaderTiming = "X-Modelsim-Timing"
)

// The paths of the API, behind the base path.
const (
	pathChat        = "/v1/chat/completions"
	pathCompletions = "/v1/completions"
	pathEmbeddings  = "/v1/embeddings"
	pathModels      = "/v1/models"
)

// maxBody is the largest request body that is read.
const maxBody = 64 << 20

// Sim is a simulated provider: an http.Handler for the API and (unless hidden) the control API under /_sim.
type Sim struct {
	config   Config
	rules    ruleBook
	limits   limiter
	cache    promptCache
	counters counters
	control  http.Handler
	ids      atomic.Uint64 // numbers requests; mixed with run to make ids
	run      uint64        // differs between runs, so that ids never repeat
	// server is the socket the simulator was started on; nil when it is somebody else's handler.
	server atomic.Pointer[Server]
}

// New returns a simulator, or says what in the configuration cannot be served.
func New(config Config) (*Sim, error) {
	if config.Compress == "" {
		config.Compress = CompressOff
	}
	if err := config.validate(); err != nil {
		return nil, err
	}
	s := &Sim{config: config, run: rand.Uint64()}
	s.rules.random = rand.New(rand.NewPCG(config.Seed, 0))
	s.limits = limiter{requests: config.RequestsPerMinute, tokens: config.TokensPerMinute, buckets: map[bucketKey]*bucket{}}
	s.cache.seen = map[uint64]struct{}{}
	s.counters.none = sync.NewCond(&s.counters.mu)
	s.counters.state.Statuses, s.counters.state.Faults = map[int]int64{}, map[string]int64{}
	s.control = s.controlMux()
	return s, nil
}

// AddRule puts a rule in force behind the others and returns its id.
func (s *Sim) AddRule(rule Rule) (string, error) {
	compiled, err := rule.compile()
	if err != nil {
		return "", err
	}
	return s.rules.add(compiled), nil
}

// Rules returns the rules in force, with how often each was used.
func (s *Sim) Rules() []Rule { return s.rules.list() }

// RemoveRule ends one rule; it says whether there was one of that id.
func (s *Sim) RemoveRule(id string) bool { return id != "" && s.rules.remove(id) }

// ClearRules ends all rules.
func (s *Sim) ClearRules() { s.rules.remove("") }

// Control serves /_sim for a listener of its own.
func (s *Sim) Control() http.Handler { return s.control }

// controlPrefix is where the control API lives.
const controlPrefix = "/_sim/"

// ServeHTTP serves one request.
func (s *Sim) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, controlPrefix) && !s.config.HideControl {
		s.control.ServeHTTP(w, r)
		return
	}
	x := s.exchange(w, r)
	s.counters.begin()
	err := x.serve()
	switch {
	case err == nil:
	case errors.Is(err, errAborted):
		// The line is written and the connection severed already.
	case errors.Is(err, errGone):
		event := ledger.Cancelled
		if s.stopping() {
			event = ledger.Aborted // it is us who leave
		}
		x.record.Tokens.Completion = max(x.record.Tokens.Completion, x.thought())
		_ = x.book(event) // nobody is left to be told
		x.sever(howFIN)
	default: // the ledger cannot be written, so nothing may happen any more
		x.sever(howRST)
	}
	s.counters.end(&x.record)
}

// exchange prepares the state of one request.
func (s *Sim) exchange(w http.ResponseWriter, r *http.Request) *exchange {
	x := &exchange{sim: s, w: w, r: r, start: time.Now(), timing: s.config.Timing, connection: connectionOf(r.Context())}
	number := s.ids.Add(1)
	x.random = rand.New(rand.NewPCG(s.run, number))
	x.record = ledger.Record{
		Attempt: r.Header.Get(HeaderAttempt),
		Request: fmt.Sprintf("req_%016x%016x", x.random.Uint64(), number),
		Path:    strings.TrimPrefix(r.URL.Path, s.config.BasePath),
	}
	return x
}

// stopping says whether the server is being shut down for good.
func (s *Sim) stopping() bool {
	server := s.server.Load()
	return server != nil && server.closing.Load()
}

// serve reads the request, lets the rules decide, and answers.
func (x *exchange) serve() error {
	body, readErr := io.ReadAll(http.MaxBytesReader(x.w, x.r.Body, maxBody))
	x.params = readParams(body)
	// Known before the request is checked, because rules and the ledger want the model of refused ones too.
	x.record.Model = x.params.hint(fieldModel)
	fault, scriptErr := x.script()
	x.fault = fault
	x.record.Fault = fault.String()
	if err := x.book(ledger.Accepted); err != nil {
		return err
	}
	x.headers()
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(readErr, &tooLarge):
		return x.refuse(errTooLarge())
	case readErr != nil: // the upload broke off: nobody is there to be answered
		return errGone
	case scriptErr != nil:
		return x.refuse(badRequest("", "invalid_script", "%s", scriptErr))
	}
	if fault == nil {
		return x.answer()
	}
	if err := x.waitUntil(x.start.Add(fault.delay)); err != nil {
		return err
	}
	if fault.spoils(spoilHang) {
		if err := x.pause(fault.wait); err != nil {
			return err
		}
	}
	if fault.kind.answer != nil {
		return fault.kind.answer(x, fault)
	}
	return x.answer()
}

// script decides what happens to this request: header, then metadata (which passes through proxies), then rules.
func (x *exchange) script() (*Fault, error) {
	var metadata map[string]string
	if raw := x.params.raw["metadata"]; raw != nil && json.Unmarshal(raw, &metadata) != nil {
		metadata = nil // the parser of the request reports it
	}
	first := func(header, key string) string {
		if value := x.r.Header.Get(header); value != "" {
			return value
		}
		return metadata[key]
	}
	// A script that cannot be read is refused instead of ignored: a test must not pass because of a typo.
	change, err := parseTiming(first(HeaderTiming, "modelsim_timing"))
	if err != nil {
		return nil, err
	}
	text := first(HeaderFault, "modelsim_fault")
	own, err := ParseFault(text)
	if err != nil {
		return nil, err
	}
	fault := own
	if text == "" {
		var ruled timingChange
		fault, ruled = x.sim.rules.pick(trait{
			model: x.record.Model, path: x.record.Path, key: bearer(x.r), connection: x.connection,
			post: x.r.Method == http.MethodPost,
		})
		x.timing = ruled.apply(x.timing)
	}
	x.timing = change.apply(x.timing)
	return fault, nil
}

// answer routes a request to what the model says to it.
func (x *exchange) answer() error {
	path, based := strings.CutPrefix(x.r.URL.Path, x.sim.config.BasePath)
	model, single := strings.CutPrefix(path, pathModels+"/")
	method := http.MethodPost
	if single || path == pathModels {
		method = http.MethodGet
	}
	known := single || slices.Contains([]string{pathModels, pathChat, pathCompletions, pathEmbeddings}, path)
	switch {
	case !based || !known:
		return x.refuse(errURL(x.r.Method, x.r.URL.Path))
	case x.r.Method != method:
		x.w.Header().Set("Allow", method)
		return x.refuse(errMethod(x.r.Method, x.r.URL.Path))
	// As at OpenAI, the URL and the method come before the key, the key before the body.
	case !x.authorized():
		return x.refuse(errKey(bearer(x.r)))
	case single:
		return x.oneModel(model)
	case path == pathModels:
		return x.whole(http.StatusOK, contentJSON, x.sim.listModels())
	}
	out, err := x.think(path)
	if err != nil {
		return x.refuse(err)
	}
	return x.deliver(out)
}

// bearer is the key of a request, empty without one.
func bearer(r *http.Request) string {
	scheme, key, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(key)
}

// authorized says whether the key is one of the configured.
func (x *exchange) authorized() bool {
	keys := x.sim.config.APIKeys
	return len(keys) == 0 || slices.Contains(keys, bearer(x.r))
}

// think parses the request, checks limits, and returns the whole answer.
func (x *exchange) think(path string) (*reply, *apiError) {
	model, err := x.model(path)
	if err != nil {
		return nil, err
	}
	// Only a chat has what some faults want to be said.
	if says := x.fault.saying(); says != "" && !sayable(path, says) {
		return nil, badRequest("", "invalid_script", "fault %q: %s says nothing of the kind", x.fault, path)
	}
	p := x.params
	if path == pathEmbeddings {
		e, err := parseEmbedding(p, model)
		if err != nil {
			return nil, err
		}
		if err := x.admit(model, e.tokens); err != nil {
			return nil, err
		}
		return embed(e, x.sim.config.Seed), nil
	}
	parse := parseCompletion
	if path == pathChat {
		parse = parseChat
	}
	g, err := parse(p, model, x.sim.config.Seed)
	if err != nil {
		return nil, err
	}
	return x.complete(g)
}

// model is the model that is asked for, which exists and can do what it is asked for.
func (x *exchange) model(path string) (string, *apiError) {
	p := x.params
	p.check(map[string][]string{pathChat: chatParams, pathCompletions: completionParams, pathEmbeddings: embeddingParams}[path])
	model := p.text(fieldModel)
	switch {
	case p.err != nil:
		return "", p.err
	case model == "":
		return "", badRequest(fieldModel, "missing_required_parameter", "you must provide a model parameter")
	case !slices.Contains(x.sim.config.Models, model):
		return "", errUnknownModel(model)
	}
	if embeds := strings.Contains(model, "embed"); embeds != (path == pathEmbeddings) {
		return "", errWrongUse(model, embeds)
	}
	return model, nil
}

// errWrongUse is the answer to a model that is asked for something it cannot do.
func errWrongUse(model string, embeds bool) *apiError {
	if embeds {
		return &apiError{http.StatusNotFound, typeInvalidRequest, "", fieldModel, "This is not a chat model and thus not supported in the v1/chat/completions endpoint. Did you mean to use v1/embeddings?"}
	}
	return &apiError{http.StatusForbidden, typeInvalidRequest, "", "", fmt.Sprintf("You are not allowed to generate embeddings from this model: %s", model)}
}

// complete answers a chat or text completion.
func (x *exchange) complete(g *generation) (*reply, *apiError) {
	window := x.sim.config.ContextWindow
	if needed := g.promptTokens + g.maxTokens; needed > window {
		return nil, errContextLength(window, needed)
	}
	if err := x.admit(g.model, g.promptTokens+g.maxTokens); err != nil {
		return nil, err
	}
	prefix := "cmpl-"
	if g.chat {
		prefix = "chatcmpl-"
	}
	who := identity{id: prefix + letters(x.random, 29), created: x.start.Unix(), model: g.model}
	x.fault.direct(g)
	answer := generate(g, x.timing.Tokens)
	x.fault.shorten(answer)
	return render(g, who, answer, x.sim.cache.hit(g)), nil
}

// admit asks the rate limits.
func (x *exchange) admit(model string, tokens int) *apiError {
	if !x.sim.limits.enforces() {
		return nil // the headers of every answer say so already
	}
	key := ""
	if len(x.sim.config.APIKeys) > 0 {
		key = bearer(x.r) // a known one, so that callers cannot fill memory with buckets
	}
	verdict := x.sim.limits.take(x.start, bucketKey{key, model}, tokens)
	verdict.headers(x.w.Header())
	if verdict.ok {
		return nil
	}
	sayWait(x.w.Header(), verdict.wait, []string{formSeconds, formMillis})
	return errRateLimit(model, verdict.kind, verdict.unit, verdict.limit, verdict.wait)
}

// headers writes what OpenAI sends with every answer. The cookie is one that its front end really sets, and
// that no proxy should hand on.
func (x *exchange) headers() {
	header := x.w.Header()
	header.Set("X-Request-Id", x.record.Request)
	header.Set("Openai-Version", "2020-10-01")
	header.Set("Openai-Organization", "org-modelsim")
	header.Set("Set-Cookie", "__cf_bm="+strconv.FormatInt(x.start.UnixNano(), 36)+"; path=/; HttpOnly; Secure; SameSite=None")
	if x.r.Method == http.MethodPost {
		x.sim.limits.show().headers(header)
	}
}

type connectionKey struct{}

// connection counts the requests of one connection.
type connection struct{ requests atomic.Int64 }

// connectionOf says whether the request is the first of its connection. Handlers on other servers do not know:
// there every request is the first.
func connectionOf(ctx context.Context) string {
	if c, ok := ctx.Value(connectionKey{}).(*connection); ok && c.requests.Add(1) > 1 {
		return ConnectionReused
	}
	return ConnectionFresh
}
