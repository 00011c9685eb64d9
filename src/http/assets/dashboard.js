"use strict";
// Shows orders as they move. Asks the JSON endpoints once a second while the page is seen; all text is set as text, never as HTML.
const EVERY_MS = 1000;
const SHOWN = 50;
const byId = (id) => document.getElementById(id);
const seen = new Map();
let selected = null;
let hasAnalytics = true;

function element(name, text, className) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

async function get(path) {
  const key = sessionStorage.getItem("key");
  const answer = await fetch(path, { headers: key ? { Authorization: `Bearer ${key}` } : {}, cache: "no-store" });
  const body = await answer.json().catch(() => ({}));
  if (!answer.ok) throw Object.assign(new Error(body.detail || answer.statusText), { status: answer.status });
  return body;
}

function notice(text) {
  byId("notice").hidden = !text;
  byId("notice").textContent = text || "";
}

function time(text) {
  return new Date(text).toLocaleTimeString();
}

function showOrders(items) {
  byId("empty").hidden = items.length > 0;
  const counts = new Map();
  const rows = items.map((order) => {
    counts.set(order.status, (counts.get(order.status) || 0) + 1);
    const row = element("tr");
    row.tabIndex = 0;
    const before = seen.get(order.orderId);
    if (before !== order.status) {
      if (seen.size > 0) row.className = "changed";
      seen.set(order.orderId, order.status);
    }
    const id = element("td");
    id.append(element("code", order.orderId));
    const status = element("td");
    status.append(element("span", order.status, `status ${order.status}`));
    row.append(id, element("td", time(order.createdAt)), status, element("td", order.totalAmount, "amount"));
    const choose = () => { selected = order.orderId; showOrder().catch(fail); };
    row.addEventListener("click", choose);
    row.addEventListener("keydown", (event) => { if (event.key === "Enter") choose(); });
    return row;
  });
  const focused = document.activeElement && document.activeElement.closest("#orders tr");
  const place = focused ? [...byId("orders").children].indexOf(focused) : -1;
  byId("orders").replaceChildren(...rows);
  if (place >= 0 && rows[place]) rows[place].focus();
  byId("counts").replaceChildren(...[...counts].map(([name, count]) => element("li", `${count} ${name}`, name)));
  while (seen.size > 20 * SHOWN) seen.delete(seen.keys().next().value);
}

async function showOrder() {
  if (!selected) return;
  const order = await get(`/api/v1/orders/${selected}`);
  byId("order").hidden = false;
  byId("order-title").textContent = `Order ${order.orderId}`;
  const parts = [order.status, order.reason, `total ${order.totalAmount}`, `payment ${order.payment.status}`, `${order.items.length} items`];
  if (order.parked) parts.push(`parked: ${order.parked}`);
  byId("order-facts").textContent = parts.filter(Boolean).join(" · ");
  byId("history").replaceChildren(...order.history.map((entry) => element("li", `${time(entry.at)}  ${entry.event} → ${entry.status}`)));
}

function tile(name, value) {
  const made = element("div");
  made.append(element("dt", name), element("dd", value));
  return made;
}

async function showNumbers() {
  const tiles = [];
  if (hasAnalytics) {
    try {
      const board = await get("/api/v1/analytics/dashboard");
      for (const [name, value] of Object.entries(board)) {
        if (typeof value === "number" || typeof value === "string") {
          tiles.push(tile(name.replace(/([A-Z])/g, " $1").toLowerCase(), String(value)));
        }
      }
    } catch (error) {
      if (error.status === 404 || error.status === 403) hasAnalytics = false; else throw error;
    }
  }
  byId("numbers").replaceChildren(...tiles);
  byId("numbers").parentElement.hidden = tiles.length === 0;
}

function fail(error) {
  if (error.status === 401) {
    byId("key-button").hidden = false;
    notice("This node wants an access key.");
  } else if (error.status) {
    notice(error.message);
  } else {
    notice("The node does not answer; trying again.");
  }
}

async function look() {
  if (!document.hidden) {
    try {
      showOrders((await get(`/api/v1/orders?limit=${SHOWN}`)).items);
      await showNumbers();
      await showOrder();
      notice("");
    } catch (error) {
      fail(error);
    }
  }
  setTimeout(look, EVERY_MS);
}

byId("key-button").addEventListener("click", () => {
  const key = window.prompt("Access key (kept until this tab is closed)");
  if (key) sessionStorage.setItem("key", key.trim());
});
get("/info").then((info) => { byId("node").textContent = `${info.node} · ${info.version} · ${info.database}`; }).catch(() => {});
look();
