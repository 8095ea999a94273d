// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

// Package soak reads how tests are told to run for long, or to do again what they did once: TURNOUT_SOAK=30m and
// TURNOUT_SEED=1.
package soak

import (
	"os"
	"strconv"
	"testing"
	"time"
)

// On reports whether this is a soak, and no test run.
func On() bool { return os.Getenv("TURNOUT_SOAK") != "" }

// Length is how long a test lasts: short in a test run, and TURNOUT_SOAK in a soak, unless that is shorter.
func Length(t testing.TB, short time.Duration) time.Duration {
	t.Helper()
	if !On() {
		return short
	}
	text := os.Getenv("TURNOUT_SOAK")
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatalf("TURNOUT_SOAK=%q is no duration such as 30m: %v", text, err)
	}
	return max(d, short)
}

// Seed is the seed that was asked for; false when any will do.
func Seed(t testing.TB) (seed uint64, given bool) {
	t.Helper()
	text := os.Getenv("TURNOUT_SEED")
	if text == "" {
		return 0, false
	}
	seed, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("TURNOUT_SEED=%q is no number: %v", text, err)
	}
	return seed, true
}
