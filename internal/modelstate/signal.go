// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package modelstate

import "time"

// Failure is an attempt that failed, as a Signal counts it.
type Failure struct {
	At time.Time
	// Retried says that an earlier failure of the streak was of the same request.
	Retried bool
	// Connect says that there was no connection, Outage that or a 5xx.
	Connect, Outage bool
	Message         string
}

// Enter begins an epoch: what was seen before is no evidence in it.
func (s *Signal) Enter(epoch int64) {
	if epoch <= s.Epoch {
		return
	}
	var previous time.Time
	if epoch == s.Epoch+1 {
		previous = s.LastSuccess
	}
	*s = Signal{
		Endpoint: s.Endpoint, Namespace: s.Namespace, Name: s.Name, Proxy: s.Proxy,
		Epoch: epoch, PreviousSuccess: previous,
	}
}

// RecordSuccess ends the streak. epoch is the one in which the attempt began: a success of the one before is
// only remembered, as it may refute the verdict that ended it.
func (s *Signal) RecordSuccess(epoch int64, at time.Time) {
	switch epoch {
	case s.Epoch:
		s.Failures, s.Requests, s.Connect, s.Outage = 0, 0, 0, 0
		s.Since, s.LastFailure, s.Message = time.Time{}, time.Time{}, ""
		s.LastSuccess = later(s.LastSuccess, at)
		s.Successes++
	case s.Epoch - 1:
		s.PreviousSuccess = later(s.PreviousSuccess, at)
	}
}

// RecordFailure lengthens the streak, by an attempt that began in the current epoch only.
func (s *Signal) RecordFailure(epoch int64, f Failure) {
	if epoch != s.Epoch {
		return
	}
	if s.Failures == 0 {
		s.Since = f.At
	}
	s.Failures++
	if !f.Retried {
		s.Requests++
	}
	if f.Connect {
		s.Connect++
	}
	if f.Connect || f.Outage {
		s.Outage++
	}
	s.LastFailure, s.Message = later(s.LastFailure, f.At), f.Message
}
