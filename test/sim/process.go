// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"errors"
	"iter"
	"time"
)

// maxActors is how many can take part in one world: the world itself, proxies, operators.
const maxActors = 16

// actor is somebody with a place and a clock. Processes come and go in it.
type actor struct {
	w    *world
	id   uint8
	name string
	// skew is how far its clock is ahead.
	skew int64
	// cutOff is until when nothing passes between it and the API server, paused until when it does not run.
	cutOff, paused int64
}

// now is the time by the actor's clock.
func (a *actor) now() time.Time { return moment(a.w.now + a.skew) }

// connected reports whether a message between the actor and the API server gets through now.
func (a *actor) connected() bool { return a.w.now >= a.cutOff && a.w.now >= a.w.apiDown }

// reconnects is when messages get through again.
func (a *actor) reconnects() int64 { return max(a.cutOff, a.w.apiDown) }

// process is one life of a program.
type process struct {
	*actor
	alive bool
	// threads run one at a time, from one wait to the next.
	threads []*thread
	// watchers are what it follows.
	watchers []*watcher
}

// killed unwinds a thread whose process has died.
type killed struct{}

// thread is a line of control of a process. It is written as the real one is, from top to bottom; whenever it waits
// for time or for an answer, everything else goes on.
type thread struct {
	of    *process
	next  func() (struct{}, bool)
	stop  func()
	yield func(struct{}) bool
	// waits counts the waits that are over: what comes for one of them comes too late. sleeping says that it may be
	// woken.
	waits    uint64
	sleeping bool
}

// start begins a thread.
func (p *process) start(body func(t *thread)) *thread {
	t := &thread{of: p}
	t.next, t.stop = iter.Pull(func(yield func(struct{}) bool) {
		t.yield = yield
		defer func() {
			if r := recover(); r != nil && r != any(killed{}) {
				panic(r)
			}
		}()
		body(t)
	})
	p.threads = append(p.threads, t)
	p.w.after(0, t.resumption())
	return t
}

// kill ends the process between two steps: it is only called while none of its threads runs.
func (p *process) kill() {
	p.alive = false
	for _, t := range p.threads {
		t.stop()
	}
	for _, watcher := range p.watchers {
		watcher.stop()
	}
}

// resumption goes on with the thread, if it is still at the wait that it is at now.
func (t *thread) resumption() func() {
	wait := t.waits
	var resume func()
	resume = func() {
		switch p := t.of; {
		case !p.alive || t.waits != wait:
		case p.w.now < p.paused:
			p.w.at(p.paused, resume)
		default:
			t.waits++
			t.sleeping = false
			t.next()
		}
	}
	return resume
}

// wait lets everything else go on until the thread is resumed.
func (t *thread) wait() {
	if !t.yield(struct{}{}) {
		panic(killed{})
	}
}

// sleep waits until a time by the actor's clock, or until the thread is nudged.
func (t *thread) sleep(until time.Time) {
	t.sleeping = true
	t.of.w.at(until.UnixNano()-epoch-t.of.skew, t.resumption())
	t.wait()
}

// nudge wakes the thread if it sleeps.
func (t *thread) nudge() {
	if t != nil && t.sleeping {
		t.sleeping = false
		t.of.w.after(0, t.resumption())
	}
}

// The answers of an API server. Everything but errUnknown is one: it has not done what it was asked for.
var (
	errNotFound = errors.New("not found")
	errConflict = errors.New("conflict")
	errExists   = errors.New("already exists")
	// errUnknown: nobody knows whether it was done, or still will be.
	errUnknown = errors.New("no answer")
)

// refused reports whether the API server has answered that it did not do what it was asked for.
func refused(err error) bool { return err != nil && !errors.Is(err, errUnknown) }

const (
	// oneWay is how long a message usually takes, timeout how long its sender waits for the answer.
	oneWay  = int64(2 * time.Millisecond)
	timeout = int64(10 * time.Second)
)

// call asks the API server to do something and waits for the answer. What is done there is done at another time:
// do must not read what the thread may change.
func call[T any](t *thread, kind callKind, do func(s *store) (T, error)) (T, error) {
	p, w := t.of, t.of.w
	fault := w.fault(p.actor, kind)
	wait, answered, resume := t.waits, false, t.resumption()
	var value T
	err := errUnknown
	answer := func(v T, e error) {
		if t.waits == wait && !answered {
			answered, value, err = true, v, e
			if fault.crashAnswered && !w.closing {
				w.crash(p)
				return
			}
			resume()
		}
	}
	var none T
	giveUp := func() {
		w.store.doubt(p, kind)
		answer(none, errUnknown)
	}
	if !p.connected() {
		w.after(int64(time.Second), giveUp)
	} else {
		w.after(fault.request, func() { serve(p, kind, fault, do, answer, giveUp) })
		if fault.request+fault.answer > timeout || fault.lost || fault.deaf {
			w.after(timeout, giveUp)
		}
		if fault.again > 0 {
			w.after(fault.again, func() { repeated(p, kind, do) })
		}
		if fault.crashAsked {
			w.after(0, func() { w.crash(p) })
		}
	}
	t.wait()
	return value, err
}

// serve is the API server's side of a call.
func serve[T any](p *process, kind callKind, fault fault, do func(*store) (T, error), answer func(T, error), giveUp func()) {
	w := p.w
	if fault.lost || w.now < w.apiDown {
		w.tell(p.actor, kind.deed()+" is lost on the way")
		w.after(timeout, giveUp)
		return
	}
	w.step()
	w.store.by, w.store.deed = p, kind
	v, err := do(w.store)
	if fault.request > timeout && p.w.telling {
		w.tell(p.actor, kind.deed()+" comes late")
	}
	if fault.deaf {
		w.tell(p.actor, "the answer to it is lost: "+kind.deed())
		return
	}
	w.after(fault.answer, func() {
		if !p.connected() {
			w.after(timeout, giveUp)
			return
		}
		answer(v, err)
	})
}

// repeated is a request that comes once more.
func repeated[T any](p *process, kind callKind, do func(*store) (T, error)) {
	w := p.w
	if w.now < w.apiDown {
		return
	}
	w.step()
	w.tell(p.actor, kind.deed()+" comes a second time")
	w.store.by, w.store.deed, w.store.repeats = p, kind, true
	_, _ = do(w.store)
	w.store.repeats = false
}
