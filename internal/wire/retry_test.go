// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"math"
	"testing"
	"time"
)

func TestRetryHeaders(t *testing.T) {
	now := time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)
	for _, tc := range []struct {
		name    string
		headers RetryHeaders
		want    time.Duration
		wantOK  bool
	}{
		{"no header says nothing", RetryHeaders{}, 0, false},
		{"seconds", RetryHeaders{RetryAfter: "20"}, 20 * time.Second, true},
		{"zero seconds", RetryHeaders{RetryAfter: "0"}, 0, true},
		{"seconds with a fraction", RetryHeaders{RetryAfter: "1.5"}, 1500 * time.Millisecond, true},
		{"a date", RetryHeaders{RetryAfter: "Sun, 01 Mar 2026 12:00:30 GMT"}, 30 * time.Second, true},
		{"a date that has passed", RetryHeaders{RetryAfter: "Sun, 01 Mar 2026 11:00:00 GMT"}, 0, true},
		{"a date of RFC 850", RetryHeaders{RetryAfter: "Sunday, 01-Mar-26 12:01:00 GMT"}, time.Minute, true},
		{"a date of asctime", RetryHeaders{RetryAfter: "Sun Mar  1 12:01:00 2026"}, time.Minute, true},
		{"milliseconds before seconds", RetryHeaders{RetryAfter: "2", RetryAfterMS: "1250"}, 1250 * time.Millisecond, true},
		{"seconds when the milliseconds are nonsense", RetryHeaders{RetryAfter: "2", RetryAfterMS: "soon"}, 2 * time.Second, true},
		{"more than a Duration holds", RetryHeaders{RetryAfter: "99999999999999999999999"}, math.MaxInt64, true},
		{"a negative number says nothing", RetryHeaders{RetryAfter: "-5"}, 0, false},
		{"words say nothing", RetryHeaders{RetryAfter: "tomorrow"}, 0, false},
		{"no number says nothing", RetryHeaders{RetryAfter: "NaN", RetryAfterMS: "Inf"}, 0, false},
		{"points say nothing", RetryHeaders{RetryAfter: "1.2.3"}, 0, false},
		{"Retry-After before the resets", RetryHeaders{RetryAfter: "2", ResetRequests: "1m"}, 2 * time.Second, true},
		{"a reset in Go's notation", RetryHeaders{ResetTokens: "6m0s"}, 6 * time.Minute, true},
		{"a reset in milliseconds", RetryHeaders{ResetRequests: "20ms"}, 20 * time.Millisecond, true},
		{"a reset in plain seconds", RetryHeaders{ResetRequests: "7"}, 7 * time.Second, true},
		{"the reset of the limit that was met", RetryHeaders{ResetRequests: "1h", ResetTokens: "2s", RemainingRequests: "0", RemainingTokens: "500"}, time.Hour, true},
		{"or of the other", RetryHeaders{ResetRequests: "1h", ResetTokens: "2s", RemainingRequests: "9", RemainingTokens: "0"}, 2 * time.Second, true},
		{"the longer one when both were met", RetryHeaders{ResetRequests: "1h", ResetTokens: "2s", RemainingRequests: "0", RemainingTokens: "0"}, time.Hour, true},
		{"whichever that is", RetryHeaders{ResetRequests: "2s", ResetTokens: "1h", RemainingRequests: "0", RemainingTokens: "0"}, time.Hour, true},
		{"the shorter one when neither says so", RetryHeaders{ResetRequests: "1h", ResetTokens: "2s"}, 2 * time.Second, true},
		{"a negative reset says nothing", RetryHeaders{ResetRequests: "-1s"}, 0, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, ok := tc.headers.After(now)
			if got != tc.want || ok != tc.wantOK {
				t.Errorf("%v, %v; want %v, %v", got, ok, tc.want, tc.wantOK)
			}
		})
	}
}
