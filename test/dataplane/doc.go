// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

// Package dataplane shows what docs/design.md, section 4, says of a request: whose fault each failure is, how often and
// where it is tried again, and what a caller sees of a stream. Each sentence is a Case, and each case is data: what the
// providers do, what is asked, what must come back, what each endpoint's attempts count as and how it stands
// afterwards. The suite runs a case whole and streamed, on fresh and on reused connections, wherever that differs.
//
// Cases know nothing of how a proxy is run: a Target does. The tests of this package run them against one in their own
// process; test/e2e runs them against a proxy, an operator and an API server that are processes of their own.
package dataplane
