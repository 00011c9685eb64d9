// The strip under the header of every page: what needs attention. Green and short when nothing does.

import { h, keyed, setText } from "./dom.js";
import { agoOf, count } from "./format.js";
import { ATTENTION } from "./words.js";

export function strip(box) {
  const state = h("p", { class: "strip-state" });
  const list = h("ul", { class: "strip-items" });
  const told = h("p", { class: "sr", role: "status" });
  box.replaceChildren(state, list, told);
  const make = (item) => {
    const [, , href] = ATTENTION[item.kind] ?? ["", "", "/system"];
    return h("li", null, h("a", { class: "strip-item", href }, h("strong"), h("span", { class: "strip-detail" })));
  };
  const update = (row, item) => {
    const [one, many] = ATTENTION[item.kind] ?? [item.kind, item.kind];
    const link = row.firstElementChild;
    link.classList.toggle("error", item.level === "ERROR");
    const isOne = item.count === 1 && !item.more;
    setText(link.firstElementChild, `${count(item.count)}${item.more ? "+" : ""} ${isOne ? one : many}`);
    link.title = item.detail;
    const detail = link.lastElementChild;
    const since = item.since ? `${item.detail}|${item.since}` : item.detail;
    if (detail.dataset.text === since) return;
    detail.dataset.text = since;
    detail.replaceChildren(item.detail, ...(item.since ? [" · oldest ", agoOf(item.since)] : []));
  };
  return {
    show({ items }) {
      box.hidden = false;
      box.className = `strip ${items.length === 0 ? "calm" : items.some((item) => item.level === "ERROR") ? "error" : "warning"}`;
      setText(state, items.length === 0 ? "✓ All is well: nothing needs attention" : "Needs attention");
      keyed(list, items, (item) => `${item.kind}:${["breaker", "component"].includes(item.kind) ? item.detail.split(":")[0] : ""}`, make, update);
      // Read aloud when something comes or goes, not with every number.
      setText(told, items.length === 0 ? "Nothing needs attention" : `Needs attention: ${items.map((item) => (ATTENTION[item.kind] ?? [item.kind])[0]).join(", ")}`);
      document.title = document.title.replace(/^\(\d+\) /, "");
      if (items.length > 0) document.title = `(${items.length}) ${document.title}`;
    },
    clear() {
      box.hidden = true;
      list.replaceChildren();
      setText(told, "");
      setText(state, "");
    },
  };
}
