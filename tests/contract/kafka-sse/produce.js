// SPDX-License-Identifier: MIT
//
// produce.js BROKER - produces each line of standard input, {"topic","timestamp","value"}, and answers "delivered" when
// the broker has it; ends with its standard input.
'use strict';
const readline = require('readline');
const kafka = require('node-rdkafka');

const producer = new kafka.HighLevelProducer({ 'metadata.broker.list': process.argv[2] });
producer.on('ready', () => {
  console.log('ready');
  readline.createInterface({ input: process.stdin }).on('line', (line) => {
    const { topic, timestamp, value } = JSON.parse(line);
    producer.produce(topic, 0, Buffer.from(value), null, timestamp, (error) => {
      console.log(error ? `failed ${error}` : 'delivered');
    });
  }).on('close', () => producer.disconnect(() => process.exit(0)));
});
producer.on('event.error', (error) => console.error(String(error)));
producer.connect();
