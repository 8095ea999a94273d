// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build unix && !linux

package harness

import "syscall"

// processAttributes puts a program into a group of its own, where a Ctrl-C meant for this process does not
// reach it. Only Linux can also tie its life to this process's.
func processAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
