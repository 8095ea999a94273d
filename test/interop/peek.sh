#!/usr/bin/env bash
# Copyright 2026 The Turnout Authors.
# SPDX-License-Identifier: Apache-2.0

# Compares what Peek reads in request bodies with what Python's json and JavaScript's JSON.parse read: for
# every body, all agree or Peek refused it. (The comparison with Go's encoding/json is in internal/wire.)
# PEEK_BODIES is how many bodies to make, PEEK_SEED what to make them from.
set -euo pipefail
cd "$(dirname "$0")/../.."

for tool in go python3 node; do
  if ! command -v "$tool" >/dev/null; then
    echo "peek.sh: $tool is not installed; install it to compare JSON parsers." >&2
    exit 1
  fi
done

lines=$(mktemp)
trap 'rm -f "$lines"' EXIT
go run ./test/interop/peek -n "${PEEK_BODIES:-20000}" -seed "${PEEK_SEED:-1}" >"$lines"
python3 test/interop/peek/peek.py <"$lines"
node test/interop/peek/peek.mjs <"$lines"
echo "peek: $(wc -l <"$lines") bodies compared, Go's peek against Python and Node"
