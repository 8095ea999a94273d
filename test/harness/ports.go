// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"strconv"
	"sync"
)

// Free ports are taken from below the range that kernels give to outgoing connections (32768 on Linux, 49152
// elsewhere): a server that is stopped and started again on its port would otherwise find it used by
// somebody's connection now and then.
const (
	firstPort = 20000
	lastPort  = 31999
)

// reservations holds, for the life of this process, a UDP socket on the number of every port handed out. No
// program here speaks UDP, so it disturbs nobody, and another process that asks FreePort cannot get the
// same number, even while the TCP port is not yet or not now in use.
var reservations struct {
	sync.Mutex
	held []net.PacketConn
}

// FreePort is a TCP port on 127.0.0.1 that is free now and is given to no other caller of FreePort on this
// machine while this process lives.
func FreePort() (int, error) {
	reservations.Lock()
	defer reservations.Unlock()
	var last error
	for range 200 {
		port := firstPort + rand.IntN(lastPort-firstPort+1)
		udp, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(loopback(port)))
		if err != nil {
			last = err
			continue
		}
		if last = PortFree(port); last != nil {
			last = errors.Join(last, udp.Close())
			continue
		}
		reservations.held = append(reservations.held, udp)
		return port, nil
	}
	return 0, fmt.Errorf("no free port between %d and %d on 127.0.0.1 in 200 tries: %w", firstPort, lastPort, last)
}

// PortFree tells whether a server could listen on 127.0.0.1 and port now: nil, or why not.
func PortFree(port int) error {
	listener, err := net.ListenTCP("tcp4", net.TCPAddrFromAddrPort(loopback(port)))
	if err != nil {
		return err
	}
	return listener.Close()
}

// LoopbackAddress is 127.0.0.1 and the port, as flags want it.
func LoopbackAddress(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

func loopback(port int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(port)) //nolint:gosec // ports fit
}
