// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"sync"
	"time"
)

const (
	// minReportInterval is how often proxies report while the fleet is small.
	minReportInterval = 5 * time.Second
	// maxReportInterval is the longest it gets; see translate.APIDuration.
	maxReportInterval = 5 * time.Second << 12
	// reportsPerSecond and reportBytesPerSecond bound what the reports of all proxies together cost the API
	// server.
	reportsPerSecond     = 10
	reportBytesPerSecond = 500_000
	// entrySize and pageSize are how large the numbers of one endpoint, and a report without any, are taken to
	// be, in bytes.
	entrySize, pageSize = 600, 400
	// shrinkBelow is the share of the bounds that a shorter interval must stay under before it is taken, so that
	// a fleet near a bound does not go back and forth.
	shrinkBelow = 0.8
)

// Fleet decides how often proxies report. It stretches at once and shrinks with some room to spare.
type Fleet struct {
	books *Books

	mu sync.Mutex
	// interval is guarded by mu; zero before the first decision.
	interval time.Duration
}

// NewFleet makes a fleet of the processes that the books know.
func NewFleet(books *Books) *Fleet { return &Fleet{books: books} }

// Settings are how many proxies live and how often they report.
func (f *Fleet) Settings() (proxies int32, interval time.Duration) {
	l := f.books.load()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.interval = max(f.interval, minReportInterval)
	for f.interval < maxReportInterval && l.share(f.interval) > 1 {
		f.interval *= 2
	}
	for f.interval > minReportInterval && l.share(f.interval/2) <= shrinkBelow {
		f.interval /= 2
	}
	return int32(min(l.proxies, 1<<31-1)), f.interval
}

// Interval is how often proxies report.
func (f *Fleet) Interval() time.Duration {
	_, interval := f.Settings()
	return interval
}

// share is the part of the bounds that the fleet uses at an interval; above 1 it is too much.
func (l load) share(interval time.Duration) float64 {
	perSecond := 1 / interval.Seconds()
	bytes := float64(l.entries*entrySize + l.pages*pageSize)
	return max(float64(l.pages)*perSecond/reportsPerSecond, bytes*perSecond/reportBytesPerSecond)
}
