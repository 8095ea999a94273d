// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"os"
	"testing"

	"github.com/go-logr/logr"
	logf "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/turnout-ai/turnout/test/dataplane"
)

func TestMain(m *testing.M) {
	if err := dataplane.SideBySide(); err != nil { // no other test says that it may run so
		fmt.Fprintln(os.Stderr, "e2e:", err)
		os.Exit(1)
	}
	logf.SetLogger(logr.Discard()) // the clients of the tests; the programs log to files of their own
	os.Exit(m.Run())
}
