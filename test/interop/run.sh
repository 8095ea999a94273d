#!/usr/bin/env bash
# Copyright 2026 The Turnout Authors.
# SPDX-License-Identifier: Apache-2.0
#
# The official OpenAI clients for Python and npm against a really running proxy, and what other languages'
# JSON parsers read in request bodies against what ours reads. Starts everything it needs on free ports,
# leaves nothing running, and ends with "N passed, M failed".
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

clients=test/interop/clients
venv=test/interop/.venv
world= # process id of hack/run
passed=0 failed=0
scratch=$(mktemp -d)
results=$scratch/results

fail() {
  echo "interop: $*" >&2
  exit 1
}

stop_world() {
  [[ -n $world ]] || return 0
  kill -TERM "$world" 2>/dev/null || true
  # Its end is part of the test: it says so when something had to be killed.
  wait "$world" || fail "make run did not stop well; see $scratch/run.log"
  world=
}

cleanup() {
  local status=$?
  trap - EXIT
  if [[ -n $world ]]; then
    kill -TERM "$world" 2>/dev/null || true
    wait "$world" || true
  fi
  if ((status == 0)); then rm -rf "$scratch"; else echo "interop: logs are in $scratch" >&2; fi
  exit "$status"
}
trap cleanup EXIT
trap 'exit 130' INT TERM HUP

# install_clients puts the pinned clients beside their programs, once for each pin.
install_clients() {
  local tool
  for tool in python3 node npm; do
    command -v "$tool" >/dev/null || fail "$tool is not installed; install python3 with venv, and node with npm, and run this again"
  done
  if ! cmp -s "$clients/requirements.txt" "$venv/.installed"; then
    echo "interop: installing the Python client"
    rm -rf "$venv"
    python3 -m venv "$venv" || fail "python3 cannot make a virtual environment; on Debian: apt-get install python3-venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check -r "$clients/requirements.txt"
    cp "$clients/requirements.txt" "$venv/.installed"
  fi
  if ! cmp -s "$clients/package-lock.json" "$clients/node_modules/.installed"; then
    echo "interop: installing the npm client"
    npm ci --prefix "$clients" --no-audit --no-fund --loglevel=error
    cp "$clients/package-lock.json" "$clients/node_modules/.installed"
  fi
}

# free_ports prints that many ports, outside the range that the kernel gives to outgoing connections.
free_ports() {
  python3 - "$1" <<'PYTHON'
import random, socket, sys
found = []
while len(found) < int(sys.argv[1]):
    port = random.randrange(20000, 32000)
    with socket.socket() as s:
        try:
            s.bind(("127.0.0.1", port))
        except OSError:
            continue
    if port not in found:
        found.append(port)
print(*found)
PYTHON
}

# start_world starts what make run starts, elsewhere, and waits until it says that it is ready.
start_world() {
  local ports
  read -ra ports < <(free_ports 5)
  base=http://127.0.0.1:${ports[0]}/v1
  # The program itself and not go run, so that its process id is the one to signal.
  go build -o "$scratch/run" ./hack/run
  : >"$scratch/run.log"
  CLUSTER='' "$scratch/run" --dir "$scratch/world" --proxy-port "${ports[0]}" --admin-port "${ports[1]}" \
    --provider-ports "${ports[2]},${ports[3]},${ports[4]}" >"$scratch/run.log" 2>&1 &
  world=$!
  echo "interop: starting control plane, providers, operator and proxy"
  until grep -q '^turnout is ready' "$scratch/run.log"; do
    kill -0 "$world" 2>/dev/null || { cat "$scratch/run.log" >&2 && fail "nothing to test: it did not start (above)"; }
    sleep 0.2
  done
}

# count NAME COMMAND... runs a program that prints a line "pass: ..." or "fail: ..." for each case.
count() {
  local name=$1 status=0 good bad
  shift
  "$@" | tee "$results" || status=${PIPESTATUS[0]}
  good=$(grep -c '^pass: ' "$results" || true)
  bad=$(grep -c '^fail: ' "$results" || true)
  # A client that breaks before its first case, or after its last, has failed too.
  if ((status != 0 && bad == 0)) || ((good + bad == 0)); then
    echo "fail: $name ended with $status after $good cases"
    bad=1
  fi
  passed=$((passed + good)) failed=$((failed + bad))
}

# peek runs the comparison of JSON parsers as one case.
peek() {
  if ./test/interop/peek.sh; then
    echo "pass: peek: three languages read the same in every body, or we refuse it"
  else
    echo "fail: peek: languages differ (above)"
  fi
}

install_clients
start_world
models=(chat chat-rr embed) # of config/samples: for chats, completions, embeddings
count python "$venv/bin/python" "$clients/client.py" "$base" "${models[@]}"
count npm node "$clients/client.mjs" "$base" "${models[@]}"
stop_world
count peek peek

echo "$passed passed, $failed failed"
((failed == 0))
