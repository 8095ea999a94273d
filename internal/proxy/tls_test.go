// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package proxy_test

import (
	"crypto/x509"
	"io"
	"log"
	"net/http/httptest"
	"testing"

	"github.com/turnout-ai/turnout/internal/modelsim"
	"github.com/turnout-ai/turnout/internal/routing"
)

func TestAProviderOverTLSIsVerifiedAsItsEndpointSays(t *testing.T) {
	sim, err := modelsim.New(modelsim.DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	provider := httptest.NewUnstartedServer(sim)
	provider.Config.ErrorLog = log.New(io.Discard, "", 0)
	provider.StartTLS() // its certificate is good for 127.0.0.1 and example.com
	t.Cleanup(provider.Close)
	trusted := x509.NewCertPool()
	trusted.AddCert(provider.Certificate())
	for name, c := range map[string]struct {
		tls  routing.TLS
		want int
	}{
		"by certificates of its own":               {routing.TLS{Roots: trusted, RootsID: "1"}, 200},
		"under another name that it has":           {routing.TLS{Roots: trusted, RootsID: "1", ServerName: "example.com"}, 200},
		"under a name that it does not have":       {routing.TLS{Roots: trusted, RootsID: "1", ServerName: "example.org"}, 502},
		"by the system's, which do not know it":    {routing.TLS{}, 502},
		"not at all, where that was asked for":     {routing.TLS{InsecureSkipVerify: true}, 200},
		"by certificates that do not vouch for it": {routing.TLS{Roots: x509.NewCertPool(), RootsID: "2"}, 502},
	} {
		delivery(t, name, func(t *testing.T, stream bool) {
			r := newRig(t, "a", func(in *routing.Input) { in.Endpoints[0].URL, in.Endpoints[0].TLS = provider.URL+"/v1", c.tls })
			for range 2 { // the second time on the same connection
				if got := r.chat(stream); got.status != c.want || c.want == 200 && got.content() == "" {
					t.Fatalf("status %d, %s; want %d", got.status, got.body, c.want)
				}
			}
			if n := r.metric("turnout_attempts_total", "outcome", "connect_error"); (n != 0) != (c.want == 502) {
				t.Errorf("%v attempts count as connect_error", n)
			}
		})
	}
}

// Endpoints at one address that trust different certificates must not share connections.
func TestConnectionsAreSharedOnlyByEqualTrust(t *testing.T) {
	sim, err := modelsim.New(modelsim.DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	provider := httptest.NewUnstartedServer(sim)
	provider.Config.ErrorLog = log.New(io.Discard, "", 0)
	provider.StartTLS()
	t.Cleanup(provider.Close)
	r := newRig(t, "a b", func(in *routing.Input) {
		for i := range in.Endpoints {
			in.Endpoints[i].URL = provider.URL + "/v1"
		}
		in.Endpoints[1].TLS.InsecureSkipVerify = true
	})
	if got := r.chat(false); got.status != 200 {
		t.Fatalf("b, which verifies nothing: status %d, %s", got.status, got.body)
	}
	r.chat(false) // b's connection is idle now, and a tries first
	if n := r.metric("turnout_attempts_total", "endpoint", "a", "outcome", "connect_error"); n != 2 {
		t.Errorf("a, which trusts the system's certificates, failed %v times in 2: it used b's connection", n)
	}
}
