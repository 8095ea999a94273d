// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package harness_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/turnout-ai/turnout/test/harness"
)

// running tells a process that runs from one that is gone or dead and not yet reaped by whoever inherited it.
func running(pid int) bool {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, state, _ := strings.Cut(string(status), ") ")
	return !strings.HasPrefix(state, "Z") && !strings.HasPrefix(state, "X")
}

// A test run that is killed, or a make run whose terminal explodes, must not leave an API server behind.
func TestProcessesDieWithTheirParent(t *testing.T) {
	command := harness.Command{
		Name: "parent", Path: os.Args[0], LogFile: filepath.Join(t.TempDir(), "parent.log"),
		Env: []string{parentVariable + "=" + filepath.Join(t.TempDir(), "child.log")},
	}
	command.Ready = logged(command, "child ")
	parent, err := harness.StartProcess(t.Context(), command)
	if err != nil {
		t.Fatal(err)
	}
	child := pidIn(t, command.LogFile, "child ")
	if !running(child) {
		t.Fatalf("child %d must run to begin with", child)
	}
	// SIGKILL for the parent's group; the child is in a group of its own, so only its tie to the parent ends it.
	parent.Kill()
	awaitDead(t, child)
}
