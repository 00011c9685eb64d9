// Builds elements. All text is set as text, never as HTML.

import { at } from "./base.js";

/** An element: `h("p", { class: "big", onclick }, "text", child, …)`. Absent children (null, false) are left out. */
export function h(name, props, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(props ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (key === "value") made.value = value;
    else if (key === "href" || key === "src") made.setAttribute(key, at(String(value)));
    else made.setAttribute(key, value === true ? "" : String(value));
  }
  add(made, children);
  return made;
}

function add(to, children) {
  for (const child of children) {
    if (Array.isArray(child)) add(to, child);
    else if (child !== undefined && child !== null && child !== false) to.append(child);
  }
}

/** Sets text only where it differs, so that a selection in it survives. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/**
 * Makes the children of `box` those of `items`, by key. One that is there stays the same element, is brought up to date in place and is
 * moved only if it must be: what is selected, focused or under the pointer stays so.
 */
export function keyed(box, items, keyOf, make, update) {
  const old = new Map([...box.children].map((child) => [child.dataset.key, child]));
  const seen = new Map();
  let next = box.firstElementChild;
  for (const item of items) {
    // Two items of one key have a child each.
    const name = String(keyOf(item));
    const before = seen.get(name) ?? 0;
    seen.set(name, before + 1);
    const key = before === 0 ? name : `${name}#${before}`;
    let child = old.get(key);
    if (child) {
      old.delete(key);
    } else {
      child = make(item);
      child.dataset.key = key;
    }
    update?.(child, item);
    if (child === next) {
      next = next.nextElementSibling;
    } else {
      box.insertBefore(child, next);
    }
  }
  for (const child of old.values()) child.remove();
}

/** A button that copies `text` and says so. */
export function copyButton(text, what) {
  const button = h("button", { type: "button", class: "copy", "aria-label": `Copy ${what}`, title: `Copy ${what}` }, copyIcon());
  button.addEventListener("click", async (event) => {
    event.stopPropagation();
    try {
      // Browsers have a clipboard only on this machine or with TLS; elsewhere the text is selected, to be copied by hand.
      if (navigator.clipboard) await navigator.clipboard.writeText(text);
      else getSelection().selectAllChildren(button.previousElementSibling ?? button.parentElement);
      button.textContent = navigator.clipboard ? "✓" : "copy";
    } catch {
      button.textContent = "✗";
    }
    setTimeout(() => button.replaceChildren(copyIcon()), 1500);
  });
  return button;
}

function copyIcon() {
  const draw = (name, properties) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(properties)) made.setAttribute(key, value);
    return made;
  };
  const icon = draw("svg", { viewBox: "0 0 16 16", width: 14, height: 14, fill: "none", stroke: "currentColor", "stroke-width": 1.5, "aria-hidden": "true" });
  icon.append(draw("rect", { x: 5.5, y: 5.5, width: 8.5, height: 8.5, rx: 1.5 }), draw("path", { d: "M3.5 10.5h-1a1 1 0 0 1-1-1v-7a1 1 0 0 1 1-1h7a1 1 0 0 1 1 1v1" }));
  return icon;
}

/** A message in the page: `kind` is `bad`, `warn`, `good` or empty. */
export function notice(kind, ...children) {
  return h("div", { class: `notice ${kind}`, role: kind === "bad" ? "alert" : "status" }, ...children);
}

/** What there is instead of rows. */
export function empty(title, ...children) {
  return h("div", { class: "empty" }, h("p", { class: "empty-title" }, title), ...children);
}

/** A value as a shell takes it. */
export const quoted = (text) => (/^[\w.:+@%/-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);

/** The command that shows the same. */
export function command(text) {
  return h("p", { class: "command" }, "On the command line: ", h("code", null, text), copyButton(text, "the command"));
}
