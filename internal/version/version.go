// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

// Package version says which Turnout a program is.
package version

import "runtime/debug"

// Version is set when a release is linked (-ldflags "-X …/internal/version.Version=v1.2.3").
var Version = unreleased

const unreleased = "dev"

// shortRevision is how much of a revision tells it apart from others.
const shortRevision = 12

// String returns Version, or what the go command recorded about a program that was not linked as a release:
// the module's version, else the revision, with "-dirty" when files had been changed.
func String() string {
	if Version != unreleased {
		return Version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return Version
	}
	return fallback(info)
}

func fallback(info *debug.BuildInfo) string {
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	revision, dirty := "", ""
	for _, setting := range info.Settings {
		switch {
		case setting.Key == "vcs.revision":
			revision = setting.Value[:min(shortRevision, len(setting.Value))]
		case setting.Key == "vcs.modified" && setting.Value == "true":
			dirty = "-dirty"
		}
	}
	if revision == "" {
		return unreleased
	}
	return unreleased + "-" + revision + dirty
}
