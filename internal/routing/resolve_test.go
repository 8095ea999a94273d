// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package routing_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/turnout-ai/turnout/internal/routing"
)

func resolveTable() *routing.Table {
	return routing.Build(routing.Input{
		Endpoints: []routing.EndpointSpec{endpoint("alpha"), endpoint("beta", offering("acme.com/compliance.pii"))},
		Policies: []routing.PolicySpec{
			policy("chat", 1, models("chat", "gpt-4.1"), serving("text-generation")),
			policy("code", 2, models("Code"), serving("code-generation")),
			policy("shadow", 3, models("embeddings"), tiers(listing("alpha"))),
			policy("vision-1", 4, serving("vision-understanding")),
			policy("vision-2", 5, models("eyes"), serving("understanding.vision-understanding")),
			policy("pii", 6, serving("acme.com/compliance")),
			policy("chat", 1, models("chat", "theirs"), serving("representation"), policyIn("team-b")),
			policy("own", 2, models("own"), serving("acme.com/x"), policyIn("team-b")),
		},
	})
}

func TestResolve(t *testing.T) {
	table := resolveTable()
	for name, tc := range map[string]struct {
		namespace, name string
		wantPolicy      string
		wantNode        routing.Node
	}{
		"a model name":                              {"default", "chat", "default/chat", ""},
		"the same name elsewhere":                   {"team-b", "chat", "team-b/chat", ""},
		"a model name with a dot":                   {"default", "gpt-4.1", "default/chat", ""},
		"another namespace, said":                   {"default", "team-b/theirs", "team-b/chat", ""},
		"the own namespace, said":                   {"default", "default/chat", "default/chat", ""},
		"another namespace from an unknown one":     {"", "default/chat", "default/chat", ""},
		"a capability's policy":                     {"default", "code-generation", "default/code", "generation.text-generation.code-generation"},
		"a capability by its full name":             {"default", "generation.text-generation.code-generation", "default/code", "generation.text-generation.code-generation"},
		"a capability's nearest policy above":       {"default", "chat-completion", "default/chat", "generation.text-generation.chat-completion"},
		"two levels above":                          {"team-b", "image-embeddings", "team-b/chat", "representation.embeddings.image-embeddings"},
		"a capability elsewhere":                    {"default", "team-b/tokenization", "team-b/chat", "representation.tokenization"},
		"a model name shadows a capability":         {"default", "embeddings", "default/shadow", ""},
		"a shadowed capability by its full name":    {"team-b", "representation.embeddings", "team-b/chat", "representation.embeddings"},
		"a user's own capability":                   {"default", "acme.com/compliance", "default/pii", "acme.com/compliance"},
		"a user's own below the policy's":           {"default", "acme.com/compliance.pii", "default/pii", "acme.com/compliance.pii"},
		"a user's own that nobody mentions":         {"default", "acme.com/compliance.other.thing", "default/pii", "acme.com/compliance.other.thing"},
		"a user's own in another namespace":         {"default", "team-b/acme.com/x", "team-b/own", "acme.com/x"},
		"a user's own in another, below the policy": {"default", "team-b/acme.com/x.y", "team-b/own", "acme.com/x.y"},
	} {
		t.Run(name, func(t *testing.T) {
			route, err := table.Resolve(tc.namespace, tc.name)
			if err != nil {
				t.Fatal(err)
			}
			if route.Policy.Key.String() != tc.wantPolicy || route.Node != tc.wantNode {
				t.Errorf("got %s, %q, want %s, %q", route.Policy.Key, route.Node, tc.wantPolicy, tc.wantNode)
			}
			if inBytes, err := table.ResolveBytes(tc.namespace, []byte(tc.name)); err != nil || inBytes != *route {
				t.Errorf("in bytes: %v, %v", inBytes, err)
			}
		})
	}
}

func TestResolveFindsNothing(t *testing.T) {
	table := resolveTable()
	for name, tc := range map[string]struct {
		namespace, name string
		wantNamespace   string
		wantFirst       string
		wantMessage     string
	}{
		"a misspelt model name":                {"default", "chatt", "default", "chat", `no RoutingPolicy in namespace "default" serves "chatt"; names that work: chat, `},
		"a name is case-sensitive":             {"default", "code", "default", "Code", ""},
		"a misspelt capability below a policy": {"default", "text-completoin", "default", "text-completion", ""},
		"a capability nobody serves":           {"default", "rag", "default", "", "serves the capability retrieval.rag or one above it"},
		"a name of another namespace":          {"default", "theirs", "default", "", ""},
		"a misspelt name elsewhere":            {"default", "team-b/thiers", "team-b", "team-b/theirs", "names that work: team-b/theirs, "},
		"a name of the caller's, elsewhere":    {"default", "team-b/gpt-4.1", "team-b", "", ""},
		"a user's own of another namespace":    {"default", "acme.com/x", "default", "", "serves the capability acme.com/x or one above it"},
		"a domain with a model name":           {"default", "acme.com/chat", "default", "", ""},
		"a namespace of a namespace":           {"default", "team-b/default/chat", "team-b", "", ""},
		"no namespace before the slash":        {"default", "/chat", "", "", "nothing can be asked for there"},
		"nothing after the slash":              {"default", "team-b/", "team-b", "", `serves ""`},
		"nothing":                              {"default", "", "default", "", `serves ""`},
		"a namespace without policies":         {"nowhere", "chat", "nowhere", "", `no RoutingPolicy in namespace "nowhere" serves "chat"; nothing can be asked for there`},
		"a namespace that is none":             {"default", "nowhere/chat", "nowhere", "", "nothing can be asked for there"},
		"bytes that are no text":               {"default", "\xff\x00\n", "default", "", `serves "\xff\x00\n"`},
		"a megabyte":                           {"default", strings.Repeat("x", 1<<20), "default", "", "xxx…"},
		"a megabyte of namespace":              {"default", strings.Repeat("x", 1<<20) + "/chat", strings.Repeat("x", 128) + "…", "", ""},
		"a megabyte of a user's own":           {"default", "acme.com/" + strings.Repeat("x", 1<<20), "default", "", "…"},
	} {
		t.Run(name, func(t *testing.T) {
			route, err := table.Resolve(tc.namespace, tc.name)
			notFound, ok := errors.AsType[*routing.NotFoundError](err)
			if route != nil || !ok {
				t.Fatalf("got %v, %v, want a NotFoundError", route, err)
			}
			if notFound.Namespace != tc.wantNamespace || !strings.Contains(err.Error(), tc.wantMessage) || len(err.Error()) > 1000 {
				t.Errorf("namespace %q, error %q (%d bytes), want namespace %q and a message with %q",
					notFound.Namespace, err, len(err.Error()), tc.wantNamespace, tc.wantMessage)
			}
			checkProposals(t, table, tc.namespace, notFound.Names, tc.wantFirst)
		})
	}
}

// checkProposals checks that all names work from that namespace, and which is the first; "" for any.
func checkProposals(t *testing.T, table *routing.Table, namespace string, names []string, wantFirst string) {
	t.Helper()
	if wantFirst != "" && (len(names) == 0 || names[0] != wantFirst) {
		t.Errorf("names %v, want %s first", names, wantFirst)
	}
	if len(names) > 10 {
		t.Errorf("%d names", len(names))
	}
	for _, proposed := range names {
		if _, err := table.Resolve(namespace, proposed); err != nil {
			t.Errorf("proposed %q, which does not work: %v", proposed, err)
		}
	}
}

func TestResolveIsAmbiguousOnlyForSeveralPoliciesOnTheNearestNode(t *testing.T) {
	table := resolveTable()
	for _, name := range []string{"vision-understanding", "ocr", "default/understanding.vision-understanding.ocr"} {
		_, err := table.Resolve("default", name)
		ambiguous, ok := errors.AsType[*routing.AmbiguousError](err)
		if !ok {
			t.Fatalf("%s: got %v, want an AmbiguousError", name, err)
		}
		want := []routing.Key{{Namespace: "default", Name: "vision-1"}, {Namespace: "default", Name: "vision-2"}}
		if diff := cmp.Diff(want, ambiguous.Policies); diff != "" {
			t.Errorf("%s: policies (-want +got):\n%s", name, diff)
		}
		if text := err.Error(); !strings.Contains(text, "default/vision-1, default/vision-2") || !strings.Contains(text, "ask for a model name") {
			t.Errorf("%s: %s", name, text)
		}
	}
	if route, err := table.Resolve("default", "eyes"); err != nil || route.Policy.Key.Name != "vision-2" {
		t.Errorf("a model name is never ambiguous: %v", err)
	}
}

func TestNamesAreThoseThatWork(t *testing.T) {
	table := resolveTable()
	want := []string{"Code", "acme.com/compliance", "chat", "code-generation", "embeddings", "eyes", "gpt-4.1", "text-generation"}
	if diff := cmp.Diff(want, table.Names("default")); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
	if got := table.Names("nowhere"); got != nil {
		t.Errorf("names of a namespace without policies: %v", got)
	}
}

func TestManyNamesAreCounted(t *testing.T) {
	var names []string
	for i := range 1000 {
		names = append(names, fmt.Sprintf("model-%03d", i))
	}
	table := routing.Build(routing.Input{Policies: []routing.PolicySpec{policy("p", 1, models(names...))}})
	_, err := table.Resolve("default", "model-5000")
	notFound, _ := errors.AsType[*routing.NotFoundError](err)
	if notFound == nil || len(notFound.Names) != 10 || notFound.More != 990 || !strings.HasPrefix(notFound.Names[0], "model-500") {
		t.Errorf("got %+v", notFound)
	}
	if !strings.HasSuffix(err.Error(), " and 990 more") {
		t.Errorf("the message %q does not say how many more there are", err)
	}
}

func TestAZeroTableKnowsNothing(t *testing.T) {
	var table routing.Table
	if route, err := table.Resolve("default", "chat"); err == nil {
		t.Errorf("got %v", route)
	}
}

func TestResolveBytesDoesNotAllocate(t *testing.T) {
	table := resolveTable()
	for _, name := range []string{
		"chat", "team-b/theirs", chat, "generation.text-generation.chat-completion", "acme.com/compliance.pii", "team-b/acme.com/x",
	} {
		inBytes := []byte(name)
		if allocs := testing.AllocsPerRun(100, func() { _, _ = table.ResolveBytes("default", inBytes) }); allocs != 0 {
			t.Errorf("%s: %v allocations", name, allocs)
		}
	}
}
