// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package harness

import "syscall"

// processAttributes puts a program into a group of its own, where a Ctrl-C meant for this process does not
// reach it, and has the kernel kill it when this process dies, however it dies.
func processAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
