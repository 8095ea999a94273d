// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package modelstate

// Reason is why an endpoint is on Standby. Smaller values take precedence: of all reasons that hold, the
// smallest is the one shown (docs/design.md, section 3).
type Reason uint8

// The reasons, in the order of their precedence. The zero value is none.
const (
	Manual Reason = iota + 1
	MaintenanceWindow
	BudgetExceeded
	TokenLimit
	RequestLimit
	QuotaExhausted
	ProviderAuthFailure
	ProviderOutage
	ModelNotFound
	ErrorThreshold
	RateLimited
	ProbeFailed
)

// reasonNames are the words of the API.
var reasonNames = [...]string{
	Manual:              "Manual",
	MaintenanceWindow:   "MaintenanceWindow",
	BudgetExceeded:      "BudgetExceeded",
	TokenLimit:          "TokenLimit",
	RequestLimit:        "RequestLimit",
	QuotaExhausted:      "QuotaExhausted",
	ProviderAuthFailure: "ProviderAuthFailure",
	ProviderOutage:      "ProviderOutage",
	ModelNotFound:       "ModelNotFound",
	ErrorThreshold:      "ErrorThreshold",
	RateLimited:         "RateLimited",
	ProbeFailed:         "ProbeFailed",
}

// String is the reason's word in the API; empty for none.
func (r Reason) String() string {
	if int(r) >= len(reasonNames) {
		return ""
	}
	return reasonNames[r]
}

// ParseReason reads the word of the API; false when it is none.
func ParseReason(word string) (Reason, bool) {
	for r := Manual; int(r) < len(reasonNames); r++ {
		if reasonNames[r] == word {
			return r, true
		}
	}
	return 0, false
}

// Health reports whether the reason speaks of the endpoint's health: what evidence decides, and what a change
// of configuration ends. The others follow from the spec, the clock and the books alone.
func (r Reason) Health() bool { return r >= QuotaExhausted }

// Advice reports whether an endpoint that rests for this reason may still be tried when nothing better is
// left. Every other reason is never overridden.
func (r Reason) Advice() bool { return r == ErrorThreshold || r == ProbeFailed || r == ProviderOutage }
