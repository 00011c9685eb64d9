// Acting on dead letters, one or many: says what it will do, asks once, shows what it did.

import { call, get, isOver, query } from "./api.js";
import { h, notice, setText } from "./dom.js";
import { agoOf, count, timeOf } from "./format.js";
import { ACTIONS, actionsOf, KINDS, letterBadge } from "./words.js";

/** Letters that one request acts on. */
const BATCH = 50;
/** Letters a second. */
const PACE = 20;

/** The buttons for what may be done about one letter. */
export function letterActions(letter, done) {
  return h("div", { class: "buttons" }, actionsOf(letter).map(([name, kind], at) => h("button", {
    type: "button", class: at === 0 ? "primary" : null, onclick: () => ask({ name, kind, letter, done }),
  }, `${ACTIONS[name][0]} …`)));
}

/** The buttons for what may be done about all open letters of a group. */
export function groupActions(group, done) {
  return h("div", { class: "buttons" }, actionsOf(group).map(([name, kind], at) => h("button", {
    type: "button", class: at === 0 ? "primary" : null, onclick: () => ask({ name, kind, group, done }),
  }, group.count === 1 ? `${ACTIONS[name][0]} …` : `${ACTIONS[name][0]} all …`)));
}

/** One letter, with its story. */
export function letterCard(letter, { done, withOrder }) {
  const isOpen = letter.state === "OPEN";
  const story = h("div");
  const origin = letter.origin && h("details", null, h("summary", null, "The message"), h("pre", null, JSON.stringify(letter.origin, null, 2)));
  const audit = h("details", null, h("summary", null, "What was done about it"), story);
  audit.addEventListener("toggle", () => {
    if (!audit.open) return;
    get(`/api/v1/admin/dlq/${letter.letterId}`).then((whole) => {
      story.replaceChildren(whole.audit.length === 0 ? h("p", null, "Nothing yet.") : h("ul", { class: "plain" }, whole.audit.map((entry) =>
        h("li", null, timeOf(entry.at), ` · ${entry.action} by ${entry.by}${entry.note ? `: ${entry.note}` : ""}`))));
    }).catch((error) => story.replaceChildren(notice("bad", error.message)));
  });
  return h("article", { class: `letter ${isOpen ? "open" : ""}`, "data-letter": letter.letterId },
    h("header", null, letterBadge(letter.state), h("strong", null, `${letter.cause} at ${letter.step}`), h("span", { class: "dim", title: KINDS[letter.kind]?.[1] }, KINDS[letter.kind]?.[0] ?? letter.kind)),
    h("p", { class: "detail" }, letter.detail),
    h("p", { class: "dim" }, `${letter.role} · ${letter.tries === 1 ? "1 try" : `${count(letter.tries)} tries`} · since `, agoOf(letter.createdAt),
      letter.closedAt && [" · closed ", agoOf(letter.closedAt)],
      withOrder && letter.orderId && [" · ", h("a", { href: `/orders/${letter.orderId}` }, "order ", h("code", null, letter.orderId))]),
    origin, audit, isOpen && letterActions(letter, done));
}

/** Asks once, with what it will do and how many it concerns. */
function ask({ name, kind, letter, group, done }) {
  const [label, effects] = ACTIONS[name];
  const needsNote = name === "done";
  const note = h("textarea", { id: "note", name: "note", maxlength: 200, rows: 2, required: needsNote });
  const overrides = h("input", { id: "override", type: "checkbox" });
  const scope = h("p", { class: "scope" });
  const error = h("div");
  const progress = h("div", { role: "status" });
  const go = h("button", { type: "submit", class: "primary" }, label);
  const cancel = h("button", { type: "button" }, "Cancel");
  const titled = h("h2", { id: "ask-title" }, `${label}?`);
  const form = h("form", { method: "dialog" }, titled, h("p", { class: "effect" }, effects[kind] ?? Object.values(effects)[0]), scope,
    h("label", { for: "note" }, needsNote ? "What was done, and where (required, audited)" : "Note for the audit"), note,
    name === "done" && h("p", { class: "check" }, overrides, h("label", { for: "override" }, "Record it even if the payment provider contradicts it")),
    error, progress, h("div", { class: "buttons end" }, cancel, go));
  const dialog = h("dialog", { "aria-labelledby": "ask-title" }, form);
  const stop = new AbortController();
  let ran = false;
  cancel.addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", () => {
    stop.abort();
    dialog.remove();
    if (ran) done?.();
  });
  document.body.append(dialog);
  dialog.showModal();

  const decision = () => ({ action: name, ...(note.value.trim() === "" ? {} : { note: note.value.trim() }), ...(overrides.checked ? { override: true } : {}) });
  const refuse = (problem) => {
    if (isOver(problem)) return;
    const told = problem.body?.errors?.map((one) => `${one.pointer.slice(1)} ${one.detail}`).join("; ");
    error.replaceChildren(notice("bad", told || problem.message));
  };
  if (letter) {
    setText(scope, letter.orderId ? `One dead letter, of order ${letter.orderId}.` : "One dead letter.");
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      go.disabled = true;
      error.replaceChildren();
      try {
        await call("POST", `/api/v1/admin/dlq/${letter.letterId}`, { body: decision(), idempotencyKey: crypto.randomUUID?.() });
        ran = true;
        dialog.close();
      } catch (problem) {
        refuse(problem);
        go.disabled = false;
      }
    });
    return;
  }
  const filter = { kind: group.kind, cause: group.cause, step: group.step };
  const count1000 = async () => call("POST", "/api/v1/admin/dlq", { body: { action: name, filter, limit: 1000, dryRun: true, ...(needsNote ? { note: "counting" } : {}) }, signal: stop.signal });
  setText(scope, "Counting …");
  // Nobody acts on a number that is not known yet, nor twice.
  go.disabled = true;
  count1000().then(({ matched }) => {
    const many = `${count(matched)}${matched === 1000 ? " or more" : ""}`;
    setText(scope, `${many} open dead ${matched === 1 ? "letter" : "letters"}: ${group.cause} at ${group.step}, ${PACE} a second.`);
    setText(go, `${label} ${many}`);
    go.disabled = matched === 0;
  }).catch(refuse);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (go.disabled) return;
    go.disabled = true;
    await run({ body: { ...decision(), filter, limit: BATCH, perSecond: PACE }, progress, refuse, go, cancel, note, stop, began: () => { ran = true; } });
  });
}

/** Acts batch by batch, so that it can be paused and its progress seen; what failed is named and not tried again. */
async function run({ body, progress, refuse, go, cancel, note, stop, began }) {
  let paused = false;
  let wake = null;
  const pause = h("button", { type: "button" }, "Pause");
  pause.addEventListener("click", () => {
    paused = !paused;
    setText(pause, paused ? "Continue" : "Pause");
    if (!paused) wake?.();
  });
  const told = h("p");
  const failures = h("ul", { class: "plain failures" });
  progress.replaceChildren(told, failures);
  go.replaceWith(pause);
  note.disabled = true;
  setText(cancel, "Stop");
  const failed = new Map();
  let done = 0;
  try {
    for (;;) {
      if (paused) await new Promise((resolve) => { wake = resolve; });
      setText(told, `${count(done)} done${failed.size > 0 ? `, ${count(failed.size)} failed` : ""} …`);
      began();
      const answer = await call("POST", "/api/v1/admin/dlq", { body, signal: stop.signal });
      done += answer.done;
      for (const { letterId, detail } of answer.failed) {
        if (failed.has(letterId)) continue;
        failed.set(letterId, detail);
        if (failed.size <= 20) failures.append(h("li", null, h("code", null, letterId), ` ${detail}`));
      }
      // Nothing more can be done once a batch holds only letters that have failed before.
      if (answer.matched < BATCH || answer.done === 0) break;
    }
    setText(told, `${count(done)} done${failed.size > 0 ? `, ${count(failed.size)} failed and are still open` : ""}.`);
  } catch (problem) {
    refuse(problem);
  }
  pause.remove();
  setText(cancel, "Close");
  cancel.focus();
}

/** A page of letters. */
export const letters = (filter, signal) => get(`/api/v1/admin/dlq${query(filter)}`, signal);
