// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package capability

import (
	"errors"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// designList returns the list of the tree in docs/design.md: from its first item to the empty line after it.
func designList(t *testing.T) string {
	t.Helper()
	design, err := os.ReadFile("../../docs/design.md")
	if err != nil {
		t.Fatal(err)
	}
	_, list, found := strings.Cut(string(design), "\n- generation: ")
	list, _, ended := strings.Cut(list, "\n\n")
	if !found || !ended {
		t.Fatal("docs/design.md has no list that begins with the item generation and ends with an empty line")
	}
	return "generation: " + list
}

// readList reads the list into full names: a word, a colon and what follows are a category, a word and a
// parenthesis a subcategory.
func readList(text string) []Node {
	var nodes []Node
	var category, subcategory string
	for _, token := range regexp.MustCompile(`[a-z-]{2,}:?|[()]`).FindAllString(text, -1) {
		name, isCategory := strings.CutSuffix(token, ":")
		switch {
		case isCategory:
			category = name
			nodes = append(nodes, Node(category))
		case token == "(":
			subcategory = string(nodes[len(nodes)-1])
		case token == ")":
			subcategory = ""
		case subcategory != "":
			nodes = append(nodes, Node(subcategory+"."+name))
		default:
			nodes = append(nodes, Node(category+"."+name))
		}
	}
	return nodes
}

func TestTheTreeIsThatOfTheDesign(t *testing.T) {
	want := readList(designList(t))
	if len(want) < 80 {
		t.Fatalf("the list has %d nodes; it was not read right", len(want))
	}
	if diff := cmp.Diff(want, All()); diff != "" {
		t.Errorf("the tree differs from the design (-design +tree):\n%s", diff)
	}
}

func TestEveryNodeResolvesByItsNames(t *testing.T) {
	for _, n := range All() {
		for _, name := range []string{string(n), n.Short()} {
			if got, err := Resolve(name); got != n || err != nil {
				t.Errorf("Resolve(%q) = %q, %v, want %q", name, got, err, n)
			}
			if got, ok := Lookup([]byte(name)); got != n || !ok {
				t.Errorf("Lookup(%q) = %q, %v, want %q", name, got, ok, n)
			}
		}
	}
}

func TestEveryNodeKnowsItsPlace(t *testing.T) {
	seen := map[Node]bool{"": true}
	for _, n := range All() {
		// The parent of a category is the zero Node.
		parent, below := n.Parent()
		if !seen[parent] || below != (parent != "") || !slices.Contains(Children(parent), n) {
			t.Errorf("%s: its parent is %q, %v, which comes later or does not know it", n, parent, below)
		}
		seen[n] = true
		if n.Leaf() != (len(Children(n)) == 0) || n.Custom() {
			t.Errorf("%s: Leaf %v with %d children, Custom %v", n, n.Leaf(), len(Children(n)), n.Custom())
		}
	}
}

func TestContainsIsEqualOrOnTheWayUp(t *testing.T) {
	nodes := append(All(), "", "acme.com/a", "acme.com/a.b", "acme.com/ab", "com/a", "generation.text")
	for _, a := range nodes {
		for _, b := range nodes {
			want := false
			for n, ok := b, b != ""; ok; n, ok = n.Parent() {
				want = want || n == a
			}
			if got := a.Contains(b); got != want {
				t.Errorf("%q contains %q: %v, want %v", a, b, got, want)
			}
		}
	}
}

func TestAShortNameThatTwoNodesShareIsNone(t *testing.T) {
	tree := plant([]branch{
		in("a", of("x", "y")...),
		in("b", of("x", "a")...),
	})
	want := map[string]Node{
		"a": "a", "b": "b", "a.x": "a.x", "a.y": "a.y", "b.x": "b.x", "b.a": "b.a",
		"y": "a.y",
	}
	if diff := cmp.Diff(want, tree.names); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
}

func TestResolve(t *testing.T) {
	for name, tc := range map[string]struct {
		name        string
		want        Node
		wantError   string
		wantNearest []string
	}{
		"a full name":            {name: "generation.text-generation.chat-completion", want: "generation.text-generation.chat-completion"},
		"a leaf's short name":    {name: "ocr", want: "understanding.vision-understanding.ocr"},
		"an inner short name":    {name: "rag", want: "retrieval.rag"},
		"a category":             {name: "evaluation", want: "evaluation"},
		"a user's own node":      {name: "acme.com/compliance.pii-detection", want: "acme.com/compliance.pii-detection"},
		"a user's own root":      {name: "ai.acme.com/x", want: "ai.acme.com/x"},
		"a plural":               {name: "chat-completions", wantError: `"chat-completions" is not a capability; did you mean chat-completion`, wantNearest: []string{"chat-completion", "text-completion"}},
		"upper case":             {name: "Chat-Completion", wantError: "did you mean chat-completion", wantNearest: []string{"chat-completion", "text-completion"}},
		"two letters swapped":    {name: "embedidngs", wantError: "did you mean embeddings?", wantNearest: []string{"embeddings"}},
		"the first word":         {name: "chat", wantError: "did you mean chat-completion?", wantNearest: []string{"chat-completion"}},
		"a wrong path to a leaf": {name: "generation.ocr", wantError: "did you mean ocr?", wantNearest: []string{"ocr"}},
		"another word":           {name: "gpt", wantError: `"gpt" is not a capability; use a name of the built-in tree`},
		"nothing":                {name: "", wantError: `"" is not a capability; use a name`},
		"no domain":              {name: "acme/x", wantError: `"acme/x" must have a domain before its slash`},
		"an empty domain":        {name: "/x", wantError: "must have a domain before its slash"},
		"a domain in capitals":   {name: "Acme.com/x", wantError: "must have a domain before its slash"},
		"a domain with a hole":   {name: "acme..com/x", wantError: "must have a domain before its slash"},
		"a label with a hyphen":  {name: "-acme.com/x", wantError: "must have a domain before its slash"},
		"nothing after slash":    {name: "acme.com/", wantError: "must have a name after its slash, such as acme.com/compliance.pii-detection"},
		"an empty segment":       {name: "acme.com/a..b", wantError: "must have segments of lower-case letters"},
		"a segment in capitals":  {name: "acme.com/a.B", wantError: "must have segments of lower-case letters"},
		"a second slash":         {name: "acme.com/a/b", wantError: "must have segments of lower-case letters"},
		"a segment too long":     {name: "acme.com/" + strings.Repeat("a", 64), wantError: "must have segments of lower-case letters"},
		"eight segments":         {name: "acme.com/a.b.c.d.e.f.g.h", want: "acme.com/a.b.c.d.e.f.g.h"},
		"nine segments":          {name: "acme.com/a.b.c.d.e.f.g.h.i", wantError: "has more than 8 segments"},
		"253 characters":         {name: longName(253), want: Node(longName(253))},
		"254 characters":         {name: longName(254), wantError: "is longer than 253 characters"},
		"a megabyte":             {name: strings.Repeat("x", 1<<20), wantError: "is not a capability"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Resolve(tc.name)
			if got != tc.want {
				t.Errorf("got node %q, want %q", got, tc.want)
			}
			if tc.wantError == "" {
				if err != nil {
					t.Errorf("got error %v", err)
				}
				return
			}
			nameError, ok := errors.AsType[*NameError](err)
			if !ok {
				t.Fatalf("got error %v, want a NameError", err)
			}
			if !strings.Contains(err.Error(), tc.wantError) || len(err.Error()) > 500 {
				t.Errorf("got error %q, want one that has %q", err, tc.wantError)
			}
			if diff := cmp.Diff(tc.wantNearest, nameError.Nearest()); diff != "" && len(tc.wantNearest)+len(nameError.Nearest()) > 0 {
				t.Errorf("nearest (-want +got):\n%s", diff)
			}
		})
	}
}

// longName returns a user's own node of that many characters, below four.
func longName(length int) string {
	name := "acme.com/" + strings.Repeat(strings.Repeat("a", 57)+".", 4)
	return name + strings.Repeat("b", length-len(name))
}

func TestAUsersOwnNode(t *testing.T) {
	n := Node("ai.acme.com/compliance.pii-detection")
	if !n.Custom() || !n.Leaf() || n.Short() != string(n) || Children(n) != nil {
		t.Errorf("Custom %v, Leaf %v, Short %s, Children %v", n.Custom(), n.Leaf(), n.Short(), Children(n))
	}
	parent, ok := n.Parent()
	if parent != "ai.acme.com/compliance" || !ok || !parent.Contains(n) {
		t.Errorf("Parent = %q, %v", parent, ok)
	}
	if above, ok := parent.Parent(); ok {
		t.Errorf("%q stands above %q: a domain is no node", above, parent)
	}
}

func TestTheZeroNodeIsNone(t *testing.T) {
	var n Node
	if parent, ok := n.Parent(); ok || parent != "" || n.Leaf() || n.Custom() || n.Short() != "" || n.Contains(n) {
		t.Errorf("the zero Node: Parent %q, %v, Leaf %v, Custom %v, Short %q, contains itself %v",
			parent, ok, n.Leaf(), n.Custom(), n.Short(), n.Contains(n))
	}
}

func TestCallersCannotChangeTheTree(t *testing.T) {
	All()[0] = "broken"
	Children("")[0] = "broken"
	if All()[0] != "generation" || Children("")[0] != "generation" {
		t.Error("All or Children gave away the tree's own slice")
	}
}

func TestDistance(t *testing.T) {
	for _, tc := range []struct {
		a, b string
		want int
	}{
		{"", "", 0},
		{"", "abc", 3},
		{"kitten", "sitting", 3},
		{"abcd", "abdc", 1},
		{"ca", "abc", 3},
		{strings.Repeat("a", 100), strings.Repeat("a", 64), 0},
	} {
		if got := Distance(tc.a, tc.b); got != tc.want {
			t.Errorf("Distance(%q, %q) = %d, want %d", tc.a, tc.b, got, tc.want)
		}
		if got := Distance(tc.b, tc.a); got != tc.want {
			t.Errorf("Distance(%q, %q) = %d, want %d", tc.b, tc.a, got, tc.want)
		}
	}
}

func FuzzResolve(f *testing.F) {
	for _, n := range All() {
		f.Add(string(n))
	}
	for _, name := range []string{"", "/", ".", "acme.com/a.b", "acme.com/", "a//b", "\xff", longName(300)} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		n, err := Resolve(name)
		if (err == nil) != (n != "") {
			t.Fatalf("Resolve(%q) = %q, %v", name, n, err)
		}
		if err != nil {
			if len(err.Error()) > 1000 {
				t.Errorf("an error of %d bytes", len(err.Error()))
			}
			return
		}
		// What was resolved stays the same node by each of its names, and its ancestors are nodes too.
		for up, ok := n, true; ok; up, ok = up.Parent() {
			for _, again := range []string{string(up), up.Short()} {
				if got, err := Resolve(again); got != up || err != nil {
					t.Fatalf("%q resolves to %q; %q of it resolves to %q, %v", name, n, again, got, err)
				}
			}
			if !up.Contains(n) || len(up.Short()) > len(up) {
				t.Fatalf("%q stands above %q without containing it", up, n)
			}
		}
	})
}

func BenchmarkLookup(b *testing.B) {
	name := []byte("chat-completion")
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := Lookup(name); !ok {
			b.Fatal("not found")
		}
	}
}

func BenchmarkResolveUnknown(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Resolve("chat-completoins"); err == nil || err.Error() == "" {
			b.Fatal("found")
		}
	}
}
