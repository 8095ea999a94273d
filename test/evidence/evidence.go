// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

// Package evidence keeps what was measured: one JSON file for each topic under docs/evidence, with the raw
// samples and how to get them again. Tables in the documentation are rendered from these files and never
// typed, so that a figure in a sentence has a run behind it.
package evidence

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// Record is one topic's evidence.
type Record struct {
	// Topic is the file's name without its ending, and the name of the topic's tables in documents.
	Topic string `json:"topic"`
	// About says what was measured and how, for a reader who has only this file.
	About string `json:"about"`
	// Command repeats the run, from the top of a checkout of Commit.
	Command string `json:"command"`
	Commit  string `json:"commit"`
	// Date is when the run began, Seconds how long it took.
	Date    time.Time `json:"date"`
	Seconds float64   `json:"seconds"`
	// Seed is what the run's random choices came from; 0 when it made none.
	Seed    int64    `json:"seed"`
	Machine Machine  `json:"machine"`
	Series  []Series `json:"series"`
	Tables  []Table  `json:"tables"`
}

// Machine is what the run ran on.
type Machine struct {
	CPUs  int    `json:"cpus"`
	Model string `json:"model"`
	Go    string `json:"go"`
	OS    string `json:"os"`
}

// Series is one measured quantity with its raw samples, in the order in which they were taken.
type Series struct {
	Name    string    `json:"name"`
	Unit    string    `json:"unit"`
	Samples []float64 `json:"samples"`
}

// Table arranges statistics of series.
type Table struct {
	// Name is the table's name in documents, after the topic: <!-- evidence:topic/name -->.
	Name    string   `json:"name"`
	Columns []string `json:"columns"`
	Rows    []Row    `json:"rows"`
}

// Row is a line of a table: a label and a cell for each further column.
type Row struct {
	Label string `json:"label"`
	Cells []Cell `json:"cells"`
}

// Cell is one statistic of one series: count, min, p50, p95, p99, max, or range (median [min–max]). A cell
// without a series prints a dash.
type Cell struct {
	Series string `json:"series,omitempty"`
	Stat   string `json:"stat,omitempty"`
}

// Begin starts a record: what is known of a run before it has run.
func Begin(ctx context.Context, topic, about, command string, seed int64) *Record {
	cpus, model := processors()
	return &Record{
		Topic: topic, About: about, Command: command, Seed: seed,
		Commit: commit(ctx), Date: time.Now().UTC().Truncate(time.Second),
		Machine: Machine{
			CPUs: cpus, Model: model, Go: runtime.Version(), OS: runtime.GOOS + "/" + runtime.GOARCH,
		},
	}
}

// Add appends samples to the series of that name, which it makes if there is none.
func (r *Record) Add(name, unit string, samples ...float64) {
	for i := range r.Series {
		if r.Series[i].Name == name {
			r.Series[i].Samples = append(r.Series[i].Samples, samples...)
			return
		}
	}
	r.Series = append(r.Series, Series{Name: name, Unit: unit, Samples: samples})
}

// Write ends the record and stores it under docs/evidence of the checkout at root.
func (r *Record) Write(root string) error {
	r.Seconds = math.Round(time.Since(r.Date).Seconds())
	for _, t := range r.Tables {
		if _, err := r.render(t); err != nil {
			return err
		}
	}
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("evidence %s: %w", r.Topic, err)
	}
	path := filepath.Join(root, "docs", "evidence", r.Topic+".json")
	return os.WriteFile(path, append(text, '\n'), 0o644) //nolint:gosec // a document, to be read by all
}

// Read loads every record under docs/evidence of the checkout at root, by topic.
func Read(root string) (map[string]*Record, error) {
	paths, err := filepath.Glob(filepath.Join(root, "docs", "evidence", "*.json"))
	if err != nil {
		return nil, err
	}
	records := map[string]*Record{}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		var r Record
		if err := json.Unmarshal(text, &r); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		records[r.Topic] = &r
	}
	return records, nil
}

// Markdown returns the table of that name, with a line on where it comes from.
func (r *Record) Markdown(table string) (string, error) {
	for _, t := range r.Tables {
		if t.Name == table {
			return r.render(t)
		}
	}
	return "", fmt.Errorf("evidence %s has no table %q", r.Topic, table)
}

func (r *Record) render(t Table) (string, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "| %s |\n|%s\n", strings.Join(t.Columns, " | "), strings.Repeat("---|", len(t.Columns)))
	for _, row := range t.Rows {
		if len(row.Cells) != len(t.Columns)-1 {
			return "", fmt.Errorf("evidence %s, table %s: row %q has %d cells for %d columns", r.Topic, t.Name, row.Label, len(row.Cells), len(t.Columns))
		}
		fmt.Fprintf(&b, "| %s |", row.Label)
		for _, cell := range row.Cells {
			text, err := r.cell(cell)
			if err != nil {
				return "", err
			}
			fmt.Fprintf(&b, " %s |", text)
		}
		b.WriteByte('\n')
	}
	fmt.Fprintf(&b, "\n<sub>[evidence/%s.json](evidence/%s.json): `%s` at %s, %s, %d × %s, %s</sub>\n",
		r.Topic, r.Topic, r.Command, r.Commit, r.Date.Format(time.DateOnly), r.Machine.CPUs, r.Machine.Model, r.Machine.Go)
	return b.String(), nil
}

func (r *Record) cell(c Cell) (string, error) {
	if c.Series == "" {
		return "–", nil
	}
	for _, s := range r.Series {
		if s.Name == c.Series {
			return s.stat(c.Stat)
		}
	}
	return "", fmt.Errorf("evidence %s: a cell names the series %q, which does not exist", r.Topic, c.Series)
}

func (s *Series) stat(stat string) (string, error) {
	if len(s.Samples) == 0 {
		return "", fmt.Errorf("series %q has no samples", s.Name)
	}
	sorted := slices.Sorted(slices.Values(s.Samples))
	at := func(q float64) string { return number(Quantile(sorted, q)) }
	switch stat {
	case "count":
		return fmt.Sprint(len(sorted)), nil
	case "min":
		return at(0), nil
	case "p50":
		return at(.5), nil
	case "p95":
		return at(.95), nil
	case "p99":
		return at(.99), nil
	case "max":
		return at(1), nil
	case "range":
		return fmt.Sprintf("%s [%s–%s]", at(.5), at(0), at(1)), nil
	}
	return "", fmt.Errorf("series %q: there is no statistic %q", s.Name, stat)
}

// Quantile returns the q-quantile of sorted samples: the smallest that at least q of them do not exceed.
func Quantile(sorted []float64, q float64) float64 {
	i := int(math.Ceil(q*float64(len(sorted)))) - 1
	return sorted[min(max(i, 0), len(sorted)-1)]
}

// number prints three significant digits.
func number(v float64) string {
	if v == 0 {
		return "0"
	}
	digits := 2 - int(math.Floor(math.Log10(math.Abs(v))))
	if digits <= 0 {
		return fmt.Sprintf("%.0f", v)
	}
	return strings.TrimRight(strings.TrimRight(fmt.Sprintf("%.*f", digits, v), "0"), ".")
}

// commit names the checkout; "+" says that it had changes of its own, beside evidence that the same run has
// written before.
func commit(ctx context.Context) string {
	head, err := exec.CommandContext(ctx, "git", "rev-parse", "--short=12", "HEAD").Output()
	if err != nil {
		return "unknown"
	}
	changed, err := exec.CommandContext(ctx, "git", "status", "--porcelain", "--untracked-files=no", "--", ":/", ":(top,exclude)docs/evidence").Output()
	if err != nil || len(changed) > 0 {
		return strings.TrimSpace(string(head)) + "+"
	}
	return strings.TrimSpace(string(head))
}

// processors counts the machine's processors, also when this process may not use them all, and names them.
func processors() (count int, model string) {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return runtime.NumCPU(), runtime.GOARCH
	}
	for line := range strings.SplitSeq(string(text), "\n") {
		switch key, value, _ := strings.Cut(line, ":"); strings.TrimSpace(key) {
		case "processor":
			count++
		case "model name":
			model = strings.TrimSpace(value)
		}
	}
	return max(count, 1), model
}
