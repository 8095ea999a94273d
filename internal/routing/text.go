// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package routing

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// The words below are those of the API's enums, so that a log line, an error and a manifest agree.

// String returns the API's word for the format.
func (f Format) String() string { return word(uint8(f), "", "OpenAI") }

// String returns the API's word for the strategy.
func (s Strategy) String() string { return word(uint8(s), "Priority", "RoundRobin") }

// String returns the name of the operation as people write it.
func (o Operation) String() string {
	return word(uint8(o), "", "chat completions", "completions", "embeddings")
}

// String returns the reason as a CamelCase word, for labels and JSON. ExcludedBarred is a Standby like
// ExcludedStandby: that one follows from the spec and the other from the state is nothing that a caller can tell.
func (r ExclusionReason) String() string {
	return word(uint8(r), "", "Standby", "Capability", "Operation", "Delivery", "Feature", "ContextWindow", "MaxOutputTokens",
		"Standby", "Resting", "Pinned")
}

// String says how an endpoint stands, for people: "RateLimited until 2026-01-02T03:04:05Z".
func (s Standing) String() string {
	if s.Kind == InService {
		return "in service"
	}
	text := s.Reason.String()
	switch {
	case s.Kind == OnTrial && text == "":
		return "on trial"
	case s.Kind == OnTrial:
		return "on trial after " + text
	case s.Until != 0:
		text += " until " + time.Unix(0, s.Until).UTC().Format(time.RFC3339)
	}
	return text
}

// CooldownRemaining is how long it still is until the endpoint is due back, in whole seconds rounded up: "42s".
// Empty when it takes traffic, when no time brings it back, and when that time has come.
func (s Standing) CooldownRemaining(now int64) string {
	if s.Kind < Resting || s.Until <= now {
		return ""
	}
	return (time.Duration(s.Until-now) + time.Second - 1).Truncate(time.Second).String()
}

// At is String with how long that still lasts: "RateLimited until 2026-01-02T03:04:05Z, for another 42s".
func (s Standing) At(now int64) string {
	text := s.String()
	if remaining := s.CooldownRemaining(now); remaining != "" {
		text += ", for another " + remaining
	}
	return text
}

// word returns the value's word, or its number when it has none: a value from a newer version prints too.
func word(value uint8, words ...string) string {
	if int(value) < len(words) && words[value] != "" {
		return words[value]
	}
	return strconv.Itoa(int(value))
}

// String lists the members, joined by commas; empty for none.
func (d Delivery) String() string { return members(uint16(d), "Synchronous", "Streaming") }

// String lists the members, joined by commas; empty for none.
func (f Features) String() string {
	return members(uint16(f), "ToolCalling", "StructuredOutput", "JSONMode", "Vision", "Audio", "Reasoning", "Logprobs", "StreamUsage")
}

// members lists the words of the bits that are set; bits beyond the words as one number.
func members(set uint16, words ...string) string {
	var found []string
	for bit, w := range words {
		if set&(1<<bit) != 0 {
			found = append(found, w)
		}
	}
	if rest := set >> len(words) << len(words); rest != 0 {
		found = append(found, fmt.Sprintf("%#x", rest))
	}
	return strings.Join(found, ", ")
}

// Message says which endpoint is left out and why, for people: "alpha: does not offer Vision".
func (x Exclusion) Message() string {
	return x.Endpoint.Key.Name + ": " + x.why(x.Standing.String())
}

// MessageAt is Message with how long that still lasts, if a time ends it.
func (x Exclusion) MessageAt(now int64) string {
	return x.Endpoint.Key.Name + ": " + x.why(x.Standing.At(now))
}

// why is the reason in words; standing is how the endpoint stands.
func (x Exclusion) why(standing string) string {
	e := x.Endpoint
	switch x.Reason {
	case ExcludedStandby:
		return "is on standby, " + e.Standby.Reason + ": " + e.Standby.Message
	case ExcludedBarred:
		return "is on standby, " + standing
	case ExcludedResting:
		return "is not tried, " + standing + ", and the policy has no last resort"
	case ExcludedPinned:
		return "is not tried, because the state that the request refers to is at another endpoint"
	case ExcludedCapability:
		return "offers " + shortNames(e.Nodes) + ", not the capability asked for"
	case ExcludedOperation:
		return "offers " + shortNames(e.Nodes) + ", which this operation does not reach"
	case ExcludedDelivery:
		return "delivers " + e.Delivery.String() + " only"
	case ExcludedFeature:
		return "does not offer " + x.Missing.String()
	case ExcludedContextWindow:
		return fmt.Sprintf("has a context window of %d tokens, and the input is clearly longer", e.ContextWindow)
	case ExcludedMaxOutputTokens:
		return fmt.Sprintf("gives at most %d tokens of output, and the request asks for more", e.MaxOutputTokens)
	default:
		return "is left out, reason " + x.Reason.String()
	}
}

// ExcludedMessage says of all excluded endpoints why they are left out, in one line for people; after the
// eighth it only counts. Empty when none is.
func (p *Plan) ExcludedMessage() string {
	return sentence(p.Excluded, "; ", Exclusion.Message)
}

func shortNames(nodes []Node) string {
	return sentence(nodes, ", ", Node.Short)
}

// maxListed is how many things a message lists before it only counts.
const maxListed = 8

// sentence joins the texts of the first items and says how many more there are.
func sentence[T any](items []T, separator string, text func(T) string) string {
	var b strings.Builder
	for i, item := range items {
		if i == maxListed {
			fmt.Fprintf(&b, " and %d more", len(items)-i)
			break
		}
		if i > 0 {
			b.WriteString(separator)
		}
		b.WriteString(text(item))
	}
	return b.String()
}
