// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// signalWhenOrphaned asks the kernel for a signal when our parent ends, and names it. Only under go run: it
// passes on neither SIGTERM nor SIGHUP and dies of them, and everything would go on without a way to stop it.
func signalWhenOrphaned() os.Signal {
	parent, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", os.Getppid()))
	if err != nil || strings.TrimSpace(string(parent)) != "go" {
		return nil
	}
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(syscall.SIGTERM), 0, 0, 0); err != nil {
		return nil
	}
	return syscall.SIGTERM
}

// portHolder names the process that listens on a local TCP port as " by name (pid n)", or is empty when it
// cannot be known, as with another user's.
func portHolder(port int) string {
	sockets := map[string]bool{}
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		collectListeners(table, port, sockets)
	}
	links, err := filepath.Glob("/proc/[0-9]*/fd/*")
	if err != nil {
		return ""
	}
	for _, link := range links {
		if target, err := os.Readlink(link); err != nil || !sockets[target] {
			continue
		}
		pid, _, _ := strings.Cut(strings.TrimPrefix(link, "/proc/"), "/")
		name, err := os.ReadFile(filepath.Join("/proc", pid, "comm"))
		if err != nil {
			return " by pid " + pid
		}
		return fmt.Sprintf(" by %s (pid %s)", strings.TrimSpace(string(name)), pid)
	}
	return ""
}

// collectListeners adds the sockets of table that listen on port, in the form in which /proc/*/fd names them.
func collectListeners(table string, port int, sockets map[string]bool) {
	file, err := os.Open(table)
	if err != nil {
		return
	}
	defer func() { _ = file.Close() }() // it was only read
	const listening = "0A"
	want := fmt.Sprintf(":%04X", port)
	for lines := bufio.NewScanner(file); lines.Scan(); {
		// sl local_address rem_address st tx:rx tr:when retrnsmt uid timeout inode
		fields := strings.Fields(lines.Text())
		if len(fields) < 10 || fields[3] != listening || !strings.HasSuffix(fields[1], want) {
			continue
		}
		if _, err := strconv.ParseUint(fields[9], 10, 64); err == nil {
			sockets["socket:["+fields[9]+"]"] = true
		}
	}
}
