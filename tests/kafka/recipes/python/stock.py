"""A stock service with kafka-python in its default settings. What it holds is in a file, so that it may be killed at any moment: an
event that comes again is answered as before.

    stock.py BROKERS TOPIC_PREFIX FILE PRODUCT=QUANTITY...
"""

import json
import sqlite3
import sys
import uuid

from kafka import KafkaConsumer, KafkaProducer


class Stock:
    def __init__(self, brokers, prefix, file, stock):
        self.topic = prefix + "inventory-events"
        self.file = sqlite3.connect(file)
        with self.file:
            self.file.execute("CREATE TABLE IF NOT EXISTS stock (product TEXT PRIMARY KEY, available INTEGER)")
            self.file.execute("CREATE TABLE IF NOT EXISTS held (order_id TEXT PRIMARY KEY, answer TEXT, released TEXT)")
            self.file.executemany("INSERT OR IGNORE INTO stock VALUES (?, ?)", stock)
        self.producer = KafkaProducer(bootstrap_servers=brokers, value_serializer=lambda event: json.dumps(event).encode())
        self.consumer = KafkaConsumer(
            prefix + "order-events", bootstrap_servers=brokers, group_id=prefix + "stock", auto_offset_reset="earliest"
        )

    def run(self):
        print("ready", flush=True)
        for message in self.consumer:
            event = json.loads(message.value)
            kind = dict(message.headers)["ce_type"].decode().split(".")[1]
            if kind == "OrderCreated":
                self.say(event["orderId"], self.reserve(event))
            elif kind in ("OrderFailed", "OrderCancelled") or event.get("answer") == "PaymentFailed":
                self.say(event["orderId"], self.release(event["orderId"]))

    def say(self, order, answer):
        if answer is not None:
            self.producer.send(self.topic, key=order.encode(), value=answer)
            self.producer.flush()

    def reserve(self, order):
        with self.file:
            known = self.file.execute("SELECT answer FROM held WHERE order_id = ?", [order["orderId"]]).fetchone()
            if known is not None:
                return json.loads(known[0])
            short = [item for item in order["items"] if self.available(item["productId"]) < item["quantity"]]
            common = {"eventId": str(uuid.uuid4()), "orderId": order["orderId"], "correlationId": order["correlationId"]}
            if short:
                of = lambda item: {"productId": item["productId"], "requested": item["quantity"], "available": 0}
                answer = {"type": "InventoryInsufficient", "data": {**common, "shortages": [of(item) for item in short]}}
            else:
                held = [{"productId": item["productId"], "quantity": item["quantity"]} for item in order["items"]]
                answer = {"type": "InventoryReserved", "data": {**common, "reservations": held}}
                self.move(held, -1)
            self.file.execute("INSERT INTO held VALUES (?, ?, NULL)", [order["orderId"], json.dumps(answer)])
            return answer

    def release(self, order):
        with self.file:
            known = self.file.execute("SELECT answer, released FROM held WHERE order_id = ?", [order]).fetchone()
            if known is None or json.loads(known[0])["type"] != "InventoryReserved":
                return None
            if known[1] is not None:
                return json.loads(known[1])
            held = json.loads(known[0])["data"]
            answer = {"type": "InventoryReleased", "data": {"eventId": str(uuid.uuid4()), "orderId": order, "items": held["reservations"]}}
            self.move(held["reservations"], 1)
            self.file.execute("UPDATE held SET released = ? WHERE order_id = ?", [json.dumps(answer), order])
            return answer

    def available(self, product):
        found = self.file.execute("SELECT available FROM stock WHERE product = ?", [product]).fetchone()
        return found[0] if found else 0

    def move(self, items, sign):
        for item in items:
            change = [sign * item["quantity"], item["productId"]]
            self.file.execute("UPDATE stock SET available = available + ? WHERE product = ?", change)


if __name__ == "__main__":
    brokers, prefix, file, *stock = sys.argv[1:]
    Stock(brokers, prefix, file, [one.split("=") for one in stock]).run()
