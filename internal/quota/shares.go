// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package quota

import (
	"cmp"
	"math/bits"
	"slices"
)

// mostDemand bounds a demand, so that no sum of them overflows.
const mostDemand = 1 << 40

// Shares divides a rate among proxies by their demand, as whole units. proxies is how many there are; of those that
// have said no demand each may use DefaultShare, which is left out of what is divided. The sum is what is left, and
// never above limit. As long as there are enough each gets one unit at least; else those that want most do.
func Shares(limit int64, proxies int, demands []int64) []int64 {
	shares := make([]int64, len(demands))
	if len(demands) == 0 {
		return shares
	}
	left := max(limit-int64(max(proxies-len(demands), 0))*DefaultShare(limit, proxies), 0)
	order := byDemand(demands)
	for _, i := range order[:min(int64(len(order)), left)] {
		shares[i]++
		left--
	}
	var total uint64
	for _, d := range demands {
		total += weight(d)
	}
	divided := left
	for i, d := range demands {
		high, low := bits.Mul64(uint64(divided), weight(d))
		part, _ := bits.Div64(high, low, total)
		shares[i] += int64(part)
		left -= int64(part)
	}
	for _, i := range order[:left] { // rounding leaves less than one for each
		shares[i]++
	}
	return shares
}

// byDemand are the places of the demands, the largest first.
func byDemand(demands []int64) []int {
	order := make([]int, len(demands))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(demands[b], demands[a]) })
	return order
}

// weight is what a demand counts for: something in any case, so that a proxy that has begun to ask is not left out.
func weight(demand int64) uint64 { return uint64(min(max(demand, 1), mostDemand)) }

// DefaultShare is what a proxy may use of a rate before it was told its share.
func DefaultShare(limit int64, proxies int) int64 {
	if proxies <= 1 {
		return limit
	}
	return limit / (2 * int64(proxies))
}
