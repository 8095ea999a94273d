// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

// Command run is make run: a control plane, three simulated providers, the operator and a proxy on this
// machine, until Ctrl-C. With CLUSTER=current it runs the operator and the proxy against the cluster of the
// current kubeconfig context instead.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/pflag"

	"github.com/turnout-ai/turnout/test/harness"
)

// stopBound is the most that stopping everything may take; a second Ctrl-C ends it at once.
const stopBound = 45 * time.Second

func main() {
	opts, err := parseOptions(os.Args[1:])
	if errors.Is(err, pflag.ErrHelp) {
		return
	}
	if err == nil {
		err = opts.run()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "make run:", err)
		os.Exit(1)
	}
}

// run brings everything up, waits for a signal, and takes everything down again.
func (o options) run() (err error) {
	up, hurry, release := untilSignal()
	defer release()
	unlock, err := o.claimFolder()
	if err != nil {
		return err
	}
	stage := &stage{options: o}
	defer func() {
		err = errors.Join(err, stage.strike(hurry), unlock())
	}()
	if o.cluster == clusterCurrent {
		err = stage.bringUpCurrent(up)
	} else {
		err = stage.bringUpLocal(up)
	}
	if err != nil {
		if up.Err() != nil {
			return nil // asked to stop while starting: what broke is no news
		}
		return err
	}
	stage.supervise(up)
	return nil
}

// untilSignal gives two contexts: up ends with the first signal, and hurry, in which things are stopped, with
// the second Ctrl-C.
func untilSignal() (up, hurry context.Context, release func()) {
	up, down := context.WithCancel(context.Background())
	hurry, now := context.WithCancel(context.Background())
	// A closed pipe at the other end of our output (make run | head) must not end us with everything running.
	signal.Ignore(syscall.SIGPIPE)
	wanted := []os.Signal{syscall.SIGINT, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) { // nohup make run
		wanted = append(wanted, syscall.SIGHUP)
	}
	if orphaned := signalWhenOrphaned(); orphaned != nil {
		wanted = append(wanted, orphaned)
	}
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, wanted...)
	go func() {
		first := <-signals
		fmt.Printf("\n%s: stopping\n", first)
		down()
		// One Ctrl-C may arrive as several signals, from the terminal and from a program in between.
		patience := time.After(time.Second)
		for s := range signals {
			select {
			case <-patience:
				patience = nil
			default:
			}
			if s == syscall.SIGINT && patience == nil {
				now()
			}
		}
	}()
	return up, hurry, func() { down(); now() }
}

// claimFolder makes the folder for logs and state, for this run alone, and clears what a run that was
// killed has left there.
func (o options) claimFolder() (unlock func() error, err error) {
	if err := os.MkdirAll(o.dir, 0o755); err != nil {
		return nil, err
	}
	unlock, err = harness.TryLock(filepath.Join(o.dir, ".lock"))
	if errors.Is(err, harness.ErrLocked) {
		return nil, fmt.Errorf("another make run uses %s; stop it with Ctrl-C where it runs, or use another folder and other ports (--help)", o.dir)
	}
	if err != nil {
		return nil, err
	}
	return unlock, errors.Join(os.RemoveAll(o.state()), os.RemoveAll(o.logs()))
}
