// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build race

package sim

// steps is how many steps of the simulation a test run takes: the race detector makes each many times as long.
const steps = 50_000
