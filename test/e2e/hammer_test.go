// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// kind is what became of a request.
type kind int

const (
	served kind = iota
	refused
	// broken is a connection that failed or an answer that was cut: its proxy was killed.
	broken
	// strange is any other answer.
	strange
)

// answer is what a caller got.
type answer struct {
	kind   kind
	status int
	header http.Header
	text   string
}

func (a answer) String() string { return fmt.Sprintf("%d %s", a.status, strings.TrimSpace(a.text)) }

// send makes one request and reads its whole answer. Nothing is tried again.
func send(ctx context.Context, address, body string) answer {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+address+"/v1/chat/completions", strings.NewReader(body))
	if err != nil {
		return answer{kind: strange, text: err.Error()}
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := callers.Do(request)
	if err != nil {
		return answer{kind: broken, text: err.Error()}
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	a := answer{status: response.StatusCode, header: response.Header, text: string(text)}
	stream := strings.HasPrefix(response.Header.Get("Content-Type"), "text/event-stream")
	switch {
	case err != nil, stream && !bytes.Contains(text, []byte("data: [DONE]")):
		a.kind = broken
	case a.status == http.StatusTooManyRequests, a.status == http.StatusServiceUnavailable:
		a.kind = refused
	case a.status != http.StatusOK:
		a.kind = strange
	}
	return a
}

// callers keep their connections, as clients do.
var callers = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}

// hammering is callers that ask whichever proxy is there, and ask again whatever they get.
type hammering struct {
	cancel context.CancelFunc
	ended  sync.WaitGroup

	served, refused, broken atomic.Int64
	fail                    func(format string, args ...any)
	strange                 atomic.Pointer[answer]
}

// pause is between two tries of a caller that was not served.
const pause = 10 * time.Millisecond

// hammer starts callers at all proxies.
func (l *limitedFleet) hammer(model string, n int, body body) *hammering {
	return l.hammerAt(model, l.crew.current, n, body)
}

// hammerAt starts callers at some of the places that proxies have.
func (l *limitedFleet) hammerAt(model string, places []*life, n int, body body) *hammering {
	ctx, cancel := context.WithCancel(context.Background())
	h := &hammering{cancel: cancel, fail: l.t.Errorf}
	l.t.Cleanup(cancel)
	var addresses []string
	for _, p := range places {
		addresses = append(addresses, p.address)
	}
	for range n {
		chance := rand.New(rand.NewPCG(l.chance.Uint64(), 2))
		h.ended.Go(func() {
			for ctx.Err() == nil {
				h.note(ctx, send(ctx, addresses[chance.IntN(len(addresses))], body(model, chance)))
			}
		})
	}
	return h
}

func (h *hammering) note(ctx context.Context, a answer) {
	switch a.kind {
	case served:
		h.served.Add(1)
		return
	case refused:
		h.refused.Add(1)
	case broken:
		h.broken.Add(1)
	case strange:
		h.strange.CompareAndSwap(nil, &a)
	}
	wait(ctx, pause)
}

// stop lets the requests under way end.
func (h *hammering) stop() {
	h.cancel()
	h.ended.Wait()
	if a := h.strange.Load(); a != nil {
		h.fail("a caller got neither an answer nor a refusal: %s", *a)
	}
}

// total is how many requests came to an end.
func (h *hammering) total() int64 { return h.served.Load() + h.refused.Load() + h.broken.Load() }

func (h *hammering) String() string {
	return fmt.Sprintf("%d served, %d refused, %d cut off", h.served.Load(), h.refused.Load(), h.broken.Load())
}
