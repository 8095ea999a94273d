// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

// Package harness is the ground that make run, the end-to-end tests and the benchmarks stand on: a real
// Kubernetes control plane, real processes that leave nothing behind, and the few calls that put objects
// into the one and wait for the other. It knows nothing of package testing.
package harness

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// modulePath is how a checkout is recognised from a folder inside it.
const modulePath = "github.com/turnout-ai/turnout"

// Root is the absolute path of the checkout that the working directory is in. Go runs every test in its
// package's folder, so that relative paths would mean something else in each.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("finding the checkout: %w", err)
	}
	for start := dir; ; dir = filepath.Dir(dir) {
		mod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && strings.Contains(string(mod), "module "+modulePath+"\n") {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("%s is not inside a checkout of %s: no go.mod of it in any parent folder; change into the checkout", start, modulePath)
		}
	}
}

// Poll calls check at once and then at every interval until it returns nil. When ctx ends first, the error
// holds both ctx's and check's last, which says what was still missing.
func Poll(ctx context.Context, interval time.Duration, check func(context.Context) error) error {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	var last error
	for {
		err := check(ctx)
		if err == nil {
			return nil
		}
		// A check that only failed because time was up says less than the one before.
		if last == nil || ctx.Err() == nil {
			last = err
		}
		select {
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), last)
		case <-ticker.C:
		}
	}
}
