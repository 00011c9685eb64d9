"""Clients of a proxy while the nodes behind it are restarted; none of them tries anything twice: clients.py URL CA FOLDER PRODUCT LIMIT

URL is the proxy's, CA its certificate; ORDERMILL_KEY has an access key. They go on until FOLDER/over exists, or LIMIT seconds. FOLDER/NAME.orders then has the id of each
order that was answered with 202, FOLDER/NAME.errors a line for all else, with what was sent. A line of figures is printed.
"""
import http.client
import json
import os
import ssl
import sys
import threading
import time
import urllib.parse
import uuid

url, ca, folder, product, limit = sys.argv[1:]
parts = urllib.parse.urlsplit(url)
end = time.monotonic() + float(limit)
trust = ssl.create_default_context(cafile=ca)
ACCESS = {"Authorization": f"Bearer {os.environ['ORDERMILL_KEY']}"}
EVERY = 0.2
counts = {}


def over():
    return os.path.exists(f"{folder}/over") or time.monotonic() > end


def connect(timeout=30):
    return http.client.HTTPSConnection(parts.hostname, parts.port, timeout=timeout, context=trust)


def write(name, line):
    with open(f"{folder}/{name}", "a") as file:
        file.write(line + "\n")


def body():
    item = {"productId": product, "quantity": 1, "price": "12.50"}
    return json.dumps({"customerId": product, "items": [item]})


def orders(name, keyed, kept):
    """Places an order, then looks at it; with a key each or without, on one connection or each on its own."""
    done, client = 0, connect()
    while not over():
        began = time.monotonic()
        headers = {"Content-Type": "application/json", **ACCESS}
        key = str(uuid.uuid4())
        if keyed:
            headers["Idempotency-Key"] = key
        if not kept:
            client.close()
            client = connect()
        try:
            client.request("POST", f"{parts.path}/api/v1/orders", body(), headers)
            answer = client.getresponse()
            text = answer.read()
            location = answer.getheader("Location", "")
            if answer.status != 202 or not location.startswith(f"{parts.path}/api/v1/orders/"):
                write(f"{name}.errors", f"{key}: {answer.status} {location} {text!r}")
                continue
            write(f"{name}.orders", json.loads(text)["orderId"])
            done += 1
            client.request("GET", location, headers=ACCESS)
            answer = client.getresponse()
            text = answer.read()
            if answer.status != 200 or json.loads(text)["links"]["self"] != location:
                write(f"{name}.errors", f"GET {location}: {answer.status} {text!r}")
        except (OSError, http.client.HTTPException) as failure:
            write(f"{name}.errors", f"{key}: {failure!r}")
            client.close()
        time.sleep(max(0.0, EVERY - (time.monotonic() - began)))
    counts[name] = done


def pages():
    """Follows a page's stream: its first event comes at once though the stream goes on, and each end is followed by another."""
    streams = 0
    while not over():
        client = connect()
        try:
            client.request("GET", f"{parts.path}/api/v1/live?topics=orders", headers=ACCESS)
            answer = client.getresponse()
            if answer.status != 200:
                write("pages.errors", f"the stream: {answer.status} {answer.read()!r}")
                break
            # A proxy that buffers would hold it back until the stream ends.
            line = b"-"
            while line and not line.startswith(b"event: orders"):
                line = answer.readline()
            streams += bool(line)
            while not over() and answer.readline():
                pass
        except (OSError, http.client.HTTPException) as failure:
            # A node that stops ends its streams: that is an end, in whatever form the proxy passes it on.
            print(f"a stream ended: {failure!r}", file=sys.stderr)
        client.close()
        time.sleep(EVERY)
    counts["streams"] = streams


threads = [threading.Thread(target=orders, args=(f"{key}-{kind}", key == "keyed", kind == "kept"))
           for key in ("keyed", "plain") for kind in ("kept", "fresh")]
threads.append(threading.Thread(target=pages))
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(" ".join(f"{name} {count}" for name, count in sorted(counts.items())))
