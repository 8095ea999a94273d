// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build !race

package storm

// rssRoom is how much more memory may be resident.
const rssRoom = 24 * mebibyte
