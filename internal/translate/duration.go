// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package translate

import (
	"fmt"
	"strings"
	"time"

	"github.com/turnout-ai/turnout/api/v1alpha1"
)

// The bounds of GEP-2257: at most four groups, of at most five digits each. They also keep the sum within a
// time.Duration.
const (
	maxGroups = 4
	maxDigits = 5
)

// units in the order in which they are tried: "ms" begins like "m".
var units = []struct {
	suffix string
	length time.Duration
}{
	{"ms", time.Millisecond},
	{"h", time.Hour},
	{"m", time.Minute},
	{"s", time.Second},
}

// Duration reads a length of time as Gateway API writes it (GEP-2257), such as 1m30s or 250ms. Units may come
// in any order and repeat, as there; days, fractions, signs and spaces do not exist.
func Duration(text v1alpha1.Duration) (time.Duration, error) {
	rest := string(text)
	var sum time.Duration
	for group := 0; group == 0 || rest != ""; group++ {
		length, tail, ok := durationGroup(rest)
		if !ok || group == maxGroups {
			return 0, fmt.Errorf("%.32q is not a duration; write up to four groups of at most five digits and a unit of h, m, s or ms, such as 1m30s", string(text))
		}
		sum += length
		rest = tail
	}
	return sum, nil
}

// durationGroup reads one number with its unit from the start of text.
func durationGroup(text string) (length time.Duration, tail string, ok bool) {
	number, digits := 0, 0
	for digits < len(text) && digits < maxDigits && text[digits] >= '0' && text[digits] <= '9' {
		number = number*10 + int(text[digits]-'0')
		digits++
	}
	if digits == 0 {
		return 0, "", false
	}
	for _, unit := range units {
		if tail, ok = strings.CutPrefix(text[digits:], unit.suffix); ok {
			return time.Duration(number) * unit.length, tail, true
		}
	}
	return 0, "", false
}

// durationOr is the duration that text points to. An absent one is the fallback, and so is one that cannot be
// read: the schema admits no such thing, and a routing table must not fail over it.
func durationOr(text *v1alpha1.Duration, fallback time.Duration) time.Duration {
	if text == nil {
		return fallback
	}
	d, err := Duration(*text)
	if err != nil {
		return fallback
	}
	return d
}
