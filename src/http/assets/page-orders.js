// The list of orders: filters, pages by key, and live at its beginning.
//
// What is shown is brought up to date in place. New orders come in at the top only while nobody points at, selects in or has the focus in
// the list; else a button says how many there are.

import { get, query } from "./api.js";
import { command, copyButton, empty, h, keyed, notice, quoted, setText } from "./dom.js";
import { agoOf, count, dayStart, idOf, local, money } from "./format.js";
import { setBadge, STATUS } from "./words.js";

/** The filters of the API, as fields of the form, and as options of the command. A new filter of the API is one more line. */
const FILTERS = [
  { name: "status", label: "Status", option: "--status", options: [["", "Any"], ...Object.entries(STATUS).map(([status, [label]]) => [status, label])] },
  { name: "customerId", label: "Customer id", option: "--customer", placeholder: "UUID", forOperators: true, pattern: "[0-9a-fA-F-]{32,36}" },
  { name: "from", label: "Placed since", option: "--since", placeholder: "1h, 7d, 2026-11-29", list: "times" },
  { name: "to", label: "Placed before", option: "--until", placeholder: "5m, 2026-11-30", list: "times" },
];
/** Lists that people ask for often. */
const VIEWS = () => [
  ["All", {}],
  ["Today", { from: local(dayStart()) }],
  ["Waiting for payment", { status: "INVENTORY_RESERVED" }],
  ["Stuck for 5 minutes", { status: "INVENTORY_RESERVED", to: "5m" }],
  ["Failed today", { status: "FAILED", from: local(dayStart()) }],
  ["Cancelled today", { status: "CANCELLED", from: local(dayStart()) }],
];
const PAGE = 50;

export default function orders({ query: asked, go, isOperator, signal, fail, stream }) {
  const fields = FILTERS.filter((filter) => isOperator || !filter.forOperators);
  const wanted = Object.fromEntries(fields.map(({ name }) => [name, asked[name]]).filter(([, value]) => value));
  const body = h("tbody");
  const status = h("p", { class: "list-status", role: "status" });
  const fresh = h("button", { type: "button", class: "fresh", hidden: true });
  const more = h("button", { type: "button", hidden: true }, "Older orders");
  const nothing = h("div", { hidden: true });
  const table = h("table", { class: "orders" },
    h("caption", { class: "sr" }, "Orders, newest first"),
    h("thead", null, h("tr", null,
      h("th", { scope: "col" }, "Status"), h("th", { scope: "col", class: "number" }, "Total"), h("th", { scope: "col" }, "Order"),
      h("th", { scope: "col" }, "Placed"), h("th", { scope: "col" }, "Last change"), h("th", { scope: "col" }, "Waits for"))), body);
  const list = h("div", { class: "panel flush" }, table, nothing);

  let rows = [];
  let held = null;
  let cursor = null;

  const make = (order) => {
    const href = `/orders/${order.orderId}`;
    const row = h("tr", null,
      h("td", { class: "c-status" }, h("span", { class: "badge" })),
      h("td", { class: "number c-total" }, money(order.totalAmount)),
      h("td", { class: "c-id" }, h("a", { href }, idOf(order.orderId)), copyButton(order.orderId, "the order's id")),
      h("td", { class: "c-placed" }, agoOf(order.createdAt)),
      h("td", { class: "c-changed" }),
      h("td", { class: "c-waits" }));
    row.addEventListener("click", (event) => {
      if (event.target.closest("a, button") || getSelection().toString() !== "") return;
      go(href);
    });
    return row;
  };
  /** Why an order waits for a person, by its id; of the newest 200 that do. */
  let parked = new Map();
  const mark = async ({ items }) => {
    const isAny = items.some((item) => item.kind === "parked-orders");
    if (!isAny && parked.size === 0) return;
    const { items: letters } = isAny ? await get("/api/v1/admin/dlq?state=OPEN&kind=STEP&limit=200", signal) : { items: [] };
    parked = new Map(letters.map((letter) => [letter.orderId, `a person: ${letter.cause} at ${letter.step}`]));
    draw();
  };
  const update = (row, order) => {
    const [state, , , , changed, waits] = row.children;
    const isNew = state.firstElementChild.dataset.status !== order.status;
    if (isNew && state.firstElementChild.dataset.status !== undefined) flash(row);
    setBadge(state.firstElementChild, order.status);
    if (changed.dataset.at !== order.updatedAt) {
      changed.dataset.at = order.updatedAt;
      changed.replaceChildren(agoOf(order.updatedAt));
    }
    setText(waits, parked.get(order.orderId) ?? order.waitsFor ?? "");
    waits.classList.toggle("bad", parked.has(order.orderId));
  };
  const draw = () => {
    keyed(body, rows, (order) => order.orderId, make, update);
    table.hidden = rows.length === 0;
    nothing.hidden = rows.length > 0;
    setText(status, rows.length === 0 ? "" : `${count(rows.length)}${cursor ? "+" : ""} ${rows.length === 1 ? "order" : "orders"}, newest first`);
    more.hidden = cursor === null;
    if (rows.length === 0) nothing.replaceChildren(nothingThere());
  };
  const nothingThere = () => {
    if (cursor !== null) return empty("No match among the newest 10,000 orders", h("p", null, "Older orders have not been looked at yet."));
    if (Object.keys(wanted).length > 0) return empty("No order matches", h("p", null, h("a", { href: "/orders" }, "Show all orders")));
    return empty("No orders yet", h("p", null, "Place one with ", h("code", null, "POST /api/v1/orders"), " (", h("a", { href: "/docs/" }, "the API"), " shows how), or run ", h("code", null, "ordermill demo"), "."));
  };
  const isBusy = () => list.matches(":hover") || list.contains(document.activeElement) || (getSelection().toString() !== "" && list.contains(getSelection().anchorNode));
  /** Takes the newest page: what is known is updated at once, what is new waits while somebody works in the list. */
  const take = (page) => {
    const known = new Map(rows.map((order) => [order.orderId, order]));
    const news = page.items.filter((order) => !known.has(order.orderId) && (rows.length === 0 || order.orderId > rows[0].orderId));
    const latest = new Map(page.items.map((order) => [order.orderId, order]));
    rows = rows.map((order) => latest.get(order.orderId) ?? order);
    if (rows.length === 0) cursor = page.nextCursor ?? null;
    if (rows.length === 0 || !isBusy()) return insert(news);
    held = news.length > 0 ? news : null;
    fresh.hidden = held === null;
    setText(fresh, held ? `↑ ${count(held.length)}${held.length === PAGE ? "+" : ""} new ${held.length === 1 ? "order" : "orders"}` : "");
    draw();
  };
  const insert = (news) => {
    held = null;
    fresh.hidden = true;
    // More than a page has come at once: what lies between is not known, so the list begins anew.
    const isGap = news.length === PAGE && rows.length > 0;
    rows = isGap ? news : [...news, ...rows];
    if (rows.length > PAGE * 4 && news.length > 0) {
      rows = rows.slice(0, PAGE);
      cursor = null;
      get(`/api/v1/orders${query({ ...wanted, limit: PAGE })}`, signal).then((page) => { cursor = page.nextCursor ?? null; draw(); }).catch(() => {});
    }
    draw();
  };
  const older = async () => {
    more.disabled = true;
    try {
      const page = await get(`/api/v1/orders${query({ ...wanted, limit: PAGE, cursor })}`, signal);
      const known = new Set(rows.map((order) => order.orderId));
      rows = [...rows, ...page.items.filter((order) => !known.has(order.orderId))];
      cursor = page.nextCursor ?? null;
      draw();
    } catch (error) {
      fail(error);
    }
    more.disabled = false;
  };
  fresh.addEventListener("click", () => { if (held) insert(held); });
  more.addEventListener("click", older);

  const errors = h("div");
  const form = filterForm(fields, wanted, go);
  const views = h("ul", { class: "chips", "aria-label": "Often asked for" }, VIEWS().map(([name, filter]) => {
    const href = `/orders${query(filter)}`;
    const isCurrent = query(filter) === query(wanted);
    return h("li", null, h("a", { href, class: "chip", "aria-current": isCurrent ? "true" : null }, name));
  }));
  const cli = ["ordermill orders list", ...fields.map(({ name, option }) => wanted[name] && `${option} ${quoted(wanted[name])}`)].filter(Boolean).join(" ");
  const node = h("div", { class: "page" },
    h("div", { class: "head" }, h("h1", null, "Orders"), views), form, errors,
    h("div", { class: "list-head" }, status, fresh), list, h("p", { class: "more" }, more), command(cli));

  get(`/api/v1/orders${query({ ...wanted, limit: PAGE })}`, signal).then(take).catch((error) => {
    if (error.status !== 400) return fail(error);
    errors.replaceChildren(notice("bad", ...(error.body.errors ?? []).map((one) => h("p", null, `${one.pointer.slice(1)} ${one.detail}`))));
    stream([], {});
  });
  return { node, topics: ["orders"], parameters: { ...wanted, limit: PAGE }, on: { orders: take, attention: (data) => mark(data).catch(() => {}), elsewhere: () => poll(wanted, signal, take) } };
}

/** Where the node cannot follow the orders, they are asked for. */
function poll(wanted, signal, take) {
  const timer = setInterval(() => {
    if (signal.aborted) return clearInterval(timer);
    if (!document.hidden) get(`/api/v1/orders${query({ ...wanted, limit: PAGE })}`, signal).then(take).catch(() => {});
  }, 3000);
}

function flash(row) {
  row.classList.remove("changed");
  void row.offsetWidth;
  row.classList.add("changed");
}

function filterForm(fields, wanted, go) {
  const field = ({ name, label, options, placeholder, pattern, list }) => {
    const id = `filter-${name}`;
    const input = options
      ? h("select", { id, name }, options.map(([value, text]) => h("option", { value, selected: value === (wanted[name] ?? "") }, text)))
      : h("input", { id, name, type: "text", value: wanted[name] ?? "", placeholder, pattern, list, autocomplete: "off", spellcheck: "false" });
    return h("div", { class: "field" }, h("label", { for: id }, label), input);
  };
  const form = h("form", { class: "filters panel", role: "search", "aria-label": "Filter orders" }, fields.map(field),
    h("datalist", { id: "times" }, ["5m", "1h", "24h", "7d"].map((value) => h("option", { value }))),
    h("div", { class: "buttons" }, h("button", { type: "submit", class: "primary" }, "Show"), h("a", { class: "button", href: "/orders" }, "Clear")));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const values = Object.fromEntries([...new FormData(form)].map(([name, value]) => [name, value.trim()]));
    go(`/orders${query(values)}`);
  });
  // On a small screen the orders come first.
  const isOpen = matchMedia("(min-width: 701px)").matches || Object.keys(wanted).length > 0;
  return h("details", { class: "filter-box", open: isOpen }, h("summary", null, "Filter"), form);
}
