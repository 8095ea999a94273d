// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build unix && !linux

package main

import "os"

// signalWhenOrphaned exists on Linux only.
func signalWhenOrphaned() os.Signal { return nil }

// portHolder is known on Linux only.
func portHolder(int) string { return "" }
