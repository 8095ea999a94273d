// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// target is one fuzz target.
type target struct {
	// folder of its package, from the top of the checkout, and its name.
	folder, name string
}

func (t target) String() string { return filepath.ToSlash(t.folder) + " " + t.name }

// find returns every fuzz target of the checkout, sorted by folder.
func find(ctx context.Context, root string) ([]target, error) {
	list := exec.CommandContext(ctx, "go", "list", "-json=Dir,TestGoFiles,XTestGoFiles", "./...")
	list.Dir, list.Stderr = root, os.Stderr
	out, err := list.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	var targets []target
	for packages := json.NewDecoder(bytes.NewReader(out)); ; {
		var p struct {
			Dir                       string
			TestGoFiles, XTestGoFiles []string
		}
		if err := packages.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, fmt.Errorf("go list: %w", err)
		}
		folder, err := filepath.Rel(root, p.Dir)
		if err != nil {
			return nil, err
		}
		for _, file := range slices.Concat(p.TestGoFiles, p.XTestGoFiles) {
			names, err := targetsIn(filepath.Join(p.Dir, file))
			if err != nil {
				return nil, err
			}
			for _, name := range names {
				targets = append(targets, target{folder, name})
			}
		}
	}
	slices.SortFunc(targets, func(a, b target) int { return strings.Compare(a.String(), b.String()) })
	return targets, nil
}

// targetsIn are the names of the fuzz targets in a file.
func targetsIn(path string) (names []string, err error) {
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	for _, declaration := range file.Decls {
		f, ok := declaration.(*ast.FuncDecl)
		if ok && f.Recv == nil && strings.HasPrefix(f.Name.Name, "Fuzz") && len(f.Type.Params.List) == 1 {
			names = append(names, f.Name.Name)
		}
	}
	return names, nil
}

// result is what a target came to that found nothing.
type result struct {
	target     target
	executions int64
	took       time.Duration
	kept       int64
}

// rate is how many inputs a second were tried.
func (r result) rate() float64 {
	if r.took <= 0 {
		return 0
	}
	return float64(r.executions) / r.took.Seconds()
}

// fuzz runs the target and passes its progress on.
func (t target) fuzz(ctx context.Context, s settings, out io.Writer) (result, error) {
	// What is worth keeping is made smaller for a minute otherwise, in which nothing new is tried.
	//nolint:gosec // names of functions of this checkout
	run := exec.CommandContext(ctx, "go", "test", "-run=^$", "-fuzz=^"+t.name+"$", "-fuzztime="+s.time, "-fuzzminimizetime=1s", "./"+filepath.ToSlash(t.folder))
	run.Dir = s.root
	// Told to stop, go test stops what it has started; killed, it would leave it behind.
	run.Cancel = func() error { return run.Process.Signal(os.Interrupt) }
	run.WaitDelay = 30 * time.Second
	pipe, err := run.StdoutPipe()
	if err != nil {
		return result{}, err
	}
	run.Stderr = run.Stdout
	if err := run.Start(); err != nil {
		return result{}, err
	}
	said := t.follow(pipe, out)
	err = run.Wait()
	return said.judge(t, err)
}

// report is what go test has said.
type report struct {
	result
	// rerun is the input that failed, as go test -run names it; empty without one.
	rerun string
	text  bytes.Buffer
}

// The lines of go test that matter.
var (
	progress = regexp.MustCompile(`^fuzz: elapsed: (\S+), execs: (\d+) .*?(?:\(total: (\d+)\))?$`)
	written  = regexp.MustCompile(`Failing input written to testdata[/\\]fuzz[/\\](\w+)[/\\](\w+)`)
	failed   = regexp.MustCompile(`(?:--- FAIL|seed corpus entry): (Fuzz\w+)/(\S+)`)
)

// follow reads go test's output to its end and shows how far it is.
func (t target) follow(in io.Reader, out io.Writer) *report {
	r := &report{result: result{target: t}}
	for lines := bufio.NewScanner(in); lines.Scan(); {
		line := lines.Text()
		if m := progress.FindStringSubmatch(line); m != nil {
			r.took, _ = time.ParseDuration(m[1])
			r.executions, _ = strconv.ParseInt(m[2], 10, 64)
			if m[3] != "" {
				r.kept, _ = strconv.ParseInt(m[3], 10, 64)
			}
			fmt.Fprintln(out, "  "+line)
			continue
		}
		r.text.WriteString(line + "\n")
		if m := failed.FindStringSubmatch(line); m != nil && r.rerun == "" {
			r.rerun = m[1] + "/" + m[2]
		}
		if m := written.FindStringSubmatch(line); m != nil {
			r.rerun = m[1] + "/" + m[2]
		}
	}
	_, _ = io.Copy(io.Discard, in) // behind a line too long to be of interest
	return r
}

// judge says what a run came to.
func (r *report) judge(t target, err error) (result, error) {
	switch {
	case err == nil:
		return r.result, nil
	case r.rerun == "" && strings.Contains(r.text.String(), "context deadline exceeded"):
		// The engine sometimes calls the end of its time a failure. There is no input then.
		return r.result, nil
	case r.rerun == "":
		return r.result, fmt.Errorf("%s: %w; see it again with: go test -run='^$' -fuzz='^%s$' ./%s\n%s", t, err, t.name, filepath.ToSlash(t.folder), &r.text)
	}
	name, input, _ := strings.Cut(r.rerun, "/")
	return r.result, fmt.Errorf("%s has found something; see it again with: go test -run='^%s$/^%s$' ./%s\n%s", t, name, input, filepath.ToSlash(t.folder), &r.text)
}
