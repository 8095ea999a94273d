// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"github.com/turnout-ai/turnout/test/evidence"
)

// The statistics that the tables show.
const (
	median = "p50"
	most   = "max"
)

// tables are what the documents show.
func (s *stage) tables() []evidence.Table {
	return []evidence.Table{s.writesTable(), s.costTable(), s.grantsTable()}
}

func (s *stage) writesTable() evidence.Table {
	t := evidence.Table{Name: "writes", Columns: []string{
		"what is written", "writes/s at rest", "KiB/s at rest", "writes/s one by one", "KiB/s one by one", "writes/s in use", "KiB/s in use",
	}}
	for _, w := range writings {
		row := evidence.Row{Label: w.label}
		for _, phase := range []string{atRest, oneByOne, inUse} {
			row.Cells = append(row.Cells,
				evidence.Cell{Series: w.label + ", " + phase, Stat: median},
				evidence.Cell{Series: w.label + " bytes, " + phase, Stat: median})
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

func (s *stage) grantsTable() evidence.Table {
	t := evidence.Table{Name: "grants", Columns: []string{"a proxy waits for a grant", "grants", "median, ms", "p95, ms", "p99, ms", "longest, ms"}}
	for _, phase := range []string{oneByOne, inUse} {
		row := evidence.Row{Label: phase}
		for _, stat := range []string{"count", median, "p95", "p99", most} {
			row.Cells = append(row.Cells, evidence.Cell{Series: "grant, " + phase, Stat: stat})
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

func (s *stage) costTable() evidence.Table {
	t := evidence.Table{Name: "cost", Columns: []string{"what it costs", atRest, oneByOne, inUse}}
	phased := func(label, series string) {
		row := evidence.Row{Label: label}
		for _, phase := range []string{atRest, oneByOne, inUse} {
			row.Cells = append(row.Cells, evidence.Cell{Series: series + ", " + phase, Stat: most})
		}
		t.Rows = append(t.Rows, row)
	}
	once := func(label, series string) {
		t.Rows = append(t.Rows, evidence.Row{Label: label, Cells: []evidence.Cell{{}, {}, {Series: series, Stat: most}}})
	}
	phased("memory of the operator, MB", operatorName+" memory")
	for _, name := range []string{operatorName, serverName, etcdName, crowdName} {
		phased("CPU of "+name+", % of a core", name+" CPU")
	}
	phased("stored in etcd, KiB/s", "etcd puts")
	phased("growth of etcd's database, MB/min", "etcd database growth")
	once("a ModelEndpoint, KiB", "size of one of modelendpoints")
	once("a ProxyInstance, KiB", "size of one of proxyinstances")
	once("interval of reports, s", "report interval, "+inUse)
	once("attempts made per minute", "attempts made, "+inUse)
	once("attempts refused per minute", "attempts refused, "+inUse)
	once("grants waited for at the end of a minute", "grants waited for, "+inUse)
	once("for how long at most, s", "longest wait, "+inUse)
	once("first status of all endpoints, s", "first status of all endpoints")
	return t
}
