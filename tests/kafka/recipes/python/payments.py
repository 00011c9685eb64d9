"""A payment service with kafka-python in its default settings. It charges up to 500 and declines more. What it
reads is printed: read TOPIC TYPE ORDER.

    payments.py BROKERS TOPIC_PREFIX
"""

import datetime
import decimal
import json
import sys
import uuid

from kafka import KafkaConsumer, KafkaProducer

LIMIT = decimal.Decimal(500)
ROLES = ["order", "inventory", "payment", "notification", "shipping"]


class Payments:
    def __init__(self, brokers, prefix):
        self.prefix = prefix
        # json.dumps knows no UUID, time or Decimal: str() does.
        self.producer = KafkaProducer(bootstrap_servers=brokers, value_serializer=lambda event: json.dumps(event, default=str).encode())
        topics = [f"{prefix}{role}-events{suffix}" for role in ROLES for suffix in ("", ".DLQ")]
        self.consumer = KafkaConsumer(
            *topics, bootstrap_servers=brokers, group_id=prefix + "python", auto_offset_reset="earliest"
        )
        self.orders, self.reserved, self.answered = {}, set(), set()

    def run(self):
        print("ready", flush=True)
        for message in self.consumer:
            kind = dict(message.headers).get("ce_type", b"-").decode()
            name = message.topic.removeprefix(self.prefix)
            print("read", name, kind, (message.key or b"-").decode(), flush=True)
            if kind == "ordermill.OrderCreated.v1":
                event = json.loads(message.value)
                self.orders[event["orderId"]] = event
                self.answer(event["orderId"])
            elif kind == "ordermill.InventoryReserved.v1":
                order = json.loads(message.value)["orderId"]
                self.reserved.add(order)
                self.answer(order)

    def answer(self, order):
        if order not in self.orders or order not in self.reserved or order in self.answered:
            return
        self.answered.add(order)
        total = decimal.Decimal(self.orders[order]["totalAmount"])
        event = {"eventId": uuid.uuid4(), "orderId": order, "timestamp": datetime.datetime.now(datetime.timezone.utc), "correlationId": None}
        if total <= LIMIT:
            event.update(type="PaymentProcessed", paymentId=uuid.uuid4(), amount=total, paymentMethod="CARD")
        else:
            event.update(type="PaymentFailed", paymentId="", reason="over the limit")
        self.producer.send(self.prefix + "payment-events", key=order.encode(), value=event)
        self.producer.flush()


if __name__ == "__main__":
    Payments(sys.argv[1], sys.argv[2]).run()
