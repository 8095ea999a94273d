// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// BinariesVariable names a folder whose operator, proxy, kubectl-turnout and modelsim are used as they are,
// instead of building this checkout's: for a release candidate, or a build with other flags.
const BinariesVariable = "TURNOUT_BINARIES"

// Binaries are the paths of this project's programs.
type Binaries struct {
	Operator, Proxy, KubectlTurnout, ModelSim string
}

// names are the programs' and their packages' names under cmd/.
var names = []string{"operator", "proxy", "kubectl-turnout", "modelsim"}

func binariesIn(dir string) Binaries {
	return Binaries{
		Operator:       filepath.Join(dir, "operator"),
		Proxy:          filepath.Join(dir, "proxy"),
		KubectlTurnout: filepath.Join(dir, "kubectl-turnout"),
		ModelSim:       filepath.Join(dir, "modelsim"),
	}
}

// FindBinaries gives the programs in TURNOUT_BINARIES, or builds those of this checkout into bin/: seconds
// when little has changed, minutes the first time. compiled, if not nil, is told how many packages have been
// compiled so far.
func FindBinaries(ctx context.Context, compiled func(packages int)) (Binaries, error) {
	if dir := os.Getenv(BinariesVariable); dir != "" {
		for _, name := range names {
			if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
				return Binaries{}, fmt.Errorf("there is no %s in %s, which %s names; put it there, or unset %s to build this checkout's",
					name, dir, BinariesVariable, BinariesVariable)
			}
		}
		return binariesIn(dir), nil
	}
	root, err := Root()
	if err != nil {
		return Binaries{}, err
	}
	dir := filepath.Join(root, "bin")
	if err := build(ctx, root, dir, compiled); err != nil {
		return Binaries{}, fmt.Errorf("building %s: %w", strings.Join(names, ", "), err)
	}
	return binariesIn(dir), nil
}

// build lets the go command write into dir, one caller at a time. Its scratch folder is inside dir, so that
// it puts finished programs in place by renaming: those that run keep their file.
func build(ctx context.Context, root, dir string, compiled func(packages int)) (err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	unlock, err := lock(filepath.Join(dir, ".build.lock"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	scratch, err := os.MkdirTemp(dir, ".build-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(scratch)) }()

	arguments := []string{"build", "-v", "-o", dir + string(filepath.Separator)}
	for _, name := range names {
		arguments = append(arguments, "./cmd/"+name)
	}
	cmd := exec.CommandContext(ctx, "go", arguments...)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "GOTMPDIR="+scratch)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	var packages int
	var said []string
	lines := bufio.NewScanner(stderr)
	for lines.Scan() {
		// With -v every compiled package is a line of its own; whatever else is said is about an error.
		if line := lines.Text(); strings.ContainsAny(line, " \t:") {
			said = append(said, line)
		} else if packages++; compiled != nil {
			compiled(packages)
		}
	}
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("%w:\n%s", err, strings.Join(said, "\n"))
	}
	return nil
}

// lock waits until this process alone holds the file; the kernel gives it back when the process dies.
func lock(path string) (unlock func() error, err error) { return flock(path, syscall.LOCK_EX) }

// TryLock makes this process the only one that holds the file, or fails at once with ErrLocked. The kernel
// gives the lock back when the process dies; unlock does so before.
func TryLock(path string) (unlock func() error, err error) {
	return flock(path, syscall.LOCK_EX|syscall.LOCK_NB)
}

// ErrLocked says that another process holds a lock.
var ErrLocked = errors.New("another process holds the lock")

func flock(path string, how int) (unlock func() error, err error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(file.Fd()), how); err != nil { //nolint:gosec // descriptors fit an int
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = ErrLocked
		}
		return nil, errors.Join(fmt.Errorf("locking %s: %w", path, err), file.Close())
	}
	return file.Close, nil
}
