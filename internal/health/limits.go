// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package health

import (
	"time"

	"github.com/turnout-ai/turnout/internal/modelstate"
	"github.com/turnout-ai/turnout/internal/quota"
	"github.com/turnout-ai/turnout/internal/routing"
)

// Limit is one of the limits of an endpoint.
type Limit uint8

// The limits, by precedence: of several that refuse an attempt the first is shown. The zero value is none.
const (
	Budget Limit = iota + 1
	Tokens
	Requests
	ConcurrentRequests
	RequestsPerMinute
	TokensPerMinute
)

// limitNames are the words of the API.
var limitNames = [...]string{
	Budget: "Budget", Tokens: "Tokens", Requests: "Requests",
	ConcurrentRequests: "ConcurrentRequests", RequestsPerMinute: "RequestsPerMinute", TokensPerMinute: "TokensPerMinute",
}

// String is the limit's word in the API; empty for none.
func (l Limit) String() string {
	if int(l) >= len(limitNames) {
		return ""
	}
	return limitNames[l]
}

// Reason is what the endpoint stands by for once the limit is used up; zero for limits that hold no period.
func (l Limit) Reason() modelstate.Reason {
	switch l {
	case Budget:
		return modelstate.BudgetExceeded
	case Tokens:
		return modelstate.TokenLimit
	case Requests:
		return modelstate.RequestLimit
	default:
		return 0
	}
}

// Of is how much of it there may be; 0 when it does not exist.
func (l Limit) Of(limits *routing.Limits) int64 {
	switch l {
	case Budget:
		return limits.Budget
	case Tokens:
		return limits.Tokens
	case Requests:
		return limits.Requests
	case ConcurrentRequests:
		return limits.ConcurrentRequests
	case RequestsPerMinute:
		return limits.RequestsPerMinute
	case TokensPerMinute:
		return limits.TokensPerMinute
	default:
		return 0
	}
}

// Limits are all of them, by precedence.
var Limits = [...]Limit{Budget, Tokens, Requests, ConcurrentRequests, RequestsPerMinute, TokensPerMinute}

// lent are the limits of a period: an attempt is admitted out of what the operator has lent of them. Arrays of
// them are indexed by quota.Limit.
var lent = [...]struct {
	quota quota.Limit
	limit Limit
}{{quota.Budget, Budget}, {quota.Tokens, Tokens}, {quota.Requests, Requests}}

// lentCount is the length of an array that is indexed by quota.Limit.
const lentCount = int(quota.Budget) + 1

// limitOf is the limit that the operator lends as l.
func limitOf(l quota.Limit) Limit {
	for _, of := range lent {
		if of.quota == l {
			return of.limit
		}
	}
	return 0
}

// quotaOf is what the operator lends a limit as; 0 for those that hold no period.
func quotaOf(limit Limit) quota.Limit {
	for _, of := range lent {
		if of.limit == limit {
			return of.quota
		}
	}
	return 0
}

// anyLimit reports whether there is a limit at all.
func anyLimit(limits *routing.Limits) bool {
	for _, l := range Limits {
		if l.Of(limits) > 0 {
			return true
		}
	}
	return false
}

// limited is what admits attempts at an endpoint with limits. It never changes.
type limited struct {
	routing.Limits
	wallet *wallet
	// outputs are those of this endpoint's model, wherever it was limited before.
	outputs *quota.Outputs
}

// Limits are the endpoint's limits; nil without any.
func (e *Endpoint) Limits() *routing.Limits {
	if l := e.limited.Load(); l != nil {
		return &l.Limits
	}
	return nil
}

// ExpectedOutput is how long an answer of the endpoint will hardly be, in tokens.
func (e *Endpoint) ExpectedOutput() int64 {
	if l := e.limited.Load(); l != nil {
		return l.outputs.P95()
	}
	return quota.FirstOutput
}

// LimitReading is how one limit stands in this proxy.
type LimitReading struct {
	Limit Limit
	// Amount is the limit, over all proxies.
	Amount int64
	// Granted is what this proxy was lent in the current period and has not given back, Spent what it has used or
	// set aside of it, Free the rest: below 0 when attempts used more than was set aside for them. They end with
	// the period at Ends.
	Granted, Spent, Free int64
	Ends                 time.Time
	// Share is this proxy's part of a limit that holds no period; for concurrent requests Spent is how many are
	// under way.
	Share int64
}

// ReadLimits takes a reading of the endpoint's limits at now.
func (e *Endpoint) ReadLimits(now int64) []LimitReading {
	l := e.limited.Load()
	if l == nil {
		return nil
	}
	var readings []LimitReading
	for _, limit := range Limits {
		if amount := limit.Of(&l.Limits); amount > 0 {
			readings = append(readings, l.wallet.read(LimitReading{Limit: limit, Amount: amount}, moment(now)))
		}
	}
	return readings
}

// read completes a reading.
func (w *wallet) read(r LimitReading, now time.Time) LimitReading {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch r.Limit {
	case ConcurrentRequests:
		r.Share, r.Spent = w.rates.inForce.ConcurrentRequests, w.rates.concurrent.Load()
	case RequestsPerMinute:
		r.Share = w.rates.inForce.RequestsPerMinute
	case TokensPerMinute:
		r.Share = w.rates.inForce.TokensPerMinute
	default:
		of := quotaOf(r.Limit)
		current := w.span(of, now)
		r.Ends = moment(current.next)
		if e := w.entries[account{of, current.start}]; e != nil {
			p := e.purse.Read()
			r.Granted, r.Spent, r.Free = p.Granted, p.Spent, p.Free
		}
	}
	return r
}

// Need is what an attempt may use.
type Need struct {
	// Tokens are input and output, Cost is in nano-dollars. Requests are one.
	Tokens, Cost int64
	// Again says that the attempt was refused before and has waited: what it needs is known.
	Again bool
}

// of is how much of a limit that is lent is needed.
func (n *Need) of(l quota.Limit) int64 {
	switch l {
	case quota.Tokens:
		return n.Tokens
	case quota.Budget:
		return n.Cost
	default:
		return 1
	}
}

// Refusal is why an attempt was not admitted. The zero value: it was.
type Refusal struct {
	Limit Limit
	// Until is when the endpoint is back, in Unix nanoseconds; 0 when that may be at any moment.
	Until int64
	// Exhausted says that the fleet has nothing left of the limit: Until is the end of its period.
	Exhausted bool
	// Lost says that nobody lends any more: the operator does not answer.
	Lost bool
}

// holding is what an attempt has set aside.
type holding struct {
	// limited is nil when the endpoint had no limits when the attempt began.
	limited *limited
	// purses are those that taken was taken from. The purse of a limit that no longer exists, or does not exist yet,
	// takes note of what is used all the same: it may come back within the period.
	purses [lentCount]*quota.Purse
	taken  [lentCount]int64
	// requests and tokens are of the limits per minute.
	requests, tokens int64
}

// admit sets aside what an attempt needs, of every limit or of none.
func (l *limited) admit(e *Endpoint, now int64, need *Need, of, paid *bucket) (h holding, no Refusal) {
	h.limited = l
	h.join(of)
	h.join(paid)
	if no := h.takeRates(now, need); no.Limit != 0 {
		return holding{}, no
	}
	if no := h.takePurses(e, now, need); no.Limit != 0 {
		h.putRates()
		return holding{}, no
	}
	return h, Refusal{}
}

// join takes the purses of a bucket up.
func (h *holding) join(b *bucket) {
	set := b.purses.Load()
	if set == nil {
		return
	}
	for limit, p := range set {
		if p != nil {
			h.purses[limit] = p
		}
	}
}

// adopt takes note in purses that have come while the attempt began: whoever opened them may not have seen it.
func (h *holding) adopt(b *bucket) {
	set := b.purses.Load()
	if set == nil {
		return
	}
	for limit, p := range set {
		if p == nil || h.purses[limit] != nil {
			continue
		}
		h.purses[limit] = p
		if quota.Limit(limit) == quota.Requests {
			p.Force(1)
			h.taken[limit] = 1
		}
	}
}

// takePurses takes from all purses or from none. Those that have not enough are all told: what is lent of one limit
// alone admits nobody.
func (h *holding) takePurses(e *Endpoint, now int64, need *Need) Refusal {
	l := h.limited
	var no Refusal
	var short [lentCount]bool
	asking := false
	for _, of := range lent {
		p, amount := h.purses[of.quota], of.limit.Of(&l.Limits)
		if p == nil {
			continue
		}
		n := need.of(of.quota)
		if amount == 0 {
			p.Force(n)
			h.taken[of.quota] = n
			continue
		}
		n = min(n, amount) // what needs more would never be admitted
		taken, ok, ask := p.Take(n)
		asking = asking || ask
		lost := !ok && l.wallet.lost(p, now)
		if lost && l.FailOpen {
			taken, ok = n, true
			p.Force(n)
		}
		h.taken[of.quota] = taken
		if short[of.quota] = !ok; !ok {
			no = no.or(e.refusal(of.limit, now, lost))
		}
	}
	if asking {
		l.wallet.registry.notify()
	}
	if no.Limit != 0 {
		h.putPurses(&short)
	}
	return no
}

// putPurses gives back everything to those purses that are not short.
func (h *holding) putPurses(short *[lentCount]bool) {
	for limit, p := range h.purses {
		if p != nil && !short[limit] {
			p.Put(h.taken[limit])
		}
	}
}

// or is what to say when both limits refuse: the one that is used up, and else the first.
func (r Refusal) or(other Refusal) Refusal {
	if r.Limit == 0 || other.Exhausted && !r.Exhausted {
		return other
	}
	return r
}

// refusal is why there is not enough of a limit that is lent.
func (e *Endpoint) refusal(limit Limit, now int64, lost bool) Refusal {
	if until := e.fleet.Load().spentUntil(limit, now); until != 0 {
		return Refusal{Limit: limit, Until: until, Exhausted: true, Lost: lost}
	}
	return Refusal{Limit: limit, Lost: lost}
}

// takeRates takes from the limits that hold no period, from all or from none.
func (h *holding) takeRates(now int64, need *Need) Refusal {
	l := h.limited
	r := &l.wallet.rates
	if !need.Again {
		r.attempted.Add(1)
		r.attemptedTokens.Add(need.Tokens)
	}
	underWay := r.concurrent.Add(1)
	if l.ConcurrentRequests > 0 {
		if underWay > r.share.Load() {
			return h.slow(ConcurrentRequests, 0)
		}
		storeMax(&r.peak, underWay)
	}
	if l.RequestsPerMinute > 0 {
		at, ok := r.requests.Take(now, 1)
		if !ok {
			return h.slow(RequestsPerMinute, at)
		}
		h.requests = 1
	}
	if l.TokensPerMinute > 0 {
		n := min(need.Tokens, l.TokensPerMinute)
		at, ok := r.tokens.Take(now, n)
		if !ok {
			return h.slow(TokensPerMinute, at)
		}
		h.tokens = n
	}
	return Refusal{}
}

// slow refuses because of a limit that holds no period.
func (h *holding) slow(limit Limit, at int64) Refusal {
	w := h.limited.wallet
	h.putRates()
	if limit == ConcurrentRequests {
		w.rates.crowded.Store(true)
	}
	if !w.rates.said.Load() {
		w.registry.notify() // a share is measured by what is said
	}
	return Refusal{Limit: limit, Until: at}
}

// putRates gives back what was taken of the limits that hold no period.
func (h *holding) putRates() {
	r := &h.limited.wallet.rates
	r.concurrent.Add(-1)
	r.requests.Put(h.requests)
	r.tokens.Put(h.tokens)
	h.requests, h.tokens = 0, 0
}

// refund gives the request back: certainly nothing of it was sent.
func (h *holding) refund() {
	if p := h.purses[quota.Requests]; p != nil {
		p.Put(h.taken[quota.Requests])
		h.taken[quota.Requests] = 0
	}
	if h.limited != nil {
		h.limited.wallet.rates.requests.Put(h.requests)
		h.requests = 0
	}
}

// settle puts what was used in the place of what was set aside.
func (h *holding) settle(of, paid *bucket, tokens, cost int64) {
	h.settlePurse(of, quota.Tokens, tokens)
	h.settlePurse(paid, quota.Budget, cost)
	if h.limited != nil {
		h.limited.wallet.rates.tokens.Put(h.tokens - tokens)
		h.tokens = 0
	}
}

// settlePurse settles one limit. A purse that was opened after the attempt had begun does not know of it.
func (h *holding) settlePurse(b *bucket, limit quota.Limit, used int64) {
	p := h.purses[limit]
	if p == nil {
		if set := b.purses.Load(); set != nil {
			p = set[limit]
		}
		if p == nil {
			return
		}
	}
	p.Put(h.taken[limit] - used)
	h.purses[limit], h.taken[limit] = p, 0
}

// close gives back what was set aside and not settled: then nothing was used.
func (h *holding) close() {
	for _, limit := range [...]quota.Limit{quota.Tokens, quota.Budget} {
		if p := h.purses[limit]; p != nil {
			p.Put(h.taken[limit])
			h.taken[limit] = 0
		}
	}
	if l := h.limited; l != nil {
		l.wallet.rates.tokens.Put(h.tokens)
		l.wallet.rates.concurrent.Add(-1)
		l.wallet.line.next()
	}
}
