// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

// Package pricing turns tokens into money. Money is an int64 of nano-dollars (10⁻⁹ USD) inside, and a decimal
// string of USD outside; there are no floats.
package pricing

import (
	"math"
	"math/bits"
)

// Price is what a model costs, in nano-dollars. The zero value is free.
type Price struct {
	// Input, CachedInput and Output are per million tokens; Request is per attempt that was answered.
	Input, CachedInput, Output, Request int64
}

// unit is the number of tokens that a price is given for.
const unit = 1_000_000

// Cost is what one answered attempt costs. input includes cachedInput; output includes what was not shown.
// Negative counts and prices are taken for none, cached tokens beyond input for input.
//
// Everything is added up before it is divided, so that the whole attempt is rounded once (half a nano-dollar
// up) and many small parts do not add up to a fault. What an int64 cannot hold is the largest it can.
func (p Price) Cost(input, cachedInput, output int64) int64 {
	input = max(input, 0)
	cachedInput = min(max(cachedInput, 0), input)

	// Three products of less than 2¹²⁶ each fit into 128 bits.
	var sum uint128
	sum.addProduct(input-cachedInput, p.Input)
	sum.addProduct(cachedInput, p.CachedInput)
	sum.addProduct(max(output, 0), p.Output)
	sum.add(0, unit/2)

	return Add(sum.dividedBy(unit), max(p.Request, 0))
}

// Add adds two amounts that are not negative. What an int64 cannot hold is the largest it can.
func Add(a, b int64) int64 {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}

// uint128 is a sum that no product of two int64 overflows.
type uint128 struct {
	high, low uint64
}

func (u *uint128) add(high, low uint64) {
	var carry uint64
	u.low, carry = bits.Add64(u.low, low, 0)
	u.high, _ = bits.Add64(u.high, high, carry)
}

// addProduct adds tokens × price. tokens is not negative.
func (u *uint128) addProduct(tokens, price int64) {
	high, low := bits.Mul64(uint64(tokens), uint64(max(price, 0)))
	u.add(high, low)
}

// dividedBy is the whole part of u / divisor, at most the largest int64.
func (u *uint128) dividedBy(divisor uint64) int64 {
	if u.high >= divisor {
		return math.MaxInt64
	}
	quotient, _ := bits.Div64(u.high, u.low, divisor)
	return int64(min(quotient, math.MaxInt64))
}
