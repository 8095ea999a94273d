// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package harness_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/turnout-ai/turnout/test/harness"
)

// parentVariable makes this test binary play a parent that dies; see TestProcessesDieWithTheirParent.
const parentVariable = "TURNOUT_HARNESS_TEST_PARENT"

func TestMain(m *testing.M) {
	if log := os.Getenv(parentVariable); log != "" {
		playParent(log)
	}
	os.Exit(m.Run())
}

// shell is a command that runs a script, logging to a file of the test's own.
func shell(t *testing.T, script string) harness.Command {
	t.Helper()
	return harness.Command{
		Name: "script", Path: "/bin/sh", Args: []string{"-c", script},
		LogFile: filepath.Join(t.TempDir(), "logs", "script.log"),
	}
}

// logged is a readiness condition: the log has a line that begins with prefix.
func logged(command harness.Command, prefix string) func(context.Context) error {
	return func(context.Context) error {
		content, err := os.ReadFile(command.LogFile)
		if err != nil {
			return err
		}
		for line := range strings.Lines(string(content)) {
			if strings.HasPrefix(line, prefix) && strings.HasSuffix(line, "\n") {
				return nil
			}
		}
		return fmt.Errorf("no line begins with %q", prefix)
	}
}

// awaitDead waits until no process of that id runs; one that nobody has reaped yet does not run.
func awaitDead(t *testing.T, pid int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	err := harness.Poll(ctx, 10*time.Millisecond, func(context.Context) error {
		if running(pid) {
			return fmt.Errorf("process %d still runs", pid)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// pidIn reads the number after prefix in the log.
func pidIn(t *testing.T, log, prefix string) int {
	t.Helper()
	content, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(content), prefix)
	number, _, _ := strings.Cut(after, "\n")
	pid, err := strconv.Atoi(number)
	if err != nil {
		t.Fatalf("no process id after %q in %q", prefix, content)
	}
	return pid
}

func TestNothingOfAProcessGroupIsLeft(t *testing.T) {
	tests := map[string]struct {
		script string
		end    func(context.Context, *harness.Process) error
	}{
		"a stop takes along a child that the program forgot": {
			script: "sleep 1000 & echo child $!; wait",
			end:    func(ctx context.Context, p *harness.Process) error { return p.Stop(ctx) },
		},
		"a kill takes along a child": {
			script: "sleep 1000 & echo child $!; wait",
			end:    func(_ context.Context, p *harness.Process) error { p.Kill(); return nil },
		},
		"a program that ends by itself takes along its child": {
			script: "sleep 1000 & echo child $!; sleep 0.2",
			end:    func(_ context.Context, p *harness.Process) error { <-p.Exited(); return nil },
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			command := shell(t, test.script)
			command.Ready = logged(command, "child ")
			p, err := harness.StartProcess(t.Context(), command)
			if err != nil {
				t.Fatal(err)
			}
			leader, child := p.PID(), pidIn(t, command.LogFile, "child ")
			if !running(leader) || !running(child) {
				t.Fatalf("leader %d and child %d must run to begin with", leader, child)
			}
			if err := test.end(t.Context(), p); err != nil {
				t.Error(err)
			}
			awaitDead(t, leader)
			awaitDead(t, child)
		})
	}
}

func TestStop(t *testing.T) {
	tests := map[string]struct {
		script    string
		wantError string // empty: none
	}{
		"a program that ends on SIGTERM without a handler is stopped well": {script: "echo ready; exec sleep 1000"},
		"a program that handles SIGTERM and exits with 0 is stopped well": {
			script: "trap 'exit 0' TERM; echo ready; while :; do sleep 0.05; done",
		},
		"a program that ignores SIGTERM is killed, and the error says so": {
			script:    "trap '' TERM; echo ready; while :; do sleep 0.05; done",
			wantError: "was still there after SIGTERM and was killed",
		},
		"a program that fails on the way out is reported with its log": {
			script:    "trap 'echo could not save; exit 3' TERM; echo ready; while :; do sleep 0.05; done",
			wantError: "could not save",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			command := shell(t, test.script)
			command.Ready = logged(command, "ready")
			command.StopTimeout = 2 * time.Second
			p, err := harness.StartProcess(t.Context(), command)
			if err != nil {
				t.Fatal(err)
			}
			pid := p.PID()
			err = p.Stop(t.Context())
			if test.wantError == "" && err != nil || test.wantError != "" && (err == nil || !strings.Contains(err.Error(), test.wantError)) {
				t.Errorf("Stop() = %v, want an error with %q", err, test.wantError)
			}
			awaitDead(t, pid)
			if err := p.Stop(t.Context()); err != nil {
				t.Errorf("a second Stop() = %v, want nil", err)
			}
		})
	}
}

func TestStopTellsAProgramThatHadDied(t *testing.T) {
	p, err := harness.StartProcess(t.Context(), shell(t, "exit 7"))
	if err != nil {
		t.Fatal(err)
	}
	<-p.Exited()
	if err := p.Stop(t.Context()); err == nil || !strings.Contains(err.Error(), "had ended by itself before it was stopped: exit status 7") {
		t.Errorf("Stop() = %v, want the exit status", err)
	}
}

func TestStartFailsWithASentence(t *testing.T) {
	never := func(context.Context) error { return errors.New("the door is shut") }
	tests := map[string]struct {
		command    harness.Command
		wantErrors []string
	}{
		"a program that ends while it is waited for ends the wait, with its last words": {
			command:    harness.Command{Path: "/bin/sh", Args: []string{"-c", "echo no such flag; exit 2"}, Ready: never},
			wantErrors: []string{"it ended: exit status 2", "no such flag", "the door is shut"},
		},
		"a program that never becomes ready is killed at the timeout": {
			command:    harness.Command{Path: "/bin/sleep", Args: []string{"1000"}, Ready: never, StartTimeout: 200 * time.Millisecond},
			wantErrors: []string{"deadline", "the door is shut"},
		},
		"a program that does not exist is named": {
			command:    harness.Command{Path: "/no/such/program", Ready: never},
			wantErrors: []string{"starting it", "/no/such/program"},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			test.command.Name = "it"
			test.command.LogFile = filepath.Join(t.TempDir(), "it.log")
			p, err := harness.StartProcess(t.Context(), test.command)
			for _, want := range test.wantErrors {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("StartProcess() = %v, want it to say %q", err, want)
				}
			}
			if p.PID() != 0 {
				t.Errorf("process %d is left", p.PID())
			}
		})
	}
}

func TestRestartIsANewProcessWithTheSameLog(t *testing.T) {
	command := shell(t, "echo pid $$; exec sleep 1000")
	command.Ready = logged(command, "pid ")
	p, err := harness.StartProcess(t.Context(), command)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	first := p.PID()
	if err := p.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "running already") {
		t.Errorf("a second Start() = %v, want a refusal", err)
	}
	if err := p.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if p.PID() == first || p.PID() == 0 {
		t.Errorf("pid %d after a restart, %d before", p.PID(), first)
	}
	awaitDead(t, first)
	if got := pidIn(t, command.LogFile, "pid "); got != first {
		t.Errorf("the log begins with process %d, want the first run's %d", got, first)
	}
}

func TestKubeconfigOfTheEnvironmentReachesNobody(t *testing.T) {
	t.Setenv("KUBECONFIG", "/production")
	command := shell(t, "echo \"kubeconfig=$KUBECONFIG mine=$MINE\"")
	command.Env = []string{"MINE=yes"}
	command.Ready = logged(command, "kubeconfig=")
	p, err := harness.StartProcess(t.Context(), command)
	if err != nil && !strings.Contains(err.Error(), "it ended") { // it may be quicker than the first look
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	if got := p.LogTail(1); got != "kubeconfig= mine=yes" {
		t.Errorf("the program saw %q", got)
	}
}

func TestFreePortIsGivenOnceAndIsFree(t *testing.T) {
	given := map[int]bool{}
	for range 50 {
		port, err := harness.FreePort()
		if err != nil {
			t.Fatal(err)
		}
		if given[port] {
			t.Fatalf("port %d was given twice", port)
		}
		given[port] = true
		if port >= 32768 {
			t.Errorf("port %d is one that the kernel gives to outgoing connections", port)
		}
		if err := harness.PortFree(port); err != nil {
			t.Errorf("port %d is not free: %v", port, err)
		}
		// Another process that asks FreePort must find the number taken, though nobody listens.
		if socket, err := net.ListenPacket("udp4", harness.LoopbackAddress(port)); err == nil { //nolint:noctx // fails at once
			t.Errorf("port %d is not reserved for this process (closing: %v)", port, socket.Close())
		}
	}
}

func TestPollSaysWhatWasMissing(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	err := harness.Poll(ctx, time.Millisecond, func(ctx context.Context) error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return errors.New("no train yet")
	})
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "no train yet") {
		t.Errorf("Poll() = %v, want the deadline and the last real error", err)
	}
}

// playParent starts a process, tells its id, and waits to be killed.
func playParent(log string) {
	p, err := harness.StartProcess(context.Background(), harness.Command{
		Name: "sleep", Path: "/bin/sleep", Args: []string{"1000"}, LogFile: log,
	})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Printf("child %d\n", p.PID())
	<-p.Exited()
	os.Exit(1)
}
