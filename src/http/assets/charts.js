// Time series, drawn by uPlot (vendored; loaded when the first chart is shown), with a table of the same for those who do not see it.

import { h, setText } from "./dom.js";
import { compact, full } from "./format.js";

let loading = null;

function library() {
  loading ??= new Promise((resolve, reject) => {
    document.head.append(h("link", { rel: "stylesheet", href: "/assets/uplot.css" }));
    document.head.append(h("script", { src: "/assets/uplot.js", onload: () => resolve(window.uPlot), onerror: () => reject(new Error("the charts could not be loaded")) }));
  });
  return loading;
}

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const day = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });

/** The clock where the ticks are less than a day apart, and the day under the first tick of each. */
function times(_, ticks, __, ___, step) {
  let last = null;
  return ticks.map((tick) => {
    const date = new Date(tick * 1000);
    const name = day.format(date);
    const isNew = name !== last;
    last = name;
    if (step >= 86_400) return name;
    return isNew ? `${clock.format(date)}\n${name}` : clock.format(date);
  });
}

const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/**
 * A chart. `series` are `{ label, color (a custom property), dash, value (number → text) }`; `show(times, columns, nameOf)` draws.
 * Dragging zooms, a double click or the button shows all again; new numbers do not undo a zoom.
 */
export function chart({ title, unit, series, signal }) {
  const canvas = h("div", { class: "chart", role: "img", "aria-label": title });
  const reset = h("button", { type: "button", class: "quiet", hidden: true }, "Show all");
  const body = h("tbody");
  const table = h("details", { class: "as-table" }, h("summary", null, "As a table"),
    h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `${title}, as a table` }, h("table", null,
      h("thead", null, h("tr", null, h("th", { scope: "col" }, "From"), series.map(({ label }) => h("th", { scope: "col", class: "number" }, label)))), body)));
  const node = h("figure", { class: "figure" },
    h("figcaption", null, h("strong", null, title), h("span", { class: "dim" }, ` ${unit}`), reset), canvas, table);
  let plot = null;
  let data = null;
  let zoomed = false;
  let isMaking = false;

  const options = (uPlot, width) => {
    const axis = { stroke: css("--dim"), grid: { stroke: css("--grid"), width: 1 }, ticks: { stroke: css("--grid"), width: 1, size: 4 }, font: "12px system-ui, sans-serif" };
    return {
      width, height: 220, padding: [12, 24, 0, 0],
      scales: { x: { time: true }, y: { range: (_, low, high) => [Math.min(0, low ?? 0), high > 0 ? high * 1.08 : 1] } },
      axes: [{ ...axis, space: 64, values: times }, { ...axis, size: 56, values: (_, ticks) => ticks.map(compact) }],
      series: [{ label: "Time", value: (_, time) => (time === null ? "–" : full(time * 1000)) }, ...series.map((one) => ({
        label: one.label, stroke: css(one.color), width: 2, dash: one.dash, points: { show: false },
        fill: one.fill ? `${css(one.color)}22` : undefined, value: (_, value) => (value === null || value === undefined ? "–" : one.value(value)),
      }))],
      cursor: { drag: { x: true, y: false, setScale: true }, focus: { prox: 24 } },
      legend: { live: true },
      hooks: { setScale: [(self, key) => {
        if (key !== "x" || data === null) return;
        const { min, max } = self.scales.x;
        zoomed = min > data[0][0] || max < data[0].at(-1);
        reset.hidden = !zoomed;
      }] },
    };
  };
  const make = async () => {
    if (isMaking) return;
    isMaking = true;
    try {
      const uPlot = await library();
      if (signal.aborted || data === null) return;
      plot?.destroy();
      canvas.replaceChildren();
      plot = new uPlot(options(uPlot, Math.max(260, canvas.clientWidth)), data, canvas);
      for (const cell of canvas.querySelectorAll(".u-legend th")) cell.setAttribute("scope", "row");
    } catch (error) {
      canvas.replaceChildren(h("p", { class: "dim" }, error.message));
    } finally {
      isMaking = false;
    }
  };
  const resize = new ResizeObserver(() => { if (plot && canvas.clientWidth > 0) plot.setSize({ width: Math.max(260, canvas.clientWidth), height: 220 }); });
  resize.observe(canvas);
  const scheme = matchMedia("(prefers-color-scheme: dark)");
  scheme.addEventListener("change", make, { signal });
  signal.addEventListener("abort", () => { resize.disconnect(); plot?.destroy(); });
  reset.addEventListener("click", () => { if (plot) plot.setScale("x", { min: data[0][0], max: data[0].at(-1) }); });

  return {
    node,
    show(times, columns, { summary, keepZoom = true } = {}) {
      data = [times, ...columns];
      if (summary) canvas.setAttribute("aria-label", `${title}: ${summary}`);
      if (!plot) {
        make();
      } else {
        plot.setData(data, !(zoomed && keepZoom));
      }
      if (table.open || body.children.length === 0) rows();
    },
  };

  function rows() {
    const cells = data[0].map((time, at) => [new Date(time * 1000), ...data.slice(1).map((column) => column[at])]);
    body.replaceChildren(...cells.reverse().map(([time, ...values]) => h("tr", null,
      h("th", { scope: "row" }, time.toLocaleString()), values.map((value, at) => h("td", { class: "number" }, value === null ? "–" : series[at].value(value))))));
    setText(table.firstElementChild, "As a table");
  }
}
