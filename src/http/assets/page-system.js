// The machines: health, nodes and shards, breakers, queues, how long steps take.

import { call, get } from "./api.js";
import { command, h, keyed, notice, setText } from "./dom.js";
import { agoOf, count, duration, percent, tenth, timeOf } from "./format.js";
import { signed } from "./words.js";

const POLL_MS = 2_000;
const PROVIDERS = { payment: "Payment provider", email: "Mail server", sms: "SMS gateway" };
const TURNS = {
  close: ["Close", "Calls go through again at once, and what waits continues."],
  trial: ["Trial", "The next call is let through. If it is answered, the breaker closes; if it fails, the breaker opens again."],
  open: ["Open", "No call goes through until a person closes it. Orders wait, nothing fails."],
};
const STEPS = {
  answer: "Answer a placed order (202)", reserve: "Reserve the stock", pay: "Take the payment", confirm: "Confirm, from the placement on", notify: "Notify the customer", commit: "Commit a batch",
};

export default function system({ signal, fail }) {
  const section = (id, title, ...children) => h("section", { class: "panel", "aria-labelledby": id }, h("h2", { id }, title), ...children);
  const health = h("ul", { class: "plain components" });
  const state = h("p");
  const nodes = h("tbody");
  const shards = h("p", { class: "dim" });
  const breakers = h("div", { class: "breakers" });
  const rates = h("dl", { class: "money" });
  const latencies = h("tbody");
  const actors = h("tbody");
  const about = h("dl", { class: "pairs" });
  const latencyNote = h("p", { class: "dim" });
  const noNumbers = h("div");
  const number = (text) => h("th", { scope: "col", class: "number" }, text);
  const column = (text) => h("th", { scope: "col" }, text);
  const region = (label, table) => h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": label }, table);

  const node = h("div", { class: "page" }, h("div", { class: "head" }, h("h1", null, "System"), state),
    h("div", { class: "grid halves" }, section("s-health", "Health of the answering node", health), section("s-breakers", "Circuit breakers of the answering node", breakers)),
    section("s-nodes", "Nodes", region("Nodes and what they own", h("table", null, h("thead", null, h("tr", null, column("Node"), column("State"), column("Owns"), number("Transactions"), number("Events"), number("Not in Kafka"), column("Lease"))), nodes)), shards),
    h("div", { class: "grid halves" },
      section("s-rates", "Throughput of all nodes", rates, noNumbers),
      section("s-steps", "How long steps take on the answering node", region("Times of the steps", h("table", null, h("thead", null, h("tr", null, column("Step"), number("Count"), number("Median"), number("90 %"), number("99 %"), number("Longest"))), latencies)), latencyNote)),
    section("s-actors", "Actors of the answering node", region("Actors by kind", h("table", null, h("thead", null, h("tr", null, column("Kind"), number("Alive"), number("Waiting"), number("Bound"), column("Filled"), number("Restarts"), column("Last cause"))), actors))),
    section("s-about", "Build", about), command("ordermill top"), command("ordermill breakers list"));

  const look = async () => {
    const quiet = (path) => get(path, signal).catch((error) => (error.status === 503 && error.body?.components ? error.body : null));
    const [well, cluster, open, all, metrics, info] = await Promise.all(["/health", "/api/v1/admin/cluster", "/api/v1/admin/breakers", "/api/v1/admin/actors", "/api/v1/analytics/metrics", "/info"].map(quiet));
    if (signal.aborted) return;
    if (well) drawHealth(health, state, well);
    if (cluster) drawNodes(nodes, shards, cluster);
    if (open) drawBreakers(breakers, open.breakers, () => look().catch(fail));
    if (all) drawActors(actors, all);
    noNumbers.replaceChildren(metrics ? "" : h("p", { class: "dim" }, "The analytics role is run by another team."));
    if (metrics) drawMetrics(rates, latencies, latencyNote, metrics);
    if (info) drawInfo(about, info);
  };
  get("/api/v1/admin/cluster", signal).then(look).catch(fail);
  const timer = setInterval(() => { if (!document.hidden && !document.querySelector("dialog[open]")) look().catch(() => {}); }, POLL_MS);
  signal.addEventListener("abort", () => clearInterval(timer));
  return { node };
}

const TONES = { UP: "good", DEGRADED: "warn", DOWN: "bad" };

function drawHealth(box, state, { status, components = {}, reasons = [] }) {
  if (state.dataset.status !== status) {
    state.dataset.status = status;
    state.replaceChildren(signed(TONES[status] ?? "plain", status));
  }
  const rows = [...Object.entries(components).map(([name, one]) => ({ name, ...one })), ...reasons.map((reason) => ({ name: "not ready", status: "DOWN", detail: reason }))];
  keyed(box, rows, (row) => `${row.name}:${row.status}`, (row) => h("li", null, signed(TONES[row.status] ?? "plain", row.status), h("strong", null, row.name), h("span", { class: "dim" })),
    (line, row) => setText(line.lastElementChild, row.detail ?? ""));
}

/** `0–7, 9`: shards in few words. */
function spans(shards) {
  const parts = [];
  for (const shard of shards) {
    const last = parts.at(-1);
    if (last && last[1] + 1 === shard) last[1] = shard;
    else parts.push([shard, shard]);
  }
  return parts.map(([from, to]) => (from === to ? `${from}` : `${from}–${to}`)).join(", ");
}

function drawNodes(box, note, cluster) {
  const live = cluster.writers.filter((writer) => writer.alive || (writer.unpublished ?? 0) > 0);
  const ended = cluster.writers.length - live.length;
  keyed(box, live, (writer) => writer.writer, (writer) => h("tr", null, h("th", { scope: "row", class: "name" }, writer.node, h("span", { class: "under dim" }, `writer ${writer.writer} · ${writer.url}`)), h("td"), h("td", { class: "name" }),
    h("td", { class: "number" }), h("td", { class: "number" }), h("td", { class: "number" }), h("td")),
  (row, writer) => {
    const [, state, owns, commits, events, behind, lease] = row.children;
    if (state.dataset.alive !== String(writer.alive)) {
      state.dataset.alive = String(writer.alive);
      state.replaceChildren(writer.alive ? signed("good", "alive") : signed("bad", "ended"));
    }
    const groups = new Map();
    for (const { role, shards } of writer.owns) {
      const key = spans(shards);
      groups.set(key, [...(groups.get(key) ?? []), role]);
    }
    setText(owns, [...groups].map(([shards, roles]) => `${roles.join(", ")}: ${shards}`).join(" · ") || "nothing");
    setText(commits, count(writer.commits));
    setText(events, count(writer.lastSeq));
    setText(behind, writer.unpublished === undefined ? "–" : count(writer.unpublished));
    setText(lease, writer.alive ? `${duration(Math.max(0, Math.round(writer.leaseLeftMs / 1000) * 1000))} left` : `ended; ${writer.publishedBy === undefined ? "nobody publishes its log yet" : `writer ${writer.publishedBy} publishes its log`}`);
  });
  setText(note, `${count(cluster.shards)} shards in each role; ${cluster.freeShards === 0 ? "all have a node" : `${count(cluster.freeShards)} role shards have no node: their orders wait`}. This page is answered by ${cluster.node}.${ended > 0 ? ` ${count(ended)} earlier runs have ended.` : ""}`);
  note.classList.toggle("bad", cluster.freeShards > 0);
}

function drawBreakers(box, all, done) {
  const names = { CLOSED: ["good", "closed: calls go through"], OPEN: ["bad", "open: no calls"], HALF_OPEN: ["warn", "on trial"] };
  keyed(box, all, (one) => one.provider, (one) => h("article", { class: "breaker" }, h("header", null, h("strong", null, PROVIDERS[one.provider] ?? one.provider), h("span", { class: "breaker-state" })), h("p", { class: "dim" }),
    h("div", { class: "buttons" }, Object.entries(TURNS).map(([turn, [label]]) => h("button", { type: "button", "data-turn": turn, onclick: () => askTurn(one.provider, turn, done) }, `${label} …`)))),
  (card, one) => {
    const state = card.querySelector(".breaker-state");
    const key = `${one.state}${one.openedByHand}`;
    if (state.dataset.key !== key) {
      state.dataset.key = key;
      state.replaceChildren(signed(...(names[one.state] ?? ["plain", one.state])), one.openedByHand ? " by hand" : "");
    }
    const next = one.state === "OPEN" && !one.openedByHand ? ` · next try in ${duration(Math.ceil(one.retryInMs / 1000) * 1000)}` : "";
    setText(card.querySelector("p"), `${one.failures === 1 ? "1 failure" : `${count(one.failures)} failures`} in the window · opened ${one.openedTotal === 1 ? "once" : `${count(one.openedTotal)} times`} since the start${next}`);
    for (const button of card.querySelectorAll("[data-turn]")) button.hidden = button.dataset.turn === (one.state === "CLOSED" ? "close" : one.openedByHand ? "open" : "") || (one.state === "CLOSED" && button.dataset.turn === "trial");
  });
}

function askTurn(provider, turn, done) {
  const [label, effect] = TURNS[turn];
  const note = h("textarea", { id: "turn-note", rows: 2, maxlength: 200 });
  const error = h("div");
  const back = h("button", { type: "button" }, "Back");
  const go = h("button", { type: "submit", class: "primary" }, label);
  const form = h("form", { method: "dialog" }, h("h2", { id: "ask-title" }, `${label}: ${PROVIDERS[provider] ?? provider}?`), h("p", { class: "effect" }, effect, " Only on the answering node."), h("label", { for: "turn-note" }, "Note for the audit"), note, error, h("div", { class: "buttons end" }, back, go));
  const dialog = h("dialog", { "aria-labelledby": "ask-title" }, form);
  back.addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", () => dialog.remove());
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    go.disabled = true;
    try {
      const text = note.value.trim();
      await call("POST", `/api/v1/admin/breakers/${provider}/${turn}`, { body: text === "" ? {} : { note: text } });
      dialog.close();
      done();
    } catch (problem) {
      error.replaceChildren(notice("bad", problem.message));
      go.disabled = false;
    }
  });
  document.body.append(dialog);
  dialog.showModal();
}

function drawActors(box, { actors }) {
  keyed(box, actors, (one) => one.kind, (one) => h("tr", null, h("th", { scope: "row" }, one.kind), h("td", { class: "number" }), h("td", { class: "number" }), h("td", { class: "number" }), h("td", null, h("meter", { min: 0, max: 1, low: 0.5, high: 0.8, optimum: 0, "aria-label": `${one.kind}: share of its bound` })), h("td", { class: "number" }), h("td", { class: "name" })),
    (row, one) => {
      const [, alive, waiting, bound, filled, restarts, cause] = row.children;
      setText(alive, count(one.alive));
      setText(waiting, count(one.waiting));
      setText(bound, one.capacity === 0 ? "–" : count(one.capacity));
      filled.firstElementChild.value = one.capacity === 0 ? 0 : Math.min(1, one.waiting / one.capacity);
      filled.firstElementChild.hidden = one.capacity === 0;
      setText(restarts, count(one.restarts));
      setText(cause, one.lastCause ?? "");
    });
}

function drawMetrics(rates, latencies, note, metrics) {
  const { throughput, errorRates } = metrics;
  const all = [["Orders placed", `${tenth(throughput.placedPerSecond)} a second`], ["Orders confirmed", `${tenth(throughput.confirmedPerSecond)} a second`], ["Payments answered", `${tenth(throughput.paymentsPerSecond)} a second`], ["Notices sent", `${tenth(throughput.noticesPerSecond)} a second`],
    ["Not enough stock", percent(errorRates.stock)], ["Payments failed", percent(errorRates.payments)], ["Tries of notices failed", percent(errorRates.notifications)],
    ["Open orders here", `${count(metrics.openOrders)} of at most ${count(metrics.openOrdersLimit)}`]];
  keyed(rates, all, ([name]) => name, ([name]) => h("div", null, h("dt", null, name), h("dd")), (row, [, value]) => setText(row.lastElementChild, value));
  keyed(latencies, metrics.latencies, (one) => one.step, (one) => h("tr", null, h("th", { scope: "row" }, STEPS[one.step] ?? one.step), ...["", "", "", "", ""].map(() => h("td", { class: "number" }))),
    (row, one) => [count(one.count), ...["p50Ms", "p90Ms", "p99Ms", "maxMs"].map((name) => (one.count === 0 ? "–" : duration(one[name])))].forEach((text, at) => setText(row.children[at + 1], text)));
  setText(note, `Of the last ${duration(metrics.latencyWindowSeconds * 1000)}.`);
}

function drawInfo(box, info) {
  if (box.children.length > 0) return;
  const all = [["Node", info.node], ["Version", `${info.version} (commit ${info.commit})`], ["Roles", info.roles.join(", ")], ["Database", info.database], ["Started", [timeOf(info.startedAt), " · ", agoOf(info.startedAt)]]];
  box.replaceChildren(...all.map(([name, value]) => h("div", null, h("dt", null, name), h("dd", null, value))));
}
