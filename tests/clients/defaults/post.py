"""Sends a body so often, one after another, on one connection of the standard library: post.py URL COUNT BODY"""

import http.client
import sys
import urllib.parse

url, count, body = sys.argv[1:]
parts = urllib.parse.urlsplit(url)
client = http.client.HTTPConnection(parts.hostname, parts.port)
taken = lost = 0
for _ in range(int(count)):
    try:
        client.request("POST", parts.path, body, {"Content-Type": "application/json"})
        response = client.getresponse()
        response.read()
        taken += response.status == 202
    except (OSError, http.client.HTTPException) as failure:
        lost += 1
        print(failure, file=sys.stderr)
print(f"taken {taken} lost {lost}")
