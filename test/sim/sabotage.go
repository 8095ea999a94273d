// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package sim

// sabotage is something that is done wrong on purpose, to see that it does not go unnoticed.
type sabotage uint8

// The sabotages.
const (
	none sabotage = iota
	// noLock: statuses are written whatever version is stored.
	noLock
	// copiedFirst: grants are copied before the ledger is stored.
	copiedFirst
	// fromMemory: after a conflict grants are copied all the same.
	fromMemory
	// adoption: a process goes on under the instance that an earlier one of its Pod has left.
	adoption
	// deadReturn: what a dead proxy was lent is taken for given back.
	deadReturn
	// believedDeadReturn: so is that of one that may live.
	believedDeadReturn
	// tookBack: a proxy uses what it has given back.
	tookBack
	// minimum: copies keep the smaller of two numbers.
	minimum
	// anyPeriod: a proxy takes any grant for one of the current period.
	anyPeriod
	// byName: books are kept by the name of the endpoint.
	byName
	// forgotSpent: a proxy forgets its purses when an endpoint leaves its table.
	forgotSpent
	// keptGrants: a proxy that is believed dead keeps what it was lent.
	keptGrants
	// oldEvidence: epochs of evidence are not looked at.
	oldEvidence
	// doubledTwice: each trip counts twice.
	doubledTwice
	// prunedEarly: a UID leaves the record as soon as the instance is gone.
	prunedEarly
	// unsealed: pages are taken in without being sealed.
	unsealed
	// foldedTwice: the record is not looked at.
	foldedTwice
	// closedTwice: a lease is charged twice.
	closedTwice
	// neverClosed: a lease is never closed.
	neverClosed
	// releasedEarly: objects go before their numbers are in the books.
	releasedEarly
	// refundedSent: what was sent and failed is given back.
	refundedSent
	// bookedAtEnd: an attempt counts in the period in which it ends.
	bookedAtEnd
	// neverWanted: nobody is told that others need something.
	neverWanted
	// neverAnswered: wishes are not answered.
	neverAnswered
	// endlessRest: a rest of a proxy never ends.
	endlessRest
	// openedPast: accounts of periods that are over are opened anew.
	openedPast
	// carriedTwice: a proxy that registers anew reports again what it has reported.
	carriedTwice
	// unsettled: what an attempt used beyond what it set aside is forgotten.
	unsettled
	// idleWrites: statuses are written whether or not they differ.
	idleWrites
	// neverCopied: a new leader does not copy what its predecessor could not.
	neverCopied
	// neverReturned: an idle proxy gives nothing back.
	neverReturned
	// forgottenFold: the base is not kept.
	forgottenFold
	// staleFold: what is taken in is what a cache holds.
	staleFold
	// hastyAbsence: whoever is not in an old list counts as gone.
	hastyAbsence
	sabotages
)

// occasions are what has to happen for sabotages to show that show seldom.
var occasions = [sabotages]occasion{
	fromMemory:   {more: []mishap{secondLeader, handOver}},
	byName:       {more: []mishap{recreate}},
	forgotSpent:  {more: []mishap{recreate, recreate}},
	keptGrants:   {more: []mishap{cutOffProxy, losePod}},
	oldEvidence:  {more: []mishap{failProvider, failProvider}},
	doubledTwice: {more: []mishap{failProvider, failProvider}},
	prunedEarly:  {more: []mishap{killProxy, handOver, killOperator}},
	unsealed:     {more: []mishap{cutOffProxy, losePod, stopProxy}},
	refundedSent: {more: []mishap{failProvider, failProvider}},
	endlessRest:  {more: []mishap{failProvider}},
	carriedTwice: {more: []mishap{cutOffProxy, losePod}},
	staleFold:    {more: []mishap{stopProxy, killProxy}},
	unsettled:    {tight: true},
}

// occasion is what a world is like in which something shows.
type occasion struct {
	// more are things that happen more often.
	more []mishap
	// tight limits are of tokens, and small.
	tight bool
}

// bad reports whether something is to be done wrong here, if there is an occasion.
func (w *world) bad(s sabotage, occasion bool) bool { return w.sabotage == s && occasion }
