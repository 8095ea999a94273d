// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package modelsim

import (
	"encoding/json"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestALimitFillsUpAgain runs the limiter on a clock of its own.
func TestALimitFillsUpAgain(t *testing.T) {
	limits := limiter{requests: 60, buckets: map[bucketKey]*bucket{}}
	now := time.Unix(1_000_000, 0)
	admitted := func(after time.Duration, attempts int) (count int, wait time.Duration) {
		now = now.Add(after)
		for range attempts {
			verdict := limits.take(now, bucketKey{}, 1)
			if verdict.ok {
				count++
			}
			wait = verdict.wait
		}
		return count, wait
	}
	type got struct {
		Count int
		Wait  time.Duration
	}
	var all []got
	for _, step := range []struct {
		after    time.Duration
		attempts int
	}{{0, 100}, {time.Second, 5}, {10 * time.Second, 20}, {time.Hour, 100}} {
		count, wait := admitted(step.after, step.attempts)
		all = append(all, got{count, wait})
	}
	want := []got{{60, time.Second}, {1, time.Second}, {10, time.Second}, {60, time.Second}}
	if diff := cmp.Diff(want, all); diff != "" {
		t.Errorf("admitted and wait (-want +got):\n%s", diff)
	}
}

func TestInstancesOfSchemas(t *testing.T) {
	tests := []struct{ name, schema, want string }{
		{"an enum of one", `{"enum":["a"]}`, `"a"`},
		{"a constant", `{"const":{"x": 1}}`, `{"x":1}`},
		{"bounds leave one number", `{"type":"integer","minimum":4,"maximum":4}`, `4`},
		{"an exclusive minimum", `{"type":"number","exclusiveMinimum":4,"maximum":5}`, `5`},
		{"a maximum below zero", `{"type":"integer","maximum":-3,"minimum":-3}`, `-3`},
		{"a format", `{"type":"string","format":"date"}`, `"2026-01-02"`},
		{"the first of several types", `{"type":["boolean","null"],"const":true}`, `true`},
		{"items as many as needed", `{"type":"array","minItems":2,"items":{"const":1}}`, `[1,1]`},
		{"members in the order of the schema", `{"type":"object","properties":{"z":{"const":1},"a":{"const":2}}}`, `{"z":1,"a":2}`},
		{"a reference", `{"$ref":"#/definitions/x","definitions":{"x":{"const":7}}}`, `7`},
		{"a reference to nothing", `{"$ref":"#/$defs/x"}`, `null`},
		{"a reference to itself ends", `{"$ref":"#"}`, `null`},
		{"nothing can be known of false", `false`, ``},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := instance(seeded(), []byte(tt.schema))
			if tt.want != "" && got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
		})
	}
}

func TestARecursiveSchemaEnds(t *testing.T) {
	schema := `{"$ref":"#/$defs/node","$defs":{"node":{"type":"object","properties":{"child":{"anyOf":[{"$ref":"#/$defs/node"},{"type":"null"}]},"list":{"type":"array","items":{"$ref":"#/$defs/node"}}}}}}`
	if got := instance(seeded(), []byte(schema)); len(got) > 1<<16 {
		t.Errorf("%d bytes", len(got))
	}
}

func FuzzInstance(f *testing.F) {
	for _, seed := range []string{
		`{"type":"object","properties":{"a":{"type":"string","minLength":3,"maxLength":9}}}`,
		`{"type":"array","minItems":3,"items":{"type":["integer","null"]}}`, `{"anyOf":[{"$ref":"#"},{"const":null}]}`, `[]`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, schema []byte) {
		if got := instance(seeded(), schema); !validJSON(got) {
			t.Errorf("%q gives %q", schema, got)
		}
	})
}

func TestProseHasAsManyTokensAsAsked(t *testing.T) {
	for tokens := range 100 {
		if got := len(prose(seeded(), tokens)); got != tokens {
			t.Errorf("%d tokens, want %d", got, tokens)
		}
	}
}

func seeded() *rand.Rand { return rand.New(rand.NewPCG(1, 2)) }

func validJSON(text string) bool { return json.Valid([]byte(text)) }
