// A report on a period, by hour, day or week: to read, to print, or to take into a spreadsheet.

import { get, query, text } from "./api.js";
import { command, empty, h, keyed, notice, quoted, setText } from "./dom.js";
import { count, dayStart, full, local, major, mean, minor, money, percent, unit, zone } from "./format.js";

const BUCKETS = [["hour", "Hour"], ["day", "Day"], ["week", "Week"]];
const day = (date) => local(date).slice(0, 10);
const QUICK = () => [
  ["Today", { from: day(dayStart()), to: day(dayStart(-1)), bucket: "hour" }],
  ["Yesterday", { from: day(dayStart(1)), to: day(dayStart()), bucket: "hour" }],
  ["Last 7 days", { from: day(dayStart(6)), to: day(dayStart(-1)), bucket: "day" }],
  ["Last 30 days", { from: day(dayStart(29)), to: day(dayStart(-1)), bucket: "day" }],
  ["Last 12 weeks", { from: day(dayStart(83)), to: day(dayStart(-1)), bucket: "week" }],
];
/** Heading, cell of a row, sum over all rows. Sales, refunds and what is left stand apart. */
const sum = (name) => (rows) => count(rows.reduce((all, row) => all + row[name], 0));
const amounts = (name) => (rows) => money(major(rows.reduce((all, row) => all + minor(row[name]), 0n)));
const rate = (part, whole) => (rows) => {
  const [a, b] = [part, whole].map((name) => rows.reduce((all, row) => all + row[name], 0));
  return b === 0 ? "–" : percent(a / b);
};
const COLUMNS = [
  ["Placed", (row) => count(row.placed), sum("placed")],
  ["Confirmed", (row) => count(row.confirmed), sum("confirmed")],
  ["Shipped", (row) => count(row.shipped), sum("shipped")],
  ["Failed", (row) => count(row.failed), sum("failed")],
  ["Cancelled", (row) => count(row.cancelled), sum("cancelled")],
  ["Conversion", (row) => percent(row.conversion), rate("confirmed", "placed")],
  ["Gross sales", (row) => money(row.grossSales), amounts("grossSales")],
  ["Refunds", (row) => money(row.refunds), amounts("refunds")],
  ["Net", (row) => money(row.revenue), amounts("revenue")],
  ["Average", (row) => money(row.averageOrderValue), (rows) => {
    const [gross, sales] = [rows.reduce((all, row) => all + minor(row.grossSales), 0n), rows.reduce((all, row) => all + row.confirmed, 0)];
    return sales === 0 ? "–" : money(major(mean(gross, sales)));
  }],
];

export default function reports({ query: asked, go, signal, fail }) {
  const first = QUICK()[2][1];
  const wanted = { from: asked.from ?? first.from, to: asked.to ?? first.to, bucket: BUCKETS.some(([name]) => name === asked.bucket) ? asked.bucket : first.bucket };
  const parameters = { from: midnight(wanted.from), to: midnight(wanted.to), bucket: wanted.bucket };
  const field = (id, label, input) => h("div", { class: "field" }, h("label", { for: id }, label), input);
  const form = h("form", { class: "filters panel", "aria-label": "Period of the report" },
    field("from", "From", h("input", { id: "from", name: "from", type: "date", required: true, value: wanted.from })),
    field("to", "To, exclusive", h("input", { id: "to", name: "to", type: "date", required: true, value: wanted.to })),
    field("bucket", "By", h("select", { id: "bucket", name: "bucket" }, BUCKETS.map(([value, name]) => h("option", { value, selected: value === wanted.bucket }, name)))),
    h("div", { class: "buttons" }, h("button", { type: "submit", class: "primary" }, "Show")));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    go(`/reports${query(Object.fromEntries(new FormData(form)))}`);
  });
  const quick = h("ul", { class: "chips", "aria-label": "Often asked for" }, QUICK().map(([name, filter]) =>
    h("li", null, h("a", { class: "chip", href: `/reports${query(filter)}`, "aria-current": query(filter) === query(wanted) ? "true" : null }, name))));
  const body = h("tbody");
  const total = h("tr", null, h("th", { scope: "row" }, "All"), COLUMNS.map(() => h("td", { class: "number" })));
  const table = h("table", { class: "report" }, h("caption", { class: "sr" }, "Report"),
    h("thead", null, h("tr", null, h("th", { scope: "col" }, "From"), COLUMNS.map(([name]) => h("th", { scope: "col", class: "number" }, name)))), body, h("tfoot", null, total));
  const about = h("p", { class: "dim" });
  const problems = h("div");
  const nothing = empty("Nothing happened in this period");
  nothing.hidden = true;
  const csv = h("button", { type: "button" }, "Download as CSV");
  csv.addEventListener("click", async () => {
    csv.disabled = true;
    try {
      const file = await text(`/api/v1/analytics/reports${query({ ...parameters, format: "csv" })}`, signal);
      const link = h("a", { href: URL.createObjectURL(new Blob([file], { type: "text/csv" })), download: `ordermill-${wanted.bucket}-${wanted.from}-${wanted.to}.csv` });
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
    } catch (error) {
      fail(error);
    }
    csv.disabled = false;
  });
  const show = ({ rows, from, to }) => {
    keyed(body, rows, (row) => row.start, (row) => h("tr", null, h("th", { scope: "row" }, h("time", { datetime: row.start, title: full(row.start) }, startOf(row.start, wanted.bucket))), COLUMNS.map(() => h("td", { class: "number" }))),
      (line, row) => COLUMNS.forEach(([, cell], at) => setText(line.children[at + 1], cell(row))));
    COLUMNS.forEach(([, , all], at) => setText(total.children[at + 1], all(rows)));
    nothing.hidden = rows.some((row) => row.placed + row.confirmed + row.shipped + row.failed + row.cancelled > 0);
    setText(about, `${full(from)} to ${full(to)}, by ${wanted.bucket}. Amounts in ${unit()}, times in ${zone}. Sales are orders that were confirmed in a period, refunds are sales that were cancelled in it, net is the difference.`);
  };
  read(wanted, parameters, signal).then(show).catch((error) => {
    if (error.status === 404) return problems.replaceChildren(notice("warn", "The analytics role is run by another team, so there are no reports here."));
    if (error.status !== 400) return fail(error);
    problems.replaceChildren(notice("bad", ...(error.body.errors ?? []).map((one) => h("p", null, `${one.pointer.slice(1)} ${one.detail}`))));
  });
  const node = h("div", { class: "page" }, h("div", { class: "head" }, h("h1", null, "Report"), quick), form, problems,
    h("section", { class: "panel", "aria-label": "Report" }, h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Table of the report" }, table), nothing), about,
    h("div", { class: "buttons" }, csv, h("button", { type: "button", onclick: () => window.print() }, "Print")),
    command(["ordermill report", ...Object.entries(parameters).map(([name, value]) => `--${name} ${quoted(value)}`)].join(" ")));
  return { node };
}

/**
 * The report. The API's days begin by the offset of the first one, so where the clock changes in between, the days before, the day itself
 * and the days after are asked for apart; weeks are sums of days. So a day is a day of this time zone, of 23 or 25 hours if need be.
 */
async function read({ from, to, bucket }, parameters, signal) {
  const ask = (more) => get(`/api/v1/analytics/reports${query({ ...parameters, ...more })}`, signal);
  const [start, end] = [dateOf(from), dateOf(to)];
  if (bucket === "hour" || start === null || end === null || !(start < end) || (end - start) / 86_400_000 > 400) return ask({});
  const next = (date) => new Date(date.getFullYear(), date.getMonth(), date.getDate() + 1);
  const cuts = [start];
  for (let date = start; date < end; date = next(date)) {
    if (date.getTimezoneOffset() === next(date).getTimezoneOffset()) continue;
    cuts.push(date, next(date));
  }
  const ends = [...new Set([...cuts, end].map(Number))].filter((time) => time <= Number(end)).map((time) => new Date(time));
  if (ends.length === 2) return ask({});
  const parts = await Promise.all(ends.slice(1).map((until, at) => ask({ bucket: "day", from: local(ends[at]), to: local(until) })));
  const isLong = (at) => ends[at].getTimezoneOffset() !== ends[at + 1].getTimezoneOffset();
  const rows = parts.flatMap((part, at) => (isLong(at) ? [added(part.rows)] : part.rows));
  if (bucket === "day") return { from: parts[0].from, to: parts.at(-1).to, rows };
  const weeks = Map.groupBy(rows, (row) => {
    const date = new Date(row.start);
    return new Date(date.getFullYear(), date.getMonth(), date.getDate() - ((date.getDay() + 6) % 7)).getTime();
  });
  return { from: parts[0].from, to: parts.at(-1).to, rows: [...weeks.values()].map(added) };
}

/** One row of several that follow each other. */
function added(rows) {
  const of = (name) => rows.reduce((all, row) => all + row[name], 0);
  const amount = (name) => rows.reduce((all, row) => all + minor(row[name]), 0n);
  const [placed, confirmed, gross] = [of("placed"), of("confirmed"), amount("grossSales")];
  return {
    ...Object.fromEntries(["shipped", "failed", "cancelled"].map((name) => [name, of(name)])), start: rows[0].start, placed, confirmed, grossSales: major(gross),
    refunds: major(amount("refunds")), revenue: major(amount("revenue")), conversion: placed === 0 ? null : confirmed / placed,
    averageOrderValue: confirmed === 0 ? null : major(mean(gross, confirmed)),
  };
}

/** The beginning of a day here; null if it is none. */
function dateOf(text) {
  const [year, month, day] = text.split("-").map(Number);
  return Number.isInteger(day) ? new Date(year, month - 1, day) : null;
}

/** The same with the offset of that day, as the API reads it. */
function midnight(date) {
  const start = dateOf(date);
  return start === null ? date : local(start);
}

const clock = new Intl.DateTimeFormat(undefined, { weekday: "short", day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
const days = new Intl.DateTimeFormat(undefined, { weekday: "short", day: "numeric", month: "short", year: "numeric" });
const startOf = (time, bucket) => (bucket === "hour" ? clock : days).format(new Date(time));
