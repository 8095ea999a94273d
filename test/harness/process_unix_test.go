// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build unix && !linux

package harness_test

import (
	"errors"
	"syscall"
)

func running(pid int) bool { return !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) }
