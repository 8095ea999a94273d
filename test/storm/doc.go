// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

// Package storm drives a real proxy, in a process of its own, through a storm: two hundred callers, half of them
// streaming, and five endpoints of three simulated providers that fail in all the ways the wire and a model know,
// each on a schedule that follows from a seed (schedule.go, disorder.go). One of them is always well, and never the
// same one for long.
//
// What goes wrong on the wire are toxiproxy's toxics (wire.go, toxic.go); what goes wrong at a provider are modelsim's
// faults. Callers know what modelsim would say to each of their requests, to the byte (caller.go, check.go). When it
// is over, three books are held against each other: what callers got, what the proxy wrote down, and what the
// providers did (audit.go). Whatever they disagree about is told as a story (story.go), and what a process has kept
// of the storm is seen in its descriptors, goroutines and memory (figures.go).
package storm
