// A line between the nodes and their payment provider that can be cut: provider.js LISTEN PROVIDER CONTROL (HOST:PORT each).
// PUT /away on CONTROL: calls get no answer; /broken: they are answered 500; /up: they go through. GET / tells how many did not.
"use strict";
const http = require("node:http");
const [listen, provider, control] = process.argv.slice(2).map((address) => {
  const [host, port] = address.split(":");
  return { host, port: Number(port) };
});
let mode = "up";
let refused = 0;

http.createServer((request, response) => {
  if (mode === "away") {
    refused += 1;
    return request.socket.destroy();
  }
  if (mode === "broken") {
    refused += 1;
    request.resume();
    return response.writeHead(500).end();
  }
  const { method, url: path, headers } = request;
  const passed = http.request({ ...provider, method, path, headers }, (answer) => {
    response.writeHead(answer.statusCode, answer.headers);
    answer.pipe(response);
  });
  passed.on("error", () => response.destroy());
  request.pipe(passed);
}).listen(listen);

http.createServer((request, response) => {
  const asked = request.url.slice(1);
  if (request.method === "PUT" && ["up", "away", "broken"].includes(asked)) mode = asked;
  response.writeHead(200, { "Content-Type": "application/json" }).end(JSON.stringify({ mode, refused }));
}).listen(control);
