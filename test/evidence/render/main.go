// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

// Command render writes the tables of the documents named as arguments anew from docs/evidence. It is run
// from the top of the checkout.
package main

import (
	"fmt"
	"os"

	"github.com/turnout-ai/turnout/test/evidence"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "render:", err)
		os.Exit(1)
	}
}

func run(documents []string) error {
	records, err := evidence.Read(".")
	if err != nil {
		return err
	}
	for _, path := range documents {
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		rendered, err := evidence.Document(string(text), records)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		if rendered == string(text) {
			continue
		}
		if err := os.WriteFile(path, []byte(rendered), 0o644); err != nil { //nolint:gosec // a document, to be read by all
			return err
		}
	}
	return nil
}
