// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package routing

// What people type to describe a request that they want explained: kubectl turnout explain and the proxy's
// /debug/explain understand the same words.

// AllFeatures are the members of a Features set, from the lowest.
func AllFeatures() []Features {
	var all []Features
	for f := ToolCalling; f <= Logprobs; f <<= 1 {
		all = append(all, f)
	}
	return all
}

// ParseFeature returns the feature of that name, as the API spells it; false when there is none.
func ParseFeature(name string) (Features, bool) {
	for _, f := range AllFeatures() {
		if f.String() == name {
			return f, true
		}
	}
	return 0, false
}

// ParseOperation returns the operation by the name that people type: chat, completions or embeddings; 0, which
// stands for any, for the empty name; false when there is none of that name.
func ParseOperation(name string) (Operation, bool) {
	switch name {
	case "":
		return 0, true
	case "chat":
		return ChatCompletions, true
	case "completions":
		return Completions, true
	case "embeddings":
		return Embeddings, true
	}
	return 0, false
}
