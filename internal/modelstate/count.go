// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package modelstate

import (
	"slices"
	"time"
)

// MaxBuckets is how many buckets a window keeps.
const MaxBuckets = 64

// Booking is what was fixed when an attempt began: where its usage belongs, and whether its outcome counts.
type Booking struct {
	// Quota and Budget are the starts of the periods that were current.
	Quota, Budget time.Time
	Epoch         int64
}

// RecordSuccess counts an attempt that succeeded. Usage is what has not been booked of it yet: its request is
// booked when it begins.
func (n *Numbers) RecordSuccess(began Booking, sample Sample, usage Usage) {
	n.Book(began, usage)
	n.ended(began.Epoch, sample.At, 0)
	if sample.FirstToken > 0 {
		n.FirstToken.Add(sample.FirstToken)
	}
	n.Total.Add(sample.Total)
	n.Recent = newestSamples(append(slices.Clone(n.Recent), sample))
	n.LastRequest = later(n.LastRequest, sample.At)
}

// RecordFailure counts an attempt that failed at a time.
func (n *Numbers) RecordFailure(began Booking, at time.Time, message string, usage Usage) {
	n.Book(began, usage)
	n.ended(began.Epoch, at, 1)
	n.failed(at, cut(message, maxNewsMessage))
}

// Book counts usage in the periods that were current when an attempt began, also when they are over.
func (n *Numbers) Book(began Booking, usage Usage) {
	n.Quota = KeepPeriods(book(slices.Clone(n.Quota), began.Quota, usage), time.Time{})
	n.Budget = KeepPeriods(book(slices.Clone(n.Budget), began.Budget, usage), time.Time{})
}

// ended counts an attempt in the window.
func (n *Numbers) ended(epoch int64, at time.Time, failures int64) {
	bucket := Bucket{Start: at.UTC().Truncate(BucketLength), Epoch: epoch, Attempts: 1, Failures: failures}
	n.Window = keepBuckets(addBucket(slices.Clone(n.Window), bucket))
}

// failed keeps the newest failure.
func (n *Numbers) failed(at time.Time, message string) {
	if at.After(n.LastFailure) || at.Equal(n.LastFailure) && message > n.LastFailureMessage {
		n.LastFailure, n.LastFailureMessage = at, message
	}
}

// compareBuckets orders buckets by time, then by epoch.
func compareBuckets(a, b Bucket) int {
	if order := a.Start.Compare(b.Start); order != 0 {
		return order
	}
	return int(min(max(a.Epoch-b.Epoch, -1), 1))
}

// addBucket counts a bucket in a window.
func addBucket(window []Bucket, bucket Bucket) []Bucket {
	at, found := slices.BinarySearchFunc(window, bucket, compareBuckets)
	if !found {
		return slices.Insert(window, at, bucket)
	}
	window[at].Attempts += bucket.Attempts
	window[at].Failures += bucket.Failures
	return window
}

// keepBuckets drops what is older than MaxWindow, seen from the newest bucket, and more than MaxBuckets.
func keepBuckets(window []Bucket) []Bucket {
	if len(window) == 0 {
		return nil
	}
	window = window[max(len(window)-MaxBuckets, 0):]
	oldest := window[len(window)-1].Start.Add(-MaxWindow)
	for window[0].Start.Before(oldest) {
		window = window[1:]
	}
	return window
}

// compareSamples puts newer samples first; those of one time in an order of their own.
func compareSamples(a, b Sample) int {
	if order := b.At.Compare(a.At); order != 0 {
		return order
	}
	if a.Total != b.Total {
		return int(min(max(a.Total-b.Total, -1), 1))
	}
	return int(min(max(a.FirstToken-b.FirstToken, -1), 1))
}

// newestSamples sorts samples and keeps the newest.
func newestSamples(samples []Sample) []Sample {
	slices.SortFunc(samples, compareSamples)
	return samples[:min(len(samples), MaxSamples)]
}

// Merge adds up what several proxies have counted of one endpoint. The order of the reports means nothing.
func Merge(reports ...Numbers) Numbers {
	var sum Numbers
	for i := range reports {
		n := &reports[i]
		if i == 0 {
			sum.Endpoint, sum.Namespace, sum.Name = n.Endpoint, n.Namespace, n.Name
		}
		sum.Quota = SumPeriods(sum.Quota, n.Quota)
		sum.Budget = SumPeriods(sum.Budget, n.Budget)
		for _, bucket := range n.Window {
			sum.Window = addBucket(sum.Window, bucket)
		}
		sum.FirstToken.Merge(&n.FirstToken)
		sum.Total.Merge(&n.Total)
		sum.Recent = newestSamples(append(sum.Recent, n.Recent...))
		sum.LastRequest = later(sum.LastRequest, n.LastRequest)
		if !n.LastFailure.IsZero() {
			sum.failed(n.LastFailure, n.LastFailureMessage)
		}
	}
	return sum
}

// Subtract is what n holds beyond sealed, an earlier state of the same counters: what a proxy that was believed
// dead goes on to report. Nothing in it is below zero. The times of the newest success and failure are kept:
// whoever reads them twice learns nothing else.
func Subtract(n, sealed Numbers) Numbers {
	beyond := n
	beyond.Quota = periodsBeyond(n.Quota, sealed.Quota)
	beyond.Budget = periodsBeyond(n.Budget, sealed.Budget)
	beyond.Window = nil
	for _, bucket := range n.Window {
		if at, found := slices.BinarySearchFunc(sealed.Window, bucket, compareBuckets); found {
			bucket.Attempts = max(bucket.Attempts-sealed.Window[at].Attempts, 0)
			bucket.Failures = min(max(bucket.Failures-sealed.Window[at].Failures, 0), bucket.Attempts)
		}
		if bucket.Attempts > 0 {
			beyond.Window = append(beyond.Window, bucket)
		}
	}
	beyond.FirstToken = n.FirstToken.minus(&sealed.FirstToken)
	beyond.Total = n.Total.minus(&sealed.Total)
	beyond.Recent = nil
	for _, sample := range n.Recent {
		if !slices.ContainsFunc(sealed.Recent, func(s Sample) bool { return compareSamples(s, sample) == 0 }) {
			beyond.Recent = append(beyond.Recent, sample)
		}
	}
	return beyond
}

// minus is what is left of h without other; never less than nothing.
func (h Histogram) minus(other *Histogram) Histogram {
	for i := range h {
		h[i] -= min(h[i], other[i])
	}
	return h
}

// AnyEpoch asks WindowRate for attempts of every epoch.
const AnyEpoch int64 = -1

// WindowRate counts the attempts of an epoch that ended after from. A bucket that from cuts counts in full.
func WindowRate(window []Bucket, epoch int64, from time.Time) Rate {
	var rate Rate
	for i := range window {
		b := &window[i]
		if (epoch == AnyEpoch || b.Epoch == epoch) && b.Start.Add(BucketLength).After(from) {
			rate.Attempts += b.Attempts
			rate.Failures += b.Failures
		}
	}
	return rate
}
