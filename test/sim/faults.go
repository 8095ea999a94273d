// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package sim

import "time"

// callKind is what somebody asks the API server for.
type callKind uint8

// The kinds of calls: those of proxies, and those of operators.
const (
	createInstance callKind = iota
	readInstance
	listInstances
	writeSignals
	markEnded
	createPage
	readPage
	writePage
	createLease
	readLease
	renewLease
	deleteLease

	writeStatus
	copyGrants
	instruct
	deleteInstance
	sealPage
	readEndpoint
	readPod
	readPulse
	listLive
	releasePage
	releaseInstance
	userEdit
	callKinds
)

// deeds are the kinds in words.
var deeds = [callKinds]string{
	createInstance: "its registration", readInstance: "its look at its instance", listInstances: "its look for elders",
	writeSignals: "its report", markEnded: "its word that an instance has ended", createPage: "its new page",
	readPage: "its look at a page", writePage: "its page of numbers", createLease: "its new Lease", readLease: "its look at its Lease",
	renewLease: "the renewal of its Lease", deleteLease: "the removal of its Lease",
	writeStatus: "its write of an endpoint's status", copyGrants: "its copy of grants", instruct: "its instruction",
	deleteInstance: "its deletion of an instance", sealPage: "its seal", readEndpoint: "its look at an endpoint",
	readPod: "its look at a Pod", readPulse: "its look at a Lease", listLive: "its look at who is there",
	releasePage: "its release of a page", releaseInstance: "its release of an instance", userEdit: "an edit",
}

func (k callKind) deed() string { return deeds[k] }

// weather is how much goes wrong in a world: odds of 1,024 cases.
type weather struct {
	calls, watches, lags uint32
	// crashes says that calls may end in a crash.
	crashes bool
}

// script says how calls and watches go where that is not left to chance.
type script struct {
	call  func(a *actor, kind callKind, f *fault)
	watch func(a *actor, of kind) (after int64)
	// seen is told of everything that is stored.
	seen func(s *store, k kind, old, next object)
}

// fault is how one call goes.
type fault struct {
	// request and answer are how long they take; again is when the request comes a second time, 0 for never.
	request, answer, again int64
	// lost requests never come, deaf calls get no answer.
	lost, deaf                bool
	crashAsked, crashAnswered bool
}

func (w *world) fault(a *actor, kind callKind) fault {
	f := fault{request: oneWay, answer: oneWay}
	if w.script.call != nil {
		w.script.call(a, kind, &f)
		return f
	}
	drawn := w.chance.draw(a.id, calls+what(kind), w.weather.calls)
	if drawn == 0 {
		return f
	}
	sort := below(&drawn, 100)
	switch {
	case sort < 35:
		f.request += int64(below(&drawn, uint64(100*time.Millisecond)))
		f.answer += int64(below(&drawn, uint64(100*time.Millisecond)))
	case sort < 48:
		f.request += int64(below(&drawn, uint64(4*time.Second)))
		f.answer += int64(below(&drawn, uint64(4*time.Second)))
	case sort < 58:
		f.request = timeout + int64(below(&drawn, uint64(5*time.Minute)))
	case sort < 66:
		f.lost = true
	case sort < 80:
		f.deaf = true
	case sort < 92:
		f.again = f.request + int64(below(&drawn, uint64(4*time.Minute)))
	case w.weather.crashes:
		f.crashAsked = sort < 96
		f.crashAnswered = !f.crashAsked
	}
	return f
}

// delivery is how long news take to somebody who watches, and whether the connection breaks meanwhile, so that only
// the newest of them arrive.
func (w *world) delivery(a *actor, of kind) (after int64, skips bool) {
	if w.script.watch != nil {
		return w.script.watch(a, of), false
	}
	drawn := w.chance.draw(a.id, watches, w.weather.watches)
	if drawn == 0 {
		return int64(3 * time.Millisecond), false
	}
	switch sort := below(&drawn, 100); {
	case sort < 60:
		after = int64(below(&drawn, uint64(150*time.Millisecond)))
	case sort < 85:
		after = int64(below(&drawn, uint64(20*time.Second)))
	default:
		after = int64(below(&drawn, uint64(longestStale)))
	}
	return after, below(&drawn, 4) == 0
}

// longestStale bounds how old what somebody sees can be: the record of who was taken into the books rests on
// modelstate.FoldMemory being longer.
const longestStale = 5 * time.Minute
