// A payment service with kafkajs in its default settings. It charges up to 500 and declines more. What it reads is printed:
// read TOPIC TYPE ORDER. Every message of ordermill is checked against its schema (ajv) and as a CloudEvent (the SDK).
//
//     payments.js BROKERS TOPIC_PREFIX CONTRACTS_FOLDER
const fs = require('node:fs');
const path = require('node:path');
const { randomUUID } = require('node:crypto');
const { Kafka, logLevel } = require('kafkajs');
const Ajv = require('ajv');
const addFormats = require('ajv-formats');
const { Kafka: CloudEventsKafka } = require('cloudevents');

const [brokers, prefix, contracts] = process.argv.slice(2);
const ajv = new Ajv();
addFormats(ajv);
const valid = new Map(
  fs.readdirSync(path.join(contracts, 'produced')).map((file) => [
    `ordermill.${path.basename(file, '.json')}.v1`,
    ajv.compile(JSON.parse(fs.readFileSync(path.join(contracts, 'produced', file)))),
  ]),
);

const roles = ['order', 'inventory', 'payment', 'notification', 'shipping'];
const topics = roles.flatMap((role) => [`${role}-events`, `${role}-events.DLQ`]).map((topic) => prefix + topic);
const kafka = new Kafka({ clientId: 'payments', brokers: brokers.split(','), logLevel: logLevel.NOTHING });
const producer = kafka.producer();
const consumer = kafka.consumer({ groupId: `${prefix}kafkajs` });
const orders = new Map();
const reserved = new Set();
const answered = new Set();

function check(type, message) {
  const headers = Object.fromEntries(Object.entries(message.headers).map(([name, value]) => [name, value.toString()]));
  const event = CloudEventsKafka.toEvent({ headers, key: message.key.toString(), value: message.value.toString() });
  event.validate();
  const schema = valid.get(type);
  if (!schema(JSON.parse(message.value))) throw new Error(`${type}: ${ajv.errorsText(schema.errors)}`);
}

async function answer(id) {
  const order = orders.get(id);
  if (!order || !reserved.has(id) || answered.has(id)) return;
  answered.add(id);
  const common = { eventId: randomUUID(), orderId: id, timestamp: Date.now(), correlationId: order.correlationId };
  const event =
    Number(order.totalAmount) <= 500
      ? { type: 'PaymentProcessed', data: { ...common, paymentId: 'pi_1', amount: Number(order.totalAmount), paymentMethod: 'CARD' } }
      : { type: 'PaymentFailed', data: { ...common, paymentId: null, reason: 'over the limit' } };
  await producer.send({ topic: `${prefix}payment-events`, messages: [{ key: id, value: JSON.stringify(event) }] });
}

async function hear({ topic, message }) {
  const name = topic.slice(prefix.length);
  const type = message.headers.ce_type ? message.headers.ce_type.toString() : '-';
  console.log('read', name, type, message.key && message.key.toString());
  if (!type.startsWith('ordermill.') || name.endsWith('.DLQ')) return;
  check(type, message);
  const event = JSON.parse(message.value);
  if (type === 'ordermill.OrderCreated.v1') orders.set(event.orderId, event);
  else if (type === 'ordermill.InventoryReserved.v1') reserved.add(event.orderId);
  else return;
  await answer(event.orderId);
}

async function main() {
  await producer.connect();
  await consumer.connect();
  await consumer.subscribe({ topics, fromBeginning: true });
  consumer.on(consumer.events.CRASH, (crash) => {
    console.log('crashed', crash.payload.error.message);
    process.exit(1);
  });
  consumer.on(consumer.events.GROUP_JOIN, () => console.log('ready'));
  await consumer.run({
    eachMessage: (message) => hear(message).catch((error) => {
      console.log('crashed', error.message);
      process.exit(1);
    }),
  });
}

main();
