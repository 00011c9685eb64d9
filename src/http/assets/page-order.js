// One order: what it waits for, its goods and money, everything that has happened to it, and what may be done about it.

import { call, get, query } from "./api.js";
import { command, copyButton, empty, h, keyed, notice, setText } from "./dom.js";
import { ago, agoOf, count, duration, exact, full, idOf, major, minor, money, timeOf } from "./format.js";
import { letterCard, letters } from "./letters.js";
import { ANSWERS, badge, EVENTS, KINDS, letterBadge, NOTICES, reasonOf, setBadge, sign, signed } from "./words.js";

const UUID = /^[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}$/i;
const CANCELLABLE = ["PENDING", "INVENTORY_RESERVED", "CONFIRMED"];

export default function order({ parameter, signal, fail, isOperator, title }) {
  const id = decodeURIComponent(parameter);
  const node = h("div", { class: "page" });
  if (!UUID.test(id)) {
    node.append(h("h1", null, "Order"), notice("bad", h("p", null, `“${id}” is not an order's id. An id is a UUID such as 0190c2f4-7b6a-7cc3-98c4-dc0c0c07398f.`), h("p", null, h("a", { href: "/orders" }, "All orders"))));
    return { node };
  }
  title(`Order ${id.slice(-12)}`);
  const names = new Map();
  let shown = null;
  let dead = [];
  const parts = frame(id, isOperator);
  const reload = async () => {
    await refreshLetters();
    take(await get(`/api/v1/orders/${id}`, signal));
  };
  const refreshLetters = async () => {
    if (!isOperator) return;
    const page = await letters({ orderId: id, limit: 50 }, signal);
    const withStory = await Promise.all(page.items.map((letter) => get(`/api/v1/admin/dlq/${letter.letterId}`, signal).catch(() => letter)));
    const before = JSON.stringify(dead);
    dead = withStory;
    if (before === JSON.stringify(dead)) return;
    const busy = parts.letters.contains(document.activeElement);
    if (busy) parts.letters.dataset.old = "true";
    parts.letterSection.hidden = dead.length === 0;
    keyed(parts.letters, dead, (letter) => `${letter.letterId}:${letter.state}`, (letter) => letterCard(letter, { done: () => reload().catch(fail) }));
  };
  const take = (next) => {
    const isSame = shown !== null && shown.updatedAt === next.updatedAt && shown.history.length === next.history.length && shown.parked === next.parked;
    shown = next;
    if (!node.contains(parts.root)) node.replaceChildren(parts.root);
    draw(parts, shown, dead, names, { reload: () => reload().catch(fail), isOperator });
    if (!isSame) refreshLetters().then(() => draw(parts, shown, dead, names, { reload: () => reload().catch(fail), isOperator })).catch(() => {});
  };
  const named = async (first) => {
    const ids = [...new Set(first.items.map((item) => item.productId))].slice(0, 200);
    const { items } = await get(`/api/v1/products${query({ ids: ids.join(",") })}`, signal);
    items.forEach((product) => names.set(product.productId, product.name));
    draw(parts, shown, dead, names, { reload: () => reload().catch(fail), isOperator });
  };
  get(`/api/v1/orders/${id}`, signal).then((first) => { take(first); named(first).catch(() => {}); }).catch((error) => {
    if (error.status !== 404) return fail(error);
    node.replaceChildren(h("h1", null, "Order"), notice("bad", h("p", null, "There is no such order, or this key may not see it."), h("p", null, h("a", { href: "/orders" }, "All orders"))));
  });
  parts.download.addEventListener("click", () => download(shown, dead));
  const timer = setInterval(() => countdown(parts.waits), 1000);
  signal.addEventListener("abort", () => clearInterval(timer));
  return { node, topics: ["order"], parameters: { orderId: id }, on: { order: take, elsewhere: () => {
    const poll = setInterval(() => { if (!document.hidden) get(`/api/v1/orders/${id}`, signal).then(take).catch(() => {}); }, 2000);
    signal.addEventListener("abort", () => clearInterval(poll));
  } } };
}

/** The parts of the page, empty. */
function frame(id, isOperator) {
  const section = (name, ...children) => h("section", { class: "panel", "aria-labelledby": `s-${name}` }, h("h2", { id: `s-${name}` }, name), ...children);
  const parts = {
    status: h("span", { class: "badge" }), parked: signed("bad", "Parked"), total: h("strong", { class: "total" }), facts: h("p", { class: "facts" }), waits: h("div", { class: "waits", role: "status" }),
    items: h("tbody"), money: h("dl", { class: "money" }), moneyNote: h("p", { class: "dim" }), timeline: h("ol", { class: "timeline" }), letters: h("div", { class: "letters" }),
    delivery: h("dl", { class: "pairs" }), notices: h("ul", { class: "plain" }), actions: h("div", { class: "buttons" }), ids: h("dl", { class: "pairs stacked" }),
    download: h("button", { type: "button" }, "Download as JSON"),
  };
  parts.letterSection = section("Dead letters", parts.letters);
  parts.letterSection.hidden = true;
  parts.root = h("div", { class: "stack" },
    h("div", { class: "head" }, h("div", null, h("p", { class: "crumb" }, h("a", { href: "/orders" }, "Orders")), h("h1", { class: "order-title" }, "Order ", h("code", null, id), copyButton(id, "the order's id"))), parts.download),
    h("p", { class: "lead" }, parts.status, parts.parked, parts.total), parts.facts, parts.waits, parts.actions,
    isOperator ? parts.letterSection : null,
    h("div", { class: "grid" },
      h("div", { class: "wide column" },
        section("Items", h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Table of the items" }, h("table", { class: "items" }, h("thead", null, h("tr", null, h("th", { scope: "col" }, "Product"), h("th", { scope: "col", class: "number" }, "Quantity"), h("th", { scope: "col", class: "number" }, "Price"), h("th", { scope: "col", class: "number" }, "Sum"), h("th", { scope: "col" }, "Stock"))), parts.items))),
        section("What has happened", parts.timeline)),
      h("div", { class: "column" }, section("Money", parts.money, parts.moneyNote), section("Delivery", parts.delivery), section("Notices", parts.notices), section("Ids", parts.ids))),
    command(`ordermill orders show ${id}`));
  return parts;
}

function draw(parts, order, dead, names, { reload, isOperator }) {
  setBadge(parts.status, order.status);
  setText(parts.total, money(order.totalAmount));
  parts.parked.hidden = !order.parked;
  once(parts.facts, [order.reason, order.updatedAt], () => [
    order.reason && [h("strong", null, reasonOf(order.reason)), " · "], "placed ", timeOf(order.createdAt), " by ",
    h("a", { href: `/orders?customerId=${order.customerId}` }, "this customer"), " · last change ", agoOf(order.updatedAt), order.settled ? " · settled" : null]);
  once(parts.waits, [order.settled, order.parked, order.waitsFor, order.owes, dead.map((letter) => letter.state), order.status], () => waits(order, dead));
  drawItems(parts.items, order, names);
  once(parts.money, [order.payment, order.totalAmount], () => moneyOf(order));
  setText(parts.moneyNote, [order.payment.reason, order.payment.externalId && `the other team's id: ${order.payment.externalId}`].filter(Boolean).join(" · "));
  once(parts.delivery, [order.shipment, order.shippingAddress, order.contact], () => deliveryOf(order));
  once(parts.notices, [order.notifications], () => noticesOf(order));
  once(parts.ids, [order.orderId], () => pairs([["Order", idWith(order.orderId)], ["Customer", idWith(order.customerId)], ["Payment", idWith(order.payment.paymentId)], ["Correlation", idWith(order.correlationId)]]));
  once(parts.actions, [order.status, order.settled], () => actionsOf(order, { reload, isOperator }));
  drawTimeline(parts.timeline, order, dead);
}

/** Draws a part only when what it is made of has changed, so that what is selected or focused there stays. */
function once(box, from, make) {
  const key = JSON.stringify(from);
  if (box.dataset.from === key) return;
  box.dataset.from = key;
  box.replaceChildren(...h("div", null, make()).childNodes);
}

const idWith = (id) => [h("code", null, id), copyButton(id, "the id")];
const pairs = (all) => all.filter(([, value]) => value).map(([name, value]) => h("div", null, h("dt", null, name), h("dd", null, value)));

/** What the order waits for, on top of the page: who owes it, tries, the last error, the next try. */
function waits(order, dead) {
  const open = dead.filter((letter) => letter.state === "OPEN");
  if (order.parked) {
    const letter = open.find((one) => one.kind === "STEP") ?? open[0];
    return h("div", { class: "wait bad" }, h("h2", null, "Waits for a person"), h("p", null, `The order is parked (${order.parked}): it is not tried again until somebody decides.`),
      letter && h("p", null, h("strong", null, `${letter.cause} at ${letter.step}`), ` after ${count(letter.tries)} tries: ${letter.detail}. `, "Choose an action under Dead letters."));
  }
  if (order.settled) return h("div", { class: "wait good" }, h("p", null, "Waits for nothing: it is settled.", open.length > 0 ? ` ${open.length === 1 ? "A dead letter is" : `${open.length} dead letters are`} still open.` : ""));
  const owes = order.owes ?? [];
  return h("div", { class: "wait busy" }, h("h2", null, "Waits for"), h("ul", null, owes.map((one) => h("li", null,
    h("strong", null, ANSWERS[one.answer] ?? one.answer), one.channel ? ` by ${one.channel.toLowerCase()}` : "", `, from the ${one.role} role`, one.external ? " of another team" : "", " · since ", agoOf(one.since),
    one.tries ? ` · ${one.tries === 1 ? "1 try" : `${count(one.tries)} tries`}` : "", one.lastError ? ` · last error: ${one.lastError}` : "",
    one.nextTryAt ? [" · next try ", h("time", { datetime: one.nextTryAt, title: full(one.nextTryAt), "data-next": one.nextTryAt }, ago(one.nextTryAt))] : ""))),
    order.waitsFor && h("p", null, order.waitsFor), owes.length === 0 && !order.waitsFor && h("p", null, "the next event"));
}

function countdown(box) {
  for (const element of box.querySelectorAll("[data-next]")) setText(element, new Date(element.dataset.next) <= Date.now() ? "now" : ago(element.dataset.next));
}

function drawItems(body, order, names) {
  const held = new Map(order.reservations.map((one) => [one.productId, one.status]));
  const short = new Map((order.shortages ?? []).map((one) => [one.productId, one]));
  const rows = order.items.map((item, at) => ({ ...item, key: `${at}:${item.productId}` }));
  keyed(body, rows, (row) => row.key, (row) => h("tr", null, h("th", { scope: "row", class: "name" }, h("span"), h("code", { class: "under" }, row.productId)), h("td", { class: "number" }, count(row.quantity)), h("td", { class: "number" }, money(row.price)),
    h("td", { class: "number" }, money(major(minor(row.price) * BigInt(row.quantity)))), h("td")),
  (line, row) => {
    setText(line.firstElementChild.firstElementChild, names.get(row.productId) ?? "");
    const missing = short.get(row.productId);
    const text = missing ? `${reasonOf(missing.reason)}${missing.available !== undefined ? `: ${count(missing.available)} of ${count(missing.requested)}` : ""}${missing.price ? `: ${money(missing.price)}` : ""}` : { RESERVED: "reserved", RELEASED: "released", SHIPPED: "shipped" }[held.get(row.productId)] ?? "–";
    setText(line.lastElementChild, text);
  });
}

function moneyOf(order) {
  const { status, amount, method, at, nextTryAt } = order.payment;
  const charged = status === "CHARGED" || status === "REFUNDED" ? amount : "0.00";
  const refunded = status === "REFUNDED" ? amount : "0.00";
  const states = { PENDING: "not answered yet", CHARGED: "charged", FAILED: "failed", CANCELLED: "called off: nothing is charged", REFUNDED: "refunded" };
  return pairs([["Total", money(order.totalAmount)], ["Charged", money(charged)], ["Refunded", money(refunded)], ["Net", h("strong", null, money(major(minor(charged) - minor(refunded))))],
    ["Payment", [`${states[status] ?? status}, by ${method.toLowerCase().replaceAll("_", " ")}`, at ? [" · ", timeOf(at)] : null, nextTryAt ? [" · next try ", timeOf(nextTryAt)] : null]]]);
}

function deliveryOf(order) {
  const { shipment, shippingAddress: to, contact } = order;
  const lines = to && [to.name, to.street, [to.postalCode, to.city].filter(Boolean).join(" "), to.region, to.country].filter(Boolean);
  const all = pairs([["Carrier", shipment?.carrier], ["Tracking", shipment?.trackingNumber && [h("code", null, shipment.trackingNumber), copyButton(shipment.trackingNumber, "the tracking number")]],
    ["Left", shipment && timeOf(shipment.at)], ["To", lines && lines.flatMap((line, at) => (at > 0 ? [h("br"), line] : [line]))], ["Email", contact?.email], ["Phone", contact?.phone]]);
  return all.length > 0 ? all : h("div", { class: "dim" }, h("dt", { class: "sr" }, "Delivery"), h("dd", null, "Not shipped; no address was given."));
}

function noticesOf(order) {
  if (order.notifications.length === 0) return h("li", { class: "dim" }, "None are due yet.");
  const tones = { SENT: ["good", "sent"], GIVEN_UP: ["bad", "given up"], PENDING: ["busy", "pending"] };
  return order.notifications.map((one) => h("li", null, signed(...(tones[one.status] ?? ["plain", one.status])), ` ${NOTICES[one.kind] ?? one.kind}, by ${one.channel.toLowerCase()}`, one.at ? [" · ", timeOf(one.at)] : null));
}

/** Everything, oldest first: events, and what happened with dead letters. */
function drawTimeline(box, order, dead) {
  const entries = order.history.map((entry, at) => ({ key: `e${at}`, at: entry.at, tone: EVENTS[entry.event]?.[1] ?? "plain", text: EVENTS[entry.event]?.[0] ?? entry.event, code: entry.event, status: entry.status, more: entry.externalId }));
  for (const letter of dead) {
    entries.push({ key: `l${letter.letterId}`, at: letter.createdAt, tone: "bad", text: `Dead letter: ${letter.cause} at ${letter.step}`, code: KINDS[letter.kind]?.[0] ?? letter.kind, more: letter.detail });
    for (const [at, entry] of (letter.audit ?? []).entries()) {
      entries.push({ key: `a${letter.letterId}:${at}`, at: entry.at, tone: "warn", text: `Dead letter: ${entry.action.toLowerCase()} by ${entry.by}`, code: "audit", more: entry.note });
    }
  }
  entries.sort((a, b) => (a.at < b.at ? -1 : a.at > b.at ? 1 : 0));
  const start = new Date(order.createdAt).getTime();
  entries.forEach((entry, at) => {
    entry.since = at === 0 ? null : between(entries[at - 1].at, entry.at);
    entry.total = new Date(entry.at).getTime() - start;
  });
  keyed(box, entries, (entry) => entry.key, (entry) => h("li", { class: entry.tone },
    h("span", { class: "mark", "aria-hidden": "true" }, sign(entry.tone)),
    h("div", { class: "what" }, h("strong", null, entry.text), " ", h("code", { class: "dim" }, entry.code), entry.status ? [" ", badge(entry.status)] : null, entry.more ? h("p", { class: "dim" }, entry.more) : null),
    h("div", { class: "when" }, h("time", { datetime: entry.at, title: full(entry.at) }, exact(entry.at)), h("span", { class: "dim since" }))),
  (row, entry) => setText(row.querySelector(".since"), entry.since === null ? "" : `+${duration(entry.since)}`));
}

/** Milliseconds with their parts: times on the wire have microseconds, which dates have not. */
function between(from, to) {
  const micros = (time) => BigInt(new Date(time).getTime()) * 1000n + BigInt(/\.\d{3}(\d{3})/.exec(time)?.[1] ?? 0);
  return Number(micros(to) - micros(from)) / 1000;
}

function actionsOf(order, { reload, isOperator }) {
  const buttons = [];
  if (isOperator && ["CONFIRMED", "INVENTORY_RESERVED", "PENDING"].includes(order.status)) buttons.push(h("button", { type: "button", class: order.status === "CONFIRMED" ? "primary" : null, onclick: () => askShip(order, reload) }, "Ship …"));
  if (CANCELLABLE.includes(order.status)) buttons.push(h("button", { type: "button", onclick: () => askCancel(order, reload) }, "Cancel the order …"));
  return buttons;
}

function askCancel(order, reload) {
  const paid = order.payment.status === "CHARGED";
  confirm({ title: "Cancel this order?", label: "Cancel the order", effect: `Reserved stock is released${paid ? `, ${money(order.payment.amount)} is refunded` : ", nothing is charged"}, and the customer is notified. This cannot be undone.`,
    run: () => call("POST", `/api/v1/orders/${order.orderId}/cancel`, { idempotencyKey: crypto.randomUUID?.() }), reload });
}

function askShip(order, reload) {
  const carrier = h("input", { id: "carrier", name: "carrier", maxlength: 100, autocomplete: "off" });
  const tracking = h("input", { id: "tracking", name: "tracking", maxlength: 100, autocomplete: "off" });
  const early = order.status === "CONFIRMED" ? "" : " It is not paid yet: the shipment is held until it is.";
  confirm({ title: "Mark this order as shipped?", label: "Mark as shipped", effect: `The stock is booked out and the customer is notified.${early}`,
    fields: [h("label", { for: "carrier" }, "Carrier"), carrier, h("label", { for: "tracking" }, "Tracking number"), tracking],
    run: () => {
      const body = Object.fromEntries([["carrier", carrier.value.trim()], ["trackingNumber", tracking.value.trim()]].filter(([, value]) => value !== ""));
      return call("POST", `/api/v1/orders/${order.orderId}/ship`, { body, idempotencyKey: crypto.randomUUID?.() });
    }, reload });
}

function confirm({ title, label, effect, fields = [], run, reload }) {
  const go = h("button", { type: "submit", class: "primary" }, label);
  const back = h("button", { type: "button" }, "Back");
  const error = h("div");
  const form = h("form", { method: "dialog" }, h("h2", { id: "ask-title" }, title), h("p", { class: "effect" }, effect), fields, error, h("div", { class: "buttons end" }, back, go));
  const dialog = h("dialog", { "aria-labelledby": "ask-title" }, form);
  back.addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", () => dialog.remove());
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    go.disabled = true;
    try {
      await run();
      dialog.close();
      reload();
    } catch (problem) {
      error.replaceChildren(notice("bad", problem.message));
      go.disabled = false;
    }
  });
  document.body.append(dialog);
  dialog.showModal();
}

function download(order, dead) {
  if (order === null) return;
  const text = JSON.stringify({ order, deadLetters: dead }, null, 2);
  const link = h("a", { href: URL.createObjectURL(new Blob([text], { type: "application/json" })), download: `order-${order.orderId}.json` });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
