# Copyright 2026 The Turnout Authors.
# SPDX-License-Identifier: Apache-2.0
"""OpenAI's official Python client against a running proxy (or any OpenAI API).

Usage: client.py BASE_URL CHAT_MODEL COMPLETION_MODEL EMBEDDING_MODEL

Prints one line per case, "pass: ..." or "fail: ...", and ends with 1 if one failed. No timing is asserted:
where a case needs a request to be under way, it waits for its first token.
"""

import asyncio
import math
import os
import sys
import traceback

import openai
from openai import AsyncOpenAI, OpenAI

BASE_URL, CHAT, COMPLETION, EMBEDDING = sys.argv[1:5]
# A provider checks its key; the proxy takes anonymous callers and must not pass this one on.
KEY = os.environ.get("OPENAI_API_KEY", "a-callers-own-key")
HELLO = [{"role": "user", "content": "Say hello to the engine driver."}]

client = OpenAI(base_url=BASE_URL, api_key=KEY, timeout=60, max_retries=0)
cases = []


def case(sentence):
    """Registers a function as the case that the sentence describes."""

    def register(function):
        cases.append((sentence, function))
        return function

    return register


def same(got, want, what):
    if got != want:
        raise AssertionError(f"{what} is {got!r}, want {want!r}")


def check(truth, what):
    if not truth:
        raise AssertionError(what)


def raises(error, function):
    try:
        function()
    except error as raised:
        # Subclasses are other errors: a timeout is also an APIConnectionError.
        same(type(raised), error, "the error's type")
        return raised
    raise AssertionError(f"no {error.__name__} was raised")


@case("a chat is answered whole, with its usage")
def chat():
    answer = client.chat.completions.create(model=CHAT, messages=HELLO, max_tokens=16)
    same(answer.object, "chat.completion", "object")
    choice = answer.choices[0]
    same(choice.message.role, "assistant", "role")
    check(choice.message.content, "the answer has no content")
    check(choice.finish_reason in ("stop", "length"), f"finish_reason is {choice.finish_reason}")
    usage = answer.usage
    check(0 < usage.completion_tokens <= 16, f"completion_tokens is {usage.completion_tokens}")
    same(usage.total_tokens, usage.prompt_tokens + usage.completion_tokens, "total_tokens")


@case("a chat is streamed in pieces and ends with its reason")
def stream():
    with client.chat.completions.create(model=CHAT, messages=HELLO, max_tokens=16, stream=True) as chunks:
        chunks = list(chunks)
    pieces = [c.choices[0].delta.content for c in chunks if c.choices and c.choices[0].delta.content]
    check(len(pieces) > 1, f"the answer came in {len(pieces)} pieces")
    reasons = [c.choices[0].finish_reason for c in chunks if c.choices and c.choices[0].finish_reason]
    same(len(reasons), 1, "the number of finish reasons")
    same(len({c.id for c in chunks}), 1, "the number of different ids in one stream")
    check(all(c.usage is None for c in chunks), "usage was streamed though nobody asked for it")


@case("a stream's usage comes last when it is asked for")
def stream_usage():
    with client.chat.completions.create(
        model=CHAT, messages=HELLO, max_tokens=8, stream=True, stream_options={"include_usage": True}
    ) as chunks:
        chunks = list(chunks)
    same([i for i, c in enumerate(chunks) if c.usage is not None], [len(chunks) - 1], "the places of usage")
    same(chunks[-1].choices, [], "the choices beside it")
    check(chunks[-1].usage.completion_tokens > 0, "no tokens were counted")


@case("the client's own stream accumulator understands every event")
def accumulator():
    with client.chat.completions.stream(model=CHAT, messages=HELLO) as events:
        text = "".join(e.delta for e in events if e.type == "content.delta")
        final = events.get_final_completion()
    same(final.choices[0].message.content, text, "the accumulated content")


@case("a completion is answered whole and streamed")
def completion():
    answer = client.completions.create(model=COMPLETION, prompt="Once upon a time", max_tokens=8)
    same(answer.object, "text_completion", "object")
    check(answer.choices[0].text, "the answer has no text")
    with client.completions.create(model=COMPLETION, prompt="Once upon a time", max_tokens=8, stream=True) as chunks:
        check("".join(c.choices[0].text for c in chunks if c.choices), "the stream has no text")


@case("embeddings are the same numbers in base64, which the client prefers, and as a list")
def embeddings():
    inputs = ["a signal box", "a level crossing"]
    packed = client.embeddings.create(model=EMBEDDING, input=inputs)
    plain = client.embeddings.create(model=EMBEDDING, input=inputs, encoding_format="float")
    same([d.index for d in packed.data], [0, 1], "the indices")
    check(len(packed.data[0].embedding) > 1, "the vector is too short")
    for a, b in zip(packed.data, plain.data, strict=True):
        check(all(math.isclose(x, y, rel_tol=1e-5, abs_tol=1e-6) for x, y in zip(a.embedding, b.embedding, strict=True)), "the two differ")
    check(packed.data[0].embedding != packed.data[1].embedding, "two inputs have one vector")
    check(packed.usage.prompt_tokens > 0, "no tokens were counted")


@case("the models can be listed, and each can be asked for")
def models():
    names = [m.id for m in client.models.list()]
    for wanted in (CHAT, COMPLETION, EMBEDDING):
        check(wanted in names, f"{wanted} is not among {names}")
    same(client.models.retrieve(CHAT).id, CHAT, "the id of one")


@case("an unknown model is NotFoundError, and the message names it")
def unknown_model():
    error = raises(
        openai.NotFoundError,
        lambda: client.chat.completions.create(model="no-such-model", messages=HELLO),
    )
    same(error.code, "model_not_found", "code")
    check("no-such-model" in str(error), f"the message does not name the model: {error}")
    check(len(error.body["message"]) > len("no-such-model") + 20, f"the message does not help: {error.body['message']}")


@case("a body without messages is BadRequestError, and the message names the field")
def bad_request():
    error = raises(openai.BadRequestError, lambda: client.post("/chat/completions", cast_to=object, body={"model": CHAT}))
    check("messages" in str(error), f"the message does not name the field: {error}")


@case("a client's timeout is its own, and the next request is served")
def timeout():
    # The shortest time that the client can be told: no answer is ever so quick.
    raises(
        openai.APITimeoutError,
        lambda: client.with_options(timeout=0.001).chat.completions.create(model=CHAT, messages=HELLO),
    )
    chat()


@case("a stream that the client leaves hurts nobody else")
def abort():
    chunks = client.chat.completions.create(model=CHAT, messages=HELLO, max_tokens=4000, stream=True)
    for chunk in chunks:
        if chunk.choices and chunk.choices[0].delta.content:
            break
    chunks.close()
    chat()


@case("tools reach the model, and what it says of them comes back")
def tools():
    answer = client.chat.completions.create(
        model=CHAT,
        messages=[{"role": "user", "content": "What is the weather in Paris?"}],
        tools=[{
            "type": "function",
            "function": {
                "name": "weather",
                "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
            },
        }],
        tool_choice={"type": "function", "function": {"name": "weather"}},
    )
    call = answer.choices[0].message.tool_calls[0]
    same(call.function.name, "weather", "the called function")


@case("thirty requests at once, half of them streams, are all answered")
def many():
    async def one(async_client, number):
        if number % 2:
            answer = await async_client.chat.completions.create(model=CHAT, messages=HELLO, max_tokens=4)
            return answer.choices[0].message.content
        stream = await async_client.chat.completions.create(model=CHAT, messages=HELLO, max_tokens=4, stream=True)
        return "".join([c.choices[0].delta.content or "" async for c in stream if c.choices])

    async def gather():
        async with AsyncOpenAI(base_url=BASE_URL, api_key=KEY, timeout=60, max_retries=0) as async_client:
            return await asyncio.gather(*(one(async_client, n) for n in range(30)))

    check(all(asyncio.run(gather())), "an answer is empty")


def main():
    failed = 0
    for sentence, function in cases:
        try:
            function()
            print("pass: python:", sentence, flush=True)
        except Exception as error:  # whatever breaks is this case's failure, and the others still run
            failed += 1
            where = traceback.extract_tb(error.__traceback__)[-1]
            print(f"fail: python: {sentence}: {type(error).__name__}: {error} ({where.name}:{where.lineno})", flush=True)
    sys.exit(1 if failed else 0)


main()
