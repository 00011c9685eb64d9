// The shell: shows the view that the address names, keeps one live stream, asks for a key, and says when the connection is lost.

import { follow, get, hasKey, isOver, Problem, query, setKey } from "./api.js";
import { at, base } from "./base.js";
import { h, notice, setText } from "./dom.js";
import { duration, setCurrency, tick, zone } from "./format.js";
import { strip } from "./strip.js";

const VIEWS = [
  [/^\/$/, "Dashboard", () => import("./page-dashboard.js")],
  [/^\/orders$/, "Orders", () => import("./page-orders.js")],
  [/^\/orders\/([^/]+)$/, "Order", () => import("./page-order.js")],
  [/^\/reports$/, "Report", () => import("./page-reports.js")],
  [/^\/attention$/, "Attention", () => import("./page-attention.js")],
  [/^\/system$/, "System", () => import("./page-system.js")],
];
const NAV = [["/", "Dashboard", true], ["/orders", "Orders", false], ["/reports", "Reports", true], ["/attention", "Attention", true], ["/system", "System", true]];

const byId = (id) => document.getElementById(id);
const main = byId("main");
const attention = strip(byId("strip"));
let me = null;
let shown = null;
let streams = null;
let wasLost = false;
let saidBack = 0;

/** The path of an address of the node; empty for others'. */
const pathOf = (url) => (url.origin === location.origin && url.pathname.startsWith(`${base}/`) ? url.pathname.slice(base.length) : "");

const isOperator = () => me !== null && me.role !== "customer";

/** Goes to an address of these pages. */
function go(href, { replace = false } = {}) {
  history[replace ? "replaceState" : "pushState"](null, "", at(href));
  show(true);
}

function leave() {
  streams?.();
  streams = null;
  shown?.abort.abort();
  shown?.view?.leave?.();
  shown = null;
}

async function show(moved = false) {
  leave();
  const path = pathOf(location);
  const found = VIEWS.find(([pattern]) => pattern.test(path));
  if (!found) return failed(h("p", null, "There is no such page."));
  if (!isOperator() && !path.startsWith("/orders")) return go("/orders", { replace: true });
  const [pattern, name, load] = found;
  const mine = { abort: new AbortController(), view: null };
  shown = mine;
  nav(path);
  document.title = `${name} · ordermill`;
  try {
    const module = await load();
    if (shown !== mine) return;
    const context = {
      me, go, isOperator: isOperator(), signal: mine.abort.signal, parameter: path.match(pattern)[1],
      query: Object.fromEntries(new URLSearchParams(location.search)),
      /** Follows other topics from now on. */
      stream: (topics, parameters) => { if (shown === mine) listen(mine, topics, parameters); },
      title: (text) => { document.title = `${text} · ordermill`; },
      fail: (error) => { if (shown === mine) fail(error); },
    };
    mine.view = module.default(context);
    main.replaceChildren(mine.view.node);
    if (moved) {
      window.scrollTo(0, 0);
      main.focus({ preventScroll: true });
    }
    const { topics = [], parameters = {} } = mine.view;
    listen(mine, topics, parameters);
  } catch (error) {
    fail(error);
  }
}

/** One stream for all that the page shows. */
function listen(mine, topics, parameters) {
  streams?.();
  const all = [...(isOperator() ? ["attention"] : []), ...topics];
  if (all.length === 0) return;
  const latest = new Map();
  let planned = false;
  const flush = () => {
    planned = false;
    if (shown !== mine) return;
    for (const [topic, data] of latest) {
      if (topic === "attention") attention.show(data);
      mine.view.on?.[topic]?.(data);
    }
    latest.clear();
  };
  const path = `/api/v1/live${query({ topics: all.join(","), ...parameters })}`;
  streams = follow(path, (topic, data) => {
    if (topic === "elsewhere") return data.forEach((name) => mine.view.on?.elsewhere?.(name));
    latest.set(topic, data);
    if (!planned) {
      planned = true;
      requestAnimationFrame(flush);
    }
  }, connection);
}

function connection({ live, retryMs, refused }) {
  const box = byId("connection");
  const lost = () => (refused ? "Not live: the node refused to follow this page." : `Connection lost, trying again in ${duration(retryMs)}.`);
  const text = live ? (wasLost ? "Connection is back" : "Live") : `${lost()} What you see may be old.`;
  setText(box, text);
  box.className = `connection ${live ? "live" : "lost"}`;
  document.body.classList.toggle("stale", !live);
  clearTimeout(saidBack);
  if (live && wasLost) saidBack = setTimeout(() => setText(box, "Live"), 6000);
  wasLost = !live;
}

function nav(path) {
  const links = NAV.filter(([, , forOperators]) => isOperator() || !forOperators).map(([href, name]) => {
    const isCurrent = href === "/" ? path === "/" : path === href || path.startsWith(`${href}/`);
    return h("a", { href, "aria-current": isCurrent ? "page" : null }, name);
  });
  byId("nav").replaceChildren(...links);
}

function failed(...children) {
  main.replaceChildren(notice("bad", ...children));
}

function fail(error) {
  if (isOver(error) || error.status === 401) return;
  const again = h("button", { type: "button", onclick: () => show() }, "Try again");
  failed(h("p", null, error instanceof Problem ? error.message : `This page failed: ${error.message}`), again);
  if (!(error instanceof Problem)) console.error(error);
}

/** Takes everything off the screen that an earlier key has shown. */
function forget() {
  leave();
  for (const dialog of document.querySelectorAll("dialog")) dialog.remove();
  me = null;
  main.replaceChildren();
  byId("nav").replaceChildren();
  byId("account").replaceChildren();
  byId("find").hidden = true;
  byId("find-id").value = "";
  setText(byId("connection"), "");
  attention.clear();
  document.title = "ordermill";
}

function signIn(why) {
  forget();
  const field = h("input", { id: "key", name: "key", type: "password", autocomplete: "current-password", required: true, "aria-describedby": "key-help" });
  const error = h("p", { class: "field-error", role: "alert" }, why ?? "");
  const form = h("form", { class: "sign-in panel" },
    h("h1", null, "Sign in"),
    h("p", { id: "key-help" }, "This node wants an access key (", h("code", null, "access.keys"), "). It is kept until this tab is closed, and shows only what it may see."),
    h("label", { for: "key" }, "Access key"), field, error, h("button", { type: "submit", class: "primary" }, "Sign in"));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    setKey(field.value.trim());
    start(true);
  });
  main.replaceChildren(form);
  field.focus();
}

function account() {
  if (!me.hasKeys) return;
  const out = () => { setKey(null); signIn(); };
  byId("account").replaceChildren(
    h("span", { class: "who", title: `role ${me.role}` }, `${me.name} (${me.role})`), h("button", { type: "button", class: "quiet", onclick: out }, "Sign out"));
}

/** Begins anew: who am I, and what may I see. */
async function start(signedIn = false) {
  forget();
  try {
    me = await get("/api/v1/whoami");
  } catch (error) {
    if (isOver(error)) return;
    if (error.status === 401) return signIn(signedIn ? "This key is unknown." : undefined);
    failed(h("p", null, error.message), h("button", { type: "button", onclick: () => start() }, "Try again"));
    setTimeout(() => { if (me === null && error.status === 0) start(signedIn); }, 3000);
    return;
  }
  setCurrency(me.currency);
  byId("find").hidden = false;
  account();
  foot();
  show();
}

async function foot() {
  const info = await get("/info").catch(() => null);
  if (!info) return;
  byId("foot").replaceChildren(
    h("span", null, `${info.node} · ordermill ${info.version} (${info.commit}) · ${info.database}`), h("span", null, `Times in ${zone}`),
    h("span", { class: "links" }, h("a", { href: "/docs/" }, "API"), " ", h("a", { href: "/health" }, "Health"), " ", h("a", { href: "/metrics" }, "Metrics"), " ",
      h("a", { href: "/assets/uplot-licence.txt" }, "Licence of uPlot")));
}

document.addEventListener("needs-key", () => {
  if (me !== null) {
    setKey(null);
    signIn("The key is no longer accepted.");
  }
});
document.addEventListener("click", (event) => {
  const link = event.target.closest?.("a[href]");
  if (!link || event.defaultPrevented || event.button !== 0 || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  const url = new URL(link.href);
  if (link.classList.contains("skip")) {
    event.preventDefault();
    return main.focus();
  }
  const path = pathOf(url);
  if (link.target || link.hasAttribute("download") || !VIEWS.some(([pattern]) => pattern.test(path))) return;
  event.preventDefault();
  if (me !== null) go(path + url.search);
});
document.addEventListener("keydown", (event) => {
  const isTyping = event.target.closest?.("input, textarea, select, [contenteditable]");
  if (event.key === "/" && !isTyping && !event.ctrlKey && !event.metaKey && !document.querySelector("dialog[open]") && !byId("find").hidden) {
    event.preventDefault();
    byId("find-id").focus();
  }
});
byId("find").addEventListener("submit", (event) => {
  event.preventDefault();
  const id = byId("find-id").value.trim();
  if (id === "") return;
  byId("find-id").value = "";
  go(`/orders/${encodeURIComponent(id)}`);
});
window.addEventListener("popstate", () => { if (me !== null) show(); });
setInterval(tick, 1000);
// As it stands in the shell it is relative to where this page began.
document.querySelector(".brand").href = at("/");
start(hasKey());
