// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

// Command bench measures what a request costs in the proxy, beside a bare fasthttp proxy and nginx, all in one
// run: machines differ and drift, so only ratios within a round mean something. It also measures how long a
// routing decision takes, a change of spec to take effect and a verdict to
// reach other proxies, what a fleet writes to the API server, and what a large one costs. It writes docs/evidence.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/turnout-ai/turnout/test/evidence"
	"github.com/turnout-ai/turnout/test/harness"
)

type settings struct {
	rounds  int
	seconds float64
	without string
	only    string
	dryRun  bool

	// Of the topic scale.
	proxies, endpoints int
	rate               float64
}

func main() {
	if role := os.Getenv(roleVariable); role != "" {
		fail(playRole(role, os.Args[1:]))
		return
	}
	var s settings
	flag.IntVar(&s.rounds, "rounds", 7, "rounds; every contender is measured once in each")
	flag.Float64Var(&s.seconds, "seconds", 3, "length of one measurement")
	flag.StringVar(&s.without, "without", "", "leave a contender out: nginx, on machines that lack it")
	flag.StringVar(&s.only, "only", "", "measure these topics only, separated by commas: decision, propagation, verdict, traffic, scale, cost")
	flag.IntVar(&s.proxies, "proxies", 100, "proxies of the topic scale; fewer for a trial")
	flag.IntVar(&s.endpoints, "endpoints", 2000, "endpoints of the topic scale")
	flag.Float64Var(&s.rate, "rate", 1, "attempts per second and proxy of the topic scale")
	flag.BoolVar(&s.dryRun, "dry-run", false, "print the table and write nothing")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	fail(run(ctx, s))
}

const pinnedVariable = "TURNOUT_BENCH_PINNED"

func pinned() bool { return os.Getenv(pinnedVariable) != "" }

// becomePinned starts the benchmark anew on the load's processor: threads inherit their processors, so only
// a process that begins there has all its threads there, and so do the ones it starts.
func becomePinned() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	if err := pinSelf(loadCPU); err != nil {
		return err
	}
	return syscall.Exec(self, os.Args, append(os.Environ(), pinnedVariable+"=1")) //nolint:gosec // this very program
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// topics are what is measured on all processors, in order.
var topics = []struct {
	name    string
	measure func(ctx context.Context, dir string, s settings) (*evidence.Record, error)
}{
	{"decision", func(ctx context.Context, _ string, s settings) (*evidence.Record, error) {
		return decision(ctx, s.rounds)
	}},
	{"propagation", func(ctx context.Context, dir string, _ settings) (*evidence.Record, error) {
		return propagation(ctx, dir)
	}},
	{"verdict", func(ctx context.Context, dir string, _ settings) (*evidence.Record, error) { return verdict(ctx, dir) }},
	{"traffic", func(ctx context.Context, dir string, _ settings) (*evidence.Record, error) { return traffic(ctx, dir) }},
	{"scale", scale},
}

// wanted reports whether a topic is to be measured.
func (s settings) wanted(topic string) bool {
	return s.only == "" || slices.Contains(strings.Split(s.only, ","), topic)
}

// run measures the topics one after the other; the one that needs processors of its own comes last, since
// there is no way back from there.
func run(ctx context.Context, s settings) error {
	dir, err := os.MkdirTemp("", "turnout-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if !pinned() {
		for _, t := range topics {
			if !s.wanted(t.name) {
				continue
			}
			record, err := t.measure(ctx, filepath.Join(dir, t.name), s)
			if err != nil {
				return fmt.Errorf("%s: %w", t.name, err)
			}
			if err := keep(s, record); err != nil {
				return err
			}
		}
		if !s.wanted("cost") {
			return nil
		}
		_ = os.RemoveAll(dir) // the deferred call does not come
		return becomePinned()
	}
	record, err := cost(ctx, dir, s)
	if err != nil {
		return err
	}
	return keep(s, record)
}

// cost measures what a request costs.
func cost(ctx context.Context, dir string, s settings) (*evidence.Record, error) {
	record := evidence.Begin(ctx, "cost", about, "make bench", 0)
	field, err := setUp(ctx, dir, s)
	if err != nil {
		return nil, err
	}
	defer field.close(context.WithoutCancel(ctx))
	length := time.Duration(s.seconds * float64(time.Second))
	for round := range s.rounds {
		for _, m := range measurements {
			fmt.Printf("round %d of %d: %s\n", round+1, s.rounds, m.name)
			if err := m.measure(ctx, field, record, length); err != nil {
				return nil, fmt.Errorf("%s: %w", m.name, err)
			}
		}
	}
	record.Tables = []evidence.Table{table(field)}
	return record, nil
}

// keep prints a record's tables and writes it.
func keep(s settings, record *evidence.Record) error {
	for _, t := range record.Tables {
		text, err := record.Markdown(t.Name)
		if err != nil {
			return err
		}
		fmt.Println("\n" + text)
	}
	if s.dryRun {
		return nil
	}
	root, err := harness.Root()
	if err != nil {
		return err
	}
	if err := record.Write(root); err != nil {
		return err
	}
	fmt.Println("wrote", filepath.Join("docs", "evidence", record.Topic+".json"))
	return nil
}

const about = "What a request costs. Each proxy runs alone on one core (GOMAXPROCS=1, nginx with one process), the load generator and an instant " +
	"provider on another. Requests of 953 bytes, answers of 787 bytes, 64 connections kept alive, in a closed loop; CPU is the proxy process's own " +
	"time on the processor from /proc. Added latency is the median at 500 requests per second less the median without a proxy in the same " +
	"round. Frames: 50 streams with a frame every 10 ms each, and 32 streams as fast as they go. Ratios are formed within a round."
