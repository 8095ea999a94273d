// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/turnout-ai/turnout/internal/wire"
)

const (
	// holdLimit is how much of a stream is held back while it has no content. A stream that has more to say
	// before its first content is committed.
	holdLimit = 64 << 10
	// chunkSize is the room offered to a read of a stream.
	chunkSize = 4 << 10
	// afterDone is how long a provider may take to end the stream after the frame that ends the answer. The
	// connection is worth that much, and the caller has everything already.
	afterDone = time.Second
)

var (
	errNoContent   = errors.New("the stream ended without content and without a terminal marker")
	errErrorFrame  = errors.New("the stream began with an error")
	doneMarker     = "[DONE]"
	errClientGone  = errors.New("the caller left")
	streamCutError = wire.ErrorBody{
		Message: "the provider's stream broke off before the answer was complete; what was sent so far is all there is.",
		Type:    serverError, Code: "stream_interrupted",
	}
)

// streamAnswer is an answer in server-sent events. Until its first content nothing of it reaches the caller;
// from then on whole frames do, as they come, and nothing is ever sent twice.
//
// It is an io.Reader that the HTTP server pulls from, so that a caller that reads slowly slows the provider
// and never fills memory.
type streamAnswer struct {
	request *request
	backend *backend
	source  io.Reader
	frames  wire.Frames
	frame   wire.Frame // the one last cut
	chunk   []byte     // what frames were fed from
	held    []byte     // frames before the commit
	out     []byte     // of frame or held: still to be sent
	// readMoved and writeMoved are when the deadlines last moved.
	readMoved, writeMoved time.Time
	terminal              bool // a marker of a complete answer was seen
	committed             bool
	broken                outcome // how the answer ended before its end; empty while it has not
	ended                 error   // why nothing more comes from the provider; nil while it may
}

// receiveStream reads a stream up to its first content and commits it there.
func (r *request) receiveStream(b *backend, source io.Reader) verdict {
	s := &r.stream
	s.begin(b, source)
	r.exchange.SetReadDeadline(r.contentBy)
	if o, err := s.hold(); err != nil {
		if o != 0 {
			r.conclude(b, outcome(o.String()))
			r.exchange.Close()
			return next
		}
		return r.broke(b, err)
	}
	s.commit()
	return answered
}

func (s *streamAnswer) begin(b *backend, source io.Reader) {
	s.backend, s.source = b, source
	s.frames.Reset()
	s.held, s.out = s.held[:0], nil
	s.readMoved, s.writeMoved = time.Time{}, time.Time{}
	s.terminal, s.committed, s.broken, s.ended = false, false, "", nil
	if s.chunk == nil {
		s.chunk = make([]byte, chunkSize)
	}
}

// hold reads frames until one must be shown to the caller. With an error the attempt has failed; the outcome
// says how when the provider's own words do.
func (s *streamAnswer) hold() (wire.Outcome, error) {
	for {
		ok, err := s.cut()
		if err != nil {
			return wire.Failure, err
		}
		if !ok {
			if s.ended != nil {
				return s.endedEarly()
			}
			s.fill()
			continue
		}
		kind := s.note()
		if kind&wire.Failed != 0 {
			return wire.ClassifyErrorFrame(s.frame.Data), errErrorFrame
		}
		s.held = append(s.held, s.frame.Raw...)
		if kind&(wire.Content|wire.Terminal) != 0 || len(s.held) > holdLimit {
			return 0, nil
		}
	}
}

// endedEarly judges a stream that ended before any frame that commits.
func (s *streamAnswer) endedEarly() (wire.Outcome, error) {
	if errors.Is(s.ended, io.EOF) {
		return wire.Failure, errNoContent
	}
	return 0, s.ended
}

// cut moves to the next whole frame. The last one of a stream may lack its blank line.
func (s *streamAnswer) cut() (bool, error) {
	ok, err := s.frames.Next(&s.frame)
	if ok || err != nil {
		return ok, err
	}
	return errors.Is(s.ended, io.EOF) && s.frames.End(&s.frame), nil
}

// fill reads more of the stream.
func (s *streamAnswer) fill() {
	n, err := s.source.Read(s.chunk)
	s.frames.Feed(s.chunk[:n])
	s.ended = err
}

// note takes from the frame what the books and the end of the stream need.
func (s *streamAnswer) note() wire.FrameKind {
	if s.frame.Comment {
		return wire.Lifecycle
	}
	kind, size := wire.ClassifyFrame(s.frame.Data)
	s.request.size += size
	if kind&wire.Failed != 0 && s.committed {
		s.broken = outcome(wire.ClassifyErrorFrame(s.frame.Data).String())
		s.request.log.problem = "upstream_error"
	}
	if kind&wire.WithUsage != 0 {
		s.request.usage = wire.FrameUsage(s.frame.Data)
	}
	if kind&wire.Terminal != 0 {
		if !s.terminal {
			s.request.complete = time.Now()
		}
		s.terminal = true
		if string(s.frame.Data) == doneMarker {
			s.request.exchange.SetReadDeadline(time.Now().Add(afterDone))
			s.readMoved = time.Now().Add(afterDone) // nothing moves it again before it has passed
		}
	}
	return kind
}

// commit begins to give the caller the stream.
func (s *streamAnswer) commit() {
	r := s.request
	r.shown = time.Now()
	r.books.Shown()
	r.firstToken = r.shown.Sub(r.begun)
	r.log.firstToken = r.shown.Sub(r.start)
	s.backend.metrics.ttft.Observe(r.firstToken.Seconds())
	r.releaseBody()
	response := &r.ctx.Response
	response.SetStatusCode(http.StatusOK)
	r.setContentType("text/event-stream")
	response.Header.Set("Cache-Control", "no-cache")
	response.Header.Set("X-Accel-Buffering", "no") // nginx in front of us would wait for more
	r.copyAnswerHeaders()
	s.out, s.committed = s.held, true
	r.handedOver = true
	response.SetBodyStream(s, -1)
}

// Read implements io.Reader for the HTTP server: it blocks until there is at least one whole frame, and
// gives what is there.
func (s *streamAnswer) Read(p []byte) (n int, err error) {
	defer s.request.guard(&err)
	for {
		if len(s.out) > 0 {
			copied := copy(p[n:], s.out)
			s.out = s.out[copied:]
			n += copied
		}
		if n == len(p) {
			break
		}
		more, err := s.advance(n > 0)
		if err != nil {
			s.moveWriteDeadline() // the end of the answer is written too
			return n, err
		}
		if !more {
			break
		}
	}
	s.moveWriteDeadline()
	s.request.log.bytesOut += int64(n)
	return n, nil
}

// advance puts the next frame into out. It waits for the provider unless there is something to send already;
// false means that this is so.
func (s *streamAnswer) advance(enough bool) (bool, error) {
	for {
		ok, err := s.cut()
		switch {
		case err != nil:
			s.ended = err
		case ok:
			s.note()
			s.out = s.frame.Raw
			return true, nil
		}
		if s.ended != nil {
			return s.finish(enough)
		}
		if enough {
			return false, nil
		}
		s.readMoved = s.request.moveReadDeadline(s.readMoved)
		s.fill()
	}
}

// finish ends the caller's stream: plainly when the answer is complete, else with an error event.
func (s *streamAnswer) finish(enough bool) (bool, error) {
	r := s.request
	if r.watch.gone() {
		return false, errClientGone
	}
	if s.terminal || s.broken != "" {
		if enough {
			return false, nil
		}
		return false, io.EOF
	}
	s.broken = r.cutOutcome()
	r.log.problem = string(s.broken)
	s.held = wire.EncodeErrorEvent(s.held[:0], streamCutError)
	s.out = s.held
	return true, nil
}

// moveWriteDeadline lets the caller take its time for what is about to be written.
func (s *streamAnswer) moveWriteDeadline() {
	now := time.Now()
	timeout := s.request.route.Policy.Timeouts.ClientWrite
	if now.Sub(s.writeMoved) < stepFor(timeout) {
		return
	}
	s.writeMoved = now
	_ = s.request.ctx.SetWriteDeadline(now.Add(timeout))
}

// Close implements io.Closer: the HTTP server has sent everything, or the caller is gone.
func (s *streamAnswer) Close() (err error) {
	r := s.request
	if s.source == nil {
		return nil // closed before
	}
	defer r.guard(&err)
	s.source = nil
	o := outcomeSuccess
	switch {
	case s.broken != "":
		o = s.broken
	case s.terminal:
	default:
		o = outcomeClientGone
		r.log.problem = string(o)
	}
	r.conclude(s.backend, o)
	s.out = nil
	if cap(s.held) > chunkSize {
		s.held = nil
	}
	r.end()
	return nil
}
