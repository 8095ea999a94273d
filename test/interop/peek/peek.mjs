// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

// Reads the lines of the command peek and compares what JSON.parse sees in each accepted body.

import { createInterface } from "node:readline";
import { isDeepStrictEqual } from "node:util";

const formats = new Map([["text", 0], ["json_object", 1], ["json_schema", 2]]);
const parts = new Map([["image_url", 1], ["input_image", 1], ["input_audio", 2], ["file", 4], ["input_file", 4]]);

const own = (o, key) => (Object.hasOwn(o, key) ? o[key] : null);
const isObject = (v) => typeof v === "object" && v !== null && !Array.isArray(v);
const items = (v) => (Array.isArray(v) ? v : []);

function content(body) {
  let found = 0;
  const lists = [own(body, "messages")];
  for (const key of ["input", "prompt"]) {
    const value = own(body, key);
    lists.push(isObject(value) ? [value] : value);
  }
  for (const message of lists.flatMap(items).filter(isObject)) {
    for (const part of items(own(message, "content")).filter(isObject)) {
      found |= parts.get(own(part, "type")) ?? 0;
    }
  }
  return found;
}

function element(v) {
  if (typeof v === "string") return 2;
  if (typeof v === "number" && v >= 0 && !Object.is(v, -0)) return 3;
  if (Array.isArray(v) && v.every((e) => element(e) === 3)) return 4;
  return 5;
}

function shape(v) {
  if (v === null) return 0;
  if (typeof v === "string") return 1;
  if (!Array.isArray(v)) return 5;
  const shapes = new Set(v.map(element));
  return shapes.size === 1 ? [...shapes][0] : 5;
}

function nested(body, key, member) {
  const value = own(body, key);
  return value === null ? null : own(value, member);
}

function view(body) {
  const get = (key) => own(body, key);
  const tools = items(get("tools"));
  const reasoning = get("reasoning");
  const given = (v) => v !== null && v !== "none";
  return {
    model: get("model"),
    stream: get("stream") ?? false,
    include_usage: nested(body, "stream_options", "include_usage") ?? false,
    max_tokens: Math.max(...["max_tokens", "max_completion_tokens", "max_output_tokens"].map((k) => get(k) ?? 0)),
    n: get("n") ?? 1,
    tools: tools.length > 0 || items(get("functions")).length > 0,
    hosted_tools: tools.some((t) => ![null, "function", "custom"].includes(own(t, "type"))),
    tool_choice: given(get("tool_choice")) || given(get("function_call")),
    response_format: get("response_format") === null ? 0 : (formats.get(nested(body, "response_format", "type")) ?? 3),
    logprobs: Boolean(get("logprobs")) || (get("top_logprobs") ?? 0) > 0,
    reasoning: given(get("reasoning_effort")) || (reasoning !== null && own(reasoning, "effort") !== "none"),
    audio_out: items(get("modalities")).includes("audio"),
    content: content(body),
    service_tier: get("service_tier"),
    store: get("store") ?? false,
    background: get("background") ?? false,
    previous_response_id: get("previous_response_id"),
    user: get("user"),
    prompt_cache_key: get("prompt_cache_key"),
    metadata_user_id: nested(body, "metadata", "user_id"),
    input: shape(get("input")),
  };
}

function fail(message) {
  console.error(message);
  process.exit(1);
}

// A byte order mark must not be dropped silently here: whether it was accepted is the question.
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
let accepted = 0;
let refused = 0;
for await (const text of createInterface({ input: process.stdin })) {
  const line = JSON.parse(text);
  if (line.view === undefined) {
    refused++;
    continue;
  }
  accepted++;
  const body = Buffer.from(line.body, "base64");
  let seen;
  try {
    seen = view(JSON.parse(decoder.decode(body)));
  } catch (e) {
    fail(`JSON.parse refuses a body that was accepted (${e.message}): ${body}`);
  }
  if (!isDeepStrictEqual(seen, line.view)) {
    fail(`JSON.parse sees something else in ${body}:\n  peek ${JSON.stringify(line.view)}\n  node ${JSON.stringify(seen)}`);
  }
}
if (accepted * 10 < refused || refused * 10 < accepted) {
  fail(`The corpus proves little: ${accepted} bodies accepted, ${refused} refused.`);
}
console.log(`node: ${accepted + refused} bodies, ${accepted} accepted and read alike, ${refused} refused`);
