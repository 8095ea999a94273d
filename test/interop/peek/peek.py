# Copyright 2026 The Turnout Authors.
# SPDX-License-Identifier: Apache-2.0
"""Reads the lines of the command peek and compares what Python's json sees in each accepted body."""

import base64
import json
import sys

FORMATS = {"text": 0, "json_object": 1, "json_schema": 2}
PARTS = {"image_url": 1, "input_image": 1, "input_audio": 2, "file": 4, "input_file": 4}
ITEM_KEYS = {"type", "id", "content", "audio", "output", "result", "encrypted_content", "container_id", "environment"}
PINS = [["previous_response_id"], ["conversation"], ["conversation", "id"], ["prompt", "id"], ["audio", "voice", "id"]]


def items(value):
    return value if isinstance(value, list) else []


def content(body):
    found = 0
    messages = [body.get("messages")]
    for key in ("input", "prompt"):
        value = body.get(key)
        messages.append([value] if isinstance(value, dict) else value)
    for message in (m for ms in messages for m in items(ms) if isinstance(m, dict)):
        output = message.get("output")
        for part in items(message.get("content")) + ([output] if isinstance(output, dict) else items(output)):
            if isinstance(part, dict):
                found |= PARTS.get(part.get("type"), 0) if isinstance(part.get("type"), str) else 0
    return found


def given(value, *path):
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return isinstance(value, str) and value != ""


def has_part(value):
    return any(given(value, *path) for path in (["file_id"], ["file", "file_id"], ["image_file", "file_id"]))


def has_environment(value):
    if not isinstance(value, dict):
        return False
    return (
        given(value, "container_id")
        or any(given(v) for v in items(value.get("file_ids")))
        or any(given(v, "skill_id") for v in items(value.get("skills")))
    )


def has_tool(tool):
    return (
        any(given(v) for v in items(tool.get("vector_store_ids")))
        or given(tool, "container")
        or has_environment(tool.get("container"))
        or has_environment(tool.get("environment"))
        or given(tool, "input_image_mask", "file_id")
    )


def is_reference(item):
    whole = item.get("content") not in (None, []) or given(item, "result") or given(item, "encrypted_content")
    kind = item.get("type")
    if kind == "item_reference":
        return given(item, "id")
    if kind is None:
        whole = whole or not set(item) <= ITEM_KEYS
    elif kind not in ("reasoning", "image_generation_call"):
        return False
    return given(item, "id") and not whole


def has_item(item):
    return isinstance(item, dict) and (
        given(item, "audio", "id")
        or given(item, "container_id")
        or has_environment(item.get("environment"))
        or has_part(item.get("output"))
        or any(has_part(v) for key in ("content", "output") for v in items(item.get(key)))
        or is_reference(item)
    )


def pinned(body):
    lists = [items(body.get("messages"))]
    for key in ("input", "prompt"):
        value = body.get(key)
        lists.append([value] if isinstance(value, dict) else items(value))
    return (
        any(given(body, *path) for path in PINS)
        or any(has_tool(t) for t in items(body.get("tools")))
        or any(has_item(i) for each in lists for i in each)
    )


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
        "hosted_tools": any(k not in (None, "function", "custom") for k in kinds)
        or body.get("web_search_options") is not None,
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
        "conversation": given(body, "conversation") or given(body, "conversation", "id"),
        "pinned": pinned(body),
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
