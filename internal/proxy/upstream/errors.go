// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package upstream

import (
	"errors"
	"net"
	"strings"
)

// Phase is the part of an exchange in which it failed. Phases are ordered: a
// later phase was reached through all earlier ones.
type Phase uint8

const (
	// PhaseResolve turns the target's host name into addresses.
	PhaseResolve Phase = iota
	// PhaseDial connects.
	PhaseDial
	// PhaseHandshake agrees on TLS.
	PhaseHandshake
	// PhaseWrite sends the request.
	PhaseWrite
	// PhaseHead waits for and reads the head of the answer.
	PhaseHead
	// PhaseBody reads the body of the answer.
	PhaseBody
)

var phaseNames = [...]string{
	PhaseResolve:   "resolving the host",
	PhaseDial:      "connecting",
	PhaseHandshake: "TLS handshake",
	PhaseWrite:     "sending the request",
	PhaseHead:      "reading the answer's head",
	PhaseBody:      "reading the answer's body",
}

// String says what was being done in the phase.
func (p Phase) String() string {
	if int(p) < len(phaseNames) {
		return phaseNames[p]
	}
	return "unknown phase"
}

// Error is the one error type of this package: what failed, and how much of
// the exchange had happened by then. Whoever judges a failure needs both, since
// a refused connection, a stale pooled one and a cut answer have different
// culprits.
type Error struct {
	// Phase in which the exchange failed.
	Phase Phase
	// Address of the target, host:port.
	Address string
	// Reused is true if the connection came from the pool.
	Reused bool
	// Sent is true if any byte of the request may have left this process. If
	// it is false, certainly none did.
	Sent bool
	// AnswerBegan is true if at least one byte of an answer arrived.
	AnswerBegan bool
	// Timeout is true if a deadline ended the wait.
	Timeout bool
	// Canceled is true if Cancel ended the exchange; nothing can be concluded
	// about the target then.
	Canceled bool
	// Err is the cause.
	Err error
}

// Stale reports that a pooled connection turned out to be dead before any byte
// of an answer: the race of every keep-alive client with the peer's idle
// timeout. It says nothing about the target's health; the request belongs on a
// fresh connection.
func (e *Error) Stale() bool {
	return e.Reused && !e.AnswerBegan && !e.Timeout && !e.Canceled
}

// Error names the address, the phase and the cause, and never a value of any
// header.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("upstream ")
	b.WriteString(e.Address)
	b.WriteString(": ")
	b.WriteString(e.Phase.String())
	if e.Reused {
		b.WriteString(" on a reused connection")
	}
	switch {
	case e.Canceled:
		b.WriteString(": canceled")
		return b.String()
	case e.Timeout:
		b.WriteString(": timed out")
		return b.String()
	}
	cause := e.Err
	// The socket's own wrapping repeats the address.
	if op, ok := errors.AsType[*net.OpError](cause); ok {
		cause = op.Err
	}
	b.WriteString(": ")
	b.WriteString(cause.Error())
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// isTimeout reports whether a deadline, ours or the kernel's, ended the wait.
func isTimeout(err error) bool {
	ne, ok := errors.AsType[net.Error](err)
	return ok && ne.Timeout()
}
