// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package storm

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	evidencefile "github.com/turnout-ai/turnout/test/evidence"
)

const aboutStorm = "What a proxy makes of a storm. Callers ask it for answers, half of them in streams, at five endpoints of three simulated " +
	"providers behind toxiproxy, which fail in all the ways the wire and a model know, on a schedule that follows from the seed; at every moment " +
	"one of them is well, and never the same one for long. Everything but the proxy runs in one process, on all processors of the machine. Each " +
	"answer is compared with what the provider says to that request, and the proxy's access log, books and metrics with the providers' own ledgers, " +
	"attempt by attempt. Growth is of the proxy process, without callers and connections and after a collection, before the storm and after it; the " +
	"samples between are a second apart, in the storm. Troubles are spells at one endpoint, by what they were. Callers that do not read: twenty-four, " +
	"of streams of several megabytes each; heap after a collection, ten samples a second."

// notes are a record in the making.
type notes struct{ *evidencefile.Record }

// table begins a table.
func (n notes) table(name string, columns ...string) {
	n.Tables = append(n.Tables, evidencefile.Table{Name: name, Columns: columns})
}

// one adds a row with one number to the last table.
func (n notes) one(series, label string, value float64) {
	n.Add(series, "", value)
	t := &n.Tables[len(n.Tables)-1]
	t.Rows = append(t.Rows, evidencefile.Row{Label: label, Cells: []evidencefile.Cell{{Series: series, Stat: "max"}}})
}

// measures are the figures by name.
var measures = []struct {
	name, unit string
	of         func(figures) float64
}{
	{"descriptors", "", func(f figures) float64 { return f.Descriptors }},
	{"goroutines", "", func(f figures) float64 { return f.Goroutines }},
	{"heap", "MiB", func(f figures) float64 { return f.Heap / mebibyte }},
	{"resident", "MiB", func(f figures) float64 { return f.RSS / mebibyte }},
}

// growth adds a row for each figure to the last table: of moments, by the names of their series.
func (n notes) growth(names []string, moments ...[]figures) {
	t := &n.Tables[len(n.Tables)-1]
	for _, m := range measures {
		row := evidencefile.Row{Label: strings.TrimSuffix(m.name+", "+m.unit, ", ")}
		for i, samples := range moments {
			series := m.name + " " + names[i]
			for _, f := range samples {
				n.Add(series, m.unit, m.of(f))
			}
			row.Cells = append(row.Cells, evidencefile.Cell{Series: series, Stat: "max"})
		}
		t.Rows = append(t.Rows, row)
	}
}

// record is a storm as evidence, and callers that did not read.
func (st *storm) record(ctx context.Context, command string, p *pressure) *evidencefile.Record {
	n := notes{evidencefile.Begin(ctx, "storm", aboutStorm, command, int64(st.seed))} //nolint:gosec // a seed may have any bits
	n.Date = st.begun.Add(-st.calm).UTC().Truncate(time.Second)
	a := st.audit
	n.table("requests", "what became of requests", "requests")
	for k, name := range kindNames {
		n.one("requests: "+name, name, float64(a.kinds[k]))
	}
	n.table("attempts", "what attempts came to", "attempts")
	for _, outcome := range slices.Sorted(maps.Keys(a.outcomes)) {
		n.one("attempts: "+outcome, "`"+outcome+"`", float64(a.outcomes[outcome]))
	}
	n.table("books", "attempts in the proxy's books and in the providers' ledgers", "attempts")
	n.one("books: confirmed", "the provider has told what it used, and both have the same", float64(a.confirmed))
	for _, why := range slices.Sorted(maps.Keys(a.explained)) {
		n.one("books: "+why, "not told, "+why, float64(len(a.explained[why])))
	}
	n.one("books: unexplained", "unexplained, or different", float64(len(a.findings)))
	troubles := st.troubles()
	for _, name := range slices.Sorted(maps.Keys(troubles)) {
		n.Add("troubles: "+name, "", float64(troubles[name]))
	}
	n.table("growth", "the proxy process", "before the storm", "at most in it", "after it")
	n.growth([]string{"before", "in the storm", "after"}, []figures{st.before}, st.samples, []figures{st.after})
	n.table("pressure", "the proxy process", "without callers", "at most with callers that do not read")
	n.growth([]string{"without callers", "with callers that do not read"}, []figures{p.before}, p.samples)
	n.Add("callers that do not read", "", float64(len(p.deaf)+len(p.slow)))
	return n.Record
}
