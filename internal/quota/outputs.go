// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package quota

import (
	"math/bits"
	"sync/atomic"
)

const (
	// FirstOutput is how long answers are taken to be before there were any, in tokens.
	FirstOutput = 1024
	// outputsKnown is how many answers it takes to know better, outputsKept how many count in full.
	outputsKnown, outputsKept = 8, 512
	// outputClasses are four to each power of two.
	outputClasses = 4 * 32
)

// Outputs know how long the recent answers of an endpoint were. The zero value knows of none. Its methods take no
// lock and may be called from anywhere; of answers that come at the same time one may be missed.
type Outputs struct {
	classes [outputClasses]atomic.Uint32
	count   atomic.Uint32
	p95     atomic.Int64
}

// Add takes note of an answer.
func (o *Outputs) Add(tokens int64) {
	o.classes[classOf(tokens)].Add(1)
	n := o.count.Add(1)
	if n < outputsKnown || n%outputsKnown != 0 {
		return
	}
	if n >= outputsKept {
		for i := range o.classes {
			o.classes[i].Store(o.classes[i].Load() / 2)
		}
		o.count.Store(n / 2)
	}
	o.p95.Store(o.quantile(95))
}

// P95 is what 95 of 100 recent answers did not exceed, at most a quarter too large; FirstOutput before that is known.
func (o *Outputs) P95() int64 {
	if p := o.p95.Load(); p > 0 {
		return p
	}
	return FirstOutput
}

func (o *Outputs) quantile(percent uint64) int64 {
	var total, seen uint64
	for i := range o.classes {
		total += uint64(o.classes[i].Load())
	}
	for i := range o.classes {
		if seen += uint64(o.classes[i].Load()); seen*100 >= total*percent {
			return upperEnd(i)
		}
	}
	return FirstOutput
}

// classOf is the class of a length: four to each power of two.
func classOf(tokens int64) int {
	v := uint64(max(tokens, 1))
	if v < 4 {
		return int(v)
	}
	exponent := bits.Len64(v) - 1
	class := 4*(exponent-1) + int(v>>(exponent-2))&3
	return min(class, outputClasses-1)
}

// upperEnd is the largest length of a class.
func upperEnd(class int) int64 {
	if class < 4 {
		return int64(max(class, 1))
	}
	exponent := class/4 + 1
	return int64(4+class%4+1)<<(exponent-2) - 1
}
