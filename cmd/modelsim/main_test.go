// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/turnout-ai/turnout/internal/modelsim/ledger"
)

// process is a running modelsim.
type process struct {
	cmd *exec.Cmd
	url string
	// stderr may be read after the process has ended.
	stderr *bytes.Buffer
}

// build compiles the command once per test that needs it.
func build(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "modelsim")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return binary
}

// run starts a process and waits for its line.
func run(t *testing.T, binary string, args ...string) *process {
	t.Helper()
	p := &process{cmd: exec.CommandContext(t.Context(), binary, append([]string{"--listen", "127.0.0.1:0"}, args...)...), stderr: &bytes.Buffer{}}
	p.cmd.Stderr = p.stderr
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if _, scanErr := fmt.Sscanf(line, "modelsim listens on %s", &p.url); err != nil || scanErr != nil {
		t.Fatalf("the first line is %q (%v, %v)", line, err, scanErr)
	}
	p.url = strings.TrimSuffix(p.url, ",")
	return p
}

// witness is what a client saw of one attempt.
type witness struct {
	attempt  string
	status   int
	contents int
	finished bool
}

// enough is how many contents every client has seen when the process is killed.
const enough = 100

// watch streams one answer to its end, however that comes, and counts what is seen. It calls flowing once it has
// seen enough, or when it ends before.
func watch(t *testing.T, client *http.Client, url, attempt string, flowing func()) witness {
	t.Helper()
	once := sync.OnceFunc(flowing)
	defer once()
	w := witness{attempt: attempt}
	body := `{"model":"sim-large","messages":[{"role":"user","content":"x"}],"stream":true,"max_tokens":100000}`
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/v1/chat/completions", strings.NewReader(body))
	if err != nil {
		t.Error(err)
		return w
	}
	request.Header.Set("X-Turnout-Attempt", attempt)
	request.Header.Set("X-Modelsim-Timing", "tokens=100000")
	response, err := client.Do(request)
	if err != nil {
		return w
	}
	defer func() { _ = response.Body.Close() }()
	w.status = response.StatusCode
	reader := bufio.NewReader(response.Body)
	for {
		line, err := reader.ReadString('\n')
		if err != nil {
			return w
		}
		if strings.Contains(line, `"delta":{"content":`) {
			w.contents++
		}
		if w.contents == enough {
			once()
		}
		w.finished = w.finished || strings.Contains(line, `"finish_reason":"`)
	}
}

// TestTheLedgerSurvivesAKill kills the process in the middle of many streams at full speed, again and again, and
// holds what clients saw against what the ledger says: the ledger may know more, never less.
func TestTheLedgerSurvivesAKill(t *testing.T) {
	binary, path := build(t), filepath.Join(t.TempDir(), "ledger.jsonl")
	const rounds, streams = 3, 8
	var all []witness
	for round := range rounds {
		p := run(t, binary, "--ledger", path)
		transport := &http.Transport{DisableCompression: true}
		client := &http.Client{Transport: transport}
		var mu sync.Mutex
		var wait, flowing sync.WaitGroup
		flowing.Add(streams)
		for i := range streams {
			wait.Go(func() {
				w := watch(t, client, p.url, fmt.Sprintf("%d-%d", round, i), flowing.Done)
				mu.Lock()
				defer mu.Unlock()
				all = append(all, w)
			})
		}
		// The kill falls while clients are reading: all have seen something, and none can have seen all of it.
		flowing.Wait()
		if err := p.cmd.Process.Signal(syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		wait.Wait()
		_ = p.cmd.Wait() // it was killed
		transport.CloseIdleConnections()
	}
	books, err := ledger.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	// A kill tears one line at most: only one thread writes to a file at a time.
	if books.Torn > rounds || len(books.Repeated()) > 0 {
		t.Errorf("torn: %d, repeated: %v", books.Torn, books.Repeated())
	}
	interrupted := 0
	for _, w := range all {
		entries := books.Attempt(w.attempt)
		if len(entries) != 1 {
			t.Fatalf("the ledger has %d entries of attempt %s, of which the client saw %+v", len(entries), w.attempt, w)
		}
		last := entries[0].Last()
		if last.Status != w.status || w.contents < enough || last.Tokens.Completion < w.contents || w.finished && last.Event != ledger.Finished {
			t.Errorf("the client saw %+v, the ledger says %+v", w, last)
		}
		if entries[0].Open() {
			interrupted++
		}
	}
	if interrupted == 0 {
		t.Error("no stream was interrupted by a kill: this proves nothing")
	}
	t.Logf("%d streams, %d of them open in the ledger after a kill, %d lines torn", len(all), interrupted, books.Torn)
}

func TestSIGTERMEndsInOrder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.jsonl")
	p := run(t, build(t), "--ledger", path, "--control", "127.0.0.1:0", "--models", "a,b", "--base-path", "/x")
	response, err := http.Get(p.url + "/v1/models") //nolint:noctx // the process is killed when the test ends
	if err != nil {
		t.Fatal(err)
	}
	var list struct{ Data []struct{ ID string } }
	err = json.NewDecoder(response.Body).Decode(&list)
	if closeErr := response.Body.Close(); err != nil || closeErr != nil || len(list.Data) != 2 {
		t.Errorf("%v %v %+v", err, closeErr, list)
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Wait(); err != nil {
		t.Errorf("after SIGTERM: %v, %s", err, p.stderr)
	}
	books, err := ledger.Read(path)
	if err != nil || len(books.Entries) != 1 || books.Entries[0].Open() {
		t.Errorf("the ledger: %v %+v", err, books)
	}
}

func TestFlagsThatCannotBeServed(t *testing.T) {
	tests := []struct {
		name, wantErr string
		args          []string
	}{
		{"an unknown compression", "write off, negotiate, always-gzip or always-br", []string{"--compress", "zip"}},
		{"a certificate without key", "--tls-certificate and --tls-key", []string{"--tls-certificate", "x"}},
		{"a ledger that cannot be opened", "open the ledger", []string{"--ledger", "/nowhere/at/all"}},
		{"an argument", "unknown command", []string{"serve"}},
		{"an address that is none", "listen on", []string{"--listen", "nowhere:none"}},
		{"a control address that is none", "listen for the control API", []string{"--listen", "127.0.0.1:0", "--control", "nowhere:none"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			command := command()
			command.SetArgs(tt.args)
			command.SetOut(io.Discard)
			if err := command.ExecuteContext(t.Context()); err == nil || !strings.Contains(err.Error(), tt.wantErr) {
				t.Errorf("error %v, want %q", err, tt.wantErr)
			}
		})
	}
}

func TestHelpNamesFaultsAndControl(t *testing.T) {
	var out bytes.Buffer
	command := command()
	command.SetArgs([]string{"--help"})
	command.SetOut(&out)
	if err := errors.Join(command.Execute()); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"rate-limit", "/_sim/rules", "X-Modelsim-Fault", "--tokens-per-second"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the help does not mention %s", want)
		}
	}
}
