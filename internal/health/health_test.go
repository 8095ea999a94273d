// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package health

import (
	"sync"
	"testing"
	"time"

	"github.com/turnout-ai/turnout/internal/routing"
)

const second = int64(time.Second)

func TestRest(t *testing.T) {
	for name, c := range map[string]struct {
		happens func(e *Endpoint)
		at      int64 // now, in seconds
		want    int64 // resting until, in seconds; 0: does not rest
	}{
		"two failures do not rest an endpoint": {func(e *Endpoint) { e.Failure(0); e.Failure(1 * second) }, 2, 0},
		"three in a row do":                    {func(e *Endpoint) { e.Failure(0); e.Failure(0); e.Failure(1 * second) }, 2, 61},
		"a success between them starts anew":   {func(e *Endpoint) { e.Failure(0); e.Failure(0); e.Success(0); e.Failure(0) }, 2, 0},
		"the rest runs out":                    {func(e *Endpoint) { e.Failure(0); e.Failure(0); e.Failure(0) }, 60, 0},
		"a failure after it rests it at once":  {func(e *Endpoint) { e.Failure(0); e.Failure(0); e.Failure(0); e.Failure(70 * second) }, 71, 130},
		"an older failure never shortens it":   {func(e *Endpoint) { e.Failure(0); e.Failure(0); e.Failure(50 * second); e.Failure(1 * second) }, 51, 110},
		"a success ends it":                    {func(e *Endpoint) { e.Failure(0); e.Failure(0); e.Failure(0); e.Success(1) }, 2, 0},
		"a provider's wish is kept":            {func(e *Endpoint) { e.RateLimited(0, 20*time.Second) }, 2, 20},
		"a shorter wish does not shorten it":   {func(e *Endpoint) { e.RateLimited(0, 20*time.Second); e.RateLimited(1*second, time.Second) }, 2, 20},
		"a longer wish lengthens it":           {func(e *Endpoint) { e.RateLimited(0, 20*time.Second); e.RateLimited(1*second, 60*time.Second) }, 2, 61},
		"an absurd wish is capped at an hour":  {func(e *Endpoint) { e.RateLimited(0, 365*24*time.Hour) }, 2, 3600},
		"a success does not end a wish":        {func(e *Endpoint) { e.RateLimited(0, 20*time.Second); e.Success(1 * second) }, 2, 20},
		"the later of the two rests counts":    {func(e *Endpoint) { e.RateLimited(0, 90*time.Second); e.Failure(0); e.Failure(0); e.Failure(0) }, 2, 90},
	} {
		t.Run(name, func(t *testing.T) {
			v := &View{endpoints: []*Endpoint{{}}}
			c.happens(v.Endpoint(0))
			until, resting := v.Resting(0, c.at*second)
			if resting != (c.want != 0) || resting && until != c.want*second {
				t.Errorf("resting %v until %d s, want %d s", resting, until/second, c.want)
			}
		})
	}
}

// table builds a table with one endpoint and one round-robin policy.
func table(change func(*routing.EndpointSpec)) *routing.Table {
	e := routing.EndpointSpec{
		Key: routing.Key{Namespace: "n", Name: "a"}, UID: "1", Format: routing.FormatOpenAI, URL: "https://a.example.com/v1",
		Model: "m", Capabilities: []string{"chat-completion"}, Delivery: routing.Synchronous,
		Credential: routing.Credential{Header: "Authorization", Value: "Bearer 1"},
	}
	change(&e)
	return routing.Build(routing.Input{
		Endpoints: []routing.EndpointSpec{e},
		Policies: []routing.PolicySpec{{
			Key: routing.Key{Namespace: "n", Name: "p"}, UID: "p", Models: []string{"chat"}, Attempts: 1,
			Tiers: []routing.TierSpec{{Endpoints: []string{"a"}, Strategy: routing.RoundRobin}},
		}},
	})
}

func TestHealthOutlivesATableAndNotAnIdentity(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*routing.EndpointSpec)
		want   int32 // failures that are remembered
	}{
		"nothing changed":               {func(*routing.EndpointSpec) {}, 2},
		"labels changed":                {func(e *routing.EndpointSpec) { e.Labels = map[string]string{"a": "b"} }, 2},
		"capabilities changed":          {func(e *routing.EndpointSpec) { e.Capabilities = []string{"ocr"} }, 2},
		"the url changed":               {func(e *routing.EndpointSpec) { e.URL = "https://b.example.com/v1" }, 0},
		"the model changed":             {func(e *routing.EndpointSpec) { e.Model = "n" }, 0},
		"the credential changed":        {func(e *routing.EndpointSpec) { e.Credential.Value = "Bearer 2" }, 0},
		"it was deleted and re-created": {func(e *routing.EndpointSpec) { e.UID = "2" }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			r := NewRegistry()
			before := r.Bind(table(func(*routing.EndpointSpec) {}))
			before.Endpoint(0).Failure(1)
			before.Endpoint(0).Failure(1)
			before.NextTurn(0)
			after := r.Bind(table(c.change))
			if got := after.Endpoint(0).Read(1).ConsecutiveFailures; got != c.want {
				t.Errorf("%d failures are remembered, want %d", got, c.want)
			}
			if turn := after.NextTurn(0); turn != 1 {
				t.Errorf("the next turn is %d, want 1: a new table takes no turn from anybody", turn)
			}
		})
	}
}

func TestWhatLeftTheTableIsForgotten(t *testing.T) {
	r := NewRegistry()
	r.Bind(table(func(*routing.EndpointSpec) {})).Endpoint(0).Failure(1)
	r.Bind(routing.Build(routing.Input{}))
	if len(r.endpoints) != 0 || len(r.turns) != 0 {
		t.Errorf("%d endpoints and %d turns are kept for an empty table", len(r.endpoints), len(r.turns))
	}
}

func TestManyAttemptsAtOnceLoseNothing(t *testing.T) {
	e := &Endpoint{}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range int64(1000) {
				e.Begin()
				e.RateLimited(0, time.Duration(i))
				e.Failure(i)
				e.End()
			}
		})
	}
	wg.Wait()
	got := e.Read(0)
	if got.InFlight != 0 || got.ConsecutiveFailures != 8000 || e.AskedUntil() != 999 {
		t.Errorf("in flight %d, failures %d, asked until %d; want 0, 8000, 999", got.InFlight, got.ConsecutiveFailures, e.AskedUntil())
	}
	if until := got.CooldownUntil.UnixNano(); until != 999+int64(Cooldown) {
		t.Errorf("cooldown until %d, want that of the latest failure", until)
	}
}

func BenchmarkRestingAndSuccess(b *testing.B) {
	v := &View{endpoints: []*Endpoint{{}}}
	b.ReportAllocs()
	for b.Loop() {
		if _, resting := v.Resting(0, 1); resting {
			b.Fatal("rests")
		}
		v.Endpoint(0).Success(1)
	}
}
