// @ts-check
/** A line for each series, as SVG: how far it has moved from its first point. */

const SHORTEST_MS = 20_000;
const LONGEST_MS = 180_000;
const SMALLEST = 2e-5; // the least that the scale spans, either way
const percent = new Intl.NumberFormat(undefined, { style: "percent", maximumFractionDigits: 3, signDisplay: "exceptZero" });

/** @param {string} tag @param {Record<string, string | number>} attributes @param {string} [text] */
function svg(tag, attributes, text = "") {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  element.textContent = text;
  return element;
}

/**
 * @param {SVGSVGElement} chart
 * @param {{series: Map<string, {at: number, rate: number}[]>, holes: {from: number, to?: number}[], began: number}} seen
 * @param {(name: string) => string} classOf
 */
export function drawChart(chart, { series, holes, began }, classOf) {
  const { width, height } = chart.getBoundingClientRect();
  const [left, right, top, bottom] = [52, width - 40, 8, height - 22];
  const now = Date.now(), span = Math.min(Math.max(now - began, SHORTEST_MS), LONGEST_MS), start = now - span;
  const lines = Array.from(series, ([name, points]) => ({
    name,
    points: points.filter(({ at }) => at >= start).map(({ at, rate }) => ({ at, change: rate / points[0].rate - 1 })),
  })).filter(({ points }) => points.length > 0);
  const farthest = Math.max(SMALLEST, ...lines.flatMap(({ points }) => points.map(({ change }) => Math.abs(change))));
  const step = niceStep(farthest / 2);
  const most = step * Math.ceil((farthest * 1.05) / step);
  const x = (/** @type {number} */ at) => left + ((at - start) / span) * (right - left);
  const y = (/** @type {number} */ change) => top + ((most - change) / (2 * most)) * (bottom - top);

  const drawn = [];
  for (const { from, to = now } of holes) {
    const begin = Math.max(left, x(from));
    if (x(to) > begin) drawn.push(svg("rect", { class: "hole", x: begin, y: top, width: x(to) - begin, height: bottom - top }));
  }
  for (let line = -Math.round(most / step); line <= Math.round(most / step); line++) {
    const at = y(line * step);
    drawn.push(svg("line", { class: line ? "grid" : "zero", x1: left, x2: right, y1: at, y2: at }));
    drawn.push(svg("text", { x: left - 8, y: at + 4, "text-anchor": "end" }, percent.format(line * step)));
  }
  for (const [share, anchor] of /** @type {[number, string][]} */ ([[0, "start"], [0.5, "middle"], [1, "end"]])) {
    const ago = Math.round(((1 - share) * span) / 1000);
    const words = ago === 0 ? "now" : ago < 120 ? `${ago} s ago` : `${Math.round(ago / 60)} min ago`;
    drawn.push(svg("text", { x: left + share * (right - left), y: height - 2, "text-anchor": anchor }, words));
  }
  for (const { name, points } of lines) {
    for (const run of runs(points, holes)) {
      const path = run.map(({ at, change }) => `${x(at).toFixed(1)},${y(change).toFixed(1)}`).join(" ");
      drawn.push(svg("polyline", { class: classOf(name), points: path }));
    }
  }
  let free = -Infinity;
  const ends = lines.map(({ name, points }) => ({ name, ...points[points.length - 1] })).sort((a, b) => b.change - a.change);
  for (const { name, at, change } of ends) {
    free = Math.max(y(change) + 4, free + 13); // names do not cover each other
    drawn.push(svg("circle", { class: classOf(name), cx: x(at), cy: y(change), r: 3 }));
    drawn.push(svg("text", { class: `name ${classOf(name)}`, x: right + 8, y: free }, name));
  }
  chart.replaceChildren(...drawn);
}

/** Splits a line where it has a hole. @template {{at: number}} P @param {P[]} points @param {{from: number, to?: number}[]} holes */
function runs(points, holes) {
  const split = [...holes.map(({ to = Infinity }) => to), Infinity];
  return split.map((to, number) => points.filter(({ at }) => at < to && at >= (split[number - 1] ?? -Infinity)))
    .filter((run) => run.length > 0);
}

/** The next of 1, 2 and 5 times a power of ten. @param {number} least */
function niceStep(least) {
  const power = 10 ** Math.floor(Math.log10(least));
  return power * /** @type {number} */ ([1, 2, 5, 10].find((factor) => factor * power >= least * 0.999));
}
