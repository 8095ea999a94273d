// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package dataplane

import (
	"fmt"
	"maps"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/turnout-ai/turnout/api/v1alpha1"
)

// namespace is where the objects of all cases live: the one of anonymous callers.
const namespace = "default"

// patience is how long to wait for what must happen soon. TURNOUT_PATIENCE shortens it where cases are meant to fail.
var patience = func() time.Duration {
	if d, err := time.ParseDuration(os.Getenv("TURNOUT_PATIENCE")); err == nil {
		return d
	}
	return 15 * time.Second
}()

// Trial is one variant of a case on its way.
type Trial struct {
	*testing.T

	of     *Case
	over   Over
	name   string
	model  string
	places []*place
	url    string
	pages  *pages
	// ran says that the trial was not left out.
	ran bool
}

// place is an endpoint of a trial, and who answers behind it.
type place struct {
	*Provider
	backend

	name string
	// warm says that it has answered a request before the case began.
	warm bool
}

func (t *Trial) stream() bool { return t.over&Stream != 0 }

// arrange starts the providers of one variant of a case. n numbers the cases.
func arrange(c *Case, n int, over Over, name string) (*Trial, error) {
	letter := map[Over]string{JSON | Fresh: "w", JSON | Reused: "wr", Stream | Fresh: "s", Stream | Reused: "sr"}[over]
	t := &Trial{of: c, over: over, name: name, model: fmt.Sprintf("case-%d-%s", n, letter)}
	for i := range c.Providers {
		backend, err := c.Providers[i].start()
		if err != nil {
			t.close()
			return nil, fmt.Errorf("%s: starting provider %c: %w", c.Name, 'a'+i, err)
		}
		t.places = append(t.places, &place{Provider: &c.Providers[i], backend: backend, name: fmt.Sprintf("%s-%c", t.model, 'a'+i)})
	}
	return t, nil
}

func (t *Trial) close() {
	for _, p := range t.places {
		p.close()
	}
}

// objects are what the trial needs to be in force.
func (t *Trial) objects() ([]*v1alpha1.ModelEndpoint, *v1alpha1.RoutingPolicy) {
	var endpoints []*v1alpha1.ModelEndpoint
	tier := v1alpha1.Tier{}
	for _, p := range t.places {
		e := &v1alpha1.ModelEndpoint{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: p.name},
			Spec: v1alpha1.ModelEndpointSpec{
				Provider: p.name, Format: v1alpha1.FormatOpenAI, URL: p.url(), Model: "sim-large",
				Capabilities: []string{"chat-completion"},
			},
		}
		if p.Endpoint != nil {
			e.Spec.Provider = t.model // what several share is named after the trial
			p.Endpoint(&e.Spec)
			if e.Spec.Provider == t.model {
				e.Spec.Provider = p.name
			}
		}
		endpoints = append(endpoints, e)
		tier.Endpoints = append(tier.Endpoints, v1alpha1.EndpointReference{Name: p.name})
	}
	calm := v1alpha1.Duration("12s")
	policy := &v1alpha1.RoutingPolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: t.model},
		Spec: v1alpha1.RoutingPolicySpec{
			Models: []string{t.model}, Tiers: []v1alpha1.Tier{tier},
			Timeouts: &v1alpha1.Timeouts{Connect: &calm, TLSHandshake: &calm, FirstToken: &calm, Idle: &calm},
			Retry:    &v1alpha1.Retry{Deadline: new(v1alpha1.Duration("30s"))},
			// Nobody comes back while the suite runs.
			Recovery: &v1alpha1.Recovery{Cooldown: new(v1alpha1.Duration("10m"))},
		},
	}
	if t.of.Policy != nil {
		t.of.Policy(&policy.Spec)
	}
	return endpoints, policy
}

// run runs the trial.
func (t *Trial) run() {
	if t.over&Reused != 0 {
		t.warmUp()
	}
	for _, p := range t.places {
		if err := p.arm(); err != nil {
			t.Fatal(err)
		}
	}
	if t.of.Do != nil {
		t.of.Do(t)
	} else {
		want := t.of.want(t.stream())
		for range max(t.of.Times, 1) {
			t.check(t.ask(), want)
		}
	}
	t.verify()
}

// warmUp has the first provider answer, so that the proxy keeps a connection to it.
func (t *Trial) warmUp() {
	reading, err := open(t.Context(), t.url, (&Request{}).body(t.model, false))
	if err != nil {
		t.Fatal(err)
	}
	if got := reading.rest(); got.Status != http.StatusOK || got.Err != nil {
		t.Fatalf("before the case begins: %d %s", got.Status, got.Body)
	}
	t.places[0].warm = true
}

// want is the answer that a delivery must get.
func (c *Case) want(stream bool) *Answer {
	if stream && c.Streamed != nil {
		return c.Streamed
	}
	return &c.Want
}

// ask makes the case's request and reads the whole answer.
func (t *Trial) ask() *Reply { return t.askFor(t.of.Ask) }

// askFor makes another request.
func (t *Trial) askFor(r Request) *Reply { return t.open(r).rest() }

// open makes a request and returns once the head of its answer is there.
func (t *Trial) open(r Request) *Reading {
	t.Helper()
	reading, err := open(t.Context(), t.url, r.body(t.model, t.stream()))
	if err != nil {
		t.Fatal(err)
	}
	return reading
}

// check compares an answer with the one that must come.
func (t *Trial) check(got *Reply, want *Answer) {
	t.Helper()
	attempts := 0
	if t.of.Times <= 1 && t.of.Do == nil {
		for _, p := range t.places {
			attempts += total(p.wants())
		}
	}
	problems := want.problems(got, &t.of.Ask, t.stream(), attempts)
	for _, p := range problems {
		t.Error(p)
	}
	if len(problems) > 0 {
		t.Logf("the answer: %d %v\n%s", got.Status, got.Header, got.Body[:min(len(got.Body), 2000)])
	}
}

// varies is what nobody knows beforehand: how many outcomes there will be, where the case looks for itself, or how an
// endpoint stands that answers while it rests, which depends on whether the operator has heard of its failures. suspended is how an
// endpoint stands whose spec says so.
const (
	varies    = "varies"
	suspended = "Standby Manual"
)

// wants is how often its attempts must come to what.
func (p *Provider) wants() map[string]int {
	counts := map[string]int{}
	for word := range strings.FieldsSeq(p.Outcomes) {
		n := 1
		if times, rest, found := strings.Cut(word, "*"); found {
			_, _ = fmt.Sscan(times, &n) // 0 stays 1: a case that is written wrong fails
			word = rest
		}
		counts[word] += n
	}
	return counts
}

func total(counts map[string]int) int {
	sum := 0
	for _, n := range counts {
		sum += n
	}
	return sum
}

// verify looks at what the providers got, and at what the proxy made of it.
func (t *Trial) verify() {
	var problems []string
	t.tryFor(func(v *view) bool {
		problems = problems[:0]
		for i, p := range t.places {
			if problem := p.problem(v); problem != "" {
				problems = append(problems, fmt.Sprintf("provider %c: %s", 'a'+i, problem))
			}
		}
		return len(problems) == 0
	})
	for _, problem := range problems {
		t.Error(problem)
	}
	for i, p := range t.places {
		want := p.wants()
		if got, asked := p.requests(), total(want)-want["connect_error"]; got != asked && p.Outcomes != varies {
			t.Errorf("provider %c got %d requests, want %d", 'a'+i, got, asked)
		}
	}
}

// problem is what is wrong with how the endpoint's attempts are counted, or with how it stands.
func (p *place) problem(v *view) string {
	want := p.wants()
	if p.warm {
		want[success]++
	}
	if got := v.outcomes(p.name); p.Outcomes != varies && !maps.Equal(got, want) {
		return fmt.Sprintf("its attempts count as %v, want %v", got, want)
	}
	if p.Stands == varies {
		return ""
	}
	return p.misplaced(v.endpoints[namespace+"/"+p.name])
}

// misplaced is what is wrong with how the endpoint stands.
func (p *place) misplaced(at standing) string {
	wants := p.Stands
	if wants == "" {
		wants = "InService"
	}
	got := strings.TrimSpace(at.Standing + " " + at.Reason)
	switch {
	case at.Standby != "":
		got = suspended
	case p.Outage && got == "Resting ProviderOutage": // the operator was quick
		got = wants
	}
	failures, left := at.Local.Failures, time.Until(at.Until)
	switch {
	case got != wants:
		return fmt.Sprintf("it stands as %s (%s), want %s", got, at.Local.Message, wants)
	case p.Rests > 0 && left < p.Rests:
		return fmt.Sprintf("it is left alone for %s, want %s at least", left, p.Rests)
	case failures == 0 && at.Standing == "Resting": // the fleet has heard of them, and counts anew
		return ""
	case failures != p.Failures:
		return fmt.Sprintf("%d failures count against it (%s), want %d", failures, at.Local.Message, p.Failures)
	}
	return ""
}

// tryFor looks at the proxy until something holds, or for as long as patience lasts.
func (t *Trial) tryFor(holds func(*view) bool) bool {
	t.Helper()
	return t.repeat(func() bool {
		v, err := t.pages.now(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return holds(&v)
	})
}

// repeat tries something until it holds, or for as long as patience lasts.
func (t *Trial) repeat(holds func() bool) bool {
	pause := 5 * time.Millisecond
	for end := time.Now().Add(patience); ; {
		if holds() {
			return true
		}
		if time.Now().After(end) {
			return false
		}
		<-time.After(pause)
		pause = min(2*pause, 100*time.Millisecond)
	}
}

// await waits for something that must happen soon.
func (t *Trial) await(what string, holds func() bool) {
	t.Helper()
	if !t.repeat(holds) {
		t.Fatalf("%s, in vain", what)
	}
}

// awaitView is await for what the proxy tells.
func (t *Trial) awaitView(what string, holds func(*view) bool) {
	t.Helper()
	if !t.tryFor(holds) {
		t.Fatalf("%s, in vain", what)
	}
}

// script is the first provider, which must have a script.
func (t *Trial) script() *scriptedProvider {
	t.Helper()
	s, ok := t.places[0].backend.(*scriptedProvider)
	if !ok {
		t.Fatal("the first provider has no script")
	}
	return s
}
