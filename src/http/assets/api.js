// Talks to the node: JSON with the access key, and one stream of server-sent events a page.
//
// The key is kept for this tab (sessionStorage) and sent as a header. A cookie would be sent by itself, also to other ports of the same
// host and for other sites' requests; so there is none, and nothing to forge.

import { at } from "./base.js";

const KEY = "ordermill.key";
/** A stream that says nothing for so long is dead: the node sends something every 15 seconds. */
const SILENCE_MS = 40_000;
const RETRY_MS = 1_000;
const RETRY_MOST_MS = 15_000;
/** A page that nobody sees gives its stream back after this time. */
const HIDDEN_MS = 60_000;

let key = sessionStorage.getItem(KEY);
/** Counts the keys: an answer to an earlier key is thrown away. */
let era = 0;

export const hasKey = () => key !== null;

export function setKey(next) {
  key = next;
  era += 1;
  if (next === null) sessionStorage.removeItem(KEY);
  else sessionStorage.setItem(KEY, next);
}

/** A refusal, or no answer (status 0). */
export class Problem extends Error {
  constructor(status, body) {
    super(status === 0 ? "The node does not answer." : body.detail || body.title || `The node answers ${status}.`);
    this.status = status;
    this.body = body;
  }
}

/** Whether somebody has gone on meanwhile, so that nobody waits for the answer. */
export const isOver = (error) => error.name === "AbortError";

const headers = (more) => ({ Accept: "application/json", ...(key === null ? {} : { Authorization: `Bearer ${key}` }), ...more });

/** Calls the node. A change is sent under an idempotency key, so that a repeat after a lost answer does nothing twice. */
export async function call(method, path, { body, signal, idempotencyKey, headers: more } = {}) {
  const asked = era;
  const extra = { ...more };
  if (body !== undefined) extra["Content-Type"] = "application/json";
  if (idempotencyKey) extra["Idempotency-Key"] = idempotencyKey;
  let answer;
  try {
    answer = await fetch(at(path), { method, headers: headers(extra), body: body && JSON.stringify(body), signal, cache: "no-store" });
  } catch (error) {
    throw isOver(error) ? error : new Problem(0, {});
  }
  const json = await answer.json().catch(() => ({}));
  if (asked !== era) throw new DOMException("another key", "AbortError");
  if (answer.status === 401) document.dispatchEvent(new CustomEvent("needs-key", { detail: json.detail }));
  if (!answer.ok) throw new Problem(answer.status, json);
  return json;
}

/** A file of the API, as text. */
export async function text(path, signal) {
  const asked = era;
  const answer = await fetch(at(path), { headers: headers({ Accept: "*/*" }), signal, cache: "no-store" }).catch((error) => { throw isOver(error) ? error : new Problem(0, {}); });
  if (!answer.ok) throw new Problem(answer.status, await answer.json().catch(() => ({})));
  const file = await answer.text();
  if (asked !== era) throw new DOMException("another key", "AbortError");
  return file;
}

export const get = (path, signal) => call("GET", path, { signal });

/** Parameters as a query; those without a value are left out. */
export function query(parameters) {
  const pairs = Object.entries(parameters).filter(([, value]) => value !== undefined && value !== null && value !== "");
  return pairs.length === 0 ? "" : `?${new URLSearchParams(pairs)}`;
}

/**
 * Follows `path` until the returned function is called. A lost stream is taken up again where it broke off; `onState` is told
 * `{ live }`, `{ live: false, retryMs }`, or `{ live: false, refused: true }`: it is not tried again.
 */
export function follow(path, onEvent, onState) {
  let stop = false;
  let last = null;
  let failures = 0;
  let current = null;
  let wake = null;
  let hidden = null;

  const pause = (ms) => new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    wake = () => { clearTimeout(timer); resolve(); };
  });
  const now = () => wake?.();
  const look = () => {
    clearTimeout(hidden);
    if (document.hidden) hidden = setTimeout(() => current?.abort(), HIDDEN_MS);
    else now();
  };
  window.addEventListener("online", now);
  document.addEventListener("visibilitychange", look);

  // A fault of the page must not pass for a lost connection.
  const tell = (listener, ...what) => {
    try {
      listener(...what);
    } catch (error) {
      reportError(error);
    }
  };
  const read = async () => {
    current = new AbortController();
    let timer = setTimeout(() => current.abort(), SILENCE_MS);
    try {
      const more = { Accept: "text/event-stream", ...(last === null ? {} : { "Last-Event-ID": last }) };
      const answer = await fetch(at(path), { headers: headers(more), signal: current.signal, cache: "no-store" });
      if (!answer.ok) {
        const body = await answer.json().catch(() => ({}));
        if (answer.status === 401) document.dispatchEvent(new CustomEvent("needs-key", { detail: body.detail }));
        throw new Problem(answer.status, body);
      }
      failures = 0;
      tell(onState, { live: true });
      const parser = parse((event) => {
        if (event.id !== undefined) last = event.id;
        if (event.data !== undefined) tell(onEvent, event.name, JSON.parse(event.data));
      });
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return;
        clearTimeout(timer);
        timer = setTimeout(() => current.abort(), SILENCE_MS);
        parser(value);
      }
    } finally {
      clearTimeout(timer);
    }
  };

  (async () => {
    while (!stop) {
      let refused = false;
      let ended = false;
      const begun = Date.now();
      try {
        await read();
        ended = true;
      } catch (error) {
        refused = error instanceof Problem && error.status >= 400 && error.status < 500 && error.status !== 429;
      }
      if (refused && !stop) tell(onState, { live: false, refused: true });
      if (stop || refused) return;
      if (document.hidden && hidden !== null) {
        while (document.hidden && !stop) await pause(HIDDEN_MS);
        continue;
      }
      // A node ends each stream after a while, and when it stops: that is no loss unless the next one cannot be had.
      if (ended && Date.now() - begun > RETRY_MS) {
        await pause(RETRY_MS / 5);
        continue;
      }
      failures += 1;
      const retryMs = Math.min(RETRY_MS * 2 ** (failures - 1), RETRY_MOST_MS) * (0.75 + Math.random() / 2);
      tell(onState, { live: false, retryMs });
      await pause(retryMs);
    }
  })();

  return () => {
    stop = true;
    current?.abort();
    now();
    clearTimeout(hidden);
    window.removeEventListener("online", now);
    document.removeEventListener("visibilitychange", look);
  };
}

/** Takes the text of a stream piece by piece and tells each whole event. */
function parse(tell) {
  let rest = "";
  let event = {};
  return (piece) => {
    rest += piece;
    const lines = rest.split("\n");
    rest = lines.pop();
    for (const line of lines) {
      if (line === "") {
        if (event.name !== undefined || event.data !== undefined) tell({ name: "message", ...event });
        event = {};
        continue;
      }
      const colon = line.indexOf(":");
      if (colon <= 0) continue;
      const value = line.slice(colon + 1).replace(/^ /, "");
      const field = line.slice(0, colon);
      if (field === "id") event.id = value;
      else if (field === "event") event.name = value;
      else if (field === "data") event.data = event.data === undefined ? value : `${event.data}\n${value}`;
    }
  };
}
