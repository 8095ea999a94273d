// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package pricing

import (
	"fmt"
	"strconv"
	"strings"
)

// Dollar is one US dollar in nano-dollars.
const Dollar = 1_000_000_000

const (
	// decimals is how many digits a nano-dollar stands behind the point.
	decimals = 9
	// maxWhole is how many digits an amount may have before the point.
	maxWhole = 9
)

// Max is the largest amount that can be written: one nano-dollar less than a billion dollars.
const Max = 1_000_000_000*Dollar - 1

// Parse reads an amount of US dollars, such as 2.50 or 0.000125, as nano-dollars. It understands exactly what
// the API's schema admits.
func Parse(text string) (int64, error) {
	whole, fraction, pointed := strings.Cut(text, ".")
	if !isWhole(whole) || pointed && !isFraction(fraction) {
		return 0, fmt.Errorf("%.32q is not an amount of US dollars; write a decimal number with at most nine digits before the point and nine behind it, such as 2.50, without a sign, a currency or an exponent", text)
	}
	return digits(whole)*Dollar + digits(fraction+strings.Repeat("0", decimals-len(fraction))), nil
}

// isWhole reports whether text can stand before the point: no leading zeros, so that an amount is written in
// one way.
func isWhole(text string) bool {
	return len(text) >= 1 && len(text) <= maxWhole && allDigits(text) && (text == "0" || text[0] != '0')
}

func isFraction(text string) bool {
	return len(text) >= 1 && len(text) <= decimals && allDigits(text)
}

func allDigits(text string) bool {
	for i := range len(text) {
		if text[i] < '0' || text[i] > '9' {
			return false
		}
	}
	return true
}

// digits is the value of text, which is nothing but digits, few enough for an int64.
func digits(text string) int64 {
	var n int64
	for i := range len(text) {
		n = n*10 + int64(text[i]-'0')
	}
	return n
}

// Format writes nano-dollars as US dollars, exactly and as short as can be: 1.25, or 0. An amount that cannot
// be written is the nearest that can: nothing, or Max.
func Format(nanos int64) string {
	nanos = min(max(nanos, 0), Max)
	whole, fraction := nanos/Dollar, nanos%Dollar
	text := strconv.FormatInt(whole, 10)
	if fraction == 0 {
		return text
	}
	behind := strconv.FormatInt(Dollar+fraction, 10)[1:] // with its leading zeros
	return text + "." + strings.TrimRight(behind, "0")
}
