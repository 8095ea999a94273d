// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package modelsim_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/turnout-ai/turnout/internal/modelsim"
)

// discard is a ResponseWriter that keeps nothing, so that the simulator is measured and not the socket.
type discard struct{ header http.Header }

func (d discard) Header() http.Header         { return d.header }
func (d discard) WriteHeader(int)             {}
func (d discard) Flush()                      {}
func (d discard) Write(p []byte) (int, error) { return len(p), nil }

func BenchmarkAnswers(b *testing.B) {
	sim, err := modelsim.New(modelsim.DefaultConfig())
	if err != nil {
		b.Fatal(err)
	}
	question := strings.Repeat("hello world ", 70)
	for name, body := range map[string]string{
		"chat":   `{"model":"sim-large","messages":[{"role":"user","content":"` + question + `"}]}`,
		"stream": `{"model":"sim-large","messages":[{"role":"user","content":"` + question + `"}],"stream":true}`,
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				request, err := http.NewRequestWithContext(b.Context(), http.MethodPost, chatPath, io.NopCloser(strings.NewReader(body)))
				if err != nil {
					b.Fatal(err)
				}
				sim.ServeHTTP(discard{http.Header{}}, request)
			}
		})
	}
}
