// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/turnout-ai/turnout/test/evidence"
)

// measurement measures every contender once.
type measurement struct {
	name    string
	measure func(ctx context.Context, f *field, r *evidence.Record, length time.Duration) error
}

var measurements = []measurement{
	{"CPU per request", measureRequests},
	{"added latency at 500 requests per second", measureLatency},
	{"CPU per frame, paced", func(ctx context.Context, f *field, r *evidence.Record, length time.Duration) error {
		return measureFrames(ctx, f, r, length, "paced", 50, "CPU/paced frame")
	}},
	{"CPU per frame, as fast as they go", func(ctx context.Context, f *field, r *evidence.Record, length time.Duration) error {
		return measureFrames(ctx, f, r, length, "bench", 32, "CPU/frame")
	}},
}

func measureRequests(ctx context.Context, f *field, r *evidence.Record, length time.Duration) error {
	body := chatBytes(false, "bench")
	return each(f, r, "CPU/request", func(c *contender) (float64, error) {
		if _, err := load(ctx, c.address, 64, body, length/6, 0); err != nil { // warm
			return 0, err
		}
		before, err := cpuTime(c.process.PID())
		if err != nil {
			return 0, err
		}
		done, err := load(ctx, c.address, 64, body, length, 0)
		if err != nil {
			return 0, err
		}
		after, err := cpuTime(c.process.PID())
		r.Add(c.name+": requests/s", "1/s", float64(done.requests)/length.Seconds())
		return micros(after-before) / float64(done.requests), err
	})
}

func measureFrames(ctx context.Context, f *field, r *evidence.Record, length time.Duration, user string, streams int, name string) error {
	body := chatBytes(true, user)
	return each(f, r, name, func(c *contender) (float64, error) {
		if _, err := load(ctx, c.address, streams, body, length/6, 0); err != nil { // warm
			return 0, err
		}
		before, err := cpuTime(c.process.PID())
		if err != nil {
			return 0, err
		}
		done, err := load(ctx, c.address, streams, body, length, 0)
		if err != nil {
			return 0, err
		}
		after, err := cpuTime(c.process.PID())
		return micros(after-before) / float64(done.frames), err
	})
}

func measureLatency(ctx context.Context, f *field, r *evidence.Record, length time.Duration) error {
	body := chatBytes(false, "bench")
	at := func(c *contender) (p50, p99 float64, err error) {
		done, err := load(ctx, c.address, 10, body, length, 50)
		if err != nil {
			return 0, 0, err
		}
		slices.Sort(done.latencies)
		return evidence.Quantile(done.latencies, .5), evidence.Quantile(done.latencies, .99), nil
	}
	direct50, direct99, err := at(f.provider)
	if err != nil {
		return err
	}
	r.Add(providerName+": latency p50", "µs", direct50)
	for _, c := range f.inTurn() {
		p50, p99, err := at(c)
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		r.Add(c.name+": added p50", "µs", p50-direct50)
		r.Add(c.name+": added p99", "µs", p99-direct99)
	}
	return nil
}

// each records a figure of every contender, and its ratio to the bare proxy's in the same round.
func each(f *field, r *evidence.Record, name string, figure func(*contender) (float64, error)) error {
	figures := map[string]float64{}
	for _, c := range f.inTurn() {
		v, err := figure(c)
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		figures[c.name] = v
		r.Add(c.name+": "+name, "µs", v)
	}
	for of, v := range figures {
		r.Add(of+": "+name+" ratio", "", v/figures[bareName])
	}
	return nil
}

func micros(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1000 }

// cpuTime is how long the threads of a process have been on a processor. Threads that ended are not in it:
// proxies on one processor keep theirs.
func cpuTime(pid int) (time.Duration, error) {
	paths, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err != nil || len(paths) == 0 {
		return 0, fmt.Errorf("process %d has no /proc/…/schedstat: the benchmark needs Linux (%w)", pid, err)
	}
	var total time.Duration
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			return 0, err
		}
		first, _, _ := strings.Cut(string(text), " ")
		ns, err := strconv.ParseInt(first, 10, 64)
		if err != nil {
			return 0, err
		}
		total += time.Duration(ns)
	}
	return total, nil
}

// table is the one table of the benchmark.
func table(f *field) evidence.Table {
	t := evidence.Table{Name: "cost", Columns: []string{
		"proxy", "CPU µs/request", "ratio to bare", "requests/s on one core", "added p50 µs at 500/s", "added p99 µs",
		"CPU µs/frame, paced", "ratio", "CPU µs/frame, saturated", "ratio",
	}}
	for _, c := range f.contenders {
		cell := func(series, stat string) evidence.Cell {
			return evidence.Cell{Series: c.name + ": " + series, Stat: stat}
		}
		t.Rows = append(t.Rows, evidence.Row{Label: c.name, Cells: []evidence.Cell{
			cell("CPU/request", "range"), cell("CPU/request ratio", "range"), cell("requests/s", "p50"),
			cell("added p50", "range"), cell("added p99", "p50"),
			cell("CPU/paced frame", "range"), cell("CPU/paced frame ratio", "range"),
			cell("CPU/frame", "range"), cell("CPU/frame ratio", "range"),
		}})
	}
	return t
}
