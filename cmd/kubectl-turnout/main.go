// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

// Kubectl-turnout is a kubectl plugin that says how Turnout would route a request, and why. On the PATH under
// this name it runs as "kubectl turnout".
package main

import (
	"context"
	"os"
	"os/signal"
	_ "time/tzdata" // time zones of endpoints are known where the image has no files

	"github.com/turnout-ai/turnout/internal/plugin"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	code := plugin.Main(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
