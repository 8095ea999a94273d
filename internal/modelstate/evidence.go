// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package modelstate

import "time"

// Signal is what one proxy has to say about the health of one endpoint. All of it is about attempts that
// began in Epoch, but PreviousSuccess.
type Signal struct {
	// Endpoint is the UID of the ModelEndpoint, Namespace and Name what it is called; Proxy is the UID of the
	// ProxyInstance.
	Endpoint, Namespace, Name, Proxy string
	Epoch                            int64
	// Failures is the streak: failures since the proxy's last success. Requests is from how many distinct
	// requests they are; Connect how many of them are connect-class (no connection: refused, not resolved,
	// not verified, too slow), Outage how many are connect-class or 5xx.
	Failures, Requests, Connect, Outage int64
	// Since is when the streak began, LastFailure when its newest failure ended; zero without a streak.
	Since, LastFailure time.Time
	// LastSuccess is when the newest success showed itself: its first content, or the end of an answer in one
	// piece. Successes counts them. Zero when there was none in the epoch.
	LastSuccess time.Time
	Successes   int64
	// PreviousSuccess is the newest success of an attempt that began in the epoch before; zero without one.
	PreviousSuccess time.Time
	// Message describes the newest failure: "503 from api.example.com".
	Message string
	// RateLimitedUntil is how long the provider asked to be left alone; zero when it did not.
	RateLimitedUntil time.Time
	// Statements are the provider's own words, each reason at most once: QuotaExhausted, ProviderAuthFailure,
	// ModelNotFound.
	Statements []Statement
}

// Statement is a provider's own word about an endpoint.
type Statement struct {
	Reason Reason
	// At is when it was said; Until is the end that the provider gave, zero when it gave none.
	At, Until time.Time
	Message   string
}

// Evidence is everything the fleet knows of one endpoint at one moment.
type Evidence struct {
	// Signals are those of all proxies that are not known to be dead, at most one each, of any epoch. A proxy
	// that blames itself has none here.
	Signals []Signal
	// Busy are the UIDs of the proxies that made attempts at this endpoint within the window.
	Busy []string
	// Window counts the attempts that began in the current epoch and ended within each policy's own window,
	// by the policy's name ("" for the defaults); absent where the reports come too rarely to say.
	Window map[string]Rate
	// WindowEpoch is the epoch of Window. 0 means that of the State which is judged; the window says nothing
	// any more then after a transition in the same judgement.
	WindowEpoch int64
	// Confirmed is when the operator last saw for itself that no connection can be made; zero when it did not,
	// or when a later try succeeded.
	Confirmed time.Time
}

// Rate is a share of attempts that failed.
type Rate struct {
	Attempts, Failures int64
}

// Unit is how one policy wants its endpoints judged. Each is judged as a unit: never one policy's count with
// another's window.
type Unit struct {
	// Policy is the policy's name; empty for the defaults.
	Policy string
	// ConsecutiveFailures trips, at least 2.
	ConsecutiveFailures int64
	// ErrorRate trips too when it is not 0: failures per million attempts, of at least MinimumRequests within
	// Window.
	ErrorRate       int64
	MinimumRequests int64
	Window          time.Duration
	// RestToStandby is how long a rest the provider may ask for before it becomes a Standby.
	RestToStandby time.Duration
	// Cooldown doubles with each trip up to MaxCooldown.
	Cooldown, MaxCooldown time.Duration
	// MaxRetryAfter caps what a provider may ask for.
	MaxRetryAfter time.Duration
	// InitialPercent, Ramp and Successes describe the trial; see Trial.
	InitialPercent int
	Ramp           time.Duration
	Successes      int
}

// DefaultUnit is that of the API's schema, for endpoints in no policy.
var DefaultUnit = Unit{
	ConsecutiveFailures: 3,
	MinimumRequests:     20,
	Window:              time.Minute,
	RestToStandby:       time.Minute,
	Cooldown:            time.Minute,
	MaxCooldown:         time.Hour,
	MaxRetryAfter:       time.Hour,
	InitialPercent:      10,
	Ramp:                30 * time.Second,
	Successes:           3,
}

// MaxQuotaReset caps the time that a provider may state for the reset of a quota: a month and a day.
const MaxQuotaReset = 32 * 24 * time.Hour

// Input is everything a judgement is made from, beside the State.
type Input struct {
	// Configuration identifies url, model and credential; see State.
	Configuration string
	// Suspended is spec.suspend. Maintenance says whether now is inside a window, and until when.
	Suspended        bool
	InMaintenance    bool
	MaintenanceUntil time.Time
	// Limits are the endpoint's own limits of which something is lent or used.
	Limits []LimitUse
	// QuotaReset is the start of the next quota period; zero when the endpoint declares none.
	QuotaReset time.Time
	// Units are those of all policies that cover the endpoint; DefaultUnit alone when none does.
	Units    []Unit
	Evidence Evidence
	Probe    ProbeResult
	Siblings Siblings
}

// ProbeResult is the news that probes brought since the last judgement.
type ProbeResult struct {
	// FailureThreshold is how many failures in a row are ProbeFailed; 0 when the endpoint has no probe, which
	// ends a ProbeFailed.
	FailureThreshold int
	// Succeeded is when the newest probe succeeded, Failed when the newest one failed; zero when there is no
	// news. ModelSeen says that the success speaks of the model and not only of the provider.
	Succeeded, Failed time.Time
	ModelSeen         bool
	Message           string
}

// Siblings is what other endpoints of the same provider or the same credential say about this one.
type Siblings struct {
	// Outage says that all endpoints of the provider fail; OutageMessage how. OutageUntil is the common end,
	// so that they return together.
	Outage        bool
	OutageUntil   time.Time
	OutageMessage string
	// ProviderSucceeded is when a probe of any endpoint of the provider last succeeded.
	ProviderSucceeded time.Time
	// Unauthorized says that the credential is known to be refused elsewhere: a 401 at a second endpoint, or
	// a failed probe after a first one. CredentialAccepted is when a probe with it last succeeded.
	Unauthorized        bool
	UnauthorizedMessage string
	CredentialAccepted  time.Time
}
