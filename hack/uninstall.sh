#!/usr/bin/env bash
# Copyright 2026 The Turnout Authors.
# SPDX-License-Identifier: Apache-2.0
#
# Removes Turnout's kinds, and with them every object of theirs, from the current kubeconfig context:
#
#   hack/uninstall.sh [KUBECTL]
#
# A finalizer keeps what proxies have counted until the operator has it in its books. Here the books go too, and
# perhaps no operator is left, so the finalizers are taken off.
set -euo pipefail
kubectl=${1:-kubectl}
kinds=(modelendpoints routingpolicies proxyinstances proxyreports)
patience=120 # seconds until what does not go is a failure

"$kubectl" delete crd --ignore-not-found --wait=false "${kinds[@]/%/.turnout.dev}"

# held lists what still has to be let go, as: resource, namespace, name.
held() {
  local kind
  for kind in proxyinstances proxyreports; do
    "$kubectl" get "$kind.turnout.dev" --all-namespaces --ignore-not-found \
      -o "jsonpath={range .items[*]}$kind.turnout.dev {.metadata.namespace} {.metadata.name}{\"\\n\"}{end}" 2>/dev/null || true # the kind is gone
  done
}

# A proxy that still runs may write until its kind is gone, so this is done until there is nothing left.
until=$((SECONDS + patience))
while objects=$(held) && [[ -n $objects ]]; do
  if ((SECONDS >= until)); then
    printf 'uninstall: these are still there after %d s:\n%s\n' "$patience" "$objects" >&2
    exit 1
  fi
  while read -r kind namespace name; do
    "$kubectl" patch "$kind" "$name" --namespace "$namespace" --type=merge -p '{"metadata":{"finalizers":null}}' >/dev/null 2>&1 || true # gone meanwhile
  done <<<"$objects"
  sleep 0.2
done
for kind in "${kinds[@]}"; do
  "$kubectl" wait --for=delete "crd/$kind.turnout.dev" --timeout="${patience}s" >/dev/null
done
echo "uninstall: Turnout's kinds are gone"
