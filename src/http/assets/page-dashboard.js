// The business: today against other days, the way of an order, what sells, what fails. Every number leads to the orders behind it.

import { get, query } from "./api.js";
import { at } from "./base.js";
import { chart } from "./charts.js";
import { command, empty, h, keyed, notice, setText } from "./dom.js";
import { count, dayStart, duration, local, major, mean, minor, money, percent, timeOf, unit } from "./format.js";
import { reasonOf, sign, STATUS } from "./words.js";

const DAY_MS = 86_400_000;
/** How often the numbers of today are asked for at most, while orders move. */
const TODAY_MS = 2_000;
/** Range → [name, bucket of the report, its length]; the hour comes with the stream, by the minute. */
const RANGES = {
  "1h": ["1 hour", null, null],
  "24h": ["24 hours", "hour", () => ({ from: local(new Date(Date.now() - DAY_MS)) })],
  "7d": ["7 days", "hour", () => ({ from: local(dayStart(6)) })],
  "30d": ["30 days", "day", () => ({ from: local(dayStart(29)) })],
  "12w": ["12 weeks", "week", () => ({ from: local(dayStart(83)) })],
};

const report = (parameters, signal) => get(`/api/v1/analytics/reports${query(parameters)}`, signal);

/** The sum of a report's rows; rates follow from the sums. */
function sum(rows) {
  const whole = (name) => rows.reduce((total, row) => total + row[name], 0);
  const amount = (name) => rows.reduce((total, row) => total + minor(row[name]), 0n);
  const [placed, confirmed, charged, failedPayments] = ["placed", "confirmed", "paymentsCharged", "paymentsFailed"].map(whole);
  const [sent, givenUp] = ["noticesSent", "noticesGivenUp"].map(whole);
  const gross = amount("grossSales");
  const share = (part, all) => (all === 0 ? null : part / all);
  return {
    placed, confirmed, charged, failedPayments, shipped: whole("shipped"), failed: whole("failed"), cancelled: whole("cancelled"),
    reserved: whole("stockReserved"), insufficient: whole("stockInsufficient"), gross, refunds: amount("refunds"), net: amount("revenue"),
    average: confirmed === 0 ? null : mean(gross, confirmed), conversion: share(confirmed, placed),
    payments: share(charged, charged + failedPayments), notices: share(sent, sent + givenUp), sent, givenUp,
  };
}

const inMoney = (value) => (value === null ? "–" : money(major(value)));
/** The tiles: name, value, how two values compare, where it leads, what it is. */
const TILES = [
  ["Orders placed", (day) => count(day.placed), (day) => day.placed, () => `/orders${query({ from: local(dayStart()) })}`, "accepted today"],
  ["Revenue, net", (day) => inMoney(day.net), (day) => Number(day.net), () => `/orders${query({ from: local(dayStart()), status: "CONFIRMED" })}`, "sales less refunds"],
  ["Average order", (day) => inMoney(day.average), (day) => (day.average === null ? null : Number(day.average)), () => `/orders${query({ from: local(dayStart()), status: "SHIPPED" })}`, "of confirmed orders"],
  ["Conversion", (day) => percent(day.conversion), (day) => day.conversion, () => `/orders${query({ from: local(dayStart()), status: "CANCELLED" })}`, "confirmed of placed", true],
  ["Payments taken", (day) => percent(day.payments), (day) => day.payments, () => `/orders${query({ from: local(dayStart()), status: "FAILED" })}`, "of those answered", true],
  ["Notices sent", (day) => percent(day.notices), (day) => day.notices, () => "/attention", "of those not given up", true],
];

export default function dashboard({ signal, fail }) {
  const tiles = TILES.map(([name, , , href, about]) => {
    const value = h("span", { class: "tile-value" }, "–");
    const compared = h("span", { class: "tile-compared" });
    return { value, compared, node: h("li", null, h("a", { class: "tile", href: href() }, h("span", { class: "tile-name" }, name), value, h("span", { class: "tile-about" }, about), compared)) };
  });
  const asOf = h("p", { class: "dim as-of" });
  const funnel = h("ol", { class: "funnel" });
  const exits = h("ul", { class: "exits" });
  const progress = h("ul", { class: "bars" });
  const top = productTable(["Product", "Units", "Value"], "Best sellers");
  const low = productTable(["Product", "Available", "Reserved"], "Low on stock");
  const reasons = h("ul", { class: "bars" });
  const sales = h("p", { class: "dim" });
  const problems = h("div");

  const counts = (value) => count(value);
  const ordersChart = chart({ title: "Orders", unit: "orders per minute", signal, series: [
    { label: "placed", color: "--c1", value: counts, fill: true }, { label: "confirmed", color: "--c2", value: counts },
    { label: "shipped", color: "--c3", value: counts, dash: [6, 4] }, { label: "failed", color: "--c4", value: counts, dash: [2, 3] },
    { label: "cancelled", color: "--c5", value: counts, dash: [8, 3, 2, 3] }] });
  const amounts = (value) => money(String(value));
  const moneyChart = chart({ title: "Sales", unit: `${unit()} per minute`, signal, series: [
    { label: "gross", color: "--c2", value: amounts }, { label: "refunded", color: "--c4", value: amounts, dash: [2, 3] }, { label: "net", color: "--c1", value: amounts, fill: true }] });
  const unitText = [ordersChart, moneyChart].map(({ node }) => node.querySelector("figcaption .dim"));
  let range = "1h";
  let latest = null;
  const ranges = h("div", { class: "segments", role: "group", "aria-label": "Range of the charts" }, Object.entries(RANGES).map(([name, [label]]) =>
    h("button", { type: "button", "aria-pressed": String(name === range), onclick: (event) => pick(name, event.currentTarget) }, label)));

  const draw = (rows, bucket, keepZoom) => {
    const times = rows.map((row) => new Date(row.start).getTime() / 1000);
    const of = (name) => rows.map((row) => row[name]);
    const total = rows.reduce((all, row) => all + row.placed, 0);
    setText(unitText[0], ` orders per ${bucket}`);
    setText(unitText[1], ` ${unit()} per ${bucket}`);
    ordersChart.show(times, [of("placed"), of("confirmed"), of("shipped"), of("failed"), of("cancelled")], { keepZoom, summary: `${count(total)} placed in ${RANGES[range][0]}` });
    const net = rows.reduce((all, row) => all + minor(row.revenue), 0n);
    moneyChart.show(times, ["grossSales", "refunds", "revenue"].map((name) => of(name).map(Number)), { keepZoom, summary: `${inMoney(net)} net in ${RANGES[range][0]}` });
  };
  const pick = async (name, button) => {
    range = name;
    for (const other of ranges.children) other.setAttribute("aria-pressed", String(other === button));
    await series(false);
  };
  const series = async (keepZoom) => {
    const [, bucket, parameters] = RANGES[range];
    if (bucket === null) return latest && draw(latest.timeSeries, "minute", keepZoom);
    const asked = range;
    const { rows } = await report({ bucket, ...parameters() }, signal);
    if (asked === range) draw(rows, bucket, keepZoom);
  };

  let others = null;
  const day = async () => {
    const passed = Date.now() - dayStart().getTime();
    const until = (back) => ({ bucket: "day", from: local(dayStart(back)), to: local(new Date(dayStart(back).getTime() + Math.max(passed, 60_000))) });
    const today = report({ bucket: "day", from: local(dayStart()) }, signal);
    // Other days hardly change: once a minute is enough.
    if (others === null || Date.now() - others.at > 60_000) {
      const [yesterday, week] = await Promise.all([report(until(1), signal), report(until(7), signal)]);
      others = { at: Date.now(), yesterday: sum(yesterday.rows), week: sum(week.rows) };
    }
    const now = sum((await today).rows);
    TILES.forEach(([, text, number, , , isShare], at) => {
      setText(tiles[at].value, text(now));
      const parts = [[others.yesterday, "yesterday"], [others.week, "last week"]].map(([other, name]) => compare(number(now), number(other), name, isShare));
      if (tiles[at].compared.dataset.text === parts.map(([text]) => text).join()) return;
      tiles[at].compared.dataset.text = parts.map(([text]) => text).join();
      tiles[at].compared.replaceChildren(...parts.map(([text, tone]) => h("span", { class: tone }, text)));
    });
    way(now);
  };

  let latencies = new Map();
  const way = (now) => {
    const today = local(dayStart());
    const median = (step) => latencies.get(step);
    const steps = [
      ["Placed", now.placed, null, {}], ["Stock reserved", now.reserved, median("reserve"), { status: "INVENTORY_RESERVED" }], ["Paid", now.charged, median("pay"), { status: "CONFIRMED" }],
      ["Confirmed", now.confirmed, median("confirm"), { status: "CONFIRMED" }], ["Shipped", now.shipped, null, { status: "SHIPPED" }]];
    keyed(funnel, steps, ([name]) => name, ([name]) => h("li", null, h("a", null, h("span", { class: "funnel-name" }, name), h("span", { class: "funnel-bar" }, h("span")), h("strong"), h("span", { class: "dim funnel-share" }), h("span", { class: "dim funnel-time" }))),
      (row, [, value, ms, filter]) => {
        const [, bar, number, part, time] = row.firstElementChild.children;
        row.firstElementChild.href = at(`/orders${query({ ...filter, from: today })}`);
        const share = now.placed === 0 ? 0 : Math.min(1, value / now.placed);
        bar.firstElementChild.style.width = `${100 * share}%`;
        setText(number, count(value));
        setText(part, now.placed === 0 ? "" : percent(value / now.placed));
        setText(time, ms === undefined || ms === null ? "" : `median ${duration(ms)}`);
      });
    const ends = [["Not enough stock", now.insufficient, { status: "CANCELLED" }, "plain"], ["Not paid", now.failed, { status: "FAILED" }, "bad"], ["Cancelled, all reasons", now.cancelled, { status: "CANCELLED" }, "plain"]];
    keyed(exits, ends, ([name]) => name, ([name, , filter, tone]) => h("li", null, h("a", { href: `/orders${query({ ...filter, from: today })}` }, h("span", { "aria-hidden": "true", class: tone }, sign(tone)), ` ${name} `, h("strong"))),
      (row, [, value]) => setText(row.querySelector("strong"), count(value)));
  };

  let plannedDay = null;
  const soon = () => {
    plannedDay ??= setTimeout(() => {
      plannedDay = null;
      if (signal.aborted || document.hidden) return;
      day().catch(() => {});
      if (RANGES[range][1] !== null) series(true).catch(() => {});
    }, TODAY_MS);
  };
  const take = (board) => {
    latest = board;
    asOf.replaceChildren("As of ", timeOf(board.asOf));
    if (range === "1h") draw(board.timeSeries, "minute", true);
    states(progress, board);
    top.show(board.topProducts, (one) => [one.name ?? one.productId, count(one.units), money(one.value)], (one) => Number(one.value));
    low.show(board.lowStock, (one) => [one.name, count(one.availableQuantity), count(one.reservedQuantity)], null);
    why(reasons, board);
    const since = board.sales.since ? ["since ", timeOf(board.sales.since), " "] : ["of all time "];
    sales.replaceChildren("Sales ", ...since, `(orders that were confirmed; cancelled later, they are refunded): ${money(board.sales.gross)} gross, ${money(board.sales.refunded)} refunded, `, h("strong", null, `${money(board.sales.net)} net`),
      `, average ${money(board.averageOrderValue)}. Best sellers are net.`);
    soon();
  };
  const times = () => get("/api/v1/analytics/metrics", signal).then((metrics) => {
    latencies = new Map(metrics.latencies.filter((one) => one.count > 0).map((one) => [one.step, one.p50Ms]));
  });
  const poll = setInterval(() => { if (!document.hidden) times().catch(() => {}); soon(); }, 10_000);
  signal.addEventListener("abort", () => { clearInterval(poll); clearTimeout(plannedDay); });

  const load = async () => {
    take(await get("/api/v1/analytics/dashboard", signal));
    await times().catch(() => {});
    await day();
  };
  load().catch((error) => {
    if (error.status !== 404) return fail(error);
    problems.replaceChildren(notice("warn", "The analytics role is run by another team, so there are no numbers here."));
  });

  const node = h("div", { class: "page" },
    h("div", { class: "head" }, h("h1", null, "Today"), asOf), problems, h("ul", { class: "tiles" }, tiles.map((tile) => tile.node)),
    h("div", { class: "grid" },
      h("section", { class: "panel wide", "aria-labelledby": "way" }, h("h2", { id: "way" }, "The way of today's orders"), funnel, h("h3", null, "Left on the way"), exits),
      h("section", { class: "panel", "aria-labelledby": "states" }, h("h2", { id: "states" }, "All orders by status"), progress)),
    h("section", { class: "panel", "aria-labelledby": "series" }, h("div", { class: "head" }, h("h2", { id: "series" }, "Over time"), ranges), h("div", { class: "charts" }, ordersChart.node, moneyChart.node), h("p", { class: "dim" }, "Drag over a chart to zoom in; double-click to see all.")),
    h("div", { class: "grid thirds" },
      h("section", { class: "panel", "aria-labelledby": "top" }, h("h2", { id: "top" }, "Best sellers"), top.node),
      h("section", { class: "panel", "aria-labelledby": "low" }, h("h2", { id: "low" }, "Low on stock"), low.node),
      h("section", { class: "panel", "aria-labelledby": "why" }, h("h2", { id: "why" }, "Why orders ended without goods"), reasons)),
    sales, command("ordermill top"));
  return { node, topics: ["dashboard"], on: { dashboard: take, elsewhere: () => {
    const timer = setInterval(() => { if (!document.hidden) get("/api/v1/analytics/dashboard", signal).then(take).catch(() => {}); }, 3000);
    signal.addEventListener("abort", () => clearInterval(timer));
  } } };
}

/** How a value stands to another: text and tone. */
function compare(now, other, name, isShare) {
  if (other === null || now === null || (other === 0 && !isShare)) return [`${name}: none`, "dim"];
  const change = isShare ? now - other : (now - other) / Math.abs(other);
  const text = isShare ? `${(100 * change).toFixed(1)} points` : percent(change);
  const isSame = Math.abs(change) < 0.0005;
  return [`${isSame ? "=" : change > 0 ? "▲ +" : "▼ "}${isSame ? "" : text} on ${name}`, isSame ? "dim" : change > 0 ? "up" : "down"];
}

function states(box, board) {
  const all = Object.keys(STATUS).map((status) => [status, board.orders.byStatus[status] ?? 0]);
  const most = Math.max(1, ...all.map(([, number]) => number));
  bars(box, all, ([status]) => [STATUS[status][0], `/orders?status=${status}`, STATUS[status][1]], most, board.orders.placed);
  box.title = board.orders.byStatusExact ? "" : "Too many are in progress to be told apart: Pending has all of them";
}

function why(box, board) {
  const failed = [["payment", board.orders.failed]];
  const all = [...Object.entries(board.orders.cancelledByReason), ...failed].filter(([, number]) => number > 0).sort((a, b) => b[1] - a[1]);
  if (all.length === 0) return box.replaceChildren(h("li", null, empty("None so far")));
  if (box.querySelector(".empty")) box.replaceChildren();
  const total = all.reduce((sum, [, number]) => sum + number, 0);
  bars(box, all, ([reason]) => [reason === "payment" ? "Payment declined or failed" : reasonOf(reason), `/orders?status=${reason === "payment" ? "FAILED" : "CANCELLED"}`, "plain"], all[0][1], total);
}

function bars(box, all, of, most, total) {
  keyed(box, all, ([key]) => key, (one) => {
    const [name, href, tone] = of(one);
    return h("li", null, h("a", { href }, h("span", { class: "bar-name" }, h("span", { "aria-hidden": "true", class: tone }, `${sign(tone)} `), name), h("strong"), h("span", { class: "dim bar-share" }), h("span", { class: "bar", "aria-hidden": "true" }, h("span"))));
  }, (row, [, number]) => {
    const [, value, part, bar] = row.firstElementChild.children;
    setText(value, count(number));
    setText(part, total > 0 ? percent(number / total) : "");
    bar.firstElementChild.style.width = `${(100 * number) / most}%`;
  });
}

function productTable([first, second, third], caption) {
  const body = h("tbody");
  const table = h("table", { hidden: true }, h("caption", { class: "sr" }, caption), h("thead", null, h("tr", null, h("th", { scope: "col" }, first), h("th", { scope: "col", class: "number" }, second), h("th", { scope: "col", class: "number" }, third))), body);
  const nothing = empty(caption === "Best sellers" ? "Nothing sold yet" : "Nothing is low on stock");
  return {
    node: h("div", null, table, nothing),
    show(rows, cells) {
      table.hidden = rows.length === 0;
      nothing.hidden = rows.length > 0;
      keyed(body, rows, (row) => row.productId, (row) => h("tr", { title: row.productId }, h("th", { scope: "row", class: "name" }), h("td", { class: "number" }), h("td", { class: "number" })),
        (line, row) => cells(row).forEach((text, at) => setText(line.children[at], text)));
    },
  };
}
