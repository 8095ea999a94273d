// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"flag"
	"fmt"
	"os"
	"testing"

	"github.com/go-logr/logr"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
)

// atOnce is how many tests that say they may run side by side do: those of the data plane, which mostly wait.
const atOnce = "32"

func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", atOnce); err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		os.Exit(1)
	}
	logf.SetLogger(logr.Discard()) // the clients of the tests; the programs log to files of their own
	os.Exit(m.Run())
}
