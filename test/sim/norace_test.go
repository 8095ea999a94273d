// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build !race

package sim

// steps is how many steps of the simulation a test run takes.
const steps = 1_000_000
