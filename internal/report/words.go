// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"encoding/json"
	"slices"

	"github.com/turnout-ai/turnout/api/v1alpha1"
	"github.com/turnout-ai/turnout/internal/modelstate"
	"github.com/turnout-ai/turnout/internal/quota"
	"github.com/turnout-ai/turnout/internal/translate"
)

const (
	// MaxSignals bounds the signals in a status.
	MaxSignals = 64
	// MaxAsks bounds the asks.
	MaxAsks = 64
	// MaxWordBytes bounds both together, as JSON.
	MaxWordBytes = 16 << 10
)

// words are what a status says of endpoints: as much as there is room for.
type words struct {
	signals []v1alpha1.EndpointSignal
	asks    []v1alpha1.EndpointAsk
	// more says that something was left out. It waits for what is said to be answered, or to end.
	more bool
	// size is that of both as JSON, known is what they speak of.
	size  int
	known map[word]bool
}

// word is a signal or an ask of an endpoint. The API refuses a status that has one twice, and all that is in it.
type word struct {
	uid string
	ask bool
}

// choose takes the asks for which a request waits and that have no answer, then the signals, then what else there is to say about leases:
// that is only for later.
func choose(signals []modelstate.Signal, asks []quota.EndpointAsk) words {
	w := words{size: len("[][]"), known: map[word]bool{}}
	for i := range asks {
		if asks[i].Unheard {
			w.ask(asks[i])
		}
	}
	for _, s := range signals {
		signal := translate.APISignal(s)
		if w.room(word{uid: signal.UID}, &signal, len(w.signals) < MaxSignals) {
			w.signals = append(w.signals, signal)
		}
	}
	for i := range asks {
		if !asks[i].Unheard {
			w.ask(asks[i])
		}
	}
	return w
}

// withoutDemand is what is said of leases: who leaves will use nothing.
func withoutDemand(asks []quota.EndpointAsk) []quota.EndpointAsk {
	kept := slices.DeleteFunc(slices.Clone(asks), func(a quota.EndpointAsk) bool { return len(a.Asks) == 0 })
	for i := range kept {
		kept[i].Demand = nil
	}
	return kept
}

func (w *words) ask(a quota.EndpointAsk) {
	ask := translate.APIAsk(a)
	w.more = w.more || len(ask.Limits) < len(a.Asks) // The API allows no more of them in one ask.
	if w.room(word{uid: ask.UID, ask: true}, &ask, len(w.asks) < MaxAsks) {
		w.asks = append(w.asks, ask)
	}
}

// room makes room for a word, if there is any.
func (w *words) room(name word, value any, free bool) bool {
	if w.known[name] {
		return false
	}
	size := sizeOf(value) + len(",")
	if !free || w.size+size > MaxWordBytes {
		w.more = true
		return false
	}
	w.size += size
	w.known[name] = true
	return true
}

// sizeOf is the length of a value as JSON.
func sizeOf(value any) int {
	data, err := json.Marshal(value)
	if err != nil {
		return 0 // Values of the API can be marshaled.
	}
	return len(data)
}
