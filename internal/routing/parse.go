// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package routing

// ParseFeature returns the feature of that name, as the API spells it; false when there is none.
func ParseFeature(name string) (Features, bool) {
	for f := ToolCalling; f <= Logprobs; f <<= 1 {
		if f.String() == name {
			return f, true
		}
	}
	return 0, false
}
