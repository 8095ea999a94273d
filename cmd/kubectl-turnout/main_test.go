// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// kubectl finds plugins by their file's name on the PATH; that name, and what help calls the command, have to
// agree with what people type.
func TestKubectlFindsThePlugin(t *testing.T) {
	directory := t.TempDir()
	build := exec.CommandContext(t.Context(), "go", "build", "-o", filepath.Join(directory, "kubectl-turnout"), ".")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	assets := os.Getenv("KUBEBUILDER_ASSETS")
	if assets == "" {
		assets = filepath.Join("..", "..", "bin", "k8s")
	}
	kubectl := exec.CommandContext(t.Context(), filepath.Join(assets, "kubectl"), "turnout", "capabilities", "--offline", "rag")
	kubectl.Env = append(os.Environ(), "PATH="+directory)
	out, err := kubectl.CombinedOutput()
	want := "CAPABILITY\nrag\n  retrieval-augmented-generation\n  grounded-generation\n"
	if err != nil || string(out) != want {
		t.Errorf("kubectl turnout: %v, got\n%swant\n%s", err, out, want)
	}
	help, err := exec.CommandContext(t.Context(), filepath.Join(directory, "kubectl-turnout"), "--help").CombinedOutput()
	if err != nil || !strings.Contains(string(help), "kubectl turnout [command]") {
		t.Errorf("--help: %v, got\n%s", err, help)
	}
}
