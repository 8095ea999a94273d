// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package modelsim

import (
	"net/http"
	"strconv"
	"time"

	"github.com/turnout-ai/turnout/internal/modelsim/ledger"
)

// streaming is an answer on its way, step by step.
type streaming struct {
	*exchange
	out     *reply
	encoder streamEncoder
	// contents is how many steps with content (reasoning that can be read too) were sent; struck is true once the fault has struck.
	contents int
	struck   bool
}

// stream sends an event stream.
func (x *exchange) stream(out *reply) error {
	if err := x.waitUntil(x.start.Add(x.timing.Latency)); err != nil {
		return err
	}
	s := &streaming{exchange: x, out: out}
	if err := s.head(contentSSE); err != nil {
		return err
	}
	if x.fault.spoils(spoilHangBody) {
		if err := x.pause(x.fault.wait); err != nil {
			return err
		}
	}
	// Not even a role: head and end of a stream, and nothing between them.
	if x.fault.spoils(spoilEmpty) && !x.fault.role {
		return s.end()
	}
	for step := range out.steps {
		over, err := s.step(step)
		if err != nil {
			return err
		}
		if over {
			break
		}
	}
	return s.end()
}

// head sends the head of an answer whose length is not known yet.
func (s *streaming) head(contentType string) error {
	header := s.w.Header()
	header.Set("Content-Type", contentType)
	header.Set("Cache-Control", "no-cache")
	header.Set("Openai-Processing-Ms", strconv.FormatInt(time.Since(s.start).Milliseconds(), 10))
	s.encoder = s.sim.encoder(header, s.r, s.w)
	s.record.Status = http.StatusOK
	if err := s.book(ledger.Head); err != nil {
		return err
	}
	s.w.WriteHeader(http.StatusOK)
	// The head goes out now, not with the first token: clients measure and wait for each by itself.
	return s.flush()
}

// step sends one step, when it is time and unless the fault strikes first. It says whether the stream is over.
func (s *streaming) step(step step) (over bool, err error) {
	if step.kind.says() {
		if err := s.pace(); err != nil {
			return false, err
		}
	}
	if s.strikes(step.kind) {
		if over, err := s.strike(); over || err != nil {
			return over, err
		}
	}
	if err := s.announce(step); err != nil {
		return false, err
	}
	if _, err := s.encoder.Write(step.bytes); err != nil {
		return false, errGone
	}
	if step.kind.says() {
		s.contents++
	}
	// The tail of a stream goes out with its last bytes, as it does at providers that do not wait in between.
	if step.kind > stepContent {
		return false, nil
	}
	return false, s.flush()
}

// pace waits until it is time for the next content.
func (s *streaming) pace() error {
	if s.fault.spoils(spoilSlow) && s.contents > 0 {
		if err := s.pause(s.fault.every()); err != nil {
			return err
		}
	}
	// Paced by the start of the request and not by the token before, so that delays do not add up.
	due := s.thinking(s.out.hidden + s.contents)
	if err := s.ping(due); err != nil {
		return err
	}
	return s.waitUntil(due)
}

// announce books what is about to be sent. From the finish reason on everything is final: a client that has
// seen it, or the usage behind it, has been served.
func (s *streaming) announce(step step) error {
	switch step.kind {
	case stepThought, stepContent:
		// One line per token: after a crash the books are exact to the token, not to some interval.
		s.record.Tokens.Completion, s.record.Tokens.Reasoning = step.completion, step.reasoning
		return s.book(ledger.Progress)
	case stepFinish:
		s.record.Tokens = s.out.tokens
		return s.book(ledger.Finished)
	case stepRole, stepUsage, stepDone:
	}
	return nil
}

// strikes says whether the fault strikes before a step: after so many contents, at the latest before the finish.
func (s *streaming) strikes(kind stepKind) bool {
	early := s.fault.spoils(spoilSilent) && !s.fault.role
	if s.struck || s.fault == nil || kind == stepRole && !early {
		return false
	}
	s.struck = s.contents >= s.fault.after || kind == stepFinish
	return s.struck
}

// strike spoils the stream.
func (s *streaming) strike() (over bool, err error) {
	switch s.fault.kind.spoil {
	case spoilStall:
		return false, s.pause(s.fault.wait)
	case spoilCut:
		// A clean cut is a complete chunked message: only the missing terminal marker tells.
		if s.fault.how == howClean {
			return true, nil
		}
		if err := s.flush(); err != nil {
			return true, err
		}
		return true, s.abort(s.fault.how)
	case spoilErrorFrame:
		// OpenAI sends no [DONE] behind an error.
		return true, s.frame(s.fault.error(s.exchange, s.fault.code).frame())
	case spoilGarbage:
		return false, s.frame("data: {\"id\":\"chatcmpl-<<garbage\n\n")
	case spoilEmpty:
		return true, nil
	case spoilSilent:
		return false, s.keepAlive(": keep-alive\n\n")
	case spoilNothing, spoilHang, spoilHangBody, spoilPings, spoilResetAfter, spoilSlow:
	}
	return false, nil
}

// ping sends comments until it is time for the next content. There is at least one before each.
func (s *streaming) ping(due time.Time) error {
	if !s.fault.spoils(spoilPings) {
		return nil
	}
	every := s.fault.every()
	for {
		if err := s.frame(": ping\n\n"); err != nil {
			return err
		}
		if time.Until(due) <= every {
			return nil
		}
		if err := s.pause(every); err != nil {
			return err
		}
	}
}

// keepAlive sends nothing but the same text for as long as the fault wants, or until the client leaves.
func (s *streaming) keepAlive(text string) error {
	end, every := time.Now().Add(s.fault.wait), s.fault.every()
	for {
		if err := s.frame(text); err != nil {
			return err
		}
		if s.fault.wait > 0 && time.Until(end) <= every {
			return s.waitUntil(end)
		}
		if err := s.pause(every); err != nil {
			return err
		}
	}
}

// frame sends bytes that are not the model's.
func (s *streaming) frame(text string) error {
	if _, err := s.encoder.Write([]byte(text)); err != nil {
		return errGone
	}
	return s.flush()
}

// flush pushes everything written so far through the encoder and out of the process.
func (s *streaming) flush() error {
	if err := s.encoder.Flush(); err != nil {
		return errGone
	}
	if err := http.NewResponseController(s.w).Flush(); err != nil {
		return errGone
	}
	return nil
}

// end completes the HTTP message. A stream that ends early by a fault was broken off, however politely.
func (s *streaming) end() error {
	if err := s.book(ledger.Aborted); err != nil {
		return err
	}
	if err := s.encoder.Close(); err != nil {
		return errGone
	}
	if s.fault.spoils(spoilResetAfter) {
		return s.resetLater(s.r.ProtoAtLeast(1, 1))
	}
	return nil
}
