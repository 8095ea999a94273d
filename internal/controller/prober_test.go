// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	testingclock "k8s.io/utils/clock/testing"

	"github.com/turnout-ai/turnout/api/v1alpha1"
	"github.com/turnout-ai/turnout/internal/modelstate"
	"github.com/turnout-ai/turnout/internal/routing"
	"github.com/turnout-ai/turnout/internal/secrets"
	"github.com/turnout-ai/turnout/internal/translate"
)

// keyring is a reader of one Secret.
type keyring map[string][]byte

func (k keyring) Secret(string, string) (map[string][]byte, secrets.State) { return k, secrets.Found }
func (k keyring) Version(string, string) string                            { return "1" }

// subjectOf is an endpoint at that URL, as a look has it.
func subjectOf(url string, keys keyring, change ...func(*v1alpha1.ModelEndpoint)) *judged {
	e := endpoint("team", "gpt", append([]func(*v1alpha1.ModelEndpoint){withSecret, priced}, change...)...)
	e.UID, e.Spec.URL = "uid", url
	table := routing.Build(translate.Input([]*v1alpha1.ModelEndpoint{e}, nil, keys))
	return judgedOf(e, *table.Endpoints[0], modelstate.State{})
}

func probing(probe v1alpha1.Probe) func(*v1alpha1.ModelEndpoint) {
	return func(e *v1alpha1.ModelEndpoint) { e.Spec.Probe = &probe }
}

// asked is a request as a provider saw it.
type asked struct {
	line, key, body string
}

func TestProbes(t *testing.T) {
	embeds := func(e *v1alpha1.ModelEndpoint) { e.Spec.Capabilities = []string{"text-embeddings"} }
	const usage = `{"usage":{"prompt_tokens":8,"completion_tokens":1,"prompt_tokens_details":{"cached_tokens":4}}}`
	for name, tc := range map[string]struct {
		change  []func(*v1alpha1.ModelEndpoint)
		answer  func(w http.ResponseWriter)
		want    asked
		problem string
		seen    bool
		usage   *modelstate.Usage
	}{
		"a list of models with the model in it": {
			answer: func(w http.ResponseWriter) { fmt.Fprint(w, `{"data":[{"id":"other"},{"id":"gpt-5"}]}`) },
			want:   asked{line: "GET /v1/models", key: "Bearer " + canary}, seen: true,
		},
		"a list without it speaks of the provider only": {
			answer: func(w http.ResponseWriter) { fmt.Fprint(w, `{"data":[{"id":"other"}]}`) },
			want:   asked{line: "GET /v1/models", key: "Bearer " + canary},
		},
		"an answer of 401 repeats nothing of the key": {
			answer: func(w http.ResponseWriter) { w.WriteHeader(http.StatusUnauthorized); fmt.Fprint(w, canary) },
			want:   asked{line: "GET /v1/models", key: "Bearer " + canary}, problem: "401 from ",
		},
		"a redirect is not followed": {
			answer: func(w http.ResponseWriter) { w.Header().Set("Location", "/elsewhere"); w.WriteHeader(http.StatusFound) },
			want:   asked{line: "GET /v1/models", key: "Bearer " + canary}, problem: "302 from ",
		},
		"a completion is a request like any other": {
			change: []func(*v1alpha1.ModelEndpoint){probing(v1alpha1.Probe{Type: v1alpha1.ProbeCompletion})},
			answer: func(w http.ResponseWriter) { fmt.Fprint(w, usage) },
			want: asked{
				line: "POST /v1/chat/completions", key: "Bearer " + canary,
				body: `{"model":"gpt-5","messages":[{"role":"user","content":"ping"}],"max_tokens":1}`,
			},
			seen:  true,
			usage: &modelstate.Usage{Requests: 1, Tokens: modelstate.Tokens{Input: 8, CachedInput: 4, Output: 1}, Cost: 30_000},
		},
		"an embedding whose use nobody tells is estimated": {
			change: []func(*v1alpha1.ModelEndpoint){embeds, probing(v1alpha1.Probe{Type: v1alpha1.ProbeCompletion})},
			answer: func(w http.ResponseWriter) { fmt.Fprint(w, `{}`) },
			want:   asked{line: "POST /v1/embeddings", key: "Bearer " + canary, body: `{"model":"gpt-5","input":"ping"}`},
			seen:   true,
			usage: &modelstate.Usage{
				Requests: 1, Tokens: modelstate.Tokens{Input: 8, Output: 1}, Cost: 30_000,
				Estimated: modelstate.Estimate{Requests: 1, Tokens: modelstate.Tokens{Input: 8, Output: 1}, Cost: 30_000},
			},
		},
		"a completion that is refused is an attempt without tokens": {
			change:  []func(*v1alpha1.ModelEndpoint){probing(v1alpha1.Probe{Type: v1alpha1.ProbeCompletion})},
			answer:  func(w http.ResponseWriter) { w.WriteHeader(http.StatusServiceUnavailable) },
			want:    asked{line: "POST /v1/chat/completions", key: "Bearer " + canary, body: `{"model":"gpt-5","messages":[{"role":"user","content":"ping"}],"max_tokens":1}`},
			problem: "503 from ",
			usage:   &modelstate.Usage{Requests: 1},
		},
		"a path is asked for without the key": {
			change: []func(*v1alpha1.ModelEndpoint){probing(v1alpha1.Probe{Type: v1alpha1.ProbePath, Path: "/health"})},
			answer: func(w http.ResponseWriter) { w.WriteHeader(http.StatusNoContent) },
			want:   asked{line: "GET /health"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var got asked
			provider := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				got = asked{line: r.Method + " " + r.URL.Path, key: r.Header.Get("Authorization"), body: string(body)}
				tc.answer(w)
			}))
			defer provider.Close()
			j := subjectOf(provider.URL+"/v1", keyring{"key": []byte(canary)},
				append([]func(*v1alpha1.ModelEndpoint){probing(v1alpha1.Probe{Type: v1alpha1.ProbeModels})}, tc.change...)...)
			clock := testingclock.NewFakeClock(earlier)
			p := NewProber(clock, func(string, bool) {})
			p.random = func() float64 { return 0 }
			p.Set("team", []*judged{j})
			p.step(t.Context())
			p.running.Wait()

			if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(asked{})); diff != "" {
				t.Errorf("the provider was asked (-want +got):\n%s", diff)
			}
			facts := p.found("uid")
			if !strings.HasPrefix(facts.result.Message, tc.problem) || (tc.problem == "") != facts.result.Failed.IsZero() {
				t.Errorf("the result is %+v", facts.result)
			}
			if strings.Contains(facts.result.Message, "CANARY") {
				t.Errorf("the key stands in %q", facts.result.Message)
			}
			if facts.result.ModelSeen != tc.seen {
				t.Errorf("the model was seen: %v", facts.result.ModelSeen)
			}
			var usage *modelstate.Usage
			if len(facts.used) > 0 {
				usage = &facts.used[0].quota.Usage
			}
			if diff := cmp.Diff(tc.usage, usage); diff != "" {
				t.Errorf("usage (-want +got):\n%s", diff)
			}
			p.Booked("uid", len(facts.used))
			if left := p.found("uid").used; len(left) != 0 {
				t.Errorf("%d uses are booked again", len(left))
			}
		})
	}
}

func TestProbesThatGetNoAnswer(t *testing.T) {
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := "http://" + listener.Addr().String()
	listener.Close()
	garbage := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, _, _ := w.(http.Hijacker).Hijack()
		fmt.Fprintf(conn, "%s is no answer\r\n\r\n", canary)
		conn.Close()
	}))
	defer garbage.Close()
	silent := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // Until it is read the server does not see that the caller left.
		<-r.Context().Done()
	}))
	defer silent.Close()
	strange := httptest.NewTLSServer(http.NotFoundHandler())
	defer strange.Close()
	const patient = "1m" // Only the one that is silent may run into the timeout, however busy the machine.
	for name, tc := range map[string]struct {
		url      string
		timeout  v1alpha1.Duration
		want     string
		attempts int64
	}{
		"nobody listens":                     {nobody, patient, "no connection: dial tcp ", 0},
		"the certificate is not known":       {strange.URL, patient, "no connection: the certificate cannot be verified", 0},
		"the answer is not HTTP":             {garbage.URL, patient, "no valid answer: the connection broke, or HTTP is not spoken there", 1},
		"no answer comes before the timeout": {silent.URL, "1s", "no answer within 1s", 1},
	} {
		t.Run(name, func(t *testing.T) {
			completion := probing(v1alpha1.Probe{
				Type: v1alpha1.ProbeCompletion, Interval: new(v1alpha1.Duration("2m")), Timeout: new(tc.timeout),
			})
			j := subjectOf(tc.url+"/v1", keyring{"key": []byte(canary)}, completion)
			spec, _ := translate.Probe(j.object)
			got := probe(t.Context(), j.entry, spec, testingclock.NewFakeClock(earlier))
			if !strings.HasPrefix(got.problem, tc.want) || strings.Contains(got.problem, "CANARY") {
				t.Errorf("the problem is %q, want %q", got.problem, tc.want)
			}
			if got.usage.Requests != tc.attempts {
				t.Errorf("%d attempts are counted, want %d", got.usage.Requests, tc.attempts)
			}
		})
	}
	t.Run("a name that leads to a metadata address is not called", func(t *testing.T) {
		if refuseMetadata("tcp", "169.254.169.254:80", nil) == nil {
			t.Error("it may be called")
		}
		if err := refuseMetadata("tcp", "127.0.0.1:80", nil); err != nil {
			t.Error(err)
		}
	})
}

func TestConnectSendsNothing(t *testing.T) {
	provider := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a request was sent") }))
	defer provider.Close()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: provider.Certificate().Raw})
	trusting := func(e *v1alpha1.ModelEndpoint) {
		e.Spec.TLS = &v1alpha1.EndpointTLS{CASecretRef: &v1alpha1.SecretKeyReference{Name: "keys", Key: "ca"}}
	}
	keys := keyring{"key": []byte(canary), "ca": ca}
	if err := connect(t.Context(), subjectOf(provider.URL, keys, trusting).entry); err != nil {
		t.Errorf("by its own certificate: %v", err)
	}
	if err := connect(t.Context(), subjectOf(provider.URL, keys).entry); err == nil {
		t.Error("a certificate that nobody trusts is one")
	}
	strange := func(e *v1alpha1.ModelEndpoint) { trusting(e); e.Spec.TLS.ServerName = "api.example.org" }
	if err := connect(t.Context(), subjectOf(provider.URL, keys, strange).entry); err == nil {
		t.Error("a certificate of another name is one")
	}
}

func TestTheProberKeepsItsTimes(t *testing.T) {
	asked := 0
	provider := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked++ }))
	defer provider.Close()
	every := probing(v1alpha1.Probe{Interval: new(v1alpha1.Duration("10s"))})
	keys := keyring{"key": []byte(canary)}
	clock := testingclock.NewFakeClock(earlier)
	p := NewProber(clock, func(string, bool) {})
	p.random = func() float64 { return 0.5 }
	step := func(after time.Duration, want int) {
		t.Helper()
		clock.Step(after)
		p.step(context.Background())
		p.running.Wait()
		if asked != want {
			t.Fatalf("%d probes at %s, want %d", asked, clock.Now().Sub(earlier), want)
		}
	}
	j := subjectOf(provider.URL, keys, every)
	p.Set("team", []*judged{j})
	step(0, 0)
	step(probeSpread, 1) // soon after the start
	step(9*time.Second, 1)
	p.Set("team", []*judged{j}) // a look that finds nothing new changes no times
	step(time.Second, 2)

	p.Set("team", []*judged{subjectOf(provider.URL, keys, every, suspend)})
	step(time.Minute, 2)
	p.Set("team", []*judged{j})
	step(0, 3)
	if p.found("uid").result.Succeeded.IsZero() {
		t.Error("what was found out is forgotten")
	}
	p.Set("team", []*judged{subjectOf(provider.URL, keys, every, func(e *v1alpha1.ModelEndpoint) { e.Spec.Model = "other" })})
	if !p.found("uid").result.Succeeded.IsZero() {
		t.Error("what was found out about another model counts for this one")
	}
	step(probeSpread, 4)
	p.Set("team", nil)
	step(time.Minute, 4)

	t.Run("and dials once a second at most", func(t *testing.T) {
		p.Set("team", []*judged{j})
		dials := 0
		for range 30 {
			p.Confirm("uid")
			p.step(context.Background())
			p.running.Wait()
			p.mu.Lock()
			if p.subjects["uid"].dialed.Equal(clock.Now()) {
				dials++
			}
			p.mu.Unlock()
			clock.Step(100 * time.Millisecond)
		}
		if dials != 3 {
			t.Errorf("%d dials in three seconds", dials)
		}
	})
}
