// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/term"

	"github.com/turnout-ai/turnout/test/harness"
)

// revival is how long a process that ended by itself stays away: time to watch the others do without it.
const revival = 15 * time.Second

// stage is everything that runs, in the order in which it was started.
type stage struct {
	options
	binaries harness.Binaries
	plane    *harness.ControlPlane // nil with the cluster of somebody else
	// processes are the ones started here beside plane's. Two starts may be under way at once.
	mu        sync.Mutex
	processes []*harness.Process
	// farewell is said when everything has stopped.
	farewell string
}

// step says what is being done, does it, and says how long it took.
func step(title string, do func() error) error {
	begun := time.Now()
	fmt.Printf("  %-64s ", title)
	err := do()
	if errors.Is(err, context.Canceled) {
		fmt.Println("stopped")
		return err
	}
	if err != nil {
		fmt.Println("failed")
		return err
	}
	fmt.Printf("%5.1f s\n", time.Since(begun).Seconds())
	return nil
}

// buildPrograms finds or builds this project's programs.
func (s *stage) buildPrograms(ctx context.Context) error {
	title := "building operator, proxy, kubectl-turnout, modelsim"
	if os.Getenv(harness.BinariesVariable) != "" {
		title = "finding the programs in " + harness.BinariesVariable
	}
	terminal := term.IsTerminal(int(os.Stdout.Fd())) //nolint:gosec // descriptors fit an int
	return step(title, func() (err error) {
		s.binaries, err = harness.FindBinaries(ctx, func(packages int) {
			switch {
			case terminal:
				fmt.Printf("\r  %-64s %d packages compiled ", title, packages)
			case packages%250 == 0:
				fmt.Printf(" %d packages compiled,", packages)
			}
		})
		if terminal && err == nil {
			fmt.Printf("\r\033[K  %-64s ", title)
		}
		return err
	})
}

// start starts a program that strike will stop.
func (s *stage) start(ctx context.Context, command harness.Command) error {
	process, err := harness.StartProcess(ctx, command)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.processes = append(s.processes, process)
	return nil
}

// startOperator starts the operator.
func (s *stage) startOperator(ctx context.Context) error {
	var ports [2]int
	for i := range ports {
		port, err := harness.FreePort()
		if err != nil {
			return err
		}
		ports[i] = port
	}
	health := harness.LoopbackAddress(ports[0])
	return s.start(ctx, s.command("operator", s.binaries.Operator, "http://"+health+"/readyz",
		"--kubeconfig", s.kubeconfig(),
		"--health-probe-bind-address", health,
		"--metrics-bind-address", harness.LoopbackAddress(ports[1]),
		"--leader-election-namespace", "default",
	))
}

// startProxy starts the proxy.
func (s *stage) startProxy(ctx context.Context) error {
	admin := harness.LoopbackAddress(s.adminPort)
	return s.start(ctx, s.command("proxy", s.binaries.Proxy, "http://"+admin+"/readyz",
		"--kubeconfig", s.kubeconfig(),
		"--listen", harness.LoopbackAddress(s.proxyPort),
		"--admin-listen", admin,
		"--default-namespace", "default",
		"--allow-anonymous",
		// There is no load balancer to tell, and whoever presses Ctrl-C wants it to end.
		"--drain-notice", "0s", "--drain-timeout", "5s",
	))
}

func (s *stage) command(name, path, ready string, args ...string) harness.Command {
	return harness.Command{
		Name: name, Path: path, Args: args, Dir: s.root,
		LogFile: s.logs() + "/" + name + ".log",
		Ready:   harness.HTTPReady(ready, nil),
	}
}

// all are the running processes, in the order of their start.
func (s *stage) all() []*harness.Process {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []*harness.Process
	if s.plane != nil {
		all = append(all, s.plane.Etcd, s.plane.APIServer)
	}
	return append(all, s.processes...)
}

// find is the process of that name, or nil.
func (s *stage) find(name string) *harness.Process {
	for _, process := range s.all() {
		if process.Name() == name {
			return process
		}
	}
	return nil
}

// supervise brings back whatever ends by itself or is killed by a curious user, until ctx ends.
func (s *stage) supervise(ctx context.Context) {
	var watching sync.WaitGroup
	for _, process := range s.all() {
		watching.Go(func() { s.superviseOne(ctx, process) })
	}
	watching.Wait()
}

func (s *stage) superviseOne(ctx context.Context, process *harness.Process) {
	for {
		pid := process.PID()
		select {
		case <-ctx.Done():
			return
		case <-process.Exited():
		}
		fmt.Printf("%s (pid %d) has ended; it is started again in %s (log: %s)\n", process.Name(), pid, revival, s.shown(process.LogFile()))
		select {
		case <-ctx.Done():
			return
		case <-time.After(revival):
		}
		if err := process.Start(ctx); err != nil {
			if ctx.Err() == nil {
				fmt.Println(err)
			}
			continue
		}
		fmt.Printf("%s is back (pid %d)\n", process.Name(), process.PID())
	}
}

// strike stops everything, last started first, and removes what the run has written but its logs.
func (s *stage) strike(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, stopBound)
	defer cancel()
	var problems []error
	all := s.all()
	for i := range all {
		process := all[len(all)-1-i]
		if process.PID() == 0 {
			continue
		}
		select {
		case <-process.Exited():
			process.Kill() // it ended by itself: supervise has said so
		default:
			problems = append(problems, process.Stop(ctx))
			if process.Name() == "proxy" && s.plane == nil {
				problems = append(problems, s.awaitBooks(ctx))
			}
		}
	}
	if s.plane != nil {
		problems = append(problems, s.plane.Close(ctx))
	}
	problems = append(problems, os.RemoveAll(s.state()), os.RemoveAll(s.kubeconfig()))
	if len(all) > 0 {
		fmt.Printf("stopped; the logs are in %s\n", s.shown(s.logs()))
	}
	if s.farewell != "" {
		fmt.Println(s.farewell)
	}
	return errors.Join(problems...)
}
