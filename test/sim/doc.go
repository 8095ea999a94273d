// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

// Package sim runs the real code that decides about limits and health in a world in which everything goes wrong, and
// holds laws against what happens.
//
// What is real: packages quota, modelstate, calendar and health. What is not: the API server is a store of plain
// values with versions (store.go), processes are threads that run one at a time (process.go), and the code around the
// real one is written anew, as thin as it gets and under the names of the original, so that the two can be held side
// by side: reporter.go and leases.go are package report, books.go, look.go, lend.go, instruct.go and operator.go are
// package controller.
//
// Everything that happens follows from a seed (plan.go): requests come and go late, twice or never, answers are lost,
// caches are old, clocks differ, processes crash between any two steps or stand still, two operators lead at once,
// proxies are cut off and believed dead, specs change, providers fail. Then all of that ends, there is demand, then
// none (world.close), and everything must come to rest. The audit (audit.go, rest.go) knows all of it, as no part of
// the product can: what providers were really sent, and what was really lent.
//
// What was not as usual in a world is a list of choices (chance.go). What breaks a law is told with as few of them as
// it takes (shrink.go). What is done wrong on purpose (sabotage.go) must break one.
package sim
