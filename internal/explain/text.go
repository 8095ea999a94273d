// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package explain

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/turnout-ai/turnout/internal/routing"
)

// WriteText writes an answer for people.
func WriteText(w io.Writer, facts routing.Facts, a Answer) error {
	var b strings.Builder
	if a.Policy == "" {
		fmt.Fprintf(&b, "%s resolves to no policy: %s\n", a.Name, a.Problem)
		_, err := io.WriteString(w, b.String())
		return err
	}
	how := "one of its models"
	if a.Capability != "" {
		how = "capability " + a.Capability
	}
	fmt.Fprintf(&b, "%s resolves to RoutingPolicy %s (%s).\n", a.Name, a.Policy, how)
	fmt.Fprintf(&b, "Request: %s.\n\n", describe(facts))
	if len(a.Order) == 0 {
		b.WriteString("No endpoint would be tried.\n")
	} else {
		fmt.Fprintf(&b, "Tried in this order, at most %d attempts within %s:\n", a.MaxAttempts, a.Deadline)
		rows := [][]string{{"", "ENDPOINT", "TIER", "STRATEGY", "STATUS", "PROVIDER", "MODEL", "URL"}}
		for i, c := range a.Order {
			rows = append(rows, []string{strconv.Itoa(i + 1), c.Endpoint, strconv.Itoa(c.Tier), c.Strategy, c.status(), c.Provider, c.Model, c.URL})
		}
		table(&b, rows)
	}
	if len(a.Excluded) > 0 {
		b.WriteString("\nLeft out:\n")
		rows := [][]string{{"", "ENDPOINT", "TIER", "REASON", "WHY"}}
		for _, x := range a.Excluded {
			rows = append(rows, []string{"-", x.Endpoint, strconv.Itoa(x.Tier), x.Reason, strings.TrimPrefix(x.Message, x.Endpoint+": ")})
		}
		table(&b, rows)
	}
	writeLimits(&b, &a)
	if len(a.Notes) > 0 {
		b.WriteString("\nNotes:\n")
		for _, note := range a.Notes {
			fmt.Fprintf(&b, "  %s\n", note)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// status is one word for how a candidate stands, and its share on trial.
func (c *Candidate) status() string {
	if c.TrialPercent != 0 {
		return fmt.Sprintf("Trial(%d%%)", c.TrialPercent)
	}
	return c.Status
}

// describe says what a request asks for, in words.
func describe(f routing.Facts) string {
	parts := []string{"any operation"}
	if f.Operation != 0 {
		parts[0] = f.Operation.String()
	}
	if f.Delivery != 0 {
		parts = append(parts, f.Delivery.String())
	}
	if f.Features != 0 {
		parts = append(parts, "uses "+f.Features.String())
	}
	if f.InputTokens != 0 {
		parts = append(parts, fmt.Sprintf("about %d tokens of input", f.InputTokens))
	}
	if f.MaxOutputTokens != 0 {
		parts = append(parts, fmt.Sprintf("at most %d tokens of output", f.MaxOutputTokens))
	}
	if f.Pinned {
		parts = append(parts, "refers to state at a provider")
	}
	return strings.Join(parts, ", ")
}

// table writes rows in columns, indented. Nothing pads the end of a line.
func table(b *strings.Builder, rows [][]string) {
	w := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		// A strings.Builder takes everything.
		_, _ = fmt.Fprintln(w, "  "+strings.Join(row, "\t"))
	}
	_ = w.Flush()
}
