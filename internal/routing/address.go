// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package routing

import (
	"encoding/binary"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// target is where requests of an endpoint go; see the fields of the same names of Endpoint.
type target struct {
	scheme, address, host, basePath string
}

// parseURL reads an endpoint's URL. The second result is a sentence when it cannot be used; it never repeats
// the URL, which may hold a password.
func parseURL(raw string) (target, string) {
	u, err := url.Parse(raw)
	if err != nil || u.Opaque != "" {
		return target{}, "spec.url is not an absolute URL; write one such as https://api.openai.com/v1"
	}
	if u.Scheme != "https" && u.Scheme != "http" {
		return target{}, "spec.url must start with https:// or http://"
	}
	if u.User != nil {
		return target{}, "spec.url must not hold a user name or password; put the credential in a Secret " +
			"and name it in spec.auth.secretRef"
	}
	if strings.ContainsAny(raw, "?#") {
		return target{}, "spec.url must not have a query or a fragment; give the base only, such as https://api.openai.com/v1"
	}
	path := u.EscapedPath()
	if u.RawPath != "" && path != u.RawPath {
		// Escaping it for the user could turn an escaped slash into a plain one: another path.
		return target{}, "spec.url has characters in its path that must be escaped, such as %20 for a space"
	}
	t := target{scheme: u.Scheme, basePath: strings.TrimRight(path, "/")}
	if problem := t.setHost(u); problem != "" {
		return target{}, problem
	}
	return t, ""
}

// setHost takes host and port from u. It returns a sentence when they cannot be used.
func (t *target) setHost(u *url.URL) string {
	name := strings.ToLower(u.Hostname())
	if problem := hostProblem(name); problem != "" {
		return problem
	}
	standard := "443"
	if t.scheme == "http" {
		standard = "80"
	}
	port := u.Port()
	if port == "" {
		if strings.HasSuffix(u.Host, ":") {
			return "spec.url has a colon but no port after its host; write the port or drop the colon"
		}
		port = standard
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil || number == 0 {
		return "spec.url has a port outside 1 to 65535"
	}
	port = strconv.FormatUint(number, 10)

	dial := name
	if strings.IndexByte(name, ':') >= 0 {
		dial = "[" + name + "]"
	}
	t.address = dial + ":" + port
	// A final dot keeps the resolver from trying search domains; it is no part of the name that servers know.
	t.host = strings.TrimSuffix(dial, ".")
	if port != standard {
		t.host += ":" + port
	}
	return ""
}

// hostProblem says why host, in lower case and without brackets, cannot be called; empty when it can.
func hostProblem(host string) string {
	if addr, err := netip.ParseAddr(host); err == nil {
		if problem := AddressProblem(addr); problem != "" {
			return "spec.url: " + problem
		}
		return ""
	}
	if !isHostname(host) {
		return "spec.url must have a host of letters, digits, hyphens and dots, or an IP address; " +
			"write international names in their xn-- form"
	}
	if looksNumeric(host) {
		return "spec.url has a host that ends in a number and is not an IP address; " +
			"write IPv4 addresses as four decimal numbers without leading zeros"
	}
	return ""
}

// hostnameBytes are what a label of a DNS name in lower case may hold. Underscores are let through: names of
// containers and SRV-like names have them.
const hostnameBytes = "abcdefghijklmnopqrstuvwxyz0123456789-_"

// isHostname reports whether s is a DNS name in lower case, perhaps with a final dot.
func isHostname(s string) bool {
	s = strings.TrimSuffix(s, ".")
	if len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		if strings.Trim(label, hostnameBytes) != "" {
			return false
		}
	}
	return true
}

// looksNumeric reports whether the last label of host is a number. No top-level domain is one, but C
// libraries read such hosts as addresses in forms of their own (2852039166, 0xa9fea9fe, 169.254.43518), which
// would go round AddressProblem. The rule is that of the WHATWG URL standard, "ends in a number".
func looksNumeric(host string) bool {
	host = strings.TrimSuffix(host, ".")
	last := host[strings.LastIndexByte(host, '.')+1:]
	if digits, hex := strings.CutPrefix(last, "0x"); hex {
		return strings.Trim(digits, "0123456789abcdef") == ""
	}
	return strings.Trim(last, "0123456789") == ""
}

// metadata are addresses outside the link-local ranges at which clouds serve their machines' credentials:
// Alibaba, Oracle, Azure's wire server, and Amazon over IPv6.
var metadata = []netip.Addr{
	netip.MustParseAddr("100.100.100.200"),
	netip.MustParseAddr("192.0.0.192"),
	netip.MustParseAddr("168.63.129.16"),
	netip.MustParseAddr("fd00:ec2::254"),
}

// AddressProblem says why requests must not go to addr: link-local and metadata addresses, in any of the
// forms in which IPv6 carries IPv4 ones, and those that are no host's. Empty when they may. Build applies it
// to addresses in URLs; whoever resolves a name applies it to what the name stands for.
func AddressProblem(addr netip.Addr) string {
	v := embedded(addr.WithZone("").Unmap())
	switch {
	case v.IsLinkLocalUnicast():
		return addr.String() + " is a link-local address, where clouds keep their machines' credentials; " +
			"use the address of a model provider"
	case slices.Contains(metadata, v):
		return addr.String() + " is a cloud's metadata address; use the address of a model provider"
	case addr.Zone() != "":
		return addr.String() + " has a zone, which means nothing outside one machine; use an address without"
	case !v.IsValid() || v.IsUnspecified() || v.IsMulticast() || v == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return addr.String() + " is no address of a host; use the address of a model provider"
	default:
		return ""
	}
}

// embedded returns the IPv4 address that an IPv6 one stands for on networks that translate: NAT64
// (64:ff9b::/96, RFC 6052), 6to4 (2002::/16, RFC 3056) and IPv4-compatible (::/96, RFC 4291). Others, and the
// unspecified and loopback addresses, are returned as they are.
func embedded(addr netip.Addr) netip.Addr {
	if !addr.Is6() || addr.IsUnspecified() || addr.IsLoopback() {
		return addr
	}
	b := addr.As16()
	high := binary.BigEndian.Uint64(b[:8])
	middle := binary.BigEndian.Uint32(b[8:12])
	switch {
	case (high == 0 || high == 0x0064ff9b<<32) && middle == 0:
		return netip.AddrFrom4([4]byte(b[12:16]))
	case b[0] == 0x20 && b[1] == 0x02:
		return netip.AddrFrom4([4]byte(b[2:6]))
	default:
		return addr
	}
}
