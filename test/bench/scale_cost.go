// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// gauge is what everything had cost at one moment.
type gauge struct {
	at time.Time
	// all is what the API server has counted of everybody's writes, sent what the proxies have of their own.
	all, sent map[string]counts
	// cpu is the time on processors, in seconds, and memory what is resident, in MB, by process.
	cpu, memory map[string]float64
	// stored is what was ever put into etcd, database how large its file is; in MB.
	stored, database float64
}

const megabyte = 1e6

// The processes of the measurement, as its table names them.
const (
	operatorName = "operator"
	serverName   = "API server"
	etcdName     = "etcd"
	crowdName    = "all proxies"
)

// gauge reads everything.
func (s *stage) gauge(ctx context.Context) (*gauge, error) {
	g := &gauge{at: time.Now(), sent: s.crowd.sent.read(), cpu: map[string]float64{}, memory: map[string]float64{}}
	var err error
	if g.all, err = readCounts(ctx, s.api); err != nil {
		return nil, err
	}
	for name, pid := range map[string]int{
		operatorName: s.operator.process.PID(), serverName: s.field.cluster.APIServer.PID(), etcdName: s.field.cluster.Etcd.PID(), crowdName: os.Getpid(),
	} {
		if g.cpu[name], g.memory[name], err = processCost(pid); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	families, err := scrape(ctx, s.field.cluster.EtcdURL+"/metrics")
	if err != nil {
		return nil, err
	}
	g.stored = sum(families["etcd_debugging_mvcc_total_put_size_in_bytes"]) / megabyte
	g.database = sum(families["etcd_mvcc_db_total_size_in_bytes"]) / megabyte
	return g, nil
}

// scrape reads metrics.
func scrape(ctx context.Context, url string) (map[string]*dto.MetricFamily, error) {
	text, err := fetch(ctx, http.MethodGet, url, "")
	if err != nil {
		return nil, err
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	return parser.TextToMetricFamilies(bytes.NewReader(text))
}

// sum adds up all series of a counter or gauge.
func sum(family *dto.MetricFamily) (total float64) {
	for _, m := range family.GetMetric() {
		total += m.GetCounter().GetValue() + m.GetGauge().GetValue()
	}
	return total
}

// ticks is how finely /proc counts time on processors, per second.
const ticks = 100

// processCost is how long a process, with threads that ended, was on a processor, and what of it is in memory.
func processCost(pid int) (seconds, megabytes float64, err error) {
	dir := filepath.Join("/proc", strconv.Itoa(pid))
	text, err := os.ReadFile(filepath.Join(dir, "stat"))
	if err != nil {
		return 0, 0, fmt.Errorf("the benchmark needs Linux: %w", err)
	}
	// The name, which may hold anything, ends with the last parenthesis; utime and stime are fields 14 and 15.
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	for _, field := range fields[11:13] {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, 0, err
		}
		seconds += float64(n) / ticks
	}
	text, err = os.ReadFile(filepath.Join(dir, "statm"))
	if err != nil {
		return 0, 0, err
	}
	pages, err := strconv.ParseInt(strings.Fields(string(text))[1], 10, 64)
	return seconds, float64(pages) * float64(os.Getpagesize()) / megabyte, err
}

// writing is a part of what a fleet writes.
type writing struct {
	label string
	of    func(all, sent map[string]counts) counts
}

func (c counts) minus(other counts) counts {
	return counts{c.writes - other.writes, c.bytes - other.bytes}
}

func (c counts) plus(other counts) counts {
	return counts{c.writes + other.writes, c.bytes + other.bytes}
}

func byAll(resource string) func(all, sent map[string]counts) counts {
	return func(all, _ map[string]counts) counts { return all[resource] }
}

func bySender(resource string) func(all, sent map[string]counts) counts {
	return func(_, sent map[string]counts) counts { return sent[resource] }
}

// writings are the rows of the table. The budget of docs/design.md is for the first three.
var writings = []writing{
	{"reports: signals and asks", bySender("proxyinstances")},
	{"reports: numbers", bySender("proxyreports")},
	{"statuses of endpoints: states, numbers, ledgers", byAll("modelendpoints")},
	{"these together", func(all, sent map[string]counts) counts {
		return sent["proxyinstances"].plus(sent["proxyreports"]).plus(all["modelendpoints"])
	}},
	{"specs of proxies: grants, intervals", func(all, sent map[string]counts) counts {
		return all["proxyinstances"].minus(sent["proxyinstances"])
	}},
	{"statuses of policies", byAll("routingpolicies")},
	{"leases", byAll("leases")},
	{"events", byAll("events")},
}

// note adds what happened between two moments to the record.
func (s *stage) note(phase string, before, after *gauge) {
	seconds := after.at.Sub(before.at).Seconds()
	for _, w := range writings {
		c := w.of(after.all, after.sent).minus(w.of(before.all, before.sent))
		s.record.Add(w.label+", "+phase, "writes/s", c.writes/seconds)
		s.record.Add(w.label+" bytes, "+phase, "KiB/s", c.bytes/1024/seconds)
	}
	for name := range after.cpu {
		s.record.Add(name+" CPU, "+phase, "% of a core", 100*(after.cpu[name]-before.cpu[name])/seconds)
		s.record.Add(name+" memory, "+phase, "MB", after.memory[name])
	}
	s.record.Add("etcd puts, "+phase, "KiB/s", (after.stored-before.stored)*megabyte/1024/seconds)
	s.record.Add("etcd database growth, "+phase, "MB/min", (after.database-before.database)*60/seconds)
	s.record.Add("etcd database, "+phase, "MB", after.database)
}
