// What waits for a person: open dead letters by cause and step, to be seen to one by one or all at once; and those that were.

import { get, query } from "./api.js";
import { command, empty, h, keyed, setText } from "./dom.js";
import { agoOf, count } from "./format.js";
import { groupActions, letterCard, letters } from "./letters.js";
import { KINDS, LETTER_STATES } from "./words.js";

const PAGE = 20;
const POLL_MS = 3_000;

export default function attention({ signal, fail, query: asked, go }) {
  const groups = h("div", { class: "groups" });
  const nothing = empty("No open dead letters", h("p", null, "A step that has used up its retries, or a message that cannot be processed, waits here for a person."));
  nothing.hidden = true;
  const total = h("p", { class: "dim", role: "status" });
  const opened = new Map();

  const make = (group) => {
    const list = h("div", { class: "letters" });
    const more = h("button", { type: "button", hidden: true }, "Older ones");
    const state = { cursor: null, items: [] };
    const filter = { state: "OPEN", kind: group.kind, cause: group.cause, step: group.step };
    const load = async (cursor) => {
      const page = await letters({ ...filter, limit: PAGE, cursor }, signal);
      state.items = cursor ? [...state.items, ...page.items] : page.items;
      state.cursor = page.nextCursor ?? null;
      keyed(list, state.items, (letter) => letter.letterId, (letter) => letterCard(letter, { withOrder: true, done: refresh }));
      more.hidden = state.cursor === null;
      if (state.items.length === 0) list.replaceChildren(h("p", { class: "dim" }, "None are open any more."));
    };
    more.addEventListener("click", () => load(state.cursor).catch(fail));
    const details = h("details", null, h("summary", null, "Show them"), list, more);
    details.addEventListener("toggle", () => {
      if (!details.open) return opened.delete(keyOf(group));
      opened.set(keyOf(group), () => load());
      load().catch(fail);
    });
    const example = h("p", { class: "detail" });
    letters({ ...filter, limit: 1 }, signal).then(({ items: [one] }) => {
      if (one) example.replaceChildren(one.detail, ...(one.orderId ? [" · for example ", h("a", { href: `/orders/${one.orderId}` }, `order …${one.orderId.slice(-12)}`)] : []));
    }).catch(() => {});
    return h("article", { class: "panel group", "aria-label": `${group.cause} at ${group.step}` },
      h("header", null, h("strong", { class: "group-count" }), h("h2", null, `${group.cause} at ${group.step}`), h("span", { class: "dim", title: KINDS[group.kind]?.[1] }, KINDS[group.kind]?.[0] ?? group.kind)),
      h("p", { class: "dim seen" }), example, h("div", { class: "group-actions" }), details);
  };
  const update = (row, group) => {
    setText(row.querySelector(".group-count"), count(group.count));
    const seen = row.querySelector(".seen");
    const key = `${group.oldest}|${group.newest}`;
    if (seen.dataset.key !== key) {
      seen.dataset.key = key;
      seen.replaceChildren("first seen ", agoOf(group.oldest), " · last seen ", agoOf(group.newest));
    }
    const box = row.querySelector(".group-actions");
    const isOne = String(group.count === 1);
    if (box.dataset.one !== isOne) {
      box.dataset.one = isOne;
      box.replaceChildren(groupActions(group, refresh));
    }
  };
  const keyOf = (group) => `${group.kind}/${group.cause}/${group.step}`;
  const take = ({ groups: all }) => {
    keyed(groups, all, keyOf, make, update);
    nothing.hidden = all.length > 0;
    const sum = all.reduce((whole, group) => whole + group.count, 0);
    setText(total, sum === 0 ? "" : `${count(sum)} open in ${count(all.length)} ${all.length === 1 ? "group" : "groups"}, largest first`);
  };
  const look = async () => take(await get("/api/v1/admin/dlq/groups", signal));
  const refresh = async () => {
    try {
      await look();
      for (const load of opened.values()) await load();
    } catch (error) {
      fail(error);
    }
  };
  const isClosed = asked.state === "closed";
  const node = h("div", { class: "page" }, h("div", { class: "head" }, h("h1", null, "Attention"), h("div", { class: "segments", role: "group", "aria-label": "Which dead letters" },
    h("a", { href: "/attention", "aria-current": isClosed ? null : "true" }, "Open"), h("a", { href: "/attention?state=closed", "aria-current": isClosed ? "true" : null }, "Closed"))));
  if (isClosed) {
    node.append(closed(asked, { signal, fail, go }));
    return { node };
  }
  node.append(total, nothing, groups, command("ordermill status"), command("ordermill dlq group"));
  look().catch(fail);
  const timer = setInterval(() => { if (!document.hidden && !document.querySelector("dialog[open]")) look().catch(() => {}); }, POLL_MS);
  signal.addEventListener("abort", () => clearInterval(timer));
  return { node };
}

/** The letters that were seen to. */
function closed(asked, { signal, fail, go }) {
  const list = h("div", { class: "letters" });
  const more = h("button", { type: "button", hidden: true }, "Older ones");
  const states = Object.entries(LETTER_STATES).filter(([name]) => name !== "OPEN");
  const wanted = asked.closedAs ?? "";
  const select = h("select", { id: "closed-as" }, h("option", { value: "" }, "Any way"), states.map(([name, [label]]) => h("option", { value: name, selected: name === wanted }, label)));
  select.addEventListener("change", () => go(`/attention${query({ state: "closed", closedAs: select.value })}`));
  let items = [];
  let cursor = null;
  const load = async () => {
    const page = await letters({ state: wanted, limit: PAGE, cursor }, signal);
    items = [...items, ...page.items.filter((letter) => letter.state !== "OPEN")];
    cursor = page.nextCursor ?? null;
    more.hidden = cursor === null;
    keyed(list, items, (letter) => letter.letterId, (letter) => letterCard(letter, { withOrder: true }));
    if (items.length === 0) list.replaceChildren(empty(cursor ? "None among the newest" : "None were closed yet"));
  };
  more.addEventListener("click", () => load().catch(fail));
  load().catch(fail);
  return h("div", null, h("div", { class: "field inline" }, h("label", { for: "closed-as" }, "Closed as"), select), list, h("p", { class: "more" }, more), command(`ordermill dlq list --state ${wanted || "any"}`));
}
