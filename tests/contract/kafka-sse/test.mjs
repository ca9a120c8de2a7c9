// SPDX-License-Identifier: MIT
//
// test.mjs BROKER UPSTREAM_PEER real|mock - the same requests to the real kafka-sse (over a real Kafka broker, or where that
// cannot be had librdkafka's mock) and to our upstream server; status, headers that matter and every byte of the body must be the same, but for offsets, whose
// numbers are each server's own, and for the texts of JSON.parse, which change with Node.
//
// Where since= and timestamps begin only a real broker can answer.
import { spawn } from 'node:child_process';
import http from 'node:http';
import path from 'node:path';
import readline from 'node:readline';
import { fileURLToPath } from 'node:url';

const here = path.dirname(fileURLToPath(import.meta.url));
const [brokerCommand, upstreamPeer, kind] = process.argv.slice(2);
const EQIAD = 'eqiad.mediawiki.recentchange';
const CODFW = 'codfw.mediawiki.recentchange';
const OURS = { [EQIAD]: 6101423904, [CODFW]: 2014000017 }; // first offsets of our server; the mock begins at 0
const children = [];

class Child {
  constructor(command, args) {
    this.process = spawn(command, args, { cwd: here, stdio: ['pipe', 'pipe', 'inherit'], env: { ...process.env, UV_THREADPOOL_SIZE: '64' } });
    children.push(this);
    this.lines = [];
    this.waiting = [];
    readline.createInterface({ input: this.process.stdout }).on('line', (line) => {
      const next = this.waiting.shift();
      if (next) {
        next(line);
      } else {
        this.lines.push(line);
      }
    });
    this.process.on('exit', (code) => this.waiting.forEach((next) => next(`ended with ${code}`)));
  }
  line() {
    return this.lines.length ? Promise.resolve(this.lines.shift()) : new Promise((resolve) => this.waiting.push(resolve));
  }
  async say(text) {
    this.process.stdin.write(text + '\n');
    return this.line();
  }
}

// Collects an answer until `enough(body)` or the time is over. The server's cut is not waited for.
class Answer {
  constructor(port, target, headers) {
    this.body = '';
    this.ended = false;
    this.request = http.request({ port, host: '127.0.0.1', path: target, headers: { 'User-Agent': 'contract/1 (test)', ...headers } }, (response) => {
      this.response = response;
      response.setEncoding('utf8');
      response.on('data', (text) => { this.body += text; });
      response.on('end', () => { this.ended = true; });
      response.on('error', () => { this.ended = true; });
    });
    this.request.on('error', () => { this.ended = true; });
    this.request.end();
  }
  async until(enough, ms) {
    for (const end = Date.now() + ms; Date.now() < end && !this.ended && !(this.response && enough(this.body));) {
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    return this;
  }
  close() {
    this.request.destroy();
  }
}

const events = (body) => (body.match(/"n":\d+/g) || []).length;
const has = (body, n) => body.includes(`"n":${n},`);
const hasFrom = (body, n) => [...body.matchAll(/"n":(\d+),/g)].some((m) => Number(m[1]) >= n);
const begun = (body) => body.startsWith(':ok\n\n') || body.startsWith('\n');

// What is each server's own: offsets.
const neutral = (text) => text.replace(/"offset":(-1|\d+)/g, (all, number) => (number === '-1' ? all : '"offset":N'));

let failures = 0;
let checks = 0;
function same(what, theirs, ours) {
  checks++;
  if (theirs !== ours) {
    failures++;
    console.log(`DIFFERENT ${what}\n  kafka-sse: ${JSON.stringify(theirs)}\n  ours:      ${JSON.stringify(ours)}`);
  }
}

function sameHeads(what, theirs, ours) {
  same(`${what}: status`, theirs.response?.statusCode, ours.response?.statusCode);
  for (const name of ['content-type', 'cache-control', 'connection', 'transfer-encoding', 'content-encoding']) {
    same(`${what}: ${name}`, theirs.response?.headers[name], ours.response?.headers[name]);
  }
}

const boot = new Child(brokerCommand, [EQIAD, CODFW]);
const broker = await boot.line();
const producer = new Child(process.execPath, ['produce.js', broker]);
const real = new Child(process.execPath, ['peer.js', broker]);
const our = new Child(upstreamPeer, []);
const realPort = Number(await real.line());
const ourPort = Number(new URL(await our.line()).port);
if (await producer.line() !== 'ready' || !realPort || !ourPort) {
  console.log('the peers did not start');
  process.exit(1);
}

// One event into both. Kafka's timestamp is meta.dt.
let made = 0;
const counts = { [EQIAD]: 0, [CODFW]: 0 };
const times = { [EQIAD]: [], [CODFW]: [] };
async function add(topic, timestamp, more = {}) {
  const n = made++;
  counts[topic]++;
  times[topic].push(timestamp);
  const meta = { id: `id-${n}`, dt: new Date(timestamp).toISOString(), domain: 'en.wikipedia.org', stream: 'mediawiki.recentchange' };
  const value = { $schema: '/mediawiki/recentchange/1.0.0', meta, n, type: 'edit', ...more };
  const said = await producer.say(JSON.stringify({ topic, timestamp, value: JSON.stringify(value) }));
  if (said !== 'delivered') {
    console.log(`producing: ${said}`);
    process.exit(1);
  }
  await our.say(JSON.stringify({ ...value, meta: { ...meta, topic } }));
}

const T = Date.parse('2026-06-01T00:00:00.000Z');

// --- live: both connected first, then events with equal, falling and rising timestamps, text of all kinds. The consumer
// behind kafka-sse finds "the end" some time after `:ok`, so there is a warm-up; what it brought is not compared.
async function live(what, headers, target = '/v2/stream/recentchange') {
  const both = [new Answer(realPort, target, headers), new Answer(ourPort, target, headers)];
  const [theirs, ours] = both;
  await Promise.all(both.map((a) => a.until(begun, 20000)));
  for (const topic of [EQIAD, CODFW]) {
    for (const end = Date.now() + 20000, from = made; Date.now() < end && !hasFrom(theirs.body, from);) {
      await add(topic, T);
      await theirs.until((body) => hasFrom(body, from), 500);
    }
    await Promise.all(both.map((a) => a.until((body) => has(body, made - 1), 5000)));
  }
  const first = made;
  const steps = [
    [EQIAD, T + 1000, {}],
    [EQIAD, T + 1000, { title: 'Ünïcødé ☃ 𝄞 "quoted" \\ \u2028 line\nfeed \u0001' }],
    [EQIAD, T + 990, { comment: '' }],
    [CODFW, T + 2000, { bot: false, nothing: null, log_params: [], number: 12345678901 }],
    [EQIAD, T + 3000, {}],
  ];
  for (const step of steps) { // one after the other: which topic goes first is the consumer's mood
    await add(...step);
    await Promise.all(both.map((a) => a.until((body) => has(body, made - 1), 15000)));
  }
  sameHeads(what, theirs, ours);
  const json = !theirs.body.startsWith(':ok');
  const rest = (body) => {
    const parts = body.split(json ? '\n' : '\n\n');
    return neutral([parts[0], ...parts.slice(parts.findIndex((part) => has(part, first)))].join(json ? '\n' : '\n\n'));
  };
  same(`${what}: events`, events(rest(theirs.body)), steps.length);
  same(`${what}: body`, rest(theirs.body), rest(ours.body));
  both.forEach((a) => a.close());
}
await live('live', { Accept: 'text/event-stream' });
await live('no Accept', {});
await live('Accept: */*', { Accept: '*/*' });
await live('Accept: application/x-ndjson', { Accept: 'application/x-ndjson' });
await live('JSON mode', { Accept: 'application/json' });
await live('JSON mode with parameters', { Accept: 'application/json; q=1, text/event-stream' });

// --- where Last-Event-ID by offset begins: `id` makes the header for a server's own first offsets
async function resumes(what, id, count, target = '/v2/stream/recentchange') {
  const header = (first) => (id ? { 'Last-Event-ID': JSON.stringify(id(first)) } : {});
  const ask = (port, first) => new Answer(port, target, { Accept: 'text/event-stream', ...header(first) });
  const both = [ask(realPort, { [EQIAD]: 0, [CODFW]: 0 }), ask(ourPort, OURS)];
  await Promise.all(both.map((a) => a.until((body) => begun(body) && events(body) >= Math.max(count, 1), count > 0 ? 15000 : 1500)));
  await new Promise((resolve) => setTimeout(resolve, 200));
  const [theirs, ours] = both;
  // Which topic goes first is the consumer's mood: compare each topic's blocks in their order, ids apart.
  const blocks = (body, topic) => body.split('\n\n').filter((b) => b.includes(`"topic":"${topic}","partition":0,"offset":`) && b.includes('data: ') &&
    b.split('data: ')[1].includes(topic)).map((b) => neutral(b.split('\n').filter((l) => !l.startsWith('id: ')).join('\n')));
  sameHeads(what, theirs, ours);
  same(`${what}: events`, events(theirs.body), count);
  same(`${what}: our events`, events(ours.body), count);
  for (const topic of [EQIAD, CODFW]) {
    same(`${what}: ${topic}`, blocks(theirs.body, topic).join('\n\n'), blocks(ours.body, topic).join('\n\n'));
  }
  const last = (body) => neutral(body.split('\n').filter((l) => l.startsWith('id: ')).pop() || '');
  same(`${what}: last id`, last(theirs.body), last(ours.body));
  both.forEach((a) => a.close());
}
const at = (topic, more) => ({ topic, partition: 0, ...more });
await resumes('both from their beginning', (f) => [at(EQIAD, { offset: f[EQIAD] }), at(CODFW, { offset: f[CODFW] })], made);
await resumes('the other order', (f) => [at(CODFW, { offset: f[CODFW] }), at(EQIAD, { offset: f[EQIAD] })], made);
await resumes('one topic only', (f) => [at(EQIAD, { offset: f[EQIAD] + counts[EQIAD] - 3 })], 3);
await resumes('offset beats timestamp', (f) => [at(EQIAD, { offset: f[EQIAD] + counts[EQIAD] - 2, timestamp: T })], 2);
await resumes('offset -1 is live', () => [at(EQIAD, { offset: -1 }), at(CODFW, { offset: -1 })], 0);
await resumes('topics as strings are live', () => [EQIAD, CODFW], 0);
await resumes('a partition that is not there', () => [{ topic: EQIAD, partition: 7, offset: 0 }], 0);

// --- where a timestamp begins: at the first record of the log that is not earlier, whatever comes after it
if (kind === 'real') {
  const after = (topic, t) => { const i = times[topic].findIndex((time) => time >= t); return i < 0 ? 0 : times[topic].length - i; };
  const moments = { 'before all': T - 86400000, 'of the first': T, 'one later than it': T + 1, 'of a record that runs backwards': T + 990,
    'between two': T + 995, 'of two at once': T + 1000, 'of the other topic': T + 2000, 'of the last': T + 3000, 'after all': T + 3001 };
  for (const [what, t] of Object.entries(moments)) {
    await resumes(`timestamp ${what}, both topics`, () => [at(EQIAD, { timestamp: t }), at(CODFW, { timestamp: t })], after(EQIAD, t) + after(CODFW, t));
    await resumes(`timestamp ${what}, one topic`, () => [at(EQIAD, { timestamp: t })], after(EQIAD, t));
    await resumes(`since ${what}`, null, after(EQIAD, t) + after(CODFW, t), `/v2/stream/recentchange?since=${t}`);
  }
  await resumes('a timestamp here, an offset there', (f) => [at(EQIAD, { timestamp: T + 1000 }), at(CODFW, { offset: f[CODFW] + 1 })],
    after(EQIAD, T + 1000) + counts[CODFW] - 1);
}

// --- refusals
async function refuses(what, header) {
  const ask = (port) => new Answer(port, '/v2/stream/recentchange', { Accept: 'text/event-stream', 'Last-Event-ID': header });
  const both = [ask(realPort), ask(ourPort)];
  await Promise.all(both.map((a) => a.until(() => false, 8000)));
  const [theirs, ours] = both;
  sameHeads(what, theirs, ours);
  const read = (a) => {
    const body = JSON.parse(a.body);
    if (body.originalName === 'SyntaxError') {
      body.message = 'whatever JSON.parse says';
    }
    body.availableTopics?.sort();
    return JSON.stringify(body) + a.body.slice(-1);
  };
  same(`${what}: body`, read(theirs), read(ours));
  both.forEach((a) => a.close());
}
await refuses('an empty header', '');
await refuses('no JSON', 'nonsense');
await refuses('half of it', '[{"topic":');
await refuses('an empty array', '[]');
await refuses('an object', '{"topic":"x"}');
await refuses('a number', '17');
await refuses('null', 'null');
await refuses('no position', JSON.stringify([at(EQIAD, {})]));
await refuses('a fraction', JSON.stringify([at(EQIAD, { offset: 1.5 })]));
await refuses('a text for a number', JSON.stringify([at(EQIAD, { timestamp: '1' })]));
await refuses('no partition', JSON.stringify([{ topic: EQIAD, offset: 1 }]));
await refuses('a topic of another stream', JSON.stringify([at('other', { offset: 1 }), at(EQIAD, { offset: 1 })]));
await refuses('two topics of other streams', JSON.stringify(['one', 'two']));

children.forEach((c) => c.process.stdin.end());
setTimeout(() => children.forEach((c) => c.process.kill()), 2000).unref();
console.log(`${checks} comparisons, ${failures} different`);
process.exitCode = failures || checks < (kind === 'real' ? 300 : 100) ? 1 : 0;
setTimeout(() => process.exit(), 3000).unref();
