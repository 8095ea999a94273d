// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package evidence

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func sample() map[string]*Record {
	r := &Record{Topic: "speed", Command: "make bench"}
	r.Add("a", "µs", 3, 1, 2)
	r.Tables = []Table{{
		Name: "cpu", Columns: []string{"proxy", "CPU", "n"},
		Rows: []Row{{"a", []Cell{{"a", "range"}, {"a", "count"}}}},
	}}
	return map[string]*Record{"speed": r}
}

func TestDocument(t *testing.T) {
	for name, c := range map[string]struct {
		text, want, wantErr string
	}{
		"a table is rendered from its samples": {
			text: "x\n<!-- evidence:speed/cpu -->\nold\n<!-- /evidence -->\ny", want: "| a | 2 [1–3] | 3 |",
		},
		"a table without evidence is an error":   {text: "<!-- evidence:taste/cpu -->\n<!-- /evidence -->", wantErr: "taste.json does not exist"},
		"a table that does not exist is one":     {text: "<!-- evidence:speed/ram -->\n<!-- /evidence -->", wantErr: `no table "ram"`},
		"a place that is not closed is an error": {text: "<!-- evidence:speed/cpu -->\n", wantErr: "not closed"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Document(c.text, sample())
			if c.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), c.wantErr) {
					t.Fatalf("error %v, want one with %q", err, c.wantErr)
				}
				return
			}
			if err != nil || !strings.Contains(got, c.want) || strings.Contains(got, "old") {
				t.Errorf("got %q, %v; want a text with %q and without the old table", got, err, c.want)
			}
		})
	}
}

func TestQuantile(t *testing.T) {
	sorted := []float64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}
	for q, want := range map[float64]float64{0: 1, .5: 5, .9: 9, .99: 10, 1: 10} {
		if got := Quantile(sorted, q); got != want {
			t.Errorf("Quantile(1..10, %v) = %v, want %v", q, got, want)
		}
	}
}

// TestDocumentsShowWhatWasMeasured fails when a table in a document is not the one its evidence renders to.
func TestDocumentsShowWhatWasMeasured(t *testing.T) {
	root := filepath.Join("..", "..")
	records, err := Read(root)
	if err != nil {
		t.Fatal(err)
	}
	documents, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range documents {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if rendered, err := Document(string(text), records); err != nil || rendered != string(text) {
			t.Errorf("%s: a table is not what docs/evidence says (%v); run make generate", path, err)
		}
	}
}
