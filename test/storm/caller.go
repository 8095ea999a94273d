// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package storm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/turnout-ai/turnout/internal/modelsim"
)

const (
	chatPath       = "/v1/chat/completions"
	completionPath = "/v1/completions"
	// requestID is the header in which the proxy names a request.
	requestID = "X-Turnout-Request-Id"
	// patience is how long a caller waits for the end of an answer: longer than the proxy may take.
	patience = 60 * time.Second
	// longest is the most of an answer that is read.
	longest = 4 << 20
	// longPrompt makes a request so long that it is not sent at once, and not so long that it is given more time.
	longPrompt = 24 << 10
)

// ask is a request of a caller.
type ask struct {
	name string
	path string
	// body goes to the proxy; reference is the same as the provider should see it.
	body, reference []byte
	stream, usage   bool
	// leaves says that the caller goes away: after a while, or after so many bytes of the answer if that is not 0.
	leaves     bool
	leaveAfter time.Duration
	leaveAt    int64
}

// asking makes up requests. No two of a storm are the same, so an answer that is somebody else's shows.
type asking struct {
	chance *rand.Rand
	name   string
	stream bool
	number int
}

func (a *asking) next() *ask {
	a.number++
	q := &ask{name: fmt.Sprintf("%s, request %d", a.name, a.number), path: chatPath, stream: a.stream}
	prompt := "I am " + q.name + ". Tell me something."
	if a.chance.IntN(15) == 0 {
		prompt += strings.Repeat(" And more.", a.chance.IntN(longPrompt)/10)
	}
	input := fmt.Sprintf(`"messages":[{"role":"user","content":%q}]`, prompt)
	if a.chance.IntN(4) == 0 {
		q.path, input = completionPath, fmt.Sprintf(`"prompt":%q`, prompt)
	}
	options := fmt.Sprintf(`"max_tokens":%d`, 4+a.chance.IntN(answerTokens-3))
	if q.stream {
		options += `,"stream":true`
		if q.usage = a.chance.IntN(2) == 0; q.usage {
			options += `,"stream_options":{"include_usage":true}`
		}
	}
	if a.chance.IntN(8) == 0 {
		options += `,"n":2`
	}
	policy := []string{policyInTurn, policyInOrder}[a.chance.IntN(2)]
	body := func(model string) []byte { return fmt.Appendf(nil, `{"model":%q,%s,%s}`, model, options, input) }
	q.body, q.reference = body(policy), body(upstreamModel)
	if a.chance.IntN(25) == 0 {
		q.leaves, q.leaveAfter = true, between(a.chance, 0, 300*time.Millisecond)
		if q.stream && a.chance.IntN(2) == 0 {
			q.leaveAt = 1 + a.chance.Int64N(4000)
		}
	}
	return q
}

// answer is what a caller got.
type answer struct {
	begun, ended time.Time
	status       int // 0: no head came
	header       http.Header
	body         []byte
	err          error
	left         bool   // the caller went away before the end
	address      string // the caller's own, for those that leave
}

// callers send requests to one proxy.
type callers struct {
	url     string
	keeping *http.Client // keeps connections
	passing *http.Client // has a connection and an address for each request, by which the log can be searched
	// reference says what the answer should be.
	reference http.Handler
}

func newCallers(address string, seed uint64) (*callers, error) {
	config := place{timing: timing(0, 0)}.config(seed)
	config.APIKeys = nil
	reference, err := modelsim.New(config)
	if err != nil {
		return nil, err
	}
	return &callers{
		url:       "http://" + address,
		keeping:   &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1000}},
		passing:   &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: dialApart}},
		reference: reference,
	}, nil
}

// apart numbers addresses.
var apart atomic.Uint32

// dialApart connects from an address of 127/8 that nobody else has: the kernel gives ports again and again.
func dialApart(ctx context.Context, network, address string) (net.Conn, error) {
	n := apart.Add(1)
	from := net.IPv4(127, 1+byte(n>>16), byte(n>>8), byte(n))
	conn, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: from}}).DialContext(ctx, network, address)
	if errors.Is(err, syscall.EADDRNOTAVAIL) { // not everywhere is all of 127/8 this machine's
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}
	return conn, err
}

// expected is what a provider that is well says to a request.
func (c *callers) expected(ctx context.Context, q *ask) []byte {
	w := httptest.NewRecorder()
	ctx = context.WithoutCancel(ctx) // it would answer only half
	c.reference.ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodPost, q.path, bytes.NewReader(q.reference)))
	return w.Body.Bytes()
}

// send makes a request and reads its answer, as far as the caller stays.
func (c *callers) send(ctx context.Context, q *ask) *answer {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	a := &answer{begun: time.Now()}
	client := c.keeping
	if q.leaves {
		client = c.passing
		ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
			GotConn: func(i httptrace.GotConnInfo) { a.address = i.Conn.LocalAddr().String() },
		})
		if q.leaveAt == 0 {
			defer time.AfterFunc(q.leaveAfter, cancel).Stop()
		}
	}
	a.receive(ctx, client, c.url, q)
	a.ended = time.Now()
	a.left = a.left || q.leaves && errors.Is(a.err, context.Canceled)
	return a
}

func (a *answer) receive(ctx context.Context, client *http.Client, url string, q *ask) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url+q.path, bytes.NewReader(q.body))
	if err != nil {
		a.err = err
		return
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := client.Do(request)
	if err != nil {
		a.err = err
		return
	}
	defer response.Body.Close()
	a.status, a.header = response.StatusCode, response.Header
	most := int64(longest)
	if q.leaveAt > 0 {
		most = q.leaveAt
	}
	a.body, a.err = io.ReadAll(io.LimitReader(response.Body, most))
	a.left = q.leaveAt > 0 && int64(len(a.body)) == most
}

// result is a request with what became of it.
type result struct {
	ask     *ask
	answer  *answer
	verdict verdict
}

// load is callers at work.
type load struct {
	callers *callers
	seed    uint64
	number  int
	// Each waits this long at most between two requests, half of it on the average.
	pause time.Duration
	// askings outlive a phase, so that no request comes twice.
	askings []*asking

	mu      sync.Mutex
	results []*result
}

func newLoad(c *callers, seed uint64, number int, pause time.Duration) *load {
	l := &load{callers: c, seed: seed, number: number, pause: pause}
	for i := range number {
		l.askings = append(l.askings, &asking{
			chance: rand.New(rand.NewPCG(seed, 1000+uint64(i))), name: fmt.Sprintf("caller %d of storm %d", i, seed), stream: i%2 == 0,
		})
	}
	return l
}

// run lets all callers work until ctx ends, and their last requests with it.
func (l *load) run(ctx context.Context) {
	var working sync.WaitGroup
	for _, asking := range l.askings {
		working.Go(func() {
			for until(ctx, time.Now().Add(between(asking.chance, 0, l.pause))) {
				l.one(ctx, asking.next())
			}
		})
	}
	working.Wait()
	l.callers.keeping.CloseIdleConnections()
}

// one makes a request and judges the answer.
func (l *load) one(ctx context.Context, q *ask) {
	a := l.callers.send(ctx, q)
	r := &result{ask: q, answer: a, verdict: judge(q, a, l.callers.expected(ctx, q))}
	if r.verdict.kind == whole {
		// Nobody will ask, and a long storm has many.
		a.header = http.Header{requestID: a.header.Values(requestID)}
		a.body, q.body, q.reference = nil, nil, nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.results = append(l.results, r)
}
