# Copyright 2026 The Turnout Authors.
# SPDX-License-Identifier: Apache-2.0
"""Reads the lines of the command peek and compares what Python's json sees in each accepted body."""

import base64
import json
import sys

FORMATS = {"text": 0, "json_object": 1, "json_schema": 2}
PARTS = {"image_url": 1, "input_image": 1, "input_audio": 2, "file": 4, "input_file": 4}


def items(value):
    return value if isinstance(value, list) else []


def content(body):
    found = 0
    messages = [body.get("messages")]
    for key in ("input", "prompt"):
        value = body.get(key)
        messages.append([value] if isinstance(value, dict) else value)
    for message in (m for ms in messages for m in items(ms) if isinstance(m, dict)):
        for part in items(message.get("content")):
            if isinstance(part, dict):
                found |= PARTS.get(part.get("type"), 0)
    return found


def element(value):
    if isinstance(value, str):
        return 2
    if isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 0:
        return 3
    if isinstance(value, list) and all(element(v) == 3 for v in value):
        return 4
    return 5


def shape(value):
    if value is None:
        return 0
    if isinstance(value, str):
        return 1
    if not isinstance(value, list):
        return 5
    shapes = {element(v) for v in value}
    return shapes.pop() if len(shapes) == 1 else 5


def nested(body, key, member):
    return (body.get(key) or {}).get(member)


def view(body):
    tools = items(body.get("tools"))
    logprobs = body.get("logprobs")
    reasoning = body.get("reasoning")
    kinds = [t.get("type") for t in tools]
    return {
        "model": body.get("model"),
        "stream": bool(body.get("stream")),
        "include_usage": bool(nested(body, "stream_options", "include_usage")),
        "max_tokens": max(body.get(k) or 0 for k in ("max_tokens", "max_completion_tokens", "max_output_tokens")),
        "n": 1 if body.get("n") is None else body.get("n"),
        "tools": bool(tools) or bool(body.get("functions")),
        "hosted_tools": any(k not in (None, "function", "custom") for k in kinds),
        "tool_choice": any(body.get(k) not in (None, "none") for k in ("tool_choice", "function_call")),
        "response_format": 0
        if body.get("response_format") is None
        else FORMATS.get(nested(body, "response_format", "type"), 3),
        "logprobs": bool(logprobs) or (body.get("top_logprobs") or 0) > 0,
        "reasoning": body.get("reasoning_effort") not in (None, "none")
        or (reasoning is not None and reasoning.get("effort") != "none"),
        "audio_out": "audio" in items(body.get("modalities")),
        "content": content(body),
        "service_tier": body.get("service_tier"),
        "store": bool(body.get("store")),
        "background": bool(body.get("background")),
        "previous_response_id": body.get("previous_response_id"),
        "user": body.get("user"),
        "prompt_cache_key": body.get("prompt_cache_key"),
        "metadata_user_id": nested(body, "metadata", "user_id"),
        "input": shape(body.get("input")),
    }


def main():
    accepted = refused = 0
    for text in sys.stdin:
        line = json.loads(text)
        if "view" not in line:
            refused += 1
            continue
        accepted += 1
        body = base64.b64decode(line["body"])
        try:
            seen = view(json.loads(body))
        except (ValueError, AttributeError, TypeError) as e:
            sys.exit(f"Python's json refuses a body that was accepted ({e!r}): {body!r}")
        # The comparison of JSON texts tells 1 from True and from 1.0, which == does not.
        if json.dumps(seen, sort_keys=True) != json.dumps(line["view"], sort_keys=True):
            sys.exit(f"Python's json sees something else in {body!r}:\n  peek   {line['view']}\n  python {seen}")
    if accepted * 10 < refused or refused * 10 < accepted:
        sys.exit(f"The corpus proves little: {accepted} bodies accepted, {refused} refused.")
    print(f"python: {accepted + refused} bodies, {accepted} accepted and read alike, {refused} refused")


main()
