// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package modelstate

import (
	"math/bits"
	"time"
)

// HistogramSize is the number of classes of a Histogram: from below a millisecond to more than two hours,
// eight to each doubling, so that a quantile is off by at most a ninth.
const HistogramSize = 192

// Histogram counts latencies by class. Histograms of several proxies add up exactly.
type Histogram [HistogramSize]uint32

// histogramUnit is the width of the first classes.
const histogramUnit = int64(time.Millisecond) / 8

// Class is the class of a latency.
func Class(d time.Duration) int {
	n := uint64(max(int64(d), 0) / histogramUnit)
	if n < 16 {
		return int(n)
	}
	shift := bits.Len64(n) - 4 // n>>shift is 8 to 15
	return min(8*shift+int(n>>shift), HistogramSize-1)
}

// ClassLatency is the largest latency of a class.
func ClassLatency(class int) time.Duration {
	next := class + 1
	if next <= 16 {
		return time.Duration(int64(next) * histogramUnit)
	}
	shift := next/8 - 1
	return time.Duration(int64(next-8*shift) << shift * histogramUnit)
}

// Add counts one latency.
func (h *Histogram) Add(d time.Duration) { h[Class(d)]++ }

// Merge adds another histogram's counts.
func (h *Histogram) Merge(other *Histogram) {
	for i, n := range other {
		h[i] += n
	}
}

// Count is how many latencies were counted.
func (h *Histogram) Count() int64 {
	var n int64
	for _, c := range h {
		n += int64(c)
	}
	return n
}

// Quantile is the latency that so many hundredths of all do not exceed, as the upper end of its class;
// false when nothing was counted.
func (h *Histogram) Quantile(percent int64) (time.Duration, bool) {
	total := h.Count()
	if total == 0 {
		return 0, false
	}
	rank := (total*percent + 99) / 100
	var seen int64
	for i, c := range h {
		if seen += int64(c); seen >= max(rank, 1) {
			return ClassLatency(i), true
		}
	}
	return ClassLatency(HistogramSize - 1), true
}
