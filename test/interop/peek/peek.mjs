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
    const output = own(message, "output");
    const said = [...items(own(message, "content")), ...(isObject(output) ? [output] : items(output))];
    for (const part of said.filter(isObject)) {
      found |= parts.get(own(part, "type")) ?? 0;
    }
  }
  return found;
}

function given(value, ...path) {
  for (const key of path) value = isObject(value) ? own(value, key) : null;
  return typeof value === "string" && value !== "";
}

const hasPart = (v) => given(v, "file_id") || given(v, "file", "file_id") || given(v, "image_file", "file_id");

function hasEnvironment(v) {
  if (!isObject(v)) return false;
  const has = (key, ...path) => items(own(v, key)).some((e) => given(e, ...path));
  return given(v, "container_id") || has("file_ids") || has("skills", "skill_id");
}

function hasTool(tool) {
  return (
    items(own(tool, "vector_store_ids")).some((v) => given(v)) ||
    given(tool, "container") ||
    hasEnvironment(own(tool, "container")) ||
    hasEnvironment(own(tool, "environment")) ||
    given(tool, "input_image_mask", "file_id")
  );
}

const itemKeys = ["type", "id", "content", "audio", "output", "result", "encrypted_content", "container_id", "environment"];

function isReference(item) {
  const said = own(item, "content");
  const whole =
    (said !== null && !(Array.isArray(said) && said.length === 0)) || given(item, "result") || given(item, "encrypted_content");
  if (!given(item, "id")) return false;
  switch (own(item, "type")) {
    case "item_reference":
      return true;
    case "reasoning":
    case "image_generation_call":
      return !whole;
    case null:
      return !whole && Object.keys(item).every((key) => itemKeys.includes(key));
    default:
      return false;
  }
}

function hasItem(item) {
  if (!isObject(item)) return false;
  return (
    given(item, "audio", "id") ||
    given(item, "container_id") ||
    hasEnvironment(own(item, "environment")) ||
    hasPart(own(item, "output")) ||
    ["content", "output"].some((key) => items(own(item, key)).some(hasPart)) ||
    isReference(item)
  );
}

function pinned(body) {
  const list = (key) => (isObject(own(body, key)) ? [own(body, key)] : items(own(body, key)));
  const paths = [["previous_response_id"], ["conversation"], ["conversation", "id"], ["prompt", "id"], ["audio", "voice", "id"]];
  return (
    paths.some((path) => given(body, ...path)) ||
    items(own(body, "tools")).some(hasTool) ||
    [...items(own(body, "messages")), ...list("input"), ...list("prompt")].some(hasItem)
  );
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
  const asked = (v) => v !== null && v !== "none";
  return {
    model: get("model"),
    stream: get("stream") ?? false,
    include_usage: nested(body, "stream_options", "include_usage") ?? false,
    max_tokens: Math.max(...["max_tokens", "max_completion_tokens", "max_output_tokens"].map((k) => get(k) ?? 0)),
    n: get("n") ?? 1,
    tools: tools.length > 0 || items(get("functions")).length > 0,
    hosted_tools: tools.some((t) => ![null, "function", "custom"].includes(own(t, "type"))) || get("web_search_options") !== null,
    tool_choice: asked(get("tool_choice")) || asked(get("function_call")),
    response_format: get("response_format") === null ? 0 : (formats.get(nested(body, "response_format", "type")) ?? 3),
    logprobs: Boolean(get("logprobs")) || (get("top_logprobs") ?? 0) > 0,
    reasoning: asked(get("reasoning_effort")) || (reasoning !== null && own(reasoning, "effort") !== "none"),
    audio_out: items(get("modalities")).includes("audio"),
    content: content(body),
    service_tier: get("service_tier"),
    store: get("store") ?? false,
    background: get("background") ?? false,
    previous_response_id: get("previous_response_id"),
    conversation: given(get("conversation")) || given(get("conversation"), "id"),
    pinned: pinned(body),
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
