// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package storm

import (
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/turnout-ai/turnout/internal/modelsim"
)

// shock is what happens to the connections that are open when trouble begins.
type shock uint8

// The shocks.
const (
	// spared: they go on as they were.
	spared shock = iota
	// severed: they are reset.
	severed
	// swallowed: they stay, and so do new ones, and nothing comes through any more in either direction.
	swallowed
	// battered: all that are open are reset again and again.
	battered
	// refusing: they are reset, and new ones are refused.
	refusing
)

// toxic is one of toxiproxy's, with its attributes as JSON. It is given to every connection opened in a spell.
type toxic struct{ kind, stream, attributes string }

// The two directions of a connection in toxiproxy's words, as seen from the provider.
const (
	downstream = "downstream" // answers
	upstream   = "upstream"   // requests
)

// disorder is what is wrong with an endpoint for a while.
type disorder struct {
	name   string
	toxics []toxic
	shock  shock
	// rules are of the simulated provider.
	rules []modelsim.Rule
}

// wired reports whether the connections of an endpoint suffer, which its provider cannot know.
func (d *disorder) wired() bool { return len(d.toxics) > 0 || d.shock != spared }

// newDisorder draws trouble: of the wire, of the provider, or of both.
func newDisorder(chance *rand.Rand) disorder {
	switch draw := chance.IntN(10); {
	case draw < 4:
		return newWireDisorder(chance)
	case draw < 9:
		return newModelDisorder(chance)
	default:
		wire, model := newWireDisorder(chance), newModelDisorder(chance)
		wire.name += ", " + model.name
		wire.rules = model.rules
		return wire
	}
}

// wireDisorders are what can be wrong with connections.
var wireDisorders = []func(chance *rand.Rand) disorder{
	func(chance *rand.Rand) disorder {
		return toxicDisorder("latency", downstream, spared, fmt.Sprintf(`{"latency":%d,"jitter":%d}`, 50+chance.IntN(250), 1+chance.IntN(50)))
	},
	func(chance *rand.Rand) disorder {
		return toxicDisorder("reset_peer", downstream, severed, fmt.Sprintf(`{"timeout":%d}`, chance.IntN(150)))
	},
	func(chance *rand.Rand) disorder {
		return toxicDisorder("reset_peer", upstream, severed, fmt.Sprintf(`{"timeout":%d}`, chance.IntN(50)))
	},
	func(chance *rand.Rand) disorder {
		return toxicDisorder("slicer", downstream, severed, fmt.Sprintf(`{"average_size":%d,"size_variation":%d,"delay":%d}`, 8+chance.IntN(200), 1+chance.IntN(7), chance.IntN(200)))
	},
	func(chance *rand.Rand) disorder {
		return toxicDisorder("bandwidth", downstream, severed, fmt.Sprintf(`{"rate":%d}`, 2+chance.IntN(20)))
	},
	func(chance *rand.Rand) disorder {
		return toxicDisorder("bandwidth", upstream, severed, fmt.Sprintf(`{"rate":%d}`, 4+chance.IntN(30)))
	},
	func(chance *rand.Rand) disorder {
		return toxicDisorder("limit_data", downstream, severed, fmt.Sprintf(`{"bytes":%d}`, 1+chance.IntN(6000)))
	},
	func(chance *rand.Rand) disorder {
		return toxicDisorder("limit_data", upstream, severed, fmt.Sprintf(`{"bytes":%d}`, 1+chance.IntN(2000)))
	},
	func(chance *rand.Rand) disorder {
		return toxicDisorder("timeout", downstream, severed, fmt.Sprintf(`{"timeout":%d}`, chance.IntN(2)*(1+chance.IntN(400))))
	},
	func(chance *rand.Rand) disorder {
		d := toxicDisorder("slow_close", downstream, spared, fmt.Sprintf(`{"delay":%d}`, 200+chance.IntN(1500)))
		d.rules = []modelsim.Rule{{Fault: fmt.Sprintf("cut;after=%d", chance.IntN(6)), Probability: .5}}
		return d
	},
	func(*rand.Rand) disorder { return disorder{name: "swallowed", shock: swallowed} },
	func(*rand.Rand) disorder { return disorder{name: "battered", shock: battered} },
	func(*rand.Rand) disorder { return disorder{name: "refused", shock: refusing} },
}

func toxicDisorder(kind, stream string, s shock, attributes string) disorder {
	name := kind
	if stream == upstream {
		name += " of requests"
	}
	return disorder{name: name, shock: s, toxics: []toxic{{kind, stream, attributes}}}
}

func newWireDisorder(chance *rand.Rand) disorder {
	return wireDisorders[chance.IntN(len(wireDisorders))](chance)
}

// modelDisorders are what can be wrong with a provider, by what it looks like from outside. All of it can be mended
// by another endpoint, or by the same one later, but for what comes after the first content of a stream.
var modelDisorders = map[string][]string{
	"errors": {"500", "502;body=html", "503", "504;body=text", "529", "520;body=empty", "500;delay=150ms", "408", "425"},
	"limits": {"rate-limit;wait=300ms;form=ms", "rate-limit;wait=200ms;form=reset", "rate-limit;wait=900ms;form=seconds", "429"},
	"bodies": {"html", "empty", "error-in-200", "redirect", "204"},
	"statements": {
		"unauthorized", "payment-required", "quota", "credit-balance", "model-not-found", "region", "model-forbidden",
		"unsupported-param",
	},
	"nothing to read": {
		"empty-stream", "empty-stream;role=true", "error-frame;after=0", "cut;after=0", "cut;after=0;how=rst",
		"cut;after=0;how=clean",
	},
	"broken off": {
		"cut;after=1", "cut;after=4;how=rst", "cut;after=7;how=clean", "error-frame;after=3", "cut;after=2;how=rst",
		"stall;after=3;wait=250ms",
	},
	"silence": {"hang", "hang;wait=400ms", "hang-body", "stall;after=0", "stall;after=5", "stall;after=2;wait=2s", "pings;pause=100ms"},
	"connections": {
		"reset", "close", "reset-after", "reset-after;wait=20ms", "reset-after;wait=150ms", "!reset", "!close",
	},
}

// modelDisorderNames are the keys in order: a draw from a map would not follow from the seed.
var modelDisorderNames = []string{
	"errors", "limits", "bodies", "statements", "nothing to read", "broken off", "silence", "connections",
}

// newModelDisorder draws one to three faults of one sort, each at a share of requests; sometimes at all.
func newModelDisorder(chance *rand.Rand) disorder {
	name := modelDisorderNames[chance.IntN(len(modelDisorderNames))]
	faults := modelDisorders[name]
	d := disorder{name: name}
	for range 1 + chance.IntN(3) {
		fault, reused := strings.CutPrefix(faults[chance.IntN(len(faults))], "!")
		rule := modelsim.Rule{Fault: fault, Probability: .2 + .4*chance.Float64()}
		if reused {
			rule.Connection = modelsim.ConnectionReused
		}
		d.rules = append(d.rules, rule)
	}
	if chance.IntN(3) == 0 {
		d.rules[len(d.rules)-1].Probability = 0 // at all that the others have left
	}
	return d
}
