// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

// Command fuzz runs every fuzz target of the checkout for a while, one after the other, and says how many inputs
// each has met. It fails when one finds something, and says how to see it again. With -write the counts are kept
// in docs/evidence.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"syscall"

	"github.com/turnout-ai/turnout/test/evidence"
	"github.com/turnout-ai/turnout/test/harness"
)

// settings are what the flags say.
type settings struct {
	// root is the top of the checkout, time how long each target runs, as go test has it: 30s or 1000x.
	root, time string
	only       *regexp.Regexp
	write      bool
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := start(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "fuzz:", err)
		os.Exit(1)
	}
}

func start(ctx context.Context) error {
	var s settings
	var only string
	flag.StringVar(&s.time, "time", "30s", "how long each target runs; 1000x are so many inputs")
	flag.StringVar(&only, "only", "", "run the targets that match this regular expression only, such as wire or FuzzErrors$")
	flag.BoolVar(&s.write, "write", false, "keep the counts in docs/evidence")
	flag.Parse()
	var err error
	if s.only, err = regexp.Compile(only); err != nil {
		return fmt.Errorf("-only: %w", err)
	}
	if s.root, err = harness.Root(); err != nil {
		return err
	}
	return run(ctx, s, os.Stdout)
}

// run fuzzes what is wanted. Targets behind one that has found something run too: one finding must not hide another.
func run(ctx context.Context, s settings, out io.Writer) error {
	targets, err := find(ctx, s.root)
	if err != nil {
		return err
	}
	command := "make fuzz ARGS=-write FUZZTIME=" + s.time
	record := evidence.Begin(ctx, "fuzz", about, command, 0)
	var findings []error
	var results []result
	for i, t := range targets {
		if !s.only.MatchString(t.String()) {
			continue
		}
		fmt.Fprintf(out, "%d of %d: %s\n", i+1, len(targets), t)
		r, err := t.fuzz(ctx, s, out)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			findings = append(findings, err)
			continue
		}
		results = append(results, r)
	}
	fmt.Fprintln(out)
	for _, r := range results {
		fmt.Fprintf(out, "%-60s %12d executions %10.0f/s\n", r.target, r.executions, r.rate())
	}
	switch {
	case len(findings) > 0:
		return errors.Join(findings...)
	case len(results) == 0:
		return fmt.Errorf("no target matches %q; go run ./test/fuzz -only . -time 1x lists them all", s.only)
	case !s.write:
		return nil
	}
	fill(record, results)
	if err := record.Write(s.root); err != nil {
		return err
	}
	fmt.Fprintln(out, "wrote", filepath.Join("docs", "evidence", record.Topic+".json"))
	return nil
}

const about = "How many inputs every fuzz target of the tree has met without a finding. Targets ran one after the other for the same time, on all " +
	"processors, from the seeds in the tree and what earlier runs on the machine had found worth keeping. Go's fuzzing engine takes no seed."

// fill puts the counts into the record.
func fill(record *evidence.Record, results []result) {
	table := evidence.Table{Name: "targets", Columns: []string{"target", "executions", "executions/s", "inputs kept"}}
	for _, r := range results {
		name := r.target.String()
		record.Add(name, "executions", float64(r.executions))
		record.Add(name+", rate", "executions/s", r.rate())
		record.Add(name+", kept", "inputs", float64(r.kept))
		row := evidence.Row{Label: name}
		for _, series := range []string{name, name + ", rate", name + ", kept"} {
			row.Cells = append(row.Cells, evidence.Cell{Series: series, Stat: "max"}) // of one sample
		}
		table.Rows = append(table.Rows, row)
	}
	record.Tables = []evidence.Table{table}
}
