// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package modelstate

import "time"

// streak is what proxies say of failures in a row, taken together.
type streak struct {
	failures, requests, connect int64
	// proxy is one of those that fail; several says that there are others.
	proxy   string
	several bool
	// since is when the oldest of the failures ended, last when the newest did; message is about that one.
	since, last time.Time
	message     string
	// success is the newest success that any proxy knows of.
	success time.Time
}

// fleetStreak sums up the streaks of one epoch that began after the newest success known from another proxy.
// A proxy's own success is older than its streak, whatever the clock says.
func fleetStreak(epoch int64, signals []Signal) streak {
	var s streak
	newest, runnerUp := -1, time.Time{}
	for i := range signals {
		if signals[i].Epoch != epoch || signals[i].LastSuccess.IsZero() {
			continue
		}
		if at := signals[i].LastSuccess; newest < 0 || at.After(s.success) {
			newest, runnerUp, s.success = i, s.success, at
		} else {
			runnerUp = later(runnerUp, at)
		}
	}
	for i := range signals {
		others := s.success
		if i == newest {
			others = runnerUp
		}
		if signals[i].Epoch == epoch && (others.IsZero() || signals[i].Since.After(others)) {
			s.add(&signals[i])
		}
	}
	return s
}

// standingStreak sums up all streaks of one epoch, whoever succeeded meanwhile.
func standingStreak(epoch int64, signals []Signal) streak {
	var s streak
	for i := range signals {
		if signals[i].Epoch == epoch {
			s.add(&signals[i])
		}
	}
	return s
}

// add counts one proxy's failures.
func (s *streak) add(signal *Signal) {
	if signal.Failures <= 0 {
		return
	}
	if s.failures == 0 {
		s.proxy, s.since = signal.Proxy, signal.Since
	} else {
		s.several = s.several || s.proxy != signal.Proxy
		s.since = earlier(s.since, signal.Since)
	}
	// The order of the signals means nothing, so of two failures at one time the message decides.
	newer := signal.LastFailure.After(s.last)
	if newer || s.failures == 0 || signal.LastFailure.Equal(s.last) && signal.Message > s.message {
		s.last, s.message = signal.LastFailure, signal.Message
	}
	s.failures = plus(s.failures, signal.Failures)
	s.requests = plus(s.requests, signal.Requests)
	s.connect = plus(s.connect, min(signal.Connect, signal.Failures))
}

// unconnected reports whether no failure got as far as a connection.
func (s *streak) unconnected() bool { return s.connect >= s.failures }

// believed reports whether the streak is more than one proxy's word, where that is not enough: when it is
// about connections (the fault may be the proxy's own), and after a verdict that had to be withdrawn.
func (s *streak) believed(e *Evidence, withdrawn bool) bool {
	if s.failures == 0 || s.several || !withdrawn && !s.unconnected() {
		return true
	}
	for _, busy := range e.Busy {
		if busy != s.proxy {
			return s.unconnected() && !e.Confirmed.IsZero() && !e.Confirmed.Before(s.since)
		}
	}
	return true
}

// successes counts those of one epoch.
func successes(epoch int64, signals []Signal) int64 {
	var n int64
	for i := range signals {
		if signals[i].Epoch == epoch {
			n = plus(n, signals[i].Successes)
		}
	}
	return n
}
