// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package translate

import (
	"math"
	"time"

	"github.com/turnout-ai/turnout/api/v1alpha1"
	"github.com/turnout-ai/turnout/internal/modelstate"
)

// The longest lists of a report about one endpoint.
const (
	maxPeriods = 4
	maxBuckets = 64
)

// Numbers is what a proxy has counted of one endpoint.
func Numbers(from *v1alpha1.EndpointNumbers) modelstate.Numbers {
	return modelstate.Numbers{
		Endpoint:           from.UID,
		Namespace:          from.Namespace,
		Name:               from.Name,
		Quota:              PeriodUsages(from.Quota),
		Budget:             PeriodUsages(from.Budget),
		Window:             mapped(from.Window, bucket),
		FirstToken:         histogram(from.FirstToken),
		Total:              histogram(from.Total),
		Recent:             Samples(from.Recent),
		LastRequest:        fromMicro(from.LastRequest),
		LastFailure:        fromMicro(from.LastFailure),
		LastFailureMessage: from.LastFailureMessage,
	}
}

// APINumbers writes what was counted of one endpoint. Of more periods or buckets than a report can hold the
// newest are in it.
func APINumbers(from modelstate.Numbers) v1alpha1.EndpointNumbers {
	return v1alpha1.EndpointNumbers{
		UID:                from.Endpoint,
		Namespace:          from.Namespace,
		Name:               from.Name,
		Quota:              APIPeriodUsages(from.Quota),
		Budget:             APIPeriodUsages(from.Budget),
		Window:             mapped(newest(from.Window, maxBuckets), apiBucket),
		FirstToken:         apiHistogram(&from.FirstToken),
		Total:              apiHistogram(&from.Total),
		Recent:             APISamples(from.Recent),
		LastRequest:        microOrNil(from.LastRequest),
		LastFailure:        microOrNil(from.LastFailure),
		LastFailureMessage: clip(from.LastFailureMessage, maxDetail),
	}
}

// PeriodUsages reads what was used in several periods.
func PeriodUsages(list []v1alpha1.PeriodUsage) []modelstate.PeriodUsage {
	return mapped(list, PeriodUsage)
}

// APIPeriodUsages writes what was used in several periods, oldest first; of more than four the newest.
func APIPeriodUsages(list []modelstate.PeriodUsage) []v1alpha1.PeriodUsage {
	return mapped(newest(list, maxPeriods), func(p *modelstate.PeriodUsage) v1alpha1.PeriodUsage { return APIPeriodUsage(*p) })
}

// PeriodUsage reads what was used in one period.
func PeriodUsage(from *v1alpha1.PeriodUsage) modelstate.PeriodUsage {
	out := modelstate.PeriodUsage{
		Start: fromWhole(&from.Start),
		Usage: modelstate.Usage{Requests: from.Requests, Tokens: tokens(from.Tokens), Cost: Money(from.Cost)},
	}
	if e := from.Estimated; e != nil {
		out.Estimated = modelstate.Estimate{Requests: e.Requests, Tokens: tokens(e.Tokens), Cost: Money(e.Cost)}
	}
	return out
}

// APIPeriodUsage writes what was used in one period.
func APIPeriodUsage(from modelstate.PeriodUsage) v1alpha1.PeriodUsage {
	out := v1alpha1.PeriodUsage{
		Start:    whole(from.Start),
		Requests: count(from.Requests),
		Tokens:   apiTokens(from.Tokens),
		Cost:     moneyOrNone(from.Cost),
	}
	if e := from.Estimated; e != (modelstate.Estimate{}) {
		out.Estimated = &v1alpha1.EstimatedUsage{Requests: count(e.Requests), Tokens: apiTokens(e.Tokens), Cost: moneyOrNone(e.Cost)}
	}
	return out
}

func tokens(from v1alpha1.TokenCounts) modelstate.Tokens {
	return modelstate.Tokens{Input: from.Input, CachedInput: from.CachedInput, Output: from.Output, Reasoning: from.Reasoning}
}

func apiTokens(from modelstate.Tokens) v1alpha1.TokenCounts {
	return v1alpha1.TokenCounts{
		Input: count(from.Input), CachedInput: count(from.CachedInput), Output: count(from.Output), Reasoning: count(from.Reasoning),
	}
}

func bucket(from *v1alpha1.WindowBucket) modelstate.Bucket {
	return modelstate.Bucket{
		Start: time.Unix(from.Start, 0).UTC(), Epoch: from.Epoch, Attempts: from.Attempts, Failures: from.Failures,
	}
}

func apiBucket(from *modelstate.Bucket) v1alpha1.WindowBucket {
	return v1alpha1.WindowBucket{
		Start: count(from.Start.Unix()), Epoch: count(from.Epoch), Attempts: count(from.Attempts), Failures: count(from.Failures),
	}
}

// histogram reads the classes that exist.
func histogram(classes []v1alpha1.LatencyClass) modelstate.Histogram {
	var out modelstate.Histogram
	for _, c := range classes {
		if c.Class >= 0 && int(c.Class) < len(out) {
			out[c.Class] = uint32(min(count(c.Count), math.MaxUint32))
		}
	}
	return out
}

// apiHistogram writes the classes that were counted.
func apiHistogram(from *modelstate.Histogram) []v1alpha1.LatencyClass {
	var out []v1alpha1.LatencyClass
	for class, n := range from {
		if n > 0 {
			out = append(out, v1alpha1.LatencyClass{Class: int32(class), Count: int64(n)})
		}
	}
	return out
}

// Samples reads a latency history.
func Samples(list []v1alpha1.LatencySample) []modelstate.Sample { return mapped(list, Sample) }

// APISamples writes a latency history, newest first; of more than MaxSamples the first.
func APISamples(list []modelstate.Sample) []v1alpha1.LatencySample {
	return mapped(first(list, modelstate.MaxSamples), func(s *modelstate.Sample) v1alpha1.LatencySample { return APISample(*s) })
}

// Sample reads one successful attempt.
func Sample(from *v1alpha1.LatencySample) modelstate.Sample {
	return modelstate.Sample{
		At:         fromMicro(&from.Time),
		FirstToken: milliseconds(valueOr(from.FirstToken, 0)),
		Total:      milliseconds(from.Total),
	}
}

// APISample writes one successful attempt in whole milliseconds. They are rounded up, so that a first token
// that came at once does not look like none.
func APISample(from modelstate.Sample) v1alpha1.LatencySample {
	out := v1alpha1.LatencySample{Time: micro(from.At), Total: apiMilliseconds(from.Total)}
	if from.FirstToken > 0 {
		out.FirstToken = new(apiMilliseconds(from.FirstToken))
	}
	return out
}

// milliseconds is a length of time that was written as so many, as far as one can be held.
func milliseconds(n int64) time.Duration {
	const most = math.MaxInt64 / int64(time.Millisecond)
	return time.Duration(min(max(n, 0), most)) * time.Millisecond
}

func apiMilliseconds(d time.Duration) int64 {
	ms := int64(max(d, 0) / time.Millisecond)
	if d > 0 && d%time.Millisecond > 0 {
		ms++
	}
	return ms
}
