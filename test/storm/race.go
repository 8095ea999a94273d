// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build race

package storm

// rssRoom is how much more memory may be resident. The race detector keeps notes on all memory that was ever used,
// and never forgets: what it shows says nothing about the proxy.
const rssRoom = 512 * mebibyte
