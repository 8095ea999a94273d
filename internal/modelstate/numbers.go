// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package modelstate

import "time"

// Tokens is what attempts used. Input includes CachedInput, Output includes Reasoning.
type Tokens struct {
	Input, CachedInput, Output, Reasoning int64
}

// Usage sums up attempts. Cost is in nano-dollars (10⁻⁹ USD).
type Usage struct {
	// Requests counts attempts handed to a connection, whatever came of them.
	Requests int64
	Tokens   Tokens
	Cost     int64
	// Estimated is the part of the above that no provider has confirmed.
	Estimated Estimate
}

// Estimate is the part of a Usage that was estimated: attempts whose provider did not say what they used,
// because the caller left, the answer broke off, or it was not asked to.
type Estimate struct {
	Requests int64
	Tokens   Tokens
	Cost     int64
}

// PeriodUsage is the usage of one calendar period. A request belongs to the period in which its attempt
// began, also when it ends later.
type PeriodUsage struct {
	// Start identifies the period.
	Start time.Time
	Usage
}

// Bucket counts attempts that ended within BucketLength from Start on, of those that began in Epoch.
type Bucket struct {
	Start              time.Time
	Epoch              int64
	Attempts, Failures int64
}

// BucketLength is the length of a Bucket; they begin at whole multiples of it since the Unix epoch.
const BucketLength = 10 * time.Second

// MaxWindow is the longest window over which an error rate is judged.
const MaxWindow = 5 * time.Minute

// Sample is one successful attempt: FirstToken is the time to the first content of a stream (0 for an answer
// in one piece), Total to the end.
type Sample struct {
	At                time.Time
	FirstToken, Total time.Duration
}

// MaxSamples is how many samples the latency history keeps.
const MaxSamples = 10

// Numbers is what one proxy has counted of one endpoint since it started. Usage only grows.
type Numbers struct {
	// Endpoint is the UID of the ModelEndpoint; Namespace and Name are what it was called.
	Endpoint, Namespace, Name string
	// Quota and Budget hold the same attempts, once by quota period and once by budget period: the current
	// one, and earlier ones that ended lately. Oldest first.
	Quota, Budget []PeriodUsage
	// Window covers the last MaxWindow, oldest first.
	Window []Bucket
	// FirstToken and Total are the latencies of successful attempts within about the last MaxWindow.
	FirstToken, Total Histogram
	// Recent are the newest successes, newest first, at most MaxSamples.
	Recent []Sample
	// LastRequest is the newest success, LastFailure the newest failure, of any epoch.
	LastRequest, LastFailure time.Time
	LastFailureMessage       string
}
