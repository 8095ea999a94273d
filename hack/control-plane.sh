#!/usr/bin/env bash
# Copyright 2026 The Turnout Authors.
# SPDX-License-Identifier: Apache-2.0
#
# Builds a real Kubernetes control plane (etcd, kube-apiserver, kubectl) from the Go modules pinned in
# hack/k8s/go.mod into bin/k8s. Nothing prebuilt is downloaded and no version is written here: the modules
# are the only source of both.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
module=$root/hack/k8s
out=${TURNOUT_K8S_DIR:-$root/bin/k8s}
stamp=$out/.stamp
started=$SECONDS
building=

usage() {
  cat <<'USAGE'
Usage: hack/control-plane.sh [--force]

Builds etcd, kube-apiserver and kubectl into bin/k8s; does nothing when they are up to date.
  --force            build again even so
  TURNOUT_K8S_DIR    environment: build into this directory instead
To use other binaries, set KUBEBUILDER_ASSETS to the directory that holds them.
USAGE
}

say() { printf 'control-plane: %s\n' "$*"; }
fail() {
  printf 'control-plane: %s\n' "$*" >&2
  exit 1
}

# A terminal gets one line that is rewritten; a log gets a new line now and then.
if [[ -t 1 ]]; then
  progress_every=1 progress_start=$'\r\033[K' progress_end=''
else
  progress_every=15 progress_start='' progress_end=$'\n'
fi

# Runs the go command inside hack/k8s, undisturbed by a workspace or flags meant for the main module.
k8s_go() { (cd "$module" && GOWORK=off GOFLAGS='' go "$@"); }

sha256() { if command -v sha256sum >/dev/null; then sha256sum; else shasum -a 256; fi; }

# check_go explains a missing or old Go in a sentence; go itself knows the rules (GOTOOLCHAIN).
check_go() {
  local want
  want=$(awk '$1 == "go" { print $2; exit }' "$module/go.mod")
  command -v go >/dev/null ||
    fail "Go $want or newer is needed and no 'go' is in PATH; install it from https://go.dev/dl/ and run this again"
  { go_version=$(k8s_go env GOVERSION 2>/dev/null) && k8s_go version >/dev/null 2>&1; } ||
    fail "Go $want or newer is needed, this is $(GOTOOLCHAIN=local go env GOVERSION); install it from https://go.dev/dl/, or let Go fetch it with GOTOOLCHAIN=auto"
}

# fingerprint is everything that decides what the binaries are; equal fingerprints need no build.
fingerprint() {
  printf '%s %s/%s\n' "$go_version" "$(go env GOOS)" "$(go env GOARCH)"
  cat "$module/go.mod" "$module/go.sum" "$root/hack/control-plane.sh" | sha256
}

up_to_date() {
  [[ $force == false && -x $out/etcd && -x $out/kube-apiserver && -x $out/kubectl && -f $stamp ]] || return 1
  [[ $(sed '/^version /d' "$stamp") == "$(fingerprint)" ]]
}

# version_flags gives the linker what Kubernetes' own build writes: `kubectl version` and /version then tell
# the truth. The date is the release's, so that two builds of one version are the same bytes. A module
# carries no commit.
version_flags() {
  local version=$1 date=$2 major minor package
  IFS=. read -r major minor _ <<<"${version#v}"
  for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
    printf -- '-X %s.%s ' \
      "$package" "gitVersion=$version" "$package" "gitMajor=$major" "$package" "gitMinor=$minor" \
      "$package" "gitTreeState=archive" "$package" "gitCommit=" "$package" "buildDate=$date"
  done
}

# build NAME PACKAGE LDFLAGS PLACE compiles into a temporary name and renames at the very end: running
# programs keep their file, and a broken build leaves the old one or none.
build() {
  local name=$1 package=$2 ldflags=$3 place=$4 total pid status=0 shown=0 begun=$SECONDS
  building=$out/.$name.$$
  log=$out/.$name.$$.log
  total=$(k8s_go list -deps "$package" | wc -l) || fail "$package is not in the modules of hack/k8s/go.mod (above)"
  say "($place of 3) $name: building"
  (cd "$module" && GOWORK=off GOFLAGS='' exec go build -v -trimpath -ldflags "-s -w $ldflags" -o "$building" "$package") >"$log" 2>&1 &
  pid=$!
  while kill -0 "$pid" 2>/dev/null; do
    if ((SECONDS - begun - shown >= progress_every)); then
      shown=$((SECONDS - begun))
      printf '%scontrol-plane: (%s of 3) %s: %d s, compiled %d of at most %d packages%s' "$progress_start" \
        "$place" "$name" "$shown" "$(wc -l <"$log")" "$((total))" "$progress_end"
    fi
    sleep 0.2
  done
  wait "$pid" || status=$?
  if ((status != 0)); then
    printf '%s' "$progress_start"
    # With -v the log names every compiled package; what is not a bare import path is what went wrong.
    grep -Ev '^[A-Za-z0-9./_~-]+$' "$log" >&2 || tail -n 20 "$log" >&2
    fail "$name could not be built (above); nothing in $out was changed by it"
  fi
  mv -f "$building" "$out/$name"
  printf '%s' "$progress_start"
  say "($place of 3) $name: done in $((SECONDS - begun)) s"
  rm -f "$log"
  building=
}

# On the way out: an interrupted build's compiler is ended and its half file removed.
cleanup() {
  local pids
  pids=$(jobs -p)
  # shellcheck disable=SC2086 # a list of process ids
  [[ -z $pids ]] || kill $pids 2>/dev/null || true
  [[ -z $building ]] || rm -f "$building" "$log"
}

# build_all compiles the three and then asks each for its version: a wrong linker flag shows here, not in
# a user's terminal.
build_all() {
  local kubernetes date flags versions
  read -r kubernetes date < <(k8s_go list -m -f '{{.Version}} {{.Time.UTC.Format "2006-01-02T15:04:05Z"}}' k8s.io/kubernetes)
  flags=$(version_flags "$kubernetes" "$date")
  rm -f "$stamp"
  build etcd go.etcd.io/etcd/server/v3 "" 1
  build kube-apiserver k8s.io/kubernetes/cmd/kube-apiserver "$flags" 2
  build kubectl k8s.io/kubernetes/cmd/kubectl "$flags" 3

  versions="etcd $("$out/etcd" --version | awk '/etcd Version/ { print "v" $3 }')"
  versions+=", kube-apiserver $("$out/kube-apiserver" --version | awk '{ print $2 }')"
  versions+=", kubectl $("$out/kubectl" version --client | awk '/Client Version/ { print $3 }')"
  [[ $versions == *", kube-apiserver $kubernetes, kubectl $kubernetes" ]] ||
    fail "built $kubernetes, but the programs say $versions; the linker flags in hack/control-plane.sh do not fit this Kubernetes"
  { fingerprint && printf 'version %s\n' "$versions"; } >"$stamp.$$"
  mv -f "$stamp.$$" "$stamp"
  say "ready in ${out#"$root"/} after $((SECONDS - started)) s: $versions"
}

main() {
  force=false
  case ${1:-} in
    '') ;;
    --force) force=true ;;
    -h | --help) usage && exit 0 ;;
    *) usage >&2 && fail "unknown argument $1" ;;
  esac
  check_go
  mkdir -p "$out"
  # Two of these at once would only do the same work twice; the second waits and then finds it done.
  if command -v flock >/dev/null; then
    exec 9>"$out/.lock"
    flock -n 9 || { say "another build is running; waiting for it" && flock 9; }
  fi
  if up_to_date; then
    say "up to date in ${out#"$root"/}: $(sed -n 's/^version //p' "$stamp")"
    return
  fi
  trap cleanup EXIT
  trap 'exit 130' INT TERM HUP
  say "building etcd, kube-apiserver and kubectl with $go_version: the first time about 6 minutes on two cores, seconds when compiled before"
  k8s_go mod download || fail "the modules of hack/k8s/go.mod could not be downloaded (above); check the network and GOPROXY"
  build_all
}

main "$@"
