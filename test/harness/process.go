// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Command says what a Process runs.
type Command struct {
	// Name stands in messages and names the log file.
	Name string
	// Path is the program; Args come after it.
	Path string
	Args []string
	// Env is added to this process's environment. KUBECONFIG is always taken out of it: what is started here
	// gets its cluster by flag, and the one in the environment may be production.
	Env []string
	// Dir is the working directory; empty: this process's.
	Dir string
	// LogFile gets everything the program writes; runs are appended to it. Its folder is created.
	LogFile string
	// Ready is called until it returns nil, and Start waits for that; nil: a started program is ready.
	Ready func(context.Context) error
	// StartTimeout bounds the wait for Ready; zero: 60 s. StopTimeout bounds the wait after SIGTERM before
	// SIGKILL; zero: 20 s.
	StartTimeout, StopTimeout time.Duration
}

// Process is one program that can be started, stopped, killed and started again. It runs in a process group
// of its own, and nothing of the group outlives it: neither a stop, nor a kill, nor (on Linux) the death of
// this process by any signal. Its methods may be called from several goroutines.
type Process struct {
	command Command

	mu  sync.Mutex // guards run, and makes Start, Stop and Kill take turns
	run *run       // the latest run; nil before the first and after Stop or Kill
}

// run is one life of a Process.
type run struct {
	pid  int
	done chan struct{} // closed when the program has exited and its group is gone
	err  error         // what Wait said; to be read after done
}

// StartProcess starts command and waits until it is ready. ctx bounds the wait, not the program's life.
func StartProcess(ctx context.Context, command Command) (*Process, error) {
	p := &Process{command: command}
	return p, p.Start(ctx)
}

// Start runs the program again after Stop or Kill and waits until it is ready. When it does not become
// ready it is killed, and the error ends with the last lines of its log.
func (p *Process) Start(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.run != nil && !p.run.exited() {
		return fmt.Errorf("%s is running already (pid %d)", p.command.Name, p.run.pid)
	}
	r, err := launch(p.command)
	if err != nil {
		return fmt.Errorf("starting %s: %w", p.command.Name, err)
	}
	p.run = r
	if err := p.awaitReady(ctx, r); err != nil {
		r.kill()
		p.run = nil
		return fmt.Errorf("%s did not become ready: %w; its log %s ends:\n%s", p.command.Name, err, p.command.LogFile, p.LogTail(10))
	}
	return nil
}

func (p *Process) awaitReady(ctx context.Context, r *run) error {
	if p.command.Ready == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, orDefault(p.command.StartTimeout, time.Minute))
	defer cancel()
	// A program that ends while it is waited for ends the wait.
	ctx, exited := context.WithCancelCause(ctx)
	defer exited(nil)
	go func() {
		select {
		case <-r.done:
			exited(fmt.Errorf("it ended: %s", r.ending()))
		case <-ctx.Done():
		}
	}()
	return Poll(ctx, 50*time.Millisecond, p.command.Ready)
}

// Stop asks the program to end (SIGTERM) and waits for it; past StopTimeout, or when ctx ends, the whole
// group is killed. The error tells a program that had ended by itself, had to be killed, or reported a
// failure. Stopping what was stopped or killed before is no error.
func (p *Process) Stop(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.run
	if r == nil {
		return nil
	}
	p.run = nil
	if r.exited() {
		return fmt.Errorf("%s had ended by itself before it was stopped: %s", p.command.Name, r.ending())
	}
	ctx, cancel := context.WithTimeout(ctx, orDefault(p.command.StopTimeout, 20*time.Second))
	defer cancel()
	// Only the leader is asked: it knows best how to end its own children. What it leaves is swept after it.
	if err := syscall.Kill(r.pid, syscall.SIGTERM); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("stopping %s: %w", p.command.Name, err)
	}
	select {
	case <-r.done:
	case <-ctx.Done():
		r.kill()
		return fmt.Errorf("%s was still there after SIGTERM and was killed: %w", p.command.Name, ctx.Err())
	}
	if !r.endedWell() {
		return fmt.Errorf("%s was stopped but %s; its log %s ends:\n%s", p.command.Name, r.ending(), p.command.LogFile, p.LogTail(10))
	}
	return nil
}

// Kill ends the whole process group by SIGKILL and waits until it is gone. Killing what has ended is no error.
func (p *Process) Kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.run != nil {
		p.run.kill()
		p.run = nil
	}
}

// Restart stops the program and starts it again, whatever the stop said about the old run.
func (p *Process) Restart(ctx context.Context) error {
	stopped := p.Stop(ctx)
	if err := p.Start(ctx); err != nil {
		return errors.Join(stopped, err)
	}
	return nil
}

// Exited is closed when the current run ends, by itself or otherwise. Without a run it is closed already.
func (p *Process) Exited() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.run == nil {
		done := make(chan struct{})
		close(done)
		return done
	}
	return p.run.done
}

// PID is the program's process id, 0 when it was not started or was stopped.
func (p *Process) PID() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.run == nil {
		return 0
	}
	return p.run.pid
}

// Name is the command's.
func (p *Process) Name() string { return p.command.Name }

// LogFile is the command's.
func (p *Process) LogFile() string { return p.command.LogFile }

// LogTail is the last lines of the log, for messages; at most 8 KiB of them.
func (p *Process) LogTail(lines int) string {
	f, err := os.Open(p.command.LogFile)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = f.Close() }() // it was only read
	const most = 8 << 10
	size, err := f.Seek(0, 2)
	if err != nil {
		return err.Error()
	}
	tail := make([]byte, min(size, most))
	if _, err := f.ReadAt(tail, size-int64(len(tail))); err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimRight(string(tail), "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// launch starts one life of command.
func launch(command Command) (*run, error) {
	if err := os.MkdirAll(filepath.Dir(command.LogFile), 0o755); err != nil {
		return nil, err
	}
	log, err := os.OpenFile(command.LogFile, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }() // the program has its own copy
	//nolint:noctx // the program outlives every context of its start; Stop and Kill end it
	cmd := exec.Command(command.Path, command.Args...)
	cmd.Dir = command.Dir
	cmd.Env = append(environment(), command.Env...)
	// A file, not a pipe: no goroutine to wait for, and a grandchild that keeps it open holds nothing up.
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = processAttributes()
	started := make(chan error, 1)
	launcher() <- func() { started <- cmd.Start() }
	if err := <-started; err != nil {
		return nil, err
	}
	r := &run{pid: cmd.Process.Pid, done: make(chan struct{})}
	go func() {
		r.err = cmd.Wait()
		// What the leader left in its group goes with it.
		_ = syscall.Kill(-r.pid, syscall.SIGKILL)
		close(r.done)
	}()
	return r, nil
}

// launcher starts programs from one thread that lives as long as this process. Linux sends the signal of
// a parent's death when the *thread* that started the child ends, and Go may end others.
var launcher = sync.OnceValue(func() chan<- func() {
	work := make(chan func())
	go func() {
		runtime.LockOSThread()
		for start := range work {
			start()
		}
	}()
	return work
})

// environment is this process's without KUBECONFIG.
func environment() []string {
	var kept []string
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, "KUBECONFIG=") {
			kept = append(kept, variable)
		}
	}
	return kept
}

func (r *run) exited() bool {
	select {
	case <-r.done:
		return true
	default:
		return false
	}
}

// kill ends the group and waits for it. A run that has exited is left alone: its number may be someone else's.
func (r *run) kill() {
	if !r.exited() {
		_ = syscall.Kill(-r.pid, syscall.SIGKILL) // gone already: just as well
	}
	<-r.done
}

// endedWell tells a program that ended by itself with 0, or by the SIGTERM it was sent, from one that failed.
func (r *run) endedWell() bool {
	exit, ok := errors.AsType[*exec.ExitError](r.err)
	if !ok {
		return r.err == nil
	}
	status, ok := exit.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGTERM
}

func (r *run) ending() string {
	if r.err == nil {
		return "exit status 0"
	}
	return r.err.Error()
}

func orDefault(d, standard time.Duration) time.Duration {
	if d == 0 {
		return standard
	}
	return d
}

// HTTPReady is a readiness condition: a GET of url answers 200. A nil client is http.DefaultClient.
func HTTPReady(url string, client *http.Client) func(context.Context) error {
	if client == nil {
		client = http.DefaultClient
	}
	return func(ctx context.Context) error {
		// One attempt must not eat the whole wait: a program that accepts and hangs is asked again.
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
		if err != nil {
			return err
		}
		response, err := client.Do(request)
		if err != nil {
			return err
		}
		defer func() { _ = response.Body.Close() }() // only the status counts
		if response.StatusCode != http.StatusOK {
			return fmt.Errorf("GET %s answered %s", url, response.Status)
		}
		return nil
	}
}
