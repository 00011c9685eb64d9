"""A payment service of another team, written from the specification alone: it knows three events by their fields, no header, no
partition and no other service. It charges up to 500 and declines more.

    service.py BROKERS TOPIC_PREFIX
"""

import datetime
import decimal
import json
import sys
import uuid

from confluent_kafka import Consumer, Producer

LIMIT = decimal.Decimal(500)


def fields_of(value):
    """The event's fields; the specification shows each under its name."""
    message = json.loads(value, parse_float=decimal.Decimal)
    if len(message) == 1:
        (inner,) = message.values()
        if isinstance(inner, dict):
            return inner
    return message


class Payments:
    def __init__(self, brokers, prefix):
        self.topic = prefix + "payment-events"
        self.producer = Producer({"bootstrap.servers": brokers})
        self.consumer = Consumer(
            {"bootstrap.servers": brokers, "group.id": prefix + "payment-service", "auto.offset.reset": "earliest"}
        )
        self.consumer.subscribe([prefix + "order-events", prefix + "inventory-events"])
        self.totals = {}
        self.reserved = set()
        self.answered = set()

    def run(self):
        print("ready", flush=True)
        while True:
            message = self.consumer.poll(0.5)
            if message is not None and message.error() is None and message.value() is not None:
                self.hear(fields_of(message.value()))

    def hear(self, event):
        order = event["orderId"]
        if "totalAmount" in event and "items" in event:
            self.totals[order] = (decimal.Decimal(event["totalAmount"]), event["correlationId"])
        elif "reservations" in event:
            self.reserved.add(order)
        if order in self.totals and order in self.reserved and order not in self.answered:
            self.answered.add(order)
            self.pay(order, *self.totals[order])

    def pay(self, order, amount, correlation):
        event = {
            "eventId": str(uuid.uuid4()),
            "orderId": order,
            "paymentId": str(uuid.uuid4()),
            "timestamp": datetime.datetime.now(datetime.timezone.utc).isoformat(),
            "correlationId": correlation,
        }
        if amount <= LIMIT:
            name = "PaymentProcessed"
            event.update(amount=float(amount), paymentMethod="CREDIT_CARD")
        else:
            name = "PaymentFailed"
            event.update(reason="over the limit")
        self.producer.produce(self.topic, key=order, value=json.dumps({name: event}))
        self.producer.flush()


if __name__ == "__main__":
    Payments(sys.argv[1], sys.argv[2]).run()
