// SPDX-License-Identifier: MIT
//
// peer.js BROKER - the real kafka-sse behind a plain HTTP server, wired as EventStreams' route /v2/stream/:streams wires
// it. Prints its port; ends with its standard input.
'use strict';
const http = require('http');
const kafkaSse = require('kafka-sse');

const broker = process.argv[2];
const topics = ['eqiad.mediawiki.recentchange', 'codfw.mediawiki.recentchange'];
const silent = { child: () => silent };
for (const level of ['trace', 'debug', 'info', 'warn', 'error', 'fatal']) {
  silent[level] = () => {};
}

function deserializer(message) {
  message.message = JSON.parse(message.value.toString());
  message.message.meta = message.message.meta || {};
  message.message.meta.topic = message.topic;
  message.message.meta.partition = message.partition;
  message.message.meta.offset = message.offset;
  return message;
}

const server = http.createServer((req, res) => {
  const since = new URL(req.url, 'http://localhost').searchParams.get('since');
  const options = {
    allowedTopics: topics, useTimestampForId: true, deserializer, logger: silent, idleDelayMs: 10,
    kafkaConfig: { 'metadata.broker.list': broker },
  };
  kafkaSse(req, res, topics, options, since === null ? undefined : Number(since));
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
process.stdin.resume();
process.stdin.on('end', () => process.exit(0));
