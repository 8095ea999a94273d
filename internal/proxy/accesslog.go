// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"bytes"
	"context"
	"io"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/turnout-ai/turnout/internal/wire"
)

const (
	// logFlush is how long a line may wait to be written.
	logFlush = 200 * time.Millisecond
	// logBuffer bounds the lines that wait in one shard; more are dropped and counted.
	logBuffer = 1 << 20
	// logShards spreads the lines so that no lock is shared by all requests.
	logShards = 16
)

// AccessLog writes one JSON object per request, in lines. Requests only append to memory; Run writes.
// A nil AccessLog logs nothing.
type AccessLog struct {
	out     io.Writer
	dropped atomic.Uint64
	shards  [logShards]logShard
}

type logShard struct {
	mu  sync.Mutex // held for one append or one swap
	buf []byte
	_   [64]byte // keeps two shards off one cache line
}

// NewAccessLog returns a log that Run writes to out.
func NewAccessLog(out io.Writer) *AccessLog { return &AccessLog{out: out} }

// Run writes what was logged until ctx ends, and then what is left.
func (l *AccessLog) Run(ctx context.Context) error {
	tick := time.NewTicker(logFlush)
	defer tick.Stop()
	var spare []byte
	for {
		select {
		case <-ctx.Done():
			_, err := l.flush(spare)
			return err
		case <-tick.C:
			spare, _ = l.flush(spare) // a log that cannot be written is not worth a request; its lines are counted
		}
	}
}

// flush writes every shard; spare is an empty buffer to put in a shard's place, and so is the result.
func (l *AccessLog) flush(spare []byte) ([]byte, error) {
	var failed error
	for i := range l.shards {
		s := &l.shards[i]
		s.mu.Lock()
		full := s.buf
		s.buf = spare[:0]
		s.mu.Unlock()
		if len(full) > 0 {
			if _, err := l.out.Write(full); err != nil {
				l.dropped.Add(uint64(bytes.Count(full, []byte("\n"))))
				failed = err
			}
		}
		spare = full
	}
	return spare, failed
}

// entry is what is logged of one request.
type entry struct {
	start            time.Time
	id               []byte
	operation        string
	stream           bool
	model            []byte // as the caller named it; nil when the body was not understood
	namespace        string
	policy           string // empty when the name resolved to none
	endpoint         string // that answered, or was tried last; empty when none was tried
	provider         string
	attempts         int
	status           int
	problem          string // why it failed; empty when it did not
	duration         time.Duration
	firstToken       time.Duration // 0 when no content was sent
	limitWait        time.Duration // for an endpoint that was at a limit
	bytesIn          int
	bytesOut         int64
	usage            wire.Usage // of the last attempt
	estimated        bool       // no provider has said it
	tries            []try
	client           string
	lastOutcome      string // of the last attempt, when it was not a success
	upstreamResponse int    // status of the last answer a provider gave; 0 when none did
}

// try is what is logged of one attempt, when a request has made several.
type try struct {
	endpoint  string
	outcome   outcome
	status    int // of the provider's answer; 0 without one
	usage     wire.Usage
	estimated bool
}

// attempt notes what an attempt came to, after its use.
func (e *entry) attempt(o outcome, status int) {
	e.lastOutcome = ""
	if o != outcomeSuccess {
		e.lastOutcome = string(o)
	}
	e.tries = append(e.tries, try{e.endpoint, o, status, e.usage, e.estimated})
}

// add appends e's line.
func (l *AccessLog) add(serial uint64, e *entry) {
	if l == nil {
		return
	}
	s := &l.shards[serial%logShards]
	s.mu.Lock()
	if len(s.buf) < logBuffer {
		s.buf = e.append(s.buf)
	} else {
		l.dropped.Add(1)
	}
	s.mu.Unlock()
}

// append writes e as one line of JSON. Names follow OpenTelemetry's GenAI conventions where they have one.
func (e *entry) append(b []byte) []byte {
	b = append(b, `{"time":"`...)
	b = e.start.UTC().AppendFormat(b, "2006-01-02T15:04:05.000Z")
	b = append(b, `","request_id":"`...)
	b = append(b, e.id...)
	b = appendString(b, `","gen_ai.operation.name":`, e.operation)
	b = append(b, `,"gen_ai.request.model":`...)
	b = wire.AppendString(b, e.model)
	b = appendString(b, `,"namespace":`, e.namespace)
	b = appendString(b, `,"policy":`, e.policy)
	b = appendString(b, `,"endpoint":`, e.endpoint)
	b = appendString(b, `,"gen_ai.provider.name":`, e.provider)
	b = append(b, `,"stream":`...)
	b = strconv.AppendBool(b, e.stream)
	b = appendInt(b, `,"attempts":`, int64(e.attempts))
	b = appendInt(b, `,"status":`, int64(e.status))
	b = append(b, `,"duration_ms":`...)
	b = appendMillis(b, e.duration)
	if e.firstToken > 0 {
		b = append(b, `,"time_to_first_token_ms":`...)
		b = appendMillis(b, e.firstToken)
	}
	if e.limitWait > 0 {
		b = append(b, `,"turnout.limit_wait_ms":`...)
		b = appendMillis(b, e.limitWait)
	}
	b = appendInt(b, `,"request_bytes":`, int64(e.bytesIn))
	b = appendInt(b, `,"response_bytes":`, e.bytesOut)
	b = appendInt(b, `,"gen_ai.usage.input_tokens":`, e.usage.Input)
	b = appendInt(b, `,"gen_ai.usage.output_tokens":`, e.usage.Output)
	b = append(b, `,"turnout.usage_estimated":`...)
	b = strconv.AppendBool(b, e.estimated)
	b = e.appendTries(b)
	if e.lastOutcome != "" {
		b = appendString(b, `,"last_outcome":`, e.lastOutcome)
		b = appendInt(b, `,"upstream_status":`, int64(e.upstreamResponse))
	}
	if e.problem != "" {
		b = appendString(b, `,"error":`, e.problem)
	}
	b = appendString(b, `,"client":`, e.client)
	return append(b, "}\n"...)
}

// appendTries writes every attempt, in order, when there are several: one alone is what the line is about.
func (e *entry) appendTries(b []byte) []byte {
	if len(e.tries) < 2 {
		return b
	}
	b = append(b, `,"turnout.attempts":[`...)
	for i := range e.tries {
		t := &e.tries[i]
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(b, `{"endpoint":`, t.endpoint)
		b = appendString(b, `,"outcome":`, string(t.outcome))
		b = appendInt(b, `,"upstream_status":`, int64(t.status))
		b = appendInt(b, `,"input_tokens":`, t.usage.Input)
		b = appendInt(b, `,"output_tokens":`, t.usage.Output)
		b = append(b, `,"estimated":`...)
		b = strconv.AppendBool(b, t.estimated)
		b = append(b, '}')
	}
	return append(b, ']')
}

func appendString(b []byte, key, value string) []byte {
	b = append(b, key...)
	return wire.AppendString(b, []byte(value))
}

func appendInt(b []byte, key string, value int64) []byte {
	b = append(b, key...)
	return strconv.AppendInt(b, value, 10)
}

func appendMillis(b []byte, d time.Duration) []byte {
	return strconv.AppendFloat(b, float64(d.Microseconds())/1000, 'f', 3, 64)
}
