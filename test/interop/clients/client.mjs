// Copyright 2026 The Turnout Authors.
// SPDX-License-Identifier: Apache-2.0

// OpenAI's official npm client against a running proxy (or any OpenAI API).
//
// Usage: node client.mjs BASE_URL CHAT_MODEL COMPLETION_MODEL EMBEDDING_MODEL
//
// Prints one line per case, "pass: ..." or "fail: ...", and ends with 1 if one failed. No timing is asserted:
// where a case needs a request to be under way, it waits for its first token.

import assert from 'node:assert/strict';
import OpenAI from 'openai';

const [baseURL, chatModel, completionModel, embeddingModel] = process.argv.slice(2);
// A provider checks its key; the proxy takes anonymous callers and must not pass this one on.
const apiKey = process.env.OPENAI_API_KEY ?? 'a-callers-own-key';
const client = new OpenAI({ baseURL, apiKey, timeout: 60_000, maxRetries: 0 });
const messages = [{ role: 'user', content: 'Say hello to the engine driver.' }];

async function collect(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return chunks;
}

async function chat() {
  const answer = await client.chat.completions.create({ model: chatModel, messages, max_tokens: 16 });
  assert.equal(answer.object, 'chat.completion');
  const [choice] = answer.choices;
  assert.equal(choice.message.role, 'assistant');
  assert.ok(choice.message.content, 'the answer has no content');
  assert.ok(['stop', 'length'].includes(choice.finish_reason), `finish_reason is ${choice.finish_reason}`);
  const { usage } = answer;
  assert.ok(usage.completion_tokens > 0 && usage.completion_tokens <= 16, `completion_tokens is ${usage.completion_tokens}`);
  assert.equal(usage.total_tokens, usage.prompt_tokens + usage.completion_tokens);
}

const cases = {
  'a chat is answered whole, with its usage': chat,

  'a chat is streamed in pieces and ends with its reason': async () => {
    const chunks = await collect(await client.chat.completions.create({ model: chatModel, messages, max_tokens: 16, stream: true }));
    const pieces = chunks.filter((c) => c.choices[0]?.delta?.content);
    assert.ok(pieces.length > 1, `the answer came in ${pieces.length} pieces`);
    assert.equal(chunks.filter((c) => c.choices[0]?.finish_reason).length, 1, 'the number of finish reasons');
    assert.equal(new Set(chunks.map((c) => c.id)).size, 1, 'the number of different ids in one stream');
    assert.ok(chunks.every((c) => !c.usage), 'usage was streamed though nobody asked for it');
  },

  "a stream's usage comes last when it is asked for": async () => {
    const chunks = await collect(await client.chat.completions.create({
      model: chatModel, messages, max_tokens: 8, stream: true, stream_options: { include_usage: true },
    }));
    assert.deepEqual(chunks.flatMap((c, i) => (c.usage ? [i] : [])), [chunks.length - 1], 'the places of usage');
    assert.deepEqual(chunks.at(-1).choices, [], 'the choices beside it');
    assert.ok(chunks.at(-1).usage.completion_tokens > 0, 'no tokens were counted');
  },

  "the client's own stream accumulator understands every event": async () => {
    const stream = client.chat.completions.stream({ model: chatModel, messages, max_tokens: 8 });
    let text = '';
    stream.on('content', (delta) => { text += delta; });
    const final = await stream.finalChatCompletion();
    assert.equal(final.choices[0].message.content, text);
    assert.ok(text, 'the stream has no text');
  },

  'a completion is answered whole and streamed': async () => {
    const request = { model: completionModel, prompt: 'Once upon a time', max_tokens: 8 };
    const answer = await client.completions.create(request);
    assert.equal(answer.object, 'text_completion');
    assert.ok(answer.choices[0].text, 'the answer has no text');
    const chunks = await collect(await client.completions.create({ ...request, stream: true }));
    assert.ok(chunks.map((c) => c.choices[0]?.text ?? '').join(''), 'the stream has no text');
  },

  'embeddings are the same numbers in base64, which the client prefers, and as a list': async () => {
    const request = { model: embeddingModel, input: ['a signal box', 'a level crossing'] };
    const packed = await client.embeddings.create(request);
    const plain = await client.embeddings.create({ ...request, encoding_format: 'float' });
    assert.deepEqual(packed.data.map((d) => d.index), [0, 1], 'the indices');
    assert.ok(packed.data[0].embedding.length > 1, 'the vector is too short');
    for (const [n, { embedding }] of packed.data.entries()) {
      assert.equal(embedding.length, plain.data[n].embedding.length, 'the lengths');
      assert.ok(embedding.every((x, i) => Math.abs(x - plain.data[n].embedding[i]) < 1e-5), 'the two differ');
    }
    assert.notDeepEqual(packed.data[0].embedding, packed.data[1].embedding, 'two inputs have one vector');
    assert.ok(packed.usage.prompt_tokens > 0, 'no tokens were counted');
  },

  'the models can be listed, and each can be asked for': async () => {
    const names = (await collect(await client.models.list())).map((m) => m.id);
    for (const wanted of [chatModel, completionModel, embeddingModel]) assert.ok(names.includes(wanted), `${wanted} is not among ${names}`);
    assert.equal((await client.models.retrieve(chatModel)).id, chatModel);
  },

  'an unknown model is NotFoundError, and the message names it': async () => {
    await assert.rejects(client.chat.completions.create({ model: 'no-such-model', messages }), (error) => {
      assert.ok(error instanceof OpenAI.NotFoundError, `it is ${error.constructor.name}: ${error}`);
      assert.equal(error.code, 'model_not_found');
      assert.match(error.message, /no-such-model.{20}|.{20}no-such-model/, 'the message does not help');
      return true;
    });
  },

  'a body without messages is BadRequestError, and the message names the field': async () => {
    await assert.rejects(client.post('/chat/completions', { body: { model: chatModel } }), (error) => {
      assert.ok(error instanceof OpenAI.BadRequestError, `it is ${error.constructor.name}: ${error}`);
      assert.match(error.message, /messages/);
      return true;
    });
  },

  "a client's timeout is its own, and the next request is served": async () => {
    // The shortest time that the client can be told: no answer is ever so quick.
    await assert.rejects(
      client.chat.completions.create({ model: chatModel, messages }, { timeout: 1 }),
      OpenAI.APIConnectionTimeoutError,
    );
    await chat();
  },

  'a stream that the client leaves hurts nobody else': async () => {
    const stream = await client.chat.completions.create({ model: chatModel, messages, max_tokens: 4000, stream: true });
    for await (const chunk of stream) if (chunk.choices[0]?.delta?.content) break;
    await chat();
  },

  'a request that the client aborts is APIUserAbortError, and the next one is served': async () => {
    const controller = new AbortController();
    const asked = client.chat.completions.create({ model: chatModel, messages, max_tokens: 4000 }, { signal: controller.signal });
    controller.abort();
    await assert.rejects(asked, OpenAI.APIUserAbortError);
    await chat();
  },

  'tools reach the model, and what it says of them comes back': async () => {
    const answer = await client.chat.completions.create({
      model: chatModel,
      messages: [{ role: 'user', content: 'What is the weather in Paris?' }],
      tools: [{
        type: 'function',
        function: {
          name: 'weather',
          parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
        },
      }],
      tool_choice: { type: 'function', function: { name: 'weather' } },
    });
    assert.equal(answer.choices[0].message.tool_calls[0].function.name, 'weather');
  },

  'thirty requests at once, half of them streams, are all answered': async () => {
    const answers = await Promise.all(Array.from({ length: 30 }, async (_, n) => {
      const request = { model: chatModel, messages, max_tokens: 4 };
      if (n % 2) return (await client.chat.completions.create(request)).choices[0].message.content;
      const chunks = await collect(await client.chat.completions.create({ ...request, stream: true }));
      return chunks.map((c) => c.choices[0]?.delta?.content ?? '').join('');
    }));
    assert.ok(answers.every(Boolean), 'an answer is empty');
  },
};

let failed = false;
for (const [sentence, run] of Object.entries(cases)) {
  try {
    await run();
    console.log(`pass: npm: ${sentence}`);
  } catch (error) {
    failed = true; // whatever breaks is this case's failure, and the others still run
    console.log(`fail: npm: ${sentence}: ${error.constructor.name}: ${error.message.replaceAll('\n', ' ')}`);
  }
}
process.exit(failed ? 1 : 0);
