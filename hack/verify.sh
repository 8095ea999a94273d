#!/usr/bin/env bash
# Copyright 2026 The Turnout Authors.
# SPDX-License-Identifier: Apache-2.0
#
# Generates, formats and lints, and fails when any of it found something or when the tree then differs from
# the last commit: what was generated or formatted is already mended and only needs to be committed. Called by
# make verify, which builds the tools first.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
failed=()

say() { printf 'verify: %s\n' "$*"; }

# passes WHAT MEND COMMAND... runs the command and notes it as failed when it fails.
passes() {
  local what=$1 mend=$2
  shift 2
  say "$what"
  "$@" && return 0
  printf 'verify: %s found something (above); mend it with: %s\n' "$what" "$mend" >&2
  failed+=("$what")
}

kustomize_builds() {
  local dir
  for dir in config/crd config/default config/samples; do
    bin/tools/kustomize build "$dir" >/dev/null || return 1
  done
}

# committed fails when a file differs from the last commit, and names it.
committed() {
  local changed
  changed=$(git status --porcelain)
  [[ -n $changed ]] || return 0
  printf 'verify: these files are not as they were committed:\n%s\n' "$changed" >&2
  return 1
}

passes "make generate" "a change of what it names" make --no-print-directory generate
passes "make fmt" "a change of what it names" make --no-print-directory fmt
passes "make lint" "make lint-fix, and by hand what is left" make --no-print-directory lint
passes "go mod tidy" "go mod tidy" go mod tidy -diff
passes "go mod tidy in hack/tools" "cd hack/tools && go mod tidy" go -C hack/tools mod tidy -diff
passes "go mod tidy in hack/k8s" "cd hack/k8s && go mod tidy" go -C hack/k8s mod tidy -diff
passes "kustomize build" "a change of the file named above" kustomize_builds
passes "a clean tree" "git commit, after a look at what make generate and make fmt have written" committed

if ((${#failed[@]} > 0)); then
  printf 'verify: failed: %s\n' "$(IFS=, && printf '%s' "${failed[*]}" | sed 's/,/, /g')" >&2
  exit 1
fi
say "everything is as it should be"
