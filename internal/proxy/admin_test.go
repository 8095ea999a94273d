// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package proxy_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/turnout-ai/turnout/internal/proxy"
	"github.com/turnout-ai/turnout/internal/routing"
)

// page fetches a page of an administration port.
func page(t *testing.T, h http.Handler, path string) (status int, body string) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, http.NoBody))
	return w.Code, w.Body.String()
}

func TestAProxyWithoutATableSaysSo(t *testing.T) {
	p := proxy.New(proxy.Options{})
	h := p.AdminHandler(prometheus.NewRegistry())
	for path, want := range map[string]int{"/livez": 200, "/readyz": 503, "/debug/table": 503, "/debug/explain?model=chat": 503, "/": 200, "/nope": 404} {
		if status, body := page(t, h, path); status != want || want == 503 && !strings.Contains(body, "no routing table yet") {
			t.Errorf("%s: %d %q, want %d", path, status, body, want)
		}
	}
}

func TestExplainTellsWhatWouldBeTried(t *testing.T) {
	r := newRig(t, "a b c", func(in *routing.Input) {
		in.Endpoints[1].Suspended = true
		in.Endpoints[2].FeaturesKnown, in.Endpoints[2].Features = true, routing.Vision
		in.Policies[0].Tiers[0].Strategy = routing.RoundRobin
	})
	h := r.proxy.AdminHandler(r.registry)
	for query, want := range map[string]struct {
		status int
		texts  []string
	}{
		"model=chat":                        {200, []string{`"endpoint": "a"`, `"endpoint": "c"`, `"reason": "Standby"`}},
		"model=chat&features=ToolCalling":   {200, []string{`"reason": "Feature"`, "ToolCalling"}},
		"model=chat&operation=embeddings":   {200, []string{`"order": []`, `"reason": "Operation"`}},
		"model=chat&pinned=true":            {200, []string{`"endpoint": "a"`, `"reason": "Pinned"`, "at another endpoint"}},
		"model=chat&pinned=perhaps":         {400, []string{"pinned"}},
		"model=chta":                        {404, []string{"chat"}},
		"model=chat&operation=chatting":     {400, []string{"operation"}},
		"model=chat&features=Telepathy":     {400, []string{"Telepathy"}},
		"model=chat&stream=maybe":           {400, []string{"stream"}},
		"model=chat&input-tokens=-1":        {400, []string{"input-tokens"}},
		"model=chat&max-tokens=many":        {400, []string{"max-tokens"}},
		"model=chat&namespace=elsewhere":    {404, []string{"elsewhere"}},
		"model=default/chat&namespace=team": {200, []string{"default/chat"}},
	} {
		status, body := page(t, h, "/debug/explain?"+query)
		if status != want.status {
			t.Errorf("%s: status %d, want %d: %s", query, status, want.status, body)
		}
		for _, text := range want.texts {
			if !strings.Contains(body, text) {
				t.Errorf("%s: %q is missing in %s", query, text, body)
			}
		}
	}
	if got := r.chat(false); got.status != 200 || r.requests("a") != 1 {
		t.Errorf("explaining took a turn: status %d, a got %d requests", got.status, r.requests("a"))
	}
}

func TestTheTableOfTheAdministrationPortShowsNoCredential(t *testing.T) {
	r := newRig(t, "a b", nil)
	r.fault("a", "503", 0)
	for range 3 {
		r.chat(false)
	}
	_, table := page(t, r.proxy.AdminHandler(r.registry), "/debug/table")
	for _, want := range []string{`"consecutiveFailures": 3`, `"cooldownUntil"`, `"message": "503 from`, `"default/chat"`} {
		if !strings.Contains(table, want) {
			t.Errorf("%s is missing in %s", want, table)
		}
	}
	_, metrics := page(t, r.proxy.AdminHandler(r.registry), "/metrics")
	if strings.Contains(table+metrics, "sk-a") {
		t.Error("a credential is shown")
	}
}

// Metrics of what left the table must not stay for ever.
func TestMetricsOfWhatIsGoneGo(t *testing.T) {
	r := newRig(t, "a b", nil)
	r.chat(false)
	if r.metric("turnout_attempts_total", "endpoint", "a") != 1 {
		t.Fatal("the attempt is not counted")
	}
	r.input.Endpoints, r.input.Policies = r.input.Endpoints[1:], nil
	r.proxy.Publish(routing.Build(r.input))
	if n := r.metric("turnout_attempts_total", "endpoint", "a") + r.metric("turnout_requests_total"); n != 0 {
		t.Error("series of a deleted endpoint or policy are still there")
	}
}

func TestDrainingLetsRequestsEnd(t *testing.T) {
	r := newRig(t, "a", nil)
	r.fault("a", "stall;after=2;wait=300ms", 1)
	got := make(chan reply, 1)
	go func() { got <- r.chat(true) }()
	eventually(t, "the request never reached a", func() bool { return r.requests("a") == 1 })
	if err := r.proxy.Drain(context.Background(), 0); err != nil {
		t.Error(err)
	}
	if answer := <-got; answer.status != 200 || answer.err != nil || !strings.HasSuffix(answer.body, "data: [DONE]\n\n") {
		t.Errorf("status %d, error %v, body %q; want the whole stream", answer.status, answer.err, answer.body)
	}
	if ready, why := r.proxy.Ready(); ready || !strings.Contains(why, "draining") {
		t.Errorf("ready %v, %q", ready, why)
	}
}
