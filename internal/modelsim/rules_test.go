// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package modelsim_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/turnout-ai/turnout/internal/modelsim"
)

// statuses sends so many requests, one after the other on one connection, and returns their statuses.
func statuses(t *testing.T, server *modelsim.Server, count int, path, body string, headers ...string) []int {
	t.Helper()
	client := newClient(t)
	out := make([]int, count)
	for i := range out {
		out[i] = call(t, client, http.MethodPost, server.URL()+path, body, headers...).status
	}
	return out
}

func TestRules(t *testing.T) {
	small := strings.Replace(chatBody, "sim-large", "sim-small", 1)
	tests := []struct {
		name  string
		rules []modelsim.Rule
		path  string
		body  string
		key   string
		want  []int
	}{
		{name: "without rules all is well", want: []int{200, 200, 200, 200}},
		{name: "a rule holds for ever", rules: []modelsim.Rule{{Fault: "500"}}, want: []int{500, 500, 500, 500}},
		{name: "a count ends a rule", rules: []modelsim.Rule{{Fault: "500", Count: 2}}, want: []int{500, 500, 200, 200}},
		{name: "the first may be spared", rules: []modelsim.Rule{{Fault: "500", Skip: 1, Count: 2}}, want: []int{200, 500, 500, 200}},
		{name: "the next rule takes over", rules: []modelsim.Rule{{Fault: "500", Count: 1}, {Fault: "503", Count: 2}}, want: []int{500, 503, 503, 200}},
		{name: "a sequence is played once", rules: []modelsim.Rule{{Sequence: []string{"500", "ok", "503"}}}, want: []int{500, 200, 503, 200}},
		{name: "a sequence is repeated", rules: []modelsim.Rule{{Sequence: []string{"500", "ok"}, Repeat: true}}, want: []int{500, 200, 500, 200}},
		{name: "a repeated sequence ends at the count", rules: []modelsim.Rule{{Sequence: []string{"500", "503"}, Repeat: true, Count: 3}}, want: []int{500, 503, 500, 200}},
		{name: "another model is spared", rules: []modelsim.Rule{{Fault: "500", Model: "sim-large"}}, body: small, want: []int{200, 200, 200, 200}},
		{name: "another path is spared", rules: []modelsim.Rule{{Fault: "500", Path: embeddingPath}}, want: []int{200, 200, 200, 200}},
		{name: "its own path is hit", rules: []modelsim.Rule{{Fault: "500", Path: chatPath}}, want: []int{500, 500, 500, 500}},
		{name: "another key is spared", rules: []modelsim.Rule{{Fault: "500", APIKey: "a"}}, key: "b", want: []int{200, 200, 200, 200}},
		{name: "its own key is hit", rules: []modelsim.Rule{{Fault: "500", APIKey: "a"}}, key: "a", want: []int{500, 500, 500, 500}},
		{name: "a fresh connection is hit", rules: []modelsim.Rule{{Fault: "500", Connection: "fresh"}}, want: []int{500, 200, 200, 200}},
		{name: "a reused connection is hit", rules: []modelsim.Rule{{Fault: "500", Connection: "reused"}}, want: []int{200, 500, 500, 500}},
		{name: "an answer may be refused as broken JSON and still be hit", rules: []modelsim.Rule{{Fault: "500"}}, body: "{", want: []int{500, 500, 500, 500}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			server := start(t, nil)
			for _, rule := range tt.rules {
				if _, err := server.Sim.AddRule(rule); err != nil {
					t.Fatal(err)
				}
			}
			body := tt.body
			if body == "" {
				body = chatBody
			}
			got := statuses(t, server, 4, chatPath, body, "Authorization", "Bearer "+tt.key)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("statuses (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAProbabilityHitsAShare(t *testing.T) {
	server := start(t, nil)
	if _, err := server.Sim.AddRule(modelsim.Rule{Fault: "500", Probability: 0.25}); err != nil {
		t.Fatal(err)
	}
	hit := 0
	for _, status := range statuses(t, server, 400, chatPath, chatBody) {
		if status == 500 {
			hit++
		}
	}
	// Drawn from the configured seed, so the number is always the same; the bounds leave room for another seed.
	if hit < 60 || hit > 140 {
		t.Errorf("%d of 400 requests were hit, want about 100", hit)
	}
}

func TestRulesSpareModelsUnlessNamed(t *testing.T) {
	server := start(t, nil)
	for _, step := range []struct {
		rule modelsim.Rule
		want int
	}{{modelsim.Rule{Fault: "500"}, 200}, {modelsim.Rule{Fault: "503", Path: modelsPath}, 503}} {
		server.Sim.ClearRules()
		if _, err := server.Sim.AddRule(step.rule); err != nil {
			t.Fatal(err)
		}
		if got := call(t, newClient(t), http.MethodGet, server.URL()+modelsPath, ""); got.status != step.want {
			t.Errorf("%+v: %d, want %d", step.rule, got.status, step.want)
		}
	}
}

func TestTheCallerOutweighsRules(t *testing.T) {
	server := start(t, nil)
	if _, err := server.Sim.AddRule(modelsim.Rule{Fault: "500"}); err != nil {
		t.Fatal(err)
	}
	withMetadata := strings.Replace(chatBody, "{", `{"metadata":{"modelsim_fault":"409","modelsim_timing":"tokens=2"},`, 1)
	got := []int{
		post(t, server, chatPath, chatBody).status,
		post(t, server, chatPath, chatBody, modelsim.HeaderFault, "ok").status,
		post(t, server, chatPath, withMetadata).status,
		post(t, server, chatPath, withMetadata, modelsim.HeaderFault, "408").status,
	}
	if diff := cmp.Diff([]int{500, 200, 409, 408}, got); diff != "" {
		t.Errorf("statuses (-want +got):\n%s", diff)
	}
	if used := server.Sim.Rules()[0].Used; used != 1 {
		t.Errorf("the rule was used %d times, want once", used)
	}
}

func TestTimingOfRulesAndRequests(t *testing.T) {
	server := start(t, nil)
	if _, err := server.Sim.AddRule(modelsim.Rule{Timing: "tokens=3"}); err != nil {
		t.Fatal(err)
	}
	body := `{"model":"sim-large","messages":[{"role":"user","content":"x"}]}`
	for timing, want := range map[string]int{"": 3, "tokens=9": 9} {
		var whole completion
		decode(t, post(t, server, chatPath, body, modelsim.HeaderTiming, timing).body, &whole)
		if whole.Usage.Completion != want {
			t.Errorf("timing %q gave %d tokens, want %d", timing, whole.Usage.Completion, want)
		}
	}
}

func TestControlAPI(t *testing.T) {
	server := start(t, nil)
	base := "http://" + server.Addr() + "/_sim"
	tests := []struct {
		name, method, path, body string
		wantStatus               int
		wantBody                 string
	}{
		{"a rule is added", "POST", "/rules", `{"fault":"500","count":2}`, 201, `{"id":"rule-1"}`},
		{"rules are listed", "GET", "/rules", ``, 200, `[{"id":"rule-1","fault":"500","count":2,"used":0}]`},
		{"an unknown fault is refused", "POST", "/rules", `{"fault":"explode"}`, 400, `unknown; write a status`},
		{"an unknown field is refused", "POST", "/rules", `{"falut":"500"}`, 400, `unknown field`},
		{"a rule that does nothing is refused", "POST", "/rules", `{"count":1}`, 400, `write a fault, a sequence or a timing`},
		{"two scripts are refused", "POST", "/rules", `{"fault":"500","sequence":["ok"]}`, 400, `either fault or sequence`},
		{"an impossible probability is refused", "POST", "/rules", `{"fault":"500","probability":2}`, 400, `from 0 to 1`},
		{"a negative count is refused", "POST", "/rules", `{"fault":"500","count":-1}`, 400, `must not be negative`},
		{"an unknown kind of connection is refused", "POST", "/rules", `{"fault":"500","connection":"wet"}`, 400, `write fresh or reused`},
		{"an impossible timing is refused", "POST", "/rules", `{"timing":"tokens=0"}`, 400, `1 to 1000000`},
		{"all rules are replaced", "PUT", "/rules", `[{"sequence":["ok","503"]},{"fault":"500"}]`, 200, `"id":"rule-3"`},
		{"none is replaced when one is wrong", "PUT", "/rules", `[{"fault":"ok"},{"fault":"explode"}]`, 400, `rule 1: fault`},
		{"one rule is removed", "DELETE", "/rules/rule-2", ``, 204, ``},
		{"a rule is removed once", "DELETE", "/rules/rule-2", ``, 404, `no rule`},
		{"the rest is still there", "GET", "/rules", ``, 200, `[{"id":"rule-3","fault":"500","used":0}]`},
		{"all rules are removed", "DELETE", "/rules", ``, 204, ``},
		{"none is left", "GET", "/rules", ``, 200, `[]`},
		{"an unknown listener state is refused", "POST", "/listener", `{"state":"ajar"}`, 400, `write open or closed`},
		{"an unknown time is refused", "POST", "/listener", `{"state":"closed","for":"soon"}`, 400, `write a duration`},
		{"an unknown order to connections is refused", "POST", "/connections", `{"reset":"some"}`, 400, `write idle or all`},
		{"opening an open listener is fine", "POST", "/listener", `{"state":"open"}`, 200, `"listening":true`},
		{"the state counts", "GET", "/state", ``, 200, `"requests":0,"inFlight":0,"finished":0,"cancelled":0,"aborted":0`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := call(t, newClient(t), tt.method, base+tt.path, tt.body)
			body := got.body
			if body != "" {
				body = compact(t, body)
			}
			if got.status != tt.wantStatus || !strings.Contains(body, tt.wantBody) {
				t.Errorf("%d %s %v, want %d %s", got.status, body, got.err, tt.wantStatus, tt.wantBody)
			}
		})
	}
}

func TestControlMayLiveElsewhere(t *testing.T) {
	server := start(t, func(c *modelsim.Config) { c.HideControl = true })
	if got := call(t, newClient(t), http.MethodGet, "http://"+server.Addr()+"/_sim/state", ""); got.status != 404 {
		t.Errorf("the API serves /_sim: %d", got.status)
	}
	control := httptest.NewServer(server.Sim.Control())
	defer control.Close()
	if got := call(t, newClient(t), http.MethodGet, control.URL+"/_sim/state", ""); got.status != 200 || !strings.Contains(got.body, `"listening": true`) {
		t.Errorf("the control listener: %d %s", got.status, got.body)
	}
}

func TestAsAHandlerOfAnotherServer(t *testing.T) {
	sim, err := modelsim.New(modelsim.DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	other := httptest.NewServer(sim)
	defer other.Close()
	if got := call(t, newClient(t), http.MethodPost, other.URL+chatPath, chatBody); got.status != 200 {
		t.Errorf("%d %s", got.status, got.body)
	}
	if got := call(t, newClient(t), http.MethodPost, other.URL+"/_sim/listener", `{"state":"closed"}`); got.status != 400 || !strings.Contains(got.body, "no listener of its own") {
		t.Errorf("%d %s", got.status, got.body)
	}
}

func TestRequestsPerMinute(t *testing.T) {
	server := start(t, func(c *modelsim.Config) { c.RequestsPerMinute = 2; c.APIKeys = []string{"a", "b"} })
	if diff := cmp.Diff([]int{200, 200, 429}, statuses(t, server, 3, chatPath, chatBody, "Authorization", "Bearer a")); diff != "" {
		t.Errorf("statuses (-want +got):\n%s", diff)
	}
	got := post(t, server, chatPath, chatBody, "Authorization", "Bearer a")
	failure := got.failure(t)
	if text(failure.Code) != "rate_limit_exceeded" || failure.Type != "requests" || !strings.Contains(failure.Message, "(RPM): Limit 2. Please try again in ") {
		t.Errorf("%+v", failure)
	}
	for name, want := range map[string]string{"X-Ratelimit-Limit-Requests": "2", "X-Ratelimit-Remaining-Requests": "0"} {
		if value := got.header.Get(name); value != want {
			t.Errorf("%s: %q, want %q", name, value, want)
		}
	}
	if got.header.Get("Retry-After") == "" || got.header.Get("Retry-After-Ms") == "" || got.header.Get("X-Ratelimit-Reset-Requests") == "0s" {
		t.Errorf("headers %v do not say when to come back", got.header)
	}
	for _, other := range []struct{ key, body string }{{"b", chatBody}, {"a", strings.Replace(chatBody, "sim-large", "sim-small", 1)}} {
		if got := post(t, server, chatPath, other.body, "Authorization", "Bearer "+other.key); got.status != 200 {
			t.Errorf("another key or model shares the limit: %d", got.status)
		}
	}
}

func TestTokensPerMinute(t *testing.T) {
	server := start(t, func(c *modelsim.Config) { c.TokensPerMinute = 40 })
	got := statuses(t, server, 3, chatPath, chatBody) // 11 of the prompt and 6 of the answer each
	if diff := cmp.Diff([]int{200, 200, 429}, got); diff != "" {
		t.Errorf("statuses (-want +got):\n%s", diff)
	}
	if failure := post(t, server, chatPath, chatBody).failure(t); failure.Type != "tokens" || !strings.Contains(failure.Message, fmt.Sprintf("(TPM): Limit %d", 40)) {
		t.Errorf("%+v", failure)
	}
}
