// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package storm

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// figures are what a process holds.
type figures struct {
	Descriptors, Goroutines float64
	// Heap and RSS are in bytes.
	Heap, RSS float64
}

func (f figures) String() string {
	return fmt.Sprintf("%.0f descriptors, %.0f goroutines, %.1f MiB of heap, %.1f MiB resident", f.Descriptors, f.Goroutines, f.Heap/mebibyte, f.RSS/mebibyte)
}

const mebibyte = 1 << 20

// The bounds of what a storm may leave behind. Descriptors and goroutines may not grow at all: nothing of a request
// outlives it. A heap after a collection holds a few kilobytes more where a metric has got a new label or a histogram
// a first value, and what the kernel counts as resident depends on where the last survivors of a page stand.
const (
	heapRoom = 2 * mebibyte
)

// grown says what is more than it was, beyond the bounds.
func (f figures) grown(before figures) []string {
	var more []string
	check := func(what string, after, before, room, unit float64) {
		if after > before+room {
			more = append(more, fmt.Sprintf("%s: %.1f before, %.1f after; at most %.1f more are allowed", what, before/unit, after/unit, room/unit))
		}
	}
	check("descriptors", f.Descriptors, before.Descriptors, 0, 1)
	check("goroutines", f.Goroutines, before.Goroutines, 0, 1)
	check("MiB of heap", f.Heap, before.Heap, heapRoom, mebibyte)
	check("MiB resident", f.RSS, before.RSS, rssRoom, mebibyte)
	return more
}

// descriptors counts what a process has open; 0 when that cannot be known.
func descriptors(pid int) float64 {
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		return 0
	}
	return float64(len(entries))
}

// resident is how much memory of a process is real; 0 when that cannot be known.
func resident(pid int) float64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		value, ok := strings.CutPrefix(line, "VmRSS:")
		if !ok {
			continue
		}
		kilobytes, _ := strconv.ParseFloat(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")), 64)
		return kilobytes * 1024
	}
	return 0
}
