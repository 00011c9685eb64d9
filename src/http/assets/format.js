// Numbers, amounts and times as people read them, in the browser's language and time zone.

import { h } from "./dom.js";

let currency;
let amounts = new Intl.NumberFormat(undefined, { minimumFractionDigits: 2, maximumFractionDigits: 2 });
const counts = new Intl.NumberFormat(undefined, { maximumFractionDigits: 0 });
const tenths = new Intl.NumberFormat(undefined, { minimumFractionDigits: 1, maximumFractionDigits: 1 });
const shares = new Intl.NumberFormat(undefined, { style: "percent", minimumFractionDigits: 1, maximumFractionDigits: 1 });
const compacts = new Intl.NumberFormat(undefined, { notation: "compact", maximumFractionDigits: 1 });
const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });
const dayAndClock = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const whole = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "long" });
const relative = new Intl.RelativeTimeFormat(undefined, { numeric: "auto" });

export const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;

/** Sets the currency of all amounts; none: they stand alone. */
export function setCurrency(next) {
  currency = next;
  try {
    amounts = new Intl.NumberFormat(undefined, currency ? { style: "currency", currency } : { minimumFractionDigits: 2, maximumFractionDigits: 2 });
  } catch {
    currency = undefined;
  }
}

export const unit = () => currency ?? "amount";

const dash = "–";

/** A decimal text of the API; as text it loses nothing. */
export const money = (text) => (text === null || text === undefined ? dash : amounts.format(text));
export const count = (number) => (number === null || number === undefined ? dash : counts.format(number));
export const compact = (number) => compacts.format(number);
export const tenth = (number) => tenths.format(number);
export const percent = (share) => (typeof share === "number" && Number.isFinite(share) ? shares.format(share) : dash);

/** An amount in minor units, for sums; exact. */
export const minor = (text) => BigInt(text.replace(".", ""));
export function major(minorUnits) {
  const digits = (minorUnits < 0n ? -minorUnits : minorUnits).toString().padStart(3, "0");
  return `${minorUnits < 0n ? "-" : ""}${digits.slice(0, -2)}.${digits.slice(-2)}`;
}

/** The mean of a sum over a number of orders, to the nearest cent. */
export const mean = (sum, number) => (2n * sum + BigInt(number)) / (2n * BigInt(number));

/** A length of time: `340 ms`, `2.4 s`, `3 min 12 s`, `5 h 4 min`, `3 d 4 h`. */
export function duration(ms) {
  if (ms < 0) return `−${duration(-ms)}`;
  if (ms < 10 && !Number.isInteger(ms)) return `${tenths.format(ms)} ms`;
  if (ms < 1000) return `${counts.format(ms)} ms`;
  const seconds = ms / 1000;
  if (seconds < 60) return `${tenths.format(seconds)} s`;
  const parts = [[86_400, "d"], [3_600, "h"], [60, "min"], [1, "s"]];
  const at = parts.findIndex(([size]) => seconds >= size);
  const [size, name] = parts[at];
  const [small, smallName] = parts[at + 1] ?? [1, "s"];
  const rest = Math.floor((seconds % size) / small);
  return `${Math.floor(seconds / size)} ${name}${rest > 0 ? ` ${rest} ${smallName}` : ""}`;
}

/** How long ago, or how soon: `3 minutes ago`, `in 5 seconds`. */
export function ago(time) {
  const seconds = (new Date(time).getTime() - Date.now()) / 1000;
  const size = Math.abs(seconds);
  if (size < 60) return relative.format(Math.round(seconds), "second");
  if (size < 3600) return relative.format(Math.round(seconds / 60), "minute");
  if (size < 86_400) return relative.format(Math.round(seconds / 3600), "hour");
  return relative.format(Math.round(seconds / 86_400), "day");
}

const isToday = (date) => date.toDateString() === new Date().toDateString();

/** The clock of today, else with the date. */
export function at(time) {
  const date = new Date(time);
  return isToday(date) ? clock.format(date) : dayAndClock.format(date);
}

/** The clock with milliseconds, for a timeline. */
export function exact(time) {
  const date = new Date(time);
  const ms = String(date.getMilliseconds()).padStart(3, "0");
  return `${isToday(date) ? clock.format(date) : dayAndClock.format(date)} .${ms}`;
}

export const full = (time) => whole.format(new Date(time));

/** A time in the page, with the whole of it in its title. */
export const timeOf = (time, text = at(time)) => h("time", { datetime: time, title: full(time) }, text);

/** A time that is told as how long ago it is; `tick` keeps it right. */
export const agoOf = (time) => h("time", { datetime: time, title: full(time), "data-ago": time }, ago(time));

/** Brings all such times up to date. */
export function tick() {
  for (const element of document.querySelectorAll("[data-ago]")) {
    const text = ago(element.dataset.ago);
    if (element.textContent !== text) element.textContent = text;
  }
}

/** A local time as the API reads it, with the offset of that day. */
export function local(date) {
  const two = (number) => String(Math.trunc(number)).padStart(2, "0");
  const offset = -date.getTimezoneOffset();
  const sign = offset < 0 ? "-" : "+";
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  const hour = `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
  return `${day}T${hour}${sign}${two(Math.abs(offset) / 60)}:${two(Math.abs(offset) % 60)}`;
}

/** The beginning of the day that is `back` days before today; days across a change of the clock are days of the calendar. */
export function dayStart(back = 0) {
  const today = new Date();
  return new Date(today.getFullYear(), today.getMonth(), today.getDate() - back);
}

/** An id: all of it where there is room, else its end, which differs most. */
export const idOf = (id) => h("code", { class: "id", title: id }, h("span", { class: "id-start" }, id.slice(0, 24)), id.slice(24));
