// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package modelsim

import (
	"net"

	"golang.org/x/sys/unix"
)

// queued is how many bytes of a socket the other side has not acknowledged; 0 when that cannot be known.
func queued(socket *net.TCPConn) int {
	raw, err := socket.SyscallConn()
	if err != nil {
		return 0
	}
	bytes := 0
	if err := raw.Control(func(fd uintptr) {
		if left, err := unix.IoctlGetInt(int(fd), unix.SIOCOUTQ); err == nil {
			bytes = left
		}
	}); err != nil {
		return 0
	}
	return bytes
}
