// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"testing"
)

func TestFlags(t *testing.T) {
	for name, c := range map[string]struct {
		args    string
		wantErr string // empty: accepted
	}{
		"anonymous access must be asked for":        {"", "--allow-anonymous"},
		"with it the defaults do":                   {"--allow-anonymous", ""},
		"the version needs nothing":                 {"--version", ""},
		"a word is no flag":                         {"--allow-anonymous serve", "not a flag"},
		"an unknown flag is refused":                {"--allow-anonymus", "allow-anonymus"},
		"a body must fit the budget":                {"--allow-anonymous --body-budget-bytes=1", "--body-budget-bytes"},
		"a body has a size":                         {"--allow-anonymous --max-body-bytes=0", "--max-body-bytes"},
		"a negative pause does not exist":           {"--allow-anonymous --drain-notice=-1s", "--drain-notice"},
		"the log has two formats":                   {"--allow-anonymous --log-format=xml", "--log-format"},
		"the log has four levels":                   {"--allow-anonymous --log-level=loud", "--log-level"},
		"names need a namespace to be looked up in": {"--allow-anonymous --default-namespace=", "--default-namespace"},
		"an empty namespace is a slip":              {"--allow-anonymous --namespaces=default,", "--namespaces"},
		"bare names need their namespace":           {"--allow-anonymous --namespaces=team", "--default-namespace"},
		"the default may be among several":          {"--allow-anonymous --namespaces=team,default", ""},
		"connections cannot be fewer than none":     {"--allow-anonymous --max-connections=-1", "--max-connections"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parseFlags(strings.Fields(c.args))
			if c.wantErr == "" && err != nil || c.wantErr != "" && (err == nil || !strings.Contains(err.Error(), c.wantErr)) {
				t.Errorf("error %v, want one with %q", err, c.wantErr)
			}
		})
	}
}

func TestWhatCannotBeReachedIsSaid(t *testing.T) {
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	for kubeconfig, want := range map[string]string{"": "give --kubeconfig", "/does/not/exist": "--kubeconfig"} {
		o := options{kubeconfig: kubeconfig}
		if _, err := o.restConfig(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("--kubeconfig=%q: %v, want a sentence with %q", kubeconfig, err, want)
		}
	}
	o := options{accessLog: "/does/not/exist/access.log"}
	if _, _, err := o.openAccessLog(); err == nil || !strings.Contains(err.Error(), "--access-log") {
		t.Errorf("--access-log: %v", err)
	}
}

func TestTheAddressShownCanBeReached(t *testing.T) {
	for name, c := range map[string]struct{ listening, podIP, want string }{
		"a Pod on all addresses is reached at its own": {"[::]:8080", "10.1.2.3", "10.1.2.3:8080"},
		"the same over IPv6":                           {"0.0.0.0:8080", "fd00::1", "[fd00::1]:8080"},
		"one address stays":                            {"127.0.0.1:8080", "10.1.2.3", "127.0.0.1:8080"},
		"outside a Pod nothing better is known":        {"[::]:8080", "", "[::]:8080"},
	} {
		if got := reachable(c.listening, c.podIP); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}
