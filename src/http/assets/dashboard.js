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
  const rows = items.map((order) => {
    const line = element("tr");
    line.tabIndex = 0;
    const before = seen.get(order.orderId);
    if (before !== order.status) {
      if (seen.size > 0) line.className = "changed";
      seen.set(order.orderId, order.status);
    }
    const id = element("td");
    id.append(element("code", order.orderId));
    const status = element("td");
    status.append(element("span", order.status, `status ${order.status}`));
    line.append(id, element("td", time(order.createdAt)), status, element("td", order.totalAmount, "amount"));
    const choose = () => {
      selected = order.orderId;
      showOrder().then(() => byId("order").scrollIntoView({ block: "nearest" })).catch(fail);
    };
    line.addEventListener("click", choose);
    line.addEventListener("keydown", (event) => { if (event.key === "Enter") choose(); });
    return line;
  });
  const focused = document.activeElement && document.activeElement.closest("#orders tr");
  const place = focused ? [...byId("orders").children].indexOf(focused) : -1;
  byId("orders").replaceChildren(...rows);
  if (place >= 0 && rows[place]) rows[place].focus({ preventScroll: true });
  while (seen.size > 20 * SHOWN) seen.delete(seen.keys().next().value);
}

async function showOrder() {
  if (!selected) return;
  const order = await get(`/api/v1/orders/${selected}`);
  byId("order").hidden = false;
  byId("order-title").textContent = `Order ${order.orderId}`;
  const parts = [order.status, order.reason, `total ${order.totalAmount}`, `payment ${order.payment.status}`, `${order.items.length} items`];
  if (order.parked) parts.push(`parked: ${order.parked}`);
  if (order.waitsFor) parts.push(`waits for ${order.waitsFor}`);
  if (order.shipment) parts.push(["left", order.shipment.carrier, order.shipment.trackingNumber].filter(Boolean).join(" "));
  byId("order-facts").textContent = parts.filter(Boolean).join(" · ");
  byId("history").replaceChildren(...order.history.map((entry) => element("li", `${time(entry.at)}  ${entry.event} → ${entry.status}`)));
}

function tile(name, value) {
  const made = element("div");
  made.append(element("dt", name), element("dd", value === null || value === undefined ? "–" : String(value)));
  return made;
}

function percent(share) {
  return typeof share === "number" ? `${(100 * share).toFixed(1)} %` : "–";
}

function row(...cells) {
  const made = element("tr");
  made.append(...cells.map((cell, at) => element("td", String(cell), at > 0 ? "amount" : undefined)));
  return made;
}

function bar(x, width, value, most, className) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", "rect");
  const height = (86 * value) / most;
  for (const [name, given] of Object.entries({ x, y: 90 - height, width, height, class: className })) made.setAttribute(name, given);
  return made;
}

function showChart(points) {
  const most = Math.max(1, ...points.map((point) => Math.max(point.placed, point.confirmed)));
  const step = 600 / Math.max(1, points.length);
  const bars = points.flatMap((point, at) => [
    bar(at * step, step * 0.9, point.placed, most, "placed"),
    bar(at * step + step * 0.25, step * 0.4, point.confirmed, most, "confirmed"),
  ]);
  byId("chart").replaceChildren(...bars);
}

async function showNumbers() {
  if (!hasAnalytics) return;
  let board;
  try {
    board = await get("/api/v1/analytics/dashboard");
  } catch (error) {
    if (error.status !== 404 && error.status !== 403) throw error;
    // A customer's key does not see them, nor does a node without that role.
    hasAnalytics = false;
    return;
  }
  byId("business").hidden = false;
  byId("numbers").replaceChildren(
    tile("orders placed", board.orders.placed),
    tile("sales, gross", board.sales.gross),
    tile("refunded", board.sales.refunded),
    tile("revenue, net", board.revenue),
    tile("average sale", board.averageOrderValue),
    tile("conversion", percent(board.conversion)),
    tile("payments charged", percent(board.payments.successRate)),
    tile("notices sent", percent(board.notifications.successRate)),
    tile("to confirmation", board.averageConfirmMs === null ? null : `${Math.round(board.averageConfirmMs)} ms`),
  );
  const statuses = Object.entries(board.orders.byStatus).filter(([, count]) => count > 0);
  byId("statuses").replaceChildren(...statuses.map(([name, count]) => element("li", `${count} ${name}`, name)));
  showChart(board.timeSeries);
  const named = (product) => product.name || product.productId;
  const since = board.sales.since ? ` since ${new Date(board.sales.since).toLocaleString()}` : "";
  byId("sales-note").textContent = `Sales are orders that were confirmed${since}; cancelled later, they are refunded. Best sellers are net.`;
  byId("top").replaceChildren(...board.topProducts.map((product) => row(named(product), product.units, product.value)));
  byId("low").replaceChildren(...board.lowStock.map((product) => row(named(product), product.availableQuantity)));
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
  hasAnalytics = true;
});
get("/info").then((info) => { byId("node").textContent = `${info.node} · ${info.version} · ${info.database}`; }).catch(() => {});
look();
