// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// wantHolder is how a port that this test holds is described.
func wantHolder() string {
	name, err := os.ReadFile("/proc/self/comm")
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf(" by %s (pid %d)", strings.TrimSpace(string(name)), os.Getpid())
}

// childrenOf lists the processes that a process has started and that run.
func childrenOf(t *testing.T, parent int) []int {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	var children []int
	for _, stat := range stats {
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(stat)))
		if err != nil {
			continue
		}
		if state, of := stateOf(pid); of == parent && state != "Z" {
			children = append(children, pid)
		}
	}
	return children
}

// runs tells a process that runs from one that is gone or waits to be reaped.
func runs(pid int) bool {
	state, _ := stateOf(pid)
	return state != "" && state != "Z" && state != "X"
}

// stateOf reads a process's state letter and parent; no letter: there is no such process.
func stateOf(pid int) (state string, parent int) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", 0
	}
	// pid (name) state parent ...
	_, rest, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 2 {
		return "", 0
	}
	parent, err = strconv.Atoi(fields[1])
	if err != nil {
		return "", 0
	}
	return fields[0], parent
}
