// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package storm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/turnout-ai/turnout/internal/modelsim"
	"github.com/turnout-ai/turnout/internal/modelstate"
	"github.com/turnout-ai/turnout/internal/routing"
)

const (
	// flood is how many tokens a stream has that nobody reads. With all that a token can bring along they are more
	// bytes than the buffers of the kernel on its way take as a rule, so that somebody has to hold the rest back.
	flood = 15_000
	// brook is how many a stream has that is read to its end at last, and without all that.
	brook = 3000
	// perStream is how much the proxy may hold of a stream whose caller does not read, and heldRoom how much more it
	// may take than that.
	perStream = 64 << 10
	heldRoom  = 3 * mebibyte
)

// pressure is callers that do not read.
type pressure struct {
	subject *subject
	sim     *modelsim.Server
	mu      sync.Mutex      // guards deaf and slow while they come
	deaf    []io.ReadCloser // of floods
	slow    []*slowCaller
	before  figures
	allowed float64 // heap in bytes
	samples []figures
}

// slowCaller is one that reads to the end at last.
type slowCaller struct {
	ask   *ask
	begun *answer
	body  io.ReadCloser
}

// newPressure starts a provider and a proxy before it.
func newPressure(ctx context.Context, dir string, hoards bool, clientWrite time.Duration) (*pressure, error) {
	p := place{name: "alpha", provider: north, idle: time.Minute}
	config := p.config(1)
	config.Timing.Tokens = flood
	sim, err := modelsim.Start(ctx, config, "127.0.0.1:0", nil)
	if err != nil {
		return nil, err
	}
	subject, err := startSubject(ctx, dir, role{
		Endpoints: []roleEndpoint{{Name: p.name, Provider: p.provider, URL: sim.URL() + "/v1", Key: "sk-" + p.name}},
		Attempts:  3, Deadline: 2 * time.Minute, Unit: modelstate.DefaultUnit, Hoards: hoards,
		Timeouts: routing.Timeouts{
			Connect: 10 * time.Second, TLSHandshake: 10 * time.Second, FirstToken: 30 * time.Second,
			CommitAfter: 10 * time.Second, Idle: 30 * time.Second, ClientWrite: clientWrite,
		},
	})
	if err != nil {
		sim.Close()
		return nil, err
	}
	return &pressure{subject: subject, sim: sim}, nil
}

var (
	// narrow callers have little room in the kernel for what they do not read.
	narrow = &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: dialNarrow}}
	// broad ones have as much as anybody: with little room even the quickest reads slowly.
	broad = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
)

func dialNarrow(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return conn, conn.(*net.TCPConn).SetReadBuffer(8 << 10)
}

func (p *pressure) close() {
	for _, body := range p.deaf {
		_ = body.Close() // nobody will read it
	}
	p.subject.process.Kill()
	p.sim.Close()
}

// fill opens streams and reads the first bytes of each.
func (p *pressure) fill(ctx context.Context, deaf, slow int) (err error) {
	// One that goes by first: what the first request of all brings along is not of those to come.
	if err := p.first(ctx); err != nil {
		return err
	}
	if p.before, err = p.subject.rested(ctx, nil); err != nil {
		return err
	}
	p.allowed = p.before.Heap + float64(deaf+slow)*perStream + heldRoom
	failed := make([]error, deaf+slow)
	var filling sync.WaitGroup
	for i := range deaf + slow {
		filling.Go(func() { failed[i] = p.engage(ctx, fmt.Sprintf("slow caller %d", i), i < deaf) })
	}
	filling.Wait()
	return errors.Join(failed...)
}

// engage opens the stream of one caller.
func (p *pressure) engage(ctx context.Context, name string, deaf bool) error {
	client, q := broad, streamAsk(name, brook, "")
	if deaf {
		client, q = narrow, streamAsk(name, flood, `,"logprobs":true,"top_logprobs":20`)
	}
	begun, body, err := p.open(ctx, client, q)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if deaf {
		p.deaf = append(p.deaf, body)
	} else {
		p.slow = append(p.slow, &slowCaller{q, begun, body})
	}
	return nil
}

func (p *pressure) first(ctx context.Context) error {
	_, body, err := p.open(ctx, broad, streamAsk("quick caller", 8, ""))
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, body)
	return errors.Join(err, body.Close())
}

// streamAsk asks for a stream.
func streamAsk(name string, tokens int, more string) *ask {
	q := &ask{name: name, path: chatPath, stream: true}
	body := func(model string) []byte {
		return fmt.Appendf(nil, `{"model":%q,"max_tokens":%d,"stream":true%s,"messages":[{"role":"user","content":%q}]}`, model, tokens, more, name)
	}
	q.body, q.reference = body(policyInOrder), body(upstreamModel)
	return q
}

// open begins a stream and reads its first bytes.
func (p *pressure) open(ctx context.Context, client *http.Client, q *ask) (*answer, io.ReadCloser, error) {
	a := &answer{begun: time.Now()}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+p.subject.role.Listen+q.path, bytes.NewReader(q.body))
	if err != nil {
		return nil, nil, err
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, nil, err
	}
	a.status, a.header, a.body = response.StatusCode, response.Header, make([]byte, 100)
	if _, err := io.ReadFull(response.Body, a.body); err != nil || a.status != http.StatusOK {
		return nil, nil, errors.Join(err, response.Body.Close(), fmt.Errorf("%s: status %d", q.name, a.status))
	}
	return a, response.Body, nil
}

// hold reads nothing for a while. It ends early when the proxy holds too much.
func (p *pressure) hold(ctx context.Context, length time.Duration) error {
	for end := time.Now().Add(length); time.Now().Before(end) && until(ctx, time.Now().Add(100*time.Millisecond)); {
		f, err := p.subject.figures(ctx, collectedPath)
		if err != nil {
			return err
		}
		p.samples = append(p.samples, f)
		if f.Heap > p.allowed {
			break
		}
	}
	return nil
}

// top is what the proxy held at most.
func (p *pressure) top() figures { return peak(p.samples) }

// finish lets those that were only slow read the rest, and judges what they got.
func (p *pressure) finish(ctx context.Context) ([]verdict, error) {
	config := place{}.config(1)
	config.APIKeys, config.Timing.Tokens = nil, flood
	reference, err := modelsim.New(config)
	if err != nil {
		return nil, err
	}
	callers := &callers{reference: reference}
	all := make([]verdict, len(p.slow))
	var reading sync.WaitGroup
	for i, s := range p.slow {
		reading.Go(func() {
			rest, err := io.ReadAll(s.body)
			_ = s.body.Close() // it was read
			s.begun.body, s.begun.err = append(s.begun.body, rest...), err
			all[i] = judge(s.ask, s.begun, callers.expected(ctx, s.ask))
		})
	}
	reading.Wait()
	return all, nil
}
