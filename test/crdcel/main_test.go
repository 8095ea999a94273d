// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

// Package crdcel shows a real API server what users may write and asks whether it answers as promised: each
// file under testdata/<kind> is one object and the sentence it is refused with, or "accepted".
package crdcel

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

// crdDir holds the CustomResourceDefinitions as make generate wrote them.
var crdDir = filepath.Join("..", "..", "config", "crd", "bases")

// cluster writes to the API server that TestMain started; warnings are what that server has warned of.
var (
	cluster  client.Client
	warnings warningLog
)

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "crdcel:", err)
		code = 1
	}
	os.Exit(code)
}

// run starts an API server with the kinds installed. That it takes them at all is a result: it refuses
// schemas that are not structural, defaults that do not fit, and rules that could cost too much.
func run(m *testing.M) (code int, err error) {
	environment := &envtest.Environment{
		BinaryAssetsDirectory: cmp.Or(os.Getenv("KUBEBUILDER_ASSETS"), filepath.Join("..", "..", "bin", "k8s")),
		CRDDirectoryPaths:     []string{crdDir},
		ErrorIfCRDPathMissing: true,
	}
	config, err := environment.Start()
	if err != nil {
		return 1, fmt.Errorf("starting an API server with the kinds of config/crd/bases "+
			"(make control-plane builds one): %w", err)
	}
	defer func() { err = cmp.Or(err, environment.Stop()) }()
	config.WarningHandlerWithContext = &warnings
	// Every case is a question of its own; the client's own politeness would only slow them down.
	config.QPS = -1
	cluster, err = client.New(config, client.Options{})
	if err != nil {
		return 1, err
	}
	return m.Run(), nil
}

// warningLog keeps the API server's warnings.
type warningLog struct {
	mu    sync.Mutex
	texts []string
}

var _ rest.WarningHandlerWithContext = (*warningLog)(nil)

// HandleWarningHeaderWithContext keeps one warning; code and agent are always 299 and the server's.
func (w *warningLog) HandleWarningHeaderWithContext(_ context.Context, _ int, _, text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.texts = append(w.texts, text)
}

// take returns the warnings since the last call.
func (w *warningLog) take() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	texts := w.texts
	w.texts = nil
	return texts
}
