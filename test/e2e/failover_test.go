// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"

	"github.com/turnout-ai/turnout/internal/modelsim/ledger"
	"github.com/turnout-ai/turnout/test/soak"
)

const chatPolicy = `
apiVersion: turnout.dev/v1alpha1
kind: RoutingPolicy
metadata: {name: chat}
spec:
  models: [chat]
  capability: chat-completion
  tiers:
  - endpoints: [{name: alpha}, {name: beta}, {name: gamma}]
`

// Callers must not notice that the provider in use dies and comes back, that the operator does, or that the
// API server is away. The only exception are streams whose content the dead provider had begun: what was sent
// cannot be taken back, so they end with an error event.
func TestCallersDoNotNoticeFailures(t *testing.T) {
	f := newFleet(t, 2, "alpha", "beta", "gamma")
	f.apply(f.endpoints("alpha", "beta", "gamma") + chatPolicy)
	f.served("chat")

	load := startLoad(f, 50)
	events := time.NewTicker(soak.Length(t, 30*time.Second) / 10)
	defer events.Stop()
	pause := func() { <-events.C }
	kills := 0
	for ending := time.Now().Add(soak.Length(t, 30*time.Second)); time.Now().Before(ending); {
		pause()
		f.providers["alpha"].Kill()
		kills++
		pause()
		f.operator.Kill()
		pause()
		f.must(f.providers["alpha"].Start(t.Context()))
		f.must(f.operator.Start(t.Context()))
		pause()
		f.cluster.APIServer.Kill()
		f.providers["alpha"].Kill()
		kills++
		wait(t.Context(), 10*time.Second)
		f.must(f.providers["alpha"].Start(t.Context()))
		f.must(f.cluster.APIServer.Start(t.Context()))
		pause()
	}
	load.stop()

	report := load.judge(t, f)
	t.Logf("%d requests, %d of them streams; provider killed %d times; %d streams it had begun ended with an error event",
		report.requests, report.streams, kills, report.interrupted)
	if report.requests < 500 || report.streams < 200 {
		t.Errorf("%d requests and %d streams are no load", report.requests, report.streams)
	}
	f.apply(strings.Replace(chatPolicy, "[chat]", "[chat, after]", 1))
	f.served("after") // the proxies have found back to the API server
}

// wait lets time pass: here its passing is what is tested.
func wait(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// load is a number of callers that ask without a pause.
type load struct {
	cancel  context.CancelFunc
	ended   sync.WaitGroup
	mu      sync.Mutex // guards results
	results []result
}

// result is one request as its caller saw it.
type result struct {
	id     string // x-turnout-request-id
	stream bool
	err    error
	begun  bool // content of the answer had arrived
}

// startLoad starts callers; every other one streams, and they share the proxies evenly.
func startLoad(f *fleet, callers int) *load {
	ctx, cancel := context.WithCancel(context.Background())
	l := &load{cancel: cancel}
	stopping := ctx.Done()
	for i := range callers {
		address := f.proxies[i/2%len(f.proxies)].address
		c := openai.NewClient(option.WithBaseURL("http://"+address+"/v1"), option.WithAPIKey("anyone"), option.WithMaxRetries(0))
		l.ended.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stopping: // between two requests: none is broken off
					return
				default:
				}
				r := ask(context.Background(), &c, i%2 == 0)
				l.mu.Lock()
				l.results = append(l.results, r)
				l.mu.Unlock()
			}
		})
	}
	return l
}

// stop lets the requests under way end.
func (l *load) stop() {
	l.cancel()
	l.ended.Wait()
}

// ask makes one request and reads its whole answer.
func ask(ctx context.Context, c *openai.Client, stream bool) (r result) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	r.stream = stream
	params := openai.ChatCompletionNewParams{Model: "chat", Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage("Tell me about turnouts.")}}
	var response *http.Response
	defer func() {
		if response != nil {
			r.id = response.Header.Get("X-Turnout-Request-Id")
		}
	}()
	if !stream {
		var answer *openai.ChatCompletion
		answer, r.err = c.Chat.Completions.New(ctx, params, option.WithResponseInto(&response))
		if r.err == nil && (len(answer.Choices) != 1 || answer.Choices[0].Message.Content == "") {
			r.err = fmt.Errorf("an answer without content: %s", answer.RawJSON())
		}
		return r
	}
	s := c.Chat.Completions.NewStreaming(ctx, params, option.WithResponseInto(&response))
	defer s.Close()
	finished := false
	for s.Next() {
		for _, choice := range s.Current().Choices {
			r.begun = r.begun || choice.Delta.Content != ""
			finished = finished || choice.FinishReason != ""
		}
	}
	r.err = s.Err()
	if r.err == nil && !finished {
		r.err = fmt.Errorf("a stream that ended without a finish reason")
	}
	return r
}

// report sums a load up.
type report struct{ requests, streams, interrupted int }

// judge holds every failed request against the providers' books: only a stream that the killed provider had
// begun and not finished may have failed, and with our error event.
func (l *load) judge(t *testing.T, f *fleet) report {
	t.Helper()
	books, err := ledger.Read(f.providers["alpha"].ledger)
	f.must(err)
	begun := map[string]bool{}
	for _, attempt := range books.Attempts() {
		for _, entry := range books.Attempt(attempt) {
			if entry.Open() && entry.Last().Tokens.Completion > 0 {
				id, _, _ := strings.Cut(attempt, ".")
				begun[id] = true
			}
		}
	}
	rep := report{requests: len(l.results)}
	failed := map[string]int{}
	for _, r := range l.results {
		if r.stream {
			rep.streams++
		}
		switch {
		case r.err == nil:
		case r.stream && r.begun && begun[r.id] && strings.Contains(r.err.Error(), "stream_interrupted"):
			rep.interrupted++
		default:
			failed[fmt.Sprintf("stream %t, begun %t, alpha had begun it %t: %v", r.stream, r.begun, begun[r.id], r.err)]++
		}
	}
	for _, what := range slices.Sorted(keys(failed)) {
		t.Errorf("%d × %s", failed[what], what)
	}
	return rep
}
