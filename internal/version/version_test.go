// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

package version

import (
	"runtime/debug"
	"testing"
)

func TestFallback(t *testing.T) {
	settings := func(pairs ...string) []debug.BuildSetting {
		var all []debug.BuildSetting
		for i := 0; i < len(pairs); i += 2 {
			all = append(all, debug.BuildSetting{Key: pairs[i], Value: pairs[i+1]})
		}
		return all
	}
	for name, tc := range map[string]struct {
		info debug.BuildInfo
		want string
	}{
		"a program installed as a module has the module's version": {
			info: debug.BuildInfo{Main: debug.Module{Version: "v0.3.1"}}, want: "v0.3.1",
		},
		"a program built in a checkout has its revision, shortened": {
			info: debug.BuildInfo{
				Main:     debug.Module{Version: "(devel)"},
				Settings: settings("vcs.revision", "0123456789abcdef0123", "vcs.modified", "false"),
			},
			want: "dev-0123456789ab",
		},
		"changed files show": {
			info: debug.BuildInfo{Settings: settings("vcs.modified", "true", "vcs.revision", "0123456789abcdef")},
			want: "dev-0123456789ab-dirty",
		},
		"a revision shorter than usual is not cut": {
			info: debug.BuildInfo{Settings: settings("vcs.revision", "0123")}, want: "dev-0123",
		},
		"nothing recorded leaves the default": {want: "dev"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := fallback(&tc.info); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestALinkedVersionWins(t *testing.T) {
	previous := Version
	t.Cleanup(func() { Version = previous })
	Version = "v9.9.9"
	if got := String(); got != "v9.9.9" {
		t.Errorf("got %q, want v9.9.9", got)
	}
}
