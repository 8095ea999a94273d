// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package health

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/turnout-ai/turnout/internal/modelstate"
)

// keptBuckets bounds a window: those of MaxWindow, and some more for epochs that change within one.
const keptBuckets = 2 * int(modelstate.MaxWindow/modelstate.BucketLength)

// window counts the attempts that ended lately with a success or a failure, by epoch. What says nothing about
// the endpoint (the caller left, a provider asks to wait) is not counted.
type window struct {
	current atomic.Pointer[windowBucket]

	mu   sync.Mutex
	kept []*windowBucket // in the order in which they began to be used
}

type windowBucket struct {
	start, epoch       int64
	attempts, failures atomic.Int64
}

// add counts an attempt of that epoch.
func (w *window) add(now, epoch int64, failed bool) {
	start := now - now%int64(modelstate.BucketLength)
	b := w.current.Load()
	if b == nil || b.start != start || b.epoch != epoch {
		b = w.find(start, epoch)
	}
	b.attempts.Add(1)
	if failed {
		b.failures.Add(1)
	}
}

// find opens a bucket, or finds one that is open for attempts of an earlier epoch.
func (w *window) find(start, epoch int64) *windowBucket {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, b := range slices.Backward(w.kept) {
		if b.start == start && b.epoch == epoch {
			return b
		}
	}
	b := &windowBucket{start: start, epoch: epoch}
	oldest := start - int64(modelstate.MaxWindow)
	w.kept = slices.DeleteFunc(w.kept, func(b *windowBucket) bool { return b.start < oldest })
	if len(w.kept) >= keptBuckets {
		w.kept = slices.Delete(w.kept, 0, 1)
	}
	w.kept = append(w.kept, b)
	if c := w.current.Load(); c == nil || c.epoch <= epoch {
		w.current.Store(b)
	}
	return b
}

// rate sums up the attempts of an epoch since a time.
func (w *window) rate(epoch, since int64) modelstate.Rate {
	w.mu.Lock()
	defer w.mu.Unlock()
	var r modelstate.Rate
	for _, b := range w.kept {
		if b.epoch == epoch && b.start >= since {
			r.Failures += b.failures.Load()
			r.Attempts += b.attempts.Load()
		}
	}
	return r
}

// buckets returns those of the last MaxWindow, oldest first.
func (w *window) buckets(now int64) []modelstate.Bucket {
	w.mu.Lock()
	defer w.mu.Unlock()
	var buckets []modelstate.Bucket
	for _, b := range w.kept {
		if b.start+int64(modelstate.BucketLength) > now-int64(modelstate.MaxWindow) {
			failures := b.failures.Load() // first, so that they are never more than the attempts
			buckets = append(buckets, modelstate.Bucket{
				Start: moment(b.start), Epoch: b.epoch, Attempts: b.attempts.Load(), Failures: failures,
			})
		}
	}
	slices.SortStableFunc(buckets, func(a, b modelstate.Bucket) int {
		return cmp.Or(a.Start.Compare(b.Start), cmp.Compare(a.Epoch, b.Epoch))
	})
	return buckets
}

// generationLength is how long latencies go into one generation of histograms. Two are kept, so that a
// reading covers one to two of it.
const generationLength = int64(modelstate.MaxWindow / 2)

// latency measures the successes of one endpoint.
type latency struct {
	current, last atomic.Pointer[generation]
	mu            sync.Mutex // for a change of generation

	written atomic.Uint64
	// recent is a ring, with room for those that are being written while it is read.
	recent [modelstate.MaxSamples + 6]sample
}

// generation holds the latencies of successes before end.
type generation struct {
	end   int64
	total classes
	// first is nil until a stream is measured.
	first atomic.Pointer[classes]
}

// holds reports whether the generation takes what is measured now. One whose end is too far away was begun by a
// clock that has been put back.
func (g *generation) holds(now int64) bool {
	return g != nil && now < g.end && g.end-now <= 2*generationLength
}

type classes [modelstate.HistogramSize]atomic.Uint32

// sample is one success; at is 0 while it is being written.
type sample struct {
	at, first, total atomic.Int64
}

// add counts a success; first is 0 for an answer in one piece.
func (l *latency) add(now int64, first, total time.Duration) {
	g := l.current.Load()
	if !g.holds(now) {
		g = l.turn(now)
	}
	g.total[modelstate.Class(total)].Add(1)
	if first > 0 {
		c := g.first.Load()
		if c == nil {
			g.first.CompareAndSwap(nil, new(classes))
			c = g.first.Load()
		}
		c[modelstate.Class(first)].Add(1)
	}
	s := &l.recent[(l.written.Add(1)-1)%uint64(len(l.recent))]
	s.at.Store(0)
	s.first.Store(int64(first))
	s.total.Store(int64(total))
	s.at.Store(now)
}

// turn begins another generation.
func (l *latency) turn(now int64) *generation {
	l.mu.Lock()
	defer l.mu.Unlock()
	g := l.current.Load()
	if g.holds(now) {
		return g
	}
	l.last.Store(g)
	g = &generation{end: now + generationLength}
	l.current.Store(g)
	return g
}

// read adds what was measured to n.
func (l *latency) read(now int64, n *modelstate.Numbers) {
	for _, g := range [...]*generation{l.current.Load(), l.last.Load()} {
		if g == nil || g.end+generationLength <= now {
			continue
		}
		g.total.read(&n.Total)
		if first := g.first.Load(); first != nil {
			first.read(&n.FirstToken)
		}
	}
	written := l.written.Load()
	for i := range min(written, uint64(len(l.recent))) {
		s := &l.recent[(written-1-i)%uint64(len(l.recent))]
		at := s.at.Load()
		read := modelstate.Sample{FirstToken: time.Duration(s.first.Load()), Total: time.Duration(s.total.Load())}
		if at == 0 || s.at.Load() != at { // being written
			continue
		}
		read.At = moment(at)
		if n.Recent = append(n.Recent, read); len(n.Recent) == modelstate.MaxSamples {
			break
		}
	}
	slices.SortStableFunc(n.Recent, func(a, b modelstate.Sample) int { return b.At.Compare(a.At) })
}

func (c *classes) read(into *modelstate.Histogram) {
	for i := range c {
		into[i] += c[i].Load()
	}
}
