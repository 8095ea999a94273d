#!/usr/bin/env bash
# Copyright 2026 The Turnout Authors.
# SPDX-License-Identifier: Apache-2.0
#
# Builds one tool of the build from the modules pinned in hack/tools/go.mod into bin/tools. The linter is some
# 2,000 packages and takes minutes the first time, so progress is shown; make calls this only when the tool is
# missing or the pins are newer than it.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
module=$root/hack/tools
out=$root/bin/tools

fail() {
  printf 'tools: %s\n' "$*" >&2
  exit 1
}

# package_of names the main package of a tool. golangci-lint is built with the API linter inside it, which is
# the only way to have both in one run without a Go plugin.
package_of() {
  case $1 in
    controller-gen) echo sigs.k8s.io/controller-tools/cmd/controller-gen ;;
    golangci-lint) echo sigs.k8s.io/kube-api-linter/cmd/golangci-lint-kube-api-linter ;;
    ginkgo) echo github.com/onsi/ginkgo/v2/ginkgo ;;
    kustomize) echo sigs.k8s.io/kustomize/kustomize/v5 ;;
    kubeconform) echo github.com/yannh/kubeconform/cmd/kubeconform ;;
    *) fail "there is no tool '$1'; there are controller-gen, golangci-lint, ginkgo, kustomize and kubeconform" ;;
  esac
}

# A terminal gets one line that is rewritten; a log gets a new line now and then.
if [[ -t 1 ]]; then
  every=1 line_start=$'\r\033[K' line_end=''
else
  every=15 line_start='' line_end=$'\n'
fi

# watch PID shows how far the compiler is, by the packages it has named in the log.
watch() {
  local shown=0
  while kill -0 "$1" 2>/dev/null; do
    if ((SECONDS - shown >= every)); then
      shown=$SECONDS
      printf '%stools: %s: %d s, compiled %d of at most %d packages%s' \
        "$line_start" "$tool" "$SECONDS" "$(wc -l <"$log")" "$total" "$line_end"
    fi
    sleep 0.2
  done
  printf '%s' "$line_start"
}

# tools_go runs the go command inside hack/tools, undisturbed by a workspace meant for the main module.
tools_go() { (cd "$module" && GOWORK=off exec go "$@"); }

tool=${1:-}
[[ -n $tool && $# == 1 ]] || fail "say which tool to build, such as hack/tools/build.sh golangci-lint"
package=$(package_of "$tool")
command -v go >/dev/null || fail "no 'go' is in PATH; install it from https://go.dev/dl/ and run this again"

mkdir -p "$out"
half=$out/.$tool.$$
log=$half.log
trap 'rm -f "$half" "$log"' EXIT
trap 'exit 130' INT TERM HUP

total=$(tools_go list -deps "$package" | wc -l) || fail "$package is not in the modules of hack/tools/go.mod (above)"
printf 'tools: building %s\n' "$tool"
tools_go build -v -trimpath -o "$half" "$package" >"$log" 2>&1 &
pid=$!
watch "$pid"
if ! wait "$pid"; then
  # With -v the log names every compiled package; what is not a bare import path is what went wrong.
  grep -Ev '^[A-Za-z0-9./_~-]+$' "$log" >&2 || tail -n 20 "$log" >&2
  fail "$tool could not be built (above)"
fi
# Renamed at the very end: an interrupted build leaves the old tool, or none.
mv -f "$half" "$out/$tool"
printf 'tools: %s is ready in bin/tools after %d s\n' "$tool" "$SECONDS"
