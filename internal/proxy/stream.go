// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"bytes"
	"errors"
	"fmt"
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
	errPause       = errors.New("the caller must hear something")
	stillWaiting   = []byte(": turnout waiting\n\n")
	errClientGone  = errors.New("the caller left")
	streamCutError = wire.ErrorBody{
		Message: "the provider's stream broke off before the answer was complete; what was sent so far is all there is.",
		Type:    serverError, Code: "stream_interrupted",
	}
)

// streamAnswer is an answer in server-sent events. Until its first content nothing of it reaches the caller;
// from then on whole frames do, as they come, and nothing is ever sent twice. When that takes long, it is opened: the
// caller gets comments, and the attempts go on within Read.
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
	held    []byte     // frames before the commit, or a whole answer to an opened stream
	event   []byte     // an error of ours, or one that was no event
	out     []byte     // still to be sent, of what is above
	// readMoved and writeMoved are when the deadlines last moved.
	readMoved, writeMoved time.Time
	ends                  int64 // frames that ended an answer
	terminal              bool  // the markers of complete answers were seen
	filtered              bool  // the provider's filter has ended it
	committed             bool
	handed                bool    // the HTTP server has it, until Close
	finished              bool    // nothing follows what is in out
	broken                outcome // how the answer ended before its end; empty while it has not
	ended                 error   // why nothing more comes from the provider; nil while it may
}

// receiveStream reads a stream up to its first content and commits it there.
func (r *request) receiveStream(b *backend, source io.Reader) verdict {
	r.stream.begin(b, source)
	r.stage = holding
	return r.holdOn()
}

// holdOn goes on to read a stream that has no content yet.
func (r *request) holdOn() verdict {
	s := &r.stream
	r.exchange.SetReadDeadline(s.holdUntil())
	v, err := s.hold()
	switch {
	case errors.Is(err, errPause):
		return waiting
	case err != nil && v.Outcome == 0:
		return r.broke(s.backend, err)
	default:
		return r.began(&v)
	}
}

// began acts on the first content of a stream, on its end before it, or on an error in its place.
func (r *request) began(v *wire.Verdict) verdict {
	s := &r.stream
	b := s.backend
	r.hint = v.Hint
	act := r.actOn(b, v)
	if act == give {
		if v.Outcome != wire.Success {
			s.broken = outcome(v.Outcome.String())
			r.log.problem = "upstream_error"
		}
		s.commit()
		return answered
	}
	if act == keep && s.terminal {
		s.holdRest()
	}
	r.conclude(b, outcome(v.Outcome.String()))
	return r.leave(act, v, http.StatusOK, s.held)
}

func (s *streamAnswer) begin(b *backend, source io.Reader) {
	s.backend, s.source = b, source
	s.frames.Reset()
	s.held, s.out = s.held[:0], nil
	s.readMoved, s.writeMoved = time.Time{}, time.Time{}
	s.ends = 0
	s.terminal, s.filtered, s.committed, s.finished, s.broken, s.ended = false, false, false, false, "", nil
	if s.chunk == nil {
		s.chunk = make([]byte, chunkSize)
	}
}

// holdUntil is by when the first content must have come, or the caller must hear something.
func (s *streamAnswer) holdUntil() time.Time {
	if s.pauses() {
		return s.request.untilPause(s.request.contentBy)
	}
	return s.request.contentBy
}

// pauses reports whether reading can be interrupted and taken up again: not while decoding.
func (s *streamAnswer) pauses() bool {
	return !s.request.pause.IsZero() && s.source == io.Reader(&s.request.exchange)
}

// hold reads frames until one must be shown to the caller, and says what the stream is then. With an error the attempt
// has failed, or must pause; the outcome is 0 unless the provider's own words say how.
func (s *streamAnswer) hold() (wire.Verdict, error) {
	for {
		ok, err := s.cut()
		if err != nil {
			return wire.Verdict{Outcome: wire.Failure}, err
		}
		if !ok {
			if s.ended != nil {
				return s.endedEarly()
			}
			s.fill()
			continue
		}
		kind := s.note()
		if s.ours(kind) {
			continue
		}
		s.held = append(s.held, s.frame.Raw...)
		if kind&wire.Failed != 0 {
			return s.backend.format.ClassifyErrorFrame(s.frame.Data), nil
		}
		if kind&(wire.Content|wire.Terminal) != 0 || len(s.held) > holdLimit {
			return wire.Verdict{Outcome: wire.Success, Filtered: s.filtered && kind&wire.Content == 0}, nil
		}
	}
}

// holdRest reads what follows the marker of a complete answer: what it used, and the end. Whoever does not send that
// soon has the answer taken without.
func (s *streamAnswer) holdRest() {
	s.request.exchange.SetReadDeadline(time.Now().Add(afterDone))
	for len(s.held) <= holdLimit {
		ok, err := s.cut()
		switch {
		case ok:
			if !s.ours(s.note()) {
				s.held = append(s.held, s.frame.Raw...)
			}
		case err != nil, s.ended != nil:
			return
		default:
			s.fill()
		}
	}
}

// endedEarly judges a stream that ended before any frame that commits.
func (s *streamAnswer) endedEarly() (v wire.Verdict, err error) {
	err = s.ended
	switch now := time.Now(); {
	case errors.Is(err, io.EOF):
		return wire.Verdict{Outcome: wire.Failure}, errNoContent
	case isTimeout(err) && s.pauses() && now.Before(s.request.contentBy) && !now.Before(s.request.pause):
		s.ended = nil
		return v, errPause
	}
	return v, err
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
	r, format := s.request, s.backend.format
	kind, size := format.ClassifyFrame(s.frame.Data)
	r.size += size
	if kind&wire.Failed != 0 && s.committed {
		v := format.ClassifyErrorFrame(s.frame.Data)
		s.broken = outcome(v.Outcome.String())
		r.log.problem = "upstream_error"
	}
	if kind&wire.WithUsage != 0 {
		r.usage.Raise(format.FrameUsage(s.frame.Data))
	}
	s.filtered = s.filtered || kind&wire.Filtered != 0
	if kind&wire.Terminal != 0 {
		// Of several answers in one stream each has an end of its own.
		s.ends++
		if !s.terminal {
			r.complete = time.Now()
		}
		s.terminal = s.terminal || s.ends >= r.choices || kind&wire.Last != 0
	}
	if kind&wire.Last != 0 {
		r.exchange.SetReadDeadline(time.Now().Add(afterDone))
		s.readMoved = time.Now().Add(afterDone) // nothing moves it again before it has passed
	}
	return kind
}

// ours reports whether a frame of that kind is only there because the proxy has asked for it.
func (s *streamAnswer) ours(kind wire.FrameKind) bool {
	return kind&wire.UsageAlone != 0 && s.request.addsUsage
}

// commit begins to give the caller the stream.
func (s *streamAnswer) commit() {
	r := s.request
	r.shown = time.Now()
	r.books.Shown()
	if s.broken == "" {
		r.learnUsage(s.backend)
	}
	r.firstToken = r.shown.Sub(r.begun)
	r.log.firstToken = r.shown.Sub(r.start)
	s.backend.metrics.ttft.Observe(r.firstToken.Seconds())
	r.releaseBody()
	s.out, s.committed = s.held, true
	if r.opened {
		return
	}
	r.copyAnswerHeaders()
	r.setContentType("text/event-stream")
	s.hand()
}

// open lets a caller that has waited long know that its request is worked on: it gets a status and a comment, and the
// attempts go on in Read.
func (s *streamAnswer) open() {
	r := s.request
	r.opened = true
	r.proxy.metrics.opened.Inc()
	s.out, s.committed, s.finished = stillWaiting, false, false
	s.writeMoved, s.broken = time.Time{}, ""
	r.sayRequest()
	r.ctx.Response.Header.SetContentType("text/event-stream")
	s.hand()
}

// hand gives the stream to the HTTP server.
func (s *streamAnswer) hand() {
	response := &s.request.ctx.Response
	response.SetStatusCode(http.StatusOK)
	response.Header.Set("Cache-Control", "no-cache")
	response.Header.Set("X-Accel-Buffering", "no") // nginx in front of us would wait for more
	s.handed = true
	s.request.handedOver = true
	response.SetBodyStream(s, -1)
}

// chase goes on with the attempts of a stream that was opened before its content. It waits for them unless there is
// something to send already; false means that this is so.
func (s *streamAnswer) chase(enough bool) (bool, error) {
	r := s.request
	switch {
	case s.finished && !enough:
		return false, io.EOF
	case enough:
		return false, nil
	}
	r.pause = time.Now().Add(r.route.Policy.Timeouts.CommitAfter)
	switch r.pursue() {
	case waiting:
		s.out = stillWaiting
	case abandoned:
		return false, errClientGone
	case exhausted:
		r.giveUp()
		if !s.finished { // the caller left
			return false, errClientGone
		}
	default:
	}
	return true, nil
}

// end makes events the last of an opened stream.
func (s *streamAnswer) end(events []byte) { s.out, s.finished = events, true }

// maxQuote is how much of an error that callers cannot read is quoted to them.
const maxQuote = 512

// endWith ends an opened stream with an error that came in place of one, as an event that the caller's libraries take
// for an error.
func (s *streamAnswer) endWith(status int, body []byte) {
	s.event = s.event[:0]
	if kind, _ := callerFormat.ClassifyFrame(body); kind&wire.Failed == 0 {
		s.event = callerFormat.EncodeErrorEvent(s.event, wire.ErrorBody{
			Message: fmt.Sprintf("the provider answered %d: %s", status, body[:min(len(body), maxQuote)]),
			Type:    invalidRequest, Code: problemRefused,
		})
		s.end(s.event)
		return
	}
	for line := range bytes.Lines(bytes.TrimSpace(body)) {
		s.event = append(s.event, "data: "...)
		s.event = append(s.event, bytes.TrimRight(line, "\r\n")...)
		s.event = append(s.event, '\n')
	}
	s.event = append(s.event, '\n')
	s.end(s.event)
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
	if !s.committed {
		return s.chase(enough)
	}
	for {
		ok, err := s.cut()
		switch {
		case err != nil:
			s.ended = err
		case ok:
			if s.ours(s.note()) {
				continue
			}
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
	s.event = callerFormat.EncodeErrorEvent(s.event[:0], streamCutError)
	s.out = s.event
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
	if !s.handed {
		return nil // closed before
	}
	defer r.guard(&err)
	s.handed = false
	o := outcomeSuccess
	switch {
	case s.broken != "":
		o = s.broken
	case s.committed && s.terminal, !s.committed && s.finished:
	default:
		o = outcomeClientGone
		if r.log.problem == "" {
			r.log.problem = string(o)
		}
	}
	if r.attempting != nil {
		r.conclude(r.attempting, o)
	}
	s.source, s.out = nil, nil
	r.end()
	return nil
}

// trim lets go of large buffers: one long stream must not cost its size for ever.
func (s *streamAnswer) trim() {
	if cap(s.held) > chunkSize {
		s.held = nil
	}
	if cap(s.event) > chunkSize {
		s.event = nil
	}
}
